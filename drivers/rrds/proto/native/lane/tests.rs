// SPDX-License-Identifier: GPL-2.0

use super::super::cc::{AnyController, Config, Controller, Kind};
use super::super::outbox::Record;
use super::super::wire::{Ecn, Holes};
use super::*;
use std::vec::Vec;

const MS: u64 = 1_000_000;
const SIZE: u32 = 1000;

/// What has become of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    Acked(u64),
    Gone(u64),
}

use Outcome::{Acked, Gone};

struct F<M> {
    lane: Lane<M>,
    slab: Slab<Record, Vec<Record>>,
}

impl<M: Medium> F<M> {
    fn over(medium: M) -> Self {
        let slots: Vec<_> = (0..64).map(|_| Record::default()).collect();
        Self {
            lane: Lane::new(medium, Role::Any, SIZE, u16::MAX, 10 * MS),
            slab: Slab::new(slots),
        }
    }

    /// Takes packets out, and gives their slots back.
    fn numbers(&mut self, mut list: List) -> Vec<u64> {
        let mut numbers = Vec::new();
        while let Some(at) = list.pop_front(&mut self.slab) {
            numbers.push(self.slab.get(at).unwrap().sent().number);
            self.slab.release(at);
        }
        numbers
    }

    fn outcomes(&mut self, told: Told) -> Vec<Outcome> {
        let acked = self.numbers(told.acked).into_iter().map(Acked);
        let lost = self.numbers(told.lost).into_iter().map(Gone);
        acked.chain(lost).collect()
    }

    fn take(&mut self, now: u64, ack: &Ack) -> Vec<Outcome> {
        let told = self.lane.on_ack(&mut self.slab, Instant(now), ack);
        self.outcomes(told.unwrap())
    }

    fn fire(&mut self, at: Instant) -> (Timeout, Vec<u64>) {
        let (timeout, lost) = self.lane.on_timeout(&mut self.slab, at);
        (timeout, self.numbers(lost))
    }

    /// Sends packets up to number `end`.
    fn send(&mut self, now: u64, end: u64) {
        for number in self.lane.next_number()..end {
            let at = self.slab.take().expect("there is a slot");
            let slab = &mut self.slab;
            let sent = self.lane.on_sent(slab, at, Instant(now), SIZE, false);
            assert_eq!(sent, number);
        }
    }

    /// Packets that are in flight or remembered.
    fn remembered(&self) -> u32 {
        self.slab.used()
    }
}

impl F<Datagram> {
    fn controller(&self) -> &AnyController {
        self.lane.medium.controller()
    }

    fn inflight(&self) -> u32 {
        self.lane.medium.delivery().inflight()
    }
}

fn flow(kind: Kind) -> F<Datagram> {
    let config = Config::new(SIZE, 7);
    F::over(Datagram::new(kind, &config, Instant(0)))
}

fn send<M: Medium>(f: &mut F<M>, now: u64, end: u64) {
    f.send(now, end);
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

fn on_ack<M: Medium>(f: &mut F<M>, now: u64, numbers: &[u64]) -> Vec<Outcome> {
    f.take(now, &ack_of(numbers))
}

#[test]
fn every_packet_comes_back_once() {
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
    assert_eq!(f.lane.medium.delivery().delivered(), 6000);
    assert_eq!(f.lane.in_flight(), 0);
}

#[test]
fn a_forged_acknowledgement_changes_nothing() {
    let mut f = flow(Kind::Bbr);
    send(&mut f, 0, 3);
    for number in [3, u64::MAX] {
        let ack = ack_of(&[number]);
        let forged = f.lane.on_ack(&mut f.slab, Instant(MS), &ack);
        assert_eq!((forged.err(), f.inflight()), (Some(Forged), 3000));
    }
}

fn grow<M>(f: &mut F<M>, slots: usize) {
    let slots = (0..slots).map(|_| Record::default()).collect();
    assert!(f.slab.grow(slots).is_ok());
}

#[test]
fn a_run_of_any_length_is_acknowledged() {
    let mut f = flow(Kind::Reno);
    grow(&mut f, 400);
    send(&mut f, 0, 300);
    let told = f.take(MS, &all_to(299));
    assert_eq!((told.len(), f.inflight()), (300, 0));
}

#[test]
fn a_late_packet_takes_the_answer_back() {
    let mut f = flow(Kind::Reno);
    send(&mut f, 0, 10);
    on_ack(&mut f, 10 * MS, &[0]);
    let cwnd = f.controller().cwnd();
    assert_eq!(on_ack(&mut f, 10 * MS, &[5]), [Acked(5), Gone(1), Gone(2)]);
    assert!(f.controller().cwnd() < cwnd);
    assert_eq!(f.lane.medium.delivery().lost(), 2000);
    assert_eq!(
        on_ack(&mut f, 10 * MS, &[1, 5]),
        [],
        "its frames were given back"
    );
    assert!(f.controller().cwnd() < cwnd);
    on_ack(&mut f, 10 * MS, &[2, 5]);
    assert_eq!(
        (f.controller().cwnd(), f.lane.medium.delivery().lost()),
        (cwnd, 0)
    );
    // It waits longer from now on.
    assert_eq!(on_ack(&mut f, 10 * MS, &[7]), [Acked(7)]);
}

#[test]
fn a_lost_packet_that_nobody_speaks_of_is_forgotten() {
    let mut f = flow(Kind::Reno);
    send(&mut f, 0, 5);
    on_ack(&mut f, MS, &[1, 2, 3, 4]);
    assert_eq!(
        (f.remembered(), f.lane.detector.may_be_mistaken()),
        (1, true)
    );
    let mut now = 2 * MS;
    while f.lane.next_number() < 120 {
        let end = f.lane.next_number() + 5;
        send(&mut f, now, end);
        let numbers: Vec<_> = (end - 5..end).collect();
        now += MS;
        on_ack(&mut f, now, &numbers);
    }
    assert_eq!(f.remembered(), 1);
    for _ in 0..3 {
        let end = f.lane.next_number() + 5;
        send(&mut f, now, end);
        on_ack(
            &mut f,
            now + MS,
            &[end - 1, end - 2, end - 3, end - 4, end - 5],
        );
    }
    assert_eq!((f.remembered(), f.lane.next), (0, 135));
    assert!(!f.lane.detector.may_be_mistaken());
}

/// A lost packet whose slot cannot be had is not waited for.
#[test]
fn without_memory_a_loss_is_no_mistake() {
    let mut f = flow(Kind::Reno);
    send(&mut f, 0, 64);
    let told = on_ack(&mut f, MS, &[60]);
    assert_eq!(told.iter().filter(|o| matches!(o, Gone(_))).count(), 58);
    // The one that was acknowledged had its slot in use still.
    assert_eq!((f.remembered(), f.lane.in_flight()), (5, 5));
    assert!(!f.lane.detector.may_be_mistaken());
    let cwnd = f.controller().cwnd();
    assert_eq!(on_ack(&mut f, MS, &[3, 60]), []);
    assert_eq!(f.controller().cwnd(), cwnd);
}

#[test]
fn window_pace_and_queue_limit() {
    let mut f = flow(Kind::Reno);
    assert_eq!(f.lane.departure(Instant(0), SIZE), Departure::Now);
    let mut now = Instant(0);
    loop {
        match f.lane.departure(now, SIZE) {
            Departure::Now => {
                let end = f.lane.next_number() + 1;
                send(&mut f, now.0, end);
            }
            Departure::At(at) => {
                assert!(at > now);
                now = at;
            }
            Departure::Blocked => break,
        }
    }
    assert_eq!(f.inflight(), 10_000);
    assert!(now > Instant(0), "it was paced");
    let mut lane = Lane::new(None, Role::Small, 4096, 2, 1000);
    assert_eq!(
        (lane.kind(), lane.role()),
        (LaneKind::Reliable, Role::Small)
    );
    lane.on_posted();
    assert_eq!(lane.departure(Instant(0), 1), Departure::Now);
    lane.on_posted();
    assert_eq!(lane.departure(Instant(0), 1), Departure::Blocked);
    lane.on_completed(1);
    assert_eq!(lane.departure(Instant(0), 1), Departure::Now);
}

#[test]
fn on_a_reliable_lane_what_is_missing_was_refused() {
    let mut f = F::over(Reliable);
    assert!(!f.lane.asks_at_once(SIZE));
    send(&mut f, 0, 8);
    assert_eq!(f.lane.departure(Instant(0), SIZE), Departure::Now);
    assert_eq!(
        on_ack(&mut f, 10 * MS, &[0, 2]),
        [Acked(0), Acked(2), Gone(1)]
    );
    assert_eq!((f.remembered(), f.lane.in_flight()), (5, 5));
    assert_eq!(f.lane.detector().rtt.latest(), 10 * MS);
    // The timer asks, as on any lane.
    let at = f.lane.next_timeout();
    let probe = Timeout::Probe {
        count: 1,
        persistent: false,
    };
    assert_eq!(f.fire(at), (probe, Vec::new()));
    let oldest = f.lane.lose_oldest(&mut f.slab, at);
    assert_eq!(
        oldest.map(|at| f.slab.get(at).unwrap().sent().number),
        Some(3)
    );
    assert_eq!((f.remembered(), f.lane.in_flight()), (5, 4));
}

#[test]
fn a_packet_that_asks_for_nothing_is_not_in_flight() {
    let mut f = flow(Kind::Bbr);
    assert_eq!(f.lane.skip(), 0);
    assert_eq!((f.inflight(), f.lane.in_flight()), (0, 0));
    send(&mut f, 0, 2);
    assert_eq!(on_ack(&mut f, MS, &[0, 1]), [Acked(1)]);
    assert_eq!(f.remembered(), 0);
}

/// Who only acknowledges sends packets for ever that nobody acknowledges.
#[test]
fn what_is_not_waited_for_takes_no_memory() {
    let mut f = flow(Kind::Bbr);
    send(&mut f, 0, 1);
    for number in 1..10_000 {
        assert_eq!(f.lane.skip(), number);
    }
    assert_eq!((f.remembered(), f.lane.next_number()), (1, 10_000));
    send(&mut f, 10_000, 10_001);
    // One of them was lost: the packets around it are what they are.
    let ack = Ack {
        largest: 10_000,
        run: 200,
        ..Ack::default()
    };
    assert_eq!(f.take(MS, &ack), [Acked(10_000), Gone(0)]);
    assert_eq!(f.remembered(), 0, "too far below to be spoken of");
}

#[test]
fn silence_is_probed_and_breaks_the_window() {
    let mut f = flow(Kind::Reno);
    send(&mut f, 0, 1);
    on_ack(&mut f, 10 * MS, &[0]);
    send(&mut f, 10 * MS, 11);
    let departure = f.lane.departure(Instant(10 * MS), SIZE);
    assert_eq!(departure, Departure::Blocked);
    for count in 1..=3 {
        let at = f.lane.next_timeout();
        assert_eq!(f.fire(Instant(at.0 - 1)).0, Timeout::None);
        let persistent = count == 3;
        let probe = Timeout::Probe { count, persistent };
        assert_eq!(f.fire(at), (probe, Vec::new()), "nothing is lost yet");
        let departure = f.lane.departure(at, SIZE);
        assert_eq!(departure, Departure::Now, "a probe needs no window");
    }
    assert_eq!(f.controller().cwnd(), 2000);
    let now = f.lane.next_timeout().0;
    send(&mut f, now, 12);
    // The probe arrives: the others are lost.
    let told = on_ack(&mut f, now + 10 * MS, &[11]);
    assert_eq!((told.len(), told[0], told[1]), (11, Acked(11), Gone(1)));
    assert_eq!(f.controller().cwnd(), 2000);
    assert_eq!(f.lane.detector().timeouts(), 0);
}

#[test]
fn silence_may_be_a_mistake() {
    let mut f = flow(Kind::Reno);
    send(&mut f, 0, 1);
    on_ack(&mut f, 10 * MS, &[0]);
    send(&mut f, 10 * MS, 11);
    let mut now = Instant(0);
    for _ in 0..3 {
        now = f.lane.next_timeout();
        f.fire(now);
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
    let at = f.lane.next_timeout();
    assert_eq!(at, Instant(11_250_000));
    assert_eq!(f.fire(at), (Timeout::Loss, std::vec![1]));
    assert_eq!(f.inflight(), 0);
    assert_eq!(f.fire(at).0, Timeout::None);
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
    f.take(10 * MS, &marked(1, 0));
    let cwnd = f.controller().cwnd();
    f.take(11 * MS, &marked(3, 2));
    assert!(f.controller().cwnd() <= cwnd / 2 + SIZE);
    assert_eq!(f.lane.medium.delivery().lost(), 2000);
    // An older count, and the same again.
    f.take(12 * MS, &marked(4, 1));
    f.take(12 * MS, &marked(5, 2));
    assert_eq!(f.lane.medium.delivery().lost(), 2000);
    // A peer that counts wildly marks no more than what arrived.
    f.take(12 * MS, &marked(6, 1000));
    assert_eq!(f.lane.medium.delivery().lost(), 3000);
}

#[test]
fn an_idle_flow_is_limited_by_the_application() {
    let mut f = flow(Kind::Bbr);
    send(&mut f, 0, 10);
    f.lane.on_nothing_to_send();
    assert!(
        !f.lane.medium.delivery().is_app_limited(),
        "the window is used up"
    );
    on_ack(&mut f, 10 * MS, &[0, 1, 2]);
    f.lane.on_nothing_to_send();
    assert!(f.lane.medium.delivery().is_app_limited());
    assert!(std::format!("{:?}", f.lane).contains("app_limited: 10000"));
}

#[test]
fn a_lane_that_dies_gives_back_what_is_in_flight() {
    let mut f = flow(Kind::Bbr);
    send(&mut f, 0, 8);
    on_ack(&mut f, 10 * MS, &[0, 6]);
    f.lane.skip();
    let given_up = f.lane.abandon(&mut f.slab);
    assert_eq!(f.numbers(given_up), [4, 5, 7]);
    assert_eq!((f.inflight(), f.remembered()), (0, 0));
    assert_eq!((f.lane.in_flight(), f.lane.next_number()), (0, 9));
    send(&mut f, 20 * MS, 10);
    assert_eq!(on_ack(&mut f, 30 * MS, &[9]), [Acked(9)]);
}

#[test]
fn an_eighth_of_the_window_asks_at_once() {
    let mut f = flow(Kind::Reno);
    let mut asked = Vec::new();
    for number in 0..10 {
        let at_once = f.lane.asks_at_once(SIZE);
        let at = f.slab.take().unwrap();
        f.lane.on_sent(&mut f.slab, at, Instant(0), SIZE, at_once);
        if at_once {
            asked.push(number);
        }
    }
    assert_eq!(asked, [1, 3, 5, 7, 9], "the last one, too");
}
