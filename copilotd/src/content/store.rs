//! Blobs named by their hash, per session.

use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, ErrorKind, Read, Seek, SeekFrom};
use std::ops::Range;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use super::output::{self, OutputFile};
use super::private;
use super::uri::ContentUri;

/// As much as one read returns. Bytes. Whoever wants more asks for ranges.
pub const MAX_READ_BYTES: u64 = 8 * 1024 * 1024;

/// What a blob is called and how long it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContentId {
    /// 64 lower-case hexadecimal digits.
    pub sha256: String,
    /// Bytes.
    pub size: u64,
}

/// The content of all sessions.
#[derive(Debug, Clone)]
pub struct ContentStore {
    folder: PathBuf,
}

impl ContentStore {
    /// The content in this folder, which is created when something is put there.
    #[must_use]
    pub fn new(folder: PathBuf) -> Self {
        Self { folder }
    }

    /// Keeps the bytes for the session. On return they are on disk; the same bytes are kept
    /// once.
    pub fn put(&self, session: &str, bytes: &[u8]) -> io::Result<ContentId> {
        let id = ContentId {
            sha256: hex(&Sha256::digest(bytes)),
            size: bytes.len() as u64,
        };
        let folder = self.session_folder(session)?;
        let path = folder.join(&id.sha256);
        let is_there = path
            .symlink_metadata()
            .is_ok_and(|found| found.is_file() && found.len() == id.size);
        if !is_there {
            private::create_folder(&folder)?;
            private::write_atomically(&path, bytes)?;
        }
        Ok(id)
    }

    /// Reads a blob, or the part of it that lies in `range` (bytes; what lies beyond the end
    /// is left out). More than [`MAX_READ_BYTES`] at once is an error.
    pub fn read(
        &self,
        session: &str,
        sha256: &str,
        range: Option<Range<u64>>,
    ) -> io::Result<Vec<u8>> {
        if !is_hash(sha256) {
            return Err(invalid("that is not the name of a content"));
        }
        read_range(&self.session_folder(session)?.join(sha256), range)
    }

    /// Opens the output of a tool call for appending; it is created when it is new.
    pub fn output(&self, session: &str, tool_call_id: &str) -> io::Result<OutputFile> {
        let folder = self.session_folder(session)?;
        private::create_folder(&folder)?;
        OutputFile::open(&folder.join(output::file_name(tool_call_id)))
    }

    /// Reads the output of a tool call, as [`ContentStore::read`] reads a blob. It may still
    /// be growing.
    pub fn read_output(
        &self,
        session: &str,
        tool_call_id: &str,
        range: Option<Range<u64>>,
    ) -> io::Result<Vec<u8>> {
        let folder = self.session_folder(session)?;
        read_range(&folder.join(output::file_name(tool_call_id)), range)
    }

    /// How long a content is now, in bytes.
    pub fn size(&self, uri: &ContentUri) -> io::Result<u64> {
        let path = match uri {
            ContentUri::Content {
                session, sha256, ..
            } if is_hash(sha256) => self.session_folder(session)?.join(sha256),
            ContentUri::Content { .. } => return Err(invalid("that is not the name of a content")),
            ContentUri::Output {
                session,
                tool_call_id,
                ..
            } => self
                .session_folder(session)?
                .join(output::file_name(tool_call_id)),
        };
        let found = path.symlink_metadata()?;
        match found.is_file() {
            true => Ok(found.len()),
            false => Err(ErrorKind::NotFound.into()),
        }
    }

    /// Removes everything that is kept for the session.
    pub fn remove_session(&self, session: &str) -> io::Result<()> {
        match std::fs::remove_dir_all(self.session_folder(session)?) {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
            result => result,
        }
    }

    fn session_folder(&self, session: &str) -> io::Result<PathBuf> {
        // Only the usual spelling: another one of the same uuid would be another folder.
        let uuid = uuid::Uuid::try_parse(session)
            .ok()
            .filter(|uuid| uuid.hyphenated().to_string() == session)
            .ok_or_else(|| invalid("that is not the id of a session"))?;
        Ok(self.folder.join(uuid.hyphenated().to_string()))
    }
}

fn is_hash(name: &str) -> bool {
    let hex = |b: u8| matches!(b, b'0'..=b'9' | b'a'..=b'f');
    name.len() == 64 && name.bytes().all(hex)
}

fn read_range(path: &Path, range: Option<Range<u64>>) -> io::Result<Vec<u8>> {
    let mut file: File = private::options().read(true).open(path)?;
    let size = file.metadata()?.len();
    let range = range.unwrap_or(0..size);
    let (from, to) = (range.start.min(size), range.end.min(size));
    if range.start > range.end {
        return Err(invalid("the range ends before it begins"));
    }
    let length = to - from;
    if length > MAX_READ_BYTES {
        return Err(io::Error::new(
            ErrorKind::FileTooLarge,
            format!("that is {length} bytes; ask for at most {MAX_READ_BYTES} at once"),
        ));
    }
    file.seek(SeekFrom::Start(from))?;
    let mut bytes = Vec::new();
    file.take(length).read_to_end(&mut bytes)?;
    Ok(bytes)
}

pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn invalid(why: &'static str) -> io::Error {
    io::Error::new(ErrorKind::InvalidInput, why)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SESSION: &str = "0197f3c2-4d2e-4f6a-9a55-1c2d3e4f5a6b";
    const OTHER: &str = "0197f3c2-4d2e-4f6a-9a55-1c2d3e4f5a6c";

    fn scratch() -> (tempfile::TempDir, ContentStore) {
        let scratch = tempfile::tempdir().unwrap();
        let store = ContentStore::new(scratch.path().join("content"));
        (scratch, store)
    }

    #[test]
    fn what_was_put_is_read_back_whole_and_in_parts() {
        let (_scratch, store) = scratch();
        let id = store.put(SESSION, b"hello").unwrap();
        assert_eq!(
            id.sha256,
            "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"
        );
        assert_eq!(id.size, 5);
        let table: &[(Option<Range<u64>>, &[u8])] = &[
            (None, b"hello"),
            (Some(0..5), b"hello"),
            (Some(1..3), b"el"),
            (Some(3..u64::MAX), b"lo"),
            (Some(5..9), b""),
            (Some(90..99), b""),
            (Some(2..2), b""),
        ];
        for (range, expected) in table {
            let read = store.read(SESSION, &id.sha256, range.clone()).unwrap();
            assert_eq!(read, *expected, "{range:?}");
        }
        #[expect(clippy::reversed_empty_ranges, reason = "a hostile range")]
        let reversed = store.read(SESSION, &id.sha256, Some(3..1)).unwrap_err();
        assert_eq!(reversed.kind(), ErrorKind::InvalidInput);
    }

    #[test]
    fn the_same_bytes_are_kept_once_and_repaired_when_cut_short() {
        let (scratch, store) = scratch();
        let id = store.put(SESSION, b"hello").unwrap();
        assert_eq!(store.put(SESSION, b"hello").unwrap(), id);
        let folder = scratch.path().join("content").join(SESSION);
        assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 1);
        std::fs::write(folder.join(&id.sha256), "he").unwrap();
        store.put(SESSION, b"hello").unwrap();
        assert_eq!(store.read(SESSION, &id.sha256, None).unwrap(), b"hello");
    }

    #[test]
    fn a_session_sees_and_removes_only_its_own() {
        let (_scratch, store) = scratch();
        let id = store.put(SESSION, b"hello").unwrap();
        store.put(OTHER, b"other").unwrap();
        let missing = store.read(OTHER, &id.sha256, None).unwrap_err();
        assert_eq!(missing.kind(), ErrorKind::NotFound);
        store.remove_session(OTHER).unwrap();
        store.remove_session(OTHER).unwrap();
        assert_eq!(store.read(SESSION, &id.sha256, None).unwrap(), b"hello");
    }

    #[test]
    fn no_name_leads_out_of_the_store() {
        let (_scratch, store) = scratch();
        for session in [
            "",
            "..",
            "../x",
            "/",
            "0197F3C2-4D2E-4F6A-9A55-1C2D3E4F5A6B",
            "a\0b",
        ] {
            let error = store.put(session, b"x").unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidInput, "{session:?}");
            assert!(store.remove_session(session).is_err(), "{session:?}");
        }
        for sha256 in [
            "",
            "..",
            "../../etc/passwd",
            &"A".repeat(64),
            &"é".repeat(32),
        ] {
            let error = store.read(SESSION, sha256, None).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidInput, "{sha256:?}");
        }
    }

    #[test]
    fn too_much_at_once_is_refused_with_the_limit() {
        let (_scratch, store) = scratch();
        let size = usize::try_from(MAX_READ_BYTES).unwrap() + 1;
        let id = store.put(SESSION, &vec![0; size]).unwrap();
        let error = store.read(SESSION, &id.sha256, None).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::FileTooLarge);
        let whole = store.read(SESSION, &id.sha256, Some(1..u64::MAX)).unwrap();
        assert_eq!(whole.len(), size - 1);
    }
}
