// SPDX-License-Identifier: GPL-2.0

//! The two ends of a flow: the engine's sender with a source of data, and the engine's receiver.

use crate::link::Packet;
use crate::MS;
use rds_proto::native::arrivals::{self, AckPolicy, Arrival, Arrivals, Mark};
use rds_proto::native::cc::{Config, Kind};
use rds_proto::native::lane::{self, Datagram, Departure, Lane, Role, Sent};
use rds_proto::native::loss::Timeout;
use rds_proto::native::slab::{Linked, List, Slab, NONE};
use rds_proto::native::wire::Ack;
use rds_proto::time::Instant;
use std::collections::VecDeque;

/// Where the data comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// There is always more.
    Bulk,
    /// So many bytes a second.
    Rate(u64),
    /// Nothing.
    Paused,
}

/// A flow as it is set up.
#[derive(Clone, Copy, Debug)]
pub struct FlowConfig {
    /// Controller.
    pub kind: Kind,
    /// Size of all packets, in bytes.
    pub mss: u32,
    /// When it starts, in nanoseconds.
    pub start: u64,
    /// Where its data comes from.
    pub source: Source,
    /// Whether BBR tells random loss from congestion.
    pub tolerant: bool,
    /// When its receiver acknowledges.
    pub policy: AckPolicy,
}

impl FlowConfig {
    /// A bulk flow from the beginning.
    pub const fn new(kind: Kind, mss: u32) -> Self {
        Self {
            kind,
            mss,
            start: 0,
            source: Source::Bulk,
            tolerant: true,
            policy: AckPolicy {
                every: 16,
                delay_ns: 1_000_000,
            },
        }
    }

    /// The same flow, started at `ns`.
    #[must_use]
    pub const fn starting(mut self, ns: u64) -> Self {
        self.start = ns;
        self
    }

    /// The same flow with the draft's answer to random loss.
    #[must_use]
    pub const fn by_the_draft(mut self) -> Self {
        self.tolerant = false;
        self
    }
}

/// A packet that is under way: what the engine knows of it, and the chunk that it carries.
#[derive(Debug)]
struct Parcel {
    sent: Sent,
    chunk: u64,
    next: u32,
}

impl Default for Parcel {
    fn default() -> Self {
        Self {
            sent: Sent::default(),
            chunk: PROBE,
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

/// The chunk of a packet that only asks for an acknowledgement.
const PROBE: u64 = u64::MAX;

/// The sender's end.
pub(crate) struct Sender {
    lane: Lane<Datagram>,
    /// Packets under way.
    parcels: Slab<Parcel, Vec<Parcel>>,
    pub(crate) config: FlowConfig,
    /// Chunks that were lost and have to be sent again.
    again: VecDeque<u64>,
    next_chunk: u64,
    /// Bytes that a source of a rate has yielded, less what was sent; and until when.
    credit: u128,
    credit_at: u64,
    /// When it is woken.
    pub(crate) wake: u64,
    pub(crate) lost: u64,
    pub(crate) timeouts: u64,
    pub(crate) sent: u64,
}

impl Sender {
    pub(crate) fn new(config: &FlowConfig, seed: u32) -> Self {
        let mut cc = Config::new(config.mss, seed);
        cc.tolerant = config.tolerant;
        let datagram = Datagram::new(config.kind, &cc, Instant(config.start));
        let mut lane = Lane::new(datagram, Role::Any, config.mss, u16::MAX, 10 * MS);
        lane.set_ack_delay(config.policy.delay_ns as u32);
        Self {
            lane,
            parcels: Slab::new(Vec::new()),
            config: *config,
            again: VecDeque::new(),
            next_chunk: 0,
            credit: 0,
            credit_at: config.start,
            wake: u64::MAX,
            lost: 0,
            timeouts: 0,
            sent: 0,
        }
    }

    /// Changes where the data comes from.
    pub(crate) fn set_source(&mut self, now: u64, source: Source) {
        self.config.source = source;
        self.credit = 0;
        self.credit_at = now;
    }

    /// Whether there is something to send; if not, when there will be.
    fn has_data(&mut self, now: u64) -> Result<(), u64> {
        if !self.again.is_empty() {
            return Ok(());
        }
        match self.config.source {
            Source::Bulk => Ok(()),
            Source::Paused => Err(u64::MAX),
            Source::Rate(rate) => {
                let rate = u128::from(rate);
                self.credit += rate * u128::from(now - self.credit_at);
                self.credit_at = now;
                let need = u128::from(self.config.mss) * 1_000_000_000;
                if self.credit >= need {
                    return Ok(());
                }
                Err(now + (need - self.credit).div_ceil(rate.max(1)) as u64)
            }
        }
    }

    /// The lane.
    pub(crate) const fn lane(&self) -> &Lane<Datagram> {
        &self.lane
    }

    /// How much it may send, and when.
    pub(crate) fn datagram(&self) -> &Datagram {
        self.lane.datagram().expect("it is a datagram lane")
    }

    /// Takes packets that are lost: their chunks are sent again.
    fn take_lost(&mut self, mut lost: List) {
        while let Some(at) = lost.pop_front(&mut self.parcels) {
            let chunk = self.parcels.get(at).map_or(PROBE, |parcel| parcel.chunk);
            self.parcels.release(at);
            self.lost += 1;
            if chunk != PROBE {
                self.again.push_back(chunk);
            }
        }
    }

    /// A slot for a packet.
    fn slot(&mut self) -> u32 {
        if !self.parcels.has_room() {
            let count = self.parcels.wanted().max(256);
            let more = (0..count).map(|_| Parcel::default()).collect();
            assert!(
                self.parcels.grow(more).is_ok(),
                "there are more than before"
            );
        }
        self.parcels.take().expect("there is room")
    }

    /// Sends what may be sent; when to be called again.
    pub(crate) fn poll(&mut self, now: u64, mut out: impl FnMut(Packet)) -> u64 {
        let at = Instant(now);
        let (timeout, lost) = self.lane.on_timeout(&mut self.parcels, at);
        self.take_lost(lost);
        if matches!(timeout, Timeout::Probe { .. }) {
            self.timeouts += 1;
            // A probe is sent even if there is nothing to send.
            if self.again.is_empty() && self.has_data(now).is_err() {
                self.again.push_back(PROBE);
            }
        }
        let mss = self.config.mss;
        let mut wake = loop {
            if let Err(next) = self.has_data(now) {
                self.lane.on_nothing_to_send();
                break next;
            }
            match self.lane.departure(at, mss) {
                Departure::Now => {}
                Departure::At(next) => break next.0,
                Departure::Blocked => break u64::MAX,
            }
            let chunk = self.again.pop_front().unwrap_or_else(|| {
                if matches!(self.config.source, Source::Rate(_)) {
                    self.credit -= u128::from(mss) * 1_000_000_000;
                }
                self.next_chunk += 1;
                self.next_chunk - 1
            });
            let at_once = self.lane.asks_at_once(mss) || self.has_data(now).is_err();
            let slot = self.slot();
            if let Some(parcel) = self.parcels.get_mut(slot) {
                parcel.chunk = chunk;
            }
            let number = self.lane.on_sent(&mut self.parcels, slot, at, mss, at_once);
            self.sent += 1;
            out(Packet {
                flow: 0,
                number,
                chunk,
                size: mss,
                at_once,
                marked: false,
            });
        };
        if self.lane.in_flight() != 0 {
            wake = wake.min(self.lane.next_timeout().0);
        }
        wake
    }

    /// Chunks that were sent at least once.
    pub(crate) const fn chunks(&self) -> u64 {
        self.next_chunk
    }

    pub(crate) fn on_ack(&mut self, now: u64, ack: &Ack) {
        let told = self.lane.on_ack(&mut self.parcels, Instant(now), ack);
        let mut told = told.expect("the receiver is honest");
        while let Some(at) = told.acked.pop_front(&mut self.parcels) {
            self.parcels.release(at);
        }
        self.take_lost(told.lost);
    }
}

/// The receiver's end.
pub(crate) struct Receiver {
    received: Arrivals,
    policy: AckPolicy,
    chunks: Vec<u64>,
    /// Bytes that came for the first time.
    pub(crate) delivered: u64,
    pub(crate) wake: u64,
}

impl Receiver {
    pub(crate) fn new(policy: AckPolicy) -> Self {
        Self {
            received: Arrivals::default(),
            policy,
            chunks: Vec::new(),
            delivered: 0,
            wake: u64::MAX,
        }
    }

    /// Whether a chunk has not come before.
    fn is_new(&mut self, chunk: u64) -> bool {
        if chunk == PROBE {
            return false;
        }
        let (word, bit) = ((chunk / 64) as usize, chunk % 64);
        if word >= self.chunks.len() {
            self.chunks.resize(word + 64, 0);
        }
        let new = (self.chunks[word] >> bit) & 1 == 0;
        self.chunks[word] |= 1 << bit;
        new
    }

    pub(crate) fn on_packet(&mut self, now: u64, packet: &Packet) -> Option<Ack> {
        let arrived = arrivals::Packet {
            number: packet.number,
            wanted: true,
            at_once: packet.at_once,
            mark: if packet.marked { Mark::Ce } else { Mark::Ect0 },
        };
        let arrival = self
            .received
            .on_packet(Instant(now), &self.policy, &arrived);
        if arrival == Arrival::New && self.is_new(packet.chunk) {
            self.delivered += u64::from(packet.size);
        }
        self.poll(now)
    }

    /// The acknowledgement to send now, if one is due.
    pub(crate) fn poll(&mut self, now: u64) -> Option<Ack> {
        let at = Instant(now);
        let mut ack = None;
        if self.received.is_due(at) {
            ack = self.received.ack(at);
            self.received.told();
        }
        self.wake = self.received.due().map_or(u64::MAX, |t| t.0);
        ack
    }
}
