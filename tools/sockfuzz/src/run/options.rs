// SPDX-License-Identifier: GPL-2.0

//! Options.

use super::{piece, Thread};
use crate::kinds::Kind;
use crate::plan::{Len, Place, Pointer, Value};
use raw_calls::Call;

const SOL_RDS: i32 = 276;
/// Options of RDS that give EFAULT for a length that is not theirs.
const EXACT: [i32; 3] = [10, 29, 63];
const INFO: std::ops::RangeInclusive<i32> = 10000..=10017;
/// Most that is there to be filled.
const ROOM: usize = 1 << 20;
/// SO_ATTACH_FILTER and SO_ATTACH_REUSEPORT_CBPF.
const FILTERS: [i32; 2] = [26, 51];

impl Thread<'_> {
    pub(super) fn set(
        &mut self,
        place: Place,
        (level, name): (i32, i32),
        value: &Value,
        len: Len,
        pointer: Pointer,
    ) {
        // What is no filter might have bytes where its pointer is looked for.
        if level == 1 && FILTERS.contains(&name) && !matches!(value, Value::Filter { .. }) {
            return;
        }
        let (bytes, mut good) = self.value(value);
        self.arena.place(piece::VALUE, &bytes);
        let at = match value {
            Value::Memory { .. } | Value::Filter { .. } => {
                self.list_at(pointer, piece::VALUE, bytes.len())
            }
            _ => self.at(pointer, piece::VALUE, bytes.len()),
        };
        let told = match len {
            Len::Right => bytes.len() as i32,
            Len::Is(len) => len,
        };
        good &= pointer == Pointer::Good && told <= bytes.len() as i32;
        if level == SOL_RDS && EXACT.contains(&name) {
            good = false;
        }
        let call = Call::Setsockopt(self.file(place), level, name, at, told);
        self.make(Kind::Set, good, call);
    }

    /// The bytes of a value, and whether what they point to is there.
    fn value(&self, value: &Value) -> (Vec<u8>, bool) {
        let mut bytes = Vec::with_capacity(160);
        let mut good = true;
        match value {
            Value::Int(value) => bytes.extend(value.to_ne_bytes()),
            Value::Name(name) => {
                let (raw, len, _) = self.world.sockaddr(name);
                bytes.extend(&raw[..len]);
            }
            Value::Time(seconds, us) => {
                bytes.extend(seconds.to_ne_bytes());
                bytes.extend(us.to_ne_bytes());
            }
            Value::Free(cookie, flags) => {
                bytes.extend(cookie.to_ne_bytes());
                bytes.extend(flags.to_ne_bytes());
            }
            Value::Memory {
                bytes: len,
                flags,
                data,
                cookie,
                to,
            } => {
                if let Some(name) = to {
                    let (raw, len, _) = self.world.sockaddr(name);
                    bytes.extend(&raw[..len]);
                    bytes.resize(128, 0);
                }
                good = false;
                bytes.extend(self.at(*data, piece::MEMORY, 1 << 20).word());
                bytes.extend(len.to_ne_bytes());
                bytes.extend(self.at(*cookie, piece::MEMORY_LIST, 8).word());
                bytes.extend(flags.to_ne_bytes());
            }
            Value::Trace(trace) => bytes.extend(trace),
            Value::Filter { takes, code } => {
                // One instruction: return a constant.
                let mut program = [0x06, 0, 0, 0, 0, 0, 0, 0];
                if *takes {
                    program[4..].fill(0x7f);
                }
                self.arena.place(piece::MEMORY_LIST, &program);
                bytes.extend(1_u64.to_ne_bytes());
                bytes.extend(self.at(*code, piece::MEMORY_LIST, 8).word());
                good = *code == Pointer::Good;
            }
            Value::Junk(len) => bytes.resize(usize::from(*len), 0x01),
        }
        (bytes, good)
    }

    pub(super) fn get(
        &mut self,
        place: Place,
        (level, name): (i32, i32),
        len: i32,
        pointer: Pointer,
        len_at: Pointer,
    ) {
        let room = usize::try_from(len).unwrap_or(0).min(ROOM);
        let at = self.at(pointer, piece::VALUE, room);
        self.arena.place(piece::LEN, &len.to_ne_bytes());
        let length = self.at(len_at, piece::LEN, 4);
        // SO_GET_FILTER, of the same number as SO_ATTACH_FILTER, takes the length for a number of
        // instructions, eight bytes each.
        let counts = (level, name) == (1, FILTERS[0]);
        let good =
            pointer == Pointer::Good && len_at == Pointer::Good && len <= ROOM as i32 && !counts;
        let info = level == SOL_RDS && INFO.contains(&name);
        let kind = if info { Kind::Info } else { Kind::Get };
        let fd = self.file(place);
        let got = self.make(kind, good, Call::Getsockopt(fd, level, name, at, length));
        if let Some(stride) = got.filter(|_| info && good) {
            let raw = self.arena.read(piece::LEN, 4);
            let told = i64::from(i32::from_ne_bytes([raw[0], raw[1], raw[2], raw[3]]));
            let whole = stride > 0 && told >= 0 && told % stride == 0 && told <= i64::from(len);
            if !whole && self.is_rds(fd) {
                self.fail(&format!("records of {stride} bytes, {told} bytes in all"));
            }
        }
    }
}
