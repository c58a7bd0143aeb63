// SPDX-License-Identifier: GPL-2.0

//! What an administrator can tune.

use crate::consts;

/// Tunables, handed to the calls that need them so that a change takes effect at once.
///
/// The defaults are those of C (spec-sysctl), but for `send_ring` and `max_unacked_packets`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// SEND work requests that may be in flight on a connection, from
    /// [`Profile::send_ring`](crate::limits::Profile::send_ring).
    pub send_ring: u32,
    /// Work requests posted without a completion before one asks for it.
    pub max_unsignaled: u32,
    /// Bytes of data up to which the transport copies them when it posts a frame. Such a frame, as one
    /// without data, keeps nothing until it completes, so that its completion can wait.
    pub copied: u32,
    /// Messages without ACK_REQUIRED between two with it.
    pub max_unacked_packets: u32,
    /// Bytes without ACK_REQUIRED before it is set.
    pub max_unacked_bytes: u32,
    /// Shortest delay before a second attempt to connect, in nanoseconds.
    pub reconnect_min_ns: u64,
    /// Longest delay between attempts to connect, in nanoseconds.
    pub reconnect_max_ns: u64,
    /// How long a handshake may take before it is given up, in nanoseconds. The connection manager's
    /// own limit is 16 times 4.3 s, and more where the processor is busy. This one is for the case that it
    /// forgets, and stays far from that: who ends an attempt while the connection manager reports the timeout
    /// may have it use what is freed.
    pub handshake_ns: u64,
    /// For how long a peer that is waited for may be silent before it is probed, in nanoseconds.
    pub probe_ns: u64,
    /// How long the peer may take to take in what senders have given up that are gone, in nanoseconds.
    pub linger_ns: u64,
    /// Whether to answer messages to port 0.
    pub ping_enable: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            send_ring: consts::SEND_RING,
            max_unsignaled: 16,
            copied: 0,
            max_unacked_packets: consts::MAX_UNACKED_PACKETS,
            max_unacked_bytes: consts::MAX_UNACKED_BYTES,
            reconnect_min_ns: consts::RECONNECT_MIN_NS,
            reconnect_max_ns: consts::RECONNECT_MAX_NS,
            handshake_ns: 150_000_000_000,
            probe_ns: 1_000_000_000,
            linger_ns: 10_000_000_000,
            ping_enable: true,
        }
    }
}
