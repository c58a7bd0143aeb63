// SPDX-License-Identifier: GPL-2.0

//! The socket itself.

use crate::addr::{self, Raw};
use crate::cmsg::{self, Control, SendControl};
use crate::flags::flags;
use crate::sys;
use crate::Family;
use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::net::{AddressFamily, SocketFlags, SocketType};
use std::io::{self, IoSlice, IoSliceMut};
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

/// Room for control messages: 16 RDMA statuses, more than anything else that comes at once.
const CONTROL: usize = 512;

flags! {
    /// How to send.
    SendFlags(i32) {
        /// Fail with `EAGAIN` or `ENOBUFS` instead of waiting.
        DONTWAIT = libc::MSG_DONTWAIT,
        /// Let the kernel read the data later, where the transport can: until
        /// [`Control::ZerocopyCompletion`] says so, what is sent is what the memory holds by then.
        ZEROCOPY = libc::MSG_ZEROCOPY,
    }
}

flags! {
    /// How to receive.
    RecvFlags(i32) {
        /// Fail with `EAGAIN` instead of waiting.
        DONTWAIT = libc::MSG_DONTWAIT,
        /// Leave the message in the queue.
        PEEK = libc::MSG_PEEK,
        /// Give the message's own length even if the buffer is shorter.
        TRUNC = libc::MSG_TRUNC,
    }
}

flags! {
    /// What to wait for, and what has come.
    Interest(i32) {
        /// There may be something to receive.
        READABLE = 1,
        /// There is room in the send buffer.
        WRITABLE = 2,
        /// Some peer's congestion changed: reported with `READABLE` to sockets that do not monitor
        /// congestion.
        CONGESTION = 4,
        /// The socket has an error.
        ERROR = 8,
    }
}

/// What was received.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Received {
    /// Bytes in the buffer; the message's length with [`RecvFlags::TRUNC`].
    pub len: usize,
    /// Who sent it. `None`: there was no message, but only notices in `control`.
    pub from: Option<SocketAddr>,
    /// Control messages.
    pub control: Vec<Control>,
    /// The buffer was too short: the rest of the message is lost.
    pub truncated: bool,
    /// Control messages were lost, or cut short.
    pub control_truncated: bool,
}

/// An RDS socket.
///
/// Closing it (by dropping) takes back what the peer has not acknowledged yet: see
/// [`Socket::wait_delivered`].
#[derive(Debug)]
pub struct Socket {
    fd: OwnedFd,
}

impl Socket {
    /// Opens a socket. It is closed when another program is executed.
    ///
    /// # Errors
    ///
    /// `EAFNOSUPPORT` if no module has this family; `ENOMEM`, `EMFILE`, `ENFILE`.
    pub fn new(family: Family) -> io::Result<Self> {
        let family = AddressFamily::from_raw(family.number());
        let kind = SocketType::SEQPACKET;
        let fd = rustix::net::socket_with(family, kind, SocketFlags::CLOEXEC, None)?;
        Ok(Self { fd })
    }

    /// Takes a local address; with port 0 one that is free. Once only.
    ///
    /// # Errors
    ///
    /// `EADDRNOTAVAIL` if the address belongs to no device that RDS can use, `EADDRINUSE`,
    /// `EINVAL` for addresses that cannot be bound to and if the socket is bound, `ENOPROTOOPT` if
    /// the address is not one of the transport chosen before.
    pub fn bind(&self, addr: SocketAddr) -> io::Result<()> {
        Ok(rustix::net::bind(&self.fd, &addr)?)
    }

    /// Sets where messages without a destination go. Nothing is sent, and messages are received
    /// from anyone all the same.
    ///
    /// # Errors
    ///
    /// `EINVAL`, `EDESTADDRREQ` and `EPROTOTYPE` for addresses that cannot be sent to.
    pub fn connect(&self, addr: SocketAddr) -> io::Result<()> {
        Ok(rustix::net::connect(&self.fd, &addr)?)
    }

    /// The address it is bound to, if it is.
    ///
    /// # Errors
    ///
    /// None that the socket itself would cause.
    pub fn local_addr(&self) -> io::Result<Option<SocketAddr>> {
        let addr = rustix::net::getsockname(&self.fd)?;
        Ok(SocketAddr::try_from(addr)
            .ok()
            .filter(|addr| !addr.ip().is_unspecified()))
    }

    /// The address it is connected to, if it is.
    ///
    /// # Errors
    ///
    /// None that the socket itself would cause.
    pub fn peer_addr(&self) -> io::Result<Option<SocketAddr>> {
        match rustix::net::getpeername(&self.fd) {
            Ok(addr) => Ok(addr.and_then(|addr| addr.try_into().ok())),
            Err(rustix::io::Errno::NOTCONN) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Whether calls fail with `EAGAIN` and `ENOBUFS` instead of waiting.
    ///
    /// # Errors
    ///
    /// None that the socket itself would cause.
    pub fn set_nonblocking(&self, on: bool) -> io::Result<()> {
        Ok(rustix::io::ioctl_fionbio(&self.fd, on)?)
    }

    /// Sends a message to the connected destination.
    ///
    /// # Errors
    ///
    /// As [`Socket::send_message`].
    pub fn send(&self, data: &[u8]) -> io::Result<usize> {
        self.send_message(&[IoSlice::new(data)], None, &[], SendFlags::NONE)
    }

    /// Sends a message. To port 0 it is a ping.
    ///
    /// # Errors
    ///
    /// As [`Socket::send_message`].
    pub fn send_to(&self, data: &[u8], to: SocketAddr) -> io::Result<usize> {
        self.send_message(&[IoSlice::new(data)], Some(to), &[], SendFlags::NONE)
    }

    /// Sends the pieces as one message, to `to` or to the connected destination.
    ///
    /// # Errors
    ///
    /// `EAGAIN`: the send buffer is full. `ENOBUFS`: the destination's socket is full. `EMSGSIZE`:
    /// longer than the send buffer or than [`MAX_MESSAGE`](crate::MAX_MESSAGE). `ENOTCONN`: not
    /// bound, or no destination. An unreachable peer is no error: the message waits for it.
    pub fn send_message(
        &self,
        data: &[IoSlice<'_>],
        to: Option<SocketAddr>,
        control: &[SendControl],
        flags: SendFlags,
    ) -> io::Result<usize> {
        self.send_raw(data, to, &cmsg::encode(control), flags)
    }

    /// As [`Socket::send_message`], with a list of control messages, which [`sys::sendmsg`] says what may name.
    pub(crate) fn send_raw(
        &self,
        data: &[IoSlice<'_>],
        to: Option<SocketAddr>,
        control: &[u8],
        flags: SendFlags,
    ) -> io::Result<usize> {
        let name = to.map(Raw::from);
        let name = name.as_ref().map_or(&[][..], Raw::as_bytes);
        sys::sendmsg(self.as_fd(), data, name, control, flags.0)
    }

    /// Receives a message, or notices.
    ///
    /// # Errors
    ///
    /// As [`Socket::recv_message`].
    pub fn recv_from(&self, buffer: &mut [u8]) -> io::Result<Received> {
        self.recv_message(&mut [IoSliceMut::new(buffer)], RecvFlags::NONE)
    }

    /// Receives a message into the pieces, or notices.
    ///
    /// # Errors
    ///
    /// `EAGAIN`: nothing there, and the socket may not wait. `ETIMEDOUT`: the receive timeout is
    /// over. `EINTR`.
    pub fn recv_message(
        &self,
        data: &mut [IoSliceMut<'_>],
        flags: RecvFlags,
    ) -> io::Result<Received> {
        let mut control = [0; CONTROL];
        let message = sys::recvmsg(self.as_fd(), data, &mut control, flags.0)?;
        Ok(Received {
            len: message.len,
            from: addr::decode(&message.name[..message.name_len]),
            control: cmsg::decode(&control[..message.control_len]),
            truncated: message.flags & libc::MSG_TRUNC != 0,
            control_truncated: message.flags & libc::MSG_CTRUNC != 0,
        })
    }

    /// Waits until something of `interest` has come, and says what. Empty when `timeout` is over
    /// or a signal came.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub fn wait(&self, interest: Interest, timeout: Option<Duration>) -> io::Result<Interest> {
        let mut wanted = PollFlags::empty();
        if interest.contains(Interest::READABLE) {
            wanted |= PollFlags::IN;
        }
        if interest.contains(Interest::WRITABLE) {
            wanted |= PollFlags::OUT;
        }
        if interest.contains(Interest::CONGESTION) {
            wanted |= PollFlags::WRBAND;
        }
        let mut fds = [PollFd::new(&self.fd, wanted)];
        let timeout = timeout.map(|timeout| Timespec {
            tv_sec: timeout.as_secs().try_into().unwrap_or(i64::MAX),
            tv_nsec: timeout.subsec_nanos().into(),
        });
        match rustix::event::poll(&mut fds, timeout.as_ref()) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        let came = fds[0].revents();
        let mut found = Interest::NONE;
        for (flag, what) in [
            (PollFlags::IN, Interest::READABLE),
            (PollFlags::OUT, Interest::WRITABLE),
            (PollFlags::WRBAND, Interest::CONGESTION),
            (PollFlags::ERR, Interest::ERROR),
        ] {
            if came.contains(flag) {
                found = found | what;
            }
        }
        Ok(found)
    }
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// A socket that was opened elsewhere; of another family, most calls fail.
impl From<OwnedFd> for Socket {
    fn from(fd: OwnedFd) -> Self {
        Self { fd }
    }
}

impl From<Socket> for OwnedFd {
    fn from(socket: Socket) -> Self {
        socket.fd
    }
}
