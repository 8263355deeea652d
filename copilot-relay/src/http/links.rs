//! Where link sockets and long polls begin, and the requests of a long poll.

use std::sync::Arc;

use axum::Extension;
use axum::body::Body;
use axum::extract::rejection::QueryRejection;
use axum::extract::ws::WebSocketUpgrade;
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use link_proto::http::PollOpened;
use link_proto::keys::Token;
use link_proto::poll::{MAX_BODY_BYTES, SEQ_HEADER};
use serde::Deserialize;

use super::{Peer, Refusal, api, credentials, read};
use crate::digest::TokenDigest;
use crate::link::poll::{Failure, Poll};
use crate::link::{Who, websocket};
use crate::metrics::Reason;
use crate::relay::Relay;
use crate::store::Ticket;

#[derive(Deserialize)]
pub(super) struct WithTicket {
    ticket: Option<String>,
}

type Upgrade = Result<WebSocketUpgrade, WebSocketUpgradeRejection>;

pub(super) async fn machine(
    State(relay): State<Arc<Relay>>,
    query: Result<Query<WithTicket>, QueryRejection>,
    upgrade: Upgrade,
) -> Result<Response, Refusal> {
    let upgrade = may_upgrade(&relay, upgrade)?;
    let Some(Ticket::Machine(machine)) = take(&relay, query?).await? else {
        return Err(no_ticket(&relay));
    };
    let machine = relay.store.machine(machine).await?;
    let machine = machine.ok_or_else(|| no_ticket(&relay))?;
    Ok(websocket::upgrade(relay, Who::Machine(machine), upgrade))
}

pub(super) async fn device(
    State(relay): State<Arc<Relay>>,
    query: Result<Query<WithTicket>, QueryRejection>,
    upgrade: Upgrade,
) -> Result<Response, Refusal> {
    let upgrade = may_upgrade(&relay, upgrade)?;
    let who = match take(&relay, query?).await? {
        Some(Ticket::Device(device)) => Who::Device(device),
        Some(Ticket::Pairing(pairing)) => Who::Pairing(pairing),
        _ => return Err(no_ticket(&relay)),
    };
    Ok(websocket::upgrade(relay, who, upgrade))
}

/// A request that is no upgrade must not use up a ticket.
fn may_upgrade(relay: &Relay, upgrade: Upgrade) -> Result<WebSocketUpgrade, Refusal> {
    let upgrade = upgrade.map_err(|_| {
        relay.metrics.refuse(Reason::Malformed);
        Refusal::new(
            StatusCode::UPGRADE_REQUIRED,
            "not-a-websocket",
            "This address is for websockets. When a proxy in between removes the upgrade, machines use long polls.",
        )
    })?;
    may_begin(relay)?;
    Ok(upgrade)
}

fn may_begin(relay: &Relay) -> Result<(), Refusal> {
    if !relay.is_serving() {
        relay.metrics.refuse(Reason::Draining);
        return Err(Refusal::draining());
    }
    if relay.links.len() >= relay.limits.sockets {
        relay.metrics.refuse(Reason::Full);
        return Err(Refusal::full(
            "As many machines and devices are connected as this relay takes.",
        ));
    }
    Ok(())
}

async fn take(relay: &Relay, Query(query): Query<WithTicket>) -> Result<Option<Ticket>, Refusal> {
    let Some(secret) = query.ticket.and_then(|text| text.parse::<Token>().ok()) else {
        return Ok(None);
    };
    Ok(relay.store.take_ticket(TokenDigest::of(&secret)).await?)
}

fn no_ticket(relay: &Relay) -> Refusal {
    relay.metrics.refuse(Reason::Unauthorized);
    Refusal::unauthorized(
        "This ticket was used, is too old, or is for something else. Ask for another.",
    )
}

pub(super) async fn begin_poll(
    State(relay): State<Arc<Relay>>,
    Extension(peer): Extension<Peer>,
    headers: HeaderMap,
) -> Result<axum::Json<PollOpened>, Refusal> {
    api::pace(&relay, peer)?;
    may_begin(&relay)?;
    let machine = api::machine(&relay, &headers).await?;
    let poll = relay.polls.begin(&relay, machine)?;
    Ok(axum::Json(PollOpened { poll }))
}

#[derive(Deserialize)]
pub(super) struct Send {
    seq: u64,
}

pub(super) async fn send(
    State(relay): State<Arc<Relay>>,
    query: Result<Query<Send>, QueryRejection>,
    headers: HeaderMap,
    body: Body,
) -> Result<StatusCode, Refusal> {
    let Query(Send { seq }) = query?;
    let poll = poll(&relay, &headers)?;
    let body = read(&relay, body, MAX_BODY_BYTES).await?;
    // A task of its own: a client that goes away in the middle must not leave half of its messages behind, for
    // it sends all of them again.
    let links = relay.links.clone();
    let sent = links.spawn(async move {
        let sent = poll.send(&relay, seq, &body).await;
        sent.map_err(|failure| refuse(&relay, failure))
    });
    sent.await.map_err(|_| Refusal::internal())??;
    Ok(StatusCode::NO_CONTENT)
}

#[derive(Deserialize)]
pub(super) struct Receive {
    after: u64,
}

pub(super) async fn receive(
    State(relay): State<Arc<Relay>>,
    query: Result<Query<Receive>, QueryRejection>,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let Query(Receive { after }) = query?;
    let poll = poll(&relay, &headers)?;
    let received = poll
        .receive(&relay, after)
        .await
        .map_err(|failure| refuse(&relay, failure))?;
    let headers = [
        (
            header::HeaderName::from_static(SEQ_HEADER),
            received.seq.to_string(),
        ),
        (header::CONTENT_TYPE, "application/octet-stream".to_owned()),
    ];
    Ok((headers, received.body).into_response())
}

fn poll(relay: &Relay, headers: &HeaderMap) -> Result<Arc<Poll>, Refusal> {
    credentials::poll(headers)
        .and_then(|secret| relay.polls.find(&secret))
        .ok_or_else(|| {
            relay.metrics.refuse(Reason::Unauthorized);
            Refusal::unauthorized("This poll is over, or never was. Begin another.")
        })
}

fn refuse(relay: &Relay, failure: Failure) -> Refusal {
    let message = failure.to_string();
    match failure {
        Failure::Ended(_) => Refusal::new(StatusCode::GONE, "poll-ended", message),
        Failure::OutOfOrder(_) => {
            relay.metrics.refuse(Reason::Malformed);
            Refusal::new(StatusCode::CONFLICT, "out-of-order", message)
        }
        Failure::Malformed(_) => {
            relay.metrics.refuse(Reason::Malformed);
            Refusal::malformed(message)
        }
    }
}
