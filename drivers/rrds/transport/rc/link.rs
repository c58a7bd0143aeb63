// SPDX-License-Identifier: GPL-2.0

//! The queue pair of a connection, and how frames are posted to it.

use super::{
    completions::Owner,
    marker::Rc,
    operation::{
        self,
        Operations,
        LINKS,
        PIECES, //
    },
    pools::{
        OnSent,
        Pools, //
    },
    send::{
        Sending,
        COPIED, //
    },
    station::Station, //
};
use crate::{
    message::{
        Extra,
        Outgoing, //
    },
    path::{
        self,
        Path, //
    },
};
use kernel::{
    prelude::*,
    sync::{
        atomic::{
            ordering::Relaxed,
            Atomic, //
        },
        Arc, //
    },
    time::{
        delay::fsleep,
        Delta, //
    },
};
use krdma::rdma::{
    cm,
    cq::Poll,
    post::{
        Flag,
        Flags,
        SendBatch, //
    },
    qp::{
        Capabilities,
        Context,
        QpInit,
        Receive, //
    },
    Cq,
    Gid,
    Qp, //
};
use rds_proto::{
    conn::ConnId,
    send::{
        Body,
        Frame, //
    },
    settings::Settings,
    uapi::rdma, //
};

/// Frames that are posted by one call.
const BATCH: usize = 4;

/// How often it is looked, and after what time, whether the peer has said what became of operations. It says so with the
/// first packet that finds them wrong, and only then closes the connection.
const SETTLES: u32 = 50;
const SETTLE: Delta = Delta::from_millis(4);

/// The queue pair of a connection.
pub(crate) struct Link {
    qp: Qp,
    conn: ConnId,
    way: Way,
    sends: u32,
    receives: u32,
    /// Pieces of memory that one request is gathered from.
    pieces: u32,
    pools: Arc<Pools>,
}

/// Between which ports of the network a connection is.
#[derive(Clone, Copy, Default)]
pub(super) struct Way {
    pub(super) source: Gid,
    pub(super) destination: Gid,
    pub(super) service_level: u8,
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

impl Link {
    /// Makes a queue pair, in the reset state.
    pub(super) fn new(
        station: &Station,
        path: Arc<Path<Rc>>,
        conn: ConnId,
        way: Way,
    ) -> Result<Arc<Self>> {
        let pools = station.pools().clone();
        let profile = station.profile();
        let srq = pools.srq().ok_or(ENODEV)?;
        let pieces = profile.send_sge.min(operation::PIECES);
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
                max_send_sge: pieces,
                ..Capabilities::default()
            },
            port: 0,
            context: Some(Context::new(
                Owner {
                    path,
                    conn,
                    pools: pools.clone(),
                    operations: Atomic::new(0),
                },
                GFP_KERNEL,
            )?),
        };

        Ok(Arc::new(
            Self {
                qp: Qp::new(init, pools.module())?,
                conn,
                way,
                sends: profile.send_ring,
                receives: profile.recv_cqe,
                pieces,
                pools,
            },
            GFP_KERNEL,
        )?)
    }

    pub(super) fn qp(&self) -> &Qp {
        &self.qp
    }

    /// Returns between which ports the connection is.
    pub(super) fn way(&self) -> &Way {
        &self.way
    }

    /// Returns how many receives there are for all connections of the device.
    pub(super) fn receives(&self) -> u32 {
        self.receives
    }

    /// Returns from how many pieces of memory one request can be gathered.
    pub(super) fn send_pieces(&self) -> u32 {
        self.pieces
    }

    /// Calls `f` with the number of parts of operations that are with the device.
    fn count_operations<R>(&self, f: impl FnOnce(&Atomic<u32>) -> R) -> Option<R> {
        self.qp.context::<Owner>().map(|owner| f(&owner.operations))
    }

    /// Posts the operations of a message, after what is in the batch. `id` is the number of their last request, if the path is
    /// to know when it is done.
    ///
    /// Errors: As for [`push`](path::Link::push): [`ENOMEM`] only if nothing was posted.
    #[cold]
    fn operate(&self, batch: &mut Batch<'_>, message: &Outgoing, id: Option<u32>) -> Result {
        let mut operations = Operations::new(self.pools.device(), message.message(), self.pieces)?;
        let mut request = self.pools.take_send()?;
        // Who waits for the end is told without delay.
        let is_awaited = message.extra().is_some_and(Extra::is_awaited);
        batch.post()?;

        loop {
            let part = operations.next().ok_or(EINVAL)?;
            let is_last = operations.is_empty();
            let send = request.as_mut().data_mut().get_mut();
            send.operate(part, id.filter(|_| is_last));

            let mut batch: SendBatch<'_, Sending, LINKS, { LINKS * PIECES as usize }> =
                SendBatch::new(&self.qp);
            let pushed = match is_last && (id.is_some() || is_awaited) {
                true => batch.push(request, |send, links| {
                    send.describe(links, Flags::default())
                }),
                false => batch.push_unsignaled(request, |send, links| {
                    send.describe(links, Flags::default())
                }),
            };
            let posted = match pushed {
                Ok(()) => {
                    // Before it can be done.
                    self.count_operations(|count| count.fetch_add(1, Relaxed));
                    batch.post().map_err(|unposted| {
                        self.count_operations(|count| count.fetch_sub(1, Relaxed));
                        unposted.error
                    })
                }
                Err(refused) => Err(refused.error),
            };
            if let Err(err) = posted {
                // The program is told that it is no fault of the network's.
                if let Some(extra) = message.extra() {
                    extra.fail(rdma::Status::OtherError);
                }
                return Err(if err == ENOMEM { EIO } else { err });
            }
            if is_last {
                return Ok(());
            }
            // It has been begun.
            request = self.pools.take_send().map_err(|_| EIO)?;
        }
    }
}

impl path::Link for Link {
    type Batch<'a> = Batch<'a>;

    #[inline]
    fn conn(&self) -> ConnId {
        self.conn
    }

    fn number(&self) -> u32 {
        self.qp.number()
    }

    fn settings(&self, wanted: Settings) -> Settings {
        Settings {
            send_ring: wanted.send_ring.min(self.sends),
            copied: COPIED,
            ..wanted
        }
    }

    #[inline(always)]
    fn batch(&self) -> Batch<'_> {
        Batch {
            link: self,
            inner: SendBatch::new(&self.qp),
            failed: false,
        }
    }

    fn push(
        &self,
        batch: &mut Batch<'_>,
        frame: &Frame<'_, Outgoing>,
        map: impl FnOnce(usize, &mut [u8]),
    ) -> Result {
        if let Body::Operation(message) = frame.body {
            return self.operate(batch, message, frame.signaled.then_some(frame.id));
        }
        if batch.inner.len() == BATCH {
            batch.post()?;
        }

        let mut request = self.pools.take_send()?;
        let send = request.as_mut().data_mut().get_mut();
        if let Err(err) = send.fill(self.pools.device(), frame, map) {
            send.clear();
            self.pools.put_send(request);
            return Err(err);
        }

        let mut flags = Flags::default();
        if frame.solicited {
            flags |= Flag::Solicited;
        }
        if frame.fence {
            flags |= Flag::Fence;
        }
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

    fn flush(&self, batch: &mut Batch<'_>, _is_sent_next: bool) -> Result {
        if batch.failed {
            return Err(EIO);
        }
        batch.post()
    }

    fn settle(&self) {
        for _ in 0..SETTLES {
            if self.count_operations(|count| count.load(Relaxed)) == Some(0) {
                return;
            }
            fsleep(SETTLE);
        }
    }

    fn drain(&self) {
        // No handler calls this.
        if let Err(err) = self.qp.drain() {
            kernel::pr_err_once!("a queue pair can't be drained: {:?}\n", err);
        }
    }
}

/// Frames that are posted together.
pub(crate) struct Batch<'a> {
    link: &'a Link,
    inner: SendBatch<'a, Sending, BATCH, { 2 * BATCH }>,
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
}
