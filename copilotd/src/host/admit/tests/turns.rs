//! Turns: starting and cancelling.

use serde_json::{Value, json};

use super::world::World;
use super::{NOW, check, message, rejected};

fn start(turn: &str) -> Value {
    json!({"type": "chat/turnStarted", "turnId": turn, "startedAt": NOW, "message": message("hello")})
}

fn with(mut action: Value, key: &str, value: Value) -> Value {
    action[key] = value;
    action
}

fn started(turn: &str) -> Value {
    json!({"start turn": {"turnId": turn, "startedAt": NOW, "message": message("hello")}})
}

fn cancel(turn: &str) -> Value {
    json!({"type": "chat/turnCancelled", "turnId": turn, "duration": 0})
}

#[test]
fn starting_a_turn() {
    check([
        (
            "an idle session starts a turn",
            World::idle(),
            start("new"),
            started("new"),
        ),
        (
            "the clock is the host's, whatever the client says",
            World::idle(),
            with(start("new"), "startedAt", json!("yesterday\n")),
            started("new"),
        ),
        (
            "a client's `_meta` is dropped, on the action and inside the message",
            World::idle(),
            with(
                with(start("new"), "_meta", json!({"copilot.notice": "forged"})),
                "message",
                json!({"text": "hello", "origin": {"kind": "user"}, "_meta": {"copilot.state": "idle"}}),
            ),
            started("new"),
        ),
        (
            "a model may be chosen, by its name only",
            World::idle(),
            with(
                start("new"),
                "message",
                json!({"text": "hello", "origin": {"kind": "user"}, "model": {"id": "m", "config": {"x": 1}}}),
            ),
            json!({"start turn": {"turnId": "new", "startedAt": NOW,
                "message": {"text": "hello", "origin": {"kind": "user"}, "model": {"id": "m"}}}}),
        ),
        (
            "not over a running turn",
            World::working(),
            start("new"),
            rejected("a turn is running; queue the message or steer the running turn"),
        ),
        (
            "not while the running turn is being cancelled",
            World::working().cancelling(),
            start("new"),
            rejected("a turn is running; queue the message or steer the running turn"),
        ),
        (
            "the running turn again is a retry",
            World::working(),
            start("running"),
            rejected("duplicate: the turn running was started before"),
        ),
        (
            "a turn that is over again is a retry",
            World::idle(),
            start("done"),
            rejected("duplicate: the turn done was started before"),
        ),
        (
            "a turn that is over again is a retry also while another runs",
            World::working(),
            start("done"),
            rejected("duplicate: the turn done was started before"),
        ),
        (
            "only the host takes messages out of the queue",
            World::idle(),
            with(start("new"), "queuedMessageId", json!("q")),
            rejected("only the host starts queued messages"),
        ),
        (
            "an id is not empty",
            World::idle(),
            start(""),
            rejected("the turn id must have 1 to 128 letters, digits, or any of - _ . :"),
        ),
        (
            "an id has no control characters",
            World::idle(),
            start("a\u{1b}[2J"),
            rejected("the turn id must have 1 to 128 letters, digits, or any of - _ . :"),
        ),
        (
            "an id has no slashes",
            World::idle(),
            start("../../etc"),
            rejected("the turn id must have 1 to 128 letters, digits, or any of - _ . :"),
        ),
        (
            "an id is not endless",
            World::idle(),
            start(&"x".repeat(129)),
            rejected("the turn id must have 1 to 128 letters, digits, or any of - _ . :"),
        ),
    ]);
}

#[test]
fn the_message_of_a_turn() {
    let of = |message: Value| with(start("new"), "message", message);
    let user = |text: &str| json!({"text": text, "origin": {"kind": "user"}});
    let origin = |kind: &str| of(json!({"text": "x", "origin": {"kind": kind}}));
    let longest = "x".repeat(super::super::MAX_TEXT_BYTES);
    check([
        (
            "an empty message starts nothing",
            World::idle(),
            of(user(" \n")),
            rejected("the message is empty"),
        ),
        (
            "a long message is fine",
            World::idle(),
            of(user(&longest)),
            json!({"start turn": {"turnId": "new", "startedAt": NOW, "message": user(&longest)}}),
        ),
        (
            "an endless one is not",
            World::idle(),
            of(user(&format!("{longest}x"))),
            rejected("the message has more than 1024 KiB"),
        ),
        (
            "nobody speaks as the agent",
            World::idle(),
            origin("agent"),
            rejected("a client sends messages of a user only"),
        ),
        (
            "nobody speaks as a tool",
            World::idle(),
            origin("tool"),
            rejected("a client sends messages of a user only"),
        ),
        (
            "nobody speaks as the system",
            World::idle(),
            origin("system-notification"),
            rejected("a client sends messages of a user only"),
        ),
        (
            "nobody speaks as what is not known",
            World::idle(),
            origin("emperor"),
            rejected("a client sends messages of a user only"),
        ),
        (
            "attachments are refused and not dropped silently",
            World::idle(),
            of(
                json!({"text": "x", "origin": {"kind": "user"}, "attachments": [
                {"type": "simple", "label": "a.txt"}]}),
            ),
            rejected("attachments are not supported; name the files in the text"),
        ),
        (
            "no attachments are as good as none",
            World::idle(),
            of(json!({"text": "hello", "origin": {"kind": "user"}, "attachments": []})),
            started("new"),
        ),
        (
            "an agent is chosen at another place",
            World::idle(),
            of(json!({"text": "x", "origin": {"kind": "user"}, "agent": {"uri": "a:b"}})),
            rejected("an agent is chosen when the session is created, not with a message"),
        ),
        (
            "a model has a name",
            World::idle(),
            of(json!({"text": "x", "origin": {"kind": "user"}, "model": {"id": ""}})),
            rejected("this is not the name of a model"),
        ),
        (
            "a model's name has no line breaks",
            World::idle(),
            of(json!({"text": "x", "origin": {"kind": "user"}, "model": {"id": "a\nb"}})),
            rejected("this is not the name of a model"),
        ),
    ]);
}

#[test]
fn cancelling_a_turn() {
    check([
        (
            "the running turn",
            World::working(),
            cancel("running"),
            json!({"cancel": "running"}),
        ),
        (
            "the running turn, while it asks for permission",
            World::asking(),
            cancel("running"),
            json!({"cancel": "running"}),
        ),
        (
            "once is enough",
            World::working().cancelling(),
            cancel("running"),
            rejected("duplicate: this turn is being cancelled already"),
        ),
        (
            "a turn that is over, while another runs",
            World::working(),
            cancel("done"),
            rejected("this turn has ended already"),
        ),
        (
            "a turn that is over",
            World::idle(),
            cancel("done"),
            rejected("this turn has ended already"),
        ),
        (
            "a turn of another session, with something nasty in its name",
            World::working(),
            cancel("\u{7}their-turn"),
            rejected("there is no turn `their-turn` in this chat"),
        ),
        (
            "nothing runs and nothing ran",
            World::idle(),
            cancel(""),
            rejected("there is no turn `` in this chat"),
        ),
    ]);
}

fn resume(turn: &str) -> Value {
    json!({"type": "chat/turnResume", "turnId": turn})
}

fn failed(resumable: bool) -> World {
    let error = json!({"errorType": "interrupted", "message": "stopped"});
    World::working().and(
        json!({"type": "chat/error", "turnId": "running", "duration": 0,
        "part": {"kind": "error", "error": error, "resumable": resumable}}),
    )
}

#[test]
fn going_on_with_an_interrupted_turn() {
    let not_this_one = "only the last turn can go on, and only when it was interrupted";
    check([
        (
            "the last turn was interrupted",
            failed(true),
            resume("running"),
            json!({"resume": {"turnId": "running"}}),
        ),
        (
            "a turn that failed for good",
            failed(false),
            resume("running"),
            rejected(not_this_one),
        ),
        (
            "a turn that ended well",
            World::idle(),
            resume("done"),
            rejected(not_this_one),
        ),
        (
            "another turn than the last",
            failed(true),
            resume("done"),
            rejected(not_this_one),
        ),
        (
            "it goes on already",
            World::working(),
            resume("running"),
            rejected("duplicate: this turn goes on already"),
        ),
        (
            "another turn runs",
            World::working(),
            resume("done"),
            rejected("a turn is running; queue a message instead"),
        ),
    ]);
}
