// SPDX-License-Identifier: GPL-2.0

//! Socket options of the level [`SOL_RDS`](super::SOL_RDS) (spec-options).
//!
//! The lists of [`info`](super::info) are options, too.

/// `RDS_CANCEL_SENT_TO`: takes back all messages to an address.
pub const CANCEL_SENT_TO: i32 = 1;
/// `RDS_GET_MR`: registers memory for the peers of the socket.
pub const GET_MR: i32 = 2;
/// `RDS_FREE_MR`: gives it up.
pub const FREE_MR: i32 = 3;
/// `RDS_RECVERR`: tells of failed RDMA operations that did not ask for it.
pub const RECVERR: i32 = 5;
/// `RDS_CONG_MONITOR`: tells which congested ports got free.
pub const CONG_MONITOR: i32 = 6;
/// `RDS_GET_MR_FOR_DEST`: registers memory for one peer.
pub const GET_MR_FOR_DEST: i32 = 7;
/// `SO_RDS_TRANSPORT`: chooses the transport, see [`transport`].
pub const TRANSPORT: i32 = 8;
/// `SO_RDS_MSG_RXPATH_LATENCY`: asks for the times that a message takes.
pub const RXPATH_LATENCY: i32 = 10;

/// `SO_TIMESTAMP` with a time that ends in 2038 on machines of 32 bits; works on this level as well.
pub const SO_TIMESTAMP_OLD: i32 = 29;
/// `SO_TIMESTAMP` with a time that does not.
pub const SO_TIMESTAMP_NEW: i32 = 63;

/// Transports, as [`TRANSPORT`] numbers them.
pub mod transport {
    /// None yet.
    pub const NONE: i32 = -1;
    /// RDMA reliable connections.
    pub const RDMA: i32 = 0;
    /// TCP.
    pub const TCP: i32 = 2;
    /// Within this host. It comes with the address and cannot be chosen.
    pub const LOOPBACK: i32 = 3;
}
