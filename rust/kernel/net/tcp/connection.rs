// SPDX-License-Identifier: GPL-2.0

//! Connections.

use super::{
    arrived::{
        is_ended,
        Arrived,
        Bytes, //
    },
    hook::{
        Happened,
        Hooked,
        Wanted, //
    },
    options::Options,
    socket::TcpSocket,
    Handler,
    State, //
};
use crate::{
    account::Charge,
    bindings,
    net::Namespace,
    page::PagePart,
    reaper::Deferred, //
};
use core::{
    net::SocketAddr,
    ptr, //
};
use kernel::{
    error::to_result,
    prelude::*, //
};

/// The most pieces of memory that one call sends.
pub const MAX_PIECES: usize = 32;

/// A TCP connection, or what is to become one.
///
/// When it is dropped, in any context, it is closed: what was sent is delivered still, as far as TCP can. See
/// the [module's documentation](super).
pub struct Connection<H: Handler>(Deferred<Hooked<H>>);

impl<H: Handler> Connection<H> {
    /// Makes a socket for IPv4 or, if `is_v6`, for IPv6, which is not connected.
    ///
    /// It belongs to `owner`, whose code stays until it is closed. Sleeps.
    ///
    /// Errors: [`ENOMEM`], [`EAFNOSUPPORT`] if the kernel has no IPv6, and what `handler` fails with.
    pub fn new<E>(
        owner: &'static ThisModule,
        ns: &Namespace,
        is_v6: bool,
        handler: impl PinInit<H, E>,
    ) -> Result<Self>
    where
        Error: From<E>,
    {
        Self::of(Charge::to(owner)?, TcpSocket::new(ns, is_v6)?, handler)
    }

    /// Makes a connection of a socket.
    pub(super) fn of<E>(
        charge: Charge,
        socket: TcpSocket,
        handler: impl PinInit<H, E>,
    ) -> Result<Self>
    where
        Error: From<E>,
    {
        // SAFETY: By the type invariant of `RawSocket`. The socket is new, and nobody has its lock.
        unsafe { bindings::krdma_tcp_adopt(socket.sk()) };

        Ok(Self(charge.defer::<_, Error>(Hooked::new(
            socket,
            Wanted::All,
            react::<H>,
            handler,
        ))?))
    }

    /// Binds the socket to a local address. Sleeps.
    ///
    /// Errors: [`EADDRINUSE`], [`EADDRNOTAVAIL`], [`EINVAL`] if it is bound or connected, [`EAFNOSUPPORT`] if
    /// the address is of another family; [`EACCES`] if the port needs a capability that the caller lacks.
    pub fn bind(&self, addr: SocketAddr) -> Result {
        self.0.socket.bind(addr)
    }

    /// Asks a peer for a connection. [`Handler::state_changed`] tells what comes of it:
    /// [`State::Established`], or [`State::Closed`] and [`take_error`](Self::take_error). Sleeps, but does not
    /// wait for the peer.
    ///
    /// Errors: [`ENETUNREACH`] and others of the routing; [`EISCONN`], [`EALREADY`], [`EAFNOSUPPORT`].
    pub fn connect(&self, addr: SocketAddr) -> Result {
        self.0.socket.connect(addr)
    }

    /// Sends bytes, copied out of at most [`MAX_PIECES`] pieces of memory. Returns how many were taken, which
    /// may be less than there are. With `more`, others follow soon, and TCP may wait for them to fill a
    /// segment.
    ///
    /// Sleeps, but does not wait for room. Errors: [`EAGAIN`] if there is no room:
    /// [`Handler::write_space`] is called when there is. [`EPIPE`] if it is not connected, or not any more,
    /// [`ECONNRESET`] and others that the connection has met.
    pub fn send(&self, pieces: &[&[u8]], more: bool) -> Result<usize> {
        let mut vec = [const {
            bindings::kvec {
                iov_base: ptr::null_mut(),
                iov_len: 0,
            }
        }; MAX_PIECES];
        let mut count = 0;
        let mut len = 0usize;

        for (slot, piece) in vec.iter_mut().zip(pieces) {
            // What would make it too long is left for the next call.
            let part = piece.len().min(MAX_BYTES - len);
            slot.iov_base = piece.as_ptr().cast_mut().cast();
            slot.iov_len = part;
            count += 1;
            len += part;
        }
        // SAFETY: By the type invariant of `RawSocket`. The pieces are borrowed for the call, and only read.
        let ret = unsafe {
            bindings::krdma_sock_send(
                self.0.socket.as_raw(),
                vec.as_mut_ptr(),
                count,
                len,
                flags(more),
            )
        };
        usize::try_from(ret).map_err(|_| Error::from_errno(ret))
    }

    /// Sends the bytes of at most [`MAX_PIECES`] parts of pages, without a copy: the network refers to the pages until they
    /// are acknowledged, or longer. Otherwise as [`send`](Self::send).
    pub fn send_pages<'a>(
        &self,
        parts: impl IntoIterator<Item = PagePart<'a>>,
        more: bool,
    ) -> Result<usize> {
        let mut vec = [const {
            bindings::bio_vec {
                bv_page: ptr::null_mut(),
                bv_len: 0,
                bv_offset: 0,
            }
        }; MAX_PIECES];
        let mut count = 0;
        let mut len = 0usize;

        for (slot, part) in vec.iter_mut().zip(parts) {
            *slot = part.to_raw();
            count += 1;
            len += part.len();
        }
        // SAFETY: By the type invariant of `RawSocket`. The parts are valid, and the network may hold on to their pages. It gets
        // references of its own, and marks its buffers as sharing the pages (`SKBFL_SHARED_FRAG`), so that it does not write
        // there.
        let ret = unsafe {
            bindings::krdma_sock_send_pages(
                self.0.socket.as_raw(),
                vec.as_mut_ptr(),
                count,
                len,
                flags(more),
            )
        };
        usize::try_from(ret).map_err(|_| Error::from_errno(ret))
    }

    /// Reads what has come, see [`Arrived::read`]. Sleeps, for the socket's lock, but not for the peer; `take`
    /// runs with that lock held, so it must not call methods of this socket.
    pub fn read(&self, take: impl FnMut(Bytes<'_>) -> usize) -> Result<usize> {
        let sk = self.0.socket.sk();

        // SAFETY: By the type invariant of `RawSocket`.
        unsafe { bindings::lock_sock_nested(sk, 0) };
        // SAFETY: We have the lock.
        let ret = unsafe { Arrived::new(sk) }.read(take);
        // SAFETY: As above.
        unsafe { bindings::release_sock(sk) };
        ret
    }

    /// Has [`Handler::write_space`] called though no send had failed for want of room: when more is acknowledged,
    /// until there is room. Look at [`unacknowledged`](Self::unacknowledged) after this.
    ///
    /// Any context.
    pub fn want_space(&self) {
        // SAFETY: By the type invariant of `RawSocket`.
        unsafe { bindings::krdma_sock_want_space(self.0.socket.as_raw()) };
    }

    /// Returns whether there is room to send. Any context.
    pub fn has_space(&self) -> bool {
        // SAFETY: By the type invariant of `RawSocket`.
        unsafe { bindings::krdma_sock_has_space(self.0.socket.sk()) }
    }

    /// Says that we send no more: the peer gets the end after what was sent. Sleeps.
    ///
    /// Errors: [`ENOTCONN`].
    pub fn end(&self) -> Result {
        // SAFETY: By the type invariant of `RawSocket`.
        to_result(unsafe {
            bindings::kernel_sock_shutdown(
                self.0.socket.as_raw(),
                bindings::sock_shutdown_cmd_SHUT_WR,
            )
        })
    }

    /// Returns whether the peer has said that it sends no more. There may be bytes that were not read.
    ///
    /// Any context.
    pub fn is_ended(&self) -> bool {
        // SAFETY: By the type invariant of `RawSocket`.
        unsafe { is_ended(self.0.socket.sk()) }
    }

    /// Returns the state. Any context.
    pub fn state(&self) -> State {
        self.0.socket.state()
    }

    /// Takes the error that the connection has met, if any. Any context.
    pub fn take_error(&self) -> Result {
        // SAFETY: By the type invariant of `RawSocket`. The error is taken as a whole.
        to_result(unsafe { bindings::sock_error(self.0.socket.sk()) })
    }

    /// Returns the sequence number of the next byte that is sent (`write_seq`). Any context.
    pub fn next_sequence(&self) -> u32 {
        // SAFETY: By the type invariant of `RawSocket`.
        unsafe { bindings::krdma_tcp_write_seq(self.0.socket.sk()) }
    }

    /// Returns the sequence number of the first byte that is not acknowledged (`snd_una`). Any context.
    pub fn unacknowledged(&self) -> u32 {
        // SAFETY: By the type invariant of `RawSocket`.
        unsafe { bindings::krdma_tcp_snd_una(self.0.socket.sk()) }
    }

    /// Returns whether nothing has come from the peer for so many milliseconds, though it was asked: what was sent was sent
    /// again, or its window is closed and it does not answer probes of that, which may take some minutes to tell. Unlike
    /// [`user_timeout`](super::Options::user_timeout) this spares a peer that lives and does not read. Any context.
    pub fn is_silent(&self, millis: u32) -> bool {
        // SAFETY: By the type invariant of `RawSocket`.
        unsafe { bindings::krdma_tcp_is_silent(self.0.socket.sk(), millis) }
    }

    /// Returns the first and the last of the ports that the namespace chooses local ones from
    /// (`net.ipv4.ip_local_port_range`). Any context.
    pub fn port_range(&self) -> (u16, u16) {
        let (mut low, mut high) = (0, 0);

        // SAFETY: By the type invariant of `RawSocket`. The numbers are written.
        unsafe { bindings::krdma_tcp_port_range(self.0.socket.sk(), &raw mut low, &raw mut high) };
        let port = |number| u16::try_from(number).unwrap_or(u16::MAX);
        (port(low), port(high))
    }

    /// Returns the local address. Sleeps. Errors: those of the kernel's `getsockname`.
    pub fn local_addr(&self) -> Result<SocketAddr> {
        self.0.socket.addr(false)
    }

    /// Returns the peer's address, also when the connection has ended. Sleeps. Errors: [`ENOTCONN`] if there was none.
    pub fn peer_addr(&self) -> Result<SocketAddr> {
        self.0.socket.addr(true)
    }

    /// Sets options. Sleeps. Errors: [`ENOENT`] if the kernel has no such congestion control, [`EINVAL`] if a
    /// time or a count is out of range.
    pub fn set(&self, options: &Options<'_>) -> Result {
        options.apply(&self.0.socket)
    }

    /// Returns the handler. Any context.
    pub fn handler(&self) -> &H {
        &self.0.data
    }

    /// Closes the connection. No callback runs when this returns.
    ///
    /// Sleeps. Must not be called by a callback of the connection, nor by what one waits for.
    pub fn close(self) {
        self.0.close();
    }
}

/// The flags of a call that sends. With `more`, others follow soon.
fn flags(more: bool) -> c_int {
    let mut flags = bindings::MSG_DONTWAIT | bindings::MSG_NOSIGNAL;

    if more {
        flags |= bindings::MSG_MORE;
    }
    // CAST: The flags are few and positive; C keeps them in an `int`.
    flags as c_int
}

/// More than that is not asked of one call, whose result is a `c_int`.
const MAX_BYTES: usize = 1 << 30;

/// What a connection does about events.
fn react<H: Handler>(handler: &H, happened: Happened<'_>) {
    match happened {
        Happened::Data(arrived) => handler.data_ready(arrived),
        Happened::Space => handler.write_space(),
        Happened::State(state) => handler.state_changed(state),
    }
}
