# SPDX-License-Identifier: GPL-2.0
"""What is made of a run of the bench: tables, a file of all that was measured, and a shorter one that
is kept for comparison with later runs.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from rich.console import Console

from . import table
from .env import LabError
from .measured import NAMES, TITLES, Row, deviation
from .profiles import OWN, Counted, Profile, by_row

# The columns beside the two implementations of RDS.
OTHERS = tuple(name for name in NAMES.values() if name not in OWN)


def number(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"


def _ratio(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}"


@dataclass
class Run:
    """A run of the bench."""

    # What it ran on and with.
    about: dict[str, Any]
    rows: Sequence[Row]
    profiles: Sequence[Profile]

    def json(self, *, functions: bool = True) -> dict[str, Any]:
        return {
            **self.about,
            "rows": [row.json() for row in self.rows],
            "profiles": [profile.json(functions=functions) for profile in self.profiles],
        }


@dataclass
class Earlier:
    """What is kept of an earlier run."""

    name: str
    content: dict[str, Any]

    def ratio(self, row: str) -> float | None:
        """That of a row, if the run had it."""
        for entry in self.content["rows"]:
            if entry["row"] == row and entry["ratio"]:
                return entry["ratio"]["median"]
        return None


def history(earlier: Iterable[Earlier], row: str) -> list[tuple[str, float]]:
    """The ratio of a row in those earlier runs that have one, the oldest first."""
    found = ((run.name, run.ratio(row)) for run in earlier)
    return [(name, ratio) for name, ratio in found if ratio is not None]


def earlier_runs(folder: Path) -> list[Earlier]:
    """The runs kept in a folder, the oldest first."""
    found = []
    for path in sorted(folder.glob("*.json")):
        try:
            run = Earlier(path.stem, json.loads(path.read_text()))
            history([run], "")
        except (ValueError, KeyError, TypeError) as error:
            raise LabError(f"{path} is no run of the bench: remove it ({error})") from None
        found.append(run)
    return found


def _measured(row: Row, name: str) -> tuple[str, str]:
    values = row.values.get(name)
    if not values:
        return "", ""
    return number(median(values)), f"{100 * deviation(values):.0f} %"


def _rows_table(rows: Sequence[Row], earlier: Sequence[Earlier]) -> tuple:
    cells = []
    for row in rows:
        ratios = row.ratios
        ratio = _ratio(median(ratios)) if ratios else ""
        spread = f"{min(ratios):.2f}-{max(ratios):.2f}" if ratios else ""
        before = history(earlier, row.name)
        cells.append(
            (
                row.kind.title,
                row.kind.unit,
                *_measured(row, "c"),
                *_measured(row, "rrds"),
                ratio,
                spread,
                _ratio(before[-1][1]) if before else "",
            )
        )
    columns = ("", "unit", "C", "±", "rrds", "±", "ratio", "rounds", "before")
    return "rrds beside the C implementation (a ratio above 1: rrds is better)", columns, cells


def _beside_table(rows: Sequence[Row]) -> tuple:
    names = (*OWN, *OTHERS)
    cells = [
        (row.kind.title, row.kind.unit, *(number(row.middle(name)) for name in names))
        for row in rows
        if any(name in row.values for name in OTHERS)
    ]
    return "Beside other sockets, and raw verbs", ("", "unit", *map(TITLES.get, names)), cells


def _packets_table(rows: Sequence[Row]) -> tuple:
    names = [name for name in (*OWN, *OTHERS) if any(name in row.packets for row in rows)]
    cells = []
    for row in rows:
        if row.packets:
            each = (row.packets.get(name) for name in names)
            cells.append((row.name, *(f"{median(n):.3g}" if n else "" for n in each)))
    title = "Packets on the wire for a message (a packet of TCP may have 64 KiB)"
    return title, ("", *map(TITLES.get, names)), cells


def _instructions_table(counted: Sequence[Counted]) -> tuple:
    cells = []
    for row in counted:
        both = [row.profiles.get(name) for name in OWN]
        line = [row.row]
        for what in ("all", "rest"):
            line += [number(getattr(profile, what)) if profile else "" for profile in both]
            line.append(_ratio(row.ratio(what)))
        line += [number(profile.strings) if profile else "" for profile in both]
        cells.append(tuple(line))
    columns = ("", "C", "rrds", "ratio", "C rest", "rrds rest", "ratio", "C str", "rrds str")
    title = "Instructions of a message; of these: repetitions of string instructions, and the rest"
    return title, columns, cells


def _owners_table(counted: Sequence[Counted]) -> tuple:
    names = [name for name in OTHERS if any(name in row.profiles for row in counted)]
    cells = []
    for row in counted:
        own = (row.profiles.get(name) for name in OWN)
        others = (row.profiles.get(name) for name in names)
        cells.append(
            (
                row.row,
                *(number(profile.own) if profile else "" for profile in own),
                *(number(profile.rest) if profile else "" for profile in others),
            )
        )
    columns = ("", "C's own", "rrds' own", *map(TITLES.get, names))
    return "Instructions without those: the modules' own, and all of other sockets", columns, cells


def tables(run: Run, earlier: Sequence[Earlier]) -> list[tuple[str, tuple[str, ...], list]]:
    """Titles, columns and lines, for people. The first column is text, and the second where it has units."""
    counted = by_row(run.profiles)
    made = [
        _rows_table(run.rows, earlier),
        _beside_table(run.rows),
        _packets_table(run.rows),
        _instructions_table(counted),
        _owners_table(counted),
    ]
    return [entry for entry in made if entry[2]]


def show(run: Run, earlier: Sequence[Earlier], out: Console) -> None:
    for title, columns, cells in tables(run, earlier):
        texts = 2 if "unit" in columns else 1
        out.print(table.table(title, columns, cells, right=range(texts, len(columns))))


def save(run: Run, folder: Path, name: str) -> Path:
    """Writes all of it, and keeps what is compared with later runs."""
    runs = folder / "runs"
    runs.mkdir(parents=True, exist_ok=True)
    result = folder / "result.json"
    result.write_text(json.dumps(run.json(), indent=1) + "\n")
    short = json.dumps(run.json(functions=False), indent=1) + "\n"
    (runs / f"{name}.json").write_text(short)
    return result
