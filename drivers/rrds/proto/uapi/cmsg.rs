// SPDX-License-Identifier: GPL-2.0

//! Control messages of the level [`SOL_RDS`](super::SOL_RDS) (spec-cmsg, spec-recvmsg).

/// `RDS_CMSG_RDMA_ARGS`: an RDMA read or write.
pub const RDMA_ARGS: i32 = 1;
/// `RDS_CMSG_RDMA_DEST`: the key of memory, for the peer.
pub const RDMA_DEST: i32 = 2;
/// `RDS_CMSG_RDMA_MAP`: memory to register, whose key goes to the peer.
pub const RDMA_MAP: i32 = 3;
/// `RDS_CMSG_RDMA_STATUS`: how an RDMA operation ended.
pub const RDMA_STATUS: i32 = 4;
/// `RDS_CMSG_CONG_UPDATE`: the mask of ports that got free.
pub const CONG_UPDATE: i32 = 5;
/// `RDS_CMSG_ATOMIC_FADD`: an atomic addition.
pub const ATOMIC_FADD: i32 = 6;
/// `RDS_CMSG_ATOMIC_CSWP`: an atomic compare and swap.
pub const ATOMIC_CSWP: i32 = 7;
/// `RDS_CMSG_MASKED_ATOMIC_FADD`: an atomic addition within a mask.
pub const MASKED_ATOMIC_FADD: i32 = 8;
/// `RDS_CMSG_MASKED_ATOMIC_CSWP`: an atomic compare and swap within a mask.
pub const MASKED_ATOMIC_CSWP: i32 = 9;
/// `RDS_CMSG_RXPATH_LATENCY`: the times that a message took.
pub const RXPATH_LATENCY: i32 = 11;
/// `RDS_CMSG_ZCOPY_COOKIE`: the sender's name for memory that is not copied.
pub const ZCOPY_COOKIE: i32 = 12;
/// `RDS_CMSG_ZCOPY_COMPLETION`: names of memory that is not used any more.
pub const ZCOPY_COMPLETION: i32 = 13;

/// Length of `struct rds_rdma_args`, which [`RDMA_ARGS`] carries.
pub const RDMA_ARGS_LEN: usize = 56;
/// Length of a cookie, which [`RDMA_DEST`] carries.
pub const RDMA_DEST_LEN: usize = 8;
/// Length of `struct rds_get_mr_args`, which [`RDMA_MAP`] carries.
pub const RDMA_MAP_LEN: usize = 32;
/// Length of `struct rds_atomic_args`, which the atomic operations carry.
pub const ATOMIC_LEN: usize = 72;

/// Most parts of a message's way of which [`RXPATH_LATENCY`] tells the time.
pub const MAX_TRACES: usize = 3;
/// Length of a cookie, which [`ZCOPY_COOKIE`] carries.
pub const ZCOPY_COOKIE_LEN: usize = 4;
/// Most cookies in one [`ZCOPY_COMPLETION`].
pub const MAX_ZCOPY_COOKIES: usize = 8;
/// Length of `struct rds_zcopy_cookies`, which [`ZCOPY_COMPLETION`] carries.
pub const ZCOPY_COMPLETION_LEN: usize = 36;

/// Returns a `struct rds_zcopy_cookies` of the first cookies, so many as it has places for.
pub fn zcopy_completion(cookies: &[u32]) -> [u8; ZCOPY_COMPLETION_LEN] {
    let mut raw = [0; ZCOPY_COMPLETION_LEN];
    let (number, places) = raw.split_at_mut(4);
    let mut count = 0_u32;

    for (place, cookie) in places.chunks_exact_mut(4).zip(cookies) {
        place.copy_from_slice(&cookie.to_ne_bytes());
        count = count.saturating_add(1);
    }
    number.copy_from_slice(&count.to_ne_bytes());
    raw
}
