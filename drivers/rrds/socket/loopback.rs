// SPDX-License-Identifier: GPL-2.0

//! The loopback transport: messages between sockets that are bound to 127/8 or ::1, and to any other address of
//! this host, unless the program chose RDMA for it (spec-loopback).
//!
//! A message is delivered by who sends it, and shared, not copied.

use super::seam::{
    Refused,
    Route,
    Transport, //
};
use crate::{
    addr::to_ip,
    congestion::{
        Peer,
        Used, //
    },
    key::{
        Endpoint,
        RouteKey, //
    },
    message::{
        Body,
        Incoming,
        Message,
        Origin,
        Outgoing,
        Pooled,
        Stamps,
        Told, //
    },
    space::Space,
    trace,
};
use kernel::{
    prelude::*,
    sync::{
        atomic::{
            ordering::Relaxed,
            Atomic, //
        },
        Arc, //
    },
};
use krdma::net::Namespace;
use rds_proto::{
    account::Overhead,
    consts::PING_PORT,
    send::Outcome,
    uapi::option::transport,
    wire::Addr, //
};

/// The transport.
pub(crate) struct Loopback {
    /// Its ways are kept whatever becomes of the address, and not only as long as this host has it.
    pub(crate) stays: bool,
}

impl Transport for Loopback {
    fn number(&self) -> i32 {
        transport::LOOPBACK
    }

    fn overhead(&self) -> Overhead {
        Overhead::Charged
    }

    fn owns(&self, _ns: &Namespace, _space: &Space, addr: Addr, _scope: u32) -> Result<bool> {
        Ok(addr.is_loopback())
    }

    fn route(
        &self,
        space: &Arc<Space>,
        key: RouteKey,
        _user: u32,
        _chosen: bool,
    ) -> Result<Arc<dyn Route>> {
        let local = space.local(key.peer, key.scope)?;

        Ok(LoopbackRoute::new(
            space,
            key,
            local,
            self.stays,
            GFP_KERNEL_ACCOUNT,
        )?)
    }

    fn find(&self, space: &Arc<Space>, key: RouteKey, _chosen: bool) -> Option<Arc<dyn Route>> {
        let local = space.local_if_any(key.peer, key.scope)?;

        Some(LoopbackRoute::new(space, key, local, self.stays, GFP_ATOMIC).ok()?)
    }
}

/// From one address of this host to another.
struct LoopbackRoute {
    key: RouteKey,
    /// It is kept whatever becomes of the address.
    stays: bool,
    peer: Arc<Peer>,
    space: Arc<Space>,
    next_seq: Atomic<u64>,
}

impl LoopbackRoute {
    fn new(
        space: &Arc<Space>,
        key: RouteKey,
        local: Used,
        stays: bool,
        flags: kernel::alloc::Flags,
    ) -> Result<Arc<Self>> {
        let peer = Peer::here(local, space.backlog(), flags)?;

        Ok(Arc::new(
            Self {
                key,
                stays: stays || key.peer.is_loopback(),
                peer,
                space: space.clone(),
                next_seq: Atomic::new(1),
            },
            flags,
        )?)
    }
}

impl LoopbackRoute {
    /// Whether a socket of this host has no room.
    fn is_full(&self, at: Endpoint) -> bool {
        let local = self.space.local_if_any(at.addr, self.key.scope);

        local.is_some_and(|local| local.is_congested(at.port))
    }
}

impl Route for LoopbackRoute {
    fn key(&self) -> RouteKey {
        self.key
    }

    fn is_current(&self, ns: &Namespace) -> bool {
        self.stays || ns.has_address(to_ip(self.key.peer), self.key.scope)
    }

    fn overtakes(&self) -> bool {
        true
    }

    fn peer(&self) -> &Arc<Peer> {
        &self.peer
    }

    fn send(
        &self,
        message: Outgoing,
        _ack_required: bool,
        flags: kernel::alloc::Flags,
        _may_sleep: bool,
    ) -> Result<(), Refused> {
        let seq = self.next_seq.fetch_add(1, Relaxed);
        message.set_seq(seq);
        trace::sent(&self.key, &**message.message());

        let (source, dest) = (message.source(), message.dest());
        let origin = Origin {
            source,
            dest,
            scope: self.key.scope,
            tos: self.key.tos,
            region: Told::Nothing,
        };
        let (body, origin) = if dest.port != PING_PORT {
            (Body::Shared(message.message().clone()), origin)
        } else if !self.space.sysctls.ping_enable() {
            self.space.stats.recv_drop_no_sock.add(1);
            message.end(Outcome::Done);
            return Ok(());
        } else if self.is_full(source) {
            // As a path does: who does not read gets no more answers.
            message.end(Outcome::Done);
            return Ok(());
        } else {
            // The answer: nothing, from port 0.
            self.space.stats.recv_ping.add(1);
            self.space.stats.send_pong.add(1);
            let origin = Origin {
                source: Endpoint {
                    port: PING_PORT,
                    ..dest
                },
                dest: source,
                ..origin
            };
            (
                Body::Own {
                    payload: Pooled::empty(),
                    charge: None,
                },
                origin,
            )
        };

        let stamps = Stamps::begin(self.space.is_traced());
        let incoming =
            Incoming::new(body, origin, seq, stamps, flags).map_err(|err| (err.into(), None))?;
        let delivered = self.space.deliver(incoming.into());
        message.end(Outcome::Done);
        if delivered.map_changed {
            self.space.map_changed(origin.dest.addr, 0);
        }
        Ok(())
    }

    fn connect(&self) {}

    fn cancel(&self, _seq: u64, _is_meant: &dyn Fn(&Message) -> bool) -> bool {
        // Messages are delivered when they are sent.
        true
    }
}
