// SPDX-License-Identifier: GPL-2.0

//! What is done with files of any kind: waiting for them, handing them on, pipes.

use super::{piece, Thread};
use crate::kinds::Kind;
use crate::plan::{Op, Place, Pointer, FILE, IN, OUT};
use raw_calls::{Addr, Call};

/// SPLICE_F_NONBLOCK.
const NONBLOCK: u32 = 2;

impl Thread<'_> {
    pub(super) fn act_on_file(&mut self, op: Op) {
        match op {
            Op::Poll {
                places,
                count,
                events,
                timeout,
                pointer,
            } => {
                let mut raw = [0; 8 * 4];
                for (entry, place) in raw.chunks_exact_mut(8).zip(places) {
                    entry[..4].copy_from_slice(&self.file(place).to_ne_bytes());
                    entry[4..6].copy_from_slice(&events.to_ne_bytes());
                }
                let used = 8 * usize::from(count);
                self.arena.place(piece::EVENTS, &raw[..used]);
                let at = self.at(pointer, piece::EVENTS, used);
                let call = Call::Poll(at, count.into(), timeout);
                self.make(Kind::Poll, pointer == Pointer::Good, call);
            }
            Op::Select {
                places,
                timeout,
                pointer,
            } => self.select(places, timeout, pointer),
            Op::EpollCreate(place) => {
                self.open(place, Kind::EpollCreate, Call::EpollCreate(0));
            }
            Op::EpollCtl {
                epoll,
                op,
                place,
                events,
                pointer,
            } => {
                let mut raw = [0; 12];
                raw[..4].copy_from_slice(&events.to_ne_bytes());
                raw[4..8].copy_from_slice(&u32::from(place).to_ne_bytes());
                self.arena.place(piece::EVENTS, &raw);
                let at = self.at(pointer, piece::EVENTS, 12);
                let call = Call::EpollCtl(self.file(epoll), op, self.file(place), at);
                self.make(Kind::EpollCtl, pointer == Pointer::Good, call);
            }
            Op::EpollWait {
                epoll,
                count,
                timeout,
                pointer,
            } => {
                let at = self.at(pointer, piece::EVENTS, 12 * 8);
                let call = Call::EpollWait(self.file(epoll), at, count, timeout);
                let good = pointer == Pointer::Good && count <= 8;
                self.make(Kind::EpollWait, good, call);
            }
            Op::Dup(from, to) => self.open(to, Kind::Dup, Call::Dup(self.file(from))),
            Op::Close(place) => self.keep(place, -1),
            Op::Shutdown(place, how) => {
                self.make(Kind::Shutdown, true, Call::Shutdown(self.file(place), how));
            }
            Op::Listen(place) => {
                self.make(Kind::Listen, true, Call::Listen(self.file(place), 5));
            }
            Op::Accept(place, pointer) => {
                self.arena.place(piece::LEN, &128_i32.to_ne_bytes());
                let (at, len) = (
                    self.at(pointer, piece::NAME, 128),
                    self.at(pointer, piece::LEN, 4),
                );
                let call = Call::Accept(self.file(place), at, len);
                self.make(Kind::Accept, pointer == Pointer::Good, call);
            }
            Op::SetFlags(place, flags) => {
                self.make(Kind::Fcntl, true, Call::SetFlags(self.file(place), flags));
            }
            Op::SetOwner(place) => {
                let own = std::process::id() as i32;
                self.make(Kind::Fcntl, true, Call::SetOwner(self.file(place), own));
            }
            Op::Give(place) => self.give(place),
            Op::Take(place) => self.take(place),
            Op::Pipes => {
                self.pipe(OUT);
                self.pipe(IN);
            }
            Op::File(pages) => self.make_file(pages),
            other => self.act_on_pipe(other),
        }
    }

    fn act_on_pipe(&mut self, op: Op) {
        match op {
            Op::Fill(message) => {
                let (at, len) = (
                    self.world.stock.at(message, 0),
                    self.world.stock.len(message),
                );
                self.make(Kind::Write, true, Call::Write(self.file(OUT.1), at, len));
            }
            Op::Splice {
                from,
                to,
                len,
                flags,
            } => {
                let (from, to) = (self.file(from), self.file(to));
                let flags = flags | NONBLOCK;
                self.make(
                    Kind::Splice,
                    true,
                    Call::Splice(from, to, len as usize, flags),
                );
            }
            Op::Tee(len) => {
                let call = Call::Tee(self.file(OUT.0), self.file(IN.1), len as usize, NONBLOCK);
                self.make(Kind::Tee, true, call);
            }
            Op::Vmsplice(message) => {
                let mut raw = [0; 16];
                raw[..8].copy_from_slice(&self.world.stock.at(message, 0).word());
                let len = self.world.stock.len(message) as u64;
                raw[8..].copy_from_slice(&len.to_ne_bytes());
                let at = self.arena.place(piece::LIST, &raw);
                let call = Call::Vmsplice(self.file(OUT.1), at, 1, NONBLOCK);
                // With memory short, EFAULT for memory that is there; it is nothing of ours that is called.
                self.make(Kind::Vmsplice, false, call);
            }
            Op::Sendfile {
                to,
                offset,
                len,
                pointer,
            } => {
                self.arena
                    .place(piece::VALUE, &u64::from(offset).to_ne_bytes());
                let at = self.at(pointer, piece::VALUE, 8);
                let call = Call::Sendfile(self.file(to), self.file(FILE), at, len as usize);
                self.make(Kind::Sendfile, pointer == Pointer::Good, call);
            }
            _ => {}
        }
    }

    fn select(&mut self, places: [Place; 4], timeout: u16, pointer: Pointer) {
        let mut set = [0_u8; 128];
        for place in places {
            if let Ok(fd) = usize::try_from(self.file(place)) {
                if let Some(byte) = set.get_mut(fd / 8) {
                    *byte |= 1 << (fd % 8);
                }
            }
        }
        let sets = std::array::from_fn(|at| {
            self.arena.put(piece::EVENTS, 128 * (at + 1), &set);
            match at {
                0 => self.at(pointer, piece::EVENTS, 128),
                _ => self.arena.room(piece::EVENTS, 128 * (at + 1)),
            }
        });
        let mut time = [0; 16];
        time[8..].copy_from_slice(&u64::from(timeout).to_ne_bytes());
        let time = self.arena.place(piece::VALUE, &time);
        let call = Call::Select(1024, sets, time);
        self.make(Kind::Select, pointer == Pointer::Good, call);
    }

    /// Two ends of a pipe at their places.
    fn pipe(&mut self, places: (Place, Place)) {
        let at = self.arena.room(piece::VALUE, 8);
        let flags = libc::O_NONBLOCK;
        if self.make(Kind::Pipe, true, Call::Pipe(at, flags)).is_none() {
            return;
        }
        let raw = self.arena.read(piece::VALUE, 8);
        let fd = |at: usize| i32::from_ne_bytes([raw[at], raw[at + 1], raw[at + 2], raw[at + 3]]);
        self.keep(places.0, fd(0));
        self.keep(places.1, fd(4));
    }

    /// A file with a message of the stock in each page, as far as that goes.
    fn make_file(&mut self, pages: u8) {
        let name = self.arena.place(piece::TEXT, b"fuzz\0");
        let Some(fd) = self.make(Kind::Memfd, true, Call::Memfd(name, 0)) else {
            return;
        };
        let mut messages = 0..crate::world::MESSAGES as u8;
        let page = messages.find(|number| self.world.stock.len(*number) == 4096);
        for _ in 0..pages {
            let at = self.world.stock.at(page.unwrap_or(0), 0);
            self.make(Kind::Write, true, Call::Write(fd as i32, at, 4096));
        }
        self.keep(FILE, fd as i32);
    }

    /// Hands a file to whoever takes it, by a UNIX socket.
    fn give(&mut self, place: Place) {
        let fd = self.file(place);
        let mut control = [0; 24];
        control[..8].copy_from_slice(&20_u64.to_ne_bytes());
        control[8..12].copy_from_slice(&libc::SOL_SOCKET.to_ne_bytes());
        control[12..16].copy_from_slice(&libc::SCM_RIGHTS.to_ne_bytes());
        control[16..20].copy_from_slice(&fd.to_ne_bytes());
        let at = self.arena.place(piece::CONTROL, &control);
        let header = self.one_byte((at, 24));
        let call = Call::Sendmsg(self.world.post.0, header, libc::MSG_DONTWAIT);
        self.make(Kind::Give, true, call);
    }

    fn take(&mut self, place: Place) {
        let at = self.arena.place(piece::CONTROL, &[0; 24]);
        let header = self.one_byte((at, 24));
        let call = Call::Recvmsg(self.world.post.1, header, libc::MSG_DONTWAIT);
        if self.make(Kind::Take, true, call).is_none() {
            return;
        }
        let raw = self.arena.read(piece::CONTROL, 24);
        let len = u64::from_ne_bytes(std::array::from_fn(|at| raw[at]));
        // Without one if there may be no more files.
        if len == 20 {
            let fd = i32::from_ne_bytes([raw[16], raw[17], raw[18], raw[19]]);
            self.keep(place, fd);
        }
    }

    /// A header for a byte, and control messages.
    fn one_byte(&mut self, control: (Addr, u64)) -> Addr {
        let mut raw = self.arena.place(piece::DATA, &[0]).word().to_vec();
        raw.extend(1_u64.to_ne_bytes());
        let list = self.arena.place(piece::LIST, &raw);
        let header = super::transfer::Header {
            name: (Addr::NULL, 0),
            list: (list, 1),
            control,
        };
        self.arena.place(piece::HEADER, &header.raw())
    }
}
