# SPDX-License-Identifier: GPL-2.0
"""What the runner shows: steps while they happen, tables at the end. Plain lines where there is no
terminal.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator, Sequence

from rich.console import Console
from rich.table import Table

PLAIN_WIDTH = 100


def console(terminal: bool) -> Console:
    """A console for stdout; NO_COLOR and a dumb terminal are honoured by rich itself."""
    if terminal:
        return Console(highlight=False)
    width = int(os.environ.get("COLUMNS", "0") or 0) or PLAIN_WIDTH
    return Console(highlight=False, force_terminal=False, color_system=None, width=width)


def seconds(value: float) -> str:
    if value < 100:
        return f"{value:.1f} s"
    return f"{int(value) // 60} min {int(value) % 60:02d} s"


class Steps:
    """Announces each step, with its time when it is over."""

    def __init__(self, out: Console, terminal: bool) -> None:
        self.out, self.terminal = out, terminal
        self.times: list[tuple[str, float]] = []

    @contextlib.contextmanager
    def step(self, name: str, doing: str) -> Iterator[None]:
        began = time.monotonic()
        if self.terminal:
            with self.out.status(f"{doing} ..."):
                yield
        else:
            self.out.print(f"{doing} ...")
            yield
        took = time.monotonic() - began
        self.times.append((name, took))
        mark = "[green]✓[/] " if self.terminal else ""
        self.out.print(f"{mark}{doing}: {seconds(took)}")


def table(
    title: str, columns: Sequence[str], rows: Sequence[Sequence[str]], *, right: Sequence[int] = ()
) -> Table:
    made = Table(title=title, title_justify="left", title_style="bold", header_style="bold")
    for at, column in enumerate(columns):
        made.add_column(column, justify="right" if at in right else "left", overflow="fold")
    for row in rows:
        made.add_row(*row)
    return made
