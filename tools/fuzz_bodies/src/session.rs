// SPDX-License-Identifier: GPL-2.0

//! A session whose peer sends whatever it likes.

use crate::bytes::Choices;
use rds_proto::native::arrivals::Mark;
use rds_proto::native::cc::{Config, Kind};
use rds_proto::native::inbox::{unit_words, Info, Slot, Upper};
use rds_proto::native::lane::{Datagram, Lane, Role};
use rds_proto::native::outbox::{charge, Entry, Flow, Outbox, Record};
use rds_proto::native::session::{PacketResult, Session, Settings, Sink, Transmit, Types, Way};
use rds_proto::native::wire::{Hello, MapUpdate, PacketHeader, Reason, Writer};
use rds_proto::send::Payload;
use rds_proto::time::Instant;
use std::cell::Cell;
use std::num::NonZeroU32;
use std::rc::Rc;

const NUMBER: u32 = 7;
const LANES: u8 = 2;
const MAX_PACKET: u32 = 2048;

struct Message {
    port: u16,
    len: u32,
}

impl Payload for Message {
    fn len(&self) -> u32 {
        self.len
    }

    fn sport(&self) -> u16 {
        self.port
    }

    fn dport(&self) -> u16 {
        9
    }
}

/// Counts what is held for messages that are incomplete or wait.
struct Up {
    held: Rc<Cell<u64>>,
    fails: bool,
}

struct Stored {
    len: u32,
    words: Vec<u64>,
    held: Rc<Cell<u64>>,
}

impl Drop for Stored {
    fn drop(&mut self) {
        self.held.set(self.held.get() - charge(self.len));
    }
}

impl Upper for Up {
    type Stored = Stored;
    type Slots = Vec<Option<Slot<Stored>>>;
    type Bits = Vec<u64>;

    fn deliver(&mut self, info: &Info, data: &[u8]) -> bool {
        assert_eq!(info.len as usize, data.len());
        !self.fails
    }

    fn store(&mut self, info: &Info) -> Option<Stored> {
        if self.fails {
            return None;
        }
        self.held.set(self.held.get() + charge(info.len));
        Some(Stored {
            len: info.len,
            words: vec![0; unit_words(info.len)],
            held: Rc::clone(&self.held),
        })
    }

    fn put(&mut self, stored: &mut Stored, offset: u32, data: &[u8]) {
        assert!(offset as usize + data.len() <= stored.len as usize);
    }

    fn words<'a>(&self, stored: &'a mut Stored) -> &'a mut [u64] {
        &mut stored.words
    }

    fn deliver_stored(&mut self, info: &Info, stored: Stored) {
        assert_eq!(info.len, stored.len);
        let units = info.len.div_ceil(64);
        let set: u32 = stored.words.iter().map(|word| word.count_ones()).sum();
        assert_eq!(set, units, "all of it has come");
    }

    fn map(&mut self, update: &MapUpdate<'_>, clear: u16) {
        if let MapUpdate::Blocks { mask, .. } = update {
            assert_eq!(mask & clear, 0);
        }
    }

    fn slots(&mut self, count: usize) -> Option<Self::Slots> {
        (!self.fails).then(|| (0..count).map(|_| None).collect())
    }

    fn bits(&mut self, count: usize) -> Option<Vec<u64>> {
        (!self.fails).then(|| vec![0; count])
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

struct Length(usize);

impl Sink<Message> for Length {
    fn bytes(&mut self, bytes: &[u8]) {
        self.0 += bytes.len();
    }

    fn data(&mut self, message: &Message, offset: u32, len: u32) {
        assert!(offset + len <= message.len);
        self.0 += len as usize;
    }
}

fn outbox() -> Outbox<Message, Vec<Entry<Message>>, Vec<Record>, Vec<Flow>> {
    let entries = (0..32).map(|_| Entry::default()).collect();
    Outbox::new(entries, Vec::new(), vec![Flow::default(); 4], 512, 0)
}

fn lanes() -> Vec<Option<Way<Option<Datagram>>>> {
    (0..LANES).map(|_| None).collect()
}

/// A session, and what is known of it.
struct World {
    session: Session<Kinds>,
    up: Up,
    now: u64,
    next: [u64; LANES as usize],
}

impl World {
    fn lane_up(&mut self, lane: u8) {
        // The second lane is one of datagrams.
        let medium = (lane == 1).then(|| {
            let config = Config::new(MAX_PACKET, 1);
            Datagram::new(Kind::Bbr, &config, Instant(self.now))
        });
        let made = Lane::new(medium, Role::Any, MAX_PACKET, 8, 300_000);
        let up = self.session.lane_up(lane, made);
        assert!(up.is_ok() || self.session.lane(lane).is_some() || self.session.ended().is_some());
    }

    fn send(&mut self) {
        for lane in 0..LANES {
            for _ in 0..20 {
                let mut packet = Length(0);
                let now = Instant(self.now);
                match self.session.transmit(now, lane, &[], &mut packet) {
                    Transmit::Packet { len, .. } => {
                        assert_eq!(packet.0, len as usize);
                        assert!(len <= MAX_PACKET);
                        if let Some(way) = self.session.lane_mut(lane) {
                            way.lane_mut().on_posted();
                            way.lane_mut().on_completed(1);
                        }
                    }
                    Transmit::NeedsRecord => {
                        let count = self.session.outbox().records_wanted();
                        let more = vec![Record::default(); count];
                        assert!(self.session.outbox().grow_records(more).is_ok());
                    }
                    Transmit::Idle | Transmit::Blocked => break,
                }
            }
        }
        self.session.outbox().reap(|_, _| ());
    }

    fn take(&mut self, lane: u8, skip: u8, frames: &[u8]) {
        self.take_for(self.session.number(), lane, skip, frames);
    }

    /// Takes a packet whose header names a session.
    fn take_for(&mut self, session: u32, lane: u8, skip: u8, frames: &[u8]) {
        let Some(next) = self.next.get_mut(usize::from(lane)) else {
            return;
        };
        *next += 1 + u64::from(skip);
        let header = PacketHeader {
            session,
            lane,
            number: *next,
            ..PacketHeader::default()
        };
        let packet = [&header.emit()[..], frames].concat();
        let ended = self.session.ended().is_some();
        let now = Instant(self.now);
        let mark = [Mark::NotEct, Mark::Ce][usize::from(skip)];
        let went = self
            .session
            .on_packet(now, lane, mark, &packet, &mut self.up);
        if went == PacketResult::Ended {
            assert!(self.session.ended().is_some());
        } else {
            assert!(!ended && self.session.ended().is_none());
        }
    }

    /// The peer says who it is.
    fn hello(&mut self, lane: u8, c: &mut Choices<'_>) {
        let first = c.byte();
        let hello = Hello {
            session: 1 + u32::from(first & 1),
            incarnation: NonZeroU32::MIN.saturating_add(u32::from(c.byte() & 1)),
            peer: NonZeroU32::new(u32::from(c.byte() & 3)),
            features: u32::MAX,
            first: u64::from(c.byte() & 7),
            base: u64::from(c.byte() & 7),
            quota: u64::from(c.word()) << 14,
            max_packet: u32::from(c.word()),
            serial: u32::from(c.byte()),
            window: u16::from(c.byte()),
            room: u16::from(c.byte() & 7),
            ack_delay: 0,
            lanes: 1,
        };
        let mut room = [0; 64];
        let mut w = Writer::new(&mut room);
        assert!(hello.emit(&mut w));
        // It may come from somebody who does not know our number.
        let known = if first & 2 == 0 {
            self.session.number()
        } else {
            0
        };
        self.take_for(known, lane, 0, w.written());
    }

    fn check(&mut self) {
        let quota = self.session.settings().limits.quota;
        assert!(self.up.held.get() <= quota, "memory is bounded");
        let window = u32::from(self.session.settings().limits.window);
        assert!(self.session.inbox().stored() <= 2 * window);
        assert!(self.session.outbox().len() <= 32);
    }
}

/// Calls of a session, and packets of a peer that may break every rule.
pub fn native_session(input: &[u8]) {
    let mut c = Choices::new(input);
    let incarnation = NonZeroU32::MIN;
    let session = Session::new(NUMBER, incarnation, Settings::default(), outbox(), lanes());
    let mut world = World {
        session,
        up: Up {
            held: Rc::default(),
            fails: false,
        },
        now: 0,
        next: [0; LANES as usize],
    };
    world.lane_up(0);
    while !c.is_empty() {
        let kind = c.byte();
        let lane = kind >> 7;
        match kind % 8 {
            0 => world.hello(lane, &mut c),
            1..=3 => {
                let len = usize::from(c.byte());
                let frames: Vec<u8> = (0..len).map(|_| c.byte()).collect();
                world.take(lane, (kind >> 6) & 1, &frames);
            }
            4 => world.send(),
            5 => {
                let port = u16::from(c.byte() & 3);
                let len = [0, 64, 5000, 1 << 20][usize::from((kind >> 4) & 3)];
                let _ = world.session.outbox().queue(Message { port, len });
                world.send();
            }
            6 => {
                world.now += u64::from(c.word()) * 1000;
                world.up.fails = kind & 0x40 != 0;
                world.send();
            }
            _ if kind & 0x40 == 0 => {
                world.session.lane_down(Instant(world.now), lane);
                world.lane_up(lane);
            }
            _ => {
                for lane in 0..LANES {
                    world.session.lane_down(Instant(world.now), lane);
                }
                assert_eq!(
                    world.session.ended(),
                    None,
                    "a session without lanes starts over"
                );
                if let Some(memory) = world.session.park() {
                    world.session = Session::resume(&memory, outbox(), lanes());
                }
                world.lane_up(0);
            }
        }
        world.check();
    }
    // Whatever the peer did, the end is told once on each lane, and then there is peace.
    world.session.end(Reason::Shutdown);
    world.send();
    for lane in 0..LANES {
        let mut packet = Length(0);
        let last = world
            .session
            .transmit(Instant(world.now), lane, &[], &mut packet);
        assert_eq!(last, Transmit::Idle);
        world.session.lane_down(Instant(world.now), lane);
    }
    world.session.outbox().drain(|_, _| ());
    assert!(world.session.outbox().is_empty());
}
