// SPDX-License-Identifier: GPL-2.0

//! Send requests.

use super::operation::Part;
use crate::message::{
    Message,
    Outgoing, //
};
use kernel::{
    num::casts::u32_as_usize,
    prelude::*, //
};
use krdma::rdma::{
    dma::{
        Mapping,
        SharedMapping,
        ToDevice, //
    },
    mr::Remote,
    post::{
        Flags,
        Links,
        With, //
    },
    request::Status,
    Device,
    Request, //
};
use rds_proto::{
    consts::HEADER_LEN,
    send::{
        Body,
        Data,
        Frame, //
    },
};

pub(super) type SendRequest = Pin<KBox<Request<Sending>>>;

/// Room for the header of a frame, and for data that is short: it is copied, so that the frame is in
/// one piece.
const ROOM: usize = 256;

/// Bytes of data up to which they are copied.
pub(super) const COPIED: u32 = (ROOM - HEADER_LEN) as u32;

/// A send request: a frame.
pub(super) struct Sending {
    room: Mapping<KBox<[u8; ROOM]>, ToDevice>,
    /// Bytes of `room` that are sent; none for a probe.
    len: u32,
    data: Piece,
    /// Its number, if the path is to know when it is done.
    id: Option<u32>,
}

/// Data that follows the header.
enum Piece {
    None,
    Message(SharedMapping<Message>),
    Map(Mapping<KVec<u8>, ToDevice>),
    /// No data follows, and no header goes ahead.
    Operation(Part),
}

impl Sending {
    /// Makes a send request for a device.
    pub(super) fn new(dev: &Device) -> Result<SendRequest> {
        Request::new(
            Self {
                room: Mapping::new(dev, KBox::new([0; ROOM], GFP_ATOMIC)?)?,
                len: 0,
                data: Piece::None,
                id: None,
            },
            GFP_ATOMIC,
        )
    }

    /// Describes the frame to the device.
    pub(super) fn describe<'a>(&'a self, links: &mut Links<'a, '_>, flags: Flags) -> Result {
        let head = self.room.sge().slice(0..self.len)?;

        match &self.data {
            Piece::Operation(part) => part.describe(links),
            _ if self.len == 0 => {
                let nowhere = Remote { addr: 0, key: 0 };
                links.write(&[], nowhere, None, flags)
            }
            Piece::None => links.send(&[head], With::Nothing, flags),
            Piece::Message(data) => links.send(&[head, data.sge()], With::Nothing, flags),
            Piece::Map(data) => links.send(&[head, data.sge()], With::Nothing, flags),
        }
    }

    /// Forgets the frame, and gives up the message that it is of.
    pub(super) fn clear(&mut self) {
        self.len = 0;
        self.data = Piece::None;
    }

    /// Returns the number of the frame, if the path is to know when it is done.
    pub(super) fn id(&self) -> Option<u32> {
        self.id
    }

    /// Takes in a part of an operation. `id` is its number, if the path is to know when it is done.
    pub(super) fn operate(&mut self, part: Part, id: Option<u32>) {
        self.id = id;
        self.data = Piece::Operation(part);
    }

    /// Whether it is a part of an operation.
    #[inline]
    pub(super) fn is_operation(&self) -> bool {
        matches!(self.data, Piece::Operation(_))
    }

    /// Notes how a part of an operation has ended. Any context.
    pub(super) fn end(&self, status: Status) {
        if let Piece::Operation(part) = &self.data {
            part.end(status);
        }
    }

    /// Takes in a frame. `map` copies our congestion map from a byte on.
    #[inline]
    pub(super) fn fill(
        &mut self,
        dev: &Device,
        frame: &Frame<'_, Outgoing>,
        map: impl FnOnce(usize, &mut [u8]),
    ) -> Result {
        self.id = frame.signaled.then_some(frame.id);
        let (header, data) = match &frame.body {
            Body::Send { header, data } => (header, data),
            Body::Probe => return Ok(()),
            // It is taken in part by part.
            Body::Operation(_) => return Err(EINVAL),
        };

        let mut room = self.room.cpu();
        let (head, rest) = room.split_at_mut(HEADER_LEN);
        head.copy_from_slice(header);
        self.len = HEADER_LEN as u32;
        match *data {
            Data::None => {}
            Data::Message {
                message, offset, ..
            } => {
                let handle = message.message();
                match handle.payload().piece_at(offset) {
                    None => {}
                    Some(piece) if piece.len() <= rest.len() => {
                        if let Some(rest) = rest.get_mut(..piece.len()) {
                            rest.copy_from_slice(piece);
                        }
                        self.len = (HEADER_LEN + piece.len()) as u32;
                    }
                    Some(_) => {
                        self.data =
                            Piece::Message(SharedMapping::new(dev, handle.clone(), |message| {
                                message.payload().piece_at(offset)
                            })?);
                    }
                }
            }
            Data::CongMap { offset, len } => {
                let mut bytes = KVec::from_elem(0, u32_as_usize(len), GFP_ATOMIC)?;

                map(u32_as_usize(offset), &mut bytes);
                self.data = Piece::Map(Mapping::new(dev, bytes)?);
            }
        }
        Ok(())
    }
}
