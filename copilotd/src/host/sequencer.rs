//! The one place that numbers actions and hands them to subscribers.
//!
//! `serverSeq` is host-wide. Taking a number, keeping the action for replay and queueing it to
//! every subscriber of its channel is one short critical section without I/O, so that every
//! connection sees numbers rising and a snapshot and its subscription are one step.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ahp_types::actions::{ActionOrigin, StateAction};
use bytes::Bytes;
use serde_json::Value;
use tokio::sync::Notify;

use super::outbound::{Delta, DeltaTarget, Outbound};
use super::rpc;

/// Bytes of past actions kept for replay after a reconnect.
const REPLAY_BYTES: usize = 4 * 1024 * 1024;

struct Past {
    server_seq: u64,
    channel: Arc<str>,
    notification: Bytes,
}

struct Subscription {
    client: u64,
    outbound: Arc<Outbound>,
    latency: Duration,
    /// Its snapshot shows what the channel publishes next.
    ahead: bool,
}

#[derive(Default)]
struct Channel {
    subscriptions: Vec<Subscription>,
    /// Snapshots show more than was published; see [`Sequencer::run_ahead`].
    ahead: bool,
}

/// Where half of a range is used.
fn low_mark(numbers: &std::ops::Range<u64>) -> u64 {
    numbers.start + (numbers.end - numbers.start) / 2
}

struct Inner {
    last_seq: u64,
    past: VecDeque<Past>,
    past_bytes: usize,
    channels: HashMap<Arc<str>, Channel>,
}

/// Numbers, replay buffer and subscriptions of the host.
pub struct Sequencer {
    inner: Mutex<Inner>,
    low: Notify,
    low_at: AtomicU64,
}

/// Who of a channel's subscribers a notification is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Audience {
    /// All of them.
    Everybody,
    /// All but paired devices.
    ThisMachine,
    /// Paired devices only.
    Devices,
}

impl Audience {
    fn has(self, outbound: &Outbound) -> bool {
        match self {
            Self::Everybody => true,
            Self::ThisMachine => !outbound.is_device(),
            Self::Devices => outbound.is_device(),
        }
    }
}

/// What a reconnecting client gets.
pub enum Replay {
    /// The envelopes after the number it last saw, as JSON, and the channels that are gone.
    Actions {
        /// Envelope JSON, oldest first.
        envelopes: Vec<Bytes>,
        /// Channels that cannot be resumed.
        missing: Vec<String>,
    },
    /// The gap is larger than what is kept: send snapshots.
    TooOld,
}

impl Default for Sequencer {
    fn default() -> Self {
        Self::new(0..u64::MAX)
    }
}

impl Sequencer {
    /// Gives out `numbers`, which no earlier life gave out. The first one stays unused: a client
    /// of an earlier life may have seen the number before it.
    pub fn new(numbers: std::ops::Range<u64>) -> Self {
        let inner = Inner {
            last_seq: numbers.start,
            past: VecDeque::new(),
            past_bytes: 0,
            channels: HashMap::new(),
        };
        Self {
            inner: Mutex::new(inner),
            low: Notify::new(),
            low_at: AtomicU64::new(low_mark(&numbers)),
        }
    }

    /// Waits until half of the reserved numbers are used.
    pub async fn running_low(&self) {
        self.low.notified().await;
    }

    /// More numbers were reserved, up to `end`.
    pub fn extend(&self, end: u64) {
        let left = self.lock().last_seq..end;
        self.low_at.store(low_mark(&left), Ordering::Relaxed);
    }

    /// The next number. There is always one: running out is noticed long before.
    fn take_number(&self, inner: &mut Inner) -> u64 {
        inner.last_seq += 1;
        if inner.last_seq == self.low_at.load(Ordering::Relaxed) {
            self.low.notify_one();
        }
        inner.last_seq
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The highest number given out so far.
    pub fn last_seq(&self) -> u64 {
        self.lock().last_seq
    }

    /// Makes `channel` known, so that it can be subscribed to.
    pub fn open(&self, channel: &str) {
        self.lock().channels.entry(channel.into()).or_default();
    }

    /// Forgets `channel`; its subscribers get nothing more from it.
    pub fn close(&self, channel: &str) {
        self.lock().channels.remove(channel);
    }

    /// Forgets `channel` and closes the connections of its subscribers with a reason.
    pub fn close_with(&self, channel: &str, reason: &str) {
        let entry = self.lock().channels.remove(channel);
        for subscription in entry.iter().flat_map(|e| &e.subscriptions) {
            subscription.outbound.close(reason);
        }
    }

    /// Whether `channel` is known.
    pub fn is_open(&self, channel: &str) -> bool {
        self.lock().channels.contains_key(channel)
    }

    /// Numbers `action`, keeps it for replay and queues it to every subscriber of `channel`.
    pub fn publish(
        &self,
        channel: &str,
        action: &StateAction,
        origin: Option<&ActionOrigin>,
    ) -> u64 {
        let action_json = encode(action);
        let origin_json = origin.and_then(|o| serde_json::to_string(o).ok());
        let delta = delta_of(channel, action);
        let channel_json = Value::from(channel).to_string();

        let mut inner = self.lock();
        let server_seq = self.take_number(&mut inner);
        let notification = envelope(
            &channel_json,
            &action_json,
            server_seq,
            origin_json.as_deref(),
            None,
        );
        let Some((name, entry)) = inner.channels.get_key_value(channel) else {
            return server_seq;
        };
        let name = Arc::clone(name);
        for subscription in entry.subscriptions.iter().filter(|s| !s.ahead) {
            match &delta {
                Some(delta) => subscription.outbound.push_delta(
                    notification.clone(),
                    delta.clone(),
                    server_seq,
                    subscription.latency,
                ),
                None => subscription.outbound.push(notification.clone()),
            }
        }
        inner.past_bytes += notification.len();
        inner.past.push_back(Past {
            server_seq,
            channel: name,
            notification,
        });
        while inner.past_bytes > REPLAY_BYTES {
            let Some(oldest) = inner.past.pop_front() else {
                break;
            };
            inner.past_bytes -= oldest.notification.len();
        }
        server_seq
    }

    /// Sends an action to one client only: a rejection, or a page of older turns.
    pub fn send_to(
        &self,
        outbound: &Outbound,
        channel: &str,
        action: &StateAction,
        origin: Option<&ActionOrigin>,
        rejection: Option<&str>,
    ) {
        let action_json = encode(action);
        let origin_json = origin.and_then(|o| serde_json::to_string(o).ok());
        let channel_json = Value::from(channel).to_string();
        let mut inner = self.lock();
        let server_seq = self.take_number(&mut inner);
        let bytes = envelope(
            &channel_json,
            &action_json,
            server_seq,
            origin_json.as_deref(),
            rejection,
        );
        outbound.push(bytes);
    }

    /// Subscribes a client, and queues the reply that `reply` makes from the number up to which
    /// the caller's snapshot holds. The caller must be the only publisher to `channel`.
    pub fn subscribe(
        &self,
        channel: &str,
        client: u64,
        outbound: &Arc<Outbound>,
        latency: Duration,
        reply: impl FnOnce(u64) -> Option<Bytes>,
    ) -> bool {
        let mut inner = self.lock();
        let from_seq = inner.last_seq;
        let Some(entry) = inner.channels.get_mut(channel) else {
            return false;
        };
        entry.subscriptions.retain(|s| s.client != client);
        entry.subscriptions.push(Subscription {
            client,
            outbound: Arc::clone(outbound),
            latency,
            ahead: entry.ahead,
        });
        if let Some(bytes) = reply(from_seq) {
            outbound.push(bytes);
        }
        true
    }

    /// Ends one subscription.
    pub fn unsubscribe(&self, channel: &str, client: u64) {
        if let Some(entry) = self.lock().channels.get_mut(channel) {
            entry.subscriptions.retain(|s| s.client != client);
        }
    }

    /// Whether a client is subscribed to any of `channels`.
    pub fn subscribes(&self, client: u64, channels: &[String]) -> bool {
        let inner = self.lock();
        let mut entries = channels
            .iter()
            .filter_map(|c| inner.channels.get(c.as_str()));
        entries.any(|entry| entry.subscriptions.iter().any(|s| s.client == client))
    }

    /// Ends all subscriptions of a client that went away.
    pub fn forget_client(&self, client: u64) {
        for entry in self.lock().channels.values_mut() {
            entry.subscriptions.retain(|s| s.client != client);
        }
    }

    /// Subscribes a reconnecting client to those of `channels` that still exist and gives what it
    /// missed, in one step. With [`Replay::TooOld`] nothing was subscribed. Channels that
    /// `is_there` does not know are missing.
    pub fn replay(
        &self,
        last_seen: u64,
        channels: &[String],
        client: u64,
        outbound: &Arc<Outbound>,
        is_there: impl Fn(&str) -> bool,
    ) -> Replay {
        let mut inner = self.lock();
        let oldest_kept = inner
            .past
            .front()
            .map_or(inner.last_seq + 1, |p| p.server_seq);
        // A number from the future was issued by an earlier life of the daemon.
        let is_ahead = |c: &String| inner.channels.get(c.as_str()).is_some_and(|e| e.ahead);
        if last_seen > inner.last_seq
            || last_seen + 1 < oldest_kept
            || channels.iter().any(is_ahead)
        {
            return Replay::TooOld;
        }
        let mut missing = Vec::new();
        for channel in channels {
            match inner.channels.get_mut(channel.as_str()) {
                Some(entry) if is_there(channel) => {
                    entry.subscriptions.retain(|s| s.client != client);
                    let outbound = Arc::clone(outbound);
                    entry.subscriptions.push(Subscription {
                        client,
                        outbound,
                        latency: Duration::ZERO,
                        ahead: false,
                    });
                }
                _ => missing.push(channel.clone()),
            }
        }
        let first = inner.past.partition_point(|p| p.server_seq <= last_seen);
        let wanted = |p: &&Past| {
            channels.iter().any(|c| **c == *p.channel) && !missing.iter().any(|m| **m == *p.channel)
        };
        let envelopes = inner
            .past
            .range(first..)
            .filter(wanted)
            .map(|p| rpc::envelope_of(&p.notification))
            .collect();
        Replay::Actions { envelopes, missing }
    }

    /// From here on whoever subscribes to one of `channels` sees what is published later, because
    /// it cannot be kept yet. Until [`Self::catch_up`] they get nothing from it, and nobody can
    /// have a replay of it.
    pub fn run_ahead(&self, channels: &[&str]) {
        let mut inner = self.lock();
        for channel in channels {
            if let Some(entry) = inner.channels.get_mut(*channel) {
                entry.ahead = true;
            }
        }
    }

    /// What snapshots showed ahead of time is published. Which of the numbers so far somebody has
    /// seen the effect of is not known any more: whoever reconnects from there gets snapshots.
    pub fn catch_up(&self, channels: &[&str]) {
        let mut inner = self.lock();
        for channel in channels {
            if let Some(entry) = inner.channels.get_mut(*channel) {
                entry.ahead = false;
                for subscription in &mut entry.subscriptions {
                    subscription.ahead = false;
                }
            }
        }
        inner.past.clear();
        inner.past_bytes = 0;
        // One number that nobody saw makes a gap in front of what comes.
        self.take_number(&mut inner);
    }

    /// Queues a notification that is not an action to the subscribers of `channel` that are meant.
    pub fn notify(&self, channel: &str, notification: &Bytes, audience: Audience) {
        if let Some(entry) = self.lock().channels.get(channel) {
            for subscription in &entry.subscriptions {
                if audience.has(&subscription.outbound) {
                    subscription.outbound.push(notification.clone());
                }
            }
        }
    }

    /// Ends the subscriptions of paired devices to the channels that `is_meant` picks.
    pub fn drop_devices(&self, is_meant: impl Fn(&str) -> bool) {
        let mut inner = self.lock();
        for (_, entry) in inner.channels.iter_mut().filter(|(c, _)| is_meant(c)) {
            entry.subscriptions.retain(|s| !s.outbound.is_device());
        }
    }
}

fn encode(action: &StateAction) -> String {
    serde_json::to_string(action).unwrap_or_else(|error| {
        tracing::error!(%error, "an action could not be encoded");
        "null".into()
    })
}

fn envelope(
    channel: &str,
    action: &str,
    seq: u64,
    origin: Option<&str>,
    rejection: Option<&str>,
) -> Bytes {
    let mut json = format!(r#"{{"channel":{channel},"action":{action},"serverSeq":{seq}"#);
    if let Some(origin) = origin {
        json.push_str(r#","origin":"#);
        json.push_str(origin);
    }
    if let Some(rejection) = rejection {
        json.push_str(r#","rejectionReason":"#);
        json.push_str(&Value::from(rejection).to_string());
    }
    json.push('}');
    rpc::action(&json)
}

fn delta_of(channel: &str, action: &StateAction) -> Option<Delta> {
    let channel = channel.to_owned();
    let (target, content) = match action {
        StateAction::ChatDelta(a) if a.meta.is_none() => (
            DeltaTarget::Text {
                channel,
                turn_id: a.turn_id.clone(),
                part_id: a.part_id.clone(),
            },
            &a.content,
        ),
        StateAction::ChatReasoning(a) if a.meta.is_none() => (
            DeltaTarget::Reasoning {
                channel,
                turn_id: a.turn_id.clone(),
                part_id: a.part_id.clone(),
            },
            &a.content,
        ),
        StateAction::TerminalData(a) => (DeltaTarget::Terminal { channel }, &a.data),
        _ => return None,
    };
    Some(Delta {
        target,
        content: content.clone(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::outbound::Next;
    use ahp_types::actions::{ActionEnvelope, SessionTitleChangedAction};

    fn title(text: &str) -> StateAction {
        StateAction::SessionTitleChanged(SessionTitleChangedAction { title: text.into() })
    }

    /// The titles that wait for a client.
    fn waiting(outbound: &Outbound) -> Vec<String> {
        let next = std::pin::pin!(outbound.next());
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        let std::task::Poll::Ready(Next::Send(all)) = next.poll(&mut context) else {
            return Vec::new();
        };
        let title = |bytes: &Bytes| {
            let message: Value = serde_json::from_slice(bytes).unwrap();
            message["params"]["action"]["title"]
                .as_str()
                .unwrap()
                .to_owned()
        };
        all.iter().map(title).collect()
    }

    fn envelopes(all: &[Bytes]) -> Vec<(u64, String)> {
        all.iter()
            .map(|b| {
                let e: ActionEnvelope = serde_json::from_slice(b).unwrap();
                (e.server_seq, e.channel)
            })
            .collect()
    }

    #[tokio::test]
    async fn a_snapshot_and_its_subscription_are_one_step() {
        let sequencer = Sequencer::default();
        let outbound = Arc::new(Outbound::default());
        sequencer.open("a");
        sequencer.publish("a", &title("before"), None);
        assert!(
            sequencer.subscribe("a", 1, &outbound, Duration::ZERO, |seq| {
                assert_eq!(seq, 1);
                Some(Bytes::from_static(b"reply"))
            })
        );
        sequencer.publish("a", &title("after"), None);
        let Next::Send(all) = outbound.next().await else {
            panic!("closed")
        };
        assert_eq!(all.len(), 2);
        assert_eq!(&all[0][..], b"reply");
        assert!(String::from_utf8_lossy(&all[1]).contains("after"));
    }

    #[test]
    fn whoever_saw_what_is_published_later_gets_it_once() {
        let sequencer = Sequencer::default();
        sequencer.open("c");
        sequencer.open("d");
        let channels = ["c".to_owned()];
        let [early, late, back] = [(); 3].map(|()| Arc::new(Outbound::default()));
        sequencer.subscribe("c", 1, &early, Duration::ZERO, |_| None);
        sequencer.run_ahead(&["c"]);
        let mut seen = 0;
        sequencer.subscribe("c", 2, &late, Duration::ZERO, |from_seq| {
            seen = from_seq;
            None
        });
        let replay = sequencer.replay(seen, &channels, 3, &back, |_| true);
        assert!(matches!(replay, Replay::TooOld), "not while it waits");
        sequencer.publish("c", &title("shown before"), None);
        sequencer.publish("d", &title("of another session"), None);
        sequencer.catch_up(&["c"]);
        for last_seen in seen..=sequencer.last_seq() - 1 {
            let replay = sequencer.replay(last_seen, &channels, 3, &back, |_| true);
            assert!(matches!(replay, Replay::TooOld), "{last_seen}");
        }
        sequencer.publish("c", &title("after"), None);
        assert_eq!(waiting(&early), ["shown before", "after"]);
        assert_eq!(waiting(&late), ["after"]);
        let replay = sequencer.replay(sequencer.last_seq() - 1, &channels, 3, &back, |_| true);
        assert!(matches!(replay, Replay::Actions { envelopes, .. } if envelopes.len() == 1));
    }

    #[test]
    fn replay_gives_what_was_missed_on_the_channels_that_still_exist() {
        let sequencer = Sequencer::default();
        let outbound = Arc::new(Outbound::default());
        for channel in ["a", "b", "gone"] {
            sequencer.open(channel);
        }
        sequencer.publish("a", &title("1"), None);
        sequencer.publish("b", &title("2"), None);
        sequencer.publish("gone", &title("3"), None);
        sequencer.publish("a", &title("4"), None);
        sequencer.close("gone");
        let channels = ["a".to_owned(), "gone".to_owned()];
        let Replay::Actions {
            envelopes: all,
            missing,
        } = sequencer.replay(1, &channels, 1, &outbound, |_| true)
        else {
            panic!("too old")
        };
        assert_eq!(envelopes(&all), [(4, "a".to_owned())]);
        assert_eq!(missing, ["gone"]);
    }

    #[test]
    fn a_number_from_the_future_or_from_too_long_ago_needs_snapshots() {
        let sequencer = Sequencer::default();
        let outbound = Arc::new(Outbound::default());
        sequencer.open("a");
        assert!(matches!(
            sequencer.replay(5, &[], 1, &outbound, |_| true),
            Replay::TooOld
        ));
        let large = "x".repeat(REPLAY_BYTES / 4);
        for _ in 0..10 {
            sequencer.publish("a", &title(&large), None);
        }
        assert!(matches!(
            sequencer.replay(1, &["a".into()], 1, &outbound, |_| true),
            Replay::TooOld
        ));
        assert!(matches!(
            sequencer.replay(9, &["a".into()], 1, &outbound, |_| true),
            Replay::Actions { .. }
        ));
    }

    #[tokio::test]
    async fn numbers_rise_for_a_client_of_many_channels() {
        let sequencer = Arc::new(Sequencer::default());
        let outbound = Arc::new(Outbound::default());
        let publishers: Vec<_> = (0..4)
            .map(|n| {
                let channel = format!("c{n}");
                sequencer.open(&channel);
                sequencer.subscribe(&channel, 1, &outbound, Duration::ZERO, |_| None);
                let sequencer = Arc::clone(&sequencer);
                std::thread::spawn(move || {
                    for i in 0..200 {
                        sequencer.publish(&channel, &title(&i.to_string()), None);
                    }
                })
            })
            .collect();
        for publisher in publishers {
            publisher.join().unwrap();
        }
        let Next::Send(all) = outbound.next().await else {
            panic!("closed")
        };
        let seqs: Vec<u64> = envelopes(&all.iter().map(rpc::envelope_of).collect::<Vec<_>>())
            .into_iter()
            .map(|e| e.0)
            .collect();
        assert_eq!(seqs, (1..=800).collect::<Vec<_>>());
    }
}
