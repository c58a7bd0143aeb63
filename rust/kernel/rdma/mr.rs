// SPDX-License-Identifier: GPL-2.0

//! Memory regions: memory that peers may read and write.
//!
//! A region is registered and revoked by work requests ("fast registration"). Between the two a peer
//! that knows the key may access the memory at any time, so the memory stays with the region until
//! the hardware has confirmed that the key is revoked.
//!
//! C header: [`include/rdma/ib_verbs.h`](srctree/include/rdma/ib_verbs.h)

use crate::{
    bindings,
    rdma::{
        dma::{
            PageList,
            Piece,
            Sge,
            SgeMut, //
        },
        Completion,
        Device,
        Pd, //
    },
    reaper::Deferred,
};
use core::ptr::NonNull;
use kernel::{
    error::from_err_ptr,
    impl_flags,
    page::PAGE_SIZE,
    prelude::*,
    sync::{
        atomic::{
            ordering::{
                Acquire,
                Full,
                Release, //
            },
            Atomic, //
        },
        Arc, //
    },
};

impl_flags!(
    /// What may be done to a region, beside reading it locally.
    #[derive(Debug, Clone, Default, Copy, PartialEq, Eq)]
    pub struct Access(u32);

    /// One thing that may be done to a region.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub enum AccessFlag {
        /// The local device may write it: needed for receives into it, and for all remote writes.
        LocalWrite = bindings::ib_access_flags_IB_ACCESS_LOCAL_WRITE,
        /// Peers may write it.
        RemoteWrite = bindings::ib_access_flags_IB_ACCESS_REMOTE_WRITE,
        /// Peers may read it.
        RemoteRead = bindings::ib_access_flags_IB_ACCESS_REMOTE_READ,
        /// Peers may operate on it atomically.
        RemoteAtomic = bindings::ib_access_flags_IB_ACCESS_REMOTE_ATOMIC,
    }
);

impl Access {
    pub(crate) fn as_raw(self) -> c_int {
        // CAST: The flags are few and positive; C keeps them in an `int`.
        u32::from(self) as c_int
    }
}

/// Where a peer's memory is, and the key to it. The peer has sent it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Remote {
    /// The address in the peer's region.
    pub addr: u64,
    /// The key of the region.
    pub key: u32,
}

/// Whether the hardware may let somebody use a region.
pub(crate) struct Exposure(Atomic<bool>);

impl Exposure {
    /// From here on it may.
    pub(crate) fn begin(&self) -> Result {
        match self.0.cmpxchg(false, true, Full) {
            Ok(_) => Ok(()),
            Err(_) => Err(EBUSY),
        }
    }

    /// The hardware has confirmed that it does not.
    pub(crate) fn end(&self) {
        self.0.store(false, Release);
    }

    pub(crate) fn is_on(&self) -> bool {
        self.0.load(Acquire)
    }
}

/// A memory region for fast registration.
pub struct Mr {
    // Dropped before the pages: that ends all access to them.
    inner: Deferred<Inner>,
}

/// # Invariants
///
/// `ptr` points to a memory region in `pd` that this type owns. If the hardware may let somebody use
/// it, `exposure` is on, and it is of `pages`.
#[pin_data(PinnedDrop)]
struct Inner {
    ptr: NonNull<bindings::ib_mr>,
    exposure: Exposure,
    attached: Option<PageList>,
    max_pages: u32,
    // Dropped after the region is.
    pd: Arc<Pd>,
}

// SAFETY: A memory region may be used and deregistered by any thread.
unsafe impl Send for Inner {}

// SAFETY: The methods that take `&self` change nothing but `exposure`, which is atomic.
unsafe impl Sync for Inner {}

/// A region could not take the pages: why, and the pages.
pub struct AttachError {
    /// Why.
    pub error: Error,
    /// The pages.
    pub pages: PageList,
}

impl Mr {
    /// Allocates a region for up to `max_pages` pages.
    ///
    /// Errors: [`EOPNOTSUPP`] if the device has no fast registration, [`EINVAL`] if it has none for
    /// so many pages, [`ENOMEM`].
    pub fn new(pd: &Arc<Pd>, max_pages: u32) -> Result<Self> {
        let inner = Deferred::new(try_pin_init!(Inner {
            ptr: {
                // SAFETY: `pd` is a protection domain of a registered device.
                let ptr = unsafe {
                    bindings::ib_alloc_mr(
                        pd.as_raw(),
                        bindings::ib_mr_type_IB_MR_TYPE_MEM_REG,
                        max_pages,
                    )
                };

                NonNull::new(from_err_ptr(ptr)?).ok_or(ENOMEM)?
            },
            exposure: Exposure(Atomic::new(false)),
            attached: None,
            max_pages,
            pd: pd.clone(),
        }))?;

        Ok(Self { inner })
    }

    /// Returns the most pages that the region takes.
    pub fn max_pages(&self) -> u32 {
        self.inner.max_pages
    }

    /// Makes the region one of these pages, under a new key. To let anybody use it, post a
    /// registration ([`Links::register`](crate::rdma::post::Links::register)).
    ///
    /// Errors: [`EBUSY`] if the region has pages, [`EINVAL`] if they are too many or of another
    /// device.
    pub fn attach(&mut self, pages: PageList) -> core::result::Result<(), AttachError> {
        let error = if self.inner.attached.is_some() || self.inner.exposure.is_on() {
            EBUSY
        } else if pages.device() != self.device() {
            EINVAL
        } else {
            match self.map(&pages) {
                Ok(()) => {
                    self.inner.as_mut().project_attached().replace(pages);
                    return Ok(());
                }
                Err(error) => error,
            }
        };
        Err(AttachError { error, pages })
    }

    fn map(&self, pages: &PageList) -> Result {
        let (sgl, nents) = pages.as_raw();
        let nents = c_int::try_from(nents).map_err(|_| EINVAL)?;
        let raw = self.as_raw();

        // SAFETY: By the type invariant, we own the region, and nobody else uses it. The list is
        // mapped for its device.
        let mapped = unsafe {
            bindings::ib_map_mr_sg(
                raw,
                sgl,
                nents,
                core::ptr::null_mut(),
                // CAST: The size of a page fits.
                PAGE_SIZE as c_uint,
            )
        };
        if mapped < 0 {
            return Err(Error::from_errno(mapped));
        }
        if mapped != nents {
            return Err(EINVAL);
        }

        // The low byte of a key is ours. With another one in each round a peer can't use an old key.
        // SAFETY: As above.
        unsafe {
            let next = ((*raw).rkey as u8).wrapping_add(1);
            bindings::ib_update_fast_reg_key(raw, next);
        }
        Ok(())
    }

    /// Takes the pages out of the region.
    ///
    /// Errors: [`EBUSY`] if a registration was posted and its end is not confirmed, [`ENOENT`] if
    /// the region has none.
    pub fn detach(&mut self) -> Result<PageList> {
        if self.inner.exposure.is_on() {
            return Err(EBUSY);
        }
        self.inner.as_mut().project_attached().take().ok_or(ENOENT)
    }

    /// Returns the pages.
    pub fn pages(&self) -> Option<&PageList> {
        self.inner.attached.as_ref()
    }

    /// Returns what a peer needs to know to use the region.
    pub fn remote(&self) -> Remote {
        // SAFETY: By the type invariant, we own the region. Only `attach` changes these fields.
        unsafe {
            Remote {
                addr: (*self.as_raw()).iova,
                key: (*self.as_raw()).rkey,
            }
        }
    }

    /// Names all of the region, for a local request that reads it.
    pub fn sge(&self) -> Sge<'_> {
        Sge(self.piece())
    }

    /// Names all of the region, for a local request that writes it.
    pub fn sge_mut(&self) -> SgeMut<'_> {
        SgeMut(self.piece())
    }

    fn piece(&self) -> Piece<'_> {
        // SAFETY: As for `remote`.
        let (addr, len, key) = unsafe {
            let raw = self.as_raw();
            ((*raw).iova, (*raw).length, (*raw).lkey)
        };

        let len = match self.pages() {
            Some(_) => u32::try_from(len).unwrap_or(u32::MAX),
            // What the region was of before is not its any more.
            None => 0,
        };

        Piece {
            dev: self.device(),
            addr,
            len,
            key: Some(key),
        }
    }

    /// Notes that the peer has revoked the region's key by the message that `completion` is of.
    ///
    /// Returns whether it has.
    pub fn revoked_by(&self, completion: &Completion<'_>) -> bool {
        let revoked = completion.status().is_success()
            && completion.invalidated_key() == Some(self.remote().key);

        if revoked {
            self.inner.exposure.end();
        }
        revoked
    }

    /// Returns whether somebody may use the region, as far as is known.
    pub fn is_exposed(&self) -> bool {
        self.inner.exposure.is_on()
    }

    /// Returns the device.
    pub fn device(&self) -> &Device {
        self.inner.pd.device()
    }

    pub(crate) fn pd(&self) -> &Arc<Pd> {
        &self.inner.pd
    }

    pub(crate) fn exposure(&self) -> &Exposure {
        &self.inner.exposure
    }

    pub(crate) fn as_raw(&self) -> *mut bindings::ib_mr {
        self.inner.ptr.as_ptr()
    }
}

impl Inner {
    /// Projects to the pages, which are not pinned.
    fn project_attached(self: Pin<&mut Self>) -> &mut Option<PageList> {
        // SAFETY: Nothing is moved out of the pinned object; the field is not structurally pinned.
        unsafe { &mut self.get_unchecked_mut().attached }
    }
}

#[pinned_drop]
impl PinnedDrop for Inner {
    fn drop(self: Pin<&mut Self>) {
        // SAFETY: By the type invariant, we own the region. When this returns nobody can use it, so
        // that the pages, which are dropped next, may go.
        unsafe { bindings::ib_dereg_mr_user(self.ptr.as_ptr(), core::ptr::null_mut()) };
    }
}

#[kunit_tests(krdma_mr)]
mod tests {
    use super::*;

    #[test]
    fn access_is_in_bits() {
        let access = AccessFlag::LocalWrite | AccessFlag::RemoteRead;

        assert_eq!(Access::default().as_raw(), 0);
        assert_eq!(access.as_raw(), 1 | 4);
        assert_eq!(Access::from(AccessFlag::RemoteWrite).as_raw(), 2);
        assert_eq!(Access::from(AccessFlag::RemoteAtomic).as_raw(), 8);
    }

    #[test]
    fn a_region_is_exposed_once() {
        let exposure = Exposure(Atomic::new(false));

        assert!(!exposure.is_on());
        assert_eq!(exposure.begin(), Ok(()));
        assert!(exposure.is_on());
        assert_eq!(exposure.begin(), Err(EBUSY));
        exposure.end();
        assert!(!exposure.is_on());
        assert_eq!(exposure.begin(), Ok(()));
    }
}
