// SPDX-License-Identifier: GPL-2.0

//! Values of socket options, as callers pass and get them.
//!
//! C headers: [`include/linux/sockptr.h`](srctree/include/linux/sockptr.h),
//! [`include/linux/net.h`](srctree/include/linux/net.h) (`sockopt_t`)

use crate::bindings;
use core::{
    marker::PhantomData,
    ptr, //
};
use kernel::{
    iov::IovIterDest,
    num::casts::u32_as_usize,
    prelude::*,
    types::NotThreadSafe, //
};

/// The value of an option to be set: memory of the caller, in user space or, for options that the
/// kernel sets, in the kernel.
///
/// # Invariants
///
/// If `ptr` is one of the kernel's, `len` bytes can be read there for `'a`.
pub struct OptionIn<'a> {
    ptr: bindings::sockptr_t,
    len: u32,
    _caller: PhantomData<&'a [u8]>,
    _thread: NotThreadSafe,
}

impl OptionIn<'_> {
    /// Takes the arguments of `setsockopt`.
    ///
    /// # Safety
    ///
    /// If `ptr` is one of the kernel's, `len` bytes must be valid for reads for the lifetime. If it
    /// is one of user space, the current task must be the caller for the lifetime.
    pub(crate) unsafe fn from_raw(ptr: bindings::sockptr_t, len: u32) -> Self {
        // INVARIANT: By the function's requirements.
        Self {
            ptr,
            len,
            _caller: PhantomData,
            _thread: NotThreadSafe,
        }
    }

    /// Returns the length that the caller told. It is at most `i32::MAX`.
    #[inline]
    pub fn len(&self) -> usize {
        u32_as_usize(self.len)
    }

    /// Returns whether the caller told the length 0.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Copies the first `N` bytes.
    ///
    /// Errors: [`EINVAL`] if there are less, [`EFAULT`] if they can't be read. May sleep.
    pub fn read<const N: usize>(&self) -> Result<[u8; N]> {
        let mut value = [0; N];
        if self.len() < N {
            return Err(EINVAL);
        }

        // SAFETY: `value` is `N` bytes. By the type invariant, so many can be read if the pointer is
        // the kernel's; otherwise the copy checks.
        let left = unsafe {
            bindings::copy_from_sockptr_offset(value.as_mut_ptr().cast(), self.ptr, 0, N)
        };
        if left == 0 {
            Ok(value)
        } else {
            Err(EFAULT)
        }
    }
}

/// Where the value of an option is to be stored.
pub struct OptionOut<'a> {
    opt: &'a mut bindings::sockopt,
}

impl OptionOut<'_> {
    /// Takes the argument of `getsockopt_iter`.
    ///
    /// # Safety
    ///
    /// `opt` must be valid, and its iterators usable by the current task, for `'a`; nothing else may
    /// use them.
    pub(crate) unsafe fn from_raw<'a>(opt: *mut bindings::sockopt) -> OptionOut<'a> {
        OptionOut {
            // SAFETY: By the function's requirements.
            opt: unsafe { &mut *opt },
        }
    }

    /// Returns the length that is told to the caller: at first that of the caller's buffer, which is
    /// never negative.
    #[inline]
    pub fn len(&self) -> i32 {
        self.opt.optlen
    }

    /// Returns whether [`len`](Self::len) is 0.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.opt.optlen == 0
    }

    /// Sets the length that is told to the caller.
    #[inline]
    pub fn set_len(&mut self, len: i32) {
        self.opt.optlen = len;
    }

    /// Stores bytes, after those that were stored before.
    ///
    /// Errors: [`EFAULT`] if the caller's buffer is too short or can't be written. May sleep.
    pub fn write(&mut self, bytes: &[u8]) -> Result {
        // SAFETY: We have the iterator exclusively, it is a destination, and by the requirements of
        // `from_raw` what it names may be written to.
        let iter = unsafe { IovIterDest::from_raw(ptr::from_mut(&mut self.opt.iter_out)) };

        if iter.copy_to_iter(bytes) == bytes.len() {
            Ok(())
        } else {
            Err(EFAULT)
        }
    }

    /// Stores a number as the whole value, as options that are an `int` do.
    ///
    /// Errors: [`EINVAL`] if the caller's buffer is too short, [`EFAULT`] if it can't be written.
    pub fn write_int(&mut self, value: i32) -> Result {
        let bytes = value.to_ne_bytes();
        let len = i32::try_from(bytes.len()).map_err(|_| EINVAL)?;
        if self.len() < len {
            return Err(EINVAL);
        }

        self.write(&bytes)?;
        self.set_len(len);
        Ok(())
    }
}
