// SPDX-License-Identifier: GPL-2.0

//! What is in memory when a message arrives.

use crate::link::{near, Link, WRITABLE};
use crate::pattern::{self, Layout};
use crate::protocol::Command;
use crate::table::{ensure, Outcome, Table};
use rds::rdma::{Operation, OperationFlags};
use rds::RdmaOutcome;

pub fn add(t: &mut Table) {
    t.group("order");
    for len in [8, 4096, 65536, 1 << 20] {
        t.add(
            format!("a WRITE of {len} bytes is in place when its message arrives"),
            move |_, link| write(link, len),
        );
        t.add(
            format!("a READ of {len} bytes with FENCE is over when its message arrives"),
            move |_, link| read(link, len),
        );
    }
    t.add(
        "WRITEs are in place when a later message arrives",
        |_, link| later(link, OperationFlags::NONE),
    );
    t.add("silent ones, too", |_, link| {
        later(link, OperationFlags::SILENT)
    });
    t.add("a later WRITE to the same place counts", |_, link| {
        let far = link.make(WRITABLE, 0, 5000, 1)?;
        let mut last = None;
        for seed in 2..34 {
            let (memory, layout) = near(0, 5000, seed)?;
            let write = Operation::write(far.at(0), vec![memory.piece(layout.range())?]);
            last = Some(link.start(&write.notify(), &[])?);
        }
        link.ask(&far.holds(33))?;
        last.map_or(Ok(()), |token| link.ends(token, RdmaOutcome::Success))
    });
}

/// The message is a command to look.
fn write(link: &mut Link, len: usize) -> Outcome {
    let far = link.make(WRITABLE, 1, len, 1)?;
    let (memory, layout) = near(8, len, 2)?;
    for seed in 2..22 {
        Layout { seed, ..layout }.put(&memory)?;
        let write = Operation::write(far.at(0), vec![memory.piece(layout.range())?]);
        link.works_with(write, &far.holds(seed))?;
    }
    Ok(())
}

/// The message is a command to change what is read.
fn read(link: &mut Link, len: usize) -> Outcome {
    let far = link.make(0, 1, len, 1)?;
    let (memory, layout) = near(8, len, 1)?;
    for seed in 1..21 {
        let read = Operation::read(far.at(0), vec![memory.piece(layout.range())?]);
        let read = read.with(OperationFlags::FENCE);
        let next = Layout {
            seed: seed + 1,
            ..far.layout
        };
        let fill = Command::Fill {
            id: far.id,
            layout: next,
        };
        link.works_with(read, &fill)?;
        let got = memory.to_vec(layout.range())?;
        ensure(
            got == pattern::bytes(seed, len),
            format!("the READ before change {seed} has other bytes"),
        )?;
    }
    Ok(())
}

fn later(link: &mut Link, flags: OperationFlags) -> Outcome {
    const COUNT: usize = 32;
    let len = 1000;
    let far = link.make(WRITABLE, 8, COUNT * len, 1)?;
    let data = pattern::bytes(2, COUNT * len);
    let mut tokens = Vec::new();
    for (i, part) in data.chunks(len).enumerate() {
        let memory = rds::rdma::Memory::new(len)?;
        memory.write(0, part)?;
        let write = Operation::write(far.at((i * len) as u64), vec![memory.all()]);
        tokens.push(link.start(&write.with(flags).notify(), &[])?);
    }
    link.ask(&far.holds(2))?;
    for token in tokens {
        link.ends(token, RdmaOutcome::Success)?;
    }
    Ok(())
}
