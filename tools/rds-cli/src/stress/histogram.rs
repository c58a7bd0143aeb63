// SPDX-License-Identifier: GPL-2.0

//! Times, counted in buckets that are a thirty-second of their value wide: any percentile to 3 %,
//! in a few kilobytes, whatever the number of times.

use serde_json::{json, Value};
use std::fmt;
use std::time::Duration;

/// Buckets for each power of two, as a power of two.
const BITS: u32 = 5;
const BUCKETS: usize = (64 - BITS as usize + 1) << BITS;

/// A histogram of times.
#[derive(Clone)]
pub struct Histogram {
    buckets: Vec<u64>,
    count: u64,
    sum: u128,
    min: u64,
    max: u64,
}

fn bucket(nanos: u64) -> usize {
    let shift = (63 - BITS).saturating_sub((nanos | 1).leading_zeros());
    // Below 2^BITS each value has its own; above, the top BITS + 1 bits count.
    ((shift as usize) << BITS) + (nanos >> shift) as usize
}

/// The largest value of a bucket.
fn top(bucket: usize) -> u64 {
    let shift = (bucket >> BITS).saturating_sub(1) as u32;
    let base = bucket as u64 - (u64::from(shift) << BITS);
    ((u128::from(base + 1) << shift) - 1).min(u64::MAX.into()) as u64
}

impl Histogram {
    /// An empty one.
    pub fn new() -> Self {
        Self {
            buckets: vec![0; BUCKETS],
            count: 0,
            sum: 0,
            min: u64::MAX,
            max: 0,
        }
    }

    /// Adds a time.
    pub fn record(&mut self, time: Duration) {
        let nanos = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        self.buckets[bucket(nanos)] += 1;
        self.count += 1;
        self.sum += u128::from(nanos);
        self.min = self.min.min(nanos);
        self.max = self.max.max(nanos);
    }

    /// Adds all times of another.
    pub fn add(&mut self, other: &Self) {
        for (mine, theirs) in self.buckets.iter_mut().zip(&other.buckets) {
            *mine += theirs;
        }
        self.count += other.count;
        self.sum += other.sum;
        self.min = self.min.min(other.min);
        self.max = self.max.max(other.max);
    }

    /// How many times there are.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// The time that `percent` of all are not above, in microseconds; 0 if there are none.
    pub fn percentile(&self, percent: f64) -> f64 {
        let wanted = (self.count as f64 * percent / 100.0).ceil().max(1.0) as u64;
        let mut seen = 0;
        for (at, count) in self.buckets.iter().enumerate() {
            seen += count;
            if seen >= wanted {
                return micros(top(at).clamp(self.min, self.max));
            }
        }
        0.0
    }

    fn mean(&self) -> f64 {
        if self.count == 0 {
            return 0.0;
        }
        self.sum as f64 / self.count as f64 / 1e3
    }

    /// All that one wants to know, in microseconds.
    pub fn json(&self) -> Value {
        json!({
            "count": self.count,
            "min": micros(if self.count == 0 { 0 } else { self.min }),
            "mean": self.mean(),
            "p50": self.percentile(50.0),
            "p90": self.percentile(90.0),
            "p99": self.percentile(99.0),
            "p99.9": self.percentile(99.9),
            "max": micros(self.max),
        })
    }
}

fn micros(nanos: u64) -> f64 {
    nanos as f64 / 1e3
}

impl fmt::Display for Histogram {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.count == 0 {
            return f.write_str("none");
        }
        write!(
            f,
            "min {:.1}, mean {:.1}, p50 {:.1}, p90 {:.1}, p99 {:.1}, max {:.1} us",
            micros(self.min),
            self.mean(),
            self.percentile(50.0),
            self.percentile(90.0),
            self.percentile(99.0),
            micros(self.max)
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_are_in_order_and_narrow() {
        let mut last = 0;
        for shift in 0..64 {
            for offset in [0_u64, 1, 2, 3] {
                let quarter = if shift < 2 { 0 } else { 1_u64 << (shift - 2) };
                let value = (1 << shift) + offset * quarter;
                let at = bucket(value);
                assert!(at < BUCKETS, "{value}");
                assert!(
                    top(at) >= value,
                    "{value} above the top of its bucket {}",
                    top(at)
                );
                assert!(top(at) - value <= value / 32, "{value} to {}", top(at));
                assert!(at >= last, "{value}");
                last = at;
            }
        }
        assert_eq!(top(bucket(u64::MAX)), u64::MAX);
        assert_eq!(bucket(u64::MAX), BUCKETS - 1);
    }

    #[test]
    fn percentiles() {
        let mut histogram = Histogram::new();
        assert_eq!(histogram.percentile(50.0), 0.0);
        for micros in 1..=1000 {
            histogram.record(Duration::from_micros(micros));
        }
        for (percent, exact) in [(1.0, 10.0), (50.0, 500.0), (99.0, 990.0), (100.0, 1000.0)] {
            let got = histogram.percentile(percent);
            assert!((exact..=exact * 1.04).contains(&got), "p{percent} {got}");
        }
        assert_eq!(histogram.mean(), 500.5);
        let mut twice = histogram.clone();
        twice.add(&histogram);
        assert_eq!(twice.count(), 2000);
        assert_eq!(twice.percentile(50.0), histogram.percentile(50.0));
    }
}
