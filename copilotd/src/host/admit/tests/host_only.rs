//! Everything that no client may send.

use ahp_types::actions::StateAction;
use serde_json::{Value, json};

use super::world::World;
use super::{CHAT, SESSION, check, decode, message, outcome, rejected};

/// One of each action that only the host sends.
fn host_only() -> Vec<Value> {
    let turn = |name: &str, rest: Value| {
        let mut action = json!({"type": name, "turnId": "running", "toolCallId": "call", "partId": "p", "duration": 1});
        for (key, value) in rest.as_object().unwrap() {
            action[key] = value.clone();
        }
        action
    };
    vec![
        json!({"type": "root/agentsChanged", "agents": []}),
        json!({"type": "root/activeSessionsChanged", "activeSessions": 0}),
        json!({"type": "root/configChanged", "config": {}}),
        json!({"type": "root/terminalsChanged", "terminals": []}),
        json!({"type": "session/ready"}),
        json!({"type": "session/creationFailed", "error": {"errorType": "x", "message": "x"}}),
        json!({"type": "session/chatRemoved", "chat": CHAT}),
        json!({"type": "session/chatUpdated", "chat": CHAT, "changes": {"title": "x"}}),
        json!({"type": "session/chatsReordered", "chats": []}),
        json!({"type": "session/defaultChatChanged"}),
        json!({"type": "session/activityChanged", "activity": "x"}),
        json!({"type": "session/changesetsChanged"}),
        json!({"type": "session/serverToolsChanged", "tools": []}),
        json!({"type": "session/activeClientRemoved", "clientId": "me"}),
        json!({"type": "session/workingDirectorySet", "directory": "file:///"}),
        json!({"type": "session/workingDirectoryRemoved", "directory": "file:///"}),
        json!({"type": "session/workingDirectoryReplaced", "directory": "file:///", "replacement": "file:///x"}),
        json!({"type": "session/inputNeededRemoved", "id": "call"}),
        json!({"type": "session/inputNeededSet", "request": {"kind": "x", "id": "call"}}),
        json!({"type": "session/customizationsChanged", "customizations": []}),
        json!({"type": "session/customizationToggled", "id": "x", "enablement": []}),
        json!({"type": "session/customizationRemoved", "id": "x"}),
        json!({"type": "session/mcpServerStartRequested", "id": "x"}),
        json!({"type": "session/mcpServerStopRequested", "id": "x"}),
        json!({"type": "session/mcpServerBackgroundRequested", "id": "x"}),
        json!({"type": "session/metaChanged", "_meta": {"copilot.state": "idle"}}),
        turn("chat/delta", json!({"content": "x"})),
        turn("chat/reasoning", json!({"content": "x"})),
        turn(
            "chat/responsePart",
            json!({"part": {"kind": "markdown", "id": "p", "content": "x"}}),
        ),
        turn(
            "chat/toolCallStart",
            json!({"toolName": "x", "displayName": "x"}),
        ),
        turn("chat/toolCallDelta", json!({})),
        turn("chat/toolCallReady", json!({"invocationMessage": "x"})),
        turn(
            "chat/toolCallComplete",
            json!({"result": {"success": true, "pastTenseMessage": "x"}}),
        ),
        turn("chat/toolCallResultConfirmed", json!({"approved": true})),
        turn("chat/toolCallContentChanged", json!({"content": []})),
        turn("chat/toolCallAuthResolved", json!({})),
        turn("chat/turnComplete", json!({})),
        turn(
            "chat/error",
            json!({"part": {"error": {"errorType": "x", "message": "x"}}}),
        ),
        turn("chat/usage", json!({"usage": {}})),
        json!({"type": "chat/activityChanged"}),
        json!({"type": "chat/backgroundWorkSet", "work": {"id": "x"}}),
        json!({"type": "chat/backgroundWorkRemoved", "id": "x"}),
        json!({"type": "chat/movableChanged", "movable": true}),
        json!({"type": "chat/changesetsChanged"}),
        json!({"type": "chat/canvasesChanged"}),
        json!({"type": "chat/workingDirectorySet", "directory": "file:///"}),
        json!({"type": "chat/workingDirectoryRemoved", "directory": "file:///"}),
        json!({"type": "chat/inputRequested", "request": {"id": "trust"}}),
        json!({"type": "chat/truncated"}),
        json!({"type": "chat/turnsLoaded", "turns": []}),
        json!({"type": "changeset/fileRemoved", "fileId": "x"}),
        json!({"type": "changeset/filesReviewChanged", "files": [], "reviewed": true}),
        json!({"type": "changeset/contentChanged", "files": []}),
        json!({"type": "changeset/cleared"}),
        json!({"type": "annotations/updated", "annotationId": "x"}),
        json!({"type": "annotations/removed", "annotationId": "x"}),
        json!({"type": "annotations/entryRemoved", "annotationId": "x", "entryId": "x"}),
        json!({"type": "terminal/data", "data": "x"}),
        json!({"type": "terminal/input", "data": "rm -rf /\n"}),
        json!({"type": "terminal/resized", "cols": 1, "rows": 1}),
        json!({"type": "terminal/claimed", "claim": {"kind": "client", "clientId": "me"}}),
        json!({"type": "terminal/titleChanged", "title": "x"}),
        json!({"type": "terminal/cwdChanged", "cwd": "file:///"}),
        json!({"type": "terminal/exited"}),
        json!({"type": "terminal/cleared"}),
        json!({"type": "terminal/commandDetectionAvailable"}),
        json!({"type": "terminal/commandExecuted", "commandId": "x", "commandLine": "x", "timestamp": 0}),
        json!({"type": "terminal/commandFinished", "commandId": "x"}),
        json!({"type": "automation/removed", "resource": "x:/"}),
        json!({"type": "automationRun/sessionSet", "session": SESSION}),
        json!({"type": "automationRun/sessionRemoved", "session": SESSION}),
        json!({"type": "automationRun/primarySessionChanged"}),
        json!({"type": "automationRun/cancelRequested"}),
    ]
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
