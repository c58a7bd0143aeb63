// SPDX-License-Identifier: GPL-2.0

//! What a task counts, and what the processors did meanwhile.

use super::histogram::Histogram;
use rustix::time::{clock_gettime, ClockId};
use serde_json::{json, Value};
use std::time::Instant;

/// Errors that are described; more are only counted.
const DESCRIBED: usize = 4;

/// Counted by one task, or summed up.
#[derive(Clone)]
pub struct Stats {
    /// Messages sent.
    pub sent: u64,
    /// Messages received.
    pub received: u64,
    /// Bytes sent.
    pub sent_bytes: u64,
    /// Bytes received.
    pub received_bytes: u64,
    /// RDMA operations that are done.
    pub operations: u64,
    /// How often the send buffer was full.
    pub full: u64,
    /// How often the destination was congested.
    pub congested: u64,
    /// Messages that were not as they should be.
    pub errors: u64,
    /// Some of them.
    pub described: Vec<String>,
    /// From request to reply.
    pub times: Histogram,
}

impl Stats {
    pub fn new() -> Self {
        Self {
            sent: 0,
            received: 0,
            sent_bytes: 0,
            received_bytes: 0,
            operations: 0,
            full: 0,
            congested: 0,
            errors: 0,
            described: Vec::new(),
            times: Histogram::new(),
        }
    }

    pub fn add(&mut self, other: &Self) {
        self.sent += other.sent;
        self.received += other.received;
        self.sent_bytes += other.sent_bytes;
        self.received_bytes += other.received_bytes;
        self.operations += other.operations;
        self.full += other.full;
        self.congested += other.congested;
        self.errors += other.errors;
        let room = DESCRIBED.saturating_sub(self.described.len());
        self.described
            .extend(other.described.iter().take(room).cloned());
        self.times.add(&other.times);
    }

    pub fn error(&mut self, what: String) {
        self.errors += 1;
        if self.described.len() < DESCRIBED {
            self.described.push(what);
        }
    }

    pub fn json(&self) -> Value {
        json!({
            "sent": self.sent, "received": self.received,
            "sent_bytes": self.sent_bytes, "received_bytes": self.received_bytes,
            "rdma_operations": self.operations,
            "send_buffer_full": self.full, "congested": self.congested,
            "errors": self.errors, "first_errors": self.described,
        })
    }
}

/// Time on processors since some moment.
#[derive(Clone, Copy)]
pub struct Cpu {
    began: Instant,
    process: f64,
    busy: u64,
    total: u64,
}

impl Cpu {
    /// From now on.
    pub fn start() -> Self {
        let (busy, total) = machine();
        Self {
            began: Instant::now(),
            process: process(),
            busy,
            total,
        }
    }

    /// Until now: seconds of this process, and which part of all processors' time went to
    /// anything at all, the kernel's own work for the messages included.
    pub fn json(&self) -> Value {
        let (busy, total) = machine();
        let total = total.saturating_sub(self.total);
        let part = if total == 0 {
            Value::Null
        } else {
            (busy.saturating_sub(self.busy) as f64 / total as f64).into()
        };
        json!({
            "seconds": self.began.elapsed().as_secs_f64(),
            "process_seconds": process() - self.process,
            "machine_busy": part,
        })
    }
}

/// Seconds that this process has had.
fn process() -> f64 {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}

/// Busy and all ticks of the machine.
fn machine() -> (u64, u64) {
    let text = std::fs::read_to_string("/proc/stat").unwrap_or_default();
    ticks(&text)
}

fn ticks(stat: &str) -> (u64, u64) {
    let line = stat.lines().next().unwrap_or("");
    // user nice system idle iowait irq softirq steal; what guests had is in user and nice.
    let all: Vec<u64> = line
        .split_whitespace()
        .skip(1)
        .take(8)
        .map_while(|word| word.parse().ok())
        .collect();
    let total = all.iter().sum();
    let idle: u64 = all.iter().skip(3).take(2).sum();
    (total - idle, total)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_of_proc_stat() {
        let text = "cpu  10 1 20 300 5 2 3 4 7 0\ncpu0 1 2\n";
        assert_eq!(ticks(text), (40, 345));
        assert_eq!(ticks(""), (0, 0));
        assert_eq!(ticks("cpu x"), (0, 0));
    }

    #[test]
    fn errors_are_counted_and_some_described() {
        let mut sum = Stats::new();
        for round in 0..3 {
            let mut stats = Stats::new();
            for n in 0..3 {
                stats.error(format!("{round} {n}"));
            }
            sum.add(&stats);
        }
        assert_eq!((sum.errors, sum.described.len()), (9, DESCRIBED));
    }
}
