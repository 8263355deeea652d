//! Control messages on a link socket: JSON objects with a `type`.
//!
//! One enum a direction, so that an end cannot say what is not its to say. Unknown types, fields and reasons
//! are ignored, so that either side may be newer; a known type with wrong fields is an error of that socket.
//! Must never hold anything of a session.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::ids::{DeviceId, MachineId, PairingId};
use crate::keys::Token;

/// The version of these messages, in every `hello`.
pub const PROTOCOL: u16 = 1;
/// Most bytes of a text message to the relay.
pub const MAX_TEXT_TO_RELAY_BYTES: usize = 64 << 10;
/// Most bytes of a text message from the relay.
pub const MAX_TEXT_FROM_RELAY_BYTES: usize = 1 << 20;
/// The credit a direction of a channel begins with, unless the relay says otherwise.
pub const DEFAULT_WINDOW_BYTES: u32 = 1 << 20;
/// The least credit with which a full payload always fits while some of it is still being worked off.
pub const MIN_WINDOW_BYTES: u32 = 256 << 10;
/// How often a machine pings when nobody watches, in milliseconds, unless the relay says otherwise.
pub const DEFAULT_HEARTBEAT_MS: u64 = 30_000;
/// How often a machine pings while a channel is open, in milliseconds.
pub const WATCHED_HEARTBEAT_MS: u64 = 10_000;
/// How long a machine that is not heard of is online, in milliseconds, unless the relay says otherwise.
pub const DEFAULT_LEASE_MS: u64 = 75_000;
/// How long to wait for a pong before the link is dead, in milliseconds.
pub const PONG_TIMEOUT_MS: u64 = 10_000;

macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $word:literal,)* }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum $name {
            $($(#[$variant_doc])* $variant,)*
            /// A word this version does not know.
            Other,
        }

        impl $name {
            /// The word on the wire.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $word,)*
                    Self::Other => "other",
                }
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.as_str())
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                Ok(match String::deserialize(deserializer)?.as_str() {
                    $($word => Self::$variant,)*
                    _ => Self::Other,
                })
            }
        }
    };
}
pub(crate) use words;

words! {
    /// Why a channel was not opened.
    OpenRefusal {
        /// The machine is not connected.
        Offline = "offline",
        /// There is no such machine, or it is not this device's.
        Unknown = "unknown",
        /// The machine or the relay has as many channels as it takes.
        Busy = "busy",
        /// This device may not.
        Forbidden = "forbidden",
    }
}

words! {
    /// Why a channel ended.
    CloseReason {
        /// An end had no more use for it.
        Done = "done",
        /// What came did not open, or broke a rule of the channel.
        Failed = "failed",
        /// The device was revoked.
        Revoked = "revoked",
        /// The other end's socket ended.
        Gone = "gone",
        /// The sender exceeded its credit.
        Overrun = "overrun",
        /// Nothing was sent for too long.
        Idle = "idle",
    }
}

/// Who opened a channel to a machine, as the relay says; only the handshake proves it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Opener {
    /// A device the machine admitted.
    #[serde(rename = "deviceId")]
    Device(DeviceId),
    /// Somebody who has the id of an open pairing.
    #[serde(rename = "pairingId")]
    Pairing(PairingId),
}

/// A machine as a device sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MachineEntry {
    /// The machine.
    pub machine_id: MachineId,
    /// Its own name for itself.
    pub name: String,
    /// Whether it is connected.
    pub online: bool,
    /// When it came or went, RFC 3339.
    pub since: String,
}

/// What a machine says to the relay.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(
    tag = "type",
    rename_all = "kebab-case",
    rename_all_fields = "camelCase"
)]
#[allow(missing_docs, reason = "docs/link-protocol.md explains every field")]
pub enum FromMachine {
    /// First.
    Hello {
        protocol: u16,
        name: String,
        build: String,
    },
    /// Answered with the same `n`.
    Ping { n: u64 },
    /// The machine is done with a channel.
    ChannelClose { channel: u32, reason: CloseReason },
    /// The device may send so many more bytes.
    Window { channel: u32, bytes: u32 },
    /// Sockets may be opened for this pairing.
    PairingOpen {
        pairing_id: PairingId,
        expires_in_ms: u64,
    },
    /// No more.
    PairingClose { pairing_id: PairingId },
    /// The device on this pairing channel may reach this machine from now on.
    DeviceAdmit {
        channel: u32,
        device_id: DeviceId,
        name: String,
    },
    /// The device reaches this machine no more.
    DeviceRevoke { device_id: DeviceId },
    /// All devices this machine trusts.
    Devices { device_ids: Vec<DeviceId> },
    /// A type this version does not know.
    #[serde(other)]
    Unknown,
}

/// What a device says to the relay.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(
    tag = "type",
    rename_all = "kebab-case",
    rename_all_fields = "camelCase"
)]
#[allow(missing_docs, reason = "docs/link-protocol.md explains every field")]
pub enum FromDevice {
    /// First.
    Hello { protocol: u16, build: String },
    /// Answered with the same `n`.
    Ping { n: u64 },
    /// Asks for a channel to a machine; on a pairing socket, to the machine that pairs.
    ChannelOpen {
        request: u64,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        machine_id: Option<MachineId>,
    },
    /// The device is done with a channel.
    ChannelClose { channel: u32, reason: CloseReason },
    /// The machine may send so many more bytes.
    Window { channel: u32, bytes: u32 },
    /// A type this version does not know.
    #[serde(other)]
    Unknown,
}

/// What the relay says to a machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(
    tag = "type",
    rename_all = "kebab-case",
    rename_all_fields = "camelCase"
)]
#[allow(missing_docs, reason = "docs/link-protocol.md explains every field")]
pub enum ToMachine {
    /// Answers the machine's.
    Hello {
        protocol: u16,
        build: String,
        heartbeat_ms: u64,
        lease_ms: u64,
        window_bytes: u32,
    },
    /// Last, in place of a hello.
    Refused { message: String },
    /// Answers a ping.
    Pong { n: u64 },
    /// Somebody opened a channel.
    ChannelOpened {
        channel: u32,
        #[serde(flatten)]
        opener: Opener,
    },
    /// A channel is no more.
    ChannelClosed {
        channel: u32,
        reason: CloseReason,
        message: String,
    },
    /// The machine may send so many more bytes.
    Window { channel: u32, bytes: u32 },
    /// Connect again, at once.
    Draining {},
    /// A type this version does not know.
    #[serde(other)]
    Unknown,
}

/// What the relay says to a device.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(
    tag = "type",
    rename_all = "kebab-case",
    rename_all_fields = "camelCase"
)]
#[allow(missing_docs, reason = "docs/link-protocol.md explains every field")]
pub enum ToDevice {
    /// Answers the device's.
    Hello {
        protocol: u16,
        build: String,
        heartbeat_ms: u64,
        lease_ms: u64,
        window_bytes: u32,
    },
    /// Last, in place of a hello.
    Refused { message: String },
    /// Answers a ping.
    Pong { n: u64 },
    /// The channel that was asked for.
    ChannelOpened {
        request: u64,
        channel: u32,
        machine_id: MachineId,
    },
    /// There is no channel.
    ChannelRefused {
        request: u64,
        reason: OpenRefusal,
        message: String,
    },
    /// A channel is no more.
    ChannelClosed {
        channel: u32,
        reason: CloseReason,
        message: String,
    },
    /// The device may send so many more bytes.
    Window { channel: u32, bytes: u32 },
    /// All machines the device may reach.
    Machines { machines: Vec<MachineEntry> },
    /// One that came, went or changed its name.
    MachineChanged(MachineEntry),
    /// One that the device may reach no more.
    MachineRemoved { machine_id: MachineId },
    /// The device was admitted: what to get its token with.
    Claim { claim: Token, device_id: DeviceId },
    /// Connect again, at once.
    Draining {},
    /// A type this version does not know.
    #[serde(other)]
    Unknown,
}

/// A direction of control messages.
pub trait Control: Serialize + DeserializeOwned {
    /// Most bytes of one.
    const MAX_BYTES: usize;
}

impl Control for FromMachine {
    const MAX_BYTES: usize = MAX_TEXT_TO_RELAY_BYTES;
}
impl Control for FromDevice {
    const MAX_BYTES: usize = MAX_TEXT_TO_RELAY_BYTES;
}
impl Control for ToMachine {
    const MAX_BYTES: usize = MAX_TEXT_FROM_RELAY_BYTES;
}
impl Control for ToDevice {
    const MAX_BYTES: usize = MAX_TEXT_FROM_RELAY_BYTES;
}

/// Why a text is not a control message. Says nothing of its content.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ControlError {
    /// Larger than one may be.
    #[error("a control message is larger than {0} bytes")]
    TooLarge(usize),
    /// Not JSON, or a known type with wrong fields.
    #[error("a control message is malformed")]
    Malformed,
}

/// Reads a control message.
///
/// # Errors
/// When it is too large, not JSON, or of a known type with wrong fields.
pub fn decode<C: Control>(text: &str) -> Result<C, ControlError> {
    if text.len() > C::MAX_BYTES {
        return Err(ControlError::TooLarge(C::MAX_BYTES));
    }
    serde_json::from_str(text).map_err(|_| ControlError::Malformed)
}

/// Writes a control message.
///
/// # Errors
/// When it holds more than one may.
pub fn encode<C: Control>(message: &C) -> Result<String, ControlError> {
    let text = serde_json::to_string(message).map_err(|_| ControlError::Malformed)?;
    if text.len() > C::MAX_BYTES {
        return Err(ControlError::TooLarge(C::MAX_BYTES));
    }
    Ok(text)
}

#[cfg(test)]
mod tests;
