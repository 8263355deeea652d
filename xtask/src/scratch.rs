//! A throw-away home for a daemon: its folders, its environment, its end.
//!
//! Whatever happens, the daemon is stopped and the folder is gone afterwards.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use anyhow::{Context, Result};
use tempfile::TempDir;

use crate::binaries;

/// Variables that would make a run depend on the machine it runs on.
const FOREIGN: [&str; 12] = [
    "COPILOT_PROVIDER_BASE_URL",
    "COPILOT_PROVIDER_TYPE",
    "COPILOT_PROVIDER_API_KEY",
    "COPILOT_PROVIDER_WIRE_API",
    "COPILOT_MODEL",
    "COPILOT_GITHUB_TOKEN",
    "GH_TOKEN",
    "GITHUB_TOKEN",
    "COPILOT_SCRIPTED_MODEL",
    "LISTEN_FDS",
    "LISTEN_PID",
    "NOTIFY_SOCKET",
];

/// A scratch `COPILOTD_HOME` and the binaries that work in it.
pub(crate) struct Scratch {
    // Kept for its Drop, which removes the folder.
    folder: TempDir,
    binaries: PathBuf,
    model: Option<&'static str>,
}

impl Scratch {
    /// Makes the folder. `model` is the scripted scenario, or nothing for a
    /// real model of the caller's environment.
    pub(crate) fn new(binaries: PathBuf, model: Option<&'static str>) -> Result<Self> {
        // A socket's path may have about a hundred bytes: stay near the root.
        let folder = tempfile::Builder::new()
            .prefix("copilot-")
            .tempdir()
            .context("cannot make a scratch folder")?;
        Ok(Self {
            folder,
            binaries,
            model,
        })
    }

    /// The scratch folder itself.
    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    /// What `COPILOTD_HOME` is here.
    pub(crate) fn home(&self) -> PathBuf {
        self.path().join("home")
    }

    /// The path of one of the product's binaries.
    pub(crate) fn binary(&self, name: &str) -> PathBuf {
        binaries::at(&self.binaries, name)
    }

    /// Variables to set for every program that belongs to this home.
    pub(crate) fn environment(&self) -> Vec<(&'static str, String)> {
        let mut variables = vec![("COPILOTD_HOME", self.home().display().to_string())];
        if let Some(model) = self.model {
            variables.push(("COPILOT_SCRIPTED_MODEL", model.to_owned()));
        }
        variables
    }

    /// Variables of the caller that must not leak in.
    pub(crate) fn foreign(&self) -> &'static [&'static str] {
        if self.model.is_some() { &FOREIGN } else { &[] }
    }

    /// A command for one of the product's binaries in this home.
    pub(crate) fn command(&self, name: &str) -> Command {
        let mut command = Command::new(self.binary(name));
        for variable in self.foreign() {
            command.env_remove(variable);
        }
        command.envs(self.environment());
        command
    }

    /// Runs `copilot` with these arguments in a folder and returns what it
    /// said.
    pub(crate) fn copilot(&self, folder: &Path, arguments: &[&str]) -> Result<Output> {
        self.command("copilot")
            .args(arguments)
            .current_dir(folder)
            .stdin(Stdio::null())
            .output()
            .with_context(|| format!("cannot start `copilot {}`", arguments.join(" ")))
    }

    /// Stops the daemon of this home; it is no error when none runs.
    pub(crate) fn stop_daemon(&self) -> Result<()> {
        if self.home().join("run").exists() {
            self.copilot(self.path(), &["daemon", "stop", "--force"])?;
        }
        Ok(())
    }

    /// Everything the daemon of this home has logged, for a report of a
    /// failure.
    pub(crate) fn daemon_log(&self) -> String {
        let Ok(entries) = std::fs::read_dir(self.home().join("data").join("logs")) else {
            return String::new();
        };
        let mut paths: Vec<_> = entries.flatten().map(|entry| entry.path()).collect();
        paths.sort();
        paths
            .into_iter()
            .filter_map(|path| std::fs::read_to_string(path).ok())
            .collect()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // Nothing may be left running; an error has nobody to go to here.
        let _ = self.stop_daemon();
    }
}
