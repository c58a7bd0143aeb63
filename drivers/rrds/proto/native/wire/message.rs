// SPDX-License-Identifier: GPL-2.0

//! Frames that carry messages: whole ones and pieces.

use super::{frame_header, FrameType, PacketError, Reader, FRAME_HEADER_LEN};
use crate::consts::{EXT_LEN, MAX_MESSAGE_LEN};

/// Bytes in front of the data of a message without extension headers, the frame header included.
pub const MESSAGE_HEADER_LEN: usize = 16;

/// Bytes in front of the data of a piece without extension headers, the frame header included.
pub const PART_HEADER_LEN: usize = 24;

/// Pieces start and end at multiples of this many bytes, except at the end of the message.
pub const PART_UNIT: u32 = 64;

/// Flag of a message frame: 16 bytes of extension headers precede the data.
pub const EXT_FLAG: u8 = 0x01;

/// The head of a message, in host byte order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Message {
    /// Port of the sending socket.
    pub sport: u16,
    /// Port of the receiving socket; 0 for a ping.
    pub dport: u16,
    /// The low half of the message's number in its session and direction.
    pub id: u32,
    /// How far below `id` the message is that is to be handed up before; 0 if there is none.
    pub prev: u32,
    /// Extension headers, if there are any; read by [`Extensions`](crate::wire::Extensions).
    pub ext: Option<[u8; EXT_LEN]>,
}

/// The head of a piece of a message, in host byte order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Part {
    /// As in a whole message, and the same in all pieces; extension headers are in the first only.
    pub message: Message,
    /// Length of the message in bytes, the same in all pieces.
    pub total: u32,
    /// Where the piece starts.
    pub offset: u32,
}

/// The 12 bytes that messages and pieces share, behind the frame header.
#[inline]
fn head(message: &Message) -> [u8; 12] {
    let [s0, s1] = message.sport.to_be_bytes();
    let [d0, d1] = message.dport.to_be_bytes();
    let [i0, i1, i2, i3] = message.id.to_be_bytes();
    let [p0, p1, p2, p3] = message.prev.to_be_bytes();
    [s0, s1, d0, d1, i0, i1, i2, i3, p0, p1, p2, p3]
}

#[inline]
fn parse_head(bytes: &[u8; 12]) -> Message {
    let [s0, s1, d0, d1, i0, i1, i2, i3, p0, p1, p2, p3] = *bytes;
    Message {
        sport: u16::from_be_bytes([s0, s1]),
        dport: u16::from_be_bytes([d0, d1]),
        id: u32::from_be_bytes([i0, i1, i2, i3]),
        prev: u32::from_be_bytes([p0, p1, p2, p3]),
        ext: None,
    }
}

/// Length of the body of a frame, whose flags say whether there are extension headers.
#[inline]
fn body_len(fixed: usize, ext: bool, data: u32) -> Option<u16> {
    let fixed = fixed.saturating_sub(FRAME_HEADER_LEN);
    let ext = if ext { EXT_LEN } else { 0 };
    let len = usize::try_from(data).ok()?.checked_add(fixed)?;
    u16::try_from(len.checked_add(ext)?).ok()
}

impl Message {
    /// Reads the body of a frame, and returns the data behind the head.
    #[inline]
    pub(super) fn parse(flags: u8, body: &[u8]) -> Result<(Self, &[u8]), PacketError> {
        let Some((bytes, mut data)) = body.split_first_chunk::<12>() else {
            return Err(PacketError::Truncated);
        };
        let mut message = parse_head(bytes);
        if flags & EXT_FLAG != 0 {
            let mut r = Reader::new(data);
            message.ext = Some(r.take()?);
            data = r.rest();
        }
        Ok((message, data))
    }

    /// The bytes in front of `data` bytes of data, without the extension headers, which the caller
    /// appends if there are any; `None` if no frame can be that long.
    #[inline]
    pub fn emit(&self, data: u32) -> Option<[u8; MESSAGE_HEADER_LEN]> {
        let len = body_len(MESSAGE_HEADER_LEN, self.ext.is_some(), data)?;
        let flags = if self.ext.is_some() { EXT_FLAG } else { 0 };
        let [a, b, c, d] = frame_header(FrameType::Message, flags, len);
        let [e, f, g, h, i, j, k, l, m, n, o, p] = head(self);
        Some([a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p])
    }
}

impl Part {
    /// Reads the body of a frame, and returns the data behind the head.
    pub(super) fn parse(flags: u8, body: &[u8]) -> Result<(Self, &[u8]), PacketError> {
        let mut r = Reader::new(body);
        let mut message = parse_head(&r.take()?);
        let (total, offset) = (r.u32()?, r.u32()?);
        if flags & EXT_FLAG != 0 {
            if offset != 0 {
                return Err(PacketError::Value);
            }
            message.ext = Some(r.take()?);
        }
        let part = Self {
            message,
            total,
            offset,
        };
        let data = r.rest();
        if part.is_valid(data.len()) {
            Ok((part, data))
        } else {
            Err(PacketError::Value)
        }
    }

    /// Whether a message can have a piece of `len` bytes here.
    fn is_valid(&self, len: usize) -> bool {
        let Ok(len) = u32::try_from(len) else {
            return false;
        };
        let end = self.offset.saturating_add(len);
        len != 0
            && self.total <= MAX_MESSAGE_LEN
            && end <= self.total
            && self.offset % PART_UNIT == 0
            && (end % PART_UNIT == 0 || end == self.total)
    }

    /// The bytes in front of `data` bytes of data, as of [`Message::emit`].
    pub fn emit(&self, data: u32) -> Option<[u8; PART_HEADER_LEN]> {
        let ext = self.message.ext.is_some();
        let len = body_len(PART_HEADER_LEN, ext, data)?;
        let flags = if ext { EXT_FLAG } else { 0 };
        let [a, b, c, d] = frame_header(FrameType::Part, flags, len);
        let [e, f, g, h, i, j, k, l, m, n, o, p] = head(&self.message);
        let [q, r, s, t] = self.total.to_be_bytes();
        let [u, v, w, x] = self.offset.to_be_bytes();
        Some([
            a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p, q, r, s, t, u, v, w, x,
        ])
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Frame, Frames};
    use super::*;
    use std::vec::Vec;

    const MESSAGE: Message = Message {
        sport: 4001,
        dport: 4002,
        id: 0x0102_0304,
        prev: 5,
        ext: None,
    };

    fn frame(head: &[u8], ext: Option<[u8; 16]>, data: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::from(head);
        bytes.extend(ext.iter().flatten());
        bytes.extend(data);
        bytes
    }

    fn one(bytes: &[u8]) -> Result<Frame<'_>, PacketError> {
        let mut frames = Frames::new(bytes);
        let frame = frames.next().unwrap();
        assert!(frame.is_err() || frames.next().is_none());
        frame
    }

    #[test]
    fn a_message_is_sixteen_bytes_and_data() {
        let bytes = frame(&MESSAGE.emit(3).unwrap(), None, b"abc");
        let expected = [
            1, 0, 0, 15, 0x0f, 0xa1, 0x0f, 0xa2, 1, 2, 3, 4, 0, 0, 0, 5, b'a', b'b', b'c',
        ];
        assert_eq!(bytes, expected);
        assert_eq!(one(&bytes), Ok(Frame::Message(MESSAGE, b"abc")));
    }

    #[test]
    fn extension_headers_precede_the_data() {
        let ext = Some([7; 16]);
        let message = Message { ext, ..MESSAGE };
        let bytes = frame(&message.emit(1).unwrap(), ext, b"x");
        assert_eq!(bytes[..4], [1, 1, 0, 29]);
        assert_eq!(one(&bytes), Ok(Frame::Message(message, b"x")));
        let mut short = bytes;
        short[3] = 27;
        assert_eq!(one(&short[..31]), Err(PacketError::Truncated));
        // In a piece they are at its start only.
        let part = Part {
            message,
            total: 65,
            offset: 64,
        };
        let bytes = frame(&part.emit(1).unwrap(), ext, b"x");
        assert_eq!(one(&bytes), Err(PacketError::Value));
        let part = Part {
            message,
            total: 65,
            offset: 0,
        };
        let bytes = frame(&part.emit(64).unwrap(), ext, &[b'x'; 64]);
        assert_eq!(one(&bytes), Ok(Frame::Part(part, &[b'x'; 64])));
    }

    #[test]
    fn pieces_keep_to_the_grid() {
        for (total, offset, len, good) in [
            (100, 0, 64, true),
            (100, 0, 100, true),
            (100, 64, 36, true),
            (100, 64, 35, false),
            (100, 64, 37, false),
            (100, 0, 0, false),
            (100, 100, 0, false),
            (100, 32, 32, false),
            (MAX_MESSAGE_LEN, MAX_MESSAGE_LEN - 64, 64, true),
            (MAX_MESSAGE_LEN + 64, 0, 64, false),
            (u32::MAX, u32::MAX - 63, 64, false),
        ] {
            let part = Part {
                message: MESSAGE,
                total,
                offset,
            };
            let data = std::vec![3; len as usize];
            let bytes = frame(&part.emit(len).unwrap(), None, &data);
            let expected = if good {
                Ok(Frame::Part(part, &data[..]))
            } else {
                Err(PacketError::Value)
            };
            assert_eq!(one(&bytes), expected, "{total} {offset} {len}");
        }
    }

    #[test]
    fn a_piece_is_twenty_four_bytes_and_data() {
        let part = Part {
            message: MESSAGE,
            total: 0x0001_0000,
            offset: 0x0000_8000,
        };
        let bytes = part.emit(64).unwrap();
        assert_eq!(bytes[..4], [2, 0, 0, 84]);
        assert_eq!(bytes[4..16], MESSAGE.emit(0).unwrap()[4..]);
        assert_eq!(bytes[16..], [0, 1, 0, 0, 0, 0, 0x80, 0]);
    }

    #[test]
    fn frames_have_a_longest_length() {
        assert!(MESSAGE.emit(65535 - 12).is_some());
        assert_eq!(MESSAGE.emit(65535 - 11), None);
        let ext = Some([0; 16]);
        assert_eq!(Message { ext, ..MESSAGE }.emit(65535 - 27), None);
        assert_eq!(MESSAGE.emit(u32::MAX), None);
        assert_eq!(Part::default().emit(65535 - 19), None);
    }

    #[test]
    fn a_head_must_be_whole() {
        for (kind, len) in [(1, 12), (2, 20)] {
            for short in 0..len {
                let mut bytes = std::vec![kind, 0, 0, short];
                bytes.resize(4 + usize::from(short), 0);
                assert_eq!(one(&bytes), Err(PacketError::Truncated));
            }
        }
    }
}
