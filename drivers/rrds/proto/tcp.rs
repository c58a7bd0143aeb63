// SPDX-License-Identifier: GPL-2.0

//! RDS over TCP: how the frames of a path lie in a stream.
//!
//! spec-tcp; C: `net/rds/tcp*.c`. A [`Path`](crate::path::Path) is driven as over RDMA: it gives fragments of 4096
//! bytes to send, and takes such fragments. In the stream a message is one header and all its data, so only its
//! first fragment has a header there, see [`place`], and [`Deframer`] cuts what comes in into fragments. There are
//! no acknowledgements: what TCP has acknowledged was received, see [`InFlight`].
//!
//! Of two hosts the one with the smaller address dials, see [`Role`]. Which connection is which lane of a peer,
//! and who the peer is, is told by [`Hello`]s and by source ports, see [`LocalPorts`].

mod deframe;
mod hello;
mod in_flight;
mod place;
mod ports;

#[cfg(test)]
mod tests;

pub use deframe::{head, Deframer, Fragment};
pub use hello::{Greeting, Hello};
pub use in_flight::{Acked, InFlight, Mark};
pub use place::{place, Placed};
pub use ports::{lane_of_port, lane_of_source, LocalPorts};

use crate::wire::{Addr, PrivateData, Version, MINOR_MASK};

/// The port that both families listen on.
pub const PORT: u16 = 16385;

/// Most lanes to a peer.
pub const MAX_LANES: u8 = 8;

/// Which end of a connection a host is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// It has the smaller address, or the same: messages go over the connections that it dials.
    Low,
    /// It has the larger address. What it dials asks the peer to dial, and is closed as soon as it is established.
    High,
}

impl Role {
    /// The role of `local` towards `peer`.
    pub fn of(local: Addr, peer: Addr) -> Self {
        if local <= peer {
            Self::Low
        } else {
            Self::High
        }
    }
}

/// What stands for the private data of a request, which TCP has not.
pub fn request(local: Addr, peer: Addr) -> PrivateData {
    PrivateData {
        saddr: peer,
        daddr: local,
        version: Version::V4_1,
        minors: MINOR_MASK,
        tos: 0,
        ack_seq: 0,
        credit: 0,
        own: None,
    }
}
