// SPDX-License-Identifier: GPL-2.0

//! A node: its paths and its applications.

use crate::app::{port, Shared};
use crate::config::{Config, Kind};
use crate::cpeer::CPath;
use crate::ours::{Message, OurPath, World};
use crate::queue::{At, Event};
use rds_proto::send::Operation;
use rds_proto::time::Instant;

/// A path of either kind.
#[derive(Debug)]
pub enum AnyPath {
    /// The engine under test.
    Ours(Box<OurPath>),
    /// The model of C.
    C(Box<CPath>),
}

/// A node.
#[derive(Debug)]
pub struct Node {
    /// What the paths share.
    pub shared: Shared,
    /// The paths.
    pub paths: Vec<AnyPath>,
    /// Life of the node.
    pub epoch: u16,
    /// It runs.
    pub alive: bool,
}

impl Node {
    /// A node that has just come up.
    pub fn new(index: u8, kind: Kind, config: &Config, epoch: u16) -> Self {
        Self {
            shared: Shared::new(index, kind, config, epoch),
            paths: Vec::new(),
            epoch,
            alive: true,
        }
    }

    /// The path to `peer`, which is made if there is none.
    pub fn path(&mut self, w: &World<'_>, peer: u8, tos: u8) -> usize {
        let is = |p: &AnyPath| match p {
            AnyPath::Ours(p) => (p.peer, p.tos) == (peer, tos),
            AnyPath::C(p) => (p.peer, p.tos) == (peer, tos),
        };
        if let Some(index) = self.paths.iter().position(is) {
            return index;
        }
        let at = At {
            node: self.shared.node,
            path: self.paths.len() as u8,
            epoch: self.epoch,
        };
        self.paths.push(match self.shared.kind {
            Kind::Ours => AnyPath::Ours(Box::new(OurPath::new(at, peer, tos, w.q.now))),
            Kind::C => AnyPath::C(Box::new(CPath::new(at, peer, tos))),
        });
        self.paths.len() - 1
    }

    /// Lets path `index` do what there is to do.
    pub fn pump(&mut self, w: &mut World<'_>, index: usize) {
        match &mut self.paths[index] {
            AnyPath::Ours(p) => p.pump(w, &mut self.shared),
            AnyPath::C(p) => p.pump(w, &mut self.shared),
        }
        self.spread_map(w);
    }

    /// Queues the congestion map on all paths if it has changed.
    pub fn spread_map(&mut self, w: &mut World<'_>) {
        while std::mem::take(&mut self.shared.map_changed) {
            for path in &mut self.paths {
                match path {
                    AnyPath::Ours(p) => {
                        if p.engine.queue_map() {
                            p.pump(w, &mut self.shared);
                        }
                    }
                    AnyPath::C(p) => {
                        p.queue_map();
                        p.pump(w, &mut self.shared);
                    }
                }
            }
        }
    }

    /// The applications do something.
    pub fn act(&mut self, w: &mut World<'_>) {
        let index = w.rng.index(self.shared.sockets.len());
        if w.fault(w.config.faults.close) {
            self.close(w, index);
        }
        if w.fault(w.config.faults.release) {
            self.release(w);
        }
        if w.rng.one_in(w.config.reader) {
            for _ in 0..w.rng.range(1, 4) {
                if !self.shared.read(w.config, index) {
                    break;
                }
            }
            self.spread_map(w);
        }
        let peers = w.config.nodes.len() as u64;
        let me = u64::from(self.shared.node);
        let to = ((me + w.rng.range(1, peers - 1)) % peers) as u8;
        let tos = w.rng.below(u64::from(w.config.services)) as u8;
        // The last port is nobody's; port 0 is the ping.
        let to_port = match w.rng.below(16) {
            0 => 0,
            n => port((n as usize) % (w.config.sockets + usize::from(n == 1))),
        };
        if w.fault(w.config.faults.cancel) {
            self.cancel(w, index, to, to_port);
        }
        for _ in 0..w.rng.range(0, 3) {
            if !self.send(w, index, (to, to_port, tos)) {
                break;
            }
        }
    }

    /// A socket sends a message; returns whether it was accepted.
    fn send(&mut self, w: &mut World<'_>, index: usize, to: (u8, u16, u8)) -> bool {
        if self.shared.sockets[index].blocked.is_some() {
            return false;
        }
        let path = self.path(w, to.0, to.2);
        if self.shared.is_refused(index, to.0, to.1) {
            if let AnyPath::Ours(p) = &mut self.paths[path] {
                p.engine.connect(Instant(w.q.now));
            }
            self.pump(w, path);
            return false;
        }
        let len = match w.rng.below(4) {
            0 => w.rng.below(3) as u32,
            1 => w.config.max_len,
            _ => w.rng.below(u64::from(w.config.max_len)) as u32,
        };
        let overhead = self.shared.overhead(len);
        let socket = &mut self.shared.sockets[index];
        let Some(admitted) = socket.sent.admit(len, overhead, w.config.sndbuf) else {
            return false;
        };
        let accepted = self.queue(w, index, path, to, len, admitted.ack_required, true);
        if !accepted {
            self.shared.sockets[index].sent.release(len, overhead);
        }
        self.pump(w, path);
        accepted
    }

    #[allow(clippy::too_many_arguments)]
    fn queue(
        &mut self,
        w: &mut World<'_>,
        index: usize,
        path: usize,
        to: (u8, u16, u8),
        len: u32,
        ack_required: bool,
        operations: bool,
    ) -> bool {
        let (node, kind, epoch) = (self.shared.node, self.shared.kind, self.epoch);
        let socket = &self.shared.sockets[index];
        let operation = (operations && kind == Kind::Ours && w.rng.one_in(16)).then(|| Operation {
            work_requests: w.rng.range(1, 3) as u32,
            repeatable: false,
            silent: w.rng.one_in(3),
            fence: w.rng.one_in(2),
        });
        let name = (node, index as u8, socket.life);
        let sport = socket.port;
        let msg = w
            .books
            .accept(kind, epoch, name, to, len, operation, path as u8);
        let message = Message {
            msg,
            len,
            sport,
            dport: to.1,
            operation,
        };
        let accepted = match &mut self.paths[path] {
            AnyPath::Ours(p) => p.send(w, message, ack_required),
            AnyPath::C(p) => {
                p.send(w, message, ack_required);
                true
            }
        };
        if !accepted {
            w.books.refuse(msg);
        }
        accepted
    }

    /// Cancels what a socket sent, to one destination or at all.
    fn cancel_where(&mut self, w: &mut World<'_>, index: usize, to: Option<(u8, u16)>) {
        let life = self.shared.sockets[index].life;
        let name = (self.shared.node, index as u8, life);
        for path in &mut self.paths {
            match path {
                AnyPath::Ours(p) => {
                    if to.is_some_and(|(node, _)| node != p.peer) {
                        continue;
                    }
                    let queue = &p.engine.sender().queue;
                    let entries = (0..queue.len()).filter_map(|i| queue.get(i));
                    let ours = entries.filter_map(|(entry, _)| {
                        let m = entry.message()?;
                        let hit = w.books.msgs[m.msg as usize].socket == name
                            && to.is_none_or(|(_, port)| port == m.dport);
                        hit.then_some(entry.seq())
                    });
                    for seq in ours.collect::<Vec<_>>() {
                        p.cancel(w, &mut self.shared, seq);
                    }
                    p.pump(w, &mut self.shared);
                }
                AnyPath::C(p) => {
                    if to.is_some_and(|(node, _)| node != p.peer) {
                        continue;
                    }
                    for number in p.messages() {
                        let (msg, dport) = number;
                        let hit = w.books.msgs[msg as usize].socket == name
                            && to.is_none_or(|(_, port)| port == dport);
                        if hit {
                            p.cancel(w, &mut self.shared, msg);
                        }
                    }
                }
            }
        }
    }

    fn cancel(&mut self, w: &mut World<'_>, index: usize, to: u8, port: u16) {
        self.cancel_where(w, index, Some((to, port)));
    }

    fn close(&mut self, w: &mut World<'_>, index: usize) {
        self.cancel_where(w, index, None);
        self.shared.reopen(index);
        self.spread_map(w);
    }

    /// Some path is used by nobody any more. Who waits for a port of the peer does use it.
    fn release(&mut self, w: &mut World<'_>) {
        if self.paths.is_empty() || self.shared.sockets.iter().any(|s| s.blocked.is_some()) {
            return;
        }
        let index = w.rng.index(self.paths.len());
        if let AnyPath::Ours(p) = &mut self.paths[index] {
            p.release(w, &mut self.shared);
        }
    }

    /// Everything is read.
    pub fn read_all(&mut self, w: &mut World<'_>) {
        for index in 0..self.shared.sockets.len() {
            while self.shared.read(w.config, index) {}
        }
        self.spread_map(w);
    }

    /// A last message on every path, which demands an acknowledgement.
    pub fn flush(&mut self, w: &mut World<'_>) {
        for path in 0..self.paths.len() {
            let (peer, tos) = match &self.paths[path] {
                AnyPath::Ours(p) => (p.peer, p.tos),
                AnyPath::C(p) => (p.peer, p.tos),
            };
            self.queue(w, 0, path, (peer, port(0), tos), 0, true, false);
            self.pump(w, path);
        }
    }

    /// The power goes off.
    pub fn crash(&mut self, w: &mut World<'_>) {
        self.alive = false;
        let delay = w.rng.range(1_000_000, 50_000_000);
        w.q.after(delay, Event::Boot(self.shared.node));
    }
}
