// SPDX-License-Identifier: GPL-2.0

//! The queue pair of a connection, and how frames are posted to it.

use super::{
    completions::Owner,
    marker::Rc,
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
    message::Outgoing,
    path::{
        self,
        Path, //
    },
};
use kernel::{
    prelude::*,
    sync::Arc, //
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
    send::Frame,
    settings::Settings, //
};

/// Frames that are posted by one call.
const BATCH: usize = 4;

/// Pieces of memory that one frame is gathered from: a header, and a part of a message.
const SEND_SGE: u32 = 2;

/// The queue pair of a connection.
pub(crate) struct Link {
    qp: Qp,
    conn: ConnId,
    way: Way,
    sends: u32,
    receives: u32,
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
                sends: profile.send_ring,
                receives: profile.recv_cqe,
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

    /// Returns from how many pieces of memory one frame can be gathered.
    pub(super) fn send_pieces(&self) -> u32 {
        SEND_SGE
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

    fn flush(&self, batch: &mut Batch<'_>, _is_sent_next: bool) -> Result {
        if batch.failed {
            return Err(EIO);
        }
        batch.post()
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
