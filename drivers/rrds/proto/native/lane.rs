// SPDX-License-Identifier: GPL-2.0

//! Lanes: what carries packets, and what has become of them.
//!
//! A [`Lane`] numbers its packets, keeps those that are under way in a list, and finds out from
//! acknowledgements and from time which of them have arrived and which are lost. That is the same for
//! both kinds. A reliable lane loses nothing and keeps the order, so that a packet without an
//! acknowledgement below one with it was refused by the receiver for lack of memory. A [`Datagram`] lane
//! has a congestion controller and a pacer beside it, and takes a packet for lost by the rules of
//! [`loss`](super::loss).
//!
//! Packets lie in a slab of the caller's, which may have several lanes: a session has what a packet
//! carries in it. A packet comes back once, when it has arrived or is lost. A lost one is remembered in
//! another slot, if there is one, as long as an acknowledgement is sure to reach down to it. If one speaks
//! of it, the loss was mistaken: the detector waits longer from then on, and the controller takes its
//! answer back.

mod datagram;

#[cfg(test)]
mod tests;

use super::cc::delivery::{Acking, Snapshot};
use super::loss::{Detector, Timeout};
use super::slab::{Linked, List, Slab, Slots};
use super::wire::{Ack, LaneKind, ACK_REACH};
use crate::time::Instant;

pub use datagram::Datagram;

/// Packets that a lane posts beyond its limit: hellos, requests and acknowledgements do not wait for leave.
pub const SPARE: u16 = 4;

/// What travels on a lane, as long as there is another one for the rest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Role {
    /// Everything.
    #[default]
    Any,
    /// Small messages.
    Small,
    /// Large messages.
    Bulk,
}

/// Whether a packet may leave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Departure {
    /// Now.
    Now,
    /// At this time, if nothing else happens before.
    At(Instant),
    /// When a packet has arrived or is lost, or the timer fires.
    Blocked,
}

/// A packet that was sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sent {
    number: u64,
    snapshot: Snapshot,
    /// It is deemed lost, and nothing but this is known of it.
    lost: bool,
}

/// What has a place for a packet that was sent.
pub trait Packet: Linked {
    /// The packet.
    fn sent(&self) -> &Sent;
    /// The packet.
    fn sent_mut(&mut self) -> &mut Sent;
}

/// What a lane is made over.
pub trait Medium {
    /// What decides on sending, if datagrams carry the packets.
    fn datagram(&self) -> Option<&Datagram>;
    /// What decides on sending, if datagrams carry the packets.
    fn datagram_mut(&mut self) -> Option<&mut Datagram>;
}

/// A reliable connected queue pair.
#[derive(Clone, Copy, Debug, Default)]
pub struct Reliable;

impl Medium for Reliable {
    fn datagram(&self) -> Option<&Datagram> {
        None
    }

    fn datagram_mut(&mut self) -> Option<&mut Datagram> {
        None
    }
}

impl Medium for Datagram {
    fn datagram(&self) -> Option<&Datagram> {
        Some(self)
    }

    fn datagram_mut(&mut self) -> Option<&mut Datagram> {
        Some(self)
    }
}

/// A lane of either kind: `None` is a reliable one.
impl Medium for Option<Datagram> {
    fn datagram(&self) -> Option<&Datagram> {
        self.as_ref()
    }

    fn datagram_mut(&mut self) -> Option<&mut Datagram> {
        self.as_mut()
    }
}

/// An acknowledgement that no honest peer sends: of a packet that was never sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Forged;

/// Packets whose fate is settled.
#[derive(Clone, Copy, Debug, Default)]
pub struct Told {
    /// They have arrived.
    pub acked: List,
    /// They are lost: what they carry is to be sent again.
    pub lost: List,
}

/// See the [module](self).
#[derive(Debug)]
pub struct Lane<M> {
    medium: M,
    role: Role,
    /// It has fallen silent, and others carry what it carried.
    pub(super) quarantined: bool,
    max_packet: u32,
    /// Most packets in the send queue, and those that are in it.
    limit: u16,
    posted: u16,
    /// Packets under way.
    in_flight: u16,
    /// They, and lost ones that are remembered, in the order of their numbers.
    flight: List,
    /// Number of the next packet.
    next: u64,
    /// The number after the largest one acknowledged.
    acked_to: u64,
    detector: Detector,
}

impl<M: Medium> Lane<M> {
    /// A lane that keeps at most `limit` packets of at most `max_packet` bytes in its send queue: what
    /// comes meanwhile waits, and travels together. The queue has room for [`SPARE`] more, which carry no
    /// messages. Its round trip is taken for `rtt_ns` nanoseconds until one is measured.
    pub const fn new(medium: M, role: Role, max_packet: u32, limit: u16, rtt_ns: u64) -> Self {
        Self {
            medium,
            role,
            quarantined: false,
            max_packet,
            limit,
            posted: 0,
            in_flight: 0,
            flight: List::NONE,
            next: 0,
            acked_to: 0,
            detector: Detector::new(rtt_ns, 0),
        }
    }

    /// The lane, whose next packet has number `next`.
    #[must_use]
    pub fn starting(mut self, next: u64) -> Self {
        self.next = next;
        self
    }

    /// The peer holds back acknowledgements for `ns` nanoseconds at most.
    pub fn set_ack_delay(&mut self, ns: u32) {
        self.detector.set_ack_delay(ns);
    }

    /// Its kind.
    pub fn kind(&self) -> LaneKind {
        match self.medium.datagram() {
            Some(_) => LaneKind::Datagram,
            None => LaneKind::Reliable,
        }
    }

    /// What travels on it.
    pub const fn role(&self) -> Role {
        self.role
    }

    /// Longest packet in bytes.
    pub const fn max_packet(&self) -> u32 {
        self.max_packet
    }

    /// Packets under way.
    pub const fn in_flight(&self) -> u16 {
        self.in_flight
    }

    /// Whether it has fallen silent, and other lanes carry what it carried.
    pub const fn is_quarantined(&self) -> bool {
        self.quarantined
    }

    /// Number of the next packet.
    pub const fn next_number(&self) -> u64 {
        self.next
    }

    /// The loss detector, with the round trips.
    pub const fn detector(&self) -> &Detector {
        &self.detector
    }

    /// What decides on sending, if datagrams carry the packets.
    pub fn datagram(&self) -> Option<&Datagram> {
        self.medium.datagram()
    }

    /// Whether the send queue takes nothing at all: a queue pair that is dead completes nothing.
    #[inline]
    pub const fn is_full(&self) -> bool {
        self.posted >= self.limit.saturating_add(SPARE)
    }

    /// Every packet that is posted is to be counted, acknowledged ones and others.
    pub fn on_posted(&mut self) {
        self.posted = self.posted.saturating_add(1);
    }

    /// The queue pair is done with `count` packets.
    pub fn on_completed(&mut self, count: u16) {
        self.posted = self.posted.saturating_sub(count);
    }

    // Sending.

    /// Whether a packet of `bytes` bytes may leave at `now` that is to be acknowledged.
    #[inline]
    pub fn departure(&mut self, now: Instant, bytes: u32) -> Departure {
        if self.posted >= self.limit {
            return Departure::Blocked;
        }
        match self.medium.datagram_mut() {
            Some(datagram) if !self.detector.has_probe() => datagram.departure(now, bytes),
            _ => Departure::Now,
        }
    }

    /// When a packet may leave for which it was [too early](Departure::At).
    pub fn leaves(&self) -> Instant {
        self.medium.datagram().map_or(Instant(0), Datagram::leaves)
    }

    /// Whether the next packet, of `bytes` bytes, should ask for an acknowledgement at once.
    ///
    /// On a datagram lane one packet in each eighth of the window does, so that the controller sees eight
    /// points of each round trip however rarely the peer acknowledges by itself, and the last one that
    /// fits, as nothing follows it.
    #[inline]
    pub fn asks_at_once(&self, bytes: u32) -> bool {
        self.medium
            .datagram()
            .is_some_and(|datagram| datagram.asks_at_once(bytes))
    }

    /// There is nothing to send now that may be.
    #[inline]
    pub fn on_nothing_to_send(&mut self) {
        if let Some(datagram) = self.medium.datagram_mut() {
            datagram.on_nothing_to_send();
        }
    }

    /// The packet of slot `at`, of `bytes` bytes, leaves at `now`; its number. `at_once` tells whether
    /// it asks for an acknowledgement at once.
    #[inline]
    pub fn on_sent<P: Packet, S: Slots<P>>(
        &mut self,
        slab: &mut Slab<P, S>,
        at: u32,
        now: Instant,
        bytes: u32,
        at_once: bool,
    ) -> u64 {
        let number = self.skip();
        let snapshot = match self.medium.datagram_mut() {
            Some(datagram) => datagram.on_sent(now, bytes, at_once),
            None => Snapshot {
                sent: now,
                size: bytes,
                ..Snapshot::default()
            },
        };
        self.detector.on_sent(now, self.in_flight == 0);
        if let Some(packet) = slab.get_mut(at) {
            *packet.sent_mut() = Sent {
                number,
                snapshot,
                lost: false,
            };
        }
        self.flight.push_back(slab, at);
        self.in_flight = self.in_flight.saturating_add(1);
        number
    }

    /// Takes a number for a packet that nobody acknowledges. It is not under way: it needs no leave and
    /// no slot.
    #[inline]
    pub fn skip(&mut self) -> u64 {
        let number = self.next;
        self.next = number.saturating_add(1);
        number
    }

    // What became of packets.

    /// Takes in an acknowledgement that came at `now`.
    ///
    /// # Errors
    ///
    /// [`Forged`] if it acknowledges what was never sent; nothing has changed then.
    #[inline]
    pub fn on_ack<P: Packet, S: Slots<P>>(
        &mut self,
        slab: &mut Slab<P, S>,
        now: Instant,
        ack: &Ack,
    ) -> Result<Told, Forged> {
        if ack.largest >= self.next {
            return Err(Forged);
        }
        let mut told = Told::default();
        let mut acking = Acking::new(now);
        let (late, oldest) = self.take_acked(slab, ack, &mut acking, &mut told.acked);
        self.acked_to = self.acked_to.max(ack.largest.saturating_add(1));
        let Some(newest) = acking.newest().copied() else {
            return Ok(told);
        };
        let mistaken = oldest.is_some_and(|oldest| self.detector.on_acked(now, oldest));
        if acking.newest_number() == Some(ack.largest) {
            let rtt = now.since(newest.sent);
            let held = u64::from(ack.delay).saturating_mul(1000);
            self.detector.rtt.on_sample(rtt, held);
        }
        if let (Some(datagram), true) = (self.medium.datagram_mut(), late || mistaken) {
            datagram.on_spurious(now);
        }
        self.detect(slab, now, &mut told.lost);
        if let Some(datagram) = self.medium.datagram_mut() {
            datagram.on_ack(now, ack, &acking, &self.detector.rtt);
        }
        Ok(told)
    }

    /// Sorts out packets that are acknowledged. Returns whether that ends an episode of mistakes, and the
    /// smallest number that was under way.
    #[inline]
    fn take_acked<P: Packet, S: Slots<P>>(
        &mut self,
        slab: &mut Slab<P, S>,
        ack: &Ack,
        acking: &mut Acking,
        acked: &mut List,
    ) -> (bool, Option<u64>) {
        let (mut late, mut oldest) = (false, None);
        let mut kept = List::NONE;
        loop {
            let at = self.flight.first();
            let Some(sent) = slab.get(at).map(Packet::sent) else {
                break;
            };
            if sent.number > ack.largest {
                break;
            }
            let (number, was_lost) = (sent.number, sent.lost);
            let covered = ack.covers(number);
            if covered {
                match self.medium.datagram_mut() {
                    Some(datagram) => datagram.on_acked(acking, number, &sent.snapshot, was_lost),
                    None => acking.count(number, &sent.snapshot),
                }
            }
            self.flight.pop_front(slab);
            if !covered {
                kept.push_back(slab, at);
            } else if was_lost {
                slab.release(at);
                let behind = ack.largest.saturating_sub(number);
                late |= self.detector.on_spurious(acking.now(), number, behind);
            } else {
                self.in_flight = self.in_flight.saturating_sub(1);
                oldest = oldest.or(Some(number));
                acked.push_back(slab, at);
            }
        }
        if !kept.is_empty() {
            kept.append(slab, self.flight);
            self.flight = kept;
        }
        (late, oldest)
    }

    /// Finds packets that are lost, now that a later one has arrived, and forgets lost ones that nobody
    /// will speak of any more.
    #[inline]
    fn detect<P: Packet, S: Slots<P>>(
        &mut self,
        slab: &mut Slab<P, S>,
        now: Instant,
        lost: &mut List,
    ) {
        self.detector.begin_scan();
        let Some(largest) = self.acked_to.checked_sub(1) else {
            return;
        };
        let mut kept = List::NONE;
        loop {
            let at = self.flight.first();
            let Some(sent) = slab.get(at).map(Packet::sent) else {
                break;
            };
            let (number, was_lost, time) = (sent.number, sent.lost, sent.snapshot.sent);
            if number >= largest {
                break;
            }
            self.flight.pop_front(slab);
            if was_lost {
                if number < self.spoken_of() {
                    slab.release(at);
                    self.detector.on_forgotten(number);
                } else {
                    kept.push_back(slab, at);
                }
            } else if self.medium.datagram().is_none()
                || self.detector.is_lost(now, number, time, largest)
            {
                lost.push_back(slab, at);
                if let Some(memory) = self.lose(slab, now, at) {
                    kept.push_back(slab, memory);
                }
            } else {
                kept.push_back(slab, at);
            }
        }
        if !kept.is_empty() {
            kept.append(slab, self.flight);
            self.flight = kept;
        }
    }

    /// Deems the packet of a slot lost. Returns the slot in which it is remembered, if it is.
    fn lose<P: Packet, S: Slots<P>>(
        &mut self,
        slab: &mut Slab<P, S>,
        now: Instant,
        at: u32,
    ) -> Option<u32> {
        self.in_flight = self.in_flight.saturating_sub(1);
        let datagram = self.medium.datagram_mut()?;
        let sent = *slab.get(at)?.sent();
        let first = self.detector.on_lost(now, sent.number, self.next);
        datagram.on_lost(now, sent.number, &sent.snapshot, first);
        // What nothing has overtaken yet may be many packets, and an acknowledgement of them is no sign
        // of a path that reorders.
        let may_come = (self.spoken_of()..self.acked_to).contains(&sent.number);
        let memory = if may_come { slab.take() } else { None };
        match memory.and_then(|memory| slab.get_mut(memory)) {
            Some(slot) => *slot.sent_mut() = Sent { lost: true, ..sent },
            None => self.detector.on_forgotten(sent.number),
        }
        memory
    }

    /// Lost packets below this number are not waited for any more: an acknowledgement need not reach down
    /// to them.
    const fn spoken_of(&self) -> u64 {
        self.acked_to.saturating_sub(REMEMBERED)
    }

    // Time.

    /// When [`on_timeout`](Self::on_timeout) is to be called, if a packet is under way.
    pub fn next_timeout(&self) -> Instant {
        self.detector.next_timeout()
    }

    /// Says what a timer that fires at `now` means, and which packets are lost.
    pub fn on_timeout<P: Packet, S: Slots<P>>(
        &mut self,
        slab: &mut Slab<P, S>,
        now: Instant,
    ) -> (Timeout, List) {
        let mut lost = List::NONE;
        if self.in_flight == 0 {
            return (Timeout::None, lost);
        }
        let timeout = self.detector.on_timeout(now, self.next);
        match timeout {
            Timeout::Loss => self.detect(slab, now, &mut lost),
            Timeout::Probe {
                persistent: true, ..
            } => self.collapse(now),
            Timeout::Probe { .. } | Timeout::None => {}
        }
        (timeout, lost)
    }

    /// When lost packets are to be [forgotten](Self::forget), if nothing else is under way: no
    /// acknowledgement would do it.
    #[inline]
    pub fn forgets(&self) -> Option<Instant> {
        let idle = self.in_flight == 0 && !self.flight.is_empty();
        idle.then(|| self.detector.forgets())
    }

    /// Forgets lost packets that may turn up, on a lane on which nothing is under way.
    pub fn forget<P: Packet, S: Slots<P>>(&mut self, slab: &mut Slab<P, S>) {
        while let Some(at) = self.flight.pop_front(slab) {
            if let Some(packet) = slab.get(at) {
                self.detector.on_forgotten(packet.sent().number);
            }
            slab.release(at);
        }
    }

    /// The oldest packet under way is lost, as nothing has come back for long.
    pub fn lose_oldest<P: Packet, S: Slots<P>>(
        &mut self,
        slab: &mut Slab<P, S>,
        now: Instant,
    ) -> Option<u32> {
        let mut kept = List::NONE;
        let mut found = None;
        while let Some(at) = self.flight.pop_front(slab) {
            if slab.get(at).is_some_and(|packet| packet.sent().lost) {
                kept.push_back(slab, at);
                continue;
            }
            if let Some(memory) = self.lose(slab, now, at) {
                kept.push_back(slab, memory);
            }
            found = Some(at);
            break;
        }
        kept.append(slab, self.flight);
        self.flight = kept;
        found
    }

    /// The path has broken down.
    pub fn collapse(&mut self, now: Instant) {
        if let Some(datagram) = self.medium.datagram_mut() {
            datagram.on_persistent_loss(now);
        }
    }

    /// What the peer has counted on the lane begins anew.
    pub fn on_peer_anew(&mut self) {
        if let Some(datagram) = self.medium.datagram_mut() {
            datagram.on_peer_anew();
        }
    }

    /// Gives up what is under way: it is to leave on another lane.
    pub fn abandon<P: Packet, S: Slots<P>>(&mut self, slab: &mut Slab<P, S>) -> List {
        let mut given_up = List::NONE;
        while let Some(at) = self.flight.pop_front(slab) {
            let Some(sent) = slab.get(at).map(Packet::sent) else {
                break;
            };
            if sent.lost {
                slab.release(at);
                continue;
            }
            if let Some(datagram) = self.medium.datagram_mut() {
                datagram.on_abandoned(&sent.snapshot);
            }
            given_up.push_back(slab, at);
        }
        self.in_flight = 0;
        self.detector.on_abandoned();
        given_up
    }
}

/// Numbers below the largest one acknowledged to which an acknowledgement may reach.
const REMEMBERED: u64 = ACK_REACH.saturating_add(2);
