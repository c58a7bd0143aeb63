// SPDX-License-Identifier: GPL-2.0

//! What a seed decides before anything runs.

use crate::rng::Rng;
use rds_proto::native::arrivals::AckPolicy;
use rds_proto::native::cc::Kind;
use rds_proto::native::inbox::Limits;
use rds_proto::native::lane::Role;
use rds_proto::native::outbox::{charge, MIN_QUOTA};
use rds_proto::native::session::Settings;

/// How often faults happen: once in so many occasions, 0 for never.
#[derive(Clone, Debug, Default)]
pub struct Faults {
    /// A lane dies.
    pub kill: u64,
    /// A lane falls silent for a while.
    pub silence: u64,
    /// One end of a lane of datagrams is made anew, and the other is not told.
    pub remake: u64,
    /// A datagram is lost.
    pub lose: u64,
    /// A datagram comes twice.
    pub double: u64,
    /// A node crashes.
    pub crash: u64,
    /// There is no memory for something that comes in.
    pub memory: u64,
    /// There is no memory for something to send.
    pub grow: u64,
    /// A message is cancelled.
    pub cancel: u64,
    /// A port changes its congestion.
    pub congest: u64,
    /// A packet of the hostile node is changed.
    pub change: u64,
}

/// A lane of a session.
#[derive(Clone, Copy, Debug)]
pub struct LaneConfig {
    /// What travels on it.
    pub role: Role,
    /// Longest packet.
    pub max_packet: u32,
    /// Packets in the queue.
    pub limit: u16,
    /// The controller of a datagram lane.
    pub controller: Option<Kind>,
}

/// The parameters of a world.
#[derive(Clone, Debug)]
pub struct Config {
    /// Number of nodes; the last one is hostile if packets are changed.
    pub nodes: usize,
    /// Lanes of a session.
    pub lanes: Vec<LaneConfig>,
    /// Sockets of a node.
    pub sockets: usize,
    /// Longest message.
    pub max_len: u32,
    /// Longest message that is small.
    pub small: u32,
    /// Messages that a node has to send at most.
    pub depth: usize,
    /// Longest delay of a packet in nanoseconds.
    pub delay: u64,
    /// Tunables of all nodes.
    pub settings: Settings,
    /// Faults.
    pub faults: Faults,
}

impl Config {
    /// The parameters of a seed.
    pub fn from_seed(seed: u64) -> Self {
        let rng = &mut Rng::new(seed ^ 0x6e61_7469);
        let max_len = [64, 5000, 70_000, 300_000][rng.index(4)];
        let max_packet = [1024, 1500, 4096, 65_536][rng.index(4)];
        let roles = match rng.below(5) {
            0 => vec![Role::Any],
            1 => vec![Role::Small, Role::Bulk],
            2 => vec![Role::Any, Role::Any, Role::Any],
            3 => vec![Role::Small, Role::Bulk, Role::Bulk, Role::Small],
            _ => vec![Role::Any, Role::Small],
        };
        let lanes = roles
            .into_iter()
            .map(|role| {
                // Half of all lanes carry datagrams.
                let kind = [Kind::Bbr, Kind::Cubic, Kind::Reno][rng.index(3)];
                let controller = rng.one_in(2).then_some(kind);
                let most = if controller.is_some() { 3 } else { 4 };
                LaneConfig {
                    role,
                    max_packet: [1024, 1100, 4096, 65_536][rng.index(most)],
                    limit: rng.range(1, 8) as u16,
                    controller,
                }
            })
            .collect();
        let faulty = !rng.one_in(6);
        let mut fault = |n: u64| if faulty && rng.one_in(2) { n } else { 0 };
        let mut faults = Faults {
            kill: fault(4),
            silence: fault(3),
            remake: fault(4),
            lose: fault(10),
            double: fault(20),
            crash: fault(30),
            memory: fault(40),
            grow: fault(4),
            cancel: fault(20),
            congest: fault(3),
            change: 0,
        };
        let nodes = rng.range(2, 4) as usize;
        if nodes > 2 && rng.one_in(3) {
            faults.change = [3, 30, 300][rng.index(3)];
        }
        Self {
            nodes,
            lanes,
            sockets: rng.range(1, 5) as usize,
            max_len,
            small: [0, 64, 2000, 4096][rng.index(4)],
            depth: rng.range(1, if max_len > 100_000 { 12 } else { 60 }) as usize,
            delay: [2_000, 50_000, 500_000][rng.index(3)],
            settings: Settings {
                limits: Limits {
                    window: [2, 17, 64, 4096][rng.index(4)],
                    quota: MIN_QUOTA + charge(max_len) * rng.below(8),
                },
                max_packet,
                room: [1, 4, 256][rng.index(3)],
                ack: AckPolicy {
                    every: rng.range(1, 9) as u16,
                    delay_ns: [0, 20_000, 1_000_000][rng.index(3)],
                },
            },
            faults,
        }
    }
}
