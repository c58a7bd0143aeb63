// SPDX-License-Identifier: GPL-2.0

//! Messages accepted and not yet done with.
//!
//! One ring holds what C keeps in a send queue and a retransmit queue: a mark divides the messages
//! handed to this connection from those still to be sent, and a reconnect only moves the mark back
//! (see `retransmit.rs`). C: `cp_send_queue` and `cp_retrans`.

use super::overtake::Search;
use super::{Item, Outcome, Payload, Slots};
use crate::error::Violation;
use crate::ring::{Ring, Storage};
use core::fmt;

/// Most answers to pings, and hellos, that a path queues; further pings get none.
const MAX_PONGS: u32 = 64;

/// A message in the send queue.
#[derive(Debug)]
pub struct Entry<M> {
    pub(super) seq: u64,
    /// `None` once the message has left; the slot is freed when it comes to the front.
    pub(super) item: Option<Item<M>>,
    /// The socket is half full, so that its owner waits for the acknowledgement.
    pub(super) ack_required: bool,
    /// How the message ended, if it did before it was acknowledged and was not told yet.
    pub(super) ended: Option<Outcome>,
    /// The last work request of an operation that no SEND follows.
    pub(super) silent: Option<u32>,
}

impl<M> Entry<M> {
    /// Sequence number of the message.
    pub fn seq(&self) -> u64 {
        self.seq
    }

    /// The message of a socket, unless it has left.
    pub fn message(&self) -> Option<&M> {
        match &self.item {
            Some(Item::Message(m)) => Some(m),
            _ => None,
        }
    }
}

/// What became of a message that was to be cancelled.
#[derive(Debug, PartialEq, Eq)]
pub enum Cancel<M> {
    /// It will not be sent, or not again: here it is.
    Removed(M),
    /// It is being sent at the moment. The rest still goes out; then it comes as
    /// [`Outcome::Cancelled`].
    Sending,
    /// It is already done with, or was never here; its outcome comes or came as usual. Or it has another number
    /// now, as it has overtaken others or was overtaken.
    Gone,
}

/// The queue of messages of a path.
///
/// # Invariants
///
/// - Sequence numbers grow from front to back.
/// - The first `sent` entries are handed over to this connection in full, or have left.
/// - If `sending`, entry `sent` exists, still has its item, and was handed over in part.
pub struct SendQueue<M, S> {
    pub(super) ring: Ring<Entry<M>, S>,
    pub(super) next_seq: u64,
    pub(super) sent: usize,
    pub(super) sending: bool,
    /// Highest sequence handed over in full, on any connection.
    pub(super) sent_high: u64,
    /// Highest sequence handed over at least in part, on any connection.
    pub(super) started_high: u64,
    /// Sequences below this were on an earlier connection.
    pub(super) resend_below: u64,
    acked: u64,
    /// Highest sequence handed over to this connection that demands an acknowledgement.
    pub(super) demanded: u64,
    /// Entries with `ended` set: they may have to be looked for in the middle.
    pub(super) ended: u32,
    gone: u32,
    pongs: u32,
    silent: u32,
    /// Messages were cancelled that had been handed over to this connection.
    pub(super) orphans: bool,
    pub(super) search: Search,
    /// What has this number or a higher one does not overtake what has a lower one.
    pub(super) barrier: u64,
}

impl<M: fmt::Debug, S: Storage<Entry<M>>> fmt::Debug for SendQueue<M, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SendQueue")
            .field("next_seq", &self.next_seq)
            .field("sent", &self.sent)
            .field("sending", &self.sending)
            .field("acked", &self.acked)
            .field("demanded", &self.demanded)
            .field("sent_high", &self.sent_high)
            .field("resend_below", &self.resend_below)
            .field("entries", &self.ring)
            .finish()
    }
}

impl<M: Payload, S: Storage<Entry<M>>> SendQueue<M, S> {
    /// A queue over `slots` whose first message gets the number `first_seq`.
    pub fn new(slots: S, first_seq: u64) -> Self {
        // INVARIANT: empty.
        Self {
            ring: Ring::new(slots),
            next_seq: first_seq,
            sent: 0,
            sending: false,
            sent_high: 0,
            started_high: 0,
            resend_below: 0,
            acked: 0,
            demanded: 0,
            ended: 0,
            gone: 0,
            pongs: 0,
            silent: 0,
            orphans: false,
            search: Search::default(),
            barrier: 0,
        }
    }

    /// Has nothing that is queued from here on overtake what is queued already.
    pub fn set_barrier(&mut self) {
        self.barrier = self.next_seq;
    }

    /// Whether all that was queued before the [barrier](SendQueue::set_barrier) is acknowledged, or dropped, and
    /// was reaped.
    pub fn is_past_barrier(&self) -> bool {
        self.ring
            .get(0)
            .is_none_or(|entry| entry.seq >= self.barrier)
    }

    /// Number of slots in use.
    pub fn len(&self) -> usize {
        self.ring.len()
    }

    /// Whether no slot is in use.
    pub fn is_empty(&self) -> bool {
        self.ring.is_empty()
    }

    /// Number of slots.
    pub fn capacity(&self) -> usize {
        self.ring.capacity()
    }

    /// Number of slots whose message has not left.
    pub fn live(&self) -> usize {
        self.ring.len().saturating_sub(self.gone as usize)
    }

    /// Number of slots that no other message can have. Those whose message has left count as well as long as
    /// they are too few to be taken out.
    pub fn occupied(&self) -> usize {
        if self.is_compactable() {
            self.live()
        } else {
            self.ring.len()
        }
    }

    /// Whether slots whose message has left are taken out when all are in use.
    fn is_compactable(&self) -> bool {
        let gone = self.gone as usize;

        gone != 0 && gone >= self.ring.capacity() / 4
    }

    /// Whether anything is to be handed over, on this connection or the next, or acknowledged.
    pub fn has_live(&self) -> bool {
        self.next_live(0).is_some()
    }

    /// Highest sequence that the peer may have seen.
    pub(crate) fn used_high(&self) -> u64 {
        self.sent_high.max(self.started_high)
    }

    /// Goes on behind the numbers of an earlier path between the same addresses.
    pub(crate) fn resume(&mut self, sent_high: u64, next_seq: u64) {
        self.sent_high = sent_high;
        // INVARIANT: nothing is queued yet.
        self.next_seq = self.next_seq.max(next_seq);
    }

    /// Takes out the answers to pings and the hellos that wait; not while one is being handed over.
    pub(crate) fn drop_pongs(&mut self) {
        if self.pongs == 0 {
            return;
        }
        for index in 0..self.ring.len() {
            let busy = self.sending && index == self.sent;
            let entry = self.ring.get_mut(index).filter(|_| !busy);
            let Some(entry) = entry.filter(|e| matches!(e.item, Some(Item::Pong(_) | Item::Hello)))
            else {
                continue;
            };
            entry.item = None;
            if entry.ended.take().is_some() {
                self.ended = self.ended.saturating_sub(1);
            }
            self.gone = self.gone.wrapping_add(1);
            self.pongs = self.pongs.saturating_sub(1);
        }
        self.trim();
    }

    /// Number that the next message will get.
    pub fn next_seq(&self) -> u64 {
        self.next_seq
    }

    /// Highest sequence that the peer acknowledged.
    pub fn acked(&self) -> u64 {
        self.acked
    }

    /// Highest sequence handed over on this connection that demands an acknowledgement; 0 if none did.
    pub fn demanded(&self) -> u64 {
        self.demanded
    }

    /// The entry at `index` and whether it was sent on this connection, for listings.
    pub fn get(&self, index: usize) -> Option<(&Entry<M>, bool)> {
        Some((self.ring.get(index)?, index < self.sent))
    }

    /// Index of the first entry with this number or a higher one; [`SendQueue::len`] if there is none.
    /// O(log n).
    pub fn index_of(&self, seq: u64) -> usize {
        self.ring.partition_point(|entry| entry.seq < seq)
    }

    /// The message that was queued last, if it has not left.
    pub fn last(&self) -> Option<&M> {
        self.ring.get(self.ring.len().checked_sub(1)?)?.message()
    }

    /// Appends a message and returns its number. O(1), but for the rare removal of empty slots.
    ///
    /// # Errors
    ///
    /// Gives the message back if all slots are in use: hand in larger storage by
    /// [`SendQueue::grow`], or let the sender wait.
    pub fn push(&mut self, message: M, ack_required: bool) -> Result<u64, M> {
        match self.push_item(Item::Message(message), ack_required) {
            Ok(seq) => Ok(seq),
            Err(Item::Message(m)) => Err(m),
            // Not what was handed in.
            Err(Item::Pong(_) | Item::Hello) => Ok(0),
        }
    }

    /// Appends the answer to a ping from `port`; returns `false` if too many wait already or all slots
    /// are in use, in which case none is sent.
    pub fn push_pong(&mut self, port: u16) -> bool {
        self.push_own(Item::Pong(port))
    }

    /// Appends a hello; returns `false` as [`SendQueue::push_pong`].
    pub fn push_hello(&mut self) -> bool {
        self.push_own(Item::Hello)
    }

    /// Appends what no socket sends.
    fn push_own(&mut self, item: Item<M>) -> bool {
        // They are not counted until they are acknowledged, and no message may follow that demands it.
        let ack_required = self.pongs >= MAX_PONGS / 2;
        if self.pongs >= MAX_PONGS || self.push_item(item, ack_required).is_err() {
            return false;
        }
        self.pongs = self.pongs.wrapping_add(1);
        true
    }

    fn push_item(&mut self, item: Item<M>, ack_required: bool) -> Result<u64, Item<M>> {
        if self.ring.len() == self.ring.capacity() {
            self.compact();
        }
        let seq = self.next_seq;
        let entry = Entry {
            seq,
            item: Some(item),
            ack_required,
            ended: None,
            silent: None,
        };
        match self.ring.push_back(entry) {
            Ok(()) => {
                // INVARIANT: the next number is above all others.
                self.next_seq = seq.wrapping_add(1);
                Ok(seq)
            }
            Err(Entry {
                item: Some(item), ..
            }) => Err(item),
            // Not what was handed in.
            Err(_) => Ok(seq),
        }
    }

    /// Moves to larger storage and returns the old one, to be freed outside of locks.
    ///
    /// # Errors
    ///
    /// Gives `slots` back if they are no more than there are.
    pub fn grow(&mut self, slots: S) -> Result<S, S> {
        if slots.len() <= self.capacity() {
            return Err(slots);
        }
        self.ring.move_to(slots)
    }

    /// Takes out the slots of cancelled messages if they are a quarter or more of all, which keeps the
    /// cost per cancelled message constant.
    fn compact(&mut self) {
        if !self.is_compactable() {
            return;
        }
        let mut sent = self.sent;
        for index in 0..self.ring.len() {
            let Some(entry) = self.ring.pop_front() else {
                break;
            };
            if entry.item.is_some() {
                // Cannot fail: a slot was just freed.
                let _ = self.ring.push_back(entry);
                continue;
            }
            if index < self.sent {
                sent = sent.saturating_sub(1);
            }
            if entry.silent.is_some() {
                self.silent = self.silent.saturating_sub(1);
            }
        }
        // INVARIANT: `sent` shrank by the entries removed before it; entry `sent` had its item.
        self.sent = sent;
        self.gone = 0;
    }

    /// Takes note of an acknowledgement of all messages up to `ack`. O(1); [`SendQueue::reap`] follows.
    ///
    /// # Errors
    ///
    /// [`Violation::AckBeyondSent`] if the message was never handed over.
    pub fn on_ack(&mut self, ack: u64) -> Result<bool, Violation> {
        if ack > self.sent_high {
            return Err(Violation::AckBeyondSent);
        }
        let news = ack > self.acked;
        if news {
            self.acked = ack;
        }
        Ok(news)
    }

    /// Whether an acknowledgement was demanded and has not come.
    pub fn awaits_ack(&self) -> bool {
        self.demanded > self.acked
    }

    /// Index of the next message to hand over, at or after `from`.
    pub(super) fn next_live(&self, from: usize) -> Option<usize> {
        let mut index = from;
        while let Some(entry) = self.ring.get(index) {
            if entry.item.is_some() && entry.ended.is_none() && entry.seq > self.acked {
                return Some(index);
            }
            index = index.wrapping_add(1);
        }
        None
    }

    /// Marks entry `index` as one whose operation is about to be posted, and may have been if that fails.
    pub(super) fn begin(&mut self, index: usize) {
        if let Some(entry) = self.ring.get(index) {
            self.started_high = self.started_high.max(entry.seq);
        }
    }

    /// Marks entry `index` as handed over in part.
    pub(super) fn start(&mut self, index: usize) {
        if let Some(entry) = self.ring.get(index) {
            self.started_high = self.started_high.max(entry.seq);
            if entry.is_long() {
                self.search.overtaken = 0;
            }
            // INVARIANT: `next_live` gave the index of an entry with its item.
            self.sent = index;
            self.sending = true;
        }
    }

    /// Marks the entry that was being handed over as handed over in full.
    pub(super) fn finish(&mut self) {
        if let Some(entry) = self.ring.get(self.sent) {
            self.sent_high = self.sent_high.max(entry.seq);
            // INVARIANT: one more entry was handed over, and none in part.
            self.sent = self.sent.wrapping_add(1);
            self.sending = false;
        }
    }

    /// As [`SendQueue::finish`], for an operation that no SEND follows and that ends with work request
    /// `id`.
    pub(super) fn finish_silent(&mut self, id: u32) {
        if let Some(entry) = self.ring.get_mut(self.sent) {
            entry.silent = Some(id);
            self.silent = self.silent.wrapping_add(1);
        }
        self.finish();
    }

    /// Ends silent operations whose work requests are completed.
    pub(super) fn on_completed(&mut self, slots: &Slots) {
        if self.silent == 0 {
            return;
        }
        for index in 0..self.sent {
            let Some(entry) = self.ring.get_mut(index) else {
                break;
            };
            if entry.silent.is_some_and(|id| slots.is_complete(id)) {
                entry.silent = None;
                self.silent = self.silent.saturating_sub(1);
                if entry.item.is_some() && entry.ended.is_none() {
                    entry.ended = Some(Outcome::Done);
                    self.ended = self.ended.wrapping_add(1);
                }
            }
        }
    }

    /// Forgets completions to come: the connection is gone.
    pub(super) fn forget_silent(&mut self) {
        if self.silent == 0 {
            return;
        }
        for index in 0..self.ring.len() {
            if let Some(entry) = self.ring.get_mut(index) {
                entry.silent = None;
            }
        }
        self.silent = 0;
    }

    /// Cancels message `seq`, if it is the one that `is_meant`. O(log n).
    pub fn cancel(&mut self, seq: u64, is_meant: impl FnOnce(&M) -> bool) -> Cancel<M> {
        let index = self.ring.partition_point(|entry| entry.seq < seq);
        let busy = self.sending && index == self.sent;
        let acked = self.acked;
        let Some(entry) = self.ring.get_mut(index) else {
            return Cancel::Gone;
        };
        if entry.seq != seq || entry.ended.is_some() || entry.seq <= acked {
            return Cancel::Gone;
        }
        match &entry.item {
            Some(Item::Message(message)) if is_meant(message) => {}
            _ => return Cancel::Gone,
        }
        self.orphans |= busy || index < self.sent;
        if busy {
            entry.ended = Some(Outcome::Cancelled);
            self.ended = self.ended.wrapping_add(1);
            return Cancel::Sending;
        }
        let item = entry.item.take();
        self.gone = self.gone.wrapping_add(1);
        self.trim();
        match item {
            Some(Item::Message(m)) => Cancel::Removed(m),
            _ => Cancel::Gone,
        }
    }

    /// Frees the slots at the front whose messages have left.
    fn trim(&mut self) {
        while !(self.sending && self.sent == 0)
            && self.ring.get(0).is_some_and(|entry| entry.item.is_none())
        {
            self.pop();
        }
    }

    /// Takes the first entry; it must not be the one that is being handed over.
    fn pop(&mut self) -> Option<Entry<M>> {
        let entry = self.ring.pop_front()?;
        // INVARIANT: all indices shrink by one.
        self.sent = self.sent.saturating_sub(1);
        if entry.item.is_none() {
            self.gone = self.gone.saturating_sub(1);
        }
        if entry.silent.is_some() {
            self.silent = self.silent.saturating_sub(1);
        }
        Some(entry)
    }

    /// Whether the first entry is done with, and can leave.
    fn is_front_done(&self) -> bool {
        let busy = self.sending && self.sent == 0;

        !busy
            && self.ring.get(0).is_some_and(|front| {
                front.item.is_none() || front.ended.is_some() || front.seq <= self.acked
            })
    }

    /// Whether [`reap`](Self::reap) may have anything to tell; if not it need not be called. O(1).
    pub fn is_reapable(&self) -> bool {
        self.ended > 0 || self.is_front_done()
    }

    /// Hands every message that is done with to `tell`, in the order of queueing.
    ///
    /// O(1) per message, but for those that were dropped or cancelled out of order.
    pub fn reap(&mut self, mut tell: impl FnMut(M, Outcome)) -> usize {
        let mut count = 0_usize;
        while self.is_front_done() {
            let Some(entry) = self.pop() else {
                break;
            };
            if entry.ended.is_some() {
                self.ended = self.ended.saturating_sub(1);
            }
            count = count.wrapping_add(1);
            self.tell(entry.item, entry.ended, &mut tell);
        }
        let mut index = 0_usize;
        while self.ended > 0 && index < self.ring.len() {
            let busy = self.sending && index == self.sent;
            if let Some(entry) = self
                .ring
                .get_mut(index)
                .filter(|e| e.ended.is_some() && !busy)
            {
                let (item, ended) = (entry.item.take(), entry.ended.take());
                self.ended = self.ended.saturating_sub(1);
                self.gone = self.gone.wrapping_add(1);
                count = count.wrapping_add(1);
                self.tell(item, ended, &mut tell);
            }
            index = index.wrapping_add(1);
        }
        self.trim();
        count
    }

    fn tell(
        &mut self,
        item: Option<Item<M>>,
        ended: Option<Outcome>,
        tell: &mut impl FnMut(M, Outcome),
    ) {
        match item {
            Some(Item::Message(m)) => tell(m, ended.unwrap_or(Outcome::Done)),
            Some(Item::Pong(_) | Item::Hello) => self.pongs = self.pongs.saturating_sub(1),
            None => {}
        }
    }

    /// Takes all messages out, because the path goes away.
    pub fn drain(&mut self, mut tell: impl FnMut(M, Outcome)) {
        self.sending = false;
        while let Some(entry) = self.pop() {
            let outcome = if entry.seq <= self.acked {
                Outcome::Done
            } else {
                entry.ended.unwrap_or(Outcome::Dropped)
            };
            self.tell(entry.item, Some(outcome), &mut tell);
        }
        self.ended = 0;
    }
}
