// SPDX-License-Identifier: GPL-2.0

//! Sockets.
//!
//! C header: [`include/net/sock.h`](srctree/include/net/sock.h)

use super::{
    Namespace,
    Timeout, //
};
use crate::bindings;
use core::{
    cell::UnsafeCell,
    marker::PhantomData,
    ops::{
        Deref,
        DerefMut, //
    },
    ptr::NonNull,
};
use kernel::{
    prelude::*,
    sync::aref::{
        ARef,
        AlwaysRefCounted, //
    },
    types::{
        NotThreadSafe,
        Opaque, //
    },
};

/// What a protocol family keeps for each of its sockets: the type itself needs no lock, and [`Locked`](Self::Locked)
/// is the part that the socket's lock protects.
///
/// What is done with such a socket is the family's: [`Family`](super::Family).
pub trait SocketData: Send + Sync + Sized + 'static {
    /// The part of a socket's data that its lock protects, see [`Sock::lock`].
    type Locked: Send;
}

/// A socket of a [`Family`](super::Family), with the family's data for it.
///
/// The data is reached by [`data`](Self::data) and [`lock`](Self::lock). An
/// [`ARef<Sock<T>>`](ARef) keeps the socket, its data and its module, even when user space has closed
/// it.
///
/// # Invariants
///
/// `sk` is a `struct sock` that [`sk_alloc`](bindings::sk_alloc) made for `T`, initialized, and its
/// count of references is positive as long as a reference to this type exists. `locked` is only used
/// by who owns the lock of `sk`.
#[repr(C)]
pub struct Sock<T: SocketData> {
    pub(super) sk: Opaque<bindings::sock>,
    pub(super) ns: ARef<Namespace>,
    pub(super) locked: UnsafeCell<T::Locked>,
    pub(super) data: T,
}

// SAFETY: A socket may be freed by any thread; the data is `Send`.
unsafe impl<T: SocketData> Send for Sock<T> {}

// SAFETY: What is done through `&self` to `sk` may be done by several threads at once. `data` is
// `Sync`, and `locked`, which is `Send`, is only reached with the lock.
unsafe impl<T: SocketData> Sync for Sock<T> {}

// SAFETY: The count of references keeps a socket alive.
unsafe impl<T: SocketData> AlwaysRefCounted for Sock<T> {
    #[inline]
    fn inc_ref(&self) {
        // SAFETY: By the type invariant, the count is positive.
        unsafe { bindings::sock_hold(self.as_raw()) };
    }

    #[inline]
    unsafe fn dec_ref(obj: NonNull<Self>) {
        // SAFETY: By the function's requirements, there is a count for us to drop.
        unsafe { bindings::sock_put(obj.as_ref().as_raw()) };
    }
}

/// Which form of time stamps a socket's owner wants with what it receives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Timestamps {
    /// `SO_TIMESTAMP_OLD`: a `struct timeval` as the caller's ABI has it.
    Old,
    /// `SO_TIMESTAMP_NEW`: with 64 bits each, everywhere.
    New,
}

impl<T: SocketData> Sock<T> {
    #[inline]
    pub(super) fn as_raw(&self) -> *mut bindings::sock {
        self.sk.get()
    }

    /// Returns the socket that a C struct is the start of.
    ///
    /// # Safety
    ///
    /// `sk` must be a socket of the family `T`, whose count of references stays positive for `'a`.
    #[inline]
    pub(super) unsafe fn from_raw<'a>(sk: *mut bindings::sock) -> &'a Self {
        // SAFETY: Sockets of `T` are made with the layout of `Self`; the rest is the function's
        // requirement.
        unsafe { &*sk.cast() }
    }

    /// Returns the family's data, which needs no lock.
    #[inline]
    pub fn data(&self) -> &T {
        &self.data
    }

    /// Returns the namespace that the socket was made in. The socket keeps it.
    #[inline]
    pub fn namespace(&self) -> &Namespace {
        &self.ns
    }

    /// Locks the socket.
    ///
    /// Sleeps. The lock is not for what happens in softirq context, and it must not be held while
    /// waiting for what may take long.
    pub fn lock(&self) -> LockedSock<'_, T> {
        // SAFETY: By the type invariant.
        unsafe { bindings::lock_sock_nested(self.as_raw(), 0) };

        LockedSock {
            sock: self,
            _thread: NotThreadSafe,
        }
    }

    /// Wakes who waits for something to read, or was told by poll that there is nothing.
    ///
    /// Any context.
    #[inline]
    pub fn data_ready(&self) {
        // SAFETY: By the type invariant.
        unsafe { bindings::krdma_sk_data_ready(self.as_raw()) };
    }

    /// Wakes who waits for room to write, or was told by poll that there is none.
    ///
    /// Any context.
    #[inline]
    pub fn write_space(&self) {
        // SAFETY: By the type invariant.
        unsafe { bindings::krdma_sk_write_space(self.as_raw()) };
    }

    /// Returns `sk_sndbuf`: twice what was set by `SO_SNDBUF`.
    #[inline]
    pub fn sndbuf(&self) -> u32 {
        // SAFETY: By the type invariant. The field is changed by others meanwhile, as a whole.
        let raw = unsafe { (&raw const (*self.as_raw()).sk_sndbuf).read_volatile() };

        u32::try_from(raw).unwrap_or(0)
    }

    /// Returns `sk_rcvbuf`: twice what was set by `SO_RCVBUF`.
    #[inline]
    pub fn rcvbuf(&self) -> u32 {
        // SAFETY: As for `sndbuf`.
        let raw = unsafe { (&raw const (*self.as_raw()).sk_rcvbuf).read_volatile() };

        u32::try_from(raw).unwrap_or(0)
    }

    /// Sets `sk_sndbuf`, as `SO_SNDBUF` does with half of it, but without a limit above.
    pub fn set_sndbuf(&self, bytes: u32) {
        let raw = c_int::try_from(bytes).unwrap_or(c_int::MAX);

        // SAFETY: As for `sndbuf`.
        unsafe { (&raw mut (*self.as_raw()).sk_sndbuf).write_volatile(raw) };
    }

    /// Sets `sk_rcvbuf`, as `SO_RCVBUF` does with half of it, but without a limit above.
    pub fn set_rcvbuf(&self, bytes: u32) {
        let raw = c_int::try_from(bytes).unwrap_or(c_int::MAX);

        // SAFETY: As for `sndbuf`.
        unsafe { (&raw mut (*self.as_raw()).sk_rcvbuf).write_volatile(raw) };
    }

    /// Returns how long to wait for room to write.
    pub fn send_timeout(&self, nonblocking: bool) -> Timeout {
        if nonblocking {
            return Timeout::NONE;
        }
        // SAFETY: As for `sndbuf`.
        Timeout::from_raw(unsafe { (&raw const (*self.as_raw()).sk_sndtimeo).read_volatile() })
    }

    /// Returns how long to wait for something to read.
    pub fn receive_timeout(&self, nonblocking: bool) -> Timeout {
        if nonblocking {
            return Timeout::NONE;
        }
        // SAFETY: As for `sndbuf`.
        Timeout::from_raw(unsafe { (&raw const (*self.as_raw()).sk_rcvtimeo).read_volatile() })
    }

    /// Returns the number of the user that the socket belongs to, as the initial user namespace has it:
    /// who made it, until somebody who may changes its owner.
    pub fn owner(&self) -> u32 {
        // SAFETY: By the type invariant. The field is changed by others meanwhile, as a whole.
        unsafe { (&raw const (*self.as_raw()).sk_uid).read_volatile() }.val
    }

    /// Returns the number of the socket's inode, 0 once it is closed.
    pub fn inode(&self) -> u64 {
        // SAFETY: By the type invariant.
        unsafe { bindings::sock_i_ino(self.as_raw()) }
    }

    /// Returns whether time stamps are wanted, and in which form.
    pub fn timestamps(&self) -> Option<Timestamps> {
        if !self.flag(bindings::sock_flags_SOCK_RCVTSTAMP) {
            None
        } else if self.flag(bindings::sock_flags_SOCK_TSTAMP_NEW) {
            Some(Timestamps::New)
        } else {
            Some(Timestamps::Old)
        }
    }

    /// Returns whether `SO_ZEROCOPY` is set.
    pub fn is_zerocopy(&self) -> bool {
        self.flag(bindings::sock_flags_SOCK_ZEROCOPY)
    }

    fn flag(&self, flag: bindings::sock_flags) -> bool {
        // SAFETY: By the type invariant.
        unsafe { bindings::sock_flag(self.as_raw(), flag) }
    }
}

/// A socket whose lock the current task has, and the data that the lock protects.
pub struct LockedSock<'a, T: SocketData> {
    sock: &'a Sock<T>,
    _thread: NotThreadSafe,
}

impl<T: SocketData> LockedSock<'_, T> {
    /// Switches time stamps on or off, as `SO_TIMESTAMP` does. `form` is kept when they are switched
    /// off.
    pub fn set_timestamps(&mut self, on: bool, form: Timestamps) {
        let sk = self.sock.as_raw();

        if form == Timestamps::New {
            // SAFETY: By the type invariant of the socket; we have the lock.
            unsafe { bindings::sock_valbool_flag(sk, bindings::sock_flags_SOCK_TSTAMP_NEW, 1) };
        }
        // SAFETY: As above.
        unsafe {
            bindings::sock_valbool_flag(sk, bindings::sock_flags_SOCK_RCVTSTAMP, on.into());
        }
    }
}

impl<T: SocketData> Deref for LockedSock<'_, T> {
    type Target = T::Locked;

    #[inline]
    fn deref(&self) -> &T::Locked {
        // SAFETY: We have the lock, and `&self` lets nobody have the data exclusively.
        unsafe { &*self.sock.locked.get() }
    }
}

impl<T: SocketData> DerefMut for LockedSock<'_, T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut T::Locked {
        // SAFETY: We have the lock, and `&mut self` gives the data exclusively.
        unsafe { &mut *self.sock.locked.get() }
    }
}

impl<T: SocketData> Drop for LockedSock<'_, T> {
    fn drop(&mut self) {
        // SAFETY: The current task has the lock: this type stays in the thread that took it.
        unsafe { bindings::release_sock(self.sock.as_raw()) };
    }
}

/// A socket that somebody has open, in a call that he makes: it can be waited for.
///
/// # Invariants
///
/// The socket belongs to a `struct socket` that exists for `'a`.
pub struct Open<'a, T: SocketData> {
    sock: &'a Sock<T>,
    _call: PhantomData<NotThreadSafe>,
}

impl<'a, T: SocketData> Open<'a, T> {
    /// # Safety
    ///
    /// `socket` must be a socket of the family `T` that stays open for `'a`.
    pub(super) unsafe fn from_raw(socket: *mut bindings::socket) -> Self {
        // INVARIANT: By the function's requirements.
        Self {
            // SAFETY: An open socket has a `struct sock`, and a reference to it.
            sock: unsafe { Sock::from_raw((*socket).sk.cast()) },
            _call: PhantomData,
        }
    }

    /// Returns a reference that keeps the socket.
    #[inline]
    pub fn get(&self) -> ARef<Sock<T>> {
        self.sock.into()
    }
}

impl<T: SocketData> Deref for Open<'_, T> {
    type Target = Sock<T>;

    #[inline]
    fn deref(&self) -> &Sock<T> {
        self.sock
    }
}
