// SPDX-License-Identifier: GPL-2.0

//! Queue pairs that are drained by several at a time, or were never used.

use crate::{
    bench::{
        expect,
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
    time::Delta, //
};
use krdma::{
    rdma::{
        qp_attr::{
            QpAttr,
            QpState, //
        },
        Qp, //
    },
    work::Work,
};

pub(crate) const CASES: &[Case] = &[
    ("drains by several at a time", several),
    ("the end of a queue pair that was never used", unused),
];

/// Drains a queue pair, often.
struct Drainer {
    qp: Arc<Qp>,
    done: Atomic<bool>,
}

/// How often.
const ROUNDS: u32 = 50;

impl Work for Drainer {
    fn run(this: &Arc<Self>) -> Option<Delta> {
        for _ in 0..ROUNDS {
            this.qp.drain();
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
        };
        let job = krdma::new_job!(bench.module, |_| Ok(Arc::new(drainer, GFP_KERNEL)?))?;

        job.wake();
        jobs.push(job, GFP_KERNEL)?;
    }
    for job in &jobs {
        tally.within(|| job.data().done.load(Relaxed))?;
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
    qp.drain();
    drop(qp);

    let qp = bench.lone()?;
    expect("INIT without a port", failed(&qp), Err(EINVAL))?;
    qp.modify(&QpAttr::new().state(QpState::Reset))?;
    qp.modify(&bench.init())?;
    drop(qp);

    drop(bench.lone()?);
    Ok(())
}
