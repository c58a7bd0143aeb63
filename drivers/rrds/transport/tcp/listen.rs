// SPDX-License-Identifier: GPL-2.0

//! Connections of peers.

use super::{
    marker::Tcp,
    pipe::{
        Request,
        OPTIONS, //
    },
    receive::Events,
};
use crate::{
    addr::between,
    clock,
    key::RouteKey,
    params,
    path::{
        Path,
        Table, //
    },
    trace::{
        self,
        Why, //
    },
};
use core::net::{
    Ipv4Addr,
    Ipv6Addr,
    SocketAddr, //
};
use kernel::{
    new_mutex,
    prelude::*,
    sync::{
        Arc,
        Mutex, //
    },
    time::Delta, //
};
use krdma::{
    net::{
        tcp::{
            Acceptor,
            Connection,
            Listener, //
        },
        Namespace, //
    },
    work::{
        Job,
        Waker,
        Work, //
    },
};
use rds_proto::{
    tcp::{
        self,
        Role, //
    },
    time::Instant,
};

/// Connections that may wait to be accepted (spec-tcp-ports).
const BACKLOG: u32 = 64;

/// Connections that are accepted before others get the workqueue.
const BUDGET: u32 = 64;

/// When it is tried again to accept one, or to find the lane of one.
const RETRY: Delta = Delta::from_millis(10);

/// Connections of a path whose lane is not known yet, or can't take them yet, and of all paths. What comes beside them is
/// dropped, and with it what TCP has acknowledged of it. A peer that dials all lanes twice meanwhile loses nothing.
const PARKED_OF_PATH: usize = 16;
const PARKED: usize = 4096;

/// Wakes the job when a connection waits.
struct Bell(Waker);

impl Acceptor for Bell {
    fn connection_waiting(&self) {
        self.0.wake();
    }
}

/// Accepts the connections of a namespace.
#[pin_data]
pub(crate) struct Accepts {
    table: Arc<Table<Tcp>>,
    #[pin]
    listener: Mutex<Option<Listener<Bell>>>,
    #[pin]
    parked: Mutex<KVec<Parked>>,
}

/// A connection whose lane is not known yet. What comes on it stays with TCP.
struct Parked {
    connection: Connection<Events>,
    path: Arc<Path<Tcp>>,
    /// The peer's.
    port: u16,
    since: Instant,
}

/// Waits for peers, by IPv4 and, where the kernel has it, by IPv6. What is accepted has the listener's options.
pub(super) fn listen(table: &Arc<Table<Tcp>>) -> Result<Job<Accepts>> {
    let realm = table.realm();
    let (module, port) = (realm.module(), params::tcp_port());
    let on = |at: SocketAddr, waker: &Waker| {
        Listener::new(
            module,
            realm.namespace(),
            at,
            BACKLOG,
            &OPTIONS,
            Bell(waker.clone()),
        )
    };
    let job = krdma::new_job!(module, |waker| {
        let both = SocketAddr::from((Ipv6Addr::UNSPECIFIED, port));
        let by_v4 = SocketAddr::from((Ipv4Addr::UNSPECIFIED, port));
        let listener = on(both, &waker)
            .or_else(|err| match err {
                EAFNOSUPPORT | EADDRNOTAVAIL => on(by_v4, &waker),
                err => Err(err),
            })
            .inspect_err(|err| {
                // In other namespaces anybody may have the port, and sockets fail by this.
                if *realm.namespace() == *Namespace::initial() {
                    pr_err!(
                        "can't listen on TCP port {} ({:?}): unload rds_tcp\n",
                        port,
                        err
                    );
                }
            })?;

        Arc::pin_init(
            pin_init!(Accepts {
                table: table.clone(),
                listener <- new_mutex!(Some(listener), "rrds::tcp::Accepts::listener"),
                parked <- new_mutex!(KVec::new(), "rrds::tcp::Accepts::parked"),
            }),
            GFP_KERNEL,
        )
    })?;

    // One may wait already.
    job.wake();
    Ok(job)
}

/// Ends what [`listen`] began. No connection is taken any more when this returns.
pub(super) fn close(job: Job<Accepts>) {
    let accepts = job.data().clone();

    job.close();
    let listener = accepts.listener.lock().take();
    if let Some(listener) = listener {
        listener.close();
    }
    let parked = core::mem::take(&mut *accepts.parked.lock());
    drop(parked);
}

impl Work for Accepts {
    fn run(this: &Arc<Self>) -> Option<Delta> {
        let guard = this.listener.lock();
        let listener = guard.as_ref()?;

        this.settle();
        for _ in 0..BUDGET {
            match listener.accept(Events::new(None)) {
                Ok(Some(connection)) => this.take(connection),
                Ok(None) => return this.has_parked().then_some(RETRY),
                // It has ended already.
                Err(ECONNABORTED) => {}
                Err(_) => return Some(RETRY),
            }
        }
        Some(Delta::ZERO)
    }
}

impl Accepts {
    /// Takes a connection (spec-tcp-roles).
    fn take(&self, connection: Connection<Events>) {
        let ends = (connection.local_addr(), connection.peer_addr());
        let (Ok(local), Ok(peer)) = ends else {
            return;
        };
        let (port, key) = (peer.port(), between(local, peer));
        let RouteKey { local, peer, .. } = key;
        // What goes to this host itself goes by loopback.
        if self.table.realm().owns(peer, key.scope) != Ok(false) {
            trace::refused(local, peer, 0, Why::WrongAddress);
            return;
        }
        let path = match self.table.path_of_request(key) {
            Ok(path) => path,
            Err(_) => {
                trace::refused(local, peer, 0, Why::NoMemory);
                return;
            }
        };
        let lane = path.lane_of_request(port, 0);

        if Role::of(local, peer) == Role::Low {
            // It asks us to dial. A lane that may not connect yet is dialed when the first one is up.
            drop(connection);
            lane.filter(|lane| lane.may_connect())
                .unwrap_or(path)
                .call_back();
            return;
        }
        match lane {
            // None is used before those that came first.
            Some(lane) if !self.has_parked_of(&path, port) => use_for(&lane, connection),
            _ => self.park(connection, path, port),
        }
    }

    /// Whether connections wait that may be for the same lane.
    fn has_parked_of(&self, path: &Arc<Path<Tcp>>, port: u16) -> bool {
        let parked = self.parked.lock();

        parked
            .iter()
            .any(|other| Arc::ptr_eq(&other.path, path) && path.is_same_lane(other.port, port))
    }

    /// Keeps a connection until its lane is known, and can take it.
    fn park(&self, connection: Connection<Events>, path: Arc<Path<Tcp>>, port: u16) {
        let mut parked = self.parked.lock();
        let key = *path.key();
        let new = Parked {
            connection,
            path,
            port,
            since: clock::now(),
        };

        let is_same = |other: &Parked| Arc::ptr_eq(&other.path, &new.path);
        let count = parked.iter().filter(|other| is_same(other)).count();
        // Beside those of the same path, which came before.
        let place = parked
            .iter()
            .rposition(is_same)
            .map_or(parked.len(), |at| at.saturating_add(1));

        if count >= PARKED_OF_PATH
            || parked.len() >= PARKED
            || parked.reserve(1, GFP_KERNEL).is_err()
            || parked.insert_within_capacity(place, new).is_err()
        {
            trace::refused(key.local, key.peer, 0, Why::Race);
        }
    }

    fn has_parked(&self) -> bool {
        !self.parked.lock().is_empty()
    }

    /// Uses the connections whose lanes are known by now, and can take them.
    fn settle(&self) {
        let now = clock::now();
        let mut parked = self.parked.lock();
        let mut at = 0;

        while let Some(one) = parked.get_mut(at) {
            let (path, port) = (one.path.clone(), one.port);
            if path.is_stopped() {
                // It was of no use for long, but for this.
                match self.table.path_of_request(*path.key()) {
                    Ok(path) => one.path = path,
                    // None is made any more.
                    Err(ENETDOWN) => drop(parked.remove(at)),
                    // There may be memory later.
                    Err(_) => at = at.saturating_add(1),
                }
                continue;
            }
            let lane = path.lane_of_request(port, now.since(one.since));
            // Those of a path are beside each other, in the order in which they came.
            let is_behind = parked
                .iter()
                .take(at)
                .rev()
                .take_while(|other| Arc::ptr_eq(&other.path, &path))
                .any(|other| path.is_same_lane(other.port, port));
            match lane {
                Some(lane) if !is_behind => {
                    if let Ok(Parked { connection, .. }) = parked.remove(at) {
                        use_for(&lane, connection);
                    }
                }
                _ => at = at.saturating_add(1),
            }
        }
    }
}

/// Has a connection of the peer used for a lane.
fn use_for(lane: &Arc<Path<Tcp>>, connection: Connection<Events>) {
    let key = lane.key();

    lane.take_request(Request(connection), &tcp::request(key.local, key.peer));
}
