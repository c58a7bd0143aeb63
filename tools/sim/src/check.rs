// SPDX-License-Identifier: GPL-2.0

//! What must hold at every step.
//!
//! A stream is what one socket, in one life, sends to one destination with one type of service. The
//! books know of every message whether it was accepted, cancelled, received and acknowledged, and
//! panic, naming the message, as soon as an entry contradicts a promise of RDS.

use crate::config::Kind;
use rds_proto::send::Operation;
use std::collections::HashMap;

/// A message in the books.
#[derive(Clone, Copy, Debug)]
pub struct Msg {
    /// Its stream.
    pub stream: u32,
    /// Its place in the stream.
    pub index: u32,
    /// Length in bytes.
    pub len: u32,
    /// Sending socket: node, index, and life of the socket.
    pub socket: (u8, u8, u32),
    /// Path of the sending node.
    pub path: u8,
    /// It carries an operation that cannot be repeated.
    pub operation: bool,
    /// Its operation is all: the receiver's software sees nothing of it.
    pub silent: bool,
    /// The application gave it up.
    pub cancelled: bool,
    /// It was dropped at a reconnect, which was told.
    pub dropped: bool,
    /// Its loss is the fault of a C sender (see [`Books::quirk`]).
    pub excused: bool,
    /// One more than the life of the receiver that last received it; 0 for none.
    pub received: u32,
    /// Its sender was told that it is done with.
    pub done: bool,
}

/// A stream in the books.
#[derive(Clone, Debug)]
struct Stream {
    kind: Kind,
    /// Life of the sending node.
    epoch: u16,
    messages: Vec<u32>,
    /// Life of the receiver that `next` belongs to.
    receiver: u32,
    /// Place in the stream that is expected next.
    next: u32,
    /// All messages before this place are settled for good.
    settled: u32,
}

/// Name of a stream: socket, destination node, port, type of service.
type StreamKey = (u8, u8, u32, u8, u16, u8);

/// The books.
#[derive(Debug, Default)]
pub struct Books {
    /// All messages ever accepted.
    pub msgs: Vec<Msg>,
    streams: Vec<Stream>,
    names: HashMap<StreamKey, u32>,
    /// Messages accepted and not done with.
    pub open: u64,
    /// Messages received.
    pub received: u64,
    /// Messages lost by the known fault of C.
    pub excused: u64,
    /// Messages cancelled.
    pub cancelled: u64,
    /// Messages dropped at a reconnect.
    pub dropped: u64,
}

impl Books {
    /// Enters a message that was accepted and returns its number.
    #[allow(clippy::too_many_arguments)]
    pub fn accept(
        &mut self,
        kind: Kind,
        epoch: u16,
        socket: (u8, u8, u32),
        to: (u8, u16, u8),
        len: u32,
        operation: Option<Operation>,
        path: u8,
    ) -> u32 {
        let key = (socket.0, socket.1, socket.2, to.0, to.1, to.2);
        let streams = &mut self.streams;
        let stream = *self.names.entry(key).or_insert_with(|| {
            streams.push(Stream {
                kind,
                epoch,
                messages: Vec::new(),
                receiver: 0,
                next: 0,
                settled: 0,
            });
            streams.len() as u32 - 1
        });
        let number = self.msgs.len() as u32;
        let entry = &mut self.streams[stream as usize];
        self.msgs.push(Msg {
            stream,
            index: entry.messages.len() as u32,
            len,
            socket,
            path,
            operation: operation.is_some(),
            silent: operation.is_some_and(|op| op.silent && len == 0),
            cancelled: false,
            dropped: false,
            excused: false,
            received: 0,
            done: false,
        });
        entry.messages.push(number);
        self.open += 1;
        number
    }

    /// Takes back the message entered last: it was refused after all.
    pub fn refuse(&mut self, number: u32) {
        assert_eq!(number as usize + 1, self.msgs.len());
        let msg = self.msgs.pop().expect("there is one");
        self.streams[msg.stream as usize].messages.pop();
        self.open -= 1;
    }

    fn say(&self, number: u32) -> String {
        let msg = &self.msgs[number as usize];
        let stream = &self.streams[msg.stream as usize];
        format!(
            "message {number} {msg:?} of {:?} epoch {}",
            stream.kind, stream.epoch
        )
    }

    /// Enters that the life `epoch` of the receiver received a message in full.
    pub fn receive(&mut self, number: u32, epoch: u16) {
        let life = u32::from(epoch) + 1;
        let msg = self.msgs[number as usize];
        assert!(msg.received != life, "received twice: {}", self.say(number));
        assert!(
            msg.received <= life,
            "received by a life that is over: {}",
            self.say(number)
        );
        let stream = &mut self.streams[msg.stream as usize];
        if stream.receiver != life {
            // Another life gets again what was not acknowledged to the last one.
            stream.receiver = life;
            stream.next = stream.settled.min(msg.index);
        }
        let from = stream.next;
        stream.next = msg.index + 1;
        assert!(
            msg.index >= from,
            "out of order, {from} was next: {}",
            self.say(number)
        );
        self.msgs[number as usize].received = life;
        self.received += 1;
        let stream = &self.streams[msg.stream as usize];
        for index in from..msg.index {
            let skipped = stream.messages[index as usize];
            let skipped_msg = &self.msgs[skipped as usize];
            assert!(
                skipped_msg.is_settled(),
                "skipped {}\n  by {}",
                self.say(skipped),
                self.say(number)
            );
        }
        let stream = &mut self.streams[msg.stream as usize];
        while stream.settled < msg.index {
            stream.settled += 1;
        }
    }

    /// A receiver dropped a message as received before. If it was not, this is a loss, and excusable
    /// only if a C sender rebooted and numbered its messages from 1 again (spec-sequence).
    pub fn duplicate(&mut self, number: u32, epoch: u16) {
        let msg = self.msgs[number as usize];
        if msg.received == u32::from(epoch) + 1 {
            return;
        }
        let stream = &self.streams[msg.stream as usize];
        let quirk = stream.kind == Kind::C && stream.epoch > 0;
        assert!(quirk, "taken for a duplicate: {}", self.say(number));
        if !msg.excused {
            self.msgs[number as usize].excused = true;
            self.excused += 1;
        }
    }

    /// Enters that the sender was told that the peer acknowledged a message.
    pub fn done(&mut self, number: u32) {
        let msg = self.msgs[number as usize];
        assert!(!msg.done, "done twice: {}", self.say(number));
        assert!(
            msg.silent || msg.received > 0 || msg.excused,
            "acknowledged and never received: {}",
            self.say(number)
        );
        self.close(number);
    }

    /// Enters that the application cancelled a message.
    pub fn cancel(&mut self, number: u32) {
        let msg = self.msgs[number as usize];
        assert!(!msg.done, "cancelled after its end: {}", self.say(number));
        self.msgs[number as usize].cancelled = true;
        self.cancelled += 1;
        self.close(number);
    }

    /// Enters that a message with an operation was dropped at a reconnect.
    pub fn drop(&mut self, number: u32) {
        let msg = self.msgs[number as usize];
        assert!(!msg.done, "dropped after its end: {}", self.say(number));
        assert!(msg.operation, "dropped: {}", self.say(number));
        self.msgs[number as usize].dropped = true;
        self.dropped += 1;
        self.close(number);
    }

    /// Enters that the sender of a message is no more.
    pub fn forget(&mut self, number: u32) {
        let msg = &mut self.msgs[number as usize];
        if !msg.done {
            msg.cancelled = true;
            self.close(number);
        }
    }

    fn close(&mut self, number: u32) {
        self.msgs[number as usize].done = true;
        self.open -= 1;
    }

    /// After everything has come to rest: nothing may be missing.
    pub fn at_rest(&self) {
        for number in 0..self.msgs.len() as u32 {
            let msg = &self.msgs[number as usize];
            assert!(msg.done, "never done: {}", self.say(number));
            assert!(msg.is_settled(), "lost: {}", self.say(number));
        }
        assert_eq!(self.open, 0);
    }
}

impl Msg {
    /// Whether nothing is owed to the receiver any more.
    fn is_settled(&self) -> bool {
        self.received > 0 || self.silent || self.cancelled || self.dropped || self.excused
    }
}
