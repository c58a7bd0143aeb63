# SPDX-License-Identifier: GPL-2.0
"""kill -9 of a real provisioning at five points; then it must finish as if nothing had been.

Runs in a cache of its own beside the user's, and removes it. It downloads and builds everything,
so it belongs to `make soak`; tests/test_recovery.py does the same with steps of a second.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from pathlib import Path

from host import cache, enter, progress
from host.config import Config
from host.errors import Failure

# (where, what the log says by then, how much later to kill)
POINTS = (
    ("while the package index is fetched", "[2] === package index", 1.0),
    ("while the kernel is downloaded", "[4] === download kernel", 1.0),
    ("while the source is unpacked", "[6] === unpack source", 4.0),
    ("while the root's packages are installed", "[3] I: installing remaining packages", 15.0),
    ("while the source is prepared", "[7] === prepare source", 60.0),
)
# No step is silent for so long; a kill point that never comes is a failure of its own.
LIMIT_SECONDS = 1800.0
_ENDED_SECONDS = 10.0


def krdma(settings: Config, home: Path, *args: str) -> subprocess.Popen[bytes]:
    """Start scripts/krdma with another cache."""
    env = {**os.environ, "KRDMA_CACHE": str(home)}
    env.pop("KRDMA_STARTED", None)
    return subprocess.Popen(
        [str(settings.checkout / "scripts" / "krdma"), *args],
        env=env,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )


def reached(log_dir: Path, text: str) -> bool:
    """Whether the newest log has a line with `text`."""
    logs = sorted(log_dir.glob("*.log")) if log_dir.is_dir() else []
    return bool(logs) and text in logs[-1].read_text(errors="replace")


def left_running(home: Path) -> list[str]:
    """Processes that work for the cache at `home`, by what they were started with."""
    found = []
    for folder in Path("/proc").iterdir():
        if not folder.name.isdigit() or int(folder.name) == os.getpid():
            continue
        with contextlib.suppress(OSError):
            words = (folder / "cmdline").read_bytes() + (folder / "environ").read_bytes()
            if str(home).encode() + b"/" in words:
                found.append((folder / "comm").read_text().strip())
    return found


def left_mounted(home: Path) -> list[str]:
    """Mounts below the cache at `home` that this process can see."""
    return [
        line.split()[1]
        for line in Path("/proc/self/mounts").read_text().splitlines()
        if line.split()[1].startswith(f"{home}/")
    ]


def kill_at(settings: Config, home: Path, text: str, later: float) -> tuple[float, str]:
    """One provisioning, killed; its seconds, and what is wrong after it (or nothing)."""
    begun = time.monotonic()
    seen = sorted((home / "log").glob("*.log"))
    process = krdma(settings, home, "provision")
    assert process.stderr
    while sorted((home / "log").glob("*.log")) == seen or not reached(home / "log", text):
        if process.poll() is not None:
            said = process.stderr.read().decode(errors="replace")
            return time.monotonic() - begun, f"it ended before that point: {said}"
        if time.monotonic() - begun > LIMIT_SECONDS:
            process.kill()
            return time.monotonic() - begun, "that point never came"
        time.sleep(0.1)
    time.sleep(later)
    process.send_signal(signal.SIGKILL)
    process.wait()
    seconds = time.monotonic() - begun
    limit = time.monotonic() + _ENDED_SECONDS
    while (running := left_running(home)) and time.monotonic() < limit:
        time.sleep(0.1)
    if running:
        return seconds, f"still running: {', '.join(running)}"
    if mounted := left_mounted(home):
        return seconds, f"still mounted: {', '.join(mounted)}"
    return seconds, ""


def finish(settings: Config, home: Path) -> tuple[float, str]:
    """The demo, for which provisioning must succeed."""
    begun = time.monotonic()
    process = krdma(settings, home, "demo")
    _, text = process.communicate()
    seconds = time.monotonic() - begun
    if process.returncode:
        return seconds, text.decode(errors="replace")
    if running := left_running(home):
        return seconds, f"still running: {', '.join(running)}"
    if mounted := left_mounted(home):
        return seconds, f"still mounted: {', '.join(mounted)}"
    return seconds, ""


def main(settings: Config) -> int:
    """All points in turn, then the end; KTAP on stdout."""
    home = settings.cache.with_name(f"{settings.cache.name}-killtest")
    if home.exists():
        enter.remove([home])
    print(f"KTAP version 1\n1..{len(POINTS) + 1}", flush=True)
    good = True
    try:
        for number, (where, text, later) in enumerate(POINTS, 1):
            seconds, wrong = kill_at(settings, home, text, later)
            good = tell(number, f"kill -9 {where}, after {seconds:.0f} s", wrong) and good
        seconds, wrong = finish(settings, home)
        size = progress.size_text(cache.tree_bytes(home))
        what = f"the next run finishes, and shows the demo, in {seconds:.0f} s, {size} on disk"
        good = tell(len(POINTS) + 1, what, wrong) and good
    finally:
        with contextlib.suppress(Failure):
            enter.remove([home])
    return 0 if good else 1


def tell(number: int, what: str, wrong: str) -> bool:
    for line in wrong.splitlines():
        print(f"# {line}")
    print(f"{'not ok' if wrong else 'ok'} {number} {what}", flush=True)
    return not wrong
