// SPDX-License-Identifier: GPL-2.0

//! When the receiver acknowledges.
//!
//! spec-ack-send; C: `rds_ib_set_ack()` and `rds_ib_attempt_ack()` in `net/rds/ib_recv.c`. The value is
//! that of the last complete message of this connection; between peers of our own kind it goes on
//! where the last connection ended. A message that demands an acknowledgement makes one wanted; any
//! frame sent satisfies the wish. There is no timer: without demand nothing is sent, until nobody is
//! left who receives.

/// What is to be acknowledged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AckState {
    value: u64,
    /// What the peer was told last on this connection.
    told: u64,
    wanted: bool,
}

impl AckState {
    /// The state at the start of a connection on which everything up to `value` is known to be
    /// received; 0 with a C peer, of which a stale high value would discard messages.
    pub const fn new(value: u64) -> Self {
        Self {
            value,
            told: value,
            wanted: false,
        }
    }

    /// What to put into a header.
    pub const fn value(&self) -> u64 {
        self.value
    }

    /// Whether a frame is to be sent for the acknowledgement alone.
    pub const fn is_wanted(&self) -> bool {
        self.wanted
    }

    /// Notes that message `seq` is complete, duplicate or not.
    pub(crate) fn complete(&mut self, seq: u64, demanded: bool) {
        self.value = seq;
        self.wanted |= demanded;
    }

    /// Asks for what the peer was not told yet to be acknowledged, demanded or not.
    pub(crate) fn settle(&mut self) {
        self.wanted |= self.value != self.told;
    }

    /// Notes that a frame went out with the value.
    pub(crate) fn sent(&mut self) {
        self.told = self.value;
        self.wanted = false;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_demand_makes_an_acknowledgement_wanted() {
        let mut ack = AckState::new(0);
        ack.complete(7, false);
        assert!(!ack.is_wanted());
        ack.complete(8, true);
        ack.complete(9, false);
        assert!(ack.is_wanted());
        assert_eq!(ack.value(), 9);
        ack.sent();
        assert!(!ack.is_wanted());
        assert_eq!(ack.value(), 9);
    }

    #[test]
    fn what_was_not_demanded_is_told_in_the_end() {
        let mut ack = AckState::new(3);
        ack.settle();
        assert!(!ack.is_wanted(), "nothing came");
        ack.complete(4, false);
        ack.settle();
        assert!(ack.is_wanted());
        ack.sent();
        ack.settle();
        assert!(!ack.is_wanted(), "told already");
    }

    #[test]
    fn the_value_follows_a_peer_that_starts_over() {
        let mut ack = AckState::new(100);
        ack.complete(1, true);
        assert_eq!(ack.value(), 1);
    }
}
