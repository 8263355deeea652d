//! What is known of a file, folder or link at one moment, and what became of it.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::{Path, PathBuf};

use percent_encoding::{AsciiSet, CONTROLS, percent_decode_str, percent_encode};
use serde::{Deserialize, Serialize};

/// A path as text that keeps every byte, and sorts a folder before what is in it. Relative to
/// the session's folder; absolute for what is elsewhere.
pub(super) type Key = String;

const ESCAPED: &AsciiSet = &CONTROLS.add(b'%');

pub(super) fn key_of(path: &Path) -> Key {
    percent_encode(path.as_os_str().as_bytes(), ESCAPED).to_string()
}

pub(super) fn path_of(key: &str) -> PathBuf {
    let bytes: Vec<u8> = percent_decode_str(key).collect();
    PathBuf::from(OsString::from_vec(bytes))
}

/// A file, folder or link, as far as it is restored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "camelCase")]
pub enum Entry {
    /// A file whose content is kept.
    File {
        /// Permission bits.
        mode: u32,
        /// SHA-256 of the content, in hexadecimal.
        sha256: String,
    },
    /// A file that is too large to be kept. It is told apart by what the system says of it.
    Large {
        /// Permission bits.
        mode: u32,
        /// Bytes.
        size: u64,
        /// When its content changed, nanoseconds since 1970.
        modified_ns: i64,
    },
    /// A symbolic link, which is never followed.
    Link {
        /// Where it leads, as the key of a path.
        target: Key,
    },
    /// A folder.
    Folder {
        /// Permission bits.
        mode: u32,
    },
}

impl Entry {
    pub(super) fn is_folder(&self) -> bool {
        matches!(self, Self::Folder { .. })
    }
}

/// What the system says of an entry without opening it. As long as it stays the same, so does
/// the content.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Stamp {
    pub(super) device: u64,
    pub(super) inode: u64,
    pub(super) mode: u32,
    pub(super) size: u64,
    pub(super) modified_ns: i64,
    pub(super) changed_ns: i64,
}

/// An entry and how to see cheaply that it is still the same.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Found {
    pub(super) entry: Entry,
    pub(super) stamp: Stamp,
    /// Whether it was old enough when it was read that a later change shows in its times.
    pub(super) settled: bool,
}

/// The folder at one moment.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct Manifest {
    pub(super) entries: BTreeMap<Key, Found>,
    /// What was left out because it is ignored; nothing below it is in `entries`.
    pub(super) ignored: BTreeSet<Key>,
}

/// What became of one path in a turn.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    pub(super) key: Key,
    /// Before the turn; nothing when it was not there.
    pub before: Option<Entry>,
    /// After the turn; nothing when it is gone.
    pub after: Option<Entry>,
}

/// A change in one word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum ChangeKind {
    /// It was not there before.
    Created,
    /// Its content, mode or kind changed.
    Edited,
    /// It is gone.
    Deleted,
}

impl Change {
    /// Relative to the session's folder; absolute for what is elsewhere.
    #[must_use]
    pub fn path(&self) -> PathBuf {
        path_of(&self.key)
    }

    /// What the turn did.
    #[must_use]
    pub fn kind(&self) -> ChangeKind {
        match (&self.before, &self.after) {
            (None, _) => ChangeKind::Created,
            (_, None) => ChangeKind::Deleted,
            _ => ChangeKind::Edited,
        }
    }

    /// Whether it cannot be restored, because it was too large to be kept.
    #[must_use]
    pub fn is_lost(&self) -> bool {
        matches!(self.before, Some(Entry::Large { .. }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_keeps_every_byte_and_sorts_folders_first() {
        for bytes in [
            &b"a/b c"[..],
            b"new\nline",
            b"100%",
            b"\xff\xfe",
            "é".as_bytes(),
        ] {
            let path = PathBuf::from(OsString::from_vec(bytes.to_vec()));
            assert_eq!(path_of(&key_of(&path)), path);
        }
        assert!(key_of(Path::new("a")) < key_of(Path::new("a/b")));
    }
}
