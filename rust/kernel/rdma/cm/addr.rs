// SPDX-License-Identifier: GPL-2.0

//! The addresses of an id.

use crate::{
    bindings,
    net::RawAddr, //
};
use core::net::SocketAddr;
use kernel::prelude::*;

/// Returns the address of this side of an id.
///
/// # Safety
///
/// `id` must be valid.
pub(super) unsafe fn local_of(id: *const bindings::rdma_cm_id) -> Option<SocketAddr> {
    // SAFETY: By the function's requirements. `copy_from` bears concurrent changes.
    let raw = unsafe { RawAddr::copy_from(&raw const (*id).route.addr.src_addr) };

    // SAFETY: By the function's requirements.
    raw.get().map(|addr| on_link(addr, unsafe { link_of(id) }))
}

/// Returns the address of the other side of an id.
///
/// # Safety
///
/// `id` must be valid.
pub(super) unsafe fn peer_of(id: *const bindings::rdma_cm_id) -> Option<SocketAddr> {
    // SAFETY: By the function's requirements. `copy_from` bears concurrent changes.
    let raw = unsafe { RawAddr::copy_from(&raw const (*id).route.addr.dst_addr) };

    // SAFETY: By the function's requirements.
    raw.get().map(|addr| on_link(addr, unsafe { link_of(id) }))
}

/// Returns the interface that an id is bound to, or 0.
///
/// # Safety
///
/// `id` must be valid.
unsafe fn link_of(id: *const bindings::rdma_cm_id) -> u32 {
    // SAFETY: By the function's requirements. C may be changing the number; any value is one.
    let number = unsafe { (&raw const (*id).route.addr.dev_addr.bound_dev_if).read_volatile() };

    u32::try_from(number).unwrap_or(0)
}

/// Adds the interface to a link-local address that has none: C leaves it out in the addresses of a request
/// (`cma_save_ip6_info`).
fn on_link(mut addr: SocketAddr, link: u32) -> SocketAddr {
    if let SocketAddr::V6(addr) = &mut addr {
        if addr.ip().is_unicast_link_local() && addr.scope_id() == 0 {
            addr.set_scope_id(link);
        }
    }
    addr
}

#[kunit_tests(krdma_cm_addr)]
mod tests {
    use super::*;
    use core::net::{
        Ipv6Addr,
        SocketAddrV6, //
    };

    #[test]
    fn only_link_local_addresses_without_a_link_get_one() {
        let on = |ip: &str, scope| {
            let ip = ip.parse().unwrap_or(Ipv6Addr::UNSPECIFIED);
            SocketAddr::V6(SocketAddrV6::new(ip, 1, 0, scope))
        };
        let v4 = SocketAddr::from(([169, 254, 0, 1], 1));

        assert_eq!(on_link(on("fe80::1", 0), 3), on("fe80::1", 3));
        assert_eq!(on_link(on("fe80::1", 2), 3), on("fe80::1", 2));
        assert_eq!(on_link(on("fd00::1", 0), 3), on("fd00::1", 0));
        assert_eq!(on_link(v4, 3), v4);
    }
}
