//! Autopilot goes on by itself, stops for a reason, and never answers for a person.

use ahp_types::state::{MessageKind, Turn, TurnState};
use copilot_tests::attached::{Attached, notices};
use copilot_tests::{Home, Scenario, say, tool, until};
use serde_json::{Value, json};

/// What the daemon's own prompt begins with.
const ITSELF: &str = "Go on until the task";

fn session(home: &Home) -> Attached {
    home.start_daemon();
    let mut screen = Attached::create(home, "a screen", json!({"mode": "autopilot"}));
    screen.prompt("begin");
    screen.trust_folder();
    screen
}

/// Waits until it stopped, and returns the turns and what the last one says about it.
fn stopped(screen: &mut Attached, kind: &str) -> (Vec<Turn>, String) {
    screen.wait(kind, |session, chat| {
        let state = session.meta.as_ref()?.get("copilot.state")?;
        if chat.active_turn.is_some() || !(state == "idle" || state == "error") {
            return None;
        }
        let said = notices(&chat.turns.last()?.response_parts);
        let (_, words) = said.into_iter().find(|(said, _)| said == kind)?;
        Some((chat.turns.clone(), words))
    })
}

#[test]
fn it_goes_on_until_the_task_is_declared_complete() {
    let home = Home::new(Scenario::new().on("begin", [say("Half of it.")]).on(
        ITSELF,
        [tool("task_complete", json!({"summary": "All of it."}))],
    ));
    let mut screen = session(&home);
    let (turns, words) = stopped(&mut screen, "autopilot-completed");
    assert_eq!(words, "Autopilot stopped: the task is complete.");
    assert_eq!(turns.len(), 2);
    assert_eq!(
        turns[1].message.origin.kind,
        MessageKind::SystemNotification,
        "everybody sees that nobody wrote it"
    );
}

#[test]
fn it_stops_at_its_limit() {
    let home = Home::new(
        Scenario::new()
            .on("begin", [say("More.")])
            .on(ITSELF, [say("And more.")]),
    );
    home.write_settings(r#"{"autopilot": {"maxContinuations": 2}}"#);
    let mut screen = session(&home);
    let (turns, words) = stopped(&mut screen, "autopilot-limit");
    assert!(words.contains("it went on 2 times by itself"), "{words}");
    assert_eq!(turns.len(), 3);
    // A person's next prompt lets it go on.
    screen.prompt("begin again");
    let (turns, _) = screen.wait("the limit again", |_, chat| {
        let done = chat.active_turn.is_none() && chat.turns.len() == 6;
        done.then(|| (chat.turns.clone(), ()))
    });
    assert_eq!(turns.len(), 6);
}

#[test]
fn it_stops_at_an_error() {
    let home = Home::new(Scenario::new().on("begin", [say("More.")]).on(
        ITSELF,
        [json!({"fail": {"kind": "rate-limit", "message": "Too many questions."}})],
    ));
    let mut screen = session(&home);
    let (turns, words) = stopped(&mut screen, "autopilot-error");
    assert_eq!(words, "Autopilot stopped: the turn failed.");
    assert_eq!(turns.last().unwrap().state, TurnState::Error);
    assert_eq!(turns.len(), 2);
}

/// It works by itself until a file appears.
fn works_on() -> Scenario {
    Scenario::new().on("begin", [say("More.")]).on(
        ITSELF,
        [
            json!({"write_file": "reached"}),
            json!({"wait_for_file": "go-on"}),
            say("And more."),
        ],
    )
}

#[test]
fn it_stops_when_it_is_cancelled() {
    let home = Home::new(works_on());
    let mut screen = session(&home);
    until("the second turn", || home.read("reached"));
    home.copilot(&["cancel", screen.id()]).expect_code(0);
    let (turns, words) = stopped(&mut screen, "autopilot-cancelled");
    assert_eq!(words, "Autopilot stopped: the turn was cancelled.");
    assert_eq!(turns.last().unwrap().state, TurnState::Cancelled);
    assert_eq!(turns.len(), 2);
}

#[test]
fn it_stops_when_somebody_switches_the_mode() {
    let home = Home::new(works_on());
    let mut screen = session(&home);
    until("the second turn", || home.read("reached"));
    let mut second = Attached::attach(&home, "second screen", screen.id());
    assert_eq!(second.configure(json!({"mode": "interactive"})), None);
    home.write("go-on", "");
    let (turns, words) = stopped(&mut screen, "autopilot-mode");
    assert_eq!(
        words,
        "Autopilot stopped: second screen switched to interactive mode."
    );
    assert_eq!(turns.len(), 2);
}

#[test]
fn it_waits_for_a_person_where_a_person_is_asked() {
    let home = Home::new(Scenario::new().on(
        "begin",
        [
            tool("shell", json!({"command": "touch asked"})),
            tool("task_complete", json!({"summary": "Done."})),
        ],
    ));
    let mut screen = session(&home);
    let (turn, call) = screen.wait_for_permission();
    screen.wait_for_state("needs-permission");
    assert_eq!(home.read("asked"), None);
    assert_eq!(
        screen.confirm(&turn, &call.tool_call_id, "allow-once"),
        None
    );
    let (turns, _) = stopped(&mut screen, "autopilot-completed");
    let parts = serde_json::to_value(&turns[0].response_parts).unwrap();
    let by = parts.as_array().unwrap().iter().find_map(|part: &Value| {
        let by = &part["toolCall"]["_meta"]["copilot.answeredBy"]["name"];
        by.as_str().map(str::to_owned)
    });
    assert_eq!(by.as_deref(), Some("a screen"));
    assert!(home.read("asked").is_some());
}
