// SPDX-License-Identifier: GPL-2.0

//! Requests that the device need not signal: their handlers are called before that of a later one.

use crate::{
    expect,
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
    qp::Rc,
    qp_attr::{
        QpAttr,
        QpState, //
    },
    request::Status,
    Mr,
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

/// Waits until `byte` is written to a region.
fn written(mr: &Mr, byte: u8) -> Result {
    for _ in 0..PATIENCE {
        if word(mr)? as u8 == byte {
            return Ok(());
        }
        fsleep(Delta::from_millis(1));
    }
    expect("what was written", word(mr)? as u8, byte)
}

/// Posts the write of a number that is not signalled, as soon as there is room for it.
fn insist(qp: &Qp, log: &Arc<Log>, number: usize, remote: Remote) -> Result {
    for _ in 0..PATIENCE {
        match post(qp, log, &[(number as u8, false, remote)]) {
            Err(err) if err == ENOMEM => fsleep(Delta::from_millis(1)),
            ret => return ret,
        }
    }
    pr_err!("there is no room for request {}\n", number);
    Err(ENOMEM)
}

/// When handlers of requests that are not signalled are called, and in which order.
pub(crate) fn requests(bench: &Bench<'_>) -> Result {
    let (a, b) = bench.pair::<Rc>()?;
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
    written(&mr, 4)?;
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
    )
}

/// Nothing but requests that are not signalled: they make room for each other, and the drain has the
/// rest.
fn full(a: &Qp, log: &Arc<Log>, remote: Remote) -> Result {
    let limit = u32_as_usize(a.capabilities().max_send_wr);
    let count = 4 * limit;

    for i in 0..count {
        insist(a, log, i, remote)?;
    }
    let done = count - limit / 2;
    log.wait(done)?;
    a.drain()?;
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

/// The most links of a request here.
const LINKS: usize = 16;

/// Posts a request of `count` writes, of bytes that are all `byte`, behind which is a link that the driver
/// refuses. Nobody gets it back at once.
pub(crate) fn post_in_part(
    qp: &Qp,
    log: &Arc<Log>,
    byte: u8,
    count: usize,
    remote: Remote,
) -> Result {
    let mut batch: SendBatch<'_, _, LINKS, LINKS> = SendBatch::new(qp);
    let odd = Remote {
        addr: remote.addr + 1,
        ..remote
    };

    batch
        .push(
            Piece::new(qp.device(), log, byte, LEN, None)?,
            |piece, links| {
                for _ in 0..count {
                    write(piece, links, remote)?;
                }
                links.fetch_add(piece.buffer.sge_mut(), odd, 0, Flags::default())
            },
        )
        .map_err(|refused| refused.error)?;
    match batch.post() {
        Ok(()) => Err(EPROTO),
        Err(unposted) => {
            expect("an odd address", unposted.error, EINVAL)?;
            expect("requests given back", unposted.count(), 0)
        }
    }
}

/// Requests that are not signalled leave room, in the queue as it was granted, for one that is.
pub(crate) fn room(bench: &Bench<'_>) -> Result {
    let (a, b) = bench.pair::<Rc>()?;
    let log = Log::new()?;
    let mr = region(bench, &b)?;
    let remote = mr.remote();
    let granted = u32_as_usize(a.capabilities().max_send_wr);

    expect("whether a request fits here", granted < LINKS, true)?;

    // As many as half of the queue are not signalled, and the next one is.
    for i in 1..=granted / 2 {
        post(&a, &log, &[(i as u8, false, remote)])?;
    }
    written(&mr, (granted / 2) as u8)?;
    fsleep(Delta::from_millis(20));
    expect("what has ended without being signalled", log.len(), 0)?;
    post(&a, &log, &[(100, false, remote)])?;
    log.expect("a write", granted / 2 + 1, Status::Success)?;

    // A part of a request keeps its places, so that few are left, less than may stay unsignalled. The next one
    // is signalled, and ends the part, too.
    post_in_part(&a, &log, 0, granted - 3, remote)?;
    for i in 0..2 * granted {
        insist(&a, &log, i, remote)?;
    }
    a.drain()?;
    expect("requests that have ended", log.len(), 1 + 2 * granted)?;

    // A reset gives the places back.
    for qp in [&a, &b] {
        qp.modify(&QpAttr::new().state(QpState::Reset))?;
    }
    expect("the part", log.next()?.status, Status::LocalQpOperation)?;
    log.take(2 * granted)?;
    bench.connect(&a, &b)?;
    for i in 0..granted {
        post(&a, &log, &[(i as u8, true, remote)])?;
    }
    log.expect("a write after the reset", granted, Status::Success)
}
