// SPDX-License-Identifier: GPL-2.0

//! What can be wrong with bytes.

use core::fmt;

/// The rule that some bytes from a peer broke.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WireError {
    /// Fewer bytes than the format has.
    Truncated,
    /// The header's checksum is neither zero nor right (spec-header).
    Checksum,
}

impl WireError {
    /// A name for logs and counters.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Truncated => "truncated",
            Self::Checksum => "bad checksum",
        }
    }
}

impl fmt::Display for WireError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
