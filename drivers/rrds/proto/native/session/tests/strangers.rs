// SPDX-License-Identifier: GPL-2.0

//! Datagram lanes, on which anybody can send: forged packets, and peers that are in another life.

use super::lanes::{long_queue, open, pair, run, run_with, NewLane};
use super::*;
use crate::native::wire::{frame_header, Ack, Bye, FrameType, Hello, Reset};

/// A header without a number of a session.
const NAMELESS: PacketHeader = PacketHeader {
    session: 0,
    kind: crate::native::wire::PacketType::Frames,
    lane: 0,
    flags: crate::native::wire::PacketFlags::NONE,
    number: 1 << 20,
};

fn hello(session: u32, incarnation: u32, peer: u32) -> Hello {
    Hello {
        session,
        incarnation: NonZeroU32::new(incarnation).unwrap(),
        peer: NonZeroU32::new(peer),
        features: 0,
        first: 0,
        base: 0,
        quota: MIN_QUOTA,
        max_packet: 4096,
        serial: 1,
        window: 100,
        room: 100,
        ack_delay: 0,
        lanes: 1,
    }
}

/// Lets packets arrive for a minute, but those, as they are sent, whose bit is set in `lost`.
fn run_lossy(p: &mut Pair, lost: u32) {
    run_strange(p, lost, None);
}

/// The same, with a packet that comes to end 1 on lane 0 before so many others have.
fn run_strange(p: &mut Pair, mut lost: u32, strange: Option<(u32, &[u8])>) {
    let (until, mut count) = (p.now.after(60_000_000_000), 0);

    run_with(p, until, |p, _| {
        if let Some((_, packet)) = strange.filter(|(at, _)| *at == count) {
            p.give(1, 0, packet);
        }
        count += 1;
        let arrives = lost & 1 == 0;
        lost >>= 1;
        arrives
    });
}

/// The end of that number is in another life, and knows nothing of the last.
fn restart(p: &mut Pair, end: usize, number: u32, life: u32) {
    p.ends[end] = session(number, life);
    p.ups[end] = Up::default();
}

#[test]
fn who_does_not_know_the_number_ends_nothing() {
    let bye = Bye {
        reason: Reason::Shutdown,
        base: 0,
    };
    let reset = |session| Reset {
        session,
        incarnation: 1,
        reason: Reason::Unknown,
    };
    let [mut a, mut b] = [(); 2].map(|()| open(&[(0, datagram, Role::Any)]));
    let p = &mut a;
    p.send(0, 1, 64);
    let good = p.take(0, 0);
    for packet in [
        packet_of(NAMELESS, |w| bye.emit(w)),
        packet_of(NAMELESS, |w| reset(0).emit(w)),
        packet_of(NAMELESS, |w| reset(12).emit(w)),
        packet_of(NAMELESS, |w| Ack::default().emit(w)),
        packet_of(NAMELESS, |_| true),
    ] {
        assert_eq!(p.give(1, 0, &packet), PacketResult::Stray);
    }
    for forged in [
        hello(11, 9, 0),
        hello(9, 1, 0),
        hello(9, 9, 22),
        hello(9, 9, 9),
    ] {
        let packet = packet_of(NAMELESS, |w| forged.emit(w));
        assert_eq!(p.give(1, 0, &packet), PacketResult::Refused);
        // Its sender is asked for the number, once.
        let asked = p.take(1, 0);
        let (header, said) = frames(&asked[0]);
        let [Frame::Hello(ours)] = said[..] else {
            panic!("{said:?}");
        };
        assert_eq!((asked.len(), header.session), (1, forged.session));
        assert_eq!((ours.session, ours.peer), (22, NonZeroU32::new(11)));
    }
    assert_eq!((p.ends[1].ended(), p.ends[1].number()), (None, 22));
    assert_eq!(p.ends[1].peer().unwrap().session, 11);
    // None of them counts as a packet of the lane.
    assert_eq!(p.give(1, 0, &good[0]), PacketResult::Taken);
    // The peer's hello may come once more from before it knew the number.
    let again = packet_of(NAMELESS, |w| hello(11, 1, 0).emit(w));
    assert_eq!(p.give(1, 0, &again), PacketResult::Taken);
    // A reset that names the peer's session is by somebody who was sent a packet.
    let packet = packet_of(NAMELESS, |w| reset(11).emit(w));
    assert_eq!(b.give(1, 0, &packet), PacketResult::Ended);
    assert_eq!(b.ends[1].ended(), Some(Reason::Unknown));
}

#[test]
fn a_peer_in_another_life_is_believed_when_it_knows_the_number() {
    let mut p = open(&[(0, datagram, Role::Any), (1, datagram, Role::Any)]);
    for end in &mut p.ends {
        end.lane_down(p.now, 1);
    }
    p.send(1, 5, 64);
    let late = p.take(1, 0);
    restart(&mut p, 1, 33, 3);
    for end in &mut p.ends {
        assert!(end.lane_up(1, datagram(Role::Any)).is_ok());
    }
    p.take(0, 1);
    let first = p.take(1, 1);
    assert_eq!(p.give(0, 1, &first[0]), PacketResult::Refused);
    assert!(!p.ends[0].lane(0).unwrap().is_dead(), "anybody may say so");
    let asked = p.take(0, 1);
    p.give(1, 1, &asked[0]);
    let again = p.take(1, 1);
    assert_eq!(frames(&again[0]).0.session, 11);
    assert_eq!(p.give(0, 1, &again[0]), PacketResult::Taken);
    assert!(p.ends[0].lane(0).unwrap().is_dead());
    // What the last life has sent says so by its number.
    assert_eq!(p.ends[0].number(), 11 + (1 << NUMBER_BITS));
    p.ends[0].lane_down(p.now, 0);
    assert!(p.ends[0].lane_up(0, datagram(Role::Any)).is_ok());
    assert_eq!(p.give(0, 0, &late[0]), PacketResult::Stray);
    let until = p.now.after(10_000_000);
    p.send(0, 1, 64);
    p.send(1, 2, 64);
    run(&mut p, &[0], until);
    assert_eq!((p.ups[0].got.clone(), p.done(0)), ([(2, 64)].to_vec(), 1));
}

#[test]
fn a_lane_that_is_gone_owes_no_answer() {
    let mut p = open(&[(0, datagram, Role::Any)]);
    let forged = packet_of(NAMELESS, |w| hello(9, 9, 0).emit(w));
    assert_eq!(p.give(1, 0, &forged), PacketResult::Refused);
    p.ends[1].lane_down(p.now, 0);
    assert!(p.ends[1].lane_up(0, datagram(Role::Any)).is_ok());
    let said = p.take(1, 0);
    assert_eq!((said.len(), frames(&said[0]).0.session), (1, 0));
}

/// The lane stays as it is: the numbers of its packets start over, and what was under way on it is sent
/// to the new life. Whatever is lost meanwhile.
#[test]
fn a_lane_outlives_a_life() {
    for lost in 0..1 << 9 {
        let mut p = open(&[(0, datagram, Role::Any)]);
        for n in 0..40 {
            p.send(1, n, 3000);
            p.send(0, n, 10);
        }
        let until = p.now.after(10_000_000);
        run(&mut p, &[], until);
        assert_eq!((p.done(0), p.done(1)), (40, 40));
        p.send(1, 50, 64);
        let late = p.take(1, 0);
        for n in 0..3 {
            p.send(0, n, 64);
        }
        assert!(!p.take(0, 0).is_empty());
        restart(&mut p, 1, 33, 3);
        assert!(p.ends[1].lane_up(0, datagram(Role::Any)).is_ok());
        p.send(1, 60, 64);
        p.ups[0] = Up::default();
        run_lossy(&mut p, lost);
        assert_eq!(p.give(0, 0, &late[0]), PacketResult::Stray);
        let mut got = p.ups[1].got.clone();
        got.sort_unstable();
        assert_eq!(got, [(0, 64), (1, 64), (2, 64)], "{lost:b}");
        assert_eq!(p.ups[0].got, [(60, 64)], "{lost:b}");
        assert_eq!((p.done(0), p.done(1)), (3, 1), "{lost:b}");
        assert_eq!(p.ends.each_ref().map(|end| end.ended()), [None; 2]);
    }
}

/// A datagram that comes before any hello does not count among the numbers of who says one.
#[test]
fn what_an_earlier_life_sent_before_its_hello_is_not_acknowledged() {
    // With another lane that leads to the earlier life, and as long as no lane does.
    for lane in [1, 0] {
        let lanes: [NewLane; 2] = [(0, datagram, Role::Any), (1, datagram, Role::Any)];
        let mut p = pair(&lanes[..=usize::from(lane)]);
        let until = p.now.after(10_000_000);
        run(&mut p, &[lane], until);
        let header = PacketHeader {
            session: 11,
            lane,
            ..NAMELESS
        };
        let ping = packet_of(header, |w| w.put(&frame_header(FrameType::Ping, 0, 0)));
        assert_eq!(p.give(0, lane, &ping), PacketResult::Refused);
        restart(&mut p, 1, 33, 3);
        assert!(p.ends[1].lane_up(lane, datagram(Role::Any)).is_ok());
        p.send(0, 1, 64);
        p.send(1, 2, 64);
        let until = p.now.after(10_000_000_000);
        run(&mut p, &[], until);
        assert_eq!(p.ups[0].got, [(2, 64)]);
        assert_eq!((p.done(0), p.done(1)), (1, 1));
        assert_eq!(p.ends.each_ref().map(|end| end.ended()), [None; 2]);
    }
}

/// The other end is not told: nothing says that the lane was taken down, or it is lost.
#[test]
fn an_end_of_a_lane_that_is_made_anew_is_greeted() {
    let mut tried = 0;
    for lanes in 1..=2 {
        for lost in 0..1 << 8 {
            let both: [NewLane; 2] = [(0, datagram, Role::Any), (1, datagram, Role::Any)];
            let mut p = open(&both[..lanes]);
            for n in 0..3 {
                p.send(0, n, 3000);
                p.send(1, n, 3000);
            }
            // Some of it is under way, and is lost with the end.
            tried += p.take(0, 0).len() + p.take(1, 0).len();
            p.ends[0].lane_down(p.now, 0);
            assert!(p.ends[0].lane_up(0, datagram(Role::Any)).is_ok());
            run_lossy(&mut p, lost);
            for (at, up) in p.ups.iter_mut().enumerate() {
                up.got.sort_unstable();
                let all = [(0, 3000), (1, 3000), (2, 3000)];
                assert_eq!(up.got, all, "end {at}, {lanes} lanes, {lost:b}");
            }
            assert_eq!((p.done(0), p.done(1)), (3, 3));
            assert_eq!(p.ends.each_ref().map(|end| end.ended()), [None; 2]);
            assert!(p.ends[0].lane(0).unwrap().open);
        }
    }
    assert!(tried > 0);
}

/// What is without our number may be by anybody, as long as the peer is not known.
#[test]
fn who_is_met_for_the_first_time_ends_nothing() {
    let bye = Bye {
        reason: Reason::Shutdown,
        base: 0,
    };
    let reset = Reset {
        session: 0,
        incarnation: 1,
        reason: Reason::Unknown,
    };
    let ack = Ack {
        largest: 1 << 40,
        ..Ack::default()
    };
    let strange = hello(9, 9, 0);
    let (mut large, mut small) = (strange, strange);
    large.base = 1 << 40;
    small.max_packet = 0;
    let message =
        |w: &mut Writer<'_>| w.put(&frame_header(FrameType::Message, 16, 0)) && w.put(&[0; 16]);
    for forged in [
        packet_of(NAMELESS, |w| reset.emit(w)),
        packet_of(NAMELESS, |w| large.emit(w)),
        packet_of(NAMELESS, |w| small.emit(w)),
        packet_of(NAMELESS, |w| strange.emit(w) && bye.emit(w)),
        packet_of(NAMELESS, |w| strange.emit(w) && ack.emit(w)),
        packet_of(NAMELESS, |w| strange.emit(w) && w.put(&[0xff; 3])),
        packet_of(NAMELESS, |w| strange.emit(w) && message(w)),
    ] {
        let mut p = pair(&[(0, datagram, Role::Any), (1, long_queue, Role::Any)]);
        let went = p.give(1, 0, &forged);
        assert!(matches!(went, PacketResult::Stray | PacketResult::Refused));
        assert_eq!((p.ends[1].ended(), p.ups[1].got.len()), (None, 0));
        p.send(0, 1, 64);
        p.send(1, 2, 64);
        let until = p.now.after(60_000_000_000);
        run(&mut p, &[1], until);
        let got = p.ups.each_ref().map(|up| up.got.clone());
        assert_eq!(got, [[(2, 64)], [(1, 64)]]);
    }
}

/// Each side takes the other for somebody who is no more, one of them by a forged hello.
fn both_mistaken() -> Pair {
    let mut p = open(&[(0, datagram, Role::Any)]);
    // The side that stays has handed something up, and has something in store.
    for n in 0..3 {
        p.send(0, n, 64);
    }
    let until = p.now.after(10_000_000);
    run(&mut p, &[], until);
    assert_eq!(p.ends[1].inbox().base(), 3);
    p.ups[1] = Up::default();
    restart(&mut p, 0, 44, 4);
    assert!(p.ends[0].lane_up(0, datagram(Role::Any)).is_ok());
    let forged = Hello {
        first: 50,
        ..hello(99, 99, 0)
    };
    let forged = packet_of(NAMELESS, |w| forged.emit(w));
    assert_eq!(p.give(0, 0, &forged), PacketResult::Taken);
    p.send(0, 1, 64);
    p.send(1, 2, 64);
    p
}

fn check_both_found(p: &Pair, what: (u32, u32)) {
    let got = p.ups.each_ref().map(|up| up.got.clone());
    assert_eq!(got, [[(2, 64)], [(1, 64)]], "{what:?}");
    let ended = p.ends.each_ref().map(|end| end.ended());
    assert_eq!(ended, [None; 2], "{what:?}");
    assert_eq!(p.ends[0].peer().unwrap().incarnation.get(), 2);
}

#[test]
fn two_sides_that_are_both_mistaken_find_each_other() {
    for lost in 0..1 << 7 {
        let mut p = both_mistaken();
        run_lossy(&mut p, lost);
        check_both_found(&p, (lost, 0));
    }
}

/// A hello of a life that is over comes late, when whoever gets it may know nobody.
#[test]
fn a_late_hello_of_another_life_does_no_harm() {
    for at in 0..24 {
        for lost in 0..1 << 4 {
            let mut p = both_mistaken();
            let late = packet_of(NAMELESS, |w| hello(11, 1, 0).emit(w));
            run_strange(&mut p, lost, Some((at, &late)));
            check_both_found(&p, (lost, at));
        }
    }
}

/// A peer that took us for somebody else in between says so by its number; one that says what it said
/// before that is too late.
#[test]
fn a_peer_that_comes_back_starts_over() {
    for ahead in [1, 127, 128, 255] {
        let mut p = open(&[(0, datagram, Role::Any)]);
        p.send(1, 1, 64);
        assert!(!p.take(1, 0).is_empty());
        let again = hello(11 + (ahead << NUMBER_BITS), 1, 22);
        let header = PacketHeader {
            session: 22,
            ..NAMELESS
        };
        let packet = packet_of(header, |w| again.emit(w));
        let went = p.give(1, 0, &packet);
        assert_eq!((p.ends[1].ended(), p.ends[1].number()), (None, 22));
        let peer = p.ends[1].peer().unwrap().session;
        let carries = !p.take(1, 0).is_empty();
        if ahead < 128 {
            assert_eq!((went, peer), (PacketResult::Taken, again.session));
            assert!(carries, "what it did not acknowledge");
        } else {
            assert_eq!((went, peer), (PacketResult::Stray, 11));
            assert!(!carries);
        }
    }
}

/// Who forgot what it must remember is told so once it has shown who it is.
#[test]
fn a_second_session_in_the_same_life_is_refused() {
    let mut p = open(&[(0, datagram, Role::Any)]);
    restart(&mut p, 1, 33, 2);
    assert!(p.ends[1].lane_up(0, datagram(Role::Any)).is_ok());
    let until = p.now.after(10_000_000_000);
    run(&mut p, &[], until);
    let ended = p.ends.each_ref().map(|end| end.ended());
    assert_eq!(ended, [Some(Reason::Conflict); 2]);
}

/// What the last life acknowledges is not what the next one has been told.
#[test]
fn a_hello_is_not_acknowledged_by_another_life() {
    let mut p = open(&[(0, datagram, Role::Any)]);
    for end in &mut p.ends {
        end.lane_down(p.now, 0);
    }
    restart(&mut p, 1, 33, 3);
    for end in &mut p.ends {
        assert!(end.lane_up(0, datagram(Role::Any)).is_ok());
    }
    // A hello to the last life comes, and is noted.
    let mistaken = p.take(0, 0);
    let number = frames(&mistaken[0]).0.number;
    for packet in p.take(1, 0) {
        p.give(0, 0, &packet);
    }
    for packet in mistaken.iter().chain(&p.take(0, 0)) {
        p.give(1, 0, packet);
    }
    for packet in p.take(1, 0) {
        p.give(0, 0, &packet);
    }
    assert_eq!(p.ends[0].peer().unwrap().session, 33);
    // The one to this life is lost, while the other one is acknowledged.
    assert!(!p.take(0, 0).is_empty());
    assert!(!p.ends[1].lane(0).unwrap().open);
    let ack = Ack {
        largest: number,
        ..Ack::default()
    };
    let header = PacketHeader {
        session: p.ends[0].number(),
        number: p.ends[1].lane(0).unwrap().lane().next_number(),
        ..NAMELESS
    };
    let packet = packet_of(header, |w| ack.emit(w));
    assert_eq!(p.give(0, 0, &packet), PacketResult::Taken);
    assert!(!p.ends[0].lane(0).unwrap().greeted);
    p.send(0, 1, 64);
    let until = p.now.after(10_000_000_000);
    run(&mut p, &[], until);
    assert_eq!((p.ups[1].got.clone(), p.done(0)), ([(1, 64)].to_vec(), 1));
}

/// What it says of numbers holds for who we were.
#[test]
fn a_hello_to_who_we_were_does_not_count() {
    let mut p = open(&[(0, datagram, Role::Any)]);
    restart(&mut p, 1, 33, 3);
    assert!(p.ends[1].lane_up(0, datagram(Role::Any)).is_ok());
    let until = p.now.after(10_000_000_000);
    run(&mut p, &[], until);
    let ours = 11 + (1 << NUMBER_BITS);
    assert_eq!(p.ends[0].number(), ours);
    assert!(p.ends[0].lane_up(1, datagram(Role::Any)).is_ok());
    for (number, peer, counts) in [(0, 11, false), (1, ours, true)] {
        let header = PacketHeader {
            session: ours,
            lane: 1,
            number,
            ..NAMELESS
        };
        let said = Hello {
            serial: 1000 + peer,
            ..hello(33, 3, peer)
        };
        let packet = packet_of(header, |w| said.emit(w));
        p.give(0, 1, &packet);
        assert_eq!(p.ends[0].lane(1).unwrap().open, counts);
        assert_eq!(p.ends[0].ended(), None);
    }
}
