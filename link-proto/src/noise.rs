//! The two Noise handshakes and what they agree on.
//!
//! Owns: patterns, prologues, the code that two people compare, and when keys are replaced. Everything else
//! is Noise as published (<https://noiseprotocol.org/noise.html>), by `snow`. Must never tell apart in an error why a message did not open.

mod primitives;

use std::fmt;

use primitives::Primitives;
use ring::digest;
use snow::{Builder, HandshakeState, TransportState};
use zeroize::Zeroizing;

use crate::ids::{DeviceId, MachineId, PairingId};
use crate::keys::{PairingSecret, PrivateKey, PublicKey};

/// Most bytes of any Noise message.
pub const MAX_MESSAGE_BYTES: usize = 65_535;
/// What sealing adds to a plaintext.
pub const TAG_BYTES: usize = 16;
/// Most bytes of a handshake's payload.
pub const MAX_HANDSHAKE_PAYLOAD_BYTES: usize = 4096;
/// After so many messages of a direction its key is replaced.
pub const REKEY_AFTER_MESSAGES: u64 = 65_536;

/// The most that a handshake message adds to its payload: two keys and two tags.
const MAX_HANDSHAKE_OVERHEAD_BYTES: usize = 2 * (32 + TAG_BYTES);

const PAIR: &str = "Noise_IKpsk1_25519_AESGCM_SHA256";
const CHANNEL: &str = "Noise_KK_25519_AESGCM_SHA256";

/// Why a handshake or a message failed. Whoever sent it learns nothing more, and neither does a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NoiseError {
    /// Changed, doubled, missing before it, out of order, for somebody else, or by somebody else.
    #[error(
        "a sealed message did not open: it is not from the other end, or not the one that was due"
    )]
    Rejected,
    /// A message or payload that is too large or too small.
    #[error("a sealed message has a length that none can have")]
    Length,
    /// The cryptography library or the system's random numbers failed.
    #[error("the keys for a channel could not be made")]
    Unavailable,
}

/// What a handshake is for. Both ends name the same, or it fails.
#[derive(Debug, Clone, Copy)]
pub enum Purpose<'a> {
    /// To pair a device that has a pairing link.
    Pair {
        /// The machine of the link.
        machine_id: MachineId,
        /// The pairing of the link.
        pairing_id: PairingId,
        /// The secret of the link.
        secret: &'a PairingSecret,
    },
    /// To talk with a device that is paired.
    Channel {
        /// The machine.
        machine_id: MachineId,
        /// The device.
        device_id: DeviceId,
    },
}

impl Purpose<'_> {
    fn prologue(&self) -> Vec<u8> {
        match self {
            Self::Pair {
                machine_id,
                pairing_id,
                ..
            } => [
                b"copilot-link/1 pair".as_slice(),
                &machine_id.0,
                &pairing_id.0,
            ]
            .concat(),
            Self::Channel {
                machine_id,
                device_id,
            } => [
                b"copilot-link/1 channel".as_slice(),
                &machine_id.0,
                &device_id.0,
            ]
            .concat(),
        }
    }

    fn pattern(&self) -> (&'static str, Option<&PairingSecret>) {
        match self {
            Self::Pair { secret, .. } => (PAIR, Some(secret)),
            Self::Channel { .. } => (CHANNEL, None),
        }
    }
}

/// Everything a handshake begins with.
struct Setup<'a> {
    name: &'a str,
    prologue: &'a [u8],
    psk: Option<&'a PairingSecret>,
    local: &'a PrivateKey,
    remote: Option<&'a PublicKey>,
    /// Fixed in this crate's tests alone, where transcripts are compared; otherwise fresh every time.
    ephemeral: Option<&'a [u8; 32]>,
}

impl Setup<'_> {
    fn build(&self, initiator: bool) -> Result<HandshakeState, snow::Error> {
        let mut builder = Builder::with_resolver(self.name.parse()?, Box::new(Primitives))
            .prologue(self.prologue)?
            .local_private_key(self.local.as_bytes())?;
        if let Some(psk) = self.psk {
            builder = builder.psk(1, psk.as_bytes())?;
        }
        if let Some(remote) = self.remote {
            builder = builder.remote_public_key(&remote.0)?;
        }
        if let Some(ephemeral) = self.ephemeral {
            builder = builder.fixed_ephemeral_key_for_testing_only(ephemeral);
        }
        if initiator {
            builder.build_initiator()
        } else {
            builder.build_responder()
        }
    }
}

/// The device's side of a handshake.
pub struct Initiator(HandshakeState);

impl Initiator {
    /// Begins a handshake with a machine whose key is known.
    ///
    /// # Errors
    /// When no keys can be made.
    pub fn new(
        purpose: Purpose<'_>,
        device_key: &PrivateKey,
        machine_key: &PublicKey,
    ) -> Result<Self, NoiseError> {
        Self::build(purpose, device_key, machine_key, None)
    }

    pub(crate) fn build(
        purpose: Purpose<'_>,
        device_key: &PrivateKey,
        machine_key: &PublicKey,
        ephemeral: Option<&[u8; 32]>,
    ) -> Result<Self, NoiseError> {
        let (name, psk) = purpose.pattern();
        Setup {
            name,
            prologue: &purpose.prologue(),
            psk,
            local: device_key,
            remote: Some(machine_key),
            ephemeral,
        }
        .build(true)
        .map(Self)
        .map_err(|_| NoiseError::Unavailable)
    }

    /// The first message. Its payload can be replayed by others, so it must not make anything happen.
    ///
    /// # Errors
    /// When the payload is too large, or it was written already.
    pub fn write(&mut self, payload: &[u8]) -> Result<Vec<u8>, NoiseError> {
        write_handshake(&mut self.0, payload)
    }

    /// The machine's answer: its payload, and the keys.
    ///
    /// # Errors
    /// When it is not this machine's answer to this handshake.
    pub fn read(mut self, message: &[u8]) -> Result<(Vec<u8>, Transport), NoiseError> {
        let payload = read_handshake(&mut self.0, message)?;
        Ok((payload, Transport::new(self.0)?))
    }
}

/// The machine's side of a handshake.
pub struct Responder(HandshakeState);

impl Responder {
    /// Waits for the handshake of a device: of this one, or, to pair, of any that has the link.
    ///
    /// # Errors
    /// When no keys can be made.
    pub fn new(
        purpose: Purpose<'_>,
        machine_key: &PrivateKey,
        device_key: Option<&PublicKey>,
    ) -> Result<Self, NoiseError> {
        Self::build(purpose, machine_key, device_key, None)
    }

    pub(crate) fn build(
        purpose: Purpose<'_>,
        machine_key: &PrivateKey,
        device_key: Option<&PublicKey>,
        ephemeral: Option<&[u8; 32]>,
    ) -> Result<Self, NoiseError> {
        let (name, psk) = purpose.pattern();
        Setup {
            name,
            prologue: &purpose.prologue(),
            psk,
            local: machine_key,
            remote: device_key,
            ephemeral,
        }
        .build(false)
        .map(Self)
        .map_err(|_| NoiseError::Unavailable)
    }

    /// The device's first message: its payload, which may be a replay.
    ///
    /// # Errors
    /// When it is not a first message for this purpose.
    pub fn read(&mut self, message: &[u8]) -> Result<Vec<u8>, NoiseError> {
        read_handshake(&mut self.0, message)
    }

    /// The answer, and the keys. Only what opens with them proves that the device is there.
    ///
    /// # Errors
    /// When the payload is too large, or nothing was read yet.
    pub fn write(mut self, payload: &[u8]) -> Result<(Vec<u8>, Transport), NoiseError> {
        let message = write_handshake(&mut self.0, payload)?;
        Ok((message, Transport::new(self.0)?))
    }
}

fn write_handshake(state: &mut HandshakeState, payload: &[u8]) -> Result<Vec<u8>, NoiseError> {
    if payload.len() > MAX_HANDSHAKE_PAYLOAD_BYTES {
        return Err(NoiseError::Length);
    }
    let mut message = vec![0; payload.len() + MAX_HANDSHAKE_OVERHEAD_BYTES];
    let length = state
        .write_message(payload, &mut message)
        .map_err(|_| NoiseError::Unavailable)?;
    message.truncate(length);
    Ok(message)
}

fn read_handshake(state: &mut HandshakeState, message: &[u8]) -> Result<Vec<u8>, NoiseError> {
    if message.len() > MAX_HANDSHAKE_PAYLOAD_BYTES + MAX_HANDSHAKE_OVERHEAD_BYTES {
        return Err(NoiseError::Length);
    }
    let mut payload = vec![0; message.len()];
    let length = state
        .read_message(message, &mut payload)
        .map_err(|_| NoiseError::Rejected)?;
    payload.truncate(length);
    Ok(payload)
}

fn remote_key(state: &HandshakeState) -> Result<PublicKey, NoiseError> {
    state
        .get_remote_static()
        .and_then(|key| key.try_into().ok())
        .map(PublicKey)
        .ok_or(NoiseError::Rejected)
}

/// The keys of one channel, a direction each, with their counters.
pub struct Transport {
    state: TransportState,
    hash: [u8; 32],
    peer: PublicKey,
}

impl Transport {
    fn new(handshake: HandshakeState) -> Result<Self, NoiseError> {
        let peer = remote_key(&handshake)?;
        let hash = handshake
            .get_handshake_hash()
            .try_into()
            .map_err(|_| NoiseError::Unavailable)?;
        let state = handshake
            .into_transport_mode()
            .map_err(|_| NoiseError::Unavailable)?;
        Ok(Self { state, hash, peer })
    }

    /// The key of the other end.
    #[must_use]
    pub fn peer(&self) -> PublicKey {
        self.peer
    }

    /// What two people compare to know that nobody is between them.
    #[must_use]
    pub fn code(&self) -> PairingCode {
        PairingCode::of(&self.hash)
    }

    /// Appends the sealed plaintext to `out`.
    ///
    /// # Errors
    /// When it is too large.
    pub fn seal(&mut self, plaintext: &[u8], out: &mut Vec<u8>) -> Result<(), NoiseError> {
        let begin = out.len();
        out.resize(begin + plaintext.len() + TAG_BYTES, 0);
        if self
            .state
            .write_message(plaintext, &mut out[begin..])
            .is_err()
        {
            out.truncate(begin);
            return Err(NoiseError::Length);
        }
        if self
            .state
            .sending_nonce()
            .is_multiple_of(REKEY_AFTER_MESSAGES)
        {
            self.state.rekey_outgoing();
        }
        Ok(())
    }

    /// Opens the message that is due.
    ///
    /// # Errors
    /// When it is any other. The channel is then at its end.
    pub fn open(&mut self, message: &[u8]) -> Result<Zeroizing<Vec<u8>>, NoiseError> {
        if !(TAG_BYTES..=MAX_MESSAGE_BYTES).contains(&message.len()) {
            return Err(NoiseError::Length);
        }
        let mut plaintext = Zeroizing::new(vec![0; message.len()]);
        let length = self
            .state
            .read_message(message, &mut plaintext)
            .map_err(|_| NoiseError::Rejected)?;
        plaintext.truncate(length);
        if self
            .state
            .receiving_nonce()
            .is_multiple_of(REKEY_AFTER_MESSAGES)
        {
            self.state.rekey_incoming();
        }
        Ok(plaintext)
    }
}

impl fmt::Debug for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Transport")
            .field("peer", &self.peer)
            .finish_non_exhaustive()
    }
}

/// Six digits that follow from a handshake: equal at both ends exactly when it is one handshake.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct PairingCode(u32);

impl PairingCode {
    fn of(handshake_hash: &[u8; 32]) -> Self {
        let mut context = digest::Context::new(&digest::SHA256);
        context.update(b"copilot-pair-code");
        context.update(handshake_hash);
        let digest = context.finish();
        let first = digest
            .as_ref()
            .iter()
            .take(4)
            .fold(0_u32, |number, byte| number << 8 | u32::from(*byte));
        Self(first % 1_000_000)
    }

    /// Whether a person typed this code; spaces and hyphens between digits do not matter.
    #[must_use]
    pub fn matches(self, typed: &str) -> bool {
        let digits: String = typed
            .chars()
            .filter(|c| !c.is_whitespace() && *c != '-')
            .collect();
        digits == self.digits()
    }

    /// The six digits, to be shown.
    #[must_use]
    pub fn digits(self) -> String {
        format!("{:06}", self.0)
    }
}

impl fmt::Debug for PairingCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PairingCode(…)")
    }
}

#[cfg(test)]
mod tests;
#[cfg(test)]
mod vectors;
