// SPDX-License-Identifier: GPL-2.0

//! What peers tell each other about themselves.
//!
//! spec-tcp-probe; C: `rds_send_probe()`, `rds_recv_hs_exthdrs()` and `rds_conn_peer_gen_update()`. Both the ping and
//! its answer tell; they come on any lane, at any time, asked for or not.

use super::MAX_LANES;
use crate::consts::{EXT_LEN, PING_PORT, PROBE_PORT};
use crate::wire::{Extension, ExtensionWriter, Extensions, Header};
use core::num::NonZeroU32;

/// What kind of message tells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Greeting {
    /// A ping, which is to be answered.
    Ping,
    /// The answer.
    Pong,
}

impl Greeting {
    /// What a header begins, by its ports.
    pub const fn of(header: &Header) -> Option<Self> {
        match (header.sport, header.dport) {
            (PROBE_PORT, PING_PORT) => Some(Self::Ping),
            (PING_PORT, PROBE_PORT) => Some(Self::Pong),
            _ => None,
        }
    }
}

/// What a host says of itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Hello {
    /// How many lanes it can have, if it says so: one that does not has as many as it had.
    pub lanes: Option<u8>,
    /// A number that changes with each of its lives.
    pub generation: Option<NonZeroU32>,
    /// The source ports of its connections tell their lanes.
    pub ports_tell: bool,
}

impl Hello {
    /// What a header tells. Extensions that are none of these are skipped.
    pub fn told(header: &Header) -> Self {
        let mut told = Self::default();

        for extension in Extensions::new(&header.ext) {
            match extension {
                Extension::Paths(lanes) => {
                    let lanes = u8::try_from(lanes).unwrap_or(MAX_LANES);
                    told.lanes = Some(lanes.clamp(1, MAX_LANES));
                }
                Extension::Generation(number) => told.generation = NonZeroU32::new(number),
                Extension::PortIndex(_) => told.ports_tell = true,
                _ => {}
            }
        }
        told
    }

    /// The extensions that tell it.
    pub fn extensions(&self) -> [u8; EXT_LEN] {
        let mut writer = ExtensionWriter::new();

        // All of them fit.
        if let Some(lanes) = self.lanes {
            writer.push(Extension::Paths(u16::from(lanes)));
        }
        let generation = self.generation.map_or(0, NonZeroU32::get);
        writer.push(Extension::Generation(generation));
        if self.ports_tell {
            writer.push(Extension::PortIndex(0));
        }
        writer.finish()
    }
}

#[cfg(test)]
mod tests {
    use super::super::head;
    use super::*;

    const HELLO: Hello = Hello {
        lanes: Some(8),
        generation: NonZeroU32::new(0x1234_5678),
        ports_tell: true,
    };

    fn ping(ext: [u8; EXT_LEN]) -> Header {
        Header {
            seq: 1,
            sport: PROBE_PORT,
            dport: PING_PORT,
            ext,
            ..Header::default()
        }
    }

    #[test]
    fn the_ping_is_the_one_of_the_spec() {
        let mut bytes = [0; 48];
        bytes[7] = 1;
        bytes[21] = 1;
        bytes[32..41].copy_from_slice(&[5, 0, 8, 6, 0x12, 0x34, 0x56, 0x78, 8]);
        let ping = ping(HELLO.extensions());
        assert_eq!(head(&ping), bytes);
        assert_eq!(Hello::told(&ping), HELLO);
        assert_eq!(Greeting::of(&ping), Some(Greeting::Ping));
    }

    #[test]
    fn ports_tell_what_is_a_greeting() {
        for (sport, dport, greeting) in [
            (1, 0, Some(Greeting::Ping)),
            (0, 1, Some(Greeting::Pong)),
            (0, 0, None),
            (1, 1, None),
            (4000, 0, None),
            (0, 4000, None),
        ] {
            let header = Header {
                sport,
                dport,
                ..Header::default()
            };
            assert_eq!(Greeting::of(&header), greeting);
        }
    }

    #[test]
    fn lanes_are_bounded_and_silence_is_no_number() {
        for (said, lanes) in [
            (0, 1),
            (1, 1),
            (3, 3),
            (8, 8),
            (9, 8),
            (0x100, 8),
            (0xffff, 8),
        ] {
            let mut writer = ExtensionWriter::new();
            assert!(writer.push(Extension::Paths(said)));
            assert_eq!(Hello::told(&ping(writer.finish())).lanes, Some(lanes));
        }
        assert_eq!(Hello::told(&ping([0; EXT_LEN])), Hello::default());
        let silent = Hello::default();
        assert_eq!(Hello::told(&ping(silent.extensions())), silent);
    }

    #[test]
    fn what_is_not_known_is_skipped() {
        let mut writer = ExtensionWriter::new();
        for extension in [
            Extension::Unknown(7),
            Extension::Version(3),
            Extension::Unknown(9),
            Extension::Generation(5),
        ] {
            assert!(writer.push(extension));
        }
        let told = Hello::told(&ping(writer.finish()));
        assert_eq!(told.generation, NonZeroU32::new(5));
        assert_eq!((told.lanes, told.ports_tell), (None, false));
    }
}
