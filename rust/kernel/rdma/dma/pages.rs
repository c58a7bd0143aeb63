// SPDX-License-Identifier: GPL-2.0

//! Pages that peers may read and write.

use super::{
    raw_direction,
    sync::sync,
    Bidirectional, //
};
use crate::{
    bindings,
    rdma::Device, //
};
use core::{
    mem::ManuallyDrop,
    ops::Range, //
};
use kernel::{
    error::to_result,
    page::{
        Page,
        PAGE_SIZE, //
    },
    prelude::*,
    sync::aref::ARef, //
};

/// Pages and their mapping for a device as a scatter list: what a memory region is registered of.
///
/// Every page is used in full. The memory may be read while the device writes it: bytes that are written at
/// the same time may be old or new, each for itself. It can be written by who has it alone, and so not while
/// it is a region's.
///
/// # Invariants
///
/// `table` describes `pages`, which are in the kernel's linear mapping, and is mapped for `dev`, in both
/// directions. The processor writes the bytes through `&mut` only.
pub struct PageList {
    dev: ARef<Device>,
    table: KBox<bindings::sg_table>,
    pages: KVec<Page>,
}

// SAFETY: The table is only used by the thread that has the value.
unsafe impl Send for PageList {}

// SAFETY: Through `&self` bytes are read only, and handed to the processor, which any number of threads may
// do at a time.
unsafe impl Sync for PageList {}

impl PageList {
    /// Allocates `count` zeroed pages and maps them for a device.
    ///
    /// Errors: [`EINVAL`] if `count` is zero or too many, [`ENOMEM`].
    pub fn new(dev: &Device, count: usize) -> Result<Self> {
        let nents = c_uint::try_from(count).map_err(|_| EINVAL)?;
        if nents == 0 {
            return Err(EINVAL);
        }

        let mut pages = KVec::with_capacity(count, GFP_KERNEL)?;
        let mut raw = KVec::with_capacity(count, GFP_KERNEL)?;
        for _ in 0..count {
            let page = Page::alloc_page(GFP_KERNEL | __GFP_ZERO)?;
            raw.push(page.as_ptr(), GFP_KERNEL)?;
            pages.push(page, GFP_KERNEL)?;
        }

        let mut table = KBox::new(pin_init::zeroed::<bindings::sg_table>(), GFP_KERNEL)?;
        // SAFETY: `raw` holds `nents` pages, which `pages` keeps.
        to_result(unsafe {
            bindings::sg_alloc_table_from_pages_segment(
                &mut *table,
                raw.as_mut_ptr(),
                nents,
                0,
                count * PAGE_SIZE,
                // One entry a page: regions are registered page by page.
                PAGE_SIZE as c_uint,
                bindings::GFP_KERNEL,
            )
        })?;
        // SAFETY: `dev` is registered and `table` describes memory of ours.
        let mapped = to_result(unsafe {
            bindings::ib_dma_map_sgtable_attrs(
                dev.as_raw(),
                &mut *table,
                raw_direction::<Bidirectional>(),
                0,
            )
        });
        if let Err(err) = mapped {
            // SAFETY: The table was allocated above.
            unsafe { bindings::sg_free_table(&mut *table) };
            return Err(err);
        }

        // INVARIANT: The table was mapped above.
        Ok(Self {
            dev: dev.into(),
            table,
            pages,
        })
    }

    /// Returns the length in bytes.
    pub fn len(&self) -> usize {
        // OVERFLOW: `new` has computed the same.
        self.pages.len() * PAGE_SIZE
    }

    /// Returns whether there is no memory, which is never so.
    pub fn is_empty(&self) -> bool {
        self.pages.is_empty()
    }

    /// Returns the device that the pages are mapped for.
    pub fn device(&self) -> &Device {
        &self.dev
    }

    /// Returns the mapped entries and their number.
    pub(crate) fn as_raw(&self) -> (*mut bindings::scatterlist, c_uint) {
        (self.table.sgl, self.table.nents)
    }

    /// Copies bytes out, starting at `offset`.
    ///
    /// Does not sleep.
    ///
    /// Errors: [`EINVAL`] if the range is not within the memory.
    pub fn read(&self, offset: usize, dst: &mut [u8]) -> Result {
        let range = self.range(offset, dst.len())?;
        let mut rest = dst;

        self.sync(&range, true);
        self.for_each_piece(range, |src, len| {
            let (piece, left) = core::mem::take(&mut rest).split_at_mut(len);

            rest = left;
            // SAFETY: By the callee, `src` is valid for `len` bytes, which is the length of `piece`.
            unsafe { read_volatile(src, piece) };
        });
        Ok(())
    }

    /// Copies bytes in, starting at `offset`.
    ///
    /// Does not sleep.
    ///
    /// Errors: [`EINVAL`] if the range is not within the memory.
    pub fn write(&mut self, offset: usize, src: &[u8]) -> Result {
        let range = self.range(offset, src.len())?;
        let mut rest = src;

        // What is not overwritten of a line of the cache must be what the device has written last.
        self.sync(&range, true);
        self.for_each_piece(range.clone(), |dst, len| {
            let (piece, left) = rest.split_at(len);

            rest = left;
            // SAFETY: By the callee, `dst` is valid for `len` bytes, which is the length of `piece`. We have
            // the pages exclusively: they are of no region, so that no peer touches them.
            unsafe { core::ptr::copy_nonoverlapping(piece.as_ptr(), dst, len) };
        });
        self.sync(&range, false);
        Ok(())
    }

    fn range(&self, offset: usize, len: usize) -> Result<Range<usize>> {
        let end = offset.checked_add(len).ok_or(EINVAL)?;

        if end > self.len() {
            return Err(EINVAL);
        }
        Ok(offset..end)
    }

    /// Hands a range to the processor, or back to the device.
    fn sync(&self, range: &Range<usize>, for_cpu: bool) {
        // SAFETY: By the type invariant, the table is mapped for `dev`, in both directions, and stays as it is.
        unsafe { sync(&self.dev, &self.table, range, for_cpu) };
    }

    /// Calls `f` with a pointer to the bytes of a range, which must be within the memory, and their number,
    /// page by page: so many bytes are valid behind the pointer.
    fn for_each_piece(&self, range: Range<usize>, mut f: impl FnMut(*mut u8, usize)) {
        let mut at = range.start;

        for page in self.pages.iter().skip(at / PAGE_SIZE) {
            let in_page = at % PAGE_SIZE;
            // OVERFLOW: `at` is at most the end.
            let len = (PAGE_SIZE - in_page).min(range.end - at);
            if len == 0 {
                break;
            }

            // SAFETY: By the type invariant, the page is in the linear mapping.
            let addr = unsafe { bindings::krdma_page_address(page.as_ptr()) };
            f(addr.cast::<u8>().wrapping_add(in_page), len);
            at += len;
        }
    }

    /// Leaves the memory mapped for good: nobody else can get it.
    pub(crate) fn leak(self) {
        let this = ManuallyDrop::new(self);

        // The device can go all the same.
        //
        // SAFETY: `this` is never dropped, and the field is not used again.
        drop(unsafe { core::ptr::read(&this.dev) });
    }
}

/// Copies bytes that others may be writing.
///
/// # Safety
///
/// `src` must be valid for reads of as many bytes as `dst` has. Devices and drivers may write them
/// meanwhile.
unsafe fn read_volatile(src: *const u8, dst: &mut [u8]) {
    const WORD: usize = size_of::<u64>();
    let mut done = 0;

    while let Some(rest) = dst.get_mut(done..).filter(|rest| !rest.is_empty()) {
        let from = src.wrapping_add(done);

        match rest.first_chunk_mut::<WORD>() {
            Some(word) if from.cast::<u64>().is_aligned() => {
                // SAFETY: By the function's requirements, the bytes are valid; each value is one of a `u64`.
                // They are read once.
                *word = unsafe { from.cast::<u64>().read_volatile() }.to_ne_bytes();
                done += WORD;
            }
            _ => {
                // SAFETY: As above.
                let byte = unsafe { from.read_volatile() };

                rest[0] = byte;
                done += 1;
            }
        }
    }
}

impl Drop for PageList {
    fn drop(&mut self) {
        // SAFETY: By the type invariant, the table is allocated and mapped for `dev`.
        unsafe {
            bindings::ib_dma_unmap_sgtable_attrs(
                self.dev.as_raw(),
                &mut *self.table,
                raw_direction::<Bidirectional>(),
                0,
            );
            bindings::sg_free_table(&mut *self.table);
        }
    }
}

#[kunit_tests(krdma_dma_pages)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_copied_wherever_they_lie() {
        let mut from = [0u8; 40];
        for (byte, value) in from.iter_mut().zip(1..) {
            *byte = value;
        }

        for start in 0..16 {
            for len in 0..24 {
                let mut to = [0; 24];
                let wanted = &from[start..start + len];

                // SAFETY: The range is within the array.
                unsafe { read_volatile(wanted.as_ptr(), &mut to[..len]) };
                assert!(to[..len] == *wanted);
                assert!(to[len..].iter().all(|&byte| byte == 0));
            }
        }
    }
}
