//! The format of the database: whose it is, which version, and the way from one to the next.

use std::path::Path;

use rusqlite::{Connection, OpenFlags, Result};

/// In the header of every database of ours ("copd"). Frozen.
pub(super) const APPLICATION_ID: i32 = 0x636f_7064;

/// Set when a database is made, and never changed.
pub(super) const PAGE_BYTES: u64 = 4096;

/// One file per version, never changed once shipped.
const MIGRATIONS: &[&str] = &[
    include_str!("migrations/0001_first.sql"),
    include_str!("migrations/0002_audit.sql"),
];

/// The format that this release writes.
pub(super) const VERSION: i64 = MIGRATIONS.len() as i64;

/// Makes an empty database of the newest format out of an empty file. The file is complete
/// when this returns, with nothing beside it.
pub(super) fn create(path: &Path) -> Result<()> {
    let mut connection = Connection::open_with_flags(
        path,
        OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX,
    )?;
    connection.execute_batch(&format!(
        "PRAGMA page_size = {PAGE_BYTES};
         PRAGMA auto_vacuum = INCREMENTAL;
         PRAGMA application_id = {APPLICATION_ID};"
    ))?;
    migrate(&mut connection, 0)?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.close().map_err(|(_, error)| error)
}

/// Brings a database from an older format to the newest, one transaction per step.
pub(super) fn migrate(connection: &mut Connection, from: i64) -> Result<()> {
    for (version, sql) in (1_i64..).zip(MIGRATIONS) {
        if version <= from {
            continue;
        }
        let transaction =
            connection.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
        transaction.execute_batch(sql)?;
        transaction.pragma_update(None, "user_version", version)?;
        transaction.commit()?;
    }
    Ok(())
}

/// The format of an open database.
pub(super) fn version(connection: &Connection) -> Result<i64> {
    connection.pragma_query_value(None, "user_version", |row| row.get(0))
}
