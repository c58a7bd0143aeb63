// SPDX-License-Identifier: GPL-2.0

//! Calls that are wrong, and what each of them has to give (spec-sendmsg, spec-cmsg, spec-options, spec-regions).

use super::raw::{atomic, cmsg, map, number, Args, Bound, Raw};
use crate::table::{bad, named, skip, Outcome, Table};
use crate::World;
use libc::{EFAULT, EINVAL, EMSGSIZE, ENOTCONN, EOPNOTSUPP};
use raw_calls::{Addr, Got};

const RDMA_ARGS: i32 = 1;
const RDMA_DEST: i32 = 2;
const RDMA_MAP: i32 = 3;
const FADD: i32 = 6;
const KINDS_OF_ATOMICS: [(i32, &str); 4] = [
    (FADD, "ATOMIC_FADD"),
    (7, "ATOMIC_CSWP"),
    (8, "MASKED_ATOMIC_FADD"),
    (9, "MASKED_ATOMIC_CSWP"),
];

const GET_MR: i32 = 2;
const FREE_MR: i32 = 3;
const GET_MR_FOR_DEST: i32 = 7;

const WRITE: u64 = 1;
const MIB: u64 = 1 << 20;
const PAGE: u64 = 4096;

pub fn add(t: &mut Table) {
    lengths(t);
    local_memory(t);
    groups(t);
    regions(t);
    options(t);
    transports(t);
}

/// A call on such a socket gives this error.
fn row(
    t: &mut Table,
    name: impl std::fmt::Display,
    bound: Bound,
    wanted: i32,
    run: impl Fn(&Raw, &World) -> Got + 'static,
) {
    t.add(name, move |world, _| {
        let raw = Raw::new(world, bound)?;
        judge(run(&raw, world), wanted)
    });
}

fn judge(got: Got, wanted: i32) -> Outcome {
    match got {
        Err(errno) if errno == wanted => Ok(()),
        Err(errno) => bad(format!("{}, wanted {}", named(errno), named(wanted))),
        Ok(value) => bad(format!("{value}, wanted {}", named(wanted))),
    }
}

/// A right READ, as the control message, over one piece of local memory.
fn read(raw: &Raw) -> Vec<u8> {
    cmsg(RDMA_ARGS, &args(raw, 64, &[(raw.local(64), 64)], 0))
}

fn args(raw: &Raw, remote_bytes: u64, pieces: &[(Addr, u64)], flags: u64) -> Vec<u8> {
    let list = raw.list(pieces);
    Args {
        remote_bytes,
        list,
        flags,
    }
    .bytes()
}

/// A right RDMA_MAP.
fn mapped(raw: &Raw) -> Vec<u8> {
    let cookie = raw.arena.room(9, 8);
    cmsg(RDMA_MAP, &map(raw.local(64).word(), 64, cookie))
}

fn lengths(t: &mut Table) {
    t.group("errors of sendmsg");
    for len in [0, 8, 55] {
        row(
            t,
            format!("RDMA_ARGS of {len} bytes"),
            Bound::Rdma,
            EINVAL,
            move |raw, _| raw.send(&cmsg(RDMA_ARGS, &vec![0; len]), None),
        );
    }
    for len in [0, 7] {
        row(
            t,
            format!("RDMA_DEST of {len} bytes"),
            Bound::Rdma,
            EINVAL,
            move |raw, _| raw.send(&cmsg(RDMA_DEST, &vec![0; len]), None),
        );
    }
    for len in [0, 31] {
        row(
            t,
            format!("RDMA_MAP of {len} bytes"),
            Bound::Rdma,
            EINVAL,
            move |raw, _| raw.send(&cmsg(RDMA_MAP, &vec![0; len]), None),
        );
    }
    for (kind, name) in KINDS_OF_ATOMICS {
        row(
            t,
            format!("{name} of 71 bytes"),
            Bound::Rdma,
            EINVAL,
            move |raw, _| raw.send(&cmsg(kind, &atomic(raw.local(8))[..71]), None),
        );
    }
    for kind in [0, 4, 5, 10, 14] {
        row(
            t,
            format!("a control message of type {kind}"),
            Bound::Rdma,
            EINVAL,
            move |raw, _| raw.send(&cmsg(kind, &[0; 72]), None),
        );
    }
}

fn local_memory(t: &mut Table) {
    row(t, "no pieces", Bound::Rdma, EINVAL, |raw, _| {
        raw.send(&cmsg(RDMA_ARGS, &args(raw, 64, &[], 0)), None)
    });
    row(t, "1025 pieces", Bound::Rdma, EMSGSIZE, |raw, _| {
        let pieces = vec![(raw.local(8), 8); 1025];
        raw.send(&cmsg(RDMA_ARGS, &args(raw, MIB, &pieces, 0)), None)
    });
    row(t, "pieces without end", Bound::Rdma, EMSGSIZE, |raw, _| {
        let (list, _) = raw.list(&[(raw.local(8), 8)]);
        let args = Args {
            remote_bytes: 64,
            list: (list, u64::MAX),
            flags: 0,
        };
        raw.send(&cmsg(RDMA_ARGS, &args.bytes()), None)
    });
    for (name, list) in [
        ("nowhere", Addr::UNMAPPED),
        ("in the kernel's memory", Addr::KERNEL),
    ] {
        row(
            t,
            format!("a list of pieces {name}"),
            Bound::Rdma,
            EFAULT,
            move |raw, _| {
                let args = Args {
                    remote_bytes: 64,
                    list: (list, 1),
                    flags: 0,
                };
                raw.send(&cmsg(RDMA_ARGS, &args.bytes()), None)
            },
        );
    }
    row(
        t,
        "a list that is cut short",
        Bound::Rdma,
        EFAULT,
        |raw, _| {
            let (list, _) = raw.list(&[(raw.local(8), 8)]);
            let args = Args {
                remote_bytes: 64,
                list: (list, 2),
                flags: 0,
            };
            raw.send(&cmsg(RDMA_ARGS, &args.bytes()), None)
        },
    );
    row(t, "an empty piece", Bound::Rdma, EINVAL, |raw, _| {
        let pieces = [(raw.local(8), 8), (raw.local(8), 0)];
        raw.send(&cmsg(RDMA_ARGS, &args(raw, 64, &pieces, 0)), None)
    });
    row(
        t,
        "a piece around the end of addresses",
        Bound::Rdma,
        EINVAL,
        |raw, _| {
            let pieces = [(raw.local(8), u64::MAX)];
            raw.send(&cmsg(RDMA_ARGS, &args(raw, 64, &pieces, 0)), None)
        },
    );
    for (name, flags) in [("READ", 0), ("WRITE", WRITE)] {
        row(
            t,
            format!("{name} with memory nowhere"),
            Bound::Rdma,
            EFAULT,
            move |raw, _| {
                let pieces = [(Addr::UNMAPPED, 8)];
                raw.send(&cmsg(RDMA_ARGS, &args(raw, 64, &pieces, flags)), None)
            },
        );
        row(
            t,
            format!("{name} with memory that ends too soon"),
            Bound::Rdma,
            EFAULT,
            move |raw, _| {
                let pieces = [(raw.local(8), 16)];
                raw.send(&cmsg(RDMA_ARGS, &args(raw, 64, &pieces, flags)), None)
            },
        );
        row(
            t,
            format!("{name} whose second piece is nowhere"),
            Bound::Rdma,
            EFAULT,
            move |raw, _| {
                let pieces = [(raw.local(8), 8), (Addr::UNMAPPED, 8)];
                raw.send(&cmsg(RDMA_ARGS, &args(raw, 64, &pieces, flags)), None)
            },
        );
        row(
            t,
            format!("{name} of more than the remote bytes"),
            Bound::Rdma,
            EINVAL,
            move |raw, _| {
                let pieces = [(raw.local(65), 65)];
                raw.send(&cmsg(RDMA_ARGS, &args(raw, 64, &pieces, flags)), None)
            },
        );
        row(
            t,
            format!("{name} of more than a MiB"),
            Bound::Rdma,
            EMSGSIZE,
            move |raw, _| {
                let len = MIB + 1;
                let pieces = [(raw.local(len as usize), len)];
                raw.send(&cmsg(RDMA_ARGS, &args(raw, len, &pieces, flags)), None)
            },
        );
    }
    t.add("READ into memory that may only be read", |world, _| {
        let raw = Raw::new(world, Bound::Rdma)?;
        let pieces = [(raw.sealed(64)?, 64)];
        judge(
            raw.send(&cmsg(RDMA_ARGS, &args(&raw, 64, &pieces, 0)), None),
            EFAULT,
        )
    });
    for (kind, name) in KINDS_OF_ATOMICS {
        for (what, at) in [
            ("nowhere", Addr::UNMAPPED),
            ("in the kernel's memory", Addr::KERNEL),
        ] {
            t.add(
                format!("{name} with the old value {what}"),
                move |world, _| {
                    let raw = Raw::new(world, Bound::Rdma)?;
                    faults(raw.send(&cmsg(kind, &atomic(at)), None))
                },
            );
        }
        t.add(
            format!("{name} with the old value not aligned"),
            move |world, _| {
                let raw = Raw::new(world, Bound::Rdma)?;
                faults(raw.send(&cmsg(kind, &atomic(raw.local(12))), None))
            },
        );
    }
}

/// EFAULT, where the device has such atomics.
fn faults(got: Got) -> Outcome {
    match got {
        Err(EOPNOTSUPP) => skip("the device has no such atomics"),
        got => judge(got, EFAULT),
    }
}

fn groups(t: &mut Table) {
    row(t, "two RDMA_ARGS", Bound::Rdma, EINVAL, |raw, _| {
        raw.send(&[read(raw), read(raw)].concat(), None)
    });
    row(
        t,
        "two RDMA_ARGS of more than a MiB together",
        Bound::Rdma,
        EMSGSIZE,
        |raw, _| {
            let half = cmsg(
                RDMA_ARGS,
                &args(raw, MIB / 2 + 1, &[(raw.local(64), 64)], 0),
            );
            raw.send(&[half.clone(), half].concat(), None)
        },
    );
    row(t, "two atomics", Bound::Rdma, EINVAL, |raw, _| {
        let one = cmsg(FADD, &atomic(raw.local(8)));
        raw.send(&[one.clone(), one].concat(), None)
    });
    row(t, "two RDMA_MAP", Bound::Rdma, EINVAL, |raw, _| {
        raw.send(&[mapped(raw), mapped(raw)].concat(), None)
    });
    row(
        t,
        "RDMA_MAP and RDMA_DEST",
        Bound::Rdma,
        EINVAL,
        |raw, _| raw.send(&[mapped(raw), cmsg(RDMA_DEST, &number(1))].concat(), None),
    );
    for (kind, name) in [(RDMA_ARGS, "RDMA_ARGS"), (FADD, "an atomic")] {
        let operation = move |raw: &Raw| match kind {
            RDMA_ARGS => read(raw),
            _ => cmsg(FADD, &atomic(raw.local(8))),
        };
        row(
            t,
            format!("{name} and RDMA_DEST"),
            Bound::Rdma,
            EINVAL,
            move |raw, _| {
                raw.send(
                    &[operation(raw), cmsg(RDMA_DEST, &number(1))].concat(),
                    None,
                )
            },
        );
        row(
            t,
            format!("RDMA_MAP and {name}"),
            Bound::Rdma,
            EINVAL,
            move |raw, _| raw.send(&[mapped(raw), operation(raw)].concat(), None),
        );
    }
    row(
        t,
        "RDMA_DEST of what is not there",
        Bound::Rdma,
        EINVAL,
        |raw, _| raw.send(&cmsg(RDMA_DEST, &number(0x1234_5678)), None),
    );
    row(t, "RDMA_DEST of 0", Bound::Rdma, EINVAL, |raw, _| {
        raw.send(&cmsg(RDMA_DEST, &number(0)), None)
    });
}

/// Memory that cannot be registered: what it is called, where, how long, and the error.
fn cannot(raw: &Raw) -> [(&'static str, [u8; 8], u64, i32); 7] {
    let local = raw.local(64).word();
    [
        ("nothing", local, 0, EINVAL),
        (
            "memory around the end of addresses",
            local,
            u64::MAX,
            EINVAL,
        ),
        (
            "memory up to the end of addresses",
            number(u64::MAX - PAGE),
            PAGE,
            EINVAL,
        ),
        (
            "more than a MiB and a page",
            raw.local(PAGE as usize).word(),
            MIB + PAGE + 1,
            EMSGSIZE,
        ),
        ("memory nowhere", Addr::UNMAPPED.word(), 8, EFAULT),
        ("the kernel's memory", Addr::KERNEL.word(), 8, EFAULT),
        ("memory that ends too soon", raw.local(8).word(), 16, EFAULT),
    ]
}

fn regions(t: &mut Table) {
    t.group("errors of regions");
    // The names are the same wherever the memory is.
    let names = [
        "nothing",
        "memory around the end of addresses",
        "memory up to the end of addresses",
        "more than a MiB and a page",
        "memory nowhere",
        "the kernel's memory",
        "memory that ends too soon",
    ];
    for (i, name) in names.into_iter().enumerate() {
        t.add(format!("RDMA_MAP of {name}"), move |world, link| {
            link.flows()?;
            let raw = Raw::new(world, Bound::Rdma)?;
            let (_, at, len, wanted) = cannot(&raw)[i];
            judge(
                raw.send(&cmsg(RDMA_MAP, &map(at, len, Addr::NULL)), None),
                wanted,
            )
        });
        for (option, of) in [(GET_MR, "GET_MR"), (GET_MR_FOR_DEST, "GET_MR_FOR_DEST")] {
            t.add(format!("{of} of {name}"), move |world, _| {
                let raw = Raw::new(world, Bound::Rdma)?;
                let (_, at, len, wanted) = cannot(&raw)[i];
                judge(
                    raw.set(option, &value(option, map(at, len, Addr::NULL))),
                    wanted,
                )
            });
        }
    }
    t.add(
        "RDMA_MAP for writing of memory that may only be read",
        |world, link| {
            link.flows()?;
            let raw = Raw::new(world, Bound::Rdma)?;
            let mut args = map(raw.sealed(64)?.word(), 64, Addr::NULL);
            // RDS_RDMA_READWRITE.
            args[24..].copy_from_slice(&1_u64.to_ne_bytes());
            judge(raw.send(&cmsg(RDMA_MAP, &args), None), EFAULT)
        },
    );
    t.add("RDMA_MAP with nowhere for its cookie", |world, link| {
        link.flows()?;
        let raw = Raw::new(world, Bound::Rdma)?;
        let at = raw.local(64).word();
        judge(
            raw.send(&cmsg(RDMA_MAP, &map(at, 64, Addr::UNMAPPED)), None),
            EFAULT,
        )
    });
    for (option, of) in [(GET_MR, "GET_MR"), (GET_MR_FOR_DEST, "GET_MR_FOR_DEST")] {
        t.add(
            format!("{of} with nowhere for its cookie"),
            move |world, _| {
                if world.c_here {
                    return skip("C has regions by RDMA_MAP only");
                }
                let raw = Raw::new(world, Bound::Rdma)?;
                let args = map(raw.local(64).word(), 64, Addr::UNMAPPED);
                judge(raw.set(option, &value(option, args)), EFAULT)
            },
        );
    }
}

/// What the option takes.
fn value(option: i32, args: Vec<u8>) -> Vec<u8> {
    match option {
        GET_MR_FOR_DEST => [vec![0; 128], args].concat(),
        _ => args,
    }
}

fn options(t: &mut Table) {
    t.group("errors of options");
    for (option, of, right) in [
        (GET_MR, "GET_MR", 32),
        (GET_MR_FOR_DEST, "GET_MR_FOR_DEST", 160),
        (FREE_MR, "FREE_MR", 16),
    ] {
        for len in [0, right - 1, right + 1] {
            row(
                t,
                format!("{of} of {len} bytes"),
                Bound::Rdma,
                EINVAL,
                move |raw, _| raw.set(option, &vec![1; len]),
            );
        }
        row(
            t,
            format!("{of} with its value nowhere"),
            Bound::Rdma,
            EFAULT,
            move |raw, _| raw.set_at(option, Addr::UNMAPPED, right as i32),
        );
    }
    for (option, of) in [(GET_MR, "GET_MR"), (GET_MR_FOR_DEST, "GET_MR_FOR_DEST")] {
        row(
            t,
            format!("{of}, not bound"),
            Bound::Not,
            ENOTCONN,
            move |raw, _| {
                raw.set(
                    option,
                    &value(option, map(raw.local(64).word(), 64, Addr::NULL)),
                )
            },
        );
    }
    row(
        t,
        "FREE_MR of what is not there",
        Bound::Rdma,
        EINVAL,
        |raw, _| raw.set(FREE_MR, &[1; 16]),
    );
    t.add("FREE_MR of all", |world, _| {
        let raw = Raw::new(world, Bound::Rdma)?;
        match raw.set(FREE_MR, &[0; 16]) {
            Ok(0) => Ok(()),
            got => bad(format!("{got:?}")),
        }
    });
    row(
        t,
        "FREE_MR of all, not bound",
        Bound::Not,
        EINVAL,
        |raw, _| raw.set(FREE_MR, &[0; 16]),
    );
}

fn transports(t: &mut Table) {
    t.group("errors without RDMA");
    for (bound, of) in [(Bound::Loopback, "loopback"), (Bound::Tcp, "TCP")] {
        row(
            t,
            format!("RDMA_ARGS on {of}"),
            bound,
            EOPNOTSUPP,
            |raw, _| raw.send(&read(raw), None),
        );
        row(
            t,
            format!("RDMA_MAP on {of}"),
            bound,
            EOPNOTSUPP,
            |raw, _| raw.send(&mapped(raw), None),
        );
        row(t, format!("RDMA_DEST on {of}"), bound, EINVAL, |raw, _| {
            raw.send(&cmsg(RDMA_DEST, &number(1)), None)
        });
        for (kind, name) in KINDS_OF_ATOMICS {
            row(
                t,
                format!("{name} on {of}"),
                bound,
                EOPNOTSUPP,
                move |raw, _| raw.send(&cmsg(kind, &atomic(raw.local(8))), None),
            );
        }
        for (option, name) in [(GET_MR, "GET_MR"), (GET_MR_FOR_DEST, "GET_MR_FOR_DEST")] {
            row(
                t,
                format!("{name} on {of}"),
                bound,
                EOPNOTSUPP,
                move |raw, _| {
                    raw.set(
                        option,
                        &value(option, map(raw.local(64).word(), 64, Addr::NULL)),
                    )
                },
            );
        }
        row(
            t,
            format!("FREE_MR of all on {of}"),
            bound,
            EINVAL,
            |raw, _| raw.set(FREE_MR, &[0; 16]),
        );
    }
    row(
        t,
        "RDMA_ARGS, not bound",
        Bound::Not,
        ENOTCONN,
        |raw, world| raw.send(&read(raw), Some(world.peer)),
    );
    row(
        t,
        "an atomic, not bound",
        Bound::Not,
        ENOTCONN,
        |raw, world| raw.send(&cmsg(FADD, &atomic(raw.local(8))), Some(world.peer)),
    );
    row(
        t,
        "RDMA_MAP, not bound",
        Bound::Not,
        ENOTCONN,
        |raw, world| raw.send(&mapped(raw), Some(world.peer)),
    );
}
