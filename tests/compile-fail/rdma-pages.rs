// SPDX-License-Identifier: GPL-2.0

//! Pages are written by who has them alone: not by two at a time, and not while they are a region's.

use kernel::prelude::*;
use krdma::rdma::{dma::PageList, Mr};

/// Compiles.
pub fn read(pages: &PageList, bytes: &mut [u8]) -> Result {
    pages.read(0, bytes)
}

/// Two could do so at a time.
pub fn shared(pages: &PageList) -> Result {
    pages.write(0, &[1]) //~ E0596
}

/// A peer might be at it.
pub fn exposed(mr: &Mr) -> Result {
    mr.pages().ok_or(ENOENT)?.write(0, &[1]) //~ E0596
}
