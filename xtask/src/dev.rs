//! `cargo xtask dev`: the daemon in the foreground, for working on it.

use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::scratch::Scratch;
use crate::{binaries, interrupt, say};

/// Between two looks at Ctrl+C and at the daemon.
const PAUSE: Duration = Duration::from_millis(100);

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
    // The daemon makes a session of its own, so Ctrl+C reaches only us.
    let mut daemon = scratch
        .command("copilotd")
        .args(["--foreground", "--log-to-stderr"])
        .env(
            "COPILOTD_LOG",
            std::env::var("COPILOTD_LOG").unwrap_or_else(|_| "debug".to_owned()),
        )
        .stdin(Stdio::null())
        .spawn()
        .context("cannot start copilotd")?;
    while !interrupt::happened() {
        if let Some(status) = daemon.try_wait().context("cannot watch copilotd")? {
            if status.success() {
                return Ok(());
            }
            bail!("copilotd ended with {status}");
        }
        std::thread::sleep(PAUSE);
    }
    scratch.stop_daemon()?;
    daemon.wait().context("cannot wait for copilotd")?;
    Ok(())
}
