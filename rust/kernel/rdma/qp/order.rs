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
use core::{
    mem,
    ptr, //
};
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
    /// signalled although it [need not](Header::silent) be: if too many are not, or if the queue is `full`
    /// with it, as nothing could be posted any more then that gives places back.
    ///
    /// # Safety
    ///
    /// The request must be the caller's, and be posted before the list is unlocked, or
    /// [cut](Self::cut).
    pub(crate) unsafe fn append(&mut self, header: *mut Header, links: u32, full: bool) -> bool {
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
        let signal = !silent || full || count > self.limit;
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

/// The requests of a send queue that were posted in part: a driver has refused one of their links, and has
/// taken those before. Handlers add to them, in softirq context too.
///
/// The links that were posted are not signalled, so that nothing tells when the hardware is done with them. A
/// request is kept until the queue pair is destroyed or reset, and its links take their places in the queue
/// until then.
#[pin_data]
pub(crate) struct Stranded {
    #[pin]
    list: SpinLockIrq<StrandedList>,
}

/// # Invariants
///
/// From `first` on, each naming the `next`, are requests that the list owns.
struct StrandedList {
    first: *mut Header,
    /// How many of their links were posted.
    links: u32,
}

// SAFETY: The requests are owned by the list, and are `Send`.
unsafe impl Send for StrandedList {}

impl Stranded {
    /// There is none.
    pub(crate) fn new() -> impl PinInit<Self> {
        pin_init!(Self {
            // INVARIANT: The list is empty.
            list <- new_spinlock_irq!(StrandedList {
                first: ptr::null_mut(),
                links: 0,
            }),
        })
    }

    /// Keeps a request of which `links` links were posted.
    ///
    /// # Safety
    ///
    /// The caller must own the request, and gives it up.
    pub(crate) unsafe fn add(&self, header: *mut Header, links: u32) {
        let mut list = self.list.lock();

        // INVARIANT: The request is the list's, and what was the first is behind it.
        //
        // SAFETY: The header is valid, and the caller's.
        unsafe { (*header).next = list.first };
        list.first = header;
        // OVERFLOW: The queue has not so many.
        list.links = list.links.wrapping_add(links);
    }

    /// Returns how many links of such requests were posted.
    pub(crate) fn links(&self) -> u32 {
        self.list.lock().links
    }

    /// Drops the requests. Returns how many of their links were posted.
    ///
    /// # Safety
    ///
    /// The hardware must have given them up.
    pub(crate) unsafe fn end(&self) -> u32 {
        let (mut header, links) = {
            let mut list = self.list.lock();

            // INVARIANT: The list is empty.
            (
                mem::replace(&mut list.first, ptr::null_mut()),
                mem::take(&mut list.links),
            )
        };

        while !header.is_null() {
            // SAFETY: By the type invariant, the list owned the request, and the hardware has no part of it.
            header = unsafe {
                let next = (*header).next;

                Header::drop_request(header);
                next
            };
        }
        links
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

#[kunit_tests(krdma_qp_order)]
mod tests {
    use super::*;
    use kernel::sync::atomic::{
        ordering::Relaxed,
        Atomic, //
    };

    /// Handlers that were called.
    static CALLED: Atomic<u32> = Atomic::new(0);

    /// # Safety
    ///
    /// There are no requirements.
    unsafe extern "C" fn count(_cq: *mut bindings::ib_cq, _wc: *mut bindings::ib_wc) {
        CALLED.fetch_add(1, Relaxed);
    }

    fn request(silent: bool) -> Result<KBox<Header>> {
        let mut header = KBox::new(Header::bare(count), GFP_KERNEL)?;

        header.silent = silent;
        Ok(header)
    }

    /// Completes a request, and returns how many handlers of those before it were called.
    ///
    /// # Safety
    ///
    /// The request must be in the list.
    unsafe fn complete(order: &Order, header: *mut Header) -> u32 {
        let wc = pin_init::zeroed();
        let before = CALLED.load(Relaxed);

        // SAFETY: By the function's requirements. The handlers do not look at the queue.
        unsafe { order.complete(header, ptr::null_mut(), &wc) };
        CALLED.load(Relaxed) - before
    }

    #[test]
    fn some_are_signalled_although_they_need_not_be() -> Result {
        let order = KBox::pin_init(Order::new(8), GFP_KERNEL)?;
        let mut requests: KVec<KBox<Header>> = KVec::new();
        let mut list = order.lock();

        // Links, whether the queue is full with them, and whether the last must be signalled.
        for (links, full, signal) in [
            (1, false, false),
            (3, false, false),
            // More than half of the queue.
            (1, false, true),
            (4, false, false),
            (5, false, true),
            (2, false, false),
            // Nothing after it would fit.
            (1, true, true),
            (4, false, false),
            (1, false, true),
        ] {
            let mut header = request(true)?;

            // SAFETY: The request is ours, and lives as long as the list, which no hardware works on.
            assert_eq!(unsafe { list.append(&mut *header, links, full) }, signal);
            requests.push(header, GFP_KERNEL)?;
        }
        Ok(())
    }

    #[test]
    fn a_queue_of_one_has_all_signalled() -> Result {
        let order = KBox::pin_init(Order::new(1), GFP_KERNEL)?;
        let mut header = request(true)?;

        // SAFETY: The request is ours, and lives as long as the list, which no hardware works on.
        assert!(unsafe { order.lock().append(&mut *header, 1, false) });
        Ok(())
    }

    #[test]
    fn after_a_refusal_the_next_is_signalled() -> Result {
        let order = KBox::pin_init(Order::new(8), GFP_KERNEL)?;
        let mut requests = [request(true)?, request(true)?, request(true)?];
        let [a, b, c] = requests.each_mut().map(|request| &raw mut **request);
        let mut list = order.lock();

        // SAFETY: The requests are ours, and live as long as the list, which no hardware works on.
        unsafe {
            assert!(!list.append(a, 1, false));
            let end = list.end();
            assert!(!list.append(b, 1, false));
            list.cut(end);
            assert!(ptr::eq(list.end(), a));
            assert!(list.append(c, 1, false));
            assert!(ptr::eq((*a).next, c));
        }
        Ok(())
    }

    #[test]
    fn what_is_behind_a_marker_is_not_done_with_it() -> Result {
        let order = KBox::pin_init(Order::new(8), GFP_KERNEL)?;
        let mut requests = [
            request(true)?,
            request(false)?,
            request(true)?,
            request(false)?,
        ];
        let [a, marker, b, c] = requests.each_mut().map(|request| &raw mut **request);

        // SAFETY: The requests are ours, and live as long as the list, which no hardware works on.
        unsafe {
            for header in [a, marker, b] {
                order.lock().append(header, 1, false);
            }
            assert_eq!(complete(&order, marker), 1);
            assert!(ptr::eq(order.lock().end(), b));
            order.lock().append(c, 1, false);
            assert_eq!(complete(&order, c), 1);
        }
        assert!(order.lock().end().is_null());
        Ok(())
    }
}

#[kunit_tests(krdma_qp_stranded)]
mod stranded_tests {
    use super::*;
    use crate::rdma::{
        Completion,
        Operation,
        Request, //
    };
    use kernel::sync::{
        atomic::{
            ordering::Relaxed,
            Atomic, //
        },
        Arc, //
    };

    /// Counts its drops, and must not be handled.
    struct Counted(Arc<Atomic<u32>>);

    impl Operation for Counted {
        fn done(this: Pin<KBox<Request<Self>>>, _: &Completion<'_>) {
            this.data().0.fetch_add(1000, Relaxed);
        }
    }

    impl Drop for Counted {
        fn drop(&mut self) {
            self.0.fetch_add(1, Relaxed);
        }
    }

    #[test]
    fn they_are_kept_until_the_end_and_dropped_once() -> Result {
        let stranded = KBox::pin_init(Stranded::new(), GFP_KERNEL)?;
        let dropped = Arc::new(Atomic::new(0), GFP_KERNEL)?;

        // SAFETY: There is none.
        assert_eq!(unsafe { stranded.end() }, 0);
        for round in 0..2 {
            for links in 1..=3 {
                let request = Request::new(Counted(dropped.clone()), GFP_KERNEL)?;

                // SAFETY: The request is given up.
                unsafe { stranded.add(Request::into_header(request), links) };
            }
            assert_eq!(stranded.links(), 6);
            assert_eq!(dropped.load(Relaxed), 3 * round);

            // SAFETY: No hardware has them.
            assert_eq!(unsafe { stranded.end() }, 6);
            assert_eq!(stranded.links(), 0);
            assert_eq!(dropped.load(Relaxed), 3 * (round + 1));
        }
        Ok(())
    }
}
