//! Local clients: who they are, their frames in and out of the host, and control requests.

mod audit;
mod control;
mod permissions;
mod remote;
mod undo;

use std::sync::Arc;

use ipc_proto::message::Message;
use ipc_proto::server::{Incoming, Listener};
use ipc_proto::{MessageReader, MessageWriter, hello};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::agent::tree;
use crate::host::identity::{Peer, Trust};
use crate::host::outbound::Next;
use crate::host::{Client, rpc};

pub use control::Daemon;

/// How long a client that is being closed has to take its last message.
const GOODBYE: std::time::Duration = std::time::Duration::from_millis(200);

/// How long it has before that to take what is on its way. One that reads at all needs less.
const ON_ITS_WAY: std::time::Duration = std::time::Duration::from_secs(5);

/// Accepts clients until told to stop.
pub async fn serve(listener: Listener, daemon: Arc<Daemon>, stop: CancellationToken) {
    let connections = TaskTracker::new();
    loop {
        let incoming = tokio::select! {
            incoming = listener.accept() => incoming,
            () = stop.cancelled() => break,
        };
        match incoming {
            Ok(incoming) => {
                connections.spawn(connection(incoming, Arc::clone(&daemon)));
            }
            Err(error) => tracing::warn!(%error, "a client could not be accepted"),
        }
    }
    daemon.host.close_clients();
    connections.close();
    // A client that does not leave is left behind.
    let _ = tokio::time::timeout(GOODBYE * 2, connections.wait()).await;
}

/// Judges a peer by its process: whatever descends from this daemon was started by an agent.
fn trust_of(pid: Option<u32>) -> Trust {
    match pid {
        Some(pid) if !tree::descends_from(pid, std::process::id()) => Trust::Local,
        _ => Trust::Agent,
    }
}

async fn connection(incoming: Incoming, daemon: Arc<Daemon>) {
    let (pid, uid) = (incoming.peer.pid, incoming.peer.uid);
    let trust = trust_of(pid);
    let told = match trust {
        Trust::Local => hello::Trust::Local,
        Trust::Agent | Trust::Remote => hello::Trust::Agent,
    };
    let connection = match incoming.handshake(crate::BUILD, told).await {
        Ok(connection) => connection,
        Err(error) => {
            tracing::debug!(%error, ?pid, "no connection");
            return;
        }
    };
    let client = daemon.host.connect(trust, Peer { pid, uid });
    tracing::info!(client = client.id(), ?trust, ?pid, "connected");
    let (reader, writer) = connection.split();
    let (replies, pending_replies) = tokio::sync::mpsc::channel(16);
    tokio::select! {
        reason = read(reader, &client, &daemon, replies) => {
            tracing::info!(client = client.id(), %reason, "disconnected");
        }
        () = write(writer, &client, pending_replies) => {
            tracing::info!(client = client.id(), "closed");
        }
    }
    daemon.host.disconnect(&client).await;
}

/// Reads until the end; says why it ended. Control replies are bounded: a client that asks without
/// reading the answers is not read any further.
async fn read(
    mut reader: MessageReader,
    client: &Arc<Client>,
    daemon: &Arc<Daemon>,
    replies: tokio::sync::mpsc::Sender<Message>,
) -> String {
    loop {
        match reader.next().await {
            Ok(Some(Message::Ahp(bytes))) => {
                if let Err(reason) = daemon.host.handle(client, &bytes).await {
                    client.outbound().close(reason.clone());
                    // The writer sends what waits and ends the connection.
                    std::future::pending::<()>().await;
                }
            }
            Ok(Some(Message::ControlRequest { id, request })) => {
                let reply = daemon.control(client, request).await;
                if replies
                    .send(Message::ControlReply { id, reply })
                    .await
                    .is_err()
                {
                    return "its replies cannot be sent".into();
                }
            }
            Ok(Some(Message::UnknownControlRequest { id })) => {
                let reply = control::unknown_request();
                if replies
                    .send(Message::ControlReply { id, reply })
                    .await
                    .is_err()
                {
                    return "its replies cannot be sent".into();
                }
            }
            Ok(Some(Message::ControlReply { .. })) => {
                return "it sent a reply that nobody asked for".into();
            }
            Ok(None) => return "it left".into(),
            Err(error) => return error.to_string(),
        }
    }
}

async fn write(
    mut writer: MessageWriter,
    client: &Client,
    mut replies: tokio::sync::mpsc::Receiver<Message>,
) {
    let last = loop {
        let (messages, reply) = tokio::select! {
            next = client.outbound().next() => match next {
                Next::Send(messages) => (messages, None),
                Next::Close(last) => break last,
            },
            Some(reply) = replies.recv() => (Vec::new(), Some(reply)),
        };
        let mut sending = std::pin::pin!(send_all(&mut writer, &messages, reply.as_ref()));
        let sent = tokio::select! {
            sent = &mut sending => sent,
            // A client that stopped reading is not waited for once nothing more will come.
            last = client.outbound().closed() => {
                // Behind half a message there can be no last one.
                match tokio::time::timeout(ON_ITS_WAY, sending).await {
                    Ok(Ok(())) => break last,
                    Ok(Err(error)) => Err(error),
                    Err(_) => Err("it does not read".to_owned()),
                }
            }
        };
        if let Err(error) = sent {
            tracing::debug!(client = client.id(), %error, "could not be written to");
            return;
        }
    };
    // What was asked is answered first, as the request to stop is. The client may not read any more;
    // then it finds the connection closed.
    let goodbye = async {
        while let Ok(reply) = replies.try_recv() {
            writer.send(&reply).await?;
        }
        writer.send_ahp(&last).await
    };
    let _ = tokio::time::timeout(GOODBYE, goodbye).await;
}

async fn send_all(
    writer: &mut MessageWriter,
    messages: &[bytes::Bytes],
    reply: Option<&Message>,
) -> Result<(), String> {
    if let Some(reply) = reply {
        writer.feed(reply).await.map_err(|e| e.to_string())?;
    }
    for message in messages {
        match writer.feed_ahp(message).await {
            Ok(()) => {}
            Err(ipc_proto::frame::FrameError::MessageTooLong { .. }) => {
                writer
                    .feed_ahp(&rpc::too_large(message))
                    .await
                    .map_err(|e| e.to_string())?;
            }
            Err(error) => return Err(error.to_string()),
        }
    }
    writer.flush().await.map_err(|e| e.to_string())
}
