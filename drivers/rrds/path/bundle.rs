// SPDX-License-Identifier: GPL-2.0

//! What several lanes to a peer have in common, see [`lanes`](super::lanes).

use crate::{
    clock,
    congestion::Peer, //
};
use kernel::{
    new_spinlock_irq,
    prelude::*,
    sync::{
        atomic::{
            ordering::{
                Full,
                Relaxed, //
            },
            Atomic, //
        },
        Arc,
        SetOnce,
        SpinLockIrq, //
    },
};
use krdma::work::Waker;
use rds_proto::cong::Doubt;

/// What the lanes to a peer have in common.
#[pin_data]
pub(super) struct Lanes {
    /// Wakes the job of the first lane.
    pub(super) first: SetOnce<Waker>,
    /// How many are in use. From 1 it changes once.
    pub(super) count: Atomic<u32>,
    /// The first lane is up, and the others know the life of the peer.
    pub(super) is_open: Atomic<bool>,
    /// It may have been, and the others were not told yet that it is not any more.
    pub(super) was_open: Atomic<bool>,
    /// Another lane waits to connect.
    pub(super) is_asked: Atomic<bool>,
    /// What was queued before others were in use has arrived: from here on they send.
    pub(super) past_barrier: Atomic<bool>,
    /// How many the peer has, as far as it has said. Those in use beyond that do not connect.
    pub(super) known: Atomic<u32>,
    /// The first lane is to say hello again, and so to ask its peer who it is.
    pub(super) is_suspect: Atomic<bool>,
    /// When it did, in nanoseconds.
    pub(super) greeted_at: Atomic<u64>,
    /// How often the peer was asked for its congestion map.
    pub(super) maps_asked: Atomic<u32>,
    /// Whether the congestion map that came last, by any lane, is the newest one.
    #[pin]
    pub(super) doubt: SpinLockIrq<Doubt>,
}

impl Lanes {
    fn new() -> Result<Arc<Self>> {
        let this = pin_init!(Self {
            first: SetOnce::new(),
            count: Atomic::new(1),
            is_open: Atomic::new(false),
            was_open: Atomic::new(false),
            is_asked: Atomic::new(false),
            past_barrier: Atomic::new(false),
            known: Atomic::new(1),
            is_suspect: Atomic::new(false),
            greeted_at: Atomic::new(0),
            maps_asked: Atomic::new(0),
            doubt <- new_spinlock_irq!(Doubt::default(), "rrds::path::Lanes"),
        });

        Arc::pin_init(this, GFP_KERNEL)
    }

    /// The first lane is up no more, or up anew. With its lock.
    pub(super) fn shut(&self) {
        self.is_open.store(false, Relaxed);
        self.was_open.store(true, Relaxed);
    }

    /// Has the first lane connected.
    pub(super) fn ask(&self) {
        self.is_asked.store(true, Relaxed);
        self.wake_first();
    }

    /// A congestion map of a peer has come in on a lane. Any context.
    pub(super) fn on_map(&self, lane: u8, peer: &Peer) {
        let mut doubt = self.doubt.lock();

        if doubt.on_map(lane, peer.is_clear(), clock::now()) {
            self.wake_first();
        }
    }

    /// The peer of another lane's connection is gone, and may be that of the first one's, which has not noticed.
    pub(super) fn suspect(&self) {
        let _ = self.is_suspect.xchg(true, Full);
        // At once: none is to be dialed before the first one has asked.
        self.is_open.store(false, Relaxed);
        self.wake_first();
    }

    fn wake_first(&self) {
        if let Some(first) = self.first.as_ref() {
            first.wake();
        }
    }
}

/// A place among the lanes to a peer.
pub(super) struct Place<P> {
    /// None if the carrier has no lanes.
    pub(super) lanes: Option<Arc<Lanes>>,
    /// Of the first lane the others.
    pub(super) others: SetOnce<KVec<Arc<P>>>,
}

impl<P> Place<P> {
    /// Makes the first of so many places.
    pub(super) fn first(count: u8) -> Result<Self> {
        Ok(Self {
            lanes: (count > 1).then(Lanes::new).transpose()?,
            others: SetOnce::new(),
        })
    }

    /// Makes a place beside this one.
    pub(super) fn beside(&self) -> Self {
        Self {
            lanes: self.lanes.clone(),
            others: SetOnce::new(),
        }
    }
}
