// SPDX-License-Identifier: GPL-2.0

//! Acknowledgements.

use super::{frame_header, FrameType, PacketError, Reader, Writer};

/// Longest frame that an [`Ack`] makes.
pub const ACK_MAX_LEN: usize = 60;

const BITMAP: u8 = 0x01;
const ECN: u8 = 0x02;
const FIXED: usize = 28;

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

/// Which packets below a hole were received: bit 0 is the packet two below the last of the run.
///
/// The packet right below the run is the hole itself and has no bit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Holes(pub u128);

/// What was received on a lane, and how much more may be sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ack {
    /// The lane whose packets are acknowledged.
    pub lane: u8,
    /// Most packets that may be under way on all lanes of the session together; 0 counts as 1.
    pub room: u16,
    /// How long ago `largest` was received, in microseconds.
    pub delay: u32,
    /// Largest number received.
    pub largest: u64,
    /// Bytes of messages that may be sent since the session began, see
    /// spec-native-quota.
    pub quota: u64,
    /// How many packets right below `largest` were received, too.
    pub run: u32,
    /// What was received below the run; without it there is nothing to say.
    pub holes: Option<Holes>,
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
        let _reserved = r.u8()?;
        ack.room = r.u16()?;
        ack.delay = r.u32()?;
        ack.largest = r.u64()?;
        ack.quota = r.u64()?;
        ack.run = r.u32()?;
        if u64::from(ack.run) > ack.largest {
            return Err(PacketError::Value);
        }
        if flags & BITMAP != 0 {
            ack.holes = Some(Holes(u128::from_be_bytes(r.take()?)));
        }
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
        let (mut flags, mut len) = (0, FIXED);
        if self.holes.is_some() {
            flags |= BITMAP;
            len = len.saturating_add(16);
        }
        if self.ecn.is_some() {
            flags |= ECN;
            len = len.saturating_add(12);
        }
        // CAST: at most 56.
        w.put(&frame_header(FrameType::Ack, flags, len as u16));
        w.put(&[self.lane, 0]);
        w.put(&self.room.to_be_bytes());
        w.put(&self.delay.to_be_bytes());
        w.put(&self.largest.to_be_bytes());
        w.put(&self.quota.to_be_bytes());
        w.put(&self.run.to_be_bytes());
        if let Some(holes) = self.holes {
            w.put(&holes.0.to_be_bytes());
        }
        if let Some(ecn) = self.ecn {
            for count in [ecn.ect0, ecn.ect1, ecn.ce] {
                w.put(&count.to_be_bytes());
            }
        }
        to.put(w.written())
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
        let Some(holes) = self.holes else {
            return false;
        };
        // One above the run is the hole itself.
        match below.wrapping_sub(run).checked_sub(2) {
            Some(bit @ 0..=127) => (holes.0 >> bit) & 1 != 0,
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
        delay: 25,
        largest: 1000,
        quota: 0x0004_0000_0000,
        run: 9,
        holes: None,
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
        let mut expected = Vec::from([4, 0, 0, 28, 1, 0, 0, 64, 0, 0, 0, 25]);
        expected.extend([0, 0, 0, 0, 0, 0, 3, 0xe8, 0, 0, 0, 4, 0, 0, 0, 0]);
        expected.extend([0, 0, 0, 9]);
        assert_eq!(emit(&ACK), expected);
    }

    #[test]
    fn all_forms_round_trip() {
        let ecn = Some(Ecn {
            ect0: 1,
            ect1: 2,
            ce: 3,
        });
        for holes in [None, Some(Holes((1 << 127) | 5))] {
            for ecn in [None, ecn] {
                let ack = Ack { holes, ecn, ..ACK };
                let bytes = emit(&ack);
                let frames: Vec<_> = Frames::new(&bytes).collect();
                assert_eq!(frames, [Ok(Frame::Ack(ack))]);
                // Each byte that is missing is missed.
                for len in 4..bytes.len() {
                    let mut short = bytes.clone();
                    short.truncate(len);
                    short[3] = (len - 4) as u8;
                    let frames: Vec<_> = Frames::new(&short).collect();
                    assert_eq!(frames, [Err(PacketError::Truncated)]);
                }
            }
        }
        let ecn = Some(Ecn::default());
        let holes = Some(Holes(0));
        assert_eq!(emit(&Ack { holes, ecn, ..ACK }).len(), ACK_MAX_LEN);
        let mut room = [0; ACK_MAX_LEN - 1];
        let mut w = Writer::new(&mut room);
        assert!(!Ack { holes, ecn, ..ACK }.emit(&mut w));
        assert!(w.is_empty());
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
        assert_eq!(covered(ACK), (991..=1000).collect::<Vec<_>>());
        // 990 is the hole.
        let holes = Some(Holes((1 << 127) | 0b101));
        let mut expected = Vec::from([989 - 127, 987, 989]);
        expected.extend(991..=1000);
        assert_eq!(covered(Ack { holes, ..ACK }), expected);
    }
}
