//! The relay over HTTP: what is asked how, and who may ask it.
//!
//! Must never answer anything to a page of another origin, and must never put a secret into a URL that is
//! good for more than one socket.

mod api;
mod credentials;
mod guard;
mod health;
mod links;
pub mod origin;
mod page;
mod refusal;

use std::net::IpAddr;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::middleware::from_fn_with_state;
use axum::response::{IntoResponse as _, Response};
use axum::routing::{any, delete, get, post};
use bytes::Bytes;
use link_proto::http as paths;
use serde::de::DeserializeOwned;

use crate::metrics::Reason;
use crate::relay::Relay;
pub use refusal::Refusal;

/// The address a request came from; behind a proxy, the one that the proxy names.
#[derive(Clone, Copy, Debug)]
pub struct Peer(pub IpAddr);

/// Everything the relay answers. Requests carry a [`Peer`] as an extension.
pub fn router(relay: Arc<Relay>) -> Router {
    Router::new()
        .route(paths::MACHINES, post(api::join))
        .route(paths::MACHINE_SELF, delete(api::leave))
        .route(paths::TICKETS, post(api::ticket))
        .route(
            "/api/v1/pairings/{pairing}/ticket",
            post(api::pairing_ticket),
        )
        .route(paths::CLAIM, post(api::claim))
        .route(paths::DEVICE_SELF, delete(api::forget_device))
        .route(paths::MACHINE_SOCKET, any(links::machine))
        .route(paths::DEVICE_SOCKET, any(links::device))
        .route(paths::POLL, post(links::begin_poll))
        .route("/link/v1/poll/self/send", post(links::send))
        .route("/link/v1/poll/self/receive", get(links::receive))
        .route("/healthz", get(health::alive))
        .route("/readyz", get(health::ready))
        .route("/metrics", get(health::metrics))
        .fallback(get(page::asset))
        .method_not_allowed_fallback(refusal::wrong_method)
        .layer(from_fn_with_state(Arc::clone(&relay), guard::guard))
        .with_state(relay)
}

/// What somebody behind a proxy gets who has too many connections: the proxy's own cannot be closed for it.
#[must_use]
pub fn too_many_connections(relay: &Relay) -> Response {
    relay.metrics.refuse(Reason::Connections);
    let mut response = Refusal::too_many_connections().into_response();
    guard::harden(response.headers_mut(), relay.origins.is_secure());
    response
}

/// The whole body, if it is no larger than `most` and comes in time.
async fn read(relay: &Relay, body: Body, most: usize) -> Result<Bytes, Refusal> {
    let read = axum::body::to_bytes(body, most);
    match tokio::time::timeout(relay.limits.request_body, read).await {
        Ok(Ok(bytes)) => Ok(bytes),
        // It broke off, or it is too large; who broke it off does not hear the answer.
        Ok(Err(_)) => {
            relay.metrics.refuse(Reason::Size);
            Err(Refusal::too_large(most))
        }
        Err(_) => {
            relay.metrics.refuse(Reason::Slow);
            Err(Refusal::too_slow())
        }
    }
}

/// A JSON body.
async fn read_json<T: DeserializeOwned>(relay: &Relay, body: Body) -> Result<T, Refusal> {
    let bytes = read(relay, body, relay.limits.body_bytes).await?;
    // What is wrong with it is not said: it may hold a secret.
    serde_json::from_slice(&bytes).map_err(|_| {
        relay.metrics.refuse(Reason::Malformed);
        Refusal::malformed("The body is not the JSON object that this request takes.")
    })
}
