// SPDX-License-Identifier: GPL-2.0

//! The messages that a session has to send.
//!
//! Messages wait by *flow*, which is a pair of ports; flows take turns by deficit round robin. A message
//! gets its number when the first frame of it is built, so that what waits holds up nothing else. From
//! then on it is charged to the peer's quota and counts in the peer's window until it is acknowledged.
//!
//! There is a turn for small messages and one for large ones. Large messages are cut into pieces, and
//! flows interleave theirs.

mod entry;
mod flow;
mod run;
mod take;

#[cfg(test)]
mod tests;

use super::slab::{List, Slab, Slots, NONE};
use crate::consts::{EXT_LEN, MAX_MESSAGE_LEN};
use crate::send::{Outcome, Payload};

pub use entry::{Entry, Record, Ticket};
pub use flow::Flow;
pub use take::{Class, Taken};

use entry::State;
use flow::Turns;

/// What a message is charged beyond its length: spec-native-quota.
pub const OVERHEAD: u32 = 256;

/// What a message of `len` bytes is charged.
#[inline]
pub const fn charge(len: u32) -> u64 {
    // CAST: widening; `From` is not const.
    (len as u64).saturating_add(OVERHEAD as u64)
}

/// What large messages leave of the peer's quota to small ones.
pub const SMALL_SHARE: u64 = 64 << 10;

/// Messages that were cancelled before they were sent, of which so many at least are left in their flows.
const MOST_HIDDEN: u32 = 64;

/// Longest message that can count as small.
const MAX_SMALL: u32 = 16 << 10;

/// The smallest quota: the longest message fits beside the share of small ones.
pub const MIN_QUOTA: u64 = charge(MAX_MESSAGE_LEN).saturating_add(SMALL_SHARE);

/// How the cancelling of a message went.
#[derive(Debug, PartialEq, Eq)]
pub enum Cancel<M> {
    /// It was not sent, and leaves no trace.
    Now(M),
    /// It was sent, at least in part; [`Outbox::reap`] returns it, as cancelled.
    Later,
    /// There is no such message any more.
    Unknown,
}

/// Numbers and charges, which last as long as the session does.
#[derive(Clone, Copy, Debug)]
pub(super) struct Numbers {
    next_id: u64,
    charged: u64,
    quota: u64,
    width: u64,
    window: u32,
}

/// Messages to send.
#[derive(Debug)]
pub struct Outbox<M, E, R, F> {
    entries: Slab<Entry<M>, E>,
    records: Slab<Record, R>,
    flows: F,
    /// Flows that have something to send, by class.
    turns: [Turns; 2],
    /// What has a number and is to be sent again, whole, or is to be cancelled, by class.
    again: [List; 2],
    /// Records of pieces that are to be sent again.
    pieces: List,
    done: List,
    /// The entries that have a number, in its order.
    oldest: u32,
    newest: u32,
    next_id: u64,
    /// The peer has handed up all numbers below, as far as it said so.
    below: u64,
    charged: u64,
    quota: u64,
    /// The first quota that the peer told: how much it lets us have under way.
    width: u64,
    /// What large messages that are not acknowledged are charged.
    large: u64,
    /// What the large message is charged that waits for quota, or 0.
    wanted: u64,
    /// What small ones keep free for it.
    kept: u64,
    window: u32,
    /// The next packet for everything starts with large messages.
    bulk_first: bool,
    /// A message whose frame has at most this length is not cut.
    whole: usize,
    /// Longest message that is small.
    limit: u32,
    /// Something waits for quota or window.
    blocked: bool,
    /// How often a flow went over to the other class, wrapping.
    moves: u32,
    /// Messages that were cancelled before they were sent, and are in their flow still.
    hidden: u32,
    marker: core::marker::PhantomData<M>,
}

impl<M: Payload, E: Slots<Entry<M>>, R: Slots<Record>, F: Slots<Flow>> Outbox<M, E, R, F> {
    /// Nothing to send, over storage of which that of flows must be a power of two and not 0. A message
    /// of at most `small` bytes is small. The first number is `first`.
    pub fn new(entries: E, records: R, flows: F, small: u32, first: u64) -> Self {
        let mut outbox = Self {
            entries: Slab::new(entries),
            records: Slab::new(records),
            flows,
            turns: [Turns::default(); 2],
            again: [List::default(); 2],
            pieces: List::default(),
            done: List::default(),
            oldest: NONE,
            newest: NONE,
            next_id: first,
            below: 0,
            charged: 0,
            quota: 0,
            window: 0,
            width: 0,
            large: 0,
            wanted: 0,
            kept: 0,
            bulk_first: false,
            whole: 0,
            limit: small.min(MAX_SMALL),
            blocked: false,
            moves: 0,
            hidden: 0,
            marker: core::marker::PhantomData,
        };
        outbox.flows.iter_mut().for_each(|f| *f = Flow::default());
        outbox
    }

    /// Number of messages, those included that wait to be reaped.
    pub const fn len(&self) -> u32 {
        self.entries.used()
    }

    /// Whether there is no message.
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Messages that have a number and are not acknowledged.
    pub fn under_way(&self) -> u64 {
        self.next_id.saturating_sub(self.first())
    }

    /// Lowest number that is not acknowledged: what a HELLO tells.
    #[inline]
    pub fn first(&self) -> u64 {
        self.entries.get(self.oldest).map_or(self.next_id, |e| e.id)
    }

    /// The number of the next message.
    pub const fn next(&self) -> u64 {
        self.next_id
    }

    /// Whether something waits until the peer raises the quota or acknowledges.
    pub const fn is_blocked(&self) -> bool {
        self.blocked
    }

    /// Whether a message or piece waits to be sent, be it blocked.
    pub const fn has_work(&self) -> bool {
        let ([small, bulk], [small_turns, bulk_turns]) = (&self.again, &self.turns);
        !(small.is_empty()
            && bulk.is_empty()
            && self.pieces.is_empty()
            && small_turns.is_empty()
            && bulk_turns.is_empty())
    }

    /// Whether a message or piece of a class waits to be sent, be it blocked.
    #[inline]
    pub(super) const fn has_work_of(&self, class: Class) -> bool {
        match class {
            Class::Any => self.has_work(),
            Class::Small => self.has_class(0),
            Class::Bulk => self.has_class(1),
        }
    }

    /// How often a flow went over to the other class, wrapping: another lane may carry that.
    #[inline]
    pub(super) const fn moves(&self) -> u32 {
        self.moves
    }

    /// Whether something can be sent without quota or a number: nothing of it has to wait for the peer.
    pub(super) const fn can_go_on(&self) -> bool {
        let ([small, bulk], [small_turns, bulk_turns]) = (&self.again, &self.turns);
        !(small.is_empty() && bulk.is_empty() && self.pieces.is_empty())
            || small_turns.has_begun()
            || bulk_turns.has_begun()
    }

    /// Takes what the peer says of its quota. The largest counts.
    #[inline]
    pub fn set_quota(&mut self, quota: u64) {
        if quota > self.quota {
            self.quota = quota;
            self.blocked = false;
            if self.width == 0 {
                self.width = quota;
            }
        }
    }

    /// Takes the peer's window.
    pub fn set_window(&mut self, window: u16) {
        self.window = u32::from(window);
        self.blocked = false;
    }

    // Messages.

    /// Queues a message, or gives it back if there is no slot.
    ///
    /// # Errors
    ///
    /// The message, if [`grow_entries`](Self::grow_entries) is to be called first.
    #[inline]
    pub fn queue(&mut self, message: M) -> Result<Ticket, M> {
        let Some(at) = self.entries.take() else {
            return Err(message);
        };
        let (sport, dport, len) = (message.sport(), message.dport(), message.len());
        let has_ext = message.extensions() != [0; EXT_LEN];
        let flow = flow::index(sport, dport, self.flows.len());
        let mut life = 0;
        if let Some(entry) = self.entries.get_mut(at) {
            entry.begin(message, len, sport, dport, has_ext);
            life = entry.life;
        }
        let large = len > self.limit;
        if let Some(flow_) = self.flows.get_mut(flow) {
            let was_idle = flow_.queue.is_empty();
            flow_.queue.push_back(&mut self.entries, at);
            if was_idle {
                let [small, bulk] = &mut self.turns;
                let turns = if large { bulk } else { small };
                turns.push_back(&mut self.flows, false, flow);
            }
        }
        Ok(Ticket { at, life })
    }

    /// Cancels a message.
    pub fn cancel(&mut self, ticket: Ticket) -> Cancel<M> {
        let Some(entry) = self.entries.get_mut(ticket.at) else {
            return Cancel::Unknown;
        };
        if entry.life != ticket.life {
            return Cancel::Unknown;
        }
        match entry.state {
            State::Waiting => match entry.message.take() {
                // What is left of it is taken out when its turn comes, or there is much of it.
                Some(message) => {
                    entry.cancelled = true;
                    self.hidden = self.hidden.saturating_add(1);
                    if self.hidden > MOST_HIDDEN && self.hidden > self.len() >> 1 {
                        self.sweep();
                    }
                    Cancel::Now(message)
                }
                None => Cancel::Unknown,
            },
            State::Free | State::Done => Cancel::Unknown,
            State::Begun | State::Sent | State::Again => {
                if core::mem::replace(&mut entry.cancelled, true) {
                    Cancel::Unknown
                } else {
                    Cancel::Later
                }
            }
            State::Gone => Cancel::Unknown,
        }
    }

    /// Takes what was cancelled before it was sent out of the flows.
    #[cold]
    fn sweep(&mut self) {
        for at in 0..self.flows.len() {
            let Some(flow) = self.flows.get_mut(at) else {
                continue;
            };
            let mut queue = core::mem::take(&mut flow.queue);
            while let Some(at) = queue.pop_front(&mut self.entries) {
                let Some(entry) = self.entries.get_mut(at) else {
                    break;
                };
                if entry.cancelled && entry.state == State::Waiting {
                    entry.state = State::Done;
                    self.done.push_back(&mut self.entries, at);
                } else {
                    flow.queue.push_back(&mut self.entries, at);
                }
            }
        }
        self.hidden = 0;
        self.line_up();
    }

    /// Returns the messages that are done with, each with how it ended.
    ///
    /// Nothing of them is sent again. But packets that have them may still be posted, on a lane that was
    /// slower than another one or is dead: each holds references of its own to the bytes until it
    /// completes, so that a message can be dropped at once.
    #[inline]
    pub fn reap(&mut self, mut tell: impl FnMut(M, Outcome)) {
        while let Some(at) = self.done.pop_front(&mut self.entries) {
            self.free(at, &mut tell);
        }
    }

    #[inline]
    fn free(&mut self, at: u32, tell: &mut impl FnMut(M, Outcome)) {
        let Some(entry) = self.entries.get_mut(at) else {
            return;
        };
        let outcome = if entry.cancelled {
            Outcome::Cancelled
        } else {
            Outcome::Done
        };
        let (life, message) = (entry.life, entry.message.take());
        // Tickets of the message name nothing any more.
        *entry = Entry {
            life: life.wrapping_add(1),
            ..Entry::default()
        };
        self.entries.give_back(at);
        if let Some(message) = message {
            tell(message, outcome);
        }
    }

    /// Returns all messages, sent or not: the session is no more.
    pub fn drain(&mut self, mut tell: impl FnMut(M, Outcome)) {
        self.turns = [Turns::default(); 2];
        for flow in self.flows.iter_mut() {
            *flow = Flow::default();
        }
        for at in 0..u32::try_from(self.entries.capacity()).unwrap_or(NONE) {
            let used = self.entries.get(at).is_some_and(|e| e.state != State::Free);
            if used {
                self.free(at, &mut tell);
            }
        }
        self.again = [List::default(); 2];
        self.done = List::default();
        self.hidden = 0;
        self.blocked = false;
        self.large = 0;
        self.wanted = 0;
        self.kept = 0;
        self.oldest = NONE;
        self.newest = NONE;
        while let Some(at) = self.pieces.pop_front(&mut self.records) {
            self.records.release(at);
        }
    }

    /// What goes on when the session does; nothing may wait or be under way.
    pub(super) const fn numbers(&self) -> Numbers {
        Numbers {
            next_id: self.next_id,
            charged: self.charged,
            quota: self.quota,
            width: self.width,
            window: self.window,
        }
    }

    /// Goes on where another outbox of the session was. Nothing may have been sent.
    pub(super) fn go_on(&mut self, numbers: &Numbers) {
        self.next_id = numbers.next_id;
        self.charged = numbers.charged;
        self.quota = numbers.quota;
        self.width = numbers.width;
        self.window = numbers.window;
    }

    // Storage.

    /// Number of slots to hand to [`grow_entries`](Self::grow_entries).
    pub fn entries_wanted(&self) -> usize {
        self.entries.wanted()
    }

    /// Moves to more slots for messages, and returns the old ones.
    ///
    /// # Errors
    ///
    /// Gives the storage back if it is not larger.
    pub fn grow_entries(&mut self, slots: E) -> Result<E, E> {
        self.entries.grow(slots)
    }

    /// Number of records to hand to [`grow_records`](Self::grow_records).
    pub fn records_wanted(&self) -> usize {
        self.records.wanted()
    }

    /// Moves to more records of packets, and returns the old ones.
    ///
    /// # Errors
    ///
    /// Gives the storage back if it is not larger.
    pub fn grow_records(&mut self, slots: R) -> Result<R, R> {
        self.records.grow(slots)
    }

    /// Whether there is a record for a packet, and one for what it leaves of a piece.
    #[inline]
    pub fn has_records(&self) -> bool {
        self.records.has_room()
    }

    /// Packets under way, lost ones that may turn up, and pieces that are to be sent again.
    pub const fn records_in_use(&self) -> u32 {
        self.records.used()
    }

    /// Forgets what the peer said of its quota later.
    #[cfg(test)]
    pub(super) fn quota_is(&mut self, quota: u64) {
        self.quota = quota;
    }

    pub(super) fn records(&mut self) -> &mut Slab<Record, R> {
        &mut self.records
    }

    // What became of packets.

    /// The packet of a record has arrived: its frames have, too. The record is given back.
    #[inline]
    pub(super) fn on_acked(&mut self, record: u32) {
        let Some(r) = self.records.get_mut(record) else {
            return;
        };
        let (list, part) = (core::mem::take(&mut r.entries), r.part.take());
        self.records.release(record);
        self.finish_all(list);
        if let Some(part) = part {
            let Some(entry) = self.entries.get_mut(part.entry) else {
                return;
            };
            entry.pieces = entry.pieces.wrapping_sub(1);
            entry.acked = entry.acked.saturating_add(part.len);
            self.settle(part.entry);
        }
    }

    /// Ends a message of which no piece is under way any more, if it is complete or cancelled.
    fn settle(&mut self, at: u32) {
        let Some(entry) = self.entries.get_mut(at) else {
            return;
        };
        let complete = entry.acked >= entry.len && entry.state == State::Sent;
        if entry.pieces == 0 && (complete || (entry.state == State::Gone && entry.told)) {
            self.finish(at);
        }
    }

    /// A message was acknowledged, or that it is cancelled.
    #[inline]
    fn finish(&mut self, at: u32) {
        let Some(entry) = self.entries.get_mut(at) else {
            return;
        };
        if entry.state == State::Gone && entry.pieces != 0 {
            // Pieces are still under way, and name the entry.
            entry.told = true;
            return;
        }
        entry.state = State::Done;
        let (older, newer, len) = (entry.older, entry.newer, entry.len);
        if len > self.limit {
            self.acknowledge_large(charge(len));
        }
        self.unlink(older, newer);
        self.done.push_back(&mut self.entries, at);
    }

    /// The packet of a record is lost: its frames are to be sent again, on any lane.
    pub(super) fn on_lost(&mut self, record: u32) {
        let Some(r) = self.records.get_mut(record) else {
            return;
        };
        let mut list = core::mem::take(&mut r.entries);
        let part = r.part;
        while let Some(at) = list.pop_front(&mut self.entries) {
            let limit = self.limit;
            let Some(entry) = self.entries.get_mut(at) else {
                break;
            };
            if entry.id < self.below {
                self.is_handed_up(at);
                continue;
            }
            if entry.state == State::Sent {
                entry.state = State::Again;
            }
            let class = usize::from(entry.len > limit);
            if let Some(again) = self.again.get_mut(class) {
                again.push_back(&mut self.entries, at);
            }
        }
        match part {
            Some(part) if self.id_of(part.entry) < self.below => {
                self.records.release(record);
                self.drop_piece(part.entry);
            }
            Some(_) => self.pieces.push_back(&mut self.records, record),
            None => self.records.release(record),
        }
    }

    fn id_of(&self, at: u32) -> u64 {
        self.entries.get(at).map_or(u64::MAX, |entry| entry.id)
    }

    /// The peer has handed up all messages below `base`, whatever became of the packets that carried
    /// them. What is under way is settled when it is acknowledged or lost, the rest now.
    pub fn acknowledge_below(&mut self, base: u64) {
        if base <= self.below || base > self.next_id {
            return;
        }
        self.below = base;
        for mut list in core::mem::take(&mut self.again) {
            while let Some(at) = list.pop_front(&mut self.entries) {
                let Some(entry) = self.entries.get(at) else {
                    break;
                };
                if entry.id < base {
                    self.is_handed_up(at);
                    continue;
                }
                let class = usize::from(entry.len > self.limit);
                if let Some(again) = self.again.get_mut(class) {
                    again.push_back(&mut self.entries, at);
                }
            }
        }
        let mut pieces = core::mem::take(&mut self.pieces);
        while let Some(record) = pieces.pop_front(&mut self.records) {
            let part = self.records.get(record).and_then(|r| r.part);
            match part {
                Some(part) if self.id_of(part.entry) < base => {
                    self.records.release(record);
                    self.drop_piece(part.entry);
                }
                _ => self.pieces.push_back(&mut self.records, record),
            }
        }
    }

    /// A message that is in no list is not to be sent again.
    fn is_handed_up(&mut self, at: u32) {
        let Some(entry) = self.entries.get_mut(at) else {
            return;
        };
        if entry.state == State::Again {
            entry.state = State::Sent;
        }
        entry.acked = entry.len;
        if entry.pieces == 0 {
            self.finish(at);
        } else {
            // The last of its pieces that is acknowledged or lost ends it.
            entry.told = true;
        }
    }

    /// A piece of a message that was handed up is lost.
    fn drop_piece(&mut self, at: u32) {
        if let Some(entry) = self.entries.get_mut(at) {
            entry.pieces = entry.pieces.wrapping_sub(1);
            entry.acked = entry.len;
        }
        self.settle(at);
    }

    /// The peer is in another life: what it did not acknowledge is to be sent as if it had never been,
    /// under new numbers. No packet may be under way.
    pub fn restart(&mut self) {
        while let Some(at) = self.pieces.pop_front(&mut self.records) {
            if let Some(part) = self.records.get(at).and_then(|r| r.part) {
                if let Some(entry) = self.entries.get_mut(part.entry) {
                    entry.pieces = entry.pieces.wrapping_sub(1);
                }
            }
            self.records.release(at);
        }
        self.again = [List::default(); 2];
        // From the newest to the oldest, each to the front of its flow.
        let mut at = self.newest;
        self.oldest = NONE;
        self.newest = NONE;
        while let Some(entry) = self.entries.get_mut(at) {
            let older = entry.older;
            let begun = entry.state == State::Begun;
            let (sport, dport, gone) = (entry.sport, entry.dport, entry.cancelled);
            entry.restart();
            if gone && !begun {
                entry.state = State::Done;
                self.done.push_back(&mut self.entries, at);
            } else if !begun {
                // One that was begun is still at the front.
                let flow = flow::index(sport, dport, self.flows.len());
                if let Some(flow) = self.flows.get_mut(flow) {
                    flow.queue.push_front(&mut self.entries, at);
                }
            }
            at = older;
        }
        self.charged = 0;
        self.quota = 0;
        self.width = 0;
        self.large = 0;
        self.wanted = 0;
        self.kept = 0;
        self.blocked = false;
        self.flows.iter_mut().for_each(|flow| flow.last = 0);
        self.line_up();
    }

    /// Gives every flow that has something to send its turn.
    fn line_up(&mut self) {
        self.turns = [Turns::default(); 2];
        self.moves = self.moves.wrapping_add(1);
        for at in 0..self.flows.len() {
            let Some(flow) = self.flows.get_mut(at) else {
                continue;
            };
            flow.deficit = 0;
            let first = flow.queue.first();
            let Some(entry) = self.entries.get(first) else {
                continue;
            };
            let (large, begun) = (entry.len > self.limit, entry.state == State::Begun);
            let [small, bulk] = &mut self.turns;
            let turns = if large { bulk } else { small };
            turns.push_back(&mut self.flows, begun, at);
        }
    }

    /// Moves to more flows, a power of two, and returns the old storage. The work is one step for each
    /// message that waits.
    ///
    /// # Errors
    ///
    /// Gives the storage back if it is not larger, or no power of two.
    pub fn grow_flows(&mut self, mut flows: F) -> Result<F, F> {
        let old = self.flows.len();
        if flows.len() <= old || !flows.len().is_power_of_two() {
            return Err(flows);
        }
        core::mem::swap(&mut self.flows, &mut flows);
        // A flow becomes so many, which follow each other.
        let parts = self.flows.len().checked_div(old).unwrap_or(1);
        for (at, to) in self.flows.iter_mut().enumerate() {
            // Whoever shared a flow still comes after what was sent last.
            let from = at.checked_div(parts).unwrap_or(0);
            *to = Flow::after(flows.get(from).map_or(0, |f| f.last));
        }
        for from in flows.iter_mut() {
            while let Some(at) = from.queue.pop_front(&mut self.entries) {
                let Some(entry) = self.entries.get(at) else {
                    break;
                };
                let flow = flow::index(entry.sport, entry.dport, self.flows.len());
                if let Some(flow) = self.flows.get_mut(flow) {
                    flow.queue.push_back(&mut self.entries, at);
                }
            }
        }
        self.line_up();
        Ok(flows)
    }
}
