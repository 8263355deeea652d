//! What is needed to take the changes of a turn back: kept before, compared after, restored on
//! demand.
//!
//! It owns one folder a session, beside nothing of the person's. It knows folders, files and
//! turns' ids, and nothing of sessions, agents or clients. It must never follow a link out of
//! the folder, never run anything, never touch a repository's own data (`.git`), and never
//! restore over something that changed since. `docs/undo.md` says what people can rely on.
//!
//! Everything here blocks on the disk: callers run it beside their loop.

mod beneath;
mod blobs;
mod compare;
mod entry;
mod ignored;
mod kept;
mod restore;
mod scan;

#[cfg(test)]
mod tests;

use std::io;
use std::path::{Path, PathBuf};

pub use entry::{Change, ChangeKind, Entry};
pub use kept::{Kept, TurnChanges};
pub use restore::{Plan, Restored, place};

/// Bounds of what is kept for one session.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Files and folders that are looked at; with more, only what tools announce is kept.
    pub entries: usize,
    /// Bytes of all of them together; the same.
    pub total_bytes: u64,
    /// A larger file is noticed when it changes, but not kept.
    pub file_bytes: u64,
    /// Turns that can be taken back.
    pub turns: usize,
    /// Bytes on disk; the oldest turns go.
    pub kept_bytes: u64,
}

impl Default for Limits {
    fn default() -> Self {
        const MIB: u64 = 1024 * 1024;
        Self {
            entries: 50_000,
            total_bytes: 512 * MIB,
            file_bytes: 64 * MIB,
            turns: 50,
            kept_bytes: 1024 * MIB,
        }
    }
}

/// Why changes cannot be kept or taken back, in words for people.
#[derive(Debug, thiserror::Error)]
pub enum UndoError {
    /// There is nothing to take back.
    #[error("{0}")]
    Nothing(String),
    /// Something is not as the turn left it.
    #[error("{}", changed_since(paths))]
    ChangedSince {
        /// Relative to the folder where they are in it.
        paths: Vec<PathBuf>,
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
    /// What was kept is not what it was.
    #[error("what was kept of {} is damaged; nothing was changed", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
    },
}

impl UndoError {
    fn files(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Files {
            doing,
            path,
            source,
        }
    }
}

/// Paths that are named in one sentence; the others are counted.
const NAMED: usize = 20;

/// Paths as one list of words.
#[must_use]
pub fn names(paths: &[PathBuf]) -> String {
    let named = paths.iter().take(NAMED).map(|path| shown(path));
    let mut text = named.collect::<Vec<_>>().join(", ");
    if paths.len() > NAMED {
        text.push_str(&format!(" and {} more", paths.len() - NAMED));
    }
    text
}

/// A path on one line, whatever is in its name.
#[must_use]
pub fn shown(path: &Path) -> String {
    let text = path.display().to_string();
    match text.chars().any(char::is_control) {
        true => text.escape_debug().to_string(),
        false => text,
    }
}

fn changed_since(paths: &[PathBuf]) -> String {
    let names = names(paths);
    format!("nothing was undone, because this changed since: {names}")
}
