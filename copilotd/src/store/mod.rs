//! The store: sessions on disk, in one SQLite database.
//!
//! It owns the database, the file with the serial numbers beside it, and the one thread that
//! writes. It keeps JSON text by session and knows nothing of what the text means. It must
//! never overwrite what it failed to read, never acknowledge what is not committed, and never
//! let damage or a full disk end the daemon.
//!
//! One process uses a database at a time; the daemon's own lock sees to that.

mod apply;
mod audit;
mod batch;
mod connection;
mod error;
mod files;
mod json;
mod numbers;
mod open;
mod queue;
mod read;
mod salvage;
mod schema;
mod search;
mod space;
mod suspect;
mod writer;

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::{oneshot, watch};

pub use audit::{AuditCheck, AuditFilter, AuditRow};
pub use batch::{Batch, Committed, Operation, ProcessRecord};
pub use error::{Health, NoSpace, Notice, OpenError, StoreError, StoreFull};
pub use read::{Position, StoredSession, StoredSummary, StoredTurn, TailEntry};
pub use search::Hit;

use numbers::Numbers;
use queue::{Push, Queue};
use read::Readers;
use writer::{Pace, Writer};

/// Bounds of a store.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Batches that wait, bytes: beyond this none is accepted until some are written.
    pub queue_bytes: usize,
    /// Batches that share a transaction, bytes.
    pub group_bytes: usize,
    /// A database up to this long is looked at in full at every start.
    pub check_bytes: u64,
    /// A write-ahead log that is longer is moved into the database at once.
    pub wal_bytes: u64,
    /// Between the first two tries while the disk fails; doubled for each further one.
    pub first_retry: Duration,
    /// The longest time between two tries.
    pub longest_retry: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            queue_bytes: 32 * 1024 * 1024,
            group_bytes: 4 * 1024 * 1024,
            check_bytes: 4 * 1024 * 1024,
            wal_bytes: 16 * 1024 * 1024,
            first_retry: Duration::from_millis(50),
            longest_retry: Duration::from_secs(5),
        }
    }
}

/// All sessions on disk. Cheap to clone; the last one that is dropped waits until what was
/// submitted is written.
#[derive(Debug, Clone)]
pub struct Store(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    path: PathBuf,
    queue: Arc<Queue>,
    readers: Readers,
    turns_read: AtomicU64,
    numbers: Mutex<Numbers>,
    health: watch::Receiver<Health>,
    audit: watch::Receiver<()>,
    writer: Mutex<Option<JoinHandle<()>>>,
}

/// Opens the database at `path`, which is created with its folder when it is not there.
///
/// What is damaged is recovered as far as it can be read; whatever could not be read is kept
/// under another name. The notices say so, for people.
///
/// # Errors
/// When a newer release made the database, or the file system refuses. Nothing is lost then.
pub fn open(path: &Path) -> Result<(Store, Vec<Notice>), OpenError> {
    open_with(path, Limits::default())
}

/// As [`open()`], with other bounds.
///
/// # Errors
/// As [`open()`].
pub fn open_with(path: &Path, limits: Limits) -> Result<(Store, Vec<Notice>), OpenError> {
    let opened = open::open(path, limits.check_bytes)?;
    let mut notices = opened.notices;
    let (numbers, notice) = Numbers::open(&opened.path, opened.stored_numbers, opened.is_new)?;
    notices.extend(notice);
    let queue = Arc::new(Queue::new(limits.queue_bytes, limits.group_bytes));
    queue.push_numbers(numbers.next());
    let (health_sender, health) = watch::channel(Health::Good);
    let (audit_sender, audit) = watch::channel(());
    let writer = Writer {
        path: opened.path.clone(),
        connection: Some(opened.connection),
        queue: Arc::clone(&queue),
        health: health_sender,
        audit: audit_sender,
        pace: Pace {
            first_retry: limits.first_retry,
            longest_retry: limits.longest_retry,
            wal_bytes: limits.wal_bytes,
        },
    };
    let writer = std::thread::Builder::new()
        .name("store".to_owned())
        .spawn(move || writer.run())
        .map_err(OpenError::Thread)?;
    let store = Store(Arc::new(Inner {
        readers: Readers::new(&opened.path),
        turns_read: AtomicU64::new(0),
        path: opened.path,
        queue,
        numbers: Mutex::new(numbers),
        health,
        audit,
        writer: Mutex::new(Some(writer)),
    }));
    Ok((store, notices))
}

impl Store {
    /// Serial numbers that no one ever got before, and no one gets again, whatever happens
    /// to the daemon or the database. They are reserved on disk when this returns: take them
    /// in blocks. Begins at 1.
    ///
    /// # Errors
    /// When the disk refuses; nothing is reserved then, and it may be tried again.
    pub fn reserve_numbers(&self, count: u64) -> Result<Range<u64>, StoreError> {
        let mut numbers = self
            .0
            .numbers
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let reserved = numbers.reserve(count)?;
        self.0.queue.push_numbers(reserved.end);
        Ok(reserved)
    }

    /// Sessions that have a summary, newest first, from the one after `before`.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn summaries(
        &self,
        before: Option<&Position>,
        limit: usize,
    ) -> Result<Vec<StoredSummary>, StoreError> {
        self.0.readers.read("read the list of sessions", |db| {
            read::summaries(db, before, limit)
        })
    }

    /// How many sessions [`Self::summaries`] has.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn count(&self) -> Result<usize, StoreError> {
        self.0.readers.read("count the sessions", read::count)
    }

    /// How many completed turns were read since the store was opened: what looking at sessions
    /// costs.
    #[must_use]
    pub fn turns_read(&self) -> u64 {
        self.0.turns_read.load(Ordering::Relaxed)
    }

    fn note_turns(&self, read: usize) {
        let read = u64::try_from(read).unwrap_or(u64::MAX);
        self.0.turns_read.fetch_add(read, Ordering::Relaxed);
    }

    /// Ids of sessions that have no summary: those lost it to damage, or never had one.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn unlisted(&self) -> Result<Vec<String>, StoreError> {
        self.0
            .readers
            .read("read the list of sessions", read::unlisted)
    }

    /// A session with its newest turns; nothing when it is not stored. Sees what is
    /// committed, not what waits to be.
    ///
    /// # Errors
    /// When the database cannot be read, or is damaged where this session lies.
    pub fn load(&self, id: &str, newest_turns: usize) -> Result<Option<StoredSession>, StoreError> {
        let loaded = self.0.readers.read("read the stored session", |db| {
            read::load(db, id, newest_turns)
        })?;
        self.note_turns(loaded.as_ref().map_or(0, |session| session.turns.len()));
        Ok(loaded)
    }

    /// The newest turns before the one with this ordinal, oldest first.
    ///
    /// # Errors
    /// As [`Self::load`].
    pub fn turns_before(
        &self,
        id: &str,
        ordinal: u64,
        limit: usize,
    ) -> Result<Vec<StoredTurn>, StoreError> {
        let turns = self.0.readers.read("read earlier turns", |db| {
            read::turns_before(db, id, ordinal, limit)
        })?;
        self.note_turns(turns.len());
        Ok(turns)
    }

    /// Where a turn is; nothing when the session has none with this id.
    ///
    /// # Errors
    /// As [`Self::load`].
    pub fn turn_ordinal(&self, id: &str, turn_id: &str) -> Result<Option<u64>, StoreError> {
        self.0.readers.read("read earlier turns", |db| {
            read::turn_ordinal(db, id, turn_id)
        })
    }

    /// Titles and turns in which all words of the query occur, the last one also as the
    /// beginning of a word. No query is an error.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn search(&self, query: &str, limit: usize) -> Result<Vec<Hit>, StoreError> {
        self.0
            .readers
            .read("search the sessions", |db| search::search(db, query, limit))
    }

    /// Processes that were recorded and not forgotten.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn processes(&self) -> Result<Vec<ProcessRecord>, StoreError> {
        self.0
            .readers
            .read("read the processes of an earlier daemon", read::processes)
    }

    /// The oldest records of the audit that the filter lets through, and the number after which
    /// to go on.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn audit(
        &self,
        filter: &AuditFilter,
        max_rows: usize,
        max_bytes: usize,
    ) -> Result<(Vec<AuditRow>, u64), StoreError> {
        self.0.readers.read("read the audit", |db| {
            audit::page(db, filter, max_rows, max_bytes)
        })
    }

    /// Follows the chain of the whole audit. Takes a while.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn check_audit(&self) -> Result<AuditCheck, StoreError> {
        self.0.readers.read("read the audit", audit::check)
    }

    /// To be told when records were added to the audit.
    #[must_use]
    pub fn watch_audit(&self) -> watch::Receiver<()> {
        self.0.audit.clone()
    }

    /// Hands a batch to the writer; never blocks. Batches are committed in the order in
    /// which they were submitted, whatever session they are of.
    ///
    /// # Errors
    /// When too much waits already. The batch comes back.
    pub fn submit(&self, batch: Batch) -> Result<Committed, StoreFull> {
        match self.0.queue.push(batch) {
            Push::Queued(receiver) => Ok(Committed(receiver)),
            Push::Full(batch) => Err(StoreFull(Box::new(batch))),
            // Without a sender it resolves to `Closed`.
            Push::Closed => Ok(Committed(oneshot::channel().1)),
        }
    }

    /// What was submitted and is not committed. Bytes.
    #[must_use]
    pub fn submitted_bytes(&self) -> usize {
        self.0.queue.bytes()
    }

    /// Waits until the queue is at most half full, or closed. Others may fill it first.
    pub async fn room(&self) {
        self.0.queue.room().await;
    }

    /// Whether batches reach the disk.
    #[must_use]
    pub fn health(&self) -> Health {
        self.0.health.borrow().clone()
    }

    /// To be told when that changes.
    #[must_use]
    pub fn watch_health(&self) -> watch::Receiver<Health> {
        self.0.health.clone()
    }

    /// Whether there is room for more input; one system call.
    ///
    /// # Errors
    /// When there is too little.
    pub fn has_space(&self) -> Result<(), NoSpace> {
        space::check(files::folder_of(&self.0.path))
    }

    /// Writes what was submitted and ends. While the disk fails it gives up after one more
    /// try, and what waits resolves to [`StoreError::Closed`]. Blocks; what is submitted
    /// later is not written.
    pub fn close(&self) {
        self.0.close();
    }
}

impl Inner {
    fn close(&self) {
        self.queue.close();
        self.readers.close();
        let writer = self
            .writer
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if let Some(writer) = writer
            && writer.join().is_err()
        {
            tracing::error!("the thread that writes sessions ended by a defect");
        }
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.close();
    }
}
