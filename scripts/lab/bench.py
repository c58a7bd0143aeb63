# SPDX-License-Identifier: GPL-2.0
"""`make bench`: runs tests/bench.toml with its large numbers, and makes a table and a file of what it
measured.

A ratio says how many times as good rrds is as the C implementation in the same round: above 1 is
better, whether more or less of the unit is. The file has all that was measured, for those who want to
compute something else.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from statistics import median
from typing import Any

from rich.console import Console

from . import hosttests, insns, ktap, qemu, run, table, topology
from .env import Env, LabError
from .table import Steps

C, OURS, VERBS = 21, 27, 0
NAMES = {C: "c", OURS: "rrds", VERBS: "verbs"}

# The modules of each implementation.
OWN = {"c": ("rds", "rds_rdma"), "rrds": ("rrds", "krdma")}

# What may be set in the environment: the variable, and the parameter of the test.
SETTINGS = {
    "BENCH_ROUNDS": "ROUNDS",
    "BENCH_COLD_ROUNDS": "COLD_ROUNDS",
    "BENCH_TIME": "TIME",
    "BENCH_ONLY": "ONLY",
}


@dataclass(frozen=True)
class Kind:
    """What a row is about."""

    title: str
    unit: str
    more_is_better: bool


def _kind(row: str) -> Kind:
    if found := re.fullmatch(r"rtt-(\d+)-p(\d+)", row):
        return Kind(f"round trip of {found[1]} B, {found[2]} %", "µs", False)
    if found := re.fullmatch(r"rate-(\d+)-d(\d+)-s(\d+)", row):
        sockets = "1 socket" if found[3] == "1" else f"{found[3]} sockets"
        return Kind(f"messages of {found[1]} B, {sockets}, {found[2]} each", "/s", True)
    if found := re.fullmatch(r"flow-(\d+)([KM])", row):
        return Kind(f"messages of {found[1]} {found[2]}iB", "MiB/s", True)
    if row == "cold":
        return Kind("first message, connection included", "µs", False)
    if row == "idle":
        return Kind("memory of an idle peer", "KiB", False)
    raise LabError(f"the bench measured {row!r}, which nothing is known of")


def deviation(values: Sequence[float]) -> float:
    """The median of the distances from the median, as a part of it."""
    middle = median(values)
    return median(abs(value - middle) for value in values) / middle if middle else 0.0


@dataclass
class Row:
    """What was measured of one row: by implementation, in the order of the rounds."""

    name: str
    kind: Kind
    values: dict[str, list[float]] = field(default_factory=dict)

    @property
    def ratios(self) -> list[float]:
        pairs = zip(self.values.get("c", ()), self.values.get("rrds", ()), strict=True)
        if self.kind.more_is_better:
            return [ours / theirs for theirs, ours in pairs if theirs]
        return [theirs / ours for theirs, ours in pairs if ours]

    def json(self) -> dict[str, Any]:
        measured = {
            name: {"median": median(values), "deviation": deviation(values), "rounds": values}
            for name, values in self.values.items()
        }
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


def _lines(output: str) -> Iterable[dict[str, Any]]:
    for line in output.splitlines():
        if line.startswith("{"):
            try:
                yield json.loads(line)
            except ValueError:
                raise LabError(f"the bench printed what is no JSON: {line}") from None


def rows(output: str) -> list[Row]:
    """What a node's output says was measured."""
    found: dict[str, Row] = {}
    for line in _lines(output):
        if "row" not in line:
            continue
        name = line["row"]
        row = found.setdefault(name, Row(name, _kind(name)))
        row.values.setdefault(NAMES[line["family"]], []).append(float(line["value"]))
    for row in found.values():
        if len(row.values.get("c", ())) != len(row.values.get("rrds", ())):
            raise LabError(f"the bench did not measure {row.name} for both")
    if not found:
        raise LabError("the bench measured nothing")
    return list(found.values())


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 1000 else f"{value:.4g}"


def _measured(row: Row, name: str) -> tuple[str, str]:
    values = row.values.get(name)
    if not values:
        return "", ""
    return _number(median(values)), f"{100 * deviation(values):.0f} %"


def show(found: Sequence[Row], out: Console) -> None:
    lines = []
    for row in found:
        ratios = row.ratios
        ratio = f"{median(ratios):.2f}" if ratios else ""
        spread = f"{min(ratios):.2f}-{max(ratios):.2f}" if ratios else ""
        verbs = _measured(row, "verbs")[0]
        cells = (*_measured(row, "c"), *_measured(row, "rrds"), ratio, spread, verbs)
        lines.append((row.kind.title, row.kind.unit, *cells))
    columns = ("", "unit", "C", "±", "rrds", "±", "ratio", "rounds", "verbs")
    title = "rrds beside the C implementation (a ratio above 1: rrds is better)"
    out.print(table.table(title, columns, lines, right=range(2, 9)))


@dataclass
class Profile:
    """The instructions of a message of a row, or of a round trip, by owner and function."""

    row: str
    name: str
    messages: int
    count: insns.Count

    def each(self, number: int) -> float:
        return number / self.messages

    def own(self) -> int:
        """Instructions of the implementation itself."""
        owners = self.count.owners()
        return sum(owners.get(owner, 0) for owner in OWN[self.name])

    def json(self) -> dict[str, Any]:
        functions = [
            {"owner": owner, "function": function, "instructions": self.each(n)}
            for (owner, function), n in sorted(
                self.count.functions.items(), key=lambda item: -item[1]
            )
        ]
        return {
            "row": self.row,
            "implementation": self.name,
            "messages": self.messages,
            "instructions": self.each(self.count.total),
            "string_repetitions": self.each(self.count.repetitions),
            "owners": {owner: self.each(n) for owner, n in self.count.owners().items()},
            "functions": functions,
        }


def profiles(output: str, files: Sequence[Path]) -> list[Profile]:
    """The profiles of a node, whose output has the symbols, and a line for each file of counts."""
    counted = [line for line in _lines(output) if "counted" in line]
    if not files:
        return []
    if len(counted) != len(files):
        raise LabError(f"the bench counted {len(counted)} rows, but there are {len(files)} counts")
    symbols = insns.Symbols(output.splitlines())
    if not symbols:
        raise LabError("the bench printed no symbols of the kernel")
    return [
        Profile(
            line["counted"],
            NAMES[line["family"]],
            line["messages"],
            insns.parse(file.read_text(), symbols),
        )
        for line, file in zip(counted, files, strict=True)
    ]


def show_profiles(found: Sequence[Profile], out: Console) -> None:
    """A line for each row that was counted for both. The ratio is as that of times: above 1, rrds is better."""
    by_row: dict[str, dict[str, Profile]] = {}
    for profile in found:
        by_row.setdefault(profile.row, {})[profile.name] = profile
    lines = []
    for row, pair in by_row.items():
        both = [pair[name] for name in OWN if name in pair]
        cells = [f"{p.each(p.count.total):,.0f}" for p in both]
        ratio = both[0].each(both[0].count.total) / both[-1].each(both[-1].count.total)
        cells.append(f"{ratio:.2f}")
        cells += [f"{p.each(p.own()):,.0f}" for p in both]
        cells += [f"{p.each(p.count.repetitions):,.0f}" for p in both]
        lines.append((row, *cells))
    columns = ("", "C", "rrds", "ratio", "C's own", "rrds' own", "C: strings", "rrds: strings")
    title = "Instructions of a message; repetitions of string instructions are apart"
    out.print(table.table(title, columns, lines, right=range(1, len(columns))))


def configured(test: topology.Test, environ: Mapping[str, str]) -> topology.Test:
    """The test with what the user sets in the environment."""
    params = dict(test.params)
    for variable, name in SETTINGS.items():
        if value := environ.get(variable):
            if name != "ONLY" and not (value.isdigit() and int(value)):
                raise LabError(f"{variable} is {value!r}: it must be a number above 0")
            params[name] = value
    return replace(test, params=params)


def main(env: Env) -> int:
    out = table.console(env.terminal)
    steps = Steps(out, env.terminal)
    test = configured(topology.load(env.tests / "bench.toml", soak=True), os.environ)
    with steps.step("build", "Building the modules"):
        hosttests.need_modules(env, "rdma_pingpong")
    how = env.accel or qemu.default_accel()
    doing = f"Measuring on {env.release} ({how}), {test.params['ROUNDS']} rounds"
    with steps.step("run", doing):
        report = asyncio.run(run.execute(env, test))
    if not report.passed:
        print("\n".join([*ktap.header(1), *ktap.render(report.result, 1)]))
        return 1

    output = (env.logs / test.name / "a.out").read_text(errors="replace")
    found = rows(output)
    looks = profiles(output, insns.files(env.logs / test.name, "a"))
    show(found, out)
    if looks:
        show_profiles(looks, out)
    result = env.checkout / "build" / "bench" / "result.json"
    result.parent.mkdir(parents=True, exist_ok=True)
    content = {
        "kernel": env.release,
        "accelerator": how,
        "processors": test.nodes[0].cpus,
        "settings": test.params,
        "rows": [row.json() for row in found],
        "profiles": [profile.json() for profile in looks],
    }
    result.write_text(json.dumps(content, indent=1) + "\n")
    out.print(f"all of it: {result}")
    return 0
