// SPDX-License-Identifier: GPL-2.0

//! Pages of memory that others may hold on to.
//!
//! C header: [`include/linux/mm.h`](srctree/include/linux/mm.h)

mod lent;
mod locked;
mod pinned;

pub use kernel::page::PAGE_SIZE;
pub use lent::LentPages;
pub use locked::may_lock;
pub use pinned::{
    PinnedPages,
    UserRange, //
};

use crate::bindings;
use core::{
    marker::PhantomData,
    ptr::NonNull, //
};
use kernel::{
    page::Page,
    prelude::*, //
};

/// A part of a page that is there for `'a`, for what reads the page without a copy, as
/// [`Connection::send_pages`](crate::net::tcp::Connection::send_pages).
///
/// # Invariants
///
/// The page is valid for `'a`, and the network may hold on to it. The part has at least one byte, and lies within it.
#[derive(Clone, Copy)]
pub struct PagePart<'a> {
    page: NonNull<bindings::page>,
    offset: usize,
    len: usize,
    _page: PhantomData<&'a ()>,
}

impl PagePart<'_> {
    /// Returns how many bytes the part has.
    #[allow(clippy::len_without_is_empty)] // None is empty.
    pub fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn to_raw(self) -> bindings::bio_vec {
        bindings::bio_vec {
            bv_page: self.page.as_ptr(),
            // CAST: A page is not that long.
            bv_len: self.len as c_uint,
            bv_offset: self.offset as c_uint,
        }
    }
}

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

    /// Returns the bytes from `offset` up to `end`; none if there are no such bytes. Any context.
    pub fn part(&self, offset: usize, end: usize) -> Option<PagePart<'_>> {
        let len = end
            .min(PAGE_SIZE)
            .checked_sub(offset)
            .filter(|len| *len > 0)?;

        // INVARIANT: The page is valid as long as it is borrowed, and was allocated as a whole.
        Some(PagePart {
            page: NonNull::new(self.as_raw())?,
            offset,
            len,
            _page: PhantomData,
        })
    }

    #[inline]
    fn address(&self) -> *mut [u8; PAGE_SIZE] {
        // SAFETY: By the type invariant of `Page`, it is valid.
        unsafe { bindings::krdma_page_address(self.as_raw()) }.cast()
    }

    fn as_raw(&self) -> *mut bindings::page {
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

    #[test]
    fn a_part_ends_with_the_page() -> Result {
        let page = SharedPage::new(GFP_KERNEL)?;

        let len = |offset, end| page.part(offset, end).map(|part| part.len());

        assert_eq!(len(0, PAGE_SIZE), Some(PAGE_SIZE));
        assert_eq!(len(PAGE_SIZE - 1, usize::MAX), Some(1));
        assert_eq!(len(3, 10), Some(7));
        assert_eq!((len(10, 10), len(11, 10)), (None, None));
        assert_eq!(len(PAGE_SIZE, usize::MAX), None);
        assert_eq!(len(usize::MAX, usize::MAX), None);
        Ok(())
    }
}
