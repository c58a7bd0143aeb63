// SPDX-License-Identifier: GPL-2.0

//! A message to send, and a packet that is under way.

use crate::native::lane::Sent;
use crate::native::slab::{Linked, List, NONE};

/// Where a message is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum State {
    /// There is none.
    #[default]
    Free,
    /// It has no number, and waits in its flow.
    Waiting,
    /// Some of its pieces were built; it is at the front of its flow, or of what is sent again.
    Begun,
    /// All of it was built.
    Sent,
    /// It is to be sent again, whole.
    Again,
    /// It is cancelled, and the peer is told.
    Gone,
    /// It is done with.
    Done,
}

/// What a caller remembers of a message that it queued.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ticket {
    pub(super) at: u32,
    pub(super) life: u32,
}

/// A message to send.
#[derive(Debug)]
pub struct Entry<M> {
    pub(super) message: Option<M>,
    /// Its number, if it has one.
    pub(super) id: u64,
    /// The number of its predecessor and one more, or 0.
    pub(super) pred: u64,
    pub(super) len: u32,
    /// Bytes built, of a message that is cut.
    pub(super) sent: u32,
    /// Bytes acknowledged.
    pub(super) acked: u32,
    pub(super) life: u32,
    pub(super) sport: u16,
    pub(super) dport: u16,
    /// Pieces that records name.
    pub(super) pieces: u16,
    pub(super) state: State,
    /// It has extension headers.
    pub(super) has_ext: bool,
    pub(super) cancelled: bool,
    /// The peer knows that it is cancelled.
    pub(super) told: bool,
    pub(super) next: u32,
    pub(super) older: u32,
    pub(super) newer: u32,
}

impl<M> Default for Entry<M> {
    fn default() -> Self {
        Self {
            message: None,
            id: 0,
            pred: 0,
            len: 0,
            sent: 0,
            acked: 0,
            life: 0,
            sport: 0,
            dport: 0,
            pieces: 0,
            state: State::Free,
            has_ext: false,
            cancelled: false,
            told: false,
            next: NONE,
            older: NONE,
            newer: NONE,
        }
    }
}

impl<M> Linked for Entry<M> {
    #[inline]
    fn next(&self) -> u32 {
        self.next
    }

    #[inline]
    fn set_next(&mut self, next: u32) {
        self.next = next;
    }
}

impl<M> Entry<M> {
    #[inline]
    pub(super) fn begin(&mut self, message: M, len: u32, sport: u16, dport: u16, has_ext: bool) {
        self.message = Some(message);
        self.has_ext = has_ext;
        self.len = len;
        self.sport = sport;
        self.dport = dport;
        self.state = State::Waiting;
    }

    /// Forgets that anything of the message was sent.
    pub(super) fn restart(&mut self) {
        self.state = State::Waiting;
        self.id = 0;
        self.pred = 0;
        self.sent = 0;
        self.acked = 0;
        self.told = false;
        self.older = NONE;
        self.newer = NONE;
    }
}

/// A piece of a message that a packet carries.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Piece {
    pub(super) entry: u32,
    pub(super) offset: u32,
    pub(super) len: u32,
}

/// A packet that is under way, or a piece of a lost one that is to be sent again.
#[derive(Clone, Copy, Debug)]
pub struct Record {
    pub(crate) sent: Sent,
    /// Messages that are whole in it, and cancelled ones.
    pub(super) entries: List,
    pub(super) part: Option<Piece>,
    /// Frames of the session itself.
    pub(crate) control: u8,
    next: u32,
}

impl Default for Record {
    fn default() -> Self {
        Self {
            sent: Sent::default(),
            entries: List::default(),
            part: None,
            control: 0,
            next: NONE,
        }
    }
}

impl Linked for Record {
    fn next(&self) -> u32 {
        self.next
    }

    fn set_next(&mut self, next: u32) {
        self.next = next;
    }
}
