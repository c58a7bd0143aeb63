// SPDX-License-Identifier: GPL-2.0

//! Requests of a device's shared receive queue.

use super::{
    link::Owner,
    pools::Pools, //
};
use kernel::{
    prelude::*,
    sync::Arc, //
};
use krdma::rdma::{
    dma::{
        FromDevice,
        Mapping, //
    },
    post::RecvBatch,
    request::Status,
    Completion,
    Operation,
    Request,
    Srq, //
};
use rds_proto::{
    consts::{
        FRAGMENT_BYTES,
        HEADER_LEN, //
    },
    error::DropReason, //
};

pub(super) type RecvRequest = Pin<KBox<Request<Receive>>>;

/// Requests that are posted by one call.
const BATCH: usize = 4;

/// A receive request: room for a frame, its header and its data apart, so that the data can become a
/// piece of the message without being copied.
pub(super) struct Receive {
    header: Mapping<KBox<[u8; HEADER_LEN]>, FromDevice>,
    data: Buffer,
    pools: Arc<Pools>,
}

/// The data of a frame.
pub(crate) struct Buffer(Option<Mapping<KVec<u8>, FromDevice>>);

impl Buffer {
    /// Calls `f` with the bytes, as many as a frame can have, unless they were taken.
    pub(crate) fn read<R>(&mut self, f: impl FnOnce(&[u8]) -> R) -> Option<R> {
        self.0.as_mut().map(|mapping| f(&mapping.cpu()))
    }

    /// Copies what it begins with.
    ///
    /// Errors: [`EIO`] if a frame has not so much, or it was taken.
    pub(crate) fn copy(&mut self, to: &mut [u8]) -> Result {
        self.read(|bytes| {
            let from = bytes.get(..to.len()).ok_or(EIO)?;
            to.copy_from_slice(from);
            Ok(())
        })
        .unwrap_or(Err(EIO))
    }

    /// Takes the memory out.
    pub(crate) fn take(&mut self) -> Option<KVec<u8>> {
        self.0.take().map(Mapping::unmap)
    }

    /// Makes sure that there is memory.
    fn fill(&mut self, pools: &Pools, flags: kernel::alloc::Flags) -> Result {
        if self.0.is_none() {
            let bytes = match pools.spares().take() {
                Some(bytes) => bytes,
                None => KVec::from_elem(0, FRAGMENT_BYTES, flags)?,
            };
            self.0 = Some(Mapping::new(pools.device(), bytes)?);
        }
        Ok(())
    }
}

/// Makes a receive request.
pub(super) fn new(pools: &Arc<Pools>) -> Result<RecvRequest> {
    let mut data = Buffer(None);
    data.fill(pools, GFP_KERNEL)?;

    Request::new(
        Receive {
            header: Mapping::new(pools.device(), KBox::new([0; HEADER_LEN], GFP_KERNEL)?)?,
            data,
            pools: pools.clone(),
        },
        GFP_KERNEL,
    )
}

/// Posts the receive requests that were put aside. Returns whether none is left.
///
/// Not inlined: the batch is large.
#[inline(never)]
pub(super) fn post(pools: &Pools, srq: &Srq, flags: kernel::alloc::Flags) -> bool {
    loop {
        let mut batch: RecvBatch<'_, Receive, Srq, BATCH, { 2 * BATCH }> = RecvBatch::new(srq);
        let mut complete = true;

        for mut request in pools.take_receives::<BATCH>().into_iter().flatten() {
            let filled = request
                .as_mut()
                .data_mut()
                .get_mut()
                .data
                .fill(pools, flags);
            if filled.is_err() {
                pools.put_receive(request);
                complete = false;
                continue;
            }
            let refused = batch.push(request, |receive, buffers| {
                let data = receive.data.0.as_ref().ok_or(EINVAL)?;
                buffers.add(&[receive.header.sge_mut(), data.sge_mut()])
            });
            if let Err(refused) = refused {
                pools.put_receive(refused.request);
                complete = false;
            }
        }

        let count = batch.len();
        if let Err(unposted) = batch.post() {
            unposted.for_each(|request| pools.put_receive(request));
            return false;
        }
        if !complete {
            return false;
        }
        if count < BATCH {
            return true;
        }
    }
}

impl Operation for Receive {
    fn done(mut this: Pin<KBox<Request<Self>>>, completion: &Completion<'_>) {
        let Self {
            header,
            data,
            pools,
        } = this.as_mut().data_mut().get_mut();
        let Some(owner) = completion.poster().context::<Owner>() else {
            let pools = pools.clone();
            return pools.put_receive(this);
        };

        match completion.received() {
            // When the connection is closed they are flushed.
            None if completion.status() == Status::Flushed => {}
            None => owner.path.lost(owner.conn, DropReason::Transport),
            // There is no frame: the buffers still have what came before.
            Some(received) if received.is_write() => owner.path.refuse_write(owner.conn),
            Some(received) => {
                let mut bytes = [0; HEADER_LEN];
                bytes.copy_from_slice(&header.cpu());
                let wants_pump = owner.path.receive(
                    owner.conn,
                    &bytes,
                    received.byte_len(),
                    data,
                    pools.spares(),
                );
                if wants_pump {
                    owner.pools.touch(&owner.path);
                }
            }
        }
        owner.pools.put_receive(this);
    }
}
