// SPDX-License-Identifier: GPL-2.0

//! What peers make us store: messages that were received, or are coming in, and were not read.
//!
//! Peers are told of sockets that are full, and hold back; what is on its way then still has to be
//! taken in. One that does not care could fill all memory. So there is an account for each peer and one
//! for all of a namespace: what goes beyond is refused, and the connection given up a little later. It was
//! not acknowledged: a peer that keeps to the rules sends it again on the next one.

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
}

/// One peer may take this part of what all may.
const SHARE: u64 = 4;

impl Backlog {
    /// Makes the account of all.
    pub(crate) fn new() -> Result<Arc<Self>> {
        Self::alloc(None)
    }

    /// Makes the account of a peer.
    pub(crate) fn part_of(whole: &Arc<Self>) -> Result<Arc<Self>> {
        Self::alloc(Some(whole.clone()))
    }

    fn alloc(whole: Option<Arc<Self>>) -> Result<Arc<Self>> {
        Ok(Arc::new(
            Self {
                bytes: Atomic::new(0),
                whole,
            },
            GFP_KERNEL,
        )?)
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
        let before = self.add(charge.bytes);
        let whole = match &self.whole {
            Some(whole) => whole.add(charge.bytes),
            None => before,
        };

        // One that has nothing stored can always go on, if others leave it room.
        if before > limit / SHARE || whole > limit {
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
        if let Some(whole) = &self.backlog.whole {
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
}
