// SPDX-License-Identifier: GPL-2.0

//! What the hardware says of a request that it is done with.
//!
//! C header: [`include/rdma/ib_verbs.h`](srctree/include/rdma/ib_verbs.h) (`struct ib_wc`)

use crate::{
    bindings,
    rdma::{
        mr::Stamp,
        qp::{
            Any,
            Poster, //
        },
        Device,
        Pd, //
    },
};
use kernel::prelude::*;

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
///
/// # Invariants
///
/// `wc` is of a request that was posted to a queue pair of this crate, or to a shared queue that only such use, and
/// whose handler runs as long as this exists.
pub struct Completion<'a> {
    wc: &'a bindings::ib_wc,
    /// What an earlier link failed with.
    first: bindings::ib_wc_status,
    /// Of a receive: when it was posted.
    posted_at: Stamp,
}

impl<'a> Completion<'a> {
    /// # Safety
    ///
    /// `wc` must be of a request that was posted to a queue pair of this crate, or to a shared queue that only such
    /// use, and whose handler runs for `'a`.
    #[inline]
    pub(super) unsafe fn new(
        wc: &'a bindings::ib_wc,
        first: bindings::ib_wc_status,
        posted_at: Stamp,
    ) -> Self {
        // INVARIANT: By the function's requirements.
        Self {
            wc,
            first,
            posted_at,
        }
    }

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
        // SAFETY: By the type invariant, the queue pair is of this crate. It is not destroyed before its handlers
        // have returned, and one runs.
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
