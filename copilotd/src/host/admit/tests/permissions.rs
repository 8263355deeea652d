//! Answers to permission requests.

use serde_json::{Value, json};

use super::world::World;
use super::{check, message, my_answer, rejected};

fn approve(option: &str) -> Value {
    json!({"type": "chat/toolCallConfirmed", "turnId": "running", "toolCallId": "call",
        "approved": true, "confirmed": "user-action", "selectedOptionId": option})
}

fn deny(option: &str) -> Value {
    json!({"type": "chat/toolCallConfirmed", "turnId": "running", "toolCallId": "call",
        "approved": false, "reason": "denied", "selectedOptionId": option})
}

fn with(mut action: Value, key: &str, value: Value) -> Value {
    action[key] = value;
    action
}

fn without(mut action: Value, key: &str) -> Value {
    action.as_object_mut().unwrap().remove(key);
    action
}

fn approved(option: &str) -> Value {
    json!({"confirm": {"turnId": "running", "toolCallId": "call", "approved": true,
        "confirmed": "user-action", "selectedOptionId": option,
        "_meta": {"copilot.kind": "execute", "copilot.answeredBy": my_answer(option)}},
        "answer": my_answer(option)})
}

fn denied(option: &str) -> Value {
    json!({"confirm": {"turnId": "running", "toolCallId": "call", "approved": false,
        "reason": "denied", "selectedOptionId": option,
        "_meta": {"copilot.kind": "execute", "copilot.answeredBy": my_answer(option)}},
        "answer": my_answer(option)})
}

#[test]
fn answering() {
    let words = || message("use make test");
    let mut denied_with_words = denied("deny-with-words");
    denied_with_words["confirm"]["userSuggestion"] = words();
    check([
        (
            "yes, once",
            World::asking(),
            approve("allow-once"),
            approved("allow-once"),
        ),
        (
            "yes, for this session",
            World::asking(),
            approve("allow-session"),
            approved("allow-session"),
        ),
        ("no", World::asking(), deny("deny"), denied("deny")),
        (
            "no, and what to do instead",
            World::asking(),
            with(deny("deny-with-words"), "userSuggestion", words()),
            denied_with_words.clone(),
        ),
        (
            "yes without saying which yes is the first one",
            World::asking(),
            without(approve(""), "selectedOptionId"),
            approved("allow-once"),
        ),
        (
            "no without saying which no is the first one",
            World::asking(),
            without(deny(""), "selectedOptionId"),
            denied("deny"),
        ),
        (
            "reasons are the host's: an approval is a person's, a denial is a denial",
            World::asking(),
            with(approve("allow-once"), "confirmed", json!("setting")),
            approved("allow-once"),
        ),
        (
            "a denial is not called skipped, and its explanation is not the client's to write",
            World::asking(),
            with(
                with(deny("deny"), "reason", json!("skipped")),
                "reasonMessage",
                json!("a rule"),
            ),
            denied("deny"),
        ),
        (
            "a forged `_meta` is dropped; the host's own is kept, with who answered",
            World::asking(),
            with(
                approve("allow-once"),
                "_meta",
                json!({"copilot.kind": "read", "copilot.answeredBy": {"name": "policy"}, "x": 1}),
            ),
            approved("allow-once"),
        ),
        (
            "a forged `_meta` inside the words is dropped",
            World::asking(),
            with(
                deny("deny-with-words"),
                "userSuggestion",
                json!({"text": "use make test", "origin": {"kind": "user"}, "_meta": {"x": 1}}),
            ),
            denied_with_words,
        ),
        (
            "a call without choices",
            World::asking_with(json!(null)),
            without(approve(""), "selectedOptionId"),
            json!({"confirm": {"turnId": "running", "toolCallId": "call", "approved": true,
                "confirmed": "user-action",
                "_meta": {"copilot.kind": "execute", "copilot.answeredBy": my_answer("approve")}},
                "answer": my_answer("approve")}),
        ),
    ]);
}

#[test]
fn answers_that_do_not_fit_the_question() {
    check([
        (
            "yes with a no",
            World::asking(),
            approve("deny"),
            rejected("the choice deny does not go with an approval"),
        ),
        (
            "no with a yes",
            World::asking(),
            deny("allow-session"),
            rejected("the choice allow-session does not go with a denial"),
        ),
        (
            "a choice that there is not",
            World::asking(),
            approve("allow-always"),
            rejected(
                "`allow-always` is not one of the choices (allow-once, allow-session, deny, deny-with-words)",
            ),
        ),
        (
            "a choice where there are none",
            World::asking_with(json!([])),
            approve("allow-once"),
            rejected("`allow-once` is not one of the choices ()"),
        ),
        (
            "yes where only no can be said",
            World::asking_with(json!([{"id": "deny", "label": "No", "kind": "deny"}])),
            without(approve(""), "selectedOptionId"),
            rejected("none of the choices (deny) is an approval"),
        ),
        (
            "an edit of what cannot be edited",
            World::asking(),
            with(approve("allow-once"), "editedToolInput", json!("rm -rf /")),
            rejected("the input of this tool call cannot be edited"),
        ),
        (
            "an endless edit",
            World::asking_with_editable_input(),
            with(
                approve("allow-once"),
                "editedToolInput",
                json!("x".repeat(super::super::MAX_TEXT_BYTES + 1)),
            ),
            rejected("the input has more than 1024 KiB"),
        ),
        (
            "an edit of what is denied",
            World::asking_with_editable_input(),
            with(deny("deny"), "editedToolInput", json!("make test")),
            rejected("an edited input goes with an approval, not with a denial"),
        ),
        (
            "words with a yes",
            World::asking(),
            with(approve("allow-once"), "userSuggestion", message("but")),
            rejected("words for the agent go with a denial, not with an approval"),
        ),
        (
            "words that are missing",
            World::asking(),
            deny("deny-with-words"),
            rejected("say what the agent should do instead, or choose `deny`"),
        ),
        (
            "words that say nothing",
            World::asking(),
            with(deny("deny-with-words"), "userSuggestion", message("  ")),
            rejected("the message is empty"),
        ),
        (
            "words of somebody else",
            World::asking(),
            with(
                deny("deny-with-words"),
                "userSuggestion",
                json!({"text": "x", "origin": {"kind": "agent"}}),
            ),
            rejected("a client sends messages of a user only"),
        ),
    ]);
}

#[test]
fn an_edit_is_taken_where_the_host_allows_it() {
    let mut expected = approved("allow-once");
    expected["confirm"]["editedToolInput"] = json!("make test");
    check([(
        "an edit",
        World::asking_with_editable_input(),
        with(approve("allow-once"), "editedToolInput", json!("make test")),
        expected,
    )]);
}

#[test]
fn a_second_answer() {
    let by_another = || World::asking().answered("call", "other", "terminal pts/7", "allow-once");
    let by_me = || World::asking().answered("call", "me", "terminal pts/1", "allow-once");
    let denied_by_me = || World::asking().answered("call", "me", "terminal pts/1", "deny");
    check([
        (
            "somebody was first: who, and what",
            by_another(),
            deny("deny"),
            rejected("already answered by terminal pts/7 (allow-once)"),
        ),
        (
            "somebody was first, with the same answer",
            by_another(),
            approve("allow-once"),
            rejected("already answered by terminal pts/7 (allow-once)"),
        ),
        (
            "a rule was first",
            World::asking().answered("call", "", "policy", "deny"),
            approve("allow-once"),
            rejected("already answered by policy (deny)"),
        ),
        (
            "the same client with the same answer is a retry",
            by_me(),
            approve("allow-once"),
            rejected("duplicate: this answer was given before"),
        ),
        (
            "also when it named no choice",
            by_me(),
            without(approve(""), "selectedOptionId"),
            rejected("duplicate: this answer was given before"),
        ),
        (
            "also when it said no without a choice",
            denied_by_me(),
            without(deny(""), "selectedOptionId"),
            rejected("duplicate: this answer was given before"),
        ),
        (
            "no after its own yes is no retry",
            by_me(),
            without(deny(""), "selectedOptionId"),
            rejected("already answered by terminal pts/1 (allow-once)"),
        ),
        (
            "the same client with another answer is too late",
            by_me(),
            deny("deny"),
            rejected("already answered by terminal pts/1 (allow-once)"),
        ),
        (
            "the same client with the same word but another decision is no retry",
            denied_by_me(),
            approve("deny"),
            rejected("already answered by terminal pts/1 (deny)"),
        ),
        (
            "an answer is remembered after the turn",
            World::idle().answered("call", "other", "terminal pts/7", "deny"),
            approve("allow-once"),
            rejected("already answered by terminal pts/7 (deny)"),
        ),
    ]);
}

#[test]
fn answers_to_what_was_not_asked() {
    let running = || {
        World::asking().and(
            json!({"type": "chat/toolCallConfirmed", "turnId": "running",
            "toolCallId": "call", "approved": true, "confirmed": "setting"}),
        )
    };
    let streaming = || {
        World::working().and(json!({"type": "chat/toolCallStart", "turnId": "running",
            "toolCallId": "call", "toolName": "shell", "displayName": "shell"}))
    };
    check([
        (
            "a call that runs already",
            running(),
            approve("allow-once"),
            rejected("this tool call needs no answer"),
        ),
        (
            "a call that is not asked about yet",
            streaming(),
            approve("allow-once"),
            rejected("this tool call needs no answer"),
        ),
        (
            "a call of another session",
            World::asking(),
            with(approve("allow-once"), "toolCallId", json!("theirs\n")),
            rejected("there is no open permission request `theirs` in this chat"),
        ),
        (
            "a call in another turn",
            World::asking(),
            with(approve("allow-once"), "turnId", json!("done")),
            rejected("there is no open permission request `call` in this chat"),
        ),
        (
            "nothing runs",
            World::idle(),
            approve("allow-once"),
            rejected("there is no open permission request `call` in this chat"),
        ),
        (
            "the turn is being cancelled",
            World::asking().cancelling(),
            approve("allow-once"),
            rejected("the turn is being cancelled"),
        ),
    ]);
}
