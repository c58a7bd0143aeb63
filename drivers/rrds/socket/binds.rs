// SPDX-License-Identifier: GPL-2.0

//! Which socket is bound to which address.

use crate::key::{
    self,
    Endpoint, //
};
use core::marker::PhantomData;
use kernel::{
    new_spinlock_irq,
    num::casts::u16_as_usize,
    prelude::*,
    rbtree::{
        RBTree,
        RBTreeNode, //
    },
    sync::{
        aref::ARef,
        Arc,
        SpinLockIrq, //
    },
};
use krdma::net::{
    Sock,
    SocketData, //
};
use rds_proto::wire::Addr;

/// What a socket is found by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct BindKey {
    port: u16,
    addr: Addr,
    /// The interface of a link-local address, else 0.
    scope: u32,
}

impl BindKey {
    /// Returns the key of an address. `scope` counts if that is link-local only: else it may be the
    /// interface of the other end.
    pub(crate) fn new(at: Endpoint, scope: u32) -> Self {
        Self {
            port: at.port,
            addr: at.addr,
            scope: key::scope_of(at.addr, scope),
        }
    }

    /// Returns the address and the port.
    pub(crate) fn at(&self) -> Endpoint {
        Endpoint {
            addr: self.addr,
            port: self.port,
        }
    }

    /// Returns the interface of a link-local address, else 0.
    pub(crate) fn scope(&self) -> u32 {
        self.scope
    }
}

/// Number of trees. Ports are spread over them, so that one does not wait for another.
const SHARDS: usize = 64;

type Shard<T> = RBTree<BindKey, ARef<Sock<T>>>;

/// The bound sockets of a namespace.
#[pin_data]
pub(crate) struct Binds<T: SocketData> {
    #[pin]
    shards: [SpinLockIrq<Shard<T>>; SHARDS],
}

impl<T: SocketData> Binds<T> {
    /// No sockets.
    pub(crate) fn new() -> impl PinInit<Self> {
        pin_init!(Self {
            shards <- pin_init::pin_init_array_from_fn(|_| {
                new_spinlock_irq!(RBTree::new(), "rrds::Binds")
            }),
        })
    }

    fn shard(&self, port: u16) -> Option<&SpinLockIrq<Shard<T>>> {
        self.shards.get(u16_as_usize(port) % SHARDS)
    }

    /// Returns the socket that is bound to an address. Any context.
    pub(crate) fn find(&self, key: &BindKey) -> Option<ARef<Sock<T>>> {
        self.shard(key.port)?.lock().get(key).cloned()
    }

    /// Enters a socket. Any context.
    ///
    /// Errors: [`EADDRINUSE`] if another one is bound there. The entry comes back then.
    fn insert(&self, entry: Entry<T>) -> Result<(), (Error, Entry<T>)> {
        let Some(shard) = self.shard(entry.key.port) else {
            return Err((EINVAL, entry));
        };
        let mut shard = shard.lock();

        if shard.get(&entry.key).is_some() {
            drop(shard);
            return Err((EADDRINUSE, entry));
        }
        shard.insert(entry.node);
        Ok(())
    }

    fn remove(&self, key: &BindKey) {
        if let Some(shard) = self.shard(key.port) {
            let node = shard.lock().remove_node(key);
            drop(node);
        }
    }
}

/// An entry of the table that is not in it yet.
pub(crate) struct Entry<T: SocketData> {
    key: BindKey,
    node: RBTreeNode<BindKey, ARef<Sock<T>>>,
}

impl<T: SocketData> Entry<T> {
    /// Makes the entry of a socket. May sleep.
    pub(crate) fn new(key: BindKey, sock: &Sock<T>) -> Result<Self> {
        Ok(Self {
            key,
            node: RBTreeNode::new(key, sock.into(), GFP_KERNEL_ACCOUNT)?,
        })
    }
}

/// The entry of a socket in the table, which ends with this: by the key that it was made with.
///
/// It keeps the socket, and so itself, if it is not taken out of it: a socket that is closed does that. `D` is
/// what has the table.
pub(crate) struct Place<T: SocketData, D: AsRef<Binds<T>>> {
    directory: Arc<D>,
    key: BindKey,
    _family: PhantomData<fn() -> T>,
}

impl<T: SocketData, D: AsRef<Binds<T>>> Place<T, D> {
    /// Enters a socket: from here on messages are delivered to it. Any context.
    ///
    /// Errors: [`EADDRINUSE`] if another one is bound there. The entry comes back then, to be dropped
    /// without a lock.
    pub(crate) fn take(directory: &Arc<D>, entry: Entry<T>) -> Result<Self, (Error, Entry<T>)> {
        let key = entry.key;

        (**directory).as_ref().insert(entry)?;
        Ok(Self {
            directory: directory.clone(),
            key,
            _family: PhantomData,
        })
    }

    /// Returns what it is found by.
    pub(crate) fn key(&self) -> &BindKey {
        &self.key
    }
}

impl<T: SocketData, D: AsRef<Binds<T>>> Drop for Place<T, D> {
    fn drop(&mut self) {
        (*self.directory).as_ref().remove(&self.key);
    }
}

#[kunit_tests(rrds_binds)]
mod tests {
    use super::*;

    fn key(addr: [u8; 16], scope: u32) -> BindKey {
        BindKey::new(
            Endpoint {
                addr: Addr(addr),
                port: 4000,
            },
            scope,
        )
    }

    #[test]
    fn only_link_local_addresses_have_a_link() {
        let mut link_local = [0; 16];
        link_local[0] = 0xfe;
        link_local[1] = 0x80;
        let mut loopback = [0; 16];
        loopback[15] = 1;

        assert_ne!(key(link_local, 1), key(link_local, 2));
        assert_eq!(key(loopback, 1), key(loopback, 0));
        assert_eq!(key(Addr::v4([10, 0, 0, 1]).0, 7).scope(), 0);
    }
}
