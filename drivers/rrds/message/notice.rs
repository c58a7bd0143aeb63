// SPDX-License-Identifier: GPL-2.0

//! What a program is told of the end of an operation (spec-cmsg).

use kernel::{
    list::{
        impl_list_arc_safe,
        impl_list_item,
        AtomicTracker,
        ListLinks,
        TryNewListArc, //
    },
    prelude::*,
    sync::{
        atomic::{
            ordering::Relaxed,
            Atomic, //
        },
        Arc, //
    },
};
use rds_proto::uapi::rdma::{
    status,
    Status,
    STATUS_LEN, //
};

/// What a program is told of the end of an operation. It is made with the operation, so that nothing can fail when that
/// ends.
#[pin_data]
pub(crate) struct Notice {
    token: u64,
    /// The program has asked for it; else it is told of failures only.
    asked_for: bool,
    /// The number of the status.
    status: Atomic<i32>,
    #[pin]
    links: ListLinks,
    #[pin]
    tracker: AtomicTracker,
}

impl_list_arc_safe! {
    impl ListArcSafe<0> for Notice { tracked_by tracker: AtomicTracker; }
}
impl_list_item! {
    impl ListItem<0> for Notice { using ListLinks { self.links }; }
}

impl Notice {
    /// Makes one.
    pub(crate) fn new(
        token: u64,
        asked_for: bool,
        flags: kernel::alloc::Flags,
    ) -> Result<Arc<Self>> {
        Arc::pin_init(
            pin_init!(Self {
                token,
                asked_for,
                status: Atomic::new(0),
                links <- ListLinks::new(),
                tracker <- AtomicTracker::new(),
            }),
            flags,
        )
    }

    pub(crate) fn is_asked_for(&self) -> bool {
        self.asked_for
    }

    /// Notes how the operation has ended. Returns whether the program is to be told.
    pub(crate) fn end(&self, status: Status) -> bool {
        self.status.store(status.number(), Relaxed);
        self.asked_for || !matches!(status, Status::Success | Status::Cancelled)
    }

    /// Returns the control message.
    pub(crate) fn bytes(&self) -> [u8; STATUS_LEN] {
        status(self.token, Status::from_number(self.status.load(Relaxed)))
    }
}
