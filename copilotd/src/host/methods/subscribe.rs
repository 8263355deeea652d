//! `subscribe` and `unsubscribe`, and the snapshots that go with them.

use std::sync::Arc;
use std::time::Duration;

use ahp_types::commands::*;
use ahp_types::state::{Snapshot, SnapshotState};
use serde_json::{Value, json};
use tokio::sync::oneshot;

use super::super::rpc::{self, RpcError};
use super::super::{Client, Host, ROOT};
use crate::session::{Asked, Input, View, chat_uri, session_of_channel, session_uri};

/// Longest a client may ask deltas to be held back.
const MAX_LATENCY: Duration = Duration::from_secs(5);

impl Host {
    /// Subscribes to one of many channels; `None` when it does not exist.
    pub(super) async fn snapshot(
        self: &Arc<Self>,
        client: &Arc<Client>,
        channel: &str,
    ) -> Option<Snapshot> {
        if channel == ROOT {
            return self.root_snapshot(client, |_| None);
        }
        let (reply, snapshot) = oneshot::channel();
        let input = Input::Snapshot {
            client: Arc::clone(client),
            channel: channel.to_owned(),
            view: View::default(),
            reply,
        };
        self.show(client, channel, input).await.ok()?;
        snapshot.await.ok().flatten()
    }

    fn root_snapshot(
        &self,
        client: &Arc<Client>,
        reply: impl FnOnce(&Snapshot) -> Option<bytes::Bytes>,
    ) -> Option<Snapshot> {
        self.root.show(|state| {
            let mut snapshot = Snapshot {
                resource: ROOT.into(),
                state: SnapshotState::Root(Box::new(state.clone())),
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
        })
    }

    pub(super) async fn subscribe(
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
        let input = Input::Subscribe(Asked {
            client: Arc::clone(client),
            request_id: id,
            channel: params.channel.clone(),
            view: View { turns: view },
            latency,
            looking: client.look().await,
        });
        self.show(client, &params.channel, input).await?;
        Ok(None)
    }

    /// Hands a session a wish to see it. The session is told when the client leaves.
    pub(super) async fn show(
        self: &Arc<Self>,
        client: &Arc<Client>,
        channel: &str,
        input: Input,
    ) -> Result<(), RpcError> {
        let handle = self.session_behind(client, channel).await?;
        client.note_session(&handle.id);
        let sent = handle.inputs.send(input).await;
        sent.map_err(|_| RpcError::session_not_found(channel))
    }

    pub(super) async fn unsubscribe(&self, client: &Client, channel: &str) {
        // What it asked for before comes first.
        let _looking = client.look().await;
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
}
