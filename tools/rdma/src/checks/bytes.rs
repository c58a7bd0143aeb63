// SPDX-License-Identifier: GPL-2.0

//! Every byte arrives, and no other one changes: sizes, places in a page, pieces.

use crate::link::{near, Link, WRITABLE};
use crate::pattern::{self, Layout};
use crate::protocol::Command;
use crate::table::{ensure, Outcome, Table};
use rds::rdma::{Memory, Operation, Piece};

const SIZES: [usize; 9] = [1, 7, 8, 64, 4095, 4096, 4097, 64 << 10, 1 << 20];
const OFFSETS: [usize; 5] = [0, 1, 8, 511, 4095];
const PIECES: [usize; 4] = [1, 2, 7, 33];

pub fn add(t: &mut Table) {
    t.group("bytes");
    for (i, len) in SIZES.into_iter().enumerate() {
        for (j, far) in OFFSETS.into_iter().enumerate() {
            let here = OFFSETS[(i + j + 1) % OFFSETS.len()];
            let what = format!("{len} bytes, in the page at {far} there and {here} here");
            t.add(format!("WRITE of {what}"), move |_, link| {
                write(link, len, far, here)
            });
            t.add(format!("READ of {what}"), move |_, link| {
                read(link, len, far, here)
            });
        }
    }
    t.group("pieces");
    for count in PIECES {
        t.add(format!("WRITE of {count} pieces"), move |_, link| {
            write_pieces(link, count)
        });
        t.add(format!("READ into {count} pieces"), move |_, link| {
            read_pieces(link, count)
        });
    }
    t.add("WRITE in the middle of a region", |_, link| middle(link));
    t.add("READ from the middle of a region", |_, link| {
        let far = link.make(0, 511, 65536, 1)?;
        let (memory, layout) = near(0, 5000, 2)?;
        link.works(Operation::read(
            far.at(1001),
            vec![memory.piece(layout.range())?],
        ))?;
        let wanted = &pattern::bytes(1, 65536)[1001..6001];
        ensure(memory.to_vec(layout.range())? == wanted, "other bytes came")
    });
    t.add("WRITE of fewer bytes than the remote ones", |_, link| {
        let far = link.make(WRITABLE, 0, 100, 1)?;
        let (memory, layout) = near(0, 100, 2)?;
        let part = memory.piece(layout.range())?;
        let write = Operation::write(far.at(0), vec![part]).remote_bytes(5000);
        link.works_with(write, &far.holds(2))
    });
}

fn write(link: &mut Link, len: usize, far: usize, here: usize) -> Outcome {
    let far = link.make(WRITABLE, far, len, 11)?;
    let (memory, layout) = near(here, len, 12)?;
    let write = Operation::write(far.at(0), vec![memory.piece(layout.range())?]);
    link.works_with(write, &far.holds(12))?;
    Ok(layout.check(&memory)?)
}

fn read(link: &mut Link, len: usize, far: usize, here: usize) -> Outcome {
    let far = link.make(0, far, len, 13)?;
    let (memory, layout) = near(here, len, 14)?;
    let read = Operation::read(far.at(0), vec![memory.piece(layout.range())?]);
    link.works_with(read, &far.holds(13))?;
    let came = Layout { seed: 13, ..layout };
    Ok(came.check(&memory)?)
}

/// Pieces of several lengths, the first one last in memory, none beside the next one.
fn pieces(count: usize) -> Result<(Memory, Vec<Piece>), std::io::Error> {
    let len = |i: usize| 1 + (i * 977 + 500) % 5000;
    let total = (0..count).map(|i| len(i) + 13).sum();
    let memory = Memory::new(total)?;
    let mut end = total;
    let mut list = Vec::new();
    for i in 0..count {
        end -= len(i) + 13;
        list.push(memory.piece(end..end + len(i))?);
    }
    Ok((memory, list))
}

fn write_pieces(link: &mut Link, count: usize) -> Outcome {
    let (memory, list) = pieces(count)?;
    let total = list.iter().map(Piece::len).sum();
    let data = pattern::bytes(2, total);
    let mut rest = &data[..];
    for piece in &list {
        let (first, behind) = rest.split_at(piece.len());
        memory.write(piece.range().start, first)?;
        rest = behind;
    }
    let far = link.make(WRITABLE, 8, total, 1)?;
    link.works_with(Operation::write(far.at(0), list), &far.holds(2))
}

fn read_pieces(link: &mut Link, count: usize) -> Outcome {
    let (memory, list) = pieces(count)?;
    let mut wanted = pattern::bytes(3, memory.len());
    memory.write(0, &wanted)?;
    let total = list.iter().map(Piece::len).sum();
    let data = pattern::bytes(1, total);
    let mut rest = &data[..];
    for piece in &list {
        let (first, behind) = rest.split_at(piece.len());
        wanted[piece.range()].copy_from_slice(first);
        rest = behind;
    }
    let far = link.make(0, 4095, total, 1)?;
    link.works_with(Operation::read(far.at(0), list), &far.holds(1))?;
    let got = memory.to_vec(0..memory.len())?;
    let differs = (0..got.len()).find(|&at| got[at] != wanted[at]);
    ensure(
        differs.is_none(),
        format!("byte {} here differs", differs.unwrap_or(0)),
    )
}

fn middle(link: &mut Link) -> Outcome {
    let far = link.make(WRITABLE, 511, 65536, 1)?;
    let (memory, layout) = near(1, 5000, 2)?;
    let id = far.id;
    // All of it the same pattern, and then the piece in it.
    let none = Layout {
        guard: 7,
        at: 0,
        len: 0,
        seed: 0,
    };
    link.ask(&Command::Fill { id, layout: none })?;
    let now = Layout {
        guard: 7,
        at: far.layout.at + 1001,
        len: 5000,
        seed: 2,
    };
    let write = Operation::write(far.at(1001), vec![memory.piece(layout.range())?]);
    link.works_with(write, &Command::Compare { id, layout: now })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_are_apart() {
        for count in PIECES {
            let (memory, list) = pieces(count).unwrap();
            assert_eq!(list.len(), count);
            for pair in list.windows(2) {
                assert!(pair[1].range().end < pair[0].range().start);
            }
            assert!(list.iter().all(|piece| piece.range().end <= memory.len()));
        }
    }
}
