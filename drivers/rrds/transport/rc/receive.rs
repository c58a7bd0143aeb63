// SPDX-License-Identifier: GPL-2.0

//! Receive requests.

use crate::{
    message::Spares,
    path, //
};
use kernel::prelude::*;
use krdma::rdma::{
    dma::{
        CpuAccess,
        FromDevice,
        Mapping, //
    },
    post::Buffers,
    Device,
    Request, //
};
use rds_proto::consts::HEADER_LEN;

pub(super) type RecvRequest = Pin<KBox<Request<Receive>>>;

/// A receive request: room for a frame, its header and its data apart, so that the data can become a
/// piece of the message without being copied.
pub(super) struct Receive {
    header: Mapping<KBox<[u8; HEADER_LEN]>, FromDevice>,
    data: Buffer,
}

/// The header of a frame that came in.
type HeaderBytes<'a> = CpuAccess<'a, KBox<[u8; HEADER_LEN]>, FromDevice>;

/// The data of a frame that came in.
pub(super) struct Buffer(Option<Mapping<KVec<u8>, FromDevice>>);

impl path::Buffer for Buffer {
    fn read<R>(&mut self, f: impl FnOnce(&[u8]) -> R) -> Option<R> {
        self.0.as_mut().map(|mapping| f(&mapping.cpu()))
    }

    fn take(&mut self) -> Option<KVec<u8>> {
        self.0.take().map(Mapping::unmap)
    }
}

impl Buffer {
    /// Makes sure that there is memory.
    fn fill(&mut self, dev: &Device, spares: &Spares, flags: kernel::alloc::Flags) -> Result {
        if self.0.is_none() {
            self.0 = Some(Mapping::new(dev, spares.get(flags)?)?);
        }
        Ok(())
    }
}

impl Receive {
    /// Makes a receive request for a device.
    pub(super) fn new(dev: &Device, spares: &Spares) -> Result<RecvRequest> {
        let mut data = Buffer(None);
        data.fill(dev, spares, GFP_KERNEL)?;

        Request::new(
            Self {
                header: Mapping::new(dev, KBox::new([0; HEADER_LEN], GFP_KERNEL)?)?,
                data,
            },
            GFP_KERNEL,
        )
    }

    /// Makes sure that there is memory to receive into.
    pub(super) fn fill(
        &mut self,
        dev: &Device,
        spares: &Spares,
        flags: kernel::alloc::Flags,
    ) -> Result {
        self.data.fill(dev, spares, flags)
    }

    /// Describes the room to the device.
    pub(super) fn describe<'a>(&'a self, buffers: &mut Buffers<'a, '_>) -> Result {
        let data = self.data.0.as_ref().ok_or(EINVAL)?;
        buffers.add(&[self.header.sge_mut(), data.sge_mut()])
    }

    /// Returns the header of a frame that came in, and its data.
    #[inline]
    pub(super) fn frame(&mut self) -> (HeaderBytes<'_>, &mut Buffer) {
        (self.header.cpu(), &mut self.data)
    }
}
