// SPDX-License-Identifier: GPL-2.0

//! Memory of programs that devices read and write.
//!
//! C header: [`include/linux/mm.h`](srctree/include/linux/mm.h)

use super::{
    locked::Locked,
    PAGE_SIZE, //
};
use crate::{
    account::Charge,
    bindings,
    reaper::Deferred, //
};
use core::ptr::{
    self,
    NonNull, //
};
use kernel::{
    alloc::flags::__GFP_NOWARN,
    current,
    prelude::*, //
};

/// How many pages are pinned, or unpinned, by one call.
const AT_ONCE: usize = 16;

/// Bytes in a program's memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UserRange {
    /// Where they begin.
    pub addr: usize,
    /// How many there are.
    pub len: usize,
}

impl UserRange {
    /// Returns the number of pages that the bytes lie in.
    ///
    /// Errors: [`EINVAL`] if there are no bytes, or they go past the end of the address space.
    pub fn pages(&self) -> Result<usize> {
        let end = self
            .addr
            .checked_add(self.len)
            .and_then(|end| end.checked_next_multiple_of(PAGE_SIZE))
            .ok_or(EINVAL)?;

        if self.len == 0 {
            return Err(EINVAL);
        }
        // OVERFLOW: The end is behind the beginning.
        Ok((end - self.addr / PAGE_SIZE * PAGE_SIZE) / PAGE_SIZE)
    }
}

/// Pages of a program's memory, pinned for as long as this exists: they stay what they are, whatever the program does
/// with its address space.
///
/// The program may read and write there all the while, and so may devices: nothing here shows the bytes. The pages count
/// as locked memory of the program's user (`RLIMIT_MEMLOCK`).
///
/// May be dropped in any context. The pages are unpinned later then, by a work item; [`unpin`](Self::unpin) does it at
/// once.
pub struct PinnedPages {
    inner: Deferred<Inner>,
}

/// # Invariants
///
/// Each part has a pin of ours of its page, for writing if `is_writable`. It has at least one byte, and lies within the
/// page. All together have `len` bytes.
struct Inner {
    parts: KVec<Part>,
    len: usize,
    is_writable: bool,
    _locked: Locked,
}

/// Bytes of a page.
#[derive(Clone, Copy)]
pub(crate) struct Part {
    page: NonNull<bindings::page>,
    pub(crate) offset: u32,
    pub(crate) len: u32,
}

impl Part {
    /// Returns the page, which is pinned as long as what this is from.
    pub(crate) fn as_raw(&self) -> *mut bindings::page {
        self.page.as_ptr()
    }
}

// SAFETY: Pages may be unpinned by any thread, and what a user has locked is counted by atomic operations.
unsafe impl Send for Inner {}

// SAFETY: By a shared reference only the list is read, which does not change.
unsafe impl Sync for Inner {}

impl PinnedPages {
    /// Pins the pages that the ranges lie in, of the current task's memory. Devices may write them only if `is_writable`.
    /// They are unpinned before the module `owner` goes.
    ///
    /// Errors: [`EINVAL`] if there is no range, or one that [is none](UserRange::pages), or these are 4 GiB; [`EFAULT`] if
    /// the memory can't be read, or written, or is of a kind that can't be pinned for long, or the task has none;
    /// [`ENOMEM`], also if the user has too much locked memory. Sleeps.
    pub fn pin(
        owner: &'static ThisModule,
        ranges: &[UserRange],
        is_writable: bool,
    ) -> Result<Self> {
        let (mut pages, mut len) = (0_usize, 0_usize);
        for range in ranges {
            pages = pages.checked_add(range.pages()?).ok_or(EINVAL)?;
            len = len.checked_add(range.len).ok_or(EINVAL)?;
        }
        if pages == 0 || u32::try_from(len).is_err() {
            return Err(EINVAL);
        }
        if current!().mm().is_none() {
            return Err(EFAULT);
        }

        // It counts two pages more than there are bytes for.
        let counted = pages.saturating_sub(2).saturating_mul(PAGE_SIZE).max(1);
        // First: who may lock no more is told so, whatever the list would take.
        let locked = Locked::new(counted)?;
        let mut inner = Inner {
            parts: KVec::with_capacity(pages, GFP_KERNEL_ACCOUNT | __GFP_NOWARN)?,
            len,
            is_writable,
            _locked: locked,
        };
        for range in ranges {
            inner.pin_range(*range)?;
        }

        Ok(Self {
            inner: Charge::to(owner)?.defer(inner)?,
        })
    }

    /// Returns how many bytes there are. Any context.
    #[allow(clippy::len_without_is_empty)] // There is at least one.
    pub fn len(&self) -> usize {
        self.inner.len
    }

    /// Returns in how many pages they lie; one that several ranges are in counts for each. Any context.
    pub fn pages(&self) -> usize {
        self.inner.parts.len()
    }

    /// Returns whether devices may write the pages. Any context.
    pub fn is_writable(&self) -> bool {
        self.inner.is_writable
    }

    /// Returns where in its page the first byte is. Any context.
    pub fn offset(&self) -> usize {
        // CAST: It lies within a page.
        self.inner
            .parts
            .first()
            .map_or(0, |part| part.offset as usize)
    }

    /// Unpins the pages. Sleeps.
    pub fn unpin(self) {
        self.inner.close();
    }

    /// Returns the bytes, page by page.
    pub(crate) fn parts(&self) -> &[Part] {
        &self.inner.parts
    }
}

impl Inner {
    /// Pins the pages of a range, for which there is room in the list.
    fn pin_range(&mut self, range: UserRange) -> Result {
        let mut flags = bindings::FOLL_LONGTERM;
        if self.is_writable {
            flags |= bindings::FOLL_WRITE;
        }
        let mut at = range;

        while at.len > 0 {
            let mut pages = [ptr::null_mut(); AT_ONCE];
            let wanted = at.pages()?.min(AT_ONCE);
            // SAFETY: The task has memory, as the caller has seen. There is room for so many pages. The addresses are
            // checked by the function.
            let got = unsafe {
                bindings::pin_user_pages_fast(
                    at.addr / PAGE_SIZE * PAGE_SIZE,
                    // CAST: It is a small number.
                    wanted as c_int,
                    flags,
                    pages.as_mut_ptr(),
                )
            };
            match got {
                1.. => {}
                0 => return Err(EFAULT),
                err if Error::from_errno(err) == ENOMEM => return Err(ENOMEM),
                _ => return Err(EFAULT),
            }

            // CAST: It is positive.
            for page in pages.into_iter().take(got as usize) {
                let offset = at.addr % PAGE_SIZE;
                let len = at.len.min(PAGE_SIZE - offset);
                let page = NonNull::new(page).ok_or(EFAULT)?;
                // INVARIANT: It was pinned above. The part has a byte, as the pages are those of what is left. CAST: It
                // lies within a page.
                let part = Part {
                    page,
                    offset: offset as u32,
                    len: len as u32,
                };
                if self.parts.push_within_capacity(part).is_err() {
                    // It was counted otherwise.
                    unpin(&[part], self.is_writable);
                    return Err(EFAULT);
                }
                // OVERFLOW: The range does not go past the end of the address space.
                at.addr += len;
                at.len -= len;
            }
        }
        Ok(())
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        for parts in self.parts.chunks(AT_ONCE) {
            unpin(parts, self.is_writable);
        }
    }
}

/// Unpins up to [`AT_ONCE`] pages that are pinned, and gone for the caller. Sleeps.
fn unpin(parts: &[Part], is_writable: bool) {
    let mut pages = [ptr::null_mut(); AT_ONCE];
    let count = parts.len().min(AT_ONCE);

    for (place, part) in pages.iter_mut().zip(parts) {
        *place = part.as_raw();
    }
    // SAFETY: By the type invariant of `Inner`, whose parts these are, they have a pin of ours. What was written counts as
    // changed.
    unsafe {
        // CAST: It is a small number.
        bindings::unpin_user_pages_dirty_lock(pages.as_mut_ptr(), count as c_ulong, is_writable)
    };
}

#[kunit_tests(krdma_page_pinned)]
mod tests {
    use super::*;
    use kernel::module::this_module;

    #[test]
    fn a_range_lies_in_the_pages_that_its_bytes_lie_in() {
        let pages = |addr, len| UserRange { addr, len }.pages();

        assert_eq!(pages(0, 1), Ok(1));
        assert_eq!(pages(0, PAGE_SIZE), Ok(1));
        assert_eq!(pages(1, PAGE_SIZE), Ok(2));
        assert_eq!(pages(PAGE_SIZE - 1, 2), Ok(2));
        assert_eq!(pages(5 * PAGE_SIZE + 7, 3 * PAGE_SIZE), Ok(4));
        assert_eq!(pages(0, 0), Err(EINVAL));
        assert_eq!(pages(usize::MAX, 1), Err(EINVAL));
        assert_eq!(pages(usize::MAX - 10, 5), Err(EINVAL));
    }

    #[test]
    fn a_task_without_memory_has_nothing_to_pin() {
        let module = this_module::<crate::LocalModule>();
        let range = UserRange {
            addr: PAGE_SIZE,
            len: 1,
        };

        assert!(PinnedPages::pin(module, &[], false).is_err());
        // Tests run in a thread of the kernel.
        if current!().mm().is_none() {
            assert!(PinnedPages::pin(module, &[range], false).is_err_and(|err| err == EFAULT));
        }
    }
}
