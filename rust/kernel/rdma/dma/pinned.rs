// SPDX-License-Identifier: GPL-2.0

//! Memory of programs, mapped for a device.

use super::{
    sync::sync,
    Bidirectional,
    DeviceReads,
    DeviceWrites,
    Direction,
    Piece,
    Sge,
    SgeMut,
    ToDevice, //
};
use crate::{
    bindings,
    page::PinnedPages,
    rdma::Device, //
};
use core::marker::PhantomData;
use kernel::{
    error::to_result,
    prelude::*,
    scatterlist::SGTable,
    sync::{
        aref::ARef,
        Arc, //
    }, //
};

/// A mapping of pinned pages.
///
/// # Invariants
///
/// `table` was allocated, and is mapped for `dev` in `direction`.
struct Mapped {
    dev: ARef<Device>,
    table: bindings::sg_table,
    direction: bindings::dma_data_direction,
}

// SAFETY: The table is the mapping's own, and may be unmapped and freed by any thread.
unsafe impl Send for Mapped {}

// SAFETY: By a shared reference the table is read only.
unsafe impl Sync for Mapped {}

impl Mapped {
    /// Maps the pages.
    ///
    /// Errors: [`EACCES`] if the device is to write pages that are pinned for reading; [`ENOMEM`], [`EIO`] if they can't be
    /// mapped. Does not sleep if `flags` say so.
    ///
    /// # Safety
    ///
    /// The pages must stay pinned as long as the result exists.
    unsafe fn new(
        dev: &Device,
        pages: &PinnedPages,
        direction: kernel::dma::DataDirection,
        flags: bindings::gfp_t,
    ) -> Result<Self> {
        if direction != kernel::dma::DataDirection::ToDevice && !pages.is_writable() {
            return Err(EACCES);
        }
        let nents = c_uint::try_from(pages.pages()).map_err(|_| EINVAL)?;
        // CAST: The constants are few and small.
        let direction = bindings::dma_data_direction(direction as c_int);

        let mut table = pin_init::zeroed::<bindings::sg_table>();
        // SAFETY: The table is valid for writes.
        to_result(unsafe { bindings::sg_alloc_table(&mut table, nents, flags) })?;
        let mut entry = table.sgl;
        for part in pages.parts() {
            // SAFETY: The table has an entry for each part, and each is followed by another one or none. The page is valid.
            unsafe {
                bindings::krdma_sg_set_page(entry, part.as_raw(), part.len, part.offset);
                entry = bindings::sg_next(entry);
            }
        }

        // SAFETY: `dev` is registered. The table describes pages that stay, by the function's requirements.
        let mapped = to_result(unsafe {
            bindings::ib_dma_map_sgtable_attrs(dev.as_raw(), &mut table, direction, 0)
        });
        if let Err(err) = mapped {
            // SAFETY: The table was allocated above.
            unsafe { bindings::sg_free_table(&mut table) };
            return Err(err);
        }
        // INVARIANT: It was mapped just now.
        Ok(Self {
            dev: dev.into(),
            table,
            direction,
        })
    }
}

impl Drop for Mapped {
    fn drop(&mut self) {
        // SAFETY: By the type invariant.
        unsafe {
            bindings::ib_dma_unmap_sgtable_attrs(
                self.dev.as_raw(),
                &mut self.table,
                self.direction,
                0,
            );
            bindings::sg_free_table(&mut self.table);
        }
    }
}

/// Pinned pages and their mapping for a device: what a memory region of a program's memory is registered of, see
/// [`Mr::attach_program`](crate::rdma::Mr::attach_program).
///
/// May be dropped in any context: the pages are unpinned later then.
pub struct ProgramPages {
    // Dropped before the pages are.
    mapped: Mapped,
    pages: PinnedPages,
}

impl ProgramPages {
    /// Maps pinned pages for a device, which may write them if they are pinned for that.
    ///
    /// Errors: [`ENOMEM`], [`EIO`] if they can't be mapped. May sleep.
    pub fn new(dev: &Device, pages: PinnedPages) -> Result<Self> {
        let direction = match pages.is_writable() {
            true => Bidirectional::RAW,
            false => ToDevice::RAW,
        };
        // SAFETY: The pages are kept beside the mapping, and dropped after it.
        let mapped = unsafe { Mapped::new(dev, &pages, direction, bindings::GFP_KERNEL_ACCOUNT)? };

        Ok(Self { mapped, pages })
    }

    /// Returns the device.
    pub fn device(&self) -> &Device {
        &self.mapped.dev
    }

    /// Returns the pages.
    pub fn pages(&self) -> &PinnedPages {
        &self.pages
    }

    /// Hands the memory to the processor, with what the device has written, or to the device, with what the program has. Does
    /// not sleep.
    pub fn sync(&self, for_cpu: bool) {
        if self.pages.is_writable() {
            let range = 0..self.pages.len();

            // SAFETY: The table is mapped for the device, in both directions as the pages are writable, and nobody changes it.
            unsafe { sync(&self.mapped.dev, &self.mapped.table, &range, for_cpu) };
        }
    }

    /// Ends the mapping, and unpins the pages. Sleeps.
    pub fn unpin(self) {
        let Self { mapped, pages } = self;

        drop(mapped);
        pages.unpin();
    }

    /// Returns the mapped entries and their number.
    pub(crate) fn as_raw(&self) -> (*mut bindings::scatterlist, c_uint) {
        (self.mapped.table.sgl, self.mapped.table.nents)
    }

    /// Leaves the memory mapped and pinned for good.
    pub(crate) fn leak(self) {
        let Self { mapped, pages } = self;
        let mapped = core::mem::ManuallyDrop::new(mapped);

        // The device can go all the same.
        //
        // SAFETY: `mapped` is never dropped, and the field is not used again.
        drop(unsafe { core::ptr::read(&mapped.dev) });
        core::mem::forget(pages);
    }
}

/// Pinned pages of a shared object, mapped for a device in the direction `D`: what requests read from or write into a
/// program's memory.
///
/// The object is kept as long as the mapping.
///
/// # Invariants
///
/// `pieces` are the addresses and lengths of what `mapped` maps, in order.
pub struct SharedPages<T: Send + Sync + 'static, D: Direction> {
    mapped: Mapped,
    pieces: KVec<(u64, u32)>,
    // Dropped after the mapping has ended.
    owner: Arc<T>,
    _direction: PhantomData<D>,
}

impl<T: Send + Sync + 'static, D: Direction> SharedPages<T, D> {
    /// Maps the pages that `find` names in an object.
    ///
    /// Errors: [`EINVAL`] if it names none, [`EACCES`] if the device would write pages that are pinned for reading;
    /// [`ENOMEM`], [`EIO`] if they can't be mapped. Does not sleep.
    pub fn new(
        dev: &Device,
        owner: Arc<T>,
        find: impl for<'a> FnOnce(&'a T) -> Option<&'a PinnedPages>,
    ) -> Result<Self> {
        let pages = find(&owner).ok_or(EINVAL)?;
        // SAFETY: `find` works for every lifetime, that of the object among them. So the pages are there as long as the
        // object, which is kept until the mapping was dropped.
        let mut mapped = unsafe { Mapped::new(dev, pages, D::RAW, bindings::GFP_ATOMIC)? };

        let mut pieces = KVec::with_capacity(pages.pages(), GFP_ATOMIC)?;
        // SAFETY: It is a table that nobody changes meanwhile.
        let table = unsafe { SGTable::from_raw(&raw mut mapped.table) };
        for entry in table.iter().take(pages.pages()) {
            // CAST: An entry is no longer than all pages, which have less than 4 GiB.
            pieces.push((entry.dma_address(), entry.dma_len() as u32), GFP_ATOMIC)?;
        }
        // INVARIANT: The pieces are those of the table.
        Ok(Self {
            mapped,
            pieces,
            owner,
            _direction: PhantomData,
        })
    }

    /// Returns the object.
    pub fn owner(&self) -> &Arc<T> {
        &self.owner
    }

    /// Returns how many pieces there are: at most as many as pages.
    pub fn len(&self) -> usize {
        self.pieces.len()
    }

    /// Returns whether there is none, which is never so.
    pub fn is_empty(&self) -> bool {
        self.pieces.is_empty()
    }

    fn piece(&self, index: usize) -> Option<Piece<'_>> {
        let (addr, len) = *self.pieces.get(index)?;

        Some(Piece {
            dev: &self.mapped.dev,
            addr,
            len,
            key: None,
        })
    }

    /// Names a piece, for a request that reads it.
    pub fn sge(&self, index: usize) -> Option<Sge<'_>>
    where
        D: DeviceReads,
    {
        self.piece(index).map(Sge)
    }

    /// Names a piece, for a request that writes it.
    pub fn sge_mut(&self, index: usize) -> Option<SgeMut<'_>>
    where
        D: DeviceWrites,
    {
        self.piece(index).map(SgeMut)
    }
}
