//! Reading and writing whole files: bounded, and atomically.

use std::{
    fs::{self, OpenOptions},
    io::{self, Write},
    path::{Path, PathBuf},
};

/// The largest file that is read whole.
pub(super) const MAX_FILE_BYTES: u64 = 20 * 1024 * 1024;

/// The bytes of a regular file.
///
/// # Errors
/// When it is missing, no file, or too large.
pub(super) fn read(path: &Path, shown: &str) -> Result<Vec<u8>, String> {
    let metadata = fs::metadata(path).map_err(|error| describe(shown, &error))?;
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
    fs::read(path).map_err(|error| describe(shown, &error))
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

/// Replaces the content of an existing file; its mode stays.
///
/// # Errors
/// When the system refuses; the file is then as it was.
pub(super) fn replace(path: &Path, content: &[u8]) -> io::Result<()> {
    let permissions = fs::metadata(path)?.permissions();
    let temporary = Temporary::write(path, content)?;
    fs::set_permissions(&temporary.path, permissions)?;
    fs::rename(&temporary.path, path)
}

/// Makes a file that must not exist, and the folders that it is in.
///
/// # Errors
/// `AlreadyExists` when somebody was faster, and when the system refuses.
pub(super) fn create(path: &Path, content: &[u8]) -> io::Result<()> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    let temporary = Temporary::write(path, content)?;
    // A link never replaces anything, unlike a rename.
    match fs::hard_link(&temporary.path, path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
            // Some file systems have no links.
            let mut file = OpenOptions::new().write(true).create_new(true).open(path)?;
            file.write_all(content)
        }
        result => result,
    }
}

/// An error of the system, with what it is about.
pub(super) fn describe(shown: &str, error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => format!("{shown} does not exist."),
        io::ErrorKind::PermissionDenied => format!("{shown}: the system denies access."),
        _ => format!("{shown}: {error}."),
    }
}

/// A complete file beside the one it is for, removed when it was not used.
struct Temporary {
    path: PathBuf,
}

impl Temporary {
    fn write(target: &Path, content: &[u8]) -> io::Result<Self> {
        let name = target.file_name().unwrap_or_default().to_string_lossy();
        // File names are limited to 255 bytes.
        let name: String = name.chars().take(40).collect();
        let unique = uuid::Uuid::new_v4().simple();
        let path = target.with_file_name(format!(".{name}.{unique}.tmp"));
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .open(&path)?;
        let temporary = Self { path };
        file.write_all(content)?;
        file.sync_all()?;
        Ok(temporary)
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        // After a rename there is nothing left to remove.
        let _ = fs::remove_file(&self.path);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn replacing_keeps_the_mode_and_leaves_nothing_behind() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("run.sh");
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
        let path = folder.path().join("a/b/c.txt");
        create(&path, b"one").unwrap();
        let error = create(&path, b"two").unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(fs::read(&path).unwrap(), b"one");
        assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1);
    }
}
