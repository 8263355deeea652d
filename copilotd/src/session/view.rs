//! What clients see of a session: snapshots, subscriptions, older turns.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ahp_types::actions::*;
use ahp_types::state::*;
use serde::Serialize;
use serde_json::json;
use tokio::task::JoinHandle;

use super::actor::Actor;
use super::budget::LEFT_OUT;
use super::{Asked, Input, View};
use crate::host::identity::Trust;
use crate::host::outbound::Place;
use crate::host::{Client, rpc};
use crate::store::Store;

/// Up to this size a snapshot is encoded at once, which takes a fraction of a millisecond.
const ENCODED_AT_ONCE_BYTES: usize = 128 * 1024;
/// After a long snapshot none is made for so many times as long as it took.
const REST: u32 = 2;
/// Turns of one page of `fetchTurns`.
const PAGE_TURNS: usize = 30;

impl Actor {
    /// Subscribes and replies, in one step. A chat waits while a long one is encoded for somebody.
    pub(super) async fn subscribe(&mut self, asked: Asked) {
        if self.views.is_busy() && asked.channel == self.model.chat_uri {
            self.views.waiting.push_back(asked);
            return;
        }
        self.show_to(asked).await;
    }

    /// Shows it to the next ones that wait, until a long one is encoded again.
    pub(super) async fn show_waiting(&mut self) {
        while !self.views.is_busy()
            && let Some(asked) = self.views.waiting.pop_front()
        {
            self.show_to(asked).await;
        }
    }

    /// Those who wait learn that there is nothing to see any more.
    pub(super) fn show_nobody(&mut self) {
        for asked in std::mem::take(&mut self.views.waiting) {
            self.not_found(&asked);
        }
    }

    /// The session is gone; whoever still asks something of it hears so.
    pub(super) fn is_gone(&self, late: Input) {
        let gone = rpc::RpcError::session_not_found;
        match late {
            Input::Subscribe(asked) => self.not_found(&asked),
            Input::FetchTurns {
                client, request_id, ..
            } => {
                self.reply_error(&client, &request_id, &gone(&self.model.chat_uri));
            }
            Input::Completions {
                client,
                request_id,
                channel,
                ..
            } => {
                self.reply_error(&client, &request_id, &gone(&channel));
            }
            Input::Dispatch {
                client,
                channel,
                origin,
                action,
            } => {
                self.reject(
                    &client,
                    &channel,
                    &action,
                    &origin,
                    "the session was deleted",
                );
            }
            // Who waits for one of the others hears it from the end of what would tell them.
            _ => {}
        }
    }

    fn not_found(&self, asked: &Asked) {
        let error = rpc::RpcError::session_not_found(&asked.channel);
        self.reply_error(&asked.client, &asked.request_id, &error);
    }

    async fn show_to(&mut self, asked: Asked) {
        let state = match self.is_there_for(asked.client.trust()) {
            true => {
                self.snapshot_state(&asked.client, &asked.channel, asked.view)
                    .await
            }
            false => None,
        };
        let Some(state) = state else {
            self.not_found(&asked);
            return;
        };
        let mut place = None;
        let client = &asked.client;
        let subscribed = self.model.shared.sequencer.subscribe(
            &asked.channel,
            client.id(),
            client.outbound(),
            asked.latency,
            |from_seq| {
                place = Some((client.outbound().hold(), from_seq));
                None
            },
        );
        let (true, Some((place, from_seq))) = (subscribed, place) else {
            self.not_found(&asked);
            return;
        };
        self.attached(Arc::clone(client));
        let result = Subscribed {
            snapshot: snapshot(&asked.channel, state, from_seq),
        };
        self.views.reply(asked, place, result);
    }

    /// Subscribes and gives the snapshot to a caller that holds the client's queue back.
    pub(super) async fn subscribe_for_snapshot(
        &mut self,
        client: &Arc<Client>,
        channel: &str,
        view: View,
    ) -> Option<Snapshot> {
        if !self.is_there_for(client.trust()) {
            return None;
        }
        let state = self.snapshot_state(client, channel, view).await?;
        let mut at = 0;
        let sequencer = &self.model.shared.sequencer;
        let subscribed = sequencer.subscribe(
            channel,
            client.id(),
            client.outbound(),
            Duration::ZERO,
            |from_seq| {
                at = from_seq;
                None
            },
        );
        if !subscribed {
            return None;
        }
        self.attached(Arc::clone(client));
        Some(snapshot(channel, state, at))
    }

    /// A client watches: it is shown to others, and its environment is the newest.
    pub(super) fn attached(&mut self, client: Arc<Client>) {
        if !self.is_there_for(client.trust()) {
            return;
        }
        if let Some(environment) = client.environment() {
            self.environment = Some(environment);
        }
        if !self.clients.iter().any(|c| c.id() == client.id()) {
            self.clients.push(client);
        }
    }

    async fn snapshot_state(
        &mut self,
        client: &Client,
        channel: &str,
        view: View,
    ) -> Option<SnapshotState> {
        if channel == self.model.session_uri {
            return Some(SnapshotState::Session(Box::new(self.model.session.clone())));
        }
        if channel == self.model.chat_uri {
            let chat = match client.trust() {
                Trust::Remote => self.windowed_for_device(view.turns).await,
                Trust::Local | Trust::Agent => self.windowed(view.turns, 0).await,
            };
            self.remember_window(client.id(), chat.turns.first());
            return Some(SnapshotState::Chat(Box::new(chat)));
        }
        let terminal = self.terminals.state(&self.model.id, channel)?;
        Some(SnapshotState::Terminal(Box::new(terminal.clone())))
    }

    fn remember_window(&mut self, client: u64, oldest: Option<&Turn>) {
        match oldest {
            Some(turn) => self.windows.insert(client, turn.id.clone()),
            None => self.windows.remove(&client),
        };
    }

    /// Sends one page of older turns to the one who asked, then the reply.
    pub(super) async fn fetch_turns(
        &mut self,
        client: &Arc<Client>,
        request_id: &serde_json::Value,
        cursor: Option<&str>,
    ) {
        if !self.is_there_for(client.trust()) {
            let error = rpc::RpcError::session_not_found(&self.model.chat_uri);
            self.reply_error(client, request_id, &error);
            return;
        }
        let before = match cursor {
            Some(END) => self.total_turns(),
            Some(cursor) => {
                let ordinal = match cursor.strip_prefix("before:") {
                    Some(id) => self.ordinal_of(id).await,
                    None => None,
                };
                let Some(ordinal) = ordinal else {
                    let error = rpc::RpcError::invalid_params(
                        "this cursor is not one of this chat; subscribe again",
                    );
                    self.reply_error(client, request_id, &error);
                    return;
                };
                ordinal
            }
            None => match self.windows.get(&client.id()).cloned() {
                Some(id) => self.ordinal_of(&id).await.unwrap_or(0),
                None => 0,
            },
        };
        let (floor, most) = match client.trust() {
            Trust::Remote => {
                let floor = self.allowance().await.floor();
                (floor, self.page_for_device(floor, before, PAGE_TURNS))
            }
            Trust::Local | Trust::Agent => (0, PAGE_TURNS),
        };
        if before > floor {
            let page = self.turns_before(before, most).await;
            let first = before - page.len() as u64;
            let oldest = page.first().cloned();
            let turns_next_cursor = oldest.as_ref().filter(|_| first > floor).map(cursor_before);
            let action = StateAction::ChatTurnsLoaded(ChatTurnsLoadedAction {
                turns: page,
                turns_next_cursor,
            });
            let sequencer = &self.model.shared.sequencer;
            sequencer.send_to(client.outbound(), &self.model.chat_uri, &action, None, None);
            self.remember_window(client.id(), oldest.as_ref());
        }
        client.outbound().push(rpc::reply(request_id, &json!({})));
    }

    pub(super) fn total_turns(&self) -> u64 {
        self.model.earlier_turns + self.model.chat.turns.len() as u64
    }

    /// The place of a completed turn among all of the chat.
    pub(super) async fn ordinal_of(&self, turn_id: &str) -> Option<u64> {
        let in_memory = self.model.chat.turns.iter().position(|t| t.id == turn_id);
        if let Some(position) = in_memory {
            return Some(self.model.earlier_turns + position as u64);
        }
        let (session, id) = (self.model.id.clone(), turn_id.to_owned());
        let read = move |store: &Store| store.turn_ordinal(&session, &id);
        self.model.shared.read_store("find a turn", read).await?
    }

    /// Up to `limit` turns before the one at `ordinal`, oldest first, from memory and the store.
    async fn turns_before(&self, ordinal: u64, limit: usize) -> Vec<Turn> {
        let earlier = self.model.earlier_turns;
        let wanted_from = ordinal.saturating_sub(limit as u64);
        let mut turns = Vec::new();
        if wanted_from < earlier {
            let end = ordinal.min(earlier);
            let session = self.model.id.clone();
            let count = usize::try_from(end - wanted_from).unwrap_or(limit);
            let read = move |store: &Store| store.turns_before(&session, end, count);
            let stored = self.model.shared.read_store("read older turns", read).await;
            turns.extend(stored.iter().flatten().filter_map(super::persist::turn));
        }
        if ordinal > earlier {
            let from = usize::try_from(wanted_from.saturating_sub(earlier)).unwrap_or(0);
            let to = usize::try_from(ordinal - earlier)
                .unwrap_or(0)
                .min(self.model.chat.turns.len());
            turns.extend_from_slice(&self.model.chat.turns[from..to]);
        }
        turns
    }

    /// The chat as a device gets it: what it may have of it, and as much at once as a message holds.
    async fn windowed_for_device(&mut self, turns: Option<usize>) -> ChatState {
        let allowance = self.allowance().await;
        let floor = allowance.floor();
        let most = turns.unwrap_or(usize::MAX);
        let page = self.page_for_device(floor, self.total_turns(), most);
        let mut chat = self.windowed(Some(page), floor).await;
        if let Some(note) = self.left_out(&allowance) {
            let meta = chat.meta.get_or_insert_default();
            meta.insert(LEFT_OUT.to_owned(), note);
        }
        chat
    }

    /// The chat with only the newest `turns` of its completed turns, with all of them when absent,
    /// as if those before `floor` were not there.
    async fn windowed(&mut self, turns: Option<usize>, floor: u64) -> ChatState {
        let total = self.total_turns();
        let limit = turns
            .unwrap_or(usize::MAX)
            .min(usize::try_from(total - floor.min(total)).unwrap_or(usize::MAX));
        let shown_turns = self.turns_before(total, limit).await;
        let kept = std::mem::take(&mut self.model.chat.turns);
        let mut shown = self.model.chat.clone();
        self.model.chat.turns = kept;
        let hidden = total - floor.min(total) > shown_turns.len() as u64;
        shown.turns_next_cursor = hidden.then(|| {
            shown_turns
                .first()
                .map_or_else(|| END.to_owned(), cursor_before)
        });
        shown.turns = shown_turns;
        shown
    }
}

/// The result of `subscribe`.
#[derive(Serialize)]
struct Subscribed {
    snapshot: Snapshot,
}

/// Who looks at the chat, one after another where it is long: encoding it takes a while and is done
/// beside everything else. However many ask, and however often, it costs one processor a part of its
/// time, and neither the agent nor anybody who looks already waits for it.
#[derive(Default)]
pub(super) struct Views {
    encoding: Option<JoinHandle<()>>,
    waiting: VecDeque<Asked>,
}

impl Views {
    fn is_busy(&self) -> bool {
        self.encoding.is_some()
    }

    /// Whether nobody is being shown anything.
    pub(super) fn is_idle(&self) -> bool {
        self.encoding.is_none() && self.waiting.is_empty()
    }

    /// Waits until what is encoded is done; for ever when nothing is. Cancel-safe.
    pub(super) async fn encoded(&mut self) {
        match &mut self.encoding {
            Some(encoding) => {
                // What it was for has its answer, also when it failed.
                let _ = encoding.await;
                self.encoding = None;
            }
            None => std::future::pending().await,
        }
    }

    /// A client left: it is shown nothing any more.
    pub(super) fn forget(&mut self, client: u64) {
        self.waiting.retain(|asked| asked.client.id() != client);
    }

    /// Encodes a reply and puts it in its place, a long one beside everything else.
    fn reply(&mut self, asked: Asked, place: Place, result: Subscribed) {
        let id = &asked.request_id;
        if let Some(reply) = rpc::reply_within(id, &result, ENCODED_AT_ONCE_BYTES) {
            asked.client.outbound().release(place, reply);
            return;
        }
        self.encoding = Some(tokio::spawn(async move {
            let begin = Instant::now();
            let id = asked.request_id.clone();
            let encoded = tokio::task::spawn_blocking(move || rpc::reply(&id, &result)).await;
            let reply = encoded.unwrap_or_else(|defect| {
                let error = rpc::RpcError::internal(format!("the snapshot failed: {defect}"));
                rpc::error(&asked.request_id, &error)
            });
            asked.client.outbound().release(place, reply);
            drop(asked);
            tokio::time::sleep(begin.elapsed() * REST).await;
        }));
    }
}

fn snapshot(channel: &str, state: SnapshotState, from_seq: u64) -> Snapshot {
    Snapshot {
        resource: channel.to_owned(),
        state,
        from_seq: i64::try_from(from_seq).unwrap_or(i64::MAX),
    }
}

/// The cursor of a client that has no completed turn at all.
const END: &str = "end";

fn cursor_before(turn: &Turn) -> String {
    format!("before:{}", turn.id)
}
