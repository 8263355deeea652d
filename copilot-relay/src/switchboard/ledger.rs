//! Credit of one direction of a channel.
//!
//! Three numbers that only grow: what was accepted from the sender, what was delivered to the receiver, what
//! the receiver gave back. The sender may be `window` ahead of what was given back, and nothing is given back
//! that was not delivered, so the relay never holds more than one window, whatever either end says.

use std::sync::Arc;

use super::outbox::Delivered;

/// The sender exceeded its credit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Overrun;

/// Credit of one direction.
#[derive(Debug)]
pub(super) struct Ledger {
    window_bytes: u64,
    waiting_messages: u64,
    accepted_bytes: u64,
    accepted_messages: u64,
    returned_bytes: u64,
    /// Of those, what the sender was not told yet.
    untold_bytes: u64,
    delivered: Arc<Delivered>,
}

/// The sender is told of returned credit in pieces of this part of the window, so that a receiver that gives it
/// back byte by byte does not flood the sender with messages. The sender always has the rest of the window.
const PIECES: u64 = 16;

impl Ledger {
    pub(super) fn new(window_bytes: u64, waiting_messages: u64) -> Self {
        Self {
            window_bytes,
            waiting_messages,
            accepted_bytes: 0,
            accepted_messages: 0,
            returned_bytes: 0,
            untold_bytes: 0,
            delivered: Arc::default(),
        }
    }

    /// Takes a message from the sender; what it returns counts the delivery.
    pub(super) fn accept(&mut self, payload_bytes: usize) -> Result<Arc<Delivered>, Overrun> {
        let accepted = self.accepted_bytes + payload_bytes as u64;
        let ahead = accepted - self.returned_bytes;
        let waiting = (self.accepted_messages + 1).saturating_sub(self.delivered.messages());
        if ahead > self.window_bytes || waiting > self.waiting_messages {
            return Err(Overrun);
        }
        self.accepted_bytes = accepted;
        self.accepted_messages += 1;
        Ok(Arc::clone(&self.delivered))
    }

    /// The receiver gives credit back; how much of it the sender is to be told of now.
    pub(super) fn give_back(&mut self, bytes: u32) -> Option<u32> {
        let returned = self
            .delivered
            .bytes()
            .saturating_sub(self.returned_bytes)
            .min(u64::from(bytes));
        self.returned_bytes += returned;
        self.untold_bytes += returned;
        if self.untold_bytes == 0 || self.untold_bytes < self.window_bytes / PIECES {
            return None;
        }
        // No more than a window, which fits.
        u32::try_from(std::mem::take(&mut self.untold_bytes)).ok()
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::super::outbox::Outbox;
    use super::*;

    fn deliver(ledger: &mut Ledger, bytes: usize) -> Result<(), Overrun> {
        let delivered = ledger.accept(bytes)?;
        let outbox = Outbox::new(1, 1 << 20);
        outbox.carry(Bytes::from(vec![0; 4 + bytes]), delivered);
        assert!(outbox.try_next().unwrap().is_some());
        Ok(())
    }

    #[test]
    fn a_sender_has_one_window_and_gets_back_what_was_worked_off() {
        let mut ledger = Ledger::new(100, 10);
        assert_eq!(deliver(&mut ledger, 60), Ok(()));
        assert_eq!(deliver(&mut ledger, 40), Ok(()));
        assert_eq!(deliver(&mut ledger, 1), Err(Overrun));
        assert_eq!(ledger.give_back(70), Some(70));
        assert_eq!(deliver(&mut ledger, 71), Err(Overrun));
        assert_eq!(deliver(&mut ledger, 70), Ok(()));
    }

    #[test]
    fn a_receiver_cannot_give_back_what_it_did_not_get() {
        let mut ledger = Ledger::new(100, 10);
        assert_eq!(ledger.give_back(1_000), None, "nothing was sent");
        let _waits = ledger.accept(80).unwrap();
        assert_eq!(ledger.give_back(80), None, "it is still in the relay");
        assert_eq!(deliver(&mut ledger, 20), Ok(()));
        assert_eq!(ledger.give_back(u32::MAX), Some(20));
        assert_eq!(ledger.give_back(u32::MAX), None);
    }

    #[test]
    fn credit_that_comes_back_in_crumbs_is_passed_on_in_pieces() {
        let mut ledger = Ledger::new(160, 10);
        assert_eq!(deliver(&mut ledger, 160), Ok(()));
        let told: Vec<_> = (0..160).filter_map(|_| ledger.give_back(1)).collect();
        assert_eq!(told, [10; 16]);
        // What the sender was not told of is no credit of its that could be exceeded.
        assert_eq!(deliver(&mut ledger, 160), Ok(()));
    }

    #[test]
    fn tiny_messages_are_bounded_too() {
        let mut ledger = Ledger::new(100, 3);
        for _ in 0..3 {
            assert!(ledger.accept(1).is_ok());
        }
        assert_eq!(ledger.accept(1).err(), Some(Overrun));
    }
}
