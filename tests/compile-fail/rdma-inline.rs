// SPDX-License-Identifier: GPL-2.0

//! What is sent inline is bytes that the request has, and no address of a device; and there is no flag that
//! would make it so.

use kernel::prelude::*;
use krdma::rdma::{
    dma::{Mapping, ToDevice},
    post::{Flag, Flags, Inline, Links, With},
    Mr, SgeMut,
};

/// A request.
pub struct Outgoing {
    mr: Mr,
    room: Mapping<KVec<u8>, ToDevice>,
    bytes: KVec<u8>,
}

/// Compiles.
pub fn right<'a>(this: &'a Outgoing, links: &mut Links<'a, '_>) -> Result {
    links.send(Inline(&this.bytes), With::Nothing, Flags::default())
}

/// The driver would take the address for a pointer.
pub fn region<'a>(this: &'a Outgoing, links: &mut Links<'a, '_>) -> Result {
    links.send(Inline(&this.mr.sge()), With::Nothing, Flags::default()) //~ E0308
}

/// As before.
pub fn mapping<'a>(this: &'a Outgoing, links: &mut Links<'a, '_>) -> Result {
    links.send(&[this.room.sge()], With::Nothing, Flag::Inline.into()) //~ E0599
}

/// The bytes would be gone when they are taken.
pub fn gone<'a>(_: &'a Outgoing, links: &mut Links<'a, '_>) -> Result {
    let bytes = [0; 8];
    links.send(Inline(&bytes), With::Nothing, Flags::default()) //~ E0597
}

/// A read has no bytes to take.
pub fn read<'a>(this: &'a Outgoing, links: &mut Links<'a, '_>) -> Result {
    let pieces: &[SgeMut<'a>] = &[];
    links.read(pieces, this.mr.remote(), Flags::default())?;
    links.read(Inline(&this.bytes), this.mr.remote(), Flags::default()) //~ E0308
}
