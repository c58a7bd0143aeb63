// SPDX-License-Identifier: GPL-2.0

//! Control messages that come with a message to send.
//!
//! The socket layer has copied them from user space, and turned those of 32-bit callers into the
//! native form. To answer with control messages, see [`RecvMsg::put`](super::RecvMsg::put).
//!
//! C header: [`include/linux/socket.h`](srctree/include/linux/socket.h) (`struct cmsghdr`)

use crate::bindings;
use core::mem::{
    offset_of,
    size_of, //
};
use kernel::prelude::*;

/// Length of a header.
const HEADER: usize = size_of::<bindings::cmsghdr>();

/// Headers start at multiples of this.
const ALIGN: usize = size_of::<usize>();

// The layout that the code of this file relies on.
static_assert!(HEADER % ALIGN == 0);
static_assert!(offset_of!(bindings::cmsghdr, cmsg_len) == 0);
static_assert!(offset_of!(bindings::cmsghdr, cmsg_level) == size_of::<usize>());
static_assert!(offset_of!(bindings::cmsghdr, cmsg_type) == size_of::<usize>() + 4);

/// A control message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cmsg<'a> {
    /// The protocol that it is for, such as `SOL_SOCKET`.
    pub level: i32,
    /// What it is, in the meaning of the level.
    pub kind: i32,
    /// What it says.
    pub data: &'a [u8],
}

/// The control messages in a buffer, in order.
///
/// A malformed one, whose length is less than that of its header or more than there is, gives
/// [`EINVAL`] and ends the iteration. Bytes at the end that are too few for a header are ignored.
#[derive(Clone, Debug)]
pub struct Cmsgs<'a> {
    rest: &'a [u8],
}

impl<'a> Cmsgs<'a> {
    /// Takes the bytes of a control buffer.
    pub const fn new(buffer: &'a [u8]) -> Self {
        Self { rest: buffer }
    }

    /// Whether there is none, malformed ones counted, left.
    #[inline]
    pub const fn is_empty(&self) -> bool {
        self.rest.len() < HEADER
    }
}

/// Returns `N` bytes from `offset` on.
fn bytes<const N: usize>(from: &[u8], offset: usize) -> Option<[u8; N]> {
    from.get(offset..)?.first_chunk().copied()
}

impl<'a> Iterator for Cmsgs<'a> {
    type Item = Result<Cmsg<'a>>;

    fn next(&mut self) -> Option<Result<Cmsg<'a>>> {
        let at = self.rest;
        if self.is_empty() {
            return None;
        }
        let len = usize::from_ne_bytes(bytes(at, 0)?);
        let level = i32::from_ne_bytes(bytes(at, ALIGN)?);
        let kind = i32::from_ne_bytes(bytes(at, ALIGN + 4)?);

        let Some(data) = at.get(HEADER..len) else {
            self.rest = &[];
            return Some(Err(EINVAL));
        };
        // The length is that of a slice: it is far from the largest number.
        self.rest = at.get(len.next_multiple_of(ALIGN)..).unwrap_or(&[]);
        Some(Ok(Cmsg { level, kind, data }))
    }
}

#[kunit_tests(krdma_net_cmsg)]
mod tests {
    use super::*;

    /// Writes a header.
    fn header(to: &mut [u8], len: usize, level: i32, kind: i32) {
        to[..8].copy_from_slice(&len.to_ne_bytes());
        to[8..12].copy_from_slice(&level.to_ne_bytes());
        to[12..16].copy_from_slice(&kind.to_ne_bytes());
    }

    #[test]
    fn they_come_in_order() {
        let mut buffer = [0; 48];
        header(&mut buffer, 19, 276, 2);
        buffer[16..19].copy_from_slice(&[1, 2, 3]);
        header(&mut buffer[24..], 16, 1, 9);

        let mut all = Cmsgs::new(&buffer[..40]);
        let first = all.next().unwrap().unwrap();
        assert_eq!((first.level, first.kind), (276, 2));
        assert_eq!(first.data, [1, 2, 3]);
        let second = all.next().unwrap().unwrap();
        assert_eq!((second.level, second.kind, second.data.len()), (1, 9, 0));
        assert!(all.next().is_none());
    }

    #[test]
    fn bad_lengths_are_refused() {
        for len in [0, 15, 33, usize::MAX, usize::MAX - 7] {
            let mut buffer = [0; 32];
            header(&mut buffer, len, 276, 2);

            let mut all = Cmsgs::new(&buffer);
            assert_eq!(all.next().unwrap().err(), Some(EINVAL));
            assert!(all.next().is_none());
        }
    }

    #[test]
    fn a_last_one_needs_no_padding() {
        let mut buffer = [0; 17];
        header(&mut buffer, 17, 276, 5);

        let mut all = Cmsgs::new(&buffer);
        assert_eq!(all.next().unwrap().unwrap().data, [0]);
        assert!(all.next().is_none());
        assert!(Cmsgs::new(&buffer[..15]).next().is_none());
    }
}
