# SPDX-License-Identifier: GPL-2.0
"""The instructions of a message, as a node's emulator counted them: by implementation and owner."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from . import insns
from .env import LabError
from .measured import NAMES, lines

# The modules of each implementation of RDS.
OWN = {"c": ("rds", "rds_rdma"), "rrds": ("rrds", "krdma")}


@dataclass
class Profile:
    """The instructions of a message of a row, or of a round trip, by owner and function."""

    row: str
    name: str
    messages: int
    count: insns.Count

    def each(self, number: int) -> float:
        return number / self.messages

    @property
    def strings(self) -> float:
        """Repetitions of string instructions."""
        return self.each(self.count.repetitions)

    @property
    def rest(self) -> float:
        """All instructions but those."""
        return self.each(self.count.total)

    @property
    def all(self) -> float:
        return self.rest + self.strings

    @property
    def own(self) -> float:
        """Instructions of the implementation itself."""
        owners = self.count.owners()
        return self.each(sum(owners.get(owner, 0) for owner in OWN.get(self.name, ())))

    def json(self, *, functions: bool = True) -> dict[str, Any]:
        content: dict[str, Any] = {
            "row": self.row,
            "implementation": self.name,
            "messages": self.messages,
            "instructions": self.rest,
            "string_repetitions": self.strings,
            "owners": {owner: self.each(n) for owner, n in self.count.owners().items()},
        }
        if functions:
            content["functions"] = [
                {"owner": owner, "function": function, "instructions": self.each(n)}
                for (owner, function), n in sorted(
                    self.count.functions.items(), key=lambda item: -item[1]
                )
            ]
        return content


@dataclass
class Counted:
    """A row whose instructions were counted, for some implementations. A ratio is as that of times: above 1,
    rrds is better.
    """

    row: str
    profiles: dict[str, Profile]

    def ratio(self, what: str) -> float | None:
        """Of `all`, or of the `rest` without string instructions."""
        theirs, ours = (self.profiles.get(name) for name in OWN)
        if theirs is None or ours is None or not getattr(ours, what):
            return None
        return getattr(theirs, what) / getattr(ours, what)


def by_row(found: Sequence[Profile]) -> list[Counted]:
    rows: dict[str, Counted] = {}
    for profile in found:
        rows.setdefault(profile.row, Counted(profile.row, {})).profiles[profile.name] = profile
    return list(rows.values())


def profiles(output: str, files: Sequence[Path]) -> list[Profile]:
    """The profiles of a node, whose output has the symbols, and a line for each file of counts."""
    counted = [line for line in lines(output) if "counted" in line]
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
