// SPDX-License-Identifier: GPL-2.0

//! bind, connect, getsockname, getpeername.

use crate::table::{addr, sockaddr, Table, Want, World, LOOPBACK, SETUP};
use libc::{
    EADDRINUSE, EADDRNOTAVAIL, EAFNOSUPPORT, EDESTADDRREQ, EFAULT, EINVAL, ENOPROTOOPT, ENOTCONN,
    EPROTOTYPE,
};
use raw_calls::{call, Addr, Call, Got};
use std::net::{IpAddr, Ipv4Addr};

/// An address with another family.
fn of_family(family: u16) -> Vec<u8> {
    let mut bytes = addr("127.0.0.1:0");
    bytes[..2].copy_from_slice(&family.to_ne_bytes());
    bytes.resize(28, 0);
    bytes
}

fn bind_new(w: &World, to: &[u8]) -> Got {
    let fd = w.socket()?;
    w.bind(&fd, to)
}

fn connect_new(w: &World, to: &[u8]) -> Got {
    let fd = w.socket()?;
    w.connect(&fd, to)
}

/// So many bytes of an address, and the length said to be another.
fn with_len(bytes: &[u8], len: i32) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    bytes.resize(len.clamp(0, 128) as usize, 0);
    bytes
}

pub fn add(t: &mut Table) {
    bind(t);
    connect(t);
    names(t);
}

fn bind(t: &mut Table) {
    t.group("bind");
    for text in [
        "127.0.0.1:0",
        "127.0.0.2:0",
        "[::1]:0",
        "[::ffff:127.0.0.1]:0",
    ] {
        t.fine(text, move |w| bind_new(w, &addr(text)));
    }
    for text in [
        "0.0.0.0:0",
        "0.0.0.0:4000",
        "255.255.255.255:0",
        "224.0.0.1:0",
        "239.255.255.255:0",
        "[::]:0",
        "[::]:4000",
        "[ff02::1]:0",
        "[ff02::1%1]:0",
        "[fe80::1]:0",
        "[::ffff:0.0.0.0]:0",
        "[::ffff:255.255.255.255]:0",
        "[::ffff:224.0.0.1]:0",
        "127.0.0.1:1",
        "[::1]:1",
    ] {
        t.err(text, EINVAL, move |w| bind_new(w, &addr(text)));
    }
    for text in [
        "192.0.2.1:0",
        "192.0.2.1:1",
        "240.0.0.1:0",
        "1.2.3.4:4000",
        "[2001:db8::1]:0",
        "[fe80::1%12345]:0",
        "[::ffff:192.0.2.1]:0",
    ] {
        t.err(text, EADDRNOTAVAIL, move |w| bind_new(w, &addr(text)));
    }
    for family in [0, 1, 3, 10 + 256, 16, 17, 21, 40, 255, 65535] {
        t.err(format!("family {family}"), EINVAL, move |w| {
            bind_new(w, &of_family(family))
        });
    }
    for len in [0, 1, 2, 3, 4, 8, 15] {
        t.err(format!("AF_INET of {len} bytes"), EINVAL, move |w| {
            bind_new(w, &with_len(&addr("127.0.0.1:0"), len))
        });
    }
    for len in [16, 17, 28, 128] {
        t.fine(format!("AF_INET of {len} bytes"), move |w| {
            bind_new(w, &with_len(&addr("127.0.0.1:0"), len))
        });
    }
    for len in [2, 16, 24, 27] {
        t.err(format!("AF_INET6 of {len} bytes"), EINVAL, move |w| {
            bind_new(w, &with_len(&addr("[::1]:0"), len))
        });
    }
    for len in [28, 29, 128] {
        t.fine(format!("AF_INET6 of {len} bytes"), move |w| {
            bind_new(w, &with_len(&addr("[::1]:0"), len))
        });
    }
    for len in [129, 4096, i32::MAX, -1, i32::MIN] {
        t.err(format!("a length of {len}"), EINVAL, move |w| {
            let fd = w.socket()?;
            call(Call::Bind(fd.0, w.arena.place(0, &[0; 128]), len))
        });
    }
    for (name, at) in [
        ("NULL", Addr::NULL),
        ("unmapped", Addr::UNMAPPED),
        ("kernel", Addr::KERNEL),
    ] {
        t.err(format!("a pointer: {name}"), EFAULT, move |w| {
            call(Call::Bind(w.socket()?.0, at, 16))
        });
        t.err(format!("a pointer: {name}, length 0"), EINVAL, move |w| {
            call(Call::Bind(w.socket()?.0, at, 0))
        });
    }
    t.err("an address that crosses into a hole", EFAULT, |w| {
        let fd = w.socket()?;
        call(Call::Bind(fd.0, w.arena.place(0, &addr("127.0.0.1:0")), 28))
    });
    t.err("twice", EINVAL, |w| {
        let fd = w.bound()?;
        w.bind(&fd, &addr("127.0.0.1:0"))
    });
    t.err("twice, to an address that is not ours", EINVAL, |w| {
        let fd = w.bound()?;
        w.bind(&fd, &addr("192.0.2.1:0"))
    });
    t.err("a port that is taken", EADDRINUSE, |w| {
        let first = w.bound()?;
        let port = w.port(&first)?;
        bind_new(w, &sockaddr((LOOPBACK, port).into()))
    });
    t.err("a port that is taken, SO_REUSEADDR", EADDRINUSE, |w| {
        let first = w.bound()?;
        let port = w.port(&first)?;
        let fd = w.socket()?;
        w.set(
            &fd,
            libc::SOL_SOCKET,
            libc::SO_REUSEADDR,
            &1_i32.to_ne_bytes(),
        )?;
        w.bind(&fd, &sockaddr((LOOPBACK, port).into()))
    });
    t.err(
        "a port that is taken, as a mapped address",
        EADDRINUSE,
        |w| {
            let first = w.bound()?;
            let port = w.port(&first)?;
            bind_new(w, &addr(&format!("[::ffff:127.0.0.1]:{port}")))
        },
    );
    t.fine("a port that another address has", |w| {
        let first = w.bound()?;
        let port = w.port(&first)?;
        bind_new(w, &addr(&format!("127.0.0.2:{port}")))
    });
    t.fine("again after EADDRINUSE", |w| {
        let first = w.bound()?;
        let port = w.port(&first)?;
        let fd = w.socket()?;
        match w.bind(&fd, &sockaddr((LOOPBACK, port).into())) {
            Err(EADDRINUSE) => w.bind(&fd, &addr("127.0.0.1:0")),
            _ => Err(SETUP),
        }
    });
    t.fine("again after EADDRNOTAVAIL", |w| {
        let fd = w.socket()?;
        match w.bind(&fd, &addr("192.0.2.1:0")) {
            Err(EADDRNOTAVAIL) => w.bind(&fd, &addr("127.0.0.1:0")),
            _ => Err(SETUP),
        }
    });
    t.fine("an RDMA device's address", |w| {
        let local = w.local.ok_or(SETUP)?;
        bind_new(w, &sockaddr((local, 0).into()))
    });
    t.fine("an RDMA device's address, transport chosen", |w| {
        w.bound_rdma().map(|_| 0)
    });
    t.fine("an RDMA device's IPv6 address", |w| {
        let local = w.local6.ok_or(SETUP)?;
        bind_new(w, &sockaddr((local, 0).into()))
    });
    t.err("not ours, transport chosen", ENOPROTOOPT, |w| {
        let fd = w.socket()?;
        w.set(&fd, 276, 8, &0_i32.to_ne_bytes())?;
        w.bind(&fd, &addr("192.0.2.1:0"))
    });
    t.err("loopback, RDMA chosen", ENOPROTOOPT, |w| {
        let fd = w.socket()?;
        w.set(&fd, 276, 8, &0_i32.to_ne_bytes())?;
        w.bind(&fd, &addr("127.0.0.1:0"))
    });
    t.err("port 1 of an RDMA device's address", EINVAL, |w| {
        let local = w.local.ok_or(SETUP)?;
        bind_new(w, &sockaddr((local, 1).into()))
    });
    t.fine("after connect", |w| {
        let fd = w.socket()?;
        w.connect(&fd, &addr("127.0.0.1:4000"))?;
        w.bind(&fd, &addr("127.0.0.1:0"))
    });
    t.err("link-local, after connect on another link", EINVAL, |w| {
        let fd = w.socket()?;
        w.connect(&fd, &addr("[fe80::1%2]:4000"))?;
        w.bind(&fd, &addr("[fe80::1%3]:0"))
    });
}

fn connect(t: &mut Table) {
    t.group("connect");
    for text in [
        "127.0.0.1:4000",
        "127.0.0.1:0",
        "192.0.2.1:4000",
        "240.0.0.1:1",
        "[::1]:4000",
        "[2001:db8::1]:4000",
        "[fe80::1%2]:4000",
        "[::ffff:127.0.0.1]:4000",
    ] {
        t.add(text, Want::Is(0), move |w| connect_new(w, &addr(text)));
    }
    t.err("0.0.0.0", EDESTADDRREQ, |w| {
        connect_new(w, &addr("0.0.0.0:4000"))
    });
    for text in [
        "255.255.255.255:1",
        "224.0.0.1:1",
        "239.1.2.3:1",
        "[fe80::1]:1",
    ] {
        t.err(text, EINVAL, move |w| connect_new(w, &addr(text)));
    }
    for text in [
        "[::]:1",
        "[ff02::1]:1",
        "[::ffff:0.0.0.0]:1",
        "[::ffff:255.255.255.255]:1",
        "[::ffff:224.0.0.1]:1",
    ] {
        t.err(text, EPROTOTYPE, move |w| connect_new(w, &addr(text)));
    }
    for family in [0, 1, 16, 21, 255, 65535] {
        t.err(format!("family {family}"), EAFNOSUPPORT, move |w| {
            connect_new(w, &of_family(family))
        });
    }
    t.err("AF_UNSPEC does not disconnect", EAFNOSUPPORT, |w| {
        let fd = w.joined()?;
        w.connect(&fd, &of_family(0))
    });
    for len in [0, 1, 2, 8, 15] {
        t.err(format!("AF_INET of {len} bytes"), EINVAL, move |w| {
            connect_new(w, &with_len(&addr("127.0.0.1:1"), len))
        });
    }
    for len in [2, 16, 27] {
        t.err(format!("AF_INET6 of {len} bytes"), EINVAL, move |w| {
            connect_new(w, &with_len(&addr("[::1]:1"), len))
        });
    }
    t.fine("AF_INET of 128 bytes", |w| {
        connect_new(w, &with_len(&addr("127.0.0.1:1"), 128))
    });
    for len in [129, -1, i32::MAX] {
        t.err(format!("a length of {len}"), EINVAL, move |w| {
            let fd = w.socket()?;
            call(Call::Connect(fd.0, w.arena.place(0, &[0; 128]), len))
        });
    }
    for (name, at) in [
        ("NULL", Addr::NULL),
        ("unmapped", Addr::UNMAPPED),
        ("kernel", Addr::KERNEL),
    ] {
        t.err(format!("a pointer: {name}"), EFAULT, move |w| {
            call(Call::Connect(w.socket()?.0, at, 16))
        });
    }
    t.add("again, elsewhere", Want::Is(0), |w| {
        let fd = w.joined()?;
        w.connect(&fd, &addr("127.0.0.2:9"))
    });
    t.add("again, to the other family", Want::Is(0), |w| {
        let fd = w.joined()?;
        w.connect(&fd, &addr("[::1]:9"))
    });
}

/// The length that a name is given with, and what came of it.
fn name(w: &World, fd: i32, peer: bool, room: i32) -> Result<(i32, Vec<u8>), i32> {
    let at = w.arena.room(0, 128);
    let len = w.arena.place(1, &room.to_ne_bytes());
    let which = if peer {
        Call::Getpeername(fd, at, len)
    } else {
        Call::Getsockname(fd, at, len)
    };
    call(which)?;
    Ok((w.len(), w.arena.read(0, 128)))
}

/// As a result, the length and the family: `100 * length + family`.
fn shape(w: &World, fd: i32, peer: bool) -> Got {
    let (len, bytes) = name(w, fd, peer, 128)?;
    Ok(i64::from(len) * 100 + i64::from(u16::from_ne_bytes([bytes[0], bytes[1]])))
}

fn names(t: &mut Table) {
    let (inet, inet6) = (1602, 2810);
    t.group("getsockname");
    t.add("not bound", Want::Is(1600), |w| {
        shape(w, w.socket()?.0, false)
    });
    t.add("not bound, connected to IPv4", Want::Is(inet), |w| {
        let fd = w.socket()?;
        w.connect(&fd, &addr("127.0.0.1:1"))?;
        shape(w, fd.0, false)
    });
    t.add("not bound, connected to IPv6", Want::Is(inet6), |w| {
        let fd = w.socket()?;
        w.connect(&fd, &addr("[::1]:1"))?;
        shape(w, fd.0, false)
    });
    t.add("bound to IPv4", Want::Is(inet), |w| {
        shape(w, w.bound()?.0, false)
    });
    t.add("bound to a mapped address", Want::Is(inet), |w| {
        let fd = w.socket()?;
        w.bind(&fd, &addr("[::ffff:127.0.0.1]:0"))?;
        shape(w, fd.0, false)
    });
    t.add("bound to IPv6", Want::Is(inet6), |w| {
        let fd = w.socket()?;
        w.bind(&fd, &addr("[::1]:0"))?;
        shape(w, fd.0, false)
    });
    t.add("port 0 became one of 2 and more", Want::Is(1), |w| {
        let fd = w.bound()?;
        Ok(i64::from(w.port(&fd)? >= 2))
    });
    t.add("the port asked for", Want::Is(40001), |w| {
        let fd = w.socket()?;
        w.bind(&fd, &addr("127.0.0.1:40001"))?;
        w.port(&fd).map(i64::from)
    });
    t.add("the address bound to", Want::Is(1), |w| {
        let fd = w.socket()?;
        w.bind(&fd, &addr("127.0.0.3:0"))?;
        let (_, bytes) = name(w, fd.0, false, 128)?;
        let ip = Ipv4Addr::new(bytes[4], bytes[5], bytes[6], bytes[7]);
        Ok(i64::from(IpAddr::from(ip) == IpAddr::from([127, 0, 0, 3])))
    });
    t.group("getpeername");
    t.err("no destination", ENOTCONN, |w| shape(w, w.bound()?.0, true));
    t.err("neither bound nor connected", ENOTCONN, |w| {
        shape(w, w.socket()?.0, true)
    });
    t.add("connected to IPv4", Want::Is(inet), |w| {
        shape(w, w.joined()?.0, true)
    });
    t.add("connected to a mapped address", Want::Is(inet), |w| {
        let fd = w.socket()?;
        w.connect(&fd, &addr("[::ffff:192.0.2.1]:7"))?;
        shape(w, fd.0, true)
    });
    t.add("connected to IPv6", Want::Is(inet6), |w| {
        let fd = w.socket()?;
        w.connect(&fd, &addr("[2001:db8::1]:7"))?;
        shape(w, fd.0, true)
    });
    for peer in [false, true] {
        t.group(if peer { "getpeername" } else { "getsockname" });
        let which = move |fd, at, len| {
            if peer {
                Call::Getpeername(fd, at, len)
            } else {
                Call::Getsockname(fd, at, len)
            }
        };
        for room in [0, 1, 4, 15] {
            t.add(
                format!("room for {room} bytes: cut, true length"),
                Want::Is(16),
                move |w| {
                    let (len, _) = name(w, w.joined()?.0, peer, room)?;
                    Ok(len.into())
                },
            );
        }
        t.err("a length of -1", EINVAL, move |w| {
            name(w, w.joined()?.0, peer, -1).map(|(len, _)| len.into())
        });
        for (what, bad) in [("NULL", Addr::NULL), ("unmapped", Addr::UNMAPPED)] {
            t.err(format!("{what} for the address"), EFAULT, move |w| {
                let len = w.arena.place(1, &28_i32.to_ne_bytes());
                call(which(w.joined()?.0, bad, len))
            });
            t.err(format!("{what} for the length"), EFAULT, move |w| {
                call(which(w.joined()?.0, w.arena.room(0, 28), bad))
            });
        }
    }
}
