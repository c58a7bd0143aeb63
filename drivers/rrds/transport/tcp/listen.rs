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
    key::RouteKey,
    path::Table,
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
use rds_proto::tcp::{
    self,
    Role, //
};

/// Connections that may wait to be accepted (spec-tcp-ports).
const BACKLOG: u32 = 64;

/// Connections that are accepted before others get the workqueue.
const BUDGET: u32 = 64;

/// When it is tried again to accept one.
const RETRY: Delta = Delta::from_millis(10);

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
}

/// Waits for peers, by IPv4 and, where the kernel has it, by IPv6. What is accepted has the listener's options.
pub(super) fn listen(table: &Arc<Table<Tcp>>) -> Result<Job<Accepts>> {
    let realm = table.realm();
    let module = realm.module();
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
        let both = SocketAddr::from((Ipv6Addr::UNSPECIFIED, tcp::PORT));
        let by_v4 = SocketAddr::from((Ipv4Addr::UNSPECIFIED, tcp::PORT));
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
                        tcp::PORT,
                        err
                    );
                }
            })?;

        Arc::pin_init(
            pin_init!(Accepts {
                table: table.clone(),
                listener <- new_mutex!(Some(listener), "rrds::tcp::Accepts::listener"),
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
}

impl Work for Accepts {
    fn run(this: &Arc<Self>) -> Option<Delta> {
        let guard = this.listener.lock();
        let listener = guard.as_ref()?;

        for _ in 0..BUDGET {
            match listener.accept(Events::new(None)) {
                Ok(Some(connection)) => this.take(connection),
                Ok(None) => return None,
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
        let key = between(local, peer);
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

        if Role::of(local, peer) == Role::Low {
            // It asks us to dial.
            drop(connection);
            path.call_back();
        } else {
            path.take_request(Request(connection), &tcp::request(local, peer));
        }
    }
}
