//! Live output of shell tool calls: a capped channel for whoever watches, everything on disk.

use std::collections::HashMap;

use ahp::reducers::apply_action_to_terminal;
use ahp_types::actions::*;
use ahp_types::state::*;

use super::state::Model;
use crate::agent::translate::Contents;
use crate::content::{ContentStore, ContentUri, OutputFile};
use crate::uri;

/// A terminal channel is cleared when it has grown to this.
const MAX_BYTES: usize = 128 * 1024;
/// What is left after clearing.
const KEPT_BYTES: usize = 32 * 1024;
/// How much of the end is kept in the tool call's result.
const PREVIEW_BYTES: usize = 2 * 1024;

struct Terminal {
    state: TerminalState,
    bytes: usize,
    total_bytes: u64,
    output: Option<OutputFile>,
    /// Whether the file takes no more of it.
    cut: bool,
}

/// The terminals of the running turn, by tool call id.
#[derive(Default)]
pub(super) struct Terminals {
    open: HashMap<String, Terminal>,
}

/// The channel of a tool call's live output.
pub(super) fn terminal_uri(session: &str, call: &str) -> String {
    format!("ahp-terminal:/{session}/{}", uri::segment(call))
}

impl Terminals {
    /// The state behind a channel of this session.
    pub(super) fn state(&self, session: &str, channel: &str) -> Option<&TerminalState> {
        self.open
            .iter()
            .find(|(call, _)| terminal_uri(session, call) == channel)
            .map(|(_, t)| &t.state)
    }

    /// Opens the terminal of a tool call.
    pub(super) fn open(&mut self, model: &Model, turn_id: &str, call: &str, title: String) {
        let claim = TerminalSessionClaim {
            session: model.session_uri.clone(),
            chat: model.chat_uri.clone(),
            turn_id: Some(turn_id.to_owned()),
            tool_call_id: Some(call.to_owned()),
        };
        let state = TerminalState {
            title,
            cwd: None,
            cols: None,
            rows: None,
            content: Vec::new(),
            lifecycle: TerminalLifecycleState::Running(TerminalRunningLifecycleState {}),
            claim: TerminalClaim::Session(claim),
            supports_command_detection: None,
            is_pty: Some(false),
        };
        let output = model.shared.contents.output(&model.id, call);
        let output = output
            .inspect_err(|error| tracing::error!(%error, "output cannot be kept"))
            .ok();
        model.shared.sequencer.open(&terminal_uri(&model.id, call));
        self.open.insert(
            call.to_owned(),
            Terminal {
                state,
                bytes: 0,
                total_bytes: 0,
                cut: false,
                output,
            },
        );
    }

    /// Appends live output: to the file in full, to the channel within its cap. Gives a sentence
    /// for people when the file takes no more from here on.
    pub(super) fn data(&mut self, model: &Model, call: &str, data: &str) -> Option<String> {
        let terminal = self.open.get_mut(call)?;
        let loss = terminal.keep(data);
        terminal.total_bytes += data.len() as u64;
        let uri = terminal_uri(&model.id, call);
        let shown = tail(data, MAX_BYTES);
        if terminal.bytes + shown.len() > MAX_BYTES {
            let mut kept =
                tail(&terminal.text(), KEPT_BYTES.saturating_sub(shown.len())).to_owned();
            kept.push_str(tail(shown, KEPT_BYTES));
            terminal.publish(
                model,
                &uri,
                StateAction::TerminalCleared(TerminalClearedAction {}),
            );
            terminal.bytes = kept.len();
            terminal.publish(
                model,
                &uri,
                StateAction::TerminalData(TerminalDataAction { data: kept }),
            );
        } else {
            terminal.bytes += shown.len();
            terminal.publish(
                model,
                &uri,
                StateAction::TerminalData(TerminalDataAction {
                    data: shown.to_owned(),
                }),
            );
        }
        loss
    }

    /// The command ended.
    pub(super) fn exited(&mut self, model: &Model, call: &str, exit_code: Option<i64>) {
        if let Some(terminal) = self.open.get_mut(call) {
            if let Some(output) = &mut terminal.output {
                output.rest();
            }
            let uri = terminal_uri(&model.id, call);
            terminal.publish(
                model,
                &uri,
                StateAction::TerminalExited(TerminalExitedAction { exit_code }),
            );
        }
    }

    /// The end of the output, and whether that is not all of it.
    fn preview(&self, call: &str) -> Option<(String, bool)> {
        let terminal = self.open.get(call)?;
        let text = terminal.text();
        let preview = tail(&text, PREVIEW_BYTES);
        Some((
            preview.to_owned(),
            (preview.len() as u64) < terminal.total_bytes,
        ))
    }

    /// Closes all channels: the turn is over.
    pub(super) fn close_all(&mut self, model: &Model) {
        for (call, _) in self.open.drain() {
            model
                .shared
                .sequencer
                .close(&terminal_uri(&model.id, &call));
        }
    }
}

impl Terminal {
    /// Appends to the file while it takes it. A file with a gap would be worse than a shorter one,
    /// so nothing comes after the first failure.
    fn keep(&mut self, data: &str) -> Option<String> {
        if self.cut {
            return None;
        }
        let Some(output) = &mut self.output else {
            self.cut = true;
            return Some("The output of this command cannot be kept; the log says why.".into());
        };
        let why = match output.append(data.as_bytes()) {
            Ok(kept) if kept == data.len() => return None,
            Ok(_) => "it is longer than what is kept of one command".to_owned(),
            Err(error) => {
                tracing::error!(%error, "output cannot be kept");
                error.to_string()
            }
        };
        self.cut = true;
        let kept = output.len();
        Some(format!(
            "The rest of this command's output is not kept ({why}); its first {kept} bytes are."
        ))
    }

    fn publish(&mut self, model: &Model, uri: &str, action: StateAction) {
        apply_action_to_terminal(&mut self.state, &action);
        model.shared.sequencer.publish(uri, &action, None);
    }

    fn text(&self) -> String {
        let parts = self.state.content.iter().map(|part| match part {
            TerminalContentPart::Unclassified(p) => p.value.as_str(),
            TerminalContentPart::Command(p) => p.output.as_str(),
            _ => "",
        });
        parts.collect()
    }
}

/// The last `limit` bytes of a text, at a character boundary.
fn tail(text: &str, limit: usize) -> &str {
    let mut start = text.len().saturating_sub(limit);
    while !text.is_char_boundary(start) {
        start += 1;
    }
    &text[start..]
}

/// The content of one session, as the translation of agent updates needs it.
pub(super) struct SessionContents<'a> {
    pub(super) id: &'a str,
    pub(super) store: &'a ContentStore,
    pub(super) terminals: &'a Terminals,
}

impl Contents for SessionContents<'_> {
    fn put(&mut self, bytes: &[u8], content_type: &str) -> Option<ContentRef> {
        let kept = self.store.put(self.id, bytes);
        let id = kept
            .inspect_err(|error| tracing::error!(%error, "content cannot be kept"))
            .ok()?;
        Some(ContentRef {
            uri: ContentUri::Content {
                session: self.id.to_owned(),
                sha256: id.sha256,
                range: None,
            }
            .to_string(),
            size_hint: i64::try_from(bytes.len()).ok(),
            content_type: Some(content_type.to_owned()),
            nonce: None,
        })
    }

    fn output(&self, call: &str) -> Option<ContentRef> {
        let kept = self.terminals.open.get(call)?.output.as_ref()?.len();
        Some(ContentRef {
            uri: ContentUri::Output {
                session: self.id.to_owned(),
                tool_call_id: call.to_owned(),
                range: None,
            }
            .to_string(),
            size_hint: i64::try_from(kept).ok(),
            content_type: Some("text/plain".into()),
            nonce: None,
        })
    }

    fn terminal(&self, call: &str) -> String {
        terminal_uri(self.id, call)
    }

    fn preview(&self, call: &str) -> Option<(String, bool)> {
        self.terminals.preview(call)
    }
}
