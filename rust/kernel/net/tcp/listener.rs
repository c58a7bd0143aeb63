// SPDX-License-Identifier: GPL-2.0

//! Listeners.

use super::{
    hook::{
        Happened,
        Hooked,
        Wanted, //
    },
    options::Options,
    socket::TcpSocket,
    Acceptor,
    Connection,
    Handler, //
};
use crate::{
    account::Charge,
    net::Namespace,
    reaper::Deferred, //
};
use core::net::SocketAddr;
use kernel::prelude::*;

/// A socket that waits for connections.
///
/// When it is dropped, in any context, it is closed: connections that wait are refused. See the
/// [module's documentation](super).
pub struct Listener<A: Acceptor>(Deferred<Hooked<A>>);

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
        let socket = TcpSocket::new(ns, addr.is_ipv6())?;

        options.apply(&socket)?;
        socket.bind(addr)?;
        let this = Self(Charge::to(owner)?.defer::<_, Error>(Hooked::new(
            socket,
            Wanted::Listener,
            react::<A>,
            acceptor,
        ))?);
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

        self.0.release(&socket);
        Connection::of(self.0.charge().clone(), socket, handler).map(Some)
    }

    /// Returns the local address, with the port number that was chosen. Sleeps. Errors: those of the kernel's
    /// `getsockname`.
    pub fn local_addr(&self) -> Result<SocketAddr> {
        self.0.socket.addr(false)
    }

    /// Returns the acceptor. Any context.
    pub fn acceptor(&self) -> &A {
        &self.0.data
    }

    /// Closes the listener. No callback runs when this returns.
    ///
    /// Sleeps. Must not be called by its callback, nor by what that waits for.
    pub fn close(self) {
        self.0.close();
    }
}

/// What a listener does about events.
fn react<A: Acceptor>(acceptor: &A, happened: Happened<'_>) {
    if let Happened::Data(_) = happened {
        acceptor.connection_waiting();
    }
}
