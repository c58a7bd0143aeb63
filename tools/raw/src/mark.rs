// SPDX-License-Identifier: GPL-2.0

//! Marks for an emulator that counts instructions.

use std::arch::asm;

/// Where counting begins or ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mark {
    /// Everything that the machine does is counted from here on.
    Begin,
    /// The counts are written.
    End,
}

/// Marks a place for `tools/insns`. Nothing happens where no emulator has that.
pub fn mark(mark: Mark) {
    // SAFETY: It is a no-op. The processor does not access the memory that its operand names.
    unsafe {
        match mark {
            Mark::Begin => asm!(".byte 0x0f, 0x1f, 0x80", ".long 0x52445301"),
            Mark::End => asm!(".byte 0x0f, 0x1f, 0x80", ".long 0x52445300"),
        }
    }
}
