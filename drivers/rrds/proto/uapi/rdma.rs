// SPDX-License-Identifier: GPL-2.0

//! What programs ask for and are told of RDMA operations and memory regions (spec-cmsg, spec-options).
//!
//! Each structure is read once, from the bytes that the program has handed in, into an owned value. All numbers are of 64
//! bits, in the host's order.

use super::cmsg::{
    ATOMIC_CSWP, ATOMIC_FADD, ATOMIC_LEN, MASKED_ATOMIC_CSWP, MASKED_ATOMIC_FADD, RDMA_ARGS_LEN,
    RDMA_MAP_LEN,
};
use crate::wire::Cookie;

/// Most pieces of local memory of an operation (`UIO_MAXIOV`).
pub const MAX_LOCAL: u64 = 1024;
/// Length of `struct rds_iovec`, an entry of the list of local memory.
pub const IOVEC_LEN: usize = 16;
/// Length of `struct rds_get_mr_for_dest_args`.
pub const GET_MR_FOR_DEST_LEN: usize = 160;
/// Length of the address that comes first in it.
const DEST_ADDRESS_LEN: usize = 128;
/// Length of `struct rds_free_mr_args`.
pub const FREE_MR_LEN: usize = 16;
/// Length of `struct rds_rdma_notify`.
pub const STATUS_LEN: usize = 16;

/// Returns the number at `offset`, or 0 if there is none.
fn number(data: &[u8], offset: usize) -> u64 {
    data.get(offset..)
        .and_then(|rest| rest.first_chunk())
        .map_or(0, |bytes| u64::from_ne_bytes(*bytes))
}

/// The flags of an operation or a region (`RDS_RDMA_*`). Others than these are ignored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Flags(u64);

impl Flags {
    /// An operation writes to the peer, else it reads; of a region, peers may write it.
    pub const READWRITE: Self = Self(0x1);
    /// The message waits for the read before it.
    pub const FENCE: Self = Self(0x2);
    /// The key of the region is revoked before the call returns.
    pub const INVALIDATE: Self = Self(0x4);
    /// The region is given up when a peer tells that it has used it.
    pub const USE_ONCE: Self = Self(0x8);
    /// The program is told how the operation ends.
    pub const NOTIFY_ME: Self = Self(0x20);
    /// The peer's program need not hear of the operation.
    pub const SILENT: Self = Self(0x40);

    /// Takes the number that a program has handed in.
    pub const fn from_bits(bits: u64) -> Self {
        Self(bits)
    }

    /// The number that a program hands in.
    pub const fn bits(self) -> u64 {
        self.0
    }

    /// Whether all flags of `other` are set.
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// These flags and those of `other`.
    #[must_use]
    pub const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

/// `struct rds_rdma_args`: an RDMA read or write.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RdmaArgs {
    /// The peer's region.
    pub cookie: Cookie,
    /// Where in it the peer's memory begins.
    pub remote_addr: u64,
    /// Most bytes of it.
    pub remote_bytes: u64,
    /// The address of the list of local memory.
    pub local_addr: u64,
    /// Its entries.
    pub nr_local: u64,
    /// How the operation is done.
    pub flags: Flags,
    /// What the program knows it by.
    pub user_token: u64,
}

impl RdmaArgs {
    /// Reads the structure; none if it is too short.
    pub fn parse(data: &[u8]) -> Option<Self> {
        let data = data.get(..RDMA_ARGS_LEN)?;

        Some(Self {
            cookie: Cookie::from_bits(number(data, 0)),
            remote_addr: number(data, 8),
            remote_bytes: number(data, 16),
            local_addr: number(data, 24),
            nr_local: number(data, 32),
            flags: Flags::from_bits(number(data, 40)),
            user_token: number(data, 48),
        })
    }

    /// The address that the operation names, in the peer's region. It wraps, as in C: the peer's adapter checks it.
    pub const fn target(&self) -> u64 {
        // CAST: widening only; `From` is not const.
        self.remote_addr.wrapping_add(self.cookie.offset as u64)
    }
}

/// `struct rds_iovec`: a piece of a program's memory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Iovec {
    /// Its address.
    pub addr: u64,
    /// Its bytes.
    pub bytes: u64,
}

impl Iovec {
    /// Reads an entry.
    pub fn parse(data: &[u8; IOVEC_LEN]) -> Self {
        Self {
            addr: number(data, 0),
            bytes: number(data, 8),
        }
    }
}

/// `struct rds_get_mr_args`: memory to register.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MapArgs {
    /// The memory.
    pub memory: Iovec,
    /// Where the cookie is to be stored; 0 if nowhere.
    pub cookie_addr: u64,
    /// What the region is for.
    pub flags: Flags,
}

impl MapArgs {
    /// Reads the structure; none if it is too short.
    pub fn parse(data: &[u8]) -> Option<Self> {
        let data = data.get(..RDMA_MAP_LEN)?;

        Some(Self {
            memory: Iovec {
                addr: number(data, 0),
                bytes: number(data, 8),
            },
            cookie_addr: number(data, 16),
            flags: Flags::from_bits(number(data, 24)),
        })
    }

    /// Reads `struct rds_get_mr_for_dest_args`, whose address does not matter; none if it is too short.
    pub fn parse_for_dest(data: &[u8]) -> Option<Self> {
        Self::parse(data.get(DEST_ADDRESS_LEN..)?)
    }
}

/// What an atomic operation does to eight bytes of the peer's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AtomicKind {
    /// Adds to them.
    FetchAdd {
        /// What.
        add: u64,
        /// No carry leaves a bit that is set here.
        boundary: u64,
    },
    /// Sets those of `swap_mask` if those of `compare_mask` are equal.
    CompareSwap {
        /// What they are compared with.
        compare: u64,
        /// What they become.
        swap: u64,
        /// The bits that are compared.
        compare_mask: u64,
        /// The bits that are set.
        swap_mask: u64,
    },
}

impl AtomicKind {
    /// Whether it is about fields of the eight bytes, which takes a device that has masked operations.
    pub const fn is_masked(&self) -> bool {
        match *self {
            Self::FetchAdd { boundary, .. } => boundary != 0,
            Self::CompareSwap {
                compare_mask,
                swap_mask,
                ..
            } => compare_mask != u64::MAX || swap_mask != u64::MAX,
        }
    }
}

/// `struct rds_atomic_args`: an atomic operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AtomicArgs {
    /// The peer's region.
    pub cookie: Cookie,
    /// Where the old value goes, in the program's memory.
    pub local_addr: u64,
    /// Where the eight bytes are in the region.
    pub remote_addr: u64,
    /// What is done to them.
    pub kind: AtomicKind,
    /// How it is done.
    pub flags: Flags,
    /// What the program knows it by.
    pub user_token: u64,
}

impl AtomicArgs {
    /// Reads the structure of a control message of a type; none if it is too short or the type is another one.
    pub fn parse(kind: i32, data: &[u8]) -> Option<Self> {
        let data = data.get(..ATOMIC_LEN)?;
        let operand = |index: usize| number(data, index.saturating_mul(8).saturating_add(24));
        let kind = match kind {
            ATOMIC_FADD => AtomicKind::FetchAdd {
                add: operand(0),
                boundary: 0,
            },
            MASKED_ATOMIC_FADD => AtomicKind::FetchAdd {
                add: operand(0),
                boundary: operand(1),
            },
            ATOMIC_CSWP => AtomicKind::CompareSwap {
                compare: operand(0),
                swap: operand(1),
                compare_mask: u64::MAX,
                swap_mask: u64::MAX,
            },
            MASKED_ATOMIC_CSWP => AtomicKind::CompareSwap {
                compare: operand(0),
                swap: operand(1),
                compare_mask: operand(2),
                swap_mask: operand(3),
            },
            _ => return None,
        };

        Some(Self {
            cookie: Cookie::from_bits(number(data, 0)),
            local_addr: number(data, 8),
            remote_addr: number(data, 16),
            kind,
            flags: Flags::from_bits(number(data, 56)),
            user_token: number(data, 64),
        })
    }

    /// The address that the operation names, in the peer's region, see [`RdmaArgs::target`].
    pub const fn target(&self) -> u64 {
        // CAST: widening only; `From` is not const.
        self.remote_addr.wrapping_add(self.cookie.offset as u64)
    }
}

/// `struct rds_free_mr_args`: a region that is given up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FreeArgs {
    /// Its cookie; none for all that nobody uses.
    pub cookie: Option<Cookie>,
    /// How it is given up.
    pub flags: Flags,
}

impl FreeArgs {
    /// Reads the structure.
    pub fn parse(data: &[u8; FREE_MR_LEN]) -> Self {
        let bits = number(data, 0);

        Self {
            cookie: (bits != 0).then(|| Cookie::from_bits(bits)),
            flags: Flags::from_bits(number(data, 8)),
        }
    }
}

/// How an operation ended, as the program is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// It is done.
    Success,
    /// The peer's adapter has refused it.
    RemoteError,
    /// The program has cancelled it, before it was done as far as is known.
    Cancelled,
    /// The connection was lost: it may be done or not.
    Dropped,
    /// It failed otherwise.
    OtherError,
}

impl Status {
    /// The number that programs know it by (`RDS_RDMA_*`).
    pub const fn number(self) -> i32 {
        match self {
            Self::Success => 0,
            Self::RemoteError => 1,
            Self::Cancelled => 2,
            Self::Dropped => 3,
            Self::OtherError => 4,
        }
    }

    /// The status of a number; [`OtherError`](Self::OtherError) for one that there is not.
    pub const fn from_number(number: i32) -> Self {
        match number {
            0 => Self::Success,
            1 => Self::RemoteError,
            2 => Self::Cancelled,
            3 => Self::Dropped,
            _ => Self::OtherError,
        }
    }
}

/// Returns a `struct rds_rdma_notify`: what [`RDMA_STATUS`](super::cmsg::RDMA_STATUS) carries.
pub fn status(user_token: u64, status: Status) -> [u8; STATUS_LEN] {
    let mut raw = [0; STATUS_LEN];
    let (token, rest) = raw.split_at_mut(8);

    token.copy_from_slice(&user_token.to_ne_bytes());
    if let Some(number) = rest.first_chunk_mut::<4>() {
        *number = status.number().to_ne_bytes();
    }
    raw
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec;
    use std::vec::Vec;

    /// A structure of these numbers.
    fn raw(numbers: &[u64]) -> Vec<u8> {
        numbers.iter().flat_map(|n| n.to_ne_bytes()).collect()
    }

    #[test]
    fn an_operation_is_read_field_by_field() {
        let data = raw(&[0x20_0000_0007, 0x100, 5, 0xffff, 2, 0x21, 99]);
        let args = RdmaArgs::parse(&data).unwrap();
        assert_eq!((args.cookie.rkey, args.cookie.offset), (7, 0x20));
        assert_eq!((args.remote_addr, args.remote_bytes), (0x100, 5));
        assert_eq!((args.local_addr, args.nr_local), (0xffff, 2));
        assert_eq!((args.target(), args.user_token), (0x120, 99));
        assert!(args.flags.contains(Flags::READWRITE.with(Flags::NOTIFY_ME)));
        assert!(!args.flags.contains(Flags::FENCE));
        assert_eq!(RdmaArgs::parse(&data[..RDMA_ARGS_LEN - 1]), None);
        let far = RdmaArgs {
            remote_addr: u64::MAX,
            ..args
        };
        assert_eq!(far.target(), 0x1f);
    }

    #[test]
    fn each_atomic_operation_has_its_operands() {
        let data = raw(&[7, 8, 16, 1, 2, 3, 4, 0x60, 99]);
        let kind = |number| AtomicArgs::parse(number, &data).map(|args| args.kind);
        let all = u64::MAX;
        let swap = |compare_mask, swap_mask| AtomicKind::CompareSwap {
            compare: 1,
            swap: 2,
            compare_mask,
            swap_mask,
        };
        let add = |boundary| AtomicKind::FetchAdd { add: 1, boundary };
        assert_eq!(kind(ATOMIC_FADD), Some(add(0)));
        assert_eq!(kind(MASKED_ATOMIC_FADD), Some(add(2)));
        assert_eq!(kind(ATOMIC_CSWP), Some(swap(all, all)));
        assert_eq!(kind(MASKED_ATOMIC_CSWP), Some(swap(3, 4)));
        assert_eq!(kind(1), None);
        assert!(!add(0).is_masked() && add(2).is_masked());
        assert!(!swap(all, all).is_masked());
        assert!(swap(3, all).is_masked() && swap(all, 4).is_masked());
        let args = AtomicArgs::parse(ATOMIC_FADD, &data).unwrap();
        assert_eq!((args.local_addr, args.target()), (8, 16));
        assert!(args.flags.contains(Flags::SILENT.with(Flags::NOTIFY_ME)));
        assert_eq!((args.cookie.rkey, args.user_token), (7, 99));
        assert_eq!(AtomicArgs::parse(ATOMIC_FADD, &data[1..]), None);
    }

    #[test]
    fn memory_to_register_may_come_with_an_address() {
        let data = raw(&[0x1000, 64, 0x2000, 9]);
        let args = MapArgs::parse(&data).unwrap();
        let memory = Iovec {
            addr: 0x1000,
            bytes: 64,
        };
        assert_eq!((args.memory, args.cookie_addr), (memory, 0x2000));
        assert!(args.flags.contains(Flags::USE_ONCE));
        let for_dest = [vec![0xaa; DEST_ADDRESS_LEN], data.clone()].concat();
        assert_eq!(for_dest.len(), GET_MR_FOR_DEST_LEN);
        assert_eq!(MapArgs::parse_for_dest(&for_dest), Some(args));
        assert_eq!(MapArgs::parse(&data[..31]), None);
        assert_eq!(MapArgs::parse_for_dest(&for_dest[..159]), None);
        assert_eq!(MapArgs::parse_for_dest(&data), None);
    }

    #[test]
    fn no_cookie_gives_up_all_that_nobody_uses() {
        let parse = |numbers: [u64; 2]| {
            let data: [u8; FREE_MR_LEN] = raw(&numbers).try_into().unwrap();
            FreeArgs::parse(&data)
        };
        assert_eq!(parse([0, 0]).cookie, None);
        let args = parse([0x5_0000_0003, 4]);
        assert_eq!(args.cookie.map(|c| (c.rkey, c.offset)), Some((3, 5)));
        assert!(args.flags.contains(Flags::INVALIDATE));
    }

    #[test]
    fn a_status_is_told_by_number() {
        let raw = status(0x1122, Status::Dropped);
        assert_eq!(number(&raw, 0), 0x1122);
        assert_eq!(raw[8..12], 3_i32.to_ne_bytes());
        assert_eq!(raw[12..], [0; 4]);
        for number in 0..5 {
            assert_eq!(Status::from_number(number).number(), number);
        }
        assert_eq!(Status::from_number(-1), Status::OtherError);
    }
}
