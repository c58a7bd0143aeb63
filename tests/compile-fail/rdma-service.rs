// SPDX-License-Identifier: GPL-2.0

//! What the service of a queue pair does not have is not there for its type.

use kernel::{
    prelude::*,
    sync::Arc, //
};
use krdma::rdma::{
    dma::{Bidirectional, Mapping},
    mcast::Attachment,
    mr::{Access, Remote},
    post::{Flags, Links, SendBatch, With},
    qp::{Gsi, Poster, Uc, Ud},
    Ah, Completion, Gid, Lid, Mr, Operation, Qp, Request,
};

/// A request.
pub struct Piece {
    room: Mapping<KVec<u8>, Bidirectional>,
    mr: Mr,
    ah: Ah,
}

impl Operation for Piece {
    fn done(_: Pin<KBox<Request<Self>>>, _: &Completion<'_>) {}
}

/// Compiles: what a reliable connection has.
pub fn reliable<'a>(this: &'a Piece, links: &mut Links<'a, '_>, at: Remote) -> Result {
    links.register(&this.mr, Access::default(), Flags::default())?;
    links.read(&[this.room.sge_mut()], at, Flags::default())?;
    links.send(&[this.room.sge()], With::Nothing, Flags::default())
}

/// A reliable connection has no addresses.
pub fn address<'a>(this: &'a Piece, links: &mut Links<'a, '_>) -> Result {
    links.send_to(&this.ah, 1, 1, &[this.room.sge()], None, Flags::default()) //~ E0599
}

/// An unreliable connection has writes, and neither reads nor registrations.
pub fn unreliable<'a>(this: &'a Piece, links: &mut Links<'a, '_, Uc>, at: Remote) -> Result {
    links.write(&[this.room.sge()], at, None, Flags::default())?;
    links.register(&this.mr, Access::default(), Flags::default())?; //~ E0599
    links.invalidate(&this.mr, Flags::default())?; //~ E0599
    links.fetch_add(this.room.sge_mut(), at, 1, Flags::default())?; //~ E0599
    links.send_invalidate(&[this.room.sge()], 1, Flags::default())?; //~ E0599
    links.read(&[this.room.sge_mut()], at, Flags::default()) //~ E0599
}

/// A datagram goes to an address, and reaches no memory.
pub fn datagram<'a>(this: &'a Piece, links: &mut Links<'a, '_, Ud>, at: Remote) -> Result {
    links.send(&[this.room.sge()], With::Nothing, Flags::default())?; //~ E0599
    links.write(&[this.room.sge()], at, None, Flags::default())?; //~ E0599
    links.read(&[this.room.sge_mut()], at, Flags::default())?; //~ E0599
    links.send_to(&this.ah, 1, 1, &[this.room.sge()], None, Flags::default())
}

/// A datagram is always signalled.
pub fn silent(qp: &Qp<Gsi>, request: Pin<KBox<Request<Piece>>>) {
    let mut batch: SendBatch<'_, _, 1, 1, Gsi> = SendBatch::new(qp);
    let _ = batch.push_unsignaled(request, |_, _| Ok(())); //~ E0599
}

/// A batch is for the service of its queue pair.
pub fn batch(qp: &Qp<Ud>) {
    let _: SendBatch<'_, Piece> = SendBatch::new(qp); //~ E0308
}

/// So is the right of a handler, which has to say what service it takes it to be.
pub fn handler(completion: &Completion<'_>) {
    let _: Poster<'_> = completion.poster(); //~ E0308
}

/// Groups are for datagrams.
pub fn group(qp: &Arc<Qp>, gid: Gid) {
    let _ = Attachment::new(qp, gid, Lid::RESERVED); //~ E0308
}
