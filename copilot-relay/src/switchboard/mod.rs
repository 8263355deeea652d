//! Who is connected, and the way of a message from one socket to another.
//!
//! The contract is one trait so that a cluster can have another implementation: a socket belongs to the node it
//! is connected to, messages go to the owner of the other end. [`Local`] is the one of a single process.
//!
//! Must never look into a payload, and must never wait for a slow socket.

mod channel;
mod ledger;
mod local;
mod outbox;
mod presence;

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use link_proto::control::CloseReason;
use link_proto::ids::{DeviceId, MachineId, PairingId};
use link_proto::keys::Token;

use crate::metrics::Present;
use crate::store::{Device, Machine};

pub use local::Local;
pub use outbox::{Outbox, Outgoing, Overflow};

/// A socket or a long poll, for as long as it lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SocketId(u64);

/// Who is at a socket, as its ticket said.
#[derive(Clone, Debug)]
pub enum Party {
    /// A machine. It replaces an older socket of the same machine.
    Machine(Machine),
    /// A device.
    Device(Device),
    /// Somebody who has the id of a pairing.
    Pairing(PairingId),
}

/// Why a socket may not join.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooManySockets;

/// Routes messages between sockets.
///
/// What a call leads to arrives in the outboxes of those it concerns; a call about a channel or a socket that
/// is gone does nothing, for it may have crossed with its end.
pub trait Switchboard: Send + Sync {
    /// A socket said hello. A machine is online from now on; a device sees machines when
    /// [`show_machines`](Self::show_machines) said which.
    ///
    /// # Errors
    /// When there are too many.
    fn join(&self, party: Party, outbox: Arc<Outbox>) -> Result<SocketId, TooManySockets>;

    /// The socket is gone, and its channels with it. `true` when a machine went offline by that.
    fn leave(&self, socket: SocketId) -> bool;

    /// What the store says the device may reach. What was revoked since it joined is left out.
    fn show_machines(&self, socket: SocketId, machines: Vec<Machine>);

    /// A device asks for a channel.
    fn open(&self, socket: SocketId, request: u64, machine: Option<MachineId>);

    /// A sealed message. The payload is not empty and not larger than one may be.
    fn carry(&self, socket: SocketId, channel: u32, payload: &[u8]);

    /// The receiver gives credit back.
    fn give_back(&self, socket: SocketId, channel: u32, bytes: u32);

    /// An end is done with a channel.
    fn close(&self, socket: SocketId, channel: u32, reason: CloseReason);

    /// A machine opens a pairing for so long. `false`: it has too many, or the id is another machine's.
    fn open_pairing(&self, socket: SocketId, pairing: PairingId, lifetime: Duration) -> bool;

    /// A machine ends a pairing. Channels that it led to go on.
    fn close_pairing(&self, socket: SocketId, pairing: PairingId);

    /// The machine of an open pairing, wherever it is connected.
    fn machine_of_pairing(
        &self,
        pairing: PairingId,
    ) -> Pin<Box<dyn Future<Output = Option<MachineId>> + Send + '_>>;

    /// Whether this channel of a machine is one of a pairing on which nobody was admitted yet.
    fn may_admit(&self, socket: SocketId, channel: u32) -> bool;

    /// The machine admitted the device on this channel: it gets its claim.
    fn admitted(&self, socket: SocketId, channel: u32, device: DeviceId, claim: Token);

    /// The device reaches the machine from now on: it sees it.
    fn granted(&self, device: Device, machine: Machine);

    /// The device reaches the machine no more. A device without a machine is cut.
    fn revoked(&self, machine: MachineId, device: DeviceId);

    /// The machine has left for good.
    fn machine_removed(&self, machine: MachineId);

    /// The device is forgotten.
    fn device_removed(&self, device: Device);

    /// Tells everybody to connect again elsewhere.
    fn drain(&self);

    /// Closes channels on which nothing was sent for too long.
    fn sweep(&self);

    /// What there is.
    fn present(&self) -> Present;
}
