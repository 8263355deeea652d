//! Reading: a few connections of its own, each query in one consistent view.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use rusqlite::types::ValueRef;
use rusqlite::{Connection, OptionalExtension, Result, Row, params};

use super::batch::ProcessRecord;
use super::connection;
use super::error::StoreError;
use super::json;
use super::suspect;

/// As many reads run at once; more wait for one to end.
const MAX_CONNECTIONS: usize = 4;

/// A place in the list of sessions, which is ordered by both, newest first.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    /// As in the summary.
    pub modified_at: String,
    /// Id of the session.
    pub id: String,
}

/// A session in the list.
#[derive(Clone, PartialEq, Eq)]
pub struct StoredSummary {
    /// Id of the session.
    pub id: String,
    /// As it was put.
    pub modified_at: String,
    /// As it was put.
    pub summary_json: String,
}

/// A session as it was stored.
#[derive(Clone, PartialEq, Eq)]
pub struct StoredSession {
    /// The state without its completed turns; nothing when it was never put, or was lost to
    /// damage.
    pub state_json: Option<String>,
    /// The summary, under the same conditions.
    pub summary_json: Option<String>,
    /// The newest turns, oldest first.
    pub turns: Vec<StoredTurn>,
    /// Turns before those.
    pub earlier_turns: u64,
    /// Actions since the state was put, in order.
    pub tail: Vec<TailEntry>,
}

/// A completed turn.
#[derive(Clone, PartialEq, Eq)]
pub struct StoredTurn {
    /// The turns of a session are numbered from 0 without gaps.
    pub ordinal: u64,
    /// Id of the turn.
    pub id: String,
    /// The whole turn.
    pub json: String,
}

/// An action since the state was put.
#[derive(Clone, PartialEq, Eq)]
pub struct TailEntry {
    /// Channel of the action.
    pub channel: String,
    /// The action.
    pub action_json: String,
}

// What is stored never reaches a log.
impl fmt::Debug for StoredSummary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "StoredSummary({} at {})", self.id, self.modified_at)
    }
}

impl fmt::Debug for StoredSession {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StoredSession")
            .field("state_bytes", &self.state_json.as_ref().map(String::len))
            .field("turns", &self.turns)
            .field("earlier_turns", &self.earlier_turns)
            .field("tail", &self.tail)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for StoredTurn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "StoredTurn({}: {})", self.ordinal, self.id)
    }
}

impl fmt::Debug for TailEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TailEntry({})", self.channel)
    }
}

#[derive(Debug, Default)]
struct Pool {
    idle: Vec<Connection>,
    in_use: usize,
}

/// The connections that read.
#[derive(Debug)]
pub(super) struct Readers {
    path: PathBuf,
    pool: Mutex<Pool>,
    returned: Condvar,
}

/// Gives the place of a connection back, also when a read panics.
struct Place<'a>(&'a Readers);

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.lock().in_use -= 1;
        self.0.returned.notify_one();
    }
}

impl Readers {
    pub(super) fn new(path: &Path) -> Self {
        Self {
            path: path.to_owned(),
            pool: Mutex::default(),
            returned: Condvar::new(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Pool> {
        self.pool.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs one read inside a transaction, so that it sees one moment.
    pub(super) fn read<T>(
        &self,
        doing: &'static str,
        read: impl FnOnce(&Connection) -> Result<T>,
    ) -> std::result::Result<T, StoreError> {
        let mut pool = self.lock();
        while pool.in_use >= MAX_CONNECTIONS {
            pool = self
                .returned
                .wait(pool)
                .unwrap_or_else(PoisonError::into_inner);
        }
        pool.in_use += 1;
        let idle = pool.idle.pop();
        drop(pool);
        let place = Place(self);
        let result = idle
            .map_or_else(|| connection::reader(&self.path), Ok)
            .and_then(|mut connection| {
                let result = {
                    let view = connection.transaction()?;
                    read(&view)?
                };
                // An idle daemon keeps no pages of what it showed last.
                connection.release_memory()?;
                Ok((connection, result))
            });
        // A connection whose read failed is not used again.
        let result = match result {
            Ok((connection, result)) => {
                self.lock().idle.push(connection);
                Ok(result)
            }
            Err(error) => Err(StoreError::new(doing, &error)),
        };
        drop(place);
        if let Err(error @ StoreError::Damaged { .. }) = &result {
            suspect::note(&self.path, error);
        }
        result
    }

    /// Closes what is idle.
    pub(super) fn close(&self) {
        self.lock().idle.clear();
    }
}

pub(super) fn summaries(
    connection: &Connection,
    before: Option<&Position>,
    limit: usize,
) -> Result<Vec<StoredSummary>> {
    let map = |row: &Row<'_>| {
        Ok(StoredSummary {
            id: row.get(0)?,
            modified_at: row.get(1)?,
            summary_json: json::get(row, 2)?,
        })
    };
    match before {
        None => connection
            .prepare_cached(
                "SELECT id, modified_at, summary_json FROM sessions
                 WHERE summary_json IS NOT NULL
                 ORDER BY modified_at DESC, id DESC LIMIT ?1",
            )?
            .query_map([sql_limit(limit)], map)?
            .collect(),
        Some(Position { modified_at, id }) => connection
            .prepare_cached(
                "SELECT id, modified_at, summary_json FROM sessions
                 WHERE summary_json IS NOT NULL AND (modified_at, id) < (?1, ?2)
                 ORDER BY modified_at DESC, id DESC LIMIT ?3",
            )?
            .query_map(params![modified_at, id, sql_limit(limit)], map)?
            .collect(),
    }
}

/// How many sessions have a summary.
pub(super) fn count(connection: &Connection) -> Result<usize> {
    connection
        .prepare_cached("SELECT count(*) FROM sessions WHERE summary_json IS NOT NULL")?
        .query_row([], |row| row.get::<_, i64>(0))
        .map(|count| usize::try_from(count).unwrap_or(0))
}

/// Sessions that have no summary.
pub(super) fn unlisted(connection: &Connection) -> Result<Vec<String>> {
    connection
        .prepare_cached("SELECT id FROM sessions WHERE summary_json IS NULL ORDER BY key")?
        .query_map([], |row| row.get(0))?
        .collect()
}

pub(super) fn load(
    connection: &Connection,
    id: &str,
    newest_turns: usize,
) -> Result<Option<StoredSession>> {
    let summary_json: Option<Option<String>> = connection
        .prepare_cached("SELECT summary_json FROM sessions WHERE id = ?1")?
        .query_row([id], |row| {
            let is_there = row.get_ref(0)? != ValueRef::Null;
            is_there.then(|| json::get(row, 0)).transpose()
        })
        .optional()?;
    let Some(summary_json) = summary_json else {
        return Ok(None);
    };
    let state_json = connection
        .prepare_cached("SELECT state_json FROM states WHERE session = ?1")?
        .query_row([id], |row| json::get(row, 0))
        .optional()?;
    let total: u64 = connection
        .prepare_cached("SELECT coalesce(max(ordinal) + 1, 0) FROM turns WHERE session = ?1")?
        .query_row([id], |row| row.get::<_, i64>(0))?
        .cast_unsigned();
    let turns = turns_before(connection, id, total, newest_turns)?;
    let tail = connection
        .prepare_cached("SELECT channel, action_json FROM tail WHERE session = ?1 ORDER BY key")?
        .query_map([id], |row| {
            Ok(TailEntry {
                channel: row.get(0)?,
                action_json: json::get(row, 1)?,
            })
        })?
        .collect::<Result<_>>()?;
    Ok(Some(StoredSession {
        state_json,
        summary_json,
        earlier_turns: turns.first().map_or(total, |turn| turn.ordinal),
        turns,
        tail,
    }))
}

pub(super) fn turns_before(
    connection: &Connection,
    id: &str,
    ordinal: u64,
    limit: usize,
) -> Result<Vec<StoredTurn>> {
    let mut turns: Vec<StoredTurn> = connection
        .prepare_cached(
            "SELECT ordinal, turn_id, json FROM turns WHERE session = ?1 AND ordinal < ?2
             ORDER BY ordinal DESC LIMIT ?3",
        )?
        .query_map(
            params![
                id,
                i64::try_from(ordinal).unwrap_or(i64::MAX),
                sql_limit(limit)
            ],
            |row| {
                Ok(StoredTurn {
                    ordinal: row.get::<_, i64>(0)?.cast_unsigned(),
                    id: row.get(1)?,
                    json: json::get(row, 2)?,
                })
            },
        )?
        .collect::<Result<_>>()?;
    turns.reverse();
    Ok(turns)
}

pub(super) fn turn_ordinal(
    connection: &Connection,
    id: &str,
    turn_id: &str,
) -> Result<Option<u64>> {
    connection
        .prepare_cached("SELECT ordinal FROM turns WHERE session = ?1 AND turn_id = ?2")?
        .query_row([id, turn_id], |row| {
            row.get(0).map(|ordinal: i64| ordinal.cast_unsigned())
        })
        .optional()
}

pub(super) fn processes(connection: &Connection) -> Result<Vec<ProcessRecord>> {
    connection
        .prepare_cached(
            "SELECT session, pid, process_group, start_time FROM processes ORDER BY pid",
        )?
        .query_map([], |row| {
            Ok(ProcessRecord {
                session: row.get(0)?,
                pid: row.get(1)?,
                group: row.get(2)?,
                start_time: row.get::<_, i64>(3)?.cast_unsigned(),
            })
        })?
        .collect()
}

fn sql_limit(limit: usize) -> i64 {
    i64::try_from(limit).unwrap_or(i64::MAX)
}
