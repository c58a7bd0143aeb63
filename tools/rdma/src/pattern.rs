// SPDX-License-Identifier: GPL-2.0

//! Contents that follow from a number, so that both ends know them.

use rds::rdma::Memory;
use std::ops::Range;

fn mix(x: u64) -> u64 {
    let mut z = x.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// `len` bytes that follow from the seed, of which each depends on its place.
pub fn bytes(seed: u64, len: usize) -> Vec<u8> {
    let mut out = vec![0; len];
    for (i, piece) in out.chunks_mut(8).enumerate() {
        let word = mix(mix(seed) ^ i as u64).to_le_bytes();
        piece.copy_from_slice(&word[..piece.len()]);
    }
    out
}

/// FNV-1a, of 64 bits.
pub fn hash(bytes: &[u8]) -> u64 {
    let step = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, step)
}

/// Numbers that follow from one another.
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(1);
        mix(self.0)
    }

    /// Less than `limit`, which may not be 0.
    pub fn below(&mut self, limit: usize) -> usize {
        (self.next() % limit as u64) as usize
    }
}

/// What a memory holds: within `at..at + len` what follows from `seed`, around it what follows from `guard`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout {
    pub guard: u64,
    pub at: usize,
    pub len: usize,
    pub seed: u64,
}

impl Layout {
    /// The bytes within.
    pub fn range(&self) -> Range<usize> {
        self.at..self.at + self.len
    }

    /// What a memory of `total` bytes holds.
    pub fn all(&self, total: usize) -> Vec<u8> {
        let mut all = bytes(self.guard, total);
        let inner = bytes(self.seed, self.len);
        if let Some(place) = all.get_mut(self.range()) {
            place.copy_from_slice(&inner);
        }
        all
    }

    /// Makes it so.
    pub fn put(&self, memory: &Memory) -> Result<(), String> {
        let all = self.all(memory.len());
        memory.write(0, &all).map_err(|error| error.to_string())
    }

    /// Says which byte differs.
    pub fn check(&self, memory: &Memory) -> Result<(), String> {
        let wanted = self.all(memory.len());
        let got = memory
            .to_vec(0..memory.len())
            .map_err(|error| error.to_string())?;
        let Some(at) = (0..got.len()).find(|&at| got[at] != wanted[at]) else {
            return Ok(());
        };
        let differ = (at..got.len()).filter(|&at| got[at] != wanted[at]).count();
        let place = if self.range().contains(&at) {
            format!("byte {} of {}", at - self.at, self.len)
        } else if at < self.at {
            format!("byte {} before the {}", self.at - at, self.len)
        } else {
            format!("byte {} behind the {}", at - self.at - self.len, self.len)
        };
        let (got, wanted) = (got[at], wanted[at]);
        Err(format!(
            "{place} is {got:#04x} instead of {wanted:#04x}; {differ} differ"
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_put_checks_and_nothing_else() {
        let layout = Layout {
            guard: 1,
            at: 10,
            len: 21,
            seed: 2,
        };
        let memory = Memory::new(50).unwrap();
        layout.put(&memory).unwrap();
        assert_eq!(layout.check(&memory), Ok(()));
        for (at, place) in [
            (9, "byte 1 before the 21"),
            (10, "byte 0 of 21"),
            (30, "byte 20 of 21"),
            (31, "byte 0 behind the 21"),
        ] {
            let mut byte = [0];
            memory.read(at, &mut byte).unwrap();
            memory.write(at, &[byte[0] ^ 1]).unwrap();
            let why = layout.check(&memory).unwrap_err();
            assert!(
                why.starts_with(place) && why.ends_with("; 1 differ"),
                "{why}"
            );
            memory.write(at, &byte).unwrap();
        }
    }

    #[test]
    fn seeds_differ() {
        assert_ne!(bytes(1, 8), bytes(2, 8));
        assert_eq!(bytes(1, 7), bytes(1, 8)[..7]);
        assert_eq!(hash(b""), 0xcbf2_9ce4_8422_2325);
        assert_eq!(hash(b"a"), 0xaf63_dc4c_8601_ec8c);
    }
}
