// SPDX-License-Identifier: GPL-2.0

//! Memory regions: memory that peers may read and write.
//!
//! A region is registered and revoked by work requests ("fast registration"). Between the two a peer
//! that knows the key may access the memory at any time. So the memory stays with the region until the
//! hardware has confirmed that the key is revoked:
//!
//! - a request that [revokes](crate::rdma::post::Links::invalidate) it has succeeded,
//! - a message was received by which the peer has revoked it ([`Mr::revoked_by`]), or
//! - the region is dropped, which deregisters it.
//!
//! A request that fails, or is flushed, confirms nothing. Each registration is under another key, so that
//! what ends late is not taken for a later one. A key has eight bits that change, and comes round after
//! 256 registrations; a message that might be about the one that had the key before is not taken for one
//! about the present.
//!
//! C header: [`include/rdma/ib_verbs.h`](srctree/include/rdma/ib_verbs.h)

use crate::{
    bindings,
    rdma::{
        dma::{
            PageList,
            Piece,
            ProgramPages,
            Sge,
            SgeMut, //
        },
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
    sync::Arc, //
};

mod exposure;
mod revoked;
mod state;

pub(crate) use exposure::{
    Exposure,
    Stamp, //
};
pub(crate) use state::{
    End,
    Round, //
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

/// A memory region for fast registration.
pub struct Mr {
    // Dropped before the pages: that ends all access to them.
    inner: Deferred<Inner>,
}

/// # Invariants
///
/// `ptr` points to a memory region in `pd` that this type owns. If `exposure` is not idle it is of the
/// pages that are attached. Its keys are written by who has taken `exposure` out of that state, before a
/// request is posted.
#[pin_data(PinnedDrop)]
struct Inner {
    ptr: NonNull<bindings::ib_mr>,
    exposure: Exposure,
    attached: Option<Attached>,
    max_pages: u32,
    /// The keys when the region was made.
    rkey: u32,
    lkey: u32,
    // Dropped after the region is.
    pd: Arc<Pd>,
}

/// The pages of a region, and what the driver has made of them.
struct Attached {
    pages: Pages,
    addr: u64,
    len: u64,
}

/// The memory of a region.
enum Pages {
    /// The kernel's.
    Kernel(PageList),
    /// A program's.
    Program(ProgramPages),
}

impl Pages {
    /// Returns whether the device may write them.
    fn is_writable(&self) -> bool {
        match self {
            Self::Kernel(_) => true,
            Self::Program(pages) => pages.pages().is_writable(),
        }
    }

    /// Leaves the memory mapped for good.
    fn leak(self) {
        match self {
            Self::Kernel(pages) => pages.leak(),
            Self::Program(pages) => pages.leak(),
        }
    }
}

// SAFETY: A memory region may be used and deregistered by any thread.
unsafe impl Send for Inner {}

// SAFETY: The methods that take `&self` change `exposure`, which is atomic, and the keys of the C object,
// which one thread at a time does, see the type invariant.
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
        let inner = pd.charge().defer(try_pin_init!(Inner {
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
            // INVARIANT: Nothing is attached, and nothing registered.
            exposure: Exposure::new(),
            attached: None,
            max_pages,
            // SAFETY: The region was just made, and nobody else knows it.
            rkey: unsafe { ptr.as_ref() }.rkey,
            // SAFETY: As above.
            lkey: unsafe { ptr.as_ref() }.lkey,
            pd: pd.clone(),
        }))?;

        Ok(Self { inner })
    }

    /// Returns the most pages that the region takes.
    pub fn max_pages(&self) -> u32 {
        self.inner.max_pages
    }

    /// Makes the region one of these pages. To let anybody use it, post a registration ([`Links::register`](crate::rdma::post::Links::register)).
    ///
    /// Errors: [`EBUSY`] if the region has pages, [`EINVAL`] if they are too many or of another
    /// device.
    pub fn attach(&mut self, pages: PageList) -> core::result::Result<(), AttachError> {
        // SAFETY: By the invariant of the list.
        match unsafe { self.map(pages.device(), pages.as_raw(), false) } {
            Ok((addr, len)) => {
                let pages = Pages::Kernel(pages);
                let attached = Attached { pages, addr, len };

                self.inner.as_mut().project_attached().replace(attached);
                Ok(())
            }
            Err(error) => Err(AttachError { error, pages }),
        }
    }

    /// Makes the region one of a program's memory, as [`attach`](Self::attach) does of the kernel's. Its bytes have the
    /// addresses from 0 on, but for those before it in its first page: the address of the region is
    /// [where its first byte is in the page](crate::page::PinnedPages::offset).
    ///
    /// The pages stay until [`detach_program`](Self::detach_program), and the region can be registered for no more than
    /// they are pinned for.
    ///
    /// Errors: As for [`attach`](Self::attach), and [`EINVAL`] if the memory is not without gaps. It is unpinned then.
    pub fn attach_program(&mut self, pages: ProgramPages) -> Result {
        // SAFETY: As above.
        let (addr, len) = unsafe { self.map(pages.device(), pages.as_raw(), true)? };
        let pages = Pages::Program(pages);
        let attached = Attached { pages, addr, len };

        self.inner.as_mut().project_attached().replace(attached);
        Ok(())
    }

    /// Returns the address and the length of what the region is of then. Addresses begin in the first page if they are
    /// `zero_based`.
    ///
    /// # Safety
    ///
    /// The list must be one of so many entries that is mapped for `dev`.
    unsafe fn map(
        &mut self,
        dev: &Device,
        (sgl, nents): (*mut bindings::scatterlist, c_uint),
        zero_based: bool,
    ) -> Result<(u64, u64)> {
        if self.inner.attached.is_some() || self.is_exposed() {
            return Err(EBUSY);
        }
        if dev != self.device() {
            return Err(EINVAL);
        }

        let nents = c_int::try_from(nents).map_err(|_| EINVAL)?;
        let raw = self.as_raw();

        // SAFETY: By the type invariant, we own the region. We have it exclusively and it is idle, so that
        // nobody else uses it. By the function's requirements, the list is mapped for its device.
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
        // SAFETY: As above. The address is one that the registration names, as `ib_map_mr_sg_zbva()` has it.
        Ok(unsafe {
            if zero_based {
                // CAST: The size of a page fits.
                (*raw).iova &= PAGE_SIZE as u64 - 1;
            }
            ((*raw).iova, (*raw).length)
        })
    }

    /// Takes the pages out of the region.
    ///
    /// Errors: [`EBUSY`] if somebody may be able to use the region, see
    /// [`is_exposed`](Self::is_exposed), [`ENOENT`] if it has none, or a program's.
    pub fn detach(&mut self) -> Result<PageList> {
        if !self.inner.exposure.is_idle() {
            return Err(EBUSY);
        }
        let attached = self.inner.as_mut().project_attached();

        match attached.take() {
            Some(Attached {
                pages: Pages::Kernel(pages),
                ..
            }) => Ok(pages),
            other => {
                *attached = other;
                Err(ENOENT)
            }
        }
    }

    /// Takes a program's memory out of the region.
    ///
    /// Errors: As for [`detach`](Self::detach).
    pub fn detach_program(&mut self) -> Result<ProgramPages> {
        if !self.inner.exposure.is_idle() {
            return Err(EBUSY);
        }
        let attached = self.inner.as_mut().project_attached();

        match attached.take() {
            Some(Attached {
                pages: Pages::Program(pages),
                ..
            }) => Ok(pages),
            other => {
                *attached = other;
                Err(ENOENT)
            }
        }
    }

    /// Returns the pages, if they are the kernel's.
    pub fn pages(&self) -> Option<&PageList> {
        match &self.inner.attached.as_ref()?.pages {
            Pages::Kernel(pages) => Some(pages),
            Pages::Program(_) => None,
        }
    }

    /// Hands a program's memory to the processor, with what the device has written, or to the device, with what the program
    /// has. Does not sleep.
    pub fn sync_program(&self, for_cpu: bool) {
        let attached = self.inner.attached.as_ref();

        if let Some(Pages::Program(pages)) = attached.map(|attached| &attached.pages) {
            pages.sync(for_cpu);
        }
    }

    /// Returns whether the region has pages that may be written.
    pub fn is_writable(&self) -> bool {
        let attached = self.inner.attached.as_ref();

        attached.is_some_and(|attached| attached.pages.is_writable())
    }

    /// Returns what a peer needs to know to use the region as it is registered, or will be next.
    ///
    /// The key is another one when it is known that this one is revoked, and stays the same otherwise.
    pub fn remote(&self) -> Remote {
        Remote {
            addr: self.addr(),
            key: self.key_of(self.inner.exposure.round()),
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
        let byte = self.inner.exposure.round().key_byte(self.key_byte());

        Piece {
            dev: self.device(),
            addr: self.addr(),
            // What the region was of before is not its any more.
            len: self.inner.attached.as_ref().map_or(0, |attached| {
                u32::try_from(attached.len).unwrap_or(u32::MAX)
            }),
            key: Some(with_byte(self.inner.lkey, byte)),
        }
    }

    fn addr(&self) -> u64 {
        self.inner
            .attached
            .as_ref()
            .map_or(0, |attached| attached.addr)
    }

    /// The part of the key that changes, when the region was made.
    fn key_byte(&self) -> u8 {
        let [byte, ..] = self.inner.rkey.to_le_bytes();

        byte
    }

    /// The key of a round.
    fn key_of(&self, round: Round) -> u32 {
        with_byte(self.inner.rkey, round.key_byte(self.key_byte()))
    }

    /// Returns whether somebody may be able to use the region, as far as is known.
    ///
    /// That is so from when a registration is described, until it is confirmed that its key is revoked, or
    /// the registration was not posted.
    pub fn is_exposed(&self) -> bool {
        !self.inner.exposure.is_idle()
    }

    /// A request is described that registers the region: returns its round and key.
    ///
    /// Errors: [`ENOENT`] if the region has no pages, [`EACCES`] if they may not be written and `access` says more,
    /// [`EBUSY`] if it is exposed.
    pub(crate) fn begin(&self, access: Access) -> Result<(Round, u32)> {
        let attached = self.inner.attached.as_ref().ok_or(ENOENT)?;
        if !attached.pages.is_writable() && access != Access::from(AccessFlag::RemoteRead) {
            return Err(EACCES);
        }
        let round = self.inner.exposure.register()?;

        // SAFETY: By the type invariant, we own the region. It was idle and we have taken it out of that, so
        // nobody else writes the keys, and no request reads them.
        unsafe { bindings::ib_update_fast_reg_key(self.as_raw(), round.key_byte(self.key_byte())) };
        Ok((round, self.key_of(round)))
    }

    /// A request is described that revokes the key: returns its round and the key. If the request registers
    /// the region before, `own` is the round of that.
    ///
    /// Errors: [`ENOENT`] if the region is not exposed, [`EBUSY`] if a request that registers or revokes
    /// it has not ended.
    pub(crate) fn begin_end(&self, own: Round) -> Result<(Round, u32)> {
        let round = self.inner.exposure.invalidate(own)?;

        Ok((round, self.key_of(round)))
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
    fn project_attached(self: Pin<&mut Self>) -> &mut Option<Attached> {
        // SAFETY: Nothing is moved out of the pinned object; the field is not structurally pinned.
        unsafe { &mut self.get_unchecked_mut().attached }
    }
}

#[pinned_drop]
impl PinnedDrop for Inner {
    fn drop(self: Pin<&mut Self>) {
        // SAFETY: By the type invariant, we own the region. When this succeeds nobody can use it, so that the
        // pages, which are dropped next, may go.
        let ret = unsafe { bindings::ib_dereg_mr_user(self.ptr.as_ptr(), core::ptr::null_mut()) };

        if ret != 0 {
            kernel::pr_err_once!("a region could not be deregistered: {}\n", ret);
            if let Some(attached) = self.project_attached().take() {
                // The hardware may still let somebody use them.
                attached.pages.leak();
            }
        }
    }
}

/// The key with another low byte, which is the user's to choose.
fn with_byte(key: u32, byte: u8) -> u32 {
    (key & !0xff) | u32::from(byte)
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
    fn the_low_byte_of_a_key_changes() {
        assert_eq!(with_byte(0x1234_56ff, 0), 0x1234_5600);
        assert_eq!(with_byte(0x1234_5600, 0x78), 0x1234_5678);
    }
}
