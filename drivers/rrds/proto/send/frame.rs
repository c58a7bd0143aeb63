// SPDX-License-Identifier: GPL-2.0

//! What is handed to the transport for posting.

use crate::consts::HEADER_LEN;

/// The data of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Data<'a, M> {
    /// None: the frame belongs to no message of a socket.
    None,
    /// A piece of a message.
    Message {
        /// The message.
        message: &'a M,
        /// Where the piece starts, in bytes.
        offset: u32,
        /// Length of the piece in bytes, at most 4096; 0 if the message is empty.
        len: u32,
    },
    /// A piece of the local address's congestion map, as it is now.
    CongMap {
        /// Where the piece starts, in bytes.
        offset: u32,
        /// Length of the piece in bytes.
        len: u32,
    },
}

/// What to post.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Body<'a, M> {
    /// A SEND of a header and data.
    Send {
        /// The header as it goes on the wire.
        header: [u8; HEADER_LEN],
        /// The data behind it.
        data: Data<'a, M>,
    },
    /// The RDMA or atomic operation of the message; all of its work requests or none.
    Operation(&'a M),
    /// An RDMA WRITE of no bytes to address 0 with key 0, see [`probe`](crate::probe).
    Probe,
}

/// A frame to post, or the operation ahead of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame<'a, M> {
    /// Number of its last work request, for [`Path::on_sent`](crate::path::Path::on_sent).
    pub id: u32,
    /// What to post.
    pub body: Body<'a, M>,
    /// Whether the last work request must ask for a completion.
    pub signaled: bool,
    /// Whether the peer is to be woken (solicited event).
    pub solicited: bool,
    /// Whether the frame must wait for earlier RDMA READs.
    pub fence: bool,
}

/// Why a batch ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transmit<E> {
    /// Nothing is left to send.
    Idle,
    /// The batch limit was reached; there may be more.
    Budget,
    /// The ring is full; a completion will make room.
    RingFull,
    /// The path is not up.
    NotUp,
    /// The closure failed; nothing of the frame it failed on has changed.
    Stopped(E),
}
