// SPDX-License-Identifier: GPL-2.0

//! Drops that have to sleep, wherever they happen.
//!
//! To destroy a queue pair, a completion queue or a connection sleeps. Yet the last reference to one
//! is often dropped by a completion handler, which may run in softirq context, and which the drop
//! would wait for; or by a callback of the very object. [`Deferred`] makes that safe: in callbacks,
//! and where the caller may not sleep, the drop happens on a workqueue, elsewhere at once.
//!
//! A module's code must not go while a drop that needs it is pending. So when a module goes, after
//! its exit has run and before its code is freed, what is pending is waited for.

use crate::{
    bindings,
    callback, //
};
use core::{
    mem::ManuallyDrop,
    ops::Deref,
    ptr::{
        self,
        NonNull, //
    },
};
use kernel::{
    error::to_result,
    num::casts::u32_as_usize,
    prelude::*,
    sync::{
        atomic::{
            ordering::{
                Acquire,
                Relaxed,
                Release, //
            },
            Atomic, //
        },
        static_lock_class,
        LockClassKey, //
    },
    types::Opaque,
    workqueue::{
        impl_has_work,
        Queue,
        Work,
        WorkItem, //
    },
};

/// The number of drops that are pending.
static PENDING: Atomic<usize> = Atomic::new(0);

/// Where the drops happen. Set while krdma is loaded.
static REAPER: Atomic<*mut bindings::workqueue_struct> = Atomic::new(ptr::null_mut());

/// A workqueue of our own.
///
/// # Invariants
///
/// `ptr` points to a workqueue that this type owns.
pub(crate) struct Workqueue {
    ptr: NonNull<bindings::workqueue_struct>,
}

// SAFETY: A workqueue may be destroyed by any thread.
unsafe impl Send for Workqueue {}

// SAFETY: No method that takes `&self` touches anything but the pointer.
unsafe impl Sync for Workqueue {}

impl Workqueue {
    /// Allocates a workqueue. `flags` are `WQ_*`.
    pub(crate) fn new(name: &CStr, flags: u32) -> Result<Self> {
        // SAFETY: `name` is copied.
        let ptr = unsafe { bindings::krdma_alloc_workqueue(name.as_char_ptr(), flags) };

        // INVARIANT: We own what was allocated.
        Ok(Self {
            ptr: NonNull::new(ptr).ok_or(ENOMEM)?,
        })
    }

    pub(crate) fn as_raw(&self) -> *mut bindings::workqueue_struct {
        self.ptr.as_ptr()
    }
}

impl Drop for Workqueue {
    fn drop(&mut self) {
        // SAFETY: By the type invariant, we own the workqueue. This runs what is pending first.
        unsafe { bindings::destroy_workqueue(self.ptr.as_ptr()) };
    }
}

/// What makes the deferred drops happen.
///
/// # Invariants
///
/// Once initialized, `notifier` is registered and [`REAPER`] is the workqueue, until `drop`.
#[pin_data(PinnedDrop)]
pub(crate) struct Reaper {
    #[pin]
    notifier: Opaque<bindings::notifier_block>,
    // Dropped after the notifier is unregistered.
    wq: Workqueue,
}

// SAFETY: A notifier may be unregistered by any thread.
unsafe impl Send for Reaper {}

// SAFETY: Nothing can be done through `&self`.
unsafe impl Sync for Reaper {}

impl Reaper {
    /// Starts the reaper. To be called once, by krdma's init.
    pub(crate) fn new() -> impl PinInit<Self, Error> {
        try_pin_init!(Self {
            // Not one that memory reclaim may wait for: what is dropped may wait for others.
            wq: Workqueue::new(c"krdma_reaper", bindings::wq_flags_WQ_UNBOUND)?,
            _: { REAPER.store(wq.as_raw(), Release) },
            notifier <- Opaque::try_ffi_init(|slot: *mut bindings::notifier_block| {
                // SAFETY: `slot` is valid for writes.
                unsafe {
                    slot.write(bindings::notifier_block {
                        notifier_call: Some(on_module),
                        ..pin_init::zeroed()
                    })
                };
                // INVARIANT: Both parts hold if this succeeds.
                //
                // SAFETY: The notifier is initialized and pinned; it is unregistered before its
                // memory goes.
                to_result(unsafe { bindings::register_module_notifier(slot) })
            }),
        })
    }
}

#[pinned_drop]
impl PinnedDrop for Reaper {
    fn drop(self: Pin<&mut Self>) {
        // SAFETY: By the type invariant, the notifier is registered. No module that uses krdma is
        // left, so nothing is deferred any more.
        unsafe { bindings::unregister_module_notifier(self.notifier.get()) };
    }
}

/// Called when a module comes or goes, after its exit has run and before its code is freed.
///
/// # Safety
///
/// To be called by the module loader only, while the [`Reaper`] exists.
unsafe extern "C" fn on_module(
    _notifier: *mut bindings::notifier_block,
    action: c_ulong,
    _module: *mut c_void,
) -> c_int {
    if action == u32_as_usize(bindings::module_state_MODULE_STATE_GOING) {
        // What is dropped may drop more, and so may callbacks that it waits for.
        while PENDING.load(Acquire) != 0 {
            // SAFETY: The workqueue exists as long as we may be called.
            unsafe { bindings::__flush_workqueue(REAPER.load(Acquire)) };
        }
    }
    0 // NOTIFY_DONE
}

/// Runs a work item, soon. Its last act must be a call of [`finished`].
///
/// # Safety
///
/// `work` must be initialized, not be queued already, and stay valid until it has run.
pub(crate) unsafe fn run_later(work: *mut bindings::work_struct) {
    PENDING.fetch_add(1, Relaxed);
    // CAST: The constant is a small number.
    let cpu = bindings::wq_misc_consts_WORK_CPU_UNBOUND as c_int;

    // SAFETY: A user of krdma calls this, so the reaper runs; before it ends it runs what is queued.
    // The rest is the function's requirement.
    unsafe { bindings::queue_work_on(cpu, REAPER.load(Acquire), work) };
}

/// Notes the end of what [`run_later`] was called for.
pub(crate) fn finished() {
    // Orders all that was done before the load that sees zero.
    PENDING.fetch_sub(1, Release);
}

/// Returns whether what sleeps, or waits for callbacks, must not be done here.
pub(crate) fn must_defer() -> bool {
    // SAFETY: The function has no requirements.
    let may_sleep = unsafe { bindings::krdma_may_sleep() };

    !may_sleep || callback::is_running()
}

/// Owns a value whose drop sleeps, and may itself be dropped in any context.
pub(crate) struct Deferred<T: Send + 'static>(ManuallyDrop<Pin<KBox<Inner<T>>>>);

#[pin_data]
struct Inner<T: Send + 'static> {
    #[pin]
    work: Work<Inner<T>>,
    #[pin]
    value: T,
}

impl_has_work! {
    impl{T: Send + 'static} HasWork<Self> for Inner<T> { self.work }
}

impl<T: Send + 'static> WorkItem for Inner<T> {
    type Pointer = Pin<KBox<Self>>;

    fn run(this: Pin<KBox<Self>>) {
        drop(this);
        finished();
    }
}

/// Returns what lockdep knows the work of [`Deferred`] by.
///
/// It asks that one key goes with one name, by the name's address. Generic code is copied to the clients,
/// names included, while the key stays here: so neither may be in such code.
#[inline(never)]
fn lock_class() -> (&'static CStr, Pin<&'static LockClassKey>) {
    (c"krdma::Deferred", static_lock_class!())
}

impl<T: Send + 'static> Deferred<T> {
    /// Allocates and initializes the value.
    pub(crate) fn new<E>(value: impl PinInit<T, E>) -> Result<Self>
    where
        Error: From<E>,
    {
        let (name, key) = lock_class();
        let inner = KBox::try_pin_init(
            try_pin_init!(Inner {
                work <- Work::new(name, key),
                value <- value,
            }),
            GFP_KERNEL,
        )?;

        Ok(Self(ManuallyDrop::new(inner)))
    }
}

impl<T: Send + 'static> Deferred<T> {
    /// Returns the value, to be changed.
    pub(crate) fn as_mut(&mut self) -> Pin<&mut T> {
        // SAFETY: This projects to a field that is structurally pinned.
        unsafe { self.0.as_mut().map_unchecked_mut(|inner| &mut inner.value) }
    }
}

impl<T: Send + 'static> Deref for Deferred<T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        &self.0.value
    }
}

impl<T: Send + 'static> Drop for Deferred<T> {
    fn drop(&mut self) {
        // SAFETY: The field is not used after this.
        let inner = unsafe { ManuallyDrop::take(&mut self.0) };

        if !must_defer() {
            drop(inner);
        } else {
            PENDING.fetch_add(1, Relaxed);
            // SAFETY: A value of this type is owned by a user of krdma, so the reaper runs; before
            // it ends it runs what is pending.
            unsafe { Queue::from_raw(REAPER.load(Acquire)) }.enqueue(inner);
        }
    }
}

#[kunit_tests(krdma_reaper)]
mod tests {
    use super::*;
    use kernel::{
        new_spinlock,
        sync::{
            Arc,
            Completion, //
        },
        task::Task, //
    };

    /// Who has dropped it.
    #[pin_data]
    struct Note {
        by: Atomic<*mut bindings::task_struct>,
        #[pin]
        done: Completion,
    }

    // SAFETY: The address is compared only.
    unsafe impl Send for Note {}

    // SAFETY: As above.
    unsafe impl Sync for Note {}

    struct Noted(Arc<Note>);

    impl Drop for Noted {
        fn drop(&mut self) {
            self.0.by.store(Task::current_raw(), Relaxed);
            self.0.done.complete_all();
        }
    }

    /// Returns whether the task that calls `f` with a value is the one that drops the value.
    fn dropped_here(f: impl FnOnce(Deferred<Noted>)) -> Result<bool> {
        let note = Arc::pin_init(
            pin_init!(Note {
                by: Atomic::new(ptr::null_mut()),
                done <- Completion::new(),
            }),
            GFP_KERNEL,
        )?;

        f(Deferred::new(Noted(note.clone()))?);
        note.done.wait_for_completion();
        Ok(note.by.load(Relaxed) == Task::current_raw())
    }

    #[test]
    fn where_one_may_sleep_it_goes_at_once() {
        assert_eq!(dropped_here(drop), Ok(true));
    }

    #[test]
    fn in_atomic_context_it_goes_later() -> Result {
        let lock = KBox::pin_init(new_spinlock!(()), GFP_KERNEL)?;

        assert_eq!(
            dropped_here(|value| {
                let _guard = lock.lock();
                drop(value);
            }),
            Ok(false)
        );
        Ok(())
    }

    #[test]
    fn in_a_callback_it_goes_later() {
        assert_eq!(
            dropped_here(|value| callback::run(ptr::null(), |_| drop(value))),
            Ok(false)
        );
    }
}
