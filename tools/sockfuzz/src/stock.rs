// SPDX-License-Identifier: GPL-2.0

//! The messages that are sent, and whether what came is one of them.
//!
//! They are made once and never written to again, so that it does not matter when the kernel reads them.
//! Each tells at its beginning which it is, and so how long.

use crate::rng::Rng;
use crate::world::MESSAGES;
use raw_calls::{Addr, Arena, PIECE};
use std::io;

/// The lengths that there are, with as many variants as make up the number of messages.
const LENGTHS: [usize; 24] = [
    0,
    1,
    7,
    8,
    9,
    16,
    60,
    63,
    64,
    65,
    100,
    200,
    500,
    1000,
    2000,
    4095,
    4096,
    4097,
    8192,
    9000,
    16384,
    65536,
    106_496,
    1 << 20,
];
/// From here on there is one variant.
const LONG: usize = 65536;
const MAGIC: u32 = 0x7264_73f5;
/// What messages too short for a number consist of.
const SHORT: u8 = 0xa5;

/// What is wrong with what came.
#[derive(Debug, PartialEq, Eq)]
pub enum Garbage {
    /// It is no message of ours.
    Unknown,
    /// It is one, but longer or shorter.
    Length { message: usize, wanted: usize },
    /// It is one, but not its content.
    Content { message: usize },
}

struct Message {
    piece: usize,
    /// How far before the end of the piece it begins.
    from: usize,
    len: usize,
}

/// The messages.
pub struct Stock {
    arena: Arena,
    messages: Vec<Message>,
}

/// The bytes of a message.
fn content(number: u64, len: usize) -> Vec<u8> {
    if len < 8 {
        return vec![SHORT; len];
    }
    let mut bytes = Vec::with_capacity(len + 8);
    bytes.extend(((u64::from(MAGIC) << 32) | number).to_ne_bytes());
    let mut rng = Rng::new(number);
    while bytes.len() < len {
        bytes.extend(rng.bits().to_ne_bytes());
    }
    bytes.truncate(len);
    bytes
}

impl Stock {
    pub fn new() -> io::Result<Self> {
        let arena = Arena::new()?;
        let (mut messages, mut piece, mut bytes) = (Vec::new(), 0, Vec::new());
        for number in 0..MESSAGES {
            let variants = MESSAGES as usize / LENGTHS.len();
            let mut len = LENGTHS[number as usize / variants];
            if len >= LONG && number as usize % variants != 0 {
                len = 3000 + number as usize;
            }
            if bytes.len() + len + 64 > PIECE {
                Self::finish(&arena, piece, &mut messages, &bytes);
                piece += 1;
                bytes.clear();
            }
            messages.push(Message {
                piece,
                from: bytes.len(),
                len,
            });
            bytes.extend(content(number, len));
            bytes.resize(bytes.len().next_multiple_of(64), 0);
        }
        Self::finish(&arena, piece, &mut messages, &bytes);
        for sealed in 0..=piece {
            arena.seal(sealed)?;
        }
        Ok(Self { arena, messages })
    }

    /// Puts messages in their piece. Until now it was noted how far from the beginning they are.
    fn finish(arena: &Arena, piece: usize, messages: &mut [Message], bytes: &[u8]) {
        arena.place(piece, bytes);
        for message in messages.iter_mut().filter(|message| message.piece == piece) {
            message.from = bytes.len() - message.from;
        }
    }

    pub fn len(&self, number: u8) -> usize {
        self.messages[usize::from(number)].len
    }

    /// Where a message is from this byte on.
    pub fn at(&self, number: u8, skip: usize) -> Addr {
        let message = &self.messages[usize::from(number)];
        self.arena
            .room(message.piece, message.from - skip.min(message.len))
    }

    /// Memory that may only be read.
    pub fn read_only(&self) -> Addr {
        self.arena.room(0, 4096)
    }

    /// Whether what came is right. The last `room` bytes of a piece of `memory` were there for it; so many
    /// were said to have come.
    pub fn check(
        &self,
        memory: &Arena,
        piece: usize,
        room: usize,
        told: usize,
    ) -> Result<(), Garbage> {
        let here = told.min(room);
        if here == 0 || room < 8 {
            // Of a longer one, only its beginning is here.
            return Ok(());
        }
        let word = memory.word(piece, room);
        if here < 8 {
            let all = u64::from_le_bytes([SHORT; 8]) << (64 - 8 * here);
            return match word << (64 - 8 * here) == all {
                true => Ok(()),
                false => Err(Garbage::Unknown),
            };
        }
        let number = word as u32 as usize;
        let message = self
            .messages
            .get(number)
            .filter(|_| word >> 32 == MAGIC.into());
        let message = message.ok_or(Garbage::Unknown)?;
        // The whole length is told even if there was no room, where that was asked for.
        let all = told == message.len;
        let cut = told == room && room < message.len;
        if !all && !cut {
            return Err(Garbage::Length {
                message: number,
                wanted: message.len,
            });
        }
        let place = (message.piece, message.from);
        if !memory.equal((piece, room), &self.arena, place, here) {
            return Err(Garbage::Content { message: number });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_told_from_garbage() {
        let stock = Stock::new().unwrap();
        let memory = Arena::new().unwrap();
        for number in 0..MESSAGES as u8 {
            let len = stock.len(number);
            let mut bytes = content(number.into(), len);
            let check = |bytes: &[u8], room: usize, told: usize| {
                memory.put(0, room, &bytes[..bytes.len().min(room)]);
                stock.check(&memory, 0, room, told)
            };
            assert_eq!(check(&bytes, len + 9, len), Ok(()), "{number}");
            if len < 8 {
                assert_eq!(len == 0, check(&vec![1; len], 9, len).is_ok());
                continue;
            }
            // Cut short by what there was room for.
            assert_eq!(check(&bytes, 8, 8), Ok(()));
            assert_eq!(check(&bytes, 8, len), Ok(()));
            if len > 8 {
                assert!(check(&bytes, len, len - 1).is_err());
                bytes[len - 1] ^= 1;
                assert!(check(&bytes, len, len).is_err());
                bytes[len - 1] ^= 1;
            }
            bytes[5] ^= 1;
            assert_eq!(check(&bytes, len, len), Err(Garbage::Unknown));
        }
    }

    #[test]
    fn all_lengths_are_there() {
        let stock = Stock::new().unwrap();
        for len in LENGTHS {
            assert!(
                (0..MESSAGES as u8).any(|number| stock.len(number) == len),
                "{len}"
            );
        }
    }
}
