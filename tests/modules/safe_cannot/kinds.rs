// SPDX-License-Identifier: GPL-2.0

//! One object of each kind that krdma makes for a module, and who drops what is in them.

use crate::{
    bench::{
        expect,
        within,
        Bench,
        DEPTH, //
    },
    own::{
        address,
        is_gone, //
    },
};
use core::net::SocketAddr;
use kernel::{
    current,
    prelude::*,
    sync::{
        atomic::{
            Atomic,
            Relaxed, //
        },
        Arc, //
    },
    task::Pid,
    time::Delta, //
};
use krdma::{
    net::{
        family::{
            self,
            Request as Asked, //
        },
        tcp::{
            self,
            Arrived,
            Options, //
        },
        Family,
        KernelSocket,
        Namespace,
        SocketData, //
    },
    rdma::{
        cm::{
            Acceptor,
            Builder,
            Event,
            Handler,
            Id,
            PortSpace,
            Request, //
        },
        cq::{
            BatchEnd,
            Poll, //
        },
        dma::PageList,
        events::{
            self,
            Watcher, //
        },
        mcast::Attachment,
        qp::{
            Capabilities,
            Context,
            QpContext,
            QpInit,
            Receive,
            Ud, //
        },
        srq::{
            LimitEvent,
            SrqRef, //
        },
        Ah,
        Cq,
        Device,
        Gid,
        Lid,
        Mr,
        Pd,
        Qp,
        Srq, //
    },
    work::Work,
};

/// Counts values, and how they are dropped.
pub(crate) struct Drops {
    /// Who drops the objects, and so must not drop what is in them.
    task: Pid,
    made: Atomic<u32>,
    here: Atomic<u32>,
    elsewhere: Atomic<u32>,
}

impl Drops {
    pub(crate) fn new() -> Result<Arc<Self>> {
        let drops = Self {
            task: current!().pid(),
            made: Atomic::new(0),
            here: Atomic::new(0),
            elsewhere: Atomic::new(0),
        };

        Ok(Arc::new(drops, GFP_KERNEL)?)
    }

    /// How many values there were.
    pub(crate) fn made(&self) -> u32 {
        self.made.load(Relaxed)
    }

    /// Makes a value. `of` says what it is in.
    fn noted(self: &Arc<Self>, of: &'static str) -> Noted {
        self.made.fetch_add(1, Relaxed);
        Noted {
            of,
            drops: self.clone(),
        }
    }

    /// Waits until all values are dropped: by others than the task that has begun.
    pub(crate) fn expect_elsewhere(&self) -> Result {
        let [here, elsewhere] = [&self.here, &self.elsewhere];

        within(|| here.load(Relaxed) + elsewhere.load(Relaxed) == self.made())?;
        expect("values dropped at once", here.load(Relaxed), 0)
    }
}

/// What a client gives an object to keep. It notes that it is dropped.
pub(crate) struct Noted {
    of: &'static str,
    drops: Arc<Drops>,
}

impl Drop for Noted {
    fn drop(&mut self) {
        let count = if current!().pid() == self.drops.task {
            &self.drops.here
        } else {
            &self.drops.elsewhere
        };

        count.fetch_add(1, Relaxed);
        if is_gone() {
            pr_info!("after the exit {} goes\n", self.of);
        }
    }
}

impl Acceptor for Noted {
    fn request(_: &Id<Self>, _: Request<'_>) {}
}

impl Handler for Noted {
    fn event(_: &Id<Self>, _: Event<'_>) {}
}

impl BatchEnd for Noted {
    fn batch_end(&self, _: u32) {}
}

impl LimitEvent for Noted {
    fn limit_reached(&self, _: SrqRef<'_>) {}
}

impl QpContext for Noted {}

impl Watcher for Noted {
    fn event(&self, _: &Device, _: events::Event) {}
}

impl tcp::Acceptor for Noted {
    fn connection_waiting(&self) {}
}

impl tcp::Handler for Noted {
    fn data_ready(&self, _: &mut Arrived<'_>) {}
}

impl Work for Noted {
    fn run(_: &Arc<Self>) -> Option<Delta> {
        None
    }
}

impl SocketData for Noted {
    type Locked = ();
}

#[vtable]
impl Family for Noted {
    const NAME: &'static CStr = c"SAFE_CANNOT";
    type Shared = Arc<Drops>;

    fn create(
        drops: &Arc<Drops>,
        _: &Namespace,
        _: &Asked,
    ) -> Result<(impl PinInit<Self, Error>, ())> {
        Ok((Ok(drops.noted("a socket")), ()))
    }
}

krdma::family_slot!(Noted);

/// The number of the family: that of `AF_IB`, which has no sockets.
const FAMILY: u8 = 27;

/// Makes one object of each kind that a module can keep until after its exit.
pub(crate) fn each(bench: &Bench<'_>, drops: &Arc<Drops>) -> Result<KBox<dyn Send>> {
    let (verbs, rest) = (verbs(bench, drops)?, others(bench, drops)?);

    Ok(KBox::new((verbs, rest), GFP_KERNEL)?)
}

/// What is made of a device.
fn verbs(bench: &Bench<'_>, drops: &Arc<Drops>) -> Result<impl Send + 'static> {
    let (dev, module) = (bench.dev(), bench.module);
    let cq = Cq::with_batch_end(
        dev,
        module,
        8,
        0,
        Poll::Workqueue,
        drops.noted("a completion queue"),
    )?;
    let limit = KBox::new(drops.noted("a shared receive queue"), GFP_KERNEL)?;
    let srq = Srq::new(
        &bench.pd,
        &bench.cq(Poll::Workqueue)?,
        DEPTH,
        1,
        Some(limit),
    )?;
    // In a state in which the end of it has to wait for what is posted.
    let qp = bench.qp_with(
        &bench.pd,
        &bench.cq(Poll::Workqueue)?,
        Receive::Own(bench.cq(Poll::Workqueue)?),
        Some(Context::new(drops.noted("a queue pair"), GFP_KERNEL)?),
    )?;
    qp.modify(&bench.init())?;

    let mut mr = Mr::new(&bench.pd, 1)?;
    mr.attach(PageList::new(dev, 1)?)
        .map_err(|refused| refused.error)?;

    Ok((
        (Pd::new(dev, module)?, cq, srq, qp, mr),
        Cq::pooled(dev, module, 8, None, Poll::Workqueue)?,
        Ah::new(&bench.pd, bench.path())?,
        member(bench, drops)?,
        events::Registration::new(dev, module, drops.noted("a watcher"))?,
    ))
}

/// Makes a queue pair that is a member of a group.
fn member(bench: &Bench<'_>, drops: &Arc<Drops>) -> Result<Attachment> {
    let mut group = [0; 16];
    group[0] = 0xff;
    group[1] = 0x0e;
    group[15] = 0x42;

    let init = QpInit {
        pd: bench.pd.clone(),
        send_cq: bench.cq(Poll::Workqueue)?,
        receive: Receive::Own(bench.cq(Poll::Workqueue)?),
        cap: Capabilities {
            max_send_wr: 1,
            max_recv_wr: 1,
            max_send_sge: 1,
            max_recv_sge: 1,
            max_inline_data: 0,
        },
        port: bench.port_number(),
        context: Some(Context::new(
            drops.noted("a member of a group"),
            GFP_KERNEL,
        )?),
    };
    let qp = Arc::new(Qp::<Ud>::new(init, bench.module)?, GFP_KERNEL)?;

    Attachment::new(&qp, Gid::from_bytes(group), Lid::RESERVED)
}

/// What is made of addresses, and jobs.
fn others(bench: &Bench<'_>, drops: &Arc<Drops>) -> Result<impl Send + 'static> {
    let (ns, module) = (Namespace::initial(), bench.module);
    let cm = Builder::new(ns, PortSpace::Tcp, module);
    let here = SocketAddr::from((address(bench)?, 0));
    let peer = SocketAddr::new(here.ip(), 4711);

    Ok((
        cm.listen(here, 1, drops.noted("a listener"))?,
        cm.resolve(
            None,
            peer,
            Delta::from_millis(2000),
            drops.noted("a connection"),
        )?,
        tcp::Listener::new(
            module,
            ns,
            here,
            1,
            &Options::default(),
            drops.noted("a listener of TCP"),
        )?,
        tcp::Connection::new(module, ns, false, drops.noted("a connection of TCP"))?,
        krdma::new_job!(module, |_| Ok(Arc::new(drops.noted("a job"), GFP_KERNEL)?))?,
    ))
}

/// A socket and its family. As long as there is one the module's exit does not begin.
pub(crate) struct Socket {
    // Dropped before the family, which waits for it.
    pub(crate) open: Option<KernelSocket<Noted>>,
    _family: Pin<KBox<family::Registration<Noted>>>,
}

impl Socket {
    pub(crate) fn new(bench: &Bench<'_>, drops: &Arc<Drops>) -> Result<Self> {
        let shared = drops.clone();
        let family = KBox::pin_init(
            family::Registration::new(FAMILY, shared, bench.module),
            GFP_KERNEL,
        )?;
        let ns = Namespace::initial();

        Ok(Self {
            open: Some(KernelSocket::new(bench.module, FAMILY, ns, Asked::DGRAM)?),
            _family: family,
        })
    }
}
