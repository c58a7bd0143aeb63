// SPDX-License-Identifier: GPL-2.0

//! Destroying what was dropped in callbacks.
//!
//! To destroy an id waits for its callbacks, and for work that may be queued behind the callback that
//! runs. So it can't be done in any callback. C's own way, to return an error from the callback, is
//! for the id of that callback only; for events that come from the network stack
//! (`cma_netevent_work_handler`) it also leaves the `ib_cm_id` behind, with a pointer to the id that
//! is freed.

use super::{
    callback,
    id::Core, //
};
use crate::bindings;
use core::ptr::{
    self,
    NonNull, //
};
use kernel::{
    error::to_result,
    num::casts::u32_as_usize,
    prelude::*,
    sync::atomic::{
        ordering::{
            Acquire,
            Relaxed,
            Release, //
        },
        Atomic, //
    },
    types::Opaque, //
};

/// The work queue, which exists as long as krdma is loaded.
static QUEUE: Atomic<*mut bindings::workqueue_struct> = Atomic::new(ptr::null_mut());

/// The number of ids that wait to be destroyed.
static PENDING: Atomic<usize> = Atomic::new(0);

/// What the connection manager's part of krdma needs at run time.
///
/// # Invariants
///
/// Once initialized, `notifier` is registered and [`QUEUE`] is a valid work queue, until `drop`.
#[pin_data(PinnedDrop)]
pub(crate) struct Reaper {
    #[pin]
    notifier: Opaque<bindings::notifier_block>,
}

// SAFETY: A notifier may be unregistered by any thread.
unsafe impl Send for Reaper {}

// SAFETY: Nothing can be done through `&self`.
unsafe impl Sync for Reaper {}

impl Reaper {
    /// Sets the module up. To be called once, by its init.
    pub(crate) fn new() -> impl PinInit<Self, Error> {
        try_pin_init!(Self {
            notifier <- Opaque::try_ffi_init(|slot: *mut bindings::notifier_block| {
                // SAFETY: The module's init runs once, before anything else of the module.
                unsafe { callback::init() };

                // SAFETY: The name is a string without format specifiers.
                let queue = unsafe {
                    bindings::alloc_workqueue_noprof(
                        c"krdma_cm".as_char_ptr(),
                        bindings::wq_flags_WQ_UNBOUND,
                        0,
                    )
                };
                if queue.is_null() {
                    return Err(ENOMEM);
                }
                QUEUE.store(queue, Release);

                // SAFETY: `slot` is valid for writes.
                unsafe {
                    slot.write(bindings::notifier_block {
                        notifier_call: Some(on_module),
                        ..pin_init::zeroed()
                    })
                };
                // SAFETY: The notifier is initialized and pinned; it is unregistered before its
                // memory goes.
                to_result(unsafe { bindings::register_module_notifier(slot) }).inspect_err(|_| {
                    // SAFETY: Nothing was queued yet.
                    unsafe { bindings::destroy_workqueue(queue) }
                })

                // INVARIANT: Both parts hold now.
            }),
        })
    }
}

#[pinned_drop]
impl PinnedDrop for Reaper {
    fn drop(self: Pin<&mut Self>) {
        // SAFETY: By the type invariant, the notifier is registered.
        unsafe { bindings::unregister_module_notifier(self.notifier.get()) };
        // SAFETY: By the type invariant, the queue is valid. No module that uses krdma is left, so
        // nothing is queued any more.
        unsafe { bindings::destroy_workqueue(QUEUE.load(Relaxed)) };
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
        // What the module has dropped in callbacks has its code in it, and so have these callbacks,
        // whose end the work items wait for. Until it ends, a callback may drop more.
        while PENDING.load(Acquire) != 0 {
            // SAFETY: The queue is valid as long as we may be called.
            unsafe { bindings::__flush_workqueue(QUEUE.load(Acquire)) };
        }
    }
    0 // NOTIFY_DONE
}

/// Destroys an id, and frees what belongs to it, out of the current callback.
///
/// # Safety
///
/// As for [`Core::destroy`], except that the caller may be in a callback.
pub(super) unsafe fn destroy_later(core: NonNull<Core>) {
    // SAFETY: By the function's requirements, `core` is valid until we destroy it.
    let work = unsafe { core.as_ref() }.work();
    // CAST: The constant is a small number.
    let cpu = bindings::wq_misc_consts_WORK_CPU_UNBOUND as c_int;

    PENDING.fetch_add(1, Relaxed);
    // SAFETY: krdma is loaded, so the queue is valid. The work item is initialized and stays valid
    // until it runs; it is queued once, as a core is destroyed once.
    unsafe { bindings::queue_work_on(cpu, QUEUE.load(Acquire), work) };
}

/// # Safety
///
/// To be called by the work queue only, for what [`destroy_later`] has queued.
pub(super) unsafe extern "C" fn destroy_work(work: *mut bindings::work_struct) {
    // SAFETY: The work item is that of a core. The queue is done with it.
    unsafe { Core::destroy(Core::of_work(work)) };
    // The release orders all that was done before the load that sees zero.
    PENDING.fetch_sub(1, Release);
}
