// SPDX-License-Identifier: GPL-2.0

//! A peer of RDS that keeps to no rule: it speaks to another node's connection manager and queue pairs
//! itself, and says there what no RDS would.
//!
//! What it does is a table of cases, each with a number and a name. Each states what the other node is to do,
//! as far as that can be seen from here: refuse the connection, take it down, or keep it and answer a ping.
//! All cases run while the module is loaded; each has a line in the kernel's log, which ends in `ok` or
//! in `not ok` with what was seen, and a last line counts them. With `keep` there are no cases, but
//! connections, until the module is unloaded.
//!
//! The other node must have a socket at [`SINK`] that is read, and want to connect to this one for the cases
//! of replies.
//!
//! | File | Concern |
//! |---|---|
//! | `wire.rs` | headers and private data, right and wrong |
//! | `link.rs` | a connection, and what is seen of it |
//! | `door.rs` | requests of the other node |
//! | `run.rs` | how cases are run and judged |
//! | `keep.rs` | connections that are kept |
//! | `frames.rs`, `messages.rs`, `requests.rs`, `replies.rs`, `deeds.rs` | the cases |

use core::net::{
    IpAddr,
    Ipv4Addr,
    Ipv6Addr, //
};
use kernel::{
    prelude::*,
    time::Delta, //
};

#[path = "rds_hostile/deeds.rs"]
mod deeds;
#[path = "rds_hostile/door.rs"]
mod door;
#[path = "rds_hostile/frames.rs"]
mod frames;
#[path = "rds_hostile/keep.rs"]
mod keep;
#[path = "rds_hostile/link.rs"]
mod link;
#[path = "rds_hostile/messages.rs"]
mod messages;
#[path = "rds_hostile/replies.rs"]
mod replies;
#[path = "rds_hostile/requests.rs"]
mod requests;
#[path = "rds_hostile/run.rs"]
mod run;
#[path = "rds_hostile/wire.rs"]
mod wire;

module! {
    type: Hostile,
    name: "rds_hostile",
    authors: ["The krdma developers"],
    description: "A hostile peer of RDS, for tests",
    license: "GPL",
    params: {
        peer: u32 {
            default: 0,
            description: "The IPv4 address of the node to be hostile to, as a number",
        },
        peer6_high: u64 {
            default: 0,
            description: "Its IPv6 address, the first half as a number; none if zero",
        },
        peer6_low: u64 {
            default: 0,
            description: "The second half",
        },
        other: u32 {
            default: 0,
            description: "The IPv4 address of another peer of that node, for which this one poses",
        },
        first: u32 {
            default: 0,
            description: "The number of the first case to run",
        },
        last: u32 {
            default: u32::MAX,
            description: "The number of the last case to run",
        },
        patience: u32 {
            default: 60_000,
            description: "Milliseconds until something that is to happen is given up",
        },
        flood: u32 {
            default: 300,
            description: "Frames or requests of a flood",
        },
        at_once: u32 {
            default: 32,
            description: "Types of service that are connected by at one time",
        },
        mebibytes: u32 {
            default: 16,
            description: "What is sent to a socket that nobody reads",
        },
        cycles: u32 {
            default: 16,
            description: "Connections that are made and end one after the other",
        },
        keep: u32 {
            default: 0,
            description: "What to keep, in place of the cases: 1 a connection that receives nothing, 2 many",
        },
    },
}

/// The RDMA ports that nodes with RDS connect to, by IPv4 and IPv6.
pub(crate) const PORT: u16 = 18634;
pub(crate) const PORT6: u16 = 16385;

/// The port of the other node's socket that is read. At the next one is a socket that is not.
pub(crate) const SINK: u16 = 4100;

/// Who is who, and how much.
#[derive(Clone, Copy)]
pub(crate) struct Config {
    pub(crate) module: &'static ThisModule,
    pub(crate) peer: IpAddr,
    pub(crate) peer6: Option<IpAddr>,
    pub(crate) other: Ipv4Addr,
    pub(crate) patience: Delta,
    pub(crate) flood: u32,
    pub(crate) at_once: u32,
    pub(crate) mebibytes: u32,
    pub(crate) cycles: u32,
}

struct Hostile {
    _kept: KVec<link::Link>,
}

impl kernel::Module for Hostile {
    fn init(module: &'static ThisModule) -> Result<Self> {
        let high = module_parameters::peer6_high.value();
        let low = module_parameters::peer6_low.value();
        let peer6 = Ipv6Addr::from_bits(u128::from(high) << 64 | u128::from(low));
        let config = Config {
            module,
            peer: Ipv4Addr::from_bits(module_parameters::peer.value()).into(),
            peer6: (high != 0).then_some(peer6.into()),
            other: Ipv4Addr::from_bits(module_parameters::other.value()),
            patience: Delta::from_millis(module_parameters::patience.value().into()),
            flood: module_parameters::flood.value(),
            at_once: module_parameters::at_once.value(),
            mebibytes: module_parameters::mebibytes.value(),
            cycles: module_parameters::cycles.value(),
        };
        let wanted = module_parameters::first.value()..=module_parameters::last.value();

        let kept = match module_parameters::keep.value() {
            0 => {
                run::all(config, wanted)?;
                KVec::new()
            }
            1 => keep::deaf(&config)?,
            _ => keep::crowd(&config)?,
        };
        Ok(Self { _kept: kept })
    }
}
