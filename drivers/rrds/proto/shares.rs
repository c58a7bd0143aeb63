// SPDX-License-Identifier: GPL-2.0

//! Who has how much of what all share.
//!
//! A user may take as much as is left: one alone gets half of all, two get a third each, and something
//! is always left for whoever comes next. Nobody has to say beforehand how many users there are, and
//! one that has taken all that it may takes nothing from the others.

use core::ops::DerefMut;

/// What a user has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Share {
    user: u32,
    count: u32,
}

/// Whether a user who has `mine` is to be refused one more, where `all` are taken of `limit`.
pub const fn is_refused(mine: u64, all: u64, limit: u64) -> bool {
    all >= limit || mine >= limit.saturating_sub(all)
}

/// The users who have anything, each with how much.
///
/// # Invariants
///
/// The first `len` slots are in use, their counts are not 0, and they are in the order of their users,
/// each of whom has one.
#[derive(Debug)]
pub struct Shares<S> {
    slots: S,
    len: usize,
}

impl<S: DerefMut<Target = [Share]>> Shares<S> {
    /// Nobody has anything; there is room for as many users as there are slots.
    pub fn new(slots: S) -> Self {
        // INVARIANT: no slot is in use.
        Self { slots, len: 0 }
    }

    fn used(&self) -> &[Share] {
        self.slots.get(..self.len).unwrap_or(&[])
    }

    fn find(&self, user: u32) -> Result<usize, usize> {
        self.used().binary_search_by_key(&user, |share| share.user)
    }

    /// Number of users who have anything.
    pub fn users(&self) -> usize {
        self.len
    }

    /// How much a user has. O(log n) in the number of users.
    pub fn of(&self, user: u32) -> u32 {
        let share = self.find(user).ok().and_then(|at| self.used().get(at));

        share.map_or(0, |share| share.count)
    }

    /// Whether [`add`](Self::add) has a slot for a user.
    pub fn has_slot(&self, user: u32) -> bool {
        self.len < self.slots.len() || self.find(user).is_ok()
    }

    /// How many slots to hand to [`grow`](Self::grow) if there is none.
    pub fn wanted(&self) -> usize {
        self.slots.len().saturating_mul(2).max(4)
    }

    /// Moves to more slots, and returns the old ones; fewer than there are come back as they are.
    pub fn grow(&mut self, mut slots: S) -> S {
        if slots.len() > self.slots.len() {
            for (to, from) in slots.iter_mut().zip(self.used()) {
                *to = *from;
            }
            core::mem::swap(&mut self.slots, &mut slots);
        }
        slots
    }

    /// Gives a user one more; returns `false`, and does nothing, if there is no slot for one more user.
    pub fn add(&mut self, user: u32) -> bool {
        match self.find(user) {
            Ok(at) => {
                if let Some(share) = self.slots.get_mut(at) {
                    share.count = share.count.saturating_add(1);
                }
                true
            }
            Err(at) => {
                if self.len >= self.slots.len() {
                    return false;
                }
                // INVARIANT: those that are greater move by one; there is a slot for the last.
                self.len = self.len.wrapping_add(1);
                if let Some(rest) = self.slots.get_mut(at..self.len) {
                    rest.rotate_right(1);
                    if let Some(first) = rest.first_mut() {
                        *first = Share { user, count: 1 };
                    }
                }
                true
            }
        }
    }

    /// Takes one from a user who has any.
    pub fn remove(&mut self, user: u32) {
        let Ok(at) = self.find(user) else {
            return;
        };
        let Some(share) = self.slots.get_mut(at) else {
            return;
        };
        share.count = share.count.saturating_sub(1);
        if share.count == 0 {
            // INVARIANT: those that are greater move by one.
            if let Some(rest) = self.slots.get_mut(at..self.len) {
                rest.rotate_left(1);
            }
            self.len = self.len.saturating_sub(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;
    use std::vec::Vec;

    fn slots(count: usize) -> Vec<Share> {
        std::vec![Share::default(); count]
    }

    #[test]
    fn counts_as_a_map_does() {
        let mut shares = Shares::new(slots(0));
        let mut model = BTreeMap::new();
        let mut seed = 1_u32;
        for _ in 0..20_000 {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let user = (seed >> 8) % 37;
            if seed >> 31 == 0 {
                if !shares.has_slot(user) {
                    assert!(!shares.add(user));
                    let wanted = shares.wanted();
                    shares.grow(slots(wanted));
                }
                assert!(shares.add(user));
                *model.entry(user).or_insert(0) += 1;
            } else {
                shares.remove(user);
                if let Some(count) = model.get_mut(&user) {
                    *count -= 1;
                }
                model.retain(|_, count| *count > 0);
            }
            assert_eq!(shares.users(), model.len());
            assert_eq!(shares.of(user), model.get(&user).copied().unwrap_or(0));
        }
        assert_eq!(shares.grow(slots(1)).len(), 1, "no less than before");
    }

    /// Lets users take as much as they can, in turn; returns how much each has.
    fn fill(users: u32, limit: u64) -> Vec<u32> {
        let mut shares = Shares::new(slots(8));
        let mut all = 0;
        while let Some(user) =
            (0..users).find(|user| !is_refused(shares.of(*user).into(), all, limit))
        {
            shares.add(user);
            all += 1;
        }
        (0..users).map(|user| shares.of(user)).collect()
    }

    #[test]
    fn one_who_comes_later_finds_something() {
        assert_eq!(fill(1, 1000), [500]);
        // The first took its half; what is left is halved again.
        assert_eq!(fill(2, 1000), [500, 250]);
        assert_eq!(fill(3, 1000), [500, 250, 125]);
        assert!(!is_refused(0, 999, 1000));
        assert!(is_refused(0, 1000, 1000));
        assert!(is_refused(0, u64::MAX, 0));
    }
}
