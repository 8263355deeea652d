//! The page's own checks, tests, demo and figures. Its build belongs to the relay, which carries it.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Result, anyhow, bail};
use serde_json::Value;

use crate::{binaries, browser, run, say};

const LEAST_NODE: u32 = 20;

/// Set where the suites are to do what takes minutes by nature; they read it.
const LONG_VARIABLE: &str = "COPILOT_TEST_LONG";

/// Where the demo leaves its pictures; the demo reads it.
const PICTURES_VARIABLE: &str = "COPILOT_DEMO_PICTURES";

/// How much of an error of a test in Chromium is repeated in the summary.
const SHOWN_LINES: usize = 12;

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

/// The page in a real Chromium, over the real binaries of this folder.
pub(crate) struct Chromium {
    path: PathBuf,
}

impl Chromium {
    /// Gets what the page's suites need, or says what is missing. Before anything is built, so
    /// that nobody waits for a build to be told.
    pub(crate) fn get() -> Result<Self> {
        node_is_here()?;
        let path = browser::chromium()?;
        install()?;
        Ok(Self { path })
    }

    /// The tests whose names contain the filter; with `long` at their full length.
    pub(crate) fn test(&self, binaries: &Path, filter: Option<&str>, long: bool) -> Result<()> {
        say::step("running the page's tests in Chromium");
        let mut playwright = self.playwright(binaries, "playwright.config.ts");
        if long {
            playwright.env(LONG_VARIABLE, "1");
        }
        if let Some(filter) = filter {
            playwright.args(["--grep", &literally(filter)]);
        }
        let report = tempfile::NamedTempFile::new()?;
        playwright.args(["--reporter", "list,json"]);
        playwright.env("PLAYWRIGHT_JSON_OUTPUT_FILE", report.path());
        run::run(&mut playwright).map_err(|error| {
            let report = std::fs::read(report.path()).unwrap_or_default();
            let report = serde_json::from_slice(&report).unwrap_or_default();
            anyhow!("{error}{}", run::list(&failed_specs(&report)))
        })
    }

    /// The demo of remote access; its pictures go to this folder.
    pub(crate) fn demo(&self, binaries: &Path, pictures: &Path) -> Result<()> {
        let mut playwright = self.playwright(binaries, "playwright.demo.config.ts");
        run::run(playwright.env(PICTURES_VARIABLE, pictures))
    }

    /// The page's figures, from this file of `tests/bench`.
    pub(crate) fn bench(&self, binaries: &Path, file: &str) -> Result<()> {
        let mut playwright = self.playwright(binaries, "playwright.bench.config.ts");
        run::run(playwright.arg(file))
    }

    fn playwright(&self, binaries: &Path, config: &str) -> Command {
        let mut command = npm(&[
            "exec",
            "--no",
            "--",
            "playwright",
            "test",
            "--config",
            config,
        ]);
        command
            .env(binaries::FOLDER_VARIABLE, binaries)
            .env(browser::VARIABLE, &self.path);
        command
    }
}

/// Every test of a report of Playwright's that did not pass, and why in a few lines.
fn failed_specs(report: &Value) -> Vec<String> {
    let list = |value: &Value, name: &str| value[name].as_array().cloned().unwrap_or_default();
    let mut failed: Vec<String> = list(report, "suites")
        .iter()
        .flat_map(failed_specs)
        .collect();
    for spec in list(report, "specs") {
        if spec["ok"] == Value::Bool(true) {
            continue;
        }
        let place = format!(
            "{}:{}",
            spec["file"].as_str().unwrap_or_default(),
            spec["line"]
        );
        failed.push(format!(
            "{place} {}",
            spec["title"].as_str().unwrap_or_default()
        ));
        let tests = list(&spec, "tests");
        let results = tests.iter().flat_map(|test| list(test, "results"));
        for error in results.flat_map(|result| list(&result, "errors")) {
            let message = without_colours(error["message"].as_str().unwrap_or_default());
            let lines = message.lines().filter(|line| !line.trim().is_empty());
            failed.extend(lines.take(SHOWN_LINES).map(|line| format!("    {line}")));
        }
    }
    failed
}

/// The text without the escape sequences that colour it.
fn without_colours(text: &str) -> String {
    let mut pieces = text.split("\x1b[");
    let first = pieces.next().unwrap_or_default();
    let rest = pieces.map(|piece| piece.split_once('m').map_or(piece, |(_, text)| text));
    std::iter::once(first).chain(rest).collect()
}

/// An expression that matches this text and nothing else.
fn literally(text: &str) -> String {
    text.chars()
        .flat_map(|char| {
            let escape =
                (!char.is_alphanumeric() && char.is_ascii() && char != ' ').then_some('\\');
            escape.into_iter().chain([char])
        })
        .collect()
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

/// Node, which is installed where that can be done without asking anybody.
fn node_is_here() -> Result<()> {
    let missing = match node() {
        Ok(()) => return Ok(()),
        Err(missing) => missing,
    };
    if !run::may_install() {
        return Err(missing);
    }
    // Some systems offer one that is too old.
    let offered = run::offered("nodejs").as_deref().and_then(major);
    if offered.is_none_or(|major| major < LEAST_NODE) {
        return Err(missing);
    }
    say::step("installing Node, which the page is built and tested with, with apt-get");
    run::install(&["nodejs", "npm"])?;
    node()
}

fn node() -> Result<()> {
    let version = run::output("node", &["--version"]).map(|said| said.trim().to_owned());
    let least = version.as_deref().and_then(major);
    if least.is_none_or(|major| major < LEAST_NODE) {
        bail!(
            "the page is built and tested with Node {LEAST_NODE} or newer, and {}: https://nodejs.org",
            version.map_or("there is none".to_owned(), |version| format!(
                "this is {version}"
            ))
        );
    }
    if !run::works(npm(&[]).get_program(), &["--version"]) {
        bail!(
            "the page is built and tested with npm, which comes with Node, and there is none: https://nodejs.org"
        );
    }
    Ok(())
}

/// The first number of a version.
fn major(version: &str) -> Option<u32> {
    version
        .trim_start_matches('v')
        .split('.')
        .next()
        .and_then(|major| major.parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_is_taken_literally() {
        assert_eq!(literally("two tabs (of one)?"), r"two tabs \(of one\)\?");
        assert_eq!(literally("größer"), "größer");
    }

    #[test]
    fn a_report_names_what_failed_and_why() {
        let report = serde_json::json!({"suites": [{"specs": [
            {"title": "passes", "ok": true, "file": "a.spec.ts", "line": 1},
        ], "suites": [{"specs": [
            {"title": "fails", "ok": false, "file": "a.spec.ts", "line": 7, "tests": [
                {"results": [{"errors": [{"message": "no such \u{1b}[31mbutton\u{1b}[39m\n\nCall log:"}]}]},
            ]},
        ]}]}]});
        let failed = failed_specs(&report);
        assert_eq!(
            failed,
            ["a.spec.ts:7 fails", "    no such button", "    Call log:"]
        );
        assert!(failed_specs(&Value::Null).is_empty());
    }

    #[test]
    fn a_version_begins_with_its_major_number() {
        assert_eq!(major("v20.11.1"), Some(20));
        assert_eq!(major("18.20.4+dfsg-1~deb12u1"), Some(18));
        assert_eq!(major(""), None);
    }
}
