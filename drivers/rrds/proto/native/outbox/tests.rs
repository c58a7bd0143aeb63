// SPDX-License-Identifier: GPL-2.0

use super::*;
use crate::native::wire::{Frame, Frames};
use std::vec::Vec;

#[derive(Debug, PartialEq, Eq)]
struct Message(u16, u32);

impl Payload for Message {
    fn len(&self) -> u32 {
        self.1
    }

    fn sport(&self) -> u16 {
        self.0
    }

    fn dport(&self) -> u16 {
        7
    }
}

type Box_ = Outbox<Message, Vec<Entry<Message>>, Vec<Record>, Vec<Flow>>;

fn outbox(flows: usize) -> Box_ {
    let entries = (0..64).map(|_| Entry::default()).collect();
    let mut outbox = Outbox::new(
        entries,
        std::vec![Record::default(); 64],
        std::vec![Flow::default(); flows],
        1000,
        0,
    );
    outbox.set_window(1000);
    outbox.set_quota(1 << 30);
    outbox
}

/// What a packet is made of: sending port, number and predecessor, or offset and length of a piece.
#[derive(Debug, PartialEq, Eq)]
enum Is {
    Whole(u16, u32, u32),
    Piece(u16, u32, u32),
    Gone(u32, u32),
}

fn packet(o: &mut Box_, class: Class, mut room: usize) -> (u32, Vec<Is>) {
    let record = o.records().take().unwrap();
    o.begin_packet(room);
    let mut frames = Vec::new();
    while let Some(taken) = o.take(class, room, record) {
        frames.push(match taken {
            Taken::Message(m, entry) => {
                room -= 16 + o.message(entry).unwrap().1 as usize;
                Is::Whole(m.sport, m.id, m.prev)
            }
            Taken::Part(p, _, len) => {
                room -= 24 + len as usize;
                Is::Piece(p.message.sport, p.offset, len)
            }
            Taken::Gone(g) => {
                room -= 16;
                Is::Gone(g.id, g.prev)
            }
        });
    }
    (record, frames)
}

fn done(o: &mut Box_) -> Vec<(u16, Outcome)> {
    let mut all = Vec::new();
    o.reap(|m, outcome| all.push((m.0, outcome)));
    all
}

#[test]
fn small_messages_travel_together_and_flows_take_turns() {
    let mut o = outbox(256);
    for _ in 0..60 {
        o.queue(Message(1, 900)).unwrap();
    }
    for _ in 0..3 {
        o.queue(Message(2, 10)).unwrap();
    }
    let (record, frames) = packet(&mut o, Class::Small, 8000);
    let ports: Vec<u16> = frames
        .iter()
        .map(|f| match f {
            Is::Whole(port, ..) => *port,
            other => panic!("{other:?}"),
        })
        .collect();
    // A turn is 4096 bytes, and what is beyond it counts in the next.
    assert_eq!(ports, [1, 1, 1, 1, 1, 2, 2, 2, 1, 1, 1]);
    // Each names the last one of its flow.
    assert_eq!(frames[0], Is::Whole(1, 0, 0));
    assert_eq!(frames[4], Is::Whole(1, 4, 1));
    assert_eq!(frames[5], Is::Whole(2, 5, 0));
    assert_eq!(frames[8], Is::Whole(1, 8, 4));
    o.on_acked(record);
    assert_eq!(done(&mut o).len(), 11);
    // What is acknowledged is no predecessor any more.
    let (_, frames) = packet(&mut o, Class::Small, 1000);
    assert_eq!(frames, [Is::Whole(1, 11, 0)]);
}

#[test]
fn large_messages_are_cut_and_do_not_hold_up_small_ones() {
    let mut o = outbox(256);
    o.queue(Message(1, 5000)).unwrap();
    o.queue(Message(2, 100)).unwrap();
    let (bulk, frames) = packet(&mut o, Class::Bulk, 2000);
    assert_eq!(frames, [Is::Piece(1, 0, 1920)]);
    let (small, frames) = packet(&mut o, Class::Small, 2000);
    assert_eq!(frames, [Is::Whole(2, 1, 0)]);
    let (rest, frames) = packet(&mut o, Class::Bulk, 65536);
    assert_eq!(frames, [Is::Piece(1, 1920, 3080)]);
    for record in [small, rest] {
        o.on_acked(record);
    }
    assert_eq!((done(&mut o).len(), o.first()), (1, 0));
    // The piece that is lost is cut anew.
    o.on_lost(bulk);
    let (a, frames) = packet(&mut o, Class::Bulk, 1000);
    assert_eq!(frames, [Is::Piece(1, 0, 960)]);
    let (b, frames) = packet(&mut o, Class::Any, 1000);
    assert_eq!(frames, [Is::Piece(1, 960, 960)]);
    assert!(!o.has_work());
    o.on_acked(b);
    assert!(done(&mut o).is_empty());
    o.on_acked(a);
    assert_eq!(done(&mut o), [(1, Outcome::Done)]);
    assert_eq!((o.first(), o.under_way(), o.len()), (2, 0, 0));
    assert_eq!(o.records().used(), 0);
}

#[test]
fn where_there_is_one_lane_packets_take_turns() {
    let mut o = outbox(256);
    o.queue(Message(1, 100_000)).unwrap();
    for _ in 0..4 {
        o.queue(Message(2, 900)).unwrap();
    }
    let mut kinds = Vec::new();
    for _ in 0..4 {
        let (_, frames) = packet(&mut o, Class::Any, 1200);
        kinds.push(matches!(frames[0], Is::Piece(..)));
    }
    assert_eq!(kinds, [true, false, true, false]);
}

#[test]
fn what_is_lost_goes_first_and_keeps_its_number() {
    let mut o = outbox(256);
    o.queue(Message(1, 10)).unwrap();
    o.queue(Message(1, 10)).unwrap();
    let (first, _) = packet(&mut o, Class::Small, 1000);
    o.queue(Message(1, 10)).unwrap();
    o.on_lost(first);
    let (_, frames) = packet(&mut o, Class::Small, 1000);
    let expected = [Is::Whole(1, 0, 0), Is::Whole(1, 1, 1), Is::Whole(1, 2, 1)];
    assert_eq!(frames, expected);
}

#[test]
fn cancelled_messages() {
    let mut o = outbox(256);
    let sent = o.queue(Message(1, 10)).unwrap();
    let begun = o.queue(Message(2, 9000)).unwrap();
    let waiting = o.queue(Message(1, 2000)).unwrap();
    let (small, _) = packet(&mut o, Class::Small, 1000);
    let (bulk, _) = packet(&mut o, Class::Bulk, 1000);
    assert_eq!(o.cancel(waiting), Cancel::Now(Message(1, 2000)));
    assert_eq!(o.cancel(waiting), Cancel::Unknown);
    assert_eq!(o.cancel(sent), Cancel::Later);
    assert_eq!(o.cancel(sent), Cancel::Unknown);
    assert_eq!(o.cancel(begun), Cancel::Later);
    // One that is under way ends as it would; one of which more was to come is taken back.
    let (tell, frames) = packet(&mut o, Class::Bulk, 1000);
    assert_eq!(frames, [Is::Gone(1, 0)]);
    o.on_lost(small);
    let (again, frames) = packet(&mut o, Class::Small, 1000);
    assert_eq!(frames, [Is::Gone(0, 0)]);
    o.on_acked(again);
    o.on_acked(tell);
    assert_eq!(
        done(&mut o),
        [(1, Outcome::Cancelled)],
        "a piece is under way"
    );
    o.on_acked(bulk);
    assert_eq!(done(&mut o), [(2, Outcome::Cancelled)]);
    assert_eq!((o.len(), o.under_way(), o.has_work()), (0, 0, false));
    assert_eq!(o.cancel(sent), Cancel::Unknown, "the slot has another life");
    // All pieces were sent, one is lost, and it is cancelled then.
    let late = o.queue(Message(2, 1500)).unwrap();
    let (a, _) = packet(&mut o, Class::Bulk, 1000);
    let (b, _) = packet(&mut o, Class::Bulk, 1000);
    assert_eq!(o.cancel(late), Cancel::Later);
    o.on_acked(a);
    o.on_lost(b);
    let (c, frames) = packet(&mut o, Class::Bulk, 1000);
    assert_eq!(frames, [Is::Gone(2, 0)]);
    o.on_acked(c);
    assert_eq!(done(&mut o), [(2, Outcome::Cancelled)]);
}

#[test]
fn quota_and_window_hold_back_what_has_no_number() {
    let mut o = outbox(256);
    o.quota = 0;
    o.set_quota(charge(10) * 2);
    for _ in 0..3 {
        o.queue(Message(1, 10)).unwrap();
    }
    let (record, frames) = packet(&mut o, Class::Small, 1000);
    assert_eq!(
        (frames.len(), o.is_blocked(), o.has_work()),
        (2, true, true)
    );
    o.set_quota(1);
    assert!(o.is_blocked(), "it only rises");
    o.set_quota(charge(10) * 3);
    assert!(!o.is_blocked());
    o.set_window(2);
    let (empty, frames) = packet(&mut o, Class::Small, 1000);
    assert!(frames.is_empty() && o.is_blocked());
    o.records().release(empty);
    o.on_acked(record);
    assert!(!o.is_blocked());
    assert_eq!(packet(&mut o, Class::Small, 1000).1.len(), 1);
}

/// Small messages and large ones that share a quota: neither waits for the other for ever.
#[test]
fn classes_do_not_hold_up_each_other() {
    for small_first in [false, true] {
        let mut o = outbox(256);
        o.quota = 0;
        o.width = 0;
        o.set_quota(MIN_QUOTA);
        let mut under_way = [Vec::new(), Vec::new()];
        let mut sent = [0_u32; 2];
        // The peer takes one small packet and one large one at a time, and says what it has taken.
        for step in 0..3000 {
            while o.len() < 60 {
                let large = o.len() % 6 == 0;
                let len = if large { 350_000 } else { 900 };
                o.queue(Message(u16::from(large), len)).unwrap();
            }
            for class in if small_first { [0, 1] } else { [1, 0] } {
                let which = [Class::Small, Class::Bulk][class];
                let (record, frames) = packet(&mut o, which, [1000, 60_000][class]);
                if frames.is_empty() {
                    o.records().release(record);
                } else {
                    under_way[class].push(record);
                    sent[class] += 1;
                }
            }
            assert!(o.charged <= o.quota);
            assert!(o.large <= MIN_QUOTA - SMALL_SHARE);
            for class in [0, 1] {
                // Large ones take twenty times as long.
                let due = under_way[class].len() > [3, 10][class] || (class == 1 && step % 20 == 0);
                if due && !under_way[class].is_empty() {
                    o.on_acked(under_way[class].remove(0));
                }
            }
            for (port, _) in done(&mut o) {
                o.set_quota(o.quota + charge(if port == 1 { 350_000 } else { 900 }));
            }
        }
        assert!(sent[0] > 2900 && sent[1] > 50, "{sent:?}");
    }
}

#[test]
fn a_large_message_saves_up_what_it_needs() {
    let mut o = outbox(256);
    o.quota = 0;
    o.width = 0;
    o.set_quota(MIN_QUOTA);
    // Small ones have taken so much that there is no room for it.
    let mut small = Vec::new();
    for _ in 0..30 {
        o.queue(Message(2, 1000)).unwrap();
        small.push(packet(&mut o, Class::Small, 1100).0);
    }
    o.charged += SMALL_SHARE;
    o.queue(Message(1, 1 << 20)).unwrap();
    let (record, frames) = packet(&mut o, Class::Bulk, 60_000);
    assert!(frames.is_empty() && o.is_blocked());
    o.records().release(record);
    assert_eq!(o.wanted, charge(1 << 20));
    // Of what comes back, half is kept for it.
    for record in small {
        o.on_acked(record);
        done(&mut o);
        o.set_quota(o.quota + charge(1000));
        o.queue(Message(2, 1000)).unwrap();
        let (record, frames) = packet(&mut o, Class::Small, 1100);
        assert_eq!(frames.len(), 1);
        o.on_acked(record);
        done(&mut o);
    }
    assert_eq!(o.kept, 30 * charge(1000));
    // Small ones leave that alone.
    o.charged = o.quota - o.kept - (charge(1000) - 1);
    o.queue(Message(2, 1000)).unwrap();
    let (record, frames) = packet(&mut o, Class::Small, 1100);
    assert!(frames.is_empty() && o.is_blocked());
    o.records().release(record);
    o.set_quota(o.quota + 1);
    let (record, frames) = packet(&mut o, Class::Small, 1100);
    assert_eq!(frames.len(), 1);
    o.on_acked(record);
    // When it is cancelled, it keeps nothing.
    let large = Ticket {
        life: o.entries.get(30).map_or(0, |e| e.life),
        at: 30,
    };
    assert!(matches!(o.cancel(large), Cancel::Now(Message(1, _))));
    let (record, _) = packet(&mut o, Class::Bulk, 60_000);
    o.records().release(record);
    assert_eq!((o.kept(), o.wanted), (0, 0));
}

/// However many flows wait for quota, those that go on are found at once.
#[test]
fn a_blocked_flow_is_not_looked_at_again() {
    let mut o = outbox(256);
    o.set_window(1);
    o.queue(Message(1, 30_000)).unwrap();
    for port in 2..60 {
        o.queue(Message(port, 2000)).unwrap();
    }
    let (_, frames) = packet(&mut o, Class::Bulk, 1000);
    assert_eq!(frames, [Is::Piece(1, 0, 960)]);
    let order = |o: &Box_| -> Vec<(u32, u64)> {
        o.flows.iter().map(|f| (f.queue.first(), f.last)).collect()
    };
    let (before, turns) = (order(&o), o.turns[1]);
    let (_, frames) = packet(&mut o, Class::Bulk, 1000);
    assert_eq!(frames, [Is::Piece(1, 960, 960)]);
    let first = |t: &Turns| t.first(&o.flows, true);
    assert_eq!((order(&o), first(&o.turns[1])), (before, first(&turns)));
    assert!(o.is_blocked() && o.can_go_on());
}

#[test]
fn a_message_that_was_begun_goes_on_behind_one_that_must_wait() {
    let mut o = outbox(256);
    o.set_window(1);
    o.queue(Message(1, 200_000)).unwrap();
    o.queue(Message(2, 2000)).unwrap();
    let mut sent = 0;
    for _ in 0..20 {
        for frame in packet(&mut o, Class::Bulk, 30_000).1 {
            let Is::Piece(1, _, len) = frame else {
                panic!("{frame:?}");
            };
            sent += len;
        }
    }
    assert_eq!(sent, 200_000);
}

#[test]
fn another_life_of_the_peer_gets_everything_anew() {
    let mut o = outbox(256);
    for port in 1..4 {
        o.queue(Message(port, 10)).unwrap();
        o.queue(Message(port, 3000)).unwrap();
        o.queue(Message(port, 10)).unwrap();
    }
    let mut records = Vec::new();
    for (class, room) in [(0, 26), (0, 1000), (1, 1000), (1, 9000), (1, 1000)] {
        let class = if class == 0 {
            Class::Small
        } else {
            Class::Bulk
        };
        records.push(packet(&mut o, class, room).0);
    }
    o.on_acked(records[0]);
    done(&mut o);
    for record in &records[1..] {
        o.on_lost(*record);
    }
    let first = o.next_id;
    o.restart();
    assert_eq!(
        (o.first(), o.under_way(), o.records().used()),
        (first, 0, 0)
    );
    o.set_quota(1 << 30);
    let mut order = [(); 4].map(|()| Vec::new());
    for _ in 0..40 {
        let (record, frames) = packet(&mut o, Class::Any, 4000);
        for frame in frames {
            if let Is::Whole(port, id, prev) = frame {
                order[usize::from(port)].push((id, prev));
            }
        }
        let last = o.records().get(record).unwrap();
        assert!(last.part.is_none());
    }
    // Each flow has what is left of it, in its order: each names the one before.
    for (port, count) in [(1, 2), (2, 3), (3, 3)] {
        let flow = &order[port];
        assert_eq!(flow.len(), count, "{order:?}");
        assert_eq!(flow[0].1, 0);
        for two in flow.windows(2) {
            assert_eq!(two[1].0 - two[1].1, two[0].0);
        }
    }
    o.drain(|_, _| ());
    assert_eq!((o.len(), o.has_work()), (0, false));
}

#[test]
fn flows_grow_and_keep_the_order() {
    let mut o = outbox(1);
    for port in 0..20 {
        o.queue(Message(port, 10)).unwrap();
    }
    let (_, frames) = packet(&mut o, Class::Small, 130);
    // All share one flow: each comes after the one before.
    assert_eq!(frames[4], Is::Whole(4, 4, 1));
    assert!(o.grow_flows(std::vec![Flow::default(); 3]).is_err());
    assert!(o.grow_flows(std::vec![Flow::default(); 1]).is_err());
    assert!(o.grow_flows(std::vec![Flow::default(); 64]).is_ok());
    let (_, frames) = packet(&mut o, Class::Small, 10_000);
    assert_eq!(frames.len(), 15);
    for frame in &frames {
        let Is::Whole(port, id, prev) = frame else {
            panic!("{frame:?}");
        };
        // Still after the last one before, or after one of its own flow now.
        assert!(*prev != 0 && id - prev >= 4, "{port} {id} {prev}");
    }
    assert!(o.queue(Message(0, 10)).is_ok());
}

/// The messages of a packet that are taken in runs: port, number and predecessor.
fn runs(o: &mut Box_, mut room: usize) -> (u32, Vec<(u16, u32, u32)>) {
    let record = o.records().take().unwrap();
    o.begin_packet(room);
    let mut heads = Vec::new();
    loop {
        let mut used = 0;
        let put = |head: &[u8; 16], message: &Message, len: u32| {
            let mut frame = head.to_vec();
            frame.resize(16 + len as usize, 0);
            let Some(Ok(Frame::Message(m, _))) = Frames::new(&frame).next() else {
                panic!("not a message");
            };
            assert_eq!((m.sport, len), (message.0, message.1));
            heads.push((m.sport, m.id, m.prev));
            used += frame.len();
        };
        if !o.take_run(Class::Small, room, record, put) {
            return (record, heads);
        }
        room -= used;
    }
}

/// The numbers under way, by both ways through their list.
fn numbers(o: &Box_) -> Vec<u64> {
    let walk = |mut at: u32, next: fn(&Entry<Message>) -> u32| {
        let mut all = Vec::new();
        while let Some(entry) = o.entries.get(at) {
            all.push(entry.id);
            at = next(entry);
        }
        all
    };
    let up = walk(o.oldest, |entry| entry.newer);
    let mut down = walk(o.newest, |entry| entry.older);
    down.reverse();
    assert_eq!(up, down);
    up
}

#[test]
fn runs_keep_the_order_of_numbers() {
    let mut o = outbox(256);
    for port in [1, 1, 2, 1, 2, 1] {
        o.queue(Message(port, 10)).unwrap();
    }
    let (a, heads) = runs(&mut o, 26 * 5);
    let first = [(1, 0, 0), (1, 1, 1), (1, 2, 1), (1, 3, 1), (2, 4, 0)];
    assert_eq!(heads, first);
    let (b, heads) = runs(&mut o, 1000);
    assert_eq!(heads, [(2, 5, 1)]);
    for port in [1, 1, 2] {
        o.queue(Message(port, 10)).unwrap();
    }
    let (c, heads) = runs(&mut o, 1000);
    assert_eq!(heads, [(1, 6, 3), (1, 7, 1), (2, 8, 3)]);
    assert_eq!(numbers(&o), (0..9).collect::<Vec<_>>());
    // From the middle, from the end, and what is left.
    o.on_acked(b);
    assert_eq!(numbers(&o), [0, 1, 2, 3, 4, 6, 7, 8]);
    o.on_acked(c);
    assert_eq!((numbers(&o), o.first()), ([0, 1, 2, 3, 4].to_vec(), 0));
    assert_eq!(done(&mut o).len(), 4);
    // Some of it is in one packet, some in another, when it is sent again.
    o.on_lost(a);
    let (d, frames) = packet(&mut o, Class::Small, 26 * 2);
    assert_eq!(frames, [Is::Whole(1, 0, 0), Is::Whole(1, 1, 1)]);
    let (e, frames) = packet(&mut o, Class::Small, 1000);
    assert_eq!(frames.len(), 3);
    o.on_acked(e);
    assert_eq!(numbers(&o), [0, 1]);
    o.on_acked(d);
    assert_eq!((numbers(&o).len(), o.first(), o.oldest), (0, 9, NONE));
    assert_eq!(done(&mut o).len(), 5);
}

#[test]
fn a_run_ends_where_it_must() {
    let mut o = outbox(256);
    o.quota = 0;
    o.width = 0;
    o.set_quota(charge(10) * 5);
    o.set_window(4);
    for _ in 0..3 {
        o.queue(Message(1, 10)).unwrap();
    }
    let cancelled = o.queue(Message(1, 10)).unwrap();
    for _ in 0..3 {
        o.queue(Message(1, 10)).unwrap();
    }
    assert!(matches!(o.cancel(cancelled), Cancel::Now(_)));
    let (a, heads) = runs(&mut o, 1000);
    assert_eq!(heads.len(), 3, "the next one is cancelled");
    let (b, frames) = packet(&mut o, Class::Small, 1000);
    assert_eq!(frames, [Is::Whole(1, 3, 1)], "the window is full");
    assert!(runs(&mut o, 1000).1.is_empty());
    o.on_acked(a);
    assert_eq!(runs(&mut o, 1000).1, [(1, 4, 1)], "the quota is used up");
    o.set_quota(1 << 30);
    // A large one in front goes by itself, and what is to be sent again goes first.
    o.on_lost(b);
    assert!(runs(&mut o, 1000).1.is_empty());
    let (_, frames) = packet(&mut o, Class::Small, 1000);
    assert_eq!(frames, [Is::Whole(1, 3, 1), Is::Whole(1, 5, 1)]);
    o.queue(Message(1, 2000)).unwrap();
    o.queue(Message(1, 10)).unwrap();
    assert!(runs(&mut o, 1000).1.is_empty());
}

#[test]
fn a_full_outbox_gives_messages_back() {
    let mut o = outbox(1);
    for _ in 0..64 {
        o.queue(Message(1, 1)).unwrap();
    }
    assert_eq!(o.queue(Message(9, 1)), Err(Message(9, 1)));
    let more = (0..o.entries_wanted()).map(|_| Entry::default()).collect();
    assert!(o.grow_entries(more).is_ok());
    assert!(o.queue(Message(9, 1)).is_ok());
    let more = std::vec![Record::default(); o.records_wanted()];
    assert!(o.grow_records(more).is_ok());
}

/// A pair of ports shares its flow with another one as often as chance has it, and no more.
#[test]
fn pairs_of_ports_share_a_flow_by_chance() {
    const PAIRS: u16 = 1 << 14;
    for count in [16, 64, 1024] {
        let large = flow::index(4000, 5000, count);
        let by_source = (1..=PAIRS).map(|n| flow::index(4000 + n, 5000, count));
        let by_destination = (1..=PAIRS).map(|n| flow::index(4000, 5000 + n, count));
        let shared = [
            by_source.filter(|flow| *flow == large).count(),
            by_destination.filter(|flow| *flow == large).count(),
        ];
        let chance = usize::from(PAIRS) / count;
        for shared in shared {
            assert!(
                (chance / 2..=2 * chance).contains(&shared),
                "{count}: {shared}"
            );
        }
    }
}

/// As long as nothing can be sent nothing is taken out by its turn.
#[test]
fn what_is_cancelled_at_once_takes_no_room() {
    let mut o = outbox(4);
    let more = (0..512).map(|_| Entry::default()).collect();
    o.grow_entries(more).unwrap();
    o.set_window(0);
    let mut kept = Vec::new();
    for n in 0..10_000_u16 {
        let len = if n % 3 == 0 { 5000 } else { 10 };
        let ticket = o.queue(Message(n % 7, len)).unwrap();
        if n % 1000 == 1 {
            kept.push((n % 7, len));
        } else {
            assert_eq!(o.cancel(ticket), Cancel::Now(Message(n % 7, len)));
            assert_eq!(o.cancel(ticket), Cancel::Unknown);
        }
        o.reap(|_, _| panic!("it was given back"));
    }
    assert!(o.len() < 300, "{}", o.len());
    o.set_window(1000);
    let mut got = Vec::new();
    loop {
        let (_, frames) = packet(&mut o, Class::Any, 60_000);
        if frames.is_empty() {
            break;
        }
        got.extend(frames);
    }
    got.sort_by_key(|is| match is {
        Is::Whole(port, id, _) => (*port, *id),
        other => panic!("{other:?}"),
    });
    let ports: Vec<_> = got
        .iter()
        .map(|is| if let Is::Whole(p, ..) = is { *p } else { 0 })
        .collect();
    let mut expected: Vec<_> = kept.iter().map(|(port, _)| *port).collect();
    expected.sort_unstable();
    assert_eq!(ports, expected);
}
