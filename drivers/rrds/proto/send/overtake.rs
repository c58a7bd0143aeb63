// SPDX-License-Identifier: GPL-2.0

//! Short messages overtake long ones.
//!
//! A connection carries the fragments of one message after the other, so that a short message waits for all
//! that was queued before it. RDS keeps the order of the messages from one socket to another one; between
//! other pairs of sockets it promises none, and a receiver takes messages in the order of their numbers.
//! So a short message takes the place and the number of a long one that is next and was never begun, unless
//! that, or one in between, is of its own pair of sockets. It waits then for the rest of one long message, not for all of
//! them. C numbers messages when they are queued, and keeps that order.
//!
//! A long message is overtaken by as many as it has fragments, and is sent then. So both kinds get half of the
//! connection where there is enough of both.

use super::{Entry, Item, Payload, SendQueue};
use crate::consts::FRAGMENT_LEN;
use crate::ring::Storage;

/// Longest message that overtakes.
const SHORT: u32 = FRAGMENT_LEN;

/// Messages are overtaken that are longer. To wait for a few fragments costs less than to look behind them.
const LONG: u32 = 4 * FRAGMENT_LEN;

/// How far behind the next message a short one is looked for.
const REACH: usize = 32;

/// Pairs of sockets, of which several may look like one.
#[derive(Clone, Copy, Default)]
struct Pairs(u64);

impl Pairs {
    fn of(sport: u16, dport: u16) -> Self {
        // A multiplicative hash; its upper six bits are as good as any.
        let ports = u32::from(sport) << 16 | u32::from(dport);
        let bit = ports.wrapping_mul(0x9e37_79b1) >> 26;
        Self(1_u64.wrapping_shl(bit))
    }

    fn has(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl<M: Payload> Entry<M> {
    /// Whether others may overtake it.
    pub(super) fn is_long(&self) -> bool {
        self.item.as_ref().is_some_and(|item| item.len() > LONG)
    }

    /// Whether it may overtake others.
    fn is_short(&self) -> bool {
        match &self.item {
            Some(Item::Message(m)) => {
                m.len() <= SHORT && m.operation().is_none() && self.ended.is_none()
            }
            Some(Item::Pong(_)) => true,
            None => false,
        }
    }

    /// The sockets between which order is kept.
    fn pairs(&self) -> Pairs {
        match &self.item {
            Some(Item::Message(m)) => Pairs::of(m.sport(), m.dport()),
            Some(Item::Pong(_)) | None => Pairs::default(),
        }
    }
}

impl<M: Payload, S: Storage<Entry<M>>> SendQueue<M, S> {
    /// Puts a short message in the place of the one at `index`, which comes next, if that may be overtaken.
    ///
    /// O(1) unless that is a long one.
    #[inline]
    pub(super) fn overtake(&mut self, index: usize) {
        if self.ring.get(index).is_some_and(Entry::is_long) {
            self.overtake_long(index);
        }
    }

    #[cold]
    fn overtake_long(&mut self, index: usize) {
        let Some(next) = self.ring.get(index) else {
            return;
        };
        // The peer may know its number.
        let is_begun = next.seq <= self.used_high();
        let fragments = next
            .item
            .as_ref()
            .map_or(0, Item::len)
            .div_ceil(FRAGMENT_LEN);
        if is_begun || self.overtaken >= fragments {
            return;
        }
        let mut pairs = next.pairs();
        // OVERFLOW: Both are far below the size of memory.
        for at in index.wrapping_add(1)..index.wrapping_add(REACH) {
            let Some(entry) = self.ring.get(at) else {
                return;
            };
            if entry.is_short() && !pairs.has(entry.pairs()) {
                self.overtaken = self.overtaken.saturating_add(1);
                self.put_ahead(at, index);
                return;
            }
            pairs = pairs.with(entry.pairs());
        }
    }

    /// Moves the entry at `from` to `to`. The numbers stay in order.
    fn put_ahead(&mut self, from: usize, to: usize) {
        self.ring.move_ahead(from, to);
        // INVARIANT: each place has the number that it had.
        let Some(highest) = self.ring.get(to).map(Entry::seq) else {
            return;
        };
        for at in to..=from {
            let follower = self.ring.get(at.wrapping_add(1)).map(Entry::seq);
            let seq = follower.filter(|_| at < from).unwrap_or(highest);
            if let Some(entry) = self.ring.get_mut(at) {
                entry.seq = seq;
                if let Some(Item::Message(message)) = &entry.item {
                    message.renumber(seq);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
