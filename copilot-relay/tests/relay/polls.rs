//! A machine by long poll.

use reqwest::{Method, Response};
use serde_json::{Value, json};

use crate::support::{Relay, code, id, soon, string};

struct Poll<'a> {
    relay: &'a Relay,
    secret: String,
}

impl<'a> Poll<'a> {
    async fn begin(relay: &'a Relay, token: &str) -> Self {
        let response = relay.post("/link/v1/poll", token, Value::Null).await;
        assert_eq!(response.status(), 200);
        Self {
            relay,
            secret: string(&response.json().await.unwrap(), "poll"),
        }
    }

    async fn ask(&self, method: Method, path: &str, body: Vec<u8>) -> Response {
        let request = self
            .relay
            .http
            .request(
                method,
                self.relay.url(&format!("/link/v1/poll/self/{path}")),
            )
            .header("authorization", format!("Poll {}", self.secret))
            .body(body);
        soon("an answer", request.send()).await.unwrap()
    }

    async fn send(&self, seq: u64, messages: &[Message]) -> Response {
        let mut body = Vec::new();
        for message in messages {
            let (kind, bytes) = match message {
                Message::Text(value) => (0, value.to_string().into_bytes()),
                Message::Binary(channel, payload) => {
                    (1, [&channel.to_be_bytes()[..], payload].concat())
                }
            };
            body.push(kind);
            body.extend(u32::try_from(bytes.len()).unwrap().to_be_bytes());
            body.extend(bytes);
        }
        self.ask(Method::POST, &format!("send?seq={seq}"), body)
            .await
    }

    async fn receive(&self, after: u64) -> (u64, Vec<Message>) {
        let response = self
            .ask(Method::GET, &format!("receive?after={after}"), Vec::new())
            .await;
        assert_eq!(response.status(), 200);
        let seq = response.headers()["copilot-seq"]
            .to_str()
            .unwrap()
            .parse()
            .unwrap();
        let body = response.bytes().await.unwrap();
        let mut rest = &body[..];
        let mut messages = Vec::new();
        while let Some((kind, after)) = rest.split_first() {
            let (length, after) = after.split_at(4);
            let length = u32::from_be_bytes(length.try_into().unwrap());
            let (bytes, after) = after.split_at(usize::try_from(length).unwrap());
            messages.push(match kind {
                0 => Message::Text(serde_json::from_slice(bytes).unwrap()),
                _ => {
                    let (channel, payload) = bytes.split_at(4);
                    let channel = u32::from_be_bytes(channel.try_into().unwrap());
                    Message::Binary(channel, payload.to_vec())
                }
            });
            rest = after;
        }
        (seq, messages)
    }

    async fn hello(&self) {
        let hello = json!({"type": "hello", "protocol": 1, "name": "tower", "build": "test"});
        assert_eq!(self.send(1, &[Message::Text(hello)]).await.status(), 204);
        let (seq, messages) = self.receive(0).await;
        assert_eq!(seq, 1);
        assert_eq!(messages[0].text()["type"], "hello");
    }
}

#[derive(Clone, Debug, PartialEq)]
enum Message {
    Text(Value),
    Binary(u32, Vec<u8>),
}

impl Message {
    fn text(&self) -> &Value {
        match self {
            Self::Text(value) => value,
            Self::Binary(..) => panic!("{self:?} instead of a text"),
        }
    }
}

/// A relay with a device that is paired with a machine, which then polls.
async fn paired() -> (Relay, String, String) {
    let relay = Relay::start().await;
    let token = relay.join(&id(1)).await;
    let mut machine = relay.machine(&token).await;
    let device = relay.pair(&mut machine, &id(7)).await;
    (relay, token, device)
}

#[tokio::test]
async fn a_machine_without_websockets_is_like_any_other() {
    let (relay, token, device_token) = paired().await;
    let poll = Poll::begin(&relay, &token).await;
    poll.hello().await;
    let (mut device, seen) = relay.device(&device_token).await;
    assert_eq!(seen[0]["online"], true);
    device
        .say(json!({"type": "channel-open", "request": 1, "machineId": id(1)}))
        .await;
    let at_device = device.hear("channel-opened").await["channel"]
        .as_u64()
        .unwrap();
    let (seq, messages) = poll.receive(1).await;
    assert_eq!((seq, messages.len()), (2, 1));
    let channel = u32::try_from(messages[0].text()["channel"].as_u64().unwrap()).unwrap();
    device.send(at_device, b"question").await;
    let expected = (3, vec![Message::Binary(channel, b"question".to_vec())]);
    assert_eq!(poll.receive(2).await, expected);
    // The answer was lost on its way: the same again.
    assert_eq!(poll.receive(2).await, expected);
    let other = poll.ask(Method::GET, "receive?after=7", Vec::new()).await;
    assert_eq!(code(other).await, (409, "out-of-order".into()));

    let answer = [
        Message::Binary(channel, b"one".to_vec()),
        Message::Binary(channel, b"two".to_vec()),
    ];
    // The answer to a send was lost: the repeated one has no second effect.
    for _ in 0..3 {
        assert_eq!(poll.send(2, &answer).await.status(), 204);
    }
    let late = poll.send(4, &answer).await;
    assert_eq!(code(late).await, (409, "out-of-order".into()));
    assert_eq!(device.receive().await.1, b"one");
    assert_eq!(device.receive().await.1, b"two");
    device.settle().await;
}

#[tokio::test]
async fn a_receive_waits_and_gives_way_to_a_newer_one() {
    let (relay, token, _) = paired().await;
    let poll = Poll::begin(&relay, &token).await;
    poll.hello().await;
    let older = poll.receive(1);
    tokio::pin!(older);
    // Begun first, so that it is the older one.
    assert!(futures_util::poll!(&mut older).is_pending());
    soon("the older receive waits", async {
        // The ping is a message for whoever waits.
        let ping = json!({"type": "ping", "n": 5});
        assert_eq!(poll.send(2, &[Message::Text(ping)]).await.status(), 204);
    })
    .await;
    let (seq, messages) = older.await;
    assert_eq!((seq, messages[0].text()["n"].as_u64()), (2, Some(5)));
    // Nothing comes: an empty answer with the old number, after a while of the relay's time.
    let waiting = poll.receive(2);
    tokio::pin!(waiting);
    let (seq, messages) = soon("an empty answer", async {
        loop {
            tokio::select! {
                answer = &mut waiting => break answer,
                () = tokio::task::yield_now() => relay.clock.advance(std::time::Duration::from_millis(10)),
            }
        }
    })
    .await;
    assert_eq!((seq, messages.len()), (2, 0));
}

#[tokio::test]
async fn a_poll_that_nobody_asks_for_is_gone_after_the_lease() {
    let (relay, token, device_token) = paired().await;
    let poll = Poll::begin(&relay, &token).await;
    poll.hello().await;
    let (mut device, _) = relay.device(&device_token).await;
    let lease = relay.started.relay.limits.lease;
    relay.clock.advance(lease / 2);
    assert_eq!(poll.send(1, &[]).await.status(), 204, "renews it");
    device.settle().await;
    relay.clock.advance(lease / 2);
    device.settle().await;
    relay.clock.advance(lease / 2);
    assert_eq!(device.hear("machine-changed").await["online"], false);
    let over = poll.send(2, &[]).await;
    assert_eq!(code(over).await, (401, "unauthorized".into()));
}

#[tokio::test]
async fn what_is_no_poll_or_no_body_is_refused() {
    let (relay, token, device_token) = paired().await;
    let begin = relay
        .post("/link/v1/poll", &device_token, Value::Null)
        .await;
    assert_eq!(code(begin).await, (403, "not-a-machine".into()));
    let poll = Poll::begin(&relay, &token).await;
    let broken = poll
        .ask(Method::POST, "send?seq=1", vec![0, 0, 0, 0, 9])
        .await;
    assert_eq!(code(broken).await, (400, "malformed".into()));
    let unnumbered = poll.ask(Method::POST, "send", Vec::new()).await;
    assert_eq!(code(unnumbered).await, (400, "malformed".into()));
    // A broken body was not taken; one that breaks the protocol ends the poll.
    let message = Message::Binary(1, b"before hello".to_vec());
    let ended = poll.send(1, &[message]).await;
    assert_eq!(code(ended).await, (410, "poll-ended".into()));
    let stranger = Poll {
        relay: &relay,
        secret: "A".repeat(43),
    };
    assert_eq!(
        code(stranger.send(1, &[]).await).await,
        (401, "unauthorized".into())
    );
}
