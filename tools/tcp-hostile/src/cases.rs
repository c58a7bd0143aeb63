// SPDX-License-Identifier: GPL-2.0

//! All that is tried.

mod floods;
mod hellos;
mod lanes;
mod messages;
mod noise;
mod torn;

use crate::case::Case;
use crate::stream::Victim;

/// The cases, in groups; `streams` of noise from a number on.
pub fn all(victim: &Victim, seed: u64, streams: u64) -> Vec<(&'static str, Vec<Case>)> {
    let reader = victim.reader;
    vec![
        ("a stranger", lanes::of_a_stranger()),
        ("lengths", messages::lengths(reader)),
        ("flags", messages::flags(reader)),
        ("congestion maps", messages::maps()),
        ("numbers", messages::numbers(reader)),
        ("ports", messages::ports(reader)),
        ("extensions of messages", messages::extensions(reader)),
        ("hellos", hellos::cases()),
        ("torn apart", torn::in_pieces(reader)),
        ("ended", torn::ended(reader)),
        ("reset", torn::reset(reader)),
        ("slow", torn::slow(reader)),
        ("lanes", lanes::cases()),
        ("floods", floods::cases(reader)),
        ("noise", noise::cases(seed, streams)),
    ]
}
