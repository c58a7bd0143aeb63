// SPDX-License-Identifier: GPL-2.0

//! Queue pairs that are drained by several at a time, or were never used.

use crate::{
    bench::{
        expect,
        within,
        Bench,
        DEPTH, //
    },
    counted::{
        end,
        receive,
        send,
        Piece,
        Tally, //
    },
    Case, //
};
use kernel::{
    prelude::*,
    sync::{
        atomic::{
            ordering::Relaxed,
            Atomic, //
        },
        Arc, //
    },
    time::{
        delay::fsleep,
        Delta, //
    },
};
use krdma::{
    rdma::{
        cq::Poll,
        post::{
            Flags,
            SendBatch,
            With, //
        },
        qp::Receive,
        qp_attr::{
            QpAttr,
            QpState, //
        },
        Completion,
        Cq,
        Operation,
        Qp,
        Request, //
    },
    work::Work,
};

pub(crate) const CASES: &[Case] = &[
    ("drains by several at a time", several),
    ("a drain by a handler of the queue pair", by_handler),
    (
        "posting unsignalled while the queue pair is drained",
        meanwhile,
    ),
    ("the end of a queue pair that was never used", unused),
];

/// Drains a queue pair, often.
struct Drainer {
    qp: Arc<Qp>,
    done: Atomic<bool>,
    refused: Atomic<u32>,
}

/// How often.
const ROUNDS: u32 = 50;

impl Work for Drainer {
    fn run(this: &Arc<Self>) -> Option<Delta> {
        for _ in 0..ROUNDS {
            if this.qp.drain().is_err() {
                this.refused.fetch_add(1, Relaxed);
            }
        }
        this.done.store(true, Relaxed);
        None
    }
}

fn several(bench: &Bench<'_>) -> Result {
    let (a, b) = (bench.lone()?, bench.lone()?);

    bench.connect(&a, &b)?;
    let a = Arc::new(a, GFP_KERNEL)?;
    let tally = Tally::new()?;

    for _ in 0..DEPTH {
        receive(&*a, Piece::new(bench.dev(), &tally, end)?)?;
        send(&*a, Piece::new(bench.dev(), &tally, end)?, false)?;
    }
    let mut jobs = KVec::new();
    for _ in 0..4 {
        let drainer = Drainer {
            qp: a.clone(),
            done: Atomic::new(false),
            refused: Atomic::new(0),
        };
        let job = krdma::new_job!(bench.module, |_| Ok(Arc::new(drainer, GFP_KERNEL)?))?;

        job.wake();
        jobs.push(job, GFP_KERNEL)?;
    }
    for job in &jobs {
        within(|| job.data().done.load(Relaxed))?;
        expect("drains refused", job.data().refused.load(Relaxed), 0)?;
    }
    tally.expect_none_alive()?;
    expect("handlers called", tally.handled(), 2 * DEPTH)?;
    // Each drain lets requests in again, which end at once.
    receive(&*a, Piece::new(bench.dev(), &tally, end)?)?;
    send(&*a, Piece::new(bench.dev(), &tally, end)?, true)?;
    tally.expect_none_alive()?;
    drop((jobs, a, b));
    Ok(())
}

fn unused(bench: &Bench<'_>) -> Result {
    // Without a port.
    let failed = |qp: &Qp| qp.modify(&QpAttr::new().state(QpState::Init));

    let qp = bench.lone()?;
    expect("INIT without a port", failed(&qp), Err(EINVAL))?;
    expect("the state", qp.state()?, QpState::Reset)?;
    qp.drain()?;
    drop(qp);

    let qp = bench.lone()?;
    expect("INIT without a port", failed(&qp), Err(EINVAL))?;
    qp.modify(&QpAttr::new().state(QpState::Reset))?;
    qp.modify(&bench.init())?;
    drop(qp);

    drop(bench.lone()?);
    Ok(())
}

/// A message whose handler waits for itself, or wants to.
struct Selfish {
    qp: Arc<Qp>,
    cq: Arc<Cq>,
    outcome: Arc<Outcome>,
}

/// What has come of that.
struct Outcome {
    refused: Atomic<u32>,
    others: Atomic<u32>,
    handled: Atomic<bool>,
}

impl Operation for Selfish {
    fn done(this: Pin<KBox<Request<Self>>>, _completion: &Completion<'_>) {
        let Self { qp, cq, outcome } = this.data();

        for ret in [qp.drain(), qp.modify(&QpAttr::new().state(QpState::Reset))] {
            let count = match ret {
                Err(err) if err == EDEADLK => &outcome.refused,
                _ => &outcome.others,
            };

            count.fetch_add(1, Relaxed);
        }
        if cq.poll(1) != 0 {
            outcome.others.fetch_add(1, Relaxed);
        }
        outcome.handled.store(true, Relaxed);
    }
}

fn by_handler(bench: &Bench<'_>) -> Result {
    for cq in [
        bench.cq(Poll::Workqueue)?,
        bench.cq(Poll::Direct)?,
        Cq::pooled(bench.dev(), bench.module, 8 * DEPTH, None, Poll::Workqueue)?,
    ] {
        let other = bench.cq(Poll::Workqueue)?;

        // Where sends complete, and where receives do, which no handler may wait for either.
        for (sends, receives) in [(&cq, &other), (&cq, &cq)] {
            let (a, b) = (
                Arc::new(
                    bench.qp_of(&bench.pd, sends, Receive::Own(receives.clone()))?,
                    GFP_KERNEL,
                )?,
                bench.lone()?,
            );

            bench.connect(&a, &b)?;
            // What is posted is flushed.
            a.fail()?;
            let outcome = Arc::new(
                Outcome {
                    refused: Atomic::new(0),
                    others: Atomic::new(0),
                    handled: Atomic::new(false),
                },
                GFP_KERNEL,
            )?;
            let selfish = Selfish {
                qp: a.clone(),
                cq: cq.clone(),
                outcome: outcome.clone(),
            };
            let mut batch: SendBatch<'_, _, 1, 1> = SendBatch::new(&*a);
            batch
                .push(Request::new(selfish, GFP_KERNEL)?, |_, links| {
                    links.send(&[], With::Nothing, Flags::default())
                })
                .map_err(|refused| refused.error)?;
            batch.post().map_err(|unposted| unposted.error)?;
            within(|| {
                cq.poll(1);
                outcome.handled.load(Relaxed)
            })?;
            expect("what was refused", outcome.refused.load(Relaxed), 2)?;
            expect("what was not", outcome.others.load(Relaxed), 0)?;

            // From outside it works as ever.
            a.drain()?;
            a.modify(&QpAttr::new().state(QpState::Reset))?;
        }
    }
    Ok(())
}

/// Posts requests that are not signalled, without end.
struct Sender {
    qp: Arc<Qp>,
    tally: Arc<Tally>,
    posted: Atomic<u32>,
    failed: Atomic<bool>,
    stop: Atomic<bool>,
}

impl Work for Sender {
    fn run(this: &Arc<Self>) -> Option<Delta> {
        while !this.stop.load(Relaxed) {
            let sent = Piece::new(this.qp.device(), &this.tally, end)
                .and_then(|piece| send(&*this.qp, piece, false));

            match sent {
                Ok(()) => {
                    this.posted.fetch_add(1, Relaxed);
                }
                Err(err) if err == ESHUTDOWN => {}
                // The next one that fits is signalled.
                Err(err) if err == ENOMEM => fsleep(Delta::from_micros(50)),
                Err(_) => this.failed.store(true, Relaxed),
            }
        }
        None
    }
}

/// Who posts while the queue is shut may come behind the marker: each request has one end all the same.
fn meanwhile(bench: &Bench<'_>) -> Result {
    let (a, b) = (Arc::new(bench.lone()?, GFP_KERNEL)?, bench.lone()?);
    let tally = Tally::new()?;
    let mut jobs = KVec::new();

    bench.connect(&a, &b)?;
    a.fail()?;
    for _ in 0..3 {
        let sender = Sender {
            qp: a.clone(),
            tally: tally.clone(),
            posted: Atomic::new(0),
            failed: Atomic::new(false),
            stop: Atomic::new(false),
        };
        let job = krdma::new_job!(bench.module, |_| Ok(Arc::new(sender, GFP_KERNEL)?))?;

        job.wake();
        jobs.push(job, GFP_KERNEL)?;
    }
    let ret = (0..4 * ROUNDS).try_for_each(|_| {
        let before = tally.handled();

        a.drain()?;
        within(|| tally.handled() > before)
    });
    for job in &jobs {
        job.data().stop.store(true, Relaxed);
    }
    let (mut posted, mut failed) = (0, false);
    for job in jobs {
        let data = job.data().clone();

        job.close();
        posted += data.posted.load(Relaxed);
        failed |= data.failed.load(Relaxed);
    }
    ret?;
    a.drain()?;
    tally.expect_none_alive()?;
    expect(
        "whether a request was refused without a reason",
        failed,
        false,
    )?;
    expect("handlers called", tally.handled(), posted)
}
