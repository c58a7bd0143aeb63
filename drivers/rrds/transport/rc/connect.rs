// SPDX-License-Identifier: GPL-2.0

//! Connections, by the connection manager.

use super::{
    link::{
        Link,
        Way, //
    },
    marker::Rc,
    station::Station, //
};
use crate::{
    addr, params,
    path::{
        self,
        Path, //
    },
};
use kernel::{
    prelude::*,
    sync::Arc,
    time::Delta, //
};
use krdma::rdma::{
    cm::{
        self,
        ConnParams,
        Connection,
        Event,
        Handler,
        Id, //
    },
    qp_attr::QpState, //
};
use rds_proto::{
    conn::ConnId,
    consts,
    error::DropReason,
    wire::{
        PrivateBytes,
        PrivateData,
        RejectDatum, //
    },
};

/// How long the resolution of an address or of a route may take (spec-constants).
const RESOLVE: Delta = Delta::from_millis(5000);

/// What is done about the events of one connection.
pub(crate) struct Events {
    path: Arc<Path<Rc>>,
    conn: ConnId,
    /// What our request says, if it is ours.
    request: Option<PrivateBytes>,
    /// RDMA reads that the peer accepts and sends at one time.
    limits: (u8, u8),
}

/// Looks for the peer; the request follows.
pub(super) fn dial(
    path: &Arc<Path<Rc>>,
    conn: ConnId,
    hello: &PrivateData,
) -> Result<Connection<Events>> {
    let (realm, key) = (path.realm(), path.key());
    let host = realm.host();
    let events = Events {
        path: path.clone(),
        conn,
        request: Some(hello.emit()),
        limits: (u8::MAX, u8::MAX),
    };

    host.builder(realm.namespace())
        .service_type(key.tos)
        .service_level(key.tos)
        .min_rnr_timer(consts::MIN_RNR_TIMER)
        .resolve(
            Some(addr::to_socket(key.local, 0, key.scope)),
            addr::to_socket(key.peer, host.port(key.peer.family()), key.scope),
            RESOLVE,
            events,
        )
}

impl path::Request<Rc> for cm::Request<'_> {
    fn refuse(self, datum: RejectDatum) {
        // The peer notices in the end if this does not reach it.
        let _ = self.reject(&datum.emit());
    }

    fn hold(self, path: Arc<Path<Rc>>, conn: ConnId) -> Result<Connection<Events>> {
        let params = self.params();

        self.into_connection(Events {
            path,
            conn,
            request: None,
            limits: (params.responder_resources, params.initiator_depth),
        })
    }
}

impl path::Conn for Connection<Events> {
    fn accept(&self, hello: &PrivateData) -> Result {
        let events = self.handler();
        let station = events.station(self)?;

        self.set_min_rnr_timer(consts::MIN_RNR_TIMER)?;
        let link = events.link(&station, self.path())?;
        self.modify_qp(link.qp(), QpState::Init)?;
        self.modify_qp(link.qp(), QpState::Rtr)?;
        self.modify_qp(link.qp(), QpState::Rts)?;

        let bytes = hello.emit();
        Id::accept(
            self,
            &params(&link, &station, bytes.as_slice(), events.limits),
        )
    }

    fn confirm(&self) {
        // It fails if the peer's confirmation has come.
        let _ = self.notify_established();
    }

    fn hang_up(&self) {
        match self.state() {
            cm::State::Requested => {
                // The peer tries again.
                let _ = self.reject(&RejectDatum::RETRY.emit());
            }
            cm::State::Established | cm::State::Disconnected => {
                // It fails if the other side was faster.
                let _ = self.disconnect();
            }
            _ => {}
        }
    }

    fn close(self) {
        Connection::close(self);
    }
}

/// What the peer is told of our side.
fn params<'a>(
    link: &Link,
    station: &Station,
    private_data: &'a [u8],
    (responder_resources, initiator_depth): (u8, u8),
) -> ConnParams<'a> {
    let profile = station.profile();

    ConnParams {
        private_data,
        // What one side sends the other one must accept (spec-cm-parameters).
        responder_resources: profile.responder_resources.min(initiator_depth),
        initiator_depth: profile.initiator_depth.min(responder_resources),
        retry_count: params::retry_count(),
        rnr_retry_count: consts::RNR_RETRY_COUNT,
        qp_number: link.qp().number(),
        ..ConnParams::default()
    }
}

impl Events {
    fn station(&self, id: &Id<Self>) -> Result<Arc<Station>> {
        id.device()
            .and_then(|dev| self.path.realm().host().station(dev))
            .ok_or(ENODEV)
    }

    /// Makes the queue pair of the connection, and has the path use it.
    ///
    /// Errors: [`ECANCELED`] if the connection is being closed, and what the queue pair fails with.
    fn link(&self, station: &Station, way: Option<cm::Path>) -> Result<Arc<Link>> {
        let way = way.map(Way::from).unwrap_or_default();
        let link = Link::new(station, self.path.clone(), self.conn, way)?;

        self.path.attach(link.clone())?;
        Ok(link)
    }

    /// The route is known: makes the queue pair and sends our request.
    fn request(&self, id: &Id<Self>) -> Result {
        let request = self.request.as_ref().ok_or(EINVAL)?;
        let station = self.station(id)?;
        let link = self.link(&station, id.path())?;

        id.modify_qp(link.qp(), QpState::Init)?;
        id.connect(&params(&link, &station, request.as_slice(), self.limits))
    }

    /// The peer has accepted.
    fn respond(&self, id: &Id<Self>, reply: &ConnParams<'_>) -> Result {
        let link = self.path.attached(self.conn).ok_or(ECANCELED)?;
        // A reply that is too short says as much as none.
        let reply = PrivateData::parse(reply.private_data, self.path.key().peer.family()).ok();

        id.modify_qp(link.qp(), QpState::Rtr)?;
        id.modify_qp(link.qp(), QpState::Rts)?;
        // First: the peer sends when it hears from us.
        if !self.path.established(self.conn, reply.as_ref()) {
            return Err(ECANCELED);
        }
        id.accept_response()
    }
}

impl Handler for Events {
    fn event(id: &Id<Self>, event: Event<'_>) {
        let this = id.handler();
        let failed = |result: Result| result.err().map(|_| DropReason::Transport);

        let reason = match event {
            Event::AddressResolved => failed(id.resolve_route(RESOLVE)),
            Event::RouteResolved => failed(this.request(id)),
            Event::Response(reply) => failed(this.respond(id, &reply)),
            Event::Established(_) => {
                this.path.established(this.conn, None);
                None
            }
            Event::Rejected(_) => Some(DropReason::Rejected),
            Event::AddressError(_)
            | Event::RouteError(_)
            | Event::ConnectError(_)
            | Event::Unreachable(_)
            | Event::Disconnected
            | Event::TimewaitExit => Some(DropReason::Transport),
            Event::DeviceRemoval | Event::AddressChange => Some(DropReason::Local),
            _ => None,
        };
        if let Some(reason) = reason {
            this.path.lost(this.conn, reason);
        }
    }
}
