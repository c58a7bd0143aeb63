// SPDX-License-Identifier: GPL-2.0

//! Reliable datagrams for other kernel modules.
//!
//! A module opens a [`Socket`] of its own, binds it and sends; the other end may be a program, another
//! module, or either on a host with the C implementation. What comes is either taken from the socket
//! ([`Socket::receive`]), or handed to a [`Handler`] as it comes.
//!
//! | Question | Answer |
//! |---|---|
//! | What copies? | To send a slice does. To send [`Data`] does not, and a received [`Message`] is the memory that the device wrote, if it is longer than 1 KiB; `recv_bytes_copied` counts. |
//! | Who owns what is sent? | The socket, until the peer has acknowledged it. Then the memory is freed, and the handler is told ([`Handler::sent`]) if it gave a token. |
//! | What may sleep? | What [`Socket`] does. Nothing that [`Turn`] does, which handlers have. |
//! | How is a sender held up? | [`EAGAIN`]: what is under way fills the socket's buffer, or the queue of the path. [`ENOBUFS`]: the peer's socket is full. [`Handler::room`] tells when to try again; with a timeout, `Socket` waits. |
//! | How are those who send to me? | By not receiving, or with a handler that is not ready ([`Handler::is_ready`]): then the socket gets full. |
//! | What goes first? | The sockets of a module keep rrds, so it can't be unloaded. They can be dropped at any time; no handler runs when [`Socket::close`] is done. |
//!
//! Samples: `rds_echo`, `rds_pingpong`, `rds_kv`. For modules in C there is `include/rrds.h`.

mod data;
mod handler;
mod names;

pub use data::{
    Data,
    Message,
    FRAGMENT, //
};
pub use handler::{
    Handler,
    Outcome,
    Peer,
    Turn, //
};

use crate::{
    params,
    socket::{
        self,
        Caller, //
    },
};
use core::{
    marker::PhantomData,
    net::SocketAddr, //
};
use handler::Core;
use kernel::{
    prelude::*,
    sync::Arc, //
};
use krdma::{
    net::{
        KernelSocket,
        Namespace,
        Request,
        Timeout,
        Wait, //
    },
    work::Job,
};
use names::{
    check,
    shown, //
};
use rds_proto::uapi::option::transport;

/// What comes waits to be taken, by [`Socket::receive`].
pub enum Queued {}

/// What comes is handed to a [`Handler`].
pub enum Handled {}

/// What carries a socket's messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Transport {
    /// Reliable connections of RDMA devices.
    Rdma,
    /// TCP, by any device.
    Tcp,
}

/// A socket of a kernel module.
///
/// It keeps rrds and the namespace. When it is dropped, in any context, it is closed soon after: what was
/// sent and not acknowledged is cancelled, and what was received and not taken is dropped. The handler may
/// run until then; the code of the module that owns the socket stays. [`Socket::close`] waits.
pub struct Socket<M = Queued> {
    job: Option<Job<Core>>,
    core: Arc<Core>,
    owner: &'static ThisModule,
    _mode: PhantomData<fn() -> M>,
}

impl Socket<Queued> {
    /// Opens a socket, in a namespace, from which messages are taken by [`receive`](Self::receive). `owner`
    /// is the caller's module, whose code stays until the socket is closed.
    ///
    /// Sleeps. Errors: [`ENOMEM`], [`EAFNOSUPPORT`] if rrds is not ready yet in this namespace.
    pub fn new(owner: &'static ThisModule, ns: &Namespace) -> Result<Self> {
        let open = open(owner, ns)?;
        // It must not have to be done where nothing may sleep.
        socket::watch(&open.open())?;

        Ok(Self {
            job: None,
            core: Core::new(open, None)?,
            owner,
            _mode: PhantomData,
        })
    }

    /// Takes the next message, waits for one if there is none. Nothing is copied.
    ///
    /// Sleeps. Errors: [`ETIMEDOUT`] ([`EAGAIN`] if it was not to wait at all), [`ERESTARTSYS`] if a
    /// signal came.
    pub fn receive(&self, mut timeout: Timeout) -> Result<Message> {
        let open = self.core.open.open();
        let over = if timeout.is_over() { EAGAIN } else { ETIMEDOUT };

        match open.wait(&mut timeout, || socket::next_received(&open)) {
            Wait::Ready(message) => {
                socket::took(&open, &message);
                Ok(Message::new(message))
            }
            Wait::TimedOut => Err(over),
            Wait::Signal => Err(ERESTARTSYS),
        }
    }
}

impl Socket<Handled> {
    /// Opens a socket, in a namespace, whose messages are handed to `handler`, in softirq context. `owner`
    /// is the caller's module, whose code stays until the handler has ended.
    ///
    /// Sleeps. Errors: As [`Socket::new`].
    pub fn with_handler(
        owner: &'static ThisModule,
        ns: &Namespace,
        handler: Arc<dyn Handler>,
    ) -> Result<Self> {
        let open = open(owner, ns)?;
        let job = krdma::new_softirq_job!(owner, |waker| {
            let tap = socket::attach(&open.open(), waker)?;

            Core::new(open, Some((tap, handler)))
        })?;

        Ok(Self {
            core: job.data().clone(),
            job: Some(job),
            owner,
            _mode: PhantomData,
        })
    }

    /// Has the handler asked whether it [is ready](Handler::is_ready).
    ///
    /// Any context.
    pub fn resume(&self) {
        if let Some((tap, _)) = &self.core.user {
            tap.wake();
        }
    }
}

fn open(owner: &'static ThisModule, ns: &Namespace) -> Result<KernelSocket<socket::Socket>> {
    KernelSocket::new(owner, params::family(), ns, Request::SEQPACKET)
}

impl<M> Socket<M> {
    /// Chooses what carries the socket's messages, before it is bound; as `SO_RDS_TRANSPORT` does. If nothing is chosen
    /// it is RDMA if a device of that has the address that the socket is bound to, then TCP.
    ///
    /// Errors: [`EOPNOTSUPP`] if the socket is bound, or something was chosen; [`ENOPROTOOPT`] if rrds was loaded without
    /// it.
    pub fn choose_transport(&self, transport: Transport) -> Result {
        let number = match transport {
            Transport::Rdma => transport::RDMA,
            Transport::Tcp => transport::TCP,
        };

        socket::choose_transport(&self.core.open.open(), number)
    }

    /// Binds the socket to a local address, and to any free port if the port is 0. This is to be done
    /// once, before anything is sent or received.
    ///
    /// Sleeps. Errors: spec-bind: [`EADDRNOTAVAIL`] if it is not one of this host that rrds can use,
    /// [`EADDRINUSE`], [`EINVAL`] if the socket is bound, or the address is none of one host.
    pub fn bind(&self, to: SocketAddr) -> Result {
        let open = self.core.open.open();

        socket::bind_to(&open, check(to)?)?;
        let (source, scope, transport) = socket::Socket::bound(&open).ok_or(ENOTCONN)?;
        let mut way = self.core.way.lock();
        way.source = Some(source);
        way.scope = scope;
        way.transport = Some(transport);
        drop(way);
        // What has come before could not be answered, and waits.
        if let Some(job) = &self.job {
            job.wake();
        }
        Ok(())
    }

    /// Returns the address and port that the socket is bound to.
    pub fn local(&self) -> Option<SocketAddr> {
        let way = self.core.way.lock();

        way.source.map(|at| shown(at, way.scope))
    }

    /// Sets where messages go that are sent without an address.
    ///
    /// Errors: [`EINVAL`] if the address is none of one host.
    pub fn connect(&self, to: SocketAddr) -> Result {
        let to = check(to)?;

        self.core.way.lock().dest = Some(to);
        Ok(())
    }

    /// Sets the type of service of what is sent from here on: each has connections of its own.
    ///
    /// TCP has one type of service only, 0, whatever is asked for.
    ///
    /// Errors: [`EOPNOTSUPP`] if the socket is not bound, or by the loopback transport.
    pub fn set_tos(&self, tos: u8) -> Result {
        let mut way = self.core.way.lock();

        let transport = way.transport.as_ref();
        way.tos = transport
            .and_then(|transport| transport.service(tos))
            .ok_or(EOPNOTSUPP)?;
        Ok(())
    }

    /// Sets how many bytes may be under way, and how many may be received and not taken before senders
    /// are held up. (A handler takes messages at once, unless it is not ready.)
    pub fn set_limits(&self, send: u32, receive: u32) {
        let open = self.core.open.open();

        // The socket layer counts what a byte costs besides.
        open.set_sndbuf(send.max(2).saturating_mul(2));
        open.set_rcvbuf(receive.saturating_mul(2));
        // There may be room now, which nothing else would tell.
        socket::on_room(&open);
    }

    /// Makes a path to a peer and dials it, so that messages can be sent to it where one may not sleep. To an address of
    /// this host there is none, unless the transport was chosen.
    ///
    /// Sleeps, but does not wait for the connection. Errors: [`ENOTCONN`] if the socket is not bound,
    /// [`EINVAL`], [`EOPNOTSUPP`], [`ENOMEM`], [`ENETDOWN`].
    pub fn prepare(&self, to: SocketAddr) -> Result {
        let (_, _, route) = self.core.route(Some(to), true)?;

        route.connect();
        Ok(())
    }

    /// Sends a copy of `bytes`, to an address or where the socket is connected to.
    ///
    /// Waits for room if there is none, as long as `timeout` says. Sleeps.
    ///
    /// Errors: [`ENOTCONN`] if there is no address, or the socket is not bound; [`EMSGSIZE`] if the
    /// message is longer than 1 MiB or the socket's limit; [`EINVAL`], [`EOPNOTSUPP`] if the address can't
    /// be reached from the bound one; [`EAGAIN`] and [`ENOBUFS`] if it was not to wait; [`ETIMEDOUT`],
    /// [`ERESTARTSYS`]; [`ENOMEM`].
    pub fn send(&self, to: Option<SocketAddr>, bytes: &[u8], timeout: Timeout) -> Result {
        self.send_parts(to, &[bytes], timeout)
    }

    /// Sends a copy of several pieces of memory as one message; else as [`send`](Self::send).
    pub fn send_parts(&self, to: Option<SocketAddr>, parts: &[&[u8]], timeout: Timeout) -> Result {
        let open = self.core.open.open();
        let data = self.core.copy(parts, GFP_KERNEL)?;

        self.core
            .submit(|| Caller::in_process(&open, timeout), to, data, None)
            .map_err(|(err, _)| err)
    }

    /// Sends data without copying it; else as [`send`](Self::send).
    ///
    /// If there is a token, a handler is told how the message ended ([`Handler::sent`]), unless this
    /// fails. The data comes back with the error; if there is no token, not always with [`ENOMEM`].
    #[allow(clippy::result_large_err)] // To box it there may be no memory.
    pub fn send_data(
        &self,
        to: Option<SocketAddr>,
        data: Data,
        token: Option<u64>,
        timeout: Timeout,
    ) -> Result<(), (Error, Option<Data>)> {
        let open = self.core.open.open();
        let token = token.filter(|_| self.core.user.is_some());

        self.core
            .submit(|| Caller::in_process(&open, timeout), to, data, token)
    }

    /// Cancels what was sent and is not acknowledged, all of it or what is for one address. It may have
    /// arrived.
    ///
    /// Errors: [`EINVAL`] if the address is none of one host.
    pub fn cancel(&self, to: Option<SocketAddr>) -> Result {
        self.turn().cancel(to)
    }

    /// Returns what can be done with the socket where one may not sleep: in any context but hard
    /// interrupts.
    pub fn turn(&self) -> Turn<'_> {
        Turn::new(&self.core)
    }

    /// Waits until all that was sent is acknowledged, and closes the socket. Nothing else may be sending.
    /// The handler does not run any more when this returns.
    ///
    /// Sleeps; not for handlers. Errors: [`ETIMEDOUT`], [`ERESTARTSYS`]; the socket is closed then as well.
    /// With [`Timeout::NONE`] it is closed at once.
    pub fn close(mut self, timeout: Timeout) -> Result {
        let drained = self.drain(timeout);
        let owner = self.owner;

        self.shut();
        drop(self);
        krdma::settle(owner);
        drained
    }

    /// Ends the handler, and waits for it.
    pub(crate) fn shut(&mut self) {
        if let Some(job) = self.job.take() {
            job.close();
        }
    }

    /// Waits until all that was sent is acknowledged.
    pub(crate) fn drain(&self, timeout: Timeout) -> Result {
        socket::drain(&self.core.open.open(), timeout)
    }
}
