// SPDX-License-Identifier: GPL-2.0

//! A quick look at some worlds of the native protocol; `rds-sim --native` runs many more.

use rds_sim::native::{Report, World};

#[test]
fn some_worlds_keep_all_promises() {
    let mut sum = Report::default();
    for seed in 0..60 {
        let report = World::new(seed).run(4_000);
        assert!(report.steps >= 4_000 && report.messages > 0, "{seed}");
        sum.add(&report);
    }
    // All that can go wrong did.
    let all = [
        sum.kills,
        sum.silences,
        sum.quarantined,
        sum.lost,
        sum.doubled,
        sum.crashes,
        sum.refused,
        sum.cancelled,
        sum.changed,
        sum.ended,
        sum.parked,
        sum.outlived,
    ];
    assert!(all.iter().all(|count| *count > 0), "{sum:?}");
}

#[test]
fn a_seed_decides_everything() {
    let run = |seed| format!("{:?}", World::new(seed).run(10_000));
    assert_eq!(run(7), run(7));
    assert_ne!(run(7), run(8));
}
