// SPDX-License-Identifier: GPL-2.0

//! Frames that come in on a path.

use super::Path;
use crate::conn::{ConnId, State};
use crate::consts::HEADER_LEN;
use crate::error::Violation;
use crate::recv::{Fault, Fragment, Ignored, Received};
use crate::ring::Storage;
use crate::send::{Entry, Payload};
use crate::settings::Settings;
use crate::stats::bump;
use crate::tcp::{Greeting, Hello};
use crate::wire::{Header, WireError};

/// Why a frame was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused<E> {
    /// The peer broke a rule: the connection is given up.
    Violation(Violation),
    /// The closure failed: what it stored of the message is to be dropped. The connection is given up
    /// later, see [`Refusal`](crate::recv::Refusal); until then no message is stored.
    ///
    /// Of a [stream](Path::set_stream) nothing is to be dropped but the piece: the frame is to be handed in
    /// again.
    Store(E),
}

impl<M: Payload, S: Storage<Entry<M>>> Path<M, S> {
    /// Takes a frame that came in on connection `conn`.
    ///
    /// `frame` holds at least the header, unless the frame was shorter; `len` is the length of the
    /// whole frame, header included. `store` is called at most once, and only for a piece of a message
    /// that is to be kept. At the end of a batch of frames [`Path::reap`] and [`Path::transmit`] are to
    /// be called. O(1).
    ///
    /// # Errors
    ///
    /// The rule that was broken: the connection is given up, and
    /// [`Action::Close`](crate::conn::Action::Close) follows. Or the error of `store`.
    pub fn on_frame<E>(
        &mut self,
        settings: &Settings,
        conn: ConnId,
        frame: &[u8],
        len: u32,
        store: impl FnOnce(Fragment<'_>) -> Result<(), E>,
    ) -> Result<Received, Refused<E>> {
        if !self.takes(conn) {
            return Ok(Received::Stale);
        }
        // Who the peer is, and so what is a duplicate, is known from its request, but not before its
        // reply.
        match self.state() {
            State::Dialing => return Ok(Received::Early),
            _ => self.settle(),
        }
        let result = self.take_frame(settings, frame, len, store);
        // What a stream can't store now is handed in again.
        let comes_again = self.stream && matches!(result, Err(Refused::Store(_)));

        if !comes_again {
            bump(&mut self.stats.rx_frames);
        }
        result
    }

    fn take_frame<E>(
        &mut self,
        settings: &Settings,
        frame: &[u8],
        len: u32,
        store: impl FnOnce(Fragment<'_>) -> Result<(), E>,
    ) -> Result<Received, Refused<E>> {
        let header = match Header::parse(frame) {
            Ok(header) => header,
            Err(e) => {
                if e == WireError::Checksum {
                    bump(&mut self.stats.recv_drop_bad_checksum);
                }
                return Err(Refused::Violation(self.violate(Violation::Header(e))));
            }
        };
        // CAST: 48.
        let Some(data_len) = len.checked_sub(HEADER_LEN as u32) else {
            let short = Violation::Header(WireError::Truncated);
            return Err(Refused::Violation(self.violate(short)));
        };
        self.take(settings, &header, data_len, store)
    }

    /// Takes notice of a receive completion that is not a plain SEND (spec-fragments): the connection is
    /// given up.
    pub fn on_bad_opcode(&mut self, conn: ConnId) {
        if self.machine.is_live(conn) {
            self.violate(Violation::Opcode);
        }
    }

    fn take<E>(
        &mut self,
        settings: &Settings,
        header: &Header,
        data_len: u32,
        store: impl FnOnce(Fragment<'_>) -> Result<(), E>,
    ) -> Result<Received, Refused<E>> {
        if let Err(violation) = self.sender.queue.on_ack(header.ack) {
            return Err(Refused::Violation(self.violate(violation)));
        }
        if header.credit != 0 {
            bump(&mut self.stats.rx_credit_updates);
        }
        if header.is_ack_only(data_len) {
            bump(&mut self.stats.ack_received);
            return Ok(Received::Ack);
        }
        let result =
            self.reassembly
                .on_frame(header, data_len, settings.ping_enable, self.stream, store);
        let (received, completed) = match result {
            Ok(step) => step,
            Err(Fault::Violation(violation)) => {
                return Err(Refused::Violation(self.violate(violation)));
            }
            Err(Fault::Store(e)) => {
                if !self.stream {
                    self.refusal.begin();
                }
                return Err(Refused::Store(e));
            }
        };
        // What a stream acknowledges needs no more.
        if let Some(completed) = completed.filter(|_| !self.stream) {
            self.ack.complete(completed.seq, completed.demanded);
            if completed.demanded {
                bump(&mut self.stats.recv_ack_required);
                if self.sender.is_acking() {
                    bump(&mut self.stats.ack_send_delayed);
                }
            }
        }
        match received {
            Received::Message => {
                bump(&mut self.stats.recv_messages);
                self.refusal.on_received();
            }
            Received::Ping(_) => {
                bump(&mut self.stats.recv_ping);
                self.greet(header);
            }
            Received::Pong => self.greet(header),
            Received::CongMap { .. } => bump(&mut self.stats.cong_update_received),
            Received::Ignored(Ignored::Duplicate) => bump(&mut self.stats.recv_drop_old_seq),
            _ => {}
        }
        Ok(received)
    }

    /// Whether what comes in on connection `conn` counts: what a stream has acknowledged must not be lost, and
    /// so is taken until the connection is closed.
    pub(super) fn takes(&self, conn: ConnId) -> bool {
        self.machine.is_live(conn) || self.stream && self.machine.is_closing(conn)
    }

    /// Takes notice of what the peer says of itself, if that is what a ping or its answer does.
    fn greet(&mut self, header: &Header) {
        if Greeting::of(header).is_none() {
            return;
        }
        let told = Hello::told(header);
        let (known, said) = (self.told, self.says());
        self.told = Hello {
            lanes: told.lanes.or(known.lanes),
            ports_tell: told.ports_tell,
            ..known
        };
        if let Some(generation) = told.generation {
            self.learn(generation);
        }
        self.has_news |= !self.heard || self.told != known;
        self.heard = true;
        if self.says() != said {
            // It is to know.
            self.greeted = false;
            self.say_hello();
        }
    }
}
