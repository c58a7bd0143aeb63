// SPDX-License-Identifier: GPL-2.0

//! Sockets of C, owned.

use super::state::State;
use crate::{
    bindings,
    net::{
        Name,
        NameIn,
        Namespace, //
    },
};
use core::{
    net::SocketAddr,
    ptr::{
        self,
        NonNull, //
    }, //
};
use kernel::{
    error::to_result,
    prelude::*,
    sync::aref::ARef, //
};

/// Only what is asked for at once is done.
pub(super) const NONBLOCK: c_int = bindings::O_NONBLOCK as c_int;

/// A TCP socket.
///
/// # Invariants
///
/// `ptr` points to a TCP socket that this type owns, with a `struct sock` as long as it is not released, which
/// is done by the drop.
pub(super) struct RawSocket {
    ptr: NonNull<bindings::socket>,
    // Timers of a kernel's socket use it.
    _ns: ARef<Namespace>,
}

// SAFETY: A socket may be used and released by any thread.
unsafe impl Send for RawSocket {}

// SAFETY: As above; its calls lock for themselves.
unsafe impl Sync for RawSocket {}

/// An address as C takes and gives it.
#[repr(C, align(8))]
struct RawName([u8; size_of::<bindings::__kernel_sockaddr_storage>()]);

impl RawName {
    /// Returns the address, and its length.
    fn new(addr: SocketAddr) -> (Self, c_int) {
        let name = match addr {
            SocketAddr::V4(addr) => Name::V4(addr),
            SocketAddr::V6(addr) => Name::V6(addr),
        };
        let (bytes, len) = name.to_raw();
        let mut this = Self::zeroed();

        for (to, from) in this.0.iter_mut().zip(bytes) {
            *to = from;
        }
        // CAST: It is at most `Name::MAX_LEN`.
        (this, len as c_int)
    }

    const fn zeroed() -> Self {
        Self([0; size_of::<bindings::__kernel_sockaddr_storage>()])
    }

    fn get(&self) -> Option<SocketAddr> {
        let name = NameIn::new(&self.0);

        match name.family()? {
            NameIn::INET => Some(name.v4()?.into()),
            NameIn::INET6 => Some(name.v6()?.into()),
            _ => None,
        }
    }
}

impl RawSocket {
    /// Makes a socket for IPv4, or for IPv6. Sleeps.
    pub(super) fn new(ns: &Namespace, is_v6: bool) -> Result<Self> {
        let family = if is_v6 {
            bindings::AF_INET6
        } else {
            bindings::AF_INET
        };
        let mut socket = ptr::null_mut();

        // CAST: Both are small.
        //
        // SAFETY: The namespace exists during the call.
        to_result(unsafe {
            bindings::krdma_sock_create_kern(
                ns.as_raw(),
                family as c_int,
                bindings::sock_type_SOCK_STREAM as c_int,
                &raw mut socket,
            )
        })?;
        // INVARIANT: We own what was made. A stream socket of the Internet families is one of TCP.
        Ok(Self {
            ptr: NonNull::new(socket).ok_or(ENOMEM)?,
            _ns: ns.into(),
        })
    }

    /// Takes a connection that waits at a listener, if there is one. Sleeps, but does not wait.
    pub(super) fn accept(&self) -> Result<Option<Self>> {
        let mut socket = ptr::null_mut();

        // SAFETY: By the type invariant.
        let ret = unsafe { bindings::kernel_accept(self.as_raw(), &raw mut socket, NONBLOCK) };
        match to_result(ret) {
            // INVARIANT: We own what was made.
            Ok(()) => Ok(Some(Self {
                ptr: NonNull::new(socket).ok_or(ENOMEM)?,
                _ns: self._ns.clone(),
            })),
            Err(EAGAIN) => Ok(None),
            Err(err) => Err(err),
        }
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

    pub(super) fn bind(&self, addr: SocketAddr) -> Result {
        let (mut raw, len) = RawName::new(addr);

        // SAFETY: By the type invariant. The address is copied.
        to_result(unsafe { bindings::kernel_bind(self.as_raw(), (&raw mut raw).cast(), len) })
    }

    pub(super) fn listen(&self, backlog: u32) -> Result {
        let backlog = c_int::try_from(backlog).map_err(|_| EINVAL)?;

        // SAFETY: By the type invariant.
        to_result(unsafe { bindings::kernel_listen(self.as_raw(), backlog) })
    }

    pub(super) fn connect(&self, addr: SocketAddr) -> Result {
        let (mut raw, len) = RawName::new(addr);

        // SAFETY: As for `bind`.
        let ret = unsafe {
            bindings::kernel_connect(self.as_raw(), (&raw mut raw).cast(), len, NONBLOCK)
        };
        match to_result(ret) {
            Err(EINPROGRESS) => Ok(()),
            ret => ret,
        }
    }

    /// Returns the address of this end, or of the peer.
    pub(super) fn addr(&self, of_peer: bool) -> Result<SocketAddr> {
        let mut raw = RawName::zeroed();
        let to = (&raw mut raw).cast();

        // SAFETY: By the type invariant. There is room for any address.
        let len = unsafe {
            if of_peer {
                bindings::kernel_getpeername(self.as_raw(), to)
            } else {
                bindings::kernel_getsockname(self.as_raw(), to)
            }
        };
        if len < 0 {
            return Err(Error::from_errno(len));
        }
        raw.get().ok_or(EAFNOSUPPORT)
    }

    #[inline]
    pub(super) fn state(&self) -> State {
        // SAFETY: By the type invariant. The field is changed by others meanwhile, as a whole.
        State::from_raw(unsafe { (&raw const (*self.sk()).__sk_common.skc_state).read_volatile() })
    }
}

impl Drop for RawSocket {
    fn drop(&mut self) {
        // SAFETY: By the type invariant, the socket is ours. Nobody uses it any more.
        unsafe { bindings::krdma_sock_release(self.as_raw()) };
    }
}
