//! Whose machines and devices they are.
//!
//! A machine belongs to the account whose enrolment token it joined with, a device to the account of the
//! machine that admitted it. Nothing crosses from one account to another.

use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use link_proto::keys::Token;

use crate::digest::TokenDigest;

/// An account, as the store numbers it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct AccountId(pub i64);

/// Knows the accounts of a relay.
pub trait Accounts: Send + Sync {
    /// The account that a machine joins with this enrolment token.
    fn of_enrolment(&self, token: &Token) -> Option<AccountId>;
}

/// A relay of one person: one account, one enrolment token in a file that only its owner can read.
#[derive(Debug)]
pub struct SingleUser {
    enrolment: TokenDigest,
}

/// Why a relay has no enrolment token.
#[derive(Debug, thiserror::Error)]
pub enum EnrolmentError {
    /// The file can be neither read nor made.
    #[error("the enrolment token in {} cannot be used: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The file holds something else.
    #[error(
        "{} holds no enrolment token; delete it and a new one is made at the next start",
        path.display()
    )]
    NotAToken {
        /// The file.
        path: PathBuf,
    },
    /// No randomness to make one from.
    #[error(transparent)]
    Random(#[from] link_proto::keys::RandomError),
}

impl SingleUser {
    /// The only account.
    const ACCOUNT: AccountId = AccountId(1);

    /// The person whose enrolment token this is.
    #[must_use]
    pub fn new(enrolment: &Token) -> Self {
        Self {
            enrolment: TokenDigest::of(enrolment),
        }
    }
}

impl Accounts for SingleUser {
    fn of_enrolment(&self, token: &Token) -> Option<AccountId> {
        self.enrolment.is_of(token).then_some(Self::ACCOUNT)
    }
}

/// The enrolment token of the relay with this data folder, made at its first use.
///
/// # Errors
/// When it can be neither read nor made.
pub fn enrolment_token(data: &Path) -> Result<Token, EnrolmentError> {
    let path = data.join("enrolment-token");
    let failed = |source| EnrolmentError::File {
        path: path.clone(),
        source,
    };
    let made = Token::generate()?;
    // Written beside and linked into place: two starts at once agree on one token, and nobody reads half a
    // token.
    let beside = data.join(format!(".enrolment-token.{}", std::process::id()));
    let written = std::fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&beside)
        .and_then(|mut file| {
            writeln!(file, "{}", made.to_text().as_str())?;
            file.sync_all()
        })
        .and_then(|()| match std::fs::hard_link(&beside, &path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            linked => linked,
        });
    // It has another name now, or was not needed.
    let _ = std::fs::remove_file(&beside);
    written.map_err(failed)?;
    std::fs::read_to_string(&path)
        .map_err(failed)?
        .trim()
        .parse()
        .map_err(|_| EnrolmentError::NotAToken { path: path.clone() })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn the_enrolment_token_is_made_once_and_only_its_owner_reads_it() {
        let data = tempfile::tempdir().unwrap();
        let token = enrolment_token(data.path()).unwrap();
        assert!(TokenDigest::of(&token).is_of(&enrolment_token(data.path()).unwrap()));
        let file = data.path().join("enrolment-token");
        let mode = std::fs::metadata(&file).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert_eq!(std::fs::read_dir(data.path()).unwrap().count(), 1);

        let person = SingleUser::new(&token);
        assert_eq!(person.of_enrolment(&token), Some(AccountId(1)));
        assert_eq!(
            person.of_enrolment(&Token::from_bytes([0; 32])),
            None,
            "another token"
        );

        std::fs::write(&file, "something else").unwrap();
        let error = enrolment_token(data.path()).unwrap_err().to_string();
        assert!(error.contains("delete it"), "{error}");
    }
}
