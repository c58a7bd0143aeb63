// SPDX-License-Identifier: GPL-2.0

//! Posting work requests.
//!
//! Requests are collected in a batch ([`SendBatch`], [`RecvBatch`]), which is then posted by one
//! call. A closure describes each request to the hardware. What it names it can only take from the
//! request itself, which the hardware owns until it is done: so nothing named can go too early.
//!
//! A batch has room for so many links (or receive requests) `N` and so many pieces of memory `P`.
//! The defaults are small enough for the stack. Who posts many at a time has a larger batch in a box,
//! and uses it again and again.
//!
//! C header: [`include/rdma/ib_verbs.h`](srctree/include/rdma/ib_verbs.h) (`ib_post_send` and
//! following)

use crate::{
    bindings,
    rdma::{
        dma::Piece,
        request::Request,
        Device, //
    },
};
use core::mem::MaybeUninit;
use kernel::prelude::*;

mod links;
pub(crate) mod raw;
mod recv;
mod send;

pub use links::{
    Flag,
    Flags,
    Gather,
    Inline,
    Links,
    With, //
};
pub use recv::{
    Buffers,
    RecvBatch,
    RecvTarget, //
};
pub use send::SendBatch;

/// A request that a batch did not take: why, and the request.
pub struct Refused<T> {
    /// Why.
    pub error: Error,
    /// The request.
    pub request: Pin<KBox<Request<T>>>,
}

/// Pieces of memory as C takes them, of all links of a batch.
struct Pieces<const P: usize> {
    raw: [MaybeUninit<bindings::ib_sge>; P],
    len: usize,
}

impl<const P: usize> Pieces<P> {
    #[inline(always)]
    const fn new() -> Self {
        Self {
            raw: [const { MaybeUninit::uninit() }; P],
            len: 0,
        }
    }

    /// Returns the room that is left, to be filled through [`Filler`].
    fn filler(&mut self) -> Filler<'_> {
        Filler {
            raw: &mut self.raw,
            len: &mut self.len,
        }
    }

    fn at(&mut self, index: usize) -> *mut bindings::ib_sge {
        // The index is at most the length, so this is within the array or at its end.
        self.raw.as_mut_ptr().wrapping_add(index).cast()
    }
}

/// The most bytes of a piece. What is longer than a message may be is no use, and some devices take the
/// highest bit for something else.
// CAST: It is positive.
const MAX_PIECE: u32 = i32::MAX as u32;

/// [`Pieces`] of any size, to be added to.
struct Filler<'b> {
    raw: &'b mut [MaybeUninit<bindings::ib_sge>],
    len: &'b mut usize,
}

impl Filler<'_> {
    /// Adds pieces of memory, all or none, at most `limit`, and returns their number.
    ///
    /// Those of no byte are left out: to some devices a length of zero means 2^31.
    ///
    /// Errors: [`ENOSPC`] if there is no room, [`EINVAL`] if there are more than `limit`, or one is of
    /// another device, or too long.
    #[inline]
    fn add<'p>(
        &mut self,
        dev: &Device,
        dma_key: u32,
        limit: usize,
        pieces: impl Iterator<Item = Piece<'p>>,
    ) -> Result<usize> {
        let room = self.raw.get_mut(*self.len..).ok_or(ENOSPC)?;
        let mut count = 0;

        for piece in pieces {
            if piece.dev != dev || piece.len > MAX_PIECE {
                return Err(EINVAL);
            }
            if piece.len == 0 {
                continue;
            }
            if count == limit {
                return Err(EINVAL);
            }
            room.get_mut(count).ok_or(ENOSPC)?.write(bindings::ib_sge {
                addr: piece.addr,
                length: piece.len,
                lkey: piece.key.unwrap_or(dma_key),
            });
            count += 1;
        }
        *self.len += count;
        Ok(count)
    }

    /// Adds bytes that the driver copies while they are posted, and returns the number of pieces.
    ///
    /// Errors: [`ENOSPC`] if there is no room, [`EINVAL`] if there are more than `limit` bytes.
    fn add_inline(&mut self, limit: u32, bytes: &[u8]) -> Result<usize> {
        let length = u32::try_from(bytes.len()).map_err(|_| EINVAL)?;
        if length > limit {
            return Err(EINVAL);
        }
        if length == 0 {
            return Ok(0);
        }

        let slot = self.raw.get_mut(*self.len).ok_or(ENOSPC)?;
        slot.write(bindings::ib_sge {
            // CAST: An address fits. Drivers take it for a pointer again.
            addr: bytes.as_ptr().expose_provenance() as u64,
            length,
            // Nothing is looked up.
            lkey: 0,
        });
        *self.len += 1;
        Ok(1)
    }
}
