// SPDX-License-Identifier: GPL-2.0

use super::super::wire::{Ecn, Holes};
use super::*;
use std::vec::Vec;

const MS: u64 = 1_000_000;
const SIZE: u32 = 1000;

type F = Flow<u32, std::boxed::Box<[Option<Sent<u32>>]>>;

fn slots(n: usize) -> std::boxed::Box<[Option<Sent<u32>>]> {
    (0..n).map(|_| None).collect()
}

fn flow(kind: Kind) -> F {
    let config = Config::new(SIZE, 7);
    Flow::new(kind, &config, 10 * MS, 0, slots(64), Instant(0))
}

/// Sends packets up to number `end`, which carry their numbers.
fn send(f: &mut F, now: u64, end: u64) {
    for number in f.next_number()..end {
        let sent = f.on_sent(Instant(now), SIZE, false, Some(number as u32));
        assert_eq!(sent, Ok(number));
    }
}

/// An acknowledgement of `numbers` and of nothing else.
fn ack_of(numbers: &[u64]) -> Ack {
    let largest = *numbers.iter().max().unwrap();
    let mut run = 0;
    while run < largest && numbers.contains(&(largest - run - 1)) {
        run += 1;
    }
    let mut bits = 0;
    for number in numbers.iter().filter(|n| **n + run < largest) {
        bits |= 1 << (largest - run - number - 2);
    }
    Ack {
        largest,
        run: run as u32,
        holes: Holes(bits),
        ..Ack::default()
    }
}

/// An acknowledgement of all numbers up to `largest`.
fn all_to(largest: u64) -> Ack {
    Ack {
        largest,
        run: largest as u32,
        ..Ack::default()
    }
}

fn on_ack(f: &mut F, now: u64, numbers: &[u64]) -> Vec<Outcome<u32>> {
    let mut told = Vec::new();
    f.on_ack(Instant(now), &ack_of(numbers), |o| told.push(o))
        .unwrap();
    told
}

use Outcome::{Acked, Lost as Gone};

#[test]
fn every_token_comes_back_once() {
    let mut f = flow(Kind::Reno);
    send(&mut f, 0, 8);
    assert_eq!(f.inflight(), 8000);
    assert_eq!(on_ack(&mut f, 10 * MS, &[0, 1]), [Acked(0), Acked(1)]);
    assert_eq!(on_ack(&mut f, 10 * MS, &[0, 1]), []);
    // 2 and 3 are three behind 6.
    assert_eq!(
        on_ack(&mut f, 11 * MS, &[5, 6]),
        [Acked(5), Acked(6), Gone(2), Gone(3)]
    );
    assert_eq!(on_ack(&mut f, 12 * MS, &[4, 7]), [Acked(4), Acked(7)]);
    assert_eq!(f.inflight(), 0);
    assert_eq!(f.delivery().delivered(), 6000);
    assert_eq!(f.next_timeout(), None);
}

#[test]
fn a_forged_acknowledgement_changes_nothing() {
    let mut f = flow(Kind::Bbr);
    send(&mut f, 0, 3);
    let forged = f.on_ack(Instant(MS), &ack_of(&[3]), |_| panic!("told"));
    assert_eq!((forged, f.inflight()), (Err(Forged), 3000));
    let forged = f.on_ack(Instant(MS), &ack_of(&[u64::MAX]), |_| panic!("told"));
    assert_eq!(forged, Err(Forged));
}

#[test]
fn a_run_of_any_length_is_acknowledged() {
    let mut f = flow(Kind::Reno);
    f.grow(slots(400)).unwrap();
    send(&mut f, 0, 300);
    let mut told = 0;
    f.on_ack(Instant(MS), &all_to(299), |_| told += 1).unwrap();
    assert_eq!((told, f.inflight()), (300, 0));
}

#[test]
fn a_late_packet_takes_the_answer_back() {
    let mut f = flow(Kind::Reno);
    send(&mut f, 0, 10);
    on_ack(&mut f, 10 * MS, &[0]);
    let cwnd = f.controller().cwnd();
    assert_eq!(on_ack(&mut f, 10 * MS, &[5]), [Acked(5), Gone(1), Gone(2)]);
    assert!(f.controller().cwnd() < cwnd);
    assert_eq!(f.delivery().lost(), 2000);
    assert_eq!(
        on_ack(&mut f, 10 * MS, &[1, 5]),
        [],
        "its frames were given back"
    );
    assert!(f.controller().cwnd() < cwnd);
    on_ack(&mut f, 10 * MS, &[2, 5]);
    assert_eq!((f.controller().cwnd(), f.delivery().lost()), (cwnd, 0));
    // It waits longer from now on.
    assert_eq!(on_ack(&mut f, 10 * MS, &[7]), [Acked(7)]);
}

#[test]
fn a_lost_packet_that_nobody_speaks_of_is_forgotten() {
    let mut f = flow(Kind::Reno);
    send(&mut f, 0, 5);
    on_ack(&mut f, MS, &[1, 2, 3, 4]);
    assert_eq!((f.packets.len(), f.detector.may_be_mistaken()), (5, true));
    let mut now = 2 * MS;
    while f.next_number() < 120 {
        let end = f.next_number() + 5;
        send(&mut f, now, end);
        let numbers: Vec<_> = (end - 5..end).collect();
        now += MS;
        on_ack(&mut f, now, &numbers);
        if f.packets.len() > 50 && f.capacity() == 64 {
            assert_eq!(f.grow(slots(256)).unwrap().len(), 64);
        }
    }
    assert_eq!(f.packets.len(), 120);
    for _ in 0..3 {
        let end = f.next_number() + 5;
        send(&mut f, now, end);
        on_ack(
            &mut f,
            now + MS,
            &[end - 1, end - 2, end - 3, end - 4, end - 5],
        );
    }
    assert_eq!((f.packets.len(), f.next), (0, 135));
    assert!(!f.detector.may_be_mistaken());
}

#[test]
fn memory_window_and_pace_limit() {
    let mut f = flow(Kind::Reno);
    assert_eq!(f.permit(Instant(0), SIZE), Permit::Now);
    let mut now = Instant(0);
    loop {
        match f.permit(now, SIZE) {
            Permit::Now => {
                let end = f.next_number() + 1;
                send(&mut f, now.0, end);
            }
            Permit::At(at) => {
                assert!(at > now);
                now = at;
            }
            Permit::Window => break,
            Permit::Memory => panic!("64 fit"),
        }
    }
    assert_eq!(f.inflight(), 10_000);
    assert!(now > Instant(0), "it was paced");
    f.grow(slots(10)).unwrap();
    assert_eq!(f.permit(now, SIZE), Permit::Memory);
    assert_eq!(f.on_sent(now, SIZE, false, Some(9)), Err(9));
    assert_eq!(f.on_sent(now, SIZE, false, None), Ok(10));
    assert!(f.grow(slots(9)).is_err());
}

#[test]
fn a_packet_that_asks_for_nothing_is_not_in_flight() {
    let mut f = flow(Kind::Bbr);
    assert_eq!(f.on_sent(Instant(0), SIZE, false, None), Ok(0));
    assert_eq!((f.inflight(), f.next_timeout()), (0, None));
    send(&mut f, 0, 2);
    assert_eq!(on_ack(&mut f, MS, &[0, 1]), [Acked(1)]);
    assert_eq!(f.packets.len(), 0);
}

/// Who only acknowledges sends packets for ever that nobody acknowledges.
#[test]
fn what_is_not_waited_for_takes_no_memory() {
    let mut f = flow(Kind::Bbr);
    send(&mut f, 0, 1);
    for number in 1..10_000 {
        assert_eq!(f.on_sent(Instant(number), 40, false, None), Ok(number));
        assert_ne!(f.permit(Instant(number), SIZE), Permit::Memory);
    }
    assert_eq!(
        (f.packets.len(), f.capacity(), f.next_number()),
        (1, 64, 10_000)
    );
    send(&mut f, 10_000, 10_001);
    // One of them was lost: the packets around it are what they are.
    let ack = Ack {
        largest: 10_000,
        run: 200,
        ..Ack::default()
    };
    let mut told = Vec::new();
    f.on_ack(Instant(MS), &ack, |o| told.push(o)).unwrap();
    assert_eq!(told, [Acked(10_000), Gone(0)]);
    assert_eq!(f.packets.len(), 0, "too far below to be spoken of");
}

#[test]
fn silence_is_probed_and_breaks_the_window() {
    let mut f = flow(Kind::Reno);
    send(&mut f, 0, 1);
    on_ack(&mut f, 10 * MS, &[0]);
    send(&mut f, 10 * MS, 11);
    assert_eq!(f.permit(Instant(10 * MS), SIZE), Permit::Window);
    for count in 1..=3 {
        let at = f.next_timeout().unwrap();
        assert_eq!(f.on_timeout(Instant(at.0 - 1), |_| ()), Timeout::None);
        let persistent = count == 3;
        let probe = Timeout::Probe { count, persistent };
        assert_eq!(f.on_timeout(at, |_| panic!("nothing is lost yet")), probe);
        assert_eq!(f.permit(at, SIZE), Permit::Now, "a probe needs no window");
    }
    assert_eq!(f.controller().cwnd(), 2000);
    let now = f.next_timeout().unwrap().0;
    send(&mut f, now, 12);
    // The probe arrives: the others are lost.
    let told = on_ack(&mut f, now + 10 * MS, &[11]);
    assert_eq!((told.len(), told[0], told[1]), (11, Acked(11), Gone(1)));
    assert_eq!(f.controller().cwnd(), 2000);
    assert_eq!(f.detector().timeouts(), 0);
}

#[test]
fn silence_may_be_a_mistake() {
    let mut f = flow(Kind::Reno);
    send(&mut f, 0, 1);
    on_ack(&mut f, 10 * MS, &[0]);
    send(&mut f, 10 * MS, 11);
    let mut now = Instant(0);
    for _ in 0..3 {
        now = f.next_timeout().unwrap();
        f.on_timeout(now, |_| ());
    }
    assert_eq!(f.controller().cwnd(), 2000);
    on_ack(&mut f, now.0 + 1, &[1, 2]);
    assert!(f.controller().cwnd() >= 10_000);
}

#[test]
fn time_tells_the_last_losses() {
    let mut f = flow(Kind::Reno);
    send(&mut f, 0, 3);
    assert_eq!(on_ack(&mut f, 10 * MS, &[0, 2]), [Acked(0), Acked(2)]);
    let at = f.next_timeout().unwrap();
    assert_eq!(at, Instant(11_250_000));
    let mut told = Vec::new();
    assert_eq!(f.on_timeout(at, |o| told.push(o)), Timeout::Loss);
    assert_eq!((told, f.inflight()), (std::vec![Gone(1)], 0));
    assert_eq!(f.on_timeout(at, |_| ()), Timeout::None);
}

#[test]
fn marks_are_answered_once_a_flight() {
    let mut f = flow(Kind::Reno);
    send(&mut f, 0, 10);
    let marked = |largest, ce| Ack {
        ecn: Some(Ecn {
            ce,
            ..Ecn::default()
        }),
        ..all_to(largest)
    };
    f.on_ack(Instant(10 * MS), &marked(1, 0), |_| ()).unwrap();
    let cwnd = f.controller().cwnd();
    f.on_ack(Instant(11 * MS), &marked(3, 2), |_| ()).unwrap();
    assert!(f.controller().cwnd() <= cwnd / 2 + SIZE);
    assert_eq!(f.delivery().lost(), 2000);
    // An older count, and the same again.
    f.on_ack(Instant(12 * MS), &marked(4, 1), |_| ()).unwrap();
    f.on_ack(Instant(12 * MS), &marked(5, 2), |_| ()).unwrap();
    assert_eq!(f.delivery().lost(), 2000);
    // A peer that counts wildly marks no more than what arrived.
    f.on_ack(Instant(12 * MS), &marked(6, 1000), |_| ())
        .unwrap();
    assert_eq!(f.delivery().lost(), 3000);
}

#[test]
fn an_idle_flow_is_limited_by_the_application() {
    let mut f = flow(Kind::Bbr);
    send(&mut f, 0, 10);
    f.on_nothing_to_send();
    assert!(!f.delivery().is_app_limited(), "the window is used up");
    on_ack(&mut f, 10 * MS, &[0, 1, 2]);
    f.on_nothing_to_send();
    assert!(f.delivery().is_app_limited());
    assert!(std::format!("{f:?}").contains("app_limited: 10000"));
}

#[test]
fn a_lane_that_dies_gives_back_what_is_in_flight() {
    let mut f = flow(Kind::Bbr);
    send(&mut f, 0, 8);
    on_ack(&mut f, 10 * MS, &[0, 6]);
    f.on_sent(Instant(10 * MS), 100, false, None).unwrap();
    let mut told = Vec::new();
    f.abandon(|token| told.push(token));
    assert_eq!((told, f.inflight()), (std::vec![4, 5, 7], 0));
    assert_eq!((f.next_timeout(), f.next_number()), (None, 9));
    send(&mut f, 20 * MS, 10);
    assert_eq!(on_ack(&mut f, 30 * MS, &[9]), [Acked(9)]);
}

#[test]
fn an_eighth_of_the_window_asks_at_once() {
    let mut f = flow(Kind::Reno);
    let mut asked = Vec::new();
    for number in 0..9 {
        let at_once = f.asks_at_once(SIZE);
        f.on_sent(Instant(0), SIZE, at_once, Some(0)).unwrap();
        if at_once {
            asked.push(number);
        }
    }
    assert_eq!(asked, [1, 3, 5, 7]);
}

#[test]
fn the_state_of_a_lane_is_small() {
    use super::super::arrivals::Arrivals;
    let size = core::mem::size_of::<F>() + core::mem::size_of::<Arrivals>();
    assert!(size <= 512, "{size} bytes");
}
