//! The methods of the server, and the sessions behind them.

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use agent_client_protocol::{
    Agent, Channel, Client, Error, ErrorCode, JsonRpcRequest, JsonRpcResponse,
    v1::{
        ConnectionTo,
        schema::{
            AgentCapabilities, CancelNotification, ContentBlock, EmbeddedResourceResource,
            Implementation, InitializeRequest, InitializeResponse, LoadSessionRequest,
            LoadSessionResponse, Meta, NewSessionRequest, NewSessionResponse, PromptCapabilities,
            PromptRequest, PromptResponse, ResumeSessionRequest, ResumeSessionResponse,
            SessionCapabilities, SessionResumeCapabilities, SetSessionModeRequest,
            SetSessionModeResponse,
        },
    },
};
use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio_util::task::TaskTracker;

use super::{
    client::{ClientAbilities, SessionClient},
    stdio,
    transport::{Gate, carry},
};
use crate::{
    conversation::{Conversation, StateError},
    mode::Mode,
    model::{self, ModelError},
    session::{RunningTurn, Session, Steering},
    tools::Host,
    turn::{self, TurnError},
};

/// Where conversations are kept. Without it nothing is, and nothing can be loaded.
const STATE_DIR: &str = "COPILOT_AGENT_STATE_DIR";

/// How long the last answers may take to be written after the client closed its side.
const LAST_WORDS: Duration = Duration::from_millis(500);

/// A text for the running turn.
#[derive(Debug, Clone, Serialize, Deserialize, JsonRpcRequest)]
#[request(method = "_copilot/steer", response = SteerResponse)]
#[serde(rename_all = "camelCase")]
struct SteerRequest {
    session_id: String,
    /// The client's own id of the message, for its logs.
    #[serde(default)]
    message_id: Option<String>,
    text: String,
}

/// Whether the text joined.
#[derive(Debug, Clone, Serialize, Deserialize, JsonRpcResponse)]
struct SteerResponse {
    accepted: bool,
}

pub(super) struct Server {
    state_dir: Option<PathBuf>,
    gate: Gate,
    /// Turns, and what outlives a tool call.
    tasks: TaskTracker,
    abilities: Mutex<ClientAbilities>,
    sessions: Mutex<HashMap<String, Arc<Session>>>,
}

impl Server {
    pub(super) fn from_environment() -> Self {
        Self {
            state_dir: std::env::var_os(STATE_DIR)
                .filter(|folder| !folder.is_empty())
                .map(PathBuf::from),
            gate: Gate::new(),
            tasks: TaskTracker::new(),
            abilities: Mutex::default(),
            sessions: Mutex::default(),
        }
    }

    /// Serves stdin and stdout until stdin ends.
    pub(super) async fn serve(self: &Arc<Self>) -> anyhow::Result<()> {
        let (connection_side, io_side) = Channel::duplex();
        let mut io = std::pin::pin!(carry(
            io_side,
            stdio::input(),
            stdio::output(),
            self.gate.clone(),
        ));
        let result = tokio::select! {
            result = self.connect(connection_side) => {
                // The last answers are still to be written.
                let _ = tokio::time::timeout(LAST_WORDS, io).await;
                result.map_err(anyhow::Error::from)
            }
            result = &mut io => result.map_err(anyhow::Error::from),
        };
        self.gate.close();
        result
    }

    async fn connect(self: &Arc<Self>, channel: Channel) -> Result<(), Error> {
        let [
            initialize,
            new,
            load,
            resume,
            set_mode,
            prompt,
            cancel,
            steer,
        ] = std::array::from_fn(|_| Arc::clone(self));
        Agent
            .v1()
            .name("copilot-agent")
            .on_receive_request(
                async move |request: InitializeRequest, responder, _connection| {
                    responder.respond(initialize.initialize(&request))
                },
                agent_client_protocol::on_receive_request!(),
            )
            .on_receive_request(
                async move |request: NewSessionRequest, responder, _connection| {
                    responder.respond_with_result(new.new_session(&request))
                },
                agent_client_protocol::on_receive_request!(),
            )
            .on_receive_request(
                async move |request: LoadSessionRequest,
                            responder,
                            connection: ConnectionTo<Client>| {
                    let id = request.session_id.0.to_string();
                    match load.restore(&id, &request.cwd) {
                        Ok((session, messages)) => {
                            let client = load.client(&id, connection);
                            load.tasks.spawn(async move {
                                for update in turn::replay(&messages) {
                                    client.update(update).await;
                                }
                                let response =
                                    LoadSessionResponse::new().modes(session.mode().state());
                                log_lost(responder.respond(response));
                            });
                            Ok(())
                        }
                        Err(error) => responder.respond_with_error(error),
                    }
                },
                agent_client_protocol::on_receive_request!(),
            )
            .on_receive_request(
                async move |request: ResumeSessionRequest, responder, _connection| {
                    let restored = resume.restore(&request.session_id.0, &request.cwd);
                    responder.respond_with_result(restored.map(|(session, _)| {
                        ResumeSessionResponse::new().modes(session.mode().state())
                    }))
                },
                agent_client_protocol::on_receive_request!(),
            )
            .on_receive_request(
                async move |request: SetSessionModeRequest, responder, _connection| {
                    responder.respond_with_result(set_mode.set_mode(&request))
                },
                agent_client_protocol::on_receive_request!(),
            )
            .on_receive_request(
                async move |request: PromptRequest, responder, connection: ConnectionTo<Client>| {
                    match prompt.begin(&request) {
                        Ok((running, text)) => {
                            let client = Arc::new(prompt.client(&request.session_id.0, connection));
                            let asked_for = text_in(request.meta.as_ref(), "copilot.model");
                            let background = prompt.tasks.clone();
                            prompt.tasks.spawn(async move {
                                let result =
                                    run_turn(running, text, asked_for, client, background).await;
                                log_lost(responder.respond_with_result(result));
                            });
                            Ok(())
                        }
                        Err(error) => responder.respond_with_error(error),
                    }
                },
                agent_client_protocol::on_receive_request!(),
            )
            .on_receive_notification(
                async move |request: CancelNotification, _connection| {
                    if let Some(session) = cancel.session(&request.session_id.0) {
                        session.cancel();
                    }
                    Ok(())
                },
                agent_client_protocol::on_receive_notification!(),
            )
            .on_receive_request(
                async move |request: SteerRequest, responder, _connection| {
                    tracing::debug!(message = request.message_id, "steering");
                    let text = Steering::new(request.text, move |accepted| {
                        log_lost(responder.respond(SteerResponse { accepted }));
                    });
                    if let Some(session) = steer.session(&request.session_id) {
                        session.steer(text);
                    }
                    Ok(())
                },
                agent_client_protocol::on_receive_request!(),
            )
            .connect_to(channel)
            .await
    }

    fn initialize(&self, request: &InitializeRequest) -> InitializeResponse {
        let client = &request.client_capabilities;
        let said = |key: &str| {
            let meta = client.meta.as_ref();
            meta.and_then(|meta| meta.get(key)?.as_bool()) == Some(true)
        };
        *lock(&self.abilities) = ClientAbilities {
            form: client
                .elicitation
                .as_ref()
                .is_some_and(|elicitation| elicitation.supports_form()),
            terminal_output: said("terminal_output"),
            decides_reads: said("copilot.decidesReads"),
        };
        let keeps = self.state_dir.is_some();
        let mut session = SessionCapabilities::new();
        if keeps {
            session = session.resume(SessionResumeCapabilities::new());
        }
        let capabilities = AgentCapabilities::new()
            .load_session(keeps)
            .prompt_capabilities(PromptCapabilities::new().embedded_context(true))
            .session_capabilities(session)
            .meta(object([
                ("copilot.complete", json!(true)),
                ("copilot.steer", json!(true)),
            ]));
        let about =
            Implementation::new("copilot-agent", env!("CARGO_PKG_VERSION")).title("Copilot");
        InitializeResponse::new(request.protocol_version)
            .agent_capabilities(capabilities)
            .agent_info(about)
    }

    fn new_session(&self, request: &NewSessionRequest) -> Result<NewSessionResponse, Error> {
        if !request.mcp_servers.is_empty() {
            tracing::warn!("MCP servers are not supported and left out");
        }
        let cwd = folder(&request.cwd)?;
        let id = uuid::Uuid::new_v4().to_string();
        let conversation = Conversation::create(self.state_dir.as_deref(), &id, &cwd)
            .map_err(|error| state_error(&error))?;
        let session = Session::new(id.clone(), cwd, conversation);
        let modes = session.mode().state();
        lock(&self.sessions).insert(id.clone(), session);
        Ok(NewSessionResponse::new(id).modes(modes))
    }

    fn set_mode(&self, request: &SetSessionModeRequest) -> Result<SetSessionModeResponse, Error> {
        let session = self
            .session(&request.session_id.0)
            .ok_or_else(|| refused("There is no such session."))?;
        let mode = Mode::named(&request.mode_id.0)
            .ok_or_else(|| refused("There is no such mode: use interactive, plan or autopilot."))?;
        session.mode().set(mode);
        Ok(SetSessionModeResponse::new())
    }

    /// Makes a stored session live again and returns what was said in it.
    fn restore(
        &self,
        id: &str,
        cwd: &Path,
    ) -> Result<(Arc<Session>, Vec<crate::conversation::Message>), Error> {
        let Some(state_dir) = &self.state_dir else {
            return Err(refused(
                "This agent keeps no conversations, so none can be resumed.",
            ));
        };
        let cwd = folder(cwd)?;
        let mut sessions = lock(&self.sessions);
        // A running turn has the conversation, and its end would be lost.
        if sessions
            .get(id)
            .is_some_and(|session| session.begin_turn().is_none())
        {
            return Err(refused("A turn is running in this session."));
        }
        let conversation =
            Conversation::load(state_dir, id).map_err(|error| state_error(&error))?;
        let messages = conversation.messages().to_vec();
        let session = Session::new(id.to_owned(), cwd, conversation);
        sessions.insert(id.to_owned(), Arc::clone(&session));
        Ok((session, messages))
    }

    fn begin(&self, request: &PromptRequest) -> Result<(RunningTurn, String), Error> {
        let text = prompt_text(&request.prompt)?;
        let session = self
            .session(&request.session_id.0)
            .ok_or_else(|| refused("There is no such session."))?;
        let running = session
            .begin_turn()
            .ok_or_else(|| refused("A turn is running in this session already."))?;
        Ok((running, text))
    }

    fn client(&self, session: &str, connection: ConnectionTo<Client>) -> SessionClient {
        SessionClient {
            session: session.to_owned(),
            connection,
            gate: self.gate.clone(),
            abilities: *lock(&self.abilities),
        }
    }

    fn session(&self, id: &str) -> Option<Arc<Session>> {
        lock(&self.sessions).get(id).cloned()
    }

    /// Cancels every running turn.
    pub(super) fn cancel_everything(&self) {
        for session in lock(&self.sessions).values() {
            session.cancel();
        }
    }

    /// Waits until nothing runs any more.
    pub(super) async fn wait(&self) {
        self.tasks.close();
        self.tasks.wait().await;
    }
}

async fn run_turn(
    mut running: RunningTurn,
    text: String,
    asked_for: Option<String>,
    client: Arc<SessionClient>,
    background: TaskTracker,
) -> Result<PromptResponse, Error> {
    let choice = model::choose(|name| std::env::var(name).ok(), asked_for.as_deref())
        .map_err(model_error)?;
    let model = model::connect(choice).await.map_err(model_error)?;
    let name = model.name().to_owned();
    let end = turn::run(&mut running, text, model, client, background)
        .await
        .map_err(|error| match error {
            TurnError::Model(error) => model_error(error),
            TurnError::State(error) => state_error(&error),
            TurnError::Ended => refused("The turn has ended."),
        })?;
    // The session is idle before the client hears of the end and may send the next prompt.
    drop(running);
    let usage = json!({
        "inputTokens": end.usage.input_tokens,
        "outputTokens": end.usage.output_tokens,
        "model": name,
    });
    let meta = object([
        ("copilot.usage", usage),
        ("copilot.complete", json!(end.complete)),
    ]);
    Ok(PromptResponse::new(end.reason).meta(meta))
}

/// The words of a prompt. Files that are linked are named, text that is embedded is quoted.
fn prompt_text(blocks: &[ContentBlock]) -> Result<String, Error> {
    let mut parts: Vec<String> = Vec::new();
    for block in blocks {
        match block {
            ContentBlock::Text(text) => parts.push(text.text.clone()),
            ContentBlock::ResourceLink(link) => {
                parts.push(format!("[{}]({})", link.name, link.uri))
            }
            ContentBlock::Resource(resource) => match &resource.resource {
                EmbeddedResourceResource::TextResourceContents(text) => {
                    parts.push(format!("<file uri={:?}>\n{}\n</file>", text.uri, text.text))
                }
                _ => return Err(refused("Only text can be embedded in a prompt.")),
            },
            _ => {
                return Err(refused(
                    "Pictures and sounds are not supported in a prompt.",
                ));
            }
        }
    }
    let text = parts.join("\n");
    if text.trim().is_empty() {
        return Err(refused("The prompt is empty."));
    }
    Ok(text)
}

fn folder(path: &Path) -> Result<PathBuf, Error> {
    if !path.is_absolute() {
        return Err(refused("The folder of a session must be an absolute path."));
    }
    match path.canonicalize() {
        Ok(folder) if folder.is_dir() => Ok(folder),
        Ok(_) => Err(refused(&format!("{} is not a folder.", path.display()))),
        Err(error) => Err(refused(&format!("{}: {error}.", path.display()))),
    }
}

fn refused(message: &str) -> Error {
    Error::new(ErrorCode::INVALID_PARAMS, message)
}

fn state_error(error: &StateError) -> Error {
    let code = match error {
        StateError::Id(_) => ErrorCode::INVALID_PARAMS,
        StateError::Missing(_) => ErrorCode::RESOURCE_NOT_FOUND,
        StateError::Damaged { .. } | StateError::Io { .. } => ErrorCode::INTERNAL_ERROR,
    };
    Error::new(code, error.to_string())
}

fn model_error(error: ModelError) -> Error {
    Error::new(ErrorCode::INTERNAL_ERROR, error.message)
        .data(json!({"kind": error.kind.name(), "hint": error.hint}))
}

fn text_in(meta: Option<&Meta>, key: &str) -> Option<String> {
    Some(meta?.get(key)?.as_str()?.to_owned())
}

fn object<const N: usize>(entries: [(&str, serde_json::Value); N]) -> Meta {
    entries
        .into_iter()
        .map(|(key, value)| (key.to_owned(), value))
        .collect()
}

fn log_lost(result: Result<(), Error>) {
    if let Err(error) = result {
        tracing::debug!(%error, "a response could not be sent");
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Only whole values are ever put in, so a panic elsewhere leaves nothing half done.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
