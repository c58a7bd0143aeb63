// SPDX-License-Identifier: GPL-2.0

//! A session: the messages between two addresses with one type of service, and the lanes that carry
//! them.
//!
//! # How to drive it
//!
//! The caller serialises all calls, under a lock for instance. It brings lanes, hands in packets that
//! came and the time, and after any call, until nothing is left,
//!
//! - [`Session::transmit`] builds packets, for each lane;
//! - [`Outbox::reap`] gives back messages that are done with;
//! - [`Session::next_timeout`] tells when to call [`Session::transmit`] at the latest.
//!
//! A lane that is lost, or [dead](Way::is_dead), is taken away by [`Session::lane_down`], and a session that has broken down by
//! [`Session::ended`] loses all its lanes. Messages wait for the next lane.
//!
//! # Lanes that fall silent
//!
//! A lane of either kind on which nothing comes back asks for an acknowledgement when its timeout has
//! passed. As long as another lane works, new messages leave on that one from then on; and if nothing has
//! come back when the next timeout has passed, so do those that are under way: the lane is
//! [quarantined](Lane::is_quarantined). It goes on asking, ever more rarely, and is in use again as soon as
//! it is answered. A lane that is the only one to work sends again what is oldest each time that it asks.
//!
//! A session that is not in use may be put away by [`Session::park`]: what is left of it must be kept as
//! long as this host's incarnation.
//!
//! Sessions of different types of service are separate; which of them may send first is decided above.

mod build;
mod memory;
mod receive;

#[cfg(test)]
mod tests;

use super::arrivals::{AckPolicy, Arrivals};
use super::inbox::{Inbox, Limits, Upper};
use super::lane::{Lane, Medium, Role, Told};
use super::loss::Timeout;
use super::maps::{MapReceiver, MapSender};
use super::outbox::{Class, Entry, Flow, Outbox, Record, MIN_QUOTA};

use super::slab::{List, Slots};
use super::wire::Reason;
use crate::send::Payload;
use crate::time::Instant;
use core::fmt;
use core::num::NonZeroU32;
use core::ops::DerefMut;

pub use build::{Sink, Transmit};
pub use memory::Memory;
pub use receive::Received as PacketResult;

/// Most lanes of a session.
pub const MAX_LANES: usize = 8;

/// Timeouts in a row after which other lanes carry what is under way on a lane.
const SILENT_TIMEOUTS: u8 = 2;

/// One life of a peer in the number of a session, above the bits that are the caller's.
const LIFE: u32 = 1 << NUMBER_BITS;

/// Bits of a session's number that do not change.
pub const NUMBER_BITS: u32 = 24;

/// Shortest limit of a packet: a block of a congestion map has to fit.
pub const MIN_PACKET: u32 = 1024;

/// What this implementation can do beyond the rules of all: nothing yet.
const FEATURES: u32 = 0;

/// The bit of a lane.
const fn lane_bit(at: usize) -> u8 {
    // CAST: below MAX_LANES.
    1_u8.wrapping_shl(at as u32)
}

/// The types that a session is made of.
pub trait Types {
    /// What lanes are made over.
    type Medium: Medium;
    /// Messages to send.
    type Message: Payload;
    /// Storage of messages to send.
    type Entries: Slots<Entry<Self::Message>>;
    /// Storage of packets under way.
    type Records: Slots<Record>;
    /// Storage of flows.
    type Flows: Slots<Flow>;
    /// Storage of lanes, at most [`MAX_LANES`].
    type Lanes: DerefMut<Target = [Option<Way<Self::Medium>>]>;
    /// Where messages go that come in.
    type Upper: Upper;
}

/// What can be tuned when a session begins. The peer is told most of it, and keeps to it: none of it
/// changes afterwards.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// What we can take in.
    pub limits: Limits,
    /// Longest packet that we can take in.
    pub max_packet: u32,
    /// Packets that the peer may have under way.
    pub room: u16,
    /// When packets are acknowledged.
    pub ack: AckPolicy,
}

impl Settings {
    /// What a peer can do with: at least the smallest quota, window and packet.
    fn sane(self) -> Self {
        Self {
            limits: Limits {
                window: self.limits.window.max(1),
                quota: self.limits.quota.max(MIN_QUOTA),
            },
            max_packet: self.max_packet.max(MIN_PACKET),
            ..self
        }
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            limits: Limits {
                window: 4096,
                quota: 4 << 20,
            },
            max_packet: 64 << 10,
            room: 256,
            ack: AckPolicy {
                every: 8,
                delay_ns: 1_000_000,
            },
        }
    }
}

/// Who the peer is, by its hello.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peer {
    /// What it calls the session.
    pub session: u32,
    /// Its life.
    pub incarnation: NonZeroU32,
    /// What both sides can do beyond the rules of all.
    pub features: u32,
    /// Longest packet that it takes in.
    pub max_packet: u32,
}

/// A lane of a session, and what has come on it.
#[derive(Debug)]
pub struct Way<M> {
    lane: Lane<M>,
    received: Arrivals,
    /// A packet waits for the time at which it may leave.
    paced: bool,
    hello_sent: bool,
    /// Our hello has come.
    greeted: bool,
    /// An acknowledgement is to be asked for.
    asks: bool,
    said_bye: bool,
    /// The peer's hello has come on this lane.
    open: bool,
    /// It was a lane to an earlier life of the peer: nothing is sent on it.
    dead: bool,
    /// Messages that it carries, if it does.
    class: Option<Class>,
}

impl<M: Medium> Way<M> {
    /// The lane.
    pub const fn lane(&self) -> &Lane<M> {
        &self.lane
    }

    /// The lane, to tell it of completed packets.
    pub fn lane_mut(&mut self) -> &mut Lane<M> {
        &mut self.lane
    }

    /// Whether it leads to an earlier life of the peer: it is to be taken away.
    pub const fn is_dead(&self) -> bool {
        self.dead
    }

    /// Whether messages can travel on it, and it is not known to be silent.
    const fn works(&self) -> bool {
        self.open && !self.dead && self.lane.detector().timeouts() == 0
    }
}

/// A session.
pub struct Session<T: Types> {
    /// What the peer is to call the session: another number for each of its lives.
    number: u32,
    incarnation: NonZeroU32,
    settings: Settings,
    peer: Option<Peer>,
    lanes: T::Lanes,
    /// Above the numbers of all packets on lanes that are gone: those that come begin there.
    next: u64,
    outbox: Outbox<T::Message, T::Entries, T::Records, T::Flows>,
    inbox: Inbox<T::Upper>,
    maps: MapSender,
    peer_maps: MapReceiver,
    /// Packets that the peer lets us have under way.
    room: u16,
    /// The serial of what we said last of room and quota.
    serial: u32,
    /// The newest serial that the peer used.
    heard: u32,
    /// How many lists of our addresses were built, wrapping: the serial of the last one.
    addresses_told: u32,
    /// The newest list of the peer's life that has come.
    addresses_heard: Option<u32>,
    /// The peer is to be told our addresses.
    addresses_due: bool,
    /// Lanes that may have got something to send since they were asked last, by their bits.
    look: u8,
    /// Packets under way on all lanes that have more than a hello or a question.
    in_flight: u32,
    /// Those among them that may have large messages.
    bulk: u32,
    /// Packets that left since one asked for an acknowledgement at once.
    unasked: u16,
    /// What was handed up when the quota was last told.
    told: u64,
    /// The peer is in a life that knows nothing of our congestion map.
    maps_wanted: bool,
    /// What lanes carry is to be decided anew.
    shifted: bool,
    ended: Option<Reason>,
    /// The lane on which the peer was refused a session, and what it calls that; 0 if it was not.
    refused: (u8, u32),
    /// The lane on which a hello is to be said in answer to one, and what its sender calls the session; 0 if
    /// none is.
    answer: (u8, u32),
}

impl<T: Types> fmt::Debug for Session<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session")
            .field("number", &self.number)
            .field("peer", &self.peer)
            .field("messages", &self.outbox.len())
            .field("first", &self.outbox.first())
            .field("under_way", &self.outbox.under_way())
            .field("blocked", &self.outbox.is_blocked())
            .field("base", &self.inbox.base())
            .field("stored", &self.inbox.stored())
            .field("in_flight", &self.in_flight)
            .field("ended", &self.ended)
            .finish_non_exhaustive()
    }
}

impl<T: Types> Session<T> {
    /// A session without lanes. The peer is to call it `number`, of which the lower [`NUMBER_BITS`] bits
    /// stay and are not all 0; those above count the peer's lives on, so that a packet of an earlier one is
    /// told from those of this one. Nobody should be able to guess it. `incarnation` is this host's life.
    /// `outbox` is empty, and `lanes` are, too.
    ///
    /// Settings that a peer could not do with are raised to the least that it can.
    pub fn new(
        number: u32,
        incarnation: NonZeroU32,
        settings: Settings,
        outbox: Outbox<T::Message, T::Entries, T::Records, T::Flows>,
        lanes: T::Lanes,
    ) -> Self {
        Self {
            number,
            incarnation,
            settings: settings.sane(),
            peer: None,
            lanes,
            next: 0,
            outbox,
            inbox: Inbox::default(),
            maps: MapSender::default(),
            peer_maps: MapReceiver::default(),
            room: 1,
            serial: 0,
            heard: 0,
            addresses_told: 0,
            addresses_heard: None,
            addresses_due: false,
            look: 0,
            in_flight: 0,
            bulk: 0,
            unasked: 0,
            told: 0,
            maps_wanted: false,
            shifted: false,
            ended: None,
            refused: (0, 0),
            answer: (0, 0),
        }
    }

    /// What the session was set up with.
    pub const fn settings(&self) -> &Settings {
        &self.settings
    }

    /// What the peer calls the session now.
    pub const fn number(&self) -> u32 {
        self.number
    }

    /// Who the peer is, if it has said so.
    pub const fn peer(&self) -> Option<&Peer> {
        self.peer.as_ref()
    }

    /// Messages to send.
    pub fn outbox(&mut self) -> &mut Outbox<T::Message, T::Entries, T::Records, T::Flows> {
        &mut self.outbox
    }

    /// Messages that come in.
    pub const fn inbox(&self) -> &Inbox<T::Upper> {
        &self.inbox
    }

    /// Gives back storage that is not in use.
    pub fn trim(&mut self) {
        self.inbox.trim();
    }

    /// Why the session has broken down, if it has: its lanes are to be taken away when
    /// [`Session::transmit`] has nothing left to say on them.
    pub const fn ended(&self) -> Option<Reason> {
        self.ended
    }

    /// The state of a port of the local address has changed.
    pub fn map_changed(&mut self, port: u16) {
        if self.peer.is_some() {
            self.maps.change(port);
        }
    }

    /// The addresses at which this host can be reached have changed, which [`Sink::addresses`] gives.
    pub fn addresses_changed(&mut self) {
        self.addresses_due = self.peer.is_some();
    }

    // Lanes.

    /// A lane, by its number.
    pub fn lane(&self, number: u8) -> Option<&Way<T::Medium>> {
        self.lanes.get(usize::from(number))?.as_ref()
    }

    /// A lane, by its number.
    pub fn lane_mut(&mut self, number: u8) -> Option<&mut Way<T::Medium>> {
        self.lanes.get_mut(usize::from(number))?.as_mut()
    }

    /// Number of lanes that there are.
    pub fn lanes(&self) -> usize {
        let lanes = self.lanes.iter().flatten();
        lanes.fold(0, |count, _| count.wrapping_add(1))
    }

    /// A lane is there, at both ends.
    ///
    /// # Errors
    ///
    /// Gives the lane back if there is one of that number, or can be none, or the session has ended.
    pub fn lane_up(&mut self, number: u8, lane: Lane<T::Medium>) -> Result<(), Lane<T::Medium>> {
        let at = usize::from(number);
        match self.lanes.get_mut(at) {
            Some(slot @ None) if at < MAX_LANES && self.ended.is_none() => {
                *slot = Some(Way {
                    lane: lane.starting(self.next),
                    received: Arrivals::default(),
                    paced: false,
                    hello_sent: false,
                    greeted: false,
                    asks: false,
                    said_bye: false,
                    open: false,
                    dead: false,
                    class: None,
                });
                Ok(())
            }
            _ => Err(lane),
        }
    }

    /// A lane is lost or is to go: what is under way on it leaves on another one. Returns the lane.
    ///
    /// With the last lane of a session that has ended, it is as if it had none yet.
    pub fn lane_down(&mut self, now: Instant, number: u8) -> Option<Lane<T::Medium>> {
        let mut way = self.lanes.get_mut(usize::from(number))?.take()?;
        self.give_up(&mut way);
        if self.answer.0 == number {
            self.answer.1 = 0;
        }
        self.next = self.next.max(way.lane.next_number());
        self.share_out(now);
        if self.lanes() == 0 {
            self.ended = None;
            self.refused = (0, 0);
        }
        Some(way.lane)
    }

    /// What is under way on a lane is to leave on another one.
    fn give_up(&mut self, way: &mut Way<T::Medium>) {
        let lost = way.lane.abandon(self.outbox.records());
        self.lose_all(way, lost);
    }

    /// Decides what travels on which lane: a role counts if another lane takes the rest, and one that has
    /// fallen silent carries nothing if another one works.
    fn share_out(&mut self, now: Instant) {
        self.shifted = false;
        let works = self.lanes.iter().flatten().any(Way::works);
        let carries = |way: &Way<T::Medium>| way.open && !way.dead && (way.works() || !works);
        let (mut small, mut bulk) = (false, false);
        for way in self.lanes.iter().flatten().filter(|way| carries(way)) {
            small |= way.lane.role() != Role::Bulk;
            bulk |= way.lane.role() != Role::Small;
        }
        for way in self.lanes.iter_mut().flatten() {
            way.class = carries(way).then(|| match way.lane.role() {
                Role::Small if bulk => Class::Small,
                Role::Bulk if small => Class::Bulk,
                _ => Class::Any,
            });
        }
        for at in 0..self.lanes.len() {
            let silent = |way: &mut Way<T::Medium>| {
                works
                    && !way.lane.is_quarantined()
                    && way.lane.detector().timeouts() >= SILENT_TIMEOUTS
            };
            let way = self.lanes.get_mut(at).and_then(|slot| slot.take_if(silent));
            if let Some(mut way) = way {
                way.lane.quarantined = true;
                way.asks = true;
                self.give_up(&mut way);
                way.lane.collapse(now);
                if let Some(slot) = self.lanes.get_mut(at) {
                    *slot = Some(way);
                }
            }
        }
    }

    /// Settles packets of a lane of which something is known now.
    #[inline]
    fn settle(&mut self, way: &mut Way<T::Medium>, mut told: Told) {
        while let Some(record) = told.acked.pop_front(self.outbox.records()) {
            let control = self.land(record);
            if control & build::HELLO != 0 {
                way.greeted = true;
            }
            if control & build::MAP != 0 {
                self.maps.on_acked();
            }
            self.outbox.on_acked(record);
        }
        if !told.lost.is_empty() {
            self.lose_all(way, told.lost);
        }
    }

    /// A packet is not under way any more. What it had beside messages.
    #[inline]
    fn land(&mut self, record: u32) -> u8 {
        let control = self.outbox.records().get(record).map_or(0, |r| r.control);
        if control & build::FREE == 0 {
            self.in_flight = self.in_flight.saturating_sub(1);
        }
        if control & build::BULK != 0 {
            self.bulk = self.bulk.saturating_sub(1);
        }
        control
    }

    /// Packets of a lane are lost: what they carried leaves again.
    fn lose_all(&mut self, way: &mut Way<T::Medium>, mut lost: List) {
        while let Some(record) = lost.pop_front(self.outbox.records()) {
            let control = self.land(record);
            if control & build::HELLO != 0 && !way.greeted {
                way.hello_sent = false;
            }
            if control & build::MAP != 0 {
                self.maps.on_lost();
            }
            self.addresses_due |= control & build::ADDRESSES != 0;
            self.outbox.on_lost(record);
        }
    }

    /// The session breaks down; the peer is told on every lane.
    pub fn end(&mut self, reason: Reason) {
        if self.ended.is_none() {
            self.ended = Some(reason);
        }
    }

    // Time.

    /// When to call [`Session::transmit`] for all lanes at the latest, if nothing else happens; a time that is
    /// past if one lane has left something to another that was asked before.
    pub fn next_timeout(&self) -> Option<Instant> {
        let has_ended = self.ended.is_some();
        let mut next = lane_bit(0);
        let lanes = self.lanes.iter().filter_map(|way| {
            let bit = next;
            next = bit.wrapping_shl(1);
            Some((bit, way.as_ref()?))
        });
        let lanes = lanes.filter(|(_, way)| !(way.dead || has_ended && way.said_bye));
        let of = |(bit, way): (u8, &Way<T::Medium>)| {
            let timer = self.timer(way).unwrap_or(Instant::NEVER);
            if way.lane.is_full() {
                // The rest waits for a packet that completes.
                return timer;
            }
            if way.class.is_some() && self.look & bit != 0 {
                return Instant(0);
            }
            let due = way.received.due().unwrap_or(Instant::NEVER);
            let leaves = if way.paced {
                way.lane.leaves()
            } else {
                Instant::NEVER
            };
            due.min(timer).min(leaves)
        };
        lanes.map(of).min().filter(|time| *time != Instant::NEVER)
    }

    /// When a lane has been silent for too long, or has nothing to remember any more.
    #[inline]
    fn timer(&self, way: &Way<T::Medium>) -> Option<Instant> {
        if self.ended.is_some() || way.dead {
            return None;
        }
        let can_ask = way.hello_sent && !way.asks;
        if way.lane.in_flight() != 0 {
            // Who has no place for a question finds out all the same that nothing comes back.
            let waits = can_ask || way.lane.is_full();
            return waits.then(|| way.lane.next_timeout());
        }
        let forgets = way.lane.forgets();
        if !(can_ask && way.class.is_some() && self.asks_for_quota()) {
            return forgets;
        }
        let asks = way.lane.next_timeout();
        Some(forgets.map_or(asks, |time| time.min(asks)))
    }

    /// Whether nothing but a question tells when the peer raises the quota: something waits for it, and
    /// nothing is under way on any lane that would be acknowledged. The first lane that asks is the only one.
    fn asks_for_quota(&self) -> bool {
        let lanes = self.lanes.iter().flatten();
        self.outbox.is_blocked()
            && self.outbox.has_work()
            && lanes.fold(0, |count, way| way.lane.in_flight() | count) == 0
    }

    /// Does what is due on a lane, which is not among the others now.
    fn on_timer(&mut self, now: Instant, way: &mut Way<T::Medium>) {
        if way.lane.in_flight() == 0 {
            if way.lane.forgets().is_some_and(|time| time <= now) {
                way.lane.forget(self.outbox.records());
            } else {
                // Only the peer can tell whether there is more quota.
                way.asks = true;
            }
            return;
        }
        let (timeout, lost) = way.lane.on_timeout(self.outbox.records(), now);
        self.lose_all(way, lost);
        let Timeout::Probe { count, .. } = timeout else {
            return;
        };
        way.asks = true;
        // With the first one others take over, if there are any, and with the second one they carry what
        // is under way here.
        self.shifted |= count <= SILENT_TIMEOUTS;
        if !way.greeted {
            way.hello_sent = false;
        }
        if way.lane.is_quarantined() {
            self.give_up(way);
        } else if count > SILENT_TIMEOUTS {
            let mut lost = List::NONE;
            if let Some(record) = way.lane.lose_oldest(self.outbox.records(), now) {
                lost.push_back(self.outbox.records(), record);
            }
            self.lose_all(way, lost);
        }
    }
}
