// SPDX-License-Identifier: GPL-2.0

//! What poll(2) tells of a socket.
//!
//! C header: [`include/uapi/asm-generic/poll.h`](srctree/include/uapi/asm-generic/poll.h)

use crate::bindings;
use core::ops::{
    BitOr,
    BitOrAssign, //
};

/// A set of events.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Events(u32);

impl Events {
    /// No event.
    pub const NONE: Self = Self(0);
    /// There is something to read.
    pub const IN: Self = Self(bindings::POLLIN);
    /// There is ordinary data to read.
    pub const RDNORM: Self = Self(bindings::POLLRDNORM);
    /// There is room to write.
    pub const OUT: Self = Self(bindings::POLLOUT);
    /// There is room to write ordinary data.
    pub const WRNORM: Self = Self(bindings::POLLWRNORM);
    /// There is room to write priority data.
    pub const WRBAND: Self = Self(bindings::POLLWRBAND);
    /// There was an error.
    pub const ERR: Self = Self(bindings::POLLERR);
    /// The other side has hung up.
    pub const HUP: Self = Self(bindings::POLLHUP);

    /// Returns whether there is no event.
    #[inline]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    #[inline]
    pub(crate) const fn as_raw(self) -> u32 {
        self.0
    }
}

impl BitOr for Events {
    type Output = Self;

    #[inline]
    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl BitOrAssign for Events {
    #[inline]
    fn bitor_assign(&mut self, other: Self) {
        self.0 |= other.0;
    }
}
