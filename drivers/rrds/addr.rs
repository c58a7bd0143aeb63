// SPDX-License-Identifier: GPL-2.0

//! Addresses, as the kernel's sockets have them.

use crate::key::{
    self,
    RouteKey, //
};
use core::net::{
    IpAddr,
    Ipv4Addr,
    Ipv6Addr,
    SocketAddr,
    SocketAddrV6, //
};
use rds_proto::wire::Addr;

/// Returns an address as the kernel's sockets take it.
pub(crate) fn to_socket(addr: Addr, port: u16, scope: u32) -> SocketAddr {
    match to_ip(addr) {
        IpAddr::V4(ip) => SocketAddr::from((ip, port)),
        IpAddr::V6(ip) => SocketAddrV6::new(ip, port, 0, scope).into(),
    }
}

/// The same, without a port.
pub(crate) fn to_ip(addr: Addr) -> IpAddr {
    match addr.to_v4() {
        Some(octets) => Ipv4Addr::from(octets).into(),
        None => Ipv6Addr::from(addr.0).into(),
    }
}

/// Returns what tells the way between the ends of a connection from others; its type of service is 0.
pub(crate) fn between(local: SocketAddr, peer: SocketAddr) -> RouteKey {
    let ((local, ours), (peer, theirs)) = (from_socket(local), from_socket(peer));

    RouteKey {
        local,
        peer,
        tos: 0,
        lane: 0,
        // As of a socket that answers. If both have one it is the same: the connection came in over it.
        scope: if theirs != 0 { theirs } else { ours },
    }
}

/// Returns an address, and the interface that it is of if it is link-local.
fn from_socket(addr: SocketAddr) -> (Addr, u32) {
    match addr {
        SocketAddr::V4(addr) => (Addr::v4(addr.ip().octets()), 0),
        SocketAddr::V6(addr) => {
            let ip = Addr(addr.ip().octets());

            (ip, key::scope_of(ip, addr.scope_id()))
        }
    }
}
