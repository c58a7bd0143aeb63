// SPDX-License-Identifier: GPL-2.0

//! How much a datagram lane may send, and when.

use super::Departure;
use crate::native::cc::delivery::{Acking, Delivery, Snapshot};
use crate::native::cc::{AnyController, Config, Controller, Kind, Lost};
use crate::native::loss::Rtt;
use crate::native::pacing::Pacer;
use crate::native::wire::Ack;
use crate::time::Instant;

/// Joins a controller, what it must know of the path, and a pacer.
#[derive(Debug)]
pub struct Datagram {
    delivery: Delivery,
    controller: AnyController,
    pacer: Pacer,
    /// Bytes sent since an acknowledgement was last asked for at once.
    unasked: u32,
    /// Marks that the peer has counted.
    marked: u32,
}

impl Datagram {
    /// Nothing was sent yet.
    pub fn new(kind: Kind, config: &Config, now: Instant) -> Self {
        Self {
            delivery: Delivery::default(),
            controller: AnyController::new(kind, config, now),
            pacer: Pacer::default(),
            unasked: 0,
            marked: 0,
        }
    }

    /// What was delivered, and at what rate.
    pub const fn delivery(&self) -> &Delivery {
        &self.delivery
    }

    /// The controller.
    pub const fn controller(&self) -> &AnyController {
        &self.controller
    }

    /// Whether a packet of `bytes` bytes may leave at `now`.
    pub(super) fn departure(&mut self, now: Instant, bytes: u32) -> Departure {
        let inflight = self.delivery.inflight();
        if inflight > 0 && inflight.saturating_add(bytes) > self.controller.cwnd() {
            self.delivery.mark_cwnd_limited();
            return Departure::Blocked;
        }
        if inflight == 0 {
            // The controller may have another rate in mind after idleness.
            self.controller.on_transmit(now, &self.delivery);
        }
        let (rate, quantum) = (self.controller.pacing_rate(), self.controller.quantum());
        match self.pacer.wait(now, rate, quantum) {
            None => Departure::Now,
            Some(at) => Departure::At(at),
        }
    }

    /// When a packet may leave for which it is too early.
    pub(super) fn leaves(&self) -> Instant {
        let (rate, quantum) = (self.controller.pacing_rate(), self.controller.quantum());
        self.pacer.leaves(rate, quantum)
    }

    pub(super) fn asks_at_once(&self, bytes: u32) -> bool {
        let cwnd = self.controller.cwnd();
        let two = bytes.saturating_mul(2);
        self.unasked.saturating_add(bytes) >= cwnd >> 3
            || self.delivery.inflight().saturating_add(two) > cwnd
    }

    pub(super) fn on_nothing_to_send(&mut self) {
        if self.delivery.inflight() < self.controller.cwnd() {
            self.delivery.mark_app_limited();
        }
    }

    pub(super) fn on_sent(&mut self, now: Instant, bytes: u32, at_once: bool) -> Snapshot {
        self.controller.on_transmit(now, &self.delivery);
        let (rate, quantum) = (self.controller.pacing_rate(), self.controller.quantum());
        self.pacer.on_sent(now, bytes, rate, quantum);
        self.unasked = if at_once {
            0
        } else {
            self.unasked.saturating_add(bytes)
        };
        self.delivery.on_sent(now, bytes)
    }

    pub(super) fn on_acked(
        &mut self,
        acking: &mut Acking,
        number: u64,
        sent: &Snapshot,
        was_lost: bool,
    ) {
        self.delivery.on_acked(acking, number, sent, was_lost);
    }

    pub(super) fn on_lost(&mut self, now: Instant, number: u64, sent: &Snapshot, first: bool) {
        self.delivery.on_lost(sent);
        let lost = Lost {
            number,
            sent: *sent,
            first,
        };
        self.controller.on_loss(now, &lost, &self.delivery);
    }

    pub(super) fn on_spurious(&mut self, now: Instant) {
        self.controller.on_spurious(now, &self.delivery);
    }

    pub(super) fn on_persistent_loss(&mut self, now: Instant) {
        self.controller.on_persistent_loss(now, &self.delivery);
    }

    pub(super) fn on_abandoned(&mut self, sent: &Snapshot) {
        self.delivery.on_abandoned(sent);
    }

    /// What an acknowledgement has shown, now that losses were reported.
    pub(super) fn on_ack(&mut self, now: Instant, ack: &Ack, acking: &Acking, rtt: &Rtt) {
        if let (Some(ecn), Some(newest)) = (ack.ecn, acking.newest()) {
            self.take_marks(now, ecn.ce, newest, acking);
        }
        let sample = self.delivery.finish(acking, rtt.shortest(), rtt.smoothed());
        if let Some(sample) = sample {
            self.controller.on_ack(&sample, &mut self.delivery);
        }
    }

    /// The peer counts marks from 0.
    pub(super) fn on_peer_anew(&mut self) {
        self.marked = 0;
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
}
