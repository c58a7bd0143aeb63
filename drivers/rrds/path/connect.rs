// SPDX-License-Identifier: GPL-2.0

//! The connections of a path.

use super::{
    Path,
    State, //
};
use crate::{
    clock, params,
    trace::{
        self,
        Why, //
    },
    transport::rc::{
        Link,
        Shared,
        Station,
        Way, //
    },
};
use core::mem;
use kernel::{
    prelude::*,
    sync::Arc,
    time::Delta, //
};
use krdma::{
    random::random_u64,
    rdma::{
        cm::{
            self,
            ConnParams,
            Connection,
            Event,
            Handler,
            Id, //
        },
        qp_attr::QpState, //
    }, //
};
use rds_proto::{
    conn::{
        Action,
        ConnId,
        State as ConnState,
        Verdict, //
    },
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

/// The connections that the engine knows of, by its numbers: each stays until [`Action::Close`] or
/// [`Action::Release`].
#[derive(Default)]
pub(super) struct Connections {
    list: KVec<(ConnId, Connection<Events>)>,
}

impl Connections {
    fn take(&mut self, conn: ConnId) -> Option<Connection<Events>> {
        let at = self.list.iter().position(|(number, _)| *number == conn)?;

        self.list.remove(at).ok().map(|(_, connection)| connection)
    }

    /// Puts a connection back, into the room that it was taken from.
    fn put(
        &mut self,
        conn: ConnId,
        connection: Connection<Events>,
    ) -> Result<(), Connection<Events>> {
        self.list
            .push_within_capacity((conn, connection))
            .map_err(|err| err.0 .1)
    }
}

/// What is done about the events of one connection.
pub(crate) struct Events {
    path: Arc<Path>,
    conn: ConnId,
    /// What our request says, if it is ours.
    request: Option<PrivateBytes>,
    /// RDMA reads that the peer accepts and sends at one time.
    limits: (u8, u8),
}

impl Path {
    /// Does what the engine wants done about connections.
    ///
    /// By the job only, or after it has ended. May sleep.
    pub(super) fn carry_out(self: &Arc<Self>) {
        self.confirm();

        while let Some(action) = self.next_action() {
            match action {
                Action::Dial { conn, private } => {
                    if let Err(err) = self.dial(conn, &private) {
                        pr_debug!("{}: not dialed: {:?}\n", self, err);
                        self.lost(conn, DropReason::Transport);
                    }
                }
                Action::Accept { conn, private } => {
                    if let Err(err) = self.accept(conn, &private) {
                        pr_debug!("{}: not accepted: {:?}\n", self, err);
                        self.lost(conn, DropReason::Transport);
                    }
                }
                Action::Close { conn, reason } => self.close(conn, reason),
                Action::Release { conn } => {
                    let connection = self.connections.lock().take(conn);
                    if let Some(connection) = connection {
                        refuse(&connection);
                        connection.close();
                    }
                }
            }
        }
    }

    /// Tells the connection manager of a connection that a frame has come in on, if it is not
    /// established yet.
    fn confirm(&self) {
        let heard = self.state.lock().heard.take();
        let connections = self.connections.lock();
        let connection = connections
            .list
            .iter()
            .find(|(conn, _)| Some(*conn) == heard);

        if let Some((_, connection)) = connection {
            // It fails if the peer's confirmation has come.
            let _ = connection.notify_established();
        }
    }

    fn next_action(&self) -> Option<Action> {
        let congested = !self.peer.is_clear();
        let mut guard = self.state.lock();
        let state = &mut *guard;

        state.timed = false;
        state.engine.poll(&state.settings, clock::now(), congested)
    }

    fn dial(self: &Arc<Self>, conn: ConnId, private: &PrivateData) -> Result {
        self.connections.lock().list.reserve(1, GFP_KERNEL)?;
        let events = Events {
            path: self.clone(),
            conn,
            request: Some(private.emit()),
            limits: (u8::MAX, u8::MAX),
        };
        let port = self.realm.shared().port(self.key.peer.family());
        let connection = self
            .realm
            .builder()
            .service_type(self.key.tos)
            .service_level(self.key.tos)
            .min_rnr_timer(consts::MIN_RNR_TIMER)
            .resolve(
                Some(Shared::to_socket(self.key.local, 0, self.key.scope)),
                Shared::to_socket(self.key.peer, port, self.key.scope),
                RESOLVE,
                events,
            )?;

        self.keep(conn, connection);
        Ok(())
    }

    /// Keeps a connection until it is closed.
    fn keep(&self, conn: ConnId, connection: Connection<Events>) {
        let refused = self.connections.lock().put(conn, connection);

        // There is room: it was made before.
        drop(refused);
    }

    fn accept(self: &Arc<Self>, conn: ConnId, private: &PrivateData) -> Result {
        let connection = self.connections.lock().take(conn).ok_or(ENOENT)?;
        let accepted = self.accept_by(&connection, conn, private);

        self.keep(conn, connection);
        accepted
    }

    fn accept_by(
        self: &Arc<Self>,
        connection: &Connection<Events>,
        conn: ConnId,
        private: &PrivateData,
    ) -> Result {
        let station = self.station(connection)?;

        connection.set_min_rnr_timer(consts::MIN_RNR_TIMER)?;
        let link = self.link(&station, conn, connection.path())?;
        connection.modify_qp(link.qp(), QpState::Init)?;
        connection.modify_qp(link.qp(), QpState::Rtr)?;
        connection.modify_qp(link.qp(), QpState::Rts)?;

        let bytes = private.emit();
        let limits = connection.handler().limits;
        connection.accept(&params(&link, &station, bytes.as_slice(), limits))
    }

    fn station(&self, id: &Id<Events>) -> Result<Arc<Station>> {
        id.device()
            .and_then(|dev| self.realm.shared().station(dev))
            .ok_or(ENODEV)
    }

    /// Makes the queue pair of a connection, and starts to use it.
    ///
    /// Errors: [`ECANCELED`] if the connection is being closed, and what the queue pair fails with.
    fn link(
        self: &Arc<Self>,
        station: &Arc<Station>,
        conn: ConnId,
        way: Option<cm::Path>,
    ) -> Result<Arc<Link>> {
        let way = way.map(Way::from).unwrap_or_default();
        let link = Link::new(station, self.clone(), conn, way)?;
        let mut guard = self.state.lock();
        let state = &mut *guard;

        if state.engine.current() != conn || !state.is_connecting() {
            drop(guard);
            return Err(ECANCELED);
        }
        state.settings = station.settings(self.space.sysctls.settings());
        state.link = Some(link.clone());
        Ok(link)
    }

    /// Takes a connection down, and whatever the device has of it.
    fn close(self: &Arc<Self>, conn: ConnId, reason: DropReason) {
        let link = {
            let mut state = self.state.lock();

            // From here on nothing is posted.
            match &state.link {
                Some(link) if link.conn() == conn => state.link.take(),
                _ => None,
            }
        };
        let connection = self.connections.lock().take(conn);

        let was_up = self.log_closed(conn, reason);
        if let Some(connection) = &connection {
            match connection.state() {
                cm::State::Requested => refuse(connection),
                cm::State::Established | cm::State::Disconnected => {
                    // It fails if the other side was faster.
                    let _ = connection.disconnect();
                }
                _ => {}
            }
        }
        if let Some(link) = link {
            link.end();
        }
        // Waits for callbacks, which may tell that it is up.
        if let Some(connection) = connection {
            connection.close();
        }
        if was_up {
            self.space.tell_peer(&self.key, false);
        }

        let partial = {
            let mut guard = self.state.lock();
            let state = &mut *guard;

            state
                .engine
                .on_closed(&state.settings, clock::now(), conn, random_u64());
            mem::take(&mut state.partial)
        };
        drop(partial);
    }

    /// Takes a request of the peer, whose private data was checked.
    ///
    /// May sleep.
    pub(crate) fn take_request(self: &Arc<Self>, request: cm::Request<'_>, private: &PrivateData) {
        let mut connections = self.connections.lock();
        // One more: the job may have taken out one that it puts back.
        let verdict = match connections.list.reserve(2, GFP_KERNEL) {
            Ok(()) => {
                let mut guard = self.state.lock();
                let state = &mut *guard;

                state
                    .engine
                    .on_request(&state.settings, clock::now(), private)
            }
            Err(_) => Verdict::Reject(RejectDatum::RETRY),
        };

        match verdict {
            Verdict::Reject(datum) => {
                drop(connections);
                trace::refused(self.key.local, self.key.peer, self.key.tos, Why::Race);
                // The peer notices in the end if this does not reach it.
                let _ = request.reject(&datum.emit());
            }
            Verdict::Hold { conn } => {
                let params = request.params();
                let made = request.into_connection(Events {
                    path: self.clone(),
                    conn,
                    request: None,
                    limits: (params.responder_resources, params.initiator_depth),
                });
                match made {
                    Ok(connection) => {
                        let refused = connections.put(conn, connection);
                        drop(connections);
                        drop(refused);
                    }
                    Err(_) => {
                        drop(connections);
                        self.lost(conn, DropReason::NoMemory);
                    }
                }
            }
        }
        self.waker.wake();
    }

    /// Notes that a connection is established. Returns whether it can be used.
    fn established(&self, conn: ConnId, reply: Option<&PrivateData>) -> bool {
        let up = self.state.lock().engine.on_established(conn, reply);

        if up {
            self.log_connected();
            self.space.tell_peer(&self.key, true);
            self.pump();
        }
        self.waker.wake();
        up
    }

    /// Takes the path down for good; the job has ended.
    pub(super) fn stop(self: &Arc<Self>) {
        self.state.lock().engine.stop();
        self.carry_out();
        let counted = *self.state.lock().engine.stats();
        self.space.retired.lock().retire(&counted);
        // What was not sent is dropped.
        {
            let mut guard = self.state.lock();
            let State { engine, room, .. } = &mut *guard;
            engine.drain(|message, outcome| self.end(room, message, outcome));
        }
        let rest = mem::take(&mut *self.connections.lock());
        drop(rest);
    }
}

impl State {
    fn is_connecting(&self) -> bool {
        matches!(
            self.engine.state(),
            ConnState::Accepting | ConnState::Dialing
        )
    }
}

/// Refuses a request. The peer tries again.
fn refuse(connection: &Connection<Events>) {
    let _ = connection.reject(&RejectDatum::RETRY.emit());
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
    /// The route is known: makes the queue pair and sends our request.
    fn request(&self, id: &Id<Self>) -> Result {
        let request = self.request.as_ref().ok_or(EINVAL)?;
        let station = self.path.station(id)?;
        let link = self.path.link(&station, self.conn, id.path())?;

        id.modify_qp(link.qp(), QpState::Init)?;
        id.connect(&params(&link, &station, request.as_slice(), self.limits))
    }

    /// The peer has accepted.
    fn respond(&self, id: &Id<Self>, reply: &ConnParams<'_>) -> Result {
        let link = self.path.state.lock().link.clone();
        let link = link
            .filter(|link| link.conn() == self.conn)
            .ok_or(ECANCELED)?;
        // A reply that is too short says as much as none.
        let reply = PrivateData::parse(reply.private_data, self.path.key.peer.family()).ok();

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
