//! The page of commands and decisions beside this file, as a test.

use std::fmt::Write;
use std::path::Path;

use super::{AllowAll, Decision, Guard, Request, RuleSet, Source, decide};

const PAGE: &str = include_str!("commands.md");

/// A folder as the page says: a repository, some files, nothing unusual.
fn project() -> tempfile::TempDir {
    let scratch = tempfile::tempdir().unwrap();
    let top = scratch.path();
    for folder in ["src", "out", ".git/objects", ".git/refs"] {
        std::fs::create_dir_all(top.join(folder)).unwrap();
    }
    for file in ["src/main.rs", "Makefile", ".git/HEAD"] {
        std::fs::write(top.join(file), "").unwrap();
    }
    let config = "[core]\n\tbare = false\n[remote \"origin\"]\n\turl = https://example.com/x\n";
    std::fs::write(top.join(".git/config"), config).unwrap();
    scratch
}

fn rules(text: &str) -> RuleSet {
    let mut set = RuleSet {
        pinned: true,
        guard: Guard::new(Vec::new(), None),
        ..RuleSet::default()
    };
    for rule in text.split(" ; ").map(str::trim) {
        match rule.strip_prefix("deny ") {
            Some(denied) => set.deny.push((denied.parse().unwrap(), Source::Flag)),
            None if rule == "none" => {}
            None if rule == "ALL" => set.allow_all = AllowAll::EVERYTHING,
            None => set.allow.push((rule.parse().unwrap(), Source::Flag)),
        }
    }
    set
}

fn written(command: &str) -> String {
    command
        .replace('⏎', "\n")
        .replace('␍', "\r")
        .replace('␀', "\0")
        .replace('␣', "\u{a0}")
}

fn answer(command: &str, rules: &RuleSet, folder: &Path) -> (&'static str, String) {
    let request = Request::Shell {
        command: written(command),
    };
    match decide(&request, rules, folder) {
        Decision::Allow { why } => ("allow", why),
        Decision::Deny { why } => ("deny", why),
        Decision::Ask { why } => ("ask", why),
    }
}

#[test]
fn every_command_of_the_page_is_decided_as_it_says() {
    let project = project();
    let folder = project.path().canonicalize().unwrap();
    let mut set = rules("none");
    let mut wrong = String::new();
    let mut count = 0;
    for line in PAGE.lines() {
        if let Some(text) = line.strip_prefix("Rules: ") {
            set = rules(text);
        } else if let Some((expected, command)) = line
            .strip_prefix("- ")
            .and_then(|item| item.split_once(": "))
        {
            count += 1;
            let (answer, why) = answer(command, &set, &folder);
            if answer != expected {
                writeln!(wrong, "{command}: {answer}, not {expected}: {why}").unwrap();
            }
        }
    }
    assert!(count >= 300, "the page has {count} commands only");
    assert!(wrong.is_empty(), "\n{wrong}");
}
