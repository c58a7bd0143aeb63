// SPDX-License-Identifier: GPL-2.0

//! ProbeRTT and the shortest round trip; what is done after idleness.

use super::{AckPhase, Bbr, State};
use crate::native::cc::delivery::{Delivery, Sample};
use crate::native::cc::units::{saturate, Gain};
use crate::time::Instant;

/// How long the shortest round trip is believed; as long as ProbeRTT is apart.
pub(super) const MIN_RTT_FILTER_NS: u64 = 10_000_000_000;
/// How long ProbeRTT lasts at least.
pub(super) const PROBE_RTT_NS: u64 = 200_000_000;

impl Bbr {
    /// Takes in a round trip.
    pub(super) fn update_min_rtt(&mut self, sample: &Sample) {
        self.min_rtt_expired = sample.now.since(self.min_rtt_stamp) > MIN_RTT_FILTER_NS;
        if self.min_rtt_expired && self.state != State::ProbeRtt {
            // Of the round trip that is known, before one with a queue takes its place.
            let cwnd = self.bdp_multiple(self.bw(), State::ProbeRtt.cwnd_gain());
            self.probe_rtt_cwnd = cwnd.max(self.min_pipe_cwnd());
        }
        let rtt = saturate(sample.rtt);
        if rtt < self.min_rtt || self.min_rtt_expired {
            if self.min_rtt().is_none() && !self.full_bw_reached {
                self.init_pacing_rate(sample.rtt);
            }
            self.min_rtt = rtt;
            self.min_rtt_stamp = sample.now;
        }
    }

    /// Enters ProbeRTT when the round trip is no longer believed, and leaves it.
    pub(super) fn check_probe_rtt(&mut self, sample: &Sample, flow: &mut Delivery) {
        if self.state != State::ProbeRtt && self.min_rtt_expired && !self.idle_restart {
            self.background.end(sample.now);
            self.save_cwnd();
            self.state = State::ProbeRtt;
            self.probe_rtt_done = Instant::NEVER;
            self.ack_phase = AckPhase::Stopping;
            self.start_round(flow);
        }
        if self.state == State::ProbeRtt {
            self.handle_probe_rtt(sample.now, flow);
        }
        if sample.delivered > 0 {
            self.idle_restart = false;
        }
    }

    fn handle_probe_rtt(&mut self, now: Instant, flow: &mut Delivery) {
        // Low rates of ProbeRTT say nothing of the path.
        flow.mark_app_limited();
        if self.probe_rtt_done != Instant::NEVER {
            if self.round_start {
                self.probe_rtt_round_done = true;
            }
            if self.probe_rtt_round_done {
                self.check_probe_rtt_done(now, flow);
            }
        } else if flow.inflight() <= self.probe_rtt_cwnd {
            self.probe_rtt_done = now.after(PROBE_RTT_NS);
            self.probe_rtt_round_done = false;
            self.start_round(flow);
        }
    }

    fn check_probe_rtt_done(&mut self, now: Instant, flow: &Delivery) {
        if now > self.probe_rtt_done {
            // The next ProbeRTT is ten seconds from here.
            self.min_rtt_stamp = now;
            self.restore_cwnd();
            self.exit_probe_rtt(now, flow);
        }
    }

    fn exit_probe_rtt(&mut self, now: Instant, flow: &Delivery) {
        self.reset_short_term_model();
        if self.full_bw_reached {
            self.start_probe_down(flow, now);
            self.start_probe_cruise(now);
        } else {
            self.enter_startup();
        }
    }

    /// Before a packet is sent: idleness has drained the queue.
    pub(super) fn handle_restart_from_idle(&mut self, now: Instant, flow: &Delivery) {
        if flow.inflight() > 0 || !flow.is_app_limited() {
            return;
        }
        self.idle_restart = true;
        self.extra_acked_start = now;
        if self.state.is_probe_bw() {
            self.set_pacing_rate_with_gain(Gain(100));
        } else if self.state == State::ProbeRtt {
            self.check_probe_rtt_done(now, flow);
        }
    }
}
