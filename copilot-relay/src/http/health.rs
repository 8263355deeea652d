//! For whoever watches the relay. Numbers only.

use std::sync::Arc;

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use link_proto::ids::MachineId;

use crate::relay::Relay;

/// The process answers.
pub(super) async fn alive() -> &'static str {
    "ok\n"
}

/// It takes machines and devices, and its store answers.
pub(super) async fn ready(State(relay): State<Arc<Relay>>) -> (StatusCode, &'static str) {
    if !relay.is_serving() {
        return (StatusCode::SERVICE_UNAVAILABLE, "draining\n");
    }
    match relay.store.machine(MachineId([0; 16])).await {
        Ok(_) => (StatusCode::OK, "ready\n"),
        Err(error) => {
            tracing::error!(%error, "the store does not answer");
            (
                StatusCode::SERVICE_UNAVAILABLE,
                "the store does not answer\n",
            )
        }
    }
}

/// Every number, for Prometheus.
pub(super) async fn metrics(State(relay): State<Arc<Relay>>) -> impl IntoResponse {
    let headers = [(
        header::CONTENT_TYPE,
        "text/plain; version=0.0.4; charset=utf-8",
    )];
    (headers, relay.metrics.render(relay.present()))
}
