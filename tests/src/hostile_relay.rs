//! A relay that is not on anybody's side: it stands before the real one, sees
//! everything that passes, and may change, drop, keep, play back or invent any
//! of it, on any connection.
//!
//! The real relay is started with this one's address as its public one, so that
//! machines and devices know no other.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use futures_util::{SinkExt as _, StreamExt as _};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{accept_async, client_async};

use crate::listener::{Listener, asked_to_close, lock, read_head};
use crate::until;

/// Messages that may wait for one connection. A test that fills it has lost its way and fails.
const QUEUE: usize = 4096;

/// Whose connection a leg is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// A machine's.
    Machine,
    /// A device's.
    Device,
}

/// A message on its way, or one to be sent.
#[derive(Debug, Clone, PartialEq)]
pub struct Passing {
    /// The connection, counted from 0.
    pub leg: usize,
    /// Whose it is.
    pub end: End,
    /// From the end to the real relay, or the other way.
    pub to_relay: bool,
    /// The message.
    pub message: Message,
}

impl Passing {
    /// The payload and channel number of a frame; nothing for everything else.
    pub fn frame(&self) -> Option<(u32, &[u8])> {
        match &self.message {
            Message::Binary(bytes) => link_proto::frame::decode(bytes).ok(),
            _ => None,
        }
    }

    /// Whether it is a sealed message, past the handshake.
    pub fn is_sealed(&self) -> bool {
        self.frame().is_some_and(|(_, payload)| payload[0] == 1)
    }

    /// The same on its way, as another message.
    #[must_use]
    pub fn with(&self, message: Message) -> Self {
        Self {
            message,
            ..self.clone()
        }
    }

    /// The same frame with other bytes behind the channel number.
    #[must_use]
    pub fn with_payload(&self, payload: &[u8]) -> Self {
        let (channel, _) = self.frame().expect("a frame");
        self.with_frame(channel, payload)
    }

    /// A frame on the same way.
    #[must_use]
    pub fn with_frame(&self, channel: u32, payload: &[u8]) -> Self {
        let mut bytes = channel.to_be_bytes().to_vec();
        bytes.extend(payload);
        self.with(Message::binary(bytes))
    }
}

/// What becomes of a message: everything that is sent in its place.
type Rule = Box<dyn FnMut(Passing) -> Vec<Passing> + Send>;

struct Leg {
    end: End,
    queue: mpsc::Sender<(bool, Message)>,
    open: bool,
}

struct State {
    real: Option<SocketAddr>,
    rule: Rule,
    legs: Vec<Leg>,
    recorded: Vec<Passing>,
    /// HTTP, both ways, a connection an element.
    requests: HashMap<usize, Vec<u8>>,
    accepting: bool,
}

/// See the module.
pub struct HostileRelay {
    state: Arc<Mutex<State>>,
    // Dropped last: it ends all connections.
    listener: Listener,
}

impl HostileRelay {
    /// Listens on loopback, and passes everything on once it knows where to.
    pub fn listen() -> Self {
        let state = Arc::new(Mutex::new(State {
            real: None,
            rule: Box::new(|passing| vec![passing]),
            legs: Vec::new(),
            recorded: Vec::new(),
            requests: HashMap::new(),
            accepting: true,
        }));
        let shared = Arc::clone(&state);
        let mut number = 0;
        let listener = Listener::start(move |stream| {
            number += 1;
            let (number, state) = (number, Arc::clone(&shared));
            async move {
                if lock(&state).accepting {
                    serve(stream, number, state).await;
                }
            }
        });
        Self { state, listener }
    }

    /// Its address, which everybody takes for the relay's.
    pub fn url(&self) -> String {
        self.listener.url()
    }

    /// Where the real relay listens.
    pub fn pass_on_to(&self, real: SocketAddr) {
        lock(&self.state).real = Some(real);
    }

    /// What becomes of every message from now on. Without a rule it passes.
    pub fn rule(&self, rule: impl FnMut(Passing) -> Vec<Passing> + Send + 'static) {
        lock(&self.state).rule = Box::new(rule);
    }

    /// Passes everything again.
    pub fn behave(&self) {
        self.rule(|passing| vec![passing]);
    }

    /// Sends a message of its own.
    pub fn send(&self, passing: Passing) {
        deliver(&lock(&self.state), passing);
    }

    /// Every message that came so far.
    pub fn recorded(&self) -> Vec<Passing> {
        lock(&self.state).recorded.clone()
    }

    /// Every byte that came so far, whatever it belonged to.
    pub fn everything(&self) -> Vec<u8> {
        let state = lock(&self.state);
        let mut bytes: Vec<u8> = state.requests.values().flatten().copied().collect();
        for passing in &state.recorded {
            bytes.extend_from_slice(&passing.message.clone().into_data());
        }
        bytes
    }

    /// The newest connection of an end.
    pub fn newest(&self, end: End) -> usize {
        let state = lock(&self.state);
        let found = state
            .legs
            .iter()
            .rposition(|leg| leg.end == end && leg.open);
        found.unwrap_or_else(|| panic!("no connection of a {end:?}"))
    }

    /// Cuts every connection, and takes new ones only when `accepting`.
    pub fn cut(&self, accepting: bool) {
        let mut state = lock(&self.state);
        state.accepting = accepting;
        for leg in &mut state.legs {
            leg.open = false;
            // Closing its queue ends it.
            leg.queue = mpsc::channel(1).0;
        }
    }

    /// Waits until a message as described has come.
    pub fn wait_for(&self, what: &str, matches: impl Fn(&Passing) -> bool) -> Passing {
        until(what, || {
            lock(&self.state)
                .recorded
                .iter()
                .rev()
                .find(|passing| matches(passing))
                .cloned()
        })
    }
}

impl Drop for HostileRelay {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            return;
        }
        eprintln!("--- what the hostile relay saw");
        for passing in self.recorded() {
            let way = if passing.to_relay { "->" } else { "<-" };
            let what = match (passing.frame(), &passing.message) {
                (Some((channel, payload)), _) => {
                    format!(
                        "channel {channel}: {} bytes of kind {}",
                        payload.len(),
                        payload[0]
                    )
                }
                (None, message) => format!("{message:?}"),
            };
            eprintln!("{} {:?} {way} {what}", passing.leg, passing.end);
        }
        eprintln!("---");
    }
}

fn deliver(state: &State, passing: Passing) {
    let leg = &state.legs[passing.leg];
    if !leg.open {
        return;
    }
    match leg.queue.try_send((passing.to_relay, passing.message)) {
        Ok(()) | Err(mpsc::error::TrySendError::Closed(_)) => {}
        Err(mpsc::error::TrySendError::Full(_)) => panic!("too much waits for a connection"),
    }
}

async fn serve(stream: TcpStream, number: usize, state: Arc<Mutex<State>>) {
    let Ok(own) = stream.local_addr() else {
        return;
    };
    let Some(path) = peek_path(&stream).await else {
        return;
    };
    let Some(real) = lock(&state).real else {
        return;
    };
    let end = match path.split('?').next() {
        Some("/link/v1/machine") => End::Machine,
        Some("/link/v1/device") => End::Device,
        _ => return pass_bytes(stream, real, number, &state).await,
    };
    let Ok(upstream) = TcpStream::connect(real).await else {
        return;
    };
    let Ok((upstream, _)) = client_async(format!("ws://{own}{path}"), upstream).await else {
        return;
    };
    let Ok(downstream) = accept_async(stream).await else {
        return;
    };
    let (queue, mut queued) = mpsc::channel(QUEUE);
    let leg = {
        let mut state = lock(&state);
        state.legs.push(Leg {
            end,
            queue,
            open: true,
        });
        state.legs.len() - 1
    };
    let (mut to_relay, mut from_relay) = upstream.split();
    let (mut to_end, mut from_end) = downstream.split();
    loop {
        let came = tokio::select! {
            message = from_end.next() => message.map(|message| (true, message)),
            message = from_relay.next() => message.map(|message| (false, message)),
            sent = queued.recv() => {
                let Some((upwards, message)) = sent else { break };
                let sent = if upwards {
                    to_relay.send(message).await
                } else {
                    to_end.send(message).await
                };
                if sent.is_err() {
                    break;
                }
                continue;
            }
        };
        let Some((upwards, Ok(message))) = came else {
            break;
        };
        let mut state = lock(&state);
        let passing = Passing {
            leg,
            end,
            to_relay: upwards,
            message,
        };
        state.recorded.push(passing.clone());
        let instead = (state.rule)(passing);
        for passing in instead {
            deliver(&state, passing);
        }
    }
    lock(&state).legs[leg].open = false;
}

/// The path of a request whose head is not taken off the connection.
async fn peek_path(stream: &TcpStream) -> Option<String> {
    let mut head = [0; 2048];
    loop {
        let length = stream.peek(&mut head).await.ok()?;
        if length == 0 {
            return None;
        }
        let text = String::from_utf8_lossy(&head[..length]);
        if let Some((line, _)) = text.split_once("\r\n") {
            return line.split(' ').nth(1).map(str::to_owned);
        }
        tokio::task::yield_now().await;
    }
}

/// Passes one plain HTTP request on, keeping a copy. A connection carries no second one, which could be
/// a websocket that nobody looks into.
async fn pass_bytes(mut stream: TcpStream, real: SocketAddr, number: usize, state: &Mutex<State>) {
    let Ok(mut upstream) = TcpStream::connect(real).await else {
        return;
    };
    let Some(begin) = read_head(&mut stream).await else {
        return;
    };
    keep(state, number, &begin);
    if upstream.write_all(&asked_to_close(&begin)).await.is_err() {
        return;
    }
    let (mut from_end, mut to_end) = stream.split();
    let (mut from_relay, mut to_relay) = upstream.split();
    let (mut there, mut back) = ([0; 8192], [0; 8192]);
    loop {
        let (bytes, passed) = tokio::select! {
            read = from_end.read(&mut there) => match read {
                Ok(length @ 1..) => (&there[..length], to_relay.write_all(&there[..length]).await),
                _ => return,
            },
            read = from_relay.read(&mut back) => match read {
                Ok(length @ 1..) => (&back[..length], to_end.write_all(&back[..length]).await),
                _ => return,
            },
        };
        keep(state, number, bytes);
        if passed.is_err() {
            return;
        }
    }
}

fn keep(state: &Mutex<State>, number: usize, bytes: &[u8]) {
    let mut state = lock(state);
    let copy = state.requests.entry(number).or_default();
    copy.extend_from_slice(bytes);
}
