// SPDX-License-Identifier: GPL-2.0

//! Streams that follow from a number.

use crate::case::{said, Case, End};
use crate::header::Header;
use rds_sim::rng::Rng;

/// Streams of noise, and of headers of which what counts is small or noise, so many of each.
pub fn cases(seed: u64, count: u64) -> Vec<Case> {
    let mut cases = Vec::new();
    for number in seed..seed.saturating_add(count) {
        cases.push(said(format!("noise {number}"), End::Any, move |s| {
            let mut random = Rng::new(number);
            let count = 1 + random.below(65_536) as usize;
            s.stuff(&bytes(&mut random, count))
        }));
        cases.push(said(format!("headers {number}"), End::Any, move |s| {
            let mut random = Rng::new(number);
            let mut stream = Vec::new();
            for _ in 0..=random.below(8) {
                let header = header(&mut random);
                let count = match random.below(4) {
                    0 => random.below(65_536),
                    // All of it, if that is not too much.
                    _ => u64::from(header.len.min(1 << 21)),
                };
                let data = bytes(&mut random, count as usize);
                stream.extend(s.message(header, &data));
            }
            s.stuff(&stream)
        }));
    }
    // What the last one has done shows with the next.
    cases.push(said("after the noise", End::Kept, |_| Ok(())));
    cases
}

/// So many bytes.
fn bytes(random: &mut Rng, count: usize) -> Vec<u8> {
    (0..count).map(|_| random.bits() as u8).collect()
}

fn header(random: &mut Rng) -> Header {
    let mut ext = [0; 16];
    if random.below(2) == 0 {
        ext = bytes(random, 16).try_into().unwrap_or_default();
        ext[0] %= 9;
    }
    Header {
        seq: match random.below(3) {
            0 => Some(random.below(4)),
            1 => Some(random.bits()),
            _ => None,
        },
        ack: random.below(2),
        len: match random.below(8) {
            0 => random.bits() as u32,
            1 => random.below(1 << 20) as u32,
            2 => 8192,
            3 => 0,
            _ => random.below(10_000) as u32,
        },
        sport: random.below(3) as u16,
        dport: random.below(3) as u16,
        flags: random.below(8) as u8,
        ext,
        ..Header::default()
    }
}
