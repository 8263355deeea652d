//! The product's binaries: building them once and knowing where they are.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::run;

/// Packages that make a binary people run.
const PACKAGES: [&str; 3] = ["copilotd", "copilot-cli", "copilot-agent"];
/// Those binaries.
const NAMES: [&str; 3] = ["copilotd", "copilot", "copilot-agent"];

/// What every build for development has beyond a release: tests can hold the
/// daemon at named points. One set for all verbs, so that they share one build.
pub(crate) const FEATURES: [&str; 2] = ["--features", "copilotd/pause-points"];

/// Builds the three binaries with the development profile and returns the
/// folder that has them.
pub(crate) fn build() -> Result<PathBuf> {
    let mut command = run::cargo();
    command.arg("build");
    for package in PACKAGES {
        command.args(["--package", package]);
    }
    command.args(FEATURES);
    run::run(&mut command)?;
    let folder = folder()?;
    for name in NAMES {
        if !at(&folder, name).is_file() {
            bail!("`cargo build` made no {name} in {}", folder.display());
        }
    }
    Ok(folder)
}

/// The path of one binary in that folder.
pub(crate) fn at(folder: &Path, name: &str) -> PathBuf {
    folder.join(format!("{name}{}", std::env::consts::EXE_SUFFIX))
}

/// Where the development profile puts its results; a person may have moved it
/// with `CARGO_TARGET_DIR` or a cargo configuration, so cargo is asked.
fn folder() -> Result<PathBuf> {
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
    Ok(Path::new(target).join("debug"))
}
