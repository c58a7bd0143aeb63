// SPDX-License-Identifier: GPL-2.0

//! What receive queues have in common, for this crate only.

use crate::{
    bindings,
    rdma::{
        request::Header,
        Device, //
    },
};
use core::{
    mem::MaybeUninit,
    ptr, //
};
use kernel::prelude::*;

/// Receive requests to be posted, as a batch keeps them.
pub struct Chain<'a> {
    /// The requests, linked to each other, and as many headers.
    pub(crate) raw: &'a [MaybeUninit<bindings::ib_recv_wr>],
    pub(crate) headers: &'a [*mut Header],
}

/// Requests were not posted: why, and how many before them were.
pub struct Failed {
    pub(crate) error: Error,
    pub(crate) posted: usize,
}

impl Failed {
    /// None was posted.
    pub(crate) fn all(error: Error) -> Self {
        Self { error, posted: 0 }
    }
}

impl Chain<'_> {
    /// Returns the number of requests, as queues count them.
    pub(crate) fn len(&self) -> u32 {
        // CAST: There are not more than fit in a batch.
        self.headers.len() as u32
    }

    /// Posts by a C function.
    pub(crate) fn post(
        &self,
        post: impl FnOnce(*const bindings::ib_recv_wr, *mut *const bindings::ib_recv_wr) -> c_int,
    ) -> core::result::Result<(), Failed> {
        let mut bad = ptr::null();
        let ret = post(self.raw.as_ptr().cast(), &mut bad);

        if ret == 0 {
            return Ok(());
        }
        Err(Failed {
            error: Error::from_errno(ret),
            // A driver that does not say which request was bad has taken none. (`Qp::new` and
            // `Srq::new` refuse iWARP, where that is not so.)
            posted: (0..self.headers.len())
                .find(|&i| ptr::eq(self.raw[i].as_ptr(), bad))
                .unwrap_or(0),
        })
    }
}

/// A receive queue.
///
/// # Safety
///
/// Every request that was posted must be completed or dropped.
pub unsafe trait RecvQueue {
    /// Returns the device.
    fn device(&self) -> &Device;

    /// Returns the local key of all memory mapped for DMA.
    fn dma_key(&self) -> u32;

    /// Returns the most pieces of memory of a request.
    fn max_sge(&self) -> u32;

    /// Posts requests.
    ///
    /// # Safety
    ///
    /// The requests must be initialized and linked, and the caller must own them. They are the
    /// queue's, except those that the result says were not posted.
    unsafe fn post(&self, chain: &Chain<'_>) -> core::result::Result<(), Failed>;
}
