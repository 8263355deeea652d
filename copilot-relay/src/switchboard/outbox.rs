//! What waits to be written to one socket.
//!
//! Bounded twice: channels by their credit (see [`ledger`](super::ledger)), control messages and the whole by
//! what is given to [`Outbox::new`]. A socket that lets it overflow is cut; nobody waits for it.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use link_proto::control::{Control, encode};
use tokio::sync::Notify;

/// How much of one direction of a channel has left the relay. Counted where it is written, read where credit
/// is given back.
#[derive(Debug, Default)]
pub(super) struct Delivered {
    bytes: AtomicU64,
    messages: AtomicU64,
}

impl Delivered {
    fn count(&self, payload_bytes: u64) {
        self.bytes.fetch_add(payload_bytes, Ordering::Relaxed);
        self.messages.fetch_add(1, Ordering::Relaxed);
    }

    /// Payload bytes so far.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Messages so far.
    pub(super) fn messages(&self) -> u64 {
        self.messages.load(Ordering::Relaxed)
    }
}

/// A message for a socket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outgoing {
    /// A control message.
    Text(String),
    /// A sealed message with its channel number.
    Binary(Bytes),
}

#[derive(Debug)]
enum Waiting {
    Text(String),
    Binary(Bytes, Arc<Delivered>),
}

#[derive(Debug, Default)]
struct Queue {
    /// Before everything else, so that a full channel does not make a live link look dead.
    urgent: VecDeque<String>,
    ordered: VecDeque<Waiting>,
    texts: usize,
    bytes: u64,
    state: State,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    #[default]
    Open,
    /// What waits is still written.
    Closing,
    /// Nothing is written any more.
    Overflowed,
}

/// The socket did not read what was sent to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Overflow;

/// What waits for one socket. One task takes from it.
#[derive(Debug)]
pub struct Outbox {
    queue: Mutex<Queue>,
    changed: Notify,
    closed: Notify,
    most_texts: usize,
    most_bytes: u64,
}

impl Outbox {
    /// An empty one, for at most so many control messages and payload bytes.
    #[must_use]
    pub fn new(most_texts: usize, most_bytes: u64) -> Arc<Self> {
        Arc::new(Self {
            queue: Mutex::default(),
            changed: Notify::new(),
            closed: Notify::new(),
            most_texts,
            most_bytes,
        })
    }

    /// Says something after what waits already.
    pub fn say<C: Control>(&self, message: &C) {
        if let Some(text) = text_of(message) {
            self.put(|queue| {
                queue.texts += 1;
                queue.ordered.push_back(Waiting::Text(text));
            });
        }
    }

    /// Says something before what waits already.
    pub fn say_first<C: Control>(&self, message: &C) {
        if let Some(text) = text_of(message) {
            self.put(|queue| {
                queue.texts += 1;
                queue.urgent.push_back(text);
            });
        }
    }

    /// Sends a sealed message, channel number included.
    pub(super) fn carry(&self, message: Bytes, delivered: Arc<Delivered>) {
        self.put(|queue| {
            queue.bytes += payload_bytes(&message);
            queue.ordered.push_back(Waiting::Binary(message, delivered));
        });
    }

    /// The socket is to end when it has written what waits.
    pub fn close(&self) {
        let mut queue = self.lock();
        if queue.state == State::Open {
            queue.state = State::Closing;
        }
        drop(queue);
        self.wake_all();
    }

    /// The socket is to end with these last words, and without anything that waits.
    pub fn cut<C: Control>(&self, last: &C) {
        let mut queue = self.lock();
        if queue.state == State::Open {
            *queue = Queue {
                state: State::Closing,
                urgent: text_of(last).into_iter().collect(),
                ..Queue::default()
            };
        }
        drop(queue);
        self.wake_all();
    }

    /// Payload bytes that wait.
    #[must_use]
    pub fn waiting_bytes(&self) -> u64 {
        self.lock().bytes
    }

    /// Whether the socket is to end.
    #[must_use]
    pub fn is_closing(&self) -> bool {
        self.lock().state != State::Open
    }

    /// Waits until the socket is to end.
    pub async fn closing(&self) {
        loop {
            let mut closed = std::pin::pin!(self.closed.notified());
            closed.as_mut().enable();
            if self.is_closing() {
                return;
            }
            closed.await;
        }
    }

    /// Whether what waited was too much.
    ///
    /// # Errors
    /// When the socket is to be cut because it did not read.
    pub fn overflowed(&self) -> Result<(), Overflow> {
        match self.lock().state {
            State::Overflowed => Err(Overflow),
            State::Open | State::Closing => Ok(()),
        }
    }

    /// Waits until there is something to write or the end is reached.
    ///
    /// # Errors
    /// When the socket is to be cut because it did not read.
    pub async fn next(&self) -> Result<Option<Outgoing>, Overflow> {
        loop {
            let changed = self.changed.notified();
            if let Some(outgoing) = self.try_next()? {
                return Ok(Some(outgoing));
            }
            if self.is_closing() {
                return Ok(None);
            }
            changed.await;
        }
    }

    /// What is there to write already.
    ///
    /// # Errors
    /// When the socket is to be cut because it did not read.
    pub fn try_next(&self) -> Result<Option<Outgoing>, Overflow> {
        let mut queue = self.lock();
        if queue.state == State::Overflowed {
            return Err(Overflow);
        }
        if let Some(text) = queue.urgent.pop_front() {
            queue.texts = queue.texts.saturating_sub(1);
            return Ok(Some(Outgoing::Text(text)));
        }
        Ok(queue.ordered.pop_front().map(|waiting| match waiting {
            Waiting::Text(text) => {
                queue.texts = queue.texts.saturating_sub(1);
                Outgoing::Text(text)
            }
            Waiting::Binary(message, delivered) => {
                let bytes = payload_bytes(&message);
                queue.bytes = queue.bytes.saturating_sub(bytes);
                delivered.count(bytes);
                Outgoing::Binary(message)
            }
        }))
    }

    fn put(&self, add: impl FnOnce(&mut Queue)) {
        let mut queue = self.lock();
        if queue.state != State::Open {
            return;
        }
        add(&mut queue);
        let overflows = queue.texts > self.most_texts || queue.bytes > self.most_bytes;
        if overflows {
            *queue = Queue {
                state: State::Overflowed,
                ..Queue::default()
            };
        }
        drop(queue);
        if overflows {
            self.wake_all();
        } else {
            self.changed.notify_one();
        }
    }

    fn wake_all(&self) {
        self.changed.notify_one();
        self.closed.notify_waiters();
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn text_of<C: Control>(message: &C) -> Option<String> {
    // Only what is larger than a message may be has no text; the limits of the relay keep well below.
    encode(message)
        .inspect_err(|error| tracing::error!(%error, "a message of the relay's own was dropped"))
        .ok()
}

/// Bytes of a message without its channel number.
fn payload_bytes(message: &Bytes) -> u64 {
    (message.len() as u64).saturating_sub(link_proto::frame::HEADER_BYTES as u64)
}

#[cfg(test)]
mod tests {
    use link_proto::control::ToMachine;

    use super::*;

    fn pong(n: u64) -> ToMachine {
        ToMachine::Pong { n }
    }

    fn text(n: u64) -> Option<Outgoing> {
        Some(Outgoing::Text(format!(r#"{{"type":"pong","n":{n}}}"#)))
    }

    fn frame(bytes: usize) -> Bytes {
        Bytes::from(vec![0; 4 + bytes])
    }

    #[test]
    fn it_is_in_order_but_for_what_is_urgent_and_delivery_is_counted() {
        let outbox = Outbox::new(9, 99);
        let delivered = Arc::new(Delivered::default());
        outbox.say(&pong(1));
        outbox.carry(frame(30), Arc::clone(&delivered));
        outbox.say_first(&pong(2));
        assert_eq!(outbox.waiting_bytes(), 30);
        assert_eq!(outbox.try_next(), Ok(text(2)));
        assert_eq!(outbox.try_next(), Ok(text(1)));
        assert_eq!(delivered.bytes(), 0);
        assert_eq!(outbox.try_next(), Ok(Some(Outgoing::Binary(frame(30)))));
        assert_eq!((delivered.bytes(), delivered.messages()), (30, 1));
        assert_eq!(outbox.try_next(), Ok(None));
    }

    #[tokio::test]
    async fn closing_writes_what_waits_and_cutting_only_the_last_words() {
        let outbox = Outbox::new(9, 99);
        outbox.say(&pong(1));
        outbox.close();
        outbox.say(&pong(2));
        assert_eq!(outbox.next().await, Ok(text(1)));
        assert_eq!(outbox.next().await, Ok(None));

        let outbox = Outbox::new(9, 99);
        outbox.carry(frame(30), Arc::default());
        outbox.cut(&pong(3));
        assert_eq!(outbox.next().await, Ok(text(3)));
        assert_eq!(outbox.next().await, Ok(None));
    }

    #[tokio::test]
    async fn a_socket_that_does_not_read_is_cut() {
        let outbox = Outbox::new(2, 99);
        for n in 0..3 {
            outbox.say(&pong(n));
        }
        assert_eq!(outbox.next().await, Err(Overflow));

        let outbox = Outbox::new(9, 99);
        outbox.carry(frame(99), Arc::default());
        assert_eq!(outbox.waiting_bytes(), 99);
        outbox.carry(frame(1), Arc::default());
        assert_eq!(outbox.waiting_bytes(), 0, "its memory is free at once");
        assert_eq!(outbox.next().await, Err(Overflow));
    }
}
