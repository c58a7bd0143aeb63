// SPDX-License-Identifier: GPL-2.0

//! Callbacks: from C's one function to the handlers.

use super::{
    event::Event,
    id::{
        Asked,
        Core,
        Role, //
    },
    namespace, //
};
use crate::bindings;
use kernel::prelude::*;

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
            let resolved = event.event == bindings::rdma_cm_event_type_RDMA_CM_EVENT_ADDR_RESOLVED;
            let refused;
            // SAFETY: The id is valid, and C has bound it before it reports this event.
            let event = if resolved && !unsafe { namespace::is_own(id) } {
                refused = bindings::rdma_cm_event {
                    event: bindings::rdma_cm_event_type_RDMA_CM_EVENT_ADDR_ERROR,
                    status: ENODEV.to_errno(),
                    ..pin_init::zeroed()
                };
                &refused
            } else {
                event
            };

            core.advance(event.event);
            in_callback(core, || {
                // SAFETY: The event is for `id` and is being reported, by C or here. `core` is of the type that
                // `deliver` is for, as it was made with it.
                unsafe { deliver(core, Event::from_raw(id, event, core.service_type())) };
            });
            // Anything else would destroy the id, which is for its owner to do.
            0
        }
        Role::Listener { request, .. }
            if event.event == bindings::rdma_cm_event_type_RDMA_CM_EVENT_CONNECT_REQUEST =>
        {
            let asked = Asked::new();

            core.charge().callbacks().run(|| {
                // SAFETY: `id` is new and has the listener's context. The rest is as above.
                unsafe { request(core, id, event, &asked) };
            });
            // SAFETY: We are in the callback, and do nothing more.
            match unsafe { asked.end() } {
                Ok(()) => 0,
                // C destroys the new id.
                Err(why) => why.to_errno(),
            }
        }
        Role::Listener { deliver, .. } => {
            core.advance(event.event);
            in_callback(core, || {
                // SAFETY: As for connections.
                unsafe { deliver(core, event.event) };
            });
            0
        }
    }
}

/// Runs `f` as a callback of an id, whose lock C has taken.
fn in_callback(core: &Core, f: impl FnOnce()) {
    core.runner().enter();
    core.charge().callbacks().run(f);
    core.runner().leave();
}
