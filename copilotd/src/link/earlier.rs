//! Relays that this machine joined, does not use any more, and is still known to: they let it join again only with
//! the token that it has there.

use std::path::PathBuf;

use link_proto::keys::Token;
use link_proto::links::RelayUrl;
use serde::{Deserialize, Serialize};

use super::api::Access;
use super::files::{self, FileError};

const VERSION: u32 = 1;
/// As many are kept; the oldest goes first.
const MOST: usize = 16;

/// What is kept of them, frozen.
#[derive(Serialize, Deserialize)]
struct Kept {
    version: u32,
    relays: Vec<KeptRelay>,
}

#[derive(Serialize, Deserialize)]
struct KeptRelay {
    relay: String,
    token: Token,
}

/// See the module.
pub(super) struct Earlier {
    file: PathBuf,
}

impl Earlier {
    /// Kept in this file, if there are any.
    pub(super) fn new(file: PathBuf) -> Self {
        Self { file }
    }

    /// The token that this machine has there.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub(super) fn token(&self, relay: &RelayUrl) -> Result<Option<Token>, FileError> {
        let mut relays = self.relays()?.into_iter();
        let found = relays.find(|kept| kept.relay == relay.to_string());
        Ok(found.map(|kept| kept.token))
    }

    /// Keeps a relay and the token there.
    ///
    /// # Errors
    /// When the file cannot be read or written.
    pub(super) fn keep(&self, access: &Access) -> Result<(), FileError> {
        let relay = access.relay.to_string();
        let mut relays = self.relays()?;
        relays.retain(|kept| kept.relay != relay);
        let token = access.token.clone();
        relays.push(KeptRelay { relay, token });
        relays.drain(..relays.len().saturating_sub(MOST));
        self.write(relays)
    }

    /// The relay is in use, or does not know this machine any more.
    ///
    /// # Errors
    /// When the file cannot be read or written.
    pub(super) fn forget(&self, relay: &RelayUrl) -> Result<(), FileError> {
        let mut relays = self.relays()?;
        let before = relays.len();
        relays.retain(|kept| kept.relay != relay.to_string());
        match relays.len() {
            left if left == before => Ok(()),
            0 => files::remove(&self.file),
            _ => self.write(relays),
        }
    }

    fn relays(&self) -> Result<Vec<KeptRelay>, FileError> {
        match files::read::<Kept>(&self.file)? {
            Some(kept) if kept.version == VERSION => Ok(kept.relays),
            Some(_) => Err(FileError::NotUnderstood {
                path: self.file.clone(),
            }),
            None => Ok(Vec::new()),
        }
    }

    fn write(&self, relays: Vec<KeptRelay>) -> Result<(), FileError> {
        let version = VERSION;
        files::write(&self.file, &Kept { version, relays })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_is_found_again_until_it_is_forgotten() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("earlier-relays.json");
        let earlier = Earlier::new(file.clone());
        let relay = |n: usize| -> RelayUrl { format!("https://relay{n}.test").parse().unwrap() };
        let access = |n, token| Access {
            relay: relay(n),
            token: Token::from_bytes([token; 32]),
        };
        let first = |n| {
            let token = earlier.token(&relay(n)).unwrap();
            token.map(|token| token.as_bytes()[0])
        };
        assert_eq!(first(1), None);
        earlier.keep(&access(1, 1)).unwrap();
        earlier.keep(&access(2, 2)).unwrap();
        earlier.keep(&access(1, 3)).unwrap();
        assert_eq!((first(1), first(2)), (Some(3), Some(2)));
        earlier.forget(&relay(1)).unwrap();
        earlier.forget(&relay(1)).unwrap();
        assert_eq!((first(1), first(2)), (None, Some(2)));
        for n in 3..3 + MOST {
            earlier.keep(&access(n, 4)).unwrap();
        }
        assert_eq!((first(2), first(3)), (None, Some(4)));
        for n in 3..3 + MOST {
            earlier.forget(&relay(n)).unwrap();
        }
        assert!(!file.exists());
    }
}
