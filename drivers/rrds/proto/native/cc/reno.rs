// SPDX-License-Identifier: GPL-2.0

//! Reno: one packet more each round, half as many after a loss.
//!
//! RFC 5681, as RFC 9002 states it for packets whose numbers are never used again.

use super::controller::{Config, Controller, Lost};
use super::delivery::{Delivery, Sample, Snapshot};
use super::units::Rate;
use super::window::Window;
use crate::time::Instant;

/// See the [module](self).
#[derive(Clone, Copy, Debug)]
pub struct Reno {
    window: Window,
    /// Bytes acknowledged since the window was opened by a packet.
    acked: u32,
}

impl Reno {
    /// The controller of a new flow.
    pub const fn new(config: &Config) -> Self {
        Self {
            window: Window::new(config),
            acked: 0,
        }
    }

    /// Halves the window, once for all that was sent before.
    fn congested(&mut self, now: Instant, sent: &Snapshot) {
        if self.window.begin_recovery(now, sent) {
            self.window.shrink(self.window.cwnd >> 1);
            self.acked = 0;
        }
    }
}

impl Controller for Reno {
    fn on_transmit(&mut self, _now: Instant, _flow: &Delivery) {}

    fn on_ack(&mut self, sample: &Sample, _flow: &mut Delivery) {
        if !self.window.may_grow(sample) {
            return;
        }
        let rest = self.window.slow_start(sample.newly_acked);
        self.acked = self.acked.saturating_add(rest);
        if self.acked >= self.window.cwnd {
            self.acked = self.acked.saturating_sub(self.window.cwnd);
            self.window.cwnd = self.window.cwnd.saturating_add(self.window.mss);
        }
    }

    fn on_loss(&mut self, now: Instant, lost: &Lost, _flow: &Delivery) {
        if lost.first {
            self.window.save();
        }
        self.congested(now, &lost.sent);
    }

    fn on_ecn(&mut self, now: Instant, newest: &Snapshot, _flow: &Delivery) {
        self.congested(now, newest);
    }

    fn on_persistent_loss(&mut self, _now: Instant, _flow: &Delivery) {
        self.window.collapse(self.window.cwnd >> 1);
        self.acked = 0;
    }

    fn on_spurious(&mut self, _now: Instant, _flow: &Delivery) {
        self.window.undo();
    }

    fn cwnd(&self) -> u32 {
        self.window.cwnd
    }

    fn pacing_rate(&self) -> Rate {
        self.window.pacing_rate()
    }

    fn quantum(&self) -> u32 {
        self.window.quantum()
    }
}

#[cfg(test)]
mod tests {
    use super::super::hand::{ack, lose, Step};
    use super::*;

    #[test]
    fn it_doubles_then_adds_then_halves() {
        let mut t = Step::new(1000);
        let mut c = Reno::new(&t.config());
        assert_eq!(c.cwnd(), 10_000);
        ack(&mut t, &mut c, 10);
        assert_eq!(c.cwnd(), 20_000, "slow start");
        assert_eq!(
            c.pacing_rate(),
            Rate::of(20_000, t.rtt).times(super::super::units::Gain(200))
        );
        lose(&mut t, &mut c, 3);
        assert_eq!(c.cwnd(), 10_000, "once for a flight");
        ack(&mut t, &mut c, 9);
        assert_eq!(c.cwnd(), 10_000);
        ack(&mut t, &mut c, 1);
        assert_eq!(c.cwnd(), 11_000, "one packet a round");
        assert_eq!(
            c.pacing_rate(),
            Rate::of(11_000, t.rtt).times(super::super::units::Gain(120))
        );
        assert_eq!(c.quantum(), 2000);
    }

    #[test]
    fn slow_start_ends_at_the_threshold_to_the_byte() {
        let mut t = Step::new(1000);
        let mut c = Reno::new(&t.config());
        c.window.ssthresh = 12_000;
        ack(&mut t, &mut c, 10);
        assert_eq!((c.cwnd(), c.acked), (12_000, 8000));
    }

    #[test]
    fn an_unused_window_does_not_grow() {
        let mut t = Step::new(1000);
        let mut c = Reno::new(&t.config());
        t.limited = false;
        ack(&mut t, &mut c, 10);
        assert_eq!(c.cwnd(), 10_000);
    }

    #[test]
    fn a_mark_is_as_a_loss() {
        let mut t = Step::new(1000);
        let mut c = Reno::new(&t.config());
        let sent = t.sent();
        c.on_ecn(t.now, &sent, &t.flow);
        assert_eq!(c.cwnd(), 5000);
        c.on_ecn(t.now, &sent, &t.flow);
        assert_eq!(c.cwnd(), 5000, "answered");
    }

    #[test]
    fn it_collapses_and_takes_back() {
        let mut t = Step::new(1000);
        let mut c = Reno::new(&t.config());
        lose(&mut t, &mut c, 1);
        c.on_persistent_loss(t.now, &t.flow);
        assert_eq!((c.cwnd(), c.window.ssthresh), (2000, 2500));
        c.on_spurious(t.now, &t.flow);
        assert_eq!((c.cwnd(), c.window.ssthresh), (10_000, u32::MAX));
        c.on_spurious(t.now, &t.flow);
        assert_eq!(c.cwnd(), 10_000);
        c.on_persistent_loss(t.now, &t.flow);
        c.on_persistent_loss(t.now, &t.flow);
        c.on_spurious(t.now, &t.flow);
        assert_eq!(c.cwnd(), 10_000);
    }
}
