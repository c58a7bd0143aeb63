// SPDX-License-Identifier: GPL-2.0

//! How the queues of a queue pair are emptied: for [`Qp::drain`](super::Qp::drain), for a reset, and when
//! it goes.
//!
//! There is one way. The queues are shut, so that nobody posts any more: not the handlers that run
//! meanwhile either, and the count of entries in use shows who was about to. The queue pair is moved to
//! the error state, and then a [`Marker`] goes through each queue until nothing is in use when it sets
//! out. A marker completes behind all that was posted before it, and handlers of one completion queue do
//! not overlap. So when the last one has come through, all handlers have returned. In a send queue a marker
//! has its place in the [`Order`](super::Order), as what is posted behind it is not done when it is.
//!
//! The RDMA core's `ib_drain_sq()` and `ib_drain_rq()` are for completion queues of `ib_alloc_cq()`, which
//! the core polls. They are used for those of the pool, which are such.
//!
//! C header: [`include/rdma/ib_verbs.h`](srctree/include/rdma/ib_verbs.h)

use super::{
    order::{
        Abandoned,
        Ordered, //
    },
    Inner,
    ReceiveQueue, //
};
use crate::{
    bindings,
    rdma::Cq, //
};
use core::ptr;
use kernel::{
    prelude::*,
    sync::atomic::ordering::Acquire,
    time::{
        delay::fsleep,
        msecs_to_jiffies,
        Delta, //
    },
    types::Opaque, //
};

/// How long to wait for a device to say that it takes no more requests of a shared queue. It does at
/// once, if it says so at all: so long does the RDMA core wait.
const LAST_WQE_TIMEOUT: u32 = 60 * 1000;

/// How long to wait before the entries in use are looked at again.
const PAUSE: Delta = Delta::from_millis(1);

/// How long to wait before something that a device has refused is tried again.
const RETRY: Delta = Delta::from_millis(100);

impl Inner {
    /// Waits until the handlers of all that is posted have returned. Nothing can be posted meanwhile.
    ///
    /// May sleep. Errors: [`EDEADLK`] if it is called by a handler that it would wait for.
    pub(super) fn drain(&self) -> Result {
        self.refuse_handlers()?;
        let _guard = self.emptying.lock();

        self.empty();
        self.unshut();
        Ok(())
    }

    /// Errors: [`EDEADLK`] if the caller is in a handler of a completion queue that is waited for when the
    /// queues are emptied.
    pub(super) fn refuse_handlers(&self) -> Result {
        let recv_cq = match &self.receive {
            ReceiveQueue::Own(reservation) => reservation.cq(),
            ReceiveQueue::Shared(srq) => srq.cq(),
        };

        if self.send_cq.cq().is_handling() || recv_cq.is_handling() {
            return Err(EDEADLK);
        }
        Ok(())
    }

    /// Shuts the queues and empties them. Returns whether the queue pair was used: it is in the error
    /// state then.
    ///
    /// To be called with `emptying` locked, or by the drop. May sleep. Must not be called by a handler.
    pub(super) fn empty(&self) -> bool {
        self.send_room.shut();
        self.recv_room.shut();
        if !*self.used.lock() {
            // Nothing could be posted.
            return false;
        }

        self.insist_on_failure();
        if let ReceiveQueue::Shared(_) = self.receive {
            self.end_receives();
        }
        loop {
            // Not after the markers: a handler gives its entries back before it runs.
            let idle = self.is_idle();

            self.pass_markers();
            if idle {
                return true;
            }
            // Who was about to post when the queues were shut has done so by and by, and gets it back.
            while !self.is_idle() {
                self.pass_markers();
                fsleep(PAUSE);
            }
        }
    }

    /// Lets requests in again, where the state allows it.
    pub(super) fn unshut(&self) {
        self.recv_room.unshut();
        self.send_room.unshut();
    }

    /// Forgets what was said of a shared queue, and the requests that were posted in part and not completed,
    /// as the device has taken no marker. To be called after a reset, with the queues shut and emptied.
    pub(super) fn forget(&self) -> Abandoned {
        // The queue pair can take requests of a shared queue again.
        //
        // SAFETY: The completion was initialized; its count is a single word.
        unsafe { (&raw mut (*self.last_wqe.get()).done).write_volatile(0) };
        // SAFETY: Nothing else is in use in the send queue, as that was emptied and is shut. The hardware has
        // given up all that was posted, as the queue pair was reset.
        let (abandoned, links) = unsafe { self.order.abandon() };

        self.send_room.give_back(links);
        abandoned
    }

    /// Moves the queue pair to the error state, however often it takes: before that the device works on
    /// what is posted, and what it names must stay.
    fn insist_on_failure(&self) {
        while let Err(err) = self.fail() {
            // A device that refuses one refuses others, too.
            kernel::pr_err_once!(
                "{}: a queue pair can't be moved to the error state: {:?}\n",
                self.pd.device().name(),
                err
            );
            fsleep(RETRY);
        }
    }

    /// Waits until the device takes no more requests of a shared receive queue for the queue pair, which
    /// is in the error state: those that it has taken are completed then.
    ///
    /// A device that does not say so either has no request, or takes what it has completed with it
    /// when the queue pair is destroyed.
    fn end_receives(&self) {
        // SAFETY: The completion was initialized.
        unsafe {
            bindings::wait_for_completion_timeout(
                self.last_wqe.get(),
                msecs_to_jiffies(LAST_WQE_TIMEOUT),
            )
        };
    }

    /// Whether all that was posted has completed, but requests that were posted in part, and nobody is about to
    /// post. Handlers may still run, but those of datagrams that were sent.
    ///
    /// A marker completes requests that were posted in part. A device that takes none is not waited for.
    ///
    /// To be called with the queues shut.
    fn is_idle(&self) -> bool {
        // Before the entries in use, among which they are.
        let partial = self.order.partial_links();

        self.send_room.used() <= partial
            && self.recv_room.used() == 0
            // The acquire pairs with the release of each handler that has returned.
            && self.sending.load(Acquire) == 0
    }

    /// Waits until the handlers of all that has completed have returned, in the error state.
    fn pass_markers(&self) {
        let qp = self.ptr.as_ptr();
        let send_cq = self.send_cq.cq();

        if self.qp_type.is_datagram() {
            // They have no request that could be a marker, and are counted instead.
            if !send_cq.is_pooled() {
                send_cq.quiesce();
            }
        } else {
            if send_cq.is_pooled() {
                // Of a device that has failed some drivers have requests taken here only.
                //
                // SAFETY: By the type invariant, we own the queue pair. There is an entry for a request
                // in the queue and in its completion queue, which was made by `ib_alloc_cq()`.
                unsafe { bindings::ib_drain_sq(qp) };
            }
            Marker::pass(send_cq, |marker| self.post_to_order(marker));
        }
        match &self.receive {
            ReceiveQueue::Own(reservation) if reservation.cq().is_pooled() => {
                // SAFETY: As for the send queue.
                unsafe { bindings::ib_drain_rq(qp) };
            }
            ReceiveQueue::Own(reservation) => Marker::pass(reservation.cq(), |marker| {
                let receive = bindings::ib_recv_wr {
                    __bindgen_anon_1: bindings::ib_recv_wr__bindgen_ty_1 {
                        wr_cqe: marker.cast(),
                    },
                    ..pin_init::zeroed()
                };
                let mut bad = ptr::null();

                // SAFETY: By the type invariant, we own the queue pair. There is an entry for the request,
                // which lives until it is completed.
                unsafe { bindings::ib_post_recv(qp, &receive, &mut bad) == 0 }
            }),
            // The requests stay in the shared queue, but for those that this queue pair has taken. With
            // one that completes in the pool, the marker of the send queue was behind those.
            ReceiveQueue::Shared(srq) => {
                if !srq.cq().is_pooled() {
                    srq.cq().quiesce();
                }
            }
        }
    }

    /// Posts a marker to the send queue, in the order of what is posted there. Returns whether it was.
    ///
    /// Those who were about to post when the queues were shut may do so now. With the order locked, what
    /// it lists before the marker is what the hardware has before it.
    fn post_to_order(&self, marker: *mut Ordered) -> bool {
        let write = bindings::ib_rdma_wr {
            wr: bindings::ib_send_wr {
                __bindgen_anon_1: bindings::ib_send_wr__bindgen_ty_1 {
                    wr_cqe: marker.cast(),
                },
                opcode: bindings::ib_wr_opcode_IB_WR_RDMA_WRITE,
                send_flags: bindings::ib_send_flags_IB_SEND_SIGNALED as c_int,
                ..pin_init::zeroed()
            },
            ..pin_init::zeroed()
        };
        let mut bad = ptr::null();
        let mut order = self.order.lock();
        let before = order.end();

        // SAFETY: `marker` is the caller's, and posted or cut before the lock is released.
        unsafe { order.append(&self.order, marker, 1, false) };
        // SAFETY: By the type invariant, we own the queue pair. There is an entry for the request, which
        // lives until it is completed.
        let posted = unsafe { bindings::ib_post_send(self.ptr.as_ptr(), &write.wr, &mut bad) == 0 };
        if !posted {
            // SAFETY: The order was locked all along, and the marker was not posted.
            unsafe { order.cut(before) };
        }
        posted
    }
}

#[pinned_drop]
impl PinnedDrop for Inner {
    fn drop(self: Pin<&mut Self>) {
        self.empty();

        // SAFETY: By the type invariant, we own the queue pair. Nothing is posted any more, and no handler
        // runs.
        unsafe { bindings::ib_destroy_qp_user(self.ptr.as_ptr(), ptr::null_mut()) };

        // SAFETY: The queue was emptied, and the hardware has given up the queue pair.
        let (abandoned, _) = unsafe { self.order.abandon() };

        drop(abandoned);
    }
}

/// A request of ours that goes through a queue behind what was posted before it.
///
/// # Invariants
///
/// `done` is initialized when the marker is posted.
#[repr(C)]
struct Marker {
    ordered: Ordered,
    done: Opaque<bindings::completion>,
}

impl Marker {
    /// Posts a marker by `post`, which returns whether it was, and waits until it comes out of `cq`. If
    /// the device takes none, waits for the handlers of what is in `cq`.
    ///
    /// Where it comes out of a send queue, the handlers of what is before it in the order are called first:
    /// the device has carried these out, and has not signalled them.
    fn pass(cq: &Cq, post: impl FnOnce(*mut Ordered) -> bool) {
        let mut marker = Self {
            ordered: Ordered::new(Self::callback, Self::keep),
            done: Opaque::uninit(),
        };

        // INVARIANT: It is done before the marker is posted.
        //
        // SAFETY: `done` is not moved from here on.
        unsafe { bindings::init_completion(marker.done.get()) };
        if !post((&raw mut marker).cast()) {
            if !cq.is_pooled() {
                cq.quiesce();
            }
            return;
        }
        if !cq.is_direct() {
            // SAFETY: The completion was initialized.
            unsafe { bindings::wait_for_completion(marker.done.get()) };
            return;
        }
        // Nobody else may poll the queue.
        //
        // SAFETY: As above.
        while unsafe {
            bindings::wait_for_completion_timeout(marker.done.get(), msecs_to_jiffies(1))
        } == 0
        {
            cq.quiesce();
        }
    }

    /// Nothing drops a marker but who waits for it.
    ///
    /// # Safety
    ///
    /// There are no requirements: the field that it is for takes unsafe functions.
    unsafe fn keep(_place: *mut Ordered) {}

    /// # Safety
    ///
    /// To be called by the completion queue only, as `ib_cqe::done` of a [`Marker`].
    unsafe extern "C" fn callback(cq: *mut bindings::ib_cq, wc: *mut bindings::ib_wc) {
        // SAFETY: `wc` names the `cqe`, which is at the start of a `Marker`, which waits for
        // this.
        let marker = unsafe { (*wc).__bindgen_anon_1.wr_cqe }.cast::<Self>();

        // SAFETY: As above; the marker was posted, and this is its handler. The hardware is done with what is before
        // the marker in an order and not completed, as it has flushed the marker.
        unsafe { Ordered::complete(&raw mut (*marker).ordered, cq, wc) };
        // SAFETY: The completion was initialized. The marker may be gone after.
        unsafe { bindings::complete((*marker).done.get()) };
    }
}
