//! Control messages inside a sealed channel: JSON objects with a `type`, from a machine to a device.
//!
//! Unknown types and reasons are ignored, so that either end may be newer.

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use uuid::Uuid;

use crate::control::words;
use crate::ids::DeviceId;

words! {
    /// Why a device was not paired.
    RefusalReason {
        /// The person typed another code than the device shows.
        WrongCode = "wrong-code",
        /// The link is older than ten minutes.
        Expired = "expired",
        /// A device was paired with this link already.
        Used = "used",
        /// The link's tries are used up.
        TooManyTries = "too-many-tries",
        /// The person said no.
        Declined = "declined",
    }
}

/// The machine that a device was paired with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PairedMachine {
    /// Its own name for itself.
    pub name: String,
}

/// What a machine tells a device about the channel itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(
    tag = "type",
    rename_all = "kebab-case",
    rename_all_fields = "camelCase"
)]
#[allow(missing_docs, reason = "docs/link-protocol.md explains every field")]
pub enum MachineControl {
    /// The device is paired; ends a pairing.
    Paired {
        device_id: DeviceId,
        machine: PairedMachine,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        session: Option<Uuid>,
    },
    /// The device is not paired.
    Refused {
        reason: RefusalReason,
        message: String,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        tries_left: Option<u8>,
    },
    /// The device was revoked and is cut off next.
    Revoked { message: String },
    /// A type this version does not know.
    #[serde(other)]
    Unknown,
}
