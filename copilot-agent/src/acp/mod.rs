//! The ACP server: what a client sees of the agent.
//!
//! Handlers answer at once; whatever takes time runs as a task of its own, so that a cancel
//! always gets through.

mod client;
mod elicitation;
mod permission;
mod server;
mod stdio;
mod transport;

use std::{sync::Arc, time::Duration};

use tokio::signal::unix::{SignalKind, signal};

use crate::process;

/// How long running turns may take to end when the agent does.
const WIND_DOWN: Duration = Duration::from_millis(1_500);

/// Serves one client on stdin and stdout, until stdin is closed or a signal asks to end. Then
/// every process that a tool started is ended.
///
/// # Errors
/// When the connection breaks.
pub async fn serve_stdio() -> anyhow::Result<()> {
    let server = Arc::new(server::Server::from_environment());
    let result = tokio::select! {
        result = server.serve() => result,
        never = process::reap_orphans() => match never {},
        result = asked_to_end() => result,
    };
    server.cancel_everything();
    let (waited, ()) = tokio::join!(
        tokio::time::timeout(WIND_DOWN, server.wait()),
        process::kill_everything()
    );
    if waited.is_err() {
        tracing::warn!("something was still running at the end");
    }
    result
}

async fn asked_to_end() -> anyhow::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut hang_up = signal(SignalKind::hangup())?;
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
        _ = hang_up.recv() => {}
    }
    Ok(())
}
