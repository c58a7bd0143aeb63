// SPDX-License-Identifier: GPL-2.0

//! Sending and receiving.

use super::{piece, Thread};
use crate::kinds::Kind;
use crate::plan::{Cmsg, Control, Cut, Data, Form, Len, Pointer, Receive, Send};
use raw_calls::{call, Addr, Call};

/// The length of `struct msghdr`, and of `struct mmsghdr`.
pub(super) const HEADER: usize = 56;
const MANY: usize = 64;
/// Most headers at once.
const MOST: usize = 4;
const SO_DOMAIN: i32 = 39;

/// A `struct msghdr`.
pub(super) struct Header {
    pub name: (Addr, i32),
    pub list: (Addr, u64),
    pub control: (Addr, u64),
}

impl Header {
    pub fn raw(&self) -> [u8; HEADER] {
        let mut raw = [0; HEADER];
        raw[..8].copy_from_slice(&self.name.0.word());
        raw[8..12].copy_from_slice(&self.name.1.to_ne_bytes());
        raw[16..24].copy_from_slice(&self.list.0.word());
        raw[24..32].copy_from_slice(&self.list.1.to_ne_bytes());
        raw[32..40].copy_from_slice(&self.control.0.word());
        raw[40..48].copy_from_slice(&self.control.1.to_ne_bytes());
        raw
    }
}

impl Cut {
    fn is_good(&self) -> bool {
        self.list == Pointer::Good && self.data == Pointer::Good && self.told.is_none()
    }
}

impl Thread<'_> {
    pub(super) fn send(&mut self, send: &Send) {
        let fd = self.file(send.place);
        let len = self.world.stock.len(send.message);
        // The messages are where nothing can be written anyway.
        let wrong = !matches!(send.cut.data, Pointer::Good | Pointer::ReadOnly);
        let (to, to_len, good_name) = match &send.to {
            Some(name) => self.name(piece::NAME, name),
            None => (Addr::NULL, 0, true),
        };
        match send.form {
            Form::Plain | Form::Named => {
                let at = match wrong {
                    true => self.list_at(send.cut.data, piece::DATA, 0),
                    false => self.world.stock.at(send.message, 0),
                };
                let (kind, with) = match send.form {
                    Form::Plain => (Kind::Write, Call::Write(fd, at, len)),
                    _ => {
                        let with = Call::Sendto(fd, at, len, send.flags, to, to_len);
                        (Kind::Send, with)
                    }
                };
                let got = self.make(kind, good_name && !wrong, with);
                if got.is_some() && wrong && len > 0 {
                    self.fail("data was sent that is not there");
                }
                if got.is_some_and(|sent| sent != len as i64) && kind == Kind::Send {
                    self.fail("not all of a message was sent");
                }
            }
            Form::Message | Form::Many(_) => {
                let list = self.pieces_of_message(send);
                let (control, good_control) = self.control(&send.control);
                let header = Header {
                    name: (to, to_len),
                    list: (list, send.cut.told.unwrap_or(send.cut.pieces.into())),
                    control,
                };
                let good = good_name
                    && good_control
                    && send.cut.told.is_none()
                    && !wrong
                    && send.cut.list == Pointer::Good
                    && send.header == Pointer::Good;
                self.send_headers(send, fd, &header, good);
            }
        }
    }

    fn send_headers(&mut self, send: &Send, fd: i32, header: &Header, good: bool) {
        if let Form::Many(count) = send.form {
            let used = self.headers(header, count);
            let at = self.list_at(send.header, piece::HEADER, used);
            let with = Call::Sendmmsg(fd, at, count.into(), send.flags);
            let got = self.make(Kind::Sendmmsg, good, with);
            if got.is_some_and(|sent| sent < 0 || sent > i64::from(count)) {
                self.fail("more messages were sent than there are");
            }
            return;
        }
        self.arena.place(piece::HEADER, &header.raw());
        let at = self.list_at(send.header, piece::HEADER, HEADER);
        let got = self.make(Kind::Sendmsg, good, Call::Sendmsg(fd, at, send.flags));
        let len = match (send.cut.pieces, send.cut.told) {
            (0, _) | (_, Some(0)) => 0,
            _ => self.world.stock.len(send.message),
        };
        if got.is_some_and(|sent| sent != len as i64) {
            self.fail("not all of a message was sent");
        }
    }

    /// Places so many headers for one call, all the same, and says how many bytes they are.
    fn headers(&mut self, header: &Header, count: u8) -> usize {
        let mut raw = [0; MANY * MOST];
        for entry in raw.chunks_exact_mut(MANY) {
            entry[..HEADER].copy_from_slice(&header.raw());
        }
        let used = MANY * usize::from(count).min(MOST);
        self.arena.place(piece::HEADER, &raw[..used]);
        used
    }

    /// The list of the pieces of a message.
    fn pieces_of_message(&mut self, send: &Send) -> Addr {
        let (cut, len) = (&send.cut, self.world.stock.len(send.message));
        let pieces = usize::from(cut.pieces);
        let mut raw = [0; 16 * 8];
        for (at, entry) in raw.chunks_exact_mut(16).take(pieces).enumerate() {
            let (start, end) = (len * at / pieces, len * (at + 1) / pieces);
            let data = match cut.data {
                Pointer::Good | Pointer::ReadOnly => self.world.stock.at(send.message, start),
                wrong if at + 1 == pieces => self.list_at(wrong, piece::DATA, 0),
                _ => self.world.stock.at(send.message, start),
            };
            entry[..8].copy_from_slice(&data.word());
            entry[8..].copy_from_slice(&((end - start) as u64).to_ne_bytes());
        }
        self.arena.place(piece::LIST, &raw[..16 * pieces]);
        self.list_at(cut.list, piece::LIST, 16 * pieces)
    }

    /// Control messages: where they are and their length, and whether all pointers are right.
    fn control(&mut self, control: &Control) -> ((Addr, u64), bool) {
        let mut bytes = Vec::new();
        let mut good = true;
        for cmsg in control.all.iter().flatten() {
            good &= self.cmsg(cmsg, &mut bytes);
        }
        self.arena.place(piece::CONTROL, &bytes);
        let at = self.list_at(control.pointer, piece::CONTROL, bytes.len());
        let len = control.len.unwrap_or(bytes.len() as u64);
        let right = control.pointer == Pointer::Good && len <= bytes.len() as u64;
        ((at, len), good && right || len == 0)
    }

    /// Adds a control message; whether all that it points to is there.
    fn cmsg(&mut self, cmsg: &Cmsg, bytes: &mut Vec<u8>) -> bool {
        let mut carried = Vec::with_capacity(96);
        let mut word = |bytes: [u8; 8]| carried.extend(bytes);
        let number = u64::to_ne_bytes;
        let mut good = false;
        match cmsg.data {
            Data::Args {
                pieces,
                bytes,
                flags,
                list,
                data,
            } => {
                let memory = self.at(data, piece::MEMORY, 1 << 20);
                let mut raw = [0; 16 * 4];
                for entry in raw.chunks_exact_mut(16) {
                    entry[..8].copy_from_slice(&memory.word());
                    entry[8..].copy_from_slice(&number(bytes.min(1 << 20)));
                }
                let len = 16 * usize::try_from(pieces).unwrap_or(0).min(4);
                self.arena.place(piece::MEMORY_LIST, &raw[..len]);
                word(number(0x1234));
                word(number(0));
                word(number(bytes));
                word(self.list_at(list, piece::MEMORY_LIST, len).word());
                word(number(pieces));
                word(number(flags));
                word(number(0x55));
            }
            Data::Map {
                bytes,
                flags,
                data,
                cookie,
            } => {
                word(self.at(data, piece::MEMORY, 1 << 20).word());
                word(number(bytes));
                word(self.at(cookie, piece::VALUE, 8).word());
                word(number(flags));
            }
            Data::Atomic { local, flags } => {
                word(number(0x1234));
                word(self.at(local, piece::MEMORY, 8).word());
                word(number(0));
                (0..4).for_each(|_| word(number(1)));
                word(number(flags));
                word(number(0x66));
            }
            Data::Dest(cookie) => {
                word(number(cookie));
                good = true;
            }
            Data::Cookie(cookie) => {
                carried.extend(cookie.to_ne_bytes());
                good = true;
            }
            // As a pointer that is one of no process.
            Data::Junk(len) => carried.resize(usize::from(len), 0xe1),
        }
        let len = cmsg.len.unwrap_or(16 + carried.len() as u64);
        bytes.extend(len.to_ne_bytes());
        bytes.extend(cmsg.level.to_ne_bytes());
        bytes.extend(cmsg.kind.to_ne_bytes());
        bytes.extend(carried);
        bytes.resize(bytes.len().next_multiple_of(8), 0);
        good
    }

    pub(super) fn receive(&mut self, receive: &Receive) {
        let fd = self.file(receive.place);
        let mut room = receive.room as usize;
        let cut = &receive.cut;
        let told = match receive.name_len {
            Len::Right => 128,
            Len::Is(len) => len,
        };
        let mut good = receive.name.is_none_or(|name| name == Pointer::Good) && told <= 128;
        let name = match receive.name {
            Some(name) => self.at(name, piece::NAME, 128),
            None => Addr::NULL,
        };
        let got = match receive.form {
            Form::Plain | Form::Named => {
                good &= cut.data == Pointer::Good;
                let at = self.at(cut.data, piece::DATA, room);
                if receive.form == Form::Plain {
                    self.make(Kind::Read, good, Call::Read(fd, at, room));
                    return;
                }
                self.arena.place(piece::LEN, &told.to_ne_bytes());
                let len = self.at(receive.header, piece::LEN, 4);
                good &= receive.header == Pointer::Good;
                let with = Call::Recvfrom(fd, at, room, receive.flags, name, len);
                self.make(Kind::Recv, good, with)
            }
            Form::Message | Form::Many(_) => {
                let list = self.pieces_of_room(cut, room);
                let control = usize::from(receive.control);
                let header = Header {
                    name: (name, told),
                    list: (list, cut.told.unwrap_or(cut.pieces.into())),
                    control: (
                        self.at(receive.control_at, piece::CONTROL, control),
                        control as u64,
                    ),
                };
                good &= cut.is_good()
                    && receive.header == Pointer::Good
                    && receive.control_at == Pointer::Good;
                if cut.pieces == 0 {
                    room = 0;
                }
                self.receive_headers(receive, fd, &header, good)
            }
        };
        let Some(came) = got.filter(|_| good) else {
            return;
        };
        let told = usize::try_from(came).unwrap_or(usize::MAX);
        let stock = &self.world.stock;
        if let Err(garbage) = stock.check(&self.arena, piece::DATA, room, told) {
            if self.is_rds(fd) {
                self.fail(&format!("{came} bytes came, but {garbage:?}"));
            }
        }
    }

    /// The list of the pieces of the room for what comes, one behind the other.
    fn pieces_of_room(&mut self, cut: &Cut, room: usize) -> Addr {
        let pieces = usize::from(cut.pieces);
        let mut raw = [0; 16 * 8];
        for (at, entry) in raw.chunks_exact_mut(16).take(pieces).enumerate() {
            let (start, end) = (room * at / pieces, room * (at + 1) / pieces);
            let data = if at + 1 == pieces && cut.data != Pointer::Good {
                self.at(cut.data, piece::DATA, room)
            } else {
                self.arena.room(piece::DATA, room - start)
            };
            entry[..8].copy_from_slice(&data.word());
            entry[8..].copy_from_slice(&((end - start) as u64).to_ne_bytes());
        }
        self.arena.place(piece::LIST, &raw[..16 * pieces]);
        self.list_at(cut.list, piece::LIST, 16 * pieces)
    }

    /// How much came, where it was one message.
    fn receive_headers(
        &mut self,
        receive: &Receive,
        fd: i32,
        header: &Header,
        good: bool,
    ) -> Option<i64> {
        if let Form::Many(count) = receive.form {
            let used = self.headers(header, count);
            let at = self.list_at(receive.header, piece::HEADER, used);
            // Half a millisecond, or no limit.
            let mut time = [0; 16];
            time[8..].copy_from_slice(&500_000_u64.to_ne_bytes());
            self.arena.place(piece::VALUE, &time);
            let time = match receive.room % 2 {
                0 => self.arena.room(piece::VALUE, 16),
                _ => Addr::NULL,
            };
            let with = Call::Recvmmsg(fd, at, count.into(), receive.flags, time);
            let got = self.make(Kind::Recvmmsg, good, with)?;
            if got < 0 || got > i64::from(count) {
                self.fail("more messages came than there was room for");
            }
            if got != 1 || !good {
                return None;
            }
            let raw = self.arena.read(piece::HEADER, used);
            let len = [
                raw[HEADER],
                raw[HEADER + 1],
                raw[HEADER + 2],
                raw[HEADER + 3],
            ];
            return Some(u32::from_ne_bytes(len).into());
        }
        self.arena.place(piece::HEADER, &header.raw());
        let at = self.list_at(receive.header, piece::HEADER, HEADER);
        self.make(Kind::Recvmsg, good, Call::Recvmsg(fd, at, receive.flags))
    }

    /// Whether a file is a socket of RDS. It may be another one than a moment ago.
    pub(super) fn is_rds(&self, fd: i32) -> bool {
        let at = self.arena.place(piece::VALUE, &[0; 4]);
        let len = self.arena.place(piece::LEN, &4_i32.to_ne_bytes());
        let got = call(Call::Getsockopt(fd, libc::SOL_SOCKET, SO_DOMAIN, at, len));
        let family = u32::from(self.world.options.family);
        got.is_ok() && self.arena.read(piece::VALUE, 4) == family.to_ne_bytes()
    }
}
