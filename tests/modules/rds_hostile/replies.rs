// SPDX-License-Identifier: GPL-2.0

//! Cases of what the other node gets for its own requests.

use crate::{
    door::Answer,
    link::{
        Manners,
        Plan,
        Until,
        MANNERS, //
    },
    run::{
        Act,
        Case, //
    },
    wire::{
        Private,
        Who,
        HONEST, //
    },
};

const fn accept(private: Private, manners: Manners) -> Answer {
    Answer::Accept(Plan {
        tos: 0,
        private,
        manners,
        until: Until::Up,
    })
}

const IGNORE: Answer = Answer::Ignore(Plan {
    tos: 0,
    private: HONEST,
    manners: MANNERS,
    until: Until::Up,
});

/// Cases of replies: `"name", whether the connection is taken: answer;`.
macro_rules! replies {
    ($($name:literal, $taken:literal: $answer:expr;)*) => {
        &[$(Case {
            name: $name,
            act: Act::Reply($answer, $taken),
        }),*]
    };
}

pub(crate) const CASES: &[Case] = replies! {
    "honest", true: accept(HONEST, MANNERS);
    "without private data", true: accept(HONEST.len(0), MANNERS);
    "private data cut off", true: accept(HONEST.len(20), MANNERS);
    "private data too long", true: accept(HONEST.fill(0xff).len(56), MANNERS);
    "version 0.0", true: accept(HONEST.version(0, 0), MANNERS);
    "version 1.0", false: accept(HONEST.version(1, 0), MANNERS);
    "version 2.255", false: accept(HONEST.version(2, 255), MANNERS);
    "version 3.0", false: accept(HONEST.version(3, 0), MANNERS);
    "version 3.2", true: accept(HONEST.version(3, 2), MANNERS);
    "version 4.1", true: accept(HONEST.version(4, 1), MANNERS);
    "version 255.255", true: accept(HONEST.version(255, 255), MANNERS);
    "of somebody else", true: accept(HONEST.from(Who::Other).to(Who::Other), MANNERS);
    "of all ones", true: accept(HONEST.from(Who::All(255)).to(Who::All(255)), MANNERS);
    "another type of service", true: accept(HONEST.tos(255), MANNERS);
    "acknowledging 2^64-1", true: accept(HONEST.ack_seq(u64::MAX), MANNERS);
    "acknowledging 2^64-1, of our own kind", true:
        accept(HONEST.mask(0xffff).tail(7).ack_seq(u64::MAX), MANNERS);
    "another incarnation", true: accept(HONEST.mask(0xffff).tail(8), MANNERS);
    "credit 2^32-1", true: accept(HONEST.credit(u32::MAX), MANNERS);
    "no reads", true: accept(HONEST, Manners { reads: (0, 0), ..MANNERS });
    "255 reads", true: accept(HONEST, Manners { reads: (255, 255), ..MANNERS });
    "refused without a word", false: Answer::Refuse(&[]);
    "refused with a byte", false: Answer::Refuse(&[1]);
    "refused with 1", false: Answer::Refuse(&1_i32.to_ne_bytes());
    "refused with 0", false: Answer::Refuse(&0_i32.to_ne_bytes());
    "refused with -12", false: Answer::Refuse(&(-12_i32).to_ne_bytes());
    "refused with 2", false: Answer::Refuse(&2_i32.to_ne_bytes());
    "refused with 2^31-1", false: Answer::Refuse(&i32::MAX.to_ne_bytes());
    "refused with -2^31", false: Answer::Refuse(&i32::MIN.to_ne_bytes());
    "refused with 148 bytes", false: Answer::Refuse(&[0xff; 148]);
    "not answered", false: IGNORE;
    "honest at last", true: accept(HONEST, MANNERS);
};
