//! The AHP methods: each decodes its parameters, checks trust, and replies or hands over to the
//! session's actor.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use ahp_types::actions::{ActionOrigin, StateAction};
use ahp_types::commands::*;
use ahp_types::errors::{ahp_error_codes, json_rpc_error_codes};
use ahp_types::state::{SessionSummary, Snapshot, SnapshotState};
use ahp_types::{SUPPORTED_PROTOCOL_VERSIONS, negotiate_protocol_version};
use base64::Engine as _;
use serde_json::value::RawValue;
use serde_json::{Value, json};
use tokio::sync::oneshot;

use super::identity::{AGENT_MAY_ONLY_READ, Identity, Trust};
use super::rpc::{self, RpcError};
use super::sequencer::Replay;
use super::{Client, Host, NotCreated, ROOT};
use crate::content::{ContentStore, ContentUri, MAX_READ_BYTES};
use crate::permissions::Rule;
use crate::remote::narrow;
use crate::session::mode::{self, Mode};
use crate::session::remote::REMOTE;
use crate::session::{Input, Launch, NewSession, View, chat_uri, session_of_channel, session_uri};
use crate::store::Position;

/// Channels of one `initialize` or `reconnect`.
const MAX_CHANNELS: usize = 1000;
/// Sessions of one page of a list.
const MAX_PAGE: usize = 200;
/// Longest a client may ask deltas to be held back.
const MAX_LATENCY: Duration = Duration::from_secs(5);

impl Host {
    /// Handles one message. `Err` closes the connection, with the reason.
    pub async fn handle(
        self: &Arc<Self>,
        client: &Arc<Client>,
        message: &[u8],
    ) -> Result<(), String> {
        let incoming = match rpc::parse(message) {
            Ok(incoming) => incoming,
            Err(error) => {
                client.outbound().push(rpc::error(&Value::Null, &error));
                return Ok(());
            }
        };
        // Replies are dropped: this host asks clients nothing.
        let Some(method) = &incoming.method else {
            return Ok(());
        };
        let id = incoming.id.clone();
        let result = match incoming.jsonrpc.as_str() {
            "2.0" => {
                self.method(client, method, id.as_ref(), incoming.params)
                    .await
            }
            other => Err(RpcError::invalid_request(format!(
                "this host speaks JSON-RPC 2.0, not `{other}`"
            ))),
        };
        match (id, result) {
            (Some(id), Ok(Some(reply))) => client.outbound().push(rpc::reply_raw(&id, &reply)),
            (Some(id), Err(error)) => {
                let fatal = error.code == ahp_error_codes::UNSUPPORTED_PROTOCOL_VERSION;
                let words = error.message.clone();
                client.outbound().push(rpc::error(&id, &error));
                if fatal {
                    return Err(words);
                }
            }
            (None, Err(error)) => {
                tracing::info!(client = client.id(), %method, %error, "a notification was refused")
            }
            // Replied to by the session, or a notification.
            _ => {}
        }
        Ok(())
    }

    /// `Ok(None)`: somebody else replies.
    async fn method(
        self: &Arc<Self>,
        client: &Arc<Client>,
        method: &str,
        id: Option<&Value>,
        params: Option<&RawValue>,
    ) -> Result<Option<String>, RpcError> {
        if !client.is_initialized() && !matches!(method, "initialize" | "reconnect" | "ping") {
            return Err(RpcError::invalid_request(
                "the first request must be `initialize`",
            ));
        }
        if !narrow::may_call(client.trust(), method) {
            return Err(no_method(method));
        }
        if client.trust() == Trust::Agent && matches!(method, "createSession" | "disposeSession") {
            return Err(RpcError::denied(AGENT_MAY_ONLY_READ));
        }
        let id_or_null = || id.cloned().unwrap_or_default();
        match method {
            "initialize" => {
                self.initialize(client, id_or_null(), rpc::params(params)?)
                    .await
            }
            "reconnect" => {
                self.reconnect(client, id_or_null(), rpc::params(params)?)
                    .await
            }
            "subscribe" => {
                self.subscribe(client, id_or_null(), rpc::params(params)?)
                    .await
            }
            "unsubscribe" => {
                let params: UnsubscribeParams = rpc::params(params)?;
                self.unsubscribe(client, &params.channel).await;
                done(&json!({}))
            }
            "listSessions" => self.list_sessions(client, &rpc::params(params)?).await,
            "createSession" => self.create_session(client, rpc::params(params)?).await,
            "disposeSession" => {
                let params: DisposeSessionParams = rpc::params(params)?;
                let disposed = match session_of_channel(&params.channel) {
                    Some(id) => self.dispose_session(id).await,
                    None => false,
                };
                match disposed {
                    true => done(&json!(null)),
                    false => Err(RpcError::session_not_found(&params.channel)),
                }
            }
            "fetchTurns" => {
                let params: FetchTurnsParams = rpc::params(params)?;
                let input = Input::FetchTurns {
                    client: Arc::clone(client),
                    request_id: id_or_null(),
                    cursor: params.cursor,
                };
                self.to_session(client, &params.channel, input).await?;
                Ok(None)
            }
            "resourceRead" => self.resource_read(client, rpc::params(params)?).await,
            "dispatchAction" => {
                self.dispatch_action(client, rpc::params(params)?).await?;
                Ok(None)
            }
            "ping" => done(&json!(null)),
            other => Err(no_method(other)),
        }
    }

    async fn to_session(
        self: &Arc<Self>,
        client: &Client,
        channel: &str,
        input: Input,
    ) -> Result<(), RpcError> {
        let handle = match session_of_channel(channel) {
            Some(id) if self.is_there_for(client, id) => self.find(id).await,
            _ => None,
        };
        let handle = handle.ok_or_else(|| RpcError::session_not_found(channel))?;
        handle
            .inputs
            .send(input)
            .await
            .map_err(|_| RpcError::session_not_found(channel))
    }

    async fn initialize(
        self: &Arc<Self>,
        client: &Arc<Client>,
        id: Value,
        params: InitializeParams,
    ) -> Result<Option<String>, RpcError> {
        let unsupported = |message: String| RpcError {
            code: ahp_error_codes::UNSUPPORTED_PROTOCOL_VERSION,
            message,
            data: Some(json!({"supportedVersions": SUPPORTED_PROTOCOL_VERSIONS})),
        };
        let version =
            negotiate_protocol_version(&params.protocol_versions).map_err(&unsupported)?;
        let offered = params.protocol_versions.join(", ");
        let version = version.ok_or_else(|| {
            unsupported(format!(
                "this host speaks AHP {}, not {offered}",
                SUPPORTED_PROTOCOL_VERSIONS.join(", ")
            ))
        })?;
        let channels = params.initial_subscriptions.unwrap_or_default();
        check_channels(&channels)?;
        let info = params.client_info.as_ref();
        let name = info
            .and_then(|i| i.title.clone())
            .or_else(|| info.map(|i| i.name.clone()));
        introduce(client, &params.client_id, name)?;

        client.outbound().hold();
        let mut snapshots = Vec::new();
        for channel in &channels {
            snapshots.extend(self.snapshot(client, channel).await);
        }
        let result = json!({
            "protocolVersion": version,
            "serverSeq": self.shared.sequencer.last_seq(),
            "serverInfo": {"name": "copilotd", "version": env!("CARGO_PKG_VERSION")},
            "snapshots": snapshots,
        });
        client.outbound().release(rpc::reply(&id, &result));
        Ok(None)
    }

    async fn reconnect(
        self: &Arc<Self>,
        client: &Arc<Client>,
        id: Value,
        params: ReconnectParams,
    ) -> Result<Option<String>, RpcError> {
        check_channels(&params.subscriptions)?;
        if !client.is_initialized() {
            introduce(client, &params.client_id, client_name(params.meta.as_ref()))?;
        }
        let last_seen = u64::try_from(params.last_seen_server_seq).unwrap_or(u64::MAX);
        client.outbound().hold();
        let replay = self.shared.sequencer.replay(
            last_seen,
            &params.subscriptions,
            client.id(),
            client.outbound(),
            |channel| match session_of_channel(channel) {
                Some(session) => self.is_there_for(client, session),
                None => true,
            },
        );
        let result = match replay {
            Replay::Actions { envelopes, missing } => {
                for channel in params.subscriptions.iter().filter(|c| !missing.contains(c)) {
                    self.attach(client, channel).await;
                }
                let missing = serde_json::to_string(&missing).unwrap_or_else(|_| "[]".into());
                let all: Vec<_> = envelopes
                    .iter()
                    .map(|e| String::from_utf8_lossy(e))
                    .collect();
                format!(
                    r#"{{"type":"replay","actions":[{}],"missing":{missing}}}"#,
                    all.join(",")
                )
            }
            Replay::TooOld => {
                let mut snapshots = Vec::new();
                for channel in &params.subscriptions {
                    snapshots.extend(self.snapshot(client, channel).await);
                }
                json!({"type": "snapshot", "snapshots": snapshots}).to_string()
            }
        };
        client.outbound().release(rpc::reply_raw(&id, &result));
        Ok(None)
    }

    /// Tells a session that a replay subscribed somebody to it.
    async fn attach(self: &Arc<Self>, client: &Arc<Client>, channel: &str) {
        if let Some(session) = session_of_channel(channel) {
            client.note_session(session);
            // The session ended meanwhile; its channels are closed.
            let _ = self
                .to_session(
                    client,
                    channel,
                    Input::Attached {
                        client: Arc::clone(client),
                    },
                )
                .await;
        }
    }

    /// Subscribes to one of many channels; `None` when it does not exist.
    async fn snapshot(self: &Arc<Self>, client: &Arc<Client>, channel: &str) -> Option<Snapshot> {
        if channel == ROOT {
            return self.root_snapshot(client, |_| None);
        }
        let session = session_of_channel(channel)?;
        client.note_session(session);
        let (reply, snapshot) = oneshot::channel();
        let input = Input::Snapshot {
            client: Arc::clone(client),
            channel: channel.to_owned(),
            view: View::default(),
            reply,
        };
        self.to_session(client, channel, input).await.ok()?;
        snapshot.await.ok().flatten()
    }

    fn root_snapshot(
        &self,
        client: &Arc<Client>,
        reply: impl FnOnce(&Snapshot) -> Option<bytes::Bytes>,
    ) -> Option<Snapshot> {
        let state = SnapshotState::Root(Box::new(self.root_state()));
        let mut snapshot = Snapshot {
            resource: ROOT.into(),
            state,
            from_seq: 0,
        };
        let sequencer = &self.shared.sequencer;
        let subscribed = sequencer.subscribe(
            ROOT,
            client.id(),
            client.outbound(),
            Duration::ZERO,
            |from_seq| {
                snapshot.from_seq = i64::try_from(from_seq).unwrap_or(i64::MAX);
                reply(&snapshot)
            },
        );
        subscribed.then_some(snapshot)
    }

    async fn subscribe(
        self: &Arc<Self>,
        client: &Arc<Client>,
        id: Value,
        params: SubscribeParams,
    ) -> Result<Option<String>, RpcError> {
        if params.channel == ROOT {
            self.root_snapshot(client, |snapshot| {
                Some(rpc::reply(&id, &json!({ "snapshot": snapshot })))
            });
            return Ok(None);
        }
        let view = params
            .view
            .and_then(|v| v.turns)
            .map(|n| usize::try_from(n).unwrap_or(0));
        let latency = params.delivery.and_then(|d| d.max_latency_ms).unwrap_or(0);
        let latency = Duration::from_millis(u64::try_from(latency).unwrap_or(0)).min(MAX_LATENCY);
        if let Some(session) = session_of_channel(&params.channel) {
            client.note_session(session);
        }
        let input = Input::Subscribe {
            client: Arc::clone(client),
            request_id: id,
            channel: params.channel.clone(),
            view: View { turns: view },
            latency,
        };
        self.to_session(client, &params.channel, input).await?;
        Ok(None)
    }

    async fn unsubscribe(&self, client: &Client, channel: &str) {
        let sequencer = &self.shared.sequencer;
        sequencer.unsubscribe(channel, client.id());
        let Some(session) = session_of_channel(channel) else {
            return;
        };
        let still_there = [session_uri(session), chat_uri(session)];
        if !sequencer.subscribes(client.id(), &still_there)
            && let Some(handle) = self.live(session)
        {
            let client = client.id();
            // The session ended meanwhile, and the subscription with it.
            let _ = handle.inputs.send(Input::Detached { client }).await;
        }
    }

    /// Newest first. The cursor is the place in the list by time, so that a page holds under change.
    async fn list_sessions(
        &self,
        client: &Client,
        params: &ListSessionsParams,
    ) -> Result<Option<String>, RpcError> {
        let invalid = || RpcError::invalid_params("this cursor is not one of this list");
        let before = match &params.cursor {
            Some(cursor) => Some(position(cursor).ok_or_else(invalid)?),
            None => None,
        };
        let limit = params.limit.and_then(|l| usize::try_from(l).ok());
        let limit = limit.filter(|l| *l > 0).unwrap_or(MAX_PAGE).min(MAX_PAGE);
        let live: Vec<SessionSummary> = self.live_sessions().iter().map(|s| s.summary()).collect();
        // What lives is newer than what the store has of it, and may stand elsewhere in the list.
        let at_most = match client.trust() {
            // Most of what is stored is not there for a device.
            Trust::Remote => usize::MAX,
            Trust::Local | Trust::Agent => limit + live.len() + 1,
        };
        let stored = self.stored_summaries(before.clone(), at_most).await;
        let is_live = |s: &SessionSummary| live.iter().any(|l| l.resource == s.resource);
        let mut items: Vec<SessionSummary> = stored.into_iter().filter(|s| !is_live(s)).collect();
        let on_page = |s: &&SessionSummary| {
            before
                .as_ref()
                .is_none_or(|b| key(s) < (&b.modified_at, &b.id))
        };
        items.extend(live.iter().filter(on_page).cloned());
        items.retain(|s| {
            session_of_channel(&s.resource).is_some_and(|id| self.is_there_for(client, id))
        });
        items.sort_by(|a, b| key(b).cmp(&key(a)));
        let more = items.len() > limit;
        items.truncate(limit);
        let next_cursor = items
            .last()
            .filter(|_| more)
            .map(|s| format!("{} {}", key(s).0, key(s).1));
        done(&ListSessionsResult { next_cursor, items })
    }

    async fn create_session(
        self: &Arc<Self>,
        client: &Arc<Client>,
        params: CreateSessionParams,
    ) -> Result<Option<String>, RpcError> {
        let id = params
            .channel
            .strip_prefix("ahp-session:/")
            .unwrap_or_default();
        if let Err(no_space) = self.shared.store.has_space() {
            return Err(RpcError::internal(no_space.to_string()));
        }
        let well_formed =
            uuid::Uuid::try_parse(id).is_ok_and(|parsed| parsed.hyphenated().to_string() == id);
        if !well_formed {
            return Err(RpcError::invalid_params(
                "a session's URI is `ahp-session:/` and a UUID in lower case",
            ));
        }
        let provider = params
            .provider
            .unwrap_or_else(|| self.shared.default_agent());
        if self.shared.agent_command(&provider).is_none() {
            let message = format!(
                "there is no agent `{provider}`; agents are named in {}",
                self.shared.paths.settings_file().display()
            );
            return Err(RpcError::new(ahp_error_codes::PROVIDER_NOT_FOUND, message));
        }
        let directories = params.working_directories.as_deref().unwrap_or_default();
        let config = params.config.unwrap_or_default();
        if client.trust() == Trust::Remote {
            self.may_start_remotely(directories, &config)?;
        }
        let folder = folder(directories)?;
        let mut launch = launch(config, self.shared.settings().mode)?;
        check_managed(&self.shared, &launch)?;
        self.remote_at_start(client, &folder, &mut launch).await?;
        let environment = client.environment();
        let new = NewSession {
            id: id.to_owned(),
            provider,
            folder,
            launch,
            environment,
        };
        match self.create(new).await {
            Ok(()) => done(&json!(null)),
            Err(NotCreated::Exists) => {
                let message = format!("there is a session {} already", params.channel);
                Err(RpcError::new(
                    ahp_error_codes::SESSION_ALREADY_EXISTS,
                    message,
                ))
            }
            Err(unreadable @ NotCreated::Unreadable(_)) => {
                Err(RpcError::internal(unreadable.to_string()))
            }
        }
    }

    async fn dispatch_action(
        self: &Arc<Self>,
        client: &Arc<Client>,
        params: DispatchActionParams,
    ) -> Result<(), RpcError> {
        let DispatchActionParams {
            channel,
            client_seq,
            action,
        } = params;
        let origin = ActionOrigin {
            client_id: client.identity().client_id,
            client_seq,
        };
        let known = match session_of_channel(&channel) {
            Some(id) if self.is_there_for(client, id) => self.find(id).await.is_some(),
            _ => false,
        };
        // What cannot be kept is refused, not forgotten. Stopping what fills the disk is not.
        let no_space = match &action {
            StateAction::ChatTurnCancelled(_) => None,
            _ => self.shared.store.has_space().err(),
        };
        if !known || channel.starts_with("ahp-terminal:") || no_space.is_some() {
            let reason = match (known, no_space) {
                (true, Some(no_space)) => no_space.to_string(),
                (true, None) => "the output of a command takes no input".to_owned(),
                (false, _) => super::no_session_behind(&channel),
            };
            self.reject(client, &channel, &action, &origin, &reason);
            return Ok(());
        }
        let input = Input::Dispatch {
            client: Arc::clone(client),
            channel: channel.clone(),
            origin,
            action: Box::new(action),
        };
        self.to_session(client, &channel, input).await
    }

    fn reject(
        &self,
        client: &Client,
        channel: &str,
        action: &StateAction,
        origin: &ActionOrigin,
        reason: &str,
    ) {
        self.shared.sequencer.send_to(
            client.outbound(),
            channel,
            action,
            Some(origin),
            Some(reason),
        );
    }

    /// Only what sessions reference; never the file system at large.
    async fn resource_read(
        &self,
        client: &Client,
        params: ResourceReadParams,
    ) -> Result<Option<String>, RpcError> {
        let not_found = || RpcError::not_found(format!("there is no content {}", params.uri));
        let reference: ContentUri = params.uri.parse().map_err(|_| {
            RpcError::denied("only content that a session references can be read (copilot-content: and copilot-output:)")
        })?;
        let session = match &reference {
            ContentUri::Content { session, .. } | ContentUri::Output { session, .. } => session,
        };
        if !self.is_there_for(client, session) {
            return Err(not_found());
        }
        // A session's channel gives what that session references; the root channel gives any.
        if params.channel != ROOT && session_of_channel(&params.channel) != Some(session) {
            return Err(not_found());
        }
        let shared = Arc::clone(&self.shared);
        let read =
            tokio::task::spawn_blocking(move || read_reference(&shared.contents, &reference)).await;
        let bytes = match read {
            Ok(Ok(bytes)) => bytes,
            Ok(Err(error)) if error.kind() == std::io::ErrorKind::NotFound => {
                return Err(not_found());
            }
            Ok(Err(error)) if is_callers_fault(&error) => {
                let hint =
                    format!("read it in ranges of at most {MAX_READ_BYTES} bytes (?from=…&to=…)");
                return Err(RpcError::invalid_params(format!("{error}; {hint}")));
            }
            Ok(Err(error)) => {
                return Err(RpcError::internal(format!(
                    "the content could not be read: {error}"
                )));
            }
            Err(_) => return Err(RpcError::internal("the content could not be read")),
        };
        let wants_base64 = params.encoding == Some(ContentEncoding::Base64);
        let (data, encoding) = match String::from_utf8(bytes) {
            Ok(text) if !wants_base64 => (text, ContentEncoding::Utf8),
            Ok(text) => (
                base64::engine::general_purpose::STANDARD.encode(text),
                ContentEncoding::Base64,
            ),
            Err(e) => (
                base64::engine::general_purpose::STANDARD.encode(e.as_bytes()),
                ContentEncoding::Base64,
            ),
        };
        done(&ResourceReadResult {
            data,
            encoding,
            content_type: Some("text/plain".into()),
        })
    }
}

fn no_method(method: &str) -> RpcError {
    let message = format!("this host has no method `{method}`");
    RpcError::new(json_rpc_error_codes::METHOD_NOT_FOUND, message)
}

fn read_reference(contents: &ContentStore, reference: &ContentUri) -> std::io::Result<Vec<u8>> {
    match reference {
        ContentUri::Content {
            session,
            sha256,
            range,
        } => contents.read(session, sha256, range.clone()),
        ContentUri::Output {
            session,
            tool_call_id,
            range,
        } => contents.read_output(session, tool_call_id, range.clone()),
    }
}

fn is_callers_fault(error: &std::io::Error) -> bool {
    use std::io::ErrorKind;
    matches!(
        error.kind(),
        ErrorKind::FileTooLarge | ErrorKind::InvalidInput
    )
}

/// The place of a session in the list: time of the last change, then id.
fn key(summary: &SessionSummary) -> (&str, &str) {
    (
        &summary.modified_at,
        session_of_channel(&summary.resource).unwrap_or_default(),
    )
}

fn position(cursor: &str) -> Option<Position> {
    let (modified_at, id) = cursor.split_once(' ')?;
    let is_id = uuid::Uuid::try_parse(id).is_ok();
    is_id.then(|| Position {
        modified_at: modified_at.to_owned(),
        id: id.to_owned(),
    })
}

fn done(result: &impl serde::Serialize) -> Result<Option<String>, RpcError> {
    let encoded = serde_json::to_string(result);
    encoded
        .map(Some)
        .map_err(|e| RpcError::internal(format!("the reply could not be encoded: {e}")))
}

fn check_channels(channels: &[String]) -> Result<(), RpcError> {
    match channels.len() <= MAX_CHANNELS {
        true => Ok(()),
        false => Err(RpcError::invalid_params(format!(
            "at most {MAX_CHANNELS} channels at a time"
        ))),
    }
}

fn client_name(meta: Option<&ahp_types::common::JsonObject>) -> Option<String> {
    meta?
        .get("copilot.clientTitle")?
        .as_str()
        .map(str::to_owned)
}

/// Binds the identity of a connection. The id only correlates retries; trust is the connection's.
fn introduce(client: &Client, client_id: &str, name: Option<String>) -> Result<(), RpcError> {
    if client_id.is_empty() || client_id.len() > 128 {
        return Err(RpcError::invalid_params("a clientId has 1 to 128 bytes"));
    }
    let clean = |text: &str| {
        let shown = text.chars().filter(|c| !c.is_control()).take(60);
        shown.collect::<String>().trim().to_owned()
    };
    let name = name
        .map(|n| clean(&n))
        .filter(|n| !n.is_empty() && !n.eq_ignore_ascii_case("policy"));
    let identity = Identity {
        client_id: client_id.to_owned(),
        name: match client.device() {
            // Its name was given to it at this machine.
            Some(device) => device.name.clone(),
            None => name.unwrap_or_else(|| "a client".into()),
        },
        trust: client.trust(),
        device: client.device().map(|d| d.id.clone()),
    };
    match client.introduce(identity) {
        true => Ok(()),
        false => Err(RpcError::invalid_request(
            "this connection is initialized already",
        )),
    }
}

/// The one folder a session works in.
fn folder(directories: &[String]) -> Result<PathBuf, RpcError> {
    let [uri] = directories else {
        return Err(RpcError::invalid_params(
            "a session works in exactly one folder",
        ));
    };
    let path = crate::uri::to_path(uri)
        .filter(|p| p.is_absolute())
        .ok_or_else(|| {
            RpcError::invalid_params(format!("{uri} is not the `file:` URI of an absolute path"))
        })?;
    match std::fs::metadata(&path) {
        Ok(found) if found.is_dir() => Ok(path),
        Ok(_) => Err(RpcError::invalid_params(format!(
            "{} is not a folder",
            path.display()
        ))),
        Err(error) => Err(RpcError::invalid_params(format!(
            "the folder {} cannot be used: {error}",
            path.display()
        ))),
    }
}

/// `default_mode` is for sessions that name none.
fn launch(config: ahp_types::common::JsonObject, default_mode: Mode) -> Result<Launch, RpcError> {
    let mut launch = Launch {
        mode: default_mode,
        ..Launch::default()
    };
    for (key, value) in config {
        match key.as_str() {
            "allowTools" => launch.allow = rules(&key, value)?,
            "denyTools" => launch.deny = rules(&key, value)?,
            "allowAllTools" => launch.allow_all.tools = flag(&key, &value)?,
            "allowAllPaths" => launch.allow_all.paths = flag(&key, &value)?,
            "allowAllUrls" => launch.allow_all.urls = flag(&key, &value)?,
            "addDirs" => launch.add_dirs = folders(&key, value)?,
            "unattended" => launch.unattended = flag(&key, &value)?,
            REMOTE => launch.remote = Some(flag(&key, &value)?),
            mode::MODE => launch.mode = session_mode(&value)?,
            other => {
                return Err(RpcError::invalid_params(format!(
                    "a session has no setting `{other}`"
                )));
            }
        }
    }
    Ok(launch)
}

/// Folders beside the session's own.
fn folders(key: &str, value: Value) -> Result<Vec<PathBuf>, RpcError> {
    let folders: Vec<PathBuf> = serde_json::from_value(value)
        .map_err(|_| RpcError::invalid_params(format!("`{key}` is a list of folders")))?;
    match folders.iter().find(|folder| !folder.is_absolute()) {
        Some(folder) => Err(RpcError::invalid_params(format!(
            "`{key}`: {} is not an absolute path",
            folder.display()
        ))),
        None => Ok(folders),
    }
}

/// What managed settings forbid at the start of a session.
fn check_managed(shared: &super::Shared, launch: &Launch) -> Result<(), RpcError> {
    let (managed, file) = shared.managed();
    match managed.allow_all_forbidden && launch.allow_all.is_any() {
        true => Err(RpcError::invalid_request(format!(
            "allowing everything (--allow-all, --yolo, --allow-all-tools, --allow-all-paths, \
             --allow-all-urls) is forbidden by {}",
            file.display()
        ))),
        false => Ok(()),
    }
}

fn rules(key: &str, value: Value) -> Result<Vec<Rule>, RpcError> {
    let texts: Vec<String> = serde_json::from_value(value)
        .map_err(|_| RpcError::invalid_params(format!("`{key}` is a list of rules")))?;
    let parse = |text: &String| {
        text.parse::<Rule>()
            .map_err(|e| RpcError::invalid_params(format!("`{key}`: {e}")))
    };
    texts.iter().map(parse).collect()
}

fn session_mode(value: &Value) -> Result<Mode, RpcError> {
    let name = value
        .as_str()
        .ok_or_else(|| RpcError::invalid_params("`mode` is a text"))?;
    name.parse()
        .map_err(|wrong: String| RpcError::invalid_params(wrong))
}

fn flag(key: &str, value: &Value) -> Result<bool, RpcError> {
    value
        .as_bool()
        .ok_or_else(|| RpcError::invalid_params(format!("`{key}` is true or false")))
}
