// SPDX-License-Identifier: GPL-2.0

//! The flows, the link between their ends, and what happens next.

use crate::events::Events;
use crate::link::{Fate, Link, LinkConfig, Packet};
use crate::peer::{FlowConfig, Receiver, Sender, Source};
use crate::random::Random;
use crate::SECOND;
use rds_proto::native::cc::bbr::Bbr;
use rds_proto::native::cc::units::Rate;
use rds_proto::native::cc::Controller;
use rds_proto::native::lane::{Datagram, Lane};
use rds_proto::native::wire::Ack;

/// Bytes delivered are noted this often, in nanoseconds.
const TICK: u64 = 10_000_000;

/// What happens.
#[derive(Debug)]
enum Event {
    /// A sender may have something to do.
    Wake(usize),
    /// A receiver may have something to acknowledge.
    Remind(usize),
    /// The line has sent the packet at the head of the queue.
    Departed,
    /// A packet arrives at the receiver.
    Arrived(Packet),
    /// An acknowledgement arrives at the sender.
    Acked(usize, Ack),
    /// Bytes delivered are noted.
    Tick,
}

/// What a flow looks like at some moment.
#[derive(Clone, Copy, Debug)]
pub struct Point {
    /// When, in nanoseconds.
    pub now: u64,
    /// Bytes delivered so far.
    pub delivered: u64,
    /// Bytes in flight.
    pub inflight: u32,
    /// The window.
    pub cwnd: u32,
    /// The rate.
    pub pacing_rate: Rate,
    /// The latest round trip, in nanoseconds.
    pub rtt: u64,
    /// Bytes in the link's queue.
    pub queued: u64,
}

/// See the [crate](crate).
pub struct World {
    now: u64,
    events: Events<Event>,
    random: Random,
    link: Link,
    senders: Vec<Sender>,
    receivers: Vec<Receiver>,
    /// Bytes delivered at each tick, by flow.
    ticks: Vec<Vec<u64>>,
}

impl World {
    /// A link without flows, on which `seed` decides all chance.
    pub fn new(seed: u64, link: &LinkConfig) -> Self {
        let mut world = Self {
            now: 0,
            events: Events::new(),
            random: Random::new(seed),
            link: Link::new(link),
            senders: Vec::new(),
            receivers: Vec::new(),
            ticks: Vec::new(),
        };
        world.events.add(TICK, Event::Tick);
        world
    }

    /// Adds a flow; its index.
    pub fn add(&mut self, config: FlowConfig) -> usize {
        let flow = self.senders.len();
        let seed = self.random.draw() as u32;
        self.senders.push(Sender::new(&config, seed));
        self.receivers.push(Receiver::new(config.policy));
        self.ticks.push(vec![0; (self.now / TICK) as usize + 1]);
        self.wake(flow, config.start.max(self.now));
        flow
    }

    /// Now, in nanoseconds.
    pub const fn now(&self) -> u64 {
        self.now
    }

    /// The link as it is set up; it may be changed at any time.
    pub fn link(&mut self) -> &mut LinkConfig {
        &mut self.link.config
    }

    /// Bytes in the link's queue, and packets that it dropped.
    pub const fn queue(&self) -> (u64, u64) {
        (self.link.queued(), self.link.dropped())
    }

    /// The longest queue since this was asked last, in bytes.
    pub fn take_largest_queue(&mut self) -> u64 {
        self.link.take_largest_queue()
    }

    /// The sending half of a flow.
    pub fn lane(&self, flow: usize) -> &Lane<Datagram> {
        self.senders[flow].lane()
    }

    /// How much a flow may send, and when.
    pub fn datagram(&self, flow: usize) -> &Datagram {
        self.senders[flow].datagram()
    }

    /// BBR of a flow that has it.
    pub fn bbr(&self, flow: usize) -> &Bbr {
        let bbr = self.datagram(flow).controller().bbr();
        bbr.expect("the flow has another controller")
    }

    /// Packets sent, deemed lost, and timeouts of a flow.
    pub fn counts(&self, flow: usize) -> (u64, u64, u64) {
        let s = &self.senders[flow];
        (s.sent, s.lost, s.timeouts)
    }

    /// Whether all that a flow has sent has arrived.
    pub fn is_complete(&self, flow: usize) -> bool {
        let s = &self.senders[flow];
        self.receivers[flow].delivered == s.chunks() * u64::from(s.config.mss)
    }

    /// Changes where a flow's data comes from.
    pub fn set_source(&mut self, flow: usize, source: Source) {
        self.senders[flow].set_source(self.now, source);
        self.wake(flow, self.now);
    }

    /// What a flow looks like now.
    pub fn point(&self, flow: usize) -> Point {
        let f = self.datagram(flow);
        Point {
            now: self.now,
            delivered: self.receivers[flow].delivered,
            inflight: f.delivery().inflight(),
            cwnd: f.controller().cwnd(),
            pacing_rate: f.controller().pacing_rate(),
            rtt: self.lane(flow).detector().rtt.latest(),
            queued: self.link.queued(),
        }
    }

    /// Bytes a second that a flow delivered for the first time between `from` and `to`.
    ///
    /// Both are rounded to the hundredth of a second.
    pub fn goodput(&self, flow: usize, from: u64, to: u64) -> u64 {
        let ticks = &self.ticks[flow];
        let at = |ns: u64| ticks[((ns / TICK) as usize).min(ticks.len() - 1)];
        let bytes = u128::from(at(to) - at(from));
        (bytes * u128::from(SECOND) / u128::from(to - from)) as u64
    }

    /// Wakes a sender at `when`, unless it is woken before.
    fn wake(&mut self, flow: usize, when: u64) {
        if when < self.senders[flow].wake {
            self.senders[flow].wake = when;
            self.events.add(when, Event::Wake(flow));
        }
    }

    fn poll(&mut self, flow: usize) {
        let mut packets = Vec::new();
        let next = self.senders[flow].poll(self.now, |packet| packets.push(packet));
        for packet in packets {
            if self.link.enqueue(self.now, Packet { flow, ..packet }) {
                self.start_line();
            }
        }
        if next < u64::MAX {
            self.wake(flow, next.max(self.now));
        }
    }

    fn start_line(&mut self) {
        if let Some(ns) = self.link.serialization() {
            self.events.add(self.now + ns, Event::Departed);
        }
    }

    fn acknowledge(&mut self, flow: usize, ack: Option<Ack>) {
        if let Some(ack) = ack {
            if let Some(at) = self.link.ack_arrives(self.now, &mut self.random) {
                self.events.add(at, Event::Acked(flow, ack));
            }
        }
        let wake = self.receivers[flow].wake;
        if wake < u64::MAX {
            self.events.add(wake, Event::Remind(flow));
        }
    }

    /// Lets the next thing happen; false if there is none before `limit`.
    pub fn step(&mut self, limit: u64) -> bool {
        let Some((now, event)) = self.events.next(limit) else {
            self.now = self.now.max(limit);
            return false;
        };
        self.now = now;
        match event {
            Event::Wake(flow) => {
                // One that was replaced by an earlier one does no harm.
                if self.senders[flow].wake <= now {
                    self.senders[flow].wake = u64::MAX;
                    self.poll(flow);
                }
            }
            Event::Remind(flow) => {
                if self.receivers[flow].wake == now {
                    let ack = self.receivers[flow].poll(now);
                    self.acknowledge(flow, ack);
                }
            }
            Event::Departed => {
                if let Some(packet) = self.link.dequeue() {
                    if let Fate::Arrives { after, twice } = self.link.fate(&mut self.random) {
                        self.events.add(now + after, Event::Arrived(packet));
                        if twice {
                            self.events.add(now + after, Event::Arrived(packet));
                        }
                    }
                }
                self.start_line();
            }
            Event::Arrived(packet) => {
                let ack = self.receivers[packet.flow].on_packet(now, &packet);
                self.acknowledge(packet.flow, ack);
            }
            Event::Acked(flow, ack) => {
                self.senders[flow].on_ack(now, &ack);
                self.poll(flow);
            }
            Event::Tick => {
                for (ticks, receiver) in self.ticks.iter_mut().zip(&self.receivers) {
                    ticks.push(receiver.delivered);
                }
                self.events.add(now + TICK, Event::Tick);
            }
        }
        true
    }

    /// Lets time pass until `end`.
    pub fn run_until(&mut self, end: u64) {
        while self.step(end) {}
    }

    /// Lets things happen until `done` holds, looked at after each of them; whether it held before
    /// `limit`.
    pub fn run_while(&mut self, limit: u64, mut goes_on: impl FnMut(&Self) -> bool) -> bool {
        while goes_on(self) {
            if !self.step(limit) {
                return false;
            }
        }
        true
    }
}
