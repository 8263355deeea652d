//! A mark beside the database that damage was met while it was in use, so that the next start
//! looks at all of it and recovers what can be read.

use std::path::Path;

use super::error::StoreError;
use super::files;

const SUFFIX: &str = "-suspect";

/// Leaves the mark. Where it cannot be left, the next read of the same place will try again.
pub(super) fn note(database: &Path, error: &StoreError) {
    let path = files::beside(database, SUFFIX);
    if files::is_taken(&path) {
        return;
    }
    match files::create_private(&path) {
        Ok(_) => tracing::error!(%error, "the database is damaged"),
        Err(mark) => tracing::error!(%error, %mark, "the database is damaged"),
    }
}

/// Whether the mark is there.
pub(super) fn is_noted(database: &Path) -> bool {
    files::is_taken(&files::beside(database, SUFFIX))
}

/// Takes the mark away, once the database is known to be good.
pub(super) fn clear(database: &Path) -> std::io::Result<()> {
    files::remove_if_there(&files::beside(database, SUFFIX))
}
