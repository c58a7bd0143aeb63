// SPDX-License-Identifier: GPL-2.0

//! All paths, by what tells them apart.

use super::{
    hold::Held,
    Path, //
};
use crate::{
    clock,
    key::RouteKey,
    space::Space,
    transport::rc::Realm, //
};
use core::mem;
use kernel::{
    new_mutex,
    new_spinlock_irq,
    num::casts::usize_as_u64,
    prelude::*,
    rbtree::{
        RBTree,
        RBTreeNode,
        RBTreeNodeReservation, //
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
use rds_proto::{
    path::Memory,
    shares::{
        Share,
        Shares,
        Take, //
    },
    wire::Addr, //
};

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
    /// Held while a path is made or taken out, so that none is made twice.
    #[pin]
    making: Mutex<Making>,
}

/// Which paths may be made.
struct Making {
    stopped: bool,
    /// What has to be remembered of paths that are no more.
    memories: RBTree<Key, Memory>,
}

/// How many paths there are, of one namespace or of several.
pub(crate) struct Counts {
    /// Those that were made because a peer asked for a connection.
    by_peers: u64,
    /// Those that were made because a socket sends, by its user, and all of them.
    by_users: Shares<KVec<Share>>,
    by_all: u64,
    /// Those that are no more, and remembered.
    remembered: u64,
}

/// How much of the host's memory there has to be for each path that peers have us make, and as much for
/// each one of sockets: four times of what one takes with a connection.
const MEMORY: u64 = 1 << 20;

/// How much for each path that is no more: a thousand times of what is remembered.
const MEMORY_OF_OLD: u64 = 1 << 17;

impl Counts {
    /// Counts none.
    pub(crate) fn new() -> Result<Arc<Mutex<Self>>> {
        let none = Self {
            by_peers: 0,
            by_users: Shares::new(KVec::new()),
            by_all: 0,
            remembered: 0,
        };

        Arc::pin_init(new_mutex!(none, "rrds::Counts"), GFP_KERNEL)
    }

    /// Whether one more may be remembered.
    fn has_room(&self) -> bool {
        self.remembered < total_bytes() / MEMORY_OF_OLD
    }

    /// Counts a path that is to be made.
    ///
    /// Errors: [`ENOBUFS`] if peers have had too many made, [`ENOMEM`] if the user of a socket has, see
    /// [`shares`](rds_proto::shares).
    fn add(&mut self, maker: Option<u32>) -> Result {
        let limit = total_bytes() / MEMORY;
        let Some(user) = maker else {
            if self.by_peers >= limit {
                return Err(ENOBUFS);
            }
            self.by_peers = self.by_peers.saturating_add(1);
            return Ok(());
        };

        loop {
            match self.by_users.take(user, self.by_all, limit) {
                Take::Taken => break,
                Take::Refused => return Err(ENOMEM),
                Take::NoSlot => {
                    let slots = super::shares_for(self.by_users.wanted(), GFP_KERNEL)?;
                    drop(self.by_users.grow(slots));
                }
            }
        }
        self.by_all = self.by_all.saturating_add(1);
        Ok(())
    }

    /// Takes so many off those that are remembered.
    fn forget(&mut self, count: u64) {
        self.remembered = self.remembered.saturating_sub(count);
    }

    /// Takes a path off the count.
    fn remove(&mut self, maker: Option<u32>) {
        match maker {
            None => self.by_peers = self.by_peers.saturating_sub(1),
            Some(user) => {
                self.by_users.remove(user);
                self.by_all = self.by_all.saturating_sub(1);
            }
        }
    }
}

/// Paths that are looked at before others get the table's lock.
const CHUNK: usize = 16;

impl Table {
    /// Makes a table without paths.
    pub(crate) fn new() -> impl PinInit<Self> {
        pin_init!(Self {
            paths <- new_spinlock_irq!(RBTree::new(), "rrds::Table::paths"),
            making <- new_mutex!(
                Making {
                    stopped: false,
                    memories: RBTree::new(),
                },
                "rrds::Table::making"
            ),
        })
    }

    /// Returns the path with a key, for a socket of a user, and makes it if there is none.
    ///
    /// May sleep. Errors: [`ENOMEM`], also if the user has too many paths, [`ENETDOWN`] if the module is
    /// about to go.
    pub(crate) fn path(
        &self,
        realm: &Arc<Realm>,
        space: &Arc<Space>,
        route: RouteKey,
        user: u32,
    ) -> Result<Arc<Held>> {
        let key = Key::new(route, false);

        loop {
            if let Some(held) = self.find_held(&key, GFP_KERNEL)? {
                return Ok(held);
            }
            // It may be taken out in between, but not as often as it is made.
            self.path_by(realm, space, key, route, Some(user))?;
        }
    }

    /// Returns the path with a key, if there is one and memory. Any context.
    pub(crate) fn path_if_any(&self, route: RouteKey) -> Option<Arc<Held>> {
        self.find_held(&Key::new(route, false), GFP_ATOMIC).ok()?
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

        self.path_by(realm, space, key, route, None)
    }

    fn path_by(
        &self,
        realm: &Arc<Realm>,
        space: &Arc<Space>,
        key: Key,
        route: RouteKey,
        maker: Option<u32>,
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
        realm.counts().lock().add(maker)?;
        let made = Path::new(route, space.clone(), realm.clone(), is_local, maker)
            .and_then(|job| Ok((job.data().clone(), RBTreeNode::new(key, job, GFP_KERNEL)?)));
        let (path, node) = made.inspect_err(|_| realm.counts().lock().remove(maker))?;
        if let Some(memory) = making.memories.remove(&key) {
            realm.counts().lock().forget(1);
            path.resume(&memory);
        }
        // There is none to be replaced.
        let _none = self.paths.lock().insert(node);

        Ok(path)
    }

    fn find(&self, key: &Key) -> Option<Arc<Path>> {
        self.paths.lock().get(key).map(|job| job.data().clone())
    }

    fn find_held(&self, key: &Key, flags: kernel::alloc::Flags) -> Result<Option<Arc<Held>>> {
        let held = self.paths.lock().get(key).map(|job| job.data().hold());

        Ok(held.map(|held| Arc::new(held, flags)).transpose()?)
    }

    /// Takes out the paths that have been of no use for a while. Returns whether it is to be done again:
    /// some have not been for so long, or could not be taken out. May sleep.
    pub(crate) fn sweep(&self, counts: &Mutex<Counts>) -> bool {
        let now = clock::now();
        let mut keys = KVec::new();
        let mut more = false;

        self.for_each_keyed(|key, path| {
            if let Some(is_over) = path.idle(now) {
                // The next time, if there is no memory.
                more |= !is_over || keys.push(*key, GFP_KERNEL).is_err();
            }
        });
        for key in keys {
            match self.take_out(counts, &key) {
                Ok(Some(job)) => {
                    let path = job.data().clone();

                    // The job does not run any more after this.
                    job.close();
                    path.stop();
                }
                // It is used again, which it says itself; or it is to stay until a message was read, or
                // until there is room, which nobody says.
                Ok(None) | Err(_) => more = true,
            }
        }
        more
    }

    /// Takes a path out if it is of no use.
    fn take_out(&self, counts: &Mutex<Counts>, key: &Key) -> Result<Option<Job<Path>>> {
        let mut making = self.making.lock();
        let mut counts = counts.lock();
        // What would have to be forgotten stays a path.
        let has_room = counts.has_room();
        let node = RBTreeNodeReservation::new(GFP_KERNEL)?;
        let mut paths = self.paths.lock();
        let Some(job) = paths.get(key) else {
            return Ok(None);
        };
        let path = job.data().clone();
        let Some(memory) = path.expire(clock::now(), has_room) else {
            return Ok(None);
        };
        let job = paths.remove_node(key).map(|node| node.to_key_value().1);
        drop(paths);

        if !memory.is_blank() {
            let _none = making.memories.insert(node.into_node(*key, memory));
            counts.remembered = counts.remembered.saturating_add(1);
        }
        counts.remove(path.maker());
        Ok(job)
    }

    /// Calls `f` with all paths of a local address.
    ///
    /// Any context.
    pub(crate) fn for_each_of(&self, local: Addr, mut f: impl FnMut(&Path)) {
        let wanted = |key: &Key| key.local == local;

        self.for_each_from(Key::first(local), wanted, |_, path| f(path));
    }

    /// Calls `f` with all paths.
    ///
    /// Any context.
    pub(crate) fn for_each(&self, mut f: impl FnMut(&Path)) {
        self.for_each_keyed(|_, path| f(path));
    }

    fn for_each_keyed(&self, f: impl FnMut(&Key, &Path)) {
        self.for_each_from(Key::first(Addr::default()), |_| true, f);
    }

    /// Calls `f` with the paths from a key on, without the table's lock, as long as they are wanted.
    fn for_each_from(
        &self,
        first: Key,
        wanted: impl Fn(&Key) -> bool,
        mut f: impl FnMut(&Key, &Path),
    ) {
        let mut from = Some(first);

        while let Some(start) = from.take() {
            let mut chunk: [Option<(Key, Arc<Path>)>; CHUNK] = [const { None }; CHUNK];
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
                    *slot = Some((*key, job.data().clone()));
                    cursor = at.move_next();
                }
            }
            chunk.iter().flatten().for_each(|(key, path)| f(key, path));
        }
    }

    /// Takes down all paths, and lets none be made any more. Waits until they are closed.
    pub(crate) fn stop(&self, counts: &Mutex<Counts>) {
        let memories = {
            let mut making = self.making.lock();

            making.stopped = true;
            mem::replace(&mut making.memories, RBTree::new())
        };
        counts.lock().forget(usize_as_u64(memories.iter().count()));
        drop(memories);
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
            counts.lock().remove(path.maker());
        }
    }
}

#[kunit_tests(rrds_counts)]
mod tests {
    use super::*;

    /// What [`MEMORY`] allows of this host's.
    fn paths() -> u64 {
        total_bytes() / MEMORY
    }

    #[test]
    fn peers_make_so_many_paths_and_no_more() -> Result {
        let counts = Counts::new()?;
        let mut counts = counts.lock();

        for _ in 0..paths() {
            counts.add(None)?;
        }
        assert_eq!(counts.add(None), Err(ENOBUFS));
        // Sockets have their own, and what they have is none of the peers'.
        counts.add(Some(1000))?;
        counts.remove(Some(1000));
        assert_eq!(counts.add(None), Err(ENOBUFS));
        counts.remove(None);
        counts.add(None)?;
        assert_eq!(counts.add(None), Err(ENOBUFS));
        Ok(())
    }

    #[test]
    fn a_user_has_half_of_all_paths_and_another_finds_some() -> Result {
        let counts = Counts::new()?;
        let mut counts = counts.lock();
        let mut taken = 0_u64;

        while counts.add(Some(1000)).is_ok() {
            taken += 1;
        }
        assert!(taken.abs_diff(paths() / 2) <= 1);
        assert_eq!(counts.add(Some(1000)), Err(ENOMEM));
        counts.add(Some(0))?;
        counts.add(None)?;
        for _ in 0..taken {
            counts.remove(Some(1000));
        }
        counts.add(Some(1000))?;
        Ok(())
    }

    #[test]
    fn so_many_are_remembered_and_no_more() -> Result {
        let counts = Counts::new()?;
        let mut counts = counts.lock();
        let most = total_bytes() / MEMORY_OF_OLD;

        counts.remembered = most - 1;
        assert!(counts.has_room());
        counts.remembered = most;
        assert!(!counts.has_room());
        counts.forget(1);
        assert!(counts.has_room());
        // More than there are.
        counts.forget(u64::MAX);
        assert_eq!(counts.remembered, 0);
        Ok(())
    }
}
