# SPDX-License-Identifier: GPL-2.0
"""KTAP (Documentation/dev-tools/ktap.rst): read what the guests print, and write it nested for the
whole run.

Reading is strict: a result that is missing, out of order or twice is a failure, because a test that
died half way must never count as passed.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import Enum

_VERSION = re.compile(r"(KTAP|TAP) version \d+$")
_PLAN = re.compile(r"1\.\.(\d+)(?:\s+#\s*SKIP\b\s*(.*))?$")
_RESULT = re.compile(r"(not )?ok\b(?:\s+(\d+))?(?:\s+-)?(?:\s+(?!#)([^#]*?))?\s*(?:#\s*(.*))?$")
_BAIL = re.compile(r"Bail out!\s*(.*)$")
_SUBTEST = re.compile(r"# Subtest: (.*)$")


# How tests/lib/ktap.sh begins the failed result of a script that ended before its plan was done.
ENDED = "the script ended "


class Outcome(Enum):
    PASSED = "passed"
    FAILED = "failed"
    SKIPPED = "skipped"


@dataclass(frozen=True)
class Count:
    """The sum of a run."""

    passed: int = 0
    failed: int = 0
    skipped: int = 0

    def __add__(self, other: Count) -> Count:
        return Count(
            self.passed + other.passed, self.failed + other.failed, self.skipped + other.skipped
        )

    def __str__(self) -> str:
        return f"{self.passed} passed, {self.failed} failed, {self.skipped} skipped"


@dataclass
class Result:
    """One test point; with children it stands for them, and is not counted itself."""

    name: str
    outcome: Outcome
    reason: str = ""
    notes: list[str] = field(default_factory=list)
    children: list[Result] = field(default_factory=list)

    def count(self) -> Count:
        if self.children:
            total = sum((child.count() for child in self.children), Count())
            if self.outcome is Outcome.FAILED and total.failed == 0:
                total += Count(failed=1)
            return total
        return Count(**{self.outcome.value: 1})


def verdict(children: Iterable[Result]) -> Outcome:
    """What a group of results comes to: one failure fails it, and it is skipped only if all of it
    is.
    """
    outcomes = [child.outcome for child in children]
    if Outcome.FAILED in outcomes:
        return Outcome.FAILED
    if outcomes and all(outcome is Outcome.SKIPPED for outcome in outcomes):
        return Outcome.SKIPPED
    return Outcome.PASSED


def failures(result: Result, path: str = "") -> list[tuple[str, Result]]:
    """The results that have failed by themselves, and where each is."""
    path = f"{path} / {result.name}" if path else result.name
    below = [entry for child in result.children for entry in failures(child, path)]
    if result.outcome is Outcome.FAILED and not below:
        return [(path, result)]
    return below


def _result(match: re.Match[str]) -> Result:
    bad, _, name, directive = match.groups()
    word, _, reason = (directive or "").partition(" ")
    name = (name or "").strip() or "(no name)"
    if word.upper() == "SKIP":
        return Result(name, Outcome.SKIPPED, reason.strip())
    if word.upper() in ("XFAIL", "TODO"):
        return Result(name, Outcome.SKIPPED, f"expected to fail: {reason}".strip())
    if word.upper() == "TIMEOUT":
        return Result(name, Outcome.FAILED, "timed out")
    return Result(name, Outcome.FAILED if bad else Outcome.PASSED, (directive or "").strip())


def _failure(name: str) -> Result:
    return Result(name, Outcome.FAILED)


@dataclass
class _Level:
    """The results of one indentation, while they are read."""

    results: list[Result] = field(default_factory=list)
    planned: int | None = None
    skip_all: str | None = None

    def add(self, match: re.Match[str], notes: list[str], children: list[Result]) -> None:
        result = _result(match)
        result.notes, result.children = notes, children
        number = match.group(2)
        self.results.append(result)
        if number is not None and int(number) != len(self.results):
            self.results.append(
                _failure(f"result number {number} came where {len(self.results)} was due")
            )
        if children and result.outcome is Outcome.PASSED and verdict(children) is Outcome.FAILED:
            result.outcome = Outcome.FAILED

    def close(self) -> list[Result]:
        got = len(self.results)
        failed = any(result.outcome is Outcome.FAILED for result in self.results)
        if self.planned is None and not failed:
            self.results.append(_failure("no plan: how many results should there be?"))
        elif self.planned == 0 and self.skip_all is not None and not got:
            self.results.append(Result("all", Outcome.SKIPPED, self.skip_all))
        elif got and self.results[-1].name.startswith(ENDED):
            pass  # the guest library has said so itself
        elif self.planned is not None and got < self.planned:
            self.results.append(
                _failure(f"{self.planned - got} of {self.planned} results are missing")
            )
        elif self.planned is not None and got > self.planned and not failed:
            # A failure that reports the end of the script may exceed the plan; a pass may not.
            self.results.append(_failure(f"{got} results where {self.planned} were planned"))
        return self.results


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip(" "))


def parse(text: str) -> list[Result]:
    """The results in a test's output; other lines become notes of the result that follows, or
    precedes, them.
    """
    levels: list[tuple[int, _Level]] = []
    done: list[Result] | None = None
    notes: list[str] = []
    children: list[Result] = []
    for raw in text.replace("\r", "").split("\n"):
        line, indent = raw.strip(), _indent(raw)
        if _VERSION.match(line) and (not levels or indent > levels[-1][0]):
            levels.append((indent, _Level()))
            continue
        if not levels or not line:
            continue
        plan, result, bail = _PLAN.match(line), _RESULT.match(line), _BAIL.match(line)
        if plan or result:
            while len(levels) > 1 and indent < levels[-1][0]:
                children = levels.pop()[1].close()
        if plan:
            levels[-1][1].planned, levels[-1][1].skip_all = int(plan.group(1)), plan.group(2)
        elif result:
            levels[-1][1].add(result, notes, children)
            notes, children = [], []
        elif bail:
            levels[-1][1].results.append(_failure(f"bailed out: {bail.group(1)}"))
        elif not _SUBTEST.match(line):
            if levels[-1][1].results and line.startswith("#"):
                levels[-1][1].results[-1].notes.append(line.removeprefix("#").removeprefix(" "))
            else:
                notes.append(line.removeprefix("#").removeprefix(" "))
    while levels:
        closed = levels.pop()[1].close()
        if levels:
            # The result line for this subtest never came.
            parent = Result(
                "(unfinished)", Outcome.FAILED, "its result is missing", children=closed
            )
            levels[-1][1].results.append(parent)
        else:
            done = closed
    if done is None:
        return [_failure("no results at all")]
    return done


def _line(number: int, result: Result) -> str:
    status = "not ok" if result.outcome is Outcome.FAILED else "ok"
    text = f"{status} {number} - {result.name.replace('#', '')}"
    if result.outcome is Outcome.SKIPPED:
        text += f" # SKIP {result.reason}".rstrip()
    elif result.reason:
        text += f" # {result.reason}"
    return text


def render(result: Result, number: int, indent: int = 0) -> list[str]:
    """One result as KTAP lines, its children before it."""
    pad, lines = " " * indent, []
    if result.children:
        inner = pad + "    "
        lines += [f"{inner}KTAP version 1", f"{inner}# Subtest: {result.name}"]
        lines.append(f"{inner}1..{len(result.children)}")
        for at, child in enumerate(result.children, 1):
            lines += render(child, at, indent + 4)
    lines.append(pad + _line(number, result))
    lines += [f"{pad}# {note}".rstrip() for note in result.notes]
    return lines


def header(tests: int) -> list[str]:
    return ["KTAP version 1", f"1..{tests}"]
