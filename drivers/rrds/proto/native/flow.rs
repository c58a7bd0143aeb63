// SPDX-License-Identifier: GPL-2.0

//! The sending half of a datagram lane: its packets in flight, and what their acknowledgements mean.
//!
//! A [`Flow`] numbers packets, keeps what it must know of each until its fate is settled, and joins
//! loss detection, controller and pacer. Each packet carries a token of the caller's, which comes back
//! once: when the packet is acknowledged, or when it is lost and its frames are to be sent again. A
//! packet that nobody waits for has a number and is forgotten at once.
//!
//! A lost packet is remembered as long as an acknowledgement is sure to reach down to it. If one speaks
//! of it, the loss was mistaken: the detector waits longer from then on, and the controller takes its
//! answer back.

use super::cc::delivery::{Acking, Delivery, Snapshot};
use super::cc::{AnyController, Config, Controller, Kind, Lost};
use super::loss::{Detector, Timeout};
use super::pacing::Pacer;
use super::wire::{Ack, ACK_REACH};
use crate::ring::{Ring, Storage};
use crate::time::Instant;
use core::fmt;

/// Where a packet stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    /// It is on its way.
    InFlight,
    /// It is acknowledged.
    Settled,
    /// It is deemed lost.
    Lost,
}

/// A packet that was sent.
#[derive(Debug)]
pub struct Sent<T> {
    number: u64,
    snapshot: Snapshot,
    fate: Fate,
    token: Option<T>,
}

/// What has become of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome<T> {
    /// It has arrived.
    Acked(T),
    /// It is lost: its frames are to be sent again.
    Lost(T),
}

/// Whether a packet may leave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Permit {
    /// At once.
    Now,
    /// Not before then.
    At(Instant),
    /// Not before an acknowledgement comes or the timer fires.
    Window,
    /// Not before there is room to remember it: see [`Flow::grow`].
    Memory,
}

/// An acknowledgement that no honest peer sends: of a packet that was never sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Forged;

/// See the [module](self).
pub struct Flow<T, S> {
    /// Packets that are remembered, in the order of their numbers.
    packets: Ring<Sent<T>, S>,
    /// Number of the next packet.
    next: u64,
    /// The number after the largest one acknowledged.
    acked_to: u64,
    /// Bytes sent since an acknowledgement was last asked for at once.
    unasked: u32,
    /// Marks that the peer has counted.
    marked: u32,
    delivery: Delivery,
    detector: Detector,
    controller: AnyController,
    pacer: Pacer,
}

impl<T, S: Storage<Sent<T>>> Flow<T, S> {
    /// A flow that begins at `now` and remembers packets in `slots`.
    ///
    /// The peer holds back acknowledgements for `ack_delay_ns` at most.
    pub fn new(
        kind: Kind,
        config: &Config,
        initial_rtt_ns: u64,
        ack_delay_ns: u32,
        slots: S,
        now: Instant,
    ) -> Self {
        Self {
            packets: Ring::new(slots),
            next: 0,
            acked_to: 0,
            unasked: 0,
            marked: 0,
            delivery: Delivery::default(),
            detector: Detector::new(initial_rtt_ns, ack_delay_ns),
            controller: AnyController::new(kind, config, now),
            pacer: Pacer::default(),
        }
    }

    /// Number of the next packet.
    pub const fn next_number(&self) -> u64 {
        self.next
    }

    /// Bytes in flight.
    pub const fn inflight(&self) -> u32 {
        self.delivery.inflight()
    }

    /// What was delivered, and at what rate.
    pub const fn delivery(&self) -> &Delivery {
        &self.delivery
    }

    /// The loss detector, with the round trips.
    pub const fn detector(&self) -> &Detector {
        &self.detector
    }

    /// The controller.
    pub const fn controller(&self) -> &AnyController {
        &self.controller
    }

    /// Packets that there is room to remember.
    pub fn capacity(&self) -> usize {
        self.packets.capacity()
    }

    /// Moves what is remembered to `slots`, and returns the old storage.
    ///
    /// # Errors
    ///
    /// Gives `slots` back if they are too few.
    pub fn grow(&mut self, slots: S) -> Result<S, S> {
        self.packets.move_to(slots)
    }

    /// Whether a packet of `size` bytes may leave at `now`.
    pub fn permit(&mut self, now: Instant, size: u32) -> Permit {
        if self.packets.len() >= self.packets.capacity() {
            return Permit::Memory;
        }
        if self.detector.has_probe() {
            return Permit::Now;
        }
        let inflight = self.delivery.inflight();
        if inflight > 0 && inflight.saturating_add(size) > self.controller.cwnd() {
            self.delivery.mark_cwnd_limited();
            return Permit::Window;
        }
        if inflight == 0 {
            // The controller may have another rate in mind after idleness.
            self.controller.on_transmit(now, &self.delivery);
        }
        let (rate, quantum) = (self.controller.pacing_rate(), self.controller.quantum());
        match self.pacer.wait(now, rate, quantum) {
            None => Permit::Now,
            Some(at) => Permit::At(at),
        }
    }

    /// Whether the next packet, of `size` bytes, should ask for an acknowledgement at once.
    ///
    /// One packet in each eighth of the window does, so that the controller sees eight points of each
    /// round trip however rarely the peer acknowledges by itself.
    pub fn asks_at_once(&self, size: u32) -> bool {
        self.unasked.saturating_add(size) >= self.controller.cwnd() >> 3
    }

    /// Notes that a packet of `size` bytes leaves at `now`; its number. `at_once` tells whether it
    /// asks for an acknowledgement at once.
    ///
    /// `token` is `None` if the packet asks for no acknowledgement: it is not in flight then, and
    /// needs neither a permit nor memory.
    ///
    /// # Errors
    ///
    /// Gives the token back if there is no room to remember the packet.
    pub fn on_sent(
        &mut self,
        now: Instant,
        size: u32,
        at_once: bool,
        token: Option<T>,
    ) -> Result<u64, T> {
        let number = self.next;
        if let Some(token) = token {
            if self.packets.len() >= self.packets.capacity() {
                return Err(token);
            }
            self.controller.on_transmit(now, &self.delivery);
            let (rate, quantum) = (self.controller.pacing_rate(), self.controller.quantum());
            self.pacer.on_sent(now, size, rate, quantum);
            self.detector.on_sent(now);
            let sent = Sent {
                number,
                snapshot: self.delivery.on_sent(now, size),
                fate: Fate::InFlight,
                token: Some(token),
            };
            // Cannot fail: there is room.
            let _ = self.packets.push_back(sent);
        }
        self.unasked = if at_once {
            0
        } else {
            self.unasked.saturating_add(size)
        };
        self.next = number.saturating_add(1);
        Ok(number)
    }

    /// Notes that there is nothing to send at `now`.
    pub fn on_nothing_to_send(&mut self) {
        if self.delivery.inflight() < self.controller.cwnd() {
            self.delivery.mark_app_limited();
        }
    }

    /// Place of the first packet remembered whose number is not below `number`.
    fn place(&self, number: u64) -> usize {
        self.packets
            .partition_point(|packet| packet.number < number)
    }

    /// Takes in an acknowledgement that came at `now`, and tells what has become of packets.
    ///
    /// # Errors
    ///
    /// [`Forged`] if it acknowledges what was never sent; nothing has changed then.
    pub fn on_ack(
        &mut self,
        now: Instant,
        ack: &Ack,
        mut tell: impl FnMut(Outcome<T>),
    ) -> Result<(), Forged> {
        if ack.largest >= self.next_number() {
            return Err(Forged);
        }
        let mut acking = self.delivery.begin(now);
        let late = self.take_late(now, ack, &mut acking);
        let oldest = self.take_acked(ack, &mut acking, &mut tell);
        self.acked_to = self.acked_to.max(ack.largest.saturating_add(1));
        let Some(newest) = acking.newest().copied() else {
            return Ok(());
        };
        let mistaken = oldest.is_some_and(|oldest| self.detector.on_acked(oldest));
        if acking.newest_number() == Some(ack.largest) {
            let rtt = now.since(newest.sent);
            let held = u64::from(ack.delay).saturating_mul(1000);
            self.detector.rtt.on_sample(rtt, held);
        }
        if late || mistaken {
            self.controller.on_spurious(now, &self.delivery);
        }
        self.detect(now, &mut tell);
        if let Some(ecn) = ack.ecn {
            self.take_marks(now, ecn.ce, &newest, &acking);
        }
        let rtt = &self.detector.rtt;
        let (shortest, smoothed) = (rtt.shortest(), rtt.smoothed());
        if let Some(sample) = self.delivery.finish(&acking, shortest, smoothed) {
            self.controller.on_ack(&sample, &mut self.delivery);
        }
        self.forget_settled();
        Ok(())
    }

    /// Finds packets that had been deemed lost; whether that ends an episode of mistakes.
    fn take_late(&mut self, now: Instant, ack: &Ack, acking: &mut Acking) -> bool {
        let mut all = false;
        if !self.detector.may_be_mistaken() {
            return false;
        }
        let mut at = self.place(ack.smallest().max(self.spoken_of()));
        while let Some(packet) = self.packets.get_mut(at) {
            let number = packet.number;
            if number > ack.largest {
                break;
            }
            at = at.saturating_add(1);
            if packet.fate != Fate::Lost || !ack.covers(number) {
                continue;
            }
            packet.fate = Fate::Settled;
            let snapshot = packet.snapshot;
            self.delivery.on_acked(acking, number, &snapshot, true);
            let behind = ack.largest.saturating_sub(number);
            all |= self.detector.on_spurious(now, number, behind);
        }
        all
    }

    /// Settles packets in flight that are acknowledged; the smallest number of them.
    fn take_acked(
        &mut self,
        ack: &Ack,
        acking: &mut Acking,
        tell: &mut impl FnMut(Outcome<T>),
    ) -> Option<u64> {
        let mut oldest = None;
        let mut at = self.place(ack.smallest());
        while let Some(packet) = self.packets.get_mut(at) {
            let number = packet.number;
            if number > ack.largest {
                break;
            }
            at = at.saturating_add(1);
            if packet.fate != Fate::InFlight || !ack.covers(number) {
                continue;
            }
            packet.fate = Fate::Settled;
            let (snapshot, token) = (packet.snapshot, packet.token.take());
            self.delivery.on_acked(acking, number, &snapshot, false);
            oldest = oldest.or(Some(number));
            if let Some(token) = token {
                tell(Outcome::Acked(token));
            }
        }
        oldest
    }

    /// Finds packets that are lost, now that a later one has arrived.
    fn detect(&mut self, now: Instant, tell: &mut impl FnMut(Outcome<T>)) {
        self.detector.begin_scan();
        let Some(largest) = self.acked_to.checked_sub(1) else {
            return;
        };
        let mut at = 0_usize;
        while let Some(packet) = self.packets.get(at) {
            let (number, fate, sent) = (packet.number, packet.fate, packet.snapshot.sent);
            if number >= largest {
                break;
            }
            if fate == Fate::InFlight && self.detector.is_lost(now, number, sent, largest) {
                self.lose(now, at, tell);
            }
            at = at.saturating_add(1);
        }
    }

    /// Deems the packet at a place lost.
    fn lose(&mut self, now: Instant, at: usize, tell: &mut impl FnMut(Outcome<T>)) {
        let next = self.next;
        let Some(packet) = self.packets.get_mut(at) else {
            return;
        };
        packet.fate = Fate::Lost;
        let number = packet.number;
        let (sent, token) = (packet.snapshot, packet.token.take());
        self.delivery.on_lost(&sent);
        let first = self.detector.on_lost(now, number, next);
        let lost = Lost {
            number,
            sent,
            first,
        };
        self.controller.on_loss(now, &lost, &self.delivery);
        if let Some(token) = token {
            tell(Outcome::Lost(token));
        }
    }

    /// Takes in how many marks the peer has counted.
    fn take_marks(&mut self, now: Instant, marked: u32, newest: &Snapshot, acking: &Acking) {
        let new = marked.wrapping_sub(self.marked);
        // A count that has gone back is of an acknowledgement that was overtaken.
        if new == 0 || new > u32::MAX >> 1 {
            return;
        }
        self.marked = marked;
        // What is marked is about as large as the newest packet.
        let bytes = new.saturating_mul(newest.size).min(acking.newly_acked());
        self.delivery.on_marked(bytes);
        self.controller.on_ecn(now, newest, &self.delivery);
    }

    /// Lost packets below this number are not waited for any more: an acknowledgement need not reach down
    /// to them.
    const fn spoken_of(&self) -> u64 {
        self.acked_to.saturating_sub(ACK_REACH.saturating_add(2))
    }

    /// Forgets packets whose fate is settled, and lost ones that nobody will speak of any more.
    fn forget_settled(&mut self) {
        let spoken_of = self.spoken_of();
        while let Some(packet) = self.packets.get(0) {
            match packet.fate {
                Fate::InFlight => break,
                Fate::Lost if packet.number >= spoken_of => break,
                Fate::Lost => self.detector.on_forgotten(packet.number),
                Fate::Settled => {}
            }
            self.packets.pop_front();
        }
    }

    /// When [`on_timeout`](Self::on_timeout) is to be called.
    pub fn next_timeout(&self) -> Option<Instant> {
        if self.delivery.inflight() == 0 {
            return None;
        }
        self.detector.next_timeout()
    }

    /// Says what a timer that fires at `now` means, and tells which packets are lost.
    pub fn on_timeout(&mut self, now: Instant, mut tell: impl FnMut(Outcome<T>)) -> Timeout {
        if self.delivery.inflight() == 0 {
            return Timeout::None;
        }
        let timeout = self.detector.on_timeout(now, self.next);
        match timeout {
            Timeout::Loss => {
                self.detect(now, &mut tell);
                self.forget_settled();
            }
            Timeout::Probe {
                persistent: true, ..
            } => self.controller.on_persistent_loss(now, &self.delivery),
            Timeout::Probe { .. } | Timeout::None => {}
        }
        timeout
    }

    /// Gives up: hands out the tokens of all packets in flight, whose frames are to leave on another
    /// lane.
    pub fn abandon(&mut self, mut tell: impl FnMut(T)) {
        while let Some(packet) = self.packets.pop_front() {
            if packet.fate == Fate::InFlight {
                self.delivery.on_abandoned(&packet.snapshot);
                if let Some(token) = packet.token {
                    tell(token);
                }
            }
        }
        self.detector.on_abandoned();
    }
}

impl<T, S> fmt::Debug for Flow<T, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Flow")
            .field("next", &self.next)
            .field("delivery", &self.delivery)
            .field("detector", &self.detector)
            .field("controller", &self.controller)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
