//! `cargo xtask bench`: the figures of `docs/performance.md`, with release binaries.

use anyhow::Result;

use crate::{binaries, run, say};

/// Options of `cargo xtask bench`.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Only figures whose name contains this: verb, rest, echo, slow-clients, flood, stored.
    filter: Option<String>,
}

pub(crate) fn run(options: &Options) -> Result<()> {
    say::step("building the workspace for release");
    let mut build = run::cargo();
    run::run(build.args(["build", "--workspace", "--bins", "--release"]))?;
    let folder = binaries::released()?;
    say::step("measuring");
    say::note("the rest of the machine should be idle");
    let mut figures = std::process::Command::new(binaries::at(&folder, "figures"));
    figures.args(&options.filter);
    figures.env(binaries::FOLDER_VARIABLE, &folder);
    run::run(&mut figures)
}
