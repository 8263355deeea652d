//! Time, as the relay sees it: leases, tickets and idle channels are measured with it.
//!
//! The clock of a test stands still until the test advances it, so that nothing has to be waited for.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::watch;

/// A clock that can be shared.
#[derive(Clone, Debug)]
pub struct Clock {
    start: Instant,
    /// How far the test has advanced it; nothing for the system's clock.
    advanced: Option<Arc<watch::Sender<Duration>>>,
}

impl Clock {
    /// The system's monotonic clock.
    #[must_use]
    pub fn system() -> Self {
        Self {
            start: Instant::now(),
            advanced: None,
        }
    }

    /// A clock that moves only by [`advance`](Self::advance).
    #[must_use]
    pub fn manual() -> Self {
        Self {
            start: Instant::now(),
            advanced: Some(Arc::new(watch::Sender::new(Duration::ZERO))),
        }
    }

    /// Moves a manual clock on and wakes whoever waited for that. The system's clock ignores it.
    pub fn advance(&self, by: Duration) {
        if let Some(advanced) = &self.advanced {
            advanced.send_modify(|so_far| *so_far += by);
        }
    }

    /// Now.
    #[must_use]
    pub fn now(&self) -> Instant {
        match &self.advanced {
            Some(advanced) => self.start + *advanced.borrow(),
            None => Instant::now(),
        }
    }

    /// Waits until `at`.
    pub async fn sleep_until(&self, at: Instant) {
        match &self.advanced {
            None => tokio::time::sleep_until(at.into()).await,
            Some(advanced) => {
                let mut advanced = advanced.subscribe();
                // The sender lives as long as this clock does.
                let _ = advanced.wait_for(|so_far| self.start + *so_far >= at).await;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_manual_clock_moves_when_it_is_told_to() {
        let clock = Clock::manual();
        let at = clock.now() + Duration::from_secs(75);
        let sleeper = clock.clone();
        let sleep = tokio::spawn(async move { sleeper.sleep_until(at).await });
        clock.advance(Duration::from_secs(74));
        assert!(clock.now() < at);
        clock.advance(Duration::from_secs(1));
        sleep.await.unwrap();
        assert_eq!(clock.now(), at);
    }
}
