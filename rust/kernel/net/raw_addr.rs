// SPDX-License-Identifier: GPL-2.0

//! Internet addresses as C structs hold them.
//!
//! C headers: [`include/linux/socket.h`](srctree/include/linux/socket.h),
//! [`include/uapi/linux/in.h`](srctree/include/uapi/linux/in.h),
//! [`include/uapi/linux/in6.h`](srctree/include/uapi/linux/in6.h)

use crate::bindings;
use core::{
    mem::size_of,
    net::{
        Ipv4Addr,
        Ipv6Addr,
        SocketAddr,
        SocketAddrV4,
        SocketAddrV6, //
    },
    ptr, //
};
use kernel::prelude::*;

/// An address as C's functions take and give it: room for the largest one, with zeros after it.
#[repr(transparent)]
pub(crate) struct RawAddr(bindings::__kernel_sockaddr_storage);

static_assert!(
    size_of::<bindings::sockaddr_in>() <= size_of::<bindings::__kernel_sockaddr_storage>()
);
static_assert!(
    size_of::<bindings::sockaddr_in6>() <= size_of::<bindings::__kernel_sockaddr_storage>()
);

impl RawAddr {
    /// Copies an address out of a C struct that another thread may be changing.
    ///
    /// # Safety
    ///
    /// `src` must be valid for reads.
    pub(crate) unsafe fn copy_from(src: *const bindings::__kernel_sockaddr_storage) -> Self {
        // SAFETY: By the function's requirements. The result may mix two addresses, which is an
        // address still.
        Self(unsafe { src.read_volatile() })
    }

    #[inline]
    pub(crate) fn as_raw(&mut self) -> *mut bindings::sockaddr {
        ptr::from_mut(&mut self.0).cast()
    }

    /// No address, to be written to.
    pub(crate) fn zeroed() -> Self {
        Self(pin_init::zeroed())
    }

    /// Returns the address, unless it is none of an Internet protocol.
    pub(crate) fn get(&self) -> Option<SocketAddr> {
        // SAFETY: All families have their number at the beginning, and all bytes are initialized.
        let family = unsafe { self.0.__bindgen_anon_1.__bindgen_anon_1.ss_family };
        let this = ptr::from_ref(&self.0);

        match u32::from(family) {
            bindings::AF_INET => {
                // SAFETY: The storage is large and aligned enough, all its bytes are initialized,
                // and any value of them is valid.
                let raw = unsafe { this.cast::<bindings::sockaddr_in>().read() };

                Some(SocketAddr::V4(SocketAddrV4::new(
                    Ipv4Addr::from_bits(u32::from_be(raw.sin_addr.s_addr)),
                    u16::from_be(raw.sin_port),
                )))
            }
            bindings::AF_INET6 => {
                // SAFETY: As above.
                let raw = unsafe { this.cast::<bindings::sockaddr_in6>().read() };
                // SAFETY: All members of the union are plain integers and span it.
                let octets = unsafe { raw.sin6_addr.in6_u.u6_addr8 };

                Some(SocketAddr::V6(SocketAddrV6::new(
                    Ipv6Addr::from_bits(u128::from_be_bytes(octets)),
                    u16::from_be(raw.sin6_port),
                    u32::from_be(raw.sin6_flowinfo),
                    raw.sin6_scope_id,
                )))
            }
            _ => None,
        }
    }
}

impl From<SocketAddr> for RawAddr {
    fn from(addr: SocketAddr) -> Self {
        let mut storage: bindings::__kernel_sockaddr_storage = pin_init::zeroed();
        let slot = ptr::from_mut(&mut storage);

        match addr {
            SocketAddr::V4(addr) => {
                let mut raw: bindings::sockaddr_in = pin_init::zeroed();

                raw.sin_family = family(bindings::AF_INET);
                raw.sin_port = addr.port().to_be();
                raw.sin_addr.s_addr = addr.ip().to_bits().to_be();
                // SAFETY: The storage is large and aligned enough for the address.
                unsafe { slot.cast::<bindings::sockaddr_in>().write(raw) };
            }
            SocketAddr::V6(addr) => {
                let mut raw: bindings::sockaddr_in6 = pin_init::zeroed();

                raw.sin6_family = family(bindings::AF_INET6);
                raw.sin6_port = addr.port().to_be();
                raw.sin6_flowinfo = addr.flowinfo().to_be();
                raw.sin6_addr.in6_u.u6_addr8 = addr.ip().octets();
                raw.sin6_scope_id = addr.scope_id();
                // SAFETY: As above.
                unsafe { slot.cast::<bindings::sockaddr_in6>().write(raw) };
            }
        }
        Self(storage)
    }
}

/// The constants are wider than the fields that they are for.
const fn family(raw: u32) -> u16 {
    // CAST: Numbers of address families are below 64.
    raw as u16
}

#[kunit_tests(krdma_net_raw_addr)]
mod tests {
    use super::*;

    #[test]
    fn ipv4_there_and_back() {
        let addr = SocketAddr::from(([10, 1, 2, 3], 0x1234));
        let raw = RawAddr::from(addr);

        assert_eq!(raw.get(), Some(addr));
        // SAFETY: It is an IPv4 address.
        let raw = unsafe { ptr::from_ref(&raw.0).cast::<bindings::sockaddr_in>().read() };
        assert_eq!(raw.sin_port.to_ne_bytes(), [0x12, 0x34]);
        assert_eq!(raw.sin_addr.s_addr.to_ne_bytes(), [10, 1, 2, 3]);
    }

    #[test]
    fn ipv6_there_and_back() {
        let ip = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0x17);
        let addr = SocketAddr::V6(SocketAddrV6::new(ip, 18634, 0x0120_0345, 7));

        assert_eq!(RawAddr::from(addr).get(), Some(addr));
    }

    #[test]
    fn other_families_are_none() {
        let zero = RawAddr::zeroed();

        assert_eq!(zero.get(), None);
    }
}
