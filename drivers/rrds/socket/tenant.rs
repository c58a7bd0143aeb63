// SPDX-License-Identifier: GPL-2.0

//! What sockets have in each network namespace, and what transports tell them there.

use super::{
    binds::BindKey,
    directory::Directory,
    notify,
    receive,
    seam::Transports,
    Socket, //
};
use crate::{
    backlog::Backlog,
    key::RouteKey,
    message::Incoming,
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
    sysctl::Folder, //
};
use rds_proto::wire::Addr;

impl Upper for Directory<Socket> {
    fn deliver(&self, message: ListArc<Incoming>) -> Option<Delivered> {
        let key = BindKey::new(message.dest, message.scope);

        match self.binds.find(&key) {
            Some(sock) => Some(receive::deliver(&sock, message)),
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
            .for_each(|sock| notify::on_congestion(sock, mask));
    }

    fn relieve(&self) {
        self.crowd.for_each(notify::on_relief);
        // Where nothing may sleep they can't join the crowd.
        self.taps.for_each(notify::tell_room);
    }

    fn tell_peer(&self, key: &RouteKey, is_up: bool) {
        self.taps.for_each(|sock| notify::on_peer(sock, key, is_up));
    }
}

/// What there is for each network namespace.
///
/// It does not keep the namespace: sockets do, each for itself.
pub(crate) struct Tenant {
    pub(super) space: Arc<Space>,
    pub(super) directory: Arc<Directory<Socket>>,
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
