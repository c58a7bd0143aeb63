// SPDX-License-Identifier: GPL-2.0

//! What a thread does, as it follows from a seed and from nothing else.
//!
//! A step names places where files are, not files, and kinds of pointers, not pointers: what a call gave has
//! no influence on what comes next. So the steps of a thread can be made again, and its calls as far as
//! other threads do not come between.

mod data;
mod make;

pub use data::{
    Cmsg, Control, Cut, Data, Form, Len, Name, Op, Order, Pointer, Receive, Send, Trip, Value,
};

use crate::rng::Rng;

/// Where files are: sockets of RDS, then others. The places are those of a process.
pub const SOCKETS: u8 = 16;
pub const EPOLLS: std::ops::Range<u8> = SOCKETS..18;
/// What is to be sent through a pipe, and what came.
pub const OUT: (u8, u8) = (18, 19);
pub const IN: (u8, u8) = (20, 21);
pub const FILE: u8 = 22;
pub const OTHERS: std::ops::Range<u8> = 23..26;
pub const PLACES: u8 = OTHERS.end;

/// A file: in nearly all cases at one of these places.
pub type Place = u8;

/// Makes the seed of one of many from that of all.
pub fn derive(seed: u64, number: u64) -> u64 {
    Rng::new(seed ^ number.wrapping_mul(0x9e37_79b9_7f4a_7c15)).bits()
}

/// How a process ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// When all threads are done.
    Calm,
    /// When the first is, while others are in their calls.
    Exit,
    /// The same, by SIGKILL.
    Killed,
}

/// What there is to a process beside its steps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    pub threads: u32,
    /// It is not root.
    pub plain: bool,
    pub end: End,
    /// How many files it may have open.
    pub files: u64,
}

impl Shape {
    pub fn of(seed: u64) -> Self {
        let mut rng = Rng::new(derive(seed, 1 << 32));
        Self {
            threads: rng.range(1, 4) as u32,
            plain: rng.one_in(3),
            end: match rng.below(4) {
                0 => End::Exit,
                1 => End::Killed,
                _ => End::Calm,
            },
            files: [64, 128, 256][rng.index(3)],
        }
    }
}

/// The steps of a thread.
pub struct Plan {
    rng: Rng,
    total: u64,
}

impl Plan {
    pub fn new(seed: u64) -> Self {
        Self {
            rng: Rng::new(seed),
            total: make::STEPS.iter().map(|(weight, _)| weight).sum(),
        }
    }

    /// The next step.
    pub fn step(&mut self) -> Op {
        let mut at = self.rng.below(self.total);
        for (weight, make) in make::STEPS {
            if at < *weight {
                return make(&mut self.rng);
            }
            at -= weight;
        }
        Op::Pause(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    fn steps(seed: u64, count: usize) -> Vec<Op> {
        let mut plan = Plan::new(seed);
        (0..count).map(|_| plan.step()).collect()
    }

    #[test]
    fn a_seed_gives_the_same_steps_again() {
        for seed in 0..20 {
            assert_eq!(steps(seed, 2000), steps(seed, 2000));
            assert_eq!(Shape::of(seed), Shape::of(seed));
        }
    }

    #[test]
    fn more_steps_begin_as_fewer_do() {
        assert_eq!(steps(7, 100), steps(7, 3000)[..100]);
    }

    #[test]
    fn seeds_differ() {
        let all: HashSet<_> = (0..50)
            .map(|seed| format!("{:?}", steps(seed, 5)))
            .collect();
        assert_eq!(all.len(), 50);
        let derived: HashSet<_> = (0..1000).map(|number| derive(3, number)).collect();
        assert_eq!(derived.len(), 1000);
        assert_ne!(derive(1, 2), derive(2, 1));
    }

    #[test]
    fn every_kind_of_step_comes() {
        let kinds: HashSet<_> = steps(1, 200_000)
            .iter()
            .map(std::mem::discriminant)
            .collect();
        assert_eq!(kinds.len(), make::STEPS.len());
    }

    #[test]
    fn processes_differ_in_shape() {
        let shapes: Vec<_> = (0..64).map(|n| Shape::of(derive(9, n))).collect();
        for end in [End::Calm, End::Exit, End::Killed] {
            assert!(shapes.iter().any(|shape| shape.end == end));
        }
        for plain in [false, true] {
            assert!(shapes.iter().any(|shape| shape.plain == plain));
        }
        assert!((1..=4).all(|n| shapes.iter().any(|shape| shape.threads == n)));
    }
}
