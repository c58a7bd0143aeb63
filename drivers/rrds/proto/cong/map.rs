// SPDX-License-Identifier: GPL-2.0

//! A bit for every port.
//!
//! spec-bitmap: port p is bit p%8 of byte p/8, the least significant bit being bit 0. C:
//! `net/rds/cong.c`.

use crate::consts::CONG_MAP_BYTES;
use core::fmt;
use core::ops::DerefMut;

/// Storage for a map: anything that derefs to 8192 bytes.
pub trait MapBytes: DerefMut<Target = [u8; CONG_MAP_BYTES]> {}

impl<B: DerefMut<Target = [u8; CONG_MAP_BYTES]>> MapBytes for B {}

/// The congestion map of an address, in the form it has on the wire.
#[derive(Clone)]
pub struct Map<B> {
    bytes: B,
    /// Number of bits that are set.
    congested: u32,
}

impl<B: MapBytes> fmt::Debug for Map<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ports = (0..=u16::MAX).filter(|port| self.is_congested(*port));
        f.write_str("Map ")?;
        f.debug_set().entries(ports).finish()
    }
}

/// Byte and bit of a port.
const fn place(port: u16) -> (usize, u8) {
    // CAST: widening only.
    ((port >> 3) as usize, 1 << (port & 7))
}

impl<B: MapBytes> Map<B> {
    /// A map over `bytes`, no port congested.
    pub fn new(mut bytes: B) -> Self {
        bytes.fill(0);
        Self {
            bytes,
            congested: 0,
        }
    }

    /// The map as it is to be sent.
    pub fn as_bytes(&self) -> &[u8; CONG_MAP_BYTES] {
        &self.bytes
    }

    /// Whether `port` is congested.
    pub fn is_congested(&self, port: u16) -> bool {
        let (byte, bit) = place(port);
        self.bytes.get(byte).is_some_and(|b| b & bit != 0)
    }

    /// Number of congested ports.
    pub const fn congested(&self) -> u32 {
        self.congested
    }

    /// Sets the state of `port` and returns whether it has changed: if so, the map is to be queued on
    /// every path of its address by [`Path::queue_map`](crate::path::Path::queue_map), which coalesces.
    pub fn set(&mut self, port: u16, congested: bool) -> bool {
        let (byte, bit) = place(port);
        let Some(b) = self.bytes.get_mut(byte) else {
            return false;
        };
        let old = *b;
        *b = if congested { old | bit } else { old & !bit };
        let changed = *b != old;
        if changed {
            self.congested = if congested {
                self.congested.wrapping_add(1)
            } else {
                self.congested.wrapping_sub(1)
            };
        }
        changed
    }

    /// Overwrites the bytes from `offset` with `new` and returns the mask of ports modulo 64 that got
    /// free. Offset and length are to be multiples of 8, as those of fragments are; bytes beyond the
    /// map are ignored.
    pub fn overwrite(&mut self, offset: usize, new: &[u8]) -> u64 {
        let mut freed = 0;
        let Some(room) = self.bytes.get_mut(offset..) else {
            return 0;
        };
        for (old, new) in room.chunks_exact_mut(8).zip(new.chunks_exact(8)) {
            let (was, is) = (word(old), word(new));
            freed |= was & !is;
            self.congested = self
                .congested
                .wrapping_add(is.count_ones())
                .wrapping_sub(was.count_ones());
            for (to, from) in old.iter_mut().zip(new) {
                *to = *from;
            }
        }
        freed
    }

    /// Gives the storage back.
    pub fn into_inner(self) -> B {
        self.bytes
    }
}

/// The 64-bit little-endian word in 8 bytes.
fn word(bytes: &[u8]) -> u64 {
    bytes.first_chunk().map_or(0, |b| u64::from_le_bytes(*b))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cong::mask_bit;
    use std::boxed::Box;
    use std::vec;

    fn map() -> Map<Box<[u8; 8192]>> {
        Map::new(Box::new([0xff; 8192]))
    }

    #[test]
    fn bits_are_in_little_endian_order() {
        let mut m = map();
        assert_eq!(m.as_bytes(), &[0; 8192]);
        assert!(m.set(0, true) && m.set(9, true) && m.set(65535, true));
        assert_eq!(m.as_bytes()[..2], [1, 2]);
        assert_eq!(std::format!("{m:?}"), "Map {0, 9, 65535}");
        assert_eq!(m.as_bytes()[8191], 0x80);
        for port in 0..=65535 {
            assert_eq!(m.is_congested(port), [0, 9, 65535].contains(&port));
        }
    }

    #[test]
    fn changes_are_told() {
        let mut m = map();
        assert!(!m.set(7, false));
        assert!(m.set(7, true));
        assert!(!m.set(7, true));
        assert!(m.set(7, false));
    }

    #[test]
    fn an_update_tells_what_got_free() {
        let mut m = map();
        for port in [1, 70, 40000] {
            m.set(port, true);
        }
        let mut new = map();
        new.set(70, true);
        new.set(71, true);
        let bytes = *new.as_bytes();
        // Port 1 gets free in the first half, port 40000 = 64 * 625 in the second.
        assert_eq!(m.overwrite(0, &bytes[..4096]), mask_bit(1));
        assert!(m.is_congested(71) && m.is_congested(40000) && !m.is_congested(1));
        assert_eq!(m.overwrite(4096, &bytes[4096..]), mask_bit(40000));
        assert_eq!(mask_bit(40000), 1);
        assert_eq!((m.congested(), new.congested()), (2, 2));
        assert_eq!(m.into_inner(), new.into_inner());
    }

    #[test]
    fn bytes_beyond_the_map_are_ignored() {
        let mut m = map();
        m.set(65535, true);
        assert_eq!(m.overwrite(8184, &[0; 64]), 1 << 63);
        assert_eq!(m.overwrite(8192, &[1; 8]), 0);
        assert_eq!(m.overwrite(9000, &[1; 8]), 0);
        assert_eq!(m.overwrite(0, &vec![0; 9000]), 0);
        assert_eq!(m.as_bytes(), &[0; 8192]);
    }
}
