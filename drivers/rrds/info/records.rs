// SPDX-License-Identifier: GPL-2.0

//! The records of the lists, byte by byte (spec-info).
//!
//! Numbers are in the host's order, addresses and ports in that of the network. Lists with IPv4
//! addresses leave out what has none.

use crate::message::Endpoint;
use kernel::prelude::*;
use rds_proto::wire::Addr;

/// Length of a counter.
pub(super) const COUNTER: usize = 40;

/// Length of the name of a transport.
const TRANSPORT: usize = 16;

/// Fills a record from its start.
struct Writer<const N: usize> {
    bytes: [u8; N],
    at: usize,
}

impl<const N: usize> Writer<N> {
    const fn new() -> Self {
        Self {
            bytes: [0; N],
            at: 0,
        }
    }

    /// Appends bytes, as far as there is room.
    fn put(mut self, bytes: &[u8]) -> Self {
        for (to, from) in self.bytes.iter_mut().skip(self.at).zip(bytes) {
            *to = *from;
        }
        self.skip(bytes.len())
    }

    /// Leaves zeros.
    fn skip(mut self, count: usize) -> Self {
        self.at = self.at.saturating_add(count);
        self
    }

    /// Appends an address in the form of the list; nothing if it has none.
    fn addr(self, addr: Addr, v6: bool) -> Self {
        if v6 {
            self.put(&addr.0)
        } else {
            self.put(&addr.to_v4().unwrap_or_default())
        }
    }

    fn port(self, port: u16) -> Self {
        self.put(&port.to_be_bytes())
    }

    fn u32(self, number: u32) -> Self {
        self.put(&number.to_ne_bytes())
    }

    fn u64(self, number: u64) -> Self {
        self.put(&number.to_ne_bytes())
    }
}

/// A counter: its name with zeros behind it, and the count.
pub(super) fn counter(name: &str, count: u64) -> [u8; COUNTER] {
    const NAME: usize = 32;
    let name = name.as_bytes();
    let name = name.get(..NAME - 1).unwrap_or(name);

    Writer::new()
        .put(name)
        .skip(NAME.saturating_sub(name.len()))
        .u64(count)
        .bytes
}

/// A connection.
pub(crate) struct Connection {
    /// The number of the next message to send.
    pub(crate) next_tx: u64,
    /// The number of the next message to receive.
    pub(crate) next_rx: u64,
    pub(crate) local: Addr,
    pub(crate) peer: Addr,
    /// The name of the transport, such as `infiniband`.
    pub(crate) transport: &'static str,
    /// [`SENDING`](Self::SENDING) and so on.
    pub(crate) flags: u8,
    pub(crate) tos: u8,
}

impl Connection {
    /// Something is being sent at the moment.
    pub(crate) const SENDING: u8 = 1;
    /// A connection is being made.
    pub(crate) const CONNECTING: u8 = 2;
    /// There is a connection.
    pub(crate) const CONNECTED: u8 = 4;

    pub(super) const V4: usize = 42;
    pub(super) const V6: usize = 65;

    fn write<const N: usize>(&self, v6: bool) -> Writer<N> {
        let name = self.transport.as_bytes();
        let name = name.get(..TRANSPORT).unwrap_or(name);

        Writer::new()
            .u64(self.next_tx)
            .u64(self.next_rx)
            .addr(self.local, v6)
            .addr(self.peer, v6)
            .put(name)
            .skip(TRANSPORT.saturating_sub(name.len()))
            .put(&[self.flags])
    }

    pub(super) fn encode(&self, v6: bool, tell: &mut impl FnMut(&[u8])) {
        if v6 {
            tell(&self.write::<{ Self::V6 }>(true).bytes);
        } else if self.local.to_v4().is_some() {
            tell(&self.write::<{ Self::V4 }>(false).put(&[self.tos]).bytes);
        }
    }
}

/// A message that waits somewhere.
pub(crate) struct Listed {
    pub(crate) seq: u64,
    pub(crate) len: u32,
    pub(crate) local: Endpoint,
    pub(crate) peer: Endpoint,
    pub(crate) tos: u8,
}

impl Listed {
    pub(super) const V4: usize = 26;
    pub(super) const V6: usize = 50;

    fn write<const N: usize>(&self, v6: bool) -> Writer<N> {
        Writer::new()
            .u64(self.seq)
            .u32(self.len)
            .addr(self.local.addr, v6)
            .addr(self.peer.addr, v6)
            .port(self.local.port)
            .port(self.peer.port)
            // There are no flags.
            .put(&[0, self.tos])
    }

    pub(super) fn encode(&self, v6: bool, tell: &mut impl FnMut(&[u8])) {
        if v6 {
            tell(&self.write::<{ Self::V6 }>(true).bytes);
        } else if self.local.addr.to_v4().is_some() {
            tell(&self.write::<{ Self::V4 }>(false).bytes);
        }
    }
}

/// A socket.
pub(crate) struct SocketInfo {
    pub(crate) sndbuf: u32,
    pub(crate) rcvbuf: u32,
    pub(crate) bound: Option<Endpoint>,
    pub(crate) connected: Option<Endpoint>,
    pub(crate) inode: u64,
}

impl SocketInfo {
    pub(super) const V4: usize = 28;
    pub(super) const V6: usize = 52;

    fn write<const N: usize>(&self, v6: bool) -> Writer<N> {
        let bound = self.bound.unwrap_or_default();
        let connected = self.connected.unwrap_or_default();

        Writer::new()
            .u32(self.sndbuf)
            .addr(bound.addr, v6)
            .addr(connected.addr, v6)
            .port(bound.port)
            .port(connected.port)
            .u32(self.rcvbuf)
            .u64(self.inode)
    }

    pub(super) fn encode(&self, v6: bool, tell: &mut impl FnMut(&[u8])) {
        if v6 {
            tell(&self.write::<{ Self::V6 }>(true).bytes);
        } else if self.bound.is_some_and(|bound| bound.addr.to_v4().is_some()) {
            tell(&self.write::<{ Self::V4 }>(false).bytes);
        }
    }
}

/// A connection of the RDMA transport.
#[derive(Default)]
pub(crate) struct RdmaConnection {
    pub(crate) local: Addr,
    pub(crate) peer: Addr,
    pub(crate) sgid: [u8; 16],
    pub(crate) dgid: [u8; 16],
    pub(crate) max_send_wr: u32,
    pub(crate) max_recv_wr: u32,
    pub(crate) max_send_sge: u32,
    pub(crate) mr_max: u32,
    pub(crate) mr_size: u32,
    pub(crate) tos: u8,
    pub(crate) sl: u8,
    /// Memory kept for receiving, in KiB.
    pub(crate) cache_kib: u32,
}

impl RdmaConnection {
    pub(super) const V4: usize = 68;
    pub(super) const V6: usize = 92;

    fn write<const N: usize>(&self, v6: bool) -> Writer<N> {
        Writer::new()
            .addr(self.local, v6)
            .addr(self.peer, v6)
            .put(&self.sgid)
            .put(&self.dgid)
            .u32(self.max_send_wr)
            .u32(self.max_recv_wr)
            .u32(self.max_send_sge)
            .u32(self.mr_max)
            .u32(self.mr_size)
            .put(&[self.tos, self.sl])
            .skip(2)
            .u32(self.cache_kib)
    }

    pub(super) fn encode(&self, v6: bool, tell: &mut impl FnMut(&[u8])) {
        if v6 {
            tell(&self.write::<{ Self::V6 }>(true).bytes);
        } else if self.local.to_v4().is_some() {
            tell(&self.write::<{ Self::V4 }>(false).bytes);
        }
    }
}

#[kunit_tests(rrds_info_records)]
mod tests {
    use super::*;

    /// Every record ends where its last field does.
    #[test]
    fn records_are_full() {
        let at = Endpoint {
            addr: Addr::v4([10, 0, 0, 1]),
            port: 0x1234,
        };
        let connection = Connection {
            next_tx: 1,
            next_rx: 2,
            local: at.addr,
            peer: at.addr,
            transport: "infiniband",
            flags: Connection::CONNECTED,
            tos: 9,
        };
        assert_eq!(connection.write::<65>(true).at, Connection::V6);
        assert_eq!(connection.write::<42>(false).at + 1, Connection::V4);
        let message = Listed {
            seq: 1,
            len: 2,
            local: at,
            peer: at,
            tos: 9,
        };
        assert_eq!(message.write::<50>(true).at, Listed::V6);
        assert_eq!(message.write::<26>(false).at, Listed::V4);
        let socket = SocketInfo {
            sndbuf: 1,
            rcvbuf: 2,
            bound: Some(at),
            connected: None,
            inode: 3,
        };
        assert_eq!(socket.write::<52>(true).at, SocketInfo::V6);
        assert_eq!(socket.write::<28>(false).at, SocketInfo::V4);
        let raw = socket.write::<28>(false).bytes;
        assert_eq!(raw[4..14], [10, 0, 0, 1, 0, 0, 0, 0, 0x12, 0x34]);
    }

    #[test]
    fn names_end_with_a_zero() {
        let long = "a name that is longer than the field for it";
        assert_eq!(counter(long, 7)[31], 0);
        assert_eq!(counter("ping", 7)[..5], *b"ping\0");
        assert_eq!(counter("ping", 7)[32..], 7_u64.to_ne_bytes());
    }
}
