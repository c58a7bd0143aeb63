// SPDX-License-Identifier: GPL-2.0

//! The state of a network namespace that is neither that of sockets nor of transports.

mod peers;
mod upper;

pub(crate) use peers::PeerOfPath;
pub(crate) use upper::{
    Delivered,
    Upper, //
};

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
    stats::Stats,
    sysctl::Sysctls, //
};
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
        SpinLockIrq, //
    },
};
use rds_proto::{
    stats::Totals,
    wire::Addr, //
};

/// The state of a namespace.
///
/// It does not keep the namespace: sockets do, each for itself.
#[pin_data]
pub(crate) struct Space {
    /// The congestion maps of local addresses.
    locals: Arc<Locals>,
    /// Peers, by address and the interface of a link-local one.
    #[pin]
    peers: SpinLockIrq<RBTree<(Addr, u32), Arc<Peer>>>,
    /// What peers make us store.
    backlog: Arc<Backlog>,
    /// Memory for what sockets send.
    pub(crate) spares: Arc<Spares>,
    pub(crate) stats: Stats,
    /// What paths had counted that are gone, and what was told of all.
    #[pin]
    pub(crate) retired: SpinLockIrq<Totals>,
    pub(crate) sysctls: Sysctls,
    /// How many sockets have asked for the times of the parts of a message's way.
    traced: Atomic<usize>,
    /// Who is told what happens.
    upper: Arc<dyn Upper>,
}

impl Space {
    /// Makes the state of a namespace, the initial one or another.
    pub(crate) fn new(
        is_initial: bool,
        backlog: Arc<Backlog>,
        upper: Arc<dyn Upper>,
    ) -> Result<Arc<Self>> {
        let locals = Locals::new()?;
        let spares = Spares::new()?;

        Arc::pin_init(
            pin_init!(Self {
                locals,
                peers <- new_spinlock_irq!(RBTree::new(), "rrds::Space::peers"),
                backlog,
                spares,
                stats: Stats::new(),
                retired <- new_spinlock_irq!(Totals::default(), "rrds::Space::retired"),
                sysctls: Sysctls::new(is_initial),
                traced: Atomic::new(0),
                upper,
            }),
            GFP_KERNEL,
        )
    }

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

    /// Delivers a message, see [`Upper::deliver`].
    pub(crate) fn deliver(&self, message: ListArc<Incoming>) -> Delivered {
        self.upper.deliver(message).unwrap_or_else(|| {
            self.stats.recv_drop_no_sock.add(1);
            Delivered { map_changed: false }
        })
    }

    /// Tells all who are to know that the map of a local address has changed: the transports, which
    /// send it, and the sockets of this host that wait for a port of it.
    ///
    /// `freed` is the mask of the ports that got free. Any context, but without a lock of a path or a
    /// socket.
    pub(crate) fn map_changed(&self, local: Addr, freed: u64) {
        self.upper.map_changed(local);
        if freed != 0 {
            self.wake(freed);
        }
    }

    /// Tells that ports got free, see [`Upper::ports_freed`].
    pub(crate) fn wake(&self, mask: u64) {
        self.upper.ports_freed(mask);
    }

    /// Tells that there may be room on ways that were crowded, see [`Upper::relieve`].
    pub(crate) fn relieve(&self) {
        self.upper.relieve();
    }

    /// Tells of the connection to a peer, see [`Upper::tell_peer`].
    pub(crate) fn tell_peer(&self, key: &RouteKey, is_up: bool) {
        self.upper.tell_peer(key, is_up);
    }

    /// Returns whether the times of the parts of a message's way are to be noted.
    #[inline]
    pub(crate) fn is_traced(&self) -> bool {
        self.traced.load(Relaxed) != 0
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

#[kunit_tests(rrds_space)]
mod tests {
    use super::*;

    /// Sockets that are not there.
    struct Nobody;

    impl Upper for Nobody {
        fn deliver(&self, _message: ListArc<Incoming>) -> Option<Delivered> {
            None
        }

        fn map_changed(&self, _local: Addr) {}

        fn ports_freed(&self, _mask: u64) {}

        fn relieve(&self) {}

        fn tell_peer(&self, _key: &RouteKey, _is_up: bool) {}
    }

    fn space() -> Result<Arc<Space>> {
        Space::new(true, Backlog::new()?, Arc::new(Nobody, GFP_KERNEL)?)
    }

    #[test]
    fn a_peer_is_one_for_all_its_paths_and_goes_with_the_last() -> Result {
        let space = space()?;
        let count = || space.peers.lock().iter().count();
        let addr = Addr::v4([10, 0, 0, 1]);
        let first = PeerOfPath::new(&space, addr, 0, false)?;
        // An interface is told of link-local addresses only.
        let second = PeerOfPath::new(&space, addr, 7, false)?;

        assert!(Arc::ptr_eq(&first, &second));
        assert_eq!(count(), 1);
        let other = PeerOfPath::new(&space, Addr::v4([10, 0, 0, 2]), 0, false)?;
        assert_eq!(count(), 2);
        drop(first);
        assert_eq!(count(), 2);
        drop(other);
        assert_eq!(count(), 1);
        // A peer is forgotten with its last path, whoever holds it: a later path has another one.
        let peer = (*second).clone();
        drop(second);
        assert_eq!(count(), 0);
        let anew = PeerOfPath::new(&space, addr, 0, false)?;
        assert!(!Arc::ptr_eq(&anew, &peer));
        Ok(())
    }

    #[test]
    fn what_a_peer_has_sent_is_one_account() -> Result {
        let space = space()?;
        let addr = Addr::v4([10, 0, 0, 1]);
        let first = PeerOfPath::new(&space, addr, 0, false)?;
        let second = PeerOfPath::new(&space, addr, 0, false)?;
        let charge = first.backlog().charge(1000, 1 << 20)?;

        assert!(!second.backlog().is_empty());
        drop(charge);
        assert!(second.backlog().is_empty());
        Ok(())
    }

    #[test]
    fn times_are_taken_while_somebody_asks() -> Result {
        let space = space()?;
        let (one, other) = (Tracing::new(&space), Tracing::new(&space));

        assert!(space.is_traced());
        drop(one);
        assert!(space.is_traced());
        drop(other);
        assert!(!space.is_traced());
        Ok(())
    }
}
