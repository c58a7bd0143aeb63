// SPDX-License-Identifier: GPL-2.0

//! What can be wrong with the bytes of a packet.

use core::fmt;

/// The rule that some bytes from a peer broke.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PacketError {
    /// Fewer bytes than the format has, or than a length says.
    Truncated,
    /// The version of the format, or the type of the packet, is unknown.
    Version,
    /// A field has a value that it cannot have.
    Value,
}

impl PacketError {
    /// A name for logs and counters.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Truncated => "truncated",
            Self::Version => "unknown version",
            Self::Value => "bad value",
        }
    }
}

impl fmt::Display for PacketError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_differ() {
        let all = [
            PacketError::Truncated,
            PacketError::Version,
            PacketError::Value,
        ];
        for (at, one) in all.iter().enumerate() {
            assert_eq!(std::format!("{one}"), one.name());
            assert!(all[..at].iter().all(|other| other.name() != one.name()));
        }
    }
}
