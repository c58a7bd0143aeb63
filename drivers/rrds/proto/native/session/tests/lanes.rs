// SPDX-License-Identifier: GPL-2.0

//! Datagram lanes, and lanes of both kinds that fall silent and come back.

use super::*;
use crate::native::loss::MOST_WAIT_NS;
use crate::native::outbox::Cancel;
use crate::native::wire::Ack;

/// Its number, what makes it, and what travels on it.
pub(super) type NewLane = (u8, fn(Role) -> AnyLane, Role);

/// Two sessions with lanes of a kind.
pub(super) fn pair(lanes: &[NewLane]) -> Pair {
    pair_with(Settings::default(), lanes)
}

fn pair_with(settings: Settings, lanes: &[NewLane]) -> Pair {
    let mut p = Pair::with(settings);
    for (number, lane, role) in lanes {
        for end in &mut p.ends {
            assert!(end.lane_up(*number, lane(*role)).is_ok());
        }
    }
    p
}

pub(super) fn long_queue(role: Role) -> AnyLane {
    reliable(role, 100)
}

/// Lets time pass to the next timer of any end.
pub(super) fn tick(p: &mut Pair) {
    let next = p.ends.iter().filter_map(|end| end.next_timeout()).min();
    p.now = p.now.max(next.expect("a timer runs"));
}

/// Lets both ends send until they are quiet; packets on lanes of `dead` are lost.
pub(super) fn run(p: &mut Pair, dead: &[u8], until: Instant) {
    run_with(p, until, |_, lane| !dead.contains(&lane));
}

/// Lets both ends send until they are quiet, each lane once when something has come or a timer has run out; `arrives`
/// tells whether a packet on a lane does.
pub(super) fn run_with(
    p: &mut Pair,
    until: Instant,
    mut arrives: impl FnMut(&mut Pair, u8) -> bool,
) {
    let mut woken = [true; 2];
    loop {
        for end in 0..2 {
            let is_due = |time| time <= p.now;
            let is_woken = std::mem::take(&mut woken[end]);
            if !is_woken && !p.ends[end].next_timeout().is_some_and(is_due) {
                continue;
            }
            for lane in 0..4 {
                for packet in p.take(end, lane) {
                    if arrives(p, lane) {
                        p.give(1 - end, lane, &packet);
                        woken[1 - end] = true;
                    }
                }
            }
        }
        if woken != [false; 2] {
            continue;
        }
        let next = p.ends.iter().filter_map(|end| end.next_timeout()).min();
        match next {
            Some(time) if time <= until => p.now = p.now.max(time),
            _ => {
                p.now = p.now.max(until);
                return;
            }
        }
    }
}

pub(super) fn open(lanes: &[NewLane]) -> Pair {
    let mut p = pair(lanes);
    let until = p.now.after(10_000_000);
    run(&mut p, &[], until);
    p
}

#[test]
fn a_hello_that_is_lost_is_said_again() {
    let mut p = pair(&[(0, datagram, Role::Any)]);
    p.send(0, 1, 10);
    // The first of each side is lost.
    assert_eq!((p.take(0, 0).len(), p.take(1, 0).len()), (1, 1));
    assert!(p.take(0, 0).is_empty());
    tick(&mut p);
    let again = p.take(0, 0);
    let (header, said) = frames(&again[0]);
    assert!(
        matches!(said[..], [Frame::Hello(_), Frame::Ping]),
        "{said:?}"
    );
    assert_eq!((header.number, header.session), (1, 0));
    let until = p.now.after(10_000_000);
    assert_eq!(p.give(1, 0, &again[0]), PacketResult::Taken);
    run(&mut p, &[], until);
    assert_eq!((p.ups[1].got.clone(), p.done(0)), ([(1, 10)].to_vec(), 1));
}

#[test]
fn what_overtakes_the_hello_is_sent_again() {
    let mut p = pair(&[(0, datagram, Role::Any)]);
    let hello = p.take(0, 0);
    let answer = p.take(1, 0);
    p.give(0, 0, &answer[0]);
    p.send(0, 1, 10);
    let early = p.take(0, 0);
    assert_eq!(p.give(1, 0, &early[0]), PacketResult::Refused);
    assert_eq!(p.ends[1].ended(), None);
    p.give(1, 0, &hello[0]);
    // The peer that knows us not yet may say hello twice.
    assert_eq!(p.give(1, 0, &hello[0]), PacketResult::Duplicate);
    let until = p.now.after(10_000_000);
    run(&mut p, &[], until);
    assert_eq!((p.ups[1].got.clone(), p.done(0)), ([(1, 10)].to_vec(), 1));
}

#[test]
fn packets_are_lost_doubled_and_overtaken_and_messages_are_not() {
    let mut p = open(&[(0, datagram, Role::Any), (1, datagram, Role::Any)]);
    for n in 0..60 {
        p.send(0, n % 3, 3000);
    }
    let mut line: Vec<(usize, u8, Vec<u8>)> = Vec::new();
    let (mut seed, mut lost) = (7_u32, 0);
    for _ in 0..5000 {
        for end in 0..2 {
            for lane in 0..2 {
                let packets = p.take(end, lane);
                line.extend(packets.into_iter().map(|packet| (1 - end, lane, packet)));
            }
        }
        seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        p.now = p.now.after(20_000);
        if line.is_empty() {
            continue;
        }
        let (end, lane, packet) = line.remove((seed >> 16) as usize % line.len());
        if seed >> 29 == 0 {
            lost += 1;
            continue;
        }
        p.give(end, lane, &packet);
        if seed >> 29 == 1 {
            assert_eq!(p.give(end, lane, &packet), PacketResult::Duplicate);
        }
    }
    assert!(lost > 5);
    assert_eq!((p.ups[1].got.len(), p.done(0)), (60, 60));
    assert_eq!(p.ends[0].in_flight, 0);
}

#[test]
fn marks_of_the_network_are_told() {
    let mut p = open(&[(0, datagram, Role::Any)]);
    p.send(0, 1, 10);
    let packet = p.take(0, 0);
    let up = &mut p.ups[1];
    p.ends[1].on_packet(p.now, 0, Mark::Ce, &packet[0], up);
    let answer = p.take(1, 0);
    let (_, said) = frames(&answer[0]);
    let [Frame::Ack(Ack { ecn: Some(ecn), .. })] = &said[..] else {
        panic!("{said:?}");
    };
    assert_eq!((ecn.ect0, ecn.ce), (0, 1));
}

/// Packets that are lost on the lane of number 0 from now on, and what that costs.
fn silence(lanes: &[NewLane]) {
    let mut p = open(lanes);
    let pto = p.ends[0].lane(0).unwrap().lane().detector().pto_ns();
    for n in 0..8 {
        p.send(0, n, 64);
    }
    let died = p.now;
    assert_eq!(p.take(0, 0).len(), 1, "it takes them all");
    // New ones leave elsewhere from the first timeout on.
    tick(&mut p);
    assert!(p.now <= died.after(pto));
    p.take(0, 0);
    p.send(0, 9, 64);
    assert!(p.take(0, 0).is_empty());
    let until = p.now;
    run(&mut p, &[0], until);
    assert_eq!(p.ups[1].got, [(9, 64)]);
    assert!(!p.ends[0].lane(0).unwrap().lane().is_quarantined());
    // And the old ones from the second one on.
    let until = died.after(3 * pto);
    run(&mut p, &[0], until);
    assert_eq!(p.ups[1].got.len(), 9);
    assert!(p.ends[0].lane(0).unwrap().lane().is_quarantined());
    assert_eq!(p.ends[0].lane(0).unwrap().lane().in_flight(), 1);
    // It asks for as long as it takes, and holds one record for that.
    let until = p.now.after(20 * MOST_WAIT_NS);
    run(&mut p, &[0], until);
    let silent = p.ends[0].lane(0).unwrap();
    assert!(silent.lane().detector().timeouts() > 12);
    assert_eq!((silent.lane().in_flight(), p.ends[0].in_flight), (1, 0));
    assert_eq!(p.done(0), 9);
    // It is answered.
    p.send(0, 1, 64);
    let until = p.now.after(MOST_WAIT_NS);
    run(&mut p, &[], until);
    assert!(!p.ends[0].lane(0).unwrap().lane().is_quarantined());
    p.send(0, 2, 64);
    assert_eq!(p.take(0, 0).len(), 1, "it is in use");
}

#[test]
fn a_silent_lane_costs_three_timeouts_at_most() {
    silence(&[(0, datagram, Role::Any), (1, datagram, Role::Any)]);
    silence(&[(0, long_queue, Role::Any), (1, long_queue, Role::Any)]);
    silence(&[(0, datagram, Role::Small), (1, long_queue, Role::Bulk)]);
    silence(&[(0, long_queue, Role::Small), (2, datagram, Role::Bulk)]);
}

/// The lanes before it were asked when it gives up what is under way.
#[test]
fn nor_does_one_that_is_asked_last() {
    for lane in [datagram, long_queue] {
        for room in [1, 2, 256] {
            let settings = Settings {
                room,
                ..Settings::default()
            };
            let mut p = pair_with(settings, &[(0, lane, Role::Any), (1, lane, Role::Any)]);
            let until = p.now.after(10_000_000);
            run(&mut p, &[], until);
            let pto = p.ends[0].lane(1).unwrap().lane().detector().pto_ns();
            for n in 0..3 {
                p.send(0, n, 5000 * usize::from(n));
            }
            assert!(!p.take(0, 1).is_empty());
            let until = p.now.after(3 * pto);
            run(&mut p, &[1], until);
            assert_eq!(p.ups[1].got.len(), 3, "room {room}");
            // Nor does what asks take the room of what has something to say.
            let until = p.now.after(20 * MOST_WAIT_NS);
            run(&mut p, &[1], until);
            for n in 0..3 {
                p.send(0, n, 5000);
            }
            let until = p.now.after(10_000_000);
            run(&mut p, &[1], until);
            assert_eq!((p.ups[1].got.len(), p.done(0)), (6, 6), "room {room}");
        }
    }
}

/// With all lanes silent messages stay where they are, and the first one that is answered has them.
#[test]
fn the_first_lane_that_comes_back_takes_over() {
    let mut p = open(&[(0, datagram, Role::Any), (1, long_queue, Role::Any)]);
    for n in 0..40 {
        p.send(0, n, 3000);
    }
    let until = p.now.after(300_000_000);
    run(&mut p, &[0, 1], until);
    let quarantined = |p: &Pair, n| p.ends[0].lane(n).unwrap().lane().is_quarantined();
    assert!(!quarantined(&p, 0) && !quarantined(&p, 1));
    assert!(p.ends[0].lane(0).unwrap().lane().in_flight() > 0);
    let until = p.now.after(2 * MOST_WAIT_NS);
    run(&mut p, &[0], until);
    assert!(quarantined(&p, 0) && !quarantined(&p, 1));
    assert_eq!((p.ups[1].got.len(), p.done(0)), (40, 40));
}

#[test]
fn the_only_lane_sends_the_oldest_again() {
    for lane in [datagram, long_queue] {
        let mut p = open(&[(0, lane, Role::Any)]);
        p.send(0, 1, 64);
        p.send(0, 2, 64);
        assert_eq!(p.take(0, 0).len(), 1);
        let mut again = 0;
        for timeout in 1..9 {
            tick(&mut p);
            for packet in p.take(0, 0) {
                let (_, said) = frames(&packet);
                assert!(said.contains(&Frame::Ping));
                again += said.len() - 1;
            }
            let in_flight = p.ends[0].lane(0).unwrap().lane().in_flight();
            assert!(in_flight <= 3 && again <= 2 * timeout);
        }
        assert!(again >= 2, "{again}");
        let until = p.now.after(2 * MOST_WAIT_NS);
        run(&mut p, &[], until);
        assert_eq!((p.ups[1].got.len(), p.done(0)), (2, 2));
    }
}

#[test]
fn small_and_large_messages_have_lanes_of_their_own_kind() {
    let mut p = open(&[(0, long_queue, Role::Small), (1, datagram, Role::Bulk)]);
    p.send(0, 1, 1 << 16);
    p.send(0, 2, 64);
    let (small, bulk) = (p.take(0, 0), p.take(0, 1));
    assert_eq!(small.len(), 1);
    assert!(bulk.len() > 2 && bulk.iter().all(|packet| packet.len() <= 4096));
    // A pacer holds back what the window does not.
    let next = p.ends[0].next_timeout().unwrap();
    assert!(next > p.now);
    p.give(1, 0, &small[0]);
    assert_eq!(p.ups[1].got, [(2, 64)]);
    for packet in &bulk {
        p.give(1, 1, packet);
    }
    let until = p.now.after(500_000_000);
    run(&mut p, &[], until);
    assert_eq!(p.ups[1].got, [(2, 64), (1, 1 << 16)]);
}

/// What was cancelled before it was sent hides what is behind it, which may belong elsewhere.
#[test]
fn cancelled_messages_hide_nothing() {
    let lanes: [&[NewLane]; 3] = [
        &[(0, long_queue, Role::Any)],
        &[(0, long_queue, Role::Small), (1, long_queue, Role::Bulk)],
        &[(0, long_queue, Role::Bulk), (1, long_queue, Role::Small)],
    ];
    for lanes in lanes {
        for (turns, hidden) in [(0, 1), (1, 1), (0, 2), (1, 2), (0, 3), (1, 3)] {
            let mut p = open(lanes);
            for _ in 0..turns {
                p.send(0, 9, 10);
                let until = p.now.after(10_000_000);
                run(&mut p, &[], until);
            }
            p.ups[1].got.clear();
            for n in 0..hidden {
                let len = if n % 2 == 0 { 5000 } else { 10 };
                let message = Message(1, std::vec![5; len]);
                let ticket = p.ends[0].outbox().queue(message).ok().unwrap();
                assert!(matches!(p.ends[0].outbox().cancel(ticket), Cancel::Now(_)));
            }
            let len = if hidden % 2 == 0 { 5000 } else { 10 };
            p.send(0, 1, len);
            let until = p.now.after(10_000_000);
            run(&mut p, &[], until);
            assert_eq!(p.ups[1].got, [(1, len)], "{lanes:?} {turns} {hidden}");
            p.done(0);
            assert!(p.ends[0].outbox().is_empty());
        }
    }
}
