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
        "Path::greet",
        "self.reassembly.forget();",
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
