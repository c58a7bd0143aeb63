// SPDX-License-Identifier: GPL-2.0

//! A lock around a state that is looked at as it is unlocked.
//!
//! Whoever has locked the state of a path may change that of the connection. When it unlocks, the change
//! is noted and told, so that no place that makes one can forget to.

use core::ops::{
    Deref,
    DerefMut, //
};
use kernel::{
    new_spinlock_irq,
    prelude::*,
    sync::{
        SpinLockIrq,
        SpinLockIrqGuard, //
    },
};

/// A state that is looked at as it is unlocked.
pub(super) trait Watch: Unpin {
    /// Looks at what has changed since it was locked. Any context, with the lock still held.
    fn unlocking(&mut self);
}

/// The state of a path, behind its lock.
#[pin_data]
pub(super) struct Watched<S: Watch> {
    #[pin]
    lock: SpinLockIrq<S>,
}

impl<S: Watch> Watched<S> {
    pub(super) fn new(state: S) -> impl PinInit<Self> {
        pin_init!(Self {
            lock <- new_spinlock_irq!(state, "rrds::Path::state"),
        })
    }

    /// Locks the state. Any context.
    #[inline]
    pub(super) fn lock(&self) -> Locked<'_, S> {
        Locked(self.lock.lock())
    }
}

/// The locked state.
#[must_use = "the lock unlocks immediately when the guard is unused"]
pub(super) struct Locked<'a, S: Watch>(SpinLockIrqGuard<'a, S>);

impl<S: Watch> Deref for Locked<'_, S> {
    type Target = S;

    #[inline]
    fn deref(&self) -> &S {
        &self.0
    }
}

impl<S: Watch> DerefMut for Locked<'_, S> {
    #[inline]
    fn deref_mut(&mut self) -> &mut S {
        &mut self.0
    }
}

impl<S: Watch> Drop for Locked<'_, S> {
    #[inline]
    fn drop(&mut self) {
        self.0.unlocking();
    }
}
