# SPDX-License-Identifier: GPL-2.0
"""`make test`: every check and test in order, going on after failures, and the sum as the last
line.
"""

from __future__ import annotations

import asyncio
import fnmatch
import os
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

from rich.console import Console

from . import engine, hosttests, ktap, run, table, topology
from .env import Env, LabError
from .ktap import Count, Result
from .run import Report
from .topology import Test

Finished = Callable[[int, Report], None]

# So many lines of a failed result are shown again at the end.
LAST_NOTES = 20


def say(line: str) -> None:
    print(line, flush=True)


def find(env: Env, globs: Sequence[str], *, soak: bool = False) -> list[Test]:
    """The node tests to run, by name. TESTS="..." selects, as do names on the command line. Those
    that need the strict kernel are for it alone.
    """
    globs = list(globs) or os.environ.get("TESTS", "").split()
    found = []
    for path in sorted(env.tests.glob("*.toml")):
        test = topology.load(path, soak=soak)
        if test.strict_only and not env.strict:
            continue
        wanted = any(fnmatch.fnmatch(test.name, glob) for glob in globs)
        if wanted or (not globs and (test.soak or test.soak_only if soak else not test.soak_only)):
            found.append(test)
    if globs and not found:
        raise LabError(
            f"no test for the {env.flavor} kernel in {env.tests} matches {' '.join(globs)}"
        )
    return found


class Slots:
    """Lets tests run side by side as long as there are processors for their nodes; in order of
    asking.
    """

    def __init__(self, total: int) -> None:
        self.total = self.free = max(1, total)
        self._turn = asyncio.Lock()
        self._changed = asyncio.Condition()

    async def run(self, wanted: int, work: Callable[[], Awaitable[Report]]) -> Report:
        wanted = min(wanted, self.total)
        async with self._turn, self._changed:
            await self._changed.wait_for(lambda: self.free >= wanted)
            self.free -= wanted
        try:
            return await work()
        finally:
            async with self._changed:
                self.free += wanted
                self._changed.notify_all()


def jobs() -> int:
    """How many nodes run at a time."""
    text = os.environ.get("JOBS", "")
    if text and not text.isdigit():
        raise LabError(f"JOBS is {text!r}: it must be a number of nodes")
    return int(text or 0) or max(2, len(os.sched_getaffinity(0)))


async def run_all(env: Env, tests: Sequence[Test], finished: Finished) -> list[Report]:
    """Run the tests; `finished` hears of them in their order, as soon as that is possible."""
    slots = Slots(jobs())
    async with asyncio.TaskGroup() as group:
        tasks = [
            group.create_task(slots.run(test.slots, lambda test=test: run.execute(env, test)))
            for test in tests
        ]
        reports = []
        for number, task in enumerate(tasks, 1):
            report = await task
            reports.append(report)
            finished(number, report)
    return reports


def print_ktap(number: int, report: Report) -> None:
    boot = max(report.boot_seconds.values(), default=0.0)
    report.result.notes.insert(
        0, f"{report.test.description} ({report.seconds:.1f} s, {boot:.1f} s of it booting)"
    )
    print("\n".join(ktap.render(report.result, number)), flush=True)


async def run_files(env: Env, paths: Sequence[Path], *, soak: bool = False) -> int:
    """`lab run`: KTAP and nothing else on stdout."""
    tests = [topology.load(path, soak=soak) for path in paths]
    print("\n".join(ktap.header(len(tests))), flush=True)
    reports = await run_all(env, tests, print_ktap)
    return 0 if all(report.passed for report in reports) else 1


def node_tests(env: Env, globs: Sequence[str], out: Console, *, soak: bool = False) -> list[Result]:
    """The node tests as KTAP, with what is running shown below on a terminal."""
    tests = find(env, globs, soak=soak)
    print("\n".join(ktap.header(len(tests))), flush=True)
    if not tests:
        return []
    began, left = time.monotonic(), len(tests)

    def status() -> str:
        return f"{left} node tests to go, {table.seconds(time.monotonic() - began)}"

    with out.status(status()) as display:

        def finished(number: int, report: Report) -> None:
            nonlocal left
            left -= 1
            print_ktap(number, report)
            display.update(status())

        reports = asyncio.run(run_all(env, tests, finished))
    return [report.result for report in reports]


def _count(results: Sequence[Result]) -> Count:
    return sum((result.count() for result in results), Count())


def say_failures(results: Sequence[Result], out: Callable[[str], None]) -> None:
    """Each failed result once more, with the end of what it said: below thousands of lines of others it
    is not found.
    """
    for result in results:
        for path, failed in ktap.failures(result):
            out(f"FAILED: {path}")
            for note in failed.notes[-LAST_NOTES:]:
                out(f"    {note}")


def summarise(out: Console, sections: Sequence[tuple[str, Count, float]]) -> Count:
    rows = [
        (name, str(count.passed), str(count.failed), str(count.skipped), table.seconds(took))
        for name, count, took in sections
    ]
    total = sum((count for _, count, _ in sections), Count())
    columns = ("section", "passed", "failed", "skipped", "time")
    out.print(table.table("Summary", columns, rows, right=(1, 2, 3, 4)))
    return total


def main(env: Env, globs: Sequence[str]) -> int:
    """All of it. With a selection of node tests, or on the strict kernel, only what those need."""
    out = table.console(env.terminal)
    chosen = env.strict or bool(globs or os.environ.get("TESTS", "").split())
    sections: list[tuple[str, Count, float]] = []
    results: list[Result] = []

    def section(title: str, work: Callable[[], Count]) -> None:
        out.print(f"\n[bold]{title}[/]" if env.terminal else f"\n# {title}")
        began = time.monotonic()
        try:
            count = work()
        except LabError as error:
            say(f"not ok {title} - {error}")
            count = Count(failed=1)
        sections.append((title, count, time.monotonic() - began))

    def nodes() -> Count:
        results.extend(node_tests(env, globs, out))
        return _count(results)

    if not chosen:
        section("static checks", lambda: hosttests.static_checks(env, say))
        section("unit tests", lambda: hosttests.unit_tests(env, say))
        section("protocol and tools", lambda: hosttests.cargo_tests(env, say))
        section("protocol engine at length", lambda: engine.run(env, say))
    section("module build", lambda: hosttests.build_modules(env, say))
    section("node tests", nodes)
    out.print()
    say_failures(results, say)
    total = summarise(out, sections)
    out.print(f"whole run: {table.seconds(time.time() - env.started)}")
    print(total, flush=True)
    return 1 if total.failed else 0


def soak(env: Env, globs: Sequence[str]) -> int:
    """The node tests that have large numbers, with these."""
    out = table.console(env.terminal)
    total = hosttests.build_modules(env, say)
    if not total.failed:
        results = node_tests(env, globs, out, soak=True)
        say_failures(results, say)
        total += _count(results)
    print(total, flush=True)
    return 1 if total.failed else 0
