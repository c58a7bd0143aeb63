// SPDX-License-Identifier: GPL-2.0

//! Messages that are incomplete or wait, and the bits of those that are done with.

use super::{Inbox, Info, Limits, Refusal, Upper};

/// What a slot holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Kind {
    /// Nothing of the message has come, but others wait for it.
    #[default]
    Empty,
    /// Some of it has come.
    Partial,
    /// All of it has come, and it waits.
    Complete,
    /// It is cancelled, and waits.
    Gone,
}

/// A message that is incomplete, waits, or is waited for.
#[derive(Debug)]
pub struct Slot<P> {
    pub(super) id: u64,
    /// The number of its predecessor and one more, or 0.
    pub(super) pred: u64,
    /// The number of the first message that waits for it and one more, or 0.
    pub(super) waiters: u64,
    /// The number of the next one that waits for the same predecessor and one more, or 0.
    pub(super) sibling: u64,
    pub(super) stored: Option<P>,
    pub(super) info: Info,
    /// As it came.
    pub(super) prev: u32,
    /// Units received.
    pub(super) units: u32,
    pub(super) kind: Kind,
    /// Its first piece has come, and so have its extension headers.
    pub(super) started: bool,
}

/// Sets the bits from `first` up to `end`, and returns how many of them were clear.
pub(super) fn set_range(words: &mut [u64], first: u32, end: u32) -> u32 {
    let mut new = 0_u32;
    let mut at = first;
    while at < end {
        let bit = at % 64;
        let count = (64_u32.wrapping_sub(bit)).min(end.wrapping_sub(at));
        let ones = u64::MAX
            .checked_shr(64_u32.wrapping_sub(count))
            .unwrap_or(0);
        let mask = ones.wrapping_shl(bit);
        // CAST: widening on all machines of the kernel.
        if let Some(word) = words.get_mut((at / 64) as usize) {
            new = new.saturating_add((mask & !*word).count_ones());
            *word |= mask;
        }
        at = at.saturating_add(count);
    }
    new
}

/// The place of a number in some slots.
const fn place(id: u64, count: usize) -> usize {
    // CAST: the low bits count.
    id as usize & count.wrapping_sub(1)
}

impl<U: Upper> Inbox<U> {
    /// Word and bit of a number.
    fn bit(id: u64, words: usize) -> (usize, u64) {
        // CAST: the low bits count.
        let at = (id >> 6) as usize & words.wrapping_sub(1);
        (at, 1_u64.wrapping_shl(id as u32 & 63))
    }

    /// Whether a number from the base on is done with.
    #[inline]
    pub(super) fn is_done(&self, id: u64) -> bool {
        let Some(bits) = &self.bits else {
            return false;
        };
        let (at, bit) = Self::bit(id, bits.len());
        bits.get(at).is_some_and(|word| word & bit != 0)
    }

    pub(super) fn set_done(&mut self, id: u64) {
        let Some(bits) = &mut self.bits else {
            return;
        };
        let (at, bit) = Self::bit(id, bits.len());
        if let Some(word) = bits.get_mut(at) {
            *word |= bit;
            self.above = self.above.saturating_add(1);
        }
    }

    /// Moves the base above what is done with.
    pub(super) fn advance(&mut self) {
        let Some(bits) = &mut self.bits else {
            return;
        };
        let count = bits.len();
        while self.above != 0 {
            let (at, bit) = Self::bit(self.base, count);
            let Some(word) = bits.get_mut(at) else {
                return;
            };
            if *word & bit == 0 {
                return;
            }
            *word &= !bit;
            self.above = self.above.wrapping_sub(1);
            self.base = self.base.wrapping_add(1);
        }
    }

    /// Makes bits for the whole window, if there are none.
    pub(super) fn make_bits(&mut self, limits: &Limits, upper: &mut U) -> Result<(), Refusal> {
        if self.bits.is_none() {
            // A power of two, so that the low bits of a number are its place.
            let last = usize::from(limits.window).saturating_sub(1) / 64;
            let words = 1_usize.wrapping_shl(usize::BITS.wrapping_sub(last.leading_zeros()));
            self.bits = upper.bits(words).filter(|bits| bits.len() == words);
        }
        match self.bits {
            Some(_) => Ok(()),
            None => Err(Refusal::Memory),
        }
    }

    /// The slot of a number.
    pub(super) fn slot_mut(&mut self, id: u64) -> Option<&mut Slot<U::Stored>> {
        let slots = self.slots.as_mut()?;
        let at = place(id, slots.len());
        slots.get_mut(at)?.as_mut().filter(|slot| slot.id == id)
    }

    /// Makes a slot for a number, if there is none.
    pub(super) fn make_slot(&mut self, upper: &mut U, id: u64) -> Result<(), Refusal> {
        loop {
            let count = self.slots.as_ref().map_or(0, |slots| slots.len());
            if let Some(slot) = self
                .slots
                .as_mut()
                .and_then(|s| s.get_mut(place(id, count)))
            {
                match slot {
                    Some(slot) if slot.id == id => return Ok(()),
                    Some(_) => {}
                    None => {
                        *slot = Some(Slot {
                            id,
                            pred: 0,
                            waiters: 0,
                            sibling: 0,
                            stored: None,
                            info: Info::default(),
                            prev: 0,
                            units: 0,
                            kind: Kind::Empty,
                            started: false,
                        });
                        self.used = self.used.saturating_add(1);
                        return Ok(());
                    }
                }
            }
            // Numbers of one window differ in their lowest 16 bits: there is an end to this.
            let more = count.saturating_mul(2).max(8);
            let Some(mut slots) = upper.slots(more).filter(|slots| slots.len() == more) else {
                return Err(Refusal::Memory);
            };
            for old in self.slots.iter_mut().flat_map(|slots| slots.iter_mut()) {
                let Some(id) = old.as_ref().map(|slot| slot.id) else {
                    continue;
                };
                if let Some(to) = slots.get_mut(place(id, more)) {
                    *to = old.take();
                }
            }
            self.slots = Some(slots);
        }
    }

    /// Frees a slot, and returns what was in it.
    pub(super) fn free_slot(&mut self, id: u64) -> Option<Slot<U::Stored>> {
        let slots = self.slots.as_mut()?;
        let at = place(id, slots.len());
        let slot = slots.get_mut(at)?;
        if slot.as_ref()?.id != id {
            return None;
        }
        self.used = self.used.saturating_sub(1);
        slot.take()
    }
}
