// SPDX-License-Identifier: GPL-2.0

//! Names of devices, for people to read.

use kernel::{
    fmt,
    prelude::*,
    str::BStr, //
};

/// A name of a network interface or an RDMA device, copied out of a C array of `N` bytes.
#[derive(Clone, Copy)]
pub struct Name<const N: usize> {
    bytes: [u8; N],
}

impl<const N: usize> Name<N> {
    /// Copies a C string that another thread may be changing.
    ///
    /// The result is the old string, the new one or a mixture, and never longer than `N` bytes.
    ///
    /// # Safety
    ///
    /// `src` must be valid for reads up to and including its first zero byte or for `N` bytes,
    /// whichever is shorter, even while the string is being changed.
    pub(crate) unsafe fn copy_from(src: *const c_char) -> Self {
        let mut bytes = [0; N];

        for (i, byte) in bytes.iter_mut().enumerate() {
            // SAFETY: No earlier byte was zero and `i < N`, so the byte may be read by the
            // function's requirements. It is read once, as C's READ_ONCE does.
            *byte = unsafe { src.add(i).read_volatile() };
            if *byte == 0 {
                break;
            }
        }
        Self { bytes }
    }

    /// Returns the name without its end mark.
    pub fn as_bytes(&self) -> &[u8] {
        let len = self.bytes.iter().position(|&b| b == 0).unwrap_or(N);

        self.bytes.get(..len).unwrap_or(&self.bytes)
    }
}

impl<const N: usize> fmt::Display for Name<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(BStr::from_bytes(self.as_bytes()), f)
    }
}

#[kunit_tests(krdma_name)]
mod tests {
    use super::*;

    /// Copies a name from memory that has more behind it.
    fn copied(from: &[u8; 8]) -> Name<4> {
        // SAFETY: There are more bytes than the name has.
        unsafe { Name::copy_from(from.as_ptr().cast()) }
    }

    #[test]
    fn the_end_mark_ends_it() {
        assert_eq!(copied(b"a\0bcdefg").as_bytes(), b"a");
        assert_eq!(copied(b"\0abcdefg").as_bytes(), b"");
    }

    #[test]
    fn without_an_end_mark_the_array_ends_it() {
        assert_eq!(copied(b"abcdefgh").as_bytes(), b"abcd");
        assert_eq!(copied(b"abc\0defg").as_bytes(), b"abc");
    }
}
