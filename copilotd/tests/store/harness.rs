//! Short ways to say what the tests do.

use std::path::{Path, PathBuf};

use copilotd::store::{Batch, Notice, Operation, Store, open};
use tempfile::TempDir;

pub(crate) const NAME: &str = "sessions.db";

/// A folder that goes away, and the database in it.
pub(crate) struct Scratch {
    pub(crate) folder: TempDir,
}

impl Scratch {
    pub(crate) fn new() -> Self {
        Self {
            folder: fast_folder(),
        }
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.folder.path().join(NAME)
    }

    pub(crate) fn beside(&self, suffix: &str) -> PathBuf {
        self.folder.path().join(format!("{NAME}{suffix}"))
    }

    /// Opens and expects nothing to tell.
    pub(crate) fn open(&self) -> Store {
        let (store, notices) = self.open_noticing();
        assert_eq!(notices, []);
        store
    }

    pub(crate) fn open_noticing(&self) -> (Store, Vec<Notice>) {
        open(&self.path()).unwrap()
    }

    /// Files that were set aside.
    pub(crate) fn kept(&self) -> Vec<PathBuf> {
        let mut kept: Vec<PathBuf> = std::fs::read_dir(self.folder.path())
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .filter(|path| path.to_string_lossy().contains(".damaged"))
            .collect();
        kept.sort();
        kept
    }
}

/// A folder in memory where the system has one: these tests are about files, not disks.
pub(crate) fn fast_folder() -> TempDir {
    tempfile::tempdir_in("/dev/shm").unwrap_or_else(|_| tempfile::tempdir().unwrap())
}

/// Copies the database and what is beside it, as a kill would leave it, also while the writer
/// is at work.
pub(crate) fn copy_all(from: &Path, to: &Path) {
    let read = |path: &Path| std::fs::read(path).unwrap_or_default();
    let (database, wal) = (from.join(NAME), from.join(format!("{NAME}-wal")));
    loop {
        for entry in std::fs::read_dir(from).unwrap() {
            let entry = entry.unwrap();
            // The index of the WAL does not survive a power cut either.
            if !entry.file_name().to_string_lossy().ends_with("-shm") {
                std::fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
            }
        }
        // While the WAL is moved into the database, copies made one after the other are of
        // no one moment.
        let is_same = read(&database) == read(&to.join(NAME));
        let copied = read(&to.join(format!("{NAME}-wal")));
        if is_same && read(&wal).starts_with(&copied) {
            return;
        }
    }
}

pub(crate) fn batch(session: &str, operations: Vec<Operation>) -> Batch {
    Batch {
        session: session.to_owned(),
        durable: true,
        operations,
    }
}

/// Submits and waits for the commit.
pub(crate) fn write(store: &Store, session: &str, operations: Vec<Operation>) {
    store
        .submit(batch(session, operations))
        .unwrap()
        .wait()
        .unwrap();
}

pub(crate) fn state(text: &str) -> Operation {
    Operation::PutState {
        state_json: format!("{{\"state\":\"{text}\"}}"),
    }
}

pub(crate) fn summary(title: &str, minute: usize) -> Operation {
    Operation::PutSummary {
        summary_json: format!("{{\"title\":\"{title}\"}}"),
        title: title.to_owned(),
        modified_at: format!("2025-01-01T{:02}:{:02}:00Z", minute / 60, minute % 60),
    }
}

pub(crate) fn turn(id: &str, text: &str) -> Operation {
    Operation::CompleteTurn {
        turn_id: id.to_owned(),
        json: serde_json::json!({"id": id, "text": text}).to_string(),
        text: text.to_owned(),
    }
}

pub(crate) fn tail(text: &str) -> Operation {
    Operation::AppendTail {
        channel: "ahp-chat:/1".to_owned(),
        action_json: format!("{{\"delta\":\"{text}\"}}"),
    }
}

pub(crate) fn audit(text: &str, keep: u64) -> Operation {
    Operation::Audit {
        record_json: format!("{{\"event\":\"{text}\"}}"),
        keep,
    }
}
