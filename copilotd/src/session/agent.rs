//! A session's connection to its agent: handshake, prompt, and what the agent sends.

use std::sync::Arc;
use std::time::Instant;

use agent_client_protocol_schema::ProtocolVersion;
use agent_client_protocol_schema::v1::{
    AgentCapabilities, CancelNotification, ClientCapabilities, ContentBlock,
    ElicitationCapabilities, ElicitationFormCapabilities, Implementation, InitializeRequest,
    InitializeResponse, LoadSessionRequest, NewSessionRequest, NewSessionResponse, PromptRequest,
    ResumeSessionRequest, SessionModeState, SessionNotification, SessionUpdate,
    SetSessionModeRequest, TextContent,
};
use ahp_types::common::JsonObject;
use ahp_types::state::UsageInfo;
use serde_json::value::RawValue;
use serde_json::{Value, json};
use tokio::sync::mpsc;

use super::Input;
use super::actor::{Actor, one_line};
use super::autopilot::Ended;
use super::commands::{self, OfAgent};
use super::turn::{End, Phase};
use crate::agent::environment::SessionEnvironment;
use crate::agent::modes::AgentModes;
use crate::agent::process::{self, AgentEvent, AgentProcess};
use crate::agent::rpc::{self, Incoming, OpenRequests, RpcFailure};
use crate::agent::{STATE_DIR_VARIABLE, translate, tree};
use crate::pause;
use crate::store::{Operation, ProcessRecord};

const METHOD_NOT_FOUND: i64 = -32601;
/// How much is shown of what an agent calls its modes, in characters.
const MODE_NAME_CHARS: usize = 60;

/// Why a request was sent to the agent.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Purpose {
    Initialize,
    NewSession,
    RestoreSession,
    Prompt { turn_id: String },
    Steer { message_id: String },
    SetMode { mode: String },
}

/// What the agent can do beyond the minimum.
#[derive(Debug, Clone, Copy, Default)]
struct Abilities {
    load: bool,
    resume: bool,
    steer: bool,
    /// It declares when a task is complete.
    complete: bool,
}

/// A running agent and the conversation with it.
pub(super) struct AgentConnection {
    /// Name in settings.
    pub(super) name: String,
    process: AgentProcess,
    events: mpsc::Receiver<AgentEvent>,
    open: OpenRequests<Purpose>,
    abilities: Abilities,
    modes: AgentModes,
    /// The commands that it says it has.
    pub(super) commands: Vec<OfAgent>,
    /// When it is confined as a whole: whether that is so for plan mode.
    pub(super) confined_for_plan: Option<bool>,
    /// Whether a prompt can be sent.
    ready: bool,
    /// Until when it has to be ready.
    ready_by: Instant,
    /// Why the daemon ended it, when it did; what it still says is not heard.
    broken: Option<String>,
    /// Lines that go out when the step that made them is kept.
    outgoing: Vec<String>,
}

impl AgentConnection {
    /// Process id.
    pub(super) fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// The next thing the agent does; never, when there is none. Cancel-safe.
    pub(super) async fn next(agent: &mut Option<Self>) -> AgentEvent {
        let Some(connection) = agent else {
            return std::future::pending().await;
        };
        let ended = || process::Ended {
            how: "its supervisor is gone".into(),
            last_words: String::new(),
        };
        connection
            .events
            .recv()
            .await
            .unwrap_or_else(|| AgentEvent::Ended(ended()))
    }

    /// Until when it has to be ready; nothing when it is.
    pub(super) fn start_deadline(&self) -> Option<Instant> {
        (!self.ready).then_some(self.ready_by)
    }

    /// Whether its conversation can be had again after it was ended.
    pub(super) fn can_restore(&self) -> bool {
        self.abilities.resume || self.abilities.load
    }

    fn request(&mut self, purpose: Purpose, method: &str, params: &impl serde::Serialize) {
        let id = self.open.open(purpose);
        self.outgoing.push(rpc::request(id, method, params));
    }
}

impl Actor {
    /// Gets the turn's prompt to the agent, starting one where none runs.
    pub(super) fn go_on_starting(&mut self) {
        if self
            .turn
            .as_ref()
            .is_none_or(|t| t.phase != Phase::Starting)
        {
            return;
        }
        if self.is_confined_for_another_mode() {
            self.start_agent_anew();
            return;
        }
        match &self.agent {
            Some(agent) if agent.ready => self.send_prompt(),
            Some(_) => {}
            None => self.start_agent(),
        }
    }

    /// Ends an agent that runs no turn and starts another one, which goes on with its conversation
    /// where it can.
    fn start_agent_anew(&mut self) {
        let Some(agent) = self.agent.take() else {
            return;
        };
        self.forget_process(agent.pid());
        self.steering_handed_over = None;
        if !agent.can_restore() {
            self.acp_session = None;
            self.notice("The agent was started anew because the mode changed, and does not remember this conversation.", "memory-lost");
        }
        drop(agent);
        self.start_agent();
    }

    fn start_agent(&mut self) {
        let Some(environment) = self.environment.clone() else {
            self.ask_for_environment();
            return;
        };
        let name = self.model.session.provider.clone();
        let Some(command) = self.model.shared.agent_command(&name) else {
            let message = format!("There is no agent `{name}` in the settings any more.");
            self.end_turn(End::error("agent-start-failed", message));
            return;
        };
        let shared = Arc::clone(&self.model.shared);
        let state_dir = shared.paths.agent_state_dir();
        let mut own_vars = vec![
            ("COPILOT_SESSION_ID", std::ffi::OsStr::new(&self.model.id)),
            (STATE_DIR_VARIABLE, state_dir.as_os_str()),
        ];
        let confined = self.confined(&command);
        if let Ok(Some(confined)) = &confined {
            own_vars.push(("TMPDIR", confined.scratch.as_os_str()));
        }
        pause::reached("before-spawn");
        let spawned = match &confined {
            Err(error) => Err(std::io::Error::new(error.kind(), error.to_string())),
            Ok(confined) => {
                let confinement = confined.as_ref().map(|c| &c.confinement);
                let folder = &self.folder;
                process::spawn(&command, folder, &environment, &own_vars, confinement)
            }
        };
        pause::reached("after-spawn");
        match spawned {
            Ok((process, events)) => {
                tracing::info!(session = %self.model.id, agent = %name, pid = process.pid(), "agent started");
                let open = OpenRequests::default();
                let abilities = Abilities::default();
                let mut agent = AgentConnection {
                    name,
                    process,
                    events,
                    open,
                    abilities,
                    modes: AgentModes::default(),
                    commands: Vec::new(),
                    confined_for_plan: confined.ok().flatten().map(|c| c.for_plan),
                    ready: false,
                    ready_by: Instant::now() + shared.agent_start_limit,
                    broken: None,
                    outgoing: Vec::new(),
                };
                self.pending_operations.extend(
                    process_record(&self.model.id, agent.pid()).map(Operation::RecordProcess),
                );
                agent.request(Purpose::Initialize, "initialize", &initialize());
                self.agent = Some(agent);
            }
            Err(error) => {
                let program = command.program.display();
                let folder = self.folder.display();
                let hint = match self.folder.is_dir() {
                    false => format!("the folder {folder} does not exist any more"),
                    true => format!(
                        "{error}; check that it is installed and on the PATH of this session"
                    ),
                };
                let message = format!("The agent `{program}` could not be started: {hint}.");
                self.end_turn(End::error("agent-start-failed", message));
            }
        }
    }

    /// No terminal gave an environment: the login shell's is asked for beside the loop.
    fn ask_for_environment(&mut self) {
        let inputs = self.own_inputs.clone();
        tokio::spawn(async move {
            let environment = SessionEnvironment::of_login_shell().await;
            if let Some(inputs) = inputs.upgrade() {
                // The session may have ended meanwhile.
                let _ = inputs
                    .send(Input::LoginEnvironment(Arc::new(environment)))
                    .await;
            }
        });
    }

    /// Something happened on the agent's side.
    pub(super) fn agent_event(&mut self, event: AgentEvent) {
        let is_broken = self.agent.as_ref().is_some_and(|a| a.broken.is_some());
        if is_broken && !matches!(event, AgentEvent::Ended(_)) {
            return;
        }
        match event {
            AgentEvent::Message(Incoming::Notification { method, params }) => {
                self.notified(&method, &params)
            }
            AgentEvent::Message(Incoming::Request { id, method, params }) => {
                self.asked(id, &method, params.get())
            }
            AgentEvent::Message(Incoming::Response { id, result }) => {
                self.answered_by_agent(id, result)
            }
            AgentEvent::Ended(ended) => self.agent_ended(&ended),
        }
    }

    fn notified(&mut self, method: &str, params: &RawValue) {
        if method != "session/update" {
            return;
        }
        // Outside a turn there is nothing to show; while a conversation is loaded its old messages
        // come again and are in the history already.
        let prompting = self
            .turn
            .as_ref()
            .is_some_and(|t| t.phase == Phase::Prompting);
        match serde_json::from_str::<SessionNotification>(params.get()) {
            Ok(SessionNotification {
                update: SessionUpdate::AvailableCommandsUpdate(update),
                ..
            }) => {
                if let Some(agent) = &mut self.agent {
                    agent.commands = commands::of_agent(update.available_commands);
                }
            }
            Ok(_) if !prompting => {}
            Ok(notification) => {
                if let SessionUpdate::CurrentModeUpdate(update) = &notification.update {
                    self.agent_switched_mode(&update.current_mode_id.0);
                }
                for update in translate::steps(notification.update) {
                    let Some((turn, mut contents)) = self.translating() else {
                        return;
                    };
                    let effects = turn.translator.update(update, &mut contents);
                    let too_much = turn.translator.is_too_much();
                    self.effects(effects);
                    if too_much {
                        self.break_off();
                        return;
                    }
                }
            }
            Err(error) => {
                tracing::debug!(%error, "an update of an agent is not understood and skipped")
            }
        }
    }

    /// Ends an agent that talks without end; how it ended comes as that of any agent.
    fn break_off(&mut self) {
        if let Some(agent) = &mut self.agent {
            let most = translate::MAX_TURN_BYTES / (1024 * 1024);
            agent.broken = Some(format!("it said more than {most} MiB in one turn"));
            agent.process.kill();
        }
    }

    fn asked(&mut self, id: Value, method: &str, params: &str) {
        match method {
            "session/request_permission" => self.permission_requested(id, params),
            "elicitation/create" => self.question_asked(id, params),
            _ => self.send_line(rpc::refusal(
                &id,
                METHOD_NOT_FOUND,
                &format!("this client has no method {method}"),
            )),
        }
    }

    fn answered_by_agent(&mut self, id: i64, result: Result<Box<RawValue>, RpcFailure>) {
        let Some(purpose) = self.agent.as_mut().and_then(|a| a.open.close(id)) else {
            return;
        };
        match (purpose, result) {
            (Purpose::Initialize, Ok(result)) => self.initialized(result.get()),
            (Purpose::NewSession, Ok(result)) => {
                match serde_json::from_str::<NewSessionResponse>(result.get()) {
                    Ok(response) => {
                        self.opened(Some(response.session_id.0.to_string()), response.modes)
                    }
                    Err(error) => self.failed_to_start(&format!(
                        "its answer to session/new is not understood ({error})"
                    )),
                }
            }
            (Purpose::RestoreSession, Ok(result)) => {
                let result = serde_json::from_str::<Value>(result.get()).unwrap_or_default();
                let modes = result.get("modes").cloned().unwrap_or_default();
                self.opened(None, serde_json::from_value(modes).ok());
            }
            (Purpose::RestoreSession, Err(failure)) => {
                tracing::warn!(session = %self.model.id, error = %failure.message, "the agent could not resume");
                self.acp_session = None;
                self.notice("The agent could not restore its memory of this conversation and starts without it.", "memory-lost");
                self.open_conversation();
            }
            (Purpose::Initialize | Purpose::NewSession, Err(failure)) => {
                self.failed_to_start(&failure.message)
            }
            (Purpose::Prompt { turn_id }, result) => self.prompt_answered(&turn_id, result),
            (Purpose::SetMode { .. }, Ok(_)) => {}
            (Purpose::SetMode { mode }, Err(failure)) => {
                // What the mode forbids is refused all the same.
                tracing::warn!(session = %self.model.id, %mode, error = %failure.message, "the agent does not switch its mode");
            }
            (Purpose::Steer { message_id }, result) => {
                let accepted = result
                    .ok()
                    .and_then(|r| serde_json::from_str::<Value>(r.get()).ok());
                let accepted = accepted
                    .and_then(|v| v.get("accepted")?.as_bool())
                    .unwrap_or(false);
                self.steering_answered(&message_id, accepted);
            }
        }
    }

    fn initialized(&mut self, result: &str) {
        let response: InitializeResponse = match serde_json::from_str(result) {
            Ok(response) => response,
            Err(error) => {
                self.failed_to_start(&format!(
                    "its answer to initialize is not understood ({error})"
                ));
                return;
            }
        };
        if response.protocol_version != ProtocolVersion::V1 {
            let message = format!(
                "it speaks version {} of the Agent Client Protocol, not 1",
                response.protocol_version
            );
            self.failed_to_start(&message);
            return;
        }
        if let Some(agent) = &mut self.agent {
            agent.abilities = abilities(&response.agent_capabilities);
        }
        self.open_conversation();
    }

    /// Continues the agent's conversation where it can, begins one where not.
    fn open_conversation(&mut self) {
        let Some(agent) = &mut self.agent else { return };
        let folder = self.folder.clone();
        match (&self.acp_session, agent.abilities) {
            (Some(id), Abilities { resume: true, .. }) => {
                let params = ResumeSessionRequest::new(id.clone(), folder);
                agent.request(Purpose::RestoreSession, "session/resume", &params);
            }
            (Some(id), Abilities { load: true, .. }) => {
                let params = LoadSessionRequest::new(id.clone(), folder);
                agent.request(Purpose::RestoreSession, "session/load", &params);
            }
            (before, _) => {
                let forgets = before.is_some();
                let params = NewSessionRequest::new(folder);
                agent.request(Purpose::NewSession, "session/new", &params);
                if forgets {
                    self.acp_session = None;
                    self.notice("This agent cannot restore its memory of a conversation: it was started anew and does not remember this one.", "memory-lost");
                }
            }
        }
    }

    fn opened(&mut self, id: Option<String>, modes: Option<SessionModeState>) {
        if id.is_some() {
            self.acp_session = id;
        }
        if let Some(agent) = &mut self.agent {
            agent.ready = true;
            agent.modes = modes.map(AgentModes::from).unwrap_or_default();
        }
        self.tell_agent_mode();
        self.go_on_starting();
    }

    /// Tells the agent which mode the session is in, where it has one like that.
    pub(super) fn tell_agent_mode(&mut self) {
        let mode = self.mode();
        let (Some(agent), Some(session)) = (&mut self.agent, &self.acp_session) else {
            return;
        };
        let Some(wanted) = agent.modes.switch_to(mode).filter(|_| agent.ready) else {
            return;
        };
        let params = SetSessionModeRequest::new(session.clone(), wanted.clone());
        let purpose = Purpose::SetMode { mode: wanted };
        agent.request(purpose, "session/set_mode", &params);
    }

    /// An agent's own switch is told to people. It changes nothing about what it may do.
    fn agent_switched_mode(&mut self, id: &str) {
        let agent = self.agent.as_mut();
        let Some(name) = agent.and_then(|agent| agent.modes.switched_by_agent(id)) else {
            return;
        };
        let name = one_line(&name, MODE_NAME_CHARS);
        let mode = self.mode();
        let text =
            format!("The agent switched to its own mode {name}. The session stays in {mode} mode.");
        self.notice(&text, "agent-mode");
    }

    fn failed_to_start(&mut self, why: &str) {
        let name = self
            .agent
            .as_ref()
            .map(|a| a.name.clone())
            .unwrap_or_default();
        self.agent = None;
        let message = format!("The agent `{name}` could not start a conversation: {why}.");
        self.end_turn(End::error("agent-start-failed", message));
    }

    /// The agent neither began a conversation nor ended in time.
    pub(super) async fn start_overdue(&mut self) {
        let limit = self.model.shared.agent_start_limit.as_secs();
        let name = self.agent.as_ref().map(|a| a.name.clone());
        let name = name.unwrap_or_default();
        tracing::warn!(session = %self.model.id, agent = %name, "an agent did not get ready and is killed");
        self.stop_agent().await;
        let message = format!(
            "The agent `{name}` did not begin a conversation within {limit} seconds and was ended: it \
             hangs, or it does not speak the Agent Client Protocol.\nCheck its command in the \
             settings. The next prompt starts it again."
        );
        self.end_turn(End::error("agent-start-failed", message));
    }

    fn send_prompt(&mut self) {
        if !self.keep_before_prompt() {
            self.send_prompt_now();
        } else if let Some(turn) = &mut self.turn {
            turn.phase = Phase::Keeping;
        }
    }

    /// Everything that must come before the prompt is done.
    pub(super) fn send_prompt_now(&mut self) {
        let (Some(agent), Some(turn), Some(session)) =
            (&mut self.agent, &mut self.turn, &self.acp_session)
        else {
            return;
        };
        turn.phase = Phase::Prompting;
        let text = ContentBlock::Text(TextContent::new(turn.text.clone()));
        let note = super::undo::note(&std::mem::take(&mut self.for_agent));
        let note = note.map(|note| ContentBlock::Text(TextContent::new(note)));
        let blocks = note.into_iter().chain([text]).collect();
        let mut params = PromptRequest::new(session.clone(), blocks);
        let model = turn
            .model
            .clone()
            .or_else(|| self.model.shared.settings().model.clone());
        if let Some(model) = model {
            params = params.meta(JsonObject::from_iter([(
                "copilot.model".to_owned(),
                json!(model),
            )]));
        }
        let purpose = Purpose::Prompt {
            turn_id: turn.id.clone(),
        };
        agent.request(purpose, "session/prompt", &params);
        self.hand_over_steering();
    }

    fn prompt_answered(&mut self, turn_id: &str, result: Result<Box<RawValue>, RpcFailure>) {
        if self.turn.as_ref().is_none_or(|t| t.id != turn_id) {
            return;
        }
        let declares = self.agent.as_ref().is_some_and(|a| a.abilities.complete);
        let end = match result {
            Ok(result) => {
                let response = serde_json::from_str(result.get()).unwrap_or_default();
                end_of(&response, declares)
            }
            Err(_)
                if self
                    .turn
                    .as_ref()
                    .is_some_and(super::turn::Turn::is_cancelling) =>
            {
                End::Cancelled
            }
            Err(failure) => error_of(&failure),
        };
        self.end_turn(end);
    }

    fn agent_ended(&mut self, ended: &process::Ended) {
        let Some(agent) = self.agent.take() else {
            return;
        };
        self.forget_process(agent.pid());
        self.steering_handed_over = None;
        let name = agent.name;
        tracing::warn!(session = %self.model.id, agent = %name, how = %ended.how, "agent ended");
        // A turn of the daemon's own goes on without it.
        let Some(turn) = self.turn.as_ref().filter(|turn| turn.phase != Phase::Own) else {
            return;
        };
        if turn.is_cancelling() {
            self.end_turn(End::Cancelled);
            return;
        }
        let mut message = format!(
            "The agent `{name}` stopped in the middle of its work ({}).",
            agent.broken.as_ref().unwrap_or(&ended.how)
        );
        if !ended.last_words.is_empty() {
            message.push_str(&format!("\nIts last words:\n{}", ended.last_words));
        }
        message.push_str("\nThe next prompt starts it again.");
        self.end_turn(End::error("agent-crashed", message));
    }

    /// Kills the agent and everything it started, and waits until it is gone.
    pub(super) async fn stop_agent(&mut self) {
        let Some(mut agent) = self.agent.take() else {
            return;
        };
        self.forget_process(agent.pid());
        self.steering_handed_over = None;
        agent.process.kill();
        let gone = async {
            while let Some(event) = agent.events.recv().await {
                if matches!(event, AgentEvent::Ended(_)) {
                    return;
                }
            }
        };
        if tokio::time::timeout(std::time::Duration::from_secs(3), gone)
            .await
            .is_err()
        {
            tracing::error!(session = %self.model.id, "an agent could not be killed");
        }
    }

    /// Tells the agent to stop its turn. `false` when there is none to tell.
    pub(super) fn send_cancel(&mut self) -> bool {
        let (Some(agent), Some(session)) = (&mut self.agent, &self.acp_session) else {
            return false;
        };
        let cancel = CancelNotification::new(session.clone());
        agent
            .outgoing
            .push(rpc::notification("session/cancel", &cancel));
        true
    }

    /// Gives a steering text to an agent that has the extension.
    pub(super) fn send_steering(&mut self, message_id: &str, text: &str) -> bool {
        let (Some(agent), Some(session)) = (&mut self.agent, &self.acp_session) else {
            return false;
        };
        if !agent.abilities.steer {
            return false;
        }
        let purpose = Purpose::Steer {
            message_id: message_id.to_owned(),
        };
        let params = json!({"sessionId": session, "messageId": message_id, "text": text});
        agent.request(purpose, "_copilot/steer", &params);
        true
    }

    /// A line to the agent, which goes out when this step is kept.
    pub(super) fn send_line(&mut self, line: String) {
        if let Some(agent) = &mut self.agent {
            agent.outgoing.push(line);
        }
    }

    /// Sends what this step had for the agent. One that does not read any more is broken and is
    /// killed; its end is handled like any other.
    pub(super) fn flush_agent(&mut self) {
        let Some(agent) = &mut self.agent else { return };
        for line in agent.outgoing.drain(..) {
            if agent.process.send(line).is_err() {
                tracing::warn!(session = %self.model.id, "an agent does not read what it is sent");
                agent.process.kill();
                return;
            }
        }
    }

    /// The agent is gone, and with it what had to be swept.
    fn forget_process(&mut self, pid: u32) {
        self.pending_operations
            .push(Operation::ForgetProcess { pid });
    }
}

fn process_record(session: &str, pid: u32) -> Option<ProcessRecord> {
    let start_time = tree::start_time(pid)?;
    let session = session.to_owned();
    Some(ProcessRecord {
        session,
        pid,
        group: pid,
        start_time,
    })
}

fn initialize() -> InitializeRequest {
    let form = ElicitationCapabilities::new().form(ElicitationFormCapabilities::new());
    let capabilities = ClientCapabilities::new()
        .elicitation(form)
        .meta(JsonObject::from_iter([
            ("terminal_output".to_owned(), json!(true)),
            ("copilot.decidesReads".to_owned(), json!(true)),
        ]));
    InitializeRequest::new(ProtocolVersion::V1)
        .client_capabilities(capabilities)
        .client_info(Implementation::new("copilotd", env!("CARGO_PKG_VERSION")))
}

fn abilities(capabilities: &AgentCapabilities) -> Abilities {
    let extension = |name: &str| {
        let meta = capabilities.meta.as_ref();
        meta.and_then(|m| m.get(name)?.as_bool()).unwrap_or(false)
    };
    Abilities {
        load: capabilities.load_session,
        resume: capabilities.session_capabilities.resume.is_some(),
        steer: extension("copilot.steer"),
        complete: extension("copilot.complete"),
    }
}

/// `declares`: the agent says when a task is complete. The end of a turn of one that does not is
/// taken for that.
fn end_of(response: &Value, declares: bool) -> End {
    let usage = response
        .get("_meta")
        .and_then(|m| m.get("copilot.usage"))
        .map(|u| UsageInfo {
            input_tokens: u.get("inputTokens").and_then(Value::as_i64),
            output_tokens: u.get("outputTokens").and_then(Value::as_i64),
            model: u.get("model").and_then(Value::as_str).map(str::to_owned),
            cache_read_tokens: None,
            meta: None,
        });
    let meta = response.get("_meta");
    let declared = meta.and_then(|m| m.get("copilot.complete")?.as_bool()) == Some(true);
    let (remark, ended) = match response.get("stopReason").and_then(Value::as_str) {
        Some("cancelled") => return End::Cancelled,
        Some("max_tokens") => (
            Some("The model reached its limit of output; ask it to go on."),
            Ended::Unfinished,
        ),
        Some("max_turn_requests") => (
            Some("The agent reached its limit of steps for one turn; ask it to go on."),
            Ended::Unfinished,
        ),
        Some("refusal") => (Some("The model refused to go on."), Ended::Refused),
        _ if declared || !declares => (None, Ended::Completed),
        _ => (None, Ended::Unfinished),
    };
    End::Complete {
        usage,
        remark,
        ended,
    }
}

fn error_of(failure: &RpcFailure) -> End {
    let text = |key: &str| {
        failure
            .data
            .as_ref()
            .and_then(|d| d.get(key))
            .and_then(Value::as_str)
    };
    let kind = text("kind").unwrap_or("agent");
    let mut message = match failure.message.is_empty() {
        true => format!("The agent refused the prompt (error {}).", failure.code),
        false => failure.message.clone(),
    };
    if let Some(hint) = text("hint") {
        message.push('\n');
        message.push_str(hint);
    }
    End::error(kind, message)
}
