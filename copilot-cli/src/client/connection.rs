//! One connection: requests, their replies, and what the host publishes in between.
//!
//! Owns the correlation of ids. Knows no session state, and never applies anything.

use std::collections::VecDeque;
use std::path::Path;

use ahp_types::actions::{ActionEnvelope, StateAction};
use ahp_types::commands::{DispatchActionParams, InitializeParams, InitializeResult};
use ahp_types::notifications::{
    SessionAddedParams, SessionRemovedParams, SessionSummaryChangedParams,
};
use bytes::Bytes;
use ipc_proto::control::{ControlReply, ControlRequest, Environment};
use ipc_proto::message::Message;
use ipc_proto::{Connection, MessageReader, MessageWriter};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;

use super::rpc::{self, Incoming};
use super::{Identity, ROOT, RpcError};
use crate::error::{CliError, Exit};

/// How many events are kept while a reply is awaited. A host that publishes
/// more before it answers is not one that this client can follow; the connection
/// is given up and a reconnect starts from a snapshot.
const BACKLOG: usize = 16 * 1024;

/// Why a connection or a request failed.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The daemon went away.
    #[error("the connection to the daemon was closed")]
    Closed,
    /// The transport failed.
    #[error("the connection to the daemon failed: {0}")]
    Transport(String),
    /// The daemon sent what this client cannot read.
    #[error("the daemon sent something that this version does not understand: {0}")]
    Malformed(String),
    /// More was published than this client keeps while it waits for a reply.
    #[error("the daemon published more than this client can keep up with")]
    Overrun,
    /// The session was deleted meanwhile.
    #[error("the session was deleted")]
    Gone,
    /// The host answered a request with an error.
    #[error(transparent)]
    Rpc(#[from] RpcError),
    /// The daemon answered a control request with an error.
    #[error("{message}")]
    Control {
        /// What the daemon says.
        message: String,
        /// What it advises.
        hint: Option<String>,
    },
}

impl ClientError {
    /// Whether a new connection could help.
    pub fn is_lost(&self) -> bool {
        matches!(
            self,
            Self::Closed | Self::Transport(_) | Self::Overrun | Self::Malformed(_)
        )
    }
}

impl From<ClientError> for CliError {
    fn from(error: ClientError) -> Self {
        let words = error.to_string();
        match error {
            ClientError::Rpc(rpc) => {
                let exit = match rpc.code {
                    ahp_types::errors::ahp_error_codes::UNSUPPORTED_PROTOCOL_VERSION => {
                        Exit::Incompatible
                    }
                    _ => Exit::Failed,
                };
                let error = Self::with_exit(exit, words);
                match rpc.hint {
                    Some(hint) => error.hint(hint),
                    None => error,
                }
            }
            ClientError::Control {
                hint: Some(hint), ..
            } => Self::new(words).hint(hint),
            ClientError::Gone | ClientError::Control { hint: None, .. } => Self::new(words),
            _ => Self::new(words).hint("`copilot daemon logs` shows what the daemon did"),
        }
    }
}

/// What arrives.
#[derive(Debug)]
pub enum Event {
    /// An action that the host published, or rejected.
    Action(Box<ActionEnvelope>),
    /// A session was created.
    SessionAdded(Box<SessionAddedParams>),
    /// The session with this URI was deleted.
    SessionRemoved(String),
    /// A session's summary changed.
    SummaryChanged(Box<SessionSummaryChangedParams>),
    /// The answer to a request that was sent with [`Client::request`].
    Reply {
        /// The request's id.
        id: u64,
        /// What the host answered.
        result: Result<Box<RawValue>, RpcError>,
    },
    /// The answer to a control request.
    Control {
        /// The request's id.
        id: u32,
        /// What the daemon answered.
        reply: ControlReply,
    },
}

/// A connection to the daemon.
pub struct Client {
    reader: MessageReader,
    writer: MessageWriter,
    client_id: String,
    /// Whether the daemon said that somebody stopped it.
    daemon_stopped: bool,
    next_id: u64,
    next_control: u32,
    next_seq: i64,
    backlog: VecDeque<Event>,
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client")
            .field("client_id", &self.client_id)
            .field("backlog", &self.backlog.len())
            .finish_non_exhaustive()
    }
}

impl Client {
    /// Takes over a connection; nothing is sent yet.
    pub fn new(connection: Connection, client_id: &str) -> Self {
        let (reader, writer) = connection.split();
        Self {
            reader,
            writer,
            client_id: client_id.to_owned(),
            daemon_stopped: false,
            next_id: 1,
            next_control: 1,
            next_seq: 1,
            backlog: VecDeque::new(),
        }
    }

    /// The id under which the host knows this client.
    pub fn client_id(&self) -> &str {
        &self.client_id
    }

    /// Agrees on a version and says who this is.
    pub async fn initialize(
        &mut self,
        identity: &Identity,
    ) -> Result<InitializeResult, ClientError> {
        self.call(
            "initialize",
            &InitializeParams {
                channel: ROOT.to_owned(),
                meta: None,
                protocol_versions: vec![ahp_types::PROTOCOL_VERSION.to_owned()],
                client_id: self.client_id.clone(),
                client_info: Some(identity.implementation()),
                initial_subscriptions: None,
                locale: None,
                capabilities: None,
            },
        )
        .await
    }

    /// Gives sessions of this connection the environment of the person. Returns the names of the
    /// variables that do not fit into a message.
    pub async fn provide_environment(&mut self) -> Result<Vec<String>, ClientError> {
        let (environment, left_out) = Environment::capture().fit();
        self.control(ControlRequest::ProvideEnvironment(environment))
            .await
            .map(|_| left_out)
    }

    /// Sends a request; its reply arrives as [`Event::Reply`] with the returned id.
    pub async fn request<P: Serialize>(
        &mut self,
        method: &str,
        params: &P,
    ) -> Result<u64, ClientError> {
        let id = self.next_id;
        self.next_id += 1;
        let bytes = rpc::encode(Some(id), method, params)
            .map_err(|e| ClientError::Malformed(e.to_string()))?;
        self.send(bytes).await?;
        Ok(id)
    }

    /// Sends a notification.
    pub async fn notify<P: Serialize>(
        &mut self,
        method: &str,
        params: &P,
    ) -> Result<(), ClientError> {
        let bytes =
            rpc::encode(None, method, params).map_err(|e| ClientError::Malformed(e.to_string()))?;
        self.send(bytes).await
    }

    /// Sends a request and waits for its reply; what else arrives is kept for [`Client::next`].
    pub async fn call<P: Serialize, R: DeserializeOwned>(
        &mut self,
        method: &str,
        params: &P,
    ) -> Result<R, ClientError> {
        let wanted = self.request(method, params).await?;
        loop {
            match self.receive().await? {
                Event::Reply { id, result } if id == wanted => return parse(&result?),
                other => self.keep(other)?,
            }
        }
    }

    /// Sends a control request and waits for its reply.
    pub async fn control(&mut self, request: ControlRequest) -> Result<ControlReply, ClientError> {
        let wanted = self.next_control;
        self.next_control = self.next_control.wrapping_add(1);
        self.writer
            .send(&Message::ControlRequest {
                id: wanted,
                request,
            })
            .await
            .map_err(|e| ClientError::Transport(e.to_string()))?;
        loop {
            match self.receive().await? {
                Event::Control { id, reply } if id == wanted => {
                    return match reply {
                        ControlReply::Error(error) => Err(ClientError::Control {
                            message: error.message,
                            hint: error.hint,
                        }),
                        reply => Ok(reply),
                    };
                }
                other => self.keep(other)?,
            }
        }
    }

    /// Asks the host for an action; returns the number by which its echo is known.
    pub async fn dispatch(
        &mut self,
        channel: &str,
        action: StateAction,
    ) -> Result<i64, ClientError> {
        let client_seq = self.next_seq;
        self.next_seq += 1;
        self.notify(
            "dispatchAction",
            &DispatchActionParams {
                channel: channel.to_owned(),
                client_seq,
                action,
            },
        )
        .await?;
        Ok(client_seq)
    }

    /// Whether the daemon said that somebody stopped it.
    pub fn daemon_stopped(&self) -> bool {
        self.daemon_stopped
    }

    /// The next thing that arrives. Cancel-safe.
    pub async fn next(&mut self) -> Result<Event, ClientError> {
        if let Some(event) = self.backlog.pop_front() {
            return Ok(event);
        }
        self.receive().await
    }

    fn keep(&mut self, event: Event) -> Result<(), ClientError> {
        if self.backlog.len() >= BACKLOG {
            return Err(ClientError::Overrun);
        }
        self.backlog.push_back(event);
        Ok(())
    }

    async fn send(&mut self, bytes: Bytes) -> Result<(), ClientError> {
        self.writer
            .send(&Message::Ahp(bytes))
            .await
            .map_err(|e| ClientError::Transport(e.to_string()))
    }

    /// Reads until something is there that anyone here could want. Cancel-safe.
    async fn receive(&mut self) -> Result<Event, ClientError> {
        loop {
            let message = self
                .reader
                .next()
                .await
                .map_err(|e| ClientError::Transport(e.to_string()))?
                .ok_or(ClientError::Closed)?;
            let bytes = match message {
                Message::Ahp(bytes) => bytes,
                Message::ControlReply { id, reply } => return Ok(Event::Control { id, reply }),
                Message::ControlRequest { .. } | Message::UnknownControlRequest { .. } => {
                    return Err(ClientError::Malformed("a control request".to_owned()));
                }
            };
            match rpc::decode(&bytes).map_err(|e| ClientError::Malformed(e.to_string()))? {
                Incoming::Reply { id, result } => return Ok(Event::Reply { id, result }),
                // Nothing was offered, so nothing can be expected: answering here would
                // make reading unsafe to cancel.
                Incoming::Request => {}
                Incoming::Notification { method, params } => match method.as_str() {
                    "action" => return Ok(Event::Action(Box::new(parse(&params)?))),
                    "root/sessionAdded" => {
                        return Ok(Event::SessionAdded(Box::new(parse(&params)?)));
                    }
                    "root/sessionRemoved" => {
                        let removed: SessionRemovedParams = parse(&params)?;
                        return Ok(Event::SessionRemoved(removed.session));
                    }
                    "root/sessionSummaryChanged" => {
                        return Ok(Event::SummaryChanged(Box::new(parse(&params)?)));
                    }
                    "copilot/closed" => {
                        let goodbye: Goodbye = parse(&params)?;
                        self.daemon_stopped = goodbye.stopping;
                    }
                    // A notification of a later version.
                    _ => {}
                },
            }
        }
    }
}

/// The last thing that a host says.
#[derive(serde::Deserialize)]
struct Goodbye {
    /// Whether somebody stopped the daemon.
    #[serde(default)]
    stopping: bool,
}

pub(crate) fn parse<R: DeserializeOwned>(value: &RawValue) -> Result<R, ClientError> {
    serde_json::from_str(value.get()).map_err(|e| ClientError::Malformed(e.to_string()))
}

/// Connects to the socket, without starting anything.
pub(crate) async fn open(socket: &Path) -> Result<Connection, ipc_proto::client::ConnectError> {
    ipc_proto::client::connect(socket, concat!("copilot ", env!("CARGO_PKG_VERSION"))).await
}
