// SPDX-License-Identifier: GPL-2.0

//! A quick look at some worlds; `rds-sim` runs many more.

use rds_sim::check::Books;
use rds_sim::config::Kind;
use rds_sim::world::Sim;

#[test]
fn some_worlds_keep_all_promises() {
    for seed in 0..60 {
        let report = Sim::new(seed).run(5_000);
        assert!(report.steps >= 5_000 && report.messages > 0, "{seed}");
    }
}

#[test]
fn a_seed_decides_everything() {
    let run = |seed| format!("{:?}", Sim::new(seed).run(20_000));
    assert_eq!(run(7), run(7));
    assert_ne!(run(7), run(8));
}

/// Books with `count` messages of one stream.
fn books(kind: Kind, epoch: u16, count: u32) -> Books {
    let mut books = Books::default();
    for _ in 0..count {
        books.accept(kind, epoch, (0, 0, 1), (1, 5, 0), 10, None, 0);
    }
    books
}

#[test]
#[should_panic(expected = "received twice")]
fn duplicates_are_noticed() {
    let mut books = books(Kind::Ours, 0, 1);
    books.receive(0, 3);
    books.receive(0, 3);
}

#[test]
#[should_panic(expected = "out of order")]
fn a_wrong_order_is_noticed() {
    let mut books = books(Kind::Ours, 0, 2);
    books.cancel(0);
    books.receive(1, 3);
    books.receive(0, 3);
}

#[test]
#[should_panic(expected = "skipped")]
fn a_gap_is_noticed() {
    books(Kind::Ours, 0, 2).receive(1, 3);
}

#[test]
#[should_panic(expected = "acknowledged and never received")]
fn a_false_acknowledgement_is_noticed() {
    books(Kind::Ours, 0, 1).done(0);
}

#[test]
#[should_panic(expected = "taken for a duplicate")]
fn a_false_duplicate_is_noticed() {
    books(Kind::Ours, 1, 1).duplicate(0, 0);
}

#[test]
#[should_panic(expected = "never done")]
fn a_forgotten_message_is_noticed() {
    books(Kind::C, 0, 1).at_rest();
}

#[test]
fn a_message_may_come_again_to_another_life() {
    let mut books = books(Kind::C, 1, 3);
    books.receive(0, 0);
    books.receive(1, 0);
    books.receive(1, 1);
    books.receive(2, 1);
    for number in 0..3 {
        books.done(number);
    }
    books.at_rest();
}

#[test]
fn only_a_rebooted_c_sender_is_excused() {
    let mut books = books(Kind::C, 1, 1);
    books.duplicate(0, 0);
    books.done(0);
    books.at_rest();
    assert_eq!(books.excused, 1);
}
