// SPDX-License-Identifier: GPL-2.0

//! Requests that were posted in part: a driver has refused one of their links, and has taken those before.
//!
//! The links that were posted are not signalled, so that nothing tells when the hardware is done with them.
//! The request is kept until the queue pair is destroyed or reset, and its links take their places in the
//! send queue until then.
//!
//! C header: [`include/rdma/ib_verbs.h`](srctree/include/rdma/ib_verbs.h) (`ib_post_send`)

use crate::rdma::request::Header;
use core::{
    mem,
    ptr, //
};
use kernel::{
    new_spinlock_irq,
    prelude::*,
    sync::SpinLockIrq, //
};

/// The requests of a send queue that were posted in part. Handlers add to them, in softirq context too.
#[pin_data]
pub(crate) struct Stranded {
    #[pin]
    list: SpinLockIrq<List>,
}

/// # Invariants
///
/// From `first` on, each naming the `next`, are requests that the list owns.
struct List {
    first: *mut Header,
    /// How many of their links were posted.
    links: u32,
}

// SAFETY: The requests are owned by the list, and are `Send`.
unsafe impl Send for List {}

impl Stranded {
    /// There is none.
    pub(crate) fn new() -> impl PinInit<Self> {
        pin_init!(Self {
            // INVARIANT: The list is empty.
            list <- new_spinlock_irq!(List {
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

#[kunit_tests(krdma_qp_stranded)]
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
