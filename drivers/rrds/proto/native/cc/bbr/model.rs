// SPDX-License-Identifier: GPL-2.0

//! The model of the path: rounds, the rate, aggregation, and the volumes that follow.

use super::{Bbr, State, NO_RTT, UNBOUNDED};
use crate::native::cc::delivery::{Delivery, Sample};
use crate::native::cc::units::{saturate, Gain, Rate};

/// What is left of the short-term bounds after a round with losses: at least so much.
pub(super) const BETA: Gain = Gain(70);
/// Packets of the smallest window.
const MIN_PIPE_PACKETS: u32 = 4;
/// Packets of a path of which a quarter, the gain of ProbeBW_UP, is two.
const SHORT_PACKETS: u32 = 8;
/// Share of the long-term bound that is left to others.
const HEADROOM: Gain = Gain(15);

impl Bbr {
    /// Begins a packet-timed round trip.
    pub(super) fn start_round(&mut self, flow: &Delivery) {
        self.next_round_delivered = flow.delivered();
    }

    fn update_round(&mut self, sample: &Sample, flow: &Delivery) {
        self.round_start = sample.newest.delivered >= self.next_round_delivered;
        if self.round_start {
            self.start_round(flow);
            self.round_count = self.round_count.wrapping_add(1);
            self.rounds_since_probe_up = self.rounds_since_probe_up.saturating_add(1);
        }
        // The shortest of the round, from the first sample on.
        let rtt = saturate(sample.rtt);
        self.round_rtt = if self.round_start {
            rtt
        } else {
            self.round_rtt.min(rtt)
        };
    }

    fn update_max_bw(&mut self, sample: &Sample, flow: &Delivery) {
        self.update_round(sample, flow);
        let known = sample.rate > Rate::ZERO;
        if known && (sample.rate >= self.max_bw() || !sample.newest.app_limited) {
            self.max_bw.update(sample.rate);
        }
    }

    /// Near the beginning of each acknowledgement.
    pub(super) fn update_latest_delivery_signals(&mut self, sample: &Sample, flow: &Delivery) {
        self.bw_latest = self.bw_latest.max(sample.rate);
        self.inflight_latest = self.inflight_latest.max(sample.delivered);
        self.loss_round_start = sample.newest.delivered >= self.loss_round_delivered;
        if self.loss_round_start {
            self.loss_round_delivered = flow.delivered();
        }
        let (newest, acked) = (&sample.newest, sample.newly_acked);
        self.background.on_acked(newest, acked, self.cycle_stamp);
    }

    /// Near the end of each acknowledgement.
    pub(super) fn advance_latest_delivery_signals(&mut self, sample: &Sample) {
        if self.loss_round_start {
            self.bw_latest = sample.rate;
            self.inflight_latest = sample.delivered;
            self.loss_gaps = 0;
        }
    }

    /// Forgets the losses of the round.
    pub(super) fn reset_congestion_signals(&mut self) {
        self.is_loss_in_round = false;
        self.bw_latest = Rate::ZERO;
        self.inflight_latest = 0;
    }

    /// Takes in the rate, and once a round the losses.
    pub(super) fn update_congestion_signals(&mut self, sample: &Sample, flow: &Delivery) {
        self.update_max_bw(sample, flow);
        if !self.loss_round_start {
            return;
        }
        let lossy = self.is_loss_in_round && !self.state.is_accelerating();
        if lossy && self.is_loss_of_congestion(sample) {
            self.adapt_short_term_model();
        }
        // In Startup the end of the round is judged by check_startup_high_loss().
        if self.state != State::Startup {
            self.is_loss_in_round = false;
        }
    }

    /// Slows down to what the path delivered in the round that ends.
    fn adapt_short_term_model(&mut self) {
        if self.bw_shortterm == Rate::MAX {
            self.bw_shortterm = self.max_bw();
        }
        if self.inflight_shortterm == UNBOUNDED {
            self.inflight_shortterm = self.cwnd;
        }
        let bw = self.without_background(self.bw_latest.0);
        let inflight = self.without_background(u64::from(self.inflight_latest));
        self.bw_shortterm = self.bw_shortterm.times(BETA).max(Rate(bw));
        let least = BETA.of_bytes(self.inflight_shortterm);
        self.inflight_shortterm = least.max(saturate(inflight));
    }

    /// Removes the short-term bounds.
    pub(super) fn reset_short_term_model(&mut self) {
        self.bw_shortterm = Rate::MAX;
        self.inflight_shortterm = UNBOUNDED;
    }

    /// Measures by how much acknowledgements come in lumps.
    pub(super) fn update_ack_aggregation(&mut self, sample: &Sample) {
        let interval = sample.now.since(self.extra_acked_start);
        let mut expected = saturate(self.bw().bytes_in(interval));
        if self.extra_acked_delivered <= expected {
            self.extra_acked_delivered = 0;
            self.extra_acked_start = sample.now;
            expected = 0;
        }
        self.extra_acked_delivered = self
            .extra_acked_delivered
            .saturating_add(sample.newly_acked);
        let extra = self.extra_acked_delivered.saturating_sub(expected);
        self.extra_acked.update(
            extra.min(self.cwnd),
            self.round_count,
            !self.full_bw_reached,
        );
    }

    /// The smallest window.
    pub(super) const fn min_pipe_cwnd(&self) -> u32 {
        self.mss.saturating_mul(MIN_PIPE_PACKETS)
    }

    /// `gain` times the volume of a path of rate `bw`.
    pub(super) fn bdp_multiple(&self, bw: Rate, gain: Gain) -> u32 {
        if self.min_rtt == NO_RTT {
            return self.initial_cwnd;
        }
        saturate(gain.of(bw.bytes_in(u64::from(self.min_rtt))))
    }

    /// The volume of the path.
    pub fn bdp(&self) -> u32 {
        self.bdp_multiple(self.bw(), Gain(100))
    }

    /// A volume that bursts and late acknowledgements need not stall.
    fn quantization_budget(&self, volume: u32) -> u32 {
        let volume = volume.max(self.quantum).max(self.min_pipe_cwnd());
        let is_short = self.bdp() < self.mss.saturating_mul(SHORT_PACKETS);
        if self.state == State::ProbeUp && is_short {
            volume.saturating_add(self.mss.saturating_mul(2))
        } else {
            volume
        }
    }

    /// The volume of a path of rate `bw` and `gain`, with what bursts need.
    pub(super) fn inflight(&self, bw: Rate, gain: Gain) -> u32 {
        self.quantization_budget(self.bdp_multiple(bw, gain))
    }

    /// The volume that the path needs at this state's gain.
    pub(super) fn max_inflight(&self) -> u32 {
        let volume = self.bdp_multiple(self.bw(), self.state.cwnd_gain());
        self.quantization_budget(volume.saturating_add(self.extra_acked()))
    }

    /// What should be in flight, unless congestion has cut the window.
    pub(super) fn target_inflight(&self) -> u32 {
        self.bdp().min(self.cwnd)
    }

    /// The long-term bound less what is left to others.
    pub fn inflight_with_headroom(&self) -> u32 {
        if self.inflight_longterm == UNBOUNDED {
            return UNBOUNDED;
        }
        let headroom = HEADROOM.of_bytes(self.inflight_longterm).max(self.mss);
        let volume = self.inflight_longterm.saturating_sub(headroom);
        volume.max(self.min_pipe_cwnd())
    }
}
