// SPDX-License-Identifier: GPL-2.0

//! Tests of a whole path, as scripts of what goes in and what comes out.

mod connecting;
mod lanes;
mod receiving;
mod reconnect;
mod sending;

use super::*;
use crate::consts::HEADER_LEN;
use crate::recv::Received;
use crate::send::{Body, Data, Operation};
use crate::wire::{Addr, Flags, Header, OwnKind, Version};
use core::num::NonZeroU32;
use std::vec::Vec;

/// A message of a test.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Msg {
    id: u32,
    len: u32,
    operation: Option<Operation>,
}

impl Msg {
    const fn new(id: u32, len: u32) -> Self {
        Self {
            id,
            len,
            operation: None,
        }
    }
}

impl Payload for Msg {
    fn len(&self) -> u32 {
        self.len
    }

    fn sport(&self) -> u16 {
        4001
    }

    fn dport(&self) -> u16 {
        4002
    }

    fn operation(&self) -> Option<Operation> {
        self.operation
    }
}

type Slots = Vec<Option<Entry<Msg>>>;

fn slots(n: usize) -> Slots {
    (0..n).map(|_| None).collect()
}

fn identity(local: u8, peer: u8, incarnation: u32) -> Identity {
    Identity {
        local: Addr::v4([10, 0, 0, local]),
        peer: Addr::v4([10, 0, 0, peer]),
        tos: 3,
        incarnation: NonZeroU32::new(incarnation).unwrap(),
    }
}

/// A frame that a path sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Out {
    id: u32,
    header: Header,
    /// Number of data bytes.
    data: u32,
    /// Message and offset of the data.
    of: Option<(u32, u32)>,
    signaled: bool,
    solicited: bool,
    fence: bool,
}

/// A path, with the settings and the time it is driven by.
struct Node {
    path: Path<Msg, Slots>,
    settings: Settings,
    now: Instant,
    /// A port of the peer is congested.
    congested: bool,
    /// Operations and probes posted.
    operations: Vec<u32>,
    probes: u32,
}

impl Node {
    fn new(local: u8, peer: u8, incarnation: u32) -> Self {
        Self {
            path: Path::new(identity(local, peer, incarnation), slots(8), 16),
            settings: Settings::default(),
            now: Instant(0),
            congested: false,
            operations: Vec::new(),
            probes: 0,
        }
    }

    fn poll(&mut self) -> Option<Action> {
        self.path.poll(&self.settings, self.now, self.congested)
    }

    fn send(&mut self, id: u32, len: u32) -> u64 {
        self.path.queue(Msg::new(id, len), false).unwrap()
    }

    fn cancel(&mut self, seq: u64) -> Cancel<Msg> {
        self.path.cancel(seq, |_| true)
    }

    /// All that the path wants to send, at most `budget` frames and a bare acknowledgement.
    fn transmit(&mut self, budget: u32) -> (Vec<Out>, Transmit<()>) {
        let mut out = Vec::new();
        let (operations, probes) = (&mut self.operations, &mut self.probes);
        let end = self.path.transmit(&self.settings, budget, |frame| {
            match frame.body {
                Body::Operation(m) => operations.push(m.id),
                Body::Probe => *probes += 1,
                Body::Send { header, data } => out.push(Out {
                    id: frame.id,
                    header: Header::parse(&header).unwrap(),
                    data: match data {
                        Data::None => 0,
                        Data::Message { len, .. } | Data::CongMap { len, .. } => len,
                    },
                    of: match data {
                        Data::Message {
                            message, offset, ..
                        } => Some((message.id, offset)),
                        _ => None,
                    },
                    signaled: frame.signaled,
                    solicited: frame.solicited,
                    fence: frame.fence,
                }),
            }
            Ok(())
        });
        (out, end)
    }

    fn drain(&mut self) -> Vec<Out> {
        self.transmit(u32::MAX).0
    }

    fn receive(&mut self, frame: Out) -> Result<Received, Refused<()>> {
        self.receive_header(frame.header, frame.data)
    }

    fn receive_header(&mut self, header: Header, data: u32) -> Result<Received, Refused<()>> {
        let conn = self.path.current();
        let bytes = header.emit();
        let len = HEADER_LEN as u32 + data;
        self.path
            .on_frame(&self.settings, conn, &bytes, len, |_| Ok(()))
    }

    fn reap(&mut self) -> Vec<(u32, Outcome)> {
        let mut done = Vec::new();
        let reapable = self.path.sender().queue.is_reapable();
        self.path.reap(|m, outcome| done.push((m.id, outcome)));
        assert!(reapable || done.is_empty());
        done
    }

    fn close(&mut self) -> Closed {
        let conn = self.path.current();
        assert!(matches!(self.poll(), Some(Action::Close { conn: c, .. }) if c == conn));
        self.path
            .on_closed(&self.settings, self.now, conn, 1 << 63)
            .unwrap()
    }

    /// Loses the connection, and waits out the back-off.
    fn lose(&mut self) -> Closed {
        self.path
            .on_lost(self.path.current(), DropReason::Transport);
        let closed = self.close();
        self.now = self.path.next_timeout().unwrap_or(self.now);
        closed
    }
}

/// The private data of a C peer at 10.0.0.`n`, for a node at 10.0.0.`to`.
fn c_private(n: u8, to: u8) -> PrivateData {
    PrivateData {
        saddr: Addr::v4([10, 0, 0, n]),
        daddr: Addr::v4([10, 0, 0, to]),
        version: Version::V3_1,
        minors: 3,
        tos: 3,
        ack_seq: 0,
        credit: 0,
        own: None,
    }
}

/// Connects `a`, which dials, and `b`.
fn connect(a: &mut Node, b: &mut Node) {
    a.path.connect(a.now);
    let Some(Action::Dial { conn, private }) = a.poll() else {
        panic!("no dial");
    };
    let verdict = b.path.on_request(&b.settings, b.now, &private);
    let Verdict::Hold { conn: theirs } = verdict else {
        panic!("{verdict:?}");
    };
    let Some(Action::Accept { private, .. }) = b.poll() else {
        panic!("no accept");
    };
    assert!(a.path.on_established(conn, Some(&private)));
    assert!(b.path.on_established(theirs, None));
}

/// Lets `a` accept a request of a C peer; the bitmap is sent.
fn accept_c(a: &mut Node) -> Vec<Out> {
    let Verdict::Hold { conn } = a.path.on_request(&a.settings, a.now, &c_private(2, 1)) else {
        panic!("rejected");
    };
    if matches!(a.poll(), Some(Action::Close { .. })) {
        let old = a.path.current();
        a.path.on_closed(&a.settings, a.now, old, 0).unwrap();
        a.poll();
    }
    assert!(a.path.on_established(conn, None));
    a.drain()
}

/// A connected pair, bitmaps exchanged.
fn pair() -> (Node, Node) {
    let (mut a, mut b) = (Node::new(1, 2, 100), Node::new(2, 1, 200));
    connect(&mut a, &mut b);
    exchange(&mut a, &mut b);
    (a, b)
}

/// Lets all frames through until there are none; returns the messages that `b` received.
fn exchange(a: &mut Node, b: &mut Node) -> Vec<u64> {
    let mut got = Vec::new();
    loop {
        let (to_b, to_a) = (a.drain(), b.drain());
        if to_b.is_empty() && to_a.is_empty() {
            return got;
        }
        for frame in to_b {
            a.path.on_sent(a.path.current(), frame.id);
            if b.receive(frame).unwrap() == Received::Message {
                got.push(frame.header.seq);
            }
        }
        for frame in to_a {
            b.path.on_sent(b.path.current(), frame.id);
            a.receive(frame).unwrap();
        }
    }
}
