// SPDX-License-Identifier: GPL-2.0

//! What is going to happen, and when.

use std::cmp::{Ordering, Reverse};
use std::collections::BinaryHeap;

/// When, in which order, and what; only the first two are compared.
struct Due<E>(u64, u64, E);

impl<E> PartialEq for Due<E> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl<E> Eq for Due<E> {}

impl<E> PartialOrd for Due<E> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<E> Ord for Due<E> {
    fn cmp(&self, other: &Self) -> Ordering {
        (self.0, self.1).cmp(&(other.0, other.1))
    }
}

/// Events by their time; those of one time in the order in which they were added.
pub(crate) struct Events<E> {
    order: u64,
    heap: BinaryHeap<Reverse<Due<E>>>,
}

impl<E> Events<E> {
    pub(crate) fn new() -> Self {
        Self {
            order: 0,
            heap: BinaryHeap::new(),
        }
    }

    /// Adds one.
    pub(crate) fn add(&mut self, when: u64, event: E) {
        self.order += 1;
        self.heap.push(Reverse(Due(when, self.order, event)));
    }

    /// Takes the next one and its time; `None` if there is none up to `limit`.
    pub(crate) fn next(&mut self, limit: u64) -> Option<(u64, E)> {
        let due = self.heap.peek_mut().filter(|due| due.0 .0 <= limit)?;
        let Reverse(Due(when, _, event)) = std::collections::binary_heap::PeekMut::pop(due);
        Some((when, event))
    }
}
