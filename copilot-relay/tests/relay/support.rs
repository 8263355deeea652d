//! A relay of a test's own, and clients that know the protocol page alone.

use std::time::Duration;

use copilot_relay::clock::Clock;
use copilot_relay::limits::Limits;
use copilot_relay::metrics::Reason;
use copilot_relay::{Options, Started, start};
use futures_util::{SinkExt as _, StreamExt as _};
use reqwest::{Method, Response, StatusCode};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::{WebSocketStream, client_async};

/// How long anything may take on a busy machine before a test gives up.
pub(crate) const DEADLINE: Duration = Duration::from_secs(30);

pub(crate) async fn soon<F: Future>(what: &str, future: F) -> F::Output {
    tokio::time::timeout(DEADLINE, future)
        .await
        .unwrap_or_else(|_| panic!("never came: {what}"))
}

pub(crate) struct Relay {
    pub(crate) started: Started,
    pub(crate) clock: Clock,
    pub(crate) data: tempfile::TempDir,
    pub(crate) http: reqwest::Client,
    pub(crate) enrolment: String,
}

impl Relay {
    pub(crate) async fn start() -> Self {
        Self::with(|_| {}).await
    }

    pub(crate) async fn with(change: impl FnOnce(&mut Limits)) -> Self {
        Self::in_folder(tempfile::tempdir().unwrap(), change).await
    }

    pub(crate) async fn in_folder(
        data: tempfile::TempDir,
        change: impl FnOnce(&mut Limits),
    ) -> Self {
        Self::made(data, false, change).await
    }

    /// One that believes what a proxy says of addresses.
    pub(crate) async fn behind_proxy(change: impl FnOnce(&mut Limits)) -> Self {
        Self::made(tempfile::tempdir().unwrap(), true, change).await
    }

    async fn made(
        data: tempfile::TempDir,
        behind_proxy: bool,
        change: impl FnOnce(&mut Limits),
    ) -> Self {
        copilot_relay::install_crypto();
        let clock = Clock::manual();
        let mut limits = Limits::default();
        change(&mut limits);
        let started = start(Options {
            listen: "127.0.0.1:0".parse().unwrap(),
            data: data.path().to_owned(),
            public_url: None,
            tls: None,
            behind_proxy,
            is_own: false,
            limits,
            clock: clock.clone(),
        })
        .await
        .unwrap();
        let enrolment = std::fs::read_to_string(data.path().join("enrolment-token")).unwrap();
        Self {
            started,
            clock,
            data,
            http: reqwest::Client::builder().no_proxy().build().unwrap(),
            enrolment: enrolment.trim().to_owned(),
        }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.started.address)
    }

    pub(crate) fn refused(&self, reason: Reason) -> u64 {
        self.started.relay.metrics.refused(reason)
    }

    /// Asks, with a bearer token unless it is empty.
    pub(crate) async fn ask(
        &self,
        method: Method,
        path: &str,
        token: &str,
        body: Value,
    ) -> Response {
        let mut request = self.http.request(method, self.url(path));
        if !token.is_empty() {
            request = request.bearer_auth(token);
        }
        if !body.is_null() {
            request = request.json(&body);
        }
        soon("an answer", request.send()).await.unwrap()
    }

    pub(crate) async fn post(&self, path: &str, token: &str, body: Value) -> Response {
        self.ask(Method::POST, path, token, body).await
    }

    /// A machine joins; its token.
    pub(crate) async fn join(&self, machine: &str) -> String {
        let body = json!({"enrolmentToken": self.enrolment, "machineId": machine, "name": "tower"});
        let response = self.post("/api/v1/machines", "", body).await;
        assert_eq!(response.status(), StatusCode::OK);
        string(&response.json().await.unwrap(), "machineToken")
    }

    pub(crate) async fn ticket(&self, token: &str) -> String {
        let response = self.post("/api/v1/tickets", token, Value::Null).await;
        assert_eq!(response.status(), StatusCode::OK);
        string(&response.json().await.unwrap(), "ticket")
    }

    /// Opens a socket with a ticket, without a hello.
    pub(crate) async fn open(&self, kind: &str, ticket: &str) -> Result<Socket, u16> {
        connect(&self.started.address.to_string(), kind, ticket).await
    }

    /// The same by way of a proxy, which names this address.
    pub(crate) async fn named(&self, whose: &str, kind: &str, ticket: &str) -> Result<Socket, u16> {
        let address = self.started.address.to_string();
        let stream = TcpStream::connect(&address).await.unwrap();
        upgrade(stream, &address, kind, ticket, Some(whose)).await
    }

    /// A machine that joined is online.
    pub(crate) async fn machine(&self, token: &str) -> Socket {
        let ticket = self.ticket(token).await;
        let mut socket = self.open("machine", &ticket).await.unwrap();
        let hello = json!({"type": "hello", "protocol": 1, "name": "tower", "build": "test"});
        socket.say(hello).await;
        assert_eq!(socket.hear("hello").await["protocol"], 1);
        socket
    }

    /// A device is connected; what it sees.
    pub(crate) async fn device(&self, token: &str) -> (Socket, Value) {
        let ticket = self.ticket(token).await;
        let mut socket = self.greet(&ticket).await;
        let machines = socket.hear("machines").await["machines"].take();
        (socket, machines)
    }

    /// A device's or a pairing's socket, after the hello.
    pub(crate) async fn greet(&self, ticket: &str) -> Socket {
        let mut socket = self.open("device", ticket).await.unwrap();
        socket
            .say(json!({"type": "hello", "protocol": 1, "build": "test"}))
            .await;
        socket.hear("hello").await;
        socket
    }

    /// A channel of a pairing, from its link on: the socket of whoever pairs, the channel there, and the
    /// channel at the machine.
    pub(crate) async fn begin_pairing(
        &self,
        machine: &mut Socket,
        pairing: &str,
    ) -> (Socket, u64, u64) {
        machine
            .say(json!({"type": "pairing-open", "pairingId": pairing, "expiresInMs": 600_000}))
            .await;
        machine.settle().await;
        let path = format!("/api/v1/pairings/{pairing}/ticket");
        let response = self.post(&path, "", Value::Null).await;
        assert_eq!(response.status(), StatusCode::OK);
        let ticket = string(&response.json().await.unwrap(), "ticket");
        let mut socket = self.greet(&ticket).await;
        socket
            .say(json!({"type": "channel-open", "request": 1}))
            .await;
        let opened = socket.hear("channel-opened").await;
        let at_machine = machine.hear("channel-opened").await;
        assert_eq!(at_machine["pairingId"], pairing);
        (
            socket,
            opened["channel"].as_u64().unwrap(),
            at_machine["channel"].as_u64().unwrap(),
        )
    }

    /// Pairs a device with a connected machine; its token.
    pub(crate) async fn pair(&self, machine: &mut Socket, device: &str) -> String {
        let response = self.claim(machine, device, "").await;
        assert_eq!(response.status(), StatusCode::OK);
        string(&response.json().await.unwrap(), "deviceToken")
    }

    /// Pairs a device with a connected machine as far as the answer to its claim, which shows a token unless
    /// that is empty.
    pub(crate) async fn claim(&self, machine: &mut Socket, device: &str, token: &str) -> Response {
        let pairing = id(200);
        let (mut socket, _, channel) = self.begin_pairing(machine, &pairing).await;
        machine
            .say(json!({"type": "device-admit", "channel": channel, "deviceId": device, "name": "phone"}))
            .await;
        let claim = socket.hear("claim").await;
        assert_eq!(claim["deviceId"], device);
        let response = self
            .post(
                "/api/v1/devices/claim",
                token,
                json!({"claim": claim["claim"]}),
            )
            .await;
        machine
            .say(json!({"type": "channel-close", "channel": channel, "reason": "done"}))
            .await;
        machine.hear("channel-closed").await;
        response
    }
}

/// Waits until it is so, without anybody telling.
pub(crate) async fn until(what: &str, is_so: impl Fn() -> bool) {
    soon(what, async {
        while !is_so() {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

/// Opens a socket; the status when it is refused.
pub(crate) async fn connect(address: &str, kind: &str, ticket: &str) -> Result<Socket, u16> {
    let stream = TcpStream::connect(address).await.unwrap();
    upgrade(stream, address, kind, ticket, None).await
}

async fn upgrade(
    stream: TcpStream,
    address: &str,
    kind: &str,
    ticket: &str,
    named: Option<&str>,
) -> Result<Socket, u16> {
    let url = format!("ws://{address}/link/v1/{kind}?ticket={ticket}");
    let mut request = url.into_client_request().unwrap();
    if let Some(named) = named {
        let headers = request.headers_mut();
        headers.insert("x-forwarded-for", named.parse().unwrap());
    }
    match soon("an upgrade", client_async(request, stream)).await {
        Ok((socket, _)) => Ok(Socket(socket)),
        Err(tokio_tungstenite::tungstenite::Error::Http(response)) => {
            Err(response.status().as_u16())
        }
        Err(other) => panic!("{other}"),
    }
}

/// The error of an answer: its code, and that it has words.
pub(crate) async fn code(response: Response) -> (u16, String) {
    let status = response.status().as_u16();
    let body: Value = response.json().await.unwrap();
    let message = body["error"]["message"].as_str().unwrap();
    assert!(
        message.ends_with(['.', 'R', 's', 'r']) && message.len() > 15,
        "{message}"
    );
    (status, string(&body["error"], "code"))
}

pub(crate) fn string(value: &Value, field: &str) -> String {
    value[field]
        .as_str()
        .unwrap_or_else(|| panic!("no {field} in {value}"))
        .to_owned()
}

/// An id.
pub(crate) fn id(n: u8) -> String {
    format!("{n:02x}").repeat(16)
}

pub(crate) struct Socket(WebSocketStream<TcpStream>);

impl Socket {
    pub(crate) async fn say(&mut self, message: Value) {
        self.0
            .send(Message::text(message.to_string()))
            .await
            .unwrap();
    }

    pub(crate) async fn send(&mut self, channel: u64, payload: &[u8]) {
        let mut message = u32::try_from(channel).unwrap().to_be_bytes().to_vec();
        message.extend(payload);
        self.raw(Message::binary(message)).await;
    }

    pub(crate) async fn raw(&mut self, message: Message) {
        // It may have been cut already.
        let _ = self.0.send(message).await;
    }

    /// The next message; `None` when the socket has ended.
    pub(crate) async fn next(&mut self) -> Option<Message> {
        loop {
            match soon("a message", self.0.next()).await {
                Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
                Some(Ok(Message::Close(_)) | Err(_)) | None => return None,
                Some(Ok(message)) => return Some(message),
            }
        }
    }

    /// The next message, which is this control message.
    pub(crate) async fn hear(&mut self, kind: &str) -> Value {
        let message = self.next().await;
        let Some(Message::Text(text)) = &message else {
            panic!("{message:?} instead of {kind}");
        };
        let value: Value = serde_json::from_str(text).unwrap();
        assert_eq!(value["type"], kind, "{value}");
        value
    }

    /// The next message, which is this sealed one.
    pub(crate) async fn receive(&mut self) -> (u64, Vec<u8>) {
        let message = self.next().await;
        let Some(Message::Binary(bytes)) = &message else {
            panic!("{message:?} instead of a sealed message");
        };
        let (channel, payload) = bytes.split_at(4);
        let channel = u32::from_be_bytes(channel.try_into().unwrap());
        (u64::from(channel), payload.to_vec())
    }

    /// Waits until everything said so far was worked off, when nothing else is on its way.
    pub(crate) async fn settle(&mut self) {
        self.say(json!({"type": "ping", "n": 77})).await;
        assert_eq!(self.hear("pong").await["n"], 77);
    }

    /// The socket ends, with these last words of the relay or none.
    pub(crate) async fn ended(&mut self) -> Option<String> {
        let mut last = None;
        while let Some(message) = self.next().await {
            if let Message::Text(text) = message {
                let value: Value = serde_json::from_str(&text).unwrap();
                if value["type"] == "refused" {
                    last = Some(string(&value, "message"));
                }
            }
        }
        last
    }

    pub(crate) async fn close(mut self) {
        let _ = self.0.close(None).await;
    }

    /// Opens a channel to a machine: the numbers at the device and at the machine.
    pub(crate) async fn channel(&mut self, machine: &mut Socket, machine_id: &str) -> (u64, u64) {
        self.say(json!({"type": "channel-open", "request": 9, "machineId": machine_id}))
            .await;
        let opened = self.hear("channel-opened").await;
        assert_eq!(opened["machineId"], machine_id);
        assert_eq!(opened["request"], 9);
        let at_machine = machine.hear("channel-opened").await;
        (
            opened["channel"].as_u64().unwrap(),
            at_machine["channel"].as_u64().unwrap(),
        )
    }
}
