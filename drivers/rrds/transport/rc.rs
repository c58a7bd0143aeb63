// SPDX-License-Identifier: GPL-2.0

//! Reliable connections (RC): RDS as the kernel's C implementation carries it.
//!
//! | File | Concern |
//! |---|---|
//! | `station.rs` | a device: what its connections share |
//! | `pools.rs` | its buffers and requests, and which paths have news |
//! | `receive.rs` | requests of the shared receive queue |
//! | `link.rs` | the queue pair of a connection, and how frames are posted to it |
//! | `listen.rs` | requests of peers |

mod link;
mod listen;
mod pools;
mod receive;
mod station;

pub(crate) use link::Link;
pub(crate) use receive::Buffer;
pub(crate) use station::{
    Devices,
    Station, //
};

use crate::{
    info::{
        Connection,
        Listed, //
    },
    path::Table,
    socket::seam::{
        Route,
        RouteKey,
        Transport, //
    },
    space::Space, //
};
use core::{
    net::{
        IpAddr,
        Ipv4Addr,
        Ipv6Addr,
        SocketAddr,
        SocketAddrV6, //
    },
    num::NonZeroU32, //
};
use kernel::{
    new_mutex,
    prelude::*,
    sync::{
        Arc,
        Mutex, //
    },
    time::{
        ClockSource,
        Monotonic,
        RealTime, //
    }, //
};
use krdma::{
    net::Namespace,
    random::random_u32,
    rdma::{
        cm::{
            Builder,
            Listener,
            PortSpace, //
        },
        Device, //
    }, //
};
use listen::Accept;
use rds_proto::{
    time::Instant,
    wire::{
        Addr,
        Family, //
    },
};

/// The ports that peers connect to.
#[derive(Clone, Copy)]
pub(crate) struct Ports {
    pub(crate) v4: u16,
    pub(crate) v6: u16,
}

/// What paths, devices and listeners share.
#[pin_data]
pub(crate) struct Shared {
    module: &'static ThisModule,
    ports: Ports,
    incarnation: NonZeroU32,
    #[pin]
    stations: Mutex<KVec<Arc<Station>>>,
    #[pin]
    listeners: Mutex<KVec<Listener<Accept>>>,
    #[pin]
    table: Table,
}

/// Connections that may wait to be accepted (spec §0).
const BACKLOG: u32 = 128;

impl Shared {
    /// Makes what the transport needs. Devices are taken by [`Devices`]; peers can connect from when
    /// it is attached to the initial namespace.
    pub(crate) fn new(module: &'static ThisModule, ports: Ports) -> Result<Arc<Self>> {
        Arc::pin_init(
            pin_init!(Self {
                module,
                ports,
                // Zero once in four billion.
                incarnation: NonZeroU32::new(random_u32()).unwrap_or(NonZeroU32::MIN),
                stations <- new_mutex!(KVec::new(), "rrds::Shared::stations"),
                listeners <- new_mutex!(KVec::new(), "rrds::Shared::listeners"),
                table <- Table::new(),
            }),
            GFP_KERNEL,
        )
    }

    /// Returns the namespace that the transport works in.
    ///
    /// What the connection manager makes keeps its namespace: in another one, a listener would keep it
    /// for ever.
    pub(crate) fn namespace() -> &'static Namespace {
        Namespace::initial()
    }
    pub(crate) fn module(&self) -> &'static ThisModule {
        self.module
    }

    /// Returns the number that differs between any two lives of this host.
    pub(crate) fn incarnation(&self) -> NonZeroU32 {
        self.incarnation
    }

    /// Returns the port that peers listen to.
    pub(crate) fn port(&self, family: Family) -> u16 {
        match family {
            Family::V4 => self.ports.v4,
            Family::V6 => self.ports.v6,
        }
    }

    /// Returns the time, on the clock that paths use.
    pub(crate) fn now() -> Instant {
        Instant(u64::try_from(Monotonic::ktime_get()).unwrap_or(0))
    }

    /// Returns the time of day in nanoseconds since 1970.
    pub(crate) fn time_of_day() -> u64 {
        u64::try_from(RealTime::ktime_get()).unwrap_or(0)
    }

    /// Returns what is made of a device, if it carries RDS.
    pub(crate) fn station(&self, dev: &Device) -> Option<Arc<Station>> {
        self.stations
            .lock()
            .iter()
            .find(|station| station.device() == dev)
            .cloned()
    }

    /// Returns an address as the connection manager takes it.
    pub(crate) fn to_socket(addr: Addr, port: u16, scope: u32) -> SocketAddr {
        match Self::to_ip(addr) {
            IpAddr::V4(ip) => SocketAddr::from((ip, port)),
            IpAddr::V6(ip) => SocketAddrV6::new(ip, port, 0, scope).into(),
        }
    }

    fn to_ip(addr: Addr) -> IpAddr {
        match addr.to_v4() {
            Some(octets) => Ipv4Addr::from(octets).into(),
            None => Ipv6Addr::from(addr.0).into(),
        }
    }

    /// Returns whether an address is one of this host, on a device that carries RDS. May sleep.
    pub(crate) fn owns(&self, addr: Addr, scope: u32) -> bool {
        Builder::new(Self::namespace(), PortSpace::Tcp, self.module)
            .device_of(Self::to_ip(addr), scope)
            .is_ok_and(|dev| self.station(&dev).is_some())
    }
}

/// [`Transport`] for sockets.
pub(crate) struct Rc(pub(crate) Arc<Shared>);

impl Transport for Rc {
    fn number(&self) -> i32 {
        0
    }

    fn attach(&self, ns: &Namespace, space: &Arc<Space>) -> Result {
        if ns == Shared::namespace() {
            let listeners = listen::listen(&self.0, space)?;

            *self.0.listeners.lock() = listeners;
        }
        Ok(())
    }

    fn detach(&self, ns: &Namespace, _space: &Arc<Space>) {
        if ns == Shared::namespace() {
            let listeners = core::mem::take(&mut *self.0.listeners.lock());

            // Nobody asks for a new path after this.
            drop(listeners);
            self.0.table.stop();
        }
    }

    fn owns(&self, ns: &Namespace, _space: &Space, addr: Addr, scope: u32) -> bool {
        ns == Shared::namespace() && self.0.owns(addr, scope)
    }

    fn route(&self, ns: &Namespace, space: &Arc<Space>, key: RouteKey) -> Result<Arc<dyn Route>> {
        if ns != Shared::namespace() {
            return Err(EOPNOTSUPP);
        }
        let path = self.0.table.path(&self.0, space, key, false)?;

        Ok(path)
    }

    fn map_changed(&self, _space: &Space, local: Addr) {
        // Only one namespace has paths; in another one an address may be the same.
        self.0.table.for_each_of(local, |path| path.map_changed());
    }

    fn for_each_connection(&self, _space: &Space, tell: &mut dyn FnMut(&Connection)) {
        self.0.table.for_each(|path| tell(&path.record()));
    }

    fn for_each_message(&self, _space: &Space, sent: bool, tell: &mut dyn FnMut(&Listed)) {
        self.0
            .table
            .for_each(|path| path.for_each_message(sent, tell));
    }
}
