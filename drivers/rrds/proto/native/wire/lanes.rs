// SPDX-License-Identifier: GPL-2.0

//! Addresses of lanes.

use super::{frame_header, FrameType, LaneKind, PacketError, Reader, Writer, FRAME_HEADER_LEN};
use crate::wire::Addr;
use zerocopy::FromBytes as _;

/// Length of a [`LaneAddress`] in bytes.
pub const LANE_ADDRESS_LEN: usize = 32;

/// Most addresses that a list has; those that follow in a longer one are ignored.
pub const MAX_ADDRESSES: usize = 8;

/// Length of a frame with the longest list.
pub const LANES_MAX_LEN: usize = FRAME_HEADER_LEN + 4 + MAX_ADDRESSES * LANE_ADDRESS_LEN;

/// Where a host can be reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LaneAddress {
    /// Kind of the lane; one of a kind that is not known is not to be used.
    pub kind: Option<LaneKind>,
    /// Number by which the host knows the address.
    pub index: u8,
    /// Number of the queue pair, of a datagram lane.
    pub qpn: u32,
    /// Its key, of a datagram lane.
    pub qkey: u32,
    /// Longest packet that can be received.
    pub max_packet: u32,
    /// The address.
    pub gid: Addr,
}

impl LaneAddress {
    /// None that can be used.
    pub const NONE: Self = Self {
        kind: None,
        index: 0,
        qpn: 0,
        qkey: 0,
        max_packet: 0,
        gid: Addr([0; 16]),
    };

    fn parse(bytes: &[u8; LANE_ADDRESS_LEN]) -> Result<Self, PacketError> {
        let mut r = Reader::new(bytes);
        let kind = LaneKind::from_number(r.u8()?);
        let index = r.u8()?;
        let _reserved = r.u16()?;
        Ok(Self {
            kind,
            index,
            qpn: r.u32()? & 0x00ff_ffff,
            qkey: r.u32()?,
            max_packet: r.u32()?,
            gid: Addr(r.take()?),
        })
    }

    fn emit(&self, to: &mut Writer<'_>) {
        let kind = self.kind.map_or(0, LaneKind::number);
        to.put(&[kind, self.index, 0, 0]);
        to.put(&(self.qpn & 0x00ff_ffff).to_be_bytes());
        to.put(&self.qkey.to_be_bytes());
        to.put(&self.max_packet.to_be_bytes());
        to.put(&self.gid.0);
    }
}

/// A list of addresses, which replaces the last one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LaneAddresses<'a> {
    /// Tells newer lists from older ones.
    pub serial: u32,
    entries: &'a [[u8; LANE_ADDRESS_LEN]],
}

impl<'a> LaneAddresses<'a> {
    pub(super) fn parse(body: &'a [u8]) -> Result<Self, PacketError> {
        let Some((serial, entries)) = body.split_first_chunk::<4>() else {
            return Err(PacketError::Truncated);
        };
        match <[[u8; LANE_ADDRESS_LEN]]>::ref_from_bytes(entries) {
            Ok(entries) => Ok(Self {
                serial: u32::from_be_bytes(*serial),
                entries: entries.get(..MAX_ADDRESSES).unwrap_or(entries),
            }),
            Err(_) => Err(PacketError::Truncated),
        }
    }

    /// The addresses, at most [`MAX_ADDRESSES`].
    pub fn entries(&self) -> impl Iterator<Item = LaneAddress> + 'a {
        let entries = self.entries.iter();
        entries.filter_map(|a| LaneAddress::parse(a).ok())
    }

    /// Appends a frame of `addresses`; returns `false` and appends nothing if it does not fit.
    pub fn emit(serial: u32, addresses: &[LaneAddress], to: &mut Writer<'_>) -> bool {
        let entries = addresses.len().saturating_mul(LANE_ADDRESS_LEN);
        let body = entries.saturating_add(4);
        let fits = to.left() >= body.saturating_add(FRAME_HEADER_LEN);
        let (Ok(len), true) = (u16::try_from(body), fits) else {
            return false;
        };
        to.put(&frame_header(FrameType::Lanes, 0, len));
        to.put(&serial.to_be_bytes());
        addresses.iter().for_each(|address| address.emit(to));
        true
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Frame, Frames};
    use super::*;
    use std::vec::Vec;

    #[test]
    fn addresses_round_trip() {
        let address = LaneAddress {
            kind: Some(LaneKind::Datagram),
            index: 3,
            qpn: 0x00ab_cdef,
            qkey: 0x1122_3344,
            max_packet: 4096,
            gid: Addr::v4([10, 0, 0, 1]),
        };
        let other = LaneAddress {
            kind: None,
            ..address
        };
        let mut room = [0; 8 + 64];
        let mut w = Writer::new(&mut room);
        assert!(LaneAddresses::emit(5, &[address, other], &mut w));
        assert!(!LaneAddresses::emit(5, &[], &mut w), "it is full");
        let bytes = w.written();
        let mut expected = Vec::from([6, 0, 0, 68, 0, 0, 0, 5, 2, 3, 0, 0, 0, 0xab, 0xcd, 0xef]);
        expected.extend([0x11, 0x22, 0x33, 0x44, 0, 0, 0x10, 0]);
        expected.extend(address.gid.0);
        assert_eq!(bytes[..40], expected);
        let Some(Ok(Frame::Lanes(list))) = Frames::new(bytes).next() else {
            panic!("a list");
        };
        assert_eq!(list.serial, 5);
        assert_eq!(list.entries().collect::<Vec<_>>(), [address, other]);
        for short in [&[6, 0, 0, 1, 2][..], &[6, 0, 0, 5, 0, 0, 0, 1, 2]] {
            assert_eq!(Frames::new(short).next(), Some(Err(PacketError::Truncated)));
        }
    }

    #[test]
    fn a_list_that_is_too_long_is_cut() {
        let mut body = Vec::from([0, 0, 0, 1]);
        body.resize(4 + (MAX_ADDRESSES + 1) * LANE_ADDRESS_LEN, 1);
        let list = LaneAddresses::parse(&body).unwrap();
        assert_eq!(list.entries().count(), MAX_ADDRESSES);
    }
}
