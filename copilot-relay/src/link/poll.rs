//! A machine's link socket by long poll, where websockets are blocked.
//!
//! A send that is repeated has no second effect, an answer that is lost is given again: what crosses here is
//! what would have crossed on a socket, once and in order.

use std::collections::HashMap;
use std::sync::{Arc, Mutex as Short, PoisonError};

use bytes::Bytes;
use link_proto::keys::Token;
use link_proto::poll::{self, Message, PollError};
use tokio::sync::{Mutex, watch};

use super::{Ended, Session, Who};
use crate::digest::TokenDigest;
use crate::metrics::Reason;
use crate::relay::Relay;
use crate::store::Machine;
use crate::switchboard::{Outbox, Outgoing};

/// All long polls.
#[derive(Default)]
pub struct Polls(Short<HashMap<TokenDigest, Arc<Poll>>>);

/// One of them.
pub struct Poll {
    inward: Mutex<Inward>,
    outward: Mutex<Outward>,
    outbox: Arc<Outbox>,
    /// Counts the receives: an older one gives way to a newer one, whose client has given up on it.
    receives: watch::Sender<u64>,
}

struct Inward {
    session: Session,
    /// Number of the last send that was taken.
    taken: u64,
    ended: bool,
}

#[derive(Default)]
struct Outward {
    /// Number of the last answer.
    sent: u64,
    /// That answer, until the machine has said that it came.
    unconfirmed: Option<Bytes>,
}

/// Why a send or a receive got nothing.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The poll is over; the machine begins another.
    #[error("{0}")]
    Ended(String),
    /// The number is neither the next nor a repeated one.
    #[error("{0}")]
    OutOfOrder(&'static str),
    /// The body is not a sequence of messages. Nothing of it was taken.
    #[error("{0}.")]
    Malformed(#[from] PollError),
}

/// What a receive is answered with.
pub struct Received {
    /// To be named in the next one's `after`.
    pub seq: u64,
    /// Messages.
    pub body: Bytes,
}

const OVER: &str = "This poll is over. Begin another.";

impl Polls {
    /// Begins a poll for a machine; its secret.
    ///
    /// # Errors
    /// When the system has no random numbers.
    pub fn begin(
        &self,
        relay: &Arc<Relay>,
        machine: Machine,
    ) -> Result<Token, link_proto::keys::RandomError> {
        let secret = Token::generate()?;
        let session = Session::new(Arc::clone(relay), Who::Machine(machine));
        let poll = Arc::new(Poll {
            outbox: Arc::clone(session.outbox()),
            inward: Mutex::new(Inward {
                session,
                taken: 0,
                ended: false,
            }),
            outward: Mutex::default(),
            receives: watch::Sender::new(0),
        });
        let digest = TokenDigest::of(&secret);
        self.lock().insert(digest, Arc::clone(&poll));
        let relay = Arc::clone(relay);
        relay.links.clone().spawn(async move {
            let ended = watch_over(&relay, &poll).await;
            relay.polls.lock().remove(&digest);
            let mut inward = poll.inward.lock().await;
            inward.ended = true;
            inward.session.end(ended.as_ref()).await;
        });
        Ok(secret)
    }

    /// The poll with this secret.
    #[must_use]
    pub fn find(&self, secret: &Token) -> Option<Arc<Poll>> {
        self.lock().get(&TokenDigest::of(secret)).cloned()
    }

    /// How many there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.lock().len()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<TokenDigest, Arc<Poll>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Waits until the poll ends: nobody asks for it, the relay closed it, or the relay ends.
async fn watch_over(relay: &Relay, poll: &Poll) -> Option<Ended> {
    loop {
        let (deadline, too_late) = poll.inward.lock().await.session.deadline();
        if deadline <= relay.clock.now() {
            return Some(too_late);
        }
        tokio::select! {
            () = relay.clock.sleep_until(deadline) => {}
            () = poll.outbox.closing() => return None,
            () = relay.ending() => return None,
        }
    }
}

impl Poll {
    /// Takes the messages of a send, once.
    ///
    /// # Errors
    /// See [`Failure`].
    pub async fn send(&self, relay: &Relay, seq: u64, body: &[u8]) -> Result<(), Failure> {
        let mut inward = self.inward.lock().await;
        if inward.ended {
            return Err(Failure::Ended(OVER.to_owned()));
        }
        inward.session.hear();
        if seq <= inward.taken {
            return Ok(());
        }
        if seq != inward.taken + 1 {
            return Err(Failure::OutOfOrder(
                "A send in between is missing. Repeat what was not answered, in order.",
            ));
        }
        let messages = poll::decode(body)?;
        for message in messages {
            while let Some(wait) = inward.session.pace() {
                relay.clock.sleep_until(relay.clock.now() + wait).await;
            }
            let taken = match message {
                Message::Text(text) => inward.session.text(text).await,
                Message::Binary(bytes) => inward.session.binary(bytes),
            };
            if let Err(ended) = taken {
                inward.ended = true;
                inward.session.end(Some(&ended)).await;
                return Err(Failure::Ended(ended.message));
            }
        }
        inward.taken = seq;
        Ok(())
    }

    /// Waits for messages after answer number `after`.
    ///
    /// # Errors
    /// See [`Failure`].
    pub async fn receive(&self, relay: &Relay, after: u64) -> Result<Received, Failure> {
        let mut receives = self.receives.subscribe();
        let mut own = 0;
        self.receives.send_modify(|count| {
            *count += 1;
            own = *count;
        });
        let newer = async {
            // The sender lives as long as this poll.
            let _ = receives.wait_for(|count| *count != own).await;
        };
        self.inward.lock().await.session.hear();
        let mut outward = self.outward.lock().await;
        if after == outward.sent {
            outward.unconfirmed = None;
        }
        match &outward.unconfirmed {
            Some(body) if after + 1 == outward.sent => {
                return Ok(Received {
                    seq: outward.sent,
                    body: body.clone(),
                });
            }
            None if after == outward.sent => {}
            _ => {
                return Err(Failure::OutOfOrder(
                    "`after` names neither the last answer nor the one before.",
                ));
            }
        }
        let until = relay.clock.now() + relay.limits.poll_wait;
        let nothing = Received {
            seq: outward.sent,
            body: Bytes::new(),
        };
        let first = tokio::select! {
            first = self.outbox.next() => first,
            () = relay.clock.sleep_until(until) => return Ok(nothing),
            () = newer => return Ok(nothing),
        };
        // From here to the answer nothing waits, so nothing that was taken can be lost.
        let mut body = Vec::new();
        let mut next = match first {
            Ok(Some(first)) => Some(first),
            Ok(None) => return Err(Failure::Ended(OVER.to_owned())),
            Err(_) => {
                relay.metrics.refuse(Reason::Reader);
                return Err(Failure::Ended(
                    "What the relay sent was not read.".to_owned(),
                ));
            }
        };
        while let Some(outgoing) = next {
            let message = match &outgoing {
                Outgoing::Text(text) => Message::Text(text),
                Outgoing::Binary(bytes) => Message::Binary(bytes),
            };
            // Each fits: the relay makes no larger ones, and the body ends long before it is full.
            poll::append(&mut body, message)?;
            next = if body.len() < relay.limits.poll_bytes {
                self.outbox.try_next().ok().flatten()
            } else {
                None
            };
        }
        outward.sent += 1;
        let body = Bytes::from(body);
        outward.unconfirmed = Some(body.clone());
        Ok(Received {
            seq: outward.sent,
            body,
        })
    }
}
