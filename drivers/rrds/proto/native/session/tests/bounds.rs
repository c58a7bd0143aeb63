// SPDX-License-Identifier: GPL-2.0

//! What is posted, under way, asked for and remembered is bounded.

use super::lanes::{open, run, tick};
use super::*;
use crate::native::lane::SPARE;
use crate::native::outbox::charge;

fn narrow(role: Role) -> AnyLane {
    reliable(role, 2)
}

/// Posts all that an end has to send on a lane.
fn post(p: &mut Pair, end: usize, lane: u8) -> Vec<Vec<u8>> {
    let mut packets = Vec::new();
    loop {
        let (mut packet, session) = (Packet::default(), &mut p.ends[end]);
        match session.transmit(p.now, lane, &p.map, &mut packet) {
            Transmit::Packet { .. } => {
                let way = session.lane_mut(lane).unwrap();
                way.lane_mut().on_posted();
                packets.push(packet.0);
            }
            _ => return packets,
        }
    }
}

/// Asks an end for acknowledgements on lane 0, a hundred times. How many it posts.
fn ask(p: &mut Pair, end: usize) -> usize {
    let mut posted = 0;
    for n in 0..100 {
        let header = PacketHeader {
            session: p.ends[end].number(),
            number: 100 + n,
            ..PacketHeader::default()
        };
        let ping = packet_of(header, |w| w.put(&[9, 0, 0, 0]));
        assert_eq!(p.give(end, 0, &ping), PacketResult::Taken);
        posted += post(p, end, 0).len();
    }
    posted
}

/// Lets lane 1 work until no timer runs. How many packets are posted on lane 0.
fn run_out(p: &mut Pair) -> usize {
    let mut posted = 0;
    for _ in 0..1000 {
        if p.ends.iter().all(|end| end.next_timeout().is_none()) {
            return posted;
        }
        tick(p);
        posted += post(p, 0, 0).len();
        for end in [0, 1] {
            for packet in p.take(end, 1) {
                p.give(1 - end, 1, &packet);
            }
        }
    }
    panic!("a timer fires all the time");
}

#[test]
fn who_has_no_place_for_a_question_finds_out_all_the_same() {
    let mut p = open(&[(0, narrow, Role::Any), (1, datagram, Role::Any)]);
    p.send(0, 1, 64);
    let posted = post(&mut p, 0, 0).len();
    assert_eq!(posted + ask(&mut p, 0), 2 + usize::from(SPARE));
    assert_eq!(run_out(&mut p), 0);
    assert_eq!((p.ups[1].got.clone(), p.done(0)), ([(1, 64)].to_vec(), 1));
}

#[test]
fn a_queue_pair_that_completes_nothing_gets_nothing_more() {
    let most = 2 + usize::from(SPARE);
    let mut p = open(&[(0, narrow, Role::Any), (1, datagram, Role::Any)]);
    // It acknowledges what comes.
    assert_eq!(ask(&mut p, 1), most);
    // Nobody is woken for what cannot leave.
    assert_eq!(p.ends[1].next_timeout(), None);
    p.ends[1].lane_mut(0).unwrap().lane_mut().on_completed(1);
    assert_eq!(post(&mut p, 1, 0).len(), 1);
    // It asks, and finds out all the same that nothing comes back.
    p.send(0, 1, 64);
    p.send(0, 2, 100_000);
    let mut posted = post(&mut p, 0, 0).len();
    assert_eq!(posted, 2);
    posted += run_out(&mut p);
    assert_eq!((posted, p.ups[1].got.len(), p.done(0)), (most, 2, 2));
    assert!(p.ends[0].lane(0).unwrap().lane().is_quarantined());
    // Nor does it get a farewell.
    p.ends[0].end(Reason::Shutdown);
    assert!(p.take(0, 0).is_empty());
    assert_eq!(p.ends[0].next_timeout(), None);
}

/// A message comes back while a packet that has it is still posted.
#[test]
fn what_is_acknowledged_may_still_be_posted() {
    let mut p = open(&[(0, narrow, Role::Any)]);
    for n in 0..2 {
        p.send(0, n, 64);
        let packets = post(&mut p, 0, 0);
        assert_eq!(packets.len(), 1);
        p.give(1, 0, &packets[0]);
        p.now = p.now.after(2_000_000);
        for packet in p.take(1, 0) {
            p.give(0, 0, &packet);
        }
        assert_eq!(p.done(0), 1);
    }
    // The queue is as long as if nothing had been acknowledged.
    p.send(0, 3, 64);
    assert!(post(&mut p, 0, 0).is_empty());
    p.ends[0].lane_mut(0).unwrap().lane_mut().on_completed(1);
    assert_eq!(post(&mut p, 0, 0).len(), 1);
}

#[test]
fn small_and_large_messages_leave_each_other_some_of_the_room() {
    for (room, share) in [(2, 1), (8, 1), (16, 2), (32, 4)] {
        for first in [0, 1] {
            let mut p = Pair::with(Settings {
                room,
                max_packet: 1024,
                ..Settings::default()
            });
            p.up(0, Role::Small);
            p.up(1, Role::Bulk);
            p.settle();
            p.send(0, 1, 200_000);
            let small = |p: &mut Pair| {
                let mut count = 0;
                for n in 0..2 * room {
                    p.send(0, 2 + n, 600);
                    count += p.take(0, 0).len();
                }
                count as u16
            };
            let counts = if first == 0 {
                let bulk = p.take(0, 1).len() as u16;
                (bulk, small(&mut p))
            } else {
                let small = small(&mut p);
                (p.take(0, 1).len() as u16, small)
            };
            let most = (room - share, share);
            let expected = if first == 0 { most } else { (most.1, most.0) };
            assert_eq!(counts, expected, "room {room}");
            // Nothing of that is counted for ever.
            p.ends[0].lane_down(p.now, 0);
            p.ends[0].lane_down(p.now, 1);
            assert_eq!((p.ends[0].in_flight, p.ends[0].bulk), (0, 0));
        }
    }
    // Without large ones they have all of it.
    let mut p = Pair::with(Settings {
        room: 8,
        ..Settings::default()
    });
    p.up(0, Role::Any);
    p.settle();
    let mut count = 0;
    for n in 0..20 {
        p.send(0, n, 64);
        count += p.take(0, 0).len();
    }
    assert_eq!(count, 8);
}

/// With one lane for both, packets in the share of small messages have only those.
#[test]
fn a_lane_for_both_kinds_keeps_the_room_for_small_ones() {
    let mut p = Pair::with(Settings {
        room: 4,
        max_packet: 1024,
        ..Settings::default()
    });
    p.up(0, Role::Any);
    p.settle();
    p.send(0, 1, 100_000);
    assert_eq!(p.take(0, 0).len(), 3);
    p.send(0, 2, 64);
    let small = p.take(0, 0);
    assert_eq!(frames(&small[0]).1.len(), 1);
    assert_eq!((small.len(), small[0].len()), (1, 16 + 16 + 64));
    p.settle();
    assert_eq!((p.ups[1].got.len(), p.done(0)), (2, 2));
    assert_eq!((p.ends[0].in_flight, p.ends[0].bulk), (0, 0));
}

#[test]
fn a_lane_on_which_nothing_is_under_way_is_silent() {
    for (busy, idle) in [(0, 1), (1, 0)] {
        let mut p = Pair::with(Settings {
            limits: Limits {
                window: 2,
                quota: MIN_QUOTA,
            },
            ..Settings::default()
        });
        p.up(0, Role::Any);
        p.up(1, Role::Any);
        p.settle();
        p.now = p.now.after(100_000_000);
        for n in 0..3 {
            p.send(0, n, 64);
        }
        // The third has no number until the others are acknowledged.
        let packets = p.take(0, busy);
        assert!(packets.len() == 1 && p.take(0, idle).is_empty());
        assert!(p.ends[0].outbox().is_blocked());
        tick(&mut p);
        assert_eq!((p.take(0, idle).len(), p.take(0, busy).len()), (0, 1));
        p.give(1, busy, &packets[0]);
        p.settle();
        assert_eq!((p.ups[1].got.len(), p.done(0)), (3, 3));
    }
}

/// With nothing under way at all, one lane asks whether there is more quota, as long as that is of use.
#[test]
fn one_lane_asks_for_quota() {
    let mut p = Pair::new();
    for lane in 0..3 {
        p.up(lane, Role::Any);
    }
    p.settle();
    let quota = p.ends[1].settings().limits.quota;
    let mut sent = 0;
    while (sent + 1) * charge(1 << 20) <= quota - (64 << 10) {
        p.send(0, 1, 1 << 20);
        sent += 1;
    }
    p.settle();
    // As if the last word on the quota had been lost.
    p.ends[0].outbox().quota_is(sent * charge(1 << 20));
    let message = Message(1, std::vec![5; 100]);
    let ticket = p.ends[0].outbox().queue(message).ok().unwrap();
    for lane in 0..3 {
        assert!(p.take(0, lane).is_empty());
    }
    assert!(p.ends[0].outbox().is_blocked() && p.ends[0].in_flight == 0);
    p.ends[0].outbox().cancel(ticket);
    assert!(p.take(0, 0).is_empty());
    assert_eq!(p.ends[0].next_timeout(), None, "it needs no quota");
    p.send(0, 1, 100);
    assert!(p.take(0, 0).is_empty());
    p.now = p.now.after(1_000_000_000);
    let asked = [0, 1, 2].map(|lane| p.take(0, lane).len());
    assert_eq!(asked, [1, 0, 0]);
    let until = p.now.after(60_000_000_000);
    run(&mut p, &[], until);
    assert_eq!(
        (p.ups[1].got.len(), p.ends[0].next_timeout()),
        (sent as usize + 1, None)
    );
}

#[test]
fn losses_are_forgotten_when_nothing_follows() {
    let mut p = open(&[(0, datagram, Role::Any)]);
    for n in 0..40 {
        p.send(0, n, 3000);
    }
    let mut packets = p.take(0, 0);
    assert!(packets.len() > 4);
    packets.drain(..2);
    for packet in packets {
        p.give(1, 0, &packet);
    }
    let until = p.now.after(10_000_000);
    run(&mut p, &[], until);
    assert_eq!(p.done(0), 40);
    assert_eq!(p.ends[0].in_flight, 0);
    // Late, but no mistake any more.
    let until = p.now.after(60_000_000_000);
    run(&mut p, &[], until);
    assert_eq!(p.ends[0].outbox().records_in_use(), 0);
    assert_eq!(p.ends[0].next_timeout(), None);
    let detector = p.ends[0].lane(0).unwrap().lane().detector();
    assert!(!detector.may_be_mistaken());
}
