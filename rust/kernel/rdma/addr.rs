// SPDX-License-Identifier: GPL-2.0

//! Names of things in an RDMA fabric, as plain values.
//!
//! Source: InfiniBand Architecture Specification, volume 1, chapter 4 (addressing).

use kernel::{
    fmt,
    prelude::*, //
};

/// A 64-bit global identifier (EUI-64) of a node, a port or a system image.
///
/// # Examples
///
/// ```
/// use krdma::rdma::Guid;
///
/// let guid = Guid::from_be_bytes([0x50, 0x54, 0x00, 0xff, 0xfe, 0x12, 0x34, 0x56]);
///
/// assert_eq!(guid.as_u64(), 0x5054_00ff_fe12_3456);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Guid(u64);

impl Guid {
    /// Creates a GUID of its value as a number.
    #[inline]
    pub const fn new(value: u64) -> Self {
        Self(value)
    }

    /// Creates a GUID of the bytes as they stand on the wire.
    #[inline]
    pub const fn from_be_bytes(bytes: [u8; 8]) -> Self {
        Self(u64::from_be_bytes(bytes))
    }

    /// Creates a GUID of a `__be64` as C structs hold it.
    #[inline]
    pub(crate) const fn from_be(value: u64) -> Self {
        Self(u64::from_be(value))
    }

    /// Returns the GUID as a number.
    #[inline]
    pub const fn as_u64(self) -> u64 {
        self.0
    }

    /// Returns the bytes as they stand on the wire.
    #[inline]
    pub const fn to_be_bytes(self) -> [u8; 8] {
        self.0.to_be_bytes()
    }

    /// Returns whether this is the reserved value zero, which names nothing.
    #[inline]
    pub const fn is_zero(self) -> bool {
        self.0 == 0
    }
}

/// Four groups of four hexadecimal digits, as the RDMA tools print them.
impl fmt::Display for Guid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:04x}:{:04x}:{:04x}:{:04x}",
            (self.0 >> 48) & 0xffff,
            (self.0 >> 32) & 0xffff,
            (self.0 >> 16) & 0xffff,
            self.0 & 0xffff
        )
    }
}

/// A local identifier: the address of a port in its InfiniBand subnet.
///
/// InfiniBand has 16 bits of it; the kernel keeps 32, for fabrics with extended ones. Ports of RoCE
/// and iWARP devices have none and report [`Lid::RESERVED`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Lid(u32);

impl Lid {
    /// The value that names no port.
    pub const RESERVED: Self = Self(0);
    /// The address that every port accepts, whatever LID it has.
    pub const PERMISSIVE: Self = Self(0xffff);
    /// The first multicast LID.
    const MULTICAST_BASE: u32 = 0xc000;

    /// Creates a LID of its number.
    #[inline]
    pub const fn new(value: u32) -> Self {
        Self(value)
    }

    /// Returns the LID as a number.
    #[inline]
    pub const fn as_u32(self) -> u32 {
        self.0
    }

    /// Returns whether the LID names one port.
    #[inline]
    pub const fn is_unicast(self) -> bool {
        self.0 != 0 && self.0 < Self::MULTICAST_BASE
    }

    /// Returns whether the LID names a multicast group.
    #[inline]
    pub const fn is_multicast(self) -> bool {
        self.0 >= Self::MULTICAST_BASE && self.0 < Self::PERMISSIVE.0
    }
}

/// A decimal number, as the RDMA tools print it.
impl fmt::Display for Lid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

/// A partition key: 15 bits that name a partition, and one that tells full from limited members.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct PKey(u16);

impl PKey {
    /// The bit of full members.
    const FULL_MEMBER: u16 = 0x8000;

    /// Full membership of the default partition.
    pub const DEFAULT: Self = Self(0xffff);

    /// Creates a P_Key of its number.
    #[inline]
    pub const fn new(value: u16) -> Self {
        Self(value)
    }

    /// Returns the P_Key as a number.
    #[inline]
    pub const fn as_u16(self) -> u16 {
        self.0
    }

    /// Returns whether the table entry is in use. Zero in the partition's bits marks a free one.
    #[inline]
    pub const fn is_valid(self) -> bool {
        self.0 & !Self::FULL_MEMBER != 0
    }

    /// Returns whether this is full membership. Limited members may talk to full ones only.
    #[inline]
    pub const fn is_full_member(self) -> bool {
        self.0 & Self::FULL_MEMBER != 0
    }

    /// Returns whether ports with these two keys may talk to each other.
    #[inline]
    pub const fn admits(self, other: Self) -> bool {
        (self.0 ^ other.0) & !Self::FULL_MEMBER == 0
            && (self.is_full_member() || other.is_full_member())
    }
}

/// Hexadecimal, as the RDMA tools print it.
impl fmt::Display for PKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "0x{:04x}", self.0)
    }
}

#[kunit_tests(krdma_addr)]
mod tests {
    use super::*;

    #[test]
    fn guid_is_big_endian_on_the_wire() {
        let guid = Guid::new(0x0102_0304_0506_0708);

        assert_eq!(guid.to_be_bytes(), [1, 2, 3, 4, 5, 6, 7, 8]);
        assert_eq!(Guid::from_be_bytes(guid.to_be_bytes()), guid);
        assert_eq!(Guid::from_be(guid.as_u64().to_be()), guid);
    }

    #[test]
    fn lid_ranges() {
        assert!(!Lid::RESERVED.is_unicast());
        assert!(Lid::new(1).is_unicast());
        assert!(Lid::new(0xbfff).is_unicast());
        assert!(Lid::new(0xc000).is_multicast());
        assert!(Lid::new(0xfffe).is_multicast());
        assert!(!Lid::PERMISSIVE.is_multicast());
    }

    #[test]
    fn limited_members_talk_to_full_ones_only() {
        let (full, limited) = (PKey::new(0x8123), PKey::new(0x0123));

        assert!(full.admits(full));
        assert!(full.admits(limited));
        assert!(limited.admits(full));
        assert!(!limited.admits(limited));
        assert!(!full.admits(PKey::DEFAULT));
        assert!(!PKey::new(0x8000).is_valid());
    }
}
