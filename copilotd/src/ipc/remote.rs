//! Control requests about remote access: the link, the relay, devices, pairing. Only for people at
//! this machine; who asks was checked before.

use std::sync::Arc;
use std::time::Duration;

use ipc_proto::control::{
    AwaitPairing, ControlReply, ControlRequest, DeviceRelay, ErrorCode, MAX_REMOTE_SESSIONS,
    PairedDevice, PairingBegun, PairingProgress, RemoteSession, RemoteStatus, Secret, TypeCode,
};
use link_proto::ids::PairingId;

use super::Daemon;
use super::control::{error, unknown_request};
use crate::audit::Who;
use crate::link::Link;
use crate::link::devices::{DeviceError, Paired};
use crate::link::pairing::Progress;
use crate::remote::LinkState;

/// How long a request waits for something to happen to a pairing.
const PATIENCE: Duration = Duration::from_secs(25);
/// How long a link that was lost has to come back before a pairing is refused.
const COMES_BACK: Duration = Duration::from_secs(5);

impl Daemon {
    /// Answers one request about remote access.
    pub(super) async fn remote_control(&self, by: Who, request: ControlRequest) -> ControlReply {
        let link = match &self.link {
            Ok(link) => link,
            Err(why) => return error(ErrorCode::Internal, why, None),
        };
        match request {
            ControlRequest::RemoteStatus => ControlReply::Remote(self.remote_status(link).await),
            ControlRequest::JoinRelay(join) => {
                let joined = link.log_in(&join.relay, &join.enrolment_token.0, by).await;
                done(joined, ErrorCode::Invalid)
            }
            ControlRequest::LeaveRelay => leave(link, by).await,
            ControlRequest::ListDevices => {
                let shown = |(device, connected): (Paired, bool)| shown(device, connected);
                ControlReply::Devices(link.devices().into_iter().map(shown).collect())
            }
            ControlRequest::ListDeviceRelays => {
                let all = link.devices_that_come().into_iter();
                ControlReply::DeviceRelays(all.map(relay_of).collect())
            }
            ControlRequest::RenameDevice(rename) => {
                changed(link.rename(&rename.device, &rename.name, by).await)
            }
            ControlRequest::RevokeDevice { device } => changed(link.revoke(&device, by).await),
            ControlRequest::BeginPairing { session } => self.begin(link, session, by).await,
            ControlRequest::AwaitPairing(AwaitPairing { pairing, known }) => {
                let known = known.and_then(into);
                let progress = match pairing.parse() {
                    Ok(id) => link.pairing_progress(id, known.as_ref(), PATIENCE).await,
                    Err(_) => None,
                };
                match progress {
                    Some(progress) => ControlReply::Pairing(out(progress)),
                    None => no_pairing(),
                }
            }
            ControlRequest::TypeCode(typed) => type_code(link, &typed, by).await,
            ControlRequest::EndPairing { pairing } => match pairing.parse() {
                Ok(id) => {
                    link.end_pairing(id, &by);
                    ControlReply::Done
                }
                Err(_) => no_pairing(),
            },
            _ => unknown_request(),
        }
    }

    async fn remote_status(&self, link: &Link) -> RemoteStatus {
        let status = self.host.shared.link.status();
        let devices = link.devices();
        let count = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        let session = |(session, title): (String, String)| RemoteSession {
            link: status.link_to(&session),
            session,
            title,
        };
        let mut sessions: Vec<RemoteSession> = self
            .host
            .remote_sessions()
            .await
            .into_iter()
            .map(session)
            .collect();
        sessions.truncate(MAX_REMOTE_SESSIONS);
        RemoteStatus {
            state: status.state.name().to_owned(),
            since: status.since.clone(),
            why: status.why.clone(),
            relay: status.relay.clone(),
            own_relay: link.uses_own_relay(),
            no_relay: status.no_relay.clone(),
            machine_id: link.machine_id(),
            machine_name: link.machine_name().to_owned(),
            devices: count(devices.len()),
            devices_connected: count(devices.iter().filter(|(_, connected)| *connected).count()),
            sessions,
        }
    }

    async fn begin(&self, link: &Arc<Link>, session: Option<String>, by: Who) -> ControlReply {
        let session = match session.map(|s| uuid::Uuid::try_parse(&s)).transpose() {
            Ok(session) => session,
            Err(_) => return error(ErrorCode::Invalid, "that is not the id of a session", None),
        };
        if let Some(lost) = self.lost_link().await {
            return not_paired(&lost);
        }
        match link.begin_pairing(session, by).await {
            Ok(begun) => ControlReply::PairingBegun(PairingBegun {
                pairing: begun.id.to_string(),
                link: Secret((*begun.link).clone()),
            }),
            Err(why) => not_paired(&why),
        }
    }

    /// Gives a link that was lost a moment to come back; what is wrong when it does not.
    async fn lost_link(&self) -> Option<String> {
        let mut status = self.host.shared.link.watch();
        let is_back = status.wait_for(|now| now.state != LinkState::Reconnecting);
        match tokio::time::timeout(COMES_BACK, is_back).await {
            Ok(_) => None,
            Err(_) => self.host.shared.link.status().lost(),
        }
    }
}

fn not_paired(why: &str) -> ControlReply {
    let message = format!("no device can be paired: {why}");
    let hint = "`copilot remote status` says how the link is, and why";
    error(ErrorCode::Invalid, &message, Some(hint))
}

/// Leaves the relay, which lets nobody come to this machine any more.
async fn leave(link: &Link, by: Who) -> ControlReply {
    let relay = link.joined_relay().unwrap_or_default();
    match link.log_out(by).await {
        Ok(true) => changed(link.relay_forgot_devices(&relay)),
        Ok(false) => {
            let hint = "`copilot login --relay URL` joins one";
            let message = "this machine has joined no relay";
            error(ErrorCode::NotFound, message, Some(hint))
        }
        Err(why) => error(ErrorCode::Internal, &why, None),
    }
}

async fn type_code(link: &Link, typed: &TypeCode, by: Who) -> ControlReply {
    let Ok(id) = typed.pairing.parse::<PairingId>() else {
        return no_pairing();
    };
    match link.type_code(id, &typed.code.0, by).await {
        Ok(device) => ControlReply::Pairing(PairingProgress::Paired {
            device: device.id.to_string(),
            name: device.name,
        }),
        Err((why, Some(0))) => ControlReply::Pairing(PairingProgress::Ended { why }),
        Err((_, Some(tries_left))) => {
            ControlReply::Pairing(PairingProgress::WrongCode { tries_left })
        }
        Err((why, None)) => error(ErrorCode::Invalid, &why, None),
    }
}

fn done(result: Result<(), String>, code: ErrorCode) -> ControlReply {
    match result {
        Ok(()) => ControlReply::Done,
        Err(why) => error(code, &why, None),
    }
}

fn changed(result: Result<(), DeviceError>) -> ControlReply {
    match result {
        Ok(()) => ControlReply::Done,
        Err(why @ DeviceError::Unknown(_)) => error(ErrorCode::NotFound, &why.to_string(), None),
        Err(why @ DeviceError::File(_)) => error(ErrorCode::Internal, &why.to_string(), None),
        Err(why) => error(ErrorCode::Invalid, &why.to_string(), None),
    }
}

fn no_pairing() -> ControlReply {
    let hint = "begin one with `copilot devices pair`";
    error(ErrorCode::NotFound, "there is no such pairing", Some(hint))
}

fn shown(device: Paired, connected: bool) -> PairedDevice {
    PairedDevice {
        device: device.id.to_string(),
        name: device.name,
        paired_at: device.paired_at,
        connected,
    }
}

fn relay_of((device, comes): (Paired, bool)) -> DeviceRelay {
    DeviceRelay {
        device: device.id.to_string(),
        relay: device.relay,
        comes,
    }
}

fn out(progress: Progress) -> PairingProgress {
    match progress {
        Progress::Open => PairingProgress::Open,
        Progress::Waiting { name } => PairingProgress::Waiting { name },
        Progress::Paired { device, name } => PairingProgress::Paired { device, name },
        Progress::Ended(why) => PairingProgress::Ended { why: why.into() },
    }
}

/// What a client knows; what it cannot have been told is as if it knew nothing.
fn into(known: PairingProgress) -> Option<Progress> {
    match known {
        PairingProgress::Open => Some(Progress::Open),
        PairingProgress::Waiting { name } => Some(Progress::Waiting { name }),
        PairingProgress::WrongCode { .. }
        | PairingProgress::Paired { .. }
        | PairingProgress::Ended { .. } => None,
    }
}
