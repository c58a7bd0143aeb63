// SPDX-License-Identifier: GPL-2.0

//! Headers of frames and private data of handshakes, with every field as one likes.
//!
//! Written from the wire's description alone, and not with the parsers that it is to try.

use core::net::IpAddr;
use kernel::{
    num::casts::u32_as_usize,
    prelude::*, //
};

/// Bytes of a header.
pub(crate) const HEADER: usize = 48;
/// Data of a full fragment.
pub(crate) const FRAGMENT: u32 = 4096;

pub(crate) const CONG_BITMAP: u8 = 0x01;
pub(crate) const ACK_REQUIRED: u8 = 0x02;
pub(crate) const RETRANSMITTED: u8 = 0x04;

/// A port of the other node that no socket has.
pub(crate) const NOWHERE: u16 = 4999;

/// The number of a message.
#[derive(Clone, Copy)]
pub(crate) enum Seq {
    Next,
    /// The last one again.
    Same,
    Is(u64),
    /// So many before the last.
    Back(u64),
    /// So many after the last.
    Ahead(u64),
}

/// What is acknowledged.
#[derive(Clone, Copy)]
pub(crate) enum Ack {
    Is(u64),
    /// The last message that came, and so many before or after.
    Last,
    Back(u64),
    Ahead(u64),
}

/// The checksum.
#[derive(Clone, Copy)]
pub(crate) enum Sum {
    Right,
    Is(u16),
    /// The right one with these bits changed.
    Xor(u16),
    /// Right, and then a bit of that byte of the header is changed.
    Flip(usize),
}

/// What carries a frame.
#[derive(Clone, Copy)]
pub(crate) enum Carrier {
    Send,
    Immediate(u32),
    Invalidate(u32),
    /// To or from memory of the other node at this address, by this key.
    Write(u64, u32),
    WriteImmediate(u64, u32),
    Read(u64, u32),
    FetchAdd(u64, u32),
    CompareSwap(u64, u32),
    /// Without any data.
    EmptyWrite(u64, u32),
    EmptyWriteImmediate(u64, u32),
    EmptyRead(u64, u32),
}

/// A frame.
#[derive(Clone, Copy)]
pub(crate) struct Frame {
    seq: Seq,
    ack: Ack,
    /// What the header says that the message has.
    len: u32,
    /// What the frame has.
    data: u32,
    fill: u8,
    sport: u16,
    dport: u16,
    flags: u8,
    credit: u8,
    padding: u32,
    sum: Sum,
    ext: [u8; 16],
    /// Only so much of the whole is sent.
    cut: u32,
    pub(crate) carrier: Carrier,
}

/// An empty message for a port that nobody has.
pub(crate) const MSG: Frame = Frame {
    seq: Seq::Next,
    ack: Ack::Is(0),
    len: 0,
    data: 0,
    fill: 0x5a,
    sport: 4001,
    dport: NOWHERE,
    flags: 0,
    credit: 0,
    padding: 0,
    sum: Sum::Right,
    ext: [0; 16],
    cut: u32::MAX,
    carrier: Carrier::Send,
};

/// A ping.
pub(crate) const PING: Frame = MSG.ports(4001, 0).flags(ACK_REQUIRED);
/// A frame that is nothing but an acknowledgement.
pub(crate) const ACK: Frame = MSG.seq(Seq::Is(0)).ports(0, 0);
/// A half of a congestion map.
pub(crate) const MAP: Frame = ACK.body(8192, FRAGMENT).fill(0).flags(CONG_BITMAP);

impl Frame {
    pub(crate) const fn seq(self, seq: Seq) -> Self {
        Self { seq, ..self }
    }

    pub(crate) const fn ack(self, ack: Ack) -> Self {
        Self { ack, ..self }
    }

    /// What the header says that the message has, and what the frame has.
    pub(crate) const fn body(self, len: u32, data: u32) -> Self {
        Self { len, data, ..self }
    }

    pub(crate) const fn fill(self, fill: u8) -> Self {
        Self { fill, ..self }
    }

    pub(crate) const fn ports(self, sport: u16, dport: u16) -> Self {
        Self {
            sport,
            dport,
            ..self
        }
    }

    pub(crate) const fn to(self, dport: u16) -> Self {
        Self { dport, ..self }
    }

    pub(crate) const fn flags(self, flags: u8) -> Self {
        Self { flags, ..self }
    }

    pub(crate) const fn credit(self, credit: u8) -> Self {
        Self { credit, ..self }
    }

    pub(crate) const fn padding(self, padding: u32) -> Self {
        Self { padding, ..self }
    }

    pub(crate) const fn sum(self, sum: Sum) -> Self {
        Self { sum, ..self }
    }

    /// Extension headers: the rest of their room is zero.
    pub(crate) const fn ext<const N: usize>(self, bytes: [u8; N]) -> Self {
        let mut ext = [0; 16];
        let mut at = 0;

        while at < N && at < 16 {
            ext[at] = bytes[at];
            at += 1;
        }
        Self { ext, ..self }
    }

    pub(crate) const fn cut(self, cut: u32) -> Self {
        Self { cut, ..self }
    }

    pub(crate) const fn by(self, carrier: Carrier) -> Self {
        Self { carrier, ..self }
    }

    /// Returns the bytes of the frame.
    pub(crate) fn build(&self, numbers: &mut Numbers) -> Result<KVec<u8>> {
        let mut header = [0; HEADER];
        let mut at = 0;
        let mut put = |bytes: &[u8]| {
            for byte in bytes {
                if let Some(to) = header.get_mut(at) {
                    *to = *byte;
                }
                at += 1;
            }
        };

        put(&numbers.seq(self.seq).to_be_bytes());
        put(&numbers.ack(self.ack).to_be_bytes());
        put(&self.len.to_be_bytes());
        put(&self.sport.to_be_bytes());
        put(&self.dport.to_be_bytes());
        put(&[self.flags, self.credit]);
        put(&self.padding.to_be_bytes());
        put(&[0; 2]);
        put(&self.ext);

        let right = checksum(&header);
        let sum = match self.sum {
            Sum::Is(sum) => sum,
            Sum::Xor(bits) => right ^ bits,
            Sum::Right | Sum::Flip(_) => right,
        };
        header[30..32].copy_from_slice(&sum.to_be_bytes());
        if let Sum::Flip(at) = self.sum {
            if let Some(byte) = header.get_mut(at) {
                *byte ^= 0x10;
            }
        }

        let total = (HEADER + u32_as_usize(self.data)).min(u32_as_usize(self.cut));
        let mut bytes = KVec::from_elem(self.fill, total, GFP_KERNEL)?;
        for (to, from) in bytes.iter_mut().zip(header) {
            *to = from;
        }
        Ok(bytes)
    }
}

/// The numbers that are told relative to others.
#[derive(Clone, Copy)]
pub(crate) struct Numbers {
    /// The last message of ours.
    pub(crate) sent: u64,
    /// The last message that came.
    pub(crate) received: u64,
}

impl Numbers {
    fn seq(&mut self, seq: Seq) -> u64 {
        match seq {
            Seq::Next => {
                self.sent = self.sent.wrapping_add(1);
                self.sent
            }
            Seq::Same => self.sent,
            Seq::Is(is) => is,
            Seq::Back(by) => self.sent.wrapping_sub(by),
            Seq::Ahead(by) => self.sent.wrapping_add(by),
        }
    }

    fn ack(&self, ack: Ack) -> u64 {
        match ack {
            Ack::Is(is) => is,
            Ack::Last => self.received,
            Ack::Back(by) => self.received.wrapping_sub(by),
            Ack::Ahead(by) => self.received.wrapping_add(by),
        }
    }
}

/// The Internet checksum of a header whose own is zero.
fn checksum(header: &[u8; HEADER]) -> u16 {
    let mut sum: u32 = 0;

    for pair in header.chunks_exact(2) {
        if let [high, low] = pair {
            sum += u32::from(u16::from_be_bytes([*high, *low]));
        }
    }
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    // CAST: It was folded.
    !(sum as u16)
}

/// What is found in the header of a frame that came.
pub(crate) struct Parsed {
    pub(crate) seq: u64,
    pub(crate) ack: u64,
    pub(crate) sport: u16,
    pub(crate) dport: u16,
    pub(crate) flags: u8,
    pub(crate) right: bool,
}

pub(crate) fn parse(bytes: &[u8]) -> Option<Parsed> {
    let header = bytes.first_chunk::<HEADER>()?;
    let word =
        |at: usize| -> Option<u64> { Some(u64::from_be_bytes(*header.get(at..)?.first_chunk()?)) };
    let port =
        |at: usize| -> Option<u16> { Some(u16::from_be_bytes(*header.get(at..)?.first_chunk()?)) };
    let mut blank = *header;
    blank[30..32].fill(0);

    Some(Parsed {
        seq: word(0)?,
        ack: word(8)?,
        sport: port(20)?,
        dport: port(22)?,
        flags: header[24],
        right: port(30)? == checksum(&blank),
    })
}

/// Whose address is told.
#[derive(Clone, Copy)]
pub(crate) enum Who {
    /// Our own, and the other node's, as they are.
    Us,
    Peer,
    /// Of another peer of the other node.
    Other,
    /// All bytes of it are this one.
    All(u8),
    /// This one, of IPv4.
    Is([u8; 4]),
}

/// Private data of a request or a reply.
#[derive(Clone, Copy)]
pub(crate) struct Private {
    saddr: Who,
    daddr: Who,
    version: (u8, u8),
    mask: u16,
    tos: Option<u8>,
    reserved: [u8; 3],
    ack_seq: u64,
    credit: u32,
    tail: u32,
    /// Bytes that are sent; those beyond the known ones are `fill`.
    len: usize,
    fill: u8,
    /// As if the addresses were of the other family.
    other_family: bool,
}

/// What an honest C peer says.
pub(crate) const HONEST: Private = Private {
    saddr: Who::Us,
    daddr: Who::Peer,
    version: (3, 1),
    mask: 3,
    tos: None,
    reserved: [0; 3],
    ack_seq: 0,
    credit: 0,
    tail: 0,
    len: usize::MAX,
    fill: 0,
    other_family: false,
};

/// The most private data of a request.
pub(crate) const PRIVATE: usize = 56;

impl Private {
    pub(crate) const fn from(self, saddr: Who) -> Self {
        Self { saddr, ..self }
    }

    pub(crate) const fn to(self, daddr: Who) -> Self {
        Self { daddr, ..self }
    }

    pub(crate) const fn version(self, major: u8, minor: u8) -> Self {
        Self {
            version: (major, minor),
            ..self
        }
    }

    pub(crate) const fn mask(self, mask: u16) -> Self {
        Self { mask, ..self }
    }

    pub(crate) const fn tos(self, tos: u8) -> Self {
        Self {
            tos: Some(tos),
            ..self
        }
    }

    pub(crate) const fn reserved(self, reserved: [u8; 3]) -> Self {
        Self { reserved, ..self }
    }

    pub(crate) const fn ack_seq(self, ack_seq: u64) -> Self {
        Self { ack_seq, ..self }
    }

    pub(crate) const fn credit(self, credit: u32) -> Self {
        Self { credit, ..self }
    }

    pub(crate) const fn tail(self, tail: u32) -> Self {
        Self { tail, ..self }
    }

    pub(crate) const fn len(self, len: usize) -> Self {
        Self { len, ..self }
    }

    pub(crate) const fn fill(self, fill: u8) -> Self {
        Self { fill, ..self }
    }

    pub(crate) const fn other_family(self) -> Self {
        Self {
            other_family: true,
            ..self
        }
    }

    /// Returns the type of service that the other node finds in it, if our addresses are of IPv6 or not.
    pub(crate) fn tos_told(&self, v6: bool, tos: u8) -> u8 {
        let at = if v6 { 36 } else { 12 };

        if self.len > at {
            self.tos.unwrap_or(tos)
        } else {
            0
        }
    }

    /// Returns the bytes, and how many of them are to be sent.
    pub(crate) fn build(
        &self,
        us: IpAddr,
        peer: IpAddr,
        other: core::net::Ipv4Addr,
        tos: u8,
    ) -> ([u8; PRIVATE], usize) {
        let mut bytes = [self.fill; PRIVATE];
        let mut at = 0;
        let mut put = |field: &[u8]| {
            for byte in field {
                if let Some(to) = bytes.get_mut(at) {
                    *to = *byte;
                }
                at += 1;
            }
        };
        let v4 = us.is_ipv4() != self.other_family;

        for who in [self.saddr, self.daddr] {
            let addr = match who {
                Who::Us => us,
                Who::Peer => peer,
                Who::Other => other.into(),
                Who::Is(octets) => IpAddr::from(octets),
                Who::All(byte) if v4 => IpAddr::from([byte; 4]),
                Who::All(byte) => IpAddr::from([byte; 16]),
            };
            match addr {
                IpAddr::V4(addr) if v4 => put(&addr.octets()),
                IpAddr::V4(addr) => put(&addr.to_ipv6_mapped().octets()),
                IpAddr::V6(addr) if v4 => put(addr.octets().last_chunk::<4>().unwrap_or(&[0; 4])),
                IpAddr::V6(addr) => put(&addr.octets()),
            }
        }
        put(&[self.version.0, self.version.1]);
        put(&self.mask.to_be_bytes());
        put(&[self.tos.unwrap_or(tos)]);
        put(&self.reserved);
        put(&self.ack_seq.to_be_bytes());
        put(&self.credit.to_be_bytes());
        put(&self.tail.to_be_bytes());

        let known = at.min(PRIVATE);
        let len = if self.len == usize::MAX {
            known
        } else {
            self.len.min(PRIVATE)
        };
        (bytes, len)
    }
}
