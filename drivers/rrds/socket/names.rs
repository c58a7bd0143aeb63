// SPDX-License-Identifier: GPL-2.0

//! Which addresses RDS takes (spec-bind, spec-connect, spec-sendmsg).

pub(crate) use crate::key::{
    is_v4,
    scope_of, //
};

use crate::key::Endpoint;
use core::net::{
    Ipv4Addr,
    Ipv6Addr,
    SocketAddr,
    SocketAddrV4,
    SocketAddrV6, //
};
use kernel::prelude::*;
use krdma::net::{
    Name,
    NameIn, //
};
use rds_proto::wire::Addr;

/// An address that RDS may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Checked {
    pub(crate) at: Endpoint,
    /// The interface of a link-local address, else 0.
    pub(crate) scope: u32,
}

impl Checked {
    /// Returns the interface by which this is reached from a local address that has the interface `scope`,
    /// or 0.
    ///
    /// Errors: [`EOPNOTSUPP`] if it is of the other family, [`EINVAL`] if it is behind another interface.
    pub(crate) fn scope_from(&self, local: Addr, scope: u32) -> Result<u32> {
        check_families(local, self.at.addr)?;
        match (self.scope, scope) {
            // The interface may be that of another address, which the socket is connected to.
            (0, scope) => Ok(scope_of(local, scope)),
            (own, 0) => Ok(own),
            (own, scope) if own == scope => Ok(own),
            _ => Err(EINVAL),
        }
    }
}

/// What is wrong with an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Too short to tell its family, or for the family.
    Short,
    /// Neither IPv4 nor IPv6.
    Family,
    /// 0.0.0.0.
    AnyV4,
    /// An IPv4 address of many.
    ManyV4,
    /// An IPv6 address that is not of one host, or an IPv4 address of that kind in its mapped form.
    NotOneV6,
    /// A link-local address without an interface.
    NoScope,
}

/// Whether an IPv4 address is of many hosts.
fn is_many(ip: Ipv4Addr) -> bool {
    ip.is_broadcast() || ip.is_multicast()
}

/// Whether an IPv6 address is of one host. A mapped address is if the IPv4 address is.
fn is_one(ip: Ipv6Addr) -> bool {
    match ip.to_ipv4_mapped() {
        Some(ip) => !ip.is_unspecified() && !is_many(ip),
        None => !ip.is_unspecified() && !ip.is_multicast(),
    }
}

/// Checks an address that a caller passed.
pub(super) fn check(name: NameIn<'_>) -> Result<Checked, Fault> {
    match name.family().ok_or(Fault::Short)? {
        NameIn::INET => check_addr(name.v4().ok_or(Fault::Short)?.into()),
        NameIn::INET6 => check_addr(name.v6().ok_or(Fault::Short)?.into()),
        _ => Err(Fault::Family),
    }
}

/// Checks an address.
pub(crate) fn check_addr(addr: SocketAddr) -> Result<Checked, Fault> {
    match addr {
        SocketAddr::V4(addr) => {
            if addr.ip().is_unspecified() {
                return Err(Fault::AnyV4);
            }
            if is_many(*addr.ip()) {
                return Err(Fault::ManyV4);
            }
            Ok(Checked {
                at: Endpoint {
                    addr: Addr::v4(addr.ip().octets()),
                    port: addr.port(),
                },
                scope: 0,
            })
        }
        SocketAddr::V6(addr) => {
            if !is_one(*addr.ip()) {
                return Err(Fault::NotOneV6);
            }
            let scope = if addr.ip().is_unicast_link_local() {
                Some(addr.scope_id())
                    .filter(|scope| *scope != 0)
                    .ok_or(Fault::NoScope)?
            } else {
                0
            };
            Ok(Checked {
                at: Endpoint {
                    addr: Addr(addr.ip().octets()),
                    port: addr.port(),
                },
                scope,
            })
        }
    }
}

/// Returns the interface by which one address is reached from another, of one that comes with them.
///
/// Errors: [`EOPNOTSUPP`] if they are of different families.
pub(super) fn scope_between(local: Addr, dest: Addr, scope: u32) -> Result<u32> {
    check_families(local, dest)?;
    Ok(match scope_of(dest, scope) {
        0 => scope_of(local, scope),
        scope => scope,
    })
}

/// Wants two addresses to be of one family: no device joins the two.
fn check_families(local: Addr, dest: Addr) -> Result {
    if is_v4(local) != is_v4(dest) {
        return Err(EOPNOTSUPP);
    }
    Ok(())
}

/// The form in which an address is shown.
pub(crate) fn show(at: Endpoint, scope: u32) -> Name {
    match at.addr.to_v4() {
        Some(ip) => Name::V4(SocketAddrV4::new(ip.into(), at.port)),
        None => Name::V6(SocketAddrV6::new(at.addr.0.into(), at.port, 0, scope)),
    }
}
