// SPDX-License-Identifier: GPL-2.0

//! A queue over storage that the caller hands in.
//!
//! The engine never allocates. A queue starts with whatever storage it is given, usually none; when it
//! is full it says so, and the caller may hand in larger storage and gets the old one back.

use core::fmt;
use core::ops::DerefMut;

/// Storage for a [`Ring`]: anything that derefs to a slice of slots, such as the kernel's `KVec`.
pub trait Storage<T>: DerefMut<Target = [Option<T>]> {}

impl<T, S: DerefMut<Target = [Option<T>]>> Storage<T> for S {}

/// A double-ended queue of at most as many items as its storage has slots.
///
/// # Invariants
///
/// The `len` slots from `head`, in circular order, are `Some`; all others are `None`.
pub struct Ring<T, S> {
    slots: S,
    head: usize,
    len: usize,
    marker: core::marker::PhantomData<T>,
}

impl<T, S: Storage<T>> Ring<T, S> {
    /// An empty queue over `slots`, whose contents are dropped.
    pub fn new(mut slots: S) -> Self {
        slots.iter_mut().for_each(|slot| *slot = None);
        // INVARIANT: no slot is in use.
        Self {
            slots,
            head: 0,
            len: 0,
            marker: core::marker::PhantomData,
        }
    }

    /// Number of items.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there is no item.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Number of slots.
    pub fn capacity(&self) -> usize {
        self.slots.len()
    }

    /// The slot of the item at `index`, which is at most the capacity.
    fn slot(&self, index: usize) -> usize {
        let at = self.head.wrapping_add(index);
        if at >= self.slots.len() {
            at.wrapping_sub(self.slots.len())
        } else {
            at
        }
    }

    /// The item at `index`, counted from the front.
    pub fn get(&self, index: usize) -> Option<&T> {
        if index >= self.len {
            return None;
        }
        self.slots.get(self.slot(index))?.as_ref()
    }

    /// The item at `index`, counted from the front.
    pub fn get_mut(&mut self, index: usize) -> Option<&mut T> {
        if index >= self.len {
            return None;
        }
        let slot = self.slot(index);
        self.slots.get_mut(slot)?.as_mut()
    }

    /// Appends `item`, or gives it back if the queue is full.
    pub fn push_back(&mut self, item: T) -> Result<(), T> {
        if self.len >= self.slots.len() {
            return Err(item);
        }
        let slot = self.slot(self.len);
        match self.slots.get_mut(slot) {
            Some(slot) => {
                // INVARIANT: the slot behind the last one is now in use, and counted.
                *slot = Some(item);
                self.len = self.len.wrapping_add(1);
                Ok(())
            }
            None => Err(item),
        }
    }

    /// Takes the first item.
    pub fn pop_front(&mut self) -> Option<T> {
        if self.len == 0 {
            return None;
        }
        let item = self.slots.get_mut(self.head)?.take();
        // INVARIANT: the first slot is empty, and no longer counted.
        self.head = self.slot(1);
        self.len = self.len.wrapping_sub(1);
        item
    }

    /// Moves the item at `from` ahead of those from `to` on. O(`from` - `to`).
    ///
    /// Does nothing unless both are indices of items and `to` comes before `from`.
    pub fn move_ahead(&mut self, from: usize, to: usize) {
        if to >= from || from >= self.len {
            return;
        }
        // INVARIANT: what is taken from each slot goes to another one, so that all are `Some` again.
        let slot = self.slot(from);
        let mut moved = self.slots.get_mut(slot).and_then(Option::take);
        for index in to..=from {
            let slot = self.slot(index);
            if let Some(slot) = self.slots.get_mut(slot) {
                core::mem::swap(slot, &mut moved);
            }
        }
    }

    /// Number of items at the front for which `before` holds; it must hold for a prefix only.
    pub fn partition_point(&self, mut before: impl FnMut(&T) -> bool) -> usize {
        let (mut low, mut high) = (0_usize, self.len);
        while low < high {
            let middle = low.midpoint(high);
            if self.get(middle).is_some_and(&mut before) {
                low = middle.wrapping_add(1);
            } else {
                high = middle;
            }
        }
        low
    }

    /// Moves all items to `slots`, whose contents are dropped, and returns the old storage.
    ///
    /// # Errors
    ///
    /// Gives `slots` back if they are too few.
    pub fn move_to(&mut self, slots: S) -> Result<S, S> {
        if slots.len() < self.len {
            return Err(slots);
        }
        let mut next = Self::new(slots);
        while let Some(item) = self.pop_front() {
            // Cannot fail: there are enough slots.
            let _ = next.push_back(item);
        }
        core::mem::swap(self, &mut next);
        Ok(next.slots)
    }
}

impl<T: fmt::Debug, S: Storage<T>> fmt::Debug for Ring<T, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let items = (0..self.len).filter_map(|index| self.get(index));
        f.debug_list().entries(items).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::VecDeque;
    use std::vec::Vec;

    fn slots(n: usize) -> Vec<Option<u32>> {
        (0..n).map(|_| None).collect()
    }

    #[test]
    fn behaves_as_a_bounded_deque() {
        let mut ring = Ring::new(slots(5));
        let mut model = VecDeque::new();
        let mut seed = 1_u32;
        for i in 0..2000 {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            if seed >> 31 == 0 {
                let fits = model.len() < 5;
                assert_eq!(ring.push_back(i), if fits { Ok(()) } else { Err(i) });
                if fits {
                    model.push_back(i);
                }
            } else {
                assert_eq!(ring.pop_front(), model.pop_front());
            }
            let (from, to) = ((seed >> 8) as usize % 7, (seed >> 16) as usize % 7);
            ring.move_ahead(from, to);
            if to < from && from < model.len() {
                let item = model.remove(from).unwrap();
                model.insert(to, item);
            }
            assert_eq!(
                (ring.len(), ring.is_empty()),
                (model.len(), model.is_empty())
            );
            for index in 0..7 {
                assert_eq!(ring.get(index), model.get(index));
                assert_eq!(ring.get_mut(index), model.get_mut(index));
            }
        }
    }

    #[test]
    fn finds_the_end_of_a_prefix() {
        let mut ring = Ring::new(slots(7));
        for i in 0..20 {
            // At any place of the storage.
            ring.push_back(i / 2).unwrap();
            if i >= 6 {
                ring.pop_front();
            }
            for limit in 0..12 {
                let items = (0..ring.len()).filter_map(|at| ring.get(at));
                let point = items.filter(|item| **item < limit).count();
                assert_eq!(ring.partition_point(|item| *item < limit), point);
            }
        }
    }

    #[test]
    fn grows_by_new_storage() {
        let mut ring = Ring::new(slots(0));
        assert_eq!(ring.push_back(1), Err(1));
        assert_eq!(ring.move_to(slots(3)).unwrap().len(), 0);
        for i in 0..3 {
            ring.push_back(i).unwrap();
        }
        ring.pop_front();
        ring.push_back(3).unwrap();
        assert_eq!(ring.push_back(4), Err(4));
        assert_eq!(ring.move_to(slots(2)).unwrap_err().len(), 2);
        let old = ring.move_to(slots(8)).unwrap();
        assert_eq!(old, slots(3));
        assert_eq!(ring.capacity(), 8);
        assert_eq!(
            (0..4)
                .map_while(|i| ring.get(i))
                .copied()
                .collect::<Vec<_>>(),
            [1, 2, 3]
        );
    }

    #[test]
    fn old_contents_of_storage_do_not_count() {
        let mut ring = Ring::new(std::vec![Some(7), Some(8)]);
        assert!(ring.is_empty());
        assert_eq!(ring.pop_front(), None);
    }
}
