//! The long poll to a relay, where websockets do not come through.
//!
//! Every request has a number, so one that got no answer is asked again, and has no second effect.

use std::time::Duration;

use bytes::Bytes;
use link_proto::http::{self, PollOpened};
use link_proto::keys::Token;
use link_proto::links::RelayUrl;
use link_proto::poll::{self, SEQ_HEADER};
use reqwest::{Client, Response};
use tokio::sync::mpsc;

use super::api::{self, Access, RelayError};
use super::backoff::{Backoff, random};
use super::wire::Message;

/// A receive is answered within 25 s; somewhat more for a slow network.
const RECEIVE_PATIENCE: Duration = Duration::from_secs(40);
/// Longest that a send may take.
const SEND_PATIENCE: Duration = Duration::from_secs(30);
/// Messages of one send.
const AT_ONCE: usize = 32;
/// How often a request is asked again before the poll is given up. It takes less time than a missing
/// pong.
const REPEATS: usize = 3;

/// Why a request has no answer.
enum Failure {
    /// Nothing came back, or not all of it.
    Lost(String),
    /// It was answered, and would be again.
    Final(String),
}

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
        let (url, body) = (format!("{url}?seq={seq}"), Bytes::from(body));
        if let Err(why) = asked(|| post(client, &url, authorization, body.clone())).await {
            return Some(why);
        }
    }
    None
}

async fn post(client: &Client, url: &str, authorization: &str, body: Bytes) -> Result<(), Failure> {
    let request = client
        .post(url)
        .header("authorization", authorization)
        .body(body)
        .timeout(SEND_PATIENCE);
    ok(request.send().await).map(drop)
}

async fn receive(
    client: &Client,
    url: &str,
    authorization: &str,
    incoming: &mpsc::Sender<Result<Message, String>>,
) -> Option<String> {
    let mut after = 0_u64;
    loop {
        let url = format!("{url}?after={after}");
        let (seq, body) = match asked(|| get(client, &url, authorization)).await {
            Ok(answer) => answer,
            Err(why) => return Some(why),
        };
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

/// The number of an answer and its body, when all of it came.
async fn get(client: &Client, url: &str, authorization: &str) -> Result<(u64, Vec<u8>), Failure> {
    let request = client
        .get(url)
        .header("authorization", authorization)
        .timeout(RECEIVE_PATIENCE);
    let mut response = ok(request.send().await)?;
    let seq = response.headers().get(SEQ_HEADER);
    let seq = seq.and_then(|s| s.to_str().ok()?.parse::<u64>().ok());
    let seq = seq.ok_or_else(|| {
        Failure::Final("something in between answers in the relay's place".into())
    })?;
    let mut body = Vec::new();
    while let Some(piece) = response.chunk().await.map_err(|e| lost(&e))? {
        if body.len() + piece.len() > poll::MAX_BODY_BYTES {
            return Err(Failure::Final("the relay sent too much at once".into()));
        }
        body.extend_from_slice(&piece);
    }
    Ok((seq, body))
}

fn ok(sent: reqwest::Result<Response>) -> Result<Response, Failure> {
    let response = sent.map_err(|e| lost(&e))?;
    let status = response.status();
    let words = || format!("the relay answers with HTTP status {status}");
    match status {
        status if status.is_success() => Ok(response),
        // What stands before a relay says so while it cannot reach it.
        status if status.is_server_error() => Err(Failure::Lost(words())),
        _ => Err(Failure::Final(words())),
    }
}

fn lost(error: &reqwest::Error) -> Failure {
    Failure::Lost(api::words(error))
}

/// Asks, and asks again as long as nothing comes back, [`REPEATS`] times at most.
async fn asked<T, F>(ask: impl Fn() -> F) -> Result<T, String>
where
    F: Future<Output = Result<T, Failure>>,
{
    let mut backoff = Backoff::default();
    let mut left = REPEATS;
    loop {
        match ask().await {
            Ok(answer) => return Ok(answer),
            Err(Failure::Lost(why)) if left > 0 => {
                tracing::debug!(%why, "a request is repeated");
                tokio::time::sleep(backoff.failed(random())).await;
                left -= 1;
            }
            Err(Failure::Lost(why) | Failure::Final(why)) => return Err(why),
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::{TcpListener, TcpStream};
    use tokio::task::JoinHandle;

    use super::*;

    /// No answer at all.
    const LOST: &[u8] = b"";
    const TAKEN: &[u8] = b"HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n";
    const OVER: &[u8] = b"HTTP/1.1 410 Gone\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";

    /// An answer with one message, of which so many bytes arrive.
    fn answer(seq: u64, text: &str, cut: usize) -> Vec<u8> {
        let mut body = Vec::new();
        poll::append(&mut body, poll::Message::Text(text)).unwrap();
        let length = body.len();
        let head = format!(
            "HTTP/1.1 200 OK\r\n{SEQ_HEADER}: {seq}\r\ncontent-length: {length}\r\n\
             connection: close\r\n\r\n"
        );
        [head.as_bytes(), &body[..length - cut]].concat()
    }

    /// Answers one request after the other with these: its address, and what it was asked.
    async fn relay(answers: Vec<Vec<u8>>) -> (String, JoinHandle<Vec<String>>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/poll", listener.local_addr().unwrap());
        let asked = tokio::spawn(async move {
            let mut asked = Vec::new();
            for answer in answers {
                let (mut stream, _) = listener.accept().await.unwrap();
                asked.push(request(&mut stream).await);
                stream.write_all(&answer).await.unwrap();
            }
            asked
        });
        (url, asked)
    }

    /// The first line of a request, and its body.
    async fn request(stream: &mut TcpStream) -> String {
        let mut bytes = Vec::new();
        loop {
            let text = String::from_utf8_lossy(&bytes).to_lowercase();
            if let Some((head, body)) = text.split_once("\r\n\r\n") {
                let length = head.split_once("content-length: ");
                let length = length.and_then(|(_, rest)| rest.lines().next()?.parse().ok());
                if body.len() >= length.unwrap_or(0) {
                    return format!("{} {body:?}", head.lines().next().unwrap());
                }
            }
            assert_ne!(stream.read_buf(&mut bytes).await.unwrap(), 0);
        }
    }

    fn client() -> Client {
        // There is one already when another test came first.
        let _ = rustls::crypto::ring::default_provider().install_default();
        Client::builder().no_proxy().build().unwrap()
    }

    fn text(text: &str) -> Message {
        Message::Text(text.to_owned())
    }

    #[tokio::test]
    async fn a_send_that_was_lost_is_repeated_as_it_was() {
        let (url, asked) = relay(vec![LOST.into(), TAKEN.into(), TAKEN.into()]).await;
        // One message fits, so each is a send.
        let (outgoing, queued) = mpsc::channel(1);
        let client = client();
        let messages = async move {
            outgoing.send(text("one")).await.unwrap();
            outgoing.send(text("two")).await.unwrap();
        };
        let (ended, ()) = tokio::join!(send(&client, &url, "Poll x", queued), messages);
        assert_eq!(ended, None);
        let asked = asked.await.unwrap();
        assert!(asked[0].starts_with("post /poll?seq=1 "), "{asked:?}");
        assert!(asked[0].contains("one"), "{asked:?}");
        assert_eq!(asked[1], asked[0]);
        assert!(asked[2].starts_with("post /poll?seq=2 "), "{asked:?}");
        assert!(asked[2].contains("two"), "{asked:?}");
    }

    #[tokio::test]
    async fn an_answer_that_was_cut_off_is_asked_for_again() {
        let answers = vec![answer(1, "hello", 2), answer(1, "hello", 0), OVER.into()];
        let (url, asked) = relay(answers).await;
        let (incoming, mut received) = mpsc::channel(4);
        let why = receive(&client(), &url, "Poll x", &incoming).await;
        assert_eq!(
            why.as_deref(),
            Some("the relay answers with HTTP status 410 Gone")
        );
        drop(incoming);
        assert_eq!(received.recv().await, Some(Ok(text("hello"))));
        assert_eq!(received.recv().await, None);
        let asked = asked.await.unwrap();
        assert_eq!(asked[1], asked[0]);
        assert!(asked[0].starts_with("get /poll?after=0 "), "{asked:?}");
        assert!(asked[2].starts_with("get /poll?after=1 "), "{asked:?}");
    }

    #[tokio::test]
    async fn a_request_is_repeated_only_so_often_and_not_when_it_was_refused() {
        let count = std::cell::Cell::new(0);
        let ask = |failure: fn(String) -> Failure| {
            count.set(count.get() + 1);
            std::future::ready(Err::<(), _>(failure("words".to_owned())))
        };
        let lost = asked(|| ask(Failure::Lost)).await;
        assert_eq!((lost, count.take()), (Err("words".to_owned()), REPEATS + 1));
        let refused = asked(|| ask(Failure::Final)).await;
        assert_eq!((refused, count.take()), (Err("words".to_owned()), 1));
    }
}
