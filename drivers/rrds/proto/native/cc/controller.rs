// SPDX-License-Identifier: GPL-2.0

//! What every controller is asked and told.

use super::delivery::{Delivery, Sample, Snapshot};
use super::units::Rate;
use crate::time::Instant;

/// Round trip assumed before the first sample, in nanoseconds; it only shapes the first flight.
pub(super) const FIRST_RTT_NS: u64 = 1_000_000;

/// What a controller knows of its flow from the start.
#[derive(Clone, Copy, Debug)]
pub struct Config {
    /// Largest packet, in bytes.
    pub mss: u32,
    /// Bytes that may be in flight before anything is known of the path.
    pub initial_cwnd: u32,
    /// Seed of the choices that flows must not make alike.
    pub seed: u32,
    /// Whether BBR tells losses that do not depend on its rate from congestion; see
    /// [`bbr`](super::bbr#random-loss).
    pub tolerant: bool,
}

impl Config {
    /// Ten packets of `mss` bytes at first, tolerant of random loss.
    pub const fn new(mss: u32, seed: u32) -> Self {
        let mss = if mss == 0 { 1 } else { mss };
        Self {
            mss,
            initial_cwnd: mss.saturating_mul(10),
            seed,
            tolerant: true,
        }
    }
}

/// A packet that is deemed lost.
#[derive(Clone, Copy, Debug)]
pub struct Lost {
    /// Number of the packet.
    pub number: u64,
    /// State of the flow when the packet was sent.
    pub sent: Snapshot,
    /// Whether it is the first loss of an episode: what the controller was before it is what
    /// [`Controller::on_spurious`] restores.
    pub first: bool,
}

/// Decides how much is in flight and how fast it leaves.
pub trait Controller {
    /// Notes that a packet is about to be sent.
    fn on_transmit(&mut self, now: Instant, flow: &Delivery);

    /// Takes in what an acknowledgement that acknowledged new data has shown.
    ///
    /// The losses and marks that it revealed have been reported before.
    fn on_ack(&mut self, sample: &Sample, flow: &mut Delivery);

    /// Takes in that a packet is deemed lost.
    fn on_loss(&mut self, now: Instant, lost: &Lost, flow: &Delivery);

    /// Takes in that packets came through with congestion marks.
    ///
    /// `newest` is the state of the flow when the newest of the packets acknowledged was sent.
    fn on_ecn(&mut self, now: Instant, newest: &Snapshot, flow: &Delivery);

    /// Takes in that nothing came through for several timeouts.
    fn on_persistent_loss(&mut self, now: Instant, flow: &Delivery);

    /// Takes in that all the losses of the latest episode were mistaken: the packets came late.
    fn on_spurious(&mut self, now: Instant, flow: &Delivery);

    /// Bytes that may be in flight.
    fn cwnd(&self) -> u32;

    /// Rate at which packets leave.
    fn pacing_rate(&self) -> Rate;

    /// Bytes that may leave in one burst.
    fn quantum(&self) -> u32;
}

/// Most bytes in one burst: what leaves in an eighth of the round trip, at least two packets.
///
/// The BBR draft takes a millisecond's worth and leaves the choice open; with a round trip of 50 µs
/// that would be twenty times what the path holds. An eighth of the round trip bounds the queue that
/// a burst makes to an eighth of the path's volume.
pub(super) fn quantum(rate: Rate, rtt_ns: u64, mss: u32) -> u32 {
    const LONGEST_NS: u64 = 1_000_000;
    const MOST: u64 = 64 << 10;
    let bytes = rate.bytes_in((rtt_ns >> 3).min(LONGEST_NS)).min(MOST);
    // CAST: at most 64 KiB.
    (bytes as u32).max(mss.saturating_mul(2))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_is_an_eighth_of_the_round_trip() {
        let ten_gigabits = Rate(1_250_000_000);
        assert_eq!(quantum(ten_gigabits, 50_000, 1000), 7812);
        assert_eq!(quantum(ten_gigabits, 50_000, 4096), 8192, "two packets");
        assert_eq!(quantum(ten_gigabits, 100_000_000, 1000), 64 << 10);
        assert_eq!(
            quantum(Rate(1_250_000), 100_000_000, 100),
            1250,
            "a millisecond"
        );
        assert_eq!(quantum(Rate::MAX, 100_000_000, u32::MAX), u32::MAX);
    }
}
