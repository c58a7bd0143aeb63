// SPDX-License-Identifier: GPL-2.0

//! What is said in requests and replies, and what follows from it.
//!
//! spec-private-data and spec-versions; C: `rds_ib_cm_fill_conn_param()` and
//! `rds_ib_cm_connect_complete()`.

use crate::incarnation::Life;
use crate::wire::{Addr, Capabilities, OwnKind, PrivateData, Version, MINOR_MASK};
use core::num::NonZeroU32;

/// Who the two ends of a path are.
///
/// Of two paths between addresses of one host each is the other's peer, as if they were on two hosts.
/// Where both addresses are the same, two paths are needed as well: one that dials, and one that is
/// handed all requests and never asked to connect (spec-loopback).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity {
    /// Address of this side.
    pub local: Addr,
    /// Address of the peer.
    pub peer: Addr,
    /// Type of service.
    pub tos: u8,
    /// Number that differs between any two lives of this host.
    pub incarnation: NonZeroU32,
}

impl Identity {
    /// Private data with everything in it but what depends on the connection.
    ///
    /// It offers no credits: receive buffers are those of a shared queue (spec-credits).
    fn say(&self, version: Version) -> PrivateData {
        PrivateData {
            saddr: self.local,
            daddr: self.peer,
            version,
            minors: MINOR_MASK,
            tos: self.tos,
            ack_seq: 0,
            credit: 0,
            own: Some(OwnKind {
                incarnation: self.incarnation,
                capabilities: Capabilities::ALL,
            }),
        }
    }

    /// The private data of a request.
    ///
    /// Its acknowledgement is 0: it would be valid for one life of the peer only, and there is no room
    /// to say for which.
    pub fn request(&self) -> PrivateData {
        self.say(Version::V3_1)
    }

    /// The private data of the reply that accepts a request.
    ///
    /// `received` is the last message received from the life of the peer that sent the request.
    pub fn reply(&self, handshake: &Handshake, received: u64) -> PrivateData {
        PrivateData {
            ack_seq: if handshake.has_true_ack() {
                received
            } else {
                0
            },
            ..self.say(handshake.version)
        }
    }
}

/// What both sides said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Handshake {
    /// The version in use.
    pub version: Version,
    /// What the peer said of itself, if it is of our own kind.
    pub own: Option<OwnKind>,
}

impl Handshake {
    /// The state in which a request goes out: version 4.1 is presumed until the reply.
    pub(crate) const fn requested() -> Self {
        Self {
            version: Version::V4_1,
            own: None,
        }
    }

    /// Judges a request; `None` if there is no common version.
    pub(crate) fn accept(request: &PrivateData) -> Option<Self> {
        Some(Self {
            version: request.negotiate()?,
            own: request.own,
        })
    }

    /// Takes in the reply to our request; `None` if its version is too old.
    ///
    /// A reply without version changes nothing, as in C.
    pub(crate) fn replied(self, reply: &PrivateData) -> Option<Self> {
        if !reply.is_present() {
            return Some(self);
        }
        if reply.version < Version::V3_1 {
            return None;
        }
        Some(Self {
            version: reply.version,
            own: reply.own,
        })
    }

    /// Whether acknowledgements go on where the last connection to the same life ended.
    pub fn has_true_ack(&self) -> bool {
        self.own.is_some_and(|own| {
            let common = own.capabilities.common(Capabilities::ALL);
            common.contains(Capabilities::TRUE_ACK)
        })
    }

    /// The life of the peer.
    pub fn life(&self) -> Life {
        Life::told(self.own.map(|own| own.incarnation))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity(n: u8) -> Identity {
        Identity {
            local: Addr::v4([10, 0, 0, n]),
            peer: Addr::v4([10, 0, 0, 3 - n]),
            tos: 7,
            incarnation: NonZeroU32::new(0x100 + u32::from(n)).unwrap(),
        }
    }

    #[test]
    fn two_of_our_kind_find_each_other() {
        let request = identity(1).request();
        assert_eq!((request.version, request.minors), (Version::V3_1, 3));
        assert_eq!((request.tos, request.ack_seq, request.credit), (7, 0, 0));
        let passive = Handshake::accept(&request).unwrap();
        assert!(passive.has_true_ack());
        assert_eq!(passive.life(), Life::told(NonZeroU32::new(0x101)));
        let reply = identity(2).reply(&passive, 55);
        assert_eq!((reply.version, reply.ack_seq), (Version::V3_1, 55));
        assert_eq!((reply.saddr, reply.daddr), (request.daddr, request.saddr));
        let active = Handshake::requested().replied(&reply).unwrap();
        assert_eq!(active.version, Version::V3_1);
        assert_eq!(active.life(), Life::told(NonZeroU32::new(0x102)));
    }

    #[test]
    fn a_c_peer_is_told_nothing_it_could_misread() {
        let request = PrivateData {
            own: None,
            ..identity(1).request()
        };
        let passive = Handshake::accept(&request).unwrap();
        assert!(!passive.has_true_ack());
        assert_eq!(passive.life(), Life::C);
        assert_eq!(identity(2).reply(&passive, 55).ack_seq, 0);
    }

    #[test]
    fn replies_are_judged_by_version() {
        let reply = identity(2).request();
        let with = |major, minor| PrivateData {
            version: Version { major, minor },
            ..reply
        };
        let asked = Handshake::requested();
        assert_eq!(asked.replied(&with(0, 0)), Some(asked));
        assert_eq!(asked.replied(&with(3, 0)), None);
        assert_eq!(asked.replied(&with(2, 9)), None);
        assert_eq!(asked.replied(&with(4, 1)).unwrap().version, Version::V4_1);
        assert_eq!(asked.replied(&with(3, 1)).unwrap().version, Version::V3_1);
        let version = Version { major: 2, minor: 1 };
        assert_eq!(Handshake::accept(&PrivateData { version, ..reply }), None);
    }

    #[test]
    fn no_credits_are_offered_whatever_the_peer_offers() {
        let request = PrivateData {
            credit: 1024,
            ..identity(1).request()
        };
        assert_eq!(identity(1).request().credit, 0);
        let passive = Handshake::accept(&request).unwrap();
        assert_eq!(identity(2).reply(&passive, 0).credit, 0);
    }
}
