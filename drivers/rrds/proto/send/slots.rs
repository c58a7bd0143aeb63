// SPDX-License-Identifier: GPL-2.0

//! Work requests in flight, and which of them ask for a completion.
//!
//! Completions of a reliable connection come in the order of posting, so that one number tells all:
//! whatever was posted up to a completed work request is completed. C asks for a completion with the
//! last fragment of every message; here one is asked for when nothing follows and memory is to be
//! freed, when the ring is full and after every [`Settings::max_unsignaled`](crate::settings::Settings::max_unsignaled) others.

use crate::consts::ACK_ROOM;

/// The send queue of a connection, as numbers of work requests.
///
/// # Invariants
///
/// `completed` is at most `posted`, and `unsignaled` at most the number in flight, in the arithmetic
/// of wrapping counters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Slots {
    posted: u32,
    completed: u32,
    unsignaled: u32,
    /// The last one that asks for a completion.
    signaled: u32,
    /// Among those without a completion are some that hold on to memory until they complete.
    owing: bool,
}

impl Slots {
    /// Work requests posted and not completed.
    pub const fn in_flight(&self) -> u32 {
        self.posted.wrapping_sub(self.completed)
    }

    /// Whether `count` more fit into a ring of `ring`.
    pub const fn has_room(&self, count: u32, ring: u32) -> bool {
        self.in_flight().saturating_add(count) <= ring
    }

    /// Whether an ACK-only frame fits: it has a work request of its own beside the ring.
    pub const fn has_ack_room(&self, ring: u32) -> bool {
        self.in_flight() < ring.saturating_add(ACK_ROOM)
    }

    /// Number of the last of `count` work requests about to be posted.
    pub(crate) const fn next_id(&self, count: u32) -> u32 {
        self.posted.wrapping_add(count).wrapping_sub(1)
    }

    /// Whether the last of `count` work requests about to be posted must ask for a completion.
    pub(crate) const fn must_signal(&self, count: u32, follows: bool, ring: u32, max: u32) -> bool {
        let half = ring / 2;
        let max = if max < half { max } else { half };
        !follows
            || self.unsignaled.saturating_add(count) > max
            || self.in_flight().saturating_add(count) >= ring
    }

    /// Whether work requests that hold on to memory wait for one that asks for a completion.
    pub(crate) const fn is_owing(&self) -> bool {
        self.owing
    }

    /// Whether no completion is to come although work requests are in flight.
    pub(crate) const fn is_mute(&self) -> bool {
        self.unsignaled > 0 && self.unsignaled == self.in_flight()
    }

    /// Notes that `count` work requests were posted, the last of them with a completion if `signaled`;
    /// `bare` tells that nothing is freed when they complete.
    pub(crate) fn post(&mut self, count: u32, signaled: bool, bare: bool) {
        // INVARIANT: the number in flight grows with the others.
        self.posted = self.posted.wrapping_add(count);
        self.unsignaled = if signaled {
            self.signaled = self.posted.wrapping_sub(1);
            0
        } else {
            self.unsignaled.saturating_add(count)
        };
        self.owing = !signaled && (self.owing || !bare);
    }

    /// Notes that the work request `id` and all before it are completed.
    ///
    /// Returns `false`, and does nothing, if it is not in flight.
    pub(crate) fn complete(&mut self, id: u32) -> bool {
        if id.wrapping_sub(self.completed) >= self.in_flight() {
            return false;
        }
        // INVARIANT: `id` was posted.
        self.completed = id.wrapping_add(1);
        self.unsignaled = if self.unsignaled > self.in_flight() {
            self.in_flight()
        } else {
            self.unsignaled
        };
        self.owing &= self.unsignaled > 0;
        true
    }

    /// The work request whose completion tells that all are completed that hold on to memory now.
    /// `None` if none does.
    pub(crate) const fn last_awaited(&self) -> Option<u32> {
        if self.owing {
            // One that asks for a completion follows.
            Some(self.posted.wrapping_sub(1))
        } else if self.unsignaled < self.in_flight() {
            Some(self.signaled)
        } else {
            None
        }
    }

    /// Whether the work request `id`, posted on this connection, is completed.
    pub(crate) const fn is_complete(&self, id: u32) -> bool {
        id.wrapping_sub(self.completed) >= self.in_flight()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_completion_covers_all_before_it() {
        let mut s = Slots::default();
        s.post(5, true, false);
        assert_eq!(s.in_flight(), 5);
        assert!(s.complete(2));
        assert_eq!(s.in_flight(), 2);
        assert!(s.is_complete(2) && !s.is_complete(3));
        assert!(!s.complete(2), "reported twice");
        assert!(!s.complete(5), "never posted");
        assert!(s.complete(4));
        assert!(!s.complete(4));
    }

    #[test]
    fn counters_wrap() {
        let mut s = Slots {
            posted: u32::MAX,
            completed: u32::MAX,
            ..Slots::default()
        };
        assert_eq!(s.next_id(1), u32::MAX);
        assert_eq!(s.next_id(3), 1);
        s.post(3, true, false);
        assert_eq!(s.in_flight(), 3);
        assert!(s.complete(0));
        assert_eq!(s.in_flight(), 1);
    }

    #[test]
    fn the_ack_has_a_place_of_its_own() {
        let mut s = Slots::default();
        s.post(4, true, false);
        assert!(!s.has_room(1, 4) && s.has_room(1, 5));
        assert!(s.has_ack_room(4));
        s.post(1, true, false);
        assert!(!s.has_ack_room(4));
    }

    #[test]
    fn completions_are_asked_for_as_resources_demand() {
        let mut s = Slots::default();
        assert!(s.must_signal(1, false, 256, 16), "nothing follows");
        for _ in 0..16 {
            assert!(!s.must_signal(1, true, 256, 16));
            s.post(1, false, false);
        }
        assert!(s.must_signal(1, true, 256, 16), "the seventeenth");
        assert!(s.is_mute());
        s.post(1, true, false);
        assert!(!s.is_owing() && !s.is_mute());
        s.post(1, false, true);
        assert!(!s.is_owing(), "a bare acknowledgement");
        s.post(1, false, false);
        s.post(1, false, true);
        assert!(s.is_owing());
        assert!(s.complete(s.next_id(0)));
        assert!(!s.is_owing());
        let full = Slots {
            posted: 255,
            ..Slots::default()
        };
        assert!(full.must_signal(1, true, 256, 16), "the last that fits");
        let mut tiny = Slots::default();
        tiny.post(2, false, false);
        assert!(tiny.must_signal(1, true, 4, 16), "half of a tiny ring");
    }
}
