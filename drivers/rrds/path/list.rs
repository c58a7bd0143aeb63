// SPDX-License-Identifier: GPL-2.0

//! What is told of a path in listings (spec §4.10).

use super::Path;
use crate::{
    info::{
        Connection,
        Listed,
        RdmaConnection, //
    },
    message::Endpoint,
    socket::seam::RouteKey, //
};
use kernel::fmt;
use rds_proto::{
    conn::State,
    stats::Counters, //
};

/// As log lines name a path.
impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let RouteKey {
            local, peer, tos, ..
        } = self.key;

        write!(f, "{local:?} to {peer:?}, tos {tos}")
    }
}

impl Path {
    /// Returns the record of the path.
    ///
    /// Any context.
    pub(crate) fn record(&self) -> Connection {
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
            transport: "infiniband",
            flags,
            tos: self.key.tos,
        }
    }

    /// Returns the record of what is special about RDMA.
    ///
    /// Any context.
    pub(crate) fn rdma_record(&self) -> RdmaConnection {
        let state = self.state.lock();
        let up = state.engine.state() == State::Up;
        let none = RdmaConnection {
            local: self.key.local,
            peer: self.key.peer,
            tos: self.key.tos,
            ..RdmaConnection::default()
        };

        match &state.link {
            Some(link) if up => RdmaConnection {
                sgid: *link.way().source.as_bytes(),
                dgid: *link.way().destination.as_bytes(),
                sl: link.way().service_level,
                max_send_wr: state.settings.send_ring,
                max_recv_wr: link.receives(),
                max_send_sge: link.send_pieces(),
                ..none
            },
            _ => none,
        }
    }

    /// Adds what was counted.
    ///
    /// Any context.
    pub(crate) fn count(&self, to: &mut Counters) {
        to.add(self.state.lock().engine.stats());
    }

    /// Tells each message that was not sent yet or, if `sent`, was sent and not acknowledged.
    ///
    /// Any context. Tells with the path's lock held.
    pub(crate) fn for_each_message(&self, sent: bool, tell: &mut dyn FnMut(&Listed)) {
        let state = self.state.lock();
        let queue = &state.engine.sender().queue;
        let end = |addr, port| Endpoint { addr, port };

        for index in 0..queue.len() {
            let Some((entry, is_sent)) = queue.get(index) else {
                return;
            };
            let Some(message) = entry.message().filter(|_| is_sent == sent) else {
                continue;
            };
            tell(&Listed {
                seq: entry.seq(),
                len: message.payload().len(),
                local: end(self.key.local, message.source().port),
                peer: end(self.key.peer, message.dest().port),
                tos: self.key.tos,
            });
        }
    }
}
