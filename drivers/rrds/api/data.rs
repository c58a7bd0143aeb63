// SPDX-License-Identifier: GPL-2.0

//! What modules send and receive.

use super::names::shown;
use crate::{
    backlog::Charge,
    message::{
        Incoming,
        Payload,
        Piece,
        Pooled,
        Source,
        SHORT, //
    }, //
};
use core::net::SocketAddr;
use kernel::{
    list::ListArc,
    num::casts::u32_as_usize,
    prelude::*,
    sync::Arc, //
};
use rds_proto::consts::FRAGMENT_BYTES;

/// The bytes that one frame carries. [`Data`] is made of pieces of this length.
pub const FRAGMENT: usize = FRAGMENT_BYTES;

/// Data to be sent without being copied.
pub struct Data {
    pooled: Pooled,
    /// What its sender is charged as long as it is not sent, if it was received.
    charge: Option<Charge>,
}

impl Data {
    /// Takes pages, or other pieces of memory: each of [`FRAGMENT`] bytes, but for the last, which may be
    /// shorter.
    ///
    /// Errors: [`EINVAL`] if the pieces are not as long as that, [`EMSGSIZE`] if they are more than a
    /// message may have, [`ENOMEM`]. The pieces come back then.
    pub fn from_pages(
        pages: KVec<KVec<u8>>,
        flags: kernel::alloc::Flags,
    ) -> Result<Self, (Error, KVec<KVec<u8>>)> {
        let mut payload = match Self::room_for(&pages, flags) {
            Ok(payload) => payload,
            Err(err) => return Err((err, pages)),
        };

        for page in pages {
            // There is room, and they are as long as they must be.
            let _ = payload.push(page, flags);
        }
        Ok(Self::from_pooled(Pooled::new(payload, None)))
    }

    /// Checks the lengths of pages, and makes what is to list them.
    fn room_for(pages: &[KVec<u8>], flags: kernel::alloc::Flags) -> Result<Payload> {
        let mut len = 0_usize;
        let mut full = true;

        for page in pages {
            if !full || page.is_empty() || page.len() > FRAGMENT {
                return Err(EINVAL);
            }
            full = page.len() == FRAGMENT;
            len = len.saturating_add(page.len());
        }
        let mut payload = Payload::empty();
        payload.reserve(u32::try_from(len).map_err(|_| EMSGSIZE)?, flags)?;
        Ok(payload)
    }

    /// Takes the memory back, in any order. What is not in pages is dropped.
    pub fn into_pages(self) -> impl Iterator<Item = KVec<u8>> {
        let pieces = self.pooled.into_payload().into_pieces();

        // What modules send and receive is never in pages that the network may refer to.
        pieces.filter_map(|piece| match piece {
            Piece::Slab(bytes) => Some(bytes),
            Piece::Page(_) => None,
        })
    }

    /// Copies bytes.
    ///
    /// Errors: [`EMSGSIZE`] if they are more than a message may have, [`ENOMEM`].
    pub fn copy(bytes: &[u8], flags: kernel::alloc::Flags) -> Result<Self> {
        let len = bytes.len();
        if len <= SHORT {
            let mut payload = Payload::empty();
            payload.set_short(len, |to| {
                to.copy_from_slice(bytes);
                Ok(())
            })?;
            return Ok(Self::from_pooled(Pooled::new(payload, None)));
        }

        let len = u32::try_from(len).map_err(|_| EMSGSIZE)?;
        Self::copy_pieces(len, bytes.chunks(FRAGMENT), flags)
    }

    /// Copies `len` bytes in pieces of [`FRAGMENT`].
    fn copy_pieces<'a>(
        len: u32,
        pieces: impl Iterator<Item = &'a [u8]>,
        flags: kernel::alloc::Flags,
    ) -> Result<Self> {
        let mut payload = Payload::empty();
        payload.reserve(len, flags)?;

        for from in pieces {
            let mut piece = KVec::with_capacity(from.len(), flags)?;
            piece.extend_from_slice(from, flags)?;
            payload.push(piece, flags)?;
        }
        Ok(Self::from_pooled(Pooled::new(payload, None)))
    }

    /// Returns the length in bytes.
    pub fn len(&self) -> usize {
        u32_as_usize(self.pooled.payload().len())
    }

    /// Whether there are no bytes.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns the pieces, in order.
    pub fn pieces(&self) -> impl Iterator<Item = &[u8]> {
        self.pooled.payload().pieces()
    }

    pub(super) fn from_pooled(pooled: Pooled) -> Self {
        Self::from_parts(pooled, None)
    }

    pub(super) fn from_parts(pooled: Pooled, charge: Option<Charge>) -> Self {
        Self { pooled, charge }
    }

    pub(super) fn into_parts(self) -> (Pooled, Option<Charge>) {
        (self.pooled, self.charge)
    }
}

/// A message that was received: its memory, and where it comes from.
///
/// As long as it is kept its memory is charged to its sender's host, which may have so much stored here
/// and no more (`max_recv_allocation`).
pub struct Message(Arc<Incoming>);

impl Message {
    pub(super) fn new(message: ListArc<Incoming>) -> Self {
        Self(message.into_arc())
    }

    pub(crate) fn from_arc(message: Arc<Incoming>) -> Self {
        Self(message)
    }

    pub(crate) fn into_arc(self) -> Arc<Incoming> {
        self.0
    }

    /// Returns where the message comes from.
    pub fn source(&self) -> SocketAddr {
        shown(self.0.source, self.0.scope)
    }

    /// Returns where the message was sent to: the address that the socket is bound to.
    pub fn dest(&self) -> SocketAddr {
        shown(self.0.dest, self.0.scope)
    }

    /// Returns the type of service that it was sent with.
    pub fn tos(&self) -> u8 {
        self.0.tos
    }

    /// Returns the length in bytes.
    pub fn len(&self) -> usize {
        u32_as_usize(self.0.payload().len())
    }

    /// Whether there are no bytes.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns the data, piece by piece: [`FRAGMENT`] bytes each, but for the last.
    pub fn pieces(&self) -> impl Iterator<Item = &[u8]> {
        self.0.payload().pieces()
    }

    /// Returns the bytes from `offset` on, as far as they are in one piece; none behind the end.
    pub fn at(&self, offset: usize) -> &[u8] {
        u32::try_from(offset)
            .ok()
            .and_then(|offset| self.0.payload().piece_at(offset))
            .unwrap_or_default()
    }

    /// Copies what the message begins with, as far as there is room, and returns how much.
    pub fn copy_to(&self, to: &mut [u8]) -> usize {
        let mut rest = to;
        let mut copied = 0_usize;

        for piece in self.pieces() {
            let len = piece.len().min(rest.len());
            let (now, later) = core::mem::take(&mut rest).split_at_mut(len);
            now.copy_from_slice(piece.get(..len).unwrap_or_default());
            copied = copied.saturating_add(len);
            rest = later;
        }
        copied
    }

    /// Takes the data, to be sent on. It is not copied, unless its memory is that of a sender on this
    /// host.
    ///
    /// Errors: [`ENOMEM`], if it is copied.
    pub fn into_data(self, flags: kernel::alloc::Flags) -> Result<Data> {
        if !self.0.is_shared() {
            // Nobody else can have it.
            let (pooled, charge) = Incoming::into_payload(self.0).ok_or(EBUSY)?;
            return Ok(Data::from_parts(pooled, charge));
        }

        Data::copy_pieces(self.0.payload().len(), self.pieces(), flags)
    }
}

/// Pieces of memory to be copied.
pub(super) struct Parts<'a> {
    rest: &'a [u8],
    parts: core::slice::Iter<'a, &'a [u8]>,
}

impl<'a> Parts<'a> {
    pub(super) fn new(parts: &'a [&'a [u8]]) -> Self {
        Self {
            rest: &[],
            parts: parts.iter(),
        }
    }

    /// Calls `f` with the next bytes, piece by piece.
    fn for_next(&mut self, mut len: usize, mut f: impl FnMut(&[u8]) -> Result) -> Result {
        while len > 0 {
            if self.rest.is_empty() {
                self.rest = self.parts.next().ok_or(EFAULT)?;
                continue;
            }
            let (now, later) = self.rest.split_at(len.min(self.rest.len()));
            f(now)?;
            // OVERFLOW: It is not longer.
            len = len.wrapping_sub(now.len());
            self.rest = later;
        }
        Ok(())
    }
}

impl Source for Parts<'_> {
    fn take(&mut self, len: usize, vec: &mut KVec<u8>, flags: kernel::alloc::Flags) -> Result {
        vec.clear();
        vec.reserve(len, flags)?;
        self.for_next(len, |part| Ok(vec.extend_from_slice(part, flags)?))
    }

    fn read(&mut self, to: &mut [u8]) -> Result {
        let mut rest = &mut *to;
        let len = rest.len();

        self.for_next(len, |part| {
            let (now, later) = core::mem::take(&mut rest).split_at_mut(part.len());
            now.copy_from_slice(part);
            rest = later;
            Ok(())
        })
    }
}
