//! Rates: how many of something may happen in a time, with a burst on top.

use std::collections::HashMap;
use std::hash::Hash;
use std::time::{Duration, Instant};

/// A rate with a burst.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rate {
    /// How many may come at once after a rest.
    pub burst: u32,
    /// How many come back in a second.
    pub per_second: f64,
}

/// What is left of a [`Rate`] for one party.
#[derive(Clone, Copy, Debug)]
pub struct Bucket {
    left: f64,
    at: Instant,
}

impl Bucket {
    /// A full one.
    #[must_use]
    pub fn new(rate: Rate, now: Instant) -> Self {
        Self {
            left: f64::from(rate.burst),
            at: now,
        }
    }

    /// Takes one. When there is none: how long until there is.
    ///
    /// # Errors
    /// The time until one is there again.
    pub fn take(&mut self, rate: Rate, now: Instant) -> Result<(), Duration> {
        self.refill(rate, now);
        if self.left >= 1.0 {
            self.left -= 1.0;
            return Ok(());
        }
        Err(Duration::from_secs_f64((1.0 - self.left) / rate.per_second))
    }

    fn refill(&mut self, rate: Rate, now: Instant) {
        let passed = now.saturating_duration_since(self.at).as_secs_f64();
        self.left = (self.left + passed * rate.per_second).min(f64::from(rate.burst));
        self.at = now;
    }

    fn is_full(&mut self, rate: Rate, now: Instant) -> bool {
        self.refill(rate, now);
        self.left >= f64::from(rate.burst)
    }
}

/// A bucket for each party that was seen lately.
///
/// At most `capacity` parties are remembered. When there are more, those that have rested are forgotten,
/// and when nobody has, a newcomer is refused: forgetting the busy ones would lift the limit from them.
#[derive(Debug)]
pub struct Buckets<K> {
    rate: Rate,
    capacity: usize,
    buckets: HashMap<K, Bucket>,
}

impl<K: Eq + Hash> Buckets<K> {
    /// Nobody seen yet.
    #[must_use]
    pub fn new(rate: Rate, capacity: usize) -> Self {
        Self {
            rate,
            capacity,
            buckets: HashMap::new(),
        }
    }

    /// Takes one for `party`.
    ///
    /// # Errors
    /// The time until one is there again.
    pub fn take(&mut self, party: K, now: Instant) -> Result<(), Duration> {
        let rate = self.rate;
        if self.buckets.len() >= self.capacity && !self.buckets.contains_key(&party) {
            self.buckets.retain(|_, bucket| !bucket.is_full(rate, now));
            if self.buckets.len() >= self.capacity {
                return Err(Duration::from_secs_f64(1.0 / rate.per_second));
            }
        }
        self.buckets
            .entry(party)
            .or_insert_with(|| Bucket::new(rate, now))
            .take(rate, now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RATE: Rate = Rate {
        burst: 2,
        per_second: 0.5,
    };

    #[test]
    fn a_burst_and_then_the_rate() {
        let start = Instant::now();
        let mut bucket = Bucket::new(RATE, start);
        let seconds = |seconds| start + Duration::from_secs(seconds);
        // When, and whether there is one.
        let table = [
            (0, Ok(())),
            (0, Ok(())),
            (0, Err(2)),
            (1, Err(1)),
            (2, Ok(())),
            (2, Err(2)),
            (100, Ok(())),
            (100, Ok(())),
            (100, Err(2)),
        ];
        for (at, expected) in table {
            let got = bucket.take(RATE, seconds(at));
            assert_eq!(got.map_err(|wait| wait.as_secs()), expected, "at {at} s");
        }
    }

    #[test]
    fn parties_do_not_share_and_forgetting_lifts_no_limit() {
        let start = Instant::now();
        let mut buckets = Buckets::new(RATE, 2);
        for party in ["a", "b"] {
            assert!(buckets.take(party, start).is_ok());
            assert!(buckets.take(party, start).is_ok());
            assert!(buckets.take(party, start).is_err());
        }
        assert!(buckets.take("c", start).is_err(), "no room, all busy");
        let later = start + Duration::from_secs(10);
        assert!(buckets.take("c", later).is_ok(), "the others have rested");
        assert!(buckets.take("a", later).is_ok());
    }
}
