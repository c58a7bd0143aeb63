// SPDX-License-Identifier: GPL-2.0

//! What Reno and CUBIC have in common: a window that grows with acknowledgements and shrinks once
//! for each round trip with losses.

use super::controller::{quantum, Config, FIRST_RTT_NS};
use super::delivery::{Sample, Snapshot};
use super::units::{Gain, Rate};
use crate::time::Instant;

/// Packets leave this much faster than the window turns around, so that pacing never limits: twice
/// in slow start, where the window doubles each round, a fifth otherwise.
const SLOW_START_PACE: Gain = Gain(200);
/// See [`SLOW_START_PACE`].
const STEADY_PACE: Gain = Gain(120);
/// Packets of the smallest window.
const LEAST_PACKETS: u32 = 2;

/// See the [module](self).
#[derive(Clone, Copy, Debug)]
pub(super) struct Window {
    /// Bytes that may be in flight.
    pub(super) cwnd: u32,
    /// Slow start ends here.
    pub(super) ssthresh: u32,
    /// Largest packet.
    pub(super) mss: u32,
    /// Smoothed round trip, in nanoseconds.
    srtt: u64,
    /// Losses of packets sent up to then have been answered.
    recovery: Option<Instant>,
    /// The window and the threshold before the latest answer.
    undo: Option<(u32, u32)>,
}

impl Window {
    /// The window of a new flow.
    pub(super) const fn new(config: &Config) -> Self {
        Self {
            cwnd: config.initial_cwnd,
            ssthresh: u32::MAX,
            mss: config.mss,
            srtt: FIRST_RTT_NS,
            recovery: None,
            undo: None,
        }
    }

    /// The smallest window.
    pub(super) const fn least(&self) -> u32 {
        self.mss.saturating_mul(LEAST_PACKETS)
    }

    /// Whether the window doubles each round.
    pub(super) const fn is_slow_start(&self) -> bool {
        self.cwnd < self.ssthresh
    }

    /// Whether a packet was sent after the latest answer to a loss.
    fn is_after_recovery(&self, sent: &Snapshot) -> bool {
        self.recovery.is_none_or(|since| sent.sent > since)
    }

    /// Whether an acknowledgement may open the window.
    ///
    /// It may not while losses are being repaired, nor if the window was not used up: an idle flow
    /// has learned nothing about the path.
    pub(super) fn may_grow(&mut self, sample: &Sample) -> bool {
        self.srtt = sample.srtt.max(1);
        sample.cwnd_limited && self.is_after_recovery(&sample.newest)
    }

    /// Opens the window by `newly_acked`, up to where slow start ends; the bytes left over.
    pub(super) fn slow_start(&mut self, newly_acked: u32) -> u32 {
        if !self.is_slow_start() {
            return newly_acked;
        }
        let room = self.ssthresh.saturating_sub(self.cwnd);
        let step = newly_acked.min(room);
        self.cwnd = self.cwnd.saturating_add(step);
        newly_acked.saturating_sub(step)
    }

    /// Remembers what is restored if the losses that begin are mistakes.
    pub(super) fn save(&mut self) {
        self.undo = Some((self.cwnd, self.ssthresh));
    }

    /// Whether a loss or a mark of `sent` has not been answered; it counts as answered from now on.
    pub(super) fn begin_recovery(&mut self, now: Instant, sent: &Snapshot) -> bool {
        if !self.is_after_recovery(sent) {
            return false;
        }
        self.recovery = Some(now);
        true
    }

    /// Shrinks the window to `target`.
    pub(super) fn shrink(&mut self, target: u32) {
        self.ssthresh = target.max(self.least());
        self.cwnd = self.ssthresh;
    }

    /// Nothing came through for several timeouts: the path may be another one now.
    pub(super) fn collapse(&mut self, target: u32) {
        if self.undo.is_none() {
            self.undo = Some((self.cwnd, self.ssthresh));
        }
        self.ssthresh = target.max(self.least());
        self.cwnd = self.least();
        self.recovery = None;
    }

    /// Takes the latest answer back.
    pub(super) fn undo(&mut self) -> bool {
        let Some((cwnd, ssthresh)) = self.undo.take() else {
            return false;
        };
        self.cwnd = self.cwnd.max(cwnd);
        self.ssthresh = self.ssthresh.max(ssthresh);
        self.recovery = None;
        true
    }

    /// Rate at which packets leave.
    pub(super) const fn pacing_rate(&self) -> Rate {
        let gain = if self.is_slow_start() {
            SLOW_START_PACE
        } else {
            STEADY_PACE
        };
        // CAST: widening, which `From` cannot do in a const function.
        Rate::of(self.cwnd as u64, self.srtt).times(gain)
    }

    /// Bytes that may leave in one burst.
    pub(super) fn quantum(&self) -> u32 {
        quantum(self.pacing_rate(), self.srtt, self.mss)
    }
}
