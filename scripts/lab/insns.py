# SPDX-License-Identifier: GPL-2.0
"""Instructions of a node by owner and function, as the plugin tools/insns has counted them.

Under emulation a repeated string instruction counts once per repetition; a processor copies many bytes at
a time. So repetitions are apart, and what is compared is compared with them and without.
"""

from __future__ import annotations

import bisect
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from .env import LabError

# Addresses below are a program's.
KERNEL = 1 << 63
SYMBOL = re.compile(r"([0-9a-f]{16}) [tTwW] (\S+)(?:\s+\[(\S+)\])?")

Function = tuple[str, str]


class Symbols:
    """The functions of a kernel and its modules, from lines of /proc/kallsyms."""

    def __init__(self, lines: Iterable[str]) -> None:
        found = (SYMBOL.fullmatch(line.strip()) for line in lines)
        functions = [(int(m[1], 16), (m[3] or "kernel", m[2])) for m in found if m]
        # Padding before a function counts for it.
        functions.sort(key=lambda entry: entry[0])
        self._starts = [start for start, _ in functions]
        self._functions = [function for _, function in functions]

    def __len__(self) -> int:
        return len(self._starts)

    def at(self, address: int) -> Function:
        """The owner and the name of the function at an address."""
        if address < KERNEL:
            return "program", ""
        index = bisect.bisect_right(self._starts, address) - 1
        return self._functions[index] if index >= 0 else ("kernel", "")


@dataclass
class Count:
    """Instructions between two marks, by function; repetitions of string instructions are apart."""

    functions: dict[Function, int] = field(default_factory=dict)
    repetitions: int = 0

    @property
    def total(self) -> int:
        """All of them but repetitions."""
        return sum(self.functions.values())

    def owners(self) -> Mapping[str, int]:
        """Instructions by owner, most first."""
        sums: dict[str, int] = {}
        for (owner, _), n in self.functions.items():
            sums[owner] = sums.get(owner, 0) + n
        return dict(sorted(sums.items(), key=lambda item: -item[1]))


def parse(text: str, symbols: Symbols) -> Count:
    """What a file of the plugin says."""
    count = Count()
    for line in text.splitlines():
        try:
            address, insns, times, is_string = (
                int(word, base) for word, base in zip(line.split(), (16, 10, 10, 10), strict=True)
            )
        except ValueError:
            raise LabError(f"the plugin wrote what is no count: {line!r}") from None
        if address == 0:
            raise LabError("the plugin met more blocks of code than it can tell apart")
        if is_string and insns == 1:
            count.repetitions += times
            continue
        function = symbols.at(address)
        count.functions[function] = count.functions.get(function, 0) + insns * times
    return count


def files(folder: Path, node: str) -> list[Path]:
    """The plugin's files of a node, in the order of the marks."""
    return sorted(folder.glob(f"{node}.insns.*"))
