//! Reading the host's `_meta`: the few facts that AHP has no field for.

use ahp_types::common::JsonObject;
use ahp_types::state::{SessionState, SessionStatus, SessionSummary, ToolCallState};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Who answered a request, and how.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Answered {
    /// The client's name (`terminal pts/3`), or `policy`.
    pub by: String,
    /// The option or the words.
    pub choice: String,
}

impl std::fmt::Display for Answered {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "answered by {}", self.by)?;
        if !self.choice.is_empty() {
            write!(f, ": {}", self.choice)?;
        }
        Ok(())
    }
}

/// One entry of the agent's list of things to do.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Todo {
    /// What.
    pub content: String,
    /// How far.
    pub status: TodoStatus,
}

/// How far an entry is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TodoStatus {
    /// Not begun.
    Pending,
    /// Being done.
    InProgress,
    /// Done.
    #[serde(other)]
    Completed,
}

fn words(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        other => other.to_string(),
    }
}

fn answered(by: &Value, choice: Option<&Value>) -> Option<Answered> {
    Some(Answered {
        by: by.get("name")?.as_str()?.to_owned(),
        choice: choice.map(words).unwrap_or_default(),
    })
}

/// Who answered this request, from the session's state.
pub(crate) fn session_answer(session: &SessionState, request: &str) -> Option<Answered> {
    let entry = session
        .meta
        .as_ref()?
        .get("copilot.answers")?
        .get(request)?;
    answered(entry.get("by")?, entry.get("choice"))
}

/// Who answered the permission of this tool call.
pub(crate) fn tool_answer(call: &ToolCallState) -> Option<Answered> {
    let by = tool_meta(call)?.get("copilot.answeredBy")?;
    answered(by, by.get("choice"))
}

/// The `_meta` of a tool call in any state.
pub(crate) fn tool_meta(call: &ToolCallState) -> Option<&JsonObject> {
    match call {
        ToolCallState::Streaming(c) => c.meta.as_ref(),
        ToolCallState::PendingConfirmation(c) => c.meta.as_ref(),
        ToolCallState::Running(c) => c.meta.as_ref(),
        ToolCallState::AuthRequired(c) => c.meta.as_ref(),
        ToolCallState::PendingResultConfirmation(c) => c.meta.as_ref(),
        ToolCallState::Completed(c) => c.meta.as_ref(),
        ToolCallState::Cancelled(c) => c.meta.as_ref(),
        ToolCallState::Unknown(_) => None,
    }
}

/// A text of a `_meta` object.
pub(crate) fn text<'a>(meta: Option<&'a JsonObject>, key: &str) -> Option<&'a str> {
    meta?.get(key)?.as_str()
}

/// The agent's list of things to do.
pub(crate) fn todos(session: &SessionState) -> Vec<Todo> {
    let list = session
        .meta
        .as_ref()
        .and_then(|meta| meta.get("copilot.todos"))
        .and_then(Value::as_array);
    // An entry of a shape that is not known is left out; the rest is shown.
    list.into_iter()
        .flatten()
        .filter_map(|entry| Todo::deserialize(entry).ok())
        .collect()
}

/// Whether a cancel is under way.
pub(crate) fn cancelling(session: &SessionState) -> bool {
    session
        .meta
        .as_ref()
        .and_then(|meta| meta.get("copilot.cancelling"))
        .and_then(Value::as_bool)
        .unwrap_or(false)
}

fn closed(meta: Option<&JsonObject>) -> bool {
    meta.and_then(|meta| meta.get("copilot.closed"))
        .and_then(Value::as_bool)
        .unwrap_or(false)
}

/// Whether a listed session is closed. One that is only parked is `stored`, too,
/// and is not.
pub(crate) fn summary_closed(summary: &SessionSummary) -> bool {
    closed(summary.meta.as_ref())
}

/// Whether a mirrored session is closed.
pub(crate) fn session_closed(session: &SessionState) -> bool {
    closed(session.meta.as_ref())
}

/// How many clients are attached.
pub(crate) fn clients(session: &SessionState) -> usize {
    session
        .meta
        .as_ref()
        .and_then(|meta| meta.get("copilot.clients"))
        .and_then(Value::as_array)
        .map_or(0, Vec::len)
}

fn state(meta: Option<&JsonObject>, status: u32) -> &str {
    if let Some(state) = text(meta, "copilot.state") {
        return state;
    }
    let status = SessionStatus::from_bits(status);
    if status.contains(SessionStatus::InputNeeded) {
        "needs-answer"
    } else if status.contains(SessionStatus::InProgress) {
        "working"
    } else if status.contains(SessionStatus::Error) {
        "error"
    } else {
        "idle"
    }
}

/// The state of a session in a list, as the protocol writes it (`needs-permission`).
pub(crate) fn summary_state(summary: &SessionSummary) -> &str {
    state(summary.meta.as_ref(), summary.status)
}

/// The state of a mirrored session, as the protocol writes it.
pub(crate) fn session_state(session: &SessionState) -> &str {
    state(session.meta.as_ref(), session.status)
}

/// Whether what plan mode forbids is enforced by the system: `confined`, or `cooperative`. Absent
/// for sessions from before this was known.
pub(crate) fn confinement(meta: Option<&JsonObject>) -> Option<&str> {
    text(meta, "copilot.confinement")
}

/// Whether a session in this state waits for a person.
pub(crate) fn needs_someone(state: &str) -> bool {
    state.starts_with("needs-") || state == "plan-ready"
}

/// A state in words for people (`needs permission`).
pub(crate) fn state_words(state: &str) -> String {
    state.replace('-', " ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hosts_word_for_the_state_wins_over_the_bits() {
        let meta = serde_json::json!({"copilot.state": "needs-permission"});
        assert_eq!(state(meta.as_object(), 1), "needs-permission");
        assert_eq!(state_words("needs-permission"), "needs permission");
        let table = [
            (1, "idle"),
            (2, "error"),
            (8, "working"),
            (24, "needs-answer"),
            (24 | 32, "needs-answer"),
        ];
        for (bits, expected) in table {
            assert_eq!(state(None, bits), expected, "{bits}");
        }
    }

    #[test]
    fn only_the_hosts_word_closes_a_session() {
        let table = [
            (serde_json::json!({"copilot.closed": true}), true),
            (
                serde_json::json!({"copilot.state": "stored", "copilot.closed": false}),
                false,
            ),
            (serde_json::json!({"copilot.state": "stored"}), false),
            (serde_json::json!({"copilot.closed": "yes"}), false),
        ];
        for (meta, expected) in table {
            assert_eq!(closed(meta.as_object()), expected, "{meta}");
        }
        assert!(!closed(None));
    }

    #[test]
    fn an_answer_reads_as_a_sentence() {
        let by = serde_json::json!({"name": "terminal pts/3", "trust": "local"});
        let choice = serde_json::json!("allow-once");
        let a = answered(&by, Some(&choice)).unwrap();
        assert_eq!(a.to_string(), "answered by terminal pts/3: allow-once");
        assert_eq!(
            answered(&by, None).unwrap().to_string(),
            "answered by terminal pts/3"
        );
        assert!(answered(&serde_json::json!({}), None).is_none());
    }
}
