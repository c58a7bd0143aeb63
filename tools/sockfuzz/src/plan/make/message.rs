// SPDX-License-Identifier: GPL-2.0

//! Sending and receiving.

use super::{name, name_len, of_sockets, pick, pointer, SOL_RDS};
use crate::plan::{Cmsg, Control, Cut, Data, Form, Op, Order, Receive, Send};
use crate::rng::Rng;
use crate::world::MESSAGES;

pub(super) fn message(rng: &mut Rng) -> u8 {
    // The numbers go up with the length.
    let small = rng.below(MESSAGES) as u8;
    if rng.one_in(8) {
        small
    } else {
        (small as u64).min(rng.below(MESSAGES * 2 / 3)) as u8
    }
}

pub(super) fn cut(rng: &mut Rng) -> Cut {
    Cut {
        pieces: if rng.one_in(4) { rng.below(5) as u8 } else { 1 },
        told: rng
            .one_in(150)
            .then(|| pick(rng, &[0, 7, 1024, 1025, 1 << 31, u64::MAX])),
        list: pointer(rng),
        data: pointer(rng),
    }
}

pub(super) fn flags(rng: &mut Rng, usual: i32) -> i32 {
    let mut flags = if rng.one_in(14) { 0 } else { usual };
    while rng.one_in(12) {
        flags |= 1 << rng.below(32);
    }
    flags
}

/// Bytes of memory that somebody names.
pub(super) fn bytes(rng: &mut Rng) -> u64 {
    pick(
        rng,
        &[
            0,
            1,
            8,
            64,
            4096,
            4097,
            65536,
            1 << 20,
            (1 << 20) + 4097,
            1 << 32,
            u64::MAX,
        ],
    )
}

pub(super) fn cookie(rng: &mut Rng) -> u64 {
    match rng.below(3) {
        0 => 0,
        1 => rng.below(16) << 8,
        _ => rng.bits(),
    }
}

pub(super) fn cmsg(rng: &mut Rng) -> Cmsg {
    let (kind, data) = match rng.below(8) {
        0 | 1 => (
            1,
            Data::Args {
                pieces: pick(rng, &[0, 1, 1, 1, 2, 3, 1024, 1025, u64::MAX]),
                bytes: bytes(rng),
                flags: rng.below(128),
                list: pointer(rng),
                data: pointer(rng),
            },
        ),
        2 => (2, Data::Dest(cookie(rng))),
        3 => (
            3,
            Data::Map {
                bytes: bytes(rng),
                flags: rng.below(128),
                data: pointer(rng),
                cookie: pointer(rng),
            },
        ),
        4 => (
            rng.range(6, 9) as i32,
            Data::Atomic {
                local: pointer(rng),
                flags: rng.below(128),
            },
        ),
        5 => (12, Data::Cookie(rng.bits() as u32)),
        _ => (rng.below(15) as i32, Data::Junk(rng.below(80) as u8)),
    };
    Cmsg {
        level: if rng.one_in(12) {
            pick(rng, &[0, 1, 41, 277])
        } else {
            SOL_RDS
        },
        kind,
        data,
        len: rng.one_in(10).then(|| {
            pick(
                rng,
                &[0, 1, 15, 16, 17, 20, 24, 72, 1 << 12, 1 << 31, u64::MAX],
            )
        }),
    }
}

pub(super) fn control(rng: &mut Rng) -> Control {
    let mut control = Control {
        all: [None; 3],
        pointer: pointer(rng),
        len: None,
    };
    if rng.one_in(6) {
        control.all[0] = Some(cmsg(rng));
        for other in 1..3 {
            if rng.one_in(3) {
                control.all[other] = Some(cmsg(rng));
            }
        }
    }
    if rng.one_in(60) {
        control.len = Some(pick(rng, &[1, 8, 15, 16, 17, 1 << 14, 1 << 20, u64::MAX]));
    }
    control
}

pub(super) fn form(rng: &mut Rng) -> Form {
    match rng.below(10) {
        0 => Form::Plain,
        1..=4 => Form::Named,
        5..=8 => Form::Message,
        _ => Form::Many(rng.range(0, 4) as u8),
    }
}

pub(super) fn send(rng: &mut Rng) -> Send {
    Send {
        place: of_sockets(rng),
        form: form(rng),
        message: message(rng),
        to: (!rng.one_in(3)).then(|| name(rng, false)),
        cut: cut(rng),
        control: control(rng),
        header: pointer(rng),
        flags: flags(rng, libc::MSG_DONTWAIT),
    }
}

pub(super) fn room(rng: &mut Rng) -> u32 {
    pick(
        rng,
        &[
            0,
            1,
            7,
            8,
            64,
            100,
            4095,
            4096,
            8192,
            65536,
            65536,
            65536,
            131_072,
            1 << 20,
        ],
    )
}

pub(super) fn receive(rng: &mut Rng) -> Receive {
    let mut usual = libc::MSG_DONTWAIT;
    if rng.one_in(8) {
        usual |= libc::MSG_PEEK;
    }
    if rng.one_in(8) {
        usual |= libc::MSG_TRUNC;
    }
    Receive {
        place: of_sockets(rng),
        form: form(rng),
        room: room(rng),
        cut: cut(rng),
        name: (!rng.one_in(3)).then(|| pointer(rng)),
        name_len: name_len(rng),
        control: pick(rng, &[0, 0, 8, 15, 16, 23, 24, 40, 64, 512, 512]),
        control_at: pointer(rng),
        header: pointer(rng),
        flags: flags(rng, usual),
    }
}

pub(super) fn order(rng: &mut Rng) -> Order {
    match rng.below(20) {
        0..=2 => Order::Send {
            message: message(rng),
            flags: flags(rng, libc::MSG_DONTWAIT),
            copy: !rng.one_in(4),
        },
        3 | 4 => Order::Receive {
            room: room(rng),
            flags: flags(rng, 0),
        },
        5..=7 => Order::SendMessage {
            message: message(rng),
            to: (!rng.one_in(4)).then(|| name(rng, false)),
            flags: flags(rng, 0),
        },
        8..=10 => Order::ReceiveMessage {
            room: room(rng),
            flags: flags(rng, 0),
        },
        11 => Order::Read { room: room(rng) },
        12 => Order::Write {
            message: message(rng),
        },
        13 => Order::Accept,
        14 => Order::Connect(name(rng, false)),
        15 => Order::Poll {
            events: pick(rng, &[1, 4, 5, 0x245]),
            again: rng.one_in(2),
        },
        16 => pick(rng, &[Order::PollRemove, Order::Nop]),
        17 => pick(rng, &[Order::Cancel, Order::CancelAll]),
        18 => Order::Shutdown(rng.below(4) as u8),
        _ => Order::Close,
    }
}

pub(super) fn ring(rng: &mut Rng) -> Op {
    Op::Ring {
        place: of_sockets(rng),
        orders: std::array::from_fn(|_| order(rng)),
        count: rng.range(0, 3) as u8,
        // In order, linked, in a thread of the kernel's.
        flags: if rng.one_in(3) {
            1 << rng.range(1, 4)
        } else {
            0
        },
        wait: u8::from(rng.one_in(12)),
    }
}
