// SPDX-License-Identifier: GPL-2.0

//! What is told about measurements.

/// Jain's index of fairness, in thousandths: 1000 if all are equal.
pub fn jain(shares: &[u64]) -> u64 {
    let sum: u128 = shares.iter().map(|s| u128::from(*s)).sum();
    let squares: u128 = shares.iter().map(|s| u128::from(*s) * u128::from(*s)).sum();
    let n = shares.len() as u128;
    (1000 * sum * sum).checked_div(n * squares).unwrap_or(0) as u64
}

/// The median; of an even number of values the larger of the two in the middle.
pub fn median(values: &mut [u64]) -> u64 {
    values.sort_unstable();
    values.get(values.len() / 2).copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fairness_is_between_one_and_all() {
        assert_eq!(jain(&[5, 5, 5, 5]), 1000);
        assert_eq!(jain(&[5, 0, 0, 0]), 250);
        assert_eq!(jain(&[]), 0);
    }

    #[test]
    fn the_median_is_in_the_middle() {
        assert_eq!(median(&mut [9, 1, 5]), 5);
        assert_eq!(median(&mut [4, 1, 2, 3]), 3);
        assert_eq!(median(&mut []), 0);
    }
}
