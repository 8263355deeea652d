//! `ask_user`: a question to the person.

use agent_client_protocol::v1::schema::ToolKind;
use futures_util::FutureExt;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Answer, Outcome, Permission, Prepared, Question, Tool, ToolContext, read_input};
use crate::{model::ToolSpec, prompt};

/// Most answers to choose from.
const MAX_CHOICES: usize = 20;

pub(super) struct AskUser;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Input {
    question: String,
    #[serde(default)]
    choices: Vec<String>,
    #[serde(default = "yes")]
    allow_freeform: bool,
}

fn yes() -> bool {
    true
}

impl Tool for AskUser {
    fn spec(&self) -> ToolSpec {
        ToolSpec {
            name: "ask_user",
            description: "Asks the person a question and waits for the answer. Give choices where \
                          there are some.",
            schema: json!({
                "type": "object",
                "properties": {
                    "question": {"type": "string"},
                    "choices": {"type": "array", "items": {"type": "string"}, "maxItems": MAX_CHOICES},
                    "allow_freeform": {"type": "boolean", "description": "Whether another answer than the choices is possible; true if not given."}
                },
                "required": ["question"],
                "additionalProperties": false
            }),
        }
    }

    fn kind(&self) -> ToolKind {
        ToolKind::Other
    }

    fn prepare(&self, input: &Value, context: &ToolContext) -> Result<Prepared, String> {
        let input: Input = read_input(input)?;
        let title = prompt::title(&input.question).ok_or("The question is empty.")?;
        let mut choices: Vec<String> = Vec::new();
        for choice in input.choices {
            let choice = choice.trim().to_owned();
            if !choice.is_empty() && !choices.contains(&choice) {
                choices.push(choice);
            }
        }
        if choices.len() > MAX_CHOICES {
            return Err(format!("There can be at most {MAX_CHOICES} choices."));
        }
        let question = Question {
            text: input.question,
            allow_freeform: input.allow_freeform || choices.is_empty(),
            choices,
        };
        let context = context.clone();
        Ok(Prepared {
            title,
            locations: Vec::new(),
            content: Vec::new(),
            permission: Permission::NotNeeded,
            details: None,
            run: async move {
                let answer = tokio::select! {
                    answer = context.host.ask(&context.call_id, &question) => answer,
                    () = context.cancel.cancelled() => return Outcome::cancelled("Cancelled."),
                };
                match answer {
                    Answer::Text(text) => {
                        Outcome::completed(format!("The person answered: {text}"))
                    }
                    Answer::Declined => Outcome::completed(
                        "The person declined to answer. Go on with your best judgement.",
                    ),
                    Answer::Dismissed => Outcome::completed(
                        "The person put the question away without an answer. Go on with your best \
                         judgement.",
                    ),
                    Answer::Unavailable(reason) => Outcome::failed(format!(
                        "The question could not be asked: {reason}. Go on with your best judgement \
                         and say at the end what you assumed."
                    )),
                }
            }
            .boxed(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{context, prepare};
    use super::*;
    use crate::conversation::ToolStatus;

    #[tokio::test]
    async fn answers_become_results() {
        let folder = tempfile::tempdir().unwrap();
        for (answer, status, expected) in [
            (
                Answer::Text("blue".to_owned()),
                ToolStatus::Completed,
                "answered: blue",
            ),
            (Answer::Declined, ToolStatus::Completed, "declined"),
            (
                Answer::Dismissed,
                ToolStatus::Completed,
                "without an answer",
            ),
            (
                Answer::Unavailable("no form".to_owned()),
                ToolStatus::Failed,
                "no form",
            ),
        ] {
            let (context, host) = context(folder.path());
            *host.answer.lock().unwrap() = Some(answer);
            let input = json!({"question": "Which?", "choices": ["red", " red", "blue", ""], "allow_freeform": false});
            let outcome = AskUser.prepare(&input, &context).unwrap().run.await;
            assert_eq!(outcome.status, status);
            assert!(outcome.text.contains(expected), "{}", outcome.text);
            let asked = host.questions.lock().unwrap()[0].clone();
            assert_eq!(asked.choices, ["red", "blue"]);
            assert!(!asked.allow_freeform);
        }
    }

    #[test]
    fn an_empty_question_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        assert!(prepare(&AskUser, folder.path(), &json!({"question": " "})).is_err());
    }
}
