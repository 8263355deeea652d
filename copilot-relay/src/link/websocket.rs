//! A link socket as a websocket.
//!
//! One task reads and writes at the same time: an end that does not read must not keep the relay from hearing
//! it, or two ends could wait for each other for ever.

use std::sync::Arc;

use axum::extract::ws::{Message, WebSocket, WebSocketUpgrade};
use axum::response::Response;
use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt as _, StreamExt as _};
use link_proto::frame::MAX_FRAME_BYTES;
use tokio_tungstenite::tungstenite;

use super::{Ended, Session, Who};
use crate::metrics::Reason;
use crate::relay::Relay;
use crate::switchboard::{Outbox, Outgoing, Overflow};

/// Read and write buffers of one socket. Small, for there are thousands of sockets and most are silent; a
/// larger message grows them for as long as it takes.
const BUFFER_BYTES: usize = 4 * 1024;

/// Completes the upgrade and serves the socket until it ends.
pub fn upgrade(relay: Arc<Relay>, who: Who, upgrade: WebSocketUpgrade) -> Response {
    let token = relay.links.token();
    upgrade
        .max_message_size(MAX_FRAME_BYTES)
        .max_frame_size(MAX_FRAME_BYTES)
        .read_buffer_size(BUFFER_BYTES)
        .write_buffer_size(BUFFER_BYTES)
        // Writing is one message at a time, and waits for the socket between two.
        .max_write_buffer_size(2 * MAX_FRAME_BYTES)
        .on_upgrade(move |socket| async move {
            serve(relay, who, socket).await;
            drop(token);
        })
}

async fn serve(relay: Arc<Relay>, who: Who, socket: WebSocket) {
    let mut session = Session::new(Arc::clone(&relay), who);
    let outbox = Arc::clone(session.outbox());
    let (sink, stream) = socket.split();
    let mut writer = std::pin::pin!(write(&outbox, sink));
    let (ended, written) = tokio::select! {
        ended = read(&relay, &mut session, stream) => (ended, false),
        written = &mut writer => (written.err().map(reader_too_slow), true),
        () = relay.ending() => (None, false),
    };
    session.end(ended.as_ref()).await;
    if !written {
        // The last words; whoever does not read them in time goes without.
        let _ = tokio::time::timeout(relay.limits.last_words, writer).await;
    }
}

/// Takes what comes until the socket ends; says why when that is the relay's decision.
///
/// What came is always worked off whole, so it is between two messages that the relay's own decision counts.
async fn read(
    relay: &Relay,
    session: &mut Session,
    mut stream: SplitStream<WebSocket>,
) -> Option<Ended> {
    let outbox = Arc::clone(session.outbox());
    loop {
        let (deadline, too_late) = session.deadline();
        let message = tokio::select! {
            message = stream.next() => message?,
            () = relay.clock.sleep_until(deadline) => return Some(too_late),
            // The writer does not see it while it waits for somebody who does not read.
            () = outbox.closing() => return outbox.overflowed().err().map(reader_too_slow),
        };
        let message = match message {
            Ok(message) => message,
            Err(error) => return too_large(error),
        };
        session.hear();
        while let Some(wait) = session.pace() {
            relay.clock.sleep_until(relay.clock.now() + wait).await;
        }
        let taken = match message {
            Message::Text(text) => session.text(text.as_str()).await,
            Message::Binary(bytes) => session.binary(&bytes),
            Message::Ping(_) | Message::Pong(_) => Ok(()),
            Message::Close(_) => return None,
        };
        if let Err(ended) = taken {
            return Some(ended);
        }
    }
}

/// A socket that broke has nobody to tell; one that sent too much has.
fn too_large(error: axum::Error) -> Option<Ended> {
    let error = error.into_inner();
    matches!(
        error.downcast_ref::<tungstenite::Error>(),
        Some(tungstenite::Error::Capacity(_))
    )
    .then(|| Ended {
        reason: Reason::Size,
        message: format!("A message on a link socket has at most {MAX_FRAME_BYTES} bytes."),
    })
}

/// Writes what waits until there is nothing more to come or the socket breaks.
async fn write(outbox: &Outbox, mut sink: SplitSink<WebSocket, Message>) -> Result<(), Overflow> {
    while let Some(first) = outbox.next().await? {
        let mut next = Some(first);
        while let Some(outgoing) = next {
            if sink.feed(message_of(outgoing)).await.is_err() {
                return Ok(());
            }
            next = outbox.try_next()?;
        }
        if sink.flush().await.is_err() {
            return Ok(());
        }
    }
    // It may be broken already.
    let _ = sink.close().await;
    Ok(())
}

fn message_of(outgoing: Outgoing) -> Message {
    match outgoing {
        Outgoing::Text(text) => Message::Text(text.into()),
        Outgoing::Binary(bytes) => Message::Binary(bytes),
    }
}

fn reader_too_slow(_: Overflow) -> Ended {
    Ended {
        reason: Reason::Reader,
        message: "What the relay sent was not read.".to_owned(),
    }
}
