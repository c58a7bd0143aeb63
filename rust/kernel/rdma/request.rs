// SPDX-License-Identifier: GPL-2.0

//! Work requests, from when they are made to when the hardware is done with them.
//!
//! A [`Request`] owns what the hardware works on. Posting it moves it to the hardware; when the
//! hardware is done with it, it comes back as the argument of [`Operation::done`]. So a buffer can't
//! be freed or reused too early: nobody has it. Nothing is allocated on the way, and a request can be
//! posted again by its own handler.
//!
//! C header: [`include/rdma/ib_verbs.h`](srctree/include/rdma/ib_verbs.h) (`struct ib_cqe`,
//! `struct ib_wc`)

mod completion;
mod header;

pub use completion::{
    Completion,
    Received,
    Status, //
};
pub(crate) use header::{
    Header,
    Tie, //
};

use crate::{
    bindings,
    rdma::{
        mr::End,
        qp::Ordered,
        srq::Posted, //
    },
};
use core::{
    marker::PhantomData,
    mem,
    ptr, //
};
use kernel::{
    prelude::*,
    sync::atomic::ordering::Release,
    types::Opaque, //
};

/// What a request is for, and what happens when it is done.
pub trait Operation: Sized + Send + 'static {
    /// The hardware is done with the request, successfully or not.
    ///
    /// # Context
    ///
    /// That of the completion queue, see [`cq::Poll`](crate::rdma::cq::Poll). In softirq context
    /// this must not sleep. Calls for one completion queue never overlap.
    fn done(this: Pin<KBox<Request<Self>>>, completion: &Completion<'_>);
}

/// A work request, or a chain of them, together with all that the hardware needs for it.
#[repr(C)]
#[pin_data]
pub struct Request<T> {
    #[pin]
    header: Opaque<Header>,
    #[pin]
    data: T,
}

// SAFETY: The header is written by who owns the request, and by the completion handlers when the
// hardware does.
unsafe impl<T: Send> Send for Request<T> {}

// SAFETY: Through `&self` only `data` can be reached.
unsafe impl<T: Sync> Sync for Request<T> {}

impl<T: Operation> Request<T> {
    /// Allocates a request.
    pub fn new<E>(data: impl PinInit<T, E>, flags: kernel::alloc::Flags) -> Result<Pin<KBox<Self>>>
    where
        Error: From<E>,
    {
        KBox::try_pin_init(
            try_pin_init!(Self {
                header <- Opaque::ffi_init(|header: *mut Header| {
                    // SAFETY: `header` is valid for writes.
                    unsafe { header.write(Header::new(Self::done_callback, Self::drop_callback)) };
                }),
                data <- data,
            }),
            flags,
        )
    }

    /// Returns what the request is for.
    #[inline]
    pub fn data(&self) -> &T {
        &self.data
    }

    /// Returns what the request is for, to be changed.
    #[inline]
    pub fn data_mut(self: Pin<&mut Self>) -> Pin<&mut T> {
        // SAFETY: This projects to a field that is structurally pinned.
        unsafe { self.map_unchecked_mut(|this| &mut this.data) }
    }

    /// Gives the request away, to the hardware. The header is set up for a new round.
    pub(crate) fn into_header(this: Pin<KBox<Self>>) -> *mut Header {
        // SAFETY: Nothing is moved out of the box until `from_header` pins it again.
        let request = KBox::into_raw(unsafe { Pin::into_inner_unchecked(this) });
        let header = request.cast::<Header>();

        // SAFETY: We own the request, so that nobody else uses the header.
        unsafe { (*header).reset() };
        header
    }

    /// Takes a request back.
    ///
    /// # Safety
    ///
    /// `header` must come from [`into_header`](Self::into_header) of a request of this type, and the
    /// caller must own it.
    pub(crate) unsafe fn from_header(header: *mut Header) -> Pin<KBox<Self>> {
        // SAFETY: The header is the first field of the request. The request has been pinned all
        // along.
        unsafe { Pin::new_unchecked(KBox::from_raw(header.cast())) }
    }

    /// Returns the data of a request that is given away, for making its work requests.
    ///
    /// # Safety
    ///
    /// `header` must come from [`into_header`](Self::into_header) of a request of this type that
    /// still exists, and that nobody has a mutable reference to for `'a`.
    pub(crate) unsafe fn data_of<'a>(header: *mut Header) -> &'a T {
        // SAFETY: By the function's requirements.
        unsafe { &(*header.cast::<Self>()).data }
    }

    /// # Safety
    ///
    /// To be called by the completion queue only, as `ib_cqe::done` of a request of this type.
    unsafe extern "C" fn done_callback(cq: *mut bindings::ib_cq, wc: *mut bindings::ib_wc) {
        // SAFETY: `wc` is valid for this call, and names the `cqe` that it was posted with.
        let header = Header::of_cqe(unsafe { (*wc).__bindgen_anon_1.wr_cqe });
        // SAFETY: The header is valid, and the request was posted. This is its handler.
        unsafe { Ordered::complete(&raw mut (*header).ordered, cq, wc) };
        // SAFETY: The header is valid, and completion handlers of a queue do not overlap.
        let (first, posted, posted_at, room, entries, counted, tied) = unsafe {
            (
                (*header).status,
                &raw mut (*header).posted,
                (*header).posted_at,
                (*header).room,
                (*header).ordered.partial().unwrap_or((*header).entries),
                (*header).counted,
                !(*header).registers.is_none() || !(*header).revokes.is_none(),
            )
        };

        // SAFETY: The request is the hardware's no more; if it was in a shared receive queue it is
        // still listed there.
        unsafe { Posted::remove(posted) };

        // From here on the handler can post the request again.
        if !room.is_null() {
            // SAFETY: The queue pair that this belongs to waits for this handler before it goes. The
            // completions of all links were taken out, as this is the last one's.
            unsafe { &*room }.give_back(entries);
        }

        // SAFETY: `wc` is valid for this call, and not written any more. Requests are posted to queue pairs of this
        // crate, or to shared queues that only such use, and this is the handler.
        let completion = unsafe { Completion::new(&*wc, first, posted_at) };
        if tied {
            let end = if completion.is_success() {
                End::Done
            } else {
                End::Unknown
            };

            // SAFETY: The last link of the request is done, so the hardware has no part of it. It completes
            // the links in order, as `Qp::new` refuses iWARP: if no link has failed, it has carried out all
            // of them.
            unsafe { Header::settle(header, end) };
        }

        // SAFETY: The last link of the request is done, so the hardware has given it back.
        let request = unsafe { Self::from_header(header) };

        T::done(request, &completion);

        if !counted.is_null() {
            // SAFETY: The queue pair that this belongs to waits for it before it goes. The release is
            // its leave to go.
            unsafe { &*counted }.fetch_sub(1, Release);
        }
    }

    /// # Safety
    ///
    /// As for [`Header::drop_request`], of a request of this type.
    unsafe fn drop_callback(header: *mut Header) {
        // SAFETY: By the function's requirements.
        drop(unsafe { Self::from_header(header) });
    }
}

/// A request that was not posted, and why.
pub struct Unposted<T, const N: usize> {
    /// Why.
    pub error: Error,
    /// The requests, in the order they were to be posted.
    requests: [*mut Header; N],
    next: usize,
    _requests: PhantomData<T>,
}

impl<T: Operation, const N: usize> Unposted<T, N> {
    /// # Safety
    ///
    /// Those of `requests` that are not null must come from `into_header` of requests of the type
    /// `T`, and the caller must own them, and give them up.
    pub(crate) unsafe fn new(error: Error, requests: [*mut Header; N]) -> Self {
        Self {
            error,
            requests,
            next: 0,
            _requests: PhantomData,
        }
    }
}

impl<T: Operation, const N: usize> Iterator for Unposted<T, N> {
    type Item = Pin<KBox<Request<T>>>;

    fn next(&mut self) -> Option<Self::Item> {
        while let Some(slot) = self.requests.get_mut(self.next) {
            let header = mem::replace(slot, ptr::null_mut());

            self.next += 1;
            if !header.is_null() {
                // SAFETY: By the requirements of `new`, we own it. It was taken out of the slot.
                return Some(unsafe { Request::from_header(header) });
            }
        }
        None
    }
}

impl<T, const N: usize> Drop for Unposted<T, N> {
    fn drop(&mut self) {
        for header in self.requests.iter().filter(|header| !header.is_null()) {
            // SAFETY: By the requirements of `new`, we own it.
            unsafe { Header::drop_request(*header) };
        }
    }
}
