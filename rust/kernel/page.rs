// SPDX-License-Identifier: GPL-2.0

//! Pages of memory that others may hold on to.
//!
//! C header: [`include/linux/mm.h`](srctree/include/linux/mm.h)

use crate::bindings;
use kernel::{
    page::Page,
    prelude::*, //
};

pub use kernel::page::PAGE_SIZE;

/// A page of memory that the kernel may refer to for longer than this exists, to read it: the network does so with what
/// was [sent without a copy](crate::net::tcp::Connection::send_pages).
///
/// When it is dropped the page goes with the last reference to it.
///
/// # Invariants
///
/// The page is in the linear mapping, and all of it is initialized. Whoever else refers to it only reads it, or, as who looks
/// at all pages of the host, does not even do that.
pub struct SharedPage(Page);

impl SharedPage {
    /// Allocates a page, of zeroes.
    ///
    /// Errors: [`ENOMEM`].
    pub fn new(flags: kernel::alloc::Flags) -> Result<Self> {
        let page = Page::alloc_page((flags | __GFP_ZERO) & !__GFP_HIGHMEM)?;

        // INVARIANT: It is no page of high memory, so it is mapped. It was zeroed, and is ours alone.
        Ok(Self(page))
    }

    /// Returns whether others refer to the page. If not, and nobody lends it, nobody reads it from here on. Any context.
    pub fn is_shared(&self) -> bool {
        // SAFETY: By the type invariant of `Page`, it is valid.
        unsafe { bindings::krdma_page_is_shared(self.as_raw()) }
    }

    /// Returns the bytes to be written, if nobody else refers to the page, even if only to look at it. Any context.
    pub fn bytes_mut(&mut self) -> Option<&mut [u8; PAGE_SIZE]> {
        if self.is_shared() {
            return None;
        }
        // SAFETY: By the type invariant, there are so many initialized bytes. Nobody else refers to the page, and who
        // would have the kernel do so needs a reference to this, which we have exclusively.
        Some(unsafe { &mut *self.address() })
    }

    /// Returns the bytes. Any context.
    #[inline]
    pub fn bytes(&self) -> &[u8; PAGE_SIZE] {
        // SAFETY: By the type invariant, there are so many initialized bytes, which nobody writes: we do so only by an
        // exclusive reference.
        unsafe { &*self.address() }
    }

    #[inline]
    fn address(&self) -> *mut [u8; PAGE_SIZE] {
        // SAFETY: By the type invariant of `Page`, it is valid.
        unsafe { bindings::krdma_page_address(self.as_raw()) }.cast()
    }

    pub(crate) fn as_raw(&self) -> *mut bindings::page {
        self.0.as_ptr()
    }
}

#[kunit_tests(krdma_page)]
mod tests {
    use super::*;

    #[test]
    fn a_new_page_is_zeroed_and_ours() -> Result {
        let mut page = SharedPage::new(GFP_KERNEL)?;

        assert!(!page.is_shared());
        assert!(page.bytes().iter().all(|byte| *byte == 0));
        page.bytes_mut().ok_or(EBUSY)?.fill(7);
        assert!(page.bytes().iter().all(|byte| *byte == 7));
        Ok(())
    }
}
