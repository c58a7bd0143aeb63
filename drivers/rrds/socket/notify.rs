// SPDX-License-Identifier: GPL-2.0

//! What a socket is told of, and who of those that wait for it is woken: congestion that ends, room to
//! write, messages that have ended, peers.

use super::{
    seam::RouteKey,
    tap::{
        PeerChange,
        Tap, //
    },
    Socket, //
};
use core::mem;
use kernel::{
    prelude::*,
    sync::Arc, //
};
use krdma::{
    net::Sock,
    work::Waker, //
};

/// Tells a socket that the ports of `mask` got free at some peer, and that a map has changed.
///
/// Any context.
pub(super) fn on_congestion(sock: &Sock<Socket>, mask: u64) {
    let mut receives = sock.data().receives.lock();
    let refused = mem::take(&mut receives.refused);
    let fired = receives.monitor.on_update(mask);

    if refused && !receives.monitor.is_on() {
        receives.updated = true;
    }
    drop(receives);
    if refused || fired {
        sock.data_ready();
        if let Some(tap) = sock.data().tap.as_ref() {
            tap.on_room();
        }
    }
}

/// There is room to write where there was none, or nothing is under way any more.
pub(crate) fn on_room(sock: &Sock<Socket>) {
    sock.write_space();
    if let Some(tap) = sock.data().tap.as_ref() {
        tap.on_room();
    }
}

/// A message has ended whose sender is to be told so.
pub(super) fn on_news(sock: &Sock<Socket>) {
    if let Some(tap) = sock.data().tap.as_ref() {
        tap.wake();
    }
}

/// Notes that a message to `port` was refused, or waits, because of congestion. The map must be
/// looked at again afterwards. May sleep, unless the socket is [watched](watch).
pub(super) fn on_refused(sock: &Sock<Socket>, port: u16) -> Result {
    let this = sock.data();

    watch(sock)?;
    let mut receives = this.receives.lock();
    receives.refused = true;
    receives.monitor.refused(port);
    Ok(())
}

/// Has the socket told of congestion that ends. May sleep, unless it is so already.
pub(crate) fn watch(sock: &Sock<Socket>) -> Result {
    let this = sock.data();

    this.directory.watchers.enter(sock, &this.watching)
}

/// Has the socket told when there may be room again on ways that are crowded: until then it is not
/// writable. May sleep.
pub(super) fn join_crowd(sock: &Sock<Socket>) -> Result {
    let this = sock.data();

    this.directory.crowd.enter(sock, &this.crowded)
}

/// There may be room on a way that was crowded: ends what [`join_crowd`] began. Any context.
pub(super) fn on_relief(sock: &Sock<Socket>) {
    let this = sock.data();

    if this.directory.crowd.rise(&this.crowded) {
        on_room(sock);
    }
}

/// Has the job behind `waker` told what happens to a socket that is not bound yet. May sleep.
pub(crate) fn attach(sock: &Sock<Socket>, waker: Waker) -> Result<Arc<Tap>> {
    let tap = Tap::new(waker)?;
    let this = sock.data();

    // It must not have to be done where nothing may sleep.
    watch(sock)?;
    if !this.tap.populate(tap.clone()) {
        return Err(EBUSY);
    }
    this.directory.taps.enter(sock, tap.seat())?;
    Ok(tap)
}

/// Ends what [`attach`] began: nobody is told any more.
pub(super) fn detach(sock: &Sock<Socket>) {
    let this = sock.data();

    if let Some(tap) = this.tap.as_ref() {
        this.directory.taps.leave(tap.seat());
    }
}

/// Tells the module whose socket it is that there may be room on a way that was crowded. Any context.
pub(super) fn tell_room(sock: &Sock<Socket>) {
    if let Some(tap) = sock.data().tap.as_ref() {
        tap.on_room();
    }
}

/// Tells a socket what has become of a peer of the address that it is bound to. May sleep.
pub(super) fn on_peer(sock: &Sock<Socket>, key: &RouteKey, is_up: bool) {
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
