// SPDX-License-Identifier: GPL-2.0

//! Control messages of messages to send (spec-cmsg).
//!
//! They are looked at twice, as in C: [`check`] says what there is, before anything is done, and reads the lists of the
//! program's memory; [`execute`] does it, when the message is made.

use super::{
    rdma,
    Socket, //
};
use crate::{
    message::{
        AtomicOperation,
        Extra,
        Notice,
        Target,
        Transfer, //
    },
    region::Region,
};
use kernel::{
    module::this_module,
    num::casts::usize_as_u64,
    prelude::*,
    sync::Arc,
    uaccess::{
        UserPtr,
        UserSlice, //
    },
};
use krdma::{
    net::{
        cmsg::Cmsgs,
        MsgFlags,
        Open, //
    },
    page::{
        PinnedPages,
        UserRange, //
    },
};
use rds_proto::{
    consts::SEND_RING,
    uapi::{
        cmsg::{
            ATOMIC_CSWP,
            ATOMIC_FADD,
            MASKED_ATOMIC_CSWP,
            MASKED_ATOMIC_FADD,
            RDMA_ARGS,
            RDMA_DEST,
            RDMA_MAP,
            ZCOPY_COOKIE,
            ZCOPY_COOKIE_LEN, //
        },
        rdma::{
            AtomicArgs,
            Flags,
            Iovec,
            MapArgs,
            RdmaArgs,
            IOVEC_LEN,
            MAX_LOCAL, //
        },
        SOL_RDS, //
    },
    wire::Cookie, //
};

/// What control messages ask for, as far as it is known before anything is done.
#[derive(Default)]
pub(super) struct Asked {
    /// The program's memory of the first RDMA operation.
    local: Option<KVec<UserRange>>,
    /// There is something about RDMA.
    pub(super) is_rdma: bool,
}

impl Asked {
    /// Takes out what is to be done.
    pub(super) fn take(&mut self) -> Self {
        core::mem::take(self)
    }
}

/// Returns how many bytes of remote memory are asked for, all in all.
pub(super) fn rdma_bytes(cmsgs: Cmsgs<'_>) -> Result<usize> {
    let mut sum = 0_usize;

    for cmsg in cmsgs {
        let cmsg = cmsg?;
        if cmsg.level == SOL_RDS && cmsg.kind == RDMA_ARGS {
            let args = RdmaArgs::parse(cmsg.data).ok_or(EINVAL)?;
            let bytes = usize::try_from(args.remote_bytes);
            // In C the sum wraps.
            sum = sum.saturating_add(bytes.unwrap_or(usize::MAX));
        }
    }
    Ok(sum)
}

/// Checks which control messages there are, and that they may come together. May sleep.
pub(super) fn check(cmsgs: Cmsgs<'_>, flags: MsgFlags) -> Result<Asked> {
    let (mut operates, mut names_memory, mut has_cookie) = (false, false, false);
    let mut asked = Asked::default();

    for cmsg in cmsgs {
        let cmsg = cmsg?;
        if cmsg.level != SOL_RDS {
            continue;
        }
        match cmsg.kind {
            RDMA_ARGS => {
                operates = true;
                let local = local(&RdmaArgs::parse(cmsg.data).ok_or(EINVAL)?)?;
                asked.local.get_or_insert(local);
            }
            ATOMIC_FADD | ATOMIC_CSWP | MASKED_ATOMIC_FADD | MASKED_ATOMIC_CSWP => operates = true,
            RDMA_DEST | RDMA_MAP => {
                names_memory = true;
                asked.is_rdma = true;
            }
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
    asked.is_rdma |= operates;
    Ok(asked)
}

/// Reads the list of local memory of an RDMA operation, once.
fn local(args: &RdmaArgs) -> Result<KVec<UserRange>> {
    if args.nr_local == 0 {
        return Err(EINVAL);
    }
    if args.nr_local > MAX_LOCAL {
        return Err(EMSGSIZE);
    }
    let count = usize::try_from(args.nr_local).map_err(|_| EMSGSIZE)?;
    let addr = usize::try_from(args.local_addr).map_err(|_| EFAULT)?;
    // OVERFLOW: The count is at most MAX_LOCAL.
    let mut list = UserSlice::new(UserPtr::from_addr(addr), count * IOVEC_LEN).reader();
    let mut ranges = KVec::with_capacity(count, GFP_KERNEL_ACCOUNT)?;

    for _ in 0..count {
        let iovec = Iovec::parse(&list.read()?);
        ranges.push(rdma::range(iovec)?, GFP_KERNEL_ACCOUNT)?;
    }
    Ok(ranges)
}

/// What control messages have done: it is undone unless the message is [sent](Self::sent).
pub(super) struct Executed<'a> {
    sock: &'a Open<'a, Socket>,
    /// The last cookie, if the call lends memory.
    pub(super) cookie: Option<u32>,
    extra: Option<Extra>,
    /// The region that was registered for this message.
    mapped: Option<Cookie>,
    /// Notices that were made for it.
    notices: usize,
}

impl Executed<'_> {
    /// Takes out what the message has beside its data, if it has anything.
    pub(super) fn take_extra(&mut self) -> Option<Extra> {
        self.extra.take()
    }

    /// The message was taken, though the call fails: its notices are told or given back with it.
    pub(super) fn taken(&mut self) {
        self.notices = 0;
    }

    /// The message was sent.
    pub(super) fn sent(mut self) {
        self.mapped = None;
        self.notices = 0;
    }
}

impl Drop for Executed<'_> {
    fn drop(&mut self) {
        let Some(rdma) = self.sock.data().rdma.as_ref() else {
            return;
        };
        if let Some(cookie) = self.mapped {
            rdma.forget(cookie.rkey);
        }
        rdma.give_back(self.notices);
    }
}

/// Does what the control messages ask for. May sleep.
///
/// Errors: spec-cmsg: [`EINVAL`] for those that are malformed, come twice, name memory that is not registered, or more local
/// memory than remote one; [`EOPNOTSUPP`] if the transport has no RDMA; and those of pinning and registering memory.
pub(super) fn execute<'a>(
    sock: &'a Open<'a, Socket>,
    cmsgs: Cmsgs<'_>,
    mut asked: Asked,
    lends: bool,
) -> Result<Executed<'a>> {
    let mut done = Executed {
        sock,
        cookie: None,
        extra: None,
        mapped: None,
        notices: 0,
    };

    for cmsg in cmsgs {
        let cmsg = cmsg?;
        if cmsg.level != SOL_RDS {
            continue;
        }
        match cmsg.kind {
            ZCOPY_COOKIE if lends => {
                let bytes = cmsg.data.first_chunk::<ZCOPY_COOKIE_LEN>().ok_or(EINVAL)?;
                done.cookie = Some(u32::from_ne_bytes(*bytes));
            }
            RDMA_ARGS => {
                let extra = done.extra.get_or_insert_default();
                if extra.transfer.is_some() {
                    return Err(EINVAL);
                }
                let args = RdmaArgs::parse(cmsg.data).ok_or(EINVAL)?;
                let local = asked.local.take().ok_or(EINVAL)?;
                let notices = &mut done.notices;
                extra.transfer = Some(transfer(sock, &args, &local, notices)?);
            }
            ATOMIC_FADD | ATOMIC_CSWP | MASKED_ATOMIC_FADD | MASKED_ATOMIC_CSWP => {
                let extra = done.extra.get_or_insert_default();
                if extra.atomic.is_some() {
                    return Err(EINVAL);
                }
                let args = AtomicArgs::parse(cmsg.kind, cmsg.data).ok_or(EINVAL)?;
                extra.atomic = Some(atomic(sock, &args, &mut done.notices)?);
            }
            RDMA_DEST => {
                let bytes = cmsg.data.first_chunk().ok_or(EINVAL)?;
                let cookie = Cookie::from_bits(u64::from_ne_bytes(*bytes));
                let region = sock.data().rdma.as_ref();
                let region = region.and_then(|rdma| rdma.region(cookie));
                name(&mut done, |_| Ok((cookie, region.ok_or(EINVAL)?)))?;
            }
            RDMA_MAP => {
                let args = MapArgs::parse(cmsg.data).ok_or(EINVAL)?;
                let cookie = name(&mut done, |sock| rdma::map(sock, &args))?;
                done.mapped = Some(cookie);
            }
            _ => return Err(EINVAL),
        }
    }

    let extra = done.extra.as_ref();
    if extra.is_some_and(|extra| extra.transfer.is_some() || extra.atomic.is_some()) {
        let transport = Socket::bound(sock).ok_or(ENOTCONN)?.2;
        let atomic = extra.and_then(|extra| extra.atomic.as_ref());
        let has_it = atomic.is_none_or(|op| transport.has_atomics(op.kind.is_masked()));
        if transport.operation_pieces() == 0 || !has_it {
            return Err(EOPNOTSUPP);
        }
    }
    if let Some(op) = extra.and_then(|extra| extra.transfer.as_ref()) {
        let stats = &sock.data().space.stats;
        stats.send_rdma.add(1);
        stats.send_rdma_bytes.add(usize_as_u64(op.pages.len()));
    }
    Ok(done)
}

/// Has the message tell the peer of a region, if it does not tell of another one. Returns the cookie.
fn name(
    done: &mut Executed<'_>,
    find: impl FnOnce(&Open<'_, Socket>) -> Result<(Cookie, Arc<dyn Region>)>,
) -> Result<Cookie> {
    let sock = done.sock;
    let extra = done.extra.get_or_insert_default();
    if extra.region.is_some() {
        return Err(EINVAL);
    }
    let (cookie, region) = find(sock)?;

    region.sync(false);
    extra.region = Some((cookie, region));
    Ok(cookie)
}

/// Makes an RDMA operation.
fn transfer(
    sock: &Open<'_, Socket>,
    args: &RdmaArgs,
    local: &[UserRange],
    notices: &mut usize,
) -> Result<Transfer> {
    // Before it is pinned.
    let bytes = local
        .iter()
        .fold(0_usize, |sum, range| sum.saturating_add(range.len));
    if usize_as_u64(bytes) > args.remote_bytes {
        return Err(EINVAL);
    }
    // What is written to the peer is only read here.
    let is_writable = !args.flags.contains(Flags::READWRITE);
    let pages = PinnedPages::pin(this_module::<crate::LocalModule>(), local, is_writable)?;
    let transport = Socket::bound(sock).ok_or(ENOTCONN)?.2;
    let pieces = transport.operation_pieces().max(1);
    let count = u32::try_from(pages.pages()).map_err(|_| EMSGSIZE)?;
    // What the queue of no connection would take.
    let ring = sock.data().space.sysctls.settings().send_ring;
    if count.div_ceil(pieces) > ring.min(SEND_RING) {
        return Err(EMSGSIZE);
    }

    Ok(Transfer {
        pages,
        target: Target {
            addr: args.target(),
            key: args.cookie.rkey,
        },
        requests: count.div_ceil(pieces),
        flags: args.flags,
        notice: notice(sock, args.flags, args.user_token, notices)?,
    })
}

/// Makes an atomic operation.
fn atomic(
    sock: &Open<'_, Socket>,
    args: &AtomicArgs,
    notices: &mut usize,
) -> Result<AtomicOperation> {
    const LEN: usize = 8;
    let addr = usize::try_from(args.local_addr).map_err(|_| EFAULT)?;
    if addr % LEN != 0 {
        return Err(EFAULT);
    }
    let range = UserRange { addr, len: LEN };
    range.pages().map_err(|_| EFAULT)?;

    Ok(AtomicOperation {
        pages: PinnedPages::pin(this_module::<crate::LocalModule>(), &[range], true)?,
        target: Target {
            addr: args.target(),
            key: args.cookie.rkey,
        },
        kind: args.kind,
        flags: args.flags,
        notice: notice(sock, args.flags, args.user_token, notices)?,
    })
}

/// Makes what the program is told of the end of an operation, if it is told anything, and adds to their number.
fn notice(
    sock: &Open<'_, Socket>,
    flags: Flags,
    token: u64,
    notices: &mut usize,
) -> Result<Option<Arc<Notice>>> {
    let asked_for = flags.contains(Flags::NOTIFY_ME);
    let hears_of_errors = sock.lock().recverr;
    if !asked_for && !hears_of_errors {
        return Ok(None);
    }
    let notice = rdma::of(sock)?.notice(token, asked_for)?;

    // OVERFLOW: A message has two operations at most.
    *notices = notices.wrapping_add(1);
    Ok(Some(notice))
}
