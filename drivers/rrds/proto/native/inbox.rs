// SPDX-License-Identifier: GPL-2.0

//! The messages that a session receives: duplicates, pieces, and their order.
//!
//! All numbers below `base` are done with. Above it there is a bit for each number of the window that
//! is, and a slot for each message that has come in part or has to wait for another one. As long as
//! messages come in order there is neither: both kinds of storage are asked for when they are needed.

mod slot;

#[cfg(test)]
mod tests;

use super::outbox::charge;
use super::wire::{GoneEntry, LaneAddresses, MapUpdate, Message, Part, PART_UNIT};
use crate::consts::{EXT_LEN, MAX_MESSAGE_LEN};
use core::ops::DerefMut;

pub use slot::Slot;

use slot::Kind;

/// What is known of a message.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Info {
    /// Port of the sending socket.
    pub sport: u16,
    /// Port of the receiving socket; 0 for a ping.
    pub dport: u16,
    /// Length in bytes.
    pub len: u32,
    /// Extension headers.
    pub ext: [u8; EXT_LEN],
}

/// Where messages go, and where the memory for them comes from.
pub trait Upper {
    /// A message that is incomplete or has to wait.
    type Stored;
    /// Storage of slots.
    type Slots: DerefMut<Target = [Option<Slot<Self::Stored>>]>;
    /// Storage of bits.
    type Bits: DerefMut<Target = [u64]>;

    /// Hands up a message that came whole. Returns `false` if there is no memory for it; it will come
    /// again.
    fn deliver(&mut self, info: &Info, data: &[u8]) -> bool;

    /// Makes room for a message of `info.len` bytes, and for
    /// [`unit_words`] words that note what has come of it, all of them 0. `None` if there is no memory.
    fn store(&mut self, info: &Info) -> Option<Self::Stored>;

    /// Copies data into a message.
    fn put(&mut self, stored: &mut Self::Stored, offset: u32, data: &[u8]);

    /// The words of a message that note what has come of it.
    fn words<'a>(&self, stored: &'a mut Self::Stored) -> &'a mut [u64];

    /// Hands up a message that is complete. This cannot fail.
    fn deliver_stored(&mut self, info: &Info, stored: Self::Stored);

    /// The peer's congestion map changes. Blocks to be cleared that the update does not have are the bits
    /// of `clear`; all that are not have never been set, or are clear.
    fn map(&mut self, update: &MapUpdate<'_>, clear: u16);

    /// The peer can be reached at these addresses, and at no others.
    fn addresses(&mut self, list: &LaneAddresses<'_>) {
        let _ = list;
    }

    /// Makes `count` empty slots, a power of two. `None` if there is no memory.
    fn slots(&mut self, count: usize) -> Option<Self::Slots>;

    /// Makes `count` words of 0. `None` if there is no memory.
    fn bits(&mut self, count: usize) -> Option<Self::Bits>;
}

/// Words that it takes to note what has come of a message of `len` bytes.
pub const fn unit_words(len: u32) -> usize {
    // CAST: widening on all machines of the kernel.
    len.div_ceil(PART_UNIT).div_ceil(64) as usize
}

/// Why a frame has no effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// There is no memory: the packet is not to be acknowledged.
    Memory,
    /// The frame breaks a rule.
    Violation,
}

/// What a receiver can take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Numbers from the base on.
    pub window: u16,
    /// Charges of messages that are not handed up.
    pub quota: u64,
}

/// Messages received.
#[derive(Debug)]
pub struct Inbox<U: Upper> {
    base: u64,
    /// Numbers above the base that are done with.
    above: u32,
    /// One above the largest number seen.
    high: u64,
    charged: u64,
    released: u64,
    bits: Option<U::Bits>,
    slots: Option<U::Slots>,
    /// Slots in use.
    used: u32,
}

impl<U: Upper> Default for Inbox<U> {
    fn default() -> Self {
        Self {
            base: 0,
            above: 0,
            high: 0,
            charged: 0,
            released: 0,
            bits: None,
            slots: None,
            used: 0,
        }
    }
}

/// A message or a piece of one.
#[derive(Clone, Copy)]
struct Arrival<'a> {
    id: u64,
    pred: Option<u64>,
    message: Message,
    total: u32,
    offset: u32,
    data: &'a [u8],
}

impl<U: Upper> Inbox<U> {
    /// The lowest number that is not handed up.
    pub const fn base(&self) -> u64 {
        self.base
    }

    /// The quota to tell the peer.
    pub const fn quota(&self, limits: &Limits) -> u64 {
        self.released.saturating_add(limits.quota)
    }

    /// Charges of messages that are handed up.
    pub const fn released(&self) -> u64 {
        self.released
    }

    /// Messages that are incomplete or wait.
    pub const fn stored(&self) -> u32 {
        self.used
    }

    /// Whether all that has come is handed up.
    pub const fn is_idle(&self) -> bool {
        self.used == 0 && self.above == 0
    }

    /// Goes on where another inbox of the session was, which was idle.
    pub(super) fn go_on(base: u64, released: u64) -> Self {
        Self {
            base,
            high: base,
            charged: released,
            released,
            ..Self::default()
        }
    }

    /// Starts over: the peer is in another life, whose first number is `first`.
    pub fn restart(&mut self, first: u64) {
        *self = Self {
            base: first,
            high: first,
            ..Self::default()
        };
    }

    /// Gives back storage that is not in use.
    pub fn trim(&mut self) {
        if self.used == 0 {
            self.slots = None;
            if self.above == 0 {
                self.bits = None;
            }
        }
    }

    /// The number with this low half, if it is at or above the base; `None` if it is below.
    #[inline]
    fn expand(&self, low: u32, limits: &Limits) -> Result<Option<u64>, Refusal> {
        // CAST: the low half; the difference as a signed number.
        let ahead = low.wrapping_sub(self.base as u32) as i32;
        match u32::try_from(ahead) {
            Ok(ahead) if ahead < u32::from(limits.window) => {
                Ok(Some(self.base.wrapping_add(u64::from(ahead))))
            }
            Ok(_) => Err(Refusal::Violation),
            Err(_) => Ok(None),
        }
    }

    /// The predecessor that is still to be handed up, if there is one.
    #[inline]
    fn predecessor(&self, id: u64, prev: u32) -> Result<Option<u64>, Refusal> {
        if prev == 0 {
            return Ok(None);
        }
        let pred = id.checked_sub(u64::from(prev)).ok_or(Refusal::Violation)?;
        Ok((pred >= self.base && !self.is_done(pred)).then_some(pred))
    }

    /// Takes a whole message.
    ///
    /// # Errors
    ///
    /// The frame had no effect.
    #[inline]
    pub fn message(
        &mut self,
        limits: &Limits,
        upper: &mut U,
        message: &Message,
        data: &[u8],
    ) -> Result<(), Refusal> {
        let Some(id) = self.expand(message.id, limits)? else {
            return Ok(());
        };
        let total = u32::try_from(data.len()).unwrap_or(u32::MAX);
        if id == self.base && self.above == 0 && self.used == 0 {
            // In order, as nearly all are: nothing waits, for this message or for others.
            let cost = self.admit(limits, total)?;
            let info = info(message, total);
            if !upper.deliver(&info, data) {
                self.charged = self.charged.saturating_sub(cost);
                return Err(Refusal::Memory);
            }
            self.released = self.released.saturating_add(cost);
            self.base = id.wrapping_add(1);
            self.high = self.high.max(self.base);
            return Ok(());
        }
        let pred = self.predecessor(id, message.prev)?;
        self.arrive(
            limits,
            upper,
            Arrival {
                id,
                pred,
                message: *message,
                total,
                offset: 0,
                data,
            },
        )
    }

    /// Takes a piece of a message.
    ///
    /// # Errors
    ///
    /// The frame had no effect.
    pub fn part(
        &mut self,
        limits: &Limits,
        upper: &mut U,
        part: &Part,
        data: &[u8],
    ) -> Result<(), Refusal> {
        let Some(id) = self.expand(part.message.id, limits)? else {
            return Ok(());
        };
        let pred = self.predecessor(id, part.message.prev)?;
        self.arrive(
            limits,
            upper,
            Arrival {
                id,
                pred,
                message: part.message,
                total: part.total,
                offset: part.offset,
                data,
            },
        )
    }

    /// Charges a message, or refuses it.
    #[inline]
    fn admit(&mut self, limits: &Limits, total: u32) -> Result<u64, Refusal> {
        let cost = charge(total);
        let charged = self.charged.saturating_add(cost);
        if total > MAX_MESSAGE_LEN || charged > self.quota(limits) {
            return Err(Refusal::Violation);
        }
        self.charged = charged;
        Ok(cost)
    }

    fn arrive(&mut self, limits: &Limits, upper: &mut U, a: Arrival<'_>) -> Result<(), Refusal> {
        if self.is_done(a.id) {
            return Ok(());
        }
        // CAST: the total is at most 1 MiB where it matters.
        let whole = a.data.len() == a.total as usize;
        if let Some(slot) = self.slot_mut(a.id) {
            match slot.kind {
                Kind::Partial => return self.continue_(upper, a),
                Kind::Complete | Kind::Gone => return Ok(()),
                Kind::Empty => {}
            }
        }
        self.make_bits(limits, upper)?;
        if whole && a.pred.is_none() {
            let cost = self.admit(limits, a.total)?;
            if !upper.deliver(&info(&a.message, a.total), a.data) {
                self.charged = self.charged.saturating_sub(cost);
                return Err(Refusal::Memory);
            }
            self.released = self.released.saturating_add(cost);
            self.high = self.high.max(a.id.wrapping_add(1));
            self.handed_up(upper, a.id);
            return Ok(());
        }
        // A slot that was made stays, should there be no memory for the rest: the message will come.
        self.make_slot(upper, a.id)?;
        if let Some(pred) = a.pred {
            self.make_slot(upper, pred)?;
        }
        let info = info(&a.message, a.total);
        self.admit(limits, a.total)?;
        let Some(stored) = upper.store(&info) else {
            self.charged = self.charged.saturating_sub(charge(a.total));
            return Err(Refusal::Memory);
        };
        if let Some(slot) = self.slot_mut(a.id) {
            slot.kind = Kind::Partial;
            slot.pred = a.pred.map_or(0, |pred| pred.wrapping_add(1));
            slot.prev = a.message.prev;
            slot.info = info;
            slot.stored = Some(stored);
        }
        self.high = self.high.max(a.id.wrapping_add(1));
        self.continue_(upper, a)
    }

    /// Takes more of a message that has a slot.
    fn continue_(&mut self, upper: &mut U, a: Arrival<'_>) -> Result<(), Refusal> {
        let Some(slot) = self.slot_mut(a.id) else {
            return Err(Refusal::Violation);
        };
        let (same, ext) = (&slot.info, a.message.ext.unwrap_or_default());
        if a.total != same.len
            || a.message.sport != same.sport
            || a.message.dport != same.dport
            || a.message.prev != slot.prev
            || (slot.started && a.offset == 0 && ext != same.ext)
        {
            return Err(Refusal::Violation);
        }
        if a.offset == 0 {
            slot.started = true;
            slot.info.ext = ext;
        }
        let Some(stored) = &mut slot.stored else {
            return Err(Refusal::Violation);
        };
        upper.put(stored, a.offset, a.data);
        let first = a.offset / PART_UNIT;
        let end = u32::try_from(a.data.len())
            .unwrap_or(u32::MAX)
            .saturating_add(a.offset)
            .div_ceil(PART_UNIT);
        let new = slot::set_range(upper.words(stored), first, end);
        slot.units = slot.units.saturating_add(new);
        if slot.units >= slot.info.len.div_ceil(PART_UNIT) {
            slot.kind = Kind::Complete;
            self.complete(upper, a.id);
        }
        Ok(())
    }

    /// Takes a cancelled message.
    ///
    /// # Errors
    ///
    /// The entry had no effect.
    pub fn gone(
        &mut self,
        limits: &Limits,
        upper: &mut U,
        entry: &GoneEntry,
    ) -> Result<(), Refusal> {
        let Some(id) = self.expand(entry.id, limits)? else {
            return Ok(());
        };
        let pred = self.predecessor(id, entry.prev)?;
        if self.is_done(id) {
            return Ok(());
        }
        match self.slot_mut(id).map(|slot| slot.kind) {
            Some(Kind::Complete | Kind::Gone) => return Ok(()),
            Some(Kind::Partial) => {
                if let Some(slot) = self.slot_mut(id) {
                    if slot.info.len != entry.len {
                        return Err(Refusal::Violation);
                    }
                    slot.stored = None;
                    slot.kind = Kind::Gone;
                }
            }
            Some(Kind::Empty) | None => {
                self.make_bits(limits, upper)?;
                self.make_slot(upper, id)?;
                if let Some(pred) = pred {
                    self.make_slot(upper, pred)?;
                }
                self.admit(limits, entry.len)?;
                if let Some(slot) = self.slot_mut(id) {
                    slot.kind = Kind::Gone;
                    slot.pred = pred.map_or(0, |pred| pred.wrapping_add(1));
                    slot.info.len = entry.len;
                }
                self.high = self.high.max(id.wrapping_add(1));
            }
        }
        self.complete(upper, id);
        Ok(())
    }

    /// A message is complete: hands it up, or lets it wait for its predecessor.
    fn complete(&mut self, upper: &mut U, id: u64) {
        let Some(slot) = self.slot_mut(id) else {
            return;
        };
        let pred = slot.pred.checked_sub(1);
        match pred.filter(|pred| *pred >= self.base && !self.is_done(*pred)) {
            None => self.hand_up(upper, id),
            Some(pred) => {
                // It had a slot when this one came, and is not done; it may have grown out of it.
                let first = self
                    .slot_mut(pred)
                    .map(|slot| core::mem::replace(&mut slot.waiters, id.wrapping_add(1)));
                if let (Some(slot), Some(first)) = (self.slot_mut(id), first) {
                    slot.sibling = first;
                }
            }
        }
    }

    /// Hands a complete message up that has a slot.
    fn hand_up(&mut self, upper: &mut U, id: u64) {
        self.hand_up_slot(upper, id);
        self.handed_up(upper, id);
    }

    /// As [`hand_up`](Self::hand_up), and leaves those that wait for it.
    fn hand_up_slot(&mut self, upper: &mut U, id: u64) {
        let Some(slot) = self.slot_mut(id) else {
            return;
        };
        let (info, stored) = (slot.info, slot.stored.take());
        if let Some(stored) = stored {
            upper.deliver_stored(&info, stored);
        }
        self.released = self.released.saturating_add(charge(info.len));
    }

    /// A message was handed up: so are those that wait for it, and those that wait for them.
    fn handed_up(&mut self, upper: &mut U, id: u64) {
        let mut todo = self.leave(id);
        while let Some(id) = todo.checked_sub(1) {
            let sibling = self.slot_mut(id).map_or(0, |slot| slot.sibling);
            self.hand_up_slot(upper, id);
            let mut last = self.leave(id);
            // Its own waiters come before its siblings.
            todo = if last == 0 { sibling } else { last };
            while last != 0 && sibling != 0 {
                let Some(slot) = self.slot_mut(last.wrapping_sub(1)) else {
                    break;
                };
                if slot.sibling == 0 {
                    slot.sibling = sibling;
                    break;
                }
                last = slot.sibling;
            }
        }
        self.advance();
    }

    /// Marks a number as done, frees its slot, and returns the first of those that wait for it.
    fn leave(&mut self, id: u64) -> u64 {
        self.set_done(id);
        self.free_slot(id).map_or(0, |slot| slot.waiters)
    }
}

/// What a message is, by its head.
#[inline]
fn info(message: &Message, len: u32) -> Info {
    Info {
        sport: message.sport,
        dport: message.dport,
        len,
        ext: message.ext.unwrap_or_default(),
    }
}
