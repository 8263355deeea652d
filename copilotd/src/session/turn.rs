//! The running turn: how it starts, is steered, cancelled, and ends.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ahp_types::actions::*;
use ahp_types::state::*;
use serde_json::{Value, json};

use super::actor::{Actor, one_line};
use super::autopilot::{Ended, Next};
use super::commands::{self, Command};
use super::permission::OpenPermission;
use super::plan::OpenPlan;
use super::question::OpenQuestion;
use super::resume;
use super::state::now;
use crate::agent::translate::Translator;
use crate::agent::{BUILT_IN, questions};
use crate::host::Client;

/// How long a cancelled agent has to stop before it is killed. The promise to people is 3 s.
const CANCEL_LIMIT: Duration = Duration::from_millis(2500);
/// Title made of a prompt, in characters.
const TITLE_CHARS: usize = 60;

/// How far a turn has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// Somebody is asked whether the folder is trusted.
    Trust,
    /// The agent is being started.
    Starting,
    /// The folder is being kept before the agent gets the prompt.
    Keeping,
    /// The agent has the prompt.
    Prompting,
    /// The daemon does it by itself; no agent takes part.
    Own,
}

/// A cancel that is under way.
struct Cancel {
    /// Who gets to know when there was nothing left to stop; nobody when the host wants it.
    asked_by: Option<(Arc<Client>, ActionOrigin)>,
    deadline: Instant,
}

/// The turn that runs now.
pub(super) struct Turn {
    pub(super) id: String,
    pub(super) phase: Phase,
    pub(super) text: String,
    pub(super) model: Option<String>,
    pub(super) translator: Translator,
    /// Open permission requests of the agent, by tool call id.
    pub(super) permissions: HashMap<String, OpenPermission>,
    /// Open questions of the agent, by request id.
    pub(super) questions: HashMap<String, OpenQuestion>,
    /// Plans that wait for a decision, by request id.
    pub(super) plans: HashMap<String, OpenPlan>,
    started: Instant,
    cancel: Option<Cancel>,
}

/// How a turn ends.
pub(super) enum End {
    /// The agent is done.
    Complete {
        /// What it cost, where the agent says so.
        usage: Option<UsageInfo>,
        /// A remark for people, when it ended in an unusual way.
        remark: Option<&'static str>,
        /// What that means on autopilot.
        ended: Ended,
    },
    /// Somebody stopped it.
    Cancelled,
    /// It failed.
    Error {
        /// A word that programs may tell errors apart by.
        kind: String,
        /// What failed, whose fault it is, what to do next.
        message: String,
    },
}

impl End {
    /// The daemon's own turn is done.
    pub(super) fn complete() -> Self {
        Self::Complete {
            usage: None,
            remark: None,
            ended: Ended::Completed,
        }
    }

    pub(super) fn error(kind: &str, message: impl Into<String>) -> Self {
        Self::Error {
            kind: kind.into(),
            message: message.into(),
        }
    }
}

impl Turn {
    fn new(action: &ChatTurnStartedAction) -> Self {
        Self {
            id: action.turn_id.clone(),
            phase: Phase::Starting,
            text: action.message.text.clone(),
            model: action.message.model.as_ref().map(|m| m.id.clone()),
            translator: Translator::new(&action.turn_id),
            permissions: HashMap::new(),
            questions: HashMap::new(),
            plans: HashMap::new(),
            started: Instant::now(),
            cancel: None,
        }
    }

    /// An interrupted turn that goes on. Its new parts must not take the names of old ones.
    fn resumed(turn: &ActiveTurn, text: String) -> Self {
        Self {
            id: turn.id.clone(),
            phase: Phase::Starting,
            text,
            model: turn.message.model.as_ref().map(|m| m.id.clone()),
            translator: Translator::resumed(&turn.id),
            permissions: HashMap::new(),
            questions: HashMap::new(),
            plans: HashMap::new(),
            started: Instant::now(),
            cancel: None,
        }
    }

    pub(super) fn is_cancelling(&self) -> bool {
        self.cancel.is_some()
    }

    pub(super) fn cancel_deadline(&self) -> Option<Instant> {
        // What the daemon does by itself ends in a moment, and must not end half done.
        let cancel = self.cancel.as_ref().filter(|_| self.phase != Phase::Own);
        cancel.map(|c| c.deadline)
    }
}

impl Actor {
    /// Publishes the start of a turn and gets it to the agent. What the message tells the daemon
    /// itself may be over when this returns; then [`Actor::start_next`] is the caller's to do.
    pub(super) fn start_turn(
        &mut self,
        action: ChatTurnStartedAction,
        origin: Option<&ActionOrigin>,
    ) {
        self.closed = false;
        self.stored = false;
        self.go_on = false;
        self.note_autopilot_start(&action.message);
        self.turn_by = match &action.queued_message_id {
            Some(message) => self.pending_by.remove(message),
            None => self.step_by.clone(),
        };
        let mut turn = Turn::new(&action);
        let command = commands::of(&action.message);
        let is_for_agent = match &command {
            None => true,
            Some(Ok(Command::Plan(Some(prompt)))) => {
                turn.text.clone_from(prompt);
                true
            }
            Some(_) => false,
        };
        if self.model.session.title.is_empty() && is_for_agent {
            let title = one_line(&turn.text, TITLE_CHARS);
            self.rename_by_agent(&title);
        }
        self.model
            .chat(StateAction::ChatTurnStarted(action), origin);
        self.turn = Some(turn);
        if let Some(command) = command
            && !self.begin_command(command)
        {
            return;
        }
        if self.is_trusted() {
            self.go_on_starting();
        } else {
            self.ask_for_trust();
        }
    }

    /// Goes on with a turn that a stopped daemon interrupted, because somebody asked.
    /// `false` when there was nothing to go on with.
    pub(super) fn resume_turn(
        &mut self,
        action: ChatTurnResumeAction,
        origin: &ActionOrigin,
    ) -> bool {
        let action = StateAction::ChatTurnResume(action);
        if !self.model.chat(action, Some(origin)) {
            return false;
        }
        let Some(turn) = self.model.chat.active_turn.clone() else {
            return false;
        };
        self.closed = false;
        self.stored = false;
        self.note_autopilot_start(&turn.message);
        let text = resume::prompt(&turn, &self.model.answers);
        self.turn = Some(Turn::resumed(&turn, text));
        if self.is_trusted() {
            self.go_on_starting();
        } else {
            self.ask_for_trust();
        }
        true
    }

    /// Ends a turn that was running when the daemon was killed.
    pub(super) fn interrupted(&mut self) {
        let Some(turn) = &self.model.chat.active_turn else {
            return;
        };
        let message = "The daemon was stopped while the agent worked on this. What was done until then is \
                       kept; nothing is run again by itself.\nAsk it to continue, or send something else.";
        let error = ErrorInfo {
            error_type: "interrupted".into(),
            message: message.into(),
            stack: None,
            meta: None,
        };
        let part = ErrorResponsePart {
            error,
            resumable: Some(true),
        };
        let action = ChatErrorAction {
            turn_id: turn.id.clone(),
            duration: 0,
            part,
            meta: None,
        };
        self.model.chat(StateAction::ChatError(action), None);
    }

    fn is_trusted(&mut self) -> bool {
        self.trusted =
            self.trusted || self.launch.unattended || self.model.shared.is_trusted(&self.folder);
        self.trusted
    }

    fn ask_for_trust(&mut self) {
        let Some(turn) = &mut self.turn else { return };
        turn.phase = Phase::Trust;
        self.model.forget_answer(questions::TRUST);
        let request = questions::folder_trust(&self.folder.display().to_string());
        self.model.chat(
            StateAction::ChatInputRequested(ChatInputRequestedAction { request }),
            None,
        );
    }

    /// The folder trust question was answered.
    pub(super) fn trust_answered(&mut self, choice: &str) {
        match choice {
            "trust-once" => self.trusted = true,
            "trust-always" => {
                if let Err(reason) = self.model.shared.trust(&self.folder) {
                    // It counts for this session; that it is not remembered is said.
                    let text = format!("This folder is trusted for this session only: {reason}");
                    self.notice(&text, "trust");
                }
                self.trusted = true;
            }
            _ => {
                let folder = self.folder.display();
                let message = format!(
                    "The agent was not started: {folder} is not trusted. Send a prompt to be asked again."
                );
                self.end_turn(End::error("folder-not-trusted", message));
                return;
            }
        }
        if let Some(turn) = &mut self.turn {
            turn.phase = Phase::Starting;
        }
        self.go_on_starting();
    }

    /// A line of the daemon's own in the timeline.
    pub(super) fn notice(&mut self, text: &str, kind: &str) {
        let effect = self.turn.as_mut().map(|t| t.translator.notice(text, kind));
        self.effects(effect.into_iter().collect());
    }

    /// Starts what waits, when nothing runs: a steering message that came too late, or the queue.
    pub(super) fn start_next(&mut self) {
        // What the agent holds may have joined the turn that just ended; it says so in a moment.
        // Commands of the daemon's own end at once.
        while self.turn.is_none() && self.steering_handed_over.is_none() {
            let steering = self.model.chat.steering_message.clone();
            let next =
                steering.or_else(|| self.model.chat.queued_messages.as_ref()?.first().cloned());
            let Some(PendingMessage { id, message }) = next else {
                self.continue_on_autopilot();
                return;
            };
            let action = ChatTurnStartedAction {
                turn_id: id.clone(),
                started_at: now(),
                message,
                queued_message_id: Some(id),
                meta: None,
            };
            self.start_turn(action, None);
            // One that failed is looked at first.
            if !self.go_on {
                return;
            }
        }
    }

    /// Gives a waiting steering message to an agent that can take it.
    pub(super) fn hand_over_steering(&mut self) {
        let Some(waiting) = &self.model.chat.steering_message else {
            return;
        };
        let prompting = self
            .turn
            .as_ref()
            .is_some_and(|t| t.phase == Phase::Prompting && t.cancel.is_none());
        if !prompting || self.steering_handed_over.is_some() {
            return;
        }
        // What the daemon does by itself is done when the turn has ended.
        if commands::of(&waiting.message).is_some() {
            return;
        }
        let (id, text) = (waiting.id.clone(), waiting.message.text.clone());
        if self.send_steering(&id, &text) {
            self.steering_handed_over = Some(id);
        }
    }

    /// The agent said whether a steering message joined the turn.
    pub(super) fn steering_answered(&mut self, id: &str, accepted: bool) {
        if self.steering_handed_over.as_deref() == Some(id) {
            self.steering_handed_over = None;
        }
        let text = match &self.model.chat.steering_message {
            Some(waiting) if waiting.id == id => waiting.message.text.clone(),
            _ => return,
        };
        if accepted {
            self.steering_joined(id);
            self.notice(&text, "steered");
        }
        if self.go_on {
            self.start_next();
        }
    }

    /// The steering message waits no more.
    pub(super) fn steering_joined(&mut self, id: &str) {
        let action = ChatPendingMessageRemovedAction {
            kind: PendingMessageKind::Steering,
            id: id.to_owned(),
        };
        self.model
            .chat(StateAction::ChatPendingMessageRemoved(action), None);
        self.model.remember_spent(id);
        self.pending_by.remove(id);
    }

    /// Somebody wants the turn to stop.
    pub(super) fn cancel(&mut self, asked_by: Option<(Arc<Client>, ActionOrigin)>) {
        let Some(turn) = &mut self.turn else { return };
        turn.cancel = Some(Cancel {
            asked_by,
            deadline: Instant::now() + CANCEL_LIMIT,
        });
        let phase = turn.phase;
        // The agent hears of the cancel first, so that it does not go on without its answers.
        let is_told = phase == Phase::Prompting && self.send_cancel();
        self.withdraw_requests();
        match phase {
            Phase::Trust | Phase::Keeping => self.end_turn(End::Cancelled),
            Phase::Own => {}
            // An agent that is only starting has nothing to save.
            Phase::Starting => {
                self.agent = None;
                self.end_turn(End::Cancelled);
            }
            Phase::Prompting if is_told => {}
            Phase::Prompting => {
                self.agent = None;
                self.end_turn(End::Cancelled);
            }
        }
    }

    /// The agent did not stop in time.
    pub(super) async fn cancel_overdue(&mut self) {
        tracing::warn!(session = %self.model.id, "the agent did not stop after a cancel and is killed");
        self.stop_agent().await;
        self.end_turn(End::Cancelled);
    }

    /// Answers the agent's open requests as cancelled and closes its questions.
    fn withdraw_requests(&mut self) {
        let Some(turn) = &mut self.turn else { return };
        let permissions: Vec<OpenPermission> = turn.permissions.drain().map(|(_, p)| p).collect();
        let open: Vec<(String, OpenQuestion)> = turn.questions.drain().collect();
        let plans: Vec<(String, OpenPlan)> = turn.plans.drain().collect();
        let trust_open = turn.phase == Phase::Trust;
        let asked = permissions.iter().map(|permission| &permission.rpc_id);
        for rpc_id in asked.chain(plans.iter().map(|(_, plan)| &plan.rpc_id)) {
            self.respond(rpc_id, &json!({"outcome": {"outcome": "cancelled"}}));
        }
        let mut closed: Vec<String> = plans.into_iter().map(|(id, _)| id).collect();
        for (id, question) in open {
            self.respond(&question.rpc_id, &json!({"action": "cancel"}));
            closed.push(id);
        }
        closed.extend(trust_open.then(|| questions::TRUST.to_owned()));
        for request_id in closed {
            let response = ChatInputResponseKind::Cancel;
            let action = ChatInputCompletedAction {
                request_id,
                response,
                answers: None,
            };
            self.model
                .chat(StateAction::ChatInputCompleted(action), None);
        }
    }

    /// Publishes the end of the turn and starts what waits, unless somebody should look first.
    pub(super) fn end_turn(&mut self, end: End) {
        if self.turn.is_none() {
            return;
        }
        self.conclude_turn(end);
        if self.go_on {
            self.start_next();
        }
    }

    /// Publishes the end of the turn.
    pub(super) fn conclude_turn(&mut self, end: End) {
        self.withdraw_requests();
        let Some(mut turn) = self.turn.take() else {
            return;
        };
        let turn_id = turn.id.clone();
        let duration = i64::try_from(turn.started.elapsed().as_millis()).unwrap_or(i64::MAX);
        // After a cancel or an error somebody should look before more is started.
        self.go_on = matches!(end, End::Complete { .. });
        if !matches!(end, End::Cancelled)
            && let Some((client, origin)) = turn.cancel.as_ref().and_then(|c| c.asked_by.as_ref())
        {
            self.cancelled_too_late(&turn_id, client, origin);
        }
        let (ended, usage) = match &end {
            End::Complete { usage, ended, .. } => (*ended, usage.as_ref()),
            End::Cancelled => (Ended::Cancelled, None),
            End::Error { .. } => (Ended::Failed, None),
        };
        // A turn of the daemon's own, as an undo is, says nothing about the task.
        if !matches!(turn.phase, Phase::Own)
            && let Some(Next::Stop(stop)) = self.after_turn(ended, usage)
        {
            let notice = turn.translator.notice(&stop.words(), stop.kind());
            self.effects(vec![notice]);
        }
        if self.agent.is_none() {
            self.steering_handed_over = None;
        }
        match end {
            End::Complete { usage, remark, .. } => {
                if let Some(remark) = remark {
                    let notice = turn.translator.notice(remark, "stopped");
                    self.effects(vec![notice]);
                }
                if let Some(usage) = usage {
                    let action = ChatUsageAction {
                        turn_id: turn_id.clone(),
                        usage,
                        meta: None,
                    };
                    self.model.chat(StateAction::ChatUsage(action), None);
                }
                let action = ChatTurnCompleteAction {
                    turn_id,
                    duration,
                    meta: None,
                };
                self.model.chat(StateAction::ChatTurnComplete(action), None);
            }
            End::Cancelled => {
                let asked_by = turn.cancel.as_ref().and_then(|c| c.asked_by.as_ref());
                let origin = asked_by.map(|(_, origin)| origin);
                let action = ChatTurnCancelledAction {
                    turn_id,
                    duration,
                    meta: None,
                };
                self.model
                    .chat(StateAction::ChatTurnCancelled(action), origin);
            }
            End::Error { kind, message } => {
                tracing::warn!(session = %self.model.id, %kind, "a turn ended with an error");
                let error = ErrorInfo {
                    error_type: kind,
                    message,
                    stack: None,
                    meta: None,
                };
                let part = ErrorResponsePart {
                    error,
                    resumable: None,
                };
                let action = ChatErrorAction {
                    turn_id,
                    duration,
                    part,
                    meta: None,
                };
                self.model.chat(StateAction::ChatError(action), None);
            }
        }
        self.terminals.close_all(&self.model);
        self.compare_after_turn();
    }

    /// The turn came to its own end before the agent could stop: the cancel had no effect.
    fn cancelled_too_late(&self, turn_id: &str, client: &Client, origin: &ActionOrigin) {
        let action = StateAction::ChatTurnCancelled(ChatTurnCancelledAction {
            turn_id: turn_id.to_owned(),
            duration: 0,
            meta: None,
        });
        let reason = "this turn ended by itself before it could be stopped";
        let chat = &self.model.chat_uri;
        self.reject(client, chat, &action, origin, reason);
    }

    /// The words that went with a denial, for an agent that cannot take them with the denial:
    /// they are the next message.
    pub(super) fn words_as_next_message(&mut self, mut message: Message) {
        // Whoever may deny may not command by it.
        commands::never(&mut message);
        let action = ChatPendingMessageSetAction {
            kind: PendingMessageKind::Queued,
            id: uuid::Uuid::new_v4().to_string(),
            message,
        };
        self.model
            .chat(StateAction::ChatPendingMessageSet(action), None);
    }

    /// Whether the agent is our own, which understands our extensions.
    pub(super) fn is_built_in(&self) -> bool {
        self.model.session.provider == BUILT_IN
    }

    /// Answers a request of the agent.
    pub(super) fn respond(&mut self, rpc_id: &Value, result: &Value) {
        let line = crate::agent::rpc::response(rpc_id, result);
        self.send_line(line);
    }
}
