//! Who is there: `initialize` and `reconnect`.

use std::sync::Arc;

use ahp_types::commands::*;
use ahp_types::errors::ahp_error_codes;
use ahp_types::{SUPPORTED_PROTOCOL_VERSIONS, negotiate_protocol_version};
use serde_json::{Value, json};

use super::super::identity::Identity;
use super::super::rpc::{self, RpcError};
use super::super::sequencer::Replay;
use super::super::{Client, Host};
use crate::session::{Input, session_of_channel};

/// Channels of one `initialize` or `reconnect`.
const MAX_CHANNELS: usize = 1000;

impl Host {
    pub(super) async fn initialize(
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

        let place = client.outbound().hold();
        let mut snapshots = Vec::new();
        for channel in &channels {
            snapshots.extend(self.snapshot(client, channel).await);
        }
        let result = json!({
            "protocolVersion": version,
            "serverSeq": self.shared.sequencer.last_seq(),
            "serverInfo": {"name": "copilotd", "version": env!("CARGO_PKG_VERSION")},
            "snapshots": snapshots,
            "completionTriggerCharacters": ["/"],
        });
        client.outbound().release(place, rpc::reply(&id, &result));
        Ok(None)
    }

    pub(super) async fn reconnect(
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
        let place = client.outbound().hold();
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
        client
            .outbound()
            .release(place, rpc::reply_raw(&id, &result));
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
