// SPDX-License-Identifier: GPL-2.0

//! When to post receive buffers.
//!
//! spec-receive-ring. A peer that finds no buffer gets an RNR NAK and waits 0.32 ms, so the ring is
//! refilled long before it is empty; yet posting buffers one by one would waste doorbells.

/// How urgent it is to post receive buffers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refill {
    /// Not needed.
    No,
    /// Post this many when convenient, such as at the end of a batch.
    Soon(u32),
    /// Post this many now, with memory that is at hand, and from a worker if there is none: peers are
    /// stalled.
    Now(u32),
}

/// Advice for a ring of `size` buffers of which `posted` are posted.
///
/// `allowance` is how many more buffers the limit on receive memory permits.
pub const fn advise(size: u32, posted: u32, allowance: u32) -> Refill {
    let missing = size.saturating_sub(posted);
    let count = if missing < allowance {
        missing
    } else {
        allowance
    };
    if count == 0 {
        Refill::No
    } else if posted <= size / 16 {
        Refill::Now(count)
    } else if posted <= size / 2 {
        Refill::Soon(count)
    } else {
        Refill::No
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_full_is_the_time() {
        assert_eq!(advise(1024, 1024, 9999), Refill::No);
        assert_eq!(advise(1024, 513, 9999), Refill::No);
        assert_eq!(advise(1024, 512, 9999), Refill::Soon(512));
        assert_eq!(advise(1024, 65, 9999), Refill::Soon(959));
        assert_eq!(advise(1024, 64, 9999), Refill::Now(960));
        assert_eq!(advise(1024, 0, 9999), Refill::Now(1024));
    }

    #[test]
    fn the_limit_on_memory_holds() {
        assert_eq!(advise(1024, 0, 10), Refill::Now(10));
        assert_eq!(advise(1024, 0, 0), Refill::No);
        assert_eq!(
            advise(16, 20, 10),
            Refill::No,
            "a ring that was made smaller"
        );
    }
}
