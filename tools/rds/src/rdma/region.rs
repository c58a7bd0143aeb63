// SPDX-License-Identifier: GPL-2.0

//! Registrations.

use super::socket::{Calls, Shared};
use super::{Cookie, Memory, Piece};
use crate::flags::flags;
use crate::Socket;
use std::fmt;
use std::io;
use std::mem;
use std::sync::Arc;

flags! {
    /// What peers may do with a region, and when it goes (spec-cmsg).
    RegionFlags(u64) {
        /// Peers may write: READWRITE. Without it they only read.
        WRITABLE = 0x01,
        /// The device forgets it at once when it is given up or used up.
        INVALIDATE = 0x04,
        /// It goes when a message with an operation on it has come.
        USE_ONCE = 0x08,
    }
}

/// Memory that peers of a socket can access, as long as this lives.
///
/// Dropped, it is given up with INVALIDATE; see [the module](super) for what becomes of the memory.
pub struct Region<C: Calls = Socket> {
    shared: Arc<Shared<C>>,
    piece: Piece,
    cookie: Cookie,
    flags: RegionFlags,
    /// Whether there is nothing left to give up.
    over: bool,
}

impl<C: Calls> Region<C> {
    pub(super) fn new(
        shared: Arc<Shared<C>>,
        piece: Piece,
        cookie: Cookie,
        flags: RegionFlags,
    ) -> Self {
        Self {
            shared,
            piece,
            cookie,
            flags,
            over: false,
        }
    }

    /// What peers name it by.
    pub fn cookie(&self) -> Cookie {
        self.cookie
    }

    /// The memory that it is a part of.
    pub fn memory(&self) -> &Memory {
        self.piece.memory()
    }

    /// Which part.
    pub fn piece(&self) -> &Piece {
        &self.piece
    }

    /// Its flags.
    pub fn flags(&self) -> RegionFlags {
        self.flags
    }

    /// Gives it up: `RDS_FREE_MR`. Without `invalidate`, and unless it was made so, peers may access the
    /// memory until [`RdmaSocket::flush_regions`](super::RdmaSocket::flush_regions), and the socket keeps it
    /// until then.
    ///
    /// # Errors
    ///
    /// `EINVAL` if it was used up.
    pub fn free(mut self, invalidate: bool) -> io::Result<()> {
        self.give_up(invalidate)
    }

    fn give_up(&mut self, invalidate: bool) -> io::Result<()> {
        if mem::replace(&mut self.over, true) {
            return Ok(());
        }
        let memory = self.piece.memory();
        let forgets = invalidate || self.flags.contains(RegionFlags::INVALIDATE);
        let result = self.shared.free(self.cookie, forgets);
        match &result {
            Ok(()) if forgets => {}
            Ok(()) => self.shared.linger(memory.clone()),
            // It was used up, and the device may know it still, unless it was told to forget it.
            Err(error) if error.raw_os_error() == Some(libc::EINVAL) => {
                if !self.flags.contains(RegionFlags::INVALIDATE) {
                    self.shared.linger(memory.clone());
                    if self.flags.contains(RegionFlags::USE_ONCE) {
                        // If that fails the memory goes on lingering.
                        let _ = self.shared.flush();
                    }
                }
            }
            // Peers may access it for ever.
            Err(_) => mem::forget(memory.clone()),
        }
        result
    }
}

impl<C: Calls> Drop for Region<C> {
    fn drop(&mut self) {
        // What to do about an error has been done.
        let _ = self.give_up(true);
    }
}

impl<C: Calls> fmt::Debug for Region<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Region")
            .field("cookie", &self.cookie)
            .field("piece", &self.piece)
            .field("flags", &self.flags)
            .finish_non_exhaustive()
    }
}
