//! The paired devices: who may open a channel to this machine. Kept in one file, read once; every
//! change is on disk before it holds.

use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};

use link_proto::ids::DeviceId;
use link_proto::keys::PublicKey;
use link_proto::names;
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

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
    /// another device is called the same. A device that is paired again keeps its name.
    ///
    /// # Errors
    /// When it cannot be kept; it is not trusted then.
    pub fn add(&self, key: PublicKey, called: &str) -> Result<Paired, DeviceError> {
        let id = DeviceId::of(&key);
        let mut kept = self.lock();
        if let Some(known) = kept.iter().find(|d| d.id == id) {
            return Ok(known.clone());
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
        };
        let mut changed = kept.clone();
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

impl From<KeptDevice> for Paired {
    fn from(kept: KeptDevice) -> Self {
        let key = PublicKey(kept.key);
        Self {
            id: DeviceId::of(&key),
            key,
            name: kept.name,
            paired_at: kept.paired_at,
        }
    }
}

impl From<&Paired> for KeptDevice {
    fn from(device: &Paired) -> Self {
        Self {
            key: device.key.0,
            name: device.name.clone(),
            paired_at: device.paired_at.clone(),
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
            .add(PublicKey([1; 32]), "Ada's\u{202e} phone")
            .unwrap();
        assert_eq!(one.name, "Ada's phone");
        let two = devices.add(PublicKey([2; 32]), "Ada's phone").unwrap();
        assert_eq!(two.name, "Ada's phone 2");
        let three = devices.add(PublicKey([3; 32]), "\u{200b}").unwrap();
        assert_eq!(three.name, "device");
        assert!(changes.has_changed().unwrap());
        changes.mark_unchanged();
        assert_eq!(devices.add(PublicKey([1; 32]), "again").unwrap(), one);
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
}
