//! `cargo xtask test`: every test, with the real binaries built first.

use anyhow::{Result, bail};

use crate::{binaries, run, say, web};

/// Options of `cargo xtask test`.
#[derive(clap::Args, Default)]
pub(crate) struct Options {
    /// Also run the tests that take minutes by nature.
    #[arg(long)]
    pub(crate) long: bool,
    /// Only tests whose name contains this.
    pub(crate) filter: Option<String>,
}

/// Programs the tests use, what for, and how to get them.
const NEEDED: [(&str, &[&str], &str, &str); 3] = [
    (
        "git",
        &["--version"],
        "the tests work in scratch repositories",
        "install git with your system's package manager",
    ),
    (
        "bash",
        &["--version"],
        "the shell tool runs commands with it",
        "install bash with your system's package manager",
    ),
    (
        "setsid",
        &["--version"],
        "the tests start processes that leave their session",
        "it is part of util-linux",
    ),
];

pub(crate) fn run(options: &Options) -> Result<()> {
    check_prerequisites()?;

    say::step("building the workspace");
    let mut build = run::cargo();
    build.args(["build", "--workspace", "--all-targets"]);
    run::run(build.args(binaries::FEATURES))?;
    let folder = binaries::built()?;

    let nextest = run::works(
        std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()),
        &["nextest", "--version"],
    );
    let mut command = run::cargo();
    if nextest {
        say::step("running the tests with cargo-nextest");
        command.args(["nextest", "run", "--workspace", "--no-fail-fast"]);
        command.args(binaries::FEATURES);
        if options.long {
            command.args(["--run-ignored", "all"]);
        }
        if let Some(filter) = &options.filter {
            command.args([filter, "--no-tests", "pass"]);
        }
    } else {
        say::step("running the tests with cargo test");
        say::note("cargo-nextest is not installed; it is faster: cargo install cargo-nextest");
        command.args([
            "test",
            "--workspace",
            "--no-fail-fast",
            "--lib",
            "--bins",
            "--tests",
        ]);
        command.args(binaries::FEATURES).arg("--");
        if options.long {
            command.arg("--include-ignored");
        }
        if let Some(filter) = &options.filter {
            command.arg(filter);
        }
    }
    command.env(binaries::FOLDER_VARIABLE, &folder);
    run::run(&mut command)?;
    if options.filter.is_none() {
        web::test()?;
    }
    Ok(())
}

/// Says everything that is missing at once, and how to get it.
fn check_prerequisites() -> Result<()> {
    let mut missing = Vec::new();
    for (program, arguments, purpose, remedy) in NEEDED {
        if !run::works(program, arguments) {
            missing.push(format!("  {program}: {purpose}; {remedy}"));
        }
    }
    if !missing.is_empty() {
        bail!("programs are missing:\n{}", missing.join("\n"));
    }
    Ok(())
}
