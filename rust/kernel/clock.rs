// SPDX-License-Identifier: GPL-2.0

//! The wall clock, and times as timers take them.
//!
//! C headers: [`include/linux/timekeeping.h`](srctree/include/linux/timekeeping.h),
//! [`include/linux/jiffies.h`](srctree/include/linux/jiffies.h)

use crate::bindings;
use kernel::time::{
    msecs_to_jiffies,
    Delta,
    Jiffies, //
};

/// Returns the nanoseconds since 1970, as this host believes. Any context.
#[inline]
pub fn wall_clock_ns() -> u64 {
    // SAFETY: The function has no requirements.
    let ns = unsafe { bindings::ktime_get_with_offset(bindings::tk_offsets_TK_OFFS_REAL) };

    u64::try_from(ns).unwrap_or(0)
}

/// Returns a time in jiffies, none if it is negative. Any context.
pub(crate) fn jiffies(time: Delta) -> Jiffies {
    msecs_to_jiffies(u32::try_from(time.as_millis_ceil().max(0)).unwrap_or(u32::MAX))
}
