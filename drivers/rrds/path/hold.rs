// SPDX-License-Identifier: GPL-2.0

//! Who uses a path, and what becomes of it when nobody does.
//!
//! Sockets use a path by a [`Held`]. With the last one nothing is dialed any more. A path that has no
//! connection then, and no message, is taken out of the table after a while; what has to be remembered
//! of it takes little, see [`Memory`].

use super::{
    carrier::Carrier,
    realm::LINGER_NS,
    Path,
    State, //
};
use crate::{
    clock,
    congestion::Peer,
    message::{
        Message,
        Outgoing, //
    },
    socket::seam::{
        Refused,
        Route,
        RouteKey, //
    },
};
use kernel::{
    prelude::*,
    sync::{
        atomic::ordering::{
            Acquire,
            Full, //
        },
        Arc, //
    },
};
use rds_proto::{
    path::Memory,
    send::{
        Cancel,
        Outcome, //
    },
    time::Instant, //
};

/// A path, as sockets have it.
pub(super) struct Held<C: Carrier>(Arc<Path<C>>);

impl<C: Carrier> Drop for Held<C> {
    fn drop(&mut self) {
        // Nothing is locked here: it may be dropped with the path's lock held.
        if self.0.holders.fetch_sub(1, Full) == 1 {
            self.0.waker.wake();
        }
    }
}

/// Whether what has been idle since then has been so for long.
fn is_over(idle: Option<Instant>, now: Instant) -> bool {
    idle.is_some_and(|since| since.after(LINGER_NS) <= now)
}

impl<C: Carrier> Path<C> {
    /// Has the path used until the result is dropped. To be called with the table locked.
    pub(super) fn hold(self: &Arc<Self>) -> Held<C> {
        self.holders.fetch_add(1, Full);
        Held(self.clone())
    }

    fn is_held(&self) -> bool {
        self.holders.load(Acquire) != 0 || self.serves_first()
    }

    /// Has nothing dialed any more if nobody uses the path. By the job.
    ///
    /// Whoever begins to use it is counted before, and asks for a connection with the lock held, if it
    /// wants one. So this either sees that it is used, or comes first.
    pub(super) fn let_go(&self) {
        if !self.is_held() && self.serves_others() {
            return;
        }
        let mut state = self.state.lock();

        if !self.is_held() {
            state.engine.release();
        }
    }

    /// Asks for the path to be taken out of the table, if it is of no use. By the job.
    pub(super) fn retire(&self) {
        let is_idle = {
            let mut state = self.state.lock();
            let is_idle = !self.is_held() && state.engine.is_idle();

            state.idle = match state.idle {
                _ if !is_idle => None,
                None => Some(clock::now()),
                since => since,
            };
            is_idle
        };
        // The other lanes go with the first one.
        if is_idle && !self.is_extra() {
            self.realm.sweep_later();
        }
    }

    /// Whether the path has been of no use for so long that it can go; it takes part in nothing any more
    /// then. Returns what is to be remembered. To be called with the table locked.
    ///
    /// Not if something is, and there is no room for that.
    pub(super) fn expire(&self, now: Instant, has_room: bool) -> Option<Memory> {
        // First, so that what a holder has queued is seen below. Nobody begins to hold it meanwhile.
        if self.is_held() || !self.others_are_idle() {
            return None;
        }
        let mut state = self.state.lock();
        let State { engine, idle, .. } = &mut *state;
        let memory = engine.memory();

        // What the peer has made us store counts as long as it has an account.
        if !is_over(*idle, now)
            || !engine.is_idle()
            || !self.peer.backlog().is_empty()
            || !(has_room || memory.is_blank())
        {
            return None;
        }
        engine.stop();
        Some(memory)
    }

    /// Has a lane that goes with the first one take part in nothing any more, and returns what is to be remembered.
    pub(super) fn end_lane(&self) -> Memory {
        let mut state = self.state.lock();

        state.engine.stop();
        state.engine.memory()
    }

    /// Whether the path, if it is a first lane, has been of no use for long; none if it is of use. Any context.
    pub(super) fn idle(&self, now: Instant) -> Option<bool> {
        let idle = self.state.lock().idle.filter(|_| !self.is_extra());

        idle.map(|_| is_over(idle, now))
    }

    /// Has a path that is new go on where an earlier one ended.
    pub(super) fn resume(&self, memory: &Memory) {
        self.state.lock().engine.resume(memory);
    }

    /// The user who had it made; none if a peer did.
    pub(super) fn maker(&self) -> Option<u32> {
        self.maker
    }
}

impl<C: Carrier> Route for Held<C> {
    fn key(&self) -> RouteKey {
        self.0.key
    }

    fn peer(&self) -> &Arc<Peer> {
        &self.0.peer
    }

    #[inline]
    fn send(
        &self,
        message: Outgoing,
        ack_required: bool,
        flags: kernel::alloc::Flags,
        may_sleep: bool,
    ) -> Result<(), Refused> {
        let (lane, state) = self.0.queue(message, ack_required, flags)?;

        lane.pump_locked(state, C::IS_STREAM && may_sleep);
        Ok(())
    }

    fn takes_pages(&self) -> bool {
        C::TAKES_PAGES
    }

    fn has_room(&self, user: Option<u32>, port: u16) -> bool {
        self.0.lane_of(port).has_room(user)
    }

    fn connect(&self) {
        self.0.state.lock().engine.connect(clock::now());
        self.0.waker.wake();
    }

    fn cancel(&self, seq: u64, is_meant: &dyn Fn(&Message) -> bool) -> bool {
        // It may have been queued before other lanes were in use.
        self.0.any_lane(|lane| lane.cancel(seq, is_meant))
    }
}

impl<C: Carrier> Path<C> {
    /// See [`Route::cancel`].
    fn cancel(&self, seq: u64, is_meant: &dyn Fn(&Message) -> bool) -> bool {
        let mut guard = self.state.lock();
        let state = &mut *guard;

        let is_cancelled = match state.engine.cancel(seq, |message| is_meant(message)) {
            Cancel::Removed(message) => {
                self.end(&mut state.room, message, Outcome::Cancelled);
                true
            }
            Cancel::Sending => true,
            Cancel::Gone => false,
        };
        if state.room.is_relieved() || state.engine.wants_poll() {
            self.waker.wake();
        }
        is_cancelled
    }
}
