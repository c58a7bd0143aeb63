// SPDX-License-Identifier: GPL-2.0

//! Drops that have to sleep, wherever they happen.
//!
//! To destroy a queue pair, a completion queue or a connection sleeps. Yet the last reference to one
//! is often dropped by a completion handler, which may run in softirq context, and which the drop
//! would wait for; or by a callback of the very object. Nothing in the kernel tells for sure where one
//! may sleep and for whom one may wait. So [`Deferred`] does not ask: its value is always dropped by a
//! work item. Who has to know that the value is gone says so, by [`Deferred::close`].
//!
//! A module's code must not go while a drop that needs it is pending: each belongs to the module's
//! [account](crate::account).

use crate::{
    account::{
        self,
        Charge, //
    },
    bindings, //
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
    container_of,
    error::to_result,
    prelude::*,
    sync::{
        atomic::{
            ordering::{
                Acquire,
                Release, //
            },
            Atomic, //
        },
        static_lock_class, //
    },
    types::Opaque, //
};

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
                        notifier_call: Some(account::on_module),
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
        // SAFETY: By the type invariant, the notifier is registered.
        unsafe { bindings::unregister_module_notifier(self.notifier.get()) };
        account::exit();
    }
}

impl Charge {
    /// Makes an owner of a value that belongs to the same module, which may be dropped in any context.
    pub(crate) fn defer<T: Send + 'static, E>(
        &self,
        value: impl PinInit<T, E>,
    ) -> Result<Deferred<T>>
    where
        Error: From<E>,
    {
        Deferred::new(self.clone(), value)
    }
}

/// Owns a value whose drop sleeps, and may itself be dropped in any context.
///
/// The value is dropped later, by a work item, and so are the values of this type that it owns.
///
/// # Invariants
///
/// `inner` points to a pinned `Inner<T>` that this type owns, in a box.
pub(crate) struct Deferred<T: Send + 'static> {
    inner: NonNull<Inner<T>>,
}

// SAFETY: It is the owner of a `T`.
unsafe impl<T: Send + 'static> Send for Deferred<T> {}

// SAFETY: By `&self` there is `&T` only.
unsafe impl<T: Send + Sync + 'static> Sync for Deferred<T> {}

#[pin_data]
struct Inner<T: Send + 'static> {
    #[pin]
    value: T,
    #[pin]
    header: Header,
}

/// The part that does not depend on the type of the value.
///
/// # Invariants
///
/// It is part of a pinned and boxed `Inner` with a value of the type that `free` is for.
#[pin_data]
struct Header {
    #[pin]
    work: Opaque<bindings::work_struct>,
    free: unsafe fn(NonNull<Header>),
    // Taken by `end`, which outlives the box.
    charge: ManuallyDrop<Charge>,
}

impl Header {
    /// Initializes the header of a value.
    ///
    /// Not in generic code, which each client has a copy of: lockdep asks that one key goes with one name,
    /// by the name's address.
    #[inline(never)]
    fn init_work(slot: *mut bindings::work_struct) {
        // SAFETY: The caller has it in pinned memory, and has not used it. The name and the key are static.
        unsafe {
            bindings::init_work_with_key(
                slot,
                Some(reap),
                false,
                c"krdma::Deferred".as_char_ptr(),
                static_lock_class!().as_ptr(),
            )
        };
    }

    /// Drops the value and frees the box. Returns the charge, for the caller to drop.
    ///
    /// This is krdma's code, and so is what runs after the last code of the client, by which the client may
    /// be told to go.
    ///
    /// # Safety
    ///
    /// `header` must be valid, and the caller own what it is part of.
    #[inline(never)]
    unsafe fn end(mut header: NonNull<Header>) -> Charge {
        // SAFETY: By the function's requirements; the field is not used after this.
        let (charge, free) = unsafe {
            let header = header.as_mut();
            (ManuallyDrop::take(&mut header.charge), header.free)
        };

        // SAFETY: By the type invariant, and the function's requirements.
        unsafe { free(header) };
        charge
    }
}

/// Drops a value that was given to the reaper.
///
/// # Safety
///
/// To be called by the workqueue only, as the function of a [`Header`]'s work, once.
unsafe extern "C" fn reap(work: *mut bindings::work_struct) {
    // SAFETY: The work is part of a header, whose owner has given it to us.
    let charge = unsafe {
        let header = container_of!(Opaque::cast_from(work), Header, work);
        Header::end(NonNull::new_unchecked(header.cast_mut()))
    };

    charge.reaped();
}

impl<T: Send + 'static> Deferred<T> {
    /// Allocates and initializes the value, for [`Charge::defer`].
    pub(crate) fn new<E>(charge: Charge, value: impl PinInit<T, E>) -> Result<Self>
    where
        Error: From<E>,
    {
        // The value may fail, the header not.
        let inner = KBox::try_pin_init::<Error>(
            try_pin_init!(Inner {
                value <- value,
                header <- pin_init!(Header {
                    work <- Opaque::ffi_init(Header::init_work),
                    // INVARIANT: It is for boxes of this type.
                    free: Self::free,
                    charge: ManuallyDrop::new(charge),
                }),
            }? Error),
            GFP_KERNEL,
        )?;

        // SAFETY: The object is not moved: it stays behind a pointer until it is dropped.
        let inner = unsafe { Pin::into_inner_unchecked(inner) };
        // INVARIANT: The box was made here.
        Ok(Self {
            inner: NonNull::from(KBox::leak(inner)),
        })
    }

    /// # Safety
    ///
    /// `header` must be part of a boxed `Inner<T>` whose charge was taken, and the caller own it.
    unsafe fn free(header: NonNull<Header>) {
        // SAFETY: By the function's requirements.
        unsafe {
            let inner = container_of!(header.as_ptr(), Inner<T>, header);
            drop(Pin::new_unchecked(KBox::from_raw(inner)));
        }
    }

    /// Returns the value, to be changed.
    pub(crate) fn as_mut(&mut self) -> Pin<&mut T> {
        // SAFETY: By the type invariant, the value is ours and pinned.
        unsafe { Pin::new_unchecked(&mut (*self.inner.as_ptr()).value) }
    }

    /// Returns the address of the value, which stays the same.
    pub(crate) fn as_ptr(&self) -> *mut T {
        // SAFETY: By the type invariant, it points to an object.
        unsafe { &raw mut (*self.inner.as_ptr()).value }
    }

    /// Returns the charge to the account of the module that the value belongs to.
    pub(crate) fn charge(&self) -> &Charge {
        // SAFETY: By the type invariant, it points to an object, whose charge is taken with it only.
        unsafe { &(*self.inner.as_ptr()).header.charge }
    }

    /// Drops the value here. It is gone when this returns, but not the [`Deferred`] values that it owns.
    ///
    /// Sleeps, if the drop of the value does. Must not be called by what that waits for.
    pub(crate) fn close(self) {
        let header = ManuallyDrop::new(self).header();

        // SAFETY: We own the object, and it is not used after this.
        drop(unsafe { Header::end(header) });
    }

    fn header(&self) -> NonNull<Header> {
        // SAFETY: By the type invariant, it points to an object.
        unsafe { NonNull::new_unchecked(&raw mut (*self.inner.as_ptr()).header) }
    }
}

impl<T: Send + 'static> Deref for Deferred<T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        // SAFETY: By the type invariant, the value exists as long as `self`.
        unsafe { &self.inner.as_ref().value }
    }
}

impl<T: Send + 'static> Drop for Deferred<T> {
    fn drop(&mut self) {
        // SAFETY: By the type invariant, we own the object, and give it to the work item that is part of
        // it. It is queued once, as an owner is dropped once.
        unsafe { Header::give(self.header()) };
    }
}

impl Header {
    /// Has the value dropped, soon. Any context.
    ///
    /// # Safety
    ///
    /// As for [`end`](Self::end); the object is not the caller's any more.
    #[inline(never)]
    unsafe fn give(header: NonNull<Header>) {
        // CAST: The constant is a small number.
        let cpu = bindings::wq_misc_consts_WORK_CPU_UNBOUND as c_int;

        // SAFETY: By the function's requirements.
        unsafe { header.as_ref() }.charge.give();
        // SAFETY: The work is initialized, and stays until it has run. The charge has its module loaded,
        // which uses krdma; so the workqueue exists, and before it ends it runs what is queued.
        unsafe { bindings::queue_work_on(cpu, REAPER.load(Acquire), header.as_ref().work.get()) };
    }
}

#[kunit_tests(krdma_reaper)]
mod tests {
    use super::*;
    use kernel::{
        module::this_module,
        new_spinlock,
        sync::{
            atomic::ordering::Relaxed,
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

    fn note() -> Result<Arc<Note>> {
        Arc::pin_init(
            pin_init!(Note {
                by: Atomic::new(ptr::null_mut()),
                done <- Completion::new(),
            }),
            GFP_KERNEL,
        )
    }

    fn deferred<T: Send + 'static>(value: T) -> Result<Deferred<T>> {
        Charge::to(this_module::<crate::LocalModule>())?.defer(value)
    }

    /// Returns whether the task that calls `f` with a value is the one that drops the value.
    fn dropped_here(f: impl FnOnce(Deferred<Noted>)) -> Result<bool> {
        let note = note()?;

        f(deferred(Noted(note.clone()))?);
        note.done.wait_for_completion();
        Ok(note.by.load(Relaxed) == Task::current_raw())
    }

    #[test]
    fn it_goes_later() {
        assert_eq!(dropped_here(drop), Ok(false));
    }

    #[test]
    fn in_atomic_context_too() -> Result {
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
    fn who_closes_it_drops_it() {
        assert_eq!(dropped_here(Deferred::close), Ok(true));
    }

    #[test]
    fn what_it_owns_goes_later() -> Result {
        let note = note()?;

        deferred(deferred(Noted(note.clone()))?)?.close();
        note.done.wait_for_completion();
        assert_ne!(note.by.load(Relaxed), Task::current_raw());
        Ok(())
    }
}
