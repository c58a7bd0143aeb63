// SPDX-License-Identifier: GPL-2.0

//! A carrier, as the transport that sockets see.

use super::{
    connect::Dial,
    realm::Shared,
    table::Table,
    until,
    Path, //
};
use crate::{
    clock,
    key::RouteKey,
    region::Region,
    socket::seam::{
        Route,
        Transport, //
    },
    space::Space, //
};
use core::mem;
use kernel::{
    fmt,
    new_mutex,
    new_spinlock_irq,
    prelude::*,
    sync::{
        Arc,
        Mutex,
        SpinLockIrq, //
    },
    time::Delta, //
};
use krdma::{
    net::{
        pernet::NewNamespace,
        Namespace, //
    },
    page::PinnedPages,
    work::{
        Job,
        Waker,
        Work, //
    }, //
};
use rds_proto::{
    stats::Counters,
    time::Instant,
    uapi::info::{
        Connection,
        Detail,
        Listed, //
    },
    wire::Addr, //
};

/// How peers find this host by a carrier.
pub(crate) trait Listen: Dial {
    /// What listens for peers in a namespace; none by default.
    type Listeners: Default + Send + Unpin;

    /// Begins to listen for peers in a namespace, whose requests go to paths of `table`. May sleep.
    fn listen(table: &Arc<Table<Self>>) -> Result<Self::Listeners>;

    /// Ends what listens. Returns after the last callback: no request of a peer is taken any more. May sleep.
    fn close(listeners: Self::Listeners);
}

/// A carrier in all namespaces.
#[pin_data]
pub(crate) struct All<C: Listen> {
    shared: Arc<Shared<C>>,
    /// The paths of the namespaces where somebody holds the transport.
    #[pin]
    tables: Mutex<KVec<Arc<Table<C>>>>,
}

impl<C: Listen> All<C> {
    /// Makes what the namespaces share, beside the carrier's own. May sleep.
    pub(crate) fn new(module: &'static ThisModule, host: Arc<C::Host>) -> Result<Arc<Self>> {
        let shared = Shared::new(module, host)?;

        Arc::pin_init(
            pin_init!(Self {
                shared,
                tables <- new_mutex!(KVec::new(), "rrds::All::tables"),
            }),
            GFP_KERNEL,
        )
    }

    /// Returns the carrier's state that all namespaces share.
    pub(crate) fn host(&self) -> &Arc<C::Host> {
        &self.shared.host
    }

    /// Writes a line for each path. May sleep.
    pub(crate) fn dump(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut result = Ok(());

        for table in self.tables.lock().iter() {
            table.for_each(|path| {
                if result.is_ok() {
                    result = path.dump(f);
                }
            });
        }
        result
    }
}

/// [`Transport`] for the sockets of a namespace.
pub(crate) struct Streams<C: Listen> {
    job: Job<Tenure<C>>,
    /// What goes to this host itself, if the carrier does not.
    loopback: Arc<dyn Transport>,
}

/// What [`Streams`] has.
///
/// Peers can connect, and paths exist, as long as somebody [holds](Transport::hold) it: sockets that
/// are bound to it and, in the initial namespace, the module. After the last socket they stay for a
/// moment, so that peers get to know what that has received.
#[pin_data]
struct Tenure<C: Listen> {
    all: Arc<All<C>>,
    waker: Waker,
    /// Is there while somebody holds the transport.
    #[pin]
    table: SpinLockIrq<Option<Arc<Table<C>>>>,
    #[pin]
    holders: Mutex<Holders<C>>,
}

/// Who holds the transport in a namespace.
struct Holders<C: Listen> {
    /// The module does, until the namespace goes.
    always: bool,
    /// Sockets that do.
    sockets: usize,
    /// Until when the paths stay if there are none.
    until: Instant,
    listeners: C::Listeners,
    /// Takes out paths that are of no use any more.
    sweeper: Option<Job<Table<C>>>,
}

/// How long the paths stay after the last socket.
const LINGER_MS: i64 = 2000;

impl<C: Listen> Streams<C> {
    /// Makes the transport for a namespace. `loopback` carries what goes to addresses of this host, as far as
    /// the carrier leaves it that.
    pub(crate) fn new(all: &Arc<All<C>>, loopback: Arc<dyn Transport>) -> Result<Arc<Self>> {
        let job = krdma::new_job!(all.shared.module, |waker| {
            let holders = Holders {
                always: false,
                sockets: 0,
                until: Instant::default(),
                listeners: C::Listeners::default(),
                sweeper: None,
            };

            Arc::pin_init(
                pin_init!(Tenure {
                    all: all.clone(),
                    waker,
                    table <- new_spinlock_irq!(None, "rrds::Streams::table"),
                    holders <- new_mutex!(holders, "rrds::Streams::holders"),
                }),
                GFP_KERNEL,
            )
        })?;

        Ok(Arc::new(Self { job, loopback }, GFP_KERNEL)?)
    }

    fn table(&self) -> Option<Arc<Table<C>>> {
        self.job.data().table.lock().clone()
    }

    /// Shows all paths to `look`.
    fn for_each(&self, look: impl FnMut(&Path<C>)) {
        if let Some(table) = self.table() {
            table.for_each(look);
        }
    }
}

impl<C: Listen> Tenure<C> {
    fn start(&self, holders: &mut Holders<C>, ns: &Namespace, space: &Arc<Space>) -> Result {
        let sweeper = Table::new(&self.all.shared, ns, space)?;
        let table = sweeper.data().clone();

        self.all.tables.lock().push(table.clone(), GFP_KERNEL)?;
        // From the first listener on there may be paths.
        holders.listeners = match C::listen(&table) {
            Ok(listeners) => listeners,
            Err(err) => {
                self.end(&table);
                return Err(err);
            }
        };
        holders.sweeper = Some(sweeper);
        *self.table.lock() = Some(table);
        Ok(())
    }

    fn stop(&self, holders: &mut Holders<C>) {
        // Nobody asks for a new path after this.
        C::close(mem::take(&mut holders.listeners));
        if let Some(sweeper) = holders.sweeper.take() {
            sweeper.close();
        }
        let table = self.table.lock().take();
        if let Some(table) = table {
            self.end(&table);
        }
    }

    fn end(&self, table: &Arc<Table<C>>) {
        self.all
            .tables
            .lock()
            .retain(|other| !Arc::ptr_eq(other, table));
        table.stop();
    }
}

impl<C: Listen> Work for Tenure<C> {
    fn run(this: &Arc<Self>) -> Option<Delta> {
        let mut holders = this.holders.lock();
        let now = clock::now();

        if holders.always || holders.sockets > 0 {
            return None;
        }
        if now < holders.until {
            return Some(until(holders.until, now));
        }
        this.stop(&mut holders);
        None
    }
}

impl<C: Listen> Transport for Streams<C> {
    fn number(&self) -> i32 {
        C::NUMBER
    }

    fn service(&self, tos: u8) -> Option<u8> {
        Some(C::service(tos))
    }

    fn attach(&self, ns: NewNamespace<'_>, space: &Arc<Space>) -> Result {
        if let Some(ns) = ns.initial() {
            let this = self.job.data();
            let mut holders = this.holders.lock();

            this.start(&mut holders, ns, space)?;
            holders.always = true;
        }
        Ok(())
    }

    fn detach(&self, _space: &Arc<Space>) {
        let this = self.job.data();

        // No socket is left.
        this.stop(&mut this.holders.lock());
    }

    fn hold(&self, ns: &Namespace, space: &Arc<Space>) -> Result {
        let this = self.job.data();
        let mut holders = this.holders.lock();

        if this.table.lock().is_none() {
            this.start(&mut holders, ns, space)?;
        }
        // OVERFLOW: It counts sockets.
        holders.sockets = holders.sockets.wrapping_add(1);
        Ok(())
    }

    fn release(&self) {
        let this = self.job.data();
        let mut holders = this.holders.lock();

        holders.sockets = holders.sockets.saturating_sub(1);
        if holders.sockets > 0 {
            return;
        }
        // Nobody else is going to receive it: to a socket of the next stay it would be new.
        self.for_each(|path| path.acknowledge());
        if !holders.always {
            let linger = Delta::from_millis(LINGER_MS);

            holders.until = clock::now().after(linger.as_nanos().unsigned_abs());
            this.waker.wake_after(linger);
        }
    }

    fn owns(&self, ns: &Namespace, _space: &Space, addr: Addr, scope: u32) -> Result<bool> {
        C::owns(self.job.data().all.host(), ns, addr, scope)
    }

    fn operation_pieces(&self) -> u32 {
        match C::HAS_RDMA {
            true => C::operation_pieces(self.job.data().all.host()),
            false => 0,
        }
    }

    fn has_atomics(&self, masked: bool) -> bool {
        C::HAS_RDMA && C::has_atomics(self.job.data().all.host(), masked)
    }

    fn register(
        &self,
        ns: &Namespace,
        local: Addr,
        scope: u32,
        pages: PinnedPages,
    ) -> Result<Arc<dyn Region>> {
        C::register(self.job.data().all.host(), ns, local, scope, pages)
    }

    fn route(
        &self,
        space: &Arc<Space>,
        key: RouteKey,
        user: u32,
        chosen: bool,
    ) -> Result<Arc<dyn Route>> {
        let table = self.table().ok_or(ENETDOWN)?;
        let stays = !C::carries_own(chosen, space.sysctls.loopback());
        if stays && table.realm().is_here(key.peer, key.scope) {
            return self.loopback.route(space, key, user, chosen);
        }
        // A carrier is not asked to reach what only this host can: rxe's queue pair for the connection
        // manager would not survive it.
        if key.peer.is_loopback() {
            return Err(EINVAL);
        }
        let path = table.path(key, user)?;

        Ok(path)
    }

    fn find(&self, space: &Arc<Space>, key: RouteKey, chosen: bool) -> Option<Arc<dyn Route>> {
        if !C::carries_own(chosen, space.sysctls.loopback()) {
            if let Some(route) = self.find_here(space, key) {
                return Some(route);
            }
        }
        let path = self.table()?.path_if_any(key)?;

        Some(path)
    }

    fn find_here(&self, space: &Arc<Space>, key: RouteKey) -> Option<Arc<dyn Route>> {
        if !self.table()?.realm().is_here(key.peer, key.scope) {
            return None;
        }

        self.loopback.find(space, key, false)
    }

    fn map_changed(&self, local: Addr) {
        if let Some(table) = self.table() {
            table.for_each_of(local, |path| path.map_changed());
        }
    }

    fn for_each_connection(&self, _space: &Space, tell: &mut dyn FnMut(&Connection<'_>)) {
        self.for_each(|path| {
            if !path.is_extra() {
                tell(&path.record());
            }
        });
    }

    fn for_each_detail(&self, _space: &Space, tell: &mut dyn FnMut(&Detail)) {
        self.for_each(|path| {
            if let Some(detail) = path.detail() {
                tell(&detail);
            }
        });
    }

    fn count(&self, to: &mut Counters) {
        self.for_each(|path| path.count(to));
    }

    fn for_each_message(&self, _space: &Space, sent: bool, tell: &mut dyn FnMut(&Listed)) {
        self.for_each(|path| path.for_each_message(sent, tell));
    }
}
