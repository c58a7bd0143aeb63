// SPDX-License-Identifier: GPL-2.0

//! Shared memory that a device only reads.

use super::{
    raw_direction,
    Piece,
    Sge,
    ToDevice, //
};
use crate::{
    bindings,
    rdma::Device, //
};
use kernel::{
    prelude::*,
    sync::{
        aref::ARef,
        Arc, //
    }, //
};

/// Bytes of a shared object, mapped for a device that only reads them.
///
/// The object is kept as long as the mapping. As with all that is shared, nobody can change it
/// meanwhile; others may read it, and have mappings of it too.
///
/// # Invariants
///
/// `addr` is the address for `dev` of `len` bytes that live as long as `owner` does, mapped in the
/// direction [`ToDevice`].
pub struct SharedMapping<T: Send + Sync + 'static> {
    dev: ARef<Device>,
    addr: u64,
    len: u32,
    // Dropped after the mapping has ended.
    _owner: Arc<T>,
}

impl<T: Send + Sync + 'static> SharedMapping<T> {
    /// Maps bytes that `find` names in an object.
    ///
    /// Errors: [`EINVAL`] if `find` names none, or more than a request can name, or if they are not in
    /// the kernel's linear mapping, as what comes from `kmalloc` is; [`ENOMEM`] if they can't be
    /// mapped.
    ///
    /// Does not sleep.
    pub fn new(
        dev: &Device,
        owner: Arc<T>,
        find: impl for<'a> FnOnce(&'a T) -> Option<&'a [u8]>,
    ) -> Result<Self> {
        let bytes = find(&owner)
            .filter(|bytes| !bytes.is_empty())
            .ok_or(EINVAL)?;
        let (ptr, size) = (bytes.as_ptr().cast_mut().cast::<c_void>(), bytes.len());
        let len = u32::try_from(size).map_err(|_| EINVAL)?;

        // SAFETY: The function looks at the addresses only.
        if !unsafe { bindings::krdma_is_linear(ptr, size) } {
            return Err(EINVAL);
        }
        // SAFETY: `dev` is registered. The bytes may be mapped, as was just seen. `find` works for every
        // lifetime, that of the object among them: so they are valid, and not changed, as long as the
        // object, which we keep.
        let addr = unsafe {
            bindings::ib_dma_map_single(dev.as_raw(), ptr, size, raw_direction::<ToDevice>())
        };
        // SAFETY: `addr` is what the mapping returned.
        if unsafe { bindings::ib_dma_mapping_error(dev.as_raw(), addr) } != 0 {
            return Err(ENOMEM);
        }

        // INVARIANT: The bytes were mapped above.
        Ok(Self {
            dev: dev.into(),
            addr,
            len,
            _owner: owner,
        })
    }

    /// Names all of the bytes, for a request that reads them.
    #[inline]
    pub fn sge(&self) -> Sge<'_> {
        Sge(Piece {
            dev: &self.dev,
            addr: self.addr,
            len: self.len,
            key: None,
        })
    }
}

impl<T: Send + Sync + 'static> Drop for SharedMapping<T> {
    fn drop(&mut self) {
        // SAFETY: By the type invariant, this is a mapping of `dev`, which nobody uses any more.
        unsafe {
            bindings::ib_dma_unmap_single(
                self.dev.as_raw(),
                self.addr,
                kernel::num::casts::u32_as_usize(self.len),
                raw_direction::<ToDevice>(),
            )
        };
    }
}
