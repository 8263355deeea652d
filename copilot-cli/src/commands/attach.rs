//! `copilot attach [ID] [--json]`: follow a session.

use std::time::Duration;

use ipc_proto::paths::Paths;
use tokio::signal::unix::{SignalKind, signal};

use super::new::require_terminal;
use super::{connected_with_environment, find_session, resume};
use crate::args::AttachArgs;
use crate::client::{Attached, Identity, Update, session_id};
use crate::error::{CliError, Exit};
use crate::events::{EndReason, Follower, SessionEvent};
use crate::output::Output;
use crate::terminal;

pub(super) async fn run(
    paths: &Paths,
    args: AttachArgs,
    out: &mut Output,
) -> Result<Exit, CliError> {
    if !args.json {
        require_terminal()?;
    }
    let identity = if args.json {
        Identity::command("attach --json")
    } else {
        Identity::terminal()
    };
    let mut client = connected_with_environment(paths, &identity).await?;
    let session = match &args.session {
        Some(wanted) => find_session(&mut client, wanted).await?,
        None => resume::newest(&mut client).await?,
    };
    let attached = Attached::subscribe(client, &session.resource, Some(terminal::TURNS)).await?;
    if !args.json {
        return terminal::run(attached, paths, identity, terminal::Options::default(), out).await;
    }
    let reason = stream(attached, paths, identity, out).await?;
    out.json(&SessionEvent::End { reason })?;
    Ok(Exit::Done)
}

/// Prints what happens until the session ends or a signal says to leave.
async fn stream(
    mut attached: Attached,
    paths: &Paths,
    identity: Identity,
    out: &mut Output,
) -> Result<EndReason, CliError> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut hangup = signal(SignalKind::hangup())?;
    let mut follower = Follower::default();
    let mirror = attached.mirror();
    let mut was_closed = mirror.closed();
    out.json(&SessionEvent::Session {
        session: session_id(mirror.session_uri()).to_owned(),
        title: mirror
            .session()
            .map(|s| s.title.clone())
            .unwrap_or_default(),
        state: mirror.state().to_owned(),
    })?;
    loop {
        for event in follower.advance(attached.mirror()) {
            out.json(&event)?;
        }
        let closed = attached.mirror().closed();
        if closed && !was_closed {
            return Ok(EndReason::Ended);
        }
        was_closed = closed;
        let update = tokio::select! {
            update = attached.next() => update,
            _ = interrupt.recv() => return Ok(EndReason::Detached),
            _ = terminate.recv() => return Ok(EndReason::Detached),
            _ = hangup.recv() => return Ok(EndReason::Detached),
        };
        match update {
            Ok(Update::Removed) => return Ok(EndReason::Ended),
            Ok(_) => attached.settle().await?,
            Err(error) if error.is_lost() => {
                let back = tokio::select! {
                    back = get_back(&mut attached, paths, &identity) => back?,
                    _ = interrupt.recv() => return Ok(EndReason::Detached),
                    _ = terminate.recv() => return Ok(EndReason::Detached),
                    _ = hangup.recv() => return Ok(EndReason::Detached),
                };
                if !back {
                    return Ok(EndReason::Ended);
                }
            }
            Err(error) => return Err(error.into()),
        }
    }
}

/// Reconnects, for as long as it takes; false when the session is gone.
async fn get_back(
    attached: &mut Attached,
    paths: &Paths,
    identity: &Identity,
) -> Result<bool, CliError> {
    let mut pause = Duration::from_millis(100);
    loop {
        match attached.reconnect(paths.clone(), identity.clone()).await {
            Ok(resumed) => return Ok(attached.resume(resumed).await?),
            Err(error) if error.exit() == Exit::NoDaemon => {
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(Duration::from_secs(5));
            }
            Err(error) => return Err(error),
        }
    }
}
