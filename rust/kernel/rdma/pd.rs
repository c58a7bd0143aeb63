// SPDX-License-Identifier: GPL-2.0

//! Protection domains.
//!
//! C header: [`include/rdma/ib_verbs.h`](srctree/include/rdma/ib_verbs.h)

use crate::{
    account::Charge,
    bindings,
    rdma::Device,
    reaper::Deferred, //
};
use core::ptr::NonNull;
use kernel::{
    error::from_err_ptr,
    prelude::*,
    sync::aref::ARef, //
};

/// A protection domain: what queue pairs and memory regions must share to work together.
pub struct Pd {
    inner: Deferred<Inner>,
}

/// # Invariants
///
/// `ptr` points to a protection domain of `dev` that this type owns.
struct Inner {
    ptr: NonNull<bindings::ib_pd>,
    // Dropped after the protection domain is destroyed, so that the device outlives it.
    dev: ARef<Device>,
}

// SAFETY: A protection domain may be destroyed by any thread.
unsafe impl Send for Inner {}

// SAFETY: The methods that take `&self` read constants only.
unsafe impl Sync for Inner {}

impl Pd {
    /// Allocates a protection domain.
    ///
    /// `owner` is the module that shows as the owner in `rdma resource show`: the caller's own, as
    /// its `init` gets it. The module's code stays until everything made for it is gone: a module that
    /// forgets something is never done with going.
    ///
    /// Errors: [`ENOMEM`] if memory or the device's protection domains are used up.
    pub fn new(dev: &Device, owner: &'static ThisModule) -> Result<Self> {
        let charge = Charge::to(owner)?;
        // SAFETY: `dev` is registered. The core keeps the pointer to the owner's name, which is valid as
        // long as the charge.
        let ptr = unsafe { bindings::__ib_alloc_pd(dev.as_raw(), 0, owner_name(owner)) };
        let ptr = from_err_ptr(ptr)?;

        // INVARIANT: We own what `__ib_alloc_pd` returned, and hold the device that it is of.
        let inner = Inner {
            ptr: NonNull::new(ptr).ok_or(ENOMEM)?,
            dev: dev.into(),
        };
        Ok(Self {
            inner: charge.defer(inner)?,
        })
    }

    /// Returns the device.
    #[inline]
    pub fn device(&self) -> &Device {
        &self.inner.dev
    }

    /// Returns the charge to the account of the owner, which is that of what is made in the domain, too.
    pub(crate) fn charge(&self) -> &Charge {
        self.inner.charge()
    }

    pub(crate) fn as_raw(&self) -> *mut bindings::ib_pd {
        self.inner.ptr.as_ptr()
    }

    /// Returns the local key of all memory that is mapped for DMA.
    pub(crate) fn dma_key(&self) -> u32 {
        // SAFETY: By the type invariant, we own the protection domain. The key is constant.
        unsafe { (*self.as_raw()).local_dma_lkey }
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        // SAFETY: By the type invariant, we own the protection domain. What is made of it holds a
        // reference to this object, so nothing uses it any more.
        unsafe { bindings::ib_dealloc_pd(self.ptr.as_ptr()) };
    }
}

/// Returns the name that the RDMA core records for what is made on behalf of `owner`.
///
/// The C macros take it from the file they are expanded in, which would be krdma's.
pub(crate) fn owner_name(owner: &'static ThisModule) -> *const c_char {
    let module = owner.as_ptr();

    if module.is_null() {
        // Code that is built into the kernel has no module.
        return c"kernel".as_char_ptr();
    }
    // SAFETY: `ThisModule` holds the module's own pointer, which is valid while its code can run.
    // Only the address of the name, a constant array inside of it, is taken.
    unsafe { (&raw const (*module).name).cast() }
}
