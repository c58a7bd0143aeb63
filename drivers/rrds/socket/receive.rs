// SPDX-License-Identifier: GPL-2.0

//! Receiving: how a message gets into the queue of a socket, and out of it (spec-recvmsg).

use super::{
    names,
    rcvbuf,
    seam::Delivered,
    Socket, //
};
use crate::{
    congestion::Port,
    message::{
        Endpoint,
        Incoming,
        Told, //
    },
    trace::{
        self,
        Why, //
    },
};
use kernel::{
    list::ListArc,
    num::casts::u32_as_usize,
    prelude::*,
    sync::{
        atomic::ordering::Relaxed,
        Arc, //
    },
    time::{
        Delta,
        Instant, //
    },
};
use krdma::{
    clock::wall_clock_ns,
    net::{
        MsgFlags,
        Open,
        RecvMsg,
        Sock,
        Timestamps,
        Wait, //
    },
};
use rds_proto::uapi::{
    cmsg::{
        CONG_UPDATE,
        MAX_TRACES,
        RDMA_DEST,
        RXPATH_LATENCY, //
    },
    option::{
        SO_TIMESTAMP_NEW,
        SO_TIMESTAMP_OLD, //
    },
    SOL_RDS, //
};

/// The level of `SO_TIMESTAMP`.
const SOL_SOCKET: i32 = 1;

/// What there is to receive.
enum Next {
    /// How operations have ended.
    Notices,
    /// The mask of ports that got free.
    Congestion(u64),
    /// A message, taken out of the queue.
    Message(ListArc<Incoming>),
    /// A message that stays in the queue.
    Peeked(Arc<Incoming>),
}

/// Puts a message in the queue of a socket.
///
/// Any context; may be called with the lock of a path held.
pub(super) fn deliver(sock: &Sock<Socket>, message: ListArc<Incoming>) -> Delivered {
    let this = sock.data();
    let (len, true_size) = (message.payload().len(), message.true_size());
    let stamp = sock.timestamps().is_some();
    if let (Told::Used(key), Some(regions)) = (message.region, this.rdma.as_ref()) {
        regions.used(key);
    }
    let mut receives = this.receives.lock();

    if receives.dead {
        drop(receives);
        trace::undelivered(&*message, message.tos, Why::DeadSock);
        this.space.stats.recv_drop_dead_sock.add(1);
        return Delivered { map_changed: false };
    }
    if stamp {
        message.delivered_ns.store(wall_clock_ns(), Relaxed);
    }
    let limit = receives.overhead.limit(rcvbuf(sock));
    let change = receives.account.add(len, true_size, limit);
    let map_changed = receives.note(change);
    trace::delivered(&*message, message.tos);
    receives.queue.push_back(message);
    drop(receives);

    let stats = &this.space.stats;
    stats.recv_queued.add(1);
    stats.recv_bytes_added_to_sock.add(len.into());
    match this.tap.as_ref() {
        None => sock.data_ready(),
        Some(tap) => tap.wake(),
    }
    Delivered { map_changed }
}

pub(super) fn receive(sock: &Open<'_, Socket>, msg: &mut RecvMsg<'_>) -> Result<usize> {
    let flags = msg.flags();
    if flags.contains(MsgFlags::OOB) {
        return Ok(0);
    }
    if flags.contains(MsgFlags::ERRQUEUE) {
        // Nothing ever is in the queue of errors.
        return Err(EAGAIN);
    }
    let peek = flags.contains(MsgFlags::PEEK);
    let nonblocking = flags.contains(MsgFlags::DONTWAIT);
    let mut timeout = sock.receive_timeout(nonblocking);

    let next = loop {
        match sock.wait(&mut timeout, || next(sock, peek)) {
            Wait::Ready(Next::Notices) => {
                let regions = sock.data().rdma.as_ref();
                // Another task may have been faster: there is nothing to return yet then.
                if let Some(true) = regions.map(|regions| regions.tell(msg)).transpose()? {
                    return Ok(0);
                }
            }
            Wait::Ready(next) => break next,
            Wait::TimedOut if nonblocking && tell_cookies(sock, msg) => return Ok(0),
            Wait::TimedOut if nonblocking => return Err(EAGAIN),
            Wait::TimedOut => return Err(ETIMEDOUT),
            Wait::Signal => return Err(ERESTARTSYS),
        }
    };
    match next {
        Next::Notices => Ok(0),
        Next::Congestion(mask) => tell_congestion(sock, msg, mask),
        Next::Peeked(message) => {
            let copied = copy(msg, &message)?;
            finish(sock, msg, &message, copied)
        }
        Next::Message(message) => match copy(msg, &message) {
            Ok(copied) => {
                leave(sock, &message);
                finish(sock, msg, &message, copied)
            }
            Err(err) => {
                // It stays the first one.
                sock.data().receives.lock().queue.push_front(message);
                sock.data_ready();
                Err(err)
            }
        },
    }
}

/// Takes what comes next, if there is anything.
fn next(sock: &Open<'_, Socket>, peek: bool) -> Option<Next> {
    let regions = sock.data().rdma.as_ref();
    if regions.is_some_and(|regions| regions.has_notices()) {
        return Some(Next::Notices);
    }
    let mut receives = sock.data().receives.lock();

    if let Some(mask) = receives.monitor.take() {
        return Some(Next::Congestion(mask));
    }
    if peek {
        let mut cursor = receives.queue.cursor_front();
        return Some(Next::Peeked(cursor.peek_next()?.arc().into()));
    }
    receives.queue.pop_front().map(Next::Message)
}

/// Tells which ports got free: nothing else comes with that.
fn tell_congestion(sock: &Open<'_, Socket>, msg: &mut RecvMsg<'_>, mask: u64) -> Result<usize> {
    if let Err(err) = msg.put(SOL_RDS, CONG_UPDATE, &mask.to_ne_bytes()) {
        // The ports are told again.
        let mut receives = sock.data().receives.lock();
        for port in (0..64_u16).filter(|port| mask >> port & 1 != 0) {
            receives.monitor.refused(port);
        }
        receives.monitor.on_update(mask);
        return Err(err);
    }
    Ok(0)
}

/// Tells cookies of memory that was lent, if the caller wants to know. Returns whether there were some.
fn tell_cookies(sock: &Open<'_, Socket>, msg: &mut RecvMsg<'_>) -> bool {
    if !sock.is_zerocopy() {
        return false;
    }
    sock.data().lends.tell(msg).unwrap_or_else(|_| {
        // Others may have looked meanwhile.
        sock.data_ready();
        false
    })
}

/// Copies the data of a message to the caller, as far as there is room, and returns how much.
fn copy(msg: &mut RecvMsg<'_>, message: &Incoming) -> Result<usize> {
    let mut copied = 0_usize;

    for piece in message.payload().pieces() {
        if msg.room() == 0 {
            break;
        }
        copied = copied.saturating_add(msg.write(piece)?);
    }
    Ok(copied)
}

/// Takes the first message that was received out of the queue; [`took`] is to follow. Any context.
pub(crate) fn next_received(sock: &Sock<Socket>) -> Option<ListArc<Incoming>> {
    sock.data().receives.lock().queue.pop_front()
}

/// Counts a message as read. Any context.
pub(crate) fn took(sock: &Sock<Socket>, message: &Incoming) {
    leave(sock, message);
    sock.data().space.stats.recv_delivered.add(1);
}

/// Accounts for a message that has left the queue.
///
/// Any context.
fn leave(sock: &Sock<Socket>, message: &Incoming) {
    let this = sock.data();
    let (len, true_size) = (message.payload().len(), message.true_size());
    let mut receives = this.receives.lock();
    let limit = receives.overhead.limit(rcvbuf(sock));

    let change = receives.account.remove(len, true_size, limit);
    let freed = if receives.note(change) {
        receives.port.as_ref().map(Port::at)
    } else {
        None
    };
    drop(receives);

    this.space.stats.recv_bytes_freed_fromsock.add(len.into());
    if let Some((addr, mask)) = freed {
        this.space.map_changed(addr, mask);
    }
}

/// Tells the caller what is known of a message, and returns what recvmsg does.
fn finish(
    sock: &Open<'_, Socket>,
    msg: &mut RecvMsg<'_>,
    message: &Incoming,
    copied: usize,
) -> Result<usize> {
    let len = u32_as_usize(message.payload().len());
    let mut told = copied;

    if copied < len {
        if msg.flags().contains(MsgFlags::TRUNC) {
            told = len;
        }
        msg.set_flags(MsgFlags::TRUNC);
    }
    put_all(sock, msg, message).map_err(|_| EFAULT)?;
    tell_cookies(sock, msg);
    let stats = &sock.data().space.stats;
    stats.recv_delivered.add(1);
    stats.copy_to_user.add(u64::try_from(copied).unwrap_or(0));

    let Endpoint { addr, port } = message.source;
    let scope = if names::is_v4(addr) {
        0
    } else {
        sock.lock().scope
    };
    msg.set_name(names::show(Endpoint { addr, port }, scope));
    Ok(told)
}

/// Puts the control messages that come with data.
fn put_all(sock: &Open<'_, Socket>, msg: &mut RecvMsg<'_>, message: &Incoming) -> Result {
    if let Told::Dest(cookie) = message.region {
        msg.put(SOL_RDS, RDMA_DEST, &cookie.bits().to_ne_bytes())?;
    }

    let ns = message.delivered_ns.load(Relaxed);
    if let Some(form) = sock.timestamps().filter(|_| ns != 0) {
        let kind = match form {
            Timestamps::Old => SO_TIMESTAMP_OLD,
            Timestamps::New => SO_TIMESTAMP_NEW,
        };
        let mut timeval = [0; 16];
        let (seconds, rest) = timeval.split_at_mut(8);
        seconds.copy_from_slice(&(ns / 1_000_000_000).to_ne_bytes());
        rest.copy_from_slice(&(ns % 1_000_000_000 / 1000).to_ne_bytes());
        msg.put(SOL_SOCKET, kind, &timeval)?;
    }

    if !sock.data().space.is_traced() {
        return Ok(());
    }
    let (traces, traced) = {
        let receives = sock.data().receives.lock();
        (receives.traces, receives.traced)
    };
    if traced != 0 {
        msg.put(SOL_RDS, RXPATH_LATENCY, &latency(message, traces, traced))?;
    }
    Ok(())
}

/// Makes a `struct rds_cmsg_rx_trace`: a count, so many numbers of parts of the way, and the
/// nanoseconds that each took.
fn latency(message: &Incoming, traces: [u8; MAX_TRACES], traced: u8) -> [u8; 32] {
    const TIMES: usize = 8;
    let mut raw = [0; 32];
    let (head, times) = raw.split_at_mut(TIMES);

    if let [count, rest @ ..] = head {
        *count = traced;
        for (to, trace) in rest.iter_mut().zip(traces).take(traced.into()) {
            *to = trace;
        }
    }
    // Of a message that came before anybody asked nothing is known.
    let Some(stamps) = message.stamps else {
        return raw;
    };
    for (to, trace) in times.chunks_exact_mut(8).zip(traces).take(traced.into()) {
        let took: Delta = match trace {
            // The reassembly begins with the header.
            0 => Delta::ZERO,
            1 => stamps.complete - stamps.start,
            _ => Instant::now() - stamps.complete,
        };
        to.copy_from_slice(&took.as_nanos().to_ne_bytes());
    }
    raw
}
