// SPDX-License-Identifier: GPL-2.0

//! A world: all nodes, the lanes between them, and time.

use super::config::Config;
use super::link::{Link, Side};
use super::node::{Message, Node, Packet};
use super::report::Report;
use crate::check::Books;
use crate::config::Kind;
use crate::rng::Rng;
use rds_proto::native::arrivals::Mark;
use rds_proto::native::cc::Config as ControlConfig;
use rds_proto::native::inbox::Info;
use rds_proto::native::lane::{Datagram, Lane};
use rds_proto::native::outbox::{Cancel, Entry, Flow, Record};
use rds_proto::native::session::{PacketResult, Transmit};
use rds_proto::native::wire::Reason;
use rds_proto::send::Outcome;
use rds_proto::time::Instant;
use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};

/// Events that a world may take to come to rest; more means that it never will.
const REST_LIMIT: u64 = 3_000_000;

/// What a lane takes for its round trip at first.
const RTT_NS: u64 = 1_000_000;

/// Something that happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    /// A packet arrives at an end of a link, in a life of the link.
    Deliver(usize, Side, u32),
    /// A datagram arrives: the link, its place in the air, and a life of the link.
    Land(usize, usize, u32),
    /// A link is silent no more, in a life of it.
    Heal(usize, u32),
    /// The end hears of a completed packet.
    Complete(usize, Side, u32),
    /// The end hears that the link is broken.
    Lost(usize, Side, u32),
    /// The link is there again.
    Up(usize),
    /// A timer of a session.
    Timer(usize, usize),
    /// The sockets of a node do something.
    App(usize),
    /// Chance decides on a fault.
    Fault,
    /// A node comes back.
    Boot(usize),
}

/// A world.
#[derive(Debug)]
pub struct World {
    config: Config,
    heap: BinaryHeap<Reverse<(u64, u32, Event)>>,
    count: u32,
    now: u64,
    rng: Rng,
    books: Books,
    /// Messages that are acknowledged and wait at their receiver for others, which it has in memory.
    waiting: HashMap<u32, usize>,
    nodes: Vec<Node>,
    links: Vec<Link>,
    report: Report,
    live: bool,
}

impl World {
    /// The world of a seed.
    pub fn new(seed: u64) -> Self {
        let config = Config::from_seed(seed);
        let mut rng = Rng::new(seed);
        let nodes: Vec<Node> = (0..config.nodes)
            .map(|index| Node::new(&config, index, 0, &mut rng))
            .collect();
        let mut links = Vec::new();
        for a in 0..config.nodes {
            for b in a + 1..config.nodes {
                for lane in 0..config.lanes.len() {
                    links.push(Link {
                        nodes: [a, b],
                        lane: lane as u8,
                        datagrams: config.lanes[lane].controller.is_some(),
                        ..Link::default()
                    });
                }
            }
        }
        let mut world = Self {
            config,
            heap: BinaryHeap::new(),
            count: 0,
            now: 0,
            rng,
            books: Books::default(),
            waiting: HashMap::new(),
            nodes,
            links,
            report: Report::default(),
            live: true,
        };
        for link in 0..world.links.len() {
            world.come(link);
        }
        for node in 0..world.nodes.len() {
            world.after(node as u64, Event::App(node));
        }
        world.after(1_000_000, Event::Fault);
        world
    }

    /// Runs for about `steps` steps, lets the world come to rest, and checks that nothing is missing.
    pub fn run(mut self, steps: u64) -> Report {
        while self.report.steps < steps {
            self.next();
        }
        self.live = false;
        for node in &mut self.nodes {
            for end in &mut node.ends {
                end.holder.fails = 0;
            }
        }
        self.config.faults.grow = 0;
        for link in 0..self.links.len() {
            if self.hostile(self.links[link].nodes[1]) {
                self.kill(link);
            }
        }
        let limit = self.report.steps + REST_LIMIT;
        while !self.heap.is_empty() {
            assert!(self.report.steps < limit, "no rest: {:?}", self.nodes);
            self.next();
        }
        self.check_rest();
        self.report.messages = self.books.received;
        self.report.cancelled = self.books.cancelled;
        self.report
    }

    fn hostile(&self, node: usize) -> bool {
        self.config.faults.change != 0 && node + 1 == self.nodes.len()
    }

    fn after(&mut self, delay: u64, event: Event) {
        self.count = self.count.wrapping_add(1);
        self.heap
            .push(Reverse((self.now + delay, self.count, event)));
    }

    fn next(&mut self) {
        let Reverse((time, _, event)) = self.heap.pop().expect("something happens");
        self.now = time;
        self.report.steps += 1;
        match event {
            Event::Deliver(link, side, life) => self.deliver(link, side, life),
            Event::Land(link, at, life) => self.land(link, at, life),
            Event::Heal(link, life) => self.heal(link, life),
            Event::Complete(link, side, life) => self.complete(link, side, life),
            Event::Lost(link, side, life) => self.lost(link, side, life),
            Event::Up(link) => self.up(link),
            Event::Timer(node, peer) => {
                self.nodes[node].ends[peer].timer = u64::MAX;
                self.pump(node, peer);
            }
            Event::App(node) => self.app(node),
            Event::Fault => self.fault(),
            Event::Boot(node) => {
                let epoch = self.nodes[node].epoch + 1;
                self.nodes[node] = Node::new(&self.config, node, epoch, &mut self.rng);
                if !self.live {
                    for end in &mut self.nodes[node].ends {
                        end.holder.fails = 0;
                    }
                }
                for link in 0..self.links.len() {
                    if self.links[link].nodes.contains(&node) {
                        self.come(link);
                    }
                }
            }
        }
    }

    /// A link will be there again, if both of its nodes are.
    fn come(&mut self, link: usize) {
        let l = &mut self.links[link];
        let alive = l.nodes.iter().all(|node| self.nodes[*node].alive);
        // In the end a hostile node is left alone: its sessions may have come to disagree for good.
        let foe = self.config.faults.change != 0 && l.nodes[1] + 1 == self.nodes.len();
        if l.may_come() && !l.coming && alive && (self.live || !foe) {
            l.coming = true;
            let delay = self.rng.range(1, 20 * self.config.delay);
            self.after(delay, Event::Up(link));
        }
    }

    fn up(&mut self, link: usize) {
        let now = Instant(self.now);
        let l = &mut self.links[link];
        l.coming = false;
        let foe = self.config.faults.change != 0 && l.nodes[1] + 1 == self.nodes.len();
        let outlives = l.outlives();
        if (foe && !self.live)
            || !l.may_come()
            || l.nodes.iter().any(|node| !self.nodes[*node].alive)
        {
            return;
        }
        let [a, b] = l.nodes;
        let (lane, number) = (self.config.lanes[usize::from(l.lane)], l.lane);
        let busy = [(a, b), (b, a)]
            .iter()
            .any(|(n, p)| self.nodes[*n].ends[*p].session.ended().is_some());
        if busy {
            self.come(link);
            return;
        }
        let was_up = l.up;
        if outlives {
            self.report.outlived += 1;
        } else {
            l.life += 1;
            l.works = true;
            l.queues.iter_mut().for_each(|q| q.clear());
            l.air.clear();
            l.silent = false;
        }
        l.up = [true; 2];
        for (node, peer, up) in [(a, b, was_up[0]), (b, a, was_up[1])] {
            if up {
                continue;
            }
            if self.nodes[node].park(&self.config, peer) {
                self.report.parked += 1;
            }
            let datagram = lane.controller.map(|kind| {
                let config = ControlConfig::new(lane.max_packet, self.rng.bits() as u32);
                Datagram::new(kind, &config, now)
            });
            let made = Lane::new(datagram, lane.role, lane.max_packet, lane.limit, RTT_NS);
            let end = &mut self.nodes[node].ends[peer];
            assert!(end.session.lane_up(number, made).is_ok());
        }
        self.pump(a, b);
        self.pump(b, a);
    }

    fn link_of(&self, node: usize, peer: usize, lane: u8) -> usize {
        let (a, b) = (node.min(peer), node.max(peer));
        // The pairs come in order, with all of their lanes.
        let before = a * (2 * self.nodes.len() - a - 1) / 2;
        (before + b - a - 1) * self.config.lanes.len() + usize::from(lane)
    }

    /// Sends what there is to send, and hands up what has come.
    fn pump(&mut self, node: usize, peer: usize) {
        if !self.nodes[node].alive {
            return;
        }
        let now = Instant(self.now);
        for lane in 0..self.config.lanes.len() as u8 {
            let link = self.link_of(node, peer, lane);
            loop {
                let mut packet = Packet(Vec::new(), self.nodes[node].address);
                let settings = self.config.settings;
                // A hostile peer may say that it takes longer packets than it does.
                let taken = match self.hostile(peer) {
                    true => u32::MAX,
                    false => settings.max_packet,
                };
                let map = self.nodes[node].map.clone();
                let end = &mut self.nodes[node].ends[peer];
                let built = end.session.transmit(now, lane, &map, &mut packet);
                match built {
                    Transmit::Packet { len, .. } => {
                        assert_eq!(len as usize, packet.0.len());
                        let max = self.config.lanes[usize::from(lane)].max_packet;
                        assert!(len <= max.min(taken), "too long");
                        if let Some(way) = end.session.lane_mut(lane) {
                            way.lane_mut().on_posted();
                        }
                        self.report.packets += 1;
                        self.post(link, node, packet.0);
                    }
                    Transmit::NeedsRecord => {
                        if self.rng.one_in(self.config.faults.grow) {
                            // It is tried again when something happens.
                            self.after(50_000, Event::Timer(node, peer));
                            break;
                        }
                        let count = end.session.outbox().records_wanted();
                        let more = vec![Record::default(); count];
                        assert!(end.session.outbox().grow_records(more).is_ok());
                    }
                    Transmit::Idle | Transmit::Blocked => break,
                }
            }
        }
        self.settle(node, peer);
    }

    /// Notes what is done and what has come, checks what is bounded, and sets the timer.
    fn settle(&mut self, node: usize, peer: usize) {
        let foe = self.hostile(node) || self.hostile(peer);
        let epoch = self.nodes[node].epoch;
        let limits = self.config.settings.limits;
        self.look_at_lanes(node, peer);
        // A life that is over may have acknowledged what it had in memory.
        let life = self.nodes[peer].incarnation(peer);
        let lives = self.nodes[peer].alive;
        let end = &mut self.nodes[node].ends[peer];
        let known = end.session.peer().map(|p| p.incarnation);
        let over = !lives || known != Some(life);
        let (books, waiting) = (&mut self.books, &mut self.waiting);
        end.session.outbox().reap(|message, outcome| {
            if outcome == Outcome::Done && !foe {
                if books.msgs[message.number as usize].received != 0 {
                    books.done(message.number);
                } else if over {
                    books.forget(message.number);
                } else {
                    waiting.insert(message.number, peer);
                }
            }
        });
        assert!(end.session.inbox().stored() <= 2 * u32::from(limits.window));
        for (info, data) in std::mem::take(&mut end.holder.delivered) {
            if !foe {
                let number = receive(books, &info, &data, epoch);
                if waiting.remove(&number).is_some() && !books.msgs[number as usize].done {
                    books.done(number);
                }
            }
        }
        if let Some(reason) = end.session.ended() {
            let fault = matches!(reason, Reason::Violation | Reason::Conflict);
            assert!(foe || !fault, "{reason:?}: {end:?}");
            self.report.ended += 1;
        }
        self.give_up(node, peer);
        let end = &mut self.nodes[node].ends[peer];
        let has_work = end.session.lanes() != 0;
        let next = end.session.next_timeout().filter(|_| has_work);
        if let Some(Instant(time)) = next {
            if time < end.timer {
                end.timer = time.max(self.now + 1);
                let delay = end.timer - self.now;
                self.after(delay, Event::Timer(node, peer));
            }
        }
    }

    /// What is under way is bounded by the room that the peer has, and by what needs none.
    fn look_at_lanes(&mut self, node: usize, peer: usize) {
        let room = u32::from(self.config.settings.room.max(1));
        let session = &self.nodes[node].ends[peer].session;
        let lanes = self.config.lanes.len() as u8;
        let ways = (0..lanes).filter_map(|lane| session.lane(lane));
        let mut in_flight = 0;
        for way in ways {
            in_flight += u32::from(way.lane().in_flight());
            self.report.quarantined += u64::from(way.lane().is_quarantined());
        }
        let most = room + 8 * u32::from(lanes);
        assert!(
            in_flight <= most || self.hostile(peer),
            "{in_flight} under way"
        );
    }

    /// Lanes that are dead go, and with a session that has ended all of its lanes.
    fn give_up(&mut self, node: usize, peer: usize) {
        for lane in 0..self.config.lanes.len() as u8 {
            let link = self.link_of(node, peer, lane);
            let side = self.links[link].side(node);
            let session = &self.nodes[node].ends[peer].session;
            let dead = session.lane(lane).is_some_and(|way| way.is_dead());
            if self.links[link].up[side] && (dead || session.ended().is_some()) {
                // What was said last still arrives.
                let kept = [usize::MAX; 2];
                self.links[link].kill(kept);
                let life = self.links[link].life;
                let delay = self.rng.range(1, 4 * self.config.delay);
                self.after(delay, Event::Lost(link, 1 - side, life));
                self.take_down(link, side);
            }
        }
    }

    fn post(&mut self, link: usize, node: usize, mut packet: Vec<u8>) {
        if self.hostile(node) && self.rng.one_in(self.config.faults.change) {
            self.report.changed += 1;
            for _ in 0..self.rng.range(1, 3) {
                let at = self.rng.index(packet.len());
                match self.rng.below(6) {
                    0 => packet.truncate(at),
                    1 => packet[at] = self.rng.bits() as u8,
                    2 => packet.insert(at, self.rng.bits() as u8),
                    3 => packet[at] = [0, 1, 0x7f, 0x80, 0xff][self.rng.index(5)],
                    4 => {
                        let tail = packet[at.max(16).min(packet.len())..].to_vec();
                        packet.extend(tail);
                    }
                    _ => packet[at] ^= 1 << self.rng.below(8),
                }
                if packet.is_empty() {
                    break;
                }
            }
        }
        let l = &mut self.links[link];
        if !l.works {
            return;
        }
        let to = 1 - l.side(node);
        if l.datagrams {
            return self.throw(link, to, packet);
        }
        l.queues[to].push_back(packet);
        let delay = self.rng.range(self.config.delay / 4, self.config.delay);
        l.last[to] = l.last[to].max(self.now + delay);
        let (life, delay) = (l.life, l.last[to] - self.now);
        self.after(delay, Event::Deliver(link, to, life));
    }

    /// Sends a datagram, which may be lost, come twice, or be overtaken.
    fn throw(&mut self, link: usize, to: Side, packet: Vec<u8>) {
        let (life, silent) = (self.links[link].life, self.links[link].silent);
        let delay = self.rng.range(1, self.config.delay);
        self.after(delay, Event::Complete(link, 1 - to, life));
        if silent || self.rng.one_in(self.config.faults.lose) {
            self.report.lost += 1;
            return;
        }
        let twice = self.rng.one_in(self.config.faults.double);
        self.report.doubled += u64::from(twice);
        for _ in 0..=u32::from(twice) {
            let air = &mut self.links[link].air;
            air.push(Some((to, packet.clone())));
            let at = air.len() - 1;
            let delay = self.rng.range(self.config.delay / 4, self.config.delay);
            self.after(delay, Event::Land(link, at, life));
        }
    }

    fn land(&mut self, link: usize, at: usize, life: u32) {
        let l = &mut self.links[link];
        if l.life != life {
            return;
        }
        let landed = l.air.get_mut(at).and_then(Option::take);
        if l.air.iter().all(Option::is_none) {
            l.air.clear();
        }
        if let Some((side, packet)) = landed {
            self.take(link, side, &packet);
        }
    }

    /// A lane falls silent, and nobody is told.
    fn hush(&mut self, link: usize) {
        let l = &mut self.links[link];
        if !l.works || l.silent {
            return;
        }
        self.report.silences += 1;
        l.silent = true;
        let life = l.life;
        let long = [5, 50, 1000][self.rng.index(3)];
        let delay = self.rng.range(1, long * self.config.delay);
        if !l.datagrams {
            // What is on its way comes late.
            for last in &mut l.last {
                *last = (*last).max(self.now) + delay;
            }
        }
        self.after(delay, Event::Heal(link, life));
    }

    fn heal(&mut self, link: usize, life: u32) {
        let l = &mut self.links[link];
        if l.life == life {
            l.silent = false;
        }
    }

    fn deliver(&mut self, link: usize, side: Side, life: u32) {
        let l = &mut self.links[link];
        if l.life != life {
            return;
        }
        let Some(packet) = l.queues[side].pop_front() else {
            return;
        };
        if l.works {
            let delay = self.rng.range(1, self.config.delay);
            self.after(delay, Event::Complete(link, 1 - side, life));
        }
        self.take(link, side, &packet);
    }

    /// A packet has come to an end of a link.
    fn take(&mut self, link: usize, side: Side, packet: &[u8]) {
        let l = &self.links[link];
        let (node, peer, lane) = (l.nodes[side], l.nodes[1 - side], l.lane);
        let mark = match self.rng.one_in(30) {
            true if l.datagrams => Mark::Ce,
            _ => Mark::NotEct,
        };
        if !self.links[link].up[side] || !self.nodes[node].alive {
            return;
        }
        let end = &mut self.nodes[node].ends[peer];
        let went = end
            .session
            .on_packet(Instant(self.now), lane, mark, packet, &mut end.holder);
        if went == PacketResult::Refused {
            self.report.refused += 1;
        }
        self.pump(node, peer);
    }

    fn complete(&mut self, link: usize, side: Side, life: u32) {
        let l = &self.links[link];
        if l.life != life || !l.up[side] {
            return;
        }
        let (node, peer, lane) = (l.nodes[side], l.nodes[1 - side], l.lane);
        if let Some(way) = self.nodes[node].ends[peer].session.lane_mut(lane) {
            way.lane_mut().on_completed(1);
        }
        self.pump(node, peer);
    }

    fn lost(&mut self, link: usize, side: Side, life: u32) {
        let l = &self.links[link];
        if l.life == life && l.up[side] {
            self.take_down(link, side);
            let l = &self.links[link];
            let (node, peer) = (l.nodes[side], l.nodes[1 - side]);
            self.pump(node, peer);
        }
    }

    fn take_down(&mut self, link: usize, side: Side) {
        let l = &mut self.links[link];
        l.up[side] = false;
        let (node, peer, lane) = (l.nodes[side], l.nodes[1 - side], l.lane);
        let end = &mut self.nodes[node].ends[peer];
        assert!(end.session.lane_down(Instant(self.now), lane).is_some());
        self.come(link);
    }

    fn kill(&mut self, link: usize) {
        let l = &mut self.links[link];
        if !l.works {
            return;
        }
        let kept = [0, 1].map(|side| self.rng.index(l.queues[side].len() + 1));
        l.kill(kept);
        let life = l.life;
        for side in 0..2 {
            let delay = self.rng.range(1, 30 * self.config.delay);
            self.after(delay, Event::Lost(link, side, life));
        }
    }

    fn fault(&mut self) {
        if !self.live {
            return;
        }
        let delay = self.rng.range(20_000, 20 * self.config.delay + 200_000);
        self.after(delay, Event::Fault);
        if self.rng.one_in(self.config.faults.kill) {
            self.report.kills += 1;
            let link = self.rng.index(self.links.len());
            self.kill(link);
        }
        if self.rng.one_in(self.config.faults.silence) {
            let link = self.rng.index(self.links.len());
            self.hush(link);
        }
        if self.rng.one_in(self.config.faults.remake) {
            let link = self.rng.index(self.links.len());
            let side = self.rng.index(2);
            self.remake(link, side);
        }
        if self.rng.one_in(self.config.faults.crash) {
            let node = self.rng.index(self.nodes.len());
            if self.nodes[node].alive {
                self.crash(node);
            }
        }
    }

    /// An end takes its lane down and up again, and nothing tells the other one.
    fn remake(&mut self, link: usize, side: Side) {
        let l = &self.links[link];
        if !(l.works && l.datagrams && l.up == [true; 2]) {
            return;
        }
        self.report.remade += 1;
        self.take_down(link, side);
    }

    fn crash(&mut self, node: usize) {
        self.report.crashes += 1;
        self.nodes[node].alive = false;
        for link in 0..self.links.len() {
            if self.links[link].nodes.contains(&node) {
                let side = self.links[link].side(node);
                // Nobody tells the other end of a lane of datagrams, and what is on its way comes.
                if self.links[link].works && !self.links[link].datagrams {
                    self.kill(link);
                }
                self.links[link].up[side] = false;
            }
        }
        for number in 0..self.books.msgs.len() as u32 {
            let msg = &self.books.msgs[number as usize];
            let waited = self.waiting.get(&number) == Some(&node);
            if (usize::from(msg.socket.0) == node || waited) && !msg.done {
                self.books.forget(number);
            }
        }
        let delay = self.rng.range(1, 200 * self.config.delay);
        self.after(delay, Event::Boot(node));
    }

    fn app(&mut self, node: usize) {
        if !self.live {
            return;
        }
        let delay = self.rng.range(500, 4 * self.config.delay);
        self.after(delay, Event::App(node));
        if !self.nodes[node].alive {
            return;
        }
        let peer = (node + 1 + self.rng.index(self.nodes.len() - 1)) % self.nodes.len();
        for _ in 0..self.rng.range(1, 12) {
            self.send(node, peer);
        }
        if self.rng.one_in(self.config.faults.cancel) {
            self.cancel(node, peer);
        }
        if self.rng.one_in(self.config.faults.congest) {
            let port = (self.rng.below(4) * 5000 + self.rng.below(30)) as u16;
            self.nodes[node].map[usize::from(port >> 3)] ^= 1 << (port & 7);
            for other in (0..self.nodes.len()).filter(|n| *n != node) {
                self.nodes[node].ends[other].session.map_changed(port);
                self.pump(node, other);
            }
        }
        if self.rng.one_in(20) {
            self.nodes[node].address += 1;
            for other in (0..self.nodes.len()).filter(|n| *n != node) {
                self.nodes[node].ends[other].session.addresses_changed();
                self.pump(node, other);
            }
        }
        if self.rng.one_in(50) {
            let outbox = self.nodes[node].ends[peer].session.outbox();
            let _ = outbox.grow_flows(vec![Flow::default(); 1 << self.rng.below(6)]);
            self.nodes[node].ends[peer].session.trim();
        }
        self.pump(node, peer);
    }

    fn send(&mut self, node: usize, peer: usize) {
        if self.nodes[node].ends[peer].session.outbox().len() as usize >= self.config.depth {
            return;
        }
        let socket = self.rng.index(self.config.sockets) as u8;
        let dport = 100 + self.rng.below(3) as u16;
        let len = match self.rng.below(4) {
            0 => self.rng.below(u64::from(self.config.max_len) + 1),
            1 => u64::from(self.config.max_len),
            _ => self.rng.below(200).min(u64::from(self.config.max_len)),
        } as u32;
        let epoch = self.nodes[node].epoch;
        let from = (node as u8, socket, u32::from(epoch));
        let to = (peer as u8, dport, 0);
        let number = self.books.accept(Kind::Ours, epoch, from, to, len, None, 0);
        if self.hostile(node) || self.hostile(peer) {
            // Nobody is owed anything.
            self.books.cancel(number);
        }
        let mut message = Message {
            number,
            len,
            ports: (1000 + u16::from(socket), dport),
        };
        let end = &mut self.nodes[node].ends[peer];
        loop {
            match end.session.outbox().queue(message) {
                Ok(ticket) => {
                    end.tickets.push((ticket, number));
                    if end.tickets.len() > 64 {
                        end.tickets.remove(0);
                    }
                    return;
                }
                Err(back) => {
                    let count = end.session.outbox().entries_wanted();
                    let more = (0..count).map(|_| Entry::default()).collect();
                    assert!(end.session.outbox().grow_entries(more).is_ok());
                    message = back;
                }
            }
        }
    }

    fn cancel(&mut self, node: usize, peer: usize) {
        let end = &mut self.nodes[node].ends[peer];
        if end.tickets.is_empty() {
            return;
        }
        let at = self.rng.index(end.tickets.len());
        let (ticket, number) = end.tickets.swap_remove(at);
        match end.session.outbox().cancel(ticket) {
            Cancel::Unknown => {}
            Cancel::Now(message) => {
                assert_eq!(message.number, number);
                if !self.books.msgs[number as usize].done {
                    self.books.cancel(number);
                }
            }
            Cancel::Later => {
                if !self.books.msgs[number as usize].done {
                    self.books.cancel(number);
                }
            }
        }
    }

    fn check_rest(&mut self) {
        self.books.at_rest();
        for node in 0..self.nodes.len() {
            for peer in (0..self.nodes.len()).filter(|peer| *peer != node) {
                if self.hostile(node) || self.hostile(peer) {
                    continue;
                }
                let map = self.nodes[peer].map.clone();
                let address = self.nodes[peer].address;
                let end = &mut self.nodes[node].ends[peer];
                assert!(end.session.outbox().is_empty(), "not empty: {end:?}");
                assert!(!end.session.outbox().has_work());
                assert_eq!(end.session.inbox().stored(), 0, "stored: {end:?}");
                assert_eq!(end.session.outbox().records_in_use(), 0, "records: {end:?}");
                assert_eq!(end.session.lanes(), self.config.lanes.len());
                for lane in 0..self.config.lanes.len() as u8 {
                    let way = end.session.lane(lane).expect("all are up");
                    assert_eq!(way.lane().in_flight(), 0, "in flight: {end:?}");
                }
                assert!(end.holder.map == map, "the map differs");
                assert_eq!(end.holder.address, address, "the address differs");
            }
        }
    }
}

/// Enters a message that has come in the books, after a look at its data.
fn receive(books: &mut Books, info: &Info, data: &[u8], epoch: u16) -> u32 {
    let number = match info.ext {
        [99, a, b, c, d, ..] => u32::from_le_bytes([a, b, c, d]),
        _ => u32::from_le_bytes(data[..4].try_into().expect("four")),
    };
    assert_eq!(data.len(), info.len as usize);
    for (at, byte) in (0..).zip(data) {
        assert_eq!(*byte, Message::byte(number, at), "message {number} at {at}");
    }
    books.receive(number, epoch);
    number
}
