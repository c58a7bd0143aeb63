// SPDX-License-Identifier: GPL-2.0

//! Copying the data of a message from where its sender has it.

use super::{
    payload::{
        Payload,
        SHORT, //
    },
    piece::IS_PAGE,
    spares::Spares, //
};
use kernel::prelude::*;
use krdma::net::SendMsg;
use rds_proto::consts::FRAGMENT_BYTES;

/// Where the data of a message is copied from.
pub(crate) trait Source {
    /// Copies the next bytes into `vec`, in place of what is there.
    fn take(&mut self, len: usize, vec: &mut KVec<u8>, flags: kernel::alloc::Flags) -> Result;

    /// Copies the next bytes, as many as `to` has.
    fn read(&mut self, to: &mut [u8]) -> Result;
}

impl Source for SendMsg<'_> {
    fn take(&mut self, len: usize, vec: &mut KVec<u8>, flags: kernel::alloc::Flags) -> Result {
        SendMsg::take(self, len, vec, flags)
    }

    fn read(&mut self, to: &mut [u8]) -> Result {
        SendMsg::read(self, to)
    }
}

/// Copies the data of a message from the caller into an empty payload.
///
/// Memory that is there already was charged to whoever sent first; it is not more than a message.
/// If `wants_pages`, full pieces are pages.
#[inline]
pub(crate) fn copy(
    payload: &mut Payload,
    msg: &mut impl Source,
    len: usize,
    spares: &Spares,
    flags: kernel::alloc::Flags,
    wants_pages: bool,
) -> Result {
    if len <= SHORT {
        return payload.set_short(len, |bytes| msg.read(bytes));
    }
    copy_pieces(payload, msg, len, spares, flags, wants_pages && IS_PAGE)
}

/// As [`copy`], of more than fits in place.
fn copy_pieces(
    payload: &mut Payload,
    msg: &mut impl Source,
    len: usize,
    spares: &Spares,
    flags: kernel::alloc::Flags,
    wants_pages: bool,
) -> Result {
    payload.reserve(u32::try_from(len).map_err(|_| EMSGSIZE)?, flags)?;
    let mut left = len;
    let fragments = if wants_pages { 0 } else { len / FRAGMENT_BYTES };
    let mut taken = spares.take_some(fragments).into_iter();

    while left > 0 {
        let part = left.min(FRAGMENT_BYTES);
        let is_full = part == FRAGMENT_BYTES;
        if is_full && wants_pages {
            let mut page = spares.get_page(flags)?;
            // Somebody may look at all pages of the host just now.
            if let Some(bytes) = page.bytes_mut() {
                msg.read(bytes)?;
                left = left.saturating_sub(part);
                payload.push(page, flags)?;
                continue;
            }
        }
        let mut piece = match taken.next() {
            _ if !is_full => KVec::new(),
            Some(piece) => piece.unwrap_or_default(),
            None => {
                taken = spares.take_some(left / FRAGMENT_BYTES).into_iter();
                taken.next().flatten().unwrap_or_default()
            }
        };
        msg.take(part, &mut piece, flags)?;
        left = left.saturating_sub(piece.len());
        payload.push(piece, flags)?;
    }
    Ok(())
}
