// SPDX-License-Identifier: GPL-2.0

//! What the controllers must reach on links of very different round trips.

use rds_links::{jain, FlowConfig, LinkConfig, Loss, Source, World, MS, SECOND, US};
use rds_proto::native::cc::Kind;

/// A link, the size of its packets, and how long it takes to see a steady state.
struct Place {
    name: &'static str,
    link: LinkConfig,
    mss: u32,
    long: u64,
}

/// Links of 50 µs, 1 ms, 40 ms and 100 ms.
fn places() -> [Place; 4] {
    let place = |name, rate, rtt, mss, long| Place {
        name,
        link: LinkConfig::new(rate, rtt),
        mss,
        long,
    };
    [
        place("50 µs", 1_250_000_000, 50 * US, 4096, SECOND / 2),
        place("1 ms", 625_000_000, MS, 4096, SECOND),
        place("40 ms", 12_500_000, 40 * MS, 1500, 20 * SECOND),
        place("100 ms", 12_500_000, 100 * MS, 1500, 60 * SECOND),
    ]
}

/// Percent of `rate` that `bytes` a second are.
fn percent(bytes: u64, rate: u64) -> u64 {
    100 * bytes / rate
}

/// Percent of the link that one BBR flow gets from its start on.
fn share(place: &Place, ppm: u32, seed: u64) -> u64 {
    let mut w = World::new(seed, &place.link.with_loss(ppm));
    w.add(FlowConfig::new(Kind::Bbr, place.mss));
    w.run_until(place.long);
    percent(w.goodput(0, 0, place.long), place.link.rate)
}

#[test]
fn a_clean_link_is_used_by_95_percent() {
    for place in places() {
        let share = share(&place, 0, 1);
        assert!(share >= 95, "{}: {share} %", place.name);
    }
}

#[test]
fn a_link_that_loses_1_percent_is_used_by_90() {
    for place in places() {
        for seed in [1, 2] {
            let share = share(&place, 10_000, seed);
            assert!(share >= 90, "{}: {share} %", place.name);
        }
    }
}

#[test]
fn a_link_that_loses_5_percent_is_used_by_85() {
    for place in places() {
        for seed in [1, 2] {
            let share = share(&place, 50_000, seed);
            assert!(share >= 85, "{}: {share} %", place.name);
        }
    }
}

#[test]
fn by_the_draft_5_percent_of_loss_is_fatal() {
    // What the tolerance is for: should this fail, it has become needless.
    let [_, _, place, _] = places();
    let mut w = World::new(1, &place.link.with_loss(50_000));
    w.add(FlowConfig::new(Kind::Bbr, place.mss).by_the_draft());
    w.run_until(place.long);
    let share = percent(w.goodput(0, 0, place.long), place.link.rate);
    assert!(share < 30, "{share} %");
}

#[test]
fn after_drain_the_queue_is_at_most_a_quarter_more_than_the_path_holds() {
    for place in places() {
        // Even a buffer that holds eight times as much is not filled.
        let mut w = World::new(1, &place.link.with_buffer(800));
        w.add(FlowConfig::new(Kind::Bbr, place.mss));
        let drained = w.run_while(place.long, |w| !w.bbr(0).state().is_probe_bw());
        assert!(drained, "{}: Startup and Drain end", place.name);
        w.take_largest_queue();
        w.run_until(place.long);
        // The packet that the line is sending is in the queue until it has left.
        let waits = w.take_largest_queue() - u64::from(place.mss);
        let queue = percent(waits, place.link.bdp());
        assert!(queue <= 125, "{}: {queue} % of the path", place.name);
    }
}

// Over spans that are long beside the seconds in which a flow looks for its share; the figure `sharing` shows shorter
// ones.
#[test]
fn equal_flows_get_equal_shares() {
    let [_, fast, slow, slowest] = places();
    for (place, flows, from, to) in [
        (&fast, 2, SECOND, 3 * SECOND),
        (&fast, 10, SECOND, 3 * SECOND),
        (&slow, 2, 40 * SECOND, 160 * SECOND),
        (&slow, 10, 40 * SECOND, 160 * SECOND),
        (&slow, 100, 40 * SECOND, 160 * SECOND),
        (&slowest, 2, 60 * SECOND, 360 * SECOND),
        (&slowest, 10, 60 * SECOND, 360 * SECOND),
        (&slowest, 100, 60 * SECOND, 360 * SECOND),
    ] {
        // Each flow has a path of 16 packets.
        let rate = flows * 16 * u64::from(place.mss) * SECOND / place.link.rtt;
        let link = LinkConfig::new(rate, place.link.rtt);
        let mut w = World::new(1, &link);
        for i in 0..flows {
            w.add(FlowConfig::new(Kind::Bbr, place.mss).starting(i * link.rtt / 10));
        }
        w.run_until(to);
        let shares: Vec<_> = (0..flows)
            .map(|i| w.goodput(i as usize, from, to))
            .collect();
        let index = jain(&shares);
        assert!(index >= 950, "{}, {flows} flows: {index}", place.name);
        let total = percent(shares.iter().sum(), link.rate);
        assert!(total >= 95, "{}, {flows} flows: {total} %", place.name);
    }
}

#[test]
fn beside_cubic_neither_starves() {
    let both = [[Kind::Bbr, Kind::Cubic], [Kind::Cubic, Kind::Bbr]];
    for (place, kinds) in places().iter().flat_map(|p| both.map(|kinds| (p, kinds))) {
        let mut w = World::new(1, &place.link);
        w.add(FlowConfig::new(kinds[0], place.mss));
        w.add(FlowConfig::new(kinds[1], place.mss).starting(place.link.rtt));
        let (from, to) = (place.long / 2, 2 * place.long);
        w.run_until(to);
        for flow in [0, 1] {
            // Of half of the link.
            let share = percent(2 * w.goodput(flow, from, to), place.link.rate);
            assert!(share >= 30, "{}: flow {flow} gets {share} %", place.name);
        }
    }
}

#[test]
fn after_idleness_a_bulk_flow_is_fast_within_a_second() {
    for place in places() {
        let mut w = World::new(1, &place.link);
        w.add(FlowConfig::new(Kind::Bbr, place.mss));
        let mut now = place.long.min(4 * SECOND);
        w.run_until(now);
        for idle in [SECOND, 15 * SECOND] {
            w.set_source(0, Source::Paused);
            now += idle;
            w.run_until(now);
            w.set_source(0, Source::Bulk);
            w.run_until(now + 2 * SECOND);
            let share = percent(
                w.goodput(0, now + SECOND, now + 2 * SECOND),
                place.link.rate,
            );
            assert!(share >= 90, "{}: {share} % after {idle} ns", place.name);
            now += 2 * SECOND;
        }
    }
}

#[test]
fn a_queue_that_marks_stays_short_and_loses_nothing() {
    for kind in [Kind::Bbr, Kind::Cubic, Kind::Reno] {
        let [_, place, _, _] = places();
        let mut link = place.link.with_buffer(400);
        link.mark_above = Some(link.bdp() / 4);
        let mut w = World::new(1, &link);
        w.add(FlowConfig::new(kind, place.mss));
        w.run_until(place.long / 2);
        w.take_largest_queue();
        let (_, lost, _) = w.counts(0);
        w.run_until(place.long);
        let queue = percent(w.take_largest_queue(), link.bdp());
        assert!(queue <= 130, "{kind:?}: {queue} % of the path");
        assert_eq!(w.counts(0).1, lost, "{kind:?}");
        let share = percent(w.goodput(0, place.long / 2, place.long), link.rate);
        assert!(share >= 70, "{kind:?}: {share} %");
    }
}

#[test]
fn whatever_a_link_does_all_arrives() {
    for kind in [Kind::Bbr, Kind::Cubic, Kind::Reno] {
        for seed in 0..6 {
            let mut link = LinkConfig::new(2_500_000, (seed + 1) * 3 * MS).with_buffer(150);
            link.loss = Loss::Burst {
                enter: 2_000,
                leave: 200_000,
                loss: 700_000,
            };
            link.ack_loss = 50_000;
            link.duplicate = 20_000;
            link.reorder = 20_000;
            link.reorder_ns = link.rtt / 3;
            let mut w = World::new(seed, &link);
            w.add(FlowConfig::new(kind, 1500));
            w.run_until(5 * SECOND);
            w.set_source(0, Source::Paused);
            w.run_until(20 * SECOND);
            assert_eq!(w.point(0).inflight, 0, "{kind:?} {seed}");
            assert!(w.is_complete(0), "{kind:?} {seed}");
        }
    }
}

#[test]
fn a_run_can_be_repeated_exactly() {
    let run = |seed| {
        let place = &places()[2];
        let mut w = World::new(seed, &place.link.with_loss(10_000));
        w.add(FlowConfig::new(Kind::Bbr, place.mss));
        w.run_until(5 * SECOND);
        (w.counts(0), w.bbr(0).max_bw())
    };
    assert_eq!(run(7), run(7));
    assert_ne!(run(7), run(8));
}
