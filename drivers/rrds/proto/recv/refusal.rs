// SPDX-License-Identifier: GPL-2.0

//! How long to stay connected to a peer whose messages find no memory.
//!
//! A message that was refused comes again on the next connection only. To end this one at once would be
//! no help: the next begins with the same message, and while there is no memory for that, none lasts
//! long enough for anything to get through in the other direction either, which may be what the memory
//! waits for. C has its peers wait for receive buffers instead, which all paths share here.
//!
//! So the connection goes on for a while. What the peer acknowledges counts, and what is sent here
//! reaches it. Each time that nothing could be received in between the next stay is twice as long.

use crate::consts::{REFUSAL_MAX_NS, REFUSAL_MIN_NS};
use crate::time::Instant;

/// When to end a connection on which a message was refused.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Refusal {
    /// The time of the end is still to be set.
    is_new: bool,
    due: Option<Instant>,
    /// How long the last stay was, in nanoseconds; 0 if something was received since then.
    stay: u64,
}

impl Refusal {
    /// Notes that a message was refused, as the first one of a connection.
    pub fn begin(&mut self) {
        self.is_new = true;
    }

    /// Whether [`Refusal::poll`] is to be called soon, whatever is due.
    pub const fn is_new(&self) -> bool {
        self.is_new
    }

    /// Whether the connection is to be ended now.
    pub fn poll(&mut self, now: Instant) -> bool {
        if self.is_new {
            self.is_new = false;
            self.stay = self
                .stay
                .saturating_mul(2)
                .clamp(REFUSAL_MIN_NS, REFUSAL_MAX_NS);
            self.due = Some(now.after(self.stay));
        }
        self.due.is_some_and(|due| due <= now)
    }

    /// When to poll next.
    pub const fn next_timeout(&self) -> Option<Instant> {
        self.due
    }

    /// Notes that a message was received.
    pub fn on_received(&mut self) {
        self.stay = 0;
    }

    /// Notes that the connection is closed.
    pub fn on_closed(&mut self) {
        self.is_new = false;
        self.due = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Begins, and returns how long it stays.
    fn stay(r: &mut Refusal, now: u64) -> u64 {
        r.begin();
        assert!(r.is_new());
        assert!(!r.poll(Instant(now)));
        assert!(!r.is_new());
        let due = r.next_timeout().unwrap();
        assert!(!r.poll(Instant(due.0 - 1)));
        assert!(r.poll(due));
        assert!(r.poll(Instant(due.0 + 1)), "until it is closed");
        due.0 - now
    }

    #[test]
    fn stays_get_longer_until_something_is_received() {
        let mut r = Refusal::default();
        let mut stays = std::vec::Vec::new();
        for _ in 0..7 {
            stays.push(stay(&mut r, 10) / 1_000_000);
            r.on_closed();
            assert_eq!(r.next_timeout(), None);
            assert!(!r.poll(Instant(u64::MAX)));
        }
        assert_eq!(stays, [50, 100, 200, 400, 800, 1000, 1000]);
        r.on_received();
        assert_eq!(stay(&mut r, 10), 50_000_000);
    }

    #[test]
    fn one_that_is_closed_before_it_was_polled_is_over() {
        let mut r = Refusal::default();
        r.begin();
        r.on_closed();
        assert!(!r.is_new());
        assert!(!r.poll(Instant(5)));
        assert_eq!(r.next_timeout(), None);
    }
}
