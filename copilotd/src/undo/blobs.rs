//! Contents by their hash: each is on disk once.

use std::collections::HashSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use crate::content::private;

/// A folder of contents.
#[derive(Debug)]
pub(super) struct Blobs(PathBuf);

/// The name of a content.
pub(super) fn sha256(content: &[u8]) -> String {
    format!("{:x}", Sha256::digest(content))
}

impl Blobs {
    pub(super) fn new(folder: PathBuf) -> Self {
        Self(folder)
    }

    /// Keeps a content and gives its name. Not synchronised to the disk: what a power cut
    /// spoils is noticed when it is read.
    pub(super) fn put(&self, content: &[u8]) -> io::Result<String> {
        let name = sha256(content);
        let path = self.0.join(&name);
        if fs::metadata(&path).is_ok_and(|found| found.len() == content.len() as u64) {
            return Ok(name);
        }
        let new = self.0.join(format!("{name}.new"));
        if let Err(error) = self.write_new(&new, content) {
            // What cannot be kept takes no room either.
            let _ = fs::remove_file(&new);
            return Err(error);
        }
        fs::rename(&new, &path)?;
        Ok(name)
    }

    fn write_new(&self, path: &Path, content: &[u8]) -> io::Result<()> {
        let open = || {
            let mut options = private::options();
            options.write(true).create(true).truncate(true).open(path)
        };
        let mut file = match open() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                private::create_folder(&self.0)?;
                open()?
            }
            opened => opened?,
        };
        io::Write::write_all(&mut file, content)
    }

    /// The content; nothing when it is not what it was.
    pub(super) fn get(&self, name: &str) -> Option<Vec<u8>> {
        let content = fs::read(self.0.join(name)).ok()?;
        (sha256(&content) == name).then_some(content)
    }

    /// Bytes on disk of the contents that are in use; the others are removed.
    pub(super) fn retain(&self, used: &HashSet<&str>) -> io::Result<u64> {
        let mut bytes = 0;
        let entries = match fs::read_dir(&self.0) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
            entries => entries?,
        };
        for entry in entries {
            let entry = entry?;
            let name = entry.file_name();
            if name.to_str().is_some_and(|name| used.contains(name)) {
                bytes += entry.metadata()?.len();
            } else {
                fs::remove_file(entry.path())?;
            }
        }
        Ok(bytes)
    }
}
