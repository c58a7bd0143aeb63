# SPDX-License-Identifier: GPL-2.0
"""What every check shares: the files to look at, running a tool, and how a check ends."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

# Folders that hold no sources: skipped when the tree is not a Git checkout.
_NOT_SOURCES = {".git", "build", "target", "__pycache__", ".ruff_cache"}
# So much of a failing tool's output is shown; all of it goes to a log file.
_SHOWN_LINES = 60


class Failed(Exception):
    """The check failed: why in one line, then what to look at."""

    def __init__(self, reason: str, details: Iterable[str] = ()) -> None:
        super().__init__(reason)
        self.reason = reason
        self.details = list(details)


class Skipped(Exception):
    """The check has nothing to look at here."""


@dataclass(frozen=True)
class Check:
    """A named check: `run` returns the problems found (none: it passed)."""

    name: str
    what: str
    run: Callable[[Tree], Sequence[str]]


@dataclass
class Tree:
    """A checkout, or a folder made up by a test."""

    root: Path
    _listed: list[str] | None = field(default=None, repr=False)

    def files(self, *suffixes: str, under: Sequence[str] = ()) -> list[str]:
        """The project's own files, sorted: those Git tracks, or all where there is no Git."""
        if self._listed is None:
            self._listed = sorted(p for p in self._list() if (self.root / p).is_file())
        return [
            p
            for p in self._listed
            if (not suffixes or p.endswith(suffixes))
            and (not under or any(p == u or p.startswith(u + "/") for u in under))
        ]

    def _list(self) -> list[str]:
        # safe.directory: in the build root the checkout can belong to another user.
        git = ["git", "-c", "safe.directory=*", "-C", str(self.root), "ls-files", "-z"]
        if (self.root / ".git").exists():
            try:
                got = subprocess.run(git, capture_output=True, check=True)
                return got.stdout.decode().split("\0")[:-1]
            except (OSError, subprocess.CalledProcessError):
                pass  # a work tree whose repository is out of reach: take what is there
        found = []
        for folder, folders, names in os.walk(self.root):
            folders[:] = [f for f in folders if f not in _NOT_SOURCES]
            found += [str((Path(folder) / n).relative_to(self.root)) for n in names]
        return found

    def path(self, name: str) -> Path:
        return self.root / name

    def text(self, name: str) -> str:
        return self.path(name).read_text(encoding="utf-8", errors="replace")

    def first_line(self, name: str) -> str:
        with self.path(name).open(encoding="utf-8", errors="replace") as f:
            return f.readline(200)

    def build(self, name: str) -> Path:
        """A folder of this name below build/, the only place that is written to."""
        folder = self.root / "build" / name
        folder.mkdir(parents=True, exist_ok=True)
        return folder


def environment(name: str) -> str:
    """A variable that the host side sets for everything inside the build root."""
    value = os.environ.get(name)
    if not value:
        raise Failed(
            f"{name} is not set; the checks run inside the build root: scripts/krdma check"
        )
    return value


def kernel_tree() -> Path:
    folder = Path(environment("KRDMA_KDIR"))
    if not (folder / "Makefile").is_file():
        raise Failed(f"no kernel source at KRDMA_KDIR={folder}; run: make demo")
    return folder


def start(args: Sequence[str | Path], **options: object) -> subprocess.CompletedProcess[str]:
    """Run a tool to its end with its output caught; only a tool that is missing raises."""
    try:
        return subprocess.run(
            [str(a) for a in args],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            check=False,
            **options,  # type: ignore[arg-type]
        )
    except FileNotFoundError as e:
        raise Failed(f"{args[0]} is not installed in the build root") from e


def must_succeed(
    tree: Tree, name: str, args: Sequence[str | Path], **options: object
) -> subprocess.CompletedProcess[str]:
    """Run a tool whose failure is the check's failure; keep all it said in a log."""
    done = start(args, **options)
    if done.returncode != 0:
        log = tree.build("check") / f"{name}.log"
        log.write_text(done.stdout)
        command = " ".join(str(a) for a in args)
        lines = done.stdout.splitlines()
        raise Failed(
            f"exit status {done.returncode}; all output: {log.relative_to(tree.root)}",
            [f"$ {command}", *lines[-_SHOWN_LINES:]],
        )
    return done


def outcome(check: Check, tree: Tree) -> tuple[bool, list[str]]:
    """Run one check; whether it is good, and the lines that say so."""
    try:
        problems = list(check.run(tree))
    except Skipped as e:
        return True, [f"ok {check.name} # SKIP {e}"]
    except Failed as e:
        return False, [f"not ok {check.name} - {e.reason}", *(f"# {d}" for d in e.details)]
    if not problems:
        return True, [f"ok {check.name}"]
    count = "1 problem" if len(problems) == 1 else f"{len(problems)} problems"
    return False, [f"not ok {check.name} - {count}", *(f"# {p}" for p in problems)]
