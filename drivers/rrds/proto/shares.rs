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

/// What came of asking for one more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Take {
    /// The user has one more.
    Taken,
    /// The user has taken up what the others have left.
    Refused,
    /// There is no slot for one more user: [`Shares::grow`] makes some.
    NoSlot,
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
    /// Where a user was found last: the next one asked for is mostly the same.
    last: usize,
}

impl<S: DerefMut<Target = [Share]>> Shares<S> {
    /// Nobody has anything; there is room for as many users as there are slots.
    pub fn new(slots: S) -> Self {
        // INVARIANT: no slot is in use.
        Self {
            slots,
            len: 0,
            last: 0,
        }
    }

    fn used(&self) -> &[Share] {
        self.slots.get(..self.len).unwrap_or(&[])
    }

    /// Returns the place of a user, or where one is to be put.
    #[inline]
    fn find(&self, user: u32) -> Result<usize, usize> {
        match self.used().get(self.last) {
            Some(share) if share.user == user => Ok(self.last),
            _ => self.search(user),
        }
    }

    #[cold]
    fn search(&self, user: u32) -> Result<usize, usize> {
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

    /// Gives a user one more where `all` are taken of `limit`, unless the user [is
    /// refused](is_refused). O(log n) in the number of users, O(1) for the one of the last call.
    #[inline(always)] // Every message goes through here.
    pub fn take(&mut self, user: u32, all: u64, limit: u64) -> Take {
        let place = self.find(user);
        let at = match place {
            Ok(at) | Err(at) => at,
        };
        let mine = match place {
            Ok(at) => self.used().get(at).map_or(0, |share| share.count),
            Err(_) => 0,
        };
        if is_refused(mine.into(), all, limit) {
            return Take::Refused;
        }
        if place.is_err() && !self.insert(at, user) {
            return Take::NoSlot;
        }
        if let Some(share) = self.slots.get_mut(at) {
            share.count = share.count.saturating_add(1);
        }
        self.last = at;
        Take::Taken
    }

    /// Makes a place for a user at `at`; returns `false` if there is no slot. The caller raises its count.
    fn insert(&mut self, at: usize, user: u32) -> bool {
        let end = self.len.wrapping_add(1);
        let Some(rest) = self.slots.get_mut(at..end) else {
            return false;
        };

        // INVARIANT: Those that are greater move by one; there is a slot for the last.
        if rest.len() > 1 {
            rest.rotate_right(1);
        }
        if let Some(first) = rest.first_mut() {
            *first = Share { user, count: 0 };
        }
        self.len = end;
        true
    }

    /// Takes one from a user who has any.
    #[inline]
    pub fn remove(&mut self, user: u32) {
        let Ok(at) = self.find(user) else {
            return;
        };
        let Some(share) = self.slots.get_mut(at) else {
            return;
        };
        share.count = share.count.saturating_sub(1);
        self.last = at;
        if share.count == 0 {
            self.leave(at);
        }
    }

    /// Takes out the place of a user who has nothing any more.
    fn leave(&mut self, at: usize) {
        // INVARIANT: Those that are greater move by one.
        if let Some(rest) = self.slots.get_mut(at..self.len) {
            if rest.len() > 1 {
                rest.rotate_left(1);
            }
        }
        self.len = self.len.saturating_sub(1);
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
                if shares.take(user, 0, u64::MAX) == Take::NoSlot {
                    let wanted = shares.wanted();
                    shares.grow(slots(wanted));
                    assert_eq!(shares.take(user, 0, u64::MAX), Take::Taken);
                }
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
        while (0..users).any(|user| shares.take(user, all, limit) == Take::Taken) {
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
