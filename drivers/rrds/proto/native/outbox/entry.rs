// SPDX-License-Identifier: GPL-2.0

//! A message to send, and a packet that is under way.

use crate::consts::EXT_LEN;
use crate::native::lane::{Packet, Sent};
use crate::native::slab::{Linked, List, NONE};
use crate::native::wire::{
    GoneEntry, Message, Part, MESSAGE_HEADER_LEN, PART_HEADER_LEN, PART_UNIT,
};
use crate::send::Payload;
use core::cmp::min;

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

    /// Whether it was never sent, is not cancelled and has no extension headers.
    #[inline]
    pub(super) const fn is_plain(&self) -> bool {
        matches!(self.state, State::Waiting) && !self.cancelled && !self.has_ext
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
    sent: Sent,
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

impl Packet for Record {
    #[inline]
    fn sent(&self) -> &Sent {
        &self.sent
    }

    #[inline]
    fn sent_mut(&mut self) -> &mut Sent {
        &mut self.sent
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

/// How much of `rest` bytes a piece can take in `room` bytes, or `None` if it is not worth a frame.
pub(super) fn piece_len(room: usize, rest: u32, ext: bool) -> Option<u32> {
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
    pub(super) fn ext(&self) -> Option<[u8; EXT_LEN]> {
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
    pub(super) fn fits(&self, room: usize) -> bool {
        let len = self.frame_len();
        len <= room && len <= usize::from(u16::MAX)
    }

    /// Whether a frame with some of it fits.
    #[inline]
    pub(super) fn fits_at_all(&self, room: usize, whole: usize) -> bool {
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
    pub(super) fn head(&self, ext: Option<[u8; EXT_LEN]>) -> Message {
        Message {
            sport: self.sport,
            dport: self.dport,
            // CAST: the low half is what is sent.
            id: self.id as u32,
            prev: self.prev(),
            ext,
        }
    }

    pub(super) fn part(&self, offset: u32, ext: Option<[u8; EXT_LEN]>) -> Part {
        Part {
            message: self.head(ext),
            total: self.len,
            offset,
        }
    }

    pub(super) fn gone(&self) -> GoneEntry {
        GoneEntry {
            // CAST: the low half is what is sent.
            id: self.id as u32,
            prev: self.prev(),
            len: self.len,
        }
    }
}
