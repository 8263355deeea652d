//! How long to wait before the next try: none at first, then at random up to a limit that doubles.

use std::time::Duration;

/// The limit of the second try.
const FIRST_LIMIT: Duration = Duration::from_millis(500);
/// The limit that is not exceeded.
const LAST_LIMIT: Duration = Duration::from_secs(30);
/// What lasted so long was healthy: the next try is the first.
const HEALTHY: Duration = Duration::from_secs(60);

/// How many tries failed in a row.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Backoff {
    failed: u32,
}

impl Backoff {
    /// The wait after one more failure. `random` is any number, all equally likely.
    pub(super) fn failed(&mut self, random: u64) -> Duration {
        let limit = limit(self.failed);
        self.failed = self.failed.saturating_add(1);
        let limit_ms = u64::try_from(limit.as_millis()).unwrap_or(u64::MAX);
        match limit_ms {
            0 => Duration::ZERO,
            limit_ms => Duration::from_millis(random % (limit_ms + 1)),
        }
    }

    /// The wait after something that lasted so long. Nothing else counts, least of all what the other
    /// end wishes: one that ends each link with the word to come again at once must not be obeyed.
    pub(super) fn ended(&mut self, lasted: Duration, random: u64) -> Duration {
        if lasted >= HEALTHY {
            self.reset();
        }
        self.failed(random)
    }

    /// Something on this machine speaks for trying at once.
    pub(super) fn reset(&mut self) {
        self.failed = 0;
    }
}

fn limit(failed: u32) -> Duration {
    match failed {
        0 => Duration::ZERO,
        n => FIRST_LIMIT
            .saturating_mul(1_u32.checked_shl(n - 1).unwrap_or(u32::MAX))
            .min(LAST_LIMIT),
    }
}

/// A random number.
pub(super) fn random() -> u64 {
    let (high, _) = uuid::Uuid::new_v4().as_u64_pair();
    // The version's fixed bits are in the lower half of this half.
    high >> 16
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_try_is_at_once_and_no_wait_exceeds_the_limit() {
        let mut backoff = Backoff::default();
        let waits: Vec<u64> = (0..10)
            .map(|_| backoff.failed(u64::MAX).as_millis() as u64)
            .collect();
        let mut limits = vec![0, 500, 1000, 2000, 4000, 8000, 16_000];
        limits.extend([30_000; 3]);
        for (wait, limit) in waits.iter().zip(&limits) {
            assert_eq!(
                *wait,
                u64::MAX.checked_rem(limit + 1).unwrap_or(0),
                "{limit}"
            );
            assert!(wait <= limit);
        }
        for random in [0, 1, 29_999, 30_000, 30_001] {
            assert!(Backoff { failed: 1000 }.failed(random) <= LAST_LIMIT);
        }
        backoff.reset();
        assert_eq!(backoff.failed(12_345), Duration::ZERO);
    }

    #[test]
    fn only_what_lasted_begins_anew() {
        let mut backoff = Backoff::default();
        let short = HEALTHY - Duration::from_millis(1);
        let waits: Vec<u128> = (0..4)
            .map(|_| backoff.ended(short, 500).as_millis())
            .collect();
        assert_eq!(waits, [0, 500, 500, 500]);
        assert_eq!(limit(backoff.failed), Duration::from_secs(4));
        assert_eq!(backoff.ended(HEALTHY, 500), Duration::ZERO);
        assert_eq!(backoff.ended(short, 500), Duration::from_millis(500));
    }

    #[test]
    fn random_numbers_differ() {
        assert_ne!(random(), random());
    }
}
