// SPDX-License-Identifier: GPL-2.0

//! Any sequence of calls of a path, its frames going to a model peer.

use crate::bytes::Choices;
use rds_proto::conn::{Action, Identity, State, Verdict};
use rds_proto::error::DropReason;
use rds_proto::path::Path;
use rds_proto::send::{Body, Cancel, Data, Entry, Operation, Outcome, Payload};
use rds_proto::settings::Settings;
use rds_proto::time::Instant;
use rds_proto::wire::{Addr, Flags, Header, OwnKind, PrivateData, Version};
use std::cell::Cell;
use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::rc::Rc;

/// Pairs of sockets that messages are between.
const PAIRS: usize = 4;

#[derive(Clone, Debug)]
struct Message {
    len: u32,
    operation: Option<Operation>,
    id: u32,
    /// The number that the path knows it by.
    seq: Rc<Cell<u64>>,
}

impl Message {
    const fn pair(&self) -> usize {
        self.id as usize % PAIRS
    }
}

impl Payload for Message {
    fn len(&self) -> u32 {
        self.len
    }

    fn sport(&self) -> u16 {
        7 + self.pair() as u16
    }

    fn dport(&self) -> u16 {
        8
    }

    fn renumber(&self, seq: u64) {
        self.seq.set(seq);
    }

    fn operation(&self) -> Option<Operation> {
        self.operation
    }
}

/// What the peer and the checker know.
#[derive(Default)]
struct Peer {
    /// Message that is arriving: sequence, length and bytes so far.
    partial: Option<(u64, u32, u32)>,
    /// Last sequence received in full on this connection.
    last: u64,
    /// Last sequence received in full at all.
    highest: u64,
    /// Highest sequence begun on earlier connections.
    begun_before: u64,
    begun: u64,
    map: u32,
    /// The message received last between each pair of sockets.
    last_of: [Option<u32>; PAIRS],
    /// Work requests posted and completed.
    posted: u32,
    completed: u32,
}

impl Peer {
    /// A frame arrives, as its sender posted it.
    fn frame(&mut self, header: &[u8; 48], data: Data<'_, Message>) {
        let h = Header::parse(header).expect("a good header");
        if h.flags == Flags::CONG_BITMAP {
            assert!(self.partial.is_none(), "only between messages");
            assert_eq!((h.seq, h.len), (0, 8192));
            let Data::CongMap { offset, len } = data else {
                panic!("{data:?}");
            };
            assert_eq!((offset, len), (self.map, 4096));
            self.map = (self.map + 4096) % 8192;
            return;
        }
        let (len, offset, message) = match data {
            Data::None => (0, 0, None),
            Data::Message {
                len,
                offset,
                message,
            } => (len, offset, Some(message)),
            Data::CongMap { .. } => panic!("{h:?}"),
        };
        if h.sport == 0 && h.dport == 0 && len == 0 {
            assert_eq!(h.flags, Flags::NONE);
            return;
        }
        assert_eq!(self.map, 0, "a map is not interrupted");
        let have = match self.partial {
            None => 0,
            Some((seq, total, have)) => {
                assert_eq!((seq, total), (h.seq, h.len), "messages are not interleaved");
                have
            }
        };
        assert_eq!((offset, len), (have, (h.len - have).min(4096)));
        if have == 0 {
            assert!(h.seq > self.last, "in order");
            if let Some(message) = message {
                assert_eq!(h.seq, message.seq.get());
                let last = &mut self.last_of[message.pair()];
                assert!(last.is_none_or(|last| last < message.id), "in order");
                *last = Some(message.id);
            }
            let resent = h.seq <= self.begun_before;
            assert_eq!(h.flags.contains(Flags::RETRANSMITTED), resent);
            assert!(!resent || h.flags.contains(Flags::ACK_REQUIRED));
            self.begun = self.begun.max(h.seq);
        }
        if have + len == h.len {
            self.partial = None;
            self.last = h.seq;
            self.highest = self.highest.max(h.seq);
        } else {
            self.partial = Some((h.seq, h.len, have + len));
        }
    }

    fn reconnect(&mut self) {
        *self = Self {
            begun_before: self.begun.max(self.begun_before),
            begun: self.begun,
            highest: self.highest,
            ..Self::default()
        };
    }
}

struct Fuzz {
    path: Path<Message, Vec<Option<Entry<Message>>>>,
    settings: Settings,
    now: Instant,
    congested: bool,
    peer: Peer,
    /// Messages accepted and not ended, by number.
    open: BTreeMap<u32, Rc<Cell<u64>>>,
    next: u32,
}

/// Makes the calls that the input chooses.
pub fn operations(input: &[u8]) {
    let mut choices = Choices::new(input);
    let settings = Settings {
        send_ring: u32::from(choices.byte() % 30) + 3,
        max_unsignaled: u32::from(choices.byte() % 20),
        copied: u32::from(choices.byte()),
        ..Settings::default()
    };
    let identity = Identity {
        local: Addr::v4([10, 0, 0, 1]),
        peer: Addr::v4([10, 0, 0, 2]),
        tos: 0,
        incarnation: NonZeroU32::MIN,
    };
    let mut f = Fuzz {
        path: Path::new(identity, Vec::new(), 1),
        settings,
        now: Instant(0),
        congested: false,
        peer: Peer::default(),
        open: BTreeMap::new(),
        next: 0,
    };
    while !choices.is_empty() {
        f.step(&mut choices);
        f.check();
    }
    f.finish();
}

impl Fuzz {
    fn step(&mut self, choices: &mut Choices<'_>) {
        match choices.byte() % 12 {
            0..=2 => self.queue(choices),
            3..=4 => self.transmit(choices),
            5 => self.complete(choices),
            6 => self.acknowledge(choices),
            7 => {
                let nth = usize::from(choices.byte()) % (self.open.len() + 1);
                if let Some((&id, seq)) = self.open.iter().nth(nth) {
                    match self.path.cancel(seq.get(), |m| m.id == id) {
                        Cancel::Removed(m) => {
                            assert_eq!(m.id, id);
                            self.open.remove(&id);
                        }
                        Cancel::Sending | Cancel::Gone => {}
                    }
                }
            }
            8 => self.lose(),
            9 => self.connect(choices.byte()),
            10 => {
                self.path.queue_map();
                self.path.queue_pong(5);
                self.congested = !self.congested;
            }
            _ => {
                self.now = self.now.after(u64::from(choices.word()) << 16);
                self.path.connect(self.now);
                self.poll();
            }
        }
    }

    fn queue(&mut self, choices: &mut Choices<'_>) {
        let kind = choices.byte();
        let message = Message {
            len: [0, 1, 4096, 4097, 20_000, 30_000][usize::from(kind) % 6],
            operation: (kind >= 224).then(|| Operation {
                work_requests: u32::from(kind % 7),
                repeatable: kind % 2 == 0,
                silent: kind % 3 == 0,
                fence: false,
            }),
            id: self.next,
            seq: Rc::default(),
        };
        let (id, number) = (self.next, message.seq.clone());
        self.next += 1;
        match self.path.queue(message, kind % 5 == 0) {
            Ok(seq) => {
                number.set(seq);
                self.open.insert(id, number);
            }
            Err(m) => {
                assert_eq!(m.id, id);
                let more = self.path.sender().queue.len() + 1 + usize::from(choices.byte() % 8);
                let slots = (0..more).map(|_| None).collect();
                assert!(self.path.grow(slots).is_ok());
            }
        }
    }

    fn transmit(&mut self, choices: &mut Choices<'_>) {
        let budget = u32::from(choices.byte());
        let mut fail = u32::from(choices.byte());
        let (peer, open) = (&mut self.peer, &self.open);
        let ring = self.settings.send_ring + 1;
        self.path.transmit(&self.settings, budget, |frame| {
            if fail == 0 {
                return Err(());
            }
            fail -= 1;
            let count = match frame.body {
                Body::Operation(m) => m.operation.map_or(0, |op| op.work_requests.max(1)),
                _ => 1,
            };
            assert_eq!(frame.id, peer.posted + count - 1);
            peer.posted += count;
            assert!(peer.posted - peer.completed <= ring, "the ring overflows");
            match frame.body {
                Body::Send { header, data } => peer.frame(&header, data),
                Body::Operation(m) => {
                    assert!(peer.partial.is_none(), "ahead of its message");
                    peer.begun = peer.begun.max(open[&m.id].get());
                }
                Body::Probe => {}
            }
            Ok(())
        });
    }

    fn complete(&mut self, choices: &mut Choices<'_>) {
        let id = self.peer.completed + u32::from(choices.byte() % 8);
        if id < self.peer.posted {
            self.peer.completed = id + 1;
        }
        // What is not in flight must be ignored.
        self.path.on_sent(self.path.current(), id);
    }

    fn acknowledge(&mut self, choices: &mut Choices<'_>) {
        let header = Header {
            ack: self.peer.last.saturating_sub(u64::from(choices.byte() % 4)),
            credit: choices.byte() % 2,
            ..Header::default()
        };
        let conn = self.path.current();
        let result = self
            .path
            .on_frame(&self.settings, conn, &header.emit(), 48, |_| {
                Ok::<(), ()>(())
            });
        assert!(result.is_ok(), "{result:?}");
    }

    fn lose(&mut self) {
        self.path
            .on_lost(self.path.current(), DropReason::Transport);
        self.poll();
    }

    fn connect(&mut self, kind: u8) {
        let request = PrivateData {
            saddr: Addr::v4([10, 0, 0, 2]),
            daddr: Addr::v4([10, 0, 0, 1]),
            version: Version::V3_1,
            minors: 3,
            tos: 0,
            ack_seq: 0,
            credit: 0,
            own: (kind % 2 == 0).then_some(OwnKind {
                incarnation: NonZeroU32::MIN,
                capabilities: rds_proto::wire::Capabilities::ALL,
            }),
        };
        let verdict = self.path.on_request(&self.settings, self.now, &request);
        if let Verdict::Reject(_) = verdict {
            assert_eq!(
                self.path.state(),
                State::Dialing,
                "the smaller address wins"
            );
        }
        self.poll();
    }

    /// Does what the path wants done; dialing succeeds if the path stays with it.
    fn poll(&mut self) {
        while let Some(action) = self.path.poll(&self.settings, self.now, self.congested) {
            match action {
                Action::Close { conn, .. } => {
                    self.path
                        .on_closed(&self.settings, self.now, conn, u64::MAX)
                        .expect("it was being closed");
                    self.peer.reconnect();
                }
                Action::Accept { conn, .. } => assert!(self.path.on_established(conn, None)),
                Action::Dial { conn, .. } if conn.0 % 2 == 0 => {
                    assert!(self.path.on_established(conn, None));
                }
                Action::Dial { .. } | Action::Release { .. } => {}
            }
        }
    }

    fn reap(&mut self) {
        let (open, highest) = (&mut self.open, self.peer.highest);
        let reapable = self.path.sender().queue.is_reapable();
        self.path.reap(|m, outcome| {
            assert!(reapable);
            let seq = open.remove(&m.id).expect("one end per message").get();
            match outcome {
                Outcome::Done => assert!(seq <= highest || m.operation.is_some_and(|op| op.silent)),
                Outcome::Cancelled => {}
                Outcome::Dropped => assert!(m.operation.is_some()),
            }
        });
    }

    fn check(&mut self) {
        self.reap();
        let queue = &self.path.sender().queue;
        assert!(queue.len() <= queue.capacity());
        let messages = (0..queue.len()).filter_map(|i| queue.get(i)?.0.message());
        assert_eq!(
            messages.count(),
            self.open.len(),
            "every message is somewhere, once"
        );
    }

    fn finish(mut self) {
        self.path.stop();
        self.poll();
        let open = &mut self.open;
        self.path.drain(|m, _| {
            open.remove(&m.id).expect("one end per message");
        });
        assert!(open.is_empty());
    }
}
