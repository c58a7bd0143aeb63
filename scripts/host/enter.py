# SPDX-License-Identifier: GPL-2.0
"""Handing the terminal to a command inside the build root, and ending it when we are told to."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import FrameType

from host import cache, sandbox
from host.config import Config
from host.errors import Failure
from host.namespace import Namespaces, Plan, Process
from host.runner import PATH
from host.steps import Provisioned

# How long a command may take to clean up after Ctrl-C before it is killed.
GRACE_SECONDS = 20.0
# One request may come twice: make passes SIGTERM on to a process that got it from elsewhere too.
SAME_SECONDS = 0.5


def enter(settings: Config, place: Provisioned, argv: Sequence[str], seconds: float) -> int:
    """Run `argv` in the root with our terminal; its exit status."""
    top = sandbox.mount_point(settings)
    (settings.checkout / "build").mkdir(exist_ok=True)
    env = {
        **sandbox.environment(settings),
        "KRDMA_KDIR": str(place.source),
        "KRDMA_KERNEL": str(place.kernel),
        "KRDMA_RELEASE": place.release,
        "KRDMA_FLAVOR": settings.flavor,
        **place.variables,
        "KRDMA_PROVISION_SECONDS": f"{seconds:.1f}",
        "KRDMA_COLD": "1" if seconds else "0",
        "KRDMA_TTY": "1" if sys.stdout.isatty() else "0",
    }
    plan = Plan(
        argv,
        str(settings.checkout),
        env,
        root=str(top),
        mounts=sandbox.mounts(settings, place.root, top),
    )
    with using(settings, place):
        return run(plan)


@contextlib.contextmanager
def using(settings: Config, place: Provisioned) -> Iterator[None]:
    """Keep the cache from being removed meanwhile, and what is used from growing old."""
    for path in filter(None, (place.root, place.kernel, place.source, place.folder)):
        cache.touch(path)
    # Shared: many may be inside; distclean wants it alone.
    users = cache.Lock(settings.cache / "users")
    if not users.try_take(shared=True):
        raise Failure("the cache is being removed", "distclean is running", "Try again after it.")
    try:
        yield
    finally:
        users.release()


def run(plan: Plan) -> int:
    """Start the command and wait; signals become its business, for a while."""
    namespaces = Namespaces()
    # Ignored before the fork, so that process 1's way there cannot be cut short by Ctrl-C.
    held = {number: signal.signal(number, signal.SIG_IGN) for number in (signal.SIGINT,)}
    try:
        process = namespaces.start(plan)
        with passing(process):
            status = process.wait()
        namespaces.ended(process)
    finally:
        for number, handler in held.items():
            signal.signal(number, handler)
    if process.error:
        raise Failure("cannot run the command", process.error)
    return status


@contextlib.contextmanager
def passing(process: Process) -> Iterator[None]:
    """Pass signals on; kill what has not ended after the grace, or at a second request."""
    asked: list[float] = []

    def handle(number: int, _: FrameType | None) -> None:
        now = time.monotonic()
        if number == signal.SIGALRM:
            process.kill()
        elif not asked:
            asked.append(now)
            signal.setitimer(signal.ITIMER_REAL, GRACE_SECONDS)
            # Ctrl-C has reached the command already: it is in the terminal's process group.
            if number != signal.SIGINT or not in_foreground():
                process.signal(number)
        elif now - asked[0] > SAME_SECONDS:
            process.kill()

    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGALRM)
    before = [signal.signal(number, handle) for number in numbers]
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)


def in_foreground() -> bool:
    """Whether this process group is the one that the terminal sends Ctrl-C to."""
    try:
        fd = os.open("/dev/tty", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        return os.tcgetpgrp(fd) == os.getpgrp()
    except OSError:
        return False
    finally:
        os.close(fd)


def remove(paths: list[Path]) -> None:
    """Delete trees as root of a namespace."""
    if not paths:
        return
    plan = Plan(["rm", "-rf", "--", *map(str, paths)], "/", {"PATH": PATH, "LC_ALL": "C.UTF-8"})
    namespaces = Namespaces()
    process = namespaces.start(plan, stdin=subprocess.DEVNULL)
    status = process.wait()
    namespaces.ended(process)
    if status:
        raise Failure("cannot remove all", f"rm ended with {status}", "See its message above.")
