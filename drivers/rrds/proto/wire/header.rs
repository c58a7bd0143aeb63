// SPDX-License-Identifier: GPL-2.0

//! The 48-byte header at the start of every SEND.
//!
//! spec-header and spec-flags; C: `struct rds_header` in `net/rds/rds.h`.

use super::WireError;
use crate::consts::{EXT_LEN, HEADER_LEN};
use core::fmt;
use zerocopy::byteorder::big_endian::{U16, U32, U64};
use zerocopy::FromBytes as _;
use zerocopy_derive::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// The flags byte of a header (spec-flags).
///
/// Bits without a name are kept as they came: C ignores them.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Flags(u8);

impl Flags {
    /// No flag.
    pub const NONE: Self = Self(0);
    /// The frame is part of a congestion bitmap. C knows one only by the whole byte being this.
    pub const CONG_BITMAP: Self = Self(0x01);
    /// The receiver is to acknowledge as soon as the message is complete.
    pub const ACK_REQUIRED: Self = Self(0x02);
    /// The message was transmitted on an earlier connection.
    pub const RETRANSMITTED: Self = Self(0x04);
    /// The RDMA_BYTES extension is present.
    pub const EXTENSION: Self = Self(0x20);

    /// Takes the byte as it is on the wire.
    pub const fn from_bits(bits: u8) -> Self {
        Self(bits)
    }

    /// The byte as it is on the wire.
    pub const fn bits(self) -> u8 {
        self.0
    }

    /// Whether all flags of `other` are set.
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// These flags and those of `other`.
    #[must_use]
    pub const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl fmt::Debug for Flags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Flags({:#04x})", self.0)
    }
}

/// A header, in host byte order.
///
/// The checksum is not a field: [`Header::parse`] verifies it and [`Header::emit`] computes it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Header {
    /// Message number, the same on all fragments; 0 on ACK-only and bitmap frames.
    pub seq: u64,
    /// Highest message number that the sender of this header has received complete.
    pub ack: u64,
    /// Payload bytes of the whole message.
    pub len: u32,
    /// Port of the sending socket.
    pub sport: u16,
    /// Port of the receiving socket; 0 for a ping.
    pub dport: u16,
    /// What the receiver is to do with the message.
    pub flags: Flags,
    /// Receive buffers newly posted by the sender of this header.
    pub credit: u8,
    /// Extension headers, read by [`Extensions`](super::Extensions).
    pub ext: [u8; EXT_LEN],
}

/// The header as it is on the wire.
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct RawHeader {
    seq: U64,
    ack: U64,
    len: U32,
    sport: U16,
    dport: U16,
    flags: u8,
    credit: u8,
    padding: [u8; 4],
    csum: [u8; 2],
    ext: [u8; EXT_LEN],
}

const _: () = assert!(core::mem::size_of::<RawHeader>() == HEADER_LEN);

impl Header {
    /// Reads the header at the start of `frame`.
    ///
    /// Padding is ignored, as the specification demands; a checksum of 0 means "not checked".
    ///
    /// # Errors
    ///
    /// [`WireError::Truncated`] if there are fewer than 48 bytes, [`WireError::Checksum`] if the
    /// checksum is wrong.
    #[inline]
    pub fn parse(frame: &[u8]) -> Result<Self, WireError> {
        let Ok((raw, _payload)) = RawHeader::ref_from_prefix(frame) else {
            return Err(WireError::Truncated);
        };
        if raw.csum != [0; 2] && fold(raw) != 0xffff {
            return Err(WireError::Checksum);
        }
        Ok(Self {
            seq: raw.seq.get(),
            ack: raw.ack.get(),
            len: raw.len.get(),
            sport: raw.sport.get(),
            dport: raw.dport.get(),
            flags: Flags::from_bits(raw.flags),
            credit: raw.credit,
            ext: raw.ext,
        })
    }

    /// The bytes of the header, checksum included.
    #[inline]
    pub fn emit(&self) -> [u8; HEADER_LEN] {
        let mut raw = RawHeader {
            seq: U64::new(self.seq),
            ack: U64::new(self.ack),
            len: U32::new(self.len),
            sport: U16::new(self.sport),
            dport: U16::new(self.dport),
            flags: self.flags.bits(),
            credit: self.credit,
            padding: [0; 4],
            csum: [0; 2],
            ext: self.ext,
        };
        raw.csum = (!fold(&raw)).to_ne_bytes();
        zerocopy::transmute!(raw)
    }

    /// Whether this is the header of a frame that carries nothing but an acknowledgement and
    /// credits, given the number of bytes that followed it (spec-ping).
    pub fn is_ack_only(&self, data_len: u32) -> bool {
        self.sport == 0 && self.dport == 0 && data_len == 0
    }
}

/// The checksum bytes of `header` as they belong at offset 30 (spec-header).
///
/// The bytes now at offset 30 are taken as zero.
pub fn checksum(header: &[u8; HEADER_LEN]) -> [u8; 2] {
    let mut raw: RawHeader = zerocopy::transmute!(*header);
    raw.csum = [0; 2];
    (!fold(&raw)).to_ne_bytes()
}

/// The ones-complement sum of the native 16-bit words of `raw`.
///
/// The sum is neutral to byte order, so that native words in and native bytes out give the same
/// bytes on every machine. Adding 64-bit words with their carry and folding at the end is the same sum.
#[inline]
fn fold(raw: &RawHeader) -> u16 {
    let words: [[u8; 8]; HEADER_LEN / 8] = zerocopy::transmute!(*raw);
    let mut sum: u64 = 0;
    for word in words {
        let (more, carry) = sum.overflowing_add(u64::from_ne_bytes(word));
        // Wraps never: what has overflowed is not the greatest value.
        sum = more.wrapping_add(u64::from(carry));
    }
    // Each fold keeps the sum modulo 0xffff and shortens it: 64 bits, 33, 18, 17, 16.
    sum = (sum & 0xffff_ffff).wrapping_add(sum >> 32);
    sum = (sum & 0xffff).wrapping_add(sum >> 16);
    sum = (sum & 0xffff).wrapping_add(sum >> 16);
    sum = (sum & 0xffff).wrapping_add(sum >> 16);
    // CAST: the last fold left at most 0xffff.
    sum as u16
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The vectors of spec-header, their zero tails added.
    const VECTORS: [(&str, Header); 5] = [
        (
            "00000000000000000000000000000005000000000000000000000000 0000fffa",
            Header { ack: 5, ..EMPTY },
        ),
        (
            "0000000000000001000000000000000000000000 9c40000002000000 000061be",
            Header {
                seq: 1,
                sport: 40000,
                flags: Flags::ACK_REQUIRED,
                ..EMPTY
            },
        ),
        (
            "0000000000000000000000000000000700002000 0000000001000000 0000def8",
            Header {
                ack: 7,
                len: 8192,
                flags: Flags::CONG_BITMAP,
                ..EMPTY
            },
        ),
        (
            "0000000000000010000000000000000f00001388 0fa10fa200000000 0000cd15",
            Header {
                seq: 16,
                ack: 15,
                len: 5000,
                sport: 4001,
                dport: 4002,
                ..EMPTY
            },
        ),
        (
            "0000000000000011000000000000000f00000040 0fa10fa220000000 0000bb99\
             021234abcd0400010000010000000000",
            Header {
                seq: 17,
                ack: 15,
                len: 64,
                sport: 4001,
                dport: 4002,
                flags: Flags::EXTENSION,
                credit: 0,
                ext: [2, 0x12, 0x34, 0xab, 0xcd, 4, 0, 1, 0, 0, 1, 0, 0, 0, 0, 0],
            },
        ),
    ];

    const EMPTY: Header = Header {
        seq: 0,
        ack: 0,
        len: 0,
        sport: 0,
        dport: 0,
        flags: Flags::NONE,
        credit: 0,
        ext: [0; EXT_LEN],
    };

    fn unhex(text: &str) -> [u8; HEADER_LEN] {
        let mut bytes = [0; HEADER_LEN];
        let digits = text.bytes().filter(|b| *b != b' ');
        for (i, d) in digits.enumerate() {
            let d = (d as char).to_digit(16).unwrap() as u8;
            bytes[i / 2] = (bytes[i / 2] << 4) | d;
        }
        bytes
    }

    #[test]
    fn spec_vectors_emit() {
        for (text, header) in VECTORS {
            assert_eq!(header.emit(), unhex(text), "{header:?}");
        }
    }

    #[test]
    fn spec_vectors_parse() {
        for (text, header) in VECTORS {
            assert_eq!(Header::parse(&unhex(text)), Ok(header));
        }
    }

    #[test]
    fn every_single_bit_error_is_found_or_harmless() {
        for (text, _) in VECTORS {
            let good = unhex(text);
            for bit in 0..HEADER_LEN * 8 {
                let mut bad = good;
                bad[bit / 8] ^= 1 << (bit % 8);
                assert_eq!(Header::parse(&bad), Err(WireError::Checksum), "bit {bit}");
            }
        }
    }

    #[test]
    fn zero_checksum_means_unchecked() {
        let mut bytes = EMPTY.emit();
        bytes[7] = 9;
        bytes[30] = 0;
        bytes[31] = 0;
        assert_eq!(Header::parse(&bytes), Ok(Header { seq: 9, ..EMPTY }));
    }

    #[test]
    fn padding_is_ignored_but_summed() {
        let mut bytes = VECTORS[3].1.emit();
        bytes[26] = 0xde;
        assert_eq!(Header::parse(&bytes), Err(WireError::Checksum));
        let sum = checksum(&bytes);
        bytes[30..32].copy_from_slice(&sum);
        assert_eq!(Header::parse(&bytes), Ok(VECTORS[3].1));
    }

    #[test]
    fn short_frames_are_truncated() {
        let bytes = VECTORS[3].1.emit();
        for len in 0..HEADER_LEN {
            assert_eq!(Header::parse(&bytes[..len]), Err(WireError::Truncated));
        }
    }

    #[test]
    fn payload_after_the_header_is_not_read() {
        let mut frame = [0xa5; HEADER_LEN + 9];
        frame[..HEADER_LEN].copy_from_slice(&VECTORS[4].1.emit());
        assert_eq!(Header::parse(&frame), Ok(VECTORS[4].1));
    }

    #[test]
    fn checksum_carries_are_folded() {
        let all_ones = Header {
            seq: u64::MAX,
            ack: u64::MAX,
            len: u32::MAX,
            sport: u16::MAX,
            dport: u16::MAX,
            flags: Flags::from_bits(0xff),
            credit: 0xff,
            ext: [0xff; EXT_LEN],
        };
        let bytes = all_ones.emit();
        // The sum of 21 words of 0xffff is 0xffff again, so the checksum is 0: "not checked".
        assert_eq!(bytes[30..32], [0, 0]);
        assert_eq!(Header::parse(&bytes), Ok(all_ones));
    }

    #[test]
    fn ack_only_needs_no_ports_and_no_data() {
        assert!(EMPTY.is_ack_only(0));
        assert!(!EMPTY.is_ack_only(1));
        assert!(!Header { sport: 1, ..EMPTY }.is_ack_only(0));
        assert!(!Header { dport: 1, ..EMPTY }.is_ack_only(0));
    }

    #[test]
    fn flags_combine() {
        let both = Flags::ACK_REQUIRED.with(Flags::RETRANSMITTED);
        assert_eq!(both.bits(), 6);
        assert!(both.contains(Flags::RETRANSMITTED));
        assert!(!both.contains(Flags::CONG_BITMAP));
        assert!(both.contains(Flags::NONE));
    }
}
