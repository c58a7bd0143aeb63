// SPDX-License-Identifier: GPL-2.0

//! Rates and gains as integers.

/// Nanoseconds in a second.
const SECOND_NS: u64 = 1_000_000_000;

/// Bytes a second.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Rate(pub u64);

impl Rate {
    /// Nothing.
    pub const ZERO: Self = Self(0);
    /// No limit.
    pub const MAX: Self = Self(u64::MAX);

    /// The rate of `bytes` in `ns` nanoseconds; no limit if no time has passed.
    pub const fn of(bytes: u64, ns: u64) -> Self {
        match bytes.saturating_mul(SECOND_NS).checked_div(ns) {
            Some(rate) => Self(rate),
            None => Self::MAX,
        }
    }

    /// Bytes that pass in `ns` nanoseconds.
    ///
    /// Both factors are split at a second, so that no product overflows before the result does.
    pub const fn bytes_in(self, ns: u64) -> u64 {
        let (seconds, rest) = (ns / SECOND_NS, ns % SECOND_NS);
        let (whole, part) = (self.0 / SECOND_NS, self.0 % SECOND_NS);
        let in_seconds = self.0.saturating_mul(seconds);
        let in_rest = whole
            .saturating_mul(rest)
            .saturating_add(part.saturating_mul(rest) / SECOND_NS);
        in_seconds.saturating_add(in_rest)
    }

    /// Nanoseconds that `bytes` take; for ever at rate zero.
    pub const fn time_for(self, bytes: u64) -> u64 {
        match bytes.saturating_mul(SECOND_NS).checked_div(self.0) {
            Some(ns) => ns,
            None => u64::MAX,
        }
    }

    /// The rate times `gain`.
    #[must_use]
    pub const fn times(self, gain: Gain) -> Self {
        Self(gain.of(self.0))
    }
}

/// A factor in hundredths.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gain(pub u16);

impl Gain {
    /// `value` times the factor; the largest number if it does not fit.
    pub const fn of(self, value: u64) -> u64 {
        // CAST: widening, which `From` cannot do in a const function.
        let gain = self.0 as u64;
        match value.checked_mul(gain) {
            Some(product) => product / 100,
            None => (value / 100).saturating_mul(gain),
        }
    }

    /// `value` times the factor; the largest number if it does not fit.
    pub const fn of_bytes(self, value: u32) -> u32 {
        // CAST: widening, which `From` cannot do in a const function.
        saturate(self.of(value as u64))
    }
}

/// A volume or a time in 32 bits, the largest of which stands for all that is above: 4 GiB, which is
/// 170 Gbit/s times 200 ms, or 4.3 s.
pub const fn saturate(value: u64) -> u32 {
    const MOST: u64 = 0xffff_ffff;
    if value > MOST {
        u32::MAX
    } else {
        // CAST: checked above.
        value as u32
    }
}

/// The largest integer whose cube is at most `value`.
pub const fn cube_root(value: u64) -> u64 {
    let mut root = 0_u64;
    let mut bit = 1_u64 << 21;
    while bit > 0 {
        let next = root | bit;
        if let Some(square) = next.checked_mul(next) {
            if let Some(cube) = square.checked_mul(next) {
                if cube <= value {
                    root = next;
                }
            }
        }
        bit >>= 1;
    }
    root
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_bytes_over_time() {
        assert_eq!(Rate::of(1_250_000, 1_000_000), Rate(1_250_000_000));
        assert_eq!(Rate::of(5, 0), Rate::MAX);
        assert_eq!(Rate(1_250_000_000).bytes_in(50_000), 62_500);
        assert_eq!(Rate(1_250_000_000).time_for(62_500), 50_000);
        assert_eq!(Rate::ZERO.time_for(1), u64::MAX);
        assert_eq!(Rate::ZERO.bytes_in(u64::MAX), 0);
    }

    #[test]
    fn no_product_overflows_before_its_result() {
        // 400 Gbit/s for ten seconds, to the byte.
        assert_eq!(
            Rate(50_000_000_001).bytes_in(10_000_000_000),
            500_000_000_010
        );
        assert_eq!(
            Rate(50_999_999_999).bytes_in(1_999_999_999),
            101_999_999_947
        );
        assert_eq!(Rate::MAX.bytes_in(u64::MAX), u64::MAX);
        assert_eq!(Rate(1).bytes_in(1_999_999_999), 1);
    }

    #[test]
    fn a_gain_is_in_hundredths() {
        assert_eq!(Gain(277).of(1000), 2770);
        assert_eq!(Gain(50).of(3), 1);
        assert_eq!(Gain(100).of(u64::MAX), u64::MAX / 100 * 100);
        assert_eq!(Gain(277).of(u64::MAX), u64::MAX);
        assert_eq!(Gain(200).of_bytes(u32::MAX), u32::MAX);
        assert_eq!(Rate(100).times(Gain(125)), Rate(125));
    }

    #[test]
    fn cube_roots_are_exact() {
        for root in [0, 1, 2, 3, 10, 1000, 135_720, 2_642_245] {
            assert_eq!(cube_root(root * root * root), root);
            let next = (root + 1).checked_pow(3);
            assert!(next.is_none_or(|next| cube_root(next - 1) == root));
        }
        assert_eq!(cube_root(u64::MAX), 2_642_245);
    }
}
