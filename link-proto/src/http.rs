//! Bodies and paths of the relay's HTTP side.
//!
//! Must never hold more than the wire does: who may do what is the relay's.

use serde::{Deserialize, Serialize};

use crate::ids::{MachineId, PairingId};
use crate::keys::Token;

/// Where a machine joins.
pub const MACHINES: &str = "/api/v1/machines";
/// A machine itself, to leave.
pub const MACHINE_SELF: &str = "/api/v1/machines/self";
/// Where a machine or a device gets a ticket for its socket.
pub const TICKETS: &str = "/api/v1/tickets";
/// Where a device that was just paired gets its token.
pub const CLAIM: &str = "/api/v1/devices/claim";
/// A device itself, to be forgotten.
pub const DEVICE_SELF: &str = "/api/v1/devices/self";
/// The machine's socket, with `?ticket=`.
pub const MACHINE_SOCKET: &str = "/link/v1/machine";
/// The device's socket, with `?ticket=`.
pub const DEVICE_SOCKET: &str = "/link/v1/device";
/// Where a machine without websockets begins to poll.
pub const POLL: &str = "/link/v1/poll";
/// The cookie of a device's token.
pub const DEVICE_COOKIE: &str = "__Host-copilot-device";
/// The same on plain loopback, where `__Host-` is not allowed.
pub const LOOPBACK_DEVICE_COOKIE: &str = "copilot-device";

/// Where a device gets the ticket of a pairing.
#[must_use]
pub fn pairing_ticket(pairing: &PairingId) -> String {
    format!("/api/v1/pairings/{pairing}/ticket")
}

/// A machine joins the relay.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Join {
    /// What whoever runs the relay gave the machine's owner.
    pub enrolment_token: Token,
    /// The machine.
    pub machine_id: MachineId,
    /// Its name, for people.
    pub name: String,
}

/// The machine joined.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Joined {
    /// The machine's bearer token from now on.
    pub machine_token: Token,
}

/// A ticket for one socket.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Ticket {
    /// Good for one socket of the kind it was asked for.
    pub ticket: Token,
    /// For how long, in milliseconds.
    pub expires_in_ms: u64,
    /// On a pairing's ticket: the machine that pairs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub machine_id: Option<MachineId>,
}

/// A device that was just paired asks for its token.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Claim {
    /// What the relay sent on the pairing socket.
    pub claim: Token,
}

/// The token of a device that is not a page; a page gets a cookie.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Claimed {
    /// The device's bearer token from now on.
    pub device_token: Token,
}

/// The poll that stands for a socket.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PollOpened {
    /// Sent as `authorization: Poll <poll>` with everything that follows.
    pub poll: Token,
}

/// Why a request failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErrorBody {
    /// The failure.
    pub error: ErrorDetail,
}

/// A code for programs and words for people.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErrorDetail {
    /// Lower-case words joined by `-`.
    pub code: String,
    /// What failed, whose fault it is, what to do next.
    pub message: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bodies_are_frozen() {
        let token = Token::from_bytes([1; 32]);
        let text = "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE";
        let machine_id = MachineId([2; 16]);
        let id = "02020202020202020202020202020202";
        for (body, json) in [
            (
                serde_json::to_string(&Join {
                    enrolment_token: token.clone(),
                    machine_id,
                    name: "tower".to_owned(),
                }),
                format!(r#"{{"enrolmentToken":"{text}","machineId":"{id}","name":"tower"}}"#),
            ),
            (
                serde_json::to_string(&Joined {
                    machine_token: token.clone(),
                }),
                format!(r#"{{"machineToken":"{text}"}}"#),
            ),
            (
                serde_json::to_string(&Ticket {
                    ticket: token.clone(),
                    expires_in_ms: 30_000,
                    machine_id: Some(machine_id),
                }),
                format!(r#"{{"ticket":"{text}","expiresInMs":30000,"machineId":"{id}"}}"#),
            ),
            (
                serde_json::to_string(&Claim {
                    claim: token.clone(),
                }),
                format!(r#"{{"claim":"{text}"}}"#),
            ),
            (
                serde_json::to_string(&Claimed {
                    device_token: token.clone(),
                }),
                format!(r#"{{"deviceToken":"{text}"}}"#),
            ),
            (
                serde_json::to_string(&PollOpened { poll: token }),
                format!(r#"{{"poll":"{text}"}}"#),
            ),
            (
                serde_json::to_string(&ErrorBody {
                    error: ErrorDetail {
                        code: "unknown".to_owned(),
                        message: "words".to_owned(),
                    },
                }),
                r#"{"error":{"code":"unknown","message":"words"}}"#.to_owned(),
            ),
        ] {
            assert_eq!(body.unwrap(), json);
        }
        assert_eq!(
            pairing_ticket(&PairingId([3; 16])),
            "/api/v1/pairings/03030303030303030303030303030303/ticket"
        );
    }
}
