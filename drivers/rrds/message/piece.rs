// SPDX-License-Identifier: GPL-2.0

//! The memory of a piece of a message.

use core::ops::Deref;
use kernel::prelude::*;
use krdma::page::{
    SharedPage,
    PAGE_SIZE, //
};
use rds_proto::consts::FRAGMENT_BYTES;

/// Whether a fragment takes a page. Else pages are not used.
pub(crate) const IS_PAGE: bool = FRAGMENT_BYTES == PAGE_SIZE;

/// The memory of a piece of a message.
pub(crate) enum Piece {
    /// From `kmalloc`.
    Slab(KVec<u8>),
    /// A fragment that can be sent without a copy, where that takes pages.
    Page(SharedPage),
}

impl Piece {
    /// Returns the memory that it takes.
    pub(super) fn room(&self) -> usize {
        match self {
            Self::Slab(bytes) => bytes.capacity(),
            Self::Page(_) => PAGE_SIZE,
        }
    }
}

impl Deref for Piece {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        match self {
            Self::Slab(bytes) => bytes,
            Self::Page(page) => page.bytes(),
        }
    }
}

impl From<KVec<u8>> for Piece {
    fn from(bytes: KVec<u8>) -> Self {
        Self::Slab(bytes)
    }
}

impl From<SharedPage> for Piece {
    fn from(page: SharedPage) -> Self {
        Self::Page(page)
    }
}
