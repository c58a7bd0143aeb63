// SPDX-License-Identifier: GPL-2.0

//! Sockets that a kernel module opens for itself.
//!
//! C header: [`include/linux/net.h`](srctree/include/linux/net.h)

use super::{
    family::HasSlot,
    Namespace,
    Open,
    RawSocket, //
};
use crate::{
    account::Charge,
    reaper::Deferred, //
};
use core::marker::PhantomData;
use kernel::prelude::*;

/// A socket of a [`Family`](super::Family) that is open as long as this exists, without a file.
///
/// It keeps the family's module and the namespace. When it is dropped, in any context, the socket is closed
/// later, but before the code of the module that it belongs to goes. To wait for that there is
/// [`close`](Self::close).
pub struct KernelSocket<T: HasSlot>(Deferred<Inner<T>>);

/// # Invariants
///
/// `socket` is one of the family `T`.
struct Inner<T: HasSlot> {
    socket: RawSocket,
    _family: PhantomData<fn() -> T>,
}

impl<T: HasSlot> KernelSocket<T> {
    /// Opens a socket of the family, in a namespace. `kind` is a type such as
    /// [`Request::SEQPACKET`](super::Request::SEQPACKET).
    ///
    /// `number` is the one that the family is registered under. The socket belongs to `owner`, whose code
    /// stays until it is closed. Sleeps.
    ///
    /// Errors: [`EAFNOSUPPORT`] if the family is not registered under the number, [`ENOMEM`], and what
    /// [`Family::create`](super::Family::create) fails with.
    pub fn new(owner: &'static ThisModule, number: u8, ns: &Namespace, kind: i32) -> Result<Self> {
        let charge = Charge::to(owner)?;
        let socket = RawSocket::new(ns, number.into(), kind)?;

        // SAFETY: The `struct sock` of a socket that was made has a protocol.
        let proto = unsafe { (*socket.sk()).__sk_common.skc_prot };
        if !T::slot().is_proto(proto) {
            return Err(EAFNOSUPPORT);
        }
        // INVARIANT: The protocol is that of `T` alone.
        Ok(Self(charge.defer(Inner {
            socket,
            _family: PhantomData,
        })?))
    }

    /// Closes the socket. [`Family::release`](super::Family::release) has returned when this does.
    ///
    /// Sleeps. Must not be called by what that waits for.
    pub fn close(self) {
        self.0.close();
    }

    /// Returns what can be done with an open socket.
    #[inline]
    pub fn open(&self) -> Open<'_, T> {
        // SAFETY: By the invariant of `Inner`, it is a socket of `T`, which stays open for this borrow.
        unsafe { Open::from_raw(self.0.socket.as_raw()) }
    }
}
