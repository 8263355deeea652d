//! Files beside the database: private, written atomically, and never deleted when they hold
//! something that could not be read.

use std::ffi::OsString;
use std::fs::{DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// The path with something appended to its last part.
pub(super) fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(suffix);
    PathBuf::from(name)
}

/// Creates the folder and what is missing above it, for the owner only, and takes rights of
/// others away from one that is there.
pub(super) fn private_folder(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)?;
    tighten(path, 0o700)
}

/// Leaves rights to the owner only. Somebody else's file is left alone.
pub(super) fn tighten(path: &Path, mode: u32) -> io::Result<()> {
    let found = std::fs::metadata(path)?;
    if found.mode() & 0o777 == mode || found.uid() != nix::unistd::geteuid().as_raw() {
        return Ok(());
    }
    std::fs::set_permissions(path, Permissions::from_mode(mode))
}

/// A new empty file for the owner only.
pub(super) fn create_private(path: &Path) -> io::Result<File> {
    OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
}

/// Creates or replaces the file; on return it is on disk, under the final name.
pub(super) fn write_atomically(path: &Path, content: &[u8]) -> io::Result<()> {
    let temporary = beside(path, ".new");
    remove_if_there(&temporary)?;
    let mut file = create_private(&temporary)?;
    file.write_all(content)?;
    file.sync_all()?;
    rename(&temporary, path)
}

/// Renames within a folder, so that it lasts.
pub(super) fn rename(from: &Path, to: &Path) -> io::Result<()> {
    std::fs::rename(from, to)?;
    sync_folder_of(to)
}

/// Makes new and changed names in the folder of `path` last.
pub(super) fn sync_folder_of(path: &Path) -> io::Result<()> {
    File::open(folder_of(path))?.sync_all()
}

/// The folder that holds `path`.
pub(super) fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if folder != Path::new("") => folder,
        _ => Path::new("."),
    }
}

/// Only for files that this program made and can make again.
pub(super) fn remove_if_there(path: &Path) -> io::Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Whether anything has this name, be it a link to nowhere.
pub(super) fn is_taken(path: &Path) -> bool {
    path.symlink_metadata().is_ok()
}

/// The file that SQLite keeps beside a database.
pub(super) const COMPANIONS: [&str; 2] = ["-wal", "-shm"];

/// Gives what is at `path`, and the files that SQLite keeps beside it, another name with the
/// time in it, and returns that name.
pub(super) fn set_aside(path: &Path) -> io::Result<PathBuf> {
    let time = jiff::Timestamp::now().strftime("%Y%m%dT%H%M%SZ");
    let is_free = |name: &PathBuf| {
        !is_taken(name)
            && COMPANIONS
                .iter()
                .all(|suffix| !is_taken(&beside(name, suffix)))
    };
    let name = std::iter::once(beside(path, &format!(".damaged-{time}")))
        .chain((2_u32..).map(|n| beside(path, &format!(".damaged-{time}-{n}"))))
        .find(is_free)
        .unwrap_or_else(|| beside(path, ".damaged"));
    // The database first: a WAL without its database is recognised at the next start, a
    // database without its WAL is not.
    for suffix in std::iter::once("").chain(COMPANIONS) {
        let from = beside(path, suffix);
        if is_taken(&from) {
            std::fs::rename(from, beside(&name, suffix))?;
        }
    }
    sync_folder_of(path)?;
    Ok(name)
}
