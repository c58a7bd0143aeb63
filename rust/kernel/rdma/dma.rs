// SPDX-License-Identifier: GPL-2.0

//! Memory that a device reads and writes.
//!
//! A [`Mapping`] owns memory and its mapping for one device: as long as it exists both stay. Work
//! requests name parts of it by [`Sge`], which borrows it. While a request is with the hardware it
//! owns the mapping (see [`Request`](crate::rdma::Request)), so that memory in use can be neither
//! freed nor touched.
//!
//! The mappings work with devices that address memory by DMA and with those that address it as the
//! processor does (`rdma_rxe`, `siw`).
//!
//! C headers: [`include/rdma/ib_verbs.h`](srctree/include/rdma/ib_verbs.h) (`ib_dma_*`).

use crate::{
    bindings,
    rdma::Device, //
};
use core::{
    marker::PhantomData,
    ops::{
        Deref,
        DerefMut,
        Range, //
    },
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

mod shared;

pub use shared::SharedMapping;

mod private {
    pub trait Sealed {}
}

/// Who writes the memory: a type for each direction, so that it is known when code is compiled.
pub trait Direction: private::Sealed + Send + Sync + 'static {
    /// The C constant.
    #[doc(hidden)]
    const RAW: kernel::dma::DataDirection;
}

/// Directions in which the device reads the memory.
pub trait DeviceReads: Direction {}

/// Directions in which the device writes the memory.
pub trait DeviceWrites: Direction {}

/// Makes a type for a direction.
macro_rules! direction {
    ($(#[$doc:meta])* $name:ident: $($ability:ident),*) => {
        $(#[$doc])*
        pub struct $name(());

        impl private::Sealed for $name {}

        impl Direction for $name {
            const RAW: kernel::dma::DataDirection = kernel::dma::DataDirection::$name;
        }

        $(impl $ability for $name {})*
    };
}

direction! {
    /// The device only reads the memory.
    ToDevice: DeviceReads
}
direction! {
    /// The device only writes the memory.
    FromDevice: DeviceWrites
}
direction! {
    /// The device reads and writes the memory.
    Bidirectional: DeviceReads, DeviceWrites
}

/// The direction as C takes it.
pub(crate) fn raw_direction<D: Direction>() -> bindings::dma_data_direction {
    // CAST: The constants are few and small.
    bindings::dma_data_direction(D::RAW as c_int)
}

/// Memory that can be mapped for a device as one piece: `KVec<u8>` and boxes of arrays of bytes.
pub trait Memory: raw::Region {}

impl<M: raw::Region> Memory for M {}

/// What memory has in common, for this crate only.
pub(crate) mod raw {
    /// Memory in one piece.
    ///
    /// # Safety
    ///
    /// The bytes must
    ///
    /// - belong to the value alone;
    /// - be in the kernel's linear mapping, allocated by the slab or page allocators;
    /// - stay where they are when the value moves, and be the same until it is dropped.
    pub unsafe trait Region: Send {
        /// Returns the bytes.
        fn bytes(&self) -> &[u8];

        /// Returns the bytes, to be changed.
        fn bytes_mut(&mut self) -> &mut [u8];
    }
}

// SAFETY: The buffer of a `KVec` is its own and comes from `kmalloc`.
unsafe impl raw::Region for KVec<u8> {
    fn bytes(&self) -> &[u8] {
        self
    }

    fn bytes_mut(&mut self) -> &mut [u8] {
        self
    }
}

// SAFETY: The allocation of a `KBox` is its own and comes from `kmalloc`.
unsafe impl<const N: usize> raw::Region for KBox<[u8; N]> {
    fn bytes(&self) -> &[u8] {
        &**self
    }

    fn bytes_mut(&mut self) -> &mut [u8] {
        &mut **self
    }
}

/// Memory and its mapping for a device.
///
/// # Invariants
///
/// `addr` is the address of the region of `memory` for `dev`, mapped in the direction `D`. `len` is
/// the region's length.
pub struct Mapping<M: Memory, D: Direction> {
    dev: ARef<Device>,
    addr: u64,
    len: u32,
    memory: M,
    _direction: PhantomData<D>,
}

impl<M: Memory, D: Direction> Mapping<M, D> {
    /// Maps memory for a device.
    ///
    /// Errors: [`EINVAL`] if the memory is empty or longer than a request can name, [`ENOMEM`] if it
    /// can't be mapped. The memory is dropped then.
    ///
    /// Does not sleep.
    pub fn new(dev: &Device, mut memory: M) -> Result<Self> {
        let bytes = memory.bytes_mut();
        let (ptr, size) = (bytes.as_mut_ptr(), bytes.len());
        let len = u32::try_from(size).map_err(|_| EINVAL)?;
        if len == 0 {
            return Err(EINVAL);
        }

        // SAFETY: `dev` is registered. By the requirements of `Region`, the bytes may be mapped.
        let addr = unsafe {
            bindings::ib_dma_map_single(dev.as_raw(), ptr.cast(), size, raw_direction::<D>())
        };
        // SAFETY: `addr` is what the mapping returned.
        if unsafe { bindings::ib_dma_mapping_error(dev.as_raw(), addr) } != 0 {
            return Err(ENOMEM);
        }

        // INVARIANT: The region was mapped above.
        Ok(Self {
            dev: dev.into(),
            addr,
            len,
            memory,
            _direction: PhantomData,
        })
    }

    /// Returns the length in bytes.
    #[inline]
    pub fn len(&self) -> u32 {
        self.len
    }

    /// Returns whether the mapping is empty, which it never is.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Names all of the memory, for a request that reads it.
    #[inline]
    pub fn sge(&self) -> Sge<'_>
    where
        D: DeviceReads,
    {
        Sge(self.piece())
    }

    /// Names all of the memory, for a request that writes it.
    #[inline]
    pub fn sge_mut(&self) -> SgeMut<'_>
    where
        D: DeviceWrites,
    {
        SgeMut(self.piece())
    }

    #[inline]
    fn piece(&self) -> Piece<'_> {
        Piece {
            dev: &self.dev,
            addr: self.addr,
            len: self.len,
            key: None,
        }
    }

    /// Gives the memory to the processor for as long as the result exists.
    ///
    /// That this takes `&mut self` is what keeps the device away meanwhile.
    ///
    /// Does not sleep.
    pub fn cpu(&mut self) -> CpuAccess<'_, M, D> {
        // SAFETY: By the type invariant, `addr` and `len` are a mapping of `dev`.
        unsafe {
            bindings::ib_dma_sync_single_for_cpu(
                self.dev.as_raw(),
                self.addr,
                self.size(),
                raw_direction::<D>(),
            )
        };
        CpuAccess { mapping: self }
    }

    /// Ends the mapping and returns the memory.
    pub fn unmap(self) -> M {
        let this = core::mem::ManuallyDrop::new(self);

        this.unmap_raw();
        // SAFETY: `this` is never dropped, and neither field is used again.
        unsafe {
            drop(core::ptr::read(&this.dev));
            core::ptr::read(&this.memory)
        }
    }

    #[inline]
    fn size(&self) -> usize {
        kernel::num::casts::u32_as_usize(self.len)
    }

    fn unmap_raw(&self) {
        // SAFETY: By the type invariant, this is a mapping of `dev`; the callers use it no more.
        unsafe {
            bindings::ib_dma_unmap_single(
                self.dev.as_raw(),
                self.addr,
                self.size(),
                raw_direction::<D>(),
            )
        };
    }
}

impl<M: Memory> Mapping<M, ToDevice> {
    /// Returns the bytes. The device only reads them, so they can be read meanwhile.
    pub fn as_slice(&self) -> &[u8] {
        self.memory.bytes()
    }
}

impl<M: Memory, D: Direction> Drop for Mapping<M, D> {
    fn drop(&mut self) {
        self.unmap_raw();
    }
}

/// Mapped memory in the hands of the processor.
pub struct CpuAccess<'a, M: Memory, D: Direction> {
    mapping: &'a mut Mapping<M, D>,
}

impl<M: Memory, D: Direction> Deref for CpuAccess<'_, M, D> {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        // We have the mapping exclusively, and its memory is synchronised for us. No request that the
        // device works on can refer to it: such requests own or share their mappings.
        self.mapping.memory.bytes()
    }
}

impl<M: Memory, D: Direction> DerefMut for CpuAccess<'_, M, D> {
    fn deref_mut(&mut self) -> &mut [u8] {
        // As for `deref`.
        self.mapping.memory.bytes_mut()
    }
}

impl<M: Memory, D: Direction> Drop for CpuAccess<'_, M, D> {
    fn drop(&mut self) {
        // SAFETY: By the type invariant of the mapping, `addr` and `len` are a mapping of `dev`.
        unsafe {
            bindings::ib_dma_sync_single_for_device(
                self.mapping.dev.as_raw(),
                self.mapping.addr,
                self.mapping.size(),
                raw_direction::<D>(),
            )
        };
    }
}

/// What both kinds of scatter/gather entries are.
#[derive(Clone, Copy)]
pub(crate) struct Piece<'a> {
    pub(crate) dev: &'a Device,
    pub(crate) addr: u64,
    pub(crate) len: u32,
    /// The local key of the region, or none for what is mapped for DMA.
    pub(crate) key: Option<u32>,
}

impl Piece<'_> {
    fn slice(self, range: Range<u32>) -> Result<Self> {
        if range.start > range.end || range.end > self.len {
            return Err(EINVAL);
        }
        Ok(Self {
            // OVERFLOW: The range lies within the region, whose end is an address as well.
            addr: self.addr.wrapping_add(u64::from(range.start)),
            len: range.end - range.start,
            ..self
        })
    }
}

/// Makes a type for scatter/gather entries.
macro_rules! entry {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        ///
        /// It borrows what keeps the memory mapped or registered.
        #[derive(Clone, Copy)]
        pub struct $name<'a>(pub(crate) Piece<'a>);

        impl $name<'_> {
            /// Returns the length in bytes.
            #[inline]
            pub fn len(&self) -> u32 {
                self.0.len
            }

            /// Returns whether it names no byte.
            #[inline]
            pub fn is_empty(&self) -> bool {
                self.0.len == 0
            }

            /// Names a part of it.
            ///
            /// Errors: [`EINVAL`] if the range is not within it.
            #[inline]
            pub fn slice(self, range: Range<u32>) -> Result<Self> {
                self.0.slice(range).map(Self)
            }
        }
    };
}

entry! {
    /// A scatter/gather entry: a piece of memory that a work request reads.
    Sge
}
entry! {
    /// A scatter/gather entry: a piece of memory that a work request writes.
    SgeMut
}

/// Pages and their mapping for a device as a scatter list: what a memory region is registered of.
///
/// Every page is used in full. The memory may be read and written while the device does so as well:
/// bytes that both touch at the same time may be old or new, each for itself.
///
/// # Invariants
///
/// `table` describes `pages` and is mapped for `dev`, in both directions.
pub struct PageList {
    dev: ARef<Device>,
    table: KBox<bindings::sg_table>,
    pages: KVec<Page>,
}

// SAFETY: The table is only used by the thread that has the value.
unsafe impl Send for PageList {}

// SAFETY: Nothing is written through `&self` but the bytes of the pages, see the type's
// documentation.
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
    /// Errors: [`EINVAL`] if the range is not within the memory.
    pub fn read(&self, offset: usize, dst: &mut [u8]) -> Result {
        let dst_ptr = dst.as_mut_ptr();

        self.for_each_piece(offset, dst.len(), |page, at, done, len| {
            // SAFETY: The piece lies within `dst` and within the page. The device may write the
            // page meanwhile, as it may any memory that it was given; bytes have no invalid value.
            unsafe { page.read_raw(dst_ptr.add(done), at, len) }
        })
    }

    /// Copies bytes in, starting at `offset`.
    ///
    /// Errors: [`EINVAL`] if the range is not within the memory.
    pub fn write(&self, offset: usize, src: &[u8]) -> Result {
        let src_ptr = src.as_ptr();

        self.for_each_piece(offset, src.len(), |page, at, done, len| {
            // SAFETY: The piece lies within `src` and within the page. See `read` for the device.
            unsafe { page.write_raw(src_ptr.add(done), at, len) }
        })
    }

    /// Calls `f` with each page of a range, where in the page it starts, the bytes done before, and
    /// the bytes of the page.
    fn for_each_piece(
        &self,
        offset: usize,
        len: usize,
        mut f: impl FnMut(&Page, usize, usize, usize) -> Result,
    ) -> Result {
        let end = offset.checked_add(len).ok_or(EINVAL)?;
        if end > self.len() {
            return Err(EINVAL);
        }

        let mut done = 0;
        while done < len {
            let pos = offset + done;
            let at = pos % PAGE_SIZE;
            let n = (PAGE_SIZE - at).min(len - done);

            f(self.pages.get(pos / PAGE_SIZE).ok_or(EINVAL)?, at, done, n)?;
            done += n;
        }
        Ok(())
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
