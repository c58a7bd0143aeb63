// SPDX-License-Identifier: GPL-2.0

//! From messages to frames.
//!
//! spec-fragments, spec-bitmap, spec-rdma and spec-ack-send; C: `rds_send_xmit()` and `rds_ib_xmit()`.
//! Frames are handed to a closure one by one, and nothing counts as sent unless it succeeded, so that a
//! full queue pair, a failed mapping or lack of memory just ends the batch: the next call goes on in the
//! middle of the message.
//!
//! Between messages a pending congestion map goes first. An acknowledgement rides on whatever frame
//! is next; only if there is none, or none can be posted, a frame is sent for it alone, which may be
//! in the middle of a message. Every fragment carries the latest acknowledgement, whereas C freezes the
//! one of the first.

use super::{AckDemand, Body, Data, Entry, Frame, Item, Payload, SendQueue, Slots, Transmit};
use crate::consts::{CONG_MAP_LEN, EXT_LEN, FRAGMENT_LEN, PING_PORT, PROBE_PORT};
use crate::recv::AckState;
use crate::ring::Storage;
use crate::settings::Settings;
use crate::stats::{bump, Counters};
use crate::tcp::{Greeting, Hello};
use crate::wire::{Flags, Header};
use core::cmp::min;
use core::fmt;

/// What is being handed over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Current {
    /// The congestion map, from this offset.
    Map(u32),
    /// The message at the mark of the queue, from this offset. Its flags are those of the first
    /// fragment; there are none yet if only its operation was posted.
    Message(u32, Option<Flags>),
}

/// What to hand over next.
#[derive(Clone, Copy)]
enum Next {
    Map(u32),
    Operation(usize, u32),
    Fragment(usize, u32, Option<Flags>),
}

/// What transmission needs beside the sender itself.
#[derive(Debug)]
pub struct Context<'a> {
    /// Tunables.
    pub settings: &'a Settings,
    /// What hellos tell, and the answers to them; nothing but of a stream.
    pub hello: Option<Hello>,
    /// What is to be acknowledged.
    pub ack: &'a mut AckState,
    /// Statistics.
    pub stats: &'a mut Counters,
}

/// What was posted.
#[derive(Clone, Copy)]
pub(super) struct Posted {
    pub(super) wrs: u32,
    pub(super) signaled: bool,
    /// It was a SEND.
    pub(super) send: bool,
    /// Nothing is freed when it completes.
    pub(super) bare: bool,
}

/// The frame-independent half of a SEND about to be posted.
#[derive(Clone, Copy)]
pub(super) struct Shape {
    /// The last fragment of its message, or a frame of its own.
    pub(super) last: bool,
    /// Whether another frame follows in this batch, if the ring allows.
    pub(super) follows: bool,
    pub(super) fence: bool,
    /// Something waits for its completion.
    pub(super) awaited: bool,
}

/// The sending side of a path.
pub struct Sender<M, S> {
    /// Messages to send.
    pub queue: SendQueue<M, S>,
    /// Work requests in flight.
    pub slots: Slots,
    demand: AckDemand,
    current: Option<Current>,
    map_pending: bool,
    pub(super) probe_pending: bool,
    /// The work request that is to complete so that nothing is left in the device of messages that were
    /// cancelled.
    orphan: Option<u32>,
    /// The bare acknowledgement that is in flight and whose completion is waited for.
    pub(super) bare: Option<u32>,
    /// The last SEND was a bare acknowledgement.
    pub(super) only_acks: bool,
}

impl<M: fmt::Debug, S: Storage<Entry<M>>> fmt::Debug for Sender<M, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sender")
            .field("queue", &self.queue)
            .field("slots", &self.slots)
            .field("current", &self.current)
            .field("map_pending", &self.map_pending)
            .finish()
    }
}

impl<M: Payload, S: Storage<Entry<M>>> Sender<M, S> {
    /// A sender over `slots` whose first message gets the number `first_seq`.
    pub fn new(slots: S, first_seq: u64) -> Self {
        Self {
            queue: SendQueue::new(slots, first_seq),
            slots: Slots::default(),
            demand: AckDemand::new(),
            current: None,
            map_pending: false,
            probe_pending: false,
            orphan: None,
            bare: None,
            only_acks: false,
        }
    }

    /// Asks for the congestion map to be sent; returns `false` if it was asked for already.
    pub fn queue_map(&mut self) -> bool {
        !core::mem::replace(&mut self.map_pending, true)
    }

    /// Asks for the peer to be probed.
    pub fn queue_probe(&mut self) {
        self.probe_pending = true;
    }

    /// Whether a message is to be acknowledged, and was not yet.
    pub fn awaits_ack(&self) -> bool {
        self.queue.awaits_ack()
    }

    /// Whether a bare acknowledgement is in flight that has to be complete before the next one: what is
    /// demanded in the meantime makes one.
    pub const fn is_acking(&self) -> bool {
        self.bare.is_some()
    }

    /// The work request that is to complete so that nothing is left in the device of messages that were
    /// cancelled. Those that are cancelled meanwhile have to wait for their turn.
    pub fn orphan(&mut self) -> Option<u32> {
        self.orphan = self.orphan.filter(|&id| !self.slots.is_complete(id));
        if self.orphan.is_none() && core::mem::take(&mut self.queue.orphans) {
            self.orphan = self.slots.last_awaited();
        }
        self.orphan
    }

    /// Whether messages were cancelled of which something may be left in the device.
    pub const fn has_orphans(&self) -> bool {
        self.queue.orphans
    }

    /// Whether there is anything to hand over.
    pub fn has_work(&self) -> bool {
        self.map_pending
            || self.probe_pending
            || self.current.is_some()
            || self.queue.next_live(self.queue.sent).is_some()
    }

    /// Forgets the connection; all its work requests are completed or flushed.
    pub fn reset(&mut self, settings: &Settings) {
        self.queue.rewind();
        self.slots = Slots::default();
        self.demand = AckDemand::reset(settings);
        self.current = None;
        self.map_pending = false;
        self.probe_pending = false;
        self.orphan = None;
        self.queue.orphans = false;
        self.bare = None;
        self.only_acks = false;
    }

    /// Notes that work request `id` and all before it are completed; `false` if `id` is not in flight.
    pub fn on_sent(&mut self, id: u32) -> bool {
        let news = self.slots.complete(id);
        if news {
            self.queue.on_completed(&self.slots);
            self.bare = self.bare.filter(|&id| !self.slots.is_complete(id));
        }
        news
    }

    /// Hands over at most `budget` frames, and one for a bare acknowledgement.
    pub fn transmit<E>(
        &mut self,
        cx: &mut Context<'_>,
        budget: u32,
        mut emit: impl FnMut(Frame<'_, M>) -> Result<(), E>,
    ) -> Transmit<E> {
        let ring = cx.settings.send_ring;
        let mut left = budget;
        let end = loop {
            let Some(next) = self.next(ring) else {
                break Transmit::Idle;
            };
            if left == 0 {
                return Transmit::Budget;
            }
            left = left.wrapping_sub(1);
            let wrs = match next {
                Next::Operation(_, wrs) => wrs,
                Next::Map(_) | Next::Fragment(..) => 1,
            };
            if !self.slots.has_room(wrs, ring) {
                bump(&mut cx.stats.tx_ring_full);
                if self.slots.is_mute() {
                    // Pongs and the like are in the way of an operation of many work requests, and none
                    // of them asks for a completion.
                    self.probe_pending = true;
                }
                break Transmit::RingFull;
            }
            let posted = match next {
                Next::Operation(index, wrs) => self.operation(cx, index, wrs, &mut emit),
                Next::Map(offset) => self.map(cx, offset, left > 0, &mut emit),
                Next::Fragment(index, offset, flags) => {
                    self.fragment(cx, index, offset, flags, left > 0, &mut emit)
                }
            };
            if let Err(e) = posted {
                return Transmit::Stopped(e);
            }
        };
        let rest = self.bare_ack(cx, &mut emit);
        match rest.and_then(|()| self.probe(cx, &mut emit)) {
            Ok(()) => end,
            Err(e) => Transmit::Stopped(e),
        }
    }

    fn next(&mut self, ring: u32) -> Option<Next> {
        match self.current {
            Some(Current::Map(offset)) => Some(Next::Map(offset)),
            Some(Current::Message(offset, flags)) => {
                Some(Next::Fragment(self.queue.sent, offset, flags))
            }
            None if self.map_pending => Some(Next::Map(0)),
            None => {
                let index = self.queue.pick(ring)?;
                let entry = self.queue.ring.get(index)?;
                match entry.item.as_ref().and_then(Item::operation) {
                    Some(op) => Some(Next::Operation(index, op.work_requests.max(1))),
                    None => Some(Next::Fragment(index, 0, None)),
                }
            }
        }
    }

    /// Posts the operation of a message.
    fn operation<E>(
        &mut self,
        cx: &mut Context<'_>,
        index: usize,
        wrs: u32,
        emit: &mut impl FnMut(Frame<'_, M>) -> Result<(), E>,
    ) -> Result<(), E> {
        let entry = self.queue.ring.get(index);
        let Some(message) = entry.and_then(Entry::message) else {
            return Ok(());
        };
        let silent = message.operation().is_some_and(|op| op.silent)
            && message.is_empty()
            && message.extensions() == [0; EXT_LEN];
        let id = self.slots.next_id(wrs);
        // Whatever becomes of one that is not repeatable, it is not posted on another connection, where it might fail as well.
        if message.operation().is_some_and(|op| !op.repeatable) {
            self.queue.begin(index);
        }
        let Some(message) = self.queue.ring.get(index).and_then(Entry::message) else {
            return Ok(());
        };
        // A silent operation is done with its own completion.
        let set = cx.settings;
        let signaled = self
            .slots
            .must_signal(wrs, !silent, set.send_ring, set.max_unsignaled);
        emit(Frame {
            id,
            body: Body::Operation(message),
            signaled,
            solicited: false,
            fence: false,
        })?;
        self.queue.start(index);
        if silent {
            self.queue.finish_silent(id);
        } else {
            self.current = Some(Current::Message(0, None));
        }
        self.account(
            cx,
            Posted {
                wrs,
                signaled,
                send: false,
                bare: false,
            },
        );
        Ok(())
    }

    /// Posts a piece of the congestion map.
    fn map<E>(
        &mut self,
        cx: &mut Context<'_>,
        offset: u32,
        more: bool,
        emit: &mut impl FnMut(Frame<'_, M>) -> Result<(), E>,
    ) -> Result<(), E> {
        let len = min(CONG_MAP_LEN.saturating_sub(offset), FRAGMENT_LEN);
        let end = offset.saturating_add(len);
        let last = end >= CONG_MAP_LEN;
        let header = Header {
            len: CONG_MAP_LEN,
            flags: Flags::CONG_BITMAP,
            ..Header::default()
        };
        let shape = Shape {
            last,
            follows: more && (!last || self.queue.next_live(self.queue.sent).is_some()),
            fence: false,
            awaited: false,
        };
        let data = Data::CongMap { offset, len };
        let posted = self.send(cx, header, data, shape, emit)?;
        self.current = if last { None } else { Some(Current::Map(end)) };
        if offset == 0 {
            // A change from here on must be sent again: the first piece may be out already.
            self.map_pending = false;
            bump(&mut cx.stats.cong_update_sent);
        }
        self.account(cx, posted);
        Ok(())
    }

    /// Posts a fragment of a message.
    fn fragment<E>(
        &mut self,
        cx: &mut Context<'_>,
        index: usize,
        offset: u32,
        frozen: Option<Flags>,
        more: bool,
        emit: &mut impl FnMut(Frame<'_, M>) -> Result<(), E>,
    ) -> Result<(), E> {
        let entry = self.queue.ring.get(index);
        let Some((entry, item)) = entry.and_then(|e| Some((e, e.item.as_ref()?))) else {
            return Ok(());
        };
        let total = item.len();
        let (flags, demanded, demand) = match frozen {
            Some(flags) => (flags, false, self.demand),
            None => self.first_flags(cx.settings, entry, item),
        };
        let mut header = Header {
            seq: entry.seq,
            len: total,
            flags,
            ..Header::default()
        };
        let len = min(total.saturating_sub(offset), FRAGMENT_LEN);
        let end = offset.saturating_add(len);
        let last = end >= total;
        let mut data = Data::None;
        match item {
            Item::Message(message) => {
                header.sport = message.sport();
                header.dport = message.dport();
                header.ext = message.extensions();
                data = Data::Message {
                    message,
                    offset,
                    len,
                };
            }
            Item::Pong(port) => {
                header.sport = PING_PORT;
                header.dport = *port;
            }
            Item::Hello => {
                header.sport = PROBE_PORT;
                header.dport = PING_PORT;
            }
        }
        if let Some(hello) = cx.hello {
            if Greeting::of(&header).is_some() {
                header.ext = hello.extensions();
            }
        }
        let after = index.wrapping_add(1);
        let shape = Shape {
            last,
            follows: more && (!last || self.map_pending || self.queue.next_live(after).is_some()),
            fence: item.operation().is_some_and(|op| op.fence),
            awaited: false,
        };
        let posted = self.send(cx, header, data, shape, emit)?;
        if frozen.is_none() {
            if flags.contains(Flags::ACK_REQUIRED) {
                self.queue.demanded = header.seq;
            }
            self.queue.start(index);
            self.demand = demand;
            if demanded {
                bump(&mut cx.stats.send_ack_required);
            }
            if flags.contains(Flags::RETRANSMITTED) {
                bump(&mut cx.stats.send_retransmitted);
            }
        }
        if last {
            self.queue.finish();
            self.current = None;
        } else {
            self.current = Some(Current::Message(end, Some(flags)));
        }
        self.account(cx, posted);
        Ok(())
    }

    /// The flags of a message's first fragment, and the budgets after it.
    fn first_flags(
        &self,
        settings: &Settings,
        entry: &Entry<M>,
        item: &Item<M>,
    ) -> (Flags, bool, AckDemand) {
        let (demanded, demand) = self.demand.charge(item.len(), settings);
        let mut flags = Flags::NONE;
        if let Item::Message(message) = item {
            if message.flags().contains(Flags::EXTENSION) {
                flags = flags.with(Flags::EXTENSION);
            }
        }
        if self.queue.is_resend(entry.seq) {
            flags = flags.with(Flags::RETRANSMITTED).with(Flags::ACK_REQUIRED);
        }
        if demanded || entry.ack_required {
            flags = flags.with(Flags::ACK_REQUIRED);
        }
        (flags, demanded, demand)
    }

    /// Posts one SEND, with the acknowledgement filled in.
    pub(super) fn send<E>(
        &self,
        cx: &Context<'_>,
        header: Header,
        data: Data<'_, M>,
        shape: Shape,
        emit: &mut impl FnMut(Frame<'_, M>) -> Result<(), E>,
    ) -> Result<Posted, E> {
        let set = cx.settings;
        let bare = match data {
            Data::None => true,
            Data::Message { len, .. } => len <= set.copied,
            Data::CongMap { .. } => false,
        };
        let signaled = self.slots.must_signal(
            1,
            !shape.awaited && (shape.follows || (bare && !self.slots.is_owing())),
            set.send_ring,
            set.max_unsignaled,
        );
        let header = Header {
            ack: cx.ack.value(),
            ..header
        };
        emit(Frame {
            id: self.slots.next_id(1),
            body: Body::Send {
                header: header.emit(),
                data,
            },
            signaled,
            solicited: shape.last,
            fence: shape.fence,
        })?;
        Ok(Posted {
            wrs: 1,
            signaled,
            send: true,
            bare,
        })
    }

    /// Books what was posted.
    pub(super) fn account(&mut self, cx: &mut Context<'_>, posted: Posted) {
        self.slots.post(posted.wrs, posted.signaled, posted.bare);
        if posted.send {
            bump(&mut cx.stats.tx_frames);
            self.probe_pending = false;
            self.only_acks = false;
            cx.ack.sent();
        }
    }
}
