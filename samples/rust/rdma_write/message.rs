// SPDX-License-Identifier: GPL-2.0

//! What the two sides say to each other.

use crate::Failure;
use kernel::{
    prelude::*,
    sync::Arc, //
};
use krdma::rdma::{
    dma::{
        FromDevice,
        Mapping,
        ToDevice, //
    },
    mr::Remote,
    post::RecvBatch,
    request::Status,
    Completion,
    Device,
    Operation,
    Qp,
    Request, //
};

/// Bytes of a message.
const LEN: usize = 24;

#[derive(Clone, Copy)]
pub(crate) enum Message {
    /// B: this memory is yours to write, so many bytes of it.
    Lend(Remote, u32),
    /// A: I have written.
    Written,
    /// B: the memory is mine again.
    Revoked,
}

impl Message {
    fn encode(self) -> [u8; LEN] {
        let (kind, remote, len) = match self {
            Self::Lend(remote, len) => (1u32, remote, len),
            Self::Written => (2, Remote { addr: 0, key: 0 }, 0),
            Self::Revoked => (3, Remote { addr: 0, key: 0 }, 0),
        };
        let mut bytes = [0; LEN];

        bytes[0..4].copy_from_slice(&kind.to_be_bytes());
        bytes[4..8].copy_from_slice(&remote.key.to_be_bytes());
        bytes[8..16].copy_from_slice(&remote.addr.to_be_bytes());
        bytes[16..20].copy_from_slice(&len.to_be_bytes());
        bytes
    }

    fn decode(bytes: &[u8; LEN]) -> Option<Self> {
        let word = |at: usize| {
            let bytes = bytes.get(at..at + 4)?;

            Some(u32::from_be_bytes(bytes.try_into().ok()?))
        };

        match word(0)? {
            1 => {
                let addr = u64::from(word(8)?) << 32 | u64::from(word(12)?);
                let remote = Remote {
                    addr,
                    key: word(4)?,
                };

                Some(Self::Lend(remote, word(16)?))
            }
            2 => Some(Self::Written),
            3 => Some(Self::Revoked),
            _ => None,
        }
    }
}

/// A message to be sent, in memory that the device reads.
pub(crate) type Letter = Mapping<KBox<[u8; LEN]>, ToDevice>;

pub(crate) fn letter(dev: &Device, message: Message) -> Result<Letter> {
    Mapping::new(dev, KBox::new(message.encode(), GFP_KERNEL)?)
}

/// A side of the conversation.
pub(crate) trait Side: Sized + Send + Sync + 'static {
    fn qp(&self) -> &Qp;

    /// A message has come, by the request that `completion` is of.
    fn read(self: &Arc<Self>, message: Message, completion: &Completion<'_>)
        -> Result<(), Failure>;

    /// Something went wrong.
    fn fail(&self, failure: Failure);

    /// Notes a request that has not ended well.
    fn fail_by(&self, status: Status) {
        // What is flushed has not failed by itself.
        if status != Status::Flushed {
            self.fail(Failure::Request(status));
        }
    }
}

/// A message to be received, in memory that the device writes.
struct Mailbox<S: Side> {
    bytes: Mapping<KBox<[u8; LEN]>, FromDevice>,
    side: Arc<S>,
}

/// Makes a side ready for the next message.
pub(crate) fn receive<S: Side>(side: &Arc<S>) -> Result {
    let mailbox = Mailbox {
        bytes: Mapping::new(side.qp().device(), KBox::new([0; LEN], GFP_KERNEL)?)?,
        side: side.clone(),
    };

    post(side.qp(), Request::new(mailbox, GFP_KERNEL)?)
}

fn post<S: Side>(qp: &Qp, mailbox: Pin<KBox<Request<Mailbox<S>>>>) -> Result {
    let mut batch: RecvBatch<'_, _, _, 1, 1> = RecvBatch::new(qp);

    batch
        .push(mailbox, |mailbox, buffers| {
            buffers.add(&[mailbox.bytes.sge_mut()])
        })
        .map_err(|refused| refused.error)?;
    batch.post().map_err(|unposted| unposted.error)
}

impl<S: Side> Operation for Mailbox<S> {
    fn done(mut this: Pin<KBox<Request<Self>>>, completion: &Completion<'_>) {
        let side = this.data().side.clone();
        if !completion.status().is_success() {
            return side.fail_by(completion.status());
        }

        // The request is back, so the memory is ours.
        let mut bytes = [0; LEN];
        bytes.copy_from_slice(&this.as_mut().data_mut().get_mut().bytes.cpu());

        // There must be a receive again before the message is answered.
        let ret = post(side.qp(), this)
            .map_err(Failure::Local)
            .and_then(|()| {
                let message = Message::decode(&bytes).ok_or(Failure::Confused)?;

                side.read(message, completion)
            });
        if let Err(failure) = ret {
            side.fail(failure);
        }
    }
}
