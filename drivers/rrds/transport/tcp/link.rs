// SPDX-License-Identifier: GPL-2.0

//! A connection, as senders have it.
//!
//! Frames are posted with the path's lock held, where nothing can be sent: TCP calls back with the lock of the
//! socket held, and the path's lock is taken inside that one. They are sent after it, by who has posted them if
//! that may sleep, or else by the connection's job.

use super::{
    segment::Segment,
    shown::Shown, //
};
use crate::{
    message::Outgoing,
    path, //
};
use kernel::{
    new_mutex,
    new_spinlock_irq,
    prelude::*,
    sync::{
        atomic::{
            Atomic,
            Relaxed, //
        },
        Arc,
        Mutex,
        SpinLockIrq, //
    },
    time::Delta, //
};
use krdma::{
    net::tcp::{
        Connection,
        Handler,
        MAX_PIECES, //
    },
    page::PagePart,
    work::Waker,
};
use rds_proto::{
    conn::ConnId,
    ring::Ring,
    send::Frame,
    settings::Settings,
    tcp::{
        lane_of_source,
        Acked,
        InFlight,
        Mark, //
    },
};

/// Frames that may be on their way, or wait to be sent.
pub(super) const RING: usize = 253;

/// Frames that are given to TCP by one call if they are copied: a header and data each.
const BATCH: usize = MAX_PIECES / 2;

/// How often a connection is looked at while something is on its way to the peer.
pub(super) const WATCH: Delta = Delta::from_millis(5000);

/// A connection, as senders have it. `H` is what TCP calls: it refers to the link.
#[pin_data]
pub(crate) struct Link<H: Handler> {
    conn: ConnId,
    /// Wakes the job of the connection.
    waker: Waker,
    shown: Shown,
    connection: Connection<H>,
    /// Frames that nobody sends yet.
    #[pin]
    posted: SpinLockIrq<Ring<Segment, KVec<Option<Segment>>>>,
    #[pin]
    sending: Mutex<Sending>,
    #[pin]
    in_flight: SpinLockIrq<InFlight<KVec<Option<Mark>>>>,
    /// TCP has had no room.
    is_blocked: Atomic<bool>,
}

/// What is being sent. Only who has this takes out what is posted, in the order of the path: so that is the order in
/// the stream.
struct Sending {
    segments: Ring<Segment, KVec<Option<Segment>>>,
    /// Bytes of the first one that TCP has.
    done: usize,
    /// TCP has what could not be noted.
    has_failed: bool,
}

/// How far sending has come.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Sent {
    All,
    /// TCP has no room.
    Blocked,
    /// There is more, for somebody else to send: others may post all the while.
    Budget,
}

impl<H: Handler> Link<H> {
    /// Makes one of a connection, whose job `waker` wakes.
    pub(super) fn new(conn: ConnId, waker: Waker, connection: Connection<H>) -> Result<Arc<Self>> {
        let posted = path::slots(RING, GFP_KERNEL)?;
        let in_flight = path::slots(RING, GFP_KERNEL)?;
        let sending = Sending {
            segments: Ring::new(path::slots(BATCH, GFP_KERNEL)?),
            done: 0,
            has_failed: false,
        };

        Arc::pin_init(
            pin_init!(Self {
                conn,
                waker,
                shown: Shown::new(),
                connection,
                posted <- new_spinlock_irq!(Ring::new(posted), "rrds::tcp::Link::posted"),
                sending <- new_mutex!(sending, "rrds::tcp::Link::sending"),
                in_flight <- new_spinlock_irq!(
                    InFlight::new(in_flight),
                    "rrds::tcp::Link::in_flight"
                ),
                is_blocked: Atomic::new(false),
            }),
            GFP_KERNEL,
        )
    }

    pub(super) fn connection(&self) -> &Connection<H> {
        &self.connection
    }

    /// Returns what lists show of it.
    pub(crate) fn shown(&self) -> &Shown {
        &self.shown
    }

    /// Gives to TCP what was posted, as far as there is room. Sleeps.
    ///
    /// Errors: Those of [`Connection::send`]: the connection is of no use any more.
    pub(super) fn send_posted(&self) -> Result<Sent> {
        let mut sending = self.sending.lock();
        let mut budget = RING;

        if sending.has_failed {
            return Err(ENOBUFS);
        }
        loop {
            let follows = sending.refill(&mut self.posted.lock());
            if sending.segments.is_empty() {
                self.is_blocked.store(false, Relaxed);
                return Ok(Sent::All);
            }
            if budget == 0 {
                return Ok(Sent::Budget);
            }
            let begin = self.connection.next_sequence();
            let count = match sending.give(&self.connection, follows) {
                Ok(count) => count,
                Err(EAGAIN) => {
                    self.is_blocked.store(true, Relaxed);
                    return Ok(Sent::Blocked);
                }
                Err(err) => return Err(err),
            };
            let given = sending.on_given(count);
            self.note(&mut sending, begin, given)?;
            budget = budget.saturating_sub(given.0.max(1));
        }
    }

    /// Notes that TCP has the first `count` frames as a whole, with numbers from `begin` on, and forgets them.
    ///
    /// Errors: [`ENOBUFS`] if more is on its way than may be.
    fn note(&self, sending: &mut Sending, begin: u32, (count, first): (usize, usize)) -> Result {
        let mut end = begin;
        // Some of the first one was there before.
        let mut before = first;

        {
            let mut in_flight = self.in_flight.lock();
            for index in 0..count {
                let Some(segment) = sending.segments.get(index) else {
                    break;
                };
                // CAST: A frame has at most 4144 bytes.
                let len = segment.len() as u32;
                let start = end.wrapping_sub(core::mem::take(&mut before) as u32);

                end = start.wrapping_add(len);
                if let Some(len) = segment.begins {
                    self.shown.on_sent(start, start.wrapping_add(len));
                }
                let mark = Mark {
                    end,
                    id: segment.id,
                    seq: segment.ends,
                };
                sending.has_failed |= in_flight.push(mark).is_err();
            }
        }
        // Without that lock: it may be the last that refers to a message.
        for _ in 0..count {
            sending.segments.pop_front();
        }
        if sending.has_failed {
            return Err(ENOBUFS);
        }
        Ok(())
    }

    /// Has [`Handler::write_space`] called when more is acknowledged, if something is on its way, and returns what was
    /// acknowledged since the last time, and whether something is on its way still. Any context.
    pub(super) fn settle(&self) -> (Option<Acked>, bool) {
        let mut in_flight = self.in_flight.lock();

        if !in_flight.is_empty() {
            // Ahead of the look.
            self.connection.want_space();
        }
        let una = self.connection.unacknowledged();
        self.shown.on_acked(una);
        (in_flight.on_una(una), !in_flight.is_empty())
    }

    /// Whether something is on its way. Any context.
    fn is_in_flight(&self) -> bool {
        !self.in_flight.lock().is_empty()
    }

    /// Whether something waits for room, and there is room by now. After [`settle`](Self::settle), whose lock orders
    /// this after what others have noted. Any context.
    pub(super) fn is_unblocked(&self) -> bool {
        self.is_blocked.load(Relaxed) && self.connection.has_space()
    }
}

impl Sending {
    /// Takes what is posted, as much as is sent together. Returns whether there is more.
    fn refill(&mut self, posted: &mut Ring<Segment, KVec<Option<Segment>>>) -> bool {
        while self.segments.len() < self.segments.capacity() {
            let Some(segment) = posted.pop_front() else {
                return false;
            };
            if self.segments.push_back(segment).is_err() {
                break;
            }
        }
        !posted.is_empty()
    }

    /// Counts frames that TCP has as a whole by now, when it has taken so many bytes more. Returns how many these are, and
    /// how much of the first one it had before.
    fn on_given(&mut self, mut count: usize) -> (usize, usize) {
        let before = self.done;
        let mut whole = 0;

        while let Some(segment) = self.segments.get(whole) {
            let left = segment.len().saturating_sub(self.done);
            if count < left {
                break;
            }
            count -= left;
            self.done = 0;
            // OVERFLOW: It counts frames.
            whole += 1;
        }
        // OVERFLOW: It is less than a frame has.
        self.done += count;
        (whole, before)
    }

    /// Gives bytes to TCP, and returns how many it has taken. `follows` tells whether there will be more at once.
    fn give<H: Handler>(&self, connection: &Connection<H>, follows: bool) -> Result<usize> {
        let count: usize = self.parts().map(|part| part.len()).sum();

        if count == 0 {
            return self.give_copied(connection, follows);
        }
        connection.send_pages(self.parts(), follows || count < self.left())
    }

    /// Returns how many bytes TCP does not have.
    fn left(&self) -> usize {
        let all: usize = (0..self.segments.len())
            .filter_map(|index| self.segments.get(index))
            .map(Segment::len)
            .sum();

        all.saturating_sub(self.done)
    }

    /// Returns what comes next and is in pages, as much as one call takes.
    fn parts(&self) -> impl Iterator<Item = PagePart<'_>> {
        let (mut index, mut done) = (0, self.done);

        core::iter::from_fn(move || loop {
            let segment = self.segments.get(index)?;
            if let Some(part) = segment.part(done) {
                // OVERFLOW: It is at most what the frame has.
                done += part.len();
                return Some(part);
            }
            // Up to a header, or data that is copied.
            if done < segment.len() {
                return None;
            }
            // OVERFLOW: It counts segments.
            (index, done) = (index + 1, 0);
        })
        .take(MAX_PIECES)
    }

    /// Gives bytes to TCP up to the next that are in pages, to be copied.
    fn give_copied<H: Handler>(&self, connection: &Connection<H>, follows: bool) -> Result<usize> {
        let mut pieces = [&[][..]; MAX_PIECES];
        let mut slots = pieces.iter_mut();
        let mut count = 0;
        let mut done = self.done;
        let mut follows = follows;

        for index in 0..self.segments.len() {
            let Some(segment) = self.segments.get(index) else {
                break;
            };
            for piece in segment.copied(done) {
                if piece.is_empty() {
                    continue;
                }
                if let Some(slot) = slots.next() {
                    *slot = piece;
                    // OVERFLOW: It counts slots.
                    count += 1;
                }
            }
            if segment.is_in_pages() {
                follows = true;
                break;
            }
            done = 0;
        }
        match pieces.get(..count) {
            Some(pieces) if !pieces.is_empty() => connection.send(pieces, follows),
            _ => Ok(0),
        }
    }
}

impl<H: Handler> path::Link for Link<H> {
    /// Whether there is a frame.
    type Batch<'a> = bool;

    fn conn(&self) -> ConnId {
        self.conn
    }

    fn number(&self) -> u32 {
        0
    }

    fn lane(&self, count: u8) -> Option<u8> {
        // It is not known of a connection that has ended.
        Some(self.shown.peer_port())
            .filter(|port| *port != 0)
            .map(|port| lane_of_source(port, count))
    }

    fn settings(&self, wanted: Settings) -> Settings {
        Settings {
            // CAST: It is a small number.
            send_ring: wanted.send_ring.min(RING as u32),
            ..wanted
        }
    }

    fn batch(&self) -> bool {
        false
    }

    fn push(
        &self,
        batch: &mut bool,
        frame: &Frame<'_, Outgoing>,
        map: impl FnOnce(usize, &mut [u8]),
    ) -> Result {
        let segment = Segment::new(frame, map)?;

        // There is room for as many as may be on their way.
        self.posted.lock().push_back(segment).map_err(|_| ENOMEM)?;
        *batch = true;
        Ok(())
    }

    fn flush(&self, batch: &mut bool, is_sent_next: bool) -> Result {
        if core::mem::take(batch) && !is_sent_next {
            self.waker.wake();
        }
        Ok(())
    }

    fn send(&self) -> Option<Acked> {
        // What follows soon goes with it, by one call, as if it were by Nagle's rule: nobody waits for the first of them.
        if self.posted.lock().len() < BATCH && self.is_in_flight() {
            self.waker.wake();
            return None;
        }
        // Nor is it tried in vain.
        if self.is_blocked.load(Relaxed) && !self.connection.has_space() {
            return None;
        }
        let sent = self.send_posted();
        let (acked, is_in_flight) = self.settle();

        match sent {
            // Somebody has to notice if nothing comes any more.
            Ok(Sent::All) => self.waker.wake_after(WATCH),
            Ok(Sent::Blocked) if is_in_flight && !self.is_unblocked() => {
                self.waker.wake_after(WATCH);
            }
            // The job goes on, or finds out what to do about it.
            _ => self.waker.wake(),
        }
        acked
    }

    fn drain(&self) {
        // What has come in was read when the connection was hung up, but for what nobody is left to read.
    }
}
