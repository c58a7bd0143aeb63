// SPDX-License-Identifier: GPL-2.0

//! The seam between sockets and what carries their messages.
//!
//! Downwards, sockets use the traits of this file. Upwards, who carries messages calls:
//!
//! | When | What |
//! |---|---|
//! | a message was acknowledged, cancelled or dropped | [`Outgoing::end`] |
//! | a message came in | [`Space::deliver`] |
//! | a piece of a peer's congestion map came in | [`Peer::apply`] |
//! | a local map is to be sent | `copy` of [`Used`](crate::congestion::Used) |
//!
//! # Locks
//!
//! Sockets call the traits with none of their spinlocks held. The locks that the upward calls take
//! nest inside those of a path, so all of them may be called with a path's lock held, in any context.

pub(crate) use crate::{
    key::RouteKey,
    space::Delivered, //
};

use crate::{
    backlog::Backlog,
    congestion::Peer,
    message::{
        Message,
        Outgoing, //
    },
    region::Region,
    space::Space, //
};
use core::ops::Deref;
use kernel::{
    prelude::*,
    sync::Arc, //
};
use krdma::{
    net::{
        pernet::NewNamespace,
        Namespace, //
    },
    page::PinnedPages,
};
use rds_proto::{
    account::Overhead,
    stats::Counters,
    uapi::info::{
        Connection,
        Detail,
        Listed, //
    },
    wire::Addr, //
};

/// A transport in a namespace: what finds ways to peers.
pub(crate) trait Transport: Send + Sync {
    /// The number that SO_RDS_TRANSPORT knows it by: 0 for RDMA, 2 for TCP, 3 for loopback.
    fn number(&self) -> i32;

    /// Returns what receivers count as the memory that a message takes.
    fn overhead(&self) -> Overhead {
        Overhead::Wire
    }

    /// Returns the type of service that messages have of which the socket's is `tos`: ways to a peer differ by
    /// it. None if there are no types of service.
    fn service(&self, tos: u8) -> Option<u8> {
        let _ = tos;
        None
    }

    /// A namespace has come, or was there when the module was loaded. May sleep.
    ///
    /// Errors keep the namespace from being made.
    fn attach(&self, ns: NewNamespace<'_>, space: &Arc<Space>) -> Result {
        let _ = (ns, space);
        Ok(())
    }

    /// The namespace goes: nothing may refer to `space` any more when this returns, nor come from
    /// there. May sleep.
    fn detach(&self, space: &Arc<Space>) {
        let _ = space;
    }

    /// A socket of the namespace is about to be bound to the transport, see [`Held`]. May sleep.
    ///
    /// Errors: [`ENOMEM`], and others that keep the transport from working in this namespace.
    fn hold(&self, ns: &Namespace, space: &Arc<Space>) -> Result {
        let _ = (ns, space);
        Ok(())
    }

    /// Ends what [`hold`](Self::hold) began. With the last socket what the transport has in the
    /// namespace goes. May sleep.
    fn release(&self) {}

    /// Returns whether sockets can be bound to an address: whether it is one of this host that the
    /// transport can send from. May sleep.
    ///
    /// The only error is [`ENOMEM`].
    fn owns(&self, ns: &Namespace, space: &Space, addr: Addr, scope: u32) -> Result<bool>;

    /// Returns how many pieces of memory a work request of an RDMA operation has at most; 0 if there are no such operations.
    fn operation_pieces(&self) -> u32 {
        0
    }

    /// Returns whether there are atomic operations, or masked ones. May sleep.
    fn has_atomics(&self, masked: bool) -> bool {
        let _ = masked;
        false
    }

    /// Registers memory for all peers of a local address. May sleep.
    ///
    /// Errors: [`EOPNOTSUPP`] if there is no RDMA; [`ENODEV`] if the address is on no device, [`EMSGSIZE`] if that is too
    /// much memory, [`EIO`] if the device refuses it, [`ENOMEM`].
    fn register(
        &self,
        ns: &Namespace,
        local: Addr,
        scope: u32,
        pages: PinnedPages,
    ) -> Result<Arc<dyn Region>> {
        let _ = (ns, local, scope, pages);
        Err(EOPNOTSUPP)
    }

    /// Finds the way to a peer, or makes one. Nothing is sent yet. May sleep.
    ///
    /// Sockets keep the result and use it for the messages with this key that follow each other, as long as it is
    /// [current](Route::is_current).
    ///
    /// It is made for `user`, who may have so many, see [`rds_proto::shares`]. `chosen` is that of [`Chosen`].
    ///
    /// Errors: [`ENOMEM`], also if the user has too many, [`ENETDOWN`], [`EOPNOTSUPP`] (spec-sendmsg
    /// row 12), [`EINVAL`] if the address is one that only its own host can reach.
    fn route(
        &self,
        space: &Arc<Space>,
        key: RouteKey,
        user: u32,
        chosen: bool,
    ) -> Result<Arc<dyn Route>>;

    /// Finds the way to a peer if there is one. Any context.
    fn find(&self, space: &Arc<Space>, key: RouteKey, chosen: bool) -> Option<Arc<dyn Route>>;

    /// Finds the way within this host to one of its addresses, for who can't wait for another one. Any context.
    fn find_here(&self, space: &Arc<Space>, key: RouteKey) -> Option<Arc<dyn Route>> {
        let _ = (space, key);
        None
    }

    /// The congestion map of a local address has changed: it is to be sent to all peers of that
    /// address. May be called in any context, but without the lock of a path.
    fn map_changed(&self, local: Addr) {
        let _ = local;
    }

    /// Tells each connection, for listings.
    ///
    /// This and the two methods that follow may tell with spinlocks held. What is told twice in two
    /// calls may differ.
    fn for_each_connection(&self, space: &Space, tell: &mut dyn FnMut(&Connection<'_>)) {
        let _ = (space, tell);
    }

    /// Tells what is special about each connection, if anything is.
    fn for_each_detail(&self, space: &Space, tell: &mut dyn FnMut(&Detail)) {
        let _ = (space, tell);
    }

    /// Adds what the transport has counted in the namespace and sockets have not.
    fn count(&self, to: &mut Counters) {
        let _ = to;
    }

    /// Tells each message that was not sent yet or, if `sent`, was sent and not acknowledged.
    fn for_each_message(&self, space: &Space, sent: bool, tell: &mut dyn FnMut(&Listed)) {
        let _ = (space, sent, tell);
    }
}

/// What makes the transports of a namespace.
pub(crate) trait Transports: Send + Sync {
    /// Makes them, in the order in which they are asked whose an address is.
    fn make(&self) -> Result<KVec<Arc<dyn Transport>>>;

    /// Returns the account of what peers make all namespaces store but the initial one.
    fn backlog_elsewhere(&self) -> &Arc<Backlog>;
}

/// The transport of a socket.
#[derive(Clone)]
pub(crate) struct Chosen {
    transport: Arc<dyn Transport>,
    /// The program chose it by its number. It also carries what another one would carry better.
    by_number: bool,
}

impl Chosen {
    /// Returns a transport, which the program has chosen if it has its number.
    pub(crate) fn new(transport: Arc<dyn Transport>, number: Option<i32>) -> Self {
        let by_number = number == Some(transport.number());

        Self {
            transport,
            by_number,
        }
    }

    /// Has the transport also carry what another one would carry better, as if the program had chosen it by its number.
    /// Returns whether that is new.
    pub(crate) fn insist(&mut self) -> bool {
        !core::mem::replace(&mut self.by_number, true)
    }

    /// As [`Transport::route`].
    pub(crate) fn route(
        &self,
        space: &Arc<Space>,
        key: RouteKey,
        user: u32,
    ) -> Result<Arc<dyn Route>> {
        self.transport.route(space, key, user, self.by_number)
    }

    /// As [`Transport::find`].
    pub(crate) fn find(&self, space: &Arc<Space>, key: RouteKey) -> Option<Arc<dyn Route>> {
        self.transport.find(space, key, self.by_number)
    }
}

impl Deref for Chosen {
    type Target = Arc<dyn Transport>;

    fn deref(&self) -> &Self::Target {
        &self.transport
    }
}

/// A transport that a socket is bound to, or about to be, until this is dropped. May sleep then.
pub(crate) struct Held(Arc<dyn Transport>);

impl Held {
    /// Holds a transport. May sleep. Errors: As [`Transport::hold`].
    pub(crate) fn new(
        transport: &Arc<dyn Transport>,
        ns: &Namespace,
        space: &Arc<Space>,
    ) -> Result<Self> {
        transport.hold(ns, space)?;
        Ok(Self(transport.clone()))
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.0.release();
    }
}

/// The way of a socket's last message.
#[derive(Default)]
pub(crate) struct Last {
    route: Option<Arc<dyn Route>>,
    /// It is looked up again for the next message: messages are under way that it would overtake, or the peer's address
    /// was one of this host before and may be again.
    doubtful: bool,
}

impl Last {
    /// Whether a message was sent.
    pub(crate) fn is_some(&self) -> bool {
        self.route.is_some()
    }

    /// Returns it, if it is for messages with this key and nothing is to be looked up. Any context.
    pub(crate) fn get(&self, key: &RouteKey, ns: &Namespace) -> Option<Arc<dyn Route>> {
        let route = self.route.as_ref().filter(|_| !self.doubtful)?;

        (route.key() == *key && route.is_current(ns)).then(|| route.clone())
    }

    /// Takes the way that was found. Returns it, or the `other` one on which messages are under way that it would overtake.
    /// The last way comes with it, to be dropped without locks.
    pub(crate) fn put(
        &mut self,
        found: Arc<dyn Route>,
        other: Option<Arc<dyn Route>>,
    ) -> (Arc<dyn Route>, Option<Arc<dyn Route>>) {
        let last = self.route.replace(found.clone());
        let same = last.as_ref().filter(|last| last.key() == found.key());
        let was_here = same.is_some_and(|last| self.doubtful || last.overtakes());
        self.doubtful = other.is_some() || (was_here && !found.overtakes());

        (other.unwrap_or(found), last)
    }
}

/// Why a message was not sent, and the message, unless it was dropped.
pub(crate) type Refused = (Error, Option<Outgoing>);

/// A way to a peer.
pub(crate) trait Route: Send + Sync {
    /// Returns what tells this way from others.
    fn key(&self) -> RouteKey;

    /// Returns whether it still leads to the peer: an address of this host may have moved to another one. Any context.
    fn is_current(&self, ns: &Namespace) -> bool {
        let _ = ns;
        true
    }

    /// Returns whether messages arrive at once, and so before what is on another way to the same peer.
    fn overtakes(&self) -> bool {
        false
    }

    /// Returns the congestion map of the peer, see [`Space::peer`].
    fn peer(&self) -> &Arc<Peer>;

    /// Takes over a message, gives it its number and sends it as soon as it can be sent.
    ///
    /// Messages of one key leave in the order of these calls. `ack_required` is that of
    /// [`Admitted`](rds_proto::account::Admitted). Memory is allocated with `flags`. If `may_sleep`
    /// it may also be sent in the time of who calls this, with some others, and who does so is waited for: not longer than
    /// for a lock, also if the caller is not to wait for room. With `GFP_ATOMIC`, and without that, this is for any context.
    ///
    /// Errors: [`ENOMEM`] if the message can't be queued; it is dropped then. [`EAGAIN`] if the sender's
    /// user has so many messages on this way that the others would be short of room: it comes back.
    #[allow(clippy::result_large_err)] // To box it there may be no memory.
    fn send(
        &self,
        message: Outgoing,
        ack_required: bool,
        flags: kernel::alloc::Flags,
        may_sleep: bool,
    ) -> Result<(), Refused>;

    /// Whether data may be in pages, also of memory that programs [lend](crate::message::Loan). That of long messages had better
    /// be.
    fn takes_pages(&self) -> bool {
        false
    }

    /// Whether there is room for a message of a user from a port, none for who is not limited. If not, the
    /// [crowd](Space::relieve) is told when there may be. Any context.
    fn has_room(&self, user: Option<u32>, port: u16) -> bool {
        let _ = (user, port);
        true
    }

    /// Asks for a connection, because somebody waits for a port of the peer to get free.
    fn connect(&self);

    /// Cancels the message with a [number](Message::seq), see
    /// [`Path::cancel`](rds_proto::path::Path::cancel). Its [`Outgoing`] ends sooner or later, with
    /// whichever outcome.
    ///
    /// Returns `false` if no message that `is_meant` has the number: it has ended, or has another one by
    /// now. `is_meant` is called with the lock of the path.
    fn cancel(&self, seq: u64, is_meant: &dyn Fn(&Message) -> bool) -> bool;
}
