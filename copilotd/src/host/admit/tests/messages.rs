//! Messages for later, drafts, titles and marks.

use ahp::reducers::apply_action_to_chat;
use serde_json::{Value, json};

use super::super::{Admitted, MAX_QUEUED, MAX_TEXT_BYTES, MAX_TITLE_CHARS};
use super::world::World;
use super::{check, message, rejected};

fn queue(id: &str, text: &str) -> Value {
    json!({"type": "chat/pendingMessageSet", "kind": "queued", "id": id, "message": message(text)})
}

fn steer(id: &str, text: &str) -> Value {
    json!({"type": "chat/pendingMessageSet", "kind": "steering", "id": id, "message": message(text)})
}

fn pended(kind: &str, id: &str, text: &str) -> Value {
    json!({"pend": {"kind": kind, "id": id, "message": message(text)}})
}

fn take_back(kind: &str, id: &str) -> Value {
    json!({"type": "chat/pendingMessageRemoved", "kind": kind, "id": id})
}

#[test]
fn queueing() {
    let full: Vec<String> = (0..MAX_QUEUED).map(|n| format!("m{n}")).collect();
    let full: Vec<&str> = full.iter().map(String::as_str).collect();
    check([
        (
            "while a turn runs",
            World::working(),
            queue("q", "next"),
            pended("queued", "q", "next"),
        ),
        (
            "while nothing runs",
            World::idle(),
            queue("q", "next"),
            pended("queued", "q", "next"),
        ),
        (
            "behind others",
            World::working().queued(&["a"]),
            queue("b", "b"),
            pended("queued", "b", "b"),
        ),
        (
            "a forged `_meta` is dropped",
            World::working(),
            json!({"type": "chat/pendingMessageSet", "kind": "queued", "id": "q",
                "message": {"text": "next", "origin": {"kind": "user"}, "_meta": {"copilot.notice": "x"}}}),
            pended("queued", "q", "next"),
        ),
        (
            "the same again is a retry",
            World::working().queued(&["a"]),
            queue("a", "a"),
            rejected("duplicate: this message is queued already"),
        ),
        (
            "the same id with another text is an edit",
            World::working().queued(&["a"]),
            queue("a", "better"),
            pended("queued", "a", "better"),
        ),
        (
            "an edit fits into a full queue",
            World::working().queued(&full),
            queue("m7", "better"),
            pended("queued", "m7", "better"),
        ),
        (
            "a new one does not",
            World::working().queued(&full),
            queue("q", "next"),
            rejected("100 messages are queued; take one back first"),
        ),
        (
            "what runs by now is a retry",
            World::working(),
            queue("running", "go"),
            rejected("duplicate: this message was started before"),
        ),
        (
            "what ran is a retry",
            World::idle(),
            queue("done", "before"),
            rejected("duplicate: this message was started before"),
        ),
        (
            "what was taken back or joined a turn is a retry",
            World::working().spent("gone"),
            queue("gone", "next"),
            rejected("duplicate: this message was taken back, or the agent has it"),
        ),
        (
            "what waits to steer",
            World::working().steered(),
            queue("steer", "left"),
            rejected("duplicate: this message is waiting already"),
        ),
        (
            "nothing",
            World::working(),
            queue("q", ""),
            rejected("the message is empty"),
        ),
        (
            "an endless text",
            World::working(),
            queue("q", &"x".repeat(MAX_TEXT_BYTES + 1)),
            rejected("the message has more than 1024 KiB"),
        ),
        (
            "an id with a line break",
            World::working(),
            queue("q\n", "next"),
            rejected("the message id must have 1 to 128 letters, digits, or any of - _ . :"),
        ),
        (
            "as the agent",
            World::working(),
            json!({"type": "chat/pendingMessageSet", "kind": "queued", "id": "q",
                "message": {"text": "next", "origin": {"kind": "agent"}}}),
            rejected("a client sends messages of a user only"),
        ),
    ]);
}

#[test]
fn steering() {
    check([
        (
            "a running turn",
            World::working(),
            steer("s", "left"),
            pended("steering", "s", "left"),
        ),
        (
            "nothing runs: it becomes a turn",
            World::idle(),
            steer("s", "left"),
            pended("steering", "s", "left"),
        ),
        (
            "past the queue",
            World::working().queued(&["a"]),
            steer("s", "left"),
            pended("steering", "s", "left"),
        ),
        (
            "over another that waits",
            World::working().steered(),
            steer("s", "right"),
            rejected(
                "another steering message is waiting; queue this one, or take the other back first",
            ),
        ),
        (
            "over another that the agent has",
            World::working().steered().handed_over(),
            steer("s", "right"),
            rejected(
                "another steering message is waiting; queue this one, or take the other back first",
            ),
        ),
        (
            "the same again is a retry",
            World::working().steered(),
            steer("steer", "left"),
            rejected("duplicate: this message is waiting already"),
        ),
        (
            "what is queued already",
            World::working().queued(&["a"]),
            steer("a", "a"),
            rejected("duplicate: this message is queued already"),
        ),
        (
            "what was started by now is a retry",
            World::idle(),
            steer("done", "before"),
            rejected("duplicate: this message was started before"),
        ),
    ]);
}

#[test]
fn taking_back() {
    check([
        (
            "from the queue",
            World::working().queued(&["a", "b"]),
            take_back("queued", "a"),
            json!({"take back": take_back("queued", "a")}),
        ),
        (
            "a steering message that still waits",
            World::working().steered(),
            take_back("steering", "steer"),
            json!({"take back": take_back("steering", "steer")}),
        ),
        (
            "a steering message that the agent has",
            World::working().steered().handed_over(),
            take_back("steering", "steer"),
            rejected("the agent has this message already"),
        ),
        (
            "what is not there",
            World::working().queued(&["a"]),
            take_back("queued", "b"),
            rejected("this message does not wait any more"),
        ),
        (
            "what was started by now",
            World::working(),
            take_back("queued", "running"),
            rejected("this message does not wait any more"),
        ),
        (
            "a queued message is no steering message",
            World::working().queued(&["a"]),
            take_back("steering", "a"),
            rejected("this message does not wait any more"),
        ),
        (
            "a steering message is not queued",
            World::working().steered(),
            take_back("queued", "steer"),
            rejected("this message does not wait any more"),
        ),
    ]);
}

fn reorder(order: &[&str]) -> Value {
    json!({"type": "chat/queuedMessagesReordered", "order": order})
}

#[test]
fn reordering() {
    let to = |order: &[&str]| json!({"apply": reorder(order)});
    let three = || World::working().queued(&["c", "a", "b"]);
    check([
        (
            "all of them",
            three(),
            reorder(&["a", "b", "c"]),
            to(&["a", "b", "c"]),
        ),
        (
            "only the first: the others keep their order",
            three(),
            reorder(&["b"]),
            to(&["b", "c", "a"]),
        ),
        (
            "no order at all changes nothing",
            three(),
            reorder(&[]),
            to(&["c", "a", "b"]),
        ),
        (
            "ids of nothing, of others and twice",
            three(),
            reorder(&["x", "b", "running", "b", "c"]),
            to(&["b", "c", "a"]),
        ),
        (
            "nothing is queued",
            World::working(),
            reorder(&["a"]),
            rejected("nothing is queued"),
        ),
    ]);
}

/// The reducer sorts what an order leaves out by id: the host must leave nothing out.
#[test]
fn a_partial_order_loses_nothing_and_keeps_the_rest_in_place() {
    for (order, expected) in [
        (vec!["m"], ["m", "z", "a", "k"]),
        (vec!["k", "z"], ["k", "z", "a", "m"]),
        (vec![], ["z", "a", "m", "k"]),
        (vec!["nothing"], ["z", "a", "m", "k"]),
    ] {
        let world = World::working().queued(&["z", "a", "m", "k"]);
        let Ok(Admitted::Apply(action)) = world.dispatch(&reorder(&order)) else {
            panic!("{order:?} was refused");
        };
        let mut chat = world.chat.clone();
        apply_action_to_chat(&mut chat, &action);
        let queued = chat.queued_messages.unwrap();
        let ids: Vec<&str> = queued.iter().map(|m| m.id.as_str()).collect();
        assert_eq!(ids, expected, "{order:?}");
        assert!(queued.iter().all(|m| m.message.text == m.id), "{order:?}");
    }
}

#[test]
fn drafts() {
    let draft = |draft: Value| json!({"type": "chat/draftChanged", "draft": draft});
    check([
        (
            "a draft",
            World::working(),
            draft(message("half a sen")),
            json!({"apply": draft(message("half a sen"))}),
        ),
        (
            "an empty draft",
            World::idle(),
            draft(message("")),
            json!({"apply": draft(message(""))}),
        ),
        (
            "no draft any more",
            World::idle(),
            json!({"type": "chat/draftChanged"}),
            json!({"apply": {"type": "chat/draftChanged"}}),
        ),
        (
            "a forged `_meta` is dropped",
            World::idle(),
            draft(json!({"text": "x", "origin": {"kind": "user"}, "_meta": {"y": 1}})),
            json!({"apply": draft(message("x"))}),
        ),
        (
            "an endless draft",
            World::idle(),
            draft(message(&"x".repeat(MAX_TEXT_BYTES + 1))),
            rejected("the message has more than 1024 KiB"),
        ),
        (
            "with attachments",
            World::idle(),
            draft(
                json!({"text": "x", "origin": {"kind": "user"}, "attachments": [
                {"type": "hologram", "label": "a"}]}),
            ),
            rejected("attachments are not supported; name the files in the text"),
        ),
        (
            "as the system",
            World::idle(),
            draft(json!({"text": "x", "origin": {"kind": "system-notification"}})),
            rejected("a client sends messages of a user only"),
        ),
    ]);
}

#[test]
fn titles() {
    const RULE: &str = "a title has 1 to 200 characters and no line breaks";
    let title = |title: &str| json!({"type": "session/titleChanged", "title": title});
    let longest = "ü".repeat(MAX_TITLE_CHARS);
    check([
        (
            "a title",
            World::idle(),
            title("Fix it"),
            json!({"apply": title("Fix it")}),
        ),
        (
            "blanks around it go",
            World::working(),
            title(" Fix it\n"),
            json!({"apply": title("Fix it")}),
        ),
        (
            "characters count, not bytes",
            World::idle(),
            title(&longest),
            json!({"apply": title(&longest)}),
        ),
        (
            "too long",
            World::idle(),
            title(&format!("{longest}x")),
            rejected(RULE),
        ),
        ("empty", World::idle(), title("  "), rejected(RULE)),
        (
            "a line break in the middle",
            World::idle(),
            title("a\nb"),
            rejected(RULE),
        ),
        (
            "an escape sequence",
            World::idle(),
            title("\u{1b}]0;x\u{7}"),
            rejected(RULE),
        ),
    ]);
}

#[test]
fn marks() {
    let marks = [
        json!({"type": "chat/isReadChanged", "isRead": true}),
        json!({"type": "chat/isArchivedChanged", "isArchived": false}),
        json!({"type": "session/isReadChanged", "isRead": false}),
        json!({"type": "session/isArchivedChanged", "isArchived": true}),
    ];
    check(marks.map(|mark| {
        let mut forged = mark.clone();
        forged["_meta"] = json!({"copilot.state": "error"});
        (
            "a mark, and nothing beside it",
            World::working(),
            forged,
            json!({ "apply": mark }),
        )
    }));
}
