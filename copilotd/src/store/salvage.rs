//! Reads what can be read out of a damaged database.
//!
//! It reads the tables themselves, never an index, and goes around the parts that cannot be
//! read. SQLite deletes, cuts and writes files even when it only reads, so this is only ever
//! pointed at a copy.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use rusqlite::config::DbConfig;
use rusqlite::types::{ToSqlOutput, ValueRef};
use rusqlite::{Connection, OpenFlags, Result, Row, Statement, ToSql};

use super::schema::{self, PAGE_BYTES};
use super::{audit, json};

/// What was recovered.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct Salvaged {
    pub(super) sessions: u64,
    pub(super) turns: u64,
}

/// Reads of one table that fail without a row in between, after which the rest of it is given
/// up. A damaged page fails about once for every row that was on it.
const MAX_FAILURES: u32 = 2_000;

/// One table: how to read a row, how to know it is whole, and how to write it.
struct Table {
    name: &'static str,
    /// The first format that has it.
    since: i64,
    key: &'static str,
    columns: &'static [&'static str],
    /// Columns that must be JSON where they are not null.
    json: &'static [&'static str],
}

const TABLES: &[Table] = &[
    Table {
        name: "numbers",
        since: 1,
        key: "id",
        columns: &["next"],
        json: &[],
    },
    Table {
        name: "sessions",
        since: 1,
        key: "key",
        columns: &["id", "modified_at", "title", "summary_json"],
        json: &["summary_json"],
    },
    Table {
        name: "states",
        since: 1,
        key: "key",
        columns: &["session", "state_json"],
        json: &["state_json"],
    },
    Table {
        name: "turns",
        since: 1,
        key: "key",
        columns: &["session", "ordinal", "turn_id", "json", "text"],
        json: &["json"],
    },
    Table {
        name: "tail",
        since: 1,
        key: "key",
        columns: &["session", "channel", "action_json"],
        json: &["action_json"],
    },
    Table {
        name: "processes",
        since: 1,
        key: "pid",
        columns: &["session", "process_group", "start_time"],
        json: &[],
    },
    Table {
        name: "audit",
        since: 2,
        key: "seq",
        columns: &["record_json", "hash"],
        json: &["record_json"],
    },
];

/// The tables of a database of this format.
fn tables(version: i64) -> impl Iterator<Item = &'static Table> {
    TABLES.iter().filter(move |table| table.since <= version)
}

/// Moves what can be read from the copy of a database at `from` into the fresh one `to`.
///
/// # Errors
/// When `to` cannot be written. That nothing can be read is no error.
pub(super) fn salvage(from: &Path, to: &mut Connection) -> Result<Salvaged> {
    let transaction = to.transaction()?;
    match open_damaged(from, &transaction) {
        Ok(damaged) => {
            for table in TABLES {
                copy_table(&damaged, &transaction, table)?;
            }
        }
        Err(error) => tracing::warn!(%error, "nothing of the damaged database can be read"),
    }
    make_whole(&transaction)?;
    let count = |sql| transaction.query_row(sql, [], |row| row.get::<_, i64>(0));
    let salvaged = Salvaged {
        sessions: count("SELECT count(*) FROM sessions")?.cast_unsigned(),
        turns: count("SELECT count(*) FROM turns")?.cast_unsigned(),
    };
    transaction.commit()?;
    Ok(salvaged)
}

/// Opens the copy; where its schema cannot be read it gets the one of `fresh`.
fn open_damaged(path: &Path, fresh: &Connection) -> Result<Connection> {
    let damaged = open_leniently(path)?;
    // A format that makes no sense is damage, and then every table is looked for.
    let version = schema::version(&damaged).ok();
    let version = version.filter(|version| (1..=schema::VERSION).contains(version));
    let has_schema = tables(version.unwrap_or(schema::VERSION))
        .all(|table| damaged.prepare(&select(table, "ASC")).is_ok());
    if has_schema {
        return Ok(damaged);
    }
    drop(damaged);
    if let Err(error) = lend_schema(path, fresh) {
        tracing::warn!(%error, "the schema of the damaged database cannot be replaced");
    }
    open_leniently(path)
}

fn open_leniently(path: &Path) -> Result<Connection> {
    let connection = Connection::open_with_flags(
        path,
        OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX,
    )?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
    // Accepts a file that is shorter than it says, and a schema with bad entries. Triggers
    // and views of the damaged file are never run: only tables are read.
    connection.execute_batch(
        "PRAGMA writable_schema = ON; PRAGMA query_only = ON; PRAGMA mmap_size = 0;
         PRAGMA cell_size_check = ON; PRAGMA temp_store = MEMORY;",
    )?;
    Ok(connection)
}

/// Writes the pages of a fresh schema over those of the copy.
///
/// Every database begins with the same tables on the same pages, and no migration moves them
/// (one that drops a table would): so the fresh schema leads to the rows of the damaged one.
/// Pages that are in the WAL of the copy are better, and stay the ones that are read.
fn lend_schema(copy: &Path, fresh: &Connection) -> Result<()> {
    let failed = |error: io::Error| rusqlite::Error::ToSqlConversionFailure(error.into());
    let path = fresh.path().map(ToOwned::to_owned).unwrap_or_default();
    let fresh_file = File::open(path).map_err(failed)?;
    let copy = File::options().write(true).open(copy).map_err(failed)?;
    let mut pages = fresh.prepare("SELECT pageno FROM dbstat WHERE name = 'sqlite_schema'")?;
    let pages = pages.query_map([], |row| row.get::<_, i64>(0))?;
    for number in pages {
        let number = number?;
        let offset = (number.cast_unsigned() - 1) * PAGE_BYTES;
        let mut page = vec![0; PAGE_BYTES as usize];
        fresh_file
            .read_exact_at(&mut page, offset)
            .map_err(failed)?;
        if number == 1 {
            // The sizes in this header are not of the copy: two counters that differ let
            // SQLite take the size of the file, and no page is on the list of free ones.
            page[24..28].copy_from_slice(&[0xff; 4]);
            page[32..40].fill(0);
        }
        copy.write_all_at(&page, offset).map_err(failed)?;
    }
    Ok(())
}

fn select(table: &Table, order: &str) -> String {
    let Table {
        name, key, columns, ..
    } = table;
    format!(
        "SELECT {key}, {} FROM {name} NOT INDEXED
         WHERE {key} BETWEEN ?1 AND ?2 ORDER BY {key} {order}",
        columns.join(", ")
    )
}

/// Reads ranges of keys; a range that fails is read from its end as well, and what lies
/// between is split in two.
fn copy_table(damaged: &Connection, to: &Connection, table: &Table) -> Result<()> {
    let Table {
        name, key, columns, ..
    } = table;
    let list = columns.join(", ");
    let (mut ascending, mut descending) = match (
        damaged.prepare(&select(table, "ASC")),
        damaged.prepare(&select(table, "DESC")),
    ) {
        (Ok(ascending), Ok(descending)) => (ascending, descending),
        (Err(error), _) | (_, Err(error)) => {
            tracing::warn!(%error, table = name, "the table cannot be read");
            return Ok(());
        }
    };
    let places = vec!["?"; columns.len() + 1].join(", ");
    // A row that contradicts one that is there already is left out.
    let verb = if *name == "numbers" {
        "REPLACE"
    } else {
        "IGNORE"
    };
    let mut insert = to.prepare(&format!(
        "INSERT OR {verb} INTO {name} ({key}, {list}) VALUES ({places})"
    ))?;
    let mut failures = 0;
    let mut ranges = vec![(1_i64, i64::MAX)];
    while let Some((first, last)) = ranges.pop() {
        let Err(low) = copy_range(&mut ascending, (first, last), table, &mut insert)? else {
            continue;
        };
        let rest = (low.map_or(first, |key| key.saturating_add(1)), last);
        let Err(high) = copy_range(&mut descending, rest, table, &mut insert)? else {
            continue;
        };
        failures = if low.or(high).is_some() {
            0
        } else {
            failures + 1
        };
        let rest = (rest.0, high.map_or(last, |key| key.saturating_sub(1)));
        if rest.0 >= rest.1 {
            continue;
        }
        if failures > MAX_FAILURES {
            tracing::warn!(table = name, "the rest of the table is given up");
            break;
        }
        let middle = rest.0 + (rest.1 - rest.0) / 2;
        // Keys are dense from one on: the lower half first.
        ranges.push((middle + 1, rest.1));
        ranges.push((rest.0, middle));
    }
    Ok(())
}

/// Copies rows in the order of the statement. An inner error says after which key it ended.
fn copy_range(
    select: &mut Statement<'_>,
    (first, last): (i64, i64),
    table: &Table,
    insert: &mut Statement<'_>,
) -> Result<std::result::Result<(), Option<i64>>> {
    let mut reached = None;
    let Ok(mut rows) = select.query([first, last]) else {
        return Ok(Err(reached));
    };
    loop {
        match rows.next() {
            Ok(None) => return Ok(Ok(())),
            Err(_) => return Ok(Err(reached)),
            Ok(Some(row)) => {
                let Ok(key) = row.get::<_, i64>(0) else {
                    return Ok(Err(reached));
                };
                // A key outside of the range comes from a damaged page, and would let the
                // search run in a circle.
                if !(first..=last).contains(&key) {
                    return Ok(Err(reached));
                }
                reached = Some(key);
                copy_row(row, table, insert)?;
            }
        }
    }
}

/// Leaves out rows whose values cannot be what was written.
fn copy_row(row: &Row<'_>, table: &Table, insert: &mut Statement<'_>) -> Result<()> {
    let Some(values) = whole_values(row, table) else {
        return Ok(());
    };
    let values: Vec<ToSqlOutput<'_>> = values.into_iter().map(ToSqlOutput::Borrowed).collect();
    let values: Vec<&dyn ToSql> = values.iter().map(|value| value as &dyn ToSql).collect();
    insert.execute(values.as_slice())?;
    Ok(())
}

/// The key and the columns, when each can be what was written.
fn whole_values<'a>(row: &'a Row<'_>, table: &Table) -> Option<Vec<ValueRef<'a>>> {
    let mut values = vec![row.get_ref(0).ok()?];
    for (index, column) in table.columns.iter().enumerate() {
        let value = row.get_ref(index + 1).ok()?;
        let is_number = matches!(*column, "next" | "ordinal" | "process_group" | "start_time");
        let is_whole = match value {
            ValueRef::Null => matches!(*column, "modified_at" | "summary_json"),
            ValueRef::Integer(number) => is_number && (number >= 0 || *column == "start_time"),
            ValueRef::Text(text) => std::str::from_utf8(text).is_ok_and(|text| {
                !is_number
                    && (!table.json.contains(column) || json::is_json(text))
                    && (*column != "hash" || audit::is_hash(text))
            }),
            ValueRef::Real(_) | ValueRef::Blob(_) => false,
        };
        if !is_whole {
            return None;
        }
        values.push(value);
    }
    Some(values)
}

/// Whether every value in the database can be what was written. SQLite's own check knows
/// nothing of what is in a text, and so misses garbage there.
pub(super) fn is_whole(connection: &Connection, version: i64) -> Result<bool> {
    for table in tables(version) {
        let list = table.columns.join(", ");
        let mut rows =
            connection.prepare(&format!("SELECT {}, {list} FROM {}", table.key, table.name))?;
        let mut rows = rows.query([])?;
        while let Some(row) = rows.next()? {
            if whole_values(row, table).is_none() {
                return Ok(false);
            }
        }
    }
    Ok(true)
}

/// Restores what the rest of the store relies on: every row has its session, and the turns
/// of a session are numbered without gaps.
fn make_whole(to: &Connection) -> Result<()> {
    to.execute_batch(
        "INSERT OR IGNORE INTO sessions (id) SELECT DISTINCT session FROM turns;
         INSERT OR IGNORE INTO sessions (id) SELECT session FROM states;
         INSERT OR IGNORE INTO sessions (id) SELECT DISTINCT session FROM tail;
         UPDATE sessions SET summary_json = NULL WHERE modified_at IS NULL;",
    )?;
    let mut turns =
        to.prepare("SELECT key, session, ordinal FROM turns ORDER BY session, ordinal")?;
    let turns = turns.query_map([], |row| {
        Ok((
            row.get::<_, i64>(0)?,
            row.get::<_, String>(1)?,
            row.get::<_, i64>(2)?,
        ))
    })?;
    let mut renumber = to.prepare("UPDATE turns SET ordinal = ?2 WHERE key = ?1")?;
    let mut current: Option<(String, i64)> = None;
    for turn in turns.collect::<Result<Vec<_>>>()? {
        let (key, session, ordinal) = turn;
        let expected = match &current {
            Some((previous, ordinal)) if *previous == session => ordinal + 1,
            _ => 0,
        };
        // The rows before this one are where they belong, so the place is free.
        if ordinal != expected {
            renumber.execute([key, expected])?;
        }
        current = Some((session, expected));
    }
    Ok(())
}
