// SPDX-License-Identifier: GPL-2.0

//! TCP sockets of C, owned.

use super::state::State;
use crate::{
    bindings,
    net::{
        Namespace,
        RawAddr,
        RawSocket, //
    },
};
use core::{
    net::SocketAddr,
    ops::Deref,
    ptr, //
};
use kernel::{
    error::to_result,
    prelude::*,
    sync::aref::ARef, //
};

/// Only what is asked for at once is done.
const NONBLOCK: c_int = bindings::O_NONBLOCK as c_int;
/// Room for any address.
const ADDR_LEN: c_int = size_of::<RawAddr>() as c_int;

/// A TCP socket, and the namespace that its timers use.
///
/// # Invariants
///
/// `socket` is one of TCP.
pub(super) struct TcpSocket {
    // Released first.
    socket: RawSocket,
    ns: ARef<Namespace>,
}

impl Deref for TcpSocket {
    type Target = RawSocket;

    #[inline]
    fn deref(&self) -> &RawSocket {
        &self.socket
    }
}

impl TcpSocket {
    /// Makes a socket for IPv4, or for IPv6. Sleeps.
    pub(super) fn new(ns: &Namespace, is_v6: bool) -> Result<Self> {
        let family = if is_v6 {
            bindings::AF_INET6
        } else {
            bindings::AF_INET
        };
        // CAST: Both are small.
        let socket = RawSocket::new(
            ns,
            family as c_int,
            bindings::sock_type_SOCK_STREAM as c_int,
        )?;

        // INVARIANT: A stream socket of the Internet families is one of TCP.
        Ok(Self {
            socket,
            ns: ns.into(),
        })
    }

    /// Takes a connection that waits at a listener, if there is one. Sleeps, but does not wait.
    pub(super) fn accept(&self) -> Result<Option<Self>> {
        let mut socket = ptr::null_mut();

        // SAFETY: By the type invariant of `RawSocket`.
        let ret = unsafe { bindings::kernel_accept(self.as_raw(), &raw mut socket, NONBLOCK) };
        match to_result(ret) {
            // INVARIANT: What a listener of TCP accepts is of TCP.
            Ok(()) => Ok(Some(Self {
                // SAFETY: We own what was made.
                socket: unsafe { RawSocket::from_raw(socket)? },
                ns: self.ns.clone(),
            })),
            Err(EAGAIN) => Ok(None),
            Err(err) => Err(err),
        }
    }

    pub(super) fn bind(&self, addr: SocketAddr) -> Result {
        let mut raw = RawAddr::from(addr);

        // SAFETY: By the type invariant of `RawSocket`. The address is copied.
        to_result(unsafe { bindings::kernel_bind(self.as_raw(), raw.as_raw().cast(), ADDR_LEN) })
    }

    pub(super) fn listen(&self, backlog: u32) -> Result {
        let backlog = c_int::try_from(backlog).map_err(|_| EINVAL)?;

        // SAFETY: By the type invariant of `RawSocket`.
        to_result(unsafe { bindings::kernel_listen(self.as_raw(), backlog) })
    }

    pub(super) fn connect(&self, addr: SocketAddr) -> Result {
        let mut raw = RawAddr::from(addr);

        // SAFETY: As for `bind`.
        let ret = unsafe {
            bindings::kernel_connect(self.as_raw(), raw.as_raw().cast(), ADDR_LEN, NONBLOCK)
        };
        match to_result(ret) {
            Err(EINPROGRESS) => Ok(()),
            ret => ret,
        }
    }

    /// Returns the address of this end, or of the peer.
    pub(super) fn addr(&self, of_peer: bool) -> Result<SocketAddr> {
        let mut raw = RawAddr::zeroed();
        let to = raw.as_raw();

        // SAFETY: By the type invariant of `RawSocket`. There is room for any address.
        let len = unsafe {
            if of_peer {
                bindings::krdma_sock_peer_name(self.as_raw(), to)
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
        // SAFETY: By the type invariant of `RawSocket`. The field is changed by others meanwhile, as a whole.
        State::from_raw(unsafe { (&raw const (*self.sk()).__sk_common.skc_state).read_volatile() })
    }
}
