// SPDX-License-Identifier: GPL-2.0

//! What work requests can ask for.

use crate::{
    expect,
    expect_error,
    requests::{
        post,
        receive,
        send,
        Log,
        Piece, //
    },
    silent::post_in_part,
    Bench,
    QKEY, //
};
use kernel::{
    prelude::*,
    sync::Arc, //
};
use krdma::rdma::{
    dma::PageList,
    mr::{
        AccessFlag,
        Remote, //
    },
    post::{
        Flag,
        Flags,
        Inline,
        Links,
        SendBatch,
        With, //
    },
    qp::{
        Rc,
        Uc,
        Ud, //
    },
    request::Status,
    Ah,
    Completion,
    Mr,
    Operation,
    Qp,
    Request, //
};

/// A request about a region.
struct About {
    mr: Arc<Mr>,
    log: Arc<Log>,
}

impl Operation for About {
    fn done(this: Pin<KBox<Request<Self>>>, completion: &Completion<'_>) {
        this.data().log.add(completion, None);
    }
}

/// Makes a region of a page, which `qp` has registered when this returns. Peers may do all with it.
pub(crate) fn region(bench: &Bench<'_>, qp: &Qp) -> Result<Arc<Mr>> {
    let mut mr = Mr::new(&bench.pd, 1)?;
    mr.attach(PageList::new(bench.dev(), 1)?)
        .map_err(|refused| refused.error)?;

    let mr = Arc::new(mr, GFP_KERNEL)?;
    register(qp, &mr)?;
    Ok(mr)
}

/// Has `qp` register a region.
pub(crate) fn register(qp: &Qp, mr: &Arc<Mr>) -> Result {
    about(qp, mr, |mr, links| {
        links.register(
            mr,
            AccessFlag::LocalWrite
                | AccessFlag::RemoteWrite
                | AccessFlag::RemoteRead
                | AccessFlag::RemoteAtomic,
            Flags::default(),
        )
    })
}

/// Has `qp` revoke the key of a region.
pub(crate) fn revoke(qp: &Qp, mr: &Arc<Mr>) -> Result {
    about(qp, mr, |mr, links| links.invalidate(mr, Flags::default()))
}

/// Posts a request about a region, and waits until it has been carried out.
fn about(
    qp: &Qp,
    mr: &Arc<Mr>,
    describe: impl for<'a> FnOnce(&'a Mr, &mut Links<'a, '_>) -> Result,
) -> Result {
    let log = Log::new()?;
    let about = About {
        mr: mr.clone(),
        log: log.clone(),
    };
    let mut batch: SendBatch<'_, _, 1, 1> = SendBatch::new(qp);

    batch
        .push(Request::new(about, GFP_KERNEL)?, |about, links| {
            describe(&about.mr, links)
        })
        .map_err(|refused| refused.error)?;
    batch.post().map_err(|unposted| unposted.error)?;
    log.expect("a request about a region", 1, Status::Success)
}

/// Returns the first eight bytes of a region.
pub(crate) fn word(mr: &Mr) -> Result<u64> {
    let mut bytes = [0; 8];

    mr.pages().ok_or(ENOENT)?.read(0, &mut bytes)?;
    Ok(u64::from_ne_bytes(bytes))
}

/// All that a reliable connection has, and what it refuses.
pub(crate) fn reliable(bench: &Bench<'_>) -> Result {
    let (a, b) = bench.pair::<Rc>()?;
    let (sent, received) = (Log::new()?, Log::new()?);
    let mr = region(bench, &b)?;
    let remote = mr.remote();

    // Messages: plain, with immediate data, inline.
    for _ in 0..3 {
        receive(&b, bench.dev(), &received, 64)?;
    }
    send(&a, &sent, 1, 64)?;
    post(&a, &sent, 2, 40, |piece, links| {
        links.send(
            &[piece.buffer.sge()],
            With::Immediate(77),
            Flag::Solicited.into(),
        )
    })?;
    post(&a, &sent, 3, 16, |piece, links| {
        links.send(Inline(&piece.bytes), With::Nothing, Flags::default())
    })?;
    sent.expect("a send", 3, Status::Success)?;
    let messages = received.take(3)?;
    let seen = messages
        .iter()
        .map(|ended| (ended.len, ended.immediate, ended.word as u8));
    if !seen.eq([(64, None, 1), (40, Some(77), 2), (16, None, 3)]) {
        pr_err!("received {:?}\n", messages);
        return Err(EPROTO);
    }

    // A piece of no byte is none: neither of those that are sent, nor of those the queue pair takes.
    receive(&b, bench.dev(), &received, 64)?;
    post(&a, &sent, 4, 16, |piece, links| {
        let all = piece.buffer.sge();
        let none = all.slice(7..7)?;

        links.send(
            &[none, all.slice(0..9)?, none, all.slice(9..16)?],
            With::Nothing,
            Flags::default(),
        )
    })?;
    sent.expect("a send with empty pieces", 1, Status::Success)?;
    expect("the length without them", received.next()?.len, 16)?;
    for inline in [false, true] {
        receive(&b, bench.dev(), &received, 64)?;
        post(&a, &sent, 4, 16, |piece, links| {
            if inline {
                return links.send(Inline(&[]), With::Nothing, Flags::default());
            }
            let none = piece.buffer.sge().slice(16..16)?;

            links.send(&[none], With::Nothing, Flags::default())
        })?;
        sent.expect("a send of nothing", 1, Status::Success)?;
        expect("the length of nothing", received.next()?.len, 0)?;
    }

    // Memory of the peer: written, with immediate data too, read, operated on.
    post(&a, &sent, 0x55, 8, |piece, links| {
        links.write(&[piece.buffer.sge()], remote, None, Flags::default())
    })?;
    sent.expect("a write", 1, Status::Success)?;
    expect("what was written", word(&mr)?, 0x5555_5555_5555_5555)?;

    post(&a, &sent, 0x66, 8, |piece, links| {
        links.write(Inline(&piece.bytes), remote, None, Flags::default())
    })?;
    sent.expect("a write of inline bytes", 1, Status::Success)?;
    expect("what was written", word(&mr)?, 0x6666_6666_6666_6666)?;

    receive(&b, bench.dev(), &received, 64)?;
    post(&a, &sent, 0, 8, |piece, links| {
        links.write(&[piece.buffer.sge()], remote, Some(5), Flags::default())
    })?;
    sent.expect("a write with immediate data", 1, Status::Success)?;
    expect("immediate data", received.next()?.immediate, Some(5))?;

    post(&a, &sent, 9, 8, |piece, links| {
        links.fetch_add(piece.buffer.sge_mut(), remote, 7, Flags::default())
    })?;
    expect("what was there", sent.next()?.word, 0)?;
    post(&a, &sent, 9, 8, |piece, links| {
        links.compare_swap(piece.buffer.sge_mut(), remote, 7, 11, Flag::Fence.into())
    })?;
    expect("what was compared", sent.next()?.word, 7)?;
    post(&a, &sent, 9, 8, |piece, links| {
        links.read(&[piece.buffer.sge_mut()], remote, Flags::default())
    })?;
    expect("what was read", sent.next()?.word, 11)?;

    refused(&a, &sent, remote)
}

/// What is refused when it is posted, and leaves the connection as it was.
fn refused(a: &Qp, log: &Arc<Log>, remote: Remote) -> Result {
    expect_error(
        "a request without links",
        post(a, log, 0, 8, |_, _| Ok(())),
        EINVAL,
    )?;
    expect_error(
        "more links than fit",
        post(a, log, 0, 8, |piece, links| {
            for _ in 0..5 {
                links.send(&[piece.buffer.sge()], With::Nothing, Flags::default())?;
            }
            Ok(())
        }),
        ENOSPC,
    )?;
    expect_error(
        "more pieces than the queue pair takes",
        post(a, log, 0, 8, |piece, links| {
            links.send(
                &[piece.buffer.sge(), piece.buffer.sge(), piece.buffer.sge()],
                With::Nothing,
                Flags::default(),
            )
        }),
        EINVAL,
    )?;
    expect_error(
        "an atomic operation on four bytes",
        post(a, log, 0, 4, |piece, links| {
            links.fetch_add(piece.buffer.sge_mut(), remote, 1, Flags::default())
        }),
        EINVAL,
    )?;
    let long = kernel::num::casts::u32_as_usize(a.capabilities().max_inline_data) + 1;
    expect_error(
        "more inline than the queue pair takes",
        post(a, log, 0, long, |piece, links| {
            links.send(Inline(&piece.bytes), With::Nothing, Flags::default())
        }),
        EINVAL,
    )?;
    // What follows the driver refuses.
    expect_error(
        "an atomic operation on an odd address",
        post(a, log, 0, 8, |piece, links| {
            let odd = Remote {
                addr: remote.addr + 1,
                ..remote
            };
            links.fetch_add(piece.buffer.sge_mut(), odd, 1, Flags::default())
        }),
        EINVAL,
    )?;
    // A device that has it does it.
    let masked = post(a, log, 0, 8, |piece, links| {
        links.masked_fetch_add(piece.buffer.sge_mut(), remote, 1, 0, Flags::default())
    });
    match masked {
        Ok(()) => log.expect("a masked operation", 1, Status::Success)?,
        Err(err) => expect_error("a masked operation", Err::<(), _>(err), EOPNOTSUPP)?,
    }
    expect("requests that were refused and yet ended", log.len(), 0)?;
    posted_in_part(a, log, remote)
}

/// Requests of which the driver takes the first link and refuses the second one.
fn posted_in_part(a: &Qp, log: &Arc<Log>, remote: Remote) -> Result {
    // They end with a later request.
    for byte in [0x11, 0x22] {
        post_in_part(a, log, byte, 1, remote)?;
    }
    post(a, log, 0, 8, |piece, links| {
        links.read(&[piece.buffer.sge_mut()], remote, Flags::default())
    })?;
    log.expect("a part", 2, Status::LocalQpOperation)?;
    expect(
        "what the part has written",
        log.next()?.word,
        0x2222_2222_2222_2222,
    )?;

    // Or as the queue pair is emptied. What was posted of them may not be acknowledged by then.
    post_in_part(a, log, 0x33, 1, remote)?;
    a.drain()?;
    match log.next()?.status {
        Status::LocalQpOperation | Status::Flushed => {}
        status => expect("a part", status, Status::Flushed)?,
    }
    expect("requests that ended once more", log.len(), 0)
}

/// What an unreliable connection has: sends and writes, and nothing is acknowledged.
pub(crate) fn unreliable(bench: &Bench<'_>) -> Result {
    let (a, b) = bench.pair::<Uc>()?;
    let (sent, received) = (Log::new()?, Log::new()?);

    for _ in 0..3 {
        receive(&b, bench.dev(), &received, 4096)?;
    }
    send(&a, &sent, 1, 4096)?;
    sent.expect("a send", 1, Status::Success)?;
    expect("a message's length", received.next()?.len, 4096)?;

    // Registration is not for this service.
    let (c, _d) = bench.pair::<Rc>()?;
    let mr = region(bench, &c)?;
    let remote = mr.remote();
    post(&a, &sent, 0x22, 2000, |piece, links| {
        links.write(&[piece.buffer.sge()], remote, Some(3), Flags::default())
    })?;
    sent.expect("a write", 1, Status::Success)?;
    expect("immediate data", received.next()?.immediate, Some(3))?;
    expect("what was written", word(&mr)?, 0x2222_2222_2222_2222)?;

    // There is no receive for the second: it is lost, which nobody is told.
    for _ in 0..2 {
        send(&a, &sent, 4, 100)?;
    }
    sent.expect("a send that may be lost", 2, Status::Success)?;
    expect("the one that is not lost", received.next()?.len, 100)?;

    // The peer goes: nothing is noticed.
    drop(b);
    krdma::settle(bench.module);
    send(&a, &sent, 5, 100)?;
    sent.expect("a send to nobody", 1, Status::Success)?;
    expect("further messages", received.len(), 0)
}

/// Datagrams: a request has one.
pub(crate) fn datagrams(bench: &Bench<'_>) -> Result {
    let (a, b) = bench.pair::<Ud>()?;
    let (sent, received) = (Log::new()?, Log::new()?);
    let ah = Arc::new(Ah::new(&bench.pd, &bench.path)?, GFP_KERNEL)?;
    let to = (b.number(), QKEY);

    let mut batch: SendBatch<'_, _, 4, 4, Ud> = SendBatch::new(&a);
    let two = Piece::new(bench.dev(), &sent, 1, 64, Some(&ah))?;
    match batch.push(two, |piece, links| {
        piece.datagram(links, to)?;
        piece.datagram(links, to)
    }) {
        Ok(()) => return Err(EPROTO),
        Err(refused) => expect("a datagram with two links", refused.error, EINVAL)?,
    }

    // The batch is as it was before.
    for byte in [2, 3] {
        receive(&b, bench.dev(), &received, 104)?;
        let one = Piece::new(bench.dev(), &sent, byte, 64, Some(&ah))?;
        batch
            .push(one, |piece, links| piece.datagram(links, to))
            .map_err(|refused| refused.error)?;
    }
    batch.post().map_err(|unposted| unposted.error)?;
    sent.expect("a datagram", 2, Status::Success)?;
    received.expect("a datagram", 2, Status::Success)
}
