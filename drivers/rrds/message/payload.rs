// SPDX-License-Identifier: GPL-2.0

//! The data of a message.

use super::piece::Piece;
use kernel::{
    num::casts::u32_as_usize,
    prelude::*, //
};
use krdma::page::SharedPage;
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
}

/// The data of a message, in kernel memory.
///
/// It is cut as it is on the wire: each piece is one that a frame carries, and is in one piece in
/// memory, in the linear mapping, so that it can be mapped for a device. What is short is in place.
///
/// # Invariants
///
/// Every piece but the last has [`FRAGMENT_BYTES`] bytes, the last has at least one, and all together
/// have `len`, in memory of `room` bytes.
#[derive(Default)]
pub(crate) struct Payload {
    /// The first piece. Most messages have only this one.
    first: First,
    /// The others, if there may be any.
    rest: Option<KVec<Piece>>,
    len: u32,
    /// The memory of all pieces.
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
            pieces => self.rest = Some(KVec::with_capacity(pieces.saturating_sub(1), flags)?),
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
            self.rest.get_or_insert_default().push(piece, flags)?;
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

    /// Takes the pieces out that have memory of their own, in any order.
    pub(crate) fn into_pieces(self) -> impl Iterator<Item = Piece> {
        let rest = self.rest.into_iter().flatten();
        let first = match self.first {
            First::Piece(piece) => Some(piece),
            First::None | First::Short(_) => None,
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
            .map_or(0, KVec::capacity)
            .saturating_mul(core::mem::size_of::<Piece>());
        let beside = u32::try_from(list.saturating_add(OVERHEAD)).unwrap_or(u32::MAX);

        self.room.saturating_add(beside)
    }

    /// Returns the most memory that a message of `len` bytes takes.
    pub(crate) fn true_size_of(len: u32) -> u32 {
        // OVERFLOW: No message is that long.
        len.min(MAX_MESSAGE_LEN)
            .next_multiple_of(FRAGMENT_BYTES as u32)
            .saturating_add(OVERHEAD as u32)
    }

    /// Returns the piece that holds the byte at `offset`, from there on, if there is such a byte.
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

    /// Returns the page that is the piece from `offset` on, if it is one.
    pub(crate) fn page_at(&self, offset: u32) -> Option<&SharedPage> {
        let offset = u32_as_usize(offset);
        if offset % FRAGMENT_BYTES != 0 {
            return None;
        }
        let piece = match ((offset / FRAGMENT_BYTES).checked_sub(1), &self.first) {
            (None, First::Piece(piece)) => piece,
            (None, _) => return None,
            (Some(index), _) => self.rest.as_ref()?.get(index)?,
        };

        match piece {
            Piece::Page(page) => Some(page),
            Piece::Slab(_) => None,
        }
    }

    /// Returns the pieces, in order.
    pub(crate) fn pieces(&self) -> impl Iterator<Item = &[u8]> {
        let rest = self.rest.iter().flatten();

        Iterator::chain(self.first().into_iter(), rest.map(|piece| &**piece))
    }

    fn first(&self) -> Option<&[u8]> {
        match &self.first {
            First::None => None,
            First::Short(bytes) => bytes.get(..u32_as_usize(self.len)),
            First::Piece(piece) => Some(piece),
        }
    }
}
