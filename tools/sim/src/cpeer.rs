// SPDX-License-Identifier: GPL-2.0

//! A path of a node that behaves as the C implementation does, quirks included.
//!
//! Written from `net/rds` of Linux 7.3 and from the specification, not from the engine: of the engine's
//! crate only the byte formats are used, whose test vectors are those of C. Every quirk that a peer can
//! see is here: sequence numbers from 1 in each life, the expected number never reset, headers frozen
//! at the first fragment, one ACK frame at a time, credits ignored as flow control is off by default, interrupts for solicited frames only, requests
//! rejected in every state but DOWN, no giving way in races.

use crate::app::Shared;
use crate::net::{Attempt, Data, Frame, NO_MSG};
use crate::ours::{addr, Message, World};
use crate::queue::{At, Cm, End, Event};
use rds_proto::wire::{Addr, Flags, Header, PrivateBytes, PrivateData, RejectDatum, Version};
use std::collections::VecDeque;

const RING: usize = 256;
const MAX_UNSIGNALED: u32 = 16;

/// States of a connection (spec-states); ERROR and DISCONNECTING are one here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// RDS_CONN_DOWN.
    Down,
    /// RDS_CONN_CONNECTING.
    Connecting,
    /// RDS_CONN_UP.
    Up,
    /// RDS_CONN_ERROR, RDS_CONN_DISCONNECTING.
    Disconnecting,
}

/// A message in a queue: `None` is a pong to this port.
#[derive(Clone, Copy, Debug)]
struct Queued {
    message: Option<Message>,
    pong: u16,
    seq: u64,
    ack_required: bool,
    retransmitted: bool,
    /// Cancelled while it was being sent: not on any list any more.
    off_list: bool,
}

impl Queued {
    fn len(&self) -> u32 {
        self.message.map_or(0, |m| m.len)
    }
}

/// A path.
#[derive(Debug)]
pub struct CPath {
    /// Where it is.
    pub at: At,
    /// The node at the other end.
    pub peer: u8,
    /// Type of service.
    pub tos: u8,
    /// State of the connection.
    pub state: State,
    conn: u32,
    last: u32,
    end: Option<End>,
    attempt: Option<u32>,
    accepted: Option<u32>,
    reconnect_pending: bool,
    reconnect_limit: u64,
    dial_at: Option<u64>,
    // cp_send_queue, cp_retrans, cp_xmit_rm
    send_queue: VecDeque<Queued>,
    retrans: VecDeque<Queued>,
    xmit: Option<(Queued, u32, [u8; 48])>,
    xmit_map: Option<u32>,
    map_queued: bool,
    next_tx: u64,
    next_rx: u64,
    unacked_packets: u32,
    unacked_bytes: u32,
    // i_ack_next, i_ack_flags, i_ack_recv
    ack_next: u64,
    ack_requested: bool,
    ack_in_flight: Option<u32>,
    ack_recv: u64,
    // The send ring.
    posted: u32,
    completed: u32,
    unsignaled: u32,
    // i_ibinc
    partial: Option<(Header, u32)>,
}

impl CPath {
    /// A path of the node's life `at.epoch`.
    pub fn new(at: At, peer: u8, tos: u8) -> Self {
        Self {
            at,
            peer,
            tos,
            state: State::Down,
            conn: 0,
            last: 0,
            end: None,
            attempt: None,
            accepted: None,
            reconnect_pending: false,
            reconnect_limit: 0,
            dial_at: None,
            send_queue: VecDeque::new(),
            retrans: VecDeque::new(),
            xmit: None,
            xmit_map: None,
            map_queued: false,
            next_tx: 1,
            next_rx: 0,
            unacked_packets: 0,
            unacked_bytes: 0,
            ack_next: 0,
            ack_requested: false,
            ack_in_flight: None,
            ack_recv: 0,
            posted: 0,
            completed: 0,
            unsignaled: 0,
            partial: None,
        }
    }

    // Connecting: threads.c, connection.c, ib_cm.c.

    /// rds_conn_path_connect_if_down()
    fn connect_if_down(&mut self, w: &mut World<'_>) {
        if self.state == State::Down && !self.reconnect_pending {
            self.reconnect_pending = true;
            self.dial_at = Some(w.q.now);
            w.q.after(0, Event::Timer(self.at));
        }
    }

    /// rds_queue_reconnect()
    fn queue_reconnect(&mut self, w: &mut World<'_>) {
        self.reconnect_pending = true;
        let settings = &w.config.settings;
        let delay = if self.reconnect_limit == 0 {
            self.reconnect_limit = settings.reconnect_min_ns;
            0
        } else {
            let delay = w.rng.below(self.reconnect_limit);
            self.reconnect_limit = (self.reconnect_limit * 2).min(settings.reconnect_max_ns);
            delay
        };
        self.dial_at = Some(w.q.now + delay);
        w.q.after(delay, Event::Timer(self.at));
    }

    /// rds_connect_worker()
    fn connect_worker(&mut self, w: &mut World<'_>) {
        self.reconnect_pending = false;
        if self.state != State::Down {
            return;
        }
        self.state = State::Connecting;
        self.last += 1;
        self.conn = self.last;
        let attempt = Attempt {
            from: self.at,
            conn: self.conn,
            to: self.peer,
            tos: self.tos,
            request: self.private(Version::V3_1).emit(),
            reply: None,
            link: None,
            abandoned: false,
            refused: false,
            answered: false,
        };
        self.attempt = Some(w.net.attempts.len() as u32);
        let fails = w.fault(w.config.faults.dial);
        let slow = w.fault(w.config.faults.slow_cm);
        w.net.dial(w.q, w.rng, attempt, fails, slow);
    }

    fn private(&self, version: Version) -> PrivateData {
        PrivateData {
            saddr: addr(self.at.node),
            daddr: addr(self.peer),
            version,
            minors: 3,
            tos: self.tos,
            ack_seq: 0,
            credit: 0,
            own: None,
        }
    }

    /// rds_ib_cm_handle_connect(); returns `false` for a rejection with code 1.
    pub fn on_request(&mut self, w: &mut World<'_>, number: u32, request: &[u8]) -> bool {
        let family = Addr::v4([0; 4]).family();
        let Ok(request) = PrivateData::parse(request, family) else {
            return false;
        };
        // rds_ib_protocol_compatible()
        let Some(version) = request.negotiate() else {
            return false;
        };
        if self.state != State::Down {
            if self.state == State::Up {
                self.drop_conn(w);
            }
            return false;
        }
        self.state = State::Connecting;
        self.last += 1;
        self.conn = self.last;
        self.accepted = Some(number);
        let reply = self.private(version).emit();
        let attempt = &mut w.net.attempts[number as usize];
        attempt.reply = Some(reply);
        let from = (attempt.from, attempt.conn);
        let link = w.net.link(from, (self.at, self.conn));
        w.net.attempts[number as usize].link = Some(link);
        self.end = Some(End { link, side: 1 });
        let slow = w.fault(w.config.faults.slow_cm);
        w.net.cm(w.q, w.rng, number, Cm::Reply, slow);
        true
    }

    /// RDMA_CM_EVENT_REJECTED
    pub fn on_rejected(&mut self, w: &mut World<'_>, conn: u32, datum: RejectDatum) {
        let datum = RejectDatum::parse(&datum.emit()).expect("four bytes");
        assert!(datum <= 1, "C would wait for ever");
        self.on_lost(w, conn);
    }

    /// Our attempt led to a connection.
    pub fn on_reply(&mut self, end: End) {
        self.end = Some(end);
    }

    /// rds_ib_cm_connect_complete()
    pub fn on_established(
        &mut self,
        w: &mut World<'_>,
        shared: &mut Shared,
        conn: u32,
        reply: Option<&PrivateBytes>,
    ) {
        if conn != self.conn || self.state != State::Connecting {
            if conn == self.conn {
                self.drop_conn(w);
            }
            return;
        }
        if let Some(reply) = reply {
            let family = Addr::v4([0; 4]).family();
            let reply = PrivateData::parse(reply.as_slice(), family).expect("long enough");
            assert!(reply.version >= Version::V3_1);
        }
        self.attempt = None;
        self.accepted = None;
        self.state = State::Up;
        self.reconnect_limit = 0;
        self.map_queued = true;
        if let Some(end) = self.end {
            w.net.side(end).up = true;
        }
        self.pump(w, shared);
    }

    /// Any CM event that drops, a queue pair error, or an error completion.
    pub fn on_lost(&mut self, w: &mut World<'_>, conn: u32) {
        if conn == self.conn && self.state != State::Disconnecting {
            self.drop_conn(w);
        }
    }

    /// The peer's attempt that we may have accepted is void.
    pub fn on_void(&mut self, w: &mut World<'_>, number: u32) {
        if self.accepted == Some(number) {
            self.on_lost(w, self.conn);
        }
    }

    /// rds_conn_path_drop() and the first half of rds_conn_shutdown()
    fn drop_conn(&mut self, w: &mut World<'_>) {
        if matches!(self.state, State::Down | State::Disconnecting) {
            return;
        }
        self.state = State::Disconnecting;
        if let Some(number) = self.attempt.take() {
            w.net.attempts[number as usize].abandoned = true;
            w.net.cm(w.q, w.rng, number, Cm::Void, false);
        }
        if let Some(number) = self.accepted.take() {
            let attempt = &mut w.net.attempts[number as usize];
            if !attempt.refused {
                attempt.refused = true;
                w.net.cm(w.q, w.rng, number, Cm::Reject, false);
            }
        }
        let delay = w.rng.range(1_000, 300_000);
        w.q.after(delay, Event::Closed(self.at, self.conn));
    }

    /// The second half of rds_conn_shutdown()
    pub fn on_closed(&mut self, w: &mut World<'_>, shared: &mut Shared, conn: u32) {
        assert_eq!((conn, self.state), (self.conn, State::Disconnecting));
        if let Some(end) = self.end.take() {
            // What the hardware took in before the flush is still processed.
            let frames = w.net.take_arrived(end);
            self.frames(w, shared, frames);
            w.net.close(w.q, w.rng, end, false);
        }
        // rds_ib_conn_path_shutdown()
        self.ack_in_flight = None;
        self.ack_requested = false;
        self.ack_next = 0;
        self.ack_recv = 0;
        self.partial = None;
        self.posted = 0;
        self.completed = 0;
        // rds_send_path_reset()
        self.xmit = None;
        self.xmit_map = None;
        self.map_queued = false;
        self.unacked_packets = w.config.settings.max_unacked_packets;
        self.unacked_bytes = w.config.settings.max_unacked_bytes;
        while let Some(mut queued) = self.retrans.pop_back() {
            queued.ack_required = true;
            queued.retransmitted = true;
            self.send_queue.push_front(queued);
        }
        self.state = State::Down;
        self.queue_reconnect(w);
    }

    /// The timer fired.
    pub fn on_timer(&mut self, w: &mut World<'_>, shared: &mut Shared) {
        if self.dial_at.is_some_and(|at| at <= w.q.now) {
            self.dial_at = None;
            self.connect_worker(w);
        }
        self.pump(w, shared);
    }

    // Sending: send.c, ib_send.c.

    /// rds_send_queue_rm()
    pub fn send(&mut self, w: &mut World<'_>, message: Message, ack_required: bool) {
        self.connect_if_down(w);
        self.queue(Some(message), 0, ack_required);
    }

    fn queue(&mut self, message: Option<Message>, pong: u16, ack_required: bool) {
        self.send_queue.push_back(Queued {
            message,
            pong,
            seq: self.next_tx,
            ack_required,
            retransmitted: false,
            off_list: false,
        });
        self.next_tx += 1;
    }

    /// rds_cong_queue_updates()
    pub fn queue_map(&mut self) {
        self.map_queued = true;
    }

    /// rds_send_drop_to(), for one message
    pub fn cancel(&mut self, w: &mut World<'_>, shared: &mut Shared, number: u32) {
        let is = |q: &Queued| q.message.is_some_and(|m| m.msg == number);
        let before = self.send_queue.len() + self.retrans.len();
        self.send_queue.retain(|q| !is(q));
        self.retrans.retain(|q| !is(q));
        if self.send_queue.len() + self.retrans.len() == before {
            return;
        }
        // What is being sent goes on, but is on no list any more.
        if let Some((queued, ..)) = self.xmit.as_mut().filter(|(q, ..)| is(q)) {
            queued.off_list = true;
        }
        w.books.cancel(number);
        shared.release(w.books, number);
    }

    /// Numbers and ports of all messages that can be cancelled.
    pub fn messages(&self) -> Vec<(u32, u16)> {
        let all = self.send_queue.iter().chain(&self.retrans);
        all.filter_map(|q| q.message.map(|m| (m.msg, m.dport)))
            .collect()
    }

    /// rds_send_xmit()
    pub fn pump(&mut self, w: &mut World<'_>, _shared: &mut Shared) {
        let Some(end) = self.end.filter(|_| self.state == State::Up) else {
            return;
        };
        loop {
            if self.in_flight() >= RING {
                break;
            }
            if let Some(offset) = self.xmit_map {
                self.map_frame(w, _shared, end, offset);
            } else if self.xmit.is_some() {
                self.data_frame(w, end);
            } else if self.map_queued {
                self.map_queued = false;
                self.xmit_map = Some(0);
            } else if let Some(mut queued) = self.send_queue.pop_front() {
                let len = queued.len();
                if self.unacked_packets == 0 || self.unacked_bytes < len {
                    queued.ack_required = true;
                    self.unacked_packets = w.config.settings.max_unacked_packets;
                    self.unacked_bytes = w.config.settings.max_unacked_bytes;
                } else {
                    self.unacked_packets -= 1;
                    self.unacked_bytes -= len;
                }
                self.retrans.push_back(queued);
                let header = self.freeze(&queued);
                self.xmit = Some((queued, 0, header));
            } else {
                break;
            }
        }
        self.attempt_ack(w, end);
    }

    /// The header that all fragments of a message share.
    fn freeze(&mut self, queued: &Queued) -> [u8; 48] {
        let mut flags = Flags::NONE;
        if queued.ack_required {
            flags = flags.with(Flags::ACK_REQUIRED);
        }
        if queued.retransmitted {
            flags = flags.with(Flags::RETRANSMITTED);
        }
        let (sport, dport) = match queued.message {
            Some(m) => (m.sport, m.dport),
            None => (0, queued.pong),
        };
        // rds_ib_piggyb_ack()
        self.ack_requested = false;
        let header = Header {
            seq: queued.seq,
            ack: self.ack_next,
            len: queued.len(),
            sport,
            dport,
            flags,
            ..Header::default()
        };
        header.emit()
    }

    fn in_flight(&self) -> usize {
        (self.posted - self.completed) as usize
    }

    fn post(&mut self, w: &mut World<'_>, end: End, mut frame: Frame, last: bool) {
        frame.id = self.posted;
        frame.solicited = last;
        // rds_ib_set_wr_signal_state()
        if self.unsignaled == 0 || last {
            self.unsignaled = MAX_UNSIGNALED;
            frame.signaled = true;
        } else {
            self.unsignaled -= 1;
        }
        self.posted += 1;
        w.net.post(w.q, w.rng, end, frame);
    }

    fn map_frame(&mut self, w: &mut World<'_>, shared: &Shared, end: End, offset: u32) {
        let header = Header {
            ack: self.ack_next,
            len: 8192,
            flags: Flags::CONG_BITMAP,
            ..Header::default()
        };
        let from = offset as usize;
        let mut bytes = Box::new([0; 4096]);
        bytes.copy_from_slice(&shared.map.as_bytes()[from..from + 4096]);
        let last = offset > 0;
        let frame = frame(header.emit(), NO_MSG, Data::Map(bytes));
        self.post(w, end, frame, last);
        self.xmit_map = if last { None } else { Some(4096) };
    }

    fn data_frame(&mut self, w: &mut World<'_>, end: End) {
        let Some((queued, offset, header)) = self.xmit else {
            return;
        };
        let total = queued.len();
        let len = (total - offset).min(4096);
        let last = offset + len == total;
        let (msg, data) = match queued.message {
            Some(Message { msg, .. }) => (msg, Data::Message { msg, offset, len }),
            None => (NO_MSG, Data::None),
        };
        self.post(w, end, frame(header, msg, data), last);
        self.xmit = if last {
            None
        } else {
            Some((queued, offset + len, header))
        };
    }

    /// rds_ib_attempt_ack()
    fn attempt_ack(&mut self, w: &mut World<'_>, end: End) {
        if !self.ack_requested || self.ack_in_flight.is_some() {
            return;
        }
        self.ack_requested = false;
        let header = Header {
            ack: self.ack_next,
            ..Header::default()
        };
        self.ack_in_flight = Some(self.posted);
        self.post(w, end, frame(header.emit(), NO_MSG, Data::None), true);
    }

    /// rds_ib_send_cqe_handler()
    pub fn on_sent(&mut self, w: &mut World<'_>, shared: &mut Shared, id: u32) {
        self.completed = self.completed.max(id + 1);
        if self.ack_in_flight.is_some_and(|ack| ack <= id) {
            self.ack_in_flight = None;
        }
        self.pump(w, shared);
    }

    // Receiving: ib_recv.c, recv.c.

    /// rds_ib_tasklet_fn_recv()
    pub fn frames(&mut self, w: &mut World<'_>, shared: &mut Shared, frames: VecDeque<Frame>) {
        let mut ack_recv = None;
        let mut completed = None;
        let mut demanded = false;
        for frame in frames {
            let header = Header::parse(&frame.header).expect("a good header");
            ack_recv = Some(header.ack);
            self.frame(w, shared, &header, &frame, &mut completed, &mut demanded);
        }
        if let Some(seq) = completed {
            self.ack_next = seq;
            self.ack_requested |= demanded;
        }
        if let Some(ack) = ack_recv.filter(|ack| *ack > self.ack_recv) {
            self.drop_acked(w, shared, ack);
            self.ack_recv = ack;
        }
        self.pump(w, shared);
    }

    /// rds_send_drop_acked()
    fn drop_acked(&mut self, w: &mut World<'_>, shared: &mut Shared, ack: u64) {
        while self.retrans.front().is_some_and(|q| q.seq <= ack) {
            let Some(queued) = self.retrans.pop_front() else {
                break;
            };
            if let Some(message) = queued.message {
                w.books.done(message.msg);
                shared.release(w.books, message.msg);
            }
        }
    }

    /// rds_ib_process_recv()
    fn frame(
        &mut self,
        w: &mut World<'_>,
        shared: &mut Shared,
        header: &Header,
        frame: &Frame,
        completed: &mut Option<u64>,
        demanded: &mut bool,
    ) {
        let data_len = frame.data_len();
        if header.sport == 0 && header.dport == 0 && data_len == 0 {
            return;
        }
        let (first, offset) = match self.partial {
            None => (*header, 0),
            Some((first, offset)) => {
                let same = |h: &Header| (h.seq, h.len, h.sport, h.dport);
                assert_eq!(same(&first), same(header), "fragment of another message");
                (first, offset)
            }
        };
        assert_eq!(
            data_len,
            (first.len - offset).min(4096),
            "length of a fragment"
        );
        match &frame.data {
            Data::Message {
                msg, offset: at, ..
            } => assert_eq!((*msg, *at), (frame.msg, offset)),
            Data::Map(bytes) => {
                assert_eq!(first.flags, Flags::CONG_BITMAP);
                assert_eq!((first.seq, first.len), (0, 8192));
                shared.apply_map(self.peer, offset, &bytes[..]);
            }
            Data::None => {}
        }
        let have = offset + data_len;
        if have < first.len {
            self.partial = Some((first, have));
            return;
        }
        self.partial = None;
        if first.flags == Flags::CONG_BITMAP {
            return;
        }
        self.incoming(w, shared, &first, frame.msg);
        *completed = Some(first.seq);
        *demanded |= first.flags.contains(Flags::ACK_REQUIRED);
    }

    /// rds_recv_incoming()
    fn incoming(&mut self, w: &mut World<'_>, shared: &mut Shared, first: &Header, msg: u32) {
        if first.seq < self.next_rx && first.flags.contains(Flags::RETRANSMITTED) {
            if msg != NO_MSG {
                w.books.duplicate(msg, self.at.epoch);
            }
            return;
        }
        self.next_rx = first.seq + 1;
        if msg != NO_MSG {
            w.books.receive(msg, self.at.epoch);
        }
        if first.dport != 0 {
            shared.deliver(w.config, first.dport, first.sport, first.len);
        } else if first.sport != 0 {
            // rds_send_pong()
            self.connect_if_down(w);
            if !shared.remote[usize::from(self.peer)].is_congested(first.sport) {
                self.queue(None, first.sport, false);
            }
        }
    }

    /// The end of the current connection, if frames of `conn` are still of interest.
    pub fn is_current(&self, conn: u32) -> bool {
        self.conn == conn && self.end.is_some()
    }

    /// Whether nothing is left to do.
    pub fn is_idle(&self) -> bool {
        self.send_queue.is_empty() && self.retrans.is_empty() && self.xmit.is_none()
    }
}

fn frame(header: [u8; 48], msg: u32, data: Data) -> Frame {
    Frame {
        id: 0,
        header,
        msg,
        data,
        signaled: false,
        solicited: false,
        operation: false,
    }
}
