// SPDX-License-Identifier: GPL-2.0

//! Reading fields out of bytes that the kernel wrote: total, whatever the length.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// `N` bytes at `at`, or `None` past the end.
pub(crate) fn array<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes
        .get(at..at.checked_add(N)?)
        .and_then(|piece| piece.try_into().ok())
}

pub(crate) fn u16_be(bytes: &[u8], at: usize) -> Option<u16> {
    array(bytes, at).map(u16::from_be_bytes)
}

pub(crate) fn u32(bytes: &[u8], at: usize) -> Option<u32> {
    array(bytes, at).map(u32::from_ne_bytes)
}

pub(crate) fn i32(bytes: &[u8], at: usize) -> Option<i32> {
    array(bytes, at).map(i32::from_ne_bytes)
}

pub(crate) fn u64(bytes: &[u8], at: usize) -> Option<u64> {
    array(bytes, at).map(u64::from_ne_bytes)
}

pub(crate) fn i64(bytes: &[u8], at: usize) -> Option<i64> {
    array(bytes, at).map(i64::from_ne_bytes)
}

pub(crate) fn usize(bytes: &[u8], at: usize) -> Option<usize> {
    array(bytes, at).map(usize::from_ne_bytes)
}

/// The C type `long`.
pub(crate) fn long(bytes: &[u8], at: usize) -> Option<i64> {
    if size_of::<usize>() == 8 {
        i64(bytes, at)
    } else {
        i32(bytes, at).map(i64::from)
    }
}

pub(crate) fn ipv4(bytes: &[u8], at: usize) -> Option<IpAddr> {
    array::<4>(bytes, at).map(|a| Ipv4Addr::from(a).into())
}

/// An IPv6 address; a mapped IPv4 address as what it stands for.
pub(crate) fn ipv6(bytes: &[u8], at: usize) -> Option<IpAddr> {
    array::<16>(bytes, at).map(|a| Ipv6Addr::from(a).to_canonical())
}

/// Text that ends at the first zero byte.
pub(crate) fn text(bytes: &[u8], at: usize, len: usize) -> Option<String> {
    let piece = bytes.get(at..at.checked_add(len)?)?;
    let end = piece.iter().position(|b| *b == 0).unwrap_or(len);
    Some(String::from_utf8_lossy(&piece[..end]).into_owned())
}
