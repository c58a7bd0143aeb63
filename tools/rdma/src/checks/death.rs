// SPDX-License-Identifier: GPL-2.0

//! A process is killed while operations of its own and of its peer are under way. Nobody else may notice.

use super::limits::Child;
use crate::link::{near, region_flags, Link, WRITABLE};
use crate::protocol::{Answer, Command};
use crate::table::{bad, ensure, Outcome, Table, Wrong};
use crate::World;
use raw_calls::shared;
use rds::rdma::{Memory, Operation, Token};
use rds::SendFlags;
use std::collections::VecDeque;
use std::io::IoSlice;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Of the child's operations, and of its memory.
const LEN: usize = 256 << 10;

/// Operations of the child's that are under way.
const DEPTH: usize = 16;

/// What the child tells: its port, the cookie of its memory, and how many operations it has begun.
#[derive(Clone, Copy)]
struct Told(&'static [AtomicU64]);

impl Told {
    const PORT: usize = 0;
    const COOKIE: usize = 1;
    const BEGUN: usize = 2;

    fn get(self, at: usize) -> u64 {
        self.0[at].load(Ordering::SeqCst)
    }

    fn set(self, at: usize, value: u64) {
        self.0[at].store(value, Ordering::SeqCst);
    }
}

pub fn add(t: &mut Table) {
    t.group("death");
    for (name, write) in [("WRITEs", true), ("READs", false)] {
        for pause in [0, 20, 200] {
            t.add(
                format!("killed in the middle of {name}, after {pause} ms"),
                move |world, link| dies(world, link, write, pause),
            );
        }
    }
    t.add(
        "a socket closed in the middle of operations",
        |world, link| {
            let mut other = Link::open(world)?;
            let far = other.make(WRITABLE, 0, LEN, 1)?;
            let (memory, layout) = near(0, LEN, 2)?;
            let write = Operation::write(far.at(0), vec![memory.piece(layout.range())?]).notify();
            for _ in 0..DEPTH {
                other.start(&write, &[])?;
            }
            let port = other.end.socket.socket().local_addr()?;
            drop(other);
            link.flows()?;
            let port = port.map_or(0, |at| at.port());
            link.ask(&Command::Clear { port })?;
            serves(link)
        },
    );
}

/// What the child does until it is killed, or for some minutes.
fn child(world: &World, told: Told, write: bool) -> Result<(), Wrong> {
    let mut link = Link::open(world)?;
    let far = link.make(WRITABLE, 0, LEN, 1)?;
    let ours = Memory::new(LEN)?;
    let data = [IoSlice::new(b"for you")];
    let flags = region_flags(WRITABLE);
    let socket = link.end.socket.clone();
    let region = socket.send_map(&data, link.to, ours.all(), flags, SendFlags::NONE)?;
    let port = socket.socket().local_addr()?.map_or(0, |at| at.port());
    told.set(Told::COOKIE, region.cookie().0);
    told.set(Told::PORT, port.into());
    let pieces = vec![Memory::new(LEN)?.all()];
    let operation = if write {
        Operation::write(far.at(0), pieces)
    } else {
        Operation::read(far.at(0), pieces)
    }
    .notify();
    let mut under_way: VecDeque<Token> = VecDeque::new();
    let end = Instant::now() + 4 * world.patience;
    while Instant::now() < end {
        // The server's writing may fail and take the connection down: any end will do.
        if under_way.len() >= DEPTH {
            if let Some(first) = under_way.pop_front() {
                link.outcome(first)?;
            }
        }
        under_way.push_back(link.start(&operation, b"x")?);
        told.set(Told::BEGUN, told.get(Told::BEGUN) + 1);
    }
    Ok(())
}

fn dies(world: &World, link: &mut Link, write: bool, pause: u64) -> Outcome {
    let told = Told(shared(3)?);
    let child = Child::start(|| i32::from(child(world, told, write).is_err()))?;
    killed(link, told, child, pause)
}

fn killed(link: &mut Link, told: Told, child: Child, pause: u64) -> Outcome {
    let end = link.deadline();
    while told.get(Told::BEGUN) < 2 * DEPTH as u64 {
        ensure(Instant::now() < end, "the child does not get on")?;
        std::thread::sleep(Duration::from_millis(5));
    }
    // The server writes into the child's memory, too.
    let port = told.get(Told::PORT) as u16;
    let reach = Command::Reach {
        port,
        cookie: told.get(Told::COOKIE),
        write: true,
        len: LEN,
        seed: 3,
        count: 10,
    };
    let (request, data) = link.command(&reach);
    link.end.socket.socket().send_to(&data, link.to)?;
    std::thread::sleep(Duration::from_millis(pause));
    child.kill()?;
    let status = child.ended()?;
    ensure(
        status == -libc::SIGKILL,
        format!("the child ended before, with {status}"),
    )?;
    match link.answer(request)?.0 {
        Answer::Done(ends) if ends.iter().sum::<u64>() == 10 => {}
        other => return bad(format!("the server says {other}")),
    }
    link.flows()?;
    link.ask(&Command::Clear { port })?;
    serves(link)
}

/// Operations of others work.
fn serves(link: &mut Link) -> Outcome {
    for seed in 4..8 {
        let far = link.make(WRITABLE, 8, LEN, 1)?;
        let (memory, layout) = near(511, LEN, seed)?;
        let write = Operation::write(far.at(0), vec![memory.piece(layout.range())?]);
        link.works_with(write, &far.holds(seed))?;
        link.works(Operation::read(
            far.at(0),
            vec![memory.piece(layout.range())?],
        ))?;
        layout.check(&memory)?;
    }
    Ok(())
}
