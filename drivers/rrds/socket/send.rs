// SPDX-License-Identifier: GPL-2.0

//! Sending (spec §4.4).

use super::{
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
        Endpoint,
        Lent,
        Message,
        Outgoing,
        Payload,
        Spares,
        SHORT, //
    },
    table::Table,
    trace::{
        self,
        Port, //
    },
};
use kernel::{
    num::casts::u32_as_usize,
    prelude::*,
    sync::{
        aref::ARef,
        atomic::{
            ordering::Relaxed,
            Atomic, //
        },
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
    account::{
        Admitted,
        SendAccount, //
    },
    consts::{
        EXT_LEN,
        FRAGMENT_BYTES,
        MAX_MESSAGE_LEN, //
    },
    send::Outcome,
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

/// Not in the table of sent messages.
const NOT_ADMITTED: usize = usize::MAX;

/// The socket that sent a message.
pub(crate) struct Owner {
    sock: ARef<Sock<Socket>>,
    /// The number of the message among those of the socket that are not done with.
    number: Atomic<usize>,
}

impl Owner {
    /// Notes that a message is done with.
    ///
    /// Any context; the locks that this takes are the innermost ones.
    pub(crate) fn ended(&self, message: &Message, _outcome: Outcome) {
        let number = self.number.load(Relaxed);
        if number == NOT_ADMITTED {
            return;
        }
        let limit = sndbuf(&self.sock);
        let payload = message.payload();
        let mut sends = self.sock.data().sends.lock();
        let was_writable = sends.is_writable(limit);

        sends.account.release(payload.len(), payload.true_size());
        let sent = sends.sent.remove(number);
        let is_writable = sends.is_writable(limit);
        drop(sends);
        if is_writable && !was_writable {
            self.sock.write_space();
        }
        drop(sent);
    }
}

/// A message that is not done with.
struct Sent {
    message: Arc<Message>,
    route: Arc<dyn Route>,
}

/// The sending side of a socket.
pub(super) struct Sends {
    account: SendAccount,
    sent: Table<Sent>,
}

impl Sends {
    pub(super) fn new() -> Self {
        Self {
            account: SendAccount::default(),
            sent: Table::new(),
        }
    }

    pub(super) fn is_writable(&self, sndbuf: u32) -> bool {
        self.account.is_writable(sndbuf)
    }

    /// Admits a message if there is room for it.
    fn admit(&mut self, outgoing: &Outgoing, route: &Arc<dyn Route>, sndbuf: u32) -> Admission {
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
        };

        match (
            self.sent.insert(sent),
            self.account
                .admit(payload.len(), payload.true_size(), sndbuf),
        ) {
            (Ok(number), Some(admitted)) => {
                outgoing.owner().number.store(number, Relaxed);
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

pub(super) fn send(sock: &Open<'_, Socket>, msg: &mut SendMsg<'_>, len: usize) -> Result<usize> {
    let this = sock.data();
    let flags = msg.flags();
    if !flags.without(ALLOWED).is_empty() {
        return Err(EOPNOTSUPP);
    }
    let nonblocking = flags.contains(MsgFlags::DONTWAIT);
    let named = match msg.name() {
        Some(name) => Some(names::check(name).map_err(|_| EINVAL)?),
        None => None,
    };

    let (source, dest, route) = {
        let mut locked = sock.lock();
        let source = locked.bound.ok_or(ENOTCONN)?;
        let dest = named
            .map(|named| named.at)
            .or(locked.connected)
            .ok_or(ENOTCONN)?;
        let mut scope = named.map_or(locked.scope, |named| named.scope);

        if named.is_some() {
            if names::is_v4(dest.addr) != names::is_v4(source.addr) {
                return Err(EOPNOTSUPP);
            }
            if scope == 0 {
                scope = locked.scope;
            } else if locked.scope != 0 && scope != locked.scope {
                return Err(EINVAL);
            }
        }
        let rdma_bytes = control::rdma_bytes(msg.cmsgs())?;
        if len.max(rdma_bytes) > u32_as_usize(MAX_MESSAGE_LEN) || len > u32_as_usize(sndbuf(sock)) {
            return Err(EMSGSIZE);
        }
        if flags.contains(MsgFlags::ZEROCOPY) && sock.is_zerocopy() {
            return Err(EOPNOTSUPP);
        }
        control::check(msg.cmsgs(), flags)?;

        let key = RouteKey {
            local: source.addr,
            peer: dest.addr,
            tos: locked.tos,
            scope,
        };
        match &locked.route {
            Some(route) if route.key() == key => (source, dest, route.clone()),
            _ => {
                let transport = locked.transport.clone().ok_or(ENOTCONN)?;
                let route = transport.route(&this.space, key)?;
                locked.route = Some(route.clone());
                (source, dest, route)
            }
        }
    };

    let payload = copy(msg, len, &this.space.spares)?;
    this.space.stats.copy_from_user.add(payload.len().into());
    control::execute(msg.cmsgs())?;
    let owner = Owner {
        sock: sock.get(),
        number: Atomic::new(NOT_ADMITTED),
    };
    let spares = (len >= FRAGMENT_BYTES).then(|| this.space.spares.clone());
    let payload = Lent::new(payload, spares);
    let outgoing = Outgoing::new(owner, payload, source, dest, [0; EXT_LEN])?;
    let mut timeout = sock.send_timeout(nonblocking);

    wait_for_port(sock, &route, dest.port, nonblocking, &mut timeout)?;
    let admitted = wait_for_room(sock, &outgoing, &route, nonblocking, &mut timeout)?;
    this.space.stats.send_queued.add(1);
    route.send(outgoing, admitted.ack_required)?;
    Ok(len)
}

/// Copies the data of a message from the caller.
///
/// Memory that is there already was charged to whoever sent first; it is not more than a message.
fn copy(msg: &mut SendMsg<'_>, len: usize, spares: &Spares) -> Result<Payload> {
    if len <= SHORT {
        return Payload::short(len, |bytes| msg.read(bytes));
    }
    let flags = GFP_KERNEL_ACCOUNT;
    let mut payload = Payload::with_capacity(u32::try_from(len).map_err(|_| EMSGSIZE)?, flags)?;
    let mut left = len;

    while left > 0 {
        let part = left.min(FRAGMENT_BYTES);
        let mut piece = (part == FRAGMENT_BYTES)
            .then(|| spares.take())
            .flatten()
            .unwrap_or_default();
        msg.take(part, &mut piece, flags)?;
        left = left.saturating_sub(piece.len());
        payload.push(piece, flags)?;
    }
    Ok(payload)
}

/// Waits until a port of the peer is free (spec §4.4 row 15).
fn wait_for_port(
    sock: &Open<'_, Socket>,
    route: &Arc<dyn Route>,
    port: u16,
    nonblocking: bool,
    timeout: &mut Timeout,
) -> Result {
    let peer = route.peer();
    if !peer.is_congested(port) {
        return Ok(());
    }

    // The map may be out of date if there is no connection that would bring a new one.
    route.connect();
    let stats = &sock.data().space.stats;
    Socket::on_refused(sock, port)?;
    if nonblocking {
        if peer.is_congested(port) {
            trace::congestion(route.key().peer, port, Port::Refused);
            stats.cong_send_error.add(1);
            return Err(ENOBUFS);
        }
        return Ok(());
    }

    trace::congestion(route.key().peer, port, Port::Blocked);
    stats.cong_send_blocked.add(1);
    loop {
        let end = sock.wait(timeout, || {
            let marked = sock.data().receives.lock().refused;
            // A change of the map took the mark away: look, and if need be make it anew. The port may
            // have got free before there was a mark.
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

/// Waits until there is room for a message (spec §4.4 row 16).
fn wait_for_room(
    sock: &Open<'_, Socket>,
    outgoing: &Outgoing,
    route: &Arc<dyn Route>,
    nonblocking: bool,
    timeout: &mut Timeout,
) -> Result<Admitted> {
    let this = sock.data();
    let try_once = || {
        let limit = sndbuf(sock);
        this.sends.lock().admit(outgoing, route, limit)
    };
    let mut admission = try_once();

    loop {
        match admission {
            Admission::Admitted(admitted) => return Ok(admitted),
            Admission::NoMemory(wanted) => {
                let storage = Table::storage(wanted)?;
                let old = this.sends.lock().sent.grow(storage);
                drop(old);
                admission = try_once();
                continue;
            }
            Admission::Full => {}
        }

        this.space.stats.send_queue_full.add(1);
        if nonblocking {
            return Err(EAGAIN);
        }
        let end = sock.wait(timeout, || match try_once() {
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

/// Cancels all messages of a socket that are not done with, or those to one destination.
///
/// Those that are on their way already arrive or not.
pub(super) fn cancel(sock: &Sock<Socket>, dest: Option<Endpoint>) {
    let sends = &sock.data().sends;
    let mut at = 0;

    loop {
        let (message, route) = {
            let sends = sends.lock();
            let Some((number, sent)) = sends.sent.next(at) else {
                break;
            };
            // OVERFLOW: It is the number of a place.
            at = number.wrapping_add(1);
            if dest.is_some_and(|dest| dest != sent.message.dest()) {
                continue;
            }
            (sent.message.clone(), sent.route.clone())
        };
        route.cancel(&message);
    }
}
