// SPDX-License-Identifier: GPL-2.0

//! Verbs from end to end on one port: two queue pairs of a reliable connection, connected by hand.
//!
//! For each device that comes it makes a pair, sends a chain of messages from one to the other,
//! writes to a registered region, revokes it and sees that it can't be written any more, and reports.
//! Two hosts would use the connection manager instead, see `rdma_pingpong`.
//!
//! ```sh
//! insmod krdma.ko && insmod rdma_loopback.ko
//! rdma link add rxe0 type rxe netdev eth0
//! dmesg | grep rdma_loopback
//! ```

use core::pin::Pin;
use kernel::{
    new_mutex,
    prelude::*,
    sync::{
        atomic::{
            ordering::Relaxed,
            Atomic, //
        },
        Arc,
        Completion as Event,
        Mutex, //
    },
};
use krdma::rdma::{
    ah::{
        AhAttr,
        GlobalRoute, //
    },
    client::Registration,
    cq::{
        BatchEnd,
        Poll, //
    },
    dma::{
        FromDevice,
        Mapping,
        PageList,
        ToDevice, //
    },
    gid::GidType,
    mr::{
        AccessFlag,
        Remote, //
    },
    post::{
        Flags,
        RecvBatch,
        SendBatch,
        With, //
    },
    qp::{
        Capabilities,
        QpInit,
        Receive, //
    },
    qp_attr::{
        PathMtu,
        QpAttr,
        QpState, //
    },
    request::Status,
    Client,
    Completion,
    Cq,
    Device,
    Mr,
    Operation,
    Pd,
    Port,
    Qp,
    Request, //
};

module! {
    type: Loopback,
    name: "rdma_loopback",
    authors: ["The krdma developers"],
    description: "Verbs from end to end on one port",
    license: "GPL",
    params: {
        entries: u32 {
            default: 256,
            description: "How many completions a queue holds",
        },
    },
}

#[pin_data]
struct Loopback {
    #[pin]
    client: Registration<Devices>,
}

impl kernel::InPlaceModule for Loopback {
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

impl Client for Devices {
    const NAME: &'static CStr = c"rdma_loopback";

    /// Nothing is kept: all is done while the device is added.
    type Data = ();

    fn add(&self, dev: &Device) -> impl PinInit<(), Error> {
        match dev
            .ports()
            .next()
            .ok_or(ENODEV)
            .and_then(|port| self.run(port))
        {
            Ok(()) => pr_info!("{}: passed\n", dev.name()),
            Err(err) => pr_err!("{}: failed: {:?}\n", dev.name(), err),
        }
        Ok(())
    }
}

/// Messages that are sent by one call, as one chain.
const MESSAGES: u32 = 4;
/// Bytes of a message.
const LEN: usize = 1000;

/// What the handlers tell who waits.
#[pin_data]
struct Outcome {
    #[pin]
    done: Event,
    left: Atomic<u32>,
    #[pin]
    statuses: Mutex<KVec<Status>>,
    batches: Atomic<u32>,
}

impl Outcome {
    fn new(count: u32) -> Result<Arc<Self>> {
        Arc::pin_init(
            try_pin_init!(Self {
                done <- Event::new(),
                left: Atomic::new(count),
                statuses <- new_mutex!(KVec::with_capacity(
                    kernel::num::casts::u32_as_usize(count),
                    GFP_KERNEL,
                )?),
                batches: Atomic::new(0),
            }? Error),
            GFP_KERNEL,
        )
    }

    fn add(&self, status: Status) {
        let _ = self.statuses.lock().push_within_capacity(status);
        if self.left.fetch_sub(1, Relaxed) == 1 {
            self.done.complete_all();
        }
    }

    /// Waits for all, and returns the first that is not a success.
    fn wait(&self) -> Status {
        self.done.wait_for_completion();
        self.statuses
            .lock()
            .iter()
            .find(|status| !status.is_success())
            .copied()
            .unwrap_or(Status::Success)
    }
}

/// Counts the batches that completions come in.
struct Batches;

impl BatchEnd for Batches {
    fn batch_end(&self, completions: u32) {
        pr_debug!("{} completions\n", completions);
    }
}

/// A chain of sends, or one write, with the memory that it reads.
struct Outgoing {
    buffer: Mapping<KVec<u8>, ToDevice>,
    outcome: Arc<Outcome>,
}

impl Operation for Outgoing {
    fn done(this: Pin<KBox<Request<Self>>>, completion: &Completion<'_>) {
        this.data().outcome.add(completion.status());
    }
}

/// A receive buffer.
struct Incoming {
    buffer: Mapping<KVec<u8>, FromDevice>,
    number: u8,
    outcome: Arc<Outcome>,
}

impl Operation for Incoming {
    fn done(mut this: Pin<KBox<Request<Self>>>, completion: &Completion<'_>) {
        let mut status = completion.status();

        if let Some(received) = completion.received() {
            let number = this.data().number;
            // The request is back, so the memory may be looked at.
            let data = this.as_mut().data_mut().get_mut();
            let intact = data.buffer.cpu().iter().all(|&byte| byte == number);

            if !intact || received.byte_len() != LEN as u32 {
                status = Status::LocalLength;
            }
        }
        this.data().outcome.add(status);
    }
}

/// A registration or its end, of a region that the request shares.
struct Register {
    mr: Arc<Mr>,
    outcome: Arc<Outcome>,
}

impl Operation for Register {
    fn done(this: Pin<KBox<Request<Self>>>, completion: &Completion<'_>) {
        this.data().outcome.add(completion.status());
    }
}

/// The two ends of a connection.
struct Pair {
    a: Qp,
    b: Qp,
    pd: Arc<Pd>,
}

impl Devices {
    fn run(&self, port: Port<'_>) -> Result {
        let pair = self.connect(port)?;

        messages(&pair)?;
        let mr = Arc::new(Mr::new(&pair.pd, 4)?, GFP_KERNEL)?;
        writes(&pair, mr)
    }

    /// Makes two queue pairs and connects them to each other.
    fn connect(&self, port: Port<'_>) -> Result<Pair> {
        let dev = port.device();
        let pd = Arc::new(Pd::new(dev, self.module)?, GFP_KERNEL)?;
        let make = || -> Result<Qp> {
            let entries = module_parameters::entries.value();
            let cq = Cq::with_batch_end(dev, self.module, entries, 0, Poll::Workqueue, Batches)?;

            Qp::new(
                QpInit {
                    pd: pd.clone(),
                    send_cq: cq.clone(),
                    receive: Receive::Own(cq),
                    cap: Capabilities {
                        max_send_wr: 32,
                        max_recv_wr: 16,
                        max_send_sge: 2,
                        max_recv_sge: 2,
                        max_inline_data: 0,
                    },
                    port: 0,
                    context: None,
                },
                self.module,
            )
        };
        let pair = Pair {
            a: make()?,
            b: make()?,
            pd: pd.clone(),
        };

        let table_len = port.query()?.gid_table_len();
        let entry = port
            .gids(table_len)
            .find(|entry| entry.gid_type() == GidType::RoceV2)
            .ok_or(EADDRNOTAVAIL)?;
        let route = GlobalRoute {
            dgid: entry.gid(),
            sgid_index: u8::try_from(entry.index()).map_err(|_| EINVAL)?,
            hop_limit: 64,
            ..GlobalRoute::default()
        };
        let path = AhAttr::roce(port.number(), route, entry.mac()?, 0);

        for (qp, peer) in [(&pair.a, &pair.b), (&pair.b, &pair.a)] {
            qp.modify(
                &QpAttr::new()
                    .state(QpState::Init)
                    .port(port.number())
                    .pkey_index(0)
                    .access(AccessFlag::LocalWrite | AccessFlag::RemoteWrite),
            )?;
            qp.modify(
                &QpAttr::new()
                    .state(QpState::Rtr)
                    .path(&path)
                    .path_mtu(PathMtu::Bytes1024)
                    .dest_qp(peer.number())
                    .rq_psn(0)
                    .max_dest_rd_atomic(1)
                    .min_rnr_timer(12),
            )?;
            qp.modify(
                &QpAttr::new()
                    .state(QpState::Rts)
                    .timeout(20)
                    .retry_count(7)
                    .rnr_retry_count(7)
                    .sq_psn(0)
                    .max_rd_atomic(1),
            )?;
        }
        Ok(pair)
    }
}

fn filled(len: usize, byte: u8) -> Result<KVec<u8>> {
    Ok(KVec::from_elem(byte, len, GFP_KERNEL)?)
}

/// Sends a chain of messages and checks what arrives.
fn messages(pair: &Pair) -> Result {
    let dev = pair.pd.device();
    let received = Outcome::new(MESSAGES)?;
    let sent = Outcome::new(1)?;

    let mut batch: RecvBatch<'_, _, _> = RecvBatch::new(&pair.b);
    for number in 1..=MESSAGES {
        let number = u8::try_from(number).map_err(|_| EINVAL)?;
        let request = Request::new(
            Incoming {
                buffer: Mapping::new(dev, filled(LEN, 0)?)?,
                number,
                outcome: received.clone(),
            },
            GFP_KERNEL,
        )?;

        batch
            .push(request, |data, buffers| {
                buffers.add(&[data.buffer.sge_mut()])
            })
            .map_err(|refused| refused.error)?;
    }
    batch.post().map_err(|unposted| unposted.error)?;

    // All messages lie in one buffer, and are sent by one request of several links.
    let mut bytes = KVec::new();
    for number in 1..=MESSAGES {
        bytes.extend_from_slice(
            &filled(LEN, u8::try_from(number).map_err(|_| EINVAL)?)?,
            GFP_KERNEL,
        )?;
    }
    let request = Request::new(
        Outgoing {
            buffer: Mapping::new(dev, bytes)?,
            outcome: sent.clone(),
        },
        GFP_KERNEL,
    )?;
    let mut batch: SendBatch<'_, _> = SendBatch::new(&pair.a);
    batch
        .push(request, |data, links| {
            for number in 0..MESSAGES {
                let start = number * LEN as u32;
                let sge = data.buffer.sge().slice(start..start + LEN as u32)?;

                links.send(&[sge], With::Nothing, Flags::default())?;
            }
            Ok(())
        })
        .map_err(|refused| refused.error)?;
    batch.post().map_err(|unposted| unposted.error)?;

    expect("sends", sent.wait(), Status::Success)?;
    expect("receives", received.wait(), Status::Success)
}

/// Writes to a registered region, then to one that is revoked.
fn writes(pair: &Pair, mr: Arc<Mr>) -> Result {
    let mut owned = Arc::into_unique_or_drop(mr).ok_or(EBUSY)?;
    // The region has one owner so far, so that pages can be put in.
    let pages = PageList::new(pair.pd.device(), 2)?;
    owned
        .as_mut()
        .get_mut()
        .attach(pages)
        .map_err(|refused| refused.error)?;
    let mr: Arc<Mr> = owned.into();

    expect(
        "registration",
        post_for_region(&pair.b, &mr, |mr, links| {
            links.register(
                mr,
                AccessFlag::LocalWrite | AccessFlag::RemoteWrite,
                Flags::default(),
            )
        })?,
        Status::Success,
    )?;
    let remote = mr.remote();
    expect("write", write(pair, remote, 0x5a)?, Status::Success)?;
    expect_bytes(&mr, 0x5a)?;

    expect(
        "revocation",
        post_for_region(&pair.b, &mr, |mr, links| {
            links.invalidate(mr, Flags::default())
        })?,
        Status::Success,
    )?;
    expect(
        "write after revocation",
        write(pair, remote, 0xa5)?,
        Status::RemoteAccess,
    )?;
    expect_bytes(&mr, 0x5a)
}

/// Posts a request of one link that is about a region, and waits for it.
fn post_for_region(
    qp: &Qp,
    mr: &Arc<Mr>,
    link: impl for<'a> FnOnce(&'a Mr, &mut krdma::rdma::post::Links<'a, '_>) -> Result,
) -> Result<Status> {
    let outcome = Outcome::new(1)?;
    let request = Request::new(
        Register {
            mr: mr.clone(),
            outcome: outcome.clone(),
        },
        GFP_KERNEL,
    )?;
    let mut batch: SendBatch<'_, _> = SendBatch::new(qp);

    batch
        .push(request, |data, links| link(&data.mr, links))
        .map_err(|refused| refused.error)?;
    batch.post().map_err(|unposted| unposted.error)?;
    Ok(outcome.wait())
}

/// Writes to the peer's region, and waits.
fn write(pair: &Pair, remote: Remote, byte: u8) -> Result<Status> {
    let outcome = Outcome::new(1)?;
    let request = Request::new(
        Outgoing {
            buffer: Mapping::new(pair.pd.device(), filled(5000, byte)?)?,
            outcome: outcome.clone(),
        },
        GFP_KERNEL,
    )?;
    let mut batch: SendBatch<'_, _> = SendBatch::new(&pair.a);

    batch
        .push(request, |data, links| {
            links.write(&[data.buffer.sge()], remote, None, Flags::default())
        })
        .map_err(|refused| refused.error)?;
    batch.post().map_err(|unposted| unposted.error)?;
    Ok(outcome.wait())
}

fn expect(what: &str, got: Status, wanted: Status) -> Result {
    if got != wanted {
        pr_err!("{}: {:?} instead of {:?}\n", what, got, wanted);
        return Err(EIO);
    }
    Ok(())
}

fn expect_bytes(mr: &Mr, byte: u8) -> Result {
    let mut bytes = filled(5000, 0)?;

    mr.pages().ok_or(ENOENT)?.read(0, &mut bytes)?;
    if bytes.iter().any(|&found| found != byte) {
        pr_err!("the region does not hold {:#x}\n", byte);
        return Err(EIO);
    }
    Ok(())
}
