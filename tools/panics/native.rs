// SPDX-License-Identifier: GPL-2.0

//! The generic code of the native protocol.

use crate::Message;
use core::num::NonZeroU32;
use rds_proto::native::arrivals::Mark;
use rds_proto::native::inbox::{Info, Slot, Upper};
use rds_proto::native::lane::{Datagram, Lane};
use rds_proto::native::maps::{MapReceiver, MapSender};
use rds_proto::native::outbox::{Cancel, Entry, Flow, Outbox, Record, Ticket};
use rds_proto::native::session::{PacketResult, Session, Settings, Sink, Transmit, Types, Way};
use rds_proto::native::wire::{
    Ack, EndpointData, Frames, GoneEntry, Hello, LaneAddress, LaneAddresses, LaneData, MapUpdate,
    PacketHeader, Reason, Writer,
};
use rds_proto::send::Outcome;
use rds_proto::time::Instant;
use rds_proto::wire::Family;

/// Where messages go, as functions.
#[derive(Debug)]
pub struct Up {
    deliver: fn(&Info, &[u8]) -> bool,
    store: fn(&Info) -> Option<Stored>,
    deliver_stored: fn(&Info, Stored),
    slots: fn(usize) -> Option<Slots>,
    bits: fn(usize) -> Option<Bits>,
}

/// A message that is coming in.
#[derive(Debug)]
pub struct Stored {
    data: Bytes,
    words: Bits,
}

type Bytes = &'static mut [u8];
type Bits = &'static mut [u64];
type Slots = &'static mut [Option<Slot<Stored>>];

impl Upper for Up {
    type Stored = Stored;
    type Slots = Slots;
    type Bits = Bits;

    fn deliver(&mut self, info: &Info, data: &[u8]) -> bool {
        (self.deliver)(info, data)
    }

    fn store(&mut self, info: &Info) -> Option<Stored> {
        (self.store)(info)
    }

    fn put(&mut self, stored: &mut Stored, offset: u32, data: &[u8]) {
        let room = stored.data.get_mut(offset as usize..).unwrap_or_default();
        for (to, from) in room.iter_mut().zip(data) {
            *to = *from;
        }
    }

    fn words<'a>(&self, stored: &'a mut Stored) -> &'a mut [u64] {
        stored.words
    }

    fn deliver_stored(&mut self, info: &Info, stored: Stored) {
        (self.deliver_stored)(info, stored);
    }

    fn map(&mut self, _update: &MapUpdate<'_>, _clear: u16) {}

    fn slots(&mut self, count: usize) -> Option<Slots> {
        (self.slots)(count)
    }

    fn bits(&mut self, count: usize) -> Option<Bits> {
        (self.bits)(count)
    }
}

/// The types of a session.
#[derive(Debug)]
pub enum Kinds {}

impl Types for Kinds {
    type Medium = Option<Datagram>;
    type Message = Message;
    type Entries = &'static mut [Entry<Message>];
    type Records = &'static mut [Record];
    type Flows = &'static mut [Flow];
    type Lanes = &'static mut [Option<Way<Option<Datagram>>>];
    type Upper = Up;
}

type B = Outbox<Message, &'static mut [Entry<Message>], &'static mut [Record], &'static mut [Flow]>;
type S = Session<Kinds>;
type AnyLane = Lane<Option<Datagram>>;

/// A packet, as functions.
#[derive(Debug)]
pub struct Packet(fn(&[u8]), fn(&Message, u32, u32));

impl Sink<Message> for Packet {
    fn bytes(&mut self, bytes: &[u8]) {
        (self.0)(bytes);
    }

    fn data(&mut self, message: &Message, offset: u32, len: u32) {
        (self.1)(message, offset, len);
    }
}

/// [`Session::new`]
pub fn new(
    incarnation: NonZeroU32,
    settings: Settings,
    entries: &'static mut [Entry<Message>],
    records: &'static mut [Record],
    flows: &'static mut [Flow],
    lanes: &'static mut [Option<Way<Option<Datagram>>>],
) -> S {
    let outbox = Outbox::new(entries, records, flows, 4096, 0);
    Session::new(1, incarnation, settings, outbox, lanes)
}

/// [`Session::lane_up`], [`Session::lane_down`] and [`Session::end`]
pub fn lanes(s: &mut S, now: Instant, lane: AnyLane) -> Option<AnyLane> {
    let _ = s.lane_up(1, lane);
    if let Some(way) = s.lane_mut(1) {
        way.lane_mut().on_posted();
        way.lane_mut().on_completed(1);
    }
    s.end(Reason::Shutdown);
    s.map_changed(7);
    s.trim();
    s.lane_down(now, 0)
}

/// [`Session::transmit`] and [`Session::next_timeout`]
pub fn transmit(
    s: &mut S,
    now: Instant,
    map: &[u8],
    packet: &mut Packet,
) -> (Transmit, Option<Instant>) {
    (s.transmit(now, 1, map, packet), s.next_timeout())
}

/// [`Session::on_packet`]
pub fn on_packet(s: &mut S, now: Instant, packet: &[u8], up: &mut Up) -> PacketResult {
    s.on_packet(now, 1, Mark::Ce, packet, up)
}

/// [`Session::park`] and [`Session::resume`]
pub fn park(s: &S, b: B, lanes: &'static mut [Option<Way<Option<Datagram>>>]) -> Option<S> {
    s.park().map(|memory| Session::resume(&memory, b, lanes))
}

/// [`Outbox::queue`] and [`Outbox::cancel`]
pub fn queue(b: &mut B, message: Message, ticket: Ticket) -> (Option<Message>, Cancel<Message>) {
    (b.queue(message).err(), b.cancel(ticket))
}

/// [`Outbox::reap`] and [`Outbox::drain`]
pub fn reap(b: &mut B, tell: &mut dyn FnMut(Message, Outcome)) {
    b.reap(&mut *tell);
    b.restart();
    b.drain(tell);
}

/// [`Outbox::grow_entries`], [`Outbox::grow_records`] and [`Outbox::grow_flows`]
pub fn grow(
    b: &mut B,
    entries: &'static mut [Entry<Message>],
    records: &'static mut [Record],
    flows: &'static mut [Flow],
) -> bool {
    b.grow_entries(entries).is_ok()
        && b.grow_records(records).is_ok()
        && b.grow_flows(flows).is_ok()
}

/// Everything that is parsed.
pub fn parse(bytes: &[u8]) -> usize {
    let packet = PacketHeader::parse(bytes).is_ok();
    let lane = LaneData::parse(bytes, Family::V6).is_some();
    let endpoint = EndpointData::parse(bytes).is_ok();
    let one = usize::from(packet || lane || endpoint);
    let good = Frames::new(bytes).filter(|frame| frame.is_ok());
    good.fold(one, |count, _| count.wrapping_add(1))
}

/// Everything that is emitted.
pub fn emit(
    to: &mut Writer<'_>,
    (ack, hello, gone): (&Ack, &Hello, &GoneEntry),
    (addresses, endpoint): (&[LaneAddress], &EndpointData),
    map: &[u8],
) -> bool {
    ack.emit(to)
        && hello.emit(to)
        && gone.emit(to)
        && LaneAddresses::emit(1, addresses, to)
        && endpoint.emit(to)
        && MapUpdate::emit_ports(1, &[(1, true)], to)
        && MapUpdate::emit_blocks(1, 0xffff, true, map, to)
}

/// [`MapSender`] and [`MapReceiver`]
pub fn maps(s: &mut MapSender, r: &mut MapReceiver, map: &[u8], update: &MapUpdate<'_>) -> bool {
    s.start(map);
    s.change(9);
    s.on_lost();
    s.on_acked();
    r.accept(update) == Some(0)
}
