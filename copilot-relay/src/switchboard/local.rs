//! The switchboard of one process: everything under one short lock, every message straight into the outbox of
//! its receiver.

use std::collections::HashMap;
use std::mem::discriminant;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use jiff::Timestamp;
use link_proto::control::{CloseReason, OpenRefusal, Opener, ToDevice, ToMachine};
use link_proto::frame;
use link_proto::ids::{DeviceId, MachineId, PairingId};
use link_proto::keys::Token;

use super::channel::{Channel, ChannelId, End, Side};
use super::ledger::Ledger;
use super::outbox::Outbox;
use super::presence::{Online, Reach, entry};
use super::{Party, SocketId, Switchboard, TooManySockets};
use crate::bucket::Buckets;
use crate::clock::Clock;
use crate::limits::Limits;
use crate::metrics::{Metrics, Present, Reason};
use crate::store::{Device, Machine};

/// The [`Switchboard`] of a single relay.
#[derive(Debug)]
pub struct Local {
    state: Mutex<State>,
    clock: Clock,
    limits: Limits,
    metrics: Arc<Metrics>,
}

/// Parties whose rate of opening channels is remembered.
const REMEMBERED_PARTIES: usize = 65_536;

#[derive(Debug)]
struct State {
    last_socket: u64,
    last_channel: u64,
    sockets: HashMap<SocketId, Socket>,
    machines: HashMap<MachineId, Online>,
    devices: HashMap<DeviceId, Vec<SocketId>>,
    pairings: HashMap<PairingId, Pairing>,
    /// How many sockets of each pairing there are.
    pairing_sockets: HashMap<PairingId, usize>,
    channels: HashMap<ChannelId, Channel>,
    /// How many channels somebody may open now, with however many sockets.
    opens: Buckets<Opener>,
    /// How many may be opened to a machine now, by whomever.
    opens_at: Buckets<MachineId>,
}

#[derive(Debug)]
struct Socket {
    party: At,
    outbox: Arc<Outbox>,
    channels: HashMap<u32, ChannelId>,
    last_number: u32,
}

/// Who is at a socket, with what only its kind has.
#[derive(Debug)]
enum At {
    Machine(MachineId),
    Device(Device, Reach),
    Pairing(PairingId),
}

#[derive(Debug)]
struct Pairing {
    machine: MachineId,
    expires: Instant,
}

/// Why a channel is not opened.
type Refused = (OpenRefusal, &'static str);

impl Local {
    /// Nobody is connected.
    #[must_use]
    pub fn new(clock: Clock, limits: Limits, metrics: Arc<Metrics>) -> Self {
        let state = State {
            last_socket: 0,
            last_channel: 0,
            sockets: HashMap::new(),
            machines: HashMap::new(),
            devices: HashMap::new(),
            pairings: HashMap::new(),
            pairing_sockets: HashMap::new(),
            channels: HashMap::new(),
            opens: Buckets::new(limits.channel_opens, REMEMBERED_PARTIES),
            opens_at: Buckets::new(limits.channel_opens_at_machine, REMEMBERED_PARTIES),
        };
        Self {
            state: Mutex::new(state),
            clock,
            limits,
            metrics,
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts an attempt to open a channel.
    fn pace(&self, state: &mut State, socket: SocketId) -> Result<(), Refused> {
        let opener = match state.sockets.get(&socket).map(|at| &at.party) {
            Some(At::Device(device, _)) => Opener::Device(device.id),
            Some(At::Pairing(pairing)) => Opener::Pairing(*pairing),
            Some(At::Machine(_)) | None => return Ok(()),
        };
        let paced = state.opens.take(opener, self.clock.now());
        paced.map_err(|_| self.too_often())
    }

    /// Counts a channel that is about to be opened: it costs its machine a message or two, which it has to read
    /// or is cut, whoever they come from.
    fn pace_at(&self, state: &mut State, machine: MachineId) -> Result<(), Refused> {
        let paced = state.opens_at.take(machine, self.clock.now());
        paced.map_err(|_| self.too_often())
    }

    fn too_often(&self) -> Refused {
        self.metrics.refuse(Reason::Rate);
        (
            OpenRefusal::Busy,
            "Channels are opened too often. Wait a little.",
        )
    }

    /// Why a device gets no channel, or the machine's socket and who the machine is told it is.
    fn admit_channel(
        &self,
        state: &State,
        socket: SocketId,
        wanted: Option<MachineId>,
    ) -> Result<(MachineId, SocketId, Opener), Refused> {
        let from = state.sockets.get(&socket).ok_or((
            OpenRefusal::Forbidden,
            "This socket has ended. Connect again.",
        ))?;
        let limits = &self.limits;
        let (machine, opener, most) = match &from.party {
            At::Machine(_) => {
                return Err((OpenRefusal::Forbidden, "Only devices open channels."));
            }
            At::Device(device, reach) => {
                let machine = wanted.filter(|machine| reach.has(*machine)).ok_or((
                    OpenRefusal::Unknown,
                    "There is no such machine, or this device is not paired with it.",
                ))?;
                (
                    machine,
                    Opener::Device(device.id),
                    limits.channels_per_device,
                )
            }
            At::Pairing(pairing) => {
                let machine = state.machine_of(*pairing, self.clock.now()).ok_or((
                    OpenRefusal::Unknown,
                    "This pairing link is not open any more. Make a new one on the machine: copilot devices pair",
                ))?;
                (machine, Opener::Pairing(*pairing), 1)
            }
        };
        let online = state.machines.get(&machine).ok_or((
            OpenRefusal::Offline,
            "The machine is not connected to the relay.",
        ))?;
        // Those of pairings are counted for themselves: neither keeps the other out.
        let (mut of_kind, mut of_opener) = (0, 0);
        let at_machine = state.sockets.get(&online.socket);
        for id in at_machine.iter().flat_map(|at| at.channels.values()) {
            if let Some(other) = state.channels.get(id) {
                let is_of_kind = discriminant(&other.opener) == discriminant(&opener);
                of_kind += usize::from(is_of_kind);
                of_opener += usize::from(other.opener == opener);
            }
        }
        let (most_of_kind, most_of_opener) = match opener {
            Opener::Device(_) => (limits.channels_per_machine, limits.channels_per_device),
            Opener::Pairing(_) => (limits.pairing_channels_per_machine, usize::MAX),
        };
        if from.channels.len() >= most || of_opener >= most_of_opener || of_kind >= most_of_kind {
            self.metrics.refuse(Reason::Full);
            return Err((
                OpenRefusal::Busy,
                "As many channels are open already as there may be. Close another page or device first.",
            ));
        }
        Ok((machine, online.socket, opener))
    }
}

impl State {
    fn machine_of(&self, pairing: PairingId, now: Instant) -> Option<MachineId> {
        let open = self.pairings.get(&pairing)?;
        (open.expires > now).then_some(open.machine)
    }

    /// The channel with this number at this socket, and which end of it the socket is.
    fn find(&self, socket: SocketId, number: u32) -> Option<(ChannelId, Side)> {
        let at = self.sockets.get(&socket)?;
        let side = match at.party {
            At::Machine(_) => Side::Machine,
            At::Device(..) | At::Pairing(_) => Side::Device,
        };
        Some((*at.channels.get(&number)?, side))
    }

    fn number(&mut self, socket: SocketId, channel: ChannelId) -> Option<u32> {
        let at = self.sockets.get_mut(&socket)?;
        at.last_number = at.last_number.checked_add(1)?;
        at.channels.insert(at.last_number, channel);
        Some(at.last_number)
    }

    /// Ends a channel and tells both ends.
    fn end(&mut self, id: ChannelId, reason: CloseReason, message: &str) {
        let Some(channel) = self.channels.remove(&id) else {
            return;
        };
        for side in [Side::Machine, Side::Device] {
            let End { socket, number } = channel.end(side);
            let Some(at) = self.sockets.get_mut(&socket) else {
                continue;
            };
            at.channels.remove(&number);
            let (channel, message) = (number, message.to_owned());
            match side {
                Side::Machine => at.outbox.say(&ToMachine::ChannelClosed {
                    channel,
                    reason,
                    message,
                }),
                Side::Device => at.outbox.say(&ToDevice::ChannelClosed {
                    channel,
                    reason,
                    message,
                }),
            }
        }
    }

    fn end_all(
        &mut self,
        which: impl Fn(&Channel) -> bool,
        reason: CloseReason,
        message: &str,
    ) -> usize {
        let ids: Vec<ChannelId> = self
            .channels
            .iter()
            .filter(|(_, channel)| which(channel))
            .map(|(id, _)| *id)
            .collect();
        for id in &ids {
            self.end(*id, reason, message);
        }
        ids.len()
    }

    /// Tells every device that may reach the machine what it is like now.
    fn announce(&self, machine: &Machine, online: bool) {
        for socket in self.sockets.values() {
            if let At::Device(_, reach) = &socket.party
                && reach.has(machine.id)
            {
                let changed = ToDevice::MachineChanged(entry(machine, online));
                socket.outbox.say(&changed);
            }
        }
    }

    fn forget(&mut self, id: SocketId, reason: CloseReason, message: &str) -> Option<Socket> {
        let channels: Vec<ChannelId> = self.sockets.get(&id)?.channels.values().copied().collect();
        let socket = self.sockets.remove(&id)?;
        for channel in channels {
            self.end(channel, reason, message);
        }
        if let At::Device(device, _) = &socket.party
            && let Some(sockets) = self.devices.get_mut(&device.id)
        {
            sockets.retain(|other| *other != id);
            if sockets.is_empty() {
                self.devices.remove(&device.id);
            }
        }
        if let At::Pairing(pairing) = &socket.party
            && let Some(sockets) = self.pairing_sockets.get_mut(pairing)
        {
            *sockets -= 1;
            if *sockets == 0 {
                self.pairing_sockets.remove(pairing);
            }
        }
        Some(socket)
    }

    /// Takes a machine from a socket of a device; a socket that is left with none is of no use.
    fn take_away(&mut self, socket: SocketId, machine: MachineId) {
        let Some(at) = self.sockets.get_mut(&socket) else {
            return;
        };
        let At::Device(_, reach) = &mut at.party else {
            return;
        };
        if reach.lose(machine) {
            at.outbox.say(&ToDevice::MachineRemoved {
                machine_id: machine,
            });
            if reach.is_nothing() {
                unpaired(&at.outbox);
            }
        }
    }
}

/// The last words to a device that reaches nothing any more.
fn unpaired(outbox: &Outbox) {
    outbox.say(&ToDevice::Refused {
        message: "This device is not paired with any machine any more. Pair it again: copilot devices pair"
            .to_owned(),
    });
    outbox.close();
}

impl Switchboard for Local {
    fn join(&self, party: Party, outbox: Arc<Outbox>) -> Result<SocketId, TooManySockets> {
        let mut state = self.lock();
        if state.sockets.len() >= self.limits.sockets {
            return Err(TooManySockets);
        }
        state.last_socket += 1;
        let id = SocketId(state.last_socket);
        let party = match party {
            Party::Machine(machine) => {
                let machine_id = machine.id;
                let machine = Machine {
                    since: Timestamp::now(),
                    ..machine
                };
                state.announce(&machine, true);
                let online = Online {
                    socket: id,
                    machine,
                };
                if let Some(older) = state.machines.insert(machine_id, online)
                    && let Some(older) = state.forget(
                        older.socket,
                        CloseReason::Gone,
                        "The machine connected again.",
                    )
                {
                    older.outbox.cut(&ToMachine::Refused {
                        message: "This machine connected again; only its newest connection is served. \
                                  If you did not restart it, another copy of its data folder is in use."
                            .to_owned(),
                    });
                }
                At::Machine(machine_id)
            }
            Party::Device(device) => {
                let sockets = state.devices.entry(device.id).or_default();
                if sockets.len() >= self.limits.sockets_per_device {
                    return Err(TooManySockets);
                }
                sockets.push(id);
                At::Device(device, Reach::loading())
            }
            Party::Pairing(pairing) => {
                let sockets = state.pairing_sockets.entry(pairing).or_default();
                if *sockets >= self.limits.sockets_per_pairing {
                    return Err(TooManySockets);
                }
                *sockets += 1;
                At::Pairing(pairing)
            }
        };
        state.sockets.insert(
            id,
            Socket {
                party,
                outbox,
                channels: HashMap::new(),
                last_number: 0,
            },
        );
        Ok(id)
    }

    fn leave(&self, socket: SocketId) -> bool {
        let mut state = self.lock();
        let gone = state.forget(socket, CloseReason::Gone, "The other end has gone.");
        let Some(Socket {
            party: At::Machine(machine),
            ..
        }) = gone
        else {
            return false;
        };
        if state.machines.get(&machine).map(|online| online.socket) != Some(socket) {
            return false;
        }
        state
            .pairings
            .retain(|_, pairing| pairing.machine != machine);
        if let Some(online) = state.machines.remove(&machine) {
            let machine = Machine {
                since: Timestamp::now(),
                ..online.machine
            };
            state.announce(&machine, false);
        }
        true
    }

    fn show_machines(&self, socket: SocketId, machines: Vec<Machine>) {
        let mut state = self.lock();
        let state = &mut *state;
        let Some(at) = state.sockets.get_mut(&socket) else {
            return;
        };
        let At::Device(_, reach) = &mut at.party else {
            return;
        };
        let seen = reach.settle(machines);
        let entries = seen
            .iter()
            .map(|machine| match state.machines.get(&machine.id) {
                Some(online) => entry(&online.machine, true),
                None => entry(machine, false),
            })
            .collect();
        at.outbox.say(&ToDevice::Machines { machines: entries });
        if reach.is_nothing() {
            unpaired(&at.outbox);
        }
    }

    fn open(&self, socket: SocketId, request: u64, wanted: Option<MachineId>) {
        let mut state = self.lock();
        let admitted = self
            .pace(&mut state, socket)
            .and_then(|()| self.admit_channel(&state, socket, wanted))
            .and_then(|admitted| {
                self.pace_at(&mut state, admitted.0)?;
                Ok(admitted)
            });
        let (machine_id, machine, opener) = match admitted {
            Ok(admitted) => admitted,
            Err((reason, message)) => {
                if let Some(at) = state.sockets.get(&socket) {
                    at.outbox.say(&ToDevice::ChannelRefused {
                        request,
                        reason,
                        message: message.to_owned(),
                    });
                }
                return;
            }
        };
        state.last_channel += 1;
        let id = ChannelId(state.last_channel);
        // Both sockets are there, and four thousand million channels on one would take years.
        let (Some(at_machine), Some(at_device)) =
            (state.number(machine, id), state.number(socket, id))
        else {
            return;
        };
        let ledger = || {
            Ledger::new(
                self.limits.window_bytes.into(),
                self.limits.waiting_messages,
            )
        };
        state.channels.insert(
            id,
            Channel {
                machine_id,
                machine: End {
                    socket: machine,
                    number: at_machine,
                },
                device: End {
                    socket,
                    number: at_device,
                },
                opener,
                admitted: None,
                from_machine: ledger(),
                from_device: ledger(),
                active: self.clock.now(),
                spoken: false,
            },
        );
        self.metrics.channels.increment();
        if let Some(at) = state.sockets.get(&machine) {
            at.outbox.say(&ToMachine::ChannelOpened {
                channel: at_machine,
                opener,
            });
        }
        if let Some(at) = state.sockets.get(&socket) {
            at.outbox.say(&ToDevice::ChannelOpened {
                request,
                channel: at_device,
                machine_id,
            });
        }
    }

    fn carry(&self, socket: SocketId, channel: u32, payload: &[u8]) {
        let mut state = self.lock();
        let state = &mut *state;
        let Some((id, side)) = state.find(socket, channel) else {
            return;
        };
        let Some(channel) = state.channels.get_mut(&id) else {
            return;
        };
        channel.active = self.clock.now();
        let ledger = match side {
            Side::Machine => &mut channel.from_machine,
            Side::Device => {
                channel.spoken = true;
                &mut channel.from_device
            }
        };
        let Ok(delivered) = ledger.accept(payload.len()) else {
            self.metrics.refuse(Reason::Overrun);
            state.end(
                id,
                CloseReason::Overrun,
                "More was sent on this channel than it had credit for.",
            );
            return;
        };
        let other = channel.other(side);
        let Some(at) = state.sockets.get(&other.socket) else {
            return;
        };
        // Copied, so that a small message never keeps the buffer that it was read into.
        if let Ok(message) = frame::encode(other.number, payload) {
            self.metrics.frames.increment();
            self.metrics.frame_bytes.add(payload.len() as u64);
            at.outbox.carry(Bytes::from(message), delivered);
        }
    }

    fn give_back(&self, socket: SocketId, channel: u32, bytes: u32) {
        let mut state = self.lock();
        let state = &mut *state;
        let Some((id, side)) = state.find(socket, channel) else {
            return;
        };
        let Some(channel) = state.channels.get_mut(&id) else {
            return;
        };
        // The receiver gives it back, the other end may send again.
        let told = match side {
            Side::Machine => channel.from_device.give_back(bytes),
            Side::Device => channel.from_machine.give_back(bytes),
        };
        let Some(bytes) = told else {
            return;
        };
        let other = channel.other(side);
        let Some(at) = state.sockets.get(&other.socket) else {
            return;
        };
        let channel = other.number;
        match side {
            Side::Machine => at.outbox.say(&ToDevice::Window { channel, bytes }),
            Side::Device => at.outbox.say(&ToMachine::Window { channel, bytes }),
        }
    }

    fn close(&self, socket: SocketId, channel: u32, reason: CloseReason) {
        let mut state = self.lock();
        if let Some((id, side)) = state.find(socket, channel) {
            let message = match side {
                Side::Machine => "The machine closed the channel.",
                Side::Device => "The device closed the channel.",
            };
            state.end(id, reason, message);
        }
    }

    fn open_pairing(&self, socket: SocketId, pairing: PairingId, lifetime: Duration) -> bool {
        let mut state = self.lock();
        let now = self.clock.now();
        state.pairings.retain(|_, open| open.expires > now);
        let Some(At::Machine(machine)) = state.sockets.get(&socket).map(|at| &at.party) else {
            return false;
        };
        let machine = *machine;
        let others = state
            .pairings
            .iter()
            .filter(|(id, open)| open.machine == machine && **id != pairing)
            .count();
        let taken = state
            .pairings
            .get(&pairing)
            .is_some_and(|open| open.machine != machine);
        if taken || others >= self.limits.pairings_per_machine {
            self.metrics.refuse(Reason::Full);
            return false;
        }
        let expires = now + lifetime.min(self.limits.pairing_lifetime);
        state.pairings.insert(pairing, Pairing { machine, expires });
        true
    }

    fn close_pairing(&self, socket: SocketId, pairing: PairingId) {
        let mut state = self.lock();
        let Some(At::Machine(machine)) = state.sockets.get(&socket).map(|at| &at.party) else {
            return;
        };
        if state.pairings.get(&pairing).map(|open| open.machine) == Some(*machine) {
            state.pairings.remove(&pairing);
        }
    }

    fn machine_of_pairing(
        &self,
        pairing: PairingId,
    ) -> Pin<Box<dyn Future<Output = Option<MachineId>> + Send + '_>> {
        let machine = self.lock().machine_of(pairing, self.clock.now());
        Box::pin(std::future::ready(machine))
    }

    fn may_admit(&self, socket: SocketId, channel: u32) -> bool {
        let state = self.lock();
        state
            .find(socket, channel)
            .filter(|(_, side)| *side == Side::Machine)
            .and_then(|(id, _)| state.channels.get(&id))
            .is_some_and(|channel| {
                matches!(channel.opener, Opener::Pairing(_)) && channel.admitted.is_none()
            })
    }

    fn admitted(&self, socket: SocketId, channel: u32, device: DeviceId, claim: Token) {
        let mut state = self.lock();
        let state = &mut *state;
        let Some((id, Side::Machine)) = state.find(socket, channel) else {
            return;
        };
        let Some(channel) = state.channels.get_mut(&id) else {
            return;
        };
        channel.admitted = Some(device);
        if let Opener::Pairing(pairing) = channel.opener {
            // It works once.
            state.pairings.remove(&pairing);
        }
        if let Some(at) = state.sockets.get(&channel.device.socket) {
            at.outbox.say(&ToDevice::Claim {
                claim,
                device_id: device,
            });
        }
    }

    fn granted(&self, device: Device, machine: Machine) {
        let mut state = self.lock();
        let state = &mut *state;
        self.metrics.devices_admitted.increment();
        let online = state.machines.get(&machine.id);
        let is_online = online.is_some();
        let machine = online.map_or(machine, |online| online.machine.clone());
        for socket in state.devices.get(&device.id).into_iter().flatten() {
            if let Some(at) = state.sockets.get_mut(socket)
                && let At::Device(whose, reach) = &mut at.party
                && *whose == device
                && reach.gain(&machine)
            {
                let changed = ToDevice::MachineChanged(entry(&machine, is_online));
                at.outbox.say(&changed);
            }
        }
    }

    fn revoked(&self, machine: MachineId, device: DeviceId) {
        let mut state = self.lock();
        state.end_all(
            |channel| channel.machine_id == machine && channel.is_of(device),
            CloseReason::Revoked,
            "This device was removed from the machine.",
        );
        for socket in state.devices.get(&device).cloned().unwrap_or_default() {
            state.take_away(socket, machine);
        }
    }

    fn machine_removed(&self, machine: MachineId) {
        let mut state = self.lock();
        let removed = state.machines.remove(&machine);
        state
            .pairings
            .retain(|_, pairing| pairing.machine != machine);
        let (reason, message) = (CloseReason::Gone, "The machine has left the relay.");
        if let Some(removed) = removed
            && let Some(socket) = state.forget(removed.socket, reason, message)
        {
            socket.outbox.cut(&ToMachine::Refused {
                message:
                    "This machine has left the relay. Join it again: copilot login --relay URL"
                        .to_owned(),
            });
        }
        let sockets: Vec<SocketId> = state.sockets.keys().copied().collect();
        for socket in sockets {
            state.take_away(socket, machine);
        }
    }

    fn device_removed(&self, device: Device) {
        let mut state = self.lock();
        for id in state.devices.get(&device.id).cloned().unwrap_or_default() {
            let same = matches!(
                state.sockets.get(&id).map(|at| &at.party),
                Some(At::Device(whose, _)) if *whose == device
            );
            if same
                && let Some(socket) =
                    state.forget(id, CloseReason::Revoked, "This device was forgotten.")
            {
                socket.outbox.cut(&ToDevice::Refused {
                    message: "This device was forgotten. Pair it again: copilot devices pair"
                        .to_owned(),
                });
            }
        }
    }

    fn drain(&self) {
        for socket in self.lock().sockets.values() {
            match socket.party {
                At::Machine(_) => socket.outbox.say_first(&ToMachine::Draining {}),
                At::Device(..) | At::Pairing(_) => {
                    socket.outbox.say_first(&ToDevice::Draining {});
                }
            }
        }
    }

    fn sweep(&self) {
        let now = self.clock.now();
        let limits = &self.limits;
        let ended = self.lock().end_all(
            |channel| channel.is_idle(now, limits.channel_idle, limits.channel_first_message),
            CloseReason::Idle,
            "Nothing was sent on this channel for too long. Open another when there is something to say.",
        );
        for _ in 0..ended {
            self.metrics.refuse(Reason::Idle);
        }
    }

    fn present(&self) -> Present {
        let state = self.lock();
        let count = |which: fn(&At) -> bool| {
            state
                .sockets
                .values()
                .filter(|socket| which(&socket.party))
                .count() as u64
        };
        Present {
            connections: 0,
            machines: state.machines.len() as u64,
            devices: count(|party| matches!(party, At::Device(..))),
            pairing_sockets: count(|party| matches!(party, At::Pairing(_))),
            pairings: state.pairings.len() as u64,
            channels: state.channels.len() as u64,
            waiting_bytes: state
                .sockets
                .values()
                .map(|socket| socket.outbox.waiting_bytes())
                .sum(),
        }
    }
}
