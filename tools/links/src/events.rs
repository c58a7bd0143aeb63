// SPDX-License-Identifier: GPL-2.0

//! What is going to happen, and when.

use std::collections::BTreeMap;

/// Events by their time; those of one time in the order in which they were added.
pub(crate) struct Events<E> {
    order: u64,
    queue: BTreeMap<(u64, u64), E>,
}

impl<E> Events<E> {
    pub(crate) fn new() -> Self {
        Self {
            order: 0,
            queue: BTreeMap::new(),
        }
    }

    /// Adds one.
    pub(crate) fn add(&mut self, when: u64, event: E) {
        self.order += 1;
        self.queue.insert((when, self.order), event);
    }

    /// Takes the next one and its time; `None` if there is none up to `limit`.
    pub(crate) fn next(&mut self, limit: u64) -> Option<(u64, E)> {
        let first = self.queue.first_entry().filter(|e| e.key().0 <= limit)?;
        let ((when, _), event) = first.remove_entry();
        Some((when, event))
    }
}
