# SPDX-License-Identifier: GPL-2.0
"""The cache folder: one writer at a time, results that are there whole or not at all.

Layout (each name carries a key made of what the result depends on):
    root-KEY/  kernel-NAME/  source-NAME/   results
    strict-NAME/                            the strict kernel; its stamp says whether it is whole
    tmp/                                    work in progress; whoever holds the lock empties it
    download/  apt/                         .deb files and package index, checked by apt on each use
    log/  home/  cargo/  pip/  pycache/     logs; the homes of the tools inside the root
    lock  lock-strict  users                see Lock
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from host import syscalls
from host.errors import Cancelled, Failure

# A result that nobody entered for so long is removed at the next provisioning.
UNUSED_DAYS = 14
RESULTS = ("root-*", "kernel-*", "source-*", "strict-*")


def key(*parts: object) -> str:
    """A short name for everything a result depends on."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:12]


def make(cache: Path) -> None:
    """Create the cache folder; it must be this user's own."""
    try:
        for name in ("", "tmp", "log", "home", "cargo", "pip"):
            (cache / name).mkdir(parents=True, exist_ok=True)
        owner = cache.stat().st_uid
    except OSError as error:
        raise Failure(
            f"cannot make the cache {cache}",
            error.strerror or str(error),
            "Set KRDMA_CACHE to a folder that this user may write, with room for it.",
        ) from None
    if owner != os.geteuid():
        raise Failure(
            f"the cache {cache} belongs to another user",
            f"uid {owner}, and this is uid {os.geteuid()}",
            "Run as that user, or set KRDMA_CACHE to a folder of this one.",
        )


class Lock:
    """flock on a file of the cache; the kernel drops it however its holder ends."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._fd = -1

    def holder(self) -> str:
        """Who holds it, as it wrote itself down."""
        with contextlib.suppress(OSError):
            return self.path.read_text().strip()
        return ""

    def try_take(self, shared: bool = False) -> bool:
        """Take it if that needs no waiting."""
        while True:
            if self._fd < 0:
                self._fd = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
            try:
                fcntl.flock(self._fd, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
            except BlockingIOError:
                return False
            # distclean removes the file as well: then this lock would be one on nothing.
            with contextlib.suppress(FileNotFoundError):
                if os.path.samestat(os.fstat(self._fd), os.stat(self.path)):
                    return True
            self.release()

    def take(self, who: str, waiting: Callable[[str], None], stop: Callable[[], bool]) -> bool:
        """Take it for `who`, calling `waiting` once if someone has it; whether there was a wait."""
        told = False
        while not self.try_take():
            if not told:
                waiting(self.holder())
                told = True
            if stop():
                raise Cancelled
            time.sleep(0.2)
        os.ftruncate(self._fd, 0)
        os.pwrite(self._fd, f"{who} (pid {os.getpid()})\n".encode(), 0)
        return told

    def release(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


def publish(work: Path, final: Path) -> None:
    """Give a finished result its name; before that nobody can take it for one."""
    syscalls.syncfs(str(work))
    os.rename(work, final)
    folder = os.open(final.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def write_json(path: Path, value: Any) -> None:
    """Write a small file so that it is old or new, never half."""
    work = path.with_name(f"{path.name}.new")
    with work.open("w", encoding="utf-8") as file:
        json.dump(value, file, indent=1, sort_keys=True)
        file.write("\n")
        file.flush()
        os.fsync(file.fileno())
    os.replace(work, path)


def read_json(path: Path) -> Any:
    """What write_json wrote, or None."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


def touch(path: Path) -> None:
    """Note that a result was used now."""
    with contextlib.suppress(OSError):
        os.utime(path)


def unused(cache: Path, keep: set[Path]) -> Iterator[Path]:
    """Results that nobody used for long, other than `keep`."""
    limit = time.time() - UNUSED_DAYS * 86400
    for pattern in RESULTS:
        for path in cache.glob(pattern):
            if path not in keep and path.lstat().st_mtime < limit:
                yield path


def free_bytes(cache: Path) -> int:
    """Bytes that this user may still write there."""
    info = os.statvfs(cache)
    return info.f_bavail * info.f_frsize


def tree_bytes(path: Path) -> int:
    """Disk space of a tree (what of it this user may look at)."""
    total = 0
    for folder, _, names in os.walk(path, onerror=lambda _: None):
        for name in names:
            with contextlib.suppress(OSError):
                total += os.lstat(os.path.join(folder, name)).st_blocks * 512
    return total
