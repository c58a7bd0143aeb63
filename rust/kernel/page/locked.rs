// SPDX-License-Identifier: GPL-2.0

//! What users may have of locked memory.
//!
//! C header: [`include/linux/skbuff.h`](srctree/include/linux/skbuff.h)

use crate::bindings;
use core::ptr;
use kernel::{
    error::to_result,
    prelude::*, //
};

/// Returns whether the current task may lock memory at all: whether its `RLIMIT_MEMLOCK` is not 0, or it may lock any amount.
pub fn may_lock() -> bool {
    // SAFETY: The function looks at the current task only.
    unsafe { bindings::can_do_mlock() }
}

/// Memory that counts as locked by a user.
///
/// # Invariants
///
/// If it names a user there is a reference to that, and so many pages were added to what the user has locked.
pub(super) struct Locked(bindings::ubuf_info_msgzc_mmpin);

impl Locked {
    /// Counts so many bytes, and two pages, for the current task's user.
    ///
    /// Errors: [`ENOMEM`] if these are more than `RLIMIT_MEMLOCK` lets it have.
    pub(super) fn new(len: usize) -> Result<Self> {
        let mut this = Self(bindings::ubuf_info_msgzc_mmpin {
            user: ptr::null_mut(),
            num_pg: 0,
        });

        // INVARIANT: If it succeeds it has entered the user and the number, or no user who may lock any amount. Else nothing.
        //
        // SAFETY: It names no user.
        to_result(unsafe { bindings::mm_account_pinned_pages(&raw mut this.0, len) })
            .map_err(|_| ENOMEM)?;
        Ok(this)
    }
}

impl Drop for Locked {
    fn drop(&mut self) {
        // SAFETY: By the type invariant.
        unsafe { bindings::mm_unaccount_pinned_pages(&raw mut self.0) };
    }
}
