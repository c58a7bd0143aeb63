// SPDX-License-Identifier: GPL-2.0

//! Requests that are counted, and what their handlers do.

use crate::bench;
use kernel::{
    prelude::*,
    sync::{
        atomic::{
            ordering::Relaxed,
            Atomic, //
        },
        Arc, //
    },
};
use krdma::rdma::{
    dma::{
        Bidirectional,
        Mapping, //
    },
    post::{
        Flags,
        RecvBatch,
        RecvTarget,
        SendBatch,
        With, //
    },
    qp::Poster,
    srq::SrqHandle,
    Completion,
    Device,
    Operation,
    Qp,
    Request, //
};

/// Bytes of a message.
const LEN: usize = 64;

/// Counts requests.
pub(crate) struct Tally {
    alive: Atomic<u32>,
    handled: Atomic<u32>,
    refused: Atomic<u32>,
    received: Atomic<u32>,
}

impl Tally {
    pub(crate) fn new() -> Result<Arc<Self>> {
        let tally = Self {
            alive: Atomic::new(0),
            handled: Atomic::new(0),
            refused: Atomic::new(0),
            received: Atomic::new(0),
        };

        Ok(Arc::new(tally, GFP_KERNEL)?)
    }

    /// Handlers that were called, and those among them with a message.
    pub(crate) fn handled(&self) -> u32 {
        self.handled.load(Relaxed)
    }

    pub(crate) fn received(&self) -> u32 {
        self.received.load(Relaxed)
    }

    /// Requests that handlers could not post, as the queue was being emptied.
    pub(crate) fn refused(&self) -> u32 {
        self.refused.load(Relaxed)
    }

    /// Notes what came of an attempt to post. Errors: those that there is no reason for.
    pub(crate) fn note(&self, posted: Result) -> Result {
        match posted {
            Err(err) if err == ESHUTDOWN => {
                self.refused.fetch_add(1, Relaxed);
                Ok(())
            }
            posted => posted,
        }
    }

    /// Waits until all requests have gone: each has been given back, and its memory is free.
    #[track_caller]
    pub(crate) fn expect_none_alive(&self) -> Result {
        bench::within(|| self.alive.load(Relaxed) == 0)
            .inspect_err(|_| pr_err!("{} requests are lost\n", self.alive.load(Relaxed)))
    }
}

/// A request that is counted, and what its handler does with it.
pub(crate) struct Piece {
    buffer: Mapping<KVec<u8>, Bidirectional>,
    pub(crate) tally: Arc<Tally>,
    pub(crate) srq: Option<SrqHandle>,
    then: Deed,
}

pub(crate) type Counted = Pin<KBox<Request<Piece>>>;

/// What a handler does.
pub(crate) type Deed = fn(Counted, &Completion<'_>);

/// Nothing: the request goes.
pub(crate) fn end(_request: Counted, _completion: &Completion<'_>) {}

impl Piece {
    pub(crate) fn new(dev: &Device, tally: &Arc<Tally>, then: Deed) -> Result<Counted> {
        Self::with(dev, tally, None, then)
    }

    pub(crate) fn with(
        dev: &Device,
        tally: &Arc<Tally>,
        srq: Option<SrqHandle>,
        then: Deed,
    ) -> Result<Counted> {
        let buffer = Mapping::new(dev, KVec::from_elem(0, LEN, GFP_KERNEL)?)?;

        tally.alive.fetch_add(1, Relaxed);
        Request::new(
            Self {
                buffer,
                tally: tally.clone(),
                srq,
                then,
            },
            GFP_KERNEL,
        )
    }
}

impl Drop for Piece {
    fn drop(&mut self) {
        self.tally.alive.fetch_sub(1, Relaxed);
    }
}

impl Operation for Piece {
    fn done(this: Counted, completion: &Completion<'_>) {
        let piece = this.data();

        piece.tally.handled.fetch_add(1, Relaxed);
        if completion.received().is_some() {
            piece.tally.received.fetch_add(1, Relaxed);
        }
        (piece.then)(this, completion);
    }
}

/// Posts a receive.
pub(crate) fn receive<Q: RecvTarget>(queue: &Q, request: Counted) -> Result {
    let mut batch: RecvBatch<'_, _, Q, 1, 1> = RecvBatch::new(queue);

    batch
        .push(request, |piece, buffers| {
            buffers.add(&[piece.buffer.sge_mut()])
        })
        .map_err(|refused| refused.error)?;
    batch.post().map_err(|unposted| unposted.error)
}

/// The most requests that are posted by one call here.
pub(crate) const MANY: usize = 16;

/// Posts so many receives by one call.
pub(crate) fn receive_many<Q: RecvTarget>(
    queue: &Q,
    count: u32,
    request: impl Fn() -> Result<Counted>,
) -> Result {
    let mut batch: RecvBatch<'_, _, Q, MANY, MANY> = RecvBatch::new(queue);

    for _ in 0..count {
        batch
            .push(request()?, |piece, buffers| {
                buffers.add(&[piece.buffer.sge_mut()])
            })
            .map_err(|refused| refused.error)?;
    }
    batch.post().map_err(|unposted| unposted.error)
}

/// Posts so many messages by one call.
pub(crate) fn send_many(qp: &Qp, count: u32, request: impl Fn() -> Result<Counted>) -> Result {
    let mut batch: SendBatch<'_, _, MANY, MANY> = SendBatch::new(qp);

    for _ in 0..count {
        batch
            .push(request()?, |piece, links| {
                links.send(&[piece.buffer.sge()], With::Nothing, Flags::default())
            })
            .map_err(|refused| refused.error)?;
    }
    batch.post().map_err(|unposted| unposted.error)
}

/// Posts a message.
pub(crate) fn send<'q>(qp: impl Into<Poster<'q>>, request: Counted, signaled: bool) -> Result {
    let mut batch: SendBatch<'_, _, 1, 1> = SendBatch::new(qp);
    let pushed = if signaled {
        batch.push(request, |piece, links| {
            links.send(&[piece.buffer.sge()], With::Nothing, Flags::default())
        })
    } else {
        batch.push_unsignaled(request, |piece, links| {
            links.send(&[piece.buffer.sge()], With::Nothing, Flags::default())
        })
    };

    pushed.map_err(|refused| refused.error)?;
    batch.post().map_err(|unposted| unposted.error)
}
