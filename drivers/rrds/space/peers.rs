// SPDX-License-Identifier: GPL-2.0

//! Peers, as paths have them: each is known as long as there is a path to it.

use super::Space;
use crate::{
    congestion::Peer,
    key, //
};
use core::ops::Deref;
use kernel::{
    prelude::*,
    sync::Arc, //
};
use rds_proto::wire::Addr;

/// A peer, for a path.
pub(crate) struct PeerOfPath {
    peer: Arc<Peer>,
    /// Its address, and the interface of a link-local one.
    key: (Addr, u32),
    space: Arc<Space>,
}

impl PeerOfPath {
    /// Finds a peer, or makes it, see [`Space::peer`]. May sleep.
    pub(crate) fn new(space: &Arc<Space>, addr: Addr, scope: u32, is_local: bool) -> Result<Self> {
        let key = (addr, key::scope_of(addr, scope));

        loop {
            let peer = space.peer(addr, scope, is_local)?;
            let peers = space.peers.lock();
            // It may have been taken out in between.
            if let Some(peer) = peers.get(&key).filter(|known| Arc::ptr_eq(known, &peer)) {
                peer.add_path();
                let peer = peer.clone();
                drop(peers);
                return Ok(Self {
                    peer,
                    key,
                    space: space.clone(),
                });
            }
        }
    }
}

impl Deref for PeerOfPath {
    type Target = Arc<Peer>;

    #[inline]
    fn deref(&self) -> &Arc<Peer> {
        &self.peer
    }
}

impl Drop for PeerOfPath {
    fn drop(&mut self) {
        let mut peers = self.space.peers.lock();
        let node = if self.peer.remove_path() {
            peers.remove_node(&self.key)
        } else {
            None
        };
        drop(peers);
        drop(node);
    }
}
