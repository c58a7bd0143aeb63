// SPDX-License-Identifier: GPL-2.0

//! The engine's generic code with concrete types, so that it is compiled into an object that
//! `check.sh` can look at.

#![forbid(unsafe_code)]
#![deny(missing_docs)]

pub mod native;

use rds_proto::cong::{Map, NeedsStorage, RemoteMap};
use rds_proto::conn::{Action, ConnId, Identity, Verdict};
use rds_proto::error::DropReason;
use rds_proto::native::arrivals::{self, AckPolicy, Arrivals};
use rds_proto::native::cc::{Config, Kind};
use rds_proto::native::lane::{Datagram, Departure, Lane, Role, Told};
use rds_proto::native::loss::Timeout;
use rds_proto::native::outbox::Record;
use rds_proto::native::slab::{List, Slab};
use rds_proto::native::wire::Ack;
use rds_proto::path::{Closed, Path, Refused};
use rds_proto::recv::Received;
use rds_proto::send::{Cancel, Entry, Frame, Operation, Outcome, Payload, Transmit};
use rds_proto::settings::Settings;
use rds_proto::time::Instant;
use rds_proto::wire::PrivateData;

/// A message as the kernel has it: a reference and some numbers.
#[derive(Debug)]
pub struct Message {
    /// Length.
    pub len: u32,
    /// Ports.
    pub ports: (u16, u16),
    /// Operation.
    pub operation: Option<Operation>,
}

impl Payload for Message {
    fn len(&self) -> u32 {
        self.len
    }

    fn sport(&self) -> u16 {
        self.ports.0
    }

    fn dport(&self) -> u16 {
        self.ports.1
    }

    fn operation(&self) -> Option<Operation> {
        self.operation
    }
}

/// Storage of slots.
pub type Slots = &'static mut [Option<Entry<Message>>];
/// Storage of a map.
pub type Bytes = &'static mut [u8; 8192];
/// A path.
pub type P = Path<Message, Slots>;

/// [`Path::new`]
pub fn new(identity: Identity, slots: Slots, seq: u64) -> P {
    Path::new(identity, slots, seq)
}

/// [`Path::poll`]
pub fn poll(p: &mut P, s: &Settings, now: Instant) -> (Option<Action>, Option<Instant>, bool) {
    (p.poll(s, now, true), p.next_timeout(), p.has_work())
}

/// [`Path::on_request`]
pub fn on_request(p: &mut P, s: &Settings, now: Instant, r: &PrivateData) -> Verdict {
    p.on_request(s, now, r)
}

/// [`Path::on_established`]
pub fn on_established(p: &mut P, conn: ConnId, reply: Option<&PrivateData>) -> bool {
    p.on_established(conn, reply)
}

/// [`Path::on_lost`]
pub fn on_lost(p: &mut P, conn: ConnId, why: DropReason) {
    p.on_lost(conn, why);
    p.fail(why);
    p.on_bad_opcode(conn);
}

/// [`Path::on_closed`]
pub fn on_closed(p: &mut P, s: &Settings, now: Instant, conn: ConnId, r: u64) -> Option<Closed> {
    p.on_closed(s, now, conn, r)
}

/// [`Path::connect`] and [`Path::stop`]
pub fn connect_and_stop(p: &mut P, now: Instant) -> usize {
    p.connect(now);
    p.stop();
    p.connections().count()
}

/// [`Path::queue`]
pub fn queue(p: &mut P, m: Message, ack: bool) -> Result<u64, Message> {
    p.queue(m, ack)
}

/// [`Path::queue_pong`], [`Path::queue_map`]
pub fn queue_others(p: &mut P, port: u16) -> bool {
    p.set_loopback();
    p.queue_pong(port) || p.queue_map()
}

/// [`Path::grow`]
pub fn grow(p: &mut P, slots: Slots) -> Result<Slots, Slots> {
    p.grow(slots)
}

/// [`Path::cancel`]
pub fn cancel(p: &mut P, seq: u64) -> Cancel<Message> {
    p.cancel(seq, |_| true)
}

/// [`Path::transmit`]
pub fn transmit(
    p: &mut P,
    s: &Settings,
    budget: u32,
    emit: &mut dyn FnMut(Frame<'_, Message>) -> Result<(), i32>,
) -> Transmit<i32> {
    p.transmit(s, budget, emit)
}

/// [`Path::on_sent`]
pub fn on_sent(p: &mut P, conn: ConnId, id: u32) {
    p.on_sent(conn, id);
}

/// [`Path::reap`] and [`Path::drain`]
pub fn reap(p: &mut P, tell: &mut dyn FnMut(Message, Outcome)) {
    p.reap(&mut *tell);
    p.drain(tell);
}

/// [`Path::on_frame`]
pub fn on_frame(
    p: &mut P,
    s: &Settings,
    conn: ConnId,
    frame: &[u8],
    len: u32,
    store: &mut dyn FnMut(u32, u32) -> Result<(), i32>,
) -> Result<Received, Refused<i32>> {
    p.on_frame(s, conn, frame, len, |piece| store(piece.offset, piece.len))
}

/// Listings.
pub fn list(p: &P, index: usize) -> Option<(u64, bool)> {
    let (entry, sent) = p.sender().queue.get(index)?;
    Some((entry.seq(), sent && entry.message().is_some()))
}

/// [`Map`]
pub fn map(bytes: Bytes, port: u16, offset: usize, piece: &[u8]) -> (bool, u64) {
    let mut map = Map::new(bytes);
    let changed = map.set(port, true) && map.is_congested(port);
    (changed, map.overwrite(offset, piece))
}

/// [`RemoteMap`]
pub fn remote(
    map: &mut RemoteMap<Bytes>,
    bytes: Bytes,
    port: u16,
    offset: u32,
    piece: &[u8],
) -> Result<u64, NeedsStorage> {
    if !map.is_congested(port) {
        map.provide(bytes);
    }
    map.apply(offset, piece)
}

/// Packets of a datagram lane.
pub type Packets = Slab<Record, &'static mut [Record]>;

/// [`Lane::new`]
pub fn lane_new(kind: Kind, config: &Config, now: Instant) -> Lane<Datagram> {
    Lane::new(Datagram::new(kind, config, now), Role::Any, 4096, 9, 1)
}

/// What a lane does before and when it sends.
pub fn lane_send(
    lane: &mut Lane<Datagram>,
    slab: &mut Packets,
    now: Instant,
    size: u32,
) -> (Departure, u64) {
    let departure = lane.departure(now, size);
    lane.on_nothing_to_send();
    let at_once = lane.asks_at_once(size);
    (departure, lane.on_sent(slab, 7, now, size, at_once))
}

/// [`Lane::on_ack`]
pub fn lane_ack(
    lane: &mut Lane<Datagram>,
    slab: &mut Packets,
    now: Instant,
    ack: &Ack,
) -> Option<Told> {
    lane.on_ack(slab, now, ack).ok()
}

/// [`Lane::on_timeout`], [`Lane::lose_oldest`] and [`Lane::abandon`]
pub fn lane_timeout(
    lane: &mut Lane<Datagram>,
    slab: &mut Packets,
    now: Instant,
) -> (Timeout, List, Option<u32>, List) {
    let (timeout, lost) = lane.on_timeout(slab, now);
    let oldest = lane.lose_oldest(slab, now);
    (timeout, lost, oldest, lane.abandon(slab))
}

/// [`Arrivals`]
pub fn arrivals(
    r: &mut Arrivals,
    now: Instant,
    packet: &arrivals::Packet,
    policy: &AckPolicy,
) -> (arrivals::Arrival, Option<Ack>) {
    let arrival = r.on_packet(now, policy, packet);
    let due = r.is_due(now);
    r.told();
    (arrival, r.ack(now).filter(|ack| due && ack.covers(7)))
}
