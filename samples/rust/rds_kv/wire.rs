// SPDX-License-Identifier: GPL-2.0

//! What the nodes say to one another.
//!
//! All numbers are in network byte order.
//!
//! | Offset | Bytes | |
//! |---|---|---|
//! | 0 | 4 | [`MAGIC`]: no request of a program begins like that |
//! | 4 | 1 | The version, 1 |
//! | 5 | 1 | 1 for [`Ask`](Said::Ask), 2 for [`Entry`](Said::Entry), 3 for [`End`](Said::End) |
//! | 6 | 1 | Of an entry: the length of its key, else 0 |
//! | 7 | 1 | 0 |
//! | 8 | 8 | Of an entry: the counter of its stamp, else 0 |
//! | 16 | 4 | Of an entry: the node of its stamp, else 0 |
//! | 20 | | Of an entry: its key, its value |

use super::store::{
    self,
    Stamp, //
};
use zerocopy::{
    byteorder::network_endian::{
        U32,
        U64, //
    },
    FromBytes as _,
    IntoBytes as _, //
};
use zerocopy_derive::{
    FromBytes,
    Immutable,
    IntoBytes,
    KnownLayout,
    Unaligned, //
};

/// What all messages between nodes begin with.
pub(super) const MAGIC: [u8; 4] = *b"\0rkv";

const VERSION: u8 = 1;

/// A message.
#[derive(Clone, Copy)]
pub(super) enum Said<'a> {
    /// Send me all that you have: the answer is entries, and [`End`](Self::End).
    Ask,
    /// What a key has been set to.
    Entry {
        stamp: Stamp,
        key: &'a [u8],
        value: &'a [u8],
    },
    /// That was all.
    End,
}

#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct Header {
    magic: [u8; 4],
    version: u8,
    kind: u8,
    key_len: u8,
    zero: u8,
    counter: U64,
    node: U32,
}

impl<'a> Said<'a> {
    /// Reads a message, which may be anything; tells what is wrong with it.
    pub(super) fn parse(bytes: &'a [u8]) -> Result<Self, &'static str> {
        let (header, rest) = Header::read_from_prefix(bytes).map_err(|_| "it is too short")?;
        if header.magic != MAGIC || header.version != VERSION {
            return Err("it is not of this version");
        }

        match (header.kind, header.key_len, header.zero) {
            (1, 0, 0) if rest.is_empty() => Ok(Self::Ask),
            (2, key_len, 0) => {
                let (key, value) = rest
                    .split_at_checked(key_len.into())
                    .ok_or("its key is cut off")?;

                store::check_key(key)?;
                store::check_value(value)?;
                Ok(Self::Entry {
                    stamp: Stamp {
                        counter: header.counter.get(),
                        node: header.node.get(),
                    },
                    key,
                    value,
                })
            }
            (3, 0, 0) if rest.is_empty() => Ok(Self::End),
            _ => Err("it is none that there is"),
        }
    }

    /// Calls `f` with the parts that the message is made of.
    pub(super) fn write<R>(&self, f: impl FnOnce(&[&[u8]]) -> R) -> R {
        let (kind, stamp, key, value) = match *self {
            Self::Ask => (1, Stamp::default(), &[][..], &[][..]),
            Self::Entry { stamp, key, value } => (2, stamp, key, value),
            Self::End => (3, Stamp::default(), &[][..], &[][..]),
        };
        let header = Header {
            magic: MAGIC,
            version: VERSION,
            kind,
            // No key is longer.
            key_len: u8::try_from(key.len()).unwrap_or(u8::MAX),
            zero: 0,
            counter: stamp.counter.into(),
            node: stamp.node.into(),
        };

        f(&[header.as_bytes(), key, value])
    }
}
