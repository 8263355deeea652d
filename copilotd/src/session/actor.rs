//! The loop of a session: one input or agent event at a time, then what is derived from them.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use ahp_types::actions::*;
use ahp_types::common::JsonObject;
use ahp_types::state::*;
use serde_json::{Value, json};
use tokio::sync::mpsc;

use super::agent::AgentConnection;
use super::autopilot::Run;
use super::budget::Budget;
use super::commands;
use super::commit::Unkept;
use super::inbox::Inbox;
use super::persist::{Extras, Revived, Unreadable};
use super::plan;
use super::rules::rule_set;
use super::state::{Model, now};
use super::terminal::{SessionContents, Terminals};
use super::turn::{End, Phase, Turn};
use super::undo::Undo;
use super::view::Views;
use super::{Input, Launch, NewSession};
use crate::agent::environment::SessionEnvironment;
use crate::agent::translate::Effect;
use crate::audit::{Event, Who};
use crate::desktop::Notification;
use crate::host::admit::{self, Admitted, Context};
use crate::host::identity::Trust;
use crate::host::{Client, Shared, rpc};
use crate::pause;
use crate::permissions::{AllowAll, Rule, RuleSet};
use crate::store::Operation;

/// How long a session works off what its agent says before another task of the daemon has its turn.
const SLICE: Duration = Duration::from_micros(500);

/// Why an input that nothing speaks against is rejected all the same.
const NO_EFFECT: &str = "this changes nothing";

/// A session's everything.
pub(super) struct Actor {
    pub(super) model: Model,
    pub(super) folder: PathBuf,
    pub(super) launch: Launch,
    /// Rules that people added with "for this session".
    pub(super) session_rules: Vec<Rule>,
    pub(super) environment: Option<Arc<SessionEnvironment>>,
    pub(super) agent: Option<AgentConnection>,
    /// The agent's own name for the conversation, to resume it after a restart.
    pub(super) acp_session: Option<String>,
    pub(super) turn: Option<Turn>,
    pub(super) autopilot: Run,
    pub(super) terminals: Terminals,
    /// Id of the steering message that the agent holds.
    pub(super) steering_handed_over: Option<String>,
    /// Whether the last turn ended so that what waits may start.
    pub(super) go_on: bool,
    pub(super) trusted: bool,
    pub(super) closed: bool,
    /// Whether remote access was on when somebody closed the session.
    pub(super) remote_before_close: bool,
    /// What devices get of the turns; counted when the first one looks.
    pub(super) budget: Option<Budget>,
    /// Why remote access is off though it was asked for, for people.
    pub(super) remote_refusal: Option<String>,
    /// Whether a person named the session; then no agent renames it.
    pub(super) named_by_person: bool,
    pub(super) clients: Vec<Arc<Client>>,
    pub(super) own_inputs: mpsc::WeakSender<Input>,
    pub(super) inbox: Inbox,
    /// Whether somebody was shown what is not published yet; see [`Sequencer::run_ahead`].
    ///
    /// [`Sequencer::run_ahead`]: crate::host::sequencer::Sequencer::run_ahead
    pub(super) ahead: bool,
    /// Who is being shown the chat.
    pub(super) views: Views,
    /// The oldest turn that each client has, for pages without a cursor.
    pub(super) windows: std::collections::HashMap<u64, String>,
    summary: Arc<Mutex<SessionSummary>>,
    /// A step could not be kept: the session goes on with what was kept before, or not at all.
    pub(super) unkept_step: bool,
    /// Actions that are not in the store yet.
    pub(super) unkept: Unkept,
    pub(super) kept_extras: Option<Extras>,
    pub(super) kept_summary: Option<SessionSummary>,
    /// What the store is to know besides actions, with this step.
    pub(super) pending_operations: Vec<Operation>,
    /// What turns can be taken back with.
    pub(super) undo: Undo,
    /// What the agent is told with its next prompt.
    pub(super) for_agent: Vec<String>,
    /// Who sent each message that waits, as far as this life of the session knows.
    pub(super) pending_by: std::collections::HashMap<String, Who>,
    /// Whose message the running turn began with.
    pub(super) turn_by: Option<Who>,
    /// Whose input this step is.
    pub(super) step_by: Option<Who>,
    /// Whether this life of the session came from the store and nothing was asked since.
    pub(super) stored: bool,
    /// Whether the last step that was published left somebody needed.
    needs_somebody: bool,
    /// Since when nothing happens and nobody looks.
    quiet_since: Option<Instant>,
}

impl Actor {
    pub(super) fn new(
        new: NewSession,
        shared: Arc<Shared>,
        own_inputs: mpsc::WeakSender<Input>,
        inbox: Inbox,
    ) -> Self {
        let model = Model::new(&new, shared);
        let created_by = new.created_by.clone();
        let mut actor = Self::new_with(model, new, own_inputs, inbox);
        // The state that the first subscriber sees is complete from the start.
        actor.model.session.meta = Some(actor.meta_now());
        if let Some(by) = created_by {
            actor.record_creation(by);
        }
        actor
    }

    fn new_with(
        model: Model,
        new: NewSession,
        own_inputs: mpsc::WeakSender<Input>,
        inbox: Inbox,
    ) -> Self {
        let undo = Undo::new(&new.id, &new.folder, &model.shared);
        let summary = Arc::new(Mutex::new(model.summary("idle", false)));
        let remote_refusal = new.launch.remote_refusal.clone();
        Self {
            model,
            folder: new.folder,
            launch: new.launch,
            session_rules: Vec::new(),
            environment: new.environment,
            agent: None,
            acp_session: None,
            turn: None,
            autopilot: Run::default(),
            terminals: Terminals::default(),
            steering_handed_over: None,
            go_on: false,
            trusted: false,
            closed: false,
            remote_before_close: false,
            budget: None,
            remote_refusal,
            named_by_person: false,
            clients: Vec::new(),
            own_inputs,
            inbox,
            ahead: false,
            views: Views::default(),
            windows: std::collections::HashMap::new(),
            summary,
            unkept_step: false,
            unkept: Unkept::default(),
            kept_extras: None,
            kept_summary: None,
            pending_operations: Vec::new(),
            undo,
            for_agent: Vec::new(),
            pending_by: std::collections::HashMap::new(),
            turn_by: None,
            step_by: None,
            stored: false,
            needs_somebody: false,
            quiet_since: None,
        }
    }

    /// A session that was kept. A turn that was running then is interrupted now: it says so, and
    /// nothing of it is run again unless somebody asks.
    pub(super) fn revived(
        id: &str,
        revived: Revived,
        shared: Arc<Shared>,
        own_inputs: mpsc::WeakSender<Input>,
        inbox: Inbox,
    ) -> Result<Self, Unreadable> {
        let directories = revived.kept.session.working_directories.as_ref();
        let folder = directories.and_then(|d| crate::uri::to_path(d.first()?));
        let new = NewSession {
            id: id.to_owned(),
            provider: revived.kept.session.provider.clone(),
            folder: folder.ok_or_else(|| Unreadable::new("it names no folder"))?,
            launch: revived.kept.extras.launch(),
            environment: None,
            created_by: None,
        };
        let extras = revived.kept.extras.clone();
        let model = Model::revived(id, revived, shared);
        let mut actor = Self::new_with(model, new, own_inputs, inbox);
        actor.session_rules = extras.session_rules();
        actor.acp_session = extras.acp_session.clone();
        actor.trusted = extras.trusted;
        actor.closed = extras.closed;
        actor.for_agent.clone_from(&extras.for_agent);
        actor.remote_before_close = extras.remote_before_close;
        actor.named_by_person = extras.named_by_person;
        actor.kept_extras = Some(extras);
        actor.stored = true;
        actor.interrupted();
        actor.settle();
        // Lists are right from the start; what reviving changed is kept first of all by the loop.
        *actor.listed() = actor.model.summary(actor.state_word(), actor.closed);
        Ok(actor)
    }

    /// Its line in lists.
    fn listed(&self) -> MutexGuard<'_, SessionSummary> {
        self.summary.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn id(&self) -> &str {
        &self.model.id
    }

    pub(super) fn summary_cell(&self) -> Arc<Mutex<SessionSummary>> {
        Arc::clone(&self.summary)
    }

    /// Runs until the session is disposed, parked, or the host goes away.
    pub(super) async fn run(mut self) {
        let was_interrupted = !self.model.completed.is_empty();
        self.commit(was_interrupted).await;
        self.undo.go_on();
        let mut worked_since = Instant::now();
        loop {
            if self.unkept_step {
                self.give_up().await;
                return;
            }
            let deadline = self.turn.as_ref().and_then(Turn::cancel_deadline);
            let start_deadline = self
                .agent
                .as_ref()
                .and_then(AgentConnection::start_deadline);
            let park_at = self.park_at();
            tokio::select! {
                biased;
                input = self.inbox.next() => match input {
                    None => break,
                    Some(Input::Dispose { by, done }) => {
                        self.close().await;
                        self.forget_everything(by).await;
                        for late in self.inbox.close().await {
                            self.is_gone(late);
                        }
                        // Nobody waits any more when the asking client is gone.
                        let _ = done.send(());
                        return;
                    }
                    Some(Input::Close { by, done }) => {
                        self.close().await;
                        self.record(by, Event::SessionClosed);
                        self.settle();
                        self.commit(true).await;
                        let _ = done.send(());
                        continue;
                    }
                    Some(Input::Suspend { done }) => {
                        self.suspend().await;
                        let _ = done.send(());
                        return;
                    }
                    Some(input) => {
                        let durable = matches!(input, Input::Dispatch { .. });
                        self.input(input).await;
                        self.settle();
                        self.commit(durable).await;
                    }
                },
                () = until(deadline) => {
                    self.cancel_overdue().await;
                    self.settle();
                    self.commit(true).await;
                }
                () = until(start_deadline) => {
                    self.start_overdue().await;
                    self.settle();
                    self.commit(true).await;
                }
                event = AgentConnection::next(&mut self.agent) => {
                    self.agent_event(event);
                    if !self.said_only_text() {
                        self.settle();
                    }
                    let durable = !self.model.completed.is_empty();
                    self.commit(durable).await;
                    // However much it says, the others have their turn.
                    if worked_since.elapsed() > SLICE {
                        tokio::task::yield_now().await;
                        worked_since = Instant::now();
                    }
                }
                () = self.views.encoded() => {
                    self.show_waiting().await;
                    self.settle();
                    self.commit(false).await;
                }
                done = self.undo.next() => {
                    self.undo_job_ended(done);
                    self.settle();
                    let durable = !self.model.completed.is_empty();
                    self.commit(durable).await;
                }
                () = until(park_at) => {
                    if self.park().await {
                        return;
                    }
                }
            }
        }
        self.suspend().await;
    }

    pub(super) async fn input(&mut self, input: Input) {
        match input {
            Input::Subscribe(asked) => self.subscribe(asked).await,
            Input::Snapshot {
                client,
                channel,
                view,
                reply,
            } => {
                let snapshot = self.subscribe_for_snapshot(&client, &channel, view).await;
                // The connection went away while it waited.
                let _ = reply.send(snapshot);
            }
            Input::Attached { client } => self.attached(client),
            Input::Detached { client } => {
                self.views.forget(client);
                self.clients.retain(|c| c.id() != client);
                self.windows.remove(&client);
            }
            Input::Dispatch {
                client,
                channel,
                origin,
                action,
            } => self.dispatch(&client, &channel, &origin, *action).await,
            Input::FetchTurns {
                client,
                request_id,
                cursor,
            } => {
                self.fetch_turns(&client, &request_id, cursor.as_deref())
                    .await;
            }
            Input::Completions {
                client,
                request_id,
                channel,
                typed,
            } => self.complete(&client, &request_id, &channel, &typed),
            Input::Undo {
                by,
                number,
                dry_run,
                reply,
            } => self.undo_asked(by, number, dry_run, reply),
            // Handled by the loop.
            Input::Close { .. } | Input::Dispose { .. } | Input::Suspend { .. } => {}
            // The step settles what is shown of it.
            Input::LinkChanged => {}
            Input::Readable { uri, reply } => {
                let part = match self.is_remote() {
                    true => self.readable(&uri).await,
                    false => None,
                };
                // Whoever asked may be gone.
                let _ = reply.send(part);
            }
            Input::Explain { request, reply } => {
                // Whoever asked may be gone.
                let _ = reply.send(self.decide(std::slice::from_ref(&request)));
            }
            Input::LoginEnvironment(environment) => {
                self.environment.get_or_insert(environment);
                self.go_on_starting();
            }
        }
    }

    async fn dispatch(
        &mut self,
        client: &Arc<Client>,
        channel: &str,
        origin: &ActionOrigin,
        action: StateAction,
    ) {
        let identity = client.identity();
        if !self.is_there_for(identity.trust) {
            // As one that does not exist.
            let reason = crate::host::no_session_behind(channel);
            self.reject(client, channel, &action, origin, &reason);
            return;
        }
        let known = self.known_from_before(&action).await;
        let remote_refused = self.remote_refused(&action).await;
        let (managed, managed_file) = self.model.shared.managed();
        let admitted = admit::admit(
            &Context {
                session: &self.model.session,
                chat: &self.model.chat,
                session_uri: &self.model.session_uri,
                identity: &identity,
                answers: &self.model.answers,
                steering_handed_over: self.steering_handed_over.as_deref(),
                spent: &self.model.spent,
                cancelling: self.turn.as_ref().is_some_and(Turn::is_cancelling),
                remote_refused: remote_refused.as_deref(),
                allow_all_forbidden_by: managed.allow_all_forbidden.then_some(managed_file),
                now: &now(),
            },
            channel,
            &action,
        );
        let admitted = match known {
            Some(reason) if admitted.is_ok() => Err(reason),
            _ => admitted,
        };
        let admitted = match commands::refused(identity.trust, &action) {
            Some(reason) => Err(reason),
            None => admitted,
        };
        match admitted {
            Ok(admitted) => {
                self.step_by = Some(client.who());
                tracing::info!(session = %self.model.id, client = %identity.name, action = admit::type_of(&action), "admitted");
                if matches!(
                    admitted,
                    Admitted::StartTurn(_) | Admitted::Resume(_) | Admitted::Pend(_)
                ) {
                    self.restore_remote().await;
                }
                if !self.carry_out(admitted, client, origin) {
                    self.reject(client, channel, &action, origin, NO_EFFECT);
                }
            }
            Err(reason) => {
                tracing::info!(session = %self.model.id, client = %identity.name, action = admit::type_of(&action), %reason, "rejected");
                if identity.trust == Trust::Agent {
                    let (shared, what) = (&self.model.shared, admit::type_of(&action));
                    shared.record_refusal(client, Some(&self.model.id), &what, &reason);
                }
                self.reject(client, channel, &action, origin, &reason);
            }
        }
    }

    /// Tells the one who asked why not.
    pub(super) fn reject(
        &self,
        client: &Client,
        channel: &str,
        action: &StateAction,
        origin: &ActionOrigin,
        reason: &str,
    ) {
        let sequencer = &self.model.shared.sequencer;
        sequencer.send_to(
            client.outbound(),
            channel,
            action,
            Some(origin),
            Some(reason),
        );
    }

    /// The rejection of an input whose turn is so old that only the store knows it.
    async fn known_from_before(&self, action: &StateAction) -> Option<String> {
        let id = match action {
            StateAction::ChatTurnStarted(a) => &a.turn_id,
            StateAction::ChatPendingMessageSet(a) => &a.id,
            _ => return None,
        };
        if self.model.earlier_turns == 0 {
            return None;
        }
        self.ordinal_of(id)
            .await
            .map(|_| "duplicate: this was started before".into())
    }

    /// `false`: it changed nothing, and nobody was told anything.
    fn carry_out(
        &mut self,
        admitted: Admitted,
        client: &Arc<Client>,
        origin: &ActionOrigin,
    ) -> bool {
        match admitted {
            Admitted::StartTurn(action) => {
                self.start_turn(action, Some(origin));
                if self.go_on {
                    self.start_next();
                }
            }
            Admitted::Resume(action) => return self.resume_turn(action, origin),
            Admitted::Cancel(turn) => {
                self.record_cancel(turn);
                self.cancel(Some((Arc::clone(client), origin.clone())));
            }
            Admitted::Confirm { action, answer } => self.confirm(action, answer, Some(origin)),
            Admitted::CompleteInput { action, answer } => {
                self.complete_input(action, answer, Some(origin))
            }
            Admitted::Configure(action) => {
                return self.configure(action, Some(origin), &client.identity().name);
            }
            Admitted::Pend(action) => {
                self.pending_by.insert(action.id.clone(), client.who());
                let set = StateAction::ChatPendingMessageSet(action.clone());
                let applied = self.model.chat(set, Some(origin));
                if !self.obey_at_once(&action) {
                    self.hand_over_steering();
                }
                self.start_next();
                return applied;
            }
            Admitted::TakeBack(action) => {
                let id = action.id.clone();
                let action = StateAction::ChatPendingMessageRemoved(action);
                let applied = self.model.chat(action, Some(origin));
                self.model.remember_spent(&id);
                self.pending_by.remove(&id);
                return applied;
            }
            Admitted::Apply(action) => {
                if let StateAction::SessionTitleChanged(_) = &action {
                    self.named_by_person = true;
                }
                return match admit::type_of(&action).starts_with("session/") {
                    true => self.model.session(action, Some(origin)),
                    false => self.model.chat(action, Some(origin)),
                };
            }
        }
        true
    }

    /// Carries out what an agent's update means.
    pub(super) fn effects(&mut self, effects: Vec<Effect>) {
        for effect in effects {
            match effect {
                Effect::Chat(action) => {
                    self.model.chat(*action, None);
                }
                Effect::Todos(todos) => self.model.todos = todos,
                Effect::Title(title) => self.rename_by_agent(&title),
                Effect::TerminalOpened { call, title } => {
                    let Some(turn) = &self.turn else { continue };
                    self.terminals.open(&self.model, &turn.id, &call, title);
                }
                Effect::TerminalData { call, data } => {
                    if let Some(loss) = self.terminals.data(&self.model, &call, &data) {
                        self.notice(&loss, "output-cut");
                    }
                }
                Effect::TerminalExited { call, exit_code } => {
                    self.terminals.exited(&self.model, &call, exit_code)
                }
            }
        }
    }

    /// Gives the session a title unless a person did.
    pub(super) fn rename_by_agent(&mut self, title: &str) {
        let title = one_line(title, admit::MAX_TITLE_CHARS);
        if !self.named_by_person && !title.is_empty() && title != self.model.session.title {
            self.model.session(
                StateAction::SessionTitleChanged(SessionTitleChangedAction { title }),
                None,
            );
        }
    }

    /// The content of this session, for translating updates, beside the turn's translator.
    pub(super) fn translating(&mut self) -> Option<(&mut Turn, SessionContents<'_>)> {
        let contents = SessionContents {
            id: &self.model.id,
            store: &self.model.shared.contents,
            terminals: &self.terminals,
        };
        Some((self.turn.as_mut()?, contents))
    }

    /// The rules as they are now: settings may have changed since the last request.
    pub(super) fn rules(&self) -> RuleSet {
        let mut rules = rule_set(
            &self.model.shared,
            &self.folder,
            &self.launch,
            &self.session_rules,
        );
        rules.pinned = self.is_built_in();
        if self.allows_all() {
            rules.allow_all = AllowAll::EVERYTHING;
        }
        rules
    }

    /// The word for what the session does; see docs/protocol.md.
    pub(super) fn state_word(&self) -> &'static str {
        let open = self.model.open_requests();
        let asked = |r: &SessionInputRequest| matches!(r, SessionInputRequest::ChatInput(_));
        let planned = |r: &SessionInputRequest| match r {
            SessionInputRequest::ChatInput(r) => plan::is_plan(&r.id),
            _ => false,
        };
        match &self.turn {
            Some(_) if open.iter().any(planned) => "plan-ready",
            Some(_) if open.iter().any(asked) => "needs-answer",
            Some(_) if !open.is_empty() => "needs-permission",
            Some(turn) if turn.phase == Phase::Starting => "starting",
            Some(_) => "working",
            None if self.closed => "stored",
            None => match self.model.chat.turns.last() {
                // Also when it left memory: somebody should look.
                Some(last) if last.state == TurnState::Error => "error",
                _ if self.stored => "stored",
                _ => "idle",
            },
        }
    }

    pub(super) fn settle(&mut self) {
        let meta = self.meta_now();
        self.model.settle(meta);
    }

    /// The `_meta` of the session's state, as it should be now.
    fn meta_now(&self) -> JsonObject {
        let word = self.state_word();
        let mut meta = JsonObject::from_iter([("copilot.state".to_owned(), json!(word))]);
        if self.closed {
            meta.insert("copilot.closed".into(), json!(true));
        }
        if self.turn.as_ref().is_some_and(Turn::is_cancelling) {
            meta.insert("copilot.cancelling".into(), json!(true));
        }
        if !self.clients.is_empty() {
            let client = |c: &Arc<Client>| {
                let identity = c.identity();
                json!({"name": identity.name, "trust": identity.trust})
            };
            meta.insert(
                "copilot.clients".into(),
                Value::Array(self.clients.iter().map(client).collect()),
            );
        }
        if let Some(remote) = self.remote_meta() {
            meta.insert("copilot.remote".into(), remote);
        }
        if let Some(agent) = &self.agent {
            meta.insert(
                "copilot.agent".into(),
                json!({"name": agent.name, "pid": agent.pid()}),
            );
        }
        self.model.meta(meta)
    }

    /// The session's line in lists, as it is now.
    pub(super) fn summary_now(&self) -> SessionSummary {
        self.model.summary(self.state_word(), self.closed)
    }

    /// Says so on the desktop when somebody begins to be needed and nobody looks.
    pub(super) fn tell_desktop(&mut self) {
        let needed = self.model.session.input_needed.as_ref();
        let needed = needed.is_some_and(|requests| !requests.is_empty());
        let before = std::mem::replace(&mut self.needs_somebody, needed);
        let shared = &self.model.shared;
        let begins = needed && !before && self.clients.is_empty();
        if !begins || !shared.settings().notifications() {
            return;
        }
        let title = &self.model.session.title;
        if let Some(notification) = Notification::of(self.state_word(), title, self.id()) {
            notification.show(self.environment.clone());
        }
    }

    /// Tells the lists what changed.
    pub(super) fn publish_summary(&mut self) {
        let summary = self.summary_now();
        let mut listed = self.listed();
        if *listed == summary {
            return;
        }
        let changes = ahp_types::notifications::PartialSessionSummary {
            title: (listed.title != summary.title).then(|| summary.title.clone()),
            status: (listed.status != summary.status).then_some(summary.status),
            modified_at: (listed.modified_at != summary.modified_at)
                .then(|| summary.modified_at.clone()),
            meta: (listed.meta != summary.meta)
                .then(|| summary.meta.clone())
                .flatten(),
            chats: (listed.chats != summary.chats)
                .then(|| summary.chats.clone())
                .flatten(),
            ..Default::default()
        };
        *listed = summary;
        drop(listed);
        self.model.shared.notify_root(
            &self.model.id,
            "root/sessionSummaryChanged",
            &json!({"channel": "ahp-root://", "session": self.model.session_uri, "changes": changes}),
        );
    }

    /// Leaves memory because a step could not be kept. Who looks is told, and finds what was kept.
    async fn give_up(&mut self) {
        self.stop_agent().await;
        self.undo.rest().await;
        self.show_nobody();
        let sequencer = &self.model.shared.sequencer;
        for channel in [&self.model.session_uri, &self.model.chat_uri] {
            let reason = "what happened last could not be kept, so it did not happen; see \
                          `copilot daemon logs`, and restart the daemon if it happens again";
            sequencer.close_with(channel, reason);
        }
        let late = self.inbox.close().await;
        if let Some(host) = self.model.shared.host() {
            host.parked(&self.model.id, late).await;
        }
    }

    /// Ends the agent because the daemon ends. A running turn is interrupted, not lost.
    async fn suspend(&mut self) {
        self.stop_agent().await;
        if self.turn.take().is_some() {
            self.interrupted();
        }
        self.stored = true;
        self.settle();
        self.commit(true).await;
    }

    /// Ends the turn and the agent, and waits until nothing of the session runs any more.
    async fn close(&mut self) {
        self.stop_agent().await;
        if self.turn.is_some() {
            self.end_turn(End::Cancelled);
        }
        self.end_remote();
        self.end_allow_all();
        self.closed = true;
    }

    async fn forget_everything(&mut self, by: Who) {
        let title = self.model.session.title.clone();
        self.record(by, Event::SessionDeleted { title });
        let mut operations = std::mem::take(&mut self.pending_operations);
        operations.push(Operation::Delete);
        // What is not gone from the store is there again after a restart; that is in the log.
        self.keep(operations, true).await;
        self.remove_scratch();
        self.undo.forget().await;
        self.show_nobody();
        let shared = Arc::clone(&self.model.shared);
        shared.sequencer.close(&self.model.session_uri);
        shared.sequencer.close(&self.model.chat_uri);
        self.forget_conversation();
        if let Err(error) = shared.contents.remove_session(&self.model.id) {
            tracing::error!(%error, session = %self.model.id, "the content of a deleted session could not be removed");
        }
    }

    /// Removes what the built-in agent keeps of the conversation; others keep theirs where they
    /// want.
    fn forget_conversation(&self) {
        let is_name = |id: &&String| {
            let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
            !id.is_empty() && id.bytes().all(plain)
        };
        let Some(id) = self
            .acp_session
            .as_ref()
            .filter(is_name)
            .filter(|_| self.is_built_in())
        else {
            return;
        };
        let folder = self.model.shared.paths.agent_state_dir();
        match std::fs::remove_file(folder.join(format!("{id}.jsonl"))) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                tracing::error!(%error, session = %self.model.id, "the conversation of a deleted session could not be removed");
            }
            _ => {}
        }
    }

    /// When to leave memory: nothing runs, nothing waits to run, nobody looks.
    fn park_at(&mut self) -> Option<Instant> {
        let quiet = self.turn.is_none()
            && self.clients.is_empty()
            && self.undo.is_idle()
            && self.views.is_idle()
            && self.agent.as_ref().is_none_or(AgentConnection::can_restore);
        if !quiet {
            self.quiet_since = None;
            return None;
        }
        let since = *self.quiet_since.get_or_insert_with(Instant::now);
        // Whoever closed it said that nothing comes soon.
        match self.closed {
            true => Some(since),
            false => Some(since + self.model.shared.park_after),
        }
    }

    /// Ends the agent and leaves memory. Inputs that came at the last moment find the session again
    /// through the host. `false`: somebody came, and it stays.
    async fn park(&mut self) -> bool {
        if !self.inbox.is_empty() {
            return false;
        }
        let Some(host) = self.model.shared.host() else {
            return false;
        };
        pause::reached("before-park");
        self.stop_agent().await;
        self.undo.rest().await;
        self.stored = true;
        self.settle();
        self.commit(true).await;
        pause::reached("after-park");
        tracing::info!(session = %self.model.id, "parked");
        self.model.shared.sequencer.close(&self.model.session_uri);
        self.model.shared.sequencer.close(&self.model.chat_uri);
        let late = self.inbox.close().await;
        host.parked(&self.model.id, late).await;
        true
    }

    pub(super) fn reply_error(&self, client: &Client, request_id: &Value, error: &rpc::RpcError) {
        client.outbound().push(rpc::error(request_id, error));
    }
}

async fn until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline.into()).await,
        None => std::future::pending().await,
    }
}

/// The first line with something on it, shortened at a word where there is one.
pub(super) fn one_line(text: &str, max_chars: usize) -> String {
    let line = text
        .lines()
        .map(str::trim)
        .find(|l| !l.is_empty())
        .unwrap_or_default();
    let line: String = line.chars().filter(|c| !c.is_control()).collect();
    if line.chars().count() <= max_chars {
        return line;
    }
    let cut: String = line.chars().take(max_chars - 1).collect();
    let end = cut
        .rfind(' ')
        .filter(|at| *at > cut.len() / 2)
        .unwrap_or(cut.len());
    format!("{}…", cut[..end].trim_end())
}

#[cfg(test)]
mod tests {
    use super::one_line;

    #[test]
    fn a_title_is_the_first_line_and_ends_at_a_word() {
        for (text, max, expected) in [
            ("\n  Fix the bug \nplease", 60, "Fix the bug"),
            ("one two three four", 12, "one two…"),
            ("abcdefghijklmno", 6, "abcde…"),
            ("a\u{1b}[31mb", 60, "a[31mb"),
            ("", 10, ""),
        ] {
            assert_eq!(one_line(text, max), expected);
        }
    }
}
