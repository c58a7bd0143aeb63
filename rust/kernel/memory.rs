// SPDX-License-Identifier: GPL-2.0

//! How much memory the host has.
//!
//! C header: [`include/linux/mm.h`](srctree/include/linux/mm.h)

use crate::bindings;
use kernel::num::casts::usize_as_u64;

/// Returns the bytes of memory that the host has, less what the kernel took when it was booted.
///
/// For limits that follow the size of the host. Any context.
pub fn total_bytes() -> u64 {
    let mut info = bindings::sysinfo::default();

    // SAFETY: The function fills in the structure.
    unsafe { bindings::si_meminfo(&mut info) };
    let unit = u64::from(info.mem_unit);
    usize_as_u64(info.totalram).saturating_mul(unit)
}
