//! One connection to a relay, from the first word to the end: who we are, which devices may come,
//! which pairings are open, the channels, and whether the other end still lives.
//!
//! What the relay was told is compared with what is the case, as often as that changes, so that
//! nothing depends on an order of events.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use link_proto::channel::refusal;
use link_proto::control::{
    self, CloseReason, FromMachine, Opener, PONG_TIMEOUT_MS, PROTOCOL, ToMachine,
    WATCHED_HEARTBEAT_MS,
};
use link_proto::frame;
use link_proto::ids::{DeviceId, PairingId};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

use super::Link;
use super::alarm::Alarm;
use super::api::{Access, RelayError, shown};
use super::channel::{self, Inbox};
use super::wire::{self, Message, Way, Wire};

/// As many channels as are open at once: what a relay opens to devices and to those who pair. More are refused.
const MAX_CHANNELS: usize = 64 + 8;
/// Most bytes of credit, whatever the relay says; so much may wait of each channel.
const MAX_WINDOW_BYTES: u32 = 4 * 1024 * 1024;
/// How long the relay has for its first word, and to take a message.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long a connection that is in doubt has to prove that it lives.
const PROOF: Duration = Duration::from_secs(3);
/// A clock that went on by so much more than this program ran: the machine slept.
const SLEPT: Duration = Duration::from_secs(15);

/// How a connection ended.
#[derive(Debug)]
pub(super) struct End {
    /// In words for people.
    pub(super) why: String,
    /// What follows from it.
    pub(super) kind: Kind,
    /// How long it was usable.
    pub(super) lasted: Duration,
    /// Which way to try first the next time.
    pub(super) prefer: Way,
}

/// What follows from the end of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Wait, then try again; not at all after one that was healthy.
    Failed,
    /// The machine slept: try again at once.
    Slept,
    /// The token is of no use any more.
    Unauthorized,
}

/// Connects and stays until something ends it. `up` is called when devices can come.
pub(super) async fn run(
    link: &Arc<Link>,
    client: &reqwest::Client,
    access: &Access,
    prefer: Way,
    up: impl FnOnce(),
) -> End {
    let ended = |why: String, kind| End {
        why,
        kind,
        lasted: Duration::ZERO,
        prefer: Way::WebSocket,
    };
    let mut wire = match wire::open(client, access, prefer).await {
        Ok(wire) => wire,
        Err(error @ RelayError::Unauthorized { .. }) => {
            return ended(error.to_string(), Kind::Unauthorized);
        }
        Err(error) => return ended(error.to_string(), Kind::Failed),
    };
    let terms = match greet(link, &mut wire).await {
        Ok(terms) => terms,
        Err(Silent::Mute) => {
            let way = wire.way;
            let mut end = ended("the relay said nothing".into(), Kind::Failed);
            if way == Way::WebSocket {
                // Something in between swallows what goes through a websocket.
                end.prefer = Way::LongPoll;
            }
            return end;
        }
        Err(Silent::Said(why)) => return ended(why, Kind::Failed),
    };
    let since = Instant::now();
    let mut connection = Connection::new(Arc::clone(link), wire, terms);
    let (why, kind) = match connection.tell().await {
        Ok(()) => {
            up();
            connection.serve().await
        }
        Err(why) => (why, Kind::Failed),
    };
    End {
        lasted: since.elapsed(),
        ..ended(why, kind)
    }
}

/// What the relay said of itself.
struct Terms {
    heartbeat: Duration,
    window_bytes: u32,
}

impl Terms {
    /// A relay that asks for the impossible gets something sensible.
    fn of(heartbeat_ms: u64, window_bytes: u32) -> Self {
        Self {
            heartbeat: Duration::from_millis(heartbeat_ms.clamp(1_000, 600_000)),
            window_bytes: window_bytes.min(MAX_WINDOW_BYTES),
        }
    }
}

enum Silent {
    Mute,
    Said(String),
}

async fn greet(link: &Link, wire: &mut Wire) -> Result<Terms, Silent> {
    let hello = FromMachine::Hello {
        protocol: PROTOCOL,
        name: link.machine.info.name.clone(),
        build: crate::BUILD.to_owned(),
    };
    send(&wire.outgoing, &hello).await.map_err(Silent::Said)?;
    let answer = async {
        loop {
            match wire.incoming.recv().await {
                Some(Ok(Message::Text(text))) => return control::decode::<ToMachine>(&text).ok(),
                Some(Ok(Message::Binary(_))) => {}
                Some(Err(_)) | None => return None,
            }
        }
    };
    match tokio::time::timeout(PATIENCE, answer).await {
        Ok(Some(ToMachine::Hello {
            heartbeat_ms,
            window_bytes,
            ..
        })) => Ok(Terms::of(heartbeat_ms, window_bytes)),
        Ok(Some(ToMachine::Refused { message })) => Err(Silent::Said(format!(
            "the relay refused: {}",
            shown(&message)
        ))),
        Ok(Some(_)) => Err(Silent::Said("the relay did not say hello".into())),
        Ok(None) | Err(_) => Err(Silent::Mute),
    }
}

async fn send(out: &mpsc::Sender<Message>, message: &FromMachine) -> Result<(), String> {
    let text = control::encode(message).map_err(|error| error.to_string())?;
    put(out, Message::Text(text)).await
}

async fn put(out: &mpsc::Sender<Message>, message: Message) -> Result<(), String> {
    match tokio::time::timeout(PATIENCE, out.send(message)).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(_)) => Err("the relay closed the link".into()),
        Err(_) => Err("the relay does not read".into()),
    }
}

struct OpenChannel {
    inbox: Inbox,
    /// Tells channels apart that had the same number.
    serial: u64,
}

/// What becomes of a channel that the relay opens.
#[derive(Debug)]
enum Admission {
    /// It has this place until its task has ended.
    Place(OwnedSemaphorePermit),
    /// There are as many as may be.
    Full,
    /// Its number is another channel's.
    InUse,
}

/// Whether one more channel may be opened. Those that ended count until their tasks have: a relay that opens
/// and closes them faster than they end must not fill the memory with tasks.
fn admit(number: u32, open: &HashMap<u32, OpenChannel>, places: &Arc<Semaphore>) -> Admission {
    if open.contains_key(&number) {
        return Admission::InUse;
    }
    match Arc::clone(places).try_acquire_owned() {
        Ok(place) => Admission::Place(place),
        Err(_) => Admission::Full,
    }
}

struct Connection {
    link: Arc<Link>,
    wire: Wire,
    terms: Terms,
    channels: HashMap<u32, OpenChannel>,
    /// One for each task of a channel.
    places: Arc<Semaphore>,
    serial: u64,
    told_devices: Option<HashSet<DeviceId>>,
    told_pairings: HashSet<PairingId>,
    /// Pairings the relay was told of before this ping: with its pong it has heard of them.
    unheard: Vec<(u64, PairingId)>,
    next_ping: Instant,
    pong_due: Option<Instant>,
    pings: u64,
    clocks: (Instant, SystemTime),
}

impl Connection {
    fn new(link: Arc<Link>, wire: Wire, terms: Terms) -> Self {
        Self {
            next_ping: Instant::now() + terms.heartbeat,
            link,
            wire,
            terms,
            channels: HashMap::new(),
            places: Arc::new(Semaphore::new(MAX_CHANNELS)),
            serial: 0,
            told_devices: None,
            told_pairings: HashSet::new(),
            unheard: Vec::new(),
            pong_due: None,
            pings: 0,
            clocks: (Instant::now(), SystemTime::now()),
        }
    }

    async fn serve(&mut self) -> (String, Kind) {
        // A channel that ends waits until its end is noted; there are at most so many.
        let (ended, mut endings) = mpsc::channel::<(u32, u64)>(MAX_CHANNELS);
        let mut devices = self.link.devices.watch();
        let mut pairings = self.link.pairings_changed.subscribe();
        let mut doubt = self.link.doubt.subscribe();
        pairings.mark_changed();
        let mut alarm = Alarm::new();
        loop {
            let wake = self.pong_due.unwrap_or(self.next_ping).min(self.next_ping);
            let done = tokio::select! {
                message = self.wire.incoming.recv() => match message {
                    Some(Ok(message)) => self.message(message, &ended).await,
                    Some(Err(why)) => Err((why, Kind::Failed)),
                    None => Err(("the relay closed the link".into(), Kind::Failed)),
                },
                Some((number, serial)) = endings.recv() => {
                    if self.channels.get(&number).is_some_and(|c| c.serial == serial) {
                        self.channels.remove(&number);
                    }
                    Ok(())
                }
                _ = devices.changed() => self.tell().await.map_err(|why| (why, Kind::Failed)),
                _ = pairings.changed() => self.tell().await.map_err(|why| (why, Kind::Failed)),
                _ = doubt.changed() => self.ping(PROOF).await.map_err(|why| (why, Kind::Failed)),
                () = alarm.until(wake) => self.beat().await,
            };
            if let Err(end) = done {
                return end;
            }
        }
    }

    async fn message(
        &mut self,
        message: Message,
        ended: &mpsc::Sender<(u32, u64)>,
    ) -> Result<(), (String, Kind)> {
        let failed = |why: String| (why, Kind::Failed);
        match message {
            Message::Binary(bytes) => {
                let (number, payload) = frame::decode(&bytes).map_err(|e| failed(e.to_string()))?;
                let payload = bytes.slice_ref(payload);
                let taken = match self.channels.get(&number) {
                    Some(channel) => channel.inbox.payload(payload),
                    // It ended here, and the relay does not know yet.
                    None => true,
                };
                self.or_overrun(number, taken).await.map_err(failed)
            }
            Message::Text(text) => {
                let message = control::decode(&text).map_err(|e| failed(e.to_string()))?;
                self.control(message, ended).await
            }
        }
    }

    async fn or_overrun(&mut self, number: u32, taken: bool) -> Result<(), String> {
        if taken {
            return Ok(());
        }
        self.channels.remove(&number);
        let reason = CloseReason::Overrun;
        let close = FromMachine::ChannelClose {
            channel: number,
            reason,
        };
        send(&self.wire.outgoing, &close).await
    }

    async fn control(
        &mut self,
        message: ToMachine,
        ended: &mpsc::Sender<(u32, u64)>,
    ) -> Result<(), (String, Kind)> {
        let failed = |why: String| (why, Kind::Failed);
        match message {
            ToMachine::Pong { n } => {
                if n == self.pings {
                    self.pong_due = None;
                }
                let heard: Vec<_> = self
                    .unheard
                    .extract_if(.., |(ping, _)| *ping <= n)
                    .collect();
                if !heard.is_empty() {
                    let heard = heard.into_iter().map(|(_, id)| id);
                    self.link.pairings_announced(heard);
                }
                Ok(())
            }
            ToMachine::ChannelOpened { channel, opener } => {
                let opened = self.open(channel, opener, ended);
                opened.await.map_err(failed)
            }
            ToMachine::ChannelClosed { channel, .. } => {
                // Its task notices.
                self.channels.remove(&channel);
                Ok(())
            }
            ToMachine::Window { channel, bytes } => {
                let open = self.channels.get(&channel);
                let taken = open.is_none_or(|c| c.inbox.grant(bytes));
                self.or_overrun(channel, taken).await.map_err(failed)
            }
            // A link that was healthy is made anew at once in any case.
            ToMachine::Draining {} => Err(failed("the relay is being replaced".into())),
            ToMachine::Refused { message } => {
                Err(failed(format!("the relay refused: {}", shown(&message))))
            }
            ToMachine::Hello { .. } | ToMachine::Unknown => Ok(()),
        }
    }

    async fn open(
        &mut self,
        number: u32,
        opener: Opener,
        ended: &mpsc::Sender<(u32, u64)>,
    ) -> Result<(), String> {
        let place = match admit(number, &self.channels, &self.places) {
            Admission::Place(place) => place,
            Admission::Full => return self.refuse(number).await,
            Admission::InUse => {
                return Err("the relay opened a channel that was open already".into());
            }
        };
        let out = self.wire.outgoing.clone();
        let (inbox, outlet) = channel::ends(number, self.terms.window_bytes, out);
        let (link, ended) = (Arc::clone(&self.link), ended.clone());
        self.serial += 1;
        let serial = self.serial;
        self.channels.insert(number, OpenChannel { inbox, serial });
        self.next_ping = self.next_ping.min(Instant::now() + self.interval());
        // It ends when its inbox is dropped, which this connection holds.
        self.link.tasks.spawn(async move {
            channel::run(link, opener, outlet).await;
            // Nobody keeps count any more when the connection is gone.
            let _ = ended.send((number, serial)).await;
            drop(place);
        });
        Ok(())
    }

    /// Refuses a channel that is not even begun. Whoever opens too many waits for the answer to each.
    async fn refuse(&self, number: u32) -> Result<(), String> {
        let words = refusal("this machine has as many channels open as it takes");
        let words = frame::encode(number, &words).map_err(|e| e.to_string())?;
        put(&self.wire.outgoing, Message::Binary(words.into())).await?;
        let close = FromMachine::ChannelClose {
            channel: number,
            reason: CloseReason::Failed,
        };
        send(&self.wire.outgoing, &close).await
    }

    fn interval(&self) -> Duration {
        match self.channels.is_empty() {
            true => self.terms.heartbeat,
            false => self
                .terms
                .heartbeat
                .min(Duration::from_millis(WATCHED_HEARTBEAT_MS)),
        }
    }

    /// A ping is due, or a pong is missing.
    async fn beat(&mut self) -> Result<(), (String, Kind)> {
        let (ran, went) = (self.clocks.0.elapsed(), self.clocks.1.elapsed());
        self.clocks = (Instant::now(), SystemTime::now());
        if went.is_ok_and(|went| went > ran + SLEPT) {
            return Err(("this machine slept".into(), Kind::Slept));
        }
        let now = Instant::now();
        if self.pong_due.is_some_and(|due| due <= now) {
            return Err(("the relay does not answer any more".into(), Kind::Failed));
        }
        if self.next_ping <= now {
            let patience = Duration::from_millis(PONG_TIMEOUT_MS);
            let sent = self.ping(patience).await;
            sent.map_err(|why| (why, Kind::Failed))?;
        }
        Ok(())
    }

    /// Asks the relay for a pong, which is to come in time.
    async fn ping(&mut self, patience: Duration) -> Result<(), String> {
        let now = Instant::now();
        self.pings += 1;
        self.next_ping = now + self.interval();
        let due = now + patience;
        self.pong_due = Some(self.pong_due.map_or(due, |before| before.min(due)));
        let ping = FromMachine::Ping { n: self.pings };
        send(&self.wire.outgoing, &ping).await
    }

    /// Tells the relay what it does not know yet of devices and pairings.
    async fn tell(&mut self) -> Result<(), String> {
        let trusted: HashSet<DeviceId> = self.link.devices.all().iter().map(|d| d.id).collect();
        let messages = match &self.told_devices {
            None => vec![FromMachine::Devices {
                device_ids: trusted.iter().copied().collect(),
            }],
            // A new device is told of on the channel that it paired on.
            Some(told) => told
                .difference(&trusted)
                .map(|id| FromMachine::DeviceRevoke { device_id: *id })
                .collect(),
        };
        self.told_devices = Some(trusted);
        for message in messages {
            send(&self.wire.outgoing, &message).await?;
        }
        let open = self.link.open_pairings();
        for (pairing_id, left) in &open {
            if self.told_pairings.insert(*pairing_id) {
                let message = FromMachine::PairingOpen {
                    pairing_id: *pairing_id,
                    expires_in_ms: u64::try_from(left.as_millis()).unwrap_or(0),
                };
                send(&self.wire.outgoing, &message).await?;
                self.pings += 1;
                self.unheard.push((self.pings, *pairing_id));
                send(&self.wire.outgoing, &FromMachine::Ping { n: self.pings }).await?;
            }
        }
        let is_open = |id: &PairingId| open.iter().any(|(open, _)| open == id);
        let over: Vec<PairingId> = self
            .told_pairings
            .iter()
            .filter(|id| !is_open(id))
            .copied()
            .collect();
        for pairing_id in over {
            self.told_pairings.remove(&pairing_id);
            send(
                &self.wire.outgoing,
                &FromMachine::PairingClose { pairing_id },
            )
            .await?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn channel() -> (OpenChannel, channel::Outlet) {
        let (inbox, outlet) = channel::ends(1, 1, mpsc::channel(1).0);
        (OpenChannel { inbox, serial: 1 }, outlet)
    }

    #[test]
    fn a_channel_has_its_place_until_its_task_has_ended() {
        let places = Arc::new(Semaphore::new(2));
        let mut open = HashMap::new();
        let mut tasks = Vec::new();
        for number in 1..=2 {
            let Admission::Place(place) = admit(number, &open, &places) else {
                panic!("there is room for channel {number}");
            };
            let (channel, outlet) = channel();
            open.insert(number, channel);
            tasks.push((outlet, place));
        }
        assert!(matches!(admit(2, &open, &places), Admission::InUse));
        assert!(matches!(admit(3, &open, &places), Admission::Full));
        // Closed by the relay; the tasks are still about to say something.
        open.clear();
        assert!(matches!(admit(3, &open, &places), Admission::Full));
        tasks.pop();
        assert!(matches!(admit(3, &open, &places), Admission::Place(_)));
    }

    #[test]
    fn what_a_relay_says_of_itself_is_taken_within_bounds() {
        let terms = |heartbeat_ms, window_bytes| {
            let terms = Terms::of(heartbeat_ms, window_bytes);
            (terms.heartbeat.as_millis(), terms.window_bytes)
        };
        assert_eq!(terms(30_000, 1024 * 1024), (30_000, 1024 * 1024));
        assert_eq!(terms(0, u32::MAX), (1_000, MAX_WINDOW_BYTES));
        assert_eq!(terms(u64::MAX, 0), (600_000, 0));
    }
}
