//! The relay over HTTP: joining, leaving, tickets. Tokens go out in headers and bodies, never in a
//! log or an error.

use std::time::Duration;

use link_proto::http::{self, ErrorBody, Join, Joined, Ticket};
use link_proto::ids::MachineId;
use link_proto::keys::Token;
use link_proto::links::RelayUrl;
use reqwest::{Client, Response, StatusCode, redirect};
use serde::de::DeserializeOwned;

/// Longest wait for a connection, and for an answer.
pub(super) const PATIENCE: Duration = Duration::from_secs(10);
/// Most bytes of an answer that is read.
const MAX_ANSWER_BYTES: usize = 64 * 1024;

/// Why the relay is of no use right now, in words for people.
#[derive(Debug, thiserror::Error)]
pub(super) enum RelayError {
    /// It does not answer, or something in between does not let us.
    #[error("the relay {relay} cannot be reached: {why}")]
    Unreachable {
        /// Its address.
        relay: String,
        /// What happened.
        why: String,
    },
    /// It does not know this machine, or not any more.
    #[error("the relay {relay} does not know this machine: {message}")]
    Unauthorized {
        /// Its address.
        relay: String,
        /// In the relay's words.
        message: String,
    },
    /// It said no.
    #[error("the relay {relay} refused: {message}")]
    Refused {
        /// Its address.
        relay: String,
        /// In the relay's words.
        message: String,
    },
}

/// What talks to a relay.
///
/// # Errors
/// When this system has no usable certificates.
pub(super) fn client(relay: &RelayUrl) -> Result<Client, String> {
    let builder = match relay.is_here() {
        // A proxy would look for it on its own machine.
        true => Client::builder().no_proxy(),
        false => Client::builder(),
    };
    builder
        .user_agent(crate::BUILD)
        .http1_only()
        .connect_timeout(PATIENCE)
        .tcp_nodelay(true)
        // A token goes to the relay and nowhere else.
        .redirect(redirect::Policy::none())
        .build()
        .map_err(|error| format!("no connections can be made: {}", words(&error)))
}

/// A relay and the token with which this machine is known there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Access {
    /// The relay.
    pub(super) relay: RelayUrl,
    /// The machine's bearer token.
    pub(super) token: Token,
}

/// This machine joins a relay. Where it has joined before it shows the token that it has there.
///
/// # Errors
/// When the relay cannot be reached or says no.
pub(super) async fn join(
    client: &Client,
    relay: &RelayUrl,
    enrolment_token: Token,
    known: Option<&Token>,
    machine_id: MachineId,
    name: &str,
) -> Result<Token, RelayError> {
    let join = Join {
        enrolment_token,
        machine_id,
        name: name.to_owned(),
    };
    let body = serde_json::to_vec(&join).map_err(|e| unreachable(relay, e.to_string()))?;
    let mut request = client
        .post(relay.join(http::MACHINES))
        .header("content-type", "application/json")
        .body(body);
    if let Some(known) = known {
        request = request.bearer_auth(known.to_text().as_str());
    }
    let joined: Joined = answer(relay, request).await?;
    Ok(joined.machine_token)
}

/// This machine leaves; devices reach it there no more.
///
/// # Errors
/// When the relay cannot be reached or says no.
pub(super) async fn leave(client: &Client, access: &Access) -> Result<(), RelayError> {
    let url = access.relay.join(http::MACHINE_SELF);
    let request = client
        .delete(url)
        .bearer_auth(access.token.to_text().as_str());
    accepted(&access.relay, request).await.map(|_| ())
}

/// A ticket for one socket of this machine.
///
/// # Errors
/// When the relay cannot be reached or says no.
pub(super) async fn ticket(client: &Client, access: &Access) -> Result<Token, RelayError> {
    let url = access.relay.join(http::TICKETS);
    let request = client
        .post(url)
        .bearer_auth(access.token.to_text().as_str());
    let ticket: Ticket = answer(&access.relay, request).await?;
    Ok(ticket.ticket)
}

pub(super) async fn answer<T: DeserializeOwned>(
    relay: &RelayUrl,
    request: reqwest::RequestBuilder,
) -> Result<T, RelayError> {
    let response = accepted(relay, request).await?;
    let body = body(relay, response).await?;
    serde_json::from_slice(&body).map_err(|_| RelayError::Refused {
        relay: relay.to_string(),
        message: "its answer is not that of a relay; is this its address?".into(),
    })
}

/// Sends a request that is answered within [`PATIENCE`].
pub(super) async fn accepted(
    relay: &RelayUrl,
    request: reqwest::RequestBuilder,
) -> Result<Response, RelayError> {
    let sent = tokio::time::timeout(PATIENCE, request.send()).await;
    let response = sent
        .map_err(|_| unreachable(relay, "it did not answer in time".into()))?
        .map_err(|error| unreachable(relay, words(&error)))?;
    let status = response.status();
    if status.is_success() {
        return Ok(response);
    }
    Err(refused(relay, status, response).await)
}

/// What the relay says with a status that is no success.
pub(super) async fn refused(
    relay: &RelayUrl,
    status: StatusCode,
    response: Response,
) -> RelayError {
    let said = body(relay, response).await.unwrap_or_default();
    let said = serde_json::from_slice::<ErrorBody>(&said).ok();
    let message = match said {
        Some(body) => shown(&body.error.message),
        None => format!("it answers with HTTP status {status}"),
    };
    let relay = relay.to_string();
    match status {
        StatusCode::UNAUTHORIZED => RelayError::Unauthorized { relay, message },
        _ => RelayError::Refused { relay, message },
    }
}

async fn body(relay: &RelayUrl, mut response: Response) -> Result<Vec<u8>, RelayError> {
    let mut body = Vec::new();
    let reading = async {
        while let Some(piece) = response.chunk().await? {
            body.extend_from_slice(&piece);
            if body.len() > MAX_ANSWER_BYTES {
                break;
            }
        }
        Ok::<_, reqwest::Error>(())
    };
    let read = tokio::time::timeout(PATIENCE, reading).await;
    match read {
        Ok(Ok(())) => Ok(body),
        Ok(Err(error)) => Err(unreachable(relay, words(&error))),
        Err(_) => Err(unreachable(relay, "it did not answer in time".into())),
    }
}

pub(super) fn unreachable(relay: &RelayUrl, why: String) -> RelayError {
    RelayError::Unreachable {
        relay: relay.to_string(),
        why,
    }
}

/// What lies at the bottom of an error, without the address, which may hold a ticket.
pub(super) fn words(error: &reqwest::Error) -> String {
    let mut deepest: &dyn std::error::Error = error;
    while let Some(source) = deepest.source() {
        deepest = source;
    }
    match std::ptr::addr_eq(deepest, error) {
        true if error.is_timeout() => "it did not answer in time".into(),
        true => "the connection failed".into(),
        false => shown(&deepest.to_string()),
    }
}

/// Words of somebody else, on one line and short.
pub(super) fn shown(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(300).collect()
}
