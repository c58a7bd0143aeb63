// SPDX-License-Identifier: GPL-2.0

//! A path: everything between one local address, one peer address and one type of service.
//!
//! The path outlives its connections: messages wait here while there is none, and are sent again when
//! the next one comes up. It joins the state machine of the connection ([`conn`](crate::conn)), the
//! sending side ([`send`](crate::send)) and the receiving side ([`recv`](crate::recv)).
//!
//! # How to drive it
//!
//! The caller serialises all calls, under a lock for instance; none of them blocks or takes longer than
//! its documentation says. After any call, until nothing is left:
//!
//! - [`Path::poll`] gives what is to be done about the connection;
//! - [`Path::transmit`] gives frames to post, if [`Path::has_work`];
//! - [`Path::reap`] gives back messages that are done with;
//! - [`Path::next_timeout`] tells when to call [`Path::poll`] at the latest.
//!
//! All of these are derived from the state when they are asked for. There is no queue of events that
//! could overflow, and a call left out only delays.
//!
//! # Example
//!
//! ```
//! use core::num::NonZeroU32;
//! use rds_proto::conn::{Action, Identity};
//! use rds_proto::path::Path;
//! use rds_proto::send::{Entry, Payload};
//! use rds_proto::settings::Settings;
//! use rds_proto::time::Instant;
//! use rds_proto::wire::Addr;
//!
//! struct Message;
//!
//! impl Payload for Message {
//!     fn len(&self) -> u32 { 5000 }
//!     fn sport(&self) -> u16 { 4001 }
//!     fn dport(&self) -> u16 { 4002 }
//! }
//!
//! let identity = Identity {
//!     local: Addr::v4([10, 0, 0, 1]),
//!     peer: Addr::v4([10, 0, 0, 2]),
//!     tos: 0,
//!     incarnation: NonZeroU32::MIN,
//! };
//! let slots: Vec<Option<Entry<Message>>> = (0..8).map(|_| None).collect();
//! let settings = Settings::default();
//! let mut path = Path::new(identity, slots, 1);
//! assert_eq!(path.queue(Message, false).ok(), Some(1));
//! path.connect(Instant(0));
//! assert!(matches!(path.poll(&settings, Instant(0), false), Some(Action::Dial { .. })));
//! ```

mod frames;

#[cfg(test)]
mod tests;

use crate::conn::{Action, ConnId, Identity, Machine, State, Verdict};
use crate::consts;
use crate::error::{DropReason, Violation};
use crate::incarnation::Life;
use crate::linger::Linger;
use crate::probe::Probe;
use crate::recv::{AckState, Reassembly, Refusal};
use crate::ring::Storage;
use crate::send::{Cancel, Context, Entry, Frame, Outcome, Payload, Sender, Transmit};
use crate::settings::Settings;
use crate::stats::{bump, Counters};
use crate::tcp::{Hello, Role, MAX_LANES};
use crate::time::Instant;
use crate::wire::PrivateData;
use core::fmt;
use core::num::NonZeroU32;

pub use frames::Refused;

/// What is to be dropped with a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Closed {
    /// Fragments of an incomplete message were stored.
    pub discard_partial: bool,
}

/// What has to be known of a path that is no more when there is one again, so that what the peer sends
/// again is told from what is new, and what it acknowledges from what was never sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Memory {
    life: Life,
    expected: u64,
    sent_high: u64,
    next_seq: u64,
    generation: Option<NonZeroU32>,
}

impl Memory {
    /// Whether nothing has to be known: nothing was received, and no number was ever used.
    pub const fn is_blank(&self) -> bool {
        self.expected == 0 && self.sent_high == 0
    }
}

/// The engine of a path.
pub struct Path<M, S> {
    identity: Identity,
    machine: Machine,
    sender: Sender<M, S>,
    reassembly: Reassembly,
    refusal: Refusal,
    ack: AckState,
    life: Life,
    /// The current connection has taken over the receiving side from the last one.
    settled: bool,
    /// Both addresses are of this host: no congestion map goes out.
    loopback: bool,
    /// The transport acknowledges what comes in.
    stream: bool,
    /// Another lane of the stream tells who we are, and which ports are congested.
    extra: bool,
    /// What the peer of a stream is told of us.
    own: Hello,
    /// The peer was told who we are since the last connection ended, or will be.
    greeted: bool,
    /// What the peer said last of itself, on any connection.
    told: Hello,
    /// It said so on the current connection.
    heard: bool,
    /// Of that something is new.
    has_news: bool,
    /// What was received is forgotten when the connection is closed.
    disowned: bool,
    /// Until when a connection that is lost is made again even if only the peer wants it.
    regain: Option<Instant>,
    probe: Probe,
    linger: Linger,
    stats: Counters,
}

impl<M: fmt::Debug, S: Storage<Entry<M>>> fmt::Debug for Path<M, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Path")
            .field("identity", &self.identity)
            .field("machine", &self.machine)
            .field("sender", &self.sender)
            .field("reassembly", &self.reassembly)
            .field("ack", &self.ack)
            .field("life", &self.life)
            .finish()
    }
}

impl<M: Payload, S: Storage<Entry<M>>> Path<M, S> {
    /// A path without a connection, over `slots` for messages to send, which may be none.
    ///
    /// Its first message gets the number `first_seq`, see [`seq::initial`](crate::seq::initial).
    pub fn new(identity: Identity, slots: S, first_seq: u64) -> Self {
        Self {
            identity,
            machine: Machine::default(),
            sender: Sender::new(slots, first_seq),
            reassembly: Reassembly::default(),
            refusal: Refusal::default(),
            ack: AckState::default(),
            life: Life::Unknown,
            settled: false,
            loopback: identity.local == identity.peer,
            stream: false,
            extra: false,
            own: Hello::default(),
            greeted: false,
            told: Hello::default(),
            heard: false,
            has_news: false,
            disowned: false,
            regain: None,
            probe: Probe::default(),
            linger: Linger::default(),
            stats: Counters::default(),
        }
    }

    /// Declares that both addresses are of this host: congestion maps stay off the wire (spec-loopback).
    pub fn set_loopback(&mut self) {
        self.loopback = true;
    }

    /// Declares that the transport is a stream (spec-tcp): what it has acknowledged was received. Frames are
    /// without acknowledgements, none may be lost, and no message may be left out. `own` is what the peer is told.
    pub fn set_stream(&mut self, own: Hello) {
        self.stream = true;
        self.own = own;
    }

    /// Declares that it is a lane of a stream beside the first one (spec-tcp-lanes), which says who we are, and
    /// carries the congestion map. What the peer says there is to be [told](Path::renew).
    pub fn set_extra(&mut self) {
        self.extra = true;
    }

    /// Lets no connection be made while it is `shut`: what is to be dialed, or accepted, waits.
    pub fn set_shut(&mut self, shut: bool) {
        self.machine.set_shut(shut);
    }

    /// When a connection is to be dialed, if it is, whether or not that is [shut](Path::set_shut).
    pub fn dials_at(&self) -> Option<Instant> {
        self.machine.dials_at()
    }

    /// Whether the peer is told of congestion.
    const fn has_map(&self) -> bool {
        !self.loopback && !self.extra
    }

    /// What the peer is told. Of several lanes it is not, before it has said that the ports of connections tell
    /// which lane they are: else each reconnect may mix them up.
    const fn says(&self) -> Hello {
        Hello {
            lanes: if self.told.ports_tell {
                self.own.lanes
            } else if self.heard || self.told.generation.is_some() {
                Some(1)
            } else {
                // To one that has lanes to us it would say that there is one now.
                None
            },
            ..self.own
        }
    }

    /// How many lanes there are to the peer of a stream, as far as it has said so.
    pub fn lanes(&self) -> u8 {
        let lanes = |hello: &Hello| hello.lanes.unwrap_or(1).clamp(1, MAX_LANES);

        if self.told.ports_tell {
            lanes(&self.told).min(lanes(&self.own))
        } else {
            1
        }
    }

    /// What the peer of a stream has said last of itself, on any connection; nothing if it never has.
    pub const fn told(&self) -> Hello {
        self.told
    }

    /// Whether there is a connection, and the peer of the stream has said on it who it is.
    pub fn is_told(&self) -> bool {
        self.heard && self.state() == State::Up
    }

    /// Whether the peer of a stream has said anything new of itself, that was not [taken](Path::take_news_of_peer).
    pub const fn has_news_of_peer(&self) -> bool {
        self.has_news
    }

    /// Takes what [`has_news_of_peer`](Path::has_news_of_peer) tells.
    pub fn take_news_of_peer(&mut self) -> bool {
        core::mem::take(&mut self.has_news)
    }

    /// Notes which life the peer of an [extra](Path::set_extra) lane is in. A connection with an earlier one is
    /// given up.
    pub fn renew(&mut self, generation: NonZeroU32) {
        let is_unread = matches!(self.state(), State::Accepting | State::Dialing);
        if self.learn(generation) && !is_unread {
            self.disown();
        }
    }

    /// Gives up a connection of a stream, and forgets what of the peer's was received when it is closed: it was not what
    /// it was taken for. What comes until then is taken in.
    pub fn disown(&mut self) {
        self.disowned |= matches!(self.state(), State::Up | State::Closing);
        self.fail(DropReason::Superseded);
    }

    /// Has the peer of a stream that is up say again who it is: another may have its place. Returns whether it does;
    /// [`say_hello`](Self::say_hello) is to follow.
    pub fn greet_again(&mut self) -> bool {
        let can = self.stream && !self.extra && self.state() == State::Up;

        if can {
            self.greeted = false;
            self.heard = false;
        }
        can
    }

    /// Notes which life the peer is in. Returns whether it was in another one: then nothing of what it sends was
    /// received.
    fn learn(&mut self, generation: NonZeroU32) -> bool {
        let known = self.told.generation.replace(generation);
        let is_new = known.is_some_and(|known| known != generation);

        if is_new {
            self.reassembly.forget();
        }
        is_new
    }

    /// Who the two ends are.
    pub const fn identity(&self) -> &Identity {
        &self.identity
    }

    /// State of the connection.
    pub const fn state(&self) -> State {
        self.machine.state()
    }

    /// Number of the current connection or attempt; the last one if there is none.
    pub const fn current(&self) -> ConnId {
        self.machine.current()
    }

    /// Why the last connection was given up.
    pub const fn last_reason(&self) -> DropReason {
        self.machine.last_reason()
    }

    /// Which life of the peer was talked to last.
    pub const fn life(&self) -> Life {
        self.life
    }

    /// The sending side, for listings.
    pub const fn sender(&self) -> &Sender<M, S> {
        &self.sender
    }

    /// Number of the message expected next from the peer, for listings.
    pub const fn expected(&self) -> u64 {
        self.reassembly.expected()
    }

    /// Statistics.
    pub const fn stats(&self) -> &Counters {
        &self.stats
    }

    /// When to call [`Path::poll`] at the latest, if nothing else happens.
    pub fn next_timeout(&self) -> Option<Instant> {
        let timeouts = [
            self.machine.next_timeout(),
            self.probe.next_timeout(),
            self.linger.next_timeout(),
            self.refusal.next_timeout(),
        ];
        timeouts.into_iter().flatten().min()
    }

    // The connection.

    /// Asks for a connection: a message was queued, or is about to be and waits for a congested port,
    /// or a device has come.
    pub fn connect(&mut self, now: Instant) {
        self.machine.connect(now);
    }

    /// Makes one attempt at a connection, because the peer asks for it: a stream's connections are dialed by one
    /// side only (spec-tcp-roles).
    pub fn call_back(&mut self, now: Instant) {
        self.machine.call_back(now);
    }

    /// As [`Path::connect`], of a path that has a connection.
    pub fn want(&mut self) {
        self.machine.want();
    }

    /// Nobody on this side uses the path any more: no connection is made any more but for what waits to
    /// be sent. Ends with the next [`Path::connect`] or [`Path::want`]. An attempt that is under way goes
    /// on; a connection that is up stays.
    pub fn release(&mut self) {
        if self.state() != State::Up {
            self.drop_own();
        }
        let pending = self.regain.is_some() || self.sender.queue.has_live();
        self.machine.release(pending);
    }

    /// Whether the path was [stopped](Path::stop).
    pub const fn is_stopped(&self) -> bool {
        self.machine.is_stopped()
    }

    /// Whether nothing is left to do before somebody asks for something: there is no connection and no
    /// attempt at one, and no message. What has to be remembered is [`Path::memory`].
    pub fn is_idle(&self) -> bool {
        self.machine.is_idle() && self.sender.queue.is_empty()
    }

    /// What a path between the same addresses has to know that is made later in this life of the host,
    /// when this one is no more.
    ///
    /// The peer may go on where it was: it acknowledges what it received, sends again what was not
    /// acknowledged, and takes for old what is numbered below the last message.
    pub fn memory(&self) -> Memory {
        Memory {
            life: self.life,
            expected: self.reassembly.expected(),
            sent_high: self.sender.queue.used_high(),
            next_seq: self.sender.queue.next_seq(),
            generation: self.told.generation,
        }
    }

    /// Makes a path that is new go on where an earlier one ended.
    pub fn resume(&mut self, memory: &Memory) {
        self.life = memory.life;
        self.told.generation = memory.generation;
        self.reassembly.resume(memory.expected);
        self.sender.queue.resume(memory.sent_high, memory.next_seq);
    }

    /// Takes the path down for good. [`Action::Close`] follows if there is a connection, and
    /// [`Action::Release`] if a request was held. Messages are taken out by [`Path::drain`].
    pub fn stop(&mut self) {
        let was_up = self.state() == State::Up;
        self.machine.stop();
        if was_up {
            bump(&mut self.stats.conn_reset);
        }
    }

    /// All that the transport is to have of the path, by number: the connection that is or was current,
    /// until [`Path::on_closed`], and requests, until [`Action::Release`]. To be compared with what it
    /// has.
    pub fn connections(&self) -> impl Iterator<Item = ConnId> + '_ {
        self.machine.connections()
    }

    /// Whether a request of the peer is held until the current connection is closed. Of a stream no other is to be
    /// handed in meanwhile: what it has brought would be lost.
    pub fn holds_request(&self) -> bool {
        self.machine.holds_request()
    }

    /// Judges a request of the peer, whose addresses the caller has checked by
    /// [`PrivateData::matches`].
    pub fn on_request(
        &mut self,
        settings: &Settings,
        now: Instant,
        request: &PrivateData,
    ) -> Verdict {
        let was_up = self.state() == State::Up;
        let (verdict, met) = self
            .machine
            .on_request(request, &self.identity, settings, now);
        match met {
            Some(State::Dialing | State::Accepting) => bump(&mut self.stats.connect_raced),
            Some(State::Up) => bump(&mut self.stats.listen_closed_stale),
            _ => {}
        }
        if was_up && self.state() != State::Up {
            bump(&mut self.stats.conn_reset);
        }
        verdict
    }

    /// Notes that connection `conn` is established; `reply` is the private data of the reply, if we
    /// sent the request and it has any.
    ///
    /// Returns whether the path is up. If not, the connection is stale, or [`Action::Close`] follows.
    pub fn on_established(&mut self, conn: ConnId, reply: Option<&PrivateData>) -> bool {
        let dialed = self.state() == State::Dialing;
        if !self.machine.on_established(conn, reply) {
            return false;
        }
        self.settle();
        if let Some(reply) = reply.filter(|r| dialed && r.own.is_some()) {
            // What the peer received on the last connection. It cannot be beyond what was sent; if it
            // is all the same, it is worth nothing, and the first frame will tell.
            let _ = self.sender.queue.on_ack(reply.ack_seq);
        }
        if self.has_map() {
            self.sender.queue_map();
        }
        self.say_hello();
        bump(&mut self.stats.connected);
        true
    }

    /// Notes that connection `conn` was rejected, lost or never came about, or that a request that is
    /// held is void. [`Action::Close`] follows if it was the current connection, and
    /// [`Action::Release`] if it was a request held.
    pub fn on_lost(&mut self, conn: ConnId, reason: DropReason) {
        if self.machine.is_live(conn) {
            self.fail(reason);
        } else {
            self.machine.on_void(conn);
        }
    }

    /// Gives the current connection up. [`Action::Close`] follows if there is one.
    pub fn fail(&mut self, reason: DropReason) {
        let was_up = self.state() == State::Up;
        if self.machine.fail(reason) && was_up {
            bump(&mut self.stats.conn_reset);
        }
    }

    /// Notes that nothing is left of connection `conn`, which was to be closed: all work requests are
    /// completed or flushed, and no frame of it will be handed in any more.
    ///
    /// `random` is any random number. Returns `None` if no such connection was being closed. O(1).
    pub fn on_closed(
        &mut self,
        settings: &Settings,
        now: Instant,
        conn: ConnId,
        random: u64,
    ) -> Option<Closed> {
        if !self.machine.is_closing(conn) {
            return None;
        }
        self.sender.reset(settings);
        // If it was up.
        self.greeted &= !self.settled;
        self.heard = false;
        if core::mem::take(&mut self.disowned) {
            self.reassembly.forget();
        }
        if !self.machine.is_wanted() {
            // Whoever has asked asks again, once it has a connection.
            self.drop_own();
        }
        let pending = self.regains(now) || self.sender.queue.has_live();
        self.machine.on_closed(conn, settings, now, random, pending);
        self.ack = AckState::default();
        self.settled = false;
        self.refusal.on_closed();
        Some(Closed {
            discard_partial: self.reassembly.reset(),
        })
    }

    /// Whether the connection that is being closed is to be made again even if only the peer wants it: of a stream's two
    /// sides only one dials (spec-tcp-roles), and C's other side waits for it. Not for ever, and no longer for
    /// one that comes up and is lost again and again.
    fn regains(&mut self, now: Instant) -> bool {
        let Identity { local, peer, .. } = self.identity;
        let dials = self.stream && !self.extra && Role::of(local, peer) == Role::Low;

        if dials && self.settled && (self.regain.is_none() || self.machine.has_lasted()) {
            self.regain = Some(now.after(consts::REGAIN_NS));
        }
        self.regain = self.regain.filter(|&end| now < end);
        self.regain.is_some()
    }

    /// What is to be done about the connection, if anything.
    ///
    /// `congested` tells whether a port of the peer is congested, that is, whether the map of its
    /// address is not [clear](crate::cong::RemoteMap::is_clear): then someone may wait for the next
    /// map, see [`probe`](crate::probe).
    pub fn poll(&mut self, settings: &Settings, now: Instant, congested: bool) -> Option<Action> {
        if self.refusal.poll(now) {
            self.fail(DropReason::NoMemory);
        }
        // Without a connection nothing is to be found out: the next one starts with the map.
        let up = self.state() == State::Up;
        // A stream finds out by itself.
        let awaited = !self.stream && (congested && self.has_map() || self.sender.awaits_ack());
        let frames = self.stats.rx_frames;
        if self.probe.poll(settings, now, up && awaited, frames) {
            self.sender.queue_probe();
        }
        let orphan = if up { self.sender.orphan() } else { None };
        if self.linger.poll(settings, now, orphan) {
            self.linger = Linger::default();
            bump(&mut self.stats.linger_timeout);
            self.fail(DropReason::Timeout);
        }
        let (identity, life, received) = (self.identity, self.life, self.reassembly.received());
        self.machine.poll(now, settings, &identity, |h| {
            // Of another life of the peer nothing was received.
            let known = life == h.life();
            identity.reply(h, if known { received } else { 0 })
        })
    }

    /// Lets the current connection take over from the last one, as soon as it is certain who the peer
    /// is.
    fn settle(&mut self) {
        if self.settled {
            return;
        }
        self.settled = true;
        let handshake = self.machine.handshake;
        let life = handshake.life();
        if self.life.is_replaced_by(life) {
            self.reassembly.forget();
        }
        self.life = life;
        self.ack = AckState::new(if handshake.has_true_ack() {
            self.reassembly.received()
        } else {
            0
        });
    }

    // Sending.

    /// Accepts a message for sending and returns its number. `ack_required` is that of
    /// [`Admitted`](crate::account::Admitted).
    ///
    /// # Errors
    ///
    /// Gives the message back if all slots are in use; see [`Path::grow`].
    pub fn queue(&mut self, message: M, ack_required: bool) -> Result<u64, M> {
        if self.sender.queue.is_empty() {
            // Ahead of all, so that a new life is known before what it sends.
            self.say_hello();
        }
        let seq = self.sender.queue.push(message, ack_required)?;
        bump(&mut self.stats.send_queued);
        Ok(seq)
    }

    /// Has nothing that is queued from here on overtake what is queued already, see
    /// [`is_past_barrier`](crate::send::SendQueue::is_past_barrier).
    pub fn set_barrier(&mut self) {
        self.sender.queue.set_barrier();
    }

    /// Answers a ping from `port`; returns `false` if the answer is left out for lack of slots.
    pub fn queue_pong(&mut self, port: u16) -> bool {
        let queued = self.sender.queue.push_pong(port);
        if queued {
            bump(&mut self.stats.send_queued);
            bump(&mut self.stats.send_pong);
        }
        queued
    }

    /// Tells the peer of a stream who we are, once for each connection. Returns whether that was told, or is queued.
    ///
    /// If there is no room for that, the next connection tells.
    pub fn say_hello(&mut self) -> bool {
        if self.stream && !self.extra && !self.greeted && self.sender.queue.push_hello() {
            self.greeted = true;
            bump(&mut self.stats.send_queued);
        }
        self.greeted
    }

    /// Takes out what no socket sends, and waits. Not on a connection that is up.
    fn drop_own(&mut self) {
        self.sender.queue.drop_pongs();
        self.greeted = false;
    }

    /// Asks for the congestion map of the local address to be sent, ahead of all messages. Changes that
    /// come before it is sent need not ask again; returns whether this was the first to ask.
    ///
    /// Without a connection nothing is asked for: each new one starts with the map.
    pub fn queue_map(&mut self) -> bool {
        self.state() == State::Up && self.has_map() && self.sender.queue_map()
    }

    /// Moves to larger storage for messages and returns the old one.
    ///
    /// # Errors
    ///
    /// Gives `slots` back if they are no more than there are.
    pub fn grow(&mut self, slots: S) -> Result<S, S> {
        self.sender.queue.grow(slots)
    }

    /// Cancels message `seq` if it is the one that `is_meant`. O(log n). If it is on its way,
    /// [`Path::wants_poll`]; what the device has of it is waited for, see [`linger`](crate::linger).
    pub fn cancel(&mut self, seq: u64, is_meant: impl FnOnce(&M) -> bool) -> Cancel<M> {
        self.sender.queue.cancel(seq, is_meant)
    }

    /// Whether [`Path::transmit`] has anything to do.
    pub fn has_work(&self) -> bool {
        self.state() == State::Up
            && (self.sender.has_work() || self.ack.is_wanted() && !self.sender.is_acking())
    }

    /// Whether [`Path::poll`] is to be called soon because the connection is to be ended, now or after a
    /// while, or a request to be released.
    pub fn wants_poll(&self) -> bool {
        let lingers =
            self.state() == State::Up && self.sender.has_orphans() && !self.linger.is_set();

        self.state() == State::Closing
            || self.machine.has_void()
            || self.refusal.is_new()
            || lingers
    }

    /// Whether [`Path::poll`] or [`Path::transmit`] may have anything to do after what has come in, whatever
    /// is due by [`Path::next_timeout`] aside.
    pub fn has_news(&self) -> bool {
        self.state() != State::Up || self.refusal.is_new() || self.has_work()
    }

    /// Hands at most `budget` frames, and one for a bare acknowledgement, to `emit` for posting.
    ///
    /// `emit` is to post the frame or fail; if it fails, nothing has changed and a later call repeats
    /// the frame. It must not fail after posting. O(budget).
    pub fn transmit<E>(
        &mut self,
        settings: &Settings,
        budget: u32,
        emit: impl FnMut(Frame<'_, M>) -> Result<(), E>,
    ) -> Transmit<E> {
        if self.state() != State::Up {
            return Transmit::NotUp;
        }
        let hello = self.stream.then(|| self.says());
        let mut cx = Context {
            settings,
            hello,
            ack: &mut self.ack,
            stats: &mut self.stats,
        };
        self.sender.transmit(&mut cx, budget, emit)
    }

    /// Notes that the work request `id`, which is that of a [`Frame`] of connection `conn`, and all
    /// before it are completed without error.
    pub fn on_sent(&mut self, conn: ConnId, id: u32) {
        if self.current() == conn {
            self.sender.on_sent(id);
        }
    }

    /// Notes that the peer has all messages up to `seq` of connection `conn`, by what the transport itself
    /// acknowledges.
    ///
    /// # Errors
    ///
    /// If there was no such message: the connection is given up.
    pub fn on_acked(&mut self, conn: ConnId, seq: u64) -> Result<(), Violation> {
        if !self.takes(conn) {
            return Ok(());
        }
        match self.sender.queue.on_ack(seq) {
            Ok(_news) => Ok(()),
            Err(violation) => Err(self.violate(violation)),
        }
    }

    /// Hands every message that is done with to `tell`. Amortised O(1) per message.
    pub fn reap(&mut self, mut tell: impl FnMut(M, Outcome)) {
        let mut done = 0_u64;
        self.sender.queue.reap(|message, outcome| {
            if outcome == Outcome::Done {
                done = done.wrapping_add(1);
            }
            tell(message, outcome);
        });
        self.stats.send_acked = self.stats.send_acked.wrapping_add(done);
    }

    /// Takes all messages out; for a path that was stopped and is closed.
    pub fn drain(&mut self, tell: impl FnMut(M, Outcome)) {
        self.sender.queue.drain(tell);
    }

    // Receiving: see also `frames.rs`.

    /// Asks for all that was received to be acknowledged, demanded or not: soon it may be forgotten, and
    /// what the peer does not know to be here by then it sends again. Returns whether
    /// [`Path::transmit`] is to follow.
    pub fn acknowledge(&mut self) -> bool {
        if self.stream {
            return false;
        }
        self.ack.settle();
        self.has_work()
    }

    /// Gives the connection up because the peer broke a rule.
    fn violate(&mut self, violation: Violation) -> Violation {
        self.fail(DropReason::Violation(violation));
        violation
    }
}
