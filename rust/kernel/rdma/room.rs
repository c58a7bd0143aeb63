// SPDX-License-Identifier: GPL-2.0

//! How many entries of a queue are in use.
//!
//! Devices count what they have not begun. That is too little: a completion that nobody has looked at
//! yet needs its place in the completion queue, while the device takes the next request already. So
//! an entry counts here from before it is posted until the completion is taken out, and what would be
//! too much is not posted.

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
    used: Atomic<u32>,
    limit: u32,
}

/// The bit that says that no more entries are given.
const CLOSED: u32 = 1 << 31;

impl Room {
    /// There are `limit` entries, none in use.
    pub(crate) fn new(limit: u32) -> Self {
        Self {
            used: Atomic::new(0),
            limit: limit.min(CLOSED - 1),
        }
    }

    /// Takes entries, all or none.
    ///
    /// Errors: [`ENOMEM`] if there are not so many left, or it is closed.
    pub(crate) fn take(&self, count: u32) -> Result {
        let mut old = self.used.load(Relaxed);

        loop {
            // Closed, this is more than any limit.
            let new = old.checked_add(count).ok_or(ENOMEM)?;
            if new > self.limit {
                return Err(ENOMEM);
            }
            match self.used.cmpxchg(old, new, Relaxed) {
                Ok(_) => return Ok(()),
                Err(now) => old = now,
            }
        }
    }

    /// Gives back entries that were taken.
    pub(crate) fn give_back(&self, count: u32) {
        self.used.fetch_sub(count, Release);
    }

    /// Returns how many entries are in use. What was done before they were given back is done.
    pub(crate) fn used(&self) -> u32 {
        self.used.load(Acquire) & !CLOSED
    }

    /// Gives no more entries. Returns whether it did so far.
    pub(crate) fn close(&self) -> bool {
        let mut old = self.used.load(Relaxed);

        while old & CLOSED == 0 {
            match self.used.cmpxchg(old, old | CLOSED, Relaxed) {
                Ok(_) => return true,
                Err(now) => old = now,
            }
        }
        false
    }

    /// Gives entries again.
    pub(crate) fn open(&self) {
        self.used.fetch_sub(CLOSED, Relaxed);
    }
}

#[kunit_tests(krdma_room)]
mod tests {
    use super::*;

    #[test]
    fn no_more_is_given_than_there_is() {
        let room = Room::new(4);

        assert!(room.take(3).is_ok());
        assert_eq!(room.take(2), Err(ENOMEM));
        assert_eq!(room.used(), 3);
        assert!(room.take(1).is_ok());
        assert_eq!(room.take(1), Err(ENOMEM));
        room.give_back(2);
        assert!(room.take(2).is_ok());
        assert_eq!(room.take(u32::MAX), Err(ENOMEM));
    }

    #[test]
    fn closed_it_gives_nothing_and_takes_back() {
        let room = Room::new(4);

        assert!(room.take(2).is_ok());
        assert!(room.close());
        assert!(!room.close());
        assert_eq!(room.take(1), Err(ENOMEM));
        room.give_back(2);
        assert_eq!(room.used(), 0);
        room.open();
        assert!(room.take(4).is_ok());
    }
}
