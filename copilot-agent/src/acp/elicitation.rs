//! Questions as ACP elicitation: the form that is asked, and what an answer means. Pure.

use agent_client_protocol::v1::schema::{
    CreateElicitationRequest, CreateElicitationResponse, ElicitationAction,
    ElicitationContentValue, ElicitationFormMode, ElicitationSchema, ElicitationSessionScope, Meta,
    StringPropertySchema, ToolCallId,
};

use crate::tools::{Answer, Question};

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
    let mut field = StringPropertySchema::new().title(question.text.clone());
    if !question.choices.is_empty() {
        field = field.enum_values(question.choices.clone());
        if question.allow_freeform {
            let mut meta = Meta::new();
            meta.insert(FREEFORM.to_owned(), true.into());
            field = field.meta(meta);
        }
    }
    let schema = ElicitationSchema::new().property(FIELD, field, true);
    let scope = ElicitationSessionScope::new(session.to_owned())
        .tool_call_id(ToolCallId::new(call_id.to_owned()));
    CreateElicitationRequest::new(
        ElicitationFormMode::new(scope, schema),
        question.text.clone(),
    )
}

pub(super) fn answer(response: CreateElicitationResponse) -> Answer {
    match response.action {
        ElicitationAction::Accept(accepted) => {
            let text = match accepted.content.unwrap_or_default().remove(FIELD) {
                Some(ElicitationContentValue::String(text)) => text,
                Some(ElicitationContentValue::StringArray(texts)) => texts.join(", "),
                Some(ElicitationContentValue::Integer(number)) => number.to_string(),
                Some(ElicitationContentValue::Number(number)) => number.to_string(),
                Some(ElicitationContentValue::Boolean(truth)) => truth.to_string(),
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
        let mut question = Question {
            text: "Which?".to_owned(),
            choices: vec!["a".to_owned(), "b".to_owned()],
            allow_freeform: true,
        };
        let form = serde_json::to_value(request("s", "call-1", &question)).unwrap();
        assert_eq!(form["mode"], "form");
        assert_eq!(form["sessionId"], "s");
        assert_eq!(form["toolCallId"], "call-1");
        assert_eq!(form["message"], "Which?");
        let field = &form["requestedSchema"]["properties"]["answer"];
        assert_eq!(field["enum"], json!(["a", "b"]));
        assert_eq!(field["_meta"]["copilot.freeform"], true);
        question.choices.clear();
        let form = serde_json::to_value(request("s", "call-1", &question)).unwrap();
        assert!(
            form["requestedSchema"]["properties"]["answer"]
                .get("enum")
                .is_none()
        );
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
