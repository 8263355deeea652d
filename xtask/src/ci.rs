//! `cargo xtask ci`: everything that must hold before a change is merged.
//!
//! Runs every check even after one has failed, so that one run shows all there
//! is to do.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use crate::{binaries, disk, run, say, test, web};

enum Outcome {
    Passed(Duration),
    Failed(anyhow::Error),
    Skipped(&'static str),
}

pub(crate) fn run() -> Result<()> {
    disk::has_room(&binaries::target()?)?;
    // Nothing is changed and built again here, and disks of build machines are small.
    run::without_incremental();
    let mut results = vec![
        (
            "format",
            check("format", || {
                run::run(run::cargo().args(["fmt", "--all", "--check"]))
            }),
        ),
        ("lints", check("lints", clippy)),
        ("page", check("page", web::check)),
        // The structure test is one of these.
        (
            "tests",
            check("tests", || test::run(&test::Options::default())),
        ),
        ("demo", check("demo", || demo(&[]))),
        (
            "demo of remote access",
            check("demo of remote access", || demo(&["--remote"])),
        ),
        (
            "the same without a browser",
            check("demo of remote access without a browser", || {
                demo(&["--remote", "--headless"])
            }),
        ),
        ("documentation", check("documentation", documentation)),
    ];
    results.extend(dependencies());

    say::step("summary");
    let mut failed = Vec::new();
    for (name, outcome) in &results {
        match outcome {
            Outcome::Passed(took) => {
                say::line(&format!("passed   {name} ({:.0} s)", took.as_secs_f32()))
            }
            Outcome::Skipped(why) => say::line(&format!("skipped  {name}: {why}")),
            Outcome::Failed(error) => {
                say::line(&format!("FAILED   {name}: {error:#}"));
                failed.push(*name);
            }
        }
    }
    if !failed.is_empty() {
        bail!("not ready: {}", failed.join(", "));
    }
    Ok(())
}

fn check(name: &str, body: impl FnOnce() -> Result<()>) -> Outcome {
    say::step(name);
    let started = Instant::now();
    match body() {
        Ok(()) => Outcome::Passed(started.elapsed()),
        Err(error) => {
            say::error(&error);
            Outcome::Failed(error)
        }
    }
}

fn clippy() -> Result<()> {
    let mut clippy = run::cargo();
    clippy.args(["clippy", "--workspace", "--all-targets"]);
    clippy.args(binaries::FEATURES);
    run::run(clippy.args(["--", "--deny", "warnings"]))
}

/// As a stranger runs it, without a terminal.
fn demo(arguments: &[&str]) -> Result<()> {
    let binaries = binaries::built()?;
    let mut demo = run::cargo();
    demo.args(["xtask", "demo"]).args(arguments);
    run::run(demo.env(binaries::FOLDER_VARIABLE, binaries))
}

fn documentation() -> Result<()> {
    run::run(
        run::cargo()
            .args([
                "doc",
                "--workspace",
                "--no-deps",
                "--document-private-items",
            ])
            .env("RUSTDOCFLAGS", "--deny warnings"),
    )
}

/// Two checks: the second needs a database that is fetched from elsewhere.
fn dependencies() -> Vec<(&'static str, Outcome)> {
    const LICENCES: &str = "licences and sources";
    const ADVISORIES: &str = "advisories";
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    if !run::works(&cargo, &["deny", "--version"]) {
        let missing = "cargo-deny is not installed (cargo install cargo-deny)";
        return vec![
            (LICENCES, Outcome::Skipped(missing)),
            (ADVISORIES, Outcome::Skipped(missing)),
        ];
    }
    let deny = |what: &[&str]| run::run(run::cargo().args(["deny", "check"]).args(what));
    let licences = check(LICENCES, || deny(&["licenses", "bans", "sources"]));
    let advisories = match run::works(&cargo, &["deny", "fetch", "db"]) {
        true => check(ADVISORIES, || deny(&["advisories"])),
        false => {
            Outcome::Skipped("their database cannot be fetched (cargo deny fetch db says why)")
        }
    };
    vec![(LICENCES, licences), (ADVISORIES, advisories)]
}
