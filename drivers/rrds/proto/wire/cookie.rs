// SPDX-License-Identifier: GPL-2.0

//! The 64-bit cookie by which applications name a piece of a peer's memory.
//!
//! spec-rdma: opaque to applications, yet peers and tools rely on the key being the low half.

/// A remote key and an offset into its memory region.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cookie {
    /// Remote key of the memory region.
    pub rkey: u32,
    /// Offset of the buffer in the region's first page.
    pub offset: u32,
}

impl Cookie {
    /// Takes the number that an application handed in.
    pub const fn from_bits(bits: u64) -> Self {
        // CAST: the low and the high half, each of 32 bits.
        Self {
            rkey: bits as u32,
            offset: (bits >> 32) as u32,
        }
    }

    /// The number that applications see.
    pub const fn bits(self) -> u64 {
        // CAST: widening only; `From` is not const.
        ((self.offset as u64) << 32) | self.rkey as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_is_the_low_half() {
        let cookie = Cookie {
            rkey: 0x1234_abcd,
            offset: 0x10,
        };
        assert_eq!(cookie.bits(), 0x0000_0010_1234_abcd);
        assert_eq!(Cookie::from_bits(cookie.bits()), cookie);
    }
}
