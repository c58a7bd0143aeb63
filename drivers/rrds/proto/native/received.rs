// SPDX-License-Identifier: GPL-2.0

//! What has been received on a datagram lane, and when to acknowledge it.
//!
//! An acknowledgement names the largest packet number received, and speaks of the [`WINDOW`] numbers
//! below it: all of them have come, or a bitmap says which. Packet numbers are never used again, so
//! a packet that was lost stays a hole until it leaves the window.

use crate::time::Instant;

/// Numbers below the largest one that an acknowledgement speaks of.
pub const WINDOW: u64 = 128;

/// Which of the [`WINDOW`] numbers below the largest one have come: bit 0 is the next smaller one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Bitmap(pub [u64; 2]);

impl Bitmap {
    /// All of them.
    pub const FULL: Self = Self([u64::MAX; 2]);

    /// Whether the number `below` the largest one has come; `below` counts from 1.
    pub const fn contains(&self, below: u64) -> bool {
        let [low, high] = self.0;
        match below {
            1..=64 => (low >> below.wrapping_sub(1)) & 1 == 1,
            65..=128 => (high >> below.wrapping_sub(65)) & 1 == 1,
            _ => false,
        }
    }

    /// Notes that the number `below` the largest one has come; `below` counts from 1.
    fn insert(&mut self, below: u64) {
        let [low, high] = &mut self.0;
        match below {
            1..=64 => *low |= 1 << below.wrapping_sub(1),
            65..=128 => *high |= 1 << below.wrapping_sub(65),
            _ => {}
        }
    }

    /// Makes the largest number larger by `step`; the one that was the largest has come.
    fn advance(&mut self, step: u64) {
        let [low, high] = self.0;
        self.0 = match step {
            0 => return,
            1..=63 => [
                low << step,
                (high << step) | (low >> 64_u64.wrapping_sub(step)),
            ],
            64..=127 => [0, low << step.wrapping_sub(64)],
            _ => [0, 0],
        };
        self.insert(step);
    }

    /// The bits of the `numbers` next below the largest one.
    const fn mask(numbers: u64) -> Self {
        match numbers {
            0..=63 => Self([(1_u64 << numbers).wrapping_sub(1), 0]),
            64..=127 => Self([
                u64::MAX,
                (1_u64 << numbers.wrapping_sub(64)).wrapping_sub(1),
            ]),
            _ => Self::FULL,
        }
    }

    /// Whether all of `other` is in this one.
    const fn covers(&self, other: &Self) -> bool {
        let ([a, b], [c, d]) = (self.0, other.0);
        a & c == c && b & d == d
    }
}

/// An acknowledgement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ack {
    /// Largest packet number received.
    pub largest: u64,
    /// How long that was ago, in nanoseconds.
    pub delay_ns: u64,
    /// Which of the numbers below have come; `None` if all of them have.
    pub holes: Option<Bitmap>,
    /// Packets so far that came with a congestion mark, modulo 2^32.
    pub marked: u32,
}

impl Ack {
    /// Whether packet `number` is acknowledged.
    pub fn covers(&self, number: u64) -> bool {
        match self.largest.checked_sub(number) {
            None => false,
            Some(0) => true,
            Some(below) => match &self.holes {
                Some(bitmap) => bitmap.contains(below),
                None => below <= WINDOW,
            },
        }
    }

    /// Smallest packet number that it may acknowledge.
    pub const fn smallest(&self) -> u64 {
        self.largest.saturating_sub(WINDOW)
    }
}

/// When to acknowledge.
#[derive(Clone, Copy, Debug)]
pub struct Policy {
    /// After so many packets that ask for it,
    pub packets: u16,
    /// or so long after the first of them, in nanoseconds.
    pub delay_ns: u32,
}

/// A packet that came, as its header and its IP header have it.
#[derive(Clone, Copy, Debug)]
pub struct Packet {
    /// Its number.
    pub number: u64,
    /// Whether it asks for an acknowledgement.
    pub eliciting: bool,
    /// Whether it asks for one at once.
    pub at_once: bool,
    /// Whether it came with a congestion mark.
    pub marked: bool,
}

/// What a packet that came is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arrival {
    /// It is new.
    New,
    /// It has come before.
    Duplicate,
    /// It is too old to tell, and to be acknowledged. It is to be dropped: the peer has sent its
    /// frames again, or will.
    Old,
}

/// See the [module](self).
#[derive(Clone, Copy, Debug, Default)]
pub struct Received {
    /// The number after the largest one.
    next: u64,
    largest_at: Instant,
    bitmap: Bitmap,
    /// When the first of `packets` came.
    asked: Instant,
    /// Packets that ask for an acknowledgement and have none.
    packets: u16,
    at_once: bool,
    marked: u32,
}

impl Received {
    /// The largest number, if anything has come.
    fn largest(&self) -> Option<u64> {
        self.next.checked_sub(1)
    }

    /// Takes in a packet that came at `now`.
    pub fn on_packet(&mut self, now: Instant, packet: &Packet) -> Arrival {
        let number = packet.number;
        let in_order = match self.largest() {
            None => number == 0,
            Some(largest) => match number.checked_sub(largest) {
                Some(0) => return Arrival::Duplicate,
                Some(step) => {
                    self.bitmap.advance(step);
                    step == 1
                }
                None => {
                    let below = largest.saturating_sub(number);
                    if below > WINDOW {
                        return Arrival::Old;
                    }
                    if self.bitmap.contains(below) {
                        return Arrival::Duplicate;
                    }
                    self.bitmap.insert(below);
                    false
                }
            },
        };
        if number >= self.next {
            self.next = number.saturating_add(1);
            self.largest_at = now;
        }
        if packet.marked {
            self.marked = self.marked.wrapping_add(1);
        }
        if packet.eliciting {
            if self.packets == 0 {
                self.asked = now;
            }
            self.packets = self.packets.saturating_add(1);
            // A gap, its end and a mark are news.
            self.at_once |= packet.at_once || !in_order || packet.marked;
        }
        Arrival::New
    }

    /// Whether an acknowledgement is to be sent at `now`.
    pub fn is_due(&self, now: Instant, policy: &Policy) -> bool {
        let late = self.next_timeout(policy).is_some_and(|at| now >= at);
        self.at_once || self.packets >= policy.packets || late
    }

    /// When an acknowledgement is to be sent at the latest.
    pub fn next_timeout(&self, policy: &Policy) -> Option<Instant> {
        let at = self.asked.after(u64::from(policy.delay_ns));
        (self.packets > 0).then_some(at)
    }

    /// The acknowledgement to send at `now`, if anything has come. It counts as sent.
    pub fn ack(&mut self, now: Instant) -> Option<Ack> {
        let largest = self.largest()?;
        self.packets = 0;
        self.at_once = false;
        let holes = !self.bitmap.covers(&Bitmap::mask(largest));
        Some(Ack {
            largest,
            delay_ns: now.since(self.largest_at),
            holes: holes.then_some(self.bitmap),
            marked: self.marked,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    const POLICY: Policy = Policy {
        packets: 16,
        delay_ns: 1000,
    };

    fn packet(number: u64) -> Packet {
        Packet {
            number,
            eliciting: true,
            at_once: false,
            marked: false,
        }
    }

    #[test]
    fn a_model_knows_no_more() {
        let mut seed = 1_u64;
        let mut r = Received::default();
        let mut model = BTreeSet::new();
        let mut top = 0;
        for i in 0..20_000 {
            seed = seed
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            let random = seed >> 33;
            let number = match random % 8 {
                0..=4 => top + 1 + (random >> 8) % 3,
                5 => top + (random >> 8) % 150,
                _ => u64::saturating_sub(top, (random >> 8) % 140),
            };
            let expected = if number + WINDOW < top {
                Arrival::Old
            } else if model.insert(number) {
                Arrival::New
            } else {
                Arrival::Duplicate
            };
            assert_eq!(
                r.on_packet(Instant(i), &packet(number)),
                expected,
                "{number} {top}"
            );
            top = top.max(number);
            let ack = r.ack(Instant(i)).unwrap();
            assert_eq!(ack.largest, top);
            for number in top.saturating_sub(140)..=top + 2 {
                let covered = model.contains(&number) && number + WINDOW >= top;
                assert_eq!(ack.covers(number), covered);
            }
            let holes = (ack.smallest()..top).any(|n| !model.contains(&n));
            assert_eq!(ack.holes.is_some(), holes);
        }
    }

    #[test]
    fn packets_in_order_are_acknowledged_rarely() {
        let mut r = Received::default();
        assert_eq!((r.ack(Instant(0)), r.next_timeout(&POLICY)), (None, None));
        for i in 0..15 {
            r.on_packet(Instant(i), &packet(i));
            assert!(!r.is_due(Instant(i), &POLICY));
        }
        assert_eq!(r.next_timeout(&POLICY), Some(Instant(1000)));
        assert!(r.is_due(Instant(1000), &POLICY) && !r.is_due(Instant(999), &POLICY));
        r.on_packet(Instant(15), &packet(15));
        assert!(r.is_due(Instant(15), &POLICY));
        let ack = r.ack(Instant(25)).unwrap();
        assert_eq!((ack.largest, ack.delay_ns, ack.holes), (15, 10, None));
        assert!(!r.is_due(Instant(5000), &POLICY) && r.next_timeout(&POLICY).is_none());
    }

    #[test]
    fn news_is_acknowledged_at_once() {
        for news in 0..4 {
            let mut r = Received::default();
            r.on_packet(Instant(0), &packet(0));
            r.on_packet(Instant(0), &packet(2));
            r.ack(Instant(0));
            let p = match news {
                0 => packet(4),
                1 => packet(1),
                2 => Packet {
                    marked: true,
                    ..packet(3)
                },
                _ => Packet {
                    at_once: true,
                    ..packet(3)
                },
            };
            r.on_packet(Instant(0), &p);
            assert!(r.is_due(Instant(0), &POLICY), "{news}");
            assert_eq!(r.ack(Instant(0)).unwrap().marked, u32::from(news == 2));
        }
    }

    #[test]
    fn what_asks_for_nothing_gets_nothing() {
        let mut r = Received::default();
        let p = Packet {
            eliciting: false,
            ..packet(7)
        };
        assert_eq!(r.on_packet(Instant(0), &p), Arrival::New);
        assert!(!r.is_due(Instant(u64::MAX), &POLICY));
        assert!(r.ack(Instant(0)).unwrap().holes.is_some());
    }
}
