// SPDX-License-Identifier: GPL-2.0

//! How far an id has come, and which event leads where.

use crate::bindings;
use kernel::{
    prelude::*,
    sync::atomic::AtomicType, //
};

/// How far an id has come. The figure in the [module's documentation](super) shows the order.
///
/// The state changes in methods of the id, and before an event is delivered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i32)]
pub enum State {
    /// The call that makes the id has not returned. An event about the device may come already.
    New,
    /// Waits for connections.
    Listening,
    /// The peer's address is being looked for.
    ResolvingAddress,
    /// The peer's address is known, and the device.
    AddressResolved,
    /// The path to the peer is being looked for.
    ResolvingRoute,
    /// The path is known.
    RouteResolved,
    /// The peer was asked.
    Connecting,
    /// The peer waits for our answer.
    Requested,
    /// The peer has accepted, and waits for us to confirm.
    Responded,
    /// We have accepted, and wait for the peer to confirm. With
    /// [`PortSpace::Udp`](super::PortSpace::Udp) there is nothing to wait for.
    Accepted,
    /// Connected.
    Established,
    /// One side has disconnected.
    Disconnected,
    /// The connection was not made.
    Failed,
    /// The device is about to go.
    Removed,
}

// SAFETY: `State` has the size and the alignment of `i32`, and each value of it is one.
unsafe impl AtomicType for State {
    type Repr = i32;
}

/// Returns the state that an event leads to, if it changes it.
pub(super) fn next_state(state: State, event: bindings::rdma_cm_event_type) -> Option<State> {
    Some(match event {
        bindings::rdma_cm_event_type_RDMA_CM_EVENT_ADDR_RESOLVED => State::AddressResolved,
        bindings::rdma_cm_event_type_RDMA_CM_EVENT_ADDR_ERROR => State::Failed,
        bindings::rdma_cm_event_type_RDMA_CM_EVENT_ROUTE_RESOLVED => State::RouteResolved,
        bindings::rdma_cm_event_type_RDMA_CM_EVENT_ROUTE_ERROR => State::AddressResolved,
        bindings::rdma_cm_event_type_RDMA_CM_EVENT_CONNECT_RESPONSE => State::Responded,
        bindings::rdma_cm_event_type_RDMA_CM_EVENT_ESTABLISHED => State::Established,
        bindings::rdma_cm_event_type_RDMA_CM_EVENT_DISCONNECTED => State::Disconnected,
        bindings::rdma_cm_event_type_RDMA_CM_EVENT_CONNECT_ERROR
        | bindings::rdma_cm_event_type_RDMA_CM_EVENT_REJECTED
        | bindings::rdma_cm_event_type_RDMA_CM_EVENT_UNREACHABLE
            if matches!(
                state,
                State::Connecting | State::Requested | State::Responded | State::Accepted
            ) =>
        {
            State::Failed
        }
        // The call that makes the id is still at it.
        bindings::rdma_cm_event_type_RDMA_CM_EVENT_DEVICE_REMOVAL if state != State::New => {
            State::Removed
        }
        _ => return None,
    })
}

#[kunit_tests(krdma_cm_id)]
mod tests {
    use super::*;

    #[test]
    fn events_lead_to_states() {
        use bindings::*;
        let next = next_state;

        assert_eq!(
            next(State::New, rdma_cm_event_type_RDMA_CM_EVENT_ADDR_RESOLVED),
            Some(State::AddressResolved)
        );
        assert_eq!(
            next(
                State::ResolvingRoute,
                rdma_cm_event_type_RDMA_CM_EVENT_ROUTE_ERROR
            ),
            Some(State::AddressResolved)
        );
        assert_eq!(
            next(State::Connecting, rdma_cm_event_type_RDMA_CM_EVENT_REJECTED),
            Some(State::Failed)
        );
        // The network may report this of a connection that works.
        assert_eq!(
            next(
                State::Established,
                rdma_cm_event_type_RDMA_CM_EVENT_UNREACHABLE
            ),
            None
        );
        assert_eq!(
            next(State::New, rdma_cm_event_type_RDMA_CM_EVENT_DEVICE_REMOVAL),
            None
        );
        assert_eq!(next(State::Connecting, 4711), None);
    }
}
