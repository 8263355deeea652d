//! Everything that no client may send.

use ahp_types::actions::StateAction;
use serde_json::{Value, json};

use super::world::World;
use super::{CHAT, SESSION, check, decode, message, outcome, rejected};

/// One of each action that only the host sends.
fn host_only() -> Vec<Value> {
    serde_json::from_str(include_str!("host_only.json")).unwrap()
}

#[test]
fn only_the_host_sends_these() {
    check(host_only().into_iter().map(|action| {
        let name = action["type"].as_str().unwrap();
        // Else it would be refused for another reason.
        assert!(
            !matches!(decode(&action), StateAction::Unknown(_)),
            "{action} is malformed"
        );
        let expected = rejected(&format!("only the host may send {name}"));
        (
            "an action of the host's",
            World::asking(),
            action.clone(),
            expected,
        )
    }));
}

#[test]
fn what_is_not_understood_is_said_by_name() {
    check([
        (
            "a known action with fields that are not its own",
            World::idle(),
            json!({"type": "chat/turnStarted", "turnId": 7, "message": message("hello")}),
            rejected("malformed chat/turnStarted: its fields are not those of the protocol"),
        ),
        (
            "a known action without fields",
            World::asking(),
            json!({"type": "chat/toolCallConfirmed"}),
            rejected("malformed chat/toolCallConfirmed: its fields are not those of the protocol"),
        ),
        (
            "a known action of the session",
            World::idle(),
            json!({"type": "session/titleChanged", "title": null}),
            rejected("malformed session/titleChanged: its fields are not those of the protocol"),
        ),
        (
            "an action of the future",
            World::idle(),
            json!({"type": "chat/teleported", "to": "Mars"}),
            rejected("this host does not know the action `chat/teleported`"),
        ),
        (
            "an action with a nasty and endless name",
            World::idle(),
            json!({"type": format!("\u{1b}[2J{}", "x".repeat(5000))}),
            rejected(&format!(
                "this host does not know the action `[2J{}`",
                "x".repeat(57)
            )),
        ),
        (
            "no action at all",
            World::idle(),
            json!({}),
            rejected("this host does not know the action ``"),
        ),
        (
            "not even an object",
            World::idle(),
            json!(["chat/turnStarted"]),
            rejected("this host does not know the action ``"),
        ),
    ]);
}

#[test]
fn every_action_has_its_channel() {
    let start = json!({"type": "chat/turnStarted", "turnId": "t", "startedAt": "x", "message": message("hello")});
    let title = json!({"type": "session/titleChanged", "title": "x"});
    let malformed = json!({"type": "chat/turnStarted"});
    for (channel, action, words) in [
        (
            SESSION,
            &start,
            "`chat/turnStarted` does not belong on the channel `ahp-session:/11111111-1111-4111-8111-111111111111`",
        ),
        (
            CHAT,
            &title,
            "`session/titleChanged` does not belong on the channel `ahp-chat:/11111111-1111-4111-8111-111111111111`",
        ),
        (
            SESSION,
            &malformed,
            "`chat/turnStarted` does not belong on the channel `ahp-session:/11111111-1111-4111-8111-111111111111`",
        ),
        (
            "ahp-chat:/\u{7}",
            &start,
            "`chat/turnStarted` does not belong on the channel `ahp-chat:/`",
        ),
    ] {
        let result = World::idle().dispatch_on(channel, action);
        assert_eq!(outcome(result), rejected(words));
    }
}
