// SPDX-License-Identifier: GPL-2.0

//! What the cases need of a device.

use kernel::{
    new_spinlock_irq,
    prelude::*,
    sync::{
        Arc,
        SpinLockIrq, //
    },
    time::{
        delay::fsleep,
        Delta, //
    }, //
};
use krdma::rdma::{
    ah::{
        AhAttr,
        GlobalRoute, //
    },
    cq::Poll,
    gid::GidType,
    mr::AccessFlag,
    qp::{
        Capabilities,
        Context,
        QpInit,
        Receive, //
    },
    qp_attr::{
        PathMtu,
        QpAttr,
        QpState, //
    },
    request::Status,
    Cq,
    Device,
    Pd,
    Port,
    Qp, //
};

/// How long something that must happen may take, in milliseconds.
pub(crate) const PATIENCE: u32 = 20_000;

/// Requests that a queue holds.
pub(crate) const DEPTH: u32 = 8;

/// A port, and the way from it to itself.
pub(crate) struct Bench<'a> {
    port: Port<'a>,
    pub(crate) module: &'static ThisModule,
    pub(crate) pd: Arc<Pd>,
    path: AhAttr,
}

impl<'a> Bench<'a> {
    pub(crate) fn new(port: Port<'a>, module: &'static ThisModule) -> Result<Self> {
        let entry = port
            .gids(port.query()?.gid_table_len())
            .find(|entry| entry.gid_type() == GidType::RoceV2)
            .ok_or(EADDRNOTAVAIL)?;
        let route = GlobalRoute {
            dgid: entry.gid(),
            sgid_index: u8::try_from(entry.index()).map_err(|_| EINVAL)?,
            hop_limit: 64,
            ..GlobalRoute::default()
        };

        Ok(Self {
            port,
            module,
            pd: Arc::new(Pd::new(port.device(), module)?, GFP_KERNEL)?,
            path: AhAttr::roce(port.number(), route, entry.mac()?, 0),
        })
    }

    pub(crate) fn dev(&self) -> &'a Device {
        self.port.device()
    }

    pub(crate) fn port_number(&self) -> u32 {
        self.port.number()
    }

    /// The way from the port to itself.
    pub(crate) fn path(&self) -> &AhAttr {
        &self.path
    }

    pub(crate) fn cq(&self, poll: Poll) -> Result<Arc<Cq>> {
        Cq::new(self.dev(), self.module, 8 * DEPTH, 0, poll)
    }

    /// Makes a queue pair for reliable connections, in the reset state, whose queues complete in `cq`.
    pub(crate) fn qp(&self, pd: &Arc<Pd>, cq: &Arc<Cq>) -> Result<Qp> {
        self.qp_of(pd, cq, Receive::Own(cq.clone()))
    }

    /// As above, of other queues.
    pub(crate) fn qp_of(&self, pd: &Arc<Pd>, send_cq: &Arc<Cq>, receive: Receive) -> Result<Qp> {
        self.qp_with(pd, send_cq, receive, None)
    }

    /// As above, with a context.
    pub(crate) fn qp_with(
        &self,
        pd: &Arc<Pd>,
        send_cq: &Arc<Cq>,
        receive: Receive,
        context: Option<Context>,
    ) -> Result<Qp> {
        let init = QpInit {
            pd: pd.clone(),
            send_cq: send_cq.clone(),
            receive,
            cap: Capabilities {
                max_send_wr: DEPTH,
                max_recv_wr: DEPTH,
                max_send_sge: 2,
                max_recv_sge: 2,
                max_inline_data: 32,
            },
            port: self.port.number(),
            context,
        };

        Qp::new(init, self.module)
    }

    /// As above, with a completion queue for each.
    pub(crate) fn lone(&self) -> Result<Qp> {
        let (sends, receives) = (self.cq(Poll::Workqueue)?, self.cq(Poll::Workqueue)?);

        self.qp_of(&self.pd, &sends, Receive::Own(receives))
    }

    /// What leads from RESET to INIT.
    pub(crate) fn init(&self) -> QpAttr {
        QpAttr::new()
            .state(QpState::Init)
            .port(self.port.number())
            .pkey_index(0)
            .access(AccessFlag::LocalWrite | AccessFlag::RemoteWrite | AccessFlag::RemoteRead)
    }

    /// Makes two queue pairs that are connected to each other, with a completion queue each.
    pub(crate) fn pair(&self, pd: &Arc<Pd>) -> Result<(Qp, Qp)> {
        let a = self.qp(pd, &self.cq(Poll::Workqueue)?)?;
        let b = self.qp(pd, &self.cq(Poll::Workqueue)?)?;

        self.connect(&a, &b)?;
        Ok((a, b))
    }

    /// Connects two queue pairs to each other.
    pub(crate) fn connect(&self, a: &Qp, b: &Qp) -> Result {
        for (qp, peer) in [(a, b), (b, a)] {
            let init = self.init();
            let rtr = QpAttr::new()
                .state(QpState::Rtr)
                .path(&self.path)
                .path_mtu(PathMtu::Bytes1024)
                .dest_qp(peer.number())
                .rq_psn(0)
                .max_dest_rd_atomic(4)
                .min_rnr_timer(12);
            let rts = QpAttr::new()
                .state(QpState::Rts)
                .sq_psn(0)
                .timeout(20)
                .retry_count(7)
                .rnr_retry_count(7)
                .max_rd_atomic(4);

            for attr in [&init, &rtr, &rts] {
                qp.modify(attr)?;
            }
        }
        Ok(())
    }
}

/// How requests have ended, in that order.
#[pin_data]
pub(crate) struct Ends {
    #[pin]
    list: SpinLockIrq<KVec<Status>>,
}

impl Ends {
    pub(crate) fn new() -> Result<Arc<Self>> {
        Arc::pin_init(
            try_pin_init!(Self {
                list <- new_spinlock_irq!(KVec::with_capacity(64, GFP_KERNEL)?),
            }? Error),
            GFP_KERNEL,
        )
    }

    pub(crate) fn add(&self, status: Status) {
        // No case has so many.
        let _ = self.list.lock().push_within_capacity(status);
    }

    /// Waits for the next end, and takes it out.
    #[track_caller]
    pub(crate) fn next(&self) -> Result<Status> {
        for _ in 0..PATIENCE {
            if let Ok(status) = self.list.lock().remove(0) {
                return Ok(status);
            }
            fsleep(Delta::from_millis(1));
        }
        let at = core::panic::Location::caller();
        pr_err!("{}:{}: a request has not ended\n", at.file(), at.line());
        Err(ETIMEDOUT)
    }
}

/// Waits until something is so.
#[track_caller]
pub(crate) fn within(condition: impl Fn() -> bool) -> Result {
    for _ in 0..PATIENCE {
        if condition() {
            return Ok(());
        }
        fsleep(Delta::from_millis(1));
    }
    let at = core::panic::Location::caller();
    pr_err!("{}:{}: nothing happens\n", at.file(), at.line());
    Err(ETIMEDOUT)
}

/// Is an error, which says what is wrong, if `got` is not what is wanted.
#[track_caller]
pub(crate) fn expect<T: PartialEq + core::fmt::Debug>(what: &str, got: T, wanted: T) -> Result {
    if got == wanted {
        return Ok(());
    }
    let at = core::panic::Location::caller();
    pr_err!(
        "{}:{}: {}: {:?} instead of {:?}\n",
        at.file(),
        at.line(),
        what,
        got,
        wanted
    );
    Err(EPROTO)
}
