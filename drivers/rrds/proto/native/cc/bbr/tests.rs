// SPDX-License-Identifier: GPL-2.0

//! The controller by itself; the draft's test cases run over simulated links, in `tools/links`.

use super::super::delivery::Acking;
use super::*;
use crate::native::cc::hand::{ack, lose, Step};

/// A flow over a path of ten packets a round trip of 10 ms, which has left Startup.
fn steady(tolerant: bool) -> (Step, Bbr) {
    let mut t = Step::new(1000);
    t.rtt = 10_000_000;
    let mut config = t.config();
    config.tolerant = tolerant;
    let mut c = Bbr::new(&config, t.now);
    for _ in 0..12 {
        ack(&mut t, &mut c, 10);
    }
    assert!(c.is_full_bw_reached() && c.state().is_probe_bw());
    (t, c)
}

#[test]
fn the_first_rate_follows_the_first_round_trip() {
    for rtt in [10_000, 200_000_000] {
        let mut t = Step::new(1000);
        t.rtt = rtt;
        let mut c = Bbr::new(&t.config(), t.now);
        assert_eq!(c.pacing_rate(), Rate(27_700_000));
        assert_eq!((c.min_rtt(), c.bdp()), (None, 10_000));
        ack(&mut t, &mut c, 1);
        assert_eq!(c.min_rtt(), Some(rtt));
        assert_eq!(c.pacing_rate(), Rate::of(27_700, rtt));
    }
}

#[test]
fn a_plateau_ends_startup() {
    let mut t = Step::new(1000);
    let mut c = Bbr::new(&t.config(), t.now);
    ack(&mut t, &mut c, 10);
    assert_eq!((c.state(), c.full_bw_now()), (State::Startup, (false, 0)));
    for count in 1..=2 {
        ack(&mut t, &mut c, 12);
        assert_eq!(
            (c.state(), c.full_bw_now()),
            (State::Startup, (false, count))
        );
    }
    ack(&mut t, &mut c, 12);
    assert!(c.is_full_bw_reached());
    // Nothing was in flight any more: there was nothing to drain.
    assert_eq!(c.state(), State::ProbeCruise);
    assert_eq!(c.max_bw(), Rate::of(12_000, t.rtt));
    assert!((2_500_000_000..2_750_000_000).contains(&c.probe_wait_ns()));
}

#[test]
fn on_a_long_path_a_flow_waits_longer_before_it_probes() {
    for (rtt, from, to) in [
        (10_000, 2_500, 2_750),
        (50_000_000, 2_500, 2_750),
        (80_000_000, 4_000, 4_400),
        (180_000_000, 5_000, 5_001),
    ] {
        let mut t = Step::new(1000);
        t.rtt = rtt;
        let mut c = Bbr::new(&t.config(), t.now);
        for _ in 0..12 {
            ack(&mut t, &mut c, 10);
        }
        let wait = c.probe_wait_ns() / 1_000_000;
        assert!((from..to).contains(&wait), "{rtt} ns: {wait} ms");
    }
}

#[test]
fn a_probe_has_two_packets_more_than_the_rest() {
    // By the gain, if a quarter of the path is as much.
    for (packets, more) in [(4, 2_000), (7, 2_000), (8, 0), (20, 0)] {
        let mut t = Step::new(1000);
        t.rtt = 10_000_000;
        let mut c = Bbr::new(&t.config(), t.now);
        while c.state() != State::ProbeUp {
            ack(&mut t, &mut c, packets);
        }
        assert_eq!(c.max_inflight(), c.bdp() * 9 / 4 + c.extra_acked() + more);
    }
}

#[test]
fn growth_goes_on_by_a_quarter_a_round() {
    let mut t = Step::new(1000);
    let mut c = Bbr::new(&t.config(), t.now);
    for packets in [8, 10, 13, 17, 22, 28, 35] {
        ack(&mut t, &mut c, packets);
        assert_eq!((c.state(), c.full_bw_now().1), (State::Startup, 0));
    }
}

#[test]
fn rates_limited_by_the_application_count_if_they_are_higher() {
    let (mut t, mut c) = steady(true);
    let bw = c.max_bw();
    t.flow.mark_app_limited();
    ack(&mut t, &mut c, 5);
    assert_eq!(c.max_bw(), bw);
    t.flow.mark_app_limited();
    ack(&mut t, &mut c, 20);
    assert_eq!(c.max_bw(), Rate::of(20_000, t.rtt));
}

#[test]
fn the_cycle_goes_round() {
    let (mut t, mut c) = steady(true);
    let mut seen = std::vec::Vec::new();
    for _ in 0..60 {
        if seen.last() != Some(&c.state()) {
            seen.push(c.state());
        }
        ack(&mut t, &mut c, 10);
    }
    use State::{ProbeCruise, ProbeDown, ProbeRefill, ProbeUp};
    let cycle = [ProbeDown, ProbeCruise, ProbeRefill, ProbeUp];
    let first = seen.iter().position(|s| *s == ProbeDown).unwrap();
    for (i, state) in seen[first..].iter().enumerate() {
        assert_eq!(*state, cycle[i % 4], "{seen:?}");
    }
    assert!(seen.len() > 8);
}

#[test]
fn losses_of_a_round_bound_the_rate_by_what_arrived() {
    let (mut t, mut c) = steady(false);
    for state in [State::ProbeUp, State::ProbeCruise] {
        while c.state() != state {
            ack(&mut t, &mut c, 10);
        }
    }
    // The round of the loss began before it: its rate is that of then, the next one's is lower.
    let mut rate = |packets| {
        c.rounds_since_probe_up = 0;
        lose(&mut t, &mut c, 1);
        ack(&mut t, &mut c, packets);
        assert_eq!((c.bw(), c.max_bw()), (c.bw_shortterm(), Rate(1_000_000)));
        assert!(c.cwnd() <= c.inflight_shortterm() && c.inflight_shortterm() < UNBOUNDED);
        c.bw_shortterm()
    };
    assert_eq!(rate(8), Rate(1_000_000));
    assert_eq!(rate(2), Rate(800_000));
    assert_eq!(rate(2), Rate(560_000), "by three tenths at most");
}

#[test]
fn losses_in_a_probe_bound_the_volume() {
    for tolerant in [false, true] {
        let (mut t, mut c) = steady(tolerant);
        while c.state() != State::ProbeUp {
            ack(&mut t, &mut c, 10);
        }
        lose(&mut t, &mut c, 10);
        assert_eq!(c.state(), State::ProbeDown);
        assert!(c.inflight_longterm() >= 7000 && c.inflight_longterm() < UNBOUNDED);
        assert!(c.inflight_with_headroom() < c.inflight_longterm());
        // They had not been lost after all.
        c.on_spurious(t.now, &t.flow);
        assert_eq!(c.state(), State::ProbeRefill);
        assert_eq!(c.inflight_longterm(), UNBOUNDED);
        c.on_spurious(t.now, &t.flow);
        assert_eq!(c.state(), State::ProbeRefill, "only once");
    }
}

#[test]
fn the_share_of_a_packet_that_fits_is_told() {
    let (t, c) = steady(false);
    let sent = Snapshot {
        size: 10_000,
        inflight: 110_000,
        ..t.flow.clone().on_sent(t.now, 0)
    };
    // 2 % of 100 000 bytes are 2000; 1000 were lost before, and of the packet 1000 / 0.98 more fit.
    assert_eq!(c.inflight_at_loss(&sent, 11_000), 101_020);
    assert_eq!(c.inflight_at_loss(&sent, 20_000), 100_000);
}

#[test]
fn marks_are_losses() {
    let (mut t, mut c) = steady(true);
    while c.state() != State::ProbeUp {
        ack(&mut t, &mut c, 10);
    }
    let sent = t.sent();
    t.flow.on_marked(1000);
    c.on_ecn(t.now, &sent, &t.flow);
    assert_eq!(c.state(), State::ProbeDown);
    c.on_ecn(t.now, &sent, &t.flow);
    assert!(c.inflight_longterm() < UNBOUNDED);
}

#[test]
fn losses_in_many_places_end_startup() {
    for (gaps, tolerant, ends) in [(5, false, false), (6, false, true), (6, true, true)] {
        let mut t = Step::new(1000);
        let mut config = t.config();
        config.tolerant = tolerant;
        let mut c = Bbr::new(&config, t.now);
        ack(&mut t, &mut c, 10);
        let sent: std::vec::Vec<_> = (0..20).map(|i| (i, t.sent())).collect();
        t.next_flight();
        for (i, sent) in &sent {
            if *i < 2 * gaps && i % 2 == 0 {
                t.flow.on_lost(sent);
                c.on_loss(
                    t.now,
                    &Lost {
                        number: *i,
                        sent: *sent,
                        first: *i == 0,
                    },
                    &t.flow,
                );
            }
        }
        let late = (30, t.sent());
        for (number, packet) in sent.iter().filter(|(i, _)| *i >= 2 * gaps).chain([&late]) {
            t.next_flight();
            let mut acking = Acking::new(t.now);
            t.flow.on_acked(&mut acking, *number, packet, false);
            let sample = t.flow.finish(&acking, t.rtt, t.rtt).unwrap();
            c.on_ack(&sample, &mut t.flow);
        }
        assert_eq!(c.is_full_bw_reached(), ends, "{gaps} {tolerant}");
        if ends {
            assert!(c.inflight_longterm() < UNBOUNDED);
            // The losses were none: the search goes on.
            c.on_spurious(t.now, &t.flow);
            assert_eq!((c.state(), c.is_full_bw_reached()), (State::Startup, false));
        }
    }
}

#[test]
fn random_loss_is_learned_while_the_queue_drains() {
    let (mut t, mut c) = steady(true);
    for _ in 0..400 {
        if c.state() == State::ProbeDown {
            lose(&mut t, &mut c, 1);
            ack(&mut t, &mut c, 20);
        }
        ack(&mut t, &mut c, 10);
    }
    let share = c.background().share(1000).unwrap();
    assert!((400..=500).contains(&share), "{share}");
    assert_eq!(
        c.without_background(10_000),
        10_000 * 10_000 / u64::from(10_000 - share)
    );
    c.tolerant = false;
    assert_eq!((c.without_background(10_000), c.allowance()), (10_000, 0));
}

#[test]
fn the_round_trip_is_looked_at_every_ten_seconds() {
    let (mut t, mut c) = steady(true);
    let since = t.now;
    while c.state() != State::ProbeRtt {
        t.rtt = 20_000_000;
        ack(&mut t, &mut c, 12);
        assert!(t.now.since(since) < 12_000_000_000, "too late");
    }
    assert!(t.now.since(since) >= 9_800_000_000);
    assert_eq!(
        c.cwnd(),
        5000.max(c.min_pipe_cwnd()).min(c.probe_rtt_cwnd())
    );
    let (began, fixed) = (t.now, c.probe_rtt_cwnd());
    t.rtt = 10_000_000;
    while c.state() == State::ProbeRtt {
        ack(&mut t, &mut c, 4);
        assert_eq!(c.probe_rtt_cwnd(), fixed);
        assert!(t.now.since(began) < 300_000_000);
    }
    assert_eq!(
        (c.state(), c.min_rtt()),
        (State::ProbeCruise, Some(10_000_000))
    );
    assert!(t.now.since(began) > probe_rtt::PROBE_RTT_NS);
    assert!(c.cwnd() > fixed, "the window is restored");
}

#[test]
fn idleness_is_as_good_as_probe_rtt() {
    let (mut t, mut c) = steady(true);
    t.flow.mark_app_limited();
    t.now = t.now.after(probe_rtt::MIN_RTT_FILTER_NS + 1);
    ack(&mut t, &mut c, 10);
    assert!(c.state().is_probe_bw() && !c.is_idle_restart());
    assert_eq!(
        c.pacing_rate(),
        c.bw().times(c.state().pacing_gain()).times(Gain(99))
    );
}

#[test]
fn probe_rtt_ends_while_idle() {
    let (mut t, mut c) = steady(true);
    while c.state() != State::ProbeRtt {
        t.rtt = 20_000_000;
        ack(&mut t, &mut c, 12);
    }
    ack(&mut t, &mut c, 4);
    t.now = t.now.after(300_000_000);
    t.flow.mark_app_limited();
    c.on_transmit(t.now, &t.flow);
    assert_eq!(c.state(), State::ProbeCruise);
    assert!(c.is_idle_restart());
}

#[test]
fn nothing_for_long_leaves_one_packet_until_something_comes() {
    let (mut t, mut c) = steady(true);
    let before = c.cwnd();
    c.on_persistent_loss(t.now, &t.flow);
    assert_eq!(c.cwnd(), 1000);
    ack(&mut t, &mut c, 1);
    assert!(
        c.cwnd() >= before.min(c.max_inflight()),
        "{} {before}",
        c.cwnd()
    );
}

#[test]
fn a_path_of_less_than_a_packet_gets_four() {
    let mut t = Step::new(1000);
    t.rtt = 10_000;
    let mut c = Bbr::new(&t.config(), t.now);
    for _ in 0..20 {
        ack(&mut t, &mut c, 1);
    }
    assert!(
        c.bdp() <= 1000 && c.cwnd() >= 4000,
        "{} {}",
        c.bdp(),
        c.cwnd()
    );
}
