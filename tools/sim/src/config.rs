// SPDX-License-Identifier: GPL-2.0

//! What a seed decides before anything runs.

use crate::rng::Rng;
use rds_proto::settings::Settings;

/// Kind of implementation that a node runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The engine under test.
    Ours,
    /// A model of the C implementation.
    C,
}

/// How often faults happen: once in so many occasions, 0 for never.
#[derive(Clone, Debug, Default)]
pub struct Faults {
    /// A connection is killed, per 1000 steps of the world.
    pub kill: u64,
    /// A node crashes and reboots.
    pub crash: u64,
    /// Posting a frame fails.
    pub emit: u64,
    /// Storing a fragment fails.
    pub store: u64,
    /// Growing the send queue fails.
    pub grow: u64,
    /// An attempt to connect fails on its way.
    pub dial: u64,
    /// A message of the connection manager is held up for long.
    pub slow_cm: u64,
    /// A socket is closed and opened again.
    pub close: u64,
    /// A socket cancels what it sent to a destination.
    pub cancel: u64,
    /// A path is used by nobody any more.
    pub release: u64,
}

/// The parameters of a run.
#[derive(Clone, Debug)]
pub struct Config {
    /// Kind of each node.
    pub nodes: Vec<Kind>,
    /// Types of service in use.
    pub services: u8,
    /// Sockets per node.
    pub sockets: usize,
    /// Longest message in bytes.
    pub max_len: u32,
    /// Effective send and receive buffer of a socket.
    pub sndbuf: u32,
    /// See `sndbuf`.
    pub rcvbuf: u32,
    /// Slowness of readers: they read once in so many chances.
    pub reader: u64,
    /// Longest delay of a frame in nanoseconds.
    pub delay: u64,
    /// Tunables of our nodes.
    pub settings: Settings,
    /// Faults.
    pub faults: Faults,
}

impl Config {
    /// The parameters of a seed.
    pub fn from_seed(seed: u64) -> Self {
        let rng = &mut Rng::new(seed ^ 0x5eed);
        let count = if rng.one_in(3) { rng.range(3, 5) } else { 2 };
        // A third of the worlds is all ours, a third mixed, a third one of ours among C.
        let style = rng.below(3);
        let nodes = (0..count)
            .map(|i| match style {
                0 => Kind::Ours,
                1 if rng.one_in(2) || i == 0 => Kind::Ours,
                2 if i == 0 => Kind::Ours,
                _ => Kind::C,
            })
            .collect();
        let max_len = [64, 4097, 9000, 40_000][rng.index(4)];
        let faulty = !rng.one_in(8);
        let mut fault = |n: u64| if faulty && rng.one_in(2) { n } else { 0 };
        let faults = Faults {
            kill: fault(3),
            crash: fault(20),
            emit: fault(60),
            store: fault(8000),
            grow: fault(4),
            dial: fault(8),
            slow_cm: fault(10),
            close: fault(300),
            cancel: fault(60),
            release: fault(30),
        };
        let settings = Settings {
            send_ring: [4, 16, 64, 256][rng.index(4)],
            max_unsignaled: rng.range(1, 16) as u32,
            copied: [0, 208, 4096][rng.index(3)],
            max_unacked_packets: [2, 8, 64][rng.index(3)],
            handshake_ns: 200_000_000,
            probe_ns: 50_000_000,
            // Connections are short here.
            reconnect_max_ns: 20_000_000,
            linger_ns: 100_000_000,
            ..Settings::default()
        };
        Self {
            nodes,
            services: rng.range(1, 2) as u8,
            sockets: rng.range(1, 4) as usize,
            max_len,
            sndbuf: rng.range(2, 16) as u32 * max_len.max(512),
            rcvbuf: rng.range(2, 16) as u32 * max_len.max(512),
            reader: [1, 2, 4, 16][rng.index(4)],
            delay: [2_000, 20_000, 200_000][rng.index(3)],
            settings,
            faults,
        }
    }
}
