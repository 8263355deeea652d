//! Joining, leaving, tickets, pairing, claims.

use std::sync::Arc;

use axum::Extension;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use link_proto::http::{Claim, Claimed, Join, Joined, Ticket as TicketBody};
use link_proto::ids::PairingId;
use link_proto::keys::Token;
use link_proto::names;

use super::credentials::{Credential, credential, set_cookie};
use super::{Peer, Refusal, read_json};
use crate::digest::TokenDigest;
use crate::metrics::Reason;
use crate::relay::Relay;
use crate::store::{Admission, Claimed as Outcome, Device, Joining, Machine, Proof, Ticket};
use crate::words::short;

/// Who a credential belongs to.
pub(super) enum Caller {
    Machine(Machine),
    Device(Device),
}

/// Who asks.
pub(super) async fn caller(relay: &Relay, headers: &HeaderMap) -> Result<Caller, Refusal> {
    let unknown = || {
        relay.metrics.refuse(Reason::Unauthorized);
        Refusal::unauthorized(
            "The relay does not know this token. A machine joins with: copilot login --relay URL. \
             A device is paired on a machine: copilot devices pair",
        )
    };
    let store = &relay.store;
    match credential(headers, relay.origins.is_secure()).ok_or_else(unknown)? {
        Credential::Bearer(token) => {
            let token = TokenDigest::of(&token);
            if let Some(machine) = store.machine_by_token(token).await? {
                return Ok(Caller::Machine(machine));
            }
            let device = store.device_by_token(token).await?.ok_or_else(unknown)?;
            Ok(Caller::Device(device))
        }
        Credential::Cookie(token) => {
            let device = store.device_by_token(TokenDigest::of(&token)).await?;
            Ok(Caller::Device(device.ok_or_else(unknown)?))
        }
    }
}

/// The machine that asks.
pub(super) async fn machine(relay: &Relay, headers: &HeaderMap) -> Result<Machine, Refusal> {
    match caller(relay, headers).await? {
        Caller::Machine(machine) => Ok(machine),
        Caller::Device(_) => {
            relay.metrics.refuse(Reason::Unauthorized);
            Err(Refusal::new(
                StatusCode::FORBIDDEN,
                "not-a-machine",
                "Only a machine can ask that.",
            ))
        }
    }
}

/// Counts a request for a secret.
pub(super) fn pace(relay: &Relay, peer: Peer) -> Result<(), Refusal> {
    relay.ask_for_secret(peer.0).map_err(|wait| {
        relay.metrics.refuse(Reason::Rate);
        Refusal::too_often(wait)
    })
}

pub(super) async fn join(
    State(relay): State<Arc<Relay>>,
    Extension(peer): Extension<Peer>,
    headers: HeaderMap,
    body: Body,
) -> Result<axum::Json<Joined>, Refusal> {
    pace(&relay, peer)?;
    let join: Join = read_json(&relay, body).await?;
    let account = relay
        .accounts
        .of_enrolment(&join.enrolment_token)
        .ok_or_else(|| {
            relay.metrics.refuse(Reason::Unauthorized);
            Refusal::unauthorized(
                "That is not an enrolment token of this relay. Whoever runs it finds it with: \
                 copilot-relay enrolment-token --data DIR",
            )
        })?;
    let name = names::clean(&join.name).unwrap_or_else(|| "machine".to_owned());
    let shown = match credential(&headers, relay.origins.is_secure()) {
        Some(Credential::Bearer(token)) => Some(token),
        Some(Credential::Cookie(_)) | None => None,
    };
    let new = Token::generate()?;
    let joining = Joining {
        id: join.machine_id,
        name,
        proof: match relay.is_own {
            true => Proof::Waived,
            false => Proof::Token(shown.as_ref().map(TokenDigest::of)),
        },
    };
    let most = relay.limits.machines;
    let admission = relay
        .store
        .join(account, joining, TokenDigest::of(&new), most);
    match (admission.await?, shown) {
        (Admission::Again, Some(shown)) => {
            tracing::info!(machine = short(join.machine_id), "a machine joined again");
            Ok(axum::Json(Joined {
                machine_token: shown,
            }))
        }
        (Admission::Done, _) => {
            tracing::info!(machine = short(join.machine_id), "a machine joined");
            Ok(axum::Json(Joined { machine_token: new }))
        }
        (Admission::Full, _) => {
            relay.metrics.refuse(Reason::Full);
            Err(Refusal::new(
                StatusCode::FORBIDDEN,
                "too-many-machines",
                "As many machines have joined as may. Let one leave (copilot logout), or ask whoever runs the \
                 relay for --max-machines.",
            ))
        }
        (Admission::Taken | Admission::Again, _) => {
            relay.metrics.refuse(Reason::Unauthorized);
            Err(Refusal::new(
                StatusCode::CONFLICT,
                "machine-taken",
                format!(
                    "A machine with this id has joined, and joins again only with its own token. When this one \
                     has lost that, whoever runs the relay takes it out first: \
                     copilot-relay remove-machine {} --data DIR",
                    join.machine_id
                ),
            ))
        }
    }
}

pub(super) async fn leave(
    State(relay): State<Arc<Relay>>,
    headers: HeaderMap,
) -> Result<StatusCode, Refusal> {
    let machine = machine(&relay, &headers).await?;
    relay.store.remove_machine(machine.id).await?;
    relay.switchboard.machine_removed(machine.id);
    tracing::info!(machine = short(machine.id), "a machine left");
    Ok(StatusCode::NO_CONTENT)
}

pub(super) async fn ticket(
    State(relay): State<Arc<Relay>>,
    Extension(peer): Extension<Peer>,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    pace(&relay, peer)?;
    let ticket = match caller(&relay, &headers).await? {
        Caller::Machine(machine) => Ticket::Machine(machine.id),
        Caller::Device(device) => Ticket::Device(device),
    };
    let mut response = axum::Json(give(&relay, ticket).await?).into_response();
    let is_secure = relay.origins.is_secure();
    if let Some(Credential::Cookie(token)) = credential(&headers, is_secure) {
        // Browsers forget it after a time, which begins anew: a device that comes stays paired.
        let cookie = set_cookie(Some(&token), is_secure).ok_or_else(Refusal::internal)?;
        response.headers_mut().insert(header::SET_COOKIE, cookie);
    }
    Ok(response)
}

pub(super) async fn pairing_ticket(
    State(relay): State<Arc<Relay>>,
    Extension(peer): Extension<Peer>,
    Path(pairing): Path<String>,
) -> Result<axum::Json<TicketBody>, Refusal> {
    pace(&relay, peer)?;
    let not_open = || {
        relay.metrics.refuse(Reason::Unauthorized);
        Refusal::new(
            StatusCode::NOT_FOUND,
            "no-such-pairing",
            "This pairing link is not open: it was used, it is too old, or its machine is not connected. \
             Make a new one on the machine: copilot devices pair",
        )
    };
    let pairing: PairingId = pairing.parse().map_err(|_| not_open())?;
    let machine = relay.switchboard.machine_of_pairing(pairing).await;
    let machine = machine.ok_or_else(not_open)?;
    let mut ticket = give(&relay, Ticket::Pairing(pairing)).await?;
    ticket.machine_id = Some(machine);
    Ok(axum::Json(ticket))
}

pub(super) async fn claim(
    State(relay): State<Arc<Relay>>,
    Extension(peer): Extension<Peer>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Refusal> {
    pace(&relay, peer)?;
    let claim: Claim = read_json(&relay, body).await?;
    // What it is known by already, when it is.
    let shown = credential(&headers, relay.origins.is_secure()).map(|credential| {
        let (Credential::Bearer(token) | Credential::Cookie(token)) = credential;
        token
    });
    let token = redeem(&relay, &claim.claim, shown).await?;
    if !headers.contains_key(header::ORIGIN) {
        let claimed = Claimed {
            device_token: token,
        };
        return Ok(axum::Json(claimed).into_response());
    }
    let cookie =
        set_cookie(Some(&token), relay.origins.is_secure()).ok_or_else(Refusal::internal)?;
    Ok((StatusCode::NO_CONTENT, [(header::SET_COOKIE, cookie)]).into_response())
}

/// The token with which the device of a claim reaches its machine from now on.
async fn redeem(relay: &Relay, claim: &Token, shown: Option<Token>) -> Result<Token, Refusal> {
    let new = Token::generate()?;
    let claimed = relay.store.claim(
        TokenDigest::of(claim),
        shown.as_ref().map(TokenDigest::of),
        TokenDigest::of(&new),
        relay.limits.devices,
    );
    let (device, machine, token) = match (claimed.await?, shown) {
        (Outcome::New(device, machine), _) => (device, machine, new),
        (Outcome::Known(device, machine), Some(shown)) => (device, machine, shown),
        (Outcome::Unproven, _) => {
            relay.metrics.refuse(Reason::Unauthorized);
            return Err(Refusal::new(
                StatusCode::FORBIDDEN,
                "device-known",
                "The relay knows this device from another machine, and it came without the token that it got \
                 there. Remove this site's data on the device and pair it again, as a new one.",
            ));
        }
        (Outcome::Full, _) => {
            relay.metrics.refuse(Reason::Full);
            return Err(Refusal::new(
                StatusCode::FORBIDDEN,
                "too-many-devices",
                "As many devices are paired as may. Revoke one (copilot devices revoke), or ask whoever runs the \
                 relay for --max-devices.",
            ));
        }
        (Outcome::Void | Outcome::Known(..), _) => {
            relay.metrics.refuse(Reason::Unauthorized);
            return Err(Refusal::unauthorized(
                "This claim was used, taken back or is too old. Pair the device again.",
            ));
        }
    };
    relay.switchboard.granted(device, machine.clone());
    // First shown, then asked: that it was revoked in between reaches its sockets either way.
    let reached = relay.store.reachable(device).await?;
    if !reached.iter().any(|reached| reached.id == machine.id) {
        relay.switchboard.revoked(machine.id, device.id);
    }
    tracing::info!(device = short(device.id), "a device got its token");
    Ok(token)
}

pub(super) async fn forget_device(
    State(relay): State<Arc<Relay>>,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let Caller::Device(device) = caller(&relay, &headers).await? else {
        relay.metrics.refuse(Reason::Unauthorized);
        return Err(Refusal::new(
            StatusCode::FORBIDDEN,
            "not-a-device",
            "Only a device can ask that.",
        ));
    };
    relay.store.remove_device(device).await?;
    relay.switchboard.device_removed(device);
    tracing::info!(device = short(device.id), "a device left");
    let cookie = set_cookie(None, relay.origins.is_secure()).ok_or_else(Refusal::internal)?;
    Ok((StatusCode::NO_CONTENT, [(header::SET_COOKIE, cookie)]).into_response())
}

async fn give(relay: &Relay, ticket: Ticket) -> Result<TicketBody, Refusal> {
    let secret = Token::generate()?;
    let kept = relay.store.put_ticket(TokenDigest::of(&secret), ticket);
    if !kept.await? {
        relay.metrics.refuse(Reason::Full);
        return Err(Refusal::full(
            "Too many tickets wait to be used. Try again.",
        ));
    }
    Ok(TicketBody {
        ticket: secret,
        expires_in_ms: u64::try_from(relay.limits.ticket_lifetime.as_millis()).unwrap_or(u64::MAX),
        machine_id: None,
    })
}
