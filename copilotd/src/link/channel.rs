//! One channel to a device: the handshake, then the device as a client of the host, or a pairing.
//!
//! Nothing that a device sends reaches the host before it opened under keys that only this device
//! and this machine have. A channel that breaks a rule ends; it never harms another.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use link_proto::channel::{
    Accepted, Answering, ChannelError, MachineControl, PairedMachine, Received, Sealed, refusal,
};
use link_proto::control::{self, CloseReason, FromMachine, Opener};
use link_proto::frame;
use link_proto::ids::{DeviceId, PairingId};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot, watch};

use super::Link;
use super::pairing::{Verdict, Waiting};
use super::wire::Message;
use crate::host::identity::Device;
use crate::host::outbound::Next;
use crate::host::{Client, rpc};

/// How long a device has for its first message.
const HANDSHAKE_PATIENCE: Duration = Duration::from_secs(10);
/// How long a device that is cut off has to take its last words.
const GOODBYE: Duration = Duration::from_millis(500);
/// While more waits for a device, so do its requests, and with them its credit. Far less than what a
/// device is cut off at.
const MAX_WAITING_BYTES: usize = 2 * 1024 * 1024;
/// What a message that waits costs beside its bytes.
const MESSAGE_COST: usize = 64;

/// What the relay says to one channel.
enum Incoming {
    Payload(Bytes, Room),
    Grant(
        u32,
        #[expect(dead_code, reason = "given back when dropped")] Room,
    ),
}

/// What a message takes of an inbox until it is worked off.
struct Room(#[expect(dead_code, reason = "given back when dropped")] OwnedSemaphorePermit);

/// The connection's end of a channel. Dropping it ends the channel.
pub(super) struct Inbox {
    sender: mpsc::UnboundedSender<Incoming>,
    /// Bounds what waits. A device that keeps to its credit never finds it used up.
    room: Arc<Semaphore>,
}

/// The channel's own end.
pub(super) struct Outlet {
    number: u32,
    out: mpsc::Sender<Message>,
    inbox: mpsc::UnboundedReceiver<Incoming>,
    window_bytes: u32,
}

/// Both ends of a channel of this number.
pub(super) fn ends(number: u32, window_bytes: u32, out: mpsc::Sender<Message>) -> (Inbox, Outlet) {
    let (sender, inbox) = mpsc::unbounded_channel();
    let room = usize::try_from(window_bytes).unwrap_or(usize::MAX / 4);
    let room = Arc::new(Semaphore::new(room.saturating_mul(2)));
    let outlet = Outlet {
        number,
        out,
        inbox,
        window_bytes,
    };
    (Inbox { sender, room }, outlet)
}

impl Inbox {
    /// Passes a payload on; `false` when more waits than was allowed to be sent.
    pub(super) fn payload(&self, payload: Bytes) -> bool {
        let room = self.take(payload.len());
        room.is_some_and(|room| self.sender.send(Incoming::Payload(payload, room)).is_ok())
    }

    /// Passes credit on, in the same way.
    pub(super) fn grant(&self, bytes: u32) -> bool {
        let room = self.take(0);
        room.is_some_and(|room| self.sender.send(Incoming::Grant(bytes, room)).is_ok())
    }

    fn take(&self, bytes: usize) -> Option<Room> {
        let cost = u32::try_from(bytes + MESSAGE_COST).ok()?;
        let room = Arc::clone(&self.room).try_acquire_many_owned(cost);
        room.ok().map(Room)
    }
}

/// Why a channel is over before it was open: words for the device's person.
struct NotOpened(String);

/// Runs a channel to its end.
pub(super) async fn run(link: Arc<Link>, opener: Opener, mut outlet: Outlet) {
    let ended = match opener {
        Opener::Device(id) => device(&link, id, &mut outlet).await,
        Opener::Pairing(id) => pairing(&link, id, &mut outlet).await,
    };
    let reason = match ended {
        Ok(reason) => reason,
        Err(NotOpened(words)) => {
            outlet.refuse(&words).await;
            CloseReason::Failed
        }
    };
    outlet.close(reason).await;
}

async fn device(
    link: &Arc<Link>,
    id: DeviceId,
    outlet: &mut Outlet,
) -> Result<CloseReason, NotOpened> {
    let unknown = || NotOpened("this machine does not know this device; pair it again".into());
    // From here on every change is seen.
    let mut changes = link.devices.watch();
    let paired = link.devices.find(id).ok_or_else(unknown)?;
    if !link.may_try(id) {
        let words = "this device tried too often; wait a minute";
        return Err(NotOpened(words.into()));
    }
    let first = outlet.first().await?;
    let accepted = outlet.answering(link).device(&paired.key, &first);
    let Accepted { channel, reply, .. } = accepted.map_err(not_opened)?;
    if !outlet.send_payload(&reply).await {
        return Ok(CloseReason::Gone);
    }
    let mut open = Open {
        link,
        channel,
        device: Device {
            id: id.to_string(),
            name: paired.name,
        },
        client: None,
        requests: VecDeque::new(),
    };
    let reason = loop {
        if let Err(reason) = open.step(outlet, &mut changes).await {
            break reason;
        }
        if link.devices.find(id).is_none() {
            open.say_goodbye(outlet).await;
            break CloseReason::Revoked;
        }
    };
    if let Some(client) = open.client {
        tracing::info!(client = client.id(), device = %id, reason = reason.as_str(), "a device left");
        link.host.disconnect(&client).await;
    }
    Ok(reason)
}

/// An open channel of a device.
struct Open<'a> {
    link: &'a Arc<Link>,
    channel: Sealed,
    device: Device,
    /// The device as the host knows it, once something opened: before that it may be a replay.
    client: Option<Arc<Client>>,
    /// What came and is not handled yet.
    requests: VecDeque<(String, Room)>,
}

impl Open<'_> {
    /// Ends when the host wants that. Sends a message when there is one and credit for it, otherwise
    /// does the next thing. What came is always worked off whole.
    async fn step(
        &mut self,
        outlet: &mut Outlet,
        changes: &mut watch::Receiver<()>,
    ) -> Result<(), CloseReason> {
        if let Some(last) = self.client.as_ref().and_then(|c| c.outbound().last_words()) {
            return Err(self.end(last, outlet).await);
        }
        let frame = self.channel.next_frame(outlet.number);
        if let Some(frame) = frame.map_err(|e| failed(&e))? {
            return match outlet.send(Message::Binary(frame.into())).await {
                true => Ok(()),
                false => Err(CloseReason::Gone),
            };
        }
        if let Some((request, room)) = self.next_request() {
            return self.handle(&request, room, outlet).await;
        }
        let drained = self.channel.is_drained();
        let next = async {
            match &self.client {
                Some(client) if drained => client.outbound().next().await,
                // Nothing joins what waits for credit, but it is heard that nothing will.
                Some(client) => Next::Close(client.outbound().closed().await),
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            incoming = outlet.inbox.recv() => match incoming {
                None => Err(CloseReason::Gone),
                Some(Incoming::Grant(bytes, _)) => {
                    self.channel.grant(bytes);
                    Ok(())
                }
                Some(Incoming::Payload(payload, room)) => self.payload(&payload, room, outlet).await,
            },
            // The caller looks whether it is still trusted; that the list is gone means the end.
            changed = changes.changed() => changed.map_err(|_| CloseReason::Gone),
            next = next => match next {
                Next::Send(messages) => messages.into_iter().try_for_each(|m| self.queue(m)),
                Next::Close(last) => Err(self.end(last, outlet).await),
            },
        }
    }

    /// The request whose turn it is, unless too much waits for the device already.
    fn next_request(&mut self) -> Option<(String, Room)> {
        let waiting = self.client.as_ref()?.outbound().waiting_bytes();
        match waiting > MAX_WAITING_BYTES {
            true => None,
            false => self.requests.pop_front(),
        }
    }

    async fn end(&mut self, last: Bytes, outlet: &mut Outlet) -> CloseReason {
        if let Err(reason) = self.queue(last) {
            return reason;
        }
        // A device that does not read gets no last words.
        let _ = tokio::time::timeout(GOODBYE, self.flush(outlet)).await;
        CloseReason::Done
    }

    async fn payload(
        &mut self,
        payload: &[u8],
        room: Room,
        outlet: &Outlet,
    ) -> Result<(), CloseReason> {
        let received = self.channel.receive(payload).map_err(|e| failed(&e))?;
        self.client.get_or_insert_with(|| {
            let client = self.link.host.connect_device(self.device.clone());
            tracing::info!(client = client.id(), device = %self.device.id, "a device came");
            client
        });
        match received {
            Some(Received::Ahp(request)) => {
                self.requests.push_back((request, room));
                Ok(())
            }
            Some(Received::Control(_)) | None => self.give_back(outlet).await,
        }
    }

    async fn handle(
        &mut self,
        request: &str,
        room: Room,
        outlet: &Outlet,
    ) -> Result<(), CloseReason> {
        if let Some(client) = &self.client
            && let Err(reason) = self.link.host.handle(client, request.as_bytes()).await
        {
            client.outbound().close(reason);
        }
        drop(room);
        self.give_back(outlet).await
    }

    /// Gives credit back, once everything is worked off.
    async fn give_back(&mut self, outlet: &Outlet) -> Result<(), CloseReason> {
        if !self.requests.is_empty() {
            return Ok(());
        }
        match self.channel.give_back() {
            Some(bytes) => outlet.window(bytes).await,
            None => Ok(()),
        }
    }

    fn queue(&mut self, message: Bytes) -> Result<(), CloseReason> {
        match self.channel.send_ahp(message.clone()) {
            Ok(()) => Ok(()),
            Err(ChannelError::TooLarge { .. }) => {
                let error = rpc::too_large(&message);
                self.channel.send_ahp(error).map_err(|e| failed(&e))
            }
            Err(error) => Err(failed(&error)),
        }
    }

    async fn flush(&mut self, outlet: &mut Outlet) {
        flush(&mut self.channel, outlet).await;
    }

    async fn say_goodbye(&mut self, outlet: &mut Outlet) {
        let message = "this device was revoked at the machine".into();
        let revoked = MachineControl::Revoked { message };
        if self.channel.send_control(&revoked).is_ok() {
            // A device that does not read gets no last words.
            let _ = tokio::time::timeout(GOODBYE, self.flush(outlet)).await;
        }
    }
}

/// Sends what there is credit for, waiting for more until all is sent.
async fn flush(channel: &mut Sealed, outlet: &mut Outlet) {
    loop {
        match channel.next_frame(outlet.number) {
            Ok(Some(frame)) => {
                if !outlet.send(Message::Binary(frame.into())).await {
                    return;
                }
            }
            Ok(None) if !channel.is_drained() => match outlet.inbox.recv().await {
                Some(Incoming::Grant(bytes, _)) => channel.grant(bytes),
                Some(Incoming::Payload(..)) => {}
                None => return,
            },
            _ => return,
        }
    }
}

async fn pairing(
    link: &Arc<Link>,
    id: PairingId,
    outlet: &mut Outlet,
) -> Result<CloseReason, NotOpened> {
    let first = outlet.first().await?;
    let secret = link.knock(id).map_err(|words| NotOpened(words.into()))?;
    let accepted = outlet.answering(link).pairing(id, &secret, &first);
    let Accepted {
        mut channel,
        device,
        reply,
    } = accepted.map_err(not_opened)?;
    if !outlet.send_payload(&reply).await {
        return Ok(CloseReason::Gone);
    }
    let (verdict, mut heard) = oneshot::channel();
    let waiting = Waiting {
        code: channel.code(),
        key: channel.peer(),
        name: device.name,
        verdict,
    };
    link.wait_for_code(id, waiting);
    let verdict = loop {
        tokio::select! {
            verdict = &mut heard => match verdict {
                Ok(verdict) => break verdict,
                Err(_) => return Ok(CloseReason::Done),
            },
            incoming = outlet.inbox.recv() => match incoming {
                // It has nothing to say here; that what it says opens is all that matters.
                Some(Incoming::Payload(payload, _)) if channel.receive(&payload).is_ok() => {}
                Some(Incoming::Grant(bytes, _)) => channel.grant(bytes),
                _ => {
                    drop(heard);
                    link.device_left();
                    return Ok(CloseReason::Gone);
                }
            },
        }
    };
    let last = match verdict {
        Verdict::Paired { device, session } => {
            let admit = FromMachine::DeviceAdmit {
                channel: outlet.number,
                device_id: device.id,
                name: device.name,
            };
            outlet.control(&admit).await;
            MachineControl::Paired {
                device_id: device.id,
                machine: PairedMachine {
                    name: link.machine.info.name.clone(),
                },
                session,
            }
        }
        Verdict::Refused(refused) => MachineControl::Refused {
            reason: refused.reason,
            message: refused.message.into(),
            tries_left: refused.tries_left,
        },
    };
    if channel.send_control(&last).is_ok() {
        // A device that does not read gets no last words.
        let _ = tokio::time::timeout(GOODBYE, flush(&mut channel, outlet)).await;
    }
    Ok(CloseReason::Done)
}

impl Outlet {
    fn answering<'a>(&self, link: &'a Link) -> Answering<'a> {
        Answering {
            machine_id: link.machine.id,
            machine_key: &link.machine.key,
            info: &link.machine.info,
            window_bytes: self.window_bytes,
        }
    }

    /// The first payload of the device.
    async fn first(&mut self) -> Result<Bytes, NotOpened> {
        let first = async {
            loop {
                match self.inbox.recv().await {
                    Some(Incoming::Payload(payload, _)) => return Some(payload),
                    Some(Incoming::Grant(..)) => {}
                    None => return None,
                }
            }
        };
        let first = tokio::time::timeout(HANDSHAKE_PATIENCE, first).await;
        let first = first.map_err(|_| NotOpened("the device said nothing".into()))?;
        first.ok_or_else(|| NotOpened("the device went away".into()))
    }

    /// `false` when there is no link any more.
    async fn send(&self, message: Message) -> bool {
        self.out.send(message).await.is_ok()
    }

    async fn send_payload(&self, payload: &[u8]) -> bool {
        match frame::encode(self.number, payload) {
            Ok(message) => self.send(Message::Binary(message.into())).await,
            Err(_) => false,
        }
    }

    async fn control(&self, message: &FromMachine) -> bool {
        match control::encode(message) {
            Ok(text) => self.send(Message::Text(text)).await,
            Err(_) => false,
        }
    }

    async fn window(&self, bytes: u32) -> Result<(), CloseReason> {
        let channel = self.number;
        match self.control(&FromMachine::Window { channel, bytes }).await {
            true => Ok(()),
            false => Err(CloseReason::Gone),
        }
    }

    async fn refuse(&self, words: &str) {
        self.send_payload(&refusal(words)).await;
    }

    async fn close(&self, reason: CloseReason) {
        let channel = self.number;
        self.control(&FromMachine::ChannelClose { channel, reason })
            .await;
    }
}

fn not_opened(error: ChannelError) -> NotOpened {
    tracing::warn!(%error, "a handshake failed");
    NotOpened(match error {
        ChannelError::NoCommonVersion => error.to_string(),
        // What exactly was wrong is nobody's business.
        _ => "the handshake failed; pair this device again".into(),
    })
}

fn failed(error: &ChannelError) -> CloseReason {
    tracing::warn!(%error, "a channel broke");
    CloseReason::Failed
}
