// SPDX-License-Identifier: GPL-2.0

//! Acknowledgements.

use super::{frame_header, FrameType, PacketError, Reader, Writer};

/// Longest frame that an [`Ack`] makes.
pub const ACK_MAX_LEN: usize = 64;

/// Numbers below the run and the hole under it that an [`Ack`] can speak of.
pub const ACK_REACH: u64 = 128;

const ECN: u8 = 0x01;
const FIXED: usize = 32;

/// How the network marked the packets of a lane, by count since the lane began; the counts wrap.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ecn {
    /// Packets with ECT(0).
    pub ect0: u32,
    /// Packets with ECT(1).
    pub ect1: u32,
    /// Packets with CE: a queue was long.
    pub ce: u32,
}

/// Which packets below a hole were received: bit 0 is the number two below the last of the run.
///
/// The number right below the run is the hole itself and has no bit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Holes(pub u128);

/// What was received on a lane, and how much more may be sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ack {
    /// The lane whose packets are acknowledged.
    pub lane: u8,
    /// Most packets that may be under way on all lanes of the session together; 0 counts as 1.
    pub room: u16,
    /// Which of what was said of room and quota is newer, modulo 2^32.
    pub serial: u32,
    /// How long ago `largest` was received, in microseconds.
    pub delay: u32,
    /// How many numbers right below `largest` were received, too.
    pub run: u32,
    /// Largest number received.
    pub largest: u64,
    /// Bytes of messages that may be sent since the session began, see
    /// spec-native-quota.
    pub quota: u64,
    /// What was received below the run.
    pub holes: Holes,
    /// Marks of the network, on a lane that has any.
    pub ecn: Option<Ecn>,
}

impl Ack {
    /// Reads the body of a frame.
    pub(super) fn parse(flags: u8, body: &[u8]) -> Result<Self, PacketError> {
        let mut r = Reader::new(body);
        let mut ack = Self {
            lane: r.u8()?,
            ..Self::default()
        };
        let bitmap = usize::from(r.u8()?);
        ack.room = r.u16()?;
        ack.serial = r.u32()?;
        ack.delay = r.u32()?;
        ack.run = r.u32()?;
        ack.largest = r.u64()?;
        ack.quota = r.u64()?;
        if u64::from(ack.run) > ack.largest {
            return Err(PacketError::Value);
        }
        let mut bits = [0; 16];
        for (to, from) in bits.iter_mut().zip(r.bytes(bitmap)?) {
            *to = *from;
        }
        ack.holes = Holes(u128::from_le_bytes(bits));
        if flags & ECN != 0 {
            ack.ecn = Some(Ecn {
                ect0: r.u32()?,
                ect1: r.u32()?,
                ce: r.u32()?,
            });
        }
        Ok(ack)
    }

    /// Appends the frame; returns `false` and appends nothing if it does not fit.
    pub fn emit(&self, to: &mut Writer<'_>) -> bool {
        let mut room = [0; ACK_MAX_LEN];
        let mut w = Writer::new(&mut room);
        // CAST: at most 16 bytes.
        let bitmap = 128_u32
            .wrapping_sub(self.holes.0.leading_zeros())
            .div_ceil(8) as u8;
        let mut len = FIXED.saturating_add(usize::from(bitmap));
        let mut flags = 0;
        if self.ecn.is_some() {
            flags |= ECN;
            len = len.saturating_add(12);
        }
        // CAST: at most 60.
        w.put(&frame_header(FrameType::Ack, flags, len as u16));
        w.put(&[self.lane, bitmap]);
        w.put(&self.room.to_be_bytes());
        w.put(&self.serial.to_be_bytes());
        w.put(&self.delay.to_be_bytes());
        w.put(&self.run.to_be_bytes());
        w.put(&self.largest.to_be_bytes());
        w.put(&self.quota.to_be_bytes());
        let bits = self.holes.0.to_le_bytes();
        w.put(bits.get(..usize::from(bitmap)).unwrap_or(&[]));
        if let Some(ecn) = self.ecn {
            for count in [ecn.ect0, ecn.ect1, ecn.ce] {
                w.put(&count.to_be_bytes());
            }
        }
        to.put(w.written())
    }

    /// The smallest number that it may speak of.
    pub const fn smallest(&self) -> u64 {
        // CAST: widening; `From` is not const.
        let run = self.run as u64;
        self.largest
            .saturating_sub(run)
            .saturating_sub(ACK_REACH.saturating_add(1))
    }

    /// Whether this says that packet `number` was received.
    pub const fn covers(&self, number: u64) -> bool {
        let Some(below) = self.largest.checked_sub(number) else {
            return false;
        };
        // CAST: widening; `From` is not const.
        let run = self.run as u64;
        if below <= run {
            return true;
        }
        // One above the run is the hole itself.
        match below.wrapping_sub(run).checked_sub(2) {
            Some(bit @ 0..=127) => (self.holes.0 >> bit) & 1 != 0,
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Frame, Frames};
    use super::*;
    use std::vec::Vec;

    const ACK: Ack = Ack {
        lane: 1,
        room: 64,
        serial: 7,
        delay: 25,
        run: 9,
        largest: 1000,
        quota: 0x0004_0000_0000,
        holes: Holes(0b101),
        ecn: None,
    };

    fn emit(ack: &Ack) -> Vec<u8> {
        let mut room = [0; 64];
        let mut w = Writer::new(&mut room);
        assert!(ack.emit(&mut w));
        Vec::from(w.written())
    }

    #[test]
    fn the_layout_is_that_of_the_specification() {
        let mut expected = Vec::from([4, 0, 0, 33, 1, 1, 0, 64, 0, 0, 0, 7, 0, 0, 0, 25]);
        expected.extend([0, 0, 0, 9, 0, 0, 0, 0, 0, 0, 3, 0xe8]);
        expected.extend([0, 0, 0, 4, 0, 0, 0, 0, 5]);
        assert_eq!(emit(&ACK), expected);
    }

    #[test]
    fn all_forms_round_trip() {
        let ecn = Some(Ecn {
            ect0: 1,
            ect1: 2,
            ce: 3,
        });
        for (bits, bytes) in [(0, 0), (1, 1), (0x100, 2), ((1 << 127) | 5, 16)] {
            for ecn in [None, ecn] {
                let holes = Holes(bits);
                let ack = Ack { holes, ecn, ..ACK };
                let whole = emit(&ack);
                assert_eq!(whole[5], bytes);
                let frames: Vec<_> = Frames::new(&whole).collect();
                assert_eq!(frames, [Ok(Frame::Ack(ack))]);
                // Each byte that is missing is missed.
                for len in 4..whole.len() {
                    let mut short = whole.clone();
                    short.truncate(len);
                    short[3] = (len - 4) as u8;
                    let frames: Vec<_> = Frames::new(&short).collect();
                    assert_eq!(frames, [Err(PacketError::Truncated)]);
                }
            }
        }
        let ecn = Some(Ecn::default());
        let holes = Holes(u128::MAX);
        assert_eq!(emit(&Ack { holes, ecn, ..ACK }).len(), ACK_MAX_LEN);
        let mut room = [0; ACK_MAX_LEN - 1];
        let mut w = Writer::new(&mut room);
        assert!(!Ack { holes, ecn, ..ACK }.emit(&mut w));
        assert!(w.is_empty());
    }

    #[test]
    fn a_longer_bitmap_is_read_as_far_as_it_is_known() {
        let holes = Holes(u128::MAX);
        let ecn = Some(Ecn {
            ect0: 7,
            ..Ecn::default()
        });
        let ack = Ack { holes, ecn, ..ACK };
        let mut bytes = emit(&ack);
        for _ in 0..150 {
            bytes.insert(52, 0xff);
        }
        bytes[3] += 150;
        bytes[5] += 150;
        assert_eq!(Frames::new(&bytes).next(), Some(Ok(Frame::Ack(ack))));
    }

    #[test]
    fn a_run_does_not_go_below_the_first_packet() {
        let bytes = emit(&Ack {
            largest: 8,
            run: 9,
            ..ACK
        });
        assert_eq!(Frames::new(&bytes).next(), Some(Err(PacketError::Value)));
    }

    #[test]
    fn what_is_covered() {
        let covered = |ack: Ack| -> Vec<u64> { (850..1010).filter(|n| ack.covers(*n)).collect() };
        let holes = Holes(0);
        let run: Vec<_> = (991..=1000).collect();
        assert_eq!(covered(Ack { holes, ..ACK }), run);
        // 990 is the hole.
        let holes = Holes((1 << 127) | 0b101);
        let ack = Ack { holes, ..ACK };
        let expected = [&[989 - 127, 987, 989][..], &run].concat();
        assert_eq!(covered(ack), expected);
        assert_eq!(ack.smallest(), 989 - 127);
        assert_eq!(Ack::default().smallest(), 0);
    }
}
