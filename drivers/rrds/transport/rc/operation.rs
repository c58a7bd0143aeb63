// SPDX-License-Identifier: GPL-2.0

//! Requests of RDMA operations: reads, writes and atomic ones (spec-rdma).

use crate::message::{
    AtomicOperation,
    Message,
    Target,
    Transfer, //
};
use kernel::{
    num::casts::u32_as_usize,
    prelude::*,
    sync::Arc, //
};
use krdma::rdma::{
    dma::{
        FromDevice,
        SharedPages,
        ToDevice, //
    },
    mr::Remote,
    post::{
        Flags,
        Links, //
    },
    request::Status,
    Device, //
};
use rds_proto::uapi::rdma::{
    self,
    AtomicKind, //
};

/// The most pieces of memory of a link.
pub(super) const PIECES: u32 = 5;

/// The most links of a request.
pub(super) const LINKS: usize = 4;

/// A program's memory that an operation reads or writes.
#[derive(Clone)]
enum Memory {
    /// A write to the peer reads it.
    Write(Arc<SharedPages<Message, ToDevice>>),
    /// A read from the peer writes it.
    Read(Arc<SharedPages<Message, FromDevice>>),
    /// The old value goes there.
    Atomic(Arc<SharedPages<Message, FromDevice>>),
}

/// A part of the operations of a message, as one request takes it: up to [`LINKS`] links.
pub(super) struct Part {
    memory: Memory,
    target: Target,
    /// The first piece, and how many pieces a link has.
    first: usize,
    pieces: usize,
    /// It is the last part of the message's operations.
    is_last: bool,
}

/// The operations of a message, to be taken part by part.
pub(super) struct Operations {
    transfer: Option<Part>,
    atomic: Option<Part>,
}

impl Operations {
    /// Maps the memory of a message's operations for a device, on which a link has so many pieces at most.
    ///
    /// Errors: [`ENOMEM`], [`EOPNOTSUPP`] if the device has no such operation, and others if the memory can't be mapped. Does
    /// not sleep.
    pub(super) fn new(dev: &Device, message: &Arc<Message>, pieces: u32) -> Result<Self> {
        let pieces = u32_as_usize(pieces.clamp(1, PIECES));
        let extra = message.extra().ok_or(EINVAL)?;
        let part = |memory, target| Part {
            memory,
            target,
            first: 0,
            pieces,
            is_last: false,
        };

        let transfer = match &extra.transfer {
            None => None,
            Some(op) if op.writes() => {
                let pages = SharedPages::new(dev, message.clone(), |message| {
                    Some(&transfer_of(message)?.pages)
                })?;
                let memory = Memory::Write(Arc::new(pages, GFP_ATOMIC)?);
                Some(part(memory, op.target))
            }
            Some(op) => {
                let pages = SharedPages::new(dev, message.clone(), |message| {
                    Some(&transfer_of(message)?.pages)
                })?;
                let memory = Memory::Read(Arc::new(pages, GFP_ATOMIC)?);
                Some(part(memory, op.target))
            }
        };
        let atomic = match &extra.atomic {
            None => None,
            Some(op) => {
                let pages = SharedPages::new(dev, message.clone(), |message| {
                    Some(&atomic_of(message)?.pages)
                })?;
                let memory = Memory::Atomic(Arc::new(pages, GFP_ATOMIC)?);
                Some(part(memory, op.target))
            }
        };
        Ok(Self { transfer, atomic })
    }

    /// Takes the next part.
    pub(super) fn next(&mut self) -> Option<Part> {
        let mut part = self.take()?;

        part.is_last = self.is_empty();
        Some(part)
    }

    fn take(&mut self) -> Option<Part> {
        if let Some(rest) = &mut self.transfer {
            let taken = Part {
                memory: rest.memory.clone(),
                ..*rest
            };

            if !rest.advance() {
                self.transfer = None;
            }
            return Some(taken);
        }
        self.atomic.take()
    }

    /// Whether there is nothing left.
    pub(super) fn is_empty(&self) -> bool {
        self.transfer.is_none() && self.atomic.is_none()
    }
}

fn transfer_of(message: &Message) -> Option<&Transfer> {
    message.extra()?.transfer.as_ref()
}

fn atomic_of(message: &Message) -> Option<&AtomicOperation> {
    message.extra()?.atomic.as_ref()
}

impl Part {
    /// Goes on to the next part. Returns whether there is one.
    fn advance(&mut self) -> bool {
        for _ in 0..LINKS {
            let (pieces, bytes) = self.link();
            // OVERFLOW: It is at most the number of pieces.
            self.first = self.first.wrapping_add(pieces);
            self.target.addr = self.target.addr.wrapping_add(bytes);
        }
        self.first < self.memory.len()
    }

    /// Returns how many pieces the next link has, and how many bytes these are.
    fn link(&self) -> (usize, u64) {
        let pieces = self
            .pieces
            .min(self.memory.len().saturating_sub(self.first));
        // OVERFLOW: All pieces together have less than 4 GiB.
        let bytes = (0..pieces).fold(0_u64, |sum, i| {
            sum.wrapping_add(self.memory.piece_len(self.first.wrapping_add(i)))
        });

        (pieces, bytes)
    }

    /// Describes the part to the device.
    pub(super) fn describe<'a>(&'a self, links: &mut Links<'a, '_>) -> Result {
        if let Memory::Atomic(pages) = &self.memory {
            return self.describe_atomic(pages, links);
        }
        let mut at = Self {
            memory: self.memory.clone(),
            ..*self
        };

        for _ in 0..LINKS {
            let (count, bytes) = at.link();
            if count == 0 {
                break;
            }
            let remote = Remote {
                addr: at.target.addr,
                key: at.target.key,
            };
            match &self.memory {
                Memory::Write(pages) => {
                    let first = pages.sge(at.first).ok_or(EINVAL)?;
                    let mut sges = [first; PIECES as usize];
                    for (i, sge) in sges.iter_mut().enumerate().take(count) {
                        *sge = pages.sge(at.first.wrapping_add(i)).ok_or(EINVAL)?;
                    }
                    let sges = sges.get(..count).ok_or(EINVAL)?;
                    links.write(sges, remote, None, Flags::default())?;
                }
                Memory::Read(pages) | Memory::Atomic(pages) => {
                    let first = pages.sge_mut(at.first).ok_or(EINVAL)?;
                    let mut sges = [first; PIECES as usize];
                    for (i, sge) in sges.iter_mut().enumerate().take(count) {
                        *sge = pages.sge_mut(at.first.wrapping_add(i)).ok_or(EINVAL)?;
                    }
                    let sges = sges.get(..count).ok_or(EINVAL)?;
                    links.read(sges, remote, Flags::default())?;
                }
            }
            at.first = at.first.wrapping_add(count);
            at.target.addr = at.target.addr.wrapping_add(bytes);
        }
        Ok(())
    }

    fn describe_atomic<'a>(
        &'a self,
        pages: &'a SharedPages<Message, FromDevice>,
        links: &mut Links<'a, '_>,
    ) -> Result {
        let op = atomic_of(pages.owner()).ok_or(EINVAL)?;
        let result = pages.sge_mut(0).ok_or(EINVAL)?;
        let flags = Flags::default();
        let remote = Remote {
            addr: self.target.addr,
            key: self.target.key,
        };

        match op.kind {
            AtomicKind::FetchAdd { add, boundary: 0 } => {
                links.fetch_add(result, remote, add, flags)
            }
            AtomicKind::FetchAdd { add, boundary } => {
                links.masked_fetch_add(result, remote, add, boundary, flags)
            }
            kind @ AtomicKind::CompareSwap { compare, swap, .. } if !kind.is_masked() => {
                links.compare_swap(result, remote, compare, swap, flags)
            }
            AtomicKind::CompareSwap {
                compare,
                swap,
                compare_mask,
                swap_mask,
            } => links.masked_compare_swap(
                result,
                remote,
                (compare, compare_mask),
                (swap, swap_mask),
                flags,
            ),
        }
    }

    /// Notes on the message how its operation has ended, if that is known. Any context.
    pub(super) fn end(&self, status: Status) {
        let Some(extra) = self.memory.message().extra() else {
            return;
        };
        let status = match status {
            // Those before it are done then.
            Status::Success if self.is_last => return extra.succeed(),
            Status::Success | Status::Flushed => return,
            // The connection was lost, as far as is known.
            Status::RetriesExceeded | Status::RnrRetriesExceeded => return,
            Status::RemoteAccess | Status::RemoteInvalidRequest | Status::RemoteOperation => {
                rdma::Status::RemoteError
            }
            _ => rdma::Status::OtherError,
        };

        extra.fail(status);
    }
}

impl Memory {
    fn message(&self) -> &Message {
        match self {
            Self::Write(pages) => pages.owner(),
            Self::Read(pages) | Self::Atomic(pages) => pages.owner(),
        }
    }

    /// Returns how many pieces there are.
    fn len(&self) -> usize {
        match self {
            Self::Write(pages) => pages.len(),
            Self::Read(pages) | Self::Atomic(pages) => pages.len(),
        }
    }

    /// Returns how many bytes a piece has.
    fn piece_len(&self, index: usize) -> u64 {
        let len = match self {
            Self::Write(pages) => pages.sge(index).map(|sge| sge.len()),
            Self::Read(pages) | Self::Atomic(pages) => pages.sge_mut(index).map(|sge| sge.len()),
        };

        len.unwrap_or(0).into()
    }
}
