// SPDX-License-Identifier: GPL-2.0

//! What a path loses whatever the rate is.

use crate::native::cc::delivery::Snapshot;
use crate::time::Instant;

/// Parts of a share.
pub(super) const WHOLE: u32 = 10_000;
/// Largest share that is told from congestion. What loses more is overloaded, whoever does it.
pub(super) const MOST: u32 = 800;
/// Packets that must have been sent before their losses say something.
const LEAST_PACKETS: u32 = 48;
/// Packets after which older ones count half.
const MEMORY_PACKETS: u32 = 2_048;

/// Losses among the packets that were sent while the queue drained.
///
/// In ProbeBW_DOWN the flow sends a tenth less than the path is known to deliver. What is lost then
/// is lost to others, or to the link.
#[derive(Clone, Copy, Debug)]
pub struct Background {
    /// Bytes delivered and lost of those sent in ProbeBW_DOWN.
    acked: u32,
    lost: u32,
    /// When the latest ProbeBW_DOWN ended; when it began is the beginning of the cycle.
    until: Instant,
}

impl Background {
    pub(super) const fn new() -> Self {
        Self {
            acked: 0,
            lost: 0,
            until: Instant(0),
        }
    }

    /// ProbeBW_DOWN begins.
    pub(super) fn begin(&mut self, mss: u32) {
        self.until = Instant::NEVER;
        if self.total() > mss.saturating_mul(MEMORY_PACKETS) {
            self.acked >>= 1;
            self.lost >>= 1;
        }
    }

    /// ProbeBW_DOWN ends.
    pub(super) fn end(&mut self, now: Instant) {
        self.until = self.until.min(now);
    }

    /// Whether a packet was sent in the ProbeBW_DOWN that began at `since`.
    fn covers(&self, sent: &Snapshot, since: Instant) -> bool {
        sent.sent >= since && sent.sent < self.until
    }

    pub(super) fn on_acked(&mut self, newest: &Snapshot, bytes: u32, since: Instant) {
        if self.covers(newest, since) {
            self.acked = self.acked.saturating_add(bytes);
        }
    }

    pub(super) fn on_lost(&mut self, sent: &Snapshot, since: Instant) {
        if self.covers(sent, since) {
            self.lost = self.lost.saturating_add(sent.size);
        }
    }

    const fn total(&self) -> u32 {
        self.acked.saturating_add(self.lost)
    }

    /// The share that is lost, in ten thousandths; none as long as too little was sent to tell.
    pub(super) fn share(&self, mss: u32) -> Option<u32> {
        let total = self.total();
        if total < mss.saturating_mul(LEAST_PACKETS) {
            return None;
        }
        let parts = u64::from(self.lost).saturating_mul(u64::from(WHOLE));
        let share = parts.checked_div(u64::from(total))?;
        // CAST: a share of the whole.
        let share = share as u32;
        Some(if share > MOST { 0 } else { share })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::native::cc::delivery::Delivery;

    #[test]
    fn only_what_was_sent_while_the_queue_drained_counts() {
        let mut b = Background::new();
        let sent = |now| Delivery::default().on_sent(Instant(now), 1000);
        let since = Instant(10);
        b.on_acked(&sent(50), 1_000_000, since);
        b.on_lost(&sent(50), since);
        assert_eq!(b.total(), 0);
        b.begin(1000);
        b.on_acked(&sent(9), 1000, since);
        b.on_acked(&sent(10), 46_000, since);
        b.on_lost(&sent(11), since);
        assert_eq!(b.share(1000), None, "too little to tell");
        b.end(Instant(20));
        b.end(Instant(30));
        b.on_acked(&sent(20), 1000, since);
        b.on_acked(&sent(19), 1000, since);
        assert_eq!(b.share(1000), Some(208));
    }

    #[test]
    fn a_path_that_loses_all_is_overloaded_and_old_packets_fade() {
        let mut b = Background::new();
        b.begin(1);
        let sent = Delivery::default().on_sent(Instant(0), 1000);
        for _ in 0..3 {
            b.on_lost(&sent, Instant(0));
        }
        assert_eq!(b.share(1), Some(0));
        b.begin(1);
        assert_eq!((b.acked, b.lost), (0, 1500));
        assert_eq!(Background::new().share(0), None);
    }
}
