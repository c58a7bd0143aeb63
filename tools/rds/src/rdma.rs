// SPDX-License-Identifier: GPL-2.0

//! RDMA through RDS sockets: memory that peers read and write, and operations on that of peers.
//!
//! One side registers [`Memory`] with its socket and hands the [`Cookie`] to its peer, in a message of its
//! own or by [`SendControl::RdmaDest`](crate::SendControl::RdmaDest). The peer names the cookie in an
//! [`Operation`], which goes with a message: the message arrives after what is written is in place.
//!
//! ```no_run
//! use rds::rdma::{Memory, Operation, RdmaSocket, RegionFlags, Remote};
//! use rds::{Control, Family, SendFlags, Socket};
//! use std::io::IoSlice;
//!
//! let socket = Socket::new(Family::from_env()?)?;
//! socket.bind("10.0.0.1:0".parse().unwrap())?;
//! let socket = RdmaSocket::new(socket);
//! let peer = "10.0.0.2:4000".parse().unwrap();
//!
//! // Memory for the peer.
//! let memory = Memory::new(65536)?;
//! let text = [IoSlice::new(b"write here")];
//! let region = socket.send_map(&text, peer, memory.all(), RegionFlags::WRITABLE, SendFlags::NONE)?;
//!
//! // Memory of the peer, whose cookie comes with a message.
//! let mut buffer = [0; 4096];
//! let received = socket.recv_from(&mut buffer)?;
//! let cookie = received.control.iter().find_map(|control| match control {
//!     Control::RdmaDest(cookie) => Some((*cookie).into()),
//!     _ => None,
//! });
//! if let Some(cookie) = cookie {
//!     let local = Memory::new(4096)?;
//!     let read = Operation::read(Remote { cookie, offset: 0 }, vec![local.all()]);
//!     let token = socket.operate(&[], Some(peer), &read.notify(), SendFlags::NONE)?;
//!     // A `Control::RdmaStatus` with this token tells that it is done.
//! }
//! region.free(true)?;
//! # Ok::<(), std::io::Error>(())
//! ```
//!
//! # Who keeps memory
//!
//! [`Memory`] is a mapping of its own, and stays mapped while anyone may access it:
//!
//! - a [`Region`] holds its memory and its socket. Dropped, it gives the registration up
//!   (`RDS_FREE_MR` with INVALIDATE) before it lets go of the memory. If the kernel refuses for another
//!   reason than that it does not know the region any more, the memory stays mapped for ever.
//! - a socket holds the memory of each operation until its status has come, whatever happens to all
//!   handles of it. Memory of operations that ask for no status is held until the socket is closed. What a
//!   closed socket holds still stays mapped for ever.
//!
//! To forget a handle (`mem::forget`) leaks memory, and does nothing else. Beyond that the kernel pins the
//! pages of such memory, so that not even a peer that accesses it too late meets what belongs to others.
//!
//! What the memory holds is copied in and out, word by word, as atomics: there is no reference to what a
//! peer may change. A copy taken while a peer writes may have some words of before, and some of after.

mod args;
mod memory;
mod operation;
mod region;
mod socket;

pub use memory::{Memory, Piece};
pub use operation::{Atomic, Operation, OperationFlags};
pub use region::{Region, RegionFlags};
pub use socket::{RdmaSocket, Token};

use std::fmt;

/// The name of registered memory: what a peer needs to access it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Cookie(pub u64);

impl Cookie {
    /// The key of the device.
    pub const fn key(self) -> u32 {
        self.0 as u32
    }

    /// Where in its first page the memory begins; added to what an operation says.
    pub const fn offset(self) -> u32 {
        (self.0 >> 32) as u32
    }

    /// A cookie of these two.
    pub const fn of(key: u32, offset: u32) -> Self {
        Self(((offset as u64) << 32) | key as u64)
    }
}

impl From<u64> for Cookie {
    fn from(number: u64) -> Self {
        Self(number)
    }
}

impl fmt::Display for Cookie {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#x}", self.0)
    }
}

/// A place in a peer's memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Remote {
    /// Which registration it is in.
    pub cookie: Cookie,
    /// Bytes from its beginning.
    pub offset: u64,
}

/// Most pieces of local memory in one operation (spec-sendmsg, row 10).
pub const MAX_PIECES: usize = 1024;

#[cfg(test)]
mod tests;
