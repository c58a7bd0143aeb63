// SPDX-License-Identifier: GPL-2.0

//! What a socket has besides that a module has opened for itself: who is told what happens to it, by a
//! job of its own.

use super::{
    seam::RouteKey,
    Socket, //
};
use crate::{
    message::Incoming,
    registry::Seat, //
};
use core::mem;
use kernel::{
    list::ListArc,
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
use krdma::{
    net::Sock,
    work::Waker, //
};
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
    /// Has the job behind `waker` told what happens to a socket that is not bound yet. May sleep.
    pub(crate) fn attach(sock: &Sock<Socket>, waker: Waker) -> Result<Arc<Self>> {
        let tap = Arc::pin_init(
            pin_init!(Self {
                waker,
                peers <- new_spinlock_irq!(KVec::new(), "rrds::Tap::peers"),
                listed: Seat::new(),
                refused: Atomic::new(false),
                has_room: Atomic::new(false),
            }),
            GFP_KERNEL,
        )?;
        let this = sock.data();

        // It must not have to be done where nothing may sleep.
        Socket::watch(sock)?;
        if !this.tap.populate(tap.clone()) {
            return Err(EBUSY);
        }
        this.directory.taps.enter(sock, &tap.listed)?;
        Ok(tap)
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
    fn on_peer(&self, change: PeerChange) {
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

/// Lets nobody be told any more.
pub(super) fn detach(sock: &Sock<Socket>) {
    let this = sock.data();

    if let Some(tap) = this.tap.as_ref() {
        this.directory.taps.leave(&tap.listed);
    }
}

/// Tells a socket what has become of a peer of the address that it is bound to. May sleep.
pub(crate) fn on_peer(sock: &Sock<Socket>, key: &RouteKey, is_up: bool) {
    let this = sock.data();
    let bound = this.names.lock().bound;

    if let Some(tap) = this
        .tap
        .as_ref()
        .filter(|_| bound.is_some_and(|at| at.addr == key.local))
    {
        tap.on_peer(PeerChange {
            peer: key.peer,
            scope: key.scope,
            tos: key.tos,
            is_up,
        });
    }
}

/// Tells a socket that there may be room on a way that was crowded. Any context.
pub(super) fn on_relief(sock: &Sock<Socket>) {
    if let Some(tap) = sock.data().tap.as_ref() {
        tap.on_room();
    }
}

/// Takes the first message that was received out of the queue; [`took`] is to follow. Any context.
pub(crate) fn next_received(sock: &Sock<Socket>) -> Option<ListArc<Incoming>> {
    sock.data().receives.lock().queue.pop_front()
}

/// Counts a message as read. Any context.
pub(crate) fn took(sock: &Sock<Socket>, message: &Incoming) {
    super::receive::leave(sock, message);
    sock.data().space.stats.recv_delivered.add(1);
}
