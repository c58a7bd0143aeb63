// SPDX-License-Identifier: GPL-2.0

//! The test cases 15 to 19 of draft-ietf-ccwg-bbr's appendix: links whose rate changes, policers, and
//! losses that turn out to be mistaken.

use rds_links::{FlowConfig, LinkConfig, Policer, World, MS, SECOND};
use rds_proto::native::cc::bbr::{State, UNBOUNDED};
use rds_proto::native::cc::units::Rate;
use rds_proto::native::cc::Kind;

const RTT: u64 = 40 * MS;
const FAST: u64 = 12_500_000;
const SLOW: u64 = FAST / 10;
const MSS: u32 = 1500;

/// Runs a case with both answers to losses.
fn both(link: &LinkConfig, case: impl Fn(&mut World)) {
    for tolerant in [false, true] {
        let mut w = World::new(1, link);
        let mut config = FlowConfig::new(Kind::Bbr, MSS);
        config.tolerant = tolerant;
        w.add(config);
        case(&mut w);
    }
}

/// Lets time pass until the flow is in `state`.
fn until(w: &mut World, state: State) {
    let limit = w.now() + 20 * SECOND;
    let reached = w.run_while(limit, |w| w.bbr(0).state() != state);
    assert!(reached, "never in {state:?} but in {:?}", w.bbr(0).state());
}

#[test]
fn on_a_very_long_path_more_is_found_in_spite_of_probe_rtt() {
    for rtt in [100 * MS, 200 * MS, 225 * MS, 300 * MS, 400 * MS] {
        let mut w = World::new(1, &LinkConfig::new(SLOW, rtt));
        w.add(FlowConfig::new(Kind::Bbr, MSS));
        w.run_until(30 * SECOND);
        w.link().rate = 2 * SLOW;
        w.link().buffer *= 2;
        let rate = |w: &World| w.bbr(0).max_bw().0;
        w.run_while(90 * SECOND, |w| rate(w) < 2 * SLOW * 9 / 10);
        assert!(
            rate(&w) >= 2 * SLOW * 9 / 10,
            "{} ms: {}",
            rtt / MS,
            rate(&w)
        );
    }
}

#[test]
fn a_queue_of_others_does_not_keep_a_flow_from_probing() {
    for buffer in [100, 200, 400, 800] {
        let mut w = World::new(1, &LinkConfig::new(FAST, 100 * MS).with_buffer(buffer));
        w.add(FlowConfig::new(Kind::Bbr, MSS));
        w.add(FlowConfig::new(Kind::Cubic, MSS).starting(100 * MS));
        w.run_until(60 * SECOND);
        for probe in 0..5 {
            until(&mut w, State::ProbeUp);
            let began = w.now();
            until(&mut w, State::ProbeCruise);
            assert!(w.now() > began, "probe {probe}, buffer {buffer}");
        }
    }
}

#[test]
fn case_15_ten_times_the_rate_is_found() {
    // A shallow buffer, so that the long-term bound is set.
    let slow = LinkConfig {
        buffer: 25_000,
        ..LinkConfig::new(SLOW, RTT)
    };
    both(&slow, |w| {
        w.run_while(60 * SECOND, |w| {
            w.bbr(0).inflight_longterm() == UNBOUNDED || w.bbr(0).state() != State::ProbeCruise
        });
        w.link().rate = FAST;
        w.link().buffer = 500_000;
        let (now, rounds) = (w.now(), w.bbr(0).rounds().0);
        // The bound when each round of a probe begins.
        let mut bounds = Vec::new();
        let mut round = 0;
        let found = w.run_while(now + 20 * SECOND, |w| {
            let bbr = w.bbr(0);
            if bbr.state() == State::ProbeUp && bbr.rounds().0 != round {
                round = bbr.rounds().0;
                bounds.push((round, u64::from(bbr.inflight_longterm())));
            }
            bbr.max_bw().0 < FAST * 9 / 10
        });
        assert!(found, "{} of {FAST}", w.bbr(0).max_bw().0);
        // Three probes at most, each of which waits 63 rounds at most: the growth itself is quick.
        assert!(w.bbr(0).rounds().0 - rounds < 3 * 63 + 40);
        // Within a probe the steps of the bound double from round to round.
        let steps: Vec<_> = bounds
            .windows(2)
            .filter(|p| p[1].0 == p[0].0 + 1)
            .map(|p| p[1].1 - p[0].1)
            .collect();
        let doubled = steps
            .windows(2)
            .filter(|s| s[0] > 0 && s[1] >= s[0] * 3 / 2);
        assert!(doubled.count() >= 3, "{steps:?}");
    });
}

#[test]
fn case_16_a_tenth_of_the_rate_is_followed() {
    both(&LinkConfig::new(FAST, RTT), |w| {
        until(w, State::ProbeCruise);
        w.link().rate = SLOW;
        w.link().buffer = 50_000;
        let now = w.now();
        let adapts = w.run_while(now + SECOND, |w| w.bbr(0).bw_shortterm() == Rate::MAX);
        assert!(adapts, "the short-term bound answers within a second");
        w.run_until(now + SECOND);
        assert!(w.bbr(0).bw().0 < FAST / 4, "{}", w.bbr(0).bw().0);
        w.run_until(now + 15 * SECOND);
        assert!(
            w.bbr(0).max_bw().0 < SLOW * 11 / 10,
            "{}",
            w.bbr(0).max_bw().0
        );
        assert!(w.goodput(0, now + 5 * SECOND, now + 15 * SECOND) > SLOW * 85 / 100);
    });
}

#[test]
fn case_17_a_policer_is_obeyed() {
    let mut policed = LinkConfig::new(FAST, RTT);
    policed.policer = Some(Policer {
        rate: SLOW,
        burst: 200_000,
    });
    both(&policed, |w| {
        let adapts = w.run_while(10 * SECOND, |w| {
            w.bbr(0).bw_shortterm() == Rate::MAX || w.bbr(0).inflight_shortterm() == UNBOUNDED
        });
        assert!(adapts);
        w.run_until(20 * SECOND);
        let before = w.counts(0);
        w.run_until(60 * SECOND);
        let after = w.counts(0);
        let goodput = w.goodput(0, 20 * SECOND, 60 * SECOND);
        assert!(goodput > SLOW * 80 / 100, "{goodput}");
        let lost = 100 * (after.1 - before.1) / (after.0 - before.0);
        assert!(lost <= 10, "{lost} % are lost");
    });
}

#[test]
fn case_18_mistaken_losses_are_taken_back() {
    both(&LinkConfig::new(FAST, RTT).with_buffer(400), |w| {
        until(w, State::ProbeUp);
        assert_eq!(w.bbr(0).inflight_longterm(), UNBOUNDED);
        // Most packets are overtaken by what is sent in 10 ms, about a hundred.
        w.link().reorder = 600_000;
        w.link().reorder_ns = 10 * MS;
        let ends = w.run_while(w.now() + SECOND, |w| w.bbr(0).state() == State::ProbeUp);
        assert!(ends && w.bbr(0).state() == State::ProbeDown);
        assert!(w.bbr(0).inflight_longterm() < UNBOUNDED);
        w.link().reorder = 0;
        until(w, State::ProbeRefill);
        assert_eq!(w.bbr(0).inflight_longterm(), UNBOUNDED);
        assert_eq!(w.bbr(0).inflight_shortterm(), UNBOUNDED);
        assert_eq!(w.bbr(0).bw_shortterm(), Rate::MAX);
        until(w, State::ProbeUp);
    });
}

#[test]
fn case_19_a_mistaken_breakdown_is_taken_back() {
    both(&LinkConfig::new(FAST, RTT).with_buffer(400), |w| {
        until(w, State::ProbeUp);
        let (cwnd, lost, bound) = {
            let bbr = w.bbr(0);
            (w.point(0).cwnd, w.counts(0).1, bbr.inflight_longterm())
        };
        // Acknowledgements are held back for up to two seconds.
        w.link().lump_ns = 2 * SECOND;
        let broken = w.run_while(w.now() + 2 * SECOND, |w| {
            w.lane(0).detector().timeouts() < 3
        });
        assert!(broken);
        assert!(w.counts(0).2 >= 3);
        let now = w.now();
        w.run_while(now + 3 * SECOND, |w| w.lane(0).detector().timeouts() > 0);
        w.link().lump_ns = 0;
        assert!(w.point(0).cwnd >= cwnd / 2, "{} {cwnd}", w.point(0).cwnd);
        assert_eq!(w.bbr(0).inflight_longterm(), bound);
        assert_eq!(w.bbr(0).bw_shortterm(), Rate::MAX);
        assert_eq!(w.counts(0).1, lost, "nothing was lost");
        let now = w.now();
        w.run_until(now + 2 * SECOND);
        assert!(w.goodput(0, now + SECOND, now + 2 * SECOND) > FAST * 8 / 10);
    });
}
