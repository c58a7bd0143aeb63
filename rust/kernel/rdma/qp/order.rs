// SPDX-License-Identifier: GPL-2.0

//! The order of what is posted to a send queue.
//!
//! The hardware works on a send queue in order, so that the completion of one request tells that all
//! before it are done. Those need not be signalled: which they are is known here, and their handlers
//! are called before that of the request that was. InfiniBand and RoCE promise that order; iWARP devices
//! may not keep it, and [`Qp::new`](super::Qp::new) refuses them.
//!
//! C header: [`include/rdma/ib_verbs.h`](srctree/include/rdma/ib_verbs.h) (`enum ib_sig_type`)

use crate::{
    bindings,
    rdma::request::Header, //
};
use core::ptr;
use kernel::{
    new_spinlock_irq,
    prelude::*,
    sync::{
        SpinLockIrq,
        SpinLockIrqGuard, //
    },
};

/// The requests of a send queue.
#[pin_data]
pub(crate) struct Order {
    #[pin]
    list: SpinLockIrq<List>,
}

/// # Invariants
///
/// From `first` on, each naming the `next`, are the requests that are posted to the queue and whose
/// completion was not handled, in the order in which they were posted. The `last` of them is null if
/// there is none.
pub(crate) struct List {
    first: *mut Header,
    last: *mut Header,
    /// Links at the end of the list that are not signalled.
    silent: u32,
    /// How many of these there may be: the hardware gives back their places in the queue only with the
    /// completion of a later one.
    limit: u32,
}

// SAFETY: The list names requests, which are `Send`.
unsafe impl Send for List {}

impl Order {
    /// The order of a queue of `entries`, which is empty.
    pub(crate) fn new(entries: u32) -> impl PinInit<Self> {
        pin_init!(Self {
            // INVARIANT: Nothing is posted.
            list <- new_spinlock_irq!(List {
                first: ptr::null_mut(),
                last: ptr::null_mut(),
                silent: 0,
                limit: entries / 2,
            }),
        })
    }

    /// Locks the list. Whoever posts holds this meanwhile.
    #[inline]
    pub(crate) fn lock(&self) -> SpinLockIrqGuard<'_, List> {
        self.list.lock()
    }

    /// Calls the handlers of the requests before one that the hardware has completed, and takes all
    /// of them and itself out.
    ///
    /// # Safety
    ///
    /// The request must be in the list. To be called by its completion handler, which got `cq` and
    /// `wc`.
    #[inline]
    pub(crate) unsafe fn complete(
        &self,
        header: *mut Header,
        cq: *mut bindings::ib_cq,
        wc: *const bindings::ib_wc,
    ) {
        let mut list = self.list.lock();
        let first = list.first;
        // SAFETY: The request is in the list, so it is alive, and its `next` is valid.
        let next = unsafe { (*header).next };

        // INVARIANT: What is before `next` is handled.
        list.first = next;
        if next.is_null() {
            list.last = ptr::null_mut();
            list.silent = 0;
        }
        drop(list);

        if !ptr::eq(first, header) {
            // SAFETY: These were in the list up to now. `wc` is valid.
            unsafe { call_handlers(first, header, cq, (*wc).qp) };
        }
    }
}

impl List {
    /// Returns a mark of where the list ends, for [`cut`](Self::cut).
    pub(crate) fn end(&self) -> *mut Header {
        self.last
    }

    /// Appends a request of `links` links that is about to be posted. Returns whether it must be
    /// signalled although it [need not](Header::silent) be.
    ///
    /// # Safety
    ///
    /// The request must be the caller's, and be posted before the list is unlocked, or
    /// [cut](Self::cut).
    pub(crate) unsafe fn append(&mut self, header: *mut Header, links: u32) -> bool {
        // SAFETY: The request is the caller's.
        let silent = unsafe {
            (*header).next = ptr::null_mut();
            (*header).silent
        };

        // INVARIANT: It is posted after all others.
        if self.last.is_null() {
            self.first = header;
        } else {
            // SAFETY: All that are in the list are alive; the lock protects `next`.
            unsafe { (*self.last).next = header };
        }
        self.last = header;

        let count = self.silent.saturating_add(links);
        let signal = !silent || count > self.limit;
        self.silent = if signal { 0 } else { count };
        signal && silent
    }

    /// Takes out what was appended and not posted.
    ///
    /// # Safety
    ///
    /// `last` must be the last that was posted, of those appended since `end` was returned by
    /// [`end`](Self::end), or `end` if none was. The lock must have been held since.
    pub(crate) unsafe fn cut(&mut self, last: *mut Header) {
        // INVARIANT: What was after it is not posted.
        self.last = last;
        if last.is_null() {
            self.first = ptr::null_mut();
        } else {
            // SAFETY: It is in the list, so it is alive.
            unsafe { (*last).next = ptr::null_mut() };
        }
        // Who was to be signalled may be gone.
        self.silent = self.limit;
    }
}

/// Calls the handlers of requests that are done, and were not signalled.
///
/// # Safety
///
/// From `first` on to before `end`, each naming the next, must be requests that were taken out of a
/// list, and that the hardware has carried out. To be called where handlers of `cq` are, for `qp`.
unsafe fn call_handlers(
    first: *mut Header,
    end: *mut Header,
    cq: *mut bindings::ib_cq,
    qp: *mut bindings::ib_qp,
) {
    let mut header = first;

    while !ptr::eq(header, end) {
        let mut wc = bindings::ib_wc {
            __bindgen_anon_1: bindings::ib_wc__bindgen_ty_1 {
                wr_cqe: header.cast(),
            },
            status: bindings::ib_wc_status_IB_WC_SUCCESS,
            qp,
            ..pin_init::zeroed()
        };

        // SAFETY: The request is alive until its handler is called; it is in no list.
        let (next, done) = unsafe {
            (*header).order = ptr::null();
            ((*header).next, (*header).cqe.done)
        };
        if let Some(done) = done {
            // SAFETY: `wc` names the request, and says what a completion would.
            unsafe { done(cq, &mut wc) };
        }
        header = next;
    }
}
