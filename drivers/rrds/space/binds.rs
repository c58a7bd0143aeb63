// SPDX-License-Identifier: GPL-2.0

//! Which socket is bound to which address.

use crate::socket::Socket;
use kernel::{
    new_spinlock_irq,
    num::casts::u16_as_usize,
    prelude::*,
    rbtree::{
        RBTree,
        RBTreeNodeReservation, //
    },
    sync::{
        aref::ARef,
        SpinLockIrq, //
    },
};
use krdma::net::Sock;
use rds_proto::wire::Addr;

/// What a socket is found by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct BindKey {
    pub(crate) port: u16,
    pub(crate) addr: Addr,
    /// The interface of a link-local address, else 0.
    pub(crate) scope: u32,
}

/// Number of trees. Ports are spread over them, so that one does not wait for another.
const SHARDS: usize = 64;

type Shard = RBTree<BindKey, ARef<Sock<Socket>>>;

/// The bound sockets of a namespace.
#[pin_data]
pub(crate) struct Binds {
    #[pin]
    shards: [SpinLockIrq<Shard>; SHARDS],
}

impl Binds {
    /// No sockets.
    pub(crate) fn new() -> impl PinInit<Self> {
        pin_init!(Self {
            shards <- pin_init::pin_init_array_from_fn(|_| {
                new_spinlock_irq!(RBTree::new(), "rrds::Binds")
            }),
        })
    }

    fn shard(&self, port: u16) -> Option<&SpinLockIrq<Shard>> {
        self.shards.get(u16_as_usize(port) % SHARDS)
    }

    /// Returns the socket that is bound to an address. Any context.
    pub(crate) fn find(&self, key: &BindKey) -> Option<ARef<Sock<Socket>>> {
        self.shard(key.port)?.lock().get(key).cloned()
    }

    /// Binds a socket.
    ///
    /// Errors: [`EADDRINUSE`] if another one is bound there, [`ENOMEM`]. May sleep.
    pub(crate) fn insert(&self, key: BindKey, sock: &Sock<Socket>) -> Result {
        let reservation = RBTreeNodeReservation::new(GFP_KERNEL)?;
        let node = reservation.into_node(key, sock.into());
        let mut shard = self.shard(key.port).ok_or(EINVAL)?.lock();

        if shard.get(&key).is_some() {
            drop(shard);
            return Err(EADDRINUSE);
        }
        shard.insert(node);
        Ok(())
    }

    /// Ends what [`insert`](Self::insert) began.
    pub(crate) fn remove(&self, key: &BindKey) {
        if let Some(shard) = self.shard(key.port) {
            let node = shard.lock().remove_node(key);
            drop(node);
        }
    }
}
