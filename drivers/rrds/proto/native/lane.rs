// SPDX-License-Identifier: GPL-2.0

//! Lanes: what carries packets.
//!
//! A session asks a lane whether a packet may leave, and tells it what became of its packets. What a
//! lane decides on is all behind [`Lane`]: a reliable one needs to know little, a datagram one detects
//! losses and has a congestion controller.

use super::wire::LaneKind;
use crate::time::Instant;

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
    /// When a packet has arrived or is lost.
    Blocked,
}

/// A packet that is under way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sent {
    /// Its number.
    pub number: u64,
    /// When it left.
    pub time: Instant,
    /// Its length in bytes.
    pub bytes: u32,
}

/// A lane, as a session sees it.
pub trait Lane {
    /// Its kind.
    fn kind(&self) -> LaneKind;

    /// What travels on it.
    fn role(&self) -> Role {
        Role::Any
    }

    /// Longest packet in bytes.
    fn max_packet(&self) -> u32;

    /// Whether a packet with messages may leave.
    fn departure(&self, now: Instant) -> Departure;

    /// A packet was built and is to leave; `limited` says that there was nothing more to send. Packets
    /// that are not acknowledged are not told.
    fn on_sent(&mut self, sent: &Sent, limited: bool);

    /// The packet was acknowledged.
    fn on_acked(&mut self, now: Instant, sent: &Sent);

    /// The packet is taken for lost.
    fn on_lost(&mut self, now: Instant, sent: &Sent);

    /// Whether a packet is to be taken for lost that is not acknowledged, while `largest` is.
    fn is_lost(&self, now: Instant, sent: &Sent, largest: u64) -> bool;

    /// How long to wait for an acknowledgement before asking for one, in nanoseconds.
    fn probe_timeout(&self) -> u64;
}

/// A reliable connected queue pair.
///
/// It loses nothing and keeps the order, so that a packet without an acknowledgement below one with it
/// was refused by the receiver for lack of memory. The queue pair tells when it is done with a packet,
/// and the lane keeps no more than `limit` packets in its queue: what comes meanwhile waits, and travels
/// together.
#[derive(Clone, Copy, Debug)]
pub struct Reliable {
    role: Role,
    max_packet: u32,
    limit: u16,
    posted: u16,
    probe_ns: u64,
}

impl Reliable {
    /// A lane that keeps at most `limit` packets of at most `max_packet` bytes in its queue, and asks
    /// for an acknowledgement after `probe_ns` nanoseconds.
    pub const fn new(role: Role, max_packet: u32, limit: u16, probe_ns: u64) -> Self {
        Self {
            role,
            max_packet,
            limit,
            posted: 0,
            probe_ns,
        }
    }

    /// Every packet that is posted is to be counted, acknowledged ones and others.
    pub fn on_posted(&mut self) {
        self.posted = self.posted.saturating_add(1);
    }

    /// The queue pair is done with `count` packets.
    pub fn on_completed(&mut self, count: u16) {
        self.posted = self.posted.saturating_sub(count);
    }
}

impl Lane for Reliable {
    fn kind(&self) -> LaneKind {
        LaneKind::Reliable
    }

    fn role(&self) -> Role {
        self.role
    }

    fn max_packet(&self) -> u32 {
        self.max_packet
    }

    fn departure(&self, _now: Instant) -> Departure {
        if self.posted < self.limit {
            Departure::Now
        } else {
            Departure::Blocked
        }
    }

    fn on_sent(&mut self, _sent: &Sent, _limited: bool) {}

    fn on_acked(&mut self, _now: Instant, _sent: &Sent) {}

    fn on_lost(&mut self, _now: Instant, _sent: &Sent) {}

    fn is_lost(&self, _now: Instant, sent: &Sent, largest: u64) -> bool {
        sent.number < largest
    }

    fn probe_timeout(&self) -> u64 {
        self.probe_ns
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reliable_lane_keeps_a_short_queue() {
        let mut lane = Reliable::new(Role::Small, 4096, 2, 1000);
        assert_eq!(
            (lane.kind(), lane.role()),
            (LaneKind::Reliable, Role::Small)
        );
        assert_eq!((lane.max_packet(), lane.probe_timeout()), (4096, 1000));
        lane.on_posted();
        assert_eq!(lane.departure(Instant(0)), Departure::Now);
        lane.on_posted();
        assert_eq!(lane.departure(Instant(0)), Departure::Blocked);
        lane.on_completed(1);
        assert_eq!(lane.departure(Instant(0)), Departure::Now);
    }

    #[test]
    fn below_an_acknowledged_packet_what_is_missing_was_refused() {
        let lane = Reliable::new(Role::Any, 4096, 2, 1000);
        let sent = Sent {
            number: 4,
            ..Sent::default()
        };
        assert!(lane.is_lost(Instant(0), &sent, 5));
        assert!(!lane.is_lost(Instant(0), &sent, 4));
    }
}
