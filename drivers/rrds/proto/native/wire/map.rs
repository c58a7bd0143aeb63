// SPDX-License-Identifier: GPL-2.0

//! Changes of the congestion map of the sender's address.

use super::{frame_header, FrameType, PacketError, Reader, Writer};
use zerocopy::FromBytes as _;

/// Number of blocks of a congestion map.
pub const BLOCKS: u16 = 16;

/// Length of a block in bytes; it holds 4096 ports.
pub const BLOCK_LEN: usize = 512;

const PORTS: u8 = 0x01;
const REST_CLEAR: u8 = 0x02;
const FIXED: u16 = 8;

/// A change of the map. The receiver applies it if its serial number is newer than the last one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MapUpdate<'a> {
    /// Some ports, each with whether it is congested.
    Ports {
        /// Number of the update.
        serial: u32,
        /// The ports.
        ports: Ports<'a>,
    },
    /// Whole blocks.
    Blocks {
        /// Number of the update.
        serial: u32,
        /// The blocks that follow, as bits: block n is bit n and holds the ports from 4096 n on.
        mask: u16,
        /// All other blocks are clear.
        rest_clear: bool,
        /// The blocks one after another, in the form of spec-bitmap.
        blocks: &'a [u8],
    },
}

/// Ports of a [`MapUpdate`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ports<'a>(&'a [[u8; 4]]);

impl<'a> Ports<'a> {
    /// The ports, each with whether it is congested.
    pub fn entries(&self) -> impl Iterator<Item = (u16, bool)> + 'a {
        self.0.iter().map(|entry| {
            let [a, b, c, d] = *entry;
            (u16::from_be_bytes([a, b]), [c, d] != [0; 2])
        })
    }
}

impl<'a> MapUpdate<'a> {
    pub(super) fn parse(flags: u8, body: &'a [u8]) -> Result<Self, PacketError> {
        let mut r = Reader::new(body);
        let serial = r.u32()?;
        let mask = r.u16()?;
        let _reserved = r.u16()?;
        if flags & PORTS != 0 {
            return match <[[u8; 4]]>::ref_from_bytes(r.rest()) {
                Ok(ports) => Ok(Self::Ports {
                    serial,
                    ports: Ports(ports),
                }),
                Err(_) => Err(PacketError::Truncated),
            };
        }
        // CAST: at most 16 blocks.
        let len = (mask.count_ones() as usize).saturating_mul(BLOCK_LEN);
        Ok(Self::Blocks {
            serial,
            mask,
            rest_clear: flags & REST_CLEAR != 0,
            blocks: r.bytes(len)?,
        })
    }

    /// Number of the update.
    pub const fn serial(&self) -> u32 {
        match self {
            Self::Ports { serial, .. } | Self::Blocks { serial, .. } => *serial,
        }
    }

    /// Length of a frame with `ports` ports.
    pub const fn ports_len(ports: usize) -> usize {
        ports.saturating_mul(4).saturating_add(12)
    }

    /// Appends a frame of `ports`; returns `false` and appends nothing if it does not fit.
    pub fn emit_ports(serial: u32, ports: &[(u16, bool)], to: &mut Writer<'_>) -> bool {
        let len = Self::ports_len(ports.len());
        let body = u16::try_from(len.saturating_sub(4)).unwrap_or(u16::MAX);
        if to.left() < len {
            return false;
        }
        to.put(&frame_header(FrameType::Map, PORTS, body));
        to.put(&serial.to_be_bytes());
        to.put(&[0; 4]);
        for (port, congested) in ports {
            to.put(&port.to_be_bytes());
            to.put(&[0, u8::from(*congested)]);
        }
        true
    }

    /// Length of a frame with the blocks of `mask`.
    pub const fn blocks_len(mask: u16) -> usize {
        // CAST: at most 16 blocks.
        (mask.count_ones() as usize)
            .saturating_mul(BLOCK_LEN)
            .saturating_add(12)
    }

    /// What is in front of the blocks of a frame.
    pub fn blocks_head(serial: u32, mask: u16, rest_clear: bool) -> [u8; 12] {
        let flags = if rest_clear { REST_CLEAR } else { 0 };
        // CAST: at most 16 blocks of 512 bytes.
        let body =
            FIXED.saturating_add((mask.count_ones() as u16).saturating_mul(BLOCK_LEN as u16));
        let [a, b, c, d] = frame_header(FrameType::Map, flags, body);
        let [e, f, g, h] = serial.to_be_bytes();
        let [i, j] = mask.to_be_bytes();
        [a, b, c, d, e, f, g, h, i, j, 0, 0]
    }

    /// Appends a frame with the blocks of `mask`, taken from the whole map; returns `false` and appends
    /// nothing if it does not fit.
    pub fn emit_blocks(
        serial: u32,
        mask: u16,
        rest_clear: bool,
        map: &[u8],
        to: &mut Writer<'_>,
    ) -> bool {
        if to.left() < Self::blocks_len(mask) {
            return false;
        }
        to.put(&Self::blocks_head(serial, mask, rest_clear));
        let mut blocks = map.chunks_exact(BLOCK_LEN);
        for n in 0..BLOCKS {
            let block = blocks.next().unwrap_or(&[0; BLOCK_LEN]);
            if mask & (1 << n) != 0 {
                to.put(block);
            }
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Frame, Frames};
    use super::*;
    use std::vec::Vec;

    fn written(len: usize, put: impl FnOnce(&mut Writer<'_>) -> bool) -> Option<Vec<u8>> {
        let mut room = std::vec![0xee; len];
        let mut w = Writer::new(&mut room);
        let fits = put(&mut w);
        assert_eq!(w.is_empty(), !fits);
        fits.then(|| Vec::from(w.written()))
    }

    fn one(bytes: &[u8]) -> Result<Frame<'_>, PacketError> {
        Frames::new(bytes).next().unwrap()
    }

    #[test]
    fn ports_round_trip() {
        let ports = [(4001, true), (0xffff, false)];
        let bytes = written(20, |w| MapUpdate::emit_ports(7, &ports, w)).unwrap();
        let expected = [
            5, 1, 0, 16, 0, 0, 0, 7, 0, 0, 0, 0, 0x0f, 0xa1, 0, 1, 0xff, 0xff, 0, 0,
        ];
        assert_eq!(bytes, expected);
        let Ok(Frame::Map(update @ MapUpdate::Ports { ports: parsed, .. })) = one(&bytes) else {
            panic!("an update of ports");
        };
        assert_eq!(update.serial(), 7);
        assert_eq!(parsed.entries().collect::<Vec<_>>(), ports);
        assert_eq!(written(19, |w| MapUpdate::emit_ports(7, &ports, w)), None);
        let mut short = bytes;
        short[3] = 15;
        assert_eq!(one(&short[..19]), Err(PacketError::Truncated));
    }

    #[test]
    fn blocks_round_trip() {
        let mut map = [0_u8; 8192];
        map[512] = 1;
        map[8191] = 0x80;
        let mask = 0x8002;
        let len = MapUpdate::blocks_len(mask);
        assert_eq!(len, 12 + 1024);
        for rest_clear in [false, true] {
            let bytes = written(len, |w| {
                MapUpdate::emit_blocks(9, mask, rest_clear, &map, w)
            })
            .unwrap();
            assert_eq!(bytes[..4], [5, u8::from(rest_clear) * 2, 4, 8]);
            let mut blocks = Vec::from(&map[512..1024]);
            blocks.extend(&map[8192 - 512..]);
            let update = MapUpdate::Blocks {
                serial: 9,
                mask,
                rest_clear,
                blocks: &blocks,
            };
            assert_eq!(update.serial(), 9);
            assert_eq!(one(&bytes), Ok(Frame::Map(update)));
            let mut short = bytes;
            short[2..4].copy_from_slice(&(1031_u16).to_be_bytes());
            assert_eq!(one(&short), Err(PacketError::Truncated));
        }
        assert_eq!(
            written(len - 1, |w| MapUpdate::emit_blocks(9, mask, true, &map, w)),
            None
        );
    }

    #[test]
    fn a_whole_map_and_an_empty_one_fit_in_a_frame() {
        let map = [0xaa; 8192];
        let bytes = written(9000, |w| MapUpdate::emit_blocks(1, 0xffff, true, &map, w)).unwrap();
        assert_eq!(bytes.len(), 12 + 8192);
        assert!(one(&bytes).is_ok());
        let bytes = written(12, |w| MapUpdate::emit_blocks(1, 0, true, &[], w)).unwrap();
        assert_eq!(bytes, [5, 2, 0, 8, 0, 0, 0, 1, 0, 0, 0, 0]);
    }
}
