// SPDX-License-Identifier: GPL-2.0

//! How many entries of a queue are in use.
//!
//! Devices count what they have not begun. That is too little: a completion that nobody has looked at
//! yet needs its place in the completion queue, while the device takes the next request already. So
//! an entry counts here from before it is posted until the completion is taken out, and what would be
//! too much is not posted.
//!
//! The count also tells who waits for a queue to become empty that nobody is about to post: entries are
//! taken before the device is asked, in the word that says whether any are given. So whoever has
//! [shut](Room::shut) the queue sees all who came before in the count, and those who come after are
//! refused.

use kernel::{
    prelude::*,
    sync::atomic::{
        ordering::{
            Acquire,
            Relaxed,
            Release, //
        },
        Atomic, //
    },
};

/// The entries of a queue.
pub(crate) struct Room {
    /// The entries in use, and the bits that say why none are given.
    used: Atomic<u32>,
    limit: u32,
}

/// No entries are given as the state of the queue does not allow posting.
const CLOSED: u32 = 1 << 31;
/// No entries are given as somebody empties the queue.
const SHUT: u32 = 1 << 30;

impl Room {
    /// There are `limit` entries, none in use. None is given until it is [opened](Self::open).
    pub(crate) fn new(limit: u32) -> Self {
        Self {
            used: Atomic::new(CLOSED),
            limit: limit.min(SHUT - 1),
        }
    }

    /// Takes entries, all or none.
    ///
    /// Errors: [`ENOMEM`] if there are not so many left, [`ESHUTDOWN`] if it is shut, [`EINVAL`] if it is
    /// closed.
    #[inline]
    pub(crate) fn take(&self, count: u32) -> Result {
        let mut old = self.used.load(Relaxed);

        loop {
            // Closed or shut, this is more than any limit.
            let new = old.checked_add(count).ok_or(ENOMEM)?;
            if new > self.limit {
                return Err(Self::refusal(old));
            }
            match self.used.cmpxchg(old, new, Relaxed) {
                Ok(_) => return Ok(()),
                Err(now) => old = now,
            }
        }
    }

    #[cold]
    fn refusal(used: u32) -> Error {
        if used & SHUT != 0 {
            ESHUTDOWN
        } else if used & CLOSED != 0 {
            EINVAL
        } else {
            ENOMEM
        }
    }

    /// Gives back entries that were taken.
    #[inline]
    pub(crate) fn give_back(&self, count: u32) {
        self.used.fetch_sub(count, Release);
    }

    /// Returns whether all entries are in use.
    #[inline]
    pub(crate) fn is_full(&self) -> bool {
        self.used.load(Relaxed) & !(CLOSED | SHUT) >= self.limit
    }

    /// Returns how many entries are in use. What was done before they were given back is done.
    pub(crate) fn used(&self) -> u32 {
        self.used.load(Acquire) & !(CLOSED | SHUT)
    }

    /// The state of the queue allows posting.
    pub(crate) fn open(&self) {
        self.change(CLOSED, 0);
    }

    /// The state of the queue does not allow posting.
    pub(crate) fn close(&self) {
        self.change(0, CLOSED);
    }

    /// Gives no more entries until [`unshut`](Self::unshut), whatever the state: the queue is emptied.
    pub(crate) fn shut(&self) {
        self.change(0, SHUT);
    }

    /// The queue is not emptied any more.
    pub(crate) fn unshut(&self) {
        self.change(SHUT, 0);
    }

    fn change(&self, clear: u32, set: u32) {
        let mut old = self.used.load(Relaxed);

        while let Err(now) = self.used.cmpxchg(old, old & !clear | set, Relaxed) {
            old = now;
        }
    }
}

#[kunit_tests(krdma_room)]
mod tests {
    use super::*;

    fn open(limit: u32) -> Room {
        let room = Room::new(limit);

        room.open();
        room
    }

    #[test]
    fn no_more_is_given_than_there_is() {
        let room = open(4);

        assert!(room.take(3).is_ok());
        assert_eq!(room.take(2), Err(ENOMEM));
        assert_eq!(room.used(), 3);
        assert!(room.take(1).is_ok());
        assert_eq!(room.take(1), Err(ENOMEM));
        assert!(room.is_full());
        room.give_back(2);
        assert!(!room.is_full());
        assert!(room.take(2).is_ok());
        assert_eq!(room.take(u32::MAX), Err(ENOMEM));
        // Shut or not.
        room.shut();
        assert!(room.is_full());
        room.give_back(1);
        assert!(!room.is_full());
    }

    #[test]
    fn it_gives_nothing_until_it_is_opened() {
        let room = Room::new(4);

        assert_eq!(room.take(1), Err(EINVAL));
        assert_eq!(room.used(), 0);
        room.open();
        room.open();
        assert!(room.take(1).is_ok());
        room.close();
        assert_eq!(room.take(1), Err(EINVAL));
        assert_eq!(room.used(), 1);
        room.give_back(1);
        assert_eq!(room.used(), 0);
    }

    #[test]
    fn shut_it_gives_nothing_and_takes_back() {
        let room = open(4);

        assert!(room.take(2).is_ok());
        room.shut();
        room.shut();
        assert_eq!(room.take(1), Err(ESHUTDOWN));
        room.give_back(2);
        assert_eq!(room.used(), 0);
        room.unshut();
        assert!(room.take(4).is_ok());
        assert_eq!(room.take(1), Err(ENOMEM));
    }

    #[test]
    fn what_the_state_allows_is_told_apart_from_the_end() {
        let room = open(4);

        // A reset shuts it, closes it, and is done.
        room.shut();
        room.close();
        assert_eq!(room.take(1), Err(ESHUTDOWN));
        room.unshut();
        assert_eq!(room.take(1), Err(EINVAL));
        // To open it changes nothing as long as it is shut.
        room.shut();
        room.open();
        assert_eq!(room.take(1), Err(ESHUTDOWN));
        room.unshut();
        assert!(room.take(1).is_ok());
    }

    #[test]
    fn the_largest_queue_is_told_from_the_bits() {
        let room = open(u32::MAX);

        assert!(room.take(SHUT - 1).is_ok());
        assert_eq!(room.take(1), Err(ENOMEM));
        assert_eq!(room.used(), SHUT - 1);
        room.shut();
        assert_eq!(room.used(), SHUT - 1);
        room.give_back(SHUT - 1);
        assert_eq!(room.used(), 0);
    }
}
