// SPDX-License-Identifier: GPL-2.0

//! When a packet may leave.
//!
//! A [`Pacer`] gives each packet a departure time, the previous one's plus what that took at the
//! rate of then. A flow that has fallen behind may make up for a quantum, so that packets leave in
//! bursts of about half of one and a timer that is late by the other half costs nothing.

use super::cc::units::Rate;
use crate::time::Instant;

/// See the [module](self).
#[derive(Clone, Copy, Debug, Default)]
pub struct Pacer {
    /// When the next packet may leave.
    next: Instant,
}

impl Pacer {
    /// When the flow should look again if no packet may leave at `now`; `None` if one may.
    pub fn wait(&self, now: Instant, rate: Rate, quantum: u32) -> Option<Instant> {
        if self.next <= now {
            return None;
        }
        Some(self.leaves(rate, quantum))
    }

    /// When the flow should look again if no packet may leave before.
    pub fn leaves(&self, rate: Rate, quantum: u32) -> Instant {
        let burst = rate.time_for(u64::from(quantum >> 1));
        self.next.after(burst)
    }

    /// Counts a packet of `size` bytes that leaves at `now`.
    pub fn on_sent(&mut self, now: Instant, size: u32, rate: Rate, quantum: u32) {
        let burst = rate.time_for(u64::from(quantum));
        let earliest = Instant(now.0.saturating_sub(burst));
        let departure = self.next.max(earliest);
        self.next = departure.after(rate.time_for(u64::from(size)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RATE: Rate = Rate(1_000_000_000);

    #[test]
    fn a_burst_is_a_quantum_and_the_rate_is_kept() {
        let mut p = Pacer::default();
        let mut now = Instant(1_000_000);
        let mut sent = 0_u64;
        let mut first = 0;
        while now < Instant(2_000_000) {
            match p.wait(now, RATE, 8000) {
                None => {
                    p.on_sent(now, 1000, RATE, 8000);
                    sent += 1000;
                }
                Some(at) => {
                    if first == 0 {
                        first = sent;
                    }
                    assert!(at > now && at <= now.after(6000));
                    now = at;
                }
            }
        }
        assert_eq!(first, 9000, "a quantum, and the packet that reaches it");
        assert!((1_000_000..=1_010_000).contains(&sent), "{sent}");
    }

    #[test]
    fn a_late_timer_costs_nothing_within_half_a_quantum() {
        let mut p = Pacer::default();
        let mut now = Instant(1_000_000);
        let mut sent = 0_u64;
        while now < Instant(2_000_000) {
            match p.wait(now, RATE, 8000) {
                None => {
                    p.on_sent(now, 1000, RATE, 8000);
                    sent += 1000;
                }
                Some(at) => now = at.after(3000),
            }
        }
        assert!(sent >= 1_000_000, "{sent}");
    }

    #[test]
    fn at_no_rate_nothing_leaves() {
        let mut p = Pacer::default();
        p.on_sent(Instant(5), 1, Rate::ZERO, 1000);
        assert_eq!(
            p.wait(Instant(u64::MAX - 1), Rate::ZERO, 1000),
            Some(Instant(u64::MAX))
        );
    }
}
