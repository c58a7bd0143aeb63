// SPDX-License-Identifier: GPL-2.0

//! What a socket has besides that a module has opened for itself: who is told what happens to it, by a
//! job of its own.

use crate::registry::Seat;
use core::mem;
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
        SpinLockIrq, //
    },
};
use krdma::work::Waker;
use rds_proto::wire::Addr;

/// What has become of the connection to a peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PeerChange {
    pub(crate) peer: Addr,
    /// The interface of a link-local address, else 0.
    pub(crate) scope: u32,
    pub(crate) tos: u8,
    pub(crate) is_up: bool,
}

/// See the [module](self).
#[pin_data]
pub(crate) struct Tap {
    waker: Waker,
    /// What is to be told of peers: of each the last only.
    #[pin]
    peers: SpinLockIrq<KVec<PeerChange>>,
    /// Its seat among the sockets that are told of peers.
    listed: Seat,
    /// A message was refused because there was no room.
    refused: Atomic<bool>,
    /// There may be room since then.
    has_room: Atomic<bool>,
}

impl Tap {
    /// Has the job behind `waker` told.
    pub(super) fn new(waker: Waker) -> Result<Arc<Self>> {
        Arc::pin_init(
            pin_init!(Self {
                waker,
                peers <- new_spinlock_irq!(KVec::new(), "rrds::Tap::peers"),
                listed: Seat::new(),
                refused: Atomic::new(false),
                has_room: Atomic::new(false),
            }),
            GFP_KERNEL,
        )
    }

    /// Returns its seat among the sockets that are told of peers.
    pub(super) fn seat(&self) -> &Seat {
        &self.listed
    }

    /// Has the job run. Any context.
    pub(crate) fn wake(&self) {
        self.waker.wake();
    }

    /// Notes that there may be room where there was none. Any context.
    pub(super) fn on_room(&self) {
        // Who is refused sets the mark first, and then looks again, with the lock that whoever made room
        // has had before.
        if self.refused.load(Relaxed) {
            self.has_room.store(true, Relaxed);
            self.waker.wake();
        }
    }

    /// Notes that a message was refused because there was no room. The caller is to try once more: there
    /// may have got room before.
    pub(crate) fn on_refused(&self) {
        self.refused.xchg(true, Full);
    }

    /// Whether there may be room since a message was refused. Tells so once.
    pub(crate) fn take_room(&self) -> bool {
        // Most of the time neither is set.
        self.has_room.load(Relaxed)
            && self.has_room.xchg(false, Full)
            && self.refused.xchg(false, Full)
    }

    /// Notes what has become of a peer. May sleep.
    pub(super) fn on_peer(&self, change: PeerChange) {
        loop {
            let mut peers = self.peers.lock();
            let known = peers.iter_mut().find(|known| {
                (known.peer, known.scope, known.tos) == (change.peer, change.scope, change.tos)
            });
            if let Some(known) = known {
                *known = change;
                break;
            }
            if peers.push_within_capacity(change).is_ok() {
                break;
            }

            let wanted = peers.capacity().saturating_mul(2).max(4);
            drop(peers);
            // Without memory what there was to tell is lost, as is a connection then.
            let Ok(mut larger) = KVec::with_capacity(wanted, GFP_KERNEL) else {
                return;
            };
            let mut peers = self.peers.lock();
            if larger.capacity() > peers.capacity() {
                for one in peers.drain_all() {
                    // There is room for more than that.
                    let _ = larger.push_within_capacity(one);
                }
                mem::swap(&mut *peers, &mut larger);
            }
            // The old storage is freed without the lock.
            drop(peers);
        }
        self.waker.wake();
    }

    /// Takes something that is to be told of a peer.
    pub(crate) fn next_peer(&self) -> Option<PeerChange> {
        let mut peers = self.peers.lock();

        if peers.is_empty() {
            return None;
        }
        peers.remove(0).ok()
    }
}
