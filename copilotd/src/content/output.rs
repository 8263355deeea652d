//! The output of one tool call, appended while it runs.

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use super::private;
use super::store::hex;

/// As much of one output as is kept. Bytes. A command that prints for ever must not fill the
/// disk; what comes after is dropped.
pub const MAX_OUTPUT_BYTES: u64 = 512 * 1024 * 1024;

/// The kept output of a tool call, for appending.
#[derive(Debug)]
pub struct OutputFile {
    path: PathBuf,
    /// Nothing while no more is expected: a turn may have more commands than a process may have
    /// open files.
    file: Option<File>,
    length: u64,
}

impl OutputFile {
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        let file = private::options().append(true).create(true).open(path)?;
        let length = file.metadata()?.len();
        Ok(Self {
            path: path.to_owned(),
            file: Some(file),
            length,
        })
    }

    /// No more is expected. What comes all the same is appended as ever.
    pub fn rest(&mut self) {
        self.file = None;
    }

    /// Appends the bytes and returns how many of them were kept: fewer than were given once
    /// the output has reached [`MAX_OUTPUT_BYTES`].
    pub fn append(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let room = usize::try_from(MAX_OUTPUT_BYTES.saturating_sub(self.length));
        let kept = bytes.len().min(room.unwrap_or(usize::MAX));
        let file = match &mut self.file {
            Some(file) => file,
            None => self
                .file
                .insert(private::options().append(true).open(&self.path)?),
        };
        if let Err(error) = file.write_all(&bytes[..kept]) {
            // A part may have been written; the length stays true.
            self.length = file.metadata()?.len();
            return Err(error);
        }
        self.length += kept as u64;
        Ok(kept)
    }

    /// Bytes kept so far.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.length
    }

    /// Whether nothing was kept so far.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.length == 0
    }
}

/// The id comes from an agent and may be anything, so the name is a hash of it.
pub(super) fn file_name(tool_call_id: &str) -> String {
    format!("output-{}", hex(&Sha256::digest(tool_call_id.as_bytes())))
}

#[cfg(test)]
mod tests {
    use super::super::ContentStore;
    use super::*;

    const SESSION: &str = "0197f3c2-4d2e-4f6a-9a55-1c2d3e4f5a6b";

    #[test]
    fn output_is_appended_and_read_while_it_grows() {
        let scratch = tempfile::tempdir().unwrap();
        let store = ContentStore::new(scratch.path().join("content"));
        let missing = store.read_output(SESSION, "call", None).unwrap_err();
        assert_eq!(missing.kind(), io::ErrorKind::NotFound);
        let mut output = store.output(SESSION, "call").unwrap();
        assert!(output.is_empty());
        assert_eq!(output.append(b"one\n").unwrap(), 4);
        assert_eq!(store.read_output(SESSION, "call", None).unwrap(), b"one\n");
        output.append(b"two\n").unwrap();
        drop(output);
        let mut again = store.output(SESSION, "call").unwrap();
        assert_eq!(again.len(), 8);
        again.rest();
        assert!(again.file.is_none());
        again.append(b"three").unwrap();
        assert_eq!(
            store.read_output(SESSION, "call", Some(4..10)).unwrap(),
            b"two\nth"
        );
    }

    #[test]
    fn no_tool_call_id_shapes_a_path() {
        let scratch = tempfile::tempdir().unwrap();
        let store = ContentStore::new(scratch.path().join("content"));
        let ids = [
            "",
            "..",
            "../../x",
            "/etc/passwd",
            "a\0b",
            "a/b",
            "A",
            "a",
            "ä\n",
        ];
        for id in ids {
            store
                .output(SESSION, id)
                .unwrap()
                .append(id.as_bytes())
                .unwrap();
        }
        for id in ids {
            assert_eq!(store.read_output(SESSION, id, None).unwrap(), id.as_bytes());
        }
        let folder = scratch.path().join("content").join(SESSION);
        assert_eq!(std::fs::read_dir(folder).unwrap().count(), ids.len());
        assert_eq!(std::fs::read_dir(scratch.path()).unwrap().count(), 1);
    }

    #[test]
    fn an_endless_output_is_cut_off() {
        let scratch = tempfile::tempdir().unwrap();
        let path = scratch.path().join("output");
        File::create(&path)
            .unwrap()
            .set_len(MAX_OUTPUT_BYTES - 3)
            .unwrap();
        let mut output = OutputFile::open(&path).unwrap();
        assert_eq!(output.append(b"hello").unwrap(), 3);
        assert_eq!(output.append(b"hello").unwrap(), 0);
        assert_eq!(output.len(), MAX_OUTPUT_BYTES);
        assert_eq!(std::fs::metadata(&path).unwrap().len(), MAX_OUTPUT_BYTES);
    }
}
