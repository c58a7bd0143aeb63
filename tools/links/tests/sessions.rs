// SPDX-License-Identifier: GPL-2.0

//! What sessions promise over lanes of both kinds.

use rds_links::{LaneConfig, LinkConfig, Loss, Sessions, SessionsConfig, MS, SECOND, US};
use rds_proto::native::cc::Kind;
use rds_proto::native::lane::Role;

/// 10 Gbit/s, 50 µs.
const FAST: LinkConfig = LinkConfig::new(1_250_000_000, 50 * US);

/// Two lanes of a kind with these roles, on the paths 0 and `second`. What a reliable one has under way is as much as a
/// round trip of [`FAST`] and some more.
fn two(datagrams: bool, roles: [Role; 2], second: usize) -> SessionsConfig {
    two_with(datagrams, roles, second, 12)
}

/// [`two`], with so many packets under way on a reliable lane.
fn two_with(datagrams: bool, roles: [Role; 2], second: usize, packets: u16) -> SessionsConfig {
    let lane = |path, role| match datagrams {
        true => LaneConfig::datagram(path, role, Kind::Bbr, 4096),
        false => LaneConfig::reliable(path, role, packets),
    };
    let [first, other] = roles;
    SessionsConfig::new(&[lane(0, first), lane(second, other)])
}

#[test]
fn a_dead_lane_costs_three_timeouts_at_most_and_loses_nothing() {
    for datagrams in [true, false] {
        let config = two(datagrams, [Role::Any, Role::Any], 1);
        let mut w = Sessions::new(1, &[FAST, FAST], config);
        // A message each 20 µs, all of the time.
        let mut pto = 0;
        for n in 0..5_000_u64 {
            let now = 10 * MS + n * 20 * US;
            w.run_until(now);
            if now == 50 * MS {
                pto = w.lane(0, 0).detector().pto_ns();
                w.set_dead(0, true);
            }
            w.send(0, 0, 3, 64);
        }
        assert!(w.lane(0, 0).is_quarantined() && !w.lane(0, 1).is_quarantined());
        let times: Vec<u64> = w.delivered().iter().map(|(time, _)| *time).collect();
        let gaps = times.windows(2).map(|pair| pair[1] - pair[0]);
        let gap = gaps.max().expect("messages came");
        assert!(
            pto > 0 && gap <= 3 * pto,
            "datagrams {datagrams}: {gap} ns, {pto} ns"
        );
        // It comes back.
        w.set_dead(0, false);
        w.run_until(w.now() + 10 * SECOND);
        assert!(!w.lane(0, 0).is_quarantined());
        w.check_rest();
    }
}

#[test]
fn a_small_message_takes_twice_as_long_beside_bulk_at_most() {
    for datagrams in [true, false] {
        for link in [
            FAST,
            LinkConfig::new(625_000_000, MS),
            LinkConfig::new(12_500_000, 40 * MS),
            LinkConfig::new(12_500_000, 100 * MS),
        ] {
            // As many as a round trip holds, and more.
            let packets = 12 + 2 * link.rate * link.rtt / SECOND / 65_536;
            let packets = u16::try_from(packets).expect("few");
            let config = two_with(datagrams, [Role::Small, Role::Bulk], 0, packets);
            let mut w = Sessions::new(1, &[link], config);
            let warm = 100 * link.rtt.max(100 * US);
            w.ping_until(warm, 64);
            let idle = w.ping_until(w.now() + warm, 64);
            w.set_bulk(1 << 20, 4);
            w.ping_until(w.now() + 2 * warm, 64);
            let before: u64 = w.delivered().iter().map(|(_, bytes)| bytes).sum();
            let began = w.now();
            let beside = w.ping_until(w.now() + 2 * warm, 64);
            let after: u64 = w.delivered().iter().map(|(_, bytes)| bytes).sum();
            let rate = (after - before) * (SECOND / US) / ((w.now() - began) / US);
            let percent = 100 * rate / link.rate;
            let rtt = link.rtt;
            assert!(
                beside <= 2 * idle,
                "{datagrams} {rtt}: {idle} ns, then {beside}"
            );
            assert!(percent >= 70, "{datagrams} {rtt}: bulk gets {percent} %");
            w.set_bulk(0, 0);
            w.run_until(w.now() + SECOND);
            w.check_rest();
        }
    }
}

#[test]
fn ten_thousand_sessions_lose_double_and_reorder_nothing() {
    let mut link = LinkConfig::new(12_500_000_000, 200 * US).with_buffer(400);
    link.loss = Loss::Random(10_000);
    link.duplicate = 5_000;
    link.reorder = 10_000;
    link.reorder_ns = 100 * US;
    let lane = LaneConfig::datagram(0, Role::Any, Kind::Bbr, 4096);
    let config = SessionsConfig {
        pairs: 10_000,
        flows: 4,
        ..SessionsConfig::new(&[lane])
    };
    let mut w = Sessions::new(7, &[link], config);
    for round in 0..3 {
        for pair in 0..10_000 {
            for side in 0..2 {
                w.send(pair, side, 3, 64);
                w.send(pair, side, 4, 200);
                if pair % 8 == round {
                    w.send(pair, side, 3, 20_000);
                }
            }
        }
        w.run_until(w.now() + 20 * MS);
    }
    w.run_until(60 * SECOND);
    w.check_rest();
    assert!(w.packets() > 100_000, "{}", w.packets());
    // What is left of each when it is not in use.
    assert!(w.park() <= 256);
}

#[test]
fn a_run_of_sessions_can_be_repeated_exactly() {
    let run = |seed| {
        let config = two(true, [Role::Any, Role::Any], 0);
        let mut w = Sessions::new(seed, &[FAST.with_loss(20_000)], config);
        w.set_bulk(100_000, 3);
        w.run_until(20 * MS);
        (w.packets(), w.delivered().to_vec())
    };
    assert_eq!(run(3), run(3));
    assert_ne!(run(3), run(4));
}

/// What a line is sending, it sends to its end: nothing that is posted meanwhile takes its place.
#[test]
fn a_datagram_leaves_before_what_is_posted_after_it() {
    let link = LinkConfig::new(1_250_000, MS).with_buffer(10_000);
    let lanes = [
        LaneConfig::datagram(0, Role::Small, Kind::Bbr, 4096),
        LaneConfig::reliable(0, Role::Bulk, 4),
    ];
    let mut w = Sessions::new(1, &[link], SessionsConfig::new(&lanes));
    w.run_until(SECOND);
    w.send(0, 0, 3, 1000);
    w.send(0, 0, 4, 100_000);
    w.run_until(2 * SECOND);
    let (time, bytes) = w.delivered()[0];
    assert_eq!(bytes, 1000);
    // 1000 bytes with their headers, and half a round trip.
    let took = time - SECOND;
    assert!(
        (800 * US + MS / 2..900 * US + MS / 2).contains(&took),
        "{took}"
    );
    w.check_rest();
}

/// Lanes of both kinds have their share of a line.
#[test]
fn neither_kind_keeps_the_other_from_a_line() {
    let link = LinkConfig::new(12_500_000, MS).with_buffer(400);
    let lanes = [
        LaneConfig::datagram(0, Role::Small, Kind::Bbr, 4096),
        LaneConfig::reliable(0, Role::Bulk, 4),
    ];
    let mut w = Sessions::new(1, &[link], SessionsConfig::new(&lanes));
    w.set_bulk(1 << 20, 2);
    w.run_until(SECOND);
    let beside = w.ping_until(2 * SECOND, 64);
    // A segment of 4 KiB takes a third of a millisecond, there and back.
    assert!((MS..4 * MS).contains(&beside), "{beside}");
    w.set_bulk(0, 0);
    w.run_until(10 * SECOND);
    w.check_rest();
}
