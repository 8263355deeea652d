//! Questions as ACP elicitation: the form that is asked, and what an answer means. Pure.

use agent_client_protocol::v1::schema::{
    BooleanPropertySchema, CreateElicitationRequest, CreateElicitationResponse, ElicitationAction,
    ElicitationContentValue, ElicitationFormMode, ElicitationPropertySchema, ElicitationSchema,
    ElicitationSessionScope, IntegerPropertySchema, Meta, MultiSelectPropertySchema,
    NumberPropertySchema, StringPropertySchema, ToolCallId,
};

use crate::tools::{Answer, Question, QuestionKind};

/// The one field of the form.
const FIELD: &str = "answer";
/// Set on a field with choices when an answer of one's own is welcome as well, which a schema
/// cannot say.
const FREEFORM: &str = "copilot.freeform";

pub(super) fn request(
    session: &str,
    call_id: &str,
    question: &Question,
) -> CreateElicitationRequest {
    let schema = ElicitationSchema::new().property(FIELD, field(question), true);
    let scope = ElicitationSessionScope::new(session.to_owned())
        .tool_call_id(ToolCallId::new(call_id.to_owned()));
    CreateElicitationRequest::new(
        ElicitationFormMode::new(scope, schema),
        question.text.clone(),
    )
}

fn field(question: &Question) -> ElicitationPropertySchema {
    let title = question.text.clone();
    match &question.kind {
        QuestionKind::Text { default, length } => StringPropertySchema::new()
            .title(title)
            .default_value(default.clone())
            .min_length(length.0)
            .max_length(length.1)
            .into(),
        QuestionKind::Number {
            whole: true,
            default,
            range,
        } => {
            let whole = |number: Option<f64>| number.map(|number| number as i64);
            IntegerPropertySchema::new()
                .title(title)
                .default_value(whole(*default))
                .minimum(whole(range.0))
                .maximum(whole(range.1))
                .into()
        }
        QuestionKind::Number { default, range, .. } => NumberPropertySchema::new()
            .title(title)
            .default_value(*default)
            .minimum(range.0)
            .maximum(range.1)
            .into(),
        QuestionKind::YesNo { default } => BooleanPropertySchema::new()
            .title(title)
            .default_value(*default)
            .into(),
        QuestionKind::One {
            choices,
            allow_freeform,
            default,
        } => {
            let freeform =
                allow_freeform.then(|| Meta::from_iter([(FREEFORM.to_owned(), true.into())]));
            StringPropertySchema::new()
                .title(title)
                .enum_values(choices.clone())
                .default_value(default.clone())
                .meta(freeform)
                .into()
        }
        QuestionKind::Many {
            choices,
            default,
            count,
        } => MultiSelectPropertySchema::new(choices.clone())
            .title(title)
            .default_value(Some(default.clone()).filter(|default| !default.is_empty()))
            .min_items(count.0)
            .max_items(count.1)
            .into(),
    }
}

pub(super) fn answer(response: CreateElicitationResponse) -> Answer {
    match response.action {
        ElicitationAction::Accept(accepted) => {
            let text = match accepted.content.unwrap_or_default().remove(FIELD) {
                Some(ElicitationContentValue::String(text)) => text,
                Some(ElicitationContentValue::StringArray(texts)) => texts.join(", "),
                Some(ElicitationContentValue::Integer(number)) => number.to_string(),
                Some(ElicitationContentValue::Number(number)) => number.to_string(),
                Some(ElicitationContentValue::Boolean(truth)) => {
                    if truth { "yes" } else { "no" }.to_owned()
                }
                _ => String::new(),
            };
            if text.trim().is_empty() {
                Answer::Declined
            } else {
                Answer::Text(text)
            }
        }
        ElicitationAction::Decline => Answer::Declined,
        _ => Answer::Dismissed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_question_becomes_a_form() {
        let ask = |kind| Question {
            text: "Which?".to_owned(),
            kind,
        };
        let choices = vec!["a".to_owned(), "b".to_owned()];
        let question = ask(QuestionKind::One {
            choices: choices.clone(),
            allow_freeform: true,
            default: Some("b".to_owned()),
        });
        let form = serde_json::to_value(request("s", "call-1", &question)).unwrap();
        assert_eq!(form["mode"], "form");
        assert_eq!(form["sessionId"], "s");
        assert_eq!(form["toolCallId"], "call-1");
        assert_eq!(form["message"], "Which?");
        let field = &form["requestedSchema"]["properties"]["answer"];
        assert_eq!(field["enum"], json!(["a", "b"]));
        assert_eq!(field["_meta"]["copilot.freeform"], true);
        assert_eq!(field["default"], "b");
        for (kind, expected) in [
            (
                QuestionKind::Text {
                    default: Some("x".to_owned()),
                    length: (Some(1), None),
                },
                json!({"type": "string", "title": "Which?", "default": "x", "minLength": 1}),
            ),
            (
                QuestionKind::Number {
                    whole: true,
                    default: Some(3.0),
                    range: (None, Some(9.0)),
                },
                json!({"type": "integer", "title": "Which?", "default": 3, "maximum": 9}),
            ),
            (
                QuestionKind::YesNo {
                    default: Some(false),
                },
                json!({"type": "boolean", "title": "Which?", "default": false}),
            ),
            (
                QuestionKind::Many {
                    choices,
                    default: vec!["a".to_owned()],
                    count: (Some(1), None),
                },
                json!({"type": "array", "title": "Which?", "default": ["a"], "minItems": 1,
                    "items": {"type": "string", "enum": ["a", "b"]}}),
            ),
        ] {
            let form = serde_json::to_value(request("s", "call-1", &ask(kind))).unwrap();
            assert_eq!(form["requestedSchema"]["properties"]["answer"], expected);
        }
    }

    #[test]
    fn answers_are_read() {
        for (response, expected) in [
            (
                json!({"action": "accept", "content": {"answer": "a"}}),
                Answer::Text("a".to_owned()),
            ),
            (
                json!({"action": "accept", "content": {"answer": " "}}),
                Answer::Declined,
            ),
            (
                json!({"action": "accept", "content": {"answer": ["a", "b"]}}),
                Answer::Text("a, b".to_owned()),
            ),
            (
                json!({"action": "accept", "content": {"answer": false}}),
                Answer::Text("no".to_owned()),
            ),
            (json!({"action": "accept"}), Answer::Declined),
            (json!({"action": "decline"}), Answer::Declined),
            (json!({"action": "cancel"}), Answer::Dismissed),
            (json!({"action": "later"}), Answer::Dismissed),
        ] {
            let parsed = serde_json::from_value(response.clone()).unwrap();
            assert_eq!(answer(parsed), expected, "{response}");
        }
    }
}
