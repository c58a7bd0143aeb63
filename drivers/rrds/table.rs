// SPDX-License-Identifier: GPL-2.0

//! A table whose entries are found by a number that they get.

use core::mem;
use kernel::{
    alloc::flags::__GFP_NOWARN,
    prelude::*, //
};

/// A place in a [`Table`].
pub(crate) enum Place<T> {
    /// In use.
    Used(T),
    /// Free; the number of the next free one.
    Free(Option<usize>),
}

/// Entries with numbers, for use under a spinlock: nothing is allocated but by
/// [`storage`](Self::storage), which is to be called before.
///
/// # Invariants
///
/// `free` starts a list of all places that are free.
pub(crate) struct Table<T> {
    places: KVec<Place<T>>,
    free: Option<usize>,
}

impl<T> Table<T> {
    /// An empty table, without room.
    pub(crate) const fn new() -> Self {
        Self {
            places: KVec::new(),
            free: None,
        }
    }

    /// Allocates room for `count` entries.
    pub(crate) fn storage(count: usize, flags: kernel::alloc::Flags) -> Result<KVec<Place<T>>> {
        Ok(KVec::with_capacity(count, flags | __GFP_NOWARN)?)
    }

    /// Returns how many entries to ask [`storage`](Self::storage) for if there is no room.
    pub(crate) fn wanted(&self) -> usize {
        self.places.capacity().saturating_mul(2).max(16)
    }

    /// Moves to larger storage, and returns the old one, to be freed without the lock.
    pub(crate) fn grow(&mut self, mut storage: KVec<Place<T>>) -> KVec<Place<T>> {
        if storage.capacity() <= self.places.capacity() {
            return storage;
        }
        for place in self.places.drain_all() {
            // There is room for more than that.
            let _ = storage.push_within_capacity(place);
        }
        mem::replace(&mut self.places, storage)
    }

    /// Returns whether there is room for one more entry.
    pub(crate) fn has_room(&self) -> bool {
        self.free.is_some() || self.places.len() < self.places.capacity()
    }

    /// Adds an entry and returns its number, or gives it back if there is no room.
    pub(crate) fn insert(&mut self, entry: T) -> Result<usize, T> {
        let number = match self.free {
            Some(number) => match self.places.get_mut(number) {
                Some(place) => {
                    if let Place::Free(next) = *place {
                        // INVARIANT: The place is used.
                        self.free = next;
                    }
                    *place = Place::Used(entry);
                    number
                }
                None => return Err(entry),
            },
            None => {
                let number = self.places.len();
                if number >= self.places.capacity() {
                    return Err(entry);
                }
                let _ = self.places.push_within_capacity(Place::Used(entry));
                number
            }
        };

        Ok(number)
    }

    /// Returns an entry.
    pub(crate) fn get_mut(&mut self, number: usize) -> Option<&mut T> {
        match self.places.get_mut(number)? {
            Place::Used(entry) => Some(entry),
            Place::Free(_) => None,
        }
    }

    /// Takes an entry out.
    pub(crate) fn remove(&mut self, number: usize) -> Option<T> {
        let place = self.places.get_mut(number)?;
        if let Place::Free(_) = place {
            return None;
        }

        // INVARIANT: The place is free.
        let old = mem::replace(place, Place::Free(self.free));
        self.free = Some(number);
        match old {
            Place::Used(entry) => Some(entry),
            Place::Free(_) => None,
        }
    }

    /// Returns the first entry whose number is `from` or more, and its number.
    pub(crate) fn next(&self, from: usize) -> Option<(usize, &T)> {
        let rest = self.places.get(from..)?;

        rest.iter()
            .enumerate()
            .find_map(|(index, place)| match place {
                // OVERFLOW: It is the number of a place.
                Place::Used(entry) => Some((from.wrapping_add(index), entry)),
                Place::Free(_) => None,
            })
    }
}

#[kunit_tests(rrds_table)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_used_again() {
        let mut table = Table::new();
        assert_eq!(table.insert('a').err(), Some('a'));
        table.grow(Table::storage(2, GFP_KERNEL).unwrap());
        assert_eq!(table.insert('a').ok(), Some(0));
        assert_eq!(table.insert('b').ok(), Some(1));
        assert!(!table.has_room() && table.insert('c').is_err());
        assert_eq!(table.remove(0), Some('a'));
        assert_eq!(table.remove(0), None);
        assert_eq!(table.insert('c').ok(), Some(0));
    }

    #[test]
    fn entries_stay_when_it_grows() {
        let mut table = Table::new();
        table.grow(Table::storage(3, GFP_KERNEL).unwrap());
        for entry in 0..3 {
            table.insert(entry).unwrap();
        }
        table.remove(1);
        table.grow(Table::storage(table.wanted(), GFP_KERNEL).unwrap());
        assert_eq!(table.next(0), Some((0, &0)));
        assert_eq!(table.next(1), Some((2, &2)));
        assert_eq!(table.next(3), None);
        assert_eq!(table.insert(7).ok(), Some(1));
        assert_eq!(table.insert(8).ok(), Some(3));
    }
}
