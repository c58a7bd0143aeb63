// SPDX-License-Identifier: GPL-2.0

//! A send buffer that is full, because the peer cannot be reached, and what empties it.

use crate::table::{addr, Fd, Table, Want, World, NOWHERE, SETUP};
use libc::{EAGAIN, EMSGSIZE, EOPNOTSUPP, ETIMEDOUT, MSG_DONTWAIT, POLLOUT};
use raw_calls::{call, Addr, Call, Entry, Got, Request, Ring};

const BUFFER: usize = 8192;

fn send(w: &World, fd: &Fd, len: usize, flags: i32) -> Got {
    let name = w.arena.place(0, &addr(NOWHERE));
    call(Call::Sendto(
        fd.0,
        w.arena.room(2, len),
        len,
        flags,
        name,
        16,
    ))
}

/// A socket whose send buffer has this many bytes in it.
fn holding(w: &World, lens: &[usize]) -> Result<Fd, i32> {
    let fd = w.bound_rdma()?;
    let size = (BUFFER as i32).to_ne_bytes();
    w.set(&fd, libc::SOL_SOCKET, libc::SO_SNDBUF, &size)
        .map_err(|_| SETUP)?;
    for len in lens {
        send(w, &fd, *len, MSG_DONTWAIT).map_err(|_| SETUP)?;
    }
    Ok(fd)
}

/// Whether poll calls it writable.
fn writable(w: &World, fd: &Fd) -> Got {
    w.poll(fd, POLLOUT)
}

pub fn add(t: &mut Table) {
    t.group("an unreachable peer");
    t.add("takes messages", Want::Is(100), |w| {
        send(w, &holding(w, &[])?, 100, MSG_DONTWAIT)
    });
    t.add(
        "takes one more while there is room",
        Want::Is(BUFFER as i64),
        |w| send(w, &holding(w, &[BUFFER - 1])?, BUFFER, MSG_DONTWAIT),
    );
    t.add("any number of empty ones", Want::Is(0), |w| {
        send(w, &holding(w, &[0; 100])?, 0, MSG_DONTWAIT)
    });
    for len in [0, 1, BUFFER] {
        t.err(
            format!("no more when it is full: {len} bytes"),
            EAGAIN,
            move |w| send(w, &holding(w, &[BUFFER])?, len, MSG_DONTWAIT),
        );
    }
    t.err("full after one too many", EAGAIN, |w| {
        send(w, &holding(w, &[BUFFER - 1, 2])?, 1, MSG_DONTWAIT)
    });
    t.err(
        "what is too long is said before that it is full",
        EMSGSIZE,
        |w| send(w, &holding(w, &[BUFFER])?, BUFFER + 1, MSG_DONTWAIT),
    );
    t.err("SO_SNDTIMEO of 20 ms", ETIMEDOUT, |w| {
        let fd = holding(w, &[BUFFER])?;
        let mut timeout = 0_i64.to_ne_bytes().to_vec();
        timeout.extend(20_000_i64.to_ne_bytes());
        w.set(&fd, libc::SOL_SOCKET, libc::SO_SNDTIMEO, &timeout)
            .map_err(|_| SETUP)?;
        send(w, &fd, 1, 0)
    });
    t.add("writable while there is room", Want::Is(1), |w| {
        writable(w, &holding(w, &[BUFFER - 1])?)
    });
    t.add("not writable when it is full", Want::Is(0), |w| {
        writable(w, &holding(w, &[BUFFER])?)
    });
    t.add("CANCEL_SENT_TO makes room", Want::Is(1), |w| {
        let fd = holding(w, &[BUFFER])?;
        w.cancel(&fd, NOWHERE)?;
        send(w, &fd, 1, MSG_DONTWAIT)
    });
    t.add("CANCEL_SENT_TO makes it writable", Want::Is(1), |w| {
        let fd = holding(w, &[BUFFER])?;
        w.cancel(&fd, NOWHERE)?;
        writable(w, &fd)
    });
    for other in ["192.0.2.77:10", "192.0.2.78:9"] {
        t.err(
            format!("CANCEL_SENT_TO {other} does not"),
            EAGAIN,
            move |w| {
                let fd = holding(w, &[BUFFER])?;
                w.cancel(&fd, other)?;
                send(w, &fd, 1, MSG_DONTWAIT)
            },
        );
    }
    t.add("a larger buffer makes room", Want::Is(1), |w| {
        let fd = holding(w, &[BUFFER])?;
        let size = (2 * BUFFER as i32).to_ne_bytes();
        w.set(&fd, libc::SOL_SOCKET, libc::SO_SNDBUF, &size)
            .map_err(|_| SETUP)?;
        send(w, &fd, 1, MSG_DONTWAIT)
    });
    t.add(
        "a ring waits for room, and sends it all",
        Want::Is(100),
        |w| {
            let fd = holding(w, &[BUFFER])?;
            w.connect(&fd, &addr(NOWHERE)).map_err(|_| SETUP)?;
            let mut ring = Ring::new(1).map_err(|_| SETUP)?;
            ring.push(Entry {
                request: Request::Send(fd.0, w.arena.room(2, 100), 100, 0),
                flags: 0,
                number: 0,
            });
            ring.submit(0).map_err(|_| SETUP)?;
            if let Some((_, got, _)) = ring.complete() {
                return got;
            }
            w.cancel(&fd, NOWHERE)?;
            ring.submit(1).map_err(|_| SETUP)?;
            ring.complete().ok_or(SETUP)?.1
        },
    )
    .but_c(
        Want::Err(EOPNOTSUPP),
        "it refuses NOSIGNAL, which io_uring adds",
    );
    t.add("nothing keeps it from being closed", Want::Is(0), |w| {
        let fd = holding(w, &[100, 200, 0])?;
        let result = call(Call::Close(fd.0));
        std::mem::forget(fd);
        result
    });
    t.err("nothing comes of it", EAGAIN, |w| {
        let fd = holding(w, &[100])?;
        let room = w.arena.room(2, 64);
        call(Call::Recvfrom(
            fd.0,
            room,
            64,
            MSG_DONTWAIT,
            Addr::NULL,
            Addr::NULL,
        ))
    });
}
