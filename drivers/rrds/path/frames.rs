// SPDX-License-Identifier: GPL-2.0

//! Frames that come in on a path.

use super::{
    carrier::{
        Buffer,
        Carrier, //
    },
    partial::Partial,
    Path, //
};
use crate::{
    backlog::Charge,
    key::Endpoint,
    message::{
        Body,
        Incoming,
        Origin,
        Payload,
        Pooled,
        Spares,
        Stamps,
        Told,
        SHORT, //
    },
    trace, //
};
use kernel::{
    num::casts::u32_as_usize,
    prelude::*,
    sync::{
        Arc,
        UniqueArc, //
    },
};
use rds_proto::{
    conn::ConnId,
    consts::{
        CONG_MAP_LEN,
        EXT_LEN,
        HEADER_LEN, //
    },
    error::DropReason,
    path::Refused,
    recv::{
        Fragment,
        Received, //
    },
    wire::Header, //
};

/// What became of a frame that came in.
pub(crate) struct Receipt {
    /// If not, there was no memory, and it is to be handed in again. Only of a
    /// [stream](Carrier::IS_STREAM).
    pub(crate) is_taken: bool,
    /// [`Path::pump`] is to follow.
    pub(crate) wants_pump: bool,
}

/// Pieces up to this length are copied, so that the buffer of a device can be posted again.
const COPIED: usize = 1024;

impl<C: Carrier> Path<C> {
    /// Stores a piece of the message that is coming in.
    ///
    /// Errors: [`ENOBUFS`] if its sender has made us store too much already, [`ENOMEM`].
    fn store(
        &self,
        partial: &mut Partial,
        fragment: &Fragment<'_>,
        buffer: &mut impl Buffer,
        spares: &Arc<Spares>,
    ) -> Result {
        let copies = &self.space.stats.recv_bytes_copied;
        let whole = fragment.header.len;
        let len = u32_as_usize(fragment.len);
        let short = len <= SHORT && fragment.len == whole;

        if fragment.offset == 0 {
            // What was there is given back first.
            partial.0 = None;
            // Before any work is done for the sender.
            let charge = self.charge(whole)?;
            let mut message = self.begin(charge, fragment.header, spares)?;
            let payload = message.as_mut().payload_mut().ok_or(EIO)?;
            if short {
                copies.add(fragment.len.into());
                payload.set_short(len, |bytes| buffer.copy(bytes))?;
            } else {
                payload.reserve(whole, GFP_ATOMIC)?;
            }
            partial.0 = Some(message);
        }
        let message = partial.0.as_mut().ok_or(EIO)?;

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

        let payload = message.as_mut().payload_mut().ok_or(EIO)?;
        payload.push(piece, GFP_ATOMIC)
    }

    /// Takes a frame of `len` bytes that came in on a connection: its header, and its data in `buffer`,
    /// which may be emptied. Memory for data that is not needed any more goes to `spares`.
    ///
    /// Any context.
    pub(crate) fn receive(
        &self,
        conn: ConnId,
        header: &[u8; HEADER_LEN],
        len: u32,
        buffer: &mut impl Buffer,
        spares: &Arc<Spares>,
    ) -> Receipt {
        let mut guard = self.state.lock();
        let state = &mut *guard;
        let partial = &mut state.partial;
        let acked = state.engine.sender().queue.acked();
        trace::arrived(&self.key, conn, header, len);
        let received = state
            .engine
            .on_frame(&state.settings, conn, header, len, |fragment| {
                self.store(partial, &fragment, buffer, spares)
            });

        state.note_acked(acked);
        let mut map_changed = false;
        let mut freed = None;
        let mut is_taken = true;
        let mut is_told = false;
        let mut is_map = false;
        // Freed without the lock.
        let mut refused = Partial::default();
        match received {
            Ok(Received::Message) => {
                // The first piece has made it.
                if let Some(mut message) = state.partial.0.take() {
                    message.as_mut().complete();
                    map_changed = self.space.deliver(message.into()).map_changed;
                }
            }
            Ok(Received::Ping(port)) => {
                is_told = self.as_first().is_some() && state.engine.has_news_of_peer();
                if !self.peer.is_congested(port) {
                    // If there is no room the answer is left out, and the peer's ping times out.
                    state.engine.queue_pong(port);
                }
            }
            Ok(Received::CongMap { offset, len }) => {
                trace::map(&self.key, offset, len);
                // The last piece of it.
                is_map = offset.saturating_add(len) == CONG_MAP_LEN;
                buffer.read(|bytes| {
                    if let Some(bytes) = bytes.get(..u32_as_usize(len)) {
                        freed = Some(self.peer.apply(offset, bytes));
                    }
                });
            }
            // Of no use before the handshake is over. Nobody sends before: our last message of it
            // leaves when this side is ready.
            Ok(Received::Early) => state.engine.on_lost(conn, DropReason::Transport),
            Ok(Received::Ignored(why)) => trace::ignored(&self.key, header, why),
            Ok(Received::Pong) => {
                is_told = self.as_first().is_some() && state.engine.has_news_of_peer()
            }
            Ok(Received::Ack | Received::Partial | Received::Stale) => {}
            // The engine has given the connection up.
            Err(Refused::Violation(why)) => {
                trace::violated(&self.key, header, DropReason::Violation(why));
            }
            // It is handed in again.
            Err(Refused::Store(_)) if C::IS_STREAM => is_taken = false,
            // The engine will give the connection up.
            Err(Refused::Store(_)) => {
                refused = core::mem::take(&mut state.partial);
                trace::violated(&self.key, header, DropReason::NoMemory);
            }
        }
        self.reap(state);
        let wants_pump = state.wants_pump();
        drop(guard);
        drop(refused);

        if is_told {
            // For the lanes.
            self.waker.wake();
        }
        if is_map {
            self.note_map();
        }
        // Without the lock: there may be many who wait.
        if let Some(freed) = freed {
            self.space.wake(freed);
        }
        if map_changed {
            self.space.map_changed(self.key.local, 0);
        }
        Receipt {
            is_taken,
            wants_pump,
        }
    }

    /// Charges the peer for a message of `len` bytes.
    ///
    /// Errors: [`ENOBUFS`] if it has made us store too much already.
    #[inline]
    fn charge(&self, len: u32) -> Result<Charge> {
        let limit = self.space.sysctls.max_recv_bytes();

        self.peer
            .backlog()
            .charge(Payload::true_size_of(len), limit)
            .inspect_err(|_| self.space.stats.ib_rx_alloc_limit.add(1))
    }

    /// Makes a message, whose data follows.
    ///
    /// Errors: [`ENOMEM`].
    #[inline]
    fn begin(
        &self,
        charge: Charge,
        header: &Header,
        spares: &Arc<Spares>,
    ) -> Result<Pin<UniqueArc<Incoming>>> {
        let mut origin = Origin {
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
            region: Told::Nothing,
        };
        if header.ext != [0; EXT_LEN] {
            origin.extend(&header.ext);
        }
        let spares = (u32_as_usize(header.len) > COPIED).then(|| spares.clone());
        let body = Body::Own {
            payload: Pooled::new(Payload::empty(), spares),
            charge: Some(charge),
        };

        Ok(Incoming::new(
            body,
            origin,
            header.seq,
            Stamps::begin(self.space.is_traced()),
            GFP_ATOMIC,
        )?)
    }
}
