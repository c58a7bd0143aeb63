// SPDX-License-Identifier: GPL-2.0

//! Many connections that receive in one shared receive queue.
//!
//! The module listens at `port`, on all devices. The queue pairs of all connections to one device
//! take their receive requests from one queue of `depth`. What is received is checked and put aside;
//! when fewer than `limit` requests are left the device says so, and what was put aside is posted by
//! one call. Should that come late, the end of a batch of completions does it.
//!
//! With the parameter `peer` the module makes `connections` connections to there, and sends `count`
//! messages over each.
//!
//! To try it, on machines with addresses 10.0.0.1 and 10.0.0.2, with an RDMA device on each:
//!
//! ```sh
//! insmod rdma_srq.ko
//! insmod rdma_srq.ko peer=0x0a000001 connections=16   # the other one
//! dmesg | grep rdma_srq; rmmod rdma_srq
//! ```

use core::net::{
    Ipv4Addr,
    SocketAddr, //
};
use kernel::{
    new_mutex,
    prelude::*,
    sync::{
        atomic::{
            ordering::Relaxed,
            Atomic, //
        },
        new_spinlock_irq,
        Arc,
        Mutex,
        SetOnce,
        SpinLockIrq, //
    },
    time::Delta, //
};
use krdma::{
    net::Namespace,
    rdma::{
        client,
        cm::{
            self,
            Acceptor,
            Builder,
            ConnParams,
            Connection,
            Event,
            Handler,
            Id,
            Listener,
            PortSpace, //
        },
        cq::{
            BatchEnd,
            Poll, //
        },
        dma::{
            FromDevice,
            Mapping,
            ToDevice, //
        },
        post::{
            Flags,
            RecvBatch,
            RecvTarget,
            SendBatch,
            With, //
        },
        qp::{
            Capabilities,
            Context,
            Poster,
            QpContext,
            QpInit,
            Receive, //
        },
        qp_attr::QpState,
        srq::{
            LimitEvent,
            SrqRef, //
        },
        Client,
        Completion,
        Cq,
        Device,
        Operation,
        Pd,
        Qp,
        Request,
        Srq, //
    },
};

#[path = "rdma_srq/ids.rs"]
mod ids;

use ids::{
    Accept,
    Peer, //
};

module! {
    type: SrqModule,
    name: "rdma_srq",
    authors: ["The krdma developers"],
    description: "Many connections that receive in one queue",
    license: "GPL",
    params: {
        port: u16 {
            default: 7474,
            description: "The port to listen on and to connect to",
        },
        peer: u32 {
            default: 0,
            description: "The IPv4 address to connect to, as a number; none if zero",
        },
        local: u32 {
            default: 0,
            description: "The IPv4 address to connect from, as a number; any if zero",
        },
        connections: u32 {
            default: 8,
            description: "How many connections to make",
        },
        count: u32 {
            default: 200,
            description: "How many messages to send over each",
        },
        depth: u32 {
            default: 64,
            description: "Receive requests of the shared queue",
        },
        limit: u32 {
            default: 16,
            description: "When fewer are left, the queue is filled up",
        },
    },
}

/// Bytes of a message.
const LEN: usize = 512;
/// Messages of a connection under way at a time.
const WINDOW: u32 = 4;
/// Connections that one device can take: the completion queue has room for what they send.
const CONNECTIONS: u32 = 64;
const TIMEOUT: Delta = Delta::from_millis(20_000);

#[pin_data(PinnedDrop)]
struct SrqModule {
    all: Arc<All>,
    #[pin]
    _client: client::Registration<Devices>,
}

impl kernel::InPlaceModule for SrqModule {
    fn init(module: &'static ThisModule) -> impl PinInit<Self, Error> {
        pin_init::pin_init_scope(move || {
            let all = Arc::pin_init(
                pin_init!(All {
                    module,
                    stations <- new_mutex!(KVec::new()),
                    ids <- new_mutex!(Ids::default()),
                    sent: Atomic::new(0),
                    done: Atomic::new(0),
                }),
                GFP_KERNEL,
            )?;

            Ok(try_pin_init!(Self {
                _client <- client::Registration::new(module, Devices(all.clone())),
                _: { start(&all).inspect_err(|_| all.stop())? },
                all,
            }? Error))
        })
    }
}

#[pinned_drop]
impl PinnedDrop for SrqModule {
    fn drop(self: Pin<&mut Self>) {
        self.all.stop();
    }
}

/// What the callbacks share.
#[pin_data]
struct All {
    module: &'static ThisModule,
    /// One for each device.
    #[pin]
    stations: Mutex<KVec<Arc<Station>>>,
    #[pin]
    ids: Mutex<Ids>,
    /// Messages sent, and connections that have sent all of theirs.
    sent: Atomic<u32>,
    done: Atomic<u32>,
}

/// What has callbacks of the connection manager.
#[derive(Default)]
struct Ids {
    stopped: bool,
    listener: Option<Listener<Accept>>,
    connections: KVec<Connection<Peer>>,
}

impl All {
    fn station(&self, dev: &Device) -> Option<Arc<Station>> {
        let stations = self.stations.lock();

        stations
            .iter()
            .find(|station| station.pd.device() == dev)
            .cloned()
    }

    /// Keeps a connection, unless it is over already.
    fn keep(&self, connection: Connection<Peer>) -> Result {
        let mut ids = self.ids.lock();

        if ids.stopped || connection.handler().over.load(Relaxed) {
            drop(ids);
            drop(connection);
            return Err(ECANCELED);
        }
        ids.connections.reserve(1, GFP_KERNEL)?;
        if let Err(refused) = ids.connections.push_within_capacity(connection) {
            drop(ids);
            drop(refused);
        }
        Ok(())
    }

    /// Drops a connection, from one of its callbacks.
    fn forget(&self, id: &Id<Peer>) {
        let gone = {
            let mut ids = self.ids.lock();
            // Whoever is about to keep it sees this, or we see that it is kept.
            id.handler().over.store(true, Relaxed);
            let at = ids
                .connections
                .iter()
                .position(|connection| core::ptr::eq(&**connection, id));

            at.and_then(|at| ids.connections.remove(at).ok())
        };
        drop(gone);
    }

    fn stop(&self) {
        let ids = {
            let mut ids = self.ids.lock();
            core::mem::replace(
                &mut *ids,
                Ids {
                    stopped: true,
                    ..Ids::default()
                },
            )
        };
        // The callbacks of these take the lock: drop them without it.
        drop(ids);
    }
}

/// Listens, and connects if the parameters ask for it.
fn start(all: &Arc<All>) -> Result {
    let port = module_parameters::port.value();
    let builder = Builder::new(Namespace::initial(), PortSpace::Tcp, all.module);
    let addr = |bits: u32, port| SocketAddr::from((Ipv4Addr::from_bits(bits), port));
    let listener = builder.listen(addr(0, port), 64, Accept { all: all.clone() })?;

    all.ids.lock().listener = Some(listener);
    if module_parameters::peer.value() == 0 {
        return Ok(());
    }

    let src = match module_parameters::local.value() {
        0 => None,
        local => Some(addr(local, 0)),
    };
    let peer = addr(module_parameters::peer.value(), port);
    for _ in 0..module_parameters::connections.value().min(CONNECTIONS) {
        let connection = builder.resolve(src, peer, TIMEOUT, Peer::new(all))?;
        // One that is over already has said why.
        let _ = all.keep(connection);
    }
    Ok(())
}

struct Devices(Arc<All>);

krdma::client_slot!(Devices);

impl Client for Devices {
    const NAME: &'static CStr = c"rdma_srq";

    type Data = Arc<Station>;

    fn add(&self, dev: &Device) -> impl PinInit<Arc<Station>, Error> {
        self.begin(dev)
    }

    fn remove(&self, dev: &Device, data: Pin<&Arc<Station>>) {
        self.0
            .stations
            .lock()
            .retain(|station| station.pd.device() != dev);
        data.close();
    }
}

impl Devices {
    fn begin(&self, dev: &Device) -> Result<Arc<Station>> {
        let mut stations = self.0.stations.lock();

        stations.reserve(1, GFP_KERNEL)?;
        let station = Station::new(dev, self.0.module)?;
        let _ = stations.push_within_capacity(station.clone());
        Ok(station)
    }
}

type Buffer = Pin<KBox<Request<Incoming>>>;

/// What the requests and callbacks of a device share.
#[pin_data]
struct Shared {
    /// None when it is over.
    #[pin]
    srq: Mutex<Option<Arc<Srq>>>,
    /// Receive requests that are not in the queue, or none when it is over. The event of the limit may
    /// come in interrupt context, so the lock disables interrupts.
    #[pin]
    aside: SpinLockIrq<Option<KVec<Buffer>>>,
    limit: u32,
    /// Whether the limit is to be armed again.
    disarmed: Atomic<bool>,
    by_limit: Atomic<u32>,
    by_batch: Atomic<u32>,
    received: Atomic<u32>,
    damaged: Atomic<u32>,
    /// The least that a handler has found in the queue.
    least: Atomic<u32>,
}

impl Shared {
    /// Posts what was put aside, and returns how much that was.
    fn refill<Q: RecvTarget>(&self, queue: &Q) -> u32 {
        let mut posted = 0;

        loop {
            let mut batch: RecvBatch<'_, Incoming, Q, 4, 4> = RecvBatch::new(queue);
            while batch.len() < 4 {
                let Some(request) = self.take() else {
                    break;
                };
                let refused = batch.push(request, |data, buffers| {
                    buffers.add(&[data.buffer.sge_mut()])
                });
                if let Err(refused) = refused {
                    self.put(refused.request);
                    break;
                }
            }

            let count = batch.len() as u32;
            if count == 0 {
                return posted;
            }
            if let Err(unposted) = batch.post() {
                unposted.for_each(|request| self.put(request));
                return posted;
            }
            posted += count;
        }
    }

    /// Puts a request aside. When it is over it is dropped.
    fn put(&self, request: Buffer) {
        let mut aside = self.aside.lock();
        let refused = match &mut *aside {
            // There is room for all that exist.
            Some(list) => list.push_within_capacity(request).map_err(|err| err.0),
            None => Err(request),
        };

        drop(aside);
        drop(refused);
    }

    fn take(&self) -> Option<Buffer> {
        let mut aside = self.aside.lock();

        (*aside).as_mut().and_then(|list| list.pop())
    }
}

/// Fills the queue up when it runs low.
struct OnLimit(Arc<Shared>);

impl LimitEvent for OnLimit {
    fn limit_reached(&self, srq: SrqRef<'_>) {
        self.0.by_limit.fetch_add(1, Relaxed);
        self.0.refill(&srq);
        // The end of the batch arms it again, as that may sleep.
        self.0.disarmed.store(true, Relaxed);
    }
}

/// Looks after a batch of completions whether the event of the limit was late.
struct OnBatch(Arc<Shared>);

impl BatchEnd for OnBatch {
    fn batch_end(&self, _completions: u32) {
        let shared = &self.0;
        let Some(srq) = shared.srq.lock().clone() else {
            return;
        };

        if srq.posted() < shared.limit / 2 && shared.refill(&*srq) > 0 {
            shared.by_batch.fetch_add(1, Relaxed);
        }
        if shared.disarmed.xchg(false, Relaxed) {
            if let Err(err) = srq.arm(shared.limit) {
                pr_warn!("the limit is not armed: {:?}\n", err);
            }
        }
    }
}

/// What there is for each device.
struct Station {
    pd: Arc<Pd>,
    cq: Arc<Cq>,
    shared: Arc<Shared>,
}

impl Station {
    fn new(dev: &Device, module: &'static ThisModule) -> Result<Arc<Self>> {
        let depth = module_parameters::depth.value().clamp(2, 4096);
        let limit = module_parameters::limit.value().clamp(1, depth - 1);
        let room = kernel::num::casts::u32_as_usize(depth);
        let shared = Arc::pin_init(
            try_pin_init!(Shared {
                srq <- new_mutex!(None),
                aside <- new_spinlock_irq!(Some(KVec::with_capacity(room, GFP_KERNEL)?)),
                limit,
                disarmed: Atomic::new(false),
                by_limit: Atomic::new(0),
                by_batch: Atomic::new(0),
                received: Atomic::new(0),
                damaged: Atomic::new(0),
                least: Atomic::new(depth),
            }? Error),
            GFP_KERNEL,
        )?;
        let pd = Arc::new(Pd::new(dev, module)?, GFP_KERNEL)?;
        let cq = Cq::with_batch_end(
            dev,
            module,
            depth + 2 * CONNECTIONS * (WINDOW + 1),
            0,
            Poll::Workqueue,
            OnBatch(shared.clone()),
        )?;
        let on_limit = KBox::new(OnLimit(shared.clone()), GFP_KERNEL)?;
        let srq = Srq::new(&pd, &cq, depth, 1, Some(on_limit))?;
        let this = Arc::new(Self { pd, cq, shared }, GFP_KERNEL)?;

        *this.shared.srq.lock() = Some(srq.clone());
        let filled = this.fill(&srq, depth).and_then(|()| srq.arm(limit));
        if let Err(err) = filled {
            this.close();
            return Err(err);
        }
        Ok(this)
    }

    fn fill(&self, srq: &Srq, depth: u32) -> Result {
        for _ in 0..depth {
            let bytes = KVec::from_elem(0, LEN, GFP_KERNEL)?;
            let request = Request::new(
                Incoming {
                    buffer: Mapping::new(self.pd.device(), bytes)?,
                    shared: self.shared.clone(),
                },
                GFP_KERNEL,
            )?;
            self.shared.put(request);
        }
        if self.shared.refill(srq) < depth {
            return Err(ENOMEM);
        }
        Ok(())
    }

    /// Ends it, and reports. The queue goes with the last connection.
    fn close(&self) {
        let shared = &self.shared;
        let srq = shared.srq.lock().take();
        let aside = shared.aside.lock().take();

        drop(srq);
        drop(aside);
        pr_info!(
            "{}: {} received, {} damaged; {} refills by limit, {} by batch, least {}\n",
            self.pd.device().name(),
            shared.received.load(Relaxed),
            shared.damaged.load(Relaxed),
            shared.by_limit.load(Relaxed),
            shared.by_batch.load(Relaxed),
            shared.least.load(Relaxed)
        );
    }

    /// Makes a queue pair that receives in the shared queue.
    fn queue_pair(&self, module: &'static ThisModule) -> Result<Arc<Qp>> {
        let srq = self.shared.srq.lock().clone().ok_or(ENODEV)?;
        let init = QpInit {
            pd: self.pd.clone(),
            send_cq: self.cq.clone(),
            receive: Receive::Shared(srq),
            cap: Capabilities {
                max_send_wr: WINDOW,
                max_recv_wr: 0,
                max_send_sge: 1,
                max_recv_sge: 0,
                max_inline_data: 0,
            },
            port: 0,
            context: Some(Context::new(
                Line {
                    received: Atomic::new(0),
                },
                GFP_KERNEL,
            )?),
        };

        Ok(Arc::new(Qp::new(init, module)?, GFP_KERNEL)?)
    }
}

/// Fills a message in: its number, and bytes that follow from it.
fn fill(buffer: &mut [u8], number: u32) {
    let bytes = number.to_le_bytes();

    for (i, byte) in buffer.iter_mut().enumerate() {
        *byte = pattern(bytes, i);
    }
}

fn intact(buffer: &[u8]) -> bool {
    let Some(number) = buffer.first_chunk::<4>() else {
        return false;
    };

    buffer.len() == LEN
        && buffer
            .iter()
            .enumerate()
            .all(|(i, byte)| *byte == pattern(*number, i))
}

/// The first four bytes are the number's own.
fn pattern(number: [u8; 4], at: usize) -> u8 {
    number[at % 4].wrapping_add((at / 4) as u8)
}

/// What the queue pair of a connection knows: how much was received over it.
struct Line {
    received: Atomic<u32>,
}

impl QpContext for Line {}

impl Drop for Line {
    fn drop(&mut self) {
        let received = self.received.load(Relaxed);

        if received > 0 {
            pr_info!("a connection ends: {} received\n", received);
        }
    }
}

/// A receive request.
struct Incoming {
    buffer: Mapping<KVec<u8>, FromDevice>,
    shared: Arc<Shared>,
}

impl Operation for Incoming {
    fn done(mut this: Pin<KBox<Request<Self>>>, completion: &Completion<'_>) {
        let shared = this.data().shared.clone();

        if let Some(received) = completion.received() {
            let len = kernel::num::casts::u32_as_usize(received.byte_len());
            let bytes = this.as_mut().data_mut().get_mut().buffer.cpu();

            shared.received.fetch_add(1, Relaxed);
            if let Some(line) = completion.poster().context::<Line>() {
                line.received.fetch_add(1, Relaxed);
            }
            if !bytes.get(..len).is_some_and(intact) {
                shared.damaged.fetch_add(1, Relaxed);
            }
            drop(bytes);

            if let Some(srq) = &*shared.srq.lock() {
                let left = srq.posted();
                if left < shared.least.load(Relaxed) {
                    shared.least.store(left, Relaxed);
                }
            }
        }
        shared.put(this);
    }
}

/// What is sent over a connection.
struct Job {
    all: Arc<All>,
    next: Atomic<u32>,
    done: Atomic<u32>,
    total: u32,
}

/// A send request.
struct Outgoing {
    buffer: Mapping<KVec<u8>, ToDevice>,
    job: Arc<Job>,
}

impl Outgoing {
    /// Sends the next message, if there is one.
    fn send(mut request: Pin<KBox<Request<Self>>>, poster: Poster<'_>) -> Result {
        let data = request.as_mut().data_mut().get_mut();
        let job = data.job.clone();
        let number = job.next.fetch_add(1, Relaxed);

        if number >= job.total {
            return Ok(());
        }
        fill(&mut data.buffer.cpu(), number);

        let mut batch: SendBatch<'_, _, 1, 1> = SendBatch::new(poster);
        batch
            .push(request, |data, links| {
                links.send(&[data.buffer.sge()], With::Nothing, Flags::default())
            })
            .map_err(|refused| refused.error)?;
        batch.post().map_err(|unposted| unposted.error)
    }
}

impl Operation for Outgoing {
    fn done(this: Pin<KBox<Request<Self>>>, completion: &Completion<'_>) {
        let job = this.data().job.clone();

        if !completion.status().is_success() {
            return;
        }
        job.all.sent.fetch_add(1, Relaxed);
        if job.done.fetch_add(1, Relaxed) + 1 == job.total {
            let done = job.all.done.fetch_add(1, Relaxed) + 1;
            if done == module_parameters::connections.value().min(CONNECTIONS) {
                pr_info!(
                    "{} messages sent over {} connections\n",
                    job.all.sent.load(Relaxed),
                    done
                );
            }
        }
        let Some(poster) = completion.poster().of() else {
            return;
        };
        if let Err(err) = Self::send(this, poster) {
            pr_warn!("nothing more is sent: {:?}\n", err);
        }
    }
}
