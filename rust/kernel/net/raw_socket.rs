// SPDX-License-Identifier: GPL-2.0

//! Sockets that the kernel opens for itself, as C has them.
//!
//! C header: [`include/linux/net.h`](srctree/include/linux/net.h)

use super::Namespace;
use crate::bindings;
use core::ptr::{
    self,
    NonNull, //
};
use kernel::{
    error::to_result,
    prelude::*, //
};

/// A socket that is released on drop, which sleeps.
///
/// # Invariants
///
/// `ptr` points to a socket that this type owns, with a `struct sock`.
pub(super) struct RawSocket {
    ptr: NonNull<bindings::socket>,
}

// SAFETY: A socket may be used and released by any thread.
unsafe impl Send for RawSocket {}

// SAFETY: As above; its calls lock for themselves.
unsafe impl Sync for RawSocket {}

impl RawSocket {
    /// Makes a socket. It does not keep the namespace by itself. Sleeps.
    ///
    /// Errors: [`EAFNOSUPPORT`], [`ENOMEM`] and others of the family.
    pub(super) fn new(ns: &Namespace, family: c_int, kind: c_int) -> Result<Self> {
        let mut socket = ptr::null_mut();

        // SAFETY: The namespace exists during the call.
        to_result(unsafe {
            bindings::krdma_sock_create_kern(ns.as_raw(), family, kind, &raw mut socket)
        })?;
        // SAFETY: We own what was made.
        unsafe { Self::from_raw(socket) }
    }

    /// Takes over a socket.
    ///
    /// Errors: [`ENOMEM`] if there is none.
    ///
    /// # Safety
    ///
    /// `socket` must be null, or a socket with a `struct sock` that the caller owns and gives up.
    pub(super) unsafe fn from_raw(socket: *mut bindings::socket) -> Result<Self> {
        // INVARIANT: By the function's requirements.
        Ok(Self {
            ptr: NonNull::new(socket).ok_or(ENOMEM)?,
        })
    }

    #[inline]
    pub(super) fn as_raw(&self) -> *mut bindings::socket {
        self.ptr.as_ptr()
    }

    /// Returns the `struct sock`.
    #[inline]
    pub(super) fn sk(&self) -> *mut bindings::sock {
        // CAST: The kernel's bindings know the type's name only.
        //
        // SAFETY: By the type invariant, it is set until the socket is released.
        unsafe { (*self.as_raw()).sk }.cast()
    }
}

impl Drop for RawSocket {
    fn drop(&mut self) {
        // SAFETY: By the type invariant, the socket is ours. Nobody uses it any more.
        unsafe { bindings::krdma_sock_release(self.as_raw()) };
    }
}
