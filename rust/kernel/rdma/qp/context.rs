// SPDX-License-Identifier: GPL-2.0

//! What a queue pair knows of its user, and what it tells it.
//!
//! C header: [`include/rdma/ib_verbs.h`](srctree/include/rdma/ib_verbs.h) (`qp_context`, `enum
//! ib_event_type`)

use crate::bindings;
use core::{
    any::TypeId,
    ptr, //
};
use kernel::prelude::*;

/// Something that happened to a queue pair.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum QpEvent {
    /// The path moved to the alternate one.
    PathMigrated,
    /// The first message arrived before the connection was established.
    CommunicationEstablished,
    /// The send queue is drained, after a move to
    /// [`QpState::Sqd`](crate::rdma::qp_attr::QpState::Sqd).
    SendQueueDrained,
    /// The last request of a shared receive queue that the queue pair will take is done.
    LastWqeReached,
    /// The queue pair failed: an error that no completion can tell of.
    Fatal,
    /// The peer's request was invalid.
    RequestError,
    /// The peer's access was not granted.
    AccessError,
    /// The alternate path was not accepted.
    PathMigrationError,
    /// Another of the events of `enum ib_event_type`.
    Other(u32),
}

impl QpEvent {
    pub(super) fn from_raw(raw: bindings::ib_event_type) -> Self {
        match raw {
            bindings::ib_event_type_IB_EVENT_PATH_MIG => Self::PathMigrated,
            bindings::ib_event_type_IB_EVENT_COMM_EST => Self::CommunicationEstablished,
            bindings::ib_event_type_IB_EVENT_SQ_DRAINED => Self::SendQueueDrained,
            bindings::ib_event_type_IB_EVENT_QP_LAST_WQE_REACHED => Self::LastWqeReached,
            bindings::ib_event_type_IB_EVENT_QP_FATAL => Self::Fatal,
            bindings::ib_event_type_IB_EVENT_QP_REQ_ERR => Self::RequestError,
            bindings::ib_event_type_IB_EVENT_QP_ACCESS_ERR => Self::AccessError,
            bindings::ib_event_type_IB_EVENT_PATH_MIG_ERR => Self::PathMigrationError,
            raw => Self::Other(raw),
        }
    }
}

/// What a queue pair knows of its user: handlers find it by [`Completion::poster`] and
/// [`Poster::context`](super::Poster::context), and it is told of what happens to the queue pair.
///
/// The queue pair owns it. If it keeps something that keeps the queue pair, neither goes by itself: who
/// wants that must take the queue pair out where the connection ends.
///
/// [`Completion::poster`]: crate::rdma::Completion::poster
pub trait QpContext: Send + Sync + 'static {
    /// Something happened to the queue pair.
    ///
    /// # Context
    ///
    /// Any: must not sleep.
    fn event(&self, event: QpEvent) {
        let _ = event;
    }
}

/// A [`QpContext`] of any type.
///
/// # Invariants
///
/// `data` is of the type that `id` is of.
pub struct Context {
    data: KBox<dyn QpContext>,
    id: TypeId,
}

impl Context {
    /// Allocates one.
    pub fn new<T: QpContext>(data: T, flags: kernel::alloc::Flags) -> Result<Self> {
        // INVARIANT: Both are of `T`.
        Ok(Self {
            data: KBox::new(data, flags)?,
            id: TypeId::of::<T>(),
        })
    }

    pub(super) fn event(&self, event: QpEvent) {
        self.data.event(event);
    }

    #[inline]
    pub(super) fn get<T: QpContext>(&self) -> Option<&T> {
        if self.id != TypeId::of::<T>() {
            return None;
        }
        // SAFETY: By the type invariant, it is of this type. The reference lives as long as ours.
        Some(unsafe { &*ptr::from_ref(&*self.data).cast() })
    }
}
