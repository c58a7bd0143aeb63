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
mod recv;
mod send;

pub use links::{
    Flag,
    Flags,
    Links,
    With, //
};
pub(crate) use recv::raw;
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

/// [`Pieces`] of any size, to be added to.
struct Filler<'b> {
    raw: &'b mut [MaybeUninit<bindings::ib_sge>],
    len: &'b mut usize,
}

impl Filler<'_> {
    /// Adds pieces of memory, all or none.
    ///
    /// Errors: [`ENOSPC`] if there is no room, [`EINVAL`] if one is of another device.
    fn add<'p>(
        &mut self,
        dev: &Device,
        dma_key: u32,
        pieces: impl ExactSizeIterator<Item = Piece<'p>>,
    ) -> Result {
        let room = self.raw.get_mut(*self.len..).ok_or(ENOSPC)?;
        let count = pieces.len();
        if count > room.len() {
            return Err(ENOSPC);
        }

        for (slot, piece) in room.iter_mut().zip(pieces) {
            if piece.dev != dev {
                return Err(EINVAL);
            }
            slot.write(bindings::ib_sge {
                addr: piece.addr,
                length: piece.len,
                lkey: piece.key.unwrap_or(dma_key),
            });
        }
        *self.len += count;
        Ok(())
    }
}
