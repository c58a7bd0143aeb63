// SPDX-License-Identifier: GPL-2.0

//! The cookies of memory that a socket's messages are sent from without a copy (spec-tcp-zerocopy).
//!
//! C: `struct rds_msg_zcopy_queue`. C merges what ends into the first record only, so that cookies may overtake each
//! other, and its list has no bound. Here they come in the order in which the messages ended, and memory can be
//! lent only if a place is left for its cookie.

use crate::ring::{Ring, Storage};

/// The most cookies of memory that is lent, or that nobody was told of.
pub const MAX_COOKIES: usize = 4096;

/// Cookies of a socket.
pub struct Cookies<S> {
    ended: Ring<u32, S>,
    /// Places for the cookies of memory that is lent.
    lent: usize,
    /// Places for those that somebody is being told of.
    taken: usize,
}

impl<S: Storage<u32>> Cookies<S> {
    /// None, with places for as many as there are slots.
    pub fn new(slots: S) -> Self {
        Self {
            ended: Ring::new(slots),
            lent: 0,
            taken: 0,
        }
    }

    /// Whether nobody has to be told of anything.
    pub fn is_empty(&self) -> bool {
        self.ended.is_empty()
    }

    /// Places, all in all.
    pub fn capacity(&self) -> usize {
        self.ended.capacity()
    }

    /// Takes more slots. Gives back the old ones, or the new ones if these are no more.
    pub fn grow(&mut self, slots: S) -> S {
        if slots.len() <= self.ended.capacity() {
            return slots;
        }
        match self.ended.move_to(slots) {
            Ok(old) | Err(old) => old,
        }
    }

    /// Notes that memory is lent. Returns whether there was a place for its cookie.
    pub fn lend(&mut self) -> bool {
        let used = self
            .lent
            .saturating_add(self.taken)
            .saturating_add(self.ended.len());
        if used >= self.ended.capacity() {
            return false;
        }
        self.lent = self.lent.saturating_add(1);
        true
    }

    /// Memory that was lent is not used any more. With a cookie, the program is to be told.
    pub fn give_back(&mut self, cookie: Option<u32>) {
        self.lent = self.lent.saturating_sub(1);
        if let Some(cookie) = cookie {
            // There is a place for it.
            let _ = self.ended.push_back(cookie);
        }
    }

    /// Takes cookies out to tell the program, in order, at most `N`: so many of the result. [`told`](Self::told) says how
    /// that went.
    pub fn take<const N: usize>(&mut self) -> ([u32; N], usize) {
        let mut cookies = [0; N];
        let mut count = 0_usize;

        for slot in &mut cookies {
            let Some(cookie) = self.ended.pop_front() else {
                break;
            };
            *slot = cookie;
            count = count.saturating_add(1);
        }
        self.taken = self.taken.saturating_add(count);
        (cookies, count)
    }

    /// The program was told of cookies that were taken, or, if not, they are the first ones again.
    pub fn told(&mut self, cookies: &[u32], was_told: bool) {
        self.taken = self.taken.saturating_sub(cookies.len());
        if was_told {
            return;
        }
        for (index, cookie) in cookies.iter().enumerate() {
            // There is a place for each.
            if self.ended.push_back(*cookie).is_ok() {
                self.ended
                    .move_ahead(self.ended.len().saturating_sub(1), index);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec::Vec;

    type Kept = Cookies<Vec<Option<u32>>>;

    fn kept(slots: usize) -> Kept {
        Cookies::new(std::vec![None; slots])
    }

    /// One that has lent and got back these.
    fn ended(slots: usize, cookies: &[u32]) -> Kept {
        let mut kept = kept(slots);
        for cookie in cookies {
            assert!(kept.lend());
            kept.give_back(Some(*cookie));
        }
        kept
    }

    #[test]
    fn they_come_in_order_so_many_at_once() {
        let mut kept = ended(16, &[5, 4, 3, 2, 1]);
        assert_eq!(kept.take::<3>(), ([5, 4, 3], 3));
        kept.told(&[5, 4, 3], true);
        assert_eq!(kept.take::<3>(), ([2, 1, 0], 2));
        assert!(kept.is_empty());
        assert_eq!(kept.take::<3>(), ([0; 3], 0));
    }

    #[test]
    fn what_nobody_was_told_is_first_again() {
        let mut kept = ended(16, &[1, 2, 3, 4]);
        let (first, count) = kept.take::<3>();
        assert!(kept.lend());
        kept.give_back(Some(5));
        kept.told(&first[..count], false);
        assert_eq!(kept.take::<8>(), ([1, 2, 3, 4, 5, 0, 0, 0], 5));
    }

    #[test]
    fn there_is_a_place_for_each_that_is_lent() {
        let mut kept = kept(4);
        assert!((0..4).all(|_| kept.lend()));
        assert!(!kept.lend());
        // Nobody is told of it: the place is free.
        kept.give_back(None);
        assert!(kept.lend() && !kept.lend());
        (0..4).for_each(|cookie| kept.give_back(Some(cookie)));
        assert!(!kept.lend());
        // As long as they may come back.
        let (taken, count) = kept.take::<2>();
        assert!(!kept.lend());
        kept.told(&taken[..count], false);
        assert_eq!(kept.take::<4>(), ([0, 1, 2, 3], 4));
        kept.told(&[0, 1, 2, 3], true);
        assert!((0..4).all(|_| kept.lend()) && !kept.lend());
    }

    #[test]
    fn without_slots_nothing_is_lent() {
        let mut kept = kept(0);
        assert!(!kept.lend());
        kept.give_back(Some(7));
        assert!(kept.is_empty());
    }

    #[test]
    fn it_grows_with_what_it_has() {
        let mut kept = ended(2, &[1, 2]);
        assert!(!kept.lend());
        assert_eq!(kept.grow(std::vec![None; 4]).len(), 2);
        assert_eq!(kept.capacity(), 4);
        assert!(kept.lend());
        kept.give_back(Some(3));
        // Somebody else was faster.
        assert_eq!(kept.grow(std::vec![None; 4]).len(), 4);
        assert_eq!(kept.grow(std::vec![None; 2]).len(), 2);
        assert_eq!(kept.capacity(), 4);
        assert_eq!(kept.take::<4>(), ([1, 2, 3, 0], 3));
    }
}
