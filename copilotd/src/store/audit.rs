//! The audit in the database: rows that are only added, each chained to the one before it.
//!
//! It owns how rows are numbered, hashed, read, checked, and how the oldest go when there are
//! too many. It knows nothing of what a record says, except for its own about removed rows. It
//! must never change a row.

use std::fmt;

use rusqlite::{Connection, OptionalExtension, Result, params};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::json;

/// Rows are removed when there are more than wanted by one in so many, not one at a time.
const SLACK_DIVISOR: u64 = 10;
/// Problems that a check lists; a damaged audit has them in masses.
const MAX_PROBLEMS: usize = 100;

/// A row of the audit.
#[derive(Clone, PartialEq, Eq)]
pub struct AuditRow {
    /// Rises by one from row to row, from 1.
    pub seq: u64,
    /// Of this row and the one before it, in hexadecimal; see `docs/audit.md`.
    pub hash: String,
    /// What was recorded.
    pub record_json: String,
}

// What is stored never reaches a log.
impl fmt::Debug for AuditRow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AuditRow({})", self.seq)
    }
}

/// Which rows are wanted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AuditFilter {
    /// Only of this session.
    pub session: Option<String>,
    /// Only from this time on: RFC 3339 in UTC with milliseconds.
    pub since: Option<String>,
    /// Only after the row of this number.
    pub after: u64,
}

/// What a check of the whole audit found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AuditCheck {
    /// Rows that are there.
    pub rows: u64,
    /// Number of the oldest one; 0 when there is none.
    pub first: u64,
    /// Number of the newest one; 0 when there is none.
    pub last: u64,
    /// Hash of the newest one. Whoever keeps it elsewhere notices when everything is rewritten.
    pub head: String,
    /// What is wrong, in sentences; at most a hundred.
    pub problems: Vec<String>,
}

/// Adds a row, and removes the oldest when there are well more than `keep`.
pub(super) fn append(connection: &Connection, record_json: &str, keep: u64) -> Result<()> {
    let seq = append_row(connection, record_json)?;
    let oldest = connection
        .prepare_cached("SELECT min(seq) FROM audit")?
        .query_row([], |row| row.get::<_, i64>(0))?
        .cast_unsigned();
    let rows = seq - oldest + 1;
    if rows <= keep + (keep / SLACK_DIVISOR).max(1) {
        return Ok(());
    }
    // The row that says so is one of those that stay.
    let removed_to = seq + 1 - keep.max(1);
    let hash = hash_of_row(connection, removed_to)?;
    let record = json!({"event": "oldest-removed", "at": format!("{:.3}", jiff::Timestamp::now()),
        "by": {"name": "daemon", "trust": "daemon"}, "removedTo": removed_to, "hash": hash});
    append_row(connection, &record.to_string())?;
    connection
        .prepare_cached("DELETE FROM audit WHERE seq <= ?1")?
        .execute([removed_to.cast_signed()])?;
    Ok(())
}

fn append_row(connection: &Connection, record_json: &str) -> Result<u64> {
    let newest = connection
        .prepare_cached("SELECT seq, hash FROM audit ORDER BY seq DESC LIMIT 1")?
        .query_row([], |row| {
            Ok((row.get::<_, i64>(0)?.cast_unsigned(), row.get(1)?))
        })
        .optional()?;
    let (last, before): (u64, String) = newest.unwrap_or_default();
    let seq = last + 1;
    connection
        .prepare_cached("INSERT INTO audit (seq, record_json, hash) VALUES (?1, ?2, ?3)")?
        .execute(params![
            seq.cast_signed(),
            record_json,
            hash(&before, seq, record_json)
        ])?;
    Ok(seq)
}

fn hash_of_row(connection: &Connection, seq: u64) -> Result<Option<String>> {
    connection
        .prepare_cached("SELECT hash FROM audit WHERE seq = ?1")?
        .query_row([seq.cast_signed()], |row| row.get(0))
        .optional()
}

/// SHA-256 over the hash before, the number and the text, each on a line. Frozen.
fn hash(before: &str, seq: u64, record_json: &str) -> String {
    let mut hasher = Sha256::new();
    hasher.update(before);
    hasher.update(format!("\n{seq}\n"));
    hasher.update(record_json);
    format!("{:x}", hasher.finalize())
}

/// Whether the text can be a hash that this module wrote.
pub(super) fn is_hash(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

/// Number of the newest row; 0 when there is none.
pub(super) fn newest(connection: &Connection) -> Result<u64> {
    let newest = connection
        .prepare_cached("SELECT coalesce(max(seq), 0) FROM audit")?
        .query_row([], |row| row.get::<_, i64>(0))?;
    Ok(newest.cast_unsigned())
}

/// The oldest rows that the filter lets through, in order, and the number after which to go on.
/// Ends early at `max_bytes` of text, but never before the first row.
pub(super) fn page(
    connection: &Connection,
    filter: &AuditFilter,
    max_rows: usize,
    max_bytes: usize,
) -> Result<(Vec<AuditRow>, u64)> {
    let newest = newest(connection)?;
    let by_session = match filter.session {
        Some(_) => "record_json ->> '$.session' = ?2",
        None => "?2 IS NULL",
    };
    let mut statement = connection.prepare_cached(&format!(
        "SELECT seq, hash, record_json FROM audit WHERE seq > ?1 AND {by_session}
         AND (?3 IS NULL OR record_json ->> '$.at' >= ?3) ORDER BY seq"
    ))?;
    let after = i64::try_from(filter.after).unwrap_or(i64::MAX);
    let mut found = statement.query(params![after, filter.session, filter.since])?;
    let (mut rows, mut bytes) = (Vec::new(), 0);
    while let Some(row) = found.next()? {
        let row = AuditRow {
            seq: row.get::<_, i64>(0)?.cast_unsigned(),
            hash: row.get(1)?,
            record_json: json::get(row, 2)?,
        };
        bytes += row.record_json.len();
        if rows.len() == max_rows || bytes > max_bytes && !rows.is_empty() {
            let last = rows.last().map_or(filter.after, |r: &AuditRow| r.seq);
            return Ok((rows, last));
        }
        rows.push(row);
    }
    Ok((rows, newest.max(filter.after)))
}

/// Follows the chain from the oldest row to the newest.
pub(super) fn check(connection: &Connection) -> Result<AuditCheck> {
    let mut statement =
        connection.prepare("SELECT seq, hash, record_json FROM audit ORDER BY seq")?;
    let mut found = statement.query([])?;
    let mut check = AuditCheck::default();
    let mut removals: Vec<(u64, Option<String>)> = Vec::new();
    let mut oldest: Option<AuditRow> = None;
    while let Some(row) = found.next()? {
        let row = AuditRow {
            seq: row.get::<_, i64>(0)?.cast_unsigned(),
            hash: row.get(1)?,
            record_json: row.get(2)?,
        };
        check.rows += 1;
        if let Some(removal) = removal(&row.record_json) {
            removals.push(removal);
        }
        let problem = match check.last {
            _ if oldest.is_none() => {
                check.first = row.seq;
                oldest = Some(row.clone());
                None
            }
            last if row.seq != last + 1 => Some(format!(
                "the records from {} to {} are missing",
                last + 1,
                row.seq - 1
            )),
            _ if row.hash != hash(&check.head, row.seq, &row.record_json) => Some(format!(
                "record {} or the one before it was altered",
                row.seq
            )),
            _ => None,
        };
        note(&mut check.problems, problem);
        check.last = row.seq;
        check.head = row.hash;
    }
    let problem = oldest.and_then(|oldest| check_oldest(&oldest, &removals));
    note(&mut check.problems, problem);
    Ok(check)
}

/// What comes before the oldest row is nothing, or was removed as a later row says.
fn check_oldest(oldest: &AuditRow, removals: &[(u64, Option<String>)]) -> Option<String> {
    let before = match oldest.seq {
        1 => Some(String::new()),
        seq => {
            let removal = removals.iter().find(|(to, _)| *to == seq - 1);
            removal.and_then(|(_, hash)| hash.clone())
        }
    };
    match before {
        None => Some(format!(
            "the records up to {} are missing, and no record says that they were removed",
            oldest.seq - 1
        )),
        Some(before) if oldest.hash != hash(&before, oldest.seq, &oldest.record_json) => {
            Some(format!("record {} was altered", oldest.seq))
        }
        Some(_) => None,
    }
}

fn removal(record_json: &str) -> Option<(u64, Option<String>)> {
    // Most records are none of these, and parsing them all would take long.
    if !record_json.contains("\"removedTo\"") {
        return None;
    }
    let record: Value = serde_json::from_str(record_json).ok()?;
    let hash = record.get("hash").and_then(Value::as_str);
    Some((record.get("removedTo")?.as_u64()?, hash.map(str::to_owned)))
}

fn note(problems: &mut Vec<String>, problem: Option<String>) {
    problems.extend(problem.filter(|_| problems.len() < MAX_PROBLEMS));
}
