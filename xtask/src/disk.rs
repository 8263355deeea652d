//! Room on the disk, looked at before a run that takes hours finds out by itself.

use std::path::Path;

use anyhow::{Context, Result, bail};

/// What `cargo xtask ci` writes on a fresh clone, with some air: compiled dependencies and tests
/// (about 3 GB), lints and documentation (about 2 GB).
const NEEDED_BYTES: u64 = 6 * GB;
const GB: u64 = 1_000_000_000;

/// An error with words when there is too little room for a whole run in this folder.
pub(crate) fn has_room(target: &Path) -> Result<()> {
    // It may not exist yet; what it will be in does.
    let existing = target
        .ancestors()
        .find(|folder| folder.exists())
        .unwrap_or(Path::new("/"));
    let disk = nix::sys::statvfs::statvfs(existing)
        .with_context(|| format!("cannot ask for the room at {}", existing.display()))?;
    // Both are 32 bits wide on some systems.
    #[allow(clippy::useless_conversion)]
    let free = u64::from(disk.blocks_available()) * u64::from(disk.fragment_size());
    if free < NEEDED_BYTES {
        bail!(
            "there are {} GB free at {}, and a whole run needs {}: make room, or name another folder in CARGO_TARGET_DIR",
            free / GB,
            existing.display(),
            NEEDED_BYTES / GB,
        );
    }
    Ok(())
}
