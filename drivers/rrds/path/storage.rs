// SPDX-License-Identifier: GPL-2.0

//! Storage of a path's queue, and of the shares of its users.

use crate::message::Outgoing;
use kernel::{
    alloc::flags::__GFP_NOWARN,
    prelude::*, //
};
use rds_proto::{
    send::Entry,
    shares::Share, //
};

/// Storage of messages to send.
pub(super) type Slots = KVec<Option<Entry<Outgoing>>>;

/// Slots that a path has at first, and at most: so many are one allocation of the kernel's largest.
pub(super) const SLOTS: usize = 16;
pub(super) const MAX_SLOTS: usize = 1 << 16;

/// From so many slots on, senders wait for a free one if there is no memory for more.
pub(super) const ENOUGH_SLOTS: usize = 1 << 10;

/// Makes storage of so many slots.
pub(crate) fn slots<T>(count: usize, flags: kernel::alloc::Flags) -> Result<KVec<Option<T>>> {
    let mut slots = KVec::with_capacity(count, flags | __GFP_NOWARN)?;

    for _ in 0..count {
        slots.push(None, flags)?;
    }
    Ok(slots)
}

/// Makes storage for shares.
pub(super) fn shares(count: usize, flags: kernel::alloc::Flags) -> Result<KVec<Share>> {
    Ok(KVec::from_elem(
        Share::default(),
        count,
        flags | __GFP_NOWARN,
    )?)
}
