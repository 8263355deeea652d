//! Credit: how much each direction may have under way.
//!
//! The sender counts down what it sends and up what the receiver gives back; the receiver gives back what it
//! worked off. So that a slow end costs the relay at most one window.

/// Both directions of one end.
#[derive(Debug)]
pub(crate) struct Flow {
    /// Bytes that may still be sent.
    may_send: u64,
    /// Bytes that came and were not given back yet.
    to_give_back: u32,
    /// The other end has used this much of what it may send.
    taken: u64,
    window: u32,
}

impl Flow {
    /// `window` is the relay's `windowBytes`, the same for both directions.
    pub(crate) fn new(window: u32) -> Self {
        Self {
            may_send: u64::from(window),
            to_give_back: 0,
            taken: 0,
            window,
        }
    }

    /// Takes the credit for a payload; `false` when there is not enough yet.
    pub(crate) fn send(&mut self, bytes: usize) -> bool {
        match u64::try_from(bytes)
            .ok()
            .and_then(|bytes| self.may_send.checked_sub(bytes))
        {
            Some(left) => {
                self.may_send = left;
                true
            }
            None => false,
        }
    }

    /// The receiver gave back. Never more than a window in all, whatever the relay claims.
    pub(crate) fn grant(&mut self, bytes: u32) {
        self.may_send = (self.may_send + u64::from(bytes)).min(u64::from(self.window));
    }

    /// A payload came; `false` when the sender had no credit for it.
    pub(crate) fn receive(&mut self, bytes: usize) -> bool {
        let Ok(bytes) = u32::try_from(bytes) else {
            return false;
        };
        self.taken += u64::from(bytes);
        self.to_give_back = self.to_give_back.saturating_add(bytes);
        self.taken <= u64::from(self.window)
    }

    /// Everything that came is worked off: what to give back now. Held back until it is a quarter of the
    /// window, so that few bytes do not cost a message each.
    pub(crate) fn give_back(&mut self) -> Option<u32> {
        if self.to_give_back < self.window / 4 || self.to_give_back == 0 {
            return None;
        }
        self.taken -= u64::from(self.to_give_back);
        Some(std::mem::take(&mut self.to_give_back))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sender_stops_at_its_credit_and_goes_on_with_more() {
        let mut flow = Flow::new(100);
        assert!(flow.send(60));
        assert!(!flow.send(41));
        assert!(flow.send(40));
        assert!(!flow.send(1));
        flow.grant(30);
        assert!(flow.send(30));
        // A relay that claims more than was sent gains nothing.
        flow.grant(u32::MAX);
        assert!(flow.send(100));
        assert!(!flow.send(1));
    }

    #[test]
    fn a_receiver_gives_back_in_quarters_and_knows_who_takes_too_much() {
        let mut flow = Flow::new(100);
        assert!(flow.receive(24));
        assert_eq!(flow.give_back(), None);
        assert!(flow.receive(1));
        assert_eq!(flow.give_back(), Some(25));
        assert_eq!(flow.give_back(), None);
        assert!(flow.receive(100));
        assert!(!flow.receive(1));
    }
}
