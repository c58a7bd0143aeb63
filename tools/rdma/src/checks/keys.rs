// SPDX-License-Identifier: GPL-2.0

//! Who may access what, and for how long. Whatever is refused, messages flow again afterwards.

use crate::end;
use crate::link::{near, region_flags, Far, Link, INVALIDATE, USE_ONCE, WRITABLE};
use crate::pattern::Layout;
use crate::protocol::{Answer, Command, Method};
use crate::table::{bad, ensure, refused, skip, Outcome, Table, Wrong};
use crate::World;
use rds::rdma::{Cookie, Memory, Operation, RdmaSocket, Region, RegionFlags, Remote};
use rds::{RdmaOutcome, SendControl, SendFlags, Transport};
use std::io::IoSlice;
use std::time::{Duration, Instant};

const LEN: usize = 4096;

pub fn add(t: &mut Table) {
    t.group("keys");
    for (name, method) in [
        ("RDMA_MAP", Method::Map),
        ("GET_MR", Method::Option),
        ("GET_MR_FOR_DEST", Method::OptionForDest),
        ("GET_MR and RDMA_DEST", Method::Dest),
    ] {
        t.add(format!("a region there by {name}"), move |world, link| {
            there(world, link, method)
        });
        t.add(format!("a region here by {name}"), move |_, link| {
            here(link, method)
        });
    }
    t.add("use once: a second use fails", |_, link| use_once(link));
    t.add("use once: a silent use is none", |_, link| silent_use(link));
    t.add("given up with INVALIDATE", |_, link| {
        given_up(link, WRITABLE, true, false)
    });
    t.add("made with INVALIDATE and given up", |_, link| {
        given_up(link, WRITABLE | INVALIDATE, false, false)
    });
    t.add("given up, and all flushed", |_, link| {
        given_up(link, WRITABLE, false, true)
    });
    t.add("a stale key beside a new region", |_, link| {
        let old = link.make(WRITABLE | INVALIDATE, 0, LEN, 1)?;
        gives_up(link, &old, true)?;
        let new = link.make(WRITABLE, 0, LEN, 2)?;
        goes(link, &old, false)?;
        link.ask(&new.holds(2)).map(drop)
    });
    for write in [true, false] {
        let name = if write { "WRITE" } else { "READ" };
        add_wrong(t, name, write);
    }
    t.add("WRITE to a region for reading", |world, link| {
        if world.c_peer {
            return skip("C keeps no region from being written to");
        }
        let far = link.make(0, 0, LEN, 1)?;
        link.fails(operation(far.at(0), LEN, true)?.0)?;
        link.ask(&far.holds(1))?;
        link.works(operation(far.at(0), LEN, false)?.0)
    });
    t.add(
        "WRITE to the byte behind, in the region's last page",
        |_, link| {
            let far = link.make(WRITABLE, 0, 100, 1)?;
            let token = link.start(&operation(far.at(100), 1, true)?.0.notify(), &[])?;
            let outcome = link.outcome(token)?;
            link.flows()?;
            if outcome == RdmaOutcome::Success {
                return skip("the device knows whole pages only");
            }
            link.ask(&far.holds(1)).map(drop)
        },
    );
    t.add(
        "another socket's region is not ours to give",
        |world, link| {
            let other = own(world)?;
            let region = by_option(&other, RegionFlags::NONE)?;
            let dest = [SendControl::RdmaDest(region.cookie().0)];
            let sent = link.end.socket.socket().send_message(
                &[IoSlice::new(b"x")],
                Some(link.to),
                &dest,
                SendFlags::NONE,
            );
            refused(sent, libc::EINVAL)?;
            region.free(true)?;
            Ok(())
        },
    );
    t.add(
        "a region that is given up is not ours to give",
        |_, link| {
            let memory = Memory::new(LEN)?;
            let region = link.end.socket.register(memory.all(), RegionFlags::NONE);
            let region = no_option(region)?;
            let dest = [SendControl::RdmaDest(region.cookie().0)];
            region.free(true)?;
            let socket = link.end.socket.socket();
            let sent = socket.send_message(&[], Some(link.to), &dest, SendFlags::NONE);
            refused(sent, libc::EINVAL)
        },
    );
}

fn add_wrong(t: &mut Table, name: &str, write: bool) {
    t.add(
        format!("{name} with a key that nobody has"),
        move |_, link| {
            let far = link.make(WRITABLE, 0, LEN, 1)?;
            let key = far.cookie.key() ^ 0x5a5a_0000;
            let cookie = Cookie::of(key, far.cookie.offset());
            wrong(link, &far, Remote { cookie, offset: 0 }, LEN, write)
        },
    );
    t.add(format!("{name} with key 0"), move |_, link| {
        let far = link.make(WRITABLE, 0, LEN, 1)?;
        let cookie = Cookie(0);
        wrong(link, &far, Remote { cookie, offset: 0 }, LEN, write)
    });
    t.add(
        format!("{name} with another variant of a key"),
        move |_, link| {
            let far = link.make(WRITABLE, 0, LEN, 1)?;
            let cookie = Cookie::of(far.cookie.key() ^ 1, far.cookie.offset());
            wrong(link, &far, Remote { cookie, offset: 0 }, LEN, write)
        },
    );
    for (what, offset, len) in [
        ("of a byte more than a region has", 0, LEN + 1),
        ("of the byte behind a region", LEN as u64, 1),
        ("far behind a region", 1 << 40, 64),
        ("around the end of addresses", u64::MAX - 7, 64),
    ] {
        t.add(format!("{name} {what}"), move |_, link| {
            let far = link.make(WRITABLE, 0, LEN, 1)?;
            wrong(link, &far, far.at(offset), len, write)
        });
    }
}

/// An operation on so many bytes, and the memory here.
fn operation(at: Remote, len: usize, write: bool) -> Result<(Operation, Memory), Wrong> {
    let (memory, layout) = near(0, len, 99)?;
    let pieces = vec![memory.piece(layout.range())?];
    let operation = if write {
        Operation::write(at, pieces)
    } else {
        Operation::read(at, pieces)
    };
    Ok((operation, memory))
}

/// It fails, and nothing is written, here or there.
fn wrong(link: &mut Link, far: &Far, at: Remote, len: usize, write: bool) -> Outcome {
    let (operation, memory) = operation(at, len, write)?;
    link.fails(operation)?;
    link.ask(&far.holds(1))?;
    let (_, layout) = near(0, len, 99)?;
    Ok(layout.check(&memory)?)
}

fn gives_up(link: &mut Link, far: &Far, invalidate: bool) -> Outcome {
    let id = far.id;
    link.ask(&Command::Free { id, invalidate }).map(drop)
}

/// Operations on it work for some time at most, and then they fail. What was written last is there still.
fn goes(link: &mut Link, far: &Far, mut write: bool) -> Outcome {
    let end = link.deadline();
    while Instant::now() < end {
        let token = link.start(&operation(far.at(0), LEN, write)?.0.notify(), &[])?;
        match link.outcome(token)? {
            RdmaOutcome::Success => write = false,
            RdmaOutcome::RemoteError => return link.flows(),
            RdmaOutcome::Dropped => link.flows()?,
            other => return bad(format!("the status is {other:?}")),
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    bad("it works still")
}

fn use_once(link: &mut Link) -> Outcome {
    let far = link.make(WRITABLE | USE_ONCE | INVALIDATE, 0, LEN, 1)?;
    link.works_with(operation(far.at(0), LEN, true)?.0, &far.holds(99))?;
    goes(link, &far, false)?;
    link.ask(&far.holds(99))?;
    let (id, invalidate) = (far.id, true);
    match link.ask_any(&Command::Free { id, invalidate })? {
        Answer::Errno(libc::EINVAL) => Ok(()),
        other => bad(format!("to give it up then gives {other}")),
    }
}

fn silent_use(link: &mut Link) -> Outcome {
    let far = link.make(WRITABLE | USE_ONCE | INVALIDATE, 0, LEN, 1)?;
    for _ in 0..3 {
        let silent = operation(far.at(0), LEN, true)?.0;
        let silent = silent.with(rds::rdma::OperationFlags::SILENT);
        link.start(&silent, &[])?;
        link.flows()?;
    }
    link.ask(&far.holds(99))?;
    gives_up(link, &far, true)
}

fn given_up(link: &mut Link, flags: u64, invalidate: bool, flush: bool) -> Outcome {
    let far = link.make(flags, 511, LEN, 1)?;
    link.works_with(operation(far.at(0), LEN, true)?.0, &far.holds(99))?;
    gives_up(link, &far, invalidate)?;
    if flush {
        link.ask(&Command::Flush)?;
    }
    goes(link, &far, false)?;
    link.ask(&far.holds(99)).map(drop)
}

fn there(world: &World, link: &mut Link, method: Method) -> Outcome {
    if world.c_peer && method != Method::Map {
        return skip("C has regions by RDMA_MAP only");
    }
    for offset in [0, 4095] {
        let far = link.make_by(method, WRITABLE, offset, LEN, 1)?;
        link.works_with(operation(far.at(0), LEN, true)?.0, &far.holds(99))?;
        let (read, memory) = operation(far.at(0), LEN, false)?;
        link.works(read)?;
        near(0, LEN, 99)?.1.check(&memory)?;
        gives_up(link, &far, true)?;
    }
    Ok(())
}

/// A socket of ours that is not the link's.
fn own(world: &World) -> Result<RdmaSocket, Wrong> {
    let mut local = world.local;
    local.set_port(0);
    let socket = end::bound(world.family, Transport::Rdma, local)?;
    Ok(RdmaSocket::new(socket))
}

fn no_option(made: std::io::Result<Region>) -> Result<Region, Wrong> {
    match made {
        Err(error) if error.raw_os_error() == Some(libc::EOPNOTSUPP) => {
            skip("there are regions by RDMA_MAP only")
        }
        made => Ok(made?),
    }
}

fn by_option(socket: &RdmaSocket, flags: RegionFlags) -> Result<Region, Wrong> {
    let memory = Memory::new(LEN)?;
    no_option(socket.register(memory.all(), flags))
}

/// The server writes to and reads from our memory.
fn here(link: &mut Link, method: Method) -> Outcome {
    let (memory, layout) = near(8, LEN, 1)?;
    let piece = memory.piece(layout.range())?;
    let flags = region_flags(WRITABLE);
    let socket = &link.end.socket;
    let region = match method {
        Method::Map => {
            let data = [IoSlice::new(b"for you")];
            socket.send_map(&data, link.to, piece, flags, SendFlags::NONE)?
        }
        Method::OptionForDest => no_option(socket.register_for(link.to, piece, flags))?,
        Method::Option | Method::Dest => no_option(socket.register(piece, flags))?,
    };
    if method == Method::Dest {
        let dest = [SendControl::RdmaDest(region.cookie().0)];
        let plain = socket.socket();
        plain.send_message(&[IoSlice::new(b"x")], Some(link.to), &dest, SendFlags::NONE)?;
    }
    let port = socket.socket().local_addr()?.map_or(0, |at| at.port());
    let reach = |write, seed| Command::Reach {
        port,
        cookie: region.cookie().0,
        write,
        len: LEN,
        seed,
        count: 1,
    };
    let all_well = |got: Vec<u64>| ensure(got == [1, 0, 0], format!("the server met {got:?}"));
    all_well(link.ask(&reach(true, 2))?)?;
    Layout { seed: 2, ..layout }.check(&memory)?;
    all_well(link.ask(&reach(false, 2))?)?;
    let late = reach(true, 3);
    region.free(true)?;
    // What the message of its cookie holds on to goes when that is acknowledged.
    let end = link.deadline();
    let mut layout = Layout { seed: 2, ..layout };
    loop {
        match link.ask(&late)?[..] {
            [0, 1, 0] => break,
            [1, 0, 0] if Instant::now() < end => layout.seed = 3,
            // The connection was lost for another reason.
            [0, 0, 1] if Instant::now() < end => {}
            ref other => return bad(format!("given up, the server met {other:?}")),
        }
    }
    link.flows()?;
    Ok(layout.check(&memory)?)
}
