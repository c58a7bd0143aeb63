// SPDX-License-Identifier: GPL-2.0

//! Sessions over several paths.
//!
//! A path is a [link](LinkConfig) in each direction. Datagrams share its queue; reliable lanes have queues
//! of their own in the adapter, which sends a segment of each in turn, and tells of a packet that has
//! arrived a round trip after it left.

use crate::events::Events;
use crate::host::{Bytes, End, LaneConfig};
use crate::link::{Fate, Link, LinkConfig, Packet};
use crate::random::Random;
use crate::SECOND;
use rds_proto::native::arrivals::Mark;
use rds_proto::native::lane::Lane;
use rds_proto::native::outbox::Record;
use rds_proto::native::session::{PacketResult, Settings, Transmit};
use rds_proto::time::Instant;
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::rc::Rc;

/// Bytes that an adapter sends for one reliable lane before it turns to the next.
const SEGMENT: u32 = 4096;

/// The port on which every message is answered.
const ECHO: u16 = 1;
/// The port of large messages.
const BULK: u16 = 2;

/// Sessions as they are set up.
#[derive(Clone, Debug)]
pub struct SessionsConfig {
    /// Pairs of hosts, each of which have one session.
    pub pairs: usize,
    /// Lanes of a session.
    pub lanes: Vec<LaneConfig>,
    /// Longest message that is small.
    pub small: u32,
    /// Queues for messages that wait, by their ports: a power of two.
    pub flows: usize,
    /// What both ends can take.
    pub settings: Settings,
}

impl SessionsConfig {
    /// One session.
    pub fn new(lanes: &[LaneConfig]) -> Self {
        Self {
            pairs: 1,
            lanes: lanes.to_vec(),
            small: 4096,
            flows: 64,
            settings: Settings::default(),
        }
    }
}

/// Which end of which session: the one that began it is 0.
type Place = (usize, usize);

/// What happens.
enum Event {
    Wake(Place),
    /// A line has sent what it was sending, of a path and a direction.
    Departed(usize, usize),
    /// A packet arrives on a lane.
    Arrives(Place, u8, bool, Rc<[u8]>),
    /// A reliable lane is done with a packet.
    Completed(Place, u8),
}

/// A packet in an adapter's queue, and how much of it has not left.
struct Posted {
    rest: u32,
    bytes: Rc<[u8]>,
}

/// What a line is sending.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Sending {
    /// A segment of the first reliable lane.
    Segment,
    /// The first datagram of the queue.
    Datagram,
}

/// One direction of a path.
struct Line {
    link: Link,
    /// Reliable packets that wait, by the lane that sends them; the first lane has the line.
    adapter: VecDeque<((Place, u8), VecDeque<Posted>)>,
    sending: Option<Sending>,
    /// What it sent last: both kinds take turns.
    last: Sending,
}

impl Line {
    /// What is to be sent next, and how long that takes. Nothing reliable leaves on a dead path.
    fn next(&self, dead: bool) -> Option<(Sending, u64)> {
        let rate = u128::from(self.link.config.rate.max(1));
        let first = self.adapter.front().and_then(|(_, queue)| queue.front());
        let segment = first.filter(|_| !dead).map(|posted| {
            let size = u128::from(posted.rest.min(SEGMENT));
            let ns = (size * u128::from(SECOND)).div_ceil(rate) as u64;
            (Sending::Segment, ns)
        });
        let datagram = self.link.serialization().map(|ns| (Sending::Datagram, ns));
        match self.last {
            Sending::Segment => datagram.or(segment),
            Sending::Datagram => segment.or(datagram),
        }
    }
}

/// See the [module](self).
pub struct Sessions {
    now: u64,
    events: Events<Event>,
    random: Random,
    config: SessionsConfig,
    /// By path and direction, which is the end that sends.
    lines: Vec<[Line; 2]>,
    /// Paths on which nothing gets through.
    dead: Vec<bool>,
    ends: Vec<[End; 2]>,
    /// Datagrams in queues.
    queued: HashMap<u64, (Place, u8, Rc<[u8]>)>,
    /// When messages left that are answered, by session and place.
    asked: BTreeMap<(usize, u32), u64>,
    /// Round trips of them, in nanoseconds.
    trips: Vec<u64>,
    /// Length of bulk messages that each session has under way, and their number.
    bulk: Option<(u32, u32)>,
    /// When bytes came at the other end, of all sessions.
    delivered: Vec<(u64, u64)>,
    packets: u64,
}

impl Sessions {
    /// Sessions over paths, on which `seed` decides all chance.
    pub fn new(seed: u64, paths: &[LinkConfig], config: SessionsConfig) -> Self {
        let line = |link: &LinkConfig| Line {
            link: Link::new(link),
            adapter: VecDeque::new(),
            sending: None,
            last: Sending::Datagram,
        };
        let end = |pair: usize, side: u32| {
            let number = 1 + 2 * pair as u32 + side;
            End::new(
                number,
                config.small,
                config.flows,
                config.settings,
                &config.lanes,
            )
        };
        let mut world = Self {
            now: 0,
            events: Events::new(),
            random: Random::new(seed),
            lines: paths.iter().map(|link| [line(link), line(link)]).collect(),
            dead: vec![false; paths.len()],
            ends: (0..config.pairs)
                .map(|pair| [end(pair, 0), end(pair, 1)])
                .collect(),
            config,
            queued: HashMap::new(),
            asked: BTreeMap::new(),
            trips: Vec::new(),
            bulk: None,
            delivered: Vec::new(),
            packets: 0,
        };
        for pair in 0..world.ends.len() {
            world.wake((pair, 0), 0);
            world.wake((pair, 1), 0);
        }
        world
    }

    /// Now, in nanoseconds.
    pub const fn now(&self) -> u64 {
        self.now
    }

    /// Packets sent.
    pub const fn packets(&self) -> u64 {
        self.packets
    }

    /// When bytes came at the ends, and how many.
    pub fn delivered(&self) -> &[(u64, u64)] {
        &self.delivered
    }

    /// A lane of the end that began a session.
    pub fn lane(&self, pair: usize, lane: u8) -> &Lane<impl rds_proto::native::lane::Medium> {
        let way = self.ends[pair][0].session.lane(lane);
        way.expect("it is never taken down").lane()
    }

    /// Whether a path lets nothing through from now on.
    pub fn set_dead(&mut self, path: usize, dead: bool) {
        self.dead[path] = dead;
        for direction in 0..2 {
            self.start(path, direction);
        }
    }

    /// Each session has `count` messages of `len` bytes under way from now on.
    pub fn set_bulk(&mut self, len: u32, count: u32) {
        self.bulk = (count != 0).then_some((len, count));
        for pair in 0..self.ends.len() {
            for _ in 0..count {
                self.ends[pair][0].send(BULK, len);
            }
            self.pump((pair, 0));
        }
    }

    /// Sends a message that is answered with one of the same length.
    pub fn ask(&mut self, pair: usize, len: u32) {
        let place = self.ends[pair][0].send(ECHO, len);
        self.asked.insert((pair, place), self.now);
        self.pump((pair, 0));
    }

    /// Sends a message on a port that is neither that of answers nor that of bulk.
    pub fn send(&mut self, pair: usize, side: usize, port: u16, len: u32) {
        assert!(port > BULK, "the port has another use");
        self.ends[pair][side].send(port, len);
        self.pump((pair, side));
    }

    /// Messages that are on their way.
    pub fn outstanding(&self) -> u64 {
        let sum = |at: usize| {
            let counts = self
                .ends
                .iter()
                .map(|ends| (ends[at].counts().0, ends[1 - at].counts().1));
            counts.map(|(sent, came)| sent - came).sum::<u64>()
        };
        sum(0) + sum(1)
    }

    /// Checks that nothing is under way or kept any more.
    pub fn check_rest(&mut self) {
        assert_eq!(self.outstanding(), 0, "messages are missing");
        for end in self.ends.iter_mut().flatten() {
            assert!(end.session.outbox().is_empty(), "{:?}", end.session);
            assert_eq!((end.session.inbox().stored(), end.sockets.held), (0, 0));
            for lane in 0..self.config.lanes.len() as u8 {
                let way = end.session.lane(lane).expect("it is there");
                assert_eq!(way.lane().in_flight(), 0, "{:?}", end.session);
            }
        }
    }

    /// Puts all sessions away, whose lanes are taken down. Bytes that are left of one.
    pub fn park(&mut self) -> usize {
        for end in self.ends.iter_mut().flatten() {
            for lane in 0..self.config.lanes.len() as u8 {
                end.session.lane_down(Instant(self.now), lane);
            }
            assert!(end.session.park().is_some(), "{:?}", end.session);
        }
        size_of::<rds_proto::native::session::Memory>()
    }

    fn wake(&mut self, at: Place, when: u64) {
        let end = &mut self.ends[at.0][at.1];
        if when < end.wake {
            end.wake = when;
            self.events.add(when.max(self.now), Event::Wake(at));
        }
    }

    /// Sends what may be sent, and takes what has come.
    fn pump(&mut self, at: Place) {
        let now = Instant(self.now);
        for lane in 0..self.config.lanes.len() as u8 {
            loop {
                let end = &mut self.ends[at.0][at.1];
                let mut bytes = Bytes::default();
                match end.session.transmit(now, lane, &[], &mut bytes) {
                    Transmit::Packet { len, .. } => {
                        assert_eq!(bytes.0.len(), len as usize);
                        self.post(at, lane, bytes.0.into());
                    }
                    Transmit::NeedsRecord => {
                        let count = end.session.outbox().records_wanted();
                        let more = vec![Record::default(); count];
                        assert!(end.session.outbox().grow_records(more).is_ok());
                    }
                    Transmit::Idle | Transmit::Blocked => break,
                }
            }
        }
        let room = u32::from(self.config.settings.room);
        let end = &mut self.ends[at.0][at.1];
        assert_eq!(end.session.ended(), None, "{:?}", end.session);
        let lanes = 0..self.config.lanes.len() as u8;
        let in_flight: u32 = lanes
            .filter_map(|lane| end.session.lane(lane))
            .map(|way| u32::from(way.lane().in_flight()))
            .sum();
        // Requests for acknowledgements need no room.
        let most = room + 4 * self.config.lanes.len() as u32;
        assert!(in_flight <= most, "{in_flight} packets under way");
        assert!(end.sockets.held <= self.config.settings.limits.quota);
        let mut done = 0;
        end.session.outbox().reap(|message, _| {
            done += u32::from(message.port == BULK);
        });
        if let (Some((len, _)), true) = (self.bulk, done != 0) {
            for _ in 0..done {
                self.ends[at.0][at.1].send(BULK, len);
            }
            return self.pump(at);
        }
        let next = self.ends[at.0][at.1].session.next_timeout();
        if let Some(Instant(time)) = next {
            self.wake(at, time.max(self.now + 1));
        }
    }

    fn post(&mut self, at: Place, lane: u8, bytes: Rc<[u8]>) {
        self.packets += 1;
        let config = self.config.lanes[usize::from(lane)];
        let size = bytes.len() as u32;
        let line = &mut self.lines[config.path][at.1];
        if config.controller.is_some() {
            let packet = Packet {
                flow: 0,
                number: self.packets,
                chunk: 0,
                size,
                at_once: false,
                marked: false,
            };
            let (queued, dropped) = (line.link.queued(), line.link.dropped());
            line.link.enqueue(self.now, packet);
            if line.link.dropped() == dropped {
                assert!(line.link.queued() > queued);
                self.queued.insert(self.packets, (at, lane, bytes));
            }
        } else {
            if let Some(way) = self.ends[at.0][at.1].session.lane_mut(lane) {
                way.lane_mut().on_posted();
            }
            let posted = Posted { rest: size, bytes };
            match line.adapter.iter_mut().find(|(of, _)| *of == (at, lane)) {
                Some((_, queue)) => queue.push_back(posted),
                None => line.adapter.push_back(((at, lane), [posted].into())),
            }
        }
        self.start(config.path, at.1);
    }

    /// Starts a line that is idle and has something to send.
    fn start(&mut self, path: usize, direction: usize) {
        let line = &mut self.lines[path][direction];
        if line.sending.is_some() {
            return;
        }
        let Some((what, ns)) = line.next(self.dead[path]) else {
            return;
        };
        line.sending = Some(what);
        line.last = what;
        self.events
            .add(self.now + ns, Event::Departed(path, direction));
    }

    fn departed(&mut self, path: usize, direction: usize) {
        let dead = self.dead[path];
        let line = &mut self.lines[path][direction];
        let rtt = line.link.config.rtt;
        let sent = line.sending.take();
        let is_datagram = sent == Some(Sending::Datagram);
        // A segment that was leaving when the path died is sent again.
        let turn = match is_datagram || dead {
            true => None,
            false => line.adapter.pop_front(),
        };
        if let Some((of, mut queue)) = turn {
            let posted = queue
                .front_mut()
                .expect("a lane without packets has no turn");
            posted.rest = posted.rest.saturating_sub(SEGMENT);
            let whole = if posted.rest == 0 {
                queue.pop_front()
            } else {
                None
            };
            if !queue.is_empty() {
                line.adapter.push_back((of, queue));
            }
            if let Some(posted) = whole {
                let (at, lane) = of;
                let to = (at.0, 1 - at.1);
                let arrives = Event::Arrives(to, lane, false, posted.bytes);
                self.events.add(self.now + rtt / 2, arrives);
                self.events.add(self.now + rtt, Event::Completed(at, lane));
            }
        } else if let Some(packet) = is_datagram.then(|| line.link.dequeue()).flatten() {
            let fate = line.link.fate(&mut self.random);
            let (at, lane, bytes) = self.queued.remove(&packet.number).expect("it was queued");
            if let (Fate::Arrives { after, twice }, false) = (fate, dead) {
                let to = (at.0, 1 - at.1);
                for _ in 0..=u32::from(twice) {
                    let arrives = Event::Arrives(to, lane, packet.marked, Rc::clone(&bytes));
                    self.events.add(self.now + after, arrives);
                }
            }
        }
        self.start(path, direction);
    }

    fn arrives(&mut self, at: Place, lane: u8, marked: bool, bytes: &[u8]) {
        if self.dead[self.config.lanes[usize::from(lane)].path] {
            return;
        }
        let mark = if marked { Mark::Ce } else { Mark::NotEct };
        let end = &mut self.ends[at.0][at.1];
        let went = end
            .session
            .on_packet(Instant(self.now), lane, mark, bytes, &mut end.sockets);
        let fine = matches!(
            went,
            PacketResult::Taken | PacketResult::Duplicate | PacketResult::Refused
        );
        assert!(fine, "{went:?}");
        for (port, place, len) in end.take() {
            self.delivered.push((self.now, u64::from(len)));
            if port != ECHO {
                continue;
            }
            if at.1 == 1 {
                self.ends[at.0][1].send(ECHO, len);
            } else if let Some(left) = self.asked.remove(&(at.0, place)) {
                self.trips.push(self.now - left);
            }
        }
        self.pump(at);
    }

    /// Lets the next thing happen; false if there is none before `limit`.
    pub fn step(&mut self, limit: u64) -> bool {
        let Some((now, event)) = self.events.next(limit) else {
            self.now = self.now.max(limit);
            return false;
        };
        self.now = now;
        match event {
            Event::Wake(at) => {
                let end = &mut self.ends[at.0][at.1];
                // One that was replaced by an earlier one does no harm.
                if end.wake <= now {
                    end.wake = u64::MAX;
                    self.pump(at);
                }
            }
            Event::Departed(path, direction) => self.departed(path, direction),
            Event::Arrives(at, lane, marked, bytes) => self.arrives(at, lane, marked, &bytes),
            Event::Completed(at, lane) => {
                if let Some(way) = self.ends[at.0][at.1].session.lane_mut(lane) {
                    way.lane_mut().on_completed(1);
                }
                self.pump(at);
            }
        }
        true
    }

    /// Lets time pass until `end`.
    pub fn run_until(&mut self, end: u64) {
        while self.step(end) {}
    }

    /// Asks one message after the other, of `len` bytes, until `end`: the median of their round trips, 0 if
    /// none was answered.
    pub fn ping_until(&mut self, end: u64, len: u32) -> u64 {
        let before = self.trips.len();
        while self.now < end {
            if self.asked.is_empty() {
                self.ask(0, len);
            }
            if !self.step(end) {
                break;
            }
        }
        crate::median(&mut self.trips[before..])
    }
}
