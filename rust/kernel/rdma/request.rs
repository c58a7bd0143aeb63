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

use crate::{
    bindings,
    rdma::{
        mr::{
            End,
            Exposure,
            Round,
            Stamp, //
        },
        qp::{
            Any,
            Order,
            Poster, //
        },
        room::Room,
        srq::Posted,
        Device,
        Pd, //
    },
};
use core::{
    marker::PhantomData,
    mem::offset_of,
    ptr, //
};
use kernel::{
    prelude::*,
    sync::atomic::{
        ordering::Release,
        Atomic, //
    },
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

/// What the hardware finds a request by. It is at the start of each.
#[repr(C)]
pub(crate) struct Header {
    /// Completes the request.
    pub(crate) cqe: bindings::ib_cqe,
    /// Notes that a link of the request other than the last failed. Those are not signalled, so
    /// they complete only if they fail.
    pub(crate) fault: bindings::ib_cqe,
    /// What the first link that failed failed with, or success.
    status: bindings::ib_wc_status,
    /// Where the request is listed while it is in a shared receive queue.
    pub(crate) posted: Posted,
    /// The order of the send queue that the request is in, or null.
    pub(crate) order: *const Order,
    /// The request that was posted after this one, if that is in the order.
    pub(crate) next: *mut Header,
    /// Whether the request need not be signalled.
    pub(crate) silent: bool,
    /// Whether a driver has refused a link of the request and taken those before. Protected by the
    /// lock of the order.
    pub(crate) partial: bool,
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
    fn of_cqe(cqe: *mut bindings::ib_cqe) -> *mut Self {
        const { assert!(offset_of!(Header, cqe) == 0) };
        cqe.cast()
    }

    /// Makes the header of a request that is not in a [`Request`] and owns nothing: `done` is called when
    /// it completes.
    pub(crate) fn bare(
        done: unsafe extern "C" fn(*mut bindings::ib_cq, *mut bindings::ib_wc),
    ) -> Self {
        Self {
            cqe: bindings::ib_cqe { done: Some(done) },
            fault: bindings::ib_cqe {
                done: Some(fault_callback),
            },
            status: bindings::ib_wc_status_IB_WC_SUCCESS,
            posted: Posted::new(),
            order: ptr::null(),
            next: ptr::null_mut(),
            silent: false,
            partial: false,
            room: ptr::null(),
            entries: 0,
            counted: ptr::null(),
            posted_at: Stamp::OLDEST,
            registers: Tie::NONE,
            revokes: Tie::NONE,
            drop: drop_nothing,
        }
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
            let registers = core::mem::replace(&mut (*this).registers, Tie::NONE);
            let revokes = core::mem::replace(&mut (*this).revokes, Tie::NONE);

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
                    unsafe { header.write(Self::new_header()) };
                }),
                data <- data,
            }),
            flags,
        )
    }

    fn new_header() -> Header {
        Header {
            drop: Self::drop_callback,
            ..Header::bare(Self::done_callback)
        }
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
        unsafe {
            (*header).status = bindings::ib_wc_status_IB_WC_SUCCESS;
            (*header).order = ptr::null();
            (*header).silent = false;
            (*header).partial = false;
            (*header).room = ptr::null();
            (*header).counted = ptr::null();
            (*header).registers = Tie::NONE;
            (*header).revokes = Tie::NONE;
        }
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
        // SAFETY: The header is valid. The queue pair that the order belongs to waits for this handler
        // before it goes.
        if let Some(order) = unsafe { (*header).order.as_ref() } {
            // SAFETY: The request is in the order, as that is not null. This is its handler.
            unsafe { order.complete(header, cq, wc) };
        }
        // SAFETY: The header is valid, and completion handlers of a queue do not overlap.
        let (first, posted, posted_at, room, entries, counted, tied) = unsafe {
            (
                (*header).status,
                &raw mut (*header).posted,
                (*header).posted_at,
                (*header).room,
                (*header).entries,
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

        let completion = Completion {
            // SAFETY: `wc` is valid for this call, and not written any more.
            wc: unsafe { &*wc },
            first,
            posted_at,
        };
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

/// Drops a request that owns nothing.
///
/// # Safety
///
/// There are no requirements: the field that it is for takes unsafe functions.
unsafe fn drop_nothing(_header: *mut Header) {}

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

/// How a request ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Status {
    /// It was carried out.
    Success,
    /// The message was longer than the receive buffers, or than is allowed.
    LocalLength,
    /// The queue pair could not carry it out: an internal inconsistency.
    LocalQpOperation,
    /// A local piece of memory was not registered for such an access.
    LocalProtection,
    /// The queue pair left the states in which it works before the request was carried out.
    Flushed,
    /// The peer's answer did not fit the request.
    BadResponse,
    /// The peer wrote where it may not.
    LocalAccess,
    /// The peer took the request to be invalid.
    RemoteInvalidRequest,
    /// The peer did not grant the access to its memory.
    RemoteAccess,
    /// The peer could not carry it out.
    RemoteOperation,
    /// The peer did not answer.
    RetriesExceeded,
    /// The peer had no receive buffer.
    RnrRetriesExceeded,
    /// Another of the states of `enum ib_wc_status`.
    Other(u32),
}

impl Status {
    fn from_raw(raw: bindings::ib_wc_status) -> Self {
        match raw {
            bindings::ib_wc_status_IB_WC_SUCCESS => Self::Success,
            bindings::ib_wc_status_IB_WC_LOC_LEN_ERR => Self::LocalLength,
            bindings::ib_wc_status_IB_WC_LOC_QP_OP_ERR => Self::LocalQpOperation,
            bindings::ib_wc_status_IB_WC_LOC_PROT_ERR => Self::LocalProtection,
            bindings::ib_wc_status_IB_WC_WR_FLUSH_ERR => Self::Flushed,
            bindings::ib_wc_status_IB_WC_BAD_RESP_ERR => Self::BadResponse,
            bindings::ib_wc_status_IB_WC_LOC_ACCESS_ERR => Self::LocalAccess,
            bindings::ib_wc_status_IB_WC_REM_INV_REQ_ERR => Self::RemoteInvalidRequest,
            bindings::ib_wc_status_IB_WC_REM_ACCESS_ERR => Self::RemoteAccess,
            bindings::ib_wc_status_IB_WC_REM_OP_ERR => Self::RemoteOperation,
            bindings::ib_wc_status_IB_WC_RETRY_EXC_ERR => Self::RetriesExceeded,
            bindings::ib_wc_status_IB_WC_RNR_RETRY_EXC_ERR => Self::RnrRetriesExceeded,
            raw => Self::Other(raw),
        }
    }

    /// Returns whether the request was carried out.
    #[inline]
    pub fn is_success(self) -> bool {
        matches!(self, Self::Success)
    }
}

/// What the hardware says of a request that it is done with.
///
/// Of one that has failed it says how, and nothing more. What it says of a receive that was carried out
/// is in [`Received`].
pub struct Completion<'a> {
    wc: &'a bindings::ib_wc,
    /// What an earlier link failed with.
    first: bindings::ib_wc_status,
    /// Of a receive: when it was posted.
    posted_at: Stamp,
}

impl<'a> Completion<'a> {
    /// Returns how the request ended: of a chain, what its first link that failed failed with.
    #[inline]
    pub fn status(&self) -> Status {
        if self.first != bindings::ib_wc_status_IB_WC_SUCCESS {
            return Status::from_raw(self.first);
        }
        Status::from_raw(self.wc.status)
    }

    /// Returns whether the request was carried out.
    #[inline]
    pub fn is_success(&self) -> bool {
        (self.first | self.wc.status) == bindings::ib_wc_status_IB_WC_SUCCESS
    }

    /// Returns the vendor's code of an error, if the last link of the request has failed.
    #[inline]
    pub fn vendor_error(&self) -> Option<u32> {
        (self.wc.status != bindings::ib_wc_status_IB_WC_SUCCESS).then_some(self.wc.vendor_err)
    }

    /// Returns what is said of a receive, if this is one that was carried out.
    #[inline]
    pub fn received(&self) -> Option<Received<'a>> {
        // INVARIANT: It is one.
        (self.is_success() && self.wc.opcode & bindings::ib_wc_opcode_IB_WC_RECV != 0).then_some(
            Received {
                wc: self.wc,
                posted_at: self.posted_at,
            },
        )
    }

    /// Returns the right to post to the queue pair that the request was worked on by: of a request of a
    /// shared queue, the one that took it. To send, say of which [service](Poster::of) that is.
    ///
    /// So a request need not keep the queue pair, which keeps it, to be posted again.
    #[inline]
    pub fn poster(&self) -> Poster<'a, Any> {
        // SAFETY: Requests are posted to queue pairs of this crate, or to shared queues that only such
        // use. A queue pair is not destroyed before its handlers have returned, and we are in one.
        unsafe { Poster::from_raw(self.wc.qp) }
    }
}

/// What the hardware says of a message, or of an RDMA write with immediate data, that has taken a
/// receive.
///
/// # Invariants
///
/// `wc` is of a receive that has succeeded, for a queue pair of this crate that is not destroyed as long
/// as this exists.
#[derive(Clone, Copy)]
pub struct Received<'a> {
    wc: &'a bindings::ib_wc,
    posted_at: Stamp,
}

impl Received<'_> {
    /// Returns the number of bytes received, the GRH of a datagram included.
    #[inline]
    pub fn byte_len(&self) -> u32 {
        self.wc.byte_len
    }

    /// Returns the immediate data that came with a message, in the host's byte order.
    #[inline]
    pub fn immediate(&self) -> Option<u32> {
        self.flag(bindings::ib_wc_flags_IB_WC_WITH_IMM).then(|| {
            // SAFETY: The flag says that this is the member in use. All are plain integers.
            u32::from_be(unsafe { self.wc.ex.imm_data })
        })
    }

    /// Returns whether it is an RDMA write with immediate data that has taken a receive, and not a
    /// message: then the receive's memory is as it was.
    #[inline]
    pub fn is_write(&self) -> bool {
        self.wc.opcode == bindings::ib_wc_opcode_IB_WC_RECV_RDMA_WITH_IMM
    }

    /// Returns the key that the peer has revoked by its message.
    #[inline]
    pub fn invalidated_key(&self) -> Option<u32> {
        if !self.flag(bindings::ib_wc_flags_IB_WC_WITH_INVALIDATE) {
            return None;
        }
        // SAFETY: As for `immediate`.
        Some(unsafe { self.wc.ex.invalidate_rkey })
    }

    /// Returns whether a datagram has a GRH, in the first 40 bytes of the buffer.
    #[inline]
    pub fn has_grh(&self) -> bool {
        self.flag(bindings::ib_wc_flags_IB_WC_GRH)
    }

    /// Returns the number of the queue pair that sent a datagram, or `None` of other services.
    #[inline]
    pub fn source_qp(&self) -> Option<u32> {
        self.is_datagram().then_some(self.wc.src_qp)
    }

    /// Returns the index of the partition key of a datagram, or `None` of other services.
    #[inline]
    pub fn pkey_index(&self) -> Option<u16> {
        self.is_datagram().then_some(self.wc.pkey_index)
    }

    #[inline]
    fn is_datagram(&self) -> bool {
        self.poster().is_datagram()
    }

    /// The key that the peer has revoked by its message, if it was received by a queue pair of `pd`. Keys are
    /// a device's: elsewhere the same one is another region's, or not to be obeyed. With it comes when the
    /// receive was posted.
    pub(crate) fn key_revoked_in(&self, pd: &Pd) -> Option<(u32, Stamp)> {
        let key = self.invalidated_key()?;

        self.poster().is_in(pd).then_some((key, self.posted_at))
    }

    /// Whether it is a datagram that was received by a queue pair of `dev`.
    pub(crate) fn is_datagram_of(&self, dev: &Device) -> bool {
        self.is_datagram() && self.poster().device() == dev
    }

    pub(crate) fn as_raw(&self) -> &bindings::ib_wc {
        self.wc
    }

    fn poster(&self) -> Poster<'_, Any> {
        // SAFETY: By the type invariant.
        unsafe { Poster::from_raw(self.wc.qp) }
    }

    #[inline]
    fn flag(&self, flag: bindings::ib_wc_flags) -> bool {
        // CAST: The flags are few and positive; C keeps them in an `int`.
        self.wc.wc_flags as bindings::ib_wc_flags & flag != 0
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
            let header = core::mem::replace(slot, ptr::null_mut());

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

#[kunit_tests(krdma_request)]
mod tests {
    use super::*;

    #[test]
    fn statuses_are_those_of_c() {
        assert!(Status::from_raw(0).is_success());
        assert_eq!(Status::from_raw(5), Status::Flushed);
        assert_eq!(Status::from_raw(10), Status::RemoteAccess);
        assert_eq!(Status::from_raw(12), Status::RetriesExceeded);
        assert_eq!(Status::from_raw(13), Status::RnrRetriesExceeded);
        assert_eq!(Status::from_raw(4711), Status::Other(4711));
        assert!((1..32).all(|raw| !Status::from_raw(raw).is_success()));
    }
}
