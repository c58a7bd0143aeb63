// SPDX-License-Identifier: GPL-2.0

use super::*;
use crate::send::{Cancel, Operation};
use std::cell::Cell;
use std::rc::Rc;
use std::vec::Vec;

const RING: u32 = 256;
const MIB: u32 = 1 << 20;

#[derive(Clone, Debug)]
struct Msg {
    id: u32,
    len: u32,
    sport: u16,
    dport: u16,
    operation: Option<Operation>,
    seq: Rc<Cell<u64>>,
}

impl Payload for Msg {
    fn len(&self) -> u32 {
        self.len
    }

    fn sport(&self) -> u16 {
        self.sport
    }

    fn dport(&self) -> u16 {
        self.dport
    }

    fn renumber(&self, seq: u64) {
        self.seq.set(seq);
    }

    fn operation(&self) -> Option<Operation> {
        self.operation
    }
}

struct Queue {
    queue: SendQueue<Msg, Vec<Option<Entry<Msg>>>>,
    /// The numbers that the messages believe to have.
    seqs: Vec<Rc<Cell<u64>>>,
}

impl Queue {
    fn new() -> Self {
        let slots = (0..100).map(|_| None).collect();
        Self {
            queue: SendQueue::new(slots, 1000),
            seqs: Vec::new(),
        }
    }

    /// Of messages from these ports with these lengths; the number of each is its place.
    fn of(messages: &[(u16, u32)]) -> Self {
        let mut queue = Self::new();
        for &(sport, len) in messages {
            queue.push(sport, len, None);
        }
        queue
    }

    fn push(&mut self, sport: u16, len: u32, operation: Option<Operation>) {
        let seq = Rc::new(Cell::new(0));
        let message = Msg {
            id: u32::try_from(self.seqs.len()).unwrap(),
            len,
            sport,
            // As many as there are messages.
            dport: u16::try_from(self.seqs.len()).unwrap(),
            operation,
            seq: seq.clone(),
        };
        seq.set(self.queue.push(message, false).unwrap());
        self.seqs.push(seq);
    }

    /// Begins the next message, and ends it if it is to be sent in full. Returns which it is; none of a pong.
    fn begin(&mut self, ends: bool) -> Option<u32> {
        let index = self.queue.pick(RING)?;
        let entry = self.queue.ring.get(index).unwrap();
        let (id, seq) = (entry.message().map(|m| m.id), entry.seq);
        assert!(seq > self.queue.sent_high);
        if let Some(message) = entry.message() {
            assert_eq!(message.seq.get(), seq);
        }
        self.queue.start(index);
        if ends {
            self.queue.finish();
        }
        id
    }

    fn send(&mut self) -> Option<u32> {
        self.begin(true)
    }

    fn send_all(&mut self) -> Vec<u32> {
        std::iter::from_fn(|| self.send()).collect()
    }
}

#[test]
fn a_short_message_takes_the_place_of_a_long_one() {
    let mut q = Queue::of(&[(1, MIB), (1, MIB), (2, 64), (3, SHORT), (4, SHORT + 1)]);
    assert_eq!(q.send_all(), [2, 3, 0, 1, 4]);
    let seqs: Vec<_> = q.seqs.iter().map(|seq| seq.get()).collect();
    assert_eq!(seqs, [1002, 1003, 1000, 1001, 1004]);
}

#[test]
fn the_order_of_what_a_socket_sends_is_kept_whoever_it_is_for() {
    let mut q = Queue::of(&[
        (1, MIB),
        (1, 64),
        (2, 5000),
        (2, 64),
        (3, 64),
        (3, 1),
        (2, 1),
    ]);
    assert_eq!(q.send_all(), [4, 5, 0, 1, 2, 3, 6]);
}

#[test]
fn nothing_overtakes_what_is_before_the_barrier() {
    let mut q = Queue::of(&[(1, MIB), (2, MIB), (6, 64)]);
    q.queue.set_barrier();
    for (sport, len) in [(3, 64), (4, MIB), (5, 64)] {
        q.push(sport, len, None);
    }
    assert_eq!(q.send_all(), [2, 0, 1, 3, 5, 4]);
}

#[test]
fn what_the_peer_may_know_is_not_overtaken() {
    let mut q = Queue::of(&[(1, MIB)]);
    assert_eq!(q.begin(false), Some(0));
    q.push(2, 64, None);
    q.queue.rewind();
    // It was begun on the last connection.
    assert_eq!(q.send_all(), [0, 1]);
}

#[test]
fn a_long_message_waits_for_as_many_as_it_has_fragments() {
    let mut q = Queue::of(&[(1, LONG + 1), (1, LONG + 1)]);
    for _ in 0..20 {
        q.push(2, 64, None);
    }
    let sent = q.send_all();
    let place = |id| sent.iter().position(|&sent| sent == id).unwrap();
    // Five fragments each.
    assert_eq!((place(0), place(1)), (5, 11));
    let short: Vec<_> = sent.iter().filter(|&&id| id > 1).collect();
    assert!(short.is_sorted());
}

#[test]
fn to_be_asked_again_changes_nothing() {
    let mut q = Queue::of(&[(1, MIB), (2, 64), (3, 64)]);
    for _ in 0..9 {
        assert_eq!(q.queue.pick(RING), Some(0));
    }
    assert_eq!(q.send_all(), [1, 2, 0]);
}

#[test]
fn only_short_ones_overtake_and_only_long_ones_are_overtaken() {
    let operation = Operation {
        work_requests: 1,
        repeatable: true,
        silent: false,
        fence: false,
    };
    let mut q = Queue::of(&[(1, LONG), (2, 64)]);
    assert_eq!(q.send_all(), [0, 1]);
    let mut q = Queue::of(&[(1, MIB), (2, SHORT + 1)]);
    assert_eq!(q.send_all(), [0, 1]);
    let mut q = Queue::of(&[(1, MIB)]);
    q.push(2, 64, Some(operation));
    assert_eq!(q.send_all(), [0, 1]);
}

#[test]
fn answers_to_pings_overtake_in_their_order() {
    let mut q = Queue::of(&[(1, MIB)]);
    assert!(q.queue.push_pong(7) && q.queue.push_pong(8));
    let mut ports = Vec::new();
    while let Some(index) = q.queue.pick(RING) {
        if let Some(Item::Pong(port)) = q.queue.ring.get(index).unwrap().item {
            ports.push(port);
            q.queue.start(index);
            q.queue.finish();
        } else {
            assert_eq!(ports, [7, 8]);
            assert_eq!(q.send(), Some(0));
        }
    }
}

#[test]
fn a_short_one_is_looked_for_nearby() {
    for (long, wanted) in [(REACH - 1, REACH - 1), (REACH, 0)] {
        let mut q = Queue::of(&std::vec![(1, MIB); long]);
        q.push(2, 64, None);
        assert_eq!(q.send(), Some(u32::try_from(wanted).unwrap()));
    }
}

#[test]
fn cancelled_ones_neither_move_nor_hold_up() {
    let mut q = Queue::of(&[(1, MIB), (2, 5), (2, 6), (3, 7)]);
    assert!(matches!(
        q.queue.cancel(1001, |m| m.id == 1),
        Cancel::Removed(_)
    ));
    assert_eq!(q.send_all(), [2, 3, 0]);
    assert_eq!(q.queue.live(), 3);
}

#[test]
fn only_the_one_that_is_meant_is_cancelled() {
    let mut q = Queue::of(&[(1, MIB), (2, 64)]);
    // Message 1 is next, and has the number that message 0 had.
    assert_eq!(q.queue.pick(RING), Some(0));
    assert!(matches!(q.queue.cancel(1000, |m| m.id == 0), Cancel::Gone));
    assert_eq!(q.seqs[0].get(), 1001);
    assert!(matches!(
        q.queue.cancel(1001, |m| m.id == 0),
        Cancel::Removed(_)
    ));
    assert_eq!(q.send_all(), [1]);
    // Nor is the answer to a ping.
    let mut q = Queue::of(&[(1, MIB)]);
    assert!(q.queue.push_pong(7));
    assert_eq!(q.queue.pick(RING), Some(0));
    assert!(matches!(q.queue.cancel(1000, |_| true), Cancel::Gone));
    assert_eq!(q.queue.live(), 2);
}

#[test]
fn what_was_looked_at_is_not_looked_at_again_and_counts() {
    let mut q = Queue::of(&[(1, MIB), (2, MIB)]);
    assert_eq!(q.queue.pick(RING), Some(0));
    assert_eq!(q.queue.search.end, 1002);
    q.push(2, 64, None);
    assert_eq!(q.queue.pick(RING), Some(0));
    assert_eq!((q.queue.search.next, q.queue.search.end), (1000, 1003));
    q.push(3, 64, None);
    assert_eq!(q.send_all(), [3, 0, 1, 2]);
}

#[test]
fn slots_of_cancelled_ones_are_taken_out_in_the_middle() {
    let mut q = Queue::of(&std::vec![(1, MIB); 100]);
    assert_eq!(q.queue.pick(RING), Some(0));
    for id in 1..40 {
        let seq = q.seqs[id as usize].get();
        assert!(matches!(
            q.queue.cancel(seq, |m| m.id == id),
            Cancel::Removed(_)
        ));
    }
    // They are taken out for these.
    q.push(1, 64, None);
    q.push(2, 64, None);
    assert_eq!(q.queue.len(), 63);
    // Too far away still.
    assert_eq!(q.send_all()[..2], [0, 40]);
}

#[test]
fn a_path_that_goes_on_where_another_ended_overtakes() {
    let mut q = Queue::new();
    q.queue.resume(5000, 5001);
    q.push(1, MIB, None);
    q.push(2, 64, None);
    assert_eq!(q.send_all(), [1, 0]);
    assert_eq!(q.seqs[0].get(), 5002);
}
