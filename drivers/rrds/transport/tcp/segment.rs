// SPDX-License-Identifier: GPL-2.0

//! A frame, as it is given to TCP.

use crate::message::{
    Message,
    Outgoing, //
};
use kernel::{
    num::casts::u32_as_usize,
    prelude::*,
    sync::Arc, //
};
use krdma::page::PagePart;
use rds_proto::{
    consts::HEADER_LEN,
    send::{
        Body,
        Data,
        Frame, //
    },
    tcp::place, //
};

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
    /// So many bytes of the message, from this one on.
    Message(Arc<Message>, u32, usize),
    Map(KVec<u8>),
}

impl Segment {
    /// Makes one of a frame. `map` copies our congestion map from a byte on.
    pub(super) fn new(
        frame: &Frame<'_, Outgoing>,
        map: impl FnOnce(usize, &mut [u8]),
    ) -> Result<Self> {
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
                message,
                offset,
                len,
            } => {
                segment.data = Piece::Message(message.message().clone(), offset, u32_as_usize(len));
            }
            Data::CongMap { offset, len } => {
                let mut bytes = KVec::from_elem(0, u32_as_usize(len), GFP_ATOMIC)?;

                map(u32_as_usize(offset), &mut bytes);
                segment.data = Piece::Map(bytes);
            }
        }
        Ok(segment)
    }

    /// Returns how many bytes it has.
    pub(super) fn len(&self) -> usize {
        let data = match &self.data {
            Piece::None => 0,
            Piece::Message(_, _, len) => *len,
            Piece::Map(bytes) => bytes.len(),
        };

        self.head_len().saturating_add(data)
    }

    /// Whether its data is in pages.
    pub(super) fn is_in_pages(&self) -> bool {
        match &self.data {
            Piece::Message(message, offset, _) => message.payload().is_in_pages(*offset),
            Piece::None | Piece::Map(_) => false,
        }
    }

    /// Returns what comes next when the first `done` bytes are sent, as far as a page reaches, if that is in pages.
    pub(super) fn part(&self, done: usize) -> Option<PagePart<'_>> {
        match &self.data {
            Piece::Message(message, offset, len) => {
                let from = done.checked_sub(self.head_len())?;

                message.payload().part(*offset, from, *len)
            }
            Piece::None | Piece::Map(_) => None,
        }
    }

    /// Returns how long its header is.
    fn head_len(&self) -> usize {
        self.head.as_ref().map_or(0, |head| head.len())
    }

    /// Returns what is left of its header when the first `done` bytes are sent, and of its data, if that is not in pages.
    pub(super) fn copied(&self, done: usize) -> [&[u8]; 2] {
        let head = self.head.as_ref().map_or(&[][..], |head| head);
        let data = match &self.data {
            Piece::Message(message, offset, _) if !self.is_in_pages() => {
                message.payload().piece_at(*offset).unwrap_or_default()
            }
            Piece::None | Piece::Message(..) => &[][..],
            Piece::Map(bytes) => bytes,
        };

        [
            head.get(done..).unwrap_or_default(),
            data.get(done.saturating_sub(head.len())..)
                .unwrap_or_default(),
        ]
    }
}
