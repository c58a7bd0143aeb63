// SPDX-License-Identifier: GPL-2.0

//! The wall clock.
//!
//! C header: [`include/linux/timekeeping.h`](srctree/include/linux/timekeeping.h)

use crate::bindings;

/// Returns the nanoseconds since 1970, as this host believes. Any context.
#[inline]
pub fn wall_clock_ns() -> u64 {
    // SAFETY: The function has no requirements.
    let ns = unsafe { bindings::ktime_get_with_offset(bindings::tk_offsets_TK_OFFS_REAL) };

    u64::try_from(ns).unwrap_or(0)
}
