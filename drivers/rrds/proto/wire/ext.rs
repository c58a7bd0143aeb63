// SPDX-License-Identifier: GPL-2.0

//! Extension headers in the last 16 bytes of a header.
//!
//! spec-extensions; C: `rds_message_add_extension()` and `rds_message_next_extension()` in
//! `net/rds/message.c`. An extension is a type byte and as many data bytes as the type implies. Type 0
//! ends the list; there is no end mark when the 16 bytes are full.

use super::{put, Cookie};
use crate::consts::EXT_LEN;

/// Which way an RDMA operation moved data, in an RDMA_BYTES extension.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// The sender wrote into the receiver's memory.
    Write,
    /// The sender read from the receiver's memory.
    Read,
}

/// One extension header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extension {
    /// Type 1: a protocol version; C ignores it.
    Version(u32),
    /// Type 2: the sender has just used the memory region of this key.
    Rdma(u32),
    /// Type 3: a cookie for the receiving application.
    RdmaDest(Cookie),
    /// Type 4: how many bytes an RDMA operation moved, and which way (`None`: C left it blank).
    RdmaBytes(u32, Option<Direction>),
    /// Type 5: number of paths; TCP only.
    Paths(u16),
    /// Type 6: number that changes when the sender restarts; TCP only.
    Generation(u32),
    /// Type 8: the source port tells the path; TCP only.
    PortIndex(u8),
    /// A type below 16 without a defined length (7 and 9 to 15): no data.
    Unknown(u8),
}

/// Bytes of data of the extension `kind`; `None` where the list ends.
const fn data_len(kind: u8) -> Option<usize> {
    match kind {
        1 | 2 | 6 => Some(4),
        3 | 4 => Some(8),
        5 => Some(2),
        8 => Some(1),
        7 | 9..=15 => Some(0),
        _ => None,
    }
}

/// Iterates over the extensions of a header.
///
/// Ends at type 0, at a type of 16 or more, and at an extension that would not fit.
#[derive(Clone, Debug)]
pub struct Extensions<'a> {
    rest: &'a [u8],
}

impl<'a> Extensions<'a> {
    /// The extensions in `space`, the `ext` field of a [`Header`](super::Header).
    pub fn new(space: &'a [u8; EXT_LEN]) -> Self {
        Self { rest: space }
    }
}

impl Iterator for Extensions<'_> {
    type Item = Extension;

    fn next(&mut self) -> Option<Extension> {
        let (kind, tail) = self.rest.split_first()?;
        self.rest = &[];
        let (data, rest) = tail.split_at_checked(data_len(*kind)?)?;
        self.rest = rest;
        Some(match (*kind, data) {
            (1, &[a, b, c, d]) => Extension::Version(u32::from_be_bytes([a, b, c, d])),
            (2, &[a, b, c, d]) => Extension::Rdma(u32::from_be_bytes([a, b, c, d])),
            (3, &[a, b, c, d, e, f, g, h]) => Extension::RdmaDest(Cookie {
                rkey: u32::from_be_bytes([a, b, c, d]),
                offset: u32::from_be_bytes([e, f, g, h]),
            }),
            (4, &[a, b, c, d, dir, ..]) => Extension::RdmaBytes(
                u32::from_be_bytes([a, b, c, d]),
                match dir {
                    1 => Some(Direction::Write),
                    2 => Some(Direction::Read),
                    _ => None,
                },
            ),
            (5, &[a, b]) => Extension::Paths(u16::from_be_bytes([a, b])),
            (6, &[a, b, c, d]) => Extension::Generation(u32::from_be_bytes([a, b, c, d])),
            (8, &[a]) => Extension::PortIndex(a),
            (kind, _) => Extension::Unknown(kind),
        })
    }
}

/// Builds the extension space of a header.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ExtensionWriter {
    space: [u8; EXT_LEN],
    used: usize,
}

impl ExtensionWriter {
    /// An empty space.
    pub const fn new() -> Self {
        Self {
            space: [0; EXT_LEN],
            used: 0,
        }
    }

    /// Appends `extension` and returns whether it fitted; one that does not is left out
    /// (spec-extensions).
    pub fn push(&mut self, extension: Extension) -> bool {
        let mut data = [0; 8];
        let (kind, len) = match extension {
            Extension::Version(v) => (1, put(&mut data, 0, &v.to_be_bytes())),
            Extension::Rdma(key) => (2, put(&mut data, 0, &key.to_be_bytes())),
            Extension::RdmaDest(cookie) => {
                put(&mut data, 0, &cookie.rkey.to_be_bytes());
                (3, put(&mut data, 4, &cookie.offset.to_be_bytes()))
            }
            Extension::RdmaBytes(bytes, direction) => {
                put(&mut data, 0, &bytes.to_be_bytes());
                let dir = match direction {
                    Some(Direction::Write) => 1,
                    Some(Direction::Read) => 2,
                    None => 0,
                };
                put(&mut data, 4, &[dir]);
                (4, 8)
            }
            Extension::Paths(n) => (5, put(&mut data, 0, &n.to_be_bytes())),
            Extension::Generation(n) => (6, put(&mut data, 0, &n.to_be_bytes())),
            Extension::PortIndex(n) => (8, put(&mut data, 0, &[n])),
            Extension::Unknown(kind) => match data_len(kind) {
                Some(0) => (kind, 0),
                _ => return false,
            },
        };
        let end = self.used.saturating_add(1).saturating_add(len);
        let (Some(room), Some(data)) = (self.space.get_mut(self.used..end), data.get(..len)) else {
            return false;
        };
        if let Some((first, rest)) = room.split_first_mut() {
            *first = kind;
            put(rest, 0, data);
        }
        self.used = end;
        true
    }

    /// The space as it belongs into a header.
    pub const fn finish(&self) -> [u8; EXT_LEN] {
        self.space
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec;
    use std::vec::Vec;

    fn parse(space: [u8; EXT_LEN]) -> Vec<Extension> {
        Extensions::new(&space).collect()
    }

    #[test]
    fn the_pair_of_an_rdma_message_is_the_one_of_the_spec() {
        let mut w = ExtensionWriter::new();
        assert!(w.push(Extension::Rdma(0x1234_abcd)));
        assert!(w.push(Extension::RdmaBytes(65536, Some(Direction::Write))));
        let space = [2, 0x12, 0x34, 0xab, 0xcd, 4, 0, 1, 0, 0, 1, 0, 0, 0, 0, 0];
        assert_eq!(w.finish(), space);
        assert_eq!(
            parse(space),
            [
                Extension::Rdma(0x1234_abcd),
                Extension::RdmaBytes(65536, Some(Direction::Write))
            ]
        );
    }

    #[test]
    fn each_kind_survives_a_round_trip() {
        let cookie = Cookie {
            rkey: 0xdead_beef,
            offset: 0x0102_0304,
        };
        for e in [
            Extension::Version(7),
            Extension::Rdma(u32::MAX),
            Extension::RdmaDest(cookie),
            Extension::RdmaBytes(1, Some(Direction::Read)),
            Extension::RdmaBytes(1, None),
            Extension::Paths(8),
            Extension::Generation(0x8000_0001),
            Extension::PortIndex(3),
            Extension::Unknown(7),
            Extension::Unknown(15),
        ] {
            let mut w = ExtensionWriter::new();
            assert!(w.push(e), "{e:?}");
            assert_eq!(parse(w.finish()), [e]);
        }
    }

    #[test]
    fn what_does_not_fit_is_left_out() {
        let cookie = Extension::RdmaDest(Cookie { rkey: 1, offset: 2 });
        let mut w = ExtensionWriter::new();
        assert!(w.push(cookie));
        let before = w;
        assert!(!w.push(cookie), "9 + 9 bytes are more than 16");
        assert_eq!(w, before);
        assert!(w.push(Extension::Rdma(9)));
        assert!(w.push(Extension::PortIndex(1)), "16 of 16 bytes");
        assert!(!w.push(Extension::Unknown(9)));
        assert_eq!(parse(w.finish()).len(), 3);
        assert!(!ExtensionWriter::new().push(Extension::Unknown(2)));
        assert!(!ExtensionWriter::new().push(Extension::Unknown(0)));
        assert!(!ExtensionWriter::new().push(Extension::Unknown(16)));
    }

    /// Chains of four, of all kinds and of what is no kind: each is read up to what does not fit or ends it,
    /// and nothing of one is taken for a part of another.
    #[test]
    fn chains_are_read_as_far_as_they_go() {
        const KINDS: [u8; 13] = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 15, 16, 255];
        let number = |e: &Extension| match e {
            Extension::Version(_) => 1,
            Extension::Rdma(_) => 2,
            Extension::RdmaDest(_) => 3,
            Extension::RdmaBytes(..) => 4,
            Extension::Paths(_) => 5,
            Extension::Generation(_) => 6,
            Extension::PortIndex(_) => 8,
            Extension::Unknown(kind) => *kind,
        };
        for code in 0..KINDS.len().pow(4) {
            let chain = (0..4).map(|place| KINDS[code / KINDS.len().pow(place) % KINDS.len()]);
            let mut bytes = Vec::new();
            let mut wanted = Vec::new();
            let mut over = false;
            for kind in chain {
                bytes.push(kind);
                // Data that would be a kind, were it read as one.
                bytes.extend(vec![2; data_len(kind).unwrap_or(3)]);
                over |= data_len(kind).is_none() || bytes.len() > EXT_LEN;
                if !over {
                    wanted.push(kind);
                }
            }
            let mut space = [0; EXT_LEN];
            for (to, from) in space.iter_mut().zip(&bytes) {
                *to = *from;
            }
            let read: Vec<u8> = parse(space).iter().map(number).collect();
            assert_eq!(read, wanted, "{space:?}");
        }
    }

    #[test]
    fn the_list_ends_where_it_must() {
        let mut space = [0; EXT_LEN];
        assert_eq!(parse(space), []);
        // Nothing after type 0 is read.
        space[1] = 8;
        assert_eq!(parse(space), []);
        // Type 16 and above end the list.
        space[0] = 16;
        assert_eq!(parse(space), []);
        // Unknown types below 16 have no data and do not end it.
        space[0] = 12;
        assert_eq!(
            parse(space),
            [Extension::Unknown(12), Extension::PortIndex(0)]
        );
        // Data that would cross byte 16 ends it.
        let mut space = [7; EXT_LEN];
        space[15] = 1;
        assert_eq!(parse(space), vec![Extension::Unknown(7); 15]);
    }
}
