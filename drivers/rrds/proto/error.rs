// SPDX-License-Identifier: GPL-2.0

//! Why a connection is dropped.

use crate::wire::WireError;
use core::fmt;

/// A rule of the wire that a peer broke; its connection is dropped, and nothing else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Violation {
    /// The header cannot be read (spec-header).
    Header(WireError),
    /// A continuation fragment differs from the first in sequence, length or ports (spec-fragments).
    FragmentMismatch,
    /// A fragment has less data than the message still needs, up to 4096 bytes (spec-fragments).
    FragmentShort,
    /// A message is longer than 1 MiB, or a bitmap than 8192 bytes (spec-fragments).
    TooLong,
    /// An acknowledgement of a message that was never sent (spec-header).
    AckBeyondSent,
    /// A receive completion that is not a plain SEND (spec-fragments).
    Opcode,
}

impl Violation {
    /// A name for logs and counters.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Header(WireError::Truncated) => "frame without header",
            Self::Header(WireError::Checksum) => "bad header checksum",
            Self::FragmentMismatch => "fragment of another message",
            Self::FragmentShort => "fragment too short",
            Self::TooLong => "message too long",
            Self::AckBeyondSent => "acknowledgement of an unsent message",
            Self::Opcode => "unexpected completion opcode",
        }
    }

    /// A name in one word, for programs.
    pub const fn token(self) -> &'static str {
        match self {
            Self::Header(WireError::Truncated) => "truncated",
            Self::Header(WireError::Checksum) => "checksum",
            Self::FragmentMismatch => "fragment_mismatch",
            Self::FragmentShort => "fragment_short",
            Self::TooLong => "too_long",
            Self::AckBeyondSent => "ack_beyond_sent",
            Self::Opcode => "opcode",
        }
    }

    /// The section of the specification that states the rule.
    pub const fn rule(self) -> &'static str {
        match self {
            Self::Header(_) | Self::AckBeyondSent => "1.1",
            Self::FragmentMismatch | Self::FragmentShort | Self::TooLong | Self::Opcode => "1.4",
        }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (RDS {})", self.name(), self.rule())
    }
}

/// Why a connection was given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DropReason {
    /// The peer broke a rule.
    Violation(Violation),
    /// The connection manager or the queue pair reported an error, or the peer disconnected.
    Transport,
    /// The peer rejected our request.
    Rejected,
    /// The peer speaks no version that we speak (spec-versions).
    Version,
    /// The handshake did not end in time, or what a closed socket has left was not taken in in time.
    Timeout,
    /// A request of the peer takes the connection's place.
    Superseded,
    /// There was no memory for what the peer sent.
    NoMemory,
    /// The local side asked for it: device gone, address gone, module unloading.
    Local,
}

impl DropReason {
    /// A name for logs and counters.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Violation(v) => v.name(),
            Self::Transport => "transport error",
            Self::Rejected => "rejected by the peer",
            Self::Version => "no common protocol version",
            Self::Timeout => "timed out",
            Self::Superseded => "superseded by the peer's request",
            Self::NoMemory => "out of memory",
            Self::Local => "closed locally",
        }
    }

    /// A name in one word, for programs.
    pub const fn token(self) -> &'static str {
        match self {
            Self::Violation(v) => v.token(),
            Self::Transport => "transport",
            Self::Rejected => "rejected",
            Self::Version => "version",
            Self::Timeout => "timeout",
            Self::Superseded => "superseded",
            Self::NoMemory => "no_memory",
            Self::Local => "local",
        }
    }
}

impl fmt::Display for DropReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;
    use std::format;

    #[test]
    fn every_reason_has_its_own_name() {
        let violations = [
            Violation::Header(WireError::Truncated),
            Violation::Header(WireError::Checksum),
            Violation::FragmentMismatch,
            Violation::FragmentShort,
            Violation::TooLong,
            Violation::AckBeyondSent,
            Violation::Opcode,
        ];
        let others = [
            DropReason::Transport,
            DropReason::Rejected,
            DropReason::Version,
            DropReason::Timeout,
            DropReason::Superseded,
            DropReason::NoMemory,
            DropReason::Local,
        ];
        let reasons = violations
            .map(DropReason::Violation)
            .into_iter()
            .chain(others);
        let names: BTreeSet<_> = reasons.clone().map(|r| format!("{r}")).collect();
        assert_eq!(names.len(), 14);
        let tokens: BTreeSet<_> = reasons.map(DropReason::token).collect();
        assert_eq!(tokens.len(), 14);
        // Tracepoints, which are C, call them the same.
        let events = include_str!("../tracepoints.h");
        for token in tokens {
            assert!(events.contains(&format!(", \"{token}\" }}")), "{token}");
        }
        assert_eq!(
            format!("{}", Violation::FragmentShort),
            "fragment too short (RDS 1.4)"
        );
        assert_eq!(format!("{}", WireError::Checksum), "bad checksum");
        assert_eq!(format!("{}", WireError::Truncated), "truncated");
        assert_eq!(Violation::AckBeyondSent.rule(), "1.1");
    }
}
