// SPDX-License-Identifier: GPL-2.0

//! TCP: RDS as the kernel's `rds_tcp` carries it (spec-tcp).
//!
//! | File | Concern |
//! |---|---|
//! | `pipe.rs` | a connection: its job, and how it begins and ends |
//! | `link.rs` | a connection, as senders have it: frames that are posted, being sent, in flight |
//! | `segment.rs` | a frame, as it is given to TCP |
//! | `receive.rs` | what comes in on it, and TCP's callbacks |
//! | `listen.rs` | connections of peers |
//! | `shown.rs` | what lists show of a connection |
//! | `marker.rs` | the carrier's name |
//!
//! Here these are joined to a [carrier](Carrier).
//!
//! # Locks
//!
//! TCP calls back with the lock of the socket held; a path's lock is taken inside that one. So nothing is sent
//! where frames are handed over, with the path's lock held: see [`link`].

mod link;
mod listen;
mod marker;
mod pipe;
mod receive;
mod segment;
mod shown;

pub(crate) use marker::Tcp;

use crate::{
    addr::to_ip,
    key::RouteKey,
    path::{
        Carrier,
        Dial,
        Listen,
        Path,
        Table, //
    }, //
};
use kernel::{
    fmt,
    prelude::*,
    sync::Arc, //
};
use krdma::{
    net::Namespace,
    work::Job, //
};
use listen::Accepts;
use pipe::Conn;
use rds_proto::{
    conn::ConnId,
    settings::Settings,
    tcp::{
        Role,
        MAX_LANES, //
    },
    uapi::{
        info::Detail,
        option::transport, //
    },
    wire::{
        Addr,
        PrivateData, //
    },
};
use receive::Link;

impl Carrier for Tcp {
    /// There is nothing.
    type Host = ();
    type Conn = Conn;
    type Link = Link;

    const NUMBER: i32 = transport::TCP;
    const NAME: &'static str = "tcp";
    const IS_STREAM: bool = true;
    const TAKES_PAGES: bool = true;
    const LANES: u8 = MAX_LANES;
    const HAS_LOOPBACK: bool = true;

    fn owns(_host: &(), ns: &Namespace, addr: Addr, scope: u32) -> Result<bool> {
        Ok(ns.has_address(to_ip(addr), scope))
    }

    fn service(_tos: u8) -> u8 {
        0
    }

    fn dials_lanes(key: &RouteKey) -> bool {
        Role::of(key.local, key.peer) == Role::Low
    }

    fn dump(_link: Option<&Link>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, " device=none qp=0")
    }

    fn detail(key: &RouteKey, link: Option<&Link>, _settings: &Settings) -> Option<Detail> {
        link.map(|link| Detail::Tcp(link.shown().record(key)))
    }
}

impl Dial for Tcp {
    fn dial(path: &Arc<Path<Self>>, conn: ConnId, _hello: &PrivateData) -> Result<Conn> {
        pipe::dial(path, conn)
    }
}

impl Listen for Tcp {
    type Listeners = Option<Job<Accepts>>;

    fn listen(table: &Arc<Table<Self>>) -> Result<Option<Job<Accepts>>> {
        listen::listen(table).map(Some)
    }

    fn close(listener: Option<Job<Accepts>>) {
        if let Some(listener) = listener {
            listen::close(listener);
        }
    }
}
