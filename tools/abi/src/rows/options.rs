// SPDX-License-Identifier: GPL-2.0

//! setsockopt, getsockopt, information records, ioctl, poll.

use crate::table::{addr, sockaddr, Fd, Table, Want, World, LOOPBACK, SETUP, SOL_RDS};
use libc::{EFAULT, EINVAL, ENOPROTOOPT, ENOSPC, ENOTCONN, ENOTTY, EOPNOTSUPP};
use raw_calls::{call, Addr, Call, Got};

const ONE: [u8; 4] = 1_i32.to_ne_bytes();

/// Sets an option of a new socket, with a value of this length; memory ends where it does.
fn set(w: &World, name: i32, len: usize) -> Got {
    w.set(&w.bound()?, SOL_RDS, name, &vec![0; len])
}

fn set_at(fd: &Fd, name: i32, at: Addr, len: i32) -> Got {
    call(Call::Setsockopt(fd.0, SOL_RDS, name, at, len))
}

const BAD: [(&str, Addr); 3] = [
    ("NULL", Addr::NULL),
    ("unmapped", Addr::UNMAPPED),
    ("kernel", Addr::KERNEL),
];

pub fn add(t: &mut Table) {
    setsockopt(t);
    getsockopt(t);
    info(t);
    ioctl(t);
    poll(t);
}

fn setsockopt(t: &mut Table) {
    t.group("setsockopt");
    for (name, option) in [("RECVERR", 5), ("CONG_MONITOR", 6)] {
        for len in [0, 1, 3] {
            t.err(format!("{name} of {len} bytes"), EINVAL, move |w| {
                set(w, option, len)
            });
        }
        for len in [4, 5, 8] {
            t.add(format!("{name} of {len} bytes"), Want::Is(0), move |w| {
                set(w, option, len)
            });
        }
        for value in [0, 1, 2, -1] {
            t.add(format!("{name} {value}"), Want::Is(0), move |w| {
                w.set(&w.bound()?, SOL_RDS, option, &i32::to_ne_bytes(value))
            });
        }
        for (what, at) in BAD {
            t.err(format!("{name}, pointer {what}"), EFAULT, move |w| {
                set_at(&w.bound()?, option, at, 4)
            });
        }
        t.err(format!("{name}, length -1"), EINVAL, move |w| {
            set_at(&w.bound()?, option, w.arena.place(2, &ONE), -1)
        });
        t.add(format!("{name}, not bound"), Want::Is(0), move |w| {
            w.set(&w.socket()?, SOL_RDS, option, &ONE)
        });
    }
    t.group("setsockopt SO_RDS_TRANSPORT");
    t.add("0, not bound", Want::Is(0), |w| {
        w.set(&w.socket()?, SOL_RDS, 8, &[0; 4])
    });
    t.err("1", ENOPROTOOPT, |w| w.set(&w.socket()?, SOL_RDS, 8, &ONE));
    for value in [3, 4, 255, -1, i32::MAX, i32::MIN] {
        t.err(value, EINVAL, move |w| {
            w.set(&w.socket()?, SOL_RDS, 8, &i32::to_ne_bytes(value))
        });
    }
    for len in [0, 1, 3, 5, 8] {
        t.err(format!("of {len} bytes"), EINVAL, move |w| {
            w.set(&w.socket()?, SOL_RDS, 8, &vec![0; len])
        });
    }
    for (what, at) in BAD {
        t.err(format!("pointer {what}"), EFAULT, move |w| {
            set_at(&w.socket()?, 8, at, 4)
        });
    }
    t.err("bound: before all else", EOPNOTSUPP, |w| {
        set_at(&w.bound()?, 8, Addr::UNMAPPED, 99)
    });
    t.err("twice", EOPNOTSUPP, |w| {
        let fd = w.socket()?;
        w.set(&fd, SOL_RDS, 8, &[0; 4]).map_err(|_| SETUP)?;
        w.set(&fd, SOL_RDS, 8, &[0; 4])
    });
    t.group("setsockopt RXPATH_LATENCY");
    for value in [
        [0, 9, 9, 9],
        [1, 0, 9, 9],
        [2, 1, 0, 9],
        [3, 0, 1, 2],
        [3, 2, 2, 2],
    ] {
        t.add(format!("{value:?}"), Want::Is(0), move |w| {
            w.set(&w.socket()?, SOL_RDS, 10, &value)
        });
    }
    for value in [
        [4, 0, 0, 0],
        [255, 0, 0, 0],
        [1, 3, 0, 0],
        [3, 0, 1, 3],
        [2, 0, 255, 0],
    ] {
        t.err(format!("{value:?}"), EFAULT, move |w| {
            w.set(&w.socket()?, SOL_RDS, 10, &value)
        });
    }
    for len in [0, 1, 3, 5, 8] {
        t.err(format!("of {len} bytes"), EFAULT, move |w| {
            w.set(&w.socket()?, SOL_RDS, 10, &vec![0; len])
        });
    }
    t.err("a wrong pointer", EFAULT, |w| {
        set_at(&w.socket()?, 10, Addr::UNMAPPED, 4)
    });
    t.group("setsockopt SO_TIMESTAMP at SOL_RDS");
    for option in [29, 63] {
        t.add(option, Want::Is(0), move |w| {
            w.set(&w.socket()?, SOL_RDS, option, &ONE)
        });
        for len in [0, 3, 5, 8] {
            t.err(format!("{option} of {len} bytes"), EFAULT, move |w| {
                set(w, option, len)
            });
        }
        t.err(format!("{option}, a wrong pointer"), EFAULT, move |w| {
            set_at(&w.socket()?, option, Addr::UNMAPPED, 4)
        });
    }
    t.group("setsockopt CANCEL_SENT_TO");
    t.err("not bound", ENOTCONN, |w| {
        w.set(&w.socket()?, SOL_RDS, 1, &addr("127.0.0.1:9"))
    });
    t.err("not bound, no length", ENOTCONN, |w| {
        w.set(&w.socket()?, SOL_RDS, 1, &[])
    });
    for len in [0, 1, 2, 15] {
        t.err(format!("of {len} bytes"), EINVAL, move |w| set(w, 1, len));
    }
    for len in [16, 27, 28, 128] {
        t.add(format!("of {len} bytes"), Want::Is(0), move |w| {
            set(w, 1, len)
        });
    }
    t.add(
        "with messages in the queue of the receiver",
        Want::Is(0),
        |w| {
            let fd = w.with_message(10)?;
            let port = w.port(&fd)?;
            w.set(&fd, SOL_RDS, 1, &sockaddr((LOOPBACK, port).into()))
        },
    );
    for (what, at) in BAD {
        for len in [16, 28] {
            t.err(format!("pointer {what}, {len} bytes"), EFAULT, move |w| {
                set_at(&w.bound()?, 1, at, len)
            });
        }
    }
    memory(t);
    t.group("setsockopt, no such option");
    for option in [
        0,
        4,
        9,
        11,
        12,
        28,
        30,
        62,
        64,
        9999,
        10000,
        10006,
        10017,
        10018,
        -1,
        i32::MAX,
    ] {
        t.err(option, ENOPROTOOPT, move |w| {
            w.set(&w.bound()?, SOL_RDS, option, &ONE)
        });
    }
    for level in [0, 6, 17, 41, 270, 275, 277, -1] {
        t.err(format!("level {level}"), ENOPROTOOPT, move |w| {
            w.set(&w.bound()?, level, 5, &ONE)
        });
    }
}

/// Memory for RDMA.
fn memory(t: &mut Table) {
    t.group("setsockopt GET_MR, FREE_MR");
    for (name, option, right) in [("GET_MR", 2, 32), ("GET_MR_FOR_DEST", 7, 160)] {
        for len in [0, right - 1, right + 1] {
            t.err(format!("{name} of {len} bytes"), EINVAL, move |w| {
                set(w, option, len)
            });
        }
        t.err(format!("{name}, not bound"), ENOTCONN, move |w| {
            w.set(&w.socket()?, SOL_RDS, option, &vec![0; right])
        });
        t.err(format!("{name} on loopback"), EOPNOTSUPP, move |w| {
            set(w, option, right)
        });
        t.err(format!("{name}, a wrong pointer"), EFAULT, move |w| {
            set_at(&w.bound_rdma()?, option, Addr::UNMAPPED, right as i32)
        });
        t.err(format!("{name} of nothing"), EINVAL, move |w| {
            w.set(&w.bound_rdma()?, SOL_RDS, option, &vec![0; right])
        });
    }
    for len in [0, 15, 17] {
        t.err(format!("FREE_MR of {len} bytes"), EINVAL, move |w| {
            set(w, 3, len)
        });
    }
    t.fine("FREE_MR of all, just bound", |w| {
        w.set(&w.bound_rdma()?, SOL_RDS, 3, &[0; 16])
    });
    t.err("FREE_MR of what is not there", EINVAL, |w| {
        w.set(&w.bound_rdma()?, SOL_RDS, 3, &[1; 16])
    });
}

fn getsockopt(t: &mut Table) {
    t.group("getsockopt");
    for (name, option) in [("RECVERR", 5), ("SO_RDS_TRANSPORT", 8)] {
        for len in [0, 1, 3, -1] {
            t.err(format!("{name} of {len} bytes"), EINVAL, move |w| {
                w.get(&w.bound()?, SOL_RDS, option, len)
            });
        }
        for len in [4, 5, 100] {
            t.add(
                format!("{name} of {len} bytes: 4 are given"),
                Want::Is(4),
                move |w| {
                    w.get(&w.bound()?, SOL_RDS, option, len)?;
                    Ok(w.len().into())
                },
            );
        }
        for (what, at) in BAD {
            t.err(format!("{name}, value {what}"), EFAULT, move |w| {
                let len = w.arena.place(1, &4_i32.to_ne_bytes());
                call(Call::Getsockopt(w.bound()?.0, SOL_RDS, option, at, len))
            });
            t.err(format!("{name}, length {what}"), EFAULT, move |w| {
                let room = w.arena.room(2, 4);
                call(Call::Getsockopt(w.bound()?.0, SOL_RDS, option, room, at))
            });
        }
    }
    let value = |w: &World, fd: &Fd, option| {
        w.get(fd, SOL_RDS, option, 4)?;
        let bytes = w.arena.read(2, 4);
        Ok(i64::from(i32::from_ne_bytes([
            bytes[0], bytes[1], bytes[2], bytes[3],
        ])))
    };
    t.add("RECVERR at first", Want::Is(0), move |w| {
        value(w, &w.socket()?, 5)
    });
    t.add("RECVERR after -1", Want::Is(1), move |w| {
        let fd = w.socket()?;
        w.set(&fd, SOL_RDS, 5, &(-1_i32).to_ne_bytes())?;
        value(w, &fd, 5)
    });
    t.add("SO_RDS_TRANSPORT at first", Want::Is(-1), move |w| {
        value(w, &w.socket()?, 8)
    });
    t.add("SO_RDS_TRANSPORT of loopback", Want::Is(3), move |w| {
        value(w, &w.bound()?, 8)
    });
    t.add("SO_RDS_TRANSPORT as set", Want::Is(0), move |w| {
        let fd = w.socket()?;
        w.set(&fd, SOL_RDS, 8, &[0; 4]).map_err(|_| SETUP)?;
        value(w, &fd, 8)
    });
    t.add(
        "SO_RDS_TRANSPORT of a bound socket",
        Want::Is(0),
        move |w| value(w, &w.bound_rdma()?, 8),
    );
    for option in [0, 1, 2, 3, 4, 6, 7, 9, 10, 29, 63, 9999, 10018, -1] {
        t.err(format!("option {option}"), ENOPROTOOPT, move |w| {
            w.get(&w.bound()?, SOL_RDS, option, 64)
        });
    }
    for level in [0, 6, 17, 41, 275, 277, -1] {
        t.err(format!("level {level}"), ENOPROTOOPT, move |w| {
            w.get(&w.bound()?, level, 5, 4)
        });
    }
    t.group("getsockopt at SOL_SOCKET");
    for (name, option, wanted) in [
        ("SO_TYPE", libc::SO_TYPE, libc::SOCK_SEQPACKET),
        ("SO_PROTOCOL", libc::SO_PROTOCOL, 0),
        ("SO_ERROR", libc::SO_ERROR, 0),
        ("SO_ACCEPTCONN", libc::SO_ACCEPTCONN, 0),
    ] {
        t.add(name, Want::Is(wanted.into()), move |w| {
            let fd = w.bound()?;
            w.get(&fd, libc::SOL_SOCKET, option, 4)?;
            let bytes = w.arena.read(2, 4);
            Ok(i64::from(i32::from_ne_bytes([
                bytes[0], bytes[1], bytes[2], bytes[3],
            ])))
        });
    }
    t.add("SO_DOMAIN is the family", Want::Is(1), |w| {
        let fd = w.bound()?;
        w.get(&fd, libc::SOL_SOCKET, libc::SO_DOMAIN, 4)?;
        Ok(i64::from(w.arena.read(2, 4) == w.family.to_ne_bytes()))
    });
    t.add("SO_SNDBUF is twice what was set", Want::Is(20000), |w| {
        let fd = w.socket()?;
        w.set(
            &fd,
            libc::SOL_SOCKET,
            libc::SO_SNDBUF,
            &10000_i32.to_ne_bytes(),
        )?;
        w.get(&fd, libc::SOL_SOCKET, libc::SO_SNDBUF, 4)?;
        let bytes = w.arena.read(2, 4);
        Ok(i64::from(i32::from_ne_bytes([
            bytes[0], bytes[1], bytes[2], bytes[3],
        ])))
    });
}

fn info(t: &mut Table) {
    t.group("information");
    // Those of TCP are there if its transport is, which these rows do not need.
    for (option, size) in [
        (10000, 40),
        (10001, 42),
        (10003, 26),
        (10004, 26),
        (10005, 26),
        (10006, 28),
        (10008, 68),
        (10011, 65),
        (10012, 50),
        (10013, 50),
        (10014, 50),
        (10015, 52),
        (10017, 92),
    ] {
        t.add(
            format!("{option}: size of a record"),
            Want::Is(size),
            move |w| w.get(&w.socket()?, SOL_RDS, option, 65536),
        );
        t.add(
            format!("{option}: what is given are whole records"),
            Want::Is(0),
            move |w| {
                w.get(&w.bound()?, SOL_RDS, option, 65536)?;
                Ok(i64::from(w.len()) % size)
            },
        );
        t.err(format!("{option}: a length of -1"), EINVAL, move |w| {
            w.get(&w.socket()?, SOL_RDS, option, -1)
        });
        t.err(format!("{option}: a length that wraps"), EINVAL, move |w| {
            let at = w.arena.room(2, 16);
            let len = w.arena.place(1, &(i32::MAX - 4094).to_ne_bytes());
            call(Call::Getsockopt(w.socket()?.0, SOL_RDS, option, at, len))
        });
    }
    for option in [10002, 10009, 10010] {
        t.err(option, ENOPROTOOPT, move |w| {
            w.get(&w.socket()?, SOL_RDS, option, 65536)
        });
    }
    for option in [10000, 10006, 10015] {
        let probe = move |w: &World, at: Addr, len: i32| {
            let fd = w.bound()?;
            let len = w.arena.place(1, &len.to_ne_bytes());
            call(Call::Getsockopt(fd.0, SOL_RDS, option, at, len))
        };
        t.err(
            format!("{option}: asked for its length"),
            ENOSPC,
            move |w| probe(w, Addr::NULL, 0),
        );
        t.add(
            format!("{option}: the length comes with ENOSPC"),
            Want::Is(1),
            move |w| match probe(w, Addr::NULL, 0) {
                Err(ENOSPC) => Ok(i64::from(w.len() > 0)),
                _ => Err(SETUP),
            },
        );
        t.err(format!("{option}: a byte too short"), ENOSPC, move |w| {
            let fd = w.bound()?;
            w.get(&fd, SOL_RDS, option, 65536)?;
            let len = w.len();
            w.get(&fd, SOL_RDS, option, len - 1)
        });
        t.fine(format!("{option}: just enough"), move |w| {
            let fd = w.bound()?;
            w.get(&fd, SOL_RDS, option, 65536)?;
            let len = w.len();
            w.get(&fd, SOL_RDS, option, len)
        });
        t.err(format!("{option}: no value"), EFAULT, move |w| {
            probe(w, Addr::UNMAPPED, 65536)
        });
        t.err(format!("{option}: no length"), EFAULT, move |w| {
            let room = w.arena.room(2, 4096);
            call(Call::Getsockopt(
                w.bound()?.0,
                SOL_RDS,
                option,
                room,
                Addr::UNMAPPED,
            ))
        });
    }
}

fn ioctl(t: &mut Table) {
    const SET: u32 = 0x89e0;
    const GET: u32 = 0x89e1;
    let tos = |w: &World, fd: &Fd, value: u8| {
        let mut bytes = [0; 40];
        bytes[0] = value;
        call(Call::Ioctl(fd.0, SET, w.arena.place(2, &bytes)))
    };
    t.group("ioctl SETTOS");
    for value in [0, 1, 255] {
        t.add(value, Want::Is(0), move |w| tos(w, &w.bound_rdma()?, value));
    }
    t.err("not bound", ENOTTY, move |w| tos(w, &w.socket()?, 1));
    t.err("loopback", ENOTTY, move |w| tos(w, &w.bound()?, 1));
    t.add("transport chosen, not bound", Want::Is(0), move |w| {
        let fd = w.socket()?;
        w.set(&fd, SOL_RDS, 8, &[0; 4]).map_err(|_| SETUP)?;
        tos(w, &fd, 1)
    });
    t.err("twice", EINVAL, move |w| {
        let fd = w.bound_rdma()?;
        tos(w, &fd, 1)?;
        tos(w, &fd, 2)
    });
    t.add("after 0", Want::Is(0), move |w| {
        let fd = w.bound_rdma()?;
        tos(w, &fd, 0)?;
        tos(w, &fd, 2)
    });
    t.err("after sending", EINVAL, move |w| {
        let fd = w.bound_rdma()?;
        let local = w.local.ok_or(SETUP)?;
        let name = w.arena.place(0, &sockaddr((local, 9).into()));
        call(Call::Sendto(
            fd.0,
            w.arena.place(2, b"data"),
            4,
            libc::MSG_DONTWAIT,
            name,
            16,
        ))
        .map_err(|_| SETUP)?;
        tos(w, &fd, 1)
    });
    for (what, at) in BAD {
        t.err(format!("pointer {what}"), EFAULT, move |w| {
            call(Call::Ioctl(w.bound_rdma()?.0, SET, at))
        });
        t.err(format!("pointer {what}, not bound"), EFAULT, move |w| {
            call(Call::Ioctl(w.socket()?.0, SET, at))
        });
    }
    t.group("ioctl GETTOS");
    t.add("at first", Want::Is(0), |w| {
        let at = w.arena.place(2, &[9]);
        call(Call::Ioctl(w.socket()?.0, GET, at))?;
        Ok(w.arena.read(2, 1)[0].into())
    });
    t.add("as set", Want::Is(7), move |w| {
        let fd = w.bound_rdma()?;
        tos(w, &fd, 7)?;
        call(Call::Ioctl(fd.0, GET, w.arena.place(2, &[0])))?;
        Ok(w.arena.read(2, 1)[0].into())
    });
    for (what, at) in BAD {
        t.err(format!("pointer {what}"), EFAULT, move |w| {
            call(Call::Ioctl(w.socket()?.0, GET, at))
        });
    }
    t.group("ioctl");
    for (name, request) in [
        ("FIONREAD", 0x541b_u32),
        ("SIOCOUTQ", 0x5411),
        ("SIOCATMARK", 0x8905),
        ("0x89e2", 0x89e2),
        ("0x89ef", 0x89ef),
        ("0", 0),
    ] {
        t.err(name, ENOTTY, move |w| {
            call(Call::Ioctl(
                w.bound()?.0,
                request,
                w.arena.place(2, &[0; 64]),
            ))
        });
    }
    t.add("FIONBIO", Want::Is(0), |w| {
        call(Call::Ioctl(w.bound()?.0, 0x5421, w.arena.place(2, &ONE)))
    });
}

fn poll(t: &mut Table) {
    const OUT: i16 = libc::POLLOUT | libc::POLLWRNORM;
    let events = |w: &World, fd: &Fd| {
        w.poll(fd, !0)?;
        let bytes = w.arena.read(2, 8);
        Ok::<_, i32>(i16::from_ne_bytes([bytes[6], bytes[7]]))
    };
    t.group("poll");
    t.add("a new socket is writable", Want::Is(OUT.into()), move |w| {
        Ok((events(w, &w.socket()?)? & OUT).into())
    });
    t.add(
        "the second time it is only that",
        Want::Is(OUT.into()),
        move |w| {
            let fd = w.bound()?;
            events(w, &fd)?;
            Ok(events(w, &fd)?.into())
        },
    );
    t.add(
        "with a message it is readable",
        Want::Is((libc::POLLIN | libc::POLLRDNORM).into()),
        {
            move |w| {
                let fd = w.with_message(10)?;
                events(w, &fd)?;
                Ok((events(w, &fd)? & !OUT).into())
            }
        },
    );
    t.add(
        "with a message, monitor on",
        Want::Is((libc::POLLIN | libc::POLLRDNORM).into()),
        {
            move |w| {
                let fd = w.with_message(10)?;
                w.set(&fd, SOL_RDS, 6, &ONE)?;
                Ok((events(w, &fd)? & !OUT).into())
            }
        },
    );
    t.add("no hang-up, no error", Want::Is(0), move |w| {
        let bad = libc::POLLHUP | libc::POLLERR | libc::POLLNVAL | libc::POLLRDHUP;
        Ok((events(w, &w.joined()?)? & bad).into())
    });
}
