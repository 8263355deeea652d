//! stdin and stdout as a connection: one JSON value a line, bounded in both directions.
//!
//! The queues of the ACP crate have no limit, so the limit is here: a [`Gate`] lets only so
//! many updates be under way. Whoever sends more waits until the client has read some.

use std::{io, sync::Arc};

use agent_client_protocol::{Channel, RawJsonRpcMessage, TransportFrame};
use futures_util::StreamExt;
use tokio::{
    io::{AsyncRead, AsyncWrite, AsyncWriteExt},
    sync::Semaphore,
};
use tokio_util::codec::{FramedRead, LinesCodec, LinesCodecError};

/// The longest line, as both sides have agreed on.
const MAX_LINE_BYTES: usize = 64 * 1024 * 1024;
/// Updates that may be queued. One carries 16 KiB of output or a file's diff.
const MAX_UPDATES: usize = 256;
const UPDATE: &str = "session/update";

/// Limits the updates that are queued for the client.
#[derive(Debug, Clone)]
pub(super) struct Gate(Arc<Semaphore>);

impl Gate {
    pub(super) fn new() -> Self {
        Self(Arc::new(Semaphore::new(MAX_UPDATES)))
    }

    /// Waits until one more update may be queued. Returns whether there still is a client.
    pub(super) async fn enter(&self) -> bool {
        match self.0.acquire().await {
            Ok(permit) => {
                // Given back when the update has been written.
                permit.forget();
                true
            }
            Err(_) => false,
        }
    }

    fn leave(&self) {
        self.0.add_permits(1);
    }

    /// Lets everybody who waits go: there is no client any more.
    pub(super) fn close(&self) {
        self.0.close();
    }
}

/// Carries frames between a connection and a pair of streams, until the connection has ended
/// and its last frame is written.
///
/// # Errors
/// When a stream fails.
pub(super) async fn carry(
    channel: Channel,
    input: impl AsyncRead + Unpin,
    output: impl AsyncWrite + Unpin,
    gate: Gate,
) -> io::Result<()> {
    let (mut outgoing, incoming) = channel.into_parts();
    let read = async move {
        let codec = LinesCodec::new_with_max_length(MAX_LINE_BYTES);
        let mut lines = FramedRead::new(input, codec);
        while let Some(line) = lines.next().await {
            let line = match line {
                Ok(line) if line.trim().is_empty() => continue,
                Ok(line) => line,
                Err(LinesCodecError::MaxLineLengthExceeded) => {
                    return Err(io::Error::other("the client sent a line that is too long"));
                }
                Err(LinesCodecError::Io(error)) => return Err(error),
            };
            if incoming
                .unbounded_send(TransportFrame::parse_json(&line))
                .is_err()
            {
                break;
            }
        }
        // Dropping the sender is what tells the connection that the input has ended.
        drop(incoming);
        Ok(())
    };
    let write = async move {
        let mut output = output;
        while let Some(frame) = outgoing.next().await {
            let is_update = matches!(
                &frame,
                TransportFrame::Single(RawJsonRpcMessage::Notification(message))
                    if &*message.method == UPDATE
            );
            let mut line = frame.to_json().map_err(io::Error::other)?;
            line.push('\n');
            output.write_all(line.as_bytes()).await?;
            output.flush().await?;
            if is_update {
                gate.leave();
            }
        }
        Ok(())
    };
    tokio::select! {
        result = write => result,
        // The end of the input is not the end of the output: answers may be on their way.
        result = async { read.await?; std::future::pending().await } => result,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use tokio::io::AsyncReadExt;

    fn update(number: u64) -> TransportFrame {
        TransportFrame::parse_json(
            &json!({"jsonrpc": "2.0", "method": UPDATE, "params": {"number": number}}).to_string(),
        )
    }

    #[tokio::test]
    async fn updates_wait_for_a_slow_reader() {
        let (near, far) = Channel::duplex();
        let gate = Gate::new();
        let (input, _keep_open) = tokio::io::duplex(64);
        let (output, mut reader) = tokio::io::duplex(64);
        let carrying = tokio::spawn(carry(far, input, output, gate.clone()));
        let (_rx, tx) = near.into_parts();
        for number in 0..MAX_UPDATES as u64 {
            assert!(gate.enter().await);
            tx.unbounded_send(update(number)).unwrap();
        }
        // Every place is taken, and what fits into the pipe is not a whole line.
        assert_eq!(gate.0.available_permits(), 0);
        let mut byte = [0; 1];
        while gate.0.available_permits() == 0 {
            reader.read_exact(&mut byte).await.unwrap();
        }
        assert!(gate.enter().await);
        drop(tx);
        let drain = async {
            let mut rest = Vec::new();
            reader.read_to_end(&mut rest).await.unwrap();
        };
        let (ended, ()) = tokio::join!(carrying, drain);
        ended.unwrap().unwrap();
        gate.close();
        assert!(!gate.enter().await);
    }
}
