// SPDX-License-Identifier: GPL-2.0

//! One end of a session: the engine's, with sockets that check what they receive.

use rds_proto::native::cc::{Config, Kind};
use rds_proto::native::inbox::{unit_words, Info, Slot, Upper};
use rds_proto::native::lane::{Datagram, Lane, Role};
use rds_proto::native::outbox::{Entry, Flow, Outbox, Record};
use rds_proto::native::session::{Session, Settings, Sink, Types, Way};
use rds_proto::native::wire::MapUpdate;
use rds_proto::send::Payload;
use rds_proto::time::Instant;
use std::num::NonZeroU32;

/// A lane as it is set up.
#[derive(Clone, Copy, Debug)]
pub struct LaneConfig {
    /// The path that it takes.
    pub path: usize,
    /// What travels on it.
    pub role: Role,
    /// The controller, if datagrams carry it.
    pub controller: Option<Kind>,
    /// Longest packet, in bytes.
    pub max_packet: u32,
    /// Packets in the send queue.
    pub limit: u16,
}

impl LaneConfig {
    /// A lane of datagrams.
    pub const fn datagram(path: usize, role: Role, kind: Kind, mtu: u32) -> Self {
        Self {
            path,
            role,
            controller: Some(kind),
            max_packet: mtu,
            limit: u16::MAX,
        }
    }

    /// A reliable lane with `limit` packets in its queue.
    pub const fn reliable(path: usize, role: Role, limit: u16) -> Self {
        Self {
            path,
            role,
            controller: None,
            max_packet: 64 << 10,
            limit,
        }
    }

    fn lane(&self, rtt_ns: u64, seed: u32, now: u64) -> Lane<Option<Datagram>> {
        let datagram = self.controller.map(|kind| {
            let config = Config::new(self.max_packet, seed);
            Datagram::new(kind, &config, Instant(now))
        });
        Lane::new(datagram, self.role, self.max_packet, self.limit, rtt_ns)
    }
}

/// A message: its place among those of its port, and its length.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Message {
    pub(crate) port: u16,
    pub(crate) place: u32,
    pub(crate) len: u32,
}

impl Payload for Message {
    fn len(&self) -> u32 {
        self.len
    }

    fn sport(&self) -> u16 {
        self.port
    }

    fn dport(&self) -> u16 {
        self.port
    }
}

/// Where messages go.
#[derive(Debug, Default)]
pub(crate) struct Sockets {
    /// Port, place and length of what was handed up.
    pub(crate) came: Vec<(u16, u32, u32)>,
    /// Bytes of messages that are incomplete or wait.
    pub(crate) held: u64,
}

impl Upper for Sockets {
    type Stored = (Vec<u8>, Vec<u64>);
    type Slots = Vec<Option<Slot<Self::Stored>>>;
    type Bits = Vec<u64>;

    fn deliver(&mut self, info: &Info, data: &[u8]) -> bool {
        let place = data[..4].try_into().expect("no message is shorter");
        self.came
            .push((info.dport, u32::from_be_bytes(place), info.len));
        true
    }

    fn store(&mut self, info: &Info) -> Option<Self::Stored> {
        self.held += u64::from(info.len);
        Some((vec![0; info.len as usize], vec![0; unit_words(info.len)]))
    }

    fn put(&mut self, stored: &mut Self::Stored, offset: u32, data: &[u8]) {
        stored.0[offset as usize..][..data.len()].copy_from_slice(data);
    }

    fn words<'a>(&self, stored: &'a mut Self::Stored) -> &'a mut [u64] {
        &mut stored.1
    }

    fn deliver_stored(&mut self, info: &Info, stored: Self::Stored) {
        self.held -= u64::from(info.len);
        self.deliver(info, &stored.0);
    }

    fn map(&mut self, _update: &MapUpdate<'_>, _clear: u16) {}

    fn slots(&mut self, count: usize) -> Option<Self::Slots> {
        Some((0..count).map(|_| None).collect())
    }

    fn bits(&mut self, count: usize) -> Option<Self::Bits> {
        Some(vec![0; count])
    }
}

/// The types of a session.
pub(crate) enum Kinds {}

impl Types for Kinds {
    type Medium = Option<Datagram>;
    type Message = Message;
    type Entries = Vec<Entry<Message>>;
    type Records = Vec<Record>;
    type Flows = Vec<Flow>;
    type Lanes = Vec<Option<Way<Option<Datagram>>>>;
    type Upper = Sockets;
}

/// A packet that is being built.
#[derive(Default)]
pub(crate) struct Bytes(pub(crate) Vec<u8>);

impl Sink<Message> for Bytes {
    fn bytes(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }

    fn data(&mut self, message: &Message, offset: u32, len: u32) {
        let place = message.place.to_be_bytes();
        let at = self.0.len();
        self.0.resize(at + len as usize, 0);
        // The first bytes are the place, the others nobody looks at.
        for (byte, to) in (offset..4).zip(&mut self.0[at..]) {
            *to = place[byte as usize];
        }
    }
}

/// One end of a session.
pub(crate) struct End {
    pub(crate) session: Session<Kinds>,
    pub(crate) sockets: Sockets,
    /// When it is woken.
    pub(crate) wake: u64,
    /// Places of the next messages to send and to receive, by port.
    sent: Vec<u32>,
    expected: Vec<u32>,
}

impl End {
    pub(crate) fn new(
        number: u32,
        small: u32,
        flows: usize,
        settings: Settings,
        lanes: &[LaneConfig],
    ) -> Self {
        let flows = vec![Flow::default(); flows];
        let outbox = Outbox::new(Vec::new(), Vec::new(), flows, small, 0);
        let incarnation = NonZeroU32::MIN.saturating_add(number);
        let ways = lanes.iter().map(|_| None).collect();
        let mut end = Self {
            session: Session::new(number, incarnation, settings, outbox, ways),
            sockets: Sockets::default(),
            wake: u64::MAX,
            sent: Vec::new(),
            expected: Vec::new(),
        };
        for (at, lane) in (0..).zip(lanes) {
            let made = lane.lane(10_000_000, number ^ u32::from(at), 0);
            assert!(end.session.lane_up(at, made).is_ok());
        }
        end
    }

    /// Queues a message.
    pub(crate) fn send(&mut self, port: u16, len: u32) -> u32 {
        let place = place(&mut self.sent, port);
        let mut message = Message { port, place, len };
        while let Err(back) = self.session.outbox().queue(message) {
            let wanted = self.session.outbox().entries_wanted();
            let more = (0..wanted).map(|_| Entry::default()).collect();
            assert!(self.session.outbox().grow_entries(more).is_ok());
            message = back;
        }
        place
    }

    /// What came, after a look at its order.
    pub(crate) fn take(&mut self) -> Vec<(u16, u32, u32)> {
        let came = std::mem::take(&mut self.sockets.came);
        for (port, at, _) in &came {
            let expected = place(&mut self.expected, *port);
            assert_eq!(*at, expected, "port {port}: lost, doubled or overtaken");
        }
        came
    }

    /// Messages that were queued, and those that came, on all ports.
    pub(crate) fn counts(&self) -> (u64, u64) {
        let sum = |counts: &[u32]| counts.iter().map(|n| u64::from(*n)).sum();
        (sum(&self.sent), sum(&self.expected))
    }
}

/// Counts a message of a port: its place.
fn place(counts: &mut Vec<u32>, port: u16) -> u32 {
    let port = usize::from(port);
    if counts.len() <= port {
        counts.resize(port + 1, 0);
    }
    counts[port] += 1;
    counts[port] - 1
}
