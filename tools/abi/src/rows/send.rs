// SPDX-License-Identifier: GPL-2.0

//! sendmsg, sendto, write: flags, names, data, control, sizes, and which check comes first.

use crate::table::{
    addr, cmsg, sockaddr, Fd, Header, Table, Want, World, LOOPBACK, SETUP, SOL_RDS,
};
use libc::{EFAULT, EINVAL, EMSGSIZE, ENOBUFS, ENOTCONN, EOPNOTSUPP};
use raw_calls::{call, marks_compat, Addr, Call, Got, MSG_CMSG_COMPAT};

/// Four bytes by sendmsg, with these flags.
fn flagged(w: &World, fd: &Fd, flags: i32) -> Got {
    w.send_with(fd, &[], flags)
}

/// Four bytes to a name of this length.
fn named(w: &World, fd: &Fd, name: &[u8], len: i32) -> Got {
    let header = Header {
        name: w.arena.place(0, name),
        name_len: len,
        vector: w.vector(w.arena.place(2, b"data"), 4),
        vectors: 1,
        ..Header::default()
    };
    call(Call::Sendmsg(fd.0, w.header(&header), 0))
}

fn to(w: &World, fd: &Fd, name: &[u8]) -> Got {
    named(w, fd, name, name.len() as i32)
}

/// So many bytes to itself.
fn sized(w: &World, fd: &Fd, len: usize) -> Got {
    let data = w.arena.room(2, len);
    call(Call::Sendto(
        fd.0,
        data,
        len,
        libc::MSG_DONTWAIT,
        Addr::NULL,
        0,
    ))
}

pub fn add(t: &mut Table) {
    flags(t);
    names(t);
    data(t);
    control(t);
    order(t);
    plain(t);
}

fn flags(t: &mut Table) {
    t.group("sendmsg flags");
    for (name, flags) in [("none", 0), ("DONTWAIT", libc::MSG_DONTWAIT)] {
        t.add(name, Want::Is(4), move |w| flagged(w, &w.joined()?, flags));
    }
    for (name, flags) in [
        ("OOB", libc::MSG_OOB),
        ("PEEK", libc::MSG_PEEK),
        ("DONTROUTE", libc::MSG_DONTROUTE),
        ("CTRUNC", libc::MSG_CTRUNC),
        ("0x10", 0x10),
        ("TRUNC", libc::MSG_TRUNC),
        ("WAITALL", libc::MSG_WAITALL),
        ("FIN", libc::MSG_FIN),
        ("SYN", libc::MSG_SYN),
        ("CONFIRM", libc::MSG_CONFIRM),
        ("RST", libc::MSG_RST),
        ("ERRQUEUE", libc::MSG_ERRQUEUE),
        ("MORE", libc::MSG_MORE),
        ("BATCH", 0x40000),
        ("FASTOPEN", libc::MSG_FASTOPEN),
        ("CMSG_CLOEXEC", libc::MSG_CMSG_CLOEXEC),
        ("OOB and DONTWAIT", libc::MSG_OOB | libc::MSG_DONTWAIT),
    ] {
        t.err(name, EOPNOTSUPP, move |w| flagged(w, &w.joined()?, flags));
    }
    for (name, flags) in [("EOR", libc::MSG_EOR), ("NOSIGNAL", libc::MSG_NOSIGNAL)] {
        t.add(name, Want::Is(4), move |w| flagged(w, &w.joined()?, flags))
            .but_c(
                Want::Err(EOPNOTSUPP),
                "write(2) and io_uring add it, and it asks for nothing that RDS does not do",
            );
    }
    // The kernel takes it away: the same bit has a meaning of its own inside.
    t.add("WAITFORONE", Want::Is(4), |w| {
        flagged(w, &w.joined()?, 0x10000)
    });
    let compat = if marks_compat() { EINVAL } else { EOPNOTSUPP };
    t.err("CMSG_COMPAT", compat, |w| {
        flagged(w, &w.joined()?, MSG_CMSG_COMPAT)
    });
    t.err("ZEROCOPY without a cookie", EINVAL, |w| {
        flagged(w, &w.joined()?, libc::MSG_ZEROCOPY)
    });
    t.err("ZEROCOPY with SO_ZEROCOPY", EOPNOTSUPP, |w| {
        let fd = w.joined()?;
        w.set_zerocopy(&fd, 1).map_err(|errno| match errno {
            // Under another number than RDS's own, the kernel itself says so.
            EOPNOTSUPP => EOPNOTSUPP,
            _ => SETUP,
        })?;
        w.send_with(&fd, &cmsg(SOL_RDS, 12, &[0; 4]), libc::MSG_ZEROCOPY)
    });
    t.err("ZEROCOPY with a cookie, without SO_ZEROCOPY", EINVAL, |w| {
        w.send_with(
            &w.joined()?,
            &cmsg(SOL_RDS, 12, &[0; 4]),
            libc::MSG_ZEROCOPY,
        )
    });
}

fn names(t: &mut Table) {
    t.group("sendmsg name");
    for text in [
        "127.0.0.1:9",
        "[::ffff:127.0.0.1]:9",
        "127.0.0.1:0",
        "127.0.0.1:1",
    ] {
        t.add(text, Want::Is(4), move |w| to(w, &w.bound()?, &addr(text)));
    }
    for text in [
        "0.0.0.0:9",
        "255.255.255.255:9",
        "224.0.0.1:9",
        "[::]:9",
        "[ff02::1]:9",
        "[::ffff:0.0.0.0]:9",
        "[::ffff:255.255.255.255]:9",
        "[::ffff:224.0.0.1]:9",
        "[fe80::1]:9",
    ] {
        t.err(text, EINVAL, move |w| to(w, &w.bound()?, &addr(text)));
    }
    t.err("IPv6 from IPv4", EOPNOTSUPP, |w| {
        to(w, &w.bound()?, &addr("[::1]:9"))
    });
    t.err("IPv4 from IPv6", EOPNOTSUPP, |w| {
        let fd = w.socket()?;
        w.bind(&fd, &addr("[::1]:0")).map_err(|_| SETUP)?;
        to(w, &fd, &addr("127.0.0.1:9"))
    });
    for (what, from, dest) in [
        ("IPv6 from IPv4", "127.0.0.1:0", "[::1]:9"),
        ("IPv4 from IPv6", "[::1]:0", "127.0.0.1:9"),
    ] {
        t.err(format!("{what}, connected"), EOPNOTSUPP, move |w| {
            let fd = w.socket()?;
            w.bind(&fd, &addr(from)).map_err(|_| SETUP)?;
            w.connect(&fd, &addr(dest)).map_err(|_| SETUP)?;
            flagged(w, &fd, 0)
        })
        .but_c(
            Want::Is(4),
            "it compares named destinations only; no device joins the two",
        );
    }
    for family in [0_u16, 1, 16, 21, 255] {
        t.err(format!("family {family}"), EINVAL, move |w| {
            let mut name = addr("[::1]:9");
            name[..2].copy_from_slice(&family.to_ne_bytes());
            to(w, &w.bound()?, &name)
        });
    }
    for len in [1, 2, 8, 15] {
        t.err(format!("AF_INET of {len} bytes"), EINVAL, move |w| {
            named(w, &w.bound()?, &addr("127.0.0.1:9"), len)
        });
    }
    for len in [16, 24, 27] {
        t.err(format!("AF_INET6 of {len} bytes"), EINVAL, move |w| {
            named(w, &w.bound()?, &addr("[::1]:9"), len)
        });
    }
    for len in [16, 28, 128] {
        t.add(format!("AF_INET of {len} bytes"), Want::Is(4), move |w| {
            let mut name = addr("127.0.0.1:9");
            name.resize(len, 0);
            to(w, &w.bound()?, &name)
        });
    }
    t.add("of 200 bytes: cut to 128", Want::Is(4), |w| {
        let mut name = addr("127.0.0.1:9");
        name.resize(200, 0);
        to(w, &w.bound()?, &name)
    });
    for len in [-1, i32::MIN] {
        t.err(format!("a length of {len}"), EINVAL, move |w| {
            named(w, &w.bound()?, &addr("127.0.0.1:9"), len)
        });
    }
    for (what, at) in [("unmapped", Addr::UNMAPPED), ("kernel", Addr::KERNEL)] {
        t.err(format!("a pointer: {what}"), EFAULT, move |w| {
            let header = Header {
                name: at,
                name_len: 16,
                ..Header::default()
            };
            call(Call::Sendmsg(w.bound()?.0, w.header(&header), 0))
        });
    }
    t.err("NULL of 16 bytes is no name", ENOTCONN, |w| {
        let header = Header {
            name_len: 16,
            ..Header::default()
        };
        call(Call::Sendmsg(w.bound()?.0, w.header(&header), 0))
    });
    t.add("wins over connect", Want::Is(4), |w| {
        let fd = w.bound()?;
        w.connect(&fd, &addr("127.0.0.1:9")).map_err(|_| SETUP)?;
        let port = w.port(&fd)?;
        to(w, &fd, &sockaddr((LOOPBACK, port).into()))?;
        let room = w.arena.room(2, 100);
        call(Call::Recvfrom(
            fd.0,
            room,
            100,
            libc::MSG_DONTWAIT,
            Addr::NULL,
            Addr::NULL,
        ))
    });
    t.err("bound, no destination", ENOTCONN, |w| {
        flagged(w, &w.bound()?, 0)
    });
    t.err("not bound", ENOTCONN, |w| {
        to(w, &w.socket()?, &addr("127.0.0.1:9"))
    });
    t.err("connected, not bound", ENOTCONN, |w| {
        let fd = w.socket()?;
        w.connect(&fd, &addr("127.0.0.1:9")).map_err(|_| SETUP)?;
        flagged(w, &fd, 0)
    });
    for (len, wanted) in [(129, EINVAL), (-1, EINVAL), (1, EINVAL)] {
        t.err(format!("sendto, a length of {len}"), wanted, move |w| {
            let name = w.arena.place(0, &addr("127.0.0.1:9"));
            let data = w.arena.place(2, b"data");
            call(Call::Sendto(w.bound()?.0, data, 4, 0, name, len))
        });
    }
    t.err("sendto, a wrong pointer", EFAULT, |w| {
        let data = w.arena.place(2, b"data");
        call(Call::Sendto(w.bound()?.0, data, 4, 0, Addr::UNMAPPED, 16))
    });
}

fn data(t: &mut Table) {
    t.group("sendmsg data");
    for len in [0, 1, 4095, 4096, 4097, 65536] {
        t.add(format!("{len} bytes"), Want::Is(len as i64), move |w| {
            sized(w, &w.joined()?, len)
        });
    }
    t.err("longer than the send buffer", EMSGSIZE, |w| {
        let fd = w.joined()?;
        w.set(
            &fd,
            libc::SOL_SOCKET,
            libc::SO_SNDBUF,
            &8192_i32.to_ne_bytes(),
        )?;
        sized(w, &fd, 8193)
    });
    t.add("as long as the send buffer", Want::Is(8192), |w| {
        let fd = w.joined()?;
        w.set(
            &fd,
            libc::SOL_SOCKET,
            libc::SO_SNDBUF,
            &8192_i32.to_ne_bytes(),
        )?;
        sized(w, &fd, 8192)
    });
    t.add("a mebibyte", Want::Is(1 << 20), |w| {
        let fd = w.joined()?;
        w.set(
            &fd,
            libc::SOL_SOCKET,
            libc::SO_SNDBUFFORCE,
            &(2_i32 << 20).to_ne_bytes(),
        )?;
        sized(w, &fd, 1 << 20)
    });
    t.err("a mebibyte and one", EMSGSIZE, |w| {
        let fd = w.joined()?;
        w.set(
            &fd,
            libc::SOL_SOCKET,
            libc::SO_SNDBUFFORCE,
            &(2_i32 << 20).to_ne_bytes(),
        )?;
        sized(w, &fd, (1 << 20) + 1)
    });
    for (what, at) in [
        ("NULL", Addr::NULL),
        ("unmapped", Addr::UNMAPPED),
        ("kernel", Addr::KERNEL),
    ] {
        t.err(format!("data: {what}"), EFAULT, move |w| {
            let header = Header {
                vector: w.vector(at, 4),
                vectors: 1,
                ..Header::default()
            };
            call(Call::Sendmsg(w.joined()?.0, w.header(&header), 0))
        });
        t.err(format!("vector: {what}"), EFAULT, move |w| {
            let header = Header {
                vector: at,
                vectors: 1,
                ..Header::default()
            };
            call(Call::Sendmsg(w.joined()?.0, w.header(&header), 0))
        });
        t.err(format!("header: {what}"), EFAULT, move |w| {
            call(Call::Sendmsg(w.joined()?.0, at, 0))
        });
    }
    t.err("data that ends in a hole", EFAULT, |w| {
        let header = Header {
            vector: w.vector(w.arena.place(2, b"data"), 5),
            vectors: 1,
            ..Header::default()
        };
        call(Call::Sendmsg(w.joined()?.0, w.header(&header), 0))
    });
    t.err("a large message that ends in a hole", EFAULT, |w| {
        let header = Header {
            vector: w.vector(w.arena.room(2, 9000), 10000),
            vectors: 1,
            ..Header::default()
        };
        call(Call::Sendmsg(w.joined()?.0, w.header(&header), 0))
    });
    t.err("a vector of 1025", EMSGSIZE, |w| {
        let header = Header {
            vector: w.arena.room(3, 1025 * 16),
            vectors: 1025,
            ..Header::default()
        };
        call(Call::Sendmsg(w.joined()?.0, w.header(&header), 0))
    });
    t.add("an empty vector", Want::Is(0), |w| {
        call(Call::Sendmsg(
            w.joined()?.0,
            w.header(&Header::default()),
            0,
        ))
    });
    t.add("1024 pieces of nothing", Want::Is(0), |w| {
        let header = Header {
            vector: w.arena.place(3, &[0; 1024 * 16]),
            vectors: 1024,
            ..Header::default()
        };
        call(Call::Sendmsg(w.joined()?.0, w.header(&header), 0))
    });
    t.add("pieces are joined", Want::Is(12), |w| {
        let mut vector = Vec::new();
        for _ in 0..3 {
            vector.extend(w.arena.place(2, b"data").word());
            vector.extend(4_u64.to_ne_bytes());
        }
        let header = Header {
            vector: w.arena.place(3, &vector),
            vectors: 3,
            ..Header::default()
        };
        let fd = w.joined()?;
        call(Call::Sendmsg(fd.0, w.header(&header), 0))?;
        let room = w.arena.room(2, 100);
        call(Call::Recvfrom(
            fd.0,
            room,
            100,
            libc::MSG_DONTWAIT,
            Addr::NULL,
            Addr::NULL,
        ))
    });
}

fn control(t: &mut Table) {
    t.group("sendmsg control");
    for level in [0, libc::SOL_SOCKET, 6, 17, 41, 275, 277, -1] {
        t.add(
            format!("level {level} is not looked at"),
            Want::Is(4),
            move |w| w.send_with(&w.joined()?, &cmsg(level, 1, &[0; 8]), 0),
        );
    }
    for kind in [0, 4, 5, 10, 11, 13, 14, 63, 255, -1] {
        t.err(format!("type {kind}"), EINVAL, move |w| {
            w.send_with(&w.joined()?, &cmsg(SOL_RDS, kind, &[0; 80]), 0)
        });
    }
    for (kind, len) in [
        (1, 55),
        (1, 0),
        (2, 7),
        (2, 0),
        (3, 31),
        (3, 0),
        (6, 71),
        (7, 0),
        (12, 3),
    ] {
        t.err(format!("type {kind} of {len} bytes"), EINVAL, move |w| {
            w.send_with(&w.joined()?, &cmsg(SOL_RDS, kind, &vec![0; len]), 0)
        });
    }
    t.err("RDMA_ARGS without pieces", EINVAL, |w| {
        w.send_with(&w.joined()?, &cmsg(SOL_RDS, 1, &[0; 56]), 0)
    });
    t.err("RDMA_DEST of no memory of ours", EINVAL, |w| {
        w.send_with(&w.joined()?, &cmsg(SOL_RDS, 2, &[1; 8]), 0)
    });
    for (first, second) in [(1, 2), (6, 2), (7, 3), (8, 12), (9, 2)] {
        t.err(
            format!("types {first} and {second} together"),
            EINVAL,
            move |w| {
                let mut control = cmsg(SOL_RDS, first, &[0; 80]);
                control.extend(cmsg(SOL_RDS, second, &[0; 32]));
                w.send_with(&w.joined()?, &control, 0)
            },
        );
    }
    for len in [1_u64, 8, 15] {
        t.err(
            format!("a header that says it has {len} bytes"),
            EINVAL,
            move |w| {
                let mut control = cmsg(0, 1, &[0; 8]);
                control[..8].copy_from_slice(&len.to_ne_bytes());
                w.send_with(&w.joined()?, &control, 0)
            },
        );
    }
    for len in [25_u64, 4096, u64::MAX, u64::MAX - 7] {
        t.err(
            format!("a header that says it has {len} bytes"),
            EINVAL,
            move |w| {
                let mut control = cmsg(0, 1, &[0; 8]);
                control[..8].copy_from_slice(&len.to_ne_bytes());
                w.send_with(&w.joined()?, &control, 0)
            },
        );
    }
    t.err("a good one, then one without end", EINVAL, |w| {
        let mut control = cmsg(0, 1, &[0; 8]);
        let mut second = cmsg(0, 1, &[0; 8]);
        second[0] = 0xff;
        control.extend(second);
        w.send_with(&w.joined()?, &control, 0)
    });
    t.add("shorter than a header", Want::Is(4), |w| {
        w.send_with(&w.joined()?, &[0; 15], 0)
    });
    for (what, at) in [("unmapped", Addr::UNMAPPED), ("kernel", Addr::KERNEL)] {
        t.err(format!("a pointer: {what}"), EFAULT, move |w| {
            let header = Header {
                vector: w.vector(w.arena.place(2, b"data"), 4),
                vectors: 1,
                control: at,
                control_len: 24,
                ..Header::default()
            };
            call(Call::Sendmsg(w.joined()?.0, w.header(&header), 0))
        });
    }
    t.err("more than an int of it", ENOBUFS, |w| {
        let header = Header {
            control: w.arena.room(5, 24),
            control_len: 1 << 31,
            ..Header::default()
        };
        call(Call::Sendmsg(w.joined()?.0, w.header(&header), 0))
    });
}

/// Two things are wrong: which is said?
fn order(t: &mut Table) {
    t.group("sendmsg order");
    t.err("flags before name", EOPNOTSUPP, |w| {
        let header = Header {
            name: w.arena.place(0, &addr("0.0.0.0:1")),
            name_len: 16,
            ..Header::default()
        };
        call(Call::Sendmsg(
            w.socket()?.0,
            w.header(&header),
            libc::MSG_OOB,
        ))
    });
    t.err("name before being bound", EINVAL, |w| {
        to(w, &w.socket()?, &addr("0.0.0.0:9"))
    });
    t.err("being bound before control", ENOTCONN, |w| {
        w.send_with(&w.socket()?, &cmsg(SOL_RDS, 99, &[]), 0)
    });
    t.err("family before length", EOPNOTSUPP, |w| {
        let fd = w.bound()?;
        let name = w.arena.place(0, &addr("[::1]:9"));
        let len = (1 << 20) + 1;
        call(Call::Sendto(fd.0, w.arena.room(2, len), len, 0, name, 28))
    });
    t.err("length before control", EMSGSIZE, |w| {
        let len = (1 << 20) + 1;
        let header = Header {
            vector: w.vector(w.arena.room(2, len), len as u64),
            vectors: 1,
            control: w.arena.place(5, &cmsg(SOL_RDS, 99, &[])),
            control_len: 16,
            ..Header::default()
        };
        call(Call::Sendmsg(w.joined()?.0, w.header(&header), 0))
    });
    t.err("malformed control before length", EINVAL, |w| {
        let len = (1 << 20) + 1;
        let mut control = cmsg(SOL_RDS, 2, &[0; 8]);
        control[0] = 1;
        let header = Header {
            vector: w.vector(w.arena.room(2, len), len as u64),
            vectors: 1,
            control: w.arena.place(5, &control),
            control_len: 24,
            ..Header::default()
        };
        call(Call::Sendmsg(w.joined()?.0, w.header(&header), 0))
    });
    t.err("length before data", EMSGSIZE, |w| {
        let len = (1 << 20) + 1;
        call(Call::Sendto(
            w.joined()?.0,
            w.arena.behind(2),
            len,
            0,
            Addr::NULL,
            0,
        ))
    });
    t.err("control before data", EINVAL, |w| {
        let header = Header {
            vector: w.vector(w.arena.behind(2), 4),
            vectors: 1,
            control: w.arena.place(5, &cmsg(SOL_RDS, 99, &[])),
            control_len: 16,
            ..Header::default()
        };
        call(Call::Sendmsg(w.joined()?.0, w.header(&header), 0))
    });
}

fn plain(t: &mut Table) {
    t.group("write");
    t.add("to the connected destination", Want::Is(4), |w| {
        call(Call::Write(w.joined()?.0, w.arena.place(2, b"data"), 4))
    })
    .but_c(Want::Err(EOPNOTSUPP), "the kernel adds MSG_EOR to writes");
    t.err("not bound", ENOTCONN, |w| {
        call(Call::Write(w.socket()?.0, w.arena.place(2, b"data"), 4))
    })
    .but_c(Want::Err(EOPNOTSUPP), "the kernel adds MSG_EOR to writes");
    t.err("a wrong pointer", EFAULT, |w| {
        call(Call::Write(w.joined()?.0, Addr::NULL, 4))
    })
    .but_c(Want::Err(EOPNOTSUPP), "the kernel adds MSG_EOR to writes");
    t.group("sendmmsg");
    // With more than one, the kernel adds MSG_BATCH.
    for (count, want) in [(1, Want::Is(1)), (2, Want::Err(EOPNOTSUPP))] {
        t.add(format!("{count} messages"), want, move |w| {
            let fd = w.joined()?;
            let vector = w.vector(w.arena.place(2, b"data"), 4);
            let mut all = Vec::new();
            for _ in 0..count {
                all.extend([0; 16]);
                all.extend(vector.word());
                all.extend(1_u64.to_ne_bytes());
                all.extend([0; 32]);
            }
            call(Call::Sendmmsg(fd.0, w.arena.place(4, &all), count, 0))
        });
    }
    t.err("a wrong pointer", EFAULT, |w| {
        call(Call::Sendmmsg(w.joined()?.0, Addr::UNMAPPED, 1, 0))
    });
}
