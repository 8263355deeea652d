//! What a session waits for: permissions and questions, and the answers to them.
//!
//! Pure: from the chat's state to open requests, and from what a person typed
//! to the action that answers.

use std::collections::HashMap;

use ahp_types::actions::{ChatInputCompletedAction, ChatToolCallConfirmedAction, StateAction};
use ahp_types::state::{
    ChatInputAnswer, ChatInputAnswerValue, ChatInputAnswered, ChatInputBooleanAnswerValue,
    ChatInputNumberAnswerValue, ChatInputOption, ChatInputQuestion, ChatInputRequest,
    ChatInputResponseKind, ChatInputSelectedAnswerValue, ChatInputSelectedManyAnswerValue,
    ChatInputTextAnswerValue, ChatState, ConfirmationOption, ConfirmationOptionKind, Message,
    MessageKind, MessageOrigin, ResponsePart, ToolCallCancellationReason,
    ToolCallConfirmationReason, ToolCallPendingConfirmationState, ToolCallState,
};
use serde_json::Value;

/// A request that waits for an answer.
#[derive(Debug, Clone, PartialEq)]
pub enum OpenRequest {
    /// May this tool call run?
    Permission(Box<Permission>),
    /// The agent, or the host about the folder, asks something.
    Question(Question),
}

/// A tool call that waits for a confirmation.
#[derive(Debug, Clone, PartialEq)]
pub struct Permission {
    /// The turn it belongs to.
    pub turn_id: String,
    /// The call, with what it would do.
    pub call: ToolCallPendingConfirmationState,
}

/// A request for input.
#[derive(Debug, Clone, PartialEq)]
pub struct Question {
    /// The request, with its questions.
    pub request: ChatInputRequest,
}

/// An answer to one request.
#[derive(Debug, Clone, PartialEq)]
pub enum Answer {
    /// To a permission.
    Permission {
        /// The turn of the call.
        turn_id: String,
        /// The call.
        tool_call_id: String,
        /// The option that was chosen; absent when the host offered none.
        option_id: Option<String>,
        /// Whether the option allows.
        approved: bool,
        /// What to do instead.
        words: Option<String>,
    },
    /// To a question.
    Question {
        /// The request.
        request_id: String,
        /// Accepted, declined or cancelled.
        response: ChatInputResponseKind,
        /// Per question, when accepted.
        answers: HashMap<String, ChatInputAnswerValue>,
    },
}

/// Why what was typed answers nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ChoiceError {
    /// No option is meant.
    #[error("`{choice}` is none of the choices: {}", offered.join(", "))]
    Unknown {
        /// What was typed.
        choice: String,
        /// Ids and labels.
        offered: Vec<String>,
    },
    /// More than one option is meant.
    #[error("`{choice}` could be any of: {}", candidates.join(", "))]
    Ambiguous {
        /// What was typed.
        choice: String,
        /// Ids and labels of those that match.
        candidates: Vec<String>,
    },
    /// Not of the type that the question asks for.
    #[error("`{choice}` is not {expected}")]
    Malformed {
        /// What was typed.
        choice: String,
        /// What would be.
        expected: String,
    },
    /// The option needs words.
    #[error("`{0}` needs words: what should be done instead?")]
    WordsMissing(String),
    /// Several questions, one plain answer.
    #[error("the request has several questions: answer with a JSON object of {}", .0.join(", "))]
    SeveralQuestions(Vec<String>),
    /// A required question has no answer.
    #[error("the question `{0}` needs an answer")]
    Required(String),
}

/// What the chat waits for, the oldest first.
pub fn open_requests(chat: &ChatState) -> Vec<OpenRequest> {
    let Some(turn) = &chat.active_turn else {
        return Vec::new();
    };
    turn.response_parts
        .iter()
        .filter_map(|part| match part {
            ResponsePart::ToolCall(part) => match &part.tool_call {
                ToolCallState::PendingConfirmation(call) => {
                    Some(OpenRequest::Permission(Box::new(Permission {
                        turn_id: turn.id.clone(),
                        call: call.clone(),
                    })))
                }
                _ => None,
            },
            ResponsePart::InputRequest(part) if part.response.is_none() => {
                Some(OpenRequest::Question(Question {
                    request: part.request.clone(),
                }))
            }
            _ => None,
        })
        .collect()
}

/// The open request that `wanted` names: `next`, an id, or the unique beginning of one.
pub fn find_request<'a>(
    requests: &'a [OpenRequest],
    wanted: &str,
) -> Result<Option<&'a OpenRequest>, ChoiceError> {
    if wanted == "next" {
        return Ok(requests.first());
    }
    if let Some(exact) = requests.iter().find(|r| r.id() == wanted) {
        return Ok(Some(exact));
    }
    let found: Vec<_> = requests
        .iter()
        .filter(|r| !wanted.is_empty() && r.id().starts_with(wanted))
        .collect();
    match found.as_slice() {
        [] => Ok(None),
        [one] => Ok(Some(one)),
        several => Err(ChoiceError::Ambiguous {
            choice: wanted.to_owned(),
            candidates: several.iter().map(|r| r.id().to_owned()).collect(),
        }),
    }
}

impl OpenRequest {
    /// The id that `copilot answer` takes.
    pub fn id(&self) -> &str {
        match self {
            Self::Permission(p) => &p.call.tool_call_id,
            Self::Question(q) => &q.request.id,
        }
    }
}

impl Permission {
    /// The options; where the host offers none, plain yes and no.
    pub fn options(&self) -> Vec<ConfirmationOption> {
        let offered = self.call.options.clone().unwrap_or_default();
        if !offered.is_empty() {
            return offered;
        }
        let option = |id: &str, label: &str, kind| ConfirmationOption {
            id: id.to_owned(),
            label: label.to_owned(),
            kind,
            group: None,
        };
        vec![
            option("allow-once", "Allow", ConfirmationOptionKind::Approve),
            option("deny", "Deny", ConfirmationOptionKind::Deny),
        ]
    }

    /// The answer that chooses this option.
    pub fn choose(&self, option: &ConfirmationOption, words: Option<String>) -> Answer {
        let offered = self.call.options.as_ref().is_some_and(|o| !o.is_empty());
        Answer::Permission {
            turn_id: self.turn_id.clone(),
            tool_call_id: self.call.tool_call_id.clone(),
            option_id: offered.then(|| option.id.clone()),
            approved: option.kind == ConfirmationOptionKind::Approve,
            words,
        }
    }
}

impl Question {
    /// The questions; a request without any is a plain confirmation.
    pub fn questions(&self) -> &[ChatInputQuestion] {
        self.request.questions.as_deref().unwrap_or_default()
    }

    /// The answer that accepts with these values.
    pub fn accept(&self, answers: HashMap<String, ChatInputAnswerValue>) -> Answer {
        self.respond(ChatInputResponseKind::Accept, answers)
    }

    /// The answer that declines.
    pub fn decline(&self) -> Answer {
        self.respond(ChatInputResponseKind::Decline, HashMap::new())
    }

    fn respond(
        &self,
        response: ChatInputResponseKind,
        answers: HashMap<String, ChatInputAnswerValue>,
    ) -> Answer {
        Answer::Question {
            request_id: self.request.id.clone(),
            response,
            answers,
        }
    }
}

/// The choice about a plan that goes with words.
pub(crate) const SUGGEST: &str = "suggest";

/// Whether a request is about a plan of the agent.
pub(crate) fn is_plan(request: &ChatInputRequest) -> bool {
    request.id.starts_with("plan-")
}

/// The id of a question.
pub(crate) fn question_id(question: &ChatInputQuestion) -> &str {
    match question {
        ChatInputQuestion::Text(q) => &q.id,
        ChatInputQuestion::Number(q) | ChatInputQuestion::Integer(q) => &q.id,
        ChatInputQuestion::Boolean(q) => &q.id,
        ChatInputQuestion::SingleSelect(q) => &q.id,
        ChatInputQuestion::MultiSelect(q) => &q.id,
        ChatInputQuestion::Unknown(v) => v.get("id").and_then(Value::as_str).unwrap_or_default(),
    }
}

/// What a question asks.
pub(crate) fn question_message(question: &ChatInputQuestion) -> &str {
    match question {
        ChatInputQuestion::Text(q) => &q.message,
        ChatInputQuestion::Number(q) | ChatInputQuestion::Integer(q) => &q.message,
        ChatInputQuestion::Boolean(q) => &q.message,
        ChatInputQuestion::SingleSelect(q) => &q.message,
        ChatInputQuestion::MultiSelect(q) => &q.message,
        ChatInputQuestion::Unknown(v) => {
            v.get("message").and_then(Value::as_str).unwrap_or_default()
        }
    }
}

/// The label of the option with this id.
pub(crate) fn question_label<'a>(question: &'a ChatInputQuestion, option: &str) -> Option<&'a str> {
    let options = match question {
        ChatInputQuestion::SingleSelect(q) => &q.options,
        ChatInputQuestion::MultiSelect(q) => &q.options,
        _ => return None,
    };
    let chosen = options.iter().find(|o| o.id == option)?;
    Some(&chosen.label)
}

/// Whether a question must be answered.
pub(crate) fn question_required(question: &ChatInputQuestion) -> bool {
    match question {
        ChatInputQuestion::Text(q) => q.required,
        ChatInputQuestion::Number(q) | ChatInputQuestion::Integer(q) => q.required,
        ChatInputQuestion::Boolean(q) => q.required,
        ChatInputQuestion::SingleSelect(q) => q.required,
        ChatInputQuestion::MultiSelect(q) => q.required,
        ChatInputQuestion::Unknown(_) => None,
    }
    .unwrap_or(false)
}

/// Turns what was typed into the answer to this request.
pub fn resolve_choice(
    request: &OpenRequest,
    choice: &str,
    words: Option<&str>,
) -> Result<Answer, ChoiceError> {
    match request {
        OpenRequest::Permission(permission) => resolve_permission(permission, choice, words),
        OpenRequest::Question(question) => resolve_question(question, choice, words),
    }
}

fn resolve_permission(
    permission: &Permission,
    choice: &str,
    words: Option<&str>,
) -> Result<Answer, ChoiceError> {
    let options = permission.options();
    let pairs: Vec<_> = options
        .iter()
        .map(|o| (o.id.as_str(), o.label.as_str()))
        .collect();
    let index = pick(&pairs, choice)?;
    let mut option = options.get(index).ok_or_else(|| unknown(&pairs, choice))?;
    let words = words.map(str::trim).filter(|w| !w.is_empty());
    // Words with a plain denial mean the denial that carries words.
    if option.kind == ConfirmationOptionKind::Deny && words.is_some() {
        option = options
            .iter()
            .find(|o| o.id == DENY_WITH_WORDS)
            .unwrap_or(option);
    }
    if option.id == DENY_WITH_WORDS && words.is_none() {
        return Err(ChoiceError::WordsMissing(option.id.clone()));
    }
    Ok(permission.choose(option, words.map(str::to_owned)))
}

/// The option whose answer carries words.
pub(crate) const DENY_WITH_WORDS: &str = "deny-with-words";

fn resolve_question(
    question: &Question,
    choice: &str,
    words: Option<&str>,
) -> Result<Answer, ChoiceError> {
    match choice {
        "decline" => return Ok(question.decline()),
        "cancel" => {
            return Ok(question.respond(ChatInputResponseKind::Cancel, HashMap::new()));
        }
        _ => {}
    }
    let mut answers = HashMap::new();
    match question.questions() {
        [] => {}
        [one] => {
            answers.insert(question_id(one).to_owned(), value_of(one, choice, words)?);
        }
        several => {
            let given: serde_json::Map<String, Value> =
                serde_json::from_str(choice).map_err(|_| {
                    ChoiceError::SeveralQuestions(
                        several.iter().map(|q| question_id(q).to_owned()).collect(),
                    )
                })?;
            for q in several {
                let id = question_id(q);
                match given.get(id) {
                    Some(Value::String(text)) => {
                        answers.insert(id.to_owned(), value_of(q, text, None)?);
                    }
                    Some(Value::Array(items)) => {
                        let text: Vec<_> = items.iter().filter_map(Value::as_str).collect();
                        answers.insert(id.to_owned(), value_of(q, &text.join(","), None)?);
                    }
                    Some(other) => {
                        answers.insert(id.to_owned(), value_of(q, &other.to_string(), None)?);
                    }
                    None if question_required(q) => {
                        return Err(ChoiceError::Required(id.to_owned()));
                    }
                    None => {}
                }
            }
        }
    }
    Ok(question.accept(answers))
}

/// Reads what was typed as the answer to one question.
pub(crate) fn value_of(
    question: &ChatInputQuestion,
    choice: &str,
    words: Option<&str>,
) -> Result<ChatInputAnswerValue, ChoiceError> {
    let malformed = |expected: &str| ChoiceError::Malformed {
        choice: choice.to_owned(),
        expected: expected.to_owned(),
    };
    let extra = words.map(|w| vec![w.to_owned()]);
    Ok(match question {
        ChatInputQuestion::Text(q) => {
            let length = i64::try_from(choice.chars().count()).unwrap_or(i64::MAX);
            if q.required == Some(true) && choice.trim().is_empty() {
                return Err(ChoiceError::Required(q.id.clone()));
            }
            if q.min.is_some_and(|min| length < min) || q.max.is_some_and(|max| length > max) {
                return Err(malformed(&format!(
                    "a text of {} characters",
                    range(q.min.map(|v| v as f64), q.max.map(|v| v as f64))
                )));
            }
            ChatInputAnswerValue::Text(ChatInputTextAnswerValue {
                value: choice.to_owned(),
            })
        }
        ChatInputQuestion::Number(q) | ChatInputQuestion::Integer(q) => {
            let whole = matches!(question, ChatInputQuestion::Integer(_));
            let value: f64 = choice.trim().parse().map_err(|_| malformed("a number"))?;
            if !value.is_finite() || (whole && value.fract() != 0.0) {
                return Err(malformed(if whole { "a whole number" } else { "a number" }));
            }
            if q.min.is_some_and(|min| value < min) || q.max.is_some_and(|max| value > max) {
                return Err(malformed(&format!("a number {}", range(q.min, q.max))));
            }
            ChatInputAnswerValue::Number(ChatInputNumberAnswerValue { value })
        }
        ChatInputQuestion::Boolean(_) => {
            let value = match choice.trim().to_lowercase().as_str() {
                "y" | "yes" | "true" | "1" => true,
                "n" | "no" | "false" | "2" => false,
                _ => return Err(malformed("yes or no")),
            };
            ChatInputAnswerValue::Boolean(ChatInputBooleanAnswerValue { value })
        }
        ChatInputQuestion::SingleSelect(q) => {
            let pairs = pairs(&q.options);
            match pick(&pairs, choice) {
                Ok(index) => ChatInputAnswerValue::Selected(ChatInputSelectedAnswerValue {
                    value: pairs
                        .get(index)
                        .map(|(id, _)| (*id).to_owned())
                        .unwrap_or_default(),
                    freeform_values: extra,
                }),
                Err(ChoiceError::Unknown { .. })
                    if q.allow_freeform_input == Some(true) && !choice.trim().is_empty() =>
                {
                    ChatInputAnswerValue::Selected(ChatInputSelectedAnswerValue {
                        value: String::new(),
                        freeform_values: Some(vec![choice.to_owned()]),
                    })
                }
                Err(error) => return Err(error),
            }
        }
        ChatInputQuestion::MultiSelect(q) => {
            let pairs = pairs(&q.options);
            let mut value = Vec::new();
            let mut free = extra.unwrap_or_default();
            for item in choice.split(',').map(str::trim).filter(|i| !i.is_empty()) {
                match pick(&pairs, item) {
                    Ok(index) => value.extend(pairs.get(index).map(|(id, _)| (*id).to_owned())),
                    Err(ChoiceError::Unknown { .. }) if q.allow_freeform_input == Some(true) => {
                        free.push(item.to_owned());
                    }
                    Err(error) => return Err(error),
                }
            }
            let count = i64::try_from(value.len() + free.len()).unwrap_or(i64::MAX);
            if q.min.is_some_and(|min| count < min) || q.max.is_some_and(|max| count > max) {
                return Err(malformed(&format!(
                    "a choice of {} options",
                    range(q.min.map(|v| v as f64), q.max.map(|v| v as f64))
                )));
            }
            ChatInputAnswerValue::SelectedMany(ChatInputSelectedManyAnswerValue {
                value,
                freeform_values: (!free.is_empty()).then_some(free),
            })
        }
        ChatInputQuestion::Unknown(_) => ChatInputAnswerValue::Text(ChatInputTextAnswerValue {
            value: choice.to_owned(),
        }),
    })
}

fn range(min: Option<f64>, max: Option<f64>) -> String {
    match (min, max) {
        (Some(min), Some(max)) => format!("from {min} to {max}"),
        (Some(min), None) => format!("of at least {min}"),
        (None, Some(max)) => format!("of at most {max}"),
        (None, None) => String::new(),
    }
}

fn pairs(options: &[ChatInputOption]) -> Vec<(&str, &str)> {
    options
        .iter()
        .map(|o| (o.id.as_str(), o.label.as_str()))
        .collect()
}

fn unknown(options: &[(&str, &str)], choice: &str) -> ChoiceError {
    ChoiceError::Unknown {
        choice: choice.to_owned(),
        offered: options.iter().map(named).collect(),
    }
}

fn named((id, label): &(&str, &str)) -> String {
    if label.is_empty() || id == label {
        (*id).to_owned()
    } else {
        format!("{id} ({label})")
    }
}

/// The option that `choice` names: by id, by number from 1, by label, or by the
/// unambiguous beginning of a label or id. Earlier ways win over later ones.
fn pick(options: &[(&str, &str)], choice: &str) -> Result<usize, ChoiceError> {
    let choice = choice.trim();
    if let Some(index) = options.iter().position(|(id, _)| *id == choice) {
        return Ok(index);
    }
    if let Ok(number) = choice.parse::<usize>()
        && (1..=options.len()).contains(&number)
    {
        return Ok(number - 1);
    }
    let lower = choice.to_lowercase();
    if let Some(index) = options
        .iter()
        .position(|(_, label)| label.to_lowercase() == lower)
    {
        return Ok(index);
    }
    let matching = |by: fn(&(&str, &str)) -> String| -> Vec<usize> {
        options
            .iter()
            .enumerate()
            .filter(|(_, o)| !lower.is_empty() && by(o).to_lowercase().starts_with(&lower))
            .map(|(i, _)| i)
            .collect()
    };
    let mut found = matching(|(_, label)| (*label).to_owned());
    if found.is_empty() {
        found = matching(|(id, _)| (*id).to_owned());
    }
    match found.as_slice() {
        [] => Err(unknown(options, choice)),
        [one] => Ok(*one),
        several => Err(ChoiceError::Ambiguous {
            choice: choice.to_owned(),
            candidates: several
                .iter()
                .filter_map(|i| options.get(*i))
                .map(named)
                .collect(),
        }),
    }
}

/// A message that a person wrote.
pub(crate) fn user_message(text: impl Into<String>) -> Message {
    Message {
        text: text.into(),
        origin: MessageOrigin {
            kind: MessageKind::User,
        },
        attachments: None,
        model: None,
        agent: None,
        meta: None,
    }
}

impl Answer {
    /// The action to dispatch on the chat's channel.
    pub fn into_action(self) -> StateAction {
        match self {
            Self::Permission {
                turn_id,
                tool_call_id,
                option_id,
                approved,
                words,
            } => StateAction::ChatToolCallConfirmed(ChatToolCallConfirmedAction {
                turn_id,
                tool_call_id,
                meta: None,
                approved,
                confirmed: approved.then_some(ToolCallConfirmationReason::UserAction),
                reason: (!approved).then_some(ToolCallCancellationReason::Denied),
                edited_tool_input: None,
                user_suggestion: words.map(user_message),
                reason_message: None,
                selected_option_id: option_id,
            }),
            Self::Question {
                request_id,
                response,
                answers,
            } => StateAction::ChatInputCompleted(ChatInputCompletedAction {
                request_id,
                response,
                answers: (response == ChatInputResponseKind::Accept).then(|| {
                    answers
                        .into_iter()
                        .map(|(id, value)| {
                            (id, ChatInputAnswer::Submitted(ChatInputAnswered { value }))
                        })
                        .collect()
                }),
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn permission() -> OpenRequest {
        let call = json!({
        "toolCallId": "call-1", "toolName": "shell", "displayName": "Shell",
        "invocationMessage": "rm -r x",
        "options": [
            {"id": "allow-once", "label": "Allow once", "kind": "approve"},
            {"id": "allow-session", "label": "Allow for this session", "kind": "approve"},
            {"id": "deny", "label": "Deny", "kind": "deny"},
            {"id": "deny-with-words", "label": "Deny, and say what to do instead", "kind": "deny"},
        ]});
        OpenRequest::Permission(Box::new(Permission {
            turn_id: "t".to_owned(),
            call: serde_json::from_value(call).unwrap(),
        }))
    }

    fn question(questions: Value) -> OpenRequest {
        OpenRequest::Question(Question {
            request: serde_json::from_value(json!({"id": "q-1", "questions": questions})).unwrap(),
        })
    }

    fn chosen(choice: &str, words: Option<&str>) -> Result<(String, bool), ChoiceError> {
        match resolve_choice(&permission(), choice, words)? {
            Answer::Permission {
                option_id,
                approved,
                ..
            } => Ok((option_id.unwrap(), approved)),
            Answer::Question { .. } => panic!("an answer to a question"),
        }
    }

    #[test]
    fn a_permission_is_chosen_by_id_number_or_label() {
        let table = [
            ("allow-once", "allow-once", true),
            ("1", "allow-once", true),
            ("2", "allow-session", true),
            ("3", "deny", false),
            ("deny", "deny", false),
            ("Allow for", "allow-session", true),
            ("allow once", "allow-once", true),
        ];
        for (typed, id, approved) in table {
            assert_eq!(
                chosen(typed, None).unwrap(),
                (id.to_owned(), approved),
                "{typed}"
            );
        }
    }

    #[test]
    fn what_is_not_clear_is_not_guessed() {
        assert!(matches!(
            chosen("allow", None),
            Err(ChoiceError::Ambiguous { .. })
        ));
        for nonsense in ["", "5", "0", "yes", "-1"] {
            assert!(
                matches!(chosen(nonsense, None), Err(ChoiceError::Unknown { .. })),
                "{nonsense}"
            );
        }
        assert_eq!(
            chosen("4", None).unwrap_err(),
            ChoiceError::WordsMissing("deny-with-words".to_owned())
        );
    }

    #[test]
    fn words_with_a_denial_travel_with_it() {
        assert_eq!(
            chosen("deny", Some("use trash")).unwrap().0,
            "deny-with-words"
        );
        let answer = resolve_choice(&permission(), "4", Some("use trash")).unwrap();
        let action = serde_json::to_value(answer.into_action()).unwrap();
        assert_eq!(action["type"], "chat/toolCallConfirmed");
        assert_eq!(action["approved"], false);
        assert_eq!(action["reason"], "denied");
        assert_eq!(action["userSuggestion"]["text"], "use trash");
        assert!(action.get("confirmed").is_none());
    }

    fn value(questions: Value, choice: &str) -> Result<Value, ChoiceError> {
        let answer = resolve_choice(&question(questions), choice, None)?;
        let action = serde_json::to_value(answer.into_action()).unwrap();
        Ok(action["answers"]["a"]["value"].clone())
    }

    #[test]
    fn questions_take_the_type_they_ask_for() {
        let select = json!([{"kind": "single-select", "id": "a", "message": "?", "options": [
            {"id": "x", "label": "Red"}, {"id": "y", "label": "Green"}]}]);
        let free = json!([{"kind": "single-select", "id": "a", "message": "?", "allowFreeformInput": true,
            "options": [{"id": "x", "label": "Red"}]}]);
        let text = json!([{"kind": "text", "id": "a", "message": "?"}]);
        let integer = json!([{"kind": "integer", "id": "a", "message": "?", "max": 10.0}]);
        let boolean = json!([{"kind": "boolean", "id": "a", "message": "?"}]);
        let many = json!([{"kind": "multi-select", "id": "a", "message": "?", "max": 2, "options": [
            {"id": "x", "label": "Red"}, {"id": "y", "label": "Green"}, {"id": "z", "label": "Blue"}]}]);
        let table = [
            (&select, "2", json!({"kind": "selected", "value": "y"})),
            (&select, "gr", json!({"kind": "selected", "value": "y"})),
            (
                &free,
                "mauve",
                json!({"kind": "selected", "value": "", "freeformValues": ["mauve"]}),
            ),
            (
                &text,
                "words, any",
                json!({"kind": "text", "value": "words, any"}),
            ),
            (&integer, "7", json!({"kind": "number", "value": 7.0})),
            (&boolean, "Yes", json!({"kind": "boolean", "value": true})),
            (
                &many,
                "1,blue",
                json!({"kind": "selected-many", "value": ["x", "z"]}),
            ),
        ];
        for (questions, typed, expected) in table {
            assert_eq!(
                value(questions.clone(), typed).unwrap(),
                expected,
                "{typed}"
            );
        }
        for (questions, typed) in [
            (&select, "mauve"),
            (&integer, "7.5"),
            (&integer, "11"),
            (&boolean, "maybe"),
            (&many, "1,2,3"),
        ] {
            assert!(value(questions.clone(), typed).is_err(), "{typed}");
        }
    }

    #[test]
    fn several_questions_take_an_object() {
        let questions = json!([
            {"kind": "text", "id": "a", "message": "?", "required": true},
            {"kind": "boolean", "id": "b", "message": "?"}]);
        assert!(matches!(
            value(questions.clone(), "x"),
            Err(ChoiceError::SeveralQuestions(_))
        ));
        assert!(matches!(
            value(questions.clone(), r#"{"b": true}"#),
            Err(ChoiceError::Required(_))
        ));
        let v = value(questions, r#"{"a": "x", "b": true}"#).unwrap();
        assert_eq!(v, json!({"kind": "text", "value": "x"}));
    }

    #[test]
    fn a_question_can_be_declined() {
        let q = question(json!([{"kind": "text", "id": "a", "message": "?"}]));
        let action =
            serde_json::to_value(resolve_choice(&q, "decline", None).unwrap().into_action())
                .unwrap();
        assert_eq!(action["response"], "decline");
        assert!(action.get("answers").is_none());
    }

    #[test]
    fn requests_are_found_by_id_beginning_or_order() {
        let all = vec![permission(), question(json!([]))];
        assert_eq!(find_request(&all, "next").unwrap().unwrap().id(), "call-1");
        assert_eq!(find_request(&all, "q-").unwrap().unwrap().id(), "q-1");
        assert!(find_request(&all, "zzz").unwrap().is_none());
        assert!(find_request(&[], "next").unwrap().is_none());
        let twins = vec![permission(), permission()];
        assert!(find_request(&twins, "call").is_err());
    }
}
