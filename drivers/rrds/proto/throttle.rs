// SPDX-License-Identifier: GPL-2.0

//! How much may be logged.
//!
//! With ten thousand paths, a switch that restarts is worth a few lines and not ten thousand. There is
//! room for a few at once, and it fills again with time; what finds none is counted, and the next line
//! can tell how much was left out.

use crate::time::Instant;

/// See the [module](self).
#[derive(Clone, Copy, Debug)]
pub struct Throttle {
    /// Lines that may be logged at once.
    burst: u32,
    /// Time in which there is room for one more, in nanoseconds.
    interval_ns: u64,
    left: u32,
    /// When room was made last.
    filled: Instant,
    missed: u64,
}

impl Throttle {
    /// Room for `burst` lines, and one more each `interval_ns` nanoseconds.
    pub const fn new(burst: u32, interval_ns: u64) -> Self {
        Self {
            burst,
            interval_ns: if interval_ns == 0 { 1 } else { interval_ns },
            left: burst,
            filled: Instant(0),
            missed: 0,
        }
    }

    /// Takes room for a line at `now`. Returns how many found none since the last one did.
    pub fn take(&mut self, now: Instant) -> Option<u64> {
        let passed = now.0.saturating_sub(self.filled.0);
        let more = passed.checked_div(self.interval_ns).unwrap_or(0);
        if more > 0 {
            let more = u32::try_from(more).unwrap_or(u32::MAX);
            self.left = self.left.saturating_add(more).min(self.burst);
            // What has passed of the next interval counts.
            let rest = passed.checked_rem(self.interval_ns).unwrap_or(0);
            self.filled = Instant(now.0.saturating_sub(rest));
        }
        if self.left == 0 {
            self.missed = self.missed.saturating_add(1);
            return None;
        }
        self.left = self.left.saturating_sub(1);
        Some(core::mem::take(&mut self.missed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_leaves_a_burst_and_a_trickle() {
        let mut t = Throttle::new(10, 100);
        let passed = (0..10_000).filter(|_| t.take(Instant(1000)).is_some());
        assert_eq!(passed.count(), 10);
        // A thousand a time unit, for ten intervals.
        let mut passed = 0;
        for at in 1000..2000 {
            for _ in 0..10 {
                passed += u32::from(t.take(Instant(at)).is_some());
            }
        }
        assert_eq!(passed, 9);
    }

    #[test]
    fn what_was_left_out_is_told_once() {
        let mut t = Throttle::new(1, 100);
        assert_eq!(t.take(Instant(1000)), Some(0));
        assert_eq!(t.take(Instant(1001)), None);
        assert_eq!(t.take(Instant(1002)), None);
        assert_eq!(t.take(Instant(1100)), Some(2));
        assert_eq!(t.take(Instant(1200)), Some(0));
    }

    #[test]
    fn a_long_silence_makes_room_for_one_burst() {
        let mut t = Throttle::new(3, 100);
        assert_eq!((0..9).filter(|_| t.take(Instant(100)).is_some()).count(), 3);
        let later = Instant(u64::MAX);
        assert_eq!((0..9).filter(|_| t.take(later).is_some()).count(), 3);
    }

    #[test]
    fn a_clock_that_goes_back_makes_no_room() {
        let mut t = Throttle::new(1, 0);
        assert_eq!(t.take(Instant(50)), Some(0));
        assert_eq!(t.take(Instant(40)), None);
    }
}
