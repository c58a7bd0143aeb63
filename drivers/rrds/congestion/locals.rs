// SPDX-License-Identifier: GPL-2.0

//! The maps of all local addresses, each as long as somebody uses it.
//!
//! Any local user can name any number of addresses: 127/8 alone has sixteen millions. What that takes is
//! bounded by what users hold, sockets and ways from one address to another.

use super::local::Local;
use crate::key;
use core::ops::Deref;
use kernel::{
    new_spinlock_irq,
    prelude::*,
    rbtree::{
        RBTree,
        RBTreeNode, //
    },
    sync::{
        Arc,
        SpinLockIrq, //
    },
};
use rds_proto::wire::Addr;

/// An address, and the interface if it is link-local, else 0.
type Key = (Addr, u32);

/// A map and the number of [`Used`] of it.
struct Entry {
    local: Arc<Local>,
    users: usize,
}

/// The maps of the local addresses of a namespace.
#[pin_data]
pub(crate) struct Locals {
    #[pin]
    tree: SpinLockIrq<RBTree<Key, Entry>>,
}

/// The map of a local address, which somebody uses. It goes with the last of these.
///
/// May be dropped in any context.
pub(crate) struct Used {
    locals: Arc<Locals>,
    key: Key,
    local: Arc<Local>,
}

impl Locals {
    /// No maps.
    pub(crate) fn new() -> Result<Arc<Self>> {
        Arc::pin_init(
            pin_init!(Self {
                tree <- new_spinlock_irq!(RBTree::new(), "rrds::Locals"),
            }),
            GFP_KERNEL,
        )
    }

    /// Returns the map of an address if there is one. Any context.
    pub(crate) fn find(self: &Arc<Self>, addr: Addr, scope: u32) -> Option<Used> {
        let key = (addr, key::scope_of(addr, scope));
        let mut tree = self.tree.lock();

        tree.get_mut(&key).map(|entry| self.used(key, entry))
    }

    /// Returns the map of an address; makes it if there is none. May sleep.
    pub(crate) fn get(self: &Arc<Self>, addr: Addr, scope: u32) -> Result<Used> {
        if let Some(used) = self.find(addr, scope) {
            return Ok(used);
        }
        let key = (addr, key::scope_of(addr, scope));
        let mut entry = Entry {
            local: Local::new(addr)?,
            users: 0,
        };
        let used = self.used(key, &mut entry);
        let node = RBTreeNode::new(key, entry, GFP_KERNEL_ACCOUNT)?;
        let mut tree = self.tree.lock();

        if let Some(other) = tree.get_mut(&key) {
            let other = self.used(key, other);
            drop(tree);
            Ok(other)
        } else {
            tree.insert(node);
            Ok(used)
        }
    }

    fn used(self: &Arc<Self>, key: Key, entry: &mut Entry) -> Used {
        // OVERFLOW: Each takes more than a byte.
        entry.users = entry.users.wrapping_add(1);
        Used {
            locals: self.clone(),
            key,
            local: entry.local.clone(),
        }
    }
}

impl Deref for Used {
    type Target = Local;

    fn deref(&self) -> &Local {
        &self.local
    }
}

impl Drop for Used {
    fn drop(&mut self) {
        let mut tree = self.locals.tree.lock();
        let Some(entry) = tree.get_mut(&self.key) else {
            return;
        };

        // One that was made while another task was faster is in no entry.
        if !Arc::ptr_eq(&entry.local, &self.local) {
            return;
        }
        entry.users = entry.users.saturating_sub(1);
        if entry.users == 0 {
            let node = tree.remove_node(&self.key);
            drop(tree);
            drop(node);
        }
    }
}

#[kunit_tests(rrds_locals)]
mod tests {
    use super::*;

    fn count(locals: &Locals) -> usize {
        locals.tree.lock().iter().count()
    }

    #[test]
    fn a_map_goes_with_its_last_user() -> Result {
        let locals = Locals::new()?;
        let addr = Addr::v4([127, 0, 0, 1]);
        assert!(locals.find(addr, 0).is_none());

        let one = locals.get(addr, 0)?;
        let other = locals.find(addr, 0).ok_or(ENOENT)?;
        one.set(4000, true);
        assert!(other.is_congested(4000));
        drop(one);
        assert!(locals.get(addr, 0)?.is_congested(4000));
        assert_eq!(count(&locals), 1);
        drop(other);
        assert_eq!(count(&locals), 0);
        assert!(!locals.get(addr, 0)?.is_congested(4000));
        Ok(())
    }

    #[test]
    fn a_link_local_address_is_another_on_each_link() -> Result {
        let locals = Locals::new()?;
        let mut link_local = Addr([0; 16]);
        link_local.0[0] = 0xfe;
        link_local.0[1] = 0x80;
        let (one, other) = (locals.get(link_local, 1)?, locals.get(link_local, 2)?);

        one.set(4000, true);
        assert!(!other.is_congested(4000));
        let global = (locals.get(Addr([1; 16]), 1)?, locals.get(Addr([1; 16]), 0)?);
        global.0.set(4000, true);
        assert!(global.1.is_congested(4000));
        Ok(())
    }
}
