//! What happens in a session as a stream of events, for scripts and for `-p`.
//!
//! Derived from the mirrored state and not from single actions, so that a reconnect
//! loses nothing and says nothing twice. The JSON that comes of it is a public
//! interface: fields and types are only ever added.

use std::collections::HashMap;

use ahp_types::state::{ChatState, ResponsePart, ToolCallState, TurnState};
use serde::Serialize;
use serde_json::Value;

use crate::client::{Answered, Mirror};
use crate::tool_view::{ToolStatus, ToolView};
use crate::turn_view::TurnView;

/// One line of `--output-format json` and of `attach --json`.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum SessionEvent {
    /// The session that the following lines are about.
    Session {
        /// Its id.
        session: String,
        /// Its title.
        title: String,
        /// Its state, as in the protocol (`needs-permission`).
        state: String,
    },
    /// The session's state changed.
    State {
        /// As in the protocol.
        state: String,
    },
    /// A turn began.
    Turn {
        /// Its id.
        turn: String,
        /// What the person asked.
        prompt: String,
    },
    /// An interrupted turn goes on; what was said of it is not said again.
    Continued {
        /// Its id.
        turn: String,
    },
    /// More of the answer.
    Text {
        /// The turn.
        turn: String,
        /// What is added, in Markdown.
        text: String,
    },
    /// More of the agent's reasoning.
    Reasoning {
        /// The turn.
        turn: String,
        /// What is added.
        text: String,
    },
    /// A tool call began.
    ToolCall {
        /// The turn.
        turn: String,
        /// The call's id.
        id: String,
        /// The tool's name.
        tool: String,
        /// What it does.
        title: String,
        /// Its input: the command, the path, the URL or JSON.
        #[serde(skip_serializing_if = "Option::is_none")]
        input: Option<String>,
    },
    /// A tool call ended.
    ToolResult {
        /// The turn.
        turn: String,
        /// The call's id.
        id: String,
        /// The tool's name.
        tool: String,
        /// How it ended.
        status: ToolStatus,
        /// What it printed.
        #[serde(skip_serializing_if = "String::is_empty")]
        text: String,
        /// The files that it changed.
        #[serde(skip_serializing_if = "Vec::is_empty")]
        files: Vec<String>,
        /// Why it was denied.
        #[serde(skip_serializing_if = "Option::is_none")]
        reason: Option<String>,
        /// Who allowed or denied it.
        #[serde(skip_serializing_if = "Option::is_none")]
        answered: Option<Answered>,
    },
    /// A tool call waits for a permission.
    Permission {
        /// The turn.
        turn: String,
        /// The request's id for `copilot answer`.
        id: String,
        /// What is asked.
        title: String,
        /// The command, the path, the URL or JSON.
        #[serde(skip_serializing_if = "Option::is_none")]
        input: Option<String>,
        /// The choices.
        options: Vec<Choice>,
    },
    /// A question waits for an answer.
    Question {
        /// The turn.
        turn: String,
        /// The request's id for `copilot answer`.
        id: String,
        /// What is asked.
        #[serde(skip_serializing_if = "Option::is_none")]
        message: Option<String>,
        /// The questions, as AHP writes them.
        questions: Value,
    },
    /// A question was answered.
    Answered {
        /// The request's id.
        id: String,
        /// `accept`, `decline` or `cancel`.
        response: Value,
        /// By whom and how.
        #[serde(skip_serializing_if = "Option::is_none")]
        answered: Option<Answered>,
    },
    /// Something that the host has to say.
    Notice {
        /// The turn.
        turn: String,
        /// The words.
        text: String,
    },
    /// The turn failed.
    Error {
        /// The turn.
        turn: String,
        /// What kind of failure (`auth`, `unknown-model`, …).
        kind: String,
        /// What failed.
        message: String,
        /// What to do next.
        #[serde(skip_serializing_if = "Option::is_none")]
        hint: Option<String>,
    },
    /// A turn ended. A turn that is continued after that ends once more.
    Result {
        /// The turn.
        turn: String,
        /// `complete`, `cancelled` or `error`.
        state: TurnState,
        /// How long it took, in milliseconds.
        #[serde(skip_serializing_if = "Option::is_none")]
        duration_ms: Option<i64>,
        /// Tokens that went to the model.
        #[serde(skip_serializing_if = "Option::is_none")]
        input_tokens: Option<i64>,
        /// Tokens that came from it.
        #[serde(skip_serializing_if = "Option::is_none")]
        output_tokens: Option<i64>,
        /// The model.
        #[serde(skip_serializing_if = "Option::is_none")]
        model: Option<String>,
        /// How many tool calls a rule denied.
        denied: usize,
        /// The whole answer, in Markdown.
        text: String,
    },
    /// The stream ends.
    End {
        /// `detached` or `ended`.
        reason: EndReason,
    },
}

/// A choice of a permission.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Choice {
    /// What `copilot answer` takes.
    pub id: String,
    /// What people read.
    pub label: String,
}

/// Why an attached client stops.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum EndReason {
    /// This client left; the session goes on.
    Detached,
    /// The session was closed or deleted.
    Ended,
}

/// What a turn's error says and what it advises: the first line of the message,
/// and what follows it.
pub fn error_words(error: &ahp_types::state::ErrorInfo) -> (&str, Option<&str>) {
    let (message, hint) = match error.message.split_once('\n') {
        Some((message, hint)) => (message.trim(), Some(hint.trim())),
        None => (error.message.trim(), None),
    };
    let message = if message.is_empty() {
        &error.error_type
    } else {
        message
    };
    (message, hint.filter(|hint| !hint.is_empty()))
}

#[derive(Debug, Default)]
struct Part {
    bytes: usize,
    announced: bool,
    asked: bool,
    done: bool,
}

#[derive(Debug, Default)]
struct Progress {
    started: bool,
    ended: bool,
    denied: usize,
    parts: Vec<Part>,
    /// How many parts it had when it ended, for the case that it is continued.
    ended_with: usize,
}

impl Progress {
    /// Takes the turn as said up to here.
    fn end(&mut self, parts: usize) {
        self.ended = true;
        self.ended_with = parts;
        self.parts = Vec::new();
    }

    /// Goes on with a turn that had ended.
    fn reopen(&mut self) {
        self.ended = false;
        self.parts.resize_with(self.ended_with, || Part {
            bytes: usize::MAX,
            announced: true,
            asked: true,
            done: true,
        });
    }
}

/// Remembers what was said of each turn.
#[derive(Debug, Default)]
pub struct Follower {
    turns: HashMap<String, Progress>,
    state: String,
}

impl Follower {
    /// Takes the turns that are finished now as said.
    pub fn skip_finished(&mut self, chat: &ChatState) {
        for turn in &chat.turns {
            let progress = self.turns.entry(turn.id.clone()).or_default();
            progress.started = true;
            progress.end(turn.response_parts.len());
        }
    }

    /// What is new since the last call.
    pub fn advance(&mut self, mirror: &Mirror) -> Vec<SessionEvent> {
        let mut out = Vec::new();
        if let Some(chat) = mirror.chat() {
            for turn in &chat.turns {
                // It may have been continued and ended while nobody looked.
                let said = |p: &Progress| p.ended && p.ended_with >= turn.response_parts.len();
                if !self.turns.get(&turn.id).is_some_and(said) {
                    self.turn(&TurnView::from(turn), mirror, &mut out);
                }
            }
            if let Some(turn) = &chat.active_turn {
                self.turn(&TurnView::from(turn), mirror, &mut out);
            }
        }
        if self.state != mirror.state() {
            if !self.state.is_empty() {
                out.push(SessionEvent::State {
                    state: mirror.state().to_owned(),
                });
            }
            self.state = mirror.state().to_owned();
        }
        out
    }

    fn turn(&mut self, turn: &TurnView<'_>, mirror: &Mirror, out: &mut Vec<SessionEvent>) {
        let progress = self.turns.entry(turn.id.to_owned()).or_default();
        if !progress.started {
            progress.started = true;
            out.push(SessionEvent::Turn {
                turn: turn.id.to_owned(),
                prompt: turn.message.text.clone(),
            });
        }
        if progress.ended {
            progress.reopen();
            out.push(SessionEvent::Continued {
                turn: turn.id.to_owned(),
            });
        }
        progress
            .parts
            .resize_with(turn.parts.len().max(progress.parts.len()), Part::default);
        for (part, seen) in turn.parts.iter().zip(&mut progress.parts) {
            part_events(turn.id, part, seen, mirror, &mut progress.denied, out);
        }
        if let Some((state, duration_ms)) = turn.end {
            progress.end(turn.parts.len());
            out.push(SessionEvent::Result {
                turn: turn.id.to_owned(),
                state,
                duration_ms,
                input_tokens: turn.usage.and_then(|u| u.input_tokens),
                output_tokens: turn.usage.and_then(|u| u.output_tokens),
                model: turn.usage.and_then(|u| u.model.clone()),
                denied: progress.denied,
                text: answer(turn.parts),
            });
        }
    }
}

fn part_events(
    turn: &str,
    part: &ResponsePart,
    seen: &mut Part,
    mirror: &Mirror,
    denied: &mut usize,
    out: &mut Vec<SessionEvent>,
) {
    let turn = turn.to_owned();
    match part {
        ResponsePart::Markdown(p) => {
            if let Some(text) = rest(&p.content, &mut seen.bytes) {
                out.push(SessionEvent::Text { turn, text });
            }
        }
        ResponsePart::Reasoning(p) => {
            if let Some(text) = rest(&p.content, &mut seen.bytes) {
                out.push(SessionEvent::Reasoning { turn, text });
            }
        }
        ResponsePart::ToolCall(p) => tool_events(&turn, &p.tool_call, seen, denied, out),
        ResponsePart::InputRequest(p) => {
            if !seen.asked {
                seen.asked = true;
                out.push(SessionEvent::Question {
                    turn,
                    id: p.request.id.clone(),
                    message: p.request.message.clone(),
                    questions: serde_json::to_value(&p.request.questions).unwrap_or_default(),
                });
            }
            if let Some(response) = p.response
                && !seen.done
            {
                seen.done = true;
                out.push(SessionEvent::Answered {
                    id: p.request.id.clone(),
                    response: serde_json::to_value(response).unwrap_or_default(),
                    answered: mirror.answer(&p.request.id),
                });
            }
        }
        ResponsePart::SystemNotification(p) if !seen.done => {
            seen.done = true;
            out.push(SessionEvent::Notice {
                turn,
                text: p.content.as_text().to_owned(),
            });
        }
        ResponsePart::Error(p) if !seen.done => {
            seen.done = true;
            let (message, hint) = error_words(&p.error);
            out.push(SessionEvent::Error {
                turn,
                kind: p.error.error_type.clone(),
                message: message.to_owned(),
                hint: hint.map(str::to_owned),
            });
        }
        _ => {}
    }
}

fn tool_events(
    turn: &str,
    call: &ToolCallState,
    seen: &mut Part,
    denied: &mut usize,
    out: &mut Vec<SessionEvent>,
) {
    let Some(view) = ToolView::of(call) else {
        return;
    };
    if view.status == ToolStatus::Preparing {
        return;
    }
    if !seen.announced {
        seen.announced = true;
        out.push(SessionEvent::ToolCall {
            turn: turn.to_owned(),
            id: view.id.to_owned(),
            tool: view.tool.to_owned(),
            title: view.title.to_owned(),
            input: view.input.map(str::to_owned),
        });
    }
    if let ToolCallState::PendingConfirmation(pending) = call
        && !seen.asked
    {
        seen.asked = true;
        let title = pending.confirmation_title.as_ref();
        out.push(SessionEvent::Permission {
            turn: turn.to_owned(),
            id: view.id.to_owned(),
            title: title.map_or(view.title, |t| t.as_text()).to_owned(),
            input: view.input.map(str::to_owned),
            options: pending
                .options
                .iter()
                .flatten()
                .map(|o| Choice {
                    id: o.id.clone(),
                    label: o.label.clone(),
                })
                .collect(),
        });
    }
    if view.status.is_final() && !seen.done {
        seen.done = true;
        *denied += usize::from(view.denied_by_rule());
        out.push(SessionEvent::ToolResult {
            turn: turn.to_owned(),
            id: view.id.to_owned(),
            tool: view.tool.to_owned(),
            status: view.status,
            text: view.text(),
            files: view.edits().into_iter().map(|e| e.path).collect(),
            reason: view.reason.map(str::to_owned),
            answered: view.answered,
        });
    }
}

/// The texts of a turn, as paragraphs of one answer.
fn answer(parts: &[ResponsePart]) -> String {
    let texts = parts.iter().filter_map(|part| match part {
        ResponsePart::Markdown(part) => Some(part.content.trim()),
        _ => None,
    });
    texts
        .filter(|text| !text.is_empty())
        .collect::<Vec<_>>()
        .join("\n\n")
}

/// What of `text` was not said yet.
fn rest(text: &str, said: &mut usize) -> Option<String> {
    let rest = text
        .get(*said..)
        .filter(|rest| !rest.is_empty())?
        .to_owned();
    *said = text.len();
    Some(rest)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::client::mirror_tests::{CHAT, envelope, interrupted, mirror};

    fn types(events: &[SessionEvent]) -> Vec<String> {
        events
            .iter()
            .map(|e| {
                serde_json::to_value(e).unwrap()["type"]
                    .as_str()
                    .unwrap()
                    .to_owned()
            })
            .collect()
    }

    #[test]
    fn a_turn_is_told_once_and_in_order() {
        let mut mirror = mirror();
        let mut follower = Follower::default();
        assert!(follower.advance(&mirror).is_empty());
        let steps = [
            (
                json!({"type": "chat/turnStarted", "turnId": "t", "startedAt": "2025-01-01T00:00:00.000Z",
                    "message": {"text": "hi", "origin": {"kind": "user"}}}),
                vec!["turn"],
            ),
            (
                json!({"type": "chat/responsePart", "turnId": "t", "part": {"kind": "markdown", "id": "p", "content": "He"}}),
                vec!["text"],
            ),
            (
                json!({"type": "chat/delta", "turnId": "t", "partId": "p", "content": "llo"}),
                vec!["text"],
            ),
            (
                json!({"type": "chat/toolCallStart", "turnId": "t", "toolCallId": "c", "toolName": "shell", "displayName": "Shell"}),
                vec![],
            ),
            (
                json!({"type": "chat/toolCallReady", "turnId": "t", "toolCallId": "c", "invocationMessage": "rm x", "toolInput": "rm x",
                    "options": [{"id": "deny", "label": "Deny", "kind": "deny"}]}),
                vec!["tool_call", "permission"],
            ),
            (
                json!({"type": "chat/toolCallConfirmed", "turnId": "t", "toolCallId": "c", "approved": false, "reason": "denied",
                    "_meta": {"copilot.answeredBy": {"name": "policy", "choice": "deny"}}}),
                vec!["tool_result"],
            ),
            (
                json!({"type": "chat/turnComplete", "turnId": "t", "duration": 5}),
                vec!["result"],
            ),
        ];
        for (i, (action, expected)) in steps.into_iter().enumerate() {
            mirror.apply(&envelope(CHAT, 11 + i as u64, action.clone()));
            let events = follower.advance(&mirror);
            assert_eq!(types(&events), expected, "{action}");
            if i == 2 {
                assert_eq!(
                    events[0],
                    SessionEvent::Text {
                        turn: "t".into(),
                        text: "llo".into()
                    }
                );
            }
            if i == 6 {
                assert!(matches!(
                    events[0],
                    SessionEvent::Result {
                        denied: 1,
                        state: TurnState::Complete,
                        ref text,
                        ..
                    } if text == "Hello"
                ));
            }
        }
        assert!(follower.advance(&mirror).is_empty());
    }

    #[test]
    fn a_continued_turn_is_not_told_again() {
        let mut mirror = mirror();
        let mut follower = Follower::default();
        let start = json!({"type": "chat/turnStarted", "turnId": "t", "startedAt": "2025-01-01T00:00:00.000Z",
            "message": {"text": "hi", "origin": {"kind": "user"}}});
        let part = |id: &str, text: &str| {
            json!({"type": "chat/responsePart", "turnId": "t",
                "part": {"kind": "markdown", "id": id, "content": text}})
        };
        let steps = [
            (start, vec!["turn"]),
            (part("p", "half"), vec!["text"]),
            (interrupted("t"), vec!["error", "result"]),
            (
                json!({"type": "chat/turnResume", "turnId": "t"}),
                vec!["continued"],
            ),
            (part("q", "the rest"), vec!["text"]),
            (
                json!({"type": "chat/turnComplete", "turnId": "t", "duration": 5}),
                vec!["result"],
            ),
        ];
        let mut late = Follower::default();
        for (seq, (action, expected)) in (11..).zip(steps) {
            mirror.apply(&envelope(CHAT, seq, action.clone()));
            assert_eq!(types(&follower.advance(&mirror)), expected, "{action}");
            if seq == 13 {
                late.skip_finished(mirror.chat().unwrap());
            }
        }
        let missed = late.advance(&mirror);
        assert_eq!(types(&missed), ["continued", "text", "result"]);
        assert!(late.advance(&mirror).is_empty());
    }

    #[test]
    fn the_json_of_a_line_is_stable() {
        let line = SessionEvent::ToolResult {
            turn: "t".into(),
            id: "c".into(),
            tool: "shell".into(),
            status: ToolStatus::Denied,
            text: String::new(),
            files: vec![],
            reason: Some("no rule".into()),
            answered: Some(Answered {
                by: "policy".into(),
                choice: "deny".into(),
            }),
        };
        assert_eq!(
            serde_json::to_string(&line).unwrap(),
            r#"{"type":"tool_result","turn":"t","id":"c","tool":"shell","status":"denied","reason":"no rule","answered":{"by":"policy","choice":"deny"}}"#
        );
        let end = SessionEvent::End {
            reason: EndReason::Detached,
        };
        assert_eq!(
            serde_json::to_string(&end).unwrap(),
            r#"{"type":"end","reason":"detached"}"#
        );
    }
}
