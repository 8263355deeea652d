//! A turn's file changes are taken back, whoever changed them and whoever asks.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use ahp_types::state::{ResponsePart, Turn};
use copilot_tests::attached::{Attached, open_permission, spoken};
use copilot_tests::{Client, Home, Scenario, say, tool, until};
use serde_json::json;

const CHANGES: &str = "printf 'new\\n' > edited && git mv -f moved elsewhere && rm deleted && \
    chmod 600 script && printf '\\0\\377\\1' > binary && mkdir -p made/deep && echo x > made/deep/file && \
    ln -sf binary link && printf ' and more' >> README.md";

fn scenario() -> Scenario {
    Scenario::new()
        .on(
            "^change",
            [tool("shell", json!({"command": CHANGES})), say("Changed.")],
        )
        .on(
            "create",
            [
                tool("create", json!({"path": "by-tool", "content": "made\n"})),
                say("Created."),
            ],
        )
        .on("took back", [say("I know.")])
        .on(
            "look",
            [tool("shell", json!({"command": "ls"})), say("Looked.")],
        )
}

fn home() -> Home {
    let home = Home::new(scenario());
    home.write("edited", "old\r\n");
    home.write("moved", "moves");
    home.write("deleted", "was here");
    home.write("script", "#!/bin/sh\n");
    std::fs::write(home.project().join("binary"), [0, 159, 146, 150]).unwrap();
    std::os::unix::fs::symlink("edited", home.project().join("link")).unwrap();
    let mode = std::fs::Permissions::from_mode(0o755);
    std::fs::set_permissions(home.project().join("script"), mode).unwrap();
    let added = home.command("git", &["add", "--all"]).status().unwrap();
    assert!(added.success());
    home.start_daemon();
    home
}

/// Path, mode and content of everything but git's own.
fn picture(folder: &Path) -> Vec<String> {
    let mut lines = Vec::new();
    let mut waiting = vec![folder.to_owned()];
    while let Some(next) = waiting.pop() {
        for entry in std::fs::read_dir(next).unwrap() {
            let path = entry.unwrap().path();
            if path.ends_with(".git") {
                continue;
            }
            let found = path.symlink_metadata().unwrap();
            let content = match () {
                () if found.is_symlink() => format!("{:?}", std::fs::read_link(&path)),
                () if found.is_dir() => {
                    waiting.push(path.clone());
                    String::new()
                }
                () => format!("{:?}", std::fs::read(&path)),
            };
            let mode = found.permissions().mode();
            lines.push(format!("{} {mode:o} {content}", path.display()));
        }
    }
    lines.sort();
    lines
}

fn notices(turn: &Turn, kind: &str) -> Vec<String> {
    let notice = |part: &ResponsePart| match part {
        ResponsePart::SystemNotification(part) => {
            let part = serde_json::to_value(part).unwrap();
            (part["_meta"]["copilot.notice"] == kind).then(|| part["content"].to_string())
        }
        _ => None,
    };
    turn.response_parts.iter().filter_map(notice).collect()
}

fn allow_all(home: &Home) -> Attached {
    let mut screen = Attached::create(
        home,
        "the screen",
        json!({"allowTools": ["shell", "write"]}),
    );
    let turn = screen.prompt("look");
    screen.trust_folder();
    screen.wait_for_end(&turn);
    screen
}

/// A prompt whose permission, if it is asked for, is given.
fn run(screen: &mut Attached, prompt: &str) {
    let turn = screen.prompt(prompt);
    allow(screen, &turn);
    screen.wait_for_end(&turn);
}

fn allow(screen: &mut Attached, turn: &str) {
    screen.wait("a permission, work or the end", |_, chat| {
        let ended = chat.active_turn.is_none();
        let text = serde_json::to_string(&chat.active_turn).unwrap();
        let runs = text.contains(r#""status":"running""#);
        (ended || runs || open_permission(chat).is_some()).then_some(())
    });
    if let Some((_, call)) = open_permission(screen.chat()) {
        assert_eq!(screen.confirm(turn, &call.tool_call_id, "allow-once"), None);
    }
}

#[test]
fn a_command_that_changed_everything_is_taken_back_byte_for_byte_and_everybody_sees_it() {
    let home = home();
    let mut screen = allow_all(&home);
    let before = picture(&home.project());
    run(&mut screen, "change");
    let after = picture(&home.project());
    assert_ne!(after, before);

    let id = screen.id().to_owned();
    let plan = home.copilot(&["undo", &id, "--dry-run", "--json"]);
    plan.expect_code(0);
    let plan = plan.json();
    assert_eq!((&plan["turn"], &plan["done"]), (&json!(2), &json!(false)));
    let changes = plan["changes"].as_array().unwrap();
    let change = |path: &str| {
        let found = changes.iter().find(|change| change["path"] == path);
        found
            .map(|change| change["change"].clone())
            .unwrap_or_default()
    };
    for (path, kind) in [
        ("edited", "edited"),
        ("moved", "deleted"),
        ("elsewhere", "created"),
        ("deleted", "deleted"),
        ("script", "edited"),
        ("binary", "edited"),
        ("made", "created"),
        ("made/deep/file", "created"),
        ("link", "edited"),
        ("README.md", "edited"),
    ] {
        assert_eq!(change(path), kind, "{path}: {plan}");
    }
    assert_eq!(picture(&home.project()), after, "a dry run changes nothing");

    // From a second client, as a message.
    let mut other = Attached::subscribe(Client::connect(&home, "the phone"), &id);
    let turn = other.prompt("/undo");
    let ended = other.wait_for_end(&turn);
    assert_eq!(notices(&ended, "undone").len(), 1, "{ended:?}");
    assert_eq!(picture(&home.project()), before);
    assert_eq!(notices(&screen.wait_for_end(&turn), "undone").len(), 1);

    // The agent hears of it with the next prompt.
    let turn = screen.prompt("and now?");
    assert_eq!(
        spoken(&screen.wait_for_end(&turn).response_parts),
        "I know."
    );
    let audit = home
        .copilot(&["audit", "--session", &id, "--json"])
        .json_lines();
    let undone = audit.iter().find(|record| record["event"] == "undone");
    let undone = undone.expect("the audit has it");
    assert_eq!(
        (&undone["turn"], &undone["by"]["name"]),
        (&json!(2), &json!("the phone"))
    );
}

#[test]
fn it_refuses_with_the_names_when_something_changed_since() {
    let home = home();
    let mut screen = allow_all(&home);
    run(&mut screen, "change");
    home.write("edited", "by the person");
    let id = screen.id().to_owned();
    let before = picture(&home.project());
    let plan = home.copilot(&["undo", &id, "--dry-run", "--json"]);
    plan.expect_code(1);
    assert_eq!(plan.json()["changedSince"], json!(["edited"]));
    let refused = home.copilot(&["undo", &id]);
    refused.expect_code(1);
    assert!(
        refused.stderr.contains("this changed since: edited"),
        "{refused:?}"
    );
    let turn = screen.prompt("/undo 2");
    let ended = screen.wait_for_end(&turn);
    let words = notices(&ended, "undo-refused");
    assert!(words[0].contains("edited"), "{words:?}");
    assert_eq!(picture(&home.project()), before);
}

#[test]
fn what_a_tool_made_is_undone_by_a_command_after_a_restart() {
    let home = home();
    let mut screen = allow_all(&home);
    run(&mut screen, "create");
    assert_eq!(home.read("by-tool").as_deref(), Some("made\n"));
    let id = screen.id().to_owned();
    home.copilot(&["daemon", "stop", "--force"]).expect_code(0);
    home.start_daemon();
    let undone = home.copilot(&["undo", &id, "--turn", "2", "--json"]);
    undone.expect_code(0);
    assert_eq!(undone.json()["done"], true);
    assert_eq!(home.read("by-tool"), None);
    let again = home.copilot(&["undo", &id]);
    again.expect_code(1);
    assert!(again.stderr.contains("not undone"), "{again:?}");
    home.copilot(&["sessions", "delete", &id]).expect_code(0);
    let left = std::fs::read_dir(home.path().join("data/undo"));
    assert_eq!(left.into_iter().flatten().count(), 0, "nothing is left");
}

#[test]
fn a_turn_that_only_reads_keeps_nothing() {
    let home = home();
    let screen = allow_all(&home);
    let kept = home.path().join("data/undo").join(screen.id());
    assert!(!kept.exists());
    let nothing = home.copilot(&["undo", screen.id()]);
    nothing.expect_code(1);
    assert!(
        nothing.stderr.contains("no turn changed a file"),
        "{nothing:?}"
    );
}

#[test]
fn what_a_killed_daemon_had_kept_is_still_good() {
    let home = home();
    let mut screen = allow_all(&home);
    let before = picture(&home.project());
    let turn = screen.prompt("change");
    allow(&mut screen, &turn);
    until("the change", || home.read("made/deep/file"));
    until("the end of the command", || {
        home.read("README.md").filter(|text| text.ends_with("more"))
    });
    home.kill_daemon();
    home.start_daemon();
    home.copilot(&["undo", screen.id()]).expect_code(0);
    assert_eq!(picture(&home.project()), before);
    // Once more does no more than that.
    home.copilot(&["undo", screen.id()]);
    assert_eq!(picture(&home.project()), before);
}
