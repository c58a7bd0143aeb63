// SPDX-License-Identifier: GPL-2.0

//! Requests of peers.

use super::marker::Rc;
use crate::{
    addr::between,
    key::RouteKey,
    path::{
        self,
        Path,
        Table, //
    },
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
    Family,
    PrivateData,
    RejectDatum, //
};

/// Connections that may wait to be accepted (spec-constants).
const BACKLOG: u32 = 128;

/// Listens for peers.
pub(crate) struct Accept {
    table: Arc<Table<Rc>>,
}

/// Waits for peers, by IPv4 and, where the kernel has it, by IPv6.
pub(super) fn listen(table: &Arc<Table<Rc>>) -> Result<KVec<Listener<Accept>>> {
    let realm = table.realm();
    let host = realm.host();
    let builder = host.builder(realm.namespace());
    let (v4, v6) = (host.port(Family::V4), host.port(Family::V6));
    let accept = || Accept {
        table: table.clone(),
    };
    let on = |ip: IpAddr, port| SocketAddr::from((ip, port));
    let mut listeners = KVec::with_capacity(2, GFP_KERNEL)?;

    let by_v4 = builder
        .listen(on(Ipv4Addr::UNSPECIFIED.into(), v4), BACKLOG, accept())
        .inspect_err(|err| {
            pr_err!(
                "can't listen on RDMA port {} ({:?}): unload rds_rdma, or choose another port\n",
                v4,
                err
            );
        })?;
    listeners.push(by_v4, GFP_KERNEL)?;

    let by_v6 =
        builder
            .single_family(true)
            .listen(on(Ipv6Addr::UNSPECIFIED.into(), v6), BACKLOG, accept());
    match by_v6 {
        Ok(by_v6) => listeners.push(by_v6, GFP_KERNEL)?,
        // C does without, too.
        Err(err) => pr_info!("no connections by IPv6 ({:?})\n", err),
    }
    Ok(listeners)
}

impl Accept {
    /// Returns the path that a request is for, and its private data.
    ///
    /// Errors: What to refuse it with.
    fn path(&self, request: &Request<'_>) -> Result<(Arc<Path<Rc>>, PrivateData), RejectDatum> {
        const NO: RejectDatum = RejectDatum::RETRY;
        let ends = request.local_addr().zip(request.peer_addr()).ok_or(NO)?;
        let key = between(ends.0, ends.1);
        let RouteKey { local, peer, .. } = key;
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
        if self
            .table
            .realm()
            .host()
            .station(request.device())
            .is_none()
        {
            refused(private.tos, Why::NoDevice);
            return Err(NO);
        }

        let key = RouteKey {
            tos: private.tos,
            ..key
        };
        self.table
            .path_of_request(key)
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
            Err(datum) => path::Request::<Rc>::refuse(request, datum),
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
