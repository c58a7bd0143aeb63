// SPDX-License-Identifier: GPL-2.0

//! Memory that is sent without a copy, over TCP.

use crate::table::{addr, cmsg, sockaddr, Fd, Header, Table, Want, World, NOWHERE, SETUP, SOL_RDS};
use libc::{EAGAIN, EFAULT, EINVAL, ENOBUFS, ENOMEM, MSG_DONTWAIT, MSG_ZEROCOPY, POLLIN};
use raw_calls::{call, Addr, Call, Got};
use rustix::process::{getrlimit, setrlimit, Resource, Rlimit};
use rustix::thread::{capabilities, set_capabilities, CapabilitySet};

const COOKIE: i32 = 12;
const COMPLETION: i32 = 13;
/// A control message with cookies.
const ROOM: usize = 56;

/// A socket that may lend memory, whose messages stay with it.
fn lender(w: &World) -> Result<Fd, i32> {
    let fd = w.bound_tcp()?;
    w.set_zerocopy(&fd, 1).map_err(|_| SETUP)?;
    w.connect(&fd, &addr(NOWHERE)).map_err(|_| SETUP)?;
    Ok(fd)
}

/// Sends memory, with a control message of this kind.
fn send(w: &World, fd: &Fd, data: Addr, len: usize, control: &[u8], flags: i32) -> Got {
    let header = Header {
        vector: w.vector(data, len as u64),
        vectors: 1,
        control: w.arena.place(5, control),
        control_len: control.len() as u64,
        ..Header::default()
    };
    call(Call::Sendmsg(fd.0, w.header(&header), flags | MSG_DONTWAIT))
}

fn cookie(number: u32) -> Vec<u8> {
    cmsg(SOL_RDS, COOKIE, &number.to_ne_bytes())
}

/// Lends so many bytes.
fn lend(w: &World, fd: &Fd, len: usize, number: u32) -> Got {
    let data = w.arena.room(2, len);
    send(w, fd, data, len, &cookie(number), MSG_ZEROCOPY)
}

/// A socket that has lent a page for each of the cookies.
fn lending(w: &World, cookies: &[u32]) -> Result<Fd, i32> {
    let fd = lender(w)?;
    for number in cookies {
        lend(w, &fd, 4096, *number).map_err(|_| SETUP)?;
    }
    Ok(fd)
}

/// The same, and all of it was given back.
fn lent(w: &World, cookies: &[u32]) -> Result<Fd, i32> {
    let fd = lending(w, cookies)?;
    cancel(w, &fd)?;
    Ok(fd)
}

fn cancel(w: &World, fd: &Fd) -> Got {
    w.cancel(fd, NOWHERE).map_err(|_| SETUP)
}

/// What recvmsg gives with so much room for control messages.
fn receive(w: &World, fd: &Fd, room: usize) -> Got {
    let header = Header {
        vector: w.vector(w.arena.room(2, 64), 64),
        vectors: 1,
        control: w.arena.room(5, room.max(1)),
        control_len: room as u64,
        ..Header::default()
    };
    call(Call::Recvmsg(fd.0, w.header(&header), MSG_DONTWAIT))
}

/// The cookies that recvmsg gives, as digits of a number, the smallest first: the order is that in which messages
/// ended, which cancelling does not tell.
fn cookies(w: &World, fd: &Fd) -> Got {
    match receive(w, fd, ROOM)? {
        0 => {}
        other => return Ok(-other),
    }
    let raw = w.arena.read(5, ROOM);
    let word = |at: usize| u32::from_ne_bytes([raw[at], raw[at + 1], raw[at + 2], raw[at + 3]]);
    if (word(0), word(8) as i32, word(12) as i32) != (16 + 36, SOL_RDS, COMPLETION) {
        return Ok(-1);
    }
    let digits = (0..word(16).min(8)).map(|index| i64::from(word(20 + 4 * index as usize)));
    let mut digits: Vec<_> = digits.collect();
    digits.sort_unstable();
    Ok(digits.iter().fold(0, |sum, digit| sum * 10 + digit))
}

/// Does it without CAP_IPC_LOCK, and with so many pages of memory that may be locked.
fn limited(pages: u64, run: impl FnOnce() -> Got) -> Got {
    let (before, limit) = (capabilities(None), getrlimit(Resource::Memlock));
    let Ok(before) = before else {
        return Err(SETUP);
    };
    let mut less = before;
    less.effective.remove(CapabilitySet::IPC_LOCK);
    let most = Rlimit {
        current: Some(pages * 4096),
        maximum: limit.maximum,
    };
    setrlimit(Resource::Memlock, most).map_err(|_| SETUP)?;
    set_capabilities(None, less).map_err(|_| SETUP)?;
    let got = run();
    set_capabilities(None, before).map_err(|_| SETUP)?;
    setrlimit(Resource::Memlock, limit).map_err(|_| SETUP)?;
    got
}

pub fn add(t: &mut Table) {
    calls(t);
    completions(t);
    limits(t);
}

fn calls(t: &mut Table) {
    t.group("MSG_ZEROCOPY over TCP");
    for len in [1, 4096, 65536] {
        t.add(format!("{len} bytes"), Want::Is(len as i64), move |w| {
            lend(w, &lender(w)?, len, 1)
        });
    }
    t.err("no bytes", EINVAL, |w| lend(w, &lender(w)?, 0, 1));
    t.err("without a cookie", EINVAL, |w| {
        let data = w.arena.room(2, 4);
        send(w, &lender(w)?, data, 4, &[], MSG_ZEROCOPY)
    });
    t.err("with half a cookie", EINVAL, |w| {
        let data = w.arena.room(2, 4);
        let half = cmsg(SOL_RDS, COOKIE, &[0; 2]);
        send(w, &lender(w)?, data, 4, &half, MSG_ZEROCOPY)
    });
    t.err("a cookie without the flag", EINVAL, |w| {
        let data = w.arena.room(2, 4);
        send(w, &lender(w)?, data, 4, &cookie(1), 0)
    });
    t.err("without SO_ZEROCOPY", EINVAL, |w| {
        let fd = lender(w)?;
        w.set_zerocopy(&fd, 0).map_err(|_| SETUP)?;
        lend(w, &fd, 4, 1)
    });
    t.err("memory that is not there", EFAULT, |w| {
        send(
            w,
            &lender(w)?,
            w.arena.behind(2),
            4,
            &cookie(1),
            MSG_ZEROCOPY,
        )
    });
    t.add("nothing keeps it from being closed", Want::Is(0), |w| {
        let fd = lending(w, &[1, 2])?;
        let result = call(Call::Close(fd.0));
        std::mem::forget(fd);
        result
    });
}

fn completions(t: &mut Table) {
    t.group("cookies");
    t.err("none as long as the message waits", EAGAIN, |w| {
        cookies(w, &lending(w, &[1])?)
    });
    t.add("one when it is cancelled", Want::Is(7), |w| {
        cookies(w, &lent(w, &[7])?)
    });
    t.add("some at once", Want::Is(1234), |w| {
        cookies(w, &lent(w, &[1, 2, 3, 4])?)
    });
    t.add("eight at once", Want::Is(11_111_111), |w| {
        cookies(w, &lent(w, &[1; 9])?)
    });
    t.add("the others with the next call", Want::Is(11), |w| {
        let fd = lent(w, &[1; 10])?;
        cookies(w, &fd)?;
        cookies(w, &fd)
    })
    .but_c(Want::Is(1), "it merges cookies into the first record only");
    t.err("each once", EAGAIN, |w| {
        let fd = lent(w, &[1])?;
        cookies(w, &fd)?;
        cookies(w, &fd)
    });
    t.err("none of a call that failed", EAGAIN, |w| {
        let fd = lender(w)?;
        let failed = send(w, &fd, w.arena.behind(2), 4, &cookie(1), MSG_ZEROCOPY);
        if failed.is_ok() {
            return Err(SETUP);
        }
        cookies(w, &fd)
    });
    for room in [0, 16, ROOM - 1] {
        t.err(format!("room for {room} bytes"), EAGAIN, move |w| {
            receive(w, &lent(w, &[1])?, room)
        });
    }
    t.add("it stays where there was no room", Want::Is(5), |w| {
        let fd = lent(w, &[5])?;
        let _ = receive(w, &fd, ROOM - 1);
        cookies(w, &fd)
    });
    t.err("no control buffer, but a length", EAGAIN, |w| {
        let fd = lent(w, &[1])?;
        let header = Header {
            vector: w.vector(w.arena.room(2, 64), 64),
            vectors: 1,
            control_len: ROOM as u64,
            ..Header::default()
        };
        call(Call::Recvmsg(fd.0, w.header(&header), MSG_DONTWAIT))
    });
    for (name, back, events) in [("readable", true, 1), ("not readable before", false, 0)] {
        t.add(name, Want::Is(events), move |w| {
            let fd = if back {
                lent(w, &[1])?
            } else {
                lending(w, &[1])?
            };
            // The first call tells of congestion maps, too.
            let _ = w.poll(&fd, POLLIN);
            w.poll(&fd, POLLIN)
        });
    }
    t.add("one at once if the peer is on the host", Want::Is(7), |w| {
        let (fd, peer) = (lender(w)?, w.bound_tcp()?);
        let local = w.local.ok_or(SETUP)?;
        let to = sockaddr((local, w.port(&peer)?).into());
        w.connect(&fd, &to).map_err(|_| SETUP)?;
        lend(w, &fd, 4096, 7).map_err(|_| SETUP)?;
        cookies(w, &fd)
    })
    .but_c(
        Want::Err(EAGAIN),
        "there the receiver reads the sender's pages",
    );
    t.add("not with the option off", Want::Err(EAGAIN), |w| {
        let fd = lent(w, &[1])?;
        w.set_zerocopy(&fd, 0).map_err(|_| SETUP)?;
        cookies(w, &fd)
    });
}

fn limits(t: &mut Table) {
    t.group("lent memory");
    // A message of a page takes three of the limit, as it may begin anywhere.
    t.add("as much as may be locked", Want::Is(4096), |w| {
        let fd = lender(w)?;
        limited(3, || lend(w, &fd, 4096, 1))
    });
    t.err("no more", ENOMEM, |w| {
        let fd = lender(w)?;
        limited(5, || {
            lend(w, &fd, 4096, 1).map_err(|_| SETUP)?;
            lend(w, &fd, 4096, 2)
        })
    });
    t.add("more when some is given back", Want::Is(4096), |w| {
        let fd = lender(w)?;
        limited(5, || {
            lend(w, &fd, 4096, 1).map_err(|_| SETUP)?;
            cancel(w, &fd)?;
            lend(w, &fd, 4096, 2)
        })
    });
    t.add("a call that fails locks nothing", Want::Is(4096), |w| {
        let fd = lender(w)?;
        limited(3, || {
            let failed = send(w, &fd, w.arena.behind(2), 4, &cookie(1), MSG_ZEROCOPY);
            if failed.is_ok() {
                return Err(SETUP);
            }
            lend(w, &fd, 4096, 1)
        })
    });
    t.err(
        "no more than 4096 cookies that nobody fetches",
        ENOBUFS,
        |w| {
            let fd = lender(w)?;
            for _ in 0..64 {
                for number in 0..64 {
                    lend(w, &fd, 1, number).map_err(|_| SETUP)?;
                }
                cancel(w, &fd)?;
            }
            lend(w, &fd, 1, 0)
        },
    )
    .but_c(Want::Is(1), "its list grows without a bound");
    t.add("more when some are fetched", Want::Is(1), |w| {
        let fd = lender(w)?;
        for _ in 0..65 {
            for number in 0..64 {
                lend(w, &fd, 1, number).map_err(|_| SETUP)?;
            }
            cancel(w, &fd)?;
            for _ in 0..8 {
                cookies(w, &fd)?;
            }
        }
        lend(w, &fd, 1, 0)
    });
}
