// SPDX-License-Identifier: GPL-2.0

//! Requests that tell how they have ended.

use crate::Name;
use kernel::{
    new_spinlock_irq,
    prelude::*,
    sync::{
        Arc,
        SpinLockIrq, //
    },
    time::{
        delay::fsleep,
        Delta, //
    },
};
use krdma::rdma::{
    dma::{
        Bidirectional,
        Mapping, //
    },
    post::{
        Buffers,
        Flags,
        Links,
        RecvBatch,
        RecvTarget,
        SendBatch,
        With, //
    },
    qp::{
        Connected,
        Service,
        Ud, //
    },
    request::Status,
    Ah,
    Completion,
    Device,
    Operation,
    Qp,
    Request, //
};

/// How a request has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ended {
    pub(crate) status: Status,
    pub(crate) len: u32,
    pub(crate) immediate: Option<u32>,
    /// What its memory begins with.
    pub(crate) word: u64,
    /// The name of the queue pair that has worked on it.
    pub(crate) by: Option<Name>,
}

/// The most requests that a log takes.
const CAPACITY: usize = 128;
/// How long a request may take, in milliseconds. Nothing here waits that long unless it is broken.
pub(crate) const PATIENCE: u32 = 20_000;

/// Where requests write how they have ended, in that order.
#[pin_data]
pub(crate) struct Log {
    #[pin]
    entries: SpinLockIrq<KVec<Ended>>,
}

impl Log {
    pub(crate) fn new() -> Result<Arc<Self>> {
        Arc::pin_init(
            try_pin_init!(Self {
                entries <- new_spinlock_irq!(KVec::with_capacity(CAPACITY, GFP_KERNEL)?),
            }? Error),
            GFP_KERNEL,
        )
    }

    /// Adds the end of a request, whose memory begins with `word`.
    pub(crate) fn add(&self, completion: &Completion<'_>, word: Option<[u8; 8]>) {
        let received = completion.received();
        let ended = Ended {
            status: completion.status(),
            len: received.map_or(0, |received| received.byte_len()),
            immediate: received.and_then(|received| received.immediate()),
            word: u64::from_ne_bytes(word.unwrap_or_default()),
            by: completion.poster().context::<Name>().copied(),
        };

        // No step leaves so many.
        let _ = self.entries.lock().push_within_capacity(ended);
    }

    pub(crate) fn len(&self) -> usize {
        self.entries.lock().len()
    }

    /// Waits for the next `count` ends, and takes them out.
    #[track_caller]
    pub(crate) fn take(&self, count: usize) -> Result<KVec<Ended>> {
        self.wait(count)?;
        let mut taken = KVec::with_capacity(count, GFP_KERNEL)?;
        let mut entries = self.entries.lock();

        for _ in 0..count {
            let entry = entries.remove(0).map_err(|_| EINVAL)?;
            // There is room.
            let _ = taken.push_within_capacity(entry);
        }
        Ok(taken)
    }

    /// Waits until there are `count` ends.
    #[track_caller]
    pub(crate) fn wait(&self, count: usize) -> Result {
        for _ in 0..PATIENCE {
            if self.len() >= count {
                return Ok(());
            }
            fsleep(Delta::from_millis(1));
        }
        let at = core::panic::Location::caller();
        pr_err!(
            "{}:{}: {} requests of {} have ended\n",
            at.file(),
            at.line(),
            self.len(),
            count
        );
        Err(ETIMEDOUT)
    }

    /// Waits for the next end and returns it.
    #[track_caller]
    pub(crate) fn next(&self) -> Result<Ended> {
        self.take(1)?.pop().ok_or(EINVAL)
    }

    /// Waits for `count` ends, which must be as `status` says.
    #[track_caller]
    pub(crate) fn expect(&self, what: &str, count: usize, status: Status) -> Result {
        for ended in self.take(count)? {
            crate::expect(what, ended.status, status)?;
        }
        Ok(())
    }
}

/// A piece of memory, where it goes to if that is not always the same, and where to tell of it.
pub(crate) struct Piece {
    pub(crate) buffer: Mapping<KVec<u8>, Bidirectional>,
    /// The same bytes, to be taken at once.
    pub(crate) bytes: KVec<u8>,
    ah: Option<Arc<Ah>>,
    log: Arc<Log>,
}

impl Piece {
    /// Makes a request of `len` bytes, all of them `byte`.
    pub(crate) fn new(
        dev: &Device,
        log: &Arc<Log>,
        byte: u8,
        len: usize,
        ah: Option<&Arc<Ah>>,
    ) -> Result<Pin<KBox<Request<Self>>>> {
        Self::of(dev, log, KVec::from_elem(byte, len, GFP_KERNEL)?, ah)
    }

    /// Makes a request of these bytes.
    fn of(
        dev: &Device,
        log: &Arc<Log>,
        bytes: KVec<u8>,
        ah: Option<&Arc<Ah>>,
    ) -> Result<Pin<KBox<Request<Self>>>> {
        let mut copy = KVec::new();
        copy.extend_from_slice(&bytes, GFP_KERNEL)?;

        Request::new(
            Self {
                buffer: Mapping::new(dev, copy)?,
                bytes,
                ah: ah.cloned(),
                log: log.clone(),
            },
            GFP_KERNEL,
        )
    }
}

impl Piece {
    /// Describes a datagram, to the queue pair of this number and key.
    pub(crate) fn datagram<'a>(
        &'a self,
        links: &mut Links<'a, '_, Ud>,
        (number, qkey): (u32, u32),
    ) -> Result {
        let ah = self.ah.as_ref().ok_or(EINVAL)?;

        links.send_to(
            ah,
            number,
            qkey,
            &[self.buffer.sge()],
            None,
            Flags::default(),
        )
    }
}

impl Operation for Piece {
    fn done(mut this: Pin<KBox<Request<Self>>>, completion: &Completion<'_>) {
        let data = this.as_mut().data_mut().get_mut();
        let word = data.buffer.cpu().first_chunk::<8>().copied();

        data.log.add(completion, word);
    }
}

/// Posts a request of `len` bytes for the next message.
pub(crate) fn receive<Q: RecvTarget>(
    queue: &Q,
    dev: &Device,
    log: &Arc<Log>,
    len: usize,
) -> Result {
    receive_as(queue, dev, log, len, |piece, buffers| {
        buffers.add(&[piece.buffer.sge_mut()])
    })
}

/// Posts a request of `len` bytes for the next message, which goes where `describe` says.
pub(crate) fn receive_as<Q: RecvTarget>(
    queue: &Q,
    dev: &Device,
    log: &Arc<Log>,
    len: usize,
    describe: impl for<'a> FnOnce(&'a Piece, &mut Buffers<'a, '_>) -> Result,
) -> Result {
    let mut batch: RecvBatch<'_, _, Q, 1, 4> = RecvBatch::new(queue);

    batch
        .push(Piece::new(dev, log, 0, len, None)?, describe)
        .map_err(|refused| refused.error)?;
    batch.post().map_err(|unposted| unposted.error)
}

/// Posts a request that `describe` describes, with `len` bytes that are all `byte`.
pub(crate) fn post<S: Service>(
    qp: &Qp<S>,
    log: &Arc<Log>,
    byte: u8,
    len: usize,
    describe: impl for<'a> FnOnce(&'a Piece, &mut Links<'a, '_, S>) -> Result,
) -> Result {
    post_bytes(qp, log, KVec::from_elem(byte, len, GFP_KERNEL)?, describe)
}

/// Posts a request that `describe` describes, with these bytes.
pub(crate) fn post_bytes<S: Service>(
    qp: &Qp<S>,
    log: &Arc<Log>,
    bytes: KVec<u8>,
    describe: impl for<'a> FnOnce(&'a Piece, &mut Links<'a, '_, S>) -> Result,
) -> Result {
    let mut batch: SendBatch<'_, _, 4, 4, S> = SendBatch::new(qp);

    batch
        .push(Piece::of(qp.device(), log, bytes, None)?, describe)
        .map_err(|refused| refused.error)?;
    batch.post().map_err(|unposted| unposted.error)
}

/// Posts a message of `len` bytes.
pub(crate) fn send<S: Connected>(qp: &Qp<S>, log: &Arc<Log>, byte: u8, len: usize) -> Result {
    post(qp, log, byte, len, |piece, links| {
        links.send(&[piece.buffer.sge()], With::Nothing, Flags::default())
    })
}

/// Posts a datagram of `len` bytes.
pub(crate) fn send_to(
    qp: &Qp<Ud>,
    log: &Arc<Log>,
    len: usize,
    ah: &Arc<Ah>,
    to: (u32, u32),
) -> Result {
    let mut batch: SendBatch<'_, _, 4, 4, Ud> = SendBatch::new(qp);

    batch
        .push(
            Piece::new(qp.device(), log, 0, len, Some(ah))?,
            |piece, links| piece.datagram(links, to),
        )
        .map_err(|refused| refused.error)?;
    batch.post().map_err(|unposted| unposted.error)
}
