// SPDX-License-Identifier: GPL-2.0

//! A message as it lies in the stream (spec-header, spec-tcp-stream). Nothing is checked.

/// Length of a header in bytes.
pub const HEADER: usize = 48;

/// Length of a congestion map in bytes.
pub const MAP: u32 = 8192;

/// The longest message in bytes.
pub const LONGEST: u32 = 1 << 20;

/// The flags of a congestion map, and of what is sent again.
pub const BITMAP: u8 = 0x01;
pub const AGAIN: u8 = 0x04;

/// The port of who says hello.
pub const HELLO: u16 = 1;

/// A header.
#[derive(Clone, Copy, Debug, Default)]
pub struct Header {
    /// None takes the connection's next one.
    pub seq: Option<u64>,
    pub ack: u64,
    pub len: u32,
    pub sport: u16,
    pub dport: u16,
    pub flags: u8,
    pub credit: u8,
    pub padding: [u8; 4],
    pub checksum: u16,
    pub ext: [u8; 16],
}

impl Header {
    /// One of a message from a port to another.
    pub fn message(sport: u16, dport: u16, len: u32) -> Self {
        Self {
            len,
            sport,
            dport,
            ..Self::default()
        }
    }

    /// A ping from a port.
    pub fn ping(sport: u16) -> Self {
        Self::message(sport, 0, 0)
    }

    /// A congestion map of so many bytes.
    pub fn map(len: u32) -> Self {
        Self {
            seq: Some(0),
            flags: BITMAP,
            ..Self::message(0, 0, len)
        }
    }

    /// A hello that says these extensions.
    pub fn hello(ext: [u8; 16]) -> Self {
        Self {
            ext,
            ..Self::ping(HELLO)
        }
    }

    /// Its bytes.
    pub fn bytes(&self, seq: u64) -> [u8; HEADER] {
        let mut bytes = [0; HEADER];
        bytes[..8].copy_from_slice(&seq.to_be_bytes());
        bytes[8..16].copy_from_slice(&self.ack.to_be_bytes());
        bytes[16..20].copy_from_slice(&self.len.to_be_bytes());
        bytes[20..22].copy_from_slice(&self.sport.to_be_bytes());
        bytes[22..24].copy_from_slice(&self.dport.to_be_bytes());
        bytes[24] = self.flags;
        bytes[25] = self.credit;
        bytes[26..30].copy_from_slice(&self.padding);
        bytes[30..32].copy_from_slice(&self.checksum.to_be_bytes());
        bytes[32..].copy_from_slice(&self.ext);
        bytes
    }
}

/// Extensions of a hello: how many lanes, which life, and that ports tell, each if it is to be said.
pub fn extensions(lanes: Option<u16>, life: Option<u32>, ports_tell: bool) -> [u8; 16] {
    let mut said = Vec::new();
    if let Some(lanes) = lanes {
        said.push(5);
        said.extend(lanes.to_be_bytes());
    }
    if let Some(life) = life {
        said.push(6);
        said.extend(life.to_be_bytes());
    }
    if ports_tell {
        said.extend([8, 0]);
    }
    let mut ext = [0; 16];
    ext[..said.len()].copy_from_slice(&said);
    ext
}
