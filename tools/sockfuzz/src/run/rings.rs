// SPDX-License-Identifier: GPL-2.0

//! Requests of an `io_uring`.

use super::transfer::{Header, HEADER};
use super::{piece, Thread};
use crate::kinds::Kind;
use crate::plan::{Name, Order, Place, Pointer};
use raw_calls::{Addr, Entry, Request, Ring};

/// How many requests a ring has room for.
const REQUESTS: u32 = 16;
/// The memory of a request in each piece: so much of it, so often.
const PART: usize = 128;
const PARTS: u64 = 16;
/// The most that a request receives.
const ROOM: usize = 65536;

/// The kinds of completions; the number of a request ends with that of its kind.
const KINDS: [Kind; 5] = [
    Kind::RingSend,
    Kind::RingReceive,
    Kind::RingPoll,
    Kind::RingCancel,
    Kind::RingAny,
];
const SEND: u64 = 0;
const RECEIVE: u64 = 1;
const POLL: u64 = 2;
const CANCEL: u64 = 3;
const ANY: u64 = 4;

impl Thread<'_> {
    pub(super) fn ring_open(&mut self) {
        if !self.world.rings {
            self.world.counts.skip();
            return;
        }
        match Ring::new(REQUESTS) {
            Ok(ring) => {
                self.ring = Some(ring);
                self.note(Kind::RingOpen, true, Ok(0));
            }
            Err(errno) => {
                self.note(Kind::RingOpen, true, Err(errno));
            }
        }
    }

    /// Asks for all of it, and takes what is complete.
    pub(super) fn order(&mut self, place: Place, orders: &[Order], flags: u8, wait: u8) {
        if !self.world.rings {
            self.world.counts.skip();
            return;
        }
        let Some(mut ring) = self.ring.take() else {
            return;
        };
        for order in orders {
            if !ring.has_room() {
                break;
            }
            self.request += 1;
            let (kind, request) = self.request(place, order);
            let number = (self.request << 3) | kind;
            if kind == POLL {
                self.poll = number;
            }
            ring.push(Entry {
                request,
                flags,
                number,
            });
        }
        // Without anything under way it would wait for ever, but for signals.
        let got = ring.submit(wait.into());
        self.note(Kind::RingEnter, true, got);
        while let Some((number, result, _)) = ring.complete() {
            let kind = KINDS.get((number & 7) as usize).copied();
            // What its memory is used for meanwhile, nobody knows.
            self.note(kind.unwrap_or(Kind::RingAny), false, result);
        }
        self.ring = Some(ring);
    }

    /// How far before the end of a piece the memory of the current request begins.
    fn part(&self, len: usize) -> usize {
        len * (1 + (self.request % PARTS) as usize)
    }

    fn request(&mut self, place: Place, order: &Order) -> (u64, Request) {
        let fd = self.file(place);
        let stock = &self.world.stock;
        match order {
            Order::Nop => (ANY, Request::Nop),
            Order::Send {
                message,
                flags,
                copy,
            } => {
                let (at, len) = (stock.at(*message, 0), stock.len(*message) as u32);
                match copy {
                    true => (SEND, Request::Send(fd, at, len, *flags)),
                    false => (SEND, Request::SendZc(fd, at, len, *flags)),
                }
            }
            Order::Write { message } => {
                let (at, len) = (stock.at(*message, 0), stock.len(*message) as u32);
                (SEND, Request::Write(fd, at, len))
            }
            Order::Receive { room, flags } => {
                let (at, room) = self.ring_room(*room);
                (RECEIVE, Request::Recv(fd, at, room, *flags))
            }
            Order::Read { room } => {
                let (at, room) = self.ring_room(*room);
                (RECEIVE, Request::Read(fd, at, room))
            }
            Order::SendMessage { message, to, flags } => {
                let (at, len) = (stock.at(*message, 0), stock.len(*message) as u64);
                let to = to.as_ref().map(|to| self.ring_name(to));
                let header = self.ring_header(to.unwrap_or((Addr::NULL, 0)), (at, len));
                (SEND, Request::Sendmsg(fd, header, *flags))
            }
            Order::ReceiveMessage { room, flags } => {
                let (at, room) = self.ring_room(*room);
                let from = self.arena.room(piece::RING_NAME, self.part(PART));
                let header = self.ring_header((from, 28), (at, room.into()));
                (RECEIVE, Request::Recvmsg(fd, header, *flags))
            }
            Order::Accept => (ANY, Request::Accept(fd, Addr::NULL, Addr::NULL)),
            Order::Connect(name) => {
                let (at, len) = self.ring_name(name);
                (ANY, Request::Connect(fd, at, len as u32))
            }
            Order::Poll { events, again } => (POLL, Request::Poll(fd, *events, *again)),
            Order::PollRemove => (CANCEL, Request::PollRemove(self.poll)),
            Order::Cancel => {
                let before = self.request.saturating_sub(1) << 3;
                (CANCEL, Request::Cancel(before | RECEIVE))
            }
            Order::CancelAll => (CANCEL, Request::CancelAll(fd)),
            Order::Shutdown(how) => (ANY, Request::Shutdown(fd, (*how).into())),
            Order::Close => {
                let fd =
                    super::FILES[usize::from(place)].swap(-1, std::sync::atomic::Ordering::Relaxed);
                // A number of -1 the kernel takes for one of its own kind.
                match fd {
                    ..0 => (ANY, Request::Nop),
                    fd => (ANY, Request::Close(fd)),
                }
            }
        }
    }

    fn ring_room(&self, room: u32) -> (Addr, u32) {
        let room = (room as usize).min(ROOM);
        let at = self.arena.room(piece::RING_DATA, self.part(ROOM));
        (at, room as u32)
    }

    fn ring_name(&self, name: &Name) -> (Addr, i32) {
        let (raw, len, told) = self.world.sockaddr(name);
        let at = self
            .arena
            .put(piece::RING_NAME, self.part(PART), &raw[..len]);
        match name.pointer {
            Pointer::Good => (at, told),
            wrong => (self.at(wrong, piece::RING_NAME, len), told),
        }
    }

    /// A header with one piece of data.
    fn ring_header(&self, name: (Addr, i32), (data, len): (Addr, u64)) -> Addr {
        let mut raw = [0; 16];
        raw[..8].copy_from_slice(&data.word());
        raw[8..].copy_from_slice(&len.to_ne_bytes());
        let list = self.arena.put(piece::RING_LIST, self.part(PART), &raw);
        let header = Header {
            name,
            list: (list, 1),
            control: (Addr::NULL, 0),
        };
        let raw: [u8; HEADER] = header.raw();
        self.arena.put(piece::RING_HEADER, self.part(PART), &raw)
    }
}
