//! The queue between everyone and the writer thread. Bounded by bytes; never blocks a sender.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{Notify, oneshot};

use super::batch::Batch;
use super::error::StoreError;

/// What the writer does.
#[derive(Debug)]
pub(super) enum Work {
    Batch(Batch),
    /// The second copy of the high mark of the serial numbers.
    Numbers(u64),
}

/// Work and who waits for it.
#[derive(Debug)]
pub(super) struct Item {
    pub(super) work: Work,
    pub(super) reply: Option<oneshot::Sender<Result<(), StoreError>>>,
    bytes: usize,
}

impl Item {
    /// Tells who waits. That nobody waits any more is no error.
    pub(super) fn resolve(self, result: Result<(), StoreError>) {
        if let Some(reply) = self.reply {
            let _ = reply.send(result);
        }
    }
}

#[derive(Debug, Default)]
struct Inside {
    waiting: VecDeque<Item>,
    /// Of what waits and of what the writer holds and has not committed.
    bytes: usize,
    closing: bool,
}

#[derive(Debug)]
pub(super) struct Queue {
    inside: Mutex<Inside>,
    /// Wakes the writer.
    work: Condvar,
    /// Wakes those who wait for room.
    room: Notify,
    limit_bytes: usize,
    group_bytes: usize,
}

/// What became of a batch that was pushed.
pub(super) enum Push {
    Queued(oneshot::Receiver<Result<(), StoreError>>),
    Full(Batch),
    Closed,
}

impl Queue {
    pub(super) fn new(limit_bytes: usize, group_bytes: usize) -> Self {
        Self {
            inside: Mutex::default(),
            work: Condvar::new(),
            room: Notify::new(),
            limit_bytes,
            group_bytes,
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inside> {
        // Every change under this lock is complete before anything can panic.
        self.inside.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Accepts while less than the limit waits, so that a batch of any size gets its turn;
    /// the bound is the limit and one batch.
    pub(super) fn push(&self, batch: Batch) -> Push {
        let bytes = batch.bytes();
        let mut inside = self.lock();
        if inside.closing {
            return Push::Closed;
        }
        if inside.bytes >= self.limit_bytes {
            return Push::Full(batch);
        }
        let (reply, receiver) = oneshot::channel();
        inside.bytes += bytes;
        inside.waiting.push_back(Item {
            work: Work::Batch(batch),
            reply: Some(reply),
            bytes,
        });
        drop(inside);
        self.work.notify_one();
        Push::Queued(receiver)
    }

    /// A mark that is still waiting is raised in place, so that marks never pile up.
    pub(super) fn push_numbers(&self, next: u64) {
        let mut inside = self.lock();
        if inside.closing {
            return;
        }
        if let Some(Item {
            work: Work::Numbers(waiting),
            ..
        }) = inside
            .waiting
            .iter_mut()
            .rev()
            .find(|item| matches!(item.work, Work::Numbers(_)))
        {
            *waiting = next;
            return;
        }
        inside.waiting.push_back(Item {
            work: Work::Numbers(next),
            reply: None,
            bytes: 0,
        });
        drop(inside);
        self.work.notify_one();
    }

    /// Waits for work and takes as much as one transaction should hold. Nothing when the
    /// queue is closed and empty.
    pub(super) fn take(&self) -> Option<Vec<Item>> {
        let mut inside = self.lock();
        while inside.waiting.is_empty() {
            if inside.closing {
                return None;
            }
            inside = self
                .work
                .wait(inside)
                .unwrap_or_else(PoisonError::into_inner);
        }
        let mut group = Vec::new();
        let mut bytes = 0;
        while bytes < self.group_bytes
            && let Some(item) = inside.waiting.pop_front()
        {
            bytes += item.bytes;
            group.push(item);
        }
        Some(group)
    }

    /// Gives the room of a group back that is committed or given up.
    pub(super) fn release(&self, group: &[Item]) {
        let bytes: usize = group.iter().map(|item| item.bytes).sum();
        let mut inside = self.lock();
        inside.bytes = inside.bytes.saturating_sub(bytes);
        let has_room = self.has_room(inside.bytes);
        drop(inside);
        if has_room {
            self.room.notify_waiters();
        }
    }

    /// Half, so that those who wait are not woken for a single batch.
    fn has_room(&self, bytes: usize) -> bool {
        bytes <= self.limit_bytes / 2
    }

    pub(super) fn bytes(&self) -> usize {
        self.lock().bytes
    }

    pub(super) async fn room(&self) {
        loop {
            let notified = self.room.notified();
            let mut notified = std::pin::pin!(notified);
            // Listens before it looks, so that no wake-up falls in between.
            notified.as_mut().enable();
            {
                let inside = self.lock();
                if inside.closing || self.has_room(inside.bytes) {
                    return;
                }
            }
            notified.await;
        }
    }

    /// No more work is accepted; the writer finishes what waits.
    pub(super) fn close(&self) {
        self.lock().closing = true;
        self.work.notify_all();
        self.room.notify_waiters();
    }

    /// Closes and drops what waits; everyone who waits for it is told that it is closed.
    pub(super) fn abandon(&self) {
        self.close();
        let waiting = std::mem::take(&mut self.lock().waiting);
        drop(waiting);
    }

    pub(super) fn is_closing(&self) -> bool {
        self.lock().closing
    }

    /// Waits before the next try; ends early when the queue is closed.
    pub(super) fn pause(&self, delay: Duration) {
        let until = Instant::now() + delay;
        let mut inside = self.lock();
        while !inside.closing {
            let Some(left) = until.checked_duration_since(Instant::now()) else {
                return;
            };
            inside = self
                .work
                .wait_timeout(inside, left)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
    }
}
