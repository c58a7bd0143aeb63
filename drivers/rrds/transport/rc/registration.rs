// SPDX-License-Identifier: GPL-2.0

//! Requests that register and revoke memory regions, and the queue pair that they are posted to.
//!
//! Regions are of a device's protection domain: whichever queue pair registers them, peers use them over all of it. The one
//! for that carries nothing else, and is connected to itself. So it waits for no connection, and is in no message's way.

use kernel::{
    new_spinlock_irq,
    prelude::*,
    sync::{
        Arc,
        Completion as Done,
        SpinLockIrq, //
    },
};
use krdma::rdma::{
    ah::{
        AhAttr,
        GlobalRoute, //
    },
    cq::Poll,
    device::AtomicCapability,
    mr::{
        Access,
        AccessFlag, //
    },
    port::{
        LinkLayer,
        Port, //
    },
    post::{
        Flags,
        Links,
        SendBatch, //
    },
    qp::{
        Capabilities,
        Context,
        QpContext,
        QpEvent,
        QpInit,
        Receive, //
    },
    qp_attr::{
        PathMtu,
        QpAttr,
        QpState, //
    },
    Completion,
    Cq,
    Device,
    Mr,
    Operation,
    Pd,
    Qp,
    Request, //
};

/// A region, and the request that registers or revokes it.
pub(super) type TurnRequest = Pin<KBox<Request<Turn>>>;

/// Requests that are posted by one call.
const BATCH: usize = 8;

/// Entries of the send queue.
pub(super) const QUEUE: u32 = 127;

/// Entries of the completion queue: devices grant longer queues than they are asked for, of up to twice the length.
const ENTRIES: u32 = 2 * QUEUE + 16;

/// A region that is registered or revoked.
pub(super) struct Turn {
    pub(super) mr: Mr,
    /// Its number among the regions of the device, while it is one of these.
    pub(super) number: usize,
    registers: bool,
    /// Who waits until it is done.
    waiter: Option<Arc<Waiter>>,
}

/// Who waits until a request is done.
#[pin_data]
pub(super) struct Waiter {
    #[pin]
    done: Done,
    /// The request, and whether it has succeeded.
    #[pin]
    result: SpinLockIrq<Option<(TurnRequest, bool)>>,
}

impl Waiter {
    fn new() -> Result<Arc<Self>> {
        Arc::pin_init(
            pin_init!(Self {
                done <- Done::new(),
                result <- new_spinlock_irq!(None, "rrds::Waiter::result"),
            }),
            GFP_KERNEL,
        )
    }
}

impl Turn {
    /// Makes a region for up to so many pages.
    pub(super) fn new(pd: &Arc<Pd>, max_pages: u32) -> Result<TurnRequest> {
        Request::new(
            Self {
                mr: Mr::new(pd, max_pages)?,
                number: 0,
                registers: false,
                waiter: None,
            },
            GFP_KERNEL,
        )
    }

    fn describe<'a>(&'a self, links: &mut Links<'a, '_>) -> Result {
        if self.registers {
            links.register(&self.mr, access(&self.mr), Flags::default())
        } else {
            links.invalidate(&self.mr, Flags::default())
        }
    }
}

/// What peers may do with a region: what its memory is pinned for.
fn access(mr: &Mr) -> Access {
    let read = Access::from(AccessFlag::RemoteRead);

    if !mr.is_writable() {
        return read;
    }
    let write = read | AccessFlag::LocalWrite | AccessFlag::RemoteWrite;
    match mr.device().attributes().atomic_capability() {
        AtomicCapability::None => write,
        _ => write | AccessFlag::RemoteAtomic,
    }
}

impl Operation for Turn {
    fn done(mut this: Pin<KBox<Request<Self>>>, completion: &Completion<'_>) {
        let waiter = this.as_mut().data_mut().get_mut().waiter.take();
        let is_success = completion.is_success();

        match waiter {
            Some(waiter) => {
                *waiter.result.lock() = Some((this, is_success));
                waiter.done.complete_all();
            }
            None => {
                if let Some(Owner(owner)) = completion.poster().context::<Owner>() {
                    owner.revoked(this, is_success);
                }
            }
        }
    }
}

/// Who has regions revoked.
pub(super) trait Revokes: Send + Sync + 'static {
    /// A request to revoke a region is done, and has succeeded or not. Any context.
    fn revoked(&self, request: TurnRequest, is_success: bool);
}

/// Whose queue pair it is. The owner gives the queue pair up when the device goes.
struct Owner(Arc<dyn Revokes>);

impl QpContext for Owner {
    fn event(&self, _event: QpEvent) {}
}

/// The queue pair.
pub(super) struct Queue {
    qp: Qp,
}

impl Queue {
    /// Makes a queue pair on a port of the device, and connects it to itself. Sleeps.
    ///
    /// Errors: [`ENETDOWN`] if no port has an address, and what its parts fail with.
    pub(super) fn new(
        owner: Arc<dyn Revokes>,
        pd: &Arc<Pd>,
        module: &'static ThisModule,
    ) -> Result<Self> {
        let dev = pd.device();
        let cq = Cq::new(dev, module, ENTRIES, 0, Poll::Softirq)?;
        let qp = Qp::new(
            QpInit {
                pd: pd.clone(),
                send_cq: cq.clone(),
                receive: Receive::Own(cq),
                cap: Capabilities {
                    max_send_wr: QUEUE,
                    max_recv_wr: 1,
                    max_send_sge: 1,
                    max_recv_sge: 1,
                    ..Capabilities::default()
                },
                port: 0,
                context: Some(Context::new(Owner(owner), GFP_KERNEL)?),
            },
            module,
        )?;

        connect(&qp, dev)?;
        Ok(Self { qp })
    }

    /// Has a region registered, or revoked, and waits until that is done. Returns the request, and whether it has succeeded.
    /// Sleeps.
    ///
    /// Errors: What posting fails with; the region is dropped then.
    pub(super) fn post_and_wait(
        &self,
        mut request: TurnRequest,
        registers: bool,
    ) -> Result<(TurnRequest, bool)> {
        let waiter = Waiter::new()?;
        let turn = request.as_mut().data_mut().get_mut();
        turn.registers = registers;
        turn.waiter = Some(waiter.clone());

        let mut batch: SendBatch<'_, Turn, 1, 1> = SendBatch::new(&self.qp);
        batch
            .push(request, |turn, links| turn.describe(links))
            .map_err(|refused| refused.error)?;
        batch.post().map_err(|unposted| unposted.error)?;
        waiter.done.wait_for_completion();
        let result = waiter.result.lock().take();
        result.ok_or(EIO)
    }

    /// Has the regions revoked that `next` gives; [`Revokes::revoked`] follows for each. Those that can't be posted go to
    /// `failed`.
    pub(super) fn revoke(
        &self,
        mut next: impl FnMut() -> Option<TurnRequest>,
        mut failed: impl FnMut(TurnRequest),
    ) {
        loop {
            let mut batch: SendBatch<'_, Turn, BATCH, 1> = SendBatch::new(&self.qp);

            while batch.len() < BATCH {
                let Some(mut request) = next() else {
                    break;
                };
                request.as_mut().data_mut().get_mut().registers = false;
                let pushed = batch.push(request, |turn, links| turn.describe(links));
                if let Err(refused) = pushed {
                    failed(refused.request);
                }
            }
            let count = batch.len();
            if let Err(unposted) = batch.post() {
                unposted.for_each(&mut failed);
            }
            if count < BATCH {
                return;
            }
        }
    }
}

/// Connects a queue pair to itself, over the first port that has an address.
fn connect(qp: &Qp, dev: &Device) -> Result {
    let (port, path) = dev
        .ports()
        .find_map(|port| Some((port.number(), path_to(&port)?)))
        .ok_or(ENETDOWN)?;

    qp.modify(
        &QpAttr::new()
            .state(QpState::Init)
            .port(port)
            .pkey_index(0)
            .access(Access::default()),
    )?;
    qp.modify(
        &QpAttr::new()
            .state(QpState::Rtr)
            .path(&path)
            .path_mtu(PathMtu::Bytes256)
            .dest_qp(qp.number())
            .rq_psn(0)
            .max_dest_rd_atomic(0)
            .min_rnr_timer(1),
    )?;
    qp.modify(
        &QpAttr::new()
            .state(QpState::Rts)
            .timeout(14)
            .retry_count(1)
            .rnr_retry_count(1)
            .sq_psn(0)
            .max_rd_atomic(0),
    )
}

/// The way from a port to itself, if it has an address.
fn path_to(port: &Port<'_>) -> Option<AhAttr> {
    let attributes = port.query().ok()?;

    if port.link_layer() == LinkLayer::InfiniBand {
        return AhAttr::infiniband(port.number(), attributes.lid(), 0).ok();
    }
    let entry = port.gids(attributes.gid_table_len()).next()?;
    let route = GlobalRoute {
        dgid: entry.gid(),
        sgid_index: u8::try_from(entry.index()).ok()?,
        hop_limit: 1,
        ..GlobalRoute::default()
    };
    Some(AhAttr::roce(port.number(), route, entry.mac().ok()?, 0))
}
