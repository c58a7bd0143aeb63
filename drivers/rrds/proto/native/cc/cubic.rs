// SPDX-License-Identifier: GPL-2.0

//! CUBIC: the window follows a cubic curve in time around where the last loss was.
//!
//! RFC 9438. Time is counted in milliseconds here: where a round trip is shorter, the window of Reno
//! that the RFC also asks for is always the larger of the two.

use super::controller::{Config, Controller, Lost};
use super::delivery::{Delivery, Sample, Snapshot};
use super::units::{cube_root, saturate, Gain, Rate};
use super::window::Window;
use crate::time::Instant;

/// What is left of the window after a loss.
const BETA: Gain = Gain(70);
/// What is remembered of a window that was smaller than the one before it: fast convergence.
const CONVERGE: Gain = Gain(85);
/// Nanoseconds in a millisecond.
const MS_NS: u64 = 1_000_000;
/// Longest time from the top of the curve that counts, in milliseconds: nine minutes.
const MOST_MS: u64 = 1 << 19;
/// Growth of the window of Reno in thousandths of a packet a round: 3 (1 - β) / (1 + β).
const RENO_ALPHA: u64 = 529;

/// See the [module](self).
#[derive(Clone, Copy, Debug)]
pub struct Cubic {
    window: Window,
    /// The window at the latest loss, in bytes.
    w_max: u32,
    /// When the curve began.
    epoch: Option<Instant>,
    /// Milliseconds from the beginning of the curve to its top.
    k_ms: u64,
    /// Window that Reno would have, in 1/256 bytes.
    w_reno: u64,
    /// Part of the window below a byte, in 1/256.
    fraction: u32,
}

/// `bytes` in 1/256.
const fn fine(bytes: u32) -> u64 {
    // CAST: widening, which `From` cannot do in a const function.
    (bytes as u64) << 8
}

impl Cubic {
    /// The controller of a new flow.
    pub const fn new(config: &Config) -> Self {
        Self {
            window: Window::new(config),
            w_max: 0,
            epoch: None,
            k_ms: 0,
            w_reno: 0,
            fraction: 0,
        }
    }

    /// The time from the beginning of the curve to its top: cbrt((w_max - cwnd) / C) with C = 0.4.
    fn k_ms(&self) -> u64 {
        let below = u64::from(self.w_max.saturating_sub(self.window.cwnd));
        let mss = u64::from(self.window.mss.max(1));
        // Cubic milliseconds: 2.5 × 10^9 a packet.
        cube_root(below.saturating_mul(2_500_000_000) / mss)
    }

    /// The curve at `ms` from its beginning.
    fn curve(&self, ms: u64) -> u32 {
        let distance = ms.abs_diff(self.k_ms).min(MOST_MS);
        let cube = distance.saturating_mul(distance).saturating_mul(distance);
        // 0.4 packets per cubic second, in bytes; a 2500th of a cubic millisecond is a millionth.
        let delta = saturate((cube / 2500).saturating_mul(u64::from(self.window.mss)) / 1_000_000);
        if ms >= self.k_ms {
            self.w_max.saturating_add(delta)
        } else {
            self.w_max.saturating_sub(delta)
        }
    }

    /// Shrinks the window, once for all that was sent before.
    fn congested(&mut self, now: Instant, sent: &Snapshot) {
        if self.window.begin_recovery(now, sent) {
            let cwnd = self.window.cwnd;
            self.w_max = if cwnd < self.w_max {
                CONVERGE.of_bytes(cwnd)
            } else {
                cwnd
            };
            self.window.shrink(BETA.of_bytes(cwnd));
            self.epoch = None;
        }
    }

    /// Follows the curve, or Reno where that is ahead.
    fn avoid(&mut self, now: Instant, srtt: u64, acked: u32) {
        let cwnd = self.window.cwnd.max(1);
        let epoch = match self.epoch {
            Some(epoch) => epoch,
            None => {
                self.epoch = Some(now);
                self.w_max = self.w_max.max(cwnd);
                self.k_ms = self.k_ms();
                self.w_reno = fine(cwnd);
                self.fraction = 0;
                now
            }
        };
        let since = now.since(epoch);
        let alpha = if self.w_reno >= fine(self.w_max) {
            1000
        } else {
            RENO_ALPHA
        };
        let packet = fine(self.window.mss).saturating_mul(alpha) / 1000;
        let step = packet.saturating_mul(u64::from(acked)) / u64::from(cwnd);
        self.w_reno = self.w_reno.saturating_add(step);
        let reno = saturate(self.w_reno >> 8);
        if self.curve(since / MS_NS) < reno {
            self.window.cwnd = cwnd.max(reno);
            return;
        }
        let ahead = self.curve(since.saturating_add(srtt) / MS_NS);
        let target = ahead.clamp(cwnd, cwnd.saturating_add(cwnd >> 1));
        // Whole of the way within a round: by the share of the window that was acknowledged.
        let way = fine(target.saturating_sub(cwnd)).saturating_mul(u64::from(acked));
        let step = (way / u64::from(cwnd)).saturating_add(u64::from(self.fraction));
        // CAST: at most 255.
        self.fraction = (step & 0xff) as u32;
        self.window.cwnd = cwnd.saturating_add(saturate(step >> 8));
    }
}

impl Controller for Cubic {
    fn on_transmit(&mut self, _now: Instant, _flow: &Delivery) {}

    fn on_ack(&mut self, sample: &Sample, _flow: &mut Delivery) {
        if !self.window.may_grow(sample) {
            // Time in which the window was not used does not count.
            self.epoch = None;
            return;
        }
        let rest = self.window.slow_start(sample.newly_acked);
        if rest > 0 {
            self.avoid(sample.now, sample.srtt, rest);
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
        self.window.collapse(BETA.of_bytes(self.window.cwnd));
        self.epoch = None;
    }

    fn on_spurious(&mut self, _now: Instant, _flow: &Delivery) {
        if self.window.undo() {
            self.epoch = None;
        }
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
    fn the_curve_comes_back_to_where_the_loss_was() {
        let mut t = Step::new(1000);
        t.rtt = 100 * MS_NS;
        let mut c = Cubic::new(&t.config());
        for _ in 0..4 {
            let packets = c.cwnd() / 1000;
            ack(&mut t, &mut c, packets);
        }
        assert_eq!(c.cwnd(), 160_000);
        lose(&mut t, &mut c, 2);
        assert_eq!((c.cwnd(), c.w_max), (112_000, 160_000));
        // K = cbrt(48 / 0.4) = 4.93 s; a packet below the top is 1.36 s earlier, 18 steps of 200 ms.
        let mut rounds = 0;
        while c.cwnd() < 159_000 && rounds < 100 {
            let before = c.cwnd();
            let packets = c.cwnd() / 1000;
            ack(&mut t, &mut c, packets);
            assert!(c.cwnd() >= before, "it never shrinks by itself");
            rounds += 1;
        }
        assert_eq!(c.k_ms, 4932);
        assert!((17..=20).contains(&rounds), "{rounds} rounds");
        for _ in 0..60 {
            let packets = c.cwnd() / 1000;
            ack(&mut t, &mut c, packets);
        }
        assert!(
            c.cwnd() > 200_000,
            "beyond the top it grows faster and faster"
        );
    }

    #[test]
    fn a_short_round_trip_is_for_reno() {
        let mut t = Step::new(1000);
        t.rtt = MS_NS / 20;
        let mut c = Cubic::new(&t.config());
        lose(&mut t, &mut c, 1);
        assert_eq!(c.cwnd(), 7000);
        for _ in 0..10 {
            let packets = c.cwnd() / 1000;
            ack(&mut t, &mut c, packets);
        }
        // 0.529 packets a round up to where the loss was, then one.
        assert!((13_500..=14_500).contains(&c.cwnd()), "{}", c.cwnd());
    }

    #[test]
    fn a_flow_that_shrinks_gives_way() {
        let mut t = Step::new(1000);
        let mut c = Cubic::new(&t.config());
        lose(&mut t, &mut c, 1);
        assert_eq!(c.w_max, 10_000);
        t.next_flight();
        lose(&mut t, &mut c, 1);
        assert_eq!((c.cwnd(), c.w_max), (4900, 5950));
        t.next_flight();
        let sent = t.sent();
        c.on_ecn(t.now, &sent, &t.flow);
        assert_eq!(c.cwnd(), 3430);
    }

    #[test]
    fn idle_time_is_not_of_the_curve() {
        let mut t = Step::new(1000);
        let mut c = Cubic::new(&t.config());
        lose(&mut t, &mut c, 1);
        ack(&mut t, &mut c, 7);
        assert!(c.epoch.is_some());
        t.limited = false;
        ack(&mut t, &mut c, 7);
        assert!(c.epoch.is_none());
    }

    #[test]
    fn it_collapses_and_takes_back() {
        let t = Step::new(1000);
        let mut c = Cubic::new(&t.config());
        c.on_persistent_loss(t.now, &t.flow);
        assert_eq!((c.cwnd(), c.window.ssthresh), (2000, 7000));
        c.on_spurious(t.now, &t.flow);
        assert_eq!(c.cwnd(), 10_000);
        c.on_spurious(t.now, &t.flow);
        assert_eq!((c.cwnd(), c.pacing_rate()), (10_000, Rate(20_000_000)));
        assert_eq!(c.quantum(), 2500);
    }

    #[test]
    fn the_curve_bears_any_time() {
        let t = Step::new(1 << 20);
        let mut c = Cubic::new(&t.config());
        c.k_ms = u64::MAX;
        assert_eq!(c.curve(0), 0);
        c.k_ms = 0;
        assert_eq!(c.curve(u64::MAX), u32::MAX);
        c.w_max = u32::MAX;
        assert_eq!(c.k_ms(), 21_697);
    }
}
