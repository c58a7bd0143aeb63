// SPDX-License-Identifier: GPL-2.0

//! Addresses of hosts.

use core::{
    fmt,
    net::Ipv6Addr, //
};

/// An IPv6 address, or an IPv4 address in its mapped form, in network order.
///
/// The order is that of the bytes, which both ends of a connection see alike; it decides connect
/// races between peers of our own kind.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Addr(pub [u8; 16]);

/// The two address families, which differ in the private data of connection requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// IPv4, port 18634.
    V4,
    /// IPv6, port 16385.
    V6,
}

impl Addr {
    /// The mapped form of an IPv4 address.
    pub const fn v4(ip: [u8; 4]) -> Self {
        let [a, b, c, d] = ip;
        Self([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, a, b, c, d])
    }

    /// The IPv4 address, if this is one.
    pub const fn to_v4(self) -> Option<[u8; 4]> {
        let bits = u128::from_be_bytes(self.0);

        // CAST: The lower half of the lower half is the IPv4 address.
        match bits >> 32 {
            0xffff => Some((bits as u32).to_be_bytes()),
            _ => None,
        }
    }

    /// The family that connections with this address belong to.
    pub const fn family(self) -> Family {
        match self.to_v4() {
            Some(_) => Family::V4,
            None => Family::V6,
        }
    }

    /// Whether this is an address of the host itself, which no other host is reached at.
    pub fn is_loopback(self) -> bool {
        match self.to_v4() {
            Some([first, ..]) => first == 127,
            None => Ipv6Addr::from(self.0).is_loopback(),
        }
    }

    /// Whether what is sent to a port goes to this address, given the port's identifier if that is an
    /// address.
    pub fn is_reached_at(self, identifier: Option<[u8; 16]>) -> bool {
        identifier.is_none_or(|identifier| identifier == self.0)
    }
}

impl fmt::Debug for Addr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.to_v4() {
            Some([a, b, c, d]) => write!(f, "{a}.{b}.{c}.{d}"),
            None => {
                let mut sep = "";
                for word in 0..8_usize {
                    let [hi, lo] = [2 * word, 2 * word + 1].map(|i| self.0.get(i).copied());
                    let word = u16::from_be_bytes([hi.unwrap_or(0), lo.unwrap_or(0)]);
                    write!(f, "{sep}{word:x}")?;
                    sep = ":";
                }
                Ok(())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::format;

    #[test]
    fn mapped_addresses_are_ipv4() {
        let a = Addr::v4([10, 0, 0, 1]);
        assert_eq!(a.to_v4(), Some([10, 0, 0, 1]));
        assert_eq!(a.family(), Family::V4);
        assert_eq!(format!("{a:?}"), "10.0.0.1");
    }

    #[test]
    fn others_are_ipv6() {
        let mut a = Addr([0; 16]);
        a.0[0] = 0xfe;
        a.0[1] = 0x80;
        a.0[15] = 1;
        assert_eq!(a.to_v4(), None);
        assert_eq!(a.family(), Family::V6);
        assert_eq!(format!("{a:?}"), "fe80:0:0:0:0:0:0:1");
    }

    #[test]
    fn loopback_is_known_in_both_families() {
        let last = |byte| Addr(u128::from(byte).to_be_bytes());

        assert!(Addr::v4([127, 0, 0, 1]).is_loopback());
        assert!(Addr::v4([127, 255, 255, 254]).is_loopback());
        assert!(last(1_u8).is_loopback());
        for other in [
            Addr::v4([126, 255, 255, 255]),
            Addr::v4([128, 0, 0, 1]),
            last(0),
            last(2),
            // `::127.0.0.1` is none.
            Addr(0x7f00_0001_u128.to_be_bytes()),
        ] {
            assert!(!other.is_loopback(), "{other:?}");
        }
    }

    #[test]
    fn another_identifier_is_another_address() {
        let (v4, v6) = (Addr::v4([10, 0, 0, 1]), Addr([0xfd; 16]));

        for addr in [v4, v6] {
            assert!(addr.is_reached_at(Some(addr.0)));
            // Each bit counts.
            for bit in 0..128 {
                let other = u128::from_be_bytes(addr.0) ^ (1 << bit);
                assert!(!addr.is_reached_at(Some(other.to_be_bytes())));
            }
        }
        assert!(!v4.is_reached_at(Some(v6.0)));
        // Where identifiers are no addresses they tell nothing.
        assert!(v4.is_reached_at(None));
    }

    #[test]
    fn order_is_by_bytes() {
        assert!(Addr::v4([10, 0, 0, 1]) < Addr::v4([10, 0, 1, 0]));
    }
}
