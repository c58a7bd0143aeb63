// SPDX-License-Identifier: GPL-2.0

//! Memory that a program registers for peers, and the ends of its operations (spec-rdma, spec-options).

use super::{
    regions::Regions,
    Socket, //
};
use crate::{
    message::Extra,
    region::Region, //
};
use kernel::{
    module::this_module,
    prelude::*,
    sync::Arc,
    uaccess::{
        UserPtr,
        UserSlice, //
    },
};
use krdma::{
    net::{
        Open,
        OptionIn,
        Sock, //
    },
    page::{
        self,
        PinnedPages,
        UserRange, //
    },
};
use rds_proto::{
    uapi::{
        cmsg::RDMA_MAP_LEN,
        rdma::{
            Flags,
            FreeArgs,
            Iovec,
            MapArgs,
            FREE_MR_LEN,
            GET_MR_FOR_DEST_LEN, //
        }, //
    },
    wire::Cookie, //
};

/// Most pages of a region, one more for memory that begins within a page.
const MAX_PAGES: usize = 256;

/// Returns the regions of a socket. May sleep.
///
/// Errors: [`ENOMEM`].
pub(super) fn of(sock: &Sock<Socket>) -> Result<&Regions> {
    let this = &sock.data().rdma;

    if this.as_ref().is_none() {
        let new = Regions::new()?;
        // One task at a time: who is not the first finds what that has made.
        let _locked = sock.lock();

        this.populate(new);
    }
    this.as_ref().map(|regions| &**regions).ok_or(ENOMEM)
}

/// The operations of a message are done: the program is told what it is to be told. Any context.
pub(super) fn operated(sock: &Sock<Socket>, extra: &Extra) {
    let Some(regions) = sock.data().rdma.as_ref() else {
        return;
    };
    let mut is_news = false;

    extra.for_each_notice(|notice, status| is_news |= regions.note(notice, status));
    if is_news {
        sock.data_ready();
    }
}

/// Returns the bytes that an entry names.
///
/// Errors: [`EINVAL`] if there are none, or they go past the end of the address space.
pub(super) fn range(iovec: Iovec) -> Result<UserRange> {
    let range = UserRange {
        addr: usize::try_from(iovec.addr).map_err(|_| EINVAL)?,
        len: usize::try_from(iovec.bytes).map_err(|_| EINVAL)?,
    };

    range.pages()?;
    Ok(range)
}

/// Registers memory of the program. Returns the cookie and the region. May sleep.
///
/// Errors: spec-options: [`ENOTCONN`], [`EOPNOTSUPP`], [`EINVAL`], [`EPERM`], [`EMSGSIZE`], [`EFAULT`], [`ENODEV`],
/// [`ENOMEM`].
pub(super) fn map(sock: &Open<'_, Socket>, args: &MapArgs) -> Result<(Cookie, Arc<dyn Region>)> {
    let (at, scope, transport) = Socket::bound(sock).ok_or(ENOTCONN)?;
    if transport.operation_pieces() == 0 {
        return Err(EOPNOTSUPP);
    }
    let range = range(args.memory)?;
    if !page::may_lock() {
        return Err(EPERM);
    }
    if range.pages()? > MAX_PAGES.saturating_add(1) {
        return Err(EMSGSIZE);
    }
    let regions = of(sock)?;
    let is_writable = args.flags.contains(Flags::READWRITE);
    let owner = this_module::<crate::LocalModule>();
    let pages = PinnedPages::pin(owner, &[range], is_writable)?;

    let region = transport.register(sock.namespace(), at.addr, scope, pages)?;
    let cookie = region.cookie();
    if args.cookie_addr != 0 {
        let addr = usize::try_from(args.cookie_addr).map_err(|_| EFAULT)?;
        let mut writer = UserSlice::new(UserPtr::from_addr(addr), 8).writer();

        writer.write(&cookie.bits())?;
    }
    regions.enter(region.clone(), args.flags.contains(Flags::USE_ONCE))?;
    Ok((cookie, region))
}

/// `RDS_GET_MR`.
pub(super) fn get_mr(sock: &Open<'_, Socket>, value: &OptionIn<'_>) -> Result {
    if value.len() != RDMA_MAP_LEN {
        return Err(EINVAL);
    }
    let args = MapArgs::parse(&value.read::<RDMA_MAP_LEN>()?).ok_or(EINVAL)?;

    map(sock, &args).map(drop)
}

/// `RDS_GET_MR_FOR_DEST`. The address does not matter: a region is for all peers.
pub(super) fn get_mr_for_dest(sock: &Open<'_, Socket>, value: &OptionIn<'_>) -> Result {
    if value.len() != GET_MR_FOR_DEST_LEN {
        return Err(EINVAL);
    }
    let raw = value.read::<GET_MR_FOR_DEST_LEN>()?;
    let args = MapArgs::parse_for_dest(&raw).ok_or(EINVAL)?;

    map(sock, &args).map(drop)
}

/// `RDS_FREE_MR`: with `INVALIDATE` no peer can use the memory when this returns, else soon after that.
pub(super) fn free_mr(sock: &Open<'_, Socket>, value: &OptionIn<'_>) -> Result {
    if value.len() != FREE_MR_LEN {
        return Err(EINVAL);
    }
    let args = FreeArgs::parse(&value.read()?);
    let Some(cookie) = args.cookie else {
        // What is given up is revoked anyway.
        let transport = Socket::bound(sock).map(|(_, _, transport)| transport);
        let has_regions = transport.is_some_and(|transport| transport.operation_pieces() != 0);
        return has_regions.then_some(()).ok_or(EINVAL);
    };
    let regions = sock.data().rdma.as_ref().ok_or(EINVAL)?;
    let region = regions.forget(cookie.rkey).ok_or(EINVAL)?;

    if args.flags.contains(Flags::INVALIDATE) {
        region.revoke();
    }
    Ok(())
}
