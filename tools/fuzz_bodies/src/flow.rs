// SPDX-License-Identifier: GPL-2.0

//! The sender of a datagram lane, its receiver, and a peer that may lie.

use crate::bytes::Choices;
use rds_proto::native::arrivals::{AckPolicy, Arrival, Arrivals, Mark, Packet};
use rds_proto::native::cc::{Config, Controller, Kind};
use rds_proto::native::lane::{self, Datagram, Departure, Lane, Role, Sent};
use rds_proto::native::slab::{Linked, List, Slab, NONE};
use rds_proto::native::wire::{Ack, Ecn, Holes};
use rds_proto::time::Instant;
use std::collections::{BTreeSet, VecDeque};

const MSS: u32 = 1000;
const POLICY: AckPolicy = AckPolicy {
    every: 16,
    delay_ns: 25_000,
};

/// A packet, which knows its number.
struct Parcel {
    sent: Sent,
    number: u64,
    next: u32,
}

impl Default for Parcel {
    fn default() -> Self {
        Self {
            sent: Sent::default(),
            number: 0,
            next: NONE,
        }
    }
}

impl Linked for Parcel {
    fn next(&self) -> u32 {
        self.next
    }

    fn set_next(&mut self, next: u32) {
        self.next = next;
    }
}

impl lane::Packet for Parcel {
    fn sent(&self) -> &Sent {
        &self.sent
    }

    fn sent_mut(&mut self) -> &mut Sent {
        &mut self.sent
    }
}

/// A lane and the truth about it.
struct Sender {
    lane: Lane<Datagram>,
    slab: Slab<Parcel, Vec<Parcel>>,
    /// Numbers of packets that have not come back.
    out: BTreeSet<u64>,
    now: u64,
}

impl Sender {
    /// Takes packets in whose fate is settled.
    fn settle(&mut self, mut list: List) {
        while let Some(at) = list.pop_front(&mut self.slab) {
            let number = self.slab.get(at).expect("it is there").number;
            assert!(self.out.remove(&number), "a packet came back twice");
            self.slab.release(at);
        }
    }

    fn check(&self) {
        let datagram = self.lane.datagram().expect("it is one");
        let expected = self.out.len() as u32 * MSS;
        assert_eq!(datagram.delivery().inflight(), expected, "bytes in flight");
        assert_eq!(usize::from(self.lane.in_flight()), self.out.len());
        let remembered = self.slab.used() as usize - self.out.len();
        assert!(
            remembered <= 131,
            "{remembered} lost packets are remembered"
        );
        let c = datagram.controller();
        assert!(c.cwnd() >= MSS, "the window lets a packet out");
        assert!(c.quantum() >= 2 * MSS && c.pacing_rate().0 > 0);
        if let Some(bbr) = c.bbr() {
            assert!(bbr.bw() <= bbr.max_bw() && bbr.inflight_with_headroom() >= 4 * MSS);
        }
    }

    /// Sends up to `most` packets into `line`.
    fn send(&mut self, most: u8, line: &mut VecDeque<u64>) {
        for _ in 0..most {
            let at = Instant(self.now);
            match self.lane.departure(at, MSS) {
                Departure::Now => {}
                Departure::At(at) => {
                    assert!(at.0 > self.now, "a wait that has not begun");
                    assert_eq!(self.lane.leaves(), at);
                    self.now = self.now.max(at.0.min(self.now + 100_000_000));
                    continue;
                }
                Departure::Blocked => {
                    assert!(self.lane.in_flight() > 0, "nothing would ever wake it");
                    return;
                }
            }
            if !self.slab.has_room() {
                let more = (0..self.slab.wanted()).map(|_| Parcel::default()).collect();
                assert!(self.slab.grow(more).is_ok());
            }
            let slot = self.slab.take().expect("there is room");
            let at_once = self.lane.asks_at_once(MSS);
            let number = self.lane.on_sent(&mut self.slab, slot, at, MSS, at_once);
            self.slab.get_mut(slot).expect("it is there").number = number;
            self.out.insert(number);
            line.push_back(number);
        }
    }

    fn ack(&mut self, ack: &Ack) {
        let next = self.lane.next_number();
        let told = self.lane.on_ack(&mut self.slab, Instant(self.now), ack);
        assert_eq!(told.is_ok(), ack.largest < next, "only what was sent");
        if let Ok(told) = told {
            self.settle(told.acked);
            self.settle(told.lost);
        }
    }

    fn timeout(&mut self, oldest: bool) {
        if self.lane.in_flight() == 0 {
            return;
        }
        self.now = self.now.max(self.lane.next_timeout().0);
        let (_, lost) = self.lane.on_timeout(&mut self.slab, Instant(self.now));
        self.settle(lost);
        if oldest {
            let lost = self.lane.lose_oldest(&mut self.slab, Instant(self.now));
            let number = lost.map(|at| self.slab.get(at).expect("it is there").number);
            assert_eq!(number, self.out.pop_first());
            if let Some(at) = lost {
                self.slab.release(at);
            }
        }
    }
}

/// Calls of a lane's sender, packets to its receiver in any order, acknowledgements true and forged.
pub fn native_flow(input: &[u8]) {
    let mut c = Choices::new(input);
    let kind = [Kind::Bbr, Kind::Cubic, Kind::Reno][usize::from(c.byte()) % 3];
    let mut config = Config::new(MSS, u32::from(c.word()));
    config.tolerant = c.byte() & 1 == 0;
    let datagram = Datagram::new(kind, &config, Instant(0));
    let mut lane = Sender {
        lane: Lane::new(datagram, Role::Any, MSS, u16::MAX, 1_000_000),
        slab: Slab::new(Vec::new()),
        out: BTreeSet::new(),
        now: 0,
    };
    lane.lane.set_ack_delay(25_000);
    let mut received = Arrivals::default();
    let mut line = VecDeque::new();
    while !c.is_empty() {
        match c.byte() % 9 {
            0 | 1 => lane.send(c.byte(), &mut line),
            2 => lane.now += u64::from(c.word()) * 10_000,
            3 | 4 => {
                // Some packets arrive, the first of them from anywhere on the line.
                let (most, flags) = (c.byte(), c.byte());
                for _ in 0..most {
                    let at = usize::from(c.byte()) % line.len().max(1);
                    let Some(number) = line.remove(at) else { break };
                    let packet = Packet {
                        number,
                        wanted: true,
                        at_once: flags & 1 != 0,
                        mark: [Mark::NotEct, Mark::Ce][usize::from((flags >> 1) & 1)],
                    };
                    let now = Instant(lane.now);
                    let arrival = received.on_packet(now, &POLICY, &packet);
                    assert_ne!(arrival, Arrival::Duplicate, "each number is sent once");
                    if flags & 4 != 0 && arrival == Arrival::New {
                        let again = received.on_packet(now, &POLICY, &packet);
                        assert_eq!(again, Arrival::Duplicate);
                    }
                }
            }
            5 => {
                if let Some(ack) = received.ack(Instant(lane.now)) {
                    received.told();
                    lane.ack(&ack);
                }
            }
            6 => lane.timeout(c.byte() & 3 == 0),
            7 => {
                let next = lane.lane.next_number();
                let largest = (next + u64::from(c.byte())).wrapping_sub(64);
                let words = [u64::from(c.word()) << 7, u64::from(c.word())];
                let holes = (u128::from(words[1]) << 64) | u128::from(words[0]);
                let ecn = Ecn {
                    ce: u32::from(c.word()),
                    ..Ecn::default()
                };
                lane.ack(&Ack {
                    largest,
                    run: u32::from(c.byte()) << (c.byte() & 8),
                    delay: u32::from(c.word()) << 6,
                    holes: Holes(holes),
                    ecn: (c.byte() & 1 == 0).then_some(ecn),
                    ..Ack::default()
                });
            }
            _ => {
                // What asks for nothing takes no memory.
                let number = lane.lane.next_number();
                assert_eq!(lane.lane.skip(), number);
                if c.byte() & 3 == 0 {
                    lane.lane.on_nothing_to_send();
                } else if c.byte() == 0 {
                    let given_up = lane.lane.abandon(&mut lane.slab);
                    lane.settle(given_up);
                    assert!(lane.out.is_empty(), "all packets came back");
                    assert_eq!(lane.slab.used(), 0);
                } else {
                    // Lost on the line.
                    line.pop_front();
                }
            }
        }
        lane.check();
    }
}
