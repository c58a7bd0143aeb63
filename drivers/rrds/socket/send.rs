// SPDX-License-Identifier: GPL-2.0

//! Sending (spec-sendmsg).

use super::{
    bind::owns,
    control::{
        self,
        Asked, //
    },
    names,
    notify,
    rdma,
    seam::{
        Chosen,
        Route,
        RouteKey, //
    },
    sent::{
        Ended,
        Sends, //
    },
    sndbuf,
    submit::Caller,
    Socket, //
};
use crate::{
    message::{
        copy,
        Endpoint,
        Extra,
        Lender,
        Loan,
        Message,
        Payload,
        Pooled,
        Receipt,
        Sender,
        Spares, //
    },
    space::Space, //
};
use kernel::{
    num::casts::u32_as_usize,
    prelude::*,
    sync::{
        atomic::ordering::Relaxed,
        Arc, //
    },
};
use krdma::net::{
    MsgFlags,
    Open,
    SendMsg,
    Sock,
    Timeout,
    Wait, //
};
use rds_proto::{
    consts::{
        FRAGMENT_BYTES,
        MAX_MESSAGE_LEN,
        PROBE_PORT, //
    },
    send::Outcome,
    uapi::option::transport, //
};

/// What flags a message may have.
///
/// C refuses all but the first three. The others mean nothing here, or nothing that is not so anyway,
/// and the socket layer sets them for write(2) and io_uring.
const ALLOWED: MsgFlags = MsgFlags::DONTWAIT
    .with(MsgFlags::CMSG_COMPAT)
    .with(MsgFlags::ZEROCOPY)
    .with(MsgFlags::EOR)
    .with(MsgFlags::NOSIGNAL);

impl Sender for Sock<Socket> {
    #[inline]
    fn ended(&self, message: &Message, outcome: Outcome) {
        let ended = release(self, message, |sends, number| {
            sends.end(message, number, outcome)
        });
        // Of one that was not admitted nobody is told: the call fails.
        if let (Some(extra), true) = (message.extra(), ended.is_some()) {
            extra.end(outcome);
        }
        match ended {
            None => {}
            Some(Ended::Removed(sent)) => drop(sent),
            Some(Ended::ToBeTold) => notify::on_news(self),
        }
    }

    fn withdraw(&self, message: &Message) {
        let sent = release(self, message, |sends, number| {
            sends.withdraw(message, number)
        });

        message.set_number(None);
        drop(sent);
    }

    fn operated(&self, extra: &Extra) {
        rdma::operated(self, extra);
    }
}

impl Lender for Sock<Socket> {
    fn returned(&self, cookie: Option<u32>) {
        self.data().lends.give_back(cookie);
        if cookie.is_some() {
            self.data_ready();
        }
    }
}

/// Has `end` give back the room that a message had, if it was admitted. Returns what that makes of its entry.
#[inline]
fn release<R>(
    sock: &Sock<Socket>,
    message: &Message,
    end: impl FnOnce(&mut Sends, usize) -> R,
) -> Option<R> {
    let number = message.number()?;
    let limit = sndbuf(sock);
    let mut sends = sock.data().sends.lock();
    let was_writable = sends.is_writable(limit);

    let ended = end(&mut sends, number);
    let is_writable = sends.is_writable(limit);
    let is_idle = sends.is_idle();
    drop(sends);
    if is_writable && !was_writable || is_idle && sock.data().is_closing() {
        notify::on_room(sock);
    }
    Some(ended)
}

/// The length from which messages are in pages on a way that takes these. A page is given to TCP by a call of its own, beside
/// that for the header: of shorter messages it is less to copy them, and several by one call.
const PAGES_FROM: usize = 4 * FRAGMENT_BYTES;

pub(super) fn send(sock: &Open<'_, Socket>, msg: &mut SendMsg<'_>, len: usize) -> Result<usize> {
    let this = sock.data();
    let flags = msg.flags();
    if !flags.without(ALLOWED).is_empty() {
        return Err(EOPNOTSUPP);
    }
    let nonblocking = flags.contains(MsgFlags::DONTWAIT);
    let controlled = !msg.cmsgs().is_empty();
    let lends = flags.contains(MsgFlags::ZEROCOPY) && sock.is_zerocopy();
    let named = match msg.name() {
        Some(name) => Some(names::check(name).map_err(|_| EINVAL)?),
        None => None,
    };

    let (source, dest, route, mut asked, _last) = {
        let mut locked = sock.lock();
        let source = locked.bound.as_ref().ok_or(ENOTCONN)?.at();
        let dest = named
            .map(|named| named.at)
            .or(locked.connected)
            .ok_or(ENOTCONN)?;
        let scope = match named {
            Some(named) => named.scope_from(source.addr, locked.scope)?,
            None => names::scope_between(source.addr, dest.addr, locked.scope)?,
        };
        let rdma_bytes = match controlled {
            true => control::rdma_bytes(msg.cmsgs())?,
            false => 0,
        };
        if len.max(rdma_bytes) > u32_as_usize(MAX_MESSAGE_LEN) || len > u32_as_usize(sndbuf(sock)) {
            return Err(EMSGSIZE);
        }
        let transport = locked.transport.as_ref();
        if lends && transport.is_some_and(|transport| transport.number() != transport::TCP) {
            return Err(EOPNOTSUPP);
        }
        let asked = match controlled || flags.contains(MsgFlags::ZEROCOPY) {
            true => control::check(msg.cmsgs(), flags)?,
            false => Asked::default(),
        };
        // Operations are by the transport, and so is what follows them.
        let insists = asked.is_rdma && locked.transport.as_mut().is_some_and(Chosen::insist);
        let last = insists.then(|| core::mem::take(&mut locked.last));

        let key = RouteKey {
            local: source.addr,
            peer: dest.addr,
            tos: locked.tos,
            lane: 0,
            scope,
        };
        match locked.last.get(&key, sock.namespace()) {
            Some(route) => (source, dest, route, asked, last),
            None => {
                let transport = locked.transport.clone().ok_or(ENOTCONN)?;
                let found = transport.route(&this.space, key, this.maker())?;
                let other = match in_order(sock, &found) {
                    // What is under way there arrives only if the transport has the address.
                    Some(other) if owns(sock, &transport, dest.addr, scope)? => Some(other),
                    _ => None,
                };
                let (route, _before) = locked.last.put(found, other);
                (source, dest, route, asked, last)
            }
        }
    };

    let mut caller = Caller::of_sendmsg(sock, nonblocking);
    let payload = Pooled::new(Payload::empty(), spares(&this.space, len));
    let mut draft = caller
        .draft(payload, source, dest)
        .map_err(|_payload| ENOMEM)?;
    let mut done = None;
    let receipt = match lends {
        true => {
            let executed = control::execute(sock, msg.cmsgs(), asked.take(), true)?;
            let cookie = done.insert(executed).cookie;
            Some(receipt(sock, cookie, len, caller.flags())?)
        }
        false => None,
    };
    let refused = |err| {
        if let Some(receipt) = &receipt {
            receipt.void();
        }
        err
    };
    match &receipt {
        Some(receipt) if route.takes_pages() => {
            let pages = msg.lend(len, caller.flags()).map_err(refused)?;

            draft
                .payload_mut()
                .set_lent(Loan::new(pages, receipt.clone()))
                .map_err(refused)?;
        }
        // What is lent in vain is the program's again when this returns.
        _ => {
            let wants_pages = len >= PAGES_FROM && route.takes_pages();
            let (payload, spares) = (draft.payload_mut(), &this.space.spares);

            copy(payload, msg, len, spares, caller.flags(), wants_pages).map_err(refused)?;
            this.space.stats.copy_from_user.add(len as u64);
        }
    }
    if controlled && !lends {
        let executed = control::execute(sock, msg.cmsgs(), asked.take(), false)?;
        if let Some(extra) = done.insert(executed).take_extra() {
            draft.set_extra(KBox::new(extra, caller.flags())?);
        }
    }

    match caller.submit(&route, draft, None) {
        Ok(()) => {
            if let Some(done) = done {
                done.sent();
            }
            Ok(len)
        }
        Err((err, draft)) => {
            if let (Some(done), None) = (&mut done, draft) {
                done.taken();
            }
            Err(refused(err))
        }
    }
}

/// Returns the way of the socket's messages to the same peer that are under way, if what is sent by the one that was found
/// would overtake them. Takes a look at each message. Any context.
pub(crate) fn in_order(sock: &Sock<Socket>, found: &Arc<dyn Route>) -> Option<Arc<dyn Route>> {
    if !found.overtakes() {
        return None;
    }
    let sends = sock.data().sends.lock();
    let mut at = 0;
    while let Some((number, sent)) = sends.next(at).filter(|_| !sends.is_idle()) {
        let route = sent.route();
        if !sent.has_ended() && !route.overtakes() && route.key() == found.key() {
            return Some(route.clone());
        }
        // OVERFLOW: It is the number of a place.
        at = number.wrapping_add(1);
    }
    None
}

/// Makes what the program gets its cookie by, of a message of so many bytes. May sleep.
///
/// Errors: [`EINVAL`] if the caller names no cookie, or there are no bytes; [`ENOBUFS`] if the program does not fetch its
/// cookies; [`ENOMEM`].
fn receipt(
    sock: &Open<'_, Socket>,
    cookie: Option<u32>,
    len: usize,
    flags: kernel::alloc::Flags,
) -> Result<Arc<Receipt>> {
    let lends = &sock.data().lends;
    let cookie = cookie.ok_or(EINVAL)?;
    if len == 0 {
        return Err(EINVAL);
    }

    lends.reserve(flags)?;
    Receipt::new(sock, cookie, flags).map_err(|_| {
        lends.give_back(None);
        ENOMEM
    })
}

/// Where the memory of what is sent goes when that is done with, if a fragment fits into it.
pub(crate) fn spares(space: &Space, len: usize) -> Option<Arc<Spares>> {
    (len >= FRAGMENT_BYTES).then(|| space.spares.clone())
}

/// Cancels all messages of a socket that are not done with, or those to one destination.
///
/// Those that are on their way already arrive or not.
pub(crate) fn cancel(sock: &Sock<Socket>, dest: Option<Endpoint>) {
    let sends = &sock.data().sends;
    let mut at = 0;

    loop {
        // Not the message: its sender may be taking it back.
        let (number, seq, route) = {
            let sends = sends.lock();
            let Some((number, sent)) = sends.next(at) else {
                break;
            };
            // OVERFLOW: It is the number of a place.
            at = number.wrapping_add(1);
            if sent.has_ended() || dest.is_some_and(|dest| dest != sent.message().dest()) {
                continue;
            }
            (number, sent.message().seq(), sent.route().clone())
        };
        if route.cancel(seq, &|message| message.is_of(sock, number)) {
            continue;
        }
        // Again, if its number has changed since it was read.
        let mut sends = sends.lock();
        let sent = sends.get(number);
        if sent.is_some_and(|sent| !sent.has_ended() && sent.message().seq() != seq) {
            at = number;
        }
    }
}

/// Has the peers acknowledge without delay what was sent and is not done with. What comes last is else
/// acknowledged with the next message that comes back, if any. Waits for room, and takes the time off
/// `timeout`.
///
/// Errors: [`ENOMEM`], [`ETIMEDOUT`] ([`EAGAIN`] if it was not to wait), [`ERESTARTSYS`].
fn demand(sock: &Open<'_, Socket>, timeout: &mut Timeout) -> Result {
    let sends = &sock.data().sends;
    let mut done = KVec::new();
    let mut at = 0;

    loop {
        // As for `cancel`.
        let (source, route) = {
            let sends = sends.lock();
            let Some((number, sent)) = sends.next(at) else {
                return Ok(());
            };
            // OVERFLOW: It is the number of a place.
            at = number.wrapping_add(1);
            if sent.has_ended() {
                continue;
            }
            (sent.message().source(), sent.route().clone())
        };
        let key = route.key();
        if done.contains(&key) {
            continue;
        }
        done.push(key, GFP_KERNEL)?;

        // To a port that no socket can have: it is acknowledged and dropped.
        let dest = Endpoint {
            addr: key.peer,
            port: PROBE_PORT,
        };
        let mut caller = Caller::demanding(sock, *timeout);
        let draft = caller
            .draft(Pooled::empty(), source, dest)
            .map_err(|_payload| ENOMEM)?;
        let sent = caller.submit(&route, draft, None);
        *timeout = caller.timeout();
        sent.map_err(|(err, _draft)| err)?;
    }
}

/// Waits until all that was sent has ended.
///
/// Errors: [`ETIMEDOUT`], [`ERESTARTSYS`].
pub(crate) fn drain(sock: &Open<'_, Socket>, mut timeout: Timeout) -> Result {
    let this = sock.data();

    this.closing.store(true, Relaxed);
    // Without it the acknowledgements come later.
    match demand(sock, &mut timeout) {
        Err(err) if err == ERESTARTSYS => return Err(err),
        _ => {}
    }
    match sock.wait(&mut timeout, || {
        this.sends.lock().is_drained().then_some(())
    }) {
        Wait::Ready(()) => Ok(()),
        Wait::TimedOut => Err(ETIMEDOUT),
        Wait::Signal => Err(ERESTARTSYS),
    }
}

/// Takes out what has ended whose sender is to be told so: what it knows it by, and how it did.
pub(crate) fn next_ended(sock: &Sock<Socket>) -> Option<(u64, Outcome)> {
    let (sent, is_drained) = {
        let mut sends = sock.data().sends.lock();
        (sends.next_ended()?, sends.is_drained())
    };
    if is_drained && sock.data().is_closing() {
        sock.write_space();
    }

    sent.told()
}

/// Has nobody told any more how messages end.
pub(super) fn close(sock: &Sock<Socket>) {
    sock.data().sends.lock().close();

    while next_ended(sock).is_some() {}
}
