//! What agents send, and the timeline that comes of it by the real reducers.
//!
//! Every action must have an effect on the state: one that has none was not worth publishing.

mod stage;

use serde_json::{Value, json};

use super::MAX_INLINE_BYTES;
use stage::{Stage, Step, Step::*};

/// What it is about, what happens, the timeline, and what else is to be done.
type Row = (
    &'static str,
    Vec<Step>,
    Vec<&'static str>,
    Vec<&'static str>,
);

fn check(rows: impl IntoIterator<Item = Row>) {
    for (name, steps, timeline, beside) in rows {
        let mut stage = Stage::default();
        for step in steps {
            stage.play(name, step);
        }
        assert_eq!(stage.timeline(), timeline, "{name}");
        assert_eq!(stage.beside, beside, "{name}");
    }
}

fn says(text: &str) -> Step {
    Update(
        json!({"sessionUpdate": "agent_message_chunk", "content": {"type": "text", "text": text}}),
    )
}

fn thinks(text: &str) -> Step {
    Update(
        json!({"sessionUpdate": "agent_thought_chunk", "content": {"type": "text", "text": text}}),
    )
}

/// A new tool call `id`, a shell command, with these fields on top.
fn call(id: &str, rest: Value) -> Step {
    let mut update = json!({"sessionUpdate": "tool_call", "toolCallId": id, "title": "make", "kind": "execute",
        "name": "shell", "rawInput": {"command": "make all"}});
    merge(&mut update, rest);
    Update(update)
}

fn change(id: &str, rest: Value) -> Step {
    let mut update = json!({"sessionUpdate": "tool_call_update", "toolCallId": id});
    merge(&mut update, rest);
    Update(update)
}

fn merge(update: &mut Value, rest: Value) {
    for (key, value) in rest.as_object().unwrap() {
        update[key] = value.clone();
    }
}

fn status(id: &str, status: &str) -> Step {
    change(id, json!({"status": status}))
}

fn text_content(text: &str) -> Value {
    json!([{"type": "content", "content": {"type": "text", "text": text}}])
}

fn output(data: &str) -> Value {
    json!({"terminal_output": {"terminal_id": "t", "data": data}})
}

fn exit(code: Option<i64>) -> Value {
    json!({"terminal_exit": {"terminal_id": "t", "exit_code": code, "signal": null}})
}

#[test]
fn text_and_reasoning() {
    check([
        (
            "chunks of a text are one part",
            vec![says("Hel"), says("lo")],
            vec!["text `Hello`"],
            vec![],
        ),
        (
            "thoughts and text are parts of their own, in order",
            vec![
                thinks("Hm"),
                thinks("m"),
                says("Yes"),
                thinks("But"),
                says("No"),
                says("!"),
            ],
            vec!["thought `Hmm`", "text `Yes`", "thought `But`", "text `No!`"],
            vec![],
        ),
        (
            "a tool call ends the part",
            vec![says("Look"), call("c", json!({})), says("Seen")],
            vec!["text `Look`", "c streaming shell", "text `Seen`"],
            vec![],
        ),
        (
            "news of a known call do not",
            vec![
                call("c", json!({})),
                says("Al"),
                status("c", "in_progress"),
                says("most"),
            ],
            vec!["c running shell `make all` (not-needed)", "text `Almost`"],
            vec![],
        ),
        (
            "the host's own lines end it too",
            vec![says("a"), Notice("be quick", "steered"), says("b")],
            vec!["text `a`", "notice steered `be quick`", "text `b`"],
            vec![],
        ),
        (
            "so does what is asked",
            vec![says("a"), Interrupt, says("b")],
            vec!["text `a`", "text `b`"],
            vec![],
        ),
        (
            "nothing is no part",
            vec![says(""), thinks("")],
            vec![],
            vec![],
        ),
        (
            "a link is text",
            vec![Update(
                json!({"sessionUpdate": "agent_message_chunk", "content":
                {"type": "resource_link", "name": "a.rs", "uri": "file:///a.rs"}}),
            )],
            vec!["text `[a.rs](file:///a.rs)`"],
            vec![],
        ),
        (
            "a picture is not shown, and ends nothing",
            vec![
                says("a"),
                Update(json!({"sessionUpdate": "agent_message_chunk", "content":
                    {"type": "image", "data": "", "mimeType": "image/png"}})),
                says("b"),
            ],
            vec!["text `ab`"],
            vec![],
        ),
    ]);
}

#[test]
fn the_life_of_a_tool_call() {
    check([
        (
            "asked, allowed, run, done",
            vec![
                call("c", json!({"status": "pending"})),
                Ask(json!({"toolCallId": "c"})),
                Answer("c", true),
                status("c", "in_progress"),
                change(
                    "c",
                    json!({"status": "completed", "content": text_content("ok")}),
                ),
            ],
            vec!["c completed shell `make all` (user-action) [text `ok`]"],
            vec![],
        ),
        (
            "asked, and nobody has answered yet",
            vec![
                call("c", json!({"status": "pending"})),
                Ask(json!({"toolCallId": "c"})),
            ],
            vec!["c pending-confirmation shell `make all` Run this?"],
            vec![],
        ),
        (
            "a request names a call that was never announced",
            vec![Ask(
                json!({"toolCallId": "c", "title": "rm x", "kind": "execute", "rawInput": {"command": "rm x"}}),
            )],
            vec!["c pending-confirmation execute `rm x` Run this?"],
            vec![],
        ),
        (
            "allowed by a rule",
            vec![
                call("c", json!({"status": "pending"})),
                Allow(json!({"toolCallId": "c"})),
                status("c", "completed"),
            ],
            vec!["c completed shell `make all` (setting)"],
            vec![],
        ),
        (
            "denied: what the agent says of it afterwards changes nothing",
            vec![
                call("c", json!({})),
                Ask(json!({"toolCallId": "c"})),
                Answer("c", false),
                change(
                    "c",
                    json!({"status": "failed", "content": text_content("no"), "_meta": output("x")}),
                ),
            ],
            vec!["c cancelled shell `make all`"],
            vec![],
        ),
        (
            "without a question",
            vec![
                call("c", json!({"status": "pending"})),
                status("c", "in_progress"),
                status("c", "completed"),
            ],
            vec!["c completed shell `make all` (not-needed)"],
            vec![],
        ),
        (
            "done at once",
            vec![call(
                "c",
                json!({"status": "completed", "content": text_content("ok")}),
            )],
            vec!["c completed shell `make all` (not-needed) [text `ok`]"],
            vec![],
        ),
        (
            "failed at once",
            vec![call("c", json!({"status": "failed"}))],
            vec!["c failed shell `make all` (not-needed)"],
            vec![],
        ),
        (
            "failed later",
            vec![
                call("c", json!({"status": "in_progress"})),
                change(
                    "c",
                    json!({"status": "failed", "content": text_content("exit 2")}),
                ),
            ],
            vec!["c failed shell `make all` (not-needed) [text `exit 2`]"],
            vec![],
        ),
        (
            "asked in the middle of its work",
            vec![
                call("c", json!({"status": "in_progress"})),
                Ask(json!({"toolCallId": "c"})),
                Answer("c", true),
                status("c", "completed"),
            ],
            vec!["c completed shell `make all` (user-action)"],
            vec![],
        ),
        (
            "after its end nothing happens to it",
            vec![
                call("c", json!({"status": "completed"})),
                status("c", "in_progress"),
                status("c", "failed"),
                change(
                    "c",
                    json!({"title": "other", "content": text_content("late"), "_meta": output("late")}),
                ),
                Refused(json!({"toolCallId": "c"})),
            ],
            vec!["c completed shell `make all` (not-needed)"],
            vec![],
        ),
        (
            "two at the same time",
            vec![
                call("a", json!({"status": "in_progress"})),
                call("b", json!({"status": "in_progress"})),
                status("b", "completed"),
                status("a", "failed"),
            ],
            vec![
                "a failed shell `make all` (not-needed)",
                "b completed shell `make all` (not-needed)",
            ],
            vec![],
        ),
        (
            "announced twice is one call",
            vec![
                call("c", json!({})),
                call("c", json!({"status": "in_progress"})),
            ],
            vec!["c running shell `make all` (not-needed)"],
            vec![],
        ),
        (
            "what comes bit by bit is put together before it is shown",
            vec![
                change("c", json!({"title": "Search"})),
                change("c", json!({"kind": "search"})),
                change("c", json!({"rawInput": {"pattern": "x"}})),
                status("c", "in_progress"),
            ],
            vec!["c running other `{\n  \"pattern\": \"x\"\n}` (not-needed)"],
            vec![],
        ),
    ]);
}

#[test]
fn live_output() {
    check([
        (
            "opened by the first output; the result shows its end and where all of it is",
            vec![
                call("c", json!({"status": "pending"})),
                change("c", json!({"_meta": output("one\n")})),
                change("c", json!({"_meta": output("two\n")})),
                change("c", json!({"_meta": exit(Some(0))})),
                status("c", "completed"),
            ],
            vec![
                "c completed shell `make all` (not-needed) [terminal terminal:c exit 0 `one\ntwo\n`, resource output:c]",
            ],
            vec![
                "open c `make`",
                "data c `one\n`",
                "data c `two\n`",
                "exit c 0",
            ],
        ),
        (
            "shown while it runs",
            vec![
                call("c", json!({"status": "in_progress"})),
                change("c", json!({"_meta": output("one\n")})),
            ],
            vec!["c running shell `make all` (not-needed) [terminal terminal:c]"],
            vec!["open c `make`", "data c `one\n`"],
        ),
        (
            "ended by a signal",
            vec![
                call("c", json!({"status": "in_progress", "_meta": output("x")})),
                change("c", json!({"status": "failed", "_meta": exit(None)})),
            ],
            vec![
                "c failed shell `make all` (not-needed) [terminal terminal:c killed `x`, resource output:c]",
            ],
            vec!["open c `make`", "data c `x`", "exit c killed"],
        ),
        (
            "output that comes with the end is part of the result",
            vec![
                call("c", json!({"status": "in_progress"})),
                change("c", json!({"_meta": output("one\n")})),
                change(
                    "c",
                    json!({"status": "completed", "_meta": {"terminal_output": {"data": "two\n"},
                        "terminal_exit": {"exit_code": 3}}}),
                ),
            ],
            vec![
                "c completed shell `make all` (not-needed) [terminal terminal:c exit 3 `one\ntwo\n`, resource output:c]",
            ],
            vec![
                "open c `make`",
                "data c `one\n`",
                "data c `two\n`",
                "exit c 3",
            ],
        ),
        (
            "all in one message",
            vec![call(
                "c",
                json!({"status": "completed", "_meta": {"terminal_output": {"data": "hi\n"},
                    "terminal_exit": {"exit_code": 0}}}),
            )],
            vec![
                "c completed shell `make all` (not-needed) [terminal terminal:c exit 0 `hi\n`, resource output:c]",
            ],
            vec!["open c `make`", "data c `hi\n`", "exit c 0"],
        ),
        (
            "the last words of a command that has ended still count",
            vec![
                call("c", json!({"status": "in_progress", "_meta": output("x")})),
                status("c", "completed"),
                change("c", json!({"_meta": output("y")})),
            ],
            vec![
                "c completed shell `make all` (not-needed) [terminal terminal:c killed `x`, resource output:c]",
            ],
            vec!["open c `make`", "data c `x`", "data c `y`"],
        ),
        (
            "a command that says nothing has no terminal",
            vec![
                call("c", json!({"status": "in_progress"})),
                change("c", json!({"status": "completed", "_meta": exit(Some(0))})),
            ],
            vec!["c completed shell `make all` (not-needed)"],
            vec![],
        ),
        (
            "output that is no text is none",
            vec![
                call("c", json!({"status": "in_progress"})),
                change("c", json!({"_meta": {"terminal_output": {"data": 7}}})),
            ],
            vec!["c running shell `make all` (not-needed)"],
            vec![],
        ),
    ]);
}

#[test]
fn what_is_not_of_the_timeline() {
    check([
        (
            "a plan is the todo list, whole each time",
            vec![
                Update(json!({"sessionUpdate": "plan", "entries": [
                    {"content": "read", "priority": "high", "status": "completed"},
                    {"content": "write", "priority": "low", "status": "in_progress"},
                    {"content": "test", "priority": "low", "status": "pending"}]})),
                Update(json!({"sessionUpdate": "plan", "entries": []})),
            ],
            vec![],
            vec![
                "todos completed:read in_progress:write pending:test",
                "todos",
            ],
        ),
        (
            "a title",
            vec![Update(
                json!({"sessionUpdate": "session_info_update", "title": "Fix it"}),
            )],
            vec![],
            vec!["title `Fix it`"],
        ),
        (
            "no title",
            vec![Update(
                json!({"sessionUpdate": "session_info_update", "updatedAt": "2030-01-01T00:00:00Z"}),
            )],
            vec![],
            vec![],
        ),
        (
            "a notice of the agent's",
            vec![Update(
                json!({"sessionUpdate": "notice", "severity": "warning", "title": "Slow", "description": "busy"}),
            )],
            vec!["notice agent `Slow: busy`"],
            vec![],
        ),
        (
            "what this host has no place for is skipped",
            vec![
                says("a"),
                // Kept by the session.
                Update(
                    json!({"sessionUpdate": "available_commands_update", "availableCommands": []}),
                ),
                Update(json!({"sessionUpdate": "current_mode_update", "currentModeId": "x"})),
                Update(
                    json!({"sessionUpdate": "user_message_chunk", "content": {"type": "text", "text": "x"}}),
                ),
                says("b"),
            ],
            vec!["text `ab`"],
            vec![],
        ),
    ]);
}

#[test]
fn a_change_is_shown_by_reference_with_its_size() {
    let diffs = json!([
        {"type": "diff", "path": "/w/a b.rs", "oldText": "one\ntwo\n", "newText": "one\n2\n3\n"},
        {"type": "diff", "path": "/w/new.rs", "newText": "x\n"},
    ]);
    let mut stage = Stage::default();
    stage.play(
        "ask",
        call(
            "c",
            json!({"kind": "edit", "name": "edit", "content": diffs}),
        ),
    );
    stage.play("ask", Ask(json!({"toolCallId": "c"})));
    let content = |n: usize, size: u64| json!({"uri": format!("content:{n}"), "sizeHint": size, "contentType": "text/plain"});
    let edits = json!([
        {"before": {"uri": "file:///w/a%20b.rs", "content": content(0, 8)},
         "after": {"uri": "file:///w/a%20b.rs", "content": content(1, 8)}, "diff": {"added": 2, "removed": 1}},
        {"after": {"uri": "file:///w/new.rs", "content": content(2, 2)}, "diff": {"added": 1, "removed": 0}},
    ]);
    let asked = stage.tool_call("c");
    assert_eq!(asked["edits"]["items"], edits);
    assert_eq!(asked["toolInput"], "make all\n/w/a b.rs\n/w/new.rs");
    assert_eq!(
        stage.contents.kept,
        ["one\ntwo\n", "one\n2\n3\n", "x\n"].map(String::from)
    );

    stage.play("done", Answer("c", true));
    stage.play("done", status("c", "completed"));
    let done = stage.tool_call("c");
    let shown: Vec<&Value> = done["content"].as_array().unwrap().iter().collect();
    assert_eq!(
        shown
            .iter()
            .map(|c| c["type"].as_str().unwrap())
            .collect::<Vec<_>>(),
        ["fileEdit", "fileEdit"]
    );
    assert_eq!(shown[0]["diff"], json!({"added": 2, "removed": 1}));
}

#[test]
fn text_that_is_too_long_for_the_state_goes_by_reference() {
    // Two bytes a character: the preview must not end inside of one.
    let long = "ü".repeat(MAX_INLINE_BYTES);
    let fits = "x".repeat(MAX_INLINE_BYTES);
    let mut stage = Stage::default();
    stage.play(
        "long",
        call(
            "c",
            json!({"rawInput": {"command": long}, "status": "completed",
            "content": [text_content(&fits)[0], text_content(&long)[0]]}),
        ),
    );
    let done = stage.tool_call("c");
    assert_eq!(done["toolInput"]["uri"], "content:0");
    let content = done["content"].as_array().unwrap();
    assert_eq!(content.len(), 3);
    assert_eq!(content[0]["text"], fits);
    let preview = content[1]["text"].as_str().unwrap();
    assert!(
        preview.starts_with("üüü") && preview.len() < MAX_INLINE_BYTES,
        "{}",
        preview.len()
    );
    assert!(
        preview.ends_with("… (14336 more bytes)"),
        "{}",
        &preview[preview.len() - 40..]
    );
    assert_eq!(
        content[2],
        json!({"type": "resource", "uri": "content:1", "sizeHint": long.len(), "contentType": "text/plain"})
    );
    assert_eq!(stage.contents.kept, [long.clone(), long]);
}

#[test]
fn when_nothing_can_be_kept_the_beginning_is_shown_all_the_same() {
    let long = "x".repeat(MAX_INLINE_BYTES + 1);
    let mut stage = Stage::default();
    stage.contents.full = true;
    let diff = json!({"type": "diff", "path": "/w/a.rs", "newText": "x"});
    stage.play(
        "full",
        call(
            "c",
            json!({"rawInput": {"command": long}, "status": "completed",
            "content": [text_content(&long)[0], diff]}),
        ),
    );
    let done = stage.tool_call("c");
    assert_eq!(
        done["content"].as_array().unwrap().len(),
        1,
        "{}",
        done["content"]
    );
    assert!(
        done["content"][0]["text"]
            .as_str()
            .unwrap()
            .ends_with("… (6145 more bytes)")
    );
}

#[test]
fn what_people_are_told_of_a_call() {
    let mut stage = Stage::default();
    stage.play(
        "ask",
        call(
            "c",
            json!({"locations": [{"path": "/w/a.rs", "line": 3}, {"path": "/w/b.rs"}], "title": "x".repeat(2000)}),
        ),
    );
    stage.play("ask", Ask(json!({"toolCallId": "c"})));
    let asked = stage.tool_call("c");
    assert_eq!(asked["toolName"], "shell");
    assert_eq!(asked["invocationMessage"].as_str().unwrap().len(), 500);
    assert_eq!(
        asked["_meta"],
        json!({
            "copilot.kind": "execute",
            "copilot.locations": [{"path": "/w/a.rs", "line": 3}, {"path": "/w/b.rs"}],
            "copilot.permission": {"kind": "shell"},
        })
    );
}

#[test]
fn the_input_as_people_read_it() {
    for (kind, input, shown) in [
        ("execute", json!({"command": "make", "x": 1}), "make"),
        (
            "fetch",
            json!({"url": "https://example.org/"}),
            "https://example.org/",
        ),
        (
            "execute",
            json!({"argv": ["make"]}),
            "{\n  \"argv\": [\n    \"make\"\n  ]\n}",
        ),
        ("read", json!({"path": "/w"}), "{\n  \"path\": \"/w\"\n}"),
        ("other", json!("raw"), "\"raw\""),
    ] {
        let mut stage = Stage::default();
        let update = json!({"sessionUpdate": "tool_call", "toolCallId": "c", "title": "t", "kind": kind,
            "rawInput": input, "status": "in_progress"});
        stage.play(kind, Update(update));
        assert_eq!(stage.tool_call("c")["toolInput"], shown, "{kind}");
    }
}
