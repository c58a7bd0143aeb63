// SPDX-License-Identifier: GPL-2.0

//! Control messages of messages to send (spec-cmsg).
//!
//! There is no RDMA yet: what asks for it is checked as C does and then refused.

use kernel::prelude::*;
use krdma::net::{
    cmsg::Cmsgs,
    MsgFlags, //
};
use rds_proto::uapi::{
    cmsg::{
        ATOMIC_CSWP,
        ATOMIC_FADD,
        ATOMIC_LEN,
        MASKED_ATOMIC_CSWP,
        MASKED_ATOMIC_FADD,
        RDMA_ARGS,
        RDMA_ARGS_LEN,
        RDMA_DEST,
        RDMA_DEST_LEN,
        RDMA_MAP,
        RDMA_MAP_LEN,
        ZCOPY_COOKIE,
        ZCOPY_COOKIE_LEN, //
    },
    SOL_RDS, //
};

/// Where in what RDMA_ARGS carries the length of the remote memory is.
const ARGS_REMOTE_BYTES: usize = 16;
/// Where in it the address of the list of local memory is.
const ARGS_LOCAL_ADDR: usize = 24;
/// Where in it the number of pieces of local memory is.
const ARGS_NR_LOCAL: usize = 32;
/// Length of an entry of the list of local memory.
const VEC_LEN: usize = 16;
/// Most pieces of local memory.
const MAX_LOCAL: u64 = 1024;

/// Returns the number at `offset`.
fn number(data: &[u8], offset: usize) -> u64 {
    data.get(offset..)
        .and_then(|rest| rest.first_chunk())
        .map_or(0, |bytes| u64::from_ne_bytes(*bytes))
}

/// Returns how many bytes of remote memory are asked for, all in all.
pub(super) fn rdma_bytes(cmsgs: Cmsgs<'_>) -> Result<usize> {
    let mut sum = 0_usize;

    for cmsg in cmsgs {
        let cmsg = cmsg?;
        if cmsg.level == SOL_RDS && cmsg.kind == RDMA_ARGS {
            if cmsg.data.len() < RDMA_ARGS_LEN {
                return Err(EINVAL);
            }
            let bytes = usize::try_from(number(cmsg.data, ARGS_REMOTE_BYTES));
            // As in C, where the sum wraps; nothing is done with it but to compare it.
            sum = sum.wrapping_add(bytes.unwrap_or(usize::MAX));
        }
    }
    Ok(sum)
}

/// Checks which control messages there are, and that they may come together.
pub(super) fn check(cmsgs: Cmsgs<'_>, flags: MsgFlags) -> Result {
    let (mut operates, mut names_memory, mut has_cookie) = (false, false, false);

    for cmsg in cmsgs {
        let cmsg = cmsg?;
        if cmsg.level != SOL_RDS {
            continue;
        }
        match cmsg.kind {
            RDMA_ARGS => {
                operates = true;
                check_local(cmsg.data)?;
            }
            ATOMIC_FADD | ATOMIC_CSWP | MASKED_ATOMIC_FADD | MASKED_ATOMIC_CSWP => operates = true,
            RDMA_DEST | RDMA_MAP => names_memory = true,
            ZCOPY_COOKIE => {
                names_memory = true;
                has_cookie = true;
            }
            _ => return Err(EINVAL),
        }
    }
    if (flags.contains(MsgFlags::ZEROCOPY) && !has_cookie) || (operates && names_memory) {
        return Err(EINVAL);
    }
    Ok(())
}

/// Checks the list of local memory of an RDMA operation.
fn check_local(args: &[u8]) -> Result {
    use kernel::uaccess::{
        UserPtr,
        UserSlice, //
    };
    let count = number(args, ARGS_NR_LOCAL);

    if count == 0 {
        return Err(EINVAL);
    }
    if count > MAX_LOCAL {
        return Err(EMSGSIZE);
    }
    let count = usize::try_from(count).map_err(|_| EMSGSIZE)?;
    let addr = usize::try_from(number(args, ARGS_LOCAL_ADDR)).map_err(|_| EFAULT)?;
    // OVERFLOW: The count is at most MAX_LOCAL.
    let mut list = UserSlice::new(UserPtr::from_addr(addr), count * VEC_LEN).reader();
    for _ in 0..count {
        let (start, len) = (list.read::<u64>()?, list.read::<u64>()?);
        // Nothing, or around the end of memory.
        if len == 0 || start.checked_add(len).is_none() {
            return Err(EINVAL);
        }
    }
    Ok(())
}

/// Does what the control messages ask for. Returns the last cookie, if the call `lends` memory.
///
/// Errors: [`EOPNOTSUPP`] for RDMA and atomic operations, [`EINVAL`] for those that are malformed, or
/// name memory that is not registered, which none is, or is not lent.
pub(super) fn execute(cmsgs: Cmsgs<'_>, lends: bool) -> Result<Option<u32>> {
    let mut cookie = None;

    for cmsg in cmsgs {
        let cmsg = cmsg?;
        if cmsg.level != SOL_RDS {
            continue;
        }
        let (least, error) = match cmsg.kind {
            ZCOPY_COOKIE if lends => {
                let bytes = cmsg.data.first_chunk::<ZCOPY_COOKIE_LEN>().ok_or(EINVAL)?;
                cookie = Some(u32::from_ne_bytes(*bytes));
                continue;
            }
            RDMA_ARGS => (RDMA_ARGS_LEN, EOPNOTSUPP),
            RDMA_DEST => (RDMA_DEST_LEN, EINVAL),
            RDMA_MAP => (RDMA_MAP_LEN, EOPNOTSUPP),
            ATOMIC_FADD | ATOMIC_CSWP | MASKED_ATOMIC_FADD | MASKED_ATOMIC_CSWP => {
                (ATOMIC_LEN, EOPNOTSUPP)
            }
            _ => (0, EINVAL),
        };
        return Err(if cmsg.data.len() < least {
            EINVAL
        } else {
            error
        });
    }
    Ok(cookie)
}
