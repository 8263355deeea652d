//! A raw client of the daemon, written from the protocol page alone: on the
//! local socket, or through a device's sealed channel.
//!
//! On the socket it shares no framing code with the product, so it notices when
//! the product drifts from the page, and it can misbehave on purpose.

use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Instant;

use ahp_types::actions::ActionEnvelope;
use serde_json::{Value, json};

use crate::device::DeviceChannel;
use crate::home::Home;
use crate::wait::DEADLINE;

const MAGIC: &[u8; 8] = b"COPILOTD";
const VERSION: u16 = 1;
const HELLO: u8 = 0;
const WELCOME: u8 = 1;
const REFUSED: u8 = 2;
const CONTROL_REQUEST: u8 = 3;
const CONTROL_REPLY: u8 = 4;
const AHP: u8 = 5;
const MORE: u8 = 1;
/// Payload of one frame.
const CHUNK_BYTES: usize = 64 * 1024;

/// What the daemon thinks of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trust {
    /// A person's client.
    Local,
    /// Something that a session's agent started.
    Agent,
    /// A paired device.
    Remote,
}

/// What carries the messages.
enum Wire {
    Socket(UnixStream),
    Channel(Box<DeviceChannel>),
}

/// A JSON-RPC error response.
#[derive(Debug, Clone, PartialEq)]
pub struct RpcError {
    /// The code.
    pub code: i64,
    /// The words.
    pub message: String,
}

/// One connection.
pub struct Client {
    wire: Wire,
    trust: Trust,
    /// What `initialize` was told.
    id: String,
    title: String,
    next_request: u64,
    next_action: i64,
    /// Notifications that came while something else was awaited.
    inbox: VecDeque<Value>,
}

impl Client {
    /// Connects and says hello, nothing more.
    pub fn greet(socket: &Path) -> io::Result<Self> {
        let mut stream = UnixStream::connect(socket)?;
        stream.set_read_timeout(Some(DEADLINE))?;
        stream.set_write_timeout(Some(DEADLINE))?;
        let mut hello = MAGIC.to_vec();
        hello.extend(VERSION.to_be_bytes());
        hello.extend(VERSION.to_be_bytes());
        let build = b"tests";
        hello.push(u8::try_from(build.len()).unwrap());
        hello.extend(build);
        write_frame(&mut stream, HELLO, 0, &hello)?;
        let (kind, _, payload) = read_frame(&mut stream)?;
        if kind == REFUSED {
            return Err(io::Error::other(format!(
                "refused: {}",
                String::from_utf8_lossy(&payload)
            )));
        }
        assert_eq!(kind, WELCOME, "the answer to hello");
        assert_eq!(&payload[..8], MAGIC);
        assert_eq!(payload[8..10], VERSION.to_be_bytes());
        let trust = match payload[10] {
            0 => Trust::Local,
            1 => Trust::Agent,
            other => panic!("unknown trust {other}"),
        };
        Ok(Self::over(Wire::Socket(stream), trust))
    }

    /// On a device's channel, not yet initialised.
    pub fn on_channel(channel: DeviceChannel) -> Self {
        Self::over(Wire::Channel(Box::new(channel)), Trust::Remote)
    }

    fn over(wire: Wire, trust: Trust) -> Self {
        Self {
            wire,
            trust,
            id: format!("test-{}-{:?}", std::process::id(), Instant::now()),
            title: String::new(),
            next_request: 1,
            next_action: 1,
            inbox: VecDeque::new(),
        }
    }

    /// Connects, hands over the home's environment and initialises. `title`
    /// is the name that others see.
    pub fn connect(home: &Home, title: &str) -> Self {
        let mut client = Self::greet(&home.socket()).expect("the daemon answers hello");
        client.provide_environment(home);
        client.initialize(title);
        client
    }

    /// A new connection of the same client, which has said nothing yet but hello and its
    /// environment.
    pub(crate) fn again(&self, home: &Home) -> io::Result<Self> {
        let mut client = Self::greet(&home.socket())?;
        client.provide_environment(home);
        Ok(client.continuing(self))
    }

    /// The same client on a new channel of its device, which has said nothing yet.
    pub(crate) fn again_on(&self, channel: DeviceChannel) -> Self {
        Self::on_channel(channel).continuing(self)
    }

    fn continuing(mut self, earlier: &Self) -> Self {
        self.id.clone_from(&earlier.id);
        self.title.clone_from(&earlier.title);
        self.next_action = earlier.next_action;
        self
    }

    /// The trust that the daemon gave.
    pub fn trust(&self) -> Trust {
        self.trust
    }

    /// The client id used in `initialize`.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The name that others see.
    pub(crate) fn title(&self) -> &str {
        &self.title
    }

    /// The bytes of the connection, to misbehave with.
    pub fn stream(&mut self) -> &mut UnixStream {
        match &mut self.wire {
            Wire::Socket(stream) => stream,
            Wire::Channel(_) => panic!("a device has no socket of the daemon"),
        }
    }

    /// The device's channel.
    pub fn channel(&mut self) -> &mut DeviceChannel {
        match &mut self.wire {
            Wire::Channel(channel) => channel,
            Wire::Socket(_) => panic!("a local client has no channel"),
        }
    }

    /// `initialize` as a client with this title; returns the result.
    pub fn initialize(&mut self, title: &str) -> Value {
        title.clone_into(&mut self.title);
        let id = self.id.clone();
        self.request(
            "initialize",
            json!({
                "channel": "ahp-root://",
                "protocolVersions": ["1.0.0"],
                "clientId": id,
                "clientInfo": {"name": "tests", "title": title},
            }),
        )
        .expect("initialize succeeds")
    }

    fn provide_environment(&mut self, home: &Home) {
        let payload = crate::foreign::provide_environment(home, 1);
        write_frame(self.stream(), CONTROL_REQUEST, 0, &payload).expect("the daemon reads");
        let (kind, _, _) = read_frame(self.stream()).expect("the daemon replies");
        assert_eq!(kind, CONTROL_REPLY);
    }

    /// Sends one JSON-RPC message, in chunks when it is large.
    pub fn send(&mut self, message: &Value) -> io::Result<()> {
        let bytes = serde_json::to_vec(message).unwrap();
        let stream = match &mut self.wire {
            Wire::Socket(stream) => stream,
            Wire::Channel(channel) => return channel.send(bytes).map_err(io::Error::other),
        };
        let mut chunks = bytes.chunks(CHUNK_BYTES).peekable();
        while let Some(chunk) = chunks.next() {
            let flags = if chunks.peek().is_some() { MORE } else { 0 };
            write_frame(stream, AHP, flags, chunk)?;
        }
        Ok(())
    }

    /// The next message from the daemon, or why there is none: it closed the
    /// connection, or said nothing until the deadline.
    pub fn receive(&mut self) -> Result<Value, String> {
        let stream = match &mut self.wire {
            Wire::Socket(stream) => stream,
            Wire::Channel(channel) => {
                let message = channel.receive()?;
                return Ok(serde_json::from_str(&message).expect("JSON"));
            }
        };
        let mut message = Vec::new();
        loop {
            match read_frame(stream) {
                Ok((AHP, flags, payload)) => {
                    message.extend(payload);
                    if flags & MORE == 0 {
                        return Ok(serde_json::from_slice(&message).expect("JSON"));
                    }
                }
                Ok((kind, ..)) => panic!("unexpected frame of kind {kind}"),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    return Err(format!("the daemon says nothing for {DEADLINE:?}"));
                }
                Err(_) => return Err("the daemon closed the connection".to_owned()),
            }
        }
    }

    /// Reads the next message from the daemon's socket and throws it away.
    pub fn discard(&mut self) -> io::Result<()> {
        loop {
            let (_, flags, _) = read_frame(self.stream())?;
            if flags & MORE == 0 {
                return Ok(());
            }
        }
    }

    /// Sends a request and waits for its response; notifications on the way
    /// are kept.
    pub fn request(&mut self, method: &str, params: Value) -> Result<Value, RpcError> {
        self.try_request(method, params)
            .unwrap_or_else(|why| panic!("{method}: {why}"))
    }

    /// The same on a connection that may end at any time.
    pub fn try_request(
        &mut self,
        method: &str,
        params: Value,
    ) -> Result<Result<Value, RpcError>, String> {
        let id = self.next_request;
        self.next_request += 1;
        self.send(&json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params}))
            .map_err(|error| error.to_string())?;
        loop {
            let message = self.receive()?;
            if message["id"] != json!(id) {
                self.inbox.push_back(message);
                continue;
            }
            return Ok(match message.get("error") {
                Some(error) => Err(RpcError {
                    code: error["code"].as_i64().unwrap_or_default(),
                    message: error["message"].as_str().unwrap_or_default().to_owned(),
                }),
                None => Ok(message["result"].clone()),
            });
        }
    }

    /// Dispatches an action given as JSON, also a malformed one; returns its
    /// client sequence number.
    pub fn dispatch(&mut self, channel: &str, action: &Value) -> i64 {
        let (seq, sent) = self.try_dispatch(channel, action);
        sent.expect("the daemon reads");
        seq
    }

    /// The same on a connection that may end at any time: whether it was sent says nothing about
    /// whether it arrived.
    pub fn try_dispatch(&mut self, channel: &str, action: &Value) -> (i64, io::Result<()>) {
        let seq = self.next_action;
        self.next_action += 1;
        let sent = self.send(&json!({
            "jsonrpc": "2.0",
            "method": "dispatchAction",
            "params": {"channel": channel, "clientSeq": seq, "action": action},
        }));
        (seq, sent)
    }

    /// The next notification, or why there is none.
    pub fn notification(&mut self) -> Result<Value, String> {
        match self.inbox.pop_front() {
            Some(message) => Ok(message),
            None => self.receive(),
        }
    }

    /// The next of the notifications that came while something else was awaited.
    pub(crate) fn kept_notification(&mut self) -> Option<Value> {
        self.inbox.pop_front()
    }

    /// Waits for a notification; those before it are dropped.
    pub fn wait_for(&mut self, what: &str, matches: impl Fn(&Value) -> bool) -> Value {
        let end = Instant::now() + DEADLINE;
        loop {
            let message = self
                .notification()
                .unwrap_or_else(|why| panic!("waiting for {what}: {why}"));
            if matches(&message) {
                return message;
            }
            assert!(Instant::now() < end, "never came: {what}");
        }
    }

    /// Waits for what became of an own action: nothing when it was applied,
    /// the reason when it was rejected.
    pub fn outcome(&mut self, seq: i64) -> Option<String> {
        let id = self.id.clone();
        let echo = self.wait_for("the echo of an action", |message| {
            let origin = &message["params"]["origin"];
            origin["clientId"] == json!(id) && origin["clientSeq"] == json!(seq)
        });
        echo["params"]["rejectionReason"]
            .as_str()
            .map(str::to_owned)
    }
}

/// The action of an `action` notification, typed.
pub(crate) fn as_action(message: &Value) -> Option<ActionEnvelope> {
    if message["method"] != "action" {
        return None;
    }
    serde_json::from_value(message["params"].clone()).ok()
}

fn write_frame(stream: &mut UnixStream, kind: u8, flags: u8, payload: &[u8]) -> io::Result<()> {
    let length = u32::try_from(payload.len() + 2).unwrap();
    let mut frame = length.to_be_bytes().to_vec();
    frame.extend([kind, flags]);
    frame.extend(payload);
    stream.write_all(&frame)
}

fn read_frame(stream: &mut UnixStream) -> io::Result<(u8, u8, Vec<u8>)> {
    let mut length = [0; 4];
    stream.read_exact(&mut length)?;
    let length = u32::from_be_bytes(length) as usize;
    assert!(
        (2..=CHUNK_BYTES + 2).contains(&length),
        "the daemon sent a frame of {length} bytes"
    );
    let mut frame = vec![0; length];
    stream.read_exact(&mut frame)?;
    let payload = frame.split_off(2);
    Ok((frame[0], frame[1], payload))
}
