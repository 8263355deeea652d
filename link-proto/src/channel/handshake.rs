//! Opening a channel: who says what in the two handshake messages.
//!
//! What they carry says who is there and which version to speak. Must never carry anything that acts: the
//! first message can be replayed, and a replay ends here.

use serde::{Deserialize, Serialize};

use super::flow::Flow;
use super::sealed::Sealed;
use super::{ChannelError, HANDSHAKE, PROTOCOL, REFUSAL, Role, kind, refusal_words};
use crate::control::MIN_WINDOW_BYTES;
use crate::ids::{DeviceId, MachineId, PairingId};
use crate::keys::{PairingSecret, PrivateKey, PublicKey};
use crate::links::PairingOffer;
use crate::names;
use crate::noise::{Initiator, Purpose, Responder};

/// What a device says in the first message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceHello {
    /// The versions it speaks.
    pub protocols: Vec<u16>,
    /// Its own name for itself; made fit to show where it is received.
    pub name: String,
}

/// What a machine says in the second message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MachineHello {
    /// The version that both speak from here on.
    pub protocol: u16,
    /// The machine.
    pub machine: MachineInfo,
}

/// A machine as it describes itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MachineInfo {
    /// Its name; made fit to show where it is received.
    pub name: String,
    /// What it runs.
    pub build: String,
}

/// A device's channel whose first message is on its way.
pub struct Dialing {
    initiator: Initiator,
    flow: Flow,
}

impl Dialing {
    /// To a machine this device is paired with. Gives the payload to send.
    ///
    /// # Errors
    /// When no keys can be made or the relay's window is too small.
    pub fn open(
        machine_id: MachineId,
        machine_key: &PublicKey,
        device_key: &PrivateKey,
        name: &str,
        window_bytes: u32,
    ) -> Result<(Self, Vec<u8>), ChannelError> {
        let purpose = Purpose::Channel {
            machine_id,
            device_id: DeviceId::of(&device_key.public()),
        };
        Self::begin(
            Initiator::new(purpose, device_key, machine_key)?,
            name,
            window_bytes,
        )
    }

    /// To the machine of a pairing link. Gives the payload to send.
    ///
    /// # Errors
    /// When no keys can be made or the relay's window is too small.
    pub fn pair(
        offer: &PairingOffer,
        device_key: &PrivateKey,
        name: &str,
        window_bytes: u32,
    ) -> Result<(Self, Vec<u8>), ChannelError> {
        let purpose = Purpose::Pair {
            machine_id: offer.machine_id,
            pairing_id: offer.pairing_id,
            secret: &offer.secret,
        };
        Self::begin(
            Initiator::new(purpose, device_key, &offer.machine_key)?,
            name,
            window_bytes,
        )
    }

    pub(super) fn begin(
        mut initiator: Initiator,
        name: &str,
        window_bytes: u32,
    ) -> Result<(Self, Vec<u8>), ChannelError> {
        let mut flow = flow(window_bytes)?;
        let hello = DeviceHello {
            protocols: vec![PROTOCOL],
            name: names::clean(name).unwrap_or_default(),
        };
        let payload = handshake_payload(&initiator.write(&json(&hello)?)?);
        flow.send(payload.len());
        Ok((Self { initiator, flow }, payload))
    }

    /// The payload that answers.
    ///
    /// # Errors
    /// [`ChannelError::Refused`] with the words of a machine or relay that refuses, otherwise whatever is
    /// wrong with the answer. There is no channel then.
    pub fn finish(mut self, payload: &[u8]) -> Result<(Sealed, MachineHello), ChannelError> {
        if !self.flow.receive(payload.len()) {
            return Err(ChannelError::Broken(
                "more was sent than there was credit for",
            ));
        }
        let message = match kind(payload)? {
            (HANDSHAKE, message) => message,
            (REFUSAL, words) => return Err(ChannelError::Refused(refusal_words(words))),
            _ => return Err(ChannelError::Broken("a handshake was due")),
        };
        let (hello, transport) = self.initiator.read(message)?;
        let mut hello: MachineHello = parse(&hello)?;
        if hello.protocol != PROTOCOL {
            return Err(ChannelError::NoCommonVersion);
        }
        hello.machine.name = names::clean(&hello.machine.name).unwrap_or_default();
        hello.machine.build = names::clean(&hello.machine.build).unwrap_or_default();
        Ok((Sealed::new(Role::Device, transport, self.flow), hello))
    }
}

/// A machine that answers the handshakes of devices.
#[derive(Debug, Clone, Copy)]
pub struct Answering<'a> {
    /// The machine.
    pub machine_id: MachineId,
    /// Its key.
    pub machine_key: &'a PrivateKey,
    /// What it says of itself.
    pub info: &'a MachineInfo,
    /// The relay's `windowBytes`.
    pub window_bytes: u32,
}

/// A channel that a machine answered.
#[derive(Debug)]
pub struct Accepted {
    /// The open channel. Until something opens on it, the device may be a replay.
    pub channel: Sealed,
    /// What the device said of itself.
    pub device: DeviceHello,
    /// The payload to send.
    pub reply: Vec<u8>,
}

impl Answering<'_> {
    /// Answers a device that is paired.
    ///
    /// # Errors
    /// When the payload is not the handshake of that device.
    pub fn device(&self, device_key: &PublicKey, payload: &[u8]) -> Result<Accepted, ChannelError> {
        let purpose = Purpose::Channel {
            machine_id: self.machine_id,
            device_id: DeviceId::of(device_key),
        };
        self.accept(
            Responder::new(purpose, self.machine_key, Some(device_key))?,
            payload,
        )
    }

    /// Answers whoever has a pairing link. The channel's [`Sealed::peer`] is the key to trust once the person
    /// typed the channel's [`Sealed::code`].
    ///
    /// # Errors
    /// When the payload is not the handshake of somebody who has the link.
    pub fn pairing(
        &self,
        pairing_id: PairingId,
        secret: &PairingSecret,
        payload: &[u8],
    ) -> Result<Accepted, ChannelError> {
        let purpose = Purpose::Pair {
            machine_id: self.machine_id,
            pairing_id,
            secret,
        };
        self.accept(Responder::new(purpose, self.machine_key, None)?, payload)
    }

    pub(super) fn accept(
        &self,
        mut responder: Responder,
        payload: &[u8],
    ) -> Result<Accepted, ChannelError> {
        let mut flow = flow(self.window_bytes)?;
        if !flow.receive(payload.len()) {
            return Err(ChannelError::Broken(
                "more was sent than there was credit for",
            ));
        }
        let (HANDSHAKE, message) = kind(payload)? else {
            return Err(ChannelError::Broken("a handshake was due"));
        };
        let mut device: DeviceHello = parse(&responder.read(message)?)?;
        if !device.protocols.contains(&PROTOCOL) {
            return Err(ChannelError::NoCommonVersion);
        }
        device.name = names::clean(&device.name).unwrap_or_default();
        let hello = MachineHello {
            protocol: PROTOCOL,
            machine: self.info.clone(),
        };
        let (message, transport) = responder.write(&json(&hello)?)?;
        let reply = handshake_payload(&message);
        flow.send(reply.len());
        Ok(Accepted {
            channel: Sealed::new(Role::Machine, transport, flow),
            device,
            reply,
        })
    }
}

fn flow(window_bytes: u32) -> Result<Flow, ChannelError> {
    if window_bytes < MIN_WINDOW_BYTES {
        return Err(ChannelError::Broken(
            "the relay's window is smaller than a channel needs",
        ));
    }
    Ok(Flow::new(window_bytes))
}

fn handshake_payload(message: &[u8]) -> Vec<u8> {
    let mut payload = Vec::with_capacity(1 + message.len());
    payload.push(HANDSHAKE);
    payload.extend(message);
    payload
}

fn json<T: Serialize>(hello: &T) -> Result<Vec<u8>, ChannelError> {
    serde_json::to_vec(hello).map_err(|_| ChannelError::Broken("a handshake could not be written"))
}

fn parse<'de, T: Deserialize<'de>>(hello: &'de [u8]) -> Result<T, ChannelError> {
    serde_json::from_slice(hello)
        .map_err(|_| ChannelError::Broken("a handshake says something else than it should"))
}
