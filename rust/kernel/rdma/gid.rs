// SPDX-License-Identifier: GPL-2.0

//! Global identifiers, and the table of them that each port has.
//!
//! C headers: [`include/rdma/ib_verbs.h`](srctree/include/rdma/ib_verbs.h) (`union ib_gid`) and
//! [`include/rdma/ib_cache.h`](srctree/include/rdma/ib_cache.h).

use crate::{
    bindings,
    rdma::{
        name::Name,
        Guid,
        Port, //
    },
};
use core::{
    marker::PhantomData,
    net::{
        Ipv4Addr,
        Ipv6Addr, //
    },
    ptr::NonNull,
};
use kernel::{
    error::{
        from_err_ptr,
        to_result, //
    },
    fmt,
    prelude::*,
    sync::rcu, //
};

/// A global identifier: the 128-bit address of a port, valid across subnets.
///
/// It is an IPv6 address: on InfiniBand a subnet prefix followed by the port's GUID; on RoCE the
/// address of the port's network interface, IPv4 in its v4-mapped form.
///
/// # Examples
///
/// ```
/// use core::net::Ipv4Addr;
/// use krdma::rdma::Gid;
///
/// let gid = Gid::from(Ipv4Addr::new(10, 0, 0, 1));
///
/// assert_eq!(gid.to_ipv4(), Some(Ipv4Addr::new(10, 0, 0, 1)));
/// assert_eq!(gid.subnet_prefix(), 0);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(transparent)]
pub struct Gid([u8; 16]);

impl Gid {
    /// Creates a GID of its bytes in the order they stand on the wire.
    #[inline]
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// Creates a GID of a subnet prefix and an interface identifier.
    #[inline]
    pub const fn from_parts(subnet_prefix: u64, interface_id: Guid) -> Self {
        let value = ((subnet_prefix as u128) << 64) | interface_id.as_u64() as u128;
        Self(value.to_be_bytes())
    }

    /// Copies the GID out of the C union.
    #[inline]
    pub(crate) fn from_raw(raw: &bindings::ib_gid) -> Self {
        // SAFETY: All members of the union are plain bytes and span it.
        Self(unsafe { raw.raw })
    }

    /// Returns the bytes in the order they stand on the wire.
    #[inline]
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }

    /// Returns the upper half, which names the subnet.
    #[inline]
    pub const fn subnet_prefix(&self) -> u64 {
        (u128::from_be_bytes(self.0) >> 64) as u64
    }

    /// Returns the lower half, which names the port in its subnet.
    #[inline]
    pub const fn interface_id(&self) -> Guid {
        Guid::new(u128::from_be_bytes(self.0) as u64)
    }

    /// Returns the GID as the IPv6 address that it is.
    #[inline]
    pub const fn to_ipv6(&self) -> Ipv6Addr {
        Ipv6Addr::from_bits(u128::from_be_bytes(self.0))
    }

    /// Returns the IPv4 address if the GID is one in v4-mapped form.
    #[inline]
    pub const fn to_ipv4(&self) -> Option<Ipv4Addr> {
        self.to_ipv6().to_ipv4_mapped()
    }

    /// Returns whether this is the value of an unused table entry.
    #[inline]
    pub const fn is_zero(&self) -> bool {
        u128::from_be_bytes(self.0) == 0
    }
}

impl From<Ipv6Addr> for Gid {
    #[inline]
    fn from(addr: Ipv6Addr) -> Self {
        Self(addr.octets())
    }
}

impl From<Ipv4Addr> for Gid {
    /// Maps the address into IPv6 (`::ffff:a.b.c.d`), as RoCE does.
    #[inline]
    fn from(addr: Ipv4Addr) -> Self {
        Self(addr.to_ipv6_mapped().octets())
    }
}

/// IPv6 notation, as the RDMA tools print GIDs.
impl fmt::Display for Gid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        core::fmt::Display::fmt(&self.to_ipv6(), f)
    }
}

/// What network a GID belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum GidType {
    /// InfiniBand; also what iWARP ports report.
    Ib,
    /// RoCE version 1: Ethernet frames of a type of their own, within one Ethernet.
    RoceV1,
    /// RoCE version 2: UDP, routable.
    RoceV2,
    /// A type that this crate does not know.
    Unknown(u32),
}

impl GidType {
    #[inline]
    fn from_raw(raw: bindings::ib_gid_type) -> Self {
        match raw {
            bindings::ib_gid_type_IB_GID_TYPE_IB => Self::Ib,
            bindings::ib_gid_type_IB_GID_TYPE_ROCE => Self::RoceV1,
            bindings::ib_gid_type_IB_GID_TYPE_ROCE_UDP_ENCAP => Self::RoceV2,
            raw => Self::Unknown(raw),
        }
    }
}

/// As the RDMA tools name them.
impl fmt::Display for GidType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ib => f.write_str("IB"),
            Self::RoceV1 => f.write_str("RoCE v1"),
            Self::RoceV2 => f.write_str("RoCE v2"),
            Self::Unknown(raw) => write!(f, "type {raw}"),
        }
    }
}

/// An entry of a port's GID table.
///
/// It keeps the entry: the GID may leave the table meanwhile, but its index is not given to another
/// one. An entry belongs to the port, and is gone before the device is.
///
/// # Invariants
///
/// `ptr` points to an `ib_gid_attr` of which this type owns one reference. The device that it
/// belongs to is registered for `'a`.
pub struct GidEntry<'a> {
    ptr: NonNull<bindings::ib_gid_attr>,
    _port: PhantomData<Port<'a>>,
}

// SAFETY: `rdma_put_gid_attr` may be called from any thread.
unsafe impl Send for GidEntry<'_> {}

// SAFETY: The methods that take `&self` read fields that do not change while a reference to the
// entry is held, or that the RDMA core protects.
unsafe impl Sync for GidEntry<'_> {}

impl<'a> Port<'a> {
    /// Returns the entry of the port's GID table with this index.
    ///
    /// Errors: [`ENODATA`] if the entry is unused, [`EINVAL`] if the table has no such index.
    ///
    /// Does not sleep.
    pub fn gid(&self, index: u32) -> Result<GidEntry<'a>> {
        GidEntry::get(*self, index)
    }

    /// Returns the used entries among the first `len` of the port's GID table.
    ///
    /// `len` is commonly that of [`PortAttributes`](crate::rdma::port::PortAttributes::gid_table_len). The
    /// table may change meanwhile.
    pub fn gids(&self, len: u32) -> impl Iterator<Item = GidEntry<'a>> + use<'a> {
        let port = *self;

        (0..len).filter_map(move |index| port.gid(index).ok())
    }
}

impl<'a> GidEntry<'a> {
    /// Takes the entry with this index of a port's table.
    pub(crate) fn get(port: Port<'a>, index: u32) -> Result<Self> {
        let index = c_int::try_from(index).map_err(|_| EINVAL)?;
        // SAFETY: `port` borrows a registered device; the core checks the port's number and the
        // index.
        let attr =
            unsafe { bindings::rdma_get_gid_attr(port.device().as_raw(), port.number(), index) };
        let attr = from_err_ptr(attr.cast_mut())?;

        // INVARIANT: `rdma_get_gid_attr` took a reference for us. `port` borrows the device for
        // `'a`.
        Ok(Self {
            ptr: NonNull::new(attr).ok_or(ENODATA)?,
            _port: PhantomData,
        })
    }

    #[inline]
    fn as_ref(&self) -> &bindings::ib_gid_attr {
        // SAFETY: By the type invariant, the pointee lives as long as `self`. The fields that are
        // read through this reference are constant; `ndev`, which is not, is only used through the
        // C function that protects it.
        unsafe { self.ptr.as_ref() }
    }

    /// Returns the GID.
    #[inline]
    pub fn gid(&self) -> Gid {
        Gid::from_raw(&self.as_ref().gid)
    }

    /// Returns what network the GID belongs to.
    #[inline]
    pub fn gid_type(&self) -> GidType {
        GidType::from_raw(self.as_ref().gid_type)
    }

    /// Returns the entry's index in the port's table.
    #[inline]
    pub fn index(&self) -> u32 {
        u32::from(self.as_ref().index)
    }

    /// Returns the Ethernet address of the station that the GID belongs to (RoCE).
    ///
    /// Errors: [`ENODEV`] if the GID has no network interface, or no more.
    ///
    /// Does not sleep.
    pub fn mac(&self) -> Result<[u8; 6]> {
        let mut mac = [0; 6];

        // SAFETY: By the type invariant, this is a valid entry of a registered device. `mac` is as
        // long as an Ethernet address.
        to_result(unsafe {
            bindings::rdma_read_gid_l2_fields(
                self.ptr.as_ptr(),
                core::ptr::null_mut(),
                mac.as_mut_ptr(),
            )
        })?;
        Ok(mac)
    }

    /// Returns the network interface that the GID comes from, if it has one (RoCE).
    ///
    /// The interface may be renamed or go away at any time: this is for people to read.
    ///
    /// Does not sleep.
    pub fn netdev(&self) -> Option<NetdevName> {
        let _rcu = rcu::read_lock();

        // SAFETY: By the type invariant, this is a valid entry of a registered device. We are in an
        // RCU read-side critical section.
        let netdev = unsafe { bindings::rdma_read_gid_attr_ndev_rcu(self.ptr.as_ptr()) };
        let netdev = from_err_ptr(netdev).ok()?;
        if netdev.is_null() {
            return None;
        }

        // SAFETY: `netdev` is not freed before the end of the RCU read-side critical section.
        let (name, ifindex) = unsafe {
            (
                bindings::netdev_name(netdev),
                bindings::netdev_ifindex(netdev),
            )
        };
        Some(NetdevName {
            // SAFETY: `netdev_name` returns the address of an array inside the interface, or of a
            // constant string. A concurrent rename changes bytes of the array, never its size.
            name: unsafe { Name::copy_from(name) },
            ifindex: u32::try_from(ifindex).unwrap_or(0),
        })
    }
}

impl Drop for GidEntry<'_> {
    #[inline]
    fn drop(&mut self) {
        // SAFETY: By the type invariant, we own a reference.
        unsafe { bindings::rdma_put_gid_attr(self.ptr.as_ptr()) };
    }
}

/// The name and index of a network interface, at one moment.
#[derive(Clone, Copy)]
pub struct NetdevName {
    name: Name<{ bindings::IFNAMSIZ as usize }>,
    ifindex: u32,
}

impl NetdevName {
    /// Returns the interface's name.
    pub fn name(&self) -> &[u8] {
        self.name.as_bytes()
    }

    /// Returns the interface's index in its network namespace.
    pub fn ifindex(&self) -> u32 {
        self.ifindex
    }
}

impl fmt::Display for NetdevName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.name, f)
    }
}

#[kunit_tests(krdma_gid)]
mod tests {
    use super::*;

    const LINK_LOCAL: [u8; 16] = [
        0xfe, 0x80, 0, 0, 0, 0, 0, 0, 0x50, 0x54, 0, 0xff, 0xfe, 0x12, 0x34, 0x56,
    ];

    #[test]
    fn halves_are_big_endian() {
        let gid = Gid::from_bytes(LINK_LOCAL);

        assert_eq!(gid.subnet_prefix(), 0xfe80_0000_0000_0000);
        assert_eq!(gid.interface_id(), Guid::new(0x5054_00ff_fe12_3456));
        assert_eq!(
            Gid::from_parts(gid.subnet_prefix(), gid.interface_id()),
            gid
        );
    }

    #[test]
    fn the_c_union_holds_the_same_bytes() {
        let raw = bindings::ib_gid { raw: LINK_LOCAL };
        let gid = Gid::from_raw(&raw);

        assert_eq!(gid.as_bytes(), &LINK_LOCAL);
        // SAFETY: All members of the union are plain integers and span it.
        let global = unsafe { raw.global };
        assert_eq!(u64::from_be(global.subnet_prefix), gid.subnet_prefix());
        assert_eq!(Guid::from_be(global.interface_id), gid.interface_id());
    }

    #[test]
    fn ipv4_is_mapped() {
        let gid = Gid::from(Ipv4Addr::new(10, 1, 2, 3));

        assert_eq!(gid.to_ipv4(), Some(Ipv4Addr::new(10, 1, 2, 3)));
        assert_eq!(Gid::from(gid.to_ipv6()), gid);
        assert_eq!(Gid::from_bytes(LINK_LOCAL).to_ipv4(), None);
        assert!(Gid::default().is_zero());
    }

    #[test]
    fn types_are_those_of_c() {
        assert_eq!(
            [0, 1, 2].map(GidType::from_raw),
            [GidType::Ib, GidType::RoceV1, GidType::RoceV2]
        );
        assert_eq!(GidType::from_raw(17), GidType::Unknown(17));
    }
}
