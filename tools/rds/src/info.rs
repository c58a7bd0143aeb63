// SPDX-License-Identifier: GPL-2.0

//! What the kernel tells of its RDS: counters, connections, messages under way, sockets.
//!
//! Each is a list of records that `getsockopt` copies out in one piece. Most exist in two forms:
//! one has IPv4 addresses and leaves out what has none, the other has IPv6 addresses.

mod records;

pub use records::{
    Connection, ConnectionFlags, Counter, Message, RdmaConnection, Record, SocketInfo, TcpSocket,
};

use crate::{sys, Socket};
use rds_proto::uapi::{info, SOL_RDS};
use std::io;
use std::net::SocketAddr;
use std::os::fd::AsFd;

/// Attempts to read records while there come to be more of them.
const ATTEMPTS: u32 = 32;

/// Which records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i32)]
pub enum Source {
    /// Counters of everything, by name.
    Counters = info::COUNTERS,
    /// Connections with IPv4 addresses.
    Connections = info::CONNECTIONS,
    /// Messages not sent yet.
    SendMessages = info::SEND_MESSAGES,
    /// Messages sent, but not acknowledged.
    RetransMessages = info::RETRANS_MESSAGES,
    /// Messages that no one has read yet.
    RecvMessages = info::RECV_MESSAGES,
    /// Sockets bound to an IPv4 address.
    Sockets = info::SOCKETS,
    /// TCP connections of the TCP transport.
    TcpSockets = info::TCP_SOCKETS,
    /// RDMA connections.
    RdmaConnections = info::RDMA_CONNECTIONS,
    /// All connections.
    Connections6 = info::CONNECTIONS6,
    /// Messages not sent yet.
    SendMessages6 = info::SEND_MESSAGES6,
    /// Messages sent, but not acknowledged.
    RetransMessages6 = info::RETRANS_MESSAGES6,
    /// Messages that no one has read yet.
    RecvMessages6 = info::RECV_MESSAGES6,
    /// All sockets.
    Sockets6 = info::SOCKETS6,
    /// TCP connections of the TCP transport.
    TcpSockets6 = info::TCP_SOCKETS6,
    /// RDMA connections.
    RdmaConnections6 = info::RDMA_CONNECTIONS6,
}

impl Source {
    /// All of them.
    pub const ALL: [Self; 15] = [
        Self::Counters,
        Self::Connections,
        Self::SendMessages,
        Self::RetransMessages,
        Self::RecvMessages,
        Self::Sockets,
        Self::TcpSockets,
        Self::RdmaConnections,
        Self::Connections6,
        Self::SendMessages6,
        Self::RetransMessages6,
        Self::RecvMessages6,
        Self::Sockets6,
        Self::TcpSockets6,
        Self::RdmaConnections6,
    ];

    /// Whether its records have addresses of IPv6's size.
    pub const fn is_v6(self) -> bool {
        self as i32 >= Self::Connections6 as i32
    }

    /// The option's name in `rds.h`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Counters => "RDS_INFO_COUNTERS",
            Self::Connections => "RDS_INFO_CONNECTIONS",
            Self::SendMessages => "RDS_INFO_SEND_MESSAGES",
            Self::RetransMessages => "RDS_INFO_RETRANS_MESSAGES",
            Self::RecvMessages => "RDS_INFO_RECV_MESSAGES",
            Self::Sockets => "RDS_INFO_SOCKETS",
            Self::TcpSockets => "RDS_INFO_TCP_SOCKETS",
            Self::RdmaConnections => "RDS_INFO_IB_CONNECTIONS",
            Self::Connections6 => "RDS6_INFO_CONNECTIONS",
            Self::SendMessages6 => "RDS6_INFO_SEND_MESSAGES",
            Self::RetransMessages6 => "RDS6_INFO_RETRANS_MESSAGES",
            Self::RecvMessages6 => "RDS6_INFO_RECV_MESSAGES",
            Self::Sockets6 => "RDS6_INFO_SOCKETS",
            Self::TcpSockets6 => "RDS6_INFO_TCP_SOCKETS",
            Self::RdmaConnections6 => "RDS6_INFO_IB_CONNECTIONS",
        }
    }
}

/// Records as the kernel copied them out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// Where they come from.
    pub source: Source,
    /// The size of each. A kernel may have larger ones than this crate knows, with more at the end.
    pub stride: usize,
    /// All of them.
    pub bytes: Vec<u8>,
}

impl Snapshot {
    /// The records, of which `R` must be the kind that this source has.
    ///
    /// # Errors
    ///
    /// `InvalidData` if the records are shorter than they have to be, or the last one is cut.
    pub fn parse<R: Record>(&self) -> io::Result<Vec<R>> {
        let bad = |why: String| {
            io::Error::new(
                io::ErrorKind::InvalidData,
                format!("{}: {why}", self.source.name()),
            )
        };
        let wanted = R::size(self.source.is_v6());
        if self.stride < wanted {
            let stride = self.stride;
            return Err(bad(format!(
                "records of {stride} bytes instead of {wanted}"
            )));
        }
        if self.bytes.len() % self.stride != 0 {
            return Err(bad(format!(
                "{} bytes are no whole records of {}",
                self.bytes.len(),
                self.stride
            )));
        }
        self.bytes
            .chunks_exact(self.stride)
            .map(|record| R::parse(self.source.is_v6(), record))
            .collect::<Option<_>>()
            .ok_or_else(|| bad("a record is cut short".into()))
    }
}

/// A message queued or sent by a socket, of which it is not known that the peer has it.
fn is_from(message: &Message, addr: SocketAddr) -> bool {
    message.local == addr.ip().to_canonical() && message.local_port == addr.port()
}

/// Information records. They work on any RDS socket, bound or not, and tell of its whole network
/// namespace.
impl Socket {
    /// The records of one source, whatever number it has.
    ///
    /// # Errors
    ///
    /// `ENOPROTOOPT` if the kernel has no such source, as when its transport is not loaded;
    /// `ENOSPC` if there were more records each time than the time before.
    pub fn snapshot(&self, source: Source) -> io::Result<Snapshot> {
        let (stride, bytes) =
            records_of(|buffer| sys::getsockopt(self.as_fd(), SOL_RDS, source as i32, buffer))?;
        Ok(Snapshot {
            source,
            stride,
            bytes,
        })
    }

    fn records<R: Record>(&self, source: Source) -> io::Result<Vec<R>> {
        self.snapshot(source)?.parse()
    }

    /// The IPv6 form, which has all, or where a kernel lacks it the IPv4 form.
    fn either<R: Record>(&self, six: Source, four: Source) -> io::Result<Vec<R>> {
        match self.records(six) {
            Err(error) if error.raw_os_error() == Some(libc::ENOPROTOOPT) => self.records(four),
            other => other,
        }
    }

    /// All counters, in the kernel's order.
    ///
    /// # Errors
    ///
    /// As [`Socket::snapshot`].
    pub fn counters(&self) -> io::Result<Vec<Counter>> {
        self.records(Source::Counters)
    }

    /// All connections. Only those with IPv4 addresses have a type of service here.
    ///
    /// # Errors
    ///
    /// As [`Socket::snapshot`].
    pub fn connections(&self) -> io::Result<Vec<Connection>> {
        let mut all: Vec<Connection> = self.records(Source::Connections)?;
        match self.records::<Connection>(Source::Connections6) {
            Ok(more) => all.extend(more.into_iter().filter(|c| c.local.is_ipv6())),
            Err(error) if error.raw_os_error() == Some(libc::ENOPROTOOPT) => {}
            Err(error) => return Err(error),
        }
        Ok(all)
    }

    /// Messages that were not sent yet.
    ///
    /// # Errors
    ///
    /// As [`Socket::snapshot`].
    pub fn send_queue(&self) -> io::Result<Vec<Message>> {
        self.either(Source::SendMessages6, Source::SendMessages)
    }

    /// Messages that were sent, but are not acknowledged.
    ///
    /// # Errors
    ///
    /// As [`Socket::snapshot`].
    pub fn retransmit_queue(&self) -> io::Result<Vec<Message>> {
        self.either(Source::RetransMessages6, Source::RetransMessages)
    }

    /// Messages that wait in sockets to be read.
    ///
    /// # Errors
    ///
    /// As [`Socket::snapshot`].
    pub fn receive_queue(&self) -> io::Result<Vec<Message>> {
        self.either(Source::RecvMessages6, Source::RecvMessages)
    }

    /// All sockets.
    ///
    /// # Errors
    ///
    /// As [`Socket::snapshot`].
    pub fn sockets(&self) -> io::Result<Vec<SocketInfo>> {
        self.either(Source::Sockets6, Source::Sockets)
    }

    /// The TCP connections below RDS connections.
    ///
    /// # Errors
    ///
    /// As [`Socket::snapshot`].
    pub fn tcp_sockets(&self) -> io::Result<Vec<TcpSocket>> {
        self.either(Source::TcpSockets6, Source::TcpSockets)
    }

    /// The RDMA connections below RDS connections.
    ///
    /// # Errors
    ///
    /// As [`Socket::snapshot`].
    pub fn rdma_connections(&self) -> io::Result<Vec<RdmaConnection>> {
        self.either(Source::RdmaConnections6, Source::RdmaConnections)
    }

    /// How many of this socket's messages the peers have not acknowledged yet. Closing the socket
    /// takes these back, unless they have arrived. The last few stay unacknowledged until something
    /// comes back, see [`Socket::wait_delivered`]. The kernel is asked for the messages of all
    /// sockets: not for every message sent.
    ///
    /// # Errors
    ///
    /// As [`Socket::snapshot`].
    pub fn in_flight(&self) -> io::Result<usize> {
        self.in_flight_that(|_| true)
    }

    /// How many of those there are that `wanted` chooses.
    pub(crate) fn in_flight_that(&self, wanted: impl Fn(&Message) -> bool) -> io::Result<usize> {
        let Some(addr) = self.local_addr()? else {
            return Ok(0);
        };
        // A message goes from the first queue to the second when it is sent, and back when the
        // connection is lost: whoever looks into both once might miss it.
        let mut most = 0;
        for _ in 0..2 {
            let send = self.send_queue()?;
            let retransmit = self.retransmit_queue()?;
            let all = send.iter().chain(&retransmit);
            let ours = all.filter(|message| is_from(message, addr) && wanted(message));
            most = most.max(ours.count());
        }
        Ok(most)
    }
}

/// Asks until the records fit: what `getsockopt` is called with and gives, as a size of records
/// and all of them.
fn records_of(
    mut get: impl FnMut(&mut [u8]) -> (io::Result<usize>, usize),
) -> io::Result<(usize, Vec<u8>)> {
    let mut buffer = Vec::new();
    for _ in 0..ATTEMPTS {
        let (result, len) = get(&mut buffer);
        match result {
            Ok(stride) if stride > 0 && len <= buffer.len() => {
                buffer.truncate(len);
                return Ok((stride, buffer));
            }
            Ok(_) => {
                let message = "the kernel gives records of no size, or more than fit";
                return Err(io::Error::new(io::ErrorKind::InvalidData, message));
            }
            Err(error) if error.raw_os_error() == Some(libc::ENOSPC) => {
                // Some more may have come by the next attempt.
                buffer.resize(len + len / 4, 0);
            }
            Err(error) => return Err(error),
        }
    }
    Err(io::Error::from_raw_os_error(libc::ENOSPC))
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// Random numbers, the same each time.
    pub(crate) struct Random(u64);

    impl Random {
        pub(crate) fn new(seed: u64) -> Self {
            Self(seed)
        }

        pub(crate) fn next(&mut self) -> u64 {
            self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut z = self.0;
            z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            z ^ (z >> 31)
        }

        pub(crate) fn below(&mut self, end: usize) -> usize {
            (self.next() % end as u64) as usize
        }
    }

    fn no_space() -> io::Error {
        io::Error::from_raw_os_error(libc::ENOSPC)
    }

    #[test]
    fn asks_again_while_there_come_more() {
        let mut there = 100;
        let mut calls = 0;
        let got = records_of(|buffer| {
            calls += 1;
            if calls < 5 {
                there += there / 2;
            }
            if there > buffer.len() {
                return (Err(no_space()), there);
            }
            buffer[..there].fill(7);
            (Ok(10), there)
        });
        assert_eq!(got.unwrap(), (10, vec![7; there]));
    }

    #[test]
    fn gives_up_in_the_end() {
        let got = records_of(|buffer| (Err(no_space()), buffer.len() + 1000));
        assert_eq!(got.unwrap_err().raw_os_error(), Some(libc::ENOSPC));
    }

    #[test]
    fn results_that_make_no_sense() {
        for result in [(0, 0), (10, 10)] {
            let got = records_of(|_| (Ok(result.0), result.1));
            assert_eq!(got.unwrap_err().kind(), io::ErrorKind::InvalidData);
        }
        let got = records_of(|_| (Err(io::Error::from_raw_os_error(libc::ENOPROTOOPT)), 0));
        assert_eq!(got.unwrap_err().raw_os_error(), Some(libc::ENOPROTOOPT));
    }

    #[test]
    fn no_records() {
        assert_eq!(records_of(|_| (Ok(40), 0)).unwrap(), (40, vec![]));
    }

    #[test]
    fn strides() {
        let snapshot = |stride, len| Snapshot {
            source: Source::Counters,
            stride,
            bytes: vec![b'a'; len],
        };
        assert_eq!(snapshot(40, 80).parse::<Counter>().unwrap().len(), 2);
        assert_eq!(snapshot(48, 96).parse::<Counter>().unwrap().len(), 2);
        assert!(snapshot(39, 78).parse::<Counter>().is_err());
        assert!(snapshot(40, 81).parse::<Counter>().is_err());
    }

    #[test]
    fn any_bytes_parse_or_fail() {
        let mut random = Random::new(2);
        for _ in 0..2000 {
            let snapshot = Snapshot {
                source: Source::ALL[random.below(Source::ALL.len())],
                stride: 1 + random.below(100),
                bytes: (0..random.below(400))
                    .map(|_| random.next() as u8)
                    .collect(),
            };
            let whole = snapshot.bytes.len() % snapshot.stride == 0;
            let records = snapshot.bytes.len() / snapshot.stride;
            fn judge<R: Record>(snapshot: &Snapshot, whole: bool, records: usize) {
                let fits = snapshot.stride >= R::size(snapshot.source.is_v6());
                let parsed = snapshot.parse::<R>().ok().map(|all| all.len());
                assert_eq!(parsed, (fits && whole).then_some(records));
            }
            judge::<Counter>(&snapshot, whole, records);
            judge::<Connection>(&snapshot, whole, records);
            judge::<Message>(&snapshot, whole, records);
            judge::<SocketInfo>(&snapshot, whole, records);
            judge::<TcpSocket>(&snapshot, whole, records);
            judge::<RdmaConnection>(&snapshot, whole, records);
        }
    }
}
