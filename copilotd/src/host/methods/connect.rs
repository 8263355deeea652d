//! Who is there: `initialize` and `reconnect`.

use std::collections::HashSet;
use std::sync::Arc;

use ahp_types::commands::*;
use ahp_types::errors::ahp_error_codes;
use ahp_types::{SUPPORTED_PROTOCOL_VERSIONS, negotiate_protocol_version};
use ipc_proto::frame::MAX_AHP_BYTES;
use serde::Serialize;
use serde_json::value::{RawValue, to_raw_value};
use serde_json::{Value, json};

use super::super::identity::Identity;
use super::super::rpc::{self, RpcError};
use super::super::sequencer::Replay;
use super::super::{Client, Host};
use crate::session::{Input, session_of_channel};

/// Channels of one `initialize` or `reconnect`.
const MAX_CHANNELS: usize = 1000;

/// AHP's `InitializeResult`, with snapshots that are encoded already.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Initialized<'a> {
    protocol_version: &'a str,
    server_seq: u64,
    server_info: Value,
    completion_trigger_characters: [&'static str; 1],
    snapshots: Vec<Box<RawValue>>,
}

/// AHP's `ReconnectResult`, with actions and snapshots that are encoded already.
#[derive(Serialize)]
#[serde(tag = "type", rename_all = "camelCase")]
enum Reconnected<'a> {
    Replay {
        actions: Vec<&'a RawValue>,
        missing: Vec<String>,
    },
    Snapshot {
        snapshots: Vec<Box<RawValue>>,
    },
}

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
        let reply = match self.snapshots(client, &channels).await {
            Err(error) => rpc::error(&id, &error),
            Ok(snapshots) => rpc::reply(
                &id,
                &Initialized {
                    protocol_version: version,
                    server_seq: self.shared.sequencer.last_seq(),
                    server_info: json!({"name": "copilotd", "version": env!("CARGO_PKG_VERSION")}),
                    completion_trigger_characters: ["/"],
                    snapshots,
                },
            ),
        };
        client.outbound().release(place, reply);
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
        let reply = match replay {
            Replay::Actions { envelopes, missing } => {
                for channel in distinct(&params.subscriptions).filter(|c| !missing.contains(c)) {
                    self.attach(client, channel).await;
                }
                let actions: serde_json::Result<_> = envelopes
                    .iter()
                    .map(|e| serde_json::from_slice(e))
                    .collect();
                match actions {
                    Ok(actions) => rpc::reply(&id, &Reconnected::Replay { actions, missing }),
                    Err(error) => {
                        let words = format!("what was kept cannot be read: {error}");
                        rpc::error(&id, &RpcError::internal(words))
                    }
                }
            }
            Replay::TooOld => match self.snapshots(client, &params.subscriptions).await {
                Ok(snapshots) => rpc::reply(&id, &Reconnected::Snapshot { snapshots }),
                Err(error) => rpc::error(&id, &error),
            },
        };
        client.outbound().release(place, reply);
        Ok(None)
    }

    /// Subscribes to channels; the JSON of their snapshots. Long ones are encoded beside everything
    /// else.
    async fn snapshots(
        self: &Arc<Self>,
        client: &Arc<Client>,
        channels: &[String],
    ) -> Result<Vec<Box<RawValue>>, RpcError> {
        let mut all = Vec::new();
        let mut bytes = 0;
        for channel in distinct(channels) {
            let Some(snapshot) = self.snapshot(client, channel).await else {
                continue;
            };
            let encoding = tokio::task::spawn_blocking(move || to_raw_value(&snapshot));
            let failed = |why: &dyn std::fmt::Display| {
                RpcError::internal(format!("the snapshot of {channel} failed: {why}"))
            };
            let encoded = encoding.await.map_err(|e| failed(&e))?;
            let encoded = encoded.map_err(|e| failed(&e))?;
            bytes += encoded.get().len();
            all.push(encoded);
            if bytes > MAX_AHP_BYTES {
                let words =
                    "these channels are too large to be shown together; subscribe to one at a time";
                return Err(RpcError::invalid_params(words));
            }
        }
        Ok(all)
    }

    /// Tells a session that a replay subscribed somebody to it.
    async fn attach(self: &Arc<Self>, client: &Arc<Client>, channel: &str) {
        if session_of_channel(channel).is_some() {
            let client_attached = Input::Attached {
                client: Arc::clone(client),
            };
            // The session ended meanwhile; its channels are closed.
            let _ = self.show(client, channel, client_attached).await;
        }
    }
}

/// Each once, in their order.
fn distinct(channels: &[String]) -> impl Iterator<Item = &String> {
    let mut seen = HashSet::new();
    channels
        .iter()
        .filter(move |channel| seen.insert(channel.as_str()))
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
