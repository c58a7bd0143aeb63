// SPDX-License-Identifier: GPL-2.0

//! Listeners.

use super::{
    hook::{
        Happened,
        Hook,
        Wanted, //
    },
    options::Options,
    raw::RawSocket,
    Acceptor,
    Connection,
    Handler, //
};
use crate::{
    account::Charge,
    net::Namespace,
    reaper::Deferred, //
};
use core::{
    marker::PhantomPinned,
    net::SocketAddr,
    ptr::NonNull, //
};
use kernel::prelude::*;

/// A socket that waits for connections.
///
/// When it is dropped, in any context, it is closed: connections that wait are refused. See the
/// [module's documentation](super).
pub struct Listener<A: Acceptor>(Deferred<Inner<A>>);

/// # Invariants
///
/// `hook` is the first field, and the hook of `socket` from when `hooked` is made until the drop.
#[pin_data(PinnedDrop)]
#[repr(C)]
struct Inner<A: Acceptor> {
    hook: Hook,
    socket: RawSocket,
    hooked: (),
    // Dropped after the socket is released.
    #[pin]
    acceptor: A,
    // Callbacks refer to the object while it is being dropped.
    #[pin]
    _pin: PhantomPinned,
}

impl<A: Acceptor> Listener<A> {
    /// Waits for connections to `addr`, with the options given. At most `backlog` wait to be accepted. With
    /// port number zero a free one is chosen. The IPv6 wildcard is for IPv4, too, unless the namespace's
    /// `net.ipv6.bindv6only` says otherwise.
    ///
    /// It belongs to `owner`, whose code stays until it is closed. Sleeps.
    ///
    /// Errors: [`EADDRINUSE`], [`EADDRNOTAVAIL`], [`EACCES`] if the port needs a capability that the caller
    /// lacks, [`EAFNOSUPPORT`] if the kernel has no IPv6, [`EINVAL`] if `backlog` is too large, [`ENOMEM`],
    /// those of [`Connection::set`], and what `acceptor` fails with.
    pub fn new<E>(
        owner: &'static ThisModule,
        ns: &Namespace,
        addr: SocketAddr,
        backlog: u32,
        options: &Options<'_>,
        acceptor: impl PinInit<A, E>,
    ) -> Result<Self>
    where
        Error: From<E>,
    {
        let socket = RawSocket::new(ns, addr.is_ipv6())?;

        options.apply(&socket)?;
        socket.bind(addr)?;
        let this = Self(
            Charge::to(owner)?.defer::<_, Error>(try_pin_init!(&this in Inner {
                // SAFETY: It is the function for this type.
                hook: unsafe { Hook::new(Inner::<A>::dispatch) },
                socket,
                acceptor <- acceptor,
                _pin: PhantomPinned,
                // INVARIANT: From here on it is the hook.
                //
                // SAFETY: The hook is in pinned memory, and removed by the drop. All that it needs is
                // initialized.
                hooked: unsafe { Hook::install(this.cast(), socket, Wanted::Listener)? },
            }? Error))?,
        );
        if let Err(err) = this.0.socket.listen(backlog) {
            // The port is free when this returns.
            this.close();
            return Err(err);
        }
        Ok(this)
    }

    /// Takes a connection that waits, if there is one. What has come in it already is not reported to the
    /// handler: read once.
    ///
    /// Sleeps, but does not wait. Errors: [`ENOMEM`], [`ECONNABORTED`], and what `handler` fails with; the
    /// connection is closed then.
    pub fn accept<H: Handler, E>(
        &self,
        handler: impl PinInit<H, E>,
    ) -> Result<Option<Connection<H>>>
    where
        Error: From<E>,
    {
        let Some(socket) = self.0.socket.accept()? else {
            return Ok(None);
        };

        self.0.hook.release(&socket);
        Connection::of(self.0.charge().clone(), socket, handler).map(Some)
    }

    /// Returns the local address, with the port number that was chosen. Sleeps. Errors: those of the kernel's
    /// `getsockname`.
    pub fn local_addr(&self) -> Result<SocketAddr> {
        self.0.socket.addr(false)
    }

    /// Returns the acceptor. Any context.
    pub fn acceptor(&self) -> &A {
        &self.0.acceptor
    }

    /// Closes the listener. No callback runs when this returns.
    ///
    /// Sleeps. Must not be called by its callback, nor by what that waits for.
    pub fn close(self) {
        self.0.close();
    }
}

impl<A: Acceptor> Inner<A> {
    /// # Safety
    ///
    /// As for [`Hook::dispatch`], of a hook in an `Inner<A>`.
    unsafe fn dispatch(hook: NonNull<Hook>, happened: Happened<'_>) {
        // SAFETY: The hook is the first field of an `Inner<A>`, by the type invariant, and lives as long as it is
        // the hook of a socket.
        let acceptor = unsafe { &(*hook.cast::<Self>().as_ptr()).acceptor };

        if let Happened::Data(_) = happened {
            acceptor.connection_waiting();
        }
    }
}

#[pinned_drop]
impl<A: Acceptor> PinnedDrop for Inner<A> {
    fn drop(self: Pin<&mut Self>) {
        self.hook.remove(&self.socket);
    }
}
