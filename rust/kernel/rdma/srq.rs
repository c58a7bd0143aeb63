// SPDX-License-Identifier: GPL-2.0

//! Shared receive queues.
//!
//! Many queue pairs take their receive requests from one [`Srq`]. When it runs low it says so once
//! ([`LimitEvent`]); where requests come back ([`BatchEnd`](crate::rdma::cq::BatchEnd)) is the other
//! place to fill it up. If it is empty, peers of reliable connections are told to try again, and other
//! messages are lost.
//!
//! A request that a queue pair had begun to fill when it failed may not come back: the devices differ
//! in this. It is kept, and counts, until the queue goes.
//!
//! C header: [`include/rdma/ib_verbs.h`](srctree/include/rdma/ib_verbs.h)

mod posted;

pub(crate) use posted::Posted;

use crate::{
    bindings,
    rdma::{
        cq::Reservation,
        post::raw::{
            Chain,
            Failed,
            RecvQueue, //
        },
        request::Header,
        Cq,
        Device,
        Pd, //
    },
    reaper::Deferred,
};
use core::{
    mem::offset_of,
    ptr::{
        self,
        NonNull, //
    },
};
use kernel::{
    error::{
        from_err_ptr,
        to_result, //
    },
    new_mutex, new_spinlock_irq,
    prelude::*,
    sync::{
        aref::ARef,
        atomic::{
            ordering::Relaxed,
            Atomic, //
        },
        Arc,
        Mutex,
        SpinLockIrq, //
    },
};
use posted::List;

/// A receive queue that queue pairs share.
///
/// Its requests complete in one completion queue, which the queue pairs that use it must have as
/// their receive queue.
pub struct Srq {
    inner: Deferred<Inner>,
}

/// # Invariants
///
/// `ptr` points to a shared receive queue in `pd` that this type owns.
#[pin_data(PinnedDrop)]
struct Inner {
    ptr: NonNull<bindings::ib_srq>,
    /// How many requests are let in. Not more than are `reserved`.
    max_wr: Atomic<u32>,
    max_sge: u32,
    /// The requests in the queue, and those completed and not yet handled.
    #[pin]
    posted: SpinLockIrq<List>,
    on_limit: Option<KBox<dyn LimitEvent>>,
    // Dropped after the queue is destroyed.
    cq: Reservation,
    /// Entries of the completion queue for what was added to the queue.
    #[pin]
    added: Mutex<Added>,
    /// What handles lead to, if there are any.
    #[pin]
    target: Mutex<Option<Arc<Target>>>,
    pd: Arc<Pd>,
}

/// What [`Srq::resize`] has reserved: for so many requests in all.
struct Added {
    reserved: u32,
    reservations: KVec<Reservation>,
}

// SAFETY: A shared receive queue may be used and destroyed by any thread.
unsafe impl Send for Inner {}

// SAFETY: The methods that take `&self` use C functions that lock for themselves.
unsafe impl Sync for Inner {}

/// Is told that a shared receive queue runs low.
pub trait LimitEvent: Send + Sync + 'static {
    /// Fewer requests are left than the limit, which is disarmed now: see [`Srq::arm`].
    ///
    /// Requests can be posted to `srq` here, until the queue goes. To arm it again is for process context: a handler on a
    /// workqueue can, of which there is one for the request that has made the queue run low.
    ///
    /// # Context
    ///
    /// Any, interrupts included: must not sleep, and share data by locks that disable them.
    fn limit_reached(&self, srq: SrqRef<'_>);
}

/// A way to post to a shared receive queue that does not keep it, by [`Srq::handle`].
///
/// It is for what the queue keeps itself, such as the end of a batch of its completion queue. It keeps
/// the device. When the queue goes, posting fails with [`ESHUTDOWN`].
#[derive(Clone)]
pub struct SrqHandle(Arc<Target>);

#[pin_data]
struct Target {
    #[pin]
    srq: SpinLockIrq<Address>,
    dev: ARef<Device>,
    dma_key: u32,
    max_sge: u32,
}

/// # Invariants
///
/// The address is null, or that of a shared receive queue that exists as long as the lock is held that
/// this is behind.
struct Address(*const Inner);

// SAFETY: A shared receive queue may be used by any thread.
unsafe impl Send for Address {}

/// A shared receive queue, in a callback of its own.
#[derive(Clone, Copy)]
pub struct SrqRef<'a>(&'a Inner);

impl Srq {
    /// Allocates a shared receive queue of `max_wr` requests of at least `max_sge` pieces.
    ///
    /// The requests complete in `cq`. A request counts from when it is posted to when its handler is
    /// called: so there is room for all completions. `on_limit` is told when the queue runs low; it belongs to the
    /// queue and must not keep it alive.
    ///
    /// Errors: [`EOPNOTSUPP`] if the device has none, or speaks iWARP (see
    /// [`Qp::new`](crate::rdma::Qp::new)), [`EINVAL`] if it has none so large, or `cq` is
    /// of another device, [`ENOSPC`] if `cq` has not so many entries left, [`ENOMEM`].
    pub fn new(
        pd: &Arc<Pd>,
        cq: &Arc<Cq>,
        max_wr: u32,
        max_sge: u32,
        on_limit: Option<KBox<dyn LimitEvent>>,
    ) -> Result<Arc<Self>> {
        pd.device().refuse_iwarp()?;
        if pd.device() != cq.device() {
            return Err(EINVAL);
        }

        let entries = max_wr;
        let inner = pd.charge().defer(try_pin_init!(&this in Inner {
            posted <- new_spinlock_irq!(List::new()),
            on_limit,
            pd: pd.clone(),
            cq: Cq::reserve(cq.clone(), entries)?,
            target <- new_mutex!(None),
            added <- new_mutex!(Added {
                reserved: entries,
                reservations: KVec::new(),
            }),
            ptr: {
                let mut attr = bindings::ib_srq_init_attr {
                    event_handler: Some(Inner::event_callback),
                    srq_context: this.as_ptr().cast(),
                    srq_type: bindings::ib_srq_type_IB_SRQT_BASIC,
                    ..pin_init::zeroed()
                };
                attr.attr.max_wr = max_wr;
                attr.attr.max_sge = max_sge;

                // SAFETY: `pd` is a protection domain of a registered device. The callback uses what
                // is initialized already; it ends before the memory behind `this` goes.
                let srq = unsafe {
                    bindings::ib_create_srq_user(
                        pd.as_raw(),
                        &mut attr,
                        ptr::null_mut(),
                        ptr::null_mut(),
                    )
                };
                NonNull::new(from_err_ptr(srq)?).ok_or(ENOMEM)?
            },
            max_wr: Atomic::new(
                Inner::granted(*ptr)
                    // SAFETY: Nobody else knows the queue yet.
                    .inspect_err(|_| unsafe { Inner::undo(*ptr) })?
                    .max_wr
                    .min(entries),
            ),
            max_sge: Inner::granted(*ptr)
                // SAFETY: Nobody else knows the queue yet.
                .inspect_err(|_| unsafe { Inner::undo(*ptr) })?
                .max_sge,
        }))?;

        Ok(Arc::new(Self { inner }, GFP_KERNEL)?)
    }

    /// Returns the number of requests that fit.
    ///
    /// Does not sleep.
    pub fn capacity(&self) -> u32 {
        self.inner.max_wr.load(Relaxed)
    }

    /// Returns the number of requests that are in the queue, or completed and not yet handled.
    ///
    /// Does not sleep.
    pub fn posted(&self) -> u32 {
        self.inner.posted.lock().len()
    }

    /// Returns the device.
    pub fn device(&self) -> &Device {
        self.inner.pd.device()
    }

    /// Asks to be told once, when fewer than `limit` requests are left. Zero asks not to be told.
    ///
    /// Some devices look only when they take a request: fill the queue first, then arm.
    ///
    /// Errors: [`EINVAL`] if the limit is not below the capacity.
    pub fn arm(&self, limit: u32) -> Result {
        let mut attr = bindings::ib_srq_attr {
            srq_limit: limit,
            ..pin_init::zeroed()
        };

        if limit != 0 && limit >= self.capacity() {
            return Err(EINVAL);
        }
        // SAFETY: By the type invariant, we own the queue.
        to_result(unsafe {
            bindings::ib_modify_srq(
                self.inner.ptr.as_ptr(),
                &mut attr,
                bindings::ib_srq_attr_mask_IB_SRQ_LIMIT,
            )
        })
    }

    /// Changes how many requests fit.
    ///
    /// Entries of the completion queue that were reserved for more requests stay so.
    ///
    /// Errors: [`EOPNOTSUPP`] if the device can't do that, [`EINVAL`] if it has none so large, if
    /// there are more requests in the queue, or if the limit is not below, [`ENOSPC`] if the
    /// completion queue has not so many entries left, [`ENOMEM`].
    pub fn resize(&self, max_wr: u32) -> Result {
        let inner = &*self.inner;
        let mut added = inner.added.lock();

        if !self.device().attributes().can_resize_srq() {
            return Err(EOPNOTSUPP);
        }
        if max_wr == 0 || max_wr < self.posted() {
            return Err(EINVAL);
        }

        let more = max_wr.saturating_sub(added.reserved);
        added.reservations.reserve(1, GFP_KERNEL)?;
        let reservation = match more {
            0 => None,
            more => Some(Cq::reserve(inner.cq.cq().clone(), more)?),
        };
        // Before the queue becomes smaller, so that nobody posts what does not fit any more. Who does
        // so meanwhile is refused by the device.
        let before = inner.max_wr.load(Relaxed);
        inner.max_wr.store(before.min(max_wr), Relaxed);

        let mut attr = bindings::ib_srq_attr {
            max_wr,
            ..pin_init::zeroed()
        };
        // SAFETY: By the type invariant, we own the queue.
        let ret = to_result(unsafe {
            bindings::ib_modify_srq(
                inner.ptr.as_ptr(),
                &mut attr,
                bindings::ib_srq_attr_mask_IB_SRQ_MAX_WR,
            )
        });
        if let Err(err) = ret {
            inner.max_wr.store(before, Relaxed);
            return Err(err);
        }

        if let Some(reservation) = reservation {
            added.reserved = max_wr;
            // There is room, as it was made above.
            let _ = added.reservations.push_within_capacity(reservation);
        }
        inner.max_wr.store(max_wr, Relaxed);
        Ok(())
    }

    /// Returns a way to post to the queue that does not keep it.
    ///
    /// Errors: [`ENOMEM`].
    pub fn handle(&self) -> Result<SrqHandle> {
        let inner = &*self.inner;
        let mut target = inner.target.lock();

        if let Some(target) = &*target {
            return Ok(SrqHandle(target.clone()));
        }
        // INVARIANT: The queue exists, and takes its address back before it goes.
        let new = Arc::pin_init(
            pin_init!(Target {
                srq <- new_spinlock_irq!(Address(inner)),
                dev: inner.pd.device().into(),
                dma_key: inner.pd.dma_key(),
                max_sge: inner.max_sge,
            }),
            GFP_KERNEL,
        )?;
        *target = Some(new.clone());
        Ok(SrqHandle(new))
    }

    pub(crate) fn as_raw(&self) -> *mut bindings::ib_srq {
        self.inner.ptr.as_ptr()
    }

    pub(crate) fn cq(&self) -> &Arc<Cq> {
        self.inner.cq.cq()
    }
}

impl SrqRef<'_> {
    /// Returns the number of requests that fit.
    pub fn capacity(&self) -> u32 {
        self.0.max_wr.load(Relaxed)
    }

    /// Returns the number of requests that are in the queue, or completed and not yet handled.
    pub fn posted(&self) -> u32 {
        self.0.posted.lock().len()
    }
}

/// Both ways to name a queue are one to post to it.
macro_rules! forward {
    ($name:ty, $field:tt) => {
        // SAFETY: As for the queue itself.
        unsafe impl RecvQueue for $name {
            fn device(&self) -> &Device {
                self.$field.device()
            }

            fn dma_key(&self) -> u32 {
                self.$field.dma_key()
            }

            fn max_sge(&self) -> u32 {
                self.$field.max_sge()
            }

            unsafe fn post(&self, chain: &Chain<'_>) -> core::result::Result<(), Failed> {
                // SAFETY: By the function's requirements.
                unsafe { self.$field.post(chain) }
            }
        }
    };
}

forward!(Srq, inner);
forward!(SrqRef<'_>, 0);

// SAFETY: As for the queue itself, which exists while it is posted to.
unsafe impl RecvQueue for SrqHandle {
    fn device(&self) -> &Device {
        &self.0.dev
    }

    fn dma_key(&self) -> u32 {
        self.0.dma_key
    }

    fn max_sge(&self) -> u32 {
        self.0.max_sge
    }

    unsafe fn post(&self, chain: &Chain<'_>) -> core::result::Result<(), Failed> {
        let srq = self.0.srq.lock();
        // SAFETY: By the type invariant, a queue whose address is there exists while we have the lock.
        let Some(inner) = (unsafe { srq.0.as_ref() }) else {
            return Err(Failed::all(ESHUTDOWN));
        };

        // SAFETY: By the function's requirements.
        unsafe { inner.post(chain) }
    }
}

// SAFETY: Requests in the queue are listed, and given up when they complete or when the queue goes.
unsafe impl RecvQueue for Inner {
    fn device(&self) -> &Device {
        self.pd.device()
    }

    fn dma_key(&self) -> u32 {
        self.pd.dma_key()
    }

    fn max_sge(&self) -> u32 {
        self.max_sge
    }

    unsafe fn post(&self, chain: &Chain<'_>) -> core::result::Result<(), Failed> {
        {
            // The device counts what it has not begun; what has completed must not be more than fits in
            // the completion queue.
            let mut posted = self.posted.lock();

            if posted.is_shut() {
                return Err(Failed::all(ESHUTDOWN));
            }
            match posted.len().checked_add(chain.len()) {
                Some(len) if len <= self.max_wr.load(Relaxed) => {}
                _ => return Err(Failed::all(ENOMEM)),
            }
            for header in chain.headers {
                // SAFETY: By the function's requirements, the header is valid and ours. It is removed
                // when the request completes, below, or when the queue goes.
                unsafe {
                    Posted::insert(&raw mut (**header).posted, &self.posted, &mut posted);
                }
            }
        }
        chain
            // SAFETY: By the type invariant, we own the queue; the rest is the function's requirement.
            .post(|wr, bad| unsafe { bindings::ib_post_srq_recv(self.ptr.as_ptr(), wr, bad) })
            .inspect_err(|failed| {
                for header in &chain.headers[failed.posted..] {
                    // SAFETY: The header is valid and the caller's again.
                    unsafe { Posted::remove(&raw mut (**header).posted) };
                }
            })
    }
}

impl Inner {
    /// Destroys a queue that can't be used, as something else that it needs is not to be had.
    ///
    /// # Safety
    ///
    /// The caller must own the queue, and nothing may be posted. It is not valid any more.
    unsafe fn undo(ptr: NonNull<bindings::ib_srq>) {
        // SAFETY: The function's requirement.
        unsafe { bindings::ib_destroy_srq_user(ptr.as_ptr(), ptr::null_mut()) };
    }

    fn granted(srq: NonNull<bindings::ib_srq>) -> Result<bindings::ib_srq_attr> {
        let mut attr = pin_init::zeroed();

        // SAFETY: The queue exists, and `attr` is valid for writes.
        to_result(unsafe { bindings::ib_query_srq(srq.as_ptr(), &mut attr) })?;
        Ok(attr)
    }

    /// # Safety
    ///
    /// To be called by the driver only, as the queue's event handler.
    unsafe extern "C" fn event_callback(event: *mut bindings::ib_event, context: *mut c_void) {
        // SAFETY: The context is what the queue was created with. It lives as long as the queue. A
        // limit is reached when a request is taken, so not before somebody could post one: all of it
        // is initialized then.
        let this = unsafe { &*context.cast::<Self>() };
        // SAFETY: `event` is valid for this call.
        let event = unsafe { (*event).event };

        if event == bindings::ib_event_type_IB_EVENT_SRQ_LIMIT_REACHED {
            if let Some(on_limit) = &this.on_limit {
                on_limit.limit_reached(SrqRef(this));
            }
        }
    }
}

#[pinned_drop]
impl PinnedDrop for Inner {
    fn drop(self: Pin<&mut Self>) {
        if let Some(target) = self.target.lock().take() {
            // INVARIANT: From here on nobody has the address.
            target.srq.lock().0 = ptr::null();
        }

        // A handler of the limit may still run. What it posts from here on it gets back; what it has posted
        // before it returns, which the driver waits for, is in the list.
        self.posted.lock().shut();

        // SAFETY: By the type invariant, we own the queue. Queue pairs that use it keep it alive, so
        // there is none any more.
        unsafe { bindings::ib_destroy_srq_user(self.ptr.as_ptr(), ptr::null_mut()) };

        loop {
            let posted = self.posted.lock().head();
            if posted.is_null() {
                break;
            }

            // SAFETY: The hardware has given up all requests with the queue, and those that had
            // completed have been handled when their queue pairs went. So what is listed is ours.
            unsafe {
                let header = posted.byte_sub(offset_of!(Header, posted)).cast::<Header>();

                Posted::remove(posted);
                Header::drop_request(header);
            }
        }
    }
}
