//! The product's binaries, and those of its tests: building them once and knowing where they are.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::run;

/// Packages that make a binary people run.
const PACKAGES: [&str; 4] = ["copilotd", "copilot-cli", "copilot-agent", "copilot-relay"];
/// Those binaries.
const NAMES: [&str; 4] = ["copilotd", "copilot", "copilot-agent", "copilot-relay"];
/// The package of what drives them in tests and demos.
const TESTS: &str = "copilot-tests";
/// A scratch world with all of them in it, for programs that are not written in Rust.
pub(crate) const WORLD: &str = "world";
/// The demo of remote access without a browser.
pub(crate) const REMOTE_DEMO: &str = "remote-demo";

/// What every build for development has beyond a release: tests can hold the
/// daemon at named points. One set for all verbs, so that they share one build.
pub(crate) const FEATURES: [&str; 2] = ["--features", "copilotd/pause-points"];

/// Names a folder that has the binaries already; the tests read it too.
pub(crate) const FOLDER_VARIABLE: &str = "COPILOT_TEST_BIN_DIR";

/// Builds the binaries with the development profile and returns the
/// folder that has them. Where [`FOLDER_VARIABLE`] names one, it is taken as it is.
pub(crate) fn build() -> Result<PathBuf> {
    build_with(&[])
}

/// The same with these binaries of the tests.
pub(crate) fn build_with(tests: &[&str]) -> Result<PathBuf> {
    if let Some(folder) = named() {
        return checked(folder, tests);
    }
    let mut command = run::cargo();
    command.arg("build");
    for package in PACKAGES {
        command.args(["--package", package]);
    }
    if !tests.is_empty() {
        command.args(["--package", TESTS]);
    }
    for binary in NAMES.iter().chain(tests) {
        command.args(["--bin", binary]);
    }
    command.args(FEATURES);
    run::run(&mut command)?;
    checked(target()?.join("debug"), tests)
}

/// The folder that [`FOLDER_VARIABLE`] names, if it names one.
pub(crate) fn named() -> Option<PathBuf> {
    std::env::var_os(FOLDER_VARIABLE).map(PathBuf::from)
}

/// The folder that a build of the workspace filled. Building the packages by themselves
/// would build their dependencies once more, with other features.
pub(crate) fn built() -> Result<PathBuf> {
    checked(target()?.join("debug"), &[WORLD, REMOTE_DEMO])
}

/// The folder that a release build of the workspace filled.
pub(crate) fn released() -> Result<PathBuf> {
    checked(target()?.join("release"), &[WORLD])
}

/// That folder, absolute, when it has everything.
fn checked(folder: PathBuf, tests: &[&str]) -> Result<PathBuf> {
    let folder = std::path::absolute(folder).context("a folder of binaries")?;
    for name in NAMES.iter().chain(tests) {
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

/// Where cargo puts its results; a person may have moved it
/// with `CARGO_TARGET_DIR` or a cargo configuration, so cargo is asked.
pub(crate) fn target() -> Result<PathBuf> {
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
    Ok(PathBuf::from(target))
}
