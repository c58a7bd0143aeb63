// SPDX-License-Identifier: GPL-2.0

//! What is told of a path in listings (spec-info).

use super::{
    carrier::Carrier,
    Path, //
};
use crate::{
    key::RouteKey,
    message::Outgoing, //
};
use kernel::fmt;
use rds_proto::{
    conn::State,
    send::Entry,
    stats::Counters,
    uapi::info::{
        Connection,
        Detail,
        Listed, //
    }, //
};

/// Entries of the queue that are looked at before others get the lock.
const CHUNK: usize = 32;

/// As log lines name a path.
impl<C: Carrier> fmt::Display for Path<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let RouteKey {
            local,
            peer,
            tos,
            lane,
            ..
        } = self.key;

        write!(f, "{local:?} to {peer:?}, tos {tos}")?;
        match lane {
            0 => Ok(()),
            lane => write!(f, ", lane {lane}"),
        }
    }
}

impl<C: Carrier> Path<C> {
    /// Returns the record of the path.
    ///
    /// Any context.
    pub(super) fn record(&self) -> Connection<'static> {
        let state = self.state.lock();
        let engine = &state.engine;
        let flags = match engine.state() {
            State::Dialing | State::Accepting => Connection::CONNECTING,
            State::Up if engine.has_work() => Connection::CONNECTED | Connection::SENDING,
            State::Up => Connection::CONNECTED,
            State::Down | State::Closing => 0,
        };

        Connection {
            next_tx: engine.sender().queue.next_seq(),
            next_rx: engine.expected(),
            local: self.key.local,
            peer: self.key.peer,
            transport: C::NAME,
            flags,
            tos: Some(self.key.tos),
        }
    }

    /// Returns what is special about the connection, if anything is.
    ///
    /// Any context.
    pub(super) fn detail(&self) -> Option<Detail> {
        let state = self.state.lock();
        let up = state.engine.state() == State::Up;
        let link = state.link.as_deref().filter(|_| up);

        C::detail(&self.key, link, &state.settings)
    }

    /// Adds what was counted.
    ///
    /// Any context.
    pub(super) fn count(&self, to: &mut Counters) {
        to.add(self.state.lock().engine.stats());
    }

    /// Tells each message that was not sent yet or, if `sent`, was sent and not acknowledged.
    ///
    /// Any context. Tells with nothing locked; what comes and goes meanwhile may be missed.
    pub(super) fn for_each_message(&self, sent: bool, tell: &mut dyn FnMut(&Listed)) {
        self.for_each_entry(
            |entry, is_sent| {
                let message = entry.message().filter(|_| is_sent == sent)?;
                Some(Listed {
                    seq: entry.seq(),
                    len: message.payload().len(),
                    local: self.key.local,
                    local_port: message.source().port,
                    peer: self.key.peer,
                    peer_port: message.dest().port,
                    flags: 0,
                    tos: self.key.tos,
                })
            },
            tell,
        );
    }

    /// Calls `look` with each entry of the queue, and whether it was sent, and `tell` with what it returns;
    /// that with nothing locked. There may be many: the lock, and interrupts, are held up for a few at a
    /// time. One that overtakes others in between may be missing, and one that it overtakes be told twice.
    pub(super) fn for_each_entry<R>(
        &self,
        mut look: impl FnMut(&Entry<Outgoing>, bool) -> Option<R>,
        mut tell: impl FnMut(&R),
    ) {
        let mut next = Some(0);

        while let Some(seq) = next.take() {
            let mut found: [Option<R>; CHUNK] = [const { None }; CHUNK];
            {
                let state = self.state.lock();
                let queue = &state.engine.sender().queue;
                let start = queue.index_of(seq);

                for (offset, slot) in found.iter_mut().enumerate() {
                    let index = start.saturating_add(offset);
                    let Some((entry, is_sent)) = queue.get(index) else {
                        break;
                    };
                    *slot = look(entry, is_sent);
                    next = Some(entry.seq().saturating_add(1));
                }
                next = next.filter(|&seq| seq < queue.next_seq());
            }
            found.iter().flatten().for_each(&mut tell);
        }
    }
}
