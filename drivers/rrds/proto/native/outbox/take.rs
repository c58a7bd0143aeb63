// SPDX-License-Identifier: GPL-2.0

//! What goes into the next packet.

use super::entry::{Entry, Piece, Record, State};
use super::flow::Flow;
use super::{charge, Outbox};
use crate::consts::EXT_LEN;
use crate::native::slab::Slots;
use crate::native::wire::{
    GoneEntry, Message, Part, MESSAGE_HEADER_LEN, PART_HEADER_LEN, PART_UNIT,
};
use crate::send::Payload;
use core::cmp::min;

/// What small messages may take of the quota while a large one waits for it.
const PASS: u64 = 64 << 10;

/// Bytes that a flow of small messages sends in a turn.
const SMALL_QUANTUM: i32 = 4 << 10;

/// Bytes that a flow of large messages sends in a turn.
const BULK_QUANTUM: i32 = 64 << 10;

/// Which messages a packet is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// All.
    Any,
    /// Small ones.
    Small,
    /// Large ones.
    Bulk,
}

/// A frame to build.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Taken {
    /// A whole message: the head, and the entry whose data follows.
    Message(Message, u32),
    /// A piece: the head, the entry, and the length of the piece.
    Part(Part, u32, u32),
    /// A message that is cancelled.
    Gone(GoneEntry),
}

/// What there is of one kind, or why not.
enum Next {
    Frame(Taken),
    /// Something was put in order; look again.
    Again,
    /// The flow whose turn it was must wait, and the next one has it now.
    Skipped,
    /// Nothing, or nothing that fits or may be sent now.
    Nothing,
}

impl<M: Payload, E: Slots<Entry<M>>, R: Slots<Record>, F: Slots<Flow>> Outbox<M, E, R, F> {
    /// Decides on the order in the next packet, which has room for `room` bytes of frames.
    #[inline]
    pub(in crate::native) fn begin_packet(&mut self, room: usize) {
        self.bulk_first = !self.bulk_first;
        self.whole = room;
    }

    /// Takes the next frame of at most `room` bytes for the packet of `record`; `None` if there is none.
    #[inline]
    pub(in crate::native) fn take(
        &mut self,
        class: Class,
        room: usize,
        record: u32,
    ) -> Option<Taken> {
        match class {
            Class::Small => self.take_class(0, room, record),
            Class::Bulk => self.take_class(1, room, record),
            Class::Any => {
                let first = usize::from(self.bulk_first);
                if self.has_class(first) {
                    let taken = self.take_class(first, room, record);
                    if taken.is_some() {
                        return taken;
                    }
                }
                if self.has_class(first ^ 1) {
                    return self.take_class(first ^ 1, room, record);
                }
                None
            }
        }
    }

    /// Whether there is something of a class.
    #[inline]
    const fn has_class(&self, class: usize) -> bool {
        let [small, bulk] = &self.again;
        match class {
            0 => !(small.is_empty() && self.small.is_empty()),
            _ => !(bulk.is_empty() && self.pieces.is_empty() && self.bulk.is_empty()),
        }
    }

    fn take_class(&mut self, class: usize, room: usize, record: u32) -> Option<Taken> {
        let mut skipped = 0_usize;
        loop {
            let again = self.again.get(class).is_some_and(|list| !list.is_empty());
            let mut next = if again {
                self.take_again(class, room, record)
            } else {
                Next::Nothing
            };
            if class == 1 && !self.pieces.is_empty() && matches!(next, Next::Nothing) {
                next = self.take_piece(room, record);
            }
            if matches!(next, Next::Nothing) {
                next = self.take_new(class, room, record);
            }
            match next {
                Next::Frame(taken) => return Some(taken),
                Next::Again => {}
                Next::Skipped => {
                    skipped = skipped.saturating_add(1);
                    if skipped > self.flows.len() {
                        return None;
                    }
                }
                Next::Nothing => return None,
            }
        }
    }

    /// The message of an entry.
    #[inline]
    pub(in crate::native) fn message(&self, entry: u32) -> Option<&M> {
        self.entries.get(entry)?.message.as_ref()
    }

    /// What is whole and is to be sent again, or cancelled.
    #[inline]
    fn take_again(&mut self, class: usize, room: usize, record: u32) -> Next {
        let Some(list) = self.again.get(class) else {
            return Next::Nothing;
        };
        let at = list.first();
        let Some(entry) = self.entries.get_mut(at) else {
            return Next::Nothing;
        };
        if entry.cancelled {
            if room < GoneEntry::FRAME_LEN {
                return Next::Nothing;
            }
            entry.state = State::Gone;
            let gone = entry.gone();
            if let Some(list) = self.again.get_mut(class) {
                list.pop_front(&mut self.entries);
            }
            self.attach(at, record);
            return Next::Frame(Taken::Gone(gone));
        }
        self.build(at, room, record, |outbox| {
            if let Some(list) = outbox.again.get_mut(class) {
                list.pop_front(&mut outbox.entries);
            }
        })
    }

    /// A piece of a packet that was lost, or as much of it as there is room for.
    fn take_piece(&mut self, room: usize, record: u32) -> Next {
        let at = self.pieces.first();
        let Some(piece) = self.records.get(at).and_then(|r| r.part) else {
            return Next::Nothing;
        };
        let Some(entry) = self.entries.get_mut(piece.entry) else {
            return Next::Nothing;
        };
        if entry.cancelled {
            entry.pieces = entry.pieces.wrapping_sub(1);
            let done = entry.state == State::Sent;
            if done {
                entry.state = State::Gone;
                let [_, bulk] = &mut self.again;
                bulk.push_back(&mut self.entries, piece.entry);
            }
            self.pieces.pop_front(&mut self.records);
            self.records.release(at);
            self.settle(piece.entry);
            return Next::Again;
        }
        if self.records.get(record).is_none_or(|r| r.part.is_some()) {
            return Next::Nothing;
        }
        let ext = if piece.offset == 0 { entry.ext() } else { None };
        let Some(len) = piece_len(room, piece.len, ext.is_some()) else {
            return Next::Nothing;
        };
        let part = entry.part(piece.offset, ext);
        if len < piece.len {
            entry.pieces = entry.pieces.wrapping_add(1);
            if let Some(Some(rest)) = self.records.get_mut(at).map(|r| r.part.as_mut()) {
                rest.offset = rest.offset.saturating_add(len);
                rest.len = rest.len.saturating_sub(len);
            }
        } else {
            self.pieces.pop_front(&mut self.records);
            self.records.release(at);
        }
        if let Some(r) = self.records.get_mut(record) {
            r.part = Some(Piece { len, ..piece });
        }
        Next::Frame(Taken::Part(part, piece.entry, len))
    }

    /// What was never sent.
    #[inline]
    fn take_new(&mut self, class: usize, room: usize, record: u32) -> Next {
        let (turn, quantum) = match class {
            0 => (&mut self.small, SMALL_QUANTUM),
            _ => (&mut self.bulk, BULK_QUANTUM),
        };
        let Some(flow) = turn.first() else {
            return Next::Nothing;
        };
        let Some(f) = self.flows.get_mut(flow) else {
            return Next::Nothing;
        };
        if f.deficit <= 0 {
            f.deficit = f.deficit.saturating_add(quantum);
            if f.deficit <= 0 {
                self.rotate(class, flow, true);
                return Next::Again;
            }
        }
        let (at, last) = (f.queue.first(), f.last);
        let first = self.first();
        let next_id = self.next_id;
        let Some(entry) = self.entries.get_mut(at) else {
            return Next::Nothing;
        };
        if entry.cancelled {
            self.drop_first(class, flow, at);
            return Next::Again;
        }
        if entry.state == State::Waiting {
            let cost = charge(entry.len);
            let (quota, charged) = (self.quota, self.charged.saturating_add(cost));
            let full = next_id.saturating_sub(first) >= u64::from(self.window);
            if charged > quota && class == 1 {
                self.waits = true;
            }
            // A large message that waits for quota is not overtaken for ever.
            let passed = if class == 0 && self.waits && !self.bulk.is_empty() {
                self.passed.saturating_add(cost)
            } else {
                0
            };
            if full || charged > quota || passed > PASS {
                self.blocked = true;
                if self.begun == 0 {
                    return Next::Nothing;
                }
                // Another flow may have a message to go on with.
                self.rotate(class, flow, true);
                return Next::Skipped;
            }
            if !entry.fits_at_all(room, self.whole) {
                return Next::Nothing;
            }
            entry.id = next_id;
            entry.pred = if last > first { last } else { 0 };
            entry.older = self.newest;
            self.next_id = next_id.wrapping_add(1);
            self.charged = charged;
            self.passed = passed;
            if class == 1 {
                self.waits = false;
                self.passed = 0;
            }
            if let Some(older) = self.entries.get_mut(self.newest) {
                older.newer = at;
            } else {
                self.oldest = at;
            }
            self.newest = at;
            if let Some(f) = self.flows.get_mut(flow) {
                f.last = next_id.wrapping_add(1);
            }
            self.begun = self.begun.wrapping_add(1);
            if let Some(entry) = self.entries.get_mut(at) {
                entry.state = State::Begun;
            }
        }
        let next = self.build(at, room, record, |outbox| {
            if let Some(f) = outbox.flows.get_mut(flow) {
                f.queue.pop_front(&mut outbox.entries);
            }
        });
        if let Next::Frame(taken) = &next {
            let cost = match taken {
                Taken::Message(_, at) => self.entries.get(*at).map_or(0, |e| e.len),
                Taken::Part(_, _, len) => *len,
                Taken::Gone(_) => 0,
            };
            let cost = i32::try_from(cost).unwrap_or(i32::MAX).saturating_add(16);
            if let Some(f) = self.flows.get_mut(flow) {
                f.deficit = f.deficit.saturating_sub(cost);
                let over = f.deficit <= 0;
                self.rotate(class, flow, over);
            }
        }
        next
    }

    /// Takes a cancelled message from the front of its flow.
    fn drop_first(&mut self, class: usize, flow: usize, at: u32) {
        if let Some(f) = self.flows.get_mut(flow) {
            f.queue.pop_front(&mut self.entries);
        }
        if let Some(entry) = self.entries.get_mut(at) {
            if entry.state == State::Begun {
                self.begun = self.begun.wrapping_sub(1);
                entry.state = State::Gone;
                if let Some(again) = self.again.get_mut(class) {
                    again.push_back(&mut self.entries, at);
                }
            } else {
                // Nobody heard of it; the message was returned.
                entry.state = State::Done;
                self.done.push_back(&mut self.entries, at);
            }
        }
        self.rotate(class, flow, false);
    }

    /// Lets the next flow have its turn if this one has had it, has nothing left, or goes on with a
    /// message of the other class.
    #[inline]
    fn rotate(&mut self, class: usize, flow: usize, over: bool) {
        let Some(f) = self.flows.get_mut(flow) else {
            return;
        };
        let first = self.entries.get(f.queue.first());
        let next = first.map(|e| usize::from(e.len > self.limit));
        if next == Some(class) && !over {
            return;
        }
        if next != Some(class) {
            f.deficit = 0;
        }
        let (small, bulk) = (&mut self.small, &mut self.bulk);
        let from = if class == 0 { &mut *small } else { &mut *bulk };
        from.pop_front(&mut self.flows);
        match next {
            Some(0) => small.push_back(&mut self.flows, flow),
            Some(_) => bulk.push_back(&mut self.flows, flow),
            None => {}
        }
    }

    /// Adds an entry that is in no list to a packet.
    #[inline]
    fn attach(&mut self, at: u32, record: u32) {
        if let Some(r) = self.records.get_mut(record) {
            r.entries.push_back(&mut self.entries, at);
        }
    }

    /// Builds a frame of a message that has a number: whole if it fits, and else the next piece. `pop`
    /// takes the message from its list when all of it is built.
    #[inline]
    fn build(&mut self, at: u32, room: usize, record: u32, pop: impl FnOnce(&mut Self)) -> Next {
        let Some(entry) = self.entries.get_mut(at) else {
            return Next::Nothing;
        };
        if entry.sent == 0 && entry.fits(room) {
            let message = entry.head(entry.ext());
            if entry.state == State::Begun {
                self.begun = self.begun.wrapping_sub(1);
            }
            entry.state = State::Sent;
            pop(self);
            self.attach(at, record);
            return Next::Frame(Taken::Message(message, at));
        }
        if self.records.get(record).is_none_or(|r| r.part.is_some()) {
            return Next::Nothing;
        }
        if entry.sent == 0 && entry.fits(self.whole) {
            return Next::Nothing;
        }
        let offset = entry.sent;
        let ext = if offset == 0 { entry.ext() } else { None };
        let rest = entry.len.saturating_sub(offset);
        let Some(len) = piece_len(room, rest, ext.is_some()) else {
            return Next::Nothing;
        };
        let part = entry.part(offset, ext);
        entry.sent = offset.saturating_add(len);
        entry.pieces = entry.pieces.wrapping_add(1);
        if len == rest {
            if entry.state == State::Begun {
                self.begun = self.begun.wrapping_sub(1);
            }
            entry.state = State::Sent;
            pop(self);
        }
        if let Some(r) = self.records.get_mut(record) {
            r.part = Some(Piece {
                entry: at,
                offset,
                len,
            });
        }
        Next::Frame(Taken::Part(part, at, len))
    }
}

/// How much of `rest` bytes a piece can take in `room` bytes, or `None` if it is not worth a frame.
fn piece_len(room: usize, rest: u32, ext: bool) -> Option<u32> {
    let ext = if ext { EXT_LEN } else { 0 };
    let data = room.checked_sub(PART_HEADER_LEN)?.checked_sub(ext)?;
    let data = min(data, usize::from(u16::MAX).saturating_sub(64));
    let data = u32::try_from(data).ok()?;
    if data >= rest {
        return Some(rest);
    }
    let len = data & !PART_UNIT.wrapping_sub(1);
    (len != 0).then_some(len)
}

impl<M: Payload> Entry<M> {
    #[inline]
    fn ext(&self) -> Option<[u8; EXT_LEN]> {
        if !self.has_ext {
            return None;
        }
        Some(self.message.as_ref()?.extensions())
    }

    /// Bytes of a frame with all of it.
    #[inline]
    fn frame_len(&self) -> usize {
        let ext = if self.has_ext { EXT_LEN } else { 0 };
        // CAST: widening on all machines of the kernel.
        (self.len as usize)
            .saturating_add(MESSAGE_HEADER_LEN)
            .saturating_add(ext)
    }

    #[inline]
    fn fits(&self, room: usize) -> bool {
        let len = self.frame_len();
        len <= room && len <= usize::from(u16::MAX)
    }

    /// Whether a frame with some of it fits.
    #[inline]
    fn fits_at_all(&self, room: usize, whole: usize) -> bool {
        self.fits(room) || (!self.fits(whole) && piece_len(room, self.len, self.has_ext).is_some())
    }

    #[inline]
    fn prev(&self) -> u32 {
        match self.pred {
            0 => 0,
            // CAST: within the peer's window, which has 16 bits.
            pred => self.id.wrapping_add(1).wrapping_sub(pred) as u32,
        }
    }

    #[inline]
    fn head(&self, ext: Option<[u8; EXT_LEN]>) -> Message {
        Message {
            sport: self.sport,
            dport: self.dport,
            // CAST: the low half is what is sent.
            id: self.id as u32,
            prev: self.prev(),
            ext,
        }
    }

    fn part(&self, offset: u32, ext: Option<[u8; EXT_LEN]>) -> Part {
        Part {
            message: self.head(ext),
            total: self.len,
            offset,
        }
    }

    fn gone(&self) -> GoneEntry {
        GoneEntry {
            // CAST: the low half is what is sent.
            id: self.id as u32,
            prev: self.prev(),
            len: self.len,
        }
    }
}
