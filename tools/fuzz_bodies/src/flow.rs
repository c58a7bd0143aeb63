// SPDX-License-Identifier: GPL-2.0

//! The sender of a datagram lane, its receiver, and a peer that may lie.

use crate::bytes::Choices;
use rds_proto::native::arrivals::{AckPolicy, Arrival, Arrivals, Mark, Packet};
use rds_proto::native::cc::{Config, Controller, Kind};
use rds_proto::native::flow::{Flow, Outcome, Permit, Sent};
use rds_proto::native::wire::{Ack, Ecn, Holes};
use rds_proto::time::Instant;
use std::collections::{BTreeMap, VecDeque};

const MSS: u32 = 1000;
const POLICY: AckPolicy = AckPolicy {
    every: 16,
    delay_ns: 25_000,
};

/// A flow and the truth about it.
struct Lane {
    flow: Flow<u64, Vec<Option<Sent<u64>>>>,
    /// Tokens that have not come back, with the number of their packets.
    out: BTreeMap<u64, u64>,
    now: u64,
}

impl Lane {
    /// Takes in what has become of a packet.
    fn settle(out: &mut BTreeMap<u64, u64>, outcome: Outcome<u64>) {
        let (Outcome::Acked(token) | Outcome::Lost(token)) = outcome;
        assert!(out.remove(&token).is_some(), "a token came back twice");
    }

    fn check(&self) {
        let expected = self.out.len() as u32 * MSS;
        assert_eq!(self.flow.inflight(), expected, "bytes in flight");
        let c = self.flow.controller();
        assert!(c.cwnd() >= MSS, "the window lets a packet out");
        assert!(c.quantum() >= 2 * MSS && c.pacing_rate().0 > 0);
        assert!(self.flow.next_timeout().is_some() || self.out.is_empty());
        if let Some(bbr) = c.bbr() {
            assert!(bbr.bw() <= bbr.max_bw() && bbr.inflight_with_headroom() >= 4 * MSS);
        }
    }

    /// Sends up to `most` packets into `line`.
    fn send(&mut self, most: u8, line: &mut VecDeque<u64>) {
        for _ in 0..most {
            let at = Instant(self.now);
            match self.flow.permit(at, MSS) {
                Permit::Now => {}
                Permit::At(at) => {
                    assert!(at.0 > self.now, "a wait that has not begun");
                    self.now = self.now.max(at.0.min(self.now + 100_000_000));
                    continue;
                }
                Permit::Window => {
                    assert!(self.flow.inflight() > 0, "nothing would ever wake it");
                    return;
                }
                Permit::Memory => {
                    let slots = (0..2 * self.flow.capacity()).map(|_| None).collect();
                    assert!(self.flow.grow(slots).is_ok());
                    continue;
                }
            }
            let number = self.flow.next_number();
            let at_once = self.flow.asks_at_once(MSS);
            let sent = self.flow.on_sent(at, MSS, at_once, Some(number));
            assert_eq!(sent, Ok(number));
            self.out.insert(number, number);
            line.push_back(number);
        }
    }

    fn ack(&mut self, ack: &Ack) {
        let next = self.flow.next_number();
        let out = &mut self.out;
        let taken = self
            .flow
            .on_ack(Instant(self.now), ack, |o| Self::settle(out, o));
        assert_eq!(taken.is_ok(), ack.largest < next, "only what was sent");
    }

    fn timeout(&mut self) {
        if let Some(at) = self.flow.next_timeout() {
            self.now = self.now.max(at.0);
            let out = &mut self.out;
            self.flow
                .on_timeout(Instant(self.now), |o| Self::settle(out, o));
        }
    }
}

/// Calls of a lane's sender, packets to its receiver in any order, acknowledgements true and forged.
pub fn native_flow(input: &[u8]) {
    let mut c = Choices::new(input);
    let kind = [Kind::Bbr, Kind::Cubic, Kind::Reno][usize::from(c.byte()) % 3];
    let mut config = Config::new(MSS, u32::from(c.word()));
    config.tolerant = c.byte() & 1 == 0;
    let slots = (0..4).map(|_| None).collect();
    let mut lane = Lane {
        flow: Flow::new(kind, &config, 1_000_000, 25_000, slots, Instant(0)),
        out: BTreeMap::new(),
        now: 0,
    };
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
            6 => lane.timeout(),
            7 => {
                let next = lane.flow.next_number();
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
                let number = lane.flow.next_number();
                let sent = lane.flow.on_sent(Instant(lane.now), 40, false, None);
                assert_eq!(sent, Ok(number));
                if c.byte() & 3 == 0 {
                    lane.flow.on_nothing_to_send();
                } else if c.byte() == 0 {
                    let out = &mut lane.out;
                    lane.flow
                        .abandon(|token| assert!(out.remove(&token).is_some()));
                    assert!(out.is_empty(), "all tokens came back");
                } else {
                    // Lost on the line.
                    line.pop_front();
                }
            }
        }
        lane.check();
    }
}
