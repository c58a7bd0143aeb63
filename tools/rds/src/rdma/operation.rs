// SPDX-License-Identifier: GPL-2.0

//! Operations on a peer's memory.

use super::args;
use super::{Memory, Piece, Remote, MAX_PIECES};
use crate::cmsg;
use crate::flags::flags;
use rds_proto::uapi::cmsg::{
    ATOMIC_CSWP, ATOMIC_FADD, MASKED_ATOMIC_CSWP, MASKED_ATOMIC_FADD, RDMA_ARGS,
};
use std::io;

/// `RDS_RDMA_READWRITE`: to the peer.
const WRITE: u64 = 0x01;

flags! {
    /// How an operation is done (spec-cmsg).
    OperationFlags(u64) {
        /// The message that goes with it waits until what is read has come.
        FENCE = 0x02,
        /// Has no effect on an operation; of a region it says that it goes after one use.
        USE_ONCE = 0x08,
        /// Its outcome is reported.
        NOTIFY_ME = 0x20,
        /// No message is needed: without data nothing but the operation goes to the peer, whose
        /// program learns nothing of it.
        SILENT = 0x40,
    }
}

/// What is done to eight bytes of the peer's at once. They are a number in the host's order, and its
/// value of before comes back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Atomic {
    /// Adds a number.
    Add(u64),
    /// Puts `swap` there if it is `compare`.
    Swap {
        /// What it has to be.
        compare: u64,
        /// What it becomes.
        swap: u64,
    },
    /// Adds a number, without a carry out of the bits of `boundaries`.
    MaskedAdd {
        /// What is added.
        add: u64,
        /// Each bit is the highest of a field: `nocarry_mask`.
        boundaries: u64,
    },
    /// Puts the bits of `swap_mask` of `swap` there if it has those of `compare_mask` of `compare`.
    MaskedSwap {
        /// What it has to be.
        compare: u64,
        /// What it becomes.
        swap: u64,
        /// Which bits have to be so.
        compare_mask: u64,
        /// Which bits change.
        swap_mask: u64,
    },
}

impl Atomic {
    /// The type of the control message, and what it carries in the union.
    const fn parts(self) -> (i32, [u64; 4]) {
        match self {
            Self::Add(add) => (ATOMIC_FADD, [add, 0, 0, 0]),
            Self::Swap { compare, swap } => (ATOMIC_CSWP, [compare, swap, 0, 0]),
            Self::MaskedAdd { add, boundaries } => (MASKED_ATOMIC_FADD, [add, boundaries, 0, 0]),
            Self::MaskedSwap {
                compare,
                swap,
                compare_mask,
                swap_mask,
            } => (MASKED_ATOMIC_CSWP, [compare, swap, compare_mask, swap_mask]),
        }
    }

    /// What becomes of a number.
    pub const fn apply(self, old: u64) -> u64 {
        match self {
            Self::Add(add) => old.wrapping_add(add),
            Self::Swap { compare, swap } => {
                if old == compare {
                    swap
                } else {
                    old
                }
            }
            Self::MaskedAdd { add, boundaries } => {
                // Sums without the highest bits of the fields cannot carry out of them.
                let low = (old & !boundaries).wrapping_add(add & !boundaries);
                low ^ ((old ^ add) & boundaries)
            }
            Self::MaskedSwap {
                compare,
                swap,
                compare_mask,
                swap_mask,
            } => {
                if (old ^ compare) & compare_mask == 0 {
                    (old & !swap_mask) | (swap & swap_mask)
                } else {
                    old
                }
            }
        }
    }
}

#[derive(Clone, Debug)]
enum Kind {
    Read,
    Write,
    Atomic(Atomic),
}

/// An operation on a peer's memory: for [`RdmaSocket::operate`](super::RdmaSocket::operate).
///
/// It can be used again, also while an earlier use is under way.
#[derive(Clone, Debug)]
pub struct Operation {
    kind: Kind,
    remote: Remote,
    local: Vec<Piece>,
    remote_bytes: Option<u64>,
    flags: OperationFlags,
}

impl Operation {
    fn new(kind: Kind, remote: Remote, local: Vec<Piece>) -> Self {
        Self {
            kind,
            remote,
            local,
            remote_bytes: None,
            flags: OperationFlags::NONE,
        }
    }

    /// Reads the peer's memory into the pieces, one after the other, until they are full.
    pub fn read(from: Remote, into: Vec<Piece>) -> Self {
        Self::new(Kind::Read, from, into)
    }

    /// Writes what the pieces hold, one after the other, to the peer's memory.
    pub fn write(to: Remote, from: Vec<Piece>) -> Self {
        Self::new(Kind::Write, to, from)
    }

    /// Does `atomic` to the eight bytes at `remote`. What they were is put into the first eight of
    /// `old`.
    pub fn atomic(atomic: Atomic, remote: Remote, old: Piece) -> Self {
        Self::new(Kind::Atomic(atomic), remote, vec![old])
    }

    /// With these flags, too.
    pub fn with(mut self, flags: OperationFlags) -> Self {
        self.flags = self.flags | flags;
        self
    }

    /// Its outcome is reported: [`OperationFlags::NOTIFY_ME`].
    pub fn notify(self) -> Self {
        self.with(OperationFlags::NOTIFY_ME)
    }

    /// Tells the kernel another length of the peer's memory than that of the pieces. The kernel accesses
    /// no more than the pieces have.
    pub fn remote_bytes(mut self, bytes: u64) -> Self {
        self.remote_bytes = Some(bytes);
        self
    }

    /// Its flags.
    pub fn flags(&self) -> OperationFlags {
        self.flags
    }

    /// How many bytes the pieces have.
    pub fn len(&self) -> usize {
        self.local.iter().map(Piece::len).sum()
    }

    /// Whether the pieces have none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What has to stay mapped until it is done.
    pub(super) fn memory(&self) -> impl Iterator<Item = &Memory> {
        self.local.iter().map(Piece::memory)
    }

    /// The list of control messages, and what has to live through the call.
    pub(super) fn encode(&self, user_token: u64) -> io::Result<(Vec<u8>, Vec<[u64; 2]>)> {
        let mut out = Vec::new();
        let Remote { cookie, offset } = self.remote;
        let flags = self.flags.number();
        if let Kind::Atomic(atomic) = self.kind {
            let old = self.local.first().filter(|old| old.len() >= 8);
            let old = old.ok_or_else(|| {
                io::Error::new(io::ErrorKind::InvalidInput, "an atomic needs eight bytes")
            })?;
            let (kind, operands) = atomic.parts();
            let args = args::Atomic {
                cookie: cookie.0,
                local_addr: old.addr(),
                remote_addr: offset,
                operands,
                flags,
                user_token,
            };
            cmsg::put(&mut out, kind, &args.bytes());
            return Ok((out, Vec::new()));
        }
        if self.local.len() > MAX_PIECES {
            // As the kernel would say.
            return Err(io::Error::from_raw_os_error(libc::EMSGSIZE));
        }
        let pieces = self.local.iter().map(|p| (p.addr(), p.len() as u64));
        let list = args::iovecs(pieces);
        let write = if matches!(self.kind, Kind::Write) {
            WRITE
        } else {
            0
        };
        let args = args::Rdma {
            cookie: cookie.0,
            remote_addr: offset,
            remote_bytes: self.remote_bytes.unwrap_or(self.len() as u64),
            // The cast exposes the pointer: the kernel reads the list in the call.
            local_vec_addr: list.as_ptr() as usize as u64,
            nr_local: list.len() as u64,
            flags: flags | write,
            user_token,
        };
        cmsg::put(&mut out, RDMA_ARGS, &args.bytes());
        Ok((out, list))
    }
}
