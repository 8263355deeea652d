//! The page reduces states in TypeScript; what it must come to is written here, by the protocol's
//! own reducers, into a file that the page's tests read.
//!
//! `COPILOT_WRITE_FIXTURES=1` writes the file anew.

use std::path::Path;

use ahp::reducers::{
    ReduceOutcome, apply_action_to_chat, apply_action_to_root, apply_action_to_session,
    apply_action_to_terminal,
};
use ahp_types::actions::StateAction;
use ahp_types::state::{ChatState, RootState, SessionState, TerminalState};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Value, json};

const FILE: &str = "../web/tests/fixtures/reducers.json";

#[test]
fn the_fixtures_of_the_page_are_what_the_reducers_say() {
    let mut cases = written_cases();
    cases.extend(random_cases());
    let text = format!(
        "{}\n",
        serde_json::to_string(&json!({"cases": cases})).unwrap()
    );
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(FILE);
    if std::env::var_os("COPILOT_WRITE_FIXTURES").is_some() {
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(&file, &text).unwrap();
    }
    let kept = std::fs::read_to_string(&file).unwrap_or_default();
    let kept: Value = serde_json::from_str(&kept).unwrap_or_default();
    assert!(
        kept == json!({"cases": cases}),
        "{FILE} is not what the reducers say; write it anew with COPILOT_WRITE_FIXTURES=1"
    );
}

/// One case: a state, actions, and the state after each of them.
fn case(name: &str, scope: &str, state: &Value, actions: &[Value]) -> Value {
    let states = match scope {
        "root" => reduce::<RootState>(state, actions, apply_action_to_root),
        "session" => reduce::<SessionState>(state, actions, apply_action_to_session),
        "chat" => reduce::<ChatState>(state, actions, apply_action_to_chat),
        "terminal" => reduce::<TerminalState>(state, actions, apply_action_to_terminal),
        other => panic!("no scope {other}"),
    };
    json!({"name": name, "scope": scope, "state": state, "actions": actions, "states": states})
}

fn reduce<S: Serialize + DeserializeOwned>(
    state: &Value,
    actions: &[Value],
    apply: impl Fn(&mut S, &StateAction) -> ReduceOutcome,
) -> Vec<Value> {
    let mut state: S = serde_json::from_value(state.clone()).expect("a state");
    actions
        .iter()
        .map(|action| {
            let action: StateAction = serde_json::from_value(action.clone()).expect("an action");
            assert!(
                !matches!(action, StateAction::Unknown(_)),
                "not an action that the protocol knows: {action:?}"
            );
            let outcome = apply(&mut state, &action);
            assert!(!matches!(outcome, ReduceOutcome::Invalid(_)), "{outcome:?}");
            serde_json::to_value(&state).expect("a state as JSON")
        })
        .collect()
}

fn chat() -> Value {
    json!({
        "resource": "ahp-chat:/1", "title": "", "status": 1,
        "modifiedAt": "2026-01-01T00:00:00.000Z", "turns": [],
    })
}

fn session() -> Value {
    json!({
        "provider": "copilot", "title": "", "status": 1, "lifecycle": "creating",
        "activeClients": [], "chats": [],
        "config": {
            "schema": {"type": "object", "properties": {}},
            "values": {"mode": "interactive"},
        },
    })
}

fn terminal() -> Value {
    json!({
        "title": "cargo test", "content": [], "lifecycle": {"status": "running"},
        "claim": {"kind": "session", "session": "ahp-session:/1", "chat": "ahp-chat:/1"},
    })
}

fn message(text: &str) -> Value {
    json!({"text": text, "origin": {"kind": "user"}})
}

fn started(turn: &str) -> Value {
    json!({
        "type": "chat/turnStarted", "turnId": turn,
        "startedAt": "2026-01-01T00:00:01.000Z", "message": message("do it"),
    })
}

fn ended(turn: &str, how: &str) -> Value {
    let mut action = json!({"type": how, "turnId": turn, "duration": 1500});
    if how == "chat/error" {
        action["part"] = json!({
            "kind": "error", "resumable": true,
            "error": {"errorType": "interrupted", "message": "The daemon was stopped."},
        });
    }
    action
}

fn call(turn: &str, kind: &str, more: Value) -> Value {
    let mut action =
        json!({"type": format!("chat/toolCall{kind}"), "turnId": turn, "toolCallId": "c"});
    for (key, value) in more.as_object().expect("an object") {
        action[key] = value.clone();
    }
    action
}

fn options() -> Value {
    json!([
        {"id": "allow-once", "label": "Allow once", "kind": "approve"},
        {"id": "deny", "label": "Deny", "kind": "deny"},
    ])
}

fn question(id: &str) -> Value {
    json!({
        "type": "chat/inputRequested",
        "request": {
            "id": id, "message": "Which?",
            "questions": [{
                "kind": "single-select", "id": "q", "message": "Which?",
                "options": [{"id": "a", "label": "A"}],
            }],
        },
    })
}

fn written_cases() -> Vec<Value> {
    let t = "t1";
    let text = json!({"type": "chat/responsePart", "turnId": t, "part": {"kind": "markdown", "id": "p", "content": "He"}});
    let delta = json!({"type": "chat/delta", "turnId": t, "partId": "p", "content": "llo"});
    let start = call(
        t,
        "Start",
        json!({"toolName": "shell", "displayName": "Shell", "intention": "to see"}),
    );
    let ask = call(
        t,
        "Ready",
        json!({
            "invocationMessage": "Run ls", "toolInput": "ls", "confirmationTitle": "Run this?",
            "options": options(), "edits": {"items": []}, "editable": true,
        }),
    );
    let done = call(
        t,
        "Complete",
        json!({"result": {"success": true, "pastTenseMessage": "Ran ls",
        "content": [{"type": "text", "text": "a"}]}, "_meta": {"copilot.kind": "execute"}}),
    );
    let yes = call(
        t,
        "Confirmed",
        json!({"approved": true, "confirmed": "user-action",
        "selectedOptionId": "allow-once", "editedToolInput": "ls -a"}),
    );
    let no = call(
        t,
        "Confirmed",
        json!({"approved": false, "reason": "denied", "selectedOptionId": "deny",
        "reasonMessage": {"markdown": "**no**"}, "userSuggestion": message("try make")}),
    );
    let queued = |id: &str| json!({"type": "chat/pendingMessageSet", "kind": "queued", "id": id, "message": message(id)});
    let mut cases = vec![
        case(
            "a turn with text",
            "chat",
            &chat(),
            &[
                started(t),
                text.clone(),
                delta.clone(),
                delta.clone(),
                json!({"type": "chat/delta", "turnId": t, "partId": "other", "content": "lost"}),
                json!({"type": "chat/delta", "turnId": "other", "partId": "p", "content": "lost"}),
                json!({"type": "chat/responsePart", "turnId": t, "part": {"kind": "reasoning", "id": "r", "content": ""}}),
                json!({"type": "chat/reasoning", "turnId": t, "partId": "r", "content": "hm"}),
                json!({"type": "chat/reasoning", "turnId": t, "partId": "p", "content": "not markdown"}),
                json!({"type": "chat/responsePart", "turnId": t, "part": {"kind": "systemNotification", "content": "said", "_meta": {"copilot.notice": "steered"}}}),
                json!({"type": "chat/usage", "turnId": t, "usage": {"inputTokens": 3, "outputTokens": 4, "model": "m"}}),
                json!({"type": "chat/activityChanged", "activity": "thinks"}),
                json!({"type": "chat/activityChanged"}),
                ended(t, "chat/turnComplete"),
                ended(t, "chat/turnComplete"),
            ],
        ),
        case(
            "a call that is allowed",
            "chat",
            &chat(),
            &[
                started(t),
                start.clone(),
                call(t, "Delta", json!({"content": "{\"com"})),
                call(
                    t,
                    "Delta",
                    json!({"content": "mand", "invocationMessage": "Run"}),
                ),
                ask.clone(),
                yes.clone(),
                yes.clone(),
                call(
                    t,
                    "ContentChanged",
                    json!({"content": [{"type": "text", "text": "half"}], "_meta": {"a": 1}}),
                ),
                done.clone(),
                no.clone(),
                ended(t, "chat/turnComplete"),
            ],
        ),
        case(
            "a call that is denied",
            "chat",
            &chat(),
            &[
                started(t),
                start.clone(),
                ask.clone(),
                no,
                done.clone(),
                ended(t, "chat/turnComplete"),
            ],
        ),
        case(
            "a call that needs no answer",
            "chat",
            &chat(),
            &[
                started(t),
                start.clone(),
                call(
                    t,
                    "Ready",
                    json!({"invocationMessage": "Run ls", "toolInput": "ls", "confirmed": "setting"}),
                ),
                ask.clone(),
                call(
                    t,
                    "Ready",
                    json!({"invocationMessage": {"markdown": "Run `ls`"}}),
                ),
                call(
                    t,
                    "Complete",
                    json!({"result": {"success": false, "pastTenseMessage": "Failed", "error": {"message": "no"}}}),
                ),
            ],
        ),
        case(
            "a result that is confirmed",
            "chat",
            &chat(),
            &[
                started(t),
                start.clone(),
                ask.clone(),
                yes.clone(),
                call(
                    t,
                    "Complete",
                    json!({"requiresResultConfirmation": true, "result": {"success": true, "pastTenseMessage": "Ran"}}),
                ),
                call(t, "ResultConfirmed", json!({"approved": true})),
            ],
        ),
        case(
            "a result that is denied",
            "chat",
            &chat(),
            &[
                started(t),
                start.clone(),
                ask.clone(),
                yes.clone(),
                call(
                    t,
                    "Complete",
                    json!({"requiresResultConfirmation": true, "result": {"success": true, "pastTenseMessage": "Ran"}}),
                ),
                call(t, "ResultConfirmed", json!({"approved": false})),
            ],
        ),
        case(
            "a turn that ends over open calls",
            "chat",
            &chat(),
            &[
                started(t),
                start.clone(),
                ask.clone(),
                question("q1"),
                ended(t, "chat/turnCancelled"),
            ],
        ),
        case(
            "a turn that is interrupted and goes on",
            "chat",
            &chat(),
            &[
                started(t),
                text,
                start,
                ended(t, "chat/error"),
                json!({"type": "chat/turnResume", "turnId": "other"}),
                json!({"type": "chat/turnResume", "turnId": t}),
                delta,
                ended(t, "chat/turnComplete"),
                json!({"type": "chat/turnResume", "turnId": t}),
            ],
        ),
        case(
            "questions",
            "chat",
            &chat(),
            &[
                question("early"),
                started(t),
                question("q1"),
                question("q2"),
                json!({"type": "chat/inputAnswerChanged", "requestId": "q1", "questionId": "q", "answer": {"state": "draft", "value": {"kind": "selected", "value": "a"}}}),
                question("q1"),
                json!({"type": "chat/inputAnswerChanged", "requestId": "q1", "questionId": "q"}),
                json!({"type": "chat/inputCompleted", "requestId": "q1", "response": "accept", "answers": {"q": {"state": "submitted", "value": {"kind": "selected", "value": "a", "freeformValues": ["b"]}}}}),
                json!({"type": "chat/inputCompleted", "requestId": "q1", "response": "decline"}),
                json!({"type": "chat/inputCompleted", "requestId": "q2", "response": "cancel"}),
            ],
        ),
        case(
            "messages that wait",
            "chat",
            &chat(),
            &[
                queued("a"),
                queued("b"),
                queued("c"),
                queued("b"),
                json!({"type": "chat/queuedMessagesReordered", "order": ["c", "x", "c", "a"]}),
                json!({"type": "chat/pendingMessageRemoved", "kind": "queued", "id": "a"}),
                json!({"type": "chat/pendingMessageRemoved", "kind": "queued", "id": "a"}),
                json!({"type": "chat/pendingMessageSet", "kind": "steering", "id": "s", "message": message("now")}),
                json!({"type": "chat/pendingMessageRemoved", "kind": "steering", "id": "a"}),
                json!({"type": "chat/turnStarted", "turnId": t, "startedAt": "2026-01-01T00:00:02.000Z", "message": message("s"), "queuedMessageId": "s"}),
                ended(t, "chat/turnComplete"),
                json!({"type": "chat/turnStarted", "turnId": "t2", "startedAt": "2026-01-01T00:00:03.000Z", "message": message("c"), "queuedMessageId": "c"}),
                json!({"type": "chat/pendingMessageRemoved", "kind": "queued", "id": "b"}),
            ],
        ),
        case(
            "older turns, and fewer",
            "chat",
            &chat(),
            &[
                started("t3"),
                ended("t3", "chat/turnComplete"),
                json!({"type": "chat/turnsLoaded", "turnsNextCursor": "more", "turns": [
                    {"id": "t2", "message": message("b"), "responseParts": [], "state": "complete"},
                    {"id": "t3", "message": message("again"), "responseParts": [], "state": "complete"},
                ]}),
                json!({"type": "chat/turnsLoaded", "turns": [{"id": "t1", "message": message("a"), "responseParts": [], "state": "cancelled"}]}),
                json!({"type": "chat/truncated", "turnId": "t9"}),
                json!({"type": "chat/truncated", "turnId": "t2"}),
                started("t4"),
                json!({"type": "chat/truncated"}),
            ],
        ),
        case(
            "the rest of a chat",
            "chat",
            &chat(),
            &[
                json!({"type": "chat/draftChanged", "draft": message("half")}),
                json!({"type": "chat/draftChanged"}),
                json!({"type": "chat/isReadChanged", "isRead": true}),
                started(t),
                json!({"type": "chat/isArchivedChanged", "isArchived": true}),
                json!({"type": "chat/isArchivedChanged", "isArchived": false}),
                json!({"type": "chat/workingDirectorySet", "directory": "file:///a"}),
                json!({"type": "chat/workingDirectorySet", "directory": "file:///a"}),
                json!({"type": "chat/workingDirectoryRemoved", "directory": "file:///b"}),
                json!({"type": "chat/workingDirectoryRemoved", "directory": "file:///a"}),
                json!({"type": "chat/movableChanged", "movable": false}),
            ],
        ),
        case(
            "root",
            "root",
            &json!({"agents": [], "config": {"schema": {"type": "object", "properties": {}},
                "values": {"copilot.trustedFolders": ["/a"]}}}),
            &[
                json!({"type": "root/agentsChanged", "agents": [{"provider": "copilot", "displayName": "Copilot", "description": "", "models": []}]}),
                json!({"type": "root/activeSessionsChanged", "activeSessions": 2}),
                json!({"type": "root/configChanged", "config": {"a": 1}}),
                json!({"type": "root/configChanged", "config": {"copilot.trustedFolders": ["/a", "/b"]}}),
                json!({"type": "root/configChanged", "config": {"b": 2}, "replace": true}),
            ],
        ),
        case(
            "terminal",
            "terminal",
            &terminal(),
            &[
                json!({"type": "terminal/data", "data": "a"}),
                json!({"type": "terminal/data", "data": "b\r\n"}),
                json!({"type": "terminal/cleared"}),
                json!({"type": "terminal/commandExecuted", "commandId": "1", "commandLine": "ls", "timestamp": 5}),
                json!({"type": "terminal/data", "data": "c"}),
                json!({"type": "terminal/commandFinished", "commandId": "1", "exitCode": 0, "durationMs": 7}),
                json!({"type": "terminal/data", "data": "d"}),
                json!({"type": "terminal/resized", "cols": 80, "rows": 24}),
                json!({"type": "terminal/titleChanged", "title": "x"}),
                json!({"type": "terminal/exited", "exitCode": 3}),
            ],
        ),
    ];
    cases.push(session_case());
    cases
}

fn session_case() -> Value {
    let client = |name: &str| json!({"type": "session/activeClientSet", "activeClient": {"clientId": "a", "tools": [], "displayName": name}});
    let needed = |id: &str| json!({"type": "session/inputNeededSet", "request": {"kind": "chatInput", "id": id, "chat": "ahp-chat:/1", "request": {"id": id}}});
    case(
        "a session",
        "session",
        &session(),
        &[
            json!({"type": "session/ready"}),
            json!({"type": "session/titleChanged", "title": "Fix"}),
            json!({"type": "session/configChanged", "config": {"mode": "plan"}}),
            json!({"type": "session/configChanged", "config": {"allowAll": true}, "replace": true}),
            json!({"type": "session/metaChanged", "_meta": {"copilot.state": "working"}}),
            json!({"type": "session/metaChanged"}),
            json!({"type": "session/activityChanged", "activity": "runs"}),
            json!({"type": "session/isReadChanged", "isRead": true}),
            needed("1"),
            needed("2"),
            needed("1"),
            json!({"type": "session/inputNeededRemoved", "id": "3"}),
            json!({"type": "session/inputNeededRemoved", "id": "1"}),
            json!({"type": "session/inputNeededRemoved", "id": "2"}),
            json!({"type": "session/chatAdded", "summary": {"resource": "ahp-chat:/1", "title": "", "status": 1, "modifiedAt": "2026-01-01T00:00:00Z"}}),
            json!({"type": "session/chatUpdated", "chat": "ahp-chat:/1", "changes": {"title": "new", "status": 8}}),
            json!({"type": "session/chatUpdated", "chat": "ahp-chat:/2", "changes": {"title": "no"}}),
            json!({"type": "session/defaultChatChanged", "defaultChat": "ahp-chat:/1"}),
            json!({"type": "session/chatRemoved", "chat": "ahp-chat:/1"}),
            client("one"),
            client("two"),
            json!({"type": "session/activeClientRemoved", "clientId": "b"}),
            json!({"type": "session/activeClientRemoved", "clientId": "a"}),
            json!({"type": "session/workingDirectorySet", "directory": "file:///a"}),
            json!({"type": "session/workingDirectoryRemoved", "directory": "file:///a"}),
            json!({"type": "session/isArchivedChanged", "isArchived": true}),
            json!({"type": "session/creationFailed", "error": {"errorType": "x", "message": "no"}}),
        ],
    )
}

/// Orders that nobody thinks of, the same in every run.
fn random_cases() -> Vec<Value> {
    let mut seed = 0x2545_f491_4f6c_dd1d_u64;
    let mut next = move |below: usize| {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        (seed % below as u64) as usize
    };
    let vocabulary: Vec<Value> = written_cases()
        .into_iter()
        .filter(|case| case["scope"] == "chat")
        .flat_map(|case| case["actions"].as_array().cloned().unwrap_or_default())
        .collect();
    (0..40)
        .map(|number| {
            let mut actions = vec![started("t1")];
            actions.extend((0..20).map(|_| vocabulary[next(vocabulary.len())].clone()));
            case(&format!("random {number}"), "chat", &chat(), &actions)
        })
        .collect()
}
