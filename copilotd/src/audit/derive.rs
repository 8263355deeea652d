//! From what a step of a session did to what is recorded of it: pure.
//!
//! Decisions are read off the actions that are about to be kept and published, so that nothing
//! that clients are told is missing in the audit, whichever part of the session did it.

use ahp_types::actions::{
    ChatInputCompletedAction, ChatInputRequestedAction, ChatToolCallConfirmedAction,
    ChatToolCallReadyAction, StateAction,
};
use ahp_types::common::{JsonObject, StringOrMarkdown};
use ahp_types::state::{ChatInputAnswer, ChatInputAnswerValue, ChatInputResponseKind};
use serde_json::Value;

use super::{Event, Wanted, Who, cut};
use crate::host::admit::type_of;

/// What is known about the step.
#[derive(Debug)]
pub struct Step<'a> {
    /// The client whose input it was, if any.
    pub client: Option<&'a Who>,
    /// The session's agent.
    pub agent: &'a Who,
}

/// What an action of a step is in the audit, and who did it. `from_client`: it is the client's
/// own input, not a consequence.
pub fn of_step(step: &Step<'_>, action: &StateAction, from_client: bool) -> Option<(Who, Event)> {
    let client = || step.client.cloned().unwrap_or_else(Who::daemon);
    match action {
        StateAction::ChatToolCallReady(a) => ready(step, a),
        StateAction::ChatToolCallConfirmed(a) => Some(confirmed(step, a)),
        StateAction::ChatInputRequested(a) => Some((step.agent.clone(), asked(a))),
        StateAction::ChatInputCompleted(a) => Some((client(), answered(a))),
        StateAction::SessionConfigChanged(a) => {
            let config = a.config.clone();
            Some((client(), Event::ConfigChanged { config }))
        }
        // Recorded when it was asked for, which is when somebody did it.
        StateAction::ChatTurnCancelled(_) => None,
        _ if from_client => Some((client(), of_client_action(action)?)),
        _ => None,
    }
}

/// An input of a client that has no event of its own; nothing for what changes nothing for
/// others.
pub fn of_client_action(action: &StateAction) -> Option<Event> {
    let id = match action {
        StateAction::ChatDraftChanged(_)
        | StateAction::ChatInputAnswerChanged(_)
        | StateAction::ChatIsReadChanged(_)
        | StateAction::SessionIsReadChanged(_) => return None,
        StateAction::ChatTurnStarted(a) => Some(a.turn_id.clone()),
        StateAction::ChatTurnCancelled(a) => Some(a.turn_id.clone()),
        StateAction::ChatTurnResume(a) => Some(a.turn_id.clone()),
        StateAction::ChatPendingMessageSet(a) => Some(a.id.clone()),
        StateAction::ChatPendingMessageRemoved(a) => Some(a.id.clone()),
        _ => None,
    };
    let action = type_of(action);
    Some(Event::Input { action, id })
}

/// A tool call that a permission was asked for: it waits for somebody, or a rule allowed it.
fn ready(step: &Step<'_>, a: &ChatToolCallReadyAction) -> Option<(Who, Event)> {
    let wanted = wanted(a.meta.as_ref())?;
    let request = a.tool_call_id.clone();
    Some(match a.confirmed {
        None => (
            step.agent.clone(),
            Event::PermissionRequested { request, wanted },
        ),
        Some(_) => decided(step, a.meta.as_ref(), request, wanted, true, None),
    })
}

fn confirmed(step: &Step<'_>, a: &ChatToolCallConfirmedAction) -> (Who, Event) {
    let mut wanted = wanted(a.meta.as_ref()).unwrap_or_default();
    // A rule that denies says why in words for the agent, too.
    if let Some(StringOrMarkdown::Plain(why)) = &a.reason_message {
        wanted.reason = cut(why);
    }
    let words = a.user_suggestion.as_ref().map(|m| cut(&m.text));
    let request = a.tool_call_id.clone();
    decided(step, a.meta.as_ref(), request, wanted, a.approved, words)
}

fn decided(
    step: &Step<'_>,
    meta: Option<&JsonObject>,
    request: String,
    wanted: Wanted,
    approved: bool,
    words: Option<String>,
) -> (Who, Event) {
    let answer = meta.and_then(|m| m.get("copilot.answeredBy"));
    let text = |key: &str| answer.and_then(|a| a.get(key)?.as_str()).unwrap_or("");
    // The name in the answer is that of the client of this step, or `policy`.
    let who = match (step.client, text("trust")) {
        (Some(client), trust) if trust == client.trust => client.clone(),
        (_, trust) => Who::without_process(text("name"), trust),
    };
    let choice = text("choice").to_owned();
    let event = Event::PermissionDecided {
        request,
        wanted,
        approved,
        choice,
        words,
    };
    (who, event)
}

fn wanted(meta: Option<&JsonObject>) -> Option<Wanted> {
    let permission = meta?.get("copilot.permission")?;
    let text = |key: &str| permission.get(key).and_then(Value::as_str).unwrap_or("");
    let subject = text("subject");
    let shown = cut(subject);
    Some(Wanted {
        kind: text("kind").to_owned(),
        subject_bytes: (shown.len() < subject.len()).then_some(subject.len()),
        subject: shown,
        reason: cut(text("reason")),
    })
}

fn asked(a: &ChatInputRequestedAction) -> Event {
    let message = a.request.message.as_deref().unwrap_or_default();
    Event::QuestionAsked {
        request: a.request.id.clone(),
        message: cut(message),
    }
}

fn answered(a: &ChatInputCompletedAction) -> Event {
    let choice = match a.response {
        ChatInputResponseKind::Decline => "decline".to_owned(),
        ChatInputResponseKind::Cancel => "cancel".to_owned(),
        ChatInputResponseKind::Accept => {
            let mut answers: Vec<_> = a.answers.iter().flatten().collect();
            answers.sort_by_key(|(id, _)| *id);
            let chosen: Vec<String> = answers.into_iter().filter_map(|(_, v)| shown(v)).collect();
            cut(&chosen.join(", "))
        }
    };
    Event::QuestionAnswered {
        request: a.request_id.clone(),
        choice,
    }
}

fn shown(answer: &ChatInputAnswer) -> Option<String> {
    let (ChatInputAnswer::Draft(given) | ChatInputAnswer::Submitted(given)) = answer else {
        return None;
    };
    Some(match &given.value {
        ChatInputAnswerValue::Selected(v) => v.value.clone(),
        ChatInputAnswerValue::SelectedMany(v) => v.value.join(" + "),
        ChatInputAnswerValue::Text(v) => v.value.clone(),
        ChatInputAnswerValue::Number(v) => v.value.to_string(),
        ChatInputAnswerValue::Boolean(v) => v.value.to_string(),
        _ => return None,
    })
}
