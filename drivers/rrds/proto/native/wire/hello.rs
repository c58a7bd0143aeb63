// SPDX-License-Identifier: GPL-2.0

//! What two hosts tell each other when a session or a lane begins.

use super::{frame_header, FrameType, PacketError, Reader, Writer};
use crate::wire::{private_len, Addr, Family, PrivateBytes};
use core::num::NonZeroU32;

/// Length in bytes of a [`Hello`], without a frame header.
pub const HELLO_LEN: usize = 56;

/// The major version in the private data of further lanes: one that C rejects.
pub const LANE_MAJOR: u8 = 0x80;

/// The two kinds of lanes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LaneKind {
    /// A reliable connected queue pair.
    Reliable,
    /// A datagram queue pair and the number of one at the peer.
    Datagram,
}

impl LaneKind {
    /// The kind with this number.
    pub const fn from_number(number: u8) -> Option<Self> {
        match number {
            1 => Some(Self::Reliable),
            2 => Some(Self::Datagram),
            _ => None,
        }
    }

    /// Its number.
    pub const fn number(self) -> u8 {
        match self {
            Self::Reliable => 1,
            Self::Datagram => 2,
        }
    }
}

/// What the sender is and can take: the body of a frame, and a part of the private data of datagrams.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hello {
    /// Number to put into the headers of packets for the sender.
    pub session: u32,
    /// Incarnation of the sender.
    pub incarnation: NonZeroU32,
    /// What the receiver calls the session, by its last hello; `None` if the sender knows of none.
    pub peer: Option<NonZeroU32>,
    /// What the sender can do beyond the rules of all, as bits; none has a meaning yet.
    pub features: u32,
    /// Lowest number of a message that the sender may send from now on.
    pub first: u64,
    /// Lowest number of a message that the sender has not handed up, as far as it knows.
    pub base: u64,
    /// First quota, see [`Ack`](super::Ack).
    pub quota: u64,
    /// Longest packet that the sender takes.
    pub max_packet: u32,
    /// As in [`Ack`](super::Ack).
    pub serial: u32,
    /// Messages that may be under way at the same time, by their numbers.
    pub window: u16,
    /// First room, see [`Ack`](super::Ack).
    pub room: u16,
    /// Longest time that an acknowledgement is held back on purpose, in microseconds.
    pub ack_delay: u16,
    /// Number of lanes that the sender can have.
    pub lanes: u8,
}

impl Hello {
    /// Reads what [`Hello::body`] makes.
    ///
    /// # Errors
    ///
    /// [`PacketError::Truncated`] if there are fewer than 56 bytes, [`PacketError::Value`] if the sender
    /// has no incarnation or takes nothing.
    pub fn parse(body: &[u8]) -> Result<Self, PacketError> {
        let mut r = Reader::new(body);
        let session = r.u32()?;
        let incarnation = NonZeroU32::new(r.u32()?);
        let peer = NonZeroU32::new(r.u32()?);
        let (features, first, base, quota) = (r.u32()?, r.u64()?, r.u64()?, r.u64()?);
        let (max_packet, serial) = (r.u32()?, r.u32()?);
        let (window, room, ack_delay, lanes) = (r.u16()?, r.u16()?, r.u16()?, r.u8()?);
        let _reserved = r.u8()?;
        match incarnation {
            Some(incarnation) if session != 0 && window != 0 && lanes != 0 => Ok(Self {
                session,
                incarnation,
                peer,
                features,
                first,
                base,
                quota,
                max_packet,
                serial,
                window,
                room,
                ack_delay,
                lanes,
            }),
            _ => Err(PacketError::Value),
        }
    }

    /// The bytes, without a frame header.
    pub fn body(&self) -> [u8; HELLO_LEN] {
        let mut out = [0; HELLO_LEN];
        let mut w = Writer::new(&mut out);
        w.put(&self.session.to_be_bytes());
        w.put(&self.incarnation.get().to_be_bytes());
        w.put(&self.peer.map_or(0, NonZeroU32::get).to_be_bytes());
        w.put(&self.features.to_be_bytes());
        w.put(&self.first.to_be_bytes());
        w.put(&self.base.to_be_bytes());
        w.put(&self.quota.to_be_bytes());
        w.put(&self.max_packet.to_be_bytes());
        w.put(&self.serial.to_be_bytes());
        w.put(&self.window.to_be_bytes());
        w.put(&self.room.to_be_bytes());
        w.put(&self.ack_delay.to_be_bytes());
        w.put(&[self.lanes]);
        out
    }

    /// Appends the frame; returns `false` and appends nothing if it does not fit.
    pub fn emit(&self, to: &mut Writer<'_>) -> bool {
        if to.left() < HELLO_LEN.saturating_add(4) {
            return false;
        }
        // CAST: 56.
        to.put(&frame_header(FrameType::Hello, 0, HELLO_LEN as u16)) && to.put(&self.body())
    }
}

/// Private data of the request and the reply of a further reliable lane.
///
/// The addresses and the version are where C has them, and the version is one that C rejects, so that a
/// host that runs C by now is told from one that does not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LaneData {
    /// Address of the sender of this data.
    pub saddr: Addr,
    /// Address of its receiver.
    pub daddr: Addr,
    /// Type of service of the session.
    pub tos: u8,
    /// Number of the lane.
    pub lane: u8,
    /// The session, by the number that the receiver gave.
    pub session: u32,
    /// The session, by the number that the sender gave.
    pub own: u32,
    /// Incarnation of the sender.
    pub incarnation: NonZeroU32,
    /// Incarnation of the receiver that the session is with.
    pub peer: NonZeroU32,
}

impl LaneData {
    /// Reads private data that came in on a connection of `family`; `None` is for data of another
    /// form, such as [`PrivateData`](crate::wire::PrivateData).
    pub fn parse(bytes: &[u8], family: Family) -> Option<Self> {
        let mut r = Reader::new(bytes);
        let (saddr, daddr) = match family {
            Family::V4 => (Addr::v4(r.take().ok()?), Addr::v4(r.take().ok()?)),
            Family::V6 => (Addr(r.take().ok()?), Addr(r.take().ok()?)),
        };
        let [major, _minor, _, _, tos, lane, _, _] = r.take().ok()?;
        let (session, own) = (r.u32().ok()?, r.u32().ok()?);
        let incarnation = NonZeroU32::new(r.u32().ok()?)?;
        let peer = NonZeroU32::new(r.u32().ok()?)?;
        (major == LANE_MAJOR).then_some(Self {
            saddr,
            daddr,
            tos,
            lane,
            session,
            own,
            incarnation,
            peer,
        })
    }

    /// The bytes, for the family of `saddr`.
    pub fn emit(&self) -> PrivateBytes {
        let family = self.saddr.family();
        let mut out = [0; 56];
        let mut w = Writer::new(&mut out);
        for addr in [self.saddr, self.daddr] {
            match (family, addr.0) {
                (Family::V4, [.., a, b, c, d]) => w.put(&[a, b, c, d]),
                (Family::V6, all) => w.put(&all),
            };
        }
        w.put(&[LANE_MAJOR, 0, 0, 0, self.tos, self.lane, 0, 0]);
        w.put(&self.session.to_be_bytes());
        w.put(&self.own.to_be_bytes());
        w.put(&self.incarnation.get().to_be_bytes());
        w.put(&self.peer.get().to_be_bytes());
        PrivateBytes::new(out, private_len(family))
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Frame, Frames};
    use super::*;
    use crate::wire::{PrivateData, WireError};
    use std::vec::Vec;

    const HELLO: Hello = Hello {
        session: 0x0102_0304,
        incarnation: NonZeroU32::new(0x0506_0708).unwrap(),
        peer: NonZeroU32::new(0x090a_0b0c),
        features: 1,
        first: 0x0d0e_0f10,
        base: 0x1112_1314,
        quota: 4 << 20,
        max_packet: 65536,
        serial: 9,
        window: 4096,
        room: 256,
        ack_delay: 1000,
        lanes: 4,
    };

    #[test]
    fn a_hello_has_the_bytes_of_the_specification() {
        let mut room = [0; 60];
        let mut w = Writer::new(&mut room);
        assert!(HELLO.emit(&mut w));
        assert!(!HELLO.emit(&mut w));
        let mut expected = Vec::from([12, 0, 0, 56]);
        expected.extend(1..=12);
        expected.extend([0, 0, 0, 1, 0, 0, 0, 0, 0x0d, 0x0e, 0x0f, 0x10]);
        expected.extend([0, 0, 0, 0, 0x11, 0x12, 0x13, 0x14]);
        expected.extend([0, 0, 0, 0, 0, 0x40, 0, 0, 0, 1, 0, 0, 0, 0, 0, 9]);
        expected.extend([0x10, 0, 1, 0, 3, 0xe8, 4, 0]);
        assert_eq!(w.written(), expected);
        let frames: Vec<_> = Frames::new(&expected).collect();
        assert_eq!(frames, [Ok(Frame::Hello(HELLO))]);
        for len in 0..HELLO_LEN {
            assert_eq!(
                Hello::parse(&HELLO.body()[..len]),
                Err(PacketError::Truncated)
            );
        }
        let unknown = Hello {
            peer: None,
            ..HELLO
        };
        assert_eq!(Hello::parse(&unknown.body()), Ok(unknown));
    }

    #[test]
    fn a_hello_of_nothing_is_refused() {
        for (at, len) in [(0, 4), (4, 4), (48, 2), (54, 1)] {
            let mut body = HELLO.body();
            body[at..at + len].fill(0);
            assert_eq!(Hello::parse(&body), Err(PacketError::Value), "{at}");
        }
    }

    const V4: LaneData = LaneData {
        saddr: Addr::v4([10, 0, 0, 1]),
        daddr: Addr::v4([10, 0, 0, 2]),
        tos: 5,
        lane: 1,
        session: 0x1111_1111,
        own: 0x2222_2222,
        incarnation: NonZeroU32::new(3).unwrap(),
        peer: NonZeroU32::new(4).unwrap(),
    };

    const V6: LaneData = LaneData {
        saddr: Addr([0xfd; 16]),
        daddr: Addr([0xfe; 16]),
        ..V4
    };

    #[test]
    fn private_data_of_lanes_round_trips() {
        for data in [V4, V6] {
            let family = data.saddr.family();
            let bytes = data.emit();
            let bytes = bytes.as_slice();
            assert_eq!(bytes.len(), private_len(family));
            assert_eq!(LaneData::parse(bytes, family), Some(data));
            for len in 0..bytes.len() {
                assert_eq!(LaneData::parse(&bytes[..len], family), None);
            }
            let at = bytes.len() - 24;
            let mut tail = Vec::from([0x80, 0, 0, 0, 5, 1, 0, 0]);
            tail.extend([0x11, 0x11, 0x11, 0x11, 0x22, 0x22, 0x22, 0x22]);
            tail.extend([0, 0, 0, 3, 0, 0, 0, 4]);
            assert_eq!(bytes[at..], tail);
        }
    }

    #[test]
    fn c_and_lanes_tell_each_other_apart() {
        // C, and our own kind without lanes, see a version that they reject.
        for data in [V4, V6] {
            let family = data.saddr.family();
            let seen = PrivateData::parse(data.emit().as_slice(), family).unwrap();
            assert_eq!((seen.saddr, seen.daddr), (data.saddr, data.daddr));
            assert!(seen.is_present());
            assert_eq!((seen.negotiate(), seen.own), (None, None));
            let plain = PrivateData {
                version: crate::wire::Version::V3_1,
                ..seen
            };
            assert_eq!(LaneData::parse(plain.emit().as_slice(), family), None);
        }
        assert_eq!(
            PrivateData::parse(&[], Family::V4),
            Err(WireError::Truncated)
        );
    }

    #[test]
    fn kinds_have_numbers() {
        for number in 0..=u8::MAX {
            let kind = LaneKind::from_number(number);
            assert_eq!(kind.map(LaneKind::number), kind.map(|_| number));
            assert_eq!(kind.is_some(), matches!(number, 1 | 2));
        }
    }
}
