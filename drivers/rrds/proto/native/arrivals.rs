// SPDX-License-Identifier: GPL-2.0

//! Which packets of a lane were received, and when that is to be told.

use super::wire::{Ack, Holes};
use crate::time::Instant;

/// When packets are acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AckPolicy {
    /// After so many packets that are to be acknowledged.
    pub every: u16,
    /// After so much time, in nanoseconds.
    pub delay_ns: u64,
}

/// What was received on a lane.
#[derive(Clone, Copy, Debug, Default)]
pub struct Arrivals {
    /// The largest number, when there is one.
    largest: Option<u64>,
    /// How many packets right below it.
    run: u32,
    /// What came below the hole under the run, as in [`Holes`].
    holes: u128,
    /// When the largest came.
    time: Instant,
    /// Packets that want to be acknowledged and are not yet.
    pending: u16,
    /// When to acknowledge at the latest.
    due: Option<Instant>,
}

impl Arrivals {
    /// Whether packet `number` is new: not received before and not too far below a hole to tell.
    pub fn is_new(&self, number: u64) -> bool {
        let Some(largest) = self.largest else {
            return true;
        };
        let Some(below) = largest.checked_sub(number) else {
            return true;
        };
        match below.checked_sub(u64::from(self.run)) {
            None | Some(0) => false,
            Some(1) => true,
            Some(n) => match n.wrapping_sub(2) {
                bit @ 0..=127 => (self.holes >> bit) & 1 == 0,
                _ => false,
            },
        }
    }

    /// Notes a packet that [`is_new`](Self::is_new). Returns whether there is a hole below the packet
    /// that there was not before.
    #[inline]
    pub fn insert(&mut self, now: Instant, number: u64) -> bool {
        let Some(largest) = self.largest else {
            self.largest = Some(number);
            self.time = now;
            // What is below the first one that came is a hole that starts at its number less one.
            return false;
        };
        match number.checked_sub(largest) {
            Some(0) => false,
            Some(1) => {
                self.largest = Some(number);
                self.time = now;
                self.run = self.run.saturating_add(1);
                false
            }
            Some(ahead) => {
                // `ahead - 1` packets are missing; below them are the run with its top, the hole under
                // it, and the old bits. The topmost missing one has no bit.
                self.largest = Some(number);
                self.time = now;
                let ones = u64::from(self.run).saturating_add(1);
                let below = shift(self.holes, ones.saturating_add(1)) | low_bits(ones);
                self.holes = shift(below, ahead.wrapping_sub(2));
                self.run = 0;
                true
            }
            None => {
                self.insert_below(largest.wrapping_sub(number));
                false
            }
        }
    }

    fn insert_below(&mut self, below: u64) {
        match below.checked_sub(u64::from(self.run)) {
            None | Some(0) => {}
            Some(1) => {
                // The hole is filled: the run goes on to the next one.
                let more = self.holes.trailing_ones();
                self.run = self.run.saturating_add(more).saturating_add(1);
                self.holes = self.holes.checked_shr(more.saturating_add(1)).unwrap_or(0);
            }
            Some(n) => {
                if let bit @ 0..=127 = n.wrapping_sub(2) {
                    self.holes |= 1 << bit;
                }
            }
        }
    }

    /// Notes that a packet is to be acknowledged, `at_once` or by the policy.
    #[inline]
    pub fn want(&mut self, now: Instant, policy: &AckPolicy, at_once: bool) {
        self.pending = self.pending.saturating_add(1);
        if at_once || self.pending >= policy.every {
            self.due = Some(now);
        } else if self.due.is_none() {
            self.due = Some(now.after(policy.delay_ns));
        }
    }

    /// Demands an acknowledgement at once, if anything was received at all.
    pub fn demand(&mut self, now: Instant) {
        if self.largest.is_some() {
            self.due = Some(now);
        }
    }

    /// When to acknowledge at the latest.
    pub const fn due(&self) -> Option<Instant> {
        self.due
    }

    /// Whether something is to be acknowledged, now or later: a packet that is sent anyway can say it.
    pub const fn is_pending(&self) -> bool {
        self.due.is_some()
    }

    /// What to say of the lane, its number, room and quota left open; `None` if nothing was received.
    pub fn ack(&self, now: Instant) -> Option<Ack> {
        let largest = self.largest?;
        let delay = now.0.saturating_sub(self.time.0) / 1000;
        Some(Ack {
            largest,
            run: self.run,
            delay: u32::try_from(delay).unwrap_or(u32::MAX),
            holes: (self.holes != 0).then_some(Holes(self.holes)),
            ..Ack::default()
        })
    }

    /// Notes that an acknowledgement was sent.
    pub fn told(&mut self) {
        self.pending = 0;
        self.due = None;
    }
}

/// `bits` moved up by `by`.
const fn shift(bits: u128, by: u64) -> u128 {
    if by < 128 {
        bits << by
    } else {
        0
    }
}

/// The lowest `count` bits.
const fn low_bits(count: u64) -> u128 {
    !shift(u128::MAX, count)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    /// What was received and the acknowledgement must agree, as far back as it reaches.
    fn check(received: &Arrivals, model: &BTreeSet<u64>) {
        let ack = received.ack(Instant(0)).unwrap();
        let largest = *model.last().unwrap();
        assert_eq!(ack.largest, largest);
        for number in largest.saturating_sub(300)..=largest + 2 {
            let below = largest.saturating_sub(number);
            let there = model.contains(&number);
            let covered = ack.covers(number);
            assert!(there || !covered, "{number} {received:?}");
            // Below that some of it may be forgotten.
            if below < 128 || below <= u64::from(ack.run) {
                assert_eq!(covered, there, "{number} {received:?}");
            }
            let told = number > largest || below < u64::from(ack.run) + 130;
            assert_eq!(received.is_new(number), told && !covered, "{number}");
        }
    }

    #[test]
    fn agrees_with_a_set() {
        for seed in 0..200_u32 {
            let mut seed = seed.wrapping_mul(2_654_435_761).wrapping_add(7);
            let mut random = || {
                seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                u64::from(seed >> 8)
            };
            let mut received = Arrivals::default();
            let mut model = BTreeSet::new();
            let mut top = random() % 3;
            let jumps = 1 + random() % 200;
            for _ in 0..400 {
                let number = match random() % 8 {
                    0 => top + random() % jumps,
                    1..=4 => top + 1,
                    _ => top.saturating_sub(random() % 140),
                };
                if received.is_new(number) {
                    received.insert(Instant(0), number);
                    model.insert(number);
                }
                top = top.max(number);
                if !model.is_empty() {
                    check(&received, &model);
                }
            }
        }
    }

    #[test]
    fn in_order_there_is_nothing_but_a_run() {
        let mut received = Arrivals::default();
        assert_eq!(received.ack(Instant(0)), None);
        for number in 0..1000 {
            received.insert(Instant(number), number);
        }
        let ack = received.ack(Instant(4999)).unwrap();
        assert_eq!((ack.largest, ack.run, ack.holes), (999, 999, None));
        assert_eq!(ack.delay, 4);
    }

    #[test]
    fn acknowledgements_are_due_by_number_and_by_time() {
        let policy = AckPolicy {
            every: 3,
            delay_ns: 100,
        };
        let mut r = Arrivals::default();
        r.demand(Instant(1));
        assert!(!r.is_pending(), "nothing was received");
        r.insert(Instant(1), 0);
        r.want(Instant(1), &policy, false);
        assert_eq!(r.due(), Some(Instant(101)));
        r.want(Instant(50), &policy, false);
        assert_eq!(r.due(), Some(Instant(101)));
        r.want(Instant(60), &policy, false);
        assert_eq!(r.due(), Some(Instant(60)));
        r.told();
        assert!(!r.is_pending());
        r.want(Instant(70), &policy, true);
        assert_eq!(r.due(), Some(Instant(70)));
        r.told();
        r.demand(Instant(80));
        assert_eq!(r.due(), Some(Instant(80)));
    }
}
