//! What a client may do to a session: decided here, before any reducer runs.
//!
//! The reducers apply, they do not validate. [`admit`] is the allow-list in front of them: pure,
//! with a table of tests for every client action. It turns an action into what the session is to
//! do, in the host's own words (client `_meta` dropped, who answered and how filled in), or into a
//! sentence that says why not.

mod message;
mod permission;
mod question;
mod settings;
mod turn;

use std::collections::{HashMap, VecDeque};
use std::path::Path;

use ahp_types::actions::*;
use ahp_types::common::JsonObject;
use ahp_types::state::*;
use serde_json::{Value, json};

use message::{message, pending_message_removed, pending_message_set, queued_messages_reordered};
use permission::tool_call_confirmed;
use question::{input_answer_changed, input_completed};
pub use settings::title;
use settings::{config_changed, title_changed};
use turn::{turn_cancelled, turn_resumed, turn_started};

use super::identity::{AGENT_MAY_ONLY_READ, Identity, Trust};
use crate::remote::narrow;

/// Longest text of a message or draft, in bytes.
pub const MAX_TEXT_BYTES: usize = 1024 * 1024;
/// Longest title, in characters.
pub const MAX_TITLE_CHARS: usize = 200;
/// Messages that may wait in the queue.
pub const MAX_QUEUED: usize = 100;
const MAX_ID_BYTES: usize = 128;

/// The option of a permission that allows it in this repository for good.
pub const ALLOW_HERE: &str = "allow-here";

/// An answer that a permission or question got.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Answer {
    /// The answering client's id; correlates a retry.
    pub client_id: String,
    /// Name shown to others; `policy` when a rule decided.
    pub name: String,
    /// `local`, `remote` or `policy`.
    pub trust: String,
    /// Option id, or `accept` / `decline` / `cancel`.
    pub choice: String,
    /// When, RFC 3339.
    pub at: String,
}

impl Answer {
    /// As it appears in `_meta`.
    pub fn to_json(&self) -> Value {
        json!({"name": self.name, "trust": self.trust, "choice": self.choice, "at": self.at})
    }
}

/// What [`admit`] may look at.
pub struct Context<'a> {
    /// The session's reduced state.
    pub session: &'a SessionState,
    /// Its chat's reduced state.
    pub chat: &'a ChatState,
    /// URI of the session channel.
    pub session_uri: &'a str,
    /// Who asks.
    pub identity: &'a Identity,
    /// Answers given so far, by request id.
    pub answers: &'a HashMap<String, Answer>,
    /// Id of the steering message that the agent holds, which cannot be taken back.
    pub steering_handed_over: Option<&'a str>,
    /// Ids of messages that were taken back or joined a turn.
    pub spent: &'a VecDeque<String>,
    /// Whether a cancel is under way.
    pub cancelling: bool,
    /// Why this session may not be reached from elsewhere; asked for when it is being turned on.
    pub remote_refused: Option<&'a str>,
    /// The file that forbids to allow everything, when there is one.
    pub allow_all_forbidden_by: Option<&'a Path>,
    /// The host's clock, RFC 3339.
    pub now: &'a str,
}

/// What the session is to do.
#[derive(Debug, Clone, PartialEq)]
pub enum Admitted {
    /// Reduce and publish this action.
    Apply(StateAction),
    /// Start a turn.
    StartTurn(ChatTurnStartedAction),
    /// Go on with an interrupted turn.
    Resume(ChatTurnResumeAction),
    /// Answer a permission request.
    Confirm {
        /// The host's own wording of the action.
        action: ChatToolCallConfirmedAction,
        /// What to remember about it.
        answer: Answer,
    },
    /// Answer a question.
    CompleteInput {
        /// The host's own wording of the action.
        action: ChatInputCompletedAction,
        /// What to remember about it.
        answer: Answer,
    },
    /// Keep a message for later, and start it when nothing runs.
    Pend(ChatPendingMessageSetAction),
    /// Change settings of the session.
    Configure(SessionConfigChangedAction),
    /// Forget a message that waits.
    TakeBack(ChatPendingMessageRemovedAction),
    /// Stop the turn of this id.
    Cancel(String),
}

/// Why not, for the client that asked. Begins with `duplicate:` when the same input already took
/// effect.
pub type Rejection = String;

/// Decides about one dispatched action.
pub fn admit(
    ctx: &Context<'_>,
    channel: &str,
    action: &StateAction,
) -> Result<Admitted, Rejection> {
    if ctx.identity.trust == Trust::Agent {
        return Err(AGENT_MAY_ONLY_READ.into());
    }
    if ctx.identity.trust == Trust::Remote {
        narrow::may_dispatch(action)?;
    }
    let on_chat = channel == ctx.chat.resource;
    let on_session = channel == ctx.session_uri;
    let name = type_of(action);
    if name.starts_with("chat/") && !on_chat || name.starts_with("session/") && !on_session {
        return Err(format!(
            "{} does not belong on the channel {}",
            shown(&name),
            shown(channel)
        ));
    }
    match action {
        StateAction::ChatTurnStarted(a) => turn_started(ctx, a),
        StateAction::ChatTurnCancelled(a) => turn_cancelled(ctx, a),
        StateAction::ChatTurnResume(a) => turn_resumed(ctx, a),
        StateAction::ChatToolCallConfirmed(a) => tool_call_confirmed(ctx, a),
        StateAction::ChatInputCompleted(a) => input_completed(ctx, a),
        StateAction::ChatInputAnswerChanged(a) => input_answer_changed(ctx, a),
        StateAction::ChatPendingMessageSet(a) => pending_message_set(ctx, a),
        StateAction::ChatPendingMessageRemoved(a) => pending_message_removed(ctx, a),
        StateAction::ChatQueuedMessagesReordered(a) => queued_messages_reordered(ctx, a),
        StateAction::ChatDraftChanged(a) => {
            let draft = a.draft.as_ref().map(|m| message(m, true)).transpose()?;
            Ok(Admitted::Apply(StateAction::ChatDraftChanged(
                ChatDraftChangedAction { draft },
            )))
        }
        StateAction::SessionTitleChanged(a) => title_changed(a),
        StateAction::ChatIsReadChanged(_)
        | StateAction::ChatIsArchivedChanged(_)
        | StateAction::SessionIsReadChanged(_)
        | StateAction::SessionIsArchivedChanged(_) => Ok(Admitted::Apply(action.clone())),
        StateAction::SessionConfigChanged(a) => config_changed(ctx, a),
        StateAction::Unknown(value) => Err(unknown(value)),
        _ => Err(format!("only the host may send {name}")),
    }
}

fn new_id<'a>(id: &'a str, what: &str) -> Result<&'a str, Rejection> {
    let fine = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | ':');
    match !id.is_empty() && id.len() <= MAX_ID_BYTES && id.chars().all(fine) {
        true => Ok(id),
        false => Err(format!(
            "the {what} id must have 1 to {MAX_ID_BYTES} letters, digits, or any of - _ . :"
        )),
    }
}

fn answer(ctx: &Context<'_>, choice: String) -> Answer {
    Answer {
        client_id: ctx.identity.client_id.clone(),
        name: ctx.identity.name.clone(),
        trust: ctx.identity.trust.name().into(),
        choice,
        at: ctx.now.to_owned(),
    }
}

/// `same` says whether it is the same answer again, which is a retry when the same client gives it.
fn answered_before(ctx: &Context<'_>, answer: &Answer, same: bool) -> Rejection {
    if same && answer.client_id == ctx.identity.client_id {
        return "duplicate: this answer was given before".into();
    }
    format!("already answered by {} ({})", answer.name, answer.choice)
}

fn unknown(value: &Value) -> Rejection {
    let name = value
        .get("type")
        .and_then(Value::as_str)
        .unwrap_or_default();
    let known = serde_json::from_value::<ActionType>(json!(name))
        .is_ok_and(|t| !matches!(t, ActionType::Unknown(_)));
    match known {
        true => format!("malformed {name}: its fields are not those of the protocol"),
        false => format!("this host does not know the action {}", shown(name)),
    }
}

/// The wire name of an action.
pub fn type_of(action: &StateAction) -> String {
    let value = serde_json::to_value(action).unwrap_or_default();
    value
        .get("type")
        .and_then(Value::as_str)
        .unwrap_or_default()
        .to_owned()
}

/// The id of a tool call in any state.
pub fn tool_call_id(call: &ToolCallState) -> Option<&String> {
    Some(match call {
        ToolCallState::Streaming(s) => &s.tool_call_id,
        ToolCallState::PendingConfirmation(s) => &s.tool_call_id,
        ToolCallState::Running(s) => &s.tool_call_id,
        ToolCallState::AuthRequired(s) => &s.tool_call_id,
        ToolCallState::PendingResultConfirmation(s) => &s.tool_call_id,
        ToolCallState::Completed(s) => &s.tool_call_id,
        ToolCallState::Cancelled(s) => &s.tool_call_id,
        ToolCallState::Unknown(_) => return None,
    })
}

/// A client's string in a message for people: short and on one line.
fn shown(text: &str) -> String {
    let clean: String = text.chars().filter(|c| !c.is_control()).take(60).collect();
    format!("`{clean}`")
}

/// An object with one entry.
pub fn object(key: &str, value: Value) -> JsonObject {
    JsonObject::from_iter([(key.to_owned(), value)])
}

#[cfg(test)]
mod tests;
