// SPDX-License-Identifier: GPL-2.0

//! Sockets made, and calls that RDS does not have, on right and wrong descriptors.

use crate::table::{Fd, Table, Want, World};
use libc::{EBADF, EINVAL, ENODEV, ENOTSOCK, EOPNOTSUPP, ESOCKTNOSUPPORT};
use raw_calls::{call, Addr, Call, Got};

/// Makes a socket, and closes it.
fn create(w: &World, kind: i32, protocol: i32) -> Got {
    let fd = call(Call::Socket(w.family, kind, protocol))?;
    call(Call::Close(fd as i32))
}

/// A call of its descriptor.
type On = fn(&World, i32) -> Call;

/// Calls of each kind, with arguments that are right if the descriptor is.
const CALLS: [(&str, On); 14] = [
    ("bind", |w, fd| {
        Call::Bind(fd, w.arena.place(0, &[0; 16]), 16)
    }),
    ("connect", |w, fd| {
        Call::Connect(fd, w.arena.place(0, &[0; 16]), 16)
    }),
    ("listen", |_, fd| Call::Listen(fd, 1)),
    ("accept", |_, fd| Call::Accept(fd, Addr::NULL, Addr::NULL)),
    ("shutdown", |_, fd| Call::Shutdown(fd, libc::SHUT_RDWR)),
    ("getsockname", |w, fd| {
        let len = w.arena.place(1, &28_i32.to_ne_bytes());
        Call::Getsockname(fd, w.arena.room(0, 28), len)
    }),
    ("getpeername", |w, fd| {
        let len = w.arena.place(1, &28_i32.to_ne_bytes());
        Call::Getpeername(fd, w.arena.room(0, 28), len)
    }),
    ("sendto", |w, fd| {
        Call::Sendto(fd, w.arena.room(2, 4), 4, 0, Addr::NULL, 0)
    }),
    ("recvfrom", |w, fd| {
        Call::Recvfrom(
            fd,
            w.arena.room(2, 4),
            4,
            libc::MSG_DONTWAIT,
            Addr::NULL,
            Addr::NULL,
        )
    }),
    ("sendmsg", |w, fd| {
        Call::Sendmsg(fd, w.arena.place(4, &[0; 56]), 0)
    }),
    ("recvmsg", |w, fd| {
        Call::Recvmsg(fd, w.arena.place(4, &[0; 56]), libc::MSG_DONTWAIT)
    }),
    ("sendmmsg", |w, fd| {
        Call::Sendmmsg(fd, w.arena.place(4, &[0; 64]), 1, 0)
    }),
    ("setsockopt", |w, fd| {
        Call::Setsockopt(fd, 276, 5, w.arena.place(2, &[0; 4]), 4)
    }),
    ("getsockopt", |w, fd| {
        let len = w.arena.place(1, &4_i32.to_ne_bytes());
        Call::Getsockopt(fd, 276, 5, w.arena.room(2, 4), len)
    }),
];

pub fn add(t: &mut Table) {
    t.group("socket");
    t.fine("SEQPACKET, protocol 0", |w| {
        create(w, libc::SOCK_SEQPACKET, 0)
    });
    t.fine("with NONBLOCK and CLOEXEC", |w| {
        create(
            w,
            libc::SOCK_SEQPACKET | libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC,
            0,
        )
    });
    for (name, kind) in [
        ("type 0", 0),
        ("STREAM", libc::SOCK_STREAM),
        ("DGRAM", libc::SOCK_DGRAM),
        ("RAW", libc::SOCK_RAW),
        ("RDM", libc::SOCK_RDM),
        ("DCCP", 6),
        ("type 7", 7),
        ("PACKET", 10),
    ] {
        t.err(name, ESOCKTNOSUPPORT, move |w| create(w, kind, 0));
    }
    for (name, kind) in [
        ("type 11", 11),
        ("type 15", 15),
        ("an unknown flag", 5 | 0x1000),
    ] {
        t.err(name, EINVAL, move |w| create(w, kind, 0));
    }
    for protocol in [1, 6, 17, 21, 255, 256, i32::MAX, -1] {
        t.err(format!("protocol {protocol}"), ESOCKTNOSUPPORT, move |w| {
            create(w, libc::SOCK_SEQPACKET, protocol)
        });
    }
    t.err("socketpair", EOPNOTSUPP, |w| {
        call(Call::Socketpair(
            w.family,
            libc::SOCK_SEQPACKET,
            0,
            w.arena.room(2, 8),
        ))
    });
    t.err("socketpair of STREAM", ESOCKTNOSUPPORT, |w| {
        call(Call::Socketpair(
            w.family,
            libc::SOCK_STREAM,
            0,
            w.arena.room(2, 8),
        ))
    });

    t.group("not in RDS");
    for backlog in [0, 1, -1] {
        t.err(format!("listen {backlog}"), EOPNOTSUPP, move |w| {
            call(Call::Listen(w.bound()?.0, backlog))
        });
    }
    t.err("listen, not bound", EOPNOTSUPP, |w| {
        call(Call::Listen(w.socket()?.0, 1))
    });
    t.err("accept", EOPNOTSUPP, |w| {
        call(Call::Accept(w.bound()?.0, Addr::NULL, Addr::NULL))
    });
    t.err("accept, wrong pointers", EOPNOTSUPP, |w| {
        call(Call::Accept(w.bound()?.0, Addr::UNMAPPED, Addr::KERNEL))
    });
    for how in [0, 1, 2, 3, -1] {
        t.err(format!("shutdown {how}"), EOPNOTSUPP, move |w| {
            call(Call::Shutdown(w.joined()?.0, how))
        });
    }
    t.err("shutdown, not bound", EOPNOTSUPP, |w| {
        call(Call::Shutdown(w.socket()?.0, 2))
    });
    t.err("mmap", ENODEV, |w| call(Call::Mmap(w.bound()?.0)));

    t.group("no such descriptor");
    for (name, make) in CALLS {
        t.err(name, EBADF, move |w| call(make(w, -1)));
    }
    t.group("a closed descriptor");
    for (name, make) in CALLS {
        t.err(name, EBADF, move |w| {
            let fd = w.bound()?.0;
            // It is closed by now: `Fd` went with the statement above.
            call(make(w, fd))
        });
    }
    t.group("a pipe");
    for (name, make) in CALLS {
        t.err(name, ENOTSOCK, move |w| {
            call(Call::Pipe(w.arena.room(6, 8), 0))?;
            let both = w.arena.read(6, 8);
            let end = |at: usize| {
                let bytes = [both[at], both[at + 1], both[at + 2], both[at + 3]];
                Fd(i32::from_ne_bytes(bytes))
            };
            let (read, _write) = (end(0), end(4));
            call(make(w, read.0))
        });
    }
    t.group("close");
    t.add("with messages in its queue", Want::Is(0), |w| {
        let fd = w.with_message(100)?;
        let result = call(Call::Close(fd.0));
        std::mem::forget(fd);
        result
    });
    t.err("twice", EBADF, |w| {
        let fd = w.bound()?;
        call(Call::Close(fd.0))?;
        call(Call::Close(fd.0))
    });
    t.fine("frees the port", |w| {
        let fd = w.bound()?;
        let port = w.port(&fd)?;
        drop(fd);
        let again = w.socket()?;
        w.bind(
            &again,
            &crate::table::sockaddr((crate::table::LOOPBACK, port).into()),
        )
    });
}
