// SPDX-License-Identifier: GPL-2.0

//! Reliable connections (RC): RDS as the kernel's C implementation carries it.
//!
//! | File | Concern |
//! |---|---|
//! | `host.rs` | what there is once: devices, ports |
//! | `station.rs` | a device: what its connections share |
//! | `pools.rs` | its buffers and requests, and which paths have news |
//! | `send.rs`, `receive.rs` | requests |
//! | `operation.rs` | requests of RDMA operations |
//! | `regions.rs`, `registration.rs` | programs' memory that peers use |
//! | `completions.rs` | what is done when they complete |
//! | `link.rs` | the queue pair of a connection, and how frames are posted to it |
//! | `connect.rs` | connections, by the connection manager |
//! | `listen.rs` | requests of peers |
//! | `marker.rs` | the carrier's name |
//!
//! Here these are joined to a [carrier](Carrier).

mod completions;
mod connect;
mod host;
mod link;
mod listen;
mod marker;
mod operation;
mod pools;
mod receive;
mod regions;
mod registration;
mod send;
mod station;

pub(crate) use host::{
    Devices,
    Host, //
};
pub(crate) use marker::Rc;

use crate::{
    key::RouteKey,
    path::{
        Carrier,
        Dial,
        Listen,
        Path,
        Table, //
    },
    region::Region, //
};
use connect::Events;
use kernel::{
    fmt,
    prelude::*,
    sync::Arc, //
};
use krdma::{
    net::Namespace,
    page::PinnedPages,
    rdma::cm::{
        Connection,
        Listener, //
    },
};
use link::Link;
use listen::Accept;
use rds_proto::{
    conn::ConnId,
    settings::Settings,
    uapi::{
        info::{
            Detail,
            RdmaConnection, //
        },
        option::transport, //
    },
    wire::{
        Addr,
        PrivateData, //
    },
};

impl Carrier for Rc {
    type Host = Host;
    type Conn = Connection<Events>;
    type Link = Link;

    const NUMBER: i32 = transport::RDMA;
    const NAME: &'static str = "infiniband";
    const IS_STREAM: bool = false;

    fn owns(host: &Host, ns: &Namespace, addr: Addr, scope: u32) -> Result<bool> {
        host.owns(ns, addr, scope)
    }

    const HAS_RDMA: bool = true;

    fn operation_pieces(host: &Host) -> u32 {
        host.operation_pieces()
    }

    fn has_atomics(host: &Host, masked: bool) -> bool {
        host.has_atomics(masked)
    }

    fn register(
        host: &Host,
        ns: &Namespace,
        local: Addr,
        scope: u32,
        pages: PinnedPages,
    ) -> Result<Arc<dyn Region>> {
        host.register(ns, local, scope, pages)
    }

    fn service(tos: u8) -> u8 {
        tos
    }

    fn carries_own(chosen: bool, loopback: bool) -> bool {
        chosen || !loopback
    }

    fn dump(link: Option<&Link>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match link {
            Some(link) => f.write_fmt(fmt!(
                " device={} qp={}",
                link.qp().device().name(),
                link.qp().number()
            )),
            None => write!(f, " device=none qp=0"),
        }
    }

    fn detail(key: &RouteKey, link: Option<&Link>, settings: &Settings) -> Option<Detail> {
        let down = RdmaConnection {
            local: key.local,
            peer: key.peer,
            tos: key.tos,
            ..RdmaConnection::default()
        };
        let record = match link {
            None => down,
            Some(link) => RdmaConnection {
                sgid: *link.way().source.as_bytes(),
                dgid: *link.way().destination.as_bytes(),
                sl: link.way().service_level,
                max_send_wr: settings.send_ring,
                max_recv_wr: link.receives(),
                max_send_sge: link.send_pieces(),
                ..down
            },
        };

        Some(Detail::Rdma(record))
    }
}

impl Dial for Rc {
    fn dial(
        path: &Arc<Path<Self>>,
        conn: ConnId,
        hello: &PrivateData,
    ) -> Result<Connection<Events>> {
        connect::dial(path, conn, hello)
    }
}

impl Listen for Rc {
    type Listeners = KVec<Listener<Accept>>;

    fn listen(table: &Arc<Table<Self>>) -> Result<KVec<Listener<Accept>>> {
        listen::listen(table)
    }

    fn close(listeners: KVec<Listener<Accept>>) {
        for listener in listeners {
            listener.close();
        }
    }
}
