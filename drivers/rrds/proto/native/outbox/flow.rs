// SPDX-License-Identifier: GPL-2.0

//! Flows, and whose turn it is.

use crate::native::slab::{List, NONE};

/// Messages from one port to another that wait to be sent; flows whose hashes are equal share one.
///
/// A small message waits for all that is before it in its flow, so that it does not pass one of the same
/// ports. If its flow is shared with other ports that have large messages, it waits for those for nothing.
/// With `L` such pairs of ports among `F` flows the chance of that is `L / F`, for a pair as long as its
/// ports are the same: one of 64 pairs beside one with large messages and 64 flows, one of 1024 with 1024.
/// Flows of their own would need a table of ports that grows with the sockets, and a place for what a
/// pair sent last that outlives its messages; a second place for those who find theirs taken, too, as what
/// was sent from either has to be named as a predecessor. [`grow_flows`](super::Outbox::grow_flows) is the
/// answer for who has many sockets with large messages: 32 bytes a flow.
#[derive(Clone, Copy, Debug)]
pub struct Flow {
    pub(super) queue: List,
    /// The number of the last message that was built, and one more; 0 if there is none.
    pub(super) last: u64,
    /// Bytes that the flow may still send in this turn; negative if it sent more than it should.
    pub(super) deficit: i32,
    next: u32,
    /// When it was put into its list, as a count.
    stamp: u32,
}

impl Default for Flow {
    fn default() -> Self {
        Self {
            queue: List::default(),
            last: 0,
            deficit: 0,
            next: NONE,
            stamp: 0,
        }
    }
}

impl Flow {
    /// A flow whose next message comes after the one of this number, one more, or 0.
    pub(super) fn after(last: u64) -> Self {
        Self {
            last,
            ..Self::default()
        }
    }
}

/// The flow of a pair of ports among `count`, a power of two. Twice as many split each into two neighbours.
#[inline]
pub(super) const fn index(sport: u16, dport: u16, count: usize) -> usize {
    // CAST: widening; then the upper bits of the product, which all bits of the ports have a part in.
    let ports = ((sport as u32) << 16) | dport as u32;
    let hash = ports.wrapping_mul(0x9e37_79b9) as u64;
    // OVERFLOW: there are less than 2^32 flows.
    let shift = 32_u32.wrapping_sub(count.trailing_zeros());
    hash.wrapping_shr(shift) as usize & count.wrapping_sub(1)
}

/// Flows that have something to send, the next one first.
#[derive(Clone, Copy, Debug)]
struct Turn {
    head: u32,
    tail: u32,
}

impl Default for Turn {
    fn default() -> Self {
        Self {
            head: NONE,
            tail: NONE,
        }
    }
}

impl Turn {
    const fn is_empty(&self) -> bool {
        self.head == NONE
    }

    /// The flow whose turn it is.
    #[inline]
    const fn first(&self) -> Option<usize> {
        match self.head {
            NONE => None,
            // CAST: widening on all machines of the kernel.
            at => Some(at as usize),
        }
    }

    #[inline]
    fn push_back(&mut self, flows: &mut [Flow], at: usize) {
        // CAST: widening on all machines of the kernel; the count of flows is small.
        let (tail, at_) = (self.tail as usize, at as u32);
        let Some(flow) = flows.get_mut(at) else {
            return;
        };
        flow.next = NONE;
        if let Some(last) = flows.get_mut(tail) {
            last.next = at_;
        } else {
            self.head = at_;
        }
        self.tail = at_;
    }

    #[inline]
    fn pop_front(&mut self, flows: &mut [Flow]) -> Option<usize> {
        let at = self.first()?;
        let flow = flows.get_mut(at)?;
        self.head = flow.next;
        flow.next = NONE;
        if self.head == NONE {
            self.tail = NONE;
        }
        Some(at)
    }
}

/// The flows of a class that have something to send.
///
/// Those whose next message has no number are apart from those that go on with one: if there is no quota
/// or no number for the former, the latter are found without a look at each of them.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Turns {
    fresh: Turn,
    begun: Turn,
    clock: u32,
}

impl Turns {
    #[inline]
    pub(super) const fn is_empty(&self) -> bool {
        self.fresh.is_empty() && self.begun.is_empty()
    }

    /// Whether a flow has a message without a number at its front.
    #[inline]
    pub(super) const fn has_fresh(&self) -> bool {
        !self.fresh.is_empty()
    }

    /// Whether a flow goes on with a message.
    #[inline]
    pub(super) const fn has_begun(&self) -> bool {
        !self.begun.is_empty()
    }

    /// The flow whose turn it is, and whether it goes on with a message; with `fresh` unset, of those
    /// that do.
    #[inline]
    pub(super) fn first(&self, flows: &[Flow], fresh: bool) -> Option<(bool, usize)> {
        let (a, b) = (self.fresh.first().filter(|_| fresh), self.begun.first());
        match (a, b) {
            (None, b) => Some((true, b?)),
            (Some(a), None) => Some((false, a)),
            (Some(a), Some(b)) => {
                let stamp = |at: usize| flows.get(at).map_or(0, |flow| flow.stamp);
                // CAST: the difference of counts that wrap, as a signed number.
                let begun = (stamp(b).wrapping_sub(stamp(a)) as i32) < 0;
                Some((begun, if begun { b } else { a }))
            }
        }
    }

    /// Puts a flow that is in no list behind the others.
    #[inline]
    pub(super) fn push_back(&mut self, flows: &mut [Flow], begun: bool, at: usize) {
        self.clock = self.clock.wrapping_add(1);
        let turn = if begun {
            &mut self.begun
        } else {
            &mut self.fresh
        };
        turn.push_back(flows, at);
        if let Some(flow) = flows.get_mut(at) {
            flow.stamp = self.clock;
        }
    }

    /// Takes out the first flow of those that go on with a message, or of the others.
    #[inline]
    pub(super) fn pop_front(&mut self, flows: &mut [Flow], begun: bool) {
        let turn = if begun {
            &mut self.begun
        } else {
            &mut self.fresh
        };
        turn.pop_front(flows);
    }
}
