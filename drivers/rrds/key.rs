// SPDX-License-Identifier: GPL-2.0

//! What names sockets, and ways between hosts.

use core::net::Ipv6Addr;
use rds_proto::wire::{
    Addr,
    Family, //
};

/// An address and a port.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Endpoint {
    /// The address; IPv4 in its mapped form.
    pub(crate) addr: Addr,
    /// The port, as a number.
    pub(crate) port: u16,
}

/// What tells one way to a peer from another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct RouteKey {
    /// Our address.
    pub(crate) local: Addr,
    /// The peer's address.
    pub(crate) peer: Addr,
    /// The type of service.
    pub(crate) tos: u8,
    /// Which of several connections for the same; 0 is the first one, and what sockets name.
    pub(crate) lane: u8,
    /// The index of the network interface if the addresses are link-local, else 0.
    pub(crate) scope: u32,
}

/// Returns the interface that belongs to an address, of one that comes with it: only link-local addresses
/// have one.
#[inline]
pub(crate) fn scope_of(addr: Addr, scope: u32) -> u32 {
    if scope == 0 {
        return 0;
    }
    match addr.to_v4() {
        None if Ipv6Addr::from(addr.0).is_unicast_link_local() => scope,
        _ => 0,
    }
}

/// Returns whether an address is an IPv4 one.
#[inline]
pub(crate) fn is_v4(addr: Addr) -> bool {
    addr.family() == Family::V4
}
