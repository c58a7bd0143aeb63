// SPDX-License-Identifier: GPL-2.0

//! The sending half of a datagram lane: its packets in flight, and what their acknowledgements mean.
//!
//! A [`Flow`] numbers packets, keeps what it must know of each until its fate is settled, and joins
//! loss detection, controller and pacer. Each packet carries a token of the caller's, which comes back
//! once: when the packet is acknowledged, or when it is lost and its frames are to be sent again.
//!
//! A lost packet is remembered as long as an acknowledgement can speak of it. If one does, the loss
//! was mistaken: the detector waits longer from then on, and the controller takes its answer back.

use super::cc::delivery::{Acking, Delivery, Snapshot};
use super::cc::{AnyController, Config, Controller, Kind, Lost};
use super::loss::{Detector, Timeout};
use super::pacing::Pacer;
use super::received::{Ack, WINDOW};
use crate::ring::{Ring, Storage};
use crate::time::Instant;
use core::fmt;

/// Where a packet stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    /// It is on its way.
    InFlight,
    /// It is acknowledged, or nobody waits for it.
    Settled,
    /// It is deemed lost.
    Lost,
}

/// A packet that was sent.
#[derive(Debug)]
pub struct Sent<T> {
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
    /// Packets from `first` on.
    packets: Ring<Sent<T>, S>,
    /// Number of the first packet remembered.
    first: u64,
    /// No packet before this one is in flight.
    in_flight_from: u64,
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
            first: 0,
            in_flight_from: 0,
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
    pub fn next_number(&self) -> u64 {
        // CAST: widening.
        self.first.saturating_add(self.packets.len() as u64)
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
    /// needs no permit.
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
    ) -> Result<u64, Option<T>> {
        if self.packets.len() >= self.packets.capacity() {
            return Err(token);
        }
        let number = self.next_number();
        let counts = token.is_some();
        self.unasked = if at_once {
            0
        } else {
            self.unasked.saturating_add(size)
        };
        let snapshot = if counts {
            self.controller.on_transmit(now, &self.delivery);
            let (rate, quantum) = (self.controller.pacing_rate(), self.controller.quantum());
            self.pacer.on_sent(now, size, rate, quantum);
            self.detector.on_sent(now);
            self.delivery.on_sent(now, size)
        } else {
            let mut delivery = self.delivery;
            delivery.on_sent(now, 0)
        };
        let sent = Sent {
            snapshot,
            fate: if counts {
                Fate::InFlight
            } else {
                Fate::Settled
            },
            token,
        };
        self.packets.push_back(sent).map_err(|sent| sent.token)?;
        Ok(number)
    }

    /// Notes that there is nothing to send at `now`.
    pub fn on_nothing_to_send(&mut self) {
        if self.delivery.inflight() < self.controller.cwnd() {
            self.delivery.mark_app_limited();
        }
    }

    /// The packet of `number`, if it is remembered.
    fn packet(&mut self, number: u64) -> Option<&mut Sent<T>> {
        let index = number.checked_sub(self.first)?;
        self.packets.get_mut(usize::try_from(index).ok()?)
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
        let late = self.take_late(ack, &mut acking);
        let oldest = self.take_acked(ack, &mut acking, &mut tell);
        self.acked_to = self.acked_to.max(ack.largest.saturating_add(1));
        let Some(newest) = acking.newest().copied() else {
            return Ok(());
        };
        let mistaken = oldest.is_some_and(|oldest| self.detector.on_acked(oldest));
        if acking.newest_number() == Some(ack.largest) {
            let rtt = now.since(newest.sent);
            self.detector.rtt.on_sample(rtt, ack.delay_ns);
        }
        if late || mistaken {
            self.controller.on_spurious(now, &self.delivery);
        }
        self.detect(now, &mut tell);
        self.take_marks(now, ack.marked, &newest, &acking);
        let rtt = &self.detector.rtt;
        let (shortest, smoothed) = (rtt.shortest(), rtt.smoothed());
        if let Some(sample) = self.delivery.finish(&acking, shortest, smoothed) {
            self.controller.on_ack(&sample, &mut self.delivery);
        }
        self.forget_settled();
        Ok(())
    }

    /// Finds packets that had been deemed lost; whether that ends an episode of mistakes.
    fn take_late(&mut self, ack: &Ack, acking: &mut Acking) -> bool {
        let mut all = false;
        if !self.detector.may_be_mistaken() {
            return false;
        }
        for number in ack.smallest().max(self.first)..=ack.largest {
            let Some(packet) = self.packet(number) else {
                break;
            };
            if packet.fate != Fate::Lost || !ack.covers(number) {
                continue;
            }
            packet.fate = Fate::Settled;
            let snapshot = packet.snapshot;
            self.delivery.on_acked(acking, number, &snapshot, true);
            all |= self
                .detector
                .on_spurious(number, ack.largest.saturating_sub(number));
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
        for number in ack.smallest().max(self.in_flight_from)..=ack.largest {
            let Some(packet) = self.packet(number) else {
                break;
            };
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
        let next = self.next_number();
        let mut all_before = true;
        for number in self.in_flight_from..largest {
            let Some(packet) = self.packet(number) else {
                break;
            };
            if packet.fate == Fate::InFlight {
                let snapshot = packet.snapshot;
                if self.detector.is_lost(now, number, snapshot.sent, largest) {
                    self.lose(now, number, next, tell);
                } else {
                    all_before = false;
                }
            }
            if all_before {
                self.in_flight_from = number.saturating_add(1);
            }
        }
    }

    /// Deems packet `number` lost.
    fn lose(&mut self, now: Instant, number: u64, next: u64, tell: &mut impl FnMut(Outcome<T>)) {
        let Some(packet) = self.packet(number) else {
            return;
        };
        packet.fate = Fate::Lost;
        let (sent, token) = (packet.snapshot, packet.token.take());
        self.delivery.on_lost(&sent);
        let first = self.detector.on_lost(number, next);
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

    /// Forgets packets whose fate is settled, and lost ones that nobody will speak of any more.
    fn forget_settled(&mut self) {
        let spoken_of = self.acked_to.saturating_sub(WINDOW.saturating_add(1));
        while let Some(packet) = self.packets.get(0) {
            match packet.fate {
                Fate::InFlight => break,
                Fate::Lost if self.first >= spoken_of => break,
                Fate::Lost => {
                    self.detector.on_forgotten(self.first);
                }
                Fate::Settled => {}
            }
            self.packets.pop_front();
            self.first = self.first.saturating_add(1);
        }
        self.in_flight_from = self.in_flight_from.max(self.first);
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
        let next = self.next_number();
        let timeout = self.detector.on_timeout(now, next);
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
            self.first = self.first.saturating_add(1);
            if packet.fate == Fate::InFlight {
                self.delivery.on_abandoned(&packet.snapshot);
                if let Some(token) = packet.token {
                    tell(token);
                }
            }
        }
        self.in_flight_from = self.first;
        self.detector.on_abandoned();
    }
}

impl<T, S> fmt::Debug for Flow<T, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Flow")
            .field("first", &self.first)
            .field("delivery", &self.delivery)
            .field("detector", &self.detector)
            .field("controller", &self.controller)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
