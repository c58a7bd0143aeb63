// SPDX-License-Identifier: GPL-2.0

//! Which tasks are in a callback.
//!
//! What waits for callbacks to end must not be done in one. Code that might be called from a
//! callback, such as a drop, asks here. Callbacks in atomic context are not noted: there nothing may
//! wait in any case.

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
/// `next` is null or points to a frame that is on the list, and is only used with the list's lock
/// held.
pub(crate) struct Frame {
    task: *mut bindings::task_struct,
    /// The lock that the callback was called with, by the address of what it belongs to.
    held: Cell<*const ()>,
    next: Cell<*const Frame>,
}

/// The list of the callbacks that run. There are few at any time.
struct Frames(*const Frame);

// SAFETY: Frames are on the list as long as they exist. Of a frame that is another task's, only
// `task`, which is constant, and `next`, which the list's lock protects, are used.
unsafe impl Send for Frames {}

global_lock! {
    // SAFETY: `init` is called before the crate's other code.
    unsafe(uninit) static FRAMES: SpinLock<Frames> = Frames(ptr::null());
}

/// Prepares the list.
///
/// # Safety
///
/// Must be called once, before anything else of this crate.
pub(crate) unsafe fn init() {
    // SAFETY: By the function's requirements.
    unsafe { FRAMES.init() };
}

/// Runs `f` as a callback. `held` tells the lock that it is called with, or is null.
///
/// Must be called in process context.
pub(crate) fn run<R>(held: *const (), f: impl FnOnce(&Frame) -> R) -> R {
    let frame = Frame {
        task: Task::current_raw(),
        held: Cell::new(held),
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
///
/// Must be called in process context.
pub(crate) fn is_running() -> bool {
    any(|_| true)
}

/// Returns whether the current task is in a callback that was called with this lock.
///
/// Must be called in process context.
pub(crate) fn holds(lock: *const ()) -> bool {
    any(|frame| ptr::eq(frame.held.get(), lock))
}

impl Frame {
    /// Notes which lock the callback was called with, where that shows only while it runs.
    pub(crate) fn set_held(&self, lock: *const ()) {
        self.held.set(lock);
    }

    /// Returns whether it is noted which lock the callback was called with.
    pub(crate) fn has_held(&self) -> bool {
        !self.held.get().is_null()
    }
}

#[kunit_tests(krdma_callback)]
mod tests {
    use super::*;

    #[test]
    fn a_task_is_in_the_callbacks_that_it_runs() {
        let (first, second) = (1_u8, 2_u8);
        let (first, second) = (ptr::from_ref(&first).cast(), ptr::from_ref(&second).cast());

        assert!(!is_running());
        run(first, |_| {
            assert!(is_running() && holds(first) && !holds(second));
            run(second, |_| assert!(holds(first) && holds(second)));
            assert!(holds(first) && !holds(second));
        });
        assert!(!is_running() && !holds(first));
    }

    #[test]
    fn the_lock_may_show_later() {
        let lock = 0_u8;
        let lock = ptr::from_ref(&lock).cast();

        run(ptr::null(), |frame| {
            assert!(!frame.has_held() && !holds(lock));
            frame.set_held(lock);
            assert!(frame.has_held() && holds(lock));
        });
    }
}
