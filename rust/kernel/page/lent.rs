// SPDX-License-Identifier: GPL-2.0

//! Memory of programs that is read in place.
//!
//! C header: [`include/linux/skbuff.h`](srctree/include/linux/skbuff.h)

use super::{
    locked::Locked,
    PagePart,
    PAGE_SIZE, //
};
use crate::bindings;
use core::{
    marker::PhantomData,
    ptr::{
        self,
        NonNull, //
    },
};
use kernel::{
    iov::IovIterSource,
    prelude::*, //
};

/// How many pages are taken at once.
const AT_ONCE: usize = 16;

/// The pages of memory that a program has lent, see [`SendMsg::lend`](crate::net::SendMsg::lend).
///
/// The program may write there all the while, so nothing here shows the bytes: they can be handed on only. The pages count
/// as locked memory of the program's user, as with `MSG_ZEROCOPY` of TCP, until this is dropped; but of a page that is part of a
/// huge one all of that stays. Whoever was handed pages may refer to them for longer, when they count
/// no more.
///
/// May be dropped in any context.
///
/// # Invariants
///
/// Each part has a reference of ours to its page, which is a program's. It has at least one byte, from `offset` on, within
/// the page, and ends with the byte `end` of the whole: their ends grow.
pub struct LentPages {
    parts: KVec<Part>,
    _locked: Locked,
}

struct Part {
    page: NonNull<bindings::page>,
    offset: u32,
    end: u32,
}

// SAFETY: References to pages may be given up by any thread, and so may what a user has locked: that is counted by atomic
// operations.
unsafe impl Send for LentPages {}

// SAFETY: By a shared reference only the list is read, which does not change.
unsafe impl Sync for LentPages {}

impl LentPages {
    /// Takes the next `len` bytes of a caller's memory.
    ///
    /// Errors: [`ENOMEM`], also if the user has too much locked memory (`RLIMIT_MEMLOCK`); [`EFAULT`] if the memory can't be
    /// read or is no program's, or there are fewer bytes; [`EINVAL`] if there are none, or 4 GiB. Sleeps.
    pub(crate) fn take(
        from: &mut IovIterSource<'_>,
        len: usize,
        flags: kernel::alloc::Flags,
    ) -> Result<Self> {
        if len == 0 || u32::try_from(len).is_err() {
            return Err(EINVAL);
        }
        // SAFETY: It is a valid iterator, which is only read.
        if from.len() < len || !unsafe { bindings::krdma_iter_is_user(from.as_raw()) } {
            return Err(EFAULT);
        }

        // Pages of all that is left in the iterator, which may be more. SAFETY: As above.
        let count = unsafe { bindings::iov_iter_npages(from.as_raw(), c_int::MAX) };
        let count = usize::try_from(count).map_err(|_| EFAULT)?;
        let mut this = Self {
            _locked: Locked::new(len.max(count.saturating_sub(2).saturating_mul(PAGE_SIZE)))?,
            parts: KVec::with_capacity(count, flags)?,
        };

        let mut left = len;
        while left > 0 {
            left = left.saturating_sub(this.take_some(from, left)?);
        }
        Ok(this)
    }

    /// Takes some of the next `most` bytes. Returns how many.
    ///
    /// Errors: [`EFAULT`] if there are none. Sleeps.
    fn take_some(&mut self, from: &mut IovIterSource<'_>, most: usize) -> Result<usize> {
        let mut pages = [ptr::null_mut(); AT_ONCE];
        let mut offset = 0;

        // SAFETY: It is a valid source of memory of a program, so each page that it gives is with a reference. There is room
        // for as many as are asked for.
        let got = unsafe {
            bindings::iov_iter_get_pages2(
                from.as_raw(),
                pages.as_mut_ptr(),
                most,
                // CAST: It is a small number.
                AT_ONCE as c_uint,
                &raw mut offset,
            )
        };
        let got = usize::try_from(got).map_err(|_| EFAULT)?;

        let (mut left, mut fits) = (got, got > 0);
        for page in pages.into_iter().map_while(NonNull::new) {
            // The bytes that were got lie in the first pages, from `offset` of the first one on. What follows in the array
            // are stale pointers.
            let len = left.min(PAGE_SIZE - offset);
            if len == 0 {
                break;
            }
            // INVARIANT: As said; the part has `len` bytes. CAST: All together are less than 4 GiB.
            let part = Part {
                page,
                offset: offset as u32,
                end: (self.len() + len) as u32,
            };
            if self.parts.push_within_capacity(part).is_err() {
                // It was counted otherwise.
                fits = false;
                // SAFETY: It is our reference.
                unsafe { bindings::krdma_put_page(page.as_ptr()) };
            }
            left -= len;
            offset = 0;
        }
        if !fits {
            return Err(EFAULT);
        }
        Ok(got)
    }

    /// Returns how many bytes it has, at least one. Any context.
    #[allow(clippy::len_without_is_empty)]
    pub fn len(&self) -> usize {
        // CAST: A `u32` is not longer than a `usize`.
        self.parts.last().map_or(0, |part| part.end as usize)
    }

    /// Returns the memory that this takes itself, beside the program's. Any context.
    pub fn room(&self) -> usize {
        self.parts.capacity() * size_of::<Part>()
    }

    /// Returns the bytes from `from` on, as far as `end` and the page reach that the first is in; none if there are no such
    /// bytes. Any context.
    pub fn part(&self, from: usize, end: usize) -> Option<PagePart<'_>> {
        let index = self.parts.partition_point(|part| part.end as usize <= from);
        let part = self.parts.get(index)?;
        let before = index
            .checked_sub(1)
            .and_then(|before| self.parts.get(before));
        // OVERFLOW: The parts before this one end at `from` at the latest.
        let skip = from - before.map_or(0, |before| before.end as usize);
        let len = end
            .min(part.end as usize)
            .checked_sub(from)
            .filter(|len| *len > 0)?;

        // INVARIANT: It is some of a part, and the page is valid as long as this is borrowed.
        Some(PagePart {
            page: part.page,
            offset: part.offset as usize + skip,
            len,
            _page: PhantomData,
        })
    }
}

impl Drop for LentPages {
    fn drop(&mut self) {
        for part in &self.parts {
            // SAFETY: By the type invariant it is our reference.
            unsafe { bindings::krdma_put_page(part.page.as_ptr()) };
        }
    }
}
