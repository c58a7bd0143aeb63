// SPDX-License-Identifier: GPL-2.0

//! The queue pair of a connection, and how frames are posted to it.

use super::{
    pools::{
        OnSent,
        Pools, //
    },
    Station, //
};
use crate::{
    congestion::Local,
    message::{
        Message,
        Outgoing, //
    },
    path::Path, //
};
use kernel::{
    num::casts::u32_as_usize,
    prelude::*,
    sync::Arc, //
};
use krdma::rdma::{
    cm,
    cq::Poll,
    dma::{
        Mapping,
        SharedMapping,
        ToDevice, //
    },
    mr::Remote,
    post::{
        Flag,
        Flags,
        Links,
        SendBatch,
        With, //
    },
    qp::{
        Capabilities,
        Context,
        QpContext,
        QpEvent,
        QpInit,
        Receive, //
    },
    Completion,
    Cq,
    Gid,
    Operation,
    Qp,
    Request, //
};
use rds_proto::{
    conn::ConnId,
    consts::HEADER_LEN,
    error::DropReason,
    send::{
        Body,
        Data,
        Frame, //
    },
};

pub(super) type SendRequest = Pin<KBox<Request<Send>>>;

/// Room for the header of a frame, and for data that is short: it is copied, so that the frame is in
/// one piece.
const ROOM: usize = 256;

/// Bytes of data up to which they are copied.
pub(super) const COPIED: u32 = (ROOM - HEADER_LEN) as u32;

/// Frames that are posted by one call.
const BATCH: usize = 4;

/// Pieces of memory that one frame is gathered from: a header, and a part of a message.
const SEND_SGE: u32 = 2;

/// The queue pair of a connection.
pub(crate) struct Link {
    qp: Qp,
    conn: ConnId,
    way: Way,
    receives: u32,
    pools: Arc<Pools>,
}

/// Between which ports of the network a connection is.
#[derive(Clone, Copy, Default)]
pub(crate) struct Way {
    pub(crate) source: Gid,
    pub(crate) destination: Gid,
    pub(crate) service_level: u8,
}

impl From<cm::Path> for Way {
    fn from(path: cm::Path) -> Self {
        Self {
            source: path.source_gid(),
            destination: path.destination_gid(),
            service_level: path.service_level(),
        }
    }
}

/// Whose queue pair it is, for completion handlers.
///
/// It keeps the path, which keeps the queue pair until the connection is closed.
pub(super) struct Owner {
    pub(super) path: Arc<Path>,
    pub(super) conn: ConnId,
    pub(super) pools: Arc<Pools>,
}

impl QpContext for Owner {
    fn event(&self, event: QpEvent) {
        match event {
            // A frame was faster than the last message of the handshake, which may be lost.
            QpEvent::CommunicationEstablished => self.path.heard(self.conn),
            // They come as the connection is taken down.
            QpEvent::LastWqeReached | QpEvent::SendQueueDrained => {}
            _ => self.path.lost(self.conn, DropReason::Transport),
        }
    }
}

impl Link {
    /// Makes a queue pair, in the reset state.
    pub(crate) fn new(
        station: &Station,
        path: Arc<Path>,
        conn: ConnId,
        way: Way,
    ) -> Result<Arc<Self>> {
        let pools = station.pools().clone();
        let profile = station.profile();
        let srq = pools.srq().ok_or(ENODEV)?;
        let send_cq = Cq::with_batch_end(
            station.device(),
            pools.module(),
            // The request that drains the queue has one as well.
            profile.send_cqe.saturating_add(1),
            conn.0,
            Poll::Softirq,
            OnSent(pools.clone()),
        )?;
        let init = QpInit {
            pd: station.pd().clone(),
            send_cq,
            receive: Receive::Shared(srq),
            cap: Capabilities {
                max_send_wr: profile.send_queue,
                max_send_sge: SEND_SGE,
                ..Capabilities::default()
            },
            port: 0,
            context: Some(Context::new(
                Owner {
                    path,
                    conn,
                    pools: pools.clone(),
                },
                GFP_KERNEL,
            )?),
        };

        Ok(Arc::new(
            Self {
                qp: Qp::new(init, pools.module())?,
                conn,
                way,
                receives: profile.recv_cqe,
                pools,
            },
            GFP_KERNEL,
        )?)
    }

    pub(crate) fn qp(&self) -> &Qp {
        &self.qp
    }

    pub(crate) fn conn(&self) -> ConnId {
        self.conn
    }

    /// Returns between which ports the connection is.
    pub(crate) fn way(&self) -> &Way {
        &self.way
    }

    /// Returns how many receives there are for all connections of the device.
    pub(crate) fn receives(&self) -> u32 {
        self.receives
    }

    /// Returns from how many pieces of memory one frame can be gathered.
    pub(crate) fn send_pieces(&self) -> u32 {
        SEND_SGE
    }

    /// Waits until nothing of the connection is in flight, and no frame of it will come in.
    ///
    /// Nothing may be posted meanwhile. May sleep.
    pub(crate) fn end(&self) {
        // No handler calls this.
        if let Err(err) = self.qp.drain() {
            kernel::pr_err_once!("a queue pair can't be drained: {:?}\n", err);
        }
    }

    /// Starts a batch of frames.
    #[inline(always)]
    pub(crate) fn batch(&self) -> Batch<'_> {
        Batch {
            link: self,
            inner: SendBatch::new(&self.qp),
            failed: false,
        }
    }

    /// Adds a frame to a batch, which is posted when it is full.
    ///
    /// Any context. Errors: [`ENOMEM`], and what posting fails with.
    pub(crate) fn push(
        &self,
        batch: &mut Batch<'_>,
        frame: &Frame<'_, Outgoing>,
        local: &Local,
    ) -> Result {
        if batch.inner.len() == BATCH {
            batch.post()?;
        }

        let mut request = match self.pools.take_send() {
            Some(request) => request,
            None => Send::new(&self.pools)?,
        };
        let send = request.as_mut().data_mut().get_mut();
        if let Err(err) = send.fill(&self.pools, frame, local) {
            send.clear();
            self.pools.put_send(request);
            return Err(err);
        }

        let flags = if frame.solicited {
            Flag::Solicited.into()
        } else {
            Flags::default()
        };
        let pushed = if frame.signaled {
            batch
                .inner
                .push(request, |send, links| send.describe(links, flags))
        } else {
            batch
                .inner
                .push_unsignaled(request, |send, links| send.describe(links, flags))
        };
        pushed.map_err(|refused| {
            drop(refused.request);
            refused.error
        })
    }
}

/// Frames that are posted together.
pub(crate) struct Batch<'a> {
    link: &'a Link,
    inner: SendBatch<'a, Send, BATCH, { 2 * BATCH }>,
    failed: bool,
}

impl Batch<'_> {
    fn post(&mut self) -> Result {
        self.inner.post().map_err(|unposted| {
            let error = unposted.error;

            self.failed = true;
            drop(unposted);
            pr_debug!("{}: can't post: {:?}\n", self.link.qp.number(), error);
            EIO
        })
    }

    /// Posts what is left.
    ///
    /// Errors: If any frame of the batch was not posted.
    pub(crate) fn finish(&mut self) -> Result {
        if self.failed {
            return Err(EIO);
        }
        self.post()
    }
}

/// A send request: a frame.
pub(super) struct Send {
    room: Mapping<KBox<[u8; ROOM]>, ToDevice>,
    /// Bytes of `room` that are sent; none for a probe.
    len: u32,
    data: Piece,
    /// Its number, if the path is to know when it is done.
    id: Option<u32>,
}

/// Data that follows the header.
enum Piece {
    None,
    Message(SharedMapping<Message>),
    Map(Mapping<KVec<u8>, ToDevice>),
}

impl Send {
    fn new(pools: &Pools) -> Result<SendRequest> {
        Request::new(
            Self {
                room: Mapping::new(pools.device(), KBox::new([0; ROOM], GFP_ATOMIC)?)?,
                len: 0,
                data: Piece::None,
                id: None,
            },
            GFP_ATOMIC,
        )
    }

    /// Describes the frame to the device.
    fn describe<'a>(&'a self, links: &mut Links<'a, '_>, flags: Flags) -> Result {
        let head = self.room.sge().slice(0..self.len)?;

        match &self.data {
            _ if self.len == 0 => {
                let nowhere = Remote { addr: 0, key: 0 };
                links.write(&[], nowhere, None, flags)
            }
            Piece::None => links.send(&[head], With::Nothing, flags),
            Piece::Message(data) => links.send(&[head, data.sge()], With::Nothing, flags),
            Piece::Map(data) => links.send(&[head, data.sge()], With::Nothing, flags),
        }
    }

    /// Forgets the frame, and gives up the message that it is of.
    fn clear(&mut self) {
        self.len = 0;
        self.data = Piece::None;
    }

    /// Takes in a frame.
    fn fill(&mut self, pools: &Pools, frame: &Frame<'_, Outgoing>, local: &Local) -> Result {
        self.id = frame.signaled.then_some(frame.id);
        let (header, data) = match &frame.body {
            Body::Send { header, data } => (header, data),
            Body::Probe => return Ok(()),
            // No socket accepts one.
            Body::Operation(_) => return Err(EOPNOTSUPP),
        };

        let mut room = self.room.cpu();
        let (head, rest) = room.split_at_mut(HEADER_LEN);
        head.copy_from_slice(header);
        self.len = HEADER_LEN as u32;
        match *data {
            Data::None => {}
            Data::Message {
                message, offset, ..
            } => {
                let handle = message.message();
                match handle.payload().piece_at(offset) {
                    None => {}
                    Some(piece) if piece.len() <= rest.len() => {
                        if let Some(rest) = rest.get_mut(..piece.len()) {
                            rest.copy_from_slice(piece);
                        }
                        self.len = (HEADER_LEN + piece.len()) as u32;
                    }
                    Some(_) => {
                        self.data = Piece::Message(SharedMapping::new(
                            pools.device(),
                            handle.clone(),
                            |message| message.payload().piece_at(offset),
                        )?);
                    }
                }
            }
            Data::CongMap { offset, len } => {
                let mut bytes = KVec::from_elem(0, u32_as_usize(len), GFP_ATOMIC)?;

                local.copy(u32_as_usize(offset), &mut bytes);
                self.data = Piece::Map(Mapping::new(pools.device(), bytes)?);
            }
        }
        Ok(())
    }
}

impl Operation for Send {
    fn done(mut this: Pin<KBox<Request<Self>>>, completion: &Completion<'_>) {
        let send = this.as_mut().data_mut().get_mut();
        let id = send.id;
        send.clear();
        let Some(owner) = completion.poster().context::<Owner>() else {
            return;
        };

        owner.pools.put_send(this);
        match id {
            _ if !completion.is_success() => owner.path.lost(owner.conn, DropReason::Transport),
            Some(id) => {
                if owner.path.sent(owner.conn, id) {
                    owner.pools.touch(&owner.path);
                }
            }
            // A later one tells.
            None => {}
        }
    }
}
