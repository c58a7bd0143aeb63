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
use krdma::page::SharedPage;
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
    /// From this byte of the message on.
    Message(Arc<Message>, u32),
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

    /// Returns how many bytes it has.
    pub(super) fn len(&self) -> usize {
        self.bytes(0).iter().map(|piece| piece.len()).sum()
    }

    /// Returns the page that is what is left of it when the first `done` bytes are sent, and from where on; none if that
    /// is no page.
    pub(super) fn page(&self, done: usize) -> Option<(&SharedPage, usize)> {
        let from = done.checked_sub(self.head_len())?;

        Some((self.data_page()?, from))
    }

    /// Returns how long its header is.
    pub(super) fn head_len(&self) -> usize {
        self.head.as_ref().map_or(0, |head| head.len())
    }

    fn data_page(&self) -> Option<&SharedPage> {
        match &self.data {
            Piece::Message(message, offset) => message.payload().page_at(*offset),
            Piece::None | Piece::Map(_) => None,
        }
    }

    /// Returns what is left of its header when the first `done` bytes are sent, and of its data, if that is no page.
    pub(super) fn copied(&self, done: usize) -> [&[u8]; 2] {
        let [head, data] = self.bytes(done);

        match self.data_page() {
            Some(_) => [head, &[]],
            None => [head, data],
        }
    }

    /// Returns its bytes but for the first `done`: those of the header, and the data.
    fn bytes(&self, done: usize) -> [&[u8]; 2] {
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
