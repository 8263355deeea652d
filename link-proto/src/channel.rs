//! The sealed channel between a machine and a device.
//!
//! A state machine without I/O: payloads of [`crate::frame`] go in and come out, messages come out and go in.
//! `handshake` opens it, [`Sealed`] is the open channel, `flow` counts the credit that both begin with.
//! Nothing of a session passes before the handshake is complete. Any error ends the channel: what opened
//! until then was from the other end, whole and in order; nothing after it can be.

mod flow;
mod handshake;
mod message;
mod sealed;

pub use handshake::{Accepted, Answering, DeviceHello, Dialing, MachineHello, MachineInfo};
pub use message::{MachineControl, PairedMachine, RefusalReason};
pub use sealed::{Received, Sealed};

use crate::frame::MAX_PAYLOAD_BYTES;
use crate::names;
use crate::noise::NoiseError;

/// The version of what is said inside, offered and chosen in the handshake.
pub const PROTOCOL: u16 = 1;
/// Most bytes of a whole message from a machine.
pub const MAX_FROM_MACHINE_BYTES: usize = 32 << 20;
/// Most bytes of a whole message from a device.
pub const MAX_FROM_DEVICE_BYTES: usize = 1 << 20;
/// Most bytes of a message in one transport message; more goes on in the next.
pub const MAX_CHUNK_BYTES: usize = 65_000;

const HANDSHAKE: u8 = 0;
const TRANSPORT: u8 = 1;
const REFUSAL: u8 = 2;

/// The end of a channel that we are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Answers the handshake.
    Machine,
    /// Begins it.
    Device,
}

impl Role {
    /// Most bytes of a whole message that this end sends.
    #[must_use]
    pub fn max_message_bytes(self) -> usize {
        match self {
            Self::Machine => MAX_FROM_MACHINE_BYTES,
            Self::Device => MAX_FROM_DEVICE_BYTES,
        }
    }

    fn other(self) -> Self {
        match self {
            Self::Machine => Self::Device,
            Self::Device => Self::Machine,
        }
    }
}

/// Why a channel ended, or a message was not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ChannelError {
    /// A message that did not open, or keys that could not be made.
    #[error(transparent)]
    Noise(#[from] NoiseError),
    /// A refusal before there were any keys. Not authenticated.
    #[error("the machine or the relay says: {0}")]
    Refused(String),
    /// The other end speaks no version that this one does.
    #[error(
        "the other end speaks no version of the link that this program does; update the older one"
    )]
    NoCommonVersion,
    /// A payload, handshake or message that breaks the rules of the channel.
    #[error("the rules of the channel were broken: {0}")]
    Broken(&'static str),
    /// A message that this end may not send.
    #[error("a message of {bytes} bytes is more than the {most} that may be sent at once")]
    TooLarge {
        /// Its size.
        bytes: usize,
        /// What is allowed.
        most: usize,
    },
    /// The channel ended with an earlier error.
    #[error("the channel has ended")]
    Ended,
}

/// The payload that refuses a channel before there are keys: words for the person at the device. They are
/// not authenticated, so they hold no secret.
#[must_use]
pub fn refusal(words: &str) -> Vec<u8> {
    let mut payload = vec![REFUSAL];
    payload.extend(words.chars().take(1_000).collect::<String>().as_bytes());
    payload
}

/// The kind of a payload and what follows.
fn kind(payload: &[u8]) -> Result<(u8, &[u8]), ChannelError> {
    if payload.len() > MAX_PAYLOAD_BYTES {
        return Err(ChannelError::Broken("a payload is too large"));
    }
    payload
        .split_first()
        .map(|(kind, rest)| (*kind, rest))
        .ok_or(ChannelError::Broken("a payload is empty"))
}

/// The words of a refusal, made fit to show: anybody in the middle may have written them.
fn refusal_words(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes)
        .split_whitespace()
        .filter_map(names::clean)
        .collect::<Vec<_>>()
        .join(" ")
        .chars()
        .take(1_000)
        .collect()
}

#[cfg(test)]
mod tests;
#[cfg(test)]
mod transcripts;
