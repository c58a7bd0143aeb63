// SPDX-License-Identifier: GPL-2.0

//! Memory that a device reads and writes.
//!
//! A [`Mapping`] owns memory and its mapping for one device: as long as it exists both stay. Work
//! requests name parts of it by [`Sge`], which borrows it. While a request is with the hardware it
//! owns the mapping (see [`Request`](crate::rdma::Request)), so that memory in use can be neither
//! freed nor touched.
//!
//! The mappings work with devices that address memory by DMA and with those that address it as the
//! processor does (`rdma_rxe`).
//!
//! Mapped memory is the device's, but while the processor is given it: by [`Mapping::cpu`], or for the
//! length of a call by [`PageList::read`] and [`PageList::write`]. There, and nowhere else, caches and bounce
//! buffers are synchronised: posting a request and its completion need nothing more. Where nothing has to
//! be done it costs next to nothing.
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
    prelude::*,
    sync::aref::ARef, //
};

mod pages;
mod pinned;
mod shared;
mod sync;

pub use pages::PageList;
pub use pinned::{
    ProgramPages,
    SharedPages, //
};
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
    #[inline]
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
