// SPDX-License-Identifier: GPL-2.0

//! The paths of a carrier in a namespace, by what tells them apart.

use super::{
    bundle::Place,
    connect::Dial,
    hold::Held,
    realm::{
        Realm,
        Shared,
        LINGER, //
    },
    Path, //
};
use crate::{
    clock,
    key::RouteKey,
    space::Space, //
};
use core::{
    iter,
    mem, //
};
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
    },
    time::Delta, //
};
use krdma::{
    net::Namespace,
    work::{
        Job,
        Work, //
    }, //
};
use rds_proto::{
    path::Memory,
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
    lane: u8,
}

impl Key {
    fn new(key: RouteKey, passive: bool) -> Self {
        Self {
            local: key.local,
            peer: key.peer,
            tos: key.tos,
            scope: key.scope,
            passive,
            lane: key.lane,
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
            lane: 0,
        }
    }
}

/// The paths of a carrier in a namespace.
#[pin_data]
pub(crate) struct Table<C: Dial> {
    realm: Arc<Realm<C>>,
    #[pin]
    paths: SpinLockIrq<RBTree<Key, Job<Path<C>>>>,
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

/// Paths that are looked at before others get the table's lock.
const CHUNK: usize = 16;

/// A path that was taken out, and what of it is kept for the next one of its key.
struct Taken<C: Dial> {
    job: Job<Path<C>>,
    key: Key,
    memory: Memory,
}

impl<C: Dial> Table<C> {
    /// Makes a table without paths for a namespace. The job takes out those that are of no use any more.
    pub(super) fn new(
        shared: &Arc<Shared<C>>,
        ns: &Namespace,
        space: &Arc<Space>,
    ) -> Result<Job<Self>> {
        krdma::new_job!(shared.module, |waker| {
            let realm = Realm::new(shared, ns, space, waker)?;

            Arc::pin_init(
                pin_init!(Self {
                    realm,
                    paths <- new_spinlock_irq!(RBTree::new(), "rrds::Table::paths"),
                    making <- new_mutex!(
                        Making {
                            stopped: false,
                            memories: RBTree::new(),
                        },
                        "rrds::Table::making"
                    ),
                }),
                GFP_KERNEL,
            )
        })
    }

    /// Returns what the paths have in common.
    pub(crate) fn realm(&self) -> &Arc<Realm<C>> {
        &self.realm
    }

    /// Returns the path with a key, for a socket of a user, and makes it if there is none.
    ///
    /// May sleep. Errors: [`ENOMEM`], also if the user has too many paths, [`ENETDOWN`] if the module is
    /// about to go.
    pub(super) fn path(&self, route: RouteKey, user: u32) -> Result<Arc<Held<C>>> {
        let key = Key::new(route, false);

        loop {
            if let Some(held) = self.find_held(&key, GFP_KERNEL)? {
                return Ok(held);
            }
            // It may be taken out in between, but not as often as it is made.
            self.path_by(key, route, Some(user))?;
        }
    }

    /// Returns the path with a key, if there is one and memory. Any context.
    pub(super) fn path_if_any(&self, route: RouteKey) -> Option<Arc<Held<C>>> {
        self.find_held(&Key::new(route, false), GFP_ATOMIC).ok()?
    }

    /// Returns the path that the request of a peer is for, and makes it if there is none.
    ///
    /// Of two addresses that are the same, two paths exist: one that dials, and one that is handed the
    /// requests.
    ///
    /// May sleep. Errors: As [`path`](Self::path), and [`ENOBUFS`] if peers have had too many made.
    pub(crate) fn path_of_request(&self, route: RouteKey) -> Result<Arc<Path<C>>> {
        let key = Key::new(route, route.local == route.peer);

        self.path_by(key, route, None)
    }

    fn path_by(&self, key: Key, route: RouteKey, maker: Option<u32>) -> Result<Arc<Path<C>>> {
        let realm = &self.realm;
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
        let make = |lane, place| {
            let route = RouteKey { lane, ..route };
            let key = Key { lane, ..key };
            let job = Path::new(route, realm.clone(), is_local, maker, place)?;
            let path = job.data().clone();

            Ok::<_, Error>((path, key, RBTreeNode::new(key, job, GFP_KERNEL)?))
        };
        let make_all = || {
            let count = usize::from(C::LANES);
            let mut made = KVec::with_capacity(count, GFP_KERNEL)?;
            let mut others = KVec::with_capacity(count, GFP_KERNEL)?;
            let one = make(0, Place::first(C::LANES)?)?;
            let first = one.0.clone();
            made.push(one, GFP_KERNEL)?;
            for lane in 1..C::LANES {
                let other = make(lane, first.place.beside())?;
                others.push(other.0.clone(), GFP_KERNEL)?;
                made.push(other, GFP_KERNEL)?;
            }
            Ok::<_, Error>((first, made, others))
        };
        // First: who has too many is to be refused without effort.
        realm.counts().lock().add(maker, C::LANES)?;
        let (first, made, others) =
            make_all().inspect_err(|_| realm.counts().lock().remove(maker, C::LANES))?;
        // From here on nothing fails.
        first.lead(others);

        for (path, key, node) in made {
            if let Some(memory) = making.memories.remove(&key) {
                realm.counts().lock().forget(1);
                path.resume(&memory);
            }
            // There is none to be replaced.
            let _none = self.paths.lock().insert(node);
        }
        Ok(first)
    }

    fn find(&self, key: &Key) -> Option<Arc<Path<C>>> {
        self.paths.lock().get(key).map(|job| job.data().clone())
    }

    fn find_held(&self, key: &Key, flags: kernel::alloc::Flags) -> Result<Option<Arc<Held<C>>>> {
        let held = self.paths.lock().get(key).map(|job| job.data().hold());

        Ok(held.map(|held| Arc::new(held, flags)).transpose()?)
    }

    /// Takes out the paths that have been of no use for a while. Returns whether it is to be done again:
    /// some have not been for so long, or could not be taken out. May sleep.
    fn sweep(&self) -> bool {
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
            match self.take_out(&key) {
                Ok(taken) if !taken.is_empty() => {
                    for Taken { job, .. } in taken {
                        let path = job.data().clone();

                        // The job does not run any more after this.
                        job.close();
                        path.stop();
                    }
                }
                // It is used again, which it says itself; or it is to stay until a message was read, or
                // until there is room, which nobody says.
                Ok(_) | Err(_) => more = true,
            }
        }
        more
    }

    /// Takes a path out with all its lanes, if it is of no use.
    fn take_out(&self, key: &Key) -> Result<KVec<Taken<C>>> {
        let mut making = self.making.lock();
        let mut counts = self.realm.counts().lock();
        // What would have to be forgotten stays a path.
        let has_room = counts.has_room(C::LANES);
        let count = usize::from(C::LANES);
        let mut taken = KVec::with_capacity(count, GFP_KERNEL)?;
        let mut nodes = KVec::with_capacity(count, GFP_KERNEL)?;
        for _ in 0..count {
            nodes.push(RBTreeNodeReservation::new(GFP_KERNEL)?, GFP_KERNEL)?;
        }
        let mut paths = self.paths.lock();
        let Some(first) = paths.get(key).map(|job| job.data().clone()) else {
            return Ok(KVec::new());
        };
        let Some(memory) = first.expire(clock::now(), has_room) else {
            return Ok(KVec::new());
        };
        let others = first.others().iter().map(|path| {
            let lane = path.key().lane;

            (Key { lane, ..*key }, path.end_lane())
        });
        for (key, memory) in Iterator::chain(iter::once((*key, memory)), others) {
            if let Some(node) = paths.remove_node(&key) {
                // There is room for all lanes.
                let (_, job) = node.to_key_value();
                let _ = taken.push_within_capacity(Taken { job, key, memory });
            }
        }
        drop(paths);

        for Taken { key, memory, .. } in &taken {
            if let Some(node) = nodes.pop().filter(|_| !memory.is_blank()) {
                let _none = making.memories.insert(node.into_node(*key, *memory));
                counts.remember();
            }
        }
        counts.remove(first.maker(), C::LANES);
        Ok(taken)
    }

    /// Calls `f` with all paths of a local address.
    ///
    /// Any context.
    pub(super) fn for_each_of(&self, local: Addr, mut f: impl FnMut(&Path<C>)) {
        let wanted = |key: &Key| key.local == local;

        self.for_each_from(Key::first(local), wanted, |_, path| f(path));
    }

    /// Calls `f` with all paths.
    ///
    /// Any context.
    pub(super) fn for_each(&self, mut f: impl FnMut(&Path<C>)) {
        self.for_each_keyed(|_, path| f(path));
    }

    fn for_each_keyed(&self, f: impl FnMut(&Key, &Path<C>)) {
        self.for_each_from(Key::first(Addr::default()), |_| true, f);
    }

    /// Calls `f` with the paths from a key on, without the table's lock, as long as they are wanted.
    fn for_each_from(
        &self,
        first: Key,
        wanted: impl Fn(&Key) -> bool,
        mut f: impl FnMut(&Key, &Path<C>),
    ) {
        let mut from = Some(first);

        while let Some(start) = from.take() {
            let mut chunk: [Option<(Key, Arc<Path<C>>)>; CHUNK] = [const { None }; CHUNK];
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
    pub(super) fn stop(&self) {
        let counts = self.realm.counts();
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
            counts.lock().remove(path.maker(), 1);
        }
    }
}

impl<C: Dial> Work for Table<C> {
    fn run(this: &Arc<Self>) -> Option<Delta> {
        this.sweep().then_some(LINGER)
    }
}
