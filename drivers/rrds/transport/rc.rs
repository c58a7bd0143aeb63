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

pub(crate) use link::{
    Link,
    Way, //
};
pub(crate) use receive::Buffer;
pub(crate) use station::{
    Devices,
    Station, //
};

use crate::{
    backlog::Backlog,
    clock,
    key::RouteKey,
    params::Ports,
    path::{
        log_throttle,
        Counts,
        Path,
        Table,
        LINGER_NS, //
    },
    socket::seam::{
        Route,
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
    new_spinlock_irq,
    prelude::*,
    sync::{
        aref::ARef,
        Arc,
        Mutex,
        SpinLockIrq, //
    },
    time::Delta, //
};
use krdma::{
    memory::total_bytes,
    net::{
        pernet::NewNamespace,
        Namespace, //
    },
    random::random_u32,
    rdma::{
        cm::{
            Builder,
            Listener,
            PortSpace, //
        },
        Device, //
    },
    work::{
        Job,
        Waker,
        Work, //
    }, //
};
use listen::Accept;
use rds_proto::{
    stats::Counters,
    throttle::Throttle,
    time::Instant,
    uapi::{
        info::{
            Connection,
            Listed,
            RdmaConnection, //
        },
        option::transport, //
    },
    wire::{
        Addr,
        Family, //
    },
};

/// What there is once for all namespaces: the devices.
#[pin_data]
pub(crate) struct Shared {
    module: &'static ThisModule,
    ports: Ports,
    #[pin]
    stations: Mutex<KVec<Arc<Station>>>,
    /// Those that somebody holds.
    #[pin]
    realms: Mutex<KVec<Arc<Realm>>>,
    elsewhere: Elsewhere,
    /// Room for lines about connections in the log.
    #[pin]
    log: SpinLockIrq<Throttle>,
}

/// What all namespaces but the initial one may have together: whoever may make one may make many.
struct Elsewhere {
    counts: Arc<Mutex<Counts>>,
    backlog: Arc<Backlog>,
}

/// What paths and listeners of a namespace share.
///
/// It keeps the namespace, as does every id of the connection manager. So it is there only while a
/// socket of the namespace is bound to the transport, see [`Rc`]: sockets keep the namespace anyway.
///
/// To peers each is a life of its own: the next one knows nothing of what was sent and received.
#[pin_data]
pub(crate) struct Realm {
    shared: Arc<Shared>,
    ns: ARef<Namespace>,
    incarnation: NonZeroU32,
    waker: Waker,
    /// How many paths there are: its own in the initial namespace, else those of all others.
    counts: Arc<Mutex<Counts>>,
    #[pin]
    table: Table,
}

/// The part of the host's memory that peers may make the namespaces store that are not the initial one.
const PART_ELSEWHERE: u64 = 3;

/// How long paths stay that nobody uses.
const LINGER: Delta = Delta::from_nanos(LINGER_NS as i64);

/// Connections that may wait to be accepted (spec-constants).
const BACKLOG: u32 = 128;

impl Shared {
    /// Makes what all namespaces share. Devices are taken by [`Devices`].
    pub(crate) fn new(module: &'static ThisModule, ports: Ports) -> Result<Arc<Self>> {
        let elsewhere = Elsewhere {
            counts: Counts::new()?,
            backlog: Backlog::of_many(total_bytes() / PART_ELSEWHERE)?,
        };

        Arc::pin_init(
            pin_init!(Self {
                module,
                ports,
                stations <- new_mutex!(KVec::new(), "rrds::Shared::stations"),
                realms <- new_mutex!(KVec::new(), "rrds::Shared::realms"),
                elsewhere,
                log <- new_spinlock_irq!(log_throttle(), "rrds::Shared::log"),
            }),
            GFP_KERNEL,
        )
    }

    /// Returns the account of what peers make the namespaces store that are not the initial one.
    pub(crate) fn backlog_elsewhere(&self) -> &Arc<Backlog> {
        &self.elsewhere.backlog
    }

    /// Returns the port that peers listen to.
    pub(crate) fn port(&self, family: Family) -> u16 {
        match family {
            Family::V4 => self.ports.v4,
            Family::V6 => self.ports.v6,
        }
    }

    /// Takes room for a line about a connection in the log. Returns how many found none since the last
    /// one did. Any context.
    pub(crate) fn may_log(&self, now: Instant) -> Option<u64> {
        self.log.lock().take(now)
    }

    /// Calls `f` with the paths of all namespaces. May sleep.
    pub(crate) fn for_each_path(&self, mut f: impl FnMut(&Path)) {
        for realm in self.realms.lock().iter() {
            realm.table.for_each(&mut f);
        }
    }

    /// Calls `f` with what is made of each device that carries RDS. May sleep.
    pub(crate) fn for_each_station(&self, mut f: impl FnMut(&Station)) {
        self.stations.lock().iter().for_each(|station| f(station));
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

    /// Returns the module.
    pub(crate) fn module(&self) -> &'static ThisModule {
        self.module
    }

    /// Starts an id of the connection manager in a namespace.
    fn builder<'a>(&self, ns: &'a Namespace) -> Builder<'a> {
        Builder::new(ns, PortSpace::Tcp, self.module)
    }

    /// Returns whether an address is one of a namespace, on a device that carries RDS. May sleep.
    ///
    /// The only error is [`ENOMEM`]: it may be one.
    fn owns(&self, ns: &Namespace, addr: Addr, scope: u32) -> Result<bool> {
        match self.builder(ns).device_of(Self::to_ip(addr), scope) {
            Ok(dev) => Ok(self.station(&dev).is_some()),
            Err(err) if err == ENOMEM => Err(err),
            Err(_) => Ok(false),
        }
    }
}

impl Realm {
    fn new(shared: &Arc<Shared>, ns: &Namespace) -> Result<Job<Self>> {
        let counts = if *ns == *Namespace::initial() {
            Counts::new()?
        } else {
            shared.elsewhere.counts.clone()
        };

        krdma::new_job!(shared.module, |waker| {
            Arc::pin_init(
                pin_init!(Self {
                    shared: shared.clone(),
                    ns: ns.into(),
                    // Zero once in four billion.
                    incarnation: NonZeroU32::new(random_u32()).unwrap_or(NonZeroU32::MIN),
                    waker,
                    counts,
                    table <- Table::new(),
                }),
                GFP_KERNEL,
            )
        })
    }

    /// Has the paths looked for, after a while, that are of no use any more. Any context.
    pub(crate) fn sweep_later(&self) {
        self.waker.wake_after(LINGER);
    }

    /// Returns how many paths there are.
    pub(crate) fn counts(&self) -> &Mutex<Counts> {
        &self.counts
    }

    /// Returns what all namespaces share.
    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// Returns the number that differs between any two lives, see [`Identity`](rds_proto::conn::Identity).
    pub(crate) fn incarnation(&self) -> NonZeroU32 {
        self.incarnation
    }

    /// Returns the namespace.
    pub(crate) fn namespace(&self) -> &Namespace {
        &self.ns
    }

    /// Starts an id of the connection manager.
    pub(crate) fn builder(&self) -> Builder<'_> {
        self.shared.builder(&self.ns)
    }

    /// Returns whether an address is one of the namespace, on a device that carries RDS. May sleep.
    ///
    /// The only error is [`ENOMEM`].
    pub(crate) fn owns(&self, addr: Addr, scope: u32) -> Result<bool> {
        self.shared.owns(&self.ns, addr, scope)
    }
}

impl Work for Realm {
    fn run(this: &Arc<Self>) -> Option<Delta> {
        this.table.sweep(&this.counts).then_some(LINGER)
    }
}

/// [`Transport`] for the sockets of a namespace.
pub(crate) struct Rc(Job<Tenure>);

/// What [`Rc`] has.
///
/// Peers can connect, and paths exist, as long as somebody [holds](Transport::hold) it: sockets that
/// are bound to it and, in the initial namespace, the module. After the last socket they stay for a
/// moment, so that peers get to know what that has received.
#[pin_data]
struct Tenure {
    shared: Arc<Shared>,
    waker: Waker,
    /// Is there while somebody holds the transport.
    #[pin]
    realm: SpinLockIrq<Option<Arc<Realm>>>,
    #[pin]
    holders: Mutex<Holders>,
}

/// Who holds the transport in a namespace.
#[derive(Default)]
struct Holders {
    /// The module does, until the namespace goes.
    always: bool,
    /// Sockets that do.
    sockets: usize,
    /// Until when the realm stays if there are none.
    until: Instant,
    listeners: KVec<Listener<Accept>>,
    /// Takes out paths that are of no use any more.
    sweeper: Option<Job<Realm>>,
}

/// How long the realm stays after the last socket.
const LINGER_MS: i64 = 2000;

impl Rc {
    /// Makes the transport for a namespace.
    pub(crate) fn new(shared: &Arc<Shared>) -> Result<Arc<Self>> {
        let job = krdma::new_job!(shared.module, |waker| {
            Arc::pin_init(
                pin_init!(Tenure {
                    shared: shared.clone(),
                    waker,
                    realm <- new_spinlock_irq!(None, "rrds::Rc::realm"),
                    holders <- new_mutex!(Holders::default(), "rrds::Rc::holders"),
                }),
                GFP_KERNEL,
            )
        })?;

        Ok(Arc::new(Self(job), GFP_KERNEL)?)
    }

    fn realm(&self) -> Option<Arc<Realm>> {
        self.0.data().realm.lock().clone()
    }
}

impl Tenure {
    fn start(&self, holders: &mut Holders, ns: &Namespace, space: &Arc<Space>) -> Result {
        let sweeper = Realm::new(&self.shared, ns)?;
        let realm = sweeper.data().clone();

        self.shared.realms.lock().push(realm.clone(), GFP_KERNEL)?;
        // From the first listener on there may be paths, which keep the realm.
        holders.listeners = match listen::listen(&realm, space) {
            Ok(listeners) => listeners,
            Err(err) => {
                self.end(&realm);
                return Err(err);
            }
        };
        holders.sweeper = Some(sweeper);
        *self.realm.lock() = Some(realm);
        Ok(())
    }

    fn stop(&self, holders: &mut Holders) {
        // Nobody asks for a new path after this.
        for listener in core::mem::take(&mut holders.listeners) {
            listener.close();
        }
        if let Some(sweeper) = holders.sweeper.take() {
            sweeper.close();
        }
        let realm = self.realm.lock().take();
        if let Some(realm) = realm {
            self.end(&realm);
        }
    }

    fn end(&self, realm: &Arc<Realm>) {
        self.shared
            .realms
            .lock()
            .retain(|other| !Arc::ptr_eq(other, realm));
        realm.table.stop(&realm.counts);
    }
}

impl Work for Tenure {
    fn run(this: &Arc<Self>) -> Option<Delta> {
        let mut holders = this.holders.lock();
        let now = clock::now();

        if holders.always || holders.sockets > 0 {
            return None;
        }
        if now < holders.until {
            let left = holders.until.0.saturating_sub(now.0);
            return Some(Delta::from_nanos(i64::try_from(left).unwrap_or(i64::MAX)));
        }
        this.stop(&mut holders);
        None
    }
}

impl Transport for Rc {
    fn number(&self) -> i32 {
        transport::RDMA
    }

    fn has_services(&self) -> bool {
        true
    }

    fn attach(&self, ns: NewNamespace<'_>, space: &Arc<Space>) -> Result {
        if let Some(ns) = ns.initial() {
            let this = self.0.data();
            let mut holders = this.holders.lock();

            this.start(&mut holders, ns, space)?;
            holders.always = true;
        }
        Ok(())
    }

    fn detach(&self, _space: &Arc<Space>) {
        let this = self.0.data();

        // No socket is left.
        this.stop(&mut this.holders.lock());
    }

    fn hold(&self, ns: &Namespace, space: &Arc<Space>) -> Result {
        let this = self.0.data();
        let mut holders = this.holders.lock();

        if this.realm.lock().is_none() {
            this.start(&mut holders, ns, space)?;
        }
        // OVERFLOW: It counts sockets.
        holders.sockets = holders.sockets.wrapping_add(1);
        Ok(())
    }

    fn release(&self) {
        let this = self.0.data();
        let mut holders = this.holders.lock();

        holders.sockets = holders.sockets.saturating_sub(1);
        if holders.sockets > 0 {
            return;
        }
        // Nobody else is going to receive it: to a socket of the next stay it would be new.
        if let Some(realm) = self.realm() {
            realm.table.for_each(|path| path.acknowledge());
        }
        if !holders.always {
            let linger = Delta::from_millis(LINGER_MS);

            holders.until = clock::now().after(linger.as_nanos().unsigned_abs());
            this.waker.wake_after(linger);
        }
    }

    fn owns(&self, ns: &Namespace, _space: &Space, addr: Addr, scope: u32) -> Result<bool> {
        self.0.data().shared.owns(ns, addr, scope)
    }

    fn route(&self, space: &Arc<Space>, key: RouteKey, user: u32) -> Result<Arc<dyn Route>> {
        // A device is not asked to reach what only this host can: rxe's queue pair for the connection
        // manager would not survive it.
        if key.peer.is_loopback() {
            return Err(EINVAL);
        }
        let realm = self.realm().ok_or(ENETDOWN)?;
        let path = realm.table.path(&realm, space, key, user)?;

        Ok(path)
    }

    fn find(&self, _space: &Arc<Space>, key: RouteKey) -> Option<Arc<dyn Route>> {
        let path = self.realm()?.table.path_if_any(key)?;

        Some(path)
    }

    fn map_changed(&self, local: Addr) {
        if let Some(realm) = self.realm() {
            realm.table.for_each_of(local, |path| path.map_changed());
        }
    }

    fn for_each_connection(&self, _space: &Space, tell: &mut dyn FnMut(&Connection<'_>)) {
        if let Some(realm) = self.realm() {
            realm.table.for_each(|path| tell(&path.record()));
        }
    }

    fn for_each_rdma_connection(&self, _space: &Space, tell: &mut dyn FnMut(&RdmaConnection)) {
        if let Some(realm) = self.realm() {
            realm.table.for_each(|path| tell(&path.rdma_record()));
        }
    }

    fn count(&self, to: &mut Counters) {
        if let Some(realm) = self.realm() {
            realm.table.for_each(|path| path.count(to));
        }
    }

    fn for_each_message(&self, _space: &Space, sent: bool, tell: &mut dyn FnMut(&Listed)) {
        if let Some(realm) = self.realm() {
            realm
                .table
                .for_each(|path| path.for_each_message(sent, tell));
        }
    }
}
