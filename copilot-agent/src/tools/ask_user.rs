//! `ask_user`: a question to the person.

use agent_client_protocol::v1::schema::ToolKind;
use futures_util::FutureExt;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    Answer, Outcome, Permission, Prepared, Question, QuestionKind, Tool, ToolContext, read_input,
};
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
    #[serde(default)]
    multiple: bool,
    allow_freeform: Option<bool>,
    #[serde(default)]
    answer: Kind,
    default: Option<Value>,
    min: Option<f64>,
    max: Option<f64>,
}

/// What an answer without choices is.
#[derive(Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Kind {
    #[default]
    Text,
    Number,
    Integer,
    YesNo,
}

impl Tool for AskUser {
    fn spec(&self) -> ToolSpec {
        ToolSpec {
            name: "ask_user",
            description: "Asks the person a question and waits for the answer. Give choices where \
                          there are some, and a default where one answer is likely.",
            schema: json!({
                "type": "object",
                "properties": {
                    "question": {"type": "string"},
                    "choices": {"type": "array", "items": {"type": "string"}, "maxItems": MAX_CHOICES},
                    "multiple": {"type": "boolean", "description": "Whether several choices can be taken; false if not given."},
                    "allow_freeform": {"type": "boolean", "description": "Whether another answer than one of the choices is possible; true if not given, never with `multiple`."},
                    "answer": {"type": "string", "enum": ["text", "number", "integer", "yes_no"], "description": "What an answer is where there are no choices; text if not given."},
                    "default": {"description": "The answer that is proposed; with `multiple` a list of choices."},
                    "min": {"type": "number", "description": "The least number, characters of a text, or choices taken."},
                    "max": {"type": "number", "description": "The most."}
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
        let question = Question {
            kind: kind(&input)?,
            text: input.question,
        };
        let context = context.clone();
        Ok(Prepared {
            title,
            locations: Vec::new(),
            content: Vec::new(),
            permission: Permission::NotNeeded,
            details: None,
            run: async move {
                // Biased: a cancel withdraws the question as well.
                let answer = tokio::select! {
                    biased;
                    () = context.cancel.cancelled() => return Outcome::cancelled("Cancelled."),
                    answer = context.host.ask(&context.call_id, &question) => answer,
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

/// What the answer can be, or words for the model about what does not go together.
fn kind(input: &Input) -> Result<QuestionKind, String> {
    let mut choices: Vec<String> = Vec::new();
    for choice in &input.choices {
        let choice = choice.trim().to_owned();
        if !choice.is_empty() && !choices.contains(&choice) {
            choices.push(choice);
        }
    }
    if choices.len() > MAX_CHOICES {
        return Err(format!("There can be at most {MAX_CHOICES} choices."));
    }
    if input.min.zip(input.max).is_some_and(|(min, max)| min > max) {
        return Err("min is more than max.".to_owned());
    }
    if !choices.is_empty() && input.answer != Kind::Text {
        return Err("A question with choices has no other kind of answer.".to_owned());
    }
    let default = input.default.as_ref().filter(|default| !default.is_null());
    let no_default = |what: &str| format!("The default of this question must be {what}.");
    if input.multiple {
        if choices.is_empty() {
            return Err("A question with several answers needs choices.".to_owned());
        }
        let listed = default.map(|default| serde_json::from_value(default.clone()));
        let default: Vec<String> = listed
            .transpose()
            .map_err(|_| no_default("a list of choices"))?
            .unwrap_or_default();
        if default.iter().any(|one| !choices.contains(one)) {
            return Err(no_default("a list of choices"));
        }
        let count = (input.min.map(whole), input.max.map(whole));
        return Ok(QuestionKind::Many {
            choices,
            default,
            count,
        });
    }
    if !choices.is_empty() {
        let default = default.map(|default| default.as_str().unwrap_or_default().to_owned());
        if default.as_ref().is_some_and(|one| !choices.contains(one)) {
            return Err(no_default("one of the choices"));
        }
        return Ok(QuestionKind::One {
            choices,
            allow_freeform: input.allow_freeform.unwrap_or(true),
            default,
        });
    }
    Ok(match input.answer {
        Kind::Text => QuestionKind::Text {
            default: match default {
                Some(default) => Some(default.as_str().ok_or(no_default("a text"))?.to_owned()),
                None => None,
            },
            length: (input.min.map(length), input.max.map(length)),
        },
        Kind::YesNo => QuestionKind::YesNo {
            default: match default {
                Some(default) => Some(default.as_bool().ok_or(no_default("true or false"))?),
                None => None,
            },
        },
        Kind::Number | Kind::Integer => {
            let is_whole = input.answer == Kind::Integer;
            let fits = |number: &f64| {
                !(is_whole && number.fract() != 0.0)
                    && input.min.is_none_or(|min| *number >= min)
                    && input.max.is_none_or(|max| *number <= max)
            };
            let wrong = || no_default("a number that is a possible answer");
            QuestionKind::Number {
                whole: is_whole,
                default: match default {
                    Some(default) => Some(default.as_f64().filter(fits).ok_or_else(wrong)?),
                    None => None,
                },
                range: (input.min, input.max),
            }
        }
    })
}

/// A count; what is no count is the nearest one.
fn whole(number: f64) -> u64 {
    number.max(0.0) as u64
}

fn length(number: f64) -> u32 {
    u32::try_from(whole(number)).unwrap_or(u32::MAX)
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
            let kind = QuestionKind::One {
                choices: vec!["red".to_owned(), "blue".to_owned()],
                allow_freeform: false,
                default: None,
            };
            assert_eq!(asked.kind, kind);
        }
    }

    #[test]
    fn every_kind_of_answer_can_be_asked_for() {
        let read = |input: Value| {
            let mut input = input;
            input["question"] = json!("?");
            kind(&serde_json::from_value(input).unwrap())
        };
        let choices = vec!["a".to_owned(), "b".to_owned()];
        for (input, expected) in [
            (
                json!({"default": "x", "min": 1, "max": 9}),
                QuestionKind::Text {
                    default: Some("x".to_owned()),
                    length: (Some(1), Some(9)),
                },
            ),
            (
                json!({"answer": "number", "default": 0.5, "max": 1}),
                QuestionKind::Number {
                    whole: false,
                    default: Some(0.5),
                    range: (None, Some(1.0)),
                },
            ),
            (
                json!({"answer": "yes_no", "default": false}),
                QuestionKind::YesNo {
                    default: Some(false),
                },
            ),
            (
                json!({"choices": ["a", "b"], "default": "b"}),
                QuestionKind::One {
                    choices: choices.clone(),
                    allow_freeform: true,
                    default: Some("b".to_owned()),
                },
            ),
            (
                json!({"choices": ["a", "b"], "multiple": true, "default": ["a"], "min": 1}),
                QuestionKind::Many {
                    choices,
                    default: vec!["a".to_owned()],
                    count: (Some(1), None),
                },
            ),
        ] {
            assert_eq!(read(input.clone()), Ok(expected), "{input}");
        }
        for (input, words) in [
            (json!({"multiple": true}), "needs choices"),
            (
                json!({"choices": ["a"], "answer": "number"}),
                "no other kind",
            ),
            (
                json!({"choices": ["a"], "default": "c"}),
                "one of the choices",
            ),
            (
                json!({"choices": ["a"], "multiple": true, "default": "a"}),
                "a list",
            ),
            (
                json!({"answer": "integer", "default": 1.5}),
                "possible answer",
            ),
            (
                json!({"answer": "number", "default": 5, "max": 4}),
                "possible answer",
            ),
            (
                json!({"answer": "yes_no", "default": "yes"}),
                "true or false",
            ),
            (json!({"default": 7}), "a text"),
            (json!({"min": 2, "max": 1}), "more than max"),
        ] {
            let error = read(input.clone()).unwrap_err();
            assert!(error.contains(words), "{input}: {error}");
        }
    }

    #[test]
    fn an_empty_question_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        assert!(prepare(&AskUser, folder.path(), &json!({"question": " "})).is_err());
    }
}
