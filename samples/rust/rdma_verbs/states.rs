// SPDX-License-Identifier: GPL-2.0

//! The states of queue pairs, and attributes that are refused.

use crate::{
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
    QKEY, //
};
use kernel::{
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
        Gsi,
        Rc,
        Receive,
        Ud, //
    },
    qp_attr::{
        QpAttr,
        QpState, //
    },
    request::Status,
    Ah, //
};

fn to(state: QpState) -> QpAttr {
    QpAttr::new().state(state)
}

/// Through all states, and where no way leads.
pub(crate) fn transitions(bench: &Bench<'_>) -> Result {
    let (one, other) = (bench.cq(Poll::Workqueue)?, bench.cq(Poll::Workqueue)?);
    let a = bench.qp::<Rc>('a', &one, Receive::Own(one.clone()))?;
    let b = bench.qp::<Rc>('b', &other, Receive::Own(other.clone()))?;
    let (sent, received) = (Log::new()?, Log::new()?);

    // In RESET nothing can be posted, and only INIT and ERR follow.
    expect("the first state", a.state()?, QpState::Reset)?;
    expect_error("a send in RESET", send(&a, &sent, 0, 8), EINVAL)?;
    expect_error(
        "a receive in RESET",
        receive(&a, bench.dev(), &received, 8),
        EINVAL,
    )?;
    expect_error("RESET to RTR", a.modify(&bench.rtr(&a, &b)), EINVAL)?;
    expect_error("RESET to RTS", a.modify(&bench.rts(&a)), EINVAL)?;

    // In INIT receives can be posted.
    a.modify(&bench.init(&a))?;
    expect("the state", a.state()?, QpState::Init)?;
    receive(&a, bench.dev(), &received, 8)?;
    expect_error("a send in INIT", send(&a, &sent, 0, 8), EINVAL)?;
    expect_error("INIT to RTS", a.modify(&bench.rts(&a)), EINVAL)?;
    a.modify(&bench.rtr(&a, &b))?;
    expect("the state", a.state()?, QpState::Rtr)?;
    expect_error("a send in RTR", send(&a, &sent, 0, 8), EINVAL)?;
    expect_error("RTR to SQD", a.modify(&to(QpState::Sqd)), EINVAL)?;
    a.modify(&bench.rts(&a))?;
    expect("the state", a.state()?, QpState::Rts)?;

    b.modify(&bench.init(&b))?;
    b.modify(&bench.rtr(&b, &a))?;
    b.modify(&bench.rts(&b))?;
    for _ in 0..3 {
        receive(&b, bench.dev(), &received, 8)?;
    }
    send(&a, &sent, 0, 8)?;
    sent.expect("a send", 1, Status::Success)?;

    // SQD holds back what is posted, and RTS lets it go.
    a.modify(&to(QpState::Sqd))?;
    within(&|| Ok(a.state()? == QpState::Sqd))?;
    send(&a, &sent, 0, 8)?;
    fsleep(Delta::from_millis(50));
    expect("sends that went in SQD", sent.len(), 0)?;
    // How soon it is drained is the device's.
    within(&|| {
        Ok(a.modify(&to(QpState::Rts).current_state(QpState::Sqd))
            .is_ok())
    })?;
    // rdma_rxe begins it when something more is posted.
    send(&a, &sent, 0, 8)?;
    sent.expect("a send that was held back", 2, Status::Success)?;
    received.expect("a receive", 3, Status::Success)?;

    // SQE is not one to go to, and none of reliable connections.
    expect_error("RTS to SQE", a.modify(&to(QpState::Sqe)), EINVAL)?;
    expect_error("RTS to INIT", a.modify(&bench.init(&a)), EINVAL)?;
    a.fail()?;
    expect("the state", a.state()?, QpState::Err)?;
    received.expect("the receive of INIT", 1, Status::Flushed)?;
    send(&a, &sent, 0, 8)?;
    sent.expect("a send in ERR", 1, Status::Flushed)?;
    expect_error("ERR to RTS", a.modify(&bench.rts(&a)), EINVAL)?;
    expect_error("ERR to INIT", a.modify(&bench.init(&a)), EINVAL)?;
    expect_error(
        "a state that there is none of",
        a.modify(&to(QpState::Unknown(77))),
        EINVAL,
    )?;
    a.modify(&to(QpState::Reset))?;
    datagrams(bench)
}

/// Waits until `condition` is met, or fails.
fn within(condition: &dyn Fn() -> Result<bool>) -> Result {
    for _ in 0..PATIENCE {
        if condition()? {
            return Ok(());
        }
        fsleep(Delta::from_millis(1));
    }
    pr_err!("nothing happens\n");
    Err(ETIMEDOUT)
}

/// A datagram that fails.
fn datagrams(bench: &Bench<'_>) -> Result {
    let (a, b) = bench.pair::<Ud>()?;
    let (sent, received) = (Log::new()?, Log::new()?);
    let ah = Arc::new(Ah::new(&bench.pd, &bench.path)?, GFP_KERNEL)?;

    // Too short: the datagram is lost, or the receive fails. Some devices then move the receiver to ERR.
    receive(&b, bench.dev(), &received, 8)?;
    send_to(&a, &sent, 64, &ah, (b.number(), QKEY))?;
    sent.expect("a datagram", 1, Status::Success)?;
    b.fail()?;
    let ended = received.next()?;
    expect("a receive too short", ended.status.is_success(), false)?;

    // One that is longer than a packet may go nowhere, but it ends.
    let long = send_to(&a, &sent, 8192, &ah, (b.number(), QKEY));
    if long.is_ok() {
        sent.next()?;
    }
    match a.state()? {
        // A send that fails stops the send queue of datagrams, and RTS starts it again.
        QpState::Sqe => a.modify(&to(QpState::Rts).current_state(QpState::Sqe)),
        QpState::Rts | QpState::Err => Ok(()),
        state => expect("the state after a datagram too long", state, QpState::Sqe),
    }
}

/// Attributes that are missing, not allowed, or out of range.
pub(crate) fn attributes(bench: &Bench<'_>) -> Result {
    let (cq, port) = (bench.cq(Poll::Workqueue)?, bench.port.number());
    let a = bench.qp::<Rc>('a', &cq, Receive::Own(cq.clone()))?;

    expect_error("INIT without a port", a.modify(&to(QpState::Init)), EINVAL)?;
    expect_error(
        "INIT with a Q_Key",
        a.modify(&bench.init(&a).qkey(1)),
        EINVAL,
    )?;
    expect_error(
        "a port that there is none of",
        a.modify(&bench.init(&a).port(port + 1)),
        EINVAL,
    )?;
    expect("the state after that", a.state()?, QpState::Reset)?;

    a.modify(&bench.init(&a))?;
    expect_error(
        "RTR with a timeout",
        a.modify(&bench.rtr(&a, &a).timeout(14)),
        EINVAL,
    )?;
    // On Ethernet the core has no alternate paths.
    expect_error(
        "RTR with an alternate path",
        a.modify(&bench.rtr(&a, &a).alternate_path(&bench.path, port, 0, 14)),
        EINVAL,
    )?;
    expect("the state after that", a.state()?, QpState::Init)?;

    a.modify(&bench.rtr(&a, &a))?;
    let max = bench.dev().attributes().max_qp_rd_atom();
    if let Ok(more) = u8::try_from(max + 1) {
        expect_error(
            "more reads than the device has under way",
            a.modify(&bench.rts(&a).max_rd_atomic(more)),
            EINVAL,
        )?;
    }
    a.modify(&bench.rts(&a))?;
    expect_error(
        "an alternate path",
        a.modify(&QpAttr::new().alternate_path(&bench.path, port, 0, 14)),
        EINVAL,
    )?;
    // What may change while it runs.
    a.modify(&QpAttr::new().min_rnr_timer(1))?;

    // Each port has one queue pair for general services, and the kernel has it.
    expect_error(
        "a second queue pair for general services",
        bench.qp::<Gsi>('g', &cq, Receive::Own(cq.clone())),
        EINVAL,
    )
}
