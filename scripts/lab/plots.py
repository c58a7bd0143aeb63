# SPDX-License-Identifier: GPL-2.0
"""Plots of the bench as SVG, to be part of a page that defines the classes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from xml.etree import ElementTree

from .measured import TITLES, Row
from .profiles import OWN, Counted, Profile

WIDTH, LABELS, LINE = 900, 330, 18
# The parts of a bar of instructions, each with a class of its own.
PARTS = ("own", "kernel", "rxe", "other", "strings")


@dataclass
class Scale:
    """A range of values, and where it is drawn."""

    low: float
    high: float
    left: float
    right: float

    def at(self, value: float) -> float:
        part = (value - self.low) / ((self.high - self.low) or 1)
        return self.left + part * (self.right - self.left)


def _svg(width: float, height: float, title: str) -> ElementTree.Element:
    made = ElementTree.Element(
        "svg", {"viewBox": f"0 0 {width:.0f} {height:.0f}", "width": f"{width:.0f}", "role": "img"}
    )
    ElementTree.SubElement(made, "title").text = title
    return made


def _text(parent: ElementTree.Element, x: float, y: float, text: str, kind: str) -> None:
    ElementTree.SubElement(
        parent, "text", {"x": f"{x:.1f}", "y": f"{y:.1f}", "class": kind}
    ).text = text


def _bar(parent: ElementTree.Element, x: float, width: float, y: float, kind: str) -> None:
    attributes = {
        "x": f"{x:.1f}",
        "y": f"{y + 3:.1f}",
        "width": f"{max(width, 0.5):.1f}",
        "height": f"{LINE - 6}",
        "class": kind,
    }
    ElementTree.SubElement(parent, "rect", attributes)


def _line(parent: ElementTree.Element, ends: tuple[float, float, float, float], kind: str) -> None:
    names = ("x1", "y1", "x2", "y2")
    points = {name: f"{value:.1f}" for name, value in zip(names, ends, strict=True)}
    ElementTree.SubElement(parent, "line", {**points, "class": kind})


def _done(made: ElementTree.Element) -> str:
    return ElementTree.tostring(made, encoding="unicode")


def ratios(rows: Sequence[Row]) -> str:
    """A bar for each row from 1 to its ratio, the lowest and the highest of it, on a logarithmic scale."""
    shown = [(row, row.ratios) for row in rows if row.ratios and min(row.ratios) > 0]
    if not shown:
        return ""
    logs = [math.log2(value) for _, values in shown for value in values]
    scale = Scale(min(*logs, -1.0), max(*logs, 1.0), LABELS, WIDTH - 60)
    height = LINE * (len(shown) + 1)
    made = _svg(WIDTH, height, "How many times as good rrds is as the C implementation")
    for power in range(math.ceil(scale.low), math.floor(scale.high) + 1):
        x = scale.at(power)
        _line(made, (x, 0, x, height - LINE), "one" if power == 0 else "grid")
        _text(made, x, height - 4, f"{2.0**power:g}", "tick")
    for at, (row, values) in enumerate(shown):
        y, middle = LINE * at, math.log2(median(values))
        _text(made, LABELS - 8, y + LINE - 5, row.kind.title, "label")
        left, right = sorted((scale.at(0), scale.at(middle)))
        _bar(made, left, right - left, y, "better" if middle >= 0 else "worse")
        ends = [scale.at(math.log2(value)) for value in (min(values), max(values))]
        _line(made, (ends[0], y + LINE / 2, ends[1], y + LINE / 2), "spread")
        _text(made, max(right, ends[1]) + 4, y + LINE - 5, f"{median(values):.2f}", "value")
    return _done(made)


def parts(profile: Profile) -> dict[str, float]:
    """The instructions of a message by part."""
    sums = dict.fromkeys(PARTS, 0.0)
    for owner, n in profile.count.owners().items():
        if owner in OWN.get(profile.name, ()):
            part = "own"
        elif owner == "kernel":
            part = "kernel"
        elif owner == "rdma_rxe":
            part = "rxe"
        else:
            part = "other"
        sums[part] += profile.each(n)
    sums["strings"] = profile.strings
    return sums


def instructions(row: Counted) -> str:
    """A bar for each implementation, of the parts of its instructions."""
    shown = [(name, row.profiles[name]) for name in TITLES if name in row.profiles]
    scale = Scale(0, max(profile.all for _, profile in shown), 60, WIDTH - 90)
    made = _svg(WIDTH, LINE * len(shown), f"Instructions of a message, {row.row}")
    for at, (name, profile) in enumerate(shown):
        y, sum_so_far = LINE * at, 0.0
        _text(made, 52, y + LINE - 5, TITLES[name], "label")
        for part, n in parts(profile).items():
            if n:
                start = scale.at(sum_so_far)
                sum_so_far += n
                _bar(made, start, scale.at(sum_so_far) - start, y, part)
        _text(made, scale.at(sum_so_far) + 4, y + LINE - 5, f"{profile.all:,.0f}", "value")
    return _done(made)


def history(values: Sequence[float]) -> str:
    """A small line of the ratios of one row, the newest last."""
    width, height = 160, 28
    made = _svg(width, height, "Ratios of earlier runs")
    across = Scale(0, max(len(values) - 1, 1), 4, width - 4)
    up = Scale(min(*values, 1.0), max(*values, 1.0), height - 4, 4)
    _line(made, (0, up.at(1.0), width, up.at(1.0)), "one")
    points = [(across.at(at), up.at(value)) for at, value in enumerate(values)]
    joined = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    ElementTree.SubElement(made, "polyline", {"points": joined, "class": "runs"})
    x, y = points[-1]
    attributes = {"cx": f"{x:.1f}", "cy": f"{y:.1f}", "r": "2.5", "class": "last"}
    ElementTree.SubElement(made, "circle", attributes)
    return _done(made)
