//! Who this machine is towards relays and devices: an id and a key, made once, and a name.

use std::path::Path;

use link_proto::channel::MachineInfo;
use link_proto::ids::MachineId;
use link_proto::keys::{PrivateKey, RandomError};
use link_proto::names;
use serde::{Deserialize, Serialize};
use zeroize::Zeroize;

use super::files::{self, FileError};

const VERSION: u32 = 1;

/// The file, frozen.
#[derive(Serialize, Deserialize)]
struct Kept {
    version: u32,
    id: MachineId,
    #[serde(with = "files::bytes")]
    key: [u8; 32],
}

impl Drop for Kept {
    fn drop(&mut self) {
        self.key.zeroize();
    }
}

/// This machine.
#[derive(Debug)]
pub(super) struct Machine {
    /// Its id.
    pub(super) id: MachineId,
    /// Its key, which never leaves it.
    pub(super) key: PrivateKey,
    /// What it says of itself to devices.
    pub(super) info: MachineInfo,
}

/// Why this machine has no identity.
#[derive(Debug, thiserror::Error)]
pub(super) enum IdentityError {
    /// The file.
    #[error(transparent)]
    File(#[from] FileError),
    /// Nothing to make keys from.
    #[error(transparent)]
    Random(#[from] RandomError),
}

impl Machine {
    /// The machine of this file, made at its first use.
    ///
    /// # Errors
    /// When the file is there and cannot be read, or cannot be made.
    pub(super) fn open(file: &Path) -> Result<Self, IdentityError> {
        let kept = match files::read::<Kept>(file)? {
            Some(kept) if kept.version == VERSION => kept,
            Some(_) => {
                let path = file.to_owned();
                return Err(FileError::NotUnderstood { path }.into());
            }
            None => {
                let kept = Kept {
                    version: VERSION,
                    id: MachineId::generate()?,
                    key: *PrivateKey::generate()?.as_bytes(),
                };
                files::write(file, &kept)?;
                kept
            }
        };
        Ok(Self {
            id: kept.id,
            key: PrivateKey::from_bytes(kept.key),
            info: MachineInfo {
                name: host_name(),
                build: crate::BUILD.to_owned(),
            },
        })
    }
}

fn host_name() -> String {
    let name = nix::unistd::gethostname().ok();
    let name = name.and_then(|n| names::clean(&n.to_string_lossy()));
    name.unwrap_or_else(|| "this machine".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_is_made_once_and_kept_to_its_owner() {
        use std::os::unix::fs::PermissionsExt as _;
        let scratch = tempfile::tempdir().unwrap();
        let file = scratch.path().join("link/machine.json");
        let made = Machine::open(&file).unwrap();
        let again = Machine::open(&file).unwrap();
        assert_eq!((made.id, &made.key), (again.id, &again.key));
        let mode = file.metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        for damaged in [
            "",
            "{}",
            r#"{"version":2,"id":"00000000000000000000000000000000","key":"AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE"}"#,
        ] {
            std::fs::write(&file, damaged).unwrap();
            let error = Machine::open(&file).unwrap_err().to_string();
            assert!(error.contains("damaged or of a newer version"), "{error}");
            assert_eq!(std::fs::read_to_string(&file).unwrap(), damaged);
        }
    }
}
