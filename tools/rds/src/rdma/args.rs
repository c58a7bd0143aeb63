// SPDX-License-Identifier: GPL-2.0

//! What the kernel is told, byte by byte: the structures of `include/uapi/linux/rds.h` whose names begin
//! with `rds_`. All fields have 64 bits.

/// Appends the numbers in the host's order.
fn words<const N: usize>(words: &[u64]) -> [u8; N] {
    let mut out = [0; N];
    for (place, word) in out.chunks_exact_mut(8).zip(words) {
        place.copy_from_slice(&word.to_ne_bytes());
    }
    out
}

/// `struct rds_get_mr_args`: memory, where its cookie goes to, flags. The option GET_MR and the control
/// message RDMA_MAP have it.
pub(super) fn get_mr(addr: u64, len: u64, cookie_addr: u64, flags: u64) -> [u8; 32] {
    words(&[addr, len, cookie_addr, flags])
}

/// Length of `struct __kernel_sockaddr_storage`.
const STORAGE: usize = 128;

/// `struct rds_get_mr_for_dest_args`: a peer's address, then as [`get_mr`].
pub(super) fn get_mr_for_dest(name: &[u8], args: &[u8; 32]) -> [u8; STORAGE + 32] {
    let mut out = [0; STORAGE + 32];
    let len = name.len().min(STORAGE);
    out[..len].copy_from_slice(&name[..len]);
    out[STORAGE..].copy_from_slice(args);
    out
}

/// `struct rds_free_mr_args`.
pub(super) fn free_mr(cookie: u64, flags: u64) -> [u8; 16] {
    words(&[cookie, flags])
}

/// `struct rds_rdma_args`.
pub(super) struct Rdma {
    pub(super) cookie: u64,
    pub(super) remote_addr: u64,
    pub(super) remote_bytes: u64,
    /// Of an array of `struct rds_iovec`, see [`iovecs`].
    pub(super) local_vec_addr: u64,
    pub(super) nr_local: u64,
    pub(super) flags: u64,
    pub(super) user_token: u64,
}

impl Rdma {
    pub(super) fn bytes(&self) -> [u8; 56] {
        words(&[
            self.cookie,
            self.remote_addr,
            self.remote_bytes,
            self.local_vec_addr,
            self.nr_local,
            self.flags,
            self.user_token,
        ])
    }
}

/// An array of `struct rds_iovec`, each an address and a length.
pub(super) fn iovecs(pieces: impl Iterator<Item = (u64, u64)>) -> Vec<[u64; 2]> {
    pieces.map(|(addr, len)| [addr, len]).collect()
}

/// `struct rds_atomic_args`.
pub(super) struct Atomic {
    pub(super) cookie: u64,
    pub(super) local_addr: u64,
    pub(super) remote_addr: u64,
    /// The union: what it is depends on the control message's type.
    pub(super) operands: [u64; 4],
    pub(super) flags: u64,
    pub(super) user_token: u64,
}

impl Atomic {
    pub(super) fn bytes(&self) -> [u8; 72] {
        let [a, b, c, d] = self.operands;
        words(&[
            self.cookie,
            self.local_addr,
            self.remote_addr,
            a,
            b,
            c,
            d,
            self.flags,
            self.user_token,
        ])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rds_proto::uapi::cmsg::{ATOMIC_LEN, RDMA_ARGS_LEN, RDMA_MAP_LEN};
    use std::mem::offset_of;

    // As in <linux/rds.h>.
    #[repr(C)]
    struct CIovec {
        addr: u64,
        bytes: u64,
    }

    #[repr(C)]
    struct CGetMr {
        vec: CIovec,
        cookie_addr: u64,
        flags: u64,
    }

    #[repr(C, align(8))]
    struct CStorage([u8; 128]);

    #[repr(C)]
    struct CGetMrForDest {
        dest_addr: CStorage,
        vec: CIovec,
        cookie_addr: u64,
        flags: u64,
    }

    #[repr(C)]
    struct CFreeMr {
        cookie: u64,
        flags: u64,
    }

    #[repr(C)]
    struct CRdma {
        cookie: u64,
        remote_vec: CIovec,
        local_vec_addr: u64,
        nr_local: u64,
        flags: u64,
        user_token: u64,
    }

    #[repr(C)]
    struct CAtomic {
        cookie: u64,
        local_addr: u64,
        remote_addr: u64,
        union: [u64; 4],
        flags: u64,
        user_token: u64,
    }

    fn at(bytes: &[u8], offset: usize) -> u64 {
        crate::bytes::u64(bytes, offset).unwrap()
    }

    #[test]
    fn get_mr_is_as_in_c() {
        let raw = get_mr(1, 2, 3, 4);
        assert_eq!(raw.len(), size_of::<CGetMr>());
        assert_eq!(raw.len(), RDMA_MAP_LEN);
        assert_eq!(at(&raw, offset_of!(CGetMr, vec.addr)), 1);
        assert_eq!(at(&raw, offset_of!(CGetMr, vec.bytes)), 2);
        assert_eq!(at(&raw, offset_of!(CGetMr, cookie_addr)), 3);
        assert_eq!(at(&raw, offset_of!(CGetMr, flags)), 4);
        let long = get_mr_for_dest(&[7; 28], &raw);
        assert_eq!(long.len(), size_of::<CGetMrForDest>());
        assert_eq!(long[..29], [&[7; 28][..], &[0]].concat());
        assert_eq!(at(&long, offset_of!(CGetMrForDest, vec.addr)), 1);
        assert_eq!(at(&long, offset_of!(CGetMrForDest, vec.bytes)), 2);
        assert_eq!(at(&long, offset_of!(CGetMrForDest, cookie_addr)), 3);
        assert_eq!(at(&long, offset_of!(CGetMrForDest, flags)), 4);
        assert_eq!(get_mr_for_dest(&[7; 200], &raw)[..128], [7; 128]);
        let free = free_mr(5, 6);
        assert_eq!(free.len(), size_of::<CFreeMr>());
        assert_eq!(at(&free, offset_of!(CFreeMr, cookie)), 5);
        assert_eq!(at(&free, offset_of!(CFreeMr, flags)), 6);
    }

    #[test]
    fn operations_are_as_in_c() {
        let raw = Rdma {
            cookie: 1,
            remote_addr: 2,
            remote_bytes: 3,
            local_vec_addr: 4,
            nr_local: 5,
            flags: 6,
            user_token: 7,
        }
        .bytes();
        assert_eq!(raw.len(), size_of::<CRdma>());
        assert_eq!(raw.len(), RDMA_ARGS_LEN);
        for (offset, value) in [
            (offset_of!(CRdma, cookie), 1),
            (offset_of!(CRdma, remote_vec.addr), 2),
            (offset_of!(CRdma, remote_vec.bytes), 3),
            (offset_of!(CRdma, local_vec_addr), 4),
            (offset_of!(CRdma, nr_local), 5),
            (offset_of!(CRdma, flags), 6),
            (offset_of!(CRdma, user_token), 7),
        ] {
            assert_eq!(at(&raw, offset), value);
        }
        let list = iovecs([(8, 9), (10, 11)].into_iter());
        assert_eq!(size_of_val(&list[..]), 2 * size_of::<CIovec>());
        assert_eq!(list, [[8, 9], [10, 11]]);

        let raw = Atomic {
            cookie: 1,
            local_addr: 2,
            remote_addr: 3,
            operands: [4, 5, 6, 7],
            flags: 8,
            user_token: 9,
        }
        .bytes();
        assert_eq!(raw.len(), size_of::<CAtomic>());
        assert_eq!(raw.len(), ATOMIC_LEN);
        for (offset, value) in [
            (offset_of!(CAtomic, cookie), 1),
            (offset_of!(CAtomic, local_addr), 2),
            (offset_of!(CAtomic, remote_addr), 3),
            (offset_of!(CAtomic, union), 4),
            (offset_of!(CAtomic, union) + 24, 7),
            (offset_of!(CAtomic, flags), 8),
            (offset_of!(CAtomic, user_token), 9),
        ] {
            assert_eq!(at(&raw, offset), value);
        }
        assert_eq!(offset_of!(CAtomic, flags), 56);
        assert_eq!(offset_of!(CAtomic, user_token), 64);
    }
}
