//! `cargo xtask bench`: the figures of `docs/performance.md`, with release binaries.

use std::path::{Path, PathBuf};

use anyhow::Result;

use crate::{binaries, run, say, web};

/// The figures of the page in a real Chromium, and those that take more than ten minutes.
const PAGE: [(&str, &str); 2] = [
    ("page", "tests/bench/page.bench.ts"),
    ("page-long", "tests/bench/page-long.bench.ts"),
];

/// Options of `cargo xtask bench`.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Only figures whose name contains this: verb, rest, echo, slow-clients, flood, device, answer,
    /// link-rest, stored; or `page`; or `page-long`, which takes more than ten minutes and is measured only
    /// when it is named.
    filter: Option<String>,
}

pub(crate) fn run(options: &Options) -> Result<()> {
    let named = PAGE
        .iter()
        .find(|(name, _)| options.filter.as_deref() == Some(*name));
    match (named, &options.filter) {
        (Some((_, file)), _) => {
            let chromium = web::Chromium::get()?;
            let folder = build()?;
            chromium.bench(&folder, file)
        }
        (None, Some(_)) => figures(options, &build()?),
        (None, None) => {
            let chromium = web::Chromium::get()?;
            let folder = build()?;
            figures(options, &folder)?;
            chromium.bench(&folder, PAGE[0].1)
        }
    }
}

/// For release, unless the environment names binaries to measure.
fn build() -> Result<PathBuf> {
    let folder = if binaries::named().is_some() {
        let folder = binaries::build_with(&[binaries::WORLD])?;
        say::note(&format!("measuring the binaries of {}", folder.display()));
        folder
    } else {
        say::step("building the workspace for release");
        let mut build = run::cargo();
        build.args(["build", "--workspace", "--bins", "--release"]);
        run::run(&mut build)?;
        binaries::released()?
    };
    say::step("measuring");
    say::note("the rest of the machine should be idle");
    Ok(folder)
}

fn figures(options: &Options, folder: &Path) -> Result<()> {
    let mut figures = std::process::Command::new(binaries::at(folder, "figures"));
    figures.args(&options.filter);
    figures.env(binaries::FOLDER_VARIABLE, folder);
    run::run(&mut figures)
}
