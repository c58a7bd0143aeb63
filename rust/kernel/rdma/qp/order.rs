// SPDX-License-Identifier: GPL-2.0

//! The order of what is posted to a send queue.
//!
//! The hardware works on a send queue in order, so that the completion of one request tells that all
//! before it are done. Those need not be signalled: which they are is known here, and their handlers
//! are called before that of the request that was. InfiniBand and RoCE promise that order; iWARP devices
//! may not keep it, and [`Qp::new`](super::Qp::new) refuses them.
//!
//! A driver may refuse a link of a request and have taken those before. Such a request is posted in part, and
//! none of its links is signalled. It stays in the order, so a later completion tells that the device is done
//! with it, and its handler is called with an error.
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
    /// Links of the listed requests that were posted in part.
    partial: u32,
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
                partial: 0,
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

        if list.partial != 0 {
            // SAFETY: Both are in the list, `first` not behind `header`.
            let links = unsafe { links_posted_in_part(first, header) };

            // OVERFLOW: They were added.
            list.partial = list.partial.wrapping_sub(links);
        }

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

    /// Returns how many links of requests that were posted in part are listed.
    pub(crate) fn partial_links(&self) -> u32 {
        self.list.lock().partial
    }

    /// Takes all requests out. Returns them, and how many of their links were posted.
    ///
    /// # Safety
    ///
    /// No request may be listed but those posted in part, and the hardware must have given them up.
    pub(crate) unsafe fn abandon(&self) -> (Abandoned, u32) {
        let mut list = self.list.lock();
        let (first, links) = (list.first, list.partial);

        // INVARIANT: The list is empty. The requests in it become those of the result.
        list.first = ptr::null_mut();
        list.last = ptr::null_mut();
        list.partial = 0;
        (Abandoned(first), links)
    }
}

/// Requests whose completion nothing tells any more. They are dropped with this, without a call of their
/// handlers.
///
/// # Invariants
///
/// From the first on, each naming the `next`, are requests that this owns.
#[must_use = "drop it with no lock held"]
pub(crate) struct Abandoned(*mut Header);

impl Drop for Abandoned {
    fn drop(&mut self) {
        let mut header = self.0;

        while !header.is_null() {
            // SAFETY: By the type invariant, we own the request.
            header = unsafe {
                let next = (*header).next;

                Header::drop_request(header);
                next
            };
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

    /// Notes that of the last request `links` links were posted, and not all. It is to be
    /// [cut](Self::cut) to.
    ///
    /// # Safety
    ///
    /// The request must be in the list, not signalled as it was posted, and the lock held since it was
    /// appended.
    pub(crate) unsafe fn note_partial(&mut self, header: *mut Header, links: u32) {
        // SAFETY: It is in the list, so it is alive. What was posted of it completes by `fault` only, which
        // uses neither field; the handler is called once the lock is released.
        unsafe {
            (*header).partial = true;
            (*header).entries = links;
        }
        // OVERFLOW: The queue has not so many.
        self.partial = self.partial.wrapping_add(links);
    }

    /// Takes out what was appended and not posted.
    ///
    /// # Safety
    ///
    /// `last` must be the last that was posted, in part or whole, of those appended since `end` was returned by
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

/// Returns how many links were posted of the requests from `first` to `last` that were posted in part.
///
/// # Safety
///
/// The requests must be in a list whose lock the caller holds, or have been taken out of it by him.
unsafe fn links_posted_in_part(first: *mut Header, last: *mut Header) -> u32 {
    let (mut header, mut links) = (first, 0u32);

    loop {
        // SAFETY: By the function's requirements, it is alive.
        let this = unsafe { &*header };

        if this.partial {
            // OVERFLOW: The queue has not so many.
            links = links.wrapping_add(this.entries);
        }
        if ptr::eq(header, last) {
            return links;
        }
        header = this.next;
    }
}

/// Calls the handlers of requests that are done, and were not signalled. Those that were posted in part have
/// failed.
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
        // SAFETY: The request is alive until its handler is called; it is in no list.
        let status = if unsafe { (*header).partial } {
            bindings::ib_wc_status_IB_WC_LOC_QP_OP_ERR
        } else {
            bindings::ib_wc_status_IB_WC_SUCCESS
        };
        let mut wc = bindings::ib_wc {
            __bindgen_anon_1: bindings::ib_wc__bindgen_ty_1 {
                wr_cqe: header.cast(),
            },
            status,
            qp,
            ..pin_init::zeroed()
        };

        // SAFETY: As above.
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

    /// Handlers that were called, and those that were told of an error.
    static CALLED: Atomic<u32> = Atomic::new(0);
    static FAILED: Atomic<u32> = Atomic::new(0);

    /// # Safety
    ///
    /// `wc` must be valid.
    unsafe extern "C" fn count(_cq: *mut bindings::ib_cq, wc: *mut bindings::ib_wc) {
        CALLED.fetch_add(1, Relaxed);
        // SAFETY: By the function's requirements.
        if unsafe { (*wc).status } != bindings::ib_wc_status_IB_WC_SUCCESS {
            FAILED.fetch_add(1, Relaxed);
        }
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
        // Links, whether the queue is full with them, and whether the last must be signalled.
        let cases = [
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
        ];

        for _ in cases {
            requests.push(request(true)?, GFP_KERNEL)?;
        }
        let mut list = order.lock();
        for ((links, full, signal), header) in cases.into_iter().zip(requests.iter_mut()) {
            // SAFETY: The request is ours, and lives as long as the list, which no hardware works on.
            assert_eq!(unsafe { list.append(&mut **header, links, full) }, signal);
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

    #[test]
    fn what_was_posted_in_part_fails_with_a_later_one() -> Result {
        let order = KBox::pin_init(Order::new(8), GFP_KERNEL)?;
        let mut requests = [
            request(true)?,
            request(true)?,
            request(true)?,
            request(true)?,
            request(false)?,
        ];
        let [a, b, c, d, e] = requests.each_mut().map(|request| &raw mut **request);
        let failed = FAILED.load(Relaxed);

        // SAFETY: The requests are ours, and live as long as the list, which no hardware works on.
        unsafe {
            let mut list = order.lock();
            for (header, links) in [(a, 1), (b, 3), (c, 1)] {
                list.append(header, links, false);
            }
            list.note_partial(b, 2);
            list.cut(b);
            assert!(ptr::eq(list.end(), b));
            // What comes next is signalled.
            assert!(list.append(d, 1, false));
            drop(list);
            assert_eq!(order.partial_links(), 2);

            assert_eq!(complete(&order, a), 0);
            assert_eq!(order.partial_links(), 2);
            assert_eq!(complete(&order, d), 1);
            assert_eq!(order.partial_links(), 0);
            assert_eq!(FAILED.load(Relaxed), failed + 1);

            order.lock().append(e, 1, false);
            assert_eq!(complete(&order, e), 0);
        }
        assert_eq!(FAILED.load(Relaxed), failed + 1);
        Ok(())
    }

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
    fn what_nothing_completes_is_dropped_once() -> Result {
        let order = KBox::pin_init(Order::new(8), GFP_KERNEL)?;
        let dropped = Arc::new(Atomic::new(0), GFP_KERNEL)?;

        for round in 0..2 {
            for links in 1..=3 {
                let header =
                    Request::into_header(Request::new(Counted(dropped.clone()), GFP_KERNEL)?);
                let mut list = order.lock();

                // SAFETY: The request is the list's from here on.
                unsafe {
                    list.append(header, links + 1, false);
                    list.note_partial(header, links);
                    list.cut(header);
                }
            }
            assert_eq!(order.partial_links(), 6);

            // SAFETY: All were posted in part, and no hardware has them.
            let (abandoned, links) = unsafe { order.abandon() };
            assert_eq!(links, 6);
            assert_eq!(order.partial_links(), 0);
            assert!(order.lock().end().is_null());
            assert_eq!(dropped.load(Relaxed), 3 * round);
            drop(abandoned);
            assert_eq!(dropped.load(Relaxed), 3 * (round + 1));
        }
        Ok(())
    }
}
