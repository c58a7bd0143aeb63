// SPDX-License-Identifier: GPL-2.0

//! Building packets.

use super::{lane_bit, Session, Types, Way, FEATURES, MIN_PACKET};
use crate::native::lane::Departure;
use crate::native::outbox::{Class, Taken};
use crate::native::wire::{
    frame_header, Bye, FrameType, Hello, LaneAddress, LaneAddresses, LaneKind, PacketFlags,
    PacketHeader, PacketType, Reason, Reset, Writer, ACK_MAX_LEN, FRAME_HEADER_LEN, LANES_MAX_LEN,
    MAX_ADDRESSES, MESSAGE_HEADER_LEN, PACKET_HEADER_LEN,
};
use crate::time::Instant;
use core::num::NonZeroU32;

/// A packet has a hello.
pub(super) const HELLO: u8 = 1;
/// A packet has an update of the congestion map.
pub(super) const MAP: u8 = 2;
/// A packet may have large messages.
pub(super) const BULK: u8 = 4;
/// A packet has a list of addresses.
pub(super) const ADDRESSES: u8 = 8;
/// A packet has a hello or a question at most: it takes none of the peer's room.
pub(super) const FREE: u8 = 16;

/// Most packets of the peer's room that small messages, or large ones, take: they leave an eighth to each
/// other, and one at least if there is more than one.
const fn most(room: u32) -> u32 {
    let eighth = room >> 3;
    room.saturating_sub(if eighth == 0 && room > 1 { 1 } else { eighth })
}

/// Where a packet is put together.
pub trait Sink<M> {
    /// Appends bytes.
    fn bytes(&mut self, bytes: &[u8]);
    /// Appends `len` bytes of a message from `offset` on. Who does not copy them holds a reference of the
    /// packet's own to them: see [`Transmit::Packet`].
    fn data(&mut self, message: &M, offset: u32, len: u32);

    /// Gives the addresses at which this host can be reached, the first of `list`, and returns how many. The peer is told when it
    /// is new, and after [`Session::addresses_changed`], unless there never were any.
    fn addresses(&mut self, list: &mut [LaneAddress; MAX_ADDRESSES]) -> usize {
        let _ = list;
        0
    }
}

/// What [`Session::transmit`] did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transmit {
    /// Built a packet, which is to be posted. If it cannot be, the lane is lost.
    ///
    /// Until it completes, a posted packet needs the bytes of its messages, if it refers to them. The
    /// session does not keep them for that long: a message may be acknowledged by what another lane
    /// carried, or because the peer said what it has handed up, and comes back from
    /// [`Outbox::reap`](super::Outbox::reap) while a slow or dead queue pair still has it. So every posted
    /// packet holds references of its own.
    Packet {
        /// Its length in bytes.
        len: u32,
        /// It is under way until the peer acknowledges it.
        acked: bool,
    },
    /// There is nothing to send on the lane.
    Idle,
    /// The lane or the peer can take no more now; a packet that completes, one that comes, or time will
    /// change it.
    Blocked,
    /// A record is needed: [`Outbox::grow_records`](super::Outbox::grow_records).
    NeedsRecord,
}

/// A packet that is being built.
struct Packet<'a, S> {
    sink: &'a mut S,
    header: PacketHeader,
    len: usize,
    room: usize,
    record: Option<u32>,
    control: u8,
    /// There is a frame that wants an acknowledgement.
    acked: bool,
    /// There is one that is neither a hello nor a question.
    fills: bool,
}

impl<S> Packet<'_, S> {
    #[inline]
    fn put<M>(&mut self, bytes: &[u8])
    where
        S: Sink<M>,
    {
        if self.len == 0 {
            self.sink.bytes(&self.header.emit());
            self.len = PACKET_HEADER_LEN;
        }
        self.sink.bytes(bytes);
        self.grow(bytes.len());
    }

    #[inline]
    fn grow(&mut self, len: usize) {
        self.len = self.len.saturating_add(len);
        self.room = self.room.saturating_sub(len);
    }

    #[inline]
    fn data<M>(&mut self, message: Option<&M>, offset: u32, len: u32)
    where
        S: Sink<M>,
    {
        if let Some(message) = message {
            self.sink.data(message, offset, len);
            // CAST: widening on all machines of the kernel.
            self.grow(len as usize);
        }
    }
}

impl<T: Types> Session<T> {
    /// Builds the next packet for a lane, if there is something to send and it may be sent now.
    ///
    /// `map` is the congestion map of the local address, or empty if no port is congested.
    #[inline]
    pub fn transmit<S: Sink<T::Message>>(
        &mut self,
        now: Instant,
        lane: u8,
        map: &[u8],
        sink: &mut S,
    ) -> Transmit {
        let at = usize::from(lane);
        let moves = self.outbox.moves();
        let has_expired = self.expire(now, at);
        let Some(mut way) = self.lanes.get_mut(at).and_then(Option::take) else {
            return Transmit::Idle;
        };
        let result = self.build(now, lane, &mut way, map, sink);
        if let Some(slot) = self.lanes.get_mut(at) {
            *slot = Some(way);
        }
        self.look &= !lane_bit(at);
        if has_expired || self.outbox.moves() != moves {
            // Others may have to send what this one has given up or come upon.
            self.look |= !lane_bit(at);
        }
        result
    }

    /// Does what is due on a lane, if its time has come; whether it had.
    #[inline]
    fn expire(&mut self, now: Instant, at: usize) -> bool {
        let way = self.lanes.get(at).and_then(Option::as_ref);
        let time = way.and_then(|way| self.timer(way));
        if time.is_none_or(|time| now < time) {
            return false;
        }
        let Some(mut way) = self.lanes.get_mut(at).and_then(Option::take) else {
            return false;
        };
        self.on_timer(now, &mut way);
        if let Some(slot) = self.lanes.get_mut(at) {
            *slot = Some(way);
        }
        if self.shifted {
            self.share_out(now);
        }
        true
    }

    fn build<S: Sink<T::Message>>(
        &mut self,
        now: Instant,
        lane: u8,
        way: &mut Way<T::Medium>,
        map: &[u8],
        sink: &mut S,
    ) -> Transmit {
        let number = way.lane.next_number();
        let theirs = self.peer.map_or(MIN_PACKET, |peer| peer.max_packet);
        // CAST: widening on all machines of the kernel.
        let max = way.lane.max_packet().min(theirs).max(MIN_PACKET) as usize;
        let mut packet = Packet {
            sink,
            header: PacketHeader {
                session: self.peer.map_or(0, |peer| peer.session),
                kind: PacketType::Frames,
                lane,
                flags: PacketFlags::NONE,
                number,
            },
            len: 0,
            room: max.saturating_sub(PACKET_HEADER_LEN),
            record: None,
            control: 0,
            acked: false,
            fills: false,
        };
        if way.dead {
            return Transmit::Idle;
        }
        if way.lane.is_full() {
            if self.ended.is_none() {
                return Transmit::Blocked;
            }
            // Nobody would hear it.
            way.said_bye = true;
            return Transmit::Idle;
        }
        if core::mem::take(&mut self.maps_wanted) {
            self.maps.start(map);
        }
        if let Some(reason) = self.ended {
            if way.said_bye {
                return Transmit::Idle;
            }
            way.said_bye = true;
            if self.refused.0 == lane && self.refused.1 != 0 {
                packet.header.session = self.refused.1;
            }
            self.say_bye(reason, &mut packet);
            return self.finish(now, way, packet);
        }
        if self.answer.0 == lane && self.answer.1 != 0 {
            // It is not repeated: whoever does not get it says its own again.
            packet.header.session = core::mem::take(&mut self.answer.1);
            self.say_hello(&mut packet);
            return self.finish(now, way, packet);
        }
        // The hello and the requests for acknowledgements do not wait for their turn.
        let greets = !way.hello_sent;
        let asks = way.asks;
        let class = way
            .class
            .filter(|class| self.has_work_of(*class) && way.open && way.hello_sent);
        let admitted = class.and_then(|class| self.admit(class));
        // CAST: at most 2^32 - 1 by what it is made of.
        let most = max as u32;
        let departure = match class {
            Some(_) if admitted.is_some() => way.lane.departure(now, most),
            // The peer has no room for more: that is not for lack of work.
            Some(_) => Departure::Blocked,
            None => {
                way.lane.on_nothing_to_send();
                Departure::Blocked
            }
        };
        way.paced = matches!(departure, Departure::At(_));
        let works = departure == Departure::Now;
        let due = way.received.due().is_some_and(|due| due <= now);
        if !(greets || asks || works || due) {
            return match class {
                Some(_) => Transmit::Blocked,
                None => Transmit::Idle,
            };
        }
        if greets || asks || works {
            packet.record = self.outbox.records().take();
            if packet.record.is_none() && (greets || !due) {
                return Transmit::NeedsRecord;
            }
        }
        if works && (self.is_filling() || way.lane.asks_at_once(most)) {
            packet.header.flags = PacketFlags::ACK_NOW;
        }
        if greets {
            if way.lane.kind() == LaneKind::Datagram {
                // The peer may be another one than the hello told that has come.
                packet.header.session = 0;
            }
            self.say_hello(&mut packet);
            packet.control |= HELLO;
            packet.acked = true;
            way.hello_sent = true;
        }
        if way.received.is_pending() {
            self.acknowledge(now, lane, way, &mut packet);
        }
        if let (true, Some(class), Some(record)) = (works, admitted, packet.record) {
            self.fill(class, map, record, &mut packet);
            if !packet.fills {
                way.lane.on_nothing_to_send();
            }
        }
        // An answer is wanted at once if nothing more can be sent without one.
        let stuck = works && packet.acked && self.outbox.is_blocked() && !self.outbox.can_go_on();
        if packet.record.is_some() && (asks || stuck) {
            packet.put(&frame_header(FrameType::Ping, 0, 0));
            packet.acked = true;
            way.asks &= !asks;
        }
        self.finish(now, way, packet)
    }

    /// Whether messages of a class wait, or the congestion map, which may go with any.
    fn has_work_of(&self, class: Class) -> bool {
        self.outbox.has_work_of(class) || self.maps.is_pending() || self.addresses_due
    }

    /// What of a class may leave, by the room of the peer. Large messages leave some of it to small ones,
    /// which need it at once; and so do small ones, while large ones wait.
    #[inline]
    fn admit(&self, class: Class) -> Option<Class> {
        let room = u32::from(self.room.max(1));
        if self.in_flight >= room {
            return None;
        }
        let most = most(room);
        let may_bulk = self.bulk < most;
        let may_small = || {
            let small = self.in_flight.saturating_sub(self.bulk);
            small < most || !self.outbox.has_work_of(Class::Bulk)
        };
        match class {
            Class::Small => may_small().then_some(class),
            Class::Bulk => may_bulk.then_some(class),
            Class::Any if may_bulk && may_small() => Some(class),
            Class::Any if may_bulk => Some(Class::Bulk),
            Class::Any => (self.has_work_of(Class::Small) && may_small()).then_some(Class::Small),
        }
    }

    /// Whether the next packet is the last one that the peer has room for, or half of what it has room
    /// for has left without a request to acknowledge: it would take its time else.
    const fn is_filling(&self) -> bool {
        // CAST: widening; `From` is not const.
        let (room, unasked) = (self.room as u32, self.unasked as u32);
        self.in_flight.saturating_add(1) >= most(room)
            || unasked.saturating_add(1).saturating_mul(2) >= room
    }

    /// Notes the packet, if there is one.
    #[inline]
    fn finish<S>(
        &mut self,
        now: Instant,
        way: &mut Way<T::Medium>,
        mut packet: Packet<'_, S>,
    ) -> Transmit {
        if !packet.acked {
            if let Some(record) = packet.record {
                self.outbox.records().release(record);
            }
        }
        if packet.len == 0 {
            return Transmit::Blocked;
        }
        let bytes = u32::try_from(packet.len).unwrap_or(u32::MAX);
        if let (true, Some(record)) = (packet.acked, packet.record) {
            let records = self.outbox.records();
            if !packet.fills {
                packet.control = (packet.control & !BULK) | FREE;
            }
            if let Some(r) = records.get_mut(record) {
                r.control = packet.control;
            }
            let at_once = packet.header.flags.contains(PacketFlags::ACK_NOW);
            way.lane.on_sent(records, record, now, bytes, at_once);
            self.in_flight = self.in_flight.saturating_add(u32::from(packet.fills));
            if packet.control & BULK != 0 {
                self.bulk = self.bulk.saturating_add(1);
            }
            self.unasked = if at_once {
                0
            } else {
                self.unasked.saturating_add(1)
            };
        } else {
            way.lane.skip();
        }
        Transmit::Packet {
            len: bytes,
            acked: packet.acked,
        }
    }

    /// Frames of the session and of messages.
    #[inline]
    fn fill<S: Sink<T::Message>>(
        &mut self,
        class: Class,
        map: &[u8],
        record: u32,
        packet: &mut Packet<'_, S>,
    ) {
        // There is always room for a request to acknowledge.
        packet.room = packet.room.saturating_sub(FRAME_HEADER_LEN);
        if self.addresses_due {
            self.say_addresses(packet);
        }
        if self.maps.is_pending() {
            if let Some(update) = self.maps.take(packet.room) {
                update.emit(map, |bytes| packet.put(bytes));
                packet.control |= MAP;
                packet.fills = true;
            }
        }
        if class != Class::Small && self.outbox.has_work_of(Class::Bulk) {
            packet.control |= BULK;
        }
        self.outbox.begin_packet(packet.room);
        loop {
            let room = packet.room;
            let put = |head: &[u8; MESSAGE_HEADER_LEN], message: &T::Message, len| {
                packet.put(head);
                packet.data(Some(message), 0, len);
            };
            if self.outbox.take_run(class, room, record, put) {
                packet.fills = true;
                continue;
            }
            let Some(taken) = self.outbox.take(class, room, record) else {
                break;
            };
            packet.fills = true;
            match taken {
                Taken::Message(message, entry) => {
                    let data = self.outbox.message(entry);
                    let len = data.map_or(0, crate::send::Payload::len);
                    if let Some(head) = message.emit(len) {
                        packet.put(&head);
                        if let Some(ext) = &message.ext {
                            packet.put(ext);
                        }
                        packet.data(data, 0, len);
                    }
                }
                Taken::Part(part, entry, len) => {
                    if let Some(head) = part.emit(len) {
                        packet.put(&head);
                        if let Some(ext) = &part.message.ext {
                            packet.put(ext);
                        }
                        packet.data(self.outbox.message(entry), part.offset, len);
                    }
                }
                Taken::Gone(entry) => {
                    let mut room = [0; 16];
                    let mut w = Writer::new(&mut room);
                    entry.emit(&mut w);
                    packet.put(w.written());
                }
            }
        }
        packet.room = packet.room.saturating_add(FRAME_HEADER_LEN);
        packet.acked |= packet.fills;
    }

    fn acknowledge<S: Sink<T::Message>>(
        &mut self,
        now: Instant,
        lane: u8,
        way: &mut Way<T::Medium>,
        packet: &mut Packet<'_, S>,
    ) {
        let Some(mut ack) = way.received.ack(now) else {
            return;
        };
        self.serial = self.serial.wrapping_add(1);
        ack.serial = self.serial;
        ack.lane = lane;
        ack.room = self.settings.room;
        ack.quota = self.inbox.quota(&self.settings.limits);
        let mut room = [0; ACK_MAX_LEN];
        let mut w = Writer::new(&mut room);
        if ack.emit(&mut w) && packet.room > w.len() {
            packet.put(w.written());
            way.received.told();
            self.told = self.inbox.released();
        }
    }

    fn say_hello<S: Sink<T::Message>>(&mut self, packet: &mut Packet<'_, S>) {
        self.serial = self.serial.wrapping_add(1);
        let hello = Hello {
            session: self.number,
            incarnation: self.incarnation,
            peer: self.peer.and_then(|peer| NonZeroU32::new(peer.session)),
            features: FEATURES,
            first: self.outbox.first(),
            base: self.inbox.base(),
            quota: self.inbox.quota(&self.settings.limits),
            max_packet: self.settings.max_packet,
            serial: self.serial,
            window: self.settings.limits.window,
            room: self.settings.room,
            ack_delay: u16::try_from(self.settings.ack.delay_ns / 1000).unwrap_or(u16::MAX),
            lanes: u8::try_from(self.lanes.len()).unwrap_or(u8::MAX),
        };
        let mut room = [0; 64];
        let mut w = Writer::new(&mut room);
        hello.emit(&mut w);
        packet.put(w.written());
    }

    fn say_addresses<S: Sink<T::Message>>(&mut self, packet: &mut Packet<'_, S>) {
        let mut list = [LaneAddress::NONE; MAX_ADDRESSES];
        let count = packet.sink.addresses(&mut list);
        let list = list.get(..count).unwrap_or(&list);
        let mut room = [0; LANES_MAX_LEN];
        let mut w = Writer::new(&mut room);
        let serial = self.addresses_told.wrapping_add(1);
        let has_any = !list.is_empty() || self.addresses_told != 0;
        if !(has_any && LaneAddresses::emit(serial, list, &mut w)) {
            self.addresses_due = false;
        } else if w.len() <= packet.room {
            packet.put(w.written());
            packet.control |= ADDRESSES;
            packet.fills = true;
            self.addresses_told = serial;
            self.addresses_due = false;
        }
    }

    fn say_bye<S: Sink<T::Message>>(&mut self, reason: Reason, packet: &mut Packet<'_, S>) {
        let mut room = [0; 16];
        let mut w = Writer::new(&mut room);
        match reason {
            Reason::Incarnation | Reason::Unknown => Reset {
                session: self.number,
                incarnation: self.incarnation.get(),
                reason,
            }
            .emit(&mut w),
            reason => Bye {
                reason,
                base: self.inbox.base(),
            }
            .emit(&mut w),
        };
        packet.put(w.written());
    }
}
