// SPDX-License-Identifier: GPL-2.0

//! Two paths over streams that are cut anywhere, and lost.

use super::*;
use crate::conn::{Action, ConnId, Identity, State, Verdict};
use crate::consts::HEADER_LEN;
use crate::error::DropReason;
use crate::path::{Path, Refused};
use crate::recv::Received;
use crate::send::{Body, Data, Entry, Outcome, Payload};
use crate::settings::Settings;
use crate::time::Instant;
use crate::wire::Header;
use core::num::NonZeroU32;
use std::collections::VecDeque;
use std::vec;
use std::vec::Vec;

#[test]
fn the_smaller_address_is_low() {
    let [a, b] = [[9, 255, 0, 1], [10, 0, 0, 1]].map(Addr::v4);
    assert_eq!((Role::of(a, b), Role::of(b, a)), (Role::Low, Role::High));
    // Each byte counts, and the first one most; IPv4 is below global IPv6.
    let v6 = Addr([0xfd; 16]);
    assert_eq!((Role::of(b, v6), Role::of(v6, b)), (Role::Low, Role::High));
}

/// Numbers that look random.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 20) as usize % limit
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Msg {
    id: u32,
    len: u32,
}

impl Payload for Msg {
    fn len(&self) -> u32 {
        self.len
    }

    fn sport(&self) -> u16 {
        // CAST: What counts is that there are several.
        4000 + (self.id % 3) as u16
    }

    fn dport(&self) -> u16 {
        5000
    }
}

/// A byte of a message.
fn byte(id: u32, at: u32) -> u8 {
    (id.wrapping_mul(31).wrapping_add(at.wrapping_mul(7)) >> 2) as u8
}

/// One direction of a connection.
#[derive(Default)]
struct Stream {
    bytes: VecDeque<u8>,
    /// How many bytes are to be written of the message that was begun.
    rest: u32,
    /// TCP's number behind the last byte that was written, and of the first that is not acknowledged.
    written: u32,
    una: u32,
}

/// What each host says of itself.
const HELLO: Hello = Hello {
    lanes: Some(1),
    generation: NonZeroU32::new(7),
    ports_tell: true,
};

/// A host.
struct End {
    path: Path<Msg, Vec<Option<Entry<Msg>>>>,
    identity: Identity,
    role: Role,
    /// The connection of the path, and the knock or dial that TCP has not answered.
    conn: Option<ConnId>,
    dialing: Option<ConnId>,
    accepting: Option<ConnId>,
    /// The connection that is being closed: what has come in is read first.
    closing: Option<ConnId>,
    stream: Stream,
    /// What TCP has acknowledged, and was not read.
    arrived: VecDeque<u8>,
    /// A fragment for which there was no memory.
    kept: Option<Fragment>,
    in_flight: InFlight<Vec<Option<Mark>>>,
    deframer: Deframer,
    data: Vec<u8>,
    stored: Vec<u8>,
    /// Numbers and contents of what was received.
    received: Vec<(u64, u16, Vec<u8>)>,
    told: Vec<Hello>,
    done: Vec<(u32, Outcome)>,
}

impl End {
    fn new(local: u8, peer: u8) -> Self {
        let [local_addr, peer_addr] = [local, peer].map(|n| Addr::v4([10, 0, 0, n]));
        let identity = Identity {
            local: local_addr,
            peer: peer_addr,
            tos: 0,
            incarnation: NonZeroU32::MIN,
        };

        let mut path = Path::new(identity, (0..600).map(|_| None).collect(), 16);
        path.set_stream(HELLO);

        Self {
            path,
            identity,
            role: Role::of(local_addr, peer_addr),
            conn: None,
            dialing: None,
            accepting: None,
            closing: None,
            stream: Stream::default(),
            arrived: VecDeque::new(),
            kept: None,
            in_flight: InFlight::new(vec![None; 300]),
            deframer: Deframer::default(),
            data: vec![0; 4096],
            stored: Vec::new(),
            received: Vec::new(),
            told: Vec::new(),
            done: Vec::new(),
        }
    }

    /// A connection is there: what was in the last one is gone.
    fn begin(&mut self, conn: ConnId, first: u32) {
        assert!(self.path.on_established(conn, None));
        assert!(self.arrived.is_empty() && self.kept.is_none());
        self.conn = Some(conn);
        self.stream = Stream {
            written: first,
            una: first,
            ..Stream::default()
        };
        self.in_flight.reset();
        self.deframer.reset();
    }

    fn transmit(&mut self, settings: &Settings, sndbuf: usize) {
        let (stream, in_flight) = (&mut self.stream, &mut self.in_flight);

        self.path.transmit(settings, 16, |frame| {
            if stream.bytes.len() >= sndbuf || !in_flight.has_room() {
                return Err(());
            }
            let mut ends = None;
            let before = stream.bytes.len();
            if let Body::Send { header, data } = frame.body {
                let placed = place(&header, &data);
                stream.bytes.extend(placed.head.iter().flatten());
                if let Some(begins) = placed.begins {
                    assert_eq!(stream.rest, 0, "one message after the other");
                    stream.rest = begins;
                }
                match data {
                    Data::None => {}
                    Data::Message {
                        message,
                        offset,
                        len,
                    } => {
                        let at = offset..offset + len;
                        stream.bytes.extend(at.map(|at| byte(message.id, at)));
                    }
                    Data::CongMap { len, .. } => stream.bytes.extend((0..len).map(|_| 0)),
                }
                ends = placed.ends;
            }
            let count = (stream.bytes.len() - before) as u32;
            stream.rest -= count;
            stream.written = stream.written.wrapping_add(count);
            let mark = Mark {
                end: stream.written,
                id: frame.id,
                seq: ends,
            };
            in_flight.push(mark).map_err(|_| ())
        });
    }

    /// TCP has acknowledged so many bytes more.
    fn acked(&mut self, count: u32) {
        let Some(conn) = self.conn else { return };
        self.stream.una = self.stream.una.wrapping_add(count);
        if let Some(acked) = self.in_flight.on_una(self.stream.una) {
            self.path.on_sent(conn, acked.id);
            if let Some(seq) = acked.seq {
                assert_eq!(self.path.on_acked(conn, seq), Ok(()));
            }
        }
        let done = &mut self.done;
        self.path.reap(|m, outcome| done.push((m.id, outcome)));
    }

    /// Reads what has come in, as far as there is memory.
    fn receive(&mut self, settings: &Settings, random: &mut Random) {
        let Some(conn) = self.conn else { return };
        let arrived: Vec<u8> = core::mem::take(&mut self.arrived).into();
        let mut bytes = &arrived[..];

        loop {
            let source = |to: &mut [u8]| {
                let count = to.len().min(bytes.len());
                let (head, rest) = bytes.split_at(count);
                to[..count].copy_from_slice(head);
                bytes = rest;
                count
            };
            let kept = self.kept.take();
            let Some(fragment) = kept.or_else(|| self.deframer.next(&mut self.data, source)) else {
                break;
            };
            if !self.take(settings, conn, fragment, random.below(20) == 0) {
                self.kept = Some(fragment);
                self.arrived = bytes.iter().copied().collect();
                return;
            }
        }
    }

    /// Takes the fragment at hand, unless there is no memory.
    fn take(&mut self, settings: &Settings, conn: ConnId, of: Fragment, fails: bool) -> bool {
        let (data, stored) = (&self.data, &mut self.stored);
        let (header, len) = (of.header, HEADER_LEN as u32 + of.len);
        let taken = self
            .path
            .on_frame(settings, conn, &header.emit(), len, |piece| {
                if fails {
                    return Err(());
                }
                if piece.offset == 0 {
                    stored.clear();
                }
                stored.extend_from_slice(&data[..piece.len as usize]);
                Ok(())
            });

        match taken {
            Ok(Received::Message) => {
                let stored = core::mem::take(stored);
                self.received.push((header.seq, header.sport, stored));
            }
            Ok(Received::Ping(port)) => {
                if Greeting::of(&header).is_some() {
                    self.told.push(Hello::told(&header));
                }
                self.path.queue_pong(port);
            }
            Ok(Received::Pong) => self.told.push(Hello::told(&header)),
            Ok(
                Received::Partial
                | Received::CongMap { .. }
                | Received::Ignored(crate::recv::Ignored::Duplicate),
            ) => {}
            Err(Refused::Store(())) => return false,
            other => panic!("{other:?} of {header:?}"),
        }
        true
    }

    /// Does what the path wants done about its connection.
    fn poll(&mut self, settings: &Settings, now: Instant, random: &mut Random) {
        self.close(settings, now, random);
        while let Some(action) = self.path.poll(settings, now, false) {
            match action {
                Action::Dial { conn, .. } => self.dialing = Some(conn),
                Action::Accept { conn, .. } => self.accepting = Some(conn),
                Action::Close { conn, .. } => self.closing = Some(conn),
                Action::Release { .. } => {}
            }
            self.close(settings, now, random);
        }
    }

    /// Ends the connection that is being closed, when what has come in is read.
    fn close(&mut self, settings: &Settings, now: Instant, random: &mut Random) {
        let Some(conn) = self.closing else { return };

        if self.conn == Some(conn) {
            if random.below(8) != 0 || !self.arrived.is_empty() || self.kept.is_some() {
                return;
            }
            self.conn = None;
        }
        for of in [&mut self.dialing, &mut self.accepting] {
            of.take_if(|of| *of == conn);
        }
        self.closing = None;
        let random = random.below(1 << 30) as u64;
        let closed = self.path.on_closed(settings, now, conn, random);
        if closed.is_some_and(|closed| closed.discard_partial) {
            self.stored.clear();
        }
    }

    fn lose(&mut self) {
        if let Some(conn) = self.conn {
            self.path.on_lost(conn, DropReason::Transport);
        }
    }
}

/// Both hosts.
struct World {
    ends: [End; 2],
    settings: Settings,
    now: Instant,
    random: Random,
    sndbuf: usize,
    connections: u32,
}

impl World {
    fn new(seed: u64, sndbuf: usize) -> Self {
        Self {
            ends: [End::new(1, 2), End::new(2, 1)],
            settings: Settings::default(),
            now: Instant(0),
            random: Random(seed),
            sndbuf,
            connections: 0,
        }
    }

    /// What TCP and time do.
    fn step(&mut self) {
        let Self {
            ends,
            settings,
            now,
            random,
            ..
        } = self;
        *now = now.after(100_000);
        for end in ends.iter_mut() {
            end.poll(settings, *now, random);
            end.transmit(settings, self.sndbuf);
            end.receive(settings, random);
        }
        // Who has no connection has the other one lose it.
        for (this, other) in [(0, 1), (1, 0)] {
            if ends[this].conn.is_none() {
                ends[other].lose();
            }
        }
        for (from, to) in [(0, 1), (1, 0)] {
            if ends[from].conn.is_none() || ends[to].conn.is_none() {
                continue;
            }
            let ready = ends[from].stream.bytes.len();
            let count = random.below(ready.min(9000) + 1);
            let bytes: Vec<u8> = ends[from].stream.bytes.drain(..count).collect();
            ends[to].arrived.extend(bytes);
            // It acknowledges what has come, sooner or later.
            let stream = &ends[from].stream;
            let owed = stream.written.wrapping_sub(stream.una) - stream.bytes.len() as u32;
            let count = random.below(owed as usize + 1) as u32;
            ends[from].acked(count);
        }
        self.establish();
    }

    /// Ends dials: the low one's is a connection if the other accepts it; the high one's asks for that.
    fn establish(&mut self) {
        let [low, high] = &mut self.ends;
        assert_eq!((low.role, high.role), (Role::Low, Role::High));
        if let Some(knock) = high.dialing.take() {
            low.path.call_back(self.now);
            high.path.on_lost(knock, DropReason::Rejected);
        }
        let Some(dial) = low.dialing else { return };
        if let Some(accepted) = high.accepting.take() {
            let first = self.random.below(usize::MAX) as u32;
            high.begin(accepted, first);
            low.begin(dial, first);
            low.dialing = None;
            self.connections += 1;
        } else if !matches!(high.path.state(), State::Accepting | State::Closing) {
            let asked = request(high.identity.local, high.identity.peer);
            let verdict = high.path.on_request(&self.settings, self.now, &asked);
            assert!(matches!(verdict, Verdict::Hold { .. }), "{verdict:?}");
        }
    }

    /// Whether all that end `from` has sent so far has ended.
    fn is_done(&self, from: usize, count: usize) -> bool {
        self.ends[from].done.len() == count
    }
}

/// Sends messages both ways, and loses the connection now and then; `first` sends first.
fn traffic(seed: u64, sndbuf: usize, losses: bool, first: usize) -> World {
    const COUNT: u32 = 120;
    let mut world = World::new(seed, sndbuf);
    let mut sent = [vec![], vec![]];

    for steps in 0.. {
        assert!(
            steps < 400_000,
            "seed {seed}: {} connections",
            world.connections
        );
        let from = if steps < 50 {
            first
        } else {
            world.random.below(2)
        };
        if (sent[from].len() as u32) < COUNT && world.random.below(4) == 0 {
            let id = sent[from].len() as u32;
            let len = [0, 1, 100, 4095, 4096, 4097, 9000, 70_000][world.random.below(8)];
            let end = &mut world.ends[from];
            let seq = end.path.queue(Msg { id, len }, false);
            end.path.connect(world.now);
            sent[from].push((seq.unwrap(), len));
        }
        if losses && world.random.below(300) == 0 {
            world.ends.iter_mut().for_each(End::lose);
        } else if losses && world.random.below(300) == 0 {
            // Only one of them knows.
            world.ends[from].lose();
        }
        world.step();
        let is_all = sent.iter().all(|sent| sent.len() as u32 == COUNT);
        let is_read = |end: &End| end.arrived.is_empty() && end.kept.is_none();
        let is_done = (0..2).all(|from| world.is_done(from, COUNT as usize));
        if is_all && is_done && world.ends.iter().all(is_read) {
            break;
        }
    }
    for (from, to) in [(0, 1), (1, 0)] {
        let done = &world.ends[from].done;
        assert!(done.iter().all(|&(_, outcome)| outcome == Outcome::Done));
        let got = &world.ends[to].received;
        // All of them, once, whole; each port's in order.
        assert_eq!(got.len(), COUNT as usize, "seed {seed}");
        let mut next = [0, 1, 2];
        for (_, sport, data) in got {
            let of = usize::from(*sport - 4000);
            let id = next[of];
            next[of] += 3;
            assert_eq!(data.len() as u32, sent[from][id as usize].1, "seed {seed}");
            assert!((0..).zip(data).all(|(at, &is)| is == byte(id, at)));
        }
    }
    world
}

#[test]
fn streams_that_are_cut_anywhere_carry_all() {
    for first in 0..2 {
        for seed in 1..5 {
            let world = traffic(seed, 100_000, false, first);
            assert_eq!(world.connections, 1);
            for end in &world.ends {
                // Pings, and answers to one's own. How many lanes there are is said to who has spoken.
                let first = Hello {
                    lanes: None,
                    ..HELLO
                };
                assert_eq!(end.told.first(), Some(&first));
                assert!(end.told.len() <= 4 && end.told.last() == Some(&HELLO));
            }
        }
    }
}

#[test]
fn nothing_is_lost_or_doubled_with_connections() {
    let mut connections = 0;

    for seed in 1..9 {
        connections += traffic(seed, 50_000, true, seed as usize % 2).connections;
    }
    assert!(connections > 40, "{connections}");
}

#[test]
fn it_works_where_hardly_anything_is_in_flight() {
    traffic(77, 1, false, 0);
}

#[test]
fn who_is_high_asks_until_the_other_dials() {
    let mut world = World::new(3, 1000);
    world.ends[1].path.connect(world.now);
    for _ in 0..3 {
        let World {
            ends,
            random,
            settings,
            now,
            ..
        } = &mut world;
        let high = &mut ends[1];
        let knock = loop {
            high.poll(settings, *now, random);
            match high.dialing.take() {
                Some(knock) => break knock,
                None => *now = high.path.next_timeout().unwrap(),
            }
        };
        high.path.on_lost(knock, DropReason::Rejected);
    }
    for _ in 0..1000 {
        world.step();
    }
    assert_eq!(world.connections, 1);
    assert!(world.ends.iter().all(|end| end.path.state() == State::Up));
}

#[test]
fn who_is_asked_dials_once() {
    let (mut end, settings) = (End::new(1, 2), Settings::default());
    for now in [0, 5_000_000_000] {
        end.path.call_back(Instant(now));
        // Twice is once.
        end.path.call_back(Instant(now));
        end.poll(&settings, Instant(now), &mut Random(1));
        let conn = end.dialing.take().unwrap();
        assert!(!end.path.is_idle());
        end.path.on_lost(conn, DropReason::Transport);
        end.poll(&settings, Instant(now), &mut Random(1));
        assert!(end.path.is_idle() && end.dialing.is_none());
        assert_eq!(end.path.next_timeout(), None);
        // Once more if it asks again while that ends.
        let then = Instant(now + 1_000_000_000);
        end.path.call_back(then);
        end.poll(&settings, then, &mut Random(1));
        let conn = end.dialing.take().unwrap();
        end.path.on_lost(conn, DropReason::Transport);
        end.path.call_back(then);
        end.poll(&settings, then, &mut Random(1));
        let then = Instant(now + 4_000_000_000);
        end.poll(&settings, then, &mut Random(1));
        let conn = end.dialing.take().unwrap();
        end.path.on_lost(conn, DropReason::Transport);
        end.poll(&settings, then, &mut Random(1));
        assert!(end.path.is_idle());
    }
}

#[test]
fn who_is_asked_dials_though_nobody_here_uses_the_path() {
    let (mut end, settings) = (End::new(1, 2), Settings::default());
    end.path.call_back(Instant(0));
    end.path.release();
    end.poll(&settings, Instant(0), &mut Random(1));
    let conn = end.dialing.take().unwrap();
    end.path.on_lost(conn, DropReason::Transport);
    end.path.call_back(Instant(0));
    end.poll(&settings, Instant(0), &mut Random(1));
    end.path.release();
    let then = Instant(1_000_000_000);
    end.poll(&settings, then, &mut Random(1));
    assert!(end.dialing.is_some());
}

#[test]
fn a_lane_that_is_shut_forgets_that_it_was_asked() {
    let mut end = End::new(1, 2);
    end.path.set_shut(true);
    end.path.call_back(Instant(0));
    assert!(!end.path.is_idle());
    end.path.release();
    assert!(end.path.is_idle());
}

/// Brings a connection up, unasked by this side, that is lost after `lasts`, and returns when.
fn lose_one_of_the_peer(end: &mut End, random: &mut Random, now: Instant, lasts: u64) -> Instant {
    let settings = Settings::default();
    let mut now = now;
    if end.dialing.is_none() {
        end.path.call_back(now);
        now = end.path.next_timeout().map_or(now, |due| now.max(due));
        end.poll(&settings, now, random);
    }
    let conn = end.dialing.take().unwrap();
    end.begin(conn, 1);
    end.poll(&settings, now, random);
    let then = now.after(lasts);
    end.path.on_lost(conn, DropReason::Transport);
    let closing = end.path.poll(&settings, then, false);
    assert!(matches!(closing, Some(Action::Close { .. })));
    end.closing = Some(conn);
    let closed = then.after(2_000_000_000);
    while end.path.state() == State::Closing {
        end.poll(&settings, closed, random);
    }
    closed
}

/// Dials as often as it is due, in vain, and returns how long that went on.
fn dials_for(end: &mut End, random: &mut Random, from: Instant) -> u64 {
    let settings = Settings::default();
    let mut now = from;
    while let Some(due) = end.path.next_timeout() {
        assert!(now.since(from) < 1_000_000_000_000, "no end");
        if end.path.state() == State::Down {
            now = now.max(due);
        }
        end.path.release();
        end.poll(&settings, now, random);
        if let Some(conn) = end.dialing.take() {
            end.path.on_lost(conn, DropReason::Transport);
        }
        end.poll(&settings, now, random);
    }
    assert!(end.path.is_idle());
    now.since(from)
}

#[test]
fn what_the_peer_waits_for_is_dialed_again_for_a_while() {
    const SECOND: u64 = 1_000_000_000;
    let (mut end, random) = (End::new(1, 2), &mut Random(1));
    let lost = lose_one_of_the_peer(&mut end, random, Instant(0), 10 * SECOND);
    let tried = dials_for(&mut end, random, lost);
    assert!((300 * SECOND..303 * SECOND).contains(&tried), "{tried}");

    // Once more, and for as long, when it has lasted.
    let lost = lose_one_of_the_peer(&mut end, random, lost.after(tried), 10 * SECOND);
    let tried = dials_for(&mut end, random, lost);
    assert!((300 * SECOND..303 * SECOND).contains(&tried), "{tried}");

    // What comes up and is lost at once, again and again, begins no new time, though it takes long to close.
    let first = lost.after(tried);
    let mut now = first;
    loop {
        now = lose_one_of_the_peer(&mut end, random, now, 0);
        let Some(due) = end.path.next_timeout() else {
            break;
        };
        assert!(now.since(first) < 303 * SECOND);
        if end.path.state() == State::Down {
            now = now.max(due);
            end.poll(&Settings::default(), now, random);
        }
    }
    assert!(now.since(first) >= 300 * SECOND);
}

#[test]
fn who_is_dialed_waits() {
    let mut end = End::new(2, 1);
    let settings = Settings::default();
    let asked = request(end.identity.local, end.identity.peer);
    let verdict = end.path.on_request(&settings, Instant(0), &asked);
    assert!(matches!(verdict, Verdict::Hold { .. }));
    end.poll(&settings, Instant(0), &mut Random(1));
    let conn = end.accepting.take().unwrap();
    end.begin(conn, 1);
    end.path.on_lost(conn, DropReason::Transport);
    while end.path.state() != State::Down {
        end.poll(&settings, Instant(0), &mut Random(1));
    }
    assert!(end.path.is_idle());
}

#[test]
fn who_we_are_comes_before_what_we_send() {
    let mut end = End::new(1, 2);
    for id in 0..2 {
        let seq = end.path.queue(Msg { id, len: 1 }, false);
        assert_eq!(seq, Ok(17 + u64::from(id)));
    }
    let (hello, _) = end.path.sender().queue.get(0).unwrap();
    assert!(hello.message().is_none() && hello.seq() == 16);
    // It goes when nobody wants a connection, and is said once there is one.
    end.path.release();
    assert_eq!(end.path.sender().queue.len(), 2);
    end.path.connect(Instant(0));
    end.poll(&Settings::default(), Instant(0), &mut Random(1));
    let conn = end.dialing.take().unwrap();
    end.begin(conn, 0);
    assert_eq!(end.path.sender().queue.len(), 3);
}

#[test]
fn a_new_life_is_told() {
    let mut end = End::new(1, 2);
    end.path.connect(Instant(0));
    end.poll(&Settings::default(), Instant(0), &mut Random(1));
    let conn = end.dialing.take().unwrap();
    end.begin(conn, 0);
    let header = |seq, flags| crate::wire::Header {
        seq,
        sport: 4000,
        dport: 5000,
        flags,
        ..Default::default()
    };
    let take = |end: &mut End, header: Header| {
        let settings = Settings::default();
        let bytes = header.emit();
        end.path
            .on_frame(&settings, conn, &bytes, 48, |_| Ok::<_, ()>(()))
    };
    let resent = crate::wire::Flags::RETRANSMITTED;
    let old = Received::Ignored(crate::recv::Ignored::Duplicate);
    assert_eq!(
        take(&mut end, header(9, Default::default())),
        Ok(Received::Message)
    );
    assert_eq!(take(&mut end, header(3, resent)), Ok(old));
    // The number of its life was not known, then it is another one.
    let hello = |seq, generation| Header {
        seq,
        sport: 1,
        dport: 0,
        ext: Hello {
            generation: NonZeroU32::new(generation),
            ..Hello::default()
        }
        .extensions(),
        ..Default::default()
    };
    for (generation, forgets) in [(7, false), (7, false), (0, false), (8, true), (8, false)] {
        let expected = end.path.expected();
        assert_eq!(
            take(&mut end, hello(expected, generation)),
            Ok(Received::Ping(1))
        );
        let taken = take(&mut end, header(expected, resent));
        assert_eq!(
            taken == Ok(Received::Message),
            forgets,
            "{generation}: {taken:?}"
        );
    }
    // What was never sent can't be acknowledged.
    assert!(end.path.on_acked(conn, 500).is_err());
    assert_eq!(end.path.state(), State::Closing);
}
