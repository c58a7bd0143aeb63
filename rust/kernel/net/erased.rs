// SPDX-License-Identifier: GPL-2.0

//! References to sockets whose family the holder does not know.

use super::{
    Sock,
    SocketData, //
};
use crate::bindings;
use core::{
    ops::Deref,
    ptr::{
        self,
        NonNull, //
    },
};

/// A reference to a socket that keeps it, as an [`ARef<Sock<T>>`](kernel::sync::aref::ARef) does, for code that
/// does not know the family `T`.
///
/// `D` is what it knows of the socket: a trait that `Sock<T>` implements, as a trait object.
///
/// # Examples
///
/// ```
/// # use kernel::prelude::*;
/// use krdma::net::{ErasedSock, Sock, SocketData};
///
/// trait Sender: Send + Sync {
///     fn ended(&self);
/// }
///
/// fn erase<T: SocketData>(sock: &Sock<T>) -> Option<ErasedSock<dyn Sender>>
/// where
///     Sock<T>: Sender,
/// {
///     ErasedSock::<dyn Sender>::new(sock, |sock| sock)
/// }
/// ```
///
/// # Invariants
///
/// `object` has the address of a [`Sock`], whose count of references includes one that is ours. It is valid
/// as long as the count is positive.
pub struct ErasedSock<D: ?Sized> {
    object: NonNull<D>,
}

// SAFETY: By the type invariant it is a reference to a socket and to a `D`. The one may be given up by any
// thread, the other used by any, as `D` is `Sync`, and `Send` in case that it is dropped with the socket.
unsafe impl<D: ?Sized + Send + Sync> Send for ErasedSock<D> {}

// SAFETY: As above.
unsafe impl<D: ?Sized + Send + Sync> Sync for ErasedSock<D> {}

impl<D: ?Sized + 'static> ErasedSock<D> {
    /// Takes a reference to a socket. `view` returns the socket itself, as a `D`; if it returns something
    /// else there is no result.
    ///
    /// Any context.
    #[inline]
    pub fn new<T: SocketData>(
        sock: &Sock<T>,
        view: for<'a> fn(&'a Sock<T>) -> &'a D,
    ) -> Option<Self> {
        let object = view(sock);
        if !ptr::addr_eq(object, sock) {
            return None;
        }

        // SAFETY: By the type invariant of `Sock`, the count is positive as long as `sock` exists.
        unsafe { bindings::sock_hold(sock.as_raw()) };
        // INVARIANT: The address is the socket's, as was asked just now, and its count was increased. What
        // `view` returns for a reference of any length to a socket is valid for that length; and
        // there is a reference to the socket, of this length, as long as its count is positive.
        Some(Self {
            object: NonNull::from(object),
        })
    }
}

impl<D: ?Sized> Deref for ErasedSock<D> {
    type Target = D;

    #[inline]
    fn deref(&self) -> &D {
        // SAFETY: By the type invariant it is valid, as our count is dropped only with `self`.
        unsafe { self.object.as_ref() }
    }
}

impl<D: ?Sized> Drop for ErasedSock<D> {
    #[inline]
    fn drop(&mut self) {
        // SAFETY: By the type invariant it is the address of a `Sock`, which begins with its
        // `struct sock`, and there is a count for us to drop.
        unsafe { bindings::sock_put(self.object.cast().as_ptr()) };
    }
}
