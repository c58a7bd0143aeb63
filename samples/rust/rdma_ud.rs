// SPDX-License-Identifier: GPL-2.0

//! Datagrams: to one queue pair, with the right key and with a wrong one, and to a group of them.
//!
//! The module has a queue pair on each device. It tells its number and Q_Key to who asks the
//! connection manager at UDP port `port`, and answers each question that arrives.
//!
//! With the parameter `peer` it asks `count` questions there, each twice: with a key that is not the
//! peer's, and then with the peer's. With `group` it joins that multicast group, with `members` queue
//! pairs; with `burst` it then sends so many datagrams to the group, from a queue pair that is no
//! member. `local` is the address to do either from.
//!
//! To try it, on machines with addresses 10.0.0.1 and 10.0.0.2, with an RDMA device on each:
//!
//! ```sh
//! insmod rdma_ud.ko local=0x0a000001 group=0xef010203
//! insmod rdma_ud.ko local=0x0a000002 group=0xef010203 peer=0x0a000001 burst=100   # the other one
//! dmesg | grep rdma_ud
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
        Arc,
        Mutex, //
    },
    time::Delta, //
};
use krdma::{
    net::Namespace,
    rdma::{
        ah::{
            AhAttr,
            GRH_LEN, //
        },
        client,
        cm::{
            self,
            Acceptor,
            Builder,
            ConnParams,
            Connection,
            Datagram,
            Handler,
            Id,
            Listener,
            Membership,
            PortSpace, //
        },
        cq::Poll,
        dma::{
            FromDevice,
            Mapping,
            ToDevice, //
        },
        events::{
            Event,
            Registration as Watch,
            Watcher, //
        },
        mcast::Attachment,
        post::{
            Flags,
            RecvBatch,
            SendBatch, //
        },
        qp::{
            Capabilities,
            QpInit,
            Receive,
            Ud, //
        },
        qp_attr::{
            QpAttr,
            QpState, //
        },
        request::Received,
        Ah,
        Client,
        Completion,
        Cq,
        Device,
        Operation,
        Pd,
        Qp,
        Request, //
    },
};

// What has callbacks of the connection manager.
#[path = "rdma_ud/ids.rs"]
mod ids;

use ids::{
    Asker,
    Joiner,
    Teller, //
};

module! {
    type: UdModule,
    name: "rdma_ud",
    authors: ["The krdma developers"],
    description: "Datagrams with keys, and multicast",
    license: "GPL",
    params: {
        port: u16 {
            default: 7472,
            description: "The port to listen on and to ask at",
        },
        local: u32 {
            default: 0,
            description: "The IPv4 address to ask and to join from, as a number",
        },
        peer: u32 {
            default: 0,
            description: "The IPv4 address to ask, as a number; none if zero",
        },
        count: u32 {
            default: 100,
            description: "How many questions to ask",
        },
        group: u32 {
            default: 0,
            description: "The multicast group to join, as a number; none if zero",
        },
        members: u32 {
            default: 2,
            description: "How many queue pairs are members of the group",
        },
        burst: u32 {
            default: 0,
            description: "How many datagrams to send to the group",
        },
    },
}

/// The key of our queue pair on each device. The members of a group have the group's.
const QKEY: u32 = 0x1ee7;
/// Questions that wait for their answer at a time.
const WINDOW: u32 = 8;
/// Receive requests of a queue pair.
const DEPTH: u32 = 256;
/// Bytes of a datagram.
const LEN: usize = 200;
const TIMEOUT: Delta = Delta::from_millis(20_000);

#[pin_data(PinnedDrop)]
struct UdModule {
    all: Arc<All>,
    #[pin]
    _client: client::Registration<Devices>,
}

impl kernel::InPlaceModule for UdModule {
    fn init(module: &'static ThisModule) -> impl PinInit<Self, Error> {
        pin_init::pin_init_scope(move || {
            let all = Arc::pin_init(
                pin_init!(All {
                    module,
                    stations <- new_mutex!(KVec::new()),
                    ids <- new_mutex!(Ids::default()),
                }),
                GFP_KERNEL,
            )?;

            Ok(try_pin_init!(Self {
                _client <- client::Registration::new(module, Devices(all.clone())),
                _: { start(&all)? },
                all,
            }? Error))
        })
    }
}

#[pinned_drop]
impl PinnedDrop for UdModule {
    fn drop(self: Pin<&mut Self>) {
        // The callbacks of these take the lock: drop them without it.
        let ids = core::mem::take(&mut *self.all.ids.lock());
        drop(ids);
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
}

/// What has callbacks of the connection manager.
#[derive(Default)]
struct Ids {
    _listener: Option<Listener<Teller>>,
    asker: Option<Connection<Asker>>,
    joiner: Option<Connection<Joiner>>,
}

impl All {
    fn station(&self, dev: &Device) -> Option<Arc<Station>> {
        let stations = self.stations.lock();

        stations
            .iter()
            .find(|station| station.qp.device() == dev)
            .cloned()
    }
}

/// Starts what the parameters ask for, once the devices that are there have been told of.
fn start(all: &Arc<All>) -> Result {
    let port = module_parameters::port.value();
    let builder = Builder::new(Namespace::initial(), PortSpace::Udp, all.module);
    let addr = |bits: u32, port| SocketAddr::from((Ipv4Addr::from_bits(bits), port));
    let src = match module_parameters::local.value() {
        0 => None,
        local => Some(addr(local, 0)),
    };
    let mut ids = Ids {
        _listener: Some(builder.listen(addr(0, port), 16, Teller { all: all.clone() })?),
        ..Ids::default()
    };

    if module_parameters::peer.value() != 0 {
        let peer = addr(module_parameters::peer.value(), port);
        ids.asker = Some(builder.resolve(src, peer, TIMEOUT, Asker { all: all.clone() })?);
    }
    if module_parameters::group.value() != 0 {
        let group = addr(module_parameters::group.value(), 0);
        let joiner = Joiner {
            all: all.clone(),
            group,
        };
        ids.joiner = Some(builder.resolve(src, group, TIMEOUT, joiner)?);
    }

    let mut held = all.ids.lock();
    *held = ids;
    // A device may have gone when its removal found nothing to drop.
    let removed = |state| state == cm::State::Removed;
    let asker = held.asker.take_if(|asker| removed(asker.state()));
    let joiner = held.joiner.take_if(|joiner| removed(joiner.state()));
    drop(held);
    drop((asker, joiner));
    Ok(())
}

struct Devices(Arc<All>);

krdma::client_slot!(Devices);

impl Client for Devices {
    const NAME: &'static CStr = c"rdma_ud";

    type Data = PerDevice;

    fn add(&self, dev: &Device) -> impl PinInit<PerDevice, Error> {
        self.begin(dev)
    }

    fn remove(&self, dev: &Device, data: Pin<&PerDevice>) {
        self.0
            .stations
            .lock()
            .retain(|station| station.qp.device() != dev);
        data.station.close();
    }
}

impl Devices {
    fn begin(&self, dev: &Device) -> Result<PerDevice> {
        let watch = Watch::new(dev, self.0.module, LogEvents)?;
        let mut stations = self.0.stations.lock();

        stations.reserve(1, GFP_KERNEL)?;
        let station = Station::new(dev, self.0.module)?;
        let _ = stations.push_within_capacity(station.clone());
        Ok(PerDevice {
            _watch: watch,
            station,
        })
    }
}

struct PerDevice {
    _watch: Watch<LogEvents>,
    station: Arc<Station>,
}

/// Prints what happens to a device.
struct LogEvents;

impl Watcher for LogEvents {
    fn event(&self, dev: &Device, event: Event) {
        pr_info!("{}: event: {:?}\n", dev.name(), event);
    }
}

/// What a datagram is for.
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
enum Kind {
    /// To be answered.
    Question = 1,
    Answer = 2,
    /// Sent with a wrong key: nobody is to get it.
    Astray = 3,
    /// To a group.
    Group = 4,
}

/// Fills a datagram in: what it is for, its number, and bytes that follow from the number.
fn fill(buffer: &mut [u8], kind: Kind, number: u32) {
    for (i, byte) in buffer.iter_mut().enumerate() {
        *byte = pattern(number, i);
    }
    if let Some((head, rest)) = buffer.split_first_mut() {
        *head = kind as u8;
        if let Some(bytes) = rest.first_chunk_mut() {
            *bytes = number.to_le_bytes();
        }
    }
}

fn pattern(number: u32, at: usize) -> u8 {
    number.to_le_bytes()[at % 4] ^ (at as u8)
}

/// Returns what a datagram is for, and its number; nothing if it is damaged.
fn parse(buffer: &[u8]) -> Option<(Kind, u32)> {
    let (head, rest) = buffer.split_first()?;
    let number = u32::from_le_bytes(*rest.first_chunk()?);
    let kind = [Kind::Question, Kind::Answer, Kind::Astray, Kind::Group]
        .into_iter()
        .find(|kind| *kind as u8 == *head)?;
    let intact = buffer.len() == LEN
        && buffer
            .iter()
            .enumerate()
            .skip(5)
            .all(|(i, byte)| *byte == pattern(number, i));

    intact.then_some((kind, number))
}

/// A queue pair on a port, and what it has received.
#[pin_data]
struct Station {
    qp: Arc<Qp<Ud>>,
    port: u32,
    /// Which datagrams of a burst have come.
    #[pin]
    seen: Mutex<KVec<bool>>,
    questions: Atomic<u32>,
    answers: Atomic<u32>,
    astray: Atomic<u32>,
    group: Atomic<u32>,
    repeated: Atomic<u32>,
    damaged: Atomic<u32>,
    #[pin]
    uses: Mutex<Uses>,
}

/// What goes on at a queue pair until it is closed.
#[derive(Default)]
struct Uses {
    closed: bool,
    /// What we ask, from this queue pair.
    job: Option<Arc<Job>>,
    /// The members of a group on the same device.
    list: KVec<(Attachment, Arc<Station>)>,
}

impl Station {
    /// Makes the queue pair that all may ask, and one that sends.
    fn new(dev: &Device, module: &'static ThisModule) -> Result<Arc<Self>> {
        let pd = Arc::new(Pd::new(dev, module)?, GFP_KERNEL)?;
        let port = dev.ports().next().ok_or(ENODEV)?.number();

        Self::with_key(&pd, port, QKEY, module)
    }

    fn with_key(
        pd: &Arc<Pd>,
        port: u32,
        qkey: u32,
        module: &'static ThisModule,
    ) -> Result<Arc<Self>> {
        let cq = Cq::new(pd.device(), module, 4 * DEPTH, 0, Poll::Workqueue)?;
        let init = QpInit {
            pd: pd.clone(),
            send_cq: cq.clone(),
            receive: Receive::Own(cq),
            cap: Capabilities {
                max_send_wr: DEPTH,
                max_recv_wr: DEPTH,
                max_send_sge: 1,
                max_recv_sge: 1,
                max_inline_data: 0,
            },
            port: 0,
            context: None,
        };
        let qp = Arc::new(Qp::new(init, module)?, GFP_KERNEL)?;

        qp.modify(
            &QpAttr::new()
                .state(QpState::Init)
                .port(port)
                .pkey_index(0)
                .qkey(qkey),
        )?;
        qp.modify(&QpAttr::new().state(QpState::Rtr))?;
        qp.modify(&QpAttr::new().state(QpState::Rts).sq_psn(0))?;

        let burst = kernel::num::casts::u32_as_usize(module_parameters::burst.value().max(1024));
        let this = Arc::pin_init(
            try_pin_init!(Self {
                qp,
                port,
                seen <- new_mutex!(KVec::from_elem(false, burst, GFP_KERNEL)?),
                questions: Atomic::new(0),
                answers: Atomic::new(0),
                astray: Atomic::new(0),
                group: Atomic::new(0),
                repeated: Atomic::new(0),
                damaged: Atomic::new(0),
                uses <- new_mutex!(Uses::default()),
            }? Error),
            GFP_KERNEL,
        )?;
        if let Err(err) = this.receive() {
            this.qp.drain()?;
            return Err(err);
        }
        Ok(this)
    }

    /// Posts all receive requests. They have a share of the station: `close` ends that.
    fn receive(self: &Arc<Self>) -> Result {
        for _ in 0..DEPTH {
            let bytes = KVec::from_elem(0, GRH_LEN + LEN, GFP_KERNEL)?;
            let request = Request::new(
                Incoming {
                    buffer: Mapping::new(self.qp.device(), bytes)?,
                    station: self.clone(),
                },
                GFP_KERNEL,
            )?;
            Incoming::post(request)?;
        }
        Ok(())
    }

    /// Waits until all requests have ended, and with that their share of the station.
    fn drain(&self) {
        if let Err(err) = self.qp.drain() {
            // Only a handler is refused.
            pr_err!("a station is left: {:?}\n", err);
        }
    }

    /// Ends it all, and reports. Nothing is received any more when this returns.
    fn close(&self) {
        let (job, members) = {
            let mut uses = self.uses.lock();
            uses.closed = true;
            (uses.job.take(), core::mem::take(&mut uses.list))
        };

        drop(job);
        for (i, (attachment, member)) in members.into_iter().enumerate() {
            drop(attachment);
            member.drain();
            pr_info!(
                "{}: member {}: {} of the group, {} repeated, {} damaged, {} others\n",
                self.qp.device().name(),
                i,
                member.group.load(Relaxed),
                member.repeated.load(Relaxed),
                member.damaged.load(Relaxed),
                member.questions.load(Relaxed) + member.astray.load(Relaxed)
            );
        }
        self.drain();
        let dev = self.qp.device();
        let violations = dev
            .ports()
            .find(|port| port.number() == self.port)
            .and_then(|port| port.query().ok())
            .map_or(0, |attributes| attributes.qkey_violations());
        pr_info!(
            "{}: {} wrong keys, {} questions, {} answers, {} astray, {} damaged\n",
            dev.name(),
            violations,
            self.questions.load(Relaxed),
            self.answers.load(Relaxed),
            self.astray.load(Relaxed),
            self.damaged.load(Relaxed)
        );
    }

    /// Notes a datagram to the group.
    fn note(&self, number: u32) {
        let mut seen = self.seen.lock();
        let Some(slot) = seen.get_mut(kernel::num::casts::u32_as_usize(number)) else {
            return;
        };

        if core::mem::replace(slot, true) {
            self.repeated.fetch_add(1, Relaxed);
        }
    }
}

/// A receive request.
struct Incoming {
    buffer: Mapping<KVec<u8>, FromDevice>,
    station: Arc<Station>,
}

impl Incoming {
    fn post(request: Pin<KBox<Request<Self>>>) -> Result {
        let station = request.data().station.clone();
        let mut batch: RecvBatch<'_, _, _, 1, 1> = RecvBatch::new(&*station.qp);

        batch
            .push(request, |data, buffers| {
                buffers.add(&[data.buffer.sge_mut()])
            })
            .map_err(|refused| refused.error)?;
        batch.post().map_err(|unposted| unposted.error)
    }

    /// Does what the datagram asks for.
    fn handle(&mut self, received: &Received<'_>) {
        let station = self.station.clone();
        let len = kernel::num::casts::u32_as_usize(received.byte_len());
        let bytes = self.buffer.cpu();
        let (grh, datagram) = match (bytes.first_chunk(), bytes.get(GRH_LEN..len)) {
            (Some(grh), Some(datagram)) => (grh, datagram),
            _ => return,
        };

        match parse(datagram) {
            None => {
                station.damaged.fetch_add(1, Relaxed);
            }
            Some((Kind::Astray, _)) => {
                station.astray.fetch_add(1, Relaxed);
            }
            Some((Kind::Group, number)) => {
                station.note(number);
                let count = station.group.fetch_add(1, Relaxed) + 1;
                if count % 100 == 0 {
                    pr_info!(
                        "queue pair {}: {} of the group\n",
                        station.qp.number(),
                        count
                    );
                }
            }
            Some((Kind::Question, number)) => {
                station.questions.fetch_add(1, Relaxed);
                if let Err(err) = answer(&station, received, grh, number) {
                    pr_warn!("no answer: {:?}\n", err);
                }
            }
            Some((Kind::Answer, _)) => {
                let count = station.answers.fetch_add(1, Relaxed) + 1;
                let job = station.uses.lock().job.clone();

                if let Some(job) = job {
                    job.answered(count);
                }
            }
        }
    }
}

impl Operation for Incoming {
    fn done(mut this: Pin<KBox<Request<Self>>>, completion: &Completion<'_>) {
        let Some(received) = completion.received() else {
            // The queue pair is at its end.
            return;
        };
        this.as_mut().data_mut().get_mut().handle(&received);
        if let Err(err) = Self::post(this) {
            pr_warn!("a receive request is lost: {:?}\n", err);
        }
    }
}

/// Answers who has sent a question.
fn answer(
    station: &Arc<Station>,
    received: &Received<'_>,
    grh: &[u8; GRH_LEN],
    number: u32,
) -> Result {
    let grh = received.has_grh().then_some(grh);
    let ah = Ah::reply(station.qp.pd(), station.port, received, grh)?;
    let job = Arc::new(
        Job {
            station: station.clone(),
            ah,
            qp: received.source_qp().ok_or(EINVAL)?,
            qkey: QKEY,
            next: Atomic::new(0),
            total: 0,
            streams: false,
        },
        GFP_KERNEL,
    )?;

    Outgoing::new(job)?.send_as(Kind::Answer, number, QKEY)
}

/// Datagrams to be sent to one destination.
struct Job {
    station: Arc<Station>,
    ah: Ah,
    qp: u32,
    qkey: u32,
    next: Atomic<u32>,
    total: u32,
    /// Whether the next is sent as soon as one is sent, or when one is answered.
    streams: bool,
}

impl Job {
    fn new(station: &Arc<Station>, to: &Datagram<'_>, total: u32) -> Result<Self> {
        let attr: AhAttr = to.ah_attr().ok_or(EINVAL)?;

        Ok(Self {
            station: station.clone(),
            ah: Ah::new(station.qp.pd(), &attr)?,
            qp: to.qp_number(),
            qkey: to.qkey(),
            next: Atomic::new(0),
            total,
            streams: false,
        })
    }

    /// Returns the number of the next datagram, if there is one.
    fn next(&self) -> Option<u32> {
        let number = self.next.fetch_add(1, Relaxed);

        if number >= self.total {
            // Stay near the end.
            self.next.fetch_sub(1, Relaxed);
            return None;
        }
        Some(number)
    }

    /// Asks the next question, first with a wrong key.
    fn ask(self: &Arc<Self>) -> Result {
        let Some(number) = self.next() else {
            return Ok(());
        };

        Outgoing::new(self.clone())?.send_as(Kind::Astray, number, self.qkey ^ 1)?;
        Outgoing::new(self.clone())?.send_as(Kind::Question, number, self.qkey)
    }

    /// `count` questions have been answered.
    fn answered(self: &Arc<Self>, count: u32) {
        if count == self.total {
            pr_info!("all {} questions answered\n", count);
        }
        if let Err(err) = self.ask() {
            pr_warn!("a question is lost: {:?}\n", err);
        }
    }
}

/// A send request.
struct Outgoing {
    buffer: Mapping<KVec<u8>, ToDevice>,
    job: Arc<Job>,
}

impl Outgoing {
    fn new(job: Arc<Job>) -> Result<Pin<KBox<Request<Self>>>> {
        let bytes = KVec::from_elem(0, LEN, GFP_KERNEL)?;
        let buffer = Mapping::new(job.station.qp.device(), bytes)?;

        Request::new(Self { buffer, job }, GFP_KERNEL)
    }
}

/// What can be done with a request that is not posted.
trait SendAs {
    fn send_as(self, kind: Kind, number: u32, qkey: u32) -> Result;
}

impl SendAs for Pin<KBox<Request<Outgoing>>> {
    fn send_as(mut self, kind: Kind, number: u32, qkey: u32) -> Result {
        let data = self.as_mut().data_mut().get_mut();
        fill(&mut data.buffer.cpu(), kind, number);

        let job = data.job.clone();
        let mut batch: SendBatch<'_, _, 1, 1, Ud> = SendBatch::new(&*job.station.qp);
        batch
            .push(self, |data, links| {
                links.send_to(
                    &data.job.ah,
                    data.job.qp,
                    qkey,
                    &[data.buffer.sge()],
                    None,
                    Flags::default(),
                )
            })
            .map_err(|refused| refused.error)?;
        batch.post().map_err(|unposted| unposted.error)
    }
}

impl Operation for Outgoing {
    fn done(this: Pin<KBox<Request<Self>>>, completion: &Completion<'_>) {
        let job = this.data().job.clone();

        if !completion.status().is_success() || !job.streams {
            return;
        }
        match job.next() {
            Some(number) => {
                if let Err(err) = this.send_as(Kind::Group, number, job.qkey) {
                    pr_warn!("a datagram is lost: {:?}\n", err);
                }
            }
            None => pr_info!("{} datagrams sent to the group\n", job.total),
        }
    }
}

impl Station {
    fn add_member(&self, attachment: Attachment, member: Arc<Station>) -> Result {
        let mut uses = self.uses.lock();

        if uses.closed {
            return Err(ENODEV);
        }
        Ok(uses.list.push((attachment, member), GFP_KERNEL)?)
    }

    fn begin(&self, job: Arc<Job>) -> Result {
        let mut uses = self.uses.lock();

        if uses.closed {
            return Err(ENODEV);
        }
        uses.job = Some(job);
        Ok(())
    }
}
