// SPDX-License-Identifier: GPL-2.0

//! Sockets that a kernel module opens for itself.
//!
//! C header: [`include/linux/net.h`](srctree/include/linux/net.h)

use super::{
    Family,
    Namespace,
    Open, //
};
use crate::{
    account::Charge,
    bindings,
    reaper::Deferred, //
};
use core::{
    marker::PhantomData,
    ptr, //
};
use kernel::{
    error::to_result,
    prelude::*, //
};

/// A socket of a [`Family`] that is open as long as this exists, without a file.
///
/// It keeps the family's module and the namespace. When it is dropped, in any context, the socket is closed
/// later, but before the code of the module that it belongs to goes. To wait for that there is
/// [`close`](Self::close).
pub struct KernelSocket<T: Family>(Deferred<Inner<T>>);

/// # Invariants
///
/// `socket` is a socket of the family `T` that this type owns, with a `struct sock`.
struct Inner<T: Family> {
    socket: *mut bindings::socket,
    _family: PhantomData<fn() -> T>,
}

// SAFETY: A socket may be used and closed by any thread.
unsafe impl<T: Family> Send for Inner<T> {}

// SAFETY: As above; its calls may run at the same time.
unsafe impl<T: Family> Sync for Inner<T> {}

impl<T: Family> KernelSocket<T> {
    /// Opens a socket of the family, in a namespace. `kind` is a type such as
    /// [`Request::SEQPACKET`](super::Request::SEQPACKET).
    ///
    /// `number` is the one that the family is registered under. The socket belongs to `owner`, whose code
    /// stays until it is closed. Sleeps.
    ///
    /// Errors: [`EAFNOSUPPORT`] if the family is not registered under the number, [`ENOMEM`], and what
    /// [`Family::create`] fails with.
    pub fn new(owner: &'static ThisModule, number: u8, ns: &Namespace, kind: i32) -> Result<Self> {
        let charge = Charge::to(owner)?;
        let mut socket = ptr::null_mut();
        // SAFETY: The namespace exists during the call.
        to_result(unsafe {
            bindings::krdma_sock_create_kern(ns.as_raw(), number.into(), kind, &raw mut socket)
        })?;

        // SAFETY: A socket that was made has a `struct sock` with a protocol.
        //
        // CAST: The kernel's bindings know the type's name only.
        let proto = unsafe {
            (*(*socket).sk.cast::<bindings::sock>())
                .__sk_common
                .skc_prot
        };
        if !T::slot().is_proto(proto) {
            // SAFETY: It is ours, and nobody else knows it.
            unsafe { bindings::krdma_sock_release(socket) };
            return Err(EAFNOSUPPORT);
        }
        // INVARIANT: The protocol is that of `T` alone.
        Ok(Self(charge.defer(Inner {
            socket,
            _family: PhantomData,
        })?))
    }

    /// Closes the socket. [`Family::release`] has returned when this does.
    ///
    /// Sleeps. Must not be called by what that waits for.
    pub fn close(self) {
        self.0.close();
    }

    /// Returns what can be done with an open socket.
    #[inline]
    pub fn open(&self) -> Open<'_, T> {
        // SAFETY: By the invariant of `Inner`, it is a socket of `T`, which stays open for this borrow.
        unsafe { Open::from_raw(self.0.socket) }
    }
}

impl<T: Family> Drop for Inner<T> {
    fn drop(&mut self) {
        // SAFETY: By the type invariant, the socket is ours. Nobody uses it any more.
        unsafe { bindings::krdma_sock_release(self.socket) };
    }
}
