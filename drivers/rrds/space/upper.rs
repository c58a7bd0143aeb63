// SPDX-License-Identifier: GPL-2.0

//! What who carries messages tells upwards.

use crate::{
    key::RouteKey,
    message::Incoming, //
};
use kernel::list::ListArc;
use rds_proto::wire::Addr;

/// The sockets of a namespace, as paths know them.
pub(crate) trait Upper: Send + Sync {
    /// Delivers a message to the socket that is bound to its destination. Returns what became of it, or
    /// nothing if there is no such socket.
    ///
    /// Any context; may be called with the lock of a path held.
    fn deliver(&self, message: ListArc<Incoming>) -> Option<Delivered>;

    /// Tells transports that the map of a local address has changed: they send it.
    ///
    /// Any context, but without a lock of a path or a socket.
    fn map_changed(&self, local: Addr);

    /// Tells the sockets that watch that the ports of `mask` got free somewhere, and that a map has
    /// changed. Any context, but without a lock: there may be many, and interrupts are on in between.
    fn ports_freed(&self, mask: u64);

    /// Tells the sockets that wait for room on a way that is crowded that there may be some, those of
    /// modules as well. May sleep.
    fn relieve(&self);

    /// Tells the sockets of modules that the connection to a peer is up, or that it is not any more. May
    /// sleep.
    fn tell_peer(&self, key: &RouteKey, is_up: bool);
}

/// What became of a message that was delivered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Delivered {
    /// The congestion map of the message's destination has changed: the caller is to call
    /// [`Space::map_changed`](super::Space::map_changed), with nothing freed, once it has given up the lock of the path.
    pub(crate) map_changed: bool,
}
