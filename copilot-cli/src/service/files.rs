//! Unit files on disk: what is there already, and replacing it without a moment of half a file.
//!
//! Must never touch a file that this program did not write.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use super::ServiceError;
use super::units::is_ours;

/// What is where a unit belongs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Found {
    /// Nothing.
    Absent,
    /// A file with exactly the wanted content.
    Same,
    /// Another file of ours: an older version, or one for other paths.
    Ours,
}

/// Looks at `path`, where a file with the content `wanted` belongs.
///
/// # Errors
/// [`ServiceError::NotOurs`] when somebody else put something there, links included: a link to nowhere is
/// how systemd masks a unit.
pub(super) fn look(path: &Path, wanted: &str) -> Result<Found, ServiceError> {
    let failed = |source| ServiceError::File {
        path: path.to_owned(),
        source,
    };
    let metadata = match std::fs::symlink_metadata(path) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Found::Absent),
        Err(error) => return Err(failed(error)),
    };
    let not_ours = || ServiceError::NotOurs {
        path: path.to_owned(),
    };
    if !metadata.is_file() {
        return Err(not_ours());
    }
    let content = std::fs::read(path).map_err(failed)?;
    if content == wanted.as_bytes() {
        Ok(Found::Same)
    } else if is_ours(&String::from_utf8_lossy(&content)) {
        Ok(Found::Ours)
    } else {
        Err(not_ours())
    }
}

/// Writes a file as a whole, with its folder.
pub(super) fn write(path: &Path, content: &str) -> Result<(), ServiceError> {
    let failed = |source| ServiceError::File {
        path: path.to_owned(),
        source,
    };
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).map_err(failed)?;
    }
    // Service managers read only names that end in their kinds of unit.
    let mut beside = path.as_os_str().to_owned();
    beside.push(format!(".{}.new", std::process::id()));
    let beside = PathBuf::from(beside);
    let written = write_new(&beside, content).and_then(|()| std::fs::rename(&beside, path));
    if written.is_err() {
        let _ = std::fs::remove_file(&beside);
    }
    written.map_err(failed)
}

fn write_new(path: &Path, content: &str) -> io::Result<()> {
    let mut file = std::fs::File::create(path)?;
    file.write_all(content.as_bytes())?;
    file.sync_all()
}

/// Removes a file that may be gone already.
pub(super) fn remove(path: &Path) -> Result<(), ServiceError> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(ServiceError::File {
            path: path.to_owned(),
            source: error,
        }),
        _ => Ok(()),
    }
}
