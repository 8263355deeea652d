//! One link socket: what its messages mean, in their order.

use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use link_proto::control::{self, FromDevice, FromMachine, PROTOCOL, ToDevice, ToMachine};
use link_proto::ids::{DeviceId, MachineId, PairingId};
use link_proto::keys::Token;
use link_proto::{frame, names};

use crate::BUILD;
use crate::bucket::{Bucket, Rate};
use crate::digest::TokenDigest;
use crate::metrics::Reason;
use crate::relay::Relay;
use crate::store::{Admission, Admitted, Device, Machine, StoreError};
use crate::switchboard::{Outbox, Party, SocketId};

/// Who came to a socket, as the ticket said.
#[derive(Clone, Debug)]
pub enum Who {
    /// A machine.
    Machine(Machine),
    /// A device.
    Device(Device),
    /// Somebody who has the id of a pairing.
    Pairing(PairingId),
}

/// Why a socket ends: words for whoever is at the other end.
#[derive(Debug)]
pub struct Ended {
    /// How it is counted.
    pub reason: Reason,
    /// What is said.
    pub message: String,
}

impl Ended {
    fn new(reason: Reason, message: impl Into<String>) -> Self {
        Self {
            reason,
            message: message.into(),
        }
    }
}

impl From<StoreError> for Ended {
    fn from(error: StoreError) -> Self {
        tracing::error!(%error, "the store failed");
        Self::new(
            Reason::Internal,
            "The relay failed; whoever runs it finds the reason in its log. Connect again.",
        )
    }
}

/// A socket or a long poll, from its ticket to its end.
pub struct Session {
    relay: Arc<Relay>,
    who: Who,
    outbox: Arc<Outbox>,
    /// Once it has said hello.
    socket: Option<SocketId>,
    began: Instant,
    heard: Instant,
    rate: Rate,
    bucket: Bucket,
}

impl Session {
    /// Somebody with a ticket came.
    #[must_use]
    pub fn new(relay: Arc<Relay>, who: Who) -> Self {
        let limits = &relay.limits;
        let (rate, channels) = match who {
            Who::Machine(_) => (
                limits.machine_messages,
                limits.channels_per_machine + limits.pairing_channels_per_machine,
            ),
            Who::Device(_) => (limits.device_messages, limits.channels_per_device),
            Who::Pairing(_) => (limits.device_messages, 1),
        };
        // What channels that are open may have waiting, and as much again for two that were just closed.
        let most_bytes = (channels as u64 + 2) * u64::from(limits.window_bytes);
        let outbox = Outbox::new(limits.waiting_control_messages, most_bytes);
        let now = relay.clock.now();
        relay.metrics.sockets.increment();
        Self {
            who,
            outbox,
            socket: None,
            began: now,
            heard: now,
            rate,
            bucket: Bucket::new(rate, now),
            relay,
        }
    }

    /// What waits to be written.
    #[must_use]
    pub fn outbox(&self) -> &Arc<Outbox> {
        &self.outbox
    }

    /// Something was heard from the other end.
    pub fn hear(&mut self) {
        self.heard = self.relay.clock.now();
    }

    /// Counts a message. When there are too many: how long to wait before it is counted again.
    pub fn pace(&mut self) -> Option<Duration> {
        let wait = self.bucket.take(self.rate, self.relay.clock.now()).err();
        if wait.is_some() {
            self.relay.metrics.throttled.increment();
        }
        wait
    }

    /// Until when something must be heard, and why the socket ends if it is not.
    #[must_use]
    pub fn deadline(&self) -> (Instant, Ended) {
        let limits = &self.relay.limits;
        if self.socket.is_none() {
            let ended = Ended::new(Reason::Slow, "Nobody said hello on this socket.");
            return (self.began + limits.hello, ended);
        }
        let lease = self.heard + limits.lease;
        let pairing_ends = self.began + limits.pairing_lifetime;
        if matches!(self.who, Who::Pairing(_)) && pairing_ends < lease {
            let ended = Ended::new(Reason::Slow, "The time for this pairing is over.");
            return (pairing_ends, ended);
        }
        let ended = Ended::new(Reason::Lease, "Nothing was heard on this socket.");
        (lease, ended)
    }

    /// A control message.
    ///
    /// # Errors
    /// When the socket has to end.
    pub async fn text(&mut self, text: &str) -> Result<(), Ended> {
        self.relay.metrics.control_messages.increment();
        let malformed = |error: control::ControlError| {
            Ended::new(
                Reason::Malformed,
                format!("The relay was sent a message that it does not take: {error}."),
            )
        };
        match self.who {
            Who::Machine(_) => {
                self.machine_said(control::decode(text).map_err(malformed)?)
                    .await
            }
            Who::Device(_) | Who::Pairing(_) => {
                self.device_said(control::decode(text).map_err(malformed)?)
                    .await
            }
        }
    }

    /// A sealed message.
    ///
    /// # Errors
    /// When the socket has to end.
    pub fn binary(&mut self, message: &[u8]) -> Result<(), Ended> {
        let socket = self.joined()?;
        let (channel, payload) = frame::decode(message).map_err(|error| {
            Ended::new(
                Reason::Malformed,
                format!("The relay does not take this: {error}."),
            )
        })?;
        self.relay.switchboard.carry(socket, channel, payload);
        Ok(())
    }

    /// The socket ends; `ended` says why when it was the relay's decision.
    pub async fn end(&mut self, ended: Option<&Ended>) {
        if let Some(ended) = ended {
            self.relay.metrics.refuse(ended.reason);
            let message = ended.message.clone();
            match self.who {
                Who::Machine(_) => self.outbox.cut(&ToMachine::Refused { message }),
                Who::Device(_) | Who::Pairing(_) => self.outbox.cut(&ToDevice::Refused { message }),
            }
        }
        self.outbox.close();
        let Some(socket) = self.socket.take() else {
            return;
        };
        let went_offline = self.relay.switchboard.leave(socket);
        if let Who::Machine(machine) = &self.who
            && went_offline
        {
            self.seen(machine.id, machine.name.clone()).await;
        }
    }

    async fn machine_said(&mut self, message: FromMachine) -> Result<(), Ended> {
        let Who::Machine(machine) = &self.who else {
            return Ok(());
        };
        let id = machine.id;
        let switchboard = Arc::clone(&self.relay.switchboard);
        match message {
            FromMachine::Hello { protocol, name, .. } => {
                return self.machine_hello(protocol, name).await;
            }
            FromMachine::Ping { n } => self.outbox.say_first(&ToMachine::Pong { n }),
            FromMachine::ChannelClose { channel, reason } => {
                switchboard.close(self.joined()?, channel, reason);
            }
            FromMachine::Window { channel, bytes } => {
                switchboard.give_back(self.joined()?, channel, bytes);
            }
            FromMachine::PairingOpen {
                pairing_id,
                expires_in_ms,
            } => {
                let lifetime = Duration::from_millis(expires_in_ms);
                if !switchboard.open_pairing(self.joined()?, pairing_id, lifetime) {
                    tracing::warn!(
                        "a pairing was not opened: the machine has too many, or its id is taken"
                    );
                }
            }
            FromMachine::PairingClose { pairing_id } => {
                switchboard.close_pairing(self.joined()?, pairing_id);
            }
            FromMachine::DeviceAdmit {
                channel,
                device_id,
                name,
            } => return self.admit(channel, device_id, &name).await,
            FromMachine::DeviceRevoke { device_id } => {
                self.joined()?;
                self.relay.store.revoke(id, device_id).await?;
                switchboard.revoked(id, device_id);
            }
            FromMachine::Devices { device_ids } => {
                self.joined()?;
                for lost in self.relay.store.keep_only(id, device_ids).await? {
                    switchboard.revoked(id, lost);
                }
            }
            FromMachine::Unknown => {}
        }
        Ok(())
    }

    async fn device_said(&mut self, message: FromDevice) -> Result<(), Ended> {
        let switchboard = Arc::clone(&self.relay.switchboard);
        match message {
            FromDevice::Hello { protocol, .. } => return self.device_hello(protocol).await,
            FromDevice::Ping { n } => self.outbox.say_first(&ToDevice::Pong { n }),
            FromDevice::ChannelOpen {
                request,
                machine_id,
            } => switchboard.open(self.joined()?, request, machine_id),
            FromDevice::ChannelClose { channel, reason } => {
                switchboard.close(self.joined()?, channel, reason);
            }
            FromDevice::Window { channel, bytes } => {
                switchboard.give_back(self.joined()?, channel, bytes);
            }
            FromDevice::Unknown => {}
        }
        Ok(())
    }

    async fn machine_hello(&mut self, protocol: u16, name: String) -> Result<(), Ended> {
        check_version(protocol)?;
        let Who::Machine(machine) = &mut self.who else {
            return Ok(());
        };
        if self.socket.is_some() {
            return Ok(());
        }
        if let Some(name) = names::clean(&name) {
            machine.name = name;
        }
        let machine = machine.clone();
        let limits = &self.relay.limits;
        self.outbox.say(&ToMachine::Hello {
            protocol: PROTOCOL,
            build: BUILD.to_owned(),
            heartbeat_ms: millis(limits.heartbeat),
            lease_ms: millis(limits.lease),
            window_bytes: limits.window_bytes,
        });
        self.join(Party::Machine(machine.clone()))?;
        // It may have left for good between its ticket and now; then the removal found no socket to cut.
        if self.relay.store.machine(machine.id).await?.is_none() {
            return Err(Ended::new(
                Reason::Unauthorized,
                "This machine has left the relay. Join it again: copilot login --relay URL",
            ));
        }
        self.seen(machine.id, machine.name).await;
        Ok(())
    }

    async fn device_hello(&mut self, protocol: u16) -> Result<(), Ended> {
        check_version(protocol)?;
        if self.socket.is_some() {
            return Ok(());
        }
        let limits = &self.relay.limits;
        self.outbox.say(&ToDevice::Hello {
            protocol: PROTOCOL,
            build: BUILD.to_owned(),
            heartbeat_ms: millis(limits.heartbeat),
            lease_ms: millis(limits.lease),
            window_bytes: limits.window_bytes,
        });
        match self.who.clone() {
            Who::Device(device) => {
                // First joined, then asked: what changes in between reaches the socket either way.
                let socket = self.join(Party::Device(device))?;
                let machines = self.relay.store.reachable(device).await?;
                self.relay.switchboard.show_machines(socket, machines);
            }
            Who::Pairing(pairing) => {
                self.join(Party::Pairing(pairing))?;
            }
            Who::Machine(_) => {}
        }
        Ok(())
    }

    async fn admit(&mut self, channel: u32, device: DeviceId, name: &str) -> Result<(), Ended> {
        let socket = self.joined()?;
        let Who::Machine(Machine { id, account, .. }) = self.who else {
            return Ok(());
        };
        let switchboard = Arc::clone(&self.relay.switchboard);
        if !switchboard.may_admit(socket, channel) {
            // The device may have gone in the meantime.
            return Ok(());
        }
        let admitted = Admitted {
            machine: id,
            device: Device {
                id: device,
                account,
            },
            name: names::clean(name).unwrap_or_else(|| "device".to_owned()),
        };
        let claim = new_token()?;
        let (store, most) = (&self.relay.store, self.relay.limits.devices);
        match store.admit(admitted, TokenDigest::of(&claim), most).await? {
            Admission::Done | Admission::Again => {
                switchboard.admitted(socket, channel, device, claim);
            }
            Admission::Full | Admission::Taken => {
                self.relay.metrics.refuse(Reason::Full);
                tracing::warn!("a device was not admitted: the account has as many as it may have");
                switchboard.close(socket, channel, control::CloseReason::Failed);
            }
        }
        Ok(())
    }

    fn join(&mut self, party: Party) -> Result<SocketId, Ended> {
        let socket = self
            .relay
            .switchboard
            .join(party, Arc::clone(&self.outbox))
            .map_err(|_| {
                Ended::new(
                    Reason::Full,
                    "As many connections are open already as there may be. Close another page of this device, \
                     or ask whoever runs the relay.",
                )
            })?;
        self.socket = Some(socket);
        Ok(socket)
    }

    fn joined(&self) -> Result<SocketId, Ended> {
        self.socket.ok_or_else(|| {
            Ended::new(
                Reason::Malformed,
                "The first message on a socket is a hello.",
            )
        })
    }

    /// Remembers when the machine came or went. Losing that is no reason to end anything.
    async fn seen(&self, machine: MachineId, name: String) {
        let seen = self.relay.store.seen(machine, name, Timestamp::now());
        if let Err(error) = seen.await {
            tracing::error!(%error, "when a machine was here could not be remembered");
        }
    }
}

impl Drop for Session {
    /// Whatever happens to the task of a socket, nobody sees a machine online that is not.
    fn drop(&mut self) {
        if let Some(socket) = self.socket.take() {
            self.relay.switchboard.leave(socket);
        }
    }
}

fn check_version(protocol: u16) -> Result<(), Ended> {
    if protocol == PROTOCOL {
        return Ok(());
    }
    let older = if protocol < PROTOCOL {
        "you"
    } else {
        "the relay"
    };
    Err(Ended::new(
        Reason::Malformed,
        format!(
            "This relay ({BUILD}) speaks version {PROTOCOL} of the link protocol, you speak {protocol}. \
             What is older has to be updated: {older}."
        ),
    ))
}

fn new_token() -> Result<Token, Ended> {
    Token::generate().map_err(|error| {
        tracing::error!(%error, "no secret could be made");
        Ended::new(Reason::Internal, "The relay failed. Connect again.")
    })
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
