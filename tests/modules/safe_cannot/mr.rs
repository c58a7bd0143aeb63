// SPDX-License-Identifier: GPL-2.0

//! A region's pages never come back while a peer may be able to use them.

use crate::{
    bench::{
        expect,
        Bench,
        Ends, //
    },
    Case, //
};
use kernel::{
    page::PAGE_SIZE,
    prelude::*,
    sync::Arc, //
};
use krdma::rdma::{
    cq::Poll,
    dma::{
        Bidirectional,
        Mapping,
        PageList, //
    },
    mr::{
        AccessFlag,
        Remote, //
    },
    post::{
        Flags,
        Links,
        RecvBatch,
        SendBatch, //
    },
    qp::Receive,
    request::Status,
    Completion,
    Mr,
    Operation,
    Pd,
    Qp,
    Request, //
};

pub(crate) const CASES: &[Case] = &[
    (
        "register after invalidate in one request",
        invalidate_register,
    ),
    (
        "register while an invalidation is under way",
        register_in_flight,
    ),
    ("a batch that is dropped", dropped_batch),
    ("a registration that is flushed", flushed_registration),
    ("an invalidation that is flushed", flushed_invalidation),
    ("a key revoked in another domain", other_domain),
    ("a key of an earlier registration", old_key),
    ("a key that has come round", late_message),
    ("a receive that is older than the keys", old_receive),
    ("a peer that revokes before it is told", early_revocation),
];

/// A request about a region.
struct Act {
    mr: Arc<Mr>,
    ends: Arc<Ends>,
}

impl Operation for Act {
    fn done(this: Pin<KBox<Request<Self>>>, completion: &Completion<'_>) {
        this.data().ends.add(completion.status());
    }
}

/// A message, or memory for one.
struct Message {
    buffer: Mapping<KVec<u8>, Bidirectional>,
    /// The region that the message may revoke.
    mr: Option<Arc<Mr>>,
    ends: Arc<Ends>,
}

impl Message {
    fn new(qp: &Qp, mr: Option<&Arc<Mr>>, ends: &Arc<Ends>) -> Result<Pin<KBox<Request<Self>>>> {
        Request::new(
            Self {
                buffer: Mapping::new(qp.device(), KVec::from_elem(0x77, 64, GFP_KERNEL)?)?,
                mr: mr.cloned(),
                ends: ends.clone(),
            },
            GFP_KERNEL,
        )
    }
}

impl Operation for Message {
    fn done(this: Pin<KBox<Request<Self>>>, completion: &Completion<'_>) {
        let data = this.data();
        let revoked = data.mr.as_ref().map(|mr| mr.revoked_by(completion));

        data.ends.add(match revoked {
            Some(false) if completion.is_success() => NOT_REVOKED,
            _ => completion.status(),
        });
    }
}

/// How a receive ends that has succeeded and has not revoked the region: with what no device says.
const NOT_REVOKED: Status = Status::Other(4711);

/// Makes a region of a page.
fn region(pd: &Arc<Pd>) -> Result<Arc<Mr>> {
    let mut mr = Mr::new(pd, 1)?;

    mr.attach(PageList::new(pd.device(), 1)?)
        .map_err(|refused| refused.error)?;
    Ok(Arc::new(mr, GFP_KERNEL)?)
}

/// Describes a request about a region, and posts it. It adds its end to `ends`.
fn act(
    qp: &Qp,
    mr: &Arc<Mr>,
    ends: &Arc<Ends>,
    describe: impl for<'a> FnOnce(&'a Mr, &mut Links<'a, '_>) -> Result,
) -> Result {
    let act = Act {
        mr: mr.clone(),
        ends: ends.clone(),
    };
    let mut batch: SendBatch<'_, _> = SendBatch::new(qp);

    batch
        .push(Request::new(act, GFP_KERNEL)?, |act, links| {
            describe(&act.mr, links)
        })
        .map_err(|refused| refused.error)?;
    batch.post().map_err(|unposted| unposted.error)
}

fn register<'a>(mr: &'a Mr, links: &mut Links<'a, '_>) -> Result {
    let access = AccessFlag::LocalWrite | AccessFlag::RemoteWrite;

    links.register(mr, access, Flags::default())
}

fn invalidate<'a>(mr: &'a Mr, links: &mut Links<'a, '_>) -> Result {
    links.invalidate(mr, Flags::default())
}

/// Has the peer write to a region, and returns how that ended.
fn write(qp: &Qp, remote: Remote) -> Result<Status> {
    let ends = Ends::new()?;
    let mut batch: SendBatch<'_, _> = SendBatch::new(qp);

    batch
        .push(Message::new(qp, None, &ends)?, |message, links| {
            links.write(&[message.buffer.sge()], remote, None, Flags::default())
        })
        .map_err(|refused| refused.error)?;
    batch.post().map_err(|unposted| unposted.error)?;
    ends.next()
}

/// Has a message awaited that may revoke the key of a region.
fn await_message(qp: &Qp, mr: &Arc<Mr>, ends: &Arc<Ends>) -> Result {
    let mut batch: RecvBatch<'_, _, _, 1, 1> = RecvBatch::new(qp);

    batch
        .push(Message::new(qp, Some(mr), ends)?, |message, buffers| {
            buffers.add(&[message.buffer.sge_mut()])
        })
        .map_err(|refused| refused.error)?;
    batch.post().map_err(|unposted| unposted.error)
}

/// Has the peer `from` revoke a key by a message to `to`. Returns whether that has revoked the region.
fn revoke(from: &Qp, to: &Qp, key: u32, mr: &Arc<Mr>) -> Result<bool> {
    let received = Ends::new()?;

    await_message(to, mr, &received)?;
    send_revocation(from, key)?;
    has_revoked(&received)
}

/// Waits for the end of a receive. Returns whether its message has revoked the region.
fn has_revoked(received: &Ends) -> Result<bool> {
    let end = received.next()?;

    expect("a receive", end.is_success() || end == NOT_REVOKED, true)?;
    Ok(end.is_success())
}

/// Has a peer revoke a key by a message.
fn send_revocation(from: &Qp, key: u32) -> Result {
    let sent = Ends::new()?;
    let mut batch: SendBatch<'_, _> = SendBatch::new(from);
    batch
        .push(Message::new(from, None, &sent)?, |message, links| {
            links.send_invalidate(&[message.buffer.sge()], key, Flags::default())
        })
        .map_err(|refused| refused.error)?;
    batch.post().map_err(|unposted| unposted.error)?;
    expect("a send that invalidates", sent.next()?, Status::Success)
}

/// Is an error if the pages come out of a region whose requests have all ended.
#[track_caller]
fn expect_kept(mr: Arc<Mr>) -> Result {
    expect("whether the region is exposed", mr.is_exposed(), true)?;

    let mut mr = Arc::into_unique_or_drop(mr).ok_or(EBUSY)?;
    let detached = mr.as_mut().get_mut().detach();
    expect("pages of an exposed region", detached.err(), Some(EBUSY))
}

/// Is an error if the pages do not come out of a region whose requests have all ended.
#[track_caller]
fn expect_free(mr: Arc<Mr>) -> Result {
    expect("whether the region is exposed", mr.is_exposed(), false)?;

    let mut mr = Arc::into_unique_or_drop(mr).ok_or(EBUSY)?;
    let pages = mr.as_mut().get_mut().detach()?;
    expect("the length of the pages", pages.len(), PAGE_SIZE)
}

/// A region that is registered when its key has been revoked is exposed, whatever ends then.
fn invalidate_register(bench: &Bench<'_>) -> Result {
    let (a, b) = bench.pair(&bench.pd)?;
    let ends = Ends::new()?;
    let mr = region(&bench.pd)?;

    for step in [register, invalidate] {
        act(&b, &mr, &ends, step)?;
        expect("a round", ends.next()?, Status::Success)?;
    }

    let both = act(&b, &mr, &ends, |mr, links| {
        invalidate(mr, links)?;
        register(mr, links)
    });
    match both {
        Err(_) => return expect_free(mr),
        Ok(()) => expect("both at once", ends.next()?, Status::Success)?,
    }
    expect("a write", write(&a, mr.remote())?, Status::Success)?;
    expect_kept(mr)
}

/// The same, in two requests.
fn register_in_flight(bench: &Bench<'_>) -> Result {
    let (a, b) = bench.pair(&bench.pd)?;
    let ends = Ends::new()?;
    let mr = region(&bench.pd)?;

    act(&b, &mr, &ends, register)?;
    expect("a registration", ends.next()?, Status::Success)?;
    let remote = mr.remote();
    act(&b, &mr, &ends, invalidate)?;
    // The invalidation may have ended by now; then this is a round of its own.
    let again = act(&b, &mr, &ends, register);
    expect("an invalidation", ends.next()?, Status::Success)?;
    match again {
        Err(_) => expect("why it is refused", again, Err(EBUSY))?,
        Ok(()) => {
            expect("another registration", ends.next()?, Status::Success)?;
            expect("the key", mr.remote() == remote, false)?;
            expect("a write", write(&a, mr.remote())?, Status::Success)?;
            return expect_kept(mr);
        }
    }
    expect_free(mr)
}

/// What a batch drops was never posted: its regions are not exposed.
fn dropped_batch(bench: &Bench<'_>) -> Result {
    let (_a, b) = bench.pair(&bench.pd)?;
    let ends = Ends::new()?;
    let mr = region(&bench.pd)?;
    let act_of = |mr: &Arc<Mr>| {
        let act = Act {
            mr: mr.clone(),
            ends: ends.clone(),
        };
        Request::new(act, GFP_KERNEL)
    };

    let mut batch: SendBatch<'_, _> = SendBatch::new(&b);
    batch
        .push(act_of(&mr)?, |act, links| register(&act.mr, links))
        .map_err(|refused| refused.error)?;
    expect("whether it is exposed meanwhile", mr.is_exposed(), true)?;
    drop(batch);
    expect("whether it is exposed then", mr.is_exposed(), false)?;

    act(&b, &mr, &ends, register)?;
    expect("a registration", ends.next()?, Status::Success)?;
    let mut batch: SendBatch<'_, _> = SendBatch::new(&b);
    batch
        .push(act_of(&mr)?, |act, links| invalidate(&act.mr, links))
        .map_err(|refused| refused.error)?;
    drop(batch);
    expect("whether it is exposed after", mr.is_exposed(), true)?;
    act(&b, &mr, &ends, invalidate)?;
    expect("an invalidation", ends.next()?, Status::Success)?;
    expect_free(mr)
}

/// A registration that was flushed may have been carried out.
fn flushed_registration(bench: &Bench<'_>) -> Result {
    let (_a, b) = bench.pair(&bench.pd)?;
    let ends = Ends::new()?;
    let mr = region(&bench.pd)?;

    b.fail()?;
    act(&b, &mr, &ends, register)?;
    expect("a registration", ends.next()?, Status::Flushed)?;
    expect_kept(mr)
}

/// An invalidation that was flushed may not have been carried out. Another queue pair can do it.
fn flushed_invalidation(bench: &Bench<'_>) -> Result {
    let (a, b) = bench.pair(&bench.pd)?;
    let (c, d) = bench.pair(&bench.pd)?;
    let ends = Ends::new()?;
    let mr = region(&bench.pd)?;

    act(&b, &mr, &ends, register)?;
    expect("a registration", ends.next()?, Status::Success)?;
    b.fail()?;
    act(&b, &mr, &ends, invalidate)?;
    expect("an invalidation", ends.next()?, Status::Flushed)?;
    drop((a, b));
    expect("whether it is exposed", mr.is_exposed(), true)?;
    expect("a write", write(&c, mr.remote())?, Status::Success)?;
    act(&d, &mr, &ends, invalidate)?;
    expect("another invalidation", ends.next()?, Status::Success)?;
    expect_free(mr)
}

/// A message to a queue pair of another protection domain revokes nothing here.
fn other_domain(bench: &Bench<'_>) -> Result {
    let other = Arc::new(Pd::new(bench.dev(), bench.module)?, GFP_KERNEL)?;
    let (_a, b) = bench.pair(&bench.pd)?;
    let (c, d) = bench.pair(&other)?;
    let ends = Ends::new()?;
    let mr = region(&bench.pd)?;

    act(&b, &mr, &ends, register)?;
    expect("a registration", ends.next()?, Status::Success)?;
    // rxe looks at the key only, and revokes it.
    let revoked = revoke(&c, &d, mr.remote().key, &mr)?;
    expect("whether it is revoked", revoked, false)?;
    expect_kept(mr)
}

/// Each registration is under another key, and revoking an old one is not revoking the new one.
fn old_key(bench: &Bench<'_>) -> Result {
    let (a, b) = bench.pair(&bench.pd)?;
    let ends = Ends::new()?;
    let mr = region(&bench.pd)?;

    act(&b, &mr, &ends, register)?;
    expect("a registration", ends.next()?, Status::Success)?;
    let old = mr.remote();
    expect("its key revoked", revoke(&a, &b, old.key, &mr)?, true)?;
    // rxe takes a key to be right until there is another one: the peer can revoke it again.
    expect(
        "its key revoked again",
        revoke(&a, &b, old.key, &mr)?,
        false,
    )?;

    act(&b, &mr, &ends, register)?;
    expect("another registration", ends.next()?, Status::Success)?;
    expect("an old key", mr.remote().key == old.key, false)?;
    expect("a write", write(&a, mr.remote())?, Status::Success)?;
    expect(
        "a write by the old key",
        write(&a, old)?,
        Status::RemoteAccess,
    )?;
    expect_kept(mr)
}

/// A peer that knows the next key cannot revoke it before it is registered.
fn early_revocation(bench: &Bench<'_>) -> Result {
    let (a, b) = bench.pair(&bench.pd)?;
    let (_c, d) = bench.pair(&bench.pd)?;
    let (sent, ends) = (Ends::new()?, Ends::new()?);
    let mr = region(&bench.pd)?;
    let key = mr.remote().key;

    let mut batch: RecvBatch<'_, _, _, 1, 1> = RecvBatch::new(&b);
    batch
        .push(Message::new(&b, Some(&mr), &ends)?, |message, buffers| {
            buffers.add(&[message.buffer.sge_mut()])
        })
        .map_err(|refused| refused.error)?;
    batch.post().map_err(|unposted| unposted.error)?;
    let mut batch: SendBatch<'_, _> = SendBatch::new(&a);
    batch
        .push(Message::new(&a, None, &sent)?, |message, links| {
            links.send_invalidate(&[message.buffer.sge()], key, Flags::default())
        })
        .map_err(|refused| refused.error)?;
    batch.post().map_err(|unposted| unposted.error)?;
    expect("its receive", ends.next()?.is_success(), false)?;

    act(&d, &mr, &ends, register)?;
    expect("a registration", ends.next()?, Status::Success)?;
    expect_kept(mr)
}

/// Registrations after which a region has a key again.
const KEYS: usize = 256;

/// A message that has revoked a key is looked at when the region has that key again.
fn late_message(bench: &Bench<'_>) -> Result {
    let unpolled = bench.cq(Poll::Direct)?;
    let a = bench.lone()?;
    let b = bench.qp_of(
        &bench.pd,
        &bench.cq(Poll::Workqueue)?,
        Receive::Own(unpolled.clone()),
    )?;
    let (ends, received) = (Ends::new()?, Ends::new()?);
    let mr = region(&bench.pd)?;
    let key = mr.remote().key;

    bench.connect(&a, &b)?;
    await_message(&b, &mr, &received)?;
    act(&b, &mr, &ends, register)?;
    expect("a registration", ends.next()?, Status::Success)?;
    send_revocation(&a, key)?;
    act(&b, &mr, &ends, invalidate)?;
    expect(
        "an invalidation after the peer's",
        ends.next()?,
        Status::Success,
    )?;
    for _ in 1..KEYS {
        expect(
            "whether the key has come round",
            mr.remote().key == key,
            false,
        )?;
        act(&b, &mr, &ends, |mr, links| {
            register(mr, links)?;
            invalidate(mr, links)
        })?;
        expect("a round", ends.next()?, Status::Success)?;
    }
    expect("the key", mr.remote().key, key)?;
    act(&b, &mr, &ends, register)?;
    expect("a registration", ends.next()?, Status::Success)?;

    unpolled.poll(u32::MAX);
    expect(
        "whether the late message has revoked",
        has_revoked(&received)?,
        false,
    )?;
    expect("whether the region is exposed", mr.is_exposed(), true)?;
    expect("a write", write(&a, mr.remote())?, Status::Success)?;

    // One that comes now has.
    await_message(&b, &mr, &received)?;
    send_revocation(&a, key)?;
    unpolled.poll(u32::MAX);
    expect(
        "whether a message has revoked",
        has_revoked(&received)?,
        true,
    )?;
    expect_free(mr)
}

/// A receive that has waited for longer than it takes for a key to come round: its message is not believed,
/// and a request has to revoke the key.
fn old_receive(bench: &Bench<'_>) -> Result {
    let (a, b) = bench.pair(&bench.pd)?;
    let (c, d) = bench.pair(&bench.pd)?;
    let (ends, received) = (Ends::new()?, Ends::new()?);
    let mr = region(&bench.pd)?;

    await_message(&d, &mr, &received)?;
    for _ in 0..2 * KEYS {
        act(&b, &mr, &ends, register)?;
        expect("a registration", ends.next()?, Status::Success)?;
        expect(
            "whether it is revoked",
            revoke(&a, &b, mr.remote().key, &mr)?,
            true,
        )?;
    }
    act(&b, &mr, &ends, register)?;
    expect("a registration", ends.next()?, Status::Success)?;
    send_revocation(&c, mr.remote().key)?;
    expect(
        "whether a message has revoked",
        has_revoked(&received)?,
        false,
    )?;
    expect("whether the region is exposed", mr.is_exposed(), true)?;
    act(&b, &mr, &ends, invalidate)?;
    expect(
        "an invalidation after the peer's",
        ends.next()?,
        Status::Success,
    )?;
    expect_free(mr)
}
