// SPDX-License-Identifier: GPL-2.0

//! How long to wait before the next attempt to connect.
//!
//! spec-backoff; C: `rds_queue_reconnect()`. The first attempt after a loss is made at once. Each later
//! one waits for a random time below a limit that starts at the minimum and doubles up to the maximum,
//! so that two sides that disturb each other's attempts fall out of step.

use crate::settings::Settings;
use core::cmp::min;

/// State of the back-off of a path.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Backoff {
    /// Limit of the next delay in nanoseconds; 0 before the first attempt.
    limit: u64,
}

impl Backoff {
    /// The delay in nanoseconds before the next attempt, given a random number.
    pub fn next(&mut self, settings: &Settings, random: u64) -> u64 {
        let most = settings.reconnect_max_ns.max(1);
        let least = settings.reconnect_min_ns.clamp(1, most);
        if self.limit == 0 {
            self.limit = least;
            return 0;
        }
        let limit = min(self.limit, most);
        self.limit = min(limit.saturating_mul(2), most);
        random.checked_rem(limit).unwrap_or(0)
    }

    /// A connection has lasted.
    pub fn reset(&mut self) {
        self.limit = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec::Vec;

    #[test]
    fn the_first_is_at_once_and_limits_double() {
        let s = Settings::default();
        let mut b = Backoff::default();
        let delays: Vec<u64> = (0..14).map(|_| b.next(&s, u64::MAX - 1)).collect();
        let limits = (0..14_u32).map(|i| (1_000_000_u64 << i).min(1_000_000_000));
        let expected = limits.map(|limit| (u64::MAX - 1) % limit);
        assert_eq!(delays[0], 0);
        assert_eq!(delays[1..], expected.collect::<Vec<_>>()[..13]);
        b.reset();
        assert_eq!(b.next(&s, 5), 0);
    }

    #[test]
    fn odd_settings_do_no_harm() {
        for (min, max) in [(0, 0), (10, 5), (u64::MAX, u64::MAX), (0, u64::MAX)] {
            let s = Settings {
                reconnect_min_ns: min,
                reconnect_max_ns: max,
                ..Settings::default()
            };
            let mut b = Backoff::default();
            for _ in 0..70 {
                assert!(b.next(&s, u64::MAX) <= max);
            }
        }
    }
}
