// SPDX-License-Identifier: GPL-2.0

//! What goes into the next packet.

use super::entry::{piece_len, Entry, Piece, Record, State};
use super::flow::Flow;
use super::{charge, Outbox, SMALL_SHARE};
use crate::native::slab::Slots;
use crate::native::wire::{GoneEntry, Message, Part};
use crate::send::Payload;

/// Bytes that a flow of small messages sends in a turn.
pub(super) const SMALL_QUANTUM: i32 = 4 << 10;

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
    /// There is no quota or no number for a message that has none yet.
    Held,
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
            Class::Any => loop {
                let (first, moves) = (usize::from(self.bulk_first), self.moves);
                for class in [first, first ^ 1] {
                    if !self.has_class(class) {
                        continue;
                    }
                    let taken = self.take_class(class, room, record);
                    if taken.is_some() {
                        return taken;
                    }
                }
                // A cancelled message may have hidden one of the class that was looked at first.
                if self.moves == moves {
                    return None;
                }
            },
        }
    }

    /// Whether there is something of a class.
    #[inline]
    pub(super) const fn has_class(&self, class: usize) -> bool {
        let ([small, bulk], [small_turns, bulk_turns]) = (&self.again, &self.turns);
        match class {
            0 => !(small.is_empty() && small_turns.is_empty()),
            _ => !(bulk.is_empty() && self.pieces.is_empty() && bulk_turns.is_empty()),
        }
    }

    fn take_class(&mut self, class: usize, room: usize, record: u32) -> Option<Taken> {
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
                Next::Held | Next::Nothing => return None,
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

    /// What was never sent, and what goes on.
    #[inline]
    fn take_new(&mut self, class: usize, room: usize, record: u32) -> Next {
        let mut fresh = true;
        loop {
            let turns = self.turns.get(class);
            let Some((begun, flow)) = turns.and_then(|turns| turns.first(&self.flows, fresh))
            else {
                return Next::Nothing;
            };
            match self.take_flow(class, (begun, flow), room, record) {
                // Another flow may have a message to go on with.
                Next::Held if fresh => fresh = false,
                next => return next,
            }
        }
    }

    /// What a flow has, which is the first one of its list.
    #[inline]
    fn take_flow(&mut self, class: usize, of: (bool, usize), room: usize, record: u32) -> Next {
        let (begun, flow) = of;
        let quantum = if class == 0 {
            SMALL_QUANTUM
        } else {
            BULK_QUANTUM
        };
        let Some(f) = self.flows.get_mut(flow) else {
            return Next::Nothing;
        };
        if f.deficit <= 0 {
            f.deficit = f.deficit.saturating_add(quantum);
            if f.deficit <= 0 {
                self.rotate(class, of, true);
                return Next::Again;
            }
        }
        let (at, last) = (f.queue.first(), f.last);
        let Some(entry) = self.entries.get(at) else {
            return Next::Nothing;
        };
        if entry.cancelled {
            self.drop_first(class, of, at);
            return Next::Again;
        }
        if !begun {
            let has_part = self.records.get(record).is_none_or(|r| r.part.is_some());
            let (cost, fits) = (charge(entry.len), entry.fits(room));
            let fits = fits || (!has_part && entry.fits_at_all(room, self.whole));
            if !self.may_begin(class, cost) {
                return Next::Held;
            }
            if !fits {
                return Next::Nothing;
            }
            self.begin(class, flow, at, last);
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
                self.rotate(class, of, over);
            }
        }
        next
    }

    /// Whether a message of a class may have a number and be charged `cost`.
    ///
    /// Large messages leave a share of the quota to small ones; small ones leave alone what they let a
    /// large one save up while it waits.
    fn may_begin(&mut self, class: usize, cost: u64) -> bool {
        let free = self.quota.saturating_sub(self.charged);
        let may = if self.under_way() >= u64::from(self.window) {
            false
        } else if class == 0 {
            free >= cost.saturating_add(self.kept())
        } else {
            let share = self.width.saturating_sub(SMALL_SHARE);
            let has_share = self.large.saturating_add(cost) <= share;
            if has_share && free < cost {
                self.wanted = cost;
            }
            has_share && free >= cost
        };
        self.blocked |= !may;
        may
    }

    /// What is kept of the quota for the large message that waits for it.
    #[inline]
    pub(super) fn kept(&mut self) -> u64 {
        let [_, bulk] = &self.turns;
        if self.wanted != 0 && !bulk.has_fresh() {
            self.wanted = 0;
            self.kept = 0;
        }
        self.kept
    }

    /// Gives the first message of a flow a number, and charges it.
    fn begin(&mut self, class: usize, flow: usize, at: u32, last: u64) {
        let (id, first) = (self.next_id, self.first());
        let (newest, mut cost) = (self.newest, 0);
        if let Some(entry) = self.entries.get_mut(at) {
            cost = charge(entry.len);
            entry.id = id;
            entry.pred = if last > first { last } else { 0 };
            entry.older = newest;
            entry.state = State::Begun;
        }
        self.next_id = id.wrapping_add(1);
        self.charged = self.charged.saturating_add(cost);
        if class == 1 {
            self.large = self.large.saturating_add(cost);
            self.wanted = 0;
            self.kept = 0;
        } else if self.wanted != 0 {
            self.kept = self.kept.saturating_add(cost).min(self.wanted);
        }
        if let Some(older) = self.entries.get_mut(newest) {
            older.newer = at;
        } else {
            self.oldest = at;
        }
        self.newest = at;
        if let Some(f) = self.flows.get_mut(flow) {
            f.last = id.wrapping_add(1);
        }
    }

    /// Takes a cancelled message from the front of its flow.
    fn drop_first(&mut self, class: usize, of: (bool, usize), at: u32) {
        if let Some(f) = self.flows.get_mut(of.1) {
            f.queue.pop_front(&mut self.entries);
        }
        if let Some(entry) = self.entries.get_mut(at) {
            if entry.state == State::Begun {
                entry.state = State::Gone;
                if let Some(again) = self.again.get_mut(class) {
                    again.push_back(&mut self.entries, at);
                }
            } else {
                // Nobody heard of it; the message was returned.
                entry.state = State::Done;
                self.hidden = self.hidden.saturating_sub(1);
                self.done.push_back(&mut self.entries, at);
            }
        }
        self.rotate(class, of, false);
    }

    /// Puts a flow into another list, or behind the others, if it has had its turn, has nothing left, or
    /// goes on with a message that belongs elsewhere.
    #[inline]
    pub(super) fn rotate(&mut self, class: usize, of: (bool, usize), over: bool) {
        let (begun, flow) = of;
        let Some(f) = self.flows.get_mut(flow) else {
            return;
        };
        let first = self.entries.get(f.queue.first());
        let next = first.map(|e| (usize::from(e.len > self.limit), e.state == State::Begun));
        if next == Some((class, begun)) && !over {
            return;
        }
        if next.is_none_or(|(next, _)| next != class) {
            f.deficit = 0;
        }
        if next.is_some_and(|(next, _)| next != class) {
            self.moves = self.moves.wrapping_add(1);
        }
        if let Some(turns) = self.turns.get_mut(class) {
            turns.pop_front(&mut self.flows, begun);
        }
        if let Some((class, begun)) = next {
            if let Some(turns) = self.turns.get_mut(class) {
                turns.push_back(&mut self.flows, begun, flow);
            }
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
