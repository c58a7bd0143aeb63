// SPDX-License-Identifier: GPL-2.0

//! Handlers: what modules do with what comes.

use super::{
    check,
    shown,
    Core,
    Data,
    Message, //
};
use crate::{
    message::Endpoint,
    socket::{
        self,
        tap,
        Caller, //
    },
};
use core::net::{
    IpAddr,
    SocketAddr, //
};
use kernel::{
    prelude::*,
    sync::Arc,
    time::Delta, //
};
use krdma::work::Work;

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
                .then(|| tap::next_received(&this.sock))
                .flatten();
            if ended.is_none() && message.is_none() {
                return None;
            }

            if let Some((token, outcome)) = ended {
                handler.sent(&turn, token, outcome.into());
            }
            if let Some(message) = message {
                tap::took(&this.sock, &message);
                handler.received(&turn, Message::new(message));
            }
        }
        Some(Delta::ZERO)
    }
}
