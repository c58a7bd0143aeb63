// SPDX-License-Identifier: GPL-2.0

//! The test cases of draft-ietf-ccwg-bbr's appendix "BBR Example Test Cases", in its order.
//!
//! Each runs twice: with the draft's answer to losses, and with the tolerance of random loss that
//! lanes use. Where the draft says "more than 2 %" of loss, a fifth is lost, which is too much for
//! both. The cases about links whose rate changes and about mistaken losses are in `changes.rs`.

use rds_links::{FlowConfig, LinkConfig, Source, World, MS, SECOND};
use rds_proto::native::cc::bbr::{State, UNBOUNDED};
use rds_proto::native::cc::{Controller, Kind};

const RTT: u64 = 40 * MS;
const RATE: u64 = 12_500_000;
const MSS: u32 = 1500;
/// A fifth of all packets.
const FIFTH: u32 = 200_000;

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

fn link() -> LinkConfig {
    LinkConfig::new(RATE, RTT)
}

/// Lets time pass until the flow is in `state`.
fn until(w: &mut World, state: State) {
    let limit = w.now() + 20 * SECOND;
    let reached = w.run_while(limit, |w| w.bbr(0).state() != state);
    assert!(reached, "never in {state:?} but in {:?}", w.bbr(0).state());
}

/// Lets time pass until the flow leaves the state it is in; the state after.
fn leave(w: &mut World) -> State {
    let state = w.bbr(0).state();
    let limit = w.now() + 20 * SECOND;
    let left = w.run_while(limit, |w| w.bbr(0).state() == state);
    assert!(left, "it stays in {state:?}");
    w.bbr(0).state()
}

#[test]
fn case_01_startup_ends_on_a_plateau() {
    both(&link().with_buffer(400), |w| {
        until(w, State::Drain);
        let bbr = w.bbr(0);
        assert_eq!(bbr.full_bw_now(), (true, 3));
        assert!(bbr.is_full_bw_reached());
        let off = bbr.max_bw().0.abs_diff(RATE);
        assert!(off * 100 <= RATE * 2, "{} is not {RATE}", bbr.max_bw().0);
        assert_eq!(w.counts(0).1, 0, "nothing was lost");
    });
}

#[test]
fn case_02_startup_ends_on_loss_though_the_application_limits() {
    both(&link(), |w| {
        w.set_source(0, Source::Rate(RATE / 4));
        w.run_until(SECOND);
        assert_eq!(w.bbr(0).state(), State::Startup);
        w.link().loss = rds_links::Loss::Random(FIFTH);
        // There is nothing to drain: Drain may end with the acknowledgement that began it.
        assert_ne!(leave(w), State::Startup);
        assert!(w.bbr(0).rounds().1 > 0, "Drain began");
        assert!(w.datagram(0).delivery().is_app_limited());
        assert!(w.bbr(0).full_bw_now().0 && w.bbr(0).is_full_bw_reached());
        assert!(w.bbr(0).max_bw().0 < RATE * 3 / 4, "the link was not full");
    });
}

#[test]
fn case_03_drain_ends_when_the_queue_is_empty() {
    both(&link(), |w| {
        until(w, State::Drain);
        assert_eq!(w.bbr(0).state().pacing_gain().0, 50);
        let (start, before) = (w.bbr(0).rounds().1, w.point(0).inflight);
        assert!(before > w.bbr(0).bdp());
        assert!(leave(w).is_probe_bw());
        assert!(w.point(0).inflight <= w.bbr(0).bdp());
        assert!(w.bbr(0).rounds().0 <= start + 3, "not by time");
    });
}

#[test]
fn case_04_drain_ends_after_three_rounds() {
    both(&link().with_buffer(400), |w| {
        until(w, State::Drain);
        // So much less that the queue does not drain even at half of the rate.
        w.link().rate = RATE * 2 / 5;
        let start = w.bbr(0).rounds().1;
        assert!(leave(w).is_probe_bw());
        assert_eq!(w.bbr(0).rounds().0, start + 4);
        assert!(w.point(0).inflight > w.bbr(0).bdp());
    });
}

#[test]
fn case_05_probe_up_ends_on_a_plateau() {
    both(&link().with_buffer(800), |w| {
        until(w, State::ProbeUp);
        let lost = w.counts(0).1;
        let rounds = w.bbr(0).rounds().0;
        assert_eq!(leave(w), State::ProbeDown);
        assert_eq!(w.bbr(0).full_bw_now(), (true, 3));
        assert!(w.bbr(0).rounds().0 >= rounds + 3);
        assert_eq!(w.counts(0).1, lost);
    });
}

#[test]
fn case_06_probe_up_ends_on_loss_though_the_application_limits() {
    both(&link(), |w| {
        until(w, State::ProbeUp);
        w.set_source(0, Source::Rate(RATE / 2));
        w.run_until(w.now() + 4 * RTT);
        assert_eq!(w.bbr(0).state(), State::ProbeUp);
        assert!(w.datagram(0).delivery().is_app_limited());
        w.link().loss = rds_links::Loss::Random(FIFTH);
        // By the draft's pseudocode losses of an application's own pace set no long-term bound.
        let bound = w.bbr(0).inflight_longterm();
        // As little is in flight, ProbeBW_DOWN may be over at once.
        assert!(matches!(leave(w), State::ProbeDown | State::ProbeCruise));
        assert!(w.bbr(0).inflight_longterm() <= bound);
    });
}

#[test]
fn case_07_without_loss_an_application_limited_flow_goes_on_searching() {
    both(&link(), |w| {
        w.set_source(0, Source::Rate(RATE / 5));
        w.run_until(5 * SECOND);
        assert_eq!(w.bbr(0).state(), State::Startup);
    });
    both(&link(), |w| {
        until(w, State::ProbeUp);
        w.set_source(0, Source::Rate(RATE / 2));
        w.run_until(w.now() + 4 * SECOND);
        assert_eq!(w.bbr(0).state(), State::ProbeUp);
    });
}

#[test]
fn case_08_probe_down_ends_when_the_queue_is_empty() {
    both(&link(), |w| {
        until(w, State::ProbeUp);
        until(w, State::ProbeDown);
        assert_eq!(w.bbr(0).state().pacing_gain().0, 90);
        assert_eq!(leave(w), State::ProbeCruise);
        // The acknowledgement that ended it has let a burst out.
        let inflight = w.point(0).inflight - w.datagram(0).controller().quantum();
        assert!(inflight <= w.bbr(0).inflight_with_headroom());
        let bdp = w.bbr(0).max_bw().bytes_in(w.bbr(0).min_rtt().unwrap());
        assert!(u64::from(inflight) <= bdp);
    });
}

#[test]
fn case_09_probe_down_ends_after_its_time() {
    both(&link().with_buffer(2000), |w| {
        until(w, State::ProbeUp);
        until(w, State::ProbeDown);
        let (began, wait) = (w.now(), w.bbr(0).probe_wait_ns());
        w.link().rate = RATE * 85 / 100;
        assert_eq!(leave(w), State::ProbeRefill);
        let lasted = w.now() - began;
        assert!(lasted > wait && lasted < wait + 200 * MS, "{lasted} {wait}");
    });
}

#[test]
fn case_10_probe_rtt_comes_and_goes() {
    both(&link().with_buffer(800), |w| {
        w.run_until(5 * SECOND);
        let min_rtt = w.bbr(0).min_rtt().unwrap();
        // From now on the round trip is longer.
        w.link().rtt = RTT + 15 * MS;
        until(w, State::ProbeRtt);
        assert!(
            w.now() > 9 * SECOND,
            "ten seconds after the last shortest one"
        );
        assert_eq!(w.bbr(0).state().cwnd_gain().0, 50);
        let fixed = w.bbr(0).probe_rtt_cwnd();
        let expected = w.bbr(0).bw().bytes_in(min_rtt) / 2;
        assert!(
            u64::from(fixed).abs_diff(expected) <= 2,
            "{fixed} {expected}"
        );
        let began = w.now();
        let mut all = true;
        w.run_while(began + SECOND, |w| {
            all &= w.bbr(0).probe_rtt_cwnd() == fixed;
            w.bbr(0).state() == State::ProbeRtt
        });
        assert!(all, "the window does not move");
        assert!(w.now() >= began + 200 * MS);
        assert_eq!(w.bbr(0).state(), State::ProbeCruise);
        assert!(w.bbr(0).min_rtt().unwrap() >= RTT + 15 * MS);
        let now = w.now();
        w.run_until(now + SECOND);
        assert!(w.goodput(0, now + 200 * MS, now + SECOND) > RATE * 9 / 10);
    });
}

#[test]
fn case_11_idleness_stands_in_for_probe_rtt() {
    both(&link(), |w| {
        until(w, State::ProbeCruise);
        w.set_source(0, Source::Paused);
        w.run_until(w.now() + 11 * SECOND);
        assert_eq!(w.point(0).inflight, 0);
        w.set_source(0, Source::Bulk);
        w.run_while(w.now() + SECOND, |w| w.point(0).inflight == 0);
        assert!(w.bbr(0).is_idle_restart());
        let limit = w.now() + SECOND;
        let entered = w.run_while(limit, |w| w.bbr(0).state() != State::ProbeRtt);
        assert!(!entered, "the queue was empty for long enough");
    });
}

#[test]
fn case_12_startup_finds_the_rate_though_acknowledgements_come_in_lumps() {
    let mut lumpy = link().with_buffer(400);
    lumpy.lump_ns = 20 * MS;
    both(&lumpy, |w| {
        until(w, State::Drain);
        assert!(w.bbr(0).extra_acked() > 0);
        assert!(w.point(0).cwnd > 2 * w.bbr(0).bdp());
        let bw = w.bbr(0).max_bw().0;
        assert!((RATE * 9 / 10..RATE * 5 / 4).contains(&bw), "{bw}");
    });
}

#[test]
fn case_13_cruise_keeps_the_rate_though_acknowledgements_come_in_lumps() {
    both(&link().with_buffer(400), |w| {
        until(w, State::ProbeCruise);
        w.link().lump_ns = 30 * MS;
        let now = w.now();
        w.run_until(now + 4 * SECOND);
        // Half of a lump at the rate of the link, at least, is what comes too early.
        assert!(u64::from(w.bbr(0).extra_acked()) > RATE / 100);
        assert!(w.point(0).cwnd > w.bbr(0).bdp() + w.bbr(0).extra_acked());
        let goodput = w.goodput(0, now + 400 * MS, now + 4 * SECOND);
        assert!(goodput > RATE * 95 / 100, "{goodput}");
    });
}

#[test]
fn case_14_a_path_of_less_than_a_packet_is_used() {
    let thin = LinkConfig {
        buffer: 15_000,
        ..LinkConfig::new(125_000, 5 * MS)
    };
    both(&thin, |w| {
        assert!(thin.bdp() < u64::from(MSS));
        w.run_while(20 * SECOND, |w| !w.bbr(0).state().is_probe_bw());
        let now = w.now();
        let mut least = u32::MAX;
        w.run_while(now + 5 * SECOND, |w| {
            least = least.min(w.point(0).cwnd);
            true
        });
        assert_eq!(least, 4 * MSS);
        let bw = w.bbr(0).max_bw().0;
        assert!(bw.abs_diff(thin.rate) * 100 <= thin.rate * 5, "{bw}");
        assert!(w.goodput(0, now, now + 5 * SECOND) > thin.rate * 95 / 100);
    });
}

#[test]
fn case_20_probe_rtt_within_startup_goes_back_to_it() {
    both(&link(), |w| {
        w.set_source(0, Source::Rate(RATE / 5));
        until(w, State::ProbeRtt);
        assert!(w.now() > 10 * SECOND && !w.bbr(0).is_full_bw_reached());
        assert_eq!(leave(w), State::Startup);
    });
}

#[test]
fn case_21_losses_in_probe_up_lower_the_long_term_bound() {
    both(&link().with_buffer(30), |w| {
        // Bounded by the losses of a shallow buffer first.
        let limit = 60 * SECOND;
        let set = w.run_while(limit, |w| {
            let bbr = w.bbr(0);
            bbr.state() != State::ProbeUp || bbr.inflight_longterm() == UNBOUNDED
        });
        assert!(set);
        let before = w.bbr(0).inflight_longterm();
        w.link().loss = rds_links::Loss::Random(FIFTH);
        assert_eq!(leave(w), State::ProbeDown);
        let after = w.bbr(0).inflight_longterm();
        let target = w.bbr(0).bdp().min(w.point(0).cwnd);
        assert!(after < before, "{after} {before}");
        assert!(after >= target / 10 * 7, "{after} {target}");
    });
}

#[test]
fn case_22_an_application_that_pauses_in_refill_lowers_nothing() {
    both(&link().with_buffer(400), |w| {
        until(w, State::ProbeRefill);
        let bw = w.bbr(0).max_bw();
        w.set_source(0, Source::Rate(RATE / 10));
        assert_eq!(leave(w), State::ProbeUp);
        w.run_until(w.now() + 5 * RTT);
        assert!(w.datagram(0).delivery().is_app_limited());
        assert!(w.bbr(0).max_bw() >= bw);
        w.set_source(0, Source::Bulk);
        assert_eq!(leave(w), State::ProbeDown);
        let now = w.now();
        w.run_until(now + SECOND);
        assert!(w.goodput(0, now + 200 * MS, now + SECOND) > RATE * 9 / 10);
    });
}
