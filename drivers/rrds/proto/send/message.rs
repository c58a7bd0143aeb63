// SPDX-License-Identifier: GPL-2.0

//! What the engine must know of a message to send.

use crate::consts::EXT_LEN;
use crate::wire::Flags;

/// A message to send, owned by the engine from queueing until its [`Outcome`] is told.
///
/// The answers must not change while the engine owns the message.
pub trait Payload {
    /// Length in bytes.
    fn len(&self) -> u32;

    /// Whether there is no data; such messages are sent all the same.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Port of the sending socket.
    fn sport(&self) -> u16;

    /// Port of the receiving socket.
    fn dport(&self) -> u16;

    /// Extension headers, made by [`ExtensionWriter`](crate::wire::ExtensionWriter).
    fn extensions(&self) -> [u8; EXT_LEN] {
        [0; EXT_LEN]
    }

    /// [`Flags::EXTENSION`] if an RDMA_BYTES extension is among the extensions.
    fn flags(&self) -> Flags {
        Flags::NONE
    }

    /// Notes that the message has another number than the one it was queued with: others were sent
    /// before it, or after it.
    fn renumber(&self, seq: u64) {
        let _ = seq;
    }

    /// The RDMA or atomic operation to post ahead of the message.
    fn operation(&self) -> Option<Operation> {
        None
    }
}

/// An RDMA or atomic operation that a message carries (spec-rdma).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Operation {
    /// Number of work requests it takes; all or none of them are posted.
    pub work_requests: u32,
    /// Whether it may be executed again after a reconnect. If not, a message whose operation was
    /// posted on a lost connection is dropped (spec-retransmit).
    pub repeatable: bool,
    /// Whether no SEND follows if the message is empty and has no extensions: the peer's software sees
    /// nothing of it, and it is done with its completion.
    pub silent: bool,
    /// Whether the message is to wait for the operation (RDS_RDMA_FENCE).
    pub fence: bool,
}

/// How a message ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The peer acknowledged it, or a silent operation completed.
    Done,
    /// The application cancelled it, or closed its socket.
    Cancelled,
    /// It could not be sent again on a new connection (status 3, spec-cmsg).
    Dropped,
}

/// What an entry of the send queue stands for.
#[derive(Debug)]
pub enum Item<M> {
    /// A message of a socket.
    Message(M),
    /// The answer to a ping from this port of the peer.
    Pong(u16),
    /// A ping that tells who we are, see [`tcp::Hello`](crate::tcp::Hello).
    Hello,
}

impl<M: Payload> Item<M> {
    /// Length in bytes.
    pub(crate) fn len(&self) -> u32 {
        match self {
            Self::Message(m) => m.len(),
            Self::Pong(_) | Self::Hello => 0,
        }
    }

    /// The operation to post ahead, if any.
    pub(crate) fn operation(&self) -> Option<Operation> {
        match self {
            Self::Message(m) => m.operation(),
            Self::Pong(_) | Self::Hello => None,
        }
    }
}
