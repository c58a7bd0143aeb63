// SPDX-License-Identifier: GPL-2.0

//! Completion queues.
//!
//! A queue dispatches each completion to the [`Operation`](crate::rdma::Operation) of the request
//! that it is of. It does so in batches, and can tell at the end of each ([`BatchEnd`]), so that
//! what is needed once for many completions (an acknowledgement, a refill, a wake-up) is done once.
//!
//! C header: [`include/rdma/ib_verbs.h`](srctree/include/rdma/ib_verbs.h)

use crate::{
    account::Charge,
    bindings,
    callback::Runner,
    rdma::{
        pd::owner_name,
        Device, //
    },
    reaper::{
        Deferred,
        Workqueue, //
    },
};
use core::ptr::NonNull;
use kernel::{
    container_of,
    error::from_err_ptr,
    new_mutex,
    prelude::*,
    sync::{
        aref::ARef,
        atomic::{
            ordering::{
                Acquire,
                Relaxed,
                Release, //
            },
            Atomic, //
        },
        static_lock_class,
        Arc,
        Mutex, //
    },
    time::{
        delay::fsleep,
        Delta, //
    },
    types::Opaque, //
};

/// Where completions are handled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Poll {
    /// In softirq context, soon after the hardware signals: handlers must not sleep.
    Softirq,
    /// On a workqueue: handlers may sleep.
    Workqueue,
    /// In [`Cq::poll`] only, in the context of who calls that.
    Direct,
}

/// Is told when a batch of completions has been handled.
pub trait BatchEnd: Send + Sync + 'static {
    /// `completions` handlers have run since the last call, at least one.
    ///
    /// # Context
    ///
    /// That of the handlers, and not at the same time as one of them.
    fn batch_end(&self, completions: u32);
}

/// Completions that are handled at a time before others get the processor.
const BUDGET: c_int = 256;

/// Where queues with [`Poll::Workqueue`] are polled. Set while krdma is loaded.
static WORKQUEUE: Atomic<*mut bindings::workqueue_struct> = Atomic::new(core::ptr::null_mut());

/// Owns the workqueue of [`Poll::Workqueue`].
pub(crate) struct Polling {
    _wq: Workqueue,
}

impl Polling {
    pub(crate) fn new() -> Result<Self> {
        let wq = Workqueue::new(
            c"krdma_cq",
            bindings::wq_flags_WQ_HIGHPRI
                | bindings::wq_flags_WQ_MEM_RECLAIM
                | bindings::wq_flags_WQ_PERCPU,
        )?;

        WORKQUEUE.store(wq.as_raw(), Release);
        Ok(Self { _wq: wq })
    }
}

/// A completion queue.
pub struct Cq {
    inner: Deferred<Inner>,
}

/// # Invariants
///
/// `ptr` points to a completion queue of `dev`. If `pooled`, it is one of the pool, in which this type
/// has claimed `capacity` entries. If not, this type owns it, and its context is the address of this
/// object, which is pinned.
#[pin_data(PinnedDrop)]
struct Inner {
    ptr: NonNull<bindings::ib_cq>,
    poll: Poll,
    /// Whether the queue is one of the device's pool, of which we have `capacity` entries only.
    pooled: bool,
    capacity: u32,
    /// Entries promised to the queues that complete here.
    reserved: Atomic<u32>,
    /// Who calls handlers, if the queue is not one of the pool.
    runner: Runner,
    /// Is told of the end of each batch.
    hook: Option<KBox<dyn BatchEnd>>,
    /// Serialises [`Cq::poll`].
    #[pin]
    direct: Mutex<()>,
    #[pin]
    work: Opaque<bindings::work_struct>,
    /// Has the queue polled in softirq context.
    #[pin]
    softirq: Opaque<bindings::irq_poll>,
    /// Calls of it that have not returned. They use this object when they are no more scheduled.
    softirqs: Atomic<u32>,
    // Dropped after the queue is destroyed.
    dev: ARef<Device>,
}

// SAFETY: A completion queue may be used and destroyed by any thread.
unsafe impl Send for Inner {}

// SAFETY: The methods that take `&self` use C functions that lock for themselves.
unsafe impl Sync for Inner {}

impl Cq {
    /// Allocates a completion queue of at least `capacity` entries.
    ///
    /// `vector` chooses among the device's [completion vectors](Device::completion_vectors), and
    /// wraps around. `owner` is the module that shows in `rdma resource show`, as for
    /// [`Pd::new`](crate::rdma::Pd::new).
    ///
    /// Errors: [`EINVAL`] if the device has no such large queues, [`ENOMEM`].
    pub fn new(
        dev: &Device,
        owner: &'static ThisModule,
        capacity: u32,
        vector: u32,
        poll: Poll,
    ) -> Result<Arc<Self>> {
        Self::build(dev, owner, capacity, vector, poll, None)
    }

    /// Allocates a completion queue that tells of the end of each batch.
    ///
    /// `hook` belongs to the queue: it must not keep the queue alive, or neither ever goes. To fill a
    /// shared receive queue it takes a [handle](crate::rdma::Srq::handle).
    ///
    /// Errors: As for [`Cq::new`].
    pub fn with_batch_end(
        dev: &Device,
        owner: &'static ThisModule,
        capacity: u32,
        vector: u32,
        poll: Poll,
        hook: impl BatchEnd,
    ) -> Result<Arc<Self>> {
        let hook: KBox<dyn BatchEnd> = KBox::new(hook, GFP_KERNEL)?;

        Self::build(dev, owner, capacity, vector, poll, Some(hook))
    }

    fn build(
        dev: &Device,
        owner: &'static ThisModule,
        capacity: u32,
        vector: u32,
        poll: Poll,
        hook: Option<KBox<dyn BatchEnd>>,
    ) -> Result<Arc<Self>> {
        let vectors = dev.completion_vectors().max(1);
        let attr = bindings::ib_cq_init_attr {
            cqe: capacity,
            comp_vector: vector % vectors,
            ..pin_init::zeroed()
        };

        let charge = Charge::to(owner)?;
        let inner = charge.defer(try_pin_init!(&this in Inner {
            poll,
            pooled: false,
            reserved: Atomic::new(0),
            runner: Runner::new(),
            hook,
            direct <- new_mutex!(()),
            work <- Opaque::ffi_init(|work| {
                // SAFETY: `work` is pinned; it is disabled before its memory goes.
                unsafe { Inner::init_work(work) };
            }),
            softirqs: Atomic::new(0),
            softirq <- Opaque::ffi_init(|softirq| {
                // SAFETY: `softirq` is pinned; it is disabled before its memory goes.
                unsafe { bindings::irq_poll_init(softirq, BUDGET, Some(Inner::softirq_callback)) };
            }),
            dev: dev.into(),
            ptr: {
                // SAFETY: `dev` is registered. The callbacks use what is initialized already; they
                // end before the memory behind `this` goes.
                let ptr = unsafe {
                    bindings::__ib_create_cq(
                        dev.as_raw(),
                        Some(Inner::event_callback),
                        None,
                        this.as_ptr().cast(),
                        &attr,
                        owner_name(owner),
                    )
                };

                let ptr = NonNull::new(from_err_ptr(ptr)?).ok_or(ENOMEM)?;
                if *poll == Poll::Direct {
                    // SAFETY: The queue was just created; nothing uses the field yet. The core reads
                    // it when it drains a queue pair.
                    unsafe { (*ptr.as_ptr()).poll_ctx = bindings::ib_poll_context_IB_POLL_DIRECT };
                }
                ptr
            },
            // SAFETY: The queue was just created. The driver has set its real size.
            capacity: u32::try_from(unsafe { (*ptr.as_ptr()).cqe }).unwrap_or(0),
        }))?;
        let cq = Arc::new(Self { inner }, GFP_KERNEL)?;

        cq.inner.start();
        Ok(cq)
    }

    /// Claims `capacity` entries of a completion queue that the device's users share.
    ///
    /// The RDMA core makes such queues as they are needed, at least 4096 entries large, one for each
    /// completion vector; `vector` is as for [`Cq::new`], or the least used one if there is none. They
    /// stay as long as the device, and show as `ib_core`'s in `rdma resource show`.
    ///
    /// The RDMA core polls them by itself. So handlers of one queue do not overlap either, those of
    /// other users included; but there is no end of a batch to be told of. `poll` must not be
    /// [`Poll::Direct`]. A shared receive queue may complete here if the queue pairs that use it have
    /// connections, and their sends complete in the same `Cq`.
    ///
    /// Errors: [`EINVAL`] if the device has no such large queues, or `poll` is [`Poll::Direct`],
    /// [`ENOMEM`].
    pub fn pooled(
        dev: &Device,
        owner: &'static ThisModule,
        capacity: u32,
        vector: Option<u32>,
        poll: Poll,
    ) -> Result<Arc<Self>> {
        let raw_poll = match poll {
            Poll::Softirq => bindings::ib_poll_context_IB_POLL_SOFTIRQ,
            Poll::Workqueue => bindings::ib_poll_context_IB_POLL_WORKQUEUE,
            Poll::Direct => return Err(EINVAL),
        };
        // C takes these for granted. It would look for such a queue without end.
        if capacity == 0 || capacity > dev.attributes().max_cqe() || dev.completion_vectors() == 0 {
            return Err(EINVAL);
        }
        let hint = match vector {
            Some(vector) => c_int::try_from(vector % dev.completion_vectors()).unwrap_or(0),
            None => -1,
        };

        let charge = Charge::to(owner)?;
        let inner = charge.defer(try_pin_init!(Inner {
            poll,
            pooled: true,
            reserved: Atomic::new(0),
            runner: Runner::new(),
            hook: None,
            direct <- new_mutex!(()),
            work <- Opaque::ffi_init(|work| {
                // SAFETY: `work` is pinned. It is never queued.
                unsafe { Inner::init_work(work) };
            }),
            softirqs: Atomic::new(0),
            softirq <- Opaque::ffi_init(|softirq| {
                // SAFETY: `softirq` is pinned; it is disabled before its memory goes.
                unsafe { bindings::irq_poll_init(softirq, BUDGET, Some(Inner::softirq_callback)) };
            }),
            dev: dev.into(),
            capacity,
            // INVARIANT: The entries are claimed.
            ptr: {
                // SAFETY: `dev` is registered, and has such large queues and completion vectors.
                let ptr = unsafe {
                    bindings::ib_cq_pool_get((**dev).as_raw(), *capacity, hint, raw_poll)
                };

                NonNull::new(from_err_ptr(ptr)?).ok_or(ENOMEM)?
            },
        }))?;
        Ok(Arc::new(Self { inner }, GFP_KERNEL)?)
    }

    /// Whether the queue is one of the pool, which [`quiesce`](Self::quiesce) can't wait for.
    pub(crate) fn is_pooled(&self) -> bool {
        self.inner.pooled
    }

    /// Whether the queue is polled in calls only.
    pub(crate) fn is_direct(&self) -> bool {
        self.inner.poll == Poll::Direct
    }

    /// Returns the number of entries, as granted.
    pub fn capacity(&self) -> u32 {
        self.inner.capacity
    }

    /// Returns the device.
    pub fn device(&self) -> &Device {
        &self.inner.dev
    }

    /// Handles up to `budget` completions, and returns how many.
    ///
    /// For queues with [`Poll::Direct`]: others handle completions by themselves, and return zero, and so
    /// does this in a handler of the queue.
    ///
    /// # Context
    ///
    /// May sleep. Handlers run in this call.
    pub fn poll(&self, budget: u32) -> u32 {
        if self.inner.poll != Poll::Direct || self.is_handling() {
            return 0;
        }

        let _guard = self.inner.direct.lock();
        // SAFETY: The lock excludes other polls.
        unsafe {
            self.inner
                .process(c_int::try_from(budget).unwrap_or(c_int::MAX))
        }
    }

    /// Returns the C object.
    pub(crate) fn as_raw(&self) -> *mut bindings::ib_cq {
        self.inner.ptr.as_ptr()
    }

    /// Promises `count` entries to a queue that completes here: an entry that does not fit would be
    /// lost, with the request it is of.
    ///
    /// Errors: [`ENOSPC`] if there are not that many left.
    pub(crate) fn reserve(this: Arc<Self>, count: u32) -> Result<Reservation> {
        let inner = &this.inner;
        let mut old = inner.reserved.load(Relaxed);

        loop {
            let new = old.checked_add(count).ok_or(ENOSPC)?;
            if new > inner.capacity {
                return Err(ENOSPC);
            }
            match inner.reserved.cmpxchg(old, new, Relaxed) {
                Ok(_) => return Ok(Reservation { cq: this, count }),
                Err(now) => old = now,
            }
        }
    }

    /// Returns whether the caller is in a handler of the queue, or in the end of a batch: who waits for
    /// handlers would wait for itself.
    ///
    /// Of a queue of the pool with [`Poll::Softirq`] this is not known, nor needed: nobody may wait there.
    pub(crate) fn is_handling(&self) -> bool {
        let inner = &self.inner;

        if !inner.pooled {
            return inner.runner.is_current();
        }
        // SAFETY: By the type invariant, the queue exists. Only an address is taken, that of the field which
        // a queue with a workqueue has in use.
        let work = unsafe { &raw const (*inner.ptr.as_ptr()).__bindgen_anon_1 };

        // SAFETY: The function has no requirements.
        let current = unsafe { bindings::current_work() };

        inner.poll == Poll::Workqueue && core::ptr::eq(current, work.cast())
    }

    /// Waits until the completions that are in the queue now have been handled. Not for queues of the
    /// pool.
    ///
    /// May sleep. Must not be called by a handler.
    pub(crate) fn quiesce(&self) {
        self.inner.quiesce();
    }
}

/// Entries of a completion queue that are promised. It keeps the queue.
pub(crate) struct Reservation {
    cq: Arc<Cq>,
    count: u32,
}

impl Reservation {
    pub(crate) fn cq(&self) -> &Arc<Cq> {
        &self.cq
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.cq.inner.reserved.fetch_sub(self.count, Relaxed);
    }
}

impl Inner {
    /// Initializes the work item that polls a queue.
    ///
    /// Not inlined, as clients would have lock classes of their own.
    ///
    /// # Safety
    ///
    /// `work` must be the field of a pinned object, and not be queued when its memory goes.
    #[inline(never)]
    unsafe fn init_work(work: *mut bindings::work_struct) {
        // SAFETY: By the function's requirements; the name and the key are static.
        unsafe {
            bindings::init_work_with_key(
                work,
                Some(Self::poll_callback),
                false,
                c"krdma_cq".as_char_ptr(),
                static_lock_class!().as_ptr(),
            )
        };
    }

    /// Asks the device to signal, if somebody listens.
    fn start(&self) {
        if self.poll != Poll::Direct && !self.pooled {
            // A signal missed is made up for.
            if self.rearm() {
                self.schedule();
            }
        }
    }

    /// Asks the device to signal the next completion, and returns whether there is one already.
    fn rearm(&self) -> bool {
        // SAFETY: By the type invariant, we own the queue.
        unsafe { bindings::ib_req_notify_cq(self.ptr.as_ptr(), NOTIFY) > 0 }
    }

    fn schedule(&self) {
        match self.poll {
            // SAFETY: It was initialized.
            Poll::Softirq => unsafe { bindings::irq_poll_sched(self.softirq.get()) },
            Poll::Workqueue => {
                // SAFETY: The workqueue exists while krdma is loaded, and our charge keeps its user.
                unsafe {
                    bindings::queue_work_on(
                        bindings::wq_misc_consts_WORK_CPU_UNBOUND as c_int,
                        WORKQUEUE.load(Acquire),
                        self.work.get(),
                    )
                };
            }
            Poll::Direct => {}
        }
    }

    /// Handles up to `budget` completions and tells of the end.
    ///
    /// # Safety
    ///
    /// Calls must not overlap.
    unsafe fn process(&self, budget: c_int) -> u32 {
        self.runner.enter();
        // SAFETY: By the type invariant, we own the queue. All requests that complete here have
        // handlers.
        let done = unsafe { bindings::ib_process_cq_direct(self.ptr.as_ptr(), budget) };
        let done = u32::try_from(done).unwrap_or(0);

        if done > 0 {
            if let Some(hook) = &self.hook {
                hook.batch_end(done);
            }
        }
        self.runner.leave();
        done
    }

    fn quiesce(&self) {
        match self.poll {
            Poll::Direct => {
                let _guard = self.direct.lock();

                // SAFETY: The lock excludes other polls.
                unsafe { self.process_all() };
            }
            Poll::Softirq => {
                // SAFETY: It was initialized. It waits for a poll that is going on, and excludes others
                // until it is enabled again.
                unsafe {
                    bindings::irq_poll_disable(self.softirq.get());
                    bindings::krdma_local_bh_disable();
                    self.process_all();
                    bindings::krdma_local_bh_enable();
                    bindings::irq_poll_enable(self.softirq.get());
                }
                // What was signalled meanwhile was not listened to.
                self.schedule();
            }
            // The entries that are in the queue now are handled when as many as it holds have been, or
            // when a round has found it empty: then the work is not queued again.
            Poll::Workqueue => {
                for _ in 0..=self.capacity / BUDGET as u32 {
                    self.schedule();
                    // SAFETY: The work was initialized.
                    unsafe { bindings::flush_work(self.work.get()) };
                }
            }
        }
    }

    /// Handles the completions that are in the queue now.
    ///
    /// # Safety
    ///
    /// As for [`process`](Self::process).
    unsafe fn process_all(&self) {
        let mut left = self.capacity;

        while left > 0 {
            // SAFETY: The function's requirement.
            let done = unsafe { self.process(c_int::try_from(left).unwrap_or(c_int::MAX)) };
            if done == 0 {
                break;
            }
            left = left.saturating_sub(done);
        }
    }

    /// # Safety
    ///
    /// To be called by the driver only, as the queue's completion handler.
    unsafe extern "C" fn event_callback(_cq: *mut bindings::ib_cq, context: *mut c_void) {
        // SAFETY: The context is what the queue was created with. It lives as long as the queue.
        let this = unsafe { &*context.cast::<Self>() };

        this.schedule();
    }

    /// # Safety
    ///
    /// To be called by the kernel's softirq only, as the function of [`Inner::softirq`].
    unsafe extern "C" fn softirq_callback(
        softirq: *mut bindings::irq_poll,
        budget: c_int,
    ) -> c_int {
        // SAFETY: `softirq` is the field of a pinned object. Its drop waits for this call.
        let this = unsafe { &*container_of!(Opaque::cast_from(softirq), Self, softirq) };
        this.softirqs.fetch_add(1, Relaxed);
        // SAFETY: It is polled once at a time.
        let done = unsafe { this.process(budget) };
        // CAST: It is at most the budget.
        let done = done as c_int;

        if done < budget {
            // SAFETY: It is being polled, and with less than the budget it is for us to end that.
            unsafe { bindings::irq_poll_complete(softirq) };
            if this.rearm() {
                this.schedule();
            }
        }
        // The release pairs with the acquire of the drop: this is the last use.
        this.softirqs.fetch_sub(1, Release);
        done
    }

    /// # Safety
    ///
    /// To be called by a workqueue only, as the function of [`Inner::work`].
    unsafe extern "C" fn poll_callback(work: *mut bindings::work_struct) {
        // SAFETY: `work` is the field of a pinned object. Its drop waits for this call.
        let this = unsafe { &*container_of!(Opaque::cast_from(work), Self, work) };

        // SAFETY: A work item runs once at a time.
        let done = unsafe { this.process(BUDGET) };

        if done >= BUDGET as u32 || this.rearm() {
            this.schedule();
        }
    }
}

/// Signal the next completion, and say if there is one already.
const NOTIFY: bindings::ib_cq_notify_flags = bindings::ib_cq_notify_flags_IB_CQ_NEXT_COMP
    | bindings::ib_cq_notify_flags_IB_CQ_REPORT_MISSED_EVENTS;

#[pinned_drop]
impl PinnedDrop for Inner {
    fn drop(self: Pin<&mut Self>) {
        if self.pooled {
            // SAFETY: By the type invariant, the entries are ours. Who completes here keeps this
            // object, so none is in use.
            unsafe { bindings::ib_cq_pool_put(self.ptr.as_ptr(), self.capacity) };
            return;
        }

        // SAFETY: By the type invariant, we own the queue. Who completes here keeps it alive, so no
        // completion is outstanding and the driver signals no more; what it has signalled is waited
        // for.
        unsafe {
            bindings::irq_poll_disable(self.softirq.get());
            bindings::disable_work_sync(self.work.get());
        }
        while self.softirqs.load(Acquire) != 0 {
            fsleep(Delta::from_micros(10));
        }
        // SAFETY: As above.
        unsafe {
            bindings::ib_destroy_cq_user(self.ptr.as_ptr(), core::ptr::null_mut());
        }
    }
}
