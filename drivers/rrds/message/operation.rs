// SPDX-License-Identifier: GPL-2.0

//! What a message has beside its data if it is about RDMA (spec-rdma): operations, and the key of a region.

use super::notice::Notice;
use crate::region::Region;
use kernel::{
    num::casts::usize_as_u64,
    sync::{
        atomic::{
            ordering::Relaxed,
            Atomic, //
        },
        Arc, //
    },
};
use krdma::page::PinnedPages;
use rds_proto::{
    consts::EXT_LEN,
    send::{
        self,
        Outcome, //
    },
    uapi::rdma::{
        AtomicKind,
        Flags,
        Status, //
    },
    wire::{
        self,
        Cookie,
        Direction,
        Extension,
        ExtensionWriter, //
    },
};

/// An RDMA read or write.
pub(crate) struct Transfer {
    /// The program's memory.
    pub(crate) pages: PinnedPages,
    /// What the memory is read or written with at the peer.
    pub(crate) target: Target,
    /// Work requests that it takes.
    pub(crate) requests: u32,
    pub(crate) flags: Flags,
    pub(crate) notice: Option<Arc<Notice>>,
}

/// An atomic operation.
pub(crate) struct AtomicOperation {
    /// Eight bytes of the program's memory, for the old value.
    pub(crate) pages: PinnedPages,
    pub(crate) target: Target,
    pub(crate) kind: AtomicKind,
    pub(crate) flags: Flags,
    pub(crate) notice: Option<Arc<Notice>>,
}

/// Memory of the peer's.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Target {
    /// The address in the region.
    pub(crate) addr: u64,
    /// The key of the region.
    pub(crate) key: u32,
}

impl Transfer {
    /// Whether it writes to the peer's memory.
    pub(crate) fn writes(&self) -> bool {
        self.flags.contains(Flags::READWRITE)
    }
}

/// What a message has beside its data.
pub(crate) struct Extra {
    pub(crate) transfer: Option<Transfer>,
    pub(crate) atomic: Option<AtomicOperation>,
    /// The cookie that the peer is told, and its region, which is not given up before the message is done with.
    pub(crate) region: Option<(Cookie, Arc<dyn Region>)>,
    /// The number of the status that an operation failed with; 0 if none did.
    failure: Atomic<i32>,
    /// The operations are done, whatever becomes of the message.
    succeeded: Atomic<bool>,
    /// How the message has ended: the number of a status, or [`UNDER_WAY`].
    ended: Atomic<i32>,
}

/// The message has not ended. No status has this number.
const UNDER_WAY: i32 = -1;

impl Default for Extra {
    /// Nothing.
    fn default() -> Self {
        Self {
            transfer: None,
            atomic: None,
            region: None,
            failure: Atomic::new(0),
            succeeded: Atomic::new(false),
            ended: Atomic::new(UNDER_WAY),
        }
    }
}

impl Extra {
    /// Notes that all operations are done. Any context.
    pub(crate) fn succeed(&self) {
        self.succeeded.store(true, Relaxed);
    }

    /// Notes how an operation has failed. What was noted first counts. Any context.
    pub(crate) fn fail(&self, status: Status) {
        let _ = self.failure.cmpxchg(0, status.number(), Relaxed);
    }

    /// Whether the program waits for the end of an operation.
    pub(crate) fn is_awaited(&self) -> bool {
        self.notices().any(|notice| notice.is_asked_for())
    }

    fn notices(&self) -> impl Iterator<Item = &Arc<Notice>> {
        let transfer = self.transfer.as_ref().and_then(|op| op.notice.as_ref());
        let atomic = self.atomic.as_ref().and_then(|op| op.notice.as_ref());

        Iterator::chain(transfer.into_iter(), atomic)
    }

    /// Notes how the message has ended. Its operations may not be done: they are when nobody has the message any more.
    pub(crate) fn end(&self, outcome: Outcome) {
        let status = match outcome {
            Outcome::Done => Status::Success,
            Outcome::Cancelled => Status::Cancelled,
            Outcome::Dropped => Status::Dropped,
        };

        self.ended.store(status.number(), Relaxed);
    }

    /// Calls `tell` with each notice, and how its operation has ended, if the message has. Any context.
    pub(crate) fn for_each_notice(&self, mut tell: impl FnMut(&Arc<Notice>, Status)) {
        let status = match (self.ended.load(Relaxed), self.failure.load(Relaxed)) {
            (UNDER_WAY, _) => return,
            _ if self.succeeded.load(Relaxed) => Status::Success,
            // The message is behind the operations: the peer had these, if the connection was lost before the answer came.
            (0, 0) if self.only_writes() => Status::Success,
            (0, 0) => Status::Dropped,
            // Of a connection that was lost the request knows more.
            (_, failure) if failure != 0 => Status::from_number(failure),
            (ended, _) => Status::from_number(ended),
        };

        for notice in self.notices() {
            tell(notice, status);
        }
    }

    /// Whether nothing of the peer's comes here by the operations.
    fn only_writes(&self) -> bool {
        self.atomic.is_none() && self.transfer.as_ref().is_none_or(Transfer::writes)
    }

    fn flags(&self) -> impl Iterator<Item = Flags> + '_ {
        let transfer = self.transfer.as_ref().map(|op| op.flags);
        let atomic = self.atomic.as_ref().map(|op| op.flags);

        Iterator::chain(transfer.into_iter(), atomic)
    }

    /// Whether no operation is one that the peer's program is to hear of.
    fn is_silent(&self) -> bool {
        self.flags().all(|flags| flags.contains(Flags::SILENT))
    }

    /// Returns what the engine needs to know of the operations.
    pub(super) fn operation(&self) -> Option<send::Operation> {
        let requests = self.transfer.as_ref().map_or(0, |op| op.requests);
        let requests = requests.saturating_add(u32::from(self.atomic.is_some()));

        (requests != 0).then(|| send::Operation {
            work_requests: requests,
            repeatable: false,
            silent: self.is_silent(),
            fence: self.flags().any(|flags| flags.contains(Flags::FENCE)),
        })
    }

    /// Returns the extension headers of the message, which has no data if it `is_empty`.
    pub(super) fn extensions(&self, is_empty: bool) -> [u8; EXT_LEN] {
        let mut to = ExtensionWriter::new();

        if let Some(op) = self.tells_of_transfer(is_empty) {
            let bytes = u32::try_from(usize_as_u64(op.pages.len())).unwrap_or(u32::MAX);
            let direction = match op.writes() {
                true => Direction::Write,
                false => Direction::Read,
            };
            to.push(Extension::Rdma(op.target.key));
            to.push(Extension::RdmaBytes(bytes, Some(direction)));
        }
        if let Some((cookie, _)) = &self.region {
            to.push(Extension::RdmaDest(*cookie));
        }
        to.finish()
    }

    /// Returns the flags of the message's header.
    pub(super) fn header_flags(&self, is_empty: bool) -> wire::Flags {
        match self.tells_of_transfer(is_empty) {
            Some(_) => wire::Flags::EXTENSION,
            None => wire::Flags::NONE,
        }
    }

    /// The transfer, unless no message follows it.
    fn tells_of_transfer(&self, is_empty: bool) -> Option<&Transfer> {
        let is_alone = is_empty && self.region.is_none() && self.is_silent();

        self.transfer.as_ref().filter(|_| !is_alone)
    }
}
