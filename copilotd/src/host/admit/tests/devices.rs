//! What a paired device may do, action by action. What is not named here it may not.

use ahp_types::actions::StateAction;
use serde_json::{Value, json};

use super::world::World;
use super::{decode, message};
use crate::remote::narrow::{NOT_FROM_A_DEVICE, TRUST_IS_LOCAL};

type Row = (&'static str, World, Value, Result<(), &'static str>);

fn choose(option: &str) -> Value {
    json!({"type": "chat/toolCallConfirmed", "turnId": "running", "toolCallId": "call",
        "approved": option.starts_with("allow"), "selectedOptionId": option})
}

fn trusting() -> World {
    World::working().and(json!({"type": "chat/inputRequested", "request": {"id": "trust", "questions": [
        {"kind": "single-select", "id": "trust", "message": "Trust it?", "options": [
            {"id": "trust-once", "label": "Once"}, {"id": "trust-always", "label": "Always"}, {"id": "no", "label": "No"}]}]}}))
}

fn asking_for_longer() -> World {
    World::asking_with(json!([
        {"id": "allow-here", "label": "Always here", "kind": "approve"},
        {"id": "allow-once", "label": "Yes", "kind": "approve"},
        {"id": "allow-session", "label": "Yes, always", "kind": "approve"},
        {"id": "deny", "label": "No", "kind": "deny"},
        {"id": "deny-with-words", "label": "No, but", "kind": "deny"},
    ]))
}

fn trust_answer(kind: &str, response: &str) -> Value {
    let answer =
        json!({"state": "submitted", "value": {"kind": "selected", "value": "trust-always"}});
    match kind {
        "completed" => {
            json!({"type": "chat/inputCompleted", "requestId": "trust", "response": response,
            "answers": {"trust": answer}})
        }
        _ => json!({"type": "chat/inputAnswerChanged", "requestId": "trust", "questionId": "trust",
            "answer": answer}),
    }
}

fn rows() -> Vec<Row> {
    let text = json!([{"kind": "text", "id": "q", "message": "Which?"}]);
    let said = json!({"state": "submitted", "value": {"kind": "text", "value": "that"}});
    let config = |config: Value| json!({"type": "session/configChanged", "config": config});
    let mut with_words = choose("deny-with-words");
    with_words["userSuggestion"] = message("use make");
    let unnamed = json!({"type": "chat/toolCallConfirmed", "turnId": "running", "toolCallId": "call", "approved": true});
    vec![
        (
            "prompt",
            World::idle(),
            json!({"type": "chat/turnStarted", "turnId": "t", "startedAt": "", "message": message("go")}),
            Ok(()),
        ),
        (
            "cancel",
            World::working(),
            json!({"type": "chat/turnCancelled", "turnId": "running", "duration": 0}),
            Ok(()),
        ),
        (
            "steer",
            World::working(),
            json!({"type": "chat/pendingMessageSet", "kind": "steering", "id": "m", "message": message("left")}),
            Ok(()),
        ),
        (
            "queue",
            World::working(),
            json!({"type": "chat/pendingMessageSet", "kind": "queued", "id": "m", "message": message("left")}),
            Ok(()),
        ),
        (
            "take back",
            World::working().queued(&["a"]),
            json!({"type": "chat/pendingMessageRemoved", "kind": "queued", "id": "a"}),
            Ok(()),
        ),
        (
            "reorder",
            World::working().queued(&["a", "b"]),
            json!({"type": "chat/queuedMessagesReordered", "order": ["b", "a"]}),
            Ok(()),
        ),
        (
            "draft",
            World::idle(),
            json!({"type": "chat/draftChanged", "draft": message("later")}),
            Ok(()),
        ),
        (
            "rename",
            World::idle(),
            json!({"type": "session/titleChanged", "title": "Mine"}),
            Ok(()),
        ),
        (
            "mark as read",
            World::idle(),
            json!({"type": "session/isReadChanged", "isRead": true}),
            Ok(()),
        ),
        (
            "allow once",
            asking_for_longer(),
            choose("allow-once"),
            Ok(()),
        ),
        (
            "allow for this session",
            asking_for_longer(),
            choose("allow-session"),
            Ok(()),
        ),
        ("deny", asking_for_longer(), choose("deny"), Ok(())),
        ("deny with words", asking_for_longer(), with_words, Ok(())),
        (
            "allow for longer",
            asking_for_longer(),
            choose("allow-here"),
            Err(NOT_FROM_A_DEVICE),
        ),
        (
            "allow by the first choice, which may be the one that lasts",
            asking_for_longer(),
            unnamed,
            Err("name the choice that is taken"),
        ),
        (
            "answer a question",
            World::questioning(text.clone()),
            json!({"type": "chat/inputCompleted", "requestId": "ask", "response": "accept", "answers": {"q": said}}),
            Ok(()),
        ),
        (
            "decline a question",
            World::questioning(text),
            json!({"type": "chat/inputCompleted", "requestId": "ask", "response": "decline"}),
            Ok(()),
        ),
        (
            "trust the folder",
            trusting(),
            trust_answer("completed", "accept"),
            Err(TRUST_IS_LOCAL),
        ),
        (
            "decline to trust it",
            trusting(),
            trust_answer("completed", "decline"),
            Err(TRUST_IS_LOCAL),
        ),
        (
            "draft the trust for somebody else to send",
            trusting(),
            trust_answer("drafted", ""),
            Err(TRUST_IS_LOCAL),
        ),
        (
            "turn remote access on",
            World::idle(),
            config(json!({"remote": true})),
            Err(NOT_FROM_A_DEVICE),
        ),
        (
            "turn remote access off",
            World::idle(),
            config(json!({"remote": false})),
            Err(NOT_FROM_A_DEVICE),
        ),
        (
            "allow everything",
            World::idle(),
            config(json!({"allowAllTools": true})),
            Err(NOT_FROM_A_DEVICE),
        ),
        (
            "allow everything beside the mode",
            World::idle(),
            config(json!({"mode": "interactive", "allowAll": true})),
            Err(NOT_FROM_A_DEVICE),
        ),
        (
            "replace the settings",
            World::idle(),
            json!({"type": "session/configChanged", "config": {"mode": "plan"}, "replace": true}),
            Err(NOT_FROM_A_DEVICE),
        ),
        (
            "give a session another folder",
            World::idle(),
            json!({"type": "session/workingDirectorySet", "directory": "file:///"}),
            Err(NOT_FROM_A_DEVICE),
        ),
        (
            "type into a terminal",
            World::working(),
            json!({"type": "terminal/input", "data": "x"}),
            Err(NOT_FROM_A_DEVICE),
        ),
        (
            "something new",
            World::idle(),
            json!({"type": "chat/somethingNew"}),
            Err(NOT_FROM_A_DEVICE),
        ),
    ]
}

#[test]
fn a_device_may_do_this_and_nothing_else() {
    for (name, world, action, expected) in rows() {
        let got = world.clone().by_a_device().dispatch(&action);
        match (&got, expected) {
            (Ok(admitted), Ok(())) => world.reduces(admitted).unwrap(),
            (Err(reason), Err(expected)) if reason == expected => {}
            _ => panic!("{name}: expected {expected:?}, got {got:?}"),
        }
    }
}

#[test]
fn its_answers_are_known_as_a_devices() {
    let admitted = World::asking().by_a_device().dispatch(&choose("deny"));
    let Ok(super::Admitted::Confirm { answer, .. }) = admitted else {
        panic!("{admitted:?}")
    };
    assert_eq!(answer.trust, "remote");
}

#[test]
fn the_rows_are_well_formed() {
    for (name, _, action, _) in rows() {
        let unknown = matches!(decode(&action), StateAction::Unknown(_));
        assert_eq!(unknown, name == "something new", "{name}");
    }
}
