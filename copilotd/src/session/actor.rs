//! The loop of a session: one input or agent event at a time, then what is derived from them.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use ahp_types::actions::*;
use ahp_types::common::JsonObject;
use ahp_types::state::*;
use serde_json::{Value, json};
use tokio::sync::mpsc;

use super::agent::AgentConnection;
use super::state::{Model, now};
use super::terminal::{SessionContents, Terminals};
use super::turn::{End, Phase, Turn};
use super::{Input, Launch, NewSession};
use crate::agent::environment::SessionEnvironment;
use crate::agent::translate::Effect;
use crate::host::admit::{self, Admitted, Context};
use crate::host::{Client, Shared, rpc};
use crate::permissions::{Guard, Rule, RuleSet, Source};

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
    pub(super) terminals: Terminals,
    /// Id of the steering message that the agent holds.
    pub(super) steering_handed_over: Option<String>,
    pub(super) trusted: bool,
    pub(super) closed: bool,
    /// Whether a person named the session; then no agent renames it.
    named_by_person: bool,
    pub(super) clients: Vec<Arc<Client>>,
    pub(super) own_inputs: mpsc::WeakSender<Input>,
    /// The oldest turn that each client has, for pages without a cursor.
    pub(super) windows: std::collections::HashMap<u64, String>,
    summary: Arc<Mutex<SessionSummary>>,
}

impl Actor {
    pub(super) fn new(
        new: NewSession,
        shared: Arc<Shared>,
        own_inputs: mpsc::WeakSender<Input>,
    ) -> Self {
        let mut model = Model::new(&new, shared);
        // The state that the first subscriber sees is complete from the start.
        model.session.meta = Some(model.meta(JsonObject::from_iter([(
            "copilot.state".to_owned(),
            json!("idle"),
        )])));
        let summary = Arc::new(Mutex::new(model.summary("idle")));
        Self {
            model,
            folder: new.folder,
            launch: new.launch,
            session_rules: Vec::new(),
            environment: new.environment,
            agent: None,
            acp_session: None,
            turn: None,
            terminals: Terminals::default(),
            steering_handed_over: None,
            trusted: false,
            closed: false,
            named_by_person: false,
            clients: Vec::new(),
            own_inputs,
            windows: std::collections::HashMap::new(),
            summary,
        }
    }

    pub(super) fn id(&self) -> &str {
        &self.model.id
    }

    pub(super) fn summary_cell(&self) -> Arc<Mutex<SessionSummary>> {
        Arc::clone(&self.summary)
    }

    /// Runs until the session is disposed or the host goes away.
    pub(super) async fn run(mut self, mut inputs: mpsc::Receiver<Input>) {
        loop {
            let deadline = self.turn.as_ref().and_then(Turn::cancel_deadline);
            tokio::select! {
                biased;
                input = inputs.recv() => match input {
                    None => break,
                    Some(Input::Dispose { done }) => {
                        self.close().await;
                        self.forget_everything();
                        // Nobody waits any more when the asking client is gone.
                        let _ = done.send(());
                        return;
                    }
                    Some(input) => self.input(input).await,
                },
                () = until(deadline) => self.cancel_overdue().await,
                event = AgentConnection::next(&mut self.agent) => self.agent_event(event),
            }
            self.settle();
        }
        self.close().await;
    }

    async fn input(&mut self, input: Input) {
        match input {
            Input::Subscribe {
                client,
                request_id,
                channel,
                view,
                latency,
            } => {
                self.subscribe(&client, &request_id, &channel, view, latency);
            }
            Input::Snapshot {
                client,
                channel,
                view,
                reply,
            } => {
                let snapshot = self.subscribe_for_snapshot(&client, &channel, view);
                // The connection went away while it waited.
                let _ = reply.send(snapshot);
            }
            Input::Attached { client } => self.attached(client),
            Input::Detached { client } => {
                self.clients.retain(|c| c.id() != client);
                self.windows.remove(&client);
            }
            Input::Dispatch {
                client,
                channel,
                origin,
                action,
            } => self.dispatch(&client, &channel, &origin, *action),
            Input::FetchTurns {
                client,
                request_id,
                cursor,
            } => self.fetch_turns(&client, &request_id, cursor.as_deref()),
            Input::Close { done } => {
                self.close().await;
                self.settle();
                let _ = done.send(());
            }
            // Handled by the loop.
            Input::Dispose { .. } => {}
            Input::LoginEnvironment(environment) => {
                self.environment.get_or_insert(environment);
                self.go_on_starting();
            }
        }
    }

    fn dispatch(
        &mut self,
        client: &Arc<Client>,
        channel: &str,
        origin: &ActionOrigin,
        action: StateAction,
    ) {
        let identity = client.identity();
        let admitted = admit::admit(
            &Context {
                session: &self.model.session,
                chat: &self.model.chat,
                session_uri: &self.model.session_uri,
                identity: &identity,
                answers: &self.model.answers,
                steering_handed_over: self.steering_handed_over.as_deref(),
                cancelling: self.turn.as_ref().is_some_and(Turn::is_cancelling),
                now: &now(),
            },
            channel,
            &action,
        );
        match admitted {
            Ok(admitted) => {
                tracing::info!(session = %self.model.id, client = %identity.name, action = admit::type_of(&action), "admitted");
                self.carry_out(admitted, origin);
            }
            Err(reason) => {
                tracing::info!(session = %self.model.id, client = %identity.name, action = admit::type_of(&action), %reason, "rejected");
                let sequencer = &self.model.shared.sequencer;
                sequencer.send_to(
                    client.outbound(),
                    channel,
                    &action,
                    Some(origin),
                    Some(&reason),
                );
            }
        }
    }

    fn carry_out(&mut self, admitted: Admitted, origin: &ActionOrigin) {
        match admitted {
            Admitted::StartTurn(action) => self.start_turn(action, Some(origin)),
            Admitted::Cancel(_) => self.cancel(origin),
            Admitted::Confirm { action, answer } => self.confirm(action, answer, Some(origin)),
            Admitted::CompleteInput { action, answer } => {
                self.complete_input(action, answer, Some(origin))
            }
            Admitted::Pend(action) => {
                self.model
                    .chat(StateAction::ChatPendingMessageSet(action), Some(origin));
                self.hand_over_steering();
                self.start_next();
            }
            Admitted::Apply(action) => {
                if let StateAction::SessionTitleChanged(_) = &action {
                    self.named_by_person = true;
                }
                let on_session = admit::type_of(&action).starts_with("session/");
                let applied = match on_session {
                    true => self.model.session(action.clone(), Some(origin)),
                    false => self.model.chat(action.clone(), Some(origin)),
                };
                if !applied {
                    tracing::warn!(session = %self.model.id, "an admitted action had no effect");
                }
            }
        }
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
                    self.terminals.data(&self.model, &call, &data)
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
        let settings = self.model.shared.settings();
        let from_settings = || Source::Settings(self.model.shared.paths.settings_file());
        let flags = |rules: &[Rule]| {
            rules
                .iter()
                .map(|r| (r.clone(), Source::Flag))
                .collect::<Vec<_>>()
        };
        let mut allow = flags(&self.launch.allow);
        allow.extend(
            self.session_rules
                .iter()
                .map(|r| (r.clone(), Source::Session)),
        );
        allow.extend(
            settings
                .permissions
                .allow
                .iter()
                .map(|r| (r.clone(), from_settings())),
        );
        let mut deny = flags(&self.launch.deny);
        deny.extend(
            settings
                .permissions
                .deny
                .iter()
                .map(|r| (r.clone(), from_settings())),
        );
        let guard: Guard = self.model.shared.guard.clone();
        RuleSet {
            allow,
            deny,
            allow_all: self.launch.allow_all,
            guard,
        }
    }

    /// The word for what the session does; see docs/protocol.md.
    fn state_word(&self) -> &'static str {
        match &self.turn {
            Some(turn) if !turn.questions.is_empty() || turn.phase == Phase::Trust => {
                "needs-answer"
            }
            Some(turn) if !turn.permissions.is_empty() => "needs-permission",
            Some(turn) if turn.phase == Phase::Starting => "starting",
            Some(_) => "working",
            None if self.closed => "stored",
            None => match self.model.chat.turns.last() {
                Some(last) if last.state == TurnState::Error => "error",
                _ => "idle",
            },
        }
    }

    fn settle(&mut self) {
        let word = self.state_word();
        let mut meta = JsonObject::from_iter([("copilot.state".to_owned(), json!(word))]);
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
        if let Some(agent) = &self.agent {
            meta.insert(
                "copilot.agent".into(),
                json!({"name": agent.name, "pid": agent.pid()}),
            );
        }
        let meta = self.model.meta(meta);
        self.model.settle(meta);
        self.settle_summary(word);
    }

    /// Tells the lists what changed.
    fn settle_summary(&mut self, word: &str) {
        let summary = self.model.summary(word);
        let mut listed = self.summary.lock().unwrap_or_else(PoisonError::into_inner);
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
            "root/sessionSummaryChanged",
            &json!({"channel": "ahp-root://", "session": self.model.session_uri, "changes": changes}),
        );
    }

    /// Ends the turn and the agent, and waits until nothing of the session runs any more.
    async fn close(&mut self) {
        self.stop_agent().await;
        if self.turn.is_some() {
            self.end_turn(End::Cancelled);
        }
        self.closed = true;
    }

    fn forget_everything(&mut self) {
        let shared = Arc::clone(&self.model.shared);
        shared.sequencer.close(&self.model.session_uri);
        shared.sequencer.close(&self.model.chat_uri);
        if let Err(error) = shared.contents.remove_session(&self.model.id) {
            tracing::error!(%error, session = %self.model.id, "the content of a deleted session could not be removed");
        }
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
