// SPDX-License-Identifier: GPL-2.0

//! A connection with the other node, and what is seen of it.

use crate::{
    wire::{
        self,
        Carrier,
        Private, //
    },
    Config,
    PORT,
    PORT6, //
};
use kernel::{
    new_mutex,
    new_spinlock_irq,
    prelude::*,
    sync::{
        Arc,
        Mutex,
        SpinLockIrq, //
    },
    time::{
        delay::fsleep,
        Delta, //
    }, //
};
use krdma::{
    net::Namespace,
    rdma::{
        cm::{
            Builder,
            ConnParams,
            Connection,
            Event,
            Handler,
            Id,
            PortSpace,
            RejectReason, //
        },
        cq::Poll,
        dma::{
            Bidirectional,
            FromDevice,
            Mapping, //
        },
        mr::Remote,
        post::{
            Flag,
            Flags,
            RecvBatch,
            SendBatch,
            With, //
        },
        qp::{
            Capabilities,
            Poster,
            QpInit,
            Receive, //
        },
        qp_attr::QpState,
        request::Status,
        Completion,
        Cq,
        Device,
        Operation,
        Pd,
        Qp,
        Request, //
    },
};

/// How long addresses and routes may take.
const RESOLVE: Delta = Delta::from_millis(60_000);
/// Frames that may be on their way.
const SENDS: u32 = 64;
/// Bytes of the largest frame.
const FRAME: usize = wire::HEADER + wire::FRAGMENT as usize;

/// How far a connection is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Stage {
    #[default]
    Begun,
    /// We have come as far as we wanted to, or wait for the other node's confirmation.
    Stopped,
    Up,
    /// By the other node, with the datum that it gave.
    Rejected(RejectReason, Option<i32>),
    /// By either side, or the network, after the other node had agreed.
    Down,
    Failed(Error),
}

/// What was seen.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Facts {
    pub(crate) stage: Stage,
    /// The version in the reply.
    pub(crate) version: (u8, u8),
    /// Frames that came, halves of congestion maps among them, and those that were not right.
    pub(crate) frames: u32,
    pub(crate) halves: u32,
    pub(crate) wrong: u32,
    /// The last answer to a ping: to which port, its number, and what it acknowledged.
    pub(crate) pong: Option<(u16, u64, u64)>,
    pub(crate) pongs: u32,
    pub(crate) ack: u64,
    /// The highest message that came.
    pub(crate) received: u64,
    /// Our own requests that are done, and how the first failed that did.
    pub(crate) posted: u32,
    pub(crate) done: u32,
    pub(crate) failed: Option<Status>,
}

impl Facts {
    /// Whether the connection is over.
    pub(crate) fn is_over(&self) -> bool {
        matches!(
            self.stage,
            Stage::Rejected(..) | Stage::Down | Stage::Failed(_)
        )
    }
}

/// See [`Facts`].
#[pin_data]
pub(crate) struct Seen {
    #[pin]
    facts: SpinLockIrq<Facts>,
}

impl Seen {
    pub(crate) fn new() -> Result<Arc<Self>> {
        Arc::pin_init(
            pin_init!(Self {
                facts <- new_spinlock_irq!(Facts::default()),
            }),
            GFP_KERNEL,
        )
    }

    pub(crate) fn facts(&self) -> Facts {
        *self.facts.lock()
    }

    /// Enters a stage, unless the connection is over.
    fn enter(&self, stage: Stage) {
        let mut facts = self.facts.lock();

        if !facts.is_over() {
            facts.stage = stage;
        }
    }

    /// Waits until the facts are as wanted; returns the last in any case.
    pub(crate) fn wait(&self, patience: Delta, wanted: impl Fn(&Facts) -> bool) -> (bool, Facts) {
        // Not more often: the other node may be on the same processor.
        const STEP: Delta = Delta::from_millis(2);

        for _ in 0..patience.as_millis() / STEP.as_millis() {
            let facts = self.facts();
            if wanted(&facts) {
                return (true, facts);
            }
            fsleep(STEP);
        }
        let facts = self.facts();
        (wanted(&facts), facts)
    }
}

/// How far to go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Until {
    Address,
    Route,
    /// The request is sent, the answer is not looked at.
    Asked,
    /// The queue pair works, but the other node is not told.
    Ready,
    /// What the other node has accepted is refused.
    Refused,
    Up,
}

/// What the handshake says beside the private data.
#[derive(Clone, Copy)]
pub(crate) struct Manners {
    pub(crate) reads: (u8, u8),
    pub(crate) retries: u8,
    pub(crate) rnr_retries: u8,
    pub(crate) flow_control: bool,
    pub(crate) srq: bool,
    /// Another number than that of our queue pair.
    pub(crate) qp_number: Option<u32>,
    /// Receives that are posted.
    pub(crate) receives: u32,
}

pub(crate) const MANNERS: Manners = Manners {
    reads: (16, 16),
    retries: 7,
    rnr_retries: 7,
    flow_control: false,
    srq: false,
    qp_number: None,
    receives: 24,
};

/// How a connection is made.
#[derive(Clone, Copy)]
pub(crate) struct Plan {
    pub(crate) tos: u8,
    pub(crate) private: Private,
    pub(crate) manners: Manners,
    pub(crate) until: Until,
}

/// The handler of a connection.
#[pin_data]
pub(crate) struct Side {
    config: Config,
    plan: Plan,
    seen: Arc<Seen>,
    #[pin]
    qp: Mutex<Option<Arc<Qp>>>,
}

impl Side {
    pub(crate) fn new(config: Config, plan: Plan, seen: Arc<Seen>) -> impl PinInit<Self> {
        pin_init!(Self {
            config,
            plan,
            seen,
            qp <- new_mutex!(None),
        })
    }

    /// Makes the queue pair, with its receives, and calls `say` with what is told the other node.
    fn introduce(id: &Id<Self>, say: impl FnOnce(&Qp, &ConnParams<'_>) -> Result) -> Result {
        let this = id.handler();
        let Plan {
            tos,
            private,
            manners,
            ..
        } = &this.plan;
        let qp = queue_pair(id.device().ok_or(ENODEV)?, this.config.module, manners)?;

        id.modify_qp(&qp, QpState::Init)?;
        for _ in 0..manners.receives {
            receive(qp.poster(), Incoming::request(&qp, &this.seen)?)?;
        }
        let us = id.local_addr().ok_or(EADDRNOTAVAIL)?.ip();
        let peer = id.peer_addr().ok_or(EADDRNOTAVAIL)?.ip();
        let (bytes, len) = private.build(us, peer, this.config.other, *tos);

        say(
            &qp,
            &ConnParams {
                private_data: bytes.get(..len).unwrap_or(&bytes),
                responder_resources: manners.reads.0,
                initiator_depth: manners.reads.1,
                flow_control: manners.flow_control,
                retry_count: manners.retries,
                rnr_retry_count: manners.rnr_retries,
                srq: manners.srq,
                qp_number: manners.qp_number.unwrap_or(qp.number()),
                ..ConnParams::default()
            },
        )?;
        *this.qp.lock() = Some(qp);
        Ok(())
    }

    /// Accepts a request of the other node.
    pub(crate) fn accept(id: &Id<Self>) -> Result {
        Self::introduce(id, |qp, params| {
            id.modify_qp(qp, QpState::Rtr)?;
            id.modify_qp(qp, QpState::Rts)?;
            id.accept(params)
        })
    }

    fn answered(&self, id: &Id<Self>) -> Result {
        let until = self.plan.until;

        if until == Until::Refused {
            self.seen.enter(Stage::Stopped);
            return id.reject(&1_i32.to_ne_bytes());
        }
        if until != Until::Asked {
            let qp = self.qp.lock().clone().ok_or(EINVAL)?;

            id.modify_qp(&qp, QpState::Rtr)?;
            id.modify_qp(&qp, QpState::Rts)?;
        }
        if until != Until::Up {
            self.seen.enter(Stage::Stopped);
            return Ok(());
        }
        id.accept_response()?;
        self.seen.enter(Stage::Up);
        Ok(())
    }
}

impl Handler for Side {
    fn event(id: &Id<Self>, event: Event<'_>) {
        let this = id.handler();
        let seen = &this.seen;
        let ret = match event {
            Event::AddressResolved if this.plan.until == Until::Address => {
                seen.enter(Stage::Stopped);
                Ok(())
            }
            Event::AddressResolved => id.resolve_route(RESOLVE),
            Event::RouteResolved if this.plan.until == Until::Route => {
                seen.enter(Stage::Stopped);
                Ok(())
            }
            Event::RouteResolved => Self::introduce(id, |_, params| id.connect(params)),
            Event::Response(reply) => {
                // Where private data of IPv4 and IPv6 has it.
                let at = if this.config.peer6 == id.peer_addr().map(|addr| addr.ip()) {
                    32
                } else {
                    8
                };
                if let Some([major, minor]) = reply
                    .private_data
                    .get(at..)
                    .and_then(|rest| rest.first_chunk::<2>())
                {
                    seen.facts.lock().version = (*major, *minor);
                }
                this.answered(id)
            }
            Event::Established(_) => {
                seen.enter(Stage::Up);
                Ok(())
            }
            // The other node took the connection down before it had our confirmation, which comes by
            // another way than frames.
            Event::Rejected(_) if seen.facts().stage == Stage::Up => {
                seen.enter(Stage::Down);
                Ok(())
            }
            Event::Rejected(why) => {
                let datum = why.private_data().first_chunk();

                seen.enter(Stage::Rejected(
                    why.reason(),
                    datum.map(|bytes| i32::from_ne_bytes(*bytes)),
                ));
                Ok(())
            }
            Event::Disconnected => {
                seen.enter(Stage::Down);
                // The other side is told that we know.
                let _ = id.disconnect();
                Ok(())
            }
            Event::AddressError(err)
            | Event::RouteError(err)
            | Event::ConnectError(err)
            | Event::Unreachable(err) => Err(err),
            Event::DeviceRemoval => Err(ENODEV),
            _ => Ok(()),
        };

        if let Err(err) = ret {
            seen.enter(Stage::Failed(err));
        }
    }
}

fn queue_pair(dev: &Device, module: &'static ThisModule, manners: &Manners) -> Result<Arc<Qp>> {
    // Devices make queues larger than they are asked to.
    let cq = Cq::new(dev, module, 4 * SENDS, 0, Poll::Workqueue)?;
    let init = QpInit {
        pd: Arc::new(Pd::new(dev, module)?, GFP_KERNEL)?,
        send_cq: cq.clone(),
        receive: Receive::Own(cq),
        cap: Capabilities {
            max_send_wr: SENDS,
            max_recv_wr: manners.receives + 1,
            max_send_sge: 1,
            max_recv_sge: 1,
            max_inline_data: 0,
        },
        port: 0,
        context: None,
    };

    Ok(Arc::new(Qp::new(init, module)?, GFP_KERNEL)?)
}

/// Paths that there can be: a type of service by IPv4 or by IPv6.
pub(crate) const PATHS: usize = 512;

/// A connection.
pub(crate) struct Link {
    connection: Connection<Side>,
    /// The number of its path.
    pub(crate) path: usize,
    pub(crate) seen: Arc<Seen>,
}

impl Link {
    /// Asks the other node for a connection, at one of its addresses.
    pub(crate) fn ask(config: &Config, v6: bool, plan: Plan) -> Result<Self> {
        let seen = Seen::new()?;
        let peer = if v6 {
            (config.peer6.ok_or(EADDRNOTAVAIL)?, PORT6)
        } else {
            (config.peer, PORT)
        };
        let connection = Builder::new(Namespace::initial(), PortSpace::Tcp, config.module)
            .service_type(plan.tos)
            .min_rnr_timer(10)
            // A second: an emulated node may be slow.
            .ack_timeout(18)
            .resolve(
                None,
                peer.into(),
                RESOLVE,
                Side::new(*config, plan, seen.clone()),
            )?;

        Ok(Self {
            connection,
            path: usize::from(plan.private.tos_told(v6, plan.tos)) + if v6 { PATHS / 2 } else { 0 },
            seen,
        })
    }

    /// A connection that the other node has asked for, of the usual type of service.
    pub(crate) fn new(connection: Connection<Side>, seen: Arc<Seen>) -> Self {
        Self {
            connection,
            path: 0,
            seen,
        }
    }

    /// Tells the other node that its answer was seen, for [`Until::Ready`].
    pub(crate) fn confirm(&self) -> Result {
        self.connection.accept_response()?;
        self.seen.facts.lock().stage = Stage::Up;
        Ok(())
    }

    pub(crate) fn disconnect(&self) {
        let _ = self.connection.disconnect();
    }

    /// Lets the queue pair go, but not the connection.
    pub(crate) fn drop_qp(&self) {
        let qp = self.connection.handler().qp.lock().take();

        drop(qp);
    }

    /// Moves the queue pair to the error state, but keeps it and the connection.
    pub(crate) fn fail_qp(&self) -> Result {
        let qp = self.connection.handler().qp.lock().clone();

        qp.ok_or(ENOTCONN)?.fail()
    }

    /// Posts a frame, which may have no bytes at all.
    pub(crate) fn post(&self, mut bytes: KVec<u8>, carrier: Carrier, patience: Delta) -> Result {
        let qp = self.connection.handler().qp.lock().clone();
        let qp = qp.ok_or(ENOTCONN)?;
        let (room, facts) = self.seen.wait(patience, |facts| {
            facts.is_over() || facts.posted.wrapping_sub(facts.done) < SENDS
        });
        if facts.is_over() {
            return Err(ENOTCONN);
        }
        if !room {
            return Err(ETIMEDOUT);
        }

        let len = bytes.len();
        if len == 0 {
            // Nothing can't be mapped.
            bytes.push(0, GFP_KERNEL)?;
        }
        let request = Request::new(
            Outgoing {
                buffer: Mapping::new(qp.device(), bytes)?,
                seen: self.seen.clone(),
            },
            GFP_KERNEL,
        )?;
        let mut batch: SendBatch<'_, _, 1, 1> = SendBatch::new(&*qp);
        let pushed = batch.push(request, |out, links| {
            let at = |addr, key| Remote { addr, key };
            let flags: Flags = Flag::Solicited.into();
            let none = Flags::default();
            let sge = out.buffer.sge();
            let sges = if len == 0 { &[][..] } else { &[sge][..] };
            let word = || {
                if len < 8 {
                    return Err(EINVAL);
                }
                out.buffer.sge_mut().slice(0..8)
            };

            match carrier {
                Carrier::Send => links.send(sges, With::Nothing, flags),
                Carrier::Immediate(data) => links.send(sges, With::Immediate(data), flags),
                Carrier::Invalidate(key) => links.send_invalidate(sges, key, flags),
                Carrier::Write(addr, key) => links.write(sges, at(addr, key), None, none),
                Carrier::WriteImmediate(addr, key) => {
                    links.write(sges, at(addr, key), Some(7), flags)
                }
                Carrier::EmptyWrite(addr, key) => links.write(&[], at(addr, key), None, none),
                Carrier::EmptyWriteImmediate(addr, key) => {
                    links.write(&[], at(addr, key), Some(7), flags)
                }
                Carrier::Read(addr, key) => {
                    links.read(&[out.buffer.sge_mut()], at(addr, key), none)
                }
                Carrier::EmptyRead(addr, key) => links.read(&[], at(addr, key), none),
                Carrier::FetchAdd(addr, key) => links.fetch_add(word()?, at(addr, key), 1, none),
                Carrier::CompareSwap(addr, key) => {
                    links.compare_swap(word()?, at(addr, key), 0, 1, none)
                }
            }
        });
        pushed.map_err(|refused| refused.error)?;
        self.seen.facts.lock().posted += 1;
        batch.post().map_err(|unposted| unposted.error)
    }
}

/// A frame on its way.
struct Outgoing {
    buffer: Mapping<KVec<u8>, Bidirectional>,
    seen: Arc<Seen>,
}

impl Operation for Outgoing {
    fn done(this: Pin<KBox<Request<Self>>>, completion: &Completion<'_>) {
        let mut facts = this.data().seen.facts.lock();
        let status = completion.status();

        facts.done = facts.done.wrapping_add(1);
        if !status.is_success() && status != Status::Flushed {
            facts.failed.get_or_insert(status);
        }
    }
}

/// Room for a frame.
struct Incoming {
    buffer: Mapping<KVec<u8>, FromDevice>,
    seen: Arc<Seen>,
}

impl Incoming {
    fn request(qp: &Qp, seen: &Arc<Seen>) -> Result<Pin<KBox<Request<Self>>>> {
        Request::new(
            Self {
                buffer: Mapping::new(qp.device(), KVec::from_elem(0, FRAME, GFP_KERNEL)?)?,
                seen: seen.clone(),
            },
            GFP_KERNEL,
        )
    }

    /// Notes what has come.
    fn note(&mut self, len: u32) {
        let parsed = wire::parse(&self.buffer.cpu());
        let mut facts = self.seen.facts.lock();

        facts.frames += 1;
        match parsed {
            Some(frame) if frame.right && len >= wire::HEADER as u32 => {
                facts.ack = facts.ack.max(frame.ack);
                facts.received = facts.received.max(frame.seq);
                if frame.flags == wire::CONG_BITMAP {
                    facts.halves += 1;
                } else if frame.sport == 0 && frame.dport != 0 {
                    facts.pongs += 1;
                    facts.pong = Some((frame.dport, frame.seq, frame.ack));
                }
            }
            _ => facts.wrong += 1,
        }
    }
}

impl Operation for Incoming {
    fn done(mut this: Pin<KBox<Request<Self>>>, completion: &Completion<'_>) {
        let Some(received) = completion.received() else {
            return;
        };
        this.as_mut().data_mut().get_mut().note(received.byte_len());
        // Once the drop of the queue pair has begun this fails, and the request goes.
        let _ = receive(completion.poster(), this);
    }
}

fn receive<S>(poster: Poster<'_, S>, request: Pin<KBox<Request<Incoming>>>) -> Result {
    let mut batch: RecvBatch<'_, _, _, 1, 1> = RecvBatch::new(&poster);

    batch
        .push(request, |incoming, buffers| {
            buffers.add(&[incoming.buffer.sge_mut()])
        })
        .map_err(|refused| refused.error)?;
    batch.post().map_err(|unposted| unposted.error)
}
