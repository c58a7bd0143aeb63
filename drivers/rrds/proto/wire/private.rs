// SPDX-License-Identifier: GPL-2.0

//! Private data of connection requests and replies, and the datum of a rejection.
//!
//! spec-private-data, spec-versions and spec-reject; C: `struct rds_ib_connect_private`, `struct
//! rds6_ib_connect_private` in `net/rds/ib.h` and `rds_ib_protocol_compatible()` in `net/rds/ib_cm.c`.
//!
//! # What our own peers add
//!
//! C looks at the two lowest bits of the minor mask only, and never at the four bytes of tail padding.
//! That is the one extension space that requests and replies of both families have, so this is used:
//!
//! - mask bit 15: sent by our own kind, tail padding valid;
//! - mask bits 2 to 14: capabilities, see [`Capabilities`];
//! - tail padding: the sender's incarnation, big-endian, never 0.

use super::{Addr, Family, WireError};
use core::num::NonZeroU32;

/// A protocol version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version {
    /// Major number.
    pub major: u8,
    /// Minor number.
    pub minor: u8,
}

impl Version {
    /// 3.1, what is proposed and the oldest spoken.
    pub const V3_1: Self = Self { major: 3, minor: 1 };
    /// 4.0.
    pub const V4_0: Self = Self { major: 4, minor: 0 };
    /// 4.1, presumed until the peer says otherwise.
    pub const V4_1: Self = Self { major: 4, minor: 1 };
}

/// Minor versions that C and this implementation know, as bits of the minor mask.
pub const MINOR_MASK: u16 = 0x0003;

/// Mask bit that marks private data of our own kind.
const OWN_KIND: u16 = 0x8000;

/// Shift and mask of the capabilities in the minor mask.
const CAPABILITY_SHIFT: u32 = 2;
const CAPABILITY_MASK: u16 = 0x1fff;

/// What a peer of our own kind can do beyond C.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Capabilities(u16);

impl Capabilities {
    /// None.
    pub const NONE: Self = Self(0);
    /// Acknowledgements go on where the last connection to the same incarnation ended.
    pub const TRUE_ACK: Self = Self(1);
    /// The native protocol, see [`native`](crate::native). Not offered yet.
    pub const NATIVE: Self = Self(2);
    /// All that this implementation has.
    pub const ALL: Self = Self::TRUE_ACK;

    /// Takes 13 bits as they are on the wire; higher ones are cut off.
    pub const fn from_bits(bits: u16) -> Self {
        Self(bits & CAPABILITY_MASK)
    }

    /// The bits as they are on the wire.
    pub const fn bits(self) -> u16 {
        self.0
    }

    /// Whether all of `other` are among these.
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Those that both sides have.
    #[must_use]
    pub const fn common(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }
}

/// What a peer of our own kind says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OwnKind {
    /// Number that differs between any two lives of a host.
    pub incarnation: NonZeroU32,
    /// What it can do.
    pub capabilities: Capabilities,
}

/// Private data of a request or a reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PrivateData {
    /// Address of the sender of this data.
    pub saddr: Addr,
    /// Address of its receiver.
    pub daddr: Addr,
    /// Version proposed or chosen.
    pub version: Version,
    /// The lowest two bits of the minor mask: minor versions of major 4 that the sender speaks.
    pub minors: u16,
    /// Type of service of the connection.
    pub tos: u8,
    /// Last message received from the peer, or 0.
    pub ack_seq: u64,
    /// Receive buffers posted; 0 if the sender does no flow control.
    pub credit: u32,
    /// Present if the sender is of our own kind.
    pub own: Option<OwnKind>,
}

/// Bytes of private data as emitted: 32 or 56 of the array count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PrivateBytes {
    bytes: [u8; 56],
    len: usize,
}

impl PrivateBytes {
    /// The first `len` of `bytes`.
    pub(crate) const fn new(bytes: [u8; 56], len: usize) -> Self {
        Self { bytes, len }
    }

    /// The bytes to hand to the connection manager.
    pub fn as_slice(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or(&[])
    }
}

/// Reads fields one after another; missing bytes were excluded by the length check.
struct Cursor<'a>(&'a [u8]);

impl Cursor<'_> {
    fn take<const N: usize>(&mut self) -> [u8; N] {
        match self.0.split_first_chunk::<N>() {
            Some((field, rest)) => {
                self.0 = rest;
                *field
            }
            None => [0; N],
        }
    }
}

/// Length of the private data of `family` (spec-private-data).
pub const fn private_len(family: Family) -> usize {
    match family {
        Family::V4 => 32,
        Family::V6 => 56,
    }
}

impl PrivateData {
    /// Reads the private data of a request or reply that came in on a connection of `family`.
    ///
    /// Bytes beyond the known length are ignored. A major version of 0, which is what zero padding
    /// looks like, is left as it is: see [`PrivateData::negotiate`] and [`PrivateData::is_present`].
    ///
    /// # Errors
    ///
    /// [`WireError::Truncated`] if there are too few bytes to say who the peer is.
    pub fn parse(bytes: &[u8], family: Family) -> Result<Self, WireError> {
        if bytes.len() < private_len(family) {
            return Err(WireError::Truncated);
        }
        let mut c = Cursor(bytes);
        let (saddr, daddr) = match family {
            Family::V4 => (Addr::v4(c.take()), Addr::v4(c.take())),
            Family::V6 => (Addr(c.take()), Addr(c.take())),
        };
        let [major, minor] = c.take();
        let mask = u16::from_be_bytes(c.take());
        let [tos, _reserved1] = c.take();
        let _reserved2: [u8; 2] = c.take();
        let ack_seq = u64::from_be_bytes(c.take());
        let credit = u32::from_be_bytes(c.take());
        let incarnation = NonZeroU32::new(u32::from_be_bytes(c.take()));
        let own = match incarnation {
            Some(incarnation) if mask & OWN_KIND != 0 => Some(OwnKind {
                incarnation,
                capabilities: Capabilities::from_bits(mask >> CAPABILITY_SHIFT),
            }),
            _ => None,
        };
        Ok(Self {
            saddr,
            daddr,
            version: Version { major, minor },
            minors: mask & MINOR_MASK,
            tos,
            ack_seq,
            credit,
            own,
        })
    }

    /// The bytes of this private data, for the family of `saddr`.
    pub fn emit(&self) -> PrivateBytes {
        let family = self.saddr.family();
        let mut out = [0; 56];
        let mut at = 0_usize;
        let mut put = |field: &[u8]| {
            for (to, from) in out.iter_mut().skip(at).zip(field) {
                *to = *from;
            }
            at = at.saturating_add(field.len());
        };
        for addr in [self.saddr, self.daddr] {
            match (family, addr.0) {
                (Family::V4, [.., a, b, c, d]) => put(&[a, b, c, d]),
                (Family::V6, all) => put(&all),
            }
        }
        put(&[self.version.major, self.version.minor]);
        let mut mask = self.minors & MINOR_MASK;
        if let Some(own) = self.own {
            mask |= OWN_KIND | (own.capabilities.bits() << CAPABILITY_SHIFT);
        }
        put(&mask.to_be_bytes());
        put(&[self.tos, 0, 0, 0]);
        put(&self.ack_seq.to_be_bytes());
        put(&self.credit.to_be_bytes());
        put(&self
            .own
            .map_or(0, |own| own.incarnation.get())
            .to_be_bytes());
        PrivateBytes {
            bytes: out,
            len: private_len(family),
        }
    }

    /// Whether the data is more than the zero padding of the connection manager.
    pub fn is_present(&self) -> bool {
        self.version.major != 0
    }

    /// The version that the passive side chooses for this request, by spec-versions.
    ///
    /// `None` means that no version is common and the request is to be rejected.
    pub fn negotiate(&self) -> Option<Version> {
        match self.version {
            // Quirk of C: a request without version is taken for 4.0.
            Version { major: 0, .. } => Some(Version::V4_0),
            Version { major: 4, .. } if self.minors & 2 != 0 => Some(Version::V4_1),
            Version { major: 4, .. } if self.minors & 1 != 0 => Some(Version::V4_0),
            Version::V3_1 => Some(Version::V3_1),
            _ => None,
        }
    }

    /// Whether the addresses are those that the connection manager saw.
    ///
    /// C trusts the private data alone; a request that claims other addresses than it came with would
    /// let any host take over the connection of another.
    pub fn matches(&self, cm_source: Addr, cm_destination: Addr) -> bool {
        self.saddr == cm_source && self.daddr == cm_destination
    }

    /// Whether a request is of the host that it claims to be of: its addresses are those that the
    /// connection manager saw, see [`matches`](Self::matches), another host can have the source, and
    /// the answer goes there. `identifier` is that of the port which is answered, if it is an address.
    ///
    /// The private data and the header of the connection manager, in which the addresses stand as well,
    /// are the sender's. In an Ethernet the identifiers of ports are their addresses, and the answer, as
    /// all that follows, is sent to the one that the request tells. So whoever claims another's address
    /// makes no connection: either this differs, or the other one is answered. On InfiniBand they are
    /// not addresses: who may have which is for the subnet manager, and for the partition, to say.
    pub fn is_of(
        &self,
        cm_source: Addr,
        cm_destination: Addr,
        identifier: Option<[u8; 16]>,
    ) -> bool {
        self.matches(cm_source, cm_destination)
            && !cm_source.is_loopback()
            && cm_source.is_reached_at(identifier)
    }
}

/// The datum of a rejection: a native-endian number (spec-reject).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RejectDatum(i32);

impl RejectDatum {
    /// Code 1: versions do not match, or the connection is not down here; the peer will retry.
    pub const RETRY: Self = Self(1);

    /// A negative errno, or [`RejectDatum::RETRY`] for anything above.
    ///
    /// A datum above 1 leaves a C peer waiting for ever, so none can be made.
    pub const fn from_errno(errno: i32) -> Self {
        if errno > 1 {
            Self::RETRY
        } else {
            Self(errno)
        }
    }

    /// Reads the datum of a rejection that carries one.
    pub fn parse(bytes: &[u8]) -> Option<i32> {
        bytes.first_chunk().map(|b| i32::from_ne_bytes(*b))
    }

    /// The bytes to reject with.
    pub const fn emit(self) -> [u8; 4] {
        self.0.to_ne_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec::Vec;

    const V4: PrivateData = PrivateData {
        saddr: Addr::v4([192, 168, 1, 2]),
        daddr: Addr::v4([192, 168, 1, 3]),
        version: Version::V3_1,
        minors: MINOR_MASK,
        tos: 5,
        ack_seq: 0x0102_0304_0506_0708,
        credit: 9,
        own: None,
    };

    const V6: PrivateData = PrivateData {
        saddr: Addr([0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]),
        daddr: Addr([0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2]),
        ..V4
    };

    fn own(capabilities: u16) -> Option<OwnKind> {
        Some(OwnKind {
            incarnation: NonZeroU32::new(0xa1b2_c3d4).unwrap(),
            capabilities: Capabilities::from_bits(capabilities),
        })
    }

    #[test]
    fn v4_layout_is_that_of_c() {
        let mut expected = Vec::from([192, 168, 1, 2, 192, 168, 1, 3, 3, 1, 0, 3, 5, 0, 0, 0]);
        expected.extend([1, 2, 3, 4, 5, 6, 7, 8, 0, 0, 0, 9, 0, 0, 0, 0]);
        assert_eq!(V4.emit().as_slice(), expected);
    }

    #[test]
    fn v6_layout_is_that_of_c() {
        let mut expected = Vec::from(V6.saddr.0);
        expected.extend(V6.daddr.0);
        expected.extend([3, 1, 0, 3, 5, 0, 0, 0]);
        expected.extend([1, 2, 3, 4, 5, 6, 7, 8, 0, 0, 0, 9, 0, 0, 0, 0]);
        assert_eq!(V6.emit().as_slice(), expected);
    }

    #[test]
    fn our_own_kind_hides_where_c_does_not_look() {
        for plain in [V4, V6] {
            let marked = PrivateData {
                own: own(1),
                ..plain
            };
            let (plain, marked) = (plain.emit(), marked.emit());
            let n = plain.len;
            assert_eq!(n, marked.len);
            assert_eq!(marked.bytes[n - 4..n], [0xa1, 0xb2, 0xc3, 0xd4]);
            let mask = n - 22;
            assert_eq!(marked.bytes[mask..mask + 2], [0x80, 0x07]);
            let differ = (0..n).filter(|i| plain.bytes[*i] != marked.bytes[*i]);
            assert!(differ
                .into_iter()
                .all(|i| i == mask || i == mask + 1 || i >= n - 4));
        }
    }

    #[test]
    fn round_trips_with_padding() {
        for data in [
            V4,
            V6,
            PrivateData {
                own: own(0x1fff),
                ..V4
            },
            PrivateData { own: own(0), ..V6 },
        ] {
            let mut padded = Vec::from(data.emit().as_slice());
            let family = data.saddr.family();
            assert_eq!(PrivateData::parse(&padded, family), Ok(data));
            padded.resize(196, 0);
            assert_eq!(PrivateData::parse(&padded, family), Ok(data));
            for short in 0..private_len(family) {
                let parsed = PrivateData::parse(&padded[..short], family);
                assert_eq!(parsed, Err(WireError::Truncated));
            }
        }
    }

    #[test]
    fn an_incarnation_needs_the_mark_and_the_mark_an_incarnation() {
        let mut bytes = PrivateData { own: own(1), ..V4 }.emit().bytes;
        bytes[10] = 0;
        assert_eq!(PrivateData::parse(&bytes, Family::V4).unwrap().own, None);
        let mut bytes = PrivateData { own: own(1), ..V4 }.emit().bytes;
        bytes[28..32].fill(0);
        assert_eq!(PrivateData::parse(&bytes, Family::V4).unwrap().own, None);
    }

    #[test]
    fn versions_are_negotiated_as_c_does() {
        for (major, minor, minors, chosen) in [
            (0, 0, 0, Some(Version::V4_0)),
            (0, 7, 3, Some(Version::V4_0)),
            (3, 1, 0, Some(Version::V3_1)),
            (3, 1, 3, Some(Version::V3_1)),
            (3, 0, 3, None),
            (3, 2, 3, None),
            (2, 1, 3, None),
            (4, 0, 1, Some(Version::V4_0)),
            (4, 0, 2, Some(Version::V4_1)),
            (4, 9, 3, Some(Version::V4_1)),
            (4, 1, 0, None),
            (5, 1, 3, None),
        ] {
            let version = Version { major, minor };
            let data = PrivateData {
                version,
                minors,
                ..V4
            };
            assert_eq!(data.negotiate(), chosen, "{version:?} {minors}");
            assert_eq!(data.is_present(), major != 0);
        }
    }

    #[test]
    fn addresses_must_be_those_of_the_request() {
        assert!(V4.matches(V4.saddr, V4.daddr));
        assert!(!V4.matches(V4.daddr, V4.daddr));
        assert!(!V4.matches(V4.saddr, V4.saddr));
    }

    #[test]
    fn a_request_is_of_whom_its_answer_reaches() {
        for data in [V4, V6] {
            let (from, to) = (data.saddr, data.daddr);

            assert!(data.is_of(from, to, Some(from.0)));
            // Where identifiers are no addresses.
            assert!(data.is_of(from, to, None));
            // It poses as another host, whose address it has put wherever addresses stand.
            assert!(!data.is_of(from, to, Some(to.0)));
            // Or in one of the places only.
            assert!(!data.is_of(to, to, Some(to.0)));
            assert!(!data.is_of(from, from, Some(from.0)));
        }
        for own in [Addr::v4([127, 0, 0, 1]), Addr(1_u128.to_be_bytes())] {
            let data = PrivateData { saddr: own, ..V4 };

            assert!(data.matches(own, V4.daddr));
            assert!(!data.is_of(own, V4.daddr, Some(own.0)));
            assert!(!data.is_of(own, V4.daddr, None));
        }
    }

    #[test]
    fn a_reject_datum_never_hangs_a_c_peer() {
        assert_eq!(RejectDatum::RETRY.emit(), 1_i32.to_ne_bytes());
        assert_eq!(RejectDatum::from_errno(-12).emit(), (-12_i32).to_ne_bytes());
        assert_eq!(RejectDatum::from_errno(2), RejectDatum::RETRY);
        assert_eq!(RejectDatum::parse(&(-5_i32).to_ne_bytes()), Some(-5));
        assert_eq!(RejectDatum::parse(&[1, 0, 0]), None);
    }

    #[test]
    fn capabilities_intersect() {
        let all = Capabilities::from_bits(0xffff);
        assert_eq!(all.bits(), 0x1fff);
        assert_eq!(all.common(Capabilities::ALL), Capabilities::TRUE_ACK);
        assert!(!Capabilities::NONE.contains(Capabilities::TRUE_ACK));
    }
}
