// SPDX-License-Identifier: GPL-2.0

//! How long the peer takes to acknowledge.
//!
//! Measured from when a message that demands an acknowledgement was handed over in full to when that
//! comes: the way there and back, the peer's software, and what was ahead of the message. One message
//! at a time is measured. Nothing is decided by it.

use crate::time::Instant;

/// See the [module](self).
#[derive(Clone, Copy, Debug, Default)]
pub struct Rtt {
    /// Which message is being measured, and when it was handed over.
    pending: Option<(u64, Instant)>,
    /// Smoothed, in nanoseconds; 0 before the first sample.
    smoothed: u64,
}

impl Rtt {
    /// The smoothed time in nanoseconds, if any was measured.
    pub const fn smoothed_ns(&self) -> Option<u64> {
        match self.smoothed {
            0 => None,
            ns => Some(ns),
        }
    }

    /// Whether a message can be measured.
    pub const fn is_idle(&self) -> bool {
        self.pending.is_none()
    }

    /// Notes that message `seq`, which demands an acknowledgement, was handed over at `now`.
    pub fn on_demand(&mut self, seq: u64, now: Instant) {
        if self.pending.is_none() {
            self.pending = Some((seq, now));
        }
    }

    /// Whether an acknowledgement of all up to `acked` ends the measurement.
    pub fn is_ended_by(&self, acked: u64) -> bool {
        self.pending.is_some_and(|(seq, _)| acked >= seq)
    }

    /// Ends the measurement at `now`. An eighth of the smoothed time is the new one.
    pub fn on_ack(&mut self, now: Instant) {
        if let Some((_, sent)) = self.pending.take() {
            let sample = now.0.saturating_sub(sent.0).max(1);
            self.smoothed = match self.smoothed {
                0 => sample,
                old => (old.saturating_sub(old >> 3))
                    .saturating_add(sample >> 3)
                    .max(1),
            };
        }
    }

    /// Forgets the measurement: the connection is lost. What was measured stays.
    pub fn forget(&mut self) {
        self.pending = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_message_is_measured_at_a_time() {
        let mut r = Rtt::default();
        assert_eq!(r.smoothed_ns(), None);
        r.on_demand(7, Instant(100));
        r.on_demand(8, Instant(150));
        assert!(!r.is_idle() && !r.is_ended_by(6) && r.is_ended_by(7));
        r.on_ack(Instant(900));
        assert_eq!((r.smoothed_ns(), r.is_idle()), (Some(800), true));
        r.on_ack(Instant(5000));
        assert_eq!(r.smoothed_ns(), Some(800), "nothing was being measured");
    }

    #[test]
    fn an_eighth_is_new() {
        let mut r = Rtt::default();
        for (seq, sample) in [(1, 800), (2, 1600)] {
            r.on_demand(seq, Instant(0));
            r.on_ack(Instant(sample));
        }
        assert_eq!(r.smoothed_ns(), Some(900));
    }

    #[test]
    fn a_lost_connection_ends_the_measurement_without_a_result() {
        let mut r = Rtt::default();
        r.on_demand(1, Instant(0));
        r.forget();
        assert!(r.is_idle() && !r.is_ended_by(u64::MAX));
        assert_eq!(r.smoothed_ns(), None);
    }
}
