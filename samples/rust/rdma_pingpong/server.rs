// SPDX-License-Identifier: GPL-2.0

//! The side that is connected to: sends back what it gets.
//!
//! A request receives a message, sends the very same memory back, and when that is acknowledged
//! receives again. A few of them make sure that one is there for the next message.

use crate::{
    ack_timeout,
    new_buffer,
    new_qp,
    Buffer,
    Wish,
    RNR_TIMER, //
};
use core::net::SocketAddr;
use kernel::{
    new_mutex, new_spinlock_irq,
    prelude::*,
    sync::{
        atomic::{
            ordering::Relaxed,
            Atomic, //
        },
        Arc,
        Mutex,
        SpinLockIrq, //
    },
    time::{
        Delta,
        Instant,
        Monotonic, //
    },
};
use krdma::{
    rdma::{
        self,
        cm::{
            self,
            Acceptor,
            ConnParams,
            Connection,
            Event,
            Handler,
            Id, //
        },
        post::{
            Flags,
            RecvBatch,
            SendBatch,
            With, //
        },
        qp_attr::QpState,
        request::Status,
        Completion,
        Device,
        Operation,
        Qp, //
    },
    work::{
        Waker,
        Work, //
    },
};

/// Requests of a connection: one at work, one for the next message, one whose acknowledgement is
/// late.
const REQUESTS: u32 = 3;

/// What the job works with.
#[pin_data(PinnedDrop)]
pub(crate) struct Server {
    module: &'static ThisModule,
    timeout: Delta,
    waker: Waker,
    served: Atomic<u64>,
    #[pin]
    guests: Mutex<KVec<Guest>>,
}

/// A connection, and when it was last seen to do something.
struct Guest {
    connection: Connection<Partner>,
    seen: u64,
    since: Instant<Monotonic>,
}

impl Server {
    pub(crate) fn new(
        module: &'static ThisModule,
        timeout: Delta,
        waker: Waker,
    ) -> Result<Arc<Self>> {
        Arc::pin_init(
            pin_init!(Self {
                module,
                timeout,
                waker,
                served: Atomic::new(0),
                guests <- new_mutex!(KVec::new()),
            }),
            GFP_KERNEL,
        )
    }

    /// Accepts a connection, or refuses it by dropping it.
    fn admit(&self, request: cm::Request<'_>) -> Result {
        let wish = Wish::from_bytes(request.params().private_data)?;
        let echo = Echo::new(request.device(), self.module, self.waker.clone(), wish)?;
        let connection = request.into_connection(Partner { echo: echo.clone() })?;
        connection.set_ack_timeout(ack_timeout())?;
        connection.set_min_rnr_timer(RNR_TIMER)?;
        // Receives are posted before the peer can send.
        connection.modify_qp(&echo.qp, QpState::Init)?;
        echo.prepare()?;
        connection.modify_qp(&echo.qp, QpState::Rtr)?;
        connection.modify_qp(&echo.qp, QpState::Rts)?;
        connection.accept(&ConnParams {
            rnr_retry_count: 7,
            qp_number: echo.qp.number(),
            ..ConnParams::default()
        })?;

        self.guests.lock().push(
            Guest {
                connection,
                seen: 0,
                since: Instant::now(),
            },
            GFP_KERNEL,
        )?;
        self.served.fetch_add(1, Relaxed);
        self.waker.wake();
        Ok(())
    }
}

impl Work for Server {
    fn run(this: &Arc<Self>) -> Option<Delta> {
        // The lock is one that callbacks take, and to drop a connection waits for callbacks: so they
        // are dropped after it is released.
        while let Some(guest) = this.next_to_go() {
            drop(guest);
        }
        (!this.guests.lock().is_empty()).then_some(this.timeout)
    }
}

impl Server {
    fn next_to_go(&self) -> Option<Guest> {
        let mut guests = self.guests.lock();
        let at = guests
            .iter_mut()
            .position(|guest| guest.is_over(self.timeout))?;

        guests.remove(at).ok()
    }
}

impl Guest {
    fn is_over(&mut self, timeout: Delta) -> bool {
        let echo = &self.connection.handler().echo;
        let peer = self.connection.peer_addr();
        let seen = echo.messages.load(Relaxed);

        let end = *echo.end.lock();
        match end {
            Some(End::Gone) => return true,
            Some(End::Failed(status)) => {
                return report(peer, format_args!("failed: {status:?}"));
            }
            Some(End::Local(err)) => return report(peer, format_args!("failed: {err:?}")),
            None => {}
        }
        if seen != self.seen {
            self.seen = seen;
            self.since = Instant::now();
        }
        if self.since.elapsed() < timeout {
            return false;
        }
        report(peer, format_args!("failed: Silence"))
    }
}

fn report(peer: Option<SocketAddr>, what: core::fmt::Arguments<'_>) -> bool {
    match peer {
        Some(peer) => pr_err!("guest {:?}: {}\n", peer, what),
        None => pr_err!("guest: {}\n", what),
    }
    true
}

#[pinned_drop]
impl PinnedDrop for Server {
    fn drop(self: Pin<&mut Self>) {
        pr_info!("{} games served\n", self.served.load(Relaxed));
    }
}

/// The handler of the listener.
pub(crate) struct Door(pub(crate) Arc<Server>);

impl Acceptor for Door {
    fn request(listener: &Id<Self>, request: cm::Request<'_>) {
        if let Err(err) = listener.handler().0.admit(request) {
            pr_err!("a connection was not accepted: {:?}\n", err);
        }
    }
}

/// The handler of a connection.
struct Partner {
    echo: Arc<Echo>,
}

impl Handler for Partner {
    fn event(id: &Id<Self>, event: Event<'_>) {
        match event {
            Event::Disconnected => {
                // The peer waits for this answer. That it is refused means that it went already.
                let _ = id.disconnect();
                id.handler().echo.finish(End::Gone);
            }
            Event::DeviceRemoval => id.handler().echo.finish(End::Gone),
            Event::ConnectError(err) | Event::Unreachable(err) => {
                id.handler().echo.finish(End::Local(err));
            }
            _ => {}
        }
    }
}

impl Drop for Partner {
    fn drop(&mut self) {
        // The requests keep the queue pair, and it keeps them: they go when they are given back.
        if let Err(err) = self.echo.qp.drain() {
            // Only a handler of the queue pair is refused.
            pr_err!("a queue pair is left: {:?}\n", err);
        }
    }
}

/// How a connection has ended.
#[derive(Clone, Copy)]
enum End {
    Gone,
    Failed(Status),
    Local(Error),
}

/// What sends back.
#[pin_data]
struct Echo {
    qp: Qp,
    wish: Wish,
    waker: Waker,
    messages: Atomic<u64>,
    #[pin]
    end: SpinLockIrq<Option<End>>,
}

type Ball = Pin<KBox<rdma::Request<Message>>>;

/// What a request works on.
struct Message {
    buffer: Buffer,
    /// The length and the number of the message that is sent back; none if the request receives.
    answer: Option<(u32, u32)>,
    echo: Arc<Echo>,
}

impl Echo {
    fn new(
        dev: &Device,
        module: &'static ThisModule,
        waker: Waker,
        wish: Wish,
    ) -> Result<Arc<Self>> {
        let qp = new_qp(dev, module, REQUESTS + 2 * wish.window)?;

        Arc::pin_init(
            pin_init!(Self {
                qp,
                wish,
                waker,
                messages: Atomic::new(0),
                end <- new_spinlock_irq!(None),
            }),
            GFP_KERNEL,
        )
    }

    /// Posts the receives.
    fn prepare(self: &Arc<Self>) -> Result {
        // As many again as may be under way, for what comes while others are posted.
        for _ in 0..REQUESTS + 2 * self.wish.window {
            self.receive(rdma::Request::new(
                Message {
                    buffer: new_buffer(self.qp.device(), self.wish.size)?,
                    answer: None,
                    echo: self.clone(),
                },
                GFP_KERNEL,
            )?)?;
        }
        Ok(())
    }

    fn receive(&self, ball: Ball) -> Result {
        let mut batch: RecvBatch<'_, _, _, 1, 1> = RecvBatch::new(&self.qp);

        batch
            .push(ball, |message, buffers| {
                buffers.add(&[message.buffer.sge_mut()])
            })
            .map_err(|refused| refused.error)?;
        batch.post().map_err(|unposted| unposted.error)
    }

    fn send_back(&self, mut ball: Ball, len: u32, number: u32) -> Result {
        ball.as_mut().data_mut().get_mut().answer = Some((len, number));

        let mut batch: SendBatch<'_, _, 1, 1> = SendBatch::new(&self.qp);
        batch
            .push(ball, |message, links| {
                let sge = message.buffer.sge().slice(0..len)?;

                links.send(&[sge], With::Immediate(number), Flags::default())
            })
            .map_err(|refused| refused.error)?;
        batch.post().map_err(|unposted| unposted.error)
    }

    /// Only the first call counts.
    fn finish(&self, end: End) {
        self.end.lock().get_or_insert(end);
        self.waker.wake();
    }
}

impl Operation for Message {
    fn done(mut this: Ball, completion: &Completion<'_>) {
        let echo = this.data().echo.clone();
        let status = completion.status();

        if !status.is_success() {
            // What is flushed has not failed by itself.
            if status != Status::Flushed {
                echo.finish(End::Failed(status));
            }
            return;
        }

        let ret = if echo.wish.window > 0 {
            echo.messages.fetch_add(1, Relaxed);
            echo.receive(this)
        } else if this.as_mut().data_mut().get_mut().answer.take().is_some() {
            echo.receive(this)
        } else if let Some((received, number)) = completion
            .received()
            .and_then(|received| Some((received, received.immediate()?)))
        {
            echo.messages.fetch_add(1, Relaxed);
            echo.send_back(this, received.byte_len(), number)
        } else {
            Err(EBADMSG)
        };
        if let Err(err) = ret {
            echo.finish(End::Local(err));
        }
    }
}
