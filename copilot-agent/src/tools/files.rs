//! Reading and writing whole files: bounded, and atomically.

use std::{
    fs::File,
    io::{self, Read},
    path::Path,
};

use super::{
    grant,
    place::{self, Place},
};

/// The largest file that is read whole.
pub(super) const MAX_FILE_BYTES: u64 = 20 * 1024 * 1024;

/// The bytes of a regular file. `path` is absolute and has no links: see [`Place`].
///
/// # Errors
/// When it is missing, no file, too large, or leads through a link.
pub(super) fn read(path: &Path, shown: &str) -> Result<Vec<u8>, String> {
    let failed = |error: io::Error| describe(shown, &error);
    let file = open(path).map_err(failed)?;
    let metadata = file.metadata().map_err(failed)?;
    if metadata.is_dir() {
        return Err(format!("{shown} is a folder."));
    }
    // A pipe or a device could be read for ever.
    if !metadata.is_file() {
        return Err(format!("{shown} is not a regular file."));
    }
    if metadata.len() > MAX_FILE_BYTES {
        return Err(format!(
            "{shown} is too large ({} bytes, at most {MAX_FILE_BYTES}). Look at parts of it with \
             `grep`, or with `sed -n` in the shell.",
            metadata.len()
        ));
    }
    let mut bytes = Vec::new();
    // It may grow while it is read.
    file.take(MAX_FILE_BYTES)
        .read_to_end(&mut bytes)
        .map_err(failed)?;
    Ok(bytes)
}

/// Opens a file for reading. `path` is absolute and has no links.
///
/// # Errors
/// When it is missing or leads through a link.
pub(super) fn open(path: &Path) -> io::Result<File> {
    Place::of(path, false)?.open()
}

/// The text of a file.
///
/// # Errors
/// As [`read`], and when it is binary or not UTF-8.
pub(super) fn read_text(path: &Path, shown: &str) -> Result<String, String> {
    let bytes = read(path, shown)?;
    if is_binary(&bytes) {
        return Err(format!("{shown} is a binary file ({} bytes).", bytes.len()));
    }
    String::from_utf8(bytes).map_err(|_| format!("{shown} is not UTF-8 text."))
}

/// Whether a file's content is not text. The test that git uses.
pub(super) fn is_binary(bytes: &[u8]) -> bool {
    bytes.iter().take(8_000).any(|byte| *byte == 0)
}

/// Replaces the content of an existing file; its mode stays. `path` is absolute and has no links.
///
/// # Errors
/// When the system refuses or the path leads through a link; the file is then as it was.
pub(super) fn replace(path: &Path, content: &[u8]) -> io::Result<()> {
    let place = Place::of(path, false)?;
    let mode = place::mode_of(&place.open()?)?;
    place.replace(content, mode)
}

/// Makes a file that must not exist, and the folders that it is in. `path` is absolute and has no
/// links.
///
/// # Errors
/// `AlreadyExists` when somebody was faster, and when the system refuses or the path leads through
/// a link.
pub(super) fn create(path: &Path, content: &[u8]) -> io::Result<()> {
    Place::of(path, true)?.create(content)
}

/// An error of the system, with what it is about.
pub(super) fn describe(shown: &str, error: &io::Error) -> String {
    if place::leads_elsewhere(error) {
        return grant::elsewhere(shown);
    }
    match error.kind() {
        io::ErrorKind::NotFound => format!("{shown} does not exist."),
        io::ErrorKind::PermissionDenied => format!("{shown}: the system denies access."),
        _ => format!("{shown}: {error}."),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{fs, os::unix::fs::PermissionsExt};

    #[test]
    fn replacing_keeps_the_mode_and_leaves_nothing_behind() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().canonicalize().unwrap().join("run.sh");
        fs::write(&path, "old").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o750)).unwrap();
        replace(&path, b"new").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"new");
        assert_eq!(
            fs::metadata(&path).unwrap().permissions().mode() & 0o777,
            0o750
        );
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn creating_never_replaces() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().canonicalize().unwrap().join("a/b/c.txt");
        create(&path, b"one").unwrap();
        let error = create(&path, b"two").unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(fs::read(&path).unwrap(), b"one");
        assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1);
    }
}
