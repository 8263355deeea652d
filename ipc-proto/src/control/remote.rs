//! What a command asks about remote access: the link, the relay, the paired devices, pairing.
//!
//! Append-only, like everything in [`super`].

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize};

use super::at_most;

/// The most sessions that [`RemoteStatus`] lists.
pub const MAX_REMOTE_SESSIONS: usize = 1024;
/// The most devices that [`super::ControlReply::Devices`] may have.
pub const MAX_DEVICES: usize = 1024;

/// A text that is never shown by `Debug`.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Secret(pub String);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// How sessions of this machine are reached from elsewhere.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RemoteStatus {
    /// `off`, `connecting`, `connected` or `reconnecting`.
    pub state: String,
    /// Since when, RFC 3339; empty before anything happened.
    pub since: String,
    /// Why it is not connected, in words for people.
    pub why: Option<String>,
    /// The relay's address, when there is one.
    pub relay: Option<String>,
    /// Whether the relay is one that the daemon starts itself, for this machine alone.
    pub own_relay: bool,
    /// Why nothing can be reached at all and what to do about it, in words for people.
    pub no_relay: Option<String>,
    /// This machine's id towards relays and devices.
    pub machine_id: String,
    /// Its name for itself.
    pub machine_name: String,
    /// How many devices are paired.
    pub devices: u32,
    /// How many of them are connected.
    pub devices_connected: u32,
    /// The sessions that can be reached.
    #[serde(deserialize_with = "sessions")]
    pub sessions: Vec<RemoteSession>,
}

/// A session that can be reached from elsewhere.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RemoteSession {
    /// Its id.
    pub session: String,
    /// Its title.
    pub title: String,
    /// The link that opens it on a paired device. Holds no secret.
    pub link: Option<String>,
}

/// A paired device.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PairedDevice {
    /// Its id.
    pub device: String,
    /// Its name.
    pub name: String,
    /// When it was paired, RFC 3339.
    pub paired_at: String,
    /// Whether it is connected.
    pub connected: bool,
}

/// Through which relay a paired device comes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceRelay {
    /// The device's id.
    pub device: String,
    /// The relay that it was paired through; absent when that relay forgot it, or it is not known.
    pub relay: Option<String>,
    /// Whether it can come through the relay that is in use.
    pub comes: bool,
}

/// Join a relay, and use it from now on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JoinRelay {
    /// Its address.
    pub relay: String,
    /// What its owner lets machines join with.
    pub enrolment_token: Secret,
}

/// Give a device another name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RenameDevice {
    /// Its id.
    pub device: String,
    /// The name.
    pub name: String,
}

/// A pairing that was begun.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PairingBegun {
    /// Its id.
    pub pairing: String,
    /// The link to open on the device; works once and for ten minutes.
    pub link: Secret,
}

/// Wait until a pairing is not as it was any more.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AwaitPairing {
    /// Its id.
    pub pairing: String,
    /// How it was; absent to be told at once.
    pub known: Option<PairingProgress>,
}

/// The code that a person typed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TypeCode {
    /// The pairing's id.
    pub pairing: String,
    /// What was typed.
    pub code: Secret,
}

/// How a pairing is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum PairingProgress {
    /// Nobody came with the link yet.
    Open,
    /// A device shows a code.
    Waiting {
        /// What it calls itself.
        name: String,
    },
    /// The code that was typed is nobody's.
    WrongCode {
        /// How many more may be typed.
        tries_left: u8,
    },
    /// A device was paired.
    Paired {
        /// Its id.
        device: String,
        /// Its name.
        name: String,
    },
    /// It is over without a device.
    Ended {
        /// Why, in words for people.
        why: String,
    },
}

fn sessions<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<RemoteSession>, D::Error> {
    at_most(MAX_REMOTE_SESSIONS, deserializer)
}

pub(super) fn devices<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Vec<PairedDevice>, D::Error> {
    at_most(MAX_DEVICES, deserializer)
}

pub(super) fn device_relays<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Vec<DeviceRelay>, D::Error> {
    at_most(MAX_DEVICES, deserializer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_secret_is_shown() {
        let secret = || Secret("hunter2".to_owned());
        let join = JoinRelay {
            relay: "https://relay.example".to_owned(),
            enrolment_token: secret(),
        };
        let begun = PairingBegun {
            pairing: "p".to_owned(),
            link: secret(),
        };
        let typed = TypeCode {
            pairing: "p".to_owned(),
            code: secret(),
        };
        for shown in [
            format!("{join:?}"),
            format!("{begun:?}"),
            format!("{typed:?}"),
        ] {
            assert!(!shown.contains("hunter2"), "{shown}");
        }
    }
}
