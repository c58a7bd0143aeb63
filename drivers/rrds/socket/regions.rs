// SPDX-License-Identifier: GPL-2.0

//! The memory that peers of a socket may use, and what its program is to be told of operations (spec-regions, spec-notices).

use crate::{
    message::Notice,
    region::Region, //
};
use kernel::{
    list::{
        List,
        ListArc, //
    },
    new_spinlock_irq,
    prelude::*,
    rbtree::{
        RBTree,
        RBTreeNode, //
    },
    sync::{
        Arc,
        SpinLockIrq, //
    },
};
use krdma::net::RecvMsg;
use rds_proto::{
    uapi::{
        cmsg::RDMA_STATUS,
        rdma::{
            Status,
            STATUS_LEN, //
        },
        SOL_RDS, //
    },
    wire::Cookie, //
};

/// Most notices that are made and not fetched.
const MAX_NOTICES: usize = 65_536;

/// What a socket has that uses RDMA.
#[pin_data]
pub(super) struct Regions {
    #[pin]
    regions: SpinLockIrq<RBTree<u32, Held>>,
    #[pin]
    notices: SpinLockIrq<Notices>,
}

/// A region that the program has registered.
struct Held {
    region: Arc<dyn Region>,
    /// It is given up when a peer tells that it has used it.
    once: bool,
}

#[derive(Default)]
struct Notices {
    /// What the program is to be told.
    list: List<Notice>,
    /// How many there are in it, and in messages under way.
    count: usize,
    /// The socket is closed.
    dead: bool,
}

impl Regions {
    /// None yet. May sleep.
    pub(super) fn new() -> Result<Arc<Self>> {
        Arc::pin_init(
            pin_init!(Self {
                regions <- new_spinlock_irq!(RBTree::new(), "rrds::Regions::regions"),
                notices <- new_spinlock_irq!(Notices::default(), "rrds::Regions::notices"),
            }),
            GFP_KERNEL_ACCOUNT,
        )
    }

    /// Finds a region by its key, and takes it out if `take` says so of whether it is to be used once. Any context.
    fn find(&self, key: u32, take: impl FnOnce(bool) -> bool) -> Option<Arc<dyn Region>> {
        let mut regions = self.regions.lock();
        let held = regions.get(&key)?;
        if !take(held.once) {
            return Some(held.region.clone());
        }
        let node = regions.remove_node(&key);

        drop(regions);
        node.map(|node| node.to_key_value().1.region)
    }

    /// Enters a region, which is given up when a peer tells that it has used it if it is to be used `once`. May sleep.
    ///
    /// Errors: [`ENOMEM`].
    pub(super) fn enter(&self, region: Arc<dyn Region>, once: bool) -> Result {
        let key = region.cookie().rkey;
        let node = RBTreeNode::new(key, Held { region, once }, GFP_KERNEL_ACCOUNT)?;
        // No other region has the key as long as this one is there.
        let old = self.regions.lock().insert(node);

        drop(old);
        Ok(())
    }

    /// Enters a notice of an operation that has ended. Returns whether the program is told. Any context.
    pub(super) fn note(&self, notice: &Arc<Notice>, status: Status) -> bool {
        let entry = match notice.end(status) {
            true => ListArc::try_from_arc(notice.clone()).ok(),
            false => None,
        };
        let mut notices = self.notices.lock();

        match entry {
            Some(entry) if !notices.dead => {
                notices.list.push_back(entry);
                true
            }
            _ => {
                notices.count = notices.count.saturating_sub(1);
                false
            }
        }
    }

    /// Returns the region that a cookie names. Any context.
    pub(super) fn region(&self, cookie: Cookie) -> Option<Arc<dyn Region>> {
        self.find(cookie.rkey, |_| false)
    }

    /// A peer tells that it has used a region: hands what it has written to the processor, and gives the region up if it is to
    /// be used once. Any context.
    pub(super) fn used(&self, key: u32) {
        if let Some(region) = self.find(key, |once| once) {
            region.sync(true);
        }
    }

    /// Gives a region up. Any context.
    pub(super) fn forget(&self, key: u32) -> Option<Arc<dyn Region>> {
        self.find(key, |_| true)
    }

    /// Makes what the program is told of the end of an operation. May sleep.
    ///
    /// Errors: [`ENOBUFS`] if the program does not fetch what it is told, [`ENOMEM`].
    pub(super) fn notice(&self, token: u64, asked_for: bool) -> Result<Arc<Notice>> {
        let notice = Notice::new(token, asked_for, GFP_KERNEL_ACCOUNT)?;
        let mut notices = self.notices.lock();

        if notices.count >= MAX_NOTICES {
            return Err(ENOBUFS);
        }
        // OVERFLOW: It is less than the limit.
        notices.count = notices.count.wrapping_add(1);
        Ok(notice)
    }

    /// So many notices are not needed after all. Any context.
    pub(super) fn give_back(&self, count: usize) {
        let mut notices = self.notices.lock();

        notices.count = notices.count.saturating_sub(count);
    }

    /// Whether the program is to be told something. Any context.
    pub(super) fn has_notices(&self) -> bool {
        !self.notices.lock().list.is_empty()
    }

    /// Tells the caller how operations have ended, as many as there is room for. Returns whether there were any.
    ///
    /// Errors: [`EFAULT`] if the caller's memory can't be written. What was not told is told again.
    pub(super) fn tell(&self, msg: &mut RecvMsg<'_>) -> Result<bool> {
        let mut told = false;

        loop {
            // Of a caller without room for any, the first one is lost, as all of C's are.
            if told && msg.control_room() < RecvMsg::control_space(STATUS_LEN) {
                return Ok(true);
            }
            let Some(notice) = self.notices.lock().list.pop_front() else {
                return Ok(told);
            };
            if let Err(err) = msg.put(SOL_RDS, RDMA_STATUS, &notice.bytes()) {
                self.notices.lock().list.push_front(notice);
                return Err(err);
            }
            let mut notices = self.notices.lock();
            notices.count = notices.count.saturating_sub(1);
            told = true;
        }
    }

    /// Nobody is told anything any more, and no peer can use memory of the program's when this returns. Sleeps.
    pub(super) fn close(&self) {
        let notices = {
            let mut notices = self.notices.lock();

            notices.dead = true;
            core::mem::replace(&mut notices.list, List::new())
        };
        drop(notices);
        let regions = core::mem::replace(&mut *self.regions.lock(), RBTree::new());
        for held in regions.values() {
            held.region.revoke();
        }
        drop(regions);
    }
}
