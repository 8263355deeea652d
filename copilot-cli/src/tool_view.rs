//! One view of a tool call in whatever state it is, for every kind of output.

use ahp_types::common::JsonObject;
use ahp_types::state::{
    FileEdit, FileEditCollection, ToolCallCancellationReason, ToolCallState, ToolInput,
    ToolResultContent,
};
use serde::Serialize;

use crate::client::Answered;
use crate::client::path_of_file_uri;

/// How far a tool call is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ToolStatus {
    /// Its input is being written.
    Preparing,
    /// It waits for a permission.
    Waiting,
    /// It runs.
    Running,
    /// It succeeded.
    Completed,
    /// It ran and failed.
    Failed,
    /// A person or a rule denied it.
    Denied,
    /// The turn ended before it did.
    Cancelled,
}

impl ToolStatus {
    /// Whether nothing more can happen to it.
    pub fn is_final(self) -> bool {
        matches!(
            self,
            Self::Completed | Self::Failed | Self::Denied | Self::Cancelled
        )
    }
}

/// A tool call as outputs need it. Its texts are untrusted.
#[derive(Debug, Clone)]
pub struct ToolView<'a> {
    /// Its id.
    pub id: &'a str,
    /// The tool's name.
    pub tool: &'a str,
    /// The tool's name for people.
    pub display: &'a str,
    /// What it does, in words.
    pub title: &'a str,
    /// How far it is.
    pub status: ToolStatus,
    /// Its input, when it is in the state itself.
    pub input: Option<&'a str>,
    /// Where its input is, when it is not.
    pub input_uri: Option<&'a str>,
    /// What it produced so far.
    pub content: &'a [ToolResultContent],
    /// Why it was denied.
    pub reason: Option<&'a str>,
    /// What a person said to do instead.
    pub suggestion: Option<&'a str>,
    /// Who answered its permission.
    pub answered: Option<Answered>,
    meta: Option<&'a JsonObject>,
}

impl<'a> ToolView<'a> {
    /// The view of this call; none for a state of a later protocol version.
    pub fn of(call: &'a ToolCallState) -> Option<Self> {
        let meta = crate::client::tool_meta(call);
        let base = |id, tool, display, title, status| Self {
            id,
            tool,
            display,
            title,
            status,
            input: inline(tool_input(call)),
            input_uri: referenced(tool_input(call)),
            content: &[],
            reason: None,
            suggestion: None,
            answered: crate::client::tool_answer(call),
            meta,
        };
        Some(match call {
            ToolCallState::Streaming(c) => {
                let title = c.invocation_message.as_ref().map_or("", |m| m.as_text());
                base(
                    &c.tool_call_id,
                    &c.tool_name,
                    &c.display_name,
                    title,
                    ToolStatus::Preparing,
                )
            }
            ToolCallState::PendingConfirmation(c) => base(
                &c.tool_call_id,
                &c.tool_name,
                &c.display_name,
                c.invocation_message.as_text(),
                ToolStatus::Waiting,
            ),
            ToolCallState::Running(c) => Self {
                content: c.content.as_deref().unwrap_or_default(),
                ..base(
                    &c.tool_call_id,
                    &c.tool_name,
                    &c.display_name,
                    c.invocation_message.as_text(),
                    ToolStatus::Running,
                )
            },
            ToolCallState::AuthRequired(c) => Self {
                content: c.content.as_deref().unwrap_or_default(),
                ..base(
                    &c.tool_call_id,
                    &c.tool_name,
                    &c.display_name,
                    c.invocation_message.as_text(),
                    ToolStatus::Waiting,
                )
            },
            ToolCallState::PendingResultConfirmation(c) => Self {
                content: c.content.as_deref().unwrap_or_default(),
                ..base(
                    &c.tool_call_id,
                    &c.tool_name,
                    &c.display_name,
                    c.invocation_message.as_text(),
                    ToolStatus::Waiting,
                )
            },
            ToolCallState::Completed(c) => Self {
                content: c.content.as_deref().unwrap_or_default(),
                ..base(
                    &c.tool_call_id,
                    &c.tool_name,
                    &c.display_name,
                    c.invocation_message.as_text(),
                    if c.success {
                        ToolStatus::Completed
                    } else {
                        ToolStatus::Failed
                    },
                )
            },
            ToolCallState::Cancelled(c) => Self {
                reason: c.reason_message.as_ref().map(|m| m.as_text()),
                suggestion: c.user_suggestion.as_ref().map(|m| m.text.as_str()),
                ..base(
                    &c.tool_call_id,
                    &c.tool_name,
                    &c.display_name,
                    c.invocation_message.as_text(),
                    match c.reason {
                        ToolCallCancellationReason::Denied
                        | ToolCallCancellationReason::ResultDenied => ToolStatus::Denied,
                        ToolCallCancellationReason::Skipped => ToolStatus::Cancelled,
                    },
                )
            },
            ToolCallState::Unknown(_) => return None,
        })
    }

    /// The kind of tool that the agent announced (`read`, `edit`, `execute`, …).
    pub fn kind(&self) -> &str {
        self.meta
            .and_then(|meta| meta.get("copilot.kind"))
            .and_then(|kind| kind.as_str())
            .unwrap_or("other")
    }

    /// Whether a rule, not a person, denied it.
    pub fn denied_by_rule(&self) -> bool {
        self.status == ToolStatus::Denied
            && self.answered.as_ref().is_some_and(|a| a.by == "policy")
    }

    /// The text that it produced: what the command printed, when the whole of it is
    /// here, else what the agent was told.
    pub fn text(&self) -> String {
        let printed: Option<String> = self
            .content
            .iter()
            .filter_map(|content| match content {
                ToolResultContent::Terminal(t) => t.result.as_ref(),
                _ => None,
            })
            .map(|result| match result.truncated {
                Some(true) => None,
                _ => result.preview.clone(),
            })
            .collect();
        if let Some(printed) = printed.filter(|text| !text.is_empty()) {
            return printed;
        }
        let told: Vec<&str> = self
            .content
            .iter()
            .filter_map(|content| match content {
                ToolResultContent::Text(t) => Some(t.text.as_str()),
                _ => None,
            })
            .collect();
        told.join("\n")
    }

    /// The exit code of the command that it ran, when it was not 0.
    pub fn exit_code(&self) -> Option<i64> {
        self.content.iter().find_map(|content| match content {
            ToolResultContent::Terminal(t) => t.result.as_ref()?.exit_code.filter(|c| *c != 0),
            _ => None,
        })
    }

    /// The terminal that it writes to while it runs.
    pub fn terminal(&self) -> Option<&'a str> {
        self.content.iter().find_map(|content| match content {
            ToolResultContent::Terminal(t) => Some(t.resource.as_str()),
            _ => None,
        })
    }

    /// The files that it changed.
    pub fn edits(&self) -> Vec<Edit> {
        self.content
            .iter()
            .filter_map(|content| match content {
                ToolResultContent::FileEdit(e) => Some(Edit::new(
                    e.before.as_ref().map(|s| (&s.uri, &s.content.uri)),
                    e.after.as_ref().map(|s| (&s.uri, &s.content.uri)),
                )),
                _ => None,
            })
            .collect()
    }
}

fn tool_input(call: &ToolCallState) -> Option<&ToolInput> {
    match call {
        ToolCallState::PendingConfirmation(c) => c.tool_input.as_ref(),
        ToolCallState::Running(c) => c.tool_input.as_ref(),
        ToolCallState::AuthRequired(c) => c.tool_input.as_ref(),
        ToolCallState::PendingResultConfirmation(c) => c.tool_input.as_ref(),
        ToolCallState::Completed(c) => c.tool_input.as_ref(),
        ToolCallState::Cancelled(c) => c.tool_input.as_ref(),
        ToolCallState::Streaming(_) | ToolCallState::Unknown(_) => None,
    }
}

fn referenced(input: Option<&ToolInput>) -> Option<&str> {
    match input {
        Some(ToolInput::ContentRef(content)) => Some(&content.uri),
        _ => None,
    }
}

fn inline(input: Option<&ToolInput>) -> Option<&str> {
    match input {
        Some(ToolInput::Inline(text)) => Some(text),
        _ => None,
    }
}

/// A change of one file, by reference to its two sides.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Edit {
    /// The file, as a path where it is one. Untrusted.
    pub path: String,
    /// Where the content before is; none for a new file.
    pub before: Option<String>,
    /// Where the content after is; none for a deleted file.
    pub after: Option<String>,
}

impl Edit {
    fn new(before: Option<(&String, &String)>, after: Option<(&String, &String)>) -> Self {
        let file = after
            .or(before)
            .map(|(file, _)| file.as_str())
            .unwrap_or_default();
        Self {
            path: path_of_file_uri(file)
                .map(|path| path.display().to_string())
                .unwrap_or_else(|| file.to_owned()),
            before: before.map(|(_, content)| content.clone()),
            after: after.map(|(_, content)| content.clone()),
        }
    }

    /// The changes that a permission would allow.
    pub fn proposed(edits: Option<&FileEditCollection>) -> Vec<Self> {
        let items: &[FileEdit] = edits.map(|e| e.items.as_slice()).unwrap_or_default();
        items
            .iter()
            .map(|e| {
                Self::new(
                    e.before.as_ref().map(|s| (&s.uri, &s.content.uri)),
                    e.after.as_ref().map(|s| (&s.uri, &s.content.uri)),
                )
            })
            .collect()
    }

    /// The contents that are needed to show it.
    pub fn contents(&self) -> impl Iterator<Item = &str> {
        self.before
            .as_deref()
            .into_iter()
            .chain(self.after.as_deref())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn call(value: serde_json::Value) -> ToolCallState {
        let call: ToolCallState = serde_json::from_value(value).unwrap();
        assert!(!matches!(call, ToolCallState::Unknown(_)), "{call:?}");
        call
    }

    #[test]
    fn a_rule_and_a_person_deny_differently() {
        let denied = |name: &str| {
            call(
                json!({"status": "cancelled", "toolCallId": "c", "toolName": "shell", "displayName": "Shell",
                "invocationMessage": "rm", "reason": "denied", "reasonMessage": "no rule allows it",
                "_meta": {"copilot.answeredBy": {"name": name, "trust": "local", "choice": "deny"}, "copilot.kind": "execute"}}),
            )
        };
        let by_rule = denied("policy");
        let view = ToolView::of(&by_rule).unwrap();
        assert!(view.denied_by_rule());
        assert_eq!(
            (view.status, view.kind(), view.reason),
            (ToolStatus::Denied, "execute", Some("no rule allows it"))
        );
        assert!(
            !ToolView::of(&denied("terminal pts/1"))
                .unwrap()
                .denied_by_rule()
        );
    }

    #[test]
    fn output_is_said_once_and_edits_are_found() {
        let done = call(
            json!({"status": "completed", "toolCallId": "c", "toolName": "edit", "displayName": "Edit",
            "invocationMessage": "edit a", "pastTenseMessage": "edited a", "success": false, "confirmed": "user-action",
            "content": [
                {"type": "text", "text": "out\n[exit code 2]"},
                {"type": "terminal", "resource": "ahp-terminal:/s/c", "title": "x", "result": {"exitCode": 2, "preview": "out\n"}},
                {"type": "fileEdit", "before": {"uri": "file:///a%20b", "content": {"uri": "copilot-content:/s/1"}},
                 "after": {"uri": "file:///a%20b", "content": {"uri": "copilot-content:/s/2"}}}]}),
        );
        let view = ToolView::of(&done).unwrap();
        assert_eq!(view.text(), "out\n");
        assert_eq!(view.exit_code(), Some(2));
        assert_eq!(view.status, ToolStatus::Failed);
        let edits = view.edits();
        assert_eq!(edits[0].path, "/a b");
        assert_eq!(
            edits[0].contents().collect::<Vec<_>>(),
            ["copilot-content:/s/1", "copilot-content:/s/2"]
        );
    }
}
