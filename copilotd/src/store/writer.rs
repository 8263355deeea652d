//! The writer thread: the only one that changes the database.
//!
//! It takes what waits and commits it as one transaction, so that under load many batches
//! share one flush to the disk. A batch is applied whole or not at all. When the disk fails,
//! it keeps what it took and tries again, and what comes later waits in the queue; it must
//! never drop, reorder or acknowledge what is not committed. When nothing is to be done it
//! sleeps without waking up.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rusqlite::{Connection, Result};
use tokio::sync::watch;

use super::apply::{apply, raise_numbers};
use super::batch::{Batch, Operation};
use super::connection;
use super::error::{Health, StoreError};
use super::files;
use super::queue::{Item, Queue, Work};
use super::suspect;

const DOING: &str = "write sessions to disk";

/// Pages given back to the file system after a deletion, in one go. 16 MiB.
const VACUUM_PAGES: u32 = 4096;

/// What the writer is told about its world.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pace {
    /// Before the second try; doubled for each further one.
    pub(super) first_retry: Duration,
    /// The longest time between two tries.
    pub(super) longest_retry: Duration,
    /// A WAL that is longer is moved into the database even when readers are in the way.
    pub(super) wal_bytes: u64,
}

pub(super) struct Writer {
    pub(super) path: PathBuf,
    pub(super) connection: Option<Connection>,
    pub(super) queue: Arc<Queue>,
    pub(super) health: watch::Sender<Health>,
    /// Told after a commit that added to the audit.
    pub(super) audit: watch::Sender<()>,
    pub(super) pace: Pace,
}

/// Tells everyone who waits, however the thread ends.
struct Farewell {
    queue: Arc<Queue>,
    health: watch::Sender<Health>,
}

impl Drop for Farewell {
    fn drop(&mut self) {
        self.queue.abandon();
        if std::thread::panicking() {
            report_failing(
                &self.health,
                "writing to disk ended by a defect; restart the daemon".to_owned(),
            );
        }
    }
}

impl Writer {
    /// Until the queue is closed and empty.
    pub(super) fn run(mut self) {
        let _farewell = Farewell {
            queue: Arc::clone(&self.queue),
            health: self.health.clone(),
        };
        while let Some(group) = self.queue.take() {
            let results = self.commit_or_retry(&group);
            self.queue.release(&group);
            let Some(results) = results else {
                // Closed while the disk fails: the rest cannot be written either.
                return;
            };
            let has_deleted = group.iter().any(deletes);
            if group.iter().any(audits) {
                self.audit.send_replace(());
            }
            for (item, result) in group.into_iter().zip(results) {
                item.resolve(result);
            }
            self.tidy(has_deleted);
        }
        if let Some(connection) = self.connection.take()
            && let Err((_, error)) = connection.close()
        {
            tracing::warn!(%error, "the database was not closed cleanly");
        }
    }

    /// Nothing when the queue was closed before it succeeded.
    fn commit_or_retry(
        &mut self,
        group: &[Item],
    ) -> Option<Vec<std::result::Result<(), StoreError>>> {
        let mut delay = self.pace.first_retry;
        loop {
            match self.commit(group) {
                Ok(results) => {
                    self.report_good();
                    return Some(results);
                }
                Err(error) => {
                    let error = StoreError::new(DOING, &error);
                    if matches!(error, StoreError::Damaged { .. }) {
                        suspect::note(&self.path, &error);
                    }
                    report_failing(&self.health, error.to_string());
                    // After an I/O error a connection may not work again by itself.
                    self.connection = None;
                    if self.queue.is_closing() {
                        return None;
                    }
                    self.queue.pause(delay);
                    delay = (delay * 2).min(self.pace.longest_retry);
                }
            }
        }
    }

    /// All of the group in one transaction. An error is of the disk and nothing is committed;
    /// a batch that can never be stored has its own result and does not harm the others.
    fn commit(&mut self, group: &[Item]) -> Result<Vec<std::result::Result<(), StoreError>>> {
        let connection = match &mut self.connection {
            Some(connection) => connection,
            none => {
                let connection = connection::writer(&self.path)?;
                connection::trust(&connection)?;
                none.insert(connection)
            }
        };
        // One flush covers everything that was committed before it, too.
        let synchronous = if group.iter().any(is_durable) {
            "FULL"
        } else {
            "NORMAL"
        };
        connection.pragma_update(None, "synchronous", synchronous)?;
        let transaction =
            connection.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
        let mut results = Vec::with_capacity(group.len());
        for item in group {
            results.push(match &item.work {
                Work::Numbers(next) => raise_numbers(&transaction, *next).map(Ok)?,
                Work::Batch(batch) => apply_alone(&transaction, batch)?,
            });
        }
        transaction.commit()?;
        Ok(results)
    }

    /// Keeps the files small. What fails here fails again with the next batch, and is
    /// reported then.
    fn tidy(&mut self, has_deleted: bool) {
        let Some(connection) = &self.connection else {
            return;
        };
        let wal = files::beside(&self.path, "-wal");
        let wal_bytes = std::fs::metadata(wal).map_or(0, |found| found.len());
        let result = give_space_back(connection, has_deleted).and_then(|()| {
            if has_deleted || wal_bytes > self.pace.wal_bytes {
                checkpoint(connection)
            } else {
                Ok(())
            }
        });
        if let Err(error) = result {
            tracing::debug!(%error, "the database could not be tidied");
        }
    }

    fn report_good(&self) {
        let changed = self.health.send_if_modified(|health| {
            let was_failing = *health != Health::Good;
            *health = Health::Good;
            was_failing
        });
        if changed {
            tracing::info!("sessions are written to disk again");
        }
    }
}

fn report_failing(health: &watch::Sender<Health>, message: String) {
    health.send_if_modified(|health| match health {
        Health::Failing { message: told, .. } if *told == message => false,
        Health::Failing { message: told, .. } => {
            tracing::error!(message, "sessions cannot be written to disk");
            *told = message;
            true
        }
        Health::Good => {
            tracing::error!(message, "sessions cannot be written to disk");
            *health = Health::Failing {
                since: SystemTime::now(),
                message,
            };
            true
        }
    });
}

/// Undoes the batch, and only it, when it can never be stored.
fn apply_alone(
    connection: &Connection,
    batch: &Batch,
) -> Result<std::result::Result<(), StoreError>> {
    let run = |sql| connection.prepare_cached(sql)?.execute([]);
    run("SAVEPOINT batch")?;
    let result = apply(connection, batch);
    if let Err(error) = result {
        let refused = StoreError::new(DOING, &error);
        if !matches!(refused, StoreError::Refused { .. }) {
            return Err(error);
        }
        run("ROLLBACK TO batch")?;
        run("RELEASE batch")?;
        tracing::error!(session = batch.session, error = %refused, "a batch cannot be stored");
        return Ok(Err(refused));
    }
    run("RELEASE batch")?;
    Ok(Ok(()))
}

fn is_durable(item: &Item) -> bool {
    matches!(&item.work, Work::Batch(batch) if batch.durable)
}

fn deletes(item: &Item) -> bool {
    matches!(&item.work, Work::Batch(batch) if batch.operations.contains(&Operation::Delete))
}

fn audits(item: &Item) -> bool {
    let is_record = |operation: &Operation| matches!(operation, Operation::Audit { .. });
    matches!(&item.work, Work::Batch(batch) if batch.operations.iter().any(is_record))
}

/// Cuts free pages off the end of the file after a deletion.
fn give_space_back(connection: &Connection, has_deleted: bool) -> Result<()> {
    if !has_deleted {
        return Ok(());
    }
    let mut statement =
        connection.prepare(&format!("PRAGMA incremental_vacuum({VACUUM_PAGES})"))?;
    let mut rows = statement.query([])?;
    while rows.next()?.is_some() {}
    Ok(())
}

/// Moves the WAL into the database and cuts it, waiting a little for readers in the way.
fn checkpoint(connection: &Connection) -> Result<()> {
    connection.busy_timeout(Duration::from_millis(100))?;
    let result = connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()));
    connection.busy_timeout(connection::BUSY_TIMEOUT)?;
    result
}
