// SPDX-License-Identifier: GPL-2.0

//! Startup and Drain: how much the path carries, from nothing.

use super::{Bbr, State};
use crate::native::cc::delivery::{Delivery, Sample};
use crate::native::cc::units::{Gain, Rate};
use crate::time::Instant;

/// Growth of the rate in a round that shows that the pipe is not full.
const GROWTH: Gain = Gain(125);
/// Rounds without growth after which it is.
const FULL_ROUNDS: u8 = 3;
/// Gaps among the packets of a round that make its losses more than bad luck.
const FULL_LOSS_GAPS: u8 = 6;
/// Rounds after which Drain ends anyhow.
const DRAIN_ROUNDS: u32 = 3;

impl Bbr {
    /// Begins to search for how much the path carries.
    pub(super) fn enter_startup(&mut self) {
        self.state = State::Startup;
    }

    /// Begins to look for a plateau of the rate.
    pub(super) fn reset_full_bw(&mut self) {
        self.full_bw = Rate::ZERO;
        self.full_bw_count = 0;
        self.full_bw_now = false;
    }

    /// Looks for a plateau of the rate, once a round.
    pub(super) fn check_full_bw_reached(&mut self, sample: &Sample) {
        let tells = sample.rate > Rate::ZERO && !sample.newest.app_limited;
        if self.full_bw_now || !self.round_start || !tells {
            return;
        }
        if sample.rate >= self.full_bw.times(GROWTH) {
            self.reset_full_bw();
            self.full_bw = sample.rate;
            return;
        }
        self.full_bw_count = self.full_bw_count.saturating_add(1);
        self.full_bw_now = self.full_bw_count >= FULL_ROUNDS;
        if self.full_bw_now {
            self.full_bw_reached = true;
        }
    }

    /// Ends Startup when the pipe is full.
    pub(super) fn check_startup_done(&mut self, sample: &Sample, flow: &Delivery) {
        if self.state != State::Startup {
            return;
        }
        self.check_startup_high_loss(sample);
        if self.full_bw_reached {
            self.enter_drain(flow);
        }
    }

    /// Deems the pipe full if a round has lost too much, in too many places.
    ///
    /// A round that began with the first loss is the round of recovery that the draft asks for.
    fn check_startup_high_loss(&mut self, sample: &Sample) {
        if !self.loss_round_start || !self.is_loss_in_round {
            return;
        }
        let high = self.is_inflight_too_high(sample.lost, sample.newest.inflight);
        if high && self.loss_gaps >= FULL_LOSS_GAPS {
            self.undo.state = Some(State::Startup);
            self.full_bw_now = true;
            self.full_bw_reached = true;
            self.inflight_longterm = self.bdp().max(self.inflight_latest);
        }
        self.is_loss_in_round = false;
    }

    fn enter_drain(&mut self, _flow: &Delivery) {
        self.state = State::Drain;
        self.drain_start_round = self.round_count;
    }

    /// Ends Drain when no more is in flight than the path holds, or after a few rounds.
    pub(super) fn check_drain_done(&mut self, flow: &Delivery, now: Instant) {
        if self.state != State::Drain {
            return;
        }
        let rounds = self.round_count.wrapping_sub(self.drain_start_round);
        if flow.inflight() <= self.inflight(self.bw(), Gain(100)) || rounds > DRAIN_ROUNDS {
            self.start_probe_down(flow, now);
        }
    }
}
