//! Which sessions paired devices may know of. The actor of a session is the only writer of its own
//! entry; everybody else reads.

use std::collections::HashSet;
use std::sync::Arc;

use tokio::sync::watch;

/// The sessions with remote access on, in memory or not.
#[derive(Debug)]
pub struct RemoteSessions {
    on: watch::Sender<HashSet<Arc<str>>>,
}

impl Default for RemoteSessions {
    fn default() -> Self {
        Self {
            on: watch::Sender::new(HashSet::new()),
        }
    }
}

impl RemoteSessions {
    /// Whether devices may know of the session of this id.
    pub fn is_on(&self, session: &str) -> bool {
        self.on.borrow().contains(session)
    }

    /// Whether there is none at all.
    pub fn is_empty(&self) -> bool {
        self.on.borrow().is_empty()
    }

    /// Notes it.
    pub fn set(&self, session: &str, on: bool) {
        self.on.send_if_modified(|sessions| match on {
            true => sessions.insert(session.into()),
            false => sessions.remove(session),
        });
    }

    /// To be told when it changes.
    pub fn watch(&self) -> watch::Receiver<HashSet<Arc<str>>> {
        self.on.subscribe()
    }
}
