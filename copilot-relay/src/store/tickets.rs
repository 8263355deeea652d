//! Secrets that wait to be used once. In memory: they live for seconds.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use super::{Admitted, Ticket};
use crate::digest::TokenDigest;

/// All that wait. Bounded, for each device and pairing too: when it is full of live ones, another is refused.
#[derive(Debug)]
pub(super) struct Tickets {
    capacity: usize,
    most_of_party: usize,
    lifetime: Duration,
    waiting: HashMap<TokenDigest, (Ticket, Instant)>,
}

impl Tickets {
    pub(super) fn new(capacity: usize, most_of_party: usize, lifetime: Duration) -> Self {
        Self {
            capacity,
            most_of_party,
            lifetime,
            waiting: HashMap::new(),
        }
    }

    pub(super) fn put(&mut self, secret: TokenDigest, ticket: Ticket, now: Instant) -> bool {
        // Nobody uses up what others need as well. A machine's are bounded by who may be a machine.
        if matches!(ticket, Ticket::Device(_) | Ticket::Pairing(_)) {
            let others = self.waiting.values();
            let others = others.filter(|(other, expires)| *expires > now && *other == ticket);
            if others.count() >= self.most_of_party {
                return false;
            }
        }
        if self.waiting.len() >= self.capacity {
            self.waiting.retain(|_, (_, expires)| *expires > now);
            if self.waiting.len() >= self.capacity {
                return false;
            }
        }
        self.waiting.insert(secret, (ticket, now + self.lifetime));
        true
    }

    pub(super) fn take(&mut self, secret: TokenDigest, now: Instant) -> Option<Ticket> {
        let (ticket, expires) = self.waiting.remove(&secret)?;
        (expires > now).then_some(ticket)
    }

    /// Makes claims void.
    pub(super) fn take_back(&mut self, which: impl Fn(&Admitted) -> bool) {
        self.waiting
            .retain(|_, (ticket, _)| !matches!(ticket, Ticket::Claim(admitted) if which(admitted)));
    }
}

#[cfg(test)]
mod tests {
    use link_proto::ids::{MachineId, PairingId};

    use super::*;

    #[test]
    fn a_ticket_is_good_once_and_for_a_while_and_only_so_many_wait() {
        let start = Instant::now();
        let mut tickets = Tickets::new(2, 9, Duration::from_secs(30));
        let secret = |n| TokenDigest([n; 32]);
        let ticket = |n| Ticket::Machine(MachineId([n; 16]));
        assert!(tickets.put(secret(1), ticket(1), start));
        assert_eq!(tickets.take(secret(1), start), Some(ticket(1)));
        assert_eq!(tickets.take(secret(1), start), None, "used");

        assert!(tickets.put(secret(2), ticket(2), start));
        assert!(tickets.put(secret(3), ticket(3), start));
        assert!(!tickets.put(secret(4), ticket(4), start), "full");
        let later = start + Duration::from_secs(30);
        assert_eq!(tickets.take(secret(2), later), None, "expired");
        assert!(tickets.put(secret(4), ticket(4), later), "room again");
        assert_eq!(tickets.take(secret(4), later), Some(ticket(4)));
    }

    #[test]
    fn a_device_or_a_pairing_has_only_so_many() {
        let start = Instant::now();
        let mut tickets = Tickets::new(9, 2, Duration::from_secs(30));
        let secret = |n| TokenDigest([n; 32]);
        let pairing = |n| Ticket::Pairing(PairingId([n; 16]));
        assert!(tickets.put(secret(1), pairing(1), start));
        assert!(tickets.put(secret(2), pairing(1), start));
        assert!(!tickets.put(secret(3), pairing(1), start), "full");
        assert!(tickets.put(secret(3), pairing(2), start), "of another");
        assert_eq!(tickets.take(secret(1), start), Some(pairing(1)));
        assert!(tickets.put(secret(4), pairing(1), start), "room again");
        let later = start + Duration::from_secs(30);
        assert!(tickets.put(secret(5), pairing(1), later), "the old expired");
    }
}
