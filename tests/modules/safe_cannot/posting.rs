// SPDX-License-Identifier: GPL-2.0

//! Posting while a queue pair or a shared queue goes or is reset, and in states that refuse it.

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
        receive_many,
        send,
        send_many,
        Counted,
        Deed,
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
        qp::Receive,
        qp_attr::{
            QpAttr,
            QpState, //
        },
        Completion,
        Qp,
        Srq, //
    },
    work::Work,
};

pub(crate) const CASES: &[Case] = &[
    ("a handler that posts again as the queue pair goes", reposts),
    ("a handler that sends as the queue pair goes", |bench| {
        receives(bench, answer)
    }),
    (
        "a handler that sends unsignalled as the queue pair goes",
        |bench| receives(bench, answer_silently),
    ),
    (
        "a handler that posts to the shared queue as all goes",
        shared,
    ),
    ("posting in the states that refuse it", states),
    ("posting while the queue pair is reset", resets),
];

/// The rounds of a case: so many at least, and so many at most until a handler was called in time to be
/// refused.
const ROUNDS: core::ops::Range<u32> = 4..200;

/// How long a handler sleeps: so others come to wait behind it.
const SLOW: Delta = Delta::from_millis(10);

/// Posts the request again, if there was a message.
fn repost(request: Counted, completion: &Completion<'_>) {
    let tally = request.data().tally.clone();

    if completion.received().is_none() {
        return;
    }
    fsleep(SLOW);
    if let Err(err) = tally.note(receive(&completion.poster(), request)) {
        pr_err!("a receive: {:?}\n", err);
    }
}

fn answer(request: Counted, completion: &Completion<'_>) {
    answer_by(request, completion, true);
}

fn answer_silently(request: Counted, completion: &Completion<'_>) {
    answer_by(request, completion, false);
}

/// Sends a message, if there was one.
fn answer_by(request: Counted, completion: &Completion<'_>, signaled: bool) {
    let (tally, poster) = (request.data().tally.clone(), completion.poster());

    if completion.received().is_none() {
        return;
    }
    fsleep(SLOW);
    let sent = Piece::new(poster.device(), &tally, end)
        .and_then(|request| send(poster.of().ok_or(EINVAL)?, request, signaled));
    if let Err(err) = tally.note(sent) {
        pr_err!("an answer: {:?}\n", err);
    }
}

/// Sends as many messages as there are receives.
fn fill(bench: &Bench<'_>, from: &Qp) -> Result<Arc<Tally>> {
    let sent = Tally::new()?;

    for _ in 0..DEPTH {
        send(from, Piece::new(bench.dev(), &sent, end)?, true)?;
    }
    Ok(sent)
}

/// Lets a queue pair go when the first of its handlers has been called and others wait behind it.
fn go(qp: Qp, tally: &Tally) -> Result {
    within(|| tally.received() > 0)?;
    drop(qp);
    tally.expect_none_alive()?;

    let handled = tally.handled();
    fsleep(SLOW);
    expect("handlers called since", tally.handled(), handled)
}

/// Repeats what returns the requests that were refused, until some were.
fn rounds(round: impl Fn() -> Result<u32>) -> Result {
    let mut refused = 0;

    for count in 0..ROUNDS.end {
        refused += round()?;
        if refused > 0 && count >= ROUNDS.start {
            return Ok(());
        }
    }
    pr_err!("nothing was ever refused\n");
    Err(EPROTO)
}

fn reposts(bench: &Bench<'_>) -> Result {
    receives(bench, repost)
}

/// Lets a queue pair go that has a backlog of receives.
fn receives(bench: &Bench<'_>, then: Deed) -> Result {
    rounds(|| {
        let (a, b) = (bench.lone()?, bench.lone()?);
        let tally = Tally::new()?;

        bench.connect(&a, &b)?;
        for _ in 0..DEPTH {
            receive(&b, Piece::new(bench.dev(), &tally, then)?)?;
        }
        let sent = fill(bench, &a)?;
        go(b, &tally)?;
        drop(a);
        sent.expect_none_alive()?;
        Ok(tally.refused())
    })
}

/// Posts the request to the shared queue again, whatever happened.
fn repost_shared(request: Counted, completion: &Completion<'_>) {
    let tally = request.data().tally.clone();
    let Some(srq) = request.data().srq.clone() else {
        return;
    };

    if completion.received().is_some() {
        fsleep(SLOW);
        answer_by_shared(&tally, completion);
    }
    if let Err(err) = tally.note(receive(&srq, request)) {
        pr_err!("a receive of a shared queue: {:?}\n", err);
    }
}

fn answer_by_shared(tally: &Arc<Tally>, completion: &Completion<'_>) {
    let poster = completion.poster();
    let sent = Piece::new(poster.device(), tally, end)
        .and_then(|request| send(poster.of().ok_or(EINVAL)?, request, false));

    if let Err(err) = tally.note(sent) {
        pr_err!("an answer: {:?}\n", err);
    }
}

fn shared(bench: &Bench<'_>) -> Result {
    rounds(|| {
        let (sends, receives) = (bench.cq(Poll::Workqueue)?, bench.cq(Poll::Workqueue)?);
        let srq = Srq::new(&bench.pd, &receives, DEPTH, 1, None)?;
        let handle = srq.handle()?;
        let a = bench.lone()?;
        let b = bench.qp_of(&bench.pd, &sends, Receive::Shared(srq.clone()))?;
        let tally = Tally::new()?;

        bench.connect(&a, &b)?;
        for _ in 0..DEPTH {
            let piece = Piece::with(bench.dev(), &tally, Some(handle.clone()), repost_shared)?;

            receive(&*srq, piece)?;
        }
        let sent = fill(bench, &a)?;
        within(|| tally.received() > 0)?;
        drop(srq);
        drop(b);
        tally.expect_none_alive()?;
        let late = Piece::new(bench.dev(), &tally, end)?;
        expect(
            "a receive afterwards",
            receive(&handle, late),
            Err(ESHUTDOWN),
        )?;
        drop(a);
        sent.expect_none_alive()?;
        Ok(tally.refused())
    })
}

/// What is refused is given back at once, whatever the driver would do with it. That the state refuses it, and not
/// the driver, shows in what there is no room for in any state: the driver is not asked for that.
fn states(bench: &Bench<'_>) -> Result {
    let qp = bench.lone()?;
    let tally = Tally::new()?;
    let piece = || Piece::new(bench.dev(), &tally, end);
    let cap = qp.capabilities();
    let too_many_receives = || receive_many(&qp, cap.max_recv_wr + 1, piece);
    let too_many_sends = || send_many(&qp, cap.max_send_wr + 1, piece);

    for _ in 0..2 {
        expect("a receive in RESET", receive(&qp, piece()?), Err(EINVAL))?;
        expect("receives in RESET", too_many_receives(), Err(EINVAL))?;
        expect("a send in RESET", send(&qp, piece()?, true), Err(EINVAL))?;
        expect("sends in RESET", too_many_sends(), Err(EINVAL))?;
        qp.modify(&bench.init())?;
        expect("a send in INIT", send(&qp, piece()?, true), Err(EINVAL))?;
        expect("sends in INIT", too_many_sends(), Err(EINVAL))?;
        expect("receives in INIT", too_many_receives(), Err(ENOMEM))?;
        receive(&qp, piece()?)?;
        qp.modify(&QpAttr::new().state(QpState::Reset))?;
        tally.expect_none_alive()?;
    }
    qp.drain()?;
    expect(
        "a receive after a drain in RESET",
        receive(&qp, piece()?),
        Err(EINVAL),
    )?;
    qp.modify(&bench.init())?;
    qp.fail()?;
    expect("sends in ERR", too_many_sends(), Err(ENOMEM))?;
    drop(qp);
    tally.expect_none_alive()
}

/// Posts without end.
struct Poster {
    qp: Arc<Qp>,
    tally: Arc<Tally>,
    posted: Atomic<u32>,
    stop: Atomic<bool>,
}

impl Work for Poster {
    fn run(this: &Arc<Self>) -> Option<Delta> {
        while !this.stop.load(Relaxed) {
            for _ in 0..2 * DEPTH {
                let dev = this.qp.device();
                let piece = || Piece::new(dev, &this.tally, end);
                // In each state something is refused.
                let received = piece().and_then(|piece| receive(&*this.qp, piece));
                let sent = piece().and_then(|piece| send(&*this.qp, piece, false));

                if received.is_ok() || sent.is_ok() {
                    this.posted.fetch_add(1, Relaxed);
                }
            }
            fsleep(Delta::from_micros(100));
        }
        None
    }
}

fn resets(bench: &Bench<'_>) -> Result {
    let (a, b) = (Arc::new(bench.lone()?, GFP_KERNEL)?, bench.lone()?);
    let tally = Tally::new()?;
    let job = krdma::new_job!(bench.module, |_| {
        Ok(Arc::new(
            Poster {
                qp: a.clone(),
                tally: tally.clone(),
                posted: Atomic::new(0),
                stop: Atomic::new(false),
            },
            GFP_KERNEL,
        )?)
    })?;

    job.wake();
    let ret = (0..10).try_for_each(|_| {
        let before = job.data().posted.load(Relaxed);

        bench.connect(&a, &b)?;
        within(|| job.data().posted.load(Relaxed) > before)?;
        a.modify(&QpAttr::new().state(QpState::Reset))?;
        b.modify(&QpAttr::new().state(QpState::Reset))
    });
    job.data().stop.store(true, Relaxed);
    drop(job);
    ret?;
    // It is in RESET, where nothing is posted.
    tally.expect_none_alive()?;
    drop((a, b));
    Ok(())
}
