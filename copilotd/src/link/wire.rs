//! The two ways to a relay, a websocket and the long poll, as one: messages in, messages out.
//!
//! The websocket is tried first each time. Where something in between does not let it through, the
//! same messages go by long poll, without anybody choosing.

use bytes::Bytes;
use link_proto::links::RelayUrl;
use reqwest::Client;
use tokio::sync::mpsc;
use tokio_util::task::AbortOnDropHandle;

use super::api::{self, Access, RelayError};
use super::{poll, websocket};

/// Messages that may wait on the way out. When full, the channels wait; a device that does not
/// read has used up its credit long before.
const OUTGOING: usize = 64;
/// Messages that may wait on the way in. When full, the socket is not read.
const INCOMING: usize = 64;

/// A message on a link socket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Message {
    /// Control, JSON.
    Text(String),
    /// A channel number and a sealed payload.
    Binary(Bytes),
}

/// An open way. Dropping it closes it.
pub(super) struct Wire {
    /// To the relay.
    pub(super) outgoing: mpsc::Sender<Message>,
    /// From the relay; the end is in words.
    pub(super) incoming: mpsc::Receiver<Result<Message, String>>,
    /// Which way it is.
    pub(super) way: Way,
    _task: AbortOnDropHandle<()>,
}

/// Which way it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    /// A websocket.
    WebSocket,
    /// HTTP requests.
    LongPoll,
}

/// Opens a way to the relay.
///
/// # Errors
/// When there is none.
pub(super) async fn open(
    client: &Client,
    access: &Access,
    prefer: Way,
) -> Result<Wire, RelayError> {
    if prefer == Way::WebSocket {
        let ticket = api::ticket(client, access).await?;
        match websocket::connect(client, &access.relay, &ticket).await {
            Ok(socket) => {
                let run = |outgoing, incoming| websocket::run(socket, outgoing, incoming);
                return Ok(wire(Way::WebSocket, run));
            }
            Err(unauthorized @ RelayError::Unauthorized { .. }) => return Err(unauthorized),
            Err(error) => {
                tracing::info!(%error, "no websocket comes through; trying requests");
            }
        }
    }
    let poll = poll::begin(client, access).await?;
    let (client, relay) = (client.clone(), access.relay.clone());
    let run = |outgoing, incoming| run_poll(client, relay, poll, outgoing, incoming);
    Ok(wire(Way::LongPoll, run))
}

async fn run_poll(
    client: Client,
    relay: RelayUrl,
    poll: link_proto::keys::Token,
    outgoing: mpsc::Receiver<Message>,
    incoming: mpsc::Sender<Result<Message, String>>,
) {
    poll::run(&client, &relay, &poll, outgoing, incoming).await;
}

fn wire<F>(
    way: Way,
    run: impl FnOnce(mpsc::Receiver<Message>, mpsc::Sender<Result<Message, String>>) -> F,
) -> Wire
where
    F: Future<Output = ()> + Send + 'static,
{
    let (outgoing, to_send) = mpsc::channel(OUTGOING);
    let (received, incoming) = mpsc::channel(INCOMING);
    let task = tokio::spawn(run(to_send, received));
    Wire {
        outgoing,
        incoming,
        way,
        _task: AbortOnDropHandle::new(task),
    }
}
