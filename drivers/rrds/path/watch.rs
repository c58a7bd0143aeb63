// SPDX-License-Identifier: GPL-2.0

//! The lock around the state of a path, which watches what happens to its connection.
//!
//! Whoever has locked the state may change that of the connection. When it unlocks, the change is
//! noted and told, so that no place that makes one can forget to.

use super::State;
use crate::{
    clock,
    trace, //
};
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

/// The state of a path, behind its lock.
#[pin_data]
pub(super) struct Watched {
    #[pin]
    lock: SpinLockIrq<State>,
}

impl Watched {
    pub(super) fn new(state: State) -> impl PinInit<Self> {
        pin_init!(Self {
            lock <- new_spinlock_irq!(state, "rrds::Path::state"),
        })
    }

    /// Locks the state. Any context.
    #[inline]
    pub(super) fn lock(&self) -> Locked<'_> {
        Locked(self.lock.lock())
    }
}

/// The locked state.
#[must_use = "the lock unlocks immediately when the guard is unused"]
pub(super) struct Locked<'a>(SpinLockIrqGuard<'a, State>);

impl Deref for Locked<'_> {
    type Target = State;

    #[inline]
    fn deref(&self) -> &State {
        &self.0
    }
}

impl DerefMut for Locked<'_> {
    #[inline]
    fn deref_mut(&mut self) -> &mut State {
        &mut self.0
    }
}

impl Drop for Locked<'_> {
    #[inline]
    fn drop(&mut self) {
        let state = &mut *self.0;

        if state.engine.state() != state.history.state() {
            state.changed();
        }
    }
}

impl State {
    /// Notes and tells a change of the connection's state.
    #[cold]
    fn changed(&mut self) {
        let reason = self.engine.last_reason();
        let qp = self.link.as_ref().map_or(0, |link| link.qp().number());
        let change = self.history.note(self.engine.state(), reason, clock::now());

        self.rtt.forget();
        if let Some(change) = change {
            trace::changed(&self.key, self.engine.current(), &change, reason, qp);
        }
    }
}
