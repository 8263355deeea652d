//! What an agent is told when an interrupted turn goes on. It may never have read the prompt, and may
//! never have learned what people answered: both are in it, whatever it knows already.

use std::collections::HashMap;

use ahp_types::common::StringOrMarkdown;
use ahp_types::state::{ActiveTurn, ChatInputRequest, ResponsePart, ToolCallState, ToolInput};
use serde_json::Value;

use super::actor::one_line;
use crate::agent::questions::TRUST;
use crate::host::admit::Answer;

/// How much is repeated of one question, command or answer, in characters.
const SHOWN_CHARS: usize = 400;

/// The prompt that goes on with this turn. `answers` are those of people, by the id of the request.
pub(super) fn prompt(turn: &ActiveTurn, answers: &HashMap<String, Answer>) -> String {
    let answered: Vec<String> = turn
        .response_parts
        .iter()
        .filter_map(|part| match part {
            ResponsePart::InputRequest(part) => question(&part.request, answers),
            ResponsePart::ToolCall(part) => permission(&part.tool_call, answers),
            _ => None,
        })
        .collect();
    let mut told = format!(
        "You were interrupted while you worked on this:\n\n{}\n\n",
        turn.message.text
    );
    if !answered.is_empty() {
        told.push_str("People had answered until then:\n");
        for line in answered {
            told.push_str(&format!("- {line}\n"));
        }
        told.push('\n');
    }
    told.push_str("Check what is done already, then go on where you stopped.");
    told
}

fn question(request: &ChatInputRequest, answers: &HashMap<String, Answer>) -> Option<String> {
    let answer = answers.get(&request.id).filter(|_| request.id != TRUST)?;
    let request = serde_json::to_value(request).ok()?;
    let questions = request["questions"].as_array();
    let asked = |question: &Value| {
        let words = question["message"].as_str().or(request["message"].as_str());
        words.unwrap_or_default().to_owned()
    };
    let one = |question: &Value| {
        let given = &request["answers"][question["id"].as_str()?]["value"];
        let all = [&given["value"], &given["freeformValues"]].map(|value| words(value, question));
        let given: Vec<String> = all.into_iter().flatten().collect();
        (!given.is_empty()).then(|| format!("{}: {}", asked(question), given.join(", ")))
    };
    let given: Vec<String> = questions.into_iter().flatten().filter_map(one).collect();
    let said = match given.is_empty() {
        true => {
            let first = questions.and_then(|all| all.first());
            let asked = asked(first.unwrap_or(&Value::Null));
            format!("{asked}: {}", answer.choice)
        }
        false => given.join("; "),
    };
    Some(one_line(&said, SHOWN_CHARS))
}

/// What a value of an answer says; a choice by its name.
fn words(value: &Value, question: &Value) -> Vec<String> {
    match value {
        Value::Array(all) => all.iter().flat_map(|one| words(one, question)).collect(),
        Value::String(text) => {
            let options = question["options"].as_array().into_iter().flatten();
            let mut chosen = options.filter(|option| option["id"] == *text);
            let label = chosen.next().and_then(|option| option["label"].as_str());
            vec![label.unwrap_or(text).to_owned()]
        }
        Value::Null => Vec::new(),
        other => vec![other.to_string()],
    }
}

fn permission(call: &ToolCallState, answers: &HashMap<String, Answer>) -> Option<String> {
    let call = serde_json::to_value(call).ok()?;
    let answer = answers.get(call["toolCallId"].as_str()?)?;
    if answer.trust == "policy" {
        return None;
    }
    let input: Option<ToolInput> = serde_json::from_value(call["toolInput"].clone()).ok();
    let what = match input {
        Some(ToolInput::Inline(text)) => text,
        _ => {
            let message = serde_json::from_value(call["invocationMessage"].clone()).ok()?;
            match message {
                StringOrMarkdown::Plain(text) => text,
                StringOrMarkdown::Markdown { markdown } => markdown,
            }
        }
    };
    let verdict = match answer.choice.strip_prefix("deny") {
        Some(_) => "no",
        None => "yes",
    };
    Some(one_line(
        &format!("may you `{what}`? {verdict}"),
        SHOWN_CHARS,
    ))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn answer(trust: &str, choice: &str) -> Answer {
        Answer {
            client_id: "c".to_owned(),
            name: "terminal".to_owned(),
            trust: trust.to_owned(),
            choice: choice.to_owned(),
            at: String::new(),
        }
    }

    #[test]
    fn the_prompt_and_what_people_answered_is_told_again() {
        let call = |id: &str, input: &str| {
            json!({"kind": "toolCall", "toolCall": {
                "status": "cancelled", "toolCallId": id, "toolName": "shell", "displayName": "shell",
                "invocationMessage": "shell", "toolInput": input, "reason": "skipped",
            }})
        };
        let asked = |id: &str, question: serde_json::Value, value: serde_json::Value| {
            json!({"kind": "inputRequest", "response": "accept", "request": {
                "id": id, "questions": [question],
                "answers": {"answer": {"state": "submitted", "value": value}},
            }})
        };
        let text = json!({"kind": "text", "id": "answer", "message": "Which colour?"});
        let choice = json!({"kind": "single-select", "id": "answer", "message": "Which size?",
            "options": [{"id": "s", "label": "Small"}]});
        let turn: ActiveTurn = serde_json::from_value(json!({
            "id": "t", "startedAt": "", "message": {"text": "Paint it", "origin": {"kind": "user"}},
            "responseParts": [
                asked("q1", text.clone(), json!({"kind": "text", "value": "blue"})),
                asked("q2", choice, json!({"kind": "selected", "value": "s"})),
                asked("never answered", text.clone(), json!({"kind": "text", "value": "red"})),
                asked(TRUST, text, json!({"kind": "text", "value": "yes"})),
                call("c1", "make paint"), call("c2", "rm paint"), call("c3", "ls"), call("c4", "pwd"),
            ],
        }))
        .unwrap();
        let answers = [
            ("q1", answer("local", "blue")),
            ("q2", answer("remote", "s")),
            (TRUST, answer("local", "trust-once")),
            ("c1", answer("remote", "allow-once")),
            ("c2", answer("local", "deny-with-words")),
            ("c3", answer("policy", "allow")),
        ];
        let answers = answers.map(|(id, answer)| (id.to_owned(), answer)).into();
        assert_eq!(
            prompt(&turn, &answers),
            "You were interrupted while you worked on this:\n\nPaint it\n\n\
             People had answered until then:\n\
             - Which colour?: blue\n\
             - Which size?: Small\n\
             - may you `make paint`? yes\n\
             - may you `rm paint`? no\n\n\
             Check what is done already, then go on where you stopped."
        );
    }
}
