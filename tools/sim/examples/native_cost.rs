// SPDX-License-Identifier: GPL-2.0

//! Carries small messages from one session of the native protocol to another, and counts instructions: what
//! a message costs is the difference of two runs, so that the start does not count. The copies of data do.
//!
//! ```text
//! cargo run --release -p rds_sim --example native_cost -- 600
//! ```
//!
//! Arguments: most instructions that a message may take, messages a packet, bytes a message. It is a failure
//! if a message takes more.

use rds_proto::native::arrivals::{AckPolicy, Mark};
use rds_proto::native::inbox::{Info, Slot, Upper};
use rds_proto::native::lane::{Lane, Reliable, Role};
use rds_proto::native::outbox::{Entry, Flow, Outbox, Record};
use rds_proto::native::session::{Session, Settings, Sink, Transmit, Types, Way};
use rds_proto::native::wire::MapUpdate;
use rds_proto::send::Payload;
use rds_proto::time::Instant;
use std::num::NonZeroU32;

/// Packets before those whose instructions count, and their number.
const FIRST: u64 = 8;
const PACKETS: u64 = 24;

struct Message {
    port: u16,
    len: u32,
}

impl Payload for Message {
    fn len(&self) -> u32 {
        self.len
    }

    fn sport(&self) -> u16 {
        self.port
    }

    fn dport(&self) -> u16 {
        7
    }
}

/// Counts what is handed up.
struct Up(u64);

impl Upper for Up {
    type Stored = ();
    type Slots = Vec<Option<Slot<()>>>;
    type Bits = Vec<u64>;

    fn deliver(&mut self, info: &Info, _data: &[u8]) -> bool {
        self.0 += u64::from(info.len);
        true
    }

    fn store(&mut self, _info: &Info) -> Option<()> {
        None
    }

    fn put(&mut self, _stored: &mut (), _offset: u32, _data: &[u8]) {}

    fn words<'a>(&self, _stored: &'a mut ()) -> &'a mut [u64] {
        &mut []
    }

    fn deliver_stored(&mut self, _info: &Info, _stored: ()) {}

    fn map(&mut self, _update: &MapUpdate<'_>, _clear: u16) {}

    fn slots(&mut self, _count: usize) -> Option<Self::Slots> {
        None
    }

    fn bits(&mut self, _count: usize) -> Option<Vec<u64>> {
        None
    }
}

struct Kinds;

impl Types for Kinds {
    type Medium = Reliable;
    type Message = Message;
    type Entries = Vec<Entry<Message>>;
    type Records = Vec<Record>;
    type Flows = Vec<Flow>;
    type Lanes = Vec<Option<Way<Reliable>>>;
    type Upper = Up;
}

struct Packet {
    bytes: Vec<u8>,
    data: [u8; 4096],
}

impl Sink<Message> for Packet {
    fn bytes(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    fn data(&mut self, _message: &Message, _offset: u32, len: u32) {
        self.bytes.extend_from_slice(&self.data[..len as usize]);
    }
}

fn session(number: u32, settings: Settings) -> Session<Kinds> {
    let outbox = Outbox::new(
        (0..1024).map(|_| Entry::default()).collect(),
        vec![Record::default(); 64],
        vec![Flow::default(); 64],
        4096,
        0,
    );
    let incarnation = NonZeroU32::new(number).expect("above 0");
    let lanes = vec![None, None].into_iter().collect();
    let mut session = Session::new(number, incarnation, settings, outbox, lanes);
    let lane = Lane::new(Reliable, Role::Any, 65536, u16::MAX, 1_000_000_000);
    assert!(session.lane_up(0, lane).is_ok());
    session
}

fn main() -> std::process::ExitCode {
    let mut args = std::env::args()
        .skip(1)
        .map(|arg| arg.parse().expect("a number"));
    let most: u64 = args.next().unwrap_or(u64::MAX);
    let depth: u64 = args.next().unwrap_or(16);
    let len = args.next().unwrap_or(64) as u32;
    let [before, after] = [FIRST, FIRST + PACKETS].map(|packets| {
        raw_calls::instructions(|| carry(packets, depth, len)).expect("the kernel lets it count")
    });
    let each = (after - before) / (PACKETS * depth);
    println!("{each} instructions a message, {depth} messages of {len} bytes a packet");
    if each > most {
        println!("more than {most}");
        return std::process::ExitCode::FAILURE;
    }
    std::process::ExitCode::SUCCESS
}

/// Carries messages of `len` bytes, `depth` in each packet.
fn carry(packets: u64, depth: u64, len: u32) {
    let settings = Settings {
        ack: AckPolicy {
            every: 8,
            delay_ns: 1 << 40,
        },
        ..Settings::default()
    };
    let (mut a, mut b) = (session(1, settings), session(2, settings));
    let (mut up_a, mut up_b) = (Up(0), Up(0));
    let mut packet = Packet {
        bytes: Vec::with_capacity(65536),
        data: [5; 4096],
    };
    let mut done = 0_u64;
    for now in 0..packets + 4 {
        let now = Instant(now * 1000);
        // The first rounds are for the handshake.
        for n in 0..if now.0 < 4000 { 0 } else { depth } {
            let port = (n % 4) as u16;
            assert!(a.outbox().queue(Message { port, len }).is_ok());
        }
        loop {
            packet.bytes.clear();
            match a.transmit(now, 0, &[], &mut packet) {
                Transmit::Packet { .. } => {
                    b.on_packet(now, 0, Mark::NotEct, &packet.bytes, &mut up_b);
                }
                _ => break,
            }
        }
        loop {
            packet.bytes.clear();
            match b.transmit(now, 0, &[], &mut packet) {
                Transmit::Packet { .. } => {
                    a.on_packet(now, 0, Mark::NotEct, &packet.bytes, &mut up_a);
                }
                _ => break,
            }
        }
        a.outbox().reap(|_, _| done += 1);
    }
    assert_eq!(up_b.0, packets * depth * u64::from(len));
    assert!(done + 16 * depth >= packets * depth, "{done}");
}
