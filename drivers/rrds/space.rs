// SPDX-License-Identifier: GPL-2.0

//! What there is for each network namespace.

mod binds;
mod peers;

pub(crate) use binds::{
    BindKey,
    Entry,
    Place, //
};
pub(crate) use peers::PeerOfPath;

use crate::{
    backlog::Backlog,
    congestion::{
        Locals,
        Peer,
        Used, //
    },
    key::{
        self,
        RouteKey, //
    },
    message::{
        Incoming,
        Spares, //
    },
    registry::Registry,
    socket::{
        loopback::Loopback,
        seam::{
            Delivered,
            Transport, //
        },
        tap,
        Socket, //
    },
    stats::Stats,
    sysctl::Sysctls,
    trace::{
        self,
        Why, //
    },
    transport::rc, //
};
use binds::Binds;
use kernel::{
    list::ListArc,
    new_spinlock_irq,
    prelude::*,
    rbtree::{
        RBTree,
        RBTreeNode, //
    },
    sync::{
        atomic::{
            ordering::Relaxed,
            Atomic, //
        },
        Arc,
        ArcBorrow,
        SpinLockIrq, //
    },
};
use krdma::net::{
    pernet::{
        NewNamespace,
        PerNamespace, //
    },
    sysctl::Folder,
    Sock, //
};
use rds_proto::{
    stats::Counters,
    wire::Addr, //
};

/// The state of a namespace.
///
/// It does not keep the namespace: sockets do, each for itself.
#[pin_data]
pub(crate) struct Space {
    /// In the order in which they are asked whose a local address is.
    pub(crate) transports: KVec<Arc<dyn Transport>>,
    #[pin]
    pub(crate) binds: Binds,
    /// The congestion maps of local addresses.
    locals: Arc<Locals>,
    /// Peers, by address and the interface of a link-local one.
    #[pin]
    peers: SpinLockIrq<RBTree<(Addr, u32), Arc<Peer>>>,
    /// What peers make us store.
    backlog: Arc<Backlog>,
    /// Memory for what sockets send.
    pub(crate) spares: Arc<Spares>,
    /// All sockets.
    #[pin]
    pub(crate) sockets: Registry,
    /// Those of them that want to be told when a congested port gets free.
    #[pin]
    pub(crate) watchers: Registry,
    /// Those of them that wait for room on a way that is crowded.
    #[pin]
    pub(crate) crowd: Registry,
    /// Those that modules have opened, and that are told of peers.
    #[pin]
    pub(crate) taps: Registry,
    pub(crate) stats: Stats,
    /// What paths had counted that are gone.
    #[pin]
    pub(crate) retired: SpinLockIrq<Counters>,
    pub(crate) sysctls: Sysctls,
    /// How many sockets have asked for the times of the parts of a message's way.
    traced: Atomic<usize>,
}

krdma::pernet_slot!(Space);

/// Returns the transports of a namespace, in the order in which they are asked whose an address is.
fn transports(shared: &Arc<rc::Shared>) -> Result<KVec<Arc<dyn Transport>>> {
    let mut transports: KVec<Arc<dyn Transport>> = KVec::with_capacity(2, GFP_KERNEL)?;

    transports.push(Arc::new(Loopback, GFP_KERNEL)?, GFP_KERNEL)?;
    transports.push(rc::Rc::new(shared)?, GFP_KERNEL)?;
    Ok(transports)
}

impl AsRef<Sysctls> for Space {
    fn as_ref(&self) -> &Sysctls {
        &self.sysctls
    }
}

impl PerNamespace for Space {
    type Shared = Arc<rc::Shared>;

    fn create(shared: &Self::Shared, ns: NewNamespace<'_>) -> Result<Arc<Self>> {
        let transports = transports(shared)?;
        let locals = Locals::new()?;
        let is_initial = ns.initial().is_some();
        let backlog = if is_initial {
            Backlog::new()?
        } else {
            Backlog::part_of(shared.backlog_elsewhere())?
        };
        let spares = Spares::new()?;
        let this = Arc::pin_init(
            pin_init!(Self {
                transports,
                binds <- Binds::new(),
                locals,
                peers <- new_spinlock_irq!(RBTree::new(), "rrds::Space::peers"),
                backlog,
                spares,
                sockets <- Registry::new(),
                watchers <- Registry::new(),
                crowd <- Registry::new(),
                taps <- Registry::new(),
                stats: Stats::new(),
                retired <- new_spinlock_irq!(Counters::default(), "rrds::Space::retired"),
                sysctls: Sysctls::new(is_initial),
                traced: Atomic::new(0),
            }),
            GFP_KERNEL,
        )?;

        let mut attached = 0_usize;
        for transport in this.transports.iter() {
            if let Err(err) = transport.attach(ns, &this) {
                for transport in this.transports.iter().take(attached) {
                    transport.detach(&this);
                }
                return Err(err);
            }
            // OVERFLOW: It counts the elements of a vector.
            attached = attached.wrapping_add(1);
        }
        Ok(this)
    }

    fn sysctls(&self) -> &'static [Folder<Self>] {
        crate::sysctl::folders()
    }

    fn remove(this: ArcBorrow<'_, Self>) {
        let space = Arc::from(this);

        for transport in space.transports.iter() {
            transport.detach(&space);
        }
    }
}

impl Space {
    /// Returns the congestion map of a local address; makes it if there is none yet. May sleep.
    pub(crate) fn local(&self, addr: Addr, scope: u32) -> Result<Used> {
        self.locals.get(addr, scope)
    }

    /// Returns the congestion map of a local address if there is one. Any context.
    pub(crate) fn local_if_any(&self, addr: Addr, scope: u32) -> Option<Used> {
        self.locals.find(addr, scope)
    }

    /// Returns what all peers make us store.
    pub(crate) fn backlog(&self) -> &Arc<Backlog> {
        &self.backlog
    }

    /// Returns the congestion map of a peer; makes it if there is none yet. May sleep.
    ///
    /// Of a peer that is this host, which `is_local` tells, it is the map of the local address.
    pub(crate) fn peer(&self, addr: Addr, scope: u32, is_local: bool) -> Result<Arc<Peer>> {
        let key = (addr, key::scope_of(addr, scope));
        if let Some(peer) = self.peers.lock().get(&key) {
            return Ok(peer.clone());
        }
        let local = if is_local {
            Some(self.local(addr, scope)?)
        } else {
            None
        };
        let peer = Peer::new(local, &self.backlog)?;
        let node = RBTreeNode::new(key, peer.clone(), GFP_KERNEL)?;
        let mut peers = self.peers.lock();

        match peers.get(&key) {
            Some(other) => {
                let other = other.clone();
                drop(peers);
                Ok(other)
            }
            None => {
                peers.insert(node);
                Ok(peer)
            }
        }
    }

    /// Delivers a message to the socket that is bound to its destination, if there is one.
    ///
    /// Any context; may be called with the lock of a path held.
    pub(crate) fn deliver(&self, message: ListArc<Incoming>) -> Delivered {
        let key = BindKey::new(message.dest, message.scope);

        match self.binds.find(&key) {
            Some(sock) => Socket::deliver(&sock, message),
            None => {
                trace::undelivered(&message, Why::NoSock);
                self.stats.recv_drop_no_sock.add(1);
                Delivered { map_changed: false }
            }
        }
    }

    /// Tells all who are to know that the map of a local address has changed: the transports, which
    /// send it, and the sockets of this host that wait for a port of it.
    ///
    /// `freed` is the mask of the ports that got free. Any context, but without a lock of a path or a
    /// socket.
    pub(crate) fn map_changed(&self, local: Addr, freed: u64) {
        for transport in self.transports.iter() {
            transport.map_changed(self, local);
        }
        if freed != 0 {
            self.wake(freed);
        }
    }

    /// Tells the sockets that watch that the ports of `mask` got free somewhere, and that a map has
    /// changed. Any context, but without a lock: there may be many, and interrupts are on in between.
    pub(crate) fn wake(&self, mask: u64) {
        self.watchers
            .for_each(|sock| Socket::on_congestion(sock, mask));
    }

    /// Tells the sockets that wait for room on a way that is crowded that there may be some. May sleep.
    pub(crate) fn relieve(&self) {
        self.crowd.for_each(Socket::on_relief);
    }

    /// Tells the sockets of modules that the connection to a peer is up, or that it is not any more. May
    /// sleep.
    pub(crate) fn tell_peer(&self, key: &RouteKey, is_up: bool) {
        self.taps.for_each(|sock| tap::on_peer(sock, key, is_up));
    }

    /// Returns whether the times of the parts of a message's way are to be noted.
    #[inline]
    pub(crate) fn is_traced(&self) -> bool {
        self.traced.load(Relaxed) != 0
    }

    /// Returns what transports have counted, and sockets have not.
    pub(crate) fn counted(&self) -> Counters {
        let mut counters = *self.retired.lock();

        for transport in self.transports.iter() {
            transport.count(&mut counters);
        }
        counters
    }

    /// Calls `f` with each socket, without any lock. The last reference to a socket may be dropped
    /// by this.
    pub(crate) fn for_each_socket(&self, f: impl FnMut(&Sock<Socket>)) {
        self.sockets.for_each(f);
    }
}

/// Has the times of the parts of a message's way noted, of all messages of a namespace, until it is dropped.
pub(crate) struct Tracing(Arc<Space>);

impl Tracing {
    /// Begins with it.
    pub(crate) fn new(space: &Arc<Space>) -> Self {
        // OVERFLOW: It counts sockets.
        space.traced.fetch_add(1, Relaxed);
        Self(space.clone())
    }
}

impl Drop for Tracing {
    fn drop(&mut self) {
        self.0.traced.fetch_sub(1, Relaxed);
    }
}
