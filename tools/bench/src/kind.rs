// SPDX-License-Identifier: GPL-2.0

//! The kinds of sockets that are measured.

use rds::MAX_MESSAGE;
use std::fmt;
use std::str::FromStr;

/// The longest datagram of UDP over IPv4.
const UDP_MESSAGE: usize = 65_507;

/// A kind of sockets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// RDS, by the number of the address family.
    Rds(u16),
    /// TCP, with `TCP_NODELAY` or without. A message is so many bytes of the stream.
    Tcp { nodelay: bool },
    /// UDP.
    Udp,
    /// A pair of UNIX sockets with `SOCK_SEQPACKET`.
    Unix,
}

impl Kind {
    /// How many bytes a message of `size` has: less where so many do not fit into one. `None`: far less.
    pub fn fits(self, size: usize) -> Option<usize> {
        match self {
            Self::Rds(_) if size > MAX_MESSAGE => None,
            Self::Udp if size > UDP_MESSAGE + 1024 => None,
            Self::Udp => Some(size.min(UDP_MESSAGE)),
            _ => Some(size),
        }
    }

    /// Whether its sockets have addresses of the host's devices.
    pub fn has_addresses(self) -> bool {
        self != Self::Unix
    }

    /// Whether a type of service is a connection of its own.
    pub fn has_types_of_service(self) -> bool {
        matches!(self, Self::Rds(_))
    }
}

impl FromStr for Kind {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "tcp" => Ok(Self::Tcp { nodelay: true }),
            "nagle" => Ok(Self::Tcp { nodelay: false }),
            "udp" => Ok(Self::Udp),
            "unix" => Ok(Self::Unix),
            number => number.parse().map(Self::Rds).map_err(|_| {
                format!("{text:?} is neither a number of an address family nor one of tcp, nagle, udp, unix")
            }),
        }
    }
}

/// As a value of JSON.
impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rds(number) => number.fmt(f),
            Self::Tcp { nodelay: true } => f.write_str("\"tcp\""),
            Self::Tcp { nodelay: false } => f.write_str("\"nagle\""),
            Self::Udp => f.write_str("\"udp\""),
            Self::Unix => f.write_str("\"unix\""),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_and_written() {
        for name in ["tcp", "nagle", "udp", "unix"] {
            let kind: Kind = name.parse().unwrap();
            assert_eq!(kind.to_string(), format!("{name:?}"));
        }
        assert_eq!("27".parse(), Ok(Kind::Rds(27)));
        assert_eq!(Kind::Rds(27).to_string(), "27");
        assert!("sctp".parse::<Kind>().is_err());
    }

    #[test]
    fn a_datagram_has_a_longest_length() {
        assert_eq!(Kind::Udp.fits(64), Some(64));
        assert_eq!(Kind::Udp.fits(64 << 10), Some(UDP_MESSAGE));
        assert_eq!(Kind::Udp.fits(1 << 20), None);
        assert_eq!(Kind::Rds(21).fits(1 << 20), Some(1 << 20));
        assert_eq!(Kind::Rds(21).fits((1 << 20) + 1), None);
        assert_eq!(Kind::Unix.fits(1 << 20), Some(1 << 20));
    }
}
