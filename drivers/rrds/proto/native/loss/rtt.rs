// SPDX-License-Identifier: GPL-2.0

//! Round trips: the latest, the shortest, the smoothed one and its variation.

use crate::native::cc::units::saturate;

/// Resolution of timers, in nanoseconds.
pub(super) const GRANULARITY_NS: u64 = 10_000;

/// See the module. RFC 9002, section 5; in nanoseconds, of which four seconds are the most.
#[derive(Clone, Copy, Debug)]
pub struct Rtt {
    latest: u32,
    shortest: u32,
    smoothed: u32,
    variation: u32,
}

impl Rtt {
    /// Nothing has been measured; `initial` is assumed.
    pub const fn new(initial: u64) -> Self {
        let initial = saturate(initial);
        Self {
            latest: 0,
            shortest: u32::MAX,
            smoothed: initial,
            variation: initial >> 1,
        }
    }

    /// Whether anything has been measured.
    pub const fn is_measured(&self) -> bool {
        self.shortest != u32::MAX
    }

    /// The latest.
    pub const fn latest(&self) -> u64 {
        // CAST: widening, which `From` cannot do in a const function; also below.
        self.latest as u64
    }

    /// The shortest of the lane's life; none if nothing has been measured.
    pub const fn shortest(&self) -> u64 {
        if self.is_measured() {
            self.shortest as u64
        } else {
            0
        }
    }

    /// The smoothed one.
    pub const fn smoothed(&self) -> u64 {
        self.smoothed as u64
    }

    /// Smoothed round trip and four times its variation.
    pub(super) fn timeout_ns(&self) -> u64 {
        let variation = u64::from(self.variation).saturating_mul(4);
        let variation = variation.max(GRANULARITY_NS);
        self.smoothed().saturating_add(variation)
    }

    /// Takes in a round trip, during which the peer held back the acknowledgement for `delay`.
    pub fn on_sample(&mut self, sample: u64, delay: u64) {
        let first = !self.is_measured();
        let (sample, delay) = (saturate(sample), saturate(delay));
        self.latest = sample;
        self.shortest = self.shortest.min(sample);
        if first {
            self.smoothed = sample;
            self.variation = sample >> 1;
            return;
        }
        // What the peer says cannot make a round trip shorter than the shortest.
        let without = sample.saturating_sub(delay);
        let sample = if without >= self.shortest {
            without
        } else {
            sample
        };
        let distance = self.smoothed.abs_diff(sample);
        self.variation = mix(self.variation, distance, 2);
        self.smoothed = mix(self.smoothed, sample, 3);
    }
}

/// `old`, of which a share of 2^-`shift` is replaced by `new`.
const fn mix(old: u32, new: u32, shift: u32) -> u32 {
    old.saturating_sub(old >> shift)
        .saturating_add(new >> shift)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_sample_counts_in_full() {
        let mut r = Rtt::new(1000);
        assert!(!r.is_measured() && r.shortest() == 0 && r.latest() == 0);
        assert_eq!(r.timeout_ns(), 1000 + GRANULARITY_NS);
        r.on_sample(80_000, 50_000);
        assert_eq!(
            (r.smoothed(), r.shortest(), r.latest()),
            (80_000, 80_000, 80_000)
        );
        assert_eq!(r.timeout_ns(), 80_000 + 160_000);
    }

    #[test]
    fn later_ones_count_for_an_eighth() {
        let mut r = Rtt::new(1000);
        r.on_sample(80_000, 0);
        r.on_sample(160_000, 0);
        assert_eq!((r.smoothed(), r.variation), (90_000, 50_000));
        assert_eq!((r.shortest(), r.latest()), (80_000, 160_000));
    }

    #[test]
    fn the_delay_of_the_peer_is_not_of_the_path() {
        let mut r = Rtt::new(1000);
        r.on_sample(80_000, 0);
        r.on_sample(160_000, 80_000);
        assert_eq!(r.smoothed(), 80_000);
        r.on_sample(160_000, 80_001);
        assert_eq!(r.smoothed(), 90_000, "which cannot be");
    }
}
