//! The reduced state of a session, and publishing: every change goes through a reducer and out.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use ahp::reducers::{ReduceOutcome, apply_action_to_chat, apply_action_to_session};
use ahp_types::actions::*;
use ahp_types::common::JsonObject;
use ahp_types::state::*;
use serde_json::{Value, json};

use super::confine::{Guarantee, guarantee};
use super::persist::Revived;
use super::plan::Version;
use super::{NewSession, chat_uri, mode, remote, session_uri};
use crate::agent::translate::Todo;
use crate::audit::Who;
use crate::host::Shared;
use crate::host::admit::Answer;

/// Answers that are remembered for those who come too late.
const ANSWERS_KEPT: usize = 64;

/// Messages that are remembered after they were taken back or joined a turn.
const SPENT_KEPT: usize = 64;

/// An action that is reduced and waits to be kept and published.
pub(super) struct Outgoing {
    pub(super) on_chat: bool,
    pub(super) action: StateAction,
    pub(super) origin: Option<ActionOrigin>,
    /// Whose doing it is, when that is not who caused the step.
    pub(super) by: Option<Who>,
}

/// Session and chat as AHP has them.
pub(super) struct Model {
    pub(super) shared: Arc<Shared>,
    pub(super) id: String,
    pub(super) session_uri: String,
    pub(super) chat_uri: String,
    pub(super) session: SessionState,
    pub(super) chat: ChatState,
    pub(super) created_at: String,
    pub(super) answers: HashMap<String, Answer>,
    answer_order: VecDeque<String>,
    /// Ids of messages that were taken back or joined a turn, newest last: asking for them again
    /// is a retry.
    pub(super) spent: VecDeque<String>,
    pub(super) todos: Vec<Todo>,
    /// The plans that were proposed, oldest first.
    pub(super) plans: Vec<Version>,
    /// What this step of the actor did, not yet kept or published.
    pub(super) outbox: Vec<Outgoing>,
    /// Turns that ended in this step.
    pub(super) completed: Vec<Turn>,
    /// Completed turns that are only in the store.
    pub(super) earlier_turns: u64,
}

/// The host's clock, RFC 3339 with milliseconds.
pub(super) fn now() -> String {
    format!("{:.3}", jiff::Timestamp::now())
}

impl Model {
    pub(super) fn new(new: &NewSession, shared: Arc<Shared>) -> Self {
        let created_at = now();
        let (session_uri, chat_uri) = (session_uri(&new.id), chat_uri(&new.id));
        let folder = crate::uri::of_path(&new.folder);
        let chat = ChatState {
            resource: chat_uri.clone(),
            title: String::new(),
            status: SessionStatus::Idle.bits(),
            activity: None,
            modified_at: created_at.clone(),
            changes: None,
            origin: Some(ChatOrigin::User),
            movable: Some(false),
            interactivity: Some(ChatInteractivity::Full),
            working_directories: None,
            changesets: None,
            background_work: None,
            canvases: None,
            turns: Vec::new(),
            turns_next_cursor: None,
            active_turn: None,
            steering_message: None,
            queued_messages: None,
            draft: None,
            meta: None,
        };
        let session = SessionState {
            provider: new.provider.clone(),
            title: String::new(),
            status: SessionStatus::Idle.bits(),
            activity: None,
            origin: None,
            project: None,
            working_directories: Some(vec![folder]),
            annotations: None,
            lifecycle: SessionLifecycle::Ready,
            creation_error: None,
            server_tools: None,
            active_clients: Vec::new(),
            chats: vec![chat_summary(&chat)],
            default_chat: Some(chat_uri.clone()),
            config: Some(mode::config(&new.launch)),
            customizations: None,
            changesets: None,
            input_needed: None,
            meta: None,
        };
        shared.sequencer.open(&session_uri);
        shared.sequencer.open(&chat_uri);
        Self {
            shared,
            id: new.id.clone(),
            session_uri,
            chat_uri,
            session,
            chat,
            created_at,
            answers: HashMap::new(),
            answer_order: VecDeque::new(),
            spent: VecDeque::new(),
            todos: Vec::new(),
            plans: Vec::new(),
            outbox: Vec::new(),
            completed: Vec::new(),
            earlier_turns: 0,
        }
    }

    /// The model of a session that was kept.
    pub(super) fn revived(id: &str, revived: Revived, shared: Arc<Shared>) -> Self {
        let Revived {
            kept,
            earlier_turns,
        } = revived;
        let (session_uri, chat_uri) = (session_uri(id), chat_uri(id));
        shared.sequencer.open(&session_uri);
        shared.sequencer.open(&chat_uri);
        let answer_order = kept
            .extras
            .answers
            .iter()
            .map(|(id, _)| id.clone())
            .collect();
        let mut session = kept.session;
        session.config = Some(mode::renewed(session.config));
        Self {
            shared,
            id: id.to_owned(),
            session_uri,
            chat_uri,
            session,
            chat: kept.chat,
            created_at: kept.created_at,
            answers: kept.extras.answers.into_iter().collect(),
            answer_order,
            spent: kept.extras.spent.into(),
            todos: kept.extras.todos,
            plans: kept.extras.plans,
            outbox: Vec::new(),
            completed: Vec::new(),
            earlier_turns,
        }
    }

    /// The answers that are remembered, oldest first.
    pub(super) fn answers_in_order(&self) -> Vec<(String, Answer)> {
        let answer = |id: &String| Some((id.clone(), self.answers.get(id)?.clone()));
        self.answer_order.iter().filter_map(answer).collect()
    }

    /// Reduces an action of the chat; the end of the step keeps and publishes it. What the reducer
    /// does not apply is not published: clients would not apply it either.
    pub(super) fn chat(&mut self, action: StateAction, origin: Option<&ActionOrigin>) -> bool {
        match apply_action_to_chat(&mut self.chat, &action) {
            ReduceOutcome::Applied => {
                if is_end_of_turn(&action) {
                    self.completed.extend(self.chat.turns.last().cloned());
                }
                self.outgoing(true, action, origin);
                true
            }
            other => {
                tracing::debug!(session = %self.id, ?other, "an action had no effect and was not published");
                false
            }
        }
    }

    /// The same for the session.
    pub(super) fn session(&mut self, action: StateAction, origin: Option<&ActionOrigin>) -> bool {
        match apply_action_to_session(&mut self.session, &action) {
            ReduceOutcome::Applied => {
                self.outgoing(false, action, origin);
                true
            }
            _ => false,
        }
    }

    fn outgoing(&mut self, on_chat: bool, action: StateAction, origin: Option<&ActionOrigin>) {
        let origin = origin.cloned();
        self.outbox.push(Outgoing {
            on_chat,
            action,
            origin,
            by: None,
        });
    }

    /// Remembers how a request was answered.
    pub(super) fn remember_answer(&mut self, request: &str, answer: Answer) {
        self.forget_answer(request);
        self.answers.insert(request.to_owned(), answer);
        self.answer_order.push_back(request.to_owned());
        if self.answer_order.len() > ANSWERS_KEPT
            && let Some(oldest) = self.answer_order.pop_front()
        {
            self.answers.remove(&oldest);
        }
    }

    /// Remembers a message that waits no more and became no turn of its own.
    pub(super) fn remember_spent(&mut self, id: &str) {
        self.spent.push_back(id.to_owned());
        if self.spent.len() > SPENT_KEPT {
            self.spent.pop_front();
        }
    }

    /// Forgets the answer to a request that is asked anew.
    pub(super) fn forget_answer(&mut self, request: &str) {
        if self.answers.remove(request).is_some() {
            self.answer_order.retain(|id| id != request);
        }
    }

    fn answers_json(&self) -> Value {
        let entry = |(id, a): (&String, &Answer)| {
            let by = json!({"name": a.name, "trust": a.trust});
            (
                id.clone(),
                json!({"by": by, "at": a.at, "choice": a.choice}),
            )
        };
        Value::Object(self.answers.iter().map(entry).collect())
    }

    /// The session's `_meta` as it should be.
    pub(super) fn meta(&self, extra: JsonObject) -> JsonObject {
        let mut meta = extra;
        meta.insert("copilot.confinement".into(), json!(self.guarantee()));
        if !self.todos.is_empty() {
            meta.insert("copilot.todos".into(), json!(self.todos));
        }
        if !self.plans.is_empty() {
            meta.insert("copilot.plans".into(), json!(self.plans));
        }
        if !self.answers.is_empty() {
            meta.insert("copilot.answers".into(), self.answers_json());
        }
        meta
    }

    /// Brings what is derived from the chat (its summary, the requests that need somebody, `_meta`)
    /// up to date on the session channel.
    pub(super) fn settle(&mut self, meta: JsonObject) {
        self.settle_inputs();
        let summary = chat_summary(&self.chat);
        let listed = self.session.chats.first();
        if listed.is_none_or(|c| c.status != summary.status || c.title != summary.title) {
            let changes = PartialChatSummary {
                title: Some(summary.title),
                status: Some(summary.status),
                modified_at: Some(summary.modified_at),
                ..PartialChatSummary::default()
            };
            let chat = self.chat_uri.clone();
            self.session(
                StateAction::SessionChatUpdated(SessionChatUpdatedAction { chat, changes }),
                None,
            );
        }
        if self.session.meta.as_ref() != Some(&meta) {
            self.session(
                StateAction::SessionMetaChanged(SessionMetaChangedAction { meta: Some(meta) }),
                None,
            );
        }
    }

    fn settle_inputs(&mut self) {
        let wanted = self.open_requests();
        let gone: Vec<String> = self
            .session
            .input_needed
            .iter()
            .flatten()
            .filter_map(request_id)
            .filter(|id| !wanted.iter().any(|w| request_id(w) == Some(*id)))
            .map(str::to_owned)
            .collect();
        for id in gone {
            self.session(
                StateAction::SessionInputNeededRemoved(SessionInputNeededRemovedAction { id }),
                None,
            );
        }
        for request in wanted {
            let known = self
                .session
                .input_needed
                .iter()
                .flatten()
                .any(|r| *r == request);
            if !known {
                self.session(
                    StateAction::SessionInputNeededSet(Box::new(SessionInputNeededSetAction {
                        request,
                    })),
                    None,
                );
            }
        }
    }

    /// The requests of the running turn that wait for somebody.
    pub(super) fn open_requests(&self) -> Vec<SessionInputRequest> {
        let Some(turn) = &self.chat.active_turn else {
            return Vec::new();
        };
        let chat = || self.chat_uri.clone();
        turn.response_parts
            .iter()
            .filter_map(|part| match part {
                ResponsePart::ToolCall(p) => match &p.tool_call {
                    ToolCallState::PendingConfirmation(pending) => Some(
                        SessionInputRequest::ToolConfirmation(SessionToolConfirmationRequest {
                            id: pending.tool_call_id.clone(),
                            chat: chat(),
                            turn_id: turn.id.clone(),
                            tool_call: ToolCallConfirmationState::PendingConfirmation(
                                pending.clone(),
                            ),
                        }),
                    ),
                    _ => None,
                },
                ResponsePart::InputRequest(p) if p.response.is_none() => {
                    Some(SessionInputRequest::ChatInput(SessionChatInputRequest {
                        id: p.request.id.clone(),
                        chat: chat(),
                        request: p.request.clone(),
                    }))
                }
                _ => None,
            })
            .collect()
    }

    /// Whether the agent is confined, by the settings as they are now.
    fn guarantee(&self) -> Guarantee {
        guarantee(self.shared.agent_command(&self.session.provider).as_ref())
    }

    /// The session's line in lists.
    pub(super) fn summary(&self, state: &str, closed: bool) -> SessionSummary {
        let chat = SessionChatSummary {
            resource: self.chat_uri.clone(),
            title: self.chat.title.clone(),
            origin: Some(ChatOrigin::User),
            interactivity: Some(ChatInteractivity::Full),
            status: Some(self.chat.status),
            changes: None,
        };
        let mut meta = JsonObject::from_iter([
            ("copilot.state".to_owned(), json!(state)),
            ("copilot.confinement".to_owned(), json!(self.guarantee())),
        ]);
        if closed {
            meta.insert("copilot.closed".into(), json!(true));
        }
        if remote::is_on(self.session.config.as_ref()) {
            meta.insert("copilot.remote".into(), json!({"on": true}));
        }
        SessionSummary {
            provider: self.session.provider.clone(),
            title: self.session.title.clone(),
            status: self.chat.status | (self.session.status & FLAGS),
            activity: self.session.activity.clone(),
            origin: None,
            project: None,
            working_directories: self.session.working_directories.clone(),
            annotations: None,
            resource: self.session_uri.clone(),
            created_at: self.created_at.clone(),
            modified_at: self.chat.modified_at.clone(),
            changes: None,
            meta: Some(meta),
            chats: Some(vec![chat]),
            default_chat: Some(self.chat_uri.clone()),
        }
    }
}

fn is_end_of_turn(action: &StateAction) -> bool {
    matches!(
        action,
        StateAction::ChatTurnComplete(_)
            | StateAction::ChatTurnCancelled(_)
            | StateAction::ChatError(_)
    )
}

/// The status bits that a person sets.
const FLAGS: u32 = SessionStatus::IsRead.bits() | SessionStatus::IsArchived.bits();

fn request_id(request: &SessionInputRequest) -> Option<&str> {
    match request {
        SessionInputRequest::ChatInput(r) => Some(&r.id),
        SessionInputRequest::ToolConfirmation(r) => Some(&r.id),
        _ => None,
    }
}

fn chat_summary(chat: &ChatState) -> ChatSummary {
    ChatSummary {
        resource: chat.resource.clone(),
        title: chat.title.clone(),
        status: chat.status,
        activity: chat.activity.clone(),
        modified_at: chat.modified_at.clone(),
        changes: None,
        origin: chat.origin.clone(),
        movable: chat.movable,
        interactivity: chat.interactivity,
        working_directories: None,
    }
}
