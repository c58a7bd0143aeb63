// SPDX-License-Identifier: GPL-2.0

//! Which tasks are in a callback.
//!
//! What waits for callbacks to end can't do so in one. An object whose callbacks never overlap notes who
//! runs the one that does ([`Runner`]). Those of the connection manager and of the devices' events wait
//! for each other behind the scenes, by workqueues and locks of C: which of a module run is noted in its
//! account ([`Callbacks`]); they are rare. A completion queue notes who calls its handlers, for all that one
//! poll finds.

use crate::bindings;
use core::ptr;
use kernel::{
    new_spinlock,
    prelude::*,
    sync::{
        atomic::{
            ordering::Relaxed,
            Atomic, //
        },
        SpinLock, //
    },
    task::Task, //
};

/// Who runs the callback of an object, which has one at a time.
pub(crate) struct Runner(Atomic<*mut bindings::task_struct>);

// SAFETY: The address is compared only.
unsafe impl Send for Runner {}

// SAFETY: As above.
unsafe impl Sync for Runner {}

impl Runner {
    pub(crate) const fn new() -> Self {
        Self(Atomic::new(ptr::null_mut()))
    }

    /// Notes that the current task runs the callback.
    pub(crate) fn enter(&self) {
        self.0.store(Task::current_raw(), Relaxed);
    }

    /// Notes that nobody does.
    pub(crate) fn leave(&self) {
        self.0.store(ptr::null_mut(), Relaxed);
    }

    /// Returns whether the current task runs the callback.
    ///
    /// What others store meanwhile is never the current task, so that no order is needed.
    pub(crate) fn is_current(&self) -> bool {
        ptr::eq(self.0.load(Relaxed), Task::current_raw())
    }
}

/// A callback that runs, in the stack of the task that runs it.
///
/// # Invariants
///
/// `next` is null or points to a frame that is on the list. It is used with the list's lock held only.
struct Frame {
    task: *mut bindings::task_struct,
    next: *const Frame,
}

/// The callbacks of a module that run, other than completion handlers.
#[pin_data]
pub(crate) struct Callbacks {
    #[pin]
    frames: SpinLock<Frames>,
}

/// # Invariants
///
/// It is null or points to a frame that is on the list.
struct Frames(*const Frame);

// SAFETY: Frames are on the list as long as they exist, and are used with the list's lock held.
unsafe impl Send for Frames {}

impl Callbacks {
    pub(crate) fn new() -> impl PinInit<Self> {
        pin_init!(Self {
            // INVARIANT: There is none.
            frames <- new_spinlock!(Frames(ptr::null()), "krdma::Callbacks"),
        })
    }

    /// Runs `f` as a callback. To be called in process context.
    pub(crate) fn run<R>(&self, f: impl FnOnce() -> R) -> R {
        let mut frame = Frame {
            task: Task::current_raw(),
            next: ptr::null(),
        };
        let frame = &raw mut frame;

        // SAFETY: The frame is ours, and stays until it is taken off the list.
        unsafe { self.push(frame) };
        let ret = f();
        // SAFETY: It was put there.
        unsafe { self.remove(frame) };
        ret
    }

    /// # Safety
    ///
    /// `frame` must be valid until it is removed.
    unsafe fn push(&self, frame: *mut Frame) {
        let mut frames = self.frames.lock();

        // INVARIANT: What was the first frame of the list is on the list, and so is the new one.
        //
        // SAFETY: By the function's requirements; nobody else knows the frame.
        unsafe { (*frame).next = frames.0 };
        frames.0 = frame;
    }

    /// # Safety
    ///
    /// `frame` must be on the list.
    unsafe fn remove(&self, frame: *mut Frame) {
        let mut frames = self.frames.lock();
        let mut link: *mut *const Frame = &raw mut frames.0;

        // SAFETY: Frames on the list exist, and we have the list's lock. The frame is found before the
        // end.
        //
        // INVARIANT: What came after the frame is on the list.
        unsafe {
            while !ptr::eq(*link, frame) {
                link = &raw mut (*(*link).cast_mut()).next;
            }
            *link = (*frame).next;
        }
    }

    /// Returns whether the current task is in one. To be called in process context.
    pub(crate) fn are_current(&self) -> bool {
        let task = Task::current_raw();
        let frames = self.frames.lock();
        let mut at = frames.0;

        // SAFETY: Frames on the list exist, and we have the list's lock.
        while let Some(frame) = unsafe { at.as_ref() } {
            if frame.task == task {
                return true;
            }
            at = frame.next;
        }
        false
    }
}

#[kunit_tests(krdma_callback)]
mod tests {
    use super::*;

    #[test]
    fn a_task_is_in_the_callbacks_that_it_runs() -> Result {
        let list = KBox::pin_init(Callbacks::new(), GFP_KERNEL)?;

        assert!(!list.are_current());
        list.run(|| {
            assert!(list.are_current());
            list.run(|| assert!(list.are_current()));
            assert!(list.are_current());
        });
        assert!(!list.are_current());
        Ok(())
    }

    #[test]
    fn frames_go_in_any_order() -> Result {
        let list = KBox::pin_init(Callbacks::new(), GFP_KERNEL)?;
        let mut frames = [const {
            Frame {
                task: ptr::null_mut(),
                next: ptr::null(),
            }
        }; 3];
        let [a, b, c] = &mut frames;
        let (a, b, c) = (&raw mut *a, &raw mut *b, &raw mut *c);

        // SAFETY: The frames stay until they are removed, below.
        unsafe {
            list.push(a);
            list.push(b);
            list.push(c);
            list.remove(b);
            assert!(ptr::eq((*c).next, a));
            list.remove(c);
            list.remove(a);
        }
        assert!(list.frames.lock().0.is_null());
        Ok(())
    }

    #[test]
    fn one_task_runs_the_callback_of_an_object() {
        let runner = Runner::new();

        assert!(!runner.is_current());
        runner.enter();
        assert!(runner.is_current());
        runner.leave();
        assert!(!runner.is_current());
    }
}
