// SPDX-License-Identifier: GPL-2.0

//! Several paths to a peer, each over a connection of its own: lanes (spec-tcp-lanes).
//!
//! Where a carrier has lanes, all that there can be are made with the first one, and go with it. Sockets hold the
//! first one. When the peer has said how many it has, what a socket sends takes the lane that its port gives, and
//! so stays in order.
//!
//! Another lane connects only while it is open: the first one is up, and the peer has said there which life it is
//! in. What it has received, and what it sends, depends on that.

use super::{
    bundle::Lanes,
    carrier::{
        Carrier,
        Link, //
    },
    until,
    Path,
    State, //
};
use crate::clock;
use core::ptr;
use kernel::{
    prelude::*,
    sync::{
        atomic::ordering::{
            Acquire,
            Full,
            Relaxed,
            Release, //
        },
        Arc, //
    },
    time::Delta, //
};
use rds_proto::{
    cong::Look,
    conn::State as ConnState,
    error::DropReason,
    tcp::{
        lane_of_port,
        lane_of_source,
        MAX_LANES, //
    },
    time::Instant,
};

/// A peer that does not say who it is for so long is taken for who it was: its answers may be turned off.
const SILENT: Delta = Delta::from_millis(3000);

/// How long a connection of the peer whose port could be that of another lane waits for the first one, in nanoseconds.
/// Then it is taken for that: if there is none, or there is one, and nothing was said on it. Of a peer that has ever said
/// that its ports tell only if there is none, after the longer time: it may have become one whose ports do not.
const LATE_NS: u64 = 1_500_000_000;
const LATEST_NS: u64 = 5_000_000_000;

/// When it is tried again to say hello, or to find a lane that can be connected anew.
const RETRY: Delta = Delta::from_millis(250);

impl<C: Carrier> Path<C> {
    /// Whether it is a lane beside the first one.
    #[inline]
    pub(super) fn is_extra(&self) -> bool {
        C::LANES > 1 && self.key.lane != 0
    }

    /// Returns what the lanes have in common, if this is the first one.
    #[inline]
    pub(super) fn as_first(&self) -> Option<&Lanes> {
        if C::LANES == 1 || self.is_extra() {
            return None;
        }
        self.place.lanes.as_deref()
    }

    /// Returns the same, if this is not the first one.
    #[inline]
    fn as_extra(&self) -> Option<&Lanes> {
        if self.is_extra() {
            self.place.lanes.as_deref()
        } else {
            None
        }
    }

    /// Returns the other lanes, of the first one.
    pub(super) fn others(&self) -> &[Arc<Self>] {
        self.place.others.as_ref().map_or(&[], |others| others)
    }

    /// Makes this the first lane, beside which there are others. Once.
    pub(super) fn lead(&self, others: KVec<Arc<Self>>) {
        if let Some(lanes) = self.as_first() {
            self.place.others.populate(others);
            lanes.first.populate(self.waker.clone());
        }
    }

    /// Returns the lane of what a port sends. Any context.
    #[inline]
    pub(super) fn lane_of(&self, port: u16) -> &Self {
        let Some(lanes) = self.as_first() else {
            return self;
        };
        // CAST: It is at most 8.
        let lane = lane_of_port(port, lanes.count.load(Acquire) as u8);

        match lane.checked_sub(1) {
            None => self,
            Some(other) => self.others().get(usize::from(other)).map_or(self, |p| p),
        }
    }

    /// Whether what a port sends still takes this lane. With the lock of this lane.
    ///
    /// The first one has it taken by all until others are in use: what it has then is ahead of what these have.
    #[inline]
    pub(super) fn is_lane_of(&self, first: &Self, port: u16) -> bool {
        C::LANES == 1 || ptr::eq(first.lane_of(port), self)
    }

    /// Calls `f` with this lane and the others until it returns `true`, and returns whether it did.
    pub(super) fn any_lane(&self, mut f: impl FnMut(&Self) -> bool) -> bool {
        f(self) || self.others().iter().any(|lane| f(lane))
    }

    /// Returns the lane that a connection of the peer is for, by the port that it comes from, if it has waited for `age`
    /// nanoseconds to be used. None if that is not known yet: it is as soon as the first lane is up, and the peer has
    /// said there who it is. None, too, as long as the lane holds another one.
    ///
    /// Any context.
    pub(crate) fn lane_of_request(self: &Arc<Self>, port: u16, age: u64) -> Option<Arc<Self>> {
        let is_open = self
            .as_first()
            .is_some_and(|lanes| lanes.is_open.load(Acquire));
        let (is_told, is_down, told, count) = {
            let state = self.state.lock();
            let engine = &state.engine;

            (
                engine.is_told(),
                engine.state() == ConnState::Down,
                engine.told(),
                engine.lanes(),
            )
        };
        // What it has said on any connection: it may not have answered since, and its answers may be turned off.
        let has_one = told.lanes.is_some() && !told.ports_tell;
        let has_several = told.ports_tell && count > 1;
        let holds = |lane: &Arc<Self>| lane.state.lock().engine.holds_request();
        if has_several && self.lane(lane_of_source(port, count)).is_none_or(holds) {
            // Whatever becomes of the first lane meanwhile.
            return None;
        }
        let is_late = match (has_several, is_down) {
            (false, true) => age >= LATE_NS,
            (false, false) | (true, true) => age >= LATEST_NS,
            (true, false) => false,
        };
        let lane = if told.ports_tell && told.lanes.is_some() && (is_told || is_open) {
            lane_of_source(port, count)
        } else if has_one || lane_of_source(port, MAX_LANES) == 0 || is_late {
            // If it is late its ports do not tell, it seems.
            0
        } else {
            return None;
        };
        let path = self.lane(lane)?;

        (!holds(path)).then(|| path.clone())
    }

    /// Returns a lane, of the first one.
    fn lane(self: &Arc<Self>, lane: u8) -> Option<&Arc<Self>> {
        match lane.checked_sub(1) {
            None => Some(self),
            Some(other) => self.others().get(usize::from(other)),
        }
    }

    /// Whether connections of the peer that come from two ports may be for the same lane. Any context.
    pub(crate) fn is_same_lane(&self, one: u16, other: u16) -> bool {
        let count = {
            let state = self.state.lock();

            match state.engine.told().lanes {
                Some(_) => state.engine.lanes(),
                // It has not said.
                None => MAX_LANES,
            }
        };

        lane_of_source(one, count) == lane_of_source(other, count)
    }

    /// Whether a connection may be made.
    pub(crate) fn may_connect(&self) -> bool {
        self.as_extra().is_none_or(|lanes| {
            lanes.is_open.load(Acquire) && u32::from(self.key.lane) < lanes.known.load(Relaxed)
        })
    }

    /// Whether it is used because the first lane is up.
    pub(super) fn serves_first(&self) -> bool {
        self.as_extra()
            .is_some_and(|lanes| lanes.is_open.load(Relaxed))
    }

    /// Whether another lane has something to send, which needs this one. Without a lock.
    pub(super) fn serves_others(&self) -> bool {
        let has_work = |lane: &Arc<Self>| !lane.state.lock().engine.sender().queue.is_empty();

        self.others().iter().any(has_work)
    }

    /// Whether what is queued waits for what the first lane had before. With the lock.
    #[inline]
    pub(super) fn awaits_barrier(&self) -> bool {
        self.as_extra()
            .is_some_and(|lanes| !lanes.past_barrier.load(Acquire))
    }

    /// Has the other lanes send, if all has arrived that was queued before they were in use. With the lock.
    #[inline]
    pub(super) fn pass_barrier(&self, state: &State<C>) {
        if let Some(lanes) = self.as_first() {
            if !lanes.past_barrier.load(Relaxed)
                && lanes.count.load(Relaxed) > 1
                && state.engine.sender().queue.is_past_barrier()
            {
                lanes.past_barrier.store(true, Release);
                self.waker.wake();
                self.wake_others();
            }
        }
    }

    fn wake_others(&self) {
        for lane in self.others() {
            lane.waker.wake();
        }
    }

    /// Does what is to be done about lanes. Of another one: asks for the first one if it needs that. By the job.
    /// Returns when it is to be looked again.
    pub(super) fn look_after_lanes(&self) -> Option<Delta> {
        if let Some(lanes) = self.as_extra() {
            let now = clock::now();
            let shut = !self.may_connect();
            let mut state = self.state.lock();

            state.engine.set_shut(shut);
            let due = state.engine.dials_at().filter(|_| shut)?;
            drop(state);
            if due > now {
                return Some(until(due, now));
            }
            lanes.ask();
            return None;
        }
        let lanes = self.as_first()?;
        let is_asked = lanes.is_asked.xchg(false, Full);
        let mut state = self.state.lock();

        if is_asked {
            state.engine.connect(clock::now());
        }
        if state.engine.state() != ConnState::Up {
            lanes.is_suspect.store(false, Relaxed);
            if lanes.was_open.xchg(false, Full) {
                // They let go, or ask.
                self.wake_others();
            }
            return None;
        }
        if lanes.is_suspect.xchg(false, Full) && state.engine.greet_again() {
            lanes.greeted_at.store(clock::now().0, Relaxed);
            lanes.is_open.store(false, Relaxed);
        }
        let count = state.engine.lanes();
        let is_settled = lanes.is_open.load(Relaxed) && lanes.known.load(Relaxed) == count.into();
        if is_settled && !state.engine.take_news_of_peer() {
            drop(state);
            return self.renew_map(lanes);
        }
        if count > 1 && lanes.count.load(Relaxed) == 1 {
            state.engine.set_barrier();
            lanes.count.store(count.into(), Release);
        }
        let now = clock::now();
        let greeted = Instant(lanes.greeted_at.load(Relaxed)).max(state.history.since());
        // CAST: It is positive.
        let silent_at = greeted.after(SILENT.as_nanos() as u64);
        let is_silent = silent_at <= now;
        let is_new = lanes.known.load(Relaxed) == 1;
        if !state.engine.say_hello() && (is_new || !is_silent) {
            // There is no room for it.
            return Some(RETRY);
        }
        if !state.engine.is_told() && !is_silent {
            return Some(until(silent_at, now));
        }
        let is_misplaced = |link: &Arc<C::Link>| link.lane(count).is_some_and(|lane| lane != 0);
        if count > 1 && !C::dials_lanes(&self.key) && state.link.as_ref().is_some_and(is_misplaced)
        {
            // It was taken for the first lane's before the peer had said that its ports tell.
            state.engine.disown();
            return None;
        }
        if count > 1 && !lanes.past_barrier.load(Relaxed) {
            self.pass_barrier(&state);
            if !lanes.past_barrier.load(Relaxed) {
                // What comes before the barrier tells the peer of our lanes.
                return None;
            }
        }
        let generation = state.engine.told().generation;
        lanes.known.store(count.into(), Relaxed);
        drop(state);

        if let Some(generation) = generation {
            for lane in self.others() {
                lane.state.lock().engine.renew(generation);
            }
        }
        {
            let state = self.state.lock();

            if state.engine.state() == ConnState::Up && state.engine.told().generation == generation
            {
                let _ = lanes.is_open.xchg(true, Full);
                if lanes.is_suspect.load(Relaxed) {
                    lanes.is_open.store(false, Relaxed);
                }
            }
            self.pass_barrier(&state);
        }
        if C::dials_lanes(&self.key) {
            for lane in self
                .others()
                .iter()
                .take(usize::from(count.saturating_sub(1)))
            {
                lane.state.lock().engine.connect(clock::now());
            }
        }
        self.wake_others();
        self.renew_map(lanes)
    }

    /// Notes that all of a congestion map has come in. Any context.
    pub(super) fn note_map(&self) {
        if let Some(lanes) = &self.place.lanes {
            lanes.on_map(self.key.lane, &self.peer);
        }
    }

    /// Has the peer send its congestion map anew if the last one has been in [doubt](rds_proto::cong::Doubt) for long:
    /// C sends it when a lane comes up. By the job. Returns when it is to be looked again.
    fn renew_map(&self, lanes: &Lanes) -> Option<Delta> {
        let look = {
            let doubt = lanes.doubt.lock();
            doubt.look(self.peer.is_clear(), clock::now())
        };
        let now = clock::now();

        match look {
            Look::Fine => None,
            Look::Later(next) => Some(until(next, now)),
            Look::Ask if self.reconnect_another(lanes) => {
                Some(until(lanes.doubt.lock().on_asked(now), now))
            }
            Look::Ask => Some(RETRY),
        }
    }

    /// Has another lane that is up connected anew, each time another one: one may wait long for who is to receive.
    /// Returns whether there is one.
    fn reconnect_another(&self, lanes: &Lanes) -> bool {
        // CAST: It is at most 8.
        let count = lanes.count.load(Relaxed).saturating_sub(1) as usize;
        let first = lanes.maps_asked.fetch_add(1, Relaxed) as usize;

        for at in 0..count {
            let at = first.wrapping_add(at).checked_rem(count).unwrap_or(0);
            let Some(lane) = self.others().get(at) else {
                continue;
            };
            let mut state = lane.state.lock();

            if state.engine.state() == ConnState::Up {
                state.engine.fail(DropReason::Local);
                drop(state);
                lane.waker.wake();
                return true;
            }
        }
        false
    }

    /// Notes why a connection of this lane has ended. By the job.
    pub(super) fn note_end(&self, reason: DropReason) {
        if let (Some(lanes), DropReason::Transport | DropReason::Timeout) =
            (self.as_extra(), reason)
        {
            lanes.suspect();
        }
    }

    /// Whether the other lanes are of no use any more. Without a lock.
    pub(super) fn others_are_idle(&self) -> bool {
        let is_idle = |lane: &Arc<Self>| lane.state.lock().engine.is_idle();

        self.others().iter().all(is_idle)
    }
}
