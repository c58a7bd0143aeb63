// SPDX-License-Identifier: GPL-2.0

//! Frames: what a packet is made of.

use super::{
    Ack, Bye, Gone, Hello, LaneAddresses, MapUpdate, Message, PacketError, Part, Reader, Reset,
};

/// Length in bytes of what all frames start with: type, flags and the length of the rest.
pub const FRAME_HEADER_LEN: usize = 4;

/// The types of frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum FrameType {
    /// Nothing, of any length.
    Padding = 0,
    /// A whole message.
    Message = 1,
    /// A piece of a message.
    Part = 2,
    /// Messages that were cancelled.
    Gone = 3,
    /// What was received.
    Ack = 4,
    /// Changes of the congestion map.
    Map = 5,
    /// Addresses at which the sender can be reached.
    Lanes = 6,
    /// Nothing but a reason to acknowledge.
    Ping = 9,
    /// The session that a packet named is not known.
    Reset = 10,
    /// The sender ends the session.
    Bye = 11,
    /// What the sender is and can take.
    Hello = 12,
}

impl FrameType {
    /// The type with this number, if it is known.
    pub const fn from_number(number: u8) -> Option<Self> {
        Some(match number {
            0 => Self::Padding,
            1 => Self::Message,
            2 => Self::Part,
            3 => Self::Gone,
            4 => Self::Ack,
            5 => Self::Map,
            6 => Self::Lanes,
            9 => Self::Ping,
            10 => Self::Reset,
            11 => Self::Bye,
            12 => Self::Hello,
            _ => return None,
        })
    }

    /// The number of the type.
    pub const fn number(self) -> u8 {
        // CAST: the numbers are those of the declaration.
        self as u8
    }
}

/// The first bytes of a frame whose rest, its body, is `len` bytes long; longer ones cannot be.
#[inline]
pub const fn frame_header(kind: FrameType, flags: u8, len: u16) -> [u8; FRAME_HEADER_LEN] {
    let [high, low] = len.to_be_bytes();
    [kind.number(), flags, high, low]
}

/// A frame, in host byte order; its data is where it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Frame<'a> {
    /// A whole message and its data.
    Message(Message, &'a [u8]),
    /// A piece of a message and its data, which is not empty.
    Part(Part, &'a [u8]),
    /// Messages that were cancelled.
    Gone(Gone<'a>),
    /// What was received.
    Ack(Ack),
    /// Changes of the congestion map.
    Map(MapUpdate<'a>),
    /// Addresses at which the sender can be reached.
    Lanes(LaneAddresses<'a>),
    /// Nothing but a reason to acknowledge.
    Ping,
    /// The session that a packet named is not known.
    Reset(Reset),
    /// The sender ends the session.
    Bye(Bye),
    /// What the sender is and can take.
    Hello(Hello),
    /// Padding, or a frame of a type that is not known: to be skipped.
    Skipped(u8),
}

impl<'a> Frame<'a> {
    /// Reads the body of a frame. Bytes beyond what is known of the type are ignored, except where data
    /// or a list extends to the end.
    fn parse(number: u8, flags: u8, body: &'a [u8]) -> Result<Self, PacketError> {
        let Some(kind) = FrameType::from_number(number) else {
            return Ok(Self::Skipped(number));
        };
        Ok(match kind {
            FrameType::Message => {
                let (message, data) = Message::parse(flags, body)?;
                Self::Message(message, data)
            }
            FrameType::Part => {
                let (part, data) = Part::parse(flags, body)?;
                Self::Part(part, data)
            }
            FrameType::Gone => Self::Gone(Gone::parse(body)?),
            FrameType::Ack => Self::Ack(Ack::parse(flags, body)?),
            FrameType::Map => Self::Map(MapUpdate::parse(flags, body)?),
            FrameType::Lanes => Self::Lanes(LaneAddresses::parse(body)?),
            FrameType::Ping => Self::Ping,
            FrameType::Reset => Self::Reset(Reset::parse(body)?),
            FrameType::Bye => Self::Bye(Bye::parse(body)?),
            FrameType::Hello => Self::Hello(Hello::parse(body)?),
            FrameType::Padding => Self::Skipped(number),
        })
    }

    /// Whether a packet with this frame is to be acknowledged.
    pub const fn wants_ack(&self) -> bool {
        !matches!(
            self,
            Self::Ack(_) | Self::Reset(_) | Self::Bye(_) | Self::Skipped(_)
        )
    }
}

/// The frames of a packet, in their order. After an error there are no more.
#[derive(Clone, Copy, Debug)]
pub struct Frames<'a>(Reader<'a>);

impl<'a> Frames<'a> {
    /// The frames in `bytes`, which are what follows the header of a packet.
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self(Reader::new(bytes))
    }

    /// Takes the next frame if it is a whole message without extension headers, as most are; else it is
    /// left for the iterator.
    #[inline]
    pub fn message(&mut self) -> Option<(Message, &'a [u8])> {
        let ([1, 0, high, low], rest) = self.0.rest().split_first_chunk::<4>()? else {
            return None;
        };
        let len = u16::from_be_bytes([*high, *low]);
        let (body, rest) = rest.split_at_checked(usize::from(len))?;
        let message = Message::parse(0, body).ok()?;
        self.0 = Reader::new(rest);
        Some(message)
    }

    #[inline]
    fn read(&mut self) -> Result<Frame<'a>, PacketError> {
        let [number, flags, high, low] = self.0.take()?;
        let len = u16::from_be_bytes([high, low]);
        let body = self.0.bytes(usize::from(len))?;
        Frame::parse(number, flags, body)
    }
}

impl<'a> Iterator for Frames<'a> {
    type Item = Result<Frame<'a>, PacketError>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        if self.0.rest().is_empty() {
            return None;
        }
        let frame = self.read();
        if frame.is_err() {
            self.0 = Reader::new(&[]);
        }
        Some(frame)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec::Vec;

    #[test]
    fn numbers_and_types_agree() {
        for number in 0..=u8::MAX {
            match FrameType::from_number(number) {
                Some(kind) => assert_eq!(kind.number(), number),
                None => assert!(number > 12 || matches!(number, 7 | 8)),
            }
        }
    }

    #[test]
    fn unknown_frames_are_skipped_by_their_length() {
        let bytes = [
            0, 0, 0, 3, 7, 7, 7, // padding
            200, 9, 0, 1, 5, // unknown
            9, 0, 0, 0, // ping
            9, 0, 0, 2, 1, 2, // a ping that has grown
        ];
        let frames: Vec<_> = Frames::new(&bytes).collect();
        assert_eq!(
            frames,
            [
                Ok(Frame::Skipped(0)),
                Ok(Frame::Skipped(200)),
                Ok(Frame::Ping),
                Ok(Frame::Ping)
            ]
        );
        assert!(!Frame::Skipped(200).wants_ack());
        assert!(Frame::Ping.wants_ack());
    }

    #[test]
    fn nothing_is_read_after_an_error() {
        for bytes in [
            &[9, 0, 0][..],
            &[200, 0, 0, 2, 1][..],
            &[6, 0, 0, 2, 1, 1, 9, 0, 0, 0][..],
        ] {
            let mut frames = Frames::new(bytes);
            assert_eq!(frames.next(), Some(Err(PacketError::Truncated)));
            assert_eq!(frames.next(), None);
        }
        assert_eq!(Frames::new(&[]).next(), None);
    }

    #[test]
    fn a_plain_message_is_taken_alone() {
        let bytes = [1, 0, 0, 13, 0, 1, 0, 2, 0, 0, 0, 3, 0, 0, 0, 0, 77];
        let mut frames = Frames::new(&bytes);
        let same = Frames::new(&bytes).next();
        let (message, data) = frames.message().unwrap();
        assert_eq!(same, Some(Ok(Frame::Message(message, data))));
        assert_eq!(frames.next(), None);
        // What is not, or not whole, is left.
        for (at, byte) in [(0, 2), (1, 1), (2, 1), (3, 11)] {
            let mut other = bytes;
            other[at] = byte;
            let mut frames = Frames::new(&other);
            assert_eq!(frames.message(), None);
            assert_eq!(frames.next(), Frames::new(&other).next());
        }
    }
}
