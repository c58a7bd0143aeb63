# SPDX-License-Identifier: GPL-2.0
"""The page with the tables and plots of a run of the bench: one file that needs no other."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from statistics import median

import jinja2

from . import plots
from .profiles import by_row
from .report import Earlier, Run, history, tables

TEMPLATE = Path(__file__).with_name("page.html")
# Earlier runs with a column of their own; the plot has all.
COLUMNS = 5


def _history(run: Run, earlier: Sequence[Earlier]) -> list[tuple[str, str, list[str], str]]:
    """Of each row: its title, its ratio now, those of the last runs before, newest first, and a plot."""
    made = []
    for row in run.rows:
        before = [ratio for _, ratio in history(earlier, row.name)]
        if not row.ratios or not before:
            continue
        now = median(row.ratios)
        shown = [entry.ratio(row.name) for entry in reversed(earlier[-COLUMNS:])]
        cells = ["" if ratio is None else f"{ratio:.2f}" for ratio in shown]
        made.append((row.kind.title, f"{now:.2f}", cells, plots.history([*before, now])))
    return made


def page(run: Run, earlier: Sequence[Earlier]) -> str:
    """The page as HTML."""
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined)
    template = environment.from_string(TEMPLATE.read_text())
    about = {
        name: ", ".join(f"{key} {word}" for key, word in value.items() if word)
        if isinstance(value, dict)
        else value
        for name, value in run.about.items()
    }
    return template.render(
        about=about,
        ratios=plots.ratios(run.rows),
        counted=[(row.row, plots.instructions(row)) for row in by_row(run.profiles)],
        tables=tables(run, earlier),
        runs=[entry.name for entry in reversed(earlier[-COLUMNS:])],
        history=_history(run, earlier),
    )
