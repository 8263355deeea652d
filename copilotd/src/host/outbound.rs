//! What waits to be sent to one client: bounded, and cheap for everyone else.
//!
//! Pushing never blocks and never fails the pusher. A client that falls behind first gets
//! adjacent deltas merged; when that is not enough its connection is closed with the reason, and
//! it reconnects for a replay or a snapshot. Nothing is ever left out silently.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use serde_json::json;
use tokio::sync::Notify;

use super::rpc;

/// Bytes that may wait for one client before it is cut off. One message more may be larger.
const MAX_WAITING_BYTES: usize = 8 * 1024 * 1024;
/// From here on deltas are merged also for clients that asked for immediate delivery.
const MERGE_ABOVE_BYTES: usize = 64 * 1024;
/// A merged delta is closed at this size, so that no message grows without limit.
const MAX_MERGED_BYTES: usize = 256 * 1024;

/// Text that is appended to something: the only kind of action that may be merged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delta {
    /// What the text is appended to: channel, action type and ids, compared as a whole.
    pub target: DeltaTarget,
    /// The text.
    pub content: String,
}

/// Where a [`Delta`] appends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DeltaTarget {
    /// `chat/delta`
    Text {
        /// Chat URI.
        channel: String,
        /// Turn id.
        turn_id: String,
        /// Response part id.
        part_id: String,
    },
    /// `chat/reasoning`
    Reasoning {
        /// Chat URI.
        channel: String,
        /// Turn id.
        turn_id: String,
        /// Response part id.
        part_id: String,
    },
    /// `terminal/data`
    Terminal {
        /// Terminal URI.
        channel: String,
    },
}

impl Delta {
    fn encode(&self, server_seq: u64) -> Bytes {
        let (channel, action) = match &self.target {
            DeltaTarget::Text {
                channel,
                turn_id,
                part_id,
            } => (
                channel,
                json!({"type": "chat/delta", "turnId": turn_id, "partId": part_id, "content": self.content}),
            ),
            DeltaTarget::Reasoning {
                channel,
                turn_id,
                part_id,
            } => (
                channel,
                json!({"type": "chat/reasoning", "turnId": turn_id, "partId": part_id, "content": self.content}),
            ),
            DeltaTarget::Terminal { channel } => (
                channel,
                json!({"type": "terminal/data", "data": self.content}),
            ),
        };
        rpc::action(
            &json!({"channel": channel, "action": action, "serverSeq": server_seq}).to_string(),
        )
    }
}

#[derive(Debug)]
struct Item {
    bytes: Bytes,
    delta: Option<MergeableDelta>,
    /// A reply that is still being made: it and what is behind it wait for [`Outbound::release`].
    held: Option<u64>,
}

/// The place in a queue of a reply that is being made.
#[must_use = "what is behind it waits until it is released"]
#[derive(Debug)]
pub struct Place(u64);

#[derive(Debug)]
struct MergeableDelta {
    delta: Delta,
    server_seq: u64,
    /// When the client must have it at the latest.
    due: Instant,
    merged: bool,
}

impl Item {
    fn message(bytes: Bytes) -> Self {
        Self {
            bytes,
            delta: None,
            held: None,
        }
    }

    fn len(&self) -> usize {
        match &self.delta {
            Some(d) if d.merged => d.delta.content.len(),
            _ => self.bytes.len(),
        }
    }

    fn encode(self) -> Bytes {
        match self.delta {
            Some(d) if d.merged => d.delta.encode(d.server_seq),
            _ => self.bytes,
        }
    }
}

#[derive(Debug)]
struct Closing {
    reason: String,
    /// Whether the daemon ends because somebody wants it to: then nobody should start it again.
    stopping: bool,
}

impl Closing {
    fn message(&self) -> Bytes {
        let params = json!({ "reason": self.reason, "stopping": self.stopping });
        rpc::notification("copilot/closed", &params)
    }
}

#[derive(Debug, Default)]
struct Queue {
    items: VecDeque<Item>,
    bytes: usize,
    next_place: u64,
    closed: Option<Closing>,
}

/// The queue of one client.
#[derive(Debug, Default)]
pub struct Outbound {
    queue: Mutex<Queue>,
    changed: Notify,
    device: bool,
}

/// What [`Outbound::next`] gives to the transport.
#[derive(Debug, PartialEq, Eq)]
pub enum Next {
    /// Send these, in this order.
    Send(Vec<Bytes>),
    /// Send this last message if the client still takes it, then close.
    Close(Bytes),
}

impl Outbound {
    /// The queue of a paired device.
    #[must_use]
    pub fn of_device() -> Self {
        Self {
            device: true,
            ..Self::default()
        }
    }

    /// Whether a paired device is behind it.
    pub fn is_device(&self) -> bool {
        self.device
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Queues a message.
    pub fn push(&self, bytes: Bytes) {
        self.push_item(Item::message(bytes), false);
    }

    /// Queues a delta that may be merged with its neighbour until `latency` has passed.
    pub fn push_delta(&self, bytes: Bytes, delta: Delta, server_seq: u64, latency: Duration) {
        let due = Instant::now() + latency;
        let item = Item {
            bytes,
            delta: Some(MergeableDelta {
                delta,
                server_seq,
                due,
                merged: false,
            }),
            held: None,
        };
        self.push_item(item, !latency.is_zero());
    }

    fn push_item(&self, item: Item, merge_always: bool) {
        let mut queue = self.lock();
        if queue.closed.is_some() {
            return;
        }
        if queue.bytes > MAX_WAITING_BYTES {
            let reason = format!(
                "this client did not read for too long ({} MiB were waiting); reconnect to go on",
                queue.bytes / 1024 / 1024
            );
            close(&mut queue, reason, false);
            drop(queue);
            self.changed.notify_one();
            return;
        }
        let merge = merge_always || queue.bytes > MERGE_ABOVE_BYTES;
        // What is merged is counted by its text, as it is when it is sent.
        let before = queue.items.back().map_or(0, Item::len);
        let merged = match (queue.items.back_mut(), &item.delta) {
            (
                Some(Item {
                    delta: Some(last), ..
                }),
                Some(new),
            ) if merge
                && last.delta.target == new.delta.target
                && last.delta.content.len() + new.delta.content.len() <= MAX_MERGED_BYTES =>
            {
                last.delta.content.push_str(&new.delta.content);
                last.server_seq = new.server_seq;
                last.merged = true;
                true
            }
            _ => false,
        };
        if merged {
            let after = queue.items.back().map_or(0, Item::len);
            queue.bytes = (queue.bytes + after).saturating_sub(before);
        } else {
            queue.bytes += item.len();
            queue.items.push_back(item);
        }
        drop(queue);
        self.changed.notify_one();
    }

    /// Keeps a place for a reply that is being made. What is queued from here on waits behind it
    /// until [`Outbound::release`] brings it.
    pub fn hold(&self) -> Place {
        let mut queue = self.lock();
        let place = queue.next_place;
        queue.next_place += 1;
        if queue.closed.is_none() {
            queue.items.push_back(Item {
                bytes: Bytes::new(),
                delta: None,
                held: Some(place),
            });
        }
        Place(place)
    }

    /// Puts the reply in its place, so that it and what is behind it may be sent.
    pub fn release(&self, place: Place, reply: Bytes) {
        let mut queue = self.lock();
        let held = queue.items.iter_mut().find(|i| i.held == Some(place.0));
        // It is gone when the connection was closed meanwhile.
        let Some(item) = held else { return };
        let added = reply.len();
        *item = Item::message(reply);
        queue.bytes += added;
        drop(queue);
        self.changed.notify_one();
    }

    /// Throws away what waits and closes the connection with a reason for people.
    pub fn close(&self, reason: impl Into<String>) {
        close(&mut self.lock(), reason.into(), false);
        self.changed.notify_one();
    }

    /// The same, because the daemon ends as somebody wants it to.
    pub fn stop(&self) {
        close(&mut self.lock(), "the daemon is stopping".into(), true);
        self.changed.notify_one();
    }

    /// How much waits.
    pub fn waiting_bytes(&self) -> usize {
        self.lock().bytes
    }

    /// The last message, once it is closed.
    pub fn last_words(&self) -> Option<Bytes> {
        self.lock().closed.as_ref().map(Closing::message)
    }

    /// Waits until it is closed, for who cannot send what waits: the last message. Only one of this and
    /// [`Outbound::next`] is woken.
    pub async fn closed(&self) -> Bytes {
        loop {
            if let Some(last) = self.last_words() {
                return last;
            }
            self.changed.notified().await;
        }
    }

    /// Waits until something may be sent. Cancel-safe: nothing is lost when dropped.
    pub async fn next(&self) -> Next {
        loop {
            let wait_until = {
                let mut queue = self.lock();
                if let Some(closing) = &queue.closed {
                    return Next::Close(closing.message());
                }
                let ready = queue.items.iter().take_while(|i| i.held.is_none()).count();
                match delay(queue.items.iter().take(ready)) {
                    None => {
                        let sent: Vec<Item> = queue.items.drain(..ready).collect();
                        let bytes = sent.iter().map(Item::len).sum();
                        queue.bytes = queue.bytes.saturating_sub(bytes);
                        return Next::Send(sent.into_iter().map(Item::encode).collect());
                    }
                    Some(due) => due,
                }
            };
            match wait_until {
                Due::Never => self.changed.notified().await,
                Due::At(due) => {
                    tokio::select! {
                        () = self.changed.notified() => {}
                        () = tokio::time::sleep_until(due.into()) => {}
                    }
                }
            }
        }
    }
}

enum Due {
    Never,
    At(Instant),
}

/// Until when the queue may still wait; `None` when it must be sent now.
fn delay<'a>(items: impl Iterator<Item = &'a Item>) -> Option<Due> {
    let mut earliest: Option<Instant> = None;
    for item in items {
        let due = item.delta.as_ref()?.due;
        earliest = Some(earliest.map_or(due, |e| e.min(due)));
    }
    match earliest {
        None => Some(Due::Never),
        Some(due) if due <= Instant::now() => None,
        Some(due) => Some(Due::At(due)),
    }
}

fn close(queue: &mut Queue, reason: String, stopping: bool) {
    queue.items.clear();
    queue.bytes = 0;
    queue.closed.get_or_insert(Closing { reason, stopping });
}

#[cfg(test)]
mod tests {
    use super::*;

    fn delta(content: &str) -> Delta {
        let target = DeltaTarget::Text {
            channel: "c".into(),
            turn_id: "t".into(),
            part_id: "p".into(),
        };
        Delta {
            target,
            content: content.into(),
        }
    }

    fn push(outbound: &Outbound, content: &str, seq: u64, latency: Duration) {
        outbound.push_delta(delta(content).encode(seq), delta(content), seq, latency);
    }

    fn sent(next: Next) -> Vec<String> {
        match next {
            Next::Send(all) => all
                .iter()
                .map(|b| String::from_utf8_lossy(b).into_owned())
                .collect(),
            Next::Close(b) => vec![format!("closed {}", String::from_utf8_lossy(&b))],
        }
    }

    #[tokio::test]
    async fn without_latency_deltas_stay_as_they_are() {
        let outbound = Outbound::default();
        push(&outbound, "a", 1, Duration::ZERO);
        push(&outbound, "b", 2, Duration::ZERO);
        let all = sent(outbound.next().await);
        assert_eq!(all.len(), 2);
    }

    #[tokio::test]
    async fn with_latency_adjacent_deltas_become_one_with_the_last_number() {
        let outbound = Outbound::default();
        push(&outbound, "a", 1, Duration::from_millis(1));
        push(&outbound, "b", 2, Duration::from_millis(1));
        let all = sent(outbound.next().await);
        assert_eq!(all.len(), 1);
        assert!(
            all[0].contains(r#""content":"ab""#) && all[0].contains(r#""serverSeq":2"#),
            "{all:?}"
        );
    }

    #[tokio::test]
    async fn however_much_was_merged_nothing_waits_when_all_is_sent() {
        let outbound = Outbound::default();
        for round in 0..100 {
            for seq in 0..100 {
                push(
                    &outbound,
                    "\n\"",
                    round * 100 + seq,
                    Duration::from_millis(1),
                );
            }
            assert!(outbound.waiting_bytes() > 0);
            assert_eq!(sent(outbound.next().await).len(), 1);
            assert_eq!(outbound.waiting_bytes(), 0, "round {round}");
        }
    }

    #[tokio::test]
    async fn anything_else_between_deltas_keeps_the_order_and_flushes() {
        let outbound = Outbound::default();
        push(&outbound, "a", 1, Duration::from_secs(60));
        outbound.push(Bytes::from_static(b"x"));
        push(&outbound, "b", 3, Duration::from_secs(60));
        let all = sent(outbound.next().await);
        assert_eq!(all.len(), 3);
        assert_eq!(all[1], "x");
    }

    #[tokio::test]
    async fn what_is_published_while_a_reply_is_made_comes_behind_it() {
        let outbound = Outbound::default();
        outbound.push(Bytes::from_static(b"before"));
        let place = outbound.hold();
        outbound.push(Bytes::from_static(b"after"));
        outbound.release(place, Bytes::from_static(b"reply"));
        assert_eq!(sent(outbound.next().await), ["before", "reply", "after"]);
    }

    #[tokio::test]
    async fn replies_that_are_made_at_once_keep_their_order_whichever_is_ready_first() {
        let outbound = Outbound::default();
        let first = outbound.hold();
        outbound.push(Bytes::from_static(b"of the first"));
        let second = outbound.hold();
        outbound.push(Bytes::from_static(b"of the second"));
        outbound.release(second, Bytes::from_static(b"second"));
        let early = tokio::time::timeout(Duration::ZERO, outbound.next()).await;
        assert!(early.is_err(), "{early:?}");
        outbound.release(first, Bytes::from_static(b"first"));
        assert_eq!(
            sent(outbound.next().await),
            ["first", "of the first", "second", "of the second"]
        );
        assert_eq!(outbound.lock().bytes, 0);
        // What is released to a connection that was closed meanwhile goes nowhere.
        let late = outbound.hold();
        outbound.close("done");
        outbound.release(late, Bytes::from_static(b"late"));
        assert!(sent(outbound.next().await)[0].starts_with("closed"));
    }

    #[tokio::test]
    async fn who_cannot_send_what_waits_hears_that_it_was_closed() {
        let outbound = Outbound::default();
        outbound.push(Bytes::from_static(b"waits"));
        assert_eq!((outbound.waiting_bytes(), outbound.last_words()), (5, None));
        let early = tokio::time::timeout(Duration::ZERO, outbound.closed()).await;
        assert!(early.is_err(), "{early:?}");
        let (last, ()) = tokio::join!(outbound.closed(), async { outbound.close("enough") });
        assert!(
            String::from_utf8_lossy(&last).contains("enough"),
            "{last:?}"
        );
        assert_eq!(outbound.waiting_bytes(), 0);
        assert_eq!(outbound.next().await, Next::Close(last));
    }

    #[tokio::test]
    async fn a_client_that_does_not_read_is_closed_with_the_reason() {
        let outbound = Outbound::default();
        let block = Bytes::from(vec![b'x'; 1024 * 1024]);
        for _ in 0..16 {
            outbound.push(block.clone());
        }
        let all = sent(outbound.next().await);
        assert_eq!(all.len(), 1);
        assert!(all[0].contains("did not read"), "{all:?}");
    }

    #[tokio::test]
    async fn a_client_that_is_behind_gets_merged_deltas_up_to_a_limit() {
        let outbound = Outbound::default();
        outbound.push(Bytes::from(vec![b'x'; MERGE_ABOVE_BYTES + 1]));
        for seq in 0..1000 {
            push(&outbound, &"#".repeat(1000), seq, Duration::ZERO);
        }
        let all = sent(outbound.next().await);
        assert!(all.len() < 10, "{}", all.len());
        let total: usize = all[1..].iter().map(|m| m.matches('#').count()).sum();
        assert_eq!(total, 1_000_000);
    }
}
