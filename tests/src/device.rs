//! A device without a screen: it pairs from a link, keeps its key and its
//! token in a folder, and opens channels to the machine it was paired with.
//!
//! It is written from `docs/link-protocol.md` on top of `link-proto`, and does
//! what a browser's page does: one thread, one socket, one channel.

mod channel;
mod http;
mod socket;
mod stream;

use std::path::{Path, PathBuf};

use link_proto::channel::{Dialing, MachineControl, RefusalReason};
use link_proto::control::FromDevice;
use link_proto::http as paths;
use link_proto::ids::{DeviceId, MachineId};
use link_proto::keys::{PrivateKey, PublicKey, Token};
use link_proto::links::{Link, PairingOffer, RelayUrl};
use serde_json::{Value, json};
use uuid::Uuid;

pub use channel::DeviceChannel;
pub use socket::{RelaySocket, Said};
pub use stream::install_authority;

use crate::client::Client;
use crate::until;

/// See the module.
#[derive(Debug)]
pub struct Device {
    /// The relay it goes through.
    pub relay: RelayUrl,
    /// The machine it was paired with.
    pub machine_id: MachineId,
    /// That machine's key.
    pub machine_key: PublicKey,
    /// Its own key.
    pub key: PrivateKey,
    /// Its token at the relay.
    pub token: Token,
    /// Its own name for itself.
    pub name: String,
    folder: PathBuf,
}

/// A device that shows its code and waits for a person to type it.
pub struct Pairing {
    channel: DeviceChannel,
    relay: RelayUrl,
    offer: PairingOffer,
    key: PrivateKey,
    /// What it has from an earlier pairing.
    token: Option<Token>,
    name: String,
    folder: PathBuf,
}

/// Why a device was not paired.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NotPaired {
    /// The machine refused, in words.
    Refused {
        /// Why.
        reason: RefusalReason,
        /// For the person.
        message: String,
        /// How many tries are left, when that matters.
        tries_left: Option<u8>,
    },
    /// There was no channel, or no more.
    Failed(String),
}

impl Pairing {
    /// Opens a pairing link, as far as the code. The key is made here, and kept
    /// in the folder once the device is paired.
    pub fn begin(link: &str, name: &str, folder: &Path) -> Result<Self, String> {
        let key = PrivateKey::generate().expect("the system has random numbers");
        let Link::Pairing { relay, offer } = link.parse().map_err(words)? else {
            return Err("this is not a pairing link".to_owned());
        };
        Self::begin_with(relay, offer, key, name, folder)
    }

    /// Opens the link of another machine on a device that is paired with one.
    pub fn begin_as(device: &Device, link: &str, folder: &Path) -> Result<Self, String> {
        let Link::Pairing { relay, offer } = link.parse().map_err(words)? else {
            return Err("this is not a pairing link".to_owned());
        };
        let mut pairing = Self::begin_with(relay, offer, device.key.clone(), &device.name, folder)?;
        pairing.token = Some(device.token.clone());
        Ok(pairing)
    }

    /// The same with an offer and a key that may be anything.
    pub fn begin_with(
        relay: RelayUrl,
        offer: PairingOffer,
        key: PrivateKey,
        name: &str,
        folder: &Path,
    ) -> Result<Self, String> {
        let ticket = http::ticket(&relay, &paths::pairing_ticket(&offer.pairing_id), None)?;
        let mut socket = RelaySocket::connect(&relay, &ticket.ticket)?;
        let number = socket.open_channel(None)?;
        let (dialing, first) =
            Dialing::pair(&offer, &key, name, socket.window_bytes()).map_err(words)?;
        let channel = DeviceChannel::shake_hands(socket, number, dialing, &first)?;
        Ok(Self {
            channel,
            relay,
            offer,
            key,
            token: None,
            name: name.to_owned(),
            folder: folder.to_owned(),
        })
    }

    /// The six digits that the person types at the machine.
    pub fn code(&self) -> String {
        self.channel.code()
    }

    /// Its channel, to misbehave with.
    pub fn channel(&mut self) -> &mut DeviceChannel {
        &mut self.channel
    }

    /// Waits for what becomes of it: the device, and the session that the link
    /// was made for.
    pub fn finish(mut self) -> Result<(Device, Option<Uuid>), NotPaired> {
        let session = loop {
            match self.channel.next_control().map_err(NotPaired::Failed)? {
                MachineControl::Paired {
                    device_id, session, ..
                } => {
                    assert_eq!(device_id, DeviceId::of(&self.key.public()));
                    break session;
                }
                MachineControl::Refused {
                    reason,
                    message,
                    tries_left,
                } => {
                    return Err(NotPaired::Refused {
                        reason,
                        message,
                        tries_left,
                    });
                }
                _ => {}
            }
        };
        let own = DeviceId::of(&self.key.public());
        let claim = self.channel.claim(own).map_err(NotPaired::Failed)?;
        let token = http::claim(&self.relay, &claim, self.token.as_ref());
        let token = token.map_err(NotPaired::Failed)?;
        let device = Device {
            relay: self.relay,
            machine_id: self.offer.machine_id,
            machine_key: self.offer.machine_key,
            key: self.key,
            token,
            name: self.name,
            folder: self.folder,
        };
        device.keep();
        Ok((device, session))
    }
}

impl Device {
    /// The device that is kept in a folder, as after its own restart.
    pub fn load(folder: &Path) -> Self {
        let text = std::fs::read_to_string(folder.join("device.json")).expect("a kept device");
        let kept: Value = serde_json::from_str(&text).expect("JSON");
        let text = |field: &str| kept[field].as_str().expect("a text").to_owned();
        let bytes = |field: &str| -> [u8; 32] {
            serde_json::from_value(kept[field].clone()).expect("32 bytes")
        };
        Self {
            relay: text("relay").parse().expect("an address"),
            machine_id: text("machineId").parse().expect("an id"),
            machine_key: PublicKey(bytes("machineKey")),
            key: PrivateKey::from_bytes(bytes("key")),
            token: text("token").parse().expect("a token"),
            name: text("name"),
            folder: folder.to_owned(),
        }
    }

    fn keep(&self) {
        std::fs::create_dir_all(&self.folder).expect("a folder for the device");
        let kept = json!({
            "relay": self.relay.origin(),
            "machineId": self.machine_id,
            "machineKey": self.machine_key.0,
            "key": self.key.as_bytes(),
            "token": self.token,
            "name": self.name,
        });
        std::fs::write(self.folder.join("device.json"), kept.to_string())
            .expect("the device can be kept");
    }

    /// Its id.
    pub fn id(&self) -> DeviceId {
        DeviceId::of(&self.key.public())
    }

    /// Connects to the relay, no further.
    pub fn socket(&self) -> Result<RelaySocket, String> {
        let ticket = http::ticket(&self.relay, paths::TICKETS, Some(&self.token))?;
        RelaySocket::connect(&self.relay, &ticket.ticket)
    }

    /// A sealed channel to the machine, or why there is none now.
    pub fn channel(&self) -> Result<DeviceChannel, String> {
        let mut socket = self.socket()?;
        let number = socket.open_channel(Some(self.machine_id))?;
        let (dialing, first) = Dialing::open(
            self.machine_id,
            &self.machine_key,
            &self.key,
            &self.name,
            socket.window_bytes(),
        )
        .map_err(words)?;
        DeviceChannel::shake_hands(socket, number, dialing, &first)
    }

    /// The same, again and again until it works: what reconnecting is.
    pub fn reach(&self) -> DeviceChannel {
        let mut last = String::new();
        let end = std::time::Instant::now() + crate::DEADLINE;
        until("a channel to the machine", || {
            self.channel()
                .map_err(|why| last = why)
                .ok()
                .or_else(|| panic_late(end, &last))
        })
    }

    /// An initialised client on a channel of its own.
    pub fn client(&self) -> Client {
        let mut client = Client::on_channel(self.reach());
        client.initialize(&self.name);
        client
    }

    /// Sends what only the relay sees, on a socket of its own.
    pub fn say_to_relay(&self, message: &FromDevice) -> Result<RelaySocket, String> {
        let mut socket = self.socket()?;
        socket.say(message)?;
        Ok(socket)
    }

    /// Asks the relay for anything with this device's token; what it answers, or why not.
    pub fn ask_relay(&self, method: &str, path: &str, body: &Value) -> Result<String, String> {
        http::request(&self.relay, method, path, Some(&self.token), body)
    }

    /// Tries its ticket on the socket of a machine.
    pub fn socket_of_a_machine(&self) -> Result<RelaySocket, String> {
        let ticket = http::ticket(&self.relay, paths::TICKETS, Some(&self.token))?;
        RelaySocket::connect_to(&self.relay, paths::MACHINE_SOCKET, &ticket.ticket)
    }

    /// Asks the relay to forget this device.
    pub fn forget(&self) -> Result<(), String> {
        http::forget(&self.relay, &self.token)
    }
}

/// Says why shortly before the deadline would say only what.
fn panic_late<T>(end: std::time::Instant, why: &str) -> Option<T> {
    assert!(
        std::time::Instant::now() + std::time::Duration::from_secs(1) < end,
        "the machine was never reached: {why}"
    );
    None
}

fn words(error: impl std::fmt::Display) -> String {
    error.to_string()
}
