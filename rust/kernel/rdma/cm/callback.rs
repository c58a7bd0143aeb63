// SPDX-License-Identifier: GPL-2.0

//! Callbacks: from C's one function to the handlers.

use super::{
    event::Event,
    id::{
        Core,
        Role, //
    },
    listener::Request, //
};
use crate::{
    bindings,
    callback::{
        self,
        Frame, //
    },
};
use core::{
    cell::Cell,
    ptr, //
};
use kernel::prelude::*;

/// The callback for a request, which may be taken or not.
pub(super) struct Asked<'a> {
    frame: &'a Frame,
    /// What C is told if the request is not taken.
    refusal: Cell<Error>,
}

impl Asked<'_> {
    /// Notes that the request has become the id `core`.
    ///
    /// C calls with the lock of the new id taken. The id is not freed before the callback returns: to
    /// destroy it takes its lock.
    pub(super) fn take(&self, core: *const Core) {
        self.frame.set_held(core.cast());
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
            // C has taken the lock of `id`, which is that of `core`.
            callback::run(ptr::from_ref(core).cast(), |_| {
                // SAFETY: The event is for `id` and is being reported. `core` is of the type that
                // `deliver` is for, as it was made with it.
                unsafe { deliver(core, Event::from_raw(id, event, core.service_type())) };
            });
            // Anything else would destroy the id, which is for its owner to do.
            0
        }
        Role::Listener { request, .. }
            if event.event == bindings::rdma_cm_event_type_RDMA_CM_EVENT_CONNECT_REQUEST =>
        {
            // The lock is that of the new id, which has no core yet.
            callback::run(ptr::null(), |frame| {
                let asked = Asked {
                    frame,
                    refusal: Cell::new(ECONNREFUSED),
                };

                // SAFETY: `id` is new and has the listener's context. The rest is as above.
                unsafe { request(core, Request::new(id, event, core, &asked)) };

                if frame.has_held() {
                    0
                } else {
                    // C destroys the new id.
                    asked.refusal.get().to_errno()
                }
            })
        }
        Role::Listener { deliver, .. } => {
            core.advance(event.event);
            callback::run(ptr::from_ref(core).cast(), |_| {
                // SAFETY: As for connections.
                unsafe { deliver(core, event.event) };
            });
            0
        }
    }
}
