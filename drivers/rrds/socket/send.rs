// SPDX-License-Identifier: GPL-2.0

//! Sending (spec-sendmsg).

use super::{
    bind::owns,
    control,
    names,
    seam::{
        Route,
        RouteKey, //
    },
    sndbuf,
    Socket, //
};
use crate::{
    message::{
        copy,
        Draft,
        Endpoint,
        Lender,
        Loan,
        Message,
        Outgoing,
        Payload,
        Pooled,
        Receipt,
        Sender,
        Spares, //
    },
    space::Space,
    table::Table,
    trace::{
        self,
        Port, //
    },
};
use kernel::{
    num::casts::u32_as_usize,
    prelude::*,
    sync::Arc, //
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
    account::{
        Admitted,
        SendAccount, //
    },
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
        match release(self, message, |sends, number| sends.end(number, outcome)) {
            None => {}
            Some(Ended::Removed(sent)) => drop(sent),
            Some(Ended::ToBeTold) => Socket::on_news(self),
        }
    }

    fn withdraw(&self, message: &Message) {
        let sent = release(self, message, |sends, number| sends.sent.remove(number));

        message.set_number(None);
        drop(sent);
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

/// Gives back the room that a message had, if it was admitted. Returns what `end` makes of its entry.
#[inline]
fn release<R>(
    sock: &Sock<Socket>,
    message: &Message,
    end: impl FnOnce(&mut Sends, usize) -> R,
) -> Option<R> {
    let number = message.number()?;
    let limit = sndbuf(sock);
    let payload = message.payload();
    let mut sends = sock.data().sends.lock();
    let was_writable = sends.is_writable(limit);

    sends.account.release(payload.len(), payload.true_size());
    let ended = end(&mut sends, number);
    let is_writable = sends.is_writable(limit);
    let is_idle = sends.is_idle();
    drop(sends);
    if is_writable && !was_writable || is_idle && sock.data().is_closing() {
        Socket::on_room(sock);
    }
    Some(ended)
}

/// A message that is not done with.
struct Sent {
    message: Arc<Message>,
    route: Arc<dyn Route>,
    /// What its sender, who wants to know how it ends, knows it by.
    token: Option<u64>,
    /// How it ended.
    outcome: Option<Outcome>,
    /// The number of the one that ended after it.
    next: Option<usize>,
}

/// What becomes of the entry of a message that ended.
enum Ended {
    Removed(Option<Sent>),
    /// It stays until its sender is told.
    ToBeTold,
}

/// The sending side of a socket.
pub(super) struct Sends {
    account: SendAccount,
    sent: Table<Sent>,
    /// The numbers of the first and the last message that ended whose sender is to be told so.
    ended: Option<(usize, usize)>,
    /// Nobody is told any more.
    closed: bool,
}

impl Sends {
    pub(super) fn new() -> Self {
        Self {
            account: SendAccount::default(),
            sent: Table::new(),
            ended: None,
            closed: false,
        }
    }

    /// Notes that a message is done with.
    fn end(&mut self, number: usize, outcome: Outcome) -> Ended {
        let sent = self.sent.get_mut(number);
        let Some(sent) = sent.filter(|sent| sent.token.is_some() && !self.closed) else {
            return Ended::Removed(self.sent.remove(number));
        };

        sent.outcome = Some(outcome);
        self.ended = match self.ended {
            None => Some((number, number)),
            Some((first, last)) => {
                if let Some(last) = self.sent.get_mut(last) {
                    last.next = Some(number);
                }
                Some((first, number))
            }
        };
        Ended::ToBeTold
    }

    /// Takes out the first message that ended whose sender is to be told so.
    fn next_ended(&mut self) -> Option<Sent> {
        let (first, last) = self.ended?;
        let sent = self.sent.remove(first)?;

        self.ended = sent.next.map(|next| (next, last));
        Some(sent)
    }

    /// Whether all that was sent has ended, and all are told who are to be.
    pub(super) fn is_drained(&self) -> bool {
        self.is_idle() && self.ended.is_none()
    }

    /// Whether all that was sent has ended.
    fn is_idle(&self) -> bool {
        self.account.is_idle()
    }

    pub(super) fn is_writable(&self, sndbuf: u32) -> bool {
        self.account.is_writable(sndbuf)
    }

    /// Admits a message if there is room for it.
    #[inline]
    fn admit(
        &mut self,
        outgoing: &Outgoing,
        route: &Arc<dyn Route>,
        token: Option<u64>,
        sndbuf: u32,
    ) -> Admission {
        if !self.account.is_writable(sndbuf) {
            return Admission::Full;
        }
        if !self.sent.has_room() {
            return Admission::NoMemory(self.sent.wanted());
        }
        let payload = outgoing.payload();
        let sent = Sent {
            message: outgoing.message().clone(),
            route: route.clone(),
            token,
            outcome: None,
            next: None,
        };

        match (
            self.sent.insert(sent),
            self.account
                .admit(payload.len(), payload.true_size(), sndbuf),
        ) {
            (Ok(number), Some(admitted)) => {
                outgoing.set_number(Some(number));
                Admission::Admitted(admitted)
            }
            // Both were asked above.
            _ => Admission::Full,
        }
    }
}

/// Whether a message may be sent.
enum Admission {
    Admitted(Admitted),
    /// The socket's buffer is full.
    Full,
    /// The table is full: it is to be made for so many messages.
    NoMemory(usize),
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

    let (source, dest, route) = {
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
        if controlled || flags.contains(MsgFlags::ZEROCOPY) {
            control::check(msg.cmsgs(), flags)?;
        }

        let key = RouteKey {
            local: source.addr,
            peer: dest.addr,
            tos: locked.tos,
            lane: 0,
            scope,
        };
        match locked.last.get(&key, sock.namespace()) {
            Some(route) => (source, dest, route),
            None => {
                let transport = locked.transport.clone().ok_or(ENOTCONN)?;
                let found = transport.route(&this.space, key, this.maker())?;
                let other = match in_order(sock, &found) {
                    // What is under way there arrives only if the transport has the address.
                    Some(other) if owns(sock, &transport, dest.addr, scope)? => Some(other),
                    _ => None,
                };
                let (route, _last) = locked.last.put(found, other);
                (source, dest, route)
            }
        }
    };

    let mut caller = Caller {
        nonblocking,
        // Whoever sends pays for all that the message takes.
        flags: GFP_KERNEL_ACCOUNT,
        ..Caller::in_process(sock, sock.send_timeout(nonblocking))
    };
    let payload = Pooled::new(Payload::empty(), spares(&this.space, len));
    let mut draft = caller
        .draft(payload, source, dest)
        .map_err(|_payload| ENOMEM)?;
    let receipt = match lends {
        true => Some(receipt(sock, msg, len, caller.flags)?),
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
            let pages = msg.lend(len, caller.flags).map_err(refused)?;

            draft
                .payload_mut()
                .set_lent(Loan::new(pages, receipt.clone()))
                .map_err(refused)?;
        }
        // What is lent in vain is the program's again when this returns.
        _ => {
            let wants_pages = len >= PAGES_FROM && route.takes_pages();
            let (payload, spares) = (draft.payload_mut(), &this.space.spares);

            copy(payload, msg, len, spares, caller.flags, wants_pages).map_err(refused)?;
            this.space.stats.copy_from_user.add(len as u64);
        }
    }
    if controlled && !lends {
        control::execute(msg.cmsgs(), false)?;
    }

    match caller.submit(&route, draft, None) {
        Ok(()) => Ok(len),
        Err((err, _draft)) => Err(refused(err)),
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
    while let Some((number, sent)) = sends.sent.next(at).filter(|_| !sends.is_idle()) {
        let is_under_way = sent.outcome.is_none() && !sent.route.overtakes();
        if is_under_way && sent.route.key() == found.key() {
            return Some(sent.route.clone());
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
    msg: &SendMsg<'_>,
    len: usize,
    flags: kernel::alloc::Flags,
) -> Result<Arc<Receipt>> {
    let lends = &sock.data().lends;
    let cookie = control::execute(msg.cmsgs(), true)?.ok_or(EINVAL)?;
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

/// Why a message was not sent.
enum Refusal {
    /// Its user has taken up what the others have left of the path's queue.
    Share(Outgoing),
    /// An error to return, and the message if it was not taken.
    Final(Error, Option<Draft>),
}

/// Who sends a message, and how far it may wait.
pub(crate) struct Caller<'a> {
    sock: &'a Sock<Socket>,
    /// None if it may not sleep.
    open: Option<&'a Open<'a, Socket>>,
    nonblocking: bool,
    timeout: Timeout,
    flags: kernel::alloc::Flags,
    /// The peer is to acknowledge what is sent without delay.
    demands: bool,
}

impl<'a> Caller<'a> {
    /// One that waits so long, if at all.
    pub(crate) fn in_process(sock: &'a Open<'a, Socket>, timeout: Timeout) -> Self {
        Self {
            sock,
            open: Some(sock),
            nonblocking: timeout.is_over(),
            timeout,
            flags: GFP_KERNEL,
            demands: false,
        }
    }

    /// One that may not sleep. The socket must be [watched](Socket::watch).
    pub(crate) fn atomic(sock: &'a Sock<Socket>) -> Self {
        Self {
            sock,
            open: None,
            nonblocking: true,
            timeout: Timeout::NONE,
            flags: GFP_ATOMIC,
            demands: false,
        }
    }

    pub(crate) fn may_sleep(&self) -> bool {
        self.open.is_some()
    }

    /// Begins a message, with the data that is there already; it comes back if there is no memory.
    #[inline(always)] // As what it calls.
    pub(crate) fn draft(
        &self,
        payload: Pooled,
        source: Endpoint,
        dest: Endpoint,
    ) -> Result<Draft, Pooled> {
        Draft::new(
            self.sock,
            self.sock.data().user(),
            payload,
            source,
            dest,
            self.flags,
        )
    }

    /// Sends a message. Who sends is told how it ended if there is a `token`.
    ///
    /// Errors: spec-sendmsg rows 15 to 17. The message comes back if it was not taken.
    #[inline(always)] // What programs send goes through here.
    pub(crate) fn submit(
        &mut self,
        route: &Arc<dyn Route>,
        draft: Draft,
        token: Option<u64>,
    ) -> Result<(), (Error, Option<Draft>)> {
        match self.try_submit(route, draft, token) {
            Ok(()) => Ok(()),
            Err(Refusal::Share(message)) => self.submit_in_turn(route, message, token),
            Err(Refusal::Final(err, draft)) => Err((err, draft)),
        }
    }

    /// Sends a message again, each time that its user may have one more on this way.
    #[cold]
    fn submit_in_turn(
        &mut self,
        route: &Arc<dyn Route>,
        mut message: Outgoing,
        token: Option<u64>,
    ) -> Result<(), (Error, Option<Draft>)> {
        loop {
            let port = message.source().port;
            // Nobody else has it: it was not queued.
            let draft = message.take_back().ok_or((EAGAIN, None))?;
            if let Err(err) = self.wait_for_share(route, port) {
                return Err((err, Some(draft)));
            }
            match self.try_submit(route, draft, token) {
                Ok(()) => return Ok(()),
                Err(Refusal::Share(again)) => message = again,
                Err(Refusal::Final(err, draft)) => return Err((err, draft)),
            }
        }
    }

    #[inline(always)] // As above.
    fn try_submit(
        &mut self,
        route: &Arc<dyn Route>,
        draft: Draft,
        token: Option<u64>,
    ) -> Result<(), Refusal> {
        if let Err(err) = self.wait_for_port(route, draft.dest().port) {
            return Err(Refusal::Final(err, Some(draft)));
        }
        let outgoing = Outgoing::new(draft);

        let admitted = match self.wait_for_room(&outgoing, route, token) {
            Ok(admitted) => admitted,
            Err(err) => return Err(Refusal::Final(err, outgoing.take_back())),
        };
        // Who waits for the end is told without delay.
        let ack_required = admitted.ack_required || token.is_some() || self.demands;
        match route.send(outgoing, ack_required, self.flags, self.may_sleep()) {
            Ok(()) => {
                self.sock.data().space.stats.send_queued.add(1);
                Ok(())
            }
            Err((_, Some(refused))) => Err(Refusal::Share(refused)),
            // It was told how the message ended.
            Err(_) if token.is_some() => Ok(()),
            Err((err, None)) => Err(Refusal::Final(err, None)),
        }
    }

    /// Waits until the user may have one more message on this way: it has so many that the others would
    /// be short of room.
    #[cold]
    fn wait_for_share(&mut self, route: &Arc<dyn Route>, port: u16) -> Result {
        let this = self.sock.data();

        this.space.stats.send_queue_full.add(1);
        let sock = self.open.ok_or(EAGAIN)?;
        // Told of room from here on.
        Socket::join_crowd(sock)?;
        let has_room = || route.has_room(this.user(), port);
        if self.nonblocking && !has_room() {
            return Err(EAGAIN);
        }
        let end = sock.wait(&mut self.timeout, || {
            (!this.is_in_crowd() || has_room()).then_some(())
        });
        // All of the socket's tasks share its seat: the others look for themselves, and take it again.
        Socket::on_relief(sock);
        match end {
            Wait::Ready(()) => Ok(()),
            _ if self.nonblocking => Err(EAGAIN),
            Wait::TimedOut => Err(ETIMEDOUT),
            Wait::Signal => Err(ERESTARTSYS),
        }
    }

    /// Waits until a port of the peer is free (spec-sendmsg row 15).
    #[inline(always)]
    fn wait_for_port(&mut self, route: &Arc<dyn Route>, port: u16) -> Result {
        if !route.peer().is_congested(port) {
            return Ok(());
        }
        self.wait_for_congested(route, port)
    }

    #[cold]
    fn wait_for_congested(&mut self, route: &Arc<dyn Route>, port: u16) -> Result {
        let peer = route.peer();

        // The map may be out of date if there is no connection that would bring a new one.
        route.connect();
        let this = self.sock.data();
        let stats = &this.space.stats;
        Socket::on_refused(self.sock, port)?;
        let sock = match self.open {
            Some(sock) if !self.nonblocking => sock,
            _ => {
                if peer.is_congested(port) {
                    trace::congestion(route.key().peer, port, Port::Refused);
                    stats.cong_send_error.add(1);
                    return Err(ENOBUFS);
                }
                return Ok(());
            }
        };

        trace::congestion(route.key().peer, port, Port::Blocked);
        stats.cong_send_blocked.add(1);
        loop {
            let end = sock.wait(&mut self.timeout, || {
                let marked = this.receives.lock().refused;
                // A change of the map took the mark away: look, and if need be make it anew. The port
                // may have got free before there was a mark.
                (!marked || !peer.is_congested(port)).then_some(())
            });
            if !peer.is_congested(port) {
                return Ok(());
            }
            match end {
                Wait::Ready(()) => Socket::on_refused(sock, port)?,
                Wait::TimedOut => return Err(ETIMEDOUT),
                Wait::Signal => return Err(ERESTARTSYS),
            }
            if !peer.is_congested(port) {
                return Ok(());
            }
        }
    }

    /// Waits until there is room for a message (spec-sendmsg row 16).
    #[inline(always)]
    fn wait_for_room(
        &mut self,
        outgoing: &Outgoing,
        route: &Arc<dyn Route>,
        token: Option<u64>,
    ) -> Result<Admitted> {
        let limit = sndbuf(self.sock);
        let sends = &self.sock.data().sends;

        let admission = sends.lock().admit(outgoing, route, token, limit);
        if let Admission::Admitted(admitted) = admission {
            return Ok(admitted);
        }
        self.wait_for_admission(outgoing, route, token)
    }

    #[cold]
    fn wait_for_admission(
        &mut self,
        outgoing: &Outgoing,
        route: &Arc<dyn Route>,
        token: Option<u64>,
    ) -> Result<Admitted> {
        let this = self.sock.data();
        let try_once = || {
            let limit = sndbuf(self.sock);
            this.sends.lock().admit(outgoing, route, token, limit)
        };
        let mut admission = try_once();

        loop {
            match admission {
                Admission::Admitted(admitted) => return Ok(admitted),
                Admission::NoMemory(wanted) => {
                    let storage = Table::storage(wanted, self.flags)?;
                    let old = this.sends.lock().sent.grow(storage);
                    drop(old);
                    admission = try_once();
                    continue;
                }
                Admission::Full => {}
            }

            this.space.stats.send_queue_full.add(1);
            let sock = match self.open {
                Some(sock) if !self.nonblocking => sock,
                _ => return Err(EAGAIN),
            };
            let end = sock.wait(&mut self.timeout, || match try_once() {
                Admission::Full => None,
                other => Some(other),
            });
            admission = match end {
                Wait::Ready(admission) => admission,
                Wait::TimedOut => return Err(ETIMEDOUT),
                Wait::Signal => return Err(ERESTARTSYS),
            };
        }
    }
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
            let Some((number, sent)) = sends.sent.next(at) else {
                break;
            };
            // OVERFLOW: It is the number of a place.
            at = number.wrapping_add(1);
            if sent.outcome.is_some() || dest.is_some_and(|dest| dest != sent.message.dest()) {
                continue;
            }
            (number, sent.message.seq(), sent.route.clone())
        };
        if route.cancel(seq, &|message| message.is_of(sock, number)) {
            continue;
        }
        // Again, if its number has changed since it was read.
        let mut sends = sends.lock();
        let sent = sends.sent.get_mut(number);
        if sent.is_some_and(|sent| sent.outcome.is_none() && sent.message.seq() != seq) {
            at = number;
        }
    }
}

/// Has the peers acknowledge without delay what was sent and is not done with. What comes last is else
/// acknowledged with the next message that comes back, if any. Waits for room, and takes the time off
/// `timeout`.
///
/// Errors: [`ENOMEM`], [`ETIMEDOUT`] ([`EAGAIN`] if it was not to wait), [`ERESTARTSYS`].
pub(super) fn demand(sock: &Open<'_, Socket>, timeout: &mut Timeout) -> Result {
    let sends = &sock.data().sends;
    let mut done = KVec::new();
    let mut at = 0;

    loop {
        // As for `cancel`.
        let (source, route) = {
            let sends = sends.lock();
            let Some((number, sent)) = sends.sent.next(at) else {
                return Ok(());
            };
            // OVERFLOW: It is the number of a place.
            at = number.wrapping_add(1);
            if sent.outcome.is_some() {
                continue;
            }
            (sent.message.source(), sent.route.clone())
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
        let mut caller = Caller {
            demands: true,
            ..Caller::in_process(sock, *timeout)
        };
        let draft = caller
            .draft(Pooled::empty(), source, dest)
            .map_err(|_payload| ENOMEM)?;
        let sent = caller.submit(&route, draft, None);
        *timeout = caller.timeout;
        sent.map_err(|(err, _draft)| err)?;
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

    Some((sent.token?, sent.outcome?))
}

/// Has nobody told any more how messages end.
pub(super) fn close(sock: &Sock<Socket>) {
    let mut sends = sock.data().sends.lock();
    sends.closed = true;
    drop(sends);

    while next_ended(sock).is_some() {}
}
