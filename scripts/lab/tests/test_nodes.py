# SPDX-License-Identifier: GPL-2.0
"""The runner with real nodes: above all that it reports what goes wrong in them.

Each test file below nodes/ does one thing wrong on purpose. All run first, side by side.
"""

import asyncio
import dataclasses
import os
import signal
import subprocess
import sys
import tempfile
import time
import unittest
from collections.abc import Callable
from pathlib import Path

from lab import env, suite, topology
from lab.ktap import Count, Outcome, Result
from lab.run import Report

NODES = Path(__file__).parent / "nodes"


def running_qemus(folder: str) -> list[str]:
    """Processes whose command line names this run's logs."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            line = path.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if folder in line and "qemu" in line:
            found.append(line)
    return found


def failed_names(result: Result) -> list[str]:
    below = [name for child in result.children for name in failed_names(child)]
    if result.outcome is Outcome.FAILED and not below:
        return [result.name]
    return below


@unittest.skipUnless(os.environ.get("KRDMA_KERNEL"), "needs the build root: scripts/krdma enter")
class Nodes(unittest.TestCase):
    reports: dict[str, Report]
    logs: tempfile.TemporaryDirectory

    @classmethod
    def setUpClass(cls) -> None:
        cls.logs = tempfile.TemporaryDirectory(prefix="lab-selftest-")
        cls.addClassCleanup(cls.logs.cleanup)
        place = SelftestEnv.of(env.from_environ(), Path(cls.logs.name))
        tests = [topology.load(path) for path in sorted(NODES.glob("*.toml"))]
        reports = asyncio.run(suite.run_all(place, tests, lambda number, report: None))
        cls.reports = {report.test.name: report for report in reports}

    def node(self, test: str, name: str = "a") -> Result:
        for child in self.reports[test].result.children:
            if child.name == f"node {name}":
                return child
        self.fail(f"{test}: {self.reports[test].result}")

    def failures(self, test: str, *words: str) -> None:
        """The test failed, for exactly these reasons."""
        names = failed_names(self.reports[test].result)
        self.assertEqual(len(names), len(words), names)
        for name, word in zip(names, words, strict=True):
            self.assertIn(word, name)

    def test_values_parameters_and_addresses(self) -> None:
        report = self.reports["values"]
        self.assertTrue(report.passed, report.result)
        self.assertEqual(report.result.count(), Count(passed=10))
        self.assertGreater(report.boot_seconds["a"], 0)

    def test_the_status_of_the_script_is_reported(self) -> None:
        self.failures("status", "ended with status 7")

    def test_what_cannot_be_cleaned_up(self) -> None:
        self.failures("leaves", "clean-up after the script failed")

    def test_a_panic(self) -> None:
        names = failed_names(self.node("barrier", "b"))
        self.assertTrue(any("went off before its script had ended" in name for name in names))
        self.assertTrue(any("sysrq triggered crash" in name for name in names), names)
        self.assertTrue(any("results are missing" in name for name in names), names)

    def test_a_report_in_the_log_fails_a_test_whose_results_are_fine(self) -> None:
        self.failures("warns", "lib/made_up.c")

    def test_only_the_allowed_report_is_let_through(self) -> None:
        texts = [note for child in self.node("warns").children for note in child.notes]
        self.assertFalse(any("Unknown symbol" in text for text in texts), texts)

    def test_a_hang_ends_with_the_time(self) -> None:
        names = failed_names(self.reports["hangs"].result)
        self.assertTrue(any("when the 40 s were over" in name for name in names), names)

    def test_a_hang_shows_who_is_blocked(self) -> None:
        if self.reports["hangs"].boot_seconds.get("a", 40.0) > 25:
            self.skipTest("the node booted too late for it on this machine")
        notes = [note for child in self.node("hangs").children for note in child.notes]
        self.assertTrue(any("blocked tasks" in note for note in notes), notes)

    def test_a_node_that_dies_releases_the_others(self) -> None:
        names = failed_names(self.reports["barrier"].result)
        self.assertFalse(any("were over" in name for name in names), names)
        notes = [note for child in self.node("barrier").children for note in child.notes]
        self.assertTrue(any("node b died before barrier never" in note for note in notes), notes)
        self.assertFalse(self.reports["barrier"].passed)

    def test_a_node_boots_again_when_it_asks_for_that(self) -> None:
        result = self.node("resets", "a")
        self.assertIs(result.outcome, Outcome.PASSED, result)
        self.assertEqual(result.count(), Count(passed=3))

    def test_a_node_that_boots_again_by_itself_is_noticed(self) -> None:
        names = failed_names(self.node("resets", "b"))
        self.assertTrue(any("nobody had asked for that" in name for name in names), names)

    def test_memory_left_behind_is_noticed(self) -> None:
        self.failures("leaks", "500 addresses are noticed")

    def test_nothing_is_left_running(self) -> None:
        self.assertEqual(running_qemus(self.logs.name), [])

    def test_a_mistake_in_the_environment_fails_the_test_with_its_reason(self) -> None:
        place = dataclasses.replace(env.from_environ(), kernel=Path("/nonexistent"))
        test = topology.load(NODES / "status.toml")
        (report,) = asyncio.run(suite.run_all(place, [test], lambda number, report: None))
        self.assertFalse(report.passed)
        self.assertIn("/nonexistent", report.result.reason)


@unittest.skipUnless(os.environ.get("KRDMA_KERNEL"), "needs the build root: scripts/krdma enter")
class EndOfTheRunner(unittest.TestCase):
    """However the runner goes, its nodes go with it."""

    def run_and_end(self, number: int) -> int:
        """Start a test that hangs, send the runner a signal, and return its status."""
        folder = str(env.from_environ().logs / "hangs")
        line = [sys.executable, "-m", "lab", "run", str(NODES / "hangs.toml")]
        quiet = subprocess.DEVNULL
        with subprocess.Popen(line, stdin=quiet, stdout=quiet, stderr=quiet) as runner:
            self.addCleanup(runner.kill)
            self.assertTrue(soon(lambda: running_qemus(folder)), "no node came up")
            runner.send_signal(number)
            status = runner.wait(120)
        self.assertTrue(soon(lambda: not running_qemus(folder)), "a node outlived the runner")
        return status

    def test_killed(self) -> None:
        self.assertEqual(self.run_and_end(signal.SIGKILL), -signal.SIGKILL)

    def test_terminated(self) -> None:
        self.assertEqual(self.run_and_end(signal.SIGTERM), -signal.SIGTERM)

    def test_interrupted(self) -> None:
        self.assertEqual(self.run_and_end(signal.SIGINT), 130)


def soon(condition: Callable[[], object], seconds: float = 120) -> bool:
    """Whether the condition comes true before long."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.05)
    return False


class SelftestEnv(env.Env):
    """The environment of the run, but with logs of our own."""

    folder: Path

    @classmethod
    def of(cls, place: env.Env, folder: Path) -> "SelftestEnv":
        made = cls(
            **{field.name: getattr(place, field.name) for field in dataclasses.fields(place)}
        )
        object.__setattr__(made, "folder", folder)
        return made

    @property
    def logs(self) -> Path:
        return self.folder


if __name__ == "__main__":
    unittest.main()
