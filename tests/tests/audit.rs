//! What was asked, decided and done is recorded, by whom and why, and stays.

use std::io::{BufRead, BufReader};
use std::process::Stdio;

use copilot_tests::attached::Attached;
use copilot_tests::{Home, Scenario, say, tool};
use serde_json::{Value, json};

fn scenario() -> Scenario {
    let shell = |command: &str| tool("shell", json!({"command": command}));
    Scenario::new()
        .on("work", [shell("echo one > one"), say("Done.")])
        .on("denied", [shell("git push"), say("Done.")])
        .on(
            "ask",
            [
                tool("ask_user", json!({"question": "Which colour?"})),
                say("Thanks."),
            ],
        )
        .on(
            "run",
            [
                shell("copilot sessions list; copilot audit; copilot daemon stop --force; true"),
                say("Ran."),
            ],
        )
}

fn audit(home: &Home, arguments: &[&str]) -> Vec<Value> {
    let run = home.copilot(&[&["audit", "--json"], arguments].concat());
    run.expect_code(0);
    run.json_lines()
}

/// Event, who, and what it is about.
fn told(records: &[Value]) -> Vec<(String, String, String)> {
    let text = |record: &Value, path: &str| {
        let value = record.pointer(path).unwrap_or(&Value::Null);
        value.as_str().unwrap_or_default().to_owned()
    };
    let one = |record: &Value| {
        let about = [
            "/choice", "/subject", "/action", "/what", "/title", "/request",
        ];
        let about = about.iter().map(|path| text(record, path));
        let about = about.into_iter().find(|text| !text.is_empty());
        (
            text(record, "/event"),
            text(record, "/by/name"),
            about.unwrap_or_default(),
        )
    };
    records.iter().map(one).collect()
}

fn line(event: &str, by: &str, about: &str) -> (String, String, String) {
    (event.into(), by.into(), about.into())
}

#[test]
fn every_request_and_decision_is_there_with_who_and_why_also_after_the_session() {
    let home = Home::new(scenario());
    home.write_settings(r#"{"permissions": {"deny": ["shell(git push)"]}}"#);
    home.start_daemon();
    let mut screen = Attached::create(&home, "the screen", json!({}));
    let turn = screen.prompt("work");
    screen.trust_folder();
    let (_, call) = screen.wait_for_permission();
    assert_eq!(
        screen.confirm(&turn, &call.tool_call_id, "allow-once"),
        None
    );
    screen.wait_for_end(&turn);
    let turn = screen.prompt("denied");
    screen.wait_for_end(&turn);
    let id = screen.id().to_owned();
    home.copilot(&["sessions", "rename", &id, "A name"])
        .expect_code(0);
    let conversations = || {
        std::fs::read_dir(home.path().join("data/agent"))
            .unwrap()
            .count()
    };
    assert_eq!(conversations(), 1);
    home.copilot(&["sessions", "delete", &id]).expect_code(0);
    assert_eq!(
        conversations(),
        0,
        "the agent's memory of it is gone as well"
    );

    let records = audit(&home, &["--session", &id]);
    let expected = [
        line("session-created", "the screen", ""),
        line("input", "the screen", "chat/turnStarted"),
        line("question-asked", "copilot", "trust"),
        line("question-answered", "the screen", "trust-always"),
        line("permission-requested", "copilot", "echo one > one"),
        line("permission-decided", "the screen", "allow-once"),
        line("input", "the screen", "chat/turnStarted"),
        line("permission-requested", "copilot", "git push"),
        line("permission-decided", "policy", "deny"),
        line("input", "copilot sessions rename", "session/titleChanged"),
        line("session-deleted", "copilot sessions delete", "A name"),
    ];
    assert_eq!(told(&records), expected);
    let decided = |n: usize| &records[n];
    assert_eq!(decided(5)["by"]["trust"], "local");
    assert_eq!(decided(5)["by"]["pid"], json!(std::process::id()));
    assert_eq!(decided(5)["approved"], true);
    let why = decided(8)["reason"].as_str().unwrap();
    assert!(
        why.contains("shell(git push)") && why.contains("settings.json"),
        "which rule, from which file: {why}"
    );
    let run = home.copilot(&["audit", "verify"]);
    run.expect_code(0);
    assert!(run.stderr.contains("none altered or taken out"), "{run:?}");
    let shown = home.copilot(&["audit"]);
    assert!(
        shown
            .stdout
            .contains("permission decided: allow-once; shell echo one > one")
    );
    let kept: Vec<Value> = audit(&home, &["--since", "1h"]);
    assert!(kept.len() >= records.len());
    assert_eq!(audit(&home, &["--since", "2100-01-01"]), [Value::Null; 0]);
}

#[test]
fn what_an_agents_own_shell_was_refused_is_recorded_and_it_cannot_read_the_audit() {
    let home = Home::new(scenario());
    home.start_daemon();
    let mut screen = Attached::create(&home, "the screen", json!({"allowAllTools": true}));
    let turn = screen.prompt("run");
    screen.trust_folder();
    let (_, call) = screen.wait_for_permission();
    assert_eq!(
        screen.confirm(&turn, &call.tool_call_id, "allow-once"),
        None
    );
    screen.wait_for_end(&turn);
    let refused: Vec<_> = told(&audit(&home, &[]))
        .into_iter()
        .filter(|(event, _, _)| event == "refused")
        .map(|(_, _, what)| what)
        .collect();
    assert_eq!(refused, ["control/audit", "control/stop"]);
}

#[test]
fn it_can_be_followed() {
    let home = Home::new(scenario());
    home.start_daemon();
    let mut child = home
        .copilot_command(&["audit", "--follow", "--json"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut next = || -> Value { serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap() };
    let mut screen = Attached::create(&home, "the screen", json!({}));
    assert_eq!(next()["event"], "session-created");
    screen.prompt("ask");
    assert_eq!(next()["event"], "input");
    assert_eq!(next()["request"], "trust");
    screen.trust_folder();
    assert_eq!(next()["event"], "question-answered");
    assert_eq!(next()["message"], "Which colour?");
    home.copilot(&["cancel", screen.id()]).expect_code(0);
    assert_eq!(next()["action"], "chat/turnCancelled");
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn only_its_owner_can_read_the_database() {
    use std::os::unix::fs::PermissionsExt;
    let home = Home::new(scenario());
    home.start_daemon();
    let database = home.path().join("data/sessions.db");
    let mode = std::fs::metadata(database).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}
