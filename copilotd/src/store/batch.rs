//! What is written: batches of operations on one session.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::sync::oneshot;

use super::error::StoreError;

/// Operations on one session that are committed together or not at all.
#[derive(Clone, PartialEq, Eq)]
pub struct Batch {
    /// Id of the session.
    pub session: String,
    /// Whether it must survive a power cut once it is acknowledged. What is not durable
    /// survives a kill of the daemon all the same.
    pub durable: bool,
    /// In this order.
    pub operations: Vec<Operation>,
}

/// One change. All JSON is opaque text here; what is not JSON is refused.
#[derive(Clone, PartialEq, Eq)]
pub enum Operation {
    /// Replaces the session's state, without its completed turns. The tail stays as it is.
    PutState {
        /// The state.
        state_json: String,
    },
    /// Replaces what lists show of the session.
    PutSummary {
        /// The summary.
        summary_json: String,
        /// Found by search.
        title: String,
        /// Orders lists, as text: always RFC 3339 in UTC with the same number of digits.
        modified_at: String,
    },
    /// An action since the state was put.
    AppendTail {
        /// Channel of the action.
        channel: String,
        /// The action.
        action_json: String,
    },
    /// Forgets all actions since the state was put.
    ClearTail,
    /// Appends a completed turn; a turn with the same id is replaced where it is.
    CompleteTurn {
        /// Id of the turn.
        turn_id: String,
        /// The whole turn.
        json: String,
        /// Its words, for search.
        text: String,
    },
    /// A process of a session runs: to be swept if the daemon is killed.
    RecordProcess(ProcessRecord),
    /// A process is known to be gone.
    ForgetProcess {
        /// Its id.
        pid: u32,
    },
    /// Adds a record to the audit, which is of no session and outlives them all.
    Audit {
        /// The record.
        record_json: String,
        /// How many records are to be kept; older ones may be removed.
        keep: u64,
    },
    /// Everything of the session, except its process records and what the audit has about
    /// it: a process does not end because its session is deleted.
    Delete,
}

/// A process that the daemon started, told apart from a later one with the same id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProcessRecord {
    /// Id of the session it works for.
    pub session: String,
    /// Process id.
    pub pid: u32,
    /// Process group.
    pub group: u32,
    /// Start time as the system counts it; only compared for equality.
    pub start_time: u64,
}

// What is stored never reaches a log: only its shape does.
impl fmt::Debug for Batch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Batch")
            .field("session", &self.session)
            .field("durable", &self.durable)
            .field("operations", &self.operations)
            .finish()
    }
}

impl fmt::Debug for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match self {
            Self::PutState { .. } => "PutState",
            Self::PutSummary { .. } => "PutSummary",
            Self::AppendTail { .. } => "AppendTail",
            Self::ClearTail => "ClearTail",
            Self::CompleteTurn { .. } => "CompleteTurn",
            Self::RecordProcess(_) => "RecordProcess",
            Self::ForgetProcess { .. } => "ForgetProcess",
            Self::Audit { .. } => "Audit",
            Self::Delete => "Delete",
        };
        write!(f, "{name}({} bytes)", self.bytes())
    }
}

/// Charged for an operation or a batch on top of its text, so that empty ones are not free.
const OVERHEAD_BYTES: usize = 64;

impl Batch {
    /// What it counts against the bound of the queue.
    pub(super) fn bytes(&self) -> usize {
        let operations: usize = self.operations.iter().map(Operation::bytes).sum();
        OVERHEAD_BYTES + self.session.len() + operations
    }
}

impl Operation {
    /// The JSON in it.
    pub(super) fn json(&self) -> Option<&str> {
        match self {
            Self::PutState { state_json: text }
            | Self::PutSummary {
                summary_json: text, ..
            }
            | Self::AppendTail {
                action_json: text, ..
            }
            | Self::CompleteTurn { json: text, .. }
            | Self::Audit {
                record_json: text, ..
            } => Some(text),
            Self::ClearTail
            | Self::RecordProcess(_)
            | Self::ForgetProcess { .. }
            | Self::Delete => None,
        }
    }

    fn bytes(&self) -> usize {
        let text = match self {
            Self::PutState { state_json } => state_json.len(),
            Self::PutSummary {
                summary_json,
                title,
                modified_at,
            } => summary_json.len() + title.len() + modified_at.len(),
            Self::AppendTail {
                channel,
                action_json,
            } => channel.len() + action_json.len(),
            Self::CompleteTurn {
                turn_id,
                json,
                text,
            } => turn_id.len() + json.len() + text.len(),
            Self::RecordProcess(record) => record.session.len(),
            Self::Audit { record_json, .. } => record_json.len(),
            Self::ClearTail | Self::ForgetProcess { .. } | Self::Delete => 0,
        };
        OVERHEAD_BYTES + text
    }
}

/// Resolves when the batch is committed: on disk for a durable one, safe from a kill of the
/// daemon for another. While the disk fails it stays pending. Dropping it changes nothing.
#[derive(Debug)]
pub struct Committed(pub(super) oneshot::Receiver<Result<(), StoreError>>);

impl Committed {
    /// Waits on a thread that is not the runtime's.
    ///
    /// # Errors
    /// As the future.
    pub fn wait(self) -> Result<(), StoreError> {
        self.0.blocking_recv().unwrap_or(Err(StoreError::Closed))
    }
}

impl Future for Committed {
    type Output = Result<(), StoreError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.0)
            .poll(context)
            .map(|received| received.unwrap_or(Err(StoreError::Closed)))
    }
}
