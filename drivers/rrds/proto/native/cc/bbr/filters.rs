// SPDX-License-Identifier: GPL-2.0

//! The largest of recent values, in two slots each.

use crate::native::cc::units::Rate;

/// Round trips of a slot of [`MaxAcked`]: two slots are the draft's ten.
const SLOT_ROUNDS: u32 = 5;

/// Largest rate of this ProbeBW cycle and the one before.
#[derive(Clone, Copy, Debug)]
pub(super) struct MaxBw {
    before: Rate,
    now: Rate,
}

impl MaxBw {
    pub(super) const fn new() -> Self {
        Self {
            before: Rate::ZERO,
            now: Rate::ZERO,
        }
    }

    pub(super) const fn get(&self) -> Rate {
        if self.before.0 > self.now.0 {
            self.before
        } else {
            self.now
        }
    }

    pub(super) fn update(&mut self, rate: Rate) {
        self.now = self.now.max(rate);
    }

    /// Begins a cycle. One without a sample is not counted: what was known remains known.
    pub(super) fn advance(&mut self) {
        if self.now > Rate::ZERO {
            self.before = self.now;
            self.now = Rate::ZERO;
        }
    }
}

/// Largest excess of acknowledged bytes of the last five to ten round trips.
#[derive(Clone, Copy, Debug)]
pub(super) struct MaxAcked {
    before: u32,
    now: u32,
    since_round: u32,
}

impl MaxAcked {
    pub(super) const fn new() -> Self {
        Self {
            before: 0,
            now: 0,
            since_round: 0,
        }
    }

    pub(super) const fn get(&self) -> u32 {
        if self.before > self.now {
            self.before
        } else {
            self.now
        }
    }

    /// Takes in `extra` of round trip `round`; `short` keeps this round trip's only.
    pub(super) fn update(&mut self, extra: u32, round: u32, short: bool) {
        let rounds = round.wrapping_sub(self.since_round);
        if short && rounds >= 1 {
            *self = Self {
                before: 0,
                now: 0,
                since_round: round,
            };
        } else if rounds >= SLOT_ROUNDS {
            self.before = self.now;
            self.now = 0;
            self.since_round = round;
        }
        self.now = self.now.max(extra);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_cycles_are_remembered() {
        let mut f = MaxBw::new();
        f.update(Rate(7));
        f.update(Rate(5));
        f.advance();
        f.update(Rate(3));
        assert_eq!(f.get(), Rate(7));
        f.advance();
        assert_eq!(f.get(), Rate(3));
        f.advance();
        assert_eq!(f.get(), Rate(3), "a cycle without a sample is none");
        f.update(Rate(2));
        f.advance();
        assert_eq!(f.get(), Rate(2));
    }

    #[test]
    fn ten_round_trips_are_remembered() {
        let mut f = MaxAcked::new();
        f.update(9, 0, false);
        for round in 1..10 {
            f.update(1, round, false);
            assert_eq!(f.get(), 9);
        }
        f.update(1, 10, false);
        assert_eq!(f.get(), 1);
    }

    #[test]
    fn in_startup_one_round_trip_is_remembered() {
        let mut f = MaxAcked::new();
        f.update(9, 0, true);
        f.update(2, 0, true);
        assert_eq!(f.get(), 9);
        f.update(2, 1, true);
        assert_eq!(f.get(), 2);
    }
}
