//! `cargo xtask demo`: a whole session with a scripted model and real tools.
//!
//! Attached when there is a terminal; otherwise the same unattended, checked
//! at every step, which makes it the first thing to run on a fresh clone.

mod project;
mod unattended;

use std::io::{ErrorKind, IsTerminal};
use std::process::Command;

use anyhow::{Context, Result};

use crate::scratch::Scratch;
use crate::{binaries, interrupt, run, say, web};

/// What the person asks for; the built-in scenario answers to it.
const PROMPT: &str = "Fix the typo in the greeting and make sure that the tests pass.";

/// What to show.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Show remote access instead, unattended: the page in a real Chromium at phone size pairs through the
    /// machine's own relay, answers, prompts, steers, queues and cancels, its transcript is compared with the
    /// terminal's, and a picture of each step is left in a folder that is named at the end.
    #[arg(long)]
    remote: bool,
    /// With a device that has no screen in place of the browser.
    #[arg(long, requires = "remote")]
    headless: bool,
}

pub(crate) fn run(options: &Options) -> Result<()> {
    if options.headless {
        return headless();
    }
    if options.remote {
        return remote();
    }
    say::step("building copilotd, copilot and copilot-agent");
    let scratch = Scratch::new(binaries::build()?, Some("demo"))?;
    let folder = scratch.path().join("project");
    project::create(&folder)?;
    interrupt::note()?;

    let here = std::io::stdin().is_terminal() && std::io::stdout().is_terminal();
    let outcome = if here {
        attached(&scratch, &folder)
    } else {
        unattended::run(&scratch, &folder)
    };
    if outcome.is_err() {
        say::step("the daemon's log");
        say::line(&scratch.daemon_log());
    }
    say::step("stopping the daemon and removing the scratch folder");
    let stopped = scratch.stop_daemon();
    outcome.and(stopped)
}

/// The browser and all around it are those of the page's tests.
fn remote() -> Result<()> {
    let chromium = web::Chromium::get()?;
    say::step("building copilotd, copilot, copilot-agent and copilot-relay");
    let folder = binaries::build_with(&[binaries::WORLD])?;
    let pictures = binaries::target()?.join("demo-remote");
    // Those of an earlier run would be taken for this one's.
    match std::fs::remove_dir_all(&pictures) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            return Err(error).with_context(|| format!("cannot clear {}", pictures.display()));
        }
        _ => {}
    }
    std::fs::create_dir_all(&pictures)
        .with_context(|| format!("cannot make {}", pictures.display()))?;
    chromium.demo(&folder, &pictures)
}

/// The device is the one of the end-to-end suites, and so is everything around it.
fn headless() -> Result<()> {
    say::step("building copilotd, copilot, copilot-agent and copilot-relay");
    let folder = binaries::build_with(&[binaries::REMOTE_DEMO])?;
    let mut demo = Command::new(binaries::at(&folder, binaries::REMOTE_DEMO));
    run::run(demo.env(binaries::FOLDER_VARIABLE, folder))
}

fn attached(scratch: &Scratch, folder: &std::path::Path) -> Result<()> {
    say::step("attaching; Ctrl+D leaves");
    say::note("attach from a second terminal at the same time with");
    say::line(&format!(
        "cd {} && COPILOTD_HOME={} {} attach",
        folder.display(),
        scratch.home().display(),
        scratch.binary("copilot").display(),
    ));
    let status = scratch
        .command("copilot")
        .args(["-i", PROMPT])
        .current_dir(folder)
        .status()
        .context("cannot start copilot")?;
    if !status.success() && !interrupt::happened() {
        anyhow::bail!("copilot ended with {status}");
    }
    say::step("what the session changed");
    say::line(&project::diff(folder)?);
    Ok(())
}
