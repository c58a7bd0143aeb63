// SPDX-License-Identifier: GPL-2.0

//! Atomics: what comes back, and what is there then.

use crate::link::{Far, Link, WRITABLE};
use crate::protocol::Command;
use crate::table::{bad, ensure, skip, Outcome, Table};
use crate::World;
use rds::rdma::{Atomic, Memory, Operation};
use rds::RdmaOutcome;

/// Where in the region they act, and where here the old value goes.
const AT: usize = 16;

pub fn add(t: &mut Table) {
    t.group("atomics");
    let swap = |compare, swap| Atomic::Swap { compare, swap };
    let masked_add = |add, boundaries| Atomic::MaskedAdd { add, boundaries };
    let masked_swap = |compare, swap, compare_mask, swap_mask| Atomic::MaskedSwap {
        compare,
        swap,
        compare_mask,
        swap_mask,
    };
    for (name, atomic, old) in [
        ("add", Atomic::Add(5), 37),
        ("add that wraps", Atomic::Add(3), u64::MAX),
        ("add of 0", Atomic::Add(0), 0x0123_4567_89ab_cdef),
        ("swap of what is there", swap(7, u64::MAX), 7),
        ("swap of what is not there", swap(8, u64::MAX), 7),
        ("masked add without boundaries", masked_add(5, 0), 37),
        (
            "masked add in two fields",
            masked_add(0x0101, 0x8080),
            0x00ff,
        ),
        (
            "masked swap of what is there",
            masked_swap(0x12, 0xabcd, 0xff, 0xff00),
            0x9912,
        ),
        (
            "masked swap of what is not there",
            masked_swap(0x12, 0xabcd, 0xff, 0xff00),
            0x9913,
        ),
    ] {
        t.add(name, move |world, link| once(world, link, atomic, old));
    }
    t.add("a hundred adds", hundred);
    t.add("add where nothing is aligned", |world, link| {
        let far = prepared(link, 7)?;
        let old = Memory::new(8)?;
        let add = Operation::atomic(Atomic::Add(1), far.at(AT as u64 + 4), old.all());
        match ended(world, link, add)? {
            RdmaOutcome::Success => bad("it worked"),
            _ => {
                link.flows()?;
                holds(link, &far, 7)
            }
        }
    });
}

/// Memory at the server whose number is `old`, between two others.
fn prepared(link: &mut Link, old: u64) -> Result<Far, crate::table::Wrong> {
    let far = link.make(WRITABLE, 0, 64, 1)?;
    for (at, value) in [(AT - 8, 1), (AT, old), (AT + 8, 2)] {
        link.ask(&Command::Set {
            id: far.id,
            at: far.layout.at + at,
            value,
        })?;
    }
    Ok(far)
}

/// The number, and those beside it.
fn holds(link: &mut Link, far: &Far, wanted: u64) -> Outcome {
    for (at, wanted) in [(AT - 8, 1), (AT, wanted), (AT + 8, 2)] {
        let got = link.ask_one(&Command::Number {
            id: far.id,
            at: far.layout.at + at,
        })?;
        ensure(
            got == wanted,
            format!("{got:#x} is at {at} instead of {wanted:#x}"),
        )?;
    }
    Ok(())
}

/// How it ends, where there are atomics.
fn ended(
    world: &World,
    link: &mut Link,
    operation: Operation,
) -> Result<RdmaOutcome, crate::table::Wrong> {
    if world.c_here {
        return skip("C makes masked ones of all, which software devices do not have");
    }
    let sent = link.end.operate(link.to, &operation.notify(), &[]);
    let token = match sent {
        Err(error) if error.raw_os_error() == Some(libc::EOPNOTSUPP) => {
            return skip("the device has no such atomics")
        }
        sent => sent?,
    };
    let outcome = link.outcome(token)?;
    if world.c_peer && outcome == RdmaOutcome::RemoteError {
        link.flows()?;
        return skip("C gives no right to them");
    }
    Ok(outcome)
}

fn once(world: &World, link: &mut Link, atomic: Atomic, old: u64) -> Outcome {
    let far = prepared(link, old)?;
    let memory = Memory::new(64)?;
    memory.write(0, &[0xee; 64])?;
    let place = memory.piece(AT..AT + 8)?;
    let operation = Operation::atomic(atomic, far.at(AT as u64), place);
    let outcome = ended(world, link, operation)?;
    ensure(
        outcome == RdmaOutcome::Success,
        format!("the status is {outcome:?}"),
    )?;
    let came = memory.number(AT)?;
    ensure(
        came == old,
        format!("{came:#x} comes back instead of {old:#x}"),
    )?;
    let around = [memory.to_vec(0..AT)?, memory.to_vec(AT + 8..64)?].concat();
    ensure(
        around.iter().all(|&byte| byte == 0xee),
        "bytes beside the old number changed",
    )?;
    holds(link, &far, atomic.apply(old))
}

fn hundred(world: &World, link: &mut Link) -> Outcome {
    let far = prepared(link, 0)?;
    let memory = Memory::new(8)?;
    for i in 0..100 {
        let add = Operation::atomic(Atomic::Add(3), far.at(AT as u64), memory.all());
        let outcome = ended(world, link, add)?;
        let came = memory.number(0)?;
        ensure(
            outcome == RdmaOutcome::Success && came == 3 * i,
            format!("the {i}th: {outcome:?}, {came} comes back"),
        )?;
    }
    holds(link, &far, 300)
}
