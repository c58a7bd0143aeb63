// SPDX-License-Identifier: GPL-2.0

//! Multicast: queue pairs for datagrams that get what is sent to a group.
//!
//! For a datagram to get here the port must be a member of the group as well, see
//! [`Id::join_multicast`](crate::rdma::cm::Id::join_multicast), which also tells the group's GID, its
//! Q_Key and the way to it. It arrives at all queue pairs that are attached and have that Q_Key, with
//! one copy each: at that of the sender too, if it is one of them.
//!
//! C header: [`include/rdma/ib_verbs.h`](srctree/include/rdma/ib_verbs.h) (`ib_attach_mcast`)

use crate::{
    bindings,
    rdma::{
        qp::Ud,
        Gid,
        Lid,
        Qp, //
    },
    reaper::Deferred,
};
use core::mem::ManuallyDrop;
use kernel::{
    error::to_result,
    prelude::*,
    sync::Arc, //
};

/// The number that stands for the queue pairs of a group, in datagrams to it.
pub const MULTICAST_QP: u32 = 0xff_ffff;

/// A queue pair's membership in a multicast group. It ends when this is dropped.
///
/// It keeps the queue pair: one that is a member of a group can't be destroyed.
pub struct Attachment {
    inner: Deferred<Inner>,
}

/// # Invariants
///
/// The queue pair is attached to the group `gid` with `lid`, by this object alone: its list of groups
/// has the two once.
struct Inner {
    // Not dropped if it could not be detached.
    qp: ManuallyDrop<Arc<Qp<Ud>>>,
    gid: Gid,
    lid: u16,
}

impl Attachment {
    /// Attaches a queue pair to a group.
    ///
    /// `lid` is the group's, [`Lid::RESERVED`] on RoCE. The group's address attributes have both, see
    /// [`AhAttr::destination_gid`](crate::rdma::ah::AhAttr::destination_gid).
    ///
    /// Errors: [`EINVAL`] if `gid` or `lid` is no group's;
    /// [`EEXIST`] if it is attached to that group already, [`EOPNOTSUPP`] if the device has no
    /// multicast, [`ENOMEM`].
    pub fn new(qp: &Arc<Qp<Ud>>, gid: Gid, lid: Lid) -> Result<Self> {
        let lid = u16::try_from(lid.as_u32()).map_err(|_| EINVAL)?;
        let mut groups = qp.groups().lock();

        // C counts each call, but attaches once.
        if groups.contains(&(gid, lid)) {
            return Err(EEXIST);
        }
        groups.reserve(1, GFP_KERNEL)?;

        let mut raw = bindings::ib_gid {
            raw: *gid.as_bytes(),
        };
        // SAFETY: The queue pair exists. The GID is only read.
        to_result(unsafe { bindings::ib_attach_mcast(qp.as_raw(), &mut raw, lid) })?;
        // There is room, as it was made above.
        let _ = groups.push_within_capacity((gid, lid));
        drop(groups);

        // INVARIANT: The queue pair is attached, and its list says so. If there is no memory the
        // object is dropped, which ends that.
        let inner = qp.pd().charge().defer(Inner {
            qp: ManuallyDrop::new(qp.clone()),
            gid,
            lid,
        })?;
        Ok(Self { inner })
    }

    /// Returns the queue pair.
    pub fn qp(&self) -> &Arc<Qp<Ud>> {
        &self.inner.qp
    }

    /// Returns the group's GID.
    pub fn gid(&self) -> Gid {
        self.inner.gid
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        let mut raw = bindings::ib_gid {
            raw: *self.gid.as_bytes(),
        };

        {
            let mut groups = self.qp.groups().lock();
            // SAFETY: By the type invariant, the queue pair exists and is attached to the group.
            let ret = unsafe { bindings::ib_detach_mcast(self.qp.as_raw(), &mut raw, self.lid) };
            if ret != 0 {
                // The device may still refer to the queue pair, which can't be destroyed then: leak it,
                // with all that it uses.
                kernel::pr_err_once!("a queue pair can't leave its multicast group: {}\n", ret);
                return;
            }
            groups.retain(|group| *group != (self.gid, self.lid));
        }
        // SAFETY: The field is not used after this.
        drop(unsafe { ManuallyDrop::take(&mut self.qp) });
    }
}
