// SPDX-License-Identifier: GPL-2.0

//! Reading fields out of bytes that the kernel wrote: total, whatever the length.

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
