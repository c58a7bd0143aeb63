// SPDX-License-Identifier: GPL-2.0

//! That an id is bound to a device of its own network namespace.
//!
//! C finds the device of an address by the GID that the address makes. It compares the network interface of that
//! GID with the one that has the address, but not where the latter is no Ethernet, as `lo` and tunnels
//! (`cma_validate_port()`). Then it finds the device of another namespace, and anybody may give any address to
//! an interface of a namespace of his own. So whatever binds an id to a device is followed by this check.
//!
//! C header: [`include/rdma/ib_cache.h`](srctree/include/rdma/ib_cache.h) (`rdma_read_gid_attr_ndev_rcu`)

use crate::bindings;
use core::ptr;
use kernel::{
    error::from_err_ptr,
    prelude::*,
    sync::rcu, //
};

/// Returns whether the network interface of the GID that an id is bound to is in the id's namespace.
///
/// An id that is bound to no GID, and a GID of no interface, as on InfiniBand, are not in another one.
///
/// # Safety
///
/// `id` must be valid, and nobody may bind it meanwhile.
pub(super) unsafe fn is_own(id: *mut bindings::rdma_cm_id) -> bool {
    // SAFETY: By the function's requirements. The namespace of an id does not change, and the id has a reference
    // to it.
    let (attr, ns) = unsafe {
        let addr = &raw const (*id).route.addr.dev_addr;

        ((*addr).sgid_attr, (*addr).net)
    };
    if attr.is_null() {
        return true;
    }

    let _rcu = rcu::read_lock();
    // SAFETY: The id has a reference to the entry of its device's table that it is bound to. We are in an RCU
    // read-side critical section.
    let netdev = unsafe { bindings::rdma_read_gid_attr_ndev_rcu(attr) };
    match from_err_ptr(netdev) {
        // SAFETY: The interface is not freed before the end of the RCU read-side critical section.
        Ok(netdev) => ptr::eq(unsafe { bindings::dev_net(netdev) }, ns),
        Err(err) => err == ENODEV,
    }
}
