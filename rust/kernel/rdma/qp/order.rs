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

use crate::bindings;
use core::{
    mem::offset_of,
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

/// The place of a request in the order of a send queue. It is at the start of each request, as is the `cqe` that
/// the hardware finds it by.
///
/// # Invariants
///
/// `order` is null if the request was not appended to an order since it was [reset](Self::reset), or its handler was
/// called by one. Else it is that order, which exists until the handler of the request has returned.
#[repr(C)]
pub(crate) struct Ordered {
    /// Completes the request.
    cqe: bindings::ib_cqe,
    order: *const Order,
    /// The request that was posted after this one, if that is in the order.
    next: *mut Ordered,
    /// Whether the request need not be signalled.
    silent: bool,
    /// How many links of the request a driver has taken that has refused the next one, else 0. Protected by the
    /// lock of the order while the request is in it.
    partial: u32,
    /// Drops the request, whatever its type.
    drop: unsafe fn(*mut Ordered),
}

impl Ordered {
    /// The place of a request that is in no order. `done` is called when it completes, and `drop` with a pointer to
    /// this if nothing completes it.
    pub(crate) fn new(
        done: unsafe extern "C" fn(*mut bindings::ib_cq, *mut bindings::ib_wc),
        drop: unsafe fn(*mut Ordered),
    ) -> Self {
        const { assert!(offset_of!(Ordered, cqe) == 0) };
        // INVARIANT: There is no order.
        Self {
            cqe: bindings::ib_cqe { done: Some(done) },
            order: ptr::null(),
            next: ptr::null_mut(),
            silent: false,
            partial: 0,
            drop,
        }
    }

    /// Forgets the order that the request was in. It is in none any more: who owns it does this.
    #[inline]
    pub(crate) fn reset(&mut self) {
        // INVARIANT: There is no order.
        self.order = ptr::null();
        self.silent = false;
        self.partial = 0;
    }

    /// Sets whether the request need not be signalled.
    #[inline]
    pub(crate) fn set_silent(&mut self, silent: bool) {
        self.silent = silent;
    }

    /// Returns how many links of the request were posted, if that is not all of them.
    #[inline]
    pub(crate) fn partial(&self) -> Option<u32> {
        (self.partial != 0).then_some(self.partial)
    }

    /// Takes the request out of the order that it is in, if it is in one; before that calls the handlers of those
    /// before it.
    ///
    /// # Safety
    ///
    /// `this` must be of a request that was posted since it was made or [reset](Self::reset). To be called once, by its
    /// completion handler, which got `cq` and `wc`.
    #[inline]
    pub(crate) unsafe fn complete(
        this: *mut Self,
        cq: *mut bindings::ib_cq,
        wc: *const bindings::ib_wc,
    ) {
        // SAFETY: By the function's requirements, the request is alive; by the type invariant, so is the order.
        if let Some(order) = unsafe { (*this).order.as_ref() } {
            // SAFETY: The request was appended to the order and, as it was posted, not cut. Nobody has taken it out:
            // that is done here, or by another handler, which sets `order` to null. The rest is the function's
            // requirement.
            unsafe { order.complete(this, cq, wc) };
        }
    }
}

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
    first: *mut Ordered,
    last: *mut Ordered,
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
    unsafe fn complete(
        &self,
        place: *mut Ordered,
        cq: *mut bindings::ib_cq,
        wc: *const bindings::ib_wc,
    ) {
        let mut list = self.list.lock();
        let first = list.first;
        // SAFETY: The request is in the list, so it is alive, and its `next` is valid.
        let next = unsafe { (*place).next };

        if list.partial != 0 {
            // SAFETY: Both are in the list, `first` not behind `place`.
            let links = unsafe { links_posted_in_part(first, place) };

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

        if !ptr::eq(first, place) {
            // SAFETY: These were in the list up to now. `wc` is valid.
            unsafe { call_handlers(first, place, cq, (*wc).qp) };
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
pub(crate) struct Abandoned(*mut Ordered);

impl Drop for Abandoned {
    fn drop(&mut self) {
        let mut place = self.0;

        while !place.is_null() {
            // SAFETY: By the type invariant, we own the request.
            place = unsafe {
                let next = (*place).next;

                ((*place).drop)(place);
                next
            };
        }
    }
}

impl List {
    /// Returns a mark of where the list ends, for [`cut`](Self::cut).
    pub(crate) fn end(&self) -> *mut Ordered {
        self.last
    }

    /// Appends a request of `links` links that is about to be posted to the queue of `order`, whose list
    /// this is.
    ///
    /// Returns whether it must be signalled although it [need not](Ordered::set_silent) be: if too many are not,
    /// or if the queue is `full` with it, as nothing could be posted any more then that gives places back.
    ///
    /// # Safety
    ///
    /// The request must be the caller's, and be posted before the list is unlocked, or
    /// [cut](Self::cut). `order` must not go before the handler of the request has returned.
    pub(crate) unsafe fn append(
        &mut self,
        order: &Order,
        place: *mut Ordered,
        links: u32,
        full: bool,
    ) -> bool {
        // INVARIANT: It is the order that the request is appended to. By the function's requirements it exists long
        // enough.
        //
        // SAFETY: The request is the caller's.
        let silent = unsafe {
            (*place).order = order;
            (*place).next = ptr::null_mut();
            (*place).silent
        };

        // INVARIANT: It is posted after all others.
        if self.last.is_null() {
            self.first = place;
        } else {
            // SAFETY: All that are in the list are alive; the lock protects `next`.
            unsafe { (*self.last).next = place };
        }
        self.last = place;

        let count = self.silent.saturating_add(links);
        let signal = !silent || full || count > self.limit;
        self.silent = if signal { 0 } else { count };
        signal && silent
    }

    /// Notes that of the last request `links` links were posted, at least one and not all. It is to be
    /// [cut](Self::cut) to.
    ///
    /// # Safety
    ///
    /// The request must be in the list, not signalled as it was posted, and the lock held since it was
    /// appended.
    pub(crate) unsafe fn note_partial(&mut self, place: *mut Ordered, links: u32) {
        // SAFETY: It is in the list, so it is alive. What was posted of it completes by another `cqe`, whose
        // handler does not use the field; that of the request is called once the lock is released.
        unsafe { (*place).partial = links };
        // OVERFLOW: The queue has not so many.
        self.partial = self.partial.wrapping_add(links);
    }

    /// Takes out what was appended and not posted.
    ///
    /// # Safety
    ///
    /// `last` must be the last that was posted, in part or whole, of those appended since `end` was returned by
    /// [`end`](Self::end), or `end` if none was. The lock must have been held since.
    pub(crate) unsafe fn cut(&mut self, last: *mut Ordered) {
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
unsafe fn links_posted_in_part(first: *mut Ordered, last: *mut Ordered) -> u32 {
    let (mut place, mut links) = (first, 0u32);

    loop {
        // SAFETY: By the function's requirements, it is alive.
        let this = unsafe { &*place };

        // OVERFLOW: The queue has not so many.
        links = links.wrapping_add(this.partial);
        if ptr::eq(place, last) {
            return links;
        }
        place = this.next;
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
    first: *mut Ordered,
    end: *mut Ordered,
    cq: *mut bindings::ib_cq,
    qp: *mut bindings::ib_qp,
) {
    let mut place = first;

    while !ptr::eq(place, end) {
        // SAFETY: The request is alive until its handler is called; it is in no list.
        let status = if unsafe { (*place).partial } != 0 {
            bindings::ib_wc_status_IB_WC_LOC_QP_OP_ERR
        } else {
            bindings::ib_wc_status_IB_WC_SUCCESS
        };
        let mut wc = bindings::ib_wc {
            __bindgen_anon_1: bindings::ib_wc__bindgen_ty_1 {
                wr_cqe: place.cast(),
            },
            status,
            qp,
            ..pin_init::zeroed()
        };

        // SAFETY: As above.
        //
        // INVARIANT: The request is in no order any more.
        let (next, done) = unsafe {
            (*place).order = ptr::null();
            ((*place).next, (*place).cqe.done)
        };
        if let Some(done) = done {
            // SAFETY: `wc` names the request, and says what a completion would.
            unsafe { done(cq, &mut wc) };
        }
        place = next;
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

    /// # Safety
    ///
    /// There are no requirements: the field that it is for takes unsafe functions.
    unsafe fn drop_nothing(_place: *mut Ordered) {}

    fn request(silent: bool) -> Result<KBox<Ordered>> {
        let mut header = KBox::new(Ordered::new(count, drop_nothing), GFP_KERNEL)?;

        header.silent = silent;
        Ok(header)
    }

    /// Completes a request, and returns how many handlers of those before it were called.
    ///
    /// # Safety
    ///
    /// The request must be in the list.
    unsafe fn complete(order: &Order, header: *mut Ordered) -> u32 {
        let wc = pin_init::zeroed();
        let before = CALLED.load(Relaxed);

        // SAFETY: By the function's requirements. The handlers do not look at the queue.
        unsafe { order.complete(header, ptr::null_mut(), &wc) };
        CALLED.load(Relaxed) - before
    }

    #[test]
    fn some_are_signalled_although_they_need_not_be() -> Result {
        let order = KBox::pin_init(Order::new(8), GFP_KERNEL)?;
        let mut requests: KVec<KBox<Ordered>> = KVec::new();
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
            assert_eq!(
                unsafe { list.append(&order, &mut **header, links, full) },
                signal
            );
        }
        Ok(())
    }

    #[test]
    fn a_queue_of_one_has_all_signalled() -> Result {
        let order = KBox::pin_init(Order::new(1), GFP_KERNEL)?;
        let mut header = request(true)?;

        // SAFETY: The request is ours, and lives as long as the list, which no hardware works on.
        assert!(unsafe { order.lock().append(&order, &mut *header, 1, false) });
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
            assert!(!list.append(&order, a, 1, false));
            let end = list.end();
            assert!(!list.append(&order, b, 1, false));
            list.cut(end);
            assert!(ptr::eq(list.end(), a));
            assert!(list.append(&order, c, 1, false));
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
                order.lock().append(&order, header, 1, false);
            }
            assert_eq!(complete(&order, marker), 1);
            assert!(ptr::eq(order.lock().end(), b));
            order.lock().append(&order, c, 1, false);
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
                list.append(&order, header, links, false);
            }
            list.note_partial(b, 2);
            list.cut(b);
            assert!(ptr::eq(list.end(), b));
            // What comes next is signalled.
            assert!(list.append(&order, d, 1, false));
            drop(list);
            assert_eq!(order.partial_links(), 2);

            assert_eq!(complete(&order, a), 0);
            assert_eq!(order.partial_links(), 2);
            assert_eq!(complete(&order, d), 1);
            assert_eq!(order.partial_links(), 0);
            assert_eq!(FAILED.load(Relaxed), failed + 1);

            order.lock().append(&order, e, 1, false);
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
                    let header = &raw mut (*header).ordered;
                    list.append(&order, header, links + 1, false);
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
