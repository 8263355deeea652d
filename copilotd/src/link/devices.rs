//! The paired devices: who may open a channel to this machine, and through which relay each comes.
//! Kept in one file, read once; every change is on disk before it holds.
//!
//! A device is trusted by its key, whatever the relay. But a relay lets only those devices come
//! that were paired through it, and a page's key belongs to the address of one relay.

use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};

use link_proto::ids::DeviceId;
use link_proto::keys::PublicKey;
use link_proto::links::RelayUrl;
use link_proto::names;
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use super::Link;
use super::files::{self, FileError};

const VERSION: u32 = 1;
/// As many devices as are kept; pairing one more is refused.
pub const MAX_DEVICES: usize = 100;

/// The file, frozen.
#[derive(Default, Serialize, Deserialize)]
struct File {
    version: u32,
    devices: Vec<KeptDevice>,
}

#[derive(Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct KeptDevice {
    #[serde(with = "files::bytes")]
    key: [u8; 32],
    name: String,
    paired_at: String,
    /// Absent in the files of earlier versions, too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    relay: Option<String>,
}

/// What is kept of the own relay, as far as it matters here.
#[derive(Deserialize)]
struct OwnRelay {
    port: u16,
}

/// A device that this machine trusts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Paired {
    /// Follows from the key.
    pub id: DeviceId,
    /// Proves that it is this device.
    pub key: PublicKey,
    /// The name given to it here.
    pub name: String,
    /// When, RFC 3339.
    pub paired_at: String,
    /// The address of the relay that it comes through; none when that relay forgot it, or it is
    /// not known.
    pub relay: Option<String>,
}

/// Why the list did not change, in words for people.
#[derive(Debug, thiserror::Error)]
pub enum DeviceError {
    /// The file.
    #[error(transparent)]
    File(#[from] FileError),
    /// No device of that id.
    #[error("there is no paired device {0}")]
    Unknown(String),
    /// A name of which nothing can be seen.
    #[error(
        "a device's name has 1 to {} characters that can be seen",
        names::MAX_NAME_CHARS
    )]
    Name,
    /// As many as are kept.
    #[error("{MAX_DEVICES} devices are paired; revoke one first")]
    TooMany,
}

/// See the module.
#[derive(Debug)]
pub struct Devices {
    file: PathBuf,
    kept: Mutex<Vec<Paired>>,
    changes: watch::Sender<()>,
}

impl Devices {
    /// The devices in the file, which need not exist.
    ///
    /// # Errors
    /// When it is there and cannot be read.
    pub fn open(file: PathBuf) -> Result<Self, FileError> {
        let kept = match files::read::<File>(&file)? {
            None => Vec::new(),
            Some(kept) if kept.version == VERSION => {
                kept.devices.into_iter().map(Paired::from).collect()
            }
            Some(_) => return Err(FileError::NotUnderstood { path: file }),
        };
        Ok(Self {
            file,
            kept: Mutex::new(kept),
            changes: watch::Sender::new(()),
        })
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Paired>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// All of them, in the order in which they were paired.
    pub fn all(&self) -> Vec<Paired> {
        self.lock().clone()
    }

    /// The device of this id.
    pub fn find(&self, id: DeviceId) -> Option<Paired> {
        self.lock().iter().find(|d| d.id == id).cloned()
    }

    /// To be told of every change.
    pub fn watch(&self) -> watch::Receiver<()> {
        self.changes.subscribe()
    }

    /// Trusts the device with this key from now on. Its own name for itself gets a number when
    /// another device is called the same. A device that is paired again keeps its name, and comes
    /// through `relay` from now on.
    ///
    /// # Errors
    /// When it cannot be kept; it is not trusted then.
    pub fn add(
        &self,
        key: PublicKey,
        called: &str,
        relay: Option<&str>,
    ) -> Result<Paired, DeviceError> {
        let id = DeviceId::of(&key);
        let relay = relay.map(str::to_owned);
        let mut kept = self.lock();
        let mut changed = kept.clone();
        if let Some(known) = changed.iter_mut().find(|d| d.id == id) {
            let moves = relay.is_some() && known.relay != relay;
            known.relay = relay.or(known.relay.take());
            let known = known.clone();
            if moves {
                self.keep(&mut kept, changed)?;
            }
            return Ok(known);
        }
        if kept.len() >= MAX_DEVICES {
            return Err(DeviceError::TooMany);
        }
        let called = names::clean(called).unwrap_or_else(|| "device".to_owned());
        let device = Paired {
            id,
            key,
            name: unique(&called, &kept),
            paired_at: format!("{:.0}", jiff::Timestamp::now()),
            relay,
        };
        changed.push(device.clone());
        self.keep(&mut kept, changed)?;
        Ok(device)
    }

    /// Gives a device another name. Channels that are open keep showing the old one.
    ///
    /// # Errors
    /// When there is no such device, or it cannot be kept.
    pub fn rename(&self, id: DeviceId, name: &str) -> Result<(), DeviceError> {
        let name = names::clean(name).ok_or(DeviceError::Name)?;
        let mut kept = self.lock();
        let mut changed = kept.clone();
        let device = changed.iter_mut().find(|d| d.id == id);
        device
            .ok_or_else(|| DeviceError::Unknown(id.to_string()))?
            .name = name;
        self.keep(&mut kept, changed)
    }

    /// Trusts a device no more. Its channels end because of it.
    ///
    /// # Errors
    /// When there is no such device, or it cannot be kept; it is trusted still.
    pub fn revoke(&self, id: DeviceId) -> Result<(), DeviceError> {
        let mut kept = self.lock();
        let changed: Vec<Paired> = kept.iter().filter(|d| d.id != id).cloned().collect();
        if changed.len() == kept.len() {
            return Err(DeviceError::Unknown(id.to_string()));
        }
        self.keep(&mut kept, changed)
    }

    /// Notes that no device comes through this relay any more.
    ///
    /// # Errors
    /// When it cannot be kept.
    fn forget_relay(&self, relay: &str) -> Result<(), DeviceError> {
        let mut kept = self.lock();
        let mut changed = kept.clone();
        for device in &mut changed {
            device.relay.take_if(|its| its == relay);
        }
        self.keep(&mut kept, changed)
    }

    fn keep(&self, kept: &mut Vec<Paired>, changed: Vec<Paired>) -> Result<(), DeviceError> {
        let file = File {
            version: VERSION,
            devices: changed.iter().map(KeptDevice::from).collect(),
        };
        files::write(&self.file, &file)?;
        *kept = changed;
        self.changes.send_replace(());
        Ok(())
    }
}

impl Link {
    /// The paired devices, and whether each can come through the relay that is in use. One that is
    /// here came through it.
    pub fn devices_that_come(&self) -> Vec<(Paired, bool)> {
        let relay = self.relay_in_use();
        let comes = |(device, connected): (Paired, bool)| {
            let is_its = device.relay.is_some() && device.relay == relay;
            (device, connected || is_its)
        };
        self.devices().into_iter().map(comes).collect()
    }

    /// The relay of [`Link::log_in`].
    pub fn joined_relay(&self) -> Option<String> {
        let login = self.login.borrow();
        login.as_ref().map(|access| access.relay.to_string())
    }

    /// Notes that a relay was left for good, and with it everybody's access to this machine.
    ///
    /// # Errors
    /// When it cannot be kept.
    pub fn relay_forgot_devices(&self, relay: &str) -> Result<(), DeviceError> {
        self.devices.forget_relay(relay)
    }

    /// The address of the relay that is in use, or will be once something is to be reached. Not
    /// read off the link, which follows what is wanted a moment later.
    pub(super) fn relay_in_use(&self) -> Option<String> {
        match (self.joined_relay(), self.uses_own_relay()) {
            (None, true) => self.own_relay_address(),
            (None, false) => None,
            (Some(joined), _) => {
                let is_joined = |set: RelayUrl| set.to_string() == joined;
                let set = self.host.shared.settings().remote.relay;
                set.is_none_or(|set| set.parse().is_ok_and(is_joined))
                    .then_some(joined)
            }
        }
    }

    /// Where the own relay listens, or will, when its port is free still.
    fn own_relay_address(&self) -> Option<String> {
        // What cannot be read is begun anew when the relay starts.
        let kept = files::read::<OwnRelay>(&self.own_relay.as_ref()?.file);
        let port = kept.ok().flatten()?.port;
        Some(format!("http://127.0.0.1:{port}"))
    }
}

impl From<KeptDevice> for Paired {
    fn from(kept: KeptDevice) -> Self {
        let key = PublicKey(kept.key);
        Self {
            id: DeviceId::of(&key),
            key,
            name: kept.name,
            paired_at: kept.paired_at,
            relay: kept.relay,
        }
    }
}

impl From<&Paired> for KeptDevice {
    fn from(device: &Paired) -> Self {
        Self {
            key: device.key.0,
            name: device.name.clone(),
            paired_at: device.paired_at.clone(),
            relay: device.relay.clone(),
        }
    }
}

fn unique(called: &str, kept: &[Paired]) -> String {
    let is_free = |name: &str| !kept.iter().any(|d| d.name == name);
    let numbered = (2..).map(|n| format!("{called} {n}"));
    std::iter::once(called.to_owned())
        .chain(numbered)
        .find(|name| is_free(name))
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices_are_kept_named_and_forgotten() {
        let scratch = tempfile::tempdir().unwrap();
        let file = scratch.path().join("link/devices.json");
        let devices = Devices::open(file.clone()).unwrap();
        let mut changes = devices.watch();
        let one = devices
            .add(PublicKey([1; 32]), "Ada's\u{202e} phone", None)
            .unwrap();
        assert_eq!(one.name, "Ada's phone");
        let two = devices
            .add(PublicKey([2; 32]), "Ada's phone", None)
            .unwrap();
        assert_eq!(two.name, "Ada's phone 2");
        let three = devices.add(PublicKey([3; 32]), "\u{200b}", None).unwrap();
        assert_eq!(three.name, "device");
        assert!(changes.has_changed().unwrap());
        changes.mark_unchanged();
        assert_eq!(devices.add(PublicKey([1; 32]), "again", None).unwrap(), one);
        assert!(!changes.has_changed().unwrap());
        devices.rename(two.id, "Bob's tablet").unwrap();
        devices.revoke(one.id).unwrap();
        assert!(devices.find(one.id).is_none());
        assert!(matches!(
            devices.revoke(one.id),
            Err(DeviceError::Unknown(_))
        ));
        assert!(matches!(
            devices.rename(two.id, " "),
            Err(DeviceError::Name)
        ));

        let again = Devices::open(file.clone()).unwrap();
        assert_eq!(again.all(), devices.all());
        assert_eq!(again.find(two.id).unwrap().name, "Bob's tablet");
        std::fs::write(&file, "{").unwrap();
        assert!(Devices::open(file.clone()).is_err());
        assert_eq!(std::fs::read_to_string(&file).unwrap(), "{");
    }

    #[test]
    fn it_is_kept_through_which_relay_a_device_comes_until_that_one_forgets_it() {
        let scratch = tempfile::tempdir().unwrap();
        let file = scratch.path().join("devices.json");
        // As earlier versions wrote it.
        let earlier = r#"{"version":1,"devices":[{"key":"AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE","name":"phone","pairedAt":"2030-01-02T03:04:05Z"}]}"#;
        std::fs::write(&file, earlier).unwrap();
        let devices = Devices::open(file.clone()).unwrap();
        let phone = devices.all().remove(0);
        assert_eq!(phone.relay, None);
        let own = Some("http://127.0.0.1:1");
        devices.add(PublicKey([2; 32]), "tablet", own).unwrap();
        let again = devices.add(phone.key, "again", Some("https://r.example"));
        assert_eq!(again.unwrap().name, "phone");
        let again = Devices::open(file).unwrap();
        assert_eq!(again.all(), devices.all());
        again.forget_relay("https://r.example").unwrap();
        let relays: Vec<_> = again.all().into_iter().map(|d| d.relay).collect();
        assert_eq!(relays, [None, Some("http://127.0.0.1:1".to_owned())]);
    }
}
