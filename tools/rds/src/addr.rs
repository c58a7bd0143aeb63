// SPDX-License-Identifier: GPL-2.0

//! Addresses: between Rust's and the kernel's, from text, and which of ours leads to a peer.

use crate::bytes;
use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6, UdpSocket};
use std::path::Path;

/// An address as the kernel wants it: a `sockaddr_in` or `sockaddr_in6`.
#[derive(Clone, Copy)]
pub(crate) struct Raw {
    bytes: [u8; 28],
    len: usize,
}

impl Raw {
    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.len]
    }
}

impl From<SocketAddr> for Raw {
    fn from(addr: SocketAddr) -> Self {
        let mut bytes = [0; 28];
        bytes[2..4].copy_from_slice(&addr.port().to_be_bytes());
        let (family, len) = match addr {
            SocketAddr::V4(v4) => {
                bytes[4..8].copy_from_slice(&v4.ip().octets());
                (libc::AF_INET, 16)
            }
            SocketAddr::V6(v6) => {
                bytes[4..8].copy_from_slice(&v6.flowinfo().to_be_bytes());
                bytes[8..24].copy_from_slice(&v6.ip().octets());
                bytes[24..28].copy_from_slice(&v6.scope_id().to_ne_bytes());
                (libc::AF_INET6, 28)
            }
        };
        bytes[..2].copy_from_slice(&(family as u16).to_ne_bytes());
        Self { bytes, len }
    }
}

/// The address in a `sockaddr`; `None` if it is no IP address, or cut short.
pub(crate) fn decode(raw: &[u8]) -> Option<SocketAddr> {
    let family = i32::from(bytes::array(raw, 0).map(u16::from_ne_bytes)?);
    let port = bytes::u16_be(raw, 2)?;
    match family {
        libc::AF_INET if raw.len() >= 16 => {
            Some((Ipv4Addr::from(bytes::array::<4>(raw, 4)?), port).into())
        }
        libc::AF_INET6 => {
            let flow = bytes::array(raw, 4).map(u32::from_be_bytes)?;
            let ip = Ipv6Addr::from(bytes::array::<16>(raw, 8)?);
            let scope = bytes::u32(raw, 24)?;
            Some(SocketAddrV6::new(ip, port, flow, scope).into())
        }
        _ => None,
    }
}

/// Why some text is no address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AddrError(String);

impl fmt::Display for AddrError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl std::error::Error for AddrError {}

/// An address whose port may be left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// Address, and scope if it is link-local.
    pub ip: IpAddr,
    /// Number of the network device that a link-local address belongs to, else 0.
    pub scope: u32,
    /// Port, if there was one.
    pub port: Option<u16>,
}

impl Endpoint {
    /// With the given port where none was said.
    pub fn or_port(self, port: u16) -> SocketAddr {
        let port = self.port.unwrap_or(port);
        match self.ip {
            IpAddr::V4(ip) => (ip, port).into(),
            IpAddr::V6(ip) => SocketAddrV6::new(ip, port, 0, self.scope).into(),
        }
    }
}

/// The number of a network device.
fn device_index(name: &str) -> Option<u32> {
    if let Ok(index) = name.parse() {
        return Some(index);
    }
    if name.contains('/') {
        return None;
    }
    let file = Path::new("/sys/class/net").join(name).join("ifindex");
    std::fs::read_to_string(file).ok()?.trim().parse().ok()
}

/// The name of the network device with this number, or the number.
pub fn scope_name(index: u32) -> String {
    let named = std::fs::read_dir("/sys/class/net").ok().and_then(|all| {
        all.flatten()
            .filter_map(|entry| entry.file_name().into_string().ok())
            .find(|name| device_index(name) == Some(index))
    });
    named.unwrap_or_else(|| index.to_string())
}

/// An address with an optional scope: `10.0.0.1`, `fd00::1`, `fe80::1%eth0`.
///
/// # Errors
///
/// Says what is wrong with the text. Names of hosts are not looked up.
pub fn parse_ip(text: &str) -> Result<(IpAddr, u32), AddrError> {
    let (plain, scope) = match text.split_once('%') {
        None => (text, 0),
        Some((plain, device)) => {
            let index = device_index(device)
                .ok_or_else(|| AddrError(format!("{text}: no network device {device}")))?;
            (plain, index)
        }
    };
    let ip: IpAddr = plain
        .parse()
        .map_err(|_| AddrError(format!("{text} is no IPv4 or IPv6 address")))?;
    if scope != 0 && ip.is_ipv4() {
        return Err(AddrError(format!("{text}: an IPv4 address has no scope")));
    }
    if let IpAddr::V6(v6) = ip {
        if v6.is_unicast_link_local() && scope == 0 {
            return Err(AddrError(format!(
                "{text} is link-local: name the device, as in {plain}%eth0"
            )));
        }
    }
    Ok((ip, scope))
}

/// An address with an optional port: `10.0.0.1:4000`, `[fd00::1]:4000`, `[fe80::1%eth0]:4000`,
/// or any address of [`parse_ip`] alone.
///
/// # Errors
///
/// Says what is wrong with the text.
pub fn parse_endpoint(text: &str) -> Result<Endpoint, AddrError> {
    let (host, port) = if let Some(rest) = text.strip_prefix('[') {
        let (host, rest) = rest
            .split_once(']')
            .ok_or_else(|| AddrError(format!("{text}: no closing ]")))?;
        (
            host,
            rest.strip_prefix(':')
                .or(if rest.is_empty() { None } else { Some(rest) }),
        )
    } else if text.matches(':').count() == 1 {
        let (host, port) = text.split_once(':').unwrap_or((text, ""));
        (host, Some(port))
    } else {
        (text, None)
    };
    let port = port
        .map(|port| {
            port.parse()
                .map_err(|_| AddrError(format!("{text}: {port:?} is no port")))
        })
        .transpose()?;
    let (ip, scope) = parse_ip(host)?;
    Ok(Endpoint { ip, scope, port })
}

/// Our own address from which the routes lead to `peer`, with port 0: what to bind to.
///
/// # Errors
///
/// What the kernel says when there is no route.
pub fn source_for(peer: SocketAddr) -> io::Result<SocketAddr> {
    let any: IpAddr = match peer {
        SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    // Connecting a UDP socket sends nothing. Its port must not be 0.
    let probe = UdpSocket::bind((any, 0))?;
    let mut to = peer;
    to.set_port(9);
    probe.connect(to)?;
    let mut source = probe.local_addr()?;
    source.set_port(0);
    Ok(source)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_and_back() {
        for text in ["10.0.0.1:4000", "[fd00::7]:1", "[fe80::1%3]:65535"] {
            let addr: SocketAddr = text.parse().unwrap();
            assert_eq!(decode(Raw::from(addr).as_bytes()), Some(addr));
        }
        let raw = Raw::from("10.1.2.3:258".parse::<SocketAddr>().unwrap());
        assert_eq!(
            raw.as_bytes(),
            [2, 0, 1, 2, 10, 1, 2, 3, 0, 0, 0, 0, 0, 0, 0, 0]
        );
    }

    #[test]
    fn cut_short_is_none() {
        for addr in ["10.0.0.1:4000", "[fd00::7]:1"] {
            let raw = Raw::from(addr.parse::<SocketAddr>().unwrap());
            for len in 0..raw.as_bytes().len() {
                assert_eq!(decode(&raw.as_bytes()[..len]), None, "{addr} cut to {len}");
            }
        }
        assert_eq!(decode(&[0; 28]), None);
    }

    #[test]
    fn endpoints() {
        let end = |text: &str| parse_endpoint(text).map(|e| e.or_port(7).to_string());
        assert_eq!(end("10.0.0.1").as_deref(), Ok("10.0.0.1:7"));
        assert_eq!(end("10.0.0.1:0").as_deref(), Ok("10.0.0.1:0"));
        assert_eq!(end("fd00::1").as_deref(), Ok("[fd00::1]:7"));
        assert_eq!(end("[fd00::1]").as_deref(), Ok("[fd00::1]:7"));
        assert_eq!(end("[fe80::1%2]:9").as_deref(), Ok("[fe80::1%2]:9"));
        for bad in [
            "",
            ":",
            "10.0.0",
            "10.0.0.1:",
            "10.0.0.1:65536",
            "[fd00::1",
            "[fd00::1]x",
            "fe80::1",
            "10.0.0.1%lo",
            "fe80::1%no/such",
            "host:1",
        ] {
            assert!(end(bad).is_err(), "{bad:?} was taken for {:?}", end(bad));
        }
    }

    #[test]
    fn source_of_loopback() {
        let source = source_for("127.0.0.2:0".parse().unwrap()).unwrap();
        assert_eq!(source.to_string(), "127.0.0.1:0");
    }
}
