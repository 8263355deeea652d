//! What a session is asked, in order.
//!
//! While the store has no room, people can still look at a session: whatever asks for more waits
//! here until the step is kept.

use std::collections::VecDeque;

use tokio::sync::mpsc;

use super::Input;

/// Inputs that may wait here for one step to be kept. Beyond that none is taken, and the clients
/// of this session wait.
const DEFERRED: usize = 256;

/// The receiving end of a session's inputs.
pub(super) struct Inbox {
    receiver: mpsc::Receiver<Input>,
    deferred: VecDeque<Input>,
}

impl Inbox {
    pub(super) fn new(receiver: mpsc::Receiver<Input>) -> Self {
        Self {
            receiver,
            deferred: VecDeque::new(),
        }
    }

    /// The next input; nothing when nobody can ask any more. Cancel-safe.
    pub(super) async fn next(&mut self) -> Option<Input> {
        match self.deferred.pop_front() {
            Some(input) => Some(input),
            None => self.receiver.recv().await,
        }
    }

    /// The next input that came while a step waits; never, when too many were put off already.
    /// Cancel-safe.
    pub(super) async fn next_meanwhile(&mut self) -> Input {
        if self.deferred.len() < DEFERRED
            && let Some(input) = self.receiver.recv().await
        {
            return input;
        }
        std::future::pending().await
    }

    /// Puts an input off until the step is kept.
    pub(super) fn defer(&mut self, input: Input) {
        self.deferred.push_back(input);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.deferred.is_empty() && self.receiver.is_empty()
    }

    /// Takes nothing more and gives what came until now.
    pub(super) async fn close(&mut self) -> Vec<Input> {
        self.receiver.close();
        let mut late: Vec<Input> = self.deferred.drain(..).collect();
        while let Some(input) = self.receiver.recv().await {
            late.push(input);
        }
        late
    }
}
