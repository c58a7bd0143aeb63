// SPDX-License-Identifier: GPL-2.0

//! Short messages overtake long ones.
//!
//! A connection carries the fragments of one message after the other, so that a short message waits for
//! all that was queued before it. RDS keeps the order of what one socket sends to another; between other
//! sockets it promises none, and a receiver takes messages in the order of their numbers. So when a long
//! message is next, and was never begun, the first short one behind it goes ahead of it, unless one that it
//! passes is of its own socket. All that it passes move back by one place and keep their order; the numbers stay
//! with the places. The short message waits then for the rest of one long message, not for all of them. C
//! numbers messages when they are queued, and keeps that order.
//!
//! While a long message is next, as many overtake it as it has fragments; then it is its turn.

use super::{Entry, Item, Payload, SendQueue};
use crate::consts::FRAGMENT_LEN;
use crate::ring::Storage;

/// Longest message that overtakes.
const SHORT: u32 = FRAGMENT_LEN;

/// Messages are overtaken that are longer. To wait for a few fragments costs less than to look behind them.
const LONG: u32 = 4 * FRAGMENT_LEN;

/// How far behind the next message a short one is looked for.
const REACH: usize = 32;

/// Sockets that send, of which several may look like one.
#[derive(Clone, Copy, Debug, Default)]
struct Senders(u64);

impl Senders {
    fn of(sport: u16) -> Self {
        // A multiplicative hash; its upper six bits are as good as any.
        let bit = u32::from(sport).wrapping_mul(0x9e37_79b1) >> 26;
        Self(1_u64.wrapping_shl(bit))
    }

    fn has(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

/// How often a long message was overtaken, and where no other was found that may.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Search {
    /// How many have overtaken the long message that is next.
    pub(super) overtaken: u32,
    /// The number of the long message that was next when the others were looked at.
    next: u64,
    /// The first number that was not looked at.
    end: u64,
    /// Who sent those that were.
    senders: Senders,
}

impl<M: Payload> Entry<M> {
    /// Length in bytes; 0 of a message that has left.
    fn len(&self) -> u32 {
        self.item.as_ref().map_or(0, Item::len)
    }

    /// Whether others may overtake it.
    pub(super) fn is_long(&self) -> bool {
        self.len() > LONG
    }

    /// Whether it may overtake others.
    fn is_short(&self) -> bool {
        let is_short = |item: &Item<M>| item.len() <= SHORT && item.operation().is_none();

        self.ended.is_none() && self.item.as_ref().is_some_and(is_short)
    }

    /// The socket whose messages keep their order, to whichever port they go: what it sends last may be to
    /// have all before it acknowledged.
    fn sender(&self) -> Senders {
        match &self.item {
            Some(Item::Message(m)) => Senders::of(m.sport()),
            Some(Item::Pong(_) | Item::Hello) | None => Senders::default(),
        }
    }
}

impl<M: Payload, S: Storage<Entry<M>>> SendQueue<M, S> {
    /// Puts a short message ahead of the one at `index`, which comes next, if that may be overtaken.
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
        let (next_seq, fragments) = (next.seq, next.len().div_ceil(FRAGMENT_LEN));
        if is_begun || self.search.overtaken >= fragments {
            return;
        }
        if self.search.next != next.seq {
            self.search.next = next.seq;
            self.search.end = next.seq.wrapping_add(1);
            self.search.senders = next.sender();
        }
        // OVERFLOW: Both are far below the size of memory.
        for at in index.wrapping_add(1)..index.wrapping_add(REACH) {
            let Some(entry) = self.ring.get(at) else {
                return;
            };
            if entry.seq < self.search.end {
                continue;
            }
            if entry.seq >= self.barrier && next_seq < self.barrier {
                return;
            }
            if entry.is_short() && !self.search.senders.has(entry.sender()) {
                self.search.overtaken = self.search.overtaken.saturating_add(1);
                self.put_ahead(at, index);
                return;
            }
            self.search.senders = self.search.senders.with(entry.sender());
            self.search.end = entry.seq.wrapping_add(1);
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
