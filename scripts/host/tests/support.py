# SPDX-License-Identifier: GPL-2.0
"""What the host side's tests share. Import it before `host`: it makes that importable."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import tempfile
import time
import unittest
from collections.abc import Callable
from functools import cache
from pathlib import Path

TESTS = Path(__file__).resolve().parent
SCRIPTS = TESTS.parents[1]
if str(SCRIPTS) not in sys.path:
    sys.path.insert(0, str(SCRIPTS))

# However slow the machine is; only a hang comes here.
LIMIT_SECONDS = 120.0


@cache
def namespaces_refused() -> str:
    """Why this machine or container lets us make no namespaces; empty when it does."""
    from host.errors import Failure
    from host.namespace import Namespaces, Plan, as_user, check_user

    try:
        if as_user():
            check_user()
        namespaces = Namespaces()
        process = namespaces.start(Plan(["true"], "/", {"PATH": os.defpath}))
        process.wait()
        namespaces.ended(process)
    except Failure as failure:
        return failure.text()
    return ""


def needs_namespaces(test: unittest.TestCase) -> None:
    """Skip where there can be no namespaces, for instance in an unprivileged container."""
    if why := namespaces_refused():
        test.skipTest(why)


def folder(test: unittest.TestCase) -> Path:
    """A temporary folder that goes with the test."""
    # Not below a path that a test may count processes by.
    place = tempfile.TemporaryDirectory(prefix="krdma-test-")
    test.addCleanup(place.cleanup)
    return Path(place.name).resolve()


def wait_for(what: str, true: Callable[[], bool]) -> None:
    """Wait until something is so; a hang is a failure that says what was waited for."""
    limit = time.monotonic() + LIMIT_SECONDS
    while not true():
        if time.monotonic() > limit:
            raise AssertionError(f"waited in vain: {what}")
        time.sleep(0.02)


def gone(pid: int) -> bool:
    """Whether a process has ended (a zombie has)."""
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] in "ZX"
    return True


class Fake:
    """A provisioning with the real code and fake tools (fakebin/), quick and without a network."""

    def __init__(self, test: unittest.TestCase) -> None:
        self.place = folder(test)
        self.cache = self.place / "cache"
        self.etc = self.place / "etc"
        self.etc.mkdir()
        self.settings: dict[str, str] = {"KRDMA_MIRROR": "http://mirror.invalid/debian"}
        test.addCleanup(self.end)
        self._started: list[subprocess.Popen[str]] = []

    @property
    def env(self) -> dict[str, str]:
        kept = {name: os.environ[name] for name in ("PATH", "HOME", "TERM") if name in os.environ}
        return {
            **kept,
            "KRDMA_CACHE": str(self.cache),
            "FAKE_ETC": str(self.etc),
            "PYTHONDONTWRITEBYTECODE": "1",
            **self.settings,
        }

    @property
    def argv(self) -> list[str]:
        return [sys.executable, str(TESTS / "driver.py"), "provision"]

    def start(self) -> subprocess.Popen[str]:
        """Begin; the caller waits or kills."""
        process = subprocess.Popen(
            self.argv,
            env=self.env,
            text=True,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        self._started.append(process)
        return process

    def run(self) -> tuple[int, str]:
        """To the end: exit status and what was printed."""
        process = self.start()
        text, _ = process.communicate(timeout=LIMIT_SECONDS)
        return process.returncode, text

    def end(self) -> None:
        for process in self._started:
            if process.poll() is None:
                process.kill()
            process.wait()
            if process.stdout:
                process.stdout.close()

    def results(self) -> list[str]:
        """The kinds of result that are there under their final names."""
        found = (path.name.split("-")[0] for path in self.cache.glob("*-*") if path.is_dir())
        return sorted(found)
