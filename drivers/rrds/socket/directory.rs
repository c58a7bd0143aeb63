// SPDX-License-Identifier: GPL-2.0

//! The sockets of a network namespace, and the transports that they can choose.

use super::{
    binds::{
        BindKey,
        Binds, //
    },
    seam::{
        Transport,
        Transports, //
    },
    tap,
    Socket, //
};
use crate::{
    backlog::Backlog,
    key::RouteKey,
    message::Incoming,
    registry::Registry,
    space::{
        Delivered,
        Space,
        Upper, //
    },
    sysctl::{
        self,
        Sysctls, //
    },
    trace::{
        self,
        Why, //
    },
};
use kernel::{
    list::ListArc,
    prelude::*,
    sync::{
        Arc,
        ArcBorrow, //
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

/// The sockets of a namespace, and what they can choose.
#[pin_data]
pub(crate) struct Directory {
    /// In the order in which they are asked whose a local address is.
    pub(crate) transports: KVec<Arc<dyn Transport>>,
    #[pin]
    pub(super) binds: Binds<Socket>,
    /// All sockets.
    #[pin]
    pub(super) sockets: Registry<Socket>,
    /// Those of them that want to be told when a congested port gets free.
    #[pin]
    pub(super) watchers: Registry<Socket>,
    /// Those of them that wait for room on a way that is crowded.
    #[pin]
    pub(super) crowd: Registry<Socket>,
    /// Those that modules have opened, and that are told of peers.
    #[pin]
    pub(super) taps: Registry<Socket>,
}

impl Directory {
    fn new(transports: KVec<Arc<dyn Transport>>) -> Result<Arc<Self>> {
        Arc::pin_init(
            pin_init!(Self {
                transports,
                binds <- Binds::new(),
                sockets <- Registry::new(),
                watchers <- Registry::new(),
                crowd <- Registry::new(),
                taps <- Registry::new(),
            }),
            GFP_KERNEL,
        )
    }

    /// Calls `f` with each socket, without any lock. The last reference to a socket may be dropped
    /// by this.
    pub(crate) fn for_each_socket(&self, f: impl FnMut(&Sock<Socket>)) {
        self.sockets.for_each(f);
    }

    /// Returns what transports have counted in the namespace, and sockets have not.
    pub(crate) fn counted(&self, space: &Space) -> Counters {
        let mut counters = space.retired.lock().retired();

        for transport in self.transports.iter() {
            transport.count(&mut counters);
        }
        space.retired.lock().tell(&counters)
    }
}

impl AsRef<Binds<Socket>> for Directory {
    #[inline]
    fn as_ref(&self) -> &Binds<Socket> {
        &self.binds
    }
}

impl Upper for Directory {
    fn deliver(&self, message: ListArc<Incoming>) -> Option<Delivered> {
        let key = BindKey::new(message.dest, message.scope);

        match self.binds.find(&key) {
            Some(sock) => Some(Socket::deliver(&sock, message)),
            None => {
                trace::undelivered(&*message, message.tos, Why::NoSock);
                None
            }
        }
    }

    fn map_changed(&self, local: Addr) {
        for transport in self.transports.iter() {
            transport.map_changed(local);
        }
    }

    fn ports_freed(&self, mask: u64) {
        self.watchers
            .for_each(|sock| Socket::on_congestion(sock, mask));
    }

    fn relieve(&self) {
        self.crowd.for_each(Socket::on_relief);
        // Where nothing may sleep they can't join the crowd.
        self.taps.for_each(tap::on_relief);
    }

    fn tell_peer(&self, key: &RouteKey, is_up: bool) {
        self.taps.for_each(|sock| tap::on_peer(sock, key, is_up));
    }
}

/// What there is for each network namespace.
///
/// It does not keep the namespace: sockets do, each for itself.
pub(crate) struct Tenant {
    pub(super) space: Arc<Space>,
    pub(super) directory: Arc<Directory>,
}

krdma::pernet_slot!(Tenant);

impl AsRef<Sysctls> for Tenant {
    fn as_ref(&self) -> &Sysctls {
        &self.space.sysctls
    }
}

impl PerNamespace for Tenant {
    type Shared = Arc<dyn Transports>;

    fn create(shared: &Self::Shared, ns: NewNamespace<'_>) -> Result<Arc<Self>> {
        let is_initial = ns.initial().is_some();
        let backlog = if is_initial {
            Backlog::new()?
        } else {
            Backlog::part_of(shared.backlog_elsewhere())?
        };
        let directory = Directory::new(shared.make()?)?;
        let space = Space::new(is_initial, backlog, directory.clone())?;
        let this = Arc::new(Self { space, directory }, GFP_KERNEL)?;

        let mut attached = 0_usize;
        for transport in this.directory.transports.iter() {
            if let Err(err) = transport.attach(ns, &this.space) {
                for transport in this.directory.transports.iter().take(attached) {
                    transport.detach(&this.space);
                }
                return Err(err);
            }
            // OVERFLOW: It counts the elements of a vector.
            attached = attached.wrapping_add(1);
        }
        Ok(this)
    }

    fn sysctls(&self) -> &'static [Folder<Self>] {
        sysctl::folders()
    }

    fn remove(this: ArcBorrow<'_, Self>) {
        for transport in this.directory.transports.iter() {
            transport.detach(&this.space);
        }
    }
}
