//! Every action of AHP.

use std::collections::BTreeSet;

use copilot_tests::attached::{message, turn_started};
use copilot_tests::scene::terminal_and_phone;
use copilot_tests::{Client, Home, Scenario, say, tool};
use serde_json::{Value, json};

use super::{World, ahp_types, between, home, part};

const NOT_FROM_A_DEVICE: &str = "this cannot be done from a paired device, only at the machine";
const TRUST_IS_LOCAL: &str =
    "whether a folder is trusted can only be answered at the machine; the turn can be cancelled";

/// What becomes of an action of a device on a session that it may reach and that is idle.
enum Then {
    /// It is done.
    Done,
    /// It is not, for what is the case and not for who asks.
    NotNow(&'static str),
    /// A device may not.
    Never(&'static str),
}
use Then::{Done, Never, NotNow};

fn config(config: Value) -> Value {
    json!({"type": "session/configChanged", "config": config})
}

fn confirmed(option: Option<&str>) -> Value {
    let mut action = json!({"type": "chat/toolCallConfirmed", "turnId": "t", "toolCallId": "call", "approved": true});
    if let Some(option) = option {
        action["selectedOptionId"] = json!(option);
        action["approved"] = json!(option.starts_with("allow"));
    }
    action
}

/// The actions that clients send.
fn of_clients() -> Vec<(Value, Then)> {
    let trust = json!({"trust": {"state": "submitted", "value": {"kind": "selected", "value": "trust-always"}}});
    vec![
        // It prompts, steers, queues and stops.
        (turn_started("t", "hello"), Done),
        (
            json!({"type": "chat/turnCancelled", "turnId": "none", "duration": 0}),
            NotNow("there is no turn"),
        ),
        (
            json!({"type": "chat/turnResume", "turnId": "none"}),
            NotNow("only the last turn can go on"),
        ),
        (
            json!({"type": "chat/pendingMessageSet", "kind": "queued", "id": "m", "message": message("hello")}),
            Done,
        ),
        (
            json!({"type": "chat/pendingMessageRemoved", "kind": "queued", "id": "none"}),
            NotNow("does not wait any more"),
        ),
        (
            json!({"type": "chat/queuedMessagesReordered", "order": ["none"]}),
            NotNow("nothing is queued"),
        ),
        (
            json!({"type": "chat/draftChanged", "draft": message("later")}),
            Done,
        ),
        // It takes back nothing, and commands nothing that belongs to the machine.
        (
            turn_started("u", "/undo"),
            Never("/undo works only at the machine itself"),
        ),
        (
            turn_started("u", "/allow-all on"),
            Never("/allow-all works only at the machine itself"),
        ),
        (
            turn_started("u", "/remote off"),
            Never("/remote works only at the machine itself"),
        ),
        (
            json!({"type": "chat/pendingMessageSet", "kind": "queued", "id": "u", "message": message("/undo 1")}),
            Never("/undo works only at the machine itself"),
        ),
        // It answers, and nothing that it answers outlives the session or trusts a folder.
        (confirmed(Some("allow-once")), NotNow("there is no")),
        (confirmed(Some("allow-session")), NotNow("there is no")),
        (confirmed(Some("deny")), NotNow("there is no")),
        (confirmed(Some("deny-with-words")), NotNow("there is no")),
        (confirmed(Some("allow-here")), Never(NOT_FROM_A_DEVICE)),
        (confirmed(Some("something-new")), Never(NOT_FROM_A_DEVICE)),
        (confirmed(None), Never("name the choice that is taken")),
        (
            json!({"type": "chat/inputCompleted", "requestId": "ask", "response": "decline"}),
            NotNow("there is no"),
        ),
        (
            json!({"type": "chat/inputAnswerChanged", "requestId": "ask", "questionId": "q"}),
            NotNow("there is no"),
        ),
        (
            json!({"type": "chat/inputCompleted", "requestId": "trust", "response": "accept", "answers": trust}),
            Never(TRUST_IS_LOCAL),
        ),
        (
            json!({"type": "chat/inputCompleted", "requestId": "trust", "response": "decline"}),
            Never(TRUST_IS_LOCAL),
        ),
        (
            json!({"type": "chat/inputAnswerChanged", "requestId": "trust", "questionId": "trust", "answer": trust["trust"]}),
            Never(TRUST_IS_LOCAL),
        ),
        // It tidies.
        (
            json!({"type": "session/titleChanged", "title": "Mine"}),
            Done,
        ),
        (
            json!({"type": "session/isReadChanged", "isRead": true}),
            Done,
        ),
        (
            json!({"type": "session/isArchivedChanged", "isArchived": true}),
            Done,
        ),
        (json!({"type": "chat/isReadChanged", "isRead": true}), Done),
        (
            json!({"type": "chat/isArchivedChanged", "isArchived": true}),
            Done,
        ),
        // It switches the mode and no other setting.
        (config(json!({"mode": "plan"})), Done),
        (config(json!({"mode": "interactive"})), Done),
        (config(json!({"allowAll": true})), Never(NOT_FROM_A_DEVICE)),
        (config(json!({"allowAll": false})), Never(NOT_FROM_A_DEVICE)),
        (
            config(json!({"mode": "autopilot", "allowAll": true})),
            Never(NOT_FROM_A_DEVICE),
        ),
        (config(json!({"remote": false})), Never(NOT_FROM_A_DEVICE)),
        (config(json!({"remote": true})), Never(NOT_FROM_A_DEVICE)),
        (
            config(json!({"allowTools": ["shell"]})),
            Never(NOT_FROM_A_DEVICE),
        ),
        (config(json!({"denyTools": []})), Never(NOT_FROM_A_DEVICE)),
        (
            config(json!({"allowAllTools": true})),
            Never(NOT_FROM_A_DEVICE),
        ),
        (
            config(json!({"allowAllPaths": true})),
            Never(NOT_FROM_A_DEVICE),
        ),
        (
            config(json!({"allowAllUrls": true})),
            Never(NOT_FROM_A_DEVICE),
        ),
        (config(json!({"addDirs": ["/"]})), Never(NOT_FROM_A_DEVICE)),
        (
            config(json!({"unattended": true})),
            Never(NOT_FROM_A_DEVICE),
        ),
        (config(json!({"somethingNew": 1})), Never(NOT_FROM_A_DEVICE)),
        (
            json!({"type": "session/configChanged", "config": {"mode": "plan"}, "replace": true}),
            Never(NOT_FROM_A_DEVICE),
        ),
    ]
}

/// One of each of all others: those that only the host sends.
fn of_the_host() -> Vec<(Value, Then)> {
    let all = include_str!("../../../copilotd/src/host/admit/tests/host_only.json");
    let all: Vec<Value> = serde_json::from_str(all).unwrap();
    all.into_iter()
        .map(|action| (action, Never(NOT_FROM_A_DEVICE)))
        .collect()
}

fn name(action: &Value) -> &str {
    action["type"].as_str().unwrap()
}

#[test]
fn no_action_of_the_protocol_is_missing_here() {
    let source = ahp_types("actions.rs");
    let known = part(&source, "pub enum StateAction {", "\n}");
    let of_protocol = between(known, "#[serde(rename = \"", "\")]");
    let rows = rows();
    let here: BTreeSet<&str> = rows.iter().map(|(action, _)| name(action)).collect();
    assert_eq!(here, of_protocol);
}

/// All of them.
fn rows() -> Vec<(Value, Then)> {
    let mut rows = of_clients();
    rows.extend(of_the_host());
    rows
}

/// The channel that an action belongs to, of the session of this id.
fn channel(action: &Value, id: &str) -> String {
    match name(action).split('/').next() {
        Some("chat") => format!("ahp-chat:/{id}"),
        Some("terminal") => format!("ahp-terminal:/{id}/call"),
        Some("root") => "ahp-root://".to_owned(),
        _ => format!("ahp-session:/{id}"),
    }
}

#[test]
fn every_action_is_a_devices_or_is_refused() {
    let home = home();
    let mut world = World::new(&home);
    let (reached, hidden) = (world.reached.id().to_owned(), world.hidden.id().to_owned());
    let mut phone = world.phone.client();
    for channel in ["session", "chat"].map(|kind| format!("ahp-{kind}:/{reached}")) {
        phone
            .request("subscribe", json!({"channel": channel}))
            .unwrap();
    }
    for (action, then) in rows() {
        let shown = action.to_string();
        // Of a session that it may not reach it is told nothing, whatever it sends.
        let on_hidden = channel(&action, &hidden);
        let why = world.changes_nothing(&shown, |_| {
            let number = phone.dispatch(&on_hidden, &action);
            phone.outcome(number).expect(&shown)
        });
        assert_eq!(
            why,
            format!("there is no session behind {on_hidden}"),
            "{shown}"
        );
        let on_reached = channel(&action, &reached);
        let send = |phone: &mut Client| {
            let number = phone.dispatch(&on_reached, &action);
            phone.outcome(number)
        };
        match then {
            Done => {
                assert_eq!(send(&mut phone), None, "{shown}");
                let started = match name(&action) {
                    "chat/turnStarted" => action["turnId"].as_str(),
                    "chat/pendingMessageSet" => action["id"].as_str(),
                    _ => None,
                };
                if let Some(turn) = started {
                    world.reached.wait_for_end(turn);
                    world.reached.wait_for_state("idle");
                }
            }
            NotNow(part) => {
                let why = world
                    .changes_nothing(&shown, |_| send(&mut phone))
                    .expect(&shown);
                assert!(why.contains(part), "{shown}: {why}");
            }
            Never(expected) => {
                let why = world
                    .changes_nothing(&shown, |_| send(&mut phone))
                    .expect(&shown);
                let is_elsewhere = why.starts_with("there is no session behind ahp-root:")
                    || why == "the output of a command takes no input";
                assert!(why == expected || is_elsewhere, "{shown}: {why}");
            }
        }
    }
}

#[test]
fn what_lasts_is_answered_at_the_machine_also_while_it_is_asked() {
    let shell = tool("shell", json!({"command": "touch made"}));
    let home = Home::new(Scenario::new().on("make", [shell, say("Done.")]));
    let (_relay, mut terminal, mut phone) = terminal_and_phone(&home);
    let turn = phone.prompt("make");
    let request = phone.wait_for_input();
    assert_eq!(request.id, "trust");
    for choice in ["trust-always", "trust-once", "no"] {
        let why = phone.answer("trust", "trust", choice);
        assert_eq!(why.as_deref(), Some(TRUST_IS_LOCAL), "{choice}");
    }
    assert!(!home.path().join("data/trusted-folders.json").exists());
    terminal.trust_folder();
    let (_, call) = phone.wait_for_permission();
    let offered: Vec<_> = call
        .options
        .iter()
        .flatten()
        .map(|o| o.id.as_str())
        .collect();
    assert!(offered.contains(&"allow-here"), "{offered:?}");
    let why = phone.confirm(&turn, &call.tool_call_id, "allow-here");
    assert_eq!(why.as_deref(), Some(NOT_FROM_A_DEVICE));
    assert!(!home.path().join("data/approvals.json").exists());
    assert_eq!(phone.confirm(&turn, &call.tool_call_id, "allow-once"), None);
    terminal.wait_for_end(&turn);
}
