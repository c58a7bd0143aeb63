// SPDX-License-Identifier: GPL-2.0

//! A path of a node that runs the engine: the part that a kernel module plays otherwise.

use crate::app::Shared;
use crate::check::Books;
use crate::config::Config;
use crate::net::{Attempt, Data, Frame, Net, NO_MSG};
use crate::queue::{At, Cm, End, Event, Queue};
use crate::rng::Rng;
use rds_proto::conn::{Action, ConnId, Identity, State, Verdict};
use rds_proto::error::DropReason;
use rds_proto::path::Path;
use rds_proto::recv::{Ignored, Received};
use rds_proto::send::{Body, Cancel, Data as Piece, Entry, Operation, Outcome, Payload};
use rds_proto::settings::Settings;
use rds_proto::time::Instant;
use rds_proto::wire::{Addr, PrivateBytes, PrivateData, RejectDatum};
use std::collections::VecDeque;
use std::num::NonZeroU32;

/// A message as the engine sees it.
#[derive(Clone, Copy, Debug)]
pub struct Message {
    /// Its number in the books.
    pub msg: u32,
    /// Length in bytes.
    pub len: u32,
    /// Ports.
    pub sport: u16,
    /// See `sport`.
    pub dport: u16,
    /// The operation it carries, if any.
    pub operation: Option<Operation>,
}

impl Payload for Message {
    fn len(&self) -> u32 {
        self.len
    }

    fn sport(&self) -> u16 {
        self.sport
    }

    fn dport(&self) -> u16 {
        self.dport
    }

    fn operation(&self) -> Option<Operation> {
        self.operation
    }
}

/// Everything outside of a path that its code needs.
#[derive(Debug)]
pub struct World<'a> {
    /// Parameters.
    pub config: &'a Config,
    /// Events.
    pub q: &'a mut Queue,
    /// Chance.
    pub rng: &'a mut Rng,
    /// Connections.
    pub net: &'a mut Net,
    /// The books.
    pub books: &'a mut Books,
    /// Whether faults are on.
    pub faults: bool,
}

impl World<'_> {
    /// Whether a fault happens that is to happen once in `n` times.
    pub fn fault(&mut self, n: u64) -> bool {
        self.faults && self.rng.one_in(n)
    }
}

/// Address of a node.
pub fn addr(node: u8) -> Addr {
    Addr::v4([10, 0, 0, node + 1])
}

/// A path.
#[derive(Debug)]
pub struct OurPath {
    /// Where it is.
    pub at: At,
    /// The node at the other end.
    pub peer: u8,
    /// Type of service.
    pub tos: u8,
    /// The engine.
    pub engine: Path<Message, Vec<Option<Entry<Message>>>>,
    /// The current connection's end, once there is one.
    end: Option<End>,
    /// Requests that the engine holds or is about to accept, and our own attempt.
    attempts: Vec<(ConnId, u32)>,
    /// A connection that is being closed.
    closing: Option<ConnId>,
    /// The message that is coming in, and how much of it has come.
    partial: Option<(u32, u32)>,
    /// Frames that came before the handshake was over.
    early: VecDeque<Frame>,
    timer: Option<Instant>,
    /// Messages accepted, ended as done, and ended otherwise, to compare with the engine's counters.
    accepted: u64,
    done: u64,
    given_up: u64,
    /// Most messages that were open at a time.
    peak: u64,
}

impl OurPath {
    /// A path of the node's life `at.epoch`.
    pub fn new(at: At, peer: u8, tos: u8, now: u64) -> Self {
        let identity = Identity {
            local: addr(at.node),
            peer: addr(peer),
            tos,
            incarnation: NonZeroU32::MIN.saturating_add(u32::from(at.epoch)),
        };
        Self {
            at,
            peer,
            tos,
            // A clock in nanoseconds, set to any time.
            engine: Path::new(identity, Vec::new(), now + 1_000_000),
            end: None,
            attempts: Vec::new(),
            closing: None,
            partial: None,
            early: VecDeque::new(),
            timer: None,
            accepted: 0,
            done: 0,
            given_up: 0,
            peak: 0,
        }
    }

    fn now(w: &World<'_>) -> Instant {
        Instant(w.q.now)
    }

    fn settings<'a>(w: &World<'a>) -> &'a Settings {
        &w.config.settings
    }

    /// Queues a message; returns `false` if memory for it failed.
    pub fn send(&mut self, w: &mut World<'_>, message: Message, ack_required: bool) -> bool {
        self.engine.connect(Self::now(w));
        let result = match self.engine.queue(message, ack_required) {
            Err(message) if !w.fault(w.config.faults.grow) => {
                let capacity = self.engine.sender().queue.capacity();
                let slots = (0..(capacity * 2).max(4)).map(|_| None).collect();
                self.engine.grow(slots).expect("more slots than before");
                self.engine.queue(message, ack_required)
            }
            result => result,
        };
        if result.is_err() {
            return false;
        }
        self.accepted += 1;
        self.peak = self.peak.max(self.accepted - self.done - self.given_up);
        true
    }

    /// Nobody here uses the path any more. If nothing is left to do it is made anew, sooner or later.
    pub fn release(&mut self, w: &mut World<'_>, shared: &mut Shared) {
        self.engine.release();
        self.pump(w, shared);
        if !self.engine.is_idle() || w.rng.one_in(2) {
            return;
        }
        assert_eq!(self.engine.connections().count(), 0);
        let memory = self.engine.memory();
        let fresh = Self::new(self.at, self.peer, self.tos, w.q.now);
        assert_eq!(self.accepted, self.done + self.given_up, "all have ended");
        // What the two were in between is counted by neither.
        self.engine = fresh.engine;
        (self.accepted, self.done, self.given_up) = (0, 0, 0);
        if !memory.is_blank() {
            self.engine.resume(&memory);
        }
    }

    /// Cancels a message.
    pub fn cancel(&mut self, w: &mut World<'_>, shared: &mut Shared, seq: u64) {
        if let Cancel::Removed(message) = self.engine.cancel(seq, |_| true) {
            w.books.cancel(message.msg);
            shared.release(w.books, message.msg);
            self.given_up += 1;
        }
    }

    /// Does whatever the engine wants done.
    pub fn pump(&mut self, w: &mut World<'_>, shared: &mut Shared) {
        let congested = !shared.remote[usize::from(self.peer)].is_clear();
        while let Some(action) = self.engine.poll(Self::settings(w), Self::now(w), congested) {
            self.act(w, action);
        }
        self.agree(w);
        if self.engine.has_work() {
            self.transmit(w, shared);
        }
        self.settle(w, shared);
    }

    /// What this side has is what the engine knows of, and the other way round: what the engine forgets
    /// without a word would stay for ever.
    fn agree(&self, w: &mut World<'_>) {
        let attempts = self.attempts.iter().map(|(conn, _)| *conn);
        let end = self.end.map(|end| ConnId(w.net.side(end).conn));
        let mut here: Vec<_> = attempts.chain(end).chain(self.closing).collect();
        let mut there: Vec<_> = self.engine.connections().collect();
        here.sort_unstable_by_key(|conn| conn.0);
        here.dedup();
        there.sort_unstable_by_key(|conn| conn.0);
        assert_eq!(here, there, "held here, known there: {self:?}");
        let closing = self.state() == State::Closing;
        assert!(!self.engine.wants_poll() || closing, "polled: {self:?}");

        // It takes time.
        if w.q.now % 16 == 0 {
            let queue = &self.engine.sender().queue;
            let entries = (0..queue.len()).filter_map(|index| queue.get(index));
            let messages = entries.filter(|(entry, _)| entry.message().is_some());
            let open = self.accepted - self.done - self.given_up;
            assert_eq!(messages.count() as u64, open, "messages: {self:?}");
        }
    }

    /// Does what there is to do after what has come in.
    pub fn follow(&mut self, w: &mut World<'_>, shared: &mut Shared) {
        if self.engine.has_news() {
            self.pump(w, shared);
        } else {
            self.settle(w, shared);
        }
    }

    /// Takes back what is done with, and sets the timer.
    fn settle(&mut self, w: &mut World<'_>, shared: &mut Shared) {
        self.reap(w, shared);
        let timeout = self.engine.next_timeout();
        if timeout != self.timer {
            self.timer = timeout;
            if let Some(Instant(time)) = timeout {
                w.q.at(time, Event::Timer(self.at));
            }
        }
    }

    /// Takes back what is done with.
    pub fn reap(&mut self, w: &mut World<'_>, shared: &mut Shared) {
        let books = &mut *w.books;
        let (mut done, mut given_up) = (0, 0);
        let reapable = self.engine.sender().queue.is_reapable();
        self.engine.reap(|message, outcome| {
            match outcome {
                Outcome::Done => books.done(message.msg),
                Outcome::Cancelled => books.cancel(message.msg),
                Outcome::Dropped => books.drop(message.msg),
            }
            match outcome {
                Outcome::Done => done += 1,
                _ => given_up += 1,
            }
            shared.release(books, message.msg);
        });
        assert!(reapable || (done, given_up) == (0, 0), "reaped unasked");
        self.done += done;
        self.given_up += given_up;
    }

    fn act(&mut self, w: &mut World<'_>, action: Action) {
        match action {
            Action::Dial { conn, private } => {
                let number = w.net.attempts.len() as u32;
                self.attempts.push((conn, number));
                let attempt = Attempt {
                    from: self.at,
                    conn: conn.0,
                    to: self.peer,
                    tos: self.tos,
                    request: private.emit(),
                    reply: None,
                    link: None,
                    abandoned: false,
                    refused: false,
                    answered: false,
                };
                let fails = w.fault(w.config.faults.dial);
                let slow = w.fault(w.config.faults.slow_cm);
                w.net.dial(w.q, w.rng, attempt, fails, slow);
            }
            Action::Accept { conn, private } => {
                let Some(number) = self.attempt(conn) else {
                    self.engine.on_lost(conn, DropReason::Transport);
                    return;
                };
                let attempt = &mut w.net.attempts[number as usize];
                attempt.reply = Some(private.emit());
                let (from, number_there) = (attempt.from, attempt.conn);
                let link = w.net.link((from, number_there), (self.at, conn.0));
                w.net.attempts[number as usize].link = Some(link);
                self.set_end(End { link, side: 1 });
                let slow = w.fault(w.config.faults.slow_cm);
                w.net.cm(w.q, w.rng, number, Cm::Reply, slow);
            }
            Action::Close { conn, .. } => {
                if let Some(number) = self.attempt(conn) {
                    self.attempts.retain(|(c, _)| *c != conn);
                    self.give_up(w, number);
                }
                if let Some(end) = self.end.filter(|end| w.net.side(*end).conn == conn.0) {
                    w.net.close(w.q, w.rng, end, false);
                }
                self.closing = Some(conn);
                // A queue pair is drained at once, or when its retries have run out.
                let slow = w.fault(w.config.faults.slow_cm);
                let delay = w.rng.range(1_000, if slow { 50_000_000 } else { 300_000 });
                w.q.after(delay, Event::Closed(self.at, conn.0));
            }
            Action::Release { conn } => {
                let number = self.attempt(conn).expect("it is held");
                self.attempts.retain(|(c, _)| *c != conn);
                self.give_up(w, number);
            }
        }
    }

    fn set_end(&mut self, end: End) {
        self.end = Some(end);
        self.early.clear();
    }

    fn attempt(&self, conn: ConnId) -> Option<u32> {
        let found = self.attempts.iter().find(|(c, _)| *c == conn);
        found.map(|(_, number)| *number)
    }

    /// Takes an attempt off the table, whichever side we are on.
    fn give_up(&self, w: &mut World<'_>, number: u32) {
        let attempt = &mut w.net.attempts[number as usize];
        if attempt.from == self.at {
            attempt.abandoned = true;
            w.net.cm(w.q, w.rng, number, Cm::Void, false);
        } else if !attempt.refused {
            attempt.refused = true;
            w.net.cm(w.q, w.rng, number, Cm::Reject, false);
        }
    }

    /// A request of the peer has come. Returns `false` if it is to be rejected.
    pub fn on_request(&mut self, w: &mut World<'_>, number: u32, request: &PrivateData) -> bool {
        assert!(request.matches(addr(self.peer), addr(self.at.node)));
        match self
            .engine
            .on_request(Self::settings(w), Self::now(w), request)
        {
            Verdict::Hold { conn } => {
                self.attempts.push((conn, number));
                true
            }
            Verdict::Reject(datum) => {
                assert_eq!(datum, RejectDatum::RETRY);
                false
            }
        }
    }

    /// Our attempt led to a connection.
    pub fn on_reply(&mut self, end: End) {
        self.set_end(end);
    }

    /// The handshake of connection `conn` is over.
    pub fn on_established(
        &mut self,
        w: &mut World<'_>,
        shared: &mut Shared,
        conn: u32,
        reply: Option<&PrivateBytes>,
    ) {
        let reply = reply.map(|b| {
            let mut padded = [0; 196];
            padded[..b.as_slice().len()].copy_from_slice(b.as_slice());
            PrivateData::parse(&padded, addr(self.peer).family()).expect("long enough")
        });
        let up = self.engine.on_established(ConnId(conn), reply.as_ref());
        if up {
            if let Some(end) = self.end {
                w.net.side(end).up = true;
            }
        }
        self.attempts.retain(|(c, _)| c.0 != conn);
        let early = std::mem::take(&mut self.early);
        self.frames(w, shared, conn, early);
        self.pump(w, shared);
    }

    /// Connection `conn` failed, or a request that may be held.
    pub fn on_lost(&mut self, w: &mut World<'_>, shared: &mut Shared, conn: u32, why: DropReason) {
        self.engine.on_lost(ConnId(conn), why);
        self.pump(w, shared);
    }

    /// An attempt of the peer, which we may hold, is void.
    pub fn on_void(&mut self, w: &mut World<'_>, shared: &mut Shared, number: u32) {
        let found = self.attempts.iter().find(|(_, n)| *n == number).copied();
        if let Some((conn, _)) = found {
            self.on_lost(w, shared, conn.0, DropReason::Transport);
        }
    }

    /// Nothing of connection `conn` is in flight any more.
    pub fn on_closed(&mut self, w: &mut World<'_>, shared: &mut Shared, conn: u32) {
        let random = w.rng.bits();
        let settings = Self::settings(w);
        let now = Self::now(w);
        let closed = self.engine.on_closed(settings, now, ConnId(conn), random);
        let closed = closed.expect("it was being closed");
        assert_eq!(closed.discard_partial, self.partial.is_some());
        self.partial = None;
        self.end = None;
        self.closing = None;
        self.early.clear();
        self.pump(w, shared);
    }

    /// Sends up to and including number `id` are completed.
    pub fn on_sent(&mut self, w: &mut World<'_>, shared: &mut Shared, conn: u32, id: u32) {
        self.engine.on_sent(ConnId(conn), id);
        self.follow(w, shared);
    }

    /// Frames have come on connection `conn`.
    pub fn frames(
        &mut self,
        w: &mut World<'_>,
        shared: &mut Shared,
        conn: u32,
        frames: VecDeque<Frame>,
    ) {
        for frame in frames {
            self.frame(w, shared, conn, frame);
        }
    }

    fn frame(&mut self, w: &mut World<'_>, shared: &mut Shared, conn: u32, frame: Frame) {
        let data_len = frame.data_len();
        let fails = w.fault(w.config.faults.store);
        let partial = &mut self.partial;
        let mut first = None;
        let result = self.engine.on_frame(
            Self::settings(w),
            ConnId(conn),
            &frame.header,
            48 + data_len,
            |piece| {
                if fails {
                    return Err(());
                }
                // The pieces must be those of one message, in order and without a gap.
                let have = match (*partial, piece.offset) {
                    (None, 0) => 0,
                    (Some((msg, have)), _) if msg == frame.msg => have,
                    (state, _) => panic!("{state:?} meets {frame:?}"),
                };
                assert_eq!((have, piece.len), (piece.offset, data_len));
                if let Data::Message { msg, offset, .. } = frame.data {
                    assert_eq!((msg, offset), (frame.msg, have));
                }
                *partial = Some((frame.msg, have + piece.len));
                first = Some(*piece.header);
                Ok(())
            },
        );
        let received = match result {
            Ok(received) => received,
            Err(rds_proto::path::Refused::Store(())) => {
                self.partial = None;
                return;
            }
            Err(refused) => panic!("{refused:?}: {frame:?}"),
        };
        match received {
            Received::Early => self.early.push_back(frame),
            Received::Ack | Received::Partial | Received::Pong | Received::Stale => {}
            Received::CongMap { offset, len } => match &frame.data {
                Data::Map(bytes) => {
                    assert_eq!(len, 4096);
                    shared.apply_map(self.peer, offset, &bytes[..]);
                }
                _ => panic!("not a map: {frame:?}"),
            },
            Received::Message => {
                let header = first.expect("a piece was stored");
                let stored = self.partial.take();
                assert_eq!(stored, Some((frame.msg, header.len)));
                if frame.msg != NO_MSG {
                    w.books.receive(frame.msg, self.at.epoch);
                }
                shared.deliver(w.config, header.dport, header.sport, header.len);
            }
            Received::Ping(port) => {
                w.books.receive(frame.msg, self.at.epoch);
                if !shared.remote[usize::from(self.peer)].is_congested(port) {
                    self.engine.queue_pong(port);
                }
            }
            Received::Ignored(Ignored::Duplicate) => {
                if frame.msg != NO_MSG {
                    w.books.duplicate(frame.msg, self.at.epoch);
                }
            }
            Received::Ignored(Ignored::Refused) => {}
            Received::Ignored(why) => panic!("{why:?}: {frame:?}"),
        }
    }

    fn transmit(&mut self, w: &mut World<'_>, shared: &mut Shared) {
        let Some(end) = self.end else {
            panic!("up without a connection");
        };
        let budget = w.rng.range(1, 40) as u32;
        let emit_fault = if w.faults { w.config.faults.emit } else { 0 };
        let World { rng, net, q, .. } = w;
        let at = self.at;
        let result = self.engine.transmit(&w.config.settings, budget, |frame| {
            if rng.one_in(emit_fault) {
                return Err(());
            }
            let (header, msg, data, operation) = match frame.body {
                Body::Operation(m) => ([0; 48], m.msg, Data::None, true),
                Body::Probe => ([0; 48], NO_MSG, Data::None, true),
                Body::Send { header, data } => match data {
                    Piece::None => (header, NO_MSG, Data::None, false),
                    Piece::Message {
                        message,
                        offset,
                        len,
                    } => {
                        let msg = message.msg;
                        (header, msg, Data::Message { msg, offset, len }, false)
                    }
                    Piece::CongMap { offset, .. } => {
                        let from = offset as usize;
                        let mut bytes = Box::new([0; 4096]);
                        bytes.copy_from_slice(&shared.map.as_bytes()[from..from + 4096]);
                        (header, NO_MSG, Data::Map(bytes), false)
                    }
                },
            };
            let frame = Frame {
                id: frame.id,
                header,
                msg,
                data,
                signaled: frame.signaled,
                solicited: frame.solicited,
                operation,
            };
            net.post(q, rng, end, frame);
            Ok(())
        });
        match result {
            rds_proto::send::Transmit::Budget | rds_proto::send::Transmit::Stopped(()) => {
                let delay = w.rng.range(500, 20_000);
                w.q.after(delay, Event::Timer(at));
            }
            _ => {}
        }
    }

    /// The engine's counters agree with ours and with one another, and its memory is bounded by what
    /// was open at a time, whatever was cancelled meanwhile.
    pub fn check_counters(&self) {
        let s = self.engine.stats();
        let queue = &self.engine.sender().queue;
        assert_eq!(s.send_queued - s.send_pong, self.accepted);
        assert_eq!(s.send_acked, self.done);
        assert_eq!(self.accepted, self.done + self.given_up, "all have ended");
        assert!(
            s.tx_frames >= s.ack_sent + 2 * s.cong_update_sent.saturating_sub(s.conn_reset + 1)
        );
        assert!(s.rx_frames >= s.ack_received + s.cong_update_received + s.recv_messages);
        assert!(s.connected >= s.conn_reset);
        assert!(s.recv_ping >= s.send_pong);
        let bound = 4 * (self.peak as usize + 64) + 4;
        assert!(
            queue.capacity() <= bound,
            "{} slots of {bound}",
            queue.capacity()
        );
    }

    /// Whether nothing is left to do.
    pub fn is_idle(&self) -> bool {
        self.engine.sender().queue.is_empty() && !self.engine.has_work()
    }

    /// Whether the connection is up or down, not in between.
    pub fn state(&self) -> State {
        self.engine.state()
    }
}
