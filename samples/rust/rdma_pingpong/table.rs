// SPDX-License-Identifier: GPL-2.0

//! What is sent, and what is said of how long it took.

use kernel::prelude::*;

/// Returns a stream of words that depends on the size and the number of a message, and on where in it
/// they are.
fn words(size: usize, number: u32) -> impl Iterator<Item = [u8; 8]> {
    const ODD: u64 = 0x9e37_79b9_7f4a_7c15;
    let mut state = (size as u64) << 32 | u64::from(number);

    core::iter::repeat_with(move || {
        state = state.wrapping_add(ODD);
        (state ^ state >> 29).wrapping_mul(ODD).to_le_bytes()
    })
}

/// Fills a message.
pub(crate) fn fill(message: &mut [u8], number: u32) {
    let words = words(message.len(), number);

    for (bytes, word) in message.chunks_mut(8).zip(words) {
        bytes.copy_from_slice(&word[..bytes.len()]);
    }
}

/// Returns whether a message is as [`fill`] has made it.
pub(crate) fn is_intact(message: &[u8], number: u32) -> bool {
    message
        .chunks(8)
        .zip(words(message.len(), number))
        .all(|(bytes, word)| bytes == &word[..bytes.len()])
}

/// Prints a line for each size: round trips, and the shortest, the median, and the 99th percentile of
/// the times, in microseconds. `times` are in nanoseconds, `rounds` of each size.
pub(crate) fn print(times: &mut [u64], rounds: usize) {
    pr_info!("   bytes   rounds     min µs  median µs     p99 µs\n");
    for (exponent, times) in times.chunks_mut(rounds.max(1)).enumerate() {
        sort(times);
        let at = |percent: usize| {
            let ns = times.get(times.len() * percent / 100);

            Micros(ns.or(times.last()).copied().unwrap_or(0))
        };

        pr_info!(
            "{:>8} {:>8} {} {} {}\n",
            1u64 << exponent,
            times.len(),
            at(0),
            at(50),
            at(99)
        );
    }
}

/// Sorts by Shell's method. That of the core library can panic, if the order is none.
fn sort(values: &mut [u64]) {
    for gap in [701, 301, 132, 57, 23, 10, 4, 1] {
        for start in gap..values.len() {
            let mut at = start;

            while at >= gap && values[at - gap] > values[at] {
                values.swap(at - gap, at);
                at -= gap;
            }
        }
    }
}

/// Nanoseconds, printed as microseconds.
struct Micros(u64);

impl kernel::fmt::Display for Micros {
    fn fmt(&self, f: &mut kernel::fmt::Formatter<'_>) -> kernel::fmt::Result {
        write!(f, "{:>8}.{}", self.0 / 1000, self.0 % 1000 / 100)
    }
}
