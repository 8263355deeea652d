//! The page's own checks and tests. Its build belongs to the relay, which carries it.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Result, bail};

use crate::{run, say};

const LEAST_NODE: u32 = 20;

fn folder() -> PathBuf {
    run::root().join("web")
}

fn npm(arguments: &[&str]) -> Command {
    let mut command = Command::new(if cfg!(windows) { "npm.cmd" } else { "npm" });
    command.args(arguments).current_dir(folder());
    command
}

/// Types, lints and format.
pub(crate) fn check() -> Result<()> {
    install()?;
    run::run(&mut npm(&["run", "check"]))
}

/// The tests of the page that need no browser.
pub(crate) fn test() -> Result<()> {
    install()?;
    say::step("running the page's tests");
    run::run(&mut npm(&["test"]))
}

/// What the page's lock file names, from the npm registry.
fn install() -> Result<()> {
    node_is_here()?;
    let modified = |path: PathBuf| path.metadata().and_then(|data| data.modified()).ok();
    let installed = modified(folder().join("node_modules/.package-lock.json"));
    if installed.is_some() && installed >= modified(folder().join("package-lock.json")) {
        return Ok(());
    }
    run::run(&mut npm(&["ci", "--no-audit", "--no-fund"]))
}

fn node_is_here() -> Result<()> {
    let output = Command::new("node").arg("--version").output().ok();
    let version = output.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned());
    let major = version
        .as_deref()
        .and_then(|version| version.trim_start_matches('v').split('.').next())
        .and_then(|major| major.parse::<u32>().ok());
    if major.is_none_or(|major| major < LEAST_NODE) {
        bail!(
            "the page is built and tested with Node {LEAST_NODE} or newer, and {}: https://nodejs.org",
            version.map_or("there is none".to_owned(), |version| format!(
                "this is {version}"
            ))
        );
    }
    Ok(())
}
