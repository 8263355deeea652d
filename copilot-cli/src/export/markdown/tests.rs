//! The document of a conversation that has everything in it, and the small rules.

use ahp_types::state::ChatState;
use serde_json::{Value, json};

use super::*;
use crate::client::mirror_tests::{CHAT, SESSION, mirror, snapshot};

fn call(id: &str, extra: Value) -> Value {
    let mut call = json!({"status": "completed", "toolCallId": id, "toolName": "shell", "displayName": "Shell",
        "invocationMessage": "", "pastTenseMessage": "", "success": true, "confirmed": "user-action"});
    let (Value::Object(call), Value::Object(extra)) = (&mut call, extra) else {
        panic!("not an object");
    };
    call.extend(extra);
    json!({"kind": "toolCall", "toolCall": call})
}

/// A session with one turn of everything, and one that runs.
fn fixture() -> Mirror {
    let parts = json!([
        {"kind": "reasoning", "id": "r", "content": "First the tests.\nThen the fix."},
        {"kind": "markdown", "id": "m", "content": "I run **them**:\n\n```sh\ncargo test"},
        call("c1", json!({"invocationMessage": "run the tests", "toolInput": "cargo test", "success": false,
            "content": [{"type": "terminal", "resource": "ahp-terminal:/s/c1", "title": "x",
                "result": {"exitCode": 101, "preview": "```\n\u{1b}[31mone failed\u{1b}[0m\n"}}],
            "_meta": {"copilot.kind": "execute",
                "copilot.answeredBy": {"name": "terminal pts/3", "trust": "local", "choice": "allow-once"}}})),
        call("c2", json!({"toolName": "edit", "displayName": "Edit", "invocationMessage": "src/a.rs",
            "toolInput": {"uri": "copilot-content:/s/input"},
            "content": [
                {"type": "text", "text": "edited"},
                {"type": "fileEdit",
                 "before": {"uri": "file:///p/src/a.rs", "content": {"uri": "copilot-content:/s/1"}},
                 "after": {"uri": "file:///p/src/a.rs", "content": {"uri": "copilot-content:/s/2"}}},
                {"type": "fileEdit",
                 "after": {"uri": "file:///p/new", "content": {"uri": "copilot-content:/s/gone"}}}]})),
        call("c3", json!({"status": "cancelled", "invocationMessage": "rm *", "toolInput": "rm *",
            "reason": "denied", "reasonMessage": "no rule allows `rm *`",
            "userSuggestion": {"text": "ask first", "origin": {"kind": "user"}},
            "_meta": {"copilot.answeredBy": {"name": "policy", "choice": "deny"}}})),
        {"kind": "inputRequest", "response": "accept", "request": {"id": "q", "questions": [
            {"kind": "single-select", "id": "one", "message": "Which?", "options": [
                {"id": "a", "label": "The first"}, {"id": "b", "label": "The second"}]}],
            "answers": {"one": {"state": "submitted", "value": {"kind": "selected", "value": "b", "freeformValues": ["quickly"]}}}}},
        {"kind": "systemNotification", "content": "the agent was started again"},
        {"kind": "error", "resumable": true,
         "error": {"errorType": "interrupted", "message": "the daemon was restarted\ncontinue with Enter"}},
    ]);
    let message = |text: &str| json!({"text": text, "origin": {"kind": "user"}});
    let mut mirror = mirror();
    mirror.apply_snapshot(snapshot(
        SESSION,
        json!({"provider": "copilot", "title": "fix the `parser`", "status": 1, "lifecycle": "ready",
            "activeClients": [], "chats": [], "_meta": {"copilot.answers":
                {"q": {"by": {"name": "terminal pts/9", "trust": "local"}, "choice": "b"}}}}),
    ));
    mirror.apply_snapshot(snapshot(
        CHAT,
        json!({"resource": CHAT, "title": "", "status": 1, "modifiedAt": "2025-01-01T00:00:00.000Z",
            "turns": [{"id": "t1", "startedAt": "2025-01-01T00:00:00.000Z", "duration": 65_000, "state": "error",
                "message": message("Fix the parser.\n\nAnd test it."), "responseParts": parts,
                "usage": {"inputTokens": 1234, "outputTokens": 56, "model": "m1"}}],
            "activeTurn": {"id": "t2", "startedAt": "2025-01-01T00:02:00.000Z",
                "message": message("go on"), "responseParts": [
                    {"kind": "inputRequest", "request": {"id": "p", "message": "Really?"}}]}}),
    ));
    mirror
}

fn contents() -> Contents {
    let known = |uri: &str, text: &str| (uri.to_owned(), Ok(text.to_owned()));
    Contents::from([
        known("copilot-content:/s/input", "{\"path\": \"src/a.rs\"}"),
        known("copilot-content:/s/1", "one\ntwo\nthree\n"),
        known("copilot-content:/s/2", "one\n2\nthree\n"),
        (
            "copilot-content:/s/gone".to_owned(),
            Err("there is no such content".to_owned()),
        ),
    ])
}

fn views(chat: &ChatState) -> Vec<TurnView<'_>> {
    let active = chat.active_turn.iter().map(TurnView::from);
    chat.turns
        .iter()
        .map(TurnView::from)
        .chain(active)
        .collect()
}

#[test]
fn a_conversation_reads_as_a_document() {
    let mirror = fixture();
    let mut document = heading("fix the `parser`", &[("session", "s".to_owned())]);
    for (index, view) in views(mirror.chat().unwrap()).iter().enumerate() {
        document.push_str(&turn(index + 1, view, &mirror, &contents()));
    }
    insta::assert_snapshot!(document);
}

#[test]
fn inputs_and_changes_that_are_elsewhere_are_wanted() {
    let mirror = fixture();
    let chat = mirror.chat().unwrap();
    let wanted: Vec<_> = views(chat).iter().flat_map(wanted).collect();
    assert_eq!(
        wanted,
        ["input", "1", "2", "gone"].map(|id| format!("copilot-content:/s/{id}"))
    );
}

#[test]
fn nothing_leaves_its_fence_quote_or_span() {
    let lines = ["a".to_owned(), "````".to_owned()];
    assert_eq!(fenced("text", &lines), "`````text\na\n````\n`````");
    assert_eq!(code("a`b``c"), "``` a`b``c ```");
    assert_eq!(plain("*a* <b>\n[c]"), "\\*a\\* \\<b> \\[c]");
    assert_eq!(quote("a\n\nb"), "> a\n>\n> b\n");
}

#[test]
fn an_open_fence_is_closed_and_no_other() {
    let table = [
        ("```rust\nfn", "```rust\nfn\n```"),
        ("```\na\n```", "```\na\n```"),
        ("~~~~\n```\n~~~", "~~~~\n```\n~~~\n~~~~"),
        ("````\n```", "````\n```\n````"),
        ("a ``` b", "a ``` b"),
        ("```a``` b", "```a``` b"),
    ];
    for (text, expected) in table {
        assert_eq!(answer(text), expected, "{text:?}");
    }
}

#[test]
fn long_texts_are_cut_and_say_so() {
    let long: Vec<String> = (1..=MAX_LINES + 7).map(|n| n.to_string()).collect();
    let kept = bounded(long);
    assert_eq!(kept.len(), MAX_LINES + 1);
    assert_eq!(
        kept[MAX_LINES / 2 - 1..MAX_LINES / 2 + 2],
        ["100", "… 7 lines cut …", "108"]
    );
    let fits: Vec<String> = (1..=MAX_LINES).map(|n| n.to_string()).collect();
    assert_eq!(bounded(fits.clone()), fits);
    let wide = bounded(vec!["x".repeat(MAX_COLUMNS + 1)]);
    assert_eq!(wide[0].chars().count(), MAX_COLUMNS);
}

#[test]
fn a_long_change_is_cut_and_says_so() {
    let after: String = (0..MAX_DIFF_LINES).map(|n| format!("{n}\n")).collect();
    let contents = Contents::from([("u".to_owned(), Ok(after))]);
    let edit = Edit {
        path: "/p/new".to_owned(),
        before: None,
        after: Some("u".to_owned()),
    };
    let shown = change(&edit, &contents);
    assert!(shown.starts_with("New file `/p/new`:\n\n```diff\n--- /dev/null\n+++ /p/new\n@@"));
    assert!(shown.contains("… 3 more lines of the change"), "{shown}");
}
