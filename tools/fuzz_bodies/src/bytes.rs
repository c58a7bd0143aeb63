// SPDX-License-Identifier: GPL-2.0

//! Taking choices from input, and making input up.

/// Takes choices from the input, front to back; an input that has run out gives zeros.
#[derive(Debug)]
pub(crate) struct Choices<'a>(&'a [u8]);

impl<'a> Choices<'a> {
    pub(crate) fn new(input: &'a [u8]) -> Self {
        Self(input)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn byte(&mut self) -> u8 {
        match self.0.split_first() {
            Some((byte, rest)) => {
                self.0 = rest;
                *byte
            }
            None => 0,
        }
    }

    pub(crate) fn word(&mut self) -> u16 {
        u16::from_le_bytes([self.byte(), self.byte()])
    }
}

/// Random input for runs without a fuzzer.
#[derive(Debug)]
pub struct Random(u64);

impl Random {
    /// A generator; equal seeds give equal input.
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    fn bits(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 16
    }

    fn below(&mut self, limit: usize) -> usize {
        (self.bits() % limit as u64) as usize
    }

    /// An input: noise, or a file of the corpus with some bytes changed, doubled, cut or added.
    pub fn input(&mut self, corpus: &[Vec<u8>], max_len: usize) -> Vec<u8> {
        let noise = self.below(4) == 0 || corpus.is_empty();
        let mut input = if noise {
            let len = self.below(max_len + 1);
            // Small numbers are likelier to mean something.
            let small = self.below(2) == 0;
            let byte = |r: &mut Self| r.below(if small { 16 } else { 256 }) as u8;
            (0..len).map(|_| byte(self)).collect()
        } else {
            corpus[self.below(corpus.len())].clone()
        };
        for _ in 0..self.below(6) {
            let at = self.below(input.len() + 1);
            match self.below(5) {
                0 => input.insert(at, self.bits() as u8),
                1 => input.truncate(at),
                2 => {
                    let tail = input[at..].to_vec();
                    input.extend(tail);
                }
                _ if at < input.len() => match self.below(3) {
                    0 => input[at] ^= 1 << self.below(8),
                    1 => input[at] = self.bits() as u8,
                    _ => input[at] = [0, 1, 0x7f, 0x80, 0xff][self.below(5)],
                },
                _ => {}
            }
        }
        input.truncate(max_len);
        input
    }
}
