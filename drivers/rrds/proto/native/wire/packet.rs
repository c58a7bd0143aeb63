// SPDX-License-Identifier: GPL-2.0

//! The header at the start of every packet.

use super::PacketError;
use zerocopy::byteorder::big_endian::{U16, U32, U64};
use zerocopy::FromBytes as _;
use zerocopy_derive::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// Length of a [`PacketHeader`] in bytes.
pub const PACKET_HEADER_LEN: usize = 16;

/// Version of the format: the high half of the fifth byte.
pub const VERSION: u8 = 1;

/// What follows the header of a packet: the low half of the fifth byte.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PacketType {
    /// Frames.
    #[default]
    Frames,
}

/// The flags of a packet. Bits without a name are kept as they came, and mean nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PacketFlags(u16);

impl PacketFlags {
    /// No flag.
    pub const NONE: Self = Self(0);
    /// The receiver is to acknowledge at once.
    pub const ACK_NOW: Self = Self(0x0001);

    /// Takes the bits as they are on the wire.
    pub const fn from_bits(bits: u16) -> Self {
        Self(bits)
    }

    /// The bits as they are on the wire.
    pub const fn bits(self) -> u16 {
        self.0
    }

    /// Whether all flags of `other` are set.
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }
}

/// The header of a packet, in host byte order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PacketHeader {
    /// Session of the receiver, by the number that it gave; 0 before it has given one.
    pub session: u32,
    /// What follows.
    pub kind: PacketType,
    /// Lane that the packet travels on.
    pub lane: u8,
    /// What the receiver is to do.
    pub flags: PacketFlags,
    /// Number of the packet on its lane; never used again.
    pub number: u64,
}

/// The header as it is on the wire.
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct Raw {
    session: U32,
    kind: u8,
    lane: u8,
    flags: U16,
    number: U64,
}

const _: () = assert!(core::mem::size_of::<Raw>() == PACKET_HEADER_LEN);

impl PacketHeader {
    /// Reads the header at the start of `packet`, and returns it with what follows.
    ///
    /// # Errors
    ///
    /// [`PacketError::Truncated`] if there are fewer than 16 bytes, [`PacketError::Version`] if the version
    /// or the type is unknown.
    pub fn parse(packet: &[u8]) -> Result<(Self, &[u8]), PacketError> {
        let Ok((raw, frames)) = Raw::ref_from_prefix(packet) else {
            return Err(PacketError::Truncated);
        };
        if raw.kind != VERSION << 4 {
            return Err(PacketError::Version);
        }
        let header = Self {
            session: raw.session.get(),
            kind: PacketType::Frames,
            lane: raw.lane,
            flags: PacketFlags(raw.flags.get()),
            number: raw.number.get(),
        };
        Ok((header, frames))
    }

    /// The bytes of the header.
    pub fn emit(&self) -> [u8; PACKET_HEADER_LEN] {
        let PacketType::Frames = self.kind;
        let raw = Raw {
            session: U32::new(self.session),
            kind: VERSION << 4,
            lane: self.lane,
            flags: U16::new(self.flags.0),
            number: U64::new(self.number),
        };
        zerocopy::transmute!(raw)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADER: PacketHeader = PacketHeader {
        session: 0x1122_3344,
        kind: PacketType::Frames,
        lane: 2,
        flags: PacketFlags::ACK_NOW,
        number: 0x0102_0304_0506_0708,
    };

    const BYTES: [u8; 16] = [
        0x11, 0x22, 0x33, 0x44, 0x10, 2, 0, 1, 1, 2, 3, 4, 5, 6, 7, 8,
    ];

    #[test]
    fn the_layout_is_that_of_the_specification() {
        assert_eq!(HEADER.emit(), BYTES);
        let packet: std::vec::Vec<u8> = BYTES.iter().copied().chain([9, 9]).collect();
        assert_eq!(PacketHeader::parse(&packet), Ok((HEADER, &[9, 9][..])));
    }

    #[test]
    fn short_and_foreign_packets_are_refused() {
        for len in 0..BYTES.len() {
            assert_eq!(
                PacketHeader::parse(&BYTES[..len]),
                Err(PacketError::Truncated)
            );
        }
        for kind in (0..=u8::MAX).filter(|kind| *kind != 0x10) {
            let mut bytes = BYTES;
            bytes[4] = kind;
            assert_eq!(PacketHeader::parse(&bytes), Err(PacketError::Version));
        }
    }

    #[test]
    fn unknown_flags_are_kept() {
        let flags = PacketFlags::from_bits(0xfffe);
        assert!(!flags.contains(PacketFlags::ACK_NOW));
        let bytes = PacketHeader { flags, ..HEADER }.emit();
        let (header, _) = PacketHeader::parse(&bytes).unwrap();
        assert_eq!(header.flags.bits(), 0xfffe);
    }
}
