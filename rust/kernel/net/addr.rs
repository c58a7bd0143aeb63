// SPDX-License-Identifier: GPL-2.0

//! Addresses of sockets, as callers pass and get them.
//!
//! C headers: [`include/linux/socket.h`](srctree/include/linux/socket.h),
//! [`include/uapi/linux/in.h`](srctree/include/uapi/linux/in.h),
//! [`include/uapi/linux/in6.h`](srctree/include/uapi/linux/in6.h)

use crate::bindings;
use core::{
    mem::{
        offset_of,
        size_of, //
    },
    net::{
        Ipv4Addr,
        Ipv6Addr,
        SocketAddrV4,
        SocketAddrV6, //
    },
};
use kernel::prelude::*;

/// Length of a `sockaddr_in`.
const V4_LEN: usize = size_of::<bindings::sockaddr_in>();
/// Length of a `sockaddr_in6`.
const V6_LEN: usize = size_of::<bindings::sockaddr_in6>();

// The layouts that the code of this file relies on.
static_assert!(V4_LEN == 16);
static_assert!(offset_of!(bindings::sockaddr_in, sin_port) == 2);
static_assert!(offset_of!(bindings::sockaddr_in, sin_addr) == 4);
static_assert!(V6_LEN == 28);
static_assert!(offset_of!(bindings::sockaddr_in6, sin6_port) == 2);
static_assert!(offset_of!(bindings::sockaddr_in6, sin6_flowinfo) == 4);
static_assert!(offset_of!(bindings::sockaddr_in6, sin6_addr) == 8);
static_assert!(offset_of!(bindings::sockaddr_in6, sin6_scope_id) == 24);

/// An address that a caller passed, of any family and length.
#[derive(Clone, Copy)]
pub struct NameIn<'a>(&'a [u8]);

impl<'a> NameIn<'a> {
    /// The family number of IPv4 addresses.
    pub const INET: u16 = bindings::AF_INET as u16;
    /// The family number of IPv6 addresses.
    pub const INET6: u16 = bindings::AF_INET6 as u16;

    /// Takes the bytes of a `sockaddr`.
    #[inline]
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// Returns the length that the caller told.
    #[inline]
    pub const fn len(&self) -> usize {
        self.0.len()
    }

    /// Returns whether the caller told the length 0.
    #[inline]
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns the number of the address family, unless the address is too short to have one.
    pub fn family(&self) -> Option<u16> {
        self.bytes(0).map(u16::from_ne_bytes)
    }

    /// Reads a `sockaddr_in`, whatever family it tells; `None` if it is too short for one.
    pub fn v4(&self) -> Option<SocketAddrV4> {
        if self.len() < V4_LEN {
            return None;
        }
        Some(SocketAddrV4::new(
            Ipv4Addr::from_bits(u32::from_be_bytes(self.bytes(4)?)),
            u16::from_be_bytes(self.bytes(2)?),
        ))
    }

    /// Reads a `sockaddr_in6`, whatever family it tells; `None` if it is too short for one.
    ///
    /// A mapped IPv4 address is an IPv6 address here.
    pub fn v6(&self) -> Option<SocketAddrV6> {
        if self.len() < V6_LEN {
            return None;
        }
        Some(SocketAddrV6::new(
            Ipv6Addr::from_bits(u128::from_be_bytes(self.bytes(8)?)),
            u16::from_be_bytes(self.bytes(2)?),
            u32::from_be_bytes(self.bytes(4)?),
            u32::from_ne_bytes(self.bytes(24)?),
        ))
    }

    /// Returns `N` bytes from `offset` on.
    fn bytes<const N: usize>(&self, offset: usize) -> Option<[u8; N]> {
        self.0.get(offset..)?.first_chunk().copied()
    }
}

/// An address to return to a caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Name {
    /// No address: as long as an IPv4 address, all zeros.
    Unspecified,
    /// An IPv4 address.
    V4(SocketAddrV4),
    /// An IPv6 address.
    V6(SocketAddrV6),
}

impl Name {
    /// Room for each of them.
    pub const MAX_LEN: usize = V6_LEN;

    /// Returns the bytes of the C struct, and how many of them there are.
    pub fn to_raw(self) -> ([u8; Self::MAX_LEN], usize) {
        let mut raw = [0; Self::MAX_LEN];
        let mut put = |offset: usize, bytes: &[u8]| {
            for (to, from) in raw.iter_mut().skip(offset).zip(bytes) {
                *to = *from;
            }
        };

        let len = match self {
            Self::Unspecified => V4_LEN,
            Self::V4(addr) => {
                put(0, &NameIn::INET.to_ne_bytes());
                put(2, &addr.port().to_be_bytes());
                put(4, &addr.ip().octets());
                V4_LEN
            }
            Self::V6(addr) => {
                put(0, &NameIn::INET6.to_ne_bytes());
                put(2, &addr.port().to_be_bytes());
                put(4, &addr.flowinfo().to_be_bytes());
                put(8, &addr.ip().octets());
                put(24, &addr.scope_id().to_ne_bytes());
                V6_LEN
            }
        };
        (raw, len)
    }
}

#[kunit_tests(krdma_net_addr)]
mod tests {
    use super::*;

    #[test]
    fn ipv4_there_and_back() {
        let addr = SocketAddrV4::new(Ipv4Addr::new(10, 1, 2, 3), 0x1234);
        let (raw, len) = Name::V4(addr).to_raw();

        assert_eq!(len, 16);
        assert_eq!(raw[2..8], [0x12, 0x34, 10, 1, 2, 3]);
        assert_eq!(raw[8..], [0; 20]);
        let name = NameIn::new(&raw[..len]);
        assert_eq!(name.family(), Some(NameIn::INET));
        assert_eq!(name.v4(), Some(addr));
        assert_eq!(name.v6(), None);
    }

    #[test]
    fn ipv6_there_and_back() {
        let ip = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0x17);
        let addr = SocketAddrV6::new(ip, 18634, 0x0120_0345, 7);
        let (raw, len) = Name::V6(addr).to_raw();

        assert_eq!(len, 28);
        let name = NameIn::new(&raw[..len]);
        assert_eq!(name.family(), Some(NameIn::INET6));
        assert_eq!(name.v6(), Some(addr));
    }

    #[test]
    fn short_ones_are_none() {
        let (raw, _) = Name::V6(SocketAddrV6::new(Ipv6Addr::LOCALHOST, 1, 0, 0)).to_raw();

        assert_eq!(NameIn::new(&raw[..1]).family(), None);
        assert!(NameIn::new(&raw[..2]).family().is_some());
        assert_eq!(NameIn::new(&raw[..15]).v4(), None);
        assert!(NameIn::new(&raw[..16]).v4().is_some());
        assert_eq!(NameIn::new(&raw[..27]).v6(), None);
        assert!(NameIn::new(&[]).is_empty());
    }

    #[test]
    fn no_address_is_zeros() {
        assert_eq!(Name::Unspecified.to_raw(), ([0; 28], 16));
    }
}
