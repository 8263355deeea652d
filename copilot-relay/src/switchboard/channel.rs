//! One channel: its two ends, their credit, and what it costs to keep it.

use std::time::{Duration, Instant};

use link_proto::control::Opener;
use link_proto::ids::{DeviceId, MachineId};

use super::SocketId;
use super::ledger::Ledger;

/// A channel, in this process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct ChannelId(pub(super) u64);

/// Which end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    Machine,
    Device,
}

/// Where one end is: its socket, and the number that the channel has there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct End {
    pub(super) socket: SocketId,
    pub(super) number: u32,
}

/// A channel between a machine and whoever opened it.
#[derive(Debug)]
pub(super) struct Channel {
    pub(super) machine_id: MachineId,
    pub(super) machine: End,
    pub(super) device: End,
    pub(super) opener: Opener,
    /// The device that was admitted on this channel of a pairing.
    pub(super) admitted: Option<DeviceId>,
    /// Credit of what the machine sends.
    pub(super) from_machine: Ledger,
    /// Credit of what the device sends.
    pub(super) from_device: Ledger,
    /// When anything was sent last, or when it was opened.
    pub(super) active: Instant,
    /// Whether the device has sent anything.
    pub(super) spoken: bool,
}

impl Channel {
    pub(super) fn end(&self, side: Side) -> End {
        match side {
            Side::Machine => self.machine,
            Side::Device => self.device,
        }
    }

    pub(super) fn other(&self, side: Side) -> End {
        match side {
            Side::Machine => self.device,
            Side::Device => self.machine,
        }
    }

    /// Whether the channel leads to this device.
    pub(super) fn is_of(&self, device: DeviceId) -> bool {
        self.opener == Opener::Device(device) || self.admitted == Some(device)
    }

    /// Whether nothing was sent for too long.
    pub(super) fn is_idle(&self, now: Instant, idle: Duration, first: Duration) -> bool {
        let quiet = now.saturating_duration_since(self.active);
        quiet >= if self.spoken { idle } else { first }
    }
}
