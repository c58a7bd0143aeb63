// SPDX-License-Identifier: GPL-2.0

//! Frames that come in on a path.

use super::Path;
use crate::{
    backlog::Charge,
    message::{
        Body,
        Endpoint,
        Lent,
        Origin,
        Payload,
        Room,
        Spares,
        Stamps,
        SHORT, //
    },
    stats::Counter,
    trace,
    transport::rc::{
        Buffer,
        Shared, //
    },
};
use kernel::{
    num::casts::u32_as_usize,
    prelude::*,
    sync::Arc, //
};
use rds_proto::{
    conn::ConnId,
    consts::HEADER_LEN,
    error::DropReason,
    recv::{
        Fragment,
        Received, //
    },
    wire::Header, //
};

/// Pieces up to this length are copied, so that the buffer of a device can be posted again.
const COPIED: usize = 1024;

/// A message that is coming in, if one is.
#[derive(Default)]
pub(super) struct Partial(Option<Arriving>);

/// What there is of a message.
struct Arriving {
    payload: Payload,
    /// What it becomes.
    room: Room,
    /// When its first frame came.
    stamps: Option<Stamps>,
    /// What its sender is charged.
    charge: Charge,
}

impl Partial {
    /// Stores a piece of the message.
    fn store(
        &mut self,
        fragment: &Fragment<'_>,
        buffer: &mut Buffer,
        charge: impl FnOnce(u32) -> Result<Charge>,
        copies: &Counter,
        traced: bool,
    ) -> Result {
        let whole = fragment.header.len;
        let len = u32_as_usize(fragment.len);
        let short = len <= SHORT && fragment.len == whole;

        if fragment.offset == 0 {
            // What was there is given back first.
            self.0 = None;
            let charge = charge(Payload::true_size_of(whole))?;
            let payload = if short {
                copies.add(fragment.len.into());
                Payload::short(len, |bytes| buffer.copy(bytes))?
            } else {
                Payload::with_capacity(whole, GFP_ATOMIC)?
            };
            self.0 = Some(Arriving {
                payload,
                room: Room::new(GFP_ATOMIC)?,
                stamps: Stamps::begin(traced),
                charge,
            });
        }
        let arriving = self.0.as_mut().ok_or(EIO)?;

        let piece = if short || len == 0 {
            return Ok(());
        } else if len <= COPIED {
            let mut piece = KVec::with_capacity(len, GFP_ATOMIC)?;
            let copied = buffer.read(|bytes| {
                bytes
                    .get(..len)
                    .is_some_and(|bytes| piece.extend_from_slice(bytes, GFP_ATOMIC).is_ok())
            });
            if copied != Some(true) {
                return Err(EIO);
            }
            copies.add(fragment.len.into());
            piece
        } else {
            let mut piece = buffer.take().ok_or(EIO)?;
            piece.truncate(len);
            piece
        };

        arriving.payload.push(piece, GFP_ATOMIC)
    }
}

impl Path {
    /// Takes a frame of `len` bytes that came in on a connection: its header, and its data in `buffer`,
    /// which may be emptied. Memory for data that is not needed any more goes to `spares`.
    ///
    /// Any context; [`pump`](Self::pump) is to follow.
    pub(crate) fn receive(
        &self,
        conn: ConnId,
        header: &[u8; HEADER_LEN],
        len: u32,
        buffer: &mut Buffer,
        spares: &Arc<Spares>,
    ) {
        let mut guard = self.state.lock();
        let state = &mut *guard;
        let partial = &mut state.partial;
        let charge = |bytes| {
            let limit = self.space.sysctls.max_recv_bytes();

            self.peer
                .backlog()
                .charge(bytes, limit)
                .inspect_err(|_| self.space.stats.ib_rx_alloc_limit.add(1))
        };
        let copies = &self.space.stats.recv_bytes_copied;
        let traced = self.space.is_traced();
        let acked = state.engine.sender().queue.acked();
        trace::arrived(&self.key, conn, header, len);
        let received = state
            .engine
            .on_frame(&state.settings, conn, header, len, |fragment| {
                partial.store(&fragment, buffer, charge, copies, traced)
            });

        let now_acked = state.engine.sender().queue.acked();
        trace::acked(&self.key, acked, now_acked);
        if state.rtt.is_ended_by(now_acked) {
            state.rtt.on_ack(Shared::now());
        }

        let mut map_changed = false;
        match received {
            Ok(Received::Message(header)) => {
                map_changed = self.complete(&header, &mut state.partial, spares)
            }
            Ok(Received::Ping(port)) => {
                if !self.peer.is_congested(port) {
                    // If there is no room the answer is left out, and the peer's ping times out.
                    state.engine.queue_pong(port);
                }
            }
            Ok(Received::CongMap { offset, len }) => {
                trace::map(&self.key, offset, len);
                buffer.read(|bytes| {
                    if let Some(bytes) = bytes.get(..u32_as_usize(len)) {
                        self.peer.apply(&self.space, offset, bytes);
                    }
                });
            }
            // Of no use before the handshake is over. Nobody sends before: our last message of it
            // leaves when this side is ready.
            Ok(Received::Early) => state.engine.on_lost(conn, DropReason::Transport),
            Ok(Received::Ignored(why)) => trace::ignored(&self.key, header, why),
            Ok(Received::Ack | Received::Partial | Received::Stale) => {}
            // The engine has given the connection up.
            Err(_) => trace::violated(&self.key, header, state.engine.last_reason()),
        }
        drop(guard);

        if map_changed {
            self.space.map_changed(self.key.local, 0);
        }
    }

    /// Delivers a message that is complete. Returns whether the congestion map of our address has
    /// changed.
    fn complete(&self, header: &Header, partial: &mut Partial, spares: &Arc<Spares>) -> bool {
        // The first piece has made it.
        let Some(arriving) = partial.0.take() else {
            return false;
        };
        let Arriving {
            payload,
            room,
            stamps,
            charge,
        } = arriving;
        let origin = Origin {
            source: Endpoint {
                addr: self.key.peer,
                port: header.sport,
            },
            dest: Endpoint {
                addr: self.key.local,
                port: header.dport,
            },
            scope: self.key.scope,
            tos: self.key.tos,
            cookie: None,
        };
        let stamps = stamps.map(Stamps::completed);
        let spares = (u32_as_usize(payload.len()) > COPIED).then(|| spares.clone());
        let body = Body::Own {
            payload: Lent::new(payload, spares),
            charge: Some(charge),
        };
        let message = room.fill(body, origin, header.seq, stamps);

        self.space.deliver(message).map_changed
    }
}
