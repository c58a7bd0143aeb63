// SPDX-License-Identifier: GPL-2.0

//! Private data of the request and the reply that find a host's datagram lanes.

use super::{Hello, PacketError, Reader, Writer, HELLO_LEN, VERSION};
use crate::wire::{Addr, Capabilities};

/// Most private data that a service ID resolution request carries.
pub const SIDR_REQUEST_LEN: usize = 180;

/// Most private data that its reply carries.
pub const SIDR_REPLY_LEN: usize = 136;

const MAGIC: [u8; 4] = *b"RDSn";
const QPNS: usize = 4;
const GIDS: usize = 1;

/// Up to four numbers of queue pairs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct QpnList([u32; QPNS], u8);

impl QpnList {
    /// As many of `qpns` as there is room for.
    pub fn new(qpns: &[u32]) -> Self {
        let mut list = Self::default();
        for (to, from) in list.0.iter_mut().zip(qpns) {
            *to = from & 0x00ff_ffff;
            list.1 = list.1.wrapping_add(1);
        }
        list
    }

    /// The numbers.
    pub fn as_slice(&self) -> &[u32] {
        self.0.get(..usize::from(self.1)).unwrap_or(&[])
    }
}

/// A further address, or none: a reply has no room for more.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct GidList([Addr; GIDS], u8);

impl GidList {
    /// As many of `gids` as there is room for.
    pub fn new(gids: &[Addr]) -> Self {
        let mut list = Self::default();
        for (to, from) in list.0.iter_mut().zip(gids) {
            *to = *from;
            list.1 = list.1.wrapping_add(1);
        }
        list
    }

    /// The addresses.
    pub fn as_slice(&self) -> &[Addr] {
        self.0.get(..usize::from(self.1)).unwrap_or(&[])
    }
}

/// What a host says of its datagram lanes and of the session that they are to belong to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EndpointData {
    /// Type of service of the session.
    pub tos: u8,
    /// What the sender can do.
    pub capabilities: Capabilities,
    /// Address of the sender.
    pub saddr: Addr,
    /// Address of the receiver.
    pub daddr: Addr,
    /// The session and what the sender can take.
    pub hello: Hello,
    /// Key of the queue pairs.
    pub qkey: u32,
    /// Numbers of the queue pairs.
    pub qpns: QpnList,
    /// Further addresses at which the sender can be reached.
    pub gids: GidList,
}

impl EndpointData {
    /// Reads private data, which may be padded.
    ///
    /// # Errors
    ///
    /// [`PacketError::Version`] if it is not of this form, [`PacketError::Truncated`] if bytes are
    /// missing, [`PacketError::Value`] if there is no queue pair or the hello is refused.
    pub fn parse(bytes: &[u8]) -> Result<Self, PacketError> {
        let mut r = Reader::new(bytes);
        let (magic, version) = (r.take()?, r.u8()?);
        if magic != MAGIC || version != VERSION {
            return Err(PacketError::Version);
        }
        let tos = r.u8()?;
        let capabilities = Capabilities::from_bits(r.u16()?);
        let (saddr, daddr) = (Addr(r.take()?), Addr(r.take()?));
        let hello = Hello::parse(r.bytes(HELLO_LEN)?)?;
        let qkey = r.u32()?;
        let (qpn_count, gid_count) = (r.u8()?, r.u8()?);
        let _reserved = r.u16()?;
        let (mut qpns, mut gids) = (QpnList::default(), GidList::default());
        // More than there is room for are skipped.
        for n in 0..qpn_count {
            let qpn = r.u32()? & 0x00ff_ffff;
            if let Some(to) = qpns.0.get_mut(usize::from(n)) {
                *to = qpn;
                qpns.1 = n.wrapping_add(1);
            }
        }
        for n in 0..gid_count {
            let gid = Addr(r.take()?);
            if let Some(to) = gids.0.get_mut(usize::from(n)) {
                *to = gid;
                gids.1 = n.wrapping_add(1);
            }
        }
        if qpns.1 == 0 {
            return Err(PacketError::Value);
        }
        Ok(Self {
            tos,
            capabilities,
            saddr,
            daddr,
            hello,
            qkey,
            qpns,
            gids,
        })
    }

    /// Appends the bytes, at most 136: as many as a reply can carry.
    ///
    /// Returns `false` and appends nothing if they do not fit.
    pub fn emit(&self, to: &mut Writer<'_>) -> bool {
        let mut room = [0; SIDR_REPLY_LEN];
        let mut w = Writer::new(&mut room);
        w.put(&MAGIC);
        w.put(&[VERSION, self.tos]);
        w.put(&self.capabilities.bits().to_be_bytes());
        w.put(&self.saddr.0);
        w.put(&self.daddr.0);
        w.put(&self.hello.body());
        w.put(&self.qkey.to_be_bytes());
        w.put(&[self.qpns.1, self.gids.1, 0, 0]);
        for qpn in self.qpns.as_slice() {
            w.put(&qpn.to_be_bytes());
        }
        for gid in self.gids.as_slice() {
            w.put(&gid.0);
        }
        to.put(w.written())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::num::NonZeroU32;
    use std::vec::Vec;

    fn data(qpns: &[u32], gids: &[Addr]) -> EndpointData {
        EndpointData {
            tos: 3,
            capabilities: Capabilities::NATIVE,
            saddr: Addr::v4([10, 0, 0, 1]),
            daddr: Addr::v4([10, 0, 0, 2]),
            hello: Hello {
                session: 1,
                incarnation: NonZeroU32::MIN,
                peer: None,
                features: 0,
                first: 0,
                base: 0,
                quota: 1 << 21,
                max_packet: 4096,
                serial: 0,
                window: 1024,
                room: 64,
                ack_delay: 25,
                lanes: 2,
            },
            qkey: 0x8001_0000,
            qpns: QpnList::new(qpns),
            gids: GidList::new(gids),
        }
    }

    fn written(data: &EndpointData) -> Vec<u8> {
        let mut room = [0; SIDR_REPLY_LEN];
        let mut w = Writer::new(&mut room);
        assert!(data.emit(&mut w));
        Vec::from(w.written())
    }

    #[test]
    fn round_trips_with_padding() {
        let gid = Addr([0xfd; 16]);
        for qpns in [&[7][..], &[1, 2, 3, 4][..]] {
            for gids in [&[][..], &[gid][..]] {
                let data = data(qpns, gids);
                let mut bytes = written(&data);
                assert_eq!(bytes.len(), 104 + 4 * qpns.len() + 16 * gids.len());
                assert_eq!(EndpointData::parse(&bytes), Ok(data));
                for len in 0..bytes.len() {
                    assert_eq!(
                        EndpointData::parse(&bytes[..len]),
                        Err(PacketError::Truncated)
                    );
                }
                bytes.resize(SIDR_REQUEST_LEN, 0);
                assert_eq!(EndpointData::parse(&bytes), Ok(data));
            }
        }
        assert!(!data(&[1], &[]).emit(&mut Writer::new(&mut [0; 107])));
    }

    #[test]
    fn the_layout_is_that_of_the_specification() {
        let bytes = written(&data(&[0xab_cdef], &[]));
        assert_eq!(bytes[..8], [b'R', b'D', b'S', b'n', 1, 3, 0, 2]);
        assert_eq!(bytes[8 + 12..8 + 16], [10, 0, 0, 1]);
        assert_eq!(bytes[24 + 12..24 + 16], [10, 0, 0, 2]);
        assert_eq!(bytes[96..104], [0x80, 1, 0, 0, 1, 0, 0, 0]);
        assert_eq!(bytes[104..], [0, 0xab, 0xcd, 0xef]);
    }

    #[test]
    fn lists_that_are_too_long_are_cut() {
        let gid = Addr([1; 16]);
        let long = data(&[1, 2, 3, 4, 5], &[gid, gid, gid]);
        assert_eq!(long.qpns.as_slice(), [1, 2, 3, 4]);
        assert_eq!(long.gids.as_slice(), [gid]);
        let mut bytes = written(&data(&[1, 2, 3, 4], &[]));
        bytes[100] = 5;
        bytes[101] = 2;
        bytes.extend([0, 0, 0, 5]);
        bytes.extend([1; 32]);
        assert_eq!(EndpointData::parse(&bytes), Ok(data(&[1, 2, 3, 4], &[gid])));
    }

    #[test]
    fn what_is_something_else_is_refused() {
        let good = written(&data(&[1], &[]));
        for at in 0..5 {
            let mut bytes = good.clone();
            bytes[at] ^= 1;
            assert_eq!(EndpointData::parse(&bytes), Err(PacketError::Version));
        }
        let mut none = good;
        none[100] = 0;
        assert_eq!(EndpointData::parse(&none), Err(PacketError::Value));
    }
}
