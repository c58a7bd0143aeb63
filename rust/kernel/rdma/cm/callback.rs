// SPDX-License-Identifier: GPL-2.0

//! Callbacks: from C's one function to the handlers, and which task is in which.

use super::{
    event::Event,
    id::{
        Core,
        Role, //
    },
    listener::Request, //
};
use crate::bindings;
use core::{
    cell::Cell,
    ptr, //
};
use kernel::{
    prelude::*,
    sync::global_lock,
    task::Task, //
};

/// A callback that runs, in the stack of the task that runs it.
///
/// # Invariants
///
/// - `held` is null or points to an id whose lock the task has, for as long as the frame exists.
/// - `next` is null or points to a frame that is on the list, and is only used with the list's lock
///   held.
pub(super) struct Frame {
    task: *mut bindings::task_struct,
    held: Cell<*const Core>,
    /// What C is told if a request is not taken.
    refusal: Cell<Error>,
    next: Cell<*const Frame>,
}

/// The list of the callbacks that run. There are few at any time.
struct Frames(*const Frame);

// SAFETY: Frames are on the list as long as they exist. Of a frame that is another task's, only
// `task`, which is constant, and `next`, which the list's lock protects, are used.
unsafe impl Send for Frames {}

global_lock! {
    // SAFETY: `init` is called before the module's other code.
    unsafe(uninit) static FRAMES: SpinLock<Frames> = Frames(ptr::null());
}

/// Prepares the list.
///
/// # Safety
///
/// Must be called once, before anything else of this module.
pub(crate) unsafe fn init() {
    // SAFETY: By the function's requirements.
    unsafe { FRAMES.init() };
}

/// Runs `f` as a callback in which the task has the lock of `held`.
///
/// # Safety
///
/// If `held` is not null, C must have called us with the lock of that id taken.
unsafe fn run<R>(held: *const Core, f: impl FnOnce(&Frame) -> R) -> R {
    // INVARIANT: By the function's requirements.
    let frame = Frame {
        task: Task::current_raw(),
        held: Cell::new(held),
        refusal: Cell::new(ECONNREFUSED),
        next: Cell::new(ptr::null()),
    };

    {
        let mut frames = FRAMES.lock();
        // INVARIANT: The first frame of the list is on the list.
        frame.next.set(frames.0);
        frames.0 = &frame;
    }

    let ret = f(&frame);

    let mut frames = FRAMES.lock();
    if ptr::eq(frames.0, &frame) {
        frames.0 = frame.next.get();
    } else {
        let mut at = frames.0;

        // SAFETY: Frames on the list exist, and we have the list's lock.
        while let Some(prev) = unsafe { at.as_ref() } {
            if ptr::eq(prev.next.get(), &frame) {
                // INVARIANT: What came after the frame is on the list.
                prev.next.set(frame.next.get());
                break;
            }
            at = prev.next.get();
        }
    }
    ret
}

/// Returns whether one of the callbacks that the current task is in meets a condition.
fn any(condition: impl Fn(&Frame) -> bool) -> bool {
    let task = Task::current_raw();
    let frames = FRAMES.lock();
    let mut at = frames.0;

    // SAFETY: Frames on the list exist, and we have the list's lock.
    while let Some(frame) = unsafe { at.as_ref() } {
        if frame.task == task && condition(frame) {
            return true;
        }
        at = frame.next.get();
    }
    false
}

/// Returns whether the current task is in a callback.
pub(super) fn is_running() -> bool {
    any(|_| true)
}

/// Returns whether the current task is in a callback that was called with the lock of `core` taken.
pub(super) fn holds(core: &Core) -> bool {
    any(|frame| ptr::eq(frame.held.get(), core))
}

impl Frame {
    /// Notes that a request has become the id `core`.
    ///
    /// # Safety
    ///
    /// `core` must point to the id that the request is for.
    pub(super) unsafe fn take(&self, core: *const Core) {
        // INVARIANT: C calls with the lock of the new id taken. The id is not freed before the
        // callback returns: to destroy it takes its lock.
        self.held.set(core);
    }

    /// Sets what C is told if the request is not taken.
    pub(super) fn refuse(&self, why: Error) {
        self.refusal.set(why);
    }
}

/// The one event handler of all ids.
///
/// # Safety
///
/// To be called by the connection manager only, for ids whose context is a [`Core`].
pub(super) unsafe extern "C" fn on_event(
    id: *mut bindings::rdma_cm_id,
    event: *mut bindings::rdma_cm_event,
) -> c_int {
    // SAFETY: `id` is valid during a callback. Its context was set when it was made, or is that of
    // the listener that the request came to.
    let core = unsafe { (*id).context.cast::<Core>() };
    // SAFETY: A core is freed after its id was destroyed only, and that waits for callbacks.
    let core = unsafe { &*core };
    // SAFETY: The event is valid, and does not change, during the callback.
    let event = unsafe { &*event };

    match core.role() {
        Role::Connection(deliver) => {
            core.advance(event.event);
            // SAFETY: C has taken the lock of `id`, which is that of `core`.
            unsafe {
                run(core, |_| {
                    // SAFETY: The event is for `id` and is being reported. `core` is of the type
                    // that `deliver` is for, as it was made with it.
                    deliver(core, Event::from_raw(id, event, core.service_type()));
                })
            };
            // Anything else would destroy the id, which is for its owner to do.
            0
        }
        Role::Listener { request, .. }
            if event.event == bindings::rdma_cm_event_type_RDMA_CM_EVENT_CONNECT_REQUEST =>
        {
            // The lock is that of the new id, which has no core yet.
            //
            // SAFETY: Nothing is claimed to be locked.
            unsafe {
                run(ptr::null(), |frame| {
                    // SAFETY: `id` is new and has the listener's context. The rest is as above.
                    request(core, Request::new(id, event, core, frame));

                    if frame.held.get().is_null() {
                        // C destroys the new id.
                        frame.refusal.get().to_errno()
                    } else {
                        0
                    }
                })
            }
        }
        Role::Listener { deliver, .. } => {
            core.advance(event.event);
            // SAFETY: As for connections.
            unsafe { run(core, |_| deliver(core, event.event)) };
            0
        }
    }
}
