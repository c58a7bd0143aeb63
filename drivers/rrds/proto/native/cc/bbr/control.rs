// SPDX-License-Identifier: GPL-2.0

//! Rate, burst and window, from the model.

use super::{Bbr, State, UNBOUNDED};
use crate::native::cc::controller::quantum;
use crate::native::cc::delivery::{Delivery, Sample};
use crate::native::cc::units::{Gain, Rate};

/// A hundredth below the path's rate, so that queues drain.
const MARGIN: Gain = Gain(99);

impl Bbr {
    /// The rate of the first flight, for a round trip of `rtt`.
    pub(super) fn init_pacing_rate(&mut self, rtt: u64) {
        let nominal = Rate::of(u64::from(self.initial_cwnd), rtt.max(1));
        self.pacing_rate = nominal.times(State::Startup.pacing_gain());
    }

    /// Paces at `gain` times the path's rate; until the pipe was full, never slower than before.
    pub(super) fn set_pacing_rate_with_gain(&mut self, gain: Gain) {
        let rate = self.bw().times(gain).times(MARGIN);
        // Without any sample, as from a peer that acknowledges in no time, the last one stays: with none nothing
        // would leave.
        if rate > Rate(0) && self.full_bw_reached || rate > self.pacing_rate {
            self.pacing_rate = rate;
        }
    }

    pub(super) fn set_pacing_rate(&mut self) {
        self.set_pacing_rate_with_gain(self.state.pacing_gain());
    }

    pub(super) fn set_quantum(&mut self) {
        self.quantum = quantum(self.pacing_rate, u64::from(self.min_rtt), self.mss);
    }

    /// Moves the window towards what the path needs, within what recent losses allow.
    pub(super) fn set_cwnd(&mut self, sample: &Sample, flow: &Delivery) {
        let most = self.max_inflight();
        let grown = self.cwnd.saturating_add(sample.newly_acked);
        if self.full_bw_reached {
            self.cwnd = grown.min(most);
        } else if self.cwnd < most || flow.delivered() < u64::from(self.initial_cwnd) {
            self.cwnd = grown;
        }
        self.cwnd = self.cwnd.max(self.min_pipe_cwnd());
        if self.state == State::ProbeRtt {
            self.cwnd = self.cwnd.min(self.probe_rtt_cwnd);
        }
        self.bound_cwnd_for_model();
    }

    fn bound_cwnd_for_model(&mut self) {
        let longterm = match self.state {
            State::ProbeDown | State::ProbeRefill | State::ProbeUp => self.inflight_longterm,
            State::ProbeCruise | State::ProbeRtt => self.inflight_with_headroom(),
            State::Startup | State::Drain => UNBOUNDED,
        };
        let cap = longterm.min(self.inflight_shortterm);
        self.cwnd = self.cwnd.min(cap.max(self.min_pipe_cwnd()));
    }
}
