// SPDX-License-Identifier: GPL-2.0

//! What happens next, and when.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// One end of a connection: which connection, and which of its two sides.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct End {
    /// Index of the connection.
    pub link: u32,
    /// 0 for the side that dialed.
    pub side: u8,
}

/// A path of a node, in one of the node's lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct At {
    /// Index of the node.
    pub node: u8,
    /// Index of the path in the node.
    pub path: u8,
    /// Life of the node.
    pub epoch: u16,
}

/// Steps of a handshake, by what happens at which side.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Cm {
    /// The request arrives at the passive side.
    Request,
    /// The reply arrives at the active side.
    Reply,
    /// The active side's software hears of it.
    Active,
    /// The confirmation arrives at the passive side.
    Confirm,
    /// The rejection arrives at the active side.
    Reject,
    /// The active side hears that the attempt failed.
    Fail,
    /// The passive side hears that the active side has given up.
    Void,
}

/// Something that happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Event {
    /// Frames arrive at an end.
    Deliver(End),
    /// The end's software looks at frames that arrived.
    Process(End),
    /// The end's software hears of completed sends.
    Complete(End),
    /// The end hears that the connection is broken.
    Lost(End),
    /// A closed connection of a path has nothing in flight any more.
    Closed(At, u32),
    /// A step of an attempt to connect.
    Cm(u32, Cm),
    /// A timer of a path, or a chance to transmit again.
    Timer(At),
    /// The applications of a node do something.
    App(u8),
    /// Chance decides on a fault.
    Fault,
    /// A node comes back.
    Boot(u8),
}

/// The queue of events.
#[derive(Debug, Default)]
pub struct Queue {
    heap: BinaryHeap<Reverse<(u64, u32, Event)>>,
    count: u32,
    /// The time of the last event taken.
    pub now: u64,
}

impl Queue {
    /// Lets `event` happen `delay` nanoseconds from now.
    pub fn after(&mut self, delay: u64, event: Event) {
        self.count = self.count.wrapping_add(1);
        self.heap
            .push(Reverse((self.now + delay, self.count, event)));
    }

    /// Lets `event` happen at `time`, or now if that is past.
    pub fn at(&mut self, time: u64, event: Event) {
        self.after(time.saturating_sub(self.now), event);
    }

    /// Whether nothing is to happen any more.
    pub fn is_empty(&self) -> bool {
        self.heap.is_empty()
    }

    /// The next event.
    pub fn take(&mut self) -> Option<Event> {
        let Reverse((time, _, event)) = self.heap.pop()?;
        self.now = time;
        Some(event)
    }
}
