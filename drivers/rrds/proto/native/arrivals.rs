// SPDX-License-Identifier: GPL-2.0

//! Which packets of a lane were received, and when that is to be told.
//!
//! An acknowledgement names the largest number received, how many right below it have come, and which
//! of the [`ACK_REACH`] numbers below the hole under those. Numbers are never used again, and a sender
//! may leave some out: a hole stays one until the acknowledgement does not reach it any more.

use super::wire::{Ack, Ecn, Holes, ACK_REACH};
use crate::time::Instant;

/// When packets are acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AckPolicy {
    /// After so many packets that are to be acknowledged.
    pub every: u16,
    /// After so much time, in nanoseconds.
    pub delay_ns: u64,
}

/// How the network marked a packet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mark {
    /// Its sender does not ask for marks.
    #[default]
    NotEct,
    /// ECT(0).
    Ect0,
    /// ECT(1).
    Ect1,
    /// A queue was long.
    Ce,
}

/// What a number says of the packet that has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arrival {
    /// It is new.
    New,
    /// It came before.
    Duplicate,
    /// It is too far below a hole to tell. It is to be dropped: its frames were sent again, or will be.
    Old,
}

/// A packet that came on a datagram lane, as its header and its IP header have it.
#[derive(Clone, Copy, Debug)]
pub struct Packet {
    /// Its number.
    pub number: u64,
    /// Whether it is to be acknowledged.
    pub wanted: bool,
    /// Whether it asks for that at once.
    pub at_once: bool,
    /// How the network marked it.
    pub mark: Mark,
}

/// What was received on a lane.
#[derive(Clone, Copy, Debug, Default)]
pub struct Arrivals {
    /// What came below the hole under the run, as in [`Holes`].
    holes: u128,
    /// The largest number, if `any` came.
    largest: u64,
    /// When the largest came.
    time: Instant,
    /// When to acknowledge at the latest, if `asked`.
    due: Instant,
    /// How many numbers right below the largest came.
    run: u32,
    /// Marks of the network.
    ecn: Ecn,
    /// Packets that want to be acknowledged and are not yet.
    pending: u16,
    any: bool,
    asked: bool,
}

impl Arrivals {
    /// Whether packet `number` was received before.
    #[inline]
    pub fn look(&self, number: u64) -> Arrival {
        let Some(below) = self.largest.checked_sub(number).filter(|_| self.any) else {
            return Arrival::New;
        };
        match below.checked_sub(u64::from(self.run)) {
            None | Some(0) => Arrival::Duplicate,
            Some(1) => Arrival::New,
            Some(n) => match n.wrapping_sub(2) {
                bit @ 0..ACK_REACH if (self.holes >> bit) & 1 == 0 => Arrival::New,
                0..ACK_REACH => Arrival::Duplicate,
                _ => Arrival::Old,
            },
        }
    }

    /// Takes in a packet that came on a datagram lane: a gap, the end of one and a mark are news that
    /// the sender is told at once.
    pub fn on_packet(&mut self, now: Instant, policy: &AckPolicy, packet: &Packet) -> Arrival {
        let arrival = self.look(packet.number);
        if arrival != Arrival::New {
            return arrival;
        }
        let late = self.any && packet.number < self.largest;
        let gap = self.insert(now, packet.number);
        self.count(packet.mark);
        if packet.wanted {
            let news = late || gap || packet.mark == Mark::Ce;
            self.want(now, policy, packet.at_once || news);
        }
        Arrival::New
    }

    /// Counts a mark of the network.
    fn count(&mut self, mark: Mark) {
        let count = match mark {
            Mark::NotEct => return,
            Mark::Ect0 => &mut self.ecn.ect0,
            Mark::Ect1 => &mut self.ecn.ect1,
            Mark::Ce => &mut self.ecn.ce,
        };
        *count = count.wrapping_add(1);
    }

    /// Notes a packet that is [new](Arrival::New). Returns whether there is a hole below the packet that
    /// there was not before.
    #[inline]
    pub fn insert(&mut self, now: Instant, number: u64) -> bool {
        if !self.any {
            self.any = true;
            self.largest = number;
            self.time = now;
            // What is below the first one that came is a hole that starts at its number less one.
            return false;
        }
        match number.checked_sub(self.largest) {
            Some(0) => false,
            Some(1) => {
                self.largest = number;
                self.time = now;
                self.run = self.run.saturating_add(1);
                false
            }
            Some(ahead) => {
                // `ahead - 1` packets are missing; below them are the run with its top, the hole under
                // it, and the old bits. The topmost missing one has no bit.
                self.largest = number;
                self.time = now;
                let ones = u64::from(self.run).saturating_add(1);
                let below = shift(self.holes, ones.saturating_add(1)) | low_bits(ones);
                self.holes = shift(below, ahead.wrapping_sub(2));
                self.run = 0;
                true
            }
            None => {
                self.insert_below(self.largest.wrapping_sub(number));
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
                if let bit @ 0..ACK_REACH = n.wrapping_sub(2) {
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
            self.due = now;
        } else if !self.asked {
            self.due = now.after(policy.delay_ns);
        }
        self.asked = true;
    }

    /// Demands an acknowledgement at once, if anything was received at all.
    pub fn demand(&mut self, now: Instant) {
        if self.any {
            self.due = now;
            self.asked = true;
        }
    }

    /// When to acknowledge at the latest.
    pub const fn due(&self) -> Option<Instant> {
        if self.asked {
            Some(self.due)
        } else {
            None
        }
    }

    /// Whether an acknowledgement is to be sent at `now`.
    pub fn is_due(&self, now: Instant) -> bool {
        self.asked && self.due <= now
    }

    /// Whether something is to be acknowledged, now or later: a packet that is sent anyway can say it.
    pub const fn is_pending(&self) -> bool {
        self.asked
    }

    /// What to say of the lane, its number, room, quota and serial left open; `None` if nothing was
    /// received.
    pub fn ack(&self, now: Instant) -> Option<Ack> {
        let delay = now.since(self.time) / 1000;
        self.any.then(|| Ack {
            largest: self.largest,
            run: self.run,
            delay: u32::try_from(delay).unwrap_or(u32::MAX),
            holes: Holes(self.holes),
            ecn: (self.ecn != Ecn::default()).then_some(self.ecn),
            ..Ack::default()
        })
    }

    /// Notes that an acknowledgement was sent.
    pub fn told(&mut self) {
        self.pending = 0;
        self.asked = false;
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
            let expected = match (told, covered) {
                (_, true) => Arrival::Duplicate,
                (true, false) => Arrival::New,
                (false, false) => Arrival::Old,
            };
            assert_eq!(received.look(number), expected, "{number}");
            assert!(number >= ack.smallest() || !covered);
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
                if received.look(number) == Arrival::New {
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
        assert_eq!((ack.largest, ack.run, ack.holes.0), (999, 999, 0));
        assert_eq!(ack.ecn, None);
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

    const POLICY: AckPolicy = AckPolicy {
        every: 16,
        delay_ns: 1000,
    };

    fn packet(number: u64) -> Packet {
        Packet {
            number,
            wanted: true,
            at_once: false,
            mark: Mark::NotEct,
        }
    }

    #[test]
    fn news_is_acknowledged_at_once() {
        for news in 0..5 {
            let mut r = Arrivals::default();
            let mut take = |p: Packet| {
                assert_eq!(r.on_packet(Instant(7), &POLICY, &p), Arrival::New);
                let due = r.is_due(Instant(7));
                assert!(r.is_due(Instant(1007)));
                r.told();
                due
            };
            assert!(!take(packet(0)), "the first one");
            assert!(take(packet(2)), "a gap");
            let p = match news {
                0 => packet(4),
                1 => packet(1),
                2 => Packet {
                    mark: Mark::Ce,
                    ..packet(3)
                },
                3 => Packet {
                    at_once: true,
                    ..packet(3)
                },
                _ => Packet {
                    mark: Mark::Ect0,
                    ..packet(3)
                },
            };
            assert_eq!(take(p), news != 4, "{news}");
            let ecn = r.ack(Instant(7)).unwrap().ecn;
            let counts = ecn.map(|ecn| (ecn.ect0, ecn.ect1, ecn.ce));
            let expected = [None, None, Some((0, 0, 1)), None, Some((1, 0, 0))];
            assert_eq!(counts, expected[news]);
        }
    }

    #[test]
    fn what_asks_for_nothing_gets_nothing() {
        let mut r = Arrivals::default();
        r.on_packet(Instant(0), &POLICY, &packet(0));
        r.told();
        let p = Packet {
            wanted: false,
            mark: Mark::Ect1,
            ..packet(7)
        };
        assert_eq!(r.on_packet(Instant(0), &POLICY, &p), Arrival::New);
        assert_eq!(r.on_packet(Instant(0), &POLICY, &p), Arrival::Duplicate);
        assert!(!r.is_pending());
        let ack = r.ack(Instant(0)).unwrap();
        assert_eq!((ack.largest, ack.holes.0 != 0), (7, true));
        assert_eq!(ack.ecn.unwrap().ect1, 1);
    }

    /// A sender may leave numbers out, to see who acknowledges what was never sent.
    #[test]
    fn numbers_that_are_left_out_do_no_harm() {
        let mut r = Arrivals::default();
        for number in (0..1000)
            .map(|n| n * 3)
            .chain([1 << 40, u64::MAX - 1, u64::MAX])
        {
            assert_eq!(r.look(number), Arrival::New);
            r.insert(Instant(0), number);
            let ack = r.ack(Instant(0)).unwrap();
            assert!(ack.covers(number) && !ack.covers(number.wrapping_sub(2)));
        }
        assert_eq!(r.look(1), Arrival::Old);
    }
}
