// SPDX-License-Identifier: GPL-2.0

//! Reliable datagram sockets over RDMA and TCP: AF_RDS in safe Rust.
//!
//! This crate is glue. What the protocol decides is decided in [`rds_proto`], which runs on the host
//! as well; what touches C is in [`krdma`].
//!
//! # Locks
//!
//! From the outermost to the innermost; one of a row is never taken with another of the same row held:
//!
//! | Lock | What for | May sleep |
//! |---|---|---|
//! | [`Sock::lock`](krdma::net::Sock::lock) | addresses, transport and options of a socket | yes |
//! | that of a path | the connection to a peer, and what is sent on it | no |
//! | [`Registry`](registry::Registry) | which sockets there are, and which watch for congestion | no |
//! | sends, receives, names, lends of a socket | its queues, their accounts, what lists show, cookies of lent memory | no |
//! | [`congestion`], [`Space`](space::Space), the table of [bound sockets](socket::directory::Directory) | maps of ports, of addresses, of sockets | no |
//!
//! All but the first disable interrupts: completions may be handled in softirq context. Data is copied
//! from and to user space with none of them held, and memory is allocated before they are taken.

#![deny(unsafe_code)]

mod addr;
pub mod api;
mod backlog;
mod capi;
mod clock;
mod congestion;
mod debug;
mod info;
mod key;
mod message;
mod params;
mod path;
mod region;
mod registry;
mod socket;
mod space;
mod stats;
mod sysctl;
mod table;
mod trace;
mod transport;

use crate::{
    backlog::Backlog,
    debug::{
        Debug,
        Source, //
    },
    path::Streams,
    socket::{
        loopback::Loopback,
        seam::{
            Transport,
            Transports, //
        },
        Socket,
        Tenant, //
    },
    transport::{
        rc::{
            self,
            Devices,
            Rc, //
        },
        tcp::Tcp, //
    }, //
};
use kernel::{
    fmt,
    prelude::*,
    sync::Arc, //
};
use krdma::{
    memory::total_bytes,
    net::{
        family,
        pernet, //
    },
    rdma::client, //
};

module! {
    type: Rrds,
    name: "rrds",
    authors: ["The krdma developers"],
    description: "Reliable datagram sockets over RDMA and TCP",
    license: "GPL",
    params: {
        family: u8 {
            default: 21,
            description: "Number of the address family (AF_RDS is 21)",
        },
        port: u16 {
            default: 18634,
            description: "RDMA port that peers connect to by IPv4",
        },
        port6: u16 {
            default: 16385,
            description: "RDMA port that peers connect to by IPv6",
        },
        rds_ib_retry_count: u8 {
            default: 1,
            description: "Times that a packet is sent again before its connection is given up, at most 7",
        },
        tcp: u8 {
            default: 0,
            description: "Whether messages are carried by TCP, too, where RDMA has not got the address",
        },
        tcp_port: u16 {
            default: 16385,
            description: "TCP port that peers connect to, the same on all hosts",
        },
    },
}

/// The part of the host's memory that peers may make the namespaces store that are not the initial one.
const PART_ELSEWHERE: u64 = 3;

/// What carries messages to other hosts.
struct Carriers {
    rc: Arc<path::All<Rc>>,
    tcp: Option<Arc<path::All<Tcp>>>,
}

/// Makes the transports of a namespace.
struct Maker {
    carriers: Arc<Carriers>,
    /// What peers make all namespaces store but the initial one: whoever may make one may make many.
    backlog_elsewhere: Arc<Backlog>,
}

impl Transports for Maker {
    fn make(&self) -> Result<KVec<Arc<dyn Transport>>> {
        let mut transports: KVec<Arc<dyn Transport>> = KVec::with_capacity(3, GFP_KERNEL)?;

        // An address may move to another host, which RDMA can then reach; a way of TCP's is kept, as with C.
        let following = Arc::new(Loopback { stays: false }, GFP_KERNEL)?;
        let loopback: Arc<dyn Transport> = Arc::new(Loopback { stays: true }, GFP_KERNEL)?;

        transports.push(loopback.clone(), GFP_KERNEL)?;
        transports.push(Streams::new(&self.carriers.rc, following)?, GFP_KERNEL)?;
        if let Some(tcp) = &self.carriers.tcp {
            transports.push(Streams::new(tcp, loopback)?, GFP_KERNEL)?;
        }
        Ok(transports)
    }

    fn backlog_elsewhere(&self) -> &Arc<Backlog> {
        &self.backlog_elsewhere
    }
}

impl Source for Carriers {
    fn paths(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.rc.dump(f)?;
        self.tcp.as_ref().map_or(Ok(()), |tcp| tcp.dump(f))
    }

    fn devices(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.rc.host().dump(f)
    }
}

/// The module. What is dropped first comes first.
#[pin_data]
struct Rrds {
    /// Shows what there is.
    #[pin]
    debug: Debug<Carriers>,
    /// Makes sockets.
    #[pin]
    sockets: family::Registration<Socket>,
    /// Tells us of RDMA devices.
    #[pin]
    devices: client::Registration<Devices>,
}

impl kernel::InPlaceModule for Rrds {
    fn init(module: &'static ThisModule) -> impl PinInit<Self, Error> {
        pin_init::pin_init_scope(move || {
            let host = rc::Host::new(module, params::ports())?;
            let tcp = params::tcp()
                .then(|| path::All::new(module, Arc::new((), GFP_KERNEL)?))
                .transpose()?;
            let carriers = Carriers {
                rc: path::All::new(module, host.clone())?,
                tcp,
            };
            let carriers = Arc::new(carriers, GFP_KERNEL)?;
            let maker = Maker {
                carriers: carriers.clone(),
                backlog_elsewhere: Backlog::of_many(total_bytes() / PART_ELSEWHERE)?,
            };
            let transports: Arc<dyn Transports> = Arc::new(maker, GFP_KERNEL)?;

            Ok(try_pin_init!(Self {
                debug <- Debug::new(carriers),
                devices <- client::Registration::new(module, Devices(host)),
                // The last step: from here on there may be sockets, and peers can connect.
                sockets <- family::Registration::new(
                    params::family(),
                    pernet::Registration::<Tenant>::new(module, transports),
                    module,
                ),
            }? Error))
        })
    }
}
