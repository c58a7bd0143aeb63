// SPDX-License-Identifier: GPL-2.0

//! Requests of peers.

use super::Realm;
use crate::{
    key::RouteKey,
    path::Path,
    space::Space,
    trace::{
        self,
        Why, //
    },
};
use core::net::{
    IpAddr,
    Ipv4Addr,
    Ipv6Addr,
    SocketAddr, //
};
use kernel::{
    prelude::*,
    sync::Arc, //
};
use krdma::rdma::cm::{
    Acceptor,
    Id,
    Listener,
    Request, //
};
use rds_proto::wire::{
    Addr,
    PrivateData,
    RejectDatum, //
};

/// Listens for peers.
pub(super) struct Accept {
    realm: Arc<Realm>,
    space: Arc<Space>,
}

/// Waits for peers, by IPv4 and, where the kernel has it, by IPv6.
pub(super) fn listen(realm: &Arc<Realm>, space: &Arc<Space>) -> Result<KVec<Listener<Accept>>> {
    let builder = realm.builder();
    let ports = realm.shared.ports;
    let accept = || Accept {
        realm: realm.clone(),
        space: space.clone(),
    };
    let on = |ip: IpAddr, port| SocketAddr::from((ip, port));
    let mut listeners = KVec::with_capacity(2, GFP_KERNEL)?;

    let v4 = builder
        .listen(
            on(Ipv4Addr::UNSPECIFIED.into(), ports.v4),
            super::BACKLOG,
            accept(),
        )
        .inspect_err(|err| {
            pr_err!(
                "can't listen on RDMA port {} ({:?}): unload rds_rdma, or choose another port\n",
                ports.v4,
                err
            );
        })?;
    listeners.push(v4, GFP_KERNEL)?;

    let v6 = builder.single_family(true).listen(
        on(Ipv6Addr::UNSPECIFIED.into(), ports.v6),
        super::BACKLOG,
        accept(),
    );
    match v6 {
        Ok(v6) => listeners.push(v6, GFP_KERNEL)?,
        // C does without, too.
        Err(err) => pr_info!("no connections by IPv6 ({:?})\n", err),
    }
    Ok(listeners)
}

impl Accept {
    /// Returns the path that a request is for, and its private data.
    ///
    /// Errors: What to refuse it with.
    fn path(&self, request: &Request<'_>) -> Result<(Arc<Path>, PrivateData), RejectDatum> {
        const NO: RejectDatum = RejectDatum::RETRY;
        let (local, ours) = request.local_addr().map(from_socket).ok_or(NO)?;
        let (peer, theirs) = request.peer_addr().map(from_socket).ok_or(NO)?;
        let params = request.params();
        let refused = |tos, why| trace::refused(local, peer, tos, why);
        let private = PrivateData::parse(params.private_data, local.family()).map_err(|_| {
            refused(0, Why::PrivateData);
            NO
        })?;

        if !private.is_of(peer, local, answered_at(request)) {
            refused(private.tos, Why::WrongAddress);
            pr_debug!("{:?} claims to be {:?}: refused\n", peer, private.saddr);
            return Err(NO);
        }
        if self.realm.shared.station(request.device()).is_none() {
            refused(private.tos, Why::NoDevice);
            return Err(NO);
        }

        let key = RouteKey {
            local,
            peer,
            tos: private.tos,
            // As of a socket that answers. If both have one it is the same: the request came in over it.
            scope: if theirs != 0 { theirs } else { ours },
        };
        self.realm
            .table
            .path_of_request(&self.realm, &self.space, key)
            .map(|path| (path, private))
            .map_err(|err| {
                refused(private.tos, Why::NoMemory);
                RejectDatum::from_errno(err.to_errno())
            })
    }
}

impl Acceptor for Accept {
    fn request(listener: &Id<Self>, request: Request<'_>) {
        match listener.handler().path(&request) {
            Ok((path, private)) => path.take_request(request, &private),
            Err(datum) => {
                // The peer notices in the end if this does not reach it.
                let _ = request.reject(&datum.emit());
            }
        }
    }
}

/// The identifier of the port that is answered, if it is an address.
fn answered_at(request: &Request<'_>) -> Option<[u8; 16]> {
    request
        .path()
        .filter(|path| path.is_roce())
        .map(|path| *path.destination_gid().as_bytes())
}

/// Returns an address, and the interface that it is of if it is link-local.
fn from_socket(addr: SocketAddr) -> (Addr, u32) {
    match addr {
        SocketAddr::V4(addr) => (Addr::v4(addr.ip().octets()), 0),
        SocketAddr::V6(addr) => {
            let scope = if addr.ip().is_unicast_link_local() {
                addr.scope_id()
            } else {
                0
            };

            (Addr(addr.ip().octets()), scope)
        }
    }
}
