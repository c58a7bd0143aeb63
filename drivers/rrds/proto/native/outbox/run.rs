// SPDX-License-Identifier: GPL-2.0

//! Runs of small messages: what is sent and acknowledged together is looked at once.

use super::entry::{Entry, Record, State};
use super::flow::Flow;
use super::take::SMALL_QUANTUM;
use super::{charge, Class, Outbox};
use crate::native::slab::{List, Slots, NONE};
use crate::native::wire::{Message, MESSAGE_HEADER_LEN};
use crate::send::Payload;

impl<M: Payload, E: Slots<Entry<M>>, R: Slots<Record>, F: Slots<Flow>> Outbox<M, E, R, F> {
    /// Whether small messages that were never sent come next in a packet for `class`.
    #[inline]
    const fn has_run(&self, class: Class) -> bool {
        let [again, _] = &self.again;
        let turn = match class {
            Class::Small => true,
            Class::Bulk => false,
            Class::Any => !self.bulk_first || !self.has_class(1),
        };
        // What small messages let a large one save up is counted one by one.
        turn && again.is_empty() && self.wanted == 0
    }

    /// Takes whole small messages for the packet of `record`, as many as its flow has in a row, may send
    /// and finds room for in `room` bytes; `put` gets the head of each, the message and its length.
    /// Returns whether there was one.
    #[inline]
    pub(in crate::native) fn take_run(
        &mut self,
        class: Class,
        room: usize,
        record: u32,
        mut put: impl FnMut(&[u8; MESSAGE_HEADER_LEN], &M, u32),
    ) -> bool {
        if !self.has_run(class) {
            return false;
        }
        let [turns, _] = &self.turns;
        let Some((false, flow)) = turns.first(&self.flows, true) else {
            return false;
        };
        let first = self.first();
        let end = first.saturating_add(u64::from(self.window));
        let Some(f) = self.flows.get_mut(flow) else {
            return false;
        };
        let mut deficit = f.deficit;
        if deficit <= 0 {
            deficit = deficit.saturating_add(SMALL_QUANTUM);
        }
        let (head, mut last) = (f.queue.first(), f.last);
        let (mut at, mut tail, mut newest) = (head, NONE, self.newest);
        let (mut id, mut charged, mut room) = (self.next_id, self.charged, room);
        while id < end && deficit > 0 {
            let Some(entry) = self.entries.get_mut(at) else {
                break;
            };
            let (len, plain) = (entry.len, entry.is_plain());
            let after = charged.saturating_add(charge(len));
            // CAST: widening on all machines of the kernel.
            let size = (len as usize).saturating_add(MESSAGE_HEADER_LEN);
            if !plain || len > self.limit || after > self.quota || size > room {
                break;
            }
            let pred = if last > first { last } else { 0 };
            let number = id.wrapping_add(1);
            let head = Message {
                sport: entry.sport,
                dport: entry.dport,
                // CAST: the low half; below the peer's window, which has 16 bits.
                id: id as u32,
                prev: if pred == 0 {
                    0
                } else {
                    number.wrapping_sub(pred) as u32
                },
                ext: None,
            };
            let (Some(head), Some(message)) = (head.emit(len), &entry.message) else {
                break;
            };
            put(&head, message, len);
            entry.id = id;
            entry.pred = pred;
            entry.older = newest;
            entry.newer = entry.next;
            entry.state = State::Sent;
            (charged, last, id) = (after, number, number);
            room = room.saturating_sub(size);
            // CAST: a small message with its head.
            deficit = deficit.saturating_sub(size as i32);
            (newest, tail) = (at, at);
            at = entry.next;
        }
        if tail == NONE {
            return false;
        }
        let over = deficit <= 0;
        f.deficit = deficit;
        f.last = last;
        let run = f.queue.split_through(&mut self.entries, tail);
        if let Some(entry) = self.entries.get_mut(tail) {
            entry.newer = NONE;
        }
        if let Some(older) = self.entries.get_mut(self.newest) {
            older.newer = head;
        } else {
            self.oldest = head;
        }
        self.newest = newest;
        self.next_id = id;
        self.charged = charged;
        if let Some(r) = self.records.get_mut(record) {
            r.entries.append(&mut self.entries, run);
        }
        self.rotate(0, (false, flow), over);
        true
    }

    /// The messages of a list, and what was told of cancelled ones, were acknowledged.
    #[inline]
    pub(super) fn finish_all(&mut self, mut list: List) {
        loop {
            // Those that were given their numbers one after the other leave together.
            let (mut at, mut tail) = (list.first(), NONE);
            let (mut older, mut newer) = (NONE, NONE);
            while let Some(entry) = self.entries.get_mut(at) {
                if entry.state == State::Gone || (tail != NONE && entry.older != tail) {
                    break;
                }
                if tail == NONE {
                    older = entry.older;
                }
                entry.state = State::Done;
                newer = entry.newer;
                tail = at;
                at = entry.next;
                if entry.len > self.limit {
                    let cost = charge(entry.len);
                    self.acknowledge_large(cost);
                }
            }
            if tail != NONE {
                self.unlink(older, newer);
                let run = list.split_through(&mut self.entries, tail);
                self.done.append(&mut self.entries, run);
            } else if let Some(at) = list.pop_front(&mut self.entries) {
                self.finish(at);
            } else {
                return;
            }
        }
    }

    /// A large message is not under way any more.
    pub(super) fn acknowledge_large(&mut self, cost: u64) {
        self.large = self.large.saturating_sub(cost);
        self.blocked = false;
    }

    /// Takes entries out of the order of numbers: those between `older` and `newer`.
    #[inline]
    pub(super) fn unlink(&mut self, older: u32, newer: u32) {
        if let Some(entry) = self.entries.get_mut(older) {
            entry.newer = newer;
        } else {
            self.oldest = newer;
            self.blocked = false;
        }
        if let Some(entry) = self.entries.get_mut(newer) {
            entry.older = older;
        } else {
            self.newest = older;
        }
    }
}
