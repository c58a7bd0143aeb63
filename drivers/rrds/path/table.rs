// SPDX-License-Identifier: GPL-2.0

//! All paths, by what tells them apart.

use super::Path;
use crate::{
    socket::seam::RouteKey,
    space::Space,
    transport::rc::Realm, //
};
use kernel::{
    new_mutex,
    new_spinlock_irq,
    prelude::*,
    rbtree::{
        RBTree,
        RBTreeNode, //
    },
    sync::{
        Arc,
        Mutex,
        SpinLockIrq, //
    }, //
};
use krdma::{
    memory::total_bytes,
    work::Job, //
};
use rds_proto::wire::Addr;

/// The order of paths. Those of one local address are next to each other.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    local: Addr,
    peer: Addr,
    tos: u8,
    scope: u32,
    passive: bool,
}

impl Key {
    fn new(key: RouteKey, passive: bool) -> Self {
        Self {
            local: key.local,
            peer: key.peer,
            tos: key.tos,
            scope: key.scope,
            passive,
        }
    }

    /// The first of the paths of a local address.
    fn first(local: Addr) -> Self {
        Self {
            local,
            peer: Addr::default(),
            tos: 0,
            scope: 0,
            passive: false,
        }
    }
}

/// All paths.
#[pin_data]
pub(crate) struct Table {
    #[pin]
    paths: SpinLockIrq<RBTree<Key, Job<Path>>>,
    /// Held while a path is made, so that none is made twice.
    #[pin]
    making: Mutex<Making>,
}

/// Which paths may be made.
struct Making {
    stopped: bool,
    /// Those that were made because a peer asked for a connection.
    by_peers: u64,
}

/// How much of the host's memory there has to be for each path that peers have us make: four times of
/// what one takes with a connection.
const MEMORY: u64 = 1 << 20;

/// Paths that are looked at before others get the table's lock.
const CHUNK: usize = 16;

impl Table {
    /// Makes a table without paths.
    pub(crate) fn new() -> impl PinInit<Self> {
        pin_init!(Self {
            paths <- new_spinlock_irq!(RBTree::new(), "rrds::Table::paths"),
            making <- new_mutex!(Making { stopped: false, by_peers: 0 }, "rrds::Table::making"),
        })
    }

    /// Returns the path with a key, and makes it if there is none.
    ///
    /// May sleep. Errors: [`ENOMEM`], [`ENETDOWN`] if the module is about to go.
    pub(crate) fn path(
        &self,
        realm: &Arc<Realm>,
        space: &Arc<Space>,
        route: RouteKey,
    ) -> Result<Arc<Path>> {
        self.path_by(realm, space, Key::new(route, false), route, false)
    }

    /// Returns the path with a key, if there is one. Any context.
    pub(crate) fn path_if_any(&self, route: RouteKey) -> Option<Arc<Path>> {
        self.find(&Key::new(route, false))
    }

    /// Returns the path that the request of a peer is for, and makes it if there is none.
    ///
    /// Of two addresses that are the same, two paths exist: one that dials, and one that is handed the
    /// requests.
    ///
    /// May sleep. Errors: As [`path`](Self::path), and [`ENOBUFS`] if peers have had too many made.
    pub(crate) fn path_of_request(
        &self,
        realm: &Arc<Realm>,
        space: &Arc<Space>,
        route: RouteKey,
    ) -> Result<Arc<Path>> {
        let key = Key::new(route, route.local == route.peer);

        self.path_by(realm, space, key, route, true)
    }

    fn path_by(
        &self,
        realm: &Arc<Realm>,
        space: &Arc<Space>,
        key: Key,
        route: RouteKey,
        by_peer: bool,
    ) -> Result<Arc<Path>> {
        if let Some(path) = self.find(&key) {
            return Ok(path);
        }

        // Not with the lock: a connection that asks this is closed again, which takes a lock that requests
        // of peers come here with.
        let is_local = realm.owns(route.peer, route.scope)?;
        let mut making = self.making.lock();
        if making.stopped {
            return Err(ENETDOWN);
        }
        if let Some(path) = self.find(&key) {
            return Ok(path);
        }
        // Paths are never forgotten: what a peer sends again could not be told from what is new.
        if by_peer && making.by_peers >= total_bytes() / MEMORY {
            return Err(ENOBUFS);
        }
        let job = Path::new(route, space.clone(), realm.clone(), is_local)?;
        let path = job.data().clone();
        let node = RBTreeNode::new(key, job, GFP_KERNEL)?;
        // There is none to be replaced.
        let _none = self.paths.lock().insert(node);
        making.by_peers = making.by_peers.saturating_add(by_peer.into());

        Ok(path)
    }

    fn find(&self, key: &Key) -> Option<Arc<Path>> {
        self.paths.lock().get(key).map(|job| job.data().clone())
    }

    /// Calls `f` with all paths of a local address.
    ///
    /// Any context.
    pub(crate) fn for_each_of(&self, local: Addr, f: impl FnMut(&Path)) {
        self.for_each_from(Key::first(local), |key| key.local == local, f);
    }

    /// Calls `f` with all paths.
    ///
    /// Any context.
    pub(crate) fn for_each(&self, f: impl FnMut(&Path)) {
        self.for_each_from(Key::first(Addr::default()), |_| true, f);
    }

    /// Calls `f` with the paths from a key on, without the table's lock, as long as they are wanted.
    fn for_each_from(&self, first: Key, wanted: impl Fn(&Key) -> bool, mut f: impl FnMut(&Path)) {
        let mut from = Some(first);

        while let Some(start) = from.take() {
            let mut chunk: [Option<Arc<Path>>; CHUNK] = [const { None }; CHUNK];
            {
                let mut paths = self.paths.lock();
                let mut cursor = paths.cursor_lower_bound_mut(&start);
                let mut slots = chunk.iter_mut();

                while let Some(at) = cursor {
                    let (key, job) = at.current();
                    if !wanted(key) {
                        break;
                    }
                    let Some(slot) = slots.next() else {
                        from = Some(*key);
                        break;
                    };
                    *slot = Some(job.data().clone());
                    cursor = at.move_next();
                }
            }
            chunk.iter().flatten().for_each(|path| f(path));
        }
    }

    /// Takes down all paths, and lets none be made any more. Waits until they are closed.
    pub(crate) fn stop(&self) {
        self.making.lock().stopped = true;
        loop {
            let first = {
                let mut paths = self.paths.lock();
                let Some(cursor) = paths.cursor_front_mut() else {
                    return;
                };
                cursor.remove_current().1
            };
            let (_, job) = first.to_key_value();
            let path = job.data().clone();

            // The job does not run any more after this.
            job.close();
            path.stop();
        }
    }
}
