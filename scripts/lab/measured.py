# SPDX-License-Identifier: GPL-2.0
"""What the bench's node printed: rows, each with figures of some implementations.

A ratio says how many times as good rrds is as the C implementation in the same round: above 1 is
better, whether more or less of the unit is.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Any

from .env import LabError

# What a node calls an implementation, and its name here. The order is that of columns.
NAMES: dict[int | str, str] = {
    21: "c",
    27: "rrds",
    0: "verbs",
    "tcp": "tcp",
    "nagle": "nagle",
    "udp": "udp",
    "unix": "unix",
}
TITLES = {
    "c": "C",
    "rrds": "rrds",
    "verbs": "verbs",
    "tcp": "TCP",
    "nagle": "Nagle",
    "udp": "UDP",
    "unix": "UNIX",
}

# Where both ends are, if not at two addresses with a wire between them.
PLACES = {"own-": "own addresses, ", "lo-": "127.0.0.1, ", "tcp-": "over TCP, "}


@dataclass(frozen=True)
class Kind:
    """What a row is about."""

    title: str
    unit: str
    more_is_better: bool
    # There may be figures of rrds alone.
    alone: bool = False


def kind(row: str) -> Kind:
    prefix = next((prefix for prefix in PLACES if row.startswith(prefix)), "")
    place, name = PLACES.get(prefix, ""), row.removeprefix(prefix)
    if found := re.fullmatch(r"rtt-(\d+)-p(\d+)", name):
        return Kind(f"{place}round trip of {found[1]} B, {found[2]} %", "µs", False)
    if found := re.fullmatch(r"hol-1M-d(\d+)(-tos)?-p50", name):
        tos = ", other type of service" if found[2] else ""
        return Kind(f"{place}round trip beside {found[1]} × 1 MiB{tos}", "µs", False)
    if found := re.fullmatch(r"rate-(\d+)-d(\d+)-s(\d+)", name):
        sockets = "1 socket" if found[3] == "1" else f"{found[3]} sockets"
        return Kind(f"{place}{found[1]} B, {sockets}, {found[2]} each", "/s", True)
    if found := re.fullmatch(r"flow-(\d+)([KM])", name):
        return Kind(f"{place}messages of {found[1]} {found[2]}iB", "MiB/s", True)
    if name == "cold":
        return Kind("first message, connection included", "µs", False)
    if name == "idle":
        return Kind("memory of an idle peer", "KiB", False)
    if found := re.fullmatch(r"path-(\d+)", name):
        return Kind(f"the same, up to {found[1]} of them", "KiB", False, alone=True)
    if name == "mem-socket":
        return Kind("memory of a bound socket", "B", False)
    if found := re.fullmatch(r"mem-(queued|unread)-(\d+)", name):
        return Kind(f"memory of a message of {found[2]} B, {found[1]}", "B", False)
    raise LabError(f"the bench measured {row!r}, which nothing is known of")


def deviation(values: Sequence[float]) -> float:
    """The median of the distances from the median, as a part of it."""
    middle = median(values)
    return median(abs(value - middle) for value in values) / abs(middle) if middle else 0.0


@dataclass
class Row:
    """What was measured of one row: by implementation, in the order of the rounds."""

    name: str
    kind: Kind
    values: dict[str, list[float]] = field(default_factory=dict)
    # Packets that went over the wire for each message.
    packets: dict[str, list[float]] = field(default_factory=dict)

    @property
    def ratios(self) -> list[float]:
        pairs = list(zip(self.values.get("c", ()), self.values.get("rrds", ()), strict=False))
        if self.kind.more_is_better:
            return [ours / theirs for theirs, ours in pairs if theirs]
        return [theirs / ours for theirs, ours in pairs if ours]

    def middle(self, name: str) -> float | None:
        values = self.values.get(name)
        return median(values) if values else None

    def json(self) -> dict[str, Any]:
        measured = {
            name: {"median": median(values), "deviation": deviation(values), "rounds": values}
            for name, values in self.values.items()
        }
        for name, packets in self.packets.items():
            measured[name]["packets"] = median(packets)
        ratios = self.ratios
        ratio = {"median": median(ratios), "rounds": ratios} if ratios else None
        return {
            "row": self.name,
            "title": self.kind.title,
            "unit": self.kind.unit,
            "more_is_better": self.kind.more_is_better,
            "measured": measured,
            "ratio": ratio,
        }


def lines(output: str) -> Iterable[dict[str, Any]]:
    """The lines of JSON in a node's output."""
    for line in output.splitlines():
        if line.startswith("{"):
            try:
                yield json.loads(line)
            except ValueError:
                raise LabError(f"the bench printed what is no JSON: {line}") from None


def rows(output: str) -> list[Row]:
    """What a node's output says was measured."""
    found: dict[str, Row] = {}
    for line in lines(output):
        if "row" not in line:
            continue
        name = line["row"]
        row = found.setdefault(name, Row(name, kind(name)))
        who = NAMES[line["family"]]
        row.values.setdefault(who, []).append(float(line["value"]))
        if "packets" in line:
            row.packets.setdefault(who, []).append(float(line["packets"]))
    for row in found.values():
        theirs, ours = (len(row.values.get(name, ())) for name in ("c", "rrds"))
        if theirs != ours and not (row.kind.alone and ours and not theirs):
            raise LabError(f"the bench did not measure {row.name} for both")
    if not found:
        raise LabError("the bench measured nothing")
    return list(found.values())
