//! `cargo xtask dev`: the daemon in the foreground, for working on it.

use std::process::Stdio;

use anyhow::{Context, Result, bail};

use crate::scratch::Scratch;
use crate::{binaries, interrupt, say};

pub(crate) fn run() -> Result<()> {
    say::step("building");
    // Without a model of your own you get the scripted demo.
    let model = [
        "COPILOT_PROVIDER_BASE_URL",
        "COPILOT_GITHUB_TOKEN",
        "GH_TOKEN",
        "GITHUB_TOKEN",
    ]
    .iter()
    .all(|name| std::env::var_os(name).is_none())
    .then_some("demo");
    let scratch = Scratch::new(binaries::build()?, model)?;
    interrupt::note()?;

    say::step("running copilotd; Ctrl+C ends it and removes its home");
    say::note("in another terminal:");
    say::line(&format!(
        "{} {} daemon status",
        scratch
            .environment()
            .iter()
            .map(|(name, value)| format!("{name}={value}"))
            .collect::<Vec<_>>()
            .join(" "),
        scratch.binary("copilot").display(),
    ));
    let status = scratch
        .command("copilotd")
        .arg("--foreground")
        .env(
            "RUST_LOG",
            std::env::var("RUST_LOG").unwrap_or_else(|_| "debug".to_owned()),
        )
        .stdin(Stdio::null())
        .status()
        .context("cannot start copilotd")?;
    if !status.success() && !interrupt::happened() {
        bail!("copilotd ended with {status}");
    }
    Ok(())
}
