//! The websocket to a relay: an upgraded HTTP request, so that proxies, certificates and name
//! resolution are those of every other request.

use futures_util::{SinkExt as _, StreamExt as _};
use link_proto::control::MAX_TEXT_FROM_RELAY_BYTES;
use link_proto::http;
use link_proto::keys::Token;
use link_proto::links::RelayUrl;
use reqwest::{Client, StatusCode, Upgraded};
use tokio::sync::mpsc;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::client::generate_key;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};
use tokio_tungstenite::tungstenite::{self, Utf8Bytes};

use super::api::{self, RelayError};
use super::wire::Message;

/// Of a connection that mostly waits.
const BUFFER_BYTES: usize = 8 * 1024;
/// Unsent bytes in the socket's own buffer before it is an error; one message fits.
const MAX_UNSENT_BYTES: usize = 256 * 1024;
/// Messages that are written before they are flushed together.
const AT_ONCE: usize = 16;

/// Makes the websocket.
///
/// # Errors
/// When the relay, or something before it, does not let it through.
pub(super) async fn connect(
    client: &Client,
    relay: &RelayUrl,
    ticket: &Token,
) -> Result<WebSocketStream<Upgraded>, RelayError> {
    let key = generate_key();
    let url = format!(
        "{}?ticket={}",
        relay.join(http::MACHINE_SOCKET),
        *ticket.to_text()
    );
    let request = client
        .get(url)
        .header("connection", "Upgrade")
        .header("upgrade", "websocket")
        .header("sec-websocket-version", "13")
        .header("sec-websocket-key", &key);
    let sent = tokio::time::timeout(api::PATIENCE, request.send()).await;
    let response = sent
        .map_err(|_| api::unreachable(relay, "it did not answer in time".into()))?
        .map_err(|error| api::unreachable(relay, api::words(&error)))?;
    if response.status() != StatusCode::SWITCHING_PROTOCOLS {
        return Err(api::refused(relay, response.status(), response).await);
    }
    let accepted = response.headers().get("sec-websocket-accept");
    if accepted.is_none_or(|a| a.as_bytes() != derive_accept_key(key.as_bytes()).as_bytes()) {
        let why = "something in between answers in its place".into();
        return Err(api::unreachable(relay, why));
    }
    let stream = response.upgrade().await;
    let stream = stream.map_err(|error| api::unreachable(relay, api::words(&error)))?;
    let config = WebSocketConfig::default()
        .read_buffer_size(BUFFER_BYTES)
        .write_buffer_size(BUFFER_BYTES)
        .max_write_buffer_size(MAX_UNSENT_BYTES)
        .max_message_size(Some(MAX_TEXT_FROM_RELAY_BYTES))
        .max_frame_size(Some(MAX_TEXT_FROM_RELAY_BYTES));
    Ok(WebSocketStream::from_raw_socket(stream, Role::Client, Some(config)).await)
}

/// Carries messages until either side ends.
pub(super) async fn run(
    socket: WebSocketStream<Upgraded>,
    mut outgoing: mpsc::Receiver<Message>,
    incoming: mpsc::Sender<Result<Message, String>>,
) {
    let (mut sink, mut stream) = socket.split();
    let write = async {
        let mut batch = Vec::with_capacity(AT_ONCE);
        while outgoing.recv_many(&mut batch, AT_ONCE).await > 0 {
            for message in batch.drain(..) {
                sink.feed(into(message)).await?;
            }
            sink.flush().await?;
        }
        // The owner let go of it.
        sink.close().await
    };
    let read = async {
        while let Some(message) = stream.next().await {
            let message = match message {
                Ok(tungstenite::Message::Text(text)) => Message::Text(text.as_str().to_owned()),
                Ok(tungstenite::Message::Binary(bytes)) => Message::Binary(bytes),
                Ok(tungstenite::Message::Close(_)) => return "the relay closed the link".into(),
                Ok(_) => continue,
                Err(error) => return api::shown(&format!("the link broke: {error}")),
            };
            if incoming.send(Ok(message)).await.is_err() {
                return String::new();
            }
        }
        "the relay closed the link".to_owned()
    };
    let why = tokio::select! {
        why = read => why,
        written = write => match written {
            Ok(()) => return,
            Err(error) => api::shown(&format!("the link broke: {error}")),
        },
    };
    // Whoever would read it may be gone.
    let _ = incoming.send(Err(why)).await;
}

fn into(message: Message) -> tungstenite::Message {
    match message {
        Message::Text(text) => tungstenite::Message::Text(Utf8Bytes::from(text)),
        Message::Binary(bytes) => tungstenite::Message::Binary(bytes),
    }
}
