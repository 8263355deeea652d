//! ACP elicitation forms as AHP questions, and answers on their way back.

use std::collections::HashMap;

use agent_client_protocol_schema::v1::{
    CreateElicitationRequest, ElicitationMode, ElicitationPropertySchema, EnumOption,
    MultiSelectItems, StringPropertySchema,
};
use ahp_types::state::*;
use serde_json::{Map, Value, json};

/// Decodes an elicitation request into AHP questions. The error says, for the agent, why it cannot
/// be asked.
pub fn from_elicitation(id: &str, params: &str) -> Result<ChatInputRequest, String> {
    let request: CreateElicitationRequest =
        serde_json::from_str(params).map_err(|e| format!("not an elicitation request: {e}"))?;
    let ElicitationMode::Form(form) = request.mode else {
        return Err("only forms can be asked here".into());
    };
    let schema = form.requested_schema;
    let required = schema.required.unwrap_or_default();
    let mut questions = Vec::new();
    for (name, property) in &schema.properties {
        let question = question(name, property, required.contains(name))
            .ok_or_else(|| format!("the field {name} has a type that cannot be asked here"))?;
        questions.push(question);
    }
    if questions.is_empty() {
        return Err("the form has no fields".into());
    }
    // The message says what it is about; a form of one field needs it only once.
    Ok(ChatInputRequest {
        id: id.to_owned(),
        message: Some(request.message),
        url: None,
        questions: Some(questions),
        answers: None,
    })
}

fn question(
    name: &str,
    property: &ElicitationPropertySchema,
    required: bool,
) -> Option<ChatInputQuestion> {
    let (id, required) = (name.to_owned(), Some(required));
    let words = |title: &Option<String>, description: &Option<String>| {
        let message = description
            .clone()
            .or_else(|| title.clone())
            .unwrap_or_else(|| name.to_owned());
        (title.clone(), message)
    };
    Some(match property {
        ElicitationPropertySchema::String(s) => {
            let (title, message) = words(&s.title, &s.description);
            match choices(s) {
                Some(options) => ChatInputQuestion::SingleSelect(ChatInputSingleSelectQuestion {
                    id,
                    title,
                    message,
                    required,
                    options: recommended(options, s.default.as_slice()),
                    allow_freeform_input: Some(freeform(s)),
                }),
                None => ChatInputQuestion::Text(ChatInputTextQuestion {
                    id,
                    title,
                    message,
                    required,
                    format: s
                        .format
                        .and_then(|f| serde_json::to_value(f).ok()?.as_str().map(str::to_owned)),
                    min: s.min_length.map(i64::from),
                    max: s.max_length.map(i64::from),
                    default_value: s.default.clone(),
                }),
            }
        }
        ElicitationPropertySchema::Number(n) => {
            let (title, message) = words(&n.title, &n.description);
            let (min, max, default_value) = (n.minimum, n.maximum, n.default);
            ChatInputQuestion::Number(ChatInputNumberQuestion {
                id,
                title,
                message,
                required,
                min,
                max,
                default_value,
            })
        }
        ElicitationPropertySchema::Integer(n) => {
            let (title, message) = words(&n.title, &n.description);
            let [min, max, default_value] =
                [n.minimum, n.maximum, n.default].map(|v| v.map(|v| v as f64));
            ChatInputQuestion::Integer(ChatInputNumberQuestion {
                id,
                title,
                message,
                required,
                min,
                max,
                default_value,
            })
        }
        ElicitationPropertySchema::Boolean(b) => {
            let (title, message) = words(&b.title, &b.description);
            let default_value = b.default;
            ChatInputQuestion::Boolean(ChatInputBooleanQuestion {
                id,
                title,
                message,
                required,
                default_value,
            })
        }
        ElicitationPropertySchema::Array(a) => {
            let (title, message) = words(&a.title, &a.description);
            let options = match &a.items {
                MultiSelectItems::String(items) => {
                    items.values.iter().map(|v| option(v, v, None)).collect()
                }
                MultiSelectItems::Titled(items) => items.options.iter().map(titled).collect(),
                _ => return None,
            };
            ChatInputQuestion::MultiSelect(ChatInputMultiSelectQuestion {
                id,
                title,
                message,
                required,
                options: recommended(options, a.default.as_deref().unwrap_or_default()),
                allow_freeform_input: None,
                min: a.min_items.and_then(|v| i64::try_from(v).ok()),
                max: a.max_items.and_then(|v| i64::try_from(v).ok()),
            })
        }
        _ => return None,
    })
}

/// AHP has no default for choices; what it has are options that are recommended.
fn recommended(mut options: Vec<ChatInputOption>, defaults: &[String]) -> Vec<ChatInputOption> {
    for option in &mut options {
        option.recommended = defaults.contains(&option.id).then_some(true);
    }
    options
}

fn choices(s: &StringPropertySchema) -> Option<Vec<ChatInputOption>> {
    match (&s.one_of, &s.enum_values) {
        (Some(titles), _) => Some(titles.iter().map(titled).collect()),
        (None, Some(values)) => Some(values.iter().map(|v| option(v, v, None)).collect()),
        (None, None) => None,
    }
}

/// Whether another answer than the choices is welcome: an extension of the built-in agent.
fn freeform(s: &StringPropertySchema) -> bool {
    s.meta
        .as_ref()
        .and_then(|m| m.get("copilot.freeform"))
        .and_then(Value::as_bool)
        .unwrap_or(false)
}

fn titled(o: &EnumOption) -> ChatInputOption {
    option(&o.value, &o.title, o.description.clone())
}

fn option(id: &str, label: &str, description: Option<String>) -> ChatInputOption {
    ChatInputOption {
        id: id.to_owned(),
        label: label.to_owned(),
        description,
        recommended: None,
    }
}

/// The result of an elicitation request, from what was answered.
pub fn to_elicitation(
    response: ChatInputResponseKind,
    answers: Option<&HashMap<String, ChatInputAnswer>>,
) -> Value {
    match response {
        ChatInputResponseKind::Decline => json!({"action": "decline"}),
        ChatInputResponseKind::Cancel => json!({"action": "cancel"}),
        ChatInputResponseKind::Accept => {
            let given = answers
                .into_iter()
                .flatten()
                .filter_map(|(id, answer)| match answer {
                    ChatInputAnswer::Submitted(a) | ChatInputAnswer::Draft(a) => {
                        Some((id.clone(), value(&a.value)))
                    }
                    ChatInputAnswer::Skipped(_) => None,
                });
            json!({"action": "accept", "content": given.collect::<Map<_, _>>()})
        }
    }
}

fn value(answer: &ChatInputAnswerValue) -> Value {
    match answer {
        ChatInputAnswerValue::Text(v) => json!(v.value),
        ChatInputAnswerValue::Number(v) if v.value.fract() == 0.0 => json!(v.value as i64),
        ChatInputAnswerValue::Number(v) => json!(v.value),
        ChatInputAnswerValue::Boolean(v) => json!(v.value),
        ChatInputAnswerValue::Selected(v) => match v.freeform_values.iter().flatten().next() {
            Some(words) => json!(words),
            None => json!(v.value),
        },
        ChatInputAnswerValue::SelectedMany(v) => {
            json!(
                v.value
                    .iter()
                    .chain(v.freeform_values.iter().flatten())
                    .collect::<Vec<_>>()
            )
        }
        ChatInputAnswerValue::Unknown(raw) => raw.clone(),
    }
}

/// The request id of the folder trust question, and its question's id.
pub const TRUST: &str = "trust";

/// Asks whether an agent may work in `folder`.
pub fn folder_trust(folder: &str) -> ChatInputRequest {
    let message = format!(
        "Do you trust the files in {folder}? An agent reads them, and what they say can steer it."
    );
    ChatInputRequest {
        id: TRUST.into(),
        message: None,
        url: None,
        questions: Some(vec![ChatInputQuestion::SingleSelect(
            ChatInputSingleSelectQuestion {
                id: TRUST.into(),
                title: Some("Trust this folder?".into()),
                message,
                required: Some(true),
                options: vec![
                    option("trust-once", "Yes, for this session", None),
                    option("trust-always", "Yes, and remember this folder", None),
                    option("no", "No, do not work here", None),
                ],
                allow_freeform_input: None,
            },
        )]),
        answers: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FORM: &str = r#"{"mode":"form","sessionId":"s","message":"Which way?","requestedSchema":{"type":"object",
        "properties":{"answer":{"type":"string","oneOf":[{"const":"a","title":"Left"},{"const":"b","title":"Right"}],
        "default":"b","_meta":{"copilot.freeform":true}},"count":{"type":"integer","minimum":1},"tags":{"type":"array",
        "items":{"type":"string","enum":["x","y"]}}},"required":["answer"]}}"#;

    #[test]
    fn a_form_becomes_questions() {
        let request = from_elicitation("q1", FORM).unwrap();
        let questions = request.questions.unwrap();
        assert_eq!(questions.len(), 3);
        let ChatInputQuestion::SingleSelect(first) = &questions[0] else {
            panic!("{questions:?}")
        };
        assert_eq!(first.options[1].label, "Right");
        let recommended: Vec<_> = first.options.iter().map(|o| o.recommended).collect();
        assert_eq!(recommended, [None, Some(true)]);
        assert_eq!(
            (first.required, first.allow_freeform_input),
            (Some(true), Some(true))
        );
    }

    #[test]
    fn answers_go_back_as_plain_values() {
        let selected = ChatInputSelectedAnswerValue {
            value: "b".into(),
            freeform_values: None,
        };
        let answers = HashMap::from([(
            "answer".to_owned(),
            ChatInputAnswer::Submitted(ChatInputAnswered {
                value: ChatInputAnswerValue::Selected(selected),
            }),
        )]);
        let value = to_elicitation(ChatInputResponseKind::Accept, Some(&answers));
        assert_eq!(
            value,
            json!({"action": "accept", "content": {"answer": "b"}})
        );
        assert_eq!(
            to_elicitation(ChatInputResponseKind::Decline, None),
            json!({"action": "decline"})
        );
    }

    #[test]
    fn what_cannot_be_asked_is_said() {
        assert!(from_elicitation("q", "{}").is_err());
        assert!(from_elicitation("q", r#"{"mode":"form","sessionId":"s","message":"m","requestedSchema":{"type":"object","properties":{}}}"#).is_err());
    }
}
