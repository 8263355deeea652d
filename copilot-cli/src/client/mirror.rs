//! The mirrored state of one session: what the host published, and nothing else.
//!
//! Snapshots replace, actions go through the reducers of the `ahp` crate.
//! A rejected action, or one that a snapshot already contains, changes nothing.

use std::collections::HashMap;

use ahp::reducers::{
    ReduceOutcome, apply_action_to_chat, apply_action_to_session, apply_action_to_terminal,
};
use ahp_types::actions::{ActionEnvelope, StateAction};
use ahp_types::state::{
    ChatState, ResponsePart, SessionState, Snapshot, SnapshotState, TerminalContentPart,
    TerminalState, ToolCallState, ToolResultContent, TurnState,
};

use super::Answered;
use super::meta::{session_answer, tool_answer};
use crate::tool_view::ToolView;

/// The session, its chat, and the terminals that were subscribed to.
#[derive(Debug, Clone)]
pub struct Mirror {
    session_uri: String,
    chat_uri: String,
    session: Option<SessionState>,
    chat: Option<ChatState>,
    terminals: HashMap<String, TerminalState>,
    /// Per channel: actions up to this number are in the state.
    applied: HashMap<String, u64>,
    /// The highest number seen on any channel, for a reconnect.
    last_seq: u64,
}

impl Mirror {
    /// An empty mirror of this session.
    pub fn new(session_uri: &str) -> Self {
        Self {
            session_uri: session_uri.to_owned(),
            chat_uri: super::chat_uri(session_uri),
            session: None,
            chat: None,
            terminals: HashMap::new(),
            applied: HashMap::new(),
            last_seq: 0,
        }
    }

    /// The session's channel.
    pub fn session_uri(&self) -> &str {
        &self.session_uri
    }

    /// The chat's channel.
    pub fn chat_uri(&self) -> &str {
        &self.chat_uri
    }

    /// The session, once its snapshot is here.
    pub fn session(&self) -> Option<&SessionState> {
        self.session.as_ref()
    }

    /// The chat, once its snapshot is here.
    pub fn chat(&self) -> Option<&ChatState> {
        self.chat.as_ref()
    }

    /// The highest sequence number seen.
    pub fn last_seq(&self) -> u64 {
        self.last_seq
    }

    /// The session's state as the protocol writes it (`needs-permission`).
    pub fn state(&self) -> &str {
        self.session
            .as_ref()
            .map_or("starting", super::meta::session_state)
    }

    /// Who answered the request with this id, as far as the state knows: for the
    /// newest requests the session does, for a permission also its tool call.
    pub fn answer(&self, request: &str) -> Option<Answered> {
        let named = self
            .session
            .as_ref()
            .and_then(|session| session_answer(session, request));
        named.or_else(|| {
            let chat = self.chat.as_ref()?;
            let active = chat.active_turn.as_ref().map(|t| &t.response_parts);
            let last = chat.turns.last().map(|t| &t.response_parts);
            active
                .into_iter()
                .chain(last)
                .flatten()
                .filter_map(|part| match part {
                    ResponsePart::ToolCall(part) => Some(&part.tool_call),
                    _ => None,
                })
                .find(|call| ToolView::of(call).is_some_and(|view| view.id == request))
                .and_then(tool_answer)
        })
    }

    /// The id of the turn that is running.
    pub fn active_turn(&self) -> Option<&str> {
        Some(self.chat.as_ref()?.active_turn.as_ref()?.id.as_str())
    }

    /// Whether the session is closed; one that is only parked is not.
    pub fn closed(&self) -> bool {
        self.session
            .as_ref()
            .is_some_and(super::meta::session_closed)
    }

    /// The turn that was interrupted and can be continued: the last one, while no
    /// other runs, if the host says so of its error.
    pub fn interrupted_turn(&self) -> Option<&str> {
        let chat = self.chat.as_ref()?;
        let last = chat.turns.last().filter(|_| chat.active_turn.is_none())?;
        let resumable = match last.response_parts.last()? {
            ResponsePart::Error(part) => part.resumable == Some(true),
            _ => false,
        };
        (last.state == TurnState::Error && resumable).then_some(last.id.as_str())
    }

    /// What a subscribed terminal shows, as one text.
    pub fn terminal_text(&self, uri: &str) -> Option<String> {
        let terminal = self.terminals.get(uri)?;
        Some(
            terminal
                .content
                .iter()
                .map(|part| match part {
                    TerminalContentPart::Unclassified(p) => p.value.as_str(),
                    TerminalContentPart::Command(p) => p.output.as_str(),
                    TerminalContentPart::Unknown(_) => "",
                })
                .collect(),
        )
    }

    /// Every channel that is mirrored, for a reconnect.
    pub fn channels(&self) -> Vec<String> {
        let mut channels = vec![self.session_uri.clone(), self.chat_uri.clone()];
        channels.extend(self.terminals.keys().cloned());
        channels
    }

    /// Terminals that running tool calls write to.
    pub fn wanted_terminals(&self) -> Vec<String> {
        let parts = self
            .chat
            .as_ref()
            .and_then(|chat| chat.active_turn.as_ref())
            .map(|turn| turn.response_parts.as_slice())
            .unwrap_or_default();
        parts
            .iter()
            .filter_map(|part| match part {
                ResponsePart::ToolCall(part) => match &part.tool_call {
                    ToolCallState::Running(call) => call.content.as_deref(),
                    _ => None,
                },
                _ => None,
            })
            .flatten()
            .filter_map(|content| match content {
                ToolResultContent::Terminal(t) => Some(t.resource.clone()),
                _ => None,
            })
            .collect()
    }

    /// Drops a terminal that nobody writes to any more.
    pub fn forget_terminal(&mut self, uri: &str) {
        self.terminals.remove(uri);
        self.applied.remove(uri);
    }

    /// Replaces a channel's state.
    pub fn apply_snapshot(&mut self, snapshot: Snapshot) {
        let seq = u64::try_from(snapshot.from_seq).unwrap_or(0);
        match snapshot.state {
            SnapshotState::Session(state) if snapshot.resource == self.session_uri => {
                self.session = Some(*state);
            }
            SnapshotState::Chat(state) if snapshot.resource == self.chat_uri => {
                self.chat = Some(*state);
            }
            SnapshotState::Terminal(state) => {
                self.terminals.insert(snapshot.resource.clone(), *state);
            }
            // A channel that this client never asked for.
            _ => return,
        }
        self.applied.insert(snapshot.resource, seq);
        self.last_seq = self.last_seq.max(seq);
    }

    /// Applies one published action; says whether the state changed.
    pub fn apply(&mut self, envelope: &ActionEnvelope) -> bool {
        if envelope.rejection_reason.is_some() {
            return false;
        }
        self.last_seq = self.last_seq.max(envelope.server_seq);
        // Older turns go only to the client that asked, outside the log, so their
        // number says nothing; the reducer skips turns that are there already.
        if !matches!(envelope.action, StateAction::ChatTurnsLoaded(_)) {
            let applied = self.applied.entry(envelope.channel.clone()).or_insert(0);
            if envelope.server_seq <= *applied {
                return false;
            }
            *applied = envelope.server_seq;
        }
        let outcome = if envelope.channel == self.session_uri {
            self.session
                .as_mut()
                .map(|state| apply_action_to_session(state, &envelope.action))
        } else if envelope.channel == self.chat_uri {
            self.chat
                .as_mut()
                .map(|state| apply_action_to_chat(state, &envelope.action))
        } else {
            self.terminals
                .get_mut(&envelope.channel)
                .map(|state| apply_action_to_terminal(state, &envelope.action))
        };
        outcome == Some(ReduceOutcome::Applied)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use serde_json::json;

    use super::*;

    pub(crate) const SESSION: &str = "ahp-session:/s";
    pub(crate) const CHAT: &str = "ahp-chat:/s";

    /// A mirror with an empty session at number 10.
    pub(crate) fn mirror() -> Mirror {
        let mut mirror = Mirror::new(SESSION);
        mirror.apply_snapshot(snapshot(
            SESSION,
            json!({"provider": "copilot", "title": "a title", "status": 1, "lifecycle": "ready",
                   "activeClients": [], "chats": [],
                   "config": {"schema": {"type": "object", "properties": {}},
                              "values": {"mode": "interactive", "allowAll": false}}}),
        ));
        mirror.apply_snapshot(snapshot(
            CHAT,
            json!({"resource": CHAT, "title": "", "status": 1,
                   "modifiedAt": "2025-01-01T00:00:00.000Z", "turns": []}),
        ));
        mirror
    }

    pub(crate) fn snapshot(resource: &str, state: serde_json::Value) -> Snapshot {
        serde_json::from_value(json!({"resource": resource, "state": state, "fromSeq": 10}))
            .unwrap()
    }

    pub(crate) fn envelope(channel: &str, seq: u64, action: serde_json::Value) -> ActionEnvelope {
        let e: ActionEnvelope =
            serde_json::from_value(json!({"channel": channel, "serverSeq": seq, "action": action}))
                .unwrap();
        assert!(
            !matches!(e.action, StateAction::Unknown(_)),
            "{:?}",
            e.action
        );
        e
    }

    fn turn(seq: u64, id: &str) -> ActionEnvelope {
        envelope(
            CHAT,
            seq,
            json!({"type": "chat/turnStarted", "turnId": id, "startedAt": "2025-01-01T00:00:00.000Z",
                   "message": {"text": "hi", "origin": {"kind": "user"}}}),
        )
    }

    #[test]
    fn applies_what_is_newer_than_the_snapshot_and_only_once() {
        let mut mirror = mirror();
        assert!(!mirror.apply(&turn(10, "old")), "in the snapshot already");
        assert!(mirror.apply(&turn(11, "new")));
        assert_eq!(mirror.active_turn(), Some("new"));
        let delta = json!({"type": "session/titleChanged", "title": "other"});
        assert!(mirror.apply(&envelope(SESSION, 12, delta.clone())));
        assert!(!mirror.apply(&envelope(SESSION, 12, delta)));
        assert_eq!(mirror.last_seq(), 12);
    }

    #[test]
    fn a_rejected_action_changes_nothing() {
        let mut mirror = mirror();
        let mut rejected = turn(11, "mine");
        rejected.rejection_reason = Some("a turn is running".to_owned());
        assert!(!mirror.apply(&rejected));
        assert_eq!(mirror.active_turn(), None);
        assert!(
            mirror.apply(&turn(11, "theirs")),
            "its number is not used up"
        );
    }

    /// What ends a turn that a restart of the daemon cut off.
    pub(crate) fn interrupted(turn: &str) -> serde_json::Value {
        json!({"type": "chat/error", "turnId": turn, "duration": 1, "part": {"kind": "error", "resumable": true,
            "error": {"errorType": "interrupted", "message": "the daemon was restarted"}}})
    }

    #[test]
    fn the_last_turn_can_be_continued_when_the_host_says_so() {
        let mut mirror = mirror();
        assert_eq!(mirror.interrupted_turn(), None);
        mirror.apply(&turn(11, "a"));
        assert_eq!(mirror.interrupted_turn(), None, "it runs");
        mirror.apply(&envelope(CHAT, 12, interrupted("a")));
        assert_eq!(mirror.interrupted_turn(), Some("a"));
        let resume = json!({"type": "chat/turnResume", "turnId": "a"});
        mirror.apply(&envelope(CHAT, 13, resume));
        assert_eq!(
            (mirror.active_turn(), mirror.interrupted_turn()),
            (Some("a"), None)
        );
        let plain = json!({"type": "chat/error", "turnId": "a", "duration": 1, "part": {"kind": "error",
            "error": {"errorType": "auth", "message": "wrong key"}}});
        mirror.apply(&envelope(CHAT, 14, plain));
        assert_eq!(mirror.interrupted_turn(), None);
    }

    #[test]
    fn closing_and_parking_differ() {
        let mut mirror = mirror();
        for (seq, closed) in [(11, false), (12, true)] {
            let meta = json!({"copilot.state": "stored", "copilot.closed": closed});
            let action = json!({"type": "session/metaChanged", "_meta": meta});
            mirror.apply(&envelope(SESSION, seq, action));
            assert_eq!((mirror.state(), mirror.closed()), ("stored", closed));
        }
    }

    #[test]
    fn older_turns_apply_whatever_their_number() {
        let mut mirror = mirror();
        let loaded = json!({"type": "chat/turnsLoaded", "turns": [
            {"id": "t0", "message": {"text": "x", "origin": {"kind": "user"}},
             "responseParts": [], "state": "complete"}]});
        assert!(mirror.apply(&envelope(CHAT, 3, loaded)));
        assert_eq!(mirror.chat().unwrap().turns.len(), 1);
        assert_eq!(mirror.last_seq(), 10);
    }

    #[test]
    fn terminals_of_running_calls_are_wanted_and_read() {
        let mut mirror = mirror();
        mirror.apply(&turn(11, "t"));
        for (seq, action) in [
            json!({"type": "chat/toolCallStart", "turnId": "t", "toolCallId": "c", "toolName": "shell", "displayName": "Shell"}),
            json!({"type": "chat/toolCallReady", "turnId": "t", "toolCallId": "c", "invocationMessage": "ls", "confirmed": "not-needed"}),
            json!({"type": "chat/toolCallContentChanged", "turnId": "t", "toolCallId": "c",
                   "content": [{"type": "terminal", "resource": "ahp-terminal:/s/c", "title": "ls"}]}),
        ]
        .into_iter()
        .enumerate()
        {
            assert!(mirror.apply(&envelope(CHAT, 12 + seq as u64, action)));
        }
        assert_eq!(mirror.wanted_terminals(), ["ahp-terminal:/s/c"]);
        mirror.apply_snapshot(snapshot(
            "ahp-terminal:/s/c",
            json!({"title": "ls", "content": [], "lifecycle": {"status": "running"},
                   "claim": {"kind": "session", "session": SESSION, "chat": CHAT}}),
        ));
        mirror.apply(&envelope(
            "ahp-terminal:/s/c",
            20,
            json!({"type": "terminal/data", "data": "a\n"}),
        ));
        assert_eq!(
            mirror.terminal_text("ahp-terminal:/s/c").as_deref(),
            Some("a\n")
        );
        assert_eq!(mirror.channels().len(), 3);
    }
}
