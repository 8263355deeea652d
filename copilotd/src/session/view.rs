//! What clients see of a session: snapshots, subscriptions, older turns.

use std::sync::Arc;
use std::time::Duration;

use ahp_types::actions::*;
use ahp_types::state::*;
use serde_json::{Value, json};

use super::View;
use super::actor::Actor;
use crate::host::{Client, rpc};

/// Turns of one page of `fetchTurns`.
const PAGE_TURNS: usize = 30;

impl Actor {
    /// Subscribes and replies, in one step.
    pub(super) fn subscribe(
        &mut self,
        client: &Arc<Client>,
        request_id: &Value,
        channel: &str,
        view: View,
        latency: Duration,
    ) {
        let Some(state) = self.snapshot_state(client.id(), channel, view) else {
            self.reply_error(
                client,
                request_id,
                &rpc::RpcError::session_not_found(channel),
            );
            return;
        };
        let sequencer = &self.model.shared.sequencer;
        let subscribed = sequencer.subscribe(
            channel,
            client.id(),
            client.outbound(),
            latency,
            |from_seq| {
                let snapshot = snapshot(channel, state, from_seq);
                Some(rpc::reply(request_id, &json!({ "snapshot": snapshot })))
            },
        );
        match subscribed {
            true => self.attached(Arc::clone(client)),
            false => self.reply_error(
                client,
                request_id,
                &rpc::RpcError::session_not_found(channel),
            ),
        }
    }

    /// Subscribes and gives the snapshot to a caller that holds the client's queue back.
    pub(super) fn subscribe_for_snapshot(
        &mut self,
        client: &Arc<Client>,
        channel: &str,
        view: View,
    ) -> Option<Snapshot> {
        let state = self.snapshot_state(client.id(), channel, view)?;
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
        if let Some(environment) = client.environment() {
            self.environment = Some(environment);
        }
        if !self.clients.iter().any(|c| c.id() == client.id()) {
            self.clients.push(client);
        }
    }

    fn snapshot_state(&mut self, client: u64, channel: &str, view: View) -> Option<SnapshotState> {
        if channel == self.model.session_uri {
            return Some(SnapshotState::Session(Box::new(self.model.session.clone())));
        }
        if channel == self.model.chat_uri {
            let chat = windowed(&mut self.model.chat, view.turns);
            self.remember_window(client, chat.turns.first());
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
    pub(super) fn fetch_turns(
        &mut self,
        client: &Arc<Client>,
        request_id: &Value,
        cursor: Option<&str>,
    ) {
        let turns = &self.model.chat.turns;
        let before = match cursor {
            Some(END) => turns.len(),
            Some(cursor) => {
                let found = cursor
                    .strip_prefix("before:")
                    .and_then(|id| turns.iter().position(|t| t.id == id));
                let Some(found) = found else {
                    let error = rpc::RpcError::invalid_params(
                        "this cursor is not one of this chat; subscribe again",
                    );
                    self.reply_error(client, request_id, &error);
                    return;
                };
                found
            }
            None => {
                let oldest = self.windows.get(&client.id());
                oldest
                    .and_then(|id| turns.iter().position(|t| &t.id == id))
                    .unwrap_or(0)
            }
        };
        if before > 0 {
            let from = before.saturating_sub(PAGE_TURNS);
            let page = turns[from..before].to_vec();
            let oldest = page.first().cloned();
            let turns_next_cursor = (from > 0).then(|| cursor_before(&turns[from]));
            let action = StateAction::ChatTurnsLoaded(ChatTurnsLoadedAction {
                turns: page,
                turns_next_cursor,
            });
            self.model.shared.sequencer.send_to(
                client.outbound(),
                &self.model.chat_uri,
                &action,
                None,
                None,
            );
            self.remember_window(client.id(), oldest.as_ref());
        }
        client.outbound().push(rpc::reply(request_id, &json!({})));
    }
}

fn snapshot(channel: &str, state: SnapshotState, from_seq: u64) -> Snapshot {
    Snapshot {
        resource: channel.to_owned(),
        state,
        from_seq: i64::try_from(from_seq).unwrap_or(i64::MAX),
    }
}

/// The chat with only the newest `turns` of its completed turns. The others are not even copied.
fn windowed(chat: &mut ChatState, turns: Option<usize>) -> ChatState {
    let all = std::mem::take(&mut chat.turns);
    let mut shown = chat.clone();
    let skip = turns.map_or(0, |n| all.len().saturating_sub(n));
    shown.turns = all[skip..].to_vec();
    shown.turns_next_cursor = (skip > 0).then(|| {
        shown
            .turns
            .first()
            .map_or_else(|| END.to_owned(), cursor_before)
    });
    chat.turns = all;
    shown
}

/// The cursor of a client that has no completed turn at all.
const END: &str = "end";

fn cursor_before(turn: &Turn) -> String {
    format!("before:{}", turn.id)
}
