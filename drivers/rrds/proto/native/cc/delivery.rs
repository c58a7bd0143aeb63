// SPDX-License-Identifier: GPL-2.0

//! What acknowledgements tell of the rate at which the path delivers.
//!
//! draft-ietf-ccwg-bbr, "Delivery Rate Samples": each packet carries a [`Snapshot`] of the flow's
//! counters; when the packet is acknowledged, the difference is what the path delivered while the
//! packet was on its way, and the time it took is the longer of how long it took to send that and
//! how long it took to be acknowledged. A sample counts as limited by the application if there was
//! nothing to send at some moment of that time.

use super::units::{saturate, Rate};
use crate::time::Instant;

/// The counters of a flow.
#[derive(Clone, Copy, Debug, Default)]
pub struct Delivery {
    /// Bytes delivered.
    delivered: u64,
    /// When `delivered` was last raised, or the first packet of a flight was sent.
    delivered_at: Instant,
    /// When the newest packet that was delivered had been sent.
    first_sent: Instant,
    /// Value of `delivered` at which the samples stop to be limited by the application; 0 if they
    /// are not.
    app_limited: u64,
    /// Bytes lost, and bytes that came with a congestion mark.
    lost: u64,
    /// Value of `delivered` up to which the window counts as used up.
    cwnd_limited: u64,
    /// Bytes on their way.
    inflight: u32,
}

/// The counters when a packet was sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Snapshot {
    /// Bytes delivered before.
    pub delivered: u64,
    /// When that was.
    pub delivered_at: Instant,
    /// When the first packet of the flight was sent.
    pub first_sent: Instant,
    /// When this packet was sent.
    pub sent: Instant,
    /// Bytes lost or marked before.
    pub lost: u64,
    /// Bytes on their way, with this packet.
    pub inflight: u32,
    /// Size of this packet.
    pub size: u32,
    /// Whether the application limits the flow.
    pub app_limited: bool,
}

/// An acknowledgement that is being taken in.
#[derive(Clone, Copy, Debug)]
pub struct Acking {
    now: Instant,
    newly_acked: u32,
    newest: Option<(u64, Snapshot)>,
}

/// What an acknowledgement has shown.
#[derive(Clone, Copy, Debug)]
pub struct Sample {
    /// When the acknowledgement came.
    pub now: Instant,
    /// State of the flow when the newest of the packets acknowledged was sent.
    pub newest: Snapshot,
    /// Bytes acknowledged.
    pub newly_acked: u32,
    /// Bytes delivered while the newest packet was on its way.
    pub delivered: u32,
    /// Bytes lost or marked while the newest packet was on its way.
    pub lost: u32,
    /// Rate of delivery; zero if the interval is too short to tell.
    pub rate: Rate,
    /// Round trip of the newest packet, in nanoseconds.
    pub rtt: u64,
    /// Smoothed round trip, in nanoseconds.
    pub srtt: u64,
    /// Whether the window was used up in the round that ends.
    pub cwnd_limited: bool,
}

impl Delivery {
    /// Bytes delivered.
    pub const fn delivered(&self) -> u64 {
        self.delivered
    }

    /// Bytes lost or marked.
    pub const fn lost(&self) -> u64 {
        self.lost
    }

    /// Bytes on their way.
    pub const fn inflight(&self) -> u32 {
        self.inflight
    }

    /// Whether the application limits the flow.
    pub const fn is_app_limited(&self) -> bool {
        self.app_limited != 0
    }

    /// Notes that there is nothing to send though the controller would allow it.
    pub fn mark_app_limited(&mut self) {
        self.app_limited = self.round_end().max(1);
    }

    /// Notes that the window keeps a packet from being sent.
    pub fn mark_cwnd_limited(&mut self) {
        self.cwnd_limited = self.round_end().max(1);
    }

    /// Value of `delivered` once all that is in flight now has arrived.
    fn round_end(&self) -> u64 {
        self.delivered.saturating_add(u64::from(self.inflight))
    }

    /// Counts a packet of `size` bytes that is sent at `now`.
    pub fn on_sent(&mut self, now: Instant, size: u32) -> Snapshot {
        if self.inflight == 0 {
            self.first_sent = now;
            self.delivered_at = now;
        }
        self.inflight = self.inflight.saturating_add(size);
        Snapshot {
            delivered: self.delivered,
            delivered_at: self.delivered_at,
            first_sent: self.first_sent,
            sent: now,
            lost: self.lost,
            inflight: self.inflight,
            size,
            app_limited: self.is_app_limited(),
        }
    }

    /// Counts packet `number` as delivered; `was_lost` if it had been deemed lost.
    pub fn on_acked(&mut self, acking: &mut Acking, number: u64, sent: &Snapshot, was_lost: bool) {
        self.delivered = self.delivered.saturating_add(u64::from(sent.size));
        self.delivered_at = acking.now;
        acking.count(number, sent);
        if was_lost {
            self.lost = self.lost.saturating_sub(u64::from(sent.size));
        } else {
            self.inflight = self.inflight.saturating_sub(sent.size);
        }
    }

    /// Counts a packet as lost.
    pub fn on_lost(&mut self, sent: &Snapshot) {
        self.lost = self.lost.saturating_add(u64::from(sent.size));
        self.inflight = self.inflight.saturating_sub(sent.size);
    }

    /// Counts bytes that came with a congestion mark.
    pub fn on_marked(&mut self, size: u32) {
        self.lost = self.lost.saturating_add(u64::from(size));
    }

    /// Forgets a packet that is neither delivered nor lost.
    pub fn on_abandoned(&mut self, sent: &Snapshot) {
        self.inflight = self.inflight.saturating_sub(sent.size);
    }

    /// Ends an acknowledgement; `None` if it acknowledged nothing new.
    ///
    /// An interval shorter than `min_rtt`, the shortest round trip ever seen, says nothing of the
    /// rate.
    pub fn finish(&mut self, acking: &Acking, min_rtt: u64, srtt: u64) -> Option<Sample> {
        if self.app_limited != 0 && self.delivered > self.app_limited {
            self.app_limited = 0;
        }
        let (_, newest) = acking.newest?;
        // A packet that had been overtaken leaves the beginning of the next flight where it is.
        let sending = newest.sent.since(newest.first_sent);
        let acknowledging = self.delivered_at.since(newest.delivered_at);
        self.first_sent = self.first_sent.max(newest.sent);
        let interval = sending.max(acknowledging);
        let delivered = self.delivered.saturating_sub(newest.delivered);
        let rate = if interval < min_rtt || interval == 0 {
            Rate::ZERO
        } else {
            Rate::of(delivered, interval)
        };
        Some(Sample {
            now: acking.now,
            newest,
            newly_acked: acking.newly_acked,
            delivered: saturate(delivered),
            lost: saturate(self.lost.saturating_sub(newest.lost)),
            rate,
            rtt: acking.now.since(newest.sent),
            srtt,
            cwnd_limited: self.delivered <= self.cwnd_limited,
        })
    }
}

impl Acking {
    /// Begins to take in an acknowledgement that came at `now`.
    pub const fn new(now: Instant) -> Self {
        Self {
            now,
            newly_acked: 0,
            newest: None,
        }
    }

    /// When it came.
    pub const fn now(&self) -> Instant {
        self.now
    }

    /// Counts packet `number`, which is acknowledged.
    pub fn count(&mut self, number: u64, sent: &Snapshot) {
        self.newly_acked = self.newly_acked.saturating_add(sent.size);
        if self.newest.is_none_or(|(newest, _)| number > newest) {
            self.newest = Some((number, *sent));
        }
    }

    /// Largest number of the packets acknowledged.
    pub const fn newest_number(&self) -> Option<u64> {
        match self.newest {
            Some((number, _)) => Some(number),
            None => None,
        }
    }

    /// Bytes acknowledged so far.
    pub const fn newly_acked(&self) -> u32 {
        self.newly_acked
    }

    /// State of the flow when the newest of the packets acknowledged was sent.
    pub const fn newest(&self) -> Option<&Snapshot> {
        match &self.newest {
            Some((_, sent)) => Some(sent),
            None => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;

    fn ack(d: &mut Delivery, now: u64, packets: &[(u64, Snapshot)]) -> Sample {
        let mut acking = Acking::new(Instant(now));
        for (number, sent) in packets {
            d.on_acked(&mut acking, *number, sent, false);
        }
        d.finish(&acking, MS, 10 * MS).unwrap()
    }

    #[test]
    fn the_rate_is_the_slower_of_sending_and_acknowledging() {
        let mut d = Delivery::default();
        // Ten packets within 9 ms, acknowledged one a 2 ms from 20 ms on.
        let sent: std::vec::Vec<_> = (0..10)
            .map(|i| (i, d.on_sent(Instant(i * MS), 1000)))
            .collect();
        assert_eq!(d.inflight(), 10_000);
        let mut last = None;
        for (i, packet) in sent.iter().enumerate() {
            let now = (20 + 2 * i as u64) * MS;
            last = Some(ack(&mut d, now, core::slice::from_ref(packet)));
        }
        let s = last.unwrap();
        // The first packet's own time counts from when it was sent: 10 packets in 38 ms.
        assert_eq!((s.delivered, s.rate), (10_000, Rate::of(10_000, 38 * MS)));
        assert_eq!((d.inflight(), d.delivered()), (0, 10_000));
        assert_eq!(s.rtt, 29 * MS);
    }

    #[test]
    fn acknowledgements_in_a_lump_do_not_make_the_path_faster() {
        let mut d = Delivery::default();
        let first = d.on_sent(Instant(MS), 1000);
        ack(&mut d, 11 * MS, &[(0, first)]);
        // A flight of five over 20 ms from then on, acknowledged at once.
        let sent: std::vec::Vec<_> = (1..6)
            .map(|i| (i, d.on_sent(Instant((11 + 4 * i) * MS), 1000)))
            .collect();
        let s = ack(&mut d, 41 * MS, &sent);
        assert_eq!(s.newest.sent, Instant(31 * MS));
        assert_eq!((s.delivered, s.rate), (5000, Rate::of(5000, 26 * MS)));
    }

    #[test]
    fn an_interval_below_the_shortest_round_trip_tells_no_rate() {
        let mut d = Delivery::default();
        let sent = d.on_sent(Instant(0), 1000);
        let mut acking = Acking::new(Instant(MS));
        d.on_acked(&mut acking, 0, &sent, false);
        let s = d.finish(&acking, 2 * MS, MS).unwrap();
        assert_eq!((s.rate, s.newly_acked), (Rate::ZERO, 1000));
    }

    #[test]
    fn the_bubble_leaves_after_a_round() {
        let mut d = Delivery::default();
        let a = d.on_sent(Instant(0), 1000);
        d.mark_app_limited();
        let b = d.on_sent(Instant(MS), 1000);
        assert!(!a.app_limited && b.app_limited);
        ack(&mut d, 10 * MS, &[(0, a)]);
        assert!(d.is_app_limited());
        ack(&mut d, 11 * MS, &[(1, b)]);
        assert!(!d.is_app_limited());
    }

    #[test]
    fn the_window_counts_as_used_up_for_a_round() {
        let mut d = Delivery::default();
        let a = d.on_sent(Instant(0), 1000);
        let b = d.on_sent(Instant(1), 1000);
        d.mark_cwnd_limited();
        assert!(ack(&mut d, 10 * MS, &[(0, a), (1, b)]).cwnd_limited);
        let c = d.on_sent(Instant(10 * MS), 1000);
        assert!(!ack(&mut d, 20 * MS, &[(2, c)]).cwnd_limited);
    }

    #[test]
    fn losses_and_marks_of_a_flight_are_counted() {
        let mut d = Delivery::default();
        let a = d.on_sent(Instant(0), 1000);
        let b = d.on_sent(Instant(0), 500);
        d.on_lost(&a);
        d.on_marked(200);
        let s = ack(&mut d, 10 * MS, &[(1, b)]);
        assert_eq!((s.lost, d.lost(), d.inflight()), (1200, 1200, 0));
        // The lost packet came late.
        let mut acking = Acking::new(Instant(20 * MS));
        d.on_acked(&mut acking, 0, &a, true);
        assert_eq!((d.lost(), d.delivered(), d.inflight()), (200, 1500, 0));
        let c = d.on_sent(Instant(20 * MS), 300);
        d.on_abandoned(&c);
        assert_eq!(d.inflight(), 0);
        let nothing = Acking::new(Instant(21 * MS));
        assert!(nothing.newest().is_none() && d.finish(&nothing, 0, 0).is_none());
    }
}
