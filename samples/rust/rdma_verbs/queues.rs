// SPDX-License-Identifier: GPL-2.0

//! Queues and their completion queues.

use crate::{
    capabilities,
    expect,
    expect_error,
    requests::{
        receive,
        send,
        send_to,
        Log,
        PATIENCE, //
    },
    Bench,
    DEPTH,
    QKEY, //
};
use kernel::{
    num::casts::u32_as_usize,
    prelude::*,
    sync::Arc,
    time::{
        delay::fsleep,
        Delta, //
    },
};
use krdma::rdma::{
    cq::Poll,
    qp::{
        QpInit,
        Rc,
        Receive,
        Ud, //
    },
    qp_attr::{
        QpAttr,
        QpState, //
    },
    request::Status,
    Ah,
    Cq,
    Qp,
    Srq, //
};

/// A device takes a request as soon as it has begun the one before. What it is done with waits in the
/// completion queue, which nobody looks at here: so after as many as fit no more must be taken.
pub(crate) fn room(bench: &Bench<'_>) -> Result {
    let direct = bench.cq(Poll::Direct)?;
    let other = bench.cq(Poll::Workqueue)?;
    let a = bench.qp::<Rc>('a', &direct, Receive::Own(direct.clone()))?;
    let b = bench.qp::<Rc>('b', &other, Receive::Own(other.clone()))?;
    let (sent, received) = (Log::new()?, Log::new()?);

    bench.connect(&a, &b)?;

    let limit = a.capabilities().max_send_wr;
    let mut posted = 0;
    while posted < 3 * limit {
        receive(&b, bench.dev(), &received, 64)?;
        match send(&a, &sent, 0, 64) {
            Ok(()) => posted += 1,
            Err(err) if err == ENOMEM => break,
            Err(err) => return Err(err),
        }
        received.wait(u32_as_usize(posted))?;
    }
    expect("sends that fit", posted, limit)?;
    expect("ends that were not looked for", sent.len(), 0)?;

    // As many answers come, and then one more than there are receives.
    let limit = a.capabilities().max_recv_wr;
    for _ in 0..limit {
        receive(&a, bench.dev(), &sent, 64)?;
        send(&b, &received, 0, 64)?;
        received.wait(u32_as_usize(posted + 1))?;
        posted += 1;
    }
    expect_error(
        "a receive, with all completed",
        receive(&a, bench.dev(), &sent, 64),
        ENOMEM,
    )?;

    // Now somebody looks, and there is room again. The last acknowledgement may be late.
    for _ in 0..PATIENCE {
        if direct.poll(u32::MAX) > 0 || sent.len() == u32_as_usize(posted) {
            break;
        }
        fsleep(Delta::from_millis(1));
    }
    direct.poll(u32::MAX);
    sent.expect("what had waited", u32_as_usize(posted), Status::Success)?;
    receive(&a, bench.dev(), &sent, 64)?;
    send(&a, &sent, 0, 64)
    // Dropped, a queue pair whose completions nobody polls for does it itself.
}

/// A reset makes a device forget what is posted. It is given back before.
pub(crate) fn reset(bench: &Bench<'_>) -> Result {
    let (a, b) = bench.pair::<Rc>()?;
    let (sent, received) = (Log::new()?, Log::new()?);

    for _ in 0..2 {
        for _ in 0..DEPTH {
            receive(&b, bench.dev(), &received, 64)?;
        }
        send(&a, &sent, 0, 64)?;
        received.expect("a receive", 1, Status::Success)?;
        sent.expect("a send", 1, Status::Success)?;

        for qp in [&a, &b] {
            qp.modify(&QpAttr::new().state(QpState::Reset))?;
            expect("the state", qp.state()?, QpState::Reset)?;
        }
        // They are here already.
        expect(
            "receives given back",
            received.len(),
            u32_as_usize(DEPTH - 1),
        )?;
        received.expect("a receive", received.len(), Status::Flushed)?;
        bench.connect(&a, &b)?;
    }

    // Of datagrams too, which are drained in another way.
    let (c, d) = bench.pair::<Ud>()?;
    let ah = Arc::new(Ah::new(&bench.pd, &bench.path)?, GFP_KERNEL)?;
    for _ in 0..3 {
        receive(&d, bench.dev(), &received, 104)?;
        for _ in 0..DEPTH {
            send_to(&c, &sent, 64, &ah, (d.number(), QKEY))?;
        }
        for qp in [&c, &d] {
            qp.modify(&QpAttr::new().state(QpState::Reset))?;
        }
        expect("datagrams given back", sent.len(), u32_as_usize(DEPTH))?;
        expect("receives of datagrams given back", received.len(), 1)?;
        sent.take(u32_as_usize(DEPTH))?;
        received.take(1)?;
        bench.connect(&c, &d)?;
    }
    Ok(())
}

/// The completion queues that users of a device share.
pub(crate) fn pool(bench: &Bench<'_>) -> Result {
    let dev = bench.dev();

    for poll in [Poll::Softirq, Poll::Workqueue] {
        let cq = Cq::pooled(dev, bench.module, 128, None, poll)?;
        let a = bench.qp::<Rc>('a', &cq, Receive::Own(cq.clone()))?;
        let b = bench.qp::<Rc>('b', &cq, Receive::Own(cq.clone()))?;
        let (sent, received) = (Log::new()?, Log::new()?);

        bench.connect(&a, &b)?;
        for _ in 0..DEPTH {
            receive(&b, dev, &received, 1000)?;
        }
        for _ in 0..DEPTH / 2 {
            send(&a, &sent, 6, 1000)?;
        }
        sent.expect("a send", u32_as_usize(DEPTH / 2), Status::Success)?;
        received.expect("a receive", u32_as_usize(DEPTH / 2), Status::Success)?;
        expect("a queue of the pool polled", cq.poll(1), 0)?;

        // A shared queue, whose queue pair sends there too.
        let srq = Srq::new(&bench.pd, &cq, DEPTH, 1, None)?;
        let c = bench.qp::<Rc>('c', &cq, Receive::Shared(srq.clone()))?;
        receive(&*srq, dev, &received, 1000)?;
        for qp in [&a, &b] {
            qp.modify(&QpAttr::new().state(QpState::Reset))?;
        }
        // Those that were not used come back.
        received.expect("a receive", u32_as_usize(DEPTH / 2), Status::Flushed)?;
        bench.connect(&a, &c)?;
        send(&a, &sent, 6, 1000)?;
        sent.expect("a send", 1, Status::Success)?;
        received.expect("a receive of a shared queue", 1, Status::Success)?;

        // Where its end could not be waited for it is refused.
        expect_error(
            "datagrams with a shared queue of the pool",
            bench.qp::<Ud>('d', &cq, Receive::Shared(srq.clone())),
            EINVAL,
        )?;
        let apart = bench.cq(Poll::Workqueue)?;
        expect_error(
            "sends elsewhere than a shared queue of the pool",
            bench.qp::<Rc>('d', &apart, Receive::Shared(srq)),
            EINVAL,
        )?;
    }

    let max = dev.attributes().max_cqe();
    expect_error(
        "a pool that nobody polls",
        Cq::pooled(dev, bench.module, 8, None, Poll::Direct),
        EINVAL,
    )?;
    expect_error(
        "no entries of the pool",
        Cq::pooled(dev, bench.module, 0, None, Poll::Softirq),
        EINVAL,
    )?;
    expect_error(
        "too many entries of the pool",
        Cq::pooled(dev, bench.module, max + 1, None, Poll::Softirq),
        EINVAL,
    )?;

    // It has no more entries than were claimed.
    let small = Cq::pooled(dev, bench.module, 4, Some(3), Poll::Softirq)?;
    let init = QpInit {
        pd: bench.pd.clone(),
        send_cq: small.clone(),
        receive: Receive::Own(small),
        cap: capabilities(),
        port: 0,
        context: None,
    };
    expect_error(
        "more requests than entries",
        Qp::<Rc>::new(init, bench.module),
        ENOSPC,
    )?;
    Ok(())
}
