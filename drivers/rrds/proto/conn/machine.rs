// SPDX-License-Identifier: GPL-2.0

//! The state machine of a connection.
//!
//! spec-states; C: `net/rds/connection.c`, `net/rds/threads.c` and `rds_ib_cm_handle_connect()`.
//!
//! ```text
//!            connect, back-off over            established
//!     Down ------------------------> Dialing --------------+
//!      ^ |                              |                  v
//!      | | request                      | failure,         Up
//!      | +-----------> Accepting ----+  | request          |
//!      |                  |  ^       |  | we yield to      | failure,
//!      |          failure,|  |       +--|----------------> | request
//!      | closed   request |  | closed   |   established    |
//!      |                  v  | with a   v                  |
//!      +----------------- Closing <------------------------+
//!                              request held
//! ```
//!
//! Closing lasts until every work request of the old connection is completed or flushed. A request that
//! comes in meanwhile, or that is the cause of closing, is held and accepted afterwards, which saves
//! the peer a round: C rejects it instead.
//!
//! Races: a C peer never gives way, so when its request meets ours, ours is given up. Between two of
//! our own kind the request from the smaller address wins.

use super::handshake::Handshake;
use super::{Backoff, Identity};
use crate::error::DropReason;
use crate::settings::Settings;
use crate::time::Instant;
use crate::wire::{PrivateData, RejectDatum};

/// Number of a connection or an attempt at one; it tells events of the current one from stale ones.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct ConnId(pub u32);

/// State of a path's connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// There is none.
    Down,
    /// Our request is on its way.
    Dialing,
    /// We accepted a request of the peer.
    Accepting,
    /// Established.
    Up,
    /// Being taken down.
    Closing,
}

/// What to do with a request of the peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Keep it, under this number; [`Action::Accept`] follows, at once or after [`Action::Close`], or
    /// [`Action::Release`].
    Hold {
        /// Number of the request.
        conn: ConnId,
    },
    /// Reject it.
    Reject(RejectDatum),
}

/// What the transport is to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Resolve the peer's address and send a request.
    Dial {
        /// Number of the attempt.
        conn: ConnId,
        /// Private data of the request.
        private: PrivateData,
    },
    /// Accept the request that was held.
    Accept {
        /// Number of the request.
        conn: ConnId,
        /// Private data of the reply.
        private: PrivateData,
    },
    /// Disconnect, wait until nothing of the connection is in flight, destroy it, and report it by
    /// [`Path::on_closed`](crate::path::Path::on_closed). A request that was to be accepted, but was
    /// not yet, is rejected instead.
    Close {
        /// Number of the connection.
        conn: ConnId,
        /// Why.
        reason: DropReason,
    },
    /// Destroy a request that was held: it is void, another one has taken its place, or the path is
    /// stopped. Reject it with [`RejectDatum::RETRY`], which fails if its sender does not wait any more.
    Release {
        /// Number of the request.
        conn: ConnId,
    },
}

/// Most requests that are kept beside the current connection: one that is held, and one that it has
/// taken the place of. What comes while both are there is rejected, so that a peer that asks again and
/// again fills no memory.
const REQUESTS: usize = 2;

/// A request that waits for the end of an old connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Held {
    conn: ConnId,
    handshake: Handshake,
}

/// The state machine.
///
/// # Invariants
///
/// - A request is held only in state [`State::Closing`].
/// - The request held and those to be released are at most `REQUESTS`.
#[derive(Clone, Copy, Debug)]
pub struct Machine {
    state: State,
    current: ConnId,
    last: u32,
    pub(crate) handshake: Handshake,
    held: Option<Held>,
    /// Requests that were held, of which the transport was not told yet that they are not any more.
    void: [Option<ConnId>; REQUESTS],
    /// An action of the current state was not polled yet.
    due: bool,
    /// Why the current connection is being closed, or the last one was.
    reason: DropReason,
    /// When to dial, in state Down; when to give up, while dialing and accepting.
    timer: Option<Instant>,
    backoff: Backoff,
    /// When the current connection was first polled as one that is up.
    up_since: Option<Instant>,
    /// The one that is being closed was up for long.
    lasted: bool,
    /// Before when not to dial, in state Down if nobody wants a connection.
    rest: Option<Instant>,
    /// Somebody on this side has asked for a connection.
    wanted: bool,
    /// The peer has asked for one: the next attempt is made for that.
    called: bool,
    /// No connection is to be made for now.
    shut: bool,
    stopped: bool,
}

impl Default for Machine {
    fn default() -> Self {
        Self {
            state: State::Down,
            current: ConnId(0),
            last: 0,
            handshake: Handshake::requested(),
            held: None,
            void: [None; REQUESTS],
            due: false,
            reason: DropReason::Local,
            timer: None,
            backoff: Backoff::default(),
            up_since: None,
            lasted: false,
            rest: None,
            wanted: false,
            called: false,
            shut: false,
            stopped: false,
        }
    }
}

impl Machine {
    /// The state.
    pub const fn state(&self) -> State {
        self.state
    }

    /// Number of the current connection or attempt; the last one in state [`State::Down`].
    pub const fn current(&self) -> ConnId {
        self.current
    }

    /// Why the last connection was given up.
    pub const fn last_reason(&self) -> DropReason {
        self.reason
    }

    /// When the machine is to be polled again, if nothing else happens.
    pub const fn next_timeout(&self) -> Option<Instant> {
        match self.state {
            State::Down if self.shut => None,
            _ => self.timer,
        }
    }

    /// Lets no connection be dialed or accepted while it is `shut`.
    pub(crate) fn set_shut(&mut self, shut: bool) {
        self.shut = shut;
    }

    /// When a connection is to be dialed, if it is.
    pub(crate) fn dials_at(&self) -> Option<Instant> {
        self.timer.filter(|_| self.state == State::Down)
    }

    /// Whether `conn` is the current connection and not being closed.
    pub fn is_live(&self, conn: ConnId) -> bool {
        self.current == conn && matches!(self.state, State::Dialing | State::Accepting | State::Up)
    }

    fn new_id(&mut self) -> ConnId {
        self.last = self.last.wrapping_add(1);
        ConnId(self.last)
    }

    /// Asks for a connection, unless there is one or an attempt is due anyway. From here on one is made
    /// again whenever it is lost.
    pub(crate) fn connect(&mut self, now: Instant) {
        self.want();
        self.attempt(now);
    }

    /// Makes one attempt at a connection, because the peer asks for it, unless there is one or an attempt is due
    /// anyway. If it comes to nothing the peer may ask again: C does with its next message.
    pub(crate) fn call_back(&mut self, now: Instant) {
        self.called |= matches!(self.state, State::Down | State::Closing);
        self.attempt(now);
    }

    /// Has an attempt made, unless there is one, or is due anyway.
    fn attempt(&mut self, now: Instant) {
        if self.state == State::Down && self.timer.is_none() && !self.stopped {
            self.timer = Some(self.rest.take().map_or(now, |rest| rest.max(now)));
        }
    }

    /// Has a connection made again whenever it is lost, if there is one.
    pub(crate) fn want(&mut self) {
        self.wanted = true;
    }

    /// Whether a connection is to be made again when it is lost.
    pub(crate) const fn is_wanted(&self) -> bool {
        self.wanted
    }

    /// Ends what [`Machine::want`] began: no attempt follows the one that is under way, if any, unless
    /// something waits to be sent, as `pending` tells, or the peer has asked for it and it is not
    /// [shut](Self::set_shut). A connection that there is stays.
    pub(crate) fn release(&mut self, pending: bool) {
        self.wanted = false;
        if self.state == State::Down && !pending && (!self.called || self.shut) {
            // Who wants one next is not to dial sooner than this.
            self.rest = self.timer.take().or(self.rest);
        }
    }

    /// Whether `conn` is the connection that is being closed.
    pub(crate) fn is_closing(&self, conn: ConnId) -> bool {
        self.state == State::Closing && conn == self.current
    }

    /// Whether there is no connection, and none will be made before somebody asks.
    pub(crate) fn is_idle(&self) -> bool {
        self.state == State::Down && self.timer.is_none() && !self.wanted && !self.has_void()
    }

    /// All that the transport has of the path, by number: the current connection, and requests.
    pub fn connections(&self) -> impl Iterator<Item = ConnId> + '_ {
        let current = (self.state != State::Down).then_some(self.current);
        let held = self.held.map(|held| held.conn);

        current
            .into_iter()
            .chain(held)
            .chain(self.void.iter().flatten().copied())
    }

    /// Whether there is a request to be released.
    pub fn has_void(&self) -> bool {
        self.void.iter().any(Option::is_some)
    }

    /// Whether the connection was taken down for good.
    pub(crate) const fn is_stopped(&self) -> bool {
        self.stopped
    }

    /// Whether a request is held until the current connection is closed.
    pub(crate) fn holds_request(&self) -> bool {
        self.held.is_some()
    }

    /// Whether one more request can be kept.
    fn has_room(&self) -> bool {
        let void = self.void.iter().flatten().count();

        void.saturating_add(usize::from(self.held.is_some())) < REQUESTS
    }

    /// Gives up the request held; [`Action::Release`] follows.
    fn release_held(&mut self) {
        if let Some(held) = self.held.take() {
            // INVARIANT: there is a place, as the one held took none.
            if let Some(place) = self.void.iter_mut().find(|place| place.is_none()) {
                *place = Some(held.conn);
            }
        }
    }

    /// Takes the connection down for good; requests are rejected from now on.
    pub(crate) fn stop(&mut self) {
        self.stopped = true;
        if self.state == State::Down {
            self.timer = None;
        }
        self.fail(DropReason::Local);
        self.release_held();
    }

    /// Gives the current connection up; returns whether there was one.
    pub(crate) fn fail(&mut self, reason: DropReason) -> bool {
        if !matches!(self.state, State::Dialing | State::Accepting | State::Up) {
            return false;
        }
        self.state = State::Closing;
        self.reason = reason;
        self.due = true;
        self.timer = None;
        true
    }

    /// Notes that a request is void, if it is the one held.
    pub(crate) fn on_void(&mut self, conn: ConnId) {
        if self.held.is_some_and(|held| held.conn == conn) {
            self.release_held();
        }
    }

    /// Judges a request; `identity` decides races. Returns whether it met another connection, too.
    pub(crate) fn on_request(
        &mut self,
        request: &PrivateData,
        identity: &Identity,
        settings: &Settings,
        now: Instant,
    ) -> (Verdict, Option<State>) {
        let reject = (Verdict::Reject(RejectDatum::RETRY), None);
        if self.stopped {
            return reject;
        }
        let Some(handshake) = Handshake::accept(request) else {
            return reject;
        };
        let met = self.state;
        // C never gives way. Of two of our own kind the smaller address wins.
        if met == State::Dialing && request.own.is_some() && identity.local < identity.peer {
            return (Verdict::Reject(RejectDatum::RETRY), Some(met));
        }
        if met != State::Down && !self.has_room() {
            return (Verdict::Reject(RejectDatum::RETRY), Some(met));
        }
        let conn = self.new_id();
        match met {
            State::Down => self.accept(Held { conn, handshake }, settings, now),
            State::Dialing | State::Accepting | State::Up => {
                // The peer has given up what we hold for a connection, or it would not ask.
                // INVARIANT: closing from here on, and there is room.
                self.fail(DropReason::Superseded);
                self.held = Some(Held { conn, handshake });
            }
            State::Closing => {
                self.release_held();
                // INVARIANT: there is room.
                self.held = Some(Held { conn, handshake });
            }
        }
        (Verdict::Hold { conn }, Some(met))
    }

    fn accept(&mut self, held: Held, settings: &Settings, now: Instant) {
        self.state = State::Accepting;
        self.current = held.conn;
        self.handshake = held.handshake;
        self.due = true;
        self.called = false;
        self.timer = Some(now.after(settings.handshake_ns));
    }

    /// Notes that the handshake of `conn` is over; `reply` is the private data if we dialed.
    ///
    /// Returns whether the connection is up; if not, it is stale or was given up.
    pub(crate) fn on_established(&mut self, conn: ConnId, reply: Option<&PrivateData>) -> bool {
        if conn != self.current {
            return false;
        }
        match self.state {
            State::Dialing => {
                if let Some(reply) = reply {
                    let Some(handshake) = self.handshake.replied(reply) else {
                        self.fail(DropReason::Version);
                        return false;
                    };
                    self.handshake = handshake;
                }
            }
            State::Accepting if !self.due => {}
            _ => return false,
        }
        self.state = State::Up;
        self.timer = None;
        self.due = false;
        self.up_since = None;
        true
    }

    /// Notes that connection `conn` is gone; returns whether it was the one being closed.
    ///
    /// It is made again if somebody has asked for one, or if something waits to be sent or it is for this side to make
    /// it, as `pending` tells. Else what only the peer ever wanted is for the peer to make: C dials all the same, and so
    /// is kept busy by whoever connects and goes.
    ///
    /// The back-off begins anew only after a connection that was up for longer than the longest delay. One
    /// that comes up and is lost at once, again and again, is no reason to hurry.
    pub(crate) fn on_closed(
        &mut self,
        conn: ConnId,
        settings: &Settings,
        now: Instant,
        random: u64,
        pending: bool,
    ) -> bool {
        if !self.is_closing(conn) {
            return false;
        }
        if self.has_lasted() {
            self.backoff.reset();
        }
        self.up_since = None;
        self.lasted = false;
        let pending = self.called || pending;
        match self.held.take() {
            Some(held) => self.accept(held, settings, now),
            None => {
                self.state = State::Down;
                self.due = false;
                let next = (!self.stopped).then(|| now.after(self.backoff.next(settings, random)));
                (self.timer, self.rest) = if self.wanted || pending {
                    (next, None)
                } else {
                    (None, next)
                };
            }
        }
        true
    }

    /// Whether the connection that is being closed was up for longer than the longest delay between attempts.
    pub(crate) fn has_lasted(&self) -> bool {
        self.lasted
    }

    /// What the transport is to do next, if anything. `reply` makes the private data of a reply.
    pub(crate) fn poll(
        &mut self,
        now: Instant,
        settings: &Settings,
        identity: &Identity,
        reply: impl FnOnce(&Handshake) -> PrivateData,
    ) -> Option<Action> {
        if self.state == State::Up {
            self.up_since.get_or_insert(now);
        }
        let over = self.timer.is_some_and(|timer| timer <= now);
        if over && matches!(self.state, State::Dialing | State::Accepting) {
            self.fail(DropReason::Timeout);
        }
        if let Some(conn) = self.void.iter_mut().find_map(Option::take) {
            return Some(Action::Release { conn });
        }
        match self.state {
            State::Down if over && !self.shut => {
                self.state = State::Dialing;
                self.called = false;
                self.current = self.new_id();
                self.handshake = Handshake::requested();
                self.timer = Some(now.after(settings.handshake_ns));
                Some(Action::Dial {
                    conn: self.current,
                    private: identity.request(),
                })
            }
            State::Accepting if self.due && !self.shut => {
                self.due = false;
                Some(Action::Accept {
                    conn: self.current,
                    private: reply(&self.handshake),
                })
            }
            State::Closing if self.due => {
                self.due = false;
                // To close it may take long.
                self.lasted = self
                    .up_since
                    .is_some_and(|since| now >= since.after(settings.reconnect_max_ns));
                Some(Action::Close {
                    conn: self.current,
                    reason: self.reason,
                })
            }
            _ => None,
        }
    }
}
