//! Connections, and how they are set up.

use std::path::Path;
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags, Result};

/// How long another program (a backup, a database browser) may hold a lock before an
/// operation fails.
pub(super) const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// Pages in the WAL after which SQLite moves them into the database at the next commit.
const CHECKPOINT_PAGES: u32 = 1000;

/// The WAL is cut back to this when it starts over. Bytes.
const WAL_KEEP_BYTES: u32 = 4 * 1024 * 1024;

/// The one connection that writes. The database must exist. It is not trusted yet: closing
/// the connection moves nothing out of the WAL.
pub(super) fn writer(path: &Path) -> Result<Connection> {
    let connection = open(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
    connection.execute_batch(&format!(
        "PRAGMA cache_size = -1024;
         PRAGMA secure_delete = FAST;
         PRAGMA wal_autocheckpoint = {CHECKPOINT_PAGES};
         PRAGMA journal_size_limit = {WAL_KEEP_BYTES};
         PRAGMA fullfsync = ON;
         PRAGMA synchronous = FULL;"
    ))?;
    Ok(connection)
}

/// The database is sound: closing the connection may tidy up after it.
pub(super) fn trust(connection: &Connection) -> Result<()> {
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, false)?;
    Ok(())
}

/// A connection that can only read.
pub(super) fn reader(path: &Path) -> Result<Connection> {
    let connection = open(path, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    connection.execute_batch("PRAGMA cache_size = -512; PRAGMA query_only = ON;")?;
    Ok(connection)
}

/// Without `CREATE`: a database that vanished is an error, not a reason to begin a new one.
fn open(path: &Path, mode: OpenFlags) -> Result<Connection> {
    let connection = Connection::open_with_flags(path, mode | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    // What a damaged or hostile file says about its own schema is not trusted.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA, false)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true)?;
    // Memory-mapped reads of a file that is cut underneath end the process.
    connection.execute_batch(
        "PRAGMA mmap_size = 0; PRAGMA temp_store = MEMORY; PRAGMA cell_size_check = ON;",
    )?;
    Ok(connection)
}
