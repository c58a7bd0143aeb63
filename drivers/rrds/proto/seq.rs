// SPDX-License-Identifier: GPL-2.0

//! Message sequence numbers.
//!
//! spec-sequence. Numbers are 64 bits wide and are compared as plain integers; they do not wrap in
//! practice, and a hostile peer that sends the largest one only confuses its own stream.

use crate::wire::Flags;

/// The first sequence number of a host's life, from the time of day in nanoseconds.
///
/// A receiver drops a retransmitted message whose number is below what it expects. If a rebooted host
/// started at 1 again, as C does, messages it had to resend would be dropped for old ones and yet be
/// acknowledged. Nobody sends a message per nanosecond, so a start from the clock is above every number
/// of an earlier life; C accepts any jump forward. The clock must not be behind that of the last life.
pub const fn initial(time_of_day_ns: u64) -> u64 {
    if time_of_day_ns == 0 {
        1
    } else {
        time_of_day_ns
    }
}

/// Whether a message is a duplicate of one received before, given the number expected next.
///
/// Both conditions are needed: without the flag a low number means that the peer has started over.
pub const fn is_duplicate(seq: u64, expected: u64, flags: Flags) -> bool {
    seq < expected && flags.contains(Flags::RETRANSMITTED)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_life_never_starts_at_zero() {
        assert_eq!(initial(0), 1);
        assert_eq!(
            initial(1_700_000_000_000_000_000),
            1_700_000_000_000_000_000
        );
    }

    #[test]
    fn duplicates_are_low_and_flagged() {
        assert!(is_duplicate(4, 5, Flags::RETRANSMITTED));
        assert!(!is_duplicate(5, 5, Flags::RETRANSMITTED));
        assert!(!is_duplicate(4, 5, Flags::ACK_REQUIRED));
    }
}
