// SPDX-License-Identifier: GPL-2.0

//! When the sender demands an acknowledgement.
//!
//! spec-ack-demand; C: `cp_unacked_packets` and `cp_unacked_bytes` in `rds_send_xmit()`.

use crate::settings::Settings;

/// The budgets of messages and bytes that may go out without ACK_REQUIRED.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AckDemand {
    packets: u32,
    bytes: u32,
}

impl AckDemand {
    /// Budgets of a path that never sent: empty, so that its first message demands an acknowledgement.
    pub const fn new() -> Self {
        Self {
            packets: 0,
            bytes: 0,
        }
    }

    /// Budgets after a reconnect: full.
    pub const fn reset(settings: &Settings) -> Self {
        Self {
            packets: settings.max_unacked_packets,
            bytes: settings.max_unacked_bytes,
        }
    }

    /// Whether a message of `len` bytes must demand an acknowledgement, and the budgets after it.
    ///
    /// As in C, a message that demands one for another reason is charged all the same.
    #[must_use]
    pub const fn charge(self, len: u32, settings: &Settings) -> (bool, Self) {
        if self.packets == 0 || self.bytes < len {
            return (true, Self::reset(settings));
        }
        // OVERFLOW: both were just compared.
        let packets = self.packets.wrapping_sub(1);
        let bytes = self.bytes.wrapping_sub(len);
        (false, Self { packets, bytes })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec::Vec;

    /// As C.
    fn eight() -> Settings {
        Settings {
            max_unacked_packets: 8,
            ..Settings::default()
        }
    }

    fn flags(demand: AckDemand, lens: impl IntoIterator<Item = u32>) -> Vec<bool> {
        let settings = eight();
        let mut demand = demand;
        let charge = |len| {
            let (flag, next) = demand.charge(len, &settings);
            demand = next;
            flag
        };
        lens.into_iter().map(charge).collect()
    }

    #[test]
    fn the_first_message_and_every_ninth_after_it() {
        let got = flags(AckDemand::new(), [1; 20]);
        let expected: Vec<bool> = (0..20).map(|i| i % 9 == 0).collect();
        assert_eq!(got, expected);
    }

    #[test]
    fn eight_go_unflagged_after_a_reconnect() {
        let got = flags(AckDemand::reset(&eight()), [0; 9]);
        assert_eq!(got.iter().position(|f| *f), Some(8));
    }

    #[test]
    fn sixteen_mebibytes_are_enough() {
        let settings = Settings {
            max_unacked_packets: 100,
            ..Settings::default()
        };
        let mut demand = AckDemand::reset(&settings);
        for _ in 0..16 {
            let (flag, next) = demand.charge(1 << 20, &settings);
            assert!(!flag);
            demand = next;
        }
        assert!(!demand.charge(0, &settings).0);
        assert!(demand.charge(1, &settings).0);
    }
}
