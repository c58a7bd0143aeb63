// SPDX-License-Identifier: GPL-2.0

//! Walks the verbs, one by one, and their errors: what the other samples have no use for.
//!
//! For each device that comes the module runs its steps, one after the other, within the device, and
//! prints how each has ended. Nothing is left after it. Each file is about one thing, and can be read
//! by itself.
//!
//! ```sh
//! insmod krdma.ko && insmod rdma_verbs.ko
//! rdma link add rxe0 type rxe netdev eth0
//! dmesg | grep rdma_verbs
//! ```

use kernel::{
    new_mutex,
    prelude::*,
    sync::{
        Arc,
        Mutex, //
    },
};
use krdma::rdma::{
    ah::{
        AhAttr,
        GlobalRoute, //
    },
    client::Registration,
    cm::Connection,
    cq::Poll,
    gid::{
        GidEntry,
        GidType, //
    },
    mr::AccessFlag,
    qp::{
        Capabilities,
        Context,
        QpContext,
        QpInit,
        QpType,
        Receive,
        Service, //
    },
    qp_attr::{
        PathMtu,
        QpAttr,
        QpState, //
    },
    Client,
    Cq,
    Device,
    Pd,
    Port,
    Qp, //
};

#[path = "rdma_verbs/connections.rs"]
mod connections;
#[path = "rdma_verbs/limits.rs"]
mod limits;
#[path = "rdma_verbs/operations.rs"]
mod operations;
#[path = "rdma_verbs/pieces.rs"]
mod pieces;
#[path = "rdma_verbs/queues.rs"]
mod queues;
#[path = "rdma_verbs/requests.rs"]
mod requests;
#[path = "rdma_verbs/shared.rs"]
mod shared;
#[path = "rdma_verbs/silent.rs"]
mod silent;
#[path = "rdma_verbs/states.rs"]
mod states;

module! {
    type: Verbs,
    name: "rdma_verbs",
    authors: ["The krdma developers"],
    description: "Walks the verbs and their errors",
    license: "GPL",
    params: {
        rounds: u32 {
            default: 1,
            description: "How often each step is done",
        },
        only: u32 {
            default: 0,
            description: "The number of the step to do; all if zero; what there are is told of another one",
        },
        except: u32 {
            default: 0,
            description: "The number of a step that is not done",
        },
    },
}

#[pin_data]
struct Verbs {
    #[pin]
    client: Registration<Devices>,
}

impl kernel::InPlaceModule for Verbs {
    fn init(module: &'static ThisModule) -> impl PinInit<Self, Error> {
        try_pin_init!(Self {
            client <- Registration::new(module, Devices { module }),
        })
    }
}

struct Devices {
    module: &'static ThisModule,
}

krdma::client_slot!(Devices);

/// One thing that is walked through.
type Step = fn(&Bench<'_>) -> Result;

/// What is walked, in this order.
const STEPS: &[(&str, Step)] = &[
    ("operations", operations::reliable),
    ("pieces without bytes", pieces::empty),
    ("inline bytes across pages", pieces::across_pages),
    ("unreliable connection", operations::unreliable),
    ("datagrams", operations::datagrams),
    ("requests that are not signalled", silent::requests),
    ("room for the next that is signalled", silent::room),
    ("no more is posted than completions fit", queues::room),
    ("a reset gives back what is posted", queues::reset),
    ("the pool", queues::pool),
    ("context", shared::context),
    ("handle of a shared queue", shared::handle),
    ("resize of a shared queue", shared::resize),
    ("states", states::transitions),
    ("attributes", states::attributes),
    ("sizes", limits::sizes),
    ("exhaustion", limits::exhaustion),
    ("connections", connections::services),
    ("a group that is left", connections::multicast),
];

impl Client for Devices {
    const NAME: &'static CStr = c"rdma_verbs";

    /// All is done while the device is added. What has left a multicast group is kept, so that it can be
    /// seen from outside that the group was left before.
    type Data = Option<Connection<connections::Member>>;

    fn add(&self, dev: &Device) -> impl PinInit<Self::Data, Error> {
        self.walk(dev)
    }
}

impl Devices {
    /// Does the steps.
    fn walk(&self, dev: &Device) -> Result<Option<Connection<connections::Member>>> {
        let mut kept = None;
        let only = kernel::num::casts::u32_as_usize(module_parameters::only.value());
        let except = kernel::num::casts::u32_as_usize(module_parameters::except.value());
        let mut passed = 0;

        if only > STEPS.len() {
            for (number, (name, _)) in STEPS.iter().enumerate() {
                pr_info!("step {}: {}\n", number + 1, name);
            }
            return Err(EINVAL);
        }
        for (number, (name, step)) in STEPS.iter().enumerate() {
            if only != 0 && only != number + 1 || except == number + 1 {
                continue;
            }
            let ret = dev
                .ports()
                .next()
                .ok_or(ENODEV)
                .and_then(|port| Bench::new(port, self.module))
                .and_then(|bench| {
                    for _ in 0..module_parameters::rounds.value() {
                        step(&bench)?;
                    }
                    kept = bench.kept.lock().take().or(kept.take());
                    Ok(())
                });

            // The next one is to find the device as this one did.
            krdma::settle(self.module);
            match ret {
                Ok(()) => {
                    passed += 1;
                    pr_info!("{}: {}: passed\n", dev.name(), name);
                }
                Err(err) => pr_err!("{}: {}: failed: {:?}\n", dev.name(), name, err),
            }
        }
        pr_info!("{}: {} of {} passed\n", dev.name(), passed, STEPS.len());
        Ok(kept)
    }
}

/// Messages that a queue holds, unless a step wants something else.
const DEPTH: u32 = 8;
/// The Q_Key of datagrams.
const QKEY: u32 = 0x1234;

/// What steps need of a device.
struct Bench<'a> {
    port: Port<'a>,
    pd: Arc<Pd>,
    module: &'static ThisModule,
    /// The way from the port to itself.
    path: AhAttr,
    /// What is kept as long as the device.
    kept: Pin<KBox<Mutex<Option<Connection<connections::Member>>>>>,
}

/// Tells queue pairs from each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Name(char);

impl QpContext for Name {}

impl<'a> Bench<'a> {
    fn new(port: Port<'a>, module: &'static ThisModule) -> Result<Self> {
        let table_len = port.query()?.gid_table_len();
        let entry = port
            .gids(table_len)
            .find(|entry| entry.gid_type() == GidType::RoceV2)
            .ok_or(EADDRNOTAVAIL)?;

        Ok(Self {
            port,
            pd: Arc::new(Pd::new(port.device(), module)?, GFP_KERNEL)?,
            module,
            path: to_itself(port, &entry)?,
            kept: KBox::pin_init(new_mutex!(None), GFP_KERNEL)?,
        })
    }

    fn dev(&self) -> &'a Device {
        self.port.device()
    }

    fn cq(&self, poll: Poll) -> Result<Arc<Cq>> {
        Cq::new(self.dev(), self.module, 8 * DEPTH, 0, poll)
    }

    fn qp<S: Service>(&self, name: char, cq: &Arc<Cq>, receive: Receive) -> Result<Qp<S>> {
        Qp::new(
            QpInit {
                pd: self.pd.clone(),
                send_cq: cq.clone(),
                receive,
                cap: capabilities(),
                port: self.port.number(),
                context: Some(Context::new(Name(name), GFP_KERNEL)?),
            },
            self.module,
        )
    }

    /// Makes two queue pairs that are connected to each other, with a completion queue each.
    fn pair<S: Service>(&self) -> Result<(Qp<S>, Qp<S>)> {
        let (one, other) = (self.cq(Poll::Workqueue)?, self.cq(Poll::Workqueue)?);
        let a = self.qp('a', &one, Receive::Own(one.clone()))?;
        let b = self.qp('b', &other, Receive::Own(other.clone()))?;

        self.connect(&a, &b)?;
        Ok((a, b))
    }

    /// Connects two queue pairs to each other.
    fn connect<S: Service>(&self, a: &Qp<S>, b: &Qp<S>) -> Result {
        for (qp, peer) in [(a, b), (b, a)] {
            qp.modify(&self.init(qp))?;
            qp.modify(&self.rtr(qp, peer))?;
            qp.modify(&self.rts(qp))?;
        }
        Ok(())
    }

    fn init<S: Service>(&self, qp: &Qp<S>) -> QpAttr {
        let attr = QpAttr::new()
            .state(QpState::Init)
            .port(self.port.number())
            .pkey_index(0);

        if qp.qp_type().is_datagram() {
            return attr.qkey(QKEY);
        }
        attr.access(
            AccessFlag::LocalWrite
                | AccessFlag::RemoteWrite
                | AccessFlag::RemoteRead
                | AccessFlag::RemoteAtomic,
        )
    }

    fn rtr<S: Service>(&self, qp: &Qp<S>, peer: &Qp<S>) -> QpAttr {
        let attr = QpAttr::new().state(QpState::Rtr);
        if qp.qp_type().is_datagram() {
            return attr;
        }

        let attr = attr
            .path(&self.path)
            .path_mtu(PathMtu::Bytes1024)
            .dest_qp(peer.number())
            .rq_psn(0);
        match qp.qp_type() {
            QpType::Rc => attr.max_dest_rd_atomic(4).min_rnr_timer(12),
            _ => attr,
        }
    }

    fn rts<S: Service>(&self, qp: &Qp<S>) -> QpAttr {
        let attr = QpAttr::new().state(QpState::Rts).sq_psn(0);

        match qp.qp_type() {
            QpType::Rc => attr
                .timeout(20)
                .retry_count(7)
                .rnr_retry_count(7)
                .max_rd_atomic(4),
            _ => attr,
        }
    }
}

fn capabilities() -> Capabilities {
    Capabilities {
        max_send_wr: DEPTH,
        max_recv_wr: DEPTH,
        max_send_sge: 2,
        max_recv_sge: 2,
        max_inline_data: 32,
    }
}

/// Returns the way from a port to itself, by one of its addresses.
fn to_itself(port: Port<'_>, entry: &GidEntry<'_>) -> Result<AhAttr> {
    let route = GlobalRoute {
        dgid: entry.gid(),
        sgid_index: u8::try_from(entry.index()).map_err(|_| EINVAL)?,
        hop_limit: 64,
        ..GlobalRoute::default()
    };

    Ok(AhAttr::roce(port.number(), route, entry.mac()?, 0))
}

/// Is an error, which says what is wrong, if `got` is not what is wanted.
fn expect<T: PartialEq + core::fmt::Debug>(what: &str, got: T, wanted: T) -> Result {
    if got == wanted {
        return Ok(());
    }
    pr_err!("{}: {:?} instead of {:?}\n", what, got, wanted);
    Err(EPROTO)
}

/// Is an error if `got` is not the error that is wanted.
fn expect_error<T>(what: &str, got: Result<T>, wanted: Error) -> Result {
    expect(what, got.err(), Some(wanted))
}
