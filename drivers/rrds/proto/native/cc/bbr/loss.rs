// SPDX-License-Identifier: GPL-2.0

//! What losses and marks say of the path, and what is done if they were mistaken.

use super::background::{MOST, WHOLE};
use super::model::BETA;
use super::{Bbr, State, Undo};
use crate::native::cc::controller::Lost;
use crate::native::cc::delivery::{Delivery, Sample, Snapshot};
use crate::native::cc::units::saturate;
use crate::time::Instant;

/// Loss in a round that is too much while the flow probes, in ten thousandths.
const LOSS_THRESH: u32 = 200;
/// Standard deviations of random loss that are put down to chance.
const DEVIATIONS: u64 = 3;

impl Bbr {
    /// The share of losses that is not of congestion, in ten thousandths.
    ///
    /// None is if the round trip shows a queue; the most is if the path is not known.
    pub(super) fn allowance(&self) -> u32 {
        if !self.tolerant || self.is_queue_seen() {
            return 0;
        }
        self.background.share(self.mss).unwrap_or(MOST)
    }

    /// Whether all round trips of the round are longer than the shortest by an eighth.
    pub(super) const fn is_queue_seen(&self) -> bool {
        self.round_rtt > self.min_rtt.saturating_add(self.min_rtt >> 3)
    }

    /// The share of losses in a round that is too much, in ten thousandths.
    fn loss_limit(&self) -> u32 {
        LOSS_THRESH.saturating_add(self.allowance())
    }

    /// What would have been delivered of `value` but for losses that are not of congestion.
    pub(super) fn without_background(&self, value: u64) -> u64 {
        let rest = u64::from(WHOLE.saturating_sub(self.allowance()));
        let whole = value.saturating_mul(u64::from(WHOLE));
        whole.checked_div(rest).unwrap_or(value)
    }

    /// Whether losses suggest that more was in flight than the path bears.
    pub(super) fn is_inflight_too_high(&self, lost: u32, inflight: u32) -> bool {
        let whole = u64::from(WHOLE);
        let (lost, inflight) = (u64::from(lost), u64::from(inflight));
        let limit = inflight.saturating_mul(u64::from(self.loss_limit()));
        let excess = lost.saturating_mul(whole).saturating_sub(limit) / whole;
        // Of n packets that are lost at random with probability p, about n p are; that the number is
        // higher by three times its standard deviation, sqrt(n p), is no chance any more.
        let expected = inflight.saturating_mul(u64::from(self.allowance())) / whole;
        let variance = expected.saturating_mul(u64::from(self.mss));
        let chance = variance.saturating_mul(DEVIATIONS * DEVIATIONS);
        lost.saturating_mul(whole) > limit && excess.saturating_mul(excess) >= chance
    }

    /// Whether the losses of a round are those of congestion; by the draft, all are.
    pub(super) fn is_loss_of_congestion(&self, sample: &Sample) -> bool {
        !self.tolerant || self.is_inflight_too_high(sample.lost, sample.newest.inflight)
    }

    /// Notes the first loss of a round, and of recovery.
    fn note_loss(&mut self, now: Instant, flow: &Delivery) {
        if !self.is_loss_in_round {
            self.loss_round_delivered = flow.delivered();
        }
        self.is_loss_in_round = true;
        if self.recovery == Instant::NEVER {
            self.save_cwnd();
            self.recovery = now;
        }
    }

    /// Takes in that a packet is deemed lost.
    pub(super) fn handle_lost_packet(&mut self, now: Instant, lost: &Lost, flow: &Delivery) {
        if !self.is_queue_seen() {
            self.background.on_lost(&lost.sent, self.cycle_stamp);
        }
        if lost.first {
            self.save_state_upon_loss();
        }
        self.note_loss(now, flow);
        // CAST: the low half of a number tells whether it is the next one.
        let number = lost.number as u32;
        if number != self.next_lost {
            self.loss_gaps = self.loss_gaps.saturating_add(1);
        }
        self.next_lost = number.wrapping_add(1);
        if !self.is_probe_sample {
            return;
        }
        let since = saturate(flow.lost().saturating_sub(lost.sent.lost));
        if self.is_inflight_too_high(since, lost.sent.inflight) {
            let inflight = self.inflight_at_loss(&lost.sent, since);
            self.handle_inflight_too_high(inflight, lost.sent.app_limited, flow, now);
        }
    }

    /// Takes in that packets came with marks; they are counted as lost.
    pub(super) fn handle_marked(&mut self, now: Instant, newest: &Snapshot, flow: &Delivery) {
        self.note_loss(now, flow);
        self.loss_gaps = self.loss_gaps.saturating_add(1);
        if !self.is_probe_sample {
            return;
        }
        let since = saturate(flow.lost().saturating_sub(newest.lost));
        if self.is_inflight_too_high(since, newest.inflight) {
            self.handle_inflight_too_high(newest.inflight, newest.app_limited, flow, now);
        }
    }

    /// What was in flight when the share of losses became too high, within the packet that was lost.
    pub(super) fn inflight_at_loss(&self, sent: &Snapshot, lost: u32) -> u32 {
        let limit = u64::from(self.loss_limit());
        let inflight_before = u64::from(sent.inflight.saturating_sub(sent.size));
        let lost_before = u64::from(lost.saturating_sub(sent.size));
        let whole = u64::from(WHOLE);
        let tolerated = inflight_before.saturating_mul(limit);
        let prefix = tolerated.saturating_sub(lost_before.saturating_mul(whole));
        let prefix = prefix.checked_div(whole.saturating_sub(limit)).unwrap_or(0);
        saturate(inflight_before.saturating_add(prefix))
    }

    /// Bounds the volume by `inflight`, once for each probe.
    fn handle_inflight_too_high(
        &mut self,
        inflight: u32,
        app_limited: bool,
        flow: &Delivery,
        now: Instant,
    ) {
        self.prev_probe_too_high = true;
        self.is_probe_sample = false;
        if !app_limited {
            let least = BETA.of_bytes(self.target_inflight());
            self.inflight_longterm = inflight.max(least);
        }
        if self.state == State::ProbeUp {
            self.undo.state = Some(State::ProbeUp);
            self.start_probe_down(flow, now);
        }
    }

    /// Remembers the window that was good.
    pub(super) fn save_cwnd(&mut self) {
        self.prior_cwnd = if self.recovery == Instant::NEVER && self.state != State::ProbeRtt {
            self.cwnd
        } else {
            self.prior_cwnd.max(self.cwnd)
        };
    }

    /// Restores the window that was good.
    pub(super) fn restore_cwnd(&mut self) {
        self.cwnd = self.cwnd.max(self.prior_cwnd);
    }

    /// Remembers what is restored if the losses turn out to be mistaken.
    ///
    /// The draft does so at the first loss of each round, but a probe that ends by a loss begins a
    /// round: what was before the probe would be overwritten by the next loss of the same burst. So
    /// it is done once for each episode of losses.
    fn save_state_upon_loss(&mut self) {
        self.save_cwnd();
        self.undo = Undo {
            state: None,
            bw_shortterm: self.bw_shortterm,
            inflight_shortterm: self.inflight_shortterm,
            inflight_longterm: self.inflight_longterm,
        };
    }

    /// Nothing came through for several timeouts: one packet at a time until something does.
    pub(super) fn enter_rto(&mut self, now: Instant, flow: &Delivery) {
        self.save_state_upon_loss();
        self.recovery = now;
        self.cwnd = flow.inflight().saturating_add(self.mss);
    }

    /// Ends recovery when a packet sent after it began has arrived.
    pub(super) fn end_recovery(&mut self, sample: &Sample) {
        // Never, if there is no recovery.
        if sample.newest.sent > self.recovery {
            self.recovery = Instant::NEVER;
            self.restore_cwnd();
        }
    }

    /// The losses of the latest episode were mistaken: restores what they changed.
    pub(super) fn handle_spurious_loss(&mut self, now: Instant, flow: &Delivery) {
        self.restore_cwnd();
        self.recovery = Instant::NEVER;
        self.is_loss_in_round = false;
        self.reset_full_bw();
        let undo = self.undo;
        self.bw_shortterm = self.bw_shortterm.max(undo.bw_shortterm);
        self.inflight_shortterm = self.inflight_shortterm.max(undo.inflight_shortterm);
        self.inflight_longterm = self.inflight_longterm.max(undo.inflight_longterm);
        self.undo.state = None;
        match undo.state {
            Some(State::Startup) if self.state != State::Startup => {
                self.full_bw_reached = false;
                if self.state != State::ProbeRtt {
                    self.enter_startup();
                }
            }
            Some(State::ProbeUp)
                if self.state != State::ProbeUp && self.state != State::ProbeRtt =>
            {
                self.start_probe_refill(flow, now);
            }
            _ => {}
        }
        self.set_pacing_rate();
    }
}
