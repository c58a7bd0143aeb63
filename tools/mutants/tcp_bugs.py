# SPDX-License-Identifier: GPL-2.0
"""Mutants of what carries RDS over TCP."""

from __future__ import annotations

from mutant import Mutant

TCP = [
    Mutant(
        "tcp-ack-early",
        "a message counts as acknowledged before its last byte was",
        "is_reached",
        "(una.wrapping_sub(end) as i32) >= 0",
        "(una.wrapping_sub(end) as i32) >= -1",
    ),
    Mutant(
        "tcp-head-each",
        "each fragment has a header in the stream",
        "place",
        "head: (offset == 0).then(|| head(&header)),",
        "head: Some(head(&header)),",
    ),
    Mutant(
        "tcp-map-counts",
        "a congestion map acknowledges message 0",
        "place",
        "(is_last && is_counted)",
        "is_last",
    ),
    Mutant(
        "tcp-flags",
        "flags go over TCP as they are",
        "counting",
        "_ => Flags::NONE,",
        "flags => flags,",
    ),
    Mutant(
        "tcp-life",
        "what a peer's last life sent makes duplicates of what its next one sends",
        "Path::learn",
        "self.reassembly.forget();",
        "",
    ),
    Mutant(
        "tcp-lane-life",
        "another lane goes on with a connection of the peer's last life",
        "Path::renew",
        "self.disown();",
        "",
    ),
    Mutant(
        "tcp-lanes-unasked",
        "lanes are offered to a peer that does not tell which is which",
        "Path::says",
        "lanes: if self.told.ports_tell {",
        "lanes: if true {",
    ),
    Mutant(
        "tcp-lanes-kept-back",
        "a peer that says that it has lanes is not told that we have",
        "Path::greet",
        "if self.says() != said {",
        "if false {",
    ),
    Mutant(
        "tcp-hello-stays",
        "who the peer is is taken for known on a connection where it has not said so",
        "Path::on_closed",
        "self.heard = false;",
        "",
    ),
    Mutant(
        "tcp-barrier",
        "what is queued later overtakes what other lanes wait for",
        "SendQueue::overtake_long",
        "if entry.seq >= self.barrier && next_seq < self.barrier {",
        "if false {",
    ),
    Mutant(
        "tcp-shut-dial",
        "another lane is dialed before the first one is up",
        "Machine::poll",
        "State::Down if over && !self.shut => {",
        "State::Down if over => {",
    ),
    Mutant(
        "tcp-shut-accept",
        "another lane is accepted before the first one is up",
        "Machine::poll",
        "State::Accepting if self.due && !self.shut => {",
        "State::Accepting if self.due => {",
    ),
    Mutant(
        "tcp-extra-map",
        "each lane carries the congestion map",
        "Path::has_map",
        "!self.loopback && !self.extra",
        "!self.loopback",
    ),
    Mutant(
        "tcp-map-order",
        "a congestion map of one lane is in doubt, too",
        "Doubt::on_map",
        "before.filter(|(other, _)| *other != lane)",
        "before",
    ),
    Mutant(
        "tcp-map-again",
        "who is in doubt about a congestion map asks as often as before",
        "Doubt::on_asked",
        ".saturating_mul(2)",
        "",
    ),
    Mutant(
        "tcp-disowned",
        "what came of the peer's last life stays received",
        "Path::disown",
        "self.disowned |= matches!(self.state(), State::Up | State::Closing);",
        "",
    ),
    Mutant(
        "tcp-parked-life",
        "a connection that was not read yet is closed when the peer's life is known",
        "Path::renew",
        " && !is_unread",
        "",
    ),
    Mutant(
        "tcp-torn",
        "the header of a stream that ended goes on in the next one",
        "Deframer::reset",
        "*self = Self::default();",
        "self.coming = None;",
    ),
]
