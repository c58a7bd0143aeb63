// SPDX-License-Identifier: GPL-2.0

//! Posting to receive queues.

use super::{
    raw,
    Filler,
    Pieces,
    Refused, //
};
use crate::{
    bindings,
    rdma::{
        mr::Stamp,
        request::{
            Header,
            Operation,
            Request,
            Unposted, //
        },
        Device,
        SgeMut, //
    },
};
use core::{
    marker::PhantomData,
    mem::MaybeUninit,
    ptr, //
};
use kernel::prelude::*;

/// Where receive requests are posted: a queue pair ([`Qp`](crate::rdma::Qp),
/// [`Poster`](crate::rdma::qp::Poster)) or a shared receive queue ([`Srq`](crate::rdma::Srq),
/// [`SrqRef`](crate::rdma::srq::SrqRef), [`SrqHandle`](crate::rdma::srq::SrqHandle)).
pub trait RecvTarget: raw::RecvQueue {}

impl<Q: raw::RecvQueue> RecvTarget for Q {}

/// Receive requests to be posted by one call: up to `N`, with `P` pieces of memory in all. Those not
/// posted are dropped with it.
pub struct RecvBatch<'q, T: Operation, Q: RecvTarget, const N: usize = 4, const P: usize = 8> {
    queue: &'q Q,
    raw: [MaybeUninit<bindings::ib_recv_wr>; N],
    first_piece: [usize; N],
    headers: [*mut Header; N],
    pieces: Pieces<P>,
    nr_requests: usize,
    _requests: PhantomData<T>,
}

impl<'q, T: Operation, Q: RecvTarget, const N: usize, const P: usize> RecvBatch<'q, T, Q, N, P> {
    /// Starts a batch for a queue.
    // It is large: where it is not inlined it is copied.
    #[inline(always)]
    pub fn new(queue: &'q Q) -> Self {
        Self {
            queue,
            raw: [const { MaybeUninit::uninit() }; N],
            first_piece: [0; N],
            headers: [ptr::null_mut(); N],
            pieces: Pieces::new(),
            nr_requests: 0,
            _requests: PhantomData,
        }
    }

    /// Adds a request for the next message, which goes to the memory that `describe` names.
    ///
    /// If `describe` fails, or there is no more room ([`ENOSPC`]), the request is returned and the
    /// batch is as it was before.
    pub fn push(
        &mut self,
        request: Pin<KBox<Request<T>>>,
        describe: impl for<'a> FnOnce(&'a T, &mut Buffers<'a, '_>) -> Result,
    ) -> core::result::Result<(), Refused<T>> {
        if self.nr_requests == N {
            return Err(Refused {
                error: ENOSPC,
                request,
            });
        }

        let first = self.pieces.len;
        let header = Request::into_header(request);
        let mut buffers = Buffers {
            dev: self.queue.device(),
            dma_key: self.queue.dma_key(),
            pieces: self.pieces.filler(),
            _data: PhantomData,
        };
        // SAFETY: The header was made above, and we own the request.
        let described = describe(unsafe { Request::<T>::data_of(header) }, &mut buffers);
        let count = self.pieces.len - first;
        let fits = u32::try_from(count).is_ok_and(|count| count <= self.queue.max_sge());
        if let Err(error) = described.and(if fits { Ok(()) } else { Err(EINVAL) }) {
            self.pieces.len = first;
            return Err(Refused {
                error,
                // SAFETY: As above.
                request: unsafe { Request::from_header(header) },
            });
        }

        // SAFETY: As above. It is posted later than now.
        unsafe { (*header).posted_at = Stamp::now() };
        self.raw[self.nr_requests].write(bindings::ib_recv_wr {
            next: ptr::null_mut(),
            __bindgen_anon_1: bindings::ib_recv_wr__bindgen_ty_1 {
                wr_cqe: header.cast(),
            },
            sg_list: ptr::null_mut(),
            // CAST: There are not more than fit in a batch.
            num_sge: count as c_int,
        });
        self.first_piece[self.nr_requests] = first;
        self.headers[self.nr_requests] = header;
        self.nr_requests += 1;
        Ok(())
    }

    /// Returns the number of requests.
    pub fn len(&self) -> usize {
        self.nr_requests
    }

    /// Returns whether there is no request.
    pub fn is_empty(&self) -> bool {
        self.nr_requests == 0
    }

    /// Posts the requests, in order. The batch is empty then and can be used again.
    ///
    /// If some can't be posted they are returned, and none after them is. Errors: [`ENOMEM`] if there
    /// is not room for all, [`EINVAL`] if the queue pair is in a state in which it takes none,
    /// [`ESHUTDOWN`] if the queue is being emptied or has gone, and the driver's. A request takes its place
    /// in the queue until its handler is called.
    ///
    /// Does not sleep.
    pub fn post(&mut self) -> core::result::Result<(), Unposted<T, N>> {
        if self.nr_requests == 0 {
            return Ok(());
        }

        for i in (0..self.nr_requests).rev() {
            let sges = self.pieces.at(self.first_piece[i]);
            let next = if i + 1 < self.nr_requests {
                self.raw[i + 1].as_mut_ptr()
            } else {
                ptr::null_mut()
            };
            // SAFETY: The request was written.
            let wr = unsafe { self.raw[i].assume_init_mut() };

            wr.sg_list = sges;
            wr.next = next;
        }

        let nr_requests = core::mem::take(&mut self.nr_requests);
        let mut headers = core::mem::replace(&mut self.headers, [ptr::null_mut(); N]);
        self.pieces.len = 0;
        // SAFETY: The requests and their pieces are initialized and live on our stack for the call.
        // What they name is owned by the requests, which are the queue's from now on.
        let ret = unsafe {
            self.queue.post(&raw::Chain {
                raw: &self.raw[..nr_requests],
                headers: &headers[..nr_requests],
            })
        };
        let Err(failed) = ret else {
            return Ok(());
        };

        for header in headers.iter_mut().take(failed.posted) {
            *header = ptr::null_mut();
        }
        // SAFETY: Those left were made by `into_header` and are ours.
        Err(unsafe { Unposted::new(failed.error, headers) })
    }
}

impl<T: Operation, Q: RecvTarget, const N: usize, const P: usize> Drop
    for RecvBatch<'_, T, Q, N, P>
{
    fn drop(&mut self) {
        for header in self.headers.iter().filter(|header| !header.is_null()) {
            // SAFETY: It was made by `into_header`, and not posted.
            unsafe { Header::drop_request(*header) };
        }
    }
}

/// The buffers of a receive request that is being described. They must be of `'a`, the request.
pub struct Buffers<'a, 'b> {
    dev: &'b Device,
    dma_key: u32,
    pieces: Filler<'b>,
    _data: PhantomData<fn(&'a ()) -> &'a ()>,
}

impl<'a> Buffers<'a, '_> {
    /// Adds memory that the message goes to, after what was added before. A piece of no byte is left out.
    ///
    /// Errors: [`ENOSPC`] if the batch has no room, [`EINVAL`] if the memory is of another device.
    #[inline]
    pub fn add(&mut self, sges: &[SgeMut<'a>]) -> Result {
        self.pieces
            .add(
                self.dev,
                self.dma_key,
                sges.len(),
                sges.iter().map(|sge| sge.0),
            )
            .map(drop)
    }
}
