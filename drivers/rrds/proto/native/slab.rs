// SPDX-License-Identifier: GPL-2.0

//! Slots over storage that the caller hands in, and lists of slots.
//!
//! A list is made of the slots themselves, so that a slot moves from one list to another at the cost of
//! some numbers, and no list can be full.

use core::ops::DerefMut;

/// The end of a list, and no slot.
pub const NONE: u32 = u32::MAX;

/// What has a place for the number of the next slot of its list.
pub trait Linked: Default {
    /// Number of the next slot.
    fn next(&self) -> u32;
    /// Sets the number of the next slot.
    fn set_next(&mut self, next: u32);
}

/// Storage for a [`Slab`]: anything that derefs to a slice of slots, such as the kernel's `KVec`.
pub trait Slots<T>: DerefMut<Target = [T]> {}

impl<T, S: DerefMut<Target = [T]>> Slots<T> for S {}

/// Slots that are taken and given back.
///
/// # Invariants
///
/// The slots from `fresh` on were never used, and those of the list `free` are not in use.
#[derive(Debug)]
pub struct Slab<T, S> {
    slots: S,
    free: u32,
    fresh: u32,
    used: u32,
    marker: core::marker::PhantomData<T>,
}

impl<T: Linked, S: Slots<T>> Slab<T, S> {
    /// Slots over `slots`, none of them in use.
    pub fn new(slots: S) -> Self {
        // INVARIANT: no slot was ever used.
        Self {
            slots,
            free: NONE,
            fresh: 0,
            used: 0,
            marker: core::marker::PhantomData,
        }
    }

    /// Number of slots in use.
    pub const fn used(&self) -> u32 {
        self.used
    }

    /// Number of slots.
    pub fn capacity(&self) -> usize {
        self.slots.len()
    }

    /// Number of slots to hand to [`grow`](Self::grow) when there is none left.
    pub fn wanted(&self) -> usize {
        self.slots.len().saturating_mul(2).max(8)
    }

    /// Whether a slot can be taken.
    pub fn has_room(&self) -> bool {
        // CAST: widening on all machines of the kernel.
        self.free != NONE || (self.fresh as usize) < self.slots.len()
    }

    /// The slot of this number.
    #[inline]
    pub fn get(&self, at: u32) -> Option<&T> {
        // CAST: as above; `NONE` is beyond every slice.
        self.slots.get(at as usize)
    }

    /// The slot of this number.
    #[inline]
    pub fn get_mut(&mut self, at: u32) -> Option<&mut T> {
        // CAST: as above.
        self.slots.get_mut(at as usize)
    }

    /// Takes a slot, which has its default value, or returns `None` if there is none.
    #[inline]
    pub fn take(&mut self) -> Option<u32> {
        let at = if self.free == NONE {
            let at = self.fresh;
            self.get(at)?;
            // INVARIANT: the slot is in use now.
            self.fresh = self.fresh.wrapping_add(1);
            at
        } else {
            let at = self.free;
            let slot = self.get_mut(at)?;
            let next = slot.next();
            slot.set_next(NONE);
            // INVARIANT: the slot is no longer in the list.
            self.free = next;
            at
        };
        self.used = self.used.wrapping_add(1);
        Some(at)
    }

    /// Gives a slot back that was taken; what is in it is dropped.
    #[inline]
    pub fn release(&mut self, at: u32) {
        if let Some(slot) = self.get_mut(at) {
            *slot = T::default();
        }
        self.give_back(at);
    }

    /// Gives a slot back that was taken, as it is.
    #[inline]
    pub fn give_back(&mut self, at: u32) {
        let free = self.free;
        if let Some(slot) = self.get_mut(at) {
            slot.set_next(free);
            // INVARIANT: the slot is not in use any more.
            self.free = at;
            self.used = self.used.saturating_sub(1);
        }
    }

    /// Moves to more slots, and returns the old storage.
    ///
    /// # Errors
    ///
    /// Gives `slots` back if they are not more.
    pub fn grow(&mut self, mut slots: S) -> Result<S, S> {
        if slots.len() <= self.slots.len() {
            return Err(slots);
        }
        for (to, from) in slots.iter_mut().zip(self.slots.iter_mut()) {
            core::mem::swap(to, from);
        }
        core::mem::swap(&mut self.slots, &mut slots);
        Ok(slots)
    }
}

/// A list of slots of a [`Slab`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct List {
    head: u32,
    tail: u32,
}

impl Default for List {
    fn default() -> Self {
        Self::NONE
    }
}

impl List {
    /// The list of no slots.
    pub const NONE: Self = Self {
        head: NONE,
        tail: NONE,
    };

    /// Whether there is no slot.
    #[inline]
    pub const fn is_empty(&self) -> bool {
        self.head == NONE
    }

    /// The first slot, or [`NONE`].
    #[inline]
    pub const fn first(&self) -> u32 {
        self.head
    }

    /// Appends a slot that is in no list.
    #[inline]
    pub fn push_back<T: Linked, S: Slots<T>>(&mut self, slab: &mut Slab<T, S>, at: u32) {
        let Some(slot) = slab.get_mut(at) else {
            return;
        };
        slot.set_next(NONE);
        if let Some(last) = slab.get_mut(self.tail) {
            last.set_next(at);
        } else {
            self.head = at;
        }
        self.tail = at;
    }

    /// Puts a slot that is in no list at the front.
    pub fn push_front<T: Linked, S: Slots<T>>(&mut self, slab: &mut Slab<T, S>, at: u32) {
        let head = self.head;
        let Some(slot) = slab.get_mut(at) else {
            return;
        };
        slot.set_next(head);
        self.head = at;
        if head == NONE {
            self.tail = at;
        }
    }

    /// Takes the first slot out.
    #[inline]
    pub fn pop_front<T: Linked, S: Slots<T>>(&mut self, slab: &mut Slab<T, S>) -> Option<u32> {
        let at = self.head;
        let slot = slab.get_mut(at)?;
        self.head = slot.next();
        slot.set_next(NONE);
        if self.head == NONE {
            self.tail = NONE;
        }
        Some(at)
    }

    /// Takes out the slots from the first one up to `last`, which is in the list.
    #[inline]
    pub fn split_through<T: Linked, S: Slots<T>>(
        &mut self,
        slab: &mut Slab<T, S>,
        last: u32,
    ) -> Self {
        let Some(slot) = slab.get_mut(last) else {
            return Self::default();
        };
        let taken = Self {
            head: self.head,
            tail: last,
        };
        self.head = slot.next();
        slot.set_next(NONE);
        if self.head == NONE {
            self.tail = NONE;
        }
        taken
    }

    /// Appends all slots of `other`.
    #[inline]
    pub fn append<T: Linked, S: Slots<T>>(&mut self, slab: &mut Slab<T, S>, other: Self) {
        if other.is_empty() {
            return;
        }
        if let Some(last) = slab.get_mut(self.tail) {
            last.set_next(other.head);
        } else {
            self.head = other.head;
        }
        self.tail = other.tail;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec::Vec;

    #[derive(Debug, Default)]
    struct Node {
        value: u32,
        next: u32,
    }

    impl Linked for Node {
        fn next(&self) -> u32 {
            self.next
        }

        fn set_next(&mut self, next: u32) {
            self.next = next;
        }
    }

    fn nodes(count: usize) -> Vec<Node> {
        (0..count).map(|_| Node::default()).collect()
    }

    #[test]
    fn slots_are_taken_and_given_back() {
        let mut slab = Slab::new(nodes(2));
        let (a, b) = (slab.take().unwrap(), slab.take().unwrap());
        assert_ne!(a, b);
        assert!(!slab.has_room() && slab.take().is_none());
        slab.get_mut(a).unwrap().value = 7;
        slab.release(a);
        assert!(slab.has_room());
        assert_eq!(slab.used(), 1);
        assert_eq!(slab.take(), Some(a));
        assert_eq!(slab.get(a).unwrap().value, 0);
        assert!(slab.get(NONE).is_none());
    }

    #[test]
    fn growing_keeps_what_there_is() {
        let mut slab = Slab::new(nodes(0));
        assert!(slab.take().is_none());
        assert_eq!((slab.wanted(), slab.capacity()), (8, 0));
        assert!(slab.grow(nodes(0)).is_err());
        assert_eq!(slab.grow(nodes(1)).unwrap().len(), 0);
        let a = slab.take().unwrap();
        slab.get_mut(a).unwrap().value = 5;
        slab.grow(nodes(4)).unwrap();
        assert_eq!((slab.get(a).unwrap().value, slab.wanted()), (5, 8));
        assert_eq!((0..4).map_while(|_| slab.take()).count(), 3);
    }

    #[test]
    fn lists_behave_as_a_deque() {
        use std::collections::VecDeque;
        let mut slab = Slab::new(nodes(64));
        let (mut lists, mut models) = ([List::default(); 2], [const { VecDeque::new() }; 2]);
        let mut seed = 1_u32;
        for _ in 0..20_000 {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let which = (seed >> 30) as usize & 1;
            match (seed >> 24) % 8 {
                0..=2 => {
                    let Some(at) = slab.take() else { continue };
                    if seed & 0x1000 == 0 {
                        lists[which].push_back(&mut slab, at);
                        models[which].push_back(at);
                    } else {
                        lists[which].push_front(&mut slab, at);
                        models[which].push_front(at);
                    }
                }
                3..=5 => {
                    let at = lists[which].pop_front(&mut slab);
                    assert_eq!(at, models[which].pop_front());
                    at.into_iter().for_each(|at| slab.release(at));
                }
                6 => {
                    let count = (seed as usize >> 8) % (models[which].len() + 1);
                    if count == 0 {
                        continue;
                    }
                    let last = models[which][count - 1];
                    let taken = lists[which].split_through(&mut slab, last);
                    lists[1 - which].append(&mut slab, taken);
                    let taken: Vec<_> = models[which].drain(..count).collect();
                    models[1 - which].extend(taken);
                }
                _ => {
                    let other = core::mem::take(&mut lists[1 - which]);
                    lists[which].append(&mut slab, other);
                    let other = core::mem::take(&mut models[1 - which]);
                    models[which].extend(other);
                }
            }
            assert_eq!(lists[which].is_empty(), models[which].is_empty());
            assert_eq!(
                lists[which].first(),
                models[which].front().copied().unwrap_or(NONE)
            );
        }
    }
}
