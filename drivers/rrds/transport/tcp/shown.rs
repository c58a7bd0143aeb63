// SPDX-License-Identifier: GPL-2.0

//! What lists show of a connection (spec-tcp-info).

use crate::key::RouteKey;
use kernel::sync::atomic::{
    ordering::Relaxed,
    Atomic, //
};
use rds_proto::uapi::info::TcpSocket;

/// What is shown. Each figure is read for itself.
pub(crate) struct Shown {
    local_port: Atomic<u32>,
    peer_port: Atomic<u32>,
    header_remaining: Atomic<u32>,
    data_remaining: Atomic<u32>,
    /// Where the last message begins that was sent, and where it ends.
    begin: Atomic<u32>,
    end: Atomic<u32>,
    acked: Atomic<u32>,
}

impl Shown {
    /// Begins with nothing.
    pub(super) fn new() -> Self {
        Self {
            local_port: Atomic::new(0),
            peer_port: Atomic::new(0),
            header_remaining: Atomic::new(0),
            data_remaining: Atomic::new(0),
            begin: Atomic::new(0),
            end: Atomic::new(0),
            acked: Atomic::new(0),
        }
    }

    /// Notes the ports.
    pub(super) fn on_ports(&self, local: u16, peer: u16) {
        self.local_port.store(local.into(), Relaxed);
        self.peer_port.store(peer.into(), Relaxed);
    }

    /// Returns the peer's port.
    pub(super) fn peer_port(&self) -> u16 {
        u16::try_from(self.peer_port.load(Relaxed)).unwrap_or(0)
    }

    /// Notes what is missing of the message that is coming in.
    pub(super) fn on_received(&self, (header, data): (u32, u32)) {
        self.header_remaining.store(header, Relaxed);
        self.data_remaining.store(data, Relaxed);
    }

    /// Notes where the message lies in the stream that is being sent.
    pub(super) fn on_sent(&self, begin: u32, end: u32) {
        self.begin.store(begin, Relaxed);
        self.end.store(end, Relaxed);
    }

    /// Notes what is acknowledged.
    pub(super) fn on_acked(&self, una: u32) {
        self.acked.store(una, Relaxed);
    }

    /// Returns the record of a connection between the addresses of a path.
    pub(crate) fn record(&self, key: &RouteKey) -> TcpSocket {
        let port = |port: &Atomic<u32>| u16::try_from(port.load(Relaxed)).unwrap_or(0);

        TcpSocket {
            local: key.local,
            local_port: port(&self.local_port),
            peer: key.peer,
            peer_port: port(&self.peer_port),
            header_remaining: self.header_remaining.load(Relaxed).into(),
            data_remaining: self.data_remaining.load(Relaxed).into(),
            last_sent_next: self.begin.load(Relaxed),
            last_expected: self.end.load(Relaxed),
            last_seen: self.acked.load(Relaxed),
            tos: Some(0),
        }
    }
}
