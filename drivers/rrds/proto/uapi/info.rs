// SPDX-License-Identifier: GPL-2.0

//! Lists that `getsockopt` gives (spec-info): their numbers and their records.
//!
//! Most lists exist in two forms. One has IPv4 addresses and leaves out what has none, the other has
//! IPv6 addresses.

mod fields;
mod records;

pub use records::{
    Connection, Counter, Detail, Listed, RdmaConnection, Record, SocketInfo, TcpSocket,
};

/// `RDS_INFO_COUNTERS`; the first of the lists.
pub const COUNTERS: i32 = 10000;
/// `RDS_INFO_CONNECTIONS`.
pub const CONNECTIONS: i32 = 10001;
/// `RDS_INFO_SEND_MESSAGES`: messages that were not sent yet.
pub const SEND_MESSAGES: i32 = 10003;
/// `RDS_INFO_RETRANS_MESSAGES`: messages that were sent and are not acknowledged.
pub const RETRANS_MESSAGES: i32 = 10004;
/// `RDS_INFO_RECV_MESSAGES`: messages that were not read yet.
pub const RECV_MESSAGES: i32 = 10005;
/// `RDS_INFO_SOCKETS`.
pub const SOCKETS: i32 = 10006;
/// `RDS_INFO_TCP_SOCKETS`.
pub const TCP_SOCKETS: i32 = 10007;
/// `RDS_INFO_IB_CONNECTIONS`: what is special about RDMA connections.
pub const RDMA_CONNECTIONS: i32 = 10008;
/// `RDS6_INFO_CONNECTIONS`; from here on lists have IPv6 addresses.
pub const CONNECTIONS6: i32 = 10011;
/// `RDS6_INFO_SEND_MESSAGES`.
pub const SEND_MESSAGES6: i32 = 10012;
/// `RDS6_INFO_RETRANS_MESSAGES`.
pub const RETRANS_MESSAGES6: i32 = 10013;
/// `RDS6_INFO_RECV_MESSAGES`.
pub const RECV_MESSAGES6: i32 = 10014;
/// `RDS6_INFO_SOCKETS`.
pub const SOCKETS6: i32 = 10015;
/// `RDS6_INFO_TCP_SOCKETS`.
pub const TCP_SOCKETS6: i32 = 10016;
/// `RDS6_INFO_IB_CONNECTIONS`; the last of the lists.
pub const RDMA_CONNECTIONS6: i32 = 10017;
