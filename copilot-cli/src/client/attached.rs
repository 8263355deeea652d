//! A session that this client follows: subscriptions, the mirror, echoes, reconnection.
//!
//! Inputs that were not echoed when the connection broke are sent again: the ids
//! inside them make that harmless.

use std::collections::BTreeMap;
use std::collections::HashSet;

use ahp_types::actions::StateAction;
use ahp_types::commands::{
    FetchTurnsParams, ReconnectParams, ReconnectResult, SubscribeParams, SubscribeResult,
    SubscribeView, UnsubscribeParams,
};
use ipc_proto::paths::Paths;
use serde_json::value::RawValue;

use super::commands::{self, Command};
use super::connection::parse;
use super::contents::{content_text, read_params};
use super::{
    Client, ClientError, Event, Identity, Mirror, ROOT, RpcError, connect, connect_running,
};
use crate::error::CliError;

/// A rejection that begins so is of an input that already took effect.
const DUPLICATE: &str = "duplicate:";

/// What changed.
#[derive(Debug)]
pub enum Update {
    /// The mirrored state.
    State,
    /// The host took an action of ours; the number is what [`Attached::dispatch`] returned.
    Confirmed(i64),
    /// The host refused an action of ours.
    Rejected {
        /// What [`Attached::dispatch`] returned.
        input: i64,
        /// Why, in words for people.
        reason: String,
    },
    /// A content that was asked for with [`Attached::read`].
    Content {
        /// Its URI.
        uri: String,
        /// Its text, or why there is none.
        result: Result<String, RpcError>,
    },
    /// What [`Attached::ask_for_commands`] asked for.
    Commands(Vec<Command>),
    /// The turns that [`Attached::fetch_older`] asked for are here, or never will be.
    OlderTurns(Result<(), RpcError>),
    /// The session was deleted.
    Removed,
    /// Nothing that concerns this session.
    Nothing,
}

enum Pending {
    Content(String),
    Terminal(String),
    Turns,
    Commands,
}

/// A followed session.
pub struct Attached {
    client: Client,
    mirror: Mirror,
    /// Replies that are awaited, by request id.
    pending: BTreeMap<u64, Pending>,
    /// Inputs that were not echoed yet, by the number they were first sent with.
    unconfirmed: BTreeMap<i64, StateAction>,
    /// From the number of the last sending to the first.
    resent: BTreeMap<i64, i64>,
    terminals: HashSet<String>,
}

impl std::fmt::Debug for Attached {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Attached")
            .field("session", &self.mirror.session_uri())
            .finish_non_exhaustive()
    }
}

/// What a reconnect brought back.
#[derive(Debug)]
pub struct Resumed {
    client: Client,
    result: ReconnectResult,
}

impl Attached {
    /// Subscribes to a session and its chat, with at most `turns` finished turns.
    pub async fn subscribe(
        mut client: Client,
        session: &str,
        turns: Option<i64>,
    ) -> Result<Self, ClientError> {
        let mut mirror = Mirror::new(session);
        // The root channel carries the news that a session was deleted.
        for channel in [
            ROOT.to_owned(),
            session.to_owned(),
            super::chat_uri(session),
        ] {
            let params = SubscribeParams {
                view: turns
                    .filter(|_| channel == mirror.chat_uri())
                    .map(|turns| SubscribeView { turns: Some(turns) }),
                ..SubscribeParams::new(channel)
            };
            let result: SubscribeResult = client.call("subscribe", &params).await?;
            if let Some(snapshot) = result.snapshot {
                mirror.apply_snapshot(snapshot);
            }
        }
        let mut attached = Self {
            client,
            mirror,
            pending: BTreeMap::new(),
            unconfirmed: BTreeMap::new(),
            resent: BTreeMap::new(),
            terminals: HashSet::new(),
        };
        attached.follow_terminals().await?;
        Ok(attached)
    }

    /// The session's state.
    pub fn mirror(&self) -> &Mirror {
        &self.mirror
    }

    /// The connection, for requests about other things.
    pub fn client(&mut self) -> &mut Client {
        &mut self.client
    }

    /// Asks for an action on the session or its chat. Its number comes back in [`Update::Confirmed`] or
    /// [`Update::Rejected`]. When the connection is lost the action is sent again
    /// after the reconnect, so the number is good in any case.
    pub async fn dispatch(&mut self, action: StateAction) -> Result<i64, ClientError> {
        let channel = self.channel_of(&action).to_owned();
        let seq = self.client.dispatch(&channel, action.clone()).await?;
        self.unconfirmed.insert(seq, action);
        Ok(seq)
    }

    fn channel_of(&self, action: &StateAction) -> &str {
        match action {
            StateAction::SessionTitleChanged(_) | StateAction::SessionConfigChanged(_) => {
                self.mirror.session_uri()
            }
            // Everything else that a client asks for is about the conversation.
            _ => self.mirror.chat_uri(),
        }
    }

    /// Asks for a content; it arrives as [`Update::Content`].
    pub async fn read(&mut self, uri: &str) -> Result<(), ClientError> {
        let params = read_params(self.mirror.session_uri(), uri);
        let id = self.client.request("resourceRead", &params).await?;
        self.pending.insert(id, Pending::Content(uri.to_owned()));
        Ok(())
    }

    /// Asks for the page of turns before those that are here; false when there are none.
    pub async fn fetch_older(&mut self) -> Result<bool, ClientError> {
        let Some(cursor) = self.mirror.chat().and_then(|c| c.turns_next_cursor.clone()) else {
            return Ok(false);
        };
        let params = FetchTurnsParams {
            channel: self.mirror.chat_uri().to_owned(),
            meta: None,
            cursor: Some(cursor),
        };
        let id = self.client.request("fetchTurns", &params).await?;
        self.pending.insert(id, Pending::Turns);
        Ok(true)
    }

    /// Asks for the slash commands that there are; they arrive as [`Update::Commands`].
    pub async fn ask_for_commands(&mut self) -> Result<(), ClientError> {
        let params = commands::params(self.mirror.chat_uri());
        let id = self.client.request("completions", &params).await?;
        self.pending.insert(id, Pending::Commands);
        Ok(())
    }

    /// Gets all turns that are not here yet, page by page.
    pub async fn fetch_all(&mut self) -> Result<(), ClientError> {
        let cursor = |mirror: &Mirror| mirror.chat().and_then(|c| c.turns_next_cursor.clone());
        loop {
            let before = cursor(&self.mirror);
            if !self.fetch_older().await? {
                return Ok(());
            }
            loop {
                match self.next().await? {
                    Update::OlderTurns(result) => break result?,
                    Update::Removed => return Err(ClientError::Gone),
                    _ => {}
                }
            }
            if cursor(&self.mirror) == before {
                let what = "the same earlier turns again and again";
                return Err(ClientError::Malformed(what.to_owned()));
            }
        }
    }

    /// Stops following: what was mirrored so far, and the connection, to which
    /// nothing of this session is published any more.
    pub async fn leave(mut self) -> Result<(Client, Mirror), ClientError> {
        let mut channels = self.mirror.channels();
        channels.push(ROOT.to_owned());
        for channel in channels {
            let params = UnsubscribeParams { channel };
            self.client.notify("unsubscribe", &params).await?;
        }
        Ok((self.client, self.mirror))
    }

    /// Waits for the next change. Cancel-safe. Call [`Attached::settle`] after it.
    pub async fn next(&mut self) -> Result<Update, ClientError> {
        let event = self.client.next().await?;
        Ok(self.take(event))
    }

    /// Asks for what the new state refers to. Not cancel-safe, so not part of
    /// [`Attached::next`]: a message must not be cut off in the middle.
    pub async fn settle(&mut self) -> Result<(), ClientError> {
        self.follow_terminals().await
    }

    fn take(&mut self, event: Event) -> Update {
        match event {
            Event::Action(envelope) => {
                let changed = self.mirror.apply(&envelope);
                let ours = envelope
                    .origin
                    .as_ref()
                    .filter(|origin| origin.client_id == self.client.client_id())
                    .map(|origin| origin.client_seq);
                let Some(seq) = ours else {
                    return if changed {
                        Update::State
                    } else {
                        Update::Nothing
                    };
                };
                let input = self.resent.remove(&seq).unwrap_or(seq);
                self.unconfirmed.remove(&input);
                match envelope.rejection_reason {
                    Some(reason) if !reason.starts_with(DUPLICATE) => {
                        Update::Rejected { input, reason }
                    }
                    _ => Update::Confirmed(input),
                }
            }
            Event::Reply { id, result } => self.take_reply(id, result),
            Event::SessionRemoved(uri) if uri == self.mirror.session_uri() => Update::Removed,
            Event::SessionRemoved(_)
            | Event::SessionAdded(_)
            | Event::SummaryChanged(_)
            | Event::Control { .. } => Update::Nothing,
        }
    }

    fn take_reply(&mut self, id: u64, result: Result<Box<RawValue>, RpcError>) -> Update {
        match self.pending.remove(&id) {
            Some(Pending::Content(uri)) => Update::Content {
                uri,
                result: result.and_then(|raw| content_text(&raw)),
            },
            Some(Pending::Terminal(uri)) => {
                let snapshot = result
                    .ok()
                    .and_then(|raw| parse::<SubscribeResult>(&raw).ok())
                    .and_then(|result| result.snapshot);
                match snapshot {
                    Some(snapshot) => self.mirror.apply_snapshot(snapshot),
                    // It ended before the subscription: the result carries the output.
                    None => self.mirror.forget_terminal(&uri),
                }
                Update::State
            }
            // The turns themselves came as an action before this reply.
            Some(Pending::Turns) => Update::OlderTurns(result.map(|_| ())),
            // A host that offers none is one that has none.
            Some(Pending::Commands) => {
                Update::Commands(result.map_or_else(|_| Vec::new(), |raw| commands::of(&raw)))
            }
            None => Update::Nothing,
        }
    }

    /// Subscribes to the terminals of running tool calls, and leaves those that ended.
    async fn follow_terminals(&mut self) -> Result<(), ClientError> {
        let wanted: HashSet<String> = self.mirror.wanted_terminals().into_iter().collect();
        for uri in wanted.difference(&self.terminals.clone()) {
            let params = SubscribeParams::new(uri.clone());
            // First remembered, then sent: a cancelled send must not subscribe twice.
            self.terminals.insert(uri.clone());
            let id = self.client.request("subscribe", &params).await?;
            self.pending.insert(id, Pending::Terminal(uri.clone()));
        }
        for uri in self.terminals.clone().difference(&wanted) {
            self.terminals.remove(uri);
            self.mirror.forget_terminal(uri);
            let params = UnsubscribeParams {
                channel: uri.clone(),
            };
            self.client.notify("unsubscribe", &params).await?;
        }
        Ok(())
    }

    /// One attempt to get the connection back. It borrows nothing, so that a
    /// terminal stays alive meanwhile; [`Attached::resume`] takes what it returns.
    pub fn reconnect(
        &self,
        paths: Paths,
        identity: Identity,
    ) -> impl Future<Output = Result<Resumed, CliError>> + use<> {
        let mut subscriptions = vec![ROOT.to_owned()];
        subscriptions.extend(self.mirror.channels());
        let params = ReconnectParams {
            channel: ROOT.to_owned(),
            meta: Some(identity.reconnect_meta()),
            client_id: identity.client_id.clone(),
            last_seen_server_seq: i64::try_from(self.mirror.last_seq()).unwrap_or(i64::MAX),
            subscriptions: subscriptions.clone(),
        };
        // A daemon that was stopped on purpose stays stopped; one that died is started again.
        let died = !self.client.daemon_stopped();
        async move {
            let mut client = match died {
                true => connect(&paths, &identity.client_id).await?,
                false => connect_running(&paths, &identity.client_id).await?,
            };
            // What does not fit was said when this began.
            client.provide_environment().await?;
            match client.call("reconnect", &params).await {
                Ok(result) => Ok(Resumed { client, result }),
                // A host that does not know this client any more, after a restart.
                Err(ClientError::Rpc(_)) => {
                    client.initialize(&identity).await?;
                    let mut snapshots = Vec::new();
                    for channel in subscriptions {
                        let terminal = channel.starts_with("ahp-terminal:");
                        let params = SubscribeParams::new(channel);
                        match client
                            .call::<_, SubscribeResult>("subscribe", &params)
                            .await
                        {
                            Ok(result) => snapshots.extend(result.snapshot),
                            Err(ClientError::Rpc(_)) if terminal => {}
                            Err(error) => return Err(error.into()),
                        }
                    }
                    let result =
                        ReconnectResult::Snapshot(ahp_types::commands::ReconnectSnapshotResult {
                            snapshots,
                        });
                    Ok(Resumed { client, result })
                }
                Err(error) => Err(error.into()),
            }
        }
    }

    /// Goes on with a new connection; false when the session is gone.
    pub async fn resume(&mut self, resumed: Resumed) -> Result<bool, ClientError> {
        self.client = resumed.client;
        self.pending.clear();
        let session = self.mirror.session_uri().to_owned();
        let alive = match resumed.result {
            ReconnectResult::Replay(replay) => {
                for uri in &replay.missing {
                    self.terminals.remove(uri);
                    self.mirror.forget_terminal(uri);
                }
                for envelope in replay.actions {
                    self.take(Event::Action(Box::new(envelope)));
                }
                !replay.missing.contains(&session)
            }
            ReconnectResult::Snapshot(result) => {
                let alive = result.snapshots.iter().any(|s| s.resource == session);
                for uri in std::mem::take(&mut self.terminals) {
                    self.mirror.forget_terminal(&uri);
                }
                for snapshot in result.snapshots {
                    if snapshot.resource.starts_with("ahp-terminal:") {
                        self.terminals.insert(snapshot.resource.clone());
                    }
                    self.mirror.apply_snapshot(snapshot);
                }
                alive
            }
        };
        if alive {
            self.resent.clear();
            for (first, action) in self.unconfirmed.clone() {
                let channel = self.channel_of(&action).to_owned();
                let seq = self.client.dispatch(&channel, action).await?;
                self.resent.insert(seq, first);
            }
        }
        Ok(alive)
    }
}
