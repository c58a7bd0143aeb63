// SPDX-License-Identifier: GPL-2.0

//! Posting to the send queue.

use super::{
    links::{
        Links,
        RawLink, //
    },
    Pieces,
    Refused, //
};
use crate::{
    bindings,
    rdma::{
        mr::End,
        qp::{
            Connected,
            List,
            Order,
            Ordered,
            Poster,
            Rc,
            Service, //
        },
        request::{
            Header,
            Operation,
            Request,
            Unposted, //
        }, //
    },
};
use core::{
    marker::PhantomData,
    mem::MaybeUninit,
    ptr, //
};
use kernel::{
    prelude::*,
    sync::atomic::ordering::Relaxed, //
};

/// That a link completes visibly.
const SIGNALED: c_int = bindings::ib_send_flags_IB_SEND_SIGNALED as c_int;

/// Send requests to be posted to a queue pair by one call: of `N` links in all, with `P` pieces of
/// memory. Those not posted are dropped with it.
///
/// `S` is the service that the queue pair gives.
pub struct SendBatch<'q, T: Operation, const N: usize = 4, const P: usize = 8, S: Service = Rc> {
    qp: Poster<'q, S>,
    links: [MaybeUninit<RawLink>; N],
    /// The first piece of each link.
    first_piece: [usize; N],
    /// The first link of each request.
    first_link: [usize; N],
    headers: [*mut Header; N],
    pieces: Pieces<P>,
    nr_links: usize,
    nr_requests: usize,
    _requests: PhantomData<T>,
}

impl<'q, T: Operation, const N: usize, const P: usize, S: Service> SendBatch<'q, T, N, P, S> {
    /// Starts a batch for a queue pair: a [`Qp`](crate::rdma::Qp), or what a handler has of one.
    // It is large: where it is not inlined it is copied.
    #[inline(always)]
    pub fn new(qp: impl Into<Poster<'q, S>>) -> Self {
        Self {
            qp: qp.into(),
            links: [const { MaybeUninit::uninit() }; N],
            first_piece: [0; N],
            first_link: [0; N],
            headers: [ptr::null_mut(); N],
            pieces: Pieces::new(),
            nr_links: 0,
            nr_requests: 0,
            _requests: PhantomData,
        }
    }

    /// Adds a request, whose links `describe` makes: at least one. Its handler is called when the
    /// last of them is done, or when the hardware has given up on them.
    ///
    /// If `describe` fails, or there is no more room ([`ENOSPC`]), the request is returned and the
    /// batch is as it was before.
    pub fn push(
        &mut self,
        request: Pin<KBox<Request<T>>>,
        describe: impl for<'a> FnOnce(&'a T, &mut Links<'a, '_, S>) -> Result,
    ) -> core::result::Result<(), Refused<T>> {
        self.add(request, true, describe)
    }

    #[inline]
    fn add(
        &mut self,
        request: Pin<KBox<Request<T>>>,
        signaled: bool,
        describe: impl for<'a> FnOnce(&'a T, &mut Links<'a, '_, S>) -> Result,
    ) -> core::result::Result<(), Refused<T>> {
        if self.nr_requests == N {
            return Err(Refused {
                error: ENOSPC,
                request,
            });
        }

        let before = (self.nr_links, self.pieces.len);
        let header = Request::into_header(request);
        let mut links = Links {
            qp: self.qp,
            header,
            links: &mut self.links,
            first_piece: &mut self.first_piece,
            pieces: self.pieces.filler(),
            first_link: self.nr_links,
            nr_links: self.nr_links,
            _data: PhantomData,
        };

        // SAFETY: The header was made above, and we own the request.
        let described = describe(unsafe { Request::<T>::data_of(header) }, &mut links);
        let nr_links = links.nr_links;
        let described = described.and(if nr_links > before.0 {
            Ok(())
        } else {
            Err(EINVAL)
        });
        if let Err(error) = described {
            self.pieces.len = before.1;
            // SAFETY: As above. Nothing of the request was posted.
            unsafe { Header::settle(header, End::NotPosted) };
            return Err(Refused {
                error,
                // SAFETY: As above.
                request: unsafe { Request::from_header(header) },
            });
        }

        // SAFETY: The link was written by `describe`; all kinds begin with the plain one.
        let last = unsafe { &mut self.links[nr_links - 1].assume_init_mut().send };
        // The last link completes the request. The others have the `fault` as their handler, and are
        // not signalled.
        last.__bindgen_anon_1.wr_cqe = header.cast();
        if signaled {
            last.send_flags |= SIGNALED;
        }

        // SAFETY: The header was made above. The queue pair waits for both counts before it goes.
        unsafe {
            (*header).ordered.set_silent(!signaled);
            (*header).room = self.qp.send_room();
            // CAST: There are not more than fit in a batch.
            (*header).entries = (nr_links - before.0) as u32;
            if S::TYPE.is_datagram() {
                (*header).counted = self.qp.sending();
            }
        }

        self.first_link[self.nr_requests] = before.0;
        self.headers[self.nr_requests] = header;
        self.nr_requests += 1;
        self.nr_links = nr_links;
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
    /// is not room for all, [`EINVAL`] if the queue pair is in a state in which it can't send,
    /// [`ESHUTDOWN`] if it is being emptied, as it goes, is reset or drained, and the driver's. A link takes
    /// its place in the queue until the handler of its request is called.
    ///
    /// Of a request with several links a driver may take the first and refuse another. It is not returned:
    /// its handler is called with [`Status::LocalQpOperation`](crate::rdma::request::Status::LocalQpOperation) when
    /// the device is done with what it has, right before that of a later request, or as the queue pair is
    /// [drained](crate::rdma::Qp::drain). Move the queue pair to the error state then.
    ///
    /// Does not sleep.
    pub fn post(&mut self) -> core::result::Result<(), Unposted<T, N>> {
        if self.nr_requests == 0 {
            return Ok(());
        }

        for i in (0..self.nr_links).rev() {
            let sges = self.pieces.at(self.first_piece[i]);
            let next = if i + 1 < self.nr_links {
                self.links[i + 1].as_mut_ptr().cast()
            } else {
                ptr::null_mut()
            };
            // SAFETY: The link was written; all kinds begin with the plain one.
            let link = unsafe { &mut self.links[i].assume_init_mut().send };

            link.sg_list = sges;
            link.next = next;
        }

        // CAST: There are not more than fit in a batch.
        if let Err(error) = self.qp.send_room().take(self.nr_links as u32) {
            return Err(self.refuse(error));
        }
        if S::TYPE.is_datagram() {
            // CAST: As above.
            self.qp
                .sending()
                .fetch_add(self.nr_requests as u32, Relaxed);
        }

        let queue = self.qp.order();
        let mut order = queue.map(Order::lock);
        let before = order.as_ref().map_or(ptr::null_mut(), |order| order.end());
        if let Some((queue, order)) = queue.zip(order.as_mut()) {
            self.enlist(queue, order);
        }

        let mut bad = ptr::null();
        // SAFETY: The links and their pieces are initialized and live on our stack for the call. What
        // they name is owned by the requests, which are the hardware's from now on.
        let ret = unsafe {
            bindings::ib_post_send(self.qp.as_raw(), self.links[0].as_ptr().cast(), &mut bad)
        };
        if ret == 0 {
            drop(order);
            self.reset();
            return Ok(());
        }
        let (last, unposted) = self.unposted(Error::from_errno(ret), bad, order.as_deref_mut());
        if let Some(mut order) = order {
            // SAFETY: It was locked all along. If none was posted it ends where it did before.
            unsafe { order.cut(last.unwrap_or(before)) };
        }
        Err(unposted)
    }

    /// Appends the requests to the order of the queue, and sees to it that enough are signalled.
    #[inline]
    fn enlist(&mut self, queue: &Order, order: &mut List) {
        let full = self.qp.send_room().is_full();

        for i in 0..self.nr_requests {
            let end = self.end_of(i);
            // CAST: There are not more than fit in a batch.
            let links = (end - self.first_link[i]) as u32;
            let header = self.headers[i];

            // SAFETY: The request is ours, and posted by our caller. The queue pair that the order
            // belongs to waits for the handler before it goes.
            let signal = unsafe {
                let place = &raw mut (*header).ordered;

                order.append(queue, place, links, full && i + 1 == self.nr_requests)
            };
            if signal {
                // SAFETY: The link was written; all kinds begin with the plain one.
                let last = unsafe { &mut self.links[end - 1].assume_init_mut().send };

                last.send_flags |= SIGNALED;
            }
        }
    }

    /// Returns the end of the links of a request.
    #[inline]
    fn end_of(&self, request: usize) -> usize {
        if request + 1 < self.nr_requests {
            self.first_link[request + 1]
        } else {
            self.nr_links
        }
    }

    /// Returns all requests.
    #[cold]
    fn refuse(&mut self, error: Error) -> Unposted<T, N> {
        let headers = self.headers;

        for header in headers.iter().take(self.nr_requests) {
            // SAFETY: The header was made by `into_header`. The hardware has nothing of it.
            unsafe { Header::settle(*header, End::NotPosted) };
        }
        self.reset();
        // SAFETY: They were made by `into_header` and are ours.
        unsafe { Unposted::new(error, headers) }
    }

    /// Tells the requests that were posted, in part or whole, from the others. Returns the last of them.
    #[cold]
    fn unposted(
        &mut self,
        error: Error,
        bad: *const bindings::ib_send_wr,
        mut order: Option<&mut List>,
    ) -> (Option<*mut Ordered>, Unposted<T, N>) {
        // A driver that does not say which link was bad has taken none. (One for iWARP takes some and says
        // nothing: `Qp::new` refuses such devices.)
        let bad = (0..self.nr_links)
            .find(|&i| ptr::eq(self.links[i].as_ptr().cast(), bad))
            .unwrap_or(0);

        let mut headers = self.headers;
        let mut ours = 0;
        let mut last = None;

        for (i, header) in headers.iter_mut().enumerate().take(self.nr_requests) {
            if self.end_of(i) <= bad {
                // The hardware has it.
                //
                // SAFETY: The header was made by `into_header`. Only an address is taken.
                last = Some(unsafe { &raw mut (**header).ordered });
                *header = ptr::null_mut();
            } else if let Some(order) = order.as_mut().filter(|_| self.first_link[i] < bad) {
                // The hardware has a part of it. No datagram is among these, as each has one link.
                //
                // CAST: There are not more than fit in a batch.
                //
                // SAFETY: `enlist` has appended it, and the order was locked since. Its last link, which is the
                // one that may be signalled, was not posted.
                unsafe {
                    let place = &raw mut (**header).ordered;

                    order.note_partial(place, (bad - self.first_link[i]) as u32);
                    last = Some(place);
                }
                *header = ptr::null_mut();
            } else {
                ours += 1;
                // SAFETY: The hardware has nothing of it.
                unsafe { Header::settle(*header, End::NotPosted) };
            }
        }

        // CAST: There are not more than fit in a batch.
        self.qp.send_room().give_back((self.nr_links - bad) as u32);
        if S::TYPE.is_datagram() {
            self.qp.sending().fetch_sub(ours, Relaxed);
        }
        self.reset();
        // SAFETY: Those left were made by `into_header` and are ours.
        (last, unsafe { Unposted::new(error, headers) })
    }

    /// Forgets all requests, which are somebody else's now.
    fn reset(&mut self) {
        self.headers = [ptr::null_mut(); N];
        self.nr_requests = 0;
        self.nr_links = 0;
        self.pieces.len = 0;
    }
}

impl<T: Operation, const N: usize, const P: usize, S: Connected> SendBatch<'_, T, N, P, S> {
    /// As [`push`](Self::push), of a request that the device need not signal: this saves a completion.
    ///
    /// Its handler is called right before that of a later request which is signalled, whichever that
    /// is. If it fails, or the queue pair is [drained](crate::rdma::Qp::drain), it is called without that,
    /// and when half of the queue [as it was granted](crate::rdma::Qp::capabilities) is taken by such
    /// requests, or the whole is taken, the next one is signalled all the same. So there is room by and by
    /// for as much as the other half holds; who posts more at a time has some signalled before.
    ///
    /// Errors: As for [`push`](Self::push).
    pub fn push_unsignaled(
        &mut self,
        request: Pin<KBox<Request<T>>>,
        describe: impl for<'a> FnOnce(&'a T, &mut Links<'a, '_, S>) -> Result,
    ) -> core::result::Result<(), Refused<T>> {
        self.add(request, false, describe)
    }
}

impl<T: Operation, const N: usize, const P: usize, S: Service> Drop for SendBatch<'_, T, N, P, S> {
    fn drop(&mut self) {
        for header in self.headers.iter().filter(|header| !header.is_null()) {
            // SAFETY: It was made by `into_header`, and not posted.
            unsafe {
                Header::settle(*header, End::NotPosted);
                Header::drop_request(*header);
            }
        }
    }
}
