// SPDX-License-Identifier: GPL-2.0

//! Handlers: what modules do with what comes; and what a handler shares with its socket.

use super::{
    data::{
        Data,
        Message,
        Parts, //
    },
    names::{
        check,
        shown, //
    },
};
use crate::{
    key::{
        Endpoint,
        RouteKey, //
    },
    message::{
        self,
        Payload,
        Pooled, //
    },
    socket::{
        self,
        names::Checked,
        seam::{
            Chosen,
            Last,
            Route, //
        },
        tap::Tap,
        Caller, //
    },
};
use core::net::{
    IpAddr,
    SocketAddr, //
};
use kernel::{
    new_spinlock_irq,
    num::casts::u32_as_usize,
    prelude::*,
    sync::{
        aref::ARef,
        Arc,
        SpinLockIrq, //
    },
    time::Delta, //
};
use krdma::{
    net::{
        KernelSocket,
        Sock, //
    },
    work::Work, //
};
use rds_proto::consts::MAX_MESSAGE_LEN;

/// Things that are told before other work of the processor gets its turn.
const BUDGET: usize = 64;

/// What a module does with what comes to a socket.
///
/// # Context
///
/// Softirq context: nothing may sleep. No lock of rrds is held, and the calls for one socket never
/// overlap. They may drop the socket.
pub trait Handler: Send + Sync + 'static {
    /// A message has come.
    fn received(&self, turn: &Turn<'_>, message: Message);

    /// Whether it takes a message now. While it does not, messages wait in the socket's buffer, and when
    /// that is full, with those who send them. It is asked anew when anything has been told, and after
    /// [`Socket::resume`](super::Socket::resume).
    ///
    /// One that answers, and says no while answers wait for room, keeps no more of them than it likes. But
    /// all senders wait then; and who also asks has to take the answers, or two may wait for each other.
    fn is_ready(&self) -> bool {
        true
    }

    /// A message that was sent with a token has ended. Its memory is free, unless it is being sent still.
    fn sent(&self, turn: &Turn<'_>, token: u64, outcome: Outcome) {
        let _ = (turn, token, outcome);
    }

    /// Sending failed with [`EAGAIN`] or [`ENOBUFS`], and may work now. Where a task sends this may be told
    /// before the call that failed has returned.
    fn room(&self, turn: &Turn<'_>) {
        let _ = turn;
    }

    /// The connection to a peer has come up or is lost. Nothing that is under way is lost by that: it is
    /// sent again when the connection is up again. Of several changes only the last may be told.
    fn peer(&self, turn: &Turn<'_>, peer: Peer) {
        let _ = (turn, peer);
    }
}

/// How a message ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The peer's host has acknowledged it.
    Delivered,
    /// It was cancelled. It may have arrived.
    Cancelled,
    /// It was dropped: the way to the peer is gone for good. It may have arrived.
    Dropped,
}

impl From<rds_proto::send::Outcome> for Outcome {
    fn from(outcome: rds_proto::send::Outcome) -> Self {
        match outcome {
            rds_proto::send::Outcome::Done => Self::Delivered,
            rds_proto::send::Outcome::Cancelled => Self::Cancelled,
            rds_proto::send::Outcome::Dropped => Self::Dropped,
        }
    }
}

/// What has become of the connection to a peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peer {
    /// The address of the peer.
    pub addr: IpAddr,
    /// The type of service: each has connections of its own.
    pub tos: u8,
    /// Whether it is up.
    pub is_up: bool,
}

/// What a [`Handler`] can do with the socket that it is called for. Nothing here sleeps.
pub struct Turn<'a> {
    core: &'a Core,
}

impl<'a> Turn<'a> {
    pub(super) fn new(core: &'a Core) -> Self {
        Self { core }
    }

    /// Sends a copy of `bytes`, to an address or where the socket is connected to.
    ///
    /// Errors: As [`Socket::send`](super::Socket::send) without waiting, and [`EHOSTUNREACH`] if there is
    /// no path to the address yet; there is one to where a message has come from with the socket's type of
    /// service, and to where [`Socket::prepare`](super::Socket::prepare) was called for.
    pub fn send(&self, to: Option<SocketAddr>, bytes: &[u8]) -> Result {
        self.send_parts(to, &[bytes])
    }

    /// Sends a copy of several pieces of memory as one message; else as [`send`](Self::send).
    pub fn send_parts(&self, to: Option<SocketAddr>, parts: &[&[u8]]) -> Result {
        let data = self.copy(parts)?;

        self.send_data(to, data, None).map_err(|(err, _)| err)
    }

    /// Copies several pieces of memory, to be sent as one message by [`send_data`](Self::send_data).
    ///
    /// Errors: [`EMSGSIZE`] if they are more than a message may have, [`ENOMEM`].
    pub fn copy(&self, parts: &[&[u8]]) -> Result<Data> {
        self.core.copy(parts, GFP_ATOMIC)
    }

    /// Sends data without copying it; else as [`send`](Self::send).
    ///
    /// If there is a token, [`Handler::sent`] is called for it later, unless this fails. The data comes
    /// back with the error; if there is no token, not always with [`ENOMEM`].
    #[allow(clippy::result_large_err)] // To box it there may be no memory.
    pub fn send_data(
        &self,
        to: Option<SocketAddr>,
        data: Data,
        token: Option<u64>,
    ) -> Result<(), (Error, Option<Data>)> {
        let token = token.filter(|_| self.core.user.is_some());

        self.core
            .submit(|| Caller::atomic(&self.core.sock), to, data, token)
    }

    /// Cancels what was sent and is not acknowledged, all of it or what is for one address. It may have
    /// arrived.
    ///
    /// Errors: [`EINVAL`] if the address is none of one host.
    pub fn cancel(&self, to: Option<SocketAddr>) -> Result {
        let to = to.map(check).transpose()?;

        socket::cancel(&self.core.sock, to.map(|to| to.at));
        Ok(())
    }
}

/// What a socket and its handler share.
#[pin_data]
pub(super) struct Core {
    pub(super) sock: ARef<Sock<socket::Socket>>,
    #[pin]
    pub(super) way: SpinLockIrq<Way>,
    /// Who is told, if anybody is.
    pub(super) user: Option<(Arc<Tap>, Arc<dyn Handler>)>,
    /// Here, as the job keeps this until the handler has ended: only then the socket is closed, wherever it
    /// was dropped.
    pub(super) open: KernelSocket<socket::Socket>,
}

/// How messages leave. Unlike what the socket itself knows of this it can be looked at where one may not
/// sleep.
#[derive(Default)]
pub(super) struct Way {
    pub(super) source: Option<Endpoint>,
    pub(super) dest: Option<Checked>,
    /// The interface of the bound address if it is link-local, else 0.
    pub(super) scope: u32,
    pub(super) tos: u8,
    pub(super) transport: Option<Chosen>,
    pub(super) last: Last,
}

impl Core {
    pub(super) fn new(
        open: KernelSocket<socket::Socket>,
        user: Option<(Arc<Tap>, Arc<dyn Handler>)>,
    ) -> Result<Arc<Self>> {
        let sock = open.open().get();

        Arc::pin_init(
            pin_init!(Self {
                sock,
                way <- new_spinlock_irq!(Way::default(), "rrds::api::Core::way"),
                user,
                open,
            }),
            GFP_KERNEL,
        )
    }

    /// Finds out how a message is to leave. `may_sleep` tells whether a path can be made if there is none.
    pub(super) fn route(
        &self,
        to: Option<SocketAddr>,
        may_sleep: bool,
    ) -> Result<(Endpoint, Endpoint, Arc<dyn Route>)> {
        let to = to.map(check).transpose()?;
        let (source, dest, key, transport) = {
            let way = self.way.lock();
            let source = way.source.ok_or(ENOTCONN)?;
            let dest = to.or(way.dest).ok_or(ENOTCONN)?;

            let key = RouteKey {
                local: source.addr,
                peer: dest.at.addr,
                tos: way.tos,
                lane: 0,
                scope: dest.scope_from(source.addr, way.scope)?,
            };
            if let Some(route) = way.last.get(&key, self.sock.namespace()) {
                return Ok((source, dest.at, route));
            }
            (source, dest.at, key, way.transport.clone().ok_or(ENOTCONN)?)
        };

        let space = self.sock.data().space();
        let found = match transport.find(space, key) {
            Some(found) => found,
            None if may_sleep => transport.route(space, key, self.sock.data().maker())?,
            // What came from there within this host can be answered. It is not kept: there may be a path later.
            None => {
                let here = transport.find_here(space, key).ok_or(EHOSTUNREACH)?;
                return Ok((source, dest, here));
            }
        };
        let other = socket::in_order(&self.sock, &found);
        let (route, last) = self.way.lock().last.put(found, other);
        drop(last);
        Ok((source, dest, route))
    }

    /// Sends a message, of whoever `caller` says.
    #[allow(clippy::result_large_err)] // To box it there may be no memory.
    pub(super) fn submit<'a>(
        &self,
        caller: impl Fn() -> Caller<'a>,
        to: Option<SocketAddr>,
        data: Data,
        token: Option<u64>,
    ) -> Result<(), (Error, Option<Data>)> {
        match (self.submit_once(caller(), to, data, token), &self.user) {
            (Err((err, Some(data))), Some((tap, _))) if err == EAGAIN || err == ENOBUFS => {
                tap.on_refused();
                // There may have got room before that was noted.
                self.submit_once(caller(), to, data, token)
            }
            (other, _) => other,
        }
    }

    #[allow(clippy::result_large_err)] // As above.
    fn submit_once(
        &self,
        mut caller: Caller<'_>,
        to: Option<SocketAddr>,
        data: Data,
        token: Option<u64>,
    ) -> Result<(), (Error, Option<Data>)> {
        if data.len() > u32_as_usize(socket::sndbuf(&self.sock)) {
            return Err((EMSGSIZE, Some(data)));
        }
        let (source, dest, route) = match self.route(to, caller.may_sleep()) {
            Ok(found) => found,
            Err(err) => return Err((err, Some(data))),
        };
        let (payload, charge) = data.into_parts();
        let draft = match caller.draft(payload, source, dest) {
            Ok(draft) => draft,
            Err(payload) => return Err((ENOMEM, Some(Data::from_parts(payload, charge)))),
        };

        caller.submit(&route, draft, token).map_err(|(err, draft)| {
            let data = draft.map(|draft| Data::from_parts(draft.into_payload(), charge));
            (err, data)
        })
    }

    /// Copies what is to be sent.
    pub(super) fn copy(&self, parts: &[&[u8]], flags: kernel::alloc::Flags) -> Result<Data> {
        let space = self.sock.data().space();
        let len = parts
            .iter()
            .try_fold(0_usize, |sum, part| sum.checked_add(part.len()))
            .filter(|len| *len <= u32_as_usize(MAX_MESSAGE_LEN))
            .ok_or(EMSGSIZE)?;
        let mut payload = Payload::empty();
        message::copy(
            &mut payload,
            &mut Parts::new(parts),
            len,
            &space.spares,
            flags,
            false,
        )?;

        Ok(Data::from_pooled(Pooled::new(
            payload,
            socket::spares(space, len),
        )))
    }
}

impl Work for Core {
    fn run(this: &Arc<Self>) -> Option<Delta> {
        let Some((tap, handler)) = &this.user else {
            return None;
        };
        // Until the socket knows where it is bound nothing can be answered; then it runs again.
        this.way.lock().source?;
        let turn = Turn { core: this };

        while let Some(change) = tap.next_peer() {
            let at = Endpoint {
                addr: change.peer,
                port: 0,
            };
            handler.peer(
                &turn,
                Peer {
                    addr: shown(at, change.scope).ip(),
                    tos: change.tos,
                    is_up: change.is_up,
                },
            );
        }
        if tap.take_room() {
            handler.room(&turn);
        }
        for _ in 0..BUDGET {
            let ended = socket::next_ended(&this.sock);
            let message = handler
                .is_ready()
                .then(|| socket::next_received(&this.sock))
                .flatten();
            if ended.is_none() && message.is_none() {
                return None;
            }

            if let Some((token, outcome)) = ended {
                handler.sent(&turn, token, outcome.into());
            }
            if let Some(message) = message {
                socket::took(&this.sock, &message);
                handler.received(&turn, Message::new(message));
            }
        }
        Some(Delta::ZERO)
    }
}
