// SPDX-License-Identifier: GPL-2.0

//! Socket options.

use crate::addr::Raw;
use crate::cmsg::TracePoint;
use crate::sys::{self, TosRequest};
use crate::Socket;
use rds_proto::uapi::option::{
    transport, CANCEL_SENT_TO, CONG_MONITOR, RECVERR, RXPATH_LATENCY, TRANSPORT,
};
use rds_proto::uapi::SOL_RDS;
use rustix::net::sockopt::{self, Timeout};
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::os::fd::AsFd;
use std::time::Duration;

/// What carries a socket's messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// RDMA reliable connections: InfiniBand and RoCE.
    Rdma,
    /// TCP.
    Tcp,
    /// Within this host. It cannot be chosen: it comes with the address.
    Loopback,
    /// A number that this crate does not know.
    Unknown(i32),
}

impl Transport {
    const fn number(self) -> i32 {
        match self {
            Self::Rdma => transport::RDMA,
            Self::Tcp => transport::TCP,
            Self::Loopback => transport::LOOPBACK,
            Self::Unknown(number) => number,
        }
    }

    const fn from_number(number: i32) -> Option<Self> {
        Some(match number {
            transport::NONE => return None,
            transport::RDMA => Self::Rdma,
            transport::TCP => Self::Tcp,
            transport::LOOPBACK => Self::Loopback,
            other => Self::Unknown(other),
        })
    }
}

impl fmt::Display for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rdma => f.write_str("rdma"),
            Self::Tcp => f.write_str("tcp"),
            Self::Loopback => f.write_str("loopback"),
            Self::Unknown(number) => number.fmt(f),
        }
    }
}

/// The options of `SOL_RDS`.
impl Socket {
    /// Sets an option, whose value [`sys::setsockopt`] says what may name.
    pub(crate) fn set(&self, name: i32, value: &[u8]) -> io::Result<()> {
        sys::setsockopt(self.as_fd(), SOL_RDS, name, value)
    }

    fn get_int(&self, name: i32) -> io::Result<i32> {
        let mut value = [0; 4];
        sys::getsockopt(self.as_fd(), SOL_RDS, name, &mut value).0?;
        Ok(i32::from_ne_bytes(value))
    }

    /// Takes back all messages to this destination that are not acknowledged: `RDS_CANCEL_SENT_TO`.
    /// What is being transmitted may still arrive.
    ///
    /// # Errors
    ///
    /// `ENOTCONN` if the socket is not bound.
    pub fn cancel_sent_to(&self, to: SocketAddr) -> io::Result<()> {
        self.set(CANCEL_SENT_TO, Raw::from(to).as_bytes())
    }

    /// Whether failed RDMA operations are reported even if they did not ask for it: `RDS_RECVERR`.
    ///
    /// # Errors
    ///
    /// None that the socket itself would cause.
    pub fn set_recverr(&self, on: bool) -> io::Result<()> {
        self.set(RECVERR, &i32::from(on).to_ne_bytes())
    }

    /// What [`Socket::set_recverr`] set; off at first.
    ///
    /// # Errors
    ///
    /// None that the socket itself would cause.
    pub fn recverr(&self) -> io::Result<bool> {
        self.get_int(RECVERR).map(|value| value != 0)
    }

    /// Whether this socket hears of destinations that have room again: `RDS_CONG_MONITOR`.
    ///
    /// When sending has failed with `ENOBUFS`, a [`Control::CongestionUpdate`] comes as soon as a
    /// port with the same number modulo 64 is free again. Without it, the socket is reported as
    /// readable whenever any peer's congestion changes.
    ///
    /// [`Control::CongestionUpdate`]: crate::Control::CongestionUpdate
    ///
    /// # Errors
    ///
    /// None that the socket itself would cause.
    pub fn set_congestion_monitor(&self, on: bool) -> io::Result<()> {
        self.set(CONG_MONITOR, &i32::from(on).to_ne_bytes())
    }

    /// Chooses the transport, before binding: `SO_RDS_TRANSPORT`. Without it, the first one that
    /// knows the address is taken; between addresses of this host that can be loopback.
    ///
    /// # Errors
    ///
    /// `EOPNOTSUPP` if the socket has a transport, `ENOPROTOOPT` if this one is not there,
    /// `EPROTOTYPE` if it does not work in this network namespace, `EINVAL`.
    pub fn set_transport(&self, transport: Transport) -> io::Result<()> {
        self.set(TRANSPORT, &transport.number().to_ne_bytes())
    }

    /// The transport, once it has one.
    ///
    /// # Errors
    ///
    /// None that the socket itself would cause.
    pub fn transport(&self) -> io::Result<Option<Transport>> {
        self.get_int(TRANSPORT).map(Transport::from_number)
    }

    /// Which stretches of each message's way are to be reported with it, as
    /// [`Control::RxLatency`](crate::Control::RxLatency): at most three, none to end it.
    ///
    /// # Errors
    ///
    /// `EFAULT` for more than three, and for points that the kernel does not know.
    pub fn set_rx_latency(&self, points: &[TracePoint]) -> io::Result<()> {
        let mut value = [0; 4];
        value[0] = points.len().try_into().unwrap_or(u8::MAX);
        for (slot, point) in value[1..].iter_mut().zip(points) {
            *slot = point.number();
        }
        self.set(RXPATH_LATENCY, &value)
    }

    /// The type of service, which over RDMA chooses the connection and its service level:
    /// `SIOCRDSSETTOS`. Once, after binding and before anything is sent.
    ///
    /// # Errors
    ///
    /// `ENOTTY` if the socket has no transport that knows of it, `EINVAL` if it has a type of
    /// service or has sent already.
    pub fn set_tos(&self, tos: u8) -> io::Result<()> {
        let mut value = tos;
        sys::ioctl_tos(self.as_fd(), TosRequest::Set, &mut value)
    }

    /// The type of service.
    ///
    /// # Errors
    ///
    /// None that the socket itself would cause.
    pub fn tos(&self) -> io::Result<u8> {
        let mut value = 0;
        sys::ioctl_tos(self.as_fd(), TosRequest::Get, &mut value)?;
        Ok(value)
    }
}

/// Options of all sockets, as they work here.
impl Socket {
    /// How many bytes may wait to be acknowledged, which is also the longest message.
    ///
    /// Tries without the limit `net.core.wmem_max` first, which needs privilege. The result is
    /// what the socket has then.
    ///
    /// # Errors
    ///
    /// None that the socket itself would cause.
    pub fn set_send_buffer(&self, bytes: usize) -> io::Result<usize> {
        if sockopt::set_socket_send_buffer_size_force(self, bytes).is_err() {
            sockopt::set_socket_send_buffer_size(self, bytes)?;
        }
        self.send_buffer()
    }

    /// See [`Socket::set_send_buffer`].
    ///
    /// # Errors
    ///
    /// None that the socket itself would cause.
    pub fn send_buffer(&self) -> io::Result<usize> {
        // The kernel keeps twice the number, and RDS takes half of it.
        Ok(sockopt::socket_send_buffer_size(self)? / 2)
    }

    /// How many bytes may wait to be read before senders are told to stop.
    ///
    /// Tries without the limit `net.core.rmem_max` first, which needs privilege. The result is
    /// what the socket has then.
    ///
    /// # Errors
    ///
    /// None that the socket itself would cause.
    pub fn set_recv_buffer(&self, bytes: usize) -> io::Result<usize> {
        if sockopt::set_socket_recv_buffer_size_force(self, bytes).is_err() {
            sockopt::set_socket_recv_buffer_size(self, bytes)?;
        }
        self.recv_buffer()
    }

    /// See [`Socket::set_recv_buffer`].
    ///
    /// # Errors
    ///
    /// None that the socket itself would cause.
    pub fn recv_buffer(&self) -> io::Result<usize> {
        Ok(sockopt::socket_recv_buffer_size(self)? / 2)
    }

    /// How long receiving waits; it fails with `ETIMEDOUT` then. `None`: for ever.
    ///
    /// # Errors
    ///
    /// `EDOM` for what the kernel cannot represent.
    pub fn set_recv_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
        Ok(sockopt::set_socket_timeout(self, Timeout::Recv, timeout)?)
    }

    /// How long sending waits for room in the send buffer; it fails with `ETIMEDOUT` then.
    ///
    /// # Errors
    ///
    /// `EDOM` for what the kernel cannot represent.
    pub fn set_send_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
        Ok(sockopt::set_socket_timeout(self, Timeout::Send, timeout)?)
    }

    /// Whether messages come with [`Control::Timestamp`](crate::Control::Timestamp).
    ///
    /// # Errors
    ///
    /// None that the socket itself would cause.
    pub fn set_timestamps(&self, on: bool) -> io::Result<()> {
        let value = i32::from(on).to_ne_bytes();
        sys::setsockopt(self.as_fd(), libc::SOL_SOCKET, libc::SO_TIMESTAMP, &value)
    }

    /// Whether [`SendFlags::ZEROCOPY`](crate::SendFlags::ZEROCOPY) may be used.
    ///
    /// # Errors
    ///
    /// None that the socket itself would cause.
    pub fn set_zerocopy(&self, on: bool) -> io::Result<()> {
        let value = i32::from(on).to_ne_bytes();
        sys::setsockopt(self.as_fd(), libc::SOL_SOCKET, libc::SO_ZEROCOPY, &value)
    }
}
