// SPDX-License-Identifier: GPL-2.0

//! How steps are made up.

mod message;

use super::{
    Len, Name, Op, Place, Pointer, Trip, Value, EPOLLS, FILE, IN, OTHERS, OUT, PLACES, SOCKETS,
};
use crate::rng::Rng;
use crate::world::{self, names};
use message::{bytes, cookie, message, receive, ring, send};

const SOL_SOCKET: i32 = 1;
const SOL_RDS: i32 = 276;

type Make = fn(&mut Rng) -> Op;

/// Each kind of step, and how often it comes.
pub const STEPS: &[(u64, Make)] = &[
    (2300, |r| Op::Send(send(r))),
    (2300, |r| Op::Receive(receive(r))),
    (500, socket),
    (20, other),
    (900, |r| Op::Bind(of_sockets(r), name(r, true))),
    (350, |r| Op::Connect(of_sockets(r), name(r, false))),
    (160, get_name),
    (650, set),
    (550, get),
    (200, ioctl),
    (320, poll),
    (60, select),
    (25, |r| Op::EpollCreate(of(r, EPOLLS))),
    (220, epoll_ctl),
    (200, epoll_wait),
    (60, |r| Op::Dup(of_ours(r), of_sockets(r))),
    (100, |r| Op::Close(any(r))),
    (30, |r| Op::Shutdown(of_sockets(r), r.range(0, 3) as i32)),
    (20, |r| Op::Listen(of_sockets(r))),
    (20, |r| Op::Accept(of_sockets(r), pointer(r))),
    (120, set_flags),
    (20, |r| Op::SetOwner(of_sockets(r))),
    (60, |r| Op::Give(of_ours(r))),
    (70, |r| Op::Take(of_sockets(r))),
    (20, |_| Op::Pipes),
    (40, |r| Op::Fill(message(r))),
    (120, splice),
    (15, |r| Op::Tee(1 << r.range(3, 14))),
    (20, |r| Op::Vmsplice(message(r))),
    (6, |r| Op::File(r.range(1, 8) as u8)),
    (50, sendfile),
    (10, |_| Op::RingOpen),
    (4, |_| Op::RingClose),
    (350, ring),
    (6, child),
    (3, |_| Op::EnterNet),
    (12, |_| Op::LeaveNet),
    (60, |r| Op::Signal {
        thread: r.below(5) as u8,
        restart: r.one_in(3),
    }),
    (10, limit),
    (12, |r| Op::Look(r.below(world::LOOKS.len() as u64) as u8)),
    (12, |r| {
        Op::Tune(
            r.below(world::TUNES.len() as u64) as u8,
            r.below(world::TEXTS.len() as u64) as u8,
        )
    }),
    (20, |r| Op::Pause(r.below(500) as u16)),
];

fn pick<T: Copy>(rng: &mut Rng, from: &[T]) -> T {
    from[rng.index(from.len())]
}

fn of(rng: &mut Rng, places: std::ops::Range<Place>) -> Place {
    rng.range(places.start.into(), u64::from(places.end) - 1) as Place
}

/// Nearly always where a socket of RDS is; few places are taken more often.
fn of_sockets(rng: &mut Rng) -> Place {
    match rng.below(40) {
        0 => any(rng),
        1..=19 => of(rng, 0..5),
        _ => of(rng, 0..SOCKETS),
    }
}

fn any(rng: &mut Rng) -> Place {
    if rng.one_in(4) {
        of(rng, 0..PLACES)
    } else {
        of(rng, 0..SOCKETS)
    }
}

/// What may come to where a socket of RDS should be: what others send is no message of ours.
fn of_ours(rng: &mut Rng) -> Place {
    if rng.one_in(8) {
        of(rng, SOCKETS..FILE)
    } else {
        of(rng, 0..SOCKETS)
    }
}

fn pointer(rng: &mut Rng) -> Pointer {
    match rng.below(160) {
        0 | 1 => Pointer::Null,
        2 => Pointer::Unmapped,
        3 => Pointer::Kernel,
        4 => Pointer::ReadOnly,
        5 => Pointer::Behind,
        _ => Pointer::Good,
    }
}

/// A length of an address.
fn name_len(rng: &mut Rng) -> Len {
    if rng.one_in(25) {
        Len::Is(pick(
            rng,
            &[
                -1,
                0,
                1,
                2,
                4,
                15,
                16,
                24,
                27,
                28,
                29,
                32,
                127,
                128,
                129,
                4096,
                i32::MAX,
            ],
        ))
    } else {
        Len::Right
    }
}

/// An address. To bind also ports that are taken, and not by us.
fn name(rng: &mut Rng, bind: bool) -> Name {
    let at = match rng.below(20) {
        0..=9 => names::LOOPBACK,
        10..=15 => of(rng, names::LOCAL),
        16..=18 => of(rng, names::ODD),
        _ => of(rng, names::FAR),
    };
    let at = if rng.one_in(6) && at == names::LOOPBACK {
        of(rng, names::LOOPBACKS)
    } else {
        at
    };
    let port = match rng.below(24) {
        0 | 1 => 0,
        2 => pick(rng, &[1, 2, 65535]),
        3..=5 if bind => pick(rng, &world::BYSTANDER),
        _ => 4000 + rng.below(8) as u16,
    };
    Name {
        at,
        port,
        len: name_len(rng),
        pointer: pointer(rng),
    }
}

fn socket(rng: &mut Rng) -> Op {
    let odd = rng.one_in(20);
    Op::Socket {
        place: of(rng, 0..SOCKETS),
        family: (odd && rng.one_in(3)).then(|| pick(rng, &[1, 46, 999, -1])),
        kind: if odd {
            rng.below(12) as i32 | pick(rng, &[0, 0o4000, 0o2000000, 1 << 20])
        } else {
            libc::SOCK_SEQPACKET | pick(rng, &[0, 0, 0, libc::SOCK_NONBLOCK, libc::SOCK_CLOEXEC])
        },
        protocol: if odd { rng.below(3) as i32 } else { 0 },
    }
}

fn other(rng: &mut Rng) -> Op {
    Op::Other {
        place: of(rng, OTHERS),
        family: pick(rng, &[libc::AF_INET, libc::AF_INET6, libc::AF_UNIX]),
        kind: libc::SOCK_DGRAM,
    }
}

fn get_name(rng: &mut Rng) -> Op {
    Op::Name {
        place: of_sockets(rng),
        peer: rng.one_in(2),
        len: match name_len(rng) {
            Len::Right => 128,
            Len::Is(len) => len,
        },
        name: pointer(rng),
        len_at: pointer(rng),
    }
}

fn int(rng: &mut Rng) -> i32 {
    pick(
        rng,
        &[
            0,
            1,
            1,
            2,
            3,
            64,
            256,
            4096,
            8192,
            65536,
            106_496,
            1 << 20,
            1 << 30,
            -1,
            i32::MIN,
        ],
    )
}

fn set(rng: &mut Rng) -> Op {
    let (level, name, value) = match rng.below(16) {
        0 => (SOL_RDS, 1, Value::Name(name(rng, false))),
        1 => (
            SOL_RDS,
            pick(rng, &[2, 7]),
            Value::Memory {
                bytes: bytes(rng),
                flags: rng.below(128),
                data: pointer(rng),
                cookie: pointer(rng),
                to: rng.one_in(2).then(|| name(rng, false)),
            },
        ),
        2 => (SOL_RDS, 3, Value::Free(cookie(rng), rng.below(64))),
        3 => (SOL_RDS, 5, Value::Int(int(rng))),
        4 | 5 => (SOL_RDS, 6, Value::Int(int(rng))),
        6 => (SOL_RDS, 8, Value::Int(pick(rng, &[0, 0, 1, 2, 3, -1]))),
        7 => (
            SOL_RDS,
            10,
            Value::Trace(std::array::from_fn(|_| rng.below(5) as u8)),
        ),
        8 => (SOL_RDS, pick(rng, &[29, 63]), Value::Int(int(rng))),
        9 => (
            SOL_SOCKET,
            pick(rng, &[20, 21, 66, 67]),
            Value::Time(
                pick(rng, &[0, 0, 0, 0, 1, -1, i64::MAX]),
                pick(rng, &[0, 1, 1000, 3000, 10_000, 1_000_000, -1]),
            ),
        ),
        // Buffers, by whom may and whom may not.
        10 | 11 => (
            SOL_SOCKET,
            pick(rng, &[7, 8, 7, 8, 32, 33]),
            Value::Int(int(rng)),
        ),
        12 => (
            SOL_SOCKET,
            pick(rng, &[26, 51]),
            Value::Filter {
                takes: !rng.one_in(4),
                code: pointer(rng),
            },
        ),
        13 => (
            pick(rng, &[SOL_RDS, SOL_SOCKET, 0, 41, 277]),
            rng.below(90) as i32,
            Value::Junk(rng.below(64) as u8),
        ),
        _ => (SOL_SOCKET, rng.below(90) as i32, Value::Int(int(rng))),
    };
    Op::Set {
        place: of_sockets(rng),
        level,
        name,
        value,
        len: if rng.one_in(12) {
            Len::Is(pick(
                rng,
                &[-1, 0, 1, 3, 5, 8, 15, 16, 27, 28, 32, 4096, i32::MAX],
            ))
        } else {
            Len::Right
        },
        pointer: pointer(rng),
    }
}

fn get(rng: &mut Rng) -> Op {
    let (level, name) = match rng.below(8) {
        0 => (SOL_RDS, rng.below(15) as i32),
        1..=4 => (SOL_RDS, rng.range(9999, 10018) as i32),
        5 => (pick(rng, &[0, 41, 277]), rng.below(90) as i32),
        _ => (SOL_SOCKET, rng.below(90) as i32),
    };
    Op::Get {
        place: of_sockets(rng),
        level,
        name,
        len: pick(
            rng,
            &[
                -1,
                0,
                1,
                3,
                4,
                4,
                8,
                16,
                41,
                1024,
                1024,
                4096,
                32768,
                1 << 20,
                i32::MAX,
            ],
        ),
        pointer: pointer(rng),
        len_at: pointer(rng),
    }
}

fn ioctl(rng: &mut Rng) -> Op {
    Op::Ioctl {
        place: of_sockets(rng),
        // The type of service, what is there to read and to send, non-blocking, whose signals, the time of the
        // last packet, and numbers that nobody has.
        request: pick(
            rng,
            &[
                0x89e0,
                0x89e0,
                0x89e1,
                0x89e2,
                0x541b,
                0x5411,
                0x5421,
                0x5452,
                0x8901,
                0x8902,
                0x8903,
                0x8904,
                0x8906,
                0x8907,
                0x89ef,
                0xdead_beef,
            ],
        ),
        value: pick(rng, &[0, 1, 1, 2, 3]),
        pointer: pointer(rng),
    }
}

fn places(rng: &mut Rng) -> [Place; 4] {
    std::array::from_fn(|_| of_sockets(rng))
}

fn poll(rng: &mut Rng) -> Op {
    Op::Poll {
        places: places(rng),
        count: rng.range(0, 4) as u8,
        events: pick(rng, &[1, 5, 0x45, 0x245, 0x3ff, 0x7fff, 0, 4, 0x200]),
        timeout: if rng.one_in(10) {
            rng.below(4) as i32
        } else {
            0
        },
        pointer: pointer(rng),
    }
}

fn select(rng: &mut Rng) -> Op {
    Op::Select {
        places: places(rng),
        timeout: if rng.one_in(10) {
            rng.below(3000) as u16
        } else {
            0
        },
        pointer: pointer(rng),
    }
}

fn epoll_ctl(rng: &mut Rng) -> Op {
    let (edge, once, alone) = (1 << 31, 1 << 30, 1 << 28);
    Op::EpollCtl {
        epoll: of(rng, EPOLLS),
        op: if rng.one_in(20) {
            rng.below(6) as i32
        } else {
            rng.range(1, 3) as i32
        },
        place: any(rng),
        events: pick(rng, &[1, 5, 0x245, 0x3ff, 0])
            | pick(rng, &[0, 0, edge, once, edge | once, alone]),
        pointer: pointer(rng),
    }
}

fn epoll_wait(rng: &mut Rng) -> Op {
    Op::EpollWait {
        epoll: of(rng, EPOLLS),
        count: if rng.one_in(20) {
            pick(rng, &[-1, 0, i32::MAX])
        } else {
            rng.range(1, 8) as i32
        },
        timeout: if rng.one_in(10) {
            rng.below(4) as i32
        } else {
            0
        },
        pointer: pointer(rng),
    }
}

fn set_flags(rng: &mut Rng) -> Op {
    let flag = pick(
        rng,
        &[
            0,
            libc::O_NONBLOCK,
            libc::O_NONBLOCK,
            libc::O_ASYNC,
            libc::O_APPEND,
        ],
    );
    Op::SetFlags(of_sockets(rng), flag)
}

fn splice(rng: &mut Rng) -> Op {
    let (from, to) = if rng.one_in(2) {
        (OUT.0, of_sockets(rng))
    } else {
        (of_sockets(rng), IN.1)
    };
    // What was sent by others is not sent again.
    let (from, to) = if rng.one_in(6) {
        (IN.0, FILE)
    } else {
        (from, to)
    };
    Op::Splice {
        from,
        to,
        len: 1 << rng.range(3, 17),
        // SPLICE_F_MOVE, _NONBLOCK, _MORE.
        flags: if rng.one_in(8) {
            rng.below(16) as u32
        } else {
            2
        },
    }
}

fn sendfile(rng: &mut Rng) -> Op {
    Op::Sendfile {
        to: of_sockets(rng),
        offset: 4096 * rng.below(8) as u32,
        len: 4096 * rng.below(4) as u32,
        pointer: pointer(rng),
    }
}

fn child(rng: &mut Rng) -> Op {
    let net = rng.one_in(3);
    Op::Child(Trip {
        seed: rng.bits(),
        steps: rng.range(10, 200) as u16,
        net,
        killed: rng.one_in(3).then(|| rng.below(20_000) as u16),
    })
}

fn limit(rng: &mut Rng) -> Op {
    // Open files, and locked memory.
    let which = pick(
        rng,
        &[libc::RLIMIT_NOFILE as i32, libc::RLIMIT_MEMLOCK as i32],
    );
    Op::Limit {
        which,
        value: match which == libc::RLIMIT_NOFILE as i32 {
            true => pick(rng, &[40, 48, 64, 256]),
            false => pick(rng, &[0, 4096, 65536, 1 << 23]),
        },
    }
}
