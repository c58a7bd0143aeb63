// SPDX-License-Identifier: GPL-2.0

//! The records, as programs like them: [`uapi::info`] reads the bytes.

use rds_proto::uapi;
use rds_proto::uapi::info::Record as _;
use rds_proto::wire::Addr;
use std::fmt;
use std::net::{IpAddr, Ipv6Addr};

/// A kind of record.
pub trait Record: Sized {
    /// How many bytes it has at least; `v6` says in which form.
    fn size(v6: bool) -> usize;

    /// Reads one; `None` if there are fewer bytes than [`Record::size`].
    fn parse(v6: bool, bytes: &[u8]) -> Option<Self>;
}

/// An address; a mapped IPv4 address as what it stands for.
fn ip(addr: Addr) -> IpAddr {
    Ipv6Addr::from(addr.0).to_canonical()
}

/// A counter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Counter {
    /// Its name, such as `conn_reset`.
    pub name: String,
    /// Its value since the module was loaded.
    pub value: u64,
}

impl Record for Counter {
    fn size(v6: bool) -> usize {
        uapi::info::Counter::size(v6)
    }

    fn parse(v6: bool, bytes: &[u8]) -> Option<Self> {
        let record = uapi::info::Counter::parse(v6, bytes)?;
        Some(Self {
            name: record.name.to_owned(),
            value: record.value,
        })
    }
}

/// The state of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConnectionFlags(pub u8);

impl ConnectionFlags {
    /// Someone is sending at this moment.
    pub const fn sending(self) -> bool {
        self.0 & uapi::info::Connection::SENDING != 0
    }

    /// It is being made.
    pub const fn connecting(self) -> bool {
        self.0 & uapi::info::Connection::CONNECTING != 0
    }

    /// It is up.
    pub const fn connected(self) -> bool {
        self.0 & uapi::info::Connection::CONNECTED != 0
    }
}

/// `S` sending, `C` connecting, `U` up, `-` for each that it is not.
impl fmt::Display for ConnectionFlags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let letter = |on, letter| if on { letter } else { '-' };
        write!(
            f,
            "{}{}{}",
            letter(self.sending(), 'S'),
            letter(self.connecting(), 'C'),
            letter(self.connected(), 'U')
        )
    }
}

/// A connection to another host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Connection {
    /// Our address.
    pub local: IpAddr,
    /// The peer's.
    pub remote: IpAddr,
    /// Number that the next message sent gets.
    pub next_tx: u64,
    /// Number of the message that comes next.
    pub next_rx: u64,
    /// `infiniband`, `tcp`, `loopback`.
    pub transport: String,
    /// Its state.
    pub flags: ConnectionFlags,
    /// Type of service; the IPv6 form does not tell.
    pub tos: Option<u8>,
}

impl Record for Connection {
    fn size(v6: bool) -> usize {
        uapi::info::Connection::size(v6)
    }

    fn parse(v6: bool, bytes: &[u8]) -> Option<Self> {
        let record = uapi::info::Connection::parse(v6, bytes)?;
        Some(Self {
            local: ip(record.local),
            remote: ip(record.peer),
            next_tx: record.next_tx,
            next_rx: record.next_rx,
            transport: record.transport.to_owned(),
            flags: ConnectionFlags(record.flags),
            tos: record.tos,
        })
    }
}

/// A message in one of the queues.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// Its number on its connection.
    pub sequence: u64,
    /// Its length in bytes.
    pub len: u32,
    /// The address on this host.
    pub local: IpAddr,
    /// The port on this host.
    pub local_port: u16,
    /// The other host's address.
    pub remote: IpAddr,
    /// The port there.
    pub remote_port: u16,
    /// Always 0 so far.
    pub flags: u8,
    /// Type of service.
    pub tos: u8,
}

impl Record for Message {
    fn size(v6: bool) -> usize {
        uapi::info::Listed::size(v6)
    }

    fn parse(v6: bool, bytes: &[u8]) -> Option<Self> {
        let record = uapi::info::Listed::parse(v6, bytes)?;
        Some(Self {
            sequence: record.seq,
            len: record.len,
            local: ip(record.local),
            local_port: record.local_port,
            remote: ip(record.peer),
            remote_port: record.peer_port,
            flags: record.flags,
            tos: record.tos,
        })
    }
}

/// A socket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SocketInfo {
    /// Address it is bound to; unspecified if it is not.
    pub bound: IpAddr,
    /// Its port.
    pub bound_port: u16,
    /// Destination of messages that name none; unspecified if it has none.
    pub connected: IpAddr,
    /// The port there.
    pub connected_port: u16,
    /// Bytes that may wait to be acknowledged.
    pub send_buffer: u32,
    /// Bytes that may wait to be read.
    pub recv_buffer: u32,
    /// Number of its inode, as in `/proc/PID/fd`.
    pub inode: u64,
}

impl Record for SocketInfo {
    fn size(v6: bool) -> usize {
        uapi::info::SocketInfo::size(v6)
    }

    fn parse(v6: bool, bytes: &[u8]) -> Option<Self> {
        let record = uapi::info::SocketInfo::parse(v6, bytes)?;
        Some(Self {
            bound: ip(record.bound),
            bound_port: record.bound_port,
            connected: ip(record.connected),
            connected_port: record.connected_port,
            send_buffer: record.sndbuf,
            recv_buffer: record.rcvbuf,
            inode: record.inode,
        })
    }
}

/// The TCP connection below an RDS connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TcpSocket {
    /// Our address.
    pub local: IpAddr,
    /// Our port.
    pub local_port: u16,
    /// The peer's address.
    pub peer: IpAddr,
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
    /// Type of service; the IPv6 form does not tell.
    pub tos: Option<u8>,
}

impl Record for TcpSocket {
    fn size(v6: bool) -> usize {
        uapi::info::TcpSocket::size(v6)
    }

    fn parse(v6: bool, bytes: &[u8]) -> Option<Self> {
        let record = uapi::info::TcpSocket::parse(v6, bytes)?;
        Some(Self {
            local: ip(record.local),
            local_port: record.local_port,
            peer: ip(record.peer),
            peer_port: record.peer_port,
            header_remaining: record.header_remaining,
            data_remaining: record.data_remaining,
            last_sent_next: record.last_sent_next,
            last_expected: record.last_expected,
            last_seen: record.last_seen,
            tos: record.tos,
        })
    }
}

/// The RDMA connection below an RDS connection. Most is filled in only while it is up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RdmaConnection {
    /// Our address.
    pub local: IpAddr,
    /// The peer's.
    pub remote: IpAddr,
    /// Our port's address in the RDMA network.
    pub local_gid: Ipv6Addr,
    /// The peer's.
    pub remote_gid: Ipv6Addr,
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
    pub cache_allocs: u32,
}

impl Record for RdmaConnection {
    fn size(v6: bool) -> usize {
        uapi::info::RdmaConnection::size(v6)
    }

    fn parse(v6: bool, bytes: &[u8]) -> Option<Self> {
        let record = uapi::info::RdmaConnection::parse(v6, bytes)?;
        Some(Self {
            local: ip(record.local),
            remote: ip(record.peer),
            local_gid: record.sgid.into(),
            remote_gid: record.dgid.into(),
            max_send_wr: record.max_send_wr,
            max_recv_wr: record.max_recv_wr,
            max_send_sge: record.max_send_sge,
            mr_max: record.mr_max,
            mr_size: record.mr_size,
            tos: record.tos,
            sl: record.sl,
            cache_allocs: record.cache_kib,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Bytes that all differ, so that a field read at a wrong place is seen.
    fn numbered(len: usize) -> Vec<u8> {
        (1..=len as u8).collect()
    }

    /// The number whose bytes, in this machine's order, are those at `at` of [`numbered`].
    fn word(at: u8) -> u32 {
        u32::from_ne_bytes([at + 1, at + 2, at + 3, at + 4])
    }

    fn long(at: u8) -> u64 {
        u64::from_ne_bytes(std::array::from_fn(|i| at + 1 + i as u8))
    }

    fn v4(at: u8) -> IpAddr {
        [at + 1, at + 2, at + 3, at + 4].into()
    }

    fn v6(at: u8) -> IpAddr {
        std::array::from_fn::<u8, 16, _>(|i| at + 1 + i as u8).into()
    }

    fn port(at: u8) -> u16 {
        u16::from_be_bytes([at + 1, at + 2])
    }

    fn parsed<R: Record>(six: bool) -> R {
        let bytes = numbered(R::size(six));
        for len in 0..bytes.len() {
            assert!(
                R::parse(six, &bytes[..len]).is_none(),
                "{len} bytes are enough"
            );
        }
        R::parse(six, &bytes).unwrap()
    }

    #[test]
    fn counter() {
        let mut bytes = [0; 40];
        bytes[..10].copy_from_slice(b"conn_reset");
        bytes[32..].copy_from_slice(&5_u64.to_ne_bytes());
        let counter = Counter::parse(false, &bytes).unwrap();
        assert_eq!((&*counter.name, counter.value), ("conn_reset", 5));
        bytes.fill(b'x');
        assert_eq!(Counter::parse(false, &bytes).unwrap().name, "x".repeat(32));
    }

    #[test]
    fn connection() {
        let four: Connection = parsed(false);
        assert_eq!((four.next_tx, four.next_rx), (long(0), long(8)));
        assert_eq!((four.local, four.remote), (v4(16), v4(20)));
        assert_eq!(four.transport.as_bytes(), &numbered(42)[24..40]);
        assert_eq!((four.flags.0, four.tos), (41, Some(42)));
        let six: Connection = parsed(true);
        assert_eq!((six.local, six.remote), (v6(16), v6(32)));
        assert_eq!((six.flags.0, six.tos), (65, None));
    }

    #[test]
    fn flags() {
        assert_eq!(ConnectionFlags(0).to_string(), "---");
        assert_eq!(ConnectionFlags(5).to_string(), "S-U");
        assert_eq!(ConnectionFlags(2).to_string(), "-C-");
    }

    #[test]
    fn message() {
        let four: Message = parsed(false);
        assert_eq!((four.sequence, four.len), (long(0), word(8)));
        assert_eq!((four.local, four.remote), (v4(12), v4(16)));
        assert_eq!((four.local_port, four.remote_port), (port(20), port(22)));
        assert_eq!((four.flags, four.tos), (25, 26));
        let six: Message = parsed(true);
        assert_eq!((six.local, six.remote), (v6(12), v6(28)));
        assert_eq!((six.local_port, six.tos), (port(44), 50));
    }

    #[test]
    fn socket() {
        let four: SocketInfo = parsed(false);
        assert_eq!((four.send_buffer, four.recv_buffer), (word(0), word(16)));
        assert_eq!((four.bound, four.connected), (v4(4), v4(8)));
        assert_eq!((four.bound_port, four.connected_port), (port(12), port(14)));
        assert_eq!(four.inode, long(20));
        let six: SocketInfo = parsed(true);
        assert_eq!((six.bound, six.connected), (v6(4), v6(20)));
        assert_eq!((six.recv_buffer, six.inode), (word(40), long(44)));
    }

    #[test]
    fn tcp_socket() {
        let four: TcpSocket = parsed(false);
        assert_eq!((four.local, four.local_port), (v4(0), port(4)));
        assert_eq!((four.peer, four.peer_port), (v4(6), port(10)));
        assert_eq!(
            (four.header_remaining, four.data_remaining),
            (long(12), long(20))
        );
        assert_eq!((four.last_seen, four.tos), (word(36), Some(41)));
        let six: TcpSocket = parsed(true);
        assert_eq!((six.peer, six.peer_port), (v6(18), port(34)));
        assert_eq!((six.last_seen, six.tos), (word(60), None));
    }

    #[test]
    fn rdma_connection() {
        let four: RdmaConnection = parsed(false);
        assert_eq!((four.local, four.remote), (v4(0), v4(4)));
        assert_eq!(IpAddr::V6(four.remote_gid), v6(24));
        assert_eq!((four.max_send_wr, four.mr_size), (word(40), word(56)));
        assert_eq!((four.tos, four.sl, four.cache_allocs), (61, 62, word(64)));
        let six: RdmaConnection = parsed(true);
        assert_eq!((six.max_send_wr, six.tos), (word(64), 85));
        assert_eq!(six.cache_allocs, word(88));
    }

    #[test]
    fn mapped_addresses_are_ipv4() {
        let mut bytes = [0; 52];
        bytes[14..20].copy_from_slice(&[0xff, 0xff, 10, 0, 0, 1]);
        let socket = SocketInfo::parse(true, &bytes).unwrap();
        assert_eq!(socket.bound.to_string(), "10.0.0.1");
        assert_eq!(socket.connected.to_string(), "::");
    }
}
