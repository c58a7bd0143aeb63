// SPDX-License-Identifier: GPL-2.0

//! The data of a message.

use super::{
    loan::Loan,
    piece::Piece, //
};
use kernel::{
    num::casts::u32_as_usize,
    prelude::*, //
};
use krdma::page::PagePart;
use rds_proto::consts::{
    FRAGMENT_BYTES,
    MAX_MESSAGE_LEN, //
};

/// What a message takes beside its data: its own struct and what lists it.
const OVERHEAD: usize = 256;

/// Bytes up to which a message is in place.
pub(crate) const SHORT: usize = 64;

/// The first piece of a message.
#[derive(Default)]
enum First {
    #[default]
    None,
    /// Less than a fragment: as many bytes of these as the message has.
    Short([u8; SHORT]),
    Piece(Piece),
    /// All pieces, in memory that is the program's. It can only be given to who takes pages.
    Lent(Loan),
}

/// The data of a message, in kernel memory or, if it is [lent](Payload::set_lent), in the sender's.
///
/// It is cut as it is on the wire: each piece is one that a frame carries. Unless it is lent it is in one piece in
/// memory, in the linear mapping, so that it can be mapped for a device. What is short is in place.
///
/// # Invariants
///
/// Every piece but the last has [`FRAGMENT_BYTES`] bytes, the last has at least one, and all together
/// have `len`, in memory of `room` bytes. If they are lent there is no list of them, and `room` is what the loan takes.
#[derive(Default)]
pub(crate) struct Payload {
    /// The first piece. Most messages have only this one.
    first: First,
    /// The others, if there may be any: in a box, as most messages have none.
    rest: Option<KBox<KVec<Piece>>>,
    len: u32,
    /// The memory of all pieces, or what a loan takes beside the program's.
    room: u32,
}

impl Payload {
    /// No data.
    pub(crate) const fn empty() -> Self {
        // INVARIANT: There are no pieces.
        Self {
            first: First::None,
            rest: None,
            len: 0,
            room: 0,
        }
    }

    /// Makes room for the list of the pieces of `len` bytes, of a message that is empty.
    ///
    /// Errors: [`EMSGSIZE`] if that is more than a message may have, [`ENOMEM`].
    #[inline]
    pub(crate) fn reserve(&mut self, len: u32, flags: kernel::alloc::Flags) -> Result {
        if len > MAX_MESSAGE_LEN {
            return Err(EMSGSIZE);
        }
        match u32_as_usize(len).div_ceil(FRAGMENT_BYTES) {
            0 | 1 => {}
            pieces => {
                let list = KVec::with_capacity(pieces.saturating_sub(1), flags)?;
                self.rest = Some(KBox::new(list, flags)?);
            }
        }
        Ok(())
    }

    /// Appends a piece.
    ///
    /// Errors: [`EINVAL`] if the piece is empty or too long, or comes after one that was not full;
    /// [`EMSGSIZE`] if the message gets too long; [`ENOMEM`]. The piece is dropped then.
    pub(crate) fn push(&mut self, piece: impl Into<Piece>, flags: kernel::alloc::Flags) -> Result {
        let piece = piece.into();
        let full = u32_as_usize(self.len) % FRAGMENT_BYTES == 0;
        if piece.is_empty() || piece.len() > FRAGMENT_BYTES || !full {
            return Err(EINVAL);
        }
        let len = u32::try_from(piece.len())
            .ok()
            .and_then(|len| self.len.checked_add(len))
            .filter(|len| *len <= MAX_MESSAGE_LEN)
            .ok_or(EMSGSIZE)?;

        // No message has that much.
        let room = u32::try_from(piece.room()).unwrap_or(u32::MAX);

        if self.len == 0 {
            self.first = First::Piece(piece);
        } else {
            let rest = match &mut self.rest {
                Some(rest) => rest,
                none => none.insert(KBox::new(KVec::new(), flags)?),
            };
            rest.push(piece, flags)?;
        }
        self.room = self.room.saturating_add(room);
        // INVARIANT: The pieces before this one are full.
        self.len = len;
        Ok(())
    }

    /// Makes an empty message one of at most [`SHORT`] bytes, which `fill` writes.
    ///
    /// Errors: [`EINVAL`] if it is not empty, [`EMSGSIZE`] if there are more bytes, and those of `fill`.
    /// The message is empty then.
    #[inline]
    pub(crate) fn set_short(
        &mut self,
        len: usize,
        fill: impl FnOnce(&mut [u8]) -> Result,
    ) -> Result {
        if self.len != 0 {
            return Err(EINVAL);
        }
        if len == 0 {
            return Ok(());
        }
        if len > SHORT {
            return Err(EMSGSIZE);
        }

        // A piece without bytes as long as it is written: `len` is 0.
        self.first = First::Short([0; SHORT]);
        let First::Short(bytes) = &mut self.first else {
            return Err(EINVAL);
        };
        if let Err(err) = fill(bytes.get_mut(..len).ok_or(EMSGSIZE)?) {
            self.first = First::None;
            return Err(err);
        }
        // INVARIANT: There is one piece, of less than a fragment. CAST: It is at most `SHORT`.
        self.len = len as u32;
        Ok(())
    }

    /// Makes an empty message one of memory that its sender has lent.
    ///
    /// Errors: [`EINVAL`] if it is not empty, [`EMSGSIZE`] if that is more than a message may have. The memory is given back
    /// then.
    pub(crate) fn set_lent(&mut self, loan: Loan) -> Result {
        if self.len != 0 {
            return Err(EINVAL);
        }
        let len = u32::try_from(loan.len())
            .ok()
            .filter(|len| *len <= MAX_MESSAGE_LEN)
            .ok_or(EMSGSIZE)?;

        self.room = u32::try_from(loan.room()).unwrap_or(u32::MAX);
        self.first = First::Lent(loan);
        // INVARIANT: There is no list of pieces yet.
        self.len = len;
        Ok(())
    }

    /// Takes the pieces out that have memory of their own, in any order.
    pub(crate) fn into_pieces(self) -> impl Iterator<Item = Piece> {
        let rest = self.rest.map(KBox::into_inner).into_iter().flatten();
        let first = match self.first {
            First::Piece(piece) => Some(piece),
            First::None | First::Short(_) | First::Lent(_) => None,
        };

        Iterator::chain(rest, first)
    }

    /// Returns the length in bytes.
    pub(crate) fn len(&self) -> u32 {
        self.len
    }

    /// Returns the memory that the message takes, all in all.
    pub(crate) fn true_size(&self) -> u32 {
        let list = self
            .rest
            .as_ref()
            .map_or(0, |rest| rest.capacity())
            .saturating_mul(core::mem::size_of::<Piece>());
        let beside = u32::try_from(list.saturating_add(OVERHEAD)).unwrap_or(u32::MAX);

        self.room.saturating_add(beside)
    }

    /// Returns the most memory that a message of `len` bytes takes that is received.
    pub(crate) fn true_size_of(len: u32) -> u32 {
        // OVERFLOW: No message is that long.
        len.min(MAX_MESSAGE_LEN)
            .next_multiple_of(FRAGMENT_BYTES as u32)
            .saturating_add(OVERHEAD as u32)
    }

    /// Returns the piece that holds the byte at `offset`, from there on, if there is such a byte, and it is not lent.
    ///
    /// For the offset of a frame this is the data of the frame.
    pub(crate) fn piece_at(&self, offset: u32) -> Option<&[u8]> {
        let offset = u32_as_usize(offset);
        let piece = match (offset / FRAGMENT_BYTES).checked_sub(1) {
            None => self.first()?,
            Some(index) => self.rest.as_ref()?.get(index)?,
        };

        piece
            .get(offset % FRAGMENT_BYTES..)
            .filter(|rest| !rest.is_empty())
    }

    /// Whether the piece at `offset`, of a frame, is in pages.
    pub(crate) fn is_in_pages(&self, offset: u32) -> bool {
        self.part(offset, 0, 1).is_some()
    }

    /// Returns the bytes from `from` on of the piece at `offset`, of a frame, as far as `end` and a page reach, if they are in
    /// pages.
    pub(crate) fn part(&self, offset: u32, from: usize, end: usize) -> Option<PagePart<'_>> {
        let offset = u32_as_usize(offset);

        if let First::Lent(loan) = &self.first {
            return loan.part(offset.saturating_add(from), offset.saturating_add(end));
        }
        match self.piece(offset / FRAGMENT_BYTES)? {
            Piece::Page(page) if offset % FRAGMENT_BYTES == 0 => page.part(from, end),
            Piece::Page(_) | Piece::Slab(_) => None,
        }
    }

    /// Returns a piece that has memory of its own.
    fn piece(&self, index: usize) -> Option<&Piece> {
        match (index.checked_sub(1), &self.first) {
            (None, First::Piece(piece)) => Some(piece),
            (None, _) => None,
            (Some(index), _) => self.rest.as_ref()?.get(index),
        }
    }

    /// Returns the pieces, in order; none that are lent.
    pub(crate) fn pieces(&self) -> impl Iterator<Item = &[u8]> {
        let rest = self.rest.as_ref().map_or(&[][..], |rest| rest);

        Iterator::chain(self.first().into_iter(), rest.iter().map(|piece| &**piece))
    }

    fn first(&self) -> Option<&[u8]> {
        match &self.first {
            First::None => None,
            First::Short(bytes) => bytes.get(..u32_as_usize(self.len)),
            First::Piece(piece) => Some(piece),
            First::Lent(_) => None,
        }
    }
}
