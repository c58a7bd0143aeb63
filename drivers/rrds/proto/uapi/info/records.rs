// SPDX-License-Identifier: GPL-2.0

//! The records, byte by byte. They are packed, and several fields of 8 bytes begin anywhere.

use super::fields::{Reader, Writer};
use crate::wire::Addr;

/// Length of the longest record.
const LONGEST: usize = 92;
/// Length of the name of a counter, with a zero at its end.
const NAME: usize = 32;
/// Length of the name of a transport.
const TRANSPORT: usize = 16;

/// A kind of record.
pub trait Record<'a>: Sized {
    /// Length with IPv4 addresses.
    const V4: usize;
    /// Length with IPv6 addresses.
    const V6: usize;

    /// Whether the record is in a list with IPv4 addresses.
    fn is_v4(&self) -> bool;

    /// Reads a record, which may have more bytes than are known; `None` if it has fewer.
    fn parse(v6: bool, bytes: &'a [u8]) -> Option<Self>;

    /// Writes the fields.
    #[doc(hidden)]
    fn write(&self, v6: bool, to: &mut [u8]) -> usize;

    /// Length of a record.
    fn size(v6: bool) -> usize {
        if v6 {
            Self::V6
        } else {
            Self::V4
        }
    }

    /// Calls `tell` with the bytes of the record, unless it is not in the list.
    fn encode(&self, v6: bool, tell: &mut dyn FnMut(&[u8])) {
        let mut bytes = [0; LONGEST];

        if v6 || self.is_v4() {
            self.write(v6, &mut bytes);
            tell(bytes.get(..Self::size(v6)).unwrap_or_default());
        }
    }
}

fn is_v4(addr: Addr) -> bool {
    addr.to_v4().is_some()
}

/// A counter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counter<'a> {
    /// Its name, such as `conn_reset`.
    pub name: &'a str,
    /// Its value since the module was loaded.
    pub value: u64,
}

impl<'a> Record<'a> for Counter<'a> {
    const V4: usize = 40;
    const V6: usize = 40;

    fn is_v4(&self) -> bool {
        true
    }

    fn parse(v6: bool, bytes: &'a [u8]) -> Option<Self> {
        let mut fields = Reader::new(bytes, v6);
        Some(Self {
            name: fields.text(NAME)?,
            value: fields.u64()?,
        })
    }

    fn write(&self, v6: bool, to: &mut [u8]) -> usize {
        let mut fields = Writer::new(to, v6);
        fields.text(self.name, NAME - 1).skip(1).u64(self.value);
        fields.len()
    }
}

/// A connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Connection<'a> {
    /// The number of the next message to send.
    pub next_tx: u64,
    /// The number of the next message to receive.
    pub next_rx: u64,
    /// Our address.
    pub local: Addr,
    /// The peer's.
    pub peer: Addr,
    /// The name of the transport, such as `infiniband`.
    pub transport: &'a str,
    /// [`SENDING`](Self::SENDING) and so on.
    pub flags: u8,
    /// Type of service; the form with IPv6 addresses does not have it.
    pub tos: Option<u8>,
}

impl Connection<'_> {
    /// Something is being sent at the moment.
    pub const SENDING: u8 = 1;
    /// A connection is being made.
    pub const CONNECTING: u8 = 2;
    /// There is a connection.
    pub const CONNECTED: u8 = 4;
}

impl<'a> Record<'a> for Connection<'a> {
    const V4: usize = 42;
    const V6: usize = 65;

    fn is_v4(&self) -> bool {
        is_v4(self.local)
    }

    fn parse(v6: bool, bytes: &'a [u8]) -> Option<Self> {
        let mut fields = Reader::new(bytes, v6);
        Some(Self {
            next_tx: fields.u64()?,
            next_rx: fields.u64()?,
            local: fields.addr()?,
            peer: fields.addr()?,
            transport: fields.text(TRANSPORT)?,
            flags: fields.u8()?,
            tos: if v6 { None } else { Some(fields.u8()?) },
        })
    }

    fn write(&self, v6: bool, to: &mut [u8]) -> usize {
        let mut fields = Writer::new(to, v6);
        fields.u64(self.next_tx).u64(self.next_rx);
        fields.addr(self.local).addr(self.peer);
        fields.text(self.transport, TRANSPORT).u8(self.flags);
        if !v6 {
            fields.u8(self.tos.unwrap_or(0));
        }
        fields.len()
    }
}

/// A message that waits somewhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Listed {
    /// Its number on its connection.
    pub seq: u64,
    /// Its length in bytes.
    pub len: u32,
    /// The address on this host.
    pub local: Addr,
    /// The port on this host.
    pub local_port: u16,
    /// The other host's address.
    pub peer: Addr,
    /// The port there.
    pub peer_port: u16,
    /// None are known.
    pub flags: u8,
    /// Type of service.
    pub tos: u8,
}

impl Record<'_> for Listed {
    const V4: usize = 26;
    const V6: usize = 50;

    fn is_v4(&self) -> bool {
        is_v4(self.local)
    }

    fn parse(v6: bool, bytes: &[u8]) -> Option<Self> {
        let mut fields = Reader::new(bytes, v6);
        let (seq, len) = (fields.u64()?, fields.u32()?);
        let (local, peer) = (fields.addr()?, fields.addr()?);
        Some(Self {
            seq,
            len,
            local,
            local_port: fields.port()?,
            peer,
            peer_port: fields.port()?,
            flags: fields.u8()?,
            tos: fields.u8()?,
        })
    }

    fn write(&self, v6: bool, to: &mut [u8]) -> usize {
        let mut fields = Writer::new(to, v6);
        fields.u64(self.seq).u32(self.len);
        fields.addr(self.local).addr(self.peer);
        fields.port(self.local_port).port(self.peer_port);
        fields.u8(self.flags).u8(self.tos);
        fields.len()
    }
}

/// A socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SocketInfo {
    /// Bytes that may wait to be acknowledged.
    pub sndbuf: u32,
    /// The address it is bound to; 0 if it is not.
    pub bound: Addr,
    /// The port it is bound to.
    pub bound_port: u16,
    /// Destination of messages that name none; 0 if it has none.
    pub connected: Addr,
    /// The port there.
    pub connected_port: u16,
    /// Bytes that may wait to be read.
    pub rcvbuf: u32,
    /// Number of its inode, as in `/proc/PID/fd`.
    pub inode: u64,
}

impl Record<'_> for SocketInfo {
    const V4: usize = 28;
    const V6: usize = 52;

    fn is_v4(&self) -> bool {
        is_v4(self.bound)
    }

    fn parse(v6: bool, bytes: &[u8]) -> Option<Self> {
        let mut fields = Reader::new(bytes, v6);
        let sndbuf = fields.u32()?;
        let (bound, connected) = (fields.addr()?, fields.addr()?);
        Some(Self {
            sndbuf,
            bound,
            bound_port: fields.port()?,
            connected,
            connected_port: fields.port()?,
            rcvbuf: fields.u32()?,
            inode: fields.u64()?,
        })
    }

    fn write(&self, v6: bool, to: &mut [u8]) -> usize {
        let mut fields = Writer::new(to, v6);
        fields.u32(self.sndbuf);
        fields.addr(self.bound).addr(self.connected);
        fields.port(self.bound_port).port(self.connected_port);
        fields.u32(self.rcvbuf).u64(self.inode);
        fields.len()
    }
}

/// The TCP connection below a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TcpSocket {
    /// Our address.
    pub local: Addr,
    /// Our port.
    pub local_port: u16,
    /// The peer's address.
    pub peer: Addr,
    /// The peer's port.
    pub peer_port: u16,
    /// Bytes of the current message's header that are still to come.
    pub header_remaining: u64,
    /// Bytes of the current message that are still to come.
    pub data_remaining: u64,
    /// TCP sequence number after what was sent last.
    pub last_sent_next: u32,
    /// TCP sequence number whose acknowledgement is waited for.
    pub last_expected: u32,
    /// TCP sequence number acknowledged last.
    pub last_seen: u32,
    /// Type of service; the form with IPv6 addresses does not have it.
    pub tos: Option<u8>,
}

impl Record<'_> for TcpSocket {
    const V4: usize = 41;
    const V6: usize = 64;

    fn is_v4(&self) -> bool {
        is_v4(self.local)
    }

    fn parse(v6: bool, bytes: &[u8]) -> Option<Self> {
        let mut fields = Reader::new(bytes, v6);
        Some(Self {
            local: fields.addr()?,
            local_port: fields.port()?,
            peer: fields.addr()?,
            peer_port: fields.port()?,
            header_remaining: fields.u64()?,
            data_remaining: fields.u64()?,
            last_sent_next: fields.u32()?,
            last_expected: fields.u32()?,
            last_seen: fields.u32()?,
            tos: if v6 { None } else { Some(fields.u8()?) },
        })
    }

    fn write(&self, v6: bool, to: &mut [u8]) -> usize {
        let mut fields = Writer::new(to, v6);
        fields.addr(self.local).port(self.local_port);
        fields.addr(self.peer).port(self.peer_port);
        fields.u64(self.header_remaining).u64(self.data_remaining);
        fields.u32(self.last_sent_next).u32(self.last_expected);
        fields.u32(self.last_seen);
        if !v6 {
            fields.u8(self.tos.unwrap_or(0));
        }
        fields.len()
    }
}

/// The RDMA connection below a connection. Most is filled in only while it is up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RdmaConnection {
    /// Our address.
    pub local: Addr,
    /// The peer's.
    pub peer: Addr,
    /// Our port's address in the RDMA network.
    pub sgid: [u8; 16],
    /// The peer's.
    pub dgid: [u8; 16],
    /// Size of the send ring.
    pub max_send_wr: u32,
    /// Size of the receive ring.
    pub max_recv_wr: u32,
    /// Pieces of memory in one send.
    pub max_send_sge: u32,
    /// Memory regions that can be had.
    pub mr_max: u32,
    /// Pages of a memory region.
    pub mr_size: u32,
    /// Type of service.
    pub tos: u8,
    /// Service level.
    pub sl: u8,
    /// KiB of receive buffers kept for reuse.
    pub cache_kib: u32,
}

impl Record<'_> for RdmaConnection {
    const V4: usize = 68;
    const V6: usize = LONGEST;

    fn is_v4(&self) -> bool {
        is_v4(self.local)
    }

    fn parse(v6: bool, bytes: &[u8]) -> Option<Self> {
        let mut fields = Reader::new(bytes, v6);
        Some(Self {
            local: fields.addr()?,
            peer: fields.addr()?,
            sgid: fields.array()?,
            dgid: fields.array()?,
            max_send_wr: fields.u32()?,
            max_recv_wr: fields.u32()?,
            max_send_sge: fields.u32()?,
            mr_max: fields.u32()?,
            mr_size: fields.u32()?,
            tos: fields.u8()?,
            sl: fields.u8()?,
            cache_kib: {
                fields.take(2)?;
                fields.u32()?
            },
        })
    }

    fn write(&self, v6: bool, to: &mut [u8]) -> usize {
        let mut fields = Writer::new(to, v6);
        fields.addr(self.local).addr(self.peer);
        fields.put(&self.sgid).put(&self.dgid);
        fields.u32(self.max_send_wr).u32(self.max_recv_wr);
        fields.u32(self.max_send_sge);
        fields.u32(self.mr_max).u32(self.mr_size);
        fields.u8(self.tos).u8(self.sl).skip(2).u32(self.cache_kib);
        fields.len()
    }
}

/// What is special about a connection, by what is below it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Detail {
    /// Of an RDMA connection.
    Rdma(RdmaConnection),
    /// Of a TCP connection.
    Tcp(TcpSocket),
}

#[cfg(test)]
mod tests;
