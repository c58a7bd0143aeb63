// SPDX-License-Identifier: GPL-2.0

//! Messages whose headers say what they like.

use crate::case::{said, Case, End};
use crate::header::{Header, AGAIN, LONGEST, MAP};
use crate::stream::{Stream, Wrong};

/// The port of a socket that nobody has, and the one that messages come from.
const NOBODY: u16 = 4999;
const FROM: u16 = 4001;

/// As many bytes as the victim judges a message by.
const ENOUGH: usize = 4096;

/// Data of so many bytes.
pub fn data(len: u32) -> Vec<u8> {
    (0..len).map(|at| (at % 251) as u8).collect()
}

/// Says a message with all its data.
pub fn whole(stream: &mut Stream, header: Header) -> Result<(), Wrong> {
    stream.say(header, &data(header.len))
}

pub fn lengths(reader: u16) -> Vec<Case> {
    let mut cases = Vec::new();
    for (to, whose) in [(reader, "a reader"), (NOBODY, "nobody")] {
        for len in [0, 1, 47, 48, 4095, 4096, 4097, 8192, 65_536, LONGEST] {
            cases.push(said(
                format!("{len} bytes for {whose}"),
                End::Kept,
                move |s| whole(s, Header::message(FROM, to, len)),
            ));
        }
    }
    let too_long = [
        LONGEST + 1,
        LONGEST + 4096,
        2 * LONGEST,
        0x7fff_ffff,
        0x8000_0000,
        0xffff_f000,
        0xffff_ffff,
    ];
    for len in too_long {
        cases.push(said(
            format!("{len} bytes are too many"),
            End::Ended,
            move |s| s.say(Header::message(FROM, reader, len), &data(ENOUGH as u32)),
        ));
        cases.push(said(
            format!("{len} bytes for a ping"),
            End::Ended,
            move |s| s.say(Header::message(FROM, 0, len), &data(ENOUGH as u32)),
        ));
    }
    cases
}

pub fn flags(reader: u16) -> Vec<Case> {
    // All but a congestion map's.
    let each = [
        0, 2, 3, 4, 5, 6, 7, 8, 0x10, 0x20, 0x40, 0x80, 0x81, 0xfe, 0xff,
    ];
    let with = |flags: u8| {
        said(format!("flags {flags:#04x}"), End::Kept, move |s| {
            let header = Header {
                flags,
                ..Header::message(FROM, reader, 100)
            };
            whole(s, header)
        })
    };
    each.into_iter().map(with).collect()
}

pub fn maps() -> Vec<Case> {
    let mut cases = Vec::new();
    for (byte, name) in [(0, "none"), (0xff, "all"), (0x55, "half")] {
        let name = format!("{name} of the ports congested");
        cases.push(said(name, End::Kept, move |s| {
            s.say(Header::map(MAP), &[byte; MAP as usize])?;
            // A ping from such a port is not answered.
            s.say(Header::map(MAP), &[0; MAP as usize])
        }));
    }
    for len in [0, 1, 48, 4096, 8191] {
        cases.push(said(format!("a map of {len} bytes"), End::Kept, move |s| {
            whole(s, Header::map(len))
        }));
    }
    for len in [8193, 65_536, LONGEST, 0xffff_ffff] {
        cases.push(said(
            format!("a map of {len} bytes"),
            End::Ended,
            move |s| s.say(Header::map(len), &data(ENOUGH as u32)),
        ));
    }
    cases.push(said(
        "a map in two halves, with a pause",
        End::Kept,
        move |s| {
            let bytes = s.message(Header::map(MAP), &[0; MAP as usize]);
            let (one, other) = bytes.split_at(5000);
            s.bytes(one)?;
            super::torn::pause();
            s.bytes(other)
        },
    ));
    cases
}

pub fn numbers(reader: u16) -> Vec<Case> {
    let mut cases = Vec::new();
    for seq in [0, 1, 2, 1000, 1 << 32, 1 << 63, u64::MAX - 1, u64::MAX] {
        for (flags, how) in [(0, "new"), (AGAIN, "sent again")] {
            cases.push(said(format!("number {seq}, {how}"), End::Kept, move |s| {
                let header = Header {
                    seq: Some(seq),
                    flags,
                    ..Header::message(FROM, reader, 10)
                };
                whole(s, header)
            }));
        }
    }
    cases.push(said(
        "the same number a hundred times",
        End::Kept,
        move |s| {
            for _ in 0..100 {
                let header = Header {
                    seq: Some(5),
                    ..Header::message(FROM, reader, 10)
                };
                whole(s, header)?;
            }
            Ok(())
        },
    ));
    cases.push(said("numbers that go down", End::Kept, move |s| {
        for seq in (1..100).rev() {
            let header = Header {
                seq: Some(seq),
                ..Header::message(FROM, reader, 10)
            };
            whole(s, header)?;
        }
        Ok(())
    }));
    let odd = [
        (
            "acknowledges 1",
            Header {
                ack: 1,
                ..Header::default()
            },
        ),
        (
            "acknowledges all",
            Header {
                ack: u64::MAX,
                ..Header::default()
            },
        ),
        (
            "gives credits",
            Header {
                credit: 255,
                ..Header::default()
            },
        ),
        (
            "has padding",
            Header {
                padding: [0xff; 4],
                ..Header::default()
            },
        ),
        (
            "has a checksum",
            Header {
                checksum: 0x1234,
                ..Header::default()
            },
        ),
    ];
    for (name, header) in odd {
        cases.push(said(
            format!("a message that {name}"),
            End::Kept,
            move |s| {
                let header = Header {
                    sport: FROM,
                    dport: reader,
                    len: 10,
                    ..header
                };
                whole(s, header)
            },
        ));
    }
    cases
}

pub fn ports(reader: u16) -> Vec<Case> {
    let mut cases = Vec::new();
    for sport in [0, 1, FROM, 0xffff] {
        for dport in [0, 1, reader, NOBODY, 0xffff] {
            for len in [0, 16] {
                let name = format!("{len} bytes from port {sport} to {dport}");
                cases.push(said(name, End::Kept, move |s| {
                    whole(s, Header::message(sport, dport, len))
                }));
            }
        }
    }
    cases
}

pub fn extensions(reader: u16) -> Vec<Case> {
    let with = |kind: u8| {
        said(format!("extension {kind}"), End::Kept, move |s| {
            let mut ext = [0xff; 16];
            ext[0] = kind;
            let header = Header {
                ext,
                ..Header::message(FROM, reader, 10)
            };
            whole(s, header)
        })
    };
    (1..=10).chain([0x7f, 0xff]).map(with).collect()
}
