// SPDX-License-Identifier: GPL-2.0

//! The numbers that the protocol fixes.
//!
//! They are facts of the wire (spec-constants), not tunables: a peer running the C implementation
//! relies on every one of them.

/// Length in bytes of the header at the start of every SEND (spec-header).
pub const HEADER_LEN: usize = 48;

/// Payload bytes in every fragment of a message but the last (spec-fragments), whatever the page size.
pub const FRAGMENT_LEN: u32 = 4096;

/// [`FRAGMENT_LEN`] as an index type.
pub const FRAGMENT_BYTES: usize = 4096;

/// The largest SEND, header and payload: what a receive buffer must hold.
pub const FRAME_LEN: u32 = 4144;

/// Longest message in bytes that a socket may send (spec-constants).
pub const MAX_MESSAGE_LEN: u32 = 1 << 20;

/// Fragments of the longest message.
pub const MAX_FRAGMENTS: u32 = MAX_MESSAGE_LEN / FRAGMENT_LEN;

/// Number of ports, hence of bits in a congestion bitmap.
pub const PORTS: u32 = 1 << 16;

/// Length in bytes of a congestion bitmap (spec-bitmap).
pub const CONG_MAP_LEN: u32 = PORTS / 8;

/// [`CONG_MAP_LEN`] as an index type.
pub const CONG_MAP_BYTES: usize = 8192;

/// Bytes of extension headers inside the header (spec-extensions).
pub const EXT_LEN: usize = 16;

/// The `rdma_cm` port of the IPv4 listener.
pub const CM_PORT_IPV4: u16 = 18634;

/// The `rdma_cm` port of the IPv6 listener.
pub const CM_PORT_IPV6: u16 = 16385;

/// Port that a ping is sent to and a pong comes from.
pub const PING_PORT: u16 = 0;

/// Port of multipath probes; no socket can be bound to it.
pub const PROBE_PORT: u16 = 1;

/// Default number of SEND work requests in flight per connection.
///
/// C has 256. With [`ACK_ROOM`], the request that drains the queue and the slot that tells a full ring from an
/// empty one these are 256 entries; drivers round up to a power of two.
pub const SEND_RING: u32 = 253;

/// Default number of receive buffers that C posts per connection.
pub const RECV_RING: u32 = 1024;

/// Room in the send queue and its completion queue for registration work requests.
pub const REGISTRATION_ROOM: u32 = 512;

/// The work request set aside for a frame that carries nothing but an acknowledgement.
pub const ACK_ROOM: u32 = 1;

/// Most scatter/gather entries used in a send work request.
pub const SEND_SGE_MAX: u32 = 8;

/// Scatter/gather entries of a receive work request: header buffer and payload fragment.
pub const RECV_SGE: u32 = 2;

/// Most that an RC retry count can be (spec-cm-parameters).
pub const RETRY_COUNT_MAX: u8 = 7;

/// RNR retry count that MUST be proposed by both sides: for ever (spec-cm-parameters).
pub const RNR_RETRY_COUNT: u8 = 7;

/// Code of the minimum RNR timer, 0.32 ms.
pub const MIN_RNR_TIMER: u8 = 10;

/// Messages without ACK_REQUIRED between two with it (spec-ack-demand).
///
/// C has 8. A socket demands one by itself when its buffer is half full, so that nobody waits for more of them.
pub const MAX_UNACKED_PACKETS: u32 = 64;

/// Bytes sent without ACK_REQUIRED before the flag is forced (spec-ack-demand).
pub const MAX_UNACKED_BYTES: u32 = 16 << 20;

/// Shortest reconnect delay in nanoseconds (spec-sysctl).
pub const RECONNECT_MIN_NS: u64 = 1_000_000;

/// Longest reconnect delay in nanoseconds (spec-sysctl).
pub const RECONNECT_MAX_NS: u64 = 1_000_000_000;

/// How long a stream's connection that only the peer wants is made again when it is lost, in nanoseconds.
pub const REGAIN_NS: u64 = 300_000_000_000;

/// Shortest stay on a connection that had no memory for a message, in nanoseconds.
pub const REFUSAL_MIN_NS: u64 = 50_000_000;

/// Longest stay on a connection that had no memory for a message, in nanoseconds.
pub const REFUSAL_MAX_NS: u64 = 1_000_000_000;

const _: () = {
    assert!(FRAME_LEN as usize == HEADER_LEN + FRAGMENT_BYTES);
    assert!(FRAGMENT_LEN as usize == FRAGMENT_BYTES);
    assert!(CONG_MAP_LEN as usize == CONG_MAP_BYTES);
};
