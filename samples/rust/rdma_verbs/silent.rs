// SPDX-License-Identifier: GPL-2.0

//! Requests that the device need not signal: their handlers are called before that of a later one.

use crate::{
    expect,
    expect_error,
    operations::{
        region,
        word, //
    },
    requests::{
        Log,
        Piece,
        PATIENCE, //
    },
    Bench, //
};
use kernel::{
    num::casts::u32_as_usize,
    prelude::*,
    sync::Arc,
    time::{
        delay::fsleep,
        Delta, //
    }, //
};
use krdma::rdma::{
    mr::Remote,
    post::{
        Flags,
        Links,
        SendBatch, //
    },
    qp::QpType,
    qp_attr::{
        QpAttr,
        QpState, //
    },
    request::Status,
    Qp, //
};

/// Bytes that each request writes.
const LEN: usize = 8;

/// What a request writes, whether it is signalled, and where it writes.
type Write = (u8, bool, Remote);

/// Posts writes by one call.
fn post(qp: &Qp, log: &Arc<Log>, writes: &[Write]) -> Result {
    let mut batch: SendBatch<'_, _, 4, 4> = SendBatch::new(qp);

    for (byte, signaled, remote) in writes.iter().copied() {
        let piece = Piece::new(qp.device(), log, byte, LEN, None)?;
        let pushed = if signaled {
            batch.push(piece, |piece, links| write(piece, links, remote))
        } else {
            batch.push_unsignaled(piece, |piece, links| write(piece, links, remote))
        };
        pushed.map_err(|refused| refused.error)?;
    }
    batch.post().map_err(|unposted| unposted.error)
}

fn write<'a>(piece: &'a Piece, links: &mut Links<'a, '_>, remote: Remote) -> Result {
    links.write(&[piece.buffer.sge()], remote, None, Flags::default())
}

/// Waits for the ends of requests, which must be these, in this order.
#[track_caller]
fn ended(log: &Log, wanted: &[(u8, Status)]) -> Result {
    let taken = log.take(wanted.len())?;
    let seen = taken.iter().map(|ended| (ended.word as u8, ended.status));

    if !seen.eq(wanted.iter().copied()) {
        pr_err!("ended {:?}, not {:?}\n", taken, wanted);
        return Err(EPROTO);
    }
    expect("further requests that have ended", log.len(), 0)
}

/// When handlers of requests that are not signalled are called, and in which order.
pub(crate) fn requests(bench: &Bench<'_>) -> Result {
    let (a, b) = bench.pair(QpType::Rc)?;
    let log = Log::new()?;
    let mr = region(bench, &b)?;
    let remote = mr.remote();
    let good = Status::Success;

    // With the next that is, of one call or of several.
    post(
        &a,
        &log,
        &[(1, false, remote), (2, false, remote), (3, true, remote)],
    )?;
    ended(&log, &[(1, good), (2, good), (3, good)])?;
    post(&a, &log, &[(4, false, remote)])?;
    for _ in 0..PATIENCE {
        if word(&mr)? as u8 == 4 {
            break;
        }
        fsleep(Delta::from_millis(1));
    }
    expect("what was written", word(&mr)? as u8, 4)?;
    expect("what has ended without being signalled", log.len(), 0)?;
    post(&a, &log, &[(5, true, remote)])?;
    ended(&log, &[(4, good), (5, good)])?;

    // What the driver refuses is given back at once, and takes nothing with it.
    let mut batch: SendBatch<'_, _, 2, 2> = SendBatch::new(&a);
    for (byte, addr) in [(6, remote.addr), (7, remote.addr + 1)] {
        let at = Remote { addr, ..remote };
        let piece = Piece::new(a.device(), &log, byte, LEN, None)?;
        batch
            .push_unsignaled(piece, |piece, links| {
                links.fetch_add(piece.buffer.sge_mut(), at, 0, Flags::default())
            })
            .map_err(|refused| refused.error)?;
    }
    match batch.post() {
        Ok(()) => return Err(EPROTO),
        Err(unposted) => {
            expect("an odd address", unposted.error, EINVAL)?;
            expect("requests given back", unposted.count(), 1)?;
        }
    }
    post(&a, &log, &[(8, true, remote)])?;
    // The first one has what was there.
    ended(&log, &[(5, good), (8, good)])?;

    full(&a, &log, remote)?;
    for qp in [&a, &b] {
        qp.modify(&QpAttr::new().state(QpState::Reset))?;
    }
    bench.connect(&a, &b)?;

    // One that fails ends at once, and those before it have not failed.
    let wrong = Remote {
        key: remote.key ^ 0x80,
        ..remote
    };
    post(
        &a,
        &log,
        &[(1, false, remote), (2, false, wrong), (3, false, remote)],
    )?;
    ended(
        &log,
        &[(1, good), (2, Status::RemoteAccess), (3, Status::Flushed)],
    )?;

    let (c, _d) = bench.pair(QpType::Ud)?;
    expect_error(
        "a datagram that is not signalled",
        post(&c, &log, &[(1, false, remote)]),
        EINVAL,
    )
}

/// Nothing but requests that are not signalled: they make room for each other, and the drain has the
/// rest.
fn full(a: &Qp, log: &Arc<Log>, remote: Remote) -> Result {
    let limit = u32_as_usize(a.capabilities().max_send_wr);
    let count = 4 * limit;

    for i in 0..count {
        let mut tries = 0;
        while let Err(err) = post(a, log, &[(i as u8, false, remote)]) {
            if err != ENOMEM || tries == PATIENCE {
                pr_err!("request {} of {}: {:?}\n", i, count, err);
                return Err(err);
            }
            tries += 1;
            fsleep(Delta::from_millis(1));
        }
    }
    let done = count - limit / 2;
    log.wait(done)?;
    expect("whether some have not ended yet", log.len() < count, true)?;
    a.drain();
    expect("requests that have ended", log.len(), count)?;
    let mut flushed = false;
    for (i, ended) in log.take(count)?.iter().enumerate() {
        // The last may not be acknowledged when the queue is drained.
        flushed |= i >= done && ended.status == Status::Flushed;
        let status = if flushed {
            Status::Flushed
        } else {
            Status::Success
        };

        expect("the end of a request", ended.status, status)?;
        expect("the place of a request", ended.word as u8, i as u8)?;
    }
    Ok(())
}
