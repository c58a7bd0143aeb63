// SPDX-License-Identifier: GPL-2.0

//! What is the same for all processes: addresses, files of the kernel's, and where numbers are counted.

use crate::kinds::Counts;
use crate::options::Options;
use crate::plan::{Len, Name};
use crate::stock::Stock;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::atomic::AtomicU64;

/// Where in the table which addresses are.
pub mod names {
    use std::ops::Range;

    pub const LOOPBACK: u8 = 0;
    pub const LOOPBACKS: Range<u8> = 0..4;
    /// Of the RDMA devices.
    pub const LOCAL: Range<u8> = 4..10;
    /// Of nobody, or of none that RDS takes.
    pub const ODD: Range<u8> = 10..22;
    /// Of hosts that are not there.
    pub const FAR: Range<u8> = 22..26;
}

/// Ports of the bystander, which nobody sends to.
pub const BYSTANDER: [u16; 4] = [3000, 3001, 3002, 3003];

/// How many different messages there are.
pub const MESSAGES: u64 = 96;

/// Files that are read.
pub const LOOKS: [&str; 12] = [
    "/proc/net/protocols",
    "/proc/thread-self/net/protocols",
    "/proc/net/sockstat",
    "/proc/net/unix",
    "/proc/self/fdinfo/8",
    "/proc/self/fdinfo/9",
    "/proc/sys/net/rds/ping_enable",
    "/proc/sys/net/rds/ib/max_recv_allocation",
    "/proc/sys/net/rds/nothing",
    "/sys/kernel/debug/rrds/paths",
    "/sys/kernel/debug/rrds/devices",
    "/sys/module/rrds/refcnt",
];

/// Sysctls that are written to: those that let all others go on.
pub const TUNES: [&str; 8] = [
    "/proc/sys/net/rds/reconnect_min_delay_ms",
    "/proc/sys/net/rds/reconnect_max_delay_ms",
    "/proc/sys/net/rds/max_unacked_packets",
    "/proc/sys/net/rds/max_unacked_bytes",
    "/proc/sys/net/rds/ping_enable",
    "/proc/sys/net/rds/ib/max_send_wr",
    "/proc/sys/net/rds/ib/max_recv_wr",
    "/proc/sys/net/rds/ib/max_unsignaled_wr",
];

/// What is written.
pub const TEXTS: [&str; 10] = [
    "0",
    "1",
    "2",
    "16",
    "256",
    "-1",
    "",
    "many",
    "99999999999999999999",
    " 64 8\n",
];

/// What all processes have.
pub struct World {
    pub seed: u64,
    pub options: Options,
    pub stock: Stock,
    pub counts: Counts,
    /// The kernel has `io_uring`.
    pub rings: bool,
    /// They are to end.
    pub stop: &'static AtomicU64,
    /// Steps that are done, of the process in each lane.
    pub steps: &'static [AtomicU64],
    /// Where files are handed over: in here, out there.
    pub post: (i32, i32),
    addresses: Vec<(IpAddr, u32)>,
}

impl World {
    pub fn new(
        seed: u64,
        options: Options,
        stock: Stock,
        counts: Counts,
        rings: bool,
        stop: &'static AtomicU64,
        steps: &'static [AtomicU64],
    ) -> Self {
        let addresses = addresses(&options);
        Self {
            seed,
            options,
            stock,
            counts,
            rings,
            stop,
            steps,
            post: (-1, -1),
            addresses,
        }
    }

    /// A `sockaddr`, and the length to pass for it.
    pub fn sockaddr(&self, name: &Name) -> ([u8; 28], usize, i32) {
        let mut raw = [0; 28];
        raw[2..4].copy_from_slice(&name.port.to_be_bytes());
        let (family, len) = match self.addresses.get(usize::from(name.at)) {
            Some((IpAddr::V4(ip), _)) => {
                raw[4..8].copy_from_slice(&ip.octets());
                (libc::AF_INET as u16, 16)
            }
            Some((IpAddr::V6(ip), scope)) => {
                raw[8..24].copy_from_slice(&ip.octets());
                raw[24..].copy_from_slice(&scope.to_ne_bytes());
                (libc::AF_INET6 as u16, 28)
            }
            None => (99, 28),
        };
        raw[..2].copy_from_slice(&family.to_ne_bytes());
        let told = match name.len {
            Len::Right => len as i32,
            Len::Is(len) => len,
        };
        (raw, len, told)
    }
}

/// The table of addresses: see [`names`].
fn addresses(options: &Options) -> Vec<(IpAddr, u32)> {
    let v4 = |a, b, c, d| IpAddr::V4(Ipv4Addr::new(a, b, c, d));
    let v6 = |text: &str| IpAddr::V6(text.parse().unwrap_or(Ipv6Addr::UNSPECIFIED));
    let mapped = |ip| match ip {
        IpAddr::V4(ip) => IpAddr::V6(ip.to_ipv6_mapped()),
        other => other,
    };
    let [first, second] = &options.devices;
    let [far, other_far, far6] = options.far;
    vec![
        (v4(127, 0, 0, 1), 0),
        (v4(127, 0, 0, 2), 0),
        (v6("::1"), 0),
        (v6("::ffff:127.0.0.1"), 0),
        // Local.
        (first.v4, 0),
        (second.v4, 0),
        (first.v6, 0),
        (second.v6, 0),
        (first.link, first.index),
        (second.link, second.index),
        // Odd: another interface, none, that of the loopback device, one that is not there.
        (first.link, second.index),
        (first.link, 0),
        (v6("fe80::1"), 1),
        (v6("fe80::1"), 99),
        (v4(192, 0, 2, 1), 0),
        (mapped(first.v4), 0),
        (v4(0, 0, 0, 0), 0),
        (v6("::"), 0),
        (v4(224, 0, 0, 1), 0),
        (v4(255, 255, 255, 255), 0),
        (v6("ff02::1"), first.index),
        (v6("::ffff:224.0.0.1"), 0),
        // Far.
        (far, 0),
        (other_far, 0),
        (far6, 0),
        (v6("fe80::dead"), first.index),
        // After these: no address at all.
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_has_what_the_numbers_say() {
        let table = addresses(&Options::default());
        assert_eq!(table.len(), usize::from(names::FAR.end));
        for at in names::LOOPBACKS {
            assert!(table[usize::from(at)].0.to_canonical().is_loopback());
        }
        assert_eq!(names::LOOPBACKS.end, names::LOCAL.start);
        assert_eq!(names::LOCAL.end, names::ODD.start);
        assert_eq!(names::ODD.end, names::FAR.start);
    }
}
