# SPDX-License-Identifier: GPL-2.0
"""Find a piece of code by the function it is in, wherever that is and however it is formatted.

A function is named as in Rust, `Type::function` or `function`, with as much of its module in front
as it takes to tell it from others: `queue::Queue::cancel`. So a mutant survives that its file is moved
or split and that lines around it change; what it changes has to be there once, token by token.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "scripts"))

from check.rust import Source, tokens

_CLOSING = {")", "]", "}"}


class Lost(Exception):
    """The code that was looked for is not there, or is there more than once."""


@dataclass(frozen=True)
class Place:
    """From `start` to `end` in the text of a file."""

    file: Path
    start: int
    end: int

    def replaced(self, text: str, after: str) -> str:
        return text[: self.start] + after + text[self.end :]


@dataclass
class Function:
    """Where a function is: its names from the outermost one, and its tokens in a source."""

    path: tuple[str, ...]
    file: Path
    source: Source
    first: int
    end: int


def functions(file: Path, modules: tuple[str, ...]) -> Iterator[Function]:
    """All functions of a file, which is that of a module."""
    source = Source(file.read_text())
    for i, token in enumerate(source.code):
        if token.kind != "ident" or token.text != "fn" or source.text(i + 1) in ("(", ""):
            continue
        brace = _body(source, i + 2)
        if brace is None:
            continue
        names = [source.text(i + 1)]
        around = source.parent[i]
        while around is not None:
            if source.text(around) == "{":
                names.extend(reversed(_names(source.header(around))))
            around = source.parent[around]
        path = (*modules, *reversed(names))
        yield Function(path, file, source, i, source.partner[brace] + 1)


def _body(source: Source, at: int) -> int | None:
    """The brace that opens the body; nothing for one that is only declared."""
    while at < len(source.code):
        text = source.text(at)
        if text == "{":
            return at if at in source.partner else None
        if text == ";":
            return None
        at = source.partner.get(at, at) + 1 if text in ("(", "[") else at + 1
    return None


def _names(header: list[str]) -> list[str]:
    """What `mod x`, `trait X`, `impl X` or `impl Y for X` add to a path."""
    for word in ("mod", "trait", "fn"):
        if word in header:
            return [header[header.index(word) + 1]]
    if "impl" not in header:
        return []
    rest = _without_brackets(header[header.index("impl") + 1 :])
    if "where" in rest:
        rest = rest[: rest.index("where")]
    if "for" in rest:
        rest = rest[rest.index("for") + 1 :]
    names = [t for t in rest if t.isidentifier() and t not in ("dyn", "mut")]
    return names[-1:]


def _without_brackets(texts: list[str]) -> list[str]:
    found, depth = [], 0
    for text in texts:
        if text == "<":
            depth += 1
        elif text == ">":
            depth -= 1
        elif depth == 0:
            found.append(text)
    return found


class Crate:
    """The functions of all files of a folder."""

    def __init__(self, folder: Path) -> None:
        self.functions: list[Function] = []
        for file in sorted(folder.rglob("*.rs")):
            modules = file.relative_to(folder).with_suffix("").parts
            self.functions += functions(file, tuple(m for m in modules if m != "mod"))

    def find(self, where: str, fragment: str) -> Place:
        """The one place in the function that is meant where the fragment is."""
        wanted = tuple(where.split("::"))
        meant = [f for f in self.functions if f.path[-len(wanted) :] == wanted]
        if not meant:
            raise Lost(f"there is no function `{where}`")
        places = [place for function in meant for place in _matches(function, fragment)]
        if not places:
            raise Lost(f"`{where}` does not contain `{' '.join(fragment.split())}`")
        if len(places) > 1:
            files = ", ".join(sorted({str(p.file) for p in places}))
            raise Lost(
                f"`{where}` contains `{' '.join(fragment.split())}` {len(places)} times: {files}"
            )
        return places[0]


def _matches(function: Function, fragment: str) -> Iterator[Place]:
    code = function.source.code
    wanted = [t.text for t in tokens(fragment) if t.kind not in ("comment", "doc")]
    for i in range(function.first, function.end):
        last = _match(function, i, wanted)
        if last is not None:
            end = code[last]
            yield Place(function.file, code[i].at, end.at + len(end.text))


def _match(function: Function, at: int, wanted: list[str]) -> int | None:
    """The last token of what matches from `at` on. A comma before a closing bracket is nothing."""
    source, last = function.source, at
    for n, text in enumerate(wanted):
        if n and source.text(at) == "," and text in _CLOSING:
            at += 1
        if text == "," and wanted[n + 1 : n + 2] and wanted[n + 1] in _CLOSING:
            at += source.text(at) == ","
            continue
        if at >= function.end or source.text(at) != text:
            return None
        last = at
        at += 1
    return last
