// SPDX-License-Identifier: GPL-2.0

//! What waits to be sent on a connection.

use super::shown::Shown;
use crate::{
    message::{
        Message,
        Outgoing, //
    },
    path, //
};
use kernel::{
    new_spinlock_irq,
    num::casts::u32_as_usize,
    prelude::*,
    sync::{
        Arc,
        SpinLockIrq, //
    },
};
use krdma::work::Waker;
use rds_proto::{
    conn::ConnId,
    consts::HEADER_LEN,
    ring::Ring,
    send::{
        Body,
        Data,
        Frame, //
    },
    settings::Settings,
    tcp::{
        lane_of_source,
        place, //
    },
};

/// Frames that may be on their way, or wait to be sent.
pub(super) const RING: usize = 253;

/// A frame to be sent.
pub(super) struct Segment {
    pub(super) id: u32,
    /// The number of the message that ends with it.
    pub(super) ends: Option<u64>,
    /// How many bytes the message has in the stream that begins with it, with its header.
    pub(super) begins: Option<u32>,
    head: Option<[u8; HEADER_LEN]>,
    data: Piece,
}

/// The data of a frame.
enum Piece {
    None,
    /// From this byte of the message on.
    Message(Arc<Message>, u32),
    Map(KVec<u8>),
}

impl Segment {
    /// Makes one of a frame. `map` copies our congestion map from a byte on.
    fn new(frame: &Frame<'_, Outgoing>, map: impl FnOnce(usize, &mut [u8])) -> Result<Self> {
        let mut segment = Self {
            id: frame.id,
            ends: None,
            begins: None,
            head: None,
            data: Piece::None,
        };
        let (header, data) = match &frame.body {
            Body::Send { header, data } => (header, data),
            // TCP finds out by itself.
            Body::Probe => return Ok(segment),
            // No socket accepts one.
            Body::Operation(_) => return Err(EOPNOTSUPP),
        };
        let placed = place(header, data);

        segment.head = placed.head;
        segment.ends = placed.ends;
        segment.begins = placed.begins;
        match *data {
            Data::None => {}
            Data::Message {
                message, offset, ..
            } => segment.data = Piece::Message(message.message().clone(), offset),
            Data::CongMap { offset, len } => {
                let mut bytes = KVec::from_elem(0, u32_as_usize(len), GFP_ATOMIC)?;

                map(u32_as_usize(offset), &mut bytes);
                segment.data = Piece::Map(bytes);
            }
        }
        Ok(segment)
    }

    /// Returns its bytes but for the first `done`: those of the header, and the data.
    pub(super) fn bytes(&self, done: usize) -> [&[u8]; 2] {
        let head = self.head.as_ref().map_or(&[][..], |head| head);
        let data = match &self.data {
            Piece::None => &[][..],
            Piece::Message(message, offset) => {
                message.payload().piece_at(*offset).unwrap_or_default()
            }
            Piece::Map(bytes) => bytes,
        };

        [
            head.get(done..).unwrap_or_default(),
            data.get(done.saturating_sub(head.len())..)
                .unwrap_or_default(),
        ]
    }
}

/// A connection, as senders have it.
#[pin_data]
pub(crate) struct Link {
    conn: ConnId,
    waker: Waker,
    shown: Shown,
    #[pin]
    waiting: SpinLockIrq<Ring<Segment, KVec<Option<Segment>>>>,
}

impl Link {
    /// Makes one, whose job `waker` wakes.
    pub(super) fn new(conn: ConnId, waker: Waker) -> Result<Arc<Self>> {
        let slots = path::slots(RING, GFP_KERNEL)?;

        Arc::pin_init(
            pin_init!(Self {
                conn,
                waker,
                shown: Shown::new(),
                waiting <- new_spinlock_irq!(Ring::new(slots), "rrds::tcp::Link::waiting"),
            }),
            GFP_KERNEL,
        )
    }

    /// Returns what lists show of it.
    pub(crate) fn shown(&self) -> &Shown {
        &self.shown
    }

    /// Takes the frame out that comes next, and says whether another one follows.
    pub(super) fn next(&self) -> Option<(Segment, bool)> {
        let mut waiting = self.waiting.lock();
        let segment = waiting.pop_front()?;

        Some((segment, !waiting.is_empty()))
    }
}

impl path::Link for Link {
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
        self.waiting.lock().push_back(segment).map_err(|_| ENOMEM)?;
        *batch = true;
        Ok(())
    }

    fn flush(&self, batch: &mut bool) -> Result {
        if core::mem::take(batch) {
            self.waker.wake();
        }
        Ok(())
    }

    fn drain(&self) {
        // What has come in was read when the connection was hung up, but for what nobody is left to read.
    }
}
