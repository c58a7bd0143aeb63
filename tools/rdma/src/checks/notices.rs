// SPDX-License-Identifier: GPL-2.0

//! Which operations are reported, and to whom.

use crate::link::{near, Link, WRITABLE};
use crate::protocol::Command;
use crate::table::{bad, ensure, skip, Outcome, Table, Wrong};
use crate::World;
use rds::rdma::{Cookie, Operation, OperationFlags, Remote, Token};
use rds::{Interest, RdmaOutcome};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// How long it is waited for what must not come.
const LITTLE: Duration = Duration::from_millis(500);

const LEN: usize = 4096;

pub fn add(t: &mut Table) {
    t.group("notices");
    t.add("NOTIFY_ME: one status, with its token", |_, link| {
        let write = on(link, WRITABLE)?.notify();
        let (first, second) = (link.start(&write, &[])?, link.start(&write, &[])?);
        link.ends(second, RdmaOutcome::Success)?;
        link.ends(first, RdmaOutcome::Success)?;
        link.flows()?;
        none(link, first)?;
        none(link, second)?;
        ensure(link.end.doubled == 0, "a status came twice")?;
        ensure(link.end.socket.pending() == 0, "operations are pending")
    });
    t.add("a status makes the socket readable", |world, link| {
        let write = on(link, WRITABLE)?;
        let silent = write.with(OperationFlags::SILENT).notify();
        link.flows()?;
        let token = link.start(&silent, &[])?;
        let end = link.deadline();
        loop {
            let socket = link.end.socket.socket();
            let came = socket.wait(Interest::READABLE, Some(LITTLE))?;
            if came.contains(Interest::READABLE) && link.end.step(Instant::now() + LITTLE)? {
                return link.ends(token, RdmaOutcome::Success);
            }
            if Instant::now() >= end {
                return bad("it does not get readable");
            }
            if world.c_here {
                // That of a silent one comes with what follows.
                link.end.socket.socket().send_to(b"x", link.to)?;
            }
        }
    });
    t.add("without NOTIFY_ME none, if it works", |_, link| {
        let write = on(link, WRITABLE)?;
        let token = link.start(&write, &[])?;
        link.flows()?;
        none(link, token)
    });
    t.add("without NOTIFY_ME none, if it fails", |_, link| {
        let token = link.start(&nowhere(), &[])?;
        link.flows()?;
        none(link, token)
    });
    t.add("RECVERR: none, if it works", |_, link| {
        recverr(link, |link| {
            let write = on(link, WRITABLE)?;
            let token = link.start(&write, &[])?;
            link.flows()?;
            none(link, token)
        })
    });
    t.add("RECVERR: a status, if it fails", |world, link| {
        let c = world.c_here;
        recverr(link, |link| {
            let token = link.start(&nowhere(), &[])?;
            match link.outcome(token)? {
                RdmaOutcome::Dropped => link.flows(),
                RdmaOutcome::RemoteError if !c => link.flows(),
                other => bad(format!("the status is {other:?}")),
            }
        })
    });
    t.add("RECVERR and NOTIFY_ME: one status", |_, link| {
        recverr(link, |link| {
            let token = link.refused(&nowhere().notify())?;
            link.flows()?;
            none(link, token)
        })
    });
    t.add("no message comes of a silent operation", |_, link| {
        messages(link, OperationFlags::SILENT, b"", 0)
    });
    t.add("one comes if it has data", |_, link| {
        messages(link, OperationFlags::SILENT, b"x", 1)
    });
    t.add(
        "an empty one comes of an operation that is not silent",
        |_, link| messages(link, OperationFlags::NONE, b"", 1),
    );
    for (name, notify, wanted) in [
        ("with NOTIFY_ME it is said", true, true),
        ("without it is not", false, false),
    ] {
        t.add(format!("what is taken back: {name}"), move |world, link| {
            cancelled(world, link, notify, wanted)
        });
    }
    t.add("what failed does not take others with it", |world, link| {
        // Those behind it in the queue may be dropped with the connection: but each is reported, and what is
        // reported as done is done.
        let far = link.make(WRITABLE, 0, LEN, 1)?;
        let (memory, layout) = near(0, LEN, 2)?;
        let write = Operation::write(far.at(0), vec![memory.piece(layout.range())?]).notify();
        let first = link.start(&write, &[])?;
        let wrong = link.start(&nowhere().notify(), &[])?;
        let last = link.start(&write, &[])?;
        match link.outcome(first)? {
            RdmaOutcome::Success => {}
            // It was done, but nobody had looked yet.
            RdmaOutcome::Dropped if world.c_here => {}
            other => return bad(format!("the one before it: {other:?}")),
        }
        match link.outcome(wrong)? {
            RdmaOutcome::RemoteError | RdmaOutcome::Dropped => {}
            other => return bad(format!("the wrong one: {other:?}")),
        }
        match link.outcome(last)? {
            RdmaOutcome::Success | RdmaOutcome::Dropped => {}
            other => return bad(format!("the one behind it: {other:?}")),
        }
        link.ask(&far.holds(2)).map(drop)
    });
}

/// A WRITE to new memory of the server's.
fn on(link: &mut Link, flags: u64) -> Result<Operation, Wrong> {
    let far = link.make(flags, 0, LEN, 1)?;
    let (memory, layout) = near(0, LEN, 2)?;
    let piece = memory.piece(layout.range())?;
    Ok(Operation::write(far.at(0), vec![piece]))
}

/// A WRITE that fails.
fn nowhere() -> Operation {
    let remote = Remote {
        cookie: Cookie::of(0xdead_be00, 0),
        offset: 0,
    };
    // There is memory for a page.
    let pieces = rds::rdma::Memory::new(LEN).map(|memory| vec![memory.all()]);
    Operation::write(remote, pieces.unwrap_or_default())
}

/// No status comes.
fn none(link: &mut Link, token: Token) -> Outcome {
    match link.end.status(token, Instant::now() + LITTLE)? {
        None => Ok(()),
        Some(outcome) => bad(format!("a status comes: {outcome:?}")),
    }
}

/// With the option set, and not afterwards.
fn recverr(link: &mut Link, check: impl FnOnce(&mut Link) -> Outcome) -> Outcome {
    link.end.socket.socket().set_recverr(true)?;
    let outcome = check(link);
    link.end.socket.socket().set_recverr(false)?;
    outcome
}

/// How many messages the server gets of an operation.
fn messages(link: &mut Link, flags: OperationFlags, data: &[u8], wanted: u64) -> Outcome {
    let write = on(link, WRITABLE)?.with(flags).notify();
    let before = link.ask_one(&Command::Count)?;
    let token = link.start(&write, data)?;
    let after = link.ask_one(&Command::Count)?;
    link.ends(token, RdmaOutcome::Success)?;
    let came = after - before - 1;
    ensure(came == wanted, format!("{came} messages came"))
}

fn cancelled(world: &World, link: &mut Link, notify: bool, wanted: bool) -> Outcome {
    let Some(ip) = world.nowhere else {
        return skip("no address is known that nobody has");
    };
    let to: SocketAddr = (ip, link.to.port()).into();
    let write = if notify {
        nowhere().notify()
    } else {
        nowhere()
    };
    let token = link.end.operate(to, &write, &[])?;
    none(link, token)?;
    link.end.socket.socket().cancel_sent_to(to)?;
    if wanted {
        link.ends(token, RdmaOutcome::Canceled)
    } else {
        none(link, token)
    }
}
