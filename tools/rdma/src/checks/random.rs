// SPDX-License-Identifier: GPL-2.0

//! Many operations at random, on memory whose contents are known here, too.

use crate::link::{Far, Link, WRITABLE};
use crate::pattern::{self, Random};
use crate::protocol::Command;
use crate::table::{ensure, Outcome, Table, Wrong};
use crate::World;
use rds::rdma::{Memory, Operation, OperationFlags, Piece, Token};
use rds::RdmaOutcome;

/// Places, each with an operation under way.
const SLOTS: usize = 8;

const LEN: usize = 64 << 10;

/// How often the server's hash is compared, in operations.
const LOOK: u64 = 1000;

pub fn add(t: &mut Table) {
    t.group("random");
    t.add("operations at random", operations);
}

/// Memory of the server's, what it holds, and memory here.
struct Slot {
    far: Far,
    model: Vec<u8>,
    memory: Memory,
    /// The operation that is under way, and if it reads, what has to be in memory then.
    under_way: Option<(Token, Option<Vec<u8>>)>,
}

impl Slot {
    fn new(link: &mut Link, seed: u64) -> Result<Self, Wrong> {
        Ok(Self {
            far: link.make(WRITABLE, seed as usize * 511 % 4096, LEN, seed)?,
            model: pattern::bytes(seed, LEN),
            memory: Memory::new(2 * LEN)?,
            under_way: None,
        })
    }

    /// Pieces of the memory here that have so many bytes together.
    fn pieces(&self, random: &mut Random, mut len: usize) -> Result<Vec<Piece>, Wrong> {
        let mut list = Vec::new();
        let mut at = random.below(4096);
        while len > 0 {
            let gap = random.below(64);
            let most = if list.len() == 32 { len } else { len.min(8192) };
            let now = most.min(1 + random.below(len));
            let now = if list.len() == 32 { len } else { now };
            list.push(self.memory.piece(at..at + now)?);
            at += now + gap;
            len -= now;
        }
        Ok(list)
    }

    fn start(&mut self, link: &Link, random: &mut Random) -> Outcome {
        // Small ones as often as large ones.
        let most = 1_usize << random.below(17);
        let len = 1 + random.below(most.min(LEN));
        let at = random.below(LEN - len + 1);
        let pieces = self.pieces(random, len)?;
        let remote = self.far.at(at as u64);
        let (operation, wanted) = if random.below(2) == 0 {
            let data = pattern::bytes(random.next(), len);
            let mut rest = &data[..];
            for piece in &pieces {
                let (first, behind) = rest.split_at(piece.len());
                self.memory.write(piece.range().start, first)?;
                rest = behind;
            }
            self.model[at..at + len].copy_from_slice(&data);
            (Operation::write(remote, pieces), None)
        } else {
            let fresh = pattern::bytes(random.next(), self.memory.len());
            self.memory.write(0, &fresh)?;
            let mut wanted = fresh;
            let mut from = at;
            for piece in &pieces {
                let part = &self.model[from..from + piece.len()];
                wanted[piece.range()].copy_from_slice(part);
                from += piece.len();
            }
            (Operation::read(remote, pieces), Some(wanted))
        };
        let operation = if random.below(2) == 0 {
            operation.with(OperationFlags::SILENT)
        } else {
            operation
        };
        let data: &[u8] = if random.below(4) == 0 { b"x" } else { b"" };
        let token = link.start(&operation.notify(), data)?;
        self.under_way = Some((token, wanted));
        Ok(())
    }

    fn finish(&mut self, link: &mut Link) -> Outcome {
        let Some((token, wanted)) = self.under_way.take() else {
            return Ok(());
        };
        link.ends(token, RdmaOutcome::Success)?;
        let Some(wanted) = wanted else {
            return Ok(());
        };
        let got = self.memory.to_vec(0..self.memory.len())?;
        let differ: Vec<usize> = (0..got.len()).filter(|&at| got[at] != wanted[at]).collect();
        let (first, last) = (differ.first().copied(), differ.last().copied());
        let bytes = |of: &[u8]| first.and_then(|at| of.get(at).copied());
        ensure(
            differ.is_empty(),
            format!(
                "of what a READ has brought {} bytes differ, from {first:?} to {last:?}: {:02x?}, wanted {:02x?}",
                differ.len(),
                bytes(&got),
                bytes(&wanted)
            ),
        )
    }

    fn compare(&self, link: &mut Link) -> Outcome {
        let hash = link.ask_one(&Command::Hash { id: self.far.id })?;
        ensure(
            hash == pattern::hash(&self.model),
            "the server's memory differs",
        )
    }
}

fn operations(world: &World, link: &mut Link) -> Outcome {
    let mut random = Random::new(world.seed << 32);
    let mut slots = Vec::new();
    for seed in 0..SLOTS {
        slots.push(Slot::new(link, seed as u64)?);
    }
    for i in 0..world.operations {
        let slot = &mut slots[i as usize % SLOTS];
        slot.finish(link)
            .and_then(|()| slot.start(link, &mut random))
            .map_err(|wrong| told(i, wrong))?;
        if i % LOOK == LOOK - 1 {
            for slot in &mut slots {
                slot.finish(link).map_err(|wrong| told(i, wrong))?;
                slot.compare(link).map_err(|wrong| told(i, wrong))?;
            }
        }
    }
    for slot in &mut slots {
        slot.finish(link)?;
        slot.compare(link)?;
    }
    Ok(())
}

fn told(number: u64, wrong: Wrong) -> Wrong {
    match wrong {
        Wrong::Bad(why) => Wrong::Bad(format!("operation {number}: {why}")),
        skip => skip,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pattern::Layout;
    use rds::rdma::Cookie;

    #[test]
    fn pieces_have_all_bytes_and_fit() {
        let slot = Slot {
            far: Far {
                id: 0,
                cookie: Cookie(0),
                layout: Layout {
                    guard: 0,
                    at: 0,
                    len: LEN,
                    seed: 0,
                },
            },
            model: Vec::new(),
            memory: Memory::new(2 * LEN).unwrap(),
            under_way: None,
        };
        let mut random = Random::new(1);
        for len in [1, 2, 100, 4097, LEN] {
            for _ in 0..100 {
                let pieces = slot.pieces(&mut random, len).unwrap();
                assert_eq!(pieces.iter().map(Piece::len).sum::<usize>(), len);
                assert!(pieces.len() <= 33);
            }
        }
    }
}
