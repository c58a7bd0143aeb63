// SPDX-License-Identifier: GPL-2.0

//! The job of a path: makes and takes down its connections, and looks after what is due.

use super::{
    carrier::{
        Carrier,
        Conn,
        Link, //
    },
    connections::Closing,
    until, Path, State,
};
use crate::{
    clock,
    trace::{
        self,
        Why, //
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
    work::Work, //
};
use rds_proto::{
    conn::{
        Action,
        ConnId,
        State as ConnState,
        Verdict, //
    },
    error::DropReason,
    wire::{
        PrivateData,
        RejectDatum, //
    },
};

/// After what time a transmission that failed for lack of memory is tried again.
const RETRY: Delta = Delta::from_millis(1);

/// How the connections of a [`Carrier`] come about.
pub(crate) trait Dial: Carrier {
    /// Begins a connection to the peer, with number `conn`. `hello` is what this side tells.
    ///
    /// The carrier calls [`Path::attach`] with what frames can be posted to, before a frame can come in,
    /// then [`Path::established`]; or [`Path::lost`] if nothing comes of it. So it does for a request that is
    /// [accepted](Conn::accept).
    ///
    /// May sleep.
    fn dial(path: &Arc<Path<Self>>, conn: ConnId, hello: &PrivateData) -> Result<Self::Conn>;
}

/// A request of a peer for a connection.
pub(crate) trait Request<C: Carrier> {
    /// Refuses it. May sleep.
    fn refuse(self, datum: RejectDatum);

    /// Keeps it to be accepted, or refused, later. May sleep.
    fn hold(self, path: Arc<Path<C>>, conn: ConnId) -> Result<C::Conn>;
}

impl<C: Dial> Work for Path<C> {
    fn run(this: &Arc<Self>) -> Option<Delta> {
        let lanes = this.look_after_lanes();
        this.let_go();
        let closing = this.carry_out();
        this.pump();
        let is_relieved = this.state.lock().room.take_relief();
        if is_relieved {
            this.space.relieve();
        }
        this.retire();

        let mut state = this.state.lock();
        if state.starved {
            return Some(RETRY);
        }
        let due = state.engine.next_timeout();
        state.timed = due.is_some();
        let due = due.map(|due| until(due, clock::now()));
        [due, lanes, closing].into_iter().flatten().min()
    }
}

impl<C: Dial> Path<C> {
    /// Does what the engine wants done about connections. Returns after what time to go on with the one that is being
    /// closed.
    ///
    /// By the job only, or after it has ended. May sleep, but does not wait for the peer.
    fn carry_out(self: &Arc<Self>) -> Option<Delta> {
        self.confirm();
        let mut closing = self.go_on_closing();

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
                Action::Close { conn, reason } => {
                    self.begin_closing(conn, reason);
                    closing = self.go_on_closing();
                }
                Action::Release { conn } => {
                    let connection = self.connections.lock().take(conn);
                    if let Some(connection) = connection {
                        connection.hang_up();
                        connection.close();
                    }
                }
            }
        }
        closing
    }

    fn dial(self: &Arc<Self>, conn: ConnId, hello: &PrivateData) -> Result {
        self.connections.lock().reserve(1)?;
        let connection = C::dial(self, conn, hello)?;

        self.keep(conn, connection);
        Ok(())
    }

    fn accept(&self, conn: ConnId, hello: &PrivateData) -> Result {
        let connection = self.connections.lock().take(conn).ok_or(ENOENT)?;
        let accepted = connection.accept(hello);

        self.keep(conn, connection);
        accepted
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

impl<C: Carrier> Path<C> {
    /// Confirms a connection that a frame has come in on, if it is not established yet.
    fn confirm(&self) {
        let heard = self.state.lock().heard.take();
        let connections = self.connections.lock();

        if let Some(connection) = heard.and_then(|conn| connections.get(conn)) {
            connection.confirm();
        }
    }

    fn next_action(&self) -> Option<Action> {
        let congested = !self.peer.is_clear();
        let mut guard = self.state.lock();
        let state = &mut *guard;

        if self.is_extra() {
            // It may have changed since the job began.
            state.engine.set_shut(!self.may_connect());
        }
        state.timed = false;
        state.engine.poll(&state.settings, clock::now(), congested)
    }

    /// Keeps a connection until it is closed.
    fn keep(&self, conn: ConnId, connection: C::Conn) {
        let refused = self.connections.lock().put(conn, connection);

        // There is room: it was made before.
        drop(refused);
    }

    /// Starts to use a connection: frames are posted to it from when it is established.
    ///
    /// May sleep. Errors: [`ECANCELED`] if it is being closed; [`EAGAIN`] if it is to wait, unread, until the first lane
    /// is up.
    pub(crate) fn attach(&self, link: Arc<C::Link>) -> Result {
        let mut guard = self.state.lock();
        let state = &mut *guard;

        if state.engine.current() != link.conn() || !state.is_connecting() {
            drop(guard);
            return Err(ECANCELED);
        }
        if !self.may_connect() {
            drop(guard);
            return Err(EAGAIN);
        }
        state.settings = link.settings(self.space.sysctls.settings());
        state.link = Some(link);
        Ok(())
    }

    /// Returns the current connection if it has this number and is [attached](Self::attach).
    pub(crate) fn attached(&self, conn: ConnId) -> Option<Arc<C::Link>> {
        let link = self.state.lock().link.clone();

        link.filter(|link| link.conn() == conn)
    }

    /// Begins to take a connection down.
    fn begin_closing(&self, conn: ConnId, reason: DropReason) {
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
        if let Some(link) = &link {
            link.settle();
        }
        if let Some(connection) = &connection {
            connection.hang_up();
        }
        let closing = Closing {
            conn,
            reason,
            was_up,
            connection,
            link,
        };
        // The engine has one closed at a time.
        let _none = self.connections.lock().closing.replace(closing);
    }

    /// Closes the connection that is hung up, if there is one, and whatever the carrier has of it, as soon as what the
    /// peer has sent is taken in. Returns after what time to look again if it is not.
    fn go_on_closing(&self) -> Option<Delta> {
        let closing = self.connections.lock().closing.take()?;
        let lingers = closing.connection.as_ref().and_then(Conn::lingers);

        if lingers.is_some() {
            self.connections.lock().closing = Some(closing);
            return lingers;
        }
        let Closing {
            conn,
            reason,
            was_up,
            connection,
            link,
        } = closing;
        if let Some(link) = link {
            link.drain();
        }
        // Waits for callbacks, which may tell that it is up.
        if let Some(connection) = connection {
            connection.close();
        }
        if was_up && !self.is_extra() {
            self.space.tell_peer(&self.key, false);
        }
        if was_up {
            self.note_end(reason);
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
        None
    }

    /// Takes a request of the peer, whose `hello` was checked.
    ///
    /// May sleep.
    pub(crate) fn take_request(self: &Arc<Self>, request: impl Request<C>, hello: &PrivateData) {
        let mut connections = self.connections.lock();
        // One more: the job may have taken out one that it puts back.
        let verdict = match connections.reserve(2) {
            Ok(()) => {
                let mut guard = self.state.lock();
                let state = &mut *guard;

                state
                    .engine
                    .on_request(&state.settings, clock::now(), hello)
            }
            Err(_) => Verdict::Reject(RejectDatum::RETRY),
        };

        match verdict {
            Verdict::Reject(datum) => {
                drop(connections);
                trace::refused(self.key.local, self.key.peer, self.key.tos, Why::Race);
                request.refuse(datum);
            }
            Verdict::Hold { conn } => match request.hold(self.clone(), conn) {
                Ok(connection) => {
                    let refused = connections.put(conn, connection);
                    drop(connections);
                    drop(refused);
                }
                Err(_) => {
                    drop(connections);
                    self.lost(conn, DropReason::NoMemory);
                }
            },
        }
        self.waker.wake();
    }

    /// Notes that a connection is established; `reply` is what the peer has told, if we have dialed. Returns
    /// whether it can be used.
    pub(crate) fn established(&self, conn: ConnId, reply: Option<&PrivateData>) -> bool {
        let up = self.state.lock().engine.on_established(conn, reply);

        if up {
            self.log_connected();
            if !self.is_extra() {
                self.space.tell_peer(&self.key, true);
            }
            self.pump();
        }
        self.waker.wake();
        up
    }
}

impl<C: Carrier> State<C> {
    fn is_connecting(&self) -> bool {
        matches!(
            self.engine.state(),
            ConnState::Accepting | ConnState::Dialing
        )
    }
}
