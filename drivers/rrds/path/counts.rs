// SPDX-License-Identifier: GPL-2.0

//! How many paths there may be.

use super::storage;
use kernel::{
    new_mutex,
    prelude::*,
    sync::{
        Arc,
        Mutex, //
    },
};
use krdma::memory::total_bytes;
use rds_proto::shares::{
    Share,
    Shares,
    Take, //
};

/// How many paths there are, of one namespace or of several.
pub(super) struct Counts {
    /// Those that were made because a peer asked for a connection.
    by_peers: u64,
    /// Those that were made because a socket sends, by its user, and all of them.
    by_users: Shares<KVec<Share>>,
    by_all: u64,
    /// Those that are no more, and remembered.
    remembered: u64,
}

/// How much of the host's memory there has to be for each path that peers have us make, and as much for
/// each one of sockets: four times of what one takes with a connection.
const MEMORY: u64 = 1 << 20;

/// How much for each path that is no more: a thousand times of what is remembered.
const MEMORY_OF_OLD: u64 = 1 << 17;

impl Counts {
    /// Counts none.
    pub(super) fn new() -> Result<Arc<Mutex<Self>>> {
        let none = Self {
            by_peers: 0,
            by_users: Shares::new(KVec::new()),
            by_all: 0,
            remembered: 0,
        };

        Arc::pin_init(new_mutex!(none, "rrds::Counts"), GFP_KERNEL)
    }

    /// Whether so many more may be remembered.
    pub(super) fn has_room(&self, count: u8) -> bool {
        self.remembered.saturating_add(count.into()) <= total_bytes() / MEMORY_OF_OLD
    }

    /// Counts so many paths that are to be made.
    ///
    /// Errors: [`ENOBUFS`] if peers have had too many made, [`ENOMEM`] if the user of a socket has, see
    /// [`shares`](rds_proto::shares).
    pub(super) fn add(&mut self, maker: Option<u32>, count: u8) -> Result {
        for added in 0..count {
            self.add_one(maker)
                .inspect_err(|_| self.remove(maker, added))?;
        }
        Ok(())
    }

    fn add_one(&mut self, maker: Option<u32>) -> Result {
        let limit = total_bytes() / MEMORY;
        let Some(user) = maker else {
            if self.by_peers >= limit {
                return Err(ENOBUFS);
            }
            self.by_peers = self.by_peers.saturating_add(1);
            return Ok(());
        };

        loop {
            match self.by_users.take(user, self.by_all, limit) {
                Take::Taken => break,
                Take::Refused => return Err(ENOMEM),
                Take::NoSlot => {
                    let slots = storage::shares(self.by_users.wanted(), GFP_KERNEL)?;
                    drop(self.by_users.grow(slots));
                }
            }
        }
        self.by_all = self.by_all.saturating_add(1);
        Ok(())
    }

    /// Counts one more that is remembered.
    pub(super) fn remember(&mut self) {
        self.remembered = self.remembered.saturating_add(1);
    }

    /// Takes so many off those that are remembered.
    pub(super) fn forget(&mut self, count: u64) {
        self.remembered = self.remembered.saturating_sub(count);
    }

    /// Takes so many paths off the count.
    pub(super) fn remove(&mut self, maker: Option<u32>, count: u8) {
        for _ in 0..count {
            match maker {
                None => self.by_peers = self.by_peers.saturating_sub(1),
                Some(user) => {
                    self.by_users.remove(user);
                    self.by_all = self.by_all.saturating_sub(1);
                }
            }
        }
    }
}

#[kunit_tests(rrds_counts)]
mod tests {
    use super::*;

    /// What [`MEMORY`] allows of this host's.
    fn paths() -> u64 {
        total_bytes() / MEMORY
    }

    #[test]
    fn peers_make_so_many_paths_and_no_more() -> Result {
        let counts = Counts::new()?;
        let mut counts = counts.lock();

        for _ in 0..paths() {
            counts.add(None, 1)?;
        }
        assert_eq!(counts.add(None, 1), Err(ENOBUFS));
        // Sockets have their own, and what they have is none of the peers'.
        counts.add(Some(1000), 1)?;
        counts.remove(Some(1000), 1);
        assert_eq!(counts.add(None, 1), Err(ENOBUFS));
        counts.remove(None, 1);
        counts.add(None, 1)?;
        assert_eq!(counts.add(None, 1), Err(ENOBUFS));
        Ok(())
    }

    #[test]
    fn a_user_has_half_of_all_paths_and_another_finds_some() -> Result {
        let counts = Counts::new()?;
        let mut counts = counts.lock();
        let mut taken = 0_u64;

        while counts.add(Some(1000), 1).is_ok() {
            taken += 1;
        }
        assert!(taken.abs_diff(paths() / 2) <= 1);
        assert_eq!(counts.add(Some(1000), 1), Err(ENOMEM));
        counts.add(Some(0), 1)?;
        counts.add(None, 1)?;
        for _ in 0..taken {
            counts.remove(Some(1000), 1);
        }
        counts.add(Some(1000), 1)?;
        Ok(())
    }

    #[test]
    fn so_many_are_remembered_and_no_more() -> Result {
        let counts = Counts::new()?;
        let mut counts = counts.lock();
        let most = total_bytes() / MEMORY_OF_OLD;

        counts.remembered = most - 1;
        assert!(counts.has_room(1));
        counts.remembered = most;
        assert!(!counts.has_room(1));
        counts.forget(1);
        assert!(counts.has_room(1));
        // More than there are.
        counts.forget(u64::MAX);
        assert_eq!(counts.remembered, 0);
        Ok(())
    }
}
