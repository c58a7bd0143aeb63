// SPDX-License-Identifier: GPL-2.0

//! How long a call on a socket waits.

use crate::clock::jiffies;
use kernel::{
    prelude::*,
    time::Delta, //
};

/// How long to wait, in jiffies: what is left of it.
///
/// # Invariants
///
/// The number is not negative.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeout(c_long);

impl Timeout {
    /// Not at all.
    pub const NONE: Self = Self(0);
    /// For ever.
    pub const FOREVER: Self = Self(c_long::MAX);

    /// Takes a time; a negative one is none.
    pub fn new(time: Delta) -> Self {
        Self::from_raw(c_long::try_from(jiffies(time)).unwrap_or(c_long::MAX))
    }

    /// Takes a number of jiffies.
    pub(crate) const fn from_raw(raw: c_long) -> Self {
        // INVARIANT: Negative numbers are replaced.
        Self(if raw < 0 { 0 } else { raw })
    }

    /// Returns the number of jiffies, which is not negative.
    #[inline]
    pub(super) const fn as_raw(self) -> c_long {
        self.0
    }

    /// Returns whether nothing is left.
    #[inline]
    pub const fn is_over(self) -> bool {
        self.0 == 0
    }

    /// Returns the error of a call that was interrupted by a signal while it waited with this
    /// timeout: the call is restarted if it was to wait for ever, else it is [`EINTR`], since a
    /// restart would wait anew.
    pub const fn interrupted(self) -> Error {
        if self.0 == c_long::MAX {
            ERESTARTSYS
        } else {
            EINTR
        }
    }
}
