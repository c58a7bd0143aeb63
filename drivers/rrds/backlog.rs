// SPDX-License-Identifier: GPL-2.0

//! What peers make us store: messages that were received, or are coming in, and were not read.
//!
//! Peers are told of sockets that are full, and hold back; what is on its way then still has to be
//! taken in. One that does not care could fill all memory. So there is an account for each peer and one
//! for all of a namespace: what goes beyond is refused, and the connection given up a little later. It was
//! not acknowledged: a peer that keeps to the rules sends it again on the next one.
//!
//! Whoever may make namespaces may make many. So all but the initial one have an account together, too.

use core::iter::successors;
use kernel::{
    prelude::*,
    sync::{
        atomic::{
            ordering::Relaxed,
            Atomic, //
        },
        Arc, //
    },
};

/// An account of bytes.
pub(crate) struct Backlog {
    bytes: Atomic<u64>,
    /// The account that this one is a part of.
    whole: Option<Arc<Backlog>>,
    /// What there may be in it, whoever asks.
    most: u64,
}

/// One peer may take this part of what all may.
const SHARE: u64 = 4;

impl Backlog {
    /// Makes the account of all.
    pub(crate) fn new() -> Result<Arc<Self>> {
        Self::alloc(None, u64::MAX)
    }

    /// Makes the account of several namespaces, which may store so much together.
    pub(crate) fn of_many(most: u64) -> Result<Arc<Self>> {
        Self::alloc(None, most)
    }

    /// Makes the account of a peer, or that of all of a namespace among others.
    pub(crate) fn part_of(whole: &Arc<Self>) -> Result<Arc<Self>> {
        Self::alloc(Some(whole.clone()), u64::MAX)
    }

    fn alloc(whole: Option<Arc<Self>>, most: u64) -> Result<Arc<Self>> {
        Ok(Arc::new(
            Self {
                bytes: Atomic::new(0),
                whole,
                most,
            },
            GFP_KERNEL,
        )?)
    }

    /// Returns the accounts that this one is a part of, from the smallest on.
    fn wholes(&self) -> impl Iterator<Item = &Self> {
        successors(self.whole.as_deref(), |backlog| backlog.whole.as_deref())
    }

    /// Whether nothing is stored. Any context.
    pub(crate) fn is_empty(&self) -> bool {
        self.bytes.load(Relaxed) == 0
    }

    /// Charges an account of a peer.
    ///
    /// Errors: [`ENOBUFS`] if the peer has stored more than its share of `limit`, or all together more
    /// than that. Any context.
    pub(crate) fn charge(self: &Arc<Self>, bytes: u32, limit: u64) -> Result<Charge> {
        let charge = Charge {
            backlog: self.clone(),
            bytes: bytes.into(),
        };
        // One that has nothing stored can always go on, if others leave it room.
        let mut refused = self.add(charge.bytes) > limit / SHARE;
        let mut limit = limit;

        for whole in self.wholes() {
            refused |= whole.add(charge.bytes) > limit.min(whole.most);
            // It is that of a namespace.
            limit = u64::MAX;
        }
        if refused {
            return Err(ENOBUFS);
        }
        Ok(charge)
    }

    /// Returns what was there before.
    fn add(&self, bytes: u64) -> u64 {
        self.bytes.fetch_add(bytes, Relaxed)
    }

    fn sub(&self, bytes: u64) {
        self.bytes.fetch_sub(bytes, Relaxed);
    }
}

/// Bytes that are charged, until it is dropped.
pub(crate) struct Charge {
    backlog: Arc<Backlog>,
    bytes: u64,
}

impl Drop for Charge {
    fn drop(&mut self) {
        self.backlog.sub(self.bytes);
        for whole in self.backlog.wholes() {
            whole.sub(self.bytes);
        }
    }
}

#[kunit_tests(rrds_backlog)]
mod tests {
    use super::*;

    #[test]
    fn a_peer_has_its_share() -> Result {
        let all = Backlog::new()?;
        let (one, other) = (Backlog::part_of(&all)?, Backlog::part_of(&all)?);
        let mut held = KVec::new();

        while let Ok(charge) = one.charge(10, 400) {
            held.push(charge, GFP_KERNEL)?;
        }
        // The last one begins at the limit.
        assert_eq!(held.len(), 11);
        assert!(other.charge(10, 400).is_ok());
        held.truncate(10);
        assert!(one.charge(10, 400).is_ok());
        Ok(())
    }

    #[test]
    fn together_they_have_no_more_than_all() -> Result {
        let all = Backlog::new()?;
        let mut held = KVec::new();

        for _ in 0..5 {
            let peer = Backlog::part_of(&all)?;
            held.push(peer.charge(100, 399), GFP_KERNEL)?;
        }
        assert_eq!(held.iter().filter(|charge| charge.is_ok()).count(), 4);
        held.clear();
        assert_eq!(all.bytes.load(Relaxed), 0);
        Ok(())
    }

    #[test]
    fn namespaces_have_no_more_than_is_theirs_together() -> Result {
        let many = Backlog::of_many(299)?;
        let mut held = KVec::new();

        // Each could have more, alone.
        for _ in 0..4 {
            let peer = Backlog::part_of(&Backlog::part_of(&many)?)?;
            held.push(peer.charge(100, 4000), GFP_KERNEL)?;
        }
        assert_eq!(held.iter().filter(|charge| charge.is_ok()).count(), 3);
        held.clear();
        assert_eq!(many.bytes.load(Relaxed), 0);
        Ok(())
    }
}
