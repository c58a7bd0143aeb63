// SPDX-License-Identifier: GPL-2.0

//! Links: what one request asks the hardware to do.

use super::Filler;
use crate::{
    bindings,
    rdma::{
        device::AtomicCapability,
        dma::Piece,
        mr::{
            Access,
            Mr,
            Remote,
            Round, //
        },
        qp::{
            Connected,
            Datagram,
            Poster,
            Rc,
            Reliable, //
        },
        request::{
            Header,
            Tie, //
        },
        Ah,
        Sge,
        SgeMut, //
    },
};
use core::{
    marker::PhantomData,
    mem::MaybeUninit,
    ptr, //
};
use kernel::{
    impl_flags,
    prelude::*, //
};

impl_flags!(
    /// How a link is to be worked on.
    #[derive(Debug, Clone, Default, Copy, PartialEq, Eq)]
    pub struct Flags(u32);

    /// One way of working on a link.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub enum Flag {
        /// Not before the RDMA reads and atomics posted earlier are done.
        Fence = bindings::ib_send_flags_IB_SEND_FENCE as u32,
        /// The receiver's completion is one that it has asked to be signalled of.
        Solicited = bindings::ib_send_flags_IB_SEND_SOLICITED as u32,
    }
);

/// Bytes that are taken when the request is posted. They need not be mapped, and the device does not read
/// them later.
///
/// There may be [as many as](crate::rdma::qp::Capabilities::max_inline_data) the queue pair grants.
#[derive(Clone, Copy)]
pub struct Inline<'a>(pub &'a [u8]);

/// What a request sends or writes: memory that the device reads, one piece after the other, or [`Inline`].
pub enum Gather<'a, 's> {
    /// Memory that the device reads. A piece of no byte is left out.
    Pieces(&'s [Sge<'a>]),
    /// Bytes that are taken at once.
    Inline(Inline<'a>),
}

impl<'a, 's> From<&'s [Sge<'a>]> for Gather<'a, 's> {
    #[inline]
    fn from(pieces: &'s [Sge<'a>]) -> Self {
        Self::Pieces(pieces)
    }
}

impl<'a, 's, const N: usize> From<&'s [Sge<'a>; N]> for Gather<'a, 's> {
    #[inline]
    fn from(pieces: &'s [Sge<'a>; N]) -> Self {
        Self::Pieces(pieces)
    }
}

impl<'a> From<Inline<'a>> for Gather<'a, '_> {
    #[inline]
    fn from(bytes: Inline<'a>) -> Self {
        Self::Inline(bytes)
    }
}

/// The same, of each kind of link.
enum Data<'p, I> {
    Pieces(I),
    Inline(&'p [u8]),
}

impl<'p> Gather<'p, '_> {
    #[inline]
    fn data(&self) -> Data<'p, impl Iterator<Item = Piece<'p>> + '_> {
        match self {
            Self::Pieces(pieces) => Data::Pieces(pieces.iter().map(|sge| sge.0)),
            Self::Inline(bytes) => Data::Inline(bytes.0),
        }
    }
}

/// What comes with a message beside its bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum With {
    /// Nothing.
    Nothing,
    /// Immediate data, given in the host's byte order.
    Immediate(u32),
}

/// A link of any kind, as C takes it. All begin with the plain one.
#[derive(Clone, Copy)]
#[repr(C)]
pub(super) union RawLink {
    pub(super) send: bindings::ib_send_wr,
    rdma: bindings::ib_rdma_wr,
    atomic: bindings::ib_atomic_wr,
    ud: bindings::ib_ud_wr,
    reg: bindings::ib_reg_wr,
}

/// A link that names no memory.
const NO_DATA: Data<'static, core::iter::Empty<Piece<'static>>> = Data::Pieces(core::iter::empty());

/// The links of a request that is being described. What they name must be of `'a`, the request.
///
/// `S` is the service that the queue pair gives. For datagrams there is [`send_to`](Self::send_to) only, and
/// only there. Reads, atomic operations, registrations and invalidations are for [`Reliable`] connections.
pub struct Links<'a, 'b, S = Rc> {
    pub(super) qp: Poster<'b, S>,
    pub(super) header: *mut Header,
    pub(super) links: &'b mut [MaybeUninit<RawLink>],
    pub(super) first_piece: &'b mut [usize],
    pub(super) pieces: Filler<'b>,
    /// The request's first link.
    pub(super) first_link: usize,
    pub(super) nr_links: usize,
    // Invariant: the lifetime can be neither shortened nor made longer.
    pub(super) _data: PhantomData<fn(&'a ()) -> &'a ()>,
}

impl<'a, S: Connected> Links<'a, '_, S> {
    /// Sends a message, into a receive buffer of the peer.
    pub fn send<'s>(&mut self, data: impl Into<Gather<'a, 's>>, with: With, flags: Flags) -> Result
    where
        'a: 's,
    {
        let (opcode, ex) = Self::opcode(
            with,
            bindings::ib_wr_opcode_IB_WR_SEND,
            bindings::ib_wr_opcode_IB_WR_SEND_WITH_IMM,
        );
        let send = self.common(opcode, ex, data.into().data(), flags)?;

        self.add(RawLink { send });
        Ok(())
    }

    /// Writes to a peer's memory. With immediate data it also takes a receive buffer of the peer.
    pub fn write<'s>(
        &mut self,
        data: impl Into<Gather<'a, 's>>,
        remote: Remote,
        immediate: Option<u32>,
        flags: Flags,
    ) -> Result
    where
        'a: 's,
    {
        let (opcode, ex) = Self::opcode(
            immediate.map_or(With::Nothing, With::Immediate),
            bindings::ib_wr_opcode_IB_WR_RDMA_WRITE,
            bindings::ib_wr_opcode_IB_WR_RDMA_WRITE_WITH_IMM,
        );
        let rdma = bindings::ib_rdma_wr {
            wr: self.common(opcode, ex, data.into().data(), flags)?,
            remote_addr: remote.addr,
            rkey: remote.key,
        };

        self.add(RawLink { rdma });
        Ok(())
    }
}

impl<'a, S: Datagram> Links<'a, '_, S> {
    /// Sends a datagram to a queue pair that `ah` leads to.
    ///
    /// A request has one: nothing would tell what has become of the first of several, if the driver refuses
    /// another. Errors: [`EINVAL`] for a second, and if `ah` is of another device.
    ///
    /// `qp` is the number of the peer's queue pair, or [`MULTICAST_QP`](crate::rdma::mcast::MULTICAST_QP)
    /// if the way is to a group. `qkey` is the key that it must have. (With the highest bit set it
    /// stands for the sender's own key, on most devices.)
    pub fn send_to<'s>(
        &mut self,
        ah: &'a Ah,
        qp: u32,
        qkey: u32,
        data: impl Into<Gather<'a, 's>>,
        immediate: Option<u32>,
        flags: Flags,
    ) -> Result
    where
        'a: 's,
    {
        if ah.device() != self.qp.device() {
            return Err(EINVAL);
        }
        if self.nr_links != self.first_link {
            return Err(EINVAL);
        }
        let (opcode, ex) = Self::opcode(
            immediate.map_or(With::Nothing, With::Immediate),
            bindings::ib_wr_opcode_IB_WR_SEND,
            bindings::ib_wr_opcode_IB_WR_SEND_WITH_IMM,
        );
        let ud = bindings::ib_ud_wr {
            wr: self.common(opcode, ex, data.into().data(), flags)?,
            ah: ah.as_raw(),
            remote_qpn: qp,
            remote_qkey: qkey,
            ..pin_init::zeroed()
        };

        self.add(RawLink { ud });
        Ok(())
    }
}

impl<'a, S: Reliable> Links<'a, '_, S> {
    /// Sends a message, and has the peer's device revoke `key`, one of the peer's.
    pub fn send_invalidate<'s>(
        &mut self,
        data: impl Into<Gather<'a, 's>>,
        key: u32,
        flags: Flags,
    ) -> Result
    where
        'a: 's,
    {
        let ex = bindings::ib_send_wr__bindgen_ty_2 {
            invalidate_rkey: key,
        };
        let send = self.common(
            bindings::ib_wr_opcode_IB_WR_SEND_WITH_INV,
            ex,
            data.into().data(),
            flags,
        )?;

        self.add(RawLink { send });
        Ok(())
    }

    /// Reads from a peer's memory.
    pub fn read(&mut self, sges: &[SgeMut<'a>], remote: Remote, flags: Flags) -> Result {
        let rdma = bindings::ib_rdma_wr {
            wr: self.common(
                bindings::ib_wr_opcode_IB_WR_RDMA_READ,
                pin_init::zeroed(),
                Data::Pieces(sges.iter().map(|sge| sge.0)),
                flags,
            )?,
            remote_addr: remote.addr,
            rkey: remote.key,
        };

        self.add(RawLink { rdma });
        Ok(())
    }

    /// Adds to eight bytes of a peer's memory, atomically. The old value, in the host's byte order,
    /// goes to `result`, of eight bytes.
    ///
    /// Errors: [`EOPNOTSUPP`] if the device has no atomic operations
    /// ([`Attributes::atomic_capability`](crate::rdma::device::Attributes::atomic_capability)); [`EINVAL`] if
    /// `result` has another length.
    pub fn fetch_add(
        &mut self,
        result: SgeMut<'a>,
        remote: Remote,
        add: u64,
        flags: Flags,
    ) -> Result {
        self.atomic(
            bindings::ib_wr_opcode_IB_WR_ATOMIC_FETCH_AND_ADD,
            result,
            remote,
            flags,
            |wr| wr.compare_add = add,
        )
    }

    /// Adds to fields of eight bytes of a peer's memory: no carry crosses a bit set in `boundary`.
    ///
    /// Errors: As for [`fetch_add`](Self::fetch_add), by
    /// [`Attributes::masked_atomic_capability`](crate::rdma::device::Attributes::masked_atomic_capability).
    pub fn masked_fetch_add(
        &mut self,
        result: SgeMut<'a>,
        remote: Remote,
        add: u64,
        boundary: u64,
        flags: Flags,
    ) -> Result {
        self.atomic(
            bindings::ib_wr_opcode_IB_WR_MASKED_ATOMIC_FETCH_AND_ADD,
            result,
            remote,
            flags,
            |wr| {
                wr.compare_add = add;
                wr.compare_add_mask = boundary;
            },
        )
    }

    /// Sets eight bytes of a peer's memory to `swap` if they are `compare`, atomically. The old value
    /// goes to `result`, of eight bytes.
    ///
    /// Errors: As for [`fetch_add`](Self::fetch_add).
    pub fn compare_swap(
        &mut self,
        result: SgeMut<'a>,
        remote: Remote,
        compare: u64,
        swap: u64,
        flags: Flags,
    ) -> Result {
        self.atomic(
            bindings::ib_wr_opcode_IB_WR_ATOMIC_CMP_AND_SWP,
            result,
            remote,
            flags,
            |wr| {
                wr.compare_add = compare;
                wr.swap = swap;
            },
        )
    }

    /// As [`compare_swap`](Self::compare_swap), of the bits that the masks name. Each is a value and
    /// its mask.
    ///
    /// Errors: As for [`masked_fetch_add`](Self::masked_fetch_add).
    pub fn masked_compare_swap(
        &mut self,
        result: SgeMut<'a>,
        remote: Remote,
        compare: (u64, u64),
        swap: (u64, u64),
        flags: Flags,
    ) -> Result {
        self.atomic(
            bindings::ib_wr_opcode_IB_WR_MASKED_ATOMIC_CMP_AND_SWP,
            result,
            remote,
            flags,
            |wr| {
                (wr.compare_add, wr.compare_add_mask) = compare;
                (wr.swap, wr.swap_mask) = swap;
            },
        )
    }

    /// Registers a region: from here on it can be used as `access` says.
    ///
    /// A request may have one such link. Errors: [`EBUSY`] if it has one or the region is
    /// [exposed](Mr::is_exposed), [`ENOENT`] if the region has no pages, [`EACCES`] if these are a program's that are pinned
    /// for reading and `access` is more than [`RemoteRead`](crate::rdma::mr::AccessFlag::RemoteRead), [`EINVAL`] if it is
    /// of another protection domain.
    pub fn register(&mut self, mr: &'a Mr, access: Access, flags: Flags) -> Result {
        if !self.qp.has_pd_of(mr) {
            return Err(EINVAL);
        }
        // SAFETY: The header is of the request that is described, which the batch owns.
        if unsafe { !(*self.header).registers.is_none() } {
            return Err(EBUSY);
        }

        let wr = self.common(
            bindings::ib_wr_opcode_IB_WR_REG_MR,
            pin_init::zeroed(),
            NO_DATA,
            flags,
        )?;
        let (round, key) = mr.begin(access)?;
        // SAFETY: As above. The region lives as long as the request.
        unsafe {
            (*self.header).registers = Tie {
                exposure: mr.exposure(),
                round,
            };
        }
        self.add(RawLink {
            reg: bindings::ib_reg_wr {
                wr,
                mr: mr.as_raw(),
                key,
                access: access.as_raw(),
            },
        });
        Ok(())
    }

    /// Revokes the key of a region. When the request is done, nobody can use the region, and its
    /// pages can be taken out.
    ///
    /// What registers the region must have ended, however it did, or be an earlier link of this request.
    /// (An invalidation that is worked on by another queue pair could be the first of both.)
    ///
    /// A request may have one such link. Errors: [`EBUSY`] if it has one, or another request registers or
    /// revokes the region, [`ENOENT`] if the region is not [exposed](Mr::is_exposed), [`EINVAL`] if it is
    /// of another protection domain.
    pub fn invalidate(&mut self, mr: &'a Mr, flags: Flags) -> Result {
        if !self.qp.has_pd_of(mr) {
            return Err(EINVAL);
        }
        // SAFETY: The header is of the request that is described, which the batch owns.
        let own = unsafe {
            if !(*self.header).revokes.is_none() {
                return Err(EBUSY);
            }
            let registers = &(*self.header).registers;

            if ptr::eq(registers.exposure, mr.exposure()) {
                registers.round
            } else {
                Round::NONE
            }
        };

        let mut send = self.common(
            bindings::ib_wr_opcode_IB_WR_LOCAL_INV,
            pin_init::zeroed(),
            NO_DATA,
            flags,
        )?;
        let (round, key) = mr.begin_end(own)?;
        send.ex = bindings::ib_send_wr__bindgen_ty_2 {
            invalidate_rkey: key,
        };
        // SAFETY: As above. The region lives as long as the request.
        unsafe {
            (*self.header).revokes = Tie {
                exposure: mr.exposure(),
                round,
            };
        }
        self.add(RawLink { send });
        Ok(())
    }

    fn atomic(
        &mut self,
        opcode: bindings::ib_wr_opcode,
        result: SgeMut<'a>,
        remote: Remote,
        flags: Flags,
        operands: impl FnOnce(&mut bindings::ib_atomic_wr),
    ) -> Result {
        let attributes = self.qp.device().attributes();
        let capability = match opcode {
            bindings::ib_wr_opcode_IB_WR_MASKED_ATOMIC_CMP_AND_SWP
            | bindings::ib_wr_opcode_IB_WR_MASKED_ATOMIC_FETCH_AND_ADD => {
                attributes.masked_atomic_capability()
            }
            _ => attributes.atomic_capability(),
        };

        if capability == AtomicCapability::None {
            return Err(EOPNOTSUPP);
        }
        if result.len() != 8 {
            return Err(EINVAL);
        }
        let mut atomic = bindings::ib_atomic_wr {
            wr: self.common(
                opcode,
                pin_init::zeroed(),
                Data::Pieces(core::iter::once(result.0)),
                flags,
            )?,
            remote_addr: remote.addr,
            rkey: remote.key,
            ..pin_init::zeroed()
        };

        operands(&mut atomic);
        self.add(RawLink { atomic });
        Ok(())
    }
}

impl<S> Links<'_, '_, S> {
    fn opcode(
        with: With,
        plain: bindings::ib_wr_opcode,
        immediate: bindings::ib_wr_opcode,
    ) -> (bindings::ib_wr_opcode, bindings::ib_send_wr__bindgen_ty_2) {
        match with {
            With::Nothing => (plain, pin_init::zeroed()),
            With::Immediate(data) => (
                immediate,
                bindings::ib_send_wr__bindgen_ty_2 {
                    imm_data: data.to_be(),
                },
            ),
        }
    }

    /// Makes the part that all links have. Room for the link is there if this succeeds.
    fn common<'p>(
        &mut self,
        opcode: bindings::ib_wr_opcode,
        ex: bindings::ib_send_wr__bindgen_ty_2,
        data: Data<'p, impl Iterator<Item = Piece<'p>>>,
        flags: Flags,
    ) -> Result<bindings::ib_send_wr> {
        let first_piece = self.first_piece.get_mut(self.nr_links).ok_or(ENOSPC)?;
        let first = *self.pieces.len;
        let (count, inline) = match data {
            Data::Pieces(pieces) => {
                let (dev, key) = (self.qp.device(), self.qp.dma_key());

                (
                    self.pieces.add(dev, key, self.qp.max_send_sge(), pieces)?,
                    0,
                )
            }
            Data::Inline(bytes) => (
                self.pieces.add_inline(self.qp.max_inline_data(), bytes)?,
                // CAST: The flag is positive; C keeps it in an `int`.
                bindings::ib_send_flags_IB_SEND_INLINE as c_int,
            ),
        };
        *first_piece = first;

        Ok(bindings::ib_send_wr {
            next: ptr::null_mut(),
            __bindgen_anon_1: bindings::ib_send_wr__bindgen_ty_1 {
                // SAFETY: The header is of the request that is described. Only an address is taken.
                wr_cqe: unsafe { &raw mut (*self.header).fault },
            },
            sg_list: ptr::null_mut(),
            // CAST: There are not more than fit in a batch.
            num_sge: count as c_int,
            opcode,
            // CAST: The flags are few and positive; C keeps them in an `int`.
            send_flags: u32::from(flags) as c_int | inline,
            ex,
        })
    }

    /// Adds a link, for which [`common`](Self::common) has found room.
    fn add(&mut self, link: RawLink) {
        if let Some(slot) = self.links.get_mut(self.nr_links) {
            slot.write(link);
            self.nr_links += 1;
        }
    }
}
