//! The tables, and how older ones become newer ones. What shipped is frozen: a change is another step.

use rusqlite::Connection;

use super::StoreError;

/// Step by step from an empty file; `user_version` says how many were done.
const STEPS: [&str; 1] = ["
    CREATE TABLE machine (
        id BLOB PRIMARY KEY,
        account INTEGER NOT NULL,
        name TEXT NOT NULL,
        token BLOB NOT NULL UNIQUE,
        since_ms INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX machine_account ON machine (account);

    CREATE TABLE device (
        account INTEGER NOT NULL,
        id BLOB NOT NULL,
        name TEXT NOT NULL,
        token BLOB UNIQUE,
        PRIMARY KEY (account, id)
    ) STRICT, WITHOUT ROWID;

    CREATE TABLE reach (
        account INTEGER NOT NULL,
        device BLOB NOT NULL,
        machine BLOB NOT NULL REFERENCES machine (id) ON DELETE CASCADE,
        PRIMARY KEY (account, device, machine),
        FOREIGN KEY (account, device) REFERENCES device (account, id) ON DELETE CASCADE
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX reach_machine ON reach (machine);
"];

/// Opens the tables, brought up to date.
pub(super) fn prepare(connection: &mut Connection) -> Result<(), StoreError> {
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "foreign_keys", true)?;
    // A second relay over the same file waits for the first one's writes.
    connection.busy_timeout(std::time::Duration::from_secs(5))?;
    let known = i64::try_from(STEPS.len()).unwrap_or(i64::MAX);
    let found: i64 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
    if found > known {
        return Err(StoreError::Newer { found, known });
    }
    let done = usize::try_from(found).unwrap_or_default();
    let transaction = connection.transaction()?;
    for step in STEPS.iter().skip(done) {
        transaction.execute_batch(step)?;
    }
    transaction.pragma_update(None, "user_version", known)?;
    transaction.commit()?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_newer_file_is_left_alone_and_an_own_one_opens_again() {
        let mut connection = Connection::open_in_memory().unwrap();
        prepare(&mut connection).unwrap();
        prepare(&mut connection).unwrap();
        connection.pragma_update(None, "user_version", 7).unwrap();
        let error = prepare(&mut connection).unwrap_err().to_string();
        assert!(error.contains("newer copilot-relay"), "{error}");
    }
}
