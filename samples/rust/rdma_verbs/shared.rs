// SPDX-License-Identifier: GPL-2.0

//! Shared receive queues, and what handlers know of queue pairs.

use crate::{
    expect,
    expect_error,
    requests::{
        receive,
        send,
        Log, //
    },
    Bench,
    Name,
    DEPTH, //
};
use kernel::{
    num::casts::u32_as_usize,
    prelude::*,
    sync::Arc, //
};
use krdma::rdma::{
    cq::Poll,
    qp::{
        QpContext,
        Rc,
        Receive, //
    },
    request::Status,
    Cq,
    Qp,
    Srq, //
};

/// A queue pair whose receives are shared, connected to one that sends to it.
struct Sharing {
    receiver: Qp,
    sender: Qp,
}

impl Sharing {
    fn new(bench: &Bench<'_>, name: char, srq: &Arc<Srq>, cq: &Arc<Cq>) -> Result<Self> {
        let other = bench.cq(Poll::Workqueue)?;
        let this = Self {
            receiver: bench.qp::<Rc>(name, cq, Receive::Shared(srq.clone()))?,
            sender: bench.qp::<Rc>('s', &other, Receive::Own(other.clone()))?,
        };

        bench.connect(&this.receiver, &this.sender)?;
        Ok(this)
    }
}

/// Makes a shared queue of [`DEPTH`] requests.
fn srq(bench: &Bench<'_>, poll: Poll) -> Result<(Arc<Srq>, Arc<Cq>)> {
    let cq = bench.cq(poll)?;

    Ok((Srq::new(&bench.pd, &cq, DEPTH, 1, None)?, cq))
}

struct Stranger;

impl QpContext for Stranger {}

/// The handler of a receive finds out which of several queue pairs took it.
pub(crate) fn context(bench: &Bench<'_>) -> Result {
    let (srq, cq) = srq(bench, Poll::Softirq)?;
    let b = Sharing::new(bench, 'b', &srq, &cq)?;
    let c = Sharing::new(bench, 'c', &srq, &cq)?;
    let (sent, received) = (Log::new()?, Log::new()?);

    expect("a context", b.receiver.context(), Some(&Name('b')))?;
    expect(
        "a context of another type",
        b.receiver.context::<Stranger>().is_some(),
        false,
    )?;

    for sharing in [&b, &c, &c, &b] {
        receive(&*srq, bench.dev(), &received, 64)?;
        send(&sharing.sender, &sent, 0, 64)?;
        expect(
            "who has received",
            received.next()?.by,
            sharing.receiver.context::<Name>().copied(),
        )?;
        expect("who has sent", sent.next()?.by, Some(Name('s')))?;
    }

    // A queue pair with a shared queue has none of its own.
    expect_error(
        "a receive of its own",
        receive(&b.receiver, bench.dev(), &received, 64),
        EINVAL,
    )
}

/// A handle posts like the queue, and does not keep it.
pub(crate) fn handle(bench: &Bench<'_>) -> Result {
    let (srq, cq) = srq(bench, Poll::Softirq)?;
    let handle = srq.handle()?;
    let other = handle.clone();
    let sharing = Sharing::new(bench, 'b', &srq, &cq)?;
    let (sent, received) = (Log::new()?, Log::new()?);

    for _ in 0..srq.capacity() {
        receive(&handle, bench.dev(), &received, 64)?;
    }
    expect_error(
        "a receive too many",
        receive(&handle, bench.dev(), &received, 64),
        ENOMEM,
    )?;
    send(&sharing.sender, &sent, 0, 64)?;
    received.expect("a receive", 1, Status::Success)?;
    sent.expect("a send", 1, Status::Success)?;
    expect("receives left", srq.posted(), srq.capacity() - 1)?;

    // The queue goes, with what is in it.
    drop(sharing);
    drop(srq);
    krdma::settle(bench.module);
    expect_error(
        "a receive for a queue that has gone",
        receive(&other, bench.dev(), &received, 64),
        ESHUTDOWN,
    )
}

/// A queue grows and shrinks, with requests in it.
pub(crate) fn resize(bench: &Bench<'_>) -> Result {
    let cq = bench.cq(Poll::Workqueue)?;
    let srq = Srq::new(&bench.pd, &cq, DEPTH, 1, None)?;
    let (sent, received) = (Log::new()?, Log::new()?);

    if !bench.dev().attributes().can_resize_srq() {
        return expect_error("a resize", srq.resize(2 * DEPTH), EOPNOTSUPP);
    }
    for _ in 0..DEPTH {
        receive(&*srq, bench.dev(), &received, 64)?;
    }
    expect_error(
        "a receive too many",
        receive(&*srq, bench.dev(), &received, 64),
        ENOMEM,
    )?;

    srq.resize(2 * DEPTH)?;
    expect("the capacity", srq.capacity(), 2 * DEPTH)?;
    for _ in 0..DEPTH {
        receive(&*srq, bench.dev(), &received, 64)?;
    }
    expect_error("less than is in it", srq.resize(2 * DEPTH - 1), EINVAL)?;
    expect_error("nothing", srq.resize(0), EINVAL)?;
    expect_error(
        "more than the completion queue has room for",
        srq.resize(cq.capacity() + 1),
        ENOSPC,
    )?;
    expect("the capacity", srq.capacity(), 2 * DEPTH)?;

    // What was posted before and after is there.
    let sharing = Sharing::new(bench, 'b', &srq, &bench.cq(Poll::Workqueue)?);
    expect(
        "a queue pair that receives elsewhere",
        sharing.is_ok(),
        true,
    )?;
    let sharing = sharing?;
    for _ in 0..DEPTH {
        send(&sharing.sender, &sent, 0, 64)?;
        sent.expect("a send", 1, Status::Success)?;
    }
    received.expect("a receive", u32_as_usize(DEPTH), Status::Success)?;

    srq.resize(DEPTH)?;
    expect("the capacity", srq.capacity(), DEPTH)?;
    expect_error(
        "a receive too many",
        receive(&*srq, bench.dev(), &received, 64),
        ENOMEM,
    )?;
    for _ in 0..DEPTH {
        send(&sharing.sender, &sent, 0, 64)?;
        sent.expect("a send", 1, Status::Success)?;
    }
    received.expect("a receive", u32_as_usize(DEPTH), Status::Success)?;
    expect("what is in it", srq.posted(), 0)
}
