// SPDX-License-Identifier: GPL-2.0

//! The connections of a path, by number.

use super::carrier::Carrier;
use kernel::{
    prelude::*,
    sync::Arc, //
};
use rds_proto::{
    conn::ConnId,
    error::DropReason, //
};

/// The connections that the engine knows of, by its numbers: each stays until
/// [`Action::Close`](rds_proto::conn::Action::Close) or [`Action::Release`](rds_proto::conn::Action::Release).
pub(super) struct Connections<C: Carrier> {
    list: KVec<(ConnId, C::Conn)>,
    /// The one that is hung up.
    pub(super) closing: Option<Closing<C>>,
}

/// A connection that is hung up, and closed when what the peer has sent is taken in.
pub(super) struct Closing<C: Carrier> {
    pub(super) conn: ConnId,
    pub(super) reason: DropReason,
    pub(super) was_up: bool,
    /// None if it was not kept for lack of memory.
    pub(super) connection: Option<C::Conn>,
    pub(super) link: Option<Arc<C::Link>>,
}

impl<C: Carrier> Default for Connections<C> {
    fn default() -> Self {
        Self {
            list: KVec::new(),
            closing: None,
        }
    }
}

impl<C: Carrier> Connections<C> {
    /// Makes room for so many more. Errors: [`ENOMEM`].
    pub(super) fn reserve(&mut self, count: usize) -> Result {
        Ok(self.list.reserve(count, GFP_KERNEL)?)
    }

    pub(super) fn get(&self, conn: ConnId) -> Option<&C::Conn> {
        self.list
            .iter()
            .find(|(number, _)| *number == conn)
            .map(|(_, connection)| connection)
    }

    pub(super) fn take(&mut self, conn: ConnId) -> Option<C::Conn> {
        let at = self.list.iter().position(|(number, _)| *number == conn)?;

        self.list.remove(at).ok().map(|(_, connection)| connection)
    }

    /// Puts a connection into room that was [made](Self::reserve) before. It comes back if there is none.
    pub(super) fn put(&mut self, conn: ConnId, connection: C::Conn) -> Result<(), C::Conn> {
        self.list
            .push_within_capacity((conn, connection))
            .map_err(|err| err.0 .1)
    }
}
