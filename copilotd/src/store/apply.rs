//! Operations as SQL.

use rusqlite::{Connection, Result, params};

use super::audit;
use super::batch::{Batch, Operation, ProcessRecord};
use super::json;

/// Applies all operations of the batch inside the caller's transaction.
pub(super) fn apply(connection: &Connection, batch: &Batch) -> Result<()> {
    let mut is_known = false;
    for operation in &batch.operations {
        match operation {
            Operation::Delete => is_known = false,
            Operation::RecordProcess(_)
            | Operation::ForgetProcess { .. }
            | Operation::Audit { .. } => {}
            _ if is_known => {}
            _ => {
                execute(
                    connection,
                    "INSERT INTO sessions (id) VALUES (?1) ON CONFLICT (id) DO NOTHING",
                    [&batch.session],
                )?;
                is_known = true;
            }
        }
        if let Some(text) = operation.json() {
            json::check(text)?;
        }
        apply_one(connection, &batch.session, operation)?;
    }
    Ok(())
}

fn apply_one(connection: &Connection, session: &str, operation: &Operation) -> Result<()> {
    match operation {
        Operation::PutState { state_json } => execute(
            connection,
            "INSERT INTO states (session, state_json) VALUES (?1, ?2)
             ON CONFLICT (session) DO UPDATE SET state_json = excluded.state_json",
            [session, state_json],
        ),
        Operation::PutSummary {
            summary_json,
            title,
            modified_at,
        } => execute(
            connection,
            "UPDATE sessions SET summary_json = ?2, title = ?3, modified_at = ?4 WHERE id = ?1",
            [session, summary_json, title, modified_at],
        ),
        Operation::AppendTail {
            channel,
            action_json,
        } => execute(
            connection,
            "INSERT INTO tail (session, channel, action_json) VALUES (?1, ?2, ?3)",
            [session, channel, action_json],
        ),
        Operation::ClearTail => {
            execute(connection, "DELETE FROM tail WHERE session = ?1", [session])
        }
        Operation::CompleteTurn {
            turn_id,
            json,
            text,
        } => execute(
            connection,
            "INSERT INTO turns (session, ordinal, turn_id, json, text)
             VALUES (?1, (SELECT coalesce(max(ordinal) + 1, 0) FROM turns WHERE session = ?1), ?2, ?3, ?4)
             ON CONFLICT (session, turn_id) DO UPDATE SET json = excluded.json, text = excluded.text",
            [session, turn_id, json, text],
        ),
        Operation::RecordProcess(ProcessRecord {
            session,
            pid,
            group,
            start_time,
        }) => execute(
            connection,
            "INSERT INTO processes (pid, session, process_group, start_time) VALUES (?1, ?2, ?3, ?4)
             ON CONFLICT (pid) DO UPDATE SET session = excluded.session,
               process_group = excluded.process_group, start_time = excluded.start_time",
            params![pid, session, group, start_time.cast_signed()],
        ),
        Operation::ForgetProcess { pid } => {
            execute(connection, "DELETE FROM processes WHERE pid = ?1", [pid])
        }
        Operation::Audit { record_json, keep } => audit::append(connection, record_json, *keep),
        Operation::Delete => {
            execute(connection, "DELETE FROM tail WHERE session = ?1", [session])?;
            execute(connection, "DELETE FROM turns WHERE session = ?1", [session])?;
            execute(connection, "DELETE FROM states WHERE session = ?1", [session])?;
            execute(connection, "DELETE FROM sessions WHERE id = ?1", [session])
        }
    }
}

/// Raises the stored copy of the high mark.
pub(super) fn raise_numbers(connection: &Connection, next: u64) -> Result<()> {
    execute(
        connection,
        "INSERT INTO numbers (id, next) VALUES (1, ?1)
         ON CONFLICT (id) DO UPDATE SET next = max(next, excluded.next)",
        [next.cast_signed()],
    )
}

fn execute<P: rusqlite::Params>(connection: &Connection, sql: &str, params: P) -> Result<()> {
    connection.prepare_cached(sql)?.execute(params)?;
    Ok(())
}
