// SPDX-License-Identifier: GPL-2.0

//! recvmsg, recvfrom, read.

use crate::table::{addr, Fd, Header, Table, Want, World};
use libc::{EAGAIN, EFAULT, EINVAL, EMSGSIZE, ETIMEDOUT, MSG_DONTWAIT};
use raw_calls::{call, marks_compat, Addr, Call, Got, MSG_CMSG_COMPAT};

/// Into 64 bytes.
fn plain(w: &World, fd: &Fd, flags: i32) -> Got {
    let room = w.arena.room(2, 64);
    call(Call::Recvfrom(
        fd.0,
        room,
        64,
        flags | MSG_DONTWAIT,
        Addr::NULL,
        Addr::NULL,
    ))
}

fn message(w: &World, fd: &Fd, header: &Header, flags: i32) -> Got {
    call(Call::Recvmsg(fd.0, w.header(header), flags | MSG_DONTWAIT))
}

/// The flags that recvmsg left.
fn left(w: &World) -> i32 {
    let bytes = w.arena.read(4, 56);
    i32::from_ne_bytes([bytes[48], bytes[49], bytes[50], bytes[51]])
}

fn into(w: &World, len: u64) -> Header {
    Header {
        vector: w.vector(w.arena.room(2, len as usize), len),
        vectors: 1,
        ..Header::default()
    }
}

pub fn add(t: &mut Table) {
    empty(t);
    full(t);
    pointers(t);
}

fn empty(t: &mut Table) {
    t.group("recvmsg, nothing there");
    t.err("not bound", EAGAIN, |w| plain(w, &w.socket()?, 0));
    for (name, flags) in [
        ("DONTWAIT", 0),
        ("PEEK", libc::MSG_PEEK),
        ("TRUNC", libc::MSG_TRUNC),
        ("WAITALL", libc::MSG_WAITALL),
        ("DONTROUTE", libc::MSG_DONTROUTE),
        ("NOSIGNAL", libc::MSG_NOSIGNAL),
        ("MORE", libc::MSG_MORE),
        ("EOR", libc::MSG_EOR),
        ("CMSG_CLOEXEC", libc::MSG_CMSG_CLOEXEC),
        ("ERRQUEUE", libc::MSG_ERRQUEUE),
        ("an unknown flag", 0x1000_0000),
    ] {
        t.err(name, EAGAIN, move |w| plain(w, &w.bound()?, flags));
    }
    t.add("OOB", Want::Is(0), |w| plain(w, &w.bound()?, libc::MSG_OOB));
    let compat = if marks_compat() { EINVAL } else { EAGAIN };
    t.err("CMSG_COMPAT", compat, |w| {
        message(w, &w.bound()?, &Header::default(), MSG_CMSG_COMPAT)
    });
    t.err("O_NONBLOCK", EAGAIN, |w| {
        let kind = libc::SOCK_SEQPACKET | libc::SOCK_NONBLOCK;
        let fd = Fd(call(Call::Socket(w.family, kind, 0))? as i32);
        w.bind(&fd, &addr("127.0.0.1:0"))?;
        let room = w.arena.room(2, 64);
        call(Call::Recvfrom(fd.0, room, 64, 0, Addr::NULL, Addr::NULL))
    });
    t.err("SO_RCVTIMEO of 20 ms", ETIMEDOUT, |w| {
        let fd = w.bound()?;
        let mut timeout = 0_i64.to_ne_bytes().to_vec();
        timeout.extend(20_000_i64.to_ne_bytes());
        w.set(&fd, libc::SOL_SOCKET, libc::SO_RCVTIMEO, &timeout)?;
        let room = w.arena.room(2, 64);
        call(Call::Recvfrom(fd.0, room, 64, 0, Addr::NULL, Addr::NULL))
    });
    t.err("read with SO_RCVTIMEO", ETIMEDOUT, |w| {
        let fd = w.bound()?;
        let mut timeout = 0_i64.to_ne_bytes().to_vec();
        timeout.extend(20_000_i64.to_ne_bytes());
        w.set(&fd, libc::SOL_SOCKET, libc::SO_RCVTIMEO, &timeout)?;
        call(Call::Read(fd.0, w.arena.room(2, 64), 64))
    });
}

fn full(t: &mut Table) {
    t.group("recvmsg, a message");
    t.add("its length", Want::Is(10), |w| {
        plain(w, &w.with_message(10)?, 0)
    });
    t.add("an empty one", Want::Is(0), |w| {
        plain(w, &w.with_message(0)?, 0)
    });
    t.add("by read", Want::Is(10), |w| {
        call(Call::Read(w.with_message(10)?.0, w.arena.room(2, 64), 64))
    });
    t.add("by read, cut", Want::Is(4), |w| {
        call(Call::Read(w.with_message(10)?.0, w.arena.room(2, 4), 4))
    });
    t.add("cut", Want::Is(64), |w| plain(w, &w.with_message(100)?, 0));
    t.add("cut, with TRUNC", Want::Is(100), |w| {
        plain(w, &w.with_message(100)?, libc::MSG_TRUNC)
    });
    t.add("not cut, with TRUNC", Want::Is(10), |w| {
        plain(w, &w.with_message(10)?, libc::MSG_TRUNC)
    });
    t.add(
        "cut: MSG_TRUNC is said",
        Want::Is(libc::MSG_TRUNC.into()),
        |w| {
            let fd = w.with_message(100)?;
            message(w, &fd, &into(w, 64), 0)?;
            Ok((left(w) & libc::MSG_TRUNC).into())
        },
    );
    t.add("not cut: MSG_TRUNC is not said", Want::Is(0), |w| {
        let fd = w.with_message(64)?;
        message(w, &fd, &into(w, 64), 0)?;
        Ok((left(w) & libc::MSG_TRUNC).into())
    });
    t.err("the rest of a cut one is gone", EAGAIN, |w| {
        let fd = w.with_message(100)?;
        plain(w, &fd, 0)?;
        plain(w, &fd, 0)
    });
    t.add("PEEK leaves it", Want::Is(10), |w| {
        let fd = w.with_message(10)?;
        plain(w, &fd, libc::MSG_PEEK)?;
        plain(w, &fd, libc::MSG_PEEK)?;
        plain(w, &fd, 0)
    });
    t.add("OOB leaves it", Want::Is(10), |w| {
        let fd = w.with_message(10)?;
        plain(w, &fd, libc::MSG_OOB)?;
        plain(w, &fd, 0)
    });
    t.add("no room at all", Want::Is(0), |w| {
        message(w, &w.with_message(10)?, &Header::default(), 0)
    });
    t.add("a name of 16 bytes", Want::Is(16), |w| {
        let fd = w.with_message(10)?;
        let len = w.arena.place(1, &128_i32.to_ne_bytes());
        let (data, name) = (w.arena.room(2, 64), w.arena.room(0, 128));
        call(Call::Recvfrom(fd.0, data, 64, MSG_DONTWAIT, name, len))?;
        Ok(w.len().into())
    });
    t.add(
        "a name that is cut says its true length",
        Want::Is(16),
        |w| {
            let fd = w.with_message(10)?;
            let len = w.arena.place(1, &2_i32.to_ne_bytes());
            let (data, name) = (w.arena.room(2, 64), w.arena.room(0, 2));
            call(Call::Recvfrom(fd.0, data, 64, MSG_DONTWAIT, name, len))?;
            Ok(w.len().into())
        },
    );
    t.add("a timestamp", Want::Is(32), |w| {
        let fd = w.joined()?;
        w.set(
            &fd,
            libc::SOL_SOCKET,
            libc::SO_TIMESTAMP,
            &1_i32.to_ne_bytes(),
        )?;
        call(Call::Sendto(
            fd.0,
            w.arena.place(2, b"data"),
            4,
            0,
            Addr::NULL,
            0,
        ))?;
        let mut header = into(w, 64);
        (header.control, header.control_len) = (w.arena.room(5, 256), 256);
        message(w, &fd, &header, 0)?;
        let bytes = w.arena.read(4, 56);
        Ok(i64::from(u32::from_ne_bytes([
            bytes[40], bytes[41], bytes[42], bytes[43],
        ])))
    });
    t.add(
        "no room for control: MSG_CTRUNC",
        Want::Is(libc::MSG_CTRUNC.into()),
        |w| {
            let fd = w.joined()?;
            w.set(&fd, 276, 10, &[1, 2, 0, 0])?;
            call(Call::Sendto(
                fd.0,
                w.arena.place(2, b"data"),
                4,
                0,
                Addr::NULL,
                0,
            ))?;
            message(w, &fd, &into(w, 64), 0)?;
            Ok((left(w) & libc::MSG_CTRUNC).into())
        },
    );
    t.add("what the latency says takes 48 bytes", Want::Is(48), |w| {
        let fd = w.joined()?;
        w.set(&fd, 276, 10, &[1, 2, 0, 0])?;
        call(Call::Sendto(
            fd.0,
            w.arena.place(2, b"data"),
            4,
            0,
            Addr::NULL,
            0,
        ))?;
        let mut header = into(w, 64);
        (header.control, header.control_len) = (w.arena.room(5, 256), 256);
        message(w, &fd, &header, 0)?;
        let bytes = w.arena.read(4, 56);
        Ok(i64::from(u32::from_ne_bytes([
            bytes[40], bytes[41], bytes[42], bytes[43],
        ])))
    });
    t.add(
        "a pong of our own host: empty, from port 0",
        Want::Is(0),
        |w| {
            let fd = w.bound()?;
            let name = w.arena.place(0, &addr("127.0.0.1:0"));
            call(Call::Sendto(fd.0, Addr::NULL, 0, 0, name, 16))?;
            let len = w.arena.place(1, &16_i32.to_ne_bytes());
            let (data, name) = (w.arena.room(2, 64), w.arena.room(0, 16));
            call(Call::Recvfrom(fd.0, data, 64, MSG_DONTWAIT, name, len))?;
            let bytes = w.arena.read(0, 16);
            Ok(u16::from_be_bytes([bytes[2], bytes[3]]).into())
        },
    );
}

fn pointers(t: &mut Table) {
    t.group("recvmsg, wrong pointers");
    for (what, at) in [
        ("NULL", Addr::NULL),
        ("unmapped", Addr::UNMAPPED),
        ("kernel", Addr::KERNEL),
    ] {
        t.err(format!("header: {what}"), EFAULT, move |w| {
            call(Call::Recvmsg(w.with_message(10)?.0, at, MSG_DONTWAIT))
        });
        t.err(format!("vector: {what}"), EFAULT, move |w| {
            let header = Header {
                vector: at,
                vectors: 1,
                ..Header::default()
            };
            message(w, &w.with_message(10)?, &header, 0)
        });
        t.err(format!("data: {what}"), EFAULT, move |w| {
            let header = Header {
                vector: w.vector(at, 64),
                vectors: 1,
                ..Header::default()
            };
            message(w, &w.with_message(10)?, &header, 0)
        });
    }
    t.add(
        "a message that could not be copied stays",
        Want::Is(10),
        |w| {
            let fd = w.with_message(10)?;
            let header = Header {
                vector: w.vector(Addr::UNMAPPED, 64),
                vectors: 1,
                ..Header::default()
            };
            if message(w, &fd, &header, 0) != Err(EFAULT) {
                return Err(crate::table::SETUP);
            }
            plain(w, &fd, 0)
        },
    );
    for (what, at) in [("unmapped", Addr::UNMAPPED), ("kernel", Addr::KERNEL)] {
        t.err(format!("name: {what}"), EFAULT, move |w| {
            let fd = w.with_message(10)?;
            let len = w.arena.place(1, &16_i32.to_ne_bytes());
            call(Call::Recvfrom(
                fd.0,
                w.arena.room(2, 64),
                64,
                MSG_DONTWAIT,
                at,
                len,
            ))
        });
        t.err(format!("length of the name: {what}"), EFAULT, move |w| {
            let fd = w.with_message(10)?;
            let (data, name) = (w.arena.room(2, 64), w.arena.room(0, 16));
            call(Call::Recvfrom(fd.0, data, 64, MSG_DONTWAIT, name, at))
        });
        t.err(format!("control: {what}"), EFAULT, move |w| {
            let fd = w.joined()?;
            w.set(&fd, 276, 10, &[1, 2, 0, 0])?;
            call(Call::Sendto(
                fd.0,
                w.arena.place(2, b"data"),
                4,
                0,
                Addr::NULL,
                0,
            ))?;
            let mut header = into(w, 64);
            (header.control, header.control_len) = (at, 256);
            message(w, &fd, &header, 0)
        });
    }
    t.err("a name's length of -1", EINVAL, |w| {
        let fd = w.with_message(10)?;
        let len = w.arena.place(1, &(-1_i32).to_ne_bytes());
        let (data, name) = (w.arena.room(2, 64), w.arena.room(0, 16));
        call(Call::Recvfrom(fd.0, data, 64, MSG_DONTWAIT, name, len))
    });
    t.err("a vector of 1025", EMSGSIZE, |w| {
        let header = Header {
            vector: w.arena.room(3, 1025 * 16),
            vectors: 1025,
            ..Header::default()
        };
        message(w, &w.with_message(10)?, &header, 0)
    });
    t.err("read to a wrong pointer", EFAULT, |w| {
        call(Call::Read(w.with_message(10)?.0, Addr::UNMAPPED, 10))
    });
}
