// SPDX-License-Identifier: GPL-2.0

//! Frames that cancel messages and end sessions.

use super::{frame_header, FrameType, PacketError, Reader, Writer};
use zerocopy::FromBytes as _;

/// A message that was cancelled after its number was used.
///
/// It takes its place in the order, as a message without data would, and in the quota.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct GoneEntry {
    /// The low half of its number.
    pub id: u32,
    /// As in [`Message`](super::Message).
    pub prev: u32,
    /// Its length in bytes, for the quota.
    pub len: u32,
}

const GONE_LEN: usize = 12;

/// A list of cancelled messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gone<'a>(&'a [[u8; GONE_LEN]]);

impl<'a> Gone<'a> {
    /// Reads the body of a frame.
    pub(super) fn parse(body: &'a [u8]) -> Result<Self, PacketError> {
        match <[[u8; GONE_LEN]]>::ref_from_bytes(body) {
            Ok(entries) => Ok(Self(entries)),
            Err(_) => Err(PacketError::Truncated),
        }
    }

    /// The messages.
    pub fn entries(&self) -> impl Iterator<Item = GoneEntry> + 'a {
        self.0.iter().map(|entry| {
            let [a, b, c, d, e, f, g, h, i, j, k, l] = *entry;
            GoneEntry {
                id: u32::from_be_bytes([a, b, c, d]),
                prev: u32::from_be_bytes([e, f, g, h]),
                len: u32::from_be_bytes([i, j, k, l]),
            }
        })
    }
}

impl GoneEntry {
    /// Length of the frame of one entry.
    pub const FRAME_LEN: usize = 16;

    /// Appends a frame of this entry; returns `false` and appends nothing if it does not fit.
    pub fn emit(&self, to: &mut Writer<'_>) -> bool {
        let mut room = [0; Self::FRAME_LEN];
        let mut w = Writer::new(&mut room);
        w.put(&frame_header(FrameType::Gone, 0, 12));
        for field in [self.id, self.prev, self.len] {
            w.put(&field.to_be_bytes());
        }
        to.put(w.written())
    }
}

/// Why a session ends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Reason {
    /// None is given, or one that is not known.
    #[default]
    Unspecified,
    /// There is no session of that number.
    Unknown,
    /// The peer is not in the life that the session was with.
    Incarnation,
    /// A packet or frame broke a rule.
    Violation,
    /// The module is being unloaded, or the address goes away.
    Shutdown,
    /// Nobody uses the session.
    Idle,
    /// A HELLO contradicts what is known of the session.
    Conflict,
}

impl Reason {
    /// The reason with this number.
    pub const fn from_number(number: u16) -> Self {
        match number {
            1 => Self::Unknown,
            2 => Self::Incarnation,
            3 => Self::Violation,
            4 => Self::Shutdown,
            5 => Self::Idle,
            6 => Self::Conflict,
            _ => Self::Unspecified,
        }
    }

    /// Its number.
    pub const fn number(self) -> u16 {
        match self {
            Self::Unspecified => 0,
            Self::Unknown => 1,
            Self::Incarnation => 2,
            Self::Violation => 3,
            Self::Shutdown => 4,
            Self::Idle => 5,
            Self::Conflict => 6,
        }
    }
}

/// The answer to a packet for a session that is not known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reset {
    /// The session that the packet named.
    pub session: u32,
    /// Incarnation of the sender of this frame.
    pub incarnation: u32,
    /// Why.
    pub reason: Reason,
}

impl Reset {
    pub(super) fn parse(body: &[u8]) -> Result<Self, PacketError> {
        let mut r = Reader::new(body);
        Ok(Self {
            session: r.u32()?,
            incarnation: r.u32()?,
            reason: Reason::from_number(r.u16()?),
        })
    }

    /// Appends the frame; returns `false` and appends nothing if it does not fit.
    pub fn emit(&self, to: &mut Writer<'_>) -> bool {
        let mut room = [0; 16];
        let mut w = Writer::new(&mut room);
        w.put(&frame_header(FrameType::Reset, 0, 12));
        w.put(&self.session.to_be_bytes());
        w.put(&self.incarnation.to_be_bytes());
        w.put(&self.reason.number().to_be_bytes());
        w.put(&[0; 2]);
        to.put(w.written())
    }
}

/// The end of the session on the side that sends this.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Bye {
    /// Why.
    pub reason: Reason,
    /// As in [`Hello`](super::Hello).
    pub base: u64,
}

impl Bye {
    pub(super) fn parse(body: &[u8]) -> Result<Self, PacketError> {
        let mut r = Reader::new(body);
        let reason = Reason::from_number(r.u16()?);
        let _reserved = r.u16()?;
        let base = r.u64()?;
        Ok(Self { reason, base })
    }

    /// Appends the frame; returns `false` and appends nothing if it does not fit.
    pub fn emit(&self, to: &mut Writer<'_>) -> bool {
        let mut room = [0; 16];
        let mut w = Writer::new(&mut room);
        w.put(&frame_header(FrameType::Bye, 0, 12));
        w.put(&self.reason.number().to_be_bytes());
        w.put(&[0; 2]);
        w.put(&self.base.to_be_bytes());
        to.put(w.written())
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Frame, Frames};
    use super::*;
    use std::vec::Vec;

    fn written(put: impl FnOnce(&mut Writer<'_>) -> bool) -> Vec<u8> {
        let mut room = [0; 64];
        let mut w = Writer::new(&mut room);
        assert!(put(&mut w));
        Vec::from(w.written())
    }

    fn one(bytes: &[u8]) -> Result<Frame<'_>, PacketError> {
        Frames::new(bytes).next().unwrap()
    }

    #[test]
    fn cancelled_messages_round_trip() {
        let entry = GoneEntry {
            id: 0x0102_0304,
            prev: 5,
            len: 4096,
        };
        let mut bytes = written(|w| entry.emit(w));
        let expected = [3, 0, 0, 12, 1, 2, 3, 4, 0, 0, 0, 5, 0, 0, 0x10, 0];
        assert_eq!(bytes, expected);
        bytes.extend([0, 0, 0, 9, 0, 0, 0, 0, 0, 0, 0, 1]);
        bytes[3] = 24;
        let Ok(Frame::Gone(gone)) = one(&bytes) else {
            panic!("a list of two");
        };
        let entries: Vec<_> = gone.entries().collect();
        let second = GoneEntry {
            id: 9,
            prev: 0,
            len: 1,
        };
        assert_eq!(entries, [entry, second]);
        bytes.truncate(27);
        bytes[3] = 23;
        assert_eq!(one(&bytes), Err(PacketError::Truncated));
        assert!(!entry.emit(&mut Writer::new(&mut [0; 15])));
    }

    #[test]
    fn reasons_round_trip() {
        for number in 0..=7 {
            let reason = Reason::from_number(number);
            assert_eq!(reason.number(), number % 7);
            let bye = Bye { reason, base: 9 };
            let bytes = written(|w| bye.emit(w));
            assert_eq!(one(&bytes), Ok(Frame::Bye(bye)));
            let reset = Reset {
                session: 0x0a0b_0c0d,
                incarnation: 7,
                reason,
            };
            let bytes = written(|w| reset.emit(w));
            assert_eq!(one(&bytes), Ok(Frame::Reset(reset)));
        }
    }

    #[test]
    fn endings_have_the_bytes_of_the_specification() {
        let reason = Reason::Unknown;
        assert_eq!(
            written(|w| {
                let base = 0x0102;
                Bye { reason, base }.emit(w)
            }),
            [11, 0, 0, 12, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 1, 2]
        );
        let reset = Reset {
            session: 1,
            incarnation: 2,
            reason,
        };
        assert_eq!(
            written(|w| reset.emit(w)),
            [10, 0, 0, 12, 0, 0, 0, 1, 0, 0, 0, 2, 0, 1, 0, 0]
        );
        assert_eq!(one(&[11, 0, 0, 4, 0, 1, 0, 0]), Err(PacketError::Truncated));
        assert_eq!(
            one(&[10, 0, 0, 9, 0, 0, 0, 0, 0, 0, 0, 0, 0]),
            Err(PacketError::Truncated)
        );
    }
}
