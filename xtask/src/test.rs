//! `cargo xtask test`: every test, with the real binaries built first.

use std::path::{Path, PathBuf};

use anyhow::{Result, bail};

use crate::{binaries, run, say, web};

/// Options of `cargo xtask test`.
#[derive(clap::Args, Default)]
pub(crate) struct Options {
    /// Also run the tests that take minutes by nature.
    #[arg(long)]
    pub(crate) long: bool,
    /// Only the tests of the page in a real Chromium.
    #[arg(long)]
    pub(crate) browser: bool,
    /// Only tests whose name contains this; without --browser only those in Rust.
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
    if options.browser {
        let chromium = web::Chromium::get()?;
        let folder = match binaries::named() {
            Some(_) => binaries::build_with(&[binaries::WORLD])?,
            None => build()?,
        };
        return chromium.test(&folder, options.filter.as_deref(), options.long);
    }
    check_prerequisites()?;
    // A filter names tests of one language; the page has its own.
    let chromium = match options.filter {
        None => Some(web::Chromium::get()?),
        Some(_) => None,
    };
    let folder = build()?;
    // All of them, so that one run shows all there is to do.
    let mut outcomes = vec![rust(options, &folder)];
    if let Some(chromium) = chromium {
        outcomes.push(web::test());
        outcomes.push(chromium.test(&folder, None, options.long));
    }
    let failed: Vec<String> = outcomes
        .into_iter()
        .filter_map(Result::err)
        .map(|error| format!("{error:#}"))
        .collect();
    if !failed.is_empty() {
        bail!("{}", failed.join("\n"));
    }
    Ok(())
}

/// Everything, and where it is.
fn build() -> Result<PathBuf> {
    say::step("building the workspace");
    let mut build = run::cargo();
    build.args(["build", "--workspace", "--all-targets"]);
    run::run(build.args(binaries::FEATURES))?;
    binaries::built()
}

fn rust(options: &Options, folder: &Path) -> Result<()> {
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
        say::note(
            "cargo-nextest is not installed, so one test runs after another; it is faster: \
             cargo install cargo-nextest",
        );
        command.args([
            "test",
            "--workspace",
            "--no-fail-fast",
            "--lib",
            "--bins",
            "--tests",
        ]);
        command.args(binaries::FEATURES);
        // With nextest each test has a process of its own. In one that several share, the hosts of
        // all of them would take each other's children for what an agent left behind.
        command.args(["--", "--test-threads=1"]);
        if options.long {
            command.arg("--include-ignored");
        }
        if let Some(filter) = &options.filter {
            command.arg(filter);
        }
    }
    if acme_server() {
        command.env("COPILOT_TEST_REQUIRE_PEBBLE", "1");
    }
    command.env(binaries::FOLDER_VARIABLE, folder);
    match nextest {
        true => run::run_and_keep(&mut command, failed_test),
        // It says itself at its end what failed. What a test leaves behind holds its output open.
        false => run::run(&mut command),
    }
}

/// The test that a line of nextest's says has failed.
fn failed_test(line: &str) -> Option<String> {
    const MARKS: [&str; 5] = ["FAIL [", "TIMEOUT [", "ABORT [", "LEAK-FAIL [", "SIG"];
    let line = line.trim();
    let (_, name) = line.split_once("] ")?;
    let name = name.trim_start_matches(|char: char| "(/ )0123456789".contains(char));
    MARKS
        .iter()
        .any(|mark| line.starts_with(mark))
        .then(|| name.to_owned())
}

/// Whether the ACME server is here that the relay is tested against. It is installed where that is
/// possible; it is packaged for Debian and Ubuntu only, so its tests are passed over elsewhere.
fn acme_server() -> bool {
    let is_here = || {
        let look = "command -v pebble && command -v pebble-challtestsrv";
        run::works("bash", &["-c", look])
    };
    if is_here() {
        return true;
    }
    if run::may_install() {
        say::step("installing Pebble, an ACME server for tests, with apt-get");
        if let Err(error) = run::install(&["pebble"]) {
            say::error(&error);
        }
    }
    if !is_here() {
        say::note(
            "pebble is not installed, so the tests of certificates from an ACME server are passed over: \
             apt-get install pebble",
        );
    }
    is_here()
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lines_of_failures_name_their_tests() {
        let said = |line| failed_test(line);
        assert_eq!(
            said("        FAIL [   0.010s] (3/9) copilotd::host agents::it_ends\n").as_deref(),
            Some("copilotd::host agents::it_ends")
        );
        assert_eq!(
            said("     TIMEOUT [ 180.003s] copilot-tests::floods it_waits").as_deref(),
            Some("copilot-tests::floods it_waits")
        );
        assert_eq!(
            said("        PASS [   0.010s] (3/9) copilotd::host a"),
            None
        );
        assert_eq!(said("thread 'main' panicked at FAIL [1] x"), None);
    }
}
