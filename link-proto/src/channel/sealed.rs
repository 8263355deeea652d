//! The open channel: whole messages to sealed frames, sealed frames to whole messages.
//!
//! Chunks of two messages are never interleaved. What waits to be sent is the owner's to bound: it gives the
//! next message when [`Sealed::is_drained`].

use std::collections::VecDeque;

use bytes::Bytes;
use serde::Deserialize;

use super::flow::Flow;
use super::message::MachineControl;
use super::{ChannelError, MAX_CHUNK_BYTES, Role, TRANSPORT, kind};
use crate::frame;
use crate::keys::PublicKey;
use crate::noise::{PairingCode, TAG_BYTES, Transport};

/// Type of an AHP message.
const AHP: u8 = 0;
/// Type of a control message.
const CONTROL: u8 = 1;
/// The message goes on in the next transport message.
const MORE: u8 = 1;
/// Most bytes of a control message.
const MAX_CONTROL_BYTES: usize = 64 << 10;

/// A message from the other end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Received {
    /// An AHP message, not looked at.
    Ahp(String),
    /// Something about the channel itself; only a device gets these.
    Control(MachineControl),
}

struct Outgoing {
    kind: u8,
    rest: Bytes,
}

/// An open channel.
pub struct Sealed {
    pub(super) role: Role,
    pub(super) transport: Transport,
    flow: Flow,
    outbox: VecDeque<Outgoing>,
    /// The message whose chunks are coming.
    inbox: Option<(u8, Vec<u8>)>,
    ended: bool,
}

impl Sealed {
    pub(super) fn new(role: Role, transport: Transport, flow: Flow) -> Self {
        Self {
            role,
            transport,
            flow,
            outbox: VecDeque::new(),
            inbox: None,
            ended: false,
        }
    }

    /// The key of the other end.
    #[must_use]
    pub fn peer(&self) -> PublicKey {
        self.transport.peer()
    }

    /// The code that two people compare.
    #[must_use]
    pub fn code(&self) -> PairingCode {
        self.transport.code()
    }

    /// Queues an AHP message.
    ///
    /// # Errors
    /// When this end may not send so much at once. The channel goes on.
    pub fn send_ahp(&mut self, message: Bytes) -> Result<(), ChannelError> {
        self.queue(AHP, message, self.role.max_message_bytes())
    }

    /// Queues a control message.
    ///
    /// # Errors
    /// When it is too large. The channel goes on.
    pub fn send_control(&mut self, message: &MachineControl) -> Result<(), ChannelError> {
        let text = serde_json::to_vec(message)
            .map_err(|_| ChannelError::Broken("a control message could not be written"))?;
        self.queue(CONTROL, text.into(), MAX_CONTROL_BYTES)
    }

    fn queue(&mut self, kind: u8, message: Bytes, most: usize) -> Result<(), ChannelError> {
        if self.ended {
            return Err(ChannelError::Ended);
        }
        if message.len() > most {
            return Err(ChannelError::TooLarge {
                bytes: message.len(),
                most,
            });
        }
        self.outbox.push_back(Outgoing {
            kind,
            rest: message,
        });
        Ok(())
    }

    /// Whether nothing waits to be sent.
    #[must_use]
    pub fn is_drained(&self) -> bool {
        self.outbox.is_empty()
    }

    /// The next binary message to send on `channel`, or `None`: nothing waits, or the credit is used up until
    /// [`Sealed::grant`]. Whatever this gives must be sent, in order.
    ///
    /// # Errors
    /// When the channel has ended.
    pub fn next_frame(&mut self, channel: u32) -> Result<Option<Vec<u8>>, ChannelError> {
        if self.ended {
            return Err(ChannelError::Ended);
        }
        let Some(outgoing) = self.outbox.front_mut() else {
            return Ok(None);
        };
        let chunk_bytes = outgoing.rest.len().min(MAX_CHUNK_BYTES);
        if !self.flow.send(1 + 2 + chunk_bytes + TAG_BYTES) {
            return Ok(None);
        }
        let chunk = outgoing.rest.split_to(chunk_bytes);
        let flags = if outgoing.rest.is_empty() { 0 } else { MORE };
        let mut plaintext = Vec::with_capacity(2 + chunk_bytes);
        plaintext.extend([outgoing.kind, flags]);
        plaintext.extend(&chunk);
        if flags & MORE == 0 {
            self.outbox.pop_front();
        }
        let mut message = Vec::with_capacity(frame::HEADER_BYTES + 1 + plaintext.len() + TAG_BYTES);
        message.extend(channel.to_be_bytes());
        message.push(TRANSPORT);
        match self.transport.seal(&plaintext, &mut message) {
            Ok(()) => Ok(Some(message)),
            Err(error) => {
                self.ended = true;
                Err(error.into())
            }
        }
    }

    /// The other end worked off what was sent: a `window` came.
    pub fn grant(&mut self, bytes: u32) {
        self.flow.grant(bytes);
    }

    /// What came is worked off: how much to give back with a `window`, if it is worth one. Not asking is how
    /// a slow owner slows the other end.
    pub fn give_back(&mut self) -> Option<u32> {
        self.flow.give_back()
    }

    /// A payload from the other end: a whole message, or `None` when more of it has to come or it is of a
    /// kind that is ignored.
    ///
    /// # Errors
    /// When it is anything but what was due. The channel has ended then.
    pub fn receive(&mut self, payload: &[u8]) -> Result<Option<Received>, ChannelError> {
        if self.ended {
            return Err(ChannelError::Ended);
        }
        let received = self.open(payload);
        if received.is_err() {
            self.ended = true;
            self.inbox = None;
            self.outbox.clear();
        }
        received
    }

    fn open(&mut self, payload: &[u8]) -> Result<Option<Received>, ChannelError> {
        if !self.flow.receive(payload.len()) {
            return Err(ChannelError::Broken(
                "more was sent than there was credit for",
            ));
        }
        let (TRANSPORT, message) = kind(payload)? else {
            return Err(ChannelError::Broken("a sealed message was due"));
        };
        let plaintext = self.transport.open(message)?;
        let [kind, flags, chunk @ ..] = plaintext.as_slice() else {
            return Err(ChannelError::Broken("a message has no type"));
        };
        let more = match *flags {
            0 => false,
            MORE => true,
            _ => return Err(ChannelError::Broken("a message has unknown flags")),
        };
        let most = match *kind {
            AHP => self.role.other().max_message_bytes(),
            CONTROL => MAX_CONTROL_BYTES,
            _ => return Err(ChannelError::Broken("a message has an unknown type")),
        };
        if chunk.len() > MAX_CHUNK_BYTES || (more && chunk.is_empty()) {
            return Err(ChannelError::Broken(
                "a piece of a message has a wrong size",
            ));
        }
        let mut whole = match self.inbox.take() {
            None => Vec::with_capacity(chunk.len()),
            Some((expected, whole)) if expected == *kind => whole,
            Some(_) => return Err(ChannelError::Broken("two messages are interleaved")),
        };
        if whole.len() + chunk.len() > most {
            return Err(ChannelError::Broken("a message is too large"));
        }
        whole.extend(chunk);
        if more {
            self.inbox = Some((*kind, whole));
            return Ok(None);
        }
        let text =
            String::from_utf8(whole).map_err(|_| ChannelError::Broken("a message is not UTF-8"))?;
        match (*kind, self.role) {
            (AHP, _) => Ok(Some(Received::Ahp(text))),
            (_, Role::Device) => match control(&text)? {
                MachineControl::Unknown => Ok(None),
                message => Ok(Some(Received::Control(message))),
            },
            // A device has nothing to say here yet.
            (_, Role::Machine) => control::<Anything>(&text).map(|_| None),
        }
    }
}

/// Any control message.
#[derive(Deserialize)]
struct Anything {
    #[serde(rename = "type")]
    _type: String,
}

fn control<'de, T: Deserialize<'de>>(text: &'de str) -> Result<T, ChannelError> {
    serde_json::from_str(text).map_err(|_| ChannelError::Broken("a control message is malformed"))
}

impl std::fmt::Debug for Sealed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sealed")
            .field("role", &self.role)
            .field("peer", &self.peer())
            .field("ended", &self.ended)
            .finish_non_exhaustive()
    }
}
