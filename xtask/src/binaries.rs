//! The product's binaries: building them once and knowing where they are.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::run;

/// Packages that make a binary people run.
const PACKAGES: [&str; 4] = ["copilotd", "copilot-cli", "copilot-agent", "copilot-relay"];
/// Those binaries.
const NAMES: [&str; 4] = ["copilotd", "copilot", "copilot-agent", "copilot-relay"];

/// What every build for development has beyond a release: tests can hold the
/// daemon at named points. One set for all verbs, so that they share one build.
pub(crate) const FEATURES: [&str; 2] = ["--features", "copilotd/pause-points"];

/// Names a folder that has the binaries already; the tests read it too.
pub(crate) const FOLDER_VARIABLE: &str = "COPILOT_TEST_BIN_DIR";

/// Builds the binaries with the development profile and returns the
/// folder that has them. Where [`FOLDER_VARIABLE`] names one, it is taken as it is.
pub(crate) fn build() -> Result<PathBuf> {
    if let Some(folder) = std::env::var_os(FOLDER_VARIABLE) {
        return checked(folder.into());
    }
    let mut command = run::cargo();
    command.arg("build");
    for package in PACKAGES {
        command.args(["--package", package]);
    }
    command.args(FEATURES);
    run::run(&mut command)?;
    built()
}

/// The folder that a build of the workspace filled. Building the packages by themselves
/// would build their dependencies once more, with other features.
pub(crate) fn built() -> Result<PathBuf> {
    checked(folder("debug")?)
}

/// The folder that a release build of the workspace filled.
pub(crate) fn released() -> Result<PathBuf> {
    checked(folder("release")?)
}

fn checked(folder: PathBuf) -> Result<PathBuf> {
    for name in NAMES {
        if !at(&folder, name).is_file() {
            bail!("there is no {name} in {}", folder.display());
        }
    }
    Ok(folder)
}

/// The path of one binary in that folder.
pub(crate) fn at(folder: &Path, name: &str) -> PathBuf {
    folder.join(format!("{name}{}", std::env::consts::EXE_SUFFIX))
}

/// Where a profile puts its results; a person may have moved it
/// with `CARGO_TARGET_DIR` or a cargo configuration, so cargo is asked.
fn folder(profile: &str) -> Result<PathBuf> {
    let output = run::cargo()
        .args(["metadata", "--no-deps", "--format-version", "1"])
        .output()
        .context("cannot start `cargo metadata`")?;
    if !output.status.success() {
        bail!(
            "`cargo metadata` failed: {}",
            String::from_utf8_lossy(&output.stderr).trim()
        );
    }
    let metadata: serde_json::Value =
        serde_json::from_slice(&output.stdout).context("`cargo metadata` printed no JSON")?;
    let target = metadata
        .get("target_directory")
        .and_then(serde_json::Value::as_str)
        .context("`cargo metadata` names no target folder")?;
    Ok(Path::new(target).join(profile))
}
