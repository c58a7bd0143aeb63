// SPDX-License-Identifier: GPL-2.0

mod addresses;
mod bounds;
mod hello;
mod lanes;
mod strangers;

use super::*;
use crate::native::arrivals::Mark;
use crate::native::cc::{Config, Kind};
use crate::native::inbox::{unit_words, Info, Slot};
use crate::native::lane::{Datagram, Reliable};
use crate::native::wire::{
    Frame, Frames, LaneAddress, LaneAddresses, MapUpdate, PacketHeader, Writer, MAX_ADDRESSES,
};
use std::vec::Vec;

struct Message(u16, Vec<u8>);

impl Payload for Message {
    fn len(&self) -> u32 {
        self.1.len() as u32
    }

    fn sport(&self) -> u16 {
        self.0
    }

    fn dport(&self) -> u16 {
        7
    }
}

#[derive(Default)]
struct Up {
    got: Vec<(u16, usize)>,
    broke: bool,
    ports: Vec<(u16, bool)>,
    /// Each list of addresses, by their numbers.
    lists: Vec<Vec<u8>>,
}

impl Upper for Up {
    type Stored = (usize, Vec<u64>);
    type Slots = Vec<Option<Slot<Self::Stored>>>;
    type Bits = Vec<u64>;

    fn deliver(&mut self, info: &Info, data: &[u8]) -> bool {
        if !self.broke {
            self.got.push((info.sport, data.len()));
        }
        !self.broke
    }

    fn store(&mut self, info: &Info) -> Option<Self::Stored> {
        (!self.broke).then(|| (info.len as usize, std::vec![0; unit_words(info.len)]))
    }

    fn put(&mut self, _stored: &mut Self::Stored, _offset: u32, _data: &[u8]) {}

    fn words<'a>(&self, stored: &'a mut Self::Stored) -> &'a mut [u64] {
        &mut stored.1
    }

    fn deliver_stored(&mut self, info: &Info, stored: Self::Stored) {
        self.got.push((info.sport, stored.0));
    }

    fn map(&mut self, update: &MapUpdate<'_>, _clear: u16) {
        if let MapUpdate::Ports { ports, .. } = update {
            self.ports.extend(ports.entries());
        }
    }

    fn addresses(&mut self, list: &LaneAddresses<'_>) {
        self.lists.push(list.entries().map(|a| a.index).collect());
    }

    fn slots(&mut self, count: usize) -> Option<Self::Slots> {
        Some((0..count).map(|_| None).collect())
    }

    fn bits(&mut self, count: usize) -> Option<Vec<u64>> {
        Some(std::vec![0; count])
    }
}

struct Kinds;

impl Types for Kinds {
    type Medium = Option<Datagram>;
    type Message = Message;
    type Entries = Vec<Entry<Message>>;
    type Records = Vec<Record>;
    type Flows = Vec<Flow>;
    type Lanes = Vec<Option<Way<Option<Datagram>>>>;
    type Upper = Up;
}

/// A packet, and the addresses of who sends it.
#[derive(Default)]
struct Packet(Vec<u8>, Vec<u8>);

impl Sink<Message> for Packet {
    fn bytes(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }

    fn data(&mut self, message: &Message, offset: u32, len: u32) {
        self.0
            .extend_from_slice(&message.1[offset as usize..][..len as usize]);
    }

    fn addresses(&mut self, list: &mut [LaneAddress; MAX_ADDRESSES]) -> usize {
        for (to, index) in list.iter_mut().zip(&self.1) {
            to.index = *index;
        }
        self.1.len()
    }
}

fn session(number: u32, incarnation: u32) -> Session<Kinds> {
    session_with(number, incarnation, Settings::default())
}

fn session_with(number: u32, incarnation: u32, settings: Settings) -> Session<Kinds> {
    let entries = (0..100).map(|_| Entry::default()).collect();
    let outbox = Outbox::new(
        entries,
        std::vec![Record::default(); 100],
        std::vec![Flow::default(); 64],
        4096,
        0,
    );
    let lanes = (0..4).map(|_| None).collect();
    let incarnation = NonZeroU32::new(incarnation).unwrap();
    Session::new(number, incarnation, settings, outbox, lanes)
}

type AnyLane = Lane<Option<Datagram>>;

fn reliable(role: Role, limit: u16) -> AnyLane {
    Lane::new(None, role, 65536, limit, 300_000)
}

fn datagram(role: Role) -> AnyLane {
    let datagram = Datagram::new(Kind::Bbr, &Config::new(4096, 1), Instant(0));
    Lane::new(Some(datagram), role, 4096, u16::MAX, 300_000)
}

/// Two sessions and what is on its way between them.
struct Pair {
    ends: [Session<Kinds>; 2],
    ups: [Up; 2],
    now: Instant,
    map: Vec<u8>,
    addresses: [Vec<u8>; 2],
    packets: u32,
}

impl Pair {
    fn new() -> Self {
        Self::with(Settings::default())
    }

    fn with(settings: Settings) -> Self {
        let ends = [(11, 1), (22, 2)].map(|(n, life)| session_with(n, life, settings));
        Self {
            ends,
            ups: [Up::default(), Up::default()],
            now: Instant(0),
            map: std::vec![0; 8192],
            addresses: [Vec::new(), Vec::new()],
            packets: 0,
        }
    }

    fn up(&mut self, lane: u8, role: Role) {
        for end in &mut self.ends {
            assert!(end.lane_up(lane, reliable(role, 100)).is_ok());
        }
    }

    /// All packets that an end has to send on a lane.
    fn take(&mut self, end: usize, lane: u8) -> Vec<Vec<u8>> {
        let mut packets = Vec::new();
        loop {
            let mut p = Packet(Vec::new(), self.addresses[end].clone());
            let s = &mut self.ends[end];
            match s.transmit(self.now, lane, &self.map, &mut p) {
                Transmit::Packet { len, .. } => {
                    assert_eq!(len as usize, p.0.len());
                    packets.push(p.0);
                }
                _ => return packets,
            }
        }
    }

    fn give(&mut self, end: usize, lane: u8, packet: &[u8]) -> PacketResult {
        self.packets += 1;
        let up = &mut self.ups[end];
        self.ends[end].on_packet(self.now, lane, Mark::NotEct, packet, up)
    }

    /// Lets everything arrive, as long as there is something.
    fn settle(&mut self) {
        loop {
            let mut any = false;
            for end in 0..2 {
                for lane in 0..4 {
                    for packet in self.take(end, lane) {
                        any = true;
                        self.give(1 - end, lane, &packet);
                    }
                }
            }
            if !any {
                let next = self.ends.iter().filter_map(|e| e.next_timeout()).min();
                match next {
                    Some(time) if time.0 < self.now.0 + 3_000_000 => {
                        self.now = self.now.max(time);
                    }
                    _ => return,
                }
            }
        }
    }

    fn send(&mut self, end: usize, port: u16, len: usize) {
        let message = Message(port, std::vec![5; len]);
        assert!(self.ends[end].outbox().queue(message).is_ok());
    }

    fn done(&mut self, end: usize) -> usize {
        let mut count = 0;
        self.ends[end].outbox().reap(|_, _| count += 1);
        count
    }
}

fn packet_of(header: PacketHeader, put: impl FnOnce(&mut Writer<'_>) -> bool) -> Vec<u8> {
    let mut room = [0; 2000];
    let mut w = Writer::new(&mut room);
    assert!(put(&mut w));
    [&header.emit()[..], w.written()].concat()
}

fn frames(packet: &[u8]) -> (PacketHeader, Vec<Frame<'_>>) {
    let (header, rest) = PacketHeader::parse(packet).unwrap();
    (header, Frames::new(rest).map(Result::unwrap).collect())
}

#[test]
fn the_first_packet_says_hello_and_nothing_follows_before_the_answer() {
    let mut p = Pair::new();
    p.send(0, 1, 10);
    p.up(0, Role::Any);
    let first = p.take(0, 0);
    let (header, said) = frames(&first[0]);
    assert_eq!((header.session, header.number, first.len()), (0, 0, 1));
    let [Frame::Hello(hello)] = said[..] else {
        panic!("{said:?}");
    };
    assert_eq!((hello.session, hello.first, hello.peer), (11, 0, None));
    p.give(1, 0, &first[0]);
    let answer = p.take(1, 0);
    let (header, said) = frames(&answer[0]);
    assert_eq!(header.session, 11);
    assert!(matches!(said[..], [Frame::Hello(_), Frame::Ack(_)]));
    assert_eq!(p.give(0, 0, &answer[0]), PacketResult::Taken);
    p.settle();
    assert_eq!((p.ups[1].got.clone(), p.done(0)), ([(1, 10)].to_vec(), 1));
    assert_eq!(p.ends[0].peer().unwrap().session, 22);
}

#[test]
fn sixteen_small_messages_are_one_packet() {
    let mut p = Pair::new();
    p.up(0, Role::Any);
    p.settle();
    for n in 0..16 {
        p.send(0, n % 3, 64);
    }
    let train = p.take(0, 0);
    let (header, said) = frames(&train[0]);
    assert_eq!((train.len(), said.len(), header.session), (1, 16, 22));
    assert_eq!(train[0].len(), 16 + 16 * (16 + 64));
    p.give(1, 0, &train[0]);
    assert_eq!(p.ups[1].got.len(), 16);
    // The acknowledgement waits for something to travel with, or for its time.
    assert!(p.take(1, 0).is_empty());
    assert_eq!(p.ends[1].next_timeout(), Some(p.now.after(1_000_000)));
    p.send(1, 9, 64);
    let reply = p.take(1, 0);
    let (_, said) = frames(&reply[0]);
    assert!(matches!(said[..], [Frame::Ack(_), Frame::Message(..)]));
    p.give(0, 0, &reply[0]);
    assert_eq!(p.done(0), 16);
}

#[test]
fn a_small_message_does_not_wait_for_a_large_one() {
    let mut p = Pair::new();
    p.up(0, Role::Small);
    p.up(1, Role::Bulk);
    p.settle();
    p.send(0, 1, 1 << 20);
    p.send(0, 2, 64);
    let (small, bulk) = (p.take(0, 0), p.take(0, 1));
    assert_eq!((small.len(), bulk.len()), (1, 17));
    p.give(1, 0, &small[0]);
    assert_eq!(p.ups[1].got, [(2, 64)]);
    for packet in &bulk {
        p.give(1, 1, packet);
    }
    assert_eq!(p.ups[1].got, [(2, 64), (1, 1 << 20)]);
}

#[test]
fn what_a_lane_carried_leaves_on_another_when_it_dies() {
    let mut p = Pair::new();
    for (lane, role) in [(0, Role::Small), (1, Role::Bulk)] {
        p.up(lane, role);
    }
    p.settle();
    p.map[0] = 2;
    p.ends[0].map_changed(1);
    for n in 0..10 {
        p.send(0, n, 64);
    }
    p.send(0, 100, 200_000);
    let (lost, bulk) = (p.take(0, 0), p.take(0, 1));
    p.give(1, 1, &bulk[0]);
    assert!(p.ends[0].lane_down(p.now, 0).is_some());
    assert!(p.ends[1].lane_down(p.now, 0).is_some());
    assert!(p.ends[0].lane_down(p.now, 0).is_none());
    // Its role does not count any more.
    let again = p.take(0, 1);
    assert!(!lost.is_empty() && !again.is_empty());
    for packet in bulk[1..].iter().chain(&again) {
        p.give(1, 1, packet);
    }
    p.settle();
    assert_eq!((p.ups[1].got.len(), p.done(0)), (11, 11));
    assert_eq!(p.ups[1].ports, [(1, true)]);
    // The numbers of its packets go on when it comes again.
    p.up(0, Role::Small);
    let hello = p.take(0, 0);
    assert!(frames(&hello[0]).0.number > 0);
}

#[test]
fn what_was_refused_comes_again() {
    let mut p = Pair::new();
    p.up(0, Role::Any);
    p.settle();
    p.send(0, 1, 10);
    p.ups[1].broke = true;
    let packets = p.take(0, 0);
    assert_eq!(p.give(1, 0, &packets[0]), PacketResult::Refused);
    p.ups[1].broke = false;
    // Nothing tells the sender before it asks.
    p.settle();
    assert_eq!((p.ups[1].got.clone(), p.done(0)), ([(1, 10)].to_vec(), 1));
    assert!(p.now.0 >= 1_000_000);
}

#[test]
fn a_peer_in_another_life_gets_what_the_last_did_not_acknowledge() {
    let mut p = Pair::new();
    p.up(0, Role::Any);
    p.up(1, Role::Any);
    p.settle();
    p.send(0, 1, 10);
    p.settle();
    p.done(0);
    for n in 2..5 {
        p.send(0, n, 10);
    }
    let lost = p.take(0, 0);
    assert_eq!(lost.len(), 1);
    for lane in [0, 1] {
        p.ends[0].lane_down(p.now, lane);
    }
    p.ends[1] = session(33, 3);
    p.ups[1] = Up::default();
    p.up(0, Role::Any);
    p.up(1, Role::Any);
    p.settle();
    let mut got = p.ups[1].got.clone();
    got.sort_unstable();
    assert_eq!(got, [(2, 10), (3, 10), (4, 10)]);
    assert_eq!((p.done(0), p.ends[1].inbox().base()), (3, 7));
    // A lane to the life before is of no use.
    assert!(!p.ends[0].lane(0).unwrap().is_dead());
    p.ends[1] = session(44, 4);
    p.ends[1].lane_up(1, reliable(Role::Any, 9)).unwrap();
    let hello = p.take(1, 1);
    p.ends[0].lane_down(p.now, 1);
    p.ends[0].lane_up(1, reliable(Role::Any, 9)).unwrap();
    assert_eq!(p.give(0, 1, &hello[0]), PacketResult::Taken);
    assert!(p.ends[0].lane(0).unwrap().is_dead());
    assert!(p.take(0, 0).is_empty());
    assert_eq!(p.give(0, 0, &hello[0]), PacketResult::Stray);
}

#[test]
fn a_session_goes_on_where_it_was_when_lanes_come_again() {
    let mut p = Pair::new();
    for _ in 0..3 {
        p.up(0, Role::Any);
        for _ in 0..5 {
            p.send(0, 1, 10);
        }
        p.settle();
        for end in &mut p.ends {
            end.lane_down(p.now, 0);
        }
    }
    assert_eq!((p.ups[1].got.len(), p.done(0)), (15, 15));
    assert_eq!(p.ends[1].inbox().base(), 15);
}

#[test]
fn violations_end_the_session_and_nothing_else() {
    let header = |number| PacketHeader {
        session: 22,
        number,
        ..PacketHeader::default()
    };
    let cases: [&[u8]; 6] = [
        &[1, 0, 0, 3, 0, 0, 0],
        // An acknowledgement of what was not sent.
        &[
            4, 0, 0, 32, 0, 0, 0, 1, 0, 0, 0, 9, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 9, 9, 0,
            0, 0, 0, 0, 0, 0, 0,
        ],
        // A number beyond the window.
        &[1, 0, 0, 12, 0, 1, 0, 1, 0, 0, 0x20, 0, 0, 0, 0, 0],
        // A predecessor below all numbers.
        &[1, 0, 0, 12, 0, 1, 0, 1, 0, 0, 0, 9, 0, 0, 0, 99],
        &[3, 0, 0, 12, 0, 0, 0, 9, 0, 0, 0, 0, 0xff, 0, 0, 0],
        &[11, 0, 0, 12, 0, 3, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
    ];
    for bytes in cases {
        let mut p = Pair::new();
        p.up(0, Role::Any);
        p.settle();
        p.send(1, 1, 10);
        let packet: Vec<u8> = [&header(50).emit()[..], bytes].concat();
        assert_eq!(p.give(1, 0, &packet), PacketResult::Ended, "{bytes:?}");
        assert_eq!(p.ends[1].ended(), Some(Reason::Violation));
        // The peer is told once, and messages wait.
        let bye = p.take(1, 0);
        let (_, said) = frames(&bye[0]);
        assert!(matches!(said[..], [Frame::Bye(_)]) && bye.len() == 1);
        assert_eq!(p.give(0, 0, &bye[0]), PacketResult::Ended);
        for end in &mut p.ends {
            end.lane_down(p.now, 0);
            assert_eq!(end.ended(), None);
        }
        p.up(0, Role::Any);
        p.settle();
        assert_eq!(p.done(1), 1);
    }
}

#[test]
fn packets_for_others_are_not_taken() {
    let mut p = Pair::new();
    p.up(0, Role::Any);
    p.settle();
    for (session, lane) in [(21, 0), (0, 0), (22, 1)] {
        let header = PacketHeader {
            session,
            lane,
            number: 70,
            ..PacketHeader::default()
        };
        assert_eq!(p.give(1, 0, &header.emit()), PacketResult::Stray);
    }
    let header = PacketHeader {
        session: 22,
        number: 70,
        ..PacketHeader::default()
    };
    assert_eq!(p.give(1, 3, &header.emit()), PacketResult::Stray);
    assert_eq!(p.give(1, 0, &header.emit()), PacketResult::Taken);
    assert_eq!(p.give(1, 0, &header.emit()), PacketResult::Duplicate);
    assert_eq!(p.ends[1].ended(), None);
    // A reset counts only if it names what we call the session.
    let reset = |session: u8| [10, 0, 0, 12, 0, 0, 0, session, 0, 0, 0, 1, 0, 1, 0, 0];
    for (number, session, ended) in [(71, 9, None), (72, 11, Some(Reason::Unknown))] {
        let header = PacketHeader { number, ..header };
        let packet = [&header.emit()[..], &reset(session)].concat();
        p.give(1, 0, &packet);
        assert_eq!(p.ends[1].ended(), ended);
    }
}

#[test]
fn the_room_of_the_peer_is_kept() {
    let mut p = Pair::with(Settings {
        room: 2,
        max_packet: 1024,
        ..Settings::default()
    });
    p.up(0, Role::Any);
    p.settle();
    p.send(0, 1, 10_000);
    // One of them is for small messages.
    assert_eq!(p.take(0, 0).len(), 1);
    p.send(0, 2, 64);
    p.send(0, 3, 64);
    assert_eq!(p.take(0, 0).len(), 1);
}

/// Who fills the room of the peer asks for an acknowledgement: there is no delay in a roomful.
#[test]
fn a_small_room_costs_no_delay() {
    for room in [0, 1, 2, 3, 7] {
        let mut p = Pair::with(Settings {
            room,
            max_packet: 1024,
            ..Settings::default()
        });
        p.up(0, Role::Any);
        p.up(1, Role::Any);
        p.settle();
        let began = p.now;
        p.send(0, 1, 50_000);
        p.send(0, 2, 50_000);
        loop {
            let mut any = false;
            for (end, lane) in [(0, 0), (0, 1), (1, 0), (1, 1)] {
                for packet in p.take(end, lane) {
                    any = true;
                    p.give(1 - end, lane, &packet);
                }
            }
            if !any {
                break;
            }
        }
        assert_eq!((p.ups[1].got.len(), p.now), (2, began), "room {room}");
    }
}

#[test]
fn a_header_that_cannot_be_read_ends_nothing() {
    let mut p = Pair::new();
    p.up(0, Role::Any);
    p.settle();
    for packet in [&[0; 15][..], &[0; 40][..], &[][..]] {
        assert_eq!(p.give(1, 0, packet), PacketResult::Stray);
    }
    assert_eq!(p.ends[1].ended(), None);
}

#[test]
fn a_packet_has_one_map() {
    let mut p = Pair::new();
    p.up(0, Role::Any);
    p.settle();
    let header = PacketHeader {
        session: 22,
        number: 50,
        ..PacketHeader::default()
    };
    let map = |serial, w: &mut Writer<'_>| MapUpdate::emit_blocks(serial, 0, true, &[], w);
    let one = packet_of(header, |w| map(50, w));
    assert_eq!(p.give(1, 0, &one), PacketResult::Taken);
    let number = 51;
    let two = packet_of(PacketHeader { number, ..header }, |w| {
        map(51, w) && map(52, w)
    });
    assert_eq!(p.give(1, 0, &two), PacketResult::Ended);
    assert_eq!(p.ends[1].ended(), Some(Reason::Violation));
}

/// An idle session with its smallest storage is at most 1 KiB, and a lane 512 bytes.
#[test]
fn sizes_are_bounded() {
    use core::mem::size_of;
    struct Nothing(#[allow(dead_code)] u64);
    struct Slices;
    impl Types for Slices {
        type Medium = Reliable;
        type Message = Nothing;
        type Entries = &'static mut [Entry<Nothing>];
        type Records = &'static mut [Record];
        type Flows = &'static mut [Flow];
        type Lanes = &'static mut [Option<Way<Reliable>>];
        type Upper = Up;
    }
    impl Payload for Nothing {
        fn len(&self) -> u32 {
            0
        }
        fn sport(&self) -> u16 {
            0
        }
        fn dport(&self) -> u16 {
            0
        }
    }
    let any = size_of::<Option<Way<Option<Datagram>>>>();
    assert!(any <= 512, "{any}");
    let lane = size_of::<Option<Way<Reliable>>>();
    let flow = size_of::<Flow>();
    let session = size_of::<Session<Slices>>();
    let (entry, record) = (size_of::<Entry<Nothing>>(), size_of::<Record>());
    std::println!(
        "session {session} lane {lane} any {any} flow {flow} entry {entry} record {record}"
    );
    // A flow, a lane, as others are made when they are used, and room for one message and one packet.
    assert!(
        session + lane + flow + entry + record <= 1024,
        "{session} {lane} {flow}"
    );
}
