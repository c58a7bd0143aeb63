// SPDX-License-Identifier: GPL-2.0

//! ProbeBW: the steady cycle of slower, as fast, and faster than the path delivers.

use super::{AckPhase, Bbr, State, UNBOUNDED};
use crate::native::cc::delivery::{Delivery, Sample};
use crate::native::cc::units::{saturate, Gain};
use crate::time::Instant;

/// A flow waits so long at most before it probes again, in microseconds,
const WAIT_US: u64 = 2_500_000;
/// and a bit longer, drawn from so much;
const WAIT_SPREAD_US: u64 = 250_000;
/// on a path that is longer than this, as many of its round trips as on this one,
const WAIT_RTT_US: u64 = 50_000;
/// but no longer than half of the time between two ProbeRTT, after each of which it waits anew;
const MOST_WAIT_US: u64 = 5_000_000;
/// and as many rounds as the path holds packets, but no more than these: as often as Reno would.
const MOST_ROUNDS: u32 = 63;
/// The growth of the long-term bound doubles so many times at most.
const MOST_DOUBLINGS: u8 = 30;

impl Bbr {
    /// A random number.
    fn random(&mut self) -> u32 {
        let mut x = self.random;
        x ^= x << 13;
        x ^= x >> 17;
        x ^= x << 5;
        self.random = x;
        x
    }

    /// Decides how long to wait before the next probe.
    fn pick_probe_wait(&mut self) {
        let random = self.random();
        self.rounds_since_probe_up = random & 1;
        let spread = u64::from(random >> 1).saturating_mul(WAIT_SPREAD_US) >> 31;
        let rtt = self.min_rtt().map_or(0, |ns| ns / 1000).max(WAIT_RTT_US);
        let wait = WAIT_US.saturating_add(spread).saturating_mul(rtt);
        self.probe_wait_us = saturate((wait / WAIT_RTT_US).min(MOST_WAIT_US));
    }

    /// Slower than the path delivers.
    pub(super) fn start_probe_down(&mut self, flow: &Delivery, now: Instant) {
        self.reset_congestion_signals();
        self.probe_up_acked_per_inc = UNBOUNDED;
        self.pick_probe_wait();
        self.cycle_stamp = now;
        self.ack_phase = AckPhase::Stopping;
        self.start_round(flow);
        self.background.begin(self.mss);
        self.state = State::ProbeDown;
    }

    /// As fast as the path delivers.
    pub(super) fn start_probe_cruise(&mut self, now: Instant) {
        self.background.end(now);
        self.state = State::ProbeCruise;
    }

    /// Fills the pipe, without the short-term bounds.
    pub(super) fn start_probe_refill(&mut self, flow: &Delivery, now: Instant) {
        self.background.end(now);
        self.reset_short_term_model();
        self.probe_up_rounds = 0;
        self.probe_up_acked = 0;
        self.prev_probe_precautionary = false;
        self.ack_phase = AckPhase::Refilling;
        self.start_round(flow);
        self.state = State::ProbeRefill;
    }

    /// Faster than the path delivers.
    fn start_probe_up(&mut self, sample: &Sample, flow: &Delivery) {
        self.ack_phase = AckPhase::Starting;
        self.start_round(flow);
        self.reset_full_bw();
        self.full_bw = sample.rate;
        self.state = State::ProbeUp;
        self.raise_inflight_longterm_slope();
    }

    /// Moves on in the cycle.
    pub(super) fn update_probe_bw(&mut self, sample: &Sample, flow: &Delivery) {
        if !self.full_bw_reached || self.adapt_long_term_model(sample, flow) {
            return;
        }
        match self.state {
            State::ProbeDown => {
                if self.is_time_to_probe_bw(sample.now) {
                    self.start_probe_refill(flow, sample.now);
                } else if self.is_time_to_cruise(flow) {
                    self.start_probe_cruise(sample.now);
                }
            }
            State::ProbeCruise => {
                if self.is_time_to_probe_bw(sample.now) {
                    self.start_probe_refill(flow, sample.now);
                }
            }
            State::ProbeRefill => {
                if self.round_start {
                    self.is_probe_sample = true;
                    self.start_probe_up(sample, flow);
                }
            }
            State::ProbeUp => {
                if self.is_time_to_go_down(sample, flow) {
                    self.prev_probe_too_high = false;
                    self.start_probe_down(flow, sample.now);
                }
            }
            State::Startup | State::Drain | State::ProbeRtt => {}
        }
    }

    /// Whether it is time to look for more bandwidth.
    fn is_time_to_probe_bw(&self, now: Instant) -> bool {
        if now.since(self.cycle_stamp) > self.probe_wait_ns() {
            return true;
        }
        let packets = self.target_inflight().checked_div(self.mss).unwrap_or(0);
        self.rounds_since_probe_up >= packets.min(MOST_ROUNDS)
    }

    /// Whether the queue is drained, and room left for others.
    fn is_time_to_cruise(&self, flow: &Delivery) -> bool {
        flow.inflight() <= self.inflight_with_headroom()
            && flow.inflight() <= self.inflight(self.max_bw(), Gain(100))
    }

    /// Whether the probe is at its end.
    fn is_time_to_go_down(&mut self, sample: &Sample, flow: &Delivery) -> bool {
        if self.prev_probe_too_high && flow.inflight() >= self.inflight_longterm {
            self.prev_probe_precautionary = true;
            return true;
        }
        if sample.cwnd_limited && self.cwnd >= self.inflight_longterm {
            // The bound keeps the rate from growing, not the path.
            self.reset_full_bw();
            self.full_bw = sample.rate;
            return false;
        }
        self.full_bw_now
    }

    /// Doubles the growth of the long-term bound: 1, 2, 4 packets a round and so on.
    fn raise_inflight_longterm_slope(&mut self) {
        let growth = 1_u32.wrapping_shl(u32::from(self.probe_up_rounds));
        self.probe_up_rounds = self.probe_up_rounds.saturating_add(1).min(MOST_DOUBLINGS);
        let per_packet = self.cwnd.checked_div(growth).unwrap_or(0);
        self.probe_up_acked_per_inc = per_packet.max(self.mss);
    }

    /// Raises the long-term bound while the flow uses it up without losses.
    fn probe_inflight_longterm_upward(&mut self, sample: &Sample) {
        if !sample.cwnd_limited || self.cwnd < self.inflight_longterm {
            return;
        }
        self.probe_up_acked = self.probe_up_acked.saturating_add(sample.newly_acked);
        let per_inc = self.probe_up_acked_per_inc.max(1);
        let packets = self.probe_up_acked.checked_div(per_inc).unwrap_or(0);
        if packets > 0 {
            let used = packets.saturating_mul(per_inc);
            self.probe_up_acked = self.probe_up_acked.saturating_sub(used);
            let more = packets.saturating_mul(self.mss);
            self.inflight_longterm = self.inflight_longterm.saturating_add(more);
        }
        if self.round_start {
            self.raise_inflight_longterm_slope();
        }
    }

    /// Follows what acknowledgements say of the probe; whether that has decided the next state.
    fn adapt_long_term_model(&mut self, sample: &Sample, flow: &Delivery) -> bool {
        if self.round_start {
            match self.ack_phase {
                AckPhase::Starting => self.ack_phase = AckPhase::Feedback,
                AckPhase::Stopping => {
                    self.is_probe_sample = false;
                    self.ack_phase = AckPhase::Init;
                    if self.end_of_probe(sample, flow) {
                        return true;
                    }
                }
                AckPhase::Init | AckPhase::Refilling | AckPhase::Feedback => {}
            }
        }
        let bounded = self.inflight_longterm != UNBOUNDED;
        if bounded && !self.is_inflight_too_high(sample.lost, sample.newest.inflight) {
            self.inflight_longterm = self.inflight_longterm.max(sample.newest.inflight);
            if self.state == State::ProbeUp {
                self.probe_inflight_longterm_upward(sample);
            }
        }
        false
    }

    /// All that was sent in the probe is acknowledged; whether the next one follows at once.
    fn end_of_probe(&mut self, sample: &Sample, flow: &Delivery) -> bool {
        if !self.state.is_probe_bw() {
            return false;
        }
        if !sample.newest.app_limited {
            self.max_bw.advance();
        }
        let again = self.prev_probe_precautionary && !self.prev_probe_too_high;
        if again {
            self.start_probe_refill(flow, sample.now);
        }
        again
    }
}
