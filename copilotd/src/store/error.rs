//! What can go wrong, in words for people.
//!
//! Errors name what was being done and what SQLite said, never what is stored.

use std::io;
use std::path::PathBuf;
use std::time::SystemTime;

use rusqlite::ErrorCode;

use super::batch::Batch;

/// A sentence for people about what was found and done when the store was opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notice(pub String);

impl std::fmt::Display for Notice {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

/// Why there is no store. Nothing was changed, except where the words say so.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// A newer release made this database.
    #[error(
        "the sessions in {} were stored by a newer release (format {found}, this release knows \
         {known}); nothing was changed: install the newer release again, or move the file away",
        path.display()
    )]
    Newer {
        /// The database.
        path: PathBuf,
        /// Its format.
        found: i64,
        /// The newest format that this release knows.
        known: i64,
    },
    /// The file system refused.
    #[error("could not {doing} {}: {source}", path.display())]
    Files {
        /// A verb.
        doing: &'static str,
        /// What it was to be done to.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// SQLite refused, for a reason that is not damage.
    #[error("could not {doing} {}: {detail}", path.display())]
    Database {
        /// A verb.
        doing: &'static str,
        /// The database.
        path: PathBuf,
        /// What SQLite said.
        detail: String,
    },
    /// The system gave no thread.
    #[error("could not start the thread that writes sessions to disk: {0}")]
    Thread(io::Error),
}

/// Why something was not read or not written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// The database is damaged where this was to be read or written.
    #[error(
        "could not {doing}: the stored data is damaged ({detail}); \
         restart the daemon to recover what can be read"
    )]
    Damaged {
        /// A verb and its object.
        doing: &'static str,
        /// What SQLite said.
        detail: String,
    },
    /// There is no room on the disk.
    #[error("could not {doing}: the disk is full; make room and it goes on by itself")]
    DiskFull {
        /// A verb and its object.
        doing: &'static str,
    },
    /// Anything else that may pass: an I/O error, a lock that another program holds.
    #[error("could not {doing}: {detail}")]
    Failed {
        /// A verb and its object.
        doing: &'static str,
        /// What the system or SQLite said.
        detail: String,
    },
    /// This very input can never be stored.
    #[error("could not {doing}: {detail}")]
    Refused {
        /// A verb and its object.
        doing: &'static str,
        /// What SQLite said.
        detail: String,
    },
    /// The store was closed, or given up while the disk failed, before this was written.
    #[error("the store was closed before this was written")]
    Closed,
}

impl StoreError {
    /// What SQLite said while `doing`.
    pub(super) fn new(doing: &'static str, error: &rusqlite::Error) -> Self {
        let detail = error.to_string();
        match error.sqlite_error_code() {
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => {
                Self::Damaged { doing, detail }
            }
            Some(ErrorCode::DiskFull) => Self::DiskFull { doing },
            Some(
                ErrorCode::TooBig
                | ErrorCode::ConstraintViolation
                | ErrorCode::TypeMismatch
                | ErrorCode::ApiMisuse
                | ErrorCode::ParameterOutOfRange,
            ) => Self::Refused { doing, detail },
            Some(_) => Self::Failed { doing, detail },
            None if matches!(error, rusqlite::Error::ToSqlConversionFailure(_)) => {
                Self::Refused { doing, detail }
            }
            // The rest are values that are not of the type they were written with.
            None => Self::Damaged { doing, detail },
        }
    }

    /// What the system said while `doing`.
    pub(super) fn from_io(doing: &'static str, error: &io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::DiskFull { doing },
            _ => Self::Failed {
                doing,
                detail: error.to_string(),
            },
        }
    }
}

/// The queue of batches is full. The batch comes back: wait for [`super::Store::room`] and
/// submit it again, or refuse the input that it came from.
#[derive(Debug, thiserror::Error)]
#[error("the disk does not keep up: too much is waiting to be written")]
pub struct StoreFull(pub Box<Batch>);

/// There is too little room on the disk to accept more input.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoSpace {
    /// Less than the reserve is free.
    #[error(
        "the disk that holds the sessions is full ({free_bytes} bytes free, {reserve_bytes} \
         needed); make room and try again"
    )]
    Full {
        /// Free for this user.
        free_bytes: u64,
        /// What must stay free.
        reserve_bytes: u64,
    },
    /// The folder cannot be asked.
    #[error("the folder that holds the sessions cannot be used: {0}")]
    Unknown(String),
}

/// Whether batches reach the disk.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Health {
    /// They do.
    #[default]
    Good,
    /// They do not; they are kept in memory and tried again.
    Failing {
        /// When it began.
        since: SystemTime,
        /// A sentence for people.
        message: String,
    },
}
