//! Answers to questions of every kind, and drafts of answers.

use ahp_types::actions::{ChatInputCompletedAction, StateAction};
use ahp_types::state::{
    ChatInputAnswer, ChatInputAnswerValue, ChatInputAnswered, ChatInputNumberAnswerValue,
    ChatInputResponseKind,
};
use serde_json::{Value, json};

use super::world::World;
use super::{CHAT, Row, check, my_answer, outcome, rejected};

/// The request `ask` with one question `q`.
fn asked(question: Value) -> World {
    World::questioning(json!([question]))
}

fn text() -> Value {
    json!({"kind": "text", "id": "q", "message": "Name?", "required": true, "min": 2, "max": 5})
}

fn number() -> Value {
    json!({"kind": "number", "id": "q", "message": "How much?", "min": 0.5, "max": 2.5})
}

fn integer() -> Value {
    json!({"kind": "integer", "id": "q", "message": "How many?", "min": 1.0, "max": 9.0})
}

fn choice(freeform: bool) -> Value {
    json!({"kind": "single-select", "id": "q", "message": "Which?", "required": true, "allowFreeformInput": freeform,
        "options": [{"id": "a", "label": "A"}, {"id": "b", "label": "B"}]})
}

fn choices(freeform: bool) -> Value {
    json!({"kind": "multi-select", "id": "q", "message": "Which?", "min": 1, "max": 2, "allowFreeformInput": freeform,
        "options": [{"id": "a", "label": "A"}, {"id": "b", "label": "B"}, {"id": "c", "label": "C"}]})
}

fn submitted(value: Value) -> Value {
    json!({"state": "submitted", "value": value})
}

fn accept(answers: Value) -> Value {
    json!({"type": "chat/inputCompleted", "requestId": "ask", "response": "accept", "answers": answers})
}

/// Answers `q` with this value.
fn value(value: Value) -> Value {
    accept(json!({"q": submitted(value)}))
}

fn accepted(answers: Value, choice: &str) -> Value {
    json!({"complete": {"requestId": "ask", "response": "accept", "answers": answers},
        "answer": my_answer(choice)})
}

fn taken(value: Value, choice: &str) -> Value {
    accepted(json!({"q": submitted(value)}), choice)
}

fn respond(response: &str) -> Value {
    json!({"type": "chat/inputCompleted", "requestId": "ask", "response": response})
}

fn words(text: &str) -> Value {
    json!({"kind": "text", "value": text})
}

fn amount(value: impl Into<Value>) -> Value {
    json!({"kind": "number", "value": value.into()})
}

fn one(id: &str) -> Value {
    json!({"kind": "selected", "value": id})
}

fn many(ids: &[&str]) -> Value {
    json!({"kind": "selected-many", "value": ids})
}

/// A row whose answer is taken as it was given.
fn fits(name: &'static str, question: Value, given: Value, choice: &str) -> Row {
    (
        name,
        asked(question),
        value(given.clone()),
        taken(given, choice),
    )
}

fn wrong(name: &'static str, question: Value, given: Value, reason: &str) -> Row {
    (name, asked(question), value(given), rejected(reason))
}

#[test]
fn what_a_question_proposes_counts_when_it_gets_no_answer() {
    let options =
        json!([{"id": "a", "label": "A"}, {"id": "b", "label": "B", "recommended": true}]);
    let question = |kind: &str, rest: Value| {
        let mut question = json!({"kind": kind, "id": "q", "message": "?", "required": true});
        for (key, value) in rest.as_object().unwrap() {
            question[key] = value.clone();
        }
        question
    };
    let proposed = |name, question: Value, expected: Value, choice: &str| {
        (
            name,
            asked(question),
            respond("accept"),
            taken(expected, choice),
        )
    };
    check([
        proposed(
            "a text",
            question("text", json!({"defaultValue": "Ada"})),
            words("Ada"),
            "accept",
        ),
        proposed(
            "a number",
            question("integer", json!({"defaultValue": 3.0})),
            amount(3.0),
            "3",
        ),
        proposed(
            "yes or no",
            question("boolean", json!({"defaultValue": false})),
            json!({"kind": "boolean", "value": false}),
            "false",
        ),
        proposed(
            "one of two",
            question("single-select", json!({"options": options})),
            one("b"),
            "b",
        ),
        proposed(
            "some of two",
            question("multi-select", json!({"options": options})),
            many(&["b"]),
            "accept",
        ),
        (
            "a proposal that is no answer",
            asked(question("integer", json!({"defaultValue": 0.5}))),
            respond("accept"),
            rejected("the question `q` needs an answer"),
        ),
        (
            "nothing proposed",
            asked(question("boolean", json!({}))),
            respond("accept"),
            rejected("the question `q` needs an answer"),
        ),
    ]);
}

#[test]
fn an_answer_of_each_kind() {
    let yes_or_no = json!({"kind": "boolean", "id": "q", "message": "Sure?"});
    check([
        fits("a text", text(), words("Ada"), "accept"),
        fits("a number", number(), amount(2.5), "2.5"),
        fits("a whole number", integer(), amount(3.0), "3"),
        fits(
            "yes or no",
            yes_or_no,
            json!({"kind": "boolean", "value": false}),
            "false",
        ),
        fits("one of two", choice(false), one("b"), "b"),
        fits(
            "another answer than the choices",
            choice(true),
            words("neither"),
            "accept",
        ),
        fits(
            "another answer, as a choice",
            choice(true),
            one("neither"),
            "neither",
        ),
        fits("two of three", choices(false), many(&["c", "a"]), "accept"),
        fits(
            "one of three and one more",
            choices(true),
            json!({"kind": "selected-many", "value": ["a"], "freeformValues": ["d"]}),
            "accept",
        ),
    ]);
}

#[test]
fn answers_that_do_not_fit() {
    const OTHER_KIND: &str = "the answer is not of the kind that the question asks for";
    const COUNT: &str = "too few or too many choices were taken";
    const RANGE: &str = "the number is outside the range that was asked for";
    let endless = "x".repeat(super::super::MAX_TEXT_BYTES + 1);
    let long_text = json!({"kind": "text", "id": "q", "message": "Story?"});
    check([
        wrong(
            "a text that is too short",
            text(),
            words("A"),
            "the answer is too short",
        ),
        wrong(
            "a text of blanks",
            text(),
            words("   "),
            "the answer is too short",
        ),
        wrong(
            "a text that is too long",
            text(),
            words("Augusta"),
            "the answer is too long",
        ),
        wrong(
            "an endless text",
            long_text,
            words(&endless),
            "the answer is too long",
        ),
        wrong("a number for a text", text(), amount(1), OTHER_KIND),
        wrong("a text for a number", number(), words("1"), OTHER_KIND),
        wrong("too little", number(), amount(0.25), RANGE),
        wrong("too much", number(), amount(3), RANGE),
        wrong(
            "a fraction",
            integer(),
            amount(1.5),
            "the answer is not a whole number",
        ),
        wrong("a whole number too many", integer(), amount(10), RANGE),
        wrong(
            "not an option",
            choice(false),
            one("c\u{7}"),
            "`c` is not one of the choices",
        ),
        wrong(
            "no option",
            choice(false),
            one(""),
            "`` is not one of the choices",
        ),
        wrong(
            "other words where only the choices count",
            choice(false),
            words("neither"),
            OTHER_KIND,
        ),
        wrong(
            "other words beside a choice",
            choice(false),
            json!({"kind": "selected", "value": "a", "freeformValues": ["but"]}),
            "this question takes no answer in other words",
        ),
        wrong(
            "other words that say nothing",
            choice(true),
            words(" "),
            "the answer is empty",
        ),
        wrong(
            "other words that say nothing, as a choice",
            choice(true),
            json!({"kind": "selected", "value": "", "freeformValues": [""]}),
            "the answer is empty",
        ),
        wrong(
            "other words without end",
            choice(true),
            words(&endless),
            "the answer is too long",
        ),
        wrong(
            "two answers to one question",
            choice(true),
            json!({"kind": "selected", "value": "", "freeformValues": ["x", "y"]}),
            "this question takes one answer",
        ),
        wrong("two for one", choice(false), many(&["a", "b"]), OTHER_KIND),
        wrong("one for many", choices(false), one("a"), OTHER_KIND),
        wrong("none", choices(false), many(&[]), COUNT),
        wrong("all three", choices(false), many(&["a", "b", "c"]), COUNT),
        wrong(
            "the same twice",
            choices(false),
            many(&["a", "a"]),
            "`a` was chosen twice",
        ),
        wrong(
            "one that there is not",
            choices(false),
            many(&["a", "d"]),
            "`d` is not one of the choices",
        ),
        wrong(
            "other words among many",
            choices(false),
            json!({"kind": "selected-many", "value": ["a"], "freeformValues": ["d"]}),
            "this question takes no answer in other words",
        ),
        wrong(
            "too many with other words",
            choices(true),
            json!({"kind": "selected-many", "value": ["a", "b"], "freeformValues": ["d"]}),
            COUNT,
        ),
        wrong(
            "a kind that nobody knows",
            text(),
            json!({"kind": "telepathy", "value": 1}),
            OTHER_KIND,
        ),
        wrong(
            "yes for a choice",
            choice(false),
            json!({"kind": "boolean", "value": true}),
            OTHER_KIND,
        ),
    ]);
}

/// JSON has no such numbers; a program that builds actions has.
#[test]
fn numbers_that_are_none() {
    let given = |value: f64| {
        let value = ChatInputAnswerValue::Number(ChatInputNumberAnswerValue { value });
        StateAction::ChatInputCompleted(ChatInputCompletedAction {
            request_id: "ask".into(),
            response: ChatInputResponseKind::Accept,
            answers: Some(
                [(
                    "q".to_owned(),
                    ChatInputAnswer::Submitted(ChatInputAnswered { value }),
                )]
                .into(),
            ),
        })
    };
    let unbounded = json!({"kind": "number", "id": "q", "message": "How much?"});
    for (question, value) in [
        (number(), f64::NAN),
        (integer(), f64::NAN),
        (unbounded.clone(), f64::INFINITY),
        (unbounded, f64::NEG_INFINITY),
    ] {
        let result = asked(question).dispatch_typed(CHAT, &given(value));
        assert_eq!(
            outcome(result),
            rejected("the answer is not a number"),
            "{value}"
        );
    }
}

#[test]
fn a_form_of_several_questions() {
    let form = || {
        World::questioning(json!([
            {"kind": "text", "id": "name", "message": "Name?", "required": true},
            {"kind": "boolean", "id": "sure", "message": "Sure?"},
            {"kind": "holograph", "id": "new", "message": "?"},
        ]))
    };
    let name = || submitted(words("Ada"));
    let drafted = || {
        form().and(
            json!({"type": "chat/inputAnswerChanged", "requestId": "ask", "questionId": "name",
            "answer": {"state": "draft", "value": words("Ad")}}),
        )
    };
    check([
        (
            "what is required is enough",
            form(),
            accept(json!({"name": name()})),
            accepted(json!({"name": name()}), "accept"),
        ),
        (
            "what is required is missing",
            form(),
            accept(json!({"sure": submitted(json!({"kind": "boolean", "value": true}))})),
            rejected("the question `name` needs an answer"),
        ),
        (
            "nothing is given at all",
            form(),
            respond("accept"),
            rejected("the question `name` needs an answer"),
        ),
        (
            "what is required is skipped",
            form(),
            accept(json!({"name": {"state": "skipped"}})),
            rejected("the question `name` needs an answer"),
        ),
        (
            "what is not required may be skipped, without words",
            form(),
            accept(
                json!({"name": name(), "sure": {"state": "skipped", "freeformValues": ["whatever"]}}),
            ),
            accepted(
                json!({"name": name(), "sure": {"state": "skipped"}}),
                "accept",
            ),
        ),
        (
            "a draft counts as given when the form is sent",
            drafted(),
            respond("accept"),
            accepted(json!({"name": submitted(words("Ad"))}), "accept"),
        ),
        (
            "what is sent with the form counts more than a draft",
            drafted(),
            accept(json!({"name": name()})),
            accepted(json!({"name": name()}), "accept"),
        ),
        (
            "a question that there is not",
            form(),
            accept(json!({"name": name(), "password\n": submitted(words("x"))})),
            rejected("there is no question `password` in this request"),
        ),
        (
            "a question of a kind that this host does not know",
            form(),
            accept(json!({"name": name(), "new": submitted(words("x"))})),
            rejected("there is no question `new` in this request"),
        ),
    ]);
}

#[test]
fn other_ways_to_answer_and_second_answers() {
    let by =
        |client, name, choice| asked(self::choice(false)).answered("ask", client, name, choice);
    let answers_ignored = json!({"type": "chat/inputCompleted", "requestId": "ask", "response": "decline",
        "answers": {"q": submitted(one("a"))}});
    check([
        (
            "decline",
            asked(choice(false)),
            respond("decline"),
            json!({"complete": {"requestId": "ask", "response": "decline"}, "answer": my_answer("decline")}),
        ),
        (
            "decline takes no answers along",
            asked(choice(false)),
            answers_ignored,
            json!({"complete": {"requestId": "ask", "response": "decline"}, "answer": my_answer("decline")}),
        ),
        (
            "cancel",
            asked(choice(false)),
            respond("cancel"),
            json!({"complete": {"requestId": "ask", "response": "cancel"}, "answer": my_answer("cancel")}),
        ),
        (
            "somebody was first: who, and what",
            by("other", "terminal pts/7", "b"),
            value(one("a")),
            rejected("already answered by terminal pts/7 (b)"),
        ),
        (
            "somebody was first and declined",
            by("other", "terminal pts/7", "decline"),
            respond("decline"),
            rejected("already answered by terminal pts/7 (decline)"),
        ),
        (
            "the same client with the same answer is a retry",
            by("me", "terminal pts/1", "a"),
            value(one("a")),
            rejected("duplicate: this answer was given before"),
        ),
        (
            "also when all of it was drafted before",
            by("me", "terminal pts/1", "a"),
            respond("accept"),
            rejected("duplicate: this answer was given before"),
        ),
        (
            "sending what it declined is no retry",
            by("me", "terminal pts/1", "decline"),
            respond("accept"),
            rejected("already answered by terminal pts/1 (decline)"),
        ),
        (
            "the same client with another answer is too late",
            by("me", "terminal pts/1", "b"),
            value(one("a")),
            rejected("already answered by terminal pts/1 (b)"),
        ),
        (
            "a question of another session",
            World::working(),
            respond("decline"),
            rejected("there is no open question `ask` in this chat"),
        ),
        (
            "nothing runs",
            World::idle(),
            respond("cancel"),
            rejected("there is no open question `ask` in this chat"),
        ),
        (
            "a question that the host closed",
            asked(choice(false)).and(respond("cancel")),
            value(one("a")),
            rejected("there is no open question `ask` in this chat"),
        ),
        (
            "the turn is being cancelled",
            asked(choice(false)).cancelling(),
            value(one("a")),
            rejected("the turn is being cancelled"),
        ),
    ]);
}

#[test]
fn drafts_of_answers() {
    let draft = |question: &str, answer: Value| json!({"type": "chat/inputAnswerChanged", "requestId": "ask", "questionId": question, "answer": answer});
    let name = || json!({"state": "draft", "value": words("Ada")});
    let endless = "x".repeat(super::super::MAX_TEXT_BYTES + 1);
    check([
        (
            "a draft is shared",
            asked(text()),
            draft("q", name()),
            json!({"apply": draft("q", name())}),
        ),
        (
            "and taken back",
            asked(text()),
            json!({"type": "chat/inputAnswerChanged", "requestId": "ask", "questionId": "q"}),
            json!({"apply": {"type": "chat/inputAnswerChanged", "requestId": "ask", "questionId": "q"}}),
        ),
        (
            "skipping is shared, without words",
            asked(number()),
            draft(
                "q",
                json!({"state": "skipped", "freeformValues": [endless]}),
            ),
            json!({"apply": draft("q", json!({"state": "skipped"}))}),
        ),
        (
            "a number that is too small as yet",
            asked(json!({"kind": "number", "id": "q", "message": "Year?", "min": 1900})),
            draft(
                "q",
                json!({"state": "draft", "value": {"kind": "number", "value": 19.0}}),
            ),
            json!({"apply": draft("q", json!({"state": "draft", "value": {"kind": "number", "value": 19.0}}))}),
        ),
        (
            "a text that is too short as yet",
            asked(
                json!({"kind": "text", "id": "q", "message": "Name?", "min": 3, "required": true}),
            ),
            draft("q", json!({"state": "draft", "value": words("")})),
            json!({"apply": draft("q", json!({"state": "draft", "value": words("")}))}),
        ),
        (
            "what is submitted is checked in full",
            asked(json!({"kind": "text", "id": "q", "message": "Name?", "min": 3})),
            draft("q", json!({"state": "submitted", "value": words("A")})),
            rejected("the answer is too short"),
        ),
        (
            "a draft of another kind",
            asked(number()),
            draft("q", name()),
            rejected("the answer is not of the kind that the question asks for"),
        ),
        (
            "an endless draft",
            asked(json!({"kind": "text", "id": "q", "message": "Story?"})),
            draft("q", json!({"state": "draft", "value": words(&endless)})),
            rejected("the answer is too long"),
        ),
        (
            "a question that there is not",
            asked(text()),
            draft("p", name()),
            rejected("there is no question `p` in this request"),
        ),
        (
            "a request that there is not",
            World::working(),
            draft("q", name()),
            rejected("there is no open question `ask` in this chat"),
        ),
        (
            "a request that was answered",
            asked(text()).answered("ask", "me", "terminal pts/1", "accept"),
            draft("q", name()),
            rejected("already answered by terminal pts/1 (accept)"),
        ),
        (
            "the turn is being cancelled",
            asked(text()).cancelling(),
            draft("q", name()),
            rejected("the turn is being cancelled"),
        ),
    ]);
}
