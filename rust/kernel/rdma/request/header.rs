// SPDX-License-Identifier: GPL-2.0

//! What requests have in common: whom they tell of their end.

use crate::{
    bindings,
    rdma::{
        mr::{
            End,
            Exposure,
            Round,
            Stamp, //
        },
        qp::Ordered,
        room::Room,
        srq::Posted, //
    },
};
use core::{
    mem::{
        self,
        offset_of, //
    },
    ptr, //
};
use kernel::sync::atomic::Atomic;

/// What the hardware, and the queue that a request is in, know of it. It is at the start of each.
#[repr(C)]
pub(crate) struct Header {
    /// Completes the request. Where it is listed while it is in a send queue.
    pub(crate) ordered: Ordered,
    /// Notes that a link of the request other than the last failed. Those are not signalled, so
    /// they complete only if they fail.
    pub(crate) fault: bindings::ib_cqe,
    /// What the first link that failed failed with, or success.
    pub(super) status: bindings::ib_wc_status,
    /// Where the request is listed while it is in a shared receive queue.
    pub(crate) posted: Posted,
    /// The queue that the request has `entries` of, or null.
    pub(crate) room: *const Room,
    /// How many entries of a queue the request takes.
    pub(crate) entries: u32,
    /// Counts the requests that are sent, the request among them, or is null. Whoever it belongs to
    /// waits for the count.
    pub(crate) counted: *const Atomic<u32>,
    /// Of a receive: when it was posted.
    pub(crate) posted_at: Stamp,
    /// The region that a link of the request registers, if one does.
    pub(crate) registers: Tie,
    /// The region that a link of the request revokes, if one does.
    pub(crate) revokes: Tie,
    /// Drops the request, whatever its type.
    drop: unsafe fn(*mut Header),
}

impl Header {
    /// Returns the header of the request that a pointer to its `cqe` is of.
    #[inline]
    pub(super) fn of_cqe(cqe: *mut bindings::ib_cqe) -> *mut Self {
        // `Ordered` begins with it.
        const { assert!(offset_of!(Header, ordered) == 0) };
        cqe.cast()
    }

    /// Makes the header of a request. `done` is called when it completes, and `drop` if it is given up.
    pub(super) fn new(
        done: unsafe extern "C" fn(*mut bindings::ib_cq, *mut bindings::ib_wc),
        drop: unsafe fn(*mut Header),
    ) -> Self {
        Self {
            ordered: Ordered::new(done, drop_ordered),
            fault: bindings::ib_cqe {
                done: Some(fault_callback),
            },
            status: bindings::ib_wc_status_IB_WC_SUCCESS,
            posted: Posted::new(),
            room: ptr::null(),
            entries: 0,
            counted: ptr::null(),
            posted_at: Stamp::OLDEST,
            registers: Tie::NONE,
            revokes: Tie::NONE,
            drop,
        }
    }

    /// Sets the header up for a new round.
    #[inline]
    pub(super) fn reset(&mut self) {
        self.status = bindings::ib_wc_status_IB_WC_SUCCESS;
        self.ordered.reset();
        self.room = ptr::null();
        self.counted = ptr::null();
        self.registers = Tie::NONE;
        self.revokes = Tie::NONE;
    }

    /// Notes how the request has ended for the regions that it registers or revokes.
    ///
    /// # Safety
    ///
    /// `this` must be the header of a request of which the hardware has no part any more, and `end` must be
    /// as the hardware, or its absence, says.
    pub(crate) unsafe fn settle(this: *mut Self, end: End) {
        // SAFETY: The header is valid, by the function's requirements. What the request owns is alive, the
        // regions among it.
        unsafe {
            let registers = mem::replace(&mut (*this).registers, Tie::NONE);
            let revokes = mem::replace(&mut (*this).revokes, Tie::NONE);

            if let Some(exposure) = registers.exposure.as_ref() {
                exposure.registered(registers.round, end);
            }
            if let Some(exposure) = revokes.exposure.as_ref() {
                exposure.invalidated(revokes.round, end);
            }
        }
    }

    /// Drops the request that a header is of.
    ///
    /// # Safety
    ///
    /// `this` must be the header of a request that the caller owns, and gives up.
    pub(crate) unsafe fn drop_request(this: *mut Self) {
        // SAFETY: The header is valid, by the function's requirements; so are those of `drop`. Of a request
        // that was not posted this says less than is known.
        unsafe {
            Self::settle(this, End::Unknown);
            ((*this).drop)(this);
        }
    }
}

/// A region that a request is tied to, and the round of its keys that the request is of.
pub(crate) struct Tie {
    pub(crate) exposure: *const Exposure,
    pub(crate) round: Round,
}

impl Tie {
    pub(crate) const NONE: Self = Self {
        exposure: ptr::null(),
        round: Round::NONE,
    };

    pub(crate) fn is_none(&self) -> bool {
        self.exposure.is_null()
    }
}

/// Drops the request that a place in the order is of.
///
/// # Safety
///
/// `place` must be that of a request whose header the caller owns, and gives up.
unsafe fn drop_ordered(place: *mut Ordered) {
    // SAFETY: A header begins with its place. The rest is the function's requirement.
    unsafe { Header::drop_request(place.cast()) };
}

/// # Safety
///
/// To be called by the completion queue only, as `ib_cqe::done` of [`Header::fault`].
unsafe extern "C" fn fault_callback(_cq: *mut bindings::ib_cq, wc: *mut bindings::ib_wc) {
    // SAFETY: `wc` is valid for this call.
    let (cqe, status) = unsafe { ((*wc).__bindgen_anon_1.wr_cqe, (*wc).status) };
    // SAFETY: The pointer is one to the field of a header. The request is alive: its last link
    // completes after this one, in the same queue. InfiniBand and RoCE promise this order, and `Qp::new`
    // refuses other devices.
    let header = unsafe { cqe.byte_sub(offset_of!(Header, fault)) }.cast::<Header>();

    // SAFETY: As above. Completion handlers of a queue do not overlap.
    unsafe {
        if (*header).status == bindings::ib_wc_status_IB_WC_SUCCESS {
            (*header).status = status;
        }
    }
}
