//! The long poll to a relay, where websockets do not come through.

use std::time::Duration;

use link_proto::http::{self, PollOpened};
use link_proto::keys::Token;
use link_proto::links::RelayUrl;
use link_proto::poll::{self, SEQ_HEADER};
use reqwest::{Client, Response};
use tokio::sync::mpsc;

use super::api::{self, Access, RelayError};
use super::wire::Message;

/// A receive is answered within 25 s; somewhat more for a slow network.
const RECEIVE_PATIENCE: Duration = Duration::from_secs(40);
/// Longest that a send may take.
const SEND_PATIENCE: Duration = Duration::from_secs(30);
/// Messages of one send.
const AT_ONCE: usize = 32;

/// Begins a poll.
///
/// # Errors
/// When the relay cannot be reached or says no.
pub(super) async fn begin(client: &Client, access: &Access) -> Result<Token, RelayError> {
    let url = access.relay.join(http::POLL);
    let request = client
        .post(url)
        .bearer_auth(access.token.to_text().as_str());
    let opened: PollOpened = api::answer(&access.relay, request).await?;
    Ok(opened.poll)
}

/// Carries messages until either side ends.
pub(super) async fn run(
    client: &Client,
    relay: &RelayUrl,
    poll: &Token,
    outgoing: mpsc::Receiver<Message>,
    incoming: mpsc::Sender<Result<Message, String>>,
) {
    let authorization = format!("Poll {}", *poll.to_text());
    let at = |what: &str| relay.join(&format!("{}/self/{what}", http::POLL));
    let (send_url, receive_url) = (at("send"), at("receive"));
    let why = tokio::select! {
        why = send(client, &send_url, &authorization, outgoing) => why,
        why = receive(client, &receive_url, &authorization, &incoming) => why,
    };
    if let Some(why) = why {
        // Whoever would read it may be gone.
        let _ = incoming.send(Err(why)).await;
    }
}

async fn send(
    client: &Client,
    url: &str,
    authorization: &str,
    mut outgoing: mpsc::Receiver<Message>,
) -> Option<String> {
    let mut batch: Vec<Message> = Vec::with_capacity(AT_ONCE);
    for seq in 1_u64.. {
        // Thirty-two full payloads fit into a body.
        if outgoing.recv_many(&mut batch, AT_ONCE).await == 0 {
            return None;
        }
        let mut body = Vec::new();
        for message in batch.drain(..) {
            let message = match &message {
                Message::Text(text) => poll::Message::Text(text),
                Message::Binary(bytes) => poll::Message::Binary(bytes),
            };
            if let Err(error) = poll::append(&mut body, message) {
                return Some(error.to_string());
            }
        }
        let request = client
            .post(format!("{url}?seq={seq}"))
            .header("authorization", authorization)
            .body(body)
            .timeout(SEND_PATIENCE);
        if let Err(why) = ok(request.send().await) {
            return Some(why);
        }
    }
    None
}

async fn receive(
    client: &Client,
    url: &str,
    authorization: &str,
    incoming: &mpsc::Sender<Result<Message, String>>,
) -> Option<String> {
    let mut after = 0_u64;
    loop {
        let request = client
            .get(format!("{url}?after={after}"))
            .header("authorization", authorization)
            .timeout(RECEIVE_PATIENCE);
        let mut response = match ok(request.send().await) {
            Ok(response) => response,
            Err(why) => return Some(why),
        };
        let seq = response.headers().get(SEQ_HEADER);
        let seq = seq.and_then(|s| s.to_str().ok()?.parse::<u64>().ok());
        let Some(seq) = seq else {
            return Some("something in between answers in the relay's place".into());
        };
        let mut body = Vec::new();
        loop {
            match response.chunk().await {
                Ok(Some(piece)) if body.len() + piece.len() <= poll::MAX_BODY_BYTES => {
                    body.extend_from_slice(&piece);
                }
                Ok(Some(_)) => return Some("the relay sent too much at once".into()),
                Ok(None) => break,
                Err(error) => return Some(api::words(&error)),
            }
        }
        let messages = match poll::decode(&body) {
            Ok(messages) => messages,
            Err(error) => return Some(error.to_string()),
        };
        for message in messages {
            let message = match message {
                poll::Message::Text(text) => Message::Text(text.to_owned()),
                poll::Message::Binary(bytes) => Message::Binary(bytes.to_vec().into()),
            };
            if incoming.send(Ok(message)).await.is_err() {
                return None;
            }
        }
        after = seq;
    }
}

fn ok(sent: reqwest::Result<Response>) -> Result<Response, String> {
    let response = sent.map_err(|error| api::words(&error))?;
    match response.status() {
        status if status.is_success() => Ok(response),
        status => Err(format!("the relay answers with HTTP status {status}")),
    }
}
