// SPDX-License-Identifier: GPL-2.0

//! Which packets of a datagram lane are lost, and when to ask.
//!
//! The ideas are those of RFC 9002. A packet is lost if a later one was acknowledged and it is some
//! numbers or some time behind that one; if nothing is acknowledged at all, a probe asks. Both
//! thresholds grow when a loss turns out to be mistaken, so that a path that reorders is learned.
//!
//! [`Detector`] holds what a lane needs for this beside its packets. It takes 10 µs as the resolution
//! of timers where RFC 9002 takes a millisecond, which is a hundred round trips of a fast link.

mod rtt;

use crate::time::Instant;
pub use rtt::Rtt;
use rtt::GRANULARITY_NS;

/// Numbers that a packet may be behind the largest one acknowledged, at first,
const PACKET_THRESHOLD: u8 = 3;
/// and at most: half of what an acknowledgement covers.
const MOST_PACKETS: u8 = 64;
/// Eighths of a round trip that a packet may be behind, at first,
const TIME_THRESHOLD: u8 = 9;
/// and at most.
const MOST_TIME: u8 = 16;
/// Timeouts in a row after which the path counts as broken down.
pub const PERSISTENT_TIMEOUTS: u8 = 3;
/// The timeout doubles so many times at most,
const MOST_DOUBLINGS: u8 = 10;
/// and not beyond so many nanoseconds, if it is not longer by itself: a lane that comes back is noticed.
pub const MOST_WAIT_NS: u64 = 4_000_000_000;
/// Losses that are no mistake.
const REAL: u16 = u16::MAX;
/// An answer to losses is taken back within so many timeouts.
const UNDO_TIMEOUTS: u64 = 3;

/// See the [module](self).
#[derive(Clone, Copy, Debug)]
pub struct Detector {
    /// Round trips.
    pub rtt: Rtt,
    /// When the oldest packet that may be lost is.
    loss_at: Instant,
    /// When the newest packet that asks for an acknowledgement was sent.
    last_sent: Instant,
    /// When something last came back, or the first packet under way was sent, in [ticks](tick).
    moved: u32,
    /// Losses of the episode that have not been found to be mistaken; [`REAL`] if one is not, or too
    /// many are.
    losses: u16,
    /// Lost packets that may turn up.
    remembered: u16,
    /// When the episode began, in [ticks](tick).
    episode_at: u32,
    /// First packet of the episode.
    episode_start: u64,
    /// Packets from here on are of the next episode.
    episode_end: u64,
    /// Numbers that a packet may be behind.
    packet_threshold: u8,
    /// Eighths of a round trip that a packet may be behind.
    time_threshold: u8,
    /// Longest time that the peer holds back an acknowledgement, in nanoseconds.
    ack_delay_ns: u32,
    /// Timeouts without an acknowledgement between them.
    timeouts: u8,
    /// Packets that may be sent whatever the window is.
    probes: u8,
    /// The low half of a number: packets before this one were sent before the controller was told that
    /// the path broke down.
    collapsed_before: u32,
}

/// Nanoseconds of a tick.
const TICK_NS: u64 = 1024;

/// The time in ticks, modulo 2^32: 73 minutes.
const fn tick(now: Instant) -> u32 {
    // CAST: the low half counts.
    (now.0 >> 10) as u32
}

/// Why a lane's timer has fired.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Timeout {
    /// It was too early.
    None,
    /// Packets are late enough to be lost.
    Loss,
    /// Nothing came back: a probe is to be sent.
    Probe {
        /// Timeouts in a row, with this one.
        count: u8,
        /// Whether the path counts as broken down from now on.
        persistent: bool,
    },
}

impl Detector {
    /// A lane whose peer holds back acknowledgements for `ack_delay_ns` at most.
    pub const fn new(initial_rtt_ns: u64, ack_delay_ns: u32) -> Self {
        Self {
            rtt: Rtt::new(initial_rtt_ns),
            loss_at: Instant::NEVER,
            last_sent: Instant(0),
            moved: 0,
            losses: 0,
            remembered: 0,
            episode_at: 0,
            episode_start: 0,
            episode_end: 0,
            packet_threshold: PACKET_THRESHOLD,
            time_threshold: TIME_THRESHOLD,
            ack_delay_ns,
            timeouts: 0,
            probes: 0,
            collapsed_before: 0,
        }
    }

    /// The peer holds back acknowledgements for `ns` nanoseconds at most.
    pub fn set_ack_delay(&mut self, ns: u32) {
        self.ack_delay_ns = ns;
    }

    /// Timeouts without an acknowledgement between them.
    pub const fn timeouts(&self) -> u8 {
        self.timeouts
    }

    /// Whether a packet may be sent whatever the window is.
    pub const fn has_probe(&self) -> bool {
        self.probes > 0
    }

    /// Notes that a packet that asks for an acknowledgement was sent, `first` if no other one is under way.
    pub fn on_sent(&mut self, now: Instant, first: bool) {
        self.last_sent = now;
        if first {
            self.moved = tick(now);
        }
        self.probes = self.probes.saturating_sub(1);
    }

    /// How long after it was sent a packet is late, if a later one was acknowledged.
    fn loss_delay_ns(&self) -> u64 {
        let rtt = self.rtt.smoothed().max(self.rtt.latest());
        let delay = rtt.saturating_mul(u64::from(self.time_threshold)) >> 3;
        delay.max(GRANULARITY_NS)
    }

    /// The time after which nothing is expected to come back any more.
    pub fn pto_ns(&self) -> u64 {
        let delay = u64::from(self.ack_delay_ns);
        self.rtt.timeout_ns().saturating_add(delay)
    }

    /// When the timer is to fire, if packets are in flight.
    ///
    /// The time runs from the newest packet, as in RFC 9002, but not beyond the last sign of life: who
    /// sends a little all the time would never find out. The second wait is not doubled, as another lane
    /// takes over after it.
    pub fn next_timeout(&self) -> Instant {
        if self.loss_at != Instant::NEVER {
            return self.loss_at;
        }
        let doublings = self.timeouts.saturating_sub(1).min(MOST_DOUBLINGS);
        let pto = self.pto_ns();
        let wait = pto.saturating_mul(1 << doublings);
        let from = match tick(self.last_sent).wrapping_sub(self.moved) {
            since @ 1..0x8000_0000 => {
                let since = u64::from(since).saturating_mul(TICK_NS);
                Instant(self.last_sent.0.saturating_sub(since))
            }
            _ => self.last_sent,
        };
        from.after(wait.min(pto.max(MOST_WAIT_NS)))
    }

    /// When lost packets need not be remembered any more, if nothing was sent since: an answer to their loss
    /// would not be taken back.
    pub fn forgets(&self) -> Instant {
        let wait = self.undo_ns();
        self.last_sent.after(wait)
    }

    /// Says what a timer that fires at `now` means; `next` is the number of the next packet.
    pub fn on_timeout(&mut self, now: Instant, next: u64) -> Timeout {
        if now < self.next_timeout() {
            return Timeout::None;
        }
        if self.loss_at != Instant::NEVER {
            return Timeout::Loss;
        }
        self.timeouts = self.timeouts.saturating_add(1);
        self.probes = 2;
        let persistent = self.timeouts == PERSISTENT_TIMEOUTS && self.rtt.is_measured();
        if persistent {
            // CAST: the low half counts.
            self.collapsed_before = next as u32;
        }
        // The doubled time runs from here, whether the probe can be sent or not.
        self.last_sent = now;
        self.moved = tick(now);
        Timeout::Probe {
            count: self.timeouts,
            persistent,
        }
    }

    /// Begins to look for losses after an acknowledgement.
    pub fn begin_scan(&mut self) {
        self.loss_at = Instant::NEVER;
    }

    /// Whether packet `number`, sent at `sent`, is lost, when `largest` has been acknowledged.
    ///
    /// If it is not, the timer is set to when it will be.
    pub fn is_lost(&mut self, now: Instant, number: u64, sent: Instant, largest: u64) -> bool {
        let behind = largest.saturating_sub(number);
        let late = sent.after(self.loss_delay_ns());
        if behind >= u64::from(self.packet_threshold) || late <= now {
            return true;
        }
        self.loss_at = self.loss_at.min(late);
        false
    }

    /// How long the answer to an episode can be taken back.
    fn undo_ns(&self) -> u64 {
        self.pto_ns().saturating_mul(UNDO_TIMEOUTS)
    }

    /// Whether the episode is too old for its answer to be taken back: the path was another one.
    fn is_stale(&self, now: Instant) -> bool {
        let ticks = u64::from(tick(now).wrapping_sub(self.episode_at));
        ticks > self.undo_ns() >> 10
    }

    /// Counts packet `number` as lost; `next` is the number of the next packet.
    ///
    /// Returns whether an episode begins with it. One ends with what was in flight at its first loss,
    /// unless some of its losses may still be mistakes and it is not old.
    pub fn on_lost(&mut self, now: Instant, number: u64, next: u64) -> bool {
        let over = number >= self.episode_end;
        let first = over && (self.losses == 0 || self.losses == REAL || self.is_stale(now));
        if first {
            self.losses = 0;
            self.episode_start = number;
            self.episode_at = tick(now);
        }
        if over {
            self.episode_end = next;
        }
        self.losses = self.losses.saturating_add(1);
        self.remembered = self.remembered.saturating_add(1);
        first
    }

    /// Whether there are lost packets that may turn up.
    pub const fn may_be_mistaken(&self) -> bool {
        self.remembered > 0
    }

    /// Takes in that lost packet `number` has arrived, `behind` numbers late.
    ///
    /// Returns whether all the losses of the episode have turned out to be mistaken, in time and for the
    /// first time.
    pub fn on_spurious(&mut self, now: Instant, number: u64, behind: u64) -> bool {
        self.remembered = self.remembered.saturating_sub(1);
        // One number more than it took, so that the same delay is waited for.
        let threshold = behind.saturating_add(1).min(u64::from(MOST_PACKETS));
        // CAST: at most 64.
        self.packet_threshold = self.packet_threshold.max(threshold as u8);
        self.time_threshold = self.time_threshold.saturating_add(1).min(MOST_TIME);
        let of_episode = (self.episode_start..self.episode_end).contains(&number);
        if !of_episode || self.losses == 0 || self.losses == REAL {
            return false;
        }
        self.losses = self.losses.saturating_sub(1);
        if self.losses != 0 {
            return false;
        }
        // What was before the episode is restored once.
        self.losses = REAL;
        !self.is_stale(now)
    }

    /// Forgets lost packet `number`: it did not arrive. Its episode was none of mistakes.
    pub fn on_forgotten(&mut self, number: u64) {
        self.remembered = self.remembered.saturating_sub(1);
        if number >= self.episode_start {
            self.losses = REAL;
        }
    }

    /// Forgets all packets: the lane is given up.
    pub fn on_abandoned(&mut self) {
        self.loss_at = Instant::NEVER;
        self.remembered = 0;
        self.losses = 0;
    }

    /// Takes in that something came back, of which `oldest` is the smallest number.
    ///
    /// Returns whether that shows that a breakdown of the path was mistaken: what comes had been sent
    /// before.
    pub fn on_acked(&mut self, now: Instant, oldest: u64) -> bool {
        // CAST: the difference of numbers that are near each other, as a signed one.
        let before = self.collapsed_before.wrapping_sub(oldest as u32) as i32 > 0;
        let collapsed = self.timeouts >= PERSISTENT_TIMEOUTS && self.rtt.is_measured();
        self.timeouts = 0;
        self.probes = 0;
        self.moved = tick(now);
        before && collapsed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Instant = Instant(1_000_000_000);
    const US: u64 = 1000;
    const MS: u64 = 1_000_000;

    fn measured() -> Detector {
        let mut d = Detector::new(10 * MS, 50_000);
        d.rtt.on_sample(8 * MS, 0);
        d
    }

    #[test]
    fn three_numbers_behind_is_lost() {
        let mut d = measured();
        d.begin_scan();
        let sent = Instant(100 * MS);
        assert!(!d.is_lost(Instant(101 * MS), 5, sent, 7));
        assert_eq!(d.next_timeout(), Instant(109 * MS));
        assert!(d.is_lost(Instant(101 * MS), 4, sent, 7));
    }

    #[test]
    fn an_eighth_of_a_round_trip_behind_is_lost() {
        let mut d = measured();
        d.begin_scan();
        let sent = Instant(100 * MS);
        assert!(!d.is_lost(Instant(109 * MS - 1), 6, sent, 7));
        assert!(d.is_lost(Instant(109 * MS), 6, sent, 7));
        // The timer is that of the earliest.
        assert!(!d.is_lost(Instant(101 * MS), 5, Instant(99 * MS), 7));
        assert_eq!(d.next_timeout(), Instant(108 * MS));
        assert_eq!(d.on_timeout(Instant(108 * MS), 9), Timeout::Loss);
    }

    #[test]
    fn a_short_round_trip_waits_as_long_as_timers_are_exact() {
        let mut d = Detector::new(MS, 0);
        d.rtt.on_sample(US, 0);
        d.begin_scan();
        assert!(!d.is_lost(Instant(9 * US), 6, Instant(0), 7));
        assert!(d.is_lost(Instant(10 * US), 6, Instant(0), 7));
    }

    #[test]
    fn silence_asks_and_then_breaks_the_path() {
        let mut d = measured();
        d.on_sent(Instant(0), true);
        let pto = d.pto_ns();
        assert_eq!(pto, 8 * MS + 16 * MS + 50 * US);
        assert_eq!(d.next_timeout(), Instant(pto));
        assert_eq!(d.on_timeout(Instant(pto - 1), 4), Timeout::None);
        let mut now = pto;
        for count in 1..=4 {
            let probe = Timeout::Probe {
                count,
                persistent: count == 3,
            };
            assert_eq!(d.on_timeout(Instant(now), 4), probe);
            assert!(d.has_probe());
            // The second wait is as long as the first.
            now += pto << (count - 1);
            assert_eq!(d.next_timeout(), Instant(now));
        }
        d.on_sent(Instant(now), false);
        d.on_sent(Instant(now), false);
        assert!(!d.has_probe());
        assert_eq!(d.timeouts(), 4);
        assert!(!d.on_acked(Instant(now), 4), "the answer to a probe");
        assert_eq!(d.timeouts(), 0);
    }

    #[test]
    fn who_sends_all_the_time_finds_out_as_well() {
        let mut d = measured();
        let pto = d.pto_ns();
        d.on_sent(NOW, true);
        for n in 1..100 {
            d.on_sent(NOW.after(n * MS), false);
        }
        let near = |at: Instant, expected: Instant| {
            assert!(
                at.0.abs_diff(expected.0) <= 2 * TICK_NS,
                "{at:?} {expected:?}"
            );
        };
        near(d.next_timeout(), NOW.after(pto));
        // What comes back moves it.
        d.on_acked(NOW.after(90 * MS), 3);
        near(d.next_timeout(), NOW.after(90 * MS + pto));
        // But not beyond the newest packet.
        d.on_acked(NOW.after(200 * MS), 4);
        assert_eq!(d.next_timeout(), NOW.after(99 * MS + pto));
    }

    #[test]
    fn a_breakdown_may_be_mistaken() {
        let mut d = measured();
        for _ in 0..3 {
            let at = d.next_timeout();
            d.on_timeout(at, 4);
        }
        assert!(d.on_acked(NOW, 3));
        assert!(!d.on_acked(NOW, 3), "once");
    }

    #[test]
    fn before_the_first_sample_nothing_breaks() {
        let mut d = Detector::new(10 * MS, 0);
        for count in 1..=20 {
            let at = d.next_timeout();
            let probe = Timeout::Probe {
                count,
                persistent: false,
            };
            assert_eq!(d.on_timeout(at, 4), probe);
        }
        let wait = d.next_timeout().since(d.last_sent);
        assert_eq!(wait, MOST_WAIT_NS, "it does not double for ever");
        let mut d = Detector::new(4 * MOST_WAIT_NS, 0);
        for _ in 0..3 {
            let at = d.next_timeout();
            d.on_timeout(at, 4);
        }
        let wait = d.next_timeout().since(d.last_sent);
        assert_eq!(wait, d.pto_ns(), "a long round trip is waited for");
        assert!(wait > MOST_WAIT_NS);
    }

    #[test]
    fn mistakes_raise_the_thresholds_and_end_the_episode() {
        let mut d = measured();
        assert!(d.on_lost(NOW, 3, 10) && !d.on_lost(NOW, 4, 12));
        assert!(!d.on_spurious(NOW, 3, 5));
        // It goes on as long as a loss may be a mistake.
        assert!(!d.on_lost(NOW, 11, 20) && !d.on_spurious(NOW, 11, 5));
        assert!(d.on_spurious(NOW, 4, 2));
        assert!(!d.on_spurious(NOW, 4, 2), "no loss is left");
        assert_eq!((d.packet_threshold, d.time_threshold), (6, 13));
        for _ in 0..20 {
            d.on_spurious(NOW, 4, 1000);
        }
        assert_eq!((d.packet_threshold, d.time_threshold), (64, 16));
    }

    #[test]
    fn one_real_loss_makes_an_episode_real() {
        let mut d = measured();
        d.on_lost(NOW, 3, 10);
        d.on_lost(NOW, 4, 10);
        d.on_forgotten(2);
        d.on_forgotten(3);
        assert!(!d.on_spurious(NOW, 4, 2));
        // The next episode is judged by itself.
        assert!(!d.on_lost(NOW, 9, 10) && d.on_lost(NOW, 10, 20));
        assert!(!d.on_spurious(NOW, 20, 1), "of the episode after");
        assert!(d.on_spurious(NOW, 10, 1));
    }

    #[test]
    fn an_answer_is_taken_back_once() {
        let mut d = measured();
        assert!(d.on_lost(NOW, 3, 20));
        assert!(d.on_spurious(NOW, 3, 5));
        // Another loss of the same flight begins no episode: what was before it is gone.
        assert!(!d.on_lost(NOW, 9, 21));
        assert!(!d.on_spurious(NOW, 9, 5));
        assert!(d.on_lost(NOW, 20, 30) && d.on_spurious(NOW, 20, 1));
    }

    #[test]
    fn an_old_answer_is_not_taken_back() {
        let mut d = measured();
        let late = |d: &Detector| NOW.after(3 * d.pto_ns() + 2048);
        assert!(d.on_lost(NOW, 3, 10));
        assert!(!d.on_spurious(late(&d), 3, 5));
        // Nor does one loss after the other that may be a mistake keep an episode going.
        assert!(d.on_lost(NOW, 10, 20) && !d.on_lost(NOW, 20, 30));
        assert!(!d.on_spurious(NOW, 10, 5));
        assert!(d.on_lost(late(&d), 30, 40));
        assert!(d.on_spurious(late(&d), 30, 5));
    }
}
