// SPDX-License-Identifier: GPL-2.0

//! What is told by tracepoints, in the terms of this crate.
//!
//! Any context. While nobody listens to an event it costs next to nothing, see [`rrds_trace`].

pub(crate) use rrds_trace::{
    Port,
    Why, //
};

use crate::key::{
    Endpoint,
    RouteKey, //
};
use rds_proto::{
    conn::{
        history::Change,
        ConnId,
        State, //
    },
    consts::HEADER_LEN,
    error::{
        DropReason,
        Violation, //
    },
    recv::Ignored,
    send::{
        Body,
        Data,
        Frame,
        Outcome, //
    },
    wire::{
        Addr,
        Flags,
        WireError, //
    },
};
use rrds_trace as events;

/// Which path, for the events.
#[inline(always)]
fn path<'a>(local: &'a Addr, peer: &'a Addr, tos: u8) -> events::Path<'a> {
    events::Path {
        local: &local.0,
        peer: &peer.0,
        tos,
    }
}

#[inline(always)]
fn of(key: &RouteKey) -> events::Path<'_> {
    path(&key.local, &key.peer, key.tos)
}

/// The message that the header of a frame tells of.
#[inline(always)]
fn told(header: &[u8; HEADER_LEN]) -> events::Message {
    let byte = |at: usize| header.get(at).copied().unwrap_or(0);
    let short = |at| u16::from_be_bytes([byte(at), byte(at + 1)]);
    let word = |at| u32::from(short(at)) << 16 | u32::from(short(at + 2));

    events::Message {
        sport: short(20),
        dport: short(22),
        seq: u64::from(word(0)) << 32 | u64::from(word(4)),
        len: word(16),
    }
}

/// A message, for the events.
pub(crate) trait Traced {
    /// Returns where it comes from, and where it goes.
    fn ends(&self) -> (Endpoint, Endpoint);

    /// Returns its number on its path.
    fn seq(&self) -> u64;

    /// Returns the length of its data.
    fn len(&self) -> u32;
}

#[inline(always)]
fn message(message: &impl Traced) -> events::Message {
    let (source, dest) = message.ends();

    events::Message {
        sport: source.port,
        dport: dest.port,
        seq: message.seq(),
        len: message.len(),
    }
}

fn state(state: State) -> events::State {
    match state {
        State::Down => events::State::Down,
        State::Dialing => events::State::Dialing,
        State::Accepting => events::State::Accepting,
        State::Up => events::State::Up,
        State::Closing => events::State::Closing,
    }
}

fn why(reason: DropReason) -> Why {
    match reason {
        DropReason::Violation(Violation::Header(WireError::Truncated)) => Why::Truncated,
        DropReason::Violation(Violation::Header(WireError::Checksum)) => Why::Checksum,
        DropReason::Violation(Violation::FragmentMismatch) => Why::FragmentMismatch,
        DropReason::Violation(Violation::FragmentShort) => Why::FragmentShort,
        DropReason::Violation(Violation::TooLong) => Why::TooLong,
        DropReason::Violation(Violation::AckBeyondSent) => Why::AckBeyondSent,
        DropReason::Violation(Violation::Opcode) => Why::Opcode,
        DropReason::Transport => Why::Transport,
        DropReason::Rejected => Why::Rejected,
        DropReason::Version => Why::Version,
        DropReason::Timeout => Why::Timeout,
        DropReason::Superseded => Why::Superseded,
        DropReason::NoMemory => Why::NoMemory,
        DropReason::Local => Why::Local,
    }
}

/// The connection of a path has changed its state.
pub(crate) fn changed(key: &RouteKey, conn: ConnId, change: &Change, reason: DropReason, qp: u32) {
    let reason = match change.to {
        State::Closing => why(reason),
        _ => Why::None,
    };

    events::state(
        &of(key),
        conn.0,
        state(change.from),
        state(change.to),
        reason,
    );
    if change.to == State::Up {
        let initiator = change.from == State::Dialing;
        events::connect(&of(key), conn.0, initiator, qp, change.attempts);
    }
}

/// A request of a peer is refused.
pub(crate) fn refused(local: Addr, peer: Addr, tos: u8, why: Why) {
    events::refuse(&path(&local, &peer, tos), why);
}

/// A message was taken over from a socket.
#[inline(always)]
pub(crate) fn sent(key: &RouteKey, sent: &impl Traced) {
    events::send(&of(key), &message(sent));
}

/// A message is done with.
#[inline(always)]
pub(crate) fn ended(key: &RouteKey, ended: &impl Traced, outcome: Outcome) {
    let why = match outcome {
        Outcome::Done => return,
        Outcome::Cancelled => Why::Cancelled,
        Outcome::Dropped => Why::Unsendable,
    };

    events::drop(&of(key), &message(ended), why);
}

/// A frame was handed to the carrier.
#[inline(always)]
pub(crate) fn posted<M>(key: &RouteKey, conn: ConnId, frame: &Frame<'_, M>) {
    let Body::Send { header, data } = &frame.body else {
        return;
    };
    let (offset, len) = match data {
        Data::None => (0, 0),
        Data::Message { offset, len, .. } | Data::CongMap { offset, len } => (*offset, *len),
    };

    events::frame_send(&of(key), conn.0, header, len);
    if offset == 0 && flags(header).contains(Flags::RETRANSMITTED) {
        events::retransmit(&of(key), &told(header));
    }
}

fn flags(header: &[u8; HEADER_LEN]) -> Flags {
    Flags::from_bits(header[24])
}

/// A frame of `len` bytes came in.
#[inline(always)]
pub(crate) fn arrived(key: &RouteKey, conn: ConnId, header: &[u8; HEADER_LEN], len: u32) {
    // CAST: 48.
    events::frame_receive(
        &of(key),
        conn.0,
        header,
        len.saturating_sub(HEADER_LEN as u32),
    );
}

/// The peer has all messages up to number `to`; before, it was `from`.
#[inline(always)]
pub(crate) fn acked(key: &RouteKey, from: u64, to: u64) {
    if from != to {
        events::ack(&of(key), from, to);
    }
}

/// A frame was refused, and with it its connection, now or soon.
#[cold]
pub(crate) fn violated(key: &RouteKey, header: &[u8; HEADER_LEN], reason: DropReason) {
    events::drop(&of(key), &told(header), why(reason));
}

/// A message that came in is of no use.
#[cold]
pub(crate) fn ignored(key: &RouteKey, header: &[u8; HEADER_LEN], ignored: Ignored) {
    let why = match ignored {
        Ignored::Duplicate => Why::Duplicate,
        Ignored::PingWithoutPort => Why::PingWithoutPort,
        Ignored::MapLength => Why::MapLength,
        Ignored::Refused => Why::NoMemory,
    };

    events::drop(&of(key), &told(header), why);
}

/// A message is put in the queue of a socket.
#[inline(always)]
pub(crate) fn delivered(came: &impl Traced, tos: u8) {
    let (source, dest) = came.ends();

    events::receive(&path(&dest.addr, &source.addr, tos), &message(came));
}

/// A message that came in finds no socket.
#[cold]
pub(crate) fn undelivered(came: &impl Traced, tos: u8, why: Why) {
    let (source, dest) = came.ends();

    events::drop(&path(&dest.addr, &source.addr, tos), &message(came), why);
}

/// Something has happened to a port of an address.
#[inline(always)]
pub(crate) fn congestion(addr: Addr, port: u16, what: Port) {
    events::congestion(&addr.0, port, what);
}

/// A piece of the peer's congestion map came in.
#[inline(always)]
pub(crate) fn map(key: &RouteKey, offset: u32, len: u32) {
    events::map(&of(key), offset, len);
}
