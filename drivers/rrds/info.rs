// SPDX-License-Identifier: GPL-2.0

//! RDS_INFO_*: lists for administrators, read by getsockopt (spec-info).
//!
//! A list is made in two passes: the first counts, the second fills memory that was allocated in
//! between, with some to spare. If more came in than that, and the caller has room for it, there is
//! another pass.

use crate::socket::Socket;
use kernel::{
    num::casts::u32_as_usize,
    page::PAGE_SIZE,
    prelude::*, //
};
use krdma::net::{
    Open,
    OptionOut, //
};
use rds_proto::uapi::{
    info::{
        self,
        Connection,
        Counter,
        Detail,
        Listed,
        RdmaConnection,
        Record,
        SocketInfo,
        TcpSocket, //
    },
    option::transport, //
};

/// A list that is being made.
struct Records {
    bytes: KVVec<u8>,
    count: usize,
}

impl Records {
    /// Counts a record, and adds it if there is room. Any context.
    fn push(&mut self, record: &[u8]) {
        // OVERFLOW: It counts things in memory.
        self.count = self.count.wrapping_add(1);
        let room = self.bytes.capacity().saturating_sub(self.bytes.len());

        if room >= record.len() {
            // Nothing is allocated: there is room.
            let _ = self.bytes.extend_from_slice(record, GFP_NOWAIT);
        }
    }
}

/// What a list consists of.
#[derive(Clone, Copy)]
enum List {
    Counters,
    Connections,
    Unsent,
    Unacked,
    Received,
    Sockets,
    RdmaConnections,
    TcpSockets,
}

impl List {
    /// Returns the list of a number, and whether it is one with IPv6 addresses.
    const fn of(number: i32) -> Option<(Self, bool)> {
        Some(match number {
            info::COUNTERS => (Self::Counters, false),
            info::CONNECTIONS => (Self::Connections, false),
            info::SEND_MESSAGES => (Self::Unsent, false),
            info::RETRANS_MESSAGES => (Self::Unacked, false),
            info::RECV_MESSAGES => (Self::Received, false),
            info::SOCKETS => (Self::Sockets, false),
            info::TCP_SOCKETS => (Self::TcpSockets, false),
            info::RDMA_CONNECTIONS => (Self::RdmaConnections, false),
            info::CONNECTIONS6 => (Self::Connections, true),
            info::SEND_MESSAGES6 => (Self::Unsent, true),
            info::RETRANS_MESSAGES6 => (Self::Unacked, true),
            info::RECV_MESSAGES6 => (Self::Received, true),
            info::SOCKETS6 => (Self::Sockets, true),
            info::TCP_SOCKETS6 => (Self::TcpSockets, true),
            info::RDMA_CONNECTIONS6 => (Self::RdmaConnections, true),
            _ => return None,
        })
    }

    /// Returns the length of a record.
    fn stride(self, v6: bool) -> usize {
        match self {
            Self::Counters => Counter::size(v6),
            Self::Connections => Connection::size(v6),
            Self::Unsent | Self::Unacked | Self::Received => Listed::size(v6),
            Self::Sockets => SocketInfo::size(v6),
            Self::RdmaConnections => RdmaConnection::size(v6),
            Self::TcpSockets => TcpSocket::size(v6),
        }
    }

    /// Tells each record of the list.
    fn for_each(self, v6: bool, sock: &Socket, mut tell: impl FnMut(&[u8])) {
        let (space, directory) = (sock.space(), sock.directory());

        match self {
            Self::Counters => {
                let counted = directory.counted(space);
                space.stats.for_each(&counted, |name, value| {
                    Counter { name, value }.encode(v6, &mut tell);
                });
            }
            Self::Connections => {
                for transport in directory.transports.iter() {
                    transport.for_each_connection(space, &mut |connection| {
                        connection.encode(v6, &mut tell)
                    });
                }
            }
            Self::RdmaConnections | Self::TcpSockets => {
                for transport in directory.transports.iter() {
                    transport.for_each_detail(space, &mut |detail| match (self, detail) {
                        (Self::RdmaConnections, Detail::Rdma(record)) => {
                            record.encode(v6, &mut tell)
                        }
                        (Self::TcpSockets, Detail::Tcp(record)) => record.encode(v6, &mut tell),
                        _ => {}
                    });
                }
            }
            Self::Unsent | Self::Unacked => {
                let sent = matches!(self, Self::Unacked);
                for transport in directory.transports.iter() {
                    transport.for_each_message(space, sent, &mut |message| {
                        message.encode(v6, &mut tell)
                    });
                }
            }
            Self::Received => directory.for_each_socket(|sock| {
                Socket::for_each_received(sock, |message| {
                    Listed {
                        seq: message.seq,
                        len: message.payload().len(),
                        local: message.dest.addr,
                        local_port: message.dest.port,
                        peer: message.source.addr,
                        peer_port: message.source.port,
                        flags: 0,
                        tos: message.tos,
                    }
                    .encode(v6, &mut tell)
                });
            }),
            Self::Sockets => directory.for_each_socket(|sock| {
                Socket::describe(sock).encode(v6, &mut tell);
            }),
        }
    }
}

/// How often a list is made that gets longer and longer.
const ATTEMPTS: u32 = 8;

/// Room for so many records more than there were, and for a quarter of them.
const SPARE: usize = 16;

/// Gives a list.
///
/// Errors: [`ENOPROTOOPT`] if there is no such list; [`ENOSPC`] if the caller's buffer is too short,
/// whereupon it is told how long the list is, or if that grows faster than it can be made; [`EINVAL`]
/// if the buffer is said to be near the end of the numbers; [`EFAULT`]; [`ENOMEM`].
pub(crate) fn get(sock: &Open<'_, Socket>, name: i32, value: &mut OptionOut<'_>) -> Result<i32> {
    let room = usize::try_from(value.len()).map_err(|_| EINVAL)?;
    const MAX_LEN: usize = u32_as_usize(i32::MAX.unsigned_abs()) - PAGE_SIZE + 1;
    if room > MAX_LEN {
        return Err(EINVAL);
    }
    let (list, v6) = List::of(name).ok_or(ENOPROTOOPT)?;
    let stride = list.stride(v6);
    let this = sock.data();
    let has_tcp = || {
        let mut transports = this.directory().transports.iter();
        transports.any(|transport| transport.number() == transport::TCP)
    };
    if matches!(list, List::TcpSockets) && !has_tcp() {
        return Err(ENOPROTOOPT);
    }

    let mut count = 0_usize;
    list.for_each(v6, this, |_| count = count.wrapping_add(1));
    let mut attempts = ATTEMPTS;
    let records = loop {
        let expected = count.saturating_add(count / 4).saturating_add(SPARE);
        let mut records = Records {
            bytes: KVVec::with_capacity(
                expected.saturating_mul(stride).min(room),
                GFP_KERNEL_ACCOUNT,
            )?,
            count: 0,
        };
        list.for_each(v6, this, |record| records.push(record));

        let total = records.count.saturating_mul(stride);
        value.set_len(i32::try_from(total).unwrap_or(i32::MAX));
        if total <= records.bytes.len() {
            break records;
        }
        attempts = attempts.saturating_sub(1);
        if total > room || attempts == 0 {
            return Err(ENOSPC);
        }
        count = records.count;
    };
    value.write(&records.bytes)?;
    i32::try_from(stride).map_err(|_| EINVAL)
}
