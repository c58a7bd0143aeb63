// SPDX-License-Identifier: GPL-2.0

//! A world: all nodes, the network between them, and time.

use crate::check::Books;
use crate::config::{Config, Kind};
use crate::net::Net;
use crate::node::{AnyPath, Node};
use crate::ours::World;
use crate::queue::{At, Cm, End, Event, Queue};
use crate::rng::Rng;
use rds_proto::conn::State;
use rds_proto::error::DropReason;
use rds_proto::stats::Counters;
use rds_proto::wire::{PrivateData, RejectDatum};

/// Events that a world may take to come to rest; more means that it never will.
const REST_LIMIT: u64 = 3_000_000;

/// What a run did.
#[derive(Clone, Copy, Debug, Default)]
pub struct Report {
    /// Events and frames handled.
    pub steps: u64,
    /// Messages received.
    pub messages: u64,
    /// Connections killed.
    pub kills: u64,
    /// Crashes.
    pub crashes: u64,
    /// Messages cancelled.
    pub cancelled: u64,
    /// Messages with operations dropped at a reconnect.
    pub dropped: u64,
    /// Messages lost by the known fault of rebooted C senders.
    pub excused: u64,
    /// Counters of all paths of our nodes that lived to the end.
    pub counters: Counters,
}

/// A world.
#[derive(Debug)]
pub struct Sim {
    config: Config,
    q: Queue,
    rng: Rng,
    net: Net,
    books: Books,
    nodes: Vec<Node>,
    report: Report,
    /// Applications and faults are on.
    live: bool,
}

impl Sim {
    /// The world of a seed.
    pub fn new(seed: u64) -> Self {
        let config = Config::from_seed(seed);
        let nodes = (0..)
            .zip(&config.nodes)
            .map(|(index, kind)| Node::new(index, *kind, &config, 0))
            .collect();
        let mut sim = Self {
            q: Queue::default(),
            rng: Rng::new(seed),
            net: Net::new(config.delay),
            books: Books::default(),
            nodes,
            report: Report::default(),
            live: true,
            config,
        };
        for index in 0..sim.config.nodes.len() {
            sim.q.after(index as u64, Event::App(index as u8));
        }
        sim.q.after(100_000, Event::Fault);
        sim
    }

    /// Runs for about `steps` steps, lets the world come to rest, and checks that nothing is missing.
    pub fn run(mut self, steps: u64) -> Report {
        while self.report.steps < steps {
            let Some(event) = self.q.take() else {
                panic!("nothing happens any more");
            };
            self.step(event);
        }
        self.live = false;
        self.rest();
        self.check_blocked(Kind::Ours);
        // What demands no acknowledgement stays unacknowledged: demand it.
        for index in 0..self.nodes.len() {
            let (node, mut w) = self.split(index);
            node.flush(&mut w);
        }
        self.rest();
        self.check_blocked(Kind::C);
        self.books.at_rest();
        self.check_paths();
        self.report.messages = self.books.received;
        self.report.cancelled = self.books.cancelled;
        self.report.dropped = self.books.dropped;
        self.report.excused = self.books.excused;
        self.report
    }

    fn split(&mut self, index: usize) -> (&mut Node, World<'_>) {
        (
            &mut self.nodes[index],
            World {
                config: &self.config,
                q: &mut self.q,
                rng: &mut self.rng,
                net: &mut self.net,
                books: &mut self.books,
                faults: self.live,
            },
        )
    }

    /// Lets everything happen that is still to happen, and everything be read.
    fn rest(&mut self) {
        let mut events = 0;
        loop {
            while let Some(event) = self.q.take() {
                self.step(event);
                events += 1;
                assert!(events < REST_LIMIT, "no rest: {:?}", self.nodes);
                if events % 1024 == 0 {
                    self.read_all();
                }
            }
            self.read_all();
            if self.q.is_empty() {
                return;
            }
        }
    }

    fn read_all(&mut self) {
        for index in 0..self.nodes.len() {
            let (node, mut w) = self.split(index);
            node.read_all(&mut w);
        }
    }

    fn step(&mut self, event: Event) {
        self.report.steps += 1;
        match event {
            Event::Deliver(end) => self.deliver(end),
            Event::Process(end) => self.process(end),
            Event::Complete(end) => self.complete(end),
            Event::Lost(end) => self.lost(end),
            Event::Closed(at, conn) => self.closed(at, conn),
            Event::Cm(number, step) => self.cm(number, step),
            Event::Timer(at) => self.timer(at),
            Event::App(index) => self.app(index),
            Event::Fault => self.fault(),
            Event::Boot(index) => self.boot(index),
        }
    }

    /// The node at `at`, if it still lives that life.
    fn at(&self, at: At) -> Option<usize> {
        let node = &self.nodes[usize::from(at.node)];
        (node.alive && node.epoch == at.epoch).then_some(usize::from(at.node))
    }

    fn deliver(&mut self, end: End) {
        let at = self.net.side(end).at;
        let eager = self.nodes[usize::from(at.node)].shared.kind == Kind::Ours;
        let count = self.net.deliver(&mut self.q, &mut self.rng, end, eager);
        self.report.steps += count;
    }

    fn process(&mut self, end: End) {
        let frames = self.net.take_arrived(end);
        let (at, conn) = (self.net.side(end).at, self.net.side(end).conn);
        self.report.steps += frames.len() as u64;
        let Some(index) = self.at(at) else {
            return;
        };
        let (node, mut w) = self.split(index);
        match &mut node.paths[usize::from(at.path)] {
            AnyPath::Ours(p) => {
                p.frames(&mut w, &mut node.shared, conn, frames);
                p.follow(&mut w, &mut node.shared);
            }
            AnyPath::C(p) if p.is_current(conn) => p.frames(&mut w, &mut node.shared, frames),
            AnyPath::C(_) => {}
        }
        node.spread_map(&mut w);
    }

    fn complete(&mut self, end: End) {
        let id = self.net.take_completed(end);
        let (at, conn) = (self.net.side(end).at, self.net.side(end).conn);
        let (Some(index), Some(id)) = (self.at(at), id) else {
            return;
        };
        if !self.net.side(end).open {
            return;
        }
        let (node, mut w) = self.split(index);
        match &mut node.paths[usize::from(at.path)] {
            AnyPath::Ours(p) => p.on_sent(&mut w, &mut node.shared, conn, id),
            AnyPath::C(p) if p.is_current(conn) => p.on_sent(&mut w, &mut node.shared, id),
            AnyPath::C(_) => {}
        }
    }

    fn lost(&mut self, end: End) {
        let (at, conn) = (self.net.side(end).at, self.net.side(end).conn);
        if let Some(index) = self.at(at) {
            self.lose(index, at, conn, DropReason::Transport);
        }
    }

    fn lose(&mut self, index: usize, at: At, conn: u32, why: DropReason) {
        let (node, mut w) = self.split(index);
        match &mut node.paths[usize::from(at.path)] {
            AnyPath::Ours(p) => p.on_lost(&mut w, &mut node.shared, conn, why),
            AnyPath::C(p) if why == DropReason::Rejected => {
                p.on_rejected(&mut w, conn, RejectDatum::RETRY);
            }
            AnyPath::C(p) => p.on_lost(&mut w, conn),
        }
    }

    fn closed(&mut self, at: At, conn: u32) {
        let Some(index) = self.at(at) else {
            return;
        };
        let (node, mut w) = self.split(index);
        match &mut node.paths[usize::from(at.path)] {
            AnyPath::Ours(p) => p.on_closed(&mut w, &mut node.shared, conn),
            AnyPath::C(p) => p.on_closed(&mut w, &mut node.shared, conn),
        }
        node.spread_map(&mut w);
    }

    fn timer(&mut self, at: At) {
        let Some(index) = self.at(at) else {
            return;
        };
        let (node, mut w) = self.split(index);
        match &mut node.paths[usize::from(at.path)] {
            AnyPath::Ours(p) => p.pump(&mut w, &mut node.shared),
            AnyPath::C(p) => p.on_timer(&mut w, &mut node.shared),
        }
    }

    fn app(&mut self, index: u8) {
        if !self.live {
            return;
        }
        let node = usize::from(index);
        if self.nodes[node].alive {
            let (node, mut w) = self.split(node);
            node.act(&mut w);
        }
        let delay = self.rng.range(500, 4 * self.config.delay);
        self.q.after(delay, Event::App(index));
    }

    fn boot(&mut self, index: u8) {
        let old = &self.nodes[usize::from(index)];
        let (kind, epoch) = (old.shared.kind, old.epoch + 1);
        self.nodes[usize::from(index)] = Node::new(index, kind, &self.config, epoch);
    }

    /// Chance strikes.
    fn fault(&mut self) {
        if !self.live {
            return;
        }
        let delay = self.rng.range(100_000, 60 * self.config.delay + 1_000_000);
        self.q.after(delay, Event::Fault);
        if self.rng.one_in(self.config.faults.kill) && !self.net.links.is_empty() {
            // One of the latest connections; the older ones are dead.
            let count = self.net.links.len();
            let link = count - 1 - self.rng.index(count.min(2 * self.nodes.len()));
            let quiet = self.rng.one_in(3);
            self.report.kills += 1;
            self.net
                .kill(&mut self.q, &mut self.rng, link as u32, quiet);
        }
        if self.rng.one_in(self.config.faults.crash) {
            let index = self.rng.index(self.nodes.len());
            if self.nodes[index].alive {
                self.crash(index);
            }
        }
    }

    fn crash(&mut self, index: usize) {
        self.report.crashes += 1;
        for link in 0..self.net.links.len() as u32 {
            for side in 0..2 {
                let end = End { link, side };
                let s = self.net.side(end);
                if s.open && usize::from(s.at.node) == index {
                    self.net.close(&mut self.q, &mut self.rng, end, true);
                }
            }
        }
        for number in 0..self.books.msgs.len() as u32 {
            let msg = &self.books.msgs[number as usize];
            if usize::from(msg.socket.0) == index && !msg.done {
                self.books.forget(number);
            }
        }
        let (node, mut w) = self.split(index);
        node.crash(&mut w);
    }

    fn cm(&mut self, number: u32, step: Cm) {
        let attempt = &self.net.attempts[number as usize];
        let (from, conn) = (attempt.from, attempt.conn);
        match step {
            Cm::Request => self.request(number),
            Cm::Reply => self.reply(number),
            Cm::Active => {
                let reply = attempt.reply;
                if attempt.abandoned {
                    return;
                }
                if let Some(index) = self.at(from) {
                    let (node, mut w) = self.split(index);
                    let shared = &mut node.shared;
                    match &mut node.paths[usize::from(from.path)] {
                        AnyPath::Ours(p) => {
                            p.on_established(&mut w, shared, conn, reply.as_ref());
                        }
                        AnyPath::C(p) => p.on_established(&mut w, shared, conn, reply.as_ref()),
                    }
                    node.spread_map(&mut w);
                }
            }
            Cm::Confirm => {
                let Some(link) = attempt.link else {
                    return;
                };
                let end = End { link, side: 1 };
                let side = self.net.side(end);
                let (at, conn, open) = (side.at, side.conn, side.open);
                if let Some(index) = self.at(at).filter(|_| open) {
                    let (node, mut w) = self.split(index);
                    let shared = &mut node.shared;
                    match &mut node.paths[usize::from(at.path)] {
                        AnyPath::Ours(p) => p.on_established(&mut w, shared, conn, None),
                        AnyPath::C(p) => p.on_established(&mut w, shared, conn, None),
                    }
                    node.spread_map(&mut w);
                }
            }
            Cm::Void => self.void(number),
            Cm::Reject | Cm::Fail => {
                let why = match step {
                    Cm::Reject => DropReason::Rejected,
                    _ => DropReason::Transport,
                };
                if attempt.abandoned || attempt.answered {
                    return;
                }
                self.net.attempts[number as usize].answered = true;
                if let Some(index) = self.at(from) {
                    self.lose(index, from, conn, why);
                }
            }
        }
    }

    /// A request arrives.
    fn request(&mut self, number: u32) {
        let attempt = &self.net.attempts[number as usize];
        let (from, to, tos, bytes) = (attempt.from, attempt.to, attempt.tos, attempt.request);
        let index = usize::from(to);
        if !self.nodes[index].alive {
            // Nobody answers until the retries run out.
            let delay = self.rng.range(1_000_000, 60_000_000);
            self.q.after(delay, Event::Cm(number, Cm::Fail));
            return;
        }
        let mut padded = [0; 56];
        padded[..bytes.as_slice().len()].copy_from_slice(bytes.as_slice());
        let (node, mut w) = self.split(index);
        let path = node.path(&w, from.node, tos);
        let held = match &mut node.paths[path] {
            AnyPath::Ours(p) => {
                let family = crate::ours::addr(0).family();
                let request = PrivateData::parse(&padded, family).expect("long enough");
                p.on_request(&mut w, number, &request)
            }
            AnyPath::C(p) => p.on_request(&mut w, number, &padded),
        };
        node.pump(&mut w, path);
        // The dialer's patience has an end, should the node crash with the request in its hands.
        self.q.after(300_000_000, Event::Cm(number, Cm::Fail));
        if !held {
            self.net.attempts[number as usize].refused = true;
            self.net
                .cm(&mut self.q, &mut self.rng, number, Cm::Reject, false);
        }
    }

    /// Whoever has sent a request does not wait any more.
    fn void(&mut self, number: u32) {
        let attempt = &self.net.attempts[number as usize];
        let (from, to, tos) = (attempt.from, attempt.to, attempt.tos);
        let index = usize::from(to);
        if !self.nodes[index].alive {
            return;
        }
        let (node, mut w) = self.split(index);
        let path = node.path(&w, from.node, tos);
        match &mut node.paths[path] {
            AnyPath::Ours(p) => p.on_void(&mut w, &mut node.shared, number),
            AnyPath::C(p) => p.on_void(&mut w, number),
        }
    }

    /// A reply arrives at the side that dialed.
    fn reply(&mut self, number: u32) {
        let attempt = &self.net.attempts[number as usize];
        let (from, conn, abandoned) = (attempt.from, attempt.conn, attempt.abandoned);
        let Some(link) = attempt.link else {
            return;
        };
        let end = End { link, side: 0 };
        let alive = self.at(from);
        let passive_open = self.net.links[link as usize].sides[1].open;
        let Some(index) = alive.filter(|_| !abandoned && passive_open) else {
            // Stale: the side that accepted hears of it.
            self.net.side(end).open = false;
            self.net
                .lose(&mut self.q, &mut self.rng, crate::net::other(end));
            if !abandoned {
                self.q.after(1000, Event::Cm(number, Cm::Reject));
            }
            return;
        };
        self.net.attempts[number as usize].answered = true;
        let node = &mut self.nodes[index];
        match &mut node.paths[usize::from(from.path)] {
            AnyPath::Ours(p) => p.on_reply(end),
            AnyPath::C(p) => p.on_reply(end),
        }
        debug_assert_eq!(self.net.side(end).conn, conn);
        let slow = self.live && self.rng.one_in(self.config.faults.slow_cm);
        self.net
            .cm(&mut self.q, &mut self.rng, number, Cm::Active, false);
        self.net
            .cm(&mut self.q, &mut self.rng, number, Cm::Confirm, slow);
    }

    /// No sender may be left waiting for a port that is free.
    fn check_blocked(&mut self, kind: Kind) {
        for node in &self.nodes {
            if kind == Kind::Ours && node.shared.kind == Kind::C {
                continue;
            }
            for socket in &node.shared.sockets {
                assert_eq!(
                    socket.blocked, None,
                    "never woken: {socket:?} {:#?}",
                    self.nodes
                );
                assert!(
                    socket.sent.is_writable(self.config.sndbuf),
                    "never writable: {socket:?} {:?}",
                    node.paths
                );
            }
        }
    }

    /// The counters of every path agree with one another, and nothing is left in it.
    fn check_paths(&mut self) {
        for node in &mut self.nodes {
            for path in &mut node.paths {
                match path {
                    AnyPath::C(p) => assert!(p.is_idle(), "not idle: {p:?}"),
                    AnyPath::Ours(p) => {
                        let queue = &p.engine.sender().queue;
                        let left = (0..queue.len())
                            .filter_map(|i| queue.get(i))
                            .filter(|(entry, _)| entry.message().is_some())
                            .count();
                        assert_eq!(left, 0, "not idle: {p:?}");
                        assert!(p.state() != State::Closing, "never closed: {p:?}");
                        p.check_counters();
                        self.report.counters.add(p.engine.stats());
                    }
                }
            }
        }
    }
}
