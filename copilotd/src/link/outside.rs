//! What happens around the link and speaks for looking after it at once: the machine woke up, the
//! network changed. Watched only while a link is wanted.

use std::io;

use super::network::Changes;
use crate::power::WakeUps;

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Happened {
    /// The machine slept: no connection lives any more.
    WokeUp,
    /// The network is another one: a connection may live or not.
    NetworkChanged,
}

/// See the module.
#[derive(Default)]
pub(super) struct Outside {
    wake_ups: Option<WakeUps>,
    changes: Option<Changes>,
    is_watching: bool,
}

impl Outside {
    /// Watches, or does not.
    pub(super) fn watch(&mut self, wanted: bool) {
        if wanted == self.is_watching {
            return;
        }
        self.is_watching = wanted;
        self.wake_ups = wanted.then(WakeUps::watch).and_then(or_heartbeats);
        self.changes = wanted.then(Changes::watch).and_then(or_heartbeats);
    }

    /// Waits for the next thing to happen. Cancel-safe.
    pub(super) async fn next(&mut self) -> Happened {
        loop {
            tokio::select! {
                woke = next(&mut self.wake_ups, async |w| w.next().await) => match woke {
                    Ok(()) => return Happened::WokeUp,
                    Err(error) => self.wake_ups = or_heartbeats(Err(error)),
                },
                changed = next(&mut self.changes, async |c| c.next().await) => match changed {
                    Ok(()) => return Happened::NetworkChanged,
                    Err(error) => self.changes = or_heartbeats(Err(error)),
                },
            }
        }
    }
}

async fn next<T>(
    watched: &mut Option<T>,
    next: impl AsyncFnOnce(&mut T) -> io::Result<()>,
) -> io::Result<()> {
    match watched {
        Some(watched) => next(watched).await,
        None => std::future::pending().await,
    }
}

/// Without it the heartbeats of the link notice, later.
fn or_heartbeats<T>(watched: io::Result<T>) -> Option<T> {
    watched
        .inspect_err(
            |error| tracing::warn!(%error, "wake-ups or network changes are not noticed at once"),
        )
        .ok()
}
