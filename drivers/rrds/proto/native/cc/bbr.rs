// SPDX-License-Identifier: GPL-2.0

//! BBR version 3: the rate and the volume come from a model of the path.
//!
//! The law is draft-ietf-ccwg-bbr (of August 2026), whose names the fields and methods keep. Its
//! appendix of test cases is run by the link simulator in `tools/links`.
//!
//! # Where this leaves the draft
//!
//! | Draft | Here | Why |
//! |---|---|---|
//! | a burst is a millisecond's worth | an eighth of the round trip's | lanes have round trips of 10 µs |
//! | ProbeRTT every 10 s for 200 ms | the same | flows that share a link drain it together |
//! | the first rate assumes 1 ms | corrected at the first sample, down as well as up | 10 µs to 200 ms |
//! | nothing is said about marks (ECN) | a marked byte counts as a lost one | marks are congestion |
//! | a window has 4 packets at least | the same | a receiver may wait with acknowledgements |
//! | a flow waits 2 to 3 s before it probes, or 63 rounds | 2.5 to 2.75 s, and longer above 50 ms | [see below](#probes) |
//! | a probe has two packets more than its gain says | if its gain is less than two | short queues |
//! | any loss rate above 2 % is too high | [see below](#random-loss) | links that lose by themselves |
//!
//! # Probes
//!
//! The draft's two to three seconds are fifty round trips or more up to 40 ms, but only twenty at 100 ms. There a
//! flow probes so often that CUBIC, which needs nine seconds between losses, gets an eighth of its share. So from
//! 50 ms on a flow waits as many round trips as at 50 ms, up to 5 s: after a ProbeRTT, every ten seconds, it waits
//! anew. It draws the time from a narrow span: flows that probe at about the same time find equal shares sooner.
//!
//! # Random loss
//!
//! On a path that loses packets whatever the rate is, the draft's rule of 2 % ends every probe, and
//! its short-term bounds shrink round by round. If [`Config::tolerant`] is set, the flow measures how
//! much is lost of what it sends in ProbeBW_DOWN, when it sends a tenth less than the path is known
//! to deliver and so causes no loss itself; see [`Background`].
//!
//! - That share is added to the threshold of 2 %. A path that loses more than 8 % is overloaded,
//!   whoever does it, and none is. As long as the share is not known, 8 % are added.
//! - Nothing is added while round trips show a queue: losses are those of the queue then.
//! - The short-term bounds answer a round whose losses exceed the threshold, not any loss; what was
//!   delivered in it is extrapolated by the share.
//! - Losses exceed the threshold only if chance does not explain them: by three standard deviations
//!   of the random loss.
//!
//! A policer, or a buffer that is too small, loses nothing at nine tenths of the rate, and gets the
//! draft's answer.

mod background;
mod control;
mod filters;
mod loss;
mod model;
mod probe_bw;
mod probe_rtt;
mod startup;
#[cfg(test)]
mod tests;

use super::controller::{Config, Controller, Lost, FIRST_RTT_NS};
use super::delivery::{Delivery, Sample, Snapshot};
use super::units::{Gain, Rate};
use crate::time::Instant;
pub use background::Background;
use filters::{MaxAcked, MaxBw};

/// No bound on a volume.
pub const UNBOUNDED: u32 = u32::MAX;
/// No round trip has been measured, or it was longer than four seconds.
const NO_RTT: u32 = u32::MAX;

/// The states of the draft.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// The rate doubles each round until the path is full.
    Startup,
    /// The queue that Startup built is drained.
    Drain,
    /// Slower than the path delivers: the queue drains, others find room.
    ProbeDown,
    /// As fast as the path delivers.
    ProbeCruise,
    /// As fast as the path delivers, without the short-term bounds: the pipe is filled.
    ProbeRefill,
    /// Faster than the path delivers: is there more?
    ProbeUp,
    /// The window is halved, to see the round trip without a queue.
    ProbeRtt,
}

/// What acknowledgements mean to the search for bandwidth: ACKS_* of the draft.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AckPhase {
    Init,
    Refilling,
    Starting,
    Feedback,
    Stopping,
}

impl State {
    /// Whether the flow searches for bandwidth in a steady cycle.
    pub const fn is_probe_bw(self) -> bool {
        matches!(
            self,
            Self::ProbeDown | Self::ProbeCruise | Self::ProbeRefill | Self::ProbeUp
        )
    }

    /// Whether the flow accelerates.
    pub const fn is_accelerating(self) -> bool {
        matches!(self, Self::Startup | Self::ProbeRefill | Self::ProbeUp)
    }

    /// Factor of the rate.
    pub const fn pacing_gain(self) -> Gain {
        match self {
            Self::Startup => Gain(277),
            Self::Drain => Gain(50),
            Self::ProbeDown => Gain(90),
            Self::ProbeCruise | Self::ProbeRefill | Self::ProbeRtt => Gain(100),
            Self::ProbeUp => Gain(125),
        }
    }

    /// Factor of the window.
    pub const fn cwnd_gain(self) -> Gain {
        match self {
            Self::ProbeUp => Gain(225),
            Self::ProbeRtt => Gain(50),
            _ => Gain(200),
        }
    }
}

/// The short-term model and what undoes a mistaken answer to losses.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Undo {
    state: Option<State>,
    bw_shortterm: Rate,
    inflight_shortterm: u32,
    inflight_longterm: u32,
}

/// See the [module](self).
#[derive(Clone, Debug)]
pub struct Bbr {
    // What the flow is told.
    cwnd: u32,
    quantum: u32,
    pacing_rate: Rate,

    // What it was told.
    mss: u32,
    initial_cwnd: u32,
    random: u32,
    tolerant: bool,

    // Where it is.
    state: State,
    ack_phase: AckPhase,
    round_start: bool,
    idle_restart: bool,
    round_count: u32,
    next_round_delivered: u64,

    // The rate of the path.
    max_bw: MaxBw,
    bw_shortterm: Rate,
    bw_latest: Rate,

    // The volume of the path.
    inflight_longterm: u32,
    inflight_shortterm: u32,
    inflight_latest: u32,
    prior_cwnd: u32,
    extra_acked: MaxAcked,
    extra_acked_delivered: u32,
    extra_acked_start: Instant,

    // Whether the pipe is full.
    full_bw: Rate,
    full_bw_count: u8,
    full_bw_now: bool,
    full_bw_reached: bool,
    drain_start_round: u32,

    // The cycle of ProbeBW.
    is_probe_sample: bool,
    prev_probe_too_high: bool,
    prev_probe_precautionary: bool,
    probe_up_rounds: u8,
    probe_up_acked: u32,
    probe_up_acked_per_inc: u32,
    rounds_since_probe_up: u32,
    probe_wait_us: u32,
    cycle_stamp: Instant,

    // The round trip.
    min_rtt: u32,
    round_rtt: u32,
    min_rtt_stamp: Instant,
    min_rtt_expired: bool,
    probe_rtt_round_done: bool,
    probe_rtt_cwnd: u32,
    probe_rtt_done: Instant,

    // Losses.
    is_loss_in_round: bool,
    loss_round_start: bool,
    loss_gaps: u8,
    next_lost: u32,
    loss_round_delivered: u64,
    recovery: Instant,
    undo: Undo,
    background: Background,
}

impl Bbr {
    /// The controller of a flow that begins at `now`.
    pub fn new(config: &Config, now: Instant) -> Self {
        let mut bbr = Self {
            cwnd: config.initial_cwnd,
            quantum: config.mss.saturating_mul(2),
            pacing_rate: Rate::ZERO,
            mss: config.mss.max(1),
            initial_cwnd: config.initial_cwnd,
            random: config.seed | 1,
            tolerant: config.tolerant,
            state: State::Startup,
            ack_phase: AckPhase::Init,
            round_start: false,
            idle_restart: false,
            round_count: 0,
            next_round_delivered: 0,
            max_bw: MaxBw::new(),
            bw_shortterm: Rate::MAX,
            bw_latest: Rate::ZERO,
            inflight_longterm: UNBOUNDED,
            inflight_shortterm: UNBOUNDED,
            inflight_latest: 0,
            prior_cwnd: 0,
            extra_acked: MaxAcked::new(),
            extra_acked_delivered: 0,
            extra_acked_start: now,
            full_bw: Rate::ZERO,
            full_bw_count: 0,
            full_bw_now: false,
            full_bw_reached: false,
            drain_start_round: 0,
            is_probe_sample: false,
            prev_probe_too_high: false,
            prev_probe_precautionary: false,
            probe_up_rounds: 0,
            probe_up_acked: 0,
            probe_up_acked_per_inc: UNBOUNDED,
            rounds_since_probe_up: 0,
            probe_wait_us: 0,
            cycle_stamp: now,
            min_rtt: NO_RTT,
            round_rtt: NO_RTT,
            min_rtt_stamp: now,
            min_rtt_expired: false,
            probe_rtt_round_done: false,
            probe_rtt_cwnd: config.initial_cwnd,
            probe_rtt_done: Instant::NEVER,
            is_loss_in_round: false,
            loss_round_start: false,
            loss_gaps: 0,
            next_lost: u32::MAX,
            loss_round_delivered: 0,
            recovery: Instant::NEVER,
            undo: Undo {
                state: None,
                bw_shortterm: Rate::ZERO,
                inflight_shortterm: 0,
                inflight_longterm: 0,
            },
            background: Background::new(),
        };
        bbr.init_pacing_rate(FIRST_RTT_NS);
        bbr
    }

    /// State of the flow.
    pub const fn state(&self) -> State {
        self.state
    }

    /// Largest rate seen in this cycle and the one before.
    pub const fn max_bw(&self) -> Rate {
        self.max_bw.get()
    }

    /// Rate of the path: [`max_bw`](Self::max_bw) within the short-term bound.
    pub fn bw(&self) -> Rate {
        self.max_bw().min(self.bw_shortterm)
    }

    /// Short-term bound of the rate.
    pub const fn bw_shortterm(&self) -> Rate {
        self.bw_shortterm
    }

    /// Shortest round trip of the last ten seconds, if any was measured.
    pub const fn min_rtt(&self) -> Option<u64> {
        match self.min_rtt {
            NO_RTT => None,
            // CAST: widening, which `From` cannot do in a const function.
            ns => Some(ns as u64),
        }
    }

    /// Long-term bound of the volume, [`UNBOUNDED`] if there is none.
    pub const fn inflight_longterm(&self) -> u32 {
        self.inflight_longterm
    }

    /// Short-term bound of the volume, [`UNBOUNDED`] if there is none.
    pub const fn inflight_shortterm(&self) -> u32 {
        self.inflight_shortterm
    }

    /// Volume that acknowledgements in lumps add to the window.
    pub const fn extra_acked(&self) -> u32 {
        self.extra_acked.get()
    }

    /// Window in ProbeRTT.
    pub const fn probe_rtt_cwnd(&self) -> u32 {
        self.probe_rtt_cwnd
    }

    /// Whether the path was ever full.
    pub const fn is_full_bw_reached(&self) -> bool {
        self.full_bw_reached
    }

    /// Whether the path is full now, and after how many rounds without growth that is so.
    pub const fn full_bw_now(&self) -> (bool, u8) {
        (self.full_bw_now, self.full_bw_count)
    }

    /// Round trips so far, and how many there were when Drain began.
    pub const fn rounds(&self) -> (u32, u32) {
        (self.round_count, self.drain_start_round)
    }

    /// Whether the flow begins again after it was idle.
    pub const fn is_idle_restart(&self) -> bool {
        self.idle_restart
    }

    /// How long the flow waits before it probes for bandwidth again, in nanoseconds.
    pub const fn probe_wait_ns(&self) -> u64 {
        // CAST: widening, which `From` cannot do in a const function.
        (self.probe_wait_us as u64).saturating_mul(1000)
    }

    /// What is lost whatever the rate is.
    pub const fn background(&self) -> &Background {
        &self.background
    }
}

impl Controller for Bbr {
    fn on_transmit(&mut self, now: Instant, flow: &Delivery) {
        self.handle_restart_from_idle(now, flow);
    }

    fn on_ack(&mut self, sample: &Sample, flow: &mut Delivery) {
        self.update_latest_delivery_signals(sample, flow);
        self.update_congestion_signals(sample, flow);
        self.update_ack_aggregation(sample);
        self.check_full_bw_reached(sample);
        self.check_startup_done(sample, flow);
        self.check_drain_done(flow, sample.now);
        self.update_probe_bw(sample, flow);
        self.update_min_rtt(sample);
        self.check_probe_rtt(sample, flow);
        self.advance_latest_delivery_signals(sample);
        self.end_recovery(sample);
        self.set_pacing_rate();
        self.set_quantum();
        self.set_cwnd(sample, flow);
    }

    fn on_loss(&mut self, now: Instant, lost: &Lost, flow: &Delivery) {
        self.handle_lost_packet(now, lost, flow);
    }

    fn on_ecn(&mut self, now: Instant, newest: &Snapshot, flow: &Delivery) {
        self.handle_marked(now, newest, flow);
    }

    fn on_persistent_loss(&mut self, now: Instant, flow: &Delivery) {
        self.enter_rto(now, flow);
    }

    fn on_spurious(&mut self, now: Instant, flow: &Delivery) {
        self.handle_spurious_loss(now, flow);
    }

    fn cwnd(&self) -> u32 {
        self.cwnd
    }

    fn pacing_rate(&self) -> Rate {
        self.pacing_rate
    }

    fn quantum(&self) -> u32 {
        self.quantum
    }
}
