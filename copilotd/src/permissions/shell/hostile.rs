//! Real git in repositories that try to make it run something.

// Failing loudly is what tests are for.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr
)]

use std::path::Path;
use std::process::Command;

use super::{pinned, plain_repository, read_only};

/// Commands that are approved without asking.
const COMMANDS: &[&str] = &[
    "git status",
    "git status --short",
    "git diff",
    "git diff --stat HEAD~1",
    "git diff --cached",
    "git log --oneline -5",
    "git log -p -3",
    "git show HEAD",
    "git blame file.txt",
    "git branch -avv",
    "git grep -n three",
    "git ls-files -m",
    "git describe --always --dirty",
    "git stash list",
    "cd sub && git status",
    "git log | head -3",
];

/// Configuration with which git would run `RUN`, each in a repository of its own.
const HOSTILE: &[(&str, &str)] = &[
    ("core.fsmonitor", "RUN"),
    ("core.hooksPath", "hooks"),
    ("core.pager", "RUN"),
    ("pager.log", "RUN"),
    ("pager.status", "RUN"),
    ("diff.external", "RUN"),
    ("diff.evil.textconv", "RUN"),
    ("diff.evil.command", "RUN"),
    ("filter.evil.clean", "RUN"),
    ("filter.evil.process", "RUN"),
    ("gpg.program", "RUN"),
    ("alias.status", "!RUN"),
    ("core.sshCommand", "RUN"),
    ("core.alternateRefsCommand", "RUN"),
    ("interactive.diffFilter", "RUN"),
    ("include.path", "hostile"),
];

/// A repository with two commits, a change, attributes and a hook for everything.
fn repository() -> tempfile::TempDir {
    let scratch = tempfile::tempdir().unwrap();
    let top = scratch.path();
    std::fs::create_dir(top.join("sub")).unwrap();
    git(top, &["init", "-q"]);
    std::fs::write(top.join("same.txt"), "the same\n").unwrap();
    for text in ["one text\n", "two texts\n"] {
        std::fs::write(top.join("file.txt"), text).unwrap();
        git(top, &["add", "."]);
        git(top, &["commit", "-q", "-m", text]);
    }
    std::fs::write(top.join("file.txt"), "three\n").unwrap();
    std::fs::write(top.join(".gitattributes"), "* diff=evil filter=evil\n").unwrap();
    let run = top.join("run");
    executable(
        &run,
        &format!("#!/bin/sh\n: > {}\ncat\n", marker(top).display()),
    );
    for folder in [top.join("hooks"), top.join(".git/hooks")] {
        std::fs::create_dir_all(&folder).unwrap();
        for hook in [
            "post-index-change",
            "reference-transaction",
            "fsmonitor-watchman",
        ] {
            std::fs::copy(&run, folder.join(hook)).unwrap();
        }
    }
    // Makes git look at the contents again. What is the same is noted in the index, which is what
    // the hooks are about.
    for name in ["file.txt", "same.txt"] {
        let file = std::fs::File::options().write(true).open(top.join(name));
        file.unwrap()
            .set_modified(std::time::SystemTime::UNIX_EPOCH)
            .unwrap();
    }
    scratch
}

fn marker(top: &Path) -> std::path::PathBuf {
    top.join("ran")
}

fn executable(file: &Path, text: &str) {
    use std::os::unix::fs::PermissionsExt;
    std::fs::write(file, text).unwrap();
    std::fs::set_permissions(file, std::fs::Permissions::from_mode(0o755)).unwrap();
}

fn hermetic(command: &mut Command) -> &mut Command {
    command
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("GIT_AUTHOR_NAME", "a")
        .env("GIT_AUTHOR_EMAIL", "a@example.com")
        .env("GIT_COMMITTER_NAME", "a")
        .env("GIT_COMMITTER_EMAIL", "a@example.com")
}

fn git(folder: &Path, arguments: &[&str]) {
    let mut git = Command::new("git");
    let output = hermetic(git.arg("-C").arg(folder).args(arguments))
        .output()
        .unwrap();
    assert!(output.status.success(), "{arguments:?}: {output:?}");
}

/// Runs a command as the agent does after an approval that nobody was asked for.
fn approved(command: &str, top: &Path) -> std::process::Output {
    let mut bash = Command::new("bash");
    hermetic(bash.args(["-c", command]).current_dir(top));
    for (name, value) in pinned(command) {
        match value {
            Some(value) => bash.env(name, value),
            None => bash.env_remove(name),
        };
    }
    bash.output().unwrap()
}

#[test]
fn a_plain_repository_works_and_runs_nothing() {
    let repository = repository();
    let top = repository.path();
    assert_eq!(plain_repository(top), Ok(()));
    for command in COMMANDS {
        assert_eq!(read_only(command, top), Ok(()), "{command}");
        let output = approved(command, top);
        assert!(output.status.success(), "{command}: {output:?}");
        assert!(!marker(top).exists(), "{command} ran something");
    }
}

#[test]
fn a_hostile_repository_is_asked_about() {
    for (key, value) in HOSTILE {
        let repository = repository();
        let top = repository.path();
        let run = top.join("run").display().to_string();
        git(top, &["config", key, &value.replace("RUN", &run)]);
        assert!(read_only("git status", top).is_err(), "{key}");
        assert!(
            plain_repository(&top.join("sub")).is_err(),
            "{key} from below"
        );
    }
}

/// What the environment turns off is off even where the configuration is not looked at.
#[test]
fn the_environment_alone_stops_what_it_names() {
    let pinnable = [
        "core.fsmonitor",
        "core.hooksPath",
        "core.pager",
        "gpg.program",
    ];
    for (key, value) in HOSTILE.iter().filter(|(key, _)| pinnable.contains(key)) {
        let repository = repository();
        let top = repository.path();
        let run = top.join("run").display().to_string();
        git(top, &["config", key, &value.replace("RUN", &run)]);
        git(top, &["config", "log.showSignature", "true"]);
        for command in COMMANDS {
            approved(command, top);
            assert!(!marker(top).exists(), "{command} ran {key}");
        }
    }
}

/// The other way round: without the environment some of it does run, so that the tests above
/// say something.
#[test]
fn without_the_environment_a_hook_runs() {
    let repository = repository();
    let top = repository.path();
    git(top, &["status"]);
    assert!(marker(top).exists());
}
