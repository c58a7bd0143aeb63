// SPDX-License-Identifier: GPL-2.0

//! Who ends what, where and when: drops in any context, ends from within, and what outlives the exit of
//! the module.

use crate::{
    bench::{
        within,
        Bench,
        DEPTH,
        PATIENCE, //
    },
    counted::{
        end,
        receive,
        send,
        Piece,
        Tally, //
    },
    kinds::{
        each,
        Drops,
        Socket, //
    },
    Case,
};
use core::net::{
    Ipv4Addr,
    Ipv6Addr,
    SocketAddr, //
};
use kernel::{
    new_mutex,
    new_spinlock_irq,
    prelude::*,
    sync::{
        atomic::{
            Atomic,
            Relaxed, //
        },
        Arc,
        Completion,
        Mutex,
        SpinLockIrq, //
    },
    time::Delta, //
};
use krdma::{
    net::Namespace,
    rdma::{
        cm::{
            Builder,
            Connection,
            Event,
            Handler,
            Id,
            PortSpace, //
        },
        cq::Poll,
        events::{
            self,
            Watcher, //
        },
        mr::Remote,
        post::{
            Flags,
            Inline,
            SendBatch, //
        },
        qp::{
            Context,
            QpContext,
            QpEvent,
            Receive, //
        },
        srq::{
            LimitEvent,
            SrqRef, //
        },
        Device,
        Operation,
        Qp,
        Request,
        Srq, //
    },
    work::{
        Job,
        Work, //
    },
};

/// The cases.
pub(crate) const CASES: &[Case] = &[
    ("objects are dropped with a spinlock held", under_a_lock),
    ("a job is closed by its own work", job_from_within),
    ("a connection is closed by its own handler", id_from_within),
    (
        "a queue pair is dropped by the event of its last receive",
        qp_in_last_event,
    ),
    (
        "a queue pair is dropped by the limit of its shared queue",
        qp_in_limit_event,
    ),
    (
        "an object of each kind is in use after the module's exit",
        outlive,
    ),
];

/// The module's exit is over but for what is dropped after this.
static GONE: Atomic<bool> = Atomic::new(false);

/// Notes the exit of the module. Its last field.
pub(crate) struct Exit;

impl Drop for Exit {
    fn drop(&mut self) {
        GONE.store(true, Relaxed);
    }
}

/// Whether the module's exit is over.
pub(crate) fn is_gone() -> bool {
    GONE.load(Relaxed)
}

/// One object of each kind: the drops of most sleep, and none may do so here.
fn under_a_lock(bench: &Bench<'_>) -> Result {
    let lock = KBox::pin_init(new_spinlock_irq!(()), GFP_KERNEL)?;
    let drops = Drops::new()?;
    let mut socket = Socket::new(bench, &drops)?;
    let all = (each(bench, &drops)?, socket.open.take());

    let guard = lock.lock();
    drop(all);
    drop(guard);
    drops.expect_elsewhere()
}

/// Closes its own job.
#[pin_data]
struct Selfish {
    #[pin]
    job: SpinLockIrq<Option<Job<Selfish>>>,
    #[pin]
    done: Completion,
}

impl Work for Selfish {
    fn run(this: &Arc<Self>) -> Option<Delta> {
        let job = this.job.lock().take();

        if let Some(job) = job {
            job.close();
        }
        this.done.complete_all();
        Some(Delta::from_millis(0))
    }
}

fn job_from_within(bench: &Bench<'_>) -> Result {
    let job = krdma::new_job!(bench.module, |_| {
        Arc::pin_init(
            pin_init!(Selfish {
                job <- new_spinlock_irq!(None),
                done <- Completion::new(),
            }),
            GFP_KERNEL,
        )
    })?;
    let data = job.data().clone();

    data.job.lock().insert(job).wake();
    data.done.wait_for_completion();
    Ok(())
}

/// Closes its own connection.
struct Leaver(Arc<Left>);

#[pin_data]
struct Left {
    #[pin]
    connection: Mutex<Option<Connection<Leaver>>>,
    #[pin]
    done: Completion,
}

impl Handler for Leaver {
    fn event(id: &Id<Self>, _event: Event<'_>) {
        let left = &id.handler().0;
        let connection = left.connection.lock().take();

        if let Some(connection) = connection {
            connection.close();
            left.done.complete_all();
        }
    }
}

fn id_from_within(bench: &Bench<'_>) -> Result {
    let left = Arc::pin_init(
        pin_init!(Left {
            connection <- new_mutex!(None),
            done <- Completion::new(),
        }),
        GFP_KERNEL,
    )?;
    let addr = address(bench)?;
    let mut place = left.connection.lock();

    // Its event, which there is one of whatever happens, waits for the lock.
    *place = Some(
        Builder::new(Namespace::initial(), PortSpace::Tcp, bench.module).resolve(
            None,
            SocketAddr::from((addr, 4711)),
            Delta::from_millis(PATIENCE.into()),
            Leaver(left.clone()),
        )?,
    );
    drop(place);
    left.done.wait_for_completion();
    Ok(())
}

/// Returns an IPv4 address of the device.
pub(crate) fn address(bench: &Bench<'_>) -> Result<Ipv4Addr> {
    let port = bench.dev().ports().next().ok_or(ENODEV)?;

    port.gids(port.query()?.gid_table_len())
        .find_map(|entry| Ipv6Addr::from(*entry.gid().as_bytes()).to_ipv4_mapped())
        .ok_or(EADDRNOTAVAIL)
}

/// What an event drops: a queue pair, and the shared queue that it receives in.
#[pin_data]
struct Doomed {
    #[pin]
    both: SpinLockIrq<Option<(Qp, Arc<Srq>)>>,
    events: Atomic<u32>,
    #[pin]
    done: Completion,
}

impl Doomed {
    fn new() -> Result<Arc<Self>> {
        Arc::pin_init(
            pin_init!(Self {
                both <- new_spinlock_irq!(None),
                events: Atomic::new(0),
                done <- Completion::new(),
            }),
            GFP_KERNEL,
        )
    }

    fn drop_all(&self) {
        let both = self.both.lock().take();

        self.events.fetch_add(1, Relaxed);
        drop(both);
        self.done.complete_all();
    }
}

/// Drops the queue pair that it belongs to.
struct LastEvent(Arc<Doomed>);

impl QpContext for LastEvent {
    fn event(&self, event: QpEvent) {
        if event == QpEvent::LastWqeReached {
            self.0.drop_all();
        }
    }
}

/// Drops a queue pair that receives in the queue that it belongs to, and the queue.
struct LimitReached(Arc<Doomed>);

impl LimitEvent for LimitReached {
    fn limit_reached(&self, _srq: SrqRef<'_>) {
        self.0.drop_all();
    }
}

/// A write that the peer does not grant.
struct Trespass([u8; 8]);

impl Operation for Trespass {
    fn done(_this: Pin<KBox<Request<Self>>>, _: &krdma::rdma::Completion<'_>) {}
}

/// The peer's fault moves the queue pair to the error state, and the device says that it has taken its last
/// receive of the shared queue.
fn qp_in_last_event(bench: &Bench<'_>) -> Result {
    let doomed = Doomed::new()?;
    let (sends, receives) = (bench.cq(Poll::Workqueue)?, bench.cq(Poll::Workqueue)?);
    let srq = Srq::new(&bench.pd, &receives, DEPTH, 1, None)?;
    let context = Context::new(LastEvent(doomed.clone()), GFP_KERNEL)?;
    let a = bench.lone()?;
    let b = bench.qp_with(
        &bench.pd,
        &sends,
        Receive::Shared(srq.clone()),
        Some(context),
    )?;
    let tally = Tally::new()?;

    bench.connect(&a, &b)?;
    for _ in 0..DEPTH {
        receive(&*srq, Piece::new(bench.dev(), &tally, end)?)?;
        send(&b, Piece::new(bench.dev(), &tally, end)?, false)?;
    }
    *doomed.both.lock() = Some((b, srq));
    let mut batch: SendBatch<'_, _, 1, 1> = SendBatch::new(&a);
    batch
        .push(
            Request::new(Trespass([0; 8]), GFP_KERNEL)?,
            |this, links| {
                let nowhere = Remote { addr: 0, key: 1 };

                links.write(Inline(&this.0), nowhere, None, Flags::default())
            },
        )
        .map_err(|refused| refused.error)?;
    batch.post().map_err(|unposted| unposted.error)?;
    within(|| doomed.events.load(Relaxed) > 0)?;
    doomed.done.wait_for_completion();
    drop(receives);
    tally.expect_none_alive()
}

/// Messages make the shared queue run low.
fn qp_in_limit_event(bench: &Bench<'_>) -> Result {
    let doomed = Doomed::new()?;
    let (sends, receives) = (bench.cq(Poll::Workqueue)?, bench.cq(Poll::Workqueue)?);
    let on_limit = KBox::new(LimitReached(doomed.clone()), GFP_KERNEL)?;
    let srq = Srq::new(&bench.pd, &receives, DEPTH, 1, Some(on_limit))?;
    let a = bench.lone()?;
    let b = bench.qp_of(&bench.pd, &sends, Receive::Shared(srq.clone()))?;
    let tally = Tally::new()?;

    bench.connect(&a, &b)?;
    for _ in 0..DEPTH {
        receive(&*srq, Piece::new(bench.dev(), &tally, end)?)?;
    }
    srq.arm(DEPTH / 2)?;
    *doomed.both.lock() = Some((b, srq));
    for _ in 0..DEPTH {
        send(&a, Piece::new(bench.dev(), &tally, end)?, true)?;
    }
    within(|| doomed.events.load(Relaxed) > 0)?;
    doomed.done.wait_for_completion();
    drop((a, receives));
    tally.expect_none_alive()
}

/// After the module's exit an event has come.
static TOLD: Atomic<bool> = Atomic::new(false);

/// Is told of something that has happened after the module's exit.
struct Teller;

impl Watcher for Teller {
    fn event(&self, _: &Device, _: events::Event) {
        if is_gone() {
            TOLD.store(true, Relaxed);
        }
    }
}

/// Runs on after the module's exit until an event comes, and keeps one object of each kind until then; its own
/// job is one. (But no socket of a family of the module: that keeps the exit from beginning.)
#[pin_data]
struct Late {
    #[pin]
    left: SpinLockIrq<Option<Remains>>,
}

/// What nobody has but [`Late`].
struct Remains {
    job: Job<Late>,
    _teller: events::Registration<Teller>,
    _each: KBox<dyn Send>,
}

impl Work for Late {
    fn run(this: &Arc<Self>) -> Option<Delta> {
        if TOLD.load(Relaxed) {
            let left = this.left.lock().take();

            pr_info!("after the exit an event comes\n");
            drop(left);
            return None;
        }
        Some(Delta::from_millis(10))
    }
}

fn outlive(bench: &Bench<'_>) -> Result {
    let drops = Drops::new()?;
    let each = each(bench, &drops)?;
    let teller = events::Registration::new(bench.dev(), bench.module, Teller)?;
    let job = krdma::new_job!(bench.module, |_| {
        Arc::pin_init(
            pin_init!(Late {
                left <- new_spinlock_irq!(None),
            }),
            GFP_KERNEL,
        )
    })?;
    let data = job.data().clone();
    let left = Remains {
        job,
        _teller: teller,
        _each: each,
    };

    pr_info!("{} values are left\n", drops.made());
    data.left.lock().insert(left).job.wake();
    Ok(())
}
