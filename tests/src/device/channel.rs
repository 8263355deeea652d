//! A device's sealed channel, as a stream of whole messages.

use std::collections::VecDeque;

use link_proto::channel::{Dialing, MachineControl, MachineHello, Received, Sealed};
use link_proto::control::{CloseReason, FromDevice, ToDevice};
use link_proto::frame;
use link_proto::ids::DeviceId;
use link_proto::keys::Token;

use super::socket::{RelaySocket, Said};

/// See the module.
pub struct DeviceChannel {
    socket: RelaySocket,
    number: u32,
    sealed: Sealed,
    machine: MachineHello,
    /// AHP messages that came while something else was awaited.
    inbox: VecDeque<String>,
    /// What the machine said of the channel itself, not asked for yet.
    controls: VecDeque<MachineControl>,
    /// On a pairing channel, what the token is claimed with, and whose it is.
    claim: Option<(Token, DeviceId)>,
}

impl DeviceChannel {
    pub(super) fn shake_hands(
        mut socket: RelaySocket,
        number: u32,
        dialing: Dialing,
        first: &[u8],
    ) -> Result<Self, String> {
        let first = frame::encode(number, first).map_err(|error| error.to_string())?;
        socket.send_frame(first)?;
        loop {
            match socket.hear()? {
                Said::Frame(message) => {
                    let (channel, payload) =
                        frame::decode(&message).map_err(|error| error.to_string())?;
                    assert_eq!(channel, number);
                    let (sealed, machine) =
                        dialing.finish(payload).map_err(|error| error.to_string())?;
                    return Ok(Self {
                        socket,
                        number,
                        sealed,
                        machine,
                        inbox: VecDeque::new(),
                        controls: VecDeque::new(),
                        claim: None,
                    });
                }
                Said::Control(ToDevice::ChannelClosed {
                    reason, message, ..
                }) => return Err(closed(reason, &message)),
                Said::Control(_) => {}
            }
        }
    }

    /// What the machine said of itself.
    pub fn machine(&self) -> &MachineHello {
        &self.machine
    }

    /// The code of its handshake.
    pub fn code(&self) -> String {
        self.sealed.code().digits()
    }

    /// Sends one AHP message, taking in what comes while there is no credit.
    pub fn send(&mut self, message: Vec<u8>) -> Result<(), String> {
        self.sealed
            .send_ahp(message.into())
            .map_err(|error| error.to_string())?;
        loop {
            self.flush()?;
            if self.sealed.is_drained() {
                return Ok(());
            }
            self.take_in()?;
        }
    }

    /// Says something of the channel itself, which is a machine's to say.
    pub fn say(&mut self, message: &MachineControl) -> Result<(), String> {
        self.sealed
            .send_control(message)
            .map_err(|error| error.to_string())?;
        self.flush()
    }

    fn flush(&mut self) -> Result<(), String> {
        while let Some(frame) = self
            .sealed
            .next_frame(self.number)
            .map_err(|error| error.to_string())?
        {
            self.socket.send_frame(frame)?;
        }
        Ok(())
    }

    /// The next AHP message, or why there is none.
    pub fn receive(&mut self) -> Result<String, String> {
        loop {
            if let Some(message) = self.inbox.pop_front() {
                return Ok(message);
            }
            self.take_in()?;
        }
    }

    /// The next thing that the machine says of the channel itself.
    pub fn next_control(&mut self) -> Result<MachineControl, String> {
        loop {
            if let Some(message) = self.controls.pop_front() {
                return Ok(message);
            }
            self.take_in()?;
        }
    }

    /// Everything the machine said of the channel itself that came with what
    /// was received so far.
    pub fn controls(&mut self) -> impl Iterator<Item = MachineControl> {
        self.controls.drain(..)
    }

    /// On a pairing channel: what to claim the token with. One of another device would take the own
    /// token's place.
    pub fn claim(&mut self, own: DeviceId) -> Result<Token, String> {
        loop {
            match self.claim.take() {
                Some((claim, of)) if of == own => return Ok(claim),
                Some((_, of)) => return Err(format!("the claim is of another device, {of}")),
                None => self.take_in()?,
            }
        }
    }

    /// Waits for the end of the channel and says why it ended.
    pub fn wait_for_end(&mut self) -> String {
        loop {
            if let Err(why) = self.take_in() {
                return why;
            }
        }
    }

    /// Sends a binary message on this channel as no honest device would.
    pub fn send_payload(&mut self, payload: &[u8]) -> Result<(), String> {
        let message = frame::encode(self.number, payload).map_err(|error| error.to_string())?;
        self.socket.send_frame(message)
    }

    /// The socket beneath, to misbehave with.
    pub fn socket(&mut self) -> &mut RelaySocket {
        &mut self.socket
    }

    fn take_in(&mut self) -> Result<(), String> {
        match self.socket.hear()? {
            Said::Frame(message) => {
                let (channel, payload) =
                    frame::decode(&message).map_err(|error| error.to_string())?;
                if channel != self.number {
                    return Ok(());
                }
                let received = self
                    .sealed
                    .receive(payload)
                    .map_err(|error| error.to_string())?;
                match received {
                    Some(Received::Ahp(message)) => self.inbox.push_back(message),
                    Some(Received::Control(message)) => self.controls.push_back(message),
                    None => {}
                }
                if let Some(bytes) = self.sealed.give_back() {
                    self.socket.say(&FromDevice::Window {
                        channel: self.number,
                        bytes,
                    })?;
                }
                Ok(())
            }
            Said::Control(ToDevice::Window { channel, bytes }) if channel == self.number => {
                self.sealed.grant(bytes);
                self.flush()
            }
            Said::Control(ToDevice::ChannelClosed {
                channel,
                reason,
                message,
            }) if channel == self.number => Err(closed(reason, &message)),
            Said::Control(ToDevice::Claim { claim, device_id }) => {
                self.claim = Some((claim, device_id));
                Ok(())
            }
            Said::Control(_) => Ok(()),
        }
    }
}

fn closed(reason: CloseReason, message: &str) -> String {
    format!("the channel was closed ({}): {message}", reason.as_str())
}
