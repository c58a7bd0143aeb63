// SPDX-License-Identifier: GPL-2.0

//! Handing a message to its way, and what that waits for: that the peer's port is free, room in the
//! socket's buffer, and the user's share of the way.

use super::{
    notify,
    seam::Route,
    sent::{
        Admission,
        Sends, //
    },
    sndbuf,
    Socket, //
};
use crate::{
    message::{
        Draft,
        Endpoint,
        Extra,
        Outgoing,
        Pooled, //
    },
    trace::{
        self,
        Port, //
    },
};
use kernel::{
    prelude::*,
    sync::Arc, //
};
use krdma::net::{
    Open,
    Sock,
    Timeout,
    Wait, //
};
use rds_proto::account::Admitted;

/// Why a message was not sent.
enum Refusal {
    /// Its user has taken up what the others have left of the path's queue.
    Share(Outgoing),
    /// An error to return, and the message if it was not taken.
    Final(Error, Option<Draft>),
}

/// Who sends a message, and how far it may wait.
pub(crate) struct Caller<'a> {
    sock: &'a Sock<Socket>,
    /// None if it may not sleep.
    open: Option<&'a Open<'a, Socket>>,
    nonblocking: bool,
    /// What is left of the time that it waits.
    timeout: Timeout,
    flags: kernel::alloc::Flags,
    /// The peer is to acknowledge what is sent without delay.
    demands: bool,
}

impl<'a> Caller<'a> {
    /// One that waits so long, if at all.
    pub(crate) fn in_process(sock: &'a Open<'a, Socket>, timeout: Timeout) -> Self {
        Self {
            sock,
            open: Some(sock),
            nonblocking: timeout.is_over(),
            timeout,
            flags: GFP_KERNEL,
            demands: false,
        }
    }

    /// The caller of sendmsg, who pays for all that the message takes.
    pub(super) fn of_sendmsg(sock: &'a Open<'a, Socket>, nonblocking: bool) -> Self {
        Self {
            nonblocking,
            flags: GFP_KERNEL_ACCOUNT,
            ..Self::in_process(sock, sock.send_timeout(nonblocking))
        }
    }

    /// One that asks for an acknowledgement without delay.
    pub(super) fn demanding(sock: &'a Open<'a, Socket>, timeout: Timeout) -> Self {
        Self {
            demands: true,
            ..Self::in_process(sock, timeout)
        }
    }

    /// One that may not sleep. The socket must be [watched](super::watch).
    pub(crate) fn atomic(sock: &'a Sock<Socket>) -> Self {
        Self {
            sock,
            open: None,
            nonblocking: true,
            timeout: Timeout::NONE,
            flags: GFP_ATOMIC,
            demands: false,
        }
    }

    pub(crate) fn may_sleep(&self) -> bool {
        self.open.is_some()
    }

    /// Returns what is left of the time that it waits.
    pub(super) fn timeout(&self) -> Timeout {
        self.timeout
    }

    /// Returns what memory is allocated with.
    pub(super) fn flags(&self) -> kernel::alloc::Flags {
        self.flags
    }

    /// Begins a message, with the data that is there already; it comes back if there is no memory.
    #[inline(always)] // As what it calls.
    pub(crate) fn draft(
        &self,
        payload: Pooled,
        source: Endpoint,
        dest: Endpoint,
    ) -> Result<Draft, Pooled> {
        Draft::new(
            self.sock,
            self.sock.data().user(),
            payload,
            source,
            dest,
            self.flags,
        )
    }

    /// Sends a message. Who sends is told how it ended if there is a `token`.
    ///
    /// Errors: spec-sendmsg rows 15 to 17. The message comes back if it was not taken.
    #[inline(always)] // What programs send goes through here.
    pub(crate) fn submit(
        &mut self,
        route: &Arc<dyn Route>,
        draft: Draft,
        token: Option<u64>,
    ) -> Result<(), (Error, Option<Draft>)> {
        match self.try_submit(route, draft, token) {
            Ok(()) => Ok(()),
            Err(Refusal::Share(message)) => self.submit_in_turn(route, message, token),
            Err(Refusal::Final(err, draft)) => Err((err, draft)),
        }
    }

    /// Sends a message again, each time that its user may have one more on this way.
    #[cold]
    fn submit_in_turn(
        &mut self,
        route: &Arc<dyn Route>,
        mut message: Outgoing,
        token: Option<u64>,
    ) -> Result<(), (Error, Option<Draft>)> {
        loop {
            let port = message.source().port;
            // Nobody else has it: it was not queued.
            let draft = message.take_back().ok_or((EAGAIN, None))?;
            if let Err(err) = self.wait_for_share(route, port) {
                return Err((err, Some(draft)));
            }
            match self.try_submit(route, draft, token) {
                Ok(()) => return Ok(()),
                Err(Refusal::Share(again)) => message = again,
                Err(Refusal::Final(err, draft)) => return Err((err, draft)),
            }
        }
    }

    #[inline(always)] // As above.
    fn try_submit(
        &mut self,
        route: &Arc<dyn Route>,
        draft: Draft,
        token: Option<u64>,
    ) -> Result<(), Refusal> {
        if let Err(err) = self.wait_for_port(route, draft.dest().port) {
            return Err(Refusal::Final(err, Some(draft)));
        }
        let outgoing = Outgoing::new(draft);

        let admitted = match self.wait_for_room(&outgoing, route, token) {
            Ok(admitted) => admitted,
            Err(err) => return Err(Refusal::Final(err, outgoing.take_back())),
        };
        // Who waits for the end is told without delay.
        let is_awaited = outgoing.extra().is_some_and(Extra::is_awaited);
        let ack_required = admitted.ack_required || token.is_some() || self.demands || is_awaited;
        match route.send(outgoing, ack_required, self.flags, self.may_sleep()) {
            Ok(()) => {
                self.sock.data().space.stats.send_queued.add(1);
                Ok(())
            }
            Err((_, Some(refused))) => Err(Refusal::Share(refused)),
            // It was told how the message ended.
            Err(_) if token.is_some() => Ok(()),
            Err((err, None)) => Err(Refusal::Final(err, None)),
        }
    }

    /// Waits until the user may have one more message on this way: it has so many that the others would
    /// be short of room.
    #[cold]
    fn wait_for_share(&mut self, route: &Arc<dyn Route>, port: u16) -> Result {
        let this = self.sock.data();

        this.space.stats.send_queue_full.add(1);
        let sock = self.open.ok_or(EAGAIN)?;
        // Told of room from here on.
        notify::join_crowd(sock)?;
        let has_room = || route.has_room(this.user(), port);
        if self.nonblocking && !has_room() {
            return Err(EAGAIN);
        }
        let end = sock.wait(&mut self.timeout, || {
            (!this.is_in_crowd() || has_room()).then_some(())
        });
        // All of the socket's tasks share its seat: the others look for themselves, and take it again.
        notify::on_relief(sock);
        match end {
            Wait::Ready(()) => Ok(()),
            _ if self.nonblocking => Err(EAGAIN),
            Wait::TimedOut => Err(ETIMEDOUT),
            Wait::Signal => Err(ERESTARTSYS),
        }
    }

    /// Waits until a port of the peer is free (spec-sendmsg row 15).
    #[inline(always)]
    fn wait_for_port(&mut self, route: &Arc<dyn Route>, port: u16) -> Result {
        if !route.peer().is_congested(port) {
            return Ok(());
        }
        self.wait_for_congested(route, port)
    }

    #[cold]
    fn wait_for_congested(&mut self, route: &Arc<dyn Route>, port: u16) -> Result {
        let peer = route.peer();

        // The map may be out of date if there is no connection that would bring a new one.
        route.connect();
        let this = self.sock.data();
        let stats = &this.space.stats;
        notify::on_refused(self.sock, port)?;
        let sock = match self.open {
            Some(sock) if !self.nonblocking => sock,
            _ => {
                if peer.is_congested(port) {
                    trace::congestion(route.key().peer, port, Port::Refused);
                    stats.cong_send_error.add(1);
                    return Err(ENOBUFS);
                }
                return Ok(());
            }
        };

        trace::congestion(route.key().peer, port, Port::Blocked);
        stats.cong_send_blocked.add(1);
        loop {
            let end = sock.wait(&mut self.timeout, || {
                let marked = this.receives.lock().refused;
                // A change of the map took the mark away: look, and if need be make it anew. The port
                // may have got free before there was a mark.
                (!marked || !peer.is_congested(port)).then_some(())
            });
            if !peer.is_congested(port) {
                return Ok(());
            }
            match end {
                Wait::Ready(()) => notify::on_refused(sock, port)?,
                Wait::TimedOut => return Err(ETIMEDOUT),
                Wait::Signal => return Err(ERESTARTSYS),
            }
            if !peer.is_congested(port) {
                return Ok(());
            }
        }
    }

    /// Waits until there is room for a message (spec-sendmsg row 16).
    #[inline(always)]
    fn wait_for_room(
        &mut self,
        outgoing: &Outgoing,
        route: &Arc<dyn Route>,
        token: Option<u64>,
    ) -> Result<Admitted> {
        let limit = sndbuf(self.sock);
        let sends = &self.sock.data().sends;

        let admission = sends.lock().admit(outgoing, route, token, limit);
        if let Admission::Admitted(admitted) = admission {
            return Ok(admitted);
        }
        self.wait_for_admission(outgoing, route, token)
    }

    #[cold]
    fn wait_for_admission(
        &mut self,
        outgoing: &Outgoing,
        route: &Arc<dyn Route>,
        token: Option<u64>,
    ) -> Result<Admitted> {
        let this = self.sock.data();
        let try_once = || {
            let limit = sndbuf(self.sock);
            this.sends.lock().admit(outgoing, route, token, limit)
        };
        let mut admission = try_once();

        loop {
            match admission {
                Admission::Admitted(admitted) => return Ok(admitted),
                Admission::NoMemory(wanted) => {
                    let storage = Sends::storage(wanted, self.flags)?;
                    let old = this.sends.lock().grow(storage);
                    drop(old);
                    admission = try_once();
                    continue;
                }
                Admission::Full => {}
            }

            this.space.stats.send_queue_full.add(1);
            let sock = match self.open {
                Some(sock) if !self.nonblocking => sock,
                _ => return Err(EAGAIN),
            };
            let end = sock.wait(&mut self.timeout, || match try_once() {
                Admission::Full => None,
                other => Some(other),
            });
            admission = match end {
                Wait::Ready(admission) => admission,
                Wait::TimedOut => return Err(ETIMEDOUT),
                Wait::Signal => return Err(ERESTARTSYS),
            };
        }
    }
}
