// SPDX-License-Identifier: GPL-2.0

//! What two sessions tell each other when a lane begins or ends, and what they remember of it.

use super::*;
use crate::native::wire::{Ack, Bye, Hello};

/// What the end of that number says first on a lane.
fn hello_of(p: &mut Pair, end: usize) -> Hello {
    let mut other = Pair::new();
    other.up(0, Role::Any);
    let packets = other.take(end, 0);
    let (_, said) = frames(&packets[0]);
    let Frame::Hello(hello) = said[0] else {
        panic!("{said:?}");
    };
    Hello {
        peer: NonZeroU32::new(p.ends[1 - end].number()),
        ..hello
    }
}

#[test]
fn an_open_lane_stays_with_its_session() {
    let header = PacketHeader {
        session: 22,
        number: 1 << 20,
        ..PacketHeader::default()
    };
    for change in [
        |hello: &mut Hello| hello.session = 99,
        |hello: &mut Hello| hello.incarnation = NonZeroU32::new(99).unwrap(),
    ] {
        let mut p = Pair::new();
        p.up(0, Role::Any);
        p.settle();
        for n in 0..3 {
            p.send(1, n, 64);
        }
        p.send(1, 9, 200_000);
        let lost = p.take(1, 0);
        assert!(!lost.is_empty());
        let mut hello = hello_of(&mut p, 0);
        // The same once more says nothing new.
        let again = packet_of(header, |w| hello.emit(w));
        assert_eq!(p.give(1, 0, &again), PacketResult::Taken);
        change(&mut hello);
        let number = header.number + 1;
        let forged = packet_of(PacketHeader { number, ..header }, |w| hello.emit(w));
        assert_eq!(p.give(1, 0, &forged), PacketResult::Ended);
        assert_eq!(p.ends[1].ended(), Some(Reason::Conflict));
        assert_eq!(p.ends[1].peer().unwrap().session, 11);
        // What was under way on the lane leaves once on the next.
        for end in &mut p.ends {
            end.lane_down(p.now, 0);
        }
        p.up(0, Role::Any);
        p.settle();
        let mut got = p.ups[0].got.clone();
        got.sort_unstable();
        assert_eq!(got, [(0, 64), (1, 64), (2, 64), (9, 200_000)]);
        assert_eq!(p.done(1), 4);
    }
}

#[test]
fn a_peer_must_take_the_longest_message() {
    let mut p = Pair::new();
    p.up(0, Role::Any);
    let good = hello_of(&mut p, 0);
    for (quota, ended) in [(MIN_QUOTA - 1, Some(Reason::Violation)), (MIN_QUOTA, None)] {
        let mut p = Pair::new();
        p.up(0, Role::Any);
        let hello = Hello { quota, ..good };
        let packet = packet_of(PacketHeader::default(), |w| hello.emit(w));
        p.give(1, 0, &packet);
        assert_eq!(p.ends[1].ended(), ended);
    }
    // What we would say of ourselves is raised to it.
    let mut p = Pair::with(Settings {
        limits: Limits {
            window: 0,
            quota: 1,
        },
        max_packet: 1,
        ..Settings::default()
    });
    assert_eq!(p.ends[0].settings().limits.quota, MIN_QUOTA);
    p.up(0, Role::Any);
    p.settle();
    p.send(0, 1, 1 << 20);
    p.send(0, 2, 64);
    p.settle();
    assert_eq!(p.ups[1].got.len(), 2);
}

/// Messages arrive and their acknowledgement does not; then the lane is gone.
fn unacknowledged() -> Pair {
    let mut p = Pair::new();
    p.up(0, Role::Any);
    p.settle();
    for port in 1..4 {
        p.send(0, port, 64);
    }
    for packet in p.take(0, 0) {
        assert_eq!(p.give(1, 0, &packet), PacketResult::Taken);
    }
    assert_eq!(p.ups[1].got.len(), 3);
    p
}

fn down(p: &mut Pair) {
    for end in &mut p.ends {
        end.lane_down(p.now, 0);
    }
}

#[test]
fn what_was_handed_up_is_not_sent_again() {
    let mut p = unacknowledged();
    down(&mut p);
    assert_eq!(p.done(0), 0);
    p.up(0, Role::Any);
    let hellos = [p.take(0, 0), p.take(1, 0)];
    for (end, packets) in hellos.iter().enumerate() {
        for packet in packets {
            p.give(1 - end, 0, packet);
        }
    }
    // The hello alone tells it.
    assert_eq!((p.done(0), p.ends[0].outbox().has_work()), (3, false));
    p.settle();
    assert_eq!(p.ups[1].got.len(), 3);
}

#[test]
fn a_farewell_tells_what_was_handed_up() {
    for (base, done) in [(None, 3), (Some(1), 1), (Some(4), 0)] {
        let mut p = unacknowledged();
        // A large one is under way, too, and not yet there.
        p.send(0, 9, 200_000);
        assert!(!p.take(0, 0).is_empty());
        p.ends[1].end(Reason::Shutdown);
        let bye = p.take(1, 0).remove(0);
        let (header, said) = frames(&bye);
        let Frame::Bye(bye) = said[0] else {
            panic!("{said:?}");
        };
        assert_eq!((bye.reason, bye.base), (Reason::Shutdown, 3));
        let base = base.unwrap_or(bye.base);
        // One that cannot be is ignored.
        let base = if base == 4 { 5 } else { base };
        let bye = Bye { base, ..bye };
        let packet = packet_of(header, |w| bye.emit(w));
        assert_eq!(p.give(0, 0, &packet), PacketResult::Ended);
        assert_eq!(p.ends[0].ended(), Some(Reason::Shutdown));
        down(&mut p);
        assert_eq!(p.done(0), done, "base {base}");
        p.up(0, Role::Any);
        p.settle();
        assert_eq!((p.ups[1].got.len(), done + p.done(0)), (4, 4));
    }
}

#[test]
fn pieces_of_what_was_handed_up_are_not_sent_again() {
    let mut p = Pair::new();
    p.up(0, Role::Any);
    p.up(1, Role::Any);
    p.settle();
    p.send(0, 1, 200_000);
    let pieces = p.take(0, 0);
    assert!(pieces.len() > 2);
    for packet in &pieces {
        p.give(1, 0, packet);
    }
    assert_eq!(p.ups[1].got.len(), 1);
    // The sender hears of it by the other lane, while it has the pieces for under way.
    p.ends[0].lane_down(p.now, 1);
    p.ends[1].lane_down(p.now, 1);
    p.up(1, Role::Any);
    for packet in p.take(0, 1) {
        p.give(1, 1, &packet);
    }
    for packet in p.take(1, 1) {
        p.give(0, 1, &packet);
    }
    assert_eq!(p.done(0), 0);
    p.ends[0].lane_down(p.now, 0);
    assert_eq!((p.done(0), p.ends[0].outbox().has_work()), (1, false));
    assert_eq!(p.ends[0].outbox().under_way(), 0);
}

/// Who forgot what it must remember is told so, before anything is handed up twice.
#[test]
fn a_second_session_in_the_same_life_is_refused() {
    let mut p = unacknowledged();
    down(&mut p);
    p.ends[1] = session(33, 2);
    p.up(0, Role::Any);
    p.settle();
    assert_eq!(p.ends[0].ended(), Some(Reason::Conflict));
    assert_eq!(p.ends[1].ended(), Some(Reason::Conflict));
    assert_eq!((p.ups[1].got.len(), p.done(0)), (3, 0));
    // In another life it is welcome.
    down(&mut p);
    p.ends[1] = session(44, 3);
    p.ups[1] = Up::default();
    p.up(0, Role::Any);
    p.settle();
    assert_eq!((p.ups[1].got.len(), p.done(0)), (3, 3));
}

#[test]
fn numbers_that_cannot_be_are_refused() {
    let mut p = Pair::new();
    p.up(0, Role::Any);
    p.settle();
    p.send(1, 1, 10);
    p.settle();
    let good = hello_of(&mut p, 0);
    for (serial, known, first, base, ended) in [
        (1000, true, 0, 1, None),
        (1001, true, 0, 2, Some(Reason::Conflict)),
        (1002, true, 1, 1, Some(Reason::Conflict)),
        (1003, false, 7, 0, None),
        (1004, false, 7, 1, Some(Reason::Conflict)),
        // It comes late, and may have been said to somebody else.
        (1, true, 1, 1, None),
    ] {
        let mut other = Pair::new();
        let p = if known { &mut p } else { &mut other };
        p.ends[1].lane_down(p.now, 0);
        assert!(p.ends[1].lane_up(0, reliable(Role::Any, 9)).is_ok());
        let hello = Hello {
            first,
            base,
            serial,
            ..good
        };
        let packet = packet_of(PacketHeader::default(), |w| hello.emit(w));
        p.give(1, 0, &packet);
        assert_eq!(p.ends[1].ended(), ended, "{known} {first} {base}");
    }
}

#[test]
fn a_session_that_is_put_away_goes_on_where_it_was() {
    let mut p = Pair::new();
    p.up(0, Role::Any);
    p.settle();
    for (end, port) in [(0, 1), (1, 2), (0, 1)] {
        p.send(end, port, 700_000);
        assert!(p.ends[end].park().is_none(), "it has something to send");
        p.settle();
        p.done(end);
        assert!(p.ends[end].park().is_none(), "it has a lane");
    }
    assert!(core::mem::size_of::<Memory>() <= 256);
    down(&mut p);
    let next = p.ends[0].next;
    for end in 0..2 {
        let memory = p.ends[end].park().unwrap();
        let fresh = session(1, 1);
        let lanes = (0..4).map(|_| None).collect();
        p.ends[end] = Session::resume(&memory, fresh.outbox, lanes);
    }
    // No number of a packet is used again.
    assert!(next > 0 && p.ends[0].next == next);
    p.map[0] = 2;
    p.up(0, Role::Any);
    p.settle();
    assert_eq!(p.ends.each_ref().map(|end| end.ended()), [None; 2]);
    for end in 0..2 {
        for _ in 0..9 {
            // Charges go on, too: nothing is told of quota that was not there.
            p.send(end, 3, 700_000);
            p.settle();
        }
    }
    let got = p.ups.each_ref().map(|up| up.got.len());
    assert_eq!((got, p.done(0), p.done(1)), ([10, 11], 9, 9));
    assert_eq!(p.ends[1].inbox().base(), 11);
    assert_eq!(p.ends[1].inbox().released(), 11 * (700_000 + 256));
}

/// What is said of the room on one lane does not take back what was said later on another.
#[test]
fn the_newest_word_on_the_room_counts() {
    let mut p = Pair::new();
    p.up(0, Role::Any);
    p.settle();
    let heard = p.ends[0].heard;
    let said = |number, serial: u32, room| {
        let header = PacketHeader {
            session: 11,
            number,
            ..PacketHeader::default()
        };
        let ack = Ack {
            serial: heard.wrapping_add(serial),
            room,
            ..Ack::default()
        };
        packet_of(header, |w| ack.emit(w))
    };
    for (number, serial, room, expected) in [
        (50, 2, 7, 7),
        (51, 1, 8, 7),
        (52, 2, 9, 7),
        (53, 1 << 31, 10, 10),
        (54, (1 << 31) + 1, 0, 0),
    ] {
        let packet = said(number, serial, room);
        assert_eq!(p.give(0, 0, &packet), PacketResult::Taken);
        assert_eq!(p.ends[0].room, expected, "{serial}");
    }
}

/// On a long path the peer's answer takes longer than the first timeout.
#[test]
fn a_hello_that_a_reliable_lane_repeats_is_no_stray() {
    let mut p = Pair::new();
    p.up(0, Role::Any);
    let first = p.take(0, 0);
    p.now = Instant(p.now.0 + 10_000_000_000);
    let again = p.take(0, 0);
    assert_eq!((first.len(), again.len()), (1, 1));
    assert_eq!(p.give(1, 0, &first[0]), PacketResult::Taken);
    assert_eq!(p.give(1, 0, &again[0]), PacketResult::Taken);
    // One of another session is.
    let mut p2 = Pair::new();
    p2.ends[0] = session(44, 4);
    p2.up(0, Role::Any);
    let other = p2.take(0, 0);
    assert_eq!(p.give(1, 0, &other[0]), PacketResult::Stray);
    assert_eq!(p.ends[1].ended(), None);
    p.send(0, 1, 10);
    p.settle();
    assert_eq!((p.done(0), p.ups[1].got.len()), (1, 1));
}
