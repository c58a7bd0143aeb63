// SPDX-License-Identifier: GPL-2.0

//! Nodes: sessions, sockets, memory.

use super::config::Config;
use crate::rng::Rng;
use rds_proto::native::inbox::{unit_words, Info, Slot, Upper};
use rds_proto::native::lane::Datagram;
use rds_proto::native::outbox::{Entry, Flow, Outbox, Record, Ticket};
use rds_proto::native::session::{Session, Sink, Types, Way};
use rds_proto::native::wire::{LaneAddress, LaneAddresses, MapUpdate, MAX_ADDRESSES};
use rds_proto::send::Payload;
use std::num::NonZeroU32;

/// A message to send; its data follow from its number.
#[derive(Debug)]
pub struct Message {
    /// Its number in the books.
    pub number: u32,
    /// Length in bytes.
    pub len: u32,
    /// Ports.
    pub ports: (u16, u16),
}

impl Message {
    /// Byte `at` of message `number`: the number itself, then a pattern.
    pub fn byte(number: u32, at: u32) -> u8 {
        match at {
            0..=3 => number.to_le_bytes()[at as usize],
            _ => (number.wrapping_mul(31) ^ (at.wrapping_mul(0x9e37_79b9) >> 11)) as u8,
        }
    }
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

    fn extensions(&self) -> [u8; 16] {
        // What is too short to have its number in its data has it here.
        let mut ext = [0; 16];
        if self.len < 4 || self.number % 5 == 0 {
            ext[0] = 99;
            ext[1..5].copy_from_slice(&self.number.to_le_bytes());
        }
        ext
    }
}

/// A message that is coming in.
#[derive(Debug)]
pub struct Stored {
    data: Vec<u8>,
    words: Vec<u64>,
}

/// The types of a session.
#[derive(Debug)]
pub enum Kinds {}

/// Where messages of a session go that come in.
#[derive(Default)]
pub struct Holder {
    /// Memory fails once in so many times.
    pub fails: u64,
    /// Chance.
    pub rng: Option<Rng>,
    /// Messages handed up, in order.
    pub delivered: Vec<(Info, Vec<u8>)>,
    /// Bytes of messages that were ever stored.
    pub memory: u64,
    /// The peer's congestion map.
    pub map: Vec<u8>,
    /// The peer's address.
    pub address: u32,
}

impl std::fmt::Debug for Holder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Holder")
            .field("memory", &self.memory)
            .finish_non_exhaustive()
    }
}

impl Holder {
    fn fails(&mut self) -> bool {
        let fails = self.fails;
        self.rng.as_mut().is_some_and(|rng| rng.one_in(fails))
    }
}

impl Upper for Holder {
    type Stored = Stored;
    type Slots = Vec<Option<Slot<Stored>>>;
    type Bits = Vec<u64>;

    fn deliver(&mut self, info: &Info, data: &[u8]) -> bool {
        if self.fails() {
            return false;
        }
        self.delivered.push((*info, data.to_vec()));
        true
    }

    fn store(&mut self, info: &Info) -> Option<Stored> {
        if self.fails() {
            return None;
        }
        self.memory += u64::from(info.len);
        Some(Stored {
            data: vec![0; info.len as usize],
            words: vec![0; unit_words(info.len)],
        })
    }

    fn put(&mut self, stored: &mut Stored, offset: u32, data: &[u8]) {
        stored.data[offset as usize..][..data.len()].copy_from_slice(data);
    }

    fn words<'a>(&self, stored: &'a mut Stored) -> &'a mut [u64] {
        &mut stored.words
    }

    fn deliver_stored(&mut self, info: &Info, stored: Stored) {
        self.delivered.push((*info, stored.data));
    }

    fn map(&mut self, update: &MapUpdate<'_>, clear: u16) {
        match update {
            MapUpdate::Ports { ports, .. } => {
                for (port, congested) in ports.entries() {
                    let byte = &mut self.map[usize::from(port >> 3)];
                    let bit = 1 << (port & 7);
                    *byte = (*byte & !bit) | if congested { bit } else { 0 };
                }
            }
            MapUpdate::Blocks { mask, blocks, .. } => {
                let mut from = blocks.chunks(512);
                for (n, to) in self.map.chunks_mut(512).enumerate() {
                    if mask & (1 << n) != 0 {
                        to.copy_from_slice(from.next().expect("one for each bit"));
                    } else if clear & (1 << n) != 0 {
                        to.fill(0);
                    }
                }
            }
        }
    }

    fn addresses(&mut self, list: &LaneAddresses<'_>) {
        self.address = list.entries().next().map_or(0, |address| address.qpn);
    }

    fn slots(&mut self, count: usize) -> Option<Self::Slots> {
        (!self.fails()).then(|| (0..count).map(|_| None).collect())
    }

    fn bits(&mut self, count: usize) -> Option<Vec<u64>> {
        (!self.fails()).then(|| vec![0; count])
    }
}

impl Types for Kinds {
    type Medium = Option<Datagram>;
    type Message = Message;
    type Entries = Vec<Entry<Message>>;
    type Records = Vec<Record>;
    type Flows = Vec<Flow>;
    type Lanes = Vec<Option<Way<Option<Datagram>>>>;
    type Upper = Holder;
}

/// A packet that is being built, and the address of who sends it.
#[derive(Debug, Default)]
pub struct Packet(pub Vec<u8>, pub u32);

impl Sink<Message> for Packet {
    fn bytes(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }

    fn data(&mut self, message: &Message, offset: u32, len: u32) {
        let byte = |at| Message::byte(message.number, at);
        self.0.extend((offset..offset + len).map(byte));
    }

    fn addresses(&mut self, list: &mut [LaneAddress; MAX_ADDRESSES]) -> usize {
        list[0].qpn = self.1;
        1
    }
}

/// A session and what belongs to it.
pub struct End {
    /// The engine.
    pub session: Session<Kinds>,
    /// Where messages go that come in.
    pub holder: Holder,
    /// Messages that may be cancelled.
    pub tickets: Vec<(Ticket, u32)>,
    /// When its timer is set.
    pub timer: u64,
}

fn incarnation(index: usize, epoch: u16) -> NonZeroU32 {
    let life = index as u32 * 1000 + u32::from(epoch);
    NonZeroU32::MIN.saturating_add(life)
}

/// A node.
pub struct Node {
    /// It runs.
    pub alive: bool,
    /// Its life.
    pub epoch: u16,
    /// A session with each node; the one with itself is not used.
    pub ends: Vec<End>,
    /// Its congestion map.
    pub map: Vec<u8>,
    /// Its address: another one each time that it changes.
    pub address: u32,
}

impl Node {
    /// What the node of this index calls its life.
    pub fn incarnation(&self, index: usize) -> NonZeroU32 {
        incarnation(index, self.epoch)
    }

    /// A node in a life.
    pub fn new(config: &Config, index: usize, epoch: u16, rng: &mut Rng) -> Self {
        let incarnation = incarnation(index, epoch);
        let ends = (0..config.nodes)
            .map(|peer| {
                let flows = vec![Flow::default(); 1 << rng.below(4)];
                let outbox = Outbox::new(Vec::new(), Vec::new(), flows, config.small, rng.below(5));
                let lanes = config.lanes.iter().map(|_| None).collect();
                End {
                    session: Session::new(
                        1 + peer as u32 + 16 * u32::from(epoch),
                        incarnation,
                        config.settings,
                        outbox,
                        lanes,
                    ),
                    holder: Holder {
                        fails: config.faults.memory,
                        rng: Some(Rng::new(rng.bits())),
                        map: vec![0; 8192],
                        ..Holder::default()
                    },
                    tickets: Vec::new(),
                    timer: u64::MAX,
                }
            })
            .collect();
        Self {
            alive: true,
            epoch,
            ends,
            map: vec![0; 8192],
            address: 1 + u32::from(epoch) * 10_000,
        }
    }
}

impl Node {
    /// Drops a session that is not in use, and goes on with what was kept of it. Whether it could be.
    pub fn park(&mut self, config: &Config, peer: usize) -> bool {
        let end = &mut self.ends[peer];
        let Some(memory) = end.session.park() else {
            return false;
        };
        let flows = vec![Flow::default(); 4];
        let outbox = Outbox::new(Vec::new(), Vec::new(), flows, config.small, 0);
        let lanes = config.lanes.iter().map(|_| None).collect();
        end.session = Session::resume(&memory, outbox, lanes);
        // The slots of its messages are gone.
        end.tickets.clear();
        true
    }
}

impl std::fmt::Debug for End {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?}", self.session)?;
        for lane in 0..8 {
            if let Some(way) = self.session.lane(lane) {
                write!(f, "\n  {lane}: {way:?}")?;
            }
        }
        Ok(())
    }
}

impl std::fmt::Debug for Node {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "\nnode, alive {} in life {}", self.alive, self.epoch)?;
        self.ends.iter().try_for_each(|end| write!(f, "\n {end:?}"))
    }
}
