// SPDX-License-Identifier: GPL-2.0

//! Who may queue one more message, and when those who were refused are to try again.
//!
//! Users have [`shares`] of the slots of a queue. What the kernel sends for itself is of
//! no user, and is refused only where no slot is left.
//!
//! Those who were refused are told when a part of what was queued then has left. Departures count, not
//! the messages that are left: a sender that tries all the time and takes each slot as it gets free
//! must not keep the others waiting.

use crate::shares::{self, Share, Shares, Take};
use core::ops::DerefMut;

/// Part of the messages of a full queue that have to leave before senders that were refused are told.
const RELIEF: usize = 16;

/// See the [module](self).
#[derive(Debug)]
pub struct Room<S> {
    shares: Shares<S>,
    /// How many messages have to leave before senders that were refused are told.
    awaited: Option<usize>,
}

impl<S: DerefMut<Target = [Share]>> Room<S> {
    /// Nobody has a message; `slots` is room for the shares of so many users.
    pub fn new(slots: S) -> Self {
        Self {
            shares: Shares::new(slots),
            awaited: None,
        }
    }

    /// Gives a user one of `slots`, of which `used` are taken, or tells why not.
    #[inline(always)] // Every message goes through here.
    pub fn take(&mut self, user: Option<u32>, used: usize, slots: usize) -> Take {
        match user {
            Some(user) => self.shares.take(user, used as u64, slots as u64),
            None if shares::is_refused(0, used as u64, slots as u64) => Take::Refused,
            None => Take::Taken,
        }
    }

    /// Takes back what [`take`](Self::take) gave for a message that was not queued.
    pub fn put_back(&mut self, user: Option<u32>) {
        if let Some(user) = user {
            self.shares.remove(user);
        }
    }

    /// Notes that a message has left.
    #[inline]
    pub fn leave(&mut self, user: Option<u32>) {
        self.put_back(user);
        if let Some(awaited) = &mut self.awaited {
            *awaited = awaited.saturating_sub(1);
        }
    }

    /// Whether [`take`](Self::take) would not refuse a user; else notes that it did.
    pub fn is_left(&mut self, user: Option<u32>, used: usize, slots: usize) -> bool {
        let mine = user.map_or(0, |user| self.shares.of(user));
        let refused = shares::is_refused(mine.into(), used as u64, slots as u64);

        if refused {
            self.refuse(used);
        }
        !refused
    }

    /// Notes that a sender was refused where `used` slots are taken. What others wait for already does
    /// not change.
    pub fn refuse(&mut self, used: usize) {
        self.awaited.get_or_insert((used / RELIEF).max(1));
    }

    /// Whether senders that were refused are to be told.
    #[inline]
    pub fn is_relieved(&self) -> bool {
        self.awaited == Some(0)
    }

    /// Whether senders that were refused are to be told; takes that as done.
    pub fn take_relief(&mut self) -> bool {
        let relieved = self.is_relieved();

        if relieved {
            self.awaited = None;
        }
        relieved
    }

    /// How many slots to hand to [`grow`](Self::grow), see [`Shares::wanted`].
    pub fn wanted(&self) -> usize {
        self.shares.wanted()
    }

    /// Makes room for the shares of more users, see [`Shares::grow`].
    pub fn grow(&mut self, slots: S) -> S {
        self.shares.grow(slots)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec::Vec;

    const SLOTS: usize = 1024;

    /// A queue, of which only the number of messages counts.
    struct Queue {
        room: Room<Vec<Share>>,
        used: usize,
    }

    impl Queue {
        fn new() -> Self {
            Self {
                room: Room::new(std::vec![Share::default(); 8]),
                used: 0,
            }
        }

        fn send(&mut self, user: Option<u32>) -> bool {
            let taken = self.room.take(user, self.used, SLOTS) == Take::Taken;
            if taken {
                self.used += 1;
            } else {
                self.room.refuse(self.used);
            }
            taken
        }

        fn leave(&mut self, user: Option<u32>) {
            self.used -= 1;
            self.room.leave(user);
        }
    }

    #[test]
    fn one_who_takes_each_slot_keeps_nobody_waiting() {
        let mut q = Queue::new();
        while q.send(Some(1)) {}
        while q.send(Some(2)) {}
        let full = q.used;
        let mut left = 0;
        while !q.room.is_relieved() && left < full {
            q.leave(Some(2));
            left += 1;
            while q.send(Some(2)) {}
            assert_eq!(q.used, full);
        }
        // The first was refused with half of all.
        assert_eq!(left, SLOTS / 2 / RELIEF);
        assert!(q.room.take_relief() && !q.room.take_relief());
    }

    #[test]
    fn relief_comes_once_and_only_to_who_was_refused() {
        let mut q = Queue::new();
        while q.send(None) {}
        assert_eq!(q.used, SLOTS);
        for left in 1..=SLOTS / RELIEF {
            assert!(!q.room.is_relieved(), "{left}");
            q.leave(None);
        }
        // Told late: it is one more who waits for the same.
        q.room.refuse(SLOTS);
        assert!(q.room.take_relief());
        q.leave(None);
        assert!(!q.room.take_relief());
        // Of very few messages one is enough.
        q.room.refuse(1);
        assert!(!q.room.is_relieved());
        q.leave(None);
        assert!(q.room.is_relieved());
    }

    #[test]
    fn what_was_not_queued_has_not_left() {
        let mut q = Queue::new();
        while q.send(Some(1)) {}
        for _ in 0..SLOTS {
            q.room.put_back(Some(1));
            assert_eq!(q.room.take(Some(1), q.used, SLOTS), Take::Taken);
        }
        assert!(!q.room.is_relieved());
    }

    #[test]
    fn room_is_told_of_as_it_is_given() {
        let mut q = Queue::new();
        let mut seed = 1_u32;
        for _ in 0..20_000 {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let user = Some((seed >> 8) % 5).filter(|&user| user != 0);
            let left = q.room.is_left(user, q.used, SLOTS);
            assert!(left || q.room.awaited.is_some());
            assert_eq!(q.send(user), left);
        }
        assert!(q.used > SLOTS / 2);
    }

    #[test]
    fn users_that_there_is_no_room_for_get_some() {
        let mut room = Room::new(std::vec![]);
        assert_eq!(room.take(Some(1), 0, SLOTS), Take::NoSlot);
        let wanted = room.wanted();
        assert_eq!(room.grow(std::vec![Share::default(); wanted]).len(), 0);
        assert_eq!(room.take(Some(1), 0, SLOTS), Take::Taken);
    }
}
